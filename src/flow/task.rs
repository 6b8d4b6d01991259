//! A task: one reader, a flat vector of operators and one writer, driven by a loop on a compute thread.
//!
//! ```text
//!             ┌────────────────────── one thread, no queue ──────────────────────┐
//!  bytes ──>  reader ──> operator 0 ──> operator 1 ──> ... ──> writer ──> bytes
//!             └───▲────────▲──────────────▲──────────────────────────────────────┘
//!                 └────────┴── mailbox ───┘   woken by what waits elsewhere (sockets, timers)
//! ```
//! The loop takes what has arrived, gives what is woken its turn, reads when every operator has room, and
//! parks otherwise. Batches are greedy: whatever has arrived travels at once, and what the writer
//! buffers is flushed before the thread parks. Nothing ticks.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::job::JobMetrics;
use super::mailbox::Mailbox;
use super::message::{Chunk, Kinds, Message};
use super::operator::{Operator, OperatorContext, Output};
use crate::clock::Clock;
use crate::connector::{Read, Reader, ReaderContext, Sink, Source, Writer};
use crate::error::{Error, Result};

/// The mailbox token of the reader; operators have their index.
const READER: usize = usize::MAX;

/// Makes an operator for one task.
pub type BuildOperator = Arc<dyn Fn() -> Result<Box<dyn Operator>> + Send + Sync>;

/// What all tasks of one pipeline share: where rows come from, what is done, where they go.
#[derive(Clone)]
pub struct Pipeline {
    /// Where rows come from.
    pub source: Arc<dyn Source>,
    /// What is done to them, in order.
    pub operators: Vec<BuildOperator>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Number of tasks.
    pub parallelism: usize,
    /// Whether the rows of the sink never end by themselves, from this source or another one.
    pub endless: bool,
}

/// What a task needs from its job.
#[derive(Clone)]
pub struct TaskContext {
    /// Index of the task in its pipeline.
    pub task: usize,
    /// Where it is woken.
    pub mailbox: Mailbox,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// Counters of the job.
    pub metrics: Arc<JobMetrics>,
}

/// What the reader has reported so far.
#[derive(Default)]
struct Progress {
    bytes: u64,
    total: u64,
    skipped: u64,
}

/// A running task.
struct Task {
    reader: Box<dyn Reader>,
    operators: Vec<Box<dyn Operator>>,
    writer: Box<dyn Writer>,
    mailbox: Mailbox,
    metrics: Arc<JobMetrics>,
    /// One buffer an operator, kept between calls.
    outputs: Vec<Output>,
    progress: Progress,
    endless: bool,
    ended: bool,
}

/// Runs one task of a pipeline to its end. A task of an endless stream that is cancelled hands over what
/// it has written; what still waits in its operators is dropped.
pub fn run(pipeline: &Pipeline, writer: Box<dyn Writer>, context: TaskContext) -> Result<()> {
    let reader = pipeline.source.reader(ReaderContext {
        task: context.task,
        parallelism: pipeline.parallelism,
        waker: context.mailbox.waker(READER),
        runtime: context.runtime.clone(),
    })?;
    let mut operators = Vec::with_capacity(pipeline.operators.len());
    for (index, build) in pipeline.operators.iter().enumerate() {
        let mut operator = build()?;
        operator.open(OperatorContext {
            task: context.task,
            parallelism: pipeline.parallelism,
            waker: context.mailbox.waker(index),
            clock: context.clock.clone(),
        })?;
        operators.push(operator);
    }
    let outputs = operators.iter().map(|_| Output::default()).collect();
    Task {
        reader,
        operators,
        writer,
        mailbox: context.mailbox,
        metrics: context.metrics,
        outputs,
        progress: Default::default(),
        endless: pipeline.endless,
        ended: false,
    }
    .run()
}

impl Task {
    fn run(mut self) -> Result<()> {
        let (mut readable, mut exhausted) = (true, false);
        loop {
            let mail = self.mailbox.take();
            if mail.cancelled {
                if self.endless {
                    self.writer.finish()?;
                }
                return Err(Error::cancelled());
            }
            for token in mail.woken {
                if token == READER {
                    readable = true;
                } else {
                    self.with_operator(token, |operator, out| operator.wake(out))?;
                }
            }
            let deadline = self.fire_timers()?;
            if self.ended {
                return self.writer.finish();
            }
            if readable && !exhausted && self.has_room() {
                match self.reader.read()? {
                    Read::Batch(batch) => self.read(batch, Kinds::Append)?,
                    Read::Changes(batch, kinds) => self.read(batch, kinds)?,
                    Read::Pending => readable = false,
                    Read::End => {
                        exhausted = true;
                        self.report_progress();
                        self.deliver(0, Message::End)?;
                    }
                }
                continue;
            }
            self.writer.flush()?;
            // Mail that arrived during this round is still there: waiting returns at once.
            self.mailbox.park(deadline);
        }
    }

    /// Hands on what the reader gave.
    fn read(&mut self, batch: RecordBatch, kinds: Kinds) -> Result<()> {
        JobMetrics::add(&self.metrics.rows_in, batch.num_rows() as u64);
        self.report_progress();
        self.deliver(0, Message::Data(Chunk { batch, kinds, ingest: Instant::now() }))
    }

    fn has_room(&self) -> bool {
        self.operators.iter().all(|operator| operator.room() > 0)
    }

    /// Adds what the reader has consumed since the last time.
    fn report_progress(&mut self) {
        let (bytes, total) = self.reader.progress();
        let now = Progress { bytes, total: total.unwrap_or(0), skipped: self.reader.skipped() };
        JobMetrics::add(&self.metrics.bytes_in, now.bytes.saturating_sub(self.progress.bytes));
        JobMetrics::add(&self.metrics.bytes_total, now.total.saturating_sub(self.progress.total));
        JobMetrics::add(&self.metrics.records_skipped, now.skipped.saturating_sub(self.progress.skipped));
        self.progress = now;
    }

    /// Gives operators whose deadline has passed their turn; the next deadline.
    fn fire_timers(&mut self) -> Result<Option<Instant>> {
        let mut next: Option<Instant> = None;
        for index in 0..self.operators.len() {
            let Some(deadline) = self.operators[index].deadline() else { continue };
            let now = Instant::now();
            if deadline <= now {
                self.with_operator(index, |operator, out| operator.timer(now, out))?;
            }
            if let Some(deadline) = self.operators[index].deadline() {
                next = Some(next.map_or(deadline, |n| n.min(deadline)));
            }
        }
        Ok(next)
    }

    /// Calls one operator and delivers what it emits.
    fn with_operator(
        &mut self,
        index: usize,
        call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<()>,
    ) -> Result<()> {
        let mut out = std::mem::take(&mut self.outputs[index]);
        call(self.operators[index].as_mut(), &mut out)?;
        for message in out.drain() {
            self.deliver(index + 1, message)?;
        }
        self.outputs[index] = out;
        Ok(())
    }

    /// Hands a message to operator `index`, or to the writer behind the last one.
    fn deliver(&mut self, index: usize, message: Message) -> Result<()> {
        if index == self.operators.len() {
            return self.write(message);
        }
        self.with_operator(index, |operator, out| match message {
            Message::Data(chunk) => operator.chunk(chunk, out),
            Message::Watermark(watermark) => operator.watermark(watermark, out),
            Message::Status(status) => operator.status(status, out),
            Message::Barrier(barrier) => operator.barrier(barrier, out),
            Message::End => operator.end(out),
        })
    }

    fn write(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Data(chunk) => {
                self.writer.write(&chunk)?;
                JobMetrics::add(&self.metrics.rows_out, chunk.len() as u64);
                self.metrics.record_latency(chunk.ingest.elapsed(), chunk.len() as u64);
            }
            Message::End => self.ended = true,
            Message::Watermark(watermark) => self.metrics.note_watermark(watermark),
            Message::Status(_) | Message::Barrier(_) => {}
        }
        Ok(())
    }
}
