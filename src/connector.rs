//! Sources and sinks, and the registry that finds them by name.
//!
//! A [`Connector`] is what a name in `'connector' = '...'` means. It makes the [`Source`] and [`Sink`] of a table, or the
//! [`crate::lookup::Backend`] that answers for its keys; [`crate::contract`] draws their life. The
//! built-in connectors stand in one list; a program adds its own to its session
//! ([`crate::Session::register_connector`]).

mod acknowledging;
#[cfg(any(feature = "redis", feature = "s3"))]
mod batching;
pub mod blackhole;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod cdc;
pub mod checkpoint;
mod common_cut;
pub mod datagen;
mod definition;
#[cfg(feature = "s3")]
pub mod dynamodb;
pub mod embedded;
pub mod filesystem;
#[cfg(any(feature = "kafka", feature = "postgres", feature = "mysql"))]
mod filled;
pub mod function;
pub mod http;
mod inbox;
pub mod jdbc;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "s3")]
pub mod kinesis;
mod lookup_table;
mod messages;
#[cfg(feature = "mmdb")]
pub mod mmdb;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "mysql")]
pub mod mysql_cdc;
#[cfg(feature = "nats")]
pub mod nats;
pub mod nexmark;
mod outbox;
mod position;
#[cfg(feature = "postgres")]
pub mod postgres_cdc;
pub mod print;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
pub mod redis_stream;
pub mod registry;
#[cfg(test)]
pub(crate) mod replay;
pub mod shared;
pub mod stdio;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod tls;
pub mod values;
pub mod webhook;

pub use definition::Connector;
pub(crate) use lookup_table::LookupTables;
pub use registry::{connector, connector_names};

pub use crate::flow::sink::{Guarantee, Sink, SinkChangelog, SinkJob, Writer, WriterContext};
pub(crate) use crate::flow::source::unmarked;
pub use crate::flow::source::{Place, Positions, Read, Reader, ReaderContext, Source, SourceChangelog};

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::catalog::{Column, Table};

/// Makes, or removes, the topics of the demonstration.
pub(crate) fn demo_topics(servers: &str, names: &[String], make: bool) -> crate::error::Result<()> {
    #[cfg(feature = "kafka")]
    return kafka::demo_topics(servers, names, make);
    #[cfg(not(feature = "kafka"))]
    {
        let _ = (servers, names, make);
        connector("kafka").map(drop)
    }
}

/// What a query wants from a table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScanRequest {
    /// The table, with the options that hold for this reference.
    pub table: Arc<Table>,
    /// The wanted physical and metadata columns, by index into [`Table::columns`], in output order.
    pub projection: Vec<usize>,
    /// Their Arrow schema: what the reader's batches look like.
    pub schema: SchemaRef,
    /// Upper bound of rows in a batch.
    pub batch_rows: usize,
    /// The session's time zone.
    pub zone: String,
}

/// What a query asks of a table that it writes to.
#[derive(Clone)]
#[non_exhaustive]
pub struct SinkRequest {
    /// The table, with the options that hold for this INSERT.
    pub table: Arc<Table>,
    /// The time zone of TIMESTAMP_LTZ.
    pub zone: String,
    /// The columns that the writers get, in this order: physical ones, and metadata columns that are not virtual.
    pub schema: SchemaRef,
    /// The PRIMARY KEY, as positions in `schema`; empty without one.
    pub key: Vec<usize>,
    /// The query changes rows that it emitted before.
    pub changes: bool,
    /// INSERT OVERWRITE: the rows take the place of what the table (of its partitions, those that get rows) holds,
    /// when the job commits. Asked of connectors that say so ([`Connector::overwrites`]), for bounded queries.
    pub overwrite: bool,
    /// The input ends by itself. Otherwise results are to be made visible while the job runs, and not only by
    /// [`Sink::commit`].
    pub bounded: bool,
    /// The job makes checkpoints: results become visible by [`Sink::commit_epoch`] alone.
    pub checkpoints: bool,
    /// What the sinks of one job share.
    pub job: SinkJob,
}

impl SinkRequest {
    /// For a query that adds rows and ends, in a job without checkpoints and with no other sink.
    pub fn new(table: &Arc<Table>, zone: &str) -> Self {
        let persisted = || table.columns.iter().filter(|c| c.is_persisted());
        let field = |c: &Column| {
            let (data_type, nullable) = c.declared()?;
            Some(Field::new(&c.name, data_type.to_arrow(zone), nullable))
        };
        Self {
            schema: Arc::new(Schema::new(persisted().filter_map(field).collect::<Vec<_>>())),
            key: table.primary_key.iter().filter_map(|k| persisted().position(|c| c.name == *k)).collect(),
            table: table.clone(),
            zone: zone.to_string(),
            changes: false,
            overwrite: false,
            bounded: true,
            checkpoints: false,
            job: SinkJob::default(),
        }
    }
}
