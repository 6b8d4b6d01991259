//! Key values as text and as JSON.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};

/// Why a key cannot be asked for.
pub(super) type KeyProblem = String;

/// How dates and times are written.
const FORMAT: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.f%:z"));

/// Refuses types that have no one way to be written.
pub(super) fn check_key_type(name: &str, data_type: &DataType) -> Result<()> {
    use DataType as T;
    match data_type {
        T::Utf8View | T::Utf8 | T::LargeUtf8 | T::Boolean => Ok(()),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal128(..) => Ok(()),
        T::Date32 | T::Time32(TimeUnit::Millisecond) | T::Timestamp(..) => Ok(()),
        other => {
            let shown =
                crate::sql::SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
            Err(Error::unsupported(format!(
                "a lookup over HTTP cannot ask by column '{name}' of type {shown}"
            ))
            .with_hint("CAST the other side to a STRING column"))
        }
    }
}

/// The value at `row` as text. `column` is of a type that [`check_key_type`] accepts, the value not NULL.
pub(super) fn push_text(out: &mut String, column: &dyn Array, row: usize) -> Result<(), KeyProblem> {
    match column.data_type() {
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(column.as_string::<i64>().value(row)),
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        _ => push_number(out, column, row)?,
    }
    Ok(())
}

/// The value at `row` as JSON.
pub(super) fn push_json(out: &mut String, column: &dyn Array, row: usize) -> Result<(), KeyProblem> {
    match column.data_type() {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => {
            out.push('"');
            push_escaped(out, column, row)?;
            out.push('"');
            Ok(())
        }
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => {
            out.push('"');
            push_text(out, column, row)?;
            out.push('"');
            Ok(())
        }
        _ => push_text(out, column, row),
    }
}

/// The value at `row` as the inside of a JSON string.
pub(super) fn push_escaped(out: &mut String, column: &dyn Array, row: usize) -> Result<(), KeyProblem> {
    match column.data_type() {
        DataType::Utf8View => escape(out, column.as_string_view().value(row)),
        DataType::Utf8 => escape(out, column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => escape(out, column.as_string::<i64>().value(row)),
        _ => push_text(out, column, row)?,
    }
    Ok(())
}

/// Text as the inside of a JSON string (RFC 8259, section 7).
pub(super) fn escape(out: &mut String, text: &str) {
    let mut clean = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[clean..i]);
        clean = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
    out.push_str(&text[clean..]);
}

/// Numbers, dates and times.
fn push_number(out: &mut String, column: &dyn Array, row: usize) -> Result<(), KeyProblem> {
    let mut integer = itoa::Buffer::new();
    let mut float = ryu::Buffer::new();
    match column.data_type() {
        DataType::Int8 => out.push_str(integer.format(column.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => out.push_str(integer.format(column.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => out.push_str(integer.format(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => out.push_str(integer.format(column.as_primitive::<Int64Type>().value(row))),
        DataType::Float64 => match column.as_primitive::<Float64Type>().value(row) {
            v if v.is_finite() => out.push_str(float.format_finite(v)),
            v => return Err(format!("{v} is not a number that can be asked for")),
        },
        DataType::Float32 => match column.as_primitive::<Float32Type>().value(row) {
            v if v.is_finite() => out.push_str(float.format_finite(v)),
            v => return Err(format!("{v} is not a number that can be asked for")),
        },
        _ => {
            use std::fmt::Write;
            let formatter = ArrayFormatter::try_new(column, &FORMAT).map_err(|e| e.to_string())?;
            write!(out, "{}", formatter.value(row)).map_err(|_| "the value cannot be written".to_string())?;
        }
    }
    Ok(())
}

/// A key for messages: `id = '7', region = 'eu'`, shortened.
pub(super) fn describe_key(keys: &RecordBatch, row: usize) -> String {
    let mut out = String::new();
    for (field, column) in keys.schema_ref().fields().iter().zip(keys.columns()) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(field.name());
        out.push_str(" = '");
        let mut value = String::new();
        if let Err(problem) = push_text(&mut value, column, row) {
            value = problem;
        }
        out.extend(value.chars().take(100).flat_map(char::escape_debug));
        out.push('\'');
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
        TimestampMillisecondArray,
    };

    use super::*;

    fn both(column: ArrayRef) -> (String, String) {
        let (mut text, mut json) = (String::new(), String::new());
        push_text(&mut text, &column, 0).unwrap();
        push_json(&mut json, &column, 0).unwrap();
        (text, json)
    }

    #[test]
    fn every_key_type_has_a_text_and_a_json_form() {
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(both(Arc::new(Int64Array::from(vec![-7]))), pair("-7", "-7"));
        assert_eq!(both(Arc::new(BooleanArray::from(vec![true]))), pair("true", "true"));
        assert_eq!(both(Arc::new(Float64Array::from(vec![0.1]))), pair("0.1", "0.1"));
        assert_eq!(both(Arc::new(Date32Array::from(vec![0]))), pair("1970-01-01", "\"1970-01-01\""));
        let decimal = Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(both(Arc::new(decimal)), pair("123.45", "123.45"));
        let ts = TimestampMillisecondArray::from(vec![1_500]);
        assert_eq!(both(Arc::new(ts)), pair("1970-01-01 00:00:01.500", "\"1970-01-01 00:00:01.500\""));
        assert_eq!(both(Arc::new(StringViewArray::from(vec!["a\"b"]))), pair("a\"b", "\"a\\\"b\""));
    }

    #[test]
    fn escapes_are_those_of_serde_json() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{1f}", "ü日本\u{7f}", "\u{8}\u{c}end"] {
            let mut out = String::new();
            escape(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&format!("\"{out}\"")).unwrap(), text);
        }
    }

    #[test]
    fn nan_is_not_asked_for() {
        let column = Float64Array::from(vec![f64::NAN]);
        assert!(push_text(&mut String::new(), &column, 0).is_err());
    }
}
