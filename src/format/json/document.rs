//! Whole documents → rows, as lookup services answer.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::column::{Context, string};
use super::decoder::{BOM, batch};
use super::message::describe;
use super::object::ObjectReader;
use super::options::JsonOptions;
use super::scan::{Fault, Scanned, Text};
use super::store::MAX_TEXT;
use crate::error::{Error, Result};
use crate::format::Origin;

/// Decodes documents, such as the answers of a lookup service, into rows: the value at a JSON pointer may
/// be an object (one row), an array of objects (a row each), or `null`, an empty array or absent (no row).
///
/// Keeps what it has learned about their shape from one document to the next.
#[derive(Debug)]
pub struct JsonDocuments {
    options: JsonOptions,
    schema: SchemaRef,
    reader: ObjectReader,
    pointer: Vec<String>,
    origin: Origin,
    skipped: u64,
}

impl JsonDocuments {
    /// `pointer` is a JSON pointer (RFC 6901), but `/` is the whole document like the empty text.
    pub fn new(options: JsonOptions, schema: SchemaRef, pointer: &str, origin: Origin) -> Result<Self> {
        let pointer = match pointer {
            "" | "/" => Vec::new(),
            _ => match pointer.strip_prefix('/') {
                Some(path) => path.split('/').map(|t| t.replace("~1", "/").replace("~0", "~")).collect(),
                None => {
                    return Err(Error::option(format!("'{pointer}' is not a JSON pointer"))
                        .with_hint("it begins with a slash: /data/items"));
                }
            },
        };
        Ok(Self { options, reader: ObjectReader::new(schema.fields())?, schema, pointer, origin, skipped: 0 })
    }

    /// The rows of one document.
    pub fn decode(&mut self, body: &[u8]) -> Result<RecordBatch> {
        let body = body.strip_prefix(BOM).unwrap_or(body);
        if body.len() > MAX_TEXT {
            return Err(Error::decode(format!(
                "{}: a document of {} bytes is too large",
                self.origin,
                body.len()
            )));
        }
        let body = simdutf8::compat::from_utf8(body).map_err(|e| {
            Error::decode(format!("{}: not UTF-8 from byte {} on", self.origin, e.valid_up_to()))
        })?;
        let text = Text::document(body);
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
        match self.read(&mut cx) {
            Ok(rows) => {
                self.skipped += cx.skipped;
                self.reader.flush(rows, body)?;
                batch(&self.schema, self.reader.finish(rows)?, rows)
            }
            Err(_) if self.options.ignore_parse_errors => {
                self.skipped += 1;
                self.reader.flush(0, body)?;
                batch(&self.schema, self.reader.finish(0)?, 0)
            }
            Err(fault) => {
                // Begin anew: what was read so far is of no use.
                self.reader.flush(0, body)?;
                self.reader.finish(0)?;
                Err(describe(&fault, text, 0, &self.origin, "json"))
            }
        }
    }

    /// How many values became NULL, and how many rows were left out, because they did not fit.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Scanned<usize> {
        let text = cx.text;
        let start = text.skip_space(0);
        let whole = |end: usize| match text.skip_space(end) {
            end if end < text.bytes().len() => Err(Fault::syntax(end, "the end after the JSON value")),
            _ => Ok(()),
        };
        let mut at = start;
        if !self.pointer.is_empty() {
            whole(text.value_end(start)?)?;
            for token in &self.pointer {
                match member(text, at, token)? {
                    Some(value) => at = value,
                    None => return Ok(0),
                }
            }
        }
        let mut rows = 0;
        let end = match text.peek(at) {
            b'{' => self.read_row(cx, at, &mut rows)?,
            b'[' => {
                let mut next = text.skip_space(at + 1);
                let mut first = true;
                while !(first && text.peek(next) == b']') {
                    if text.peek(next) != b'{' {
                        return Err(Fault::syntax(next, "an object for a row"));
                    }
                    first = false;
                    next = text.skip_space(self.read_row(cx, next, &mut rows)?);
                    match text.peek(next) {
                        b',' => next = text.skip_space(next + 1),
                        b']' => break,
                        _ => return Err(Fault::syntax(next, "',' or ']'")),
                    }
                }
                next + 1
            }
            b'n' => text.word_end(at, "null")?,
            _ => return Err(Fault::syntax(at, "an object, an array of objects or null")),
        };
        if self.pointer.is_empty() {
            whole(end)?;
        }
        Ok(rows)
    }

    fn read_row(&mut self, cx: &mut Context<'_>, at: usize, rows: &mut usize) -> Scanned<usize> {
        let skipped = cx.skipped;
        match self.reader.read(cx, at, *rows) {
            Ok(end) => {
                *rows += 1;
                Ok(end)
            }
            Err(_) if cx.ignore_errors => {
                cx.skipped = skipped + 1;
                cx.text.value_end(at)
            }
            Err(fault) => Err(fault),
        }
    }
}

/// Where the value begins that an object has under a name (the last one), or an array at an index.
fn member(text: Text<'_>, at: usize, token: &str) -> Scanned<Option<usize>> {
    let object = match text.peek(at) {
        b'{' => true,
        b'[' => false,
        _ => return Ok(None),
    };
    let index = match token {
        "0" => Some(0),
        _ if token.starts_with(['0', '+']) => None,
        _ => token.parse::<usize>().ok(),
    };
    let mut found = None;
    let mut at = text.skip_space(at + 1);
    let mut position = 0;
    while !matches!(text.peek(at), b'}' | b']') {
        let (wanted, value) = if object {
            let (quote, escapes, value) = text.key(at)?;
            (string(text, at + 1, quote, escapes) == token, value)
        } else {
            (index == Some(position), at)
        };
        if wanted {
            found = Some(value);
        }
        position += 1;
        at = text.skip_space(text.value_end(value)?);
        if text.peek(at) == b',' {
            at = text.skip_space(at + 1);
        }
    }
    Ok(found)
}

/// The rows of one document; see [`JsonDocuments`], which is cheaper for many.
pub fn decode_rows(
    options: JsonOptions,
    schema: SchemaRef,
    body: Bytes,
    pointer: &str,
    origin: Origin,
) -> Result<RecordBatch> {
    JsonDocuments::new(options, schema, pointer, origin)?.decode(&body)
}
