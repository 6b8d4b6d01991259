//! LIMIT and OFFSET over all tasks of a pipeline.
//!
//! Tasks share what is left, so that the limit is reached as soon as enough rows have come, wherever. In a
//! checkpoint each task has what itself has skipped and emitted in front of the barrier: what is left is the limit less
//! the sum of these. What is shared would be another cut at each task.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Waker};
use crate::state::{Restored, Snapshot};

/// What is left to skip and to emit, shared by all tasks.
#[derive(Debug)]
pub struct Budget {
    limits: Used,
    skip: AtomicU64,
    fetch: AtomicU64,
    run: Mutex<Run>,
}

/// Rows that were skipped and emitted.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Used {
    skipped: u64,
    emitted: u64,
}

impl Used {
    fn add(&mut self, other: Self) {
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.emitted = self.emitted.saturating_add(other.emitted);
    }
}

/// One run of the job: it may be started again with the same plan.
#[derive(Debug, Default)]
struct Run {
    parallelism: usize,
    tasks: HashSet<usize>,
    /// What was used before was taken off.
    restored: bool,
    /// Tasks to wake when nothing is left: they may wait for input that never comes.
    wakers: Vec<Waker>,
}

impl Budget {
    /// Skips `skip` rows, then lets `fetch` rows through.
    pub fn new(skip: u64, fetch: u64) -> Arc<Self> {
        Arc::new(Self {
            limits: Used { skipped: skip, emitted: fetch },
            skip: skip.into(),
            fetch: fetch.into(),
            run: Mutex::default(),
        })
    }

    /// A task starts. One that starts again is the first of another run.
    fn open(&self, context: &OperatorContext) {
        let mut run = self.run.lock();
        if run.parallelism != context.parallelism || run.tasks.contains(&context.task) {
            *run = Run { parallelism: context.parallelism, ..Run::default() };
            self.set(Used::default());
        }
        run.tasks.insert(context.task);
        run.wakers.push(context.waker.clone());
    }

    fn set(&self, used: Used) {
        self.skip.store(self.limits.skipped.saturating_sub(used.skipped), Ordering::Release);
        self.fetch.store(self.limits.emitted.saturating_sub(used.emitted), Ordering::Release);
    }

    /// Takes off what all tasks had used, once a run: the first task to come back must not have more than the last.
    fn restore(&self, used: Used) {
        let mut run = self.run.lock();
        if !std::mem::replace(&mut run.restored, true) {
            self.set(used);
        }
    }

    fn is_used_up(&self) -> bool {
        self.fetch.load(Ordering::Acquire) == 0
    }

    fn wake_all(&self) {
        self.run.lock().wakers.iter().for_each(Waker::wake);
    }
}

/// Takes at most `wanted` from a counter.
fn take(counter: &AtomicU64, wanted: u64) -> u64 {
    let before =
        counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(wanted)));
    before.unwrap_or_else(|left| left).min(wanted)
}

/// Lets rows through until the shared budget is used up, then ends the stream.
#[derive(Debug)]
pub struct Limit {
    budget: Arc<Budget>,
    /// By this task.
    used: Used,
    waker: Option<Waker>,
    ended: bool,
}

impl Limit {
    /// A limit on a shared budget.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, used: Used::default(), waker: None, ended: false }
    }
}

impl Operator for Limit {
    fn name(&self) -> &'static str {
        "Limit"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.budget.open(&context);
        if self.budget.is_used_up() {
            context.waker.wake();
        }
        self.waker = Some(context.waker);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("used", self.used)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let mut all = Used::default();
        for (former, _, used) in state.all_values::<Used>("used")? {
            all.add(used);
            if state.inherits(former) {
                self.used.add(used);
            }
        }
        self.budget.restore(all);
        if self.budget.is_used_up() {
            let waker = self.waker.as_ref().ok_or_else(|| Error::internal("a limit that was not opened"))?;
            waker.wake();
        }
        Ok(())
    }

    fn wake(&mut self, out: &mut Output) -> Result<()> {
        // A run that was restored may have been woken for what another one had used.
        if self.budget.is_used_up() { self.end(out) } else { Ok(()) }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let skipped = take(&self.budget.skip, chunk.len() as u64) as usize;
        let rest = chunk.len() - skipped;
        self.used.skipped += skipped as u64;
        if rest > 0 {
            let taken = take(&self.budget.fetch, rest as u64) as usize;
            self.used.emitted += taken as u64;
            out.chunk(chunk.slice(skipped, taken));
        }
        if self.budget.is_used_up() {
            self.budget.wake_all();
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        if !self.ended {
            self.ended = true;
            out.push(Message::End);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::clock::ManualClock;
    use crate::flow::Mailbox;
    use crate::operator::picture::{chunk, lines, schema};
    use crate::state::ledger::Ledger;

    struct Rig {
        limit: Limit,
        mailbox: Mailbox,
    }

    fn start(budget: &Arc<Budget>, tasks: usize, ledger: Option<&Ledger>) -> Vec<Rig> {
        let rig = |task: usize| {
            let mut limit = Limit::new(budget.clone());
            let mailbox = Mailbox::new();
            let context = OperatorContext {
                task,
                parallelism: tasks,
                waker: mailbox.waker(0),
                clock: ManualClock::new(0),
                checkpointed: true,
                memory: crate::state::Memory::unlimited(),
            };
            limit.open(context).unwrap();
            if let Some(ledger) = ledger {
                limit.restore(&mut ledger.restore(task, tasks)).unwrap();
            }
            Rig { limit, mailbox }
        };
        (0..tasks).map(rig).collect()
    }

    impl Rig {
        fn send(&mut self, rows: &str) -> String {
            let mut out = Output::default();
            self.limit.chunk(chunk(&schema("n n"), rows), &mut out).unwrap();
            self.seen(out)
        }

        /// Wakes it if it was woken.
        fn wake(&mut self) -> String {
            let mut out = Output::default();
            if !self.mailbox.take().woken.is_empty() {
                self.limit.wake(&mut out).unwrap();
            }
            self.seen(out)
        }

        fn seen(&self, mut out: Output) -> String {
            let seen = out.drain().flat_map(|m| match m {
                Message::Data(chunk) => lines(&chunk),
                Message::End => vec!["end".into()],
                _ => vec![],
            });
            seen.collect::<Vec<_>>().join(", ")
        }
    }

    fn cut(rigs: &mut [Rig]) -> Ledger {
        let mut ledger = Ledger::default();
        for (task, rig) in rigs.iter_mut().enumerate() {
            let mut snapshot = Snapshot::new(true);
            rig.limit.snapshot(&mut snapshot).unwrap();
            ledger.add(task, snapshot);
        }
        ledger
    }

    #[test]
    fn rows_counted_before_the_barriers_stay_counted() {
        let budget = Budget::new(2, 5);
        let mut rigs = start(&budget, 2, None);
        assert_eq!(rigs[0].send("1, 2, 3"), "+I 3");
        assert_eq!(rigs[1].send("4, 5"), "+I 4, +I 5");
        let ledger = cut(&mut rigs);
        // Behind the barriers, and lost.
        assert_eq!(rigs[0].send("6, 7, 8"), "+I 6, +I 7");
        assert_eq!(rigs[1].wake(), "end");
        for tasks in [2, 1, 3, 2] {
            let mut rigs = start(&budget, tasks, Some(&ledger));
            let last = tasks - 1;
            assert_eq!(rigs[last].wake(), "");
            assert_eq!(rigs[last].send("6"), "+I 6");
            let again = cut(&mut rigs);
            let mut rigs = start(&budget, 1, Some(&again));
            assert_eq!(rigs[0].send("7, 8"), "+I 7");
            assert_eq!(rigs[0].wake(), "end");
            assert_eq!(rigs[0].send("9"), "");
            // A limit that was reached ends at once, in every task.
            let reached = cut(&mut rigs);
            let mut rigs = start(&budget, 2, Some(&reached));
            assert_eq!((rigs[0].wake(), rigs[1].wake()), ("end".into(), "end".into()));
        }
    }

    #[test]
    fn a_job_that_begins_anew_has_all_of_it() {
        let budget = Budget::new(0, 2);
        let mut rigs = start(&budget, 1, None);
        assert_eq!((rigs[0].send("1, 2, 3"), rigs[0].wake()), ("+I 1, +I 2".into(), "end".into()));
        let mut rigs = start(&budget, 1, None);
        assert_eq!((rigs[0].send("1"), rigs[0].wake()), ("+I 1".into(), String::new()));
        let mut none = start(&Budget::new(3, 0), 1, None);
        assert_eq!(none[0].wake(), "end");
    }
}
