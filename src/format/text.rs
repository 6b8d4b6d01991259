//! Values as text: what the csv format and the print connector write.
//!
//! A column is looked at once a chunk ([`Cells::new`]); writing a value is then a match on an enum that
//! appends bytes, without an allocation or a lookup of types by row.

use std::io::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, IntervalYearMonthArray,
    StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use base64::Engine;

use crate::error::{Error, Result};

/// How values look.
#[derive(Debug, Clone)]
pub(crate) enum Style {
    /// As Flink's csv format writes fields: `2020-01-01 00:00:00.5Z`, bytes in base64, elements of an
    /// array separated by the string.
    Csv {
        /// Between elements.
        element_separator: String,
        /// For a NULL element.
        null: String,
        /// Decimals without trailing zeros: 100 as `1E+2`.
        strip_decimals: bool,
    },
    /// As Flink's print connector shows rows: `2020-01-01T00:00:00.500Z`, `[1, 2]`, `{k=v}`, `null`.
    Print,
}

/// A column that is ready to be written value by value.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringViewArray),
    Binary(&'a BinaryViewArray),
    Date(&'a [i32]),
    TimeMillis(&'a [i32]),
    Timestamp { values: &'a [i64], per_second: i64, zoned: bool },
    Months(&'a IntervalYearMonthArray),
    Interval(&'a IntervalMonthDayNanoArray),
    List { offsets: &'a [i32], items: Box<Cells<'a>> },
    Map { offsets: &'a [i32], keys: Box<Cells<'a>>, values: Box<Cells<'a>> },
    Row(Vec<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// Looks at a column. Types outside of the dialect's own are an error (see [`plain`]).
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, _) => Values::Decimal(array.as_primitive()),
            DataType::Utf8View => Values::Text(array.as_string_view()),
            DataType::BinaryView => Values::Binary(array.as_binary_view()),
            DataType::Date32 => Values::Date(array.as_primitive::<arrow::datatypes::Date32Type>().values()),
            DataType::Time32(TimeUnit::Millisecond) => {
                Values::TimeMillis(array.as_primitive::<arrow::datatypes::Time32MillisecondType>().values())
            }
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                };
                Values::Timestamp { values, per_second: per_second(unit), zoned: zone.is_some() }
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                Values::Months(array.as_primitive::<IntervalYearMonthType>())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Values::Interval(array.as_primitive::<IntervalMonthDayNanoType>())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List { offsets: list.offsets(), items: Box::new(Self::new(list.values().as_ref())?) }
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                Values::Map {
                    offsets: map.offsets(),
                    keys: Box::new(Self::new(map.keys().as_ref())?),
                    values: Box::new(Self::new(map.values().as_ref())?),
                }
            }
            DataType::Struct(_) => Values::Row(
                array.as_struct().columns().iter().map(|c| Self::new(c.as_ref())).collect::<Result<_>>()?,
            ),
            other => {
                return Err(Error::unsupported(format!("values of type {other} cannot be written as text")));
            }
        };
        Ok(Self { nulls: array.nulls(), values })
    }

    /// Whether the value is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|n| n.is_null(row))
    }

    /// Whether a value is written as text, and not as a number, a boolean or bytes.
    pub(crate) fn is_worded(&self) -> bool {
        !matches!(
            self.values,
            Values::Null
                | Values::Boolean(_)
                | Values::Int8(_)
                | Values::Int16(_)
                | Values::Int32(_)
                | Values::Int64(_)
                | Values::Float32(_)
                | Values::Float64(_)
                | Values::Decimal(_)
                | Values::Binary(_)
                | Values::Months(_)
                | Values::Interval(_)
        )
    }

    /// How many elements a value has that are separated by the style's separator, and are no such values themselves.
    pub(crate) fn elements_of(&self, row: usize) -> Option<usize> {
        let is_nested =
            |cells: &Self| matches!(cells.values, Values::List { .. } | Values::Map { .. } | Values::Row(_));
        match &self.values {
            Values::List { offsets, items } if !is_nested(items) => {
                Some((offsets[row + 1] - offsets[row]) as usize)
            }
            Values::Row(fields) if !fields.iter().any(is_nested) => Some(fields.len()),
            _ => None,
        }
    }

    /// The text of a string column, without a copy.
    pub(crate) fn as_text(&self, row: usize) -> Option<&'a str> {
        match self.values {
            Values::Text(texts) => Some(texts.value(row)),
            _ => None,
        }
    }

    /// Appends a value that is not NULL.
    pub(crate) fn write(&self, row: usize, style: &Style, out: &mut Vec<u8>) {
        let iso = matches!(style, Style::Print);
        match &self.values {
            Values::Null => {}
            Values::Boolean(v) => out.extend_from_slice(if v.value(row) { b"true" } else { b"false" }),
            Values::Int8(v) => integer(v.value(row), out),
            Values::Int16(v) => integer(v.value(row), out),
            Values::Int32(v) => integer(v.value(row), out),
            Values::Int64(v) => integer(v.value(row), out),
            Values::Float32(v) => float(v.value(row), f64::from(v.value(row)), out),
            Values::Float64(v) => float(v.value(row), v.value(row), out),
            Values::Decimal(v) if matches!(style, Style::Csv { strip_decimals: true, .. }) => {
                super::json::convert::write_stripped_decimal(v.value(row), v.scale(), false, out);
            }
            Values::Decimal(v) => decimal(v.value(row), v.scale(), out),
            Values::Text(v) => out.extend_from_slice(v.value(row).as_bytes()),
            Values::Binary(v) if iso => {
                sequence(b'[', b']', v.value(row).iter().map(|&b| b as i8), out, integer);
            }
            Values::Binary(v) => {
                let text = base64::engine::general_purpose::STANDARD.encode(v.value(row));
                out.extend_from_slice(text.as_bytes());
            }
            Values::Date(v) => date(i64::from(v[row]), out),
            Values::TimeMillis(v) => time(i64::from(v[row]) * 1_000_000, iso, false, out),
            Values::Timestamp { values, per_second, zoned } => {
                timestamp(values[row], *per_second, *zoned, iso, out);
            }
            Values::Months(v) => integer(v.value(row), out),
            Values::Interval(v) => {
                let i = v.value(row);
                let millis = i64::from(i.months) * 30 * 86_400_000
                    + i64::from(i.days) * 86_400_000
                    + i.nanoseconds / 1_000_000;
                integer(millis, out);
            }
            Values::List { offsets, items } => {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                self.elements(range, style, out, |i, out| items.write_or_null(i, style, out));
            }
            Values::Map { offsets, keys, values } => {
                out.push(b'{');
                for (n, i) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b", ");
                    }
                    keys.write_or_null(i, style, out);
                    out.push(b'=');
                    values.write_or_null(i, style, out);
                }
                out.push(b'}');
            }
            Values::Row(fields) => {
                if iso {
                    out.extend_from_slice(b"+I");
                }
                self.elements(0..fields.len(), style, out, |i, out| fields[i].write_or_null(row, style, out));
            }
        }
    }

    fn elements(
        &self,
        range: std::ops::Range<usize>,
        style: &Style,
        out: &mut Vec<u8>,
        mut write: impl FnMut(usize, &mut Vec<u8>),
    ) {
        match style {
            Style::Print => sequence(b'[', b']', range, out, |i, out| write(i, out)),
            Style::Csv { element_separator, .. } => {
                for (n, i) in range.enumerate() {
                    if n > 0 {
                        out.extend_from_slice(element_separator.as_bytes());
                    }
                    write(i, out);
                }
            }
        }
    }

    /// Appends a value, NULL in the style's form.
    pub(crate) fn write_or_null(&self, row: usize, style: &Style, out: &mut Vec<u8>) {
        match (self.is_null(row), style) {
            (false, _) => self.write(row, style, out),
            (true, Style::Print) => out.extend_from_slice(b"null"),
            (true, Style::Csv { null, .. }) => out.extend_from_slice(null.as_bytes()),
        }
    }
}

/// The array in one of the types that [`Cells`] takes: other encodings of text and bytes become views.
pub(crate) fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let target = match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        _ => return Ok(array.clone()),
    };
    plain(&arrow::compute::cast(array, &target)?)
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn sequence<T>(
    open: u8,
    close: u8,
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(open);
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.extend_from_slice(b", ");
        }
        write(item, out);
    }
    out.push(close);
}

fn integer<T: itoa::Integer>(value: T, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The form of Java's `Double.toString`: plain from 0.001 up to 10,000,000, else `1.5E10`; always with a
/// fraction.
fn float<F: ryu::Float>(value: F, wide: f64, out: &mut Vec<u8>) {
    if wide.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if wide.is_infinite() {
        return out.extend_from_slice(if wide > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let magnitude = wide.abs();
    if wide == 0.0 || ((1e-3..1e7).contains(&magnitude) && !text.contains('e')) {
        return out.extend_from_slice(text.as_bytes());
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |t| ("-", t));
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.bytes().take_while(|&b| b == b'0').count().min(all.len().saturating_sub(1));
    let significant = all[leading..].trim_end_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    // The decimal point stands behind `point` digits of `significant`.
    let point = whole.len() as i32 - leading as i32 + exponent;
    out.extend_from_slice(sign.as_bytes());
    if (1e-3..1e7).contains(&magnitude) {
        let digits = significant.len() as i32;
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', -point as usize));
            out.extend_from_slice(significant.as_bytes());
        } else if point >= digits {
            out.extend_from_slice(significant.as_bytes());
            out.extend(std::iter::repeat_n(b'0', (point - digits) as usize));
            out.extend_from_slice(b".0");
        } else {
            let (left, right) = significant.split_at(point as usize);
            out.extend_from_slice(left.as_bytes());
            out.push(b'.');
            out.extend_from_slice(right.as_bytes());
        }
    } else {
        let (first, rest) = significant.split_at(1);
        out.extend_from_slice(first.as_bytes());
        out.push(b'.');
        out.extend_from_slice(if rest.is_empty() { b"0" } else { rest.as_bytes() });
        out.push(b'E');
        integer(point - 1, out);
    }
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if value != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    }
    let scale = scale as usize;
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => {
            out.extend_from_slice(&digits.as_bytes()[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits.as_bytes()[whole..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
            out.extend_from_slice(digits.as_bytes());
        }
    }
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar; the algorithm is
/// Howard Hinnant's `civil_from_days`.
pub(crate) fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        two((year / 100) as u32, out);
        two((year % 100) as u32, out);
    } else {
        if year > 0 {
            out.push(b'+');
        }
        // Writing into a vector does not fail.
        let _ = write!(out, "{year:05}");
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

fn two(value: u32, out: &mut Vec<u8>) {
    out.push(b'0' + (value / 10 % 10) as u8);
    out.push(b'0' + (value % 10) as u8);
}

/// Time of day. The csv form drops zeros at the end of the fraction; Java's (`iso`) writes the fraction in
/// groups of three digits, and leaves out seconds that are zero unless `seconds` asks for them.
fn time(nanos: i64, iso: bool, seconds: bool, out: &mut Vec<u8>) {
    let (second, fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    two((second / 3600) as u32, out);
    out.push(b':');
    two((second / 60 % 60) as u32, out);
    if iso && !seconds && second % 60 == 0 && fraction == 0 {
        return;
    }
    out.push(b':');
    two((second % 60) as u32, out);
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    let mut rest = fraction;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let significant = 9 - digits.iter().rev().take_while(|&&d| d == b'0').count();
    let length = if iso { significant.div_ceil(3) * 3 } else { significant };
    out.push(b'.');
    out.extend_from_slice(&digits[..length]);
}

fn timestamp(value: i64, per_second: i64, zoned: bool, iso: bool, out: &mut Vec<u8>) {
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    date(seconds.div_euclid(86_400), out);
    out.push(if iso { b'T' } else { b' ' });
    let nanos = seconds.rem_euclid(86_400) * 1_000_000_000 + fraction * (1_000_000_000 / per_second);
    time(nanos, iso, zoned, out);
    if zoned {
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn shown(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_javas() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.00015, "1.5E-4"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (123_456_789.25, "1.2345678925E8"),
            (1e300, "1.0E300"),
            (5e-324, "5.0E-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(shown(|out| float(value, value, out)), text);
        }
        assert_eq!(shown(|out| float(0.1f32, f64::from(0.1f32), out)), "0.1");
    }

    proptest! {
        #[test]
        fn a_float_reads_back_as_itself(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(shown(|out| float(value, value, out)).parse::<f64>().unwrap(), value);
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(shown(|out| decimal(-5, 2, out)), "-0.05");
        assert_eq!(shown(|out| decimal(12345, 2, out)), "123.45");
        assert_eq!(shown(|out| decimal(0, 3, out)), "0.000");
        assert_eq!(shown(|out| decimal(7, -2, out)), "700");
        assert_eq!(shown(|out| decimal(i128::MIN, 0, out)), i128::MIN.to_string());
    }

    #[test]
    fn instants_have_two_forms() {
        let csv = |v, zoned| shown(|out| timestamp(v, 1000, zoned, false, out));
        let iso = |v, zoned| shown(|out| timestamp(v, 1000, zoned, true, out));
        assert_eq!(csv(1_577_836_800_500, true), "2020-01-01 00:00:00.5Z");
        assert_eq!(iso(1_577_836_800_500, true), "2020-01-01T00:00:00.500Z");
        assert_eq!(iso(1_577_836_800_000, false), "2020-01-01T00:00");
        assert_eq!(iso(1_577_836_800_000, true), "2020-01-01T00:00:00Z");
        assert_eq!(csv(-1, false), "1969-12-31 23:59:59.999");
        assert_eq!(shown(|out| date(-719_529, out)), "-0001-12-31");
    }
}
