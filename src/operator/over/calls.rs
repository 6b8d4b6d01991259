//! The columns that OVER adds, whatever orders the rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::frame::Frames;
use super::lag::Lag;
use super::layout::Layout;
use super::{OverCall, OverSpec};
use crate::error::{Error, Result};

/// Counters for ROW_NUMBER, RANK and DENSE_RANK of one partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counter {
    pub(super) rows: i64,
    pub(super) instants: i64,
}

/// All calls of an OVER, with their state by slot.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<OverCall>,
    pub(super) frames: Frames,
    pub(super) lags: Vec<Lag>,
    pub(super) counters: Vec<Counter>,
    pub(super) counts: bool,
    layout: Layout,
}

struct Numbers {
    row: ArrayRef,
    rank: ArrayRef,
    dense: ArrayRef,
}

impl Default for Numbers {
    fn default() -> Self {
        let none: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
        Self { row: none.clone(), rank: none.clone(), dense: none }
    }
}

impl Calls {
    pub(super) fn new(spec: &OverSpec) -> Result<Self> {
        let aggregates = spec.calls.iter().filter_map(|call| match call {
            OverCall::Aggregate(call) => Some(call.clone()),
            _ => None,
        });
        let frames = Frames::new(aggregates.collect(), spec.frame)?;
        let lags = spec.calls.iter().filter_map(|call| match call {
            OverCall::Lag { value, offset, default, ignore_nulls } => {
                let lag = Lag::new(value.clone(), *offset, default.clone(), &spec.input);
                Some(lag.map(|lag| lag.ignoring_nulls(*ignore_nulls)))
            }
            _ => None,
        });
        let lags = lags.collect::<Result<_>>()?;
        let counts = spec
            .calls
            .iter()
            .any(|c| matches!(c, OverCall::RowNumber | OverCall::Rank | OverCall::DenseRank));
        Ok(Self {
            calls: spec.calls.clone(),
            frames,
            lags,
            counters: Vec::new(),
            counts,
            layout: Layout::default(),
        })
    }

    /// Makes room for slots below this.
    pub(super) fn resize(&mut self, slots: usize) {
        self.counters.resize(slots, Counter::default());
        self.lags.iter_mut().for_each(|lag| lag.resize(slots));
        self.frames.resize(slots);
    }

    /// Empties a partition.
    pub(super) fn reset(&mut self, slot: u32) {
        self.frames.reset(slot);
        self.lags.iter_mut().for_each(|lag| lag.reset(slot));
        self.counters[slot as usize] = Counter::default();
    }

    /// One column a call over rows that are in their order. `peers`: rows of one time are computed together;
    /// `by_time`: they have one rank.
    pub(super) fn compute(
        &mut self,
        batch: &RecordBatch,
        slots: &[u32],
        times: &[i64],
        peers: bool,
        by_time: bool,
    ) -> Result<Vec<ArrayRef>> {
        self.layout.arrange(slots, times, peers, by_time, self.counters.len());
        let mut aggregates = self.frames.compute(batch, slots, times, &self.layout)?.into_iter();
        let mut lags = Vec::with_capacity(self.lags.len());
        for lag in &mut self.lags {
            lags.push(lag.compute(batch, &self.layout)?);
        }
        let mut lags = lags.into_iter();
        let numbers = if self.counts { self.count(slots.len()) } else { Numbers::default() };
        let columns = self.calls.iter().map(|call| {
            let column = match call {
                OverCall::Aggregate(_) => aggregates.next(),
                OverCall::Lag { .. } => lags.next(),
                OverCall::RowNumber => Some(numbers.row.clone()),
                OverCall::Rank => Some(numbers.rank.clone()),
                OverCall::DenseRank => Some(numbers.dense.clone()),
            };
            column.ok_or_else(|| Error::internal("an OVER call without its column"))
        });
        columns.collect()
    }

    /// ROW_NUMBER, RANK and DENSE_RANK of the rows.
    fn count(&mut self, rows: usize) -> Numbers {
        let mut numbers = [vec![0; rows], vec![0; rows], vec![0; rows]];
        for run in self.layout.runs() {
            let counter = &mut self.counters[run.slot as usize];
            let mut before = counter.rows;
            let mut instant = None;
            for &row in run.rows {
                let row = row as usize;
                counter.rows += 1;
                if instant != Some(self.layout.instant_of(row)) {
                    instant = Some(self.layout.instant_of(row));
                    counter.instants += 1;
                    before = counter.rows;
                }
                numbers[0][row] = counter.rows;
                numbers[1][row] = before;
                numbers[2][row] = counter.instants;
            }
        }
        let [row, rank, dense] = numbers.map(|n| Arc::new(Int64Array::from(n)) as ArrayRef);
        Numbers { row, rank, dense }
    }

    /// Bytes of state.
    pub(super) fn memory(&self) -> usize {
        self.frames.memory() + self.lags.iter().map(Lag::memory).sum::<usize>()
    }
}
