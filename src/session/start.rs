//! Starts jobs: one thread a task, one watcher that ends the job when the tasks have.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use crate::clock::Clock;
use crate::connector::{Sink, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::fragment::Fragment;
use crate::flow::task::{self, TaskContext};
use crate::flow::{Job, JobState, Mailbox};
use crate::plan::Node;
use crate::plan::graph::Distribution;
use crate::plan::wire::Wire;

/// One INSERT or SELECT.
pub struct Output {
    /// What gives the rows.
    pub node: Node,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Whether the sink needs `-U`.
    pub before: bool,
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
    let mut tasks = Vec::new();
    for output in outputs {
        let unbounded = !output.node.properties.bounded;
        if unbounded {
            output.sink.unbounded();
        }
        // Operators whose rows have to meet run in one task.
        let mut meets = false;
        output
            .node
            .walk(&mut |node| meets |= node.inputs.iter().any(|i| i.distribution != Distribution::Any));
        let mut wire = Wire::new(if meets { 1 } else { wanted });
        wire.add(&output.node, &output.sink, output.before)?;
        let mut writers = 0;
        for fragment in wire.finish() {
            for task in 0..fragment.parallelism {
                let mailbox = Mailbox::new();
                job.register(mailbox.clone());
                // Made here, one after the other: a sink may want to know how many there are.
                let writer = output.sink.writer(writers)?;
                writers += 1;
                let context = TaskContext {
                    task,
                    mailbox,
                    clock: clock.clone(),
                    runtime: runtime.clone(),
                    metrics: job.metrics.clone(),
                };
                tasks.push((fragment.clone(), unbounded, writer, context));
            }
        }
        sinks.push((output.sink, unbounded));
    }
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
fn run_all(job: &Arc<Job>, tasks: Vec<(Fragment, bool, Box<dyn Writer>, TaskContext)>) -> Result<()> {
    let (sender, ended) = crossbeam_channel::unbounded();
    let mut running = 0;
    for (index, (fragment, endless, writer, context)) in tasks.into_iter().enumerate() {
        let done = sender.clone();
        let builder = thread::Builder::new().name(format!("affluent-{}-{index}", job.id));
        let spawned = builder.spawn(move || {
            let result =
                std::panic::catch_unwind(AssertUnwindSafe(|| task::run(&fragment, endless, writer, context)));
            let result = result.unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<&str>().map(|s| s.to_string());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Error::internal(format!("a task panicked: {}", words.unwrap_or_default()))
                    .with_hint("this is a fault of affluent; please report it with the query"))
            });
            drop(fragment);
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
