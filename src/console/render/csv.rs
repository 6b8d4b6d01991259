//! CSV after RFC 4180, with a header line; `op` is the first column. NULL is an empty field, an empty
//! text `""`.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::json::guard;
use super::text::TextColumn;
use super::{Ending, Renderer, visible};
use crate::error::Result;
use crate::flow::{Chunk, Kinds};

/// Writes results as CSV.
#[derive(Debug)]
pub struct CsvLines {
    schema: SchemaRef,
    terminal: bool,
    begun: bool,
}

impl CsvLines {
    /// With `terminal`, characters that could steer it are shown as pictures.
    pub fn new(schema: SchemaRef, terminal: bool) -> Self {
        Self { schema, terminal, begun: false }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            write_header(&self.schema, true, out);
        }
    }
}

impl Renderer for CsvLines {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        self.begin(out);
        write_rows(&chunk.batch, Some(&chunk.kinds), out)?;
        if self.terminal {
            guard(from, visible::csv, out);
        }
        Ok(())
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        self.begin(out);
        if self.terminal {
            guard(from, visible::csv, out);
        }
        Ok(())
    }

    fn end(&mut self, _ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        self.idle(out)
    }
}

/// Appends a small table, without `op`.
pub fn write_records(batch: &RecordBatch, terminal: bool, out: &mut Vec<u8>) -> Result<()> {
    let from = out.len();
    write_header(&batch.schema(), false, out);
    write_rows(batch, None, out)?;
    if terminal {
        guard(from, visible::csv, out);
    }
    Ok(())
}

/// Appends rows, without `op` and without a header.
pub fn write_plain(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    write_rows(batch, None, out)
}

fn write_header(schema: &Schema, op: bool, out: &mut Vec<u8>) {
    if op {
        out.extend_from_slice(b"op");
    }
    for (i, field) in schema.fields().iter().enumerate() {
        if op || i > 0 {
            out.push(b',');
        }
        write_field(field.name(), out);
    }
    out.extend_from_slice(b"\n");
}

fn write_rows(batch: &RecordBatch, kinds: Option<&Kinds>, out: &mut Vec<u8>) -> Result<()> {
    let columns = batch.columns().iter().map(|c| TextColumn::new(&**c)).collect::<Result<Vec<_>>>()?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        if let Some(kinds) = kinds {
            out.extend_from_slice(kinds.get(row).as_str().as_bytes());
        }
        for (i, column) in columns.iter().enumerate() {
            if kinds.is_some() || i > 0 {
                out.push(b',');
            }
            if !column.is_null(row) {
                text.clear();
                column.write(row, &mut text)?;
                write_field(&text, out);
            }
        }
        out.extend_from_slice(b"\n");
    }
    Ok(())
}

/// Appends a field, quoted where it must be.
fn write_field(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty()
        && memchr::memchr3(b'"', b',', b'\n', text.as_bytes()).is_none()
        && !text.contains('\r')
    {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, render};
    use super::super::{OutputFormat, Target};
    use super::*;
    use crate::flow::Kind::{Delete, Insert};

    #[test]
    fn rfc_4180() {
        let rows = [
            (Insert, Some(1), Some("a,b")),
            (Insert, None, Some("say \"x\"\nbye")),
            (Delete, Some(2), None),
            (Insert, Some(3), Some("")),
            (Insert, Some(4), Some("\u{1b}c")),
        ];
        let mut target = Target { format: OutputFormat::Csv, terminal: false, width: None };
        let expected =
            "op,id,name\n+I,1,\"a,b\"\n+I,,\"say \"\"x\"\"\nbye\"\n-D,2,\n+I,3,\"\"\n+I,4,\u{1b}c\n";
        assert_eq!(render(target, &[chunk(&rows)], Ending::Complete), expected);
        target.terminal = true;
        assert_eq!(render(target, &[chunk(&rows)], Ending::Complete), expected.replace('\u{1b}', "␛"));
    }
}
