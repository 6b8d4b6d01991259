//! What DEFINE and MEASURES see of a match: single values of its rows, and aggregates over them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion_physical_expr::PhysicalExpr;

use super::paths::{Paths, Place};
use crate::error::{Error, Result};
use crate::operator::aggregate::{AggregateCall, Rows};

/// One column of what an expression sees.
#[derive(Debug, Clone)]
pub enum MatchValue {
    /// A column of one row of the match.
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
    /// Over the rows of a variable, or over all.
    Aggregate {
        /// Rows of this variable; `None`: all.
        variable: Option<u8>,
        /// Over the input.
        call: AggregateCall,
    },
    /// When the match was found, by event time: of this type.
    RowTime(DataType),
    /// When the match was found, by the clock.
    ProcessingTime(DataType),
}

/// An expression over values of a match.
#[derive(Debug, Clone)]
pub struct MatchExpression {
    /// What it sees.
    pub values: Vec<MatchValue>,
    /// Schema of these.
    pub schema: SchemaRef,
    /// Over that schema.
    pub expressions: Vec<Arc<dyn PhysicalExpr>>,
}

/// The rows of some matches.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Variable and place, match after match.
    rows: Vec<(u8, Place)>,
    /// Where each match ends in `rows`.
    ends: Vec<usize>,
    /// When each was found.
    times: Vec<i64>,
}

impl Taken {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.ends.clear();
        self.times.clear();
    }

    /// Adds a match: the rows up to a node, and perhaps one more.
    pub fn add(&mut self, paths: &Paths, node: u32, more: Option<(u8, Place)>, time: i64) {
        let start = self.rows.len();
        self.rows.extend(paths.walk(node).map(|(variable, event)| (variable, event.place)));
        self.rows[start..].reverse();
        self.rows.extend(more);
        self.ends.push(self.rows.len());
        self.times.push(time);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn matches(&self) -> impl Iterator<Item = &[(u8, Place)]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let rows = &self.rows[start..end];
            start = end;
            rows
        })
    }
}

/// The rows of a variable.
fn of(rows: &[(u8, Place)], variable: Option<u8>) -> impl DoubleEndedIterator<Item = Place> + '_ {
    rows.iter().filter(move |(v, _)| variable.is_none_or(|wanted| *v == wanted)).map(|(_, place)| *place)
}

impl MatchExpression {
    /// The values of its expressions, a row a match. `now` tells the clock.
    pub(super) fn evaluate(
        &self,
        taken: &Taken,
        paths: &Paths,
        batch: &RecordBatch,
        now: i64,
    ) -> Result<Vec<ArrayRef>> {
        let columns = self.values.iter().map(|value| value.column(taken, paths, batch, now));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(taken.len()));
        let seen = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.expressions.iter().map(|e| Ok(e.evaluate(&seen)?.into_array(taken.len())?)).collect()
    }

    /// Whether its only expression, a condition, holds for the only match.
    pub(super) fn holds(&self, taken: &Taken, paths: &Paths, batch: &RecordBatch, now: i64) -> Result<bool> {
        let values = self.evaluate(taken, paths, batch, now)?;
        let value = values.first().and_then(|v| v.as_boolean_opt());
        let value = value.ok_or_else(|| Error::internal("a condition of DEFINE that is not BOOLEAN"))?;
        Ok(value.len() == 1 && value.is_valid(0) && value.value(0))
    }
}

impl MatchValue {
    fn column(&self, taken: &Taken, paths: &Paths, batch: &RecordBatch, now: i64) -> Result<ArrayRef> {
        match self {
            MatchValue::Row { variable, first, offset, column } => {
                let offset = *offset as usize;
                let place = |rows| match first {
                    true => of(rows, *variable).nth(offset),
                    false => of(rows, *variable).rev().nth(offset),
                };
                let places: Vec<Option<Place>> = taken.matches().map(place).collect();
                paths.column(&places, *column, batch)
            }
            MatchValue::Aggregate { variable, call } => {
                let (mut places, mut groups) = (Vec::new(), Vec::new());
                for (group, rows) in taken.matches().enumerate() {
                    places.extend(of(rows, *variable).map(Some));
                    groups.resize(places.len(), group as u32);
                }
                let columns = (0..batch.num_columns()).map(|column| match places.is_empty() {
                    true => Ok(batch.column(column).slice(0, 0)),
                    false => paths.column(&places, column, batch),
                });
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
                let rows = RecordBatch::try_new_with_options(batch.schema(), columns, &options)?;
                let mut accumulator = call.accumulator(false)?;
                accumulator.resize(taken.len());
                let selected = call.selection(&rows, None)?;
                let rows_of = Rows { selected: selected.as_deref(), retracted: None };
                accumulator.update(&groups, &call.arguments(&rows)?, rows_of)?;
                let all: Vec<u32> = (0..taken.len() as u32).collect();
                accumulator.values(&all)
            }
            MatchValue::RowTime(data_type) => instants(&taken.times, data_type),
            MatchValue::ProcessingTime(data_type) => instants(&vec![now; taken.len()], data_type),
        }
    }
}

/// Instants in milliseconds as a column of this type.
fn instants(times: &[i64], data_type: &DataType) -> Result<ArrayRef> {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let times: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
    let times = cast(&times, &DataType::Timestamp(TimeUnit::Millisecond, zone))?;
    Ok(if times.data_type() == data_type { times } else { cast(&times, data_type)? })
}
