//! Figures of jobs for what collects them: `affluent run --metrics`, and what is sent to collectors: `--otlp`.
//!
//! ```text
//!  jobs, their steps and lookups ── read when somebody asks ──> Samples ──> Prometheus' text ──> GET /metrics
//!        │                                                       │ names, units and kinds: catalogue.rs
//!        └── state ──> GET /health, GET /ready                   └──> `affluent options metrics`
//! ```
//! Names, units and attributes follow OpenTelemetry's conventions; Prometheus has them as its exporters write them (dots
//! become underscores, units and `_total` are appended). Nothing is counted for this page: it reads the counters that
//! the jobs have anyway.

pub mod catalogue;
mod collect;
pub(crate) mod otlp;
pub(crate) mod prometheus;
pub mod server;
