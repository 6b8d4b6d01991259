//! Affluent: an embedded SQL stream processor for enrichment.
//!
//! It reads records as they arrive, looks up what they lack in HTTP APIs or files, and writes the enriched
//! stream on, all described in Flink's SQL dialect. A [`session::Session`] executes statements; the binary
//! `affluent` is a shell and a command line around it.
//!
//! ```
//! use affluent::session::{Response, Session};
//!
//! let session = Session::new()?;
//! session.sql(
//!     "CREATE TABLE events (id INT) WITH ('connector' = 'datagen', 'number-of-rows' = '3',
//!        'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '3')",
//! )?;
//! let Response::Query(mut rows) = session.sql("SELECT id, id * id AS square FROM events WHERE id > 1")? else {
//!     unreachable!("a SELECT gives rows")
//! };
//! let mut squares = Vec::new();
//! while let Some(chunk) = rows.next_chunk()? {
//!     squares.push(chunk.batch.column(1).clone());
//! }
//! assert_eq!(squares.iter().map(|column| column.len()).sum::<usize>(), 2);
//! # Ok::<(), affluent::error::Error>(())
//! ```
//!
//! | room | what lives in it |
//! |---|---|
//! | [`sql`] | text → statements |
//! | [`catalog`] | tables, views, validated options |
//! | [`plan`] | statements → continuous plan, by way of DataFusion's logical plans |
//! | [`function`] | Flink's scalar functions |
//! | [`flow`] | messages, the operator contract, tasks, jobs |
//! | [`operator`] | one file each: calc, lookup join, unnest, watermark, limit |
//! | [`state`] | keyed state: keys to slots, rows as columns |
//! | [`lookup`] | the lookup engine: client, cache, retry, outcomes, HTTP |
//! | [`connector`], [`format`](mod@format) | sources and sinks; bytes ↔ record batches |
//! | [`session`] | the public API |
//! | [`cli`], [`shell`], [`demo`], `notebook` | the binary |

#![forbid(unsafe_code)]
#![warn(missing_docs, rust_2018_idioms, clippy::unwrap_used, clippy::panic, clippy::todo)]

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod demo;
pub mod error;
pub mod flow;
pub mod format;
pub mod function;
pub mod lookup;
#[cfg(feature = "kernel")]
pub mod notebook;
pub mod operator;
pub mod plan;
pub mod session;
pub mod shell;
pub mod sql;
pub mod state;
