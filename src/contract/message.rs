//! What flows between operators.
//!
//! ```text
//! Message = Data(Chunk) | Watermark(Watermark) | Status(Active | Idle) | Barrier(Barrier) | End
//! ```
//! Kinds of change ride beside the batch, never in a column: schemas stay clean, and append-only
//! pipelines pay nothing. Signals are in-band, so that a watermark or barrier is ordered with the rows.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::Result;

/// Kind of change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `+I`
    Insert = 0,
    /// `-U`
    UpdateBefore = 1,
    /// `+U`
    UpdateAfter = 2,
    /// `-D`
    Delete = 3,
}

impl Kind {
    /// `+I`, `-U`, `+U` or `-D`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Insert => "+I",
            Kind::UpdateBefore => "-U",
            Kind::UpdateAfter => "+U",
            Kind::Delete => "-D",
        }
    }
}

/// Kinds of the rows of a [`Chunk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kinds {
    /// Every row is an insert.
    Append,
    /// One kind a row.
    Changes(Arc<[Kind]>),
}

impl Kinds {
    /// The kind of row `i`.
    pub fn get(&self, i: usize) -> Kind {
        match self {
            Kinds::Append => Kind::Insert,
            Kinds::Changes(kinds) => kinds[i],
        }
    }

    /// Kinds of rows `offset .. offset + length`.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        match self {
            Kinds::Append => Kinds::Append,
            Kinds::Changes(kinds) => Kinds::Changes(kinds[offset..offset + length].into()),
        }
    }

    /// Kinds of the rows at `indices` (no nulls).
    pub fn take(&self, indices: &UInt32Array) -> Self {
        match self {
            Kinds::Append => Kinds::Append,
            Kinds::Changes(kinds) => {
                Kinds::Changes(indices.values().iter().map(|&i| kinds[i as usize]).collect())
            }
        }
    }
}

/// A piece of a stream: rows, their kinds, and when the oldest of them came in.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Exactly the columns of the logical schema.
    pub batch: RecordBatch,
    /// Kinds of the rows.
    pub kinds: Kinds,
    /// When the oldest row was read, for latency.
    pub ingest: Instant,
}

impl Chunk {
    /// Rows that are all inserts.
    pub fn append(batch: RecordBatch, ingest: Instant) -> Self {
        Self { batch, kinds: Kinds::Append, ingest }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// No row at all.
    pub fn is_empty(&self) -> bool {
        self.batch.num_rows() == 0
    }

    /// The same rows' kinds and age with other columns; `batch` has as many rows as this chunk.
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        debug_assert_eq!(batch.num_rows(), self.len());
        Self { batch, kinds: self.kinds.clone(), ingest: self.ingest }
    }

    /// Rows `offset .. offset + length`, without a copy of the columns.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            batch: self.batch.slice(offset, length),
            kinds: self.kinds.slice(offset, length),
            ingest: self.ingest,
        }
    }

    /// The rows at `indices` (no nulls).
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let batch = if self.batch.num_columns() == 0 {
            let rows = RecordBatchOptions::new().with_row_count(Some(indices.len()));
            RecordBatch::try_new_with_options(self.batch.schema(), vec![], &rows)?
        } else {
            take_record_batch(&self.batch, indices)?
        };
        Ok(Self { batch, kinds: self.kinds.take(indices), ingest: self.ingest })
    }
}

/// "No row older than this comes any more", in milliseconds since the epoch.
///
/// Only a [`WatermarkClock`] makes one, and it never goes backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark(i64);

impl Watermark {
    /// Behind all rows: sent at the end of bounded input.
    pub const END: Watermark = Watermark(i64::MAX);

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }
}

/// The one source of watermarks of a stream: moves forwards only.
#[derive(Debug, Default)]
pub struct WatermarkClock(Option<i64>);

impl WatermarkClock {
    /// The watermark to emit if `millis` is later than all before.
    pub fn advance(&mut self, millis: i64) -> Option<Watermark> {
        if self.0.is_some_and(|last| millis <= last) {
            return None;
        }
        self.0 = Some(millis);
        Some(Watermark(millis))
    }

    /// The last one.
    pub fn current(&self) -> Option<Watermark> {
        self.0.map(Watermark)
    }
}

/// Whether an input counts for the watermark downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Rows come.
    Active,
    /// No rows for a while: others need not wait for this input.
    Idle,
}

/// A consistent cut through the stream: everything before it belongs to checkpoint `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// Number of the checkpoint.
    pub epoch: u64,
    /// Nothing follows it: the job stops here, to continue later.
    pub last: bool,
}

/// One item of a stream.
#[derive(Debug, Clone)]
pub enum Message {
    /// Rows.
    Data(Chunk),
    /// Progress of event time.
    Watermark(Watermark),
    /// Idle or active.
    Status(Status),
    /// Checkpoint.
    Barrier(Barrier),
    /// The last message of a bounded stream.
    End,
}
