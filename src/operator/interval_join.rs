//! Interval join: two append-only streams, rows of which meet when their times are close.
//!
//! ```text
//!   left  row at t          meets right rows at [t + lower, t + upper]
//!   right row at t          meets left  rows at [t - upper, t - lower]
//!
//!   left  ──●───────────────────────────────────>
//!           └ lower ┐       ┌ upper
//!   right ──────────[·······]───────────────────>
//! ```
//! What makes the state finite is that time passes: behind the watermark no row comes any more, so that a left
//! row is let go when the watermark has passed `t + upper`, a right one at `t - lower`. A row of an outer side
//! that met nobody is padded at that moment.
//!
//! Late rows are treated as Flink treats them: they still meet what is kept, and are kept themselves only if
//! somebody may still come for them. A row for which nobody may come is padded at once.
//!
//! Output rows are as old as what is kept, so that the watermark is held back by the longer bound: both time
//! attributes stay usable behind the join.
//!
//! In a checkpoint each side is a table of its rows: whether they are `matched` where that counts, and by processing
//! time when they `came_at`. The time up to which rows were let go is kept with them: it decides who is late.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::event_time::millis;
use super::join_output::{JoinOutput, PAIRS, columns_at, null_keys, take_columns, take_rows};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{KeyTable, Restored, RowStore, RowTable, Snapshot, columns};

/// As errors name the inputs.
const INPUTS: [&str; 2] = ["the left side of the interval join", "the right side of the interval join"];

/// Tables of a checkpoint, by input.
const TABLES: [&str; 2] = ["left", "right"];

/// The value of a checkpoint: the time up to which rows were let go.
const TIME: &str = "time";

/// Which rows an interval join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalJoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without one.
    Left,
    /// Pairs, and right rows without one.
    Right,
    /// Pairs, and rows of both sides without one.
    Full,
    /// Left rows with a match, once.
    Semi,
    /// Left rows without a match.
    Anti,
}

impl IntervalJoinKind {
    /// Unmatched rows of this input come out.
    fn is_outer(self, input: usize) -> bool {
        match self {
            Self::Inner | Self::Semi => false,
            Self::Left | Self::Anti => input == 0,
            Self::Right => input == 1,
            Self::Full => true,
        }
    }

    /// Only left rows come out, each at most once.
    fn is_left_only(self) -> bool {
        matches!(self, Self::Semi | Self::Anti)
    }
}

/// An interval join that was planned. Arrays hold left, then right.
#[derive(Debug, Clone)]
pub struct IntervalJoinSpec {
    /// Which rows come out.
    pub kind: IntervalJoinKind,
    /// Key columns, equal in number and types; rows with a NULL in one never match.
    pub keys: [Vec<usize>; 2],
    /// Time columns; `None`: processing time, when a row came.
    pub times: Option<[usize; 2]>,
    /// Right times are at least left time + `lower` milliseconds.
    pub lower: i64,
    /// Right times are at most left time + `upper` milliseconds.
    pub upper: i64,
    /// The rest of the condition, over left columns, then right columns.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Schemas of the inputs.
    pub inputs: [SchemaRef; 2],
    /// Output columns as positions in left columns, then right columns; semi and anti joins have left ones.
    pub output: Vec<usize>,
    /// The output's schema.
    pub schema: SchemaRef,
}

/// What is known of a kept row.
#[derive(Debug, Clone, Copy)]
struct Kept {
    time: i64,
    slot: u32,
    matched: bool,
}

/// The kept rows of one input.
#[derive(Debug)]
struct Side {
    keys: Vec<usize>,
    time: Option<usize>,
    /// Rows of the other side that match are at [time + from, time + to].
    from: i64,
    to: i64,
    outer: bool,
    /// It counts whether a row was matched.
    minds_matches: bool,
    rows: RowStore,
    /// By row id.
    kept: Vec<Kept>,
    /// By key slot: time and row id, by time and then by arrival.
    by_key: Vec<VecDeque<(i64, u32)>>,
    /// Time, number by arrival, and row id, the oldest on top.
    oldest: BinaryHeap<Reverse<(i64, u64, u32)>>,
    arrivals: u64,
    table: RowTable,
}

impl Side {
    /// The moment from which nobody comes for a row of this time.
    fn last_match(&self, time: i64) -> i64 {
        time.saturating_add(self.to)
    }

    fn insert(&mut self, time: i64, slot: u32, id: u32, matched: bool) {
        let kept = Kept { time, slot, matched };
        match self.kept.get_mut(id as usize) {
            Some(place) => *place = kept,
            None => {
                self.kept.resize(id as usize, kept);
                self.kept.push(kept);
            }
        }
        let list = &mut self.by_key[slot as usize];
        match list.back() {
            Some((last, _)) if *last > time => {
                let at = list.partition_point(|(t, _)| *t <= time);
                list.insert(at, (time, id));
            }
            _ => list.push_back((time, id)),
        }
        self.oldest.push(Reverse((time, self.arrivals, id)));
        self.arrivals += 1;
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (kept, by_clock, minds_matches) = (&self.kept, self.time.is_none(), self.minds_matches);
        self.table.write(&mut self.rows, snapshot, |ids| {
            let mut beside: Vec<ArrayRef> = Vec::new();
            if minds_matches {
                let matched = ids.iter().map(|&id| Some(kept[id as usize].matched));
                beside.push(Arc::new(matched.collect::<BooleanArray>()));
            }
            if by_clock {
                beside.push(columns::times(ids.iter().map(|&id| kept[id as usize].time)));
            }
            Ok(beside)
        })
    }

    fn memory(&self) -> usize {
        let lists = self.by_key.capacity() * size_of::<VecDeque<(i64, u32)>>() + self.rows.len() * 16;
        self.rows.memory() + self.kept.capacity() * size_of::<Kept>() + lists + self.oldest.capacity() * 24
    }
}

/// The operator of one task.
#[derive(Debug)]
pub struct IntervalJoin {
    kind: IntervalJoinKind,
    by_event_time: bool,
    /// Bounds that no pair of times can meet.
    empty: bool,
    sides: [Side; 2],
    keys: KeyTable,
    output: JoinOutput,
    /// By how much the watermark is held back.
    delay: i64,
    now: i64,
    marks: WatermarkClock,
    clock: Arc<dyn Clock>,
    slots: Vec<u32>,
}

impl IntervalJoin {
    /// An operator for one task.
    pub fn new(spec: IntervalJoinSpec) -> Result<Self> {
        let left = &spec.inputs[0];
        let types: Vec<_> = spec.keys[0].iter().map(|&c| left.field(c).data_type().clone()).collect();
        let minds_matches =
            |input: usize| spec.kind.is_outer(input) || (spec.kind.is_left_only() && input == 0);
        let table = |input: usize| {
            let matched = Field::new("matched", DataType::Boolean, true);
            let came = Field::new("came_at", columns::time_type(), true);
            let beside = minds_matches(input).then_some(matched).into_iter();
            let beside = beside.chain(spec.times.is_none().then_some(came));
            RowTable::new(TABLES[input], &spec.inputs[input], beside, spec.keys[input].clone())
        };
        let side = |input: usize, from: i64, to: i64| Side {
            keys: spec.keys[input].clone(),
            time: spec.times.map(|t| t[input]),
            from,
            to,
            outer: spec.kind.is_outer(input),
            minds_matches: minds_matches(input),
            table: table(input),
            arrivals: 0,
            rows: RowStore::new(spec.inputs[input].clone()),
            kept: Vec::new(),
            by_key: Vec::new(),
            oldest: BinaryHeap::new(),
        };
        let (below, above) = (spec.lower.saturating_neg(), spec.upper);
        Ok(Self {
            kind: spec.kind,
            by_event_time: spec.times.is_some(),
            empty: spec.lower > spec.upper,
            sides: [side(0, spec.lower, spec.upper), side(1, spec.upper.saturating_neg(), below)],
            keys: KeyTable::new(&types)?,
            delay: below.max(above).max(0).saturating_add(1),
            output: JoinOutput::new(spec.inputs, spec.residual, spec.output, spec.schema),
            now: i64::MIN,
            marks: WatermarkClock::default(),
            clock: Arc::new(SystemClock),
            slots: Vec::new(),
        })
    }

    fn times(&self, input: usize, batch: &RecordBatch) -> Result<Vec<i64>> {
        match self.sides[input].time {
            Some(column) => millis(batch.column(column), INPUTS[input]),
            None => Ok(vec![self.now; batch.num_rows()]),
        }
    }

    fn pad(&self, input: usize, batch: &RecordBatch, ingest: Instant, out: &mut Output) -> Result<()> {
        if self.sides[input].outer && batch.num_rows() > 0 {
            let rows = self.output.padded(input, batch.columns(), batch.num_rows())?;
            out.chunk(Chunk::append(rows, ingest));
        }
        Ok(())
    }

    /// Evaluates pairs of new rows (`owners`, of the chunk) and kept rows (`ids`, of the other side), notes who
    /// is matched and emits. Both vectors are emptied.
    fn meet(
        &mut self,
        input: usize,
        (batch, ingest): (&RecordBatch, Instant),
        owners: &mut Vec<u32>,
        ids: &mut Vec<u32>,
        matched: &mut [bool],
        out: &mut Output,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let kept = self.sides[1 - input].rows.take(ids)?;
        let own = take_columns(batch.columns(), owners)?;
        let (left, right): (&[ArrayRef], &[ArrayRef]) =
            if input == 0 { (&own, kept.columns()) } else { (kept.columns(), &own) };
        let mut mask = self.output.passes(left, right, ids.len())?;
        let Side { kept: other, rows: other_rows, minds_matches, .. } = &mut self.sides[1 - input];
        let semi = self.kind == IntervalJoinKind::Semi;
        let mut first = vec![false; if semi { ids.len() } else { 0 }];
        for (pair, (owner, id)) in owners.iter().zip(ids.iter()).enumerate() {
            if mask.as_ref().is_none_or(|m| m.value(pair)) {
                let (own, other) = (&mut matched[*owner as usize], &mut other[*id as usize].matched);
                if semi {
                    first[pair] = if input == 0 { !*own } else { !*other };
                }
                *own = true;
                if *minds_matches && !*other {
                    *other = true;
                    other_rows.touch(*id);
                }
            }
        }
        if semi {
            mask = Some(BooleanArray::from(first));
        }
        if self.kind != IntervalJoinKind::Anti {
            out.chunk(Chunk::append(self.output.pairs(left, right, ids.len(), mask.as_ref())?, ingest));
        }
        owners.clear();
        ids.clear();
        Ok(())
    }

    fn take_in(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        let ingest = chunk.ingest;
        let mut batch = chunk.batch;
        if self.empty {
            return self.pad(input, &batch, ingest, out);
        }
        if !self.by_event_time {
            self.now = self.now.max(self.clock.now_millis());
        }
        let mut keys = columns_at(&batch, &self.sides[input].keys);
        if let Some(null) = null_keys(&keys) {
            let rows = |wanted: bool| -> Vec<u32> {
                (0..null.len() as u32).filter(|&r| null[r as usize] == wanted).collect()
            };
            self.pad(input, &take_rows(&batch, &rows(true))?, ingest, out)?;
            batch = take_rows(&batch, &rows(false))?;
            keys = columns_at(&batch, &self.sides[input].keys);
        }
        let count = batch.num_rows();
        let times = self.times(input, &batch)?;
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&keys, count, &mut slots)?;
        for side in &mut self.sides {
            side.by_key.resize_with(self.keys.capacity(), VecDeque::new);
        }

        let mut matched = vec![false; count];
        let (mut owners, mut ids) = (Vec::new(), Vec::new());
        let (from, to) = (self.sides[input].from, self.sides[input].to);
        // A left row that has been found needs no second match.
        let once = self.kind.is_left_only();
        for row in 0..count {
            let list = &self.sides[1 - input].by_key[slots[row] as usize];
            if list.is_empty() {
                continue;
            }
            let (low, high) = (times[row].saturating_add(from), times[row].saturating_add(to));
            let begin = list.partition_point(|(t, _)| *t < low);
            let end = list.partition_point(|(t, _)| *t <= high);
            for at in begin..end {
                let other = &self.sides[1 - input];
                let id = other.by_key[slots[row] as usize][at].1;
                if once && (if input == 0 { matched[row] } else { other.kept[id as usize].matched }) {
                    continue;
                }
                owners.push(row as u32);
                ids.push(id);
                if ids.len() >= PAIRS {
                    self.meet(input, (&batch, ingest), &mut owners, &mut ids, &mut matched, out)?;
                }
            }
        }
        self.meet(input, (&batch, ingest), &mut owners, &mut ids, &mut matched, out)?;

        // Rows for which somebody may still come are kept; what was found already is of no use to a semi or
        // anti join any more.
        let own = &mut self.sides[input];
        let (mut keep, mut gone) = (Vec::with_capacity(count), Vec::new());
        for row in 0..count {
            let done = once && input == 0 && matched[row];
            if !done && self.now < own.last_match(times[row]) {
                keep.push(row as u32);
            } else if !matched[row] {
                gone.push(row as u32);
            }
        }
        ids.clear();
        let kept = if keep.len() == count { batch.clone() } else { take_rows(&batch, &keep)? };
        own.rows.push(&kept, &mut ids)?;
        for (&row, &id) in keep.iter().zip(&ids) {
            own.insert(times[row as usize], slots[row as usize], id, matched[row as usize]);
        }
        if keep.len() < count {
            for &slot in &slots {
                self.forget_if_empty(slot);
            }
        }
        self.slots = slots;
        if gone.is_empty() { Ok(()) } else { self.pad(input, &take_rows(&batch, &gone)?, ingest, out) }
    }

    fn forget_if_empty(&mut self, slot: u32) {
        if self.sides.iter().all(|s| s.by_key[slot as usize].is_empty()) {
            self.keys.remove(slot);
        }
    }

    /// Lets go of the rows for which nobody comes any more.
    fn expire(&mut self, out: &mut Output) -> Result<()> {
        for input in 0..2 {
            let mut ids = Vec::new();
            loop {
                let side = &mut self.sides[input];
                let expired = side.oldest.peek().is_some_and(|Reverse((time, ..))| {
                    self.now == i64::MAX || side.last_match(*time) < self.now
                });
                if !expired || ids.len() >= PAIRS {
                    self.let_go(input, &mut ids, out)?;
                    if !expired {
                        break;
                    }
                }
                let side = &mut self.sides[input];
                if let Some(Reverse((.., id))) = side.oldest.pop() {
                    // Rows expire in the order in which they stand in their keys.
                    side.by_key[side.kept[id as usize].slot as usize].pop_front();
                    ids.push(id);
                }
            }
        }
        Ok(())
    }

    fn let_go(&mut self, input: usize, ids: &mut Vec<u32>, out: &mut Output) -> Result<()> {
        let side = &self.sides[input];
        if side.outer {
            let alone: Vec<u32> = ids.iter().copied().filter(|&id| !side.kept[id as usize].matched).collect();
            if !alone.is_empty() {
                self.pad(input, &side.rows.take(&alone)?, crate::clock::instant(), out)?;
            }
        }
        for id in ids.drain(..) {
            let slot = self.sides[input].kept[id as usize].slot;
            self.sides[input].rows.free(id)?;
            self.forget_if_empty(slot);
        }
        Ok(())
    }
}

impl Operator for IntervalJoin {
    fn name(&self) -> &'static str {
        "IntervalJoin"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        for side in &mut self.sides {
            side.rows.limit(&context.memory);
            if context.keeps_order() {
                side.rows.note(context.checkpointed);
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.sides.iter_mut().try_for_each(|side| side.snapshot(snapshot))?;
        snapshot.value(TIME, self.now)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        for input in 0..2 {
            let (mut slots, mut ids) = (Vec::new(), Vec::new());
            let batches = self.sides[input].table.read(state)?.collect::<Result<Vec<_>>>()?;
            for taken in batches {
                let rows = taken.rows;
                let times = match taken.beside.last().filter(|_| !self.by_event_time) {
                    Some(came) => columns::millis(came)?.to_vec(),
                    None => self.times(input, &rows)?,
                };
                let side = &mut self.sides[input];
                let matched = taken.beside.first().filter(|_| side.minds_matches);
                let matched = matched.map(columns::flags).transpose()?;
                self.keys.intern(&columns_at(&rows, &side.keys), rows.num_rows(), &mut slots)?;
                side.by_key.resize_with(self.keys.capacity(), VecDeque::new);
                ids.clear();
                side.rows.push(&rows, &mut ids)?;
                for (row, &id) in ids.iter().enumerate() {
                    side.insert(times[row], slots[row], id, matched.is_some_and(|m| m.value(row)));
                }
            }
        }
        for side in &mut self.sides {
            side.by_key.resize_with(self.keys.capacity(), VecDeque::new);
        }
        self.now = state.values::<i64>(TIME)?.into_iter().fold(self.now, i64::max);
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let keyed = self.by_event_time && !self.sides[0].keys.is_empty();
        let keys = || self.sides.iter().map(|side| side.keys.clone()).collect();
        keyed.then(|| ColdSpec::by_key_and_time(keys(), &TABLES))
    }

    fn due(&self, table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        let input = usize::from(table != TABLES[0]);
        let last = |time: i64| self.sides[input].last_match(time).saturating_add(1);
        Ok(self.times(input, rows)?.into_iter().map(last).collect())
    }

    fn state_bytes(&self) -> usize {
        self.keys.memory() + self.sides.iter().map(Side::memory).sum::<usize>()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.take_in(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.take_in(input, chunk, out)
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if !self.by_event_time {
            out.push(Message::Watermark(watermark));
            return Ok(());
        }
        // Behind a restore watermarks begin anew; what was let go stays so.
        self.now = self.now.max(watermark.millis());
        self.expire(out)?;
        if watermark == Watermark::END {
            out.push(Message::Watermark(watermark));
        } else if let Some(held) = self.marks.advance(watermark.millis().saturating_sub(self.delay)) {
            out.push(Message::Watermark(held));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        if self.by_event_time {
            return None;
        }
        let due = self.sides.iter().filter_map(|side| {
            side.oldest.peek().map(|Reverse((time, ..))| side.last_match(*time).saturating_add(1))
        });
        let wait = due.min()?.saturating_sub(self.clock.now_millis()).max(0);
        crate::clock::instant().checked_add(Duration::from_millis(wait as u64))
    }

    fn timer(&mut self, _now: Instant, out: &mut Output) -> Result<()> {
        if self.by_event_time {
            return Ok(());
        }
        self.now = self.now.max(self.clock.now_millis());
        self.expire(out)
    }

    /// By processing time nobody comes any more either: what is kept is padded.
    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.now = i64::MAX;
        self.expire(out)?;
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
