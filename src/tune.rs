//! `affluent tune`: which strategy, capacity, batch and lifetime suit a pipeline and the service that it asks.
//!
//! ```text
//!  pipeline ── a sample of its input is read once, keys are noted and nobody is asked ──> rows, key stream
//!     │                                                                                      │
//!     └── trials: the same rows again and again, real lookups, sinks that keep nothing       └─ one pass: hits
//!           SYNC, capacity 1, 4, 16, ... up to the knee, tasks, keys a request, CACHED          by lifetime
//! ```
//! One thing is changed at a time, and the best stays (a search by coordinates): what two settings do to each other in a
//! lookup goes mostly through the number of requests in flight. The budget of calls is kept to the call: when it is used
//! up, requests wait and are not sent.

mod keys;
mod page;
mod report;
mod search;
mod trial;

pub(crate) use page::{html, svg};
pub(crate) use report::{as_json, as_text};
pub(crate) use search::tune;

use std::path::PathBuf;
use std::time::Duration;

/// What is tuned, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) files: Vec<PathBuf>,
    /// Where rows, and how long answers take, are from; otherwise from the pipeline's own endpoints.
    pub(crate) replay: Option<PathBuf>,
    /// Calls of services in all.
    pub(crate) calls: u64,
    /// Time in all.
    pub(crate) time: Duration,
    /// Rows a second that the pipeline is to take; `None`: by the times of a stream's rows, or as many as it can.
    pub(crate) rate: Option<f64>,
    pub(crate) set: Vec<(String, String)>,
    pub(crate) var: Vec<(String, String)>,
}
