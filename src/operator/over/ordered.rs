//! OVER in any order, on input that may change: a row that comes in between, or is taken back, changes the
//! results of the rows behind it.
//!
//! ```text
//!  ORDER BY price, SUM(n):   [1, n 5] 5   [4, n 1] 6            <── +I [2, n 7]
//!                            [1, n 5] 5   [2, n 7] 12  [4, n 1] -U 6, +U 13
//! ```
//! The rows of a partition are kept in their order with the results that were emitted. A partition that a
//! chunk touches is computed anew, once a chunk, and what differs is emitted.
//!
//! In batch mode nothing is computed before the input has ended.
//!
//! In a checkpoint each row has the results that were emitted with it: they are what has to be taken back, even by a
//! job whose functions compute something else.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};

use super::calls::Calls;
use super::{Frame, OverOrder, OverSpec};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output};
use crate::operator::partitions::{self, Partitions};
use crate::operator::ranking::{self, PutBack, RankFunction, Ranking, SortKeys, key_of};
use crate::state::{Expiry, KeyTable, Restored, RowStore, Snapshot};

/// No result yet.
const NONE: u32 = u32::MAX;

/// Rows whose partitions are computed together when the input has ended; a partition is never split.
const ROWS_AT_END: usize = 65_536;

/// The operator of one task, for rows ordered by any columns.
#[derive(Debug)]
pub struct OrderedOver {
    spec: OverSpec,
    pub(super) keys: KeyTable,
    sort: SortKeys,
    ranking: Ranking,
    calls: Calls,
    /// What was emitted behind each row, and where: by entry of the ranking.
    pub(super) results: RowStore,
    result_of: Vec<u32>,
    whole: RowConverter,
    expiry: Option<Expiry>,
    /// When partitions were written.
    written: Partitions,
    clock: Option<Arc<dyn Clock>>,
    slots: Vec<u32>,
    is_touched: Vec<bool>,
}

/// Rows that come out: kind, row in the ranking's store, result in the results.
#[derive(Default)]
struct Changes {
    kinds: Vec<Kind>,
    rows: Vec<u32>,
    results: Vec<u32>,
}

impl Changes {
    fn push(&mut self, kind: Kind, row: u32, result: u32) {
        self.kinds.push(kind);
        self.rows.push(row);
        self.results.push(result);
    }
}

impl OrderedOver {
    /// An operator for one task.
    pub fn new(spec: OverSpec) -> Result<Self> {
        let OverOrder::Columns(columns) = &spec.order else {
            return Err(Error::internal("an ordered OVER without columns"));
        };
        if !matches!(spec.frame, Frame::UnboundedRows | Frame::UnboundedRange) {
            return Err(Error::unsupported(
                "OVER by a column that is no time attribute has an unbounded frame",
            ));
        }
        let types: Vec<_> = spec.partition.iter().map(|&c| spec.input.field(c).data_type().clone()).collect();
        let added = spec.schema.fields().iter().skip(spec.input.fields().len()).cloned();
        let added: SchemaRef = Arc::new(Schema::new(added.collect::<Vec<_>>()));
        let whole = added.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        Ok(Self {
            keys: KeyTable::new(&types)?,
            sort: SortKeys::new(columns, &spec.input)?,
            // Rows are taken back only from changing input, but they are never dropped.
            ranking: Ranking::new(RankFunction::RowNumber, (1, u64::MAX), true, false, &spec.input)?,
            calls: Calls::new(&spec)?,
            whole: RowConverter::new(whole)?,
            results: RowStore::new(added),
            result_of: Vec::new(),
            expiry: Expiry::new(spec.state_ttl),
            written: Partitions::new(&spec.input, &spec.partition),
            clock: None,
            slots: Vec::new(),
            is_touched: Vec::new(),
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.ranking.memory() + self.results.memory() + self.calls.memory()
    }

    fn expire(&mut self) -> Result<()> {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return Ok(()) };
        let now = clock.now_millis();
        let expired: Vec<u32> = self.slots.iter().copied().filter(|&s| expiry.is_expired(s, now)).collect();
        for slot in expired {
            expiry.forget(slot);
            self.ranking.clear(slot);
        }
        for &slot in &self.slots {
            expiry.touch(slot, now);
            self.written.changed.mark(slot);
        }
        for slot in expiry.sweep(now) {
            self.ranking.clear(slot);
            self.keys.remove(slot);
            self.written.changed.remove(slot);
        }
        self.free_results()?;
        self.ranking.forget()
    }

    /// Frees the results of rows that are gone.
    fn free_results(&mut self) -> Result<()> {
        for (entry, _, kept) in self.ranking.gone() {
            if let Some(result) = self.result_of.get_mut(entry as usize).filter(|r| kept && **r != NONE) {
                self.results.free(std::mem::replace(result, NONE))?;
            }
        }
        Ok(())
    }

    /// Computes the partitions that were touched, and compares.
    fn recompute(&mut self, touched: &[u32], changes: &mut Changes) -> Result<Vec<u32>> {
        let (mut entries, mut slots, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for &slot in touched {
            let (mut group, mut last) = (0i64, None::<Box<[u8]>>);
            self.ranking.visit(slot, |key, entry| {
                if last.as_deref() != Some(key) {
                    last = Some(key.into());
                    group += 1;
                }
                entries.push(entry);
                slots.push(slot);
                groups.push(group);
            });
            self.calls.reset(slot);
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<u32> = entries.iter().map(|&e| self.ranking.row_of(e)).collect();
        let batch = self.ranking.take(&rows)?;
        let peers = self.spec.frame == Frame::UnboundedRange;
        let columns: Vec<ArrayRef> = self.calls.compute(&batch, &slots, &groups, peers, true)?;
        touched.iter().for_each(|&slot| self.calls.reset(slot));

        self.result_of.resize(self.ranking.capacity(), NONE);
        let known: Vec<usize> =
            (0..entries.len()).filter(|&i| self.result_of[entries[i] as usize] != NONE).collect();
        let old: Vec<u32> = known.iter().map(|&i| self.result_of[entries[i] as usize]).collect();
        let before = self.whole.convert_columns(self.results.take(&old)?.columns())?;
        let after = self.whole.convert_columns(&columns)?;
        let mut is_same = vec![false; entries.len()];
        for (at, &i) in known.iter().enumerate() {
            is_same[i] = before.row(at) == after.row(i);
        }
        let fresh: Vec<u32> = (0..entries.len() as u32).filter(|&i| !is_same[i as usize]).collect();
        let computed = RecordBatch::try_new(self.results.schema().clone(), columns)?;
        let mut ids = Vec::with_capacity(fresh.len());
        self.results.push(
            &arrow::compute::take_record_batch(&computed, &UInt32Array::from(fresh.clone()))?,
            &mut ids,
        )?;
        let mut free = Vec::new();
        for (&i, &id) in fresh.iter().zip(&ids) {
            let (entry, row) = (entries[i as usize], rows[i as usize]);
            let old = std::mem::replace(&mut self.result_of[entry as usize], id);
            self.ranking.mark(entry);
            if old == NONE {
                changes.push(Kind::Insert, row, id);
                continue;
            }
            if self.spec.emit_before {
                changes.push(Kind::UpdateBefore, row, old);
            }
            changes.push(Kind::UpdateAfter, row, id);
            free.push(old);
        }
        Ok(free)
    }

    /// Every row with its result, partition by partition.
    fn emit_all(&mut self, out: &mut Output) -> Result<()> {
        let ingest = crate::clock::instant();
        let mut slots = self.keys.slots().into_iter().filter(|&slot| self.ranking.len(slot) > 0).peekable();
        let (mut together, mut parts, mut rows) = (Vec::new(), Vec::new(), 0);
        while let Some(slot) = slots.next() {
            rows += self.ranking.len(slot);
            together.push(slot);
            if rows >= ROWS_AT_END || slots.peek().is_none() {
                parts.push(std::mem::take(&mut together));
                rows = 0;
            }
        }
        drop(slots);
        for part in parts {
            let mut changes = Changes::default();
            self.recompute(&part, &mut changes)?;
            self.emit(changes, ingest, out)?;
            // What is out does not belong to a checkpoint any more.
            part.into_iter().for_each(|slot| self.ranking.clear(slot));
            self.free_results()?;
            self.ranking.forget()?;
        }
        Ok(())
    }

    fn emit(&self, changes: Changes, ingest: Instant, out: &mut Output) -> Result<()> {
        if changes.rows.is_empty() {
            return Ok(());
        }
        let mut columns = self.ranking.take(&changes.rows)?.columns().to_vec();
        columns.extend(self.results.take(&changes.results)?.columns().iter().cloned());
        let batch = RecordBatch::try_new(self.spec.schema.clone(), columns)?;
        let kinds = match self.spec.at_end {
            true => Kinds::Append,
            false => Kinds::Changes(changes.kinds.into()),
        };
        out.chunk(Chunk { batch, kinds, ingest });
        Ok(())
    }
}

impl Operator for OrderedOver {
    fn name(&self) -> &'static str {
        "OverAggregate"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.ranking.note_changes(context.checkpointed);
        self.ranking.limit(&context.memory);
        self.results.limit(&context.memory);
        self.written.note_changes(context.checkpointed && self.expiry.is_some());
        self.clock = Some(context.clock);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (results, result_of, at_end) = (&self.results, &self.result_of, self.spec.at_end);
        self.ranking.snapshot(snapshot, &self.spec.partition, |_, entries| {
            if at_end {
                let fields = results.schema().fields().iter();
                let nulls = |f: &FieldRef| (f.name().clone(), new_null_array(f.data_type(), entries.len()));
                return Ok(fields.map(nulls).collect());
            }
            let rows: Vec<u32> = entries.iter().map(|&entry| result_of[entry as usize]).collect();
            let names = results.schema().fields().iter().map(|f| f.name().clone());
            Ok(names.zip(results.take(&rows)?.columns().iter().cloned()).collect())
        })?;
        match &self.expiry {
            Some(expiry) => self.written.snapshot(snapshot, &self.keys, expiry),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let added = self.results.schema().clone();
        let (keys, partition) = (&mut self.keys, &self.spec.partition);
        let back = self.ranking.restore(state, &mut self.sort, added.fields().len(), |rows| {
            let columns: Vec<_> = partition.iter().map(|&c| rows.column(c).clone()).collect();
            let mut slots = Vec::new();
            keys.intern(&columns, rows.num_rows(), &mut slots)?;
            Ok(slots)
        })?;
        self.result_of.resize(self.ranking.capacity(), NONE);
        for PutBack { rows, entries } in back {
            if self.spec.at_end {
                continue;
            }
            let results = rows.columns()[1..=added.fields().len()].to_vec();
            let mut ids = Vec::with_capacity(entries.len());
            self.results.push(&RecordBatch::try_new(added.clone(), results)?, &mut ids)?;
            entries.iter().zip(ids).for_each(|(&entry, id)| self.result_of[entry as usize] = id);
        }
        let now = self.clock.as_ref().map_or(0, |clock| clock.now_millis());
        self.written.restore(state, &mut self.keys, self.expiry.as_mut(), now)
    }

    fn cold(&self) -> Option<ColdSpec> {
        let tables: &[&str] = match self.expiry {
            Some(_) => &[ranking::TABLE, partitions::TABLE],
            None => &[ranking::TABLE],
        };
        let keyed = !self.spec.partition.is_empty();
        // Of what comes at the end every partition is needed at once.
        (keyed && !self.spec.at_end)
            .then(|| ColdSpec::by_key(vec![self.spec.partition.clone()], tables, self.spec.state_ttl))
    }

    fn stays(&self) -> Option<&'static str> {
        let whole = self.spec.partition.is_empty();
        whole.then_some("the order of all rows in memory, because there is no PARTITION BY")
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let partition: Vec<_> = self.spec.partition.iter().map(|&c| chunk.batch.column(c).clone()).collect();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&partition, chunk.len(), &mut slots)?;
        self.slots = slots;
        let capacity = self.keys.capacity();
        self.ranking.resize(capacity);
        if self.is_touched.len() < capacity {
            self.is_touched.resize(capacity, false);
            self.calls.resize(capacity);
        }
        self.expire()?;
        let sort = self.sort.encode(&chunk.batch)?;
        let hashes = self.ranking.hashes(&chunk.batch)?;
        let mut touched = Vec::new();
        for (row, &hash) in hashes.iter().enumerate() {
            let (slot, key) = (self.slots[row], key_of(sort.as_ref(), row));
            if !std::mem::replace(&mut self.is_touched[slot as usize], true) {
                touched.push(slot);
            }
            match chunk.kinds.get(row) {
                Kind::Insert | Kind::UpdateAfter => {
                    self.ranking.insert(slot, key, row, hash);
                }
                Kind::UpdateBefore | Kind::Delete => {
                    self.ranking.remove(slot, key, hash);
                }
            }
        }
        self.ranking.keep(&chunk.batch)?;
        if self.spec.at_end {
            touched.into_iter().for_each(|slot| self.is_touched[slot as usize] = false);
            return self.ranking.forget();
        }
        let mut changes = Changes::default();
        for (entry, row, kept) in self.ranking.gone() {
            let result = self.result_of.get(entry as usize).copied().unwrap_or(NONE);
            if kept && result != NONE {
                changes.push(Kind::Delete, row, result);
            }
        }
        let free = self.recompute(&touched, &mut changes)?;
        self.emit(changes, chunk.ingest, out)?;
        free.into_iter().try_for_each(|result| self.results.free(result))?;
        self.free_results()?;
        self.ranking.forget()?;
        for slot in touched {
            self.is_touched[slot as usize] = false;
            if self.ranking.len(slot) == 0 {
                self.keys.remove(slot);
                if let Some(expiry) = &mut self.expiry {
                    expiry.forget(slot);
                    self.written.changed.remove(slot);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        if self.spec.at_end {
            self.emit_all(out)?;
        }
        out.push(Message::End);
        Ok(())
    }
}
