//! Keys that were not used for longest, on disk.
//!
//! ```text
//!  slots:  key  chunk that used it last            memory exceeded
//!          a    17                                 ─────────────> half of the keys, oldest first, go to disk
//!          b     3                                                as rows of the state table; the others get new
//!          c    16                                                tables of the size that they need
//!               ^
//!               └── keys of a chunk that are on disk come back before it is looked at
//! ```
//! Accumulators never shrink, so that memory comes back by building the operator's tables anew. That is as much
//! work as there are keys, and done only when as many have come as stayed the last time.
//!
//! A checkpoint knows a key by an *id*. It is the slot as long as nothing was ever moved; from then on a key
//! keeps the id it has, wherever it is.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::concat_batches;
use hashbrown::HashSet;

use super::GroupAggregate;
use crate::error::Result;
use crate::operator::aggregate::state::state_batch;
use crate::state::memory::Share;
use crate::state::{ColdRows, Expiry, KeyTable, Memory, hash_rows};

/// No id.
const NONE: u32 = u32::MAX;

/// Keys whose state is moved at once.
const PIECE: usize = 8192;

/// Ids of slots.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// `None`: each slot is its own id.
    by_slot: Option<Vec<u32>>,
    free: Vec<u32>,
    next: u32,
}

impl Ids {
    /// The id of a slot in use, which gets one if it has none.
    #[inline]
    pub(super) fn of(&mut self, slot: u32) -> u32 {
        if self.by_slot.is_none() { slot } else { self.find(slot) }
    }

    fn find(&mut self, slot: u32) -> u32 {
        let Some(ids) = &mut self.by_slot else { return slot };
        if ids.len() <= slot as usize {
            ids.resize(slot as usize + 1, NONE);
        }
        let id = &mut ids[slot as usize];
        if *id == NONE {
            *id = self.free.pop().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
        }
        *id
    }

    /// The slot is not in use any more; the id that it had.
    pub(super) fn release(&mut self, slot: u32) -> u32 {
        let id = self.of(slot);
        if let Some(ids) = &mut self.by_slot {
            ids[slot as usize] = NONE;
            self.free.push(id);
        }
        id
    }

    /// A key comes back with the id that it has.
    fn set(&mut self, slot: u32, id: u32) {
        let Some(ids) = &mut self.by_slot else { return };
        if ids.len() <= slot as usize {
            ids.resize(slot as usize + 1, NONE);
        }
        ids[slot as usize] = id;
    }

    /// From now on ids stay with their keys.
    fn separate(&mut self, slots: &[u32], capacity: usize) {
        if self.by_slot.is_some() {
            return;
        }
        let mut ids = vec![NONE; capacity];
        slots.iter().for_each(|&slot| ids[slot as usize] = slot);
        self.free = (0..capacity as u32).filter(|&slot| ids[slot as usize] == NONE).collect();
        self.next = capacity as u32;
        self.by_slot = Some(ids);
    }

    /// Slots by id.
    fn slots(&self) -> Option<Vec<u32>> {
        let ids = self.by_slot.as_ref()?;
        let mut slots = vec![NONE; self.next as usize];
        let used = ids.iter().enumerate().filter(|(_, id)| **id != NONE);
        used.for_each(|(slot, &id)| slots[id as usize] = slot as u32);
        Some(slots)
    }

    pub(super) fn memory(&self) -> usize {
        (self.by_slot.as_ref().map_or(0, Vec::capacity) + self.free.capacity()) * 4
    }
}

/// The part of the state that is on disk.
#[derive(Debug)]
pub(super) struct Spill {
    share: Share,
    cold: ColdRows,
    /// Keys that were used since memory was looked at last.
    used: usize,
    /// Keys on disk that differ from the last checkpoint, if they still are there: hash and id.
    left: Vec<(u64, u32)>,
    /// Ids that a checkpoint has and that were gone when keys were moved.
    removed: Vec<Range<u64>>,
}

impl Spill {
    pub(super) fn memory(&self) -> usize {
        self.cold.memory() + self.left.capacity() * size_of::<(u64, u32)>()
    }

    /// Keys on disk.
    pub(super) fn len(&self) -> usize {
        self.cold.len()
    }
}

impl GroupAggregate {
    /// What moves keys to disk when `memory` is exceeded; `None` where that never happens or keys or state are of
    /// a type that cannot be there.
    pub(super) fn spill_to(&self, memory: &Arc<Memory>) -> Option<Spill> {
        if !memory.is_limited() || self.spec.keys.is_empty() {
            return None;
        }
        let types: Vec<_> = self.state.fields().iter().map(|f| f.data_type().clone()).collect();
        let keys: Vec<ArrayRef> = types[..self.spec.keys.len()].iter().map(new_empty_array).collect();
        hash_rows(&keys, 0, &mut Vec::new()).ok()?;
        let cold = ColdRows::new(&types, memory)?;
        let (left, removed) = (Vec::new(), Vec::new());
        Some(Spill { share: Share::new(memory), cold, used: 0, left, removed })
    }

    /// Brings keys back that are on disk.
    pub(super) fn fetch(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(spill) = self.spill.as_mut().filter(|s| !s.cold.is_empty()) else { return Ok(()) };
        let mut hashes = Vec::new();
        hash_rows(keys, rows, &mut hashes)?;
        let (ids, columns) = spill.cold.take(&hashes)?;
        if ids.is_empty() {
            return Ok(());
        }
        let rows = state_batch(&self.state, columns, ids.len())?;
        let slots = self.put_back(&rows)?;
        for (slot, id) in slots.into_iter().zip(ids) {
            self.ids.set(slot, id);
            self.slots[slot as usize].chunk = self.chunk;
            // It may not be one that the chunk has, and may differ from the last checkpoint.
            self.changed.mark(id);
        }
        Ok(())
    }

    /// So many keys were used: moves keys to disk if there are too many in memory.
    pub(super) fn make_room(&mut self, used: usize) -> Result<()> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        spill.used += used;
        if spill.used < self.patience.max(self.keys.len() / 2) {
            return Ok(());
        }
        spill.used = 0;
        let expired = self.expiry.as_ref().map(|e| self.now().saturating_sub(e.ttl()));
        if let (Some(moment), Some(spill)) = (expired, &mut self.spill) {
            for id in spill.cold.expire(moment)? {
                self.ids.free.push(id);
                self.changed.remove(id);
            }
        }
        let bytes = self.memory();
        if self.spill.as_mut().is_some_and(|s| s.share.set(bytes)) && self.keys.len() >= self.patience {
            self.evict()?;
            let bytes = self.memory();
            if let Some(spill) = &mut self.spill {
                spill.share.set(bytes);
            }
        }
        Ok(())
    }

    /// Moves the half of the keys to disk that were not used for longest.
    fn evict(&mut self) -> Result<()> {
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        let mut slots = self.keys.slots();
        let half = slots.len().div_ceil(2);
        if half > 0 && half < slots.len() {
            let age = |slot: &u32| self.chunk.wrapping_sub(self.slots[*slot as usize].chunk);
            slots.select_nth_unstable_by_key(half, |slot| Reverse(age(slot)));
        }
        self.ids.separate(&slots, self.keys.capacity());
        let (cold, hot) = slots.split_at(half);
        let (changed, removed) = self.changed.take();
        spill.removed.extend(removed);
        let mut changed: HashSet<u32> = changed.into_iter().collect();
        let mut hashes = Vec::new();
        for slots in cold.chunks(PIECE) {
            let rows = self.state_of(slots)?;
            let ids: Vec<u32> = slots.iter().map(|&slot| self.ids.of(slot)).collect();
            hash_rows(&rows.columns()[..self.spec.keys.len()], slots.len(), &mut hashes)?;
            let newest = slots.iter().filter_map(|&s| self.expiry.as_ref().map(|e| e.written(s))).max();
            spill.cold.put(&hashes, &ids, rows.columns(), newest.unwrap_or(i64::MAX))?;
            let moved = hashes.iter().copied().zip(ids);
            spill.left.extend(moved.filter(|(_, id)| changed.remove(id)));
        }
        changed.into_iter().for_each(|id| self.changed.mark(id));
        // The others begin anew.
        let kept = hot.iter().map(|&slot| (self.ids.of(slot), self.slots[slot as usize].chunk));
        let kept: Vec<(u32, u32)> = kept.collect();
        let pieces = hot.chunks(PIECE).map(|slots| self.state_of(slots)).collect::<Result<Vec<_>>>()?;
        let types: Vec<_> =
            self.state.fields().iter().take(self.spec.keys.len()).map(|f| f.data_type().clone()).collect();
        self.keys = KeyTable::new(&types)?;
        self.accumulators =
            self.spec.calls.iter().map(|c| c.accumulator(self.spec.input_changes)).collect::<Result<_>>()?;
        self.slots = Vec::new();
        self.expiry = Expiry::new(self.spec.state_ttl);
        self.ids.by_slot = Some(Vec::new());
        let mut kept = kept.into_iter();
        for rows in pieces {
            let slots = self.put_back(&rows)?;
            for (slot, (id, chunk)) in slots.into_iter().zip(kept.by_ref()) {
                self.ids.set(slot, id);
                self.slots[slot as usize].chunk = chunk;
            }
        }
        self.spill = Some(spill);
        Ok(())
    }

    /// Ids and rows that a checkpoint gets, and ids that are gone.
    pub(super) fn changes(&mut self, full: bool) -> Result<(Vec<u64>, RecordBatch, Vec<Range<u64>>)> {
        let (mut slots, mut removed) = self.changed.take();
        let by_id = self.ids.slots();
        match &by_id {
            _ if full => slots = self.keys.slots(),
            // Changed keys that are not in memory are among those that were left.
            Some(by_id) => {
                slots.iter_mut().for_each(|id| *id = by_id.get(*id as usize).copied().unwrap_or(NONE));
                slots.retain(|&slot| slot != NONE);
            }
            None => {}
        }
        let mut ids: Vec<u64> = slots.iter().map(|&slot| u64::from(self.ids.of(slot))).collect();
        let mut rows = self.state_of(&slots)?;
        if let Some(spill) = &mut self.spill {
            removed.append(&mut spill.removed);
            let mut left = std::mem::take(&mut spill.left);
            left.sort_unstable();
            left.dedup();
            let (more, columns) = if full { spill.cold.all()? } else { spill.cold.get(&left)? };
            if !more.is_empty() {
                let cold = state_batch(&self.state, columns, more.len())?;
                rows = concat_batches(&self.state, [&rows, &cold])?;
                ids.extend(more.into_iter().map(u64::from));
            }
        }
        Ok((ids, rows, removed))
    }
}
