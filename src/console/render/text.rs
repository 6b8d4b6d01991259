//! Values as text for people, as Flink's CAST to STRING writes them.
//!
//! A [`TextColumn`] looks at the type of a column once, so that writing a value is one match and no
//! downcast.

use std::fmt::Write;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array, MapArray, PrimitiveArray,
};
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Fields, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};

use crate::error::Result;

/// A column whose values can be written as text.
pub struct TextColumn<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Integer(Box<dyn Fn(usize) -> i128 + 'a>),
    Float(&'a Float32Array),
    Double(&'a Float64Array),
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
    Decimal(Box<dyn Fn(usize) -> String + 'a>),
    /// Days since the epoch.
    Date(Box<dyn Fn(usize) -> i64 + 'a>),
    /// Nanoseconds of the day.
    Time(Box<dyn Fn(usize) -> i64 + 'a>),
    /// Units since the epoch.
    Timestamp(Box<dyn Fn(usize) -> i64 + 'a>, TimeUnit, Option<Tz>),
    /// Months.
    YearMonth(&'a PrimitiveArray<IntervalYearMonthType>),
    /// Months and nanoseconds.
    DayTime(Box<dyn Fn(usize) -> (i32, i128) + 'a>),
    /// Where the items of a row start and end.
    List(Box<dyn Fn(usize) -> (usize, usize) + 'a>, Box<TextColumn<'a>>),
    Map(&'a MapArray, Box<TextColumn<'a>>, Box<TextColumn<'a>>),
    Row(&'a Fields, Vec<TextColumn<'a>>),
    Dictionary(Box<dyn Fn(usize) -> usize + 'a>, Box<TextColumn<'a>>),
    Other(ArrayFormatter<'a>),
}

impl<'a> TextColumn<'a> {
    /// Looks at a column's type.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(Self { array, values: values(array)? })
    }

    /// Whether the value is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        match &self.values {
            Values::Null => true,
            Values::Dictionary(key, dictionary) => self.array.is_null(row) || dictionary.is_null(key(row)),
            _ => self.array.is_null(row),
        }
    }

    /// Appends a value as text; nothing for a NULL.
    pub fn write(&self, row: usize, out: &mut String) -> Result<()> {
        if self.is_null(row) {
            return Ok(());
        }
        match &self.values {
            Values::Null => {}
            Values::Boolean(a) => out.push_str(if a.value(row) { "TRUE" } else { "FALSE" }),
            Values::Integer(get) => put(out, format_args!("{}", get(row))),
            Values::Float(a) => write_float(f64::from(a.value(row)), &format!("{:e}", a.value(row)), out),
            Values::Double(a) => write_float(a.value(row), &format!("{:e}", a.value(row)), out),
            Values::Text(get) => out.push_str(get(row)),
            Values::Bytes(get) => get(row).iter().for_each(|b| put(out, format_args!("{b:02x}"))),
            Values::Decimal(get) => out.push_str(&get(row)),
            Values::Date(get) => write_date(get(row), out),
            Values::Time(get) => write_time(get(row), 0, out),
            Values::Timestamp(get, unit, zone) => write_timestamp(get(row), *unit, zone.as_ref(), out),
            Values::YearMonth(a) => write_year_month(a.value(row), out),
            Values::DayTime(get) => {
                let (months, nanos) = get(row);
                if months != 0 {
                    write_year_month(months, out);
                    out.push(' ');
                }
                write_day_time(nanos, out);
            }
            Values::List(range, items) => {
                let (start, end) = range(row);
                write_many('[', ']', start..end, out, |i, out| items.write_nested(i, out))?;
            }
            Values::Map(a, keys, values) => {
                let (start, end) = (a.value_offsets()[row] as usize, a.value_offsets()[row + 1] as usize);
                write_many('{', '}', start..end, out, |i, out| {
                    keys.write_nested(i, out)?;
                    out.push('=');
                    values.write_nested(i, out)
                })?;
            }
            Values::Row(_, columns) => {
                write_many('(', ')', 0..columns.len(), out, |i, out| columns[i].write_nested(row, out))?;
            }
            Values::Dictionary(key, dictionary) => dictionary.write(key(row), out)?,
            Values::Other(formatter) => put(out, format_args!("{}", formatter.value(row).try_to_string()?)),
        }
        Ok(())
    }

    /// As [`Self::write`], the fields of rows with their names: `(name=Ada, age=36)`.
    pub fn write_named(&self, row: usize, out: &mut String) -> Result<()> {
        let nested = |column: &TextColumn<'_>, row: usize, out: &mut String| match column.is_null(row) {
            true => {
                out.push_str("NULL");
                Ok(())
            }
            false => column.write_named(row, out),
        };
        match &self.values {
            _ if self.is_null(row) => Ok(()),
            Values::Row(fields, columns) => write_many('(', ')', 0..columns.len(), out, |i, out| {
                if let (Some(field), Some(column)) = (fields.get(i), columns.get(i)) {
                    out.push_str(field.name());
                    out.push('=');
                    nested(column, row, out)?;
                }
                Ok(())
            }),
            Values::List(range, items) => {
                let (start, end) = range(row);
                write_many('[', ']', start..end, out, |i, out| nested(items, i, out))
            }
            Values::Map(a, keys, values) => {
                let (start, end) = (a.value_offsets()[row] as usize, a.value_offsets()[row + 1] as usize);
                write_many('{', '}', start..end, out, |i, out| {
                    nested(keys, i, out)?;
                    out.push('=');
                    nested(values, i, out)
                })
            }
            Values::Dictionary(key, dictionary) => dictionary.write_named(key(row), out),
            _ => self.write(row, out),
        }
    }

    fn write_nested(&self, row: usize, out: &mut String) -> Result<()> {
        if self.is_null(row) {
            out.push_str("NULL");
            return Ok(());
        }
        self.write(row, out)
    }

    /// Appends a value as JSON; `null` for a NULL.
    pub fn write_json(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::Boolean(a) => out.extend_from_slice(if a.value(row) { b"true" } else { b"false" }),
            Values::Integer(get) => out.extend_from_slice(get(row).to_string().as_bytes()),
            Values::Decimal(get) => out.extend_from_slice(get(row).as_bytes()),
            Values::Float(a) if a.value(row).is_finite() => {
                out.extend_from_slice(ryu::Buffer::new().format_finite(a.value(row)).as_bytes());
            }
            Values::Double(a) if a.value(row).is_finite() => {
                out.extend_from_slice(ryu::Buffer::new().format_finite(a.value(row)).as_bytes());
            }
            Values::List(range, items) => {
                let (start, end) = range(row);
                out.push(b'[');
                for i in start..end {
                    separate(i > start, out);
                    items.write_json(i, out)?;
                }
                out.push(b']');
            }
            Values::Map(a, keys, values) => {
                let (start, end) = (a.value_offsets()[row] as usize, a.value_offsets()[row + 1] as usize);
                out.push(b'{');
                let mut key = String::new();
                for i in start..end {
                    separate(i > start, out);
                    key.clear();
                    keys.write_nested(i, &mut key)?;
                    write_json_text(&key, out)?;
                    out.push(b':');
                    values.write_json(i, out)?;
                }
                out.push(b'}');
            }
            Values::Row(fields, columns) => {
                out.push(b'{');
                for (i, column) in columns.iter().enumerate() {
                    separate(i > 0, out);
                    write_json_text(fields[i].name(), out)?;
                    out.push(b':');
                    column.write_json(row, out)?;
                }
                out.push(b'}');
            }
            Values::Dictionary(key, dictionary) => dictionary.write_json(key(row), out)?,
            Values::Bytes(get) => {
                use base64::Engine;
                let text = base64::engine::general_purpose::STANDARD.encode(get(row));
                write_json_text(&text, out)?;
            }
            Values::Timestamp(get, unit, Some(_)) => {
                let mut text = String::new();
                write_timestamp(get(row), *unit, None, &mut text);
                text.push('Z');
                write_json_text(&text, out)?;
            }
            _ => {
                let mut text = String::new();
                self.write(row, &mut text)?;
                write_json_text(&text, out)?;
            }
        }
        Ok(())
    }
}

/// Appends a JSON string.
pub fn write_json_text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text).map_err(|e| crate::error::Error::internal(e.to_string()))
}

fn separate(needed: bool, out: &mut Vec<u8>) {
    if needed {
        out.push(b',');
    }
}

/// Writing into a `String` cannot fail.
fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

type Get<'a, T> = Box<dyn Fn(usize) -> T + 'a>;

fn native<'a, P: ArrowPrimitiveType, T: From<P::Native> + 'a>(array: &'a dyn Array) -> Get<'a, T> {
    let array = array.as_primitive::<P>();
    Box::new(move |row| array.value(row).into())
}

fn scaled<'a, P: ArrowPrimitiveType>(array: &'a dyn Array, factor: i64) -> Get<'a, i64>
where
    P::Native: Into<i64>,
{
    let array = array.as_primitive::<P>();
    Box::new(move |row| array.value(row).into().saturating_mul(factor))
}

fn nanos<'a, P: ArrowPrimitiveType<Native = i64>>(array: &'a dyn Array, factor: i128) -> Values<'a> {
    let array = array.as_primitive::<P>();
    Values::DayTime(Box::new(move |row| (0, i128::from(array.value(row)) * factor)))
}

fn keys<'a, K: arrow::datatypes::ArrowDictionaryKeyType>(array: &'a dyn Array) -> Result<Values<'a>> {
    let array = array.as_dictionary::<K>();
    let values = Box::new(TextColumn::new(&**array.values())?);
    Ok(Values::Dictionary(Box::new(move |row| array.keys().value(row).as_usize()), values))
}

fn values<'a>(a: &'a dyn Array) -> Result<Values<'a>> {
    Ok(match a.data_type() {
        DataType::Null => Values::Null,
        DataType::Boolean => Values::Boolean(a.as_boolean()),
        DataType::Int8 => Values::Integer(native::<Int8Type, _>(a)),
        DataType::Int16 => Values::Integer(native::<Int16Type, _>(a)),
        DataType::Int32 => Values::Integer(native::<Int32Type, _>(a)),
        DataType::Int64 => Values::Integer(native::<Int64Type, _>(a)),
        DataType::UInt8 => Values::Integer(native::<UInt8Type, _>(a)),
        DataType::UInt16 => Values::Integer(native::<UInt16Type, _>(a)),
        DataType::UInt32 => Values::Integer(native::<UInt32Type, _>(a)),
        DataType::UInt64 => Values::Integer(native::<UInt64Type, _>(a)),
        DataType::Float32 => Values::Float(a.as_primitive()),
        DataType::Float64 => Values::Double(a.as_primitive()),
        DataType::Utf8 => Values::Text(Box::new(|row| a.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Values::Text(Box::new(|row| a.as_string::<i64>().value(row))),
        DataType::Utf8View => {
            let a = a.as_string_view();
            Values::Text(Box::new(move |row| a.value(row)))
        }
        DataType::Binary => Values::Bytes(Box::new(|row| a.as_binary::<i32>().value(row))),
        DataType::LargeBinary => Values::Bytes(Box::new(|row| a.as_binary::<i64>().value(row))),
        DataType::BinaryView => Values::Bytes(Box::new(|row| a.as_binary_view().value(row))),
        DataType::FixedSizeBinary(_) => Values::Bytes(Box::new(|row| a.as_fixed_size_binary().value(row))),
        DataType::Decimal32(..) => {
            Values::Decimal(Box::new(|row| a.as_primitive::<Decimal32Type>().value_as_string(row)))
        }
        DataType::Decimal64(..) => {
            Values::Decimal(Box::new(|row| a.as_primitive::<Decimal64Type>().value_as_string(row)))
        }
        DataType::Decimal128(..) => {
            Values::Decimal(Box::new(|row| a.as_primitive::<Decimal128Type>().value_as_string(row)))
        }
        DataType::Decimal256(..) => {
            Values::Decimal(Box::new(|row| a.as_primitive::<Decimal256Type>().value_as_string(row)))
        }
        DataType::Date32 => Values::Date(native::<Date32Type, _>(a)),
        DataType::Date64 => {
            let a = a.as_primitive::<Date64Type>();
            Values::Date(Box::new(|row| a.value(row).div_euclid(86_400_000)))
        }
        DataType::Time32(TimeUnit::Second) => Values::Time(scaled::<Time32SecondType>(a, 1_000_000_000)),
        DataType::Time32(_) => Values::Time(scaled::<Time32MillisecondType>(a, 1_000_000)),
        DataType::Time64(TimeUnit::Microsecond) => Values::Time(scaled::<Time64MicrosecondType>(a, 1_000)),
        DataType::Time64(_) => Values::Time(scaled::<Time64NanosecondType>(a, 1)),
        DataType::Timestamp(unit, zone) => {
            let get: Get<'a, i64> = match unit {
                TimeUnit::Second => native::<TimestampSecondType, _>(a),
                TimeUnit::Millisecond => native::<TimestampMillisecondType, _>(a),
                TimeUnit::Microsecond => native::<TimestampMicrosecondType, _>(a),
                TimeUnit::Nanosecond => native::<TimestampNanosecondType, _>(a),
            };
            let zone = zone.as_deref().map(str::parse::<Tz>).transpose()?;
            Values::Timestamp(get, *unit, zone)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Values::YearMonth(a.as_primitive::<IntervalYearMonthType>())
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let a = a.as_primitive::<IntervalDayTimeType>();
            Values::DayTime(Box::new(|row| {
                let v = a.value(row);
                (0, i128::from(v.days) * DAY + i128::from(v.milliseconds) * 1_000_000)
            }))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let a = a.as_primitive::<IntervalMonthDayNanoType>();
            Values::DayTime(Box::new(|row| {
                let v = a.value(row);
                (v.months, i128::from(v.days) * DAY + i128::from(v.nanoseconds))
            }))
        }
        DataType::Duration(TimeUnit::Second) => nanos::<DurationSecondType>(a, 1_000_000_000),
        DataType::Duration(TimeUnit::Millisecond) => nanos::<DurationMillisecondType>(a, 1_000_000),
        DataType::Duration(TimeUnit::Microsecond) => nanos::<DurationMicrosecondType>(a, 1_000),
        DataType::Duration(TimeUnit::Nanosecond) => nanos::<DurationNanosecondType>(a, 1),
        DataType::List(_) => {
            let list = a.as_list::<i32>();
            let offsets = list.value_offsets();
            let range = Box::new(|row: usize| (offsets[row] as usize, offsets[row + 1] as usize));
            Values::List(range, Box::new(TextColumn::new(&**list.values())?))
        }
        DataType::LargeList(_) => {
            let list = a.as_list::<i64>();
            let offsets = list.value_offsets();
            let range = Box::new(|row: usize| (offsets[row] as usize, offsets[row + 1] as usize));
            Values::List(range, Box::new(TextColumn::new(&**list.values())?))
        }
        DataType::FixedSizeList(_, size) => {
            let list = a.as_fixed_size_list();
            let size = *size as usize;
            let range = Box::new(move |row: usize| (row * size, (row + 1) * size));
            Values::List(range, Box::new(TextColumn::new(&**list.values())?))
        }
        DataType::Map(..) => {
            let map = a.as_map();
            let keys = Box::new(TextColumn::new(&**map.keys())?);
            Values::Map(map, keys, Box::new(TextColumn::new(&**map.values())?))
        }
        DataType::Struct(fields) => {
            let columns = a.as_struct().columns().iter().map(|c| TextColumn::new(&**c));
            Values::Row(fields, columns.collect::<Result<_>>()?)
        }
        DataType::Dictionary(key, _) => match &**key {
            DataType::Int8 => keys::<Int8Type>(a)?,
            DataType::Int16 => keys::<Int16Type>(a)?,
            DataType::Int64 => keys::<Int64Type>(a)?,
            DataType::UInt8 => keys::<UInt8Type>(a)?,
            DataType::UInt16 => keys::<UInt16Type>(a)?,
            DataType::UInt32 => keys::<UInt32Type>(a)?,
            DataType::UInt64 => keys::<UInt64Type>(a)?,
            _ => keys::<Int32Type>(a)?,
        },
        _ => {
            static OPTIONS: FormatOptions<'static> = FormatOptions::new();
            Values::Other(ArrayFormatter::try_new(a, &OPTIONS)?)
        }
    })
}

const DAY: i128 = 86_400_000_000_000;

fn write_many(
    open: char,
    close: char,
    range: std::ops::Range<usize>,
    out: &mut String,
    mut item: impl FnMut(usize, &mut String) -> Result<()>,
) -> Result<()> {
    out.push(open);
    for i in range.clone() {
        if i > range.start {
            out.push_str(", ");
        }
        item(i, out)?;
    }
    out.push(close);
    Ok(())
}

/// As Java writes it: plain from 0.001 to ten million, else with an exponent. `shortest` has the
/// fewest digits that give the same number back, in the form `d.ddde-5`.
fn write_float(value: f64, shortest: &str, out: &mut String) {
    if !value.is_finite() {
        let text = if value.is_nan() { "NaN" } else { "Infinity" };
        put(out, format_args!("{}{text}", if value < 0.0 { "-" } else { "" }));
        return;
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.push_str(sign);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if value != 0.0 && !(-3..7).contains(&exponent) {
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        put(out, format_args!("{whole}.{fraction}E{exponent}"));
        return;
    }
    let digits = format!("{whole}{fraction}");
    if exponent < 0 {
        put(out, format_args!("0.{}{digits}", "0".repeat((-exponent - 1) as usize)));
        return;
    }
    let point = exponent as usize + 1;
    for i in 0..point {
        out.push_str(digits.get(i..=i).unwrap_or("0"));
    }
    out.push('.');
    out.push_str(digits.get(point..).filter(|rest| !rest.is_empty()).unwrap_or("0"));
}

fn write_date(days: i64, out: &mut String) {
    match days.checked_mul(86_400).and_then(|s| DateTime::from_timestamp(s, 0)) {
        Some(date) => write_day(&date.naive_utc(), out),
        None => put(out, format_args!("{days} days since 1970-01-01")),
    }
}

fn write_day(date: &NaiveDateTime, out: &mut String) {
    put(out, format_args!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()));
}

/// `digits` of the fraction, at least; more when they are not zero.
fn write_time(nanos: i64, digits: usize, out: &mut String) {
    let seconds = nanos / 1_000_000_000;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let fraction = format!("{:09}", nanos % 1_000_000_000);
    let significant = fraction.trim_end_matches('0').len().next_multiple_of(3);
    if significant.max(digits) > 0 {
        put(out, format_args!(".{}", &fraction[..significant.max(digits)]));
    }
}

fn write_timestamp(value: i64, unit: TimeUnit, zone: Option<&Tz>, out: &mut String) {
    let (per_second, digits) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let fraction = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let Some(utc) = DateTime::from_timestamp(value.div_euclid(per_second), fraction as u32) else {
        put(out, format_args!("{value} {unit:?}s since 1970-01-01"));
        return;
    };
    let local = match zone {
        Some(zone) => utc.with_timezone(zone).naive_local(),
        None => utc.naive_utc(),
    };
    write_day(&local, out);
    out.push(' ');
    let nanos = i64::from(local.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(local.nanosecond());
    write_time(nanos, digits, out);
}

fn write_year_month(months: i32, out: &mut String) {
    let sign = if months < 0 { '-' } else { '+' };
    let months = months.unsigned_abs();
    put(out, format_args!("{sign}{}-{:02}", months / 12, months % 12));
}

fn write_day_time(nanos: i128, out: &mut String) {
    let sign = if nanos < 0 { '-' } else { '+' };
    let nanos = nanos.abs();
    put(out, format_args!("{sign}{} ", nanos / DAY));
    write_time((nanos % DAY) as i64, 3, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, IntervalMonthDayNano, i256};

    use super::*;

    fn texts(array: &dyn Array) -> Vec<String> {
        let column = TextColumn::new(array).unwrap();
        let one = |row| {
            let mut out = String::new();
            column.write_nested(row, &mut out).unwrap();
            out
        };
        (0..array.len()).map(one).collect()
    }

    fn json(array: &dyn Array, row: usize) -> String {
        let mut out = Vec::new();
        TextColumn::new(array).unwrap().write_json(row, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        assert_eq!(texts(&Int8Array::from(vec![Some(-1), None])), ["-1", "NULL"]);
        assert_eq!(texts(&UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
        assert_eq!(texts(&BooleanArray::from(vec![true, false])), ["TRUE", "FALSE"]);
        let decimals = Decimal128Array::from(vec![12345, -5]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(texts(&decimals), ["123.45", "-0.05"]);
        let wide = Decimal256Array::from(vec![i256::from_i128(7)]).with_precision_and_scale(50, 1).unwrap();
        assert_eq!(texts(&wide), ["0.7"]);
    }

    #[test]
    fn floats_as_java_writes_them() {
        let values = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (21.5, "21.5"),
            (100.0, "100.0"),
            (1234567.25, "1234567.25"),
            (9999999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-1.25e10, "-1.25E10"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.000999, "9.99E-4"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        let array = Float64Array::from_iter_values(values.map(|(v, _)| v));
        assert_eq!(texts(&array), values.map(|(_, t)| t));
        assert_eq!(texts(&Float32Array::from(vec![0.1f32])), ["0.1"]);
        assert_eq!(json(&Float64Array::from(vec![1e20]), 0), "1e20");
        assert_eq!(json(&Float64Array::from(vec![f64::NAN]), 0), "\"NaN\"");
    }

    #[test]
    fn times() {
        assert_eq!(texts(&Date32Array::from(vec![18262, -1])), ["2020-01-01", "1969-12-31"]);
        assert_eq!(texts(&Date32Array::from(vec![i32::MAX])), ["2147483647 days since 1970-01-01"]);
        assert_eq!(
            texts(&Time32MillisecondArray::from(vec![36_930_000, 36_930_123])),
            ["10:15:30", "10:15:30.123"]
        );
        let t = 1_577_873_730_123;
        assert_eq!(
            texts(&TimestampMillisecondArray::from(vec![t, -1])),
            ["2020-01-01 10:15:30.123", "1969-12-31 23:59:59.999"]
        );
        assert_eq!(texts(&TimestampSecondArray::from(vec![0])), ["1970-01-01 00:00:00"]);
        assert_eq!(texts(&TimestampNanosecondArray::from(vec![1])), ["1970-01-01 00:00:00.000000001"]);
        let berlin = TimestampMillisecondArray::from(vec![t]).with_timezone("Europe/Berlin");
        assert_eq!(texts(&berlin), ["2020-01-01 11:15:30.123"]);
        assert_eq!(json(&berlin, 0), "\"2020-01-01 10:15:30.123Z\"");
        assert!(texts(&TimestampSecondArray::from(vec![i64::MAX]))[0].starts_with("9223372036854775807 "));
    }

    #[test]
    fn intervals() {
        assert_eq!(texts(&IntervalYearMonthArray::from(vec![14, -1])), ["+1-02", "-0-01"]);
        let both = IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(0, 1, 7_384_567_000_000),
            IntervalMonthDayNano::new(0, 0, -1_000_000),
            IntervalMonthDayNano::new(13, 1, 0),
        ]);
        assert_eq!(texts(&both), ["+1 02:03:04.567", "-0 00:00:00.001", "+1-01 +1 00:00:00.000"]);
    }

    #[test]
    fn nested() {
        let items = Int32Array::from(vec![Some(1), None, Some(3)]);
        let field = Arc::new(Field::new("item", DataType::Int32, true));
        let list = ListArray::new(field, OffsetBuffer::new(vec![0, 2, 2, 3].into()), Arc::new(items), None);
        assert_eq!(texts(&list), ["[1, NULL]", "[]", "[3]"]);
        assert_eq!(json(&list, 0), "[1,null]");
        assert_eq!(texts(&list.slice(2, 1)), ["[3]"]);

        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("a\"");
        map.values().append_value(1);
        map.keys().append_value("b");
        map.values().append_null();
        map.append(true).unwrap();
        let map = map.finish();
        assert_eq!(texts(&map), ["{a\"=1, b=NULL}"]);
        assert_eq!(json(&map, 0), r#"{"a\"":1,"b":null}"#);

        let row = StructArray::from(vec![
            (
                Arc::new(Field::new("x", DataType::Utf8View, true)),
                Arc::new(StringViewArray::from(vec![Some("v"), None])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("y", DataType::BinaryView, true)),
                Arc::new(BinaryViewArray::from(vec![Some(&b"\x00\xff"[..]), Some(b"")])) as ArrayRef,
            ),
        ]);
        assert_eq!(texts(&row), ["(v, 00ff)", "(NULL, )"]);
        assert_eq!(json(&row, 0), r#"{"x":"v","y":"AP8="}"#);

        let words: DictionaryArray<Int32Type> = vec![Some("p"), None, Some("p")].into_iter().collect();
        assert_eq!(texts(&words), ["p", "NULL", "p"]);
        assert_eq!(texts(&NullArray::new(1)), ["NULL"]);
    }
}
