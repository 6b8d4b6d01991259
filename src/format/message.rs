//! Messages with bounds: the records of a broker, which come and go as a whole, with or without a key.
//!
//! The formats decode streams of lines. A message is made a line: line feeds in JSON are white space, so they become
//! spaces; a message of csv ends with one. Messages of formats with one row each are decoded many at a time. Where
//! that does not come out even, because one of them is wrong or left out, they are decoded by halves, down to the one
//! that is; messages of formats of changes are decoded one by one. A format of the program gets each message as it is.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::{BufMut, Bytes, BytesMut};

use super::json::batch_of;
use super::text::plain;
use super::{Decoder, Encoder, Format};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};

/// The rows of some messages.
#[derive(Debug)]
pub struct Decoded {
    /// Rows, in the order of the messages.
    pub batch: RecordBatch,
    /// Their kinds.
    pub kinds: Kinds,
    /// The message of each row; `None`: row and message have one number.
    pub messages: Option<Vec<u32>>,
    /// What is wrong with the first message after these rows; nothing is decoded after it.
    pub error: Option<Error>,
    /// Messages that were decoded; where one is wrong, its number.
    pub taken: usize,
}

/// Decodes messages of one format.
pub struct MessageDecoder {
    format: Format,
    declared: SchemaRef,
    schema: SchemaRef,
    skipped: u64,
    #[cfg(feature = "avro")]
    avro: Option<super::avro::AvroDecoder>,
    #[cfg(feature = "protobuf")]
    protobuf: Option<super::protobuf::ProtobufDecoder>,
}

impl std::fmt::Debug for MessageDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageDecoder").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Rows of a batch of a stream decoder; a message has few.
const ROWS: usize = 1 << 16;

impl MessageDecoder {
    /// For messages whose fields are `declared`, of which `schema` is wanted.
    pub fn new(format: &Format, declared: &SchemaRef, schema: &SchemaRef) -> Result<Self> {
        let format = format.without_header();
        #[cfg(feature = "avro")]
        let avro = match &format {
            Format::Avro(options) => Some(super::avro::AvroDecoder::new(options, declared, schema)?),
            _ => None,
        };
        #[cfg(feature = "protobuf")]
        let protobuf = match &format {
            Format::Protobuf(options) => {
                Some(super::protobuf::ProtobufDecoder::new(options, declared, schema)?)
            }
            _ => None,
        };
        let decoder = Self {
            format,
            declared: declared.clone(),
            schema: schema.clone(),
            skipped: 0,
            #[cfg(feature = "avro")]
            avro,
            #[cfg(feature = "protobuf")]
            protobuf,
        };
        #[cfg(feature = "protobuf")]
        if decoder.protobuf.is_some() {
            return Ok(decoder);
        }
        #[cfg(feature = "avro")]
        if decoder.avro.is_some() {
            return Ok(decoder);
        }
        decoder.fresh("message").map(|_| decoder)
    }

    /// Messages left out so far because they could not be decoded and the table says so.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The rows of messages; an empty one (`None`, a tombstone) has none, but in `raw`, where it is NULL. `place` says
    /// where a message is, for errors. `told_apart`: the message of each row is wanted.
    pub fn decode(
        &mut self,
        messages: &[Option<&[u8]>],
        told_apart: bool,
        place: &dyn Fn(usize) -> String,
    ) -> Result<Decoded> {
        if matches!(self.format, Format::Raw) {
            return self.raw(messages, place);
        }
        #[cfg(feature = "avro")]
        if let Some(avro) = &mut self.avro {
            let rows = avro.decode(messages)?;
            let (taken, error) = match rows.wrong {
                Some((at, e)) => (at, Some(placed(e, &place(at)))),
                None => (messages.len(), None),
            };
            let messages = Some(rows.numbers);
            return Ok(Decoded { batch: rows.batch, kinds: Kinds::Append, messages, error, taken });
        }
        #[cfg(feature = "protobuf")]
        if let Some(protobuf) = &mut self.protobuf {
            let rows = protobuf.decode(messages)?;
            let (taken, error) = match rows.wrong {
                Some((at, e)) => (at, Some(placed(e, &place(at)))),
                None => (messages.len(), None),
            };
            self.skipped = protobuf.skipped();
            let messages = Some(rows.numbers);
            return Ok(Decoded { batch: rows.batch, kinds: Kinds::Append, messages, error, taken });
        }
        if !self.one_each() {
            let mut all = Gathered::default();
            self.one_by_one(messages, 0, place, &mut all)?;
            return all.decoded(&self.schema, messages.len());
        }
        if let Some((batch, kinds)) = self.at_once(messages)? {
            let numbers = messages.iter().enumerate().filter(|(_, message)| message.is_some());
            let numbers = || numbers.map(|(i, _)| i as u32).collect();
            let apart = told_apart && batch.num_rows() < messages.len();
            let messages = (apart.then(numbers), messages.len());
            return Ok(Decoded { batch, kinds, messages: messages.0, error: None, taken: messages.1 });
        }
        let mut all = Gathered::default();
        self.by_halves(messages, 0, place, &mut all)?;
        all.decoded(&self.schema, messages.len())
    }

    /// The rows of messages that have one each; `None` where that does not come out even.
    fn at_once(&mut self, messages: &[Option<&[u8]>]) -> Result<Option<(RecordBatch, Kinds)>> {
        let mut lines = BytesMut::with_capacity(messages.iter().flatten().map(|m| m.len() + 1).sum());
        messages.iter().flatten().for_each(|message| self.line(message, &mut lines));
        let full = messages.iter().flatten().count();
        // One for each call: a message that is cut short must not take the next one for its rest.
        let mut decoder = self.fresh("message")?;
        let Ok((batch, kinds)) = rows(decoder.as_mut(), &self.schema, lines.freeze()) else {
            return Ok(None);
        };
        Ok((batch.num_rows() == full && decoder.skipped() == 0).then_some((batch, kinds)))
    }

    /// Messages that do not come out even: few of many are so, and the others are decoded together.
    fn by_halves(
        &mut self,
        messages: &[Option<&[u8]>],
        first: usize,
        place: &dyn Fn(usize) -> String,
        all: &mut Gathered,
    ) -> Result<()> {
        const FEW: usize = 8;
        if messages.len() <= FEW {
            return self.one_by_one(messages, first, place, all);
        }
        let (left, right) = messages.split_at(messages.len() / 2);
        for (half, from) in [(left, first), (right, first + left.len())] {
            match self.at_once(half)? {
                Some((batch, kinds)) => {
                    let numbers = half.iter().enumerate().filter(|(_, message)| message.is_some());
                    all.add(batch, &kinds, numbers.map(|(i, _)| (from + i) as u32));
                }
                None => self.by_halves(half, from, place, all)?,
            }
            if all.error.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Whether a message that is not skipped has one row.
    fn one_each(&self) -> bool {
        matches!(self.format, Format::Json(_) | Format::Csv(_))
    }

    fn fresh(&self, origin: &str) -> Result<Box<dyn Decoder>> {
        self.format.decoder(&self.declared, &self.schema, ROWS, origin.into())
    }

    /// Adds a message as a line.
    fn line(&self, message: &[u8], lines: &mut BytesMut) {
        let start = lines.len();
        lines.extend_from_slice(message);
        if matches!(self.format, Format::Own(_)) {
            return;
        }
        if matches!(self.format, Format::Csv(_)) {
            while lines.len() > start && matches!(lines.last(), Some(b'\n' | b'\r')) {
                lines.truncate(lines.len() - 1);
            }
        } else if memchr::memchr2(b'\n', b'\r', message).is_some() {
            let feeds = lines[start..].iter_mut().filter(|b| matches!(b, b'\n' | b'\r'));
            feeds.for_each(|b| *b = b' ');
        }
        lines.put_u8(b'\n');
    }

    /// Each message for itself, up to the first that is wrong. `first`: the number of the first one.
    fn one_by_one(
        &mut self,
        messages: &[Option<&[u8]>],
        first: usize,
        place: &dyn Fn(usize) -> String,
        all: &mut Gathered,
    ) -> Result<()> {
        for (i, message) in messages.iter().enumerate() {
            let Some(message) = message else { continue };
            let at = first + i;
            let mut decoder = self.fresh("message")?;
            let mut line = BytesMut::with_capacity(message.len() + 1);
            self.line(message, &mut line);
            match rows(decoder.as_mut(), &self.schema, line.freeze()) {
                Ok((batch, kinds)) => {
                    let rows = batch.num_rows();
                    all.add(batch, &kinds, std::iter::repeat_n(at as u32, rows));
                    self.skipped += decoder.skipped();
                }
                Err(e) => {
                    all.error = Some((at, placed(e, &place(at))));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Messages as they are.
    fn raw(&self, messages: &[Option<&[u8]>], place: &dyn Fn(usize) -> String) -> Result<Decoded> {
        let (mut error, mut messages) = (None, messages);
        if let Some(field) = self.schema.fields().first().filter(|f| !f.is_nullable())
            && let Some(at) = messages.iter().position(Option::is_none)
        {
            let what = format!("{}: column '{}' is NULL, it is declared NOT NULL", place(at), field.name());
            (error, messages) = (Some(Error::decode(what)), messages.get(..at).unwrap_or_default());
        }
        let mut end = messages.len();
        let columns: Vec<ArrayRef> = match self.schema.fields().first().map(|f| f.data_type()) {
            None => Vec::new(),
            Some(DataType::BinaryView) => {
                let mut builder = BinaryViewBuilder::with_capacity(messages.len());
                messages.iter().for_each(|message| builder.append_option(*message));
                vec![Arc::new(builder.finish())]
            }
            Some(_) => {
                let mut builder = StringViewBuilder::with_capacity(messages.len());
                for (i, message) in messages.iter().enumerate() {
                    match message.map(simdutf8::basic::from_utf8).transpose() {
                        Ok(text) => builder.append_option(text),
                        Err(_) => {
                            let e = Error::decode(format!("{}: the text is not UTF-8", place(i)));
                            error = Some(e.with_hint("declare the column as BYTES to read it as it is"));
                            end = i;
                            break;
                        }
                    }
                }
                vec![Arc::new(builder.finish())]
            }
        };
        let batch = batch_of(&self.schema, columns, end)?;
        Ok(Decoded { batch, kinds: Kinds::Append, messages: None, error, taken: end })
    }
}

/// Rows that were decoded piece by piece.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    kinds: Vec<Kind>,
    numbers: Vec<u32>,
    error: Option<(usize, Error)>,
}

impl Gathered {
    fn add(&mut self, batch: RecordBatch, kinds: &Kinds, numbers: impl Iterator<Item = u32>) {
        self.kinds.extend((0..batch.num_rows()).map(|row| kinds.get(row)));
        self.numbers.extend(numbers);
        self.batches.push(batch);
    }

    fn decoded(self, schema: &SchemaRef, messages: usize) -> Result<Decoded> {
        let append = self.kinds.iter().all(|k| *k == Kind::Insert);
        let (taken, error) = match self.error {
            Some((at, e)) => (at, Some(e)),
            None => (messages, None),
        };
        Ok(Decoded {
            batch: concat_batches(schema, &self.batches)?,
            kinds: if append { Kinds::Append } else { Kinds::Changes(self.kinds.into()) },
            messages: Some(self.numbers),
            error,
            taken,
        })
    }
}

/// An error of a stream's first line as one of a message, which has a place of its own.
fn placed(e: Error, place: &str) -> Error {
    let text = e.message();
    let text = text.strip_prefix("message").unwrap_or(text);
    let text = text.strip_prefix(", line 1").unwrap_or(text);
    let joined =
        if text.starts_with([',', ':']) { format!("{place}{text}") } else { format!("{place}: {text}") };
    let mut placed = Error::new(e.kind(), joined);
    if let Some(detail) = e.detail() {
        placed = placed.with_detail(detail);
    }
    if let Some(hint) = e.hint() {
        placed = placed.with_hint(hint);
    }
    placed
}

/// All rows of some lines.
fn rows(decoder: &mut dyn Decoder, schema: &SchemaRef, lines: Bytes) -> Result<(RecordBatch, Kinds)> {
    decoder.feed(lines)?;
    decoder.finish()?;
    let (mut batches, mut kinds) = (Vec::new(), Vec::new());
    while let Some(batch) = decoder.next_batch()? {
        kinds.push(decoder.kinds());
        batches.push(batch);
    }
    if let (1, 1) = (batches.len(), kinds.len())
        && let (Some(batch), Some(kinds)) = (batches.pop(), kinds.pop())
    {
        return Ok((batch, kinds));
    }
    let all = concat_batches(schema, &batches)?;
    if kinds.iter().all(|kinds| matches!(kinds, Kinds::Append)) {
        return Ok((all, Kinds::Append));
    }
    let each = kinds.iter().zip(&batches).flat_map(|(k, b)| (0..b.num_rows()).map(move |row| k.get(row)));
    let each: Vec<Kind> = each.collect();
    Ok((all, Kinds::Changes(each.into())))
}

/// Writes a message for each row.
pub struct MessageEncoder(Form);

enum Form {
    Raw,
    /// A line each.
    Lines(Box<dyn Encoder>),
    #[cfg(feature = "avro")]
    Avro(Box<super::avro::AvroEncoder>),
    #[cfg(feature = "protobuf")]
    Protobuf(Box<super::protobuf::ProtobufEncoder>),
}

impl std::fmt::Debug for MessageEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageEncoder").finish_non_exhaustive()
    }
}

impl MessageEncoder {
    /// For rows of `schema`.
    pub fn new(format: &Format, schema: &SchemaRef) -> Result<Self> {
        let format = format.without_header();
        #[cfg(feature = "avro")]
        if let Format::Avro(options) = &format {
            return Ok(Self(Form::Avro(Box::new(super::avro::AvroEncoder::new(options, schema)?))));
        }
        #[cfg(feature = "protobuf")]
        if let Format::Protobuf(options) = &format {
            return Ok(Self(Form::Protobuf(Box::new(super::protobuf::ProtobufEncoder::new(
                options, schema,
            )?))));
        }
        let encoder = format.encoder(schema)?;
        Ok(Self(if matches!(format, Format::Raw) { Form::Raw } else { Form::Lines(encoder) }))
    }

    /// The message of each row, as a range of `out`; `None` for a row that has none, such as NULL in `raw`.
    pub fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<Vec<Option<Range<usize>>>> {
        out.clear();
        let encoder = match &mut self.0 {
            Form::Raw => return raw_messages(chunk, out),
            Form::Lines(encoder) => encoder,
            #[cfg(feature = "avro")]
            Form::Avro(encoder) => {
                only_inserts(chunk, "avro")?;
                return encoder.encode(&chunk.batch, out);
            }
            #[cfg(feature = "protobuf")]
            Form::Protobuf(encoder) => {
                only_inserts(chunk, "protobuf")?;
                return encoder.encode(&chunk.batch, out);
            }
        };
        encoder.encode(chunk, out)?;
        let mut ranges = Vec::with_capacity(chunk.len());
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', out) {
            ranges.push(Some(start..end));
            start = end + 1;
        }
        if ranges.len() == chunk.len() && start == out.len() {
            return Ok(ranges);
        }
        // A row has no line, or several.
        out.clear();
        ranges.clear();
        for row in 0..chunk.len() {
            let start = out.len();
            encoder.encode(&chunk.slice(row, 1), out)?;
            let end = out.len();
            ranges.push((end > start).then(|| start..end - usize::from(out.ends_with(b"\n"))));
        }
        Ok(ranges)
    }
}

/// Refuses changes, which the format has no place for.
#[cfg(any(feature = "avro", feature = "protobuf"))]
fn only_inserts(chunk: &Chunk, format: &str) -> Result<()> {
    let Kinds::Changes(kinds) = &chunk.kinds else { return Ok(()) };
    match kinds.iter().find(|kind| **kind != Kind::Insert) {
        None => Ok(()),
        Some(other) => Err(Error::unsupported(format!(
            "format '{format}' writes inserts only, but a row is a change of kind {}",
            other.as_str()
        ))),
    }
}

fn raw_messages(chunk: &Chunk, out: &mut Vec<u8>) -> Result<Vec<Option<Range<usize>>>> {
    let column = plain(chunk.batch.column(0))?;
    let mut ranges = Vec::with_capacity(chunk.len());
    for row in 0..chunk.len() {
        let start = out.len();
        if column.is_null(row) {
            ranges.push(None);
            continue;
        }
        match column.data_type() {
            DataType::Utf8View => out.extend_from_slice(column.as_string_view().value(row).as_bytes()),
            DataType::BinaryView => out.extend_from_slice(column.as_binary_view().value(row)),
            other => return Err(Error::internal(format!("format 'raw' has a column of type {other}"))),
        }
        ranges.push(Some(start..out.len()));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{Field, Int64Type, Schema};

    use super::*;
    use crate::catalog::Options;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
        ]))
    }

    fn format(pairs: &[(&str, &str)]) -> Format {
        let mut options = Options::default();
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        Format::from_options(&options).unwrap()
    }

    /// The numbers of the rows, the message of each, and what was wrong.
    fn decoded(
        pairs: &[(&str, &str)],
        messages: &[Option<&str>],
    ) -> (Vec<i64>, Option<Vec<u32>>, Option<String>) {
        let mut decoder = MessageDecoder::new(&format(pairs), &schema(), &schema()).unwrap();
        let messages: Vec<_> = messages.iter().map(|m| m.map(str::as_bytes)).collect();
        let decoded = decoder.decode(&messages, true, &|i| format!("offset {i}")).unwrap();
        let numbers = decoded.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        (numbers, decoded.messages, decoded.error.map(|e| e.message().to_string()))
    }

    #[test]
    fn a_message_is_a_record_whatever_line_feeds_are_in_it() {
        let json = [("format", "json")];
        let pretty = "{\n  \"n\": 1,\n  \"s\": \"a\"\n}\n";
        assert_eq!(decoded(&json, &[Some(pretty), Some("{\"n\":2}")]), (vec![1, 2], None, None));
        let tombstone = decoded(&json, &[Some("{\"n\":1}"), None, Some("{\"n\":2}")]);
        assert_eq!(tombstone, (vec![1, 2], Some(vec![0, 2]), None));
        let csv = [("format", "csv")];
        assert_eq!(decoded(&csv, &[Some("1,\"a\nb\"\n"), Some("2,c")]), (vec![1, 2], None, None));
    }

    #[test]
    fn rows_before_a_bad_message_are_kept_and_it_is_named() {
        let (rows, messages, error) =
            decoded(&[("format", "json")], &[Some("{\"n\":1}"), Some("{"), Some("{}")]);
        assert_eq!((rows, messages), (vec![1], Some(vec![0])));
        assert!(error.unwrap().starts_with("offset 1: expected"));
        // The next message is not taken for the rest of one that is cut short.
        let halves = [Some("{\"n\":1,"), Some("\"s\":\"x\"}"), Some("{\"n\":3}")];
        for format in ["json", "debezium-json"] {
            let (rows, _, error) = decoded(&[("format", format)], &halves);
            assert!(rows.is_empty() && error.is_some_and(|e| e.starts_with("offset 0")), "{format}");
        }
        let skips = [("format", "json"), ("json.ignore-parse-errors", "true")];
        let messages = [Some("{"), Some("{\"n\":7}"), Some("")];
        assert_eq!(decoded(&skips, &messages), (vec![7], Some(vec![1]), None));
    }

    #[test]
    fn an_update_is_two_rows_of_one_message() {
        let update = "{\"before\":{\"n\":1},\"after\":{\"n\":2},\"op\":\"u\"}";
        let messages = [Some("{\"before\":null,\"after\":{\"n\":1},\"op\":\"c\"}"), None, Some(update)];
        assert_eq!(
            decoded(&[("format", "debezium-json")], &messages),
            (vec![1, 1, 2], Some(vec![0, 2, 2]), None)
        );
    }

    #[test]
    fn a_row_is_a_message() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\nb"), None]));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("s", texts, true)]).unwrap();
        let chunk = Chunk::append(batch, Instant::now());
        let messages = |pairs: &[(&str, &str)], chunk: &Chunk, schema: &SchemaRef| -> Vec<Option<String>> {
            let mut out = Vec::new();
            let ranges =
                MessageEncoder::new(&format(pairs), schema).unwrap().encode(chunk, &mut out).unwrap();
            let text = |range: Range<usize>| String::from_utf8(out[range].to_vec()).unwrap();
            ranges.into_iter().map(|range| range.map(text)).collect()
        };
        assert_eq!(
            messages(&[("format", "json")], &chunk, &schema()),
            [Some("{\"n\":1,\"s\":\"a\\nb\"}".into()), Some("{\"n\":null,\"s\":null}".into())]
        );
        assert_eq!(
            messages(&[("format", "csv")], &chunk, &schema()),
            [Some("1,\"a\nb\"".into()), Some(",".into())]
        );
        let only = chunk.with_batch(chunk.batch.project(&[1]).unwrap());
        let text = Arc::new(schema().project(&[1]).unwrap());
        assert_eq!(messages(&[("format", "raw")], &only, &text), [Some("a\nb".into()), None]);
    }
}
