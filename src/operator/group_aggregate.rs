//! `GROUP BY` without a window: results per key that change with every row.
//!
//! ```text
//!  chunk ──> slots of the keys ──> results before ──> update ──> results after ──> changes
//!            (each key once)            └───────── equal? nothing is emitted ───┘
//! ```
//! A chunk gives at most one change a key, however many rows of it the chunk has: what Flink calls
//! mini-batching costs nothing here. The result before is not kept but computed again from the state, so
//! a key takes its key, its accumulators and 12 bytes.
//!
//! | rows of the key before | after | emitted |
//! |---|---|---|
//! | none | some | `+I` |
//! | some | some | `-U` `+U`, or nothing if the results are equal |
//! | some | none | `-D`; the key is forgotten |
//!
//! As in Flink, a row that is taken back from a key without rows is ignored, the one group of an aggregation
//! without keys comes into being with the first row, and with a time-to-live equal results are emitted too,
//! so that those downstream who forget in time are refreshed. `SELECT DISTINCT` is an aggregation without
//! calls.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMillisecondType};

use super::aggregate::state::{
    append_state, check_state, instant_type, restore_state, state_batch, state_schema,
};
use super::aggregate::{Accumulator, AggregateCall, Rows, equal_rows};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::message::{Chunk, Kind, Kinds, Message};
use crate::flow::operator::{ColdSpec, Operator, OperatorContext, Output};
use crate::state::columns;
use crate::state::{Changed, Expiry, KeyTable, Restored, Scope, Snapshot};

/// The table of a checkpoint: `keys, rows, [written], state of the calls`.
const GROUPS: &str = "groups";

/// What a [`GroupAggregate`] does.
#[derive(Debug, Clone)]
pub struct GroupAggregateSpec {
    /// Group columns, as positions in the input.
    pub keys: Vec<usize>,
    /// Aggregate calls over the input.
    pub calls: Vec<AggregateCall>,
    /// Keys, then results.
    pub schema: SchemaRef,
    /// The input may hold updates and deletes; updates come with `-U`.
    pub input_changes: bool,
    /// Whether `-U` is emitted with `+U`.
    pub emit_before: bool,
    /// Keys that no row came for during this time are forgotten.
    pub state_ttl: Option<Duration>,
}

/// What is known of a slot beside its accumulators.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Rows of the key; 0 where the slot is free.
    rows: i64,
    /// The chunk that touched it last.
    chunk: u32,
}

/// A key that a chunk touches.
#[derive(Debug, Clone, Copy)]
struct Touched {
    slot: u32,
    /// The first row of the chunk with the key.
    row: u32,
    /// Rows of the key before the chunk.
    before: i64,
}

/// Unbounded aggregation.
#[derive(Debug)]
pub struct GroupAggregate {
    spec: GroupAggregateSpec,
    keys: KeyTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    slots: Vec<Slot>,
    expiry: Option<Expiry>,
    /// Slots whose keys differ from the last checkpoint.
    changed: Changed,
    /// Columns of [`GROUPS`].
    state: SchemaRef,
    chunk: u32,
    clock: Option<Arc<dyn Clock>>,
    /// Retractions of rows that were never added.
    ignored: u64,
    // Scratch, kept for its memory.
    row_slots: Vec<u32>,
    touched: Vec<Touched>,
}

impl GroupAggregate {
    /// An operator without state yet.
    pub fn new(spec: GroupAggregateSpec) -> Result<Self> {
        let fields = spec.schema.fields();
        if fields.len() != spec.keys.len() + spec.calls.len() {
            return Err(Error::internal("an aggregation's schema has another number of columns"));
        }
        let types: Vec<_> = fields[..spec.keys.len()].iter().map(|f| f.data_type().clone()).collect();
        let accumulators: Vec<_> =
            spec.calls.iter().map(|c| c.accumulator(spec.input_changes)).collect::<Result<_>>()?;
        let expiry = Expiry::new(spec.state_ttl);
        let keys = fields[..spec.keys.len()].iter().map(|f| (f.name().clone(), f.data_type().clone()));
        let mut columns: Vec<(String, DataType)> = keys.collect();
        columns.push(("rows".into(), DataType::Int64));
        if expiry.is_some() {
            columns.push(("written".into(), instant_type()));
        }
        Ok(Self {
            keys: KeyTable::new(&types)?,
            slots: Vec::new(),
            state: state_schema(columns, &spec.calls, &accumulators),
            expiry,
            changed: Changed::default(),
            chunk: 0,
            clock: None,
            ignored: 0,
            accumulators,
            row_slots: Vec::new(),
            touched: Vec::new(),
            spec,
        })
    }

    /// Retractions that were ignored because their key had no rows.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Keys with state.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key has state.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|a| a.memory()).sum();
        self.keys.memory() + accumulators + self.slots.capacity() * size_of::<Slot>() + self.changed.memory()
    }

    fn now(&self) -> i64 {
        self.clock.as_ref().map_or(0, |c| c.now_millis())
    }

    /// Forgets a key.
    fn clear(&mut self, slot: u32) {
        self.slots[slot as usize].rows = 0;
        self.accumulators.iter_mut().for_each(|a| a.reset(slot));
        self.keys.remove(slot);
        self.changed.remove(slot);
    }

    /// Makes room for all slots that there are.
    fn grow(&mut self) {
        let capacity = self.keys.capacity();
        if capacity > self.slots.len() {
            self.slots.resize(capacity, Slot::default());
            self.accumulators.iter_mut().for_each(|a| a.resize(capacity));
        }
    }

    /// Rows of [`GROUPS`].
    fn state_of(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.keys.take(slots)?;
        let rows = slots.iter().map(|&s| self.slots[s as usize].rows);
        columns.push(Arc::new(Int64Array::from_iter_values(rows)));
        if let Some(expiry) = &self.expiry {
            let written = slots.iter().map(|&s| expiry.written(s));
            let written = TimestampMillisecondArray::from_iter_values(written);
            columns.push(Arc::new(written.with_data_type(instant_type())));
        }
        append_state(&self.accumulators, slots, &mut columns)?;
        state_batch(&self.state, columns, slots.len())
    }

    /// Takes rows of [`GROUPS`] in, whose keys have no slot.
    fn put_back(&mut self, rows: &RecordBatch) -> Result<()> {
        check_state(&self.state, rows)?;
        let (mut own, mut slots) = (self.spec.keys.len(), Vec::new());
        self.keys.intern(&rows.columns()[..own], rows.num_rows(), &mut slots)?;
        self.grow();
        let counts = rows.column(own).as_primitive::<Int64Type>();
        slots.iter().zip(counts.values()).for_each(|(&s, &rows)| self.slots[s as usize].rows = rows);
        own += 1;
        if let Some(expiry) = &mut self.expiry {
            let written = rows.column(own).as_primitive::<TimestampMillisecondType>();
            slots.iter().zip(written.values()).for_each(|(&s, &at)| expiry.touch(s, at));
            own += 1;
        }
        restore_state(&mut self.accumulators, &slots, rows, own)?;
        // Where rows come back from disk, those of its keys may differ from the last checkpoint.
        slots.iter().for_each(|&slot| self.changed.mark(slot));
        Ok(())
    }

    /// Finds the slots of the rows and the keys that are touched; counts the rows of each key. Gives which
    /// rows are to be ignored, if any.
    fn count_rows(&mut self, chunk: &Chunk, keys: &[ArrayRef]) -> Result<Option<Vec<bool>>> {
        let mut row_slots = std::mem::take(&mut self.row_slots);
        self.keys.intern(keys, chunk.len(), &mut row_slots)?;
        self.grow();
        self.chunk = self.chunk.wrapping_add(1);
        if self.chunk == 0 {
            // The counter came round: no slot may look as if it was touched already.
            self.slots.iter_mut().for_each(|s| s.chunk = 0);
            self.chunk = 1;
        }
        self.touched.clear();
        let current = self.chunk;
        let now = self.now();
        let mut selected: Option<Vec<bool>> = None;
        for (row, &slot) in row_slots.iter().enumerate() {
            let entry = &mut self.slots[slot as usize];
            if entry.chunk != current {
                entry.chunk = current;
                if let Some(expiry) = &mut self.expiry {
                    if expiry.is_expired(slot, now) {
                        entry.rows = 0;
                        self.accumulators.iter_mut().for_each(|a| a.reset(slot));
                    }
                    expiry.touch(slot, now);
                }
                self.changed.mark(slot);
                self.touched.push(Touched { slot, row: row as u32, before: entry.rows });
            }
            match chunk.kinds.get(row) {
                Kind::Insert | Kind::UpdateAfter => entry.rows += 1,
                Kind::UpdateBefore | Kind::Delete if entry.rows > 0 => entry.rows -= 1,
                Kind::UpdateBefore | Kind::Delete => {
                    self.ignored += 1;
                    selected.get_or_insert_with(|| vec![true; chunk.len()])[row] = false;
                }
            }
        }
        self.row_slots = row_slots;
        Ok(selected)
    }

    fn results(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter().map(|a| a.values(slots)).collect()
    }

    /// The changes of the touched keys.
    fn emit(
        &self,
        chunk: &Chunk,
        keys: &[ArrayRef],
        old: &[ArrayRef],
        new: &[ArrayRef],
    ) -> Result<Option<Chunk>> {
        // With a time-to-live, equal results refresh those who forget downstream.
        let equal = if self.expiry.is_some() { None } else { equal_rows(old, new, self.touched.len())? };
        let mut kinds = Vec::with_capacity(self.touched.len() * 2);
        let mut results: Vec<(usize, usize)> = Vec::with_capacity(self.touched.len() * 2);
        let mut rows: Vec<u32> = Vec::with_capacity(self.touched.len() * 2);
        let mut push = |kind: Kind, side: usize, i: usize, row: u32| {
            kinds.push(kind);
            results.push((side, i));
            rows.push(row);
        };
        for (i, touched) in self.touched.iter().enumerate() {
            let after = self.slots[touched.slot as usize].rows;
            match (touched.before > 0, after > 0) {
                (false, true) => push(Kind::Insert, 1, i, touched.row),
                (true, false) => push(Kind::Delete, 0, i, touched.row),
                (true, true) if equal.as_ref().is_none_or(|e| !e[i]) => {
                    if self.spec.emit_before {
                        push(Kind::UpdateBefore, 0, i, touched.row);
                    }
                    push(Kind::UpdateAfter, 1, i, touched.row);
                }
                _ => {}
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let indices = UInt32Array::from(rows);
        let mut columns = Vec::with_capacity(self.spec.schema.fields().len());
        for key in keys {
            columns.push(take(key, &indices, None)?);
        }
        for (old, new) in old.iter().zip(new) {
            columns.push(interleave(&[old.as_ref(), new.as_ref()], &results)?);
        }
        let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
        let kinds = if kinds.iter().all(|k| *k == Kind::Insert) {
            Kinds::Append
        } else {
            Kinds::Changes(kinds.into())
        };
        Ok(Some(Chunk { batch, kinds, ingest: chunk.ingest }))
    }
}

impl Operator for GroupAggregate {
    fn name(&self) -> &'static str {
        "GroupAggregate"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = Some(context.clock);
        self.changed = Changed::new(context.checkpointed);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (changed, removed) = self.changed.take();
        let slots = if snapshot.is_full() { self.keys.slots() } else { changed };
        let rows = self.state_of(&slots)?;
        let scope = Scope::Keyed((0..self.spec.keys.len()).collect());
        snapshot.table(GROUPS, scope, slots.into_iter().map(u64::from).collect(), rows, removed)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let now = state.now();
        for piece in state.table(GROUPS)? {
            self.put_back(&columns::with_time_as_in(&self.state, &piece.rows, now)?)?;
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let keyed = !self.spec.keys.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![self.spec.keys.clone()], &[GROUPS], self.spec.state_ttl))
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        // Without GROUP BY there is one row, even over nothing.
        if self.spec.keys.is_empty() && self.is_empty() && self.expiry.is_none() {
            let mut slots = Vec::new();
            self.keys.intern(&[], 1, &mut slots)?;
            self.grow();
            let columns = self.results(&slots)?;
            slots.into_iter().for_each(|slot| self.clear(slot));
            let batch = RecordBatch::try_new(self.spec.schema.clone(), columns)?;
            out.chunk(Chunk::append(batch, crate::clock::instant()));
        }
        out.push(Message::End);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&k| chunk.batch.column(k).clone()).collect();
        let ignored = self.ignored;
        let selected = self.count_rows(&chunk, &keys)?;
        if ignored == 0 && self.ignored > 0 {
            log::warn!("GroupAggregate ignores retractions for a key without rows");
        }
        let touched: Vec<u32> = self.touched.iter().map(|t| t.slot).collect();
        let old = self.results(&touched)?;
        let retracted: Option<Vec<bool>> = match &chunk.kinds {
            Kinds::Append => None,
            Kinds::Changes(kinds) => {
                let back: Vec<bool> =
                    kinds.iter().map(|k| matches!(k, Kind::UpdateBefore | Kind::Delete)).collect();
                back.contains(&true).then_some(back)
            }
        };
        for (call, accumulator) in self.spec.calls.iter().zip(&mut self.accumulators) {
            let args = call.arguments(&chunk.batch)?;
            let filtered = call.selection(&chunk.batch, selected.as_deref())?;
            let rows = Rows {
                selected: filtered.as_deref().or(selected.as_deref()),
                retracted: retracted.as_deref(),
            };
            accumulator.update(&self.row_slots, &args, rows)?;
        }
        let new = self.results(&touched)?;
        if let Some(changes) = self.emit(&chunk, &keys, &old, &new)? {
            out.chunk(changes);
        }
        for slot in touched {
            if self.slots[slot as usize].rows == 0 {
                self.clear(slot);
                if let Some(expiry) = &mut self.expiry {
                    expiry.forget(slot);
                }
            }
        }
        let now = self.now();
        let expired = self.expiry.as_mut().map(|e| e.sweep(now));
        expired.into_iter().flatten().for_each(|slot| self.clear(slot));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
