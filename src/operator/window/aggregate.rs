//! Aggregates by window: `GROUP BY window_start, window_end, keys`.
//!
//! A row is added to its slice once, however many windows it is in; a window that closes is the sum of its
//! slices. Each slice has its own keys and its own columns of state, so that all of it is let go at once.
//!
//! ```text
//!  rows ──> slice 12:00 [ keys | COUNT | SUM ]   HOP: three slices together are a window
//!           slice 12:02 [ keys | COUNT | SUM ]   CUMULATE: the slice that closes is added to what
//!           slice 12:04 [ keys | COUNT | SUM ]             its period has so far
//! ```
//! Windows are given out when the watermark reaches their last millisecond, in order of their ends, before
//! the watermark goes on. A row that comes later counts for those of its windows that are still open; if
//! none is, it is dropped and counted.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;

use super::assign::Slicing;
use super::pane::{Evaluated, ResultColumns};
use super::panes::{PaneLayout, Panes};
use super::session_aggregate::{alarm, now_of};
use super::times::{millis, span, window_times, without_nulls};
use super::zone::WindowClock;
use super::{WindowColumn, WindowMetrics, WindowSpec, WindowTime};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::operator::aggregate::AggregateCall;
use crate::state::{Restored, Snapshot};

/// Where the windows of a row come from.
#[derive(Debug, Clone)]
pub enum WindowInput {
    /// From its time: TUMBLE, HOP or CUMULATE.
    Assigned {
        /// Which windows.
        windows: WindowSpec,
        /// The time.
        time: WindowTime,
    },
    /// From its columns: each row belongs to the one window that it names. Rows without one are dropped.
    Attached {
        /// What the windows are (for the zone).
        windows: WindowSpec,
        /// Position of `window_start`.
        start: usize,
        /// Position of `window_end`.
        end: usize,
        /// The windows close as the clock goes on and not by watermarks.
        processing: bool,
    },
}

/// What a [`WindowAggregate`] does.
#[derive(Debug, Clone)]
pub struct WindowAggregateSpec {
    /// Positions of the group keys other than the window's columns; there may be none.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// The windows.
    pub input: WindowInput,
    /// Columns of the window behind the keys and the results.
    pub window: Vec<WindowColumn>,
    /// The columns of the output.
    pub schema: SchemaRef,
    /// Which each of them is, counting keys, results and columns of the window; empty: they stand like that.
    pub order: Vec<usize>,
    /// The input may update and delete.
    pub input_changes: bool,
    /// Counts what is left out.
    pub metrics: Arc<WindowMetrics>,
}

impl WindowAggregateSpec {
    fn windows(&self) -> &WindowSpec {
        match &self.input {
            WindowInput::Assigned { windows, .. } | WindowInput::Attached { windows, .. } => windows,
        }
    }

    fn is_processing(&self) -> bool {
        match self.input {
            WindowInput::Assigned { time, .. } => time == WindowTime::Processing,
            WindowInput::Attached { processing, .. } => processing,
        }
    }
}

/// How rows come to panes.
#[derive(Debug)]
enum Assignment {
    Slices(Slicing),
    Columns { start: usize, end: usize },
}

/// Aggregates windows and gives each out once.
#[derive(Debug)]
pub struct WindowAggregate {
    spec: WindowAggregateSpec,
    assignment: Assignment,
    layout: PaneLayout,
    clock: WindowClock,
    result: ResultColumns,
    /// Windows that end here or before have been given out.
    done: i64,
    /// Slices by start.
    slices: Panes<i64>,
    /// What periods of CUMULATE have so far, by start of the period.
    running: Panes<i64>,
    /// Windows that rows name, by end and start.
    attached: Panes<(i64, i64)>,
    groups: Vec<u32>,
    processing_time: Option<Arc<dyn Clock>>,
    deadline: Option<Instant>,
}

impl WindowAggregate {
    /// What was left out.
    pub fn metrics(&self) -> &WindowMetrics {
        &self.spec.metrics
    }

    /// An operator without any window yet.
    pub fn new(mut spec: WindowAggregateSpec) -> Result<Self> {
        // Each task counts for itself.
        spec.metrics = Arc::default();
        let windows = spec.windows();
        let assignment = match &spec.input {
            WindowInput::Assigned { windows, .. } => Assignment::Slices(Slicing::new(windows)?),
            WindowInput::Attached { start, end, .. } => Assignment::Columns { start: *start, end: *end },
        };
        let result =
            ResultColumns::new(spec.schema.clone(), spec.window.clone(), windows, spec.order.clone())?;
        let key_types = result.types(spec.keys.len());
        let names = result.names(spec.keys.len()).into_iter();
        let keys: Vec<_> = names.zip(key_types.iter().cloned()).collect();
        let panes = |table, times| Panes::new(table, times, &keys, &spec);
        Ok(Self {
            slices: panes("slices", ["slice_start", "slice_end"])?,
            running: panes("periods", ["period_start", "period_end"])?,
            attached: Panes::new("windows", ["window_start", "window_end"], &keys, &spec)?,
            layout: PaneLayout::new(key_types, matches!(assignment, Assignment::Columns { .. })),
            assignment,
            clock: WindowClock::new(windows)?,
            result,
            done: i64::MIN,
            groups: Vec::new(),
            processing_time: None,
            deadline: None,
            spec,
        })
    }

    /// Bytes of all windows that are open.
    pub fn memory(&self) -> usize {
        self.slices.memory() + self.running.memory() + self.attached.memory()
    }

    /// Adds rows that are all of one slice.
    fn add_slice(&mut self, slicing: Slicing, slice: i64, rows: &Evaluated) -> Result<()> {
        // Between the windows of a HOP whose slide is greater than its size.
        let Some((first, last)) = slicing.ends(slice) else { return Ok(()) };
        if last <= self.done {
            self.spec.metrics.add_late(rows.rows);
            return Ok(());
        }
        let made_of = (&self.layout, &self.spec);
        if slicing.cumulates() && first <= self.done {
            let period = slicing.period(slice).0;
            return self.running.add(period, rows, made_of, &mut self.groups);
        }
        self.slices.add(slice, rows, made_of, &mut self.groups)
    }

    /// Adds rows to the slices of their times.
    fn add(&mut self, slicing: Slicing, rows: &Evaluated, times: &[i64]) -> Result<()> {
        let Some((least, most)) = span(times) else { return Ok(()) };
        let (slice, until) = slicing.slice(least)?;
        if most < until {
            return self.add_slice(slicing, slice, rows);
        }
        let mut parts: Vec<(i64, Vec<u32>)> = Vec::new();
        let mut by_slice: HashMap<i64, usize> = HashMap::new();
        let (mut from, mut until, mut part) = (0, 0, 0);
        for (row, &t) in times.iter().enumerate() {
            if t < from || t >= until {
                (from, until) = slicing.slice(t)?;
                part = *by_slice.entry(from).or_insert_with(|| {
                    parts.push((from, Vec::new()));
                    parts.len() - 1
                });
            }
            parts[part].1.push(row as u32);
        }
        for (slice, indices) in parts {
            self.add_slice(slicing, slice, &rows.subset(&indices)?)?;
        }
        Ok(())
    }

    /// Adds rows to the windows that they name.
    fn add_attached(&mut self, chunk: Chunk, start: usize, end: usize) -> Result<()> {
        let (chunk, dropped) = without_nulls(chunk, &[start, end])?;
        if dropped > 0 {
            self.spec.metrics.add_without_time(dropped);
        }
        let (starts, ends) = (millis(chunk.batch.column(start))?, millis(chunk.batch.column(end))?);
        let rows = Evaluated::new(&chunk, &self.spec.keys, &self.spec.calls)?;
        let mut parts: Vec<((i64, i64), Vec<u32>)> = Vec::new();
        let mut by_window: HashMap<(i64, i64), usize> = HashMap::new();
        let mut part = usize::MAX;
        for (row, (&start, &end)) in starts.iter().zip(ends.iter()).enumerate() {
            if parts.get(part).is_none_or(|p| p.0 != (end, start)) {
                part = *by_window.entry((end, start)).or_insert_with(|| {
                    parts.push(((end, start), Vec::new()));
                    parts.len() - 1
                });
            }
            parts[part].1.push(row as u32);
        }
        for (window, indices) in parts {
            if window.0 <= self.done {
                self.spec.metrics.add_late(indices.len());
                continue;
            }
            let some;
            let rows = if indices.len() == rows.rows {
                &rows
            } else {
                some = rows.subset(&indices)?;
                &some
            };
            self.attached.add(window, rows, (&self.layout, &self.spec), &mut self.groups)?;
        }
        Ok(())
    }

    /// The end of the window that closes next.
    fn next_end(&self) -> Option<i64> {
        let Assignment::Slices(slicing) = &self.assignment else {
            return self.attached.first().map(|(end, _)| end);
        };
        // Windows of later slices do not end before those of earlier ones.
        let slice = self.slices.first().and_then(|s| slicing.next_end(s, self.done));
        let running = self.running.first().and_then(|p| slicing.next_end(p, self.done));
        match (slice, running) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Gives out the windows that end here or before.
    fn close(&mut self, bound: i64, out: &mut Output) -> Result<()> {
        while let Some(end) = self.next_end().filter(|&end| end <= bound) {
            match self.assignment {
                Assignment::Columns { .. } => {
                    let Some((end, start)) = self.attached.first() else { break };
                    let Some(pane) = self.attached.remove(&(end, start)) else { break };
                    pane.emit((start, end), &self.result, out)?;
                }
                Assignment::Slices(slicing) if slicing.cumulates() => self.close_step(slicing, end, out)?,
                Assignment::Slices(slicing) => self.close_window(slicing, end, out)?,
            }
            self.done = self.done.max(end);
        }
        self.done = self.done.max(bound);
        Ok(())
    }

    /// Gives out a window of TUMBLE or HOP.
    fn close_window(&mut self, slicing: Slicing, end: i64, out: &mut Output) -> Result<()> {
        let window = (slicing.start(end), end);
        let mut panes = self.slices.range(window.0..end);
        if let (Some(first), second) = (panes.next(), panes.next()) {
            match second {
                None => first.emit(window, &self.result, out)?,
                Some(second) => {
                    let mut sum = self.layout.pane(&self.spec, crate::clock::instant())?;
                    sum.merge(first)?;
                    sum.merge(second)?;
                    panes.try_for_each(|pane| sum.merge(pane))?;
                    sum.emit(window, &self.result, out)?;
                }
            }
        }
        drop(panes);
        while let Some(slice) = self.slices.first() {
            if slicing.ends(slice).is_some_and(|(_, last)| last > end) {
                break;
            }
            self.slices.remove(&slice);
        }
        Ok(())
    }

    /// Gives out a window of CUMULATE.
    fn close_step(&mut self, slicing: Slicing, end: i64, out: &mut Output) -> Result<()> {
        let (period, until) = slicing.period(end - 1);
        if let Some(pane) = self.slices.remove(&(end - slicing.width())) {
            match self.running.get_mut(&period) {
                Some(sum) => sum.merge(&pane)?,
                None => self.running.insert(period, pane),
            }
        }
        if let Some(sum) = self.running.get(&period) {
            sum.emit((period, end), &self.result, out)?;
        }
        if end == until {
            self.running.remove(&period);
        }
        Ok(())
    }

    /// Gives out what the clock has completed; what it shows.
    fn follow_clock(&mut self, out: &mut Output) -> Result<i64> {
        let now = now_of(&self.processing_time)?;
        // A window of processing time is complete when its last millisecond is over.
        let bound = self.clock.closed_by(now.saturating_sub(1));
        self.close(bound, out)?;
        Ok(now)
    }
}

impl Operator for WindowAggregate {
    fn name(&self) -> &'static str {
        "WindowAggregate"
    }

    fn late_rows(&self) -> u64 {
        self.spec.metrics.late()
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.processing_time = Some(context.clock);
        self.layout.track(context.checkpointed);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("done", self.done)?;
        let layout = &self.layout;
        let Assignment::Slices(slicing) = self.assignment else {
            return self.attached.snapshot(snapshot, layout, |(end, start)| (start, end));
        };
        self.slices.snapshot(snapshot, layout, |start| (start, start.saturating_add(slicing.width())))?;
        if slicing.cumulates() {
            self.running.snapshot(snapshot, layout, |start| slicing.period(start))?;
        }
        Ok(())
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let made_of = (&self.layout, &self.spec);
        self.attached.restore(state, made_of, |start, end| (end, start))?;
        self.slices.restore(state, made_of, |start, _| start)?;
        self.running.restore(state, made_of, |start, _| start)?;
        let done = state.values::<i64>("done")?.into_iter();
        if self.spec.is_processing() {
            // Clocks of former tasks need not have been read at the same moment.
            self.done = done.min().unwrap_or(i64::MIN);
        } else {
            self.done = done.max().unwrap_or(i64::MIN);
        }
        // What is open was not given out, whatever another task says.
        let open = match &self.assignment {
            Assignment::Columns { .. } => self.attached.first().map(|(end, _)| end),
            Assignment::Slices(slicing) => {
                let first = [self.slices.first(), self.running.first()].into_iter().flatten();
                first.filter_map(|slice| slicing.ends(slice)).map(|(_, last)| last).min()
            }
        };
        self.done = self.done.min(open.map_or(i64::MAX, |end| end.saturating_sub(1)));
        if self.spec.is_processing() {
            let now = now_of(&self.processing_time)?;
            self.deadline = alarm(self.next_end(), &self.clock, now);
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let event = !self.spec.is_processing();
        event.then(|| ColdSpec::by_time(&["slices", "periods", "windows"]))
    }

    fn due(&self, _table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        let (starts, ends) = (millis(rows.column(0))?, millis(rows.column(1))?);
        let spans = starts.iter().zip(ends.iter());
        Ok(match self.assignment {
            Assignment::Columns { .. } => ends.to_vec(),
            // What is open that should be complete comes back at the next moment.
            Assignment::Slices(slicing) => {
                spans.map(|(&start, &end)| slicing.next_end(start, self.done).unwrap_or(end)).collect()
            }
        })
    }

    fn reached(&mut self, watermark: Watermark) -> i64 {
        self.clock.closed_by(watermark.millis())
    }

    fn stays(&self) -> Option<&'static str> {
        self.spec.is_processing().then_some("the windows of processing time in memory")
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let now = if self.spec.is_processing() { Some(self.follow_clock(out)?) } else { None };
        match self.assignment {
            Assignment::Columns { start, end } => self.add_attached(chunk, start, end)?,
            Assignment::Slices(slicing) => match self.spec.input {
                WindowInput::Assigned { time: WindowTime::Event(column), .. } => {
                    let (chunk, times) = window_times(chunk, column, &mut self.clock, &self.spec.metrics)?;
                    let rows = Evaluated::new(&chunk, &self.spec.keys, &self.spec.calls)?;
                    self.add(slicing, &rows, &times)?;
                }
                _ => {
                    // The clock may be put back; windows that were given out stay so.
                    let now = self.clock.local(now.unwrap_or_default()).max(self.done);
                    let rows = Evaluated::new(&chunk, &self.spec.keys, &self.spec.calls)?;
                    self.add_slice(slicing, slicing.slice(now)?.0, &rows)?;
                }
            },
        }
        if let Some(now) = now {
            self.deadline = alarm(self.next_end(), &self.clock, now);
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if !self.spec.is_processing() {
            let bound = self.clock.closed_by(watermark.millis());
            self.close(bound, out)?;
        }
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn timer(&mut self, _now: Instant, out: &mut Output) -> Result<()> {
        let now = self.follow_clock(out)?;
        self.deadline = alarm(self.next_end(), &self.clock, now);
        Ok(())
    }

    /// Windows of processing time that are open when the input ends are given out then.
    fn end(&mut self, out: &mut Output) -> Result<()> {
        if self.spec.is_processing() {
            self.close(i64::MAX, out)?;
            self.deadline = None;
        }
        out.push(Message::End);
        Ok(())
    }
}
