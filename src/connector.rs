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
#[cfg(feature = "s3")]
pub mod dynamodb;
pub mod embedded;
pub mod filesystem;
#[cfg(any(feature = "kafka", feature = "postgres", feature = "mysql"))]
mod filled;
pub mod function;
pub mod http;
#[cfg_attr(
    not(any(feature = "kafka", feature = "mqtt", feature = "nats", feature = "redis", feature = "s3")),
    allow(dead_code, reason = "what only brokers need is dead in builds without them")
)]
mod inbox;
pub mod jdbc;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "s3")]
pub mod kinesis;
mod lookup_table;
#[cfg_attr(
    not(any(feature = "kafka", feature = "mqtt", feature = "nats", feature = "redis", feature = "s3")),
    allow(dead_code, reason = "what only brokers need is dead in builds without them")
)]
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

pub use crate::contract::connector::{Connector, Nature, ScanRequest, SinkRequest};
pub(crate) use lookup_table::LookupTables;
pub use registry::{connector, connector_names};

pub use crate::flow::sink::{Guarantee, Sink, SinkChangelog, SinkJob, Writer, WriterContext};
pub(crate) use crate::flow::source::unmarked;
pub use crate::flow::source::{Place, Positions, Read, Reader, ReaderContext, Source, SourceChangelog};

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
