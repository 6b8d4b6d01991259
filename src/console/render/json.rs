//! One JSON object per line, first key `op`.

use std::time::Instant;

use arrow::array::RecordBatch;

use super::{Ending, Renderer, visible};
use crate::error::Result;
use crate::flow::Chunk;
use crate::format::Encoder;
use crate::format::json::{JsonEncoder, JsonOptions};

/// Writes results as JSON lines, as the format of files does.
pub struct JsonLines {
    terminal: bool,
    encoder: Option<JsonEncoder>,
}

impl JsonLines {
    /// With `terminal`, characters that could steer it are written as escapes.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, encoder: None }
    }
}

impl Renderer for JsonLines {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => self.encoder.insert(JsonEncoder::with_op(JsonOptions::default(), chunk.batch.schema())?),
        };
        encoder.encode(chunk, out)?;
        if self.terminal {
            guard(from, visible::json, out);
        }
        Ok(())
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
    let from = out.len();
    let chunk = Chunk::append(batch.clone(), Instant::now());
    JsonEncoder::new(JsonOptions::default(), batch.schema())?.encode(&chunk, out)?;
    if terminal {
        guard(from, visible::json, out);
    }
    Ok(())
}

/// Replaces what was appended after `from`.
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
            "{\"op\":\"+I\",\"id\":1,\"name\":\"a\\\"\\n\\u001B\"}\n{\"op\":\"-D\",\"id\":null,\"name\":\"\u{9b}é\"}\n"
        );
        target.terminal = true;
        assert!(render(target, &[chunk(&rows)], Ending::Complete).ends_with("\"name\":\"\\u009bé\"}\n"));
    }
}
