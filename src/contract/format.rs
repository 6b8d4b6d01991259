//! The contract of formats: bytes to batches and back.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::message::{Chunk, Kinds};
use super::sink::SinkChangelog;
use super::source::SourceChangelog;
use crate::catalog::{OptionDef, Options};
use crate::error::{Error, Result};

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

    /// The record that the last error of [`Decoder::next_batch`] is about, and its line: the next call continues after
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

/// A format of a program, named in `'format' = '...'` (see [`crate::Session::register_format`]).
///
/// ```
#[doc = include_str!("../../tests/embedding/format.rs")]
/// ```
pub trait RecordFormat: Send + Sync {
    /// The value of `'format'`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn doc(&self) -> &'static str;

    /// Its options, their keys with its name in front: `pairs.separator`.
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    /// Checks of options beyond their types, at CREATE TABLE.
    fn check(&self, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Whether a record starts after every newline, so that a file can be cut anywhere and read by several tasks.
    fn splittable(&self) -> bool {
        false
    }

    /// Which kinds of change its records have when they are read.
    fn source_changelog(&self) -> SourceChangelog {
        SourceChangelog::Append
    }

    /// Which kinds of change it can write.
    fn sink_changelog(&self) -> SinkChangelog {
        SinkChangelog::Append
    }

    /// A decoder of one stream of bytes, or of one message.
    fn decoder(&self, request: &RecordFormatRequest<'_>) -> Result<Box<dyn Decoder>>;

    /// An encoder for rows of the schema.
    fn encoder(&self, _options: &Options, _schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        Err(Error::unsupported(format!("format '{}' cannot be written", self.name())))
    }
}

/// What a decoder is made for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordFormatRequest<'a> {
    /// The table's options.
    pub options: &'a Options,
    /// All physical columns of the table in order.
    pub declared: SchemaRef,
    /// The wanted ones of them, by name: what batches look like.
    pub schema: SchemaRef,
    /// Upper bound of rows in a batch.
    pub batch_rows: usize,
    /// Where the bytes come from, for messages.
    pub origin: Origin,
}
