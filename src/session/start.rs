//! Starts jobs, and starts them again: one thread a task, one supervisor that ends the job when the tasks have.
//!
//! ```text
//!  fragments ──> tasks ──> run ──┬─ all ended ───────────> commit, FINISHED
//!      ^                         ├─ stopped by the user ─> CANCELED (behind a last checkpoint, if there are any)
//!      │                         └─ failed ──┬─ cannot pass, or no restart left ──> FAILED
//!      └── last checkpoint <── pause <───────┘
//! ```

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::recovery::{self, Durability};
use crate::clock::Clock;
use crate::connector::{Positions, Sink, Source, WriterContext};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::coordinator::{Coordinated, Coordination, Coordinator, Request};
use crate::flow::exchange::Exchange;
use crate::flow::fragment::{Fragment, Head, Tail};
use crate::flow::restart::{RestartStrategy, Restarts};
use crate::flow::task::{self, Report, Reporter, TaskContext, TaskPlan, TaskTail};
use crate::flow::{Job, JobState, Mailbox, StageMetrics};
use crate::plan::Node;
use crate::plan::identity::Identities;
use crate::plan::wire::Wire;
use crate::state::Memory;
use crate::state::checkpoint::{Checkpoint, Checkpoints, JobPlan};

/// One INSERT or SELECT.
pub struct Output {
    /// What gives the rows.
    pub node: Node,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Identity of the sink in checkpoints.
    pub id: String,
    /// Whether the sink needs `-U`.
    pub before: bool,
}

/// How a job is to run.
pub struct Start {
    /// Number in the session.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Tasks of sources that can be split and of operators with keys.
    pub wanted: usize,
    /// Its checkpoints, if it makes any.
    pub durability: Option<Durability>,
    /// What a failure leads to.
    pub restart: RestartStrategy,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// What state may take in memory.
    pub memory: Arc<Memory>,
}

/// A sink of a job.
struct Target {
    id: String,
    sink: Arc<dyn Sink>,
    unbounded: bool,
}

/// Everything that a run of the tasks is made from.
struct Blueprint {
    job: Arc<Job>,
    /// For each sink, what leads to it; exchanges are numbered for themselves.
    outputs: Vec<Vec<Arc<Fragment>>>,
    targets: Vec<Target>,
    /// Counters of each fragment.
    stages: Vec<Vec<Arc<StageMetrics>>>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    memory: Arc<Memory>,
    /// With checkpoints.
    durable: Option<Durable>,
}

/// A job's checkpoints while it runs.
struct Durable {
    checkpoints: Arc<Mutex<Checkpoints>>,
    plan: JobPlan,
    durability: Durability,
    requests: Receiver<Request>,
}

/// Tasks that are about to run.
struct Attempt {
    tasks: Vec<(TaskPlan, TaskContext)>,
    coordinator: Option<(Coordinator, Receiver<Report>)>,
}

impl Blueprint {
    /// Makes tasks, from a checkpoint or from the beginning. `again`: sources and sinks were used before.
    fn attempt(&self, from: Option<Arc<Checkpoint>>, again: bool) -> Result<Attempt> {
        // What was drained has given everything out: only its positions count.
        let restored = from.clone().filter(|c| !c.ended());
        let mut sources: BTreeMap<String, Positions> = BTreeMap::new();
        if from.is_some() || again {
            sources = self.restore_sources(from.as_deref())?;
        }
        if self.durable.is_none() && again {
            self.targets.iter().for_each(|t| t.sink.abort());
        }
        if self.durable.is_some() {
            let pending = restored.as_ref().map(|c| c.sinks());
            for Target { id, sink, .. } in &self.targets {
                sink.recover(pending.and_then(|p| p.get(id)).map_or(&[], Vec::as_slice))?;
            }
        }
        let (sender, reports) = crossbeam_channel::unbounded();
        let sender = self.durable.is_some().then_some(sender);
        let mut tasks = Vec::new();
        let mut mailboxes = Vec::new();
        let mut stages = self.stages.iter();
        for (fragments, target) in self.outputs.iter().zip(&self.targets) {
            let exchanges = Arc::new(exchanges(fragments)?);
            let is_sink = |fragment: &&Arc<Fragment>| matches!(fragment.tail, Tail::Sink(..));
            let all_writers = fragments.iter().filter(is_sink).map(|f| f.parallelism).sum();
            // Sinks count writers, exchanges senders, over all fragments.
            let mut writers = 0;
            let mut senders: HashMap<usize, usize> = HashMap::new();
            for (fragment, stages) in fragments.iter().zip(&mut stages) {
                for task in 0..fragment.parallelism {
                    let mailbox = Mailbox::new();
                    let tail = match &fragment.tail {
                        // Made here, one after the other, before any task runs.
                        Tail::Sink(sink, _) => {
                            writers += 1;
                            let metrics = stages.last().cloned();
                            TaskTail::Writer(sink.writer(WriterContext {
                                task: writers - 1,
                                tasks: all_writers,
                                waker: mailbox.waker(task::TAIL),
                                runtime: self.runtime.clone(),
                                clock: self.clock.clone(),
                                metrics: metrics.ok_or_else(|| Error::internal("a sink has no counters"))?,
                            })?)
                        }
                        Tail::Exchange { number, .. } => {
                            let senders = senders.entry(*number).or_default();
                            *senders += 1;
                            TaskTail::Sender(*senders - 1)
                        }
                    };
                    let reporter = sender.clone().map(|reports| Reporter { index: mailboxes.len(), reports });
                    mailboxes.push(mailbox.clone());
                    let context = TaskContext {
                        mailbox,
                        clock: self.clock.clone(),
                        runtime: self.runtime.clone(),
                        metrics: self.job.metrics.clone(),
                        reporter,
                        memory: self.memory.clone(),
                    };
                    let plan = TaskPlan {
                        fragment: fragment.clone(),
                        task,
                        tail,
                        exchanges: exchanges.clone(),
                        endless: target.unbounded,
                        stages: stages.clone(),
                        restored: restored.clone(),
                    };
                    tasks.push((plan, context));
                }
            }
        }
        self.job.register(mailboxes.clone());
        let coordinator = self.durable.as_ref().map(|durable| {
            durable.checkpoints.lock().begin();
            let coordinator = Coordinator::new(Coordination {
                job: self.job.clone(),
                checkpoints: durable.checkpoints.clone(),
                plan: durable.plan.clone(),
                settings: durable.durability.settings.clone(),
                sinks: self.targets.iter().map(|t| (t.id.clone(), t.sink.clone())).collect(),
                readable: self.sources().map(|(source, id)| (id.clone(), source.clone())).collect(),
                mailboxes,
                sources,
                epoch: durable.checkpoints.lock().newest_epoch().max(from.as_ref().map_or(0, |c| c.epoch())),
            });
            (coordinator, reports)
        });
        Ok(Attempt { tasks, coordinator })
    }

    /// Sources with their identities.
    fn sources(&self) -> impl Iterator<Item = (&Arc<dyn Source>, &String)> {
        let heads = self.outputs.iter().flatten().flat_map(|fragment| &fragment.heads);
        heads.filter_map(|(head, _)| match head {
            Head::Source(source, id) => Some((source, id)),
            Head::Exchange(_) => None,
        })
    }

    /// Puts all sources to where a checkpoint has them, or to their beginning.
    fn restore_sources(&self, from: Option<&Checkpoint>) -> Result<BTreeMap<String, Positions>> {
        let mut all = BTreeMap::new();
        for (source, id) in self.sources() {
            let positions = from.map(|c| recovery::positions(c, id)).unwrap_or_default();
            source.resume(&positions, &self.runtime)?;
            if let Some(from) = from {
                // Also in the checkpoint that the job is restored from: the process may have ended before it could say so.
                if let Err(e) = source.durable(from.epoch(), &positions) {
                    log::warn!("job {} ({}): {e}", self.job.id, self.job.name);
                }
            }
            all.insert(id.clone(), positions);
        }
        Ok(all)
    }

    /// Runs tasks to their end.
    fn run(&self, attempt: Attempt) -> Result<Coordinated> {
        let Attempt { tasks, coordinator } = attempt;
        let (Some((coordinator, reports)), Some(durable)) = (coordinator, &self.durable) else {
            return run_all(&self.job, tasks).map(|()| Coordinated::Finished);
        };
        let job = self.job.clone();
        let requests = durable.requests.clone();
        let name = format!("affluent-checkpoint-{}", job.id);
        let coordinating = thread::Builder::new().name(name).spawn(move || {
            let end = coordinator.run(&reports, &requests);
            if !matches!(end, Ok(Coordinated::Finished)) {
                job.halt();
            }
            end
        })?;
        let ran = run_all(&self.job, tasks);
        let coordinated =
            coordinating.join().map_err(|_| Error::internal("the checkpoints' coordinator panicked"))?;
        match (ran, coordinated) {
            (Err(e), _) if e.kind() != ErrorKind::Cancelled => Err(e),
            (_, Err(e)) => Err(e),
            (_, Ok(Coordinated::Stopped)) => Ok(Coordinated::Stopped),
            (Ok(()), Ok(end)) => Ok(end),
            (Err(e), Ok(_)) => Err(e),
        }
    }

    /// The job has ended well.
    fn finish(&self) -> Result<()> {
        self.targets.iter().try_for_each(|t| t.sink.commit())?;
        match &self.durable {
            Some(durable) => durable.checkpoints.lock().clear(),
            None => Ok(()),
        }
    }

    /// Commits what a job had written that ended before it could say so.
    fn commit_ended(&self, from: Option<&Checkpoint>) -> Result<()> {
        for Target { id, sink, .. } in &self.targets {
            let pending = from.and_then(|c| c.sinks().get(id)).map_or(&[][..], Vec::as_slice);
            sink.recover(pending)?;
            sink.commit_epoch(from.map_or(0, |c| c.epoch()), pending)?;
        }
        self.finish()
    }

    /// The user has stopped the job.
    fn cancelled(&self) -> Result<()> {
        if let Some(durable) = &self.durable {
            if durable.durability.keep {
                return Ok(());
            }
            self.job.checkpoints.forget();
            return durable.checkpoints.lock().clear();
        }
        // An endless stream is ended like this: what was written stays.
        let (kept, left): (Vec<_>, Vec<_>) = self.targets.iter().partition(|t| t.unbounded);
        left.iter().for_each(|t| t.sink.abort());
        kept.into_iter().try_for_each(|t| t.sink.commit())
    }

    /// Runs the job to its end, however often that takes.
    fn supervise(&self, from: Option<Arc<Checkpoint>>, restart: RestartStrategy) -> JobState {
        let mut restarts = Restarts::new(restart);
        let mut attempt = self.attempt(from, false);
        loop {
            let end = attempt.and_then(|attempt| self.run(attempt));
            let end = match end {
                Ok(Coordinated::Finished) => self.finish().map(|()| JobState::Finished),
                Ok(Coordinated::Stopped) => self.cancelled().map(|()| JobState::Cancelled),
                Ok(Coordinated::Abandoned) => Err(Error::internal("tasks went away without an error")),
                Err(e) if e.kind() == ErrorKind::Cancelled => self.cancelled().map(|()| JobState::Cancelled),
                Err(e) => Err(e),
            };
            let e = match end {
                Ok(state) => return state,
                Err(e) => e,
            };
            let pause = if e.kind().may_pass() { restarts.next(Instant::now()) } else { None };
            let Some(pause) = pause.filter(|_| !self.job.is_stopping()) else {
                if self.durable.is_none() {
                    self.targets.iter().for_each(|t| t.sink.abort());
                }
                return JobState::Failed(match self.job.checkpoints.restarts.load(Ordering::Relaxed) {
                    0 => e,
                    1 => e.context("after a restart"),
                    n => e.context(format!("after {n} restarts")),
                });
            };
            log::warn!("job {} ({}) failed and starts again in {pause:.1?}: {e}", self.job.id, self.job.name);
            if self.wait(pause) {
                return JobState::Cancelled;
            }
            self.job.checkpoints.restarts.fetch_add(1, Ordering::Relaxed);
            restarts.started(Instant::now());
            attempt = self.again();
        }
    }

    /// Waits between two attempts; true if the user stops the job meanwhile.
    fn wait(&self, pause: Duration) -> bool {
        let requests = self.durable.as_ref().map_or_else(crossbeam_channel::never, |d| d.requests.clone());
        let until = Instant::now() + pause;
        while let Ok(request) = requests.recv_deadline(until) {
            match request {
                Request::Stop => return true,
                Request::Savepoint { reply, .. } => {
                    let why =
                        Error::execution("the job is about to be started again and has no rows to save");
                    let _ = reply.send(Err(why.with_hint("try again when it runs; SHOW JOBS")));
                }
            }
        }
        self.job.is_stopping()
    }

    /// Tasks from the last checkpoint.
    fn again(&self) -> Result<Attempt> {
        let from = match &self.durable {
            Some(durable) => {
                let (latest, warnings) = durable.checkpoints.lock().latest()?;
                warnings.iter().for_each(|warning| log::warn!("{warning}"));
                match latest {
                    Some(latest) => Some(Arc::new(latest)),
                    None => durable.durability.named_savepoint()?.map(Arc::new),
                }
            }
            None => None,
        };
        self.attempt(from, true)
    }
}

/// The exchanges between fragments by number.
fn exchanges(fragments: &[Arc<Fragment>]) -> Result<HashMap<usize, Exchange>> {
    let mut senders: HashMap<usize, usize> = HashMap::new();
    for fragment in fragments {
        if let Tail::Exchange { number, .. } = &fragment.tail {
            *senders.entry(*number).or_default() += fragment.parallelism;
        }
    }
    let mut exchanges = HashMap::new();
    for fragment in fragments {
        for (head, _) in &fragment.heads {
            let Head::Exchange(number) = head else { continue };
            let senders = senders.get(number).copied().unwrap_or(0);
            let exchange = Exchange::new(senders, fragment.parallelism);
            if senders == 0 || exchanges.insert(*number, exchange).is_some() {
                return Err(Error::internal(format!("exchange {number} does not have two sides")));
            }
        }
    }
    match senders.keys().find(|number| !exchanges.contains_key(number)) {
        Some(number) => Err(Error::internal(format!("nobody receives exchange {number}"))),
        None => Ok(exchanges),
    }
}

/// Counters of the heads, the operators and the tail of a fragment.
fn stages(fragment: &Fragment, number: usize) -> Vec<Arc<StageMetrics>> {
    let heads = fragment.heads.iter().map(|(head, _)| match head {
        Head::Source(source, _) => ("Source", source.describe()),
        Head::Exchange(_) => ("Receive", String::new()),
    });
    let operators = fragment.operators.iter().map(|stage| (stage.name, stage.detail.clone()));
    let tail = match &fragment.tail {
        Tail::Sink(_, id) => ("Sink", id.strip_prefix("Sink-").unwrap_or_default().to_string()),
        Tail::Exchange { keys, .. } if keys.is_empty() => ("Exchange", "single".to_string()),
        Tail::Exchange { keys, .. } => ("Exchange", format!("hash{keys:?}")),
    };
    let all = heads.chain(operators).chain([tail]);
    all.map(|(name, detail)| Arc::new(StageMetrics::new(number, name, detail, fragment.parallelism)))
        .collect()
}

/// Starts a job; returns at once. With checkpoints it goes on where the last one has it.
pub fn start(of: Start, outputs: Vec<Output>) -> Result<Arc<Job>> {
    let Start { id, name, wanted, durability, restart, clock, runtime, memory } = of;
    let lookups = outputs.iter().flat_map(|o| o.node.all_lookups()).collect();
    let job = Job::new(id, name, lookups);
    let mut identities = Identities::default();
    let (mut fragments, mut targets) = (Vec::new(), Vec::new());
    for output in outputs {
        let unbounded = !output.node.properties.bounded;
        let id = identities.next(output.id);
        let mut wire = Wire::new(wanted, &mut identities);
        wire.add(&output.node, (&output.sink, &id), output.before)?;
        fragments.push(wire.finish().into_iter().map(Arc::new).collect::<Vec<_>>());
        targets.push(Target { id, sink: output.sink, unbounded });
    }
    let all = fragments.iter().flatten().enumerate();
    let stages: Vec<_> = all.map(|(number, fragment)| stages(fragment, number)).collect();
    job.set_stages(stages.iter().flatten().cloned().collect());
    let mut ended = false;
    let (durable, from) = match durability {
        None => (None, None),
        Some(durability) => {
            let plan = recovery::plan(&job.name, wanted, &fragments);
            let (checkpoints, found) = durability.open(&plan)?;
            ended = found.as_ref().is_some_and(|f| f.ended);
            let from = found.map(|f| f.checkpoint);
            let (control, requests) = crossbeam_channel::unbounded();
            job.set_control(control);
            let plan = JobPlan { origin: durability.origin(), ..plan };
            let checkpoints = Arc::new(Mutex::new(checkpoints));
            (Some(Durable { checkpoints, plan, durability, requests }), from.map(Arc::new))
        }
    };
    let blueprint =
        Blueprint { job: job.clone(), outputs: fragments, targets, stages, clock, runtime, memory, durable };
    // Sources and sinks may have to wait for what they ask: on the job's own thread, not on the caller's.
    thread::Builder::new().name(format!("affluent-job-{id}")).spawn(move || {
        // A job that had ended needs nothing but its last commit.
        let state = match ended {
            false => blueprint.supervise(from, restart),
            true => match blueprint.commit_ended(from.as_deref()) {
                Ok(()) => JobState::Finished,
                Err(e) => JobState::Failed(e),
            },
        };
        // The state first: a reader that sees the channel closed asks for it.
        let job = blueprint.job.clone();
        job.close();
        job.end(state);
        drop(blueprint);
    })?;
    Ok(job)
}

/// Runs tasks to their end. The first failure cancels the others and is what is reported.
fn run_all(job: &Arc<Job>, tasks: Vec<(TaskPlan, TaskContext)>) -> Result<()> {
    let (sender, ended) = crossbeam_channel::unbounded();
    let mut running = 0;
    for (index, (plan, context)) in tasks.into_iter().enumerate() {
        let done = sender.clone();
        let builder = thread::Builder::new().name(format!("affluent-{}-{index}", job.id));
        let spawned = builder.spawn(move || {
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| task::run(plan, context)));
            let result = result.unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<&str>().map(|s| s.to_string());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Error::internal(format!("a task panicked: {}", words.unwrap_or_default()))
                    .with_hint("this is a fault of affluent; please report it with the query"))
            });
            // The receiver outlives the tasks.
            let _ = done.send(result);
        });
        match spawned {
            Ok(_) => running += 1,
            Err(e) => {
                let _ = sender.send(Err(e.into()));
                running += 1;
            }
        }
    }
    let mut first: Result<()> = Ok(());
    for _ in 0..running {
        let result = ended.recv().unwrap_or_else(|_| Err(Error::internal("a task vanished")));
        let Err(e) = result else { continue };
        job.halt();
        let replace = match &first {
            Ok(()) => true,
            // What cancelled the others says more than that they were cancelled.
            Err(f) => f.kind() == ErrorKind::Cancelled && e.kind() != ErrorKind::Cancelled,
        };
        if replace {
            first = Err(e);
        }
    }
    first
}
