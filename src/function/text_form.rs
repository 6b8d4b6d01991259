//! How values look as text: what CAST(... AS STRING) writes.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use chrono::{Datelike, NaiveDateTime, Timelike};

use super::moment::{Moments, from_days};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// Writes the value of a row, which must not be NULL.
pub(crate) type Writer<'a> = Box<dyn Fn(usize, &mut String) -> Result<()> + 'a>;

fn plain<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    f: impl Fn(T::Native, &mut String) + 'a,
) -> Writer<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |i, out| {
        f(array.value(i), out);
        Ok(())
    })
}

fn integer<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Writer<'a>
where
    T::Native: itoa::Integer,
{
    plain::<T>(array, |v, out| out.push_str(itoa::Buffer::new().format(v)))
}

/// Digits behind the point that a unit has.
pub(crate) fn digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// `yyyy-MM-dd<between>HH:mm:ss[.fraction]`
pub(crate) fn write_timestamp(t: NaiveDateTime, between: char, digits: usize, out: &mut String) {
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    );
    if digits > 0 {
        let fraction = t.nanosecond() % 1_000_000_000 / 10_u32.pow(9 - digits as u32);
        let _ = write!(out, ".{fraction:0digits$}");
    }
}

/// The writer of an array. Local times of TIMESTAMP_LTZ are those of its type's zone.
pub(crate) fn writer(array: &ArrayRef) -> Result<Writer<'_>> {
    use DataType as D;
    Ok(match array.data_type() {
        D::Boolean => {
            let array = array.as_boolean();
            Box::new(move |i, out| {
                out.push_str(if array.value(i) { "TRUE" } else { "FALSE" });
                Ok(())
            })
        }
        D::Int8 => integer::<Int8Type>(array),
        D::Int16 => integer::<Int16Type>(array),
        D::Int32 => integer::<Int32Type>(array),
        D::Int64 => integer::<Int64Type>(array),
        D::Float32 => plain::<Float32Type>(array, |v, out| out.push_str(&java_float(v))),
        D::Float64 => plain::<Float64Type>(array, |v, out| out.push_str(&java_double(v))),
        D::Decimal128(_, scale) => {
            let scale = *scale;
            plain::<Decimal128Type>(array, move |v, out| write_decimal(v, scale, out))
        }
        D::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |i, out| {
                out.push_str(array.value(i));
                Ok(())
            })
        }
        D::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |i, out| {
                out.push_str(array.value(i));
                Ok(())
            })
        }
        D::BinaryView => {
            let array = array.as_binary_view();
            Box::new(move |i, out| {
                out.push_str(&String::from_utf8_lossy(array.value(i)));
                Ok(())
            })
        }
        D::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            Box::new(move |i, out| {
                let date = from_days(array.value(i))?;
                let _ = write!(out, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day());
                Ok(())
            })
        }
        D::Time32(TimeUnit::Millisecond) => {
            let moments = Moments::of(array, 1)?;
            Box::new(move |i, out| {
                if let Some(t) = moments.stored(i)? {
                    let _ = write!(out, "{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second());
                    if t.nanosecond() > 0 {
                        let _ = write!(out, ".{:03}", t.nanosecond() / 1_000_000);
                    }
                }
                Ok(())
            })
        }
        D::Timestamp(unit, _) => {
            let (moments, digits) = (Moments::of(array, 1)?, digits(*unit));
            Box::new(move |i, out| {
                if let Some(t) = moments.local(i)? {
                    write_timestamp(t, ' ', digits, out);
                }
                Ok(())
            })
        }
        D::List(_) => {
            let list = array.as_list::<i32>();
            let items = nullable(list.values())?;
            Box::new(move |i, out| {
                out.push('[');
                let offsets = list.value_offsets();
                for (n, item) in (offsets[i] as usize..offsets[i + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    items(item, out)?;
                }
                out.push(']');
                Ok(())
            })
        }
        D::Map(_, _) => {
            let map = array.as_map();
            let (keys, values) = (nullable(map.keys())?, nullable(map.values())?);
            Box::new(move |i, out| {
                out.push('{');
                let offsets = map.value_offsets();
                for (n, entry) in (offsets[i] as usize..offsets[i + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    keys(entry, out)?;
                    out.push('=');
                    values(entry, out)?;
                }
                out.push('}');
                Ok(())
            })
        }
        D::Struct(_) => {
            let columns = array.as_struct().columns().iter().map(nullable).collect::<Result<Vec<_>>>()?;
            Box::new(move |i, out| {
                out.push('(');
                for (n, column) in columns.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    column(i, out)?;
                }
                out.push(')');
                Ok(())
            })
        }
        D::Interval(IntervalUnit::YearMonth) => plain::<IntervalYearMonthType>(array, write_months),
        D::Interval(IntervalUnit::MonthDayNano) => {
            plain::<IntervalMonthDayNanoType>(array, |v, out| {
                if v.days == 0 && v.nanoseconds == 0 && v.months != 0 {
                    write_months(v.months, out);
                } else {
                    // Such an interval has no months in SQL; 30 days are what arrow compares with.
                    let days = i128::from(v.days) + i128::from(v.months) * 30;
                    write_duration(days * 86_400_000 + i128::from(v.nanoseconds / 1_000_000), out);
                }
            })
        }
        D::Null => Box::new(|_, _| Ok(())),
        other => {
            let shown = SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
            return Err(Error::unsupported(format!("CAST of {shown} to STRING")));
        }
    })
}

/// `+1-02`: years and months.
fn write_months(months: i32, out: &mut String) {
    let sign = if months < 0 { '-' } else { '+' };
    let months = months.unsigned_abs();
    let _ = write!(out, "{sign}{}-{:02}", months / 12, months % 12);
}

/// `+5 00:00:00.000`: days and the time of day.
fn write_duration(millis: i128, out: &mut String) {
    let sign = if millis < 0 { '-' } else { '+' };
    let millis = millis.unsigned_abs();
    let seconds = millis / 1000;
    let _ = write!(
        out,
        "{sign}{} {:02}:{:02}:{:02}.{:03}",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        millis % 1000
    );
}

/// A writer that writes NULL as a word, for what stands inside of something.
fn nullable(array: &ArrayRef) -> Result<Writer<'_>> {
    let inner = writer(array)?;
    Ok(Box::new(move |i, out| {
        if array.is_null(i) || *array.data_type() == DataType::Null {
            out.push_str("NULL");
            return Ok(());
        }
        inner(i, out)
    }))
}

/// A decimal in plain digits, all places of its scale shown.
pub(crate) fn write_decimal(v: i128, scale: i8, out: &mut String) {
    if v < 0 {
        out.push('-');
    }
    let digits = v.unsigned_abs().to_string();
    let scale_digits = usize::try_from(scale).unwrap_or(0);
    if scale_digits == 0 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        return;
    }
    if digits.len() <= scale_digits {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', scale_digits - digits.len()));
        out.push_str(&digits);
    } else {
        let (whole, fraction) = digits.split_at(digits.len() - scale_digits);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    }
}

/// A DOUBLE as Java's `Double.toString` writes it: `1.0`, `1.0E10`, `NaN`, `Infinity`.
pub(crate) fn java_double(v: f64) -> String {
    java(v, || format!("{v:e}"))
}

/// A FLOAT as Java's `Float.toString` writes it.
pub(crate) fn java_float(v: f32) -> String {
    java(f64::from(v), || format!("{v:e}"))
}

/// `scientific` gives the shortest digits, which the two types do not share.
fn java(v: f64, scientific: impl Fn() -> String) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if v == 0.0 {
        return if v.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    let shown = scientific();
    let (sign, shown) = shown.strip_prefix('-').map_or(("", shown.as_str()), |s| ("-", s));
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-3..7).contains(&exponent) {
        let point = if mantissa.contains('.') { "" } else { ".0" };
        return format!("{sign}{mantissa}{point}E{exponent}");
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}
