//! `affluent test`: pipelines run as they are, on tables, lookups, functions and a clock of a test.
//!
//! ```text
//!  sensors.test.sql ── read ──> tests ──┐
//!  sensors.sql ── as it is written ─────┤
//!                                       ▼
//!   Session (planning) ── the tables' connectors are the stage's ──> plan ──> tasks, stepped by this thread
//!     ▲                                                                ▲
//!     │ lookups, HTTP, timers: a paused runtime, whose time moves      │ INSERT: rows come
//!     │ to the next timer when nothing else is left to do              │ KILL: dropped, and planned anew from a checkpoint
//!     └── Stage: what answers, what was asked, what was written <──────┘
//! ```
//! - **The pipeline is the one that runs otherwise**: same parser, planner, operators, lookup engine, HTTP client and
//!   checkpoints. A table that the test says something about, or that would reach out, has the stage's connector in place
//!   of its own; declaration and options stay.
//! - **Time is the runtime's, paused.** It moves when every task is parked and no future can go on, to the nearest of: a
//!   timer of the runtime, a deadline of an operator, the end of an ADVANCE. What runs for real meanwhile (JavaScript,
//!   Python, a file that is loaded) holds it by the stage's [`stage::Gate`].
//! - **What a test says in SQL is computed before** it runs, by a session of its own (the scratch session), which knows
//!   the pipeline's definitions: rows to come are the rows of INSERT, expected ones are cast to the columns of what they
//!   are compared with.
//! - **A recording** stands in the place of mocks, in a test or without any (`affluent run --replay`, `affluent diff`).

mod answer;
mod coverage;
pub(crate) mod files;
mod fixture;
mod http;
pub(crate) mod replay;
pub(crate) mod report;
mod rows;
mod run;
pub(crate) mod stage;
mod stand_in;
mod table;
pub(crate) use table::staged;
pub(crate) mod tuning;

pub(crate) use rows::json as rows_as_json;
pub(crate) use run::{OPTIONS, Problem, Replayed, replay as replayed};
