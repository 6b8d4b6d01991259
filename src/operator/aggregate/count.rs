//! `COUNT`: of rows, or of rows in which no argument is NULL.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};

use super::state::{StateColumn, primitive};
use super::{Accumulator, Rows, each_row, nulls_of, same_state};
use crate::error::Result;

/// Counts by group.
#[derive(Debug, Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        if groups > self.counts.len() {
            self.counts.resize(groups, 0);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let mut nulls: Option<NullBuffer> = None;
        for arg in args {
            nulls = NullBuffer::union(nulls.as_ref(), nulls_of(arg).as_ref());
        }
        let counts = &mut self.counts;
        each_row(groups.len(), rows, nulls.as_ref(), |i, back| {
            counts[groups[i] as usize] += if back { -1 } else { 1 };
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            self.counts[group as usize] += other.counts[from as usize];
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        self.counts[into as usize] += self.counts[from as usize];
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|&g| self.counts[g as usize]))))
    }

    fn reset(&mut self, group: u32) {
        self.counts[group as usize] = 0;
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        vec![StateColumn::new("", DataType::Int64)]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values(groups)?])
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts = primitive::<Int64Type>(state, 0)?;
        groups.iter().zip(counts.values()).for_each(|(&g, &count)| self.counts[g as usize] = count);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
