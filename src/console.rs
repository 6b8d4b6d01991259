//! What the command line, the shell and the notebook share: scripts are run, results are rendered, progress is shown.
//!
//! Results go to standard output, everything else to standard error, so that a pipe sees data only.
//!
//! ```text
//! script ──> stream ──> render ──> output ──> destination, pager or standard output
//!    │          │
//! interrupt  progress
//! ```

pub mod copy;
pub mod destination;
pub mod diagnostic;
pub mod fault;
pub mod interrupt;
pub mod keys;
pub mod logger;
pub mod output;
pub mod pager;
pub mod progress;
pub mod render;
pub mod script;
pub mod stream;
mod systemd;
pub mod terminal;
