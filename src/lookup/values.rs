//! Values of databases and key-value stores as columns.
//!
//! A column takes integers, floats, texts, bytes and booleans; what is not of its type already is read from its
//! text, or is an error that names the column. Nothing is rounded or cut, as casts do. Arrays, rows and maps are JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, RecordBatch, RecordBatchOptions, StringViewBuilder,
};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime, string_to_time_nanoseconds};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, FieldRef, SchemaRef, TimeUnit};
use arrow::util::display::FormatOptions;
use chrono::{DateTime, NaiveTime, Utc};

use crate::format::nested;

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
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    /// Times of day, in their unit.
    Time(Int64Builder, TimeUnit),
    /// Timestamps, in their unit.
    Instant(Int64Builder, TimeUnit),
    /// Arrays, rows and maps.
    Json(StringViewBuilder),
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
            DataType::Decimal128(precision, scale) => {
                let builder =
                    Decimal128Builder::new().with_data_type(DataType::Decimal128(*precision, *scale));
                Builder::Decimal(builder, *precision, *scale)
            }
            DataType::Date32 => Builder::Date(Date32Builder::new()),
            DataType::Time32(unit) => Builder::Time(Int64Builder::new(), *unit),
            t if nested::is_nested(t) => Builder::Json(StringViewBuilder::new()),
            // Texts, and what is read from a text: intervals.
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
        let misfit = |value: &dyn std::fmt::Display, field: &FieldRef| {
            format!("column '{}': {value} does not fit {}", field.name(), sql(field.data_type()))
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
                let text = text.trim();
                b.append_value(text.parse().map_err(|_| match decimal(text, 0) {
                    // A number, but not one of these.
                    Err(Misfit::NoNumber) => wrong(&value, &self.field),
                    _ => misfit(&text, &self.field),
                })?);
            }
            (Builder::Float(b), Value::Null) => b.append_null(),
            (Builder::Float(b), Value::Float(v)) => {
                // The nearest one, but none that is infinite.
                if *self.field.data_type() == DataType::Float32 && v.is_finite() && (v as f32).is_infinite() {
                    return Err(misfit(&v, &self.field));
                }
                b.append_value(v);
            }
            (Builder::Float(b), Value::Int(v)) if v.unsigned_abs() < 1 << 53 => b.append_value(v as f64),
            (Builder::Float(b), Value::Text(text)) => {
                let text = text.trim();
                let parsed = match self.field.data_type() {
                    DataType::Float32 => text.parse::<f32>().map(f64::from),
                    _ => text.parse::<f64>(),
                };
                let parsed = parsed.map_err(|_| wrong(&value, &self.field))?;
                if parsed.is_infinite() && text.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(misfit(&text, &self.field));
                }
                b.append_value(parsed);
            }
            (Builder::Decimal(b, ..), Value::Null) => b.append_null(),
            (Builder::Decimal(b, precision, scale), Value::Int(_) | Value::Float(_) | Value::Text(_)) => {
                let (mut digits, made);
                let text = match value {
                    Value::Text(text) => text.trim(),
                    Value::Int(v) => {
                        digits = itoa::Buffer::new();
                        digits.format(v)
                    }
                    Value::Float(v) => {
                        made = v.to_string();
                        &made
                    }
                    _ => "",
                };
                let found = decimal(text, *scale).map_err(|misfitting| match misfitting {
                    Misfit::NoNumber => wrong(&value, &self.field),
                    Misfit::Digits => misfit(&text, &self.field),
                })?;
                if 10i128.checked_pow((*precision).into()).is_some_and(|limit| found.abs() >= limit) {
                    return Err(misfit(&text, &self.field));
                }
                b.append_value(found);
            }
            (Builder::Date(b), Value::Null) => b.append_null(),
            (Builder::Date(b), Value::Text(text)) => {
                let text = text.trim();
                let signed = text.starts_with(['+', '-']);
                let whole = match text.len() > 10 && !signed {
                    // With a time of day, which must not be cut.
                    true => string_to_datetime(&Utc, text).map(|time| time.time() == NaiveTime::MIN),
                    false => Ok(true),
                };
                if whole.is_ok_and(|whole| !whole) {
                    return Err(misfit(&text, &self.field));
                }
                b.append_value(Date32Type::parse(text).ok_or_else(|| wrong(&value, &self.field))?);
            }
            (Builder::Time(b, _), Value::Null) => b.append_null(),
            (Builder::Time(b, unit), Value::Text(text)) => {
                let nanos =
                    string_to_time_nanoseconds(text.trim()).map_err(|_| wrong(&value, &self.field))?;
                let each = if *unit == TimeUnit::Second { 1_000_000_000 } else { 1_000_000 };
                if nanos % each != 0 {
                    return Err(format!("{}; STRING keeps all digits", misfit(&text, &self.field)));
                }
                b.append_value(nanos / each);
            }
            (Builder::Json(b), Value::Null) => b.append_null(),
            (Builder::Json(b), Value::Text(v)) => b.append_value(v),
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
            // Without an offset a text is in UTC. What a number counts, nobody knows.
            (Builder::Instant(b, unit), Value::Micros(_) | Value::Text(_)) => {
                let time = match value {
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
            Builder::Decimal(mut b, ..) => return Ok(Arc::new(b.finish())),
            Builder::Date(mut b) => return Ok(Arc::new(b.finish())),
            Builder::Time(mut b, _) => {
                let numbers: ArrayRef = Arc::new(b.finish());
                let numbers = cast(&numbers, &DataType::Int32).map_err(|e| e.to_string())?;
                return cast(&numbers, to).map_err(|e| e.to_string());
            }
            Builder::Instant(mut b, _) => {
                let numbers: ArrayRef = Arc::new(b.finish());
                return cast(&numbers, to).map_err(|e| e.to_string());
            }
            Builder::Json(mut b) => {
                return nested::from_json(&b.finish(), to).map_err(|e| {
                    format!("column '{}' has a value that is no {}: {e}", self.field.name(), sql(to))
                });
            }
        };
        convert(&self.field, &built, to)
    }
}

/// Why a text is no decimal.
enum Misfit {
    NoNumber,
    Digits,
}

/// A decimal number as an integer of so many digits behind the point.
fn decimal(text: &str, scale: i8) -> Result<i128, Misfit> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
    {
        return Err(Misfit::NoNumber);
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return Err(Misfit::Digits);
    }
    let padding = std::iter::repeat_n(b'0', scale - fraction.len());
    let value = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(padding)
        .try_fold(0i128, |value, digit| value.checked_mul(10)?.checked_add(i128::from(digit - b'0')));
    let value = value.ok_or(Misfit::Digits)?;
    Ok(if negative { -value } else { value })
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
            read(millis.clone(), &[Text("2026-01-05 08:00:00.5"), Value::Micros(1_000_000), Null]).unwrap(),
            ["2026-01-05T08:00:00.500", "1970-01-01T00:00:01", ""]
        );
        // Seconds or milliseconds?
        assert!(read(millis, &[Int(1000)]).unwrap_err().contains("has an integer where TIMESTAMP(3)"));
        let cut = read(DataType::Timestamp(TimeUnit::Millisecond, None), &[Text("2026-01-05 08:00:00.0005")]);
        assert!(cut.unwrap_err().contains("2026-01-05 08:00:00.000500 does not fit TIMESTAMP(3)"));
        let zoned = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert_eq!(
            read(zoned, &[Text("2026-01-05 08:00:00+01"), Text("2026-01-05 08:00:00")]).unwrap(),
            ["2026-01-05T07:00:00Z", "2026-01-05T08:00:00Z"]
        );
        let number = DataType::Decimal128(5, 2);
        assert_eq!(
            read(number.clone(), &[Text("-1.230"), Float(0.5), Text("+.5"), Text("999.99"), Text("7.")])
                .unwrap(),
            ["-1.23", "0.50", "0.50", "999.99", "7.00"]
        );
        for (value, said) in [
            (Text("1.235"), "1.235 does not fit DECIMAL(5, 2)"),
            (Float(0.125), "0.125 does not fit DECIMAL(5, 2)"),
            (Int(1000), "1000 does not fit DECIMAL(5, 2)"),
            (Text("1e2"), "has text where DECIMAL(5, 2)"),
        ] {
            assert!(read(number.clone(), &[value]).unwrap_err().contains(said), "{value:?}");
        }
        assert_eq!(read(DataType::Date32, &[Text("2026-01-05 00:00:00")]).unwrap(), ["2026-01-05"]);
        let cut = read(DataType::Date32, &[Text("2026-01-05 10:00:00")]).unwrap_err();
        assert!(cut.contains("2026-01-05 10:00:00 does not fit DATE"), "{cut}");
        let time = DataType::Time32(TimeUnit::Millisecond);
        assert_eq!(read(time.clone(), &[Text("10:11:12.5"), Null]).unwrap(), ["10:11:12.500", ""]);
        let cut = read(time.clone(), &[Text("10:11:12.0005")]).unwrap_err();
        assert!(cut.contains("does not fit TIME") && cut.contains("STRING"), "{cut}");
        assert!(read(time, &[Int(5)]).is_err());
        assert!(read(DataType::Float32, &[Float(1e300)]).unwrap_err().contains("does not fit FLOAT"));
        assert!(read(DataType::Float32, &[Text("1e300")]).unwrap_err().contains("1e300 does not fit FLOAT"));
        assert!(read(DataType::Float64, &[Text("1e999")]).is_err());
        assert_eq!(read(DataType::Float32, &[Float(f64::INFINITY), Text("0.1")]).unwrap(), ["inf", "0.1"]);
        let large = read(DataType::Int64, &[Text("18446744073709551615")]).unwrap_err();
        assert!(large.contains("18446744073709551615 does not fit BIGINT"), "{large}");
        let list = crate::sql::SqlType::Array(Box::new(crate::sql::SqlType::String)).to_arrow("UTC");
        assert_eq!(read(list.clone(), &[Text("[\"a, b\",\"c\"]"), Null]).unwrap(), ["[a, b, c]", ""]);
        assert!(read(list, &[Text("[a, b]")]).unwrap_err().contains("'c'"));
        assert_eq!(read(DataType::Boolean, &[Int(1), Text("f"), Null]).unwrap(), ["true", "false", ""]);
        assert!(read(DataType::Boolean, &[Int(2)]).is_err());
    }
}
