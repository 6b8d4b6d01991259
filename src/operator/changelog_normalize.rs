//! Upserts to changes: what a row with the same key was before.
//!
//! An upsert stream says what holds for a key from now on, or (`-D`) that nothing does, and need not know
//! what held before. Operators behind it do: so the last row of each key is kept, and every upsert becomes
//! an insert or an update from that row.
//!
//! ```text
//!   upserts                      changes
//!   +I (1, a)                    +I (1, a)
//!   +I (1, b)         ──>        -U (1, a), +U (1, b)
//!   +U (1, b)                    nothing: it was so before
//!   -D (1, NULL)                 -D (1, b)
//!   -D (2, NULL)                 nothing: there was none
//! ```

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, DynComparator, RecordBatch, TimestampMillisecondArray, UInt32Array, make_comparator,
};
use arrow::compute::{SortOptions, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMillisecondType};

use super::aggregate::state::{check_state, instant_type, named, state_batch};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Operator, OperatorContext, Output};
use crate::state::columns;
use crate::state::{Changed, Expiry, KeyTable, Restored, RowStore, Scope, Snapshot};

/// The table of a checkpoint: the last row of each key, and when it was written if it expires.
const ROWS: &str = "rows";

/// What to normalize.
#[derive(Debug, Clone)]
pub struct ChangelogNormalizeSpec {
    /// The key's columns.
    pub keys: Vec<usize>,
    /// Columns of the input, which are those of the output.
    pub schema: SchemaRef,
    /// Whether `-U` is to be emitted with `+U`.
    pub emit_before: bool,
    /// `table.exec.state.ttl`: a key that was not written for so long is new again.
    pub state_ttl: Option<Duration>,
}

/// No row is kept for a slot.
const NONE: u32 = u32::MAX;

/// Makes changes of upserts.
#[derive(Debug)]
pub struct ChangelogNormalize {
    spec: ChangelogNormalizeSpec,
    keys: KeyTable,
    rows: RowStore,
    /// The kept row of each slot.
    last: Vec<u32>,
    /// For each slot, its place among those that a chunk touches; [`NONE`] between chunks.
    touched: Vec<u32>,
    slots: Vec<u32>,
    expiry: Option<Expiry>,
    /// Slots that differ from the last checkpoint.
    changed: Changed,
    /// Columns of [`ROWS`].
    state: SchemaRef,
    clock: Option<Arc<dyn Clock>>,
}

impl ChangelogNormalize {
    /// An operator for one task.
    pub fn new(spec: ChangelogNormalizeSpec) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|i| spec.schema.field(*i).data_type().clone()).collect();
        let expiry = Expiry::new(spec.state_ttl);
        let fields = spec.schema.fields().iter();
        let mut columns: Vec<(String, DataType)> =
            fields.map(|f| (f.name().clone(), f.data_type().clone())).collect();
        if expiry.is_some() {
            columns.push(("written".into(), instant_type()));
        }
        Ok(Self {
            keys: KeyTable::new(&types)?,
            state: named(columns),
            changed: Changed::default(),
            rows: RowStore::new(spec.schema.clone()),
            expiry,
            clock: None,
            spec,
            last: Vec::new(),
            touched: Vec::new(),
            slots: Vec::new(),
        })
    }

    /// Forgets what was not written for too long; the keys of the chunk are written now.
    fn expire(&mut self) -> Result<()> {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return Ok(()) };
        for (slot, remove) in expiry.write(&self.slots, clock.now_millis()) {
            let row = std::mem::replace(&mut self.last[slot as usize], NONE);
            if row != NONE {
                self.rows.free(row)?;
            }
            if remove {
                self.keys.remove(slot);
                self.changed.remove(slot);
            }
        }
        Ok(())
    }

    /// The last word of a chunk on each key: slot and row, in the order of the keys' first rows; `None`
    /// where the key's row went.
    fn last_words(&mut self, chunk: &Chunk) -> Result<Vec<(u32, Option<u32>)>> {
        let columns: Vec<ArrayRef> = self.spec.keys.iter().map(|i| chunk.batch.column(*i).clone()).collect();
        self.keys.intern(&columns, chunk.len(), &mut self.slots)?;
        self.last.resize(self.keys.capacity(), NONE);
        self.touched.resize(self.keys.capacity(), NONE);
        self.expire()?;
        let mut words: Vec<(u32, Option<u32>)> = Vec::new();
        for (row, slot) in self.slots.iter().enumerate() {
            let word = match chunk.kinds.get(row) {
                Kind::Insert | Kind::UpdateAfter => Some(row as u32),
                Kind::Delete | Kind::UpdateBefore => None,
            };
            let place = &mut self.touched[*slot as usize];
            if *place == NONE {
                *place = words.len() as u32;
                words.push((*slot, word));
            } else {
                words[*place as usize].1 = word;
            }
        }
        words.iter().for_each(|(slot, _)| self.touched[*slot as usize] = NONE);
        Ok(words)
    }
}

/// Compares rows of two batches for equality; columns of a type that cannot be compared differ.
struct SameRows(Option<Vec<DynComparator>>);

impl SameRows {
    fn new(left: &RecordBatch, right: &RecordBatch) -> Self {
        let columns = left.columns().iter().zip(right.columns());
        Self(columns.map(|(l, r)| make_comparator(l, r, SortOptions::default()).ok()).collect())
    }

    fn same(&self, left: usize, right: usize) -> bool {
        self.0.as_ref().is_some_and(|columns| columns.iter().all(|c| c(left, right) == Ordering::Equal))
    }
}

impl Operator for ChangelogNormalize {
    fn name(&self) -> &'static str {
        "ChangelogNormalize"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = Some(context.clock);
        self.changed = Changed::new(context.checkpointed);
        self.rows.limit(&context.memory);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (changed, removed) = self.changed.take();
        let slots = if snapshot.is_full() { self.keys.slots() } else { changed };
        let rows: Vec<u32> = slots.iter().map(|&s| self.last[s as usize]).collect();
        let mut columns = self.rows.take(&rows)?.columns().to_vec();
        if let Some(expiry) = &self.expiry {
            let written = slots.iter().map(|&s| expiry.written(s));
            let written = TimestampMillisecondArray::from_iter_values(written);
            columns.push(Arc::new(written.with_data_type(instant_type())));
        }
        let rows = state_batch(&self.state, columns, slots.len())?;
        let scope = Scope::Keyed(self.spec.keys.clone());
        snapshot.table(ROWS, scope, slots.into_iter().map(u64::from).collect(), rows, removed)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let now = state.now();
        for piece in state.table(ROWS)? {
            let rows = columns::with_time_as_in(&self.state, &piece.rows, now)?;
            check_state(&self.state, &rows)?;
            let columns = rows.columns();
            let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| columns[i].clone()).collect();
            self.keys.intern(&keys, piece.rows.num_rows(), &mut self.slots)?;
            self.last.resize(self.keys.capacity(), NONE);
            let width = self.spec.schema.fields().len();
            let rows = RecordBatch::try_new(self.spec.schema.clone(), columns[..width].to_vec())?;
            let mut ids = Vec::with_capacity(self.slots.len());
            self.rows.push(&rows, &mut ids)?;
            self.slots.iter().zip(ids).for_each(|(&slot, id)| self.last[slot as usize] = id);
            if let Some(expiry) = &mut self.expiry {
                let written = columns[width].as_primitive::<TimestampMillisecondType>();
                self.slots.iter().zip(written.values()).for_each(|(&slot, &at)| expiry.touch(slot, at));
            }
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let keyed = !self.spec.keys.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![self.spec.keys.clone()], &[ROWS], self.spec.state_ttl))
    }

    fn state_bytes(&self) -> usize {
        self.keys.memory() + self.rows.memory() + (self.last.capacity() + self.touched.capacity()) * 4
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let words = self.last_words(&chunk)?;
        let old_ids: Vec<u32> =
            words.iter().map(|(slot, _)| self.last[*slot as usize]).filter(|id| *id != NONE).collect();
        let old = self.rows.take(&old_ids)?;
        let compare = SameRows::new(&old, &chunk.batch);
        // Rows to emit: of `old` (0) or of the chunk (1).
        let mut picks: Vec<(usize, usize)> = Vec::new();
        let mut kinds = Vec::new();
        let mut kept: Vec<u32> = Vec::new();
        let mut keepers: Vec<u32> = Vec::new();
        let mut next_old = 0;
        for (slot, word) in words {
            let before = self.last[slot as usize];
            let old_row = next_old;
            if before != NONE {
                next_old += 1;
            }
            match (before != NONE, word) {
                (true, Some(row)) if compare.same(old_row, row as usize) => {
                    // Nothing but the time at which it was written.
                    if self.expiry.is_some() {
                        self.changed.mark(slot);
                    }
                    continue;
                }
                (true, Some(row)) => {
                    if self.spec.emit_before {
                        picks.push((0, old_row));
                        kinds.push(Kind::UpdateBefore);
                    }
                    picks.push((1, row as usize));
                    kinds.push(Kind::UpdateAfter);
                }
                (false, Some(row)) => {
                    picks.push((1, row as usize));
                    kinds.push(Kind::Insert);
                }
                (true, None) => {
                    picks.push((0, old_row));
                    kinds.push(Kind::Delete);
                }
                (false, None) => {}
            }
            if before != NONE {
                self.rows.free(before)?;
            }
            match word {
                Some(row) => {
                    kept.push(row);
                    keepers.push(slot);
                    self.changed.mark(slot);
                }
                None => {
                    self.last[slot as usize] = NONE;
                    self.keys.remove(slot);
                    self.changed.remove(slot);
                    self.expiry.iter_mut().for_each(|expiry| expiry.forget(slot));
                }
            }
        }
        let mut ids = Vec::with_capacity(kept.len());
        self.rows.push(&take_record_batch(&chunk.batch, &UInt32Array::from(kept))?, &mut ids)?;
        for (slot, id) in keepers.into_iter().zip(ids) {
            self.last[slot as usize] = id;
        }
        if picks.is_empty() {
            return Ok(());
        }
        let batch = interleave_record_batch(&[&old, &chunk.batch], &picks)?;
        out.chunk(Chunk { batch, kinds: Kinds::Changes(kinds.into()), ingest: chunk.ingest });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
