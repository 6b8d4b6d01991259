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

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use super::event_time::millis;
use super::join_output::{JoinOutput, PAIRS, columns_at, null_keys, take_rows};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Expiry, KeyTable, RowStore};

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

/// No row: the version is a deletion.
const DELETED: u32 = u32::MAX;
/// No key: a NULL in it.
const NO_KEY: u32 = u32::MAX;

/// A left row that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    slot: u32,
    kind: Kind,
}

/// The operator of one task.
#[derive(Debug)]
pub struct TemporalJoin {
    left_outer: bool,
    keys: [Vec<usize>; 2],
    times: [usize; 2],
    output: JoinOutput,
    table: KeyTable,
    /// By key slot: time and row id (or [`DELETED`]), by time.
    versions: Vec<Vec<(i64, u32)>>,
    right: RowStore,
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
    retention: Option<Expiry>,
    clock: Arc<dyn Clock>,
    slots: Vec<u32>,
}

impl TemporalJoin {
    /// An operator for one task.
    pub fn new(spec: TemporalJoinSpec) -> Result<Self> {
        let [left, right] = &spec.inputs;
        let types: Vec<_> = spec.keys[0].iter().map(|&c| left.field(c).data_type().clone()).collect();
        Ok(Self {
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
            retention: Expiry::new(spec.state_ttl),
            clock: Arc::new(SystemClock),
            slots: Vec::new(),
            output: JoinOutput::new(spec.inputs, spec.residual, spec.output, spec.schema),
            keys: spec.keys,
            times: spec.times,
        })
    }

    /// Slots of the keys of a batch; [`NO_KEY`] where a part is NULL.
    fn intern(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<u32>> {
        let keys = columns_at(batch, &self.keys[input]);
        let null = null_keys(&keys);
        let mut slots = std::mem::take(&mut self.slots);
        self.table.intern(&keys, batch.num_rows(), &mut slots)?;
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

    fn forget_versions(&mut self, slot: u32) -> Result<()> {
        let Some(versions) = self.versions.get_mut(slot as usize) else { return Ok(()) };
        for (_, id) in std::mem::take(versions) {
            if id != DELETED {
                self.right.free(id)?;
            }
        }
        Ok(())
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
            let waiting = Waiting { slot: slots[row], kind: chunk.kinds.get(row) };
            match self.waiting.get_mut(id as usize) {
                Some(place) => *place = waiting,
                None => {
                    self.waiting.resize(id as usize, waiting);
                    self.waiting.push(waiting);
                }
            }
            if slots[row] != NO_KEY {
                self.waiters[slots[row] as usize] += 1;
            }
            self.queue.push(Reverse((times[row], self.arrivals, id)));
            self.arrivals += 1;
        }
        self.forget_unused(&slots);
        self.slots = slots;
        Ok(())
    }

    /// Gives back slots that came to nothing.
    fn forget_unused(&mut self, slots: &[u32]) {
        for &slot in slots {
            if slot != NO_KEY && self.versions[slot as usize].is_empty() && self.waiters[slot as usize] == 0 {
                self.table.remove(slot);
            }
        }
    }

    fn take_right(&mut self, chunk: &Chunk) -> Result<()> {
        let times = millis(chunk.batch.column(self.times[1]), "the right side of the temporal join")?;
        let slots = self.intern(1, &chunk.batch)?;
        let counts = |row: usize| slots[row] != NO_KEY && chunk.kinds.get(row) != Kind::UpdateBefore;
        let rows: Vec<u32> = (0..chunk.len() as u32)
            .filter(|&row| counts(row as usize) && chunk.kinds.get(row as usize) != Kind::Delete)
            .collect();
        let mut ids = Vec::with_capacity(rows.len());
        if rows.len() == chunk.len() {
            self.right.push(&chunk.batch, &mut ids)?;
        } else {
            self.right.push(&take_rows(&chunk.batch, &rows)?, &mut ids)?;
        }
        let mut ids = ids.into_iter();
        for row in (0..chunk.len()).filter(|&row| counts(row)) {
            let id = match chunk.kinds.get(row) {
                Kind::Delete => DELETED,
                _ => ids.next().unwrap_or(DELETED),
            };
            let (time, slot) = (times[row], slots[row]);
            let versions = &mut self.versions[slot as usize];
            let at = match versions.last() {
                Some((last, _)) if *last >= time => versions.partition_point(|(t, _)| *t < time),
                _ => versions.len(),
            };
            // The later one of two versions of the same time holds.
            if let Some((known, old)) = versions.get_mut(at)
                && *known == time
            {
                let replaced = std::mem::replace(old, id);
                if replaced != DELETED {
                    self.right.free(replaced)?;
                }
                continue;
            }
            versions.insert(at, (time, id));
            if at > 0 {
                self.superseding.push(Reverse((time, slot)));
            }
            if let Some((next, _)) = versions.get(at + 1) {
                self.superseding.push(Reverse((*next, slot)));
            }
        }
        self.forget_unused(&slots);
        self.slots = slots;
        Ok(())
    }

    /// Emits the left rows that the watermark has passed, in the order they came.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let mut due: Vec<(u64, i64, u32)> = Vec::new();
        while let Some(Reverse((time, arrival, id))) = self.queue.peek().copied() {
            if time > self.now {
                break;
            }
            self.queue.pop();
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
                let newer = versions.partition_point(|(t, _)| *t <= time);
                if let Some((_, version)) = newer.checked_sub(1).map(|at| versions[at])
                    && version != DELETED
                {
                    owners.push(row as u32);
                    found.push(version);
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
            out.chunk(Chunk { batch: rows, kinds, ingest: Instant::now() });
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
            let valid = versions.partition_point(|(t, _)| *t <= self.now);
            for (_, id) in versions.drain(..valid.saturating_sub(1)) {
                if id != DELETED {
                    self.right.free(id)?;
                }
            }
        }
        Ok(())
    }
}

impl Operator for TemporalJoin {
    fn name(&self) -> &'static str {
        "TemporalJoin"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = context.clock;
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, _out: &mut Output) -> Result<()> {
        self.take_left(&chunk)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, _out: &mut Output) -> Result<()> {
        if input == 0 { self.take_left(&chunk) } else { self.take_right(&chunk) }
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.now = watermark.millis();
        self.settle(out)?;
        self.clean()?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
