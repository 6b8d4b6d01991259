//! Text → columns: one pass a column, straight into its builder.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::builder::{BinaryViewBuilder, BooleanBuilder, PrimitiveBuilder, StringViewBuilder};
use arrow::array::{ArrayRef, ListArray, StructArray, new_empty_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use base64::Engine;

use crate::error::{Error, Result};
use crate::sql::SqlType;

/// A value that does not fit: which of the texts, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit {
    pub(crate) index: usize,
    pub(crate) reason: String,
}

/// How nested values are cut and NULL is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nesting {
    pub(crate) separator: String,
    pub(crate) null: Option<String>,
    /// What a number or a time would lose is a misfit.
    pub(crate) strict: bool,
}

impl Nesting {
    /// NULL, or the text. An empty text is NULL for everything but strings and bytes.
    fn value<'t>(&self, text: &'t str, data_type: &DataType) -> Option<&'t str> {
        match &self.null {
            Some(null) if null == text => None,
            _ if text.is_empty() && !keeps_empty(data_type) => None,
            _ => Some(text),
        }
    }
}

/// Whether an empty text is a value of the type, and not NULL.
pub(crate) fn keeps_empty(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView)
}

/// Refuses what a csv field cannot hold.
pub(crate) fn check_type(column: &str, data_type: &DataType, nested: bool) -> Result<()> {
    let wrong = || {
        let name = SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |t| t.to_string());
        Error::unsupported(format!("column '{column}': format 'csv' cannot hold {name}"))
            .with_hint("an ARRAY or ROW of plain values fits; for deeper nesting use 'format' = 'json'")
    };
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Utf8View
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Time32(TimeUnit::Millisecond)
        | DataType::Timestamp(_, _)
        | DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => Ok(()),
        DataType::List(item) if !nested => check_type(column, item.data_type(), true).map_err(|_| wrong()),
        DataType::Struct(fields) if !nested => {
            fields.iter().try_for_each(|f| check_type(column, f.data_type(), true)).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// Parses texts (`None`: NULL) into a column. With `misfits`, what does not fit becomes NULL and is counted there.
pub(crate) fn parse_column(
    data_type: &DataType,
    texts: &[Option<&str>],
    nesting: &Nesting,
    misfits: Option<&Cell<u64>>,
) -> Result<ArrayRef, Misfit> {
    let column = Column { texts, misfits };
    let number = |t: &str| !(nesting.strict && is_code(t));
    let lenient = || misfits.map(|n| n.set(n.get() + 1)).is_some();
    match data_type {
        DataType::Utf8View => {
            let mut builder = StringViewBuilder::with_capacity(texts.len());
            texts.iter().for_each(|t| builder.append_option(*t));
            Ok(Arc::new(builder.finish()))
        }
        DataType::BinaryView => {
            let mut builder = BinaryViewBuilder::with_capacity(texts.len());
            let mut bytes = Vec::new();
            for (index, text) in texts.iter().enumerate() {
                let Some(text) = text else {
                    builder.append_null();
                    continue;
                };
                bytes.clear();
                match base64::engine::general_purpose::STANDARD.decode_vec(text.trim(), &mut bytes) {
                    Ok(()) => builder.append_value(&bytes),
                    Err(_) if lenient() => builder.append_null(),
                    Err(_) => return Err(misfit(index, text, "base64")),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                match text.map(|t| (t, boolean(t.trim()))) {
                    None => builder.append_null(),
                    Some((_, Some(value))) => builder.append_value(value),
                    Some(_) if lenient() => builder.append_null(),
                    Some((text, None)) => return Err(misfit(index, text, "a BOOLEAN (true or false)")),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Int8 => {
            column.primitive::<Int8Type>(data_type, "a TINYINT", |t| t.parse().ok().filter(|_| number(t)))
        }
        DataType::Int16 => {
            column.primitive::<Int16Type>(data_type, "a SMALLINT", |t| t.parse().ok().filter(|_| number(t)))
        }
        DataType::Int32 => {
            column.primitive::<Int32Type>(data_type, "an INT", |t| t.parse().ok().filter(|_| number(t)))
        }
        DataType::Int64 => {
            column.primitive::<Int64Type>(data_type, "a BIGINT", |t| t.parse().ok().filter(|_| number(t)))
        }
        DataType::Float32 => column.primitive::<Float32Type>(data_type, "a FLOAT", |t| {
            fast_float2::parse(t).ok().filter(|_| number(t))
        }),
        DataType::Float64 => column.primitive::<Float64Type>(data_type, "a DOUBLE", |t| {
            fast_float2::parse(t).ok().filter(|_| number(t))
        }),
        DataType::Decimal128(p, s) => {
            column.primitive::<Decimal128Type>(data_type, &format!("a DECIMAL({p}, {s})"), |t| {
                decimal(t, *p, *s).filter(|_| number(t))
            })
        }
        DataType::Date32 => column.primitive::<Date32Type>(data_type, "a DATE (2020-01-31)", |t| {
            date(t.as_bytes()).filter(|(_, rest)| rest.is_empty()).and_then(|(d, _)| i32::try_from(d).ok())
        }),
        DataType::Time32(_) => {
            column.primitive::<Time32MillisecondType>(data_type, "a TIME (12:30:00)", |t| {
                let (nanos, rest) = time(t.as_bytes())?;
                let cut = nesting.strict && nanos % 1_000_000 != 0;
                (rest.is_empty() && !cut).then_some((nanos / 1_000_000) as i32)
            })
        }
        DataType::Interval(_) => {
            column.primitive::<IntervalYearMonthType>(data_type, "a number of months", |t| t.parse().ok())
        }
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            let what = if zoned {
                "a TIMESTAMP_LTZ (2020-01-31 12:30:00Z: with Z or an offset)"
            } else {
                "a TIMESTAMP (2020-01-31 12:30:00, without a zone)"
            };
            let instant = |t: &[u8], per_second: i64, zoned: bool| {
                let cut = || nesting.strict && fraction_of(t) % (1_000_000_000 / per_second) != 0;
                instant(t, per_second, zoned).filter(|_| !cut())
            };
            match unit {
                TimeUnit::Second => column
                    .primitive::<TimestampSecondType>(data_type, what, |t| instant(t.as_bytes(), 1, zoned)),
                TimeUnit::Millisecond => column.primitive::<TimestampMillisecondType>(data_type, what, |t| {
                    instant(t.as_bytes(), 1_000, zoned)
                }),
                TimeUnit::Microsecond => column.primitive::<TimestampMicrosecondType>(data_type, what, |t| {
                    instant(t.as_bytes(), 1_000_000, zoned)
                }),
                TimeUnit::Nanosecond => column.primitive::<TimestampNanosecondType>(data_type, what, |t| {
                    instant(t.as_bytes(), 1_000_000_000, zoned)
                }),
            }
        }
        DataType::List(item) => {
            let mut lengths = Vec::with_capacity(texts.len());
            let (mut elements, mut owners) = (Vec::new(), Vec::new());
            for (index, text) in texts.iter().enumerate() {
                let before = elements.len();
                if let Some(text) = text.filter(|t| !t.is_empty()) {
                    for element in text.split(nesting.separator.as_str()) {
                        elements.push(nesting.value(element, item.data_type()));
                        owners.push(index);
                    }
                }
                lengths.push(elements.len() - before);
            }
            let values = parse_column(item.data_type(), &elements, nesting, misfits)
                .map_err(|m| Misfit { index: owners[m.index], reason: m.reason })?;
            let nulls: NullBuffer = texts.iter().map(Option::is_some).collect();
            let list =
                ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
            list.map(|l| Arc::new(l) as ArrayRef).map_err(|e| Misfit { index: 0, reason: e.to_string() })
        }
        DataType::Struct(fields) => {
            let mut children: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(texts.len()); fields.len()];
            let mut valid = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                let count = text.map_or(0, |t| t.split(nesting.separator.as_str()).count());
                let fits = text.is_some() && count == fields.len();
                if !fits && text.is_some() && !lenient() {
                    let reason = format!("{count} nested fields instead of {}", fields.len());
                    return Err(Misfit { index, reason });
                }
                valid.push(fits);
                let mut parts = text.filter(|_| fits).map(|t| t.split(nesting.separator.as_str()));
                for (child, field) in children.iter_mut().zip(fields) {
                    let part = parts.as_mut().and_then(Iterator::next);
                    child.push(part.and_then(|t| nesting.value(t, field.data_type())));
                }
            }
            let arrays = fields
                .iter()
                .zip(&children)
                .map(|(f, texts)| parse_column(f.data_type(), texts, nesting, misfits))
                .collect::<Result<Vec<_>, _>>()?;
            StructArray::try_new(fields.clone(), arrays, Some(NullBuffer::from(valid)))
                .map(|s| Arc::new(s) as ArrayRef)
                .map_err(|e| Misfit { index: 0, reason: e.to_string() })
        }
        // Refused by `check_type` when the decoder is made.
        other if texts.is_empty() => Ok(new_empty_array(other)),
        other if texts.iter().all(Option::is_none) => Ok(new_null_array(other, texts.len())),
        other => Err(Misfit { index: 0, reason: format!("values of type {other} cannot be read from text") }),
    }
}

struct Column<'a> {
    texts: &'a [Option<&'a str>],
    misfits: Option<&'a Cell<u64>>,
}

impl Column<'_> {
    fn primitive<T: ArrowPrimitiveType>(
        &self,
        data_type: &DataType,
        what: &str,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<ArrayRef, Misfit> {
        let mut builder =
            PrimitiveBuilder::<T>::with_capacity(self.texts.len()).with_data_type(data_type.clone());
        for (index, text) in self.texts.iter().enumerate() {
            let Some(text) = text else {
                builder.append_null();
                continue;
            };
            match parse(text.trim_ascii()) {
                Some(value) => builder.append_value(value),
                None if let Some(misfits) = self.misfits => {
                    misfits.set(misfits.get() + 1);
                    builder.append_null();
                }
                None => return Err(misfit(index, text, what)),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}

fn misfit(index: usize, text: &str, what: &str) -> Misfit {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    Misfit { index, reason: format!("'{shown}{dots}' is not {what}") }
}

/// Whether a text is digits that a number would lose something of: leading zeros, a plus before a whole number.
pub(crate) fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    zeros || digits.strip_prefix('+').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// Nanoseconds of the second that are written in a date and time of day.
fn fraction_of(bytes: &[u8]) -> i64 {
    let Some(point) = memchr::memchr(b'.', bytes) else { return 0 };
    let (value, n, _) = digits(&bytes[point + 1..], 9);
    value * 10i64.pow(9 - n as u32)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        t if t.eq_ignore_ascii_case("true") => Some(true),
        t if t.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A decimal in plain or scientific notation, rounded half up to the scale; `None` when it does not fit
/// the precision.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The value is 0.d1d2d3... times 10^point.
    let point = i64::from(exponent) + whole.len() as i64;
    let wanted = point + i64::from(scale);
    let mut value: i128 = 0;
    let mut seen: i64 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = i128::from(byte - b'0');
        if seen < wanted {
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else if seen == wanted && digit >= 5 {
            value = value.checked_add(1)?;
        }
        seen += 1;
    }
    while seen < wanted && value != 0 {
        value = value.checked_mul(10)?;
        seen += 1;
    }
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// Up to `max` digits at the start: their value, how many, the rest.
fn digits(bytes: &[u8], max: usize) -> (i64, usize, &[u8]) {
    let n = bytes.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
    let value = bytes[..n].iter().fold(0i64, |v, b| v * 10 + i64::from(b - b'0'));
    (value, n, &bytes[n..])
}

fn two(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, n, rest) = digits(bytes, 2);
    (n == 2).then_some((value, rest))
}

/// `2020-01-31` at the start: days since 1970-01-01 and the rest. The algorithm is Howard Hinnant's
/// `days_from_civil`.
pub(crate) fn date(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (year, n, rest) = digits(bytes, 4);
    if n != 4 {
        return None;
    }
    let (month, rest) = two(rest.strip_prefix(b"-")?)?;
    let (day, rest) = two(rest.strip_prefix(b"-")?)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468, rest))
}

/// `12:30[:00[.123]]` at the start: nanoseconds of the day and the rest.
pub(crate) fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = two(bytes)?;
    let (minute, rest) = two(rest.strip_prefix(b":")?)?;
    let (second, rest) = match rest.strip_prefix(b":") {
        Some(rest) => two(rest)?,
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Some((seconds * 1_000_000_000, rest));
    };
    let (value, n, rest) = digits(fraction, 9);
    if n == 0 {
        return None;
    }
    Some((seconds * 1_000_000_000 + value * 10i64.pow(9 - n as u32), rest))
}

/// A date and time of day, with a zone (`Z`, `+02:00`) exactly when `zoned`; a fraction beyond the unit
/// is cut off.
pub(crate) fn instant(bytes: &[u8], per_second: i64, zoned: bool) -> Option<i64> {
    let (days, rest) = date(bytes)?;
    let rest = match rest.split_first()? {
        (b' ' | b'T', rest) => rest,
        _ => return None,
    };
    let (nanos, rest) = time(rest)?;
    let offset = match (zoned, rest) {
        (false, []) | (true, b"Z") => 0,
        (true, [sign @ (b'+' | b'-'), rest @ ..]) => {
            let (hour, rest) = two(rest)?;
            let (minute, rest) = match rest {
                [] => (0, rest),
                [b':', rest @ ..] => two(rest)?,
                _ => two(rest)?,
            };
            if !rest.is_empty() || hour > 18 || minute > 59 {
                return None;
            }
            let seconds = (hour * 60 + minute) * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days * 86_400 + nanos / 1_000_000_000 - offset;
    let fraction = nanos % 1_000_000_000 / (1_000_000_000 / per_second);
    seconds.checked_mul(per_second)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_round_and_keep_within_their_precision() {
        assert_eq!(decimal("12.345", 10, 2), Some(1235));
        assert_eq!(decimal("-12.344", 10, 2), Some(-1234));
        assert_eq!(decimal("1.5e3", 10, 1), Some(15000));
        assert_eq!(decimal("0.05", 3, 1), Some(1));
        assert_eq!(decimal("0.004", 3, 1), Some(0));
        assert_eq!(decimal("99.95", 3, 1), None);
        assert_eq!(decimal("0e999999999", 3, 1), Some(0));
        assert_eq!(decimal("1e999999999", 3, 1), None);
        assert_eq!(decimal("", 3, 1), None);
        assert_eq!(decimal(".", 3, 1), None);
        assert_eq!(decimal("1x", 3, 1), None);
    }

    #[test]
    fn instants() {
        assert_eq!(instant(b"2020-01-01 00:00:00.5", 1000, false), Some(1_577_836_800_500));
        assert_eq!(instant(b"2020-01-01T02:00:00+02:00", 1000, true), Some(1_577_836_800_000));
        assert_eq!(instant(b"2020-01-01 00:00:00.123456Z", 1000, true), Some(1_577_836_800_123));
        assert_eq!(instant(b"2020-01-01 00:00:00", 1000, true), None);
        assert_eq!(instant(b"2020-01-01 00:00:00Z", 1000, false), None);
        assert_eq!(instant(b"2020-02-30 00:00:00", 1000, false), None);
        assert_eq!(instant(b"2020-01-01 24:00:00", 1000, false), None);
        assert_eq!(instant(b"9999-12-31 23:59:59", 1_000_000_000, false), None);
    }

    proptest! {
        #[test]
        fn days_go_there_and_back(days in -700_000i64..2_900_000) {
            let (y, m, d) = crate::format::text::civil(days);
            prop_assume!((0..=9999).contains(&y));
            let text = format!("{y:04}-{m:02}-{d:02}");
            prop_assert_eq!(date(text.as_bytes()).map(|(d, _)| d), Some(days));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,30}", precision in 1u8..=38, scale in -5i8..=38) {
            let _ = decimal(&text, precision, scale);
            let _ = instant(text.as_bytes(), 1000, true);
            let _ = time(text.as_bytes());
        }
    }
}
