//! The join of two streams of windows: rows wait until their window has ended, then both sides of the
//! window are joined as two tables.
//!
//! ```text
//!  left  ──> [12:00, 12:05) rows, rows   ┐ watermark >= 12:05 - 1 ms
//!  right ──> [12:00, 12:05) rows         ┘ ──> join once, append, forget
//! ```
//! Nothing that comes out is ever taken back. A row whose window has ended is late and dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{JoinSpec, RegularJoin};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kinds, Message, Operator, Output, Watermark};
use crate::operator::window::WindowSpec;
use crate::operator::window::zone::WindowClock;
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};

/// Rows of a piece that is not worth another copy.
const PIECE_ROWS: usize = 8192;

/// A join of two streams whose rows belong to windows.
#[derive(Debug, Clone)]
pub struct WindowJoinSpec {
    /// The join within a window: its keys do not need the window's bounds. Inputs that only have inserts.
    pub join: JoinSpec,
    /// Column `window_end` of the left and of the right input.
    pub window_end: [usize; 2],
    /// The windows: those of a TIMESTAMP_LTZ end by the clock of their zone.
    pub window: WindowSpec,
}

/// Rows of one window.
#[derive(Debug)]
struct Window {
    sides: [Vec<RecordBatch>; 2],
    ingest: Instant,
}

/// Joins the rows of two inputs that have a window in common.
#[derive(Debug)]
pub struct WindowJoin {
    spec: WindowJoinSpec,
    clock: WindowClock,
    /// By the watermark that closes them, and their end.
    windows: BTreeMap<(i64, i64), Window>,
    watermark: i64,
    late: u64,
}

impl WindowJoin {
    /// A join as specified.
    pub fn new(spec: WindowJoinSpec) -> Result<Self> {
        if spec.join.left.changes || spec.join.right.changes {
            return Err(Error::internal("a window join was given an input with updates"));
        }
        // Faults of the specification show here, not with the first window.
        RegularJoin::new(spec.join.clone())?;
        let clock = WindowClock::new(&spec.window)?;
        Ok(Self { spec, clock, windows: BTreeMap::new(), watermark: i64::MIN, late: 0 })
    }

    /// The ends of the windows of rows.
    fn ends(&self, input: usize, batch: &RecordBatch) -> Result<Vec<i64>> {
        let column = batch.column(self.spec.window_end[input]);
        let column = match column.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => column.clone(),
            DataType::Timestamp(_, zone) => {
                cast(column, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?
            }
            _ => return Err(Error::internal("a window join was given a window_end that is no timestamp")),
        };
        if column.null_count() > 0 {
            return Err(Error::execution("window_end is NULL in a row of a window join"));
        }
        Ok(column.as_primitive::<TimestampMillisecondType>().values().to_vec())
    }

    fn add(&mut self, input: usize, end: i64, batch: RecordBatch, ingest: Instant) -> Result<()> {
        let closes = self.clock.completed(end.saturating_sub(1));
        if closes <= self.watermark {
            self.late += batch.num_rows() as u64;
            return Ok(());
        }
        let window = self
            .windows
            .entry((closes, end))
            .or_insert_with(|| Window { sides: [Vec::new(), Vec::new()], ingest });
        window.ingest = window.ingest.min(ingest);
        let pieces = &mut window.sides[input];
        pieces.push(batch);
        // Pieces at least double in size towards the front: a row is copied log n times at most.
        while let [.., a, b] = pieces.as_slice()
            && a.num_rows() < PIECE_ROWS
            && a.num_rows() <= 2 * b.num_rows()
        {
            let both = concat_batches(&a.schema(), [a, b])?;
            pieces.truncate(pieces.len() - 2);
            pieces.push(both);
        }
        Ok(())
    }

    fn fire(&mut self, until: i64, out: &mut Output) -> Result<()> {
        while let Some(entry) = self.windows.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let window = entry.remove();
            let mut join = RegularJoin::new(self.spec.join.clone())?;
            join.batch = true;
            join.join_once(&window.sides[0], &window.sides[1], window.ingest, out)?;
        }
        Ok(())
    }
}

impl Operator for WindowJoin {
    fn name(&self) -> &'static str {
        "WindowJoin"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, _out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        if let Kinds::Changes(kinds) = &chunk.kinds
            && kinds.iter().any(|k| *k != crate::flow::Kind::Insert)
        {
            return Err(Error::internal("an update reached a window join"));
        }
        let ends = self.ends(input, &chunk.batch)?;
        if ends.iter().all(|e| *e == ends[0]) {
            return self.add(input, ends[0], chunk.batch, chunk.ingest);
        }
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, end) in ends.iter().enumerate() {
            rows.entry(*end).or_default().push(row as u32);
        }
        for (end, rows) in rows {
            let batch = take_record_batch(&chunk.batch, &UInt32Array::from(rows))?;
            self.add(input, end, batch, chunk.ingest)?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark.millis());
        self.fire(self.watermark, out)?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.fire(i64::MAX, out)?;
        out.push(Message::End);
        Ok(())
    }
}

/// Makes the operator for a plan.
pub fn build(spec: WindowJoinSpec) -> crate::flow::task::BuildOperator {
    Arc::new(move || Ok(Box::new(WindowJoin::new(spec.clone())?)))
}
