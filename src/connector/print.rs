//! A sink for people: rows as Flink's print connector shows them, `+I[1, sensor-7, 21.5]`.
//!
//! With `print-identifier` a line starts with `identifier> `, and with `identifier:task> ` when several
//! tasks write; without it, several tasks give `task> `. Tasks are counted from 1, as in Flink.
//!
//! At-least-once: what was shown cannot be retracted, so rows after the last checkpoint are shown again.

use std::sync::Arc;
use std::task::Poll;

use arrow::array::ArrayRef;

use super::stdio::Stream;
use super::{Connector, Nature};
use super::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::catalog::{OptionDef, OptionKind, Table};
use crate::error::Result;
use crate::flow::Chunk;
use crate::format::text::{Cells, Style, plain};

/// `'connector' = 'print'`.
#[derive(Debug)]
pub struct Print;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new("print-identifier", OptionKind::Text, "", "prefix of every line"),
    OptionDef::new("standard-error", OptionKind::Bool, "false", "write to stderr instead of stdout"),
];

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn doc(&self) -> &'static str {
        "a sink that shows rows on stdout or stderr"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { writes: Some(SinkChangelog::All), ..Nature::declared(self.options(), &table.options) }
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let table = &request.table;
        let stream = if table.options.bool("standard-error")?.unwrap_or(false) {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        let identifier = table.options.text("print-identifier").unwrap_or_default().to_string();
        Ok(Arc::new(PrintSink { stream, identifier }))
    }
}

struct PrintSink {
    stream: Stream,
    identifier: String,
}

impl Sink for PrintSink {
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::All
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(PrintWriter {
            stream: self.stream.clone(),
            prefix: prefix(&self.identifier, context.task, context.tasks),
            buffer: Vec::new(),
        }))
    }
}

struct PrintWriter {
    stream: Stream,
    prefix: String,
    buffer: Vec<u8>,
}

/// What precedes a line.
fn prefix(identifier: &str, task: usize, writers: usize) -> String {
    match (identifier, writers) {
        ("", 0 | 1) => String::new(),
        ("", _) => format!("{}> ", task + 1),
        (identifier, 0 | 1) => format!("{identifier}> "),
        (identifier, _) => format!("{identifier}:{}> ", task + 1),
    }
}

/// Appends the rows of a chunk, one a line.
fn lines(chunk: &Chunk, prefix: &str, out: &mut Vec<u8>) -> Result<()> {
    let arrays: Vec<ArrayRef> = chunk.batch.columns().iter().map(plain).collect::<Result<_>>()?;
    let columns = arrays.iter().map(|a| Cells::new(a.as_ref())).collect::<Result<Vec<_>>>()?;
    for row in 0..chunk.len() {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(chunk.kinds.get(row).as_str().as_bytes());
        out.push(b'[');
        for (i, cells) in columns.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            cells.write_or_null(row, &Style::Print, out);
        }
        out.extend_from_slice(b"]\n");
    }
    Ok(())
}

impl Writer for PrintWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        lines(chunk, &self.prefix, &mut self.buffer)?;
        if self.buffer.len() >= Stream::BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write(&mut self.buffer)
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.flush().map(Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::flow::{Kind, Kinds};
    use arrow::array::{
        BinaryViewArray, Float64Array, Int32Array, ListArray, RecordBatch, StringViewArray, StructArray,
        TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field, Int32Type};
    use std::time::Instant;

    #[test]
    fn rows_look_as_in_flink() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        let row = StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
        )]);
        let batch = RecordBatch::try_from_iter([
            ("i", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
            ("s", Arc::new(StringViewArray::from(vec!["a, b", "c"]))),
            ("d", Arc::new(Float64Array::from(vec![21.5, 1e10]))),
            ("b", Arc::new(BinaryViewArray::from(vec![&[1u8, 255][..], &[]]))),
            ("t", Arc::new(TimestampMillisecondArray::from(vec![0, 1500]).with_timezone("UTC"))),
            ("l", Arc::new(list)),
            ("r", Arc::new(row)),
        ])
        .unwrap();
        let kinds = Kinds::Changes([Kind::UpdateAfter, Kind::Delete].into());
        let chunk = Chunk { batch, kinds, ingest: Instant::now() };
        let mut out = Vec::new();
        lines(&chunk, "x:2> ", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "x:2> +U[1, a, b, 21.5, [1, -1], 1970-01-01T00:00:00Z, [1, null], +I[1]]\n\
             x:2> -D[null, c, 1.0E10, [], 1970-01-01T00:00:01.500Z, null, +I[2]]\n"
        );
    }

    #[test]
    fn prefixes_are_flinks() {
        assert_eq!(prefix("", 0, 1), "");
        assert_eq!(prefix("", 0, 2), "1> ");
        assert_eq!(prefix("id", 0, 1), "id> ");
        assert_eq!(prefix("id", 1, 2), "id:2> ");
    }
}
