//! Rows of partitions in order: what Top-N, LIMIT on changing input, window Top-N and window deduplication
//! stand on.
//!
//! ```text
//!  partition ──> list:  [sort key, arrival] ──> entry ──> row in the store
//!                        a  3                    5         17
//!                        a  8                    2         40
//!                        c  1                    9          2
//! ```
//! Sort keys are encoded once a chunk (arrow's row format), so that one comparison of bytes does direction,
//! NULL order and all columns. Rows that share a sort key stay in the order of their arrival. Where nothing
//! is ever taken back, only rows that can be seen are kept, and a row that cannot get in costs one
//! comparison.
//!
//! In a checkpoint a row has the number of its entry as its id, and when it came (`arrival`); sort keys, ranks
//! and hashes follow from the row.

mod list;

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;

use self::list::List;
use super::pieces::{self, Own, in_order, numbers};
use crate::error::{Error, Result};
use crate::state::{Changed, Memory, Restored, RowStore, Scope, Snapshot};

/// What numbers the rows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankFunction {
    /// 1, 2, 3: rows with equal sort keys in the order of their arrival.
    RowNumber,
    /// 1, 1, 3.
    Rank,
    /// 1, 1, 2.
    DenseRank,
}

/// A column that orders rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortColumn {
    /// Position in the input.
    pub column: usize,
    /// Largest first.
    pub descending: bool,
    /// NULLs before all others.
    pub nulls_first: bool,
}

/// Encodes columns so that comparing bytes compares rows.
#[derive(Debug)]
pub(super) struct SortKeys {
    columns: Vec<usize>,
    converter: Option<RowConverter>,
}

impl SortKeys {
    pub(super) fn new(sort: &[SortColumn], input: &SchemaRef) -> Result<Self> {
        let columns = sort.iter().map(|s| s.column).collect();
        if sort.is_empty() {
            return Ok(Self { columns, converter: None });
        }
        let fields = sort.iter().map(|s| {
            let options = SortOptions { descending: s.descending, nulls_first: s.nulls_first };
            SortField::new_with_options(input.field(s.column).data_type().clone(), options)
        });
        let converter = RowConverter::new(fields.collect()).map_err(|e| {
            Error::unsupported("rows cannot be ordered by a column of this type").with_detail(e.to_string())
        })?;
        Ok(Self { columns, converter: Some(converter) })
    }

    /// The keys of a batch; `None` where nothing orders.
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let Some(converter) = &mut self.converter else { return Ok(None) };
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&c| batch.column(c).clone()).collect();
        Ok(Some(converter.convert_columns(&columns)?))
    }
}

/// The key of a row.
pub(super) fn key_of(rows: Option<&Rows>, row: usize) -> &[u8] {
    // The lifetime is that of the rows, not of the temporary row.
    rows.map_or(&[], |r| r.row(row).data())
}

/// A row of a partition.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Id in the store; in the chunk while it is pending.
    row: u32,
    slot: u32,
    sequence: u64,
    /// Of the whole row, where rows are taken back.
    hash: u64,
    /// Came with this chunk and is not in the store.
    pending: bool,
    alive: bool,
}

/// The ordered rows of many partitions.
#[derive(Debug)]
pub(super) struct Ranking {
    function: RankFunction,
    from: usize,
    to: usize,
    /// Rows are never taken back: those behind the last rank are dropped.
    bounded: bool,
    /// Of rows with equal sort keys the latest comes first.
    latest_first: bool,
    store: RowStore,
    lists: Vec<List>,
    /// Distinct sort keys by slot; counted for DENSE_RANK on bounded lists.
    groups: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    sequence: u64,
    pending: Vec<u32>,
    /// Out of their lists, but perhaps still to be emitted.
    gone: Vec<u32>,
    by_hash: HashTable<u32>,
    hasher: foldhash::quality::RandomState,
    whole: Option<RowConverter>,
    /// Entries.
    changed: Changed,
}

/// The table of a ranking in a checkpoint.
pub(super) const TABLE: &str = "rows";

/// Rows of a checkpoint that were put back: former row ids are gone, and `own` columns stand before the row's.
pub(super) struct PutBack {
    /// The rows as they were written, in the order of their arrival.
    pub(super) rows: RecordBatch,
    /// Their entries.
    pub(super) entries: Vec<u32>,
}

impl Ranking {
    /// Ranks `from ..= to` are seen, counted from 1. `retracting`: rows may be taken back.
    pub(super) fn new(
        function: RankFunction,
        (from, to): (u64, u64),
        retracting: bool,
        latest_first: bool,
        input: &SchemaRef,
    ) -> Result<Self> {
        let whole = if retracting {
            let fields = input.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
            Some(RowConverter::new(fields).map_err(|e| {
                Error::unsupported("rows with a column of this type cannot be ranked while they change")
                    .with_detail(e.to_string())
            })?)
        } else {
            None
        };
        let rank = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            function,
            from: rank(from).max(1),
            to: rank(to),
            bounded: !retracting,
            latest_first,
            store: RowStore::new(input.clone()),
            lists: Vec::new(),
            groups: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            pending: Vec::new(),
            gone: Vec::new(),
            by_hash: HashTable::new(),
            hasher: foldhash::quality::RandomState::default(),
            whole,
            changed: Changed::default(),
        })
    }

    /// There will be snapshots, or not.
    pub(super) fn note_changes(&mut self, on: bool) {
        self.changed = Changed::new(on);
    }

    /// What rows may take in memory.
    pub(super) fn limit(&mut self, memory: &Arc<Memory>) {
        self.store.limit(memory);
    }

    /// Makes room for slots below this.
    pub(super) fn resize(&mut self, slots: usize) {
        if self.lists.len() < slots {
            self.lists.resize_with(slots, List::default);
            self.groups.resize(slots, 0);
        }
    }

    /// Whole rows, by which they are found again.
    pub(super) fn hashes(&mut self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let Some(whole) = &mut self.whole else { return Ok(Vec::new()) };
        if batch.num_columns() == 0 {
            return Ok(vec![0; batch.num_rows()]);
        }
        let rows = whole.convert_columns(batch.columns())?;
        Ok(rows.iter().map(|r| self.hasher.hash_one(r.data())).collect())
    }

    /// Whether a row with this key would be kept.
    pub(super) fn admits(&self, slot: u32, key: &[u8]) -> bool {
        if !self.bounded {
            return true;
        }
        let list = &self.lists[slot as usize];
        let Some((last, _)) = list.last() else { return self.to > 0 };
        match self.function {
            RankFunction::RowNumber => {
                list.len() < self.to || key < last || (self.latest_first && key == last)
            }
            RankFunction::Rank => list.len() < self.to || key <= last,
            RankFunction::DenseRank => (self.groups[slot as usize] as usize) < self.to || key <= last,
        }
    }

    /// Adds row `row` of the chunk; its entry.
    pub(super) fn insert(&mut self, slot: u32, key: &[u8], row: usize, hash: u64) -> u32 {
        let sequence = if self.latest_first { u64::MAX - self.sequence } else { self.sequence };
        self.sequence += 1;
        let entry = Entry { row: row as u32, slot, sequence, hash, pending: true, alive: true };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.pending.push(number);
        if self.whole.is_some() {
            let entries = &self.entries;
            self.by_hash.insert_unique(hash, number, |&n| entries[n as usize].hash);
        }
        let list = &mut self.lists[slot as usize];
        if self.bounded && self.function == RankFunction::DenseRank && !list.has_key(key) {
            self.groups[slot as usize] += 1;
        }
        list.insert(key, sequence, number);
        if self.bounded {
            self.trim(slot);
        }
        number
    }

    /// Drops what lies behind the last rank.
    fn trim(&mut self, slot: u32) {
        let list = &mut self.lists[slot as usize];
        let surplus = match self.function {
            RankFunction::RowNumber => list.len().saturating_sub(self.to),
            RankFunction::Rank if list.len() > self.to => {
                let peers = list.last_peers();
                if list.len() - peers >= self.to { peers } else { 0 }
            }
            RankFunction::DenseRank if self.groups[slot as usize] as usize > self.to => {
                self.groups[slot as usize] -= 1;
                list.last_peers()
            }
            _ => 0,
        };
        for _ in 0..surplus {
            if let Some(number) = self.lists[slot as usize].pop() {
                self.let_go(number);
            }
        }
    }

    fn let_go(&mut self, number: u32) {
        self.entries[number as usize].alive = false;
        self.gone.push(number);
    }

    /// Takes a row back: the oldest one that is equal to it. False if there is none.
    pub(super) fn remove(&mut self, slot: u32, key: &[u8], hash: u64) -> bool {
        let entries = &self.entries;
        let found = self
            .by_hash
            .iter_hash(hash)
            .copied()
            .filter(|&n| entries[n as usize].hash == hash && entries[n as usize].slot == slot)
            .min_by_key(|&n| entries[n as usize].sequence);
        let Some(number) = found else { return false };
        let sequence = self.entries[number as usize].sequence;
        if !self.lists[slot as usize].remove(key, sequence) {
            return false;
        }
        self.unhash(number, hash);
        self.let_go(number);
        true
    }

    fn unhash(&mut self, number: u32, hash: u64) {
        if let Ok(entry) = self.by_hash.find_entry(hash, |&n| n == number) {
            entry.remove();
        }
    }

    /// Keeps the rows of the chunk that are still in a list.
    pub(super) fn keep(&mut self, batch: &RecordBatch) -> Result<()> {
        let entries = &self.entries;
        self.pending.retain(|&n| entries[n as usize].alive);
        if self.pending.is_empty() {
            return Ok(());
        }
        let rows: UInt32Array = self.pending.iter().map(|&n| self.entries[n as usize].row).collect();
        let kept = if rows.len() == batch.num_rows() && rows.values().is_sorted() {
            batch.clone()
        } else {
            take_record_batch(batch, &rows)?
        };
        let mut ids = Vec::with_capacity(rows.len());
        self.store.push(&kept, &mut ids)?;
        for (number, id) in self.pending.drain(..).zip(ids) {
            let entry = &mut self.entries[number as usize];
            entry.row = id;
            entry.pending = false;
            self.changed.mark(number);
        }
        Ok(())
    }

    /// Entries that are seen, with their ranks, in order.
    pub(super) fn visible(&self, slot: u32, seen: &mut Vec<(u32, u64)>) {
        let (mut position, mut rank, mut last) = (0usize, 0usize, None::<Vec<u8>>);
        let list = &self.lists[slot as usize];
        if self.function == RankFunction::RowNumber {
            list.visit(|_, entry| {
                position += 1;
                if position > self.to {
                    return false;
                }
                if position >= self.from {
                    seen.push((entry, position as u64));
                }
                position < self.to
            });
            return;
        }
        list.visit(|key, entry| {
            position += 1;
            if last.as_deref() != Some(key) {
                rank = if self.function == RankFunction::Rank { position } else { rank + 1 };
                last = Some(key.to_vec());
            }
            if rank > self.to {
                return false;
            }
            if rank >= self.from {
                seen.push((entry, rank as u64));
            }
            true
        });
    }

    /// Visits the entries of a partition in order, with their keys.
    pub(super) fn visit(&self, slot: u32, mut visit: impl FnMut(&[u8], u32)) {
        self.lists[slot as usize].visit(|key, entry| {
            visit(key, entry);
            true
        });
    }

    /// What is out of its list and not forgotten: entry, row, and whether the row is in the store.
    pub(super) fn gone(&self) -> impl Iterator<Item = (u32, u32, bool)> {
        self.gone.iter().map(|&n| {
            let entry = &self.entries[n as usize];
            (n, entry.row, !entry.pending)
        })
    }

    /// Where an entry's row is.
    pub(super) fn row_of(&self, entry: u32) -> u32 {
        self.entries[entry as usize].row
    }

    /// Of its whole row.
    pub(super) fn hash_of(&self, entry: u32) -> u64 {
        self.entries[entry as usize].hash
    }

    /// Rows by their place in the store.
    pub(super) fn take(&self, rows: &[u32]) -> Result<RecordBatch> {
        self.store.take(rows)
    }

    /// Entries that were handed out are below this.
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Rows of a partition.
    pub(super) fn len(&self, slot: u32) -> usize {
        self.lists[slot as usize].len()
    }

    /// Empties a partition.
    pub(super) fn clear(&mut self, slot: u32) {
        let list = std::mem::take(&mut self.lists[slot as usize]);
        self.groups[slot as usize] = 0;
        let mut numbers = Vec::with_capacity(list.len());
        list.visit(|_, entry| {
            numbers.push(entry);
            true
        });
        for number in numbers {
            if self.whole.is_some() {
                self.unhash(number, self.entries[number as usize].hash);
            }
            self.let_go(number);
        }
    }

    /// Frees what has gone; nothing of it may be emitted any more.
    pub(super) fn forget(&mut self) -> Result<()> {
        for number in self.gone.drain(..) {
            let entry = self.entries[number as usize];
            if !entry.pending {
                self.store.free(entry.row)?;
                self.changed.remove(number);
            }
            self.free.push(number);
        }
        Ok(())
    }

    /// What belongs to the row of an entry has changed.
    pub(super) fn mark(&mut self, entry: u32) {
        self.changed.mark(entry);
    }

    /// Adds the rows to a snapshot, which are dealt by columns `partition`. `own` gives columns that are
    /// to stand before those of the row, for some entries.
    pub(super) fn snapshot(
        &mut self,
        snapshot: &mut Snapshot,
        partition: &[usize],
        own: impl FnOnce(&Self, &[u32]) -> Result<Vec<Own>>,
    ) -> Result<()> {
        let (mut entries, gone) = self.changed.take();
        if snapshot.is_full() {
            let kept = self.entries.iter().enumerate().filter(|(_, e)| e.alive && !e.pending);
            entries = kept.map(|(number, _)| number as u32).collect();
        }
        let arrival = entries.iter().map(|&n| {
            let sequence = self.entries[n as usize].sequence;
            if self.latest_first { u64::MAX - sequence } else { sequence }
        });
        let mut columns = vec![numbers("arrival", arrival.map(|n| n as i64))];
        columns.extend(own(self, &entries)?);
        let scope = Scope::Keyed(pieces::behind(columns.len(), partition));
        let rows: Vec<u32> = entries.iter().map(|&n| self.row_of(n)).collect();
        let rows = self.take(&rows)?;
        let fields = self.store.schema().fields().iter().cloned();
        let table = pieces::table(columns, fields, rows.columns().to_vec(), entries.len())?;
        snapshot.table(TABLE, scope, pieces::ids(&entries), table, gone)
    }

    /// Puts rows back. `slots` gives the partition of each row; `own` columns stand before it, without its arrival.
    pub(super) fn restore(
        &mut self,
        state: &mut Restored,
        sort: &mut SortKeys,
        own: usize,
        mut slots: impl FnMut(&RecordBatch) -> Result<Vec<u32>>,
    ) -> Result<Vec<PutBack>> {
        let mut back = Vec::new();
        for piece in in_order(state.table(TABLE)?, 0)? {
            let batch = pieces::rest(&piece.rows, 1 + own, self.store.schema())?;
            let slots = slots(&batch)?;
            self.resize(slots.iter().max().map_or(0, |&s| s as usize + 1));
            let keys = sort.encode(&batch)?;
            let hashes = self.hashes(&batch)?;
            let mut entries = Vec::with_capacity(slots.len());
            for (row, &slot) in slots.iter().enumerate() {
                let hash = hashes.get(row).copied().unwrap_or(0);
                entries.push(self.insert(slot, key_of(keys.as_ref(), row), row, hash));
            }
            self.keep(&batch)?;
            self.forget()?;
            back.push(PutBack { rows: piece.rows, entries });
        }
        Ok(back)
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.store.memory()
            + self.lists.iter().map(|l| l.memory() + size_of::<List>()).sum::<usize>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.by_hash.capacity() * 5
    }
}
