//! Headers that carry keys: `'http.source.lookup.header.X-Tenant' = '{tenant}'`.

use arrow::array::RecordBatch;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::value::{KeyProblem, push_text};
use crate::error::{Error, Result};

/// A header whose value has places for columns; the names of columns are known, other braces are text.
#[derive(Debug, Clone)]
pub(super) struct KeyHeader {
    pub(super) name: HeaderName,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Column(String),
}

impl KeyHeader {
    /// Reads a value; `None` if it has no place.
    pub(super) fn parse(name: &HeaderName, value: &str, columns: &[&str]) -> Option<Self> {
        let mut parts = Vec::new();
        let (mut text, mut rest) = (String::new(), value);
        while let Some(at) = rest.find('{') {
            let inner = rest.get(at + 1..)?;
            let column = inner.find('}').and_then(|end| inner.get(..end)).filter(|c| columns.contains(c));
            match column {
                Some(column) => {
                    text.push_str(rest.get(..at)?);
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Column(column.to_string()));
                    rest = inner.get(column.len() + 1..)?;
                }
                None => {
                    text.push_str(rest.get(..=at)?);
                    rest = inner;
                }
            }
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        let name = name.clone();
        parts.iter().any(|part| matches!(part, Part::Column(_))).then_some(Self { name, parts })
    }

    /// Columns that have a place.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Binds columns to the columns of key batches.
    pub(super) fn bind(&self, keys: &[&str]) -> Result<BoundHeader> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Ok(Bound::Text(text.clone())),
            Part::Column(name) => keys.iter().position(|key| key == name).map(Bound::Key).ok_or_else(|| {
                Error::plan(format!(
                    "header '{}' needs a value for column '{name}', and the query provides none",
                    self.name
                ))
                .with_hint(format!("join with an equality on '{name}'"))
            }),
        });
        Ok(BoundHeader { name: self.name.clone(), parts: parts.collect::<Result<_>>()? })
    }
}

#[derive(Debug, Clone)]
enum Bound {
    Text(String),
    Key(usize),
}

/// Makes a header from keys.
#[derive(Debug, Clone)]
pub(super) struct BoundHeader {
    name: HeaderName,
    parts: Vec<Bound>,
}

/// The headers for the key at `row`. A key that a header cannot carry is not sent: a line feed would begin another one.
pub(super) fn render(
    headers: &[BoundHeader],
    keys: &RecordBatch,
    row: usize,
) -> Result<HeaderMap, KeyProblem> {
    let mut out = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let mut text = String::new();
        for part in &header.parts {
            match part {
                Bound::Text(fixed) => text.push_str(fixed),
                Bound::Key(key) => push_text(&mut text, keys.column(*key), row)?,
            }
        }
        let visible = text.bytes().all(|b| matches!(b, b' '..=b'~'));
        let value = visible.then(|| HeaderValue::from_str(&text).ok()).flatten();
        let value = value.ok_or_else(|| format!("header '{}' cannot carry this key", header.name))?;
        out.insert(header.name.clone(), value);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray};

    use super::*;

    fn keys(tenant: &str) -> RecordBatch {
        let columns: [(&str, ArrayRef); 2] = [
            ("tenant", Arc::new(StringViewArray::from(vec![tenant]))),
            ("n", Arc::new(Int64Array::from(vec![7]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn keys_stand_in_headers() {
        let name = HeaderName::from_static("x-tenant");
        let header = KeyHeader::parse(&name, "t={tenant};n={n} {other} {", &["tenant", "n"]).unwrap();
        assert_eq!(header.columns().collect::<Vec<_>>(), ["tenant", "n"]);
        let bound = header.bind(&["tenant", "n"]).unwrap();
        let map = render(std::slice::from_ref(&bound), &keys("acme"), 0).unwrap();
        assert_eq!(map["x-tenant"], "t=acme;n=7 {other} {");
        for bad in ["a\r\nHost: b", "ü", "\u{7f}"] {
            assert!(render(std::slice::from_ref(&bound), &keys(bad), 0).is_err(), "{bad:?}");
        }
        assert!(header.bind(&["n"]).unwrap_err().hint().is_some_and(|h| h.contains("tenant")));
        assert!(KeyHeader::parse(&name, "{\"json\": {other}}", &["tenant"]).is_none());
    }
}
