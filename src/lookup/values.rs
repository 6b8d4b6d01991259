//! Values of databases and key-value stores as columns.
//!
//! A column takes integers, floats, texts, bytes and booleans; what is not of its type already is read from its
//! text, by the rules of a cast, or is an error that names the column. Nothing is rounded or cut.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder,
};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit};
use arrow::util::display::FormatOptions;
use chrono::{DateTime, Utc};

/// A value as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    #[allow(dead_code, reason = "SQLite and MySQL have no booleans")]
    Bool(bool),
    Int(i64),
    /// Microseconds since the epoch.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "SQLite has texts"))]
    Micros(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Micros(_) => "a time",
            Self::Float(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

#[derive(Debug)]
enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    /// Timestamps, in their unit.
    Instant(Int64Builder, TimeUnit),
}

/// One column of rows that come one by one.
#[derive(Debug)]
pub(crate) struct Column {
    field: FieldRef,
    builder: Builder,
}

impl Column {
    pub(crate) fn new(field: &FieldRef) -> Self {
        let builder = match field.data_type() {
            DataType::Boolean => Builder::Bool(BooleanBuilder::new()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Builder::Int(Int64Builder::new())
            }
            DataType::Float32 | DataType::Float64 => Builder::Float(Float64Builder::new()),
            DataType::Binary
            | DataType::BinaryView
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_) => {
                Builder::Bytes(BinaryViewBuilder::new().with_deduplicate_strings())
            }
            DataType::Timestamp(unit, _) => Builder::Instant(Int64Builder::new(), *unit),
            // Texts, and all that is read from a text: DECIMAL, DATE, TIME.
            _ => Builder::Text(StringViewBuilder::new().with_deduplicate_strings()),
        };
        Self { field: field.clone(), builder }
    }

    pub(crate) fn push(&mut self, value: Value<'_>) -> Result<(), String> {
        let wrong = |value: &Value<'_>, field: &FieldRef| {
            format!(
                "column '{}' has {} where {} was expected",
                field.name(),
                value.name(),
                sql(field.data_type())
            )
        };
        match (&mut self.builder, value) {
            (Builder::Bool(b), Value::Null) => b.append_null(),
            (Builder::Bool(b), Value::Bool(v)) => b.append_value(v),
            (Builder::Bool(b), Value::Int(v @ (0 | 1))) => b.append_value(v == 1),
            (Builder::Bool(b), Value::Text(text)) => {
                b.append_value(boolean(text).ok_or_else(|| wrong(&value, &self.field))?);
            }
            (Builder::Int(b), Value::Null) => b.append_null(),
            (Builder::Int(b), Value::Int(v)) => b.append_value(v),
            (Builder::Int(b), Value::Bool(v)) => b.append_value(i64::from(v)),
            (Builder::Int(b), Value::Float(v)) if v.fract() == 0.0 && v.abs() < 9.0e15 => {
                b.append_value(v as i64);
            }
            (Builder::Int(b), Value::Text(text)) => {
                b.append_value(text.trim().parse().map_err(|_| wrong(&value, &self.field))?);
            }
            (Builder::Float(b), Value::Null) => b.append_null(),
            (Builder::Float(b), Value::Float(v)) => b.append_value(v),
            (Builder::Float(b), Value::Int(v)) if v.abs() < 1 << 53 => b.append_value(v as f64),
            (Builder::Float(b), Value::Text(text)) => {
                b.append_value(text.trim().parse().map_err(|_| wrong(&value, &self.field))?);
            }
            (Builder::Bytes(b), Value::Null) => b.append_null(),
            (Builder::Bytes(b), Value::Bytes(v)) => b.append_value(v),
            (Builder::Bytes(b), Value::Text(v)) => b.append_value(v.as_bytes()),
            (Builder::Text(b), Value::Null) => b.append_null(),
            (Builder::Text(b), Value::Text(v)) => b.append_value(v),
            (Builder::Text(b), Value::Int(v)) => b.append_value(itoa::Buffer::new().format(v)),
            (Builder::Text(b), Value::Float(v)) if v.is_finite() => b.append_value(v.to_string()),
            (Builder::Text(b), Value::Bool(v)) => b.append_value(if v { "true" } else { "false" }),
            (Builder::Text(b), Value::Micros(v)) => {
                let time = DateTime::from_timestamp_micros(v).ok_or_else(|| wrong(&value, &self.field))?;
                b.append_value(time.naive_utc().to_string());
            }
            (Builder::Instant(b, _), Value::Null) => b.append_null(),
            // Numbers are milliseconds; without an offset a text is in UTC.
            (Builder::Instant(b, unit), Value::Int(_) | Value::Micros(_) | Value::Text(_)) => {
                let time = match value {
                    Value::Int(v) => DateTime::from_timestamp_millis(v),
                    Value::Micros(v) => DateTime::from_timestamp_micros(v),
                    Value::Text(text) => string_to_datetime(&Utc, text.trim()).ok(),
                    _ => None,
                };
                let time = time.ok_or_else(|| wrong(&value, &self.field))?;
                let time = in_unit(time, *unit).ok_or_else(|| {
                    format!(
                        "column '{}': {} does not fit {}",
                        self.field.name(),
                        time.naive_utc(),
                        sql(self.field.data_type())
                    )
                })?;
                b.append_value(time);
            }
            (_, other) => return Err(wrong(&other, &self.field)),
        }
        Ok(())
    }

    /// The column, of its declared type.
    pub(crate) fn finish(self) -> Result<ArrayRef, String> {
        let to = self.field.data_type();
        let built: ArrayRef = match self.builder {
            Builder::Bool(mut b) => Arc::new(b.finish()),
            Builder::Int(mut b) => Arc::new(b.finish()),
            Builder::Float(mut b) => Arc::new(b.finish()),
            Builder::Text(mut b) => Arc::new(b.finish()),
            Builder::Bytes(mut b) => Arc::new(b.finish()),
            Builder::Instant(mut b, _) => {
                let numbers: ArrayRef = Arc::new(b.finish());
                return cast(&numbers, to).map_err(|e| e.to_string());
            }
        };
        convert(&self.field, &built, to)
    }
}

fn convert(field: &FieldRef, array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(array, to, &options)
        .map_err(|e| format!("column '{}' has a value that is no {}: {e}", field.name(), sql(to)))
}

/// A time as a number of its unit; `None`: it would be cut.
fn in_unit(time: DateTime<Utc>, unit: TimeUnit) -> Option<i64> {
    let (each, nanos) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    let rest = time.timestamp_subsec_nanos();
    if !rest.is_multiple_of(nanos) {
        return None;
    }
    time.timestamp().checked_mul(each)?.checked_add(i64::from(rest / nanos))
}

/// Rows that come one by one.
pub(crate) struct Rows {
    columns: Vec<Column>,
    count: usize,
}

impl Rows {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self { columns: schema.fields().iter().map(Column::new).collect(), count: 0 }
    }

    /// A value of the row that is coming.
    pub(crate) fn push(&mut self, column: usize, value: Value<'_>) -> Result<(), String> {
        match self.columns.get_mut(column) {
            Some(column) => column.push(value),
            None => Err("a row has more columns than were asked for".into()),
        }
    }

    /// The row has all of its values.
    pub(crate) fn end_row(&mut self) {
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, String> {
        let columns = self.columns.into_iter().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| e.to_string())
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn sql(data_type: &DataType) -> String {
    crate::sql::SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::Array;
    use arrow::datatypes::Field;
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn read(to: DataType, values: &[Value<'_>]) -> Result<Vec<String>, String> {
        let mut column = Column::new(&Arc::new(Field::new("c", to, true)));
        values.iter().try_for_each(|value| column.push(*value))?;
        let array = column.finish()?;
        Ok((0..array.len()).map(|i| array_value_to_string(&array, i).unwrap()).collect())
    }

    #[test]
    fn values_become_columns_and_nothing_is_rounded() {
        use Value::{Bool, Bytes, Float, Int, Null, Text};
        assert_eq!(
            read(DataType::Int32, &[Int(7), Null, Text("8"), Float(9.0)]).unwrap(),
            ["7", "", "8", "9"]
        );
        assert!(read(DataType::Int32, &[Float(1.5)]).unwrap_err().contains("'c'"));
        assert!(read(DataType::Int8, &[Int(300)]).is_err());
        assert_eq!(read(DataType::Utf8View, &[Text("x"), Int(7), Bool(true)]).unwrap(), ["x", "7", "true"]);
        assert!(read(DataType::Utf8View, &[Bytes(b"x")]).is_err());
        assert_eq!(read(DataType::Decimal128(5, 2), &[Text("12.50"), Int(3)]).unwrap(), ["12.50", "3.00"]);
        assert!(read(DataType::Decimal128(3, 2), &[Text("123")]).is_err());
        assert_eq!(read(DataType::Date32, &[Text("2026-01-05")]).unwrap(), ["2026-01-05"]);
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        assert_eq!(
            read(millis, &[Text("2026-01-05 08:00:00.5"), Int(1000), Null]).unwrap(),
            ["2026-01-05T08:00:00.500", "1970-01-01T00:00:01", ""]
        );
        let cut = read(DataType::Timestamp(TimeUnit::Millisecond, None), &[Text("2026-01-05 08:00:00.0005")]);
        assert!(cut.unwrap_err().contains("2026-01-05 08:00:00.000500 does not fit TIMESTAMP(3)"));
        let zoned = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert_eq!(
            read(zoned, &[Text("2026-01-05 08:00:00+01"), Text("2026-01-05 08:00:00")]).unwrap(),
            ["2026-01-05T07:00:00Z", "2026-01-05T08:00:00Z"]
        );
        assert_eq!(read(DataType::Boolean, &[Int(1), Text("f"), Null]).unwrap(), ["true", "false", ""]);
        assert!(read(DataType::Boolean, &[Int(2)]).is_err());
    }
}
