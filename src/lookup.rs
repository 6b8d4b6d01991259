//! The lookup engine: asks other systems for what a stream lacks.
//!
//! ```text
//!  LookupJoin ── probe ──> cache ── hit ───────────────> rows (columnar, by slot)
//!   (per task)               │ miss
//!                            └─> client: single-flight, retry, deadline ──> backend (http, ...)
//!                                   │ answer: rows and an outcome
//!                            cache <┴> completions of the tasks that wait
//! ```
//! One [`Lookup`] per table reference and job is shared by all tasks; behind it stands an engine that queries
//! of a session [share](shared). **An outcome is data**: an error
//! never looks like a miss and is never cached as one.

pub mod answer;
pub(crate) mod aws;
#[cfg(feature = "s3")]
pub(crate) mod aws_json;
pub(crate) mod budget;
pub mod cache;
pub mod client;
pub mod config;
pub(crate) mod descriptors;
#[cfg(feature = "s3")]
pub(crate) mod dynamodb;
pub mod endpoint;
mod errors;
#[cfg(test)]
mod fault_tests;
pub mod full;
pub mod http;
pub mod keys;
#[cfg(test)]
mod lifetime_tests;
pub mod metadata;
#[cfg(feature = "mmdb")]
pub(crate) mod mmdb;
pub(crate) mod nested;
#[cfg(feature = "persist")]
mod persist;
pub mod policy;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub mod retry;
#[cfg(test)]
mod rig;
#[cfg(test)]
pub(crate) mod script;
pub mod shared;
pub(crate) mod trace;
#[cfg(any(feature = "sqlite", feature = "mysql", feature = "redis"))]
pub(crate) mod values;
pub(crate) mod wire;

/// Has caches on disk write what they have not written yet: the process ends.
pub(crate) fn settle_disks() {
    #[cfg(feature = "persist")]
    persist::close_all();
}

pub use crate::contract::backend;
pub use crate::contract::metrics::lookup as metrics;
pub use answer::{Answer, Answers, Failure, FailureKind, Outcome};
pub use backend::{Backend, BoxFuture, ColumnFilter, Comparison, LookupRequest, Service};
pub use client::{Asking, Completion, Completions, Computed, Lookup};
pub use config::{CacheConfig, LookupConfig, OutputMode, PartialConfig};
pub use metrics::LookupMetrics;
pub use policy::{ErrorPolicy, OnError};
