//! What the tasks of a job run: a tree of operators per fragment, cut at key exchanges.
//!
//! ```text
//!  fragment 0 (2 tasks)                     fragment 2 (2 tasks)
//!  source ─> watermark ─> calc ─> exchange 0 ─┐
//!                                             ├─> join ─> calc ─> sink
//!  source ─> watermark ─────────> exchange 1 ─┘
//!  fragment 1 (1 task)
//! ```
//! With parallelism 1 there is one fragment and no exchange: nothing is queued between decode and encode.

use std::fmt::Debug;
use std::sync::Arc;

use super::metrics::lookup::LookupMetrics;
use super::sink::Sink;
use super::source::Source;
use super::task::BuildOperator;

/// A place where messages go in a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Index into [`Fragment::operators`]; their number means the fragment's output.
    pub operator: usize,
    /// Which input of that operator. Several senders may share one (UNION ALL).
    pub input: usize,
}

/// Where rows of a fragment come from.
#[derive(Clone)]
pub enum Head {
    /// A source, and its identity in checkpoints: each task makes a reader.
    Source(Arc<dyn Source>, String),
    /// The rows that another fragment sends to exchange number N.
    Exchange(usize),
}

/// An operator of a fragment.
#[derive(Clone)]
pub struct Stage {
    /// Identity in checkpoints.
    pub id: String,
    /// What it is called, for people.
    pub name: &'static str,
    /// What EXPLAIN prints after the name.
    pub detail: String,
    /// Counters of the lookup that it does.
    pub lookup: Option<Arc<LookupMetrics>>,
    /// Makes the operator for one task.
    pub build: BuildOperator,
    /// Where what it emits goes: always a later operator, or the output.
    pub to: Port,
}

/// Where the rows of a fragment go.
#[derive(Clone)]
pub enum Tail {
    /// A sink, and its identity in checkpoints: each task makes a writer.
    Sink(Arc<dyn Sink>, String),
    /// Exchange number N: rows with the same values in the key columns go to the same task. Without key
    /// columns all go to task 0.
    Exchange {
        /// Number, unique in the job.
        number: usize,
        /// Key columns, as positions in the batches.
        keys: Vec<usize>,
    },
    /// All rows to each of these exchanges: several go on with them. Task N sends to the tasks N.
    Share(Vec<usize>),
}

impl Tail {
    /// The exchanges that it sends to.
    pub fn exchanges(&self) -> &[usize] {
        match self {
            Tail::Sink(..) => &[],
            Tail::Exchange { number, .. } => std::slice::from_ref(number),
            Tail::Share(numbers) => numbers,
        }
    }
}

/// Operators that run together on one thread, `parallelism` times.
///
/// Operators and heads form a tree: each sends to one port, and what they emit ends at the tail. An exchange has
/// one fragment that receives it and one or several that send to it; those are numbered one after
/// the other, in the order of the job's fragments.
#[derive(Clone)]
pub struct Fragment {
    /// Tasks.
    pub parallelism: usize,
    /// Sources and exchanges, and the port that each feeds.
    pub heads: Vec<(Head, Port)>,
    /// Operators, senders before receivers.
    pub operators: Vec<Stage>,
    /// Where the rows go.
    pub tail: Tail,
}
