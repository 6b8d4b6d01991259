//! What one input of a join keeps: its rows, by key, as lists of row ids.
//!
//! ```text
//!  slot of key ──> head ─> row ─> row ─> row <─ tail        next, prev: one number a row
//!  hash of row ──> row ─> equal row ─> equal row            only where rows may be taken back
//! ```
//! Rows stay in the order in which they came. A row is a number here; its columns are in a
//! [`RowStore`], and only those that are given out or compared are kept.
//!
//! In a checkpoint a side is a table of its rows with their keys, `row_hash`, `matches` and `written_at`, as far as
//! the side has them. Lists and indices are made again from the rows in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};

use crate::error::{Error, Result};
use crate::operator::equal_rows::EqualRows;
use crate::state::{KeyTable, Memory, Restored, RowStore, RowTable, Snapshot, columns, hash_rows};

/// No row, no slot.
pub(super) const NONE: u32 = u32::MAX;

/// How many rows of the other side each row meets.
#[derive(Debug, Default)]
struct Associations {
    count: Vec<u32>,
    /// The chunk that last touched it.
    stamp: Vec<u32>,
    chunk: u32,
}

/// When rows were last written.
#[derive(Debug)]
struct Ages {
    ttl: i64,
    written: Vec<i64>,
    /// Rows by the time at which they were queued. A row that was written since then is queued again when
    /// its turn comes.
    queue: VecDeque<(i64, u32)>,
    queued: Vec<i64>,
}

/// Where a key column stands in the table of a checkpoint.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Among the kept columns.
    Row(usize),
    /// Among the columns beside them.
    Beside(usize),
}

/// How a side is written into checkpoints.
#[derive(Debug)]
struct Checkpointed {
    table: RowTable,
    /// The key columns.
    keys: Vec<Place>,
    /// Their types in the input.
    types: SchemaRef,
    /// Keys that are not among the kept columns, as positions in the key.
    extra: Vec<usize>,
}

/// How an input of a join keeps its rows.
#[derive(Debug)]
pub(super) struct Side {
    rows: RowStore,
    /// Input columns that are kept, by position.
    stored: Vec<usize>,
    heads: Vec<u32>,
    tails: Vec<u32>,
    next: Vec<u32>,
    /// Empty where rows never go.
    prev: Vec<u32>,
    removable: bool,
    /// By row id, where something needs it: the slot of a row; [`NONE`] where the row is gone.
    slot_of: Option<Vec<u32>>,
    /// Finds a row that equals one that is taken back, where rows may be.
    ///
    /// Rows are compared by a hash of 64 bits over all columns of the input (NULL equals NULL): two different
    /// rows that are alive at the same time share one with a probability of about n² / 2⁶⁵. The hash is the same
    /// in every process and version, so that it can be kept with the row.
    equality: Option<EqualRows>,
    associations: Option<Associations>,
    ages: Option<Ages>,
    /// Rows that are gone, but keep their ids until the chunk is done.
    dead: Vec<u32>,
    checkpointed: Option<Checkpointed>,
}

/// What a side has to be able to do.
#[derive(Debug, Clone)]
pub(super) struct SideSpec {
    /// The input.
    pub schema: SchemaRef,
    /// Columns to keep.
    pub stored: Vec<usize>,
    /// Rows may be taken back.
    pub changes: bool,
    /// Rows count what they meet.
    pub counts: bool,
    /// Rows are forgotten after this.
    pub ttl: Option<Duration>,
}

impl Side {
    pub(super) fn new(spec: &SideSpec) -> Result<Self> {
        let schema = std::sync::Arc::new(spec.schema.project(&spec.stored)?);
        let ages = spec.ttl.map(|ttl| Ages {
            ttl: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
            written: Vec::new(),
            queue: VecDeque::new(),
            queued: Vec::new(),
        });
        if spec.changes {
            let none = spec.schema.fields().iter().map(|f| new_empty_array(f.data_type()));
            hash_rows(&none.collect::<Vec<_>>(), 0, &mut Vec::new()).map_err(|e| {
                Error::unsupported("a column of this type is not supported in an updating input of a join")
                    .with_detail(e.message().to_string())
            })?;
        }
        Ok(Self {
            rows: RowStore::new(schema),
            stored: spec.stored.clone(),
            heads: Vec::new(),
            tails: Vec::new(),
            next: Vec::new(),
            prev: Vec::new(),
            removable: spec.changes || ages.is_some(),
            slot_of: ages.is_some().then(Vec::new),
            equality: spec.changes.then(EqualRows::default),
            associations: spec.counts.then(Associations::default),
            ages,
            dead: Vec::new(),
            checkpointed: None,
        })
    }

    /// Rows go to disk when the memory is exceeded; before the first row.
    pub(super) fn limit(&mut self, memory: &Arc<Memory>) {
        self.rows.limit(memory);
    }

    /// Notes from now on what changes, for checkpoints: the side is a table of this name, for an input with
    /// these columns, the keys among them. `keyed`: the input is exchanged by the keys.
    /// Without `noting`, only in which order rows come.
    pub(super) fn track(
        &mut self,
        name: &'static str,
        (schema, keys): (&SchemaRef, &[usize]),
        keyed: bool,
        noting: bool,
    ) {
        self.rows.note(noting);
        self.slot_of.get_or_insert_default();
        let width = self.stored.len();
        let (mut extra, mut beside, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (number, &key) in keys.iter().enumerate() {
            places.push(match self.position(key) {
                Some(at) => Place::Row(at),
                None => {
                    extra.push(number);
                    beside.push(schema.field(key).clone());
                    Place::Beside(extra.len() - 1)
                }
            });
        }
        if self.equality.is_some() {
            beside.push(Field::new("row_hash", DataType::UInt64, true));
        }
        if self.associations.is_some() {
            beside.push(Field::new("matches", DataType::UInt32, true));
        }
        if self.ages.is_some() {
            beside.push(Field::new("written_at", columns::time_type(), true));
        }
        let scope = places.iter().map(|place| match *place {
            Place::Row(at) => at,
            Place::Beside(at) => width + at,
        });
        let scope = if keyed { scope.collect() } else { Vec::new() };
        let table = RowTable::new(name, self.rows.schema(), beside, scope);
        let types: Vec<Field> = keys.iter().map(|&key| schema.field(key).clone()).collect();
        let types = Arc::new(Schema::new(types));
        self.checkpointed = Some(Checkpointed { table, keys: places, types, extra });
    }

    /// Adds rows to a snapshot.
    pub(super) fn snapshot(&mut self, keys: &KeyTable, snapshot: &mut Snapshot) -> Result<()> {
        let Some(checkpointed) = &self.checkpointed else { return Ok(()) };
        let slots = self.slot_of.as_deref().unwrap_or_default();
        let (equality, associations, ages) = (&self.equality, &self.associations, &self.ages);
        checkpointed.table.write(&mut self.rows, snapshot, |ids| {
            let mut beside: Vec<ArrayRef> = Vec::new();
            if !checkpointed.extra.is_empty() {
                let slots: Vec<u32> = ids.iter().map(|&id| slots[id as usize]).collect();
                let parts = keys.take(&slots)?;
                beside.extend(checkpointed.extra.iter().map(|&part| parts[part].clone()));
            }
            if let Some(e) = equality {
                let hashes = ids.iter().map(|&id| e.hash(id));
                beside.push(Arc::new(UInt64Array::from_iter_values(hashes)));
            }
            if let Some(a) = associations {
                let counts = ids.iter().map(|&id| a.count[id as usize]);
                beside.push(Arc::new(UInt32Array::from_iter_values(counts)));
            }
            if let Some(a) = ages {
                beside.push(columns::times(ids.iter().map(|&id| a.written[id as usize])));
            }
            Ok(beside)
        })
    }

    /// Takes rows back. `each` is told the key columns and slots of rows.
    pub(super) fn restore(
        &mut self,
        keys: &mut KeyTable,
        restored: &mut Restored,
        mut each: impl FnMut(&[ArrayRef], &[u32]),
    ) -> Result<()> {
        let Some(checkpointed) = self.checkpointed.take() else { return Ok(()) };
        let (mut slots, mut ids) = (Vec::new(), Vec::new());
        for taken in checkpointed.table.read(restored)? {
            let taken = taken?;
            let parts = checkpointed.keys.iter().map(|place| match *place {
                Place::Row(at) => taken.rows.column(at).clone(),
                Place::Beside(at) => taken.beside[at].clone(),
            });
            let parts = columns::cast_to(&checkpointed.types, &parts.collect::<Vec<_>>())?;
            keys.intern(&parts, taken.rows.num_rows(), &mut slots)?;
            self.resize(keys.capacity());
            each(&parts, &slots);
            let mut beside = taken.beside[checkpointed.extra.len()..].iter();
            let mut next = |wanted: bool| if wanted { beside.next() } else { None };
            let hashes = next(self.equality.is_some()).map(columns::numbers::<UInt64Type>).transpose()?;
            let counts = next(self.associations.is_some()).map(columns::numbers::<UInt32Type>).transpose()?;
            let written = next(self.ages.is_some()).map(columns::millis).transpose()?;
            ids.clear();
            self.push_stored(&taken.rows, &mut ids)?;
            for (row, &id) in ids.iter().enumerate() {
                self.link(id, slots[row], hashes.map(|h| h[row]), written.map_or(0, |w| w[row]));
                if let Some(counts) = counts {
                    self.set_count(id, counts[row]);
                }
            }
        }
        if let Some(ages) = &mut self.ages {
            ages.queue.make_contiguous().sort_by_key(|(queued, _)| *queued);
        }
        self.checkpointed = Some(checkpointed);
        Ok(())
    }

    /// The kept rows.
    pub(super) fn rows(&self) -> &RowStore {
        &self.rows
    }

    /// Where an input column is kept.
    pub(super) fn position(&self, column: usize) -> Option<usize> {
        self.stored.iter().position(|&c| c == column)
    }

    /// Rows may be forgotten.
    pub(super) fn expires(&self) -> bool {
        self.ages.is_some()
    }

    /// Makes room for slots `0..slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        if self.heads.len() < slots {
            self.heads.resize(slots, NONE);
            self.tails.resize(slots, NONE);
        }
    }

    /// No row has this key.
    pub(super) fn is_empty_at(&self, slot: u32) -> bool {
        self.heads[slot as usize] == NONE
    }

    /// The row behind another one in its key.
    fn after(&self, row: u32) -> u32 {
        self.next[row as usize]
    }

    /// All living rows of a key, oldest first.
    pub(super) fn list(&self, slot: u32, now: i64) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.heads.get(slot as usize).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            while at != NONE {
                let row = at;
                at = self.after(row);
                if !self.is_expired(row, now) {
                    return Some(row);
                }
            }
            None
        })
    }

    fn is_expired(&self, row: u32, now: i64) -> bool {
        self.ages.as_ref().is_some_and(|a| a.written[row as usize].saturating_add(a.ttl) <= now)
    }

    /// Hashes of rows of the input, if rows may be taken back.
    pub(super) fn hashes(&self, batch: &RecordBatch) -> Result<Option<Vec<u64>>> {
        if self.equality.is_none() {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        hash_rows(batch.columns(), batch.num_rows(), &mut hashes)?;
        Ok(Some(hashes))
    }

    /// Keeps rows; they belong to no key yet.
    pub(super) fn push(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        self.push_stored(&batch.project(&self.stored)?, ids)
    }

    fn push_stored(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        let first = ids.len();
        self.rows.push(batch, ids)?;
        let most = ids[first..].iter().max().map_or(0, |&m| m as usize + 1);
        if self.next.len() < most {
            self.next.resize(most, NONE);
            if self.removable {
                self.prev.resize(most, NONE);
            }
            if let Some(a) = &mut self.associations {
                a.count.resize(most, 0);
                a.stamp.resize(most, 0);
            }
            if let Some(a) = &mut self.ages {
                a.written.resize(most, 0);
                a.queued.resize(most, 0);
            }
            if let Some(slots) = &mut self.slot_of {
                slots.resize(most, NONE);
            }
        }
        Ok(())
    }

    /// Puts a kept row at the end of its key.
    pub(super) fn link(&mut self, row: u32, slot: u32, hash: Option<u64>, now: i64) {
        let tail = std::mem::replace(&mut self.tails[slot as usize], row);
        self.next[row as usize] = NONE;
        if tail == NONE {
            self.heads[slot as usize] = row;
        } else {
            self.next[tail as usize] = row;
        }
        if self.removable {
            self.prev[row as usize] = tail;
        }
        if let (Some(equality), Some(hash)) = (&mut self.equality, hash) {
            equality.insert(row, hash);
        }
        if let Some(a) = &mut self.associations {
            a.count[row as usize] = 0;
            a.stamp[row as usize] = 0;
        }
        if let Some(a) = &mut self.ages {
            a.written[row as usize] = now;
            a.queued[row as usize] = now;
            a.queue.push_back((now, row));
        }
        if let Some(slots) = &mut self.slot_of {
            slots[row as usize] = slot;
        }
    }

    /// Takes one row that equals the given one out of its key; it can be read until [`Side::settle`].
    pub(super) fn retract(&mut self, hash: u64, slot: u32, now: i64) -> Option<u32> {
        let row = self.equality.as_mut()?.pop(hash)?;
        let expired = self.is_expired(row, now);
        self.unlink(row, slot);
        (!expired).then_some(row)
    }

    fn unlink(&mut self, row: u32, slot: u32) {
        let (before, after) = (self.prev[row as usize], self.next[row as usize]);
        match before {
            NONE => self.heads[slot as usize] = after,
            before => self.next[before as usize] = after,
        }
        match after {
            NONE => self.tails[slot as usize] = before,
            after => self.prev[after as usize] = before,
        }
        if let Some(slots) = &mut self.slot_of {
            slots[row as usize] = NONE;
        }
        self.dead.push(row);
    }

    /// Lets go of the rows that went since the last time.
    pub(super) fn settle(&mut self) -> Result<()> {
        for row in self.dead.drain(..) {
            self.rows.free(row)?;
        }
        Ok(())
    }

    /// Takes out up to `most` rows whose time has passed; their slots are appended to `slots`.
    pub(super) fn sweep(&mut self, now: i64, most: usize, slots: &mut Vec<u32>) {
        for _ in 0..most {
            let Some(ages) = &mut self.ages else { return };
            let Some(&(queued, row)) = ages.queue.front() else { return };
            if queued.saturating_add(ages.ttl) > now {
                return;
            }
            ages.queue.pop_front();
            let slot = self.slot_of.as_ref().map_or(NONE, |slots| slots[row as usize]);
            if slot == NONE || ages.queued[row as usize] != queued {
                continue;
            }
            let written = ages.written[row as usize];
            if written.saturating_add(ages.ttl) > now {
                ages.queued[row as usize] = written;
                ages.queue.push_back((written, row));
                continue;
            }
            if let Some(equality) = &mut self.equality {
                equality.remove(row);
            }
            self.unlink(row, slot);
            slots.push(slot);
        }
    }

    /// A new chunk: nothing is touched yet.
    pub(super) fn begin(&mut self) {
        if let Some(a) = &mut self.associations {
            a.chunk = a.chunk.wrapping_add(1);
            if a.chunk == 0 {
                a.stamp.fill(0);
                a.chunk = 1;
            }
        }
    }

    /// Rows count what they meet.
    pub(super) fn counts(&self) -> bool {
        self.associations.is_some()
    }

    /// How many rows of the other side a row meets.
    pub(super) fn count(&self, row: u32) -> u32 {
        self.associations.as_ref().map_or(0, |a| a.count[row as usize])
    }

    /// Sets what a new row meets.
    pub(super) fn set_count(&mut self, row: u32, count: u32) {
        if let Some(a) = &mut self.associations {
            a.count[row as usize] = count;
        }
    }

    /// One more or one less row is met. Gives the number before if this chunk had not touched the row yet.
    pub(super) fn associate(&mut self, row: u32, more: bool, now: i64) -> Option<u32> {
        if let Some(a) = &mut self.ages {
            a.written[row as usize] = now;
            self.rows.touch(row);
        }
        let a = self.associations.as_mut()?;
        self.rows.touch(row);
        let count = &mut a.count[row as usize];
        let before = *count;
        *count = if more { before.saturating_add(1) } else { before.saturating_sub(1) };
        let stamp = &mut a.stamp[row as usize];
        (std::mem::replace(stamp, a.chunk) != a.chunk).then_some(before)
    }

    /// This chunk has touched the row.
    pub(super) fn is_touched(&self, row: u32) -> bool {
        self.associations.as_ref().is_some_and(|a| a.stamp[row as usize] == a.chunk)
    }

    /// Slots are below this.
    pub(super) fn slots(&self) -> u32 {
        self.heads.len() as u32
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let slots = self.slot_of.as_ref().map_or(0, Vec::capacity);
        let numbers = self.heads.capacity() * 2 + self.next.capacity() + self.prev.capacity() + slots;
        let equality = self.equality.as_ref().map_or(0, EqualRows::memory);
        let counts = self.associations.as_ref().map_or(0, |a| a.count.capacity() * 8);
        let ages = self.ages.as_ref().map_or(0, |a| a.written.capacity() * 16 + a.queue.capacity() * 16);
        self.rows.memory() + numbers * 4 + equality + counts + ages
    }
}
