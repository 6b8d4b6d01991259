//! A task: readers, a tree of operators and one writer, driven by a loop on a compute thread.
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

use super::fragment::{self, Fragment, Port};
use super::job::JobMetrics;
use super::mailbox::Mailbox;
use super::merge::Merge;
use super::message::{Chunk, Message};
use super::operator::{Operator, OperatorContext, Output};
use crate::clock::Clock;
use crate::connector::{Read, Reader, ReaderContext, Writer};
use crate::error::{Error, Result};

/// Makes an operator for one task.
pub type BuildOperator = Arc<dyn Fn() -> Result<Box<dyn Operator>> + Send + Sync>;

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

/// A reader and where its rows go.
struct Head {
    reader: Box<dyn Reader>,
    to: Place,
    readable: bool,
    exhausted: bool,
    progress: Progress,
}

/// A port, and which of its senders one is.
#[derive(Clone, Copy)]
struct Place {
    operator: usize,
    input: usize,
    sender: usize,
}

/// A running task.
struct Task {
    heads: Vec<Head>,
    operators: Vec<Box<dyn Operator>>,
    /// Where each operator sends.
    places: Vec<Place>,
    /// What the senders of each operator have said, and last those of the writer.
    merges: Vec<Merge>,
    writer: Box<dyn Writer>,
    mailbox: Mailbox,
    metrics: Arc<JobMetrics>,
    /// One buffer an operator, kept between calls.
    outputs: Vec<Output>,
    endless: bool,
    ended: bool,
}

/// Runs one task of a fragment to its end. A task of an endless stream that is cancelled hands over what it
/// has written; what still waits in its operators is dropped.
pub fn run(fragment: &Fragment, endless: bool, writer: Box<dyn Writer>, context: TaskContext) -> Result<()> {
    let count = fragment.operators.len();
    let mut merges: Vec<Merge> = (0..=count).map(|_| Merge::default()).collect();
    let mut place = |port: Port| Place {
        operator: port.operator,
        input: port.input,
        sender: merges[port.operator].add(port.input),
    };
    let mut heads = Vec::with_capacity(fragment.heads.len());
    for (index, (head, port)) in fragment.heads.iter().enumerate() {
        let fragment::Head::Source(source) = head else {
            return Err(Error::unsupported("exchanges are not supported yet"));
        };
        let reader = source.reader(ReaderContext {
            task: context.task,
            parallelism: fragment.parallelism,
            waker: context.mailbox.waker(count + index),
            runtime: context.runtime.clone(),
        })?;
        let to = place(*port);
        heads.push(Head { reader, to, readable: true, exhausted: false, progress: Progress::default() });
    }
    let places: Vec<Place> = fragment.operators.iter().map(|stage| place(stage.to)).collect();
    let mut operators = Vec::with_capacity(count);
    for (index, stage) in fragment.operators.iter().enumerate() {
        let mut operator = (stage.build)()?;
        operator.open(OperatorContext {
            task: context.task,
            parallelism: fragment.parallelism,
            waker: context.mailbox.waker(index),
            clock: context.clock.clone(),
        })?;
        operators.push(operator);
    }
    let outputs = operators.iter().map(|_| Output::default()).collect();
    Task {
        heads,
        operators,
        places,
        merges,
        writer,
        mailbox: context.mailbox,
        metrics: context.metrics,
        outputs,
        endless,
        ended: false,
    }
    .run()
}

impl Task {
    fn run(mut self) -> Result<()> {
        let mut turn = 0;
        loop {
            let mail = self.mailbox.take();
            if mail.cancelled {
                if self.endless {
                    self.writer.finish()?;
                }
                return Err(Error::cancelled());
            }
            for token in mail.woken {
                match token.checked_sub(self.operators.len()) {
                    Some(head) => self.heads[head].readable = true,
                    None => self.with_operator(token, |operator, out| operator.wake(out))?,
                }
            }
            let deadline = self.fire_timers()?;
            if self.ended {
                return self.writer.finish();
            }
            // One chunk of each in turn.
            let count = self.heads.len();
            let next = (0..count).map(|i| (turn + i) % count).find(|&i| {
                let head = &self.heads[i];
                head.readable && !head.exhausted && self.has_room(head.to.operator)
            });
            if let Some(head) = next {
                turn = head + 1;
                self.read(head)?;
                continue;
            }
            self.writer.flush()?;
            // Mail that arrived during this round is still there: waiting returns at once.
            self.mailbox.park(deadline);
        }
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let head = &mut self.heads[index];
        let to = head.to;
        let read = head.reader.read()?;
        let chunk = match read {
            Read::Batch(batch) => Chunk::append(batch, Instant::now()),
            Read::Changes(batch, kinds) => Chunk { batch, kinds, ingest: Instant::now() },
            Read::Pending => {
                head.readable = false;
                return Ok(());
            }
            Read::End => {
                head.exhausted = true;
                self.report_progress(index);
                return self.deliver(to, Message::End);
            }
        };
        JobMetrics::add(&self.metrics.rows_in, chunk.len() as u64);
        self.report_progress(index);
        self.deliver(to, Message::Data(chunk))
    }

    /// Whether all operators from one to the writer take more.
    fn has_room(&self, mut operator: usize) -> bool {
        while operator < self.operators.len() {
            if self.operators[operator].room() == 0 {
                return false;
            }
            operator = self.places[operator].operator;
        }
        true
    }

    /// Adds what a reader has consumed since the last time.
    fn report_progress(&mut self, index: usize) {
        let head = &mut self.heads[index];
        let (bytes, total) = head.reader.progress();
        let now = Progress { bytes, total: total.unwrap_or(0), skipped: head.reader.skipped() };
        let before = std::mem::replace(&mut head.progress, now);
        let now = &head.progress;
        JobMetrics::add(&self.metrics.bytes_in, now.bytes.saturating_sub(before.bytes));
        JobMetrics::add(&self.metrics.bytes_total, now.total.saturating_sub(before.total));
        JobMetrics::add(&self.metrics.records_skipped, now.skipped.saturating_sub(before.skipped));
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
        let to = self.places[index];
        for message in out.drain() {
            self.deliver(to, message)?;
        }
        self.outputs[index] = out;
        Ok(())
    }

    /// Hands a message to an operator, or to the writer behind all of them.
    fn deliver(&mut self, to: Place, message: Message) -> Result<()> {
        let index = to.operator;
        let is_writer = index == self.operators.len();
        let merge = &mut self.merges[index];
        let merged = match message {
            Message::Data(chunk) if is_writer => return self.write(&chunk),
            Message::Data(chunk) => {
                return self.with_operator(index, |operator, out| operator.chunk_at(to.input, chunk, out));
            }
            Message::Barrier(_) if is_writer => return Ok(()),
            Message::Barrier(barrier) => {
                return self.with_operator(index, |operator, out| operator.barrier(barrier, out));
            }
            Message::Watermark(watermark) => merge.watermark(to.sender, watermark),
            Message::Status(status) => merge.status(to.sender, status),
            Message::End => merge.end(to.sender),
        };
        if is_writer {
            self.ended |= merged.ended;
            merged.all.iter().for_each(|watermark| self.metrics.note_watermark(*watermark));
            return Ok(());
        }
        let inputs = merge.has_inputs();
        self.with_operator(index, |operator, out| {
            if let Some((input, watermark)) = merged.input.filter(|_| inputs) {
                operator.watermark_at(input, watermark, out)?;
            }
            if let Some(watermark) = merged.all {
                operator.watermark(watermark, out)?;
            }
            if let Some(status) = merged.status {
                operator.status(status, out)?;
            }
            if let Some(input) = merged.input_ended.filter(|_| inputs) {
                operator.end_at(input, out)?;
            }
            if merged.ended { operator.end(out) } else { Ok(()) }
        })
    }

    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        self.writer.write(chunk)?;
        JobMetrics::add(&self.metrics.rows_out, chunk.len() as u64);
        self.metrics.record_latency(chunk.ingest.elapsed(), chunk.len() as u64);
        Ok(())
    }
}
