//! A task: readers and receivers, a tree of operators and one writer or sender, driven by a loop on a
//! compute thread.
//!
//! ```text
//!             ┌────────────────────── one thread, no queue ──────────────────────┐
//!  bytes ──>  reader ───> operator 0 ──┐                                         │
//!             │                        ├─> operator 2 ──> ... ──> writer or ─────┼──> bytes, other tasks
//!  tasks ──>  receiver ─> operator 1 ──┘                          sender         │
//!             └───▲─────────▲─────────────▲─────────────────────────▲────────────┘
//!                 └─────────┴── mailbox ──┴─────────────────────────┘
//!                     woken by what waits elsewhere (sockets, timers, other tasks)
//! ```
//! The loop takes what has arrived, gives what is woken its turn, reads when every operator on the way has
//! room, from each head by turns, and parks otherwise. Batches are greedy: whatever has arrived travels at once, but for
//! what gathers (`gather`) behind rows that have just gone, and what the writer buffers is flushed before the thread
//! parks. Nothing ticks.
//!
//! Where several streams come together, the task merges their watermarks, status and ends ([`Merge`]);
//! an operator sees each once.
//!
//! # Checkpoints
//! ```text
//!  mailbox: barrier 7 ──> reader: position ──┐
//!  exchange: ... rows, barrier 7 ────────────┴─> all heads have it ─> barrier 7 to the tail
//!                                                                  └> snapshot of each operator ─> report
//! ```
//! A barrier begins at the readers, each at the row it stands at, and travels in the exchanges. It is passed on when
//! all heads that have not ended have it. What an operator holds back belongs to its snapshot, so a barrier
//! waits for nobody; and while one is on its way the task reads up to it even if an operator has no room. What it
//! takes so keeps its place where it waited, in an exchange or with the other readers of its source, until there is
//! room: it does not become more with each checkpoint. A writer with requests in flight does not hold a barrier up
//! either: the report waits for them, rows go on.
//! A task that has ended reports what is left of it, once, and is not asked again.

mod barrier;
mod gather;
mod open;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::gather::Gather;
use super::exchange::{Exchange, Received, Receiver, Sender};
use super::fragment::Fragment;
use super::job::JobMetrics;
use super::mailbox::Mailbox;
use super::merge::{Merge, Merged};
use super::message::{Barrier, Chunk, Message, Status};
use super::metrics::StageMetrics;
use super::operator::{Operator, Output, Splits};
use super::sink::Writer;
use super::source::{Positions, Read, Reader};
use crate::clock::{Clock, instant};
use crate::error::{Error, Result};
use crate::state::Memory;
use crate::state::checkpoint::{Checkpoint, TaskCut};

/// The mailbox token of the tail. Operators have their index, heads theirs behind [`HEADS`].
pub(crate) const TAIL: usize = usize::MAX;
const HEADS: usize = usize::MAX / 2;

/// How long a writer of an endless stream may take for its requests in flight when the job is cancelled.
const CLOSING: Duration = Duration::from_secs(5);

/// The sizes of states are told at most so often, beside checkpoints.
const WEIGHED: Duration = Duration::from_millis(250);

/// Makes an operator for one task.
pub type BuildOperator = Arc<dyn Fn() -> Result<Box<dyn Operator>> + Send + Sync>;

/// Where the rows of a task go.
pub enum TaskTail {
    /// To a sink.
    Writer(Box<dyn Writer>),
    /// To the exchange of its fragment, as the sender of this number.
    Sender(usize),
}

/// One task of a fragment, before it runs.
pub struct TaskPlan {
    /// What it runs.
    pub fragment: Arc<Fragment>,
    /// Index of the task in its fragment.
    pub task: usize,
    /// Where its rows go.
    pub tail: TaskTail,
    /// The exchanges of the job by number.
    pub exchanges: Arc<HashMap<usize, Exchange>>,
    /// Whether the rows of the sink never end by themselves, from this source or another one.
    pub endless: bool,
    /// Counters: of the heads, the operators and the tail of the fragment.
    pub stages: Vec<Arc<StageMetrics>>,
    /// What it comes back from.
    pub restored: Option<Arc<Checkpoint>>,
}

/// What a task gives for a checkpoint.
#[derive(Debug)]
pub struct Report {
    /// Index of the task in the job.
    pub index: usize,
    /// For which checkpoint; `None`: it has ended, and this holds for all that come.
    pub epoch: Option<u64>,
    /// Its state.
    pub cut: TaskCut,
    /// Positions that changed, by source.
    pub positions: Vec<(String, Positions)>,
    /// What its writer told, and of which sink it is.
    pub pending: Option<(String, Vec<serde_json::Value>)>,
    /// From the first head that had the barrier to the last, and what the snapshot took.
    pub aligned: Duration,
    /// How long taking the state out stood in the way of rows.
    pub took: Duration,
}

/// How a task takes part in checkpoints.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// Index of the task in the job.
    pub index: usize,
    /// Where reports go.
    pub reports: crossbeam_channel::Sender<Report>,
}

/// What a task needs from its job.
#[derive(Clone)]
pub struct TaskContext {
    /// Where it is woken.
    pub mailbox: Mailbox,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// Counters of the job.
    pub metrics: Arc<JobMetrics>,
    /// For a job with checkpoints.
    pub reporter: Option<Reporter>,
    /// What state may take in memory.
    pub memory: Arc<Memory>,
    /// How long rows of sources that never end may gather.
    pub gather: Duration,
}

/// What a reader has reported so far.
#[derive(Default)]
struct Progress {
    bytes: u64,
    total: u64,
    skipped: u64,
}

/// Where messages go: an input of an operator, and which of its senders they come from. The tail stands
/// behind the last operator.
#[derive(Clone, Copy)]
struct Place {
    operator: usize,
    input: usize,
    sender: usize,
}

enum Input {
    Reader {
        id: String,
        reader: Box<dyn Reader>,
        progress: Progress,
        splits: Splits,
    },
    Receiver(Receiver),
    /// It has ended, or nobody wants its rows.
    Done,
}

struct HeadState {
    input: Input,
    to: Place,
    /// Operators between it and the tail.
    path: Vec<usize>,
    /// It may have something.
    readable: bool,
    /// How its rows gather.
    gather: Gather,
    /// A barrier that its reader is to be cut for.
    cutting: Option<Barrier>,
    /// A barrier has come; nothing is read before the other heads have it.
    barrier: Option<Barrier>,
    /// Where it was cut.
    positions: Positions,
    metrics: Arc<StageMetrics>,
}

impl HeadState {
    fn is_done(&self) -> bool {
        matches!(self.input, Input::Done)
    }

    /// It may have something.
    fn is_readable(&self) -> bool {
        self.readable && !self.is_done()
    }
}

struct Step {
    id: String,
    operator: Box<dyn Operator>,
    /// Kept between calls.
    out: Output,
    to: Place,
    /// Operators between it and the tail.
    path: Vec<usize>,
    /// It was woken and has not been called yet.
    woken: bool,
    /// It has emitted its end.
    ended: bool,
    /// Its late rows that were reported.
    late: u64,
    /// Its dropped rows that were reported.
    dropped: u64,
    metrics: Arc<StageMetrics>,
}

enum TailState {
    Writer(Box<dyn Writer>, String),
    Sender(Sender),
}

/// What a [step](Task::step) came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// There may be more to do at once.
    Worked,
    /// Nothing to do until the mailbox has something, or this time has come.
    Parked(Option<Instant>),
    /// The task is done.
    Ended,
}

/// A running task.
pub struct Task {
    task: usize,
    tasks: usize,
    heads: Vec<HeadState>,
    /// The head whose turn it is.
    turn: usize,
    steps: Vec<Step>,
    /// What comes together at each operator, and at the tail.
    merges: Vec<Merge>,
    tail: TailState,
    tail_metrics: Arc<StageMetrics>,
    mailbox: Mailbox,
    metrics: Arc<JobMetrics>,
    endless: bool,
    ended: bool,
    reporter: Option<Reporter>,
    /// The last checkpoint that was told to begin.
    announced: Option<Barrier>,
    /// The last checkpoint that this task has passed on.
    passed: u64,
    /// When the first head had the barrier that is on its way.
    lining_up: Option<Instant>,
    /// The next snapshot is a full one.
    full: bool,
    /// A barrier with nothing behind it was passed on.
    stopped: bool,
    /// Positions that were not reported yet.
    left: Vec<(String, Positions)>,
    /// When the sizes of states were told.
    weighed: Option<Instant>,
    /// A report that waits for the writer's requests.
    held: Option<Held>,
    /// The writer has finished.
    finished: bool,
    /// The report of its end is made.
    leaving: bool,
    /// It is cancelled, and gives its writer time until then.
    closing: Option<Instant>,
}

/// A report that the writer's part is missing of.
struct Held {
    report: Report,
    last: bool,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("task", &self.task).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Runs one task of a fragment to its end. A task of an endless stream that is cancelled hands over what
/// it has written; what still waits in its operators is dropped.
pub fn run(plan: TaskPlan, context: TaskContext) -> Result<()> {
    Task::open(plan, context)?.run()
}

impl Task {
    fn run(mut self) -> Result<()> {
        loop {
            match self.step() {
                Ok(Stepped::Worked) => {}
                Ok(Stepped::Parked(deadline)) => self.park(deadline),
                Ok(Stepped::Ended) => return Ok(()),
                Err(e) => {
                    self.report_late();
                    return Err(e);
                }
            }
        }
    }

    /// Waits for mail. Mail that arrived during this round is still there: waiting returns at once.
    fn park(&self, deadline: Option<Instant>) {
        // Heads that could be read if there were room behind them.
        let blocked: Vec<usize> = (0..self.heads.len()).filter(|&h| self.is_blocked(h)).collect();
        let began = Instant::now();
        match self.quiet(began) {
            Some((quiet, until)) => self.mailbox.park_quietly(deadline, quiet, until),
            None => self.mailbox.park(deadline),
        }
        blocked.iter().for_each(|&h| self.heads[h].metrics.add_blocked(began.elapsed()));
    }

    /// Takes what is in the mailbox, gives what is woken its turn, and reads once.
    pub fn step(&mut self) -> Result<Stepped> {
        let mail = self.mailbox.take();
        if mail.cancelled || self.closing.is_some() {
            return self.close();
        }
        for token in mail.woken {
            match token {
                TAIL => self.wake_tail()?,
                head if head >= HEADS => self.heads[head - HEADS].woken(mail.hurried.contains(&head)),
                operator => self.steps[operator].woken = true,
            }
        }
        if let Some(barrier) = mail.barrier {
            self.announce(barrier)?;
        }
        self.cut_readers()?;
        if mail.drain {
            self.drain()?;
        }
        self.wake_operators()?;
        let next = self.gathered();
        let deadline = self.fire_timers()?;
        if self.ended {
            if self.held.is_some() || !self.finish_writer()? {
                return Ok(Stepped::Parked(deadline));
            }
            return self.finish();
        }
        if let TailState::Sender(sender) = &self.tail
            && sender.is_abandoned()
        {
            return self.finish();
        }
        self.settle_debts();
        if let Some(head) = self.next_head() {
            self.read(head)?;
            return Ok(Stepped::Worked);
        }
        if self.has_due() {
            return Ok(Stepped::Worked);
        }
        let mut deadline = deadline;
        if let TailState::Writer(writer, _) = &mut self.tail {
            writer.flush()?;
            // It may have opened now what is to be closed in time.
            deadline = deadline.into_iter().chain(writer.deadline()).min();
        }
        self.report_late();
        if self.weighed.is_none_or(|at| at.elapsed() >= WEIGHED) {
            self.weigh();
        }
        Ok(Stepped::Parked(deadline.into_iter().chain(next).min()))
    }

    /// What the writer waited for has happened: room, or the end of requests that a checkpoint waits for.
    fn wake_tail(&mut self) -> Result<()> {
        if let TailState::Writer(writer, _) = &mut self.tail {
            writer.wake()?;
        }
        self.report_held()
    }

    /// The input has ended; false while the writer has requests in flight.
    fn finish_writer(&mut self) -> Result<bool> {
        match &mut self.tail {
            TailState::Writer(writer, _) if !self.finished => self.finished = writer.finish()?.is_ready(),
            _ => self.finished = true,
        }
        Ok(self.finished)
    }

    /// The task is cancelled. One of an endless stream without checkpoints hands over what it has written before; with
    /// checkpoints, what counts is what the last one has.
    fn close(&mut self) -> Result<Stepped> {
        let until = *self.closing.get_or_insert_with(|| instant() + CLOSING);
        let hands_over = self.endless && self.reporter.is_none();
        if hands_over && let TailState::Writer(writer, _) = &mut self.tail {
            writer.wake()?;
            if writer.deadline().is_some_and(|due| due <= instant()) {
                writer.timer(instant())?;
            }
            if instant() < until && writer.finish()?.is_pending() {
                return Ok(Stepped::Parked(Some(writer.deadline().map_or(until, |due| due.min(until)))));
            }
        }
        Err(Error::cancelled())
    }

    /// What leads to the tail takes rows.
    fn has_room(&self, path: &[usize]) -> bool {
        path.iter().all(|&o| self.steps[o].ended || self.steps[o].operator.room() > 0)
            && match &self.tail {
                TailState::Writer(writer, _) => writer.room(),
                TailState::Sender(sender) => sender.has_room(),
            }
    }

    /// Calls operators that were woken, unless what is behind them has no room: that is woken itself when
    /// it has.
    fn wake_operators(&mut self) -> Result<()> {
        for i in 0..self.steps.len() {
            if self.steps[i].woken && self.has_room(&self.steps[i].path) {
                self.steps[i].woken = false;
                self.call(i, 0, |operator, out| operator.wake(out))?;
            }
        }
        Ok(())
    }

    /// Whether an operator that was woken, and had no room behind it then, has it now: what is behind it may have been
    /// woken, or had its timer, in the same round.
    fn has_due(&self) -> bool {
        self.steps.iter().any(|step| step.woken && self.has_room(&step.path))
    }

    /// Gives operators whose deadline has passed their turn; the next deadline.
    fn fire_timers(&mut self) -> Result<Option<Instant>> {
        let mut next: Option<Instant> = None;
        if let TailState::Writer(writer, _) = &mut self.tail {
            if let Some(due) = writer.deadline() {
                let now = instant();
                if due <= now {
                    writer.timer(now)?;
                }
            }
            next = writer.deadline();
        }
        for i in 0..self.steps.len() {
            let deadline = |step: &Step| step.operator.deadline().filter(|_| !step.ended);
            let Some(due) = deadline(&self.steps[i]) else { continue };
            let now = instant();
            let (mut unread, mut blocked) = (false, false);
            if due <= now {
                let leads = |h: &usize| self.heads[*h].is_readable() && self.heads[*h].path.contains(&i);
                for head in (0..self.heads.len()).filter(leads) {
                    unread = true;
                    blocked |= self.is_blocked(head);
                }
            }
            if due <= now && !(unread && self.steps[i].operator.postpone(now, blocked)) {
                self.call(i, 0, |operator, out| operator.timer(now, out))?;
            }
            if let Some(due) = deadline(&self.steps[i]) {
                next = Some(next.map_or(due, |n| n.min(due)));
            }
        }
        Ok(next)
    }

    /// The head to be read, each by turns.
    fn next_head(&mut self) -> Option<usize> {
        let count = self.heads.len();
        let expecting = self.is_expecting_barrier();
        let ready = |i: &usize| {
            let head = &self.heads[*i];
            // What lies before a barrier is finite: in an exchange, or with a reader that could not be cut yet.
            let urgent = match head.input {
                Input::Reader { .. } => head.cutting.is_some(),
                _ => expecting,
            };
            head.readable
                && head.barrier.is_none()
                && !head.is_done()
                && (urgent || self.has_room(&head.path))
        };
        if self.stopped {
            return None;
        }
        let head = (0..count).map(|turn| (self.turn + turn) % count).find(ready)?;
        self.turn = head + 1;
        Some(head)
    }

    fn is_blocked(&self, head: usize) -> bool {
        let head = &self.heads[head];
        head.readable && head.barrier.is_none() && !head.is_done() && !self.has_room(&head.path)
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let owes = self.is_expecting_barrier() && !self.has_room(&self.heads[index].path);
        let head = &mut self.heads[index];
        let to = head.to;
        if let Input::Receiver(receiver) = &mut head.input
            && owes
        {
            receiver.owe(true);
        }
        let message = match &mut head.input {
            Input::Reader { reader, .. } => {
                let started = Instant::now();
                let read = reader.read()?;
                let now = Instant::now();
                let chunk = match read {
                    Read::Batch(batch) => Chunk::append(batch, now),
                    Read::Changes(batch, kinds) => Chunk { batch, kinds, ingest: now },
                    Read::Pending => {
                        head.readable = false;
                        head.gather.pending(reader.deadline());
                        return self.tell_splits(index);
                    }
                    Read::End => {
                        self.report_progress(index);
                        return self.head_ended(index);
                    }
                };
                head.gather.handed(now);
                head.metrics.add(0, chunk.len(), now - started);
                if !reader.is_given() {
                    JobMetrics::add(&self.metrics.rows_in, chunk.len() as u64);
                }
                self.report_progress(index);
                self.tell_splits(index)?;
                Message::Data(chunk)
            }
            Input::Receiver(receiver) => match receiver.receive()? {
                Received::Pending => {
                    head.readable = false;
                    return Ok(());
                }
                Received::Message(Message::End) => return self.head_ended(index),
                Received::Message(Message::Barrier(barrier)) => {
                    head.barrier = Some(barrier);
                    return self.line_up();
                }
                Received::Message(message) => {
                    if let Message::Data(chunk) = &message {
                        head.metrics.add(0, chunk.len(), Duration::ZERO);
                    }
                    message
                }
            },
            Input::Done => return Ok(()),
        };
        self.deliver(to, message)
    }

    fn head_ended(&mut self, index: usize) -> Result<()> {
        self.leave(index)?;
        self.deliver(self.heads[index].to, Message::End)?;
        self.line_up()
    }

    /// Adds what a reader has consumed since the last time.
    fn report_progress(&mut self, index: usize) {
        let Input::Reader { reader, progress, .. } = &mut self.heads[index].input else { return };
        let (bytes, total) = reader.progress();
        let now = Progress { bytes, total: total.unwrap_or(0), skipped: reader.skipped() };
        let metrics = &self.metrics;
        JobMetrics::add(&metrics.bytes_in, now.bytes.saturating_sub(progress.bytes));
        JobMetrics::add(&metrics.bytes_total, now.total.saturating_sub(progress.total));
        JobMetrics::add(&metrics.records_skipped, now.skipped.saturating_sub(progress.skipped));
        *progress = now;
    }

    /// Adds the late and dropped rows since the last time.
    fn report_late(&mut self) {
        for step in &mut self.steps {
            let late = step.operator.late_rows();
            JobMetrics::add(&self.metrics.late_rows, late.saturating_sub(step.late));
            step.late = late;
            let dropped = step.operator.dropped_rows();
            JobMetrics::add(&self.metrics.dropped_rows, dropped.saturating_sub(step.dropped));
            step.dropped = dropped;
        }
    }

    /// Tells the operator that assigns watermarks, if there is one, which splits the next rows are from.
    fn tell_splits(&mut self, index: usize) -> Result<()> {
        let Input::Reader { reader, splits, .. } = &mut self.heads[index].input else { return Ok(()) };
        let now = reader.splits();
        if *splits == now && !matches!(&now, Splits::Many(changes) if !changes.is_empty()) {
            return Ok(());
        }
        for at in 0..self.heads[index].path.len() {
            let operator = self.heads[index].path[at];
            let mut taken = false;
            self.call(operator, 0, |operator, out| {
                operator.splits(&now, out).map(|is_taken| taken = is_taken)
            })?;
            if taken {
                break;
            }
        }
        if let Input::Reader { splits, .. } = &mut self.heads[index].input {
            *splits = now;
        }
        Ok(())
    }

    /// Calls one operator and delivers what it emits.
    fn call(
        &mut self,
        index: usize,
        rows: usize,
        call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<()>,
    ) -> Result<()> {
        let step = &mut self.steps[index];
        if step.ended {
            return Ok(());
        }
        let mut out = std::mem::take(&mut step.out);
        let started = Instant::now();
        call(step.operator.as_mut(), &mut out)?;
        let busy = started.elapsed();
        let to = step.to;
        let mut emitted = 0;
        for message in out.drain() {
            match &message {
                Message::Data(chunk) => emitted += chunk.len(),
                Message::Watermark(watermark) => {
                    self.steps[index].metrics.note_watermark(self.task, *watermark);
                }
                Message::Status(_) => {}
                // The task passes it on itself, to all operators.
                Message::Barrier(_) => continue,
                Message::End => {
                    self.steps[index].ended = true;
                    self.deliver(to, message)?;
                    self.close_heads_before(index)?;
                    break;
                }
            }
            self.deliver(to, message)?;
        }
        self.steps[index].metrics.add(rows, emitted, busy);
        self.steps[index].out = out;
        Ok(())
    }

    /// Nothing that leads only to an operator that has ended is read any more.
    fn close_heads_before(&mut self, operator: usize) -> Result<()> {
        for index in 0..self.heads.len() {
            if self.heads[index].path.contains(&operator) {
                self.leave(index)?;
            }
        }
        Ok(())
    }

    /// Hands a message to an operator or to the tail. Signals are merged with those of other senders.
    fn deliver(&mut self, to: Place, message: Message) -> Result<()> {
        let Place { operator, input, sender } = to;
        match message {
            Message::Data(chunk) if operator == self.steps.len() => self.write(chunk),
            Message::Data(chunk) => {
                let rows = chunk.len();
                self.call(operator, rows, |operator, out| operator.chunk_at(input, chunk, out))
            }
            Message::Watermark(watermark) => {
                let merged = self.merges[operator].watermark(input, sender, watermark);
                self.progress(operator, input, merged)
            }
            Message::Status(status) => {
                let merged = self.merges[operator].status(input, sender, status);
                self.progress(operator, input, merged)
            }
            // Never sent from step to step.
            Message::Barrier(_) => Ok(()),
            Message::End => {
                let merged = self.merges[operator].end(input, sender);
                self.progress(operator, input, merged)?;
                if operator == self.steps.len() {
                    return if self.merges[operator].ended() {
                        self.tail_signal(Message::End)
                    } else {
                        Ok(())
                    };
                }
                if self.merges[operator].input_ended(input) {
                    self.call(operator, 0, |operator, out| operator.end_at(input, out))?;
                }
                if self.merges[operator].ended() {
                    self.call(operator, 0, |operator, out| operator.end(out))?;
                }
                Ok(())
            }
        }
    }

    fn progress(&mut self, operator: usize, input: usize, merged: Merged) -> Result<()> {
        if merged == Merged::default() {
            return Ok(());
        }
        let Merged { input: of_input, all } = merged;
        if operator == self.steps.len() {
            if all.active {
                self.tail_signal(Message::Status(Status::Active))?;
            }
            if let Some(watermark) = all.watermark {
                self.tail_signal(Message::Watermark(watermark))?;
            }
            return if all.idle { self.tail_signal(Message::Status(Status::Idle)) } else { Ok(()) };
        }
        self.call(operator, 0, |operator, out| {
            if all.active {
                operator.status(Status::Active, out)?;
            }
            if let Some(watermark) = of_input {
                operator.watermark_at(input, watermark, out)?;
            }
            if let Some(watermark) = all.watermark {
                operator.watermark(watermark, out)?;
            }
            if all.idle { operator.status(Status::Idle, out) } else { Ok(()) }
        })
    }

    fn write(&mut self, chunk: Chunk) -> Result<()> {
        let rows = chunk.len();
        let started = Instant::now();
        match &mut self.tail {
            TailState::Sender(sender) => {
                sender.send(Message::Data(chunk))?;
                self.tail_metrics.add(rows, rows, started.elapsed());
            }
            TailState::Writer(writer, _) => {
                writer.write(&chunk)?;
                self.tail_metrics.add(rows, 0, started.elapsed());
                JobMetrics::add(&self.metrics.rows_out, rows as u64);
                self.metrics.record_latency(chunk.ingest.elapsed(), rows as u64);
            }
        }
        Ok(())
    }

    fn tail_signal(&mut self, signal: Message) -> Result<()> {
        self.ended |= matches!(signal, Message::End);
        if let Message::Watermark(watermark) = signal {
            self.tail_metrics.note_watermark(self.task, watermark);
        }
        match &mut self.tail {
            TailState::Sender(sender) => sender.send(signal),
            TailState::Writer(writer, _) => match signal {
                Message::Watermark(watermark) => {
                    self.metrics.note_watermark(watermark);
                    writer.watermark(watermark.millis())
                }
                Message::Status(status) => {
                    writer.idle(matches!(status, Status::Idle));
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }
}
