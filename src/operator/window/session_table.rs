//! `SESSION` in FROM: rows are kept until their session is over, since only then its window is known.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};

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
use crate::state::{KeyTable, RowStore};

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
    /// Rows of each session, in order of arrival.
    members: Vec<Vec<u32>>,
    rows: RowStore,
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
        Ok(Self {
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
        self.keys.memory() + self.sessions.memory() + self.rows.memory() + members + self.kinds.capacity()
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
        let chunk = if late.is_empty() { chunk } else { chunk.take(&kept.into())? };
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

    fn give(&mut self, ids: &[u32], windows: &[(i64, i64)], out: &mut Output) -> Result<()> {
        let batch = self.rows.take(ids)?;
        let mut columns = batch.columns().to_vec();
        self.result.append(&mut columns, windows);
        let kinds: Vec<Kind> =
            ids.iter().map(|&id| self.kinds.get(id as usize).copied().unwrap_or(Kind::Insert)).collect();
        let kinds = match kinds.iter().all(|&k| k == Kind::Insert) {
            true => Kinds::Append,
            false => Kinds::Changes(kinds.into()),
        };
        for &id in ids {
            self.rows.free(id)?;
            if let Some(kind) = self.kinds.get_mut(id as usize) {
                *kind = Kind::Insert;
            }
        }
        let batch = self.result.batch(columns, ids.len())?;
        out.chunk(Chunk { batch, kinds, ingest: self.ingest.unwrap_or_else(Instant::now) });
        Ok(())
    }

    fn close(&mut self, bound: i64, out: &mut Output) -> Result<()> {
        let (mut ids, mut windows) = (Vec::new(), Vec::new());
        for over in self.sessions.over(bound) {
            for id in std::mem::take(&mut self.members[over.session as usize]) {
                ids.push(id);
                windows.push((over.start, over.end));
            }
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
        Ok(())
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
