//! Starts jobs: one thread a task, one watcher that ends the job when the tasks have.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use crate::clock::Clock;
use crate::connector::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::exchange::Exchange;
use crate::flow::fragment::{Fragment, Head, Tail};
use crate::flow::task::{self, TaskContext, TaskPlan, TaskTail};
use crate::flow::{Job, JobState, Mailbox, StageMetrics};
use crate::plan::Node;
use crate::plan::identity::Identities;
use crate::plan::wire::Wire;

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

/// Makes the tasks of a job.
struct Launch<'a> {
    job: &'a Arc<Job>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    tasks: Vec<(TaskPlan, TaskContext)>,
    stages: Vec<Arc<StageMetrics>>,
    /// Fragments so far.
    fragments: usize,
}

impl Launch<'_> {
    /// Adds the fragments that lead to one sink; their exchanges are numbered for themselves.
    fn add(&mut self, fragments: Vec<Fragment>, endless: bool) -> Result<()> {
        let exchanges = Arc::new(exchanges(&fragments)?);
        // Sinks count writers, exchanges senders, over all fragments.
        let mut writers = 0;
        let mut senders: HashMap<usize, usize> = HashMap::new();
        for fragment in fragments {
            let fragment = Arc::new(fragment);
            let stages = stages(&fragment, self.fragments);
            self.fragments += 1;
            self.stages.extend(stages.iter().cloned());
            for task in 0..fragment.parallelism {
                let tail = match &fragment.tail {
                    // Made here, one after the other: a sink may want to know how many there are.
                    Tail::Sink(sink, _) => {
                        writers += 1;
                        TaskTail::Writer(sink.writer(writers - 1)?)
                    }
                    Tail::Exchange { number, .. } => {
                        let senders = senders.entry(*number).or_default();
                        *senders += 1;
                        TaskTail::Sender(*senders - 1)
                    }
                };
                let mailbox = Mailbox::new();
                self.job.register(mailbox.clone());
                let context = TaskContext {
                    mailbox,
                    clock: self.clock.clone(),
                    runtime: self.runtime.clone(),
                    metrics: self.job.metrics.clone(),
                    reporter: None,
                };
                let (fragment, exchanges) = (fragment.clone(), exchanges.clone());
                let plan = TaskPlan {
                    fragment,
                    task,
                    tail,
                    exchanges,
                    endless,
                    stages: stages.clone(),
                    restored: None,
                };
                self.tasks.push((plan, context));
            }
        }
        Ok(())
    }
}

/// The exchanges between fragments by number.
fn exchanges(fragments: &[Fragment]) -> Result<HashMap<usize, Exchange>> {
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
        Tail::Sink(..) => ("Sink", String::new()),
        Tail::Exchange { keys, .. } if keys.is_empty() => ("Exchange", "single".to_string()),
        Tail::Exchange { keys, .. } => ("Exchange", format!("hash{keys:?}")),
    };
    let all = heads.chain(operators).chain([tail]);
    all.map(|(name, detail)| Arc::new(StageMetrics::new(number, name, detail, fragment.parallelism)))
        .collect()
}

/// Starts the tasks of a job; returns at once.
pub fn start(
    id: u64,
    name: String,
    outputs: Vec<Output>,
    cancel: crossbeam_channel::Sender<()>,
    wanted: usize,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
) -> Result<Arc<Job>> {
    let lookups = outputs.iter().flat_map(|o| o.node.all_lookups()).collect();
    let job = Job::new(id, name, lookups, cancel);
    let mut sinks = Vec::with_capacity(outputs.len());
    let mut identities = Identities::default();
    let mut launch =
        Launch { job: &job, clock, runtime, tasks: Vec::new(), stages: Vec::new(), fragments: 0 };
    for output in outputs {
        let unbounded = !output.node.properties.bounded;
        if unbounded {
            output.sink.unbounded();
        }
        let mut wire = Wire::new(wanted, &mut identities);
        wire.add(&output.node, (&output.sink, &output.id), output.before)?;
        launch.add(wire.finish(), unbounded)?;
        sinks.push((output.sink, unbounded));
    }
    let Launch { tasks, stages, .. } = launch;
    job.set_stages(stages);
    let watched = job.clone();
    thread::Builder::new().name(format!("affluent-job-{id}")).spawn(move || {
        let end = run_all(&watched, tasks);
        let end = match end {
            Ok(()) => sinks.iter().try_for_each(|(sink, _)| sink.commit()),
            // An endless stream is ended like this: what was written stays.
            Err(e) if e.kind() == ErrorKind::Cancelled => {
                let kept = sinks.iter().filter(|(_, unbounded)| *unbounded);
                kept.map(|(sink, _)| sink.commit()).collect::<Result<Vec<_>>>().and(Err(e))
            }
            Err(e) => Err(e),
        };
        let state = match end {
            Ok(()) => JobState::Finished,
            Err(e) if e.kind() == ErrorKind::Cancelled => {
                sinks.iter().filter(|(_, unbounded)| !unbounded).for_each(|(sink, _)| sink.abort());
                JobState::Cancelled
            }
            Err(e) => {
                sinks.iter().for_each(|(sink, _)| sink.abort());
                JobState::Failed(e)
            }
        };
        // The state first: a reader that sees the channel closed asks for it.
        watched.end(state);
        drop(sinks);
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
        job.cancel();
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
