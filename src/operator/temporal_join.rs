//! Event-time temporal join: each left row meets the version of a right row that was valid at its time.
//!
//! ```text
//!   right, key k   ──(v1)────────(v2)───────(-D)──────>     versions, by their times
//!   left,  key k   ───────●a──────────●b──────────●c──>     a: v1, b: v2, c: none
//!                                             ^ watermark of both sides: a and b are settled, c waits
//! ```
//! Left rows wait until the watermark of both sides has passed their time: only then no version can come that
//! would have been the right one. Versions older than the one that is valid at the watermark are let go; a
//! deletion stays as a mark, so that a version that comes late does not come back to life.
//!
//! - A left row that comes behind the watermark is dropped (and counted), as in Flink.
//! - Left changes keep their kinds: a retraction meets the version of its own time, as what it takes back did.
//! - `-U` of the right side is passed over: its `+U` says the same and when.
//!
//! In a checkpoint `left` has the rows that wait, `versions` those of the right side, `deletions` the keys and times
//! of those that end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::event_time::millis;
use super::join_output::{JoinOutput, PAIRS, columns_at, null_keys, take_rows};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{KeyTable, KeyTimes, Restored, RowStore, RowTable, Snapshot};

/// An event-time temporal join that was planned. Arrays hold left, then right.
#[derive(Debug, Clone)]
pub struct TemporalJoinSpec {
    /// Left rows without a version are kept, padded with NULLs.
    pub left_outer: bool,
    /// Key columns, equal in number and types; on the right they identify a row at any time (its primary key).
    pub keys: [Vec<usize>; 2],
    /// Time columns.
    pub times: [usize; 2],
    /// The rest of the condition, over left columns, then right columns.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Schemas of the inputs.
    pub inputs: [SchemaRef; 2],
    /// Output columns as positions in left columns, then right columns.
    pub output: Vec<usize>,
    /// The output's schema.
    pub schema: SchemaRef,
    /// Keys that neither side has touched for so long are forgotten, with the left rows that wait.
    pub state_ttl: Option<Duration>,
}

/// The value of a checkpoint: the watermark up to which left rows came out.
const WATERMARK: &str = "watermark";

/// No key: a NULL in it.
const NO_KEY: u32 = u32::MAX;

/// A left row that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    slot: u32,
    kind: Kind,
}

/// What holds for a key from a time on.
#[derive(Debug, Clone, Copy)]
struct Version {
    time: i64,
    /// Row id, of a version or of a deletion.
    id: u32,
    deleted: bool,
}

/// The operator of one task.
#[derive(Debug)]
pub struct TemporalJoin {
    left_outer: bool,
    keys: [Vec<usize>; 2],
    times: [usize; 2],
    output: JoinOutput,
    table: KeyTable,
    /// By key slot: by time.
    versions: Vec<Vec<Version>>,
    right: RowStore,
    /// Keys and times of deletions.
    deletions: RowStore,
    /// Their columns in a right row.
    deletion_columns: Vec<usize>,
    /// Time and slot of versions that may make others needless, the oldest on top.
    superseding: BinaryHeap<Reverse<(i64, u32)>>,
    left: RowStore,
    /// By left row id.
    waiting: Vec<Waiting>,
    /// How many left rows of a slot wait.
    waiters: Vec<u32>,
    /// Time, number by arrival, and left row id, the oldest on top.
    queue: BinaryHeap<Reverse<(i64, u64, u32)>>,
    arrivals: u64,
    now: i64,
    late: u64,
    retention: Option<KeyTimes>,
    clock: Arc<dyn Clock>,
    slots: Vec<u32>,
    /// Of keys that are being taken back.
    touched: Vec<u32>,
    tables: Tables,
}

/// Tables of a checkpoint.
#[derive(Debug)]
struct Tables {
    left: RowTable,
    versions: RowTable,
    deletions: RowTable,
}

impl TemporalJoin {
    /// An operator for one task.
    pub fn new(spec: TemporalJoinSpec) -> Result<Self> {
        let [left, right] = &spec.inputs;
        let types: Vec<_> = spec.keys[0].iter().map(|&c| left.field(c).data_type().clone()).collect();
        let mut deletion_columns = spec.keys[1].clone();
        deletion_columns.push(spec.times[1]);
        let deletion: Vec<Field> = deletion_columns.iter().map(|&c| right.field(c).clone()).collect();
        let deletion: SchemaRef = Arc::new(Schema::new(deletion));
        let kind = Field::new("kind", DataType::Utf8View, true);
        let tables = Tables {
            left: RowTable::new("left", left, [kind], spec.keys[0].clone()),
            versions: RowTable::new("versions", right, [], spec.keys[1].clone()),
            deletions: RowTable::new("deletions", &deletion, [], (0..spec.keys[1].len()).collect()),
        };
        let keys = spec.keys[0].iter().map(|&c| left.field(c).clone());
        Ok(Self {
            tables,
            touched: Vec::new(),
            deletions: RowStore::new(deletion),
            deletion_columns,
            retention: KeyTimes::new(spec.state_ttl, keys),
            left_outer: spec.left_outer,
            table: KeyTable::new(&types)?,
            versions: Vec::new(),
            right: RowStore::new(right.clone()),
            superseding: BinaryHeap::new(),
            left: RowStore::new(left.clone()),
            waiting: Vec::new(),
            waiters: Vec::new(),
            queue: BinaryHeap::new(),
            arrivals: 0,
            now: i64::MIN,
            late: 0,
            clock: Arc::new(SystemClock),
            slots: Vec::new(),
            output: JoinOutput::new(spec.inputs, spec.residual, spec.output, spec.schema),
            keys: spec.keys,
            times: spec.times,
        })
    }

    /// Slots of the keys of a batch; [`NO_KEY`] where a part is NULL.
    fn intern(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<u32>> {
        let slots = self.slots_of(&columns_at(batch, &self.keys[input]), batch.num_rows())?;
        if let Some(retention) = &mut self.retention {
            let now = self.clock.now_millis();
            let mut expired = retention.sweep(now);
            expired.extend(slots.iter().filter(|&&s| s != NO_KEY && retention.is_expired(s, now)));
            expired.sort_unstable();
            expired.dedup();
            for &slot in slots.iter().filter(|&&s| s != NO_KEY) {
                retention.touch(slot, now);
            }
            for slot in expired {
                self.forget_versions(slot)?;
                self.forget_waiting(slot)?;
                if !slots.contains(&slot) {
                    self.table.remove(slot);
                }
            }
        }
        Ok(slots)
    }

    /// Slots of keys; [`NO_KEY`] where a part is NULL.
    fn slots_of(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let null = null_keys(keys);
        let mut slots = std::mem::take(&mut self.slots);
        self.table.intern(keys, rows, &mut slots)?;
        self.versions.resize_with(self.table.capacity(), Vec::new);
        self.waiters.resize(self.table.capacity(), 0);
        if let Some(null) = null {
            let unused: Vec<u32> =
                slots.iter().zip(&null).filter(|(_, null)| **null).map(|(slot, _)| *slot).collect();
            for slot in unused {
                self.table.remove(slot);
            }
            for (slot, null) in slots.iter_mut().zip(null) {
                if null {
                    *slot = NO_KEY;
                }
            }
        }
        Ok(slots)
    }

    fn free_version(&mut self, version: Version) -> Result<()> {
        if version.deleted { self.deletions.free(version.id) } else { self.right.free(version.id) }
    }

    fn forget_versions(&mut self, slot: u32) -> Result<()> {
        let Some(versions) = self.versions.get_mut(slot as usize) else { return Ok(()) };
        std::mem::take(versions).into_iter().try_for_each(|version| self.free_version(version))
    }

    fn forget_waiting(&mut self, slot: u32) -> Result<()> {
        if self.waiters.get(slot as usize).is_none_or(|n| *n == 0) {
            return Ok(());
        }
        self.waiters[slot as usize] = 0;
        let waiting = &self.waiting;
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.queue.drain().partition(|Reverse((_, _, id))| waiting[*id as usize].slot == slot);
        self.queue = kept.into();
        gone.into_iter().try_for_each(|Reverse((_, _, id))| self.left.free(id))
    }

    fn take_left(&mut self, chunk: &Chunk) -> Result<()> {
        let times = millis(chunk.batch.column(self.times[0]), "the left side of the temporal join")?;
        let slots = self.intern(0, &chunk.batch)?;
        let (now, outer) = (self.now, self.left_outer);
        let late = times.iter().filter(|&&t| t <= now && now != i64::MIN).count();
        self.late += late as u64;
        let keep: Vec<u32> = (0..chunk.len() as u32)
            .filter(|&row| {
                let row = row as usize;
                (times[row] > now || now == i64::MIN) && (outer || slots[row] != NO_KEY)
            })
            .collect();
        let mut ids = Vec::with_capacity(keep.len());
        if keep.len() == chunk.len() {
            self.left.push(&chunk.batch, &mut ids)?;
        } else {
            self.left.push(&take_rows(&chunk.batch, &keep)?, &mut ids)?;
        }
        for (&row, &id) in keep.iter().zip(&ids) {
            let row = row as usize;
            self.wait(id, times[row], Waiting { slot: slots[row], kind: chunk.kinds.get(row) });
        }
        self.forget_unused(&slots);
        self.slots = slots;
        Ok(())
    }

    /// A kept left row waits for the watermark.
    fn wait(&mut self, id: u32, time: i64, waiting: Waiting) {
        match self.waiting.get_mut(id as usize) {
            Some(place) => *place = waiting,
            None => {
                self.waiting.resize(id as usize, waiting);
                self.waiting.push(waiting);
            }
        }
        if waiting.slot != NO_KEY {
            self.waiters[waiting.slot as usize] += 1;
        }
        self.queue.push(Reverse((time, self.arrivals, id)));
        self.arrivals += 1;
    }

    /// Gives back slots that came to nothing.
    fn forget_unused(&mut self, slots: &[u32]) {
        for &slot in slots {
            if slot != NO_KEY && self.versions[slot as usize].is_empty() && self.waiters[slot as usize] == 0 {
                self.table.remove(slot);
                self.retention.iter_mut().for_each(|r| r.forget(slot));
            }
        }
    }

    fn take_right(&mut self, chunk: &Chunk) -> Result<()> {
        let times = millis(chunk.batch.column(self.times[1]), "the right side of the temporal join")?;
        let slots = self.intern(1, &chunk.batch)?;
        let counts = |row: usize| slots[row] != NO_KEY && chunk.kinds.get(row) != Kind::UpdateBefore;
        let (deleted, rows): (Vec<u32>, Vec<u32>) = (0..chunk.len() as u32)
            .filter(|&row| counts(row as usize))
            .partition(|&row| chunk.kinds.get(row as usize) == Kind::Delete);
        let mut ids = Vec::with_capacity(rows.len());
        if rows.len() == chunk.len() {
            self.right.push(&chunk.batch, &mut ids)?;
        } else {
            self.right.push(&take_rows(&chunk.batch, &rows)?, &mut ids)?;
        }
        let mut deletions = Vec::with_capacity(deleted.len());
        if !deleted.is_empty() {
            let marks = chunk.batch.project(&self.deletion_columns)?;
            self.deletions.push(&take_rows(&marks, &deleted)?, &mut deletions)?;
        }
        let (mut ids, mut deletions) = (ids.into_iter(), deletions.into_iter());
        for row in (0..chunk.len()).filter(|&row| counts(row)) {
            let deleted = chunk.kinds.get(row) == Kind::Delete;
            let id = if deleted { deletions.next() } else { ids.next() };
            let id = id.ok_or_else(|| Error::internal("a version of a temporal join was not kept"))?;
            let (time, slot) = (times[row], slots[row]);
            let version = Version { time, id, deleted };
            let versions = &mut self.versions[slot as usize];
            let at = match versions.last() {
                Some(last) if last.time >= time => versions.partition_point(|v| v.time < time),
                _ => versions.len(),
            };
            // The later one of two versions of the same time holds.
            if let Some(known) = versions.get_mut(at).filter(|known| known.time == time) {
                let replaced = std::mem::replace(known, version);
                self.free_version(replaced)?;
                continue;
            }
            versions.insert(at, version);
            if at > 0 {
                self.superseding.push(Reverse((time, slot)));
            }
            if let Some(next) = versions.get(at + 1) {
                self.superseding.push(Reverse((next.time, slot)));
            }
        }
        self.forget_unused(&slots);
        self.slots = slots;
        Ok(())
    }

    /// Emits the left rows that the watermark has passed, in the order they came.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let mut due: Vec<(u64, i64, u32)> = Vec::new();
        let clock = self.clock.now_millis();
        while let Some(Reverse((time, arrival, id))) = self.queue.peek().copied() {
            if time > self.now {
                break;
            }
            self.queue.pop();
            // What has outlived its time counts as forgotten, whether somebody has come to do it or not.
            let slot = self.waiting[id as usize].slot;
            if slot != NO_KEY && self.retention.as_ref().is_some_and(|r| r.is_expired(slot, clock)) {
                self.waiters[slot as usize] -= 1;
                self.left.free(id)?;
                continue;
            }
            due.push((arrival, time, id));
        }
        due.sort_unstable();
        for piece in due.chunks(PAIRS) {
            let ids: Vec<u32> = piece.iter().map(|(_, _, id)| *id).collect();
            let (mut owners, mut found) = (Vec::new(), Vec::new());
            let mut kinds = Vec::with_capacity(piece.len());
            for (row, &(_, time, id)) in piece.iter().enumerate() {
                let Waiting { slot, kind } = self.waiting[id as usize];
                kinds.push(kind);
                if slot == NO_KEY {
                    continue;
                }
                self.waiters[slot as usize] -= 1;
                let versions = &self.versions[slot as usize];
                let newer = versions.partition_point(|v| v.time <= time);
                if let Some(version) = newer.checked_sub(1).map(|at| versions[at])
                    && !version.deleted
                {
                    owners.push(row as u32);
                    found.push(version.id);
                }
            }
            let left = self.left.take(&ids)?;
            let right = self.right.take(&found)?;
            let (rows, from) = self.output.left_join(
                left.columns(),
                ids.len(),
                right.columns(),
                &owners,
                self.left_outer,
            )?;
            let kinds = if kinds.iter().all(|k| *k == Kind::Insert) {
                Kinds::Append
            } else {
                Kinds::Changes(from.iter().map(|&row| kinds[row as usize]).collect())
            };
            out.chunk(Chunk { batch: rows, kinds, ingest: crate::clock::instant() });
            for id in ids {
                let slot = self.waiting[id as usize].slot;
                self.left.free(id)?;
                if slot != NO_KEY {
                    self.forget_unused(&[slot]);
                }
            }
        }
        Ok(())
    }

    /// Lets go of versions that were valid before the one that is valid at the watermark.
    fn clean(&mut self) -> Result<()> {
        while let Some(Reverse((time, slot))) = self.superseding.peek().copied() {
            if time > self.now {
                break;
            }
            self.superseding.pop();
            let versions = &mut self.versions[slot as usize];
            let valid = versions.partition_point(|v| v.time <= self.now);
            for version in versions.drain(..valid.saturating_sub(1)) {
                let store = if version.deleted { &mut self.deletions } else { &mut self.right };
                store.free(version.id)?;
            }
        }
        Ok(())
    }

    /// Takes versions or deletions back; lists are in no order yet.
    fn restore_versions(&mut self, state: &mut Restored, deleted: bool) -> Result<()> {
        let table = if deleted { &self.tables.deletions } else { &self.tables.versions };
        let batches = table.read(state)?.collect::<Result<Vec<_>>>()?;
        // Deletions have key columns and the time alone.
        let keys: Vec<usize> = if deleted { (0..self.keys[1].len()).collect() } else { self.keys[1].clone() };
        let time = if deleted { keys.len() } else { self.times[1] };
        for taken in batches {
            let rows = taken.rows;
            let times = millis(rows.column(time), "the right side of the temporal join")?;
            let slots = self.slots_of(&columns_at(&rows, &keys), rows.num_rows())?;
            let mut ids = Vec::with_capacity(rows.num_rows());
            let store = if deleted { &mut self.deletions } else { &mut self.right };
            store.push(&rows, &mut ids)?;
            for (row, &id) in ids.iter().enumerate() {
                let version = Version { time: times[row], id, deleted };
                match self.versions.get_mut(slots[row] as usize) {
                    Some(versions) => versions.push(version),
                    None => return Err(Error::decode("a version in the checkpoint has no key")),
                }
            }
            self.touched.extend_from_slice(&slots);
            self.slots = slots;
        }
        Ok(())
    }
}

/// The kind that [`Kind::as_str`] shows.
fn kind_of(text: &str) -> Result<Kind> {
    let kinds = [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == text);
    kind.ok_or_else(|| Error::decode(format!("'{text}' in the checkpoint is no kind of change")))
}

impl Operator for TemporalJoin {
    fn name(&self) -> &'static str {
        "TemporalJoin"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        for rows in [&mut self.left, &mut self.right, &mut self.deletions] {
            rows.limit(&context.memory);
            if context.keeps_order() {
                rows.note(context.checkpointed);
            }
        }
        if context.checkpointed {
            self.retention.iter_mut().for_each(KeyTimes::track);
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let waiting = &self.waiting;
        self.tables.left.write(&mut self.left, snapshot, |ids| {
            let kinds = ids.iter().map(|&id| waiting[id as usize].kind.as_str());
            Ok(vec![Arc::new(StringViewArray::from_iter_values(kinds))])
        })?;
        self.tables.versions.write(&mut self.right, snapshot, |_| Ok(Vec::new()))?;
        self.tables.deletions.write(&mut self.deletions, snapshot, |_| Ok(Vec::new()))?;
        if let Some(retention) = &mut self.retention {
            retention.snapshot(&self.table, true, snapshot)?;
        }
        snapshot.value(WATERMARK, self.now)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        self.restore_versions(state, false)?;
        self.restore_versions(state, true)?;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for slot in touched {
            let Some(versions) = self.versions.get_mut(slot as usize) else { continue };
            versions.sort_unstable_by_key(|version| version.time);
            let superseding = versions.iter().skip(1).map(|version| Reverse((version.time, slot)));
            self.superseding.extend(superseding);
        }
        let batches = self.tables.left.read(state)?.collect::<Result<Vec<_>>>()?;
        for taken in batches {
            let rows = taken.rows;
            let times = millis(rows.column(self.times[0]), "the left side of the temporal join")?;
            let slots = self.slots_of(&columns_at(&rows, &self.keys[0]), rows.num_rows())?;
            let kinds = taken.beside[0].as_string_view();
            let mut ids = Vec::with_capacity(rows.num_rows());
            self.left.push(&rows, &mut ids)?;
            for (row, &id) in ids.iter().enumerate() {
                let kind = kind_of(kinds.value(row))?;
                self.wait(id, times[row], Waiting { slot: slots[row], kind });
            }
            self.slots = slots;
        }
        if let Some(retention) = &mut self.retention {
            retention.restore(&mut self.table, state)?;
        }
        self.versions.resize_with(self.table.capacity(), Vec::new);
        self.waiters.resize(self.table.capacity(), 0);
        self.now = state.values::<i64>(WATERMARK)?.into_iter().fold(self.now, i64::max);
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let tables: &[&str] = match self.retention {
            Some(_) => &["versions", "deletions", "keys"],
            None => &["versions", "deletions"],
        };
        let keyed = !self.keys[0].is_empty();
        keyed.then(|| ColdSpec::by_key(self.keys.to_vec(), tables, None))
    }

    fn state_bytes(&self) -> usize {
        let rows = self.left.memory() + self.right.memory() + self.deletions.memory();
        let versions = self.right.len() + self.deletions.len();
        let lists = self.versions.capacity() * size_of::<Vec<Version>>() + versions * size_of::<Version>();
        let waiting = self.waiting.capacity() * size_of::<Waiting>() + self.waiters.capacity() * 4;
        let queues = self.queue.capacity() * 24 + self.superseding.capacity() * 16;
        let times = self.retention.as_ref().map_or(0, KeyTimes::memory);
        self.table.memory() + rows + lists + waiting + queues + times
    }

    fn chunk(&mut self, chunk: Chunk, _out: &mut Output) -> Result<()> {
        self.take_left(&chunk)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, _out: &mut Output) -> Result<()> {
        if input == 0 { self.take_left(&chunk) } else { self.take_right(&chunk) }
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        // Behind a restore watermarks begin anew; what came out stays out.
        self.now = self.now.max(watermark.millis());
        self.settle(out)?;
        self.clean()?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
