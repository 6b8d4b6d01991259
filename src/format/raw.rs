//! The raw format: a table with one STRING or BYTES column, one record a line.
//!
//! Flink's raw format takes a message as it is; in a file or a stream of bytes the line is the message. A
//! NULL is written as an empty line.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::{Bytes, BytesMut};

use super::text::plain;
use super::{Decoder, Encoder, Origin};
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// The options of the format.
pub const OPTIONS: &[OptionDef] =
    &[OptionDef::new("raw.charset", OptionKind::Text, "UTF-8", "the encoding of STRING; UTF-8")];

/// A line that grows beyond this is an error.
const MAX_LINE: usize = 1 << 30;

/// Checks the options.
pub(crate) fn check_options(options: &Options) -> Result<()> {
    match options.text("raw.charset") {
        Some(name) if !name.eq_ignore_ascii_case("UTF-8") && !name.eq_ignore_ascii_case("UTF8") => {
            Err(Error::unsupported(format!("charset '{name}' is not supported, only UTF-8"))
                .at(options.span("raw.charset")))
        }
        _ => Ok(()),
    }
}

/// The one column there must be.
fn check_schema(schema: &SchemaRef) -> Result<()> {
    match schema.fields().as_ref() {
        [field] if matches!(field.data_type(), DataType::Utf8View | DataType::BinaryView) => Ok(()),
        [field] => {
            Err(Error::unsupported(format!("column '{}': format 'raw' takes STRING or BYTES", field.name())))
        }
        fields => Err(Error::plan(format!(
            "format 'raw' needs exactly one physical column, there are {}",
            fields.len()
        ))),
    }
}

/// Cuts lines; the column's values are views into the bytes that were fed.
pub struct RawDecoder {
    schema: SchemaRef,
    origin: Origin,
    batch_rows: usize,
    /// Blocks of whole lines.
    input: VecDeque<Bytes>,
    /// The unfinished line.
    partial: BytesMut,
    line: u64,
}

impl RawDecoder {
    /// A decoder of `declared` (one column) that returns `schema` (this column, or none).
    pub fn new(declared: &SchemaRef, schema: &SchemaRef, batch_rows: usize, origin: Origin) -> Result<Self> {
        check_schema(declared)?;
        Ok(Self {
            schema: schema.clone(),
            origin,
            batch_rows: batch_rows.max(1),
            input: VecDeque::new(),
            partial: BytesMut::new(),
            line: 0,
        })
    }
}

/// Where lines are in a block of bytes, without their `\n` or `\r\n`.
fn line_ranges(bytes: &[u8], limit: usize) -> (Vec<(usize, usize)>, usize) {
    let (mut ranges, mut start) = (Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', bytes).take(limit) {
        let trimmed = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        ranges.push((start, trimmed));
        start = end + 1;
    }
    (ranges, start)
}

impl Decoder for RawDecoder {
    fn feed(&mut self, mut bytes: Bytes) -> Result<()> {
        // Only the piece that completes a line that was cut is copied.
        if !self.partial.is_empty() {
            let Some(end) = memchr::memchr(b'\n', &bytes) else {
                if self.partial.len() + bytes.len() > MAX_LINE {
                    return Err(Error::decode(format!(
                        "{}, line {}: the line is longer than 1 GiB",
                        self.origin,
                        self.line + 1
                    )));
                }
                self.partial.extend_from_slice(&bytes);
                return Ok(());
            };
            self.partial.extend_from_slice(&bytes.split_to(end + 1));
            self.input.push_back(self.partial.split().freeze());
        }
        let complete = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        self.partial.extend_from_slice(&bytes.split_off(complete));
        if !bytes.is_empty() {
            self.input.push_back(bytes);
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(front) = self.input.front_mut() else { return Ok(None) };
        let (ranges, used) = line_ranges(front, self.batch_rows);
        let block = front.split_to(used);
        if front.is_empty() {
            self.input.pop_front();
        }
        let first_line = self.line + 1;
        self.line += ranges.len() as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(ranges.len()));
        let columns: Vec<ArrayRef> = match self.schema.fields().first().map(|f| f.data_type()) {
            None => Vec::new(),
            Some(DataType::BinaryView) => {
                let mut builder = BinaryViewBuilder::with_capacity(ranges.len());
                let index = builder.append_block(Buffer::from(block));
                for &(start, end) in &ranges {
                    builder.try_append_view(index, start as u32, (end - start) as u32)?;
                }
                vec![Arc::new(builder.finish())]
            }
            Some(_) => {
                let mut builder = StringViewBuilder::with_capacity(ranges.len());
                let index = builder.append_block(Buffer::from(block));
                for (i, &(start, end)) in ranges.iter().enumerate() {
                    builder.try_append_view(index, start as u32, (end - start) as u32).map_err(|_| {
                        let line = first_line + i as u64;
                        Error::decode(format!("{}, line {line}: the text is not UTF-8", self.origin))
                            .with_hint("declare the column as BYTES to read it as it is")
                    })?;
                }
                vec![Arc::new(builder.finish())]
            }
        };
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }

    fn finish(&mut self) -> Result<()> {
        if !self.partial.is_empty() {
            self.feed(Bytes::from_static(b"\n"))?;
        }
        Ok(())
    }
}

/// Writes the column's values, one a line.
#[derive(Debug)]
pub struct RawEncoder;

impl RawEncoder {
    /// An encoder of rows of `schema` (one column).
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        check_schema(schema).map(|()| Self)
    }
}

impl Encoder for RawEncoder {
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let column = plain(chunk.batch.column(0))?;
        if let Some(texts) = column.as_string_view_opt() {
            texts.iter().for_each(|t| line(t.unwrap_or_default().as_bytes(), out));
        } else if let Some(bytes) = column.as_binary_view_opt() {
            bytes.iter().for_each(|b| line(b.unwrap_or_default(), out));
        } else {
            return Err(Error::internal(format!("a column of type {} for format 'raw'", column.data_type())));
        }
        Ok(())
    }
}

fn line(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::StringViewArray;
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    fn schema(data_type: DataType) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("line", data_type, true)]))
    }

    fn decode(text: &[u8], cut: usize, rows: usize) -> Result<Vec<String>> {
        let schema = schema(DataType::Utf8View);
        let mut decoder = RawDecoder::new(&schema, &schema, rows, Origin::from("file x"))?;
        let mut lines = Vec::new();
        let mut drain = |decoder: &mut RawDecoder| -> Result<()> {
            while let Some(batch) = decoder.next_batch()? {
                lines.extend(batch.column(0).as_string_view().iter().flatten().map(str::to_string));
            }
            Ok(())
        };
        for piece in text.chunks(cut) {
            decoder.feed(Bytes::copy_from_slice(piece))?;
            drain(&mut decoder)?;
        }
        decoder.finish()?;
        drain(&mut decoder)?;
        Ok(lines)
    }

    #[test]
    fn a_line_is_a_record() {
        assert_eq!(decode(b"a\r\n\nb\nlast", 2, 2).unwrap(), ["a", "", "b", "last"]);
        let e = decode(b"a\nb\n\xff\n", 100, 10).unwrap_err();
        assert_eq!(e.message(), "file x, line 3: the text is not UTF-8");
    }

    #[test]
    fn one_column_of_text_or_bytes() {
        assert!(RawEncoder::new(&schema(DataType::Int32)).is_err());
        let schema = schema(DataType::Utf8View);
        let column = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let mut out = Vec::new();
        let chunk = Chunk::append(batch, std::time::Instant::now());
        RawEncoder::new(&schema).unwrap().encode(&chunk, &mut out).unwrap();
        assert_eq!(out, b"a\n\n");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,40}", cut in 1usize..20, rows in 1usize..5) {
            let lines: Vec<_> = text.lines().map(str::to_string).collect();
            prop_assert_eq!(decode(text.as_bytes(), cut, rows).unwrap(), lines);
        }
    }
}
