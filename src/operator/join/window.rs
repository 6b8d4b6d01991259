//! The join of two streams of windows: rows wait until their window has ended, then both sides of the
//! window are joined as two tables.
//!
//! ```text
//!  left  ──> [12:00, 12:05) rows, rows   ┐ watermark >= 12:05 - 1 ms
//!  right ──> [12:00, 12:05) rows         ┘ ──> join once, append, forget
//! ```
//! Nothing that comes out is ever taken back. A row whose window has ended is late and dropped.
//!
//! Windows have numbers, and rows of a side of a window have theirs in the order of arrival: both make the id of a
//! row in a checkpoint. A snapshot takes what has come since the last one from the end of each window.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{JoinSpec, RegularJoin};
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::operator::window::WindowSpec;
use crate::operator::window::zone::WindowClock;
use crate::state::{Piece, Restored, Scope, Snapshot, columns, in_order, with_schema};
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};

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

/// Tables of a checkpoint, by input.
const TABLES: [&str; 2] = ["left", "right"];

/// The watermark up to which windows were given out.
const WATERMARK: &str = "watermark";

/// Rows of one window.
#[derive(Debug)]
struct Window {
    number: u64,
    sides: [Vec<RecordBatch>; 2],
    /// How many rows of each side are in a snapshot.
    saved: [usize; 2],
    ingest: Instant,
}

impl Window {
    /// Id of the first row in a checkpoint.
    fn first(&self) -> u64 {
        self.number << 32
    }

    /// Rows of a side that are not in a snapshot, or all; from now on they are.
    fn save(&mut self, input: usize, full: bool, rows: &mut Vec<RecordBatch>, ids: &mut Vec<u64>) {
        let from = if full { 0 } else { self.saved[input] };
        let mut skip = from;
        for piece in &self.sides[input] {
            let skipped = skip.min(piece.num_rows());
            skip -= skipped;
            if skipped < piece.num_rows() {
                rows.push(piece.slice(skipped, piece.num_rows() - skipped));
            }
        }
        let count = self.sides[input].iter().map(RecordBatch::num_rows).sum();
        ids.extend((from..count).map(|row| self.first() + row as u64));
        self.saved[input] = count;
    }
}

/// The columns of an input as they are written.
fn written(schema: &SchemaRef) -> SchemaRef {
    columns::schema(schema.fields().iter().map(|f| f.as_ref().clone()))
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
    /// Windows there have been.
    opened: u64,
    /// By input: ids of rows in a snapshot whose windows have come out since.
    gone: [Vec<Range<u64>>; 2],
    checkpointed: bool,
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
        Ok(Self {
            spec,
            clock,
            windows: BTreeMap::new(),
            watermark: i64::MIN,
            late: 0,
            opened: 0,
            gone: [Vec::new(), Vec::new()],
            checkpointed: false,
        })
    }

    fn input(&self, input: usize) -> &SchemaRef {
        if input == 0 { &self.spec.join.left.schema } else { &self.spec.join.right.schema }
    }

    /// Columns by which an input is exchanged.
    fn exchanged(&self, input: usize) -> Vec<usize> {
        let join = &self.spec.join;
        let keys = if input == 0 { &join.left.keys } else { &join.right.keys };
        let keys: &[usize] = if join.null_aware { &[] } else { keys };
        [keys, &[self.spec.window_end[input]]].concat()
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

    /// Adds rows to their windows.
    fn add_all(&mut self, input: usize, batch: RecordBatch, ingest: Instant) -> Result<()> {
        let ends = self.ends(input, &batch)?;
        if ends.iter().all(|e| *e == ends[0]) {
            return self.add(input, ends[0], batch, ingest);
        }
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, end) in ends.iter().enumerate() {
            rows.entry(*end).or_default().push(row as u32);
        }
        for (end, rows) in rows {
            self.add(input, end, take_record_batch(&batch, &UInt32Array::from(rows))?, ingest)?;
        }
        Ok(())
    }

    fn add(&mut self, input: usize, end: i64, batch: RecordBatch, ingest: Instant) -> Result<()> {
        let closes = self.clock.completed(end.saturating_sub(1));
        if closes <= self.watermark {
            self.late += batch.num_rows() as u64;
            return Ok(());
        }
        let opened = &mut self.opened;
        let window = self.windows.entry((closes, end)).or_insert_with(|| {
            *opened += 1;
            Window { number: *opened - 1, sides: [Vec::new(), Vec::new()], saved: [0; 2], ingest }
        });
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
            for (gone, saved) in self.gone.iter_mut().zip(window.saved) {
                if self.checkpointed && saved > 0 {
                    gone.push(window.first()..window.first() + saved as u64);
                }
            }
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

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.checkpointed = context.checkpointed;
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let full = snapshot.is_full();
        for (input, table) in TABLES.into_iter().enumerate() {
            let (mut rows, mut ids) = (Vec::new(), Vec::new());
            for window in self.windows.values_mut() {
                window.save(input, full, &mut rows, &mut ids);
            }
            let mut removed = std::mem::take(&mut self.gone[input]);
            if full {
                removed.clear();
            }
            removed.sort_unstable_by_key(|range| range.start);
            let schema = self.input(input);
            let rows = concat_batches(schema, &rows)?;
            let rows = with_schema(&written(schema), rows.columns(), rows.num_rows())?;
            snapshot.table(table, Scope::Keyed(self.exchanged(input)), ids, rows, removed)?;
        }
        snapshot.value(WATERMARK, self.watermark)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let ingest = crate::clock::instant();
        for (input, table) in TABLES.into_iter().enumerate() {
            let schema = self.input(input).clone();
            let order = |piece: &Piece| Ok(piece.ids.iter().map(|&id| (piece.origin, id)).collect());
            for rows in in_order(table, state, &written(&schema), order)? {
                let rows = rows?;
                self.add_all(input, with_schema(&schema, rows.columns(), rows.num_rows())?, ingest)?;
            }
        }
        // The rows are none that would be late.
        let watermarks = state.values::<i64>(WATERMARK)?;
        self.watermark = watermarks.into_iter().fold(self.watermark, i64::max);
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        Some(ColdSpec::by_time(&TABLES))
    }

    fn due(&self, table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        let ends = self.ends(usize::from(table != TABLES[0]), rows)?;
        Ok(ends.into_iter().map(|end| self.clock.completed(end.saturating_sub(1))).collect())
    }

    fn state_bytes(&self) -> usize {
        let pieces = self.windows.values().flat_map(|w| w.sides.iter().flatten());
        pieces.map(RecordBatch::get_array_memory_size).sum()
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
        self.add_all(input, chunk.batch, chunk.ingest)
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
