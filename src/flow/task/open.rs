//! A task is made: readers, operators with their state, and what they write to.

use std::time::Duration;

use super::{
    Gather, HEADS, HeadState, Input, Place, Progress, Step, TAIL, TailState, Task, TaskContext, TaskPlan,
    TaskTail,
};
use crate::error::{Error, Result};
use crate::flow::exchange::Sender;
use crate::flow::fragment::{Head, Port, Tail};
use crate::flow::merge::Merge;
use crate::flow::operator::{OperatorContext, Output, Splits};
use crate::flow::source::{Positions, ReaderContext};
use crate::flow::tiered::Tiered;

/// Numbers the senders of each input as they are met.
struct Places {
    /// Senders by operator and input.
    senders: Vec<Vec<usize>>,
}

impl Places {
    fn place(&mut self, port: Port, from: usize) -> Result<Place> {
        let Port { operator, input } = port;
        let Some(inputs) = self.senders.get_mut(operator).filter(|_| operator >= from) else {
            return Err(Error::internal(format!(
                "a fragment sends to operator {operator}, which does not follow"
            )));
        };
        if inputs.len() <= input {
            inputs.resize(input + 1, 0);
        }
        inputs[input] += 1;
        Ok(Place { operator, input, sender: inputs[input] - 1 })
    }

    fn merges(&self) -> Result<Vec<Merge>> {
        if self.senders.iter().any(|inputs| inputs.is_empty() || inputs.contains(&0)) {
            return Err(Error::internal("an input of an operator has no sender"));
        }
        Ok(self.senders.iter().map(|inputs| Merge::new(inputs)).collect())
    }
}

/// Operators from one to the tail.
fn path(first: usize, to: &[Place]) -> Vec<usize> {
    std::iter::successors(Some(first), |&o| to.get(o).map(|p| p.operator)).filter(|&o| o < to.len()).collect()
}

impl Task {
    /// Makes readers and operators and gives them their state back.
    pub fn open(plan: TaskPlan, context: TaskContext) -> Result<Self> {
        let TaskPlan { fragment, task, tail, exchanges, endless, mut stages, restored } = plan;
        let parallelism = fragment.parallelism;
        let exchange = |number: usize| {
            exchanges.get(&number).ok_or_else(|| Error::internal(format!("there is no exchange {number}")))
        };
        let (heads, operators) = (fragment.heads.len(), fragment.operators.len());
        if stages.len() != heads + operators + 1 {
            return Err(Error::internal("a task has not one counter a step"));
        }
        let tail_metrics = stages.remove(heads + operators);
        let mut places = Places { senders: vec![Vec::new(); operators + 1] };
        let from_heads: Vec<Place> =
            fragment.heads.iter().map(|(_, port)| places.place(*port, 0)).collect::<Result<_>>()?;
        let from_steps: Vec<Place> = fragment
            .operators
            .iter()
            .enumerate()
            .map(|(i, stage)| places.place(stage.to, i + 1))
            .collect::<Result<_>>()?;
        let tail = match (tail, &fragment.tail) {
            (TaskTail::Writer(writer), Tail::Sink(_, id)) => TailState::Writer(writer, id.clone()),
            (TaskTail::Sender(sender), Tail::Exchange { number, keys }) => {
                let waker = context.mailbox.waker(TAIL);
                TailState::Sender(exchange(*number)?.sender(sender, keys.clone(), &waker))
            }
            (TaskTail::Sender(sender), Tail::Share(numbers)) => {
                let waker = context.mailbox.waker(TAIL);
                let senders = numbers.iter().map(|n| Ok(exchange(*n)?.sender_to(sender, task, &waker)));
                let all = senders.reduce(|all: Result<Sender>, next| Ok(all?.and(next?)));
                let all = all.ok_or_else(|| Error::internal("rows that are shared by nobody"))??;
                TailState::Sender(all)
            }
            _ => return Err(Error::internal("a task does not end where its fragment does")),
        };
        let mut opened = Vec::with_capacity(heads);
        for (i, (head, _)) in fragment.heads.iter().enumerate() {
            let waker = context.mailbox.waker(HEADS + i);
            let input = match head {
                Head::Source(source, id) => Input::Reader {
                    id: id.clone(),
                    reader: source.reader(ReaderContext {
                        task,
                        parallelism,
                        waker,
                        runtime: context.runtime.clone(),
                        clock: context.clock.clone(),
                        metrics: stages[i].clone(),
                        checkpoints: context.reporter.is_some(),
                        gather: context.gather,
                    })?,
                    progress: Progress::default(),
                    splits: Splits::default(),
                },
                Head::Exchange(number) => Input::Receiver(exchange(*number)?.receiver(task, waker)),
            };
            opened.push(HeadState {
                input,
                to: from_heads[i],
                path: path(from_heads[i].operator, &from_steps),
                readable: true,
                gather: Gather::new(match head {
                    Head::Source(source, _) if !source.bounded() => context.gather,
                    _ => Duration::ZERO,
                }),
                cutting: None,
                barrier: None,
                positions: Positions::new(),
                metrics: stages[i].clone(),
            });
        }
        let mut steps = Vec::with_capacity(operators);
        for (i, stage) in fragment.operators.iter().enumerate() {
            let inner = (stage.build)()?;
            if let Some(stays) = inner.stays().filter(|_| context.memory.is_told_first(inner.name())) {
                log::warn!(
                    "{} keeps {stays}: 'affluent.state.memory-limit' does not hold for that",
                    inner.name()
                );
            }
            let mut operator = Tiered::around(inner, &stage.build, &context.memory);
            operator.open(OperatorContext {
                task,
                parallelism,
                waker: context.mailbox.waker(i),
                clock: context.clock.clone(),
                checkpointed: context.reporter.is_some(),
                memory: context.memory.clone(),
            })?;
            if let Some(checkpoint) = &restored {
                let state = checkpoint.operator(&stage.id, task, parallelism);
                let now = context.clock.now_millis();
                let restored = state.and_then(|state| operator.restore(&mut state.at(now)));
                restored.map_err(|e| e.context(format!("{} cannot take its state back", stage.name)))?;
            }
            steps.push(Step {
                id: stage.id.clone(),
                operator,
                out: Output::default(),
                to: from_steps[i],
                path: path(from_steps[i].operator, &from_steps),
                woken: false,
                ended: false,
                late: 0,
                dropped: 0,
                metrics: stages[heads + i].clone(),
            });
        }
        Ok(Self {
            task,
            tasks: parallelism,
            heads: opened,
            turn: 0,
            steps,
            merges: places.merges()?,
            tail,
            tail_metrics,
            mailbox: context.mailbox,
            metrics: context.metrics,
            endless,
            ended: false,
            reporter: context.reporter,
            announced: None,
            passed: 0,
            lining_up: None,
            full: true,
            stopped: false,
            left: Vec::new(),
            weighed: None,
            held: None,
            finished: false,
            leaving: false,
            closing: None,
        })
    }
}
