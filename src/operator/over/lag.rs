//! LAG: the value some rows before; with IGNORE NULLS, of the rows that have one.
//!
//! One pass over the runs of a batch; nothing is computed row by row. In a RANGE frame, which Flink gives to
//! LAG by event time, peers see each other: all rows of one instant get the value that the last of them gets.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::layout::Layout;
use super::trail::Trail;
use crate::error::Result;

/// One LAG call over all partitions.
#[derive(Debug)]
pub(super) struct Lag {
    value: Arc<dyn PhysicalExpr>,
    offset: usize,
    default: Option<Arc<dyn PhysicalExpr>>,
    ignore_nulls: bool,
    pub(super) schema: SchemaRef,
    /// The last values of each partition, at most `offset`.
    pub(super) trail: Trail,
    pub(super) history: Vec<VecDeque<u32>>,
}

impl Lag {
    pub(super) fn new(
        value: Arc<dyn PhysicalExpr>,
        offset: usize,
        default: Option<Arc<dyn PhysicalExpr>>,
        input: &SchemaRef,
    ) -> Result<Self> {
        let schema = Arc::new(Schema::new(vec![Field::new("value", value.data_type(input)?, true)]));
        let trail = Trail::new(schema.clone());
        Ok(Self { value, offset, default, ignore_nulls: false, schema, trail, history: Vec::new() })
    }

    /// Whether rows whose value is NULL do not count.
    pub(super) fn ignoring_nulls(mut self, ignore_nulls: bool) -> Self {
        self.ignore_nulls = ignore_nulls;
        self
    }

    pub(super) fn resize(&mut self, slots: usize) {
        self.history.resize_with(slots, VecDeque::new);
    }

    pub(super) fn reset(&mut self, slot: u32) {
        self.history[slot as usize].drain(..).for_each(|id| self.trail.leave(id));
    }

    /// One value a row of the batch.
    pub(super) fn compute(&mut self, batch: &RecordBatch, layout: &Layout) -> Result<ArrayRef> {
        self.trail.free_left()?;
        let rows = batch.num_rows();
        let values = self.value.evaluate(batch)?.into_array(rows)?;
        let defaults = match &self.default {
            Some(default) => default.evaluate(batch)?.into_array(rows)?,
            None => new_null_array(values.data_type(), rows),
        };
        // Which array (kept, batch, defaults) and which of its values, per row.
        let mut found = vec![(0, 0); rows];
        let mut kept: Vec<u32> = Vec::new();
        let mut dropped: Vec<u32> = Vec::new();
        let (mut remembered, mut owners): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for run in layout.runs() {
            let history = &mut self.history[run.slot as usize];
            let known = history.len();
            // Rows that count, and how many of them stand before a row.
            let counted: Option<Vec<usize>> = (self.ignore_nulls && self.offset > 0)
                .then(|| (0..run.rows.len()).filter(|&at| values.is_valid(run.rows[at] as usize)).collect());
            let mut before = 0;
            let mut last = 0;
            for (at, &row) in run.rows.iter().enumerate() {
                last = last.max(at);
                if layout.has_peers() {
                    let unit = layout.unit_of(row as usize);
                    while run.rows.get(last + 1).is_some_and(|&r| layout.unit_of(r as usize) == unit) {
                        last += 1;
                    }
                }
                let reached = match &counted {
                    None => last,
                    Some(counted) => {
                        while counted.get(before).is_some_and(|&at| at < last) {
                            before += 1;
                        }
                        before
                    }
                };
                let row_at = |place: usize| counted.as_ref().map_or(place, |counted| counted[place]);
                found[row as usize] = match (known + reached).checked_sub(self.offset) {
                    None => (2, row as usize),
                    Some(place) if place < known => {
                        kept.push(history[place]);
                        (0, kept.len() - 1)
                    }
                    Some(place) => (1, run.rows[row_at(place - known)] as usize),
                };
            }
            if let Some(counted) = &counted {
                let fresh = counted.len().min(self.offset);
                for _ in 0..(known + fresh).saturating_sub(self.offset) {
                    dropped.extend(history.pop_front());
                }
                remembered.extend(counted[counted.len() - fresh..].iter().map(|&at| run.rows[at]));
                owners.extend(std::iter::repeat_n(run.slot, fresh));
                continue;
            }
            let fresh = run.rows.len().min(self.offset);
            for _ in 0..(known + fresh).saturating_sub(self.offset) {
                dropped.extend(history.pop_front());
            }
            remembered.extend(&run.rows[run.rows.len() - fresh..]);
            owners.extend(std::iter::repeat_n(run.slot, fresh));
        }
        let before = self.trail.store().take(&kept)?;
        let result = interleave(&[before.column(0).as_ref(), values.as_ref(), defaults.as_ref()], &found)?;
        dropped.into_iter().try_for_each(|id| self.trail.free(id))?;
        let fresh = take(&values, &UInt32Array::from(remembered), None)?;
        let mut ids = Vec::with_capacity(fresh.len());
        self.trail.push(&RecordBatch::try_new(self.schema.clone(), vec![fresh])?, &mut ids)?;
        for (slot, id) in owners.into_iter().zip(ids) {
            self.history[slot as usize].push_back(id);
        }
        Ok(result)
    }

    pub(super) fn memory(&self) -> usize {
        self.trail.memory() + self.history.capacity() * size_of::<VecDeque<u32>>()
    }
}
