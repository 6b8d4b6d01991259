//! The runtime: messages, operators, tasks, jobs.

pub mod coordinator;
pub mod exchange;
pub mod fragment;
pub mod job;
pub mod merge;
pub mod operator;
pub mod restart;
#[cfg(test)]
pub(crate) mod simulation;
pub mod task;
pub(crate) mod tiered;

pub use crate::contract::{mailbox, message, metrics, sink, source};
pub use job::{CheckpointMetrics, Job, JobMetrics, JobState, StageRates};
pub use mailbox::{Mailbox, Waker};
pub use message::{Barrier, Chunk, Kind, Kinds, Message, Status, Watermark};
pub use metrics::StageMetrics;
pub use operator::{OpenSplits, Operator, OperatorContext, Output, Split, Splits};
pub use sink::{Guarantee, Sink, SinkChangelog, SinkJob, Writer, WriterContext};
pub use source::{Place, Positions, Read, Reader, ReaderContext, Source, SourceChangelog};
