//! Values of SQL as the text of JSON, as Flink writes them.
//!
//! A writer is made once for a column, and appends the value of a row to a text.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use base64::Engine as _;
use chrono::Timelike;

use crate::error::{Error, Result};
use crate::function::moment::Moments;
use crate::function::text_form::{Writer, digits, java_double, write_timestamp, writer};
use crate::sql::types::SqlType;

pub(crate) fn push_quoted(s: &str, out: &mut String) {
    out.push('"');
    for ch in s.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ch if (ch as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", ch as u32);
            }
            ch => out.push(ch),
        }
    }
    out.push('"');
}

/// A DOUBLE as a number of JSON: the text of Java's `BigDecimal`; NaN and infinities are no numbers of JSON.
fn push_double(v: f64, out: &mut String) {
    let text = java_double(v);
    match v.is_finite() {
        true => out.push_str(&big_decimal(if v == 0.0 { "0.0" } else { &text })),
        false => push_quoted(&text, out),
    }
}

/// A number as Java's `BigDecimal.toString` writes it: `1.0E10` is `1.0E+10`, `-3.0E-5` is `-0.000030`.
pub(super) fn big_decimal(number: &str) -> Cow<'_, str> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some(parts) => parts,
        None if number.contains("0.00000") => (number, "0"),
        None => return number.into(),
    };
    let Ok(exponent) = exponent.parse::<i64>() else { return number.into() };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        some => some,
    };
    let scale = fraction.len() as i64 - exponent;
    let adjusted = digits.len() as i64 - 1 - scale;
    if scale >= 0 && adjusted >= -6 {
        let scale = scale as usize;
        if scale == 0 {
            return format!("{sign}{digits}").into();
        }
        let digits = format!("{}{digits}", "0".repeat((scale + 1).saturating_sub(digits.len())));
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        return format!("{sign}{whole}.{fraction}").into();
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    match adjusted {
        0 => format!("{sign}{first}{point}{rest}").into(),
        _ => format!("{sign}{first}{point}{rest}E{adjusted:+}").into(),
    }
}

/// Values as JSON. NULL is `null`.
pub(crate) fn json(array: &ArrayRef) -> Result<Writer<'_>> {
    use DataType as D;
    let inner: Writer<'_> = match array.data_type() {
        D::Null => Box::new(|_, _| Ok(())),
        D::Boolean => {
            let array = array.as_boolean();
            Box::new(move |i, out| {
                out.push_str(if array.value(i) { "true" } else { "false" });
                Ok(())
            })
        }
        // As the DOUBLE of the same value.
        D::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |i, out| {
                push_double(f64::from(values.value(i)), out);
                Ok(())
            })
        }
        D::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |i, out| {
                push_double(values.value(i), out);
                Ok(())
            })
        }
        D::Decimal128(..) => {
            let write = writer(array)?;
            let buffer = RefCell::new(String::new());
            Box::new(move |i, out| {
                let mut buffer = buffer.borrow_mut();
                buffer.clear();
                write(i, &mut buffer)?;
                out.push_str(&big_decimal(&buffer));
                Ok(())
            })
        }
        t if t.is_numeric() => writer(array)?,
        D::BinaryView => {
            let array = array.as_binary_view();
            Box::new(move |i, out| {
                out.push('"');
                base64::engine::general_purpose::STANDARD.encode_string(array.value(i), out);
                out.push('"');
                Ok(())
            })
        }
        D::Timestamp(unit, name) => {
            let (moments, digits, utc) = (Moments::of(array, 1)?, digits(*unit), name.is_some());
            Box::new(move |i, out| {
                if let Some(t) = moments.stored(i)? {
                    out.push('"');
                    // Only the digits that say something, as ISO 8601 allows.
                    write_timestamp(t, 'T', if t.nanosecond() == 0 { 0 } else { digits }, out);
                    if t.nanosecond() != 0 {
                        out.truncate(out.trim_end_matches('0').len());
                    }
                    out.push_str(if utc { "Z\"" } else { "\"" });
                }
                Ok(())
            })
        }
        D::Date32 | D::Time32(TimeUnit::Millisecond) => {
            let write = writer(array)?;
            Box::new(move |i, out| {
                out.push('"');
                write(i, out)?;
                out.push('"');
                Ok(())
            })
        }
        D::Utf8View | D::Utf8 => {
            let write = writer(array)?;
            let buffer = RefCell::new(String::new());
            Box::new(move |i, out| {
                let mut buffer = buffer.borrow_mut();
                buffer.clear();
                write(i, &mut buffer)?;
                push_quoted(&buffer, out);
                Ok(())
            })
        }
        D::List(_) => {
            let list = array.as_list::<i32>();
            let items = json(list.values())?;
            Box::new(move |i, out| {
                out.push('[');
                let offsets = list.value_offsets();
                for (n, item) in (offsets[i] as usize..offsets[i + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    items(item, out)?;
                }
                out.push(']');
                Ok(())
            })
        }
        D::Map(_, _) => {
            let map = array.as_map();
            let (keys, values) = (writer(map.keys())?, json(map.values())?);
            Box::new(move |i, out| {
                out.push('{');
                let offsets = map.value_offsets();
                let mut sorted = Vec::new();
                for entry in offsets[i] as usize..offsets[i + 1] as usize {
                    let mut key = String::new();
                    keys(entry, &mut key)?;
                    sorted.push((key, entry));
                }
                sorted.sort_unstable();
                for (n, (key, entry)) in sorted.into_iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    push_quoted(&key, out);
                    out.push(':');
                    values(entry, out)?;
                }
                out.push('}');
                Ok(())
            })
        }
        D::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(json).collect::<Result<Vec<_>>>()?;
            // By their names, as Flink writes them.
            let mut sorted: Vec<_> = fields.iter().zip(columns).collect();
            sorted.sort_by(|(a, _), (b, _)| a.name().cmp(b.name()));
            Box::new(move |i, out| {
                out.push('{');
                for (n, (field, column)) in sorted.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    push_quoted(field.name(), out);
                    out.push(':');
                    column(i, out)?;
                }
                out.push('}');
                Ok(())
            })
        }
        other => {
            let shown = SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
            return Err(Error::unsupported(format!("{shown} as JSON")));
        }
    };
    Ok(Box::new(move |i, out| {
        if array.is_null(i) || *array.data_type() == DataType::Null {
            out.push_str("null");
            return Ok(());
        }
        inner(i, out)
    }))
}
