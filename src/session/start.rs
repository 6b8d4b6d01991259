//! Starts jobs, and starts them again: one thread a task, one supervisor that ends the job when the tasks have.
//!
//! ```text
//!  fragments ──> tasks ──> run ──┬─ all ended ───────────> commit ──┬─> FINISHED
//!      ^                         │                         ^  failed └─> pause ─┐
//!      │                         │                         └────────────────────┘
//!      │                         ├─ stopped by the user ─> CANCELED (after a last checkpoint, if there are any)
//!      │                         └─ failed ──┬─ cannot pass, or no restart left ──> FAILED
//!      └── last checkpoint <── pause <───────┘
//! ```
//! The end is a state as well. Once the last checkpoint is durable no task runs again: what is left is to commit
//! what it holds, as often as that takes. If the job may not try again it fails, and everything stays where it
//! is: the same command finds the checkpoint and commits. Deleting checkpoints is never a reason to fail.

mod door;
mod environs;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use self::door::{Door, opened, wait};
use self::environs::{functions, zone};
use super::claims;
use super::recovery::{self, Durability, Found};
use crate::clock::Clock;
use crate::connector::{Place, Positions, Sink, Source, WriterContext};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::coordinator::{
    Coordinated, Coordination, Coordinator, Durable as Commits, Pending, Request,
};
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
use crate::state::store::lease::Lease;

/// One INSERT or SELECT.
pub struct Output {
    /// The plan of the rows.
    pub node: Node,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Identity of the sink in checkpoints.
    pub id: String,
    /// The table that is written.
    pub table: Option<String>,
    /// Where that is.
    pub place: Option<Place>,
    /// Whether the sink needs `-U`.
    pub before: bool,
}

/// How a job is to run.
pub struct Start {
    /// The job, which the session knows already: it can be stopped while it starts.
    pub job: Arc<Job>,
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
    /// How long rows of sources that never end may gather.
    pub gather: Duration,
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
    gather: Duration,
    /// With checkpoints.
    durable: Option<Durable>,
}

/// A job's checkpoints while it runs.
struct Durable {
    checkpoints: Arc<Mutex<Checkpoints>>,
    plan: JobPlan,
    durability: Arc<Durability>,
    requests: Receiver<Request>,
    lease: Arc<Lease>,
}

/// Tasks that are about to run.
struct Attempt {
    tasks: Vec<(TaskPlan, TaskContext)>,
    coordinator: Option<(Coordinator, Receiver<Report>)>,
}

/// What a job does next.
enum Step {
    /// It runs its tasks.
    Run(Box<Attempt>),
    /// Its tasks have ended: it commits what its last checkpoint holds. `again`: its sinks have begun before.
    Commit { commits: Commits, again: bool },
}

impl Blueprint {
    /// Sinks that say which checkpoint the job may go on from.
    fn deciding(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.sink.decides())
    }

    /// The newest checkpoint whose rows all sinks can stand for, or the beginning.
    fn settled(&self, from: Option<Found>) -> Result<Option<Found>> {
        let Some(durable) = self.durable.as_ref().filter(|_| self.deciding().next().is_some()) else {
            return Ok(from);
        };
        durable.checkpoints.lock().retain(2);
        let Some(found) = from else { return Ok(None) };
        let holds = |checkpoint: &Checkpoint, epoch: u64| {
            self.deciding().try_fold(true, |all, Target { id, sink, .. }| {
                let pending = checkpoint.sinks().get(id).map_or(&[][..], Vec::as_slice);
                Ok::<_, Error>(sink.holds(epoch, pending)? && all)
            })
        };
        if found.named {
            // What the user names counts, whatever was written after it.
            if let Err(e) = holds(&found.checkpoint, found.checkpoint.epoch()) {
                log::warn!("job {} ({}): {e}", self.job.id, self.job.name);
            }
            return Ok(Some(found));
        }
        let newest = found.checkpoint.epoch();
        let mut at = found;
        loop {
            let epoch = at.checkpoint.epoch();
            if holds(&at.checkpoint, epoch)? {
                if epoch < newest {
                    log::info!(
                        target: crate::NOTICE,
                        "job '{}' goes back to checkpoint {epoch}: what was written after it was not committed",
                        self.job.name
                    );
                    durable.checkpoints.lock().go_back_to(epoch)?;
                }
                return Ok(Some(at));
            }
            let older = durable.checkpoints.lock().before(epoch)?;
            match older {
                Some(older) => at = Found::own(older),
                None => break,
            }
        }
        if !holds(&at.checkpoint, 0)? {
            return Err(Error::io("the checkpoint whose rows were committed last is not there any more")
                .with_detail(format!(
                    "in {} the oldest is {} and the newest {newest}",
                    durable.durability.place(),
                    at.checkpoint.epoch()
                ))
                .with_hint(
                    "to continue from the newest nevertheless, name it: SET 'execution.state-recovery.path' = '...'; to start from the beginning, \
                     run with --fresh; rows may be written twice then",
                )
                .lasting());
        }
        log::info!(
            target: crate::NOTICE,
            "job '{}' begins again: nothing that it wrote was committed",
            self.job.name
        );
        durable.checkpoints.lock().go_back_to(0)?;
        durable.durability.named_savepoint()
    }

    /// What a checkpoint leaves to be done.
    fn step(&self, from: Option<Found>, again: bool) -> Result<Step> {
        match self.settled(from)? {
            Some(Found { checkpoint, ended: true, .. }) => {
                let commits = Commits { epoch: checkpoint.epoch(), sinks: checkpoint.sinks().clone() };
                Ok(Step::Commit { commits, again: false })
            }
            from => self
                .attempt(from.map(|found| Arc::new(found.checkpoint)), again)
                .map(|attempt| Step::Run(Box::new(attempt))),
        }
    }

    /// Makes tasks, from a checkpoint or from the beginning. `again`: sources and sinks were used before.
    fn attempt(&self, from: Option<Arc<Checkpoint>>, again: bool) -> Result<Attempt> {
        // What was drained has given everything out: only its positions count.
        let restored = from.clone().filter(|c| !c.ended());
        self.hold()?;
        let mut sources: BTreeMap<String, Positions> = BTreeMap::new();
        if from.is_some() || again {
            sources = self.restore_sources(from.as_deref())?;
        }
        if self.durable.is_none() && again {
            self.targets.iter().for_each(|t| t.sink.abort());
        }
        if let Some(durable) = &self.durable {
            durable.checkpoints.lock().fit_into(self.memory.limit());
            self.recover_sinks(durable, restored.as_deref(), from.is_none() && !again)?;
        }
        let (sender, reports) = crossbeam_channel::unbounded();
        let sender = self.durable.is_some().then_some(sender);
        let mut tasks = Vec::new();
        let mut mailboxes = Vec::new();
        let mut stages = self.stages.iter();
        let exchanges = Arc::new(exchanges(&self.outputs)?);
        // Sinks count writers, exchanges senders, over all fragments.
        let mut senders: HashMap<usize, usize> = HashMap::new();
        for (fragments, target) in self.outputs.iter().zip(&self.targets) {
            let is_sink = |fragment: &&Arc<Fragment>| matches!(fragment.tail, Tail::Sink(..));
            let all_writers = fragments.iter().filter(is_sink).map(|f| f.parallelism).sum();
            let mut writers = 0;
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
                        tail @ (Tail::Exchange { .. } | Tail::Share(_)) => {
                            let number = tail.exchanges().first().copied().unwrap_or_default();
                            let senders = senders.entry(number).or_default();
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
                        gather: self.gather,
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
                clock: self.clock.clone(),
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

    /// Sinks go back to a checkpoint; without one, to where nothing is left of a job that made none, or whose
    /// checkpoints that are discarded (`anew`).
    fn recover_sinks(&self, durable: &Durable, from: Option<&Checkpoint>, anew: bool) -> Result<()> {
        let mut former = match from {
            Some(checkpoint) => checkpoint.sinks().clone(),
            None => durable.checkpoints.lock().begun()?,
        };
        if anew && former.is_empty() {
            let checkpoints = durable.checkpoints.lock();
            for Target { id, sink, .. } in &self.targets {
                if let Some(pending) = checkpoints.given_up().get(id) {
                    former.insert(id.clone(), sink.begun_with(pending));
                }
            }
        }
        for Target { id, sink, .. } in &self.targets {
            sink.recover(former.get(id).map_or(&[], Vec::as_slice))?;
        }
        if from.is_none() {
            let begun = self.targets.iter().map(|t| (t.id.clone(), t.sink.begun()));
            let begun: Pending = begun.filter(|(_, values)| !values.is_empty()).collect();
            if !begun.is_empty() {
                durable.checkpoints.lock().note_begun(&begun)?;
            }
        }
        Ok(())
    }

    /// Sources with their identities.
    fn sources(&self) -> impl Iterator<Item = (&Arc<dyn Source>, &String)> {
        let heads = self.outputs.iter().flatten().flat_map(|fragment| &fragment.heads);
        heads.filter_map(|(head, _)| match head {
            Head::Source(source, id) => Some((source, id)),
            Head::Exchange(_) => None,
        })
    }

    /// Where a source reads.
    fn place_of(&self, id: &str) -> Option<&Place> {
        let operators = &self.durable.as_ref()?.plan.operators;
        operators.iter().find(|o| o.id == id)?.place.as_ref()
    }

    /// Puts all sources to where a checkpoint has them, or to their beginning.
    fn restore_sources(&self, from: Option<&Checkpoint>) -> Result<BTreeMap<String, Positions>> {
        let mut all = BTreeMap::new();
        for (source, id) in self.sources() {
            let positions = match from {
                Some(from) => claims::positions(from, id, source.as_ref(), self.place_of(id))?,
                None => Positions::new(),
            };
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
            return run_all(&self.job, tasks).map(|()| Coordinated::Finished(Commits::default()));
        };
        let job = self.job.clone();
        let requests = durable.requests.clone();
        let name = format!("affluent-checkpoint-{}", job.id);
        let coordinating = thread::Builder::new().name(name).spawn(move || {
            let end = coordinator.run(&reports, &requests);
            if !matches!(end, Ok(Coordinated::Finished(_))) {
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

    /// All tasks have ended: makes visible what they wrote.
    fn commit(&self, commits: &Commits, again: bool) -> Result<()> {
        self.hold()?;
        let commit = |Target { id, sink, .. }: &Target| {
            let pending = commits.sinks.get(id).map_or(&[][..], Vec::as_slice);
            let begun = if again { Ok(()) } else { sink.recover(pending) };
            begun.and_then(|()| sink.commit_epoch(commits.epoch, pending)).and_then(|()| sink.commit())
        };
        // Those first that decide whether the checkpoint counts.
        self.deciding().try_for_each(commit)?;
        // Each for itself: one that fails keeps no other from its commit.
        let others = self.targets.iter().filter(|target| !target.sink.decides());
        others.map(commit).fold(Ok(()), Result::and)
    }

    /// The same without checkpoints, for the sinks that were not committed yet: each is once.
    fn commit_next(&self, committed: &mut usize) -> Result<()> {
        for target in self.targets.iter().skip(*committed) {
            target.sink.commit()?;
            *committed += 1;
        }
        Ok(())
    }

    /// Whether no other process has taken over the job.
    fn hold(&self) -> Result<()> {
        self.durable.as_ref().map_or(Ok(()), |durable| durable.checkpoints.lock().hold())
    }

    /// The job is over: its checkpoints are not needed any more. They may stay: that is said, and is no failure.
    fn clean(&self) {
        let Some(durable) = &self.durable else { return };
        if let Err(e) = durable.checkpoints.lock().clear() {
            log::warn!(
                "job {} ({}) is over, and its checkpoints could not be deleted: {e}",
                self.job.id,
                self.job.name
            );
        }
    }

    /// The user has stopped the job.
    fn cancelled(&self) -> Result<()> {
        if let Some(durable) = &self.durable {
            if !durable.durability.keep {
                self.job.checkpoints.forget();
                self.clean();
            }
            return Ok(());
        }
        // An endless stream is ended like this: what was written stays.
        let (kept, left): (Vec<_>, Vec<_>) = self.targets.iter().partition(|t| t.unbounded);
        left.iter().for_each(|t| t.sink.abort());
        kept.into_iter().try_for_each(|t| t.sink.commit())
    }

    /// Runs the job to its end, however often that takes.
    fn supervise(&self, from: Option<Found>, restart: RestartStrategy) -> JobState {
        let mut restarts = Restarts::new(restart);
        let mut next = self.step(from, false);
        // Without checkpoints: sinks that are committed, and how often one was tried again.
        let (mut committed, mut tries) = (0, 0);
        loop {
            let (end, over) = match next {
                Ok(Step::Run(attempt)) => (self.run(*attempt), None),
                Ok(Step::Commit { commits, again }) => match match self.durable {
                    Some(_) => self.commit(&commits, again),
                    None => self.commit_next(&mut committed),
                } {
                    Ok(()) => {
                        self.clean();
                        return JobState::Finished;
                    }
                    Err(e) => (Err(e), Some(commits)),
                },
                Err(e) => (Err(e), None),
            };
            // What another process runs by now is left alone.
            if let Some(e) = self.durable.as_ref().and_then(|durable| durable.lease.fenced()) {
                return JobState::Failed(e);
            }
            let stopped = match end {
                Ok(Coordinated::Finished(commits)) => {
                    next = Ok(Step::Commit { commits, again: true });
                    continue;
                }
                Ok(Coordinated::Stopped) => self.cancelled(),
                Ok(Coordinated::Abandoned) => Err(Error::internal("tasks went away without an error")),
                Err(e) if e.kind() == ErrorKind::Cancelled => self.cancelled(),
                Err(e) => Err(e),
            };
            let Err(mut e) = stopped else { return JobState::Cancelled };
            let mut again = self.may_pass(&e);
            if over.is_some() && self.durable.is_some() {
                // Whatever it is: all rows are there, and somebody may see to what is in their way.
                again = e.kind() != ErrorKind::Internal;
                e = self.uncommitted(e);
            }
            let mut pause = if again { restarts.next(Instant::now(), &e) } else { None };
            if over.is_some() && self.durable.is_none() {
                // The rows are written, and nobody could find them again: somebody may see to what is in their way.
                pause = (tries < COMMIT_TRIES && e.kind() != ErrorKind::Internal)
                    .then(|| Duration::from_millis(500 << tries));
                tries += 1;
            }
            let Some(pause) = pause.filter(|_| !self.job.is_stopping()) else {
                return match over.is_some() && self.durable.is_none() {
                    true => JobState::Failed(left_hidden(e)),
                    false => self.failed(e),
                };
            };
            let Job { id, name, .. } = self.job.as_ref();
            match over.is_some() {
                true => log::warn!("job {id} ({name}) tries to commit its result again in {pause:.1?}: {e}"),
                false => log::warn!("job {id} ({name}) failed and starts again in {pause:.1?}: {e}"),
            }
            let requests =
                self.durable.as_ref().map_or_else(crossbeam_channel::never, |d| d.requests.clone());
            if wait(&self.job, &requests, pause) {
                return if over.is_some() { self.failed(e) } else { JobState::Cancelled };
            }
            restarts.started(Instant::now());
            next = match over {
                // Nobody else can commit what they wrote.
                Some(_) if self.deciding().next().is_some() => self.again(),
                Some(commits) => Ok(Step::Commit { commits, again: false }),
                None => {
                    self.job.checkpoints.restarts.fetch_add(1, Ordering::Relaxed);
                    self.again()
                }
            };
        }
    }

    /// Whether starting again makes sense after a failure. What has worked until now may do so again, even if the
    /// system refuses it at the moment.
    fn may_pass(&self, e: &Error) -> bool {
        let worked = self.job.checkpoints.completed.load(Ordering::Relaxed) > 0;
        if worked { e.may_pass_again() } else { e.may_pass() }
    }

    /// The job does not try again.
    fn failed(&self, e: Error) -> JobState {
        if self.durable.is_none() {
            self.targets.iter().for_each(|t| t.sink.abort());
        }
        JobState::Failed(match self.job.checkpoints.restarts.load(Ordering::Relaxed) {
            0 => e,
            1 => e.context("after a restart"),
            n => e.context(format!("after {n} restarts")),
        })
    }

    /// Says where the rows are whose commit failed, and how to go on.
    fn uncommitted(&self, e: Error) -> Error {
        let Some(durable) = &self.durable else { return e };
        let why = e.detail().map(|detail| format!("{detail}; ")).unwrap_or_default();
        e.context("all rows are written, but the result could not be made visible")
            .with_detail(format!(
                "{why}nothing is lost: the last checkpoint in '{}' and the hidden files beside the result hold it",
                durable.durability.place()
            ))
            .with_hint(durable.durability.how_to_go_on())
    }

    /// What the last checkpoint leaves to be done.
    fn again(&self) -> Result<Step> {
        let Some(durable) = &self.durable else { return self.step(None, true) };
        let (latest, warnings) = durable.checkpoints.lock().latest()?;
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let found = match latest {
            Some(checkpoint) => Some(Found::own(checkpoint)),
            None => durable.durability.named_savepoint()?,
        };
        self.step(found, true)
    }
}

/// How often a job without checkpoints tries to commit its result again: half a minute together.
const COMMIT_TRIES: u32 = 6;

/// The result of a job without checkpoints could not be made visible, and stays where it is.
fn left_hidden(e: Error) -> Error {
    let why = e.detail().map(|detail| format!("{detail}; ")).unwrap_or_default();
    e.context("all rows are written, but the result could not be made visible")
        .with_detail(format!(
            "{why}files of the result that are not visible yet stay beside it as '.part-...inprogress'"
        ))
        .with_hint("rename them, or delete them and run the job again; with 'execution.checkpointing.interval' the same command commits them")
}

/// The exchanges between fragments by number.
fn exchanges(outputs: &[Vec<Arc<Fragment>>]) -> Result<HashMap<usize, Exchange>> {
    let mut senders: HashMap<usize, usize> = HashMap::new();
    for fragment in outputs.iter().flatten() {
        for number in fragment.tail.exchanges() {
            *senders.entry(*number).or_default() += fragment.parallelism;
        }
    }
    let mut exchanges = HashMap::new();
    for fragment in outputs.iter().flatten() {
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
        Some(number) => Err(Error::internal(format!("no task receives exchange {number}"))),
        None => Ok(exchanges),
    }
}

/// Counters of the heads, the operators and the tail of a fragment.
fn stages(fragment: &Fragment, number: usize) -> Vec<Arc<StageMetrics>> {
    let heads = fragment.heads.iter().map(|(head, _)| match head {
        Head::Source(source, _) => ("Source", source.describe(), None),
        Head::Exchange(_) => ("Receive", String::new(), None),
    });
    let operators =
        fragment.operators.iter().map(|stage| (stage.name, stage.detail.clone(), stage.lookup.clone()));
    let tail = match &fragment.tail {
        Tail::Sink(_, id) => ("Sink", id.strip_prefix("Sink-").unwrap_or_default().to_string(), None),
        Tail::Exchange { keys, .. } if keys.is_empty() => ("Exchange", "single".to_string(), None),
        Tail::Exchange { keys, .. } => ("Exchange", format!("hash{keys:?}"), None),
        Tail::Share(numbers) => ("Share", format!("{} times", numbers.len()), None),
    };
    let all = heads.chain(operators).chain([tail]);
    all.map(|(name, detail, lookup)| {
        Arc::new(StageMetrics::new(number, name, detail, fragment.parallelism).with_lookup(lookup))
    })
    .collect()
}

/// The fragments of an output, and the identity of its sink.
type Wired = (String, Vec<Arc<Fragment>>);

/// The fragments of all outputs, and the identities in them.
fn wired(wanted: usize, outputs: &[Output]) -> Result<(Vec<Wired>, Identities)> {
    let mut identities = Identities::default();
    let sink = |o: &Output| identities.sink(o.id.clone(), (o.table.clone(), o.place.clone()));
    let ids: Vec<String> = outputs.iter().map(sink).collect();
    let mut wire = Wire::new(wanted, &mut identities);
    wire.shares(outputs.iter().map(|o| (&o.node, o.before)));
    let fragments = outputs.iter().zip(ids).map(|(output, id)| {
        let own = wire.add(&output.node, (&output.sink, &id), output.before)?;
        Ok((id, own.into_iter().map(Arc::new).collect()))
    });
    let fragments = fragments.collect::<Result<_>>()?;
    Ok((fragments, identities))
}

/// What checkpoints know of a job that was planned and is not started.
pub fn job_plan(name: &str, wanted: usize, outputs: &[Output]) -> Result<JobPlan> {
    let (wired, identities) = wired(wanted, outputs)?;
    let fragments: Vec<_> = wired.into_iter().map(|(_, own)| own).collect();
    Ok(recovery::plan(name, wanted, &fragments, &identities, (functions(outputs), zone(outputs))))
}

/// Starts a job; returns at once. With checkpoints it continues where the last one has it: returns when that is found, or
/// when the user stops the job meanwhile.
pub fn start(of: Start, outputs: Vec<Output>) -> Result<()> {
    let Start { job, wanted, durability, restart, clock, runtime, memory, gather } = of;
    let used = (functions(&outputs), zone(&outputs));
    let (mut fragments, mut targets) = (Vec::new(), Vec::new());
    let (wired, identities) = wired(wanted, &outputs)?;
    for (output, (id, own)) in outputs.into_iter().zip(wired) {
        let unbounded = !output.node.properties.bounded;
        fragments.push(own);
        targets.push(Target { id, sink: output.sink, unbounded });
    }
    let all = fragments.iter().flatten().enumerate();
    let stages: Vec<_> = all.map(|(number, fragment)| stages(fragment, number)).collect();
    job.set_stages(stages.iter().flatten().cloned().collect());
    let door = durability.map(|durability| {
        let plan = recovery::plan(durability.job(), wanted, &fragments, &identities, used);
        let (control, requests) = crossbeam_channel::unbounded();
        job.set_control(control);
        Door {
            plan,
            requests,
            contender: durability.contender(),
            met: false,
            durability: Arc::new(durability),
        }
    });
    let waits = door.is_some();
    let mut blueprint = Blueprint {
        job: job.clone(),
        outputs: fragments,
        targets,
        stages,
        clock,
        runtime,
        memory,
        gather,
        durable: None,
    };
    let (tell, told) = crossbeam_channel::bounded(1);
    // Checkpoints, sources and sinks may have to wait for what they ask: on the job's own thread.
    thread::Builder::new().name(format!("affluent-job-{}", job.id)).spawn(move || {
        let job = blueprint.job.clone();
        let state = match opened(door, &job, &restart, &tell) {
            Ok(opened) => {
                let (durable, found) = opened.unzip();
                blueprint.durable = durable;
                match job.state() {
                    JobState::Running => blueprint.supervise(found.flatten(), restart),
                    // The user has not waited for the store.
                    ended => ended,
                }
            }
            Err(state) => state,
        };
        if let Some(durable) = &blueprint.durable {
            match state {
                JobState::Finished => durable.lease.release_ended(),
                _ => durable.lease.release(),
            }
        }
        // The state first: a reader that sees the channel closed asks for it.
        job.close();
        job.end(state);
        drop(blueprint);
    })?;
    if !waits {
        return Ok(());
    }
    crossbeam_channel::select! {
        recv(told) -> told => told.unwrap_or(Ok(())),
        recv(job.stops()) -> _ => {
            if let Ok(told) = told.try_recv() {
                return told;
            }
            job.end(JobState::Cancelled);
            Ok(())
        }
    }
}

/// Bytes of stack of a task: nested expressions are computed by functions that call themselves.
const TASK_STACK: usize = 16 << 20;

/// Runs tasks to their end. The first failure cancels the others and is what is reported.
fn run_all(job: &Arc<Job>, tasks: Vec<(TaskPlan, TaskContext)>) -> Result<()> {
    let (sender, ended) = crossbeam_channel::unbounded();
    let mut running = 0;
    for (index, (plan, context)) in tasks.into_iter().enumerate() {
        let done = sender.clone();
        let builder =
            thread::Builder::new().name(format!("affluent-{}-{index}", job.id)).stack_size(TASK_STACK);
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
