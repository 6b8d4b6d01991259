//! Values of MySQL: read into columns, and bound as parameters.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit,
};
use chrono::{DateTime, Datelike, Timelike};
use mysql_async::Value as Cell;
use mysql_async::consts::ColumnType;

use crate::lookup::values::Value;

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Text,
    Bytes,
    Bits,
}

/// The kinds of the columns of an answer.
pub(super) fn kinds(columns: &[mysql_async::Column]) -> Vec<Kind> {
    const BINARY: u16 = 63;
    let kind = |column: &mysql_async::Column| match column.column_type() {
        ColumnType::MYSQL_TYPE_BIT => Kind::Bits,
        ColumnType::MYSQL_TYPE_GEOMETRY => Kind::Bytes,
        ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_VAR_STRING
        | ColumnType::MYSQL_TYPE_VARCHAR
        | ColumnType::MYSQL_TYPE_STRING
            if column.character_set() == BINARY =>
        {
            Kind::Bytes
        }
        _ => Kind::Text,
    };
    columns.iter().map(kind).collect()
}

/// Gives a value to a column.
pub(super) fn read(
    cell: &Cell,
    kind: Kind,
    field: &Field,
    mut give: impl FnMut(Value<'_>) -> Result<(), String>,
) -> Result<(), String> {
    match cell {
        Cell::NULL => give(Value::Null),
        Cell::Int(v) => give(Value::Int(*v)),
        Cell::UInt(v) => match i64::try_from(*v) {
            Ok(v) => give(Value::Int(v)),
            Err(_) => give(Value::Text(&v.to_string())),
        },
        // As it is written, not as the nearest of twice the width.
        Cell::Float(v) if *field.data_type() == DataType::Float64 => give(Value::Float(f64::from(*v))),
        Cell::Float(v) => give(Value::Text(&v.to_string())),
        Cell::Double(v) => give(Value::Float(*v)),
        Cell::Bytes(bytes) => match kind {
            Kind::Bytes => give(Value::Bytes(bytes)),
            Kind::Bits => {
                let wide = bytes.len() > 8;
                let number = bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
                match i64::try_from(number) {
                    Ok(number) if !wide => give(Value::Int(number)),
                    _ => give(Value::Bytes(bytes)),
                }
            }
            Kind::Text => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => give(Value::Text(text)),
                Err(_) => Err(format!("column '{}' has a text that is not UTF-8", field.name())),
            },
        },
        Cell::Date(year, month, day, hour, minute, second, micros) => {
            let date = chrono::NaiveDate::from_ymd_opt((*year).into(), (*month).into(), (*day).into());
            let time = date.and_then(|date| {
                date.and_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), *micros)
            });
            let Some(time) = time else {
                return Err(format!(
                    "column '{}' has the date {year:04}-{month:02}-{day:02}, which is none",
                    field.name()
                ));
            };
            match field.data_type() {
                DataType::Timestamp(..) => give(Value::Micros(time.and_utc().timestamp_micros())),
                DataType::Date32 if time.time() == chrono::NaiveTime::MIN => {
                    give(Value::Text(&time.date().to_string()))
                }
                DataType::Utf8View if (*hour, *minute, *second, *micros) == (0, 0, 0, 0) => {
                    give(Value::Text(&time.date().to_string()))
                }
                _ => give(Value::Text(&time.to_string())),
            }
        }
        Cell::Time(negative, days, hours, minutes, seconds, micros) => {
            let hours = u64::from(*days) * 24 + u64::from(*hours);
            if matches!(field.data_type(), DataType::Time32(_))
                && (*negative || hours > 23 || micros % 1000 != 0)
            {
                let sign = if *negative { "-" } else { "" };
                return Err(format!(
                    "column '{}': {sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06} does not fit TIME(3)",
                    field.name()
                ));
            }
            let sign = if *negative { "-" } else { "" };
            let fraction = if *micros == 0 { String::new() } else { format!(".{micros:06}") };
            give(Value::Text(&format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")))
        }
    }
}

/// A value as a parameter; `None`: there is no such value in MySQL.
pub(super) fn bound(column: &ArrayRef, row: usize) -> Option<Cell> {
    if column.is_null(row) {
        return Some(Cell::NULL);
    }
    Some(match column.data_type() {
        DataType::Boolean => Cell::Int(column.as_boolean().value(row).into()),
        DataType::Int8 => Cell::Int(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Cell::Float(finite(column.as_primitive::<Float32Type>().value(row))?),
        DataType::Float64 => Cell::Double(finite(column.as_primitive::<Float64Type>().value(row))?),
        DataType::Decimal128(..) => {
            Cell::Bytes(column.as_primitive::<Decimal128Type>().value_as_string(row).into_bytes())
        }
        DataType::Utf8View => Cell::Bytes(column.as_string_view().value(row).as_bytes().to_vec()),
        DataType::BinaryView => Cell::Bytes(column.as_binary_view().value(row).to_vec()),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            date(DateTime::from_timestamp(i64::from(days) * 86_400, 0)?)?
        }
        DataType::Time32(unit) => {
            let value = arrow::compute::cast(column, &DataType::Int32).ok()?;
            let value = u32::try_from(value.as_primitive::<Int32Type>().value(row)).ok()?;
            let (seconds, micros) = match unit {
                TimeUnit::Second => (value, 0),
                _ => (value / 1000, value % 1000 * 1000),
            };
            let hours = u8::try_from(seconds / 3600).ok()?;
            Cell::Time(false, 0, hours, (seconds / 60 % 60) as u8, (seconds % 60) as u8, micros)
        }
        DataType::Timestamp(unit, _) => {
            let value = arrow::compute::cast(&column.slice(row, 1), &DataType::Int64).ok()?;
            let value = value.as_primitive::<Int64Type>().value(0);
            date(match unit {
                TimeUnit::Second => DateTime::from_timestamp(value, 0)?,
                TimeUnit::Millisecond => DateTime::from_timestamp_millis(value)?,
                TimeUnit::Microsecond => DateTime::from_timestamp_micros(value)?,
                TimeUnit::Nanosecond if value % 1000 == 0 => DateTime::from_timestamp_nanos(value),
                TimeUnit::Nanosecond => return None,
            })?
        }
        _ => return None,
    })
}

/// Whether a type of ours can be bound.
pub(super) fn binds(t: &DataType) -> bool {
    use DataType as T;
    t.is_integer()
        || matches!(
            t,
            T::Boolean
                | T::Float32
                | T::Float64
                | T::Decimal128(..)
                | T::Utf8View
                | T::BinaryView
                | T::Date32
        )
        || matches!(t, T::Time32(_) | T::Timestamp(..))
}

fn finite<F: Copy + Into<f64>>(value: F) -> Option<F> {
    value.into().is_finite().then_some(value)
}

fn date(time: DateTime<chrono::Utc>) -> Option<Cell> {
    Some(Cell::Date(
        u16::try_from(time.year()).ok().filter(|year| *year <= 9999)?,
        time.month() as u8,
        time.day() as u8,
        time.hour() as u8,
        time.minute() as u8,
        time.second() as u8,
        time.nanosecond() / 1000,
    ))
}
