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
//! A program can give tables and functions of its own, and read what comes out as record batches:
//!
//! ```
//! use std::sync::Arc;
//!
//! use affluent::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, StringViewArray};
//! use affluent::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
//! use affluent::connector::embedded;
//! use affluent::datafusion_expr::{ColumnarValue, Volatility, create_udf};
//! use affluent::error::Result;
//! use affluent::lookup::{Answers, Backend, BoxFuture, Failure};
//! use affluent::session::{Response, Session};
//!
//! /// Answers for sensors; a real one would ask somebody.
//! struct Registry(SchemaRef);
//!
//! impl Backend for Registry {
//!     fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
//!         let schema = self.0.clone();
//!         Box::pin(async move {
//!             let brands = keys.column(0).as_string_view().iter().map(|key| key.map(|k| format!("brand of {k}")));
//!             let brands = StringViewArray::from_iter(brands);
//!             let rows = RecordBatch::try_new(schema, vec![keys.column(0).clone(), Arc::new(brands)]);
//!             rows.map(Answers::one_each).map_err(|e| Failure::other(e.to_string()))
//!         })
//!     }
//!     fn max_keys(&self) -> usize {
//!         100
//!     }
//!     fn describe(&self) -> String {
//!         "the registry of sensors".to_string()
//!     }
//! }
//!
//! let session = Session::new()?;
//!
//! // A table that is fed while queries run, and one to look up in.
//! let readings = RecordBatch::try_from_iter([
//!     ("sensor", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
//!     ("celsius", Arc::new(Float64Array::from(vec![20.0, 100.0]))),
//! ])?;
//! let (feeder, table) = embedded::channel(readings.schema());
//! session.register_table("readings", table, &[])?;
//! let text = |name: &str| Field::new(name, DataType::Utf8View, true);
//! let sensors = Arc::new(Schema::new(vec![text("id"), text("brand")]));
//! session.register_table("sensors", embedded::lookup(sensors.clone(), Arc::new(Registry(sensors))), &["id"])?;
//!
//! // A function.
//! session.register_function(create_udf(
//!     "fahrenheit",
//!     vec![DataType::Float64],
//!     DataType::Float64,
//!     Volatility::Immutable,
//!     Arc::new(|args: &[ColumnarValue]| {
//!         let celsius = ColumnarValue::values_to_arrays(args)?.remove(0);
//!         let celsius = celsius.as_primitive::<Float64Type>();
//!         let fahrenheit: Float64Array = celsius.unary(|c| c * 1.8 + 32.0);
//!         Ok(ColumnarValue::Array(Arc::new(fahrenheit)))
//!     }),
//! ));
//!
//! // The query starts at once; the table ends with its feeder.
//! let Response::Query(mut rows) = session.sql(
//!     "SELECT brand, fahrenheit(celsius) AS f FROM readings JOIN sensors ON readings.sensor = sensors.id",
//! )? else {
//!     unreachable!("a SELECT gives rows")
//! };
//! feeder.send(readings)?;
//! drop(feeder);
//! let mut seen = Vec::new();
//! while let Some(chunk) = rows.next_chunk()? {
//!     let (brands, f) = (chunk.batch.column(0).as_string_view(), chunk.batch.column(1).as_primitive::<Float64Type>());
//!     seen.extend(brands.iter().flatten().map(str::to_string).zip(f.values().iter().copied()));
//! }
//! assert_eq!(seen, [("brand of a".to_string(), 68.0), ("brand of b".to_string(), 212.0)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is public
//! A program needs [`Session`], what its statements give ([`Response`], [`QueryResult`], [`Job`]), [`Error`], and, for
//! tables of its own, [`connector::embedded`] and [`lookup::Backend`]. A session has its own catalog, settings and
//! jobs; there is nothing global, and two sessions do not see each other. Rooms that the documentation leaves
//! out are open for the binary, tests and benchmarks, and may change with every version.
//!
//! | room | what lives in it |
//! |---|---|
//! | [`sql`] | text → statements |
//! | [`catalog`], [`config`] | tables, views, validated options; settings |
//! | `plan` | statements → continuous plan, by way of DataFusion's logical plans |
//! | `function` | Flink's functions |
//! | [`flow`] | messages, the operator contract, tasks, checkpoints' coordinator, jobs |
//! | `operator` | one file each: calc, lookup join, aggregates, windows, joins, ... |
//! | [`state`] | keyed state; checkpoints: their format and where they are kept |
//! | [`lookup`] | the lookup engine: client, cache, retry, outcomes, HTTP |
//! | [`connector`], `format` | sources and sinks; bytes ↔ record batches |
//! | [`session`] | executes statements, starts jobs and starts them again |
//! | `cli`, `shell`, `notebook`, `demo` | the binary |

#![forbid(unsafe_code)]
#![warn(missing_docs, rust_2018_idioms, clippy::unwrap_used, clippy::panic, clippy::todo)]

// What the public API is written in.
pub use arrow;
pub use datafusion_expr;

pub use crate::error::{Error, Result};
pub use crate::flow::{Chunk, Job, JobState, Kind, Kinds};
pub use crate::session::{Next, QueryResult, Response, Session};

/// Target of log lines of level info that are to be shown although nothing is wrong: what a job continues from.
pub const NOTICE: &str = "affluent::notice";

pub mod catalog;
#[doc(hidden)]
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod dead_letter;
#[doc(hidden)]
pub mod demo;
pub mod error;
pub mod flow;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod function;
pub mod lookup;
#[cfg(feature = "kernel")]
#[doc(hidden)]
pub mod notebook;
#[doc(hidden)]
pub mod operator;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod secret;
pub mod session;
#[doc(hidden)]
pub mod shell;
pub mod sql;
pub mod state;
