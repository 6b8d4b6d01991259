//! `SESSION` in FROM: rows are kept until their session is over, since only then its window is known.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::pane::ResultColumns;
use super::session::Sessions;
use super::session_aggregate::{alarm, gap_of, now_of};
use super::table_function::{COLUMNS, apart};
use super::times::window_times;
use super::zone::WindowClock;
use super::{WindowMetrics, WindowSpec, WindowTime};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::operator::aggregate::state::{check_state, named, state_batch};
use crate::state::{Changed, KeyTable, Restored, RowStore, Scope, Snapshot};

/// The table of a checkpoint: `columns of the input, arrival, change, [time]`. Its rows make the sessions again.
const ROWS: &str = "rows";

/// Rows that are given out at once.
const PIECE: usize = 8192;

/// What a [`SessionTableFunction`] does.
#[derive(Debug, Clone)]
pub struct SessionTableSpec {
    /// Positions of the keys that have sessions of their own; there may be none.
    pub keys: Vec<usize>,
    /// SESSION.
    pub windows: WindowSpec,
    /// What the sessions are of.
    pub time: WindowTime,
    /// Columns of the input, then `window_start`, `window_end` and `window_time`.
    pub schema: SchemaRef,
    /// Counts what is left out.
    pub metrics: Arc<WindowMetrics>,
}

/// Gives rows with their session when it is over. Rows of a session that is over are dropped.
#[derive(Debug)]
pub struct SessionTableFunction {
    spec: SessionTableSpec,
    clock: WindowClock,
    result: ResultColumns,
    keys: KeyTable,
    sessions: Sessions,
    /// Rows of each session.
    members: Vec<Vec<u32>>,
    rows: RowStore,
    /// Of each row, in order of arrival.
    arrivals: Vec<i64>,
    next_arrival: i64,
    /// Window times of the rows, where they have none of their own.
    times: Vec<i64>,
    /// Rows that differ from the last checkpoint.
    changed: Changed,
    /// Columns of [`ROWS`].
    state: SchemaRef,
    /// What kind of change a kept row is; empty as long as all are inserts.
    kinds: Vec<Kind>,
    done: i64,
    slots: Vec<u32>,
    ingest: Option<Instant>,
    processing_time: Option<Arc<dyn Clock>>,
    deadline: Option<Instant>,
}

impl SessionTableFunction {
    /// What was left out.
    pub fn metrics(&self) -> &WindowMetrics {
        &self.spec.metrics
    }

    /// An operator that keeps no row yet.
    pub fn new(mut spec: SessionTableSpec) -> Result<Self> {
        // Each task counts for itself.
        spec.metrics = Arc::default();
        let inputs = spec.schema.fields().len().saturating_sub(COLUMNS.len());
        let fields: Vec<_> = spec.schema.fields().iter().take(inputs).cloned().collect();
        let types: Vec<_> = spec.keys.iter().map(|&k| fields[k].data_type().clone()).collect();
        let mut columns: Vec<(String, DataType)> =
            fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        columns.extend([("arrival".into(), DataType::Int64), ("change".into(), DataType::Utf8View)]);
        if spec.time == WindowTime::Processing {
            columns.push(("time".into(), DataType::Timestamp(TimeUnit::Millisecond, None)));
        }
        Ok(Self {
            arrivals: Vec::new(),
            next_arrival: 0,
            times: Vec::new(),
            changed: Changed::default(),
            state: named(columns),
            clock: WindowClock::new(&spec.windows)?,
            result: ResultColumns::new(spec.schema.clone(), COLUMNS.to_vec(), &spec.windows, Vec::new())?,
            keys: KeyTable::new(&types)?,
            sessions: Sessions::new(gap_of(&spec.windows)?),
            members: Vec::new(),
            rows: RowStore::new(Arc::new(Schema::new(fields))),
            kinds: Vec::new(),
            done: i64::MIN,
            slots: Vec::new(),
            ingest: None,
            processing_time: None,
            deadline: None,
            spec,
        })
    }

    /// Bytes of all rows that are kept.
    pub fn memory(&self) -> usize {
        let members: usize = self.members.iter().map(|m| m.capacity() * 4 + size_of::<Vec<u32>>()).sum();
        let notes = self.kinds.capacity() + (self.arrivals.capacity() + self.times.capacity()) * 8;
        self.keys.memory() + self.sessions.memory() + self.rows.memory() + members + notes
    }

    fn add(&mut self, chunk: Chunk, times: &[i64]) -> Result<()> {
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&k| chunk.batch.column(k).clone()).collect();
        self.keys.intern(&keys, chunk.len(), &mut self.slots)?;
        self.sessions.resize(self.keys.capacity());
        let (mut merged, mut kept, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        let mut late = Vec::new();
        for (row, (&slot, &t)) in self.slots.iter().zip(times).enumerate() {
            match self.sessions.assign(slot, t, self.done, &mut merged)? {
                Some(session) => {
                    sessions.push(session);
                    kept.push(row as u32);
                }
                None => late.push(slot),
            }
        }
        let kept = UInt32Array::from(kept);
        let chunk = if late.is_empty() { chunk } else { chunk.take(&kept)? };
        self.spec.metrics.add_late(late.len());
        for slot in late {
            if self.sessions.is_idle(slot) {
                self.keys.remove(slot);
            }
        }
        let mut ids = Vec::with_capacity(chunk.len());
        self.rows.push(&chunk.batch, &mut ids)?;
        if let (Kinds::Changes(kinds), Some(&most)) = (apart(&chunk.kinds), ids.iter().max()) {
            self.kinds.resize(self.kinds.len().max(most as usize + 1), Kind::Insert);
            ids.iter().zip(kinds.iter()).for_each(|(&id, &kind)| self.kinds[id as usize] = kind);
        }
        self.note(&ids, kept.values().iter().map(|&row| times[row as usize]));
        self.members.resize(self.sessions.capacity(), Vec::new());
        for (session, id) in sessions.into_iter().zip(ids) {
            self.members[session as usize].push(id);
        }
        for (into, from) in merged {
            let mut moved = std::mem::take(&mut self.members[from as usize]);
            self.members[into as usize].append(&mut moved);
            self.sessions.release(from);
        }
        Ok(())
    }

    /// Notes what is known of new rows beside their columns.
    fn note(&mut self, ids: &[u32], times: impl Iterator<Item = i64>) {
        let room = ids.iter().max().map_or(0, |&most| most as usize + 1);
        self.arrivals.resize(self.arrivals.len().max(room), 0);
        for &id in ids {
            self.arrivals[id as usize] = self.next_arrival;
            self.next_arrival += 1;
            self.changed.mark(id);
        }
        if self.spec.time == WindowTime::Processing {
            self.times.resize(self.times.len().max(room), 0);
            ids.iter().zip(times).for_each(|(&id, time)| self.times[id as usize] = time);
        }
    }

    /// Adds rows of [`ROWS`].
    fn take_back(&mut self, rows: &RecordBatch, width: usize) -> Result<()> {
        let batch = RecordBatch::try_new(self.rows.schema().clone(), rows.columns()[..width].to_vec())?;
        let changes = rows.column(width + 1).as_string_view();
        let kinds = changes.iter().map(|change| match change {
            Some("-D") => Kind::Delete,
            _ => Kind::Insert,
        });
        let kinds: Vec<Kind> = kinds.collect();
        let kinds = match kinds.contains(&Kind::Delete) {
            true => Kinds::Changes(kinds.into()),
            false => Kinds::Append,
        };
        let chunk = Chunk { batch, kinds, ingest: crate::clock::instant() };
        match self.spec.time {
            WindowTime::Event(column) => {
                let (chunk, times) = window_times(chunk, column, &mut self.clock, &self.spec.metrics)?;
                self.add(chunk, &times)
            }
            WindowTime::Processing => {
                let times = rows.column(width + 2).as_primitive::<TimestampMillisecondType>();
                self.add(chunk, times.values())
            }
        }
    }

    fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Insert)
    }

    /// Ids of all rows that are kept.
    fn kept(&self) -> Vec<u32> {
        let open = self.sessions.open();
        let mut ids: Vec<u32> = open.iter().flat_map(|&s| self.members[s as usize].iter().copied()).collect();
        ids.sort_unstable();
        ids
    }

    fn give(&mut self, ids: &[u32], windows: &[(i64, i64)], out: &mut Output) -> Result<()> {
        let batch = self.rows.take(ids)?;
        let mut columns = batch.columns().to_vec();
        self.result.append(&mut columns, windows);
        let kinds: Vec<Kind> = ids.iter().map(|&id| self.kind(id)).collect();
        let kinds = match kinds.iter().all(|&k| k == Kind::Insert) {
            true => Kinds::Append,
            false => Kinds::Changes(kinds.into()),
        };
        for &id in ids {
            self.rows.free(id)?;
            self.changed.remove(id);
            if let Some(kind) = self.kinds.get_mut(id as usize) {
                *kind = Kind::Insert;
            }
        }
        let batch = self.result.batch(columns, ids.len())?;
        out.chunk(Chunk { batch, kinds, ingest: self.ingest.unwrap_or_else(crate::clock::instant) });
        Ok(())
    }

    fn close(&mut self, bound: i64, out: &mut Output) -> Result<()> {
        let (mut ids, mut windows) = (Vec::new(), Vec::new());
        for over in self.sessions.over(bound) {
            let mut members = std::mem::take(&mut self.members[over.session as usize]);
            // Those of sessions that were joined are not yet in the order in which they came.
            members.sort_by_key(|&id| self.arrivals[id as usize]);
            windows.resize(windows.len() + members.len(), (over.start, over.end));
            ids.append(&mut members);
            self.sessions.release(over.session);
            if self.sessions.is_idle(over.slot) {
                self.keys.remove(over.slot);
            }
        }
        for (ids, windows) in ids.chunks(PIECE).zip(windows.chunks(PIECE)) {
            self.give(ids, windows, out)?;
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

impl Operator for SessionTableFunction {
    fn name(&self) -> &'static str {
        "WindowTableFunction"
    }

    fn late_rows(&self) -> u64 {
        self.spec.metrics.late()
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.processing_time = Some(context.clock);
        self.changed = Changed::new(context.checkpointed);
        self.rows.limit(&context.memory);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("done", self.done)?;
        let (changed, removed) = self.changed.take();
        let ids = if snapshot.is_full() { self.kept() } else { changed };
        let mut columns = self.rows.take(&ids)?.columns().to_vec();
        let arrivals = ids.iter().map(|&id| self.arrivals[id as usize]);
        columns.push(Arc::new(Int64Array::from_iter_values(arrivals)));
        let kinds = ids.iter().map(|&id| self.kind(id).as_str());
        columns.push(Arc::new(StringViewArray::from_iter_values(kinds)));
        if self.spec.time == WindowTime::Processing {
            let times = ids.iter().map(|&id| self.times[id as usize]);
            columns.push(Arc::new(TimestampMillisecondArray::from_iter_values(times)));
        }
        let rows = state_batch(&self.state, columns, ids.len())?;
        let scope = Scope::Keyed(self.spec.keys.clone());
        snapshot.table(ROWS, scope, ids.into_iter().map(u64::from).collect(), rows, removed)
    }

    /// Rows come once more, in the order in which they came; nothing of it is late.
    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let pieces = state.table(ROWS)?;
        pieces.iter().try_for_each(|piece| check_state(&self.state, &piece.rows))?;
        let rows = concat_batches(&self.state, pieces.iter().map(|piece| &piece.rows))?;
        let width = self.rows.schema().fields().len();
        let arrivals = rows.column(width).as_primitive::<Int64Type>().values();
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|&row| arrivals[row as usize]);
        while !order.is_empty() {
            let later = order.split_off(order.len().min(PIECE));
            self.take_back(&take_record_batch(&rows, &UInt32Array::from(order))?, width)?;
            order = later;
        }
        let done = state.values::<i64>("done")?.into_iter();
        if self.spec.time == WindowTime::Processing {
            // Clocks of former tasks need not have been read at the same moment.
            self.done = done.min().unwrap_or(i64::MIN);
            let now = now_of(&self.processing_time)?;
            self.deadline = alarm(self.sessions.next_due(), &self.clock, now);
        } else {
            self.done = done.max().unwrap_or(i64::MIN);
        }
        Ok(())
    }

    fn stays(&self) -> Option<&'static str> {
        Some("the rows of open sessions in memory")
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.ingest = Some(chunk.ingest);
        match self.spec.time {
            WindowTime::Event(column) => {
                let (chunk, times) = window_times(chunk, column, &mut self.clock, &self.spec.metrics)?;
                self.add(chunk, &times)
            }
            WindowTime::Processing => {
                let now = self.follow_clock(out)?;
                let local = self.clock.local(now).max(self.done);
                let times = vec![local; chunk.len()];
                self.add(chunk, &times)?;
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
