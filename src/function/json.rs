//! JSON in strings.
//!
//! A path is `[strict | lax] $...`. Without a word it is *strict*, as in Flink: a path that leads nowhere is
//! an error, and errors are NULL unless `... ON ERROR` says otherwise; *lax* makes it empty. Paths of names and
//! indices are walked directly; others are RFC 9535 queries whose result is an array.

mod path;
mod write;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::DataType;
use serde_json::Value;

use self::path::{Found, compiled, find};
use self::write::big_decimal;
pub(crate) use self::write::{json, push_quoted};
use super::cast::{cast_array, read_boolean, read_double};
use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use super::text::list_of_text;
pub(crate) use super::text_form::writer as raw_writer;
use super::text_form::{Writer, writer};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

use Kind::{Any, Text};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["JSON_VALUE"], &[Text, Text, Text, Text, Any, Text, Any], Returns::With(value_type), value)
        .optional(5),
    define(&["JSON_QUERY"], &[Text, Text, Text, Text, Text, Text], Returns::With(query_type), query)
        .optional(4),
    define(&["JSON_EXISTS"], &[Text, Text, Text], Returns::Bool, exists).optional(1),
    define(&["$IS_JSON"], &[Text, Text], Returns::Bool, is_json),
    define(&["JSON_STRING"], &[Any], Returns::Text, string),
    define(&["$JSON_OBJECT"], &[Text, Text, Any], Returns::Text, object)
        .optional(1)
        .variadic()
        .coerce(keys_are_texts),
    define(&["$JSON_ARRAY"], &[Text, Text, Any], Returns::Text, array).optional(1).variadic(),
    define(&["JSON"], &[Text], Returns::Text, document),
    define(&["JSON_QUOTE"], &[Text], Returns::Text, quote),
    define(&["JSON_UNQUOTE"], &[Text], Returns::Text, unquote),
];

// ------------------------------------------------------------------------------------------ JSON_VALUE etc.

fn returning(name: &str) -> Option<SqlType> {
    let upper = name.to_ascii_uppercase();
    Some(match upper.split('(').next().unwrap_or("").trim() {
        "STRING" | "VARCHAR" | "CHAR" => SqlType::String,
        "BOOLEAN" => SqlType::Boolean,
        "INT" | "INTEGER" => SqlType::Int,
        "BIGINT" => SqlType::BigInt,
        "DOUBLE" | "DOUBLE PRECISION" => SqlType::Double,
        _ => return None,
    })
}

fn value_type(t: &Typing<'_>) -> Result<DataType> {
    let name = t.text(2).unwrap_or("STRING");
    returning(name).map(|t| t.to_arrow("UTC")).ok_or_else(|| {
        Error::unsupported(format!("JSON_VALUE does not return {name}"))
            .with_hint("use RETURNING STRING, BOOLEAN, INT, BIGINT or DOUBLE, or CAST the result")
    })
}

fn refused(function: &str, why: &str) -> Error {
    Error::execution(format!("{function} failed: {why}"))
}

/// A constant word among the arguments.
fn option<'a>(c: &'a Call<'_>, i: usize, default: &'a str) -> Result<&'a str> {
    if c.has(i) { Ok(c.constant_text(i)?.unwrap_or(default)) } else { Ok(default) }
}

fn value(c: &Call<'_>) -> Result<ArrayRef> {
    let (document, path) = (c.text(0)?, c.text(1)?);
    let to = returning(option(c, 2, "STRING")?).ok_or_else(|| Error::internal("JSON_VALUE's type"))?;
    let (on_empty, on_error) = (option(c, 3, "NULL")?, option(c, 5, "NULL")?);
    let fallback = |i: usize| -> Result<Option<ArrayRef>> {
        if !c.has(i) {
            return Ok(None);
        }
        let typed = cast_array(&c.args[i].array, &to, "UTC", false)?;
        cast_array(&typed, &SqlType::String, "UTC", false).map(Some)
    };
    let (empty_value, error_value) = (fallback(4)?, fallback(6)?);
    let instead =
        |how: &str, value: &Option<ArrayRef>, i: usize, row: usize, why: &str, out: &mut String| match (
            how, value,
        ) {
            ("ERROR", _) => Err(refused("JSON_VALUE", why)),
            ("DEFAULT", Some(values)) => {
                let at = row * c.args[i].step;
                if values.is_null(at) {
                    return Ok(None);
                }
                out.push_str(values.as_string_view().value(at));
                Ok(Some(()))
            }
            _ => Ok(None),
        };
    let constant = match path.constant().then(|| path.get(0)).flatten() {
        Some(p) => Some(compiled(p)?),
        None => None,
    };
    let text = c.texts(|row, out| {
        let (document, text) = (some!(document.get(row)), some!(path.get(row)));
        let path = match &constant {
            Some(p) => Arc::clone(p),
            None => compiled(text)?,
        };
        let scalar = match find(document, &path) {
            Found::Value(Value::Array(_) | Value::Object(_)) if path.lax => {
                return instead(on_empty, &empty_value, 4, row, "the path found no scalar", out);
            }
            Found::Value(Value::Array(_) | Value::Object(_)) => {
                return instead(on_error, &error_value, 6, row, "the path found no scalar", out);
            }
            Found::Value(value) => value,
            Found::Null => return Ok(None),
            Found::Empty => return instead(on_empty, &empty_value, 4, row, "the path found nothing", out),
            Found::Error(why) => return instead(on_error, &error_value, 6, row, &why, out),
        };
        let shown = match scalar {
            Value::String(s) => s,
            Value::Number(n) => big_decimal(&n.to_string()).into_owned(),
            other => other.to_string(),
        };
        let fits = match to {
            SqlType::Boolean => read_boolean(&shown).is_some(),
            SqlType::Int => shown.trim().parse::<i32>().is_ok(),
            SqlType::BigInt => shown.trim().parse::<i64>().is_ok(),
            SqlType::Double => read_double(&shown).is_some(),
            _ => true,
        };
        if !fits {
            return instead(
                on_error,
                &error_value,
                6,
                row,
                &format!("'{shown}' is not a value of {to}"),
                out,
            );
        }
        out.push_str(&shown);
        Ok(Some(()))
    })?;
    cast_array(&text, &to, "UTC", false)
}

fn query_type(t: &Typing<'_>) -> Result<DataType> {
    let name = t.text(2).unwrap_or("STRING");
    let element = name.to_ascii_uppercase();
    let element = element.strip_prefix("ARRAY<").and_then(|t| t.strip_suffix('>'));
    match (element, returning(element.unwrap_or(name))) {
        (None, Some(SqlType::String)) => Ok(DataType::Utf8View),
        (Some(_), Some(SqlType::String)) => Ok(list_of_text()),
        _ => Err(Error::unsupported(format!("JSON_QUERY does not return {name}"))
            .with_hint("use RETURNING STRING or RETURNING ARRAY<STRING>")),
    }
}

/// The elements of JSON arrays as text; what is no array is NULL.
fn elements(text: &StringViewArray) -> ArrayRef {
    let mut list = ListBuilder::new(StringViewBuilder::new());
    for text in text {
        match text.map(serde_json::from_str::<Value>) {
            Some(Ok(Value::Array(items))) => {
                for item in items {
                    match item {
                        Value::Null => list.values().append_null(),
                        Value::String(s) => list.values().append_value(s),
                        other => list.values().append_value(other.to_string()),
                    }
                }
                list.append(true);
            }
            _ => list.append_null(),
        }
    }
    Arc::new(list.finish())
}

fn query(c: &Call<'_>) -> Result<ArrayRef> {
    let (document, path) = (c.text(0)?, c.text(1)?);
    let (wrapper, on_empty, on_error) =
        (option(c, 3, "WITHOUT")?, option(c, 4, "NULL")?, option(c, 5, "NULL")?);
    let instead = |how: &str, why: &str, out: &mut String| match how {
        "ERROR" => Err(refused("JSON_QUERY", why)),
        "NULL" => Ok(None),
        literal => {
            out.push_str(literal);
            Ok(Some(()))
        }
    };
    let array = matches!(c.returns, DataType::List(_));
    let text = c.texts(|row, out| {
        let (document, path) = (some!(document.get(row)), compiled(some!(path.get(row)))?);
        let found = match find(document, &path) {
            Found::Value(value) => value,
            Found::Null => return Ok(None),
            Found::Empty => return instead(on_empty, "the path found nothing", out),
            Found::Error(why) => return instead(on_error, &why, out),
        };
        let found = match wrapper {
            "WITH" => Value::Array(vec![found]),
            "CONDITIONAL" if !found.is_array() => Value::Array(vec![found]),
            _ => found,
        };
        if !found.is_array() && (array || !found.is_object()) {
            return instead(if path.lax { on_empty } else { on_error }, "the path found something else", out);
        }
        let mut found = found;
        found.sort_all_objects();
        let _ = write!(out, "{found}");
        Ok(Some(()))
    })?;
    Ok(if array { elements(text.as_string_view()) } else { text })
}

fn exists(c: &Call<'_>) -> Result<ArrayRef> {
    let (document, path) = (c.text(0)?, c.text(1)?);
    let on_error = option(c, 2, "FALSE")?;
    c.booleans(|row| {
        let (document, path) = (some!(document.get(row)), compiled(some!(path.get(row)))?);
        match find(document, &path) {
            // A query with filters or wildcards always finds an array, be it empty, and so does Flink.
            Found::Value(_) => Ok(Some(true)),
            Found::Null | Found::Empty => Ok(Some(false)),
            Found::Error(why) => match on_error {
                "TRUE" => Ok(Some(true)),
                "UNKNOWN" => Ok(None),
                "ERROR" => Err(refused("JSON_EXISTS", &why)),
                _ => Ok(Some(false)),
            },
        }
    })
}

fn is_json(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, kind) = (c.text(0)?, option(c, 1, "VALUE")?);
    c.booleans(|row| {
        let Some(s) = s.get(row) else { return Ok(Some(false)) };
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(s).is_ok();
        let first = s.trim_start().as_bytes().first().copied();
        Ok(Some(
            valid
                && match kind {
                    "OBJECT" => first == Some(b'{'),
                    "ARRAY" => first == Some(b'['),
                    "SCALAR" => !matches!(first, Some(b'{' | b'[')),
                    _ => true,
                },
        ))
    })
}

fn is_null(array: &ArrayRef, i: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(i)
}

fn string(c: &Call<'_>) -> Result<ArrayRef> {
    let arg = &c.args[0];
    let write = json(&arg.array)?;
    c.texts(|row, out| {
        let i = row * arg.step;
        if is_null(&arg.array, i) {
            return Ok(None);
        }
        write(i, out).map(Some)
    })
}

/// The writers of the values, which of them are JSON already, and whether NULLs are kept.
fn members<'a>(
    c: &'a Call<'_>,
    values: impl Iterator<Item = usize>,
) -> Result<(Vec<(usize, Writer<'a>)>, bool)> {
    let keep = option(c, 0, "NULL")? == "NULL";
    let forms = option(c, 1, "")?;
    let mut writers = Vec::new();
    for (n, i) in values.enumerate() {
        let array = &c.args[i].array;
        let raw = forms.as_bytes().get(n) == Some(&b'r') && *array.data_type() == DataType::Utf8View;
        writers.push((i, if raw { writer(array)? } else { json(array)? }));
    }
    Ok((writers, keep))
}

/// After the two options, keys and values in turn.
fn keys_are_texts(types: &[DataType]) -> Result<Vec<DataType>> {
    let mut coerced = types.to_vec();
    for key in coerced.iter_mut().skip(2).step_by(2) {
        *key = Text.coerce(key).ok_or_else(|| {
            let shown = SqlType::from_arrow(key).map_or_else(|| key.to_string(), |t| t.to_string());
            Error::plan(format!("a key of JSON_OBJECT must be STRING, not {shown}"))
                .with_hint("CAST(... AS STRING) converts it")
        })?;
    }
    Ok(coerced)
}

fn object(c: &Call<'_>) -> Result<ArrayRef> {
    let n = c.args.len();
    let (values, keep) = members(c, (3..n).step_by(2))?;
    let keys = (2..n).step_by(2).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    // Keys come sorted, and of equal ones the last counts, as Flink has it.
    let mut sorted: Vec<(&str, usize)> = Vec::with_capacity(keys.len());
    c.texts(|row, out| {
        out.push('{');
        sorted.clear();
        for (n, key) in keys.iter().enumerate() {
            let (i, _) = &values[n];
            if !keep && is_null(&c.args[*i].array, row * c.args[*i].step) {
                continue;
            }
            let Some(key) = key.get(row) else { return Err(refused("JSON_OBJECT", "a key is NULL")) };
            sorted.push((key, n));
        }
        sorted.sort_unstable();
        for (position, (key, n)) in sorted.iter().enumerate() {
            if sorted.get(position + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            let (i, write) = &values[*n];
            let at = row * c.args[*i].step;
            let null = is_null(&c.args[*i].array, at);
            if out.len() > 1 {
                out.push(',');
            }
            push_quoted(key, out);
            out.push(':');
            if null { out.push_str("null") } else { write(at, out)? }
        }
        out.push('}');
        Ok(Some(()))
    })
}

fn array(c: &Call<'_>) -> Result<ArrayRef> {
    let (values, keep) = members(c, 2..c.args.len())?;
    c.texts(|row, out| {
        out.push('[');
        for (i, write) in &values {
            let at = row * c.args[*i].step;
            let null = is_null(&c.args[*i].array, at);
            if null && !keep {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            if null { out.push_str("null") } else { write(at, out)? }
        }
        out.push(']');
        Ok(Some(()))
    })
}

/// Text that is JSON, as a value of JSON_OBJECT and JSON_ARRAY.
fn document(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        let s = some!(s.get(row));
        let mut value: Value =
            serde_json::from_str(s).map_err(|e| refused("JSON", &format!("the text is not JSON: {e}")))?;
        value.sort_all_objects();
        let _ = write!(out, "{value}");
        Ok(Some(()))
    })
}

fn quote(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        out.push('"');
        for ch in some!(s.get(row)).chars() {
            match ch {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '/' => out.push_str("\\/"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                ' '..='~' => out.push(ch),
                _ => {
                    for unit in ch.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        out.push('"');
        Ok(Some(()))
    })
}

fn unquote(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        let s = some!(s.get(row));
        match serde_json::from_str::<String>(s) {
            Ok(inner) => out.push_str(&inner),
            // What is not a quoted string stays as it is.
            Err(_) => out.push_str(s),
        }
        Ok(Some(()))
    })
}

/// Values as JSON text, for tests.
#[cfg(test)]
pub(super) fn show(values: &ArrayRef) -> Result<arrow::array::StringViewArray> {
    let write = json(values)?;
    let mut builder = arrow::array::StringViewBuilder::new();
    for i in 0..values.len() {
        let mut out = String::new();
        write(i, &mut out)?;
        builder.append_value(out);
    }
    Ok(builder.finish())
}
