//! OVER: every row with what its calls give over the rows before it.
//!
//! ```text
//!  rows ──> waiting, by event time ── watermark ──> rows in order ──> calls ──> row ++ one column a call
//!  rows by processing time ────────────────────────^ (nothing waits)
//! ```
//! By event time a row waits until the watermark has passed it: then all rows before it are known, and the
//! output never changes. Rows of one instant are peers: in a RANGE frame each of them sees all of them.
//!
//! | frame | kept of a partition |
//! |---|---|
//! | UNBOUNDED PRECEDING | one accumulator a call |
//! | n PRECEDING (rows) | the accumulators and the arguments of the last n + 1 rows, to take them back |
//! | interval PRECEDING | the same of the rows in the interval; gone when the watermark has left them behind |
//!
//! LAG keeps its last n values, ROW_NUMBER and RANK a counter.
//!
//! Checkpoints have the partitions, the rows in frames and those that wait.
//!
//! A row is late when its partition's result can no longer take it in: for unbounded frames at or before the
//! watermark, for bounded ones at or before the last moment of its partition (as in Flink). That is the time of the last
//! row that was emitted, for interval frames also of a timer that has gone off; it is forgotten with the
//! partition.

mod calls;
mod checkpoint;
mod frame;
mod lag;
mod layout;
mod ordered;
pub(super) mod queue;
#[cfg(test)]
mod tests;
mod timers;
mod trail;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

pub use self::ordered::OrderedOver;

use self::calls::Calls;
use self::queue::TimeQueue;
use self::timers::Timers;
use super::aggregate::AggregateCall;
use super::event_time::millis;
use super::ranking::SortColumn;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Changed, Expiry, KeyTable, Restored, RowStore, Snapshot};

/// Rows that are computed at once.
const BATCH_ROWS: usize = 8192;

/// What orders the rows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverOrder {
    /// An event time column.
    EventTime(usize),
    /// Arrival.
    ProcessingTime,
    /// Any columns; rows may come in between and be taken back ([`OrderedOver`]).
    Columns(Vec<SortColumn>),
}

/// Which rows a row's aggregates see, up to the row itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// All before it, one by one.
    UnboundedRows,
    /// All before it, and its peers.
    UnboundedRange,
    /// So many before it.
    Rows(u64),
    /// Those not older than so many milliseconds, and its peers.
    Range(i64),
}

/// One column that OVER adds.
#[derive(Debug, Clone)]
pub enum OverCall {
    /// An aggregate over the frame.
    Aggregate(AggregateCall),
    /// The number of the row in its partition, from 1.
    RowNumber,
    /// One more than the number of rows before its peers.
    Rank,
    /// One more than the number of different instants before it.
    DenseRank,
    /// The value `offset` rows before; the default where there is none.
    Lag {
        /// Over the input.
        value: Arc<dyn PhysicalExpr>,
        /// How many rows back; 0 is the row itself.
        offset: usize,
        /// Over the input; NULL without.
        default: Option<Arc<dyn PhysicalExpr>>,
        /// Rows whose value is NULL do not count.
        ignore_nulls: bool,
    },
}

/// An OVER aggregation that was planned.
#[derive(Debug, Clone)]
pub struct OverSpec {
    /// PARTITION BY, as positions in the input.
    pub partition: Vec<usize>,
    /// ORDER BY.
    pub order: OverOrder,
    /// The frame of all aggregates; LAG and ranks need an unbounded one.
    pub frame: Frame,
    /// One a column that is added.
    pub calls: Vec<OverCall>,
    /// The input holds more than inserts; only with [`OverOrder::Columns`].
    pub input_changes: bool,
    /// `-U` goes before `+U`.
    pub emit_before: bool,
    /// Results come when the input has ended, each row once; only with [`OverOrder::Columns`].
    pub at_end: bool,
    /// `table.exec.state.ttl`.
    pub state_ttl: Option<Duration>,
    /// Schema of the input.
    pub input: SchemaRef,
    /// The input's columns, then one a call.
    pub schema: SchemaRef,
}

/// The operator of one task, for rows ordered by time.
#[derive(Debug)]
pub struct OverAggregate {
    spec: OverSpec,
    keys: KeyTable,
    /// Rows that wait for the watermark.
    rows: RowStore,
    queue: TimeQueue,
    calls: Calls,
    /// Up to which time rows of a partition are late.
    last: Vec<i64>,
    /// When partitions are forgotten; interval frames by event time.
    timers: Option<Timers>,
    watermark: Option<i64>,
    late: u64,
    expiry: Option<Expiry>,
    clock: Option<Arc<dyn Clock>>,
    slots: Vec<u32>,
    /// Slots.
    changed: Changed,
    /// Rows that wait, by id: when they came.
    arrived: Vec<i64>,
    /// `arrived` is noted.
    keeps_order: bool,
    arrivals: i64,
    /// Ids of rows that wait.
    changed_rows: Changed,
}

impl OverAggregate {
    /// An operator for one task.
    pub fn new(spec: OverSpec) -> Result<Self> {
        if matches!(spec.order, OverOrder::Columns(_)) || spec.input_changes {
            return Err(Error::internal("rows in another order than that of time need an ordered OVER"));
        }
        let bounded = matches!(spec.frame, Frame::Rows(_) | Frame::Range(_));
        if bounded && spec.calls.iter().any(|c| !matches!(c, OverCall::Aggregate(_))) {
            // What leaves a frame is forgotten.
            return Err(Error::internal("LAG and ranks look further back than a bounded frame"));
        }
        let types: Vec<_> = spec.partition.iter().map(|&c| spec.input.field(c).data_type().clone()).collect();
        let own = spec.state_ttl.filter(|t| !t.is_zero());
        let (ttl, timers) = match (&spec.order, spec.frame) {
            // Event time says when an interval is over.
            (OverOrder::EventTime(_), Frame::Range(range)) => (None, Some(Timers::new(range))),
            // By processing time no watermark does.
            (_, Frame::Range(range)) => {
                let over = Duration::from_millis(range.unsigned_abs().saturating_mul(2).max(1));
                (Some(own.map_or(over, |own| own.min(over))), None)
            }
            _ => (own, None),
        };
        Ok(Self {
            keys: KeyTable::new(&types)?,
            rows: RowStore::new(spec.input.clone()),
            queue: TimeQueue::default(),
            calls: Calls::new(&spec)?,
            last: Vec::new(),
            timers,
            watermark: None,
            late: 0,
            expiry: Expiry::new(ttl),
            clock: None,
            slots: Vec::new(),
            changed: Changed::default(),
            arrived: Vec::new(),
            keeps_order: false,
            arrivals: 0,
            changed_rows: Changed::default(),
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        let timers = self.timers.as_ref().map_or(0, Timers::memory);
        let last = self.last.capacity() * size_of::<i64>();
        self.keys.memory() + self.rows.memory() + self.queue.memory() + self.calls.memory() + timers + last
    }

    fn partition(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.spec.partition.iter().map(|&c| batch.column(c).clone()).collect()
    }

    /// Rows of one instant see each other.
    fn has_peers(&self) -> bool {
        let ranges = matches!(self.spec.frame, Frame::UnboundedRange | Frame::Range(_));
        match self.spec.order {
            OverOrder::EventTime(_) => ranges,
            // Arrival orders rows one by one; only an interval looks at the clock.
            _ => matches!(self.spec.frame, Frame::Range(_)),
        }
    }

    /// Leaves out rows that are late.
    fn timely(&mut self, chunk: Chunk, times: Vec<i64>) -> Result<(Chunk, Vec<i64>)> {
        let mut keep = vec![true; chunk.len()];
        match self.spec.frame {
            Frame::UnboundedRows | Frame::UnboundedRange => {
                let Some(watermark) = self.watermark.filter(|w| times.iter().any(|t| t <= w)) else {
                    return Ok((chunk, times));
                };
                times.iter().zip(&mut keep).for_each(|(&t, keep)| *keep = t > watermark);
            }
            Frame::Rows(_) | Frame::Range(_) => {
                // What lies behind the watermark is behind all that was emitted.
                if !self.watermark.is_some_and(|w| times.iter().any(|&t| t <= w)) {
                    return Ok((chunk, times));
                }
                let mut slots = Vec::new();
                self.keys.find(&self.partition(&chunk.batch), chunk.len(), &mut slots)?;
                let expiry = self.expiry.as_ref().zip(self.clock.as_ref().map(|clock| clock.now_millis()));
                for (row, slot) in slots.into_iter().enumerate() {
                    let known = slot.filter(|&slot| {
                        // Whether it was looked through already says nothing.
                        expiry.is_none_or(|(expiry, now)| !expiry.is_expired(slot, now))
                    });
                    keep[row] = known.is_none_or(|slot| times[row] > self.last[slot as usize]);
                }
            }
        }
        let rows: Vec<u32> = (0..chunk.len() as u32).filter(|&r| keep[r as usize]).collect();
        self.late += (chunk.len() - rows.len()) as u64;
        let times = rows.iter().map(|&r| times[r as usize]).collect();
        Ok((chunk.take(&rows.into())?, times))
    }

    /// Forgets partitions whose time to live is over.
    fn expire(&mut self) {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return };
        let now = clock.now_millis();
        let mut expired: Vec<u32> =
            self.slots.iter().copied().filter(|&s| expiry.is_expired(s, now)).collect();
        expired.sort_unstable();
        expired.dedup();
        for &slot in &self.slots {
            expiry.touch(slot, now);
        }
        let idle = expiry.sweep(now);
        for slot in expired {
            self.forget(slot, false);
        }
        for slot in idle {
            self.forget(slot, true);
        }
    }

    /// Empties a partition; `remove`: and gives its slot away.
    fn forget(&mut self, slot: u32, remove: bool) {
        self.calls.reset(slot);
        self.last[slot as usize] = i64::MIN;
        if remove {
            self.keys.remove(slot);
            self.changed.remove(slot);
            if let Some(expiry) = &mut self.expiry {
                expiry.forget(slot);
            }
        }
    }

    /// Makes room for the partitions there are.
    fn resize(&mut self) {
        let capacity = self.keys.capacity();
        if self.last.len() < capacity {
            self.last.resize(capacity, i64::MIN);
            self.calls.resize(capacity);
            if let Some(timers) = &mut self.timers {
                timers.resize(capacity);
            }
        }
    }

    /// Keeps rows until the watermark has passed them.
    fn wait(&mut self, batch: &RecordBatch, times: Vec<i64>) -> Result<()> {
        let mut ids = Vec::with_capacity(times.len());
        self.rows.push(batch, &mut ids)?;
        if self.keeps_order {
            for &id in &ids {
                if self.arrived.len() <= id as usize {
                    self.arrived.resize(id as usize + 1, 0);
                }
                self.arrived[id as usize] = self.arrivals;
                self.arrivals += 1;
                self.changed_rows.mark(id);
            }
        }
        self.queue.push(times.into_iter().zip(ids).collect());
        Ok(())
    }

    /// Computes rows that are in the order of their times, and emits them.
    fn compute(
        &mut self,
        batch: RecordBatch,
        times: &[i64],
        ingest: Instant,
        out: &mut Output,
    ) -> Result<()> {
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&self.partition(&batch), batch.num_rows(), &mut slots)?;
        self.slots = slots;
        self.resize();
        self.expire();
        let by_time = matches!(self.spec.order, OverOrder::EventTime(_));
        let peers = self.has_peers();
        let mut columns = batch.columns().to_vec();
        columns.extend(self.calls.compute(&batch, &self.slots, times, peers, by_time)?);
        for (&slot, &time) in self.slots.iter().zip(times) {
            self.last[slot as usize] = time;
            self.changed.mark(slot);
        }
        out.chunk(Chunk::append(RecordBatch::try_new(self.spec.schema.clone(), columns)?, ingest));
        Ok(())
    }

    /// Emits what the watermark has passed.
    fn release(&mut self, watermark: i64, out: &mut Output) -> Result<()> {
        loop {
            let ready = self.queue.pop(watermark, BATCH_ROWS);
            if ready.is_empty() {
                return Ok(());
            }
            let ids: Vec<u32> = ready.iter().map(|r| r.1).collect();
            let times: Vec<i64> = ready.iter().map(|r| r.0).collect();
            let batch = self.rows.take(&ids)?;
            for id in ids {
                self.rows.free(id)?;
                self.changed_rows.remove(id);
            }
            self.compute(batch, &times, crate::clock::instant(), out)?;
        }
    }

    /// Plans when the partitions of rows are forgotten, and has them known until then.
    fn plan_forgetting(&mut self, batch: &RecordBatch, times: &[i64]) -> Result<()> {
        if self.timers.is_none() || times.is_empty() {
            return Ok(());
        }
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&self.partition(batch), batch.num_rows(), &mut slots)?;
        self.resize();
        if let Some(timers) = &mut self.timers {
            for (&slot, &time) in slots.iter().zip(times) {
                if timers.plan(slot, time) {
                    self.changed.mark(slot);
                }
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// Timers go off: forgets partitions of interval frames that the watermark has left behind.
    fn clean(&mut self, watermark: i64) {
        while let Some((slot, moment)) = self.timers.as_mut().and_then(|timers| timers.next(watermark)) {
            match moment {
                Some(moment) => {
                    let last = &mut self.last[slot as usize];
                    *last = moment.max(*last);
                    self.changed.mark(slot);
                }
                None => self.forget(slot, true),
            }
        }
    }
}

impl Operator for OverAggregate {
    fn name(&self) -> &'static str {
        "OverAggregate"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.changed = Changed::new(context.checkpointed);
        self.changed_rows = Changed::new(context.checkpointed);
        self.keeps_order = context.keeps_order();
        self.calls.open(&context);
        self.rows.limit(&context.memory);
        self.clock = Some(context.clock);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.write(snapshot)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        self.read(state)
    }

    fn cold(&self) -> Option<ColdSpec> {
        if self.spec.partition.is_empty() {
            return None;
        }
        let (keys, tables) = (vec![self.spec.partition.clone()], checkpoint::TABLES);
        Some(match self.timers.is_some() {
            true => ColdSpec::by_key_and_time(keys, tables),
            false => {
                let ttl = self.expiry.as_ref().map(|expiry| Duration::from_millis(expiry.ttl() as u64));
                ColdSpec::by_key(keys, tables, ttl)
            }
        })
    }

    fn stays(&self) -> Option<&'static str> {
        let bounded =
            self.spec.partition.is_empty() && matches!(self.spec.frame, Frame::Rows(_) | Frame::Range(_));
        bounded.then_some("the frame in memory, because there is no PARTITION BY")
    }

    fn due(&self, table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        self.due_of(table, rows)
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let OverOrder::EventTime(column) = self.spec.order else {
            let clock = self.clock.as_ref().ok_or_else(|| Error::internal("OVER was not opened"))?;
            let times = vec![clock.now_millis(); chunk.len()];
            return self.compute(chunk.batch, &times, chunk.ingest, out);
        };
        let times = millis(chunk.batch.column(column), "OVER (ORDER BY ...)")?;
        let (chunk, times) = self.timely(chunk, times)?;
        self.plan_forgetting(&chunk.batch, &times)?;
        self.wait(&chunk.batch, times)
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        // What was told before the job was restored is told again.
        if self.watermark < Some(watermark.millis()) {
            self.watermark = Some(watermark.millis());
            self.release(watermark.millis(), out)?;
            self.clean(watermark.millis());
        }
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}
