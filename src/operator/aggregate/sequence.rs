//! The rows of groups in the order in which they came, for functions that need them all.
//!
//! ```text
//!  group 0 ──> [4, 0, 4, 7]       numbers of values, in order of arrival
//!  group 1 ──> [0]
//!                  └──> values: each distinct row of arguments once, with the number of its uses
//! ```
//! Taking a row back removes its oldest occurrence. What was never added cannot be taken back.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};

use super::state::{StateColumn, column, lists, malformed, numbered, primitive, unlisted};
use super::{Rows, each_row};
use crate::error::Result;
use crate::state::KeyTable;

/// Rows by group.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Types of the columns.
    types: Vec<DataType>,
    values: KeyTable,
    uses: Vec<u32>,
    groups: Vec<Vec<u32>>,
    /// Columns that are no arguments but give the order, behind the arguments.
    order: Option<Order>,
}

/// `ORDER BY` in a call.
#[derive(Debug)]
struct Order {
    first: usize,
    converter: RowConverter,
}

/// The rows of some groups.
pub(super) struct Listed {
    /// Columns of all rows, group by group.
    pub columns: Vec<ArrayRef>,
    /// Where each group begins, and the end.
    pub offsets: Vec<usize>,
}

impl Listed {
    /// Rows of group `i` of those asked for.
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        self.offsets[i]..self.offsets[i + 1]
    }
}

impl Sequence {
    /// `arguments`: their types; `order`: types and options of the columns behind them.
    pub fn new(arguments: &[DataType], order: &[(DataType, SortOptions)]) -> Result<Self> {
        let types: Vec<DataType> =
            arguments.iter().cloned().chain(order.iter().map(|o| o.0.clone())).collect();
        let order = match order {
            [] => None,
            order => {
                let fields = order.iter().map(|(t, o)| SortField::new_with_options(t.clone(), *o));
                Some(Order { first: arguments.len(), converter: RowConverter::new(fields.collect())? })
            }
        };
        let values = KeyTable::new(&types)?;
        Ok(Self { types, values, uses: Vec::new(), groups: Vec::new(), order })
    }

    pub fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, Vec::new);
        }
    }

    /// Adds rows or takes them back, but not those where `nulls` is NULL.
    pub fn update(
        &mut self,
        groups: &[u32],
        columns: &[ArrayRef],
        rows: Rows<'_>,
        nulls: Option<&NullBuffer>,
    ) -> Result<()> {
        let mut counted: Vec<u32> = Vec::with_capacity(groups.len());
        each_row(groups.len(), rows, nulls, |i, _| counted.push(i as u32));
        let mut numbers = Vec::new();
        if counted.len() == groups.len() {
            self.values.intern(columns, groups.len(), &mut numbers)?;
        } else {
            let indices = UInt32Array::from(counted.clone());
            let columns = columns.iter().map(|c| Ok(take(c, &indices, None)?)).collect::<Result<Vec<_>>>()?;
            self.values.intern(&columns, counted.len(), &mut numbers)?;
        }
        self.grow();
        let mut unused = Vec::new();
        for (&row, &number) in counted.iter().zip(&numbers) {
            let group = groups[row as usize] as usize;
            if rows.retracted.is_some_and(|r| r[row as usize]) {
                if let Some(at) = self.groups[group].iter().position(|&n| n == number) {
                    self.groups[group].remove(at);
                    self.uses[number as usize] -= 1;
                }
                unused.push(number);
            } else {
                self.groups[group].push(number);
                self.uses[number as usize] += 1;
            }
        }
        self.sweep(&unused);
        Ok(())
    }

    fn grow(&mut self) {
        if self.values.capacity() > self.uses.len() {
            self.uses.resize(self.values.capacity(), 0);
        }
    }

    /// Forgets those of these values that nobody uses.
    fn sweep(&mut self, numbers: &[u32]) {
        for &number in numbers.iter().filter(|n| self.uses[**n as usize] == 0) {
            self.values.remove(number);
        }
    }

    pub fn merge(&mut self, groups: &[u32], other: &Self, from: &[u32]) -> Result<()> {
        let all: Vec<u32> = from.iter().flat_map(|&f| other.groups[f as usize].iter().copied()).collect();
        let mut numbers = Vec::new();
        self.values.intern(&other.values.take(&all)?, all.len(), &mut numbers)?;
        self.grow();
        numbers.iter().for_each(|&n| self.uses[n as usize] += 1);
        let mut numbers = numbers.into_iter();
        for (&group, &from) in groups.iter().zip(from) {
            let count = other.groups[from as usize].len();
            self.groups[group as usize].extend(numbers.by_ref().take(count));
        }
        Ok(())
    }

    pub fn merge_within(&mut self, into: u32, from: u32) {
        let numbers = self.groups[from as usize].clone();
        numbers.iter().for_each(|&n| self.uses[n as usize] += 1);
        self.groups[into as usize].extend(numbers);
    }

    pub fn reset(&mut self, group: u32) {
        let numbers = std::mem::take(&mut self.groups[group as usize]);
        numbers.iter().for_each(|&n| self.uses[n as usize] -= 1);
        self.sweep(&numbers);
    }

    /// The rows of groups, in order of arrival or as ORDER BY says.
    pub fn rows(&self, groups: &[u32]) -> Result<Listed> {
        let (numbers, offsets) = self.numbers(groups)?;
        Ok(Listed { columns: self.values.take(&numbers)?, offsets })
    }

    /// The first or last row of each group.
    pub fn ends(&self, groups: &[u32], last: bool) -> Result<Listed> {
        if self.order.is_none() {
            let (mut numbers, mut offsets) = (Vec::with_capacity(groups.len()), vec![0]);
            for &group in groups {
                let rows = &self.groups[group as usize];
                numbers.extend(if last { rows.last() } else { rows.first() });
                offsets.push(numbers.len());
            }
            return Ok(Listed { columns: self.values.take(&numbers)?, offsets });
        }
        let (all, starts) = self.numbers(groups)?;
        let (mut numbers, mut offsets) = (Vec::with_capacity(groups.len()), vec![0]);
        for group in starts.windows(2) {
            let rows = &all[group[0]..group[1]];
            numbers.extend(if last { rows.last() } else { rows.first() });
            offsets.push(numbers.len());
        }
        Ok(Listed { columns: self.values.take(&numbers)?, offsets })
    }

    fn numbers(&self, groups: &[u32]) -> Result<(Vec<u32>, Vec<usize>)> {
        let (mut numbers, mut offsets) = (Vec::new(), vec![0]);
        for &group in groups {
            numbers.extend(&self.groups[group as usize]);
            offsets.push(numbers.len());
        }
        if let Some(order) = &self.order {
            let columns = self.values.take(&numbers)?;
            let keys = order.converter.convert_columns(&columns[order.first..])?;
            let mut sorted: Vec<u32> = (0..numbers.len() as u32).collect();
            for group in offsets.windows(2) {
                // Stable: what is equal stays in order of arrival.
                sorted[group[0]..group[1]].sort_by(|&a, &b| keys.row(a as usize).cmp(&keys.row(b as usize)));
            }
            numbers = sorted.into_iter().map(|i| numbers[i as usize]).collect();
        }
        Ok((numbers, offsets))
    }

    /// The rows of a group as lists, a column each, in order of arrival.
    pub fn state_columns(&self) -> Vec<StateColumn> {
        let arguments = self.order.as_ref().map_or(self.types.len(), |o| o.first);
        if self.types.is_empty() {
            return vec![StateColumn::new("rows", DataType::Int64)];
        }
        let names = numbered("values", arguments).chain(numbered("order", self.types.len() - arguments));
        names.zip(&self.types).map(|(name, t)| StateColumn::list(name, t.clone())).collect()
    }

    pub fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let rows = || groups.iter().map(|&g| &self.groups[g as usize]);
        if self.types.is_empty() {
            return Ok(vec![Arc::new(Int64Array::from_iter_values(rows().map(|r| r.len() as i64)))]);
        }
        let numbers: Vec<u32> = rows().flatten().copied().collect();
        let columns = self.values.take(&numbers)?.into_iter();
        columns.map(|values| lists(values, rows().map(Vec::len))).collect()
    }

    pub fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let mut columns = Vec::with_capacity(state.len());
        let lengths: Vec<usize> = if self.types.is_empty() {
            primitive::<Int64Type>(state, 0)?.values().iter().map(|&n| n as usize).collect()
        } else {
            let (_, lengths) = unlisted(column(state, 0)?)?;
            for list in state {
                let (values, of_list) = unlisted(list)?;
                if of_list != lengths {
                    return Err(malformed());
                }
                columns.push(values);
            }
            lengths
        };
        let mut numbers = Vec::new();
        self.values.intern(&columns, lengths.iter().sum(), &mut numbers)?;
        self.grow();
        numbers.iter().for_each(|&n| self.uses[n as usize] += 1);
        let mut numbers = numbers.into_iter();
        for (&group, &length) in groups.iter().zip(&lengths) {
            self.groups[group as usize] = numbers.by_ref().take(length).collect();
        }
        Ok(())
    }

    pub fn memory(&self) -> usize {
        let groups: usize = self.groups.iter().map(|g| g.capacity() * 4).sum();
        self.values.memory()
            + self.uses.capacity() * 4
            + groups
            + self.groups.capacity() * size_of::<Vec<u32>>()
    }
}
