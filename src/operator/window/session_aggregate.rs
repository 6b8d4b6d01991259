//! Aggregates by session: `GROUP BY window_start, window_end, keys` over `SESSION`.
//!
//! A session has a number, and its state stands there in the columns of the accumulators. When a row joins two
//! sessions of a key, the state of one is added to the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::pane::{Evaluated, ResultColumns, accumulators};
use super::session::{Over, Sessions};
use super::times::window_times;
use super::zone::WindowClock;
use super::{WindowColumn, WindowKind, WindowMetrics, WindowSpec, WindowTime};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::operator::aggregate::state::{
    append_state, check_state, restore_state, state_batch, state_schema,
};
use crate::operator::aggregate::{Accumulator, AggregateCall};
use crate::state::{Changed, KeyTable, Restored, Scope, Snapshot};

/// The table of a checkpoint: `session_start, session_end, keys, [rows], state of the calls`.
const SESSIONS: &str = "sessions";

/// Sessions that are given out at once.
const PIECE: usize = 8192;

/// What a [`SessionAggregate`] does.
#[derive(Debug, Clone)]
pub struct SessionAggregateSpec {
    /// Positions of the keys that have sessions of their own; there may be none.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// SESSION.
    pub windows: WindowSpec,
    /// What the sessions are of.
    pub time: WindowTime,
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

/// Aggregates sessions and gives each out once, when it is over.
#[derive(Debug)]
pub struct SessionAggregate {
    spec: SessionAggregateSpec,
    clock: WindowClock,
    result: ResultColumns,
    keys: KeyTable,
    sessions: Sessions,
    state: Vec<Box<dyn Accumulator>>,
    /// Rows by session, where rows may be taken back.
    counts: Vec<i64>,
    /// Sessions that differ from the last checkpoint.
    changed: Changed,
    /// Columns of [`SESSIONS`].
    schema: SchemaRef,
    /// Sessions that end here or before have been given out.
    done: i64,
    slots: Vec<u32>,
    ingest: Option<Instant>,
    processing_time: Option<Arc<dyn Clock>>,
    deadline: Option<Instant>,
}

/// The gap of SESSION.
pub(super) fn gap_of(windows: &WindowSpec) -> Result<i64> {
    windows.check()?;
    match windows.kind {
        WindowKind::Session { gap } => Ok(gap),
        other => Err(Error::internal(format!("{} has no sessions", other.name()))),
    }
}

/// The instant at which the clock shows `millis`.
pub(super) fn alarm(millis: Option<i64>, clock: &WindowClock, now: i64) -> Option<Instant> {
    let wait = clock.completed(millis?.saturating_sub(1)).saturating_add(1).saturating_sub(now);
    crate::clock::instant().checked_add(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// Now, in an operator that has been opened.
pub(super) fn now_of(clock: &Option<Arc<dyn Clock>>) -> Result<i64> {
    match clock {
        Some(clock) => Ok(clock.now_millis()),
        None => Err(Error::internal("a window of processing time was not opened")),
    }
}

impl SessionAggregate {
    /// What was left out.
    pub fn metrics(&self) -> &WindowMetrics {
        &self.spec.metrics
    }

    /// An operator without any session yet.
    pub fn new(mut spec: SessionAggregateSpec) -> Result<Self> {
        // Each task counts for itself.
        spec.metrics = Arc::default();
        let (window, order) = (spec.window.clone(), spec.order.clone());
        let result = ResultColumns::new(spec.schema.clone(), window, &spec.windows, order)?;
        let state = accumulators(&spec.calls, spec.input_changes)?;
        let keys = spec.keys.len();
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let mut columns: Vec<(String, DataType)> =
            ["session_start", "session_end"].map(|name| (name.to_string(), time.clone())).into();
        columns.extend(result.names(keys).into_iter().zip(result.types(keys)));
        if spec.input_changes {
            columns.push(("rows".into(), DataType::Int64));
        }
        Ok(Self {
            clock: WindowClock::new(&spec.windows)?,
            keys: KeyTable::new(&result.types(keys))?,
            result,
            sessions: Sessions::new(gap_of(&spec.windows)?),
            schema: state_schema(columns, &spec.calls, &state),
            state,
            counts: Vec::new(),
            changed: Changed::default(),
            done: i64::MIN,
            slots: Vec::new(),
            ingest: None,
            processing_time: None,
            deadline: None,
            spec,
        })
    }

    /// Bytes of all sessions that are open.
    pub fn memory(&self) -> usize {
        let state: usize = self.state.iter().map(|a| a.memory()).sum();
        self.keys.memory() + self.sessions.memory() + state + self.counts.capacity() * 8
    }

    fn add(&mut self, chunk: &Chunk, times: &[i64]) -> Result<()> {
        let mut rows = Evaluated::new(chunk, &self.spec.keys, &self.spec.calls)?;
        self.keys.intern(&rows.keys, rows.rows, &mut self.slots)?;
        self.sessions.resize(self.keys.capacity());
        let (mut groups, mut merged) = (Vec::with_capacity(rows.rows), Vec::new());
        let (mut kept, mut late) = (Vec::new(), Vec::new());
        for (row, (&slot, &t)) in self.slots.iter().zip(times).enumerate() {
            match self.sessions.assign(slot, t, self.done, &mut merged)? {
                Some(session) => {
                    groups.push(session);
                    kept.push(row as u32);
                }
                None => late.push(slot),
            }
        }
        if !late.is_empty() {
            self.spec.metrics.add_late(late.len());
            for slot in late {
                if self.sessions.is_idle(slot) {
                    self.keys.remove(slot);
                }
            }
            rows = rows.subset(&kept)?;
        }
        let room = self.sessions.capacity();
        self.state.iter_mut().for_each(|a| a.resize(room));
        if self.spec.input_changes {
            self.counts.resize(room, 0);
            rows.count(&groups, &mut self.counts);
        }
        rows.update(&groups, &mut self.state)?;
        if self.changed.is_on() {
            groups.iter().for_each(|&session| self.changed.mark(session));
        }
        // Rows were added where they belonged when they came; numbers are reused from the next chunk on.
        for (into, from) in merged {
            for accumulator in &mut self.state {
                accumulator.merge_within(into, from)?;
                accumulator.reset(from);
            }
            if self.spec.input_changes {
                self.counts[into as usize] += std::mem::take(&mut self.counts[from as usize]);
            }
            self.changed.remove(from);
            self.changed.mark(into);
            self.sessions.release(from);
        }
        Ok(())
    }

    fn close(&mut self, bound: i64, out: &mut Output) -> Result<()> {
        let over = self.sessions.over(bound);
        let with_rows: Vec<Over> = if self.spec.input_changes {
            over.iter().filter(|o| self.counts[o.session as usize] > 0).copied().collect()
        } else {
            over.clone()
        };
        for piece in with_rows.chunks(PIECE) {
            let slots: Vec<u32> = piece.iter().map(|o| o.slot).collect();
            let groups: Vec<u32> = piece.iter().map(|o| o.session).collect();
            let mut columns = self.keys.take(&slots)?;
            for accumulator in &self.state {
                columns.push(accumulator.values(&groups)?);
            }
            let windows: Vec<_> = piece.iter().map(|o| (o.start, o.end)).collect();
            self.result.append(&mut columns, &windows);
            let batch = self.result.batch(columns, piece.len())?;
            out.chunk(Chunk::append(batch, self.ingest.unwrap_or_else(crate::clock::instant)));
        }
        for o in over {
            self.state.iter_mut().for_each(|a| a.reset(o.session));
            if self.spec.input_changes {
                self.counts[o.session as usize] = 0;
            }
            self.changed.remove(o.session);
            self.sessions.release(o.session);
            if self.sessions.is_idle(o.slot) {
                self.keys.remove(o.slot);
            }
        }
        self.done = self.done.max(bound);
        Ok(())
    }

    fn follow_clock(&mut self, out: &mut Output) -> Result<i64> {
        let now = now_of(&self.processing_time)?;
        let bound = self.clock.closed_by(now.saturating_sub(1));
        self.close(bound, out)?;
        Ok(now)
    }
}

impl Operator for SessionAggregate {
    fn name(&self) -> &'static str {
        "WindowAggregate"
    }

    fn late_rows(&self) -> u64 {
        self.spec.metrics.late()
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.processing_time = Some(context.clock);
        self.changed = Changed::new(context.checkpointed);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("done", self.done)?;
        let (changed, removed) = self.changed.take();
        let sessions = if snapshot.is_full() { self.sessions.open() } else { changed };
        let (mut slots, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for &session in &sessions {
            let (slot, start, end) = self.sessions.get(session);
            slots.push(slot);
            starts.push(start);
            ends.push(end);
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(starts)),
            Arc::new(TimestampMillisecondArray::from(ends)),
        ];
        columns.extend(self.keys.take(&slots)?);
        if self.spec.input_changes {
            let counts = sessions.iter().map(|&s| self.counts[s as usize]);
            columns.push(Arc::new(Int64Array::from_iter_values(counts)));
        }
        append_state(&self.state, &sessions, &mut columns)?;
        let rows = state_batch(&self.schema, columns, sessions.len())?;
        let scope = Scope::Keyed((2..2 + self.spec.keys.len()).collect());
        snapshot.table(SESSIONS, scope, sessions.into_iter().map(u64::from).collect(), rows, removed)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        for piece in state.table(SESSIONS)? {
            check_state(&self.schema, &piece.rows)?;
            let columns = piece.rows.columns();
            let mut own = 2 + self.spec.keys.len();
            self.keys.intern(&columns[2..own], piece.rows.num_rows(), &mut self.slots)?;
            self.sessions.resize(self.keys.capacity());
            let times = |i: usize| columns[i].as_primitive::<TimestampMillisecondType>().values().iter();
            let spans = times(0).zip(times(1));
            let sessions: Vec<u32> = self
                .slots
                .iter()
                .zip(spans)
                .map(|(&slot, (&start, &end))| self.sessions.insert(slot, start, end))
                .collect();
            let room = self.sessions.capacity();
            self.state.iter_mut().for_each(|a| a.resize(room));
            if self.spec.input_changes {
                self.counts.resize(room, 0);
                let counts = columns[own].as_primitive::<Int64Type>().values();
                sessions.iter().zip(counts).for_each(|(&s, &count)| self.counts[s as usize] = count);
                own += 1;
            }
            restore_state(&mut self.state, &sessions, &piece.rows, own)?;
        }
        let done = state.values::<i64>("done")?.into_iter();
        if self.spec.time == WindowTime::Processing {
            // Clocks of former tasks need not have been read at the same moment.
            self.done = done.min().unwrap_or(i64::MIN);
            let now = now_of(&self.processing_time)?;
            self.deadline = alarm(self.sessions.next_due(), &self.clock, now);
        } else if !state.is_part() {
            self.done = done.max().unwrap_or(i64::MIN);
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let keyed = self.spec.time != WindowTime::Processing && !self.spec.keys.is_empty();
        keyed.then(|| ColdSpec::by_key_and_time(vec![self.spec.keys.clone()], &[SESSIONS]))
    }

    fn due(&self, _table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        Ok(super::times::millis(rows.column(1))?.to_vec())
    }

    fn reached(&mut self, watermark: Watermark) -> i64 {
        self.clock.closed_by(watermark.millis())
    }

    fn stays(&self) -> Option<&'static str> {
        let processing = self.spec.time == WindowTime::Processing;
        processing.then_some("the windows of processing time in memory")
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.ingest = Some(chunk.ingest);
        match self.spec.time {
            WindowTime::Event(column) => {
                let (chunk, times) = window_times(chunk, column, &mut self.clock, &self.spec.metrics)?;
                self.add(&chunk, &times)
            }
            WindowTime::Processing => {
                let now = self.follow_clock(out)?;
                let local = self.clock.local(now).max(self.done);
                self.add(&chunk, &vec![local; chunk.len()])?;
                self.deadline = alarm(self.sessions.next_due(), &self.clock, now);
                Ok(())
            }
        }
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if self.spec.time != WindowTime::Processing {
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
        self.deadline = alarm(self.sessions.next_due(), &self.clock, now);
        Ok(())
    }

    /// Sessions of processing time that are open when the input ends are given out then.
    fn end(&mut self, out: &mut Output) -> Result<()> {
        if self.spec.time == WindowTime::Processing {
            self.close(i64::MAX, out)?;
            self.deadline = None;
        }
        out.push(Message::End);
        Ok(())
    }
}
