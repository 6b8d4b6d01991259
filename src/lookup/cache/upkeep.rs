//! What keeps a cache small: merging of segments and compaction, both with their copying outside of the lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Cache, GARBAGE, Slot, Snapshot, State};
use crate::error::Result;

impl Cache {
    /// How many rows [`Cache::maintain`] would copy now; 0 when there is nothing to do.
    pub fn upkeep(&self) -> usize {
        let state = self.state.read();
        if self.needs_compaction(&state) {
            return state.snapshot.len() - state.dead;
        }
        self.merge_plan(&state.snapshot).map_or(0, |range| state.snapshot.rows_in(range))
    }

    fn needs_compaction(&self, state: &State) -> bool {
        state.dead > GARBAGE && state.dead > state.snapshot.len() / 2
    }

    fn merge_plan(&self, snapshot: &Snapshot) -> Option<std::ops::Range<usize>> {
        // Gathering from several segments costs more than from one: consolidating is due when as many
        // rows were gathered as pay for it.
        let count = snapshot.segments().len();
        let due = count > 1 && self.scattered.load(Ordering::Relaxed) > 8 * snapshot.len() as u64;
        if due { Some(0..count) } else { snapshot.merge_plan() }
    }

    /// Merges small segments, and compacts when most rows belong to nobody. Copies outside of the lock;
    /// returns at once when another thread is at it.
    pub fn maintain(&self) -> Result<()> {
        let Some(_guard) = self.upkeep.try_lock() else { return Ok(()) };
        loop {
            let state = self.state.read();
            let compact = self.needs_compaction(&state);
            let snapshot = state.snapshot.clone();
            let mut live: Vec<Slot> = Vec::new();
            if compact {
                live.extend(state.table.iter().map(|e| e.slot).filter(|s| s.count > 0));
            }
            drop(state);
            if compact {
                self.compact(&snapshot, live)?;
            } else if let Some(range) = self.merge_plan(&snapshot) {
                if range == (0..snapshot.segments().len()) {
                    self.scattered.store(0, Ordering::Relaxed);
                }
                let merged = snapshot.merged(range.clone())?;
                drop(snapshot);
                // Segments are only ever appended while the guard is held: the range is still the same.
                let mut state = self.state.write();
                Arc::make_mut(&mut state.snapshot).replace(range, merged);
            } else {
                return Ok(());
            }
        }
    }

    fn compact(&self, snapshot: &Snapshot, mut live: Vec<Slot>) -> Result<()> {
        live.sort_unstable_by_key(|slot| slot.first);
        let rows: Vec<u32> = live.iter().flat_map(|s| s.first..s.first + s.count).collect();
        let batch = snapshot.gather(&rows)?;
        let covered = snapshot.end();
        let mut moved = vec![0u32; covered];
        for (new, old) in rows.iter().enumerate() {
            moved[*old as usize] = new as u32;
        }
        let gone = covered - rows.len();
        let mut state = self.state.write();
        let state = &mut *state;
        for entry in state.table.iter_mut() {
            let first = entry.slot.first as usize;
            entry.slot.first = match moved.get(first) {
                Some(new) => *new,
                None => (first - gone) as u32,
            };
        }
        Arc::make_mut(&mut state.snapshot).compacted(covered, batch);
        state.dead -= gone;
        Ok(())
    }
}
