//! Bytes ↔ record batches.

#[cfg(feature = "avro")]
pub mod avro;
pub mod changelog;
pub mod csv;
pub mod debezium;
mod double;
pub mod infer;
pub mod json;
pub mod message;
#[cfg(any(feature = "sqlite", feature = "mysql", feature = "redis"))]
pub(crate) mod nested;
pub(crate) mod notice;
pub mod own;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "protobuf")]
pub mod protobuf;
pub mod raw;
pub mod registry;
pub(crate) mod rejecting;
pub(crate) mod text;

pub use crate::contract::format::{Decoder, Encoder, FileEncoder, Origin, RecordFormat, RecordFormatRequest};
pub use registry::{FORMAT_NAMES, Format};
