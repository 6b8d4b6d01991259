//! The contract between a task and what it writes to.
//!
//! A [`Sink`] is planned once, and makes a [`Writer`] for each task. [`crate::contract`] draws its life.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use parking_lot::Mutex;

use super::mailbox::Waker;
use super::message::Chunk;
use super::metrics::StageMetrics;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// Which kinds of change a sink can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkChangelog {
    /// `+I` only.
    Append,
    /// `+I`, `+U` and `-D`; `-U` is not needed. What is updated is found by the table's PRIMARY KEY; a
    /// table without one takes the changes as they come.
    Upsert,
    /// All four kinds: `-U` is part of what is written.
    All,
}

/// What a sink promises about rows when a job is restored from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guarantee {
    /// Each row is there once.
    ExactlyOnce,
    /// Each row is there; those after the last checkpoint may be there twice.
    AtLeastOnce,
}

impl Guarantee {
    /// `exactly-once`, `at-least-once`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }
}

/// What the sinks of one job share, by a name of their own: one transaction for several tables, for example.
#[derive(Clone, Default)]
pub struct SinkJob(Arc<Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>>);

impl SinkJob {
    /// What is shared under a name, made by the first sink that asks.
    pub fn share<T: Send + Sync + 'static>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Arc<T>>,
    ) -> Result<Arc<T>> {
        let mut shared = self.0.lock();
        if let Some(there) = shared.get(name) {
            let there = there.clone().downcast::<T>();
            return there.map_err(|_| Error::internal(format!("'{name}' is shared by sinks of two kinds")));
        }
        let made = make()?;
        shared.insert(name.to_string(), made.clone());
        Ok(made)
    }
}

/// A sink that was planned: makes one writer a task.
///
/// ```text
///  plan      SinkRequest ──> Connector::sink ──> Sink
///  start     (holds) ─> recover ─> writer, one a task
///  run       write ... write ─┬─> room? ── no: the task reads no more ── wake ─> room
///                             ├─> flush, when there is nothing else to do
///                             ├─> deadline ── timer
///  barrier n                  └─> pre_commit(n) ── pending: requests in flight; rows go on ── wake ─> asked again
///                                     │ ready: values                                              │
///  checkpoint n durable               └──────────────────────────────> commit_epoch(n, values) <───┘
///  end       finish (pending, wake, ..., ready) ─> pre_commit ─> last checkpoint ─> commit_epoch ─> commit
///  failure   writers dropped ─> abort (without checkpoints) ─> start
/// ```
/// Planning knows everything that is asked (the request), so nothing is set later. `recover` and `commit`
/// run on the job's own thread, `commit_epoch` on the one that coordinates checkpoints: they may wait. A
/// [`Writer`] runs on a compute thread and never waits: what takes time is begun there and ends elsewhere, which
/// wakes it.
pub trait Sink: Send + Sync {
    /// Which kinds of change can be written.
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::Append
    }

    /// What it promises with checkpoints.
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    /// When rows that were written are there to be read, where that is much later, and how to make it sooner.
    fn delay(&self) -> Option<String> {
        None
    }

    /// Before the first writer of a job with checkpoints, new or restored: `pending` is what the writers returned
    /// ([`Writer::pre_commit`]) for the checkpoint that the job is restored from (empty for a new job). It may have
    /// been made visible already, all or some of it, which is finished now; what this sink wrote after it is
    /// discarded.
    fn recover(&self, _pending: &[serde_json::Value]) -> Result<()> {
        Ok(())
    }

    /// What [`Sink::recover`] is to be given should the job end before its first checkpoint: it finds by this what such
    /// a job has left. Asked after `recover`, before the first writer.
    fn begun(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// The same of a job of which a checkpoint holds `pending`, that is not continued: [`Sink::recover`] finds by
    /// this what it has left.
    fn begun_with(&self, _pending: &[serde_json::Value]) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// The checkpoint is durable: what the writers returned for it is to be visible. Called for every
    /// checkpoint in order.
    fn commit_epoch(&self, _epoch: u64, _pending: &[serde_json::Value]) -> Result<()> {
        Ok(())
    }

    /// What was written for a checkpoint can be made visible only while the process lives that wrote it: a job that
    /// comes back asks [`Sink::holds`] which checkpoint it may go on from. Its commit comes before that of sinks which
    /// can commit at any time, and those commit nothing if it fails.
    fn decides(&self) -> bool {
        false
    }

    /// Whether the rows of a checkpoint, for which the writers returned `pending`, are visible, or can be made so.
    /// `false`: the job goes back to an older one, and the rows are written again. Epoch 0 means the beginning,
    /// with what the oldest checkpoint holds. Asked of sinks that decide, before [`Sink::recover`]; it may wait.
    fn holds(&self, _epoch: u64, _pending: &[serde_json::Value]) -> Result<bool> {
        Ok(true)
    }

    /// A writer for one task.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>>;

    /// All writers have finished: make the result visible.
    fn commit(&self) -> Result<()> {
        Ok(())
    }

    /// The job failed or was cancelled: leave nothing half-written visible.
    fn abort(&self) {}
}

/// What a writer gets from its task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterContext {
    /// Index of the task.
    pub task: usize,
    /// Number of writers.
    pub tasks: usize,
    /// Makes the task call [`Writer::wake`].
    pub waker: Waker,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The counters of the sink.
    pub metrics: Arc<StageMetrics>,
}

/// Writes on the compute thread of one task, and never waits: see [`Sink`].
pub trait Writer: Send {
    /// Rows in the schema of the request. The task asks for [`Writer::room`] before; what an operator emits at once,
    /// and what lies before a barrier, comes nevertheless, and is kept.
    fn write(&mut self, chunk: &Chunk) -> Result<()>;

    /// Whether it takes more. While it does not, the task reads nothing for it; the writer wakes the task when
    /// it does again.
    fn room(&self) -> bool {
        true
    }

    /// What it waited for has happened ([`WriterContext::waker`]).
    fn wake(&mut self) -> Result<()> {
        Ok(())
    }

    /// When [`Writer::timer`] wants to be called next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn timer(&mut self, _now: Instant) -> Result<()> {
        Ok(())
    }

    /// The watermark has moved: no later row has an earlier time. `i64::MAX`: the input has ended.
    fn watermark(&mut self, _millis: i64) -> Result<()> {
        Ok(())
    }

    /// Whether its input is idle: the watermark of this task says nothing then.
    fn idle(&mut self, _idle: bool) {}

    /// Called when the task has nothing else to do: send what is buffered.
    fn flush(&mut self) -> Result<()>;

    /// A barrier passes. Ready: everything that was written before it is safe. Returns what the sink needs to make
    /// it visible, or to go on from here, as its own values: all that is not visible yet, not only what is new.
    /// `last`: nothing will be written after it (it follows [`Writer::finish`], with epoch [`u64::MAX`] of a task that
    /// has ended, or the job stops).
    ///
    /// Pending: requests are in flight. The barrier has passed and rows go on; those that are written from now on
    /// belong to the next checkpoint. It is asked again, with the same epoch, after the task was woken. Requests
    /// whose rows are among the returned values need not be waited for.
    fn pre_commit(&mut self, _epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        self.flush()?;
        Ok(Poll::Ready(Vec::new()))
    }

    /// The input has ended. Ready: everything is written; pending: asked again after the task was woken.
    fn finish(&mut self) -> Result<Poll<()>>;
}
