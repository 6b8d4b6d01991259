//! Chunks as text, for tests of operators.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;

use crate::clock::ManualClock;
use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Kind, Kinds, Mailbox, Message, Operator, OperatorContext, Output};

/// A schema of `name type` pairs; `s`: STRING, `n`: BIGINT, `t`: TIMESTAMP(3).
pub(crate) fn schema(columns: &str) -> SchemaRef {
    let mut words = columns.split_whitespace();
    let mut fields = Vec::new();
    while let (Some(name), Some(kind)) = (words.next(), words.next()) {
        let data_type = match kind {
            "s" => DataType::Utf8View,
            "n" => DataType::Int64,
            _ => DataType::Timestamp(TimeUnit::Millisecond, None),
        };
        fields.push(Field::new(name, data_type, true));
    }
    Arc::new(Schema::new(fields))
}

/// A chunk of rows such as `+I a 5, -U b NULL`; without a kind, `+I`.
pub(crate) fn chunk(schema: &SchemaRef, rows: &str) -> Chunk {
    let (mut kinds, mut cells) = (Vec::new(), vec![Vec::new(); schema.fields().len()]);
    for row in rows.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        let mut words: Vec<&str> = row.split_whitespace().collect();
        let kind = match words[0] {
            "+I" => Some(Kind::Insert),
            "-U" => Some(Kind::UpdateBefore),
            "+U" => Some(Kind::UpdateAfter),
            "-D" => Some(Kind::Delete),
            _ => None,
        };
        if kind.is_some() {
            words.remove(0);
        }
        kinds.push(kind.unwrap_or(Kind::Insert));
        assert_eq!(words.len(), cells.len(), "{row}");
        for (column, word) in cells.iter_mut().zip(words) {
            column.push(Some(word.to_string()).filter(|w| w != "NULL"));
        }
    }
    let columns = cells.into_iter().zip(schema.fields()).map(|(cells, field)| {
        let numbers = || cells.iter().map(|c| c.as_ref().map(|c| c.parse::<i64>().unwrap()));
        match field.data_type() {
            DataType::Utf8View => Arc::new(cells.into_iter().collect::<StringViewArray>()) as ArrayRef,
            DataType::Int64 => Arc::new(numbers().collect::<Int64Array>()),
            _ => Arc::new(numbers().collect::<TimestampMillisecondArray>()),
        }
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(kinds.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options).unwrap();
    let append = kinds.iter().all(|&k| k == Kind::Insert);
    let kinds = if append { Kinds::Append } else { Kinds::Changes(kinds.into()) };
    Chunk { batch, kinds, ingest: Instant::now() }
}

/// Rows of a chunk, one text each, with their kind.
pub(crate) fn lines(chunk: &Chunk) -> Vec<String> {
    let row = |i: usize| {
        let cells = chunk.batch.columns().iter().map(|c| {
            if c.is_null(i) {
                return "NULL".to_string();
            }
            match c.data_type() {
                DataType::Timestamp(..) => {
                    let millis = c.as_any().downcast_ref::<TimestampMillisecondArray>().unwrap();
                    millis.value(i).to_string()
                }
                _ => array_value_to_string(c, i).unwrap(),
            }
        });
        let cells: Vec<String> = cells.collect();
        format!("{} {}", chunk.kinds.get(i).as_str(), cells.join(" "))
    };
    (0..chunk.len()).map(row).collect()
}

/// One task with its operator.
pub(crate) struct Rig<O: Operator> {
    pub(crate) operator: O,
    pub(crate) input: SchemaRef,
    pub(crate) clock: Arc<ManualClock>,
    marks: WatermarkClock,
}

impl<O: Operator> Rig<O> {
    pub(crate) fn new(mut operator: O, input: &SchemaRef) -> Self {
        let clock = ManualClock::new(1_000_000);
        let waker = Mailbox::new().waker(0);
        operator
            .open(OperatorContext {
                task: 0,
                parallelism: 1,
                waker,
                clock: clock.clone(),
                checkpointed: false,
                memory: crate::state::Memory::unlimited(),
            })
            .unwrap();
        Self { operator, input: input.clone(), clock, marks: WatermarkClock::default() }
    }

    fn call(&mut self, act: impl FnOnce(&mut O, &mut Output) -> Result<()>) -> Vec<String> {
        let mut out = Output::default();
        if let Err(e) = act(&mut self.operator, &mut out) {
            return vec![format!("error: {}", e.message())];
        }
        let messages = out.drain().flat_map(|m| match m {
            Message::Data(chunk) => lines(&chunk),
            _ => Vec::new(),
        });
        messages.collect()
    }

    /// Sends a chunk; the rows that come out.
    pub(crate) fn send(&mut self, rows: &str) -> Vec<String> {
        let chunk = chunk(&self.input, rows);
        self.call(|operator, out| operator.chunk(chunk, out))
    }

    /// Sends a watermark; the rows that come out.
    pub(crate) fn watermark(&mut self, millis: i64) -> Vec<String> {
        let Some(watermark) = self.marks.advance(millis) else { return Vec::new() };
        self.call(|operator, out| operator.watermark(watermark, out))
    }

    /// Sends a chunk; the rows that come out, as one text.
    pub(crate) fn sent(&mut self, rows: &str) -> String {
        self.send(rows).join(", ")
    }

    /// Sends a watermark; the rows that come out, as one text.
    pub(crate) fn marked(&mut self, millis: i64) -> String {
        self.watermark(millis).join(", ")
    }
}

/// Applies changes to the rows they make; panics where a row is taken back that is not there.
pub(crate) fn apply(table: &mut Vec<String>, changes: &[String]) {
    for change in changes {
        let (kind, row) = change.split_once(' ').unwrap();
        match kind {
            "+I" | "+U" => table.push(row.to_string()),
            _ => {
                let at = table.iter().position(|r| r == row);
                table.swap_remove(at.unwrap_or_else(|| panic!("{change} takes back what is not there")));
            }
        }
    }
}
