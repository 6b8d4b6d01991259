//! Chunks → bytes.

use arrow::datatypes::SchemaRef;

use super::CsvOptions;
use super::value::check_type;
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Encoder;
use crate::format::text::{Cells, Style, plain};

/// Text of more characters than this is put into quotes without a look.
const QUOTED_FROM: usize = 24;

/// Encodes rows, one a line. Text is in quotes as Flink has it: when it is long, or has a character that is not
/// beyond all that mean something (with a comma that is the space, too).
pub struct CsvEncoder {
    options: CsvOptions,
    style: Style,
    schema: SchemaRef,
    /// Bytes that make quotes necessary.
    special: [bool; 256],
    /// And in text.
    unsafe_in_text: [bool; 256],
    field: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder of rows of `schema`.
    pub fn new(options: CsvOptions, schema: &SchemaRef) -> Result<Self> {
        for field in schema.fields() {
            check_type(field.name(), field.data_type(), false)?;
        }
        let mut special = [false; 256];
        for byte in [Some(options.delimiter), options.quote, options.escape, Some(b'\n'), Some(b'\r')]
            .into_iter()
            .flatten()
        {
            special[usize::from(byte)] = true;
        }
        let mut unsafe_in_text = special;
        if options.as_flink {
            let last = special.iter().rposition(|s| *s).filter(|last| *last < 0x80).unwrap_or(0);
            let last = if options.escape.is_some_and(|e| usize::from(e) == last) {
                // An escape character counts alone.
                (0..last).rev().find(|i| special[*i]).unwrap_or(0)
            } else {
                last
            };
            unsafe_in_text[..=last].fill(true);
        }
        Ok(Self {
            style: Style::Csv {
                strip_decimals: options.as_flink,
                element_separator: options.element_delimiter.clone(),
                null: options.null_literal.clone().unwrap_or_default(),
            },
            options,
            schema: schema.clone(),
            special,
            unsafe_in_text,
            field: Vec::new(),
        })
    }

    /// Refuses an element that holds what separates elements: it would be read as two.
    fn check_elements(&self, field: &[u8], elements: usize, column: usize) -> Result<()> {
        let Style::Csv { element_separator, .. } = &self.style else { return Ok(()) };
        if element_separator.is_empty() {
            return Ok(());
        }
        let separators = memchr::memmem::find_iter(field, element_separator).count();
        if separators < elements.max(1) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&field[..field.len().min(60)]).into_owned();
        Err(Error::decode(format!(
            "column '{}': an element of '{shown}' holds '{element_separator}', which separates elements",
            self.schema.field(column).name()
        ))
        .with_hint("choose another 'csv.array-element-delimiter', or write json"))
    }

    /// Appends a field, in quotes where it needs them.
    fn append(&self, field: &[u8], column: usize, worded: bool, out: &mut Vec<u8>) -> Result<()> {
        // A line of nothing is no record, and a line that starts with # is a comment.
        let blank = field.is_empty() && self.schema.fields().len() == 1;
        let comment = column == 0 && self.options.comments && field.first() == Some(&b'#');
        let set = if worded { &self.unsafe_in_text } else { &self.special };
        let special = field.iter().any(|&b| set[usize::from(b)]);
        let long = worded && self.options.as_flink && field.len() > QUOTED_FROM && is_long(field);
        if !(blank || comment || special || long) {
            out.extend_from_slice(field);
            return Ok(());
        }
        let Some(quote) = self.options.quote else {
            if !(blank || comment || field.iter().any(|&b| self.special[usize::from(b)])) {
                out.extend_from_slice(field);
                return Ok(());
            }
            let name = self.schema.field(column).name();
            let shown = String::from_utf8_lossy(&field[..field.len().min(60)]).into_owned();
            return Err(Error::decode(format!(
                "column '{name}': '{shown}' cannot be written as csv without quotes"
            ))
            .with_hint("leave 'csv.disable-quote-character' out, or choose another 'csv.field-delimiter'"));
        };
        out.push(quote);
        for &byte in field {
            if byte == quote || Some(byte) == self.options.escape {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(quote);
        Ok(())
    }
}

/// Whether a text has more characters than are looked at, counted as Java does.
#[cold]
fn is_long(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.encode_utf16().count() > QUOTED_FROM)
}

impl Encoder for CsvEncoder {
    fn header(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if !self.options.write_header {
            return Ok(());
        }
        for (i, field) in self.schema.fields().iter().enumerate() {
            if i > 0 {
                out.push(self.options.delimiter);
            }
            self.append(field.name().as_bytes(), i, true, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let arrays = chunk.batch.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
        let columns = arrays.iter().map(|a| Cells::new(a.as_ref())).collect::<Result<Vec<_>>>()?;
        let null = self.options.null_literal.clone().unwrap_or_default();
        let mut field = std::mem::take(&mut self.field);
        for row in 0..chunk.len() {
            for (i, cells) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(self.options.delimiter);
                }
                if cells.is_null(row) {
                    self.append(null.as_bytes(), i, false, out)?;
                } else if let Some(text) = cells.as_text(row) {
                    self.append(text.as_bytes(), i, true, out)?;
                } else {
                    field.clear();
                    cells.write(row, &self.style, &mut field);
                    if let Some(elements) = cells.elements_of(row) {
                        self.check_elements(&field, elements, i)?;
                    }
                    self.append(&field, i, cells.is_worded(), out)?;
                }
            }
            out.push(b'\n');
        }
        self.field = field;
        Ok(())
    }
}
