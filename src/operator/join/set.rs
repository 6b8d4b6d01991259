//! UNION, INTERSECT and EXCEPT: how often each row stands on both sides decides how often it comes out.
//!
//! | operation | times a row comes out that is `l` times left and `r` times right |
//! |---|---|
//! | UNION | 1 if l + r > 0 |
//! | INTERSECT | 1 if l > 0 and r > 0 |
//! | INTERSECT ALL | the lesser of l and r |
//! | EXCEPT | 1 if l > 0 and r = 0 |
//! | EXCEPT ALL | l - r, if that is more than 0 |
//!
//! NULL equals NULL. The rows are keys; all that is kept beside them are two numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};

use super::emit::PIECE;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Operator, OperatorContext, Output};
use crate::state::{Changed, KeyTable, Restored, Scope, Snapshot, columns, with_schema};

/// The table of a checkpoint.
const TABLE: &str = "rows";

/// Which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum SetKind {
    /// `UNION`
    Union,
    /// `INTERSECT`
    Intersect,
    /// `INTERSECT ALL`
    IntersectAll,
    /// `EXCEPT`
    Except,
    /// `EXCEPT ALL`
    ExceptAll,
}

impl SetKind {
    /// As in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::IntersectAll => "INTERSECT ALL",
            SetKind::Except => "EXCEPT",
            SetKind::ExceptAll => "EXCEPT ALL",
        }
    }

    fn times(self, left: i64, right: i64) -> i64 {
        let (left, right) = (left.max(0), right.max(0));
        match self {
            SetKind::Union => i64::from(left > 0 || right > 0),
            SetKind::Intersect => i64::from(left > 0 && right > 0),
            SetKind::IntersectAll => left.min(right),
            SetKind::Except => i64::from(left > 0 && right == 0),
            SetKind::ExceptAll => (left - right).max(0),
        }
    }
}

/// A set operation on two inputs.
#[derive(Debug, Clone)]
pub struct SetSpec {
    /// Which one.
    pub kind: SetKind,
    /// Columns of both inputs and of the output: the types are the same.
    pub schema: SchemaRef,
    /// Rows that did not come for so long (in processing time) are forgotten.
    pub ttl: Option<Duration>,
}

/// UNION, INTERSECT and EXCEPT of two streams.
#[derive(Debug)]
pub struct SetOperation {
    spec: SetSpec,
    keys: KeyTable,
    /// How often a row stands left and right, by slot.
    counts: Vec<[i64; 2]>,
    ttl: Option<i64>,
    /// When a row last came, by slot; where there is a time to live.
    written: Vec<i64>,
    queue: VecDeque<(i64, u32)>,
    /// By slot: the time with which it stands in the queue; [`i64::MIN`] where it does not.
    queued: Vec<i64>,
    clock: Arc<dyn Clock>,
    slots: Vec<u32>,
    /// Slots whose row is in this chunk, with the number of times that the row has come out before.
    touched: Vec<(u32, i64)>,
    /// By slot: the chunk that last touched it.
    stamps: Vec<u32>,
    stamp: u32,
    changed: Changed,
}

impl SetOperation {
    /// An operation as specified.
    pub fn new(spec: SetSpec) -> Result<Self> {
        let types: Vec<_> = spec.schema.fields().iter().map(|f| f.data_type().clone()).collect();
        Ok(Self {
            keys: KeyTable::new(&types)?,
            ttl: spec.ttl.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX)),
            spec,
            counts: Vec::new(),
            written: Vec::new(),
            queue: VecDeque::new(),
            queued: Vec::new(),
            clock: Arc::new(SystemClock),
            slots: Vec::new(),
            touched: Vec::new(),
            stamps: Vec::new(),
            stamp: 0,
            changed: Changed::default(),
        })
    }

    /// Columns of the table of a checkpoint: the row, how often it stands left and right, and when it last came.
    fn table(&self) -> SchemaRef {
        let row = self.spec.schema.fields().iter().map(|f| f.as_ref().clone());
        let counts = ["left_count", "right_count"].map(|name| Field::new(name, DataType::Int64, true));
        let written = self.ttl.map(|_| Field::new("written_at", columns::time_type(), true));
        columns::schema(row.chain(counts).chain(written))
    }

    /// Makes room for all slots.
    fn resize(&mut self, now: i64) {
        let capacity = self.keys.capacity();
        if self.counts.len() < capacity {
            self.counts.resize(capacity, [0; 2]);
            self.stamps.resize(capacity, 0);
            if self.ttl.is_some() {
                self.written.resize(capacity, now);
                self.queued.resize(capacity, i64::MIN);
            }
        }
    }

    fn is_expired(&self, slot: u32, now: i64) -> bool {
        self.ttl.is_some_and(|ttl| self.written[slot as usize].saturating_add(ttl) <= now)
    }

    /// Forgets some of the rows whose time has passed.
    fn sweep(&mut self, now: i64, most: usize) {
        let Some(ttl) = self.ttl else { return };
        for _ in 0..most {
            let Some(&(queued, slot)) = self.queue.front() else { return };
            if queued.saturating_add(ttl) > now {
                return;
            }
            self.queue.pop_front();
            let written = self.written[slot as usize];
            if written.saturating_add(ttl) > now {
                self.queued[slot as usize] = written;
                self.queue.push_back((written, slot));
            } else {
                self.queued[slot as usize] = i64::MIN;
                self.counts[slot as usize] = [0; 2];
                self.keys.remove(slot);
                self.changed.remove(slot);
            }
        }
    }

    fn emit(
        &self,
        slots: &[u32],
        kinds: &[Kind],
        ingest: std::time::Instant,
        out: &mut Output,
    ) -> Result<()> {
        for (slots, kinds) in slots.chunks(PIECE).zip(kinds.chunks(PIECE)) {
            let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
            let columns =
                if self.spec.schema.fields().is_empty() { vec![] } else { self.keys.take(slots)? };
            let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
            let kinds = if kinds.iter().all(|k| *k == Kind::Insert) {
                Kinds::Append
            } else {
                Kinds::Changes(kinds.into())
            };
            out.chunk(Chunk { batch, kinds, ingest });
        }
        Ok(())
    }
}

impl Operator for SetOperation {
    fn name(&self) -> &'static str {
        "SetOperation"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = context.clock;
        self.changed = Changed::new(context.checkpointed);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (changed, removed) = self.changed.take();
        let (slots, removed) = match snapshot.is_full() {
            true => (self.keys.slots(), Vec::new()),
            false => (changed, removed),
        };
        let mut row = self.keys.take(&slots)?;
        let width = row.len();
        for side in 0..2 {
            let counts = slots.iter().map(|&slot| self.counts[slot as usize][side]);
            row.push(Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef);
        }
        if self.ttl.is_some() {
            row.push(columns::times(slots.iter().map(|&slot| self.written[slot as usize])));
        }
        let rows = with_schema(&self.table(), &row, slots.len())?;
        let ids = slots.into_iter().map(u64::from).collect();
        snapshot.table(TABLE, Scope::Keyed((0..width).collect()), ids, rows, removed)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let (table, width) = (self.table(), self.spec.schema.fields().len());
        let mut slots = Vec::new();
        let now = state.now();
        for piece in state.table(TABLE)? {
            let rows = columns::with_time_as_in(&table, &piece.rows, now)?;
            columns::check(&rows, &table, TABLE)?;
            let row = rows.columns();
            let keys = columns::cast_to(&self.spec.schema, &row[..width])?;
            self.keys.intern(&keys, piece.rows.num_rows(), &mut slots)?;
            self.resize(0);
            let left = columns::numbers::<Int64Type>(&row[width])?;
            let right = columns::numbers::<Int64Type>(&row[width + 1])?;
            for (row, &slot) in slots.iter().enumerate() {
                self.counts[slot as usize] = [left[row], right[row]];
            }
            if self.ttl.is_some() {
                for (&slot, &written) in slots.iter().zip(columns::millis(&row[width + 2])?) {
                    (self.written[slot as usize], self.queued[slot as usize]) = (written, written);
                    self.queue.push_back((written, slot));
                }
            }
        }
        self.queue.make_contiguous().sort_unstable();
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let all: Vec<usize> = (0..self.spec.schema.fields().len()).collect();
        let keyed = !all.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![all.clone(), all], &[TABLE], self.spec.ttl))
    }

    fn state_bytes(&self) -> usize {
        let slots = self.counts.capacity() * 16 + self.stamps.capacity() * 4;
        let times = (self.written.capacity() + self.queued.capacity()) * 8 + self.queue.capacity() * 16;
        self.keys.memory() + slots + times + self.changed.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        let now = self.clock.now_millis();
        self.sweep(now, chunk.len() + 64);
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(chunk.batch.columns(), chunk.len(), &mut slots)?;
        self.resize(now);
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.stamps.fill(0);
            self.stamp = 1;
        }
        self.touched.clear();
        for (row, &slot) in slots.iter().enumerate() {
            let at = slot as usize;
            if std::mem::replace(&mut self.stamps[at], self.stamp) != self.stamp {
                if self.is_expired(slot, now) {
                    self.counts[at] = [0; 2];
                }
                let [left, right] = self.counts[at];
                self.changed.mark(slot);
                self.touched.push((slot, self.spec.kind.times(left, right)));
                if self.ttl.is_some() {
                    self.written[at] = now;
                    if self.queued[at] == i64::MIN {
                        self.queued[at] = now;
                        self.queue.push_back((now, slot));
                    }
                }
            }
            self.counts[at][input] += match chunk.kinds.get(row) {
                Kind::Insert | Kind::UpdateAfter => 1,
                Kind::UpdateBefore | Kind::Delete => -1,
            };
        }
        self.slots = slots;
        let (mut rows, mut kinds) = (Vec::new(), Vec::new());
        for &(slot, before) in &self.touched {
            let counts = &mut self.counts[slot as usize];
            // A row that is taken back although it was never there (or was forgotten) is ignored.
            counts[input] = counts[input].max(0);
            let change = self.spec.kind.times(counts[0], counts[1]) - before;
            let kind = if change > 0 { Kind::Insert } else { Kind::Delete };
            rows.resize(rows.len() + change.unsigned_abs() as usize, slot);
            kinds.resize(rows.len(), kind);
        }
        self.emit(&rows, &kinds, chunk.ingest, out)?;
        for &(slot, _) in &self.touched {
            if self.counts[slot as usize] == [0; 2] {
                self.keys.remove(slot);
                self.changed.remove(slot);
            }
        }
        Ok(())
    }
}
