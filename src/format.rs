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

pub use own::{RecordFormat, RecordFormatRequest};
pub use registry::{FORMAT_NAMES, Format};

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::error::Result;
use crate::flow::{Chunk, Kinds};

/// Where bytes come from, for messages: `file events.jsonl`, `stdin`, `answer of http://...`.
pub type Origin = Arc<str>;

/// Turns the bytes of one stream (a file, stdin, an answer) into batches. Cuts records itself; keeps the
/// unfinished one at the end until the next call.
pub trait Decoder: Send {
    /// Takes bytes in. They may be cut anywhere, and be kept alive by the batches made of them.
    fn feed(&mut self, bytes: Bytes) -> Result<()>;

    /// The next batch: whole records that were fed, up to the batch size; `None` when there is none
    /// (left). Never waits for more.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>>;

    /// The kinds of the rows of the batch that was handed out last.
    fn kinds(&mut self) -> Kinds {
        Kinds::Append
    }

    /// The stream has ended: an unfinished last record is now complete (or an error).
    fn finish(&mut self) -> Result<()>;

    /// The record that the last error of [`Decoder::next_batch`] is about, and its line: the next call goes on behind
    /// it. `None`: there is no going on.
    fn rejected(&mut self) -> Option<(Vec<u8>, u64)> {
        None
    }

    /// Whether part of a record that is more than a line is inside: reading cannot continue after what was fed
    /// without this decoder.
    fn holds_record(&self) -> bool {
        false
    }

    /// Records left out so far because they could not be decoded and the table says so.
    fn skipped(&self) -> u64 {
        0
    }
}

/// Turns chunks into bytes.
pub trait Encoder: Send {
    /// What a file starts with, such as a header line.
    fn header(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    /// Appends the rows of a chunk.
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()>;
}

/// Turns chunks into a file that is complete with its last bytes only: a file cannot be cut off, nor be added to.
pub trait FileEncoder: Send {
    /// Takes the rows of a chunk, and appends the bytes that are ready.
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()>;

    /// Bytes of memory that rows take which are not written.
    fn held(&self) -> usize;

    /// Writes the rows that it holds.
    fn hold_less(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Writes what is left and the end of the file.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()>;
}
