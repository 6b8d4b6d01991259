//! Chunks → text: one object a line, columns in order.

use arrow::datatypes::SchemaRef;

use super::cell::{Cells, Key, close, write_field, write_string};
use super::options::JsonOptions;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::Encoder;

/// What surrounds a row, by the kind of its change.
#[derive(Debug)]
enum Frame {
    /// Nothing: there is no place for a kind.
    None,
    /// `{"op":"+I",` and the fields: what is in front of the first field's comma, for each kind.
    Field([Box<[u8]>; 4]),
    /// Before and after the row, when it came and when it went.
    Envelope { came: [&'static [u8]; 2], went: [&'static [u8]; 2] },
}

/// Encodes rows as newline-delimited JSON objects.
///
/// NULL fields are written as `null` unless `json.encode.ignore-null-fields` leaves them out. Timestamps,
/// dates and times are strings with as many digits after the point as are not zero, TIMESTAMP_LTZ in UTC
/// with a `Z`; bytes are Base64; intervals are strings like `+1-02` and `+3 04:05:06.789`; NaN and
/// infinite numbers are strings; keys of maps become strings.
#[derive(Debug)]
pub struct JsonEncoder {
    options: JsonOptions,
    keys: Vec<Key>,
    frame: Frame,
    /// Rows that were replaced are left out.
    upserts: bool,
}

const KINDS: [Kind; 4] = [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete];

impl JsonEncoder {
    /// An encoder for rows of `schema`. Rows other than inserts are refused: the text has no place for
    /// their kind.
    pub fn new(options: JsonOptions, schema: SchemaRef) -> Result<Self> {
        // Finds out about types that cannot be written before the first row.
        for field in schema.fields() {
            let empty = arrow::array::new_empty_array(field.data_type());
            Cells::new(&empty).map_err(|e| e.context(format!("column '{}'", field.name())))?;
        }
        let keys = schema.fields().iter().map(|f| Key::new(f.name())).collect();
        Ok(Self { options, keys, frame: Frame::None, upserts: false })
    }

    /// As [`JsonEncoder::new`], with the kind of change as first field: `{"op":"+I",...}`.
    pub fn with_op(options: JsonOptions, schema: SchemaRef) -> Result<Self> {
        Self::with_kind(options, schema, "op")
    }

    /// As [`JsonEncoder::new`], with the kind of change as first field, of that name.
    pub fn with_kind(options: JsonOptions, schema: SchemaRef, field: &str) -> Result<Self> {
        let frame = KINDS.map(|kind| {
            let mut text = vec![b'{'];
            write_string(field, &mut text);
            text.extend_from_slice(b":\"");
            text.extend_from_slice(kind.as_str().as_bytes());
            text.push(b'"');
            text.into()
        });
        Ok(Self { frame: Frame::Field(frame), ..Self::new(options, schema)? })
    }

    /// For records that replace the ones with their key: without `-U`.
    pub(in crate::format) fn upserts(self, upserts: bool) -> Self {
        Self { upserts, ..self }
    }

    /// Debezium's envelopes, as Flink writes them: `{"before":null,"after":{...},"op":"c"}` for what came
    /// (`+I`, `+U`) and `{"before":{...},"after":null,"op":"d"}` for what went (`-U`, `-D`).
    pub(in crate::format) fn debezium(options: JsonOptions, schema: SchemaRef) -> Result<Self> {
        let frame = if options.ignore_null_fields {
            Frame::Envelope {
                came: [b"{\"after\":", b",\"op\":\"c\"}"],
                went: [b"{\"before\":", b",\"op\":\"d\"}"],
            }
        } else {
            Frame::Envelope {
                came: [b"{\"before\":null,\"after\":", b",\"op\":\"c\"}"],
                went: [b"{\"before\":", b",\"after\":null,\"op\":\"d\"}"],
            }
        };
        Ok(Self { frame, ..Self::new(options, schema)? })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        if matches!(self.frame, Frame::None)
            && let Kinds::Changes(kinds) = &chunk.kinds
            && let Some(other) = kinds.iter().find(|k| **k != Kind::Insert)
        {
            return Err(Error::unsupported(format!(
                "format 'json' writes inserts only, but a row is a change of kind {}",
                other.as_str()
            )));
        }
        if chunk.batch.num_columns() != self.keys.len() {
            return Err(Error::internal("a chunk with other columns than its encoder"));
        }
        let columns: Vec<(&Key, Cells<'_>)> = self
            .keys
            .iter()
            .zip(chunk.batch.columns())
            .map(|(key, column)| Ok((key, Cells::new(column)?)))
            .collect::<Result<_>>()?;
        let mut first = None;
        for row in 0..chunk.len() {
            if self.upserts && chunk.kinds.get(row) == Kind::UpdateBefore {
                continue;
            }
            let first_byte = out.len();
            let mut start = first_byte;
            let mut behind: &[u8] = b"";
            match &self.frame {
                Frame::None => {}
                Frame::Field(texts) => out.extend_from_slice(&texts[chunk.kinds.get(row) as usize]),
                Frame::Envelope { came, went } => {
                    let texts = match chunk.kinds.get(row) {
                        Kind::Insert | Kind::UpdateAfter => came,
                        Kind::UpdateBefore | Kind::Delete => went,
                    };
                    out.extend_from_slice(texts[0]);
                    behind = texts[1];
                    start = out.len();
                }
            }
            for (key, cells) in &columns {
                write_field(key, cells, row, &self.options, out);
            }
            close(start, out);
            out.extend_from_slice(behind);
            out.push(b'\n');
            // Room for all rows at once, by the size of the first.
            first.get_or_insert_with(|| {
                let size = out.len() - first_byte;
                out.reserve(size.min(1 << 12) * (chunk.len() - row - 1));
                size
            });
        }
        Ok(())
    }
}
