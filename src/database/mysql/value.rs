//! Values of MySQL: read into columns, and bound as parameters.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit,
};
use chrono::{DateTime, Datelike, Timelike};
use mysql_async::Column;
use mysql_async::Value as Cell;
use mysql_async::consts::{ColumnFlags, ColumnType};

use crate::database::{Fault, FaultKind};
use crate::lookup::values::Value;
use crate::sql::SqlType;

/// The character set of bytes.
const BINARY: u16 = 63;
/// Decimals of a number that has none in particular.
const ANY: u8 = 31;

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Text,
    Bytes,
    Bits,
}

/// The kinds of the columns of an answer.
pub(super) fn kinds(columns: &[Column]) -> Vec<Kind> {
    let kind = |column: &Column| match column.column_type() {
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
            // Which columns of whole numbers refuse by its text.
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
                    "column '{}': {sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06} is no time of day in \
                     milliseconds, which is what TIME holds; STRING keeps it",
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

/// What the database calls a column's type.
fn name_of(column: &Column) -> String {
    use ColumnType as T;
    let fraction = |name: &str| match column.decimals() {
        0 | ANY.. => name.to_string(),
        digits => format!("{name}({digits})"),
    };
    match column.column_type() {
        T::MYSQL_TYPE_NEWDECIMAL | T::MYSQL_TYPE_DECIMAL => {
            format!("DECIMAL({}, {})", precision(column), column.decimals())
        }
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => fraction("DATETIME"),
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => fraction("TIMESTAMP"),
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => fraction("TIME"),
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => "DATE".into(),
        T::MYSQL_TYPE_FLOAT => "FLOAT".into(),
        T::MYSQL_TYPE_DOUBLE => "DOUBLE".into(),
        T::MYSQL_TYPE_YEAR => "YEAR".into(),
        T::MYSQL_TYPE_TINY => "TINYINT".into(),
        T::MYSQL_TYPE_SHORT => "SMALLINT".into(),
        T::MYSQL_TYPE_INT24 => "MEDIUMINT".into(),
        T::MYSQL_TYPE_LONG => "INT".into(),
        T::MYSQL_TYPE_LONGLONG => "BIGINT".into(),
        _ => "of another type".into(),
    }
}

/// Digits of a DECIMAL: its width has room for a sign and a point.
fn precision(column: &Column) -> u32 {
    let sign = u32::from(!column.flags().contains(ColumnFlags::UNSIGNED_FLAG));
    let point = u32::from(column.decimals() > 0);
    column.column_length().saturating_sub(sign + point)
}

/// What a column of the database is declared as; `None` for what only STRING fits.
pub(super) fn declarable(column: &Column) -> SqlType {
    use ColumnType as T;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let digits = column.decimals().min(6);
    match column.column_type() {
        T::MYSQL_TYPE_TINY if column.column_length() == 1 => SqlType::Boolean,
        T::MYSQL_TYPE_TINY if !unsigned => SqlType::TinyInt,
        T::MYSQL_TYPE_TINY | T::MYSQL_TYPE_YEAR => SqlType::SmallInt,
        T::MYSQL_TYPE_SHORT if !unsigned => SqlType::SmallInt,
        T::MYSQL_TYPE_SHORT | T::MYSQL_TYPE_INT24 => SqlType::Int,
        T::MYSQL_TYPE_LONG if !unsigned => SqlType::Int,
        T::MYSQL_TYPE_LONG => SqlType::BigInt,
        T::MYSQL_TYPE_LONGLONG if !unsigned => SqlType::BigInt,
        T::MYSQL_TYPE_LONGLONG => SqlType::Decimal(20, 0),
        T::MYSQL_TYPE_BIT if column.column_length() == 1 => SqlType::Boolean,
        T::MYSQL_TYPE_BIT if column.column_length() < 64 => SqlType::BigInt,
        T::MYSQL_TYPE_BIT => SqlType::Bytes,
        T::MYSQL_TYPE_FLOAT => SqlType::Float,
        T::MYSQL_TYPE_DOUBLE => SqlType::Double,
        T::MYSQL_TYPE_NEWDECIMAL | T::MYSQL_TYPE_DECIMAL => match u8::try_from(precision(column)) {
            Ok(precision @ 1..=38) => SqlType::Decimal(precision, column.decimals() as i8),
            _ => SqlType::String,
        },
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => SqlType::Date,
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 if digits <= 3 => SqlType::Time(digits),
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => SqlType::Timestamp(digits),
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => SqlType::TimestampLtz(digits),
        _ if kinds(std::slice::from_ref(column)) == [Kind::Bytes] => SqlType::Bytes,
        _ => SqlType::String,
    }
}

fn mismatch(column: &Column, field: &Field) -> Fault {
    let declared = SqlType::from_arrow(field.data_type());
    let declared = declared.map_or_else(|| field.data_type().to_string(), |t| t.to_string());
    let what = format!(
        "column '{}' is declared as {declared}, in the database it is {}",
        field.name(),
        name_of(column)
    );
    Fault::new(FaultKind::Table, what).with_hint(format!("declare it as {}", declarable(column)))
}

/// Whether the values of a column mean as the declared type what they mean in the database: a DATETIME is a clock on a
/// wall, a TIMESTAMP an instant, and a DECIMAL has more digits than a floating-point number.
pub(super) fn agrees(column: &Column, field: &Field) -> Result<(), Fault> {
    use ColumnType as T;
    use DataType as D;
    let wrong = matches!(
        (column.column_type(), field.data_type()),
        (
            T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 | T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE,
            D::Timestamp(_, Some(_)),
        ) | (T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2, D::Timestamp(_, None))
            | (T::MYSQL_TYPE_NEWDECIMAL | T::MYSQL_TYPE_DECIMAL, D::Float32 | D::Float64)
            | (T::MYSQL_TYPE_DOUBLE, D::Float32)
    );
    if wrong { Err(mismatch(column, field)) } else { Ok(()) }
}

/// What a column of the database would round without a word, strict mode or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    All,
    /// So many digits of a number behind the point.
    Digits(u32),
    /// So many digits of a second.
    Fraction(u32),
    Single,
    Double,
}

/// A column that is written to.
#[derive(Debug)]
pub(super) struct Target {
    keeps: Keeps,
    name: String,
}

impl Target {
    pub(super) fn new(column: &Column, field: &Field) -> Result<Self, Fault> {
        use ColumnType as T;
        use DataType as D;
        let t = field.data_type();
        let (stamp, zoned) = match t {
            D::Timestamp(_, zone) => (true, zone.is_some()),
            _ => (false, false),
        };
        let digits = match column.decimals() {
            ANY.. => None,
            digits => Some(u32::from(digits)),
        };
        let fraction = digits.map_or(Keeps::All, Keeps::Fraction);
        let (keeps, fits) = match column.column_type() {
            T::MYSQL_TYPE_NEWDECIMAL | T::MYSQL_TYPE_DECIMAL => {
                (digits.map_or(Keeps::All, Keeps::Digits), true)
            }
            T::MYSQL_TYPE_TINY
            | T::MYSQL_TYPE_SHORT
            | T::MYSQL_TYPE_INT24
            | T::MYSQL_TYPE_LONG
            | T::MYSQL_TYPE_LONGLONG
            | T::MYSQL_TYPE_YEAR => (Keeps::Digits(0), true),
            T::MYSQL_TYPE_FLOAT => (Keeps::Single, !matches!(t, D::Decimal128(..) | D::Float64)),
            T::MYSQL_TYPE_DOUBLE => (Keeps::Double, !matches!(t, D::Decimal128(..))),
            T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => (fraction, !zoned),
            T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => (fraction, !stamp || zoned),
            T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => (fraction, !stamp),
            T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => (Keeps::All, !stamp),
            _ => (Keeps::All, true),
        };
        if fits { Ok(Self { keeps, name: name_of(column) }) } else { Err(mismatch(column, field)) }
    }

    /// A value as it is sent, or why the column would not keep it.
    pub(super) fn kept(&self, cell: Cell, field: &Field) -> Result<Cell, String> {
        let wrong = |value: &dyn std::fmt::Display| {
            Err(format!("column '{}': {value} does not fit {} of the database", field.name(), self.name))
        };
        match (self.keeps, &cell) {
            (Keeps::Digits(digits), Cell::Double(_) | Cell::Float(_)) => {
                // As it is written: the server makes other digits of it.
                let text = match cell {
                    Cell::Float(v) => v.to_string(),
                    Cell::Double(v) => v.to_string(),
                    _ => String::new(),
                };
                if fraction_digits(&text) > digits {
                    return wrong(&text);
                }
                return Ok(Cell::Bytes(text.into_bytes()));
            }
            (Keeps::Digits(digits) | Keeps::Fraction(digits), Cell::Bytes(text)) => {
                let text = String::from_utf8_lossy(text);
                if fraction_digits(&text) > digits {
                    return wrong(&text);
                }
            }
            (Keeps::Fraction(digits), Cell::Date(.., micros) | Cell::Time(.., micros))
                if digits < 6 && micros % 10u32.pow(6 - digits) != 0 =>
            {
                return wrong(&format!("a time with .{micros:06} seconds"));
            }
            (Keeps::Single, Cell::Int(v)) if i128::from(*v) != (*v as f32) as i128 => return wrong(v),
            (Keeps::Double, Cell::Int(v)) if i128::from(*v) != (*v as f64) as i128 => return wrong(v),
            _ => {}
        }
        Ok(cell)
    }
}

/// Digits behind the point that are not zero at the end, of a number or of the seconds of a time.
fn fraction_digits(text: &str) -> u32 {
    let Some((_, rest)) = text.split_once('.') else { return 0 };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].trim_end_matches('0').len() as u32
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
