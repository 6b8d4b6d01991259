//! The coordinator of a job's checkpoints: begins them, collects what tasks report, and has them written.
//!
//! ```text
//!            barrier n                     report n                     manifest n
//!  begin ──────────────> all tasks ──────────────────────> collect ─────────────────> store
//!                         (rows go on)                        │                          │ durable
//!                                                             └ a task that has ended    └──> sinks: commit n
//!                                                               reports once, for good
//! ```
//! One checkpoint is on its way at a time. Writing happens on the coordinator's own thread, beside the rows. What a
//! sink makes visible belongs to a checkpoint that is durable; what a job that comes back finds in the newest
//! checkpoint is committed again, which changes nothing if it was done already.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select};
use parking_lot::Mutex;
use serde_json::Value;

use super::job::{CheckpointMetrics, Job};
use super::mailbox::Mailbox;
use super::message::Barrier;
use super::sink::Sink;
use super::source::{Positions, Source};
use super::task::Report;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::state::checkpoint::{Checkpoints, Cut, JobPlan, TaskCut};
use crate::state::store::Store;

/// When checkpoints are made. `execution.checkpointing.*`.
#[derive(Debug, Clone)]
pub struct CheckpointSettings {
    /// From one begin to the next; `None`: only when asked.
    pub interval: Option<Duration>,
    /// At least so long from an end to the next begin.
    pub min_pause: Duration,
    /// One that takes longer has failed.
    pub timeout: Duration,
    /// So many may fail one after the other; one more fails the job.
    pub tolerable_failures: u32,
}

/// What is to become of the job after a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    GoOn,
    /// It stops where the savepoint is.
    Stop,
    /// Its sources end before the savepoint: windows are emitted, everything is flushed.
    Drain,
}

/// What the user wants of a running job.
#[derive(Debug)]
pub enum Request {
    /// A checkpoint, and the end.
    Stop,
    /// A savepoint.
    Savepoint {
        /// Where it is written.
        to: Arc<dyn Store>,
        /// What is to become of the job.
        then: Then,
        /// Gets where it is, or why not.
        reply: Sender<Result<String>>,
    },
}

/// What the sinks returned for a checkpoint, by sink id.
pub type Pending = BTreeMap<String, Vec<Value>>;

/// What a durable checkpoint holds for the sinks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durable {
    /// Number of the checkpoint.
    pub epoch: u64,
    /// What is to be committed.
    pub sinks: Pending,
}

/// How the coordination ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Coordinated {
    /// All tasks have ended, and the last checkpoint is durable. What it holds for the sinks is still to be
    /// committed, however often that has to be tried: no row is made again.
    Finished(Durable),
    /// The job was stopped after a checkpoint.
    Stopped,
    /// Tasks went away: they failed or were cancelled.
    Abandoned,
}

/// A checkpoint on its way.
struct InFlight {
    epoch: u64,
    begun: Instant,
    waiting: HashSet<usize>,
    request: Option<Request>,
}

/// Coordinates one run of a job's tasks.
pub struct Coordinator {
    job: Arc<Job>,
    checkpoints: Arc<Mutex<Checkpoints>>,
    plan: JobPlan,
    clock: Arc<dyn Clock>,
    settings: CheckpointSettings,
    sinks: Vec<(String, Arc<dyn Sink>)>,
    readable: Vec<(String, Arc<dyn Source>)>,
    mailboxes: Vec<Mailbox>,
    metrics: Arc<CheckpointMetrics>,
    /// The last epoch that was begun.
    epoch: u64,
    in_flight: Option<InFlight>,
    requests: VecDeque<Request>,
    /// State that was reported and not written.
    cuts: Vec<TaskCut>,
    sources: BTreeMap<String, Positions>,
    /// By task.
    pending: BTreeMap<usize, (String, Vec<Value>)>,
    finished: HashSet<usize>,
    /// Tasks that ended after the barrier that is on its way: they belong to the next checkpoint.
    later: Vec<Report>,
    /// When the last one began, and ended.
    last: (Instant, Option<Instant>),
    failures: u32,
    stopped: bool,
}

/// What a coordinator is made of.
pub struct Coordination {
    /// The job.
    pub job: Arc<Job>,
    /// Where its checkpoints go.
    pub checkpoints: Arc<Mutex<Checkpoints>>,
    /// What it runs.
    pub plan: JobPlan,
    /// Tells when a checkpoint is written.
    pub clock: Arc<dyn Clock>,
    /// When checkpoints are made.
    pub settings: CheckpointSettings,
    /// Its sinks by identity.
    pub sinks: Vec<(String, Arc<dyn Sink>)>,
    /// Its sources by identity.
    pub readable: Vec<(String, Arc<dyn Source>)>,
    /// One a task.
    pub mailboxes: Vec<Mailbox>,
    /// Positions that the tasks start from.
    pub sources: BTreeMap<String, Positions>,
    /// The last epoch that was used.
    pub epoch: u64,
}

impl Coordinator {
    /// One for tasks that start now.
    pub fn new(of: Coordination) -> Self {
        Self {
            metrics: of.job.checkpoints.clone(),
            job: of.job,
            checkpoints: of.checkpoints,
            plan: of.plan,
            clock: of.clock,
            settings: of.settings,
            sinks: of.sinks,
            readable: of.readable,
            mailboxes: of.mailboxes,
            epoch: of.epoch,
            in_flight: None,
            requests: VecDeque::new(),
            cuts: Vec::new(),
            sources: of.sources,
            pending: BTreeMap::new(),
            finished: HashSet::new(),
            later: Vec::new(),
            last: (Instant::now(), None),
            failures: 0,
            stopped: false,
        }
    }

    /// Works until the tasks have ended. An error is the job's: its tasks are to be stopped.
    pub fn run(mut self, reports: &Receiver<Report>, requests: &Receiver<Request>) -> Result<Coordinated> {
        let ran = self.work(reports, requests);
        let left = self.in_flight.take().and_then(|f| f.request).into_iter().chain(self.requests.drain(..));
        for request in left {
            if let Request::Savepoint { reply, .. } = request {
                let why = match &ran {
                    Err(e) => e.clone(),
                    Ok(_) => Error::execution("the job has ended before the savepoint was made"),
                };
                let _ = reply.send(Err(why));
            }
        }
        ran
    }

    fn work(&mut self, reports: &Receiver<Report>, requests: &Receiver<Request>) -> Result<Coordinated> {
        let mut requests = requests.clone();
        loop {
            self.begin_if_due();
            let alarm = self.next_alarm().map_or_else(never, at);
            select! {
                recv(reports) -> report => match report {
                    Ok(report) => self.take(report),
                    Err(_) => return Ok(Coordinated::Abandoned),
                },
                recv(requests) -> request => match request {
                    Ok(request) => self.requests.push_back(request),
                    Err(_) => requests = never(),
                },
                recv(alarm) -> _ => {}
            }
            if self.finished.len() == self.mailboxes.len() {
                return self.end().map(Coordinated::Finished);
            }
            if self.in_flight.as_ref().is_some_and(|f| f.waiting.is_empty()) {
                self.complete(false)?;
            }
            if self.stopped {
                return Ok(Coordinated::Stopped);
            }
            if let Some(flight) = &self.in_flight
                && flight.begun.elapsed() >= self.settings.timeout
            {
                return Err(Error::io(format!("checkpoint {} took too long", flight.epoch))
                    .with_detail(format!(
                        "{} of {} tasks have not passed its barrier in {:?}",
                        flight.waiting.len(),
                        self.mailboxes.len(),
                        self.settings.timeout
                    ))
                    .with_hint("'execution.checkpointing.timeout' is the limit"));
            }
        }
    }

    /// When something is to be done without a message.
    fn next_alarm(&self) -> Option<Instant> {
        match &self.in_flight {
            Some(flight) => flight.begun.checked_add(self.settings.timeout),
            None => self.due(),
        }
    }

    /// When the next checkpoint begins by itself.
    fn due(&self) -> Option<Instant> {
        let begin = self.last.0.checked_add(self.settings.interval?)?;
        match self.last.1.and_then(|end| end.checked_add(self.settings.min_pause)) {
            Some(pause) => Some(begin.max(pause)),
            None => Some(begin),
        }
    }

    fn begin_if_due(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        // A drain needs no barrier: the tasks end.
        if let Some(Request::Savepoint { then: Then::Drain, .. }) = self.requests.front() {
            self.mailboxes.iter().for_each(Mailbox::drain);
            return;
        }
        let request = self.requests.pop_front();
        if request.is_some() || self.due().is_some_and(|due| due <= Instant::now()) {
            self.begin(request);
        }
    }

    fn begin(&mut self, request: Option<Request>) {
        for report in std::mem::take(&mut self.later) {
            self.absorb(report);
        }
        let last = matches!(&request, Some(Request::Stop | Request::Savepoint { then: Then::Stop, .. }));
        self.epoch += 1;
        let barrier = Barrier { epoch: self.epoch, last };
        let running = (0..self.mailboxes.len()).filter(|index| !self.finished.contains(index));
        let waiting: HashSet<usize> = running.collect();
        waiting.iter().for_each(|&index| self.mailboxes[index].checkpoint(barrier));
        self.last.0 = Instant::now();
        self.in_flight = Some(InFlight { epoch: self.epoch, begun: self.last.0, waiting, request });
    }

    /// Takes a report in.
    fn take(&mut self, report: Report) {
        let index = report.index;
        let ended = report.epoch.is_none();
        if ended {
            self.finished.insert(index);
        }
        self.metrics.note_barrier(report.aligned, report.took);
        let awaited = self.in_flight.as_mut().is_none_or(|flight| flight.waiting.remove(&index));
        if ended && !awaited {
            self.later.push(report);
        } else {
            self.absorb(report);
        }
    }

    fn absorb(&mut self, report: Report) {
        self.cuts.push(report.cut);
        for (source, positions) in report.positions {
            let known = self.sources.entry(source).or_default();
            known.extend(positions);
            // Splits that are to be forgotten.
            known.retain(|_, position| !position.is_null());
        }
        if let Some(pending) = report.pending {
            self.pending.insert(report.index, pending);
        }
    }

    /// What the sinks are to commit.
    fn to_commit(&self) -> Pending {
        let mut by_sink = Pending::new();
        for (sink, values) in self.pending.values() {
            by_sink.entry(sink.clone()).or_default().extend(values.iter().cloned());
        }
        by_sink
    }

    /// All tasks have passed the barrier: the checkpoint is written, then committed.
    fn complete(&mut self, ended: bool) -> Result<()> {
        let Some(flight) = self.in_flight.take() else { return Ok(()) };
        let sinks = self.to_commit();
        let cut = Cut {
            epoch: flight.epoch,
            tasks: std::mem::take(&mut self.cuts),
            sources: self.sources.clone(),
            sinks: sinks.clone(),
            ended,
            written_millis: self.clock.now_millis(),
        };
        let written = self.checkpoints.lock().write(&self.plan, cut);
        self.last.1 = Some(Instant::now());
        match written {
            Ok(written) => {
                self.failures = 0;
                self.metrics.note_completed(flight.epoch, flight.begun.elapsed(), written);
            }
            Err(e) => return self.failed(e, flight, ended),
        }
        // The last one is committed when nothing else is left to fail.
        let commit = || {
            self.checkpoints.lock().hold()?;
            let durable = Durable { epoch: flight.epoch, sinks: sinks.clone() };
            commit(self.sinks.iter().map(|(id, sink)| (id, sink)), &durable)
        };
        if !ended && let Err(e) = commit() {
            let e =
                e.context(format!("checkpoint {} is durable, its rows are not visible yet", flight.epoch));
            if let Some(Request::Savepoint { reply, .. }) = flight.request {
                let _ = reply.send(Err(e.clone()));
            }
            return Err(e);
        }
        self.acknowledge(flight.epoch);
        match flight.request {
            Some(Request::Stop) => self.stopped = true,
            Some(Request::Savepoint { to, then, reply }) => {
                self.stopped = then == Then::Stop;
                let exported = self.checkpoints.lock().export(to.as_ref());
                let exported = exported.map_err(|e| match self.stopped {
                    true => {
                        e.with_hint("the job has stopped after its last checkpoint; run it again to go on")
                    }
                    false => e,
                });
                let _ = reply.send(exported.map(|()| to.describe()));
            }
            None => {}
        }
        Ok(())
    }

    /// Sources hear what is durable. What they make of it changes nothing about the checkpoint.
    fn acknowledge(&self, epoch: u64) {
        for (id, source) in &self.readable {
            let Some(positions) = self.sources.get(id) else { continue };
            if let Err(e) = source.durable(epoch, positions) {
                log::warn!("job {} ({}): checkpoint {epoch}: {e}", self.job.id, self.job.name);
            }
        }
    }

    /// A checkpoint could not be written. What it held is kept for the next one.
    fn failed(&mut self, e: Error, flight: InFlight, ended: bool) -> Result<()> {
        self.failures += 1;
        self.metrics.failed.fetch_add(1, Ordering::Relaxed);
        let e = e.context(format!("checkpoint {} could not be written", flight.epoch));
        let stops =
            matches!(&flight.request, Some(Request::Stop | Request::Savepoint { then: Then::Stop, .. }));
        if let Some(Request::Savepoint { reply, .. }) = flight.request {
            let _ = reply.send(Err(e.clone()));
        }
        let decided = self.sinks.iter().any(|(_, sink)| sink.decides());
        if ended || stops || decided || self.failures > self.settings.tolerable_failures {
            return Err(e);
        }
        log::warn!("job {} ({}): {e}; the job goes on", self.job.id, self.job.name);
        Ok(())
    }

    /// All tasks have ended: the last checkpoint says so. Gives what is to be committed.
    fn end(&mut self) -> Result<Durable> {
        if self.in_flight.is_some() && !self.later.is_empty() {
            // Ended after the barrier: its checkpoint is written first.
            self.complete(false)?;
        }
        for report in std::mem::take(&mut self.later) {
            self.absorb(report);
        }
        if self.in_flight.is_none() {
            self.epoch += 1;
            let request = self.requests.pop_front();
            self.in_flight =
                Some(InFlight { epoch: self.epoch, begun: Instant::now(), waiting: HashSet::new(), request });
        }
        self.complete(true)?;
        while let Some(request) = self.requests.pop_front() {
            if let Request::Savepoint { to, reply, .. } = request {
                let exported = self.checkpoints.lock().export(to.as_ref());
                let _ = reply.send(exported.map(|()| to.describe()));
            }
        }
        Ok(Durable { epoch: self.epoch, sinks: self.to_commit() })
    }
}

/// Commits what a durable checkpoint holds for each sink. Those that decide whether it counts come first, and nothing
/// is committed after one that fails. Of the others one that fails keeps no other from its own commit; the first
/// failure is returned. Doing it again commits what is missing.
pub fn commit<'a>(sinks: impl Iterator<Item = (&'a String, &'a Arc<dyn Sink>)>, of: &Durable) -> Result<()> {
    let pending = |id| of.sinks.get(id).map_or(&[][..], Vec::as_slice);
    let (deciding, others): (Vec<_>, Vec<_>) = sinks.partition(|(_, sink)| sink.decides());
    deciding.into_iter().try_for_each(|(id, sink)| sink.commit_epoch(of.epoch, pending(id)))?;
    let commits = others.into_iter().map(|(id, sink)| sink.commit_epoch(of.epoch, pending(id)));
    commits.fold(Ok(()), Result::and)
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
