//! Jobs: tasks that run one pipeline, their life cycle and their figures.
//!
//! A [`Job`] is the handle that session, console and metrics share. Figures are atomic counters that tasks write and others
//! read without stopping them; latencies are histograms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::coordinator::{Request, Then};
use crate::error::{Error, Result};
use crate::flow::{Mailbox, StageMetrics, Watermark};
use crate::state::checkpoint::Written;
use crate::state::store::Store;

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JobState {
    /// Tasks run.
    Running,
    /// All input was processed.
    Finished,
    /// Stopped by the user.
    Cancelled,
    /// Stopped by an error.
    Failed(Error),
}

/// Counters that tasks add to, a chunk at a time.
#[derive(Debug)]
pub struct JobMetrics {
    /// Rows read by sources.
    pub rows_in: AtomicU64,
    /// Rows handed to sinks.
    pub rows_out: AtomicU64,
    /// Bytes of input consumed.
    pub bytes_in: AtomicU64,
    /// Bytes of input in total, 0 when it is not known.
    pub bytes_total: AtomicU64,
    /// Records left out because they could not be decoded and the table says so.
    pub records_skipped: AtomicU64,
    /// Rows that operators left out because they came too late.
    pub late_rows: AtomicU64,
    /// Rows that were left out because their target does not take NULL.
    pub dropped_rows: AtomicU64,
    watermark: AtomicI64,
    latency: Mutex<hdrhistogram::Histogram<u64>>,
}

impl Default for JobMetrics {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            rows_in: zero(),
            rows_out: zero(),
            bytes_in: zero(),
            bytes_total: zero(),
            records_skipped: zero(),
            late_rows: zero(),
            dropped_rows: zero(),
            watermark: AtomicI64::new(i64::MIN),
            latency: Mutex::new(super::metrics::lookup::micros_histogram()),
        }
    }
}

impl JobMetrics {
    /// Notes how long rows took from being read to being written, at worst (by their chunk's oldest).
    pub(crate) fn record_latency(&self, elapsed: Duration, rows: u64) {
        self.latency.lock().saturating_record_n((elapsed.as_micros() as u64).max(1), rows);
    }

    /// Latency from read to written at a quantile from 0 to 1, in microseconds; 0 before the first row.
    pub fn latency_micros(&self, quantile: f64) -> u64 {
        self.latency.lock().value_at_quantile(quantile)
    }

    /// All latencies so far, in microseconds: what a later look has more is of the time between.
    pub fn latencies(&self) -> hdrhistogram::Histogram<u64> {
        self.latency.lock().clone()
    }

    pub(crate) fn note_watermark(&self, watermark: Watermark) {
        self.watermark.fetch_max(watermark.millis(), Ordering::Relaxed);
    }

    /// The latest watermark that reached a sink, in milliseconds since the epoch; `None` before the first.
    pub fn watermark_millis(&self) -> Option<i64> {
        Some(self.watermark.load(Ordering::Relaxed)).filter(|&w| w != i64::MIN)
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// A look this short ago says nothing about rates.
const JUST_NOW: Duration = Duration::from_millis(200);

/// What a step had done at an instant.
#[derive(Debug, Clone)]
struct Look {
    at: std::time::Instant,
    rows_in: u64,
    rows_out: u64,
    busy: Duration,
    blocked: Duration,
}

impl Look {
    fn start() -> Self {
        let none = Duration::ZERO;
        Self { at: std::time::Instant::now(), rows_in: 0, rows_out: 0, busy: none, blocked: none }
    }

    fn at(at: std::time::Instant, stage: &StageMetrics) -> Self {
        let (rows_in, rows_out) = (stage.rows_in(), stage.rows_out());
        Self { at, rows_in, rows_out, busy: stage.busy(), blocked: stage.blocked() }
    }
}

/// What a step does in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageRates {
    /// Rows it is given, in a second.
    pub rows_in: f64,
    /// Rows it emits per second.
    pub rows_out: f64,
    /// Share of its tasks' time that it works, from 0 to 1.
    pub busy: f64,
    /// Share of its tasks' time in which what is behind it has no room, from 0 to 1.
    pub blocked: f64,
}

impl StageRates {
    fn between(before: &Look, now: &Look, time: Duration, tasks: usize) -> Self {
        let seconds = time.as_secs_f64().max(1e-9);
        let share = |before: Duration, now: Duration| {
            (now.saturating_sub(before).as_secs_f64() / seconds / tasks.max(1) as f64).min(1.0)
        };
        Self {
            rows_in: now.rows_in.saturating_sub(before.rows_in) as f64 / seconds,
            rows_out: now.rows_out.saturating_sub(before.rows_out) as f64 / seconds,
            busy: share(before.busy, now.busy),
            blocked: share(before.blocked, now.blocked),
        }
    }
}

/// What the checkpoints of a job took so far.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckpointMetrics {
    /// Checkpoints that were written.
    pub completed: AtomicU64,
    /// Checkpoints that could not be.
    pub failed: AtomicU64,
    /// How often the job came back after a failure.
    pub restarts: AtomicU64,
    last: Mutex<Option<LastCheckpoint>>,
    restored: Mutex<Option<u64>>,
    aligned_micros: AtomicU64,
    took_micros: AtomicU64,
}

/// The newest checkpoint of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// Its number.
    pub epoch: u64,
    /// From its begin until it was durable.
    pub duration: Duration,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// Bytes of state that it refers to.
    pub total_bytes: u64,
    /// When it became durable.
    pub at: std::time::Instant,
}

impl CheckpointMetrics {
    pub(crate) fn note_barrier(&self, aligned: Duration, took: Duration) {
        self.aligned_micros.fetch_max(aligned.as_micros() as u64, Ordering::Relaxed);
        self.took_micros.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_completed(&self, epoch: u64, duration: Duration, written: Written) {
        let Written { bytes, total_bytes } = written;
        *self.last.lock() =
            Some(LastCheckpoint { epoch, duration, bytes, total_bytes, at: std::time::Instant::now() });
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    /// The run begins with what this one holds.
    pub(crate) fn note_restored(&self, epoch: u64) {
        *self.restored.lock() = Some(epoch);
    }

    /// There is none any more.
    pub(crate) fn forget(&self) {
        self.last.lock().take();
        self.restored.lock().take();
    }

    /// The number of the checkpoint that the next run begins with; `None`: it begins anew.
    pub fn goes_on_from(&self) -> Option<u64> {
        self.last().map(|last| last.epoch).or(*self.restored.lock())
    }

    /// The newest one that is durable.
    pub fn last(&self) -> Option<LastCheckpoint> {
        *self.last.lock()
    }

    /// The longest that a task waited for the barriers of all its inputs.
    pub fn longest_alignment(&self) -> Duration {
        Duration::from_micros(self.aligned_micros.load(Ordering::Relaxed))
    }

    /// The longest that a task stood still to give its state.
    pub fn longest_snapshot(&self) -> Duration {
        Duration::from_micros(self.took_micros.load(Ordering::Relaxed))
    }
}

/// A running or ended pipeline.
#[derive(Debug)]
pub struct Job {
    /// Number in the session, from 1.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Counters.
    pub metrics: Arc<JobMetrics>,
    /// The lookups of the job: table name (or alias) and counters.
    pub lookups: Vec<(String, Arc<super::metrics::lookup::LookupMetrics>)>,
    /// When it started.
    pub started: std::time::Instant,
    ended: std::sync::OnceLock<std::time::Instant>,
    /// What its steps had done when they were last looked at.
    looked: Mutex<Vec<Look>>,
    /// What its checkpoints took.
    pub checkpoints: Arc<CheckpointMetrics>,
    warnings: std::sync::OnceLock<Vec<String>>,
    stages: std::sync::OnceLock<Vec<Arc<StageMetrics>>>,
    state: Mutex<JobState>,
    changed: Condvar,
    /// Of tasks that wait for its end.
    awaiting: Mutex<Vec<std::task::Waker>>,
    /// Told when the user stops it; the sender stays, so that a receiver never finds the channel closed.
    stops: (crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>),
    mailboxes: Mutex<Vec<Mailbox>>,
    /// Of a job with checkpoints, while it can make some.
    control: Mutex<Option<crossbeam_channel::Sender<Request>>>,
    /// It has made checkpoints, or could.
    makes_checkpoints: AtomicBool,
    stopping: AtomicBool,
    /// Its tasks are to stop at once, also those that start later.
    cancelled: AtomicBool,
}

impl Job {
    /// A running job without tasks yet.
    pub(crate) fn new(
        id: u64,
        name: String,
        lookups: Vec<(String, Arc<super::metrics::lookup::LookupMetrics>)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            name,
            metrics: Arc::default(),
            lookups,
            started: std::time::Instant::now(),
            ended: Default::default(),
            looked: Mutex::default(),
            checkpoints: Arc::default(),
            warnings: Default::default(),
            stages: Default::default(),
            state: Mutex::new(JobState::Running),
            changed: Condvar::new(),
            awaiting: Mutex::default(),
            stops: crossbeam_channel::bounded(1),
            mailboxes: Mutex::default(),
            control: Mutex::default(),
            makes_checkpoints: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Notes what the planner warns of; once.
    pub(crate) fn warn(&self, warnings: Vec<String>) {
        let _ = self.warnings.set(warnings);
    }

    /// What the planner warned of, such as state that grows without bound.
    pub fn warnings(&self) -> &[String] {
        self.warnings.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the counters of its steps; once.
    pub(crate) fn set_stages(&self, stages: Vec<Arc<StageMetrics>>) {
        let _ = self.stages.set(stages);
    }

    /// What each source, operator, exchange and sink has done, fragment by fragment, in the order of the
    /// rows' way.
    pub fn stages(&self) -> &[Arc<StageMetrics>] {
        self.stages.get().map_or(&[], Vec::as_slice)
    }

    /// The mailboxes of its tasks, for [`Job::halt`]; those of an earlier run are forgotten.
    pub(crate) fn register(&self, mailboxes: Vec<Mailbox>) {
        let mut registered = self.mailboxes.lock();
        *registered = mailboxes;
        // A job that was cancelled before its tasks were there.
        if self.cancelled.load(Ordering::SeqCst) {
            registered.iter().for_each(Mailbox::cancel);
        }
    }

    /// Where requests go, for a job with checkpoints.
    pub(crate) fn set_control(&self, control: crossbeam_channel::Sender<Request>) {
        self.makes_checkpoints.store(true, Ordering::Relaxed);
        *self.control.lock() = Some(control);
    }

    /// Its state is written to checkpoints.
    pub fn is_durable(&self) -> bool {
        self.control.lock().is_some()
    }

    /// Whether it is one with checkpoints, also when it has ended.
    pub fn makes_checkpoints(&self) -> bool {
        self.makes_checkpoints.load(Ordering::Relaxed)
    }

    /// The user has asked it to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends the job; the first end counts.
    pub(crate) fn end(&self, state: JobState) {
        let mut current = self.state.lock();
        if *current == JobState::Running {
            *current = state;
            let _ = self.ended.set(std::time::Instant::now());
            self.changed.notify_all();
            drop(current);
            let awaiting = std::mem::take(&mut *self.awaiting.lock());
            awaiting.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// Told when the user stops the job.
    pub(crate) fn stops(&self) -> &crossbeam_channel::Receiver<()> {
        &self.stops.1
    }

    /// How long it has run, up to its end.
    pub fn elapsed(&self) -> Duration {
        let end = self.ended.get().copied().unwrap_or_else(std::time::Instant::now);
        end.saturating_duration_since(self.started)
    }

    /// What each of its steps does now: since the last look, if that was not just now and the job still runs,
    /// else since its start. In the order of [`Job::stages`].
    pub fn rates(&self) -> Vec<StageRates> {
        let (now, elapsed) = (std::time::Instant::now(), self.elapsed());
        let ended = self.ended.get().is_some();
        let mut looked = self.looked.lock();
        let looks: Vec<Look> = self.stages().iter().map(|stage| Look::at(now, stage)).collect();
        let last = looked.first().map(|look| now - look.at).filter(|&ago| ago >= JUST_NOW && !ended);
        let rates = looks.iter().enumerate().zip(self.stages()).map(|((i, look), stage)| {
            match (last, looked.get(i)) {
                (Some(ago), Some(before)) => StageRates::between(before, look, ago, stage.tasks()),
                _ => StageRates::between(&Look::start(), look, elapsed, stage.tasks()),
            }
        });
        let rates = rates.collect();
        if last.is_some() || looked.is_empty() {
            *looked = looks;
        }
        rates
    }

    /// State now.
    pub fn state(&self) -> JobState {
        self.state.lock().clone()
    }

    /// Asks the job to stop; [`Job::wait`] returns when it has. One with checkpoints makes a last one first,
    /// and goes on from there when it is started again; others stop as soon as they can.
    pub fn cancel(&self) {
        let first = !self.stopping.swap(true, Ordering::Relaxed);
        // One that was reported already is enough.
        let _ = self.stops.0.try_send(());
        let control = self.control.lock().clone();
        match control {
            Some(control) if first && control.send(Request::Stop).is_ok() => {}
            Some(_) if !first => {}
            _ => {
                self.cancelled.store(true, Ordering::SeqCst);
                self.halt();
            }
        }
    }

    /// No request can be met any more.
    pub(crate) fn close(&self) {
        self.control.lock().take();
    }

    /// Tells the tasks to stop, whatever they are at.
    pub(crate) fn halt(&self) {
        self.mailboxes.lock().iter().for_each(Mailbox::cancel);
    }

    /// Makes a savepoint; returns where it is. Waits for it.
    pub fn savepoint(&self, to: Arc<dyn Store>, then: Then) -> Result<String> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        let control = self.control.lock().clone();
        let gone = || Error::execution(format!("job {} has ended", self.id));
        let control = control.ok_or_else(|| {
            Error::plan(format!("job {} has no checkpoints, so it cannot make a savepoint", self.id))
                .with_hint("SET 'execution.checkpointing.interval' = '10 s'; before the INSERT")
        })?;
        if then != Then::GoOn {
            self.stopping.store(true, Ordering::Relaxed);
        }
        control.send(Request::Savepoint { to, then, reply }).map_err(|_| gone())?;
        drop(control);
        answer.recv().map_err(|_| gone())?
    }

    /// Waits for the end.
    pub fn wait(&self) -> JobState {
        let mut state = self.state.lock();
        while *state == JobState::Running {
            self.changed.wait(&mut state);
        }
        state.clone()
    }

    /// The end, for asynchronous programs. It does not keep the session: that is dropped meanwhile, the job is cancelled.
    pub fn ended(&self) -> impl Future<Output = JobState> + Send + '_ {
        std::future::poll_fn(|context| {
            // The list first: what ends the job changes the state before it wakes.
            let mut awaiting = self.awaiting.lock();
            let state = self.state();
            if state != JobState::Running {
                return std::task::Poll::Ready(state);
            }
            if !awaiting.iter().any(|waker| waker.will_wake(context.waker())) {
                awaiting.push(context.waker().clone());
            }
            std::task::Poll::Pending
        })
    }

    /// Waits for the end, at most so long; `None` when it still runs.
    pub fn wait_for(&self, timeout: Duration) -> Option<JobState> {
        let mut state = self.state.lock();
        if *state == JobState::Running {
            self.changed.wait_for(&mut state, timeout);
        }
        (*state != JobState::Running).then(|| state.clone())
    }

    /// Waits for the end; a failure is an error, a cancellation too.
    pub fn result(&self) -> Result<()> {
        match self.wait() {
            JobState::Failed(e) => Err(e),
            JobState::Cancelled => Err(Error::cancelled()),
            JobState::Running | JobState::Finished => Ok(()),
        }
    }
}
