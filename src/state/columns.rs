//! Columns of state tables that stand beside rows: numbers, flags and times that an operator keeps of them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
    TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};

use crate::error::{Error, Result};

/// Zone of times of the clock.
const ZONE: &str = "+00:00";

/// The type of [`times`].
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(ZONE.into()))
}

/// Moments of processing time, in milliseconds since the epoch.
pub fn times(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone(ZONE))
}

/// What [`times`] made.
pub fn millis(column: &ArrayRef) -> Result<&[i64]> {
    numbers::<TimestampMillisecondType>(column)
}

/// Numbers of a column without NULLs.
pub fn numbers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<&[T::Native]> {
    match column.as_primitive_opt::<T>() {
        Some(values) if values.null_count() == 0 => Ok(values.values()),
        _ => Err(damaged(column)),
    }
}

/// Flags of a column without NULLs.
pub fn flags(column: &ArrayRef) -> Result<&BooleanArray> {
    column.as_boolean_opt().filter(|c| c.null_count() == 0).ok_or_else(|| damaged(column))
}

fn damaged(column: &ArrayRef) -> Error {
    Error::decode(format!(
        "a column of the checkpoint has type {} and {} NULLs, which is not what was written",
        column.data_type(),
        column.null_count()
    ))
}

/// The type in which a column is written: text and bytes as views, of which there can be any number in one
/// array.
fn written_type(kept: &DataType) -> DataType {
    match kept {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Columns in the types of a schema of the same columns.
pub fn cast_to(schema: &SchemaRef, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let fields = schema.fields().iter().zip(columns);
    fields
        .map(|(field, column)| match field.data_type() == column.data_type() {
            true => Ok(column.clone()),
            false => Ok(cast(column, field.data_type())?),
        })
        .collect()
}

/// A schema of these columns as they are written, all nullable, whose names differ: a name that is there already gets a number, so that a
/// checkpoint can be queried.
pub fn schema(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    let mut known: Vec<Field> = Vec::new();
    for field in fields {
        let taken = |name: &str| known.iter().any(|f| f.name().eq_ignore_ascii_case(name));
        let mut name = field.name().clone();
        let mut number = 1;
        while taken(&name) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        let data_type = written_type(field.data_type());
        known.push(field.with_name(name).with_data_type(data_type).with_nullable(true));
    }
    Arc::new(Schema::new(known))
}

/// Rows with the time of their last write or without it, as the schema has it, whatever the checkpoint has: since it was
/// taken, state may have begun or ceased to expire. Rows without a time were written `now`.
pub fn with_time_as_in(schema: &SchemaRef, rows: &RecordBatch, now: i64) -> Result<RecordBatch> {
    let time = |schema: &Schema| {
        let is_time = |f: &FieldRef| {
            f.name().starts_with("written") && matches!(f.data_type(), DataType::Timestamp(_, Some(_)))
        };
        schema.fields().iter().rposition(is_time)
    };
    let (found, wanted) = (rows.num_columns(), schema.fields().len());
    let mut columns = rows.columns().to_vec();
    let mut fields = rows.schema_ref().fields().to_vec();
    match (time(rows.schema_ref()), time(schema)) {
        (_, Some(at)) if found + 1 == wanted && at <= found => {
            let times = times(std::iter::repeat_n(now, rows.num_rows()));
            columns.insert(at, cast(&times, schema.field(at).data_type())?);
            fields.insert(at, schema.fields()[at].clone());
        }
        (Some(at), _) if found == wanted + 1 => {
            columns.remove(at);
            fields.remove(at);
        }
        _ => return Ok(rows.clone()),
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Refuses rows that do not have the types of a schema.
pub fn check(rows: &RecordBatch, schema: &SchemaRef, table: &str) -> Result<()> {
    let types = |s: &Schema| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    let (found, wanted) = (types(rows.schema_ref()), types(schema));
    if found == wanted {
        return Ok(());
    }
    let show = |types: Vec<DataType>| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::decode(format!("table '{table}' of the checkpoint does not have the columns of the query"))
        .with_detail(format!("it has {}, the query needs {}", show(found), show(wanted))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_time_of_a_row_comes_and_goes() {
        let number = || Field::new("n", DataType::Int64, true);
        let time = || Field::new("written_at", time_type(), true);
        let (without, with) = (schema([number(), number()]), schema([number(), time(), number()]));
        let ones: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_new(without.clone(), vec![ones.clone(), ones]).unwrap();
        let timed = with_time_as_in(&with, &rows, 77).unwrap();
        assert_eq!(millis(timed.column(1)).unwrap(), [77, 77]);
        check(&timed, &with, "t").unwrap();
        assert_eq!(with_time_as_in(&with, &timed, 78).unwrap(), timed);
        let back = with_time_as_in(&without, &timed, 79).unwrap();
        assert_eq!(back.columns(), rows.columns());
    }

    #[test]
    fn names_differ() {
        let fields = ["a", "arrival", "A", "arrival", "a_1"].map(|n| Field::new(n, DataType::Int64, false));
        let names: Vec<String> = schema(fields).fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["a", "arrival", "A_1", "arrival_1", "a_1_1"]);
    }
}
