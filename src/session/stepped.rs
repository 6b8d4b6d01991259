//! One incarnation of a job whose tasks are stepped one by one, on one thread, and the checkpoint that is on its way:
//! for the simulation, and for `affluent test`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::start::Output;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::exchange::Exchange;
use crate::flow::fragment::{Fragment, Head, Tail};
use crate::flow::mailbox::Bell;
use crate::flow::task::{Report, Reporter, Stepped, TAIL, Task, TaskContext, TaskPlan, TaskTail};
use crate::flow::{Barrier, JobMetrics, Mailbox, StageMetrics, WriterContext};
use crate::plan::identity::Identities;
use crate::plan::wire::Wire;
use crate::state::Memory;
use crate::state::checkpoint::{Checkpoint, Cut, JobPlan, OperatorPlan};

/// One task.
struct Running {
    /// `None` once it has ended.
    task: Option<Task>,
    mailbox: Mailbox,
    parked: bool,
    /// When it wants its next turn, whatever comes.
    due: Option<Instant>,
    /// What it told and no checkpoint has yet.
    reports: VecDeque<Report>,
    /// A checkpoint has its last report.
    closed: bool,
    /// What its writer told last.
    pending: Option<(String, Vec<Value>)>,
}

/// The tasks of a job between two crashes.
pub(crate) struct Incarnation {
    tasks: Vec<Running>,
    reports: crossbeam_channel::Receiver<Report>,
    /// The checkpoint that is on its way.
    barrier: Option<Barrier>,
    positions: BTreeMap<String, BTreeMap<String, Value>>,
    sinks: Vec<String>,
    pub(crate) plan: JobPlan,
}

fn exchanges(fragments: &[&Fragment]) -> Result<HashMap<usize, Exchange>> {
    let mut senders: HashMap<usize, usize> = HashMap::new();
    for fragment in fragments {
        for number in fragment.tail.exchanges() {
            *senders.entry(*number).or_default() += fragment.parallelism;
        }
    }
    let heads = fragments.iter().flat_map(|f| f.heads.iter().map(move |(head, _)| (head, f.parallelism)));
    heads
        .filter_map(|(head, receivers)| match head {
            Head::Exchange(number) => Some((*number, receivers)),
            Head::Source(..) => None,
        })
        .map(|(number, receivers)| {
            let senders = senders.get(&number).copied();
            let senders =
                senders.ok_or_else(|| Error::internal(format!("exchange {number} has no sender")))?;
            Ok((number, Exchange::new(senders, receivers)))
        })
        .collect()
}

fn stages(fragment: &Fragment, number: usize) -> Vec<Arc<StageMetrics>> {
    let names = fragment.heads.iter().map(|_| "Head");
    let names = names.chain(fragment.operators.iter().map(|stage| stage.name)).chain(["Tail"]);
    names.map(|name| Arc::new(StageMetrics::new(number, name, String::new(), fragment.parallelism))).collect()
}

fn operators(fragments: &[Fragment]) -> impl Iterator<Item = OperatorPlan> {
    let named =
        |id: &String, name: &str| OperatorPlan { id: id.clone(), name: name.into(), ..Default::default() };
    fragments.iter().flat_map(move |fragment| {
        let heads = fragment.heads.iter().filter_map(|(head, _)| match head {
            Head::Source(_, id) => Some(named(id, "Source")),
            Head::Exchange(_) => None,
        });
        let stages = fragment.operators.iter().map(|stage| named(&stage.id, stage.name));
        let tail = match &fragment.tail {
            Tail::Sink(_, id) => Some(named(id, "Sink")),
            Tail::Exchange { .. } | Tail::Share(_) => None,
        };
        heads.chain(stages).chain(tail).collect::<Vec<_>>()
    })
}

/// How tasks are opened.
pub(crate) struct Opening {
    pub(crate) parallelism: usize,
    /// They take part in checkpoints.
    pub(crate) checkpointed: bool,
    pub(crate) memory: Arc<Memory>,
    /// Counters of the job.
    pub(crate) metrics: Arc<JobMetrics>,
    /// Rung when a task has mail.
    pub(crate) bell: Option<Arc<Bell>>,
}

impl Incarnation {
    /// Makes and opens the tasks of a job, new or from a checkpoint.
    pub(crate) fn open(
        outputs: &[Output],
        how: Opening,
        restored: Option<Arc<Checkpoint>>,
        clock: &Arc<dyn Clock>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self> {
        let Opening { parallelism, checkpointed, memory, metrics, bell } = how;
        let mut identities = Identities::default();
        let (sender, reports) = crossbeam_channel::unbounded();
        let (mut tasks, mut sinks, mut number) = (Vec::new(), Vec::new(), 0);
        let mut plan = JobPlan { name: "simulated".into(), parallelism, ..JobPlan::default() };
        let positions = restored.as_ref().map(|c| c.sources().clone()).unwrap_or_default();
        let mut plans = Vec::new();
        let mut wire = Wire::new(parallelism, &mut identities);
        wire.shares(outputs.iter().map(|o| (&o.node, o.before)));
        for output in outputs {
            plans.push((output, wire.add(&output.node, (&output.sink, &output.id), output.before)?));
        }
        let all: Vec<&Fragment> = plans.iter().flat_map(|(_, fragments)| fragments).collect();
        let exchanges = Arc::new(exchanges(&all)?);
        let mut senders = HashMap::<usize, usize>::new();
        for (_, fragments) in &plans {
            plan.operators.extend(operators(fragments));
            for (head, _) in fragments.iter().flat_map(|fragment| &fragment.heads) {
                if let Head::Source(source, id) = head {
                    source.resume(positions.get(id).unwrap_or(&BTreeMap::new()), runtime)?;
                }
            }
        }
        for (output, fragments) in plans {
            sinks.push(output.id.clone());
            if checkpointed {
                let pending = restored.as_ref().and_then(|c| c.sinks().get(&output.id).cloned());
                output.sink.recover(&pending.unwrap_or_default())?;
            }
            let is_sink = |fragment: &&Fragment| matches!(fragment.tail, Tail::Sink(..));
            let all_writers = fragments.iter().filter(is_sink).map(|f| f.parallelism).sum();
            let mut writers = 0;
            for fragment in fragments {
                let fragment = Arc::new(fragment);
                let stages = stages(&fragment, number);
                number += 1;
                for task in 0..fragment.parallelism {
                    let mailbox = bell.clone().map_or_else(Mailbox::new, Mailbox::with_bell);
                    let tail = match &fragment.tail {
                        Tail::Sink(sink, _) => {
                            writers += 1;
                            TaskTail::Writer(
                                sink.writer(WriterContext {
                                    task: writers - 1,
                                    tasks: all_writers,
                                    waker: mailbox.waker(TAIL),
                                    runtime: runtime.clone(),
                                    clock: clock.clone(),
                                    metrics: stages
                                        .last()
                                        .cloned()
                                        .ok_or_else(|| Error::internal("a sink has no counters"))?,
                                })?,
                            )
                        }
                        tail @ (Tail::Exchange { .. } | Tail::Share(_)) => {
                            let number = tail.exchanges().first().copied().unwrap_or_default();
                            let senders = senders.entry(number).or_default();
                            *senders += 1;
                            TaskTail::Sender(*senders - 1)
                        }
                    };
                    let index = tasks.len();
                    let reports = sender.clone();
                    let context = TaskContext {
                        mailbox: mailbox.clone(),
                        clock: clock.clone(),
                        runtime: runtime.clone(),
                        metrics: metrics.clone(),
                        reporter: checkpointed.then_some(Reporter { index, reports }),
                        memory: memory.clone(),
                        gather: std::time::Duration::ZERO,
                    };
                    let plan = TaskPlan {
                        fragment: fragment.clone(),
                        task,
                        tail,
                        exchanges: exchanges.clone(),
                        endless: false,
                        stages: stages.clone(),
                        restored: restored.clone(),
                    };
                    let task = Some(Task::open(plan, context)?);
                    tasks.push(Running {
                        task,
                        mailbox,
                        parked: false,
                        due: None,
                        reports: VecDeque::new(),
                        closed: false,
                        pending: None,
                    });
                }
            }
        }
        Ok(Self { tasks, reports, barrier: None, positions, sinks, plan })
    }

    /// Number of tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Gives a task its turn; false if it has nothing to do.
    pub(crate) fn step(&mut self, index: usize) -> Result<bool> {
        let running = &mut self.tasks[index];
        let Some(task) = &mut running.task else { return Ok(false) };
        let stepped = task.step()?;
        running.parked = matches!(stepped, Stepped::Parked(_));
        running.due = match stepped {
            Stepped::Parked(due) => due,
            _ => None,
        };
        if stepped == Stepped::Ended {
            running.task = None;
        }
        self.collect();
        Ok(!matches!(stepped, Stepped::Parked(_)))
    }

    fn collect(&mut self) {
        for report in self.reports.try_iter() {
            self.tasks[report.index].reports.push_back(report);
        }
    }

    /// All tasks have ended.
    pub(crate) fn ended(&self) -> bool {
        self.tasks.iter().all(|running| running.task.is_none())
    }

    /// The checkpoint that is on its way.
    #[cfg(test)]
    pub(crate) fn barrier(&self) -> Option<Barrier> {
        self.barrier
    }

    /// Announces a checkpoint to all tasks that run.
    pub(crate) fn announce(&mut self, barrier: Barrier) {
        debug_assert!(self.barrier.is_none(), "one at a time");
        self.barrier = Some(barrier);
        for running in self.tasks.iter().filter(|running| running.task.is_some()) {
            running.mailbox.checkpoint(barrier);
        }
    }

    /// The cut, once all tasks have given their part; with `ended`, the last one of a job whose tasks have ended.
    pub(crate) fn complete(&mut self, epoch: u64, ended: bool) -> Option<Cut> {
        let has_part = |running: &Running| {
            running.closed || running.reports.iter().any(|r| r.epoch.is_none() || r.epoch == Some(epoch))
        };
        if !self.tasks.iter().all(has_part) {
            return None;
        }
        let mut cut = Cut { epoch, ended, ..Cut::default() };
        cut.sinks.extend(self.sinks.iter().map(|id| (id.clone(), Vec::new())));
        for running in &mut self.tasks {
            let passed = running.reports.iter().any(|r| r.epoch == Some(epoch));
            while let Some(report) = running.reports.front() {
                if passed && report.epoch.is_none() && !ended {
                    break;
                }
                let Some(report) = running.reports.pop_front() else { break };
                running.closed |= report.epoch.is_none();
                for (source, positions) in report.positions {
                    self.positions.entry(source).or_default().extend(positions);
                }
                running.pending = report.pending;
                cut.tasks.push(report.cut);
            }
            if let Some((sink, pending)) = &running.pending {
                cut.sinks.entry(sink.clone()).or_default().extend(pending.iter().cloned());
            }
        }
        cut.sources = self.positions.clone();
        self.barrier = None;
        Some(cut)
    }

    /// When the first of its tasks wants a turn, whatever comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.tasks.iter().filter(|running| running.task.is_some()).filter_map(|running| running.due).min()
    }

    /// Where everything stands, for people.
    pub(crate) fn describe(&self) -> String {
        let state = |running: &Running| match (&running.task, running.parked) {
            (None, _) => "ended",
            (_, true) => "parked",
            _ => "runs",
        };
        let tasks: Vec<_> = self.tasks.iter().map(state).collect();
        format!("tasks: {}, barrier: {:?}", tasks.join(" "), self.barrier)
    }
}
