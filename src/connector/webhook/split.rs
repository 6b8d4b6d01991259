//! The records of a request's body.

use std::ops::Range;

use serde_json::value::RawValue;

use crate::connector::messages::{Message, Value};

/// How a format's records lie in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Json,
    Csv,
    Whole,
}

impl Lines {
    pub(super) fn of(format: &str) -> Self {
        match format {
            "json" | "debezium-json" => Self::Json,
            "csv" => Self::Csv,
            _ => Self::Whole,
        }
    }

    /// Where the records are.
    pub(super) fn records(self, body: &[u8]) -> Result<Vec<Range<usize>>, String> {
        match self {
            Self::Whole if body.is_empty() => Err("the body is empty".into()),
            Self::Whole => Ok(std::iter::once(0..body.len()).collect()),
            Self::Csv => Ok(lines(body)),
            Self::Json => values(body),
        }
    }
}

/// Lines, but those within quotes.
fn lines(body: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut start, mut quoted) = (Vec::new(), 0, false);
    let mut add = |range: Range<usize>| {
        if body.get(range.clone()).is_some_and(|line| !line.trim_ascii().is_empty()) {
            found.push(range);
        }
    };
    for (i, byte) in body.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                add(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }
    add(start..body.len());
    found
}

/// JSON values, those of arrays one by one.
fn values(body: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| "the body is not UTF-8".to_string())?;
    let base = text.as_ptr() as usize;
    let range = |value: &RawValue| {
        let value = value.get();
        let start = value.as_ptr() as usize - base;
        start..start + value.len()
    };
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|e| format!("the body is no JSON: {e}"))?;
        if value.get().starts_with('[') {
            let items: Vec<&RawValue> =
                serde_json::from_str(value.get()).map_err(|e| format!("the body is no JSON: {e}"))?;
            found.extend(items.into_iter().map(range));
        } else {
            found.push(range(value));
        }
    }
    if found.is_empty() && text.trim().is_empty() {
        return Err("the body is empty".into());
    }
    Ok(found)
}

/// What a request has beside its body.
pub(super) struct Head {
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) remote: String,
    pub(super) received: i64,
    pub(super) headers: Vec<(String, String)>,
}

/// A record of a request.
pub(super) struct Record<'a> {
    pub(super) head: &'a Head,
    pub(super) value: &'a [u8],
    pub(super) number: usize,
}

impl Message for Record<'_> {
    fn value(&self) -> Option<&[u8]> {
        Some(self.value)
    }

    fn metadata(&self, key: usize) -> Value<'_> {
        match key {
            0 => Value::Text(&self.head.path),
            1 => self.head.query.as_deref().map_or(Value::None, Value::Text),
            2 => Value::Text(&self.head.remote),
            3 => Value::Moment(self.head.received),
            4 => Value::Map(&self.head.headers),
            _ => Value::None,
        }
    }

    fn place(&self) -> String {
        format!("record {}", self.number)
    }

    fn position(&self) -> String {
        format!("{}{}@{}", self.head.remote, self.head.path, self.number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(lines: Lines, body: &str) -> Result<Vec<String>, String> {
        let records = lines.records(body.as_bytes())?;
        Ok(records.into_iter().map(|range| body[range].to_string()).collect())
    }

    #[test]
    fn a_body_is_one_value_lines_or_an_array() {
        let json = |body| found(Lines::Json, body);
        assert_eq!(json("{\n \"a\": 1\n}").unwrap(), ["{\n \"a\": 1\n}"]);
        assert_eq!(json("{\"a\":1}\n{\"a\":2}\n\n").unwrap(), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(json(" [ {\"a\":\"[\"} ,\n{\"a\":2}]").unwrap(), ["{\"a\":\"[\"}", "{\"a\":2}"]);
        assert_eq!(json("[]").unwrap(), Vec::<String>::new());
        assert!(json("").unwrap_err().contains("empty"));
        assert!(json("{\"a\":1").unwrap_err().contains("no JSON"));
        assert!(json("[{\"a\":1}").unwrap_err().contains("no JSON"));
        assert_eq!(found(Lines::Csv, "1,\"a\nb\"\r\n\n2,c").unwrap(), ["1,\"a\nb\"\r", "2,c"]);
        assert_eq!(found(Lines::Whole, "x\ny").unwrap(), ["x\ny"]);
    }
}
