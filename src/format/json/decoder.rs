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

/// A document over several lines is held as a whole; a longer one is an error.
const MAX_DOCUMENT: usize = 256 << 20;

/// After so many records, columns that none of them had are reported.
const CHECKED: u64 = 100;

/// What some editors put in front of UTF-8.
pub(super) const BOM: &[u8] = "\u{feff}".as_bytes();

/// Decodes newline-delimited JSON objects into the fields of a schema.
///
/// Fields that the schema lacks are skipped, fields that a record lacks are NULL, and of a field that
/// comes twice the last value holds. An array of objects is as many records. Values are coerced as Flink does: a number or an object to STRING as
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
    /// What went wrong after the rows of the batch that was just handed out.
    deferred: Option<Error>,
    /// Rows so far, until it was looked whether they have the columns.
    unchecked: Option<u64>,
    /// The record of the last error, with its line.
    rejected: Option<(Vec<u8>, u64)>,
    shape: Shape,
    /// In an array of records, whose syntax was looked at.
    in_array: bool,
    /// It was said how many records had fields that nobody declared.
    told_all: bool,
}

/// How the records of a stream are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// To be found out from the first lines.
    Unknown,
    /// One a line.
    Lines,
    /// Values over several lines, as people and pretty-printers write them.
    Document,
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
            unchecked: options.documents.then_some(0),
            rejected: None,
            shape: if options.documents { Shape::Unknown } else { Shape::Lines },
            in_array: false,
            told_all: false,
        })
    }

    /// For records that are envelopes of a format of that name: lines that hold `null` are no records, and
    /// [`JsonDecoder::lines`] says where each row is.
    pub(in crate::format) fn envelopes(self, format: &'static str) -> Self {
        Self { places: Some(Vec::new()), format, ..self }
    }

    /// Warns of fields that are not among the declared ones, if the options say so.
    pub(in crate::format) fn expecting(mut self, declared: &SchemaRef) -> Self {
        if self.options.strict {
            self.reader.expect(declared.fields());
        }
        self
    }

    /// Says which fields came that nobody declared.
    #[cold]
    fn tell_strange(&mut self, end: bool) {
        let mut found = Vec::new();
        self.reader.strange("", end, &mut found);
        for (field, objects) in found {
            match end {
                false => {
                    let place = format!("{}, line {}", self.origin, self.line + 1);
                    super::super::notice::strange(&place, &field);
                }
                true => super::super::notice::strange_in_all(&self.origin, &field, objects),
            }
        }
    }

    /// The line numbers of the rows of the last batch.
    pub(in crate::format) fn lines(&self) -> &[u64] {
        &self.handed_out
    }

    /// Finds out the shape, if enough is there.
    fn decide(&mut self) -> bool {
        const ENOUGH: usize = 1 << 20;
        let mut head = Vec::new();
        for block in &self.blocks {
            head.extend_from_slice(&block[..block.len().min(ENOUGH)]);
            if head.len() >= ENOUGH {
                break;
            }
        }
        self.shape = match begins_document(&head, self.finished) {
            Some(true) => Shape::Document,
            None if head.len() < ENOUGH && !self.finished => return false,
            _ => Shape::Lines,
        };
        true
    }

    /// Waits for the end of a document.
    fn gather(&mut self) -> Result<bool> {
        for block in self.blocks.drain(..) {
            self.carry.extend_from_slice(&block);
        }
        if self.carry.len() > MAX_DOCUMENT {
            return Err(Error::decode(format!(
                "{}: a document over several lines is longer than {} MiB",
                self.origin,
                MAX_DOCUMENT >> 20
            ))
            .with_hint("write one JSON object a line, as `jq -c '.[]'` does"));
        }
        if !self.finished || self.carry.is_empty() {
            return Ok(!self.lines.is_empty());
        }
        let whole = std::mem::take(&mut self.carry);
        if self.options.ignore_parse_errors
            && !std::str::from_utf8(&whole).is_ok_and(|text| is_sound(Text::document(text)))
        {
            // Broken lines, after all: those that can be read are.
            self.shape = Shape::Lines;
            self.blocks.push_back(Bytes::from(whole));
            return self.cut_lines();
        }
        self.lines = Bytes::from(whole);
        Ok(true)
    }

    /// Makes sure that there are whole lines, if there can be.
    fn cut_lines(&mut self) -> Result<bool> {
        if self.shape == Shape::Unknown && !self.decide() {
            return Ok(false);
        }
        if self.shape == Shape::Document && self.lines.is_empty() {
            return self.gather();
        }
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
        let line_end = line_end(text.bytes(), start, text.is_document());
        let whole = self.in_array || text.is_document();
        let end = text.value_end(start).ok().filter(|_| whole).unwrap_or(line_end);
        let record = text.bytes().get(start..end).unwrap_or_default();
        self.rejected = Some((record.trim_ascii_end().to_vec(), line));
        Err(describe(&fault, text, start, &format!("{}, line {line}", self.origin), self.format))
    }

    /// Reads lines until the batch is full or no whole line is left.
    fn fill(&mut self) -> Result<()> {
        while self.rows < self.batch_rows && self.bytes < MAX_BATCH && self.cut_lines()? {
            let document = self.shape == Shape::Document;
            let end = match self.lines.len() {
                n if n <= PIECE || document => n,
                n => memrchr(b'\n', &self.lines[..PIECE])
                    .or_else(|| Some(PIECE + memchr(b'\n', &self.lines[PIECE..])?))
                    .map_or(n, |feed| feed + 1),
            };
            let piece = self.lines.slice(..end);
            if end > MAX_LINE && !document {
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
        let result = self.bad_record(Text::lines(&text), 0, self.line, fault);
        self.rejected = Some((piece[..end].trim_ascii_end().to_vec(), self.line));
        (end, result)
    }

    /// Reads records of a piece until the batch is full; returns the bytes consumed, also when it fails.
    fn read_piece(&mut self, piece: &str) -> (usize, Result<()>) {
        let document = self.shape == Shape::Document;
        let text = if document { Text::document(piece) } else { Text::lines(piece) };
        let bytes = text.bytes();
        let mut cx = Context {
            text,
            ignore_errors: self.options.ignore_parse_errors,
            fail_on_missing: self.options.fail_on_missing_field,
            fail_on_fraction: self.options.fail_on_fraction,
            strict: self.options.strict,
            news: false,
            format: self.options.timestamp_format,
            skipped: 0,
        };
        let mut at = if self.line == 0 && bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let mut counted = 0;
        let mut result = Ok(());
        while self.rows < self.batch_rows && at < bytes.len() {
            let start = text.skip_space(at);
            if document {
                self.line += memchr::memchr_iter(b'\n', &bytes[counted..start]).count() as u64;
                counted = start;
            }
            if matches!(text.peek(start), b'\n') || start >= bytes.len() {
                self.line += u64::from(!document);
                at = start + 1;
                continue;
            }
            if self.in_array {
                match text.peek(start) {
                    b',' => at = start + 1,
                    b']' => {
                        self.in_array = false;
                        at = self.record_end(text, start + 1);
                    }
                    _ => {
                        at = text.value_end(start).unwrap_or(bytes.len());
                        result = self.read_record(&mut cx, start, false).map(drop);
                    }
                }
            } else if text.peek(start) == b'[' {
                match array_end(text, start) {
                    Ok(()) => {
                        self.in_array = true;
                        at = start + 1;
                    }
                    Err(fault) => {
                        result = self.bad_record(text, start, self.line + 1, fault);
                        at = self.record_end(text, line_end(bytes, start, document));
                    }
                }
            } else if self.places.is_some()
                && let Some(end) = null_record(text, start)
            {
                at = self.record_end(text, end);
            } else {
                match self.read_record(&mut cx, start, true) {
                    Ok(Some(end)) => at = self.record_end(text, end),
                    other => {
                        result = other.map(drop);
                        let end = if document { text.value_end(start).ok() } else { None };
                        at = self.record_end(text, end.unwrap_or(line_end(bytes, start, document)));
                    }
                }
            }
            if result.is_err() {
                break;
            }
        }
        let at = at.min(bytes.len());
        if document {
            self.line += memchr::memchr_iter(b'\n', &bytes[counted.min(at)..at]).count() as u64;
        }
        self.skipped += cx.skipped;
        let flushed = self.reader.flush(self.rows, piece);
        (at, flushed.and(result))
    }

    /// Reads the record at `start`, alone on its line or in an array; returns the position after it, if it could be
    /// read.
    #[inline]
    fn read_record(&mut self, cx: &mut Context<'_>, start: usize, alone: bool) -> Result<Option<usize>> {
        let skipped = cx.skipped;
        match read_record(&mut self.reader, cx, start, self.rows, alone) {
            Ok(end) => {
                if std::mem::take(&mut cx.news) {
                    self.tell_strange(false);
                }
                self.rows += 1;
                if let Some(places) = &mut self.places {
                    places.push(self.line + 1);
                }
                Ok(Some(end))
            }
            Err(fault) => {
                cx.skipped = skipped;
                self.bad_record(cx.text, start, self.line + 1, fault).map(|()| None)
            }
        }
    }

    /// The position after the line feed of a record that ends at `at`.
    #[inline]
    fn record_end(&mut self, text: Text<'_>, at: usize) -> usize {
        if self.shape == Shape::Document {
            return at;
        }
        self.line += 1;
        if text.peek(at) == b'\n' { at + 1 } else { text.skip_space(at) + 1 }
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        if self.options.strict
            && self.finished
            && self.blocks.is_empty()
            && self.lines.is_empty()
            && !std::mem::replace(&mut self.told_all, true)
        {
            self.tell_strange(true);
        }
        if let Some(unchecked) = &mut self.unchecked {
            *unchecked += rows as u64;
            let all = self.finished && self.blocks.is_empty() && self.lines.is_empty();
            let (never, others) = self.reader.never_seen();
            // Where no column is right, the first look at the data says so, and there may be no more.
            let none = never.len() == self.schema.fields().len() && !others.is_empty();
            if *unchecked >= CHECKED || ((all || none) && *unchecked > 0) {
                super::super::notice::absent(&self.origin, &never, &others, *unchecked);
                let mut inside = Vec::new();
                self.reader.never_seen_inside("", &mut inside);
                for (never, others) in inside {
                    super::super::notice::absent_inside(&self.origin, &never, &others, *unchecked);
                }
                self.unchecked = None;
            }
        }
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
    /// after it reading continues after the bad record.
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

    fn rejected(&mut self) -> Option<(Vec<u8>, u64)> {
        self.rejected.take()
    }

    fn holds_record(&self) -> bool {
        match self.shape {
            Shape::Unknown => !self.blocks.is_empty(),
            Shape::Document => true,
            Shape::Lines => false,
        }
    }
}

/// Reads one record from its first character on; returns the position after it. What is `alone` has nothing but
/// white space after it on its line.
#[inline]
fn read_record(
    reader: &mut ObjectReader,
    cx: &mut Context<'_>,
    start: usize,
    row: usize,
    alone: bool,
) -> Scanned<usize> {
    if cx.text.peek(start) != b'{' {
        return Err(Fault::syntax(start, "a JSON object"));
    }
    let end = reader.read(cx, start, row)?;
    if !alone || cx.text.peek(end) == b'\n' || cx.text.is_document() {
        return Ok(end);
    }
    let end = cx.text.skip_space(end);
    if cx.text.peek(end) == b'\n' || end >= cx.text.bytes().len() {
        return Ok(end);
    }
    Err(Fault::syntax(end, "the end of the line after the object"))
}

/// Looks whether an array is sound and alone on its line, so that it has all of its records or none.
fn array_end(text: Text<'_>, start: usize) -> Scanned<()> {
    let end = text.skip_space(text.value_end(start)?);
    if text.is_document() || text.peek(end) == b'\n' || end >= text.bytes().len() {
        return Ok(());
    }
    Err(Fault::syntax(end, "the end of the line after the array"))
}

/// Where what cannot be read ends: with its line, or with the document.
fn line_end(bytes: &[u8], start: usize, document: bool) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let feed = if document { None } else { memchr(b'\n', rest) };
    feed.map_or(bytes.len(), |feed| start + feed)
}

/// The position after a line that holds nothing but `null`.
fn null_record(text: Text<'_>, start: usize) -> Option<usize> {
    let end = text.word_end(start, "null").ok().map(|end| text.skip_space(end))?;
    (text.peek(end) == b'\n' || end >= text.bytes().len() || text.is_document()).then_some(end)
}

/// Whether a text is JSON values, one after the other.
fn is_sound(text: Text<'_>) -> bool {
    let mut at = text.skip_space(if text.bytes().starts_with(BOM) { BOM.len() } else { 0 });
    while at < text.bytes().len() {
        match text.value_end(at) {
            Ok(end) => at = text.skip_space(end),
            Err(_) => return false,
        }
    }
    true
}

/// Whether a stream begins with a value over several lines, and not with records one a line; `None`: that is to be
/// seen from what follows. A first record that is broken does not make a document of the others.
pub(in crate::format) fn begins_document(head: &[u8], ended: bool) -> Option<bool> {
    let mut rest = head.strip_prefix(BOM).unwrap_or(head);
    let mut line = || -> Option<String> {
        loop {
            let (end, next) = match memchr(b'\n', rest) {
                Some(feed) => (feed, feed + 1),
                None if ended && !rest.is_empty() => (rest.len(), rest.len()),
                None => return None,
            };
            let line = String::from_utf8_lossy(&rest[..end]).trim().to_string();
            rest = &rest[next..];
            if !line.is_empty() {
                return Some(line);
            }
        }
    };
    let none = if ended { Some(false) } else { None };
    let Some(first) = line() else { return none };
    if !first.starts_with(['{', '[']) {
        return Some(false);
    }
    match Text::lines(&first).value_end(0) {
        Ok(_) => return Some(false),
        Err(fault) if fault.at < first.len() => return Some(false),
        Err(_) => {}
    }
    if first == "{" || first == "[" {
        return Some(true);
    }
    let Some(second) = line() else { return none };
    let whole = second.starts_with('{') && Text::lines(&second).value_end(0).ok() == Some(second.len());
    Some(!whole)
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
