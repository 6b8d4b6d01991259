//! Chunks → text: one object a line, columns in order.

use arrow::datatypes::SchemaRef;

use super::cell::{Cells, Key, close, write_field};
use super::options::JsonOptions;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::Encoder;

/// Encodes rows as newline-delimited JSON objects.
///
/// NULL fields are written as `null` unless `json.encode.ignore-null-fields` leaves them out. Timestamps,
/// dates and times are strings with as many digits behind the point as are not zero, TIMESTAMP_LTZ in UTC
/// with a `Z`; bytes are Base64; intervals are strings like `+1-02` and `+3 04:05:06.789`; NaN and
/// infinite numbers are strings; keys of maps become strings.
#[derive(Debug)]
pub struct JsonEncoder {
    options: JsonOptions,
    keys: Vec<Key>,
    with_op: bool,
}

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
        Ok(Self { options, keys, with_op: false })
    }

    /// As [`JsonEncoder::new`], with the kind of change as first field: `{"op":"+I",...}`.
    pub fn with_op(options: JsonOptions, schema: SchemaRef) -> Result<Self> {
        Ok(Self { with_op: true, ..Self::new(options, schema)? })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        if !self.with_op
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
            let start = out.len();
            if self.with_op {
                out.extend_from_slice(b"{\"op\":\"");
                out.extend_from_slice(chunk.kinds.get(row).as_str().as_bytes());
                out.push(b'"');
            }
            for (key, cells) in &columns {
                write_field(key, cells, row, &self.options, out);
            }
            close(start, out);
            out.push(b'\n');
            // Room for all rows at once, by the size of the first.
            first.get_or_insert_with(|| {
                let size = out.len() - start;
                out.reserve(size.min(1 << 12) * (chunk.len() - row - 1));
                size
            });
        }
        Ok(())
    }
}
