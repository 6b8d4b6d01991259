//! The state of accumulators as columns: what a checkpoint has of an aggregate call, one row a group.
//!
//! ```text
//!  COUNT(*)  SUM(price) total  SUM(price) count  COUNT(DISTINCT who)  COUNT(DISTINCT who) values   ... counts
//!         3               170                 2                    2                      [a, b]       [2, 1]
//! ```
//! Columns carry the name of their call as EXPLAIN shows it, and of the part of the state that they are; what a
//! group holds many of is a list. They are meant to be read by people who query a checkpoint, and their
//! names and types are part of its format.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{Accumulator, AggregateCall};
use crate::error::{Error, Result};

/// A column of the state of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateColumn {
    /// Which part of the state; empty for the one that is the result itself.
    pub part: String,
    /// Its type.
    pub data_type: DataType,
}

impl StateColumn {
    pub(super) fn new(part: impl Into<String>, data_type: DataType) -> Self {
        Self { part: part.into(), data_type }
    }

    /// A list of values.
    pub(super) fn list(part: impl Into<String>, item: DataType) -> Self {
        Self::new(part, DataType::List(Arc::new(Field::new_list_field(item, true))))
    }
}

/// Names of one part or of several: `values`, or `values 1` and `values 2`.
pub(super) fn numbered(part: &str, count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(move |i| if count == 1 { part.to_string() } else { format!("{part} {i}") })
}

/// The error of state that cannot be what was written.
pub(super) fn malformed() -> Error {
    Error::decode("the state of an aggregate in the checkpoint is of another type than it was written with")
}

/// Column `i` of a state.
pub(super) fn column(state: &[ArrayRef], i: usize) -> Result<&ArrayRef> {
    state.get(i).ok_or_else(malformed)
}

/// Column `i` of a state, of a primitive type.
pub(super) fn primitive<T: ArrowPrimitiveType>(state: &[ArrayRef], i: usize) -> Result<&PrimitiveArray<T>> {
    column(state, i)?.as_primitive_opt::<T>().ok_or_else(malformed)
}

/// Column `i` of a state, of flags.
pub(super) fn flags(state: &[ArrayRef], i: usize) -> Result<&BooleanArray> {
    column(state, i)?.as_boolean_opt().ok_or_else(malformed)
}

/// Ends of lists that stand one behind the other.
pub(super) fn offsets(lengths: impl Iterator<Item = usize>) -> Result<OffsetBuffer<i32>> {
    let (mut ends, mut end) = (vec![0i32], 0usize);
    for length in lengths {
        end += length;
        ends.push(
            i32::try_from(end).map_err(|_| Error::execution("the collections of a chunk are too long"))?,
        );
    }
    Ok(OffsetBuffer::new(ends.into()))
}

/// Values that stand group by group, as a list a group.
pub(super) fn lists(values: ArrayRef, lengths: impl Iterator<Item = usize>) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(item, offsets(lengths)?, values, None)?))
}

/// The values of all lists of a column, and how many each list has.
pub(super) fn unlisted(column: &ArrayRef) -> Result<(ArrayRef, Vec<usize>)> {
    let lists = column.as_list_opt::<i32>().ok_or_else(malformed)?;
    if lists.null_count() > 0 {
        return Err(malformed());
    }
    let ends = lists.value_offsets();
    let (first, last) = (ends.first().map_or(0, |&e| e as usize), ends.last().map_or(0, |&e| e as usize));
    let lengths = ends.windows(2).map(|e| (e[1] - e[0]) as usize).collect();
    Ok((lists.values().slice(first, last - first), lengths))
}

/// The schema of a table of state: columns of the operator, then those of its calls. Names that occur twice are
/// told apart by a number.
pub(crate) fn state_schema(
    own: Vec<(String, DataType)>,
    calls: &[AggregateCall],
    accumulators: &[Box<dyn Accumulator>],
) -> SchemaRef {
    let mut columns = own;
    for (call, accumulator) in calls.iter().zip(accumulators) {
        for StateColumn { part, data_type } in accumulator.state_columns() {
            let name =
                if part.is_empty() { call.display.clone() } else { format!("{} {part}", call.display) };
            columns.push((name, data_type));
        }
    }
    named(columns)
}

/// The type of a moment of the clock.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// A schema of nullable columns. Names that occur twice are told apart by a number.
pub(crate) fn named(columns: Vec<(String, DataType)>) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    for (name, data_type) in columns {
        let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name} {n}")));
        let free = |name: &String| fields.iter().all(|f| f.name() != name);
        let name = names.into_iter().find(free).unwrap_or(name);
        fields.push(Field::new(name, data_type, true));
    }
    Arc::new(Schema::new(fields))
}

/// Appends the state of groups to the columns of a table.
pub(crate) fn append_state(
    accumulators: &[Box<dyn Accumulator>],
    groups: &[u32],
    columns: &mut Vec<ArrayRef>,
) -> Result<()> {
    for accumulator in accumulators {
        columns.extend(accumulator.state(groups)?);
    }
    Ok(())
}

/// A table of state.
pub(crate) fn state_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Makes sure that rows of a checkpoint have the columns that this operator writes.
pub(crate) fn check_state(schema: &SchemaRef, rows: &RecordBatch) -> Result<()> {
    let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    let (wanted, found) = (types(schema), types(rows.schema_ref()));
    if wanted == found {
        return Ok(());
    }
    Err(Error::decode("the state in the checkpoint has other columns than the query keeps")
        .with_detail(format!("{found:?} instead of {wanted:?}")))
}

/// Puts the state of calls into groups: the columns of a table behind the first `own`.
pub(crate) fn restore_state(
    accumulators: &mut [Box<dyn Accumulator>],
    groups: &[u32],
    rows: &RecordBatch,
    own: usize,
) -> Result<()> {
    let mut columns = rows.columns().get(own..).unwrap_or_default();
    for accumulator in accumulators {
        let count = accumulator.state_columns().len();
        let (state, rest) = columns.split_at_checked(count).ok_or_else(malformed)?;
        accumulator.restore(groups, state)?;
        columns = rest;
    }
    Ok(())
}
