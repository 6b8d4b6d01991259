//! Bytes → batches: cuts the stream into lines, reads each, and says where one is wrong.

use std::collections::VecDeque;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use memchr::{memchr, memrchr};

use super::column::Context;
use super::message::{EXCERPT, describe};
use super::object::ObjectReader;
use super::options::JsonOptions;
use super::scan::{Fault, Scanned, Text};
use crate::error::{Error, Result};
use crate::format::{Decoder, Origin};

/// Lines are checked to be UTF-8 and read in pieces of about this size, so that they stay in the cache.
const PIECE: usize = 64 << 10;
/// A longer line is an error.
pub const MAX_LINE: usize = 64 << 20;
/// A batch ends when so many bytes of records are in it.
const MAX_BATCH: usize = 128 << 20;

/// What some editors put in front of UTF-8.
pub(super) const BOM: &[u8] = "\u{feff}".as_bytes();

/// Decodes newline-delimited JSON objects into the fields of a schema.
///
/// Fields that the schema lacks are skipped, fields that a record lacks are NULL, and of a field that
/// comes twice the last value holds. Values are coerced as Flink does: a number or an object to STRING as
/// written, `"8"` to INT, 3.9 to INT 3. A surrogate (`\ud83d`) without its other half becomes U+FFFD.
#[derive(Debug)]
pub struct JsonDecoder {
    options: JsonOptions,
    schema: SchemaRef,
    reader: ObjectReader,
    batch_rows: usize,
    origin: Origin,
    /// Fed, not yet cut into lines.
    blocks: VecDeque<Bytes>,
    /// Whole lines, each with its line feed, but for the last one of a stream.
    lines: Bytes,
    /// The beginning of a line.
    carry: Vec<u8>,
    /// The rest of a line that is too long is still to come.
    discards: bool,
    finished: bool,
    /// Lines behind us.
    line: u64,
    rows: usize,
    bytes: usize,
    skipped: u64,
    /// The lines of the rows, where they are asked for; then those of the batch that was handed out.
    places: Option<Vec<u64>>,
    handed_out: Vec<u64>,
    /// The format's name, which its options begin with.
    format: &'static str,
    /// What went wrong behind the rows of the batch that was just handed out.
    deferred: Option<Error>,
}

impl JsonDecoder {
    /// A decoder for one stream, whose batches have exactly the columns of `schema` and at most
    /// `batch_rows` rows. A type that JSON has no form for is refused.
    pub fn new(options: JsonOptions, schema: SchemaRef, batch_rows: usize, origin: Origin) -> Result<Self> {
        Ok(Self {
            options,
            reader: ObjectReader::new(schema.fields())?,
            schema,
            batch_rows: batch_rows.max(1),
            origin,
            blocks: VecDeque::new(),
            lines: Bytes::new(),
            carry: Vec::new(),
            discards: false,
            finished: false,
            line: 0,
            rows: 0,
            bytes: 0,
            skipped: 0,
            places: None,
            handed_out: Vec::new(),
            format: "json",
            deferred: None,
        })
    }

    /// For records that are envelopes of a format of that name: lines that hold `null` are no records, and
    /// [`JsonDecoder::lines`] says where each row stands.
    pub(in crate::format) fn envelopes(self, format: &'static str) -> Self {
        Self { places: Some(Vec::new()), format, ..self }
    }

    /// The line numbers of the rows of the last batch.
    pub(in crate::format) fn lines(&self) -> &[u64] {
        &self.handed_out
    }

    /// Makes sure that there are whole lines, if there can be.
    fn cut_lines(&mut self) -> Result<bool> {
        while self.lines.is_empty() {
            let Some(mut block) = self.blocks.pop_front() else {
                if self.finished && !self.carry.is_empty() {
                    self.lines = Bytes::from(std::mem::take(&mut self.carry));
                    return Ok(true);
                }
                return Ok(false);
            };
            if self.discards {
                let Some(feed) = memchr(b'\n', &block) else { continue };
                self.discards = false;
                self.line += 1;
                block = block.slice(feed + 1..);
            }
            if self.carry.is_empty() {
                let whole = memrchr(b'\n', &block).map_or(0, |feed| feed + 1);
                self.carry.extend_from_slice(&block[whole..]);
                self.lines = block.slice(..whole);
            } else if let Some(feed) = memchr(b'\n', &block) {
                self.carry.extend_from_slice(&block[..=feed]);
                self.lines = Bytes::from(std::mem::take(&mut self.carry));
                self.blocks.push_front(block.slice(feed + 1..));
            } else {
                self.carry.extend_from_slice(&block);
            }
            if self.carry.len() > MAX_LINE {
                let start = Bytes::copy_from_slice(&self.carry[..EXCERPT * 4]);
                self.carry = Vec::new();
                self.discards = true;
                self.too_long(&start)?;
            }
        }
        Ok(true)
    }

    fn too_long(&mut self, start: &[u8]) -> Result<()> {
        let start = String::from_utf8_lossy(start);
        let fault = Fault::syntax(0, format!("a record of at most {} MiB", MAX_LINE >> 20));
        self.bad_record(Text::lines(&start), 0, self.line + 1, fault)
    }

    /// A record that cannot be read: dropped and counted, or an error.
    #[cold]
    fn bad_record(&mut self, text: Text<'_>, start: usize, line: u64, fault: Box<Fault>) -> Result<()> {
        if self.options.ignore_parse_errors {
            self.skipped += 1;
            return Ok(());
        }
        Err(describe(&fault, text, start, &format!("{}, line {line}", self.origin), self.format))
    }

    /// Reads lines until the batch is full or no whole line is left.
    fn fill(&mut self) -> Result<()> {
        while self.rows < self.batch_rows && self.bytes < MAX_BATCH && self.cut_lines()? {
            let end = match self.lines.len() {
                n if n <= PIECE => n,
                n => memrchr(b'\n', &self.lines[..PIECE])
                    .or_else(|| Some(PIECE + memchr(b'\n', &self.lines[PIECE..])?))
                    .map_or(n, |feed| feed + 1),
            };
            let piece = self.lines.slice(..end);
            if end > MAX_LINE {
                // Only a line alone makes a piece so large.
                self.lines = self.lines.slice(end..);
                let result = self.too_long(&piece[..EXCERPT * 4]);
                self.line += 1;
                result?;
                continue;
            }
            let (consumed, result) = match simdutf8::basic::from_utf8(&piece) {
                Ok(text) => self.read_piece(text),
                Err(_) => self.read_broken_piece(&piece),
            };
            self.lines = self.lines.slice(consumed..);
            self.bytes += consumed;
            result?;
        }
        Ok(())
    }

    /// Lines that are not all UTF-8: those in front of the first bad one, or that one.
    #[cold]
    fn read_broken_piece(&mut self, piece: &[u8]) -> (usize, Result<()>) {
        let (valid, at) = match simdutf8::compat::from_utf8(piece) {
            Ok(text) => return self.read_piece(text),
            Err(e) => {
                let whole = memrchr(b'\n', &piece[..e.valid_up_to()]).map_or(0, |feed| feed + 1);
                (whole, e.valid_up_to())
            }
        };
        if let Ok(text) = simdutf8::basic::from_utf8(&piece[..valid])
            && valid > 0
        {
            return self.read_piece(text);
        }
        let end = memchr(b'\n', piece).map_or(piece.len(), |feed| feed + 1);
        let mut fault = Fault::syntax(at, "UTF-8");
        fault.found = Some("bytes that are not");
        self.line += 1;
        let text = String::from_utf8_lossy(&piece[..end.min(EXCERPT * 8)]);
        (end, self.bad_record(Text::lines(&text), 0, self.line, fault))
    }

    /// Reads lines of a piece until the batch is full; gives the bytes consumed, also when it fails.
    fn read_piece(&mut self, piece: &str) -> (usize, Result<()>) {
        let text = Text::lines(piece);
        let bytes = text.bytes();
        let mut cx = Context {
            text,
            ignore_errors: self.options.ignore_parse_errors,
            fail_on_missing: self.options.fail_on_missing_field,
            format: self.options.timestamp_format,
            skipped: 0,
        };
        let mut at = if self.line == 0 && bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let mut result = Ok(());
        while self.rows < self.batch_rows && at < bytes.len() {
            let start = text.skip_space(at);
            if matches!(text.peek(start), b'\n') || start >= bytes.len() {
                self.line += 1;
                at = start + 1;
                continue;
            }
            if self.places.is_some()
                && let Some(end) = null_record(text, start)
            {
                self.line += 1;
                at = end;
                continue;
            }
            let skipped = cx.skipped;
            match read_record(&mut self.reader, &mut cx, start, self.rows) {
                Ok(end) => {
                    self.line += 1;
                    self.rows += 1;
                    if let Some(places) = &mut self.places {
                        places.push(self.line);
                    }
                    at = end;
                }
                Err(fault) => {
                    cx.skipped = skipped;
                    self.line += 1;
                    at = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |feed| start + feed + 1);
                    result = self.bad_record(text, start, self.line, fault);
                    if result.is_err() {
                        break;
                    }
                }
            }
        }
        self.skipped += cx.skipped;
        let flushed = self.reader.flush(self.rows, piece);
        (at.min(bytes.len()), flushed.and(result))
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if let Some(places) = &mut self.places {
            self.handed_out.clear();
            std::mem::swap(places, &mut self.handed_out);
        }
        if rows == 0 {
            return Ok(None);
        }
        batch(&self.schema, self.reader.finish(rows)?, rows).map(Some)
    }
}

impl Decoder for JsonDecoder {
    fn feed(&mut self, bytes: Bytes) -> Result<()> {
        if !bytes.is_empty() {
            self.blocks.push_back(bytes);
        }
        Ok(())
    }

    /// Rows in front of a bad record are handed out first, the error comes with the next call, and
    /// after it reading goes on behind the bad record.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(error) = self.deferred.take() {
            return Err(error);
        }
        match self.fill() {
            Ok(()) => self.take_batch(),
            Err(error) if self.rows == 0 => Err(error),
            Err(error) => {
                self.deferred = Some(error);
                self.take_batch()
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        Ok(())
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Reads one line from its first character on; gives the position behind its line feed.
#[inline]
fn read_record(reader: &mut ObjectReader, cx: &mut Context<'_>, start: usize, row: usize) -> Scanned<usize> {
    if cx.text.peek(start) != b'{' {
        return Err(Fault::syntax(start, "a JSON object"));
    }
    let end = reader.read(cx, start, row)?;
    if cx.text.peek(end) == b'\n' {
        return Ok(end + 1);
    }
    let end = cx.text.skip_space(end);
    if cx.text.peek(end) == b'\n' || end >= cx.text.bytes().len() {
        return Ok(end + 1);
    }
    Err(Fault::syntax(end, "the end of the line behind the object"))
}

/// The position behind a line that holds nothing but `null`.
fn null_record(text: Text<'_>, start: usize) -> Option<usize> {
    let end = text.word_end(start, "null").ok().map(|end| text.skip_space(end))?;
    (text.peek(end) == b'\n' || end >= text.bytes().len()).then_some(end + 1)
}

/// A batch of columns, or of none but with a number of rows.
pub(in crate::format) fn batch(
    schema: &SchemaRef,
    columns: Vec<arrow::array::ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
