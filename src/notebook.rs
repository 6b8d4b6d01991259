//! The Jupyter kernel: cells of SQL whose results are shown while their streams run.
//!
//! ```text
//!                shell ──> requests ──> one cell at a time ──> Session
//!  JupyterLab    control ──> interrupt, shutdown ──────────────^
//!                iopub <── pictures <── live results, lines of jobs
//! ```
//!
//! - One thread runs the cells in their order; the sockets are served by another, so that completion, inspection,
//!   interruption and a restart work while a cell's query runs for ever.
//! - A picture is shown once and replaced in place (`update_display_data`), also after its cell has ended: jobs
//!   of INSERT, and queries with `--%background`, go on beside the cells that follow.
//! - What is shown stays in the notebook when it is saved.
//! - When the kernel ends, its jobs end: it cancels them when it is asked to shut down, and when the program that
//!   started it is gone.
//!
//! `directive` has the comments that ask for charts and files, `html` what keeps a stream's text from
//! becoming markup, [`install`] how JupyterLab finds the kernel.

mod arrow_file;
mod assist;
mod cell;
mod chart;
mod directive;
mod figures;
mod html;
pub mod install;
mod jobs;
mod kernel;
mod live;
mod output;
mod rows;
mod stdout;

pub use kernel::run;
