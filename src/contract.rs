//! The contracts of all that meets the outside: what a program implements to add to its session.
//!
//! | what | contract | registered by |
//! |---|---|---|
//! | a connector that reads | [`Connector`], [`Source`], [`Reader`] | [`Session::register_connector`](crate::Session::register_connector) |
//! | a connector that writes | [`Connector`], [`Sink`], [`Writer`] | the same |
//! | a lookup backend | [`Backend`] | [`Session::register_lookup`](crate::Session::register_lookup), or as a table by [`embedded::lookup`](crate::embedded::lookup) |
//! | a format | [`RecordFormat`], [`Decoder`], [`Encoder`] | [`Session::register_format`](crate::Session::register_format) |
//! | a scalar function | [`datafusion_expr::ScalarUDF`] | [`Session::register_function`](crate::Session::register_function) |
//! | an aggregate function | [`datafusion_expr::AggregateUDF`] | [`Session::register_aggregate`](crate::Session::register_aggregate) |
//!
//! Each has a complete example where it is registered.
//!
//! # One life for all
//! What a task calls runs on its compute thread, one call at a time, and **never waits**: what takes time is begun there,
//! continues elsewhere (the runtime of the context) and wakes the task. Operators, readers and writers get the same context
//! and answer the same questions; a lookup backend is asked from the runtime, and the lookup join represents it in the task.
//!
//! ```text
//!               Operator           Reader              Writer               Backend
//!  made by      the plan           Source::reader      Sink::writer         Connector::lookup
//!  context      OperatorContext    ReaderContext       WriterContext        LookupRequest
//!                └ waker, clock     └ waker, runtime, clock, metrics
//!  is restored  restore            Source::restore     Sink::recover        - (it has no state)
//!  works        chunk ─> Output    read ─> Read        write                lookup ─> Answers
//!  is full      room               Read::Pending       room                 max_requests, endpoint
//!  is woken     wake               read again          wake                 its future completes
//!  a time       deadline, timer    wakes itself        deadline, timer      the lookup's timeout
//!  barrier n    snapshot           cut(n)              pre_commit(n)        waiting rows are in the join's snapshot
//!  n durable    -                  Source::committed   Sink::commit_epoch   -
//!  end          end                leave               finish, commit       dropped
//!  failure      dropped            dropped             dropped, abort       a Failure: data, not the end
//! ```
//! A checkpoint goes through them like this. The barrier is in band, so it is ordered with the rows; nothing holds it up:
//! an operator that waits puts what waits into its snapshot, and a writer with requests in flight answers "not yet" while
//! rows go on.
//!
//! ```text
//!  Reader::cut ──> barrier ──> Operator::snapshot ──> Writer::pre_commit ─┐ pending: woken, asked again
//!     │ positions                │ changed rows           │ values   <────┘
//!     └────────────> coordinator <┴───────────────────────┘
//!                        │ segments, manifest last: the checkpoint is durable
//!                        ├──> Sink::commit_epoch(n, values)      what was written before the barrier becomes visible
//!                        └──> Source::committed(n, positions)    what was read before the barrier may be acknowledged
//! ```
//! After a restart, `Source::restore` and `Sink::recover` get what the last durable checkpoint holds, before any reader or
//! writer is made. They run on the job's own thread and may wait, as may `commit_epoch` and `commit`; everything else above
//! may not.
//!
//! Operators are the engine's own; the column shows that they live no other life.

#[doc(hidden)]
pub mod answers;
#[doc(hidden)]
pub mod backend;
#[doc(hidden)]
pub mod connector;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod mailbox;
#[doc(hidden)]
pub mod message;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod sink;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod splits;

#[doc(inline)]
pub use answers::{Answers, Failure, FailureKind};
#[doc(inline)]
pub use backend::{Backend, BoxFuture, ColumnFilter, Comparison, LookupRequest, Service};
#[doc(inline)]
pub use connector::{Connector, Nature, ScanRequest, SinkRequest};
#[doc(inline)]
pub use format::{Decoder, Encoder, RecordFormat, RecordFormatRequest};
#[doc(inline)]
pub use mailbox::Waker;
#[doc(inline)]
pub use sink::{Guarantee, Sink, SinkChangelog, SinkJob, Writer, WriterContext};
#[doc(inline)]
pub use source::{Place, Positions, Read, Reader, ReaderContext, Source, SourceChangelog};
#[doc(inline)]
pub use splits::{OpenSplits, Split, Splits};

// How tables are declared, and processing time, are the only other rooms' that contracts speak of.
#[doc(inline)]
pub use crate::catalog::{Column, ColumnSource, OptionDef, OptionKind, Options, Table};
#[doc(inline)]
pub use crate::clock::Clock;
#[doc(inline)]
pub use crate::sql::SqlType;
