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
//! `pipeline.auto-watermark-interval` = 0; `scan.watermark.emit.strategy` makes no difference for that reason.
//!
//! # Splits
//! A file that is read after another one may hold older rows, which are not late for that: event time runs
//! in each split for itself. A split that was left counts as ended, so what remains is the one that is being
//! read, and those that nobody has begun. Of these nothing is known: while there are any, no watermark is told. Hence
//! the rows of several files are late or not whatever the order of the files, and with one task everything
//! is the same in every run. The price is state: what waits for the watermark is kept until the last
//! file has been begun.
//!
//! # Checkpoints
//! What was told goes into a snapshot, and the largest value of the split that is being read. A restored job tells
//! first what all tasks had told, before the first row: operators behind it begin where they were. A split goes on
//! with its largest value, whichever task reads the rest of it.
//!
//! # Idleness
//! A source that has had nothing to read for `table.exec.source.idle-timeout` says so, and operators with other
//! inputs go on without it, until its next row. Rows that are there but cannot be read, because something
//! behind has no room, do not make it idle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_physical_expr::PhysicalExpr;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::flow::message::WatermarkClock;
use crate::flow::{
    Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Split, Status, Waker, Watermark,
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
}

/// A split in a checkpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct SplitState {
    id: u64,
    /// The largest value in it.
    largest: Option<i64>,
}

/// Emits the largest value of the watermark expression: before a row that it makes late, else behind the
/// chunk.
#[derive(Debug)]
pub struct WatermarkAssigner {
    spec: WatermarkSpec,
    /// What was emitted.
    clock: WatermarkClock,
    /// The largest value in the current split.
    largest: Option<i64>,
    split: Split,
    idle: bool,
    /// The last time that there was a row.
    active: Option<Instant>,
    /// Largest values of splits that were being read when the job was restored.
    begun: HashMap<u64, i64>,
    /// The job was restored, and what was told before is not told yet.
    untold: Option<Watermark>,
    waker: Option<Waker>,
}

impl WatermarkAssigner {
    /// For one task.
    pub fn new(spec: WatermarkSpec) -> Self {
        Self {
            spec,
            clock: WatermarkClock::default(),
            largest: None,
            split: Split::default(),
            idle: false,
            active: None,
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

    /// Emits the largest watermark, if it has grown and may be told.
    fn tell(&mut self, out: &mut Output) {
        if let Some(watermark) = self.largest.and_then(|millis| self.clock.advance(millis)) {
            out.push(Message::Watermark(watermark));
        }
    }
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
        self.active = Some(Instant::now());
        self.waker = Some(context.waker);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("watermark", self.clock.current().map(Watermark::millis))?;
        snapshot.value("split", SplitState { id: self.split.id, largest: self.largest })
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        // The least of the tasks that still read: that is what was known behind all of them.
        let told = state.all_values::<Option<i64>>("watermark")?;
        let reading = |ended: bool| !ended || told.iter().all(|t| t.1);
        let least = told.iter().filter(|t| reading(t.1)).map(|t| t.2).min().flatten();
        self.untold = least.and_then(|millis| self.clock.advance(millis));
        let own: Vec<SplitState> = state.values("split")?;
        let splits = state.all_values::<SplitState>("split")?;
        for split in splits.into_iter().filter(|s| !s.1).map(|s| s.2) {
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
        self.largest = self.begun.remove(&self.split.id);
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
        if self.spec.idle_timeout.is_some() {
            self.active = Some(Instant::now());
            if std::mem::take(&mut self.idle) {
                out.push(Message::Status(Status::Active));
            }
        }
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
        let held = self.split.others_pending;
        let mut start = 0;
        for row in 0..chunk.len() {
            let time = match update(&chunk.kinds, row, times.len()) {
                Update::None => times[row],
                Update::Before => times[row].min(times[row + 1]),
                Update::After => i64::MAX,
            };
            let late = self.largest.is_some_and(|largest| time <= largest);
            if late && !held && self.largest > self.clock.current().map(Watermark::millis) {
                out.chunk(chunk.slice(start, row - start));
                self.tell(out);
                start = row;
            }
            if values.is_valid(row) {
                self.largest = self.largest.max(Some(marks[row]));
            }
        }
        match start {
            0 => out.chunk(chunk),
            _ => out.chunk(chunk.slice(start, chunk.len() - start)),
        }
        if !held {
            self.tell(out);
        }
        Ok(())
    }

    fn split(&mut self, split: Split) -> bool {
        if split.id != self.split.id {
            self.largest = self.begun.remove(&split.id);
        }
        self.split = split;
        true
    }

    fn deadline(&self) -> Option<Instant> {
        let timeout = self.spec.idle_timeout.filter(|_| !self.idle)?;
        self.active.and_then(|active| active.checked_add(timeout))
    }

    fn timer(&mut self, _now: Instant, out: &mut Output) -> Result<()> {
        self.idle = true;
        out.push(Message::Status(Status::Idle));
        Ok(())
    }

    fn postpone(&mut self, now: Instant) -> bool {
        self.active = Some(now);
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
    use crate::flow::Mailbox;
    use crate::state::ledger::Ledger;

    fn assigner(idle_timeout: Option<Duration>) -> WatermarkAssigner {
        let expression = Arc::new(Column::new("mark", 1));
        WatermarkAssigner::new(WatermarkSpec { rowtime: 0, expression, idle_timeout })
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
        a.split(Split { id: 1, others_pending: true });
        assert_eq!(fed(&mut a, times(&[10, 20, 5])), "10 20 5");
        a.split(Split { id: 2, others_pending: true });
        assert_eq!(fed(&mut a, times(&[8])), "8");
        a.split(Split { id: 3, others_pending: false });
        assert_eq!(fed(&mut a, times(&[4, 9, 6])), "4 9 | @6 | 6");
        // Others have begun the last one while this task was in the middle of its own.
        let mut a = assigner(None);
        a.split(Split { id: 1, others_pending: true });
        assert_eq!(fed(&mut a, times(&[10])), "10");
        a.split(Split { id: 1, others_pending: false });
        assert_eq!(fed(&mut a, times(&[5])), "@7 | 5");
    }

    #[test]
    fn a_source_without_rows_becomes_idle() {
        let timeout = Duration::from_secs(5);
        let mut a = assigner(Some(timeout));
        assert_eq!(a.deadline(), None, "it is not open yet");
        let start = Instant::now();
        assert!(a.postpone(start));
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
    fn what_was_told_is_told_before_the_first_row() {
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
            a.split(Split { id: 10 + task as u64, others_pending: true });
            fed(&mut a, times(&rows));
            ledger.add(task, cut(&mut a));
        }
        for (split, late) in [(10, "12 | @17 | 13"), (11, "12 | @28 | 13")] {
            for tasks in [1, 2] {
                let (mut a, mailbox) = restored(&ledger, 0, tasks);
                assert_eq!(woken(&mut a, &mailbox), "");
                a.split(Split { id: split, others_pending: false });
                // The first row is late too, and the watermark stands before it.
                let expected = late.replace("12 | @", "@").replace("| 13", "| 12 13");
                assert_eq!(fed(&mut a, times(&[12, 13])), expected);
                a.split(Split { id: 99, others_pending: false });
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
