//! Rows and watermarks that wait until the build side has loaded.
//!
//! ```text
//!   ● ● w5 ● ● ● w9          table "held":  row 0 ─, row 1 ─, row 2 w5, row 3 w5, row 4 w5     value "watermark": 9
//! ```
//! They are numbered as they come, so that a snapshot takes what has come since the last one. In a checkpoint each
//! row has the last watermark before it; restored, that is where the watermark stands again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};

use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Message, Watermark};
use crate::state::{Piece, Restored, Scope, Snapshot, columns, in_order, with_schema};

const TABLE: &str = "held";
const WATERMARK: &str = "watermark";
const LOADING: &str = "loading";

/// What is held, or that nothing is held any more.
#[derive(Debug)]
pub(super) struct Held {
    schema: SchemaRef,
    keys: Vec<usize>,
    /// There is something to wait for at all.
    waits: bool,
    messages: Option<VecDeque<Message>>,
    /// The last watermark that is held: one that is told again is not new.
    mark: Option<Watermark>,
    /// Rows held.
    rows: usize,
    /// Rows that are in a snapshot.
    saved: usize,
    /// Rows that were in a snapshot and went out since.
    gone: Option<Range<u64>>,
}

impl Held {
    /// For probe rows of this schema, which are exchanged by `keys`.
    pub(super) fn new(schema: SchemaRef, keys: Vec<usize>, waits: bool) -> Self {
        let messages = waits.then(VecDeque::new);
        Self { schema, keys, waits, messages, mark: None, rows: 0, saved: 0, gone: None }
    }

    /// Rows and watermarks have to wait.
    pub(super) fn is_holding(&self) -> bool {
        self.messages.is_some()
    }

    /// Holds rows; gives them back when there is nothing to wait for any more.
    pub(super) fn chunk(&mut self, chunk: Chunk) -> Option<Chunk> {
        let Some(messages) = &mut self.messages else { return Some(chunk) };
        self.rows += chunk.len();
        messages.push_back(Message::Data(chunk));
        None
    }

    /// Holds a watermark; false when there is nothing to wait for any more.
    pub(super) fn watermark(&mut self, watermark: Watermark) -> bool {
        let Some(messages) = &mut self.messages else { return false };
        if self.mark >= Some(watermark) {
            return true;
        }
        self.mark = Some(watermark);
        match messages.back_mut() {
            // Of several in a row the last one says it all.
            Some(Message::Watermark(last)) => *last = watermark,
            _ => messages.push_back(Message::Watermark(watermark)),
        }
        true
    }

    /// The wait is over: gives what was held.
    pub(super) fn release(&mut self) -> VecDeque<Message> {
        if self.saved > 0 {
            self.gone = Some(0..self.saved as u64);
        }
        (self.rows, self.saved) = (0, 0);
        self.messages.take().unwrap_or_default()
    }

    /// Columns of the table of a checkpoint.
    fn table(&self) -> SchemaRef {
        let watermark = Field::new("watermark", DataType::Int64, true);
        columns::schema(self.schema.fields().iter().map(|f| f.as_ref().clone()).chain([watermark]))
    }

    pub(super) fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        if !self.waits {
            return Ok(());
        }
        let from = if snapshot.is_full() { 0 } else { self.saved };
        let (mut batches, mut watermarks) = (Vec::new(), Vec::new());
        let (mut last, mut row) = (None, 0);
        for message in self.messages.iter().flatten() {
            match message {
                Message::Watermark(watermark) => last = Some(watermark.millis()),
                Message::Data(chunk) => {
                    let skip = from.saturating_sub(row).min(chunk.len());
                    row += chunk.len();
                    if skip < chunk.len() {
                        batches.push(chunk.batch.slice(skip, chunk.len() - skip));
                        watermarks.resize(watermarks.len() + chunk.len() - skip, last);
                    }
                }
                _ => {}
            }
        }
        let rows = concat_batches(&self.schema, &batches)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(watermarks)) as ArrayRef);
        let rows = with_schema(&self.table(), &columns, rows.num_rows())?;
        let ids = (from as u64..self.rows as u64).collect();
        let removed = self.gone.take().filter(|_| !snapshot.is_full()).into_iter().collect();
        self.saved = self.rows;
        snapshot.table(TABLE, Scope::Keyed(self.keys.clone()), ids, rows, removed)?;
        snapshot.value(WATERMARK, last)?;
        snapshot.value(LOADING, self.is_holding())
    }

    pub(super) fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let loading = state.values::<bool>(LOADING)?;
        if !self.waits || loading.is_empty() {
            return Ok(());
        }
        // Of former tasks that are now one, some may have waited longer than others.
        if !loading.contains(&true) {
            self.messages = None;
            return Ok(());
        }
        let (ingest, width) = (crate::clock::instant(), self.schema.fields().len());
        // Watermarks are common to tasks: rows of several are in order by them.
        let order = move |piece: &Piece| -> Result<Vec<(Option<i64>, usize, u64)>> {
            let watermarks = before(&piece.rows, width)?;
            let ids = piece.ids.iter().enumerate();
            Ok(ids.map(|(row, &id)| (value(watermarks, row), piece.origin, id)).collect())
        };
        let mut clock = WatermarkClock::default();
        for rows in in_order(TABLE, state, &self.table(), order)? {
            let rows = rows?;
            let watermarks = before(&rows, width)?;
            let batch = with_schema(&self.schema, &rows.columns()[..width], rows.num_rows())?;
            let mut begin = 0;
            for end in 1..=batch.num_rows() {
                if end < batch.num_rows() && value(watermarks, end) == value(watermarks, begin) {
                    continue;
                }
                if let Some(mark) = value(watermarks, begin).and_then(|millis| clock.advance(millis)) {
                    self.watermark(mark);
                }
                self.chunk(Chunk::append(batch.slice(begin, end - begin), ingest));
                begin = end;
            }
        }
        let last = state.values::<Option<i64>>(WATERMARK)?.into_iter().min().flatten();
        if let Some(mark) = last.and_then(|millis| clock.advance(millis)) {
            self.watermark(mark);
        }
        Ok(())
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let messages = self.messages.iter().flatten();
        let bytes = messages.map(|message| match message {
            Message::Data(chunk) => chunk.batch.get_array_memory_size(),
            _ => size_of::<Message>(),
        });
        bytes.sum()
    }
}

/// The watermarks before rows.
fn before(rows: &RecordBatch, column: usize) -> Result<&Int64Array> {
    let column = rows.column(column).as_primitive_opt::<Int64Type>();
    column.ok_or_else(|| crate::error::Error::decode("held rows in the checkpoint have no watermarks"))
}

fn value(watermarks: &Int64Array, row: usize) -> Option<i64> {
    watermarks.is_valid(row).then(|| watermarks.value(row))
}
