//! Top-N: the rows of each partition whose rank lies in a range, kept up to date.
//!
//! Also `ORDER BY ... LIMIT` (one partition) and `LIMIT` on changing input (no order: first come, first
//! served; a row that is taken back lets the next one in).
//!
//! What changes is found by comparing what a partition showed before the chunk with what it shows behind
//! it, so that a row that came and went within a chunk is never seen:
//! ```text
//!  before   a b c          with the rank:    2 is now x (-U b, +U x), 3 is now b (-U c, +U b)
//!  behind   a x b          without:          -D c, +I x
//! ```
//! Where a partition shows one row at most, that row is updated even without its rank.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;

pub use super::ranking::{RankFunction, SortColumn};

use super::partitions::{self, Partitions};
use super::ranking::{self, Ranking, SortKeys, key_of};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Operator, OperatorContext, Output};
use crate::state::{Expiry, KeyTable, Restored, Snapshot};

/// A Top-N that was planned.
#[derive(Debug, Clone)]
pub struct TopNSpec {
    /// `Rank`, `SortLimit` or `Limit`.
    pub name: &'static str,
    /// PARTITION BY, as positions in the input.
    pub partition: Vec<usize>,
    /// ORDER BY; without, rows are in the order of their arrival.
    pub sort: Vec<SortColumn>,
    /// What numbers the rows.
    pub function: RankFunction,
    /// First rank that is seen, from 1.
    pub from: u64,
    /// Last rank that is seen.
    pub to: u64,
    /// The rank is the last column of the output (BIGINT).
    pub rank_output: bool,
    /// The input holds more than inserts.
    pub input_changes: bool,
    /// `-U` goes before `+U`.
    pub emit_before: bool,
    /// `table.exec.state.ttl`.
    pub state_ttl: Option<Duration>,
    /// Schema of the input.
    pub input: SchemaRef,
    /// The input's columns, then the rank if it is output.
    pub schema: SchemaRef,
}

impl TopNSpec {
    /// A rank has one row, and what changes at a rank is an update. Else rows enter (`+I`) and leave (`-D`).
    pub fn is_by_position(&self) -> bool {
        let alone = self.from == self.to && !self.partition.is_empty();
        self.function == RankFunction::RowNumber && (self.rank_output || alone)
    }
}

/// Rows that leave the operator.
#[derive(Debug, Default)]
struct Changes {
    kinds: Vec<Kind>,
    rows: Vec<u32>,
    ranks: Vec<i64>,
}

impl Changes {
    fn push(&mut self, kind: Kind, row: u32, rank: u64) {
        self.kinds.push(kind);
        self.rows.push(row);
        self.ranks.push(rank as i64);
    }
}

/// The operator of one task.
#[derive(Debug)]
pub struct TopN {
    spec: TopNSpec,
    keys: KeyTable,
    sort: SortKeys,
    ranking: Ranking,
    expiry: Option<Expiry>,
    /// When partitions were written.
    written: Partitions,
    clock: Option<Arc<dyn Clock>>,
    slots: Vec<u32>,
    /// Slots of this chunk whose rows may change, and where what they showed begins in `before`.
    touched: Vec<(u32, usize)>,
    is_touched: Vec<bool>,
    before: Vec<(u32, u64)>,
    /// Rank that an entry had, by entry; 0: it was not seen.
    marks: Vec<u64>,
}

impl TopN {
    /// An operator for one task.
    pub fn new(spec: TopNSpec) -> Result<Self> {
        let types: Vec<_> = spec.partition.iter().map(|&c| spec.input.field(c).data_type().clone()).collect();
        Ok(Self {
            keys: KeyTable::new(&types)?,
            sort: SortKeys::new(&spec.sort, &spec.input)?,
            ranking: Ranking::new(
                spec.function,
                (spec.from, spec.to),
                spec.input_changes,
                false,
                &spec.input,
            )?,
            expiry: Expiry::new(spec.state_ttl),
            written: Partitions::new(&spec.input, &spec.partition),
            clock: None,
            slots: Vec::new(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            before: Vec::new(),
            marks: Vec::new(),
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.ranking.memory()
    }

    fn touch(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.is_touched[slot as usize], true) {
            self.touched.push((slot, self.before.len()));
            self.ranking.visible(slot, &mut self.before);
        }
    }

    fn expire(&mut self) -> Result<()> {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return Ok(()) };
        let now = clock.now_millis();
        let mut expired: Vec<u32> =
            self.slots.iter().copied().filter(|&s| expiry.is_expired(s, now)).collect();
        for &slot in &expired {
            expiry.forget(slot);
            self.ranking.clear(slot);
        }
        for &slot in &self.slots {
            expiry.touch(slot, now);
            self.written.changed.mark(slot);
        }
        expired.clear();
        for slot in expiry.sweep(now) {
            self.ranking.clear(slot);
            self.keys.remove(slot);
            self.written.changed.remove(slot);
        }
        self.ranking.forget()
    }

    /// What a partition shows now against what it showed.
    fn compare(&mut self, before: &[(u32, u64)], after: &[(u32, u64)], changes: &mut Changes) {
        let ranking = &self.ranking;
        let row = |entry: u32| ranking.row_of(entry);
        // Where rows are taken back, an equal one may have come in their place.
        let equal =
            |a: u32, b: u32| a == b || (self.spec.input_changes && ranking.hash_of(a) == ranking.hash_of(b));
        if self.spec.is_by_position() {
            for i in 0..before.len().max(after.len()) {
                match (before.get(i), after.get(i)) {
                    (Some(&(old, rank)), Some(&(new, _))) if !equal(old, new) => {
                        if self.spec.emit_before {
                            changes.push(Kind::UpdateBefore, row(old), rank);
                        }
                        changes.push(Kind::UpdateAfter, row(new), rank);
                    }
                    (Some(&(old, rank)), None) => changes.push(Kind::Delete, row(old), rank),
                    (None, Some(&(new, rank))) => changes.push(Kind::Insert, row(new), rank),
                    _ => {}
                }
            }
            return;
        }
        // The rank is part of what is seen only if it is output.
        let shown = |rank: u64| if self.spec.rank_output { rank } else { 1 };
        if self.marks.len() < ranking.capacity() {
            self.marks.resize(ranking.capacity(), 0);
        }
        for &(entry, rank) in before {
            self.marks[entry as usize] = shown(rank);
        }
        let mut entered: Vec<(u32, u64)> = Vec::new();
        for &(entry, rank) in after {
            if self.marks[entry as usize] == shown(rank) {
                self.marks[entry as usize] = 0;
            } else {
                entered.push((entry, rank));
            }
        }
        let left = before.iter().copied().filter(|&(e, _)| std::mem::take(&mut self.marks[e as usize]) != 0);
        let mut left: Vec<(u32, u64)> = left.collect();
        if self.spec.input_changes && !left.is_empty() && !entered.is_empty() {
            let mut equals: HashMap<(u64, u64), u32> = HashMap::new();
            for &(entry, rank) in &entered {
                *equals.entry((ranking.hash_of(entry), shown(rank))).or_default() += 1;
            }
            let mut same: HashMap<(u64, u64), u32> = HashMap::new();
            left.retain(|&(entry, rank)| {
                let key = (ranking.hash_of(entry), shown(rank));
                match equals.get_mut(&key).filter(|n| **n > 0) {
                    Some(n) => {
                        *n -= 1;
                        *same.entry(key).or_default() += 1;
                        false
                    }
                    None => true,
                }
            });
            entered.retain(|&(entry, rank)| {
                match same.get_mut(&(ranking.hash_of(entry), shown(rank))).filter(|n| **n > 0) {
                    Some(n) => {
                        *n -= 1;
                        false
                    }
                    None => true,
                }
            });
        }
        for (entry, rank) in left {
            changes.push(Kind::Delete, row(entry), rank);
        }
        for (entry, rank) in entered {
            changes.push(Kind::Insert, row(entry), rank);
        }
    }

    fn emit(&self, changes: Changes, chunk: &Chunk, out: &mut Output) -> Result<()> {
        if changes.rows.is_empty() {
            return Ok(());
        }
        let rows = self.ranking.take(&changes.rows)?;
        let batch = with_rank(rows, self.spec.rank_output.then_some(changes.ranks), &self.spec.schema)?;
        let kinds = if changes.kinds.iter().all(|&k| k == Kind::Insert) {
            Kinds::Append
        } else {
            Kinds::Changes(changes.kinds.into())
        };
        out.chunk(Chunk { batch, kinds, ingest: chunk.ingest });
        Ok(())
    }
}

/// Rows with their ranks as the last column, if ranks are output.
pub(super) fn with_rank(
    rows: RecordBatch,
    ranks: Option<Vec<i64>>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let count = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let mut columns = rows.columns().to_vec();
    if let Some(ranks) = ranks {
        columns.push(Arc::new(Int64Array::from(ranks)));
    }
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &count)?)
}

impl Operator for TopN {
    fn name(&self) -> &'static str {
        self.spec.name
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.ranking.note_changes(context.checkpointed);
        self.ranking.limit(&context.memory);
        self.written.note_changes(context.checkpointed && self.expiry.is_some());
        self.clock = Some(context.clock);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.ranking.snapshot(snapshot, &self.spec.partition, |_, _| Ok(Vec::new()))?;
        match &self.expiry {
            Some(expiry) => self.written.snapshot(snapshot, &self.keys, expiry),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let (keys, partition) = (&mut self.keys, &self.spec.partition);
        self.ranking.restore(state, &mut self.sort, 0, |rows| {
            let columns: Vec<_> = partition.iter().map(|&c| rows.column(c).clone()).collect();
            let mut slots = Vec::new();
            keys.intern(&columns, rows.num_rows(), &mut slots)?;
            Ok(slots)
        })?;
        let now = self.clock.as_ref().map_or(0, |clock| clock.now_millis());
        self.written.restore(state, &mut self.keys, self.expiry.as_mut(), now)
    }

    fn cold(&self) -> Option<ColdSpec> {
        let tables: &[&str] = match self.expiry {
            Some(_) => &[ranking::TABLE, partitions::TABLE],
            None => &[ranking::TABLE],
        };
        let keyed = !self.spec.partition.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![self.spec.partition.clone()], tables, self.spec.state_ttl))
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let partition: Vec<_> = self.spec.partition.iter().map(|&c| chunk.batch.column(c).clone()).collect();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&partition, chunk.len(), &mut slots)?;
        self.slots = slots;
        self.ranking.resize(self.keys.capacity());
        self.is_touched.resize(self.keys.capacity().max(self.is_touched.len()), false);
        self.expire()?;
        let sort = self.sort.encode(&chunk.batch)?;
        let hashes = self.ranking.hashes(&chunk.batch)?;
        for row in 0..chunk.len() {
            let (slot, key) = (self.slots[row], key_of(sort.as_ref(), row));
            let hash = hashes.get(row).copied().unwrap_or(0);
            match chunk.kinds.get(row) {
                Kind::Insert | Kind::UpdateAfter => {
                    if self.ranking.admits(slot, key) {
                        self.touch(slot);
                        self.ranking.insert(slot, key, row, hash);
                    }
                }
                Kind::UpdateBefore | Kind::Delete => {
                    self.touch(slot);
                    self.ranking.remove(slot, key, hash);
                }
            }
        }
        self.ranking.keep(&chunk.batch)?;
        let (touched, before) = (std::mem::take(&mut self.touched), std::mem::take(&mut self.before));
        let (mut changes, mut after) = (Changes::default(), Vec::new());
        for (i, &(slot, start)) in touched.iter().enumerate() {
            let end = touched.get(i + 1).map_or(before.len(), |t| t.1);
            after.clear();
            self.ranking.visible(slot, &mut after);
            self.compare(&before[start..end], &after, &mut changes);
        }
        self.emit(changes, &chunk, out)?;
        self.ranking.forget()?;
        for &(slot, _) in &touched {
            self.is_touched[slot as usize] = false;
            if self.ranking.len(slot) == 0 {
                self.keys.remove(slot);
                if let Some(expiry) = &mut self.expiry {
                    expiry.forget(slot);
                    self.written.changed.remove(slot);
                }
            }
        }
        (self.touched, self.before) = (touched, before);
        self.touched.clear();
        self.before.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
