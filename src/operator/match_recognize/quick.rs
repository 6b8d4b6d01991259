//! Conditions that compare whole numbers and instants, without a batch for each row that is asked about.
//!
//! ```text
//!  B.price > LAST(A.price) AND B.tax IS NOT NULL      values of taken rows lie beside them as plain numbers
//! ```
//! What cannot be written this way is computed by [`MatchExpression`](super::values::MatchExpression), with the same
//! result.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use super::paths::Paths;
use crate::error::Result;

/// Columns whose values lie beside the rows, at most.
pub(super) const MOST: usize = 4;

/// Numbers of a row; bit `i` of `nulls`: the value is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    pub values: [i64; MOST],
    pub nulls: u8,
}

/// A number of the match: a column of one of its rows, or a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuickNumber {
    /// As [`super::MatchValue::Row`] has it.
    Row {
        /// Rows of this variable; `None`: all.
        variable: Option<u8>,
        /// Counted from the first one; else from the last one.
        first: bool,
        /// How many rows further.
        offset: u32,
        /// Of the input.
        column: usize,
    },
    /// A constant.
    Constant(i64),
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// A condition over numbers, TRUE, FALSE or NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuickCondition {
    /// Of two numbers.
    Compare(QuickNumber, Comparison, QuickNumber),
    /// `IS NULL`; `false`: `IS NOT NULL`.
    IsNull(QuickNumber, bool),
    /// `AND`
    And(Box<QuickCondition>, Box<QuickCondition>),
    /// `OR`
    Or(Box<QuickCondition>, Box<QuickCondition>),
    /// `NOT`
    Not(Box<QuickCondition>),
}

/// Whether values of a type are plain numbers that compare as such.
pub fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, _)
    )
}

impl QuickCondition {
    /// The columns that it looks at.
    pub(super) fn columns(&self, found: &mut Vec<usize>) {
        let mut number = |n: &QuickNumber| {
            if let QuickNumber::Row { column, .. } = n
                && !found.contains(column)
            {
                found.push(*column);
            }
        };
        match self {
            QuickCondition::Compare(a, _, b) => {
                number(a);
                number(b);
            }
            QuickCondition::IsNull(a, _) => number(a),
            QuickCondition::And(a, b) | QuickCondition::Or(a, b) => {
                a.columns(found);
                b.columns(found);
            }
            QuickCondition::Not(a) => a.columns(found),
        }
    }

    pub(super) fn holds(&self, seen: &Look<'_>) -> Option<bool> {
        match self {
            QuickCondition::Compare(a, how, b) => {
                let (a, b) = (seen.number(a)?, seen.number(b)?);
                Some(match how {
                    Comparison::Eq => a == b,
                    Comparison::NotEq => a != b,
                    Comparison::Lt => a < b,
                    Comparison::LtEq => a <= b,
                    Comparison::Gt => a > b,
                    Comparison::GtEq => a >= b,
                })
            }
            QuickCondition::IsNull(a, wanted) => Some(seen.number(a).is_none() == *wanted),
            QuickCondition::And(a, b) => match a.holds(seen) {
                Some(false) => Some(false),
                left => match (left, b.holds(seen)) {
                    (_, Some(false)) => Some(false),
                    (Some(true), right) => right,
                    _ => None,
                },
            },
            QuickCondition::Or(a, b) => match a.holds(seen) {
                Some(true) => Some(true),
                left => match (left, b.holds(seen)) {
                    (_, Some(true)) => Some(true),
                    (Some(false), right) => right,
                    _ => None,
                },
            },
            QuickCondition::Not(a) => a.holds(seen).map(|value| !value),
        }
    }
}

/// What a condition sees: a begun match and one more row.
pub(super) struct Look<'a> {
    pub paths: &'a Paths,
    pub node: u32,
    pub variable: u8,
    pub current: Numbers,
    /// Columns of the input, in the order of [`Numbers`].
    pub columns: &'a [usize],
}

impl Look<'_> {
    fn number(&self, number: &QuickNumber) -> Option<i64> {
        let (variable, first, offset, column) = match *number {
            QuickNumber::Constant(value) => return Some(value),
            QuickNumber::Row { variable, first, offset, column } => {
                (variable, first, offset as usize, column)
            }
        };
        let at = self.columns.iter().position(|c| *c == column)?;
        let is = |v: u8| variable.is_none_or(|wanted| wanted == v);
        let current = is(self.variable).then_some(self.current);
        let taken = || self.paths.walk(self.node).filter(|(v, _)| is(*v)).map(|(_, event)| event.numbers);
        let numbers = match first {
            false => current.into_iter().chain(taken()).nth(offset),
            true => {
                let count = taken().count();
                match offset.cmp(&count) {
                    std::cmp::Ordering::Less => taken().nth(count - 1 - offset),
                    std::cmp::Ordering::Equal => current,
                    std::cmp::Ordering::Greater => None,
                }
            }
        }?;
        (numbers.nulls & (1 << at) == 0).then_some(numbers.values[at])
    }
}

/// The numbers of a batch.
#[derive(Debug, Default)]
pub(super) struct Columns {
    columns: Vec<Int64Array>,
}

impl Columns {
    pub fn read(&mut self, wanted: &[usize], columns: &[ArrayRef]) -> Result<()> {
        self.columns.clear();
        for &column in wanted {
            let numbers = match columns[column].data_type() {
                DataType::Date32 => cast(&cast(&columns[column], &DataType::Int32)?, &DataType::Int64)?,
                _ => cast(&columns[column], &DataType::Int64)?,
            };
            self.columns.push(numbers.as_primitive::<Int64Type>().clone());
        }
        Ok(())
    }

    pub fn get(&self, row: usize) -> Numbers {
        let mut numbers = Numbers::default();
        for (i, column) in self.columns.iter().enumerate() {
            match column.is_null(row) {
                true => numbers.nulls |= 1 << i,
                false => numbers.values[i] = column.value(row),
            }
        }
        numbers
    }
}
