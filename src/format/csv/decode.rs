//! Bytes → batches.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::{Buf, Bytes};
use csv_core::ReadRecordResult;

use super::CsvOptions;
use super::value::{Nesting, check_type, parse_column};
use crate::error::{Error, Result};
use crate::format::{Decoder, Origin};

/// A record that grows beyond this is an error: most likely a quote was not closed.
const MAX_RECORD: usize = 64 << 20;

/// Decodes the bytes of one file.
pub struct CsvDecoder {
    options: CsvOptions,
    nesting: Nesting,
    reader: csv_core::Reader,
    origin: Origin,
    schema: SchemaRef,
    declared: SchemaRef,
    /// For each column of `schema` its place in the record.
    places: Vec<usize>,
    batch_rows: usize,
    input: VecDeque<Bytes>,
    ended: bool,
    header_due: bool,
    /// Lines at the start that are still to be left out.
    lines_due: u64,
    /// The first record has not been read.
    first_due: bool,
    /// Quotes in the record that is being read, as far as it came before the last bytes.
    quotes: usize,
    /// Text of the fields of `lines.len()` records and of the one that is being read, one behind the other.
    text: Vec<u8>,
    /// Where each field ends in `text`; of the record that is being read: counted from its start.
    ends: Vec<usize>,
    /// Start of the record that is being read.
    start: usize,
    /// Lengths used of `text` and `ends`.
    text_used: usize,
    ends_used: usize,
    /// The line on which each record starts, from 1.
    lines: Vec<u64>,
    /// Records of the batch that end early, by their place in it, with the number of their fields.
    short: Vec<(usize, usize)>,
    skipped: u64,
    /// The first record of the batch that was not handed out.
    from: usize,
    /// A record of the batch did not fit: the others are read in small steps.
    careful: bool,
    /// What is wrong with the record behind those of the batch, and that record.
    broken: Option<(Error, Place)>,
    /// What is wrong with the record behind the rows that were handed out last.
    deferred: Option<(Error, Place)>,
    /// The record of the last error.
    rejected: Option<Place>,
    /// The bytes of the records of the batch, if they are kept, and where each ends.
    raw: Option<Vec<u8>>,
    raw_ends: Vec<usize>,
    /// The last byte that was read.
    last_byte: u8,
    /// Makes UTF-8 of what is fed, if it is not.
    transcoder: Option<encoding_rs::Decoder>,
}

/// The bytes of a record, and its line.
type Place = (Vec<u8>, u64);

/// What went wrong when a batch was built.
enum Fault {
    /// With a record of the batch.
    Record(usize, Error),
    Other(Error),
}

impl From<arrow::error::ArrowError> for Fault {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Other(error.into())
    }
}

const MISFIT_HINT: &str = "'csv.null-literal' names a text that means NULL; 'csv.skip-header' = 'true' leaves the first line out; a column of type STRING takes any text; 'scan.dead-letter' names a table that keeps such records";

const STRICT_HINT: &str = "the records before had no such value: declare the columns, this one as STRING or with the digits that it needs (CREATE TABLE t (..., code STRING, ts TIMESTAMP(6)) WITH (...)); 'csv.null-literal' names a text that means NULL; 'csv.strict' = 'false' cuts leading zeros and digits off";

/// Records that are built at once where others did not fit.
const CAREFUL: usize = 256;

impl CsvDecoder {
    /// Keeps the bytes of records, for [`Decoder::rejected`].
    pub(in crate::format) fn keeping_records(self) -> Self {
        Self { raw: Some(Vec::new()), ..self }
    }

    /// A decoder of records with the fields of `declared` that gives the columns of `schema`.
    pub fn new(
        options: CsvOptions,
        declared: &SchemaRef,
        schema: &SchemaRef,
        batch_rows: usize,
        origin: Origin,
    ) -> Result<Self> {
        let mut places = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            check_type(field.name(), field.data_type(), false)?;
            places.push(declared.index_of(field.name())?);
        }
        if declared.fields().is_empty() {
            return Err(Error::plan("format 'csv' needs at least one column"));
        }
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(options.delimiter).escape(options.escape);
        match options.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        if options.comments {
            builder.comment(Some(b'#'));
        }
        Ok(Self {
            nesting: Nesting {
                separator: options.element_delimiter.clone(),
                null: options.null_literal.clone(),
                strict: options.strict,
            },
            reader: builder.build(),
            origin,
            schema: schema.clone(),
            declared: declared.clone(),
            places,
            batch_rows: batch_rows.max(1),
            input: VecDeque::new(),
            ended: false,
            header_due: options.skip_header,
            lines_due: options.skip_lines,
            first_due: !options.skip_header,
            quotes: 0,
            text: vec![0; 64 << 10],
            ends: vec![0; 1024],
            start: 0,
            text_used: 0,
            ends_used: 0,
            lines: Vec::new(),
            short: Vec::new(),
            skipped: 0,
            from: 0,
            careful: false,
            broken: None,
            deferred: None,
            rejected: None,
            raw: None,
            raw_ends: Vec::new(),
            last_byte: 0,
            transcoder: (options.charset != encoding_rs::UTF_8).then(|| options.charset.new_decoder()),
            options,
        })
    }

    /// Bytes of the file as UTF-8.
    fn utf8(&mut self, bytes: Bytes, last: bool) -> Bytes {
        let Some(transcoder) = &mut self.transcoder else { return bytes };
        let most = transcoder.max_utf8_buffer_length(bytes.len()).unwrap_or(4 * bytes.len() + 16);
        let mut text = String::with_capacity(most);
        let _ = transcoder.decode_to_string(&bytes, &mut text, last);
        text.into()
    }

    /// Reads records until the batch is full or the input is used up.
    fn read_records(&mut self) -> Result<()> {
        let width = self.declared.fields().len();
        while self.lines.len() < self.batch_rows && self.broken.is_none() {
            let input = match self.input.front() {
                Some(bytes) => bytes.as_ref(),
                None if self.ended => &[],
                None => return Ok(()),
            };
            let (result, read, wrote, ended) = self.reader.read_record(
                input,
                &mut self.text[self.text_used..],
                &mut self.ends[self.ends_used..],
            );
            match read {
                0 if input.is_empty() => self.last_byte = 0,
                0 => {}
                _ => self.last_byte = input[read - 1],
            }
            if let Some(raw) = &mut self.raw {
                raw.extend_from_slice(&input[..read]);
            }
            if let (Some(quote), None) = (self.options.quote, self.options.escape) {
                match result {
                    ReadRecordResult::Record if !input.is_empty() => self.quotes = 0,
                    _ => self.quotes += memchr::memchr_iter(quote, &input[..read]).count(),
                }
            }
            self.text_used += wrote;
            self.ends_used += ended;
            if let Some(front) = self.input.front_mut() {
                front.advance(read);
                if front.is_empty() {
                    self.input.pop_front();
                }
            }
            match result {
                ReadRecordResult::InputEmpty if self.text_used - self.start > MAX_RECORD => {
                    return Err(self.too_long());
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.text_used - self.start > MAX_RECORD {
                        return Err(self.too_long());
                    }
                    self.text.resize(self.text.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(()),
                ReadRecordResult::Record => {
                    if self.quotes % 2 == 1 && self.text[self.start..self.text_used].contains(&b'\n') {
                        return Err(self.open_quote());
                    }
                    self.record(width);
                }
            }
        }
        Ok(())
    }

    /// The last record of a file has a quote that is not closed, and lines in it.
    #[cold]
    fn open_quote(&self) -> Error {
        let lines = self.text[self.start..self.text_used].iter().filter(|&&b| b == b'\n').count() as u64;
        let line = self.reader.line().saturating_sub(lines).max(1);
        Error::decode(format!(
            "{}, line {line}: a quote is not closed, and makes one record of the rest",
            self.origin
        ))
        .with_hint("close it; 'csv.disable-quote-character' = 'true' takes quotes as text")
    }

    fn too_long(&self) -> Error {
        Error::decode(format!("{}, line {}: a record is longer than {} MiB", self.origin, self.reader.line(), MAX_RECORD >> 20))
            .with_hint("a quote that is not closed makes one record of the rest of a file; 'csv.disable-quote-character' = 'true' takes quotes as text")
    }

    /// A record is complete: it stands at `start..text_used`.
    fn record(&mut self, width: usize) {
        let first_end = self.lines.len() * width;
        let count = self.ends_used - first_end;
        let inside = self.text[self.start..self.text_used].iter().filter(|&&b| b == b'\n').count() as u64;
        let line = self.reader.line() - u64::from(self.last_byte == b'\n') - inside;
        if std::mem::take(&mut self.first_due) {
            self.notice_header(first_end);
        }
        let keep = if std::mem::take(&mut self.header_due) {
            self.compare_header(first_end);
            false
        } else if count == width {
            true
        } else if self.options.lenient && count < width {
            self.skipped += 1;
            self.fill_up(first_end, count, width);
            true
        } else if self.options.lenient {
            self.skipped += 1;
            false
        } else {
            let record = self.take_raw();
            self.broken = Some((self.wrong_width(line, count, width), (record, line)));
            false
        };
        if keep {
            if let Some(raw) = &self.raw {
                self.raw_ends.push(raw.len());
            }
            self.ends[first_end..self.ends_used].iter_mut().for_each(|end| *end += self.start);
            self.lines.push(line);
            self.start = self.text_used;
        } else {
            self.text_used = self.start;
            self.ends_used = first_end;
            self.take_raw();
        }
    }

    /// The fields of the record that was read last.
    fn last_fields(&self, first_end: usize) -> Vec<&str> {
        let mut start = 0;
        let mut fields = Vec::new();
        for end in &self.ends[first_end..self.ends_used] {
            let field = self.text.get(self.start + start..self.start + end).unwrap_or_default();
            fields.push(std::str::from_utf8(field).unwrap_or_default());
            start = *end;
        }
        fields
    }

    /// Says when the first record is a header that nobody skips.
    #[cold]
    fn notice_header(&self, first_end: usize) {
        let fields = self.last_fields(first_end);
        let declared = self.declared.fields();
        let same = |(field, column): (&&str, &FieldRef)| field.trim().eq_ignore_ascii_case(column.name());
        if fields.len() == declared.len() && fields.iter().zip(declared.iter()).all(same) {
            let text = "the first line has the names of the columns, and is read as a row: 'csv.skip-header' = 'true'";
            crate::format::notice::once(&self.origin, text.to_string());
        }
    }

    /// Looks whether the names of a header are those of the columns.
    #[cold]
    fn compare_header(&self, first_end: usize) {
        let names = self.last_fields(first_end);
        let declared: Vec<&str> = self.declared.fields().iter().map(|f| f.name().as_str()).collect();
        if let Some(text) = crate::format::notice::about_header(&names, &declared) {
            crate::format::notice::once(&self.origin, text);
        }
    }

    /// The bytes of the record that was read last and is left out.
    fn take_raw(&mut self) -> Vec<u8> {
        let start = self.raw_ends.last().copied().unwrap_or(0);
        self.raw.as_mut().map_or_else(Vec::new, |raw| trimmed(&raw.split_off(start.min(raw.len()))))
    }

    /// The bytes of a record of the batch.
    fn raw_of(&self, row: usize) -> Vec<u8> {
        let start = row.checked_sub(1).and_then(|before| self.raw_ends.get(before)).copied().unwrap_or(0);
        let end = self.raw_ends.get(row).copied().unwrap_or(start);
        self.raw.as_ref().and_then(|raw| raw.get(start..end)).map_or_else(Vec::new, trimmed)
    }

    /// Gives a record that ends early fields that are empty.
    #[cold]
    fn fill_up(&mut self, first_end: usize, count: usize, width: usize) {
        let end = self.text_used - self.start;
        if self.ends.len() < first_end + width {
            self.ends.resize(first_end + width, 0);
        }
        self.ends[first_end + count..first_end + width].fill(end);
        self.ends_used = first_end + width;
        self.short.push((self.lines.len(), count));
    }

    /// Leaves records out whose bytes are not UTF-8.
    #[cold]
    fn drop_broken(&mut self) {
        let width = self.declared.fields().len();
        let start_of = |row: usize| if row == 0 { 0 } else { self.ends[row * width - 1] };
        let end_of = |row: usize| self.ends[(row + 1) * width - 1];
        let good: Vec<bool> = (0..self.lines.len())
            .map(|row| simdutf8::basic::from_utf8(&self.text[start_of(row)..end_of(row)]).is_ok())
            .collect();
        let (mut text, mut ends, mut lines, mut short) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in (0..good.len()).filter(|row| good[*row]) {
            let (start, at) = (start_of(row), text.len());
            text.extend_from_slice(&self.text[start..end_of(row)]);
            ends.extend(self.ends[row * width..(row + 1) * width].iter().map(|end| end - start + at));
            short.extend(self.short.iter().filter(|s| s.0 == row).map(|s| (lines.len(), s.1)));
            lines.push(self.lines[row]);
        }
        self.skipped += (good.len() - lines.len()) as u64;
        // The record that is being read stays behind them.
        let (start, ends_start) = (text.len(), ends.len());
        text.extend_from_slice(&self.text[self.start..self.text_used]);
        ends.extend_from_slice(&self.ends[self.lines.len() * width..self.ends_used]);
        (self.text_used, self.ends_used, self.start) = (text.len(), ends.len(), start);
        debug_assert_eq!(ends_start, lines.len() * width);
        text.resize(self.text.len().max(text.len()), 0);
        ends.resize(self.ends.len().max(ends.len()), 0);
        (self.text, self.ends, self.lines, self.short) = (text, ends, lines, short);
    }

    fn wrong_width(&self, line: u64, count: usize, width: usize) -> Error {
        let names: Vec<_> = self.declared.fields().iter().map(|f| f.name().as_str()).collect();
        let fields = |n: usize| if n == 1 { "1 field".to_string() } else { format!("{n} fields") };
        let error =
            Error::decode(format!("{}, line {line}: {} instead of {width}", self.origin, fields(count)));
        match names.get(count) {
            Some(missing) => error.with_detail(format!("column '{missing}' has no field")),
            None => error.with_detail(format!("the last column is '{}'", names.last().unwrap_or(&""))),
        }
        .with_hint("'csv.field-delimiter' and the declared columns must match the file; 'scan.dead-letter' names a table that keeps such records; 'csv.ignore-parse-errors' = 'true' fills short lines up with NULL")
    }

    /// The next rows. Those before a record that does not fit come first, then the error, and the next call goes on
    /// behind it.
    fn build_next(&mut self) -> Result<Option<RecordBatch>> {
        let mut end = self.lines.len();
        if self.careful {
            end = end.min(self.from + CAREFUL);
        }
        let mut fault = None;
        let mut batch = None;
        while end > self.from {
            match self.build(self.from..end) {
                Ok(built) => {
                    batch = Some(built);
                    break;
                }
                Err(Fault::Other(e)) => return Err(e),
                Err(Fault::Record(row, e)) => {
                    self.careful = true;
                    fault = Some((e, row));
                    end = row.clamp(self.from, end - 1);
                }
            }
        }
        self.from = end + usize::from(fault.is_some());
        self.deferred = fault.map(|(e, row)| {
            let line = self.lines.get(row).copied().unwrap_or(0);
            (e, (self.raw_of(row), line))
        });
        Ok(batch.filter(|b| b.num_rows() > 0))
    }

    fn build(&mut self, range: Range<usize>) -> Result<RecordBatch, Fault> {
        let width = self.declared.fields().len();
        let (base, rows) = (range.start, range.len());
        let first = if base == 0 { 0 } else { self.ends[base * width - 1] };
        let text = simdutf8::compat::from_utf8(&self.text[first..self.ends[range.end * width - 1]]);
        let text = text.map_err(|e| {
            let flat = self.ends[..range.end * width].partition_point(|&end| end <= first + e.valid_up_to());
            let (line, column) = self.place(flat / width, flat % width);
            let message = format!("{}, line {line}, column '{column}': the text is not UTF-8", self.origin);
            Fault::Record(flat / width, Error::decode(message))
        })?;
        let mut columns = Vec::with_capacity(self.places.len());
        let mut bad: Option<Vec<bool>> = None;
        let mut texts: Vec<Option<&str>> = Vec::with_capacity(rows);
        let misfits = Cell::new(0);
        for (field, &place) in self.schema.fields().iter().zip(&self.places) {
            let keeps_empty = super::value::keeps_empty(field.data_type());
            texts.clear();
            for row in range.clone() {
                let flat = row * width + place;
                let start = if flat == 0 { 0 } else { self.ends[flat - 1] };
                // Fields end before an ASCII delimiter, but a delimiter is a byte: `get` because a field
                // of bad UTF-8 may start inside of a character that only the whole buffer makes valid.
                let text = text.get(start - first..self.ends[flat] - first).ok_or_else(|| {
                    let (line, column) = self.place(row, place);
                    let message =
                        format!("{}, line {line}, column '{column}': the text is not UTF-8", self.origin);
                    Fault::Record(row, Error::decode(message))
                })?;
                let null = match &self.nesting.null {
                    Some(literal) => literal == text || (text.is_empty() && !keeps_empty),
                    None => text.is_empty() && !keeps_empty,
                };
                texts.push((!null).then_some(text));
            }
            for (row, _) in self.short.iter().filter(|(row, count)| place >= *count && range.contains(row)) {
                texts[*row - base] = None;
            }
            let lenient = self.options.lenient.then_some(&misfits);
            let array = parse_column(field.data_type(), &texts, &self.nesting, lenient).map_err(|m| {
                let row = base + m.index;
                let (line, column) = self.place(row, place);
                let message = format!("{}, line {line}, column '{column}': {}", self.origin, m.reason);
                let hint = if self.options.strict { STRICT_HINT } else { MISFIT_HINT };
                Fault::Record(row, Error::decode(message).with_hint(hint))
            })?;
            if !field.is_nullable()
                && let Some(nulls) = array.logical_nulls().filter(|n| n.null_count() > 0)
            {
                if !self.options.lenient {
                    let row = base + (0..rows).find(|&i| nulls.is_null(i)).unwrap_or(0);
                    let (line, column) = self.place(row, place);
                    let error = Error::decode(format!(
                        "{}, line {line}, column '{column}': the field is NULL, the column is declared NOT NULL",
                        self.origin
                    ));
                    return Err(Fault::Record(row, error));
                }
                let bad = bad.get_or_insert_with(|| vec![false; rows]);
                bad.iter_mut().enumerate().for_each(|(i, b)| *b |= nulls.is_null(i));
            }
            columns.push(array);
        }
        self.skipped += misfits.get();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let Some(bad) = bad else {
            return Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?);
        };
        // NULLs in NOT NULL columns: leave these rows out before the schema's promise is made.
        let fields: Vec<_> =
            self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let nullable = Arc::new(arrow::datatypes::Schema::new(fields));
        let all = RecordBatch::try_new_with_options(nullable, columns, &options)?;
        self.skipped += bad.iter().filter(|b| **b).count() as u64;
        let keep: BooleanArray = bad.iter().map(|b| Some(!b)).collect();
        let kept = filter_record_batch(&all, &keep)?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), kept.columns().to_vec(), &options)?)
    }

    /// Line of a record of the batch, and name of its declared column.
    fn place(&self, row: usize, place: usize) -> (u64, &str) {
        let line = self.lines.get(row).copied().unwrap_or(0);
        (line, self.declared.fields().get(place).map_or("", |f| f.name().as_str()))
    }

    /// Makes room for the next batch; the record that is being read moves to the front.
    fn clear(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let complete = self.lines.len() * self.declared.fields().len();
        self.text.copy_within(self.start..self.text_used, 0);
        self.ends.copy_within(complete..self.ends_used, 0);
        self.text_used -= self.start;
        self.ends_used -= complete;
        self.start = 0;
        (self.from, self.careful) = (0, false);
        if let Some(raw) = &mut self.raw {
            raw.drain(..self.raw_ends.last().copied().unwrap_or(0).min(raw.len()));
        }
        self.raw_ends.clear();
        self.lines.clear();
        self.short.clear();
    }
}

impl Decoder for CsvDecoder {
    fn feed(&mut self, bytes: Bytes) -> Result<()> {
        let mut bytes = self.utf8(bytes, false);
        while self.lines_due > 0 && !bytes.is_empty() {
            let feed = memchr::memchr(b'\n', &bytes);
            bytes.advance(feed.map_or(bytes.len(), |feed| feed + 1));
            if feed.is_some() {
                self.lines_due -= 1;
                self.reader.set_line(self.reader.line() + 1);
            }
        }
        if !bytes.is_empty() {
            self.input.push_back(bytes);
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((error, record)) = self.deferred.take() {
                self.rejected = Some(record);
                return Err(error);
            }
            if self.from >= self.lines.len() {
                self.clear();
                if let Some((error, record)) = self.broken.take() {
                    self.rejected = Some(record);
                    return Err(error);
                }
                self.read_records()?;
                if self.options.lenient && simdutf8::basic::from_utf8(&self.text[..self.start]).is_err() {
                    self.drop_broken();
                }
                if self.lines.is_empty() && self.broken.is_none() {
                    return Ok(None);
                }
                continue;
            }
            if let Some(batch) = self.build_next()? {
                return Ok(Some(batch));
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        let rest = self.utf8(Bytes::new(), true);
        if !rest.is_empty() {
            self.input.push_back(rest);
        }
        self.ended = true;
        Ok(())
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn rejected(&mut self) -> Option<(Vec<u8>, u64)> {
        self.rejected.take()
    }
}

/// A record without the line feeds around it.
fn trimmed(record: &[u8]) -> Vec<u8> {
    let feed = |b: &u8| matches!(b, b'\r' | b'\n');
    let start = record.iter().position(|b| !feed(b)).unwrap_or(record.len());
    let end = record.iter().rposition(|b| !feed(b)).map_or(start, |last| last + 1);
    record[start..end].to_vec()
}
