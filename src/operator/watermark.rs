//! Assigns watermarks from `WATERMARK FOR column AS expression`.
//!
//! # Exactness
//! Whether a row is late must depend on the rows before it alone, and not on how they came in batches. The
//! watermark behind a row is the largest value of the expression up to it; but to tell it behind each row would
//! cut every chunk into rows. It matters only for rows that it makes late, so:
//!
//! ```text
//!  rows        7   9   8   12  | 6   13 |       watermark = time - 3
//!  watermark   4   6   6    9  |     10 |
//!                              9 is told here, because 6 <= 9; 10 is told behind the chunk
//! ```
//! Rows and results are the same as if it had been told behind each row, as Flink does with
//! `pipeline.auto-watermark-interval` = 0; `scan.watermark.emit.strategy` makes no difference for that reason. A query
//! with CURRENT_WATERMARK sees each watermark, so there it is told behind each row that moves it.
//!
//! # Splits
//! A file that is read after another one may hold older rows, which are not late for that: event time runs
//! in each split for itself. Of the splits that are read, the one that is least far decides: the watermark is the
//! least of their largest values, and there is none before each has a row. A split that has ended does not count.
//!
//! - One split at a time (files): the split that was left has ended. While there are splits that no reader has begun,
//!   nothing is known of the times in them, and no watermark is emitted. Hence the rows of several files are late or
//!   not whatever the order of the files, and with one task everything is the same in every run. The price is
//!   state: what waits for the watermark is kept until the last file has been begun.
//! - None (a reader of a folder whose files the others read): it is idle until it has one.
//! - Several at the same time (partitions): they begin and end while the job runs, and a chunk may hold rows of
//!   several. One that is idle does not count until its next row.
//!
//! # Checkpoints
//! What was told goes into a snapshot, and the largest value of the split that is being read. A restored job tells
//! first what all tasks had told, before the first row: operators behind it begin where they were. A split goes on
//! with its largest value, whichever task reads the rest of it.
//!
//! # Idleness
//! A split that has had nothing to read for `table.exec.source.idle-timeout` is idle; when all are, the source says
//! so, and operators with other inputs go on without it, until its next row. Rows that are there but cannot be
//! read, because something after it has no room, do not make it idle.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_physical_expr::PhysicalExpr;
use serde::{Deserialize, Serialize};

use crate::clock::instant;
use crate::error::{Error, Result};
use crate::flow::message::WatermarkClock;
use crate::flow::{
    Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Split, Splits, Status, Waker, Watermark,
};
use crate::state::{Restored, Snapshot};

/// A watermark that was planned.
#[derive(Debug, Clone)]
pub struct WatermarkSpec {
    /// Position of the event time column.
    pub rowtime: usize,
    /// Gives a timestamp; a row for which it is NULL does not move the watermark.
    pub expression: Arc<dyn PhysicalExpr>,
    /// After so long without a row the source is idle; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Event time stands still until the input has ended: no row is late (batch mode).
    pub at_end: bool,
    /// Every watermark is told behind its row: somebody reads CURRENT_WATERMARK.
    pub each_row: bool,
}

/// A split in a checkpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct SplitState {
    id: u64,
    /// The largest value in it.
    largest: Option<i64>,
}

/// A split that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The largest value in it.
    largest: Option<i64>,
    idle: bool,
    /// The last time that there was a row; `None` before the operator is open.
    active: Option<Instant>,
}

/// Emits the largest value of the watermark expression: before a row that it makes late, else behind the
/// chunk; behind every row where that is asked for.
#[derive(Debug)]
pub struct WatermarkAssigner {
    spec: WatermarkSpec,
    /// What was emitted.
    clock: WatermarkClock,
    /// Splits that are being read, by id.
    open: BTreeMap<u64, Open>,
    /// Several splits are read at the same time.
    many: bool,
    /// The rows of the next chunk: a split, and how many rows of it.
    runs: Vec<(u64, usize)>,
    /// Splits that end with the next chunk.
    ending: Vec<u64>,
    /// Nothing is known about event time: there are splits that no reader has begun.
    held: bool,
    idle: bool,
    /// Largest values of splits that were being read when the job was restored.
    begun: HashMap<u64, i64>,
    /// The job was restored, and what was told before is not told yet.
    untold: Option<Watermark>,
    waker: Option<Waker>,
}

impl WatermarkAssigner {
    /// For one task.
    pub fn new(spec: WatermarkSpec) -> Self {
        let only = Open { largest: None, idle: false, active: None };
        Self {
            spec,
            clock: WatermarkClock::default(),
            open: [(Split::default().id, only)].into(),
            many: false,
            runs: Vec::new(),
            ending: Vec::new(),
            held: false,
            idle: false,
            begun: HashMap::new(),
            untold: None,
            waker: None,
        }
    }

    /// Emits what was told before the job was restored.
    fn tell_again(&mut self, out: &mut Output) {
        if let Some(watermark) = self.untold.take() {
            out.push(Message::Watermark(watermark));
        }
    }

    /// Emits a watermark, if it has grown and may be told.
    fn tell(&mut self, mark: Option<i64>, out: &mut Output) {
        let told = mark.filter(|_| !self.held && !self.spec.at_end);
        if let Some(watermark) = told.and_then(|millis| self.clock.advance(millis)) {
            out.push(Message::Watermark(watermark));
        }
    }

    /// The least of the largest values of the splits that count, but for one: `None` while one of them has no row,
    /// [`i64::MAX`] when there are none.
    fn least_but(&self, split: Option<u64>) -> Option<i64> {
        let others = self.open.iter().filter(|(id, open)| Some(**id) != split && !open.idle);
        others.map(|(_, open)| open.largest).min().unwrap_or(Some(i64::MAX))
    }

    /// The watermark that all splits agree on.
    fn least(&self) -> Option<i64> {
        self.least_but(None).filter(|&mark| mark != i64::MAX)
    }

    /// Begins to read a split.
    fn begin(&mut self, id: u64) {
        let largest = self.begun.remove(&id);
        self.open.entry(id).or_insert(Open { largest, idle: false, active: Some(instant()) });
    }

    /// Says whether the source is idle, where that has changed.
    fn tell_status(&mut self, out: &mut Output) {
        let idle = !(self.many && self.held) && self.open.values().all(|open| open.idle);
        if std::mem::replace(&mut self.idle, idle) != idle {
            out.push(Message::Status(if idle { Status::Idle } else { Status::Active }));
        }
    }

    /// The rows of a chunk that belong to one split.
    fn run(&mut self, rows: &Rows<'_>, run: Range<usize>, start: &mut usize, out: &mut Output) -> Result<()> {
        let Rows { chunk, times, marks, values, id } = rows;
        let others = self.least_but(Some(*id));
        let mut largest = self.open.get(id).and_then(|open| open.largest);
        let combined = |largest: Option<i64>| match (largest, others) {
            (Some(largest), Some(others)) => Some(largest.min(others)),
            _ => None,
        };
        for row in run {
            let time = match update(&chunk.kinds, row, times.len()) {
                Update::None => times[row],
                Update::Before => times[row].min(times[row + 1]),
                Update::After => i64::MAX,
            };
            let mark = combined(largest);
            let late = mark.is_some_and(|mark| time <= mark);
            let asked =
                self.spec.each_row && !matches!(update(&chunk.kinds, row, times.len()), Update::After);
            if (late || asked && mark.is_some())
                && !self.held
                && !self.spec.at_end
                && mark > self.clock.current().map(Watermark::millis)
            {
                out.chunk(chunk.slice(*start, row - *start));
                self.tell(mark, out);
                *start = row;
            }
            if values.is_valid(row) {
                largest = largest.max(Some(marks[row]));
            }
        }
        let open = Open { largest, idle: false, active: Some(instant()) };
        self.open.insert(*id, open);
        Ok(())
    }
}

/// What is needed of a chunk to find its late rows.
struct Rows<'a> {
    chunk: &'a Chunk,
    times: &'a [i64],
    marks: &'a [i64],
    values: &'a ArrayRef,
    /// The split.
    id: u64,
}

/// Timestamps in milliseconds since the epoch, rounded down. The end of time is kept for
/// [`Watermark::END`].
fn millis(array: &ArrayRef) -> Result<Vec<i64>> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::internal("a watermark that is not a timestamp reached the runtime"));
    };
    let mut millis: Vec<i64> = match unit {
        TimeUnit::Second => {
            let seconds = array.as_primitive::<TimestampSecondType>().values();
            seconds.iter().map(|s| s.saturating_mul(1000)).collect()
        }
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values().to_vec(),
        TimeUnit::Microsecond => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().values();
            micros.iter().map(|us| us.div_euclid(1000)).collect()
        }
        TimeUnit::Nanosecond => {
            let nanos = array.as_primitive::<TimestampNanosecondType>().values();
            nanos.iter().map(|ns| ns.div_euclid(1_000_000)).collect()
        }
    };
    millis.iter_mut().for_each(|m| *m = (*m).min(i64::MAX - 1));
    Ok(millis)
}

/// Which half of an update a row is. Nothing comes between the two: they are late together.
enum Update {
    None,
    Before,
    After,
}

fn update(kinds: &Kinds, row: usize, rows: usize) -> Update {
    match kinds {
        Kinds::Changes(k)
            if k[row] == Kind::UpdateBefore && row + 1 < rows && k[row + 1] == Kind::UpdateAfter =>
        {
            Update::Before
        }
        Kinds::Changes(k) if row > 0 && k[row] == Kind::UpdateAfter && k[row - 1] == Kind::UpdateBefore => {
            Update::After
        }
        _ => Update::None,
    }
}

impl Operator for WatermarkAssigner {
    fn name(&self) -> &'static str {
        "WatermarkAssigner"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.open.values_mut().for_each(|open| open.active = Some(instant()));
        self.waker = Some(context.waker);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("watermark", self.clock.current().map(Watermark::millis))?;
        let state = |(id, open): (&u64, &Open)| SplitState { id: *id, largest: open.largest };
        if self.many {
            // Splits that were read before the job was restored, and are not again so far, keep their values.
            let unread = self.begun.iter().map(|(&id, &largest)| SplitState { id, largest: Some(largest) });
            let open = self.open.iter().map(state);
            return snapshot.value("splits", open.chain(unread).collect::<Vec<_>>());
        }
        match self.open.iter().next() {
            Some(only) => snapshot.value("split", state(only)),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        // The least of the tasks that still read: that is what was known behind all of them.
        let told = state.all_values::<Option<i64>>("watermark")?;
        let reading = |ended: bool| !ended || told.iter().all(|t| t.1);
        let least = told.iter().filter(|t| reading(t.1)).map(|t| t.2).min().flatten();
        self.untold = least.and_then(|millis| self.clock.advance(millis));
        let own: Vec<SplitState> = state.values("split")?;
        let splits = state.all_values::<SplitState>("split")?.into_iter().filter(|s| !s.1).map(|s| s.2);
        let many = state.all_values::<Vec<SplitState>>("splits")?;
        for split in splits.chain(many.into_iter().flat_map(|s| s.2)) {
            let Some(largest) = split.largest else { continue };
            let least = self.begun.entry(split.id).or_insert(largest);
            *least = largest.min(*least);
        }
        // Sources whose rows are one stream call it the same in every task.
        if let ([own], false) = (own.as_slice(), state.is_rescaled()) {
            match own.largest {
                Some(largest) => self.begun.insert(own.id, largest),
                None => self.begun.remove(&own.id),
            };
        }
        for (id, open) in &mut self.open {
            open.largest = self.begun.remove(id);
        }
        if let (Some(_), Some(waker)) = (&self.untold, &self.waker) {
            waker.wake();
        }
        Ok(())
    }

    fn wake(&mut self, out: &mut Output) -> Result<()> {
        self.tell_again(out);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.tell_again(out);
        let times = chunk.batch.column(self.spec.rowtime);
        if times.null_count() > 0 {
            let name = chunk.batch.schema_ref().field(self.spec.rowtime).name().clone();
            return Err(Error::execution(format!("rowtime column '{name}' is NULL"))
                .with_detail(format!("{} of {} rows have no event time", times.null_count(), times.len()))
                .with_hint(format!(
                    "a column with a WATERMARK must not be NULL; compute it, such as COALESCE({name}, ...)"
                )));
        }
        let times = millis(times)?;
        let values = self.spec.expression.evaluate(&chunk.batch)?.into_array(chunk.len())?;
        let marks = millis(&values)?;
        let mut runs = std::mem::take(&mut self.runs);
        if !self.many {
            runs.extend(self.open.keys().next().map(|&id| (id, chunk.len())));
        }
        if runs.iter().map(|run| run.1).sum::<usize>() != chunk.len() {
            return Err(Error::internal("the rows of a chunk do not belong to the splits that were read"));
        }
        // The source is active before its rows, which may belong to splits that were idle.
        if std::mem::take(&mut self.idle) {
            out.push(Message::Status(Status::Active));
        }
        let (mut start, mut from) = (0, 0);
        for (id, rows) in runs {
            let of = Rows { chunk: &chunk, times: &times, marks: &marks, values: &values, id };
            self.run(&of, from..from + rows, &mut start, out)?;
            from += rows;
        }
        match start {
            0 => out.chunk(chunk),
            _ => out.chunk(chunk.slice(start, chunk.len() - start)),
        }
        let ending = std::mem::take(&mut self.ending);
        self.open.retain(|id, _| !ending.contains(id));
        self.tell(self.least(), out);
        self.tell_status(out);
        Ok(())
    }

    fn splits(&mut self, splits: &Splits, out: &mut Output) -> Result<bool> {
        match splits {
            Splits::One(split) => {
                if !self.open.contains_key(&split.id) {
                    self.open.clear();
                    self.begin(split.id);
                }
                self.held = split.others_pending;
            }
            Splits::None => {
                self.held = false;
                self.open.values_mut().for_each(|open| open.idle = true);
                self.tell_again(out);
                self.tell_status(out);
            }
            Splits::Many(changes) => {
                if !std::mem::replace(&mut self.many, true) {
                    self.open.clear();
                }
                self.held = changes.pending;
                changes.begun.iter().for_each(|&id| self.begin(id));
                self.runs.clone_from(&changes.rows);
                if self.runs.is_empty() {
                    self.open.retain(|id, _| !changes.ended.contains(id));
                    self.tell_again(out);
                    self.tell(self.least(), out);
                    self.tell_status(out);
                } else {
                    self.ending.extend(&changes.ended);
                }
            }
        }
        Ok(true)
    }

    fn deadline(&self) -> Option<Instant> {
        let timeout = self.spec.idle_timeout?;
        let waiting = self.open.values().filter(|open| !open.idle);
        waiting.filter_map(|open| open.active?.checked_add(timeout)).min()
    }

    fn timer(&mut self, now: Instant, out: &mut Output) -> Result<()> {
        let Some(timeout) = self.spec.idle_timeout else { return Ok(()) };
        for open in self.open.values_mut() {
            open.idle |= open.active.is_some_and(|active| now.saturating_duration_since(active) >= timeout);
        }
        self.tell_again(out);
        // Those that are left may be further.
        self.tell(self.least(), out);
        self.tell_status(out);
        Ok(())
    }

    /// While other splits have rows, one without any is idle: what is read next is not of it. When nothing can be
    /// read, or nothing was for as long, all wait anew.
    fn postpone(&mut self, now: Instant, blocked: bool) -> bool {
        let Some(timeout) = self.spec.idle_timeout else { return false };
        let fresh = |open: &Open| open.active.is_some_and(|at| now.saturating_duration_since(at) < timeout);
        if !blocked && self.many && self.open.values().any(|open| !open.idle && fresh(open)) {
            return false;
        }
        self.open.values_mut().filter(|open| !open.idle).for_each(|open| open.active = Some(now));
        true
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        out.push(Message::Watermark(Watermark::END));
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{RecordBatch, TimestampMillisecondArray};
    use datafusion_physical_expr::expressions::Column;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;
    use crate::flow::{Mailbox, OpenSplits};
    use crate::state::ledger::Ledger;

    fn assigner(idle_timeout: Option<Duration>) -> WatermarkAssigner {
        let expression = Arc::new(Column::new("mark", 1));
        WatermarkAssigner::new(WatermarkSpec {
            rowtime: 0,
            expression,
            idle_timeout,
            at_end: false,
            each_row: false,
        })
    }

    /// Rows of time and watermark.
    fn chunk(rows: &[(Option<i64>, Option<i64>)]) -> Chunk {
        let times: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<TimestampMillisecondArray>());
        let marks: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<TimestampMillisecondArray>());
        let batch = RecordBatch::try_from_iter_with_nullable([("ts", times, true), ("mark", marks, true)]);
        Chunk::append(batch.unwrap(), Instant::now())
    }

    /// Times, with watermarks three before them.
    fn times(times: &[i64]) -> Chunk {
        chunk(&times.iter().map(|&t| (Some(t), Some(t - 3))).collect::<Vec<_>>())
    }

    fn shown(out: &mut Output) -> String {
        let show = |message: Message| match message {
            Message::Data(chunk) => {
                let times = chunk.batch.column(0).as_primitive::<TimestampMillisecondType>().values();
                times.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
            }
            Message::Watermark(Watermark::END) => "@END".into(),
            Message::Watermark(watermark) => format!("@{}", watermark.millis()),
            other => format!("{other:?}"),
        };
        out.drain().map(show).collect::<Vec<_>>().join(" | ")
    }

    fn one(assigner: &mut WatermarkAssigner, split: Split) {
        assert!(assigner.splits(&Splits::One(split), &mut Output::default()).unwrap());
    }

    fn fed(assigner: &mut WatermarkAssigner, chunk: Chunk) -> String {
        let mut out = Output::default();
        assigner.chunk(chunk, &mut out).unwrap();
        shown(&mut out)
    }

    #[test]
    fn a_watermark_stands_before_the_first_row_that_it_makes_late() {
        let mut a = assigner(None);
        assert_eq!(fed(&mut a, times(&[7, 9, 8, 12, 6, 13])), "7 9 8 12 | @9 | 6 13 | @10");
        assert_eq!(fed(&mut a, times(&[9, 10])), "9 10", "late, but that was told");
        assert_eq!(fed(&mut a, times(&[20, 17, 18])), "20 | @17 | 17 18");
        assert_eq!(fed(&mut a, times(&[])), "");
        let mut out = Output::default();
        a.end(&mut out).unwrap();
        assert_eq!(shown(&mut out), "@END | End");
    }

    #[test]
    fn without_a_split_the_source_is_idle_until_it_has_one() {
        let mut a = assigner(None);
        let mut out = Output::default();
        assert!(a.splits(&Splits::None, &mut out).unwrap());
        assert_eq!(shown(&mut out), "Status(Idle)");
        one(&mut a, Split { id: 7, others_pending: false });
        assert_eq!(fed(&mut a, times(&[20])), "Status(Active) | 20 | @17");
    }

    #[test]
    fn updates_stay_whole() {
        use Kind::{UpdateAfter, UpdateBefore};
        let kinds =
            Kinds::Changes(vec![Kind::Insert, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter].into());
        let changes = Chunk { kinds, ..times(&[10, 20, 5, 30, 16]) };
        assert_eq!(fed(&mut assigner(None), changes), "10 | @7 | 20 5 | @17 | 30 16 | @27");
    }

    #[test]
    fn times_before_1970_and_at_the_end_of_time_work() {
        let mut a = assigner(None);
        let rows = [(Some(i64::MIN), Some(i64::MIN)), (Some(-5), Some(-8)), (Some(-5), None)];
        assert_eq!(fed(&mut a, chunk(&rows)), format!("{} -5 -5 | @-8", i64::MIN));
        let rows = [(Some(i64::MAX), Some(i64::MAX))];
        assert_eq!(fed(&mut a, chunk(&rows)), format!("{} | @{}", i64::MAX, i64::MAX - 1));
    }

    #[test]
    fn a_missing_time_is_an_error() {
        let e = assigner(None).chunk(chunk(&[(None, Some(1))]), &mut Output::default()).unwrap_err();
        assert_eq!(e.message(), "rowtime column 'ts' is NULL");
    }

    #[test]
    fn nothing_is_told_before_all_splits_are_begun() {
        let mut a = assigner(None);
        one(&mut a, Split { id: 1, others_pending: true });
        assert_eq!(fed(&mut a, times(&[10, 20, 5])), "10 20 5");
        one(&mut a, Split { id: 2, others_pending: true });
        assert_eq!(fed(&mut a, times(&[8])), "8");
        one(&mut a, Split { id: 3, others_pending: false });
        assert_eq!(fed(&mut a, times(&[4, 9, 6])), "4 9 | @6 | 6");
        // Others have begun the last one while this task was in the middle of its own.
        let mut a = assigner(None);
        one(&mut a, Split { id: 1, others_pending: true });
        assert_eq!(fed(&mut a, times(&[10])), "10");
        one(&mut a, Split { id: 1, others_pending: false });
        assert_eq!(fed(&mut a, times(&[5])), "@7 | 5");
    }

    fn many(a: &mut WatermarkAssigner, begun: &[u64], rows: &[(u64, usize)], ended: &[u64]) -> String {
        let mut out = Output::default();
        let (begun, rows, ended) = (begun.to_vec(), rows.to_vec(), ended.to_vec());
        let changes = OpenSplits { pending: false, begun, rows, ended };
        assert!(a.splits(&Splits::Many(changes), &mut out).unwrap());
        shown(&mut out)
    }

    #[test]
    fn the_partition_that_is_least_far_decides() {
        let mut a = assigner(None);
        let pending = Splits::Many(OpenSplits { pending: true, ..OpenSplits::default() });
        a.splits(&pending, &mut Output::default()).unwrap();
        assert_eq!(many(&mut a, &[1, 2], &[], &[]), "");
        many(&mut a, &[], &[(1, 2)], &[]);
        assert_eq!(fed(&mut a, times(&[10, 20])), "10 20", "partition 2 has no row");
        // Rows of both in one chunk: 12 of partition 2 makes 9 the watermark, 30 of partition 1 changes nothing.
        many(&mut a, &[], &[(2, 1), (1, 1), (2, 2)], &[]);
        assert_eq!(fed(&mut a, times(&[12, 30, 9, 11])), "12 30 | @9 | 9 11");
        // One that begins later holds the others until it has a row; one that ends does not count.
        assert_eq!(many(&mut a, &[3], &[], &[]), "");
        many(&mut a, &[], &[(2, 1)], &[]);
        assert_eq!(fed(&mut a, times(&[40])), "40");
        assert_eq!(many(&mut a, &[], &[], &[3]), "@27");
        many(&mut a, &[], &[(2, 1)], &[1]);
        assert_eq!(fed(&mut a, times(&[41])), "41 | @38");
        assert_eq!(many(&mut a, &[], &[], &[2]), "Status(Idle)");
        assert!(a.chunk(times(&[1]), &mut Output::default()).is_err(), "whose row is it?");
    }

    #[test]
    fn a_partition_without_rows_becomes_idle_while_others_have_some() {
        let timeout = Duration::from_secs(5);
        let mut a = assigner(Some(timeout));
        many(&mut a, &[1, 2], &[(1, 1)], &[]);
        assert_eq!(fed(&mut a, times(&[10])), "10");
        let later = Instant::now() + timeout * 2;
        assert!(a.postpone(later, true), "nothing could be read: both wait anew");
        assert_eq!(a.deadline(), Some(later + timeout));
        let mut out = Output::default();
        for (id, open) in &mut a.open {
            open.active = Some(if *id == 1 { later + timeout / 2 } else { later });
        }
        assert!(!a.postpone(later + timeout, false), "partition 1 has rows");
        a.timer(later + timeout, &mut out).unwrap();
        assert_eq!(shown(&mut out), "@7");
        a.timer(later + timeout * 2, &mut out).unwrap();
        assert_eq!((shown(&mut out).as_str(), a.deadline()), ("Status(Idle)", None));
        // Its rows are late or not by the watermark that there is.
        many(&mut a, &[], &[(2, 1)], &[]);
        assert_eq!(fed(&mut a, times(&[9])), "Status(Active) | 9");
    }

    #[test]
    fn partitions_keep_their_values_over_a_restart_in_any_task() {
        let mut ledger = Ledger::default();
        for (task, partition, time) in [(0, 1, 20), (1, 2, 30)] {
            let mut a = assigner(None);
            many(&mut a, &[partition], &[(partition, 1)], &[]);
            fed(&mut a, times(&[time]));
            ledger.add(task, cut(&mut a));
        }
        let (mut a, mailbox) = restored(&ledger, 0, 1);
        assert_eq!(woken(&mut a, &mailbox), "@17");
        assert_eq!(many(&mut a, &[1, 2], &[], &[]), "");
        many(&mut a, &[], &[(1, 1)], &[]);
        assert_eq!(fed(&mut a, times(&[40])), "40 | @27", "partition 2 goes on at 27");
    }

    #[test]
    fn a_source_without_rows_becomes_idle() {
        let timeout = Duration::from_secs(5);
        let mut a = assigner(Some(timeout));
        assert_eq!(a.deadline(), None, "it is not open yet");
        let start = Instant::now();
        assert!(a.postpone(start, false));
        assert_eq!(a.deadline(), Some(start + timeout));
        let mut out = Output::default();
        a.timer(start + timeout, &mut out).unwrap();
        assert_eq!((shown(&mut out).as_str(), a.deadline()), ("Status(Idle)", None));
        assert_eq!(fed(&mut a, times(&[10])), "Status(Active) | 10 | @7");
        assert!(a.deadline().is_some());
    }

    /// A task with what the last one told.
    fn restored(ledger: &Ledger, task: usize, tasks: usize) -> (WatermarkAssigner, Mailbox) {
        let (mut a, mailbox) = (assigner(None), Mailbox::new());
        let clock = ManualClock::new(0);
        let waker = mailbox.waker(0);
        let memory = crate::state::Memory::unlimited();
        a.open(OperatorContext { task, parallelism: tasks, waker, clock, checkpointed: true, memory })
            .unwrap();
        a.restore(&mut ledger.restore(task, tasks)).unwrap();
        (a, mailbox)
    }

    fn cut(a: &mut WatermarkAssigner) -> Snapshot {
        let mut snapshot = Snapshot::new(true);
        a.snapshot(&mut snapshot).unwrap();
        snapshot
    }

    fn woken(a: &mut WatermarkAssigner, mailbox: &Mailbox) -> String {
        let mut out = Output::default();
        if mailbox.take().woken == [0] {
            a.wake(&mut out).unwrap();
        }
        shown(&mut out)
    }

    #[test]
    fn restored_watermark_is_emitted_before_the_first_row() {
        let mut a = assigner(None);
        assert_eq!(fed(&mut a, times(&[7, 12, 10])), "7 12 10 | @9");
        let mut ledger = Ledger::default();
        ledger.add(0, cut(&mut a));
        let (mut a, mailbox) = restored(&ledger, 0, 1);
        assert_eq!(woken(&mut a, &mailbox), "@9");
        assert_eq!(fed(&mut a, times(&[9, 11, 14])), "9 11 14 | @11");
        // A row that is faster than the call.
        let (mut a, mailbox) = restored(&ledger, 0, 1);
        assert_eq!(fed(&mut a, times(&[9])), "@9 | 9");
        assert_eq!(woken(&mut a, &mailbox), "");
        let (mut a, mailbox) = restored(&Ledger::default(), 0, 1);
        assert_eq!((woken(&mut a, &mailbox), fed(&mut a, times(&[9]))), ("".into(), "9 | @6".into()));
    }

    #[test]
    fn a_split_goes_on_where_it_was_in_any_task() {
        let mut ledger = Ledger::default();
        for (task, rows) in [(0, [20, 12]), (1, [30, 31])] {
            let mut a = assigner(None);
            one(&mut a, Split { id: 10 + task as u64, others_pending: true });
            fed(&mut a, times(&rows));
            ledger.add(task, cut(&mut a));
        }
        for (split, late) in [(10, "12 | @17 | 13"), (11, "12 | @28 | 13")] {
            for tasks in [1, 2] {
                let (mut a, mailbox) = restored(&ledger, 0, tasks);
                assert_eq!(woken(&mut a, &mailbox), "");
                one(&mut a, Split { id: split, others_pending: false });
                // The first row is late too, and the watermark stands before it.
                let expected = late.replace("12 | @", "@").replace("| 13", "| 12 13");
                assert_eq!(fed(&mut a, times(&[12, 13])), expected);
                one(&mut a, Split { id: 99, others_pending: false });
                assert_eq!(fed(&mut a, times(&[12, 50])), "12 50 | @47");
            }
        }
    }

    #[test]
    fn the_least_that_was_told_is_told_by_all() {
        let mut ledger = Ledger::default();
        for (task, time) in [(0, 20), (1, 10), (2, 5)] {
            let mut a = assigner(None);
            fed(&mut a, times(&[time]));
            ledger.add(task, cut(&mut a));
        }
        // Task 2 had nothing more to read.
        ledger.finish(2);
        for (task, tasks) in [(0, 1), (1, 2), (0, 3), (1, 3)] {
            let (mut a, mailbox) = restored(&ledger, task, tasks);
            assert_eq!(woken(&mut a, &mailbox), "@7", "{task} of {tasks}");
        }
        let own = fed(&mut restored(&ledger, 0, 3).0, times(&[1, 2]));
        assert_eq!(own, "@7 | @17 | 1 2", "the largest value of its own stream");
    }

    proptest! {
        /// The rows that are late are those that would be if the watermark were told behind each row.
        #[test]
        fn batches_do_not_matter(
            rows in prop::collection::vec((0..40i64, prop::option::of(0..40i64)), 1..60),
            cuts in prop::collection::vec(1..9usize, 1..60),
        ) {
            let mut largest = None;
            let mut expected = Vec::new();
            for (time, mark) in &rows {
                expected.push((*time, Some(*time) <= largest));
                largest = largest.max(*mark);
            }
            let mut a = assigner(None);
            let (mut seen, mut told) = (Vec::new(), None);
            let mut rest: &[_] = &rows;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, others) = rest.split_at(rest.len().min(*cut));
                rest = others;
                let piece: Vec<_> = piece.iter().map(|(time, mark)| (Some(*time), *mark)).collect();
                let mut out = Output::default();
                a.chunk(chunk(&piece), &mut out).unwrap();
                for message in out.drain() {
                    match message {
                        Message::Watermark(watermark) => {
                            prop_assert!(Some(watermark.millis()) > told);
                            told = Some(watermark.millis());
                        }
                        Message::Data(chunk) => {
                            let times = chunk.batch.column(0).as_primitive::<TimestampMillisecondType>();
                            seen.extend(times.values().iter().map(|&t| (t, Some(t) <= told)));
                        }
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(told, largest);
        }
    }
}
