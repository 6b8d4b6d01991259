//! Affluent: an embedded SQL stream processor for enrichment.
//!
//! It reads records as they arrive, looks up what they lack in HTTP APIs or files, and writes the enriched
//! stream on, all described in Flink's SQL dialect. A [`Session`] executes statements; the binary
//! `affluent` is a shell and a command line around it.
//!
//! ```
//! use affluent::{Response, Session};
//!
//! let session = Session::new()?;
//! session.sql(
//!     "CREATE TABLE events (id INT) WITH ('connector' = 'datagen', 'number-of-rows' = '3',
//!        'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '3')",
//! )?;
//! let Response::Query(mut rows) = session.sql("SELECT id, id * id AS square FROM events WHERE id > 1")? else {
//!     unreachable!("a SELECT returns rows")
//! };
//! let mut squares = Vec::new();
//! while let Some(chunk) = rows.next_chunk()? {
//!     squares.push(chunk.batch.column(1).clone());
//! }
//! assert_eq!(squares.iter().map(|column| column.len()).sum::<usize>(), 2);
//! # Ok::<(), affluent::Error>(())
//! ```
//!
//! A program can register tables and functions of its own, and read what comes out as record batches:
//!
//! ```
//! use std::sync::Arc;
//!
//! use affluent::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, StringViewArray};
//! use affluent::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
//! use affluent::datafusion_expr::{ColumnarValue, Volatility, create_udf};
//! use affluent::contract::{Answers, Backend, BoxFuture, Failure};
//! use affluent::{Response, Result, Session, embedded};
//!
//! /// Answers for sensors; a real one would ask a service.
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
//!     unreachable!("a SELECT returns rows")
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
//! A program needs [`Session`], what its statements return ([`Response`], [`QueryResult`], [`Job`]) and [`Error`]. Everything
//! waits for its result; [`Session::query_async`] and its like are for asynchronous programs, where a result is a stream.
//! Tables of the program are made by [`embedded`]; connectors, formats, lookup backends and functions implement a
//! [`contract`] and are registered. A session has its own catalog, registry, settings and jobs; there is nothing global,
//! and two sessions do not see each other.

#![forbid(unsafe_code)]
#![warn(missing_docs, rust_2018_idioms, clippy::unwrap_used, clippy::panic, clippy::todo)]

// What the public API is written in.
pub use arrow;
pub use datafusion_expr;

// For contracts that return streams, positions and bytes, and take a runtime.
pub use bytes;
pub use datafusion_common;
pub use futures;
pub use serde_json;
pub use tokio;

#[doc(inline)]
pub use crate::connector::embedded;
#[doc(inline)]
pub use crate::error::{Error, ErrorKind, Result};
#[doc(inline)]
pub use crate::flow::{CheckpointMetrics, Chunk, Job, JobMetrics, JobState, Kind, Kinds, StageMetrics};
#[doc(inline)]
pub use crate::function::user::native as udf;
#[doc(inline)]
pub use crate::lookup::LookupMetrics;
#[doc(inline)]
pub use crate::session::{Batches, Materialized, Next, QueryResult, Response, Session};
#[doc(inline)]
pub use crate::sql::{SourceText, Statement};

/// Target of log lines of level info that are to be shown although nothing is wrong: what a job continues from.
pub const NOTICE: &str = "affluent::notice";

pub mod contract;

// The rooms. What the binary, tests and benchmarks need of them is open, hidden, and may change with every version.
#[cfg(feature = "s3")]
mod bucket;
#[doc(hidden)]
pub mod catalog;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod connector;
#[doc(hidden)]
pub mod console;
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "what only some databases need is dead in builds without them")
)]
mod database;
#[doc(hidden)]
pub mod dead_letter;
#[doc(hidden)]
pub mod demo;
mod digest;
#[doc(hidden)]
pub mod error;
mod features;
#[doc(hidden)]
pub mod flink;
#[doc(hidden)]
pub mod flow;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod function;
#[doc(hidden)]
pub mod lookup;
#[doc(hidden)]
pub mod metrics;
mod nearest;
#[cfg(feature = "kernel")]
#[doc(hidden)]
pub mod notebook;
#[doc(hidden)]
pub mod operator;
#[doc(hidden)]
pub mod plan;
mod quantity;
mod recording;
#[doc(hidden)]
pub mod secret;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod shell;
#[doc(hidden)]
pub mod sql;
#[doc(hidden)]
pub mod state;
mod trial;
mod tune;
