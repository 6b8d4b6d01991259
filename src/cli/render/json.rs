//! One JSON object per line, first key `op`.

use arrow::array::RecordBatch;

use super::text::{TextColumn, write_json_text};
use super::{Ending, Renderer, visible};
use crate::error::Result;
use crate::flow::{Chunk, Kinds};

/// Writes results as JSON lines.
#[derive(Debug)]
pub struct JsonLines {
    terminal: bool,
}

impl JsonLines {
    /// With `terminal`, characters that could steer it are written as escapes.
    pub fn new(terminal: bool) -> Self {
        Self { terminal }
    }
}

impl Renderer for JsonLines {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        write_lines(&chunk.batch, Some(&chunk.kinds), self.terminal, out)
    }

    fn idle(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, _ending: Ending, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// Appends the rows of a small table, without `op`.
pub fn write_objects(batch: &RecordBatch, terminal: bool, out: &mut Vec<u8>) -> Result<()> {
    write_lines(batch, None, terminal, out)
}

fn write_lines(batch: &RecordBatch, kinds: Option<&Kinds>, terminal: bool, out: &mut Vec<u8>) -> Result<()> {
    let from = out.len();
    let schema = batch.schema();
    let columns = batch.columns().iter().map(|c| TextColumn::new(&**c)).collect::<Result<Vec<_>>>()?;
    let mut keys = Vec::with_capacity(columns.len());
    for field in schema.fields() {
        let mut key = Vec::new();
        write_json_text(field.name(), &mut key)?;
        key.push(b':');
        keys.push(key);
    }
    for row in 0..batch.num_rows() {
        out.push(b'{');
        let mut first = true;
        if let Some(kinds) = kinds {
            out.extend_from_slice(b"\"op\":\"");
            out.extend_from_slice(kinds.get(row).as_str().as_bytes());
            out.push(b'"');
            first = false;
        }
        for (key, column) in keys.iter().zip(&columns) {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(key);
            column.write_json(row, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    if terminal {
        guard(from, visible::json, out);
    }
    Ok(())
}

/// Replaces what was appended behind `from`.
pub fn guard(from: usize, safe: impl Fn(&str) -> String, out: &mut Vec<u8>) {
    let text = safe(&String::from_utf8_lossy(&out[from..]));
    out.truncate(from);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, render};
    use super::super::{OutputFormat, Target};
    use super::*;
    use crate::flow::Kind::{Delete, Insert};

    #[test]
    fn op_first_then_the_columns() {
        let rows = [(Insert, Some(1), Some("a\"\n\u{1b}")), (Delete, None, Some("\u{9b}é"))];
        let mut target = Target { format: OutputFormat::Json, terminal: false, width: None };
        assert_eq!(
            render(target, &[chunk(&rows)], Ending::Complete),
            "{\"op\":\"+I\",\"id\":1,\"name\":\"a\\\"\\n\\u001b\"}\n{\"op\":\"-D\",\"id\":null,\"name\":\"\u{9b}é\"}\n"
        );
        target.terminal = true;
        assert!(render(target, &[chunk(&rows)], Ending::Complete).ends_with("\"name\":\"\\u009bé\"}\n"));
    }
}
