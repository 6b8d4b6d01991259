//! The lookup engine: asks other systems for what a stream lacks.
//!
//! ```text
//!  LookupJoin ── probe ──> cache ── hit ───────────────> rows (columnar, by slot)
//!   (per task)               │ miss
//!                            └─> client: single-flight, retry, deadline ──> backend (http, ...)
//!                                   │ answer: rows and an outcome
//!                            cache <┴> completions of the tasks that wait
//! ```
//! One [`Lookup`] per table reference and job is shared by all tasks. **An outcome is data**: an error
//! never looks like a miss and is never cached as one.

pub mod answer;
pub mod backend;
pub mod cache;
pub mod client;
pub mod config;
pub mod full;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod retry;
#[cfg(test)]
pub(crate) mod script;

pub use answer::{Answer, Failure, FailureKind, Outcome};
pub use backend::{Backend, BoxFuture, LookupRequest};
pub use client::{Completions, Lookup};
pub use config::{CacheConfig, LookupConfig, OnError, OutputMode};
pub use metrics::LookupMetrics;
