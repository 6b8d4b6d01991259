//! `TUMBLE`, `HOP` and `CUMULATE` in FROM: each row with the windows that it is in.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;

use super::assign::Slicing;
use super::pane::ResultColumns;
use super::times::{span, window_times};
use super::zone::WindowClock;
use super::{WindowColumn, WindowKind, WindowMetrics, WindowSpec, WindowTime};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Operator, OperatorContext, Output};

/// Rows of a chunk that are given out at once, where rows are in several windows.
const PIECE: usize = 8192;

/// What a [`WindowTableFunction`] does.
#[derive(Debug, Clone)]
pub struct WindowTableSpec {
    /// TUMBLE, HOP or CUMULATE.
    pub windows: WindowSpec,
    /// What the windows are of.
    pub time: WindowTime,
    /// Columns of the input, then `window_start`, `window_end` and `window_time`.
    pub schema: SchemaRef,
    /// Counts what is left out.
    pub metrics: Arc<WindowMetrics>,
}

/// Appends the columns of windows. A row without an event time is in no window and is dropped.
#[derive(Debug)]
pub struct WindowTableFunction {
    spec: WindowTableSpec,
    slicing: Slicing,
    /// A row may be in several windows or in none.
    replicates: bool,
    clock: WindowClock,
    result: ResultColumns,
    processing_time: Option<Arc<dyn Clock>>,
}

/// Changes of rows that are in several windows or wait for them: a row and what it was before need not stand next
/// to each other any more, so that each is put in and taken out by itself.
pub(super) fn apart(kinds: &Kinds) -> Kinds {
    match kinds {
        Kinds::Append => Kinds::Append,
        Kinds::Changes(kinds) => Kinds::Changes(
            kinds
                .iter()
                .map(|kind| match kind {
                    Kind::Insert | Kind::UpdateAfter => Kind::Insert,
                    Kind::UpdateBefore | Kind::Delete => Kind::Delete,
                })
                .collect(),
        ),
    }
}

/// All columns of a window.
pub(super) const COLUMNS: [WindowColumn; 3] = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];

impl WindowTableFunction {
    /// What was left out.
    pub fn metrics(&self) -> &WindowMetrics {
        &self.spec.metrics
    }

    /// Refuses windows that are none.
    pub fn new(spec: WindowTableSpec) -> Result<Self> {
        Ok(Self {
            slicing: Slicing::new(&spec.windows)?,
            replicates: !matches!(spec.windows.kind, WindowKind::Tumble { .. }),
            clock: WindowClock::new(&spec.windows)?,
            result: ResultColumns::new(spec.schema.clone(), COLUMNS.to_vec(), &spec.windows, Vec::new())?,
            processing_time: None,
            spec,
        })
    }

    fn times(&mut self, chunk: Chunk) -> Result<(Chunk, ScalarBuffer<i64>)> {
        match self.spec.time {
            WindowTime::Event(column) => window_times(chunk, column, &mut self.clock, &self.spec.metrics),
            WindowTime::Processing => {
                let Some(clock) = &self.processing_time else {
                    return Err(Error::internal("a window of processing time was not opened"));
                };
                let now = self.clock.local(clock.now_millis());
                let times = vec![now; chunk.len()].into();
                Ok((chunk, times))
            }
        }
    }

    fn give(&self, chunk: &Chunk, windows: &[(i64, i64)], out: &mut Output) -> Result<()> {
        let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        self.result.append(&mut columns, windows);
        out.chunk(chunk.with_batch(self.result.batch(columns, windows.len())?));
        Ok(())
    }
}

impl Operator for WindowTableFunction {
    fn name(&self) -> &'static str {
        "WindowTableFunction"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.processing_time = Some(context.clock);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let (chunk, times) = self.times(chunk)?;
        let Some((least, most)) = span(&times) else { return Ok(()) };
        let (mut slice, mut until) = self.slicing.slice(least)?;
        let mut of_slice = Vec::new();
        self.slicing.windows(slice, |start, end| of_slice.push((start, end)));
        if most < until && !self.replicates && of_slice.len() == 1 {
            return self.give(&chunk, &vec![of_slice[0]; chunk.len()], out);
        }
        let (mut rows, mut windows) = (Vec::new(), Vec::new());
        for (row, &t) in times.iter().enumerate() {
            if t < slice || t >= until {
                (slice, until) = self.slicing.slice(t)?;
                of_slice.clear();
                self.slicing.windows(slice, |start, end| of_slice.push((start, end)));
            }
            for &window in &of_slice {
                rows.push(row as u32);
                windows.push(window);
            }
            if rows.len() >= PIECE || row + 1 == times.len() {
                let rows = UInt32Array::from(std::mem::take(&mut rows));
                let part = chunk.take(&rows)?;
                let part = if self.replicates { Chunk { kinds: apart(&part.kinds), ..part } } else { part };
                self.give(&part, &windows, out)?;
                windows.clear();
            }
        }
        Ok(())
    }
}
