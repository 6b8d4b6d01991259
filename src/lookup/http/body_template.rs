//! The body of a request: the keys as JSON, or the user's template with the keys put in.

use arrow::array::RecordBatch;
use serde::de::IgnoredAny;

use super::secret::{Environment, Piece, Secrets, expand};
use super::value::{KeyProblem, escape, push_escaped, push_json};
use crate::error::{Error, Result};

/// The word that stands for all keys of a batch.
const KEYS: &str = "keys";

const OPTION: &str = "option 'http.request.body-template'";

/// A piece of a body before it is known which columns are keys.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A column, and whether its place is inside of a JSON string.
    Column(String, bool),
    Keys,
}

/// `http.request.body-template`: JSON with places for keys. A place inside a string takes the escaped
/// text, one outside a whole JSON value, so that no key can change the shape of the body.
#[derive(Debug, Clone)]
pub(super) struct BodyTemplate {
    parts: Vec<Part>,
}

impl BodyTemplate {
    /// Reads a template; `columns` are those of the table.
    pub(super) fn parse(
        text: &str,
        columns: &[&str],
        environment: Environment<'_>,
        secrets: &mut Secrets,
    ) -> Result<Self> {
        let mut parts = Vec::new();
        let mut in_string = false;
        for piece in expand(text, environment)? {
            match piece {
                Piece::Environment(value) => {
                    secrets.add(&value);
                    let mut escaped = String::new();
                    if in_string {
                        escape(&mut escaped, &value);
                    }
                    parts.push(Part::Text(if in_string { escaped } else { value }));
                }
                Piece::Text(text) => parse_places(&text, columns, &mut in_string, &mut parts)?,
            }
        }
        let probe: String = parts
            .iter()
            .map(|p| match p {
                Part::Text(text) => text.as_str(),
                Part::Column(..) => "0",
                Part::Keys => "[]",
            })
            .collect();
        match serde_json::from_str::<IgnoredAny>(&probe) {
            Ok(_) => Ok(Self { parts }),
            Err(e) => Err(Error::option(format!("{OPTION} is not JSON: {}", secrets.redact(&e.to_string())))
                .with_hint("write JSON with {{column}} where a key belongs")),
        }
    }

    /// Columns that have a place.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Column(name, _) => Some(name.as_str()),
            Part::Text(_) | Part::Keys => None,
        })
    }

    /// Whether it has a place for all keys of a batch.
    pub(super) fn has_keys(&self) -> bool {
        self.parts.contains(&Part::Keys)
    }

    /// Binds columns to the columns of key batches.
    pub(super) fn bind(&self, keys: &[&str]) -> Result<BodyRenderer> {
        let parts = self.parts.iter().map(|part| {
            Ok(match part {
                Part::Text(text) => Bound::Text(text.clone()),
                Part::Keys => Bound::Keys,
                Part::Column(name, quoted) => {
                    let key = keys.iter().position(|k| k == name).ok_or_else(|| {
                        Error::plan(format!(
                            "{OPTION} needs a value for column '{name}', and the query provides none"
                        ))
                        .with_hint(format!("join with an equality on '{name}'"))
                    })?;
                    if *quoted { Bound::Escaped(key) } else { Bound::Json(key) }
                }
            })
        });
        Ok(BodyRenderer { parts: parts.collect::<Result<_>>()?, names: names(keys) })
    }
}

fn parse_places(text: &str, columns: &[&str], in_string: &mut bool, parts: &mut Vec<Part>) -> Result<()> {
    let mut rest = text;
    loop {
        let at = rest.find("{{").unwrap_or(rest.len());
        let mut escaped = false;
        for byte in rest[..at].bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if *in_string => escaped = true,
                b'"' => *in_string = !*in_string,
                _ => {}
            }
        }
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_string()));
        }
        if at == rest.len() {
            return Ok(());
        }
        let inner = &rest[at + 2..];
        let length =
            inner.find("}}").ok_or_else(|| Error::option(format!("{OPTION}: '{{{{' has no '}}}}'")))?;
        let name = inner[..length].trim();
        if columns.contains(&name) {
            parts.push(Part::Column(name.to_string(), *in_string));
        } else if name == KEYS && !*in_string {
            parts.push(Part::Keys);
        } else {
            let error = Error::option(format!("{OPTION}: '{name}' is not a column of the table"));
            return Err(match crate::nearest::nearest(name, columns.iter().copied()) {
                _ if name == KEYS => error.with_hint("write {{keys}} outside of quotes: it is an array"),
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error,
            });
        }
        rest = &inner[length + 2..];
    }
}

/// `"name":` of each key, ready to write.
fn names(keys: &[&str]) -> Vec<String> {
    keys.iter()
        .map(|name| {
            let mut out = String::from("\"");
            escape(&mut out, name);
            out.push_str("\":");
            out
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Bound {
    Text(String),
    Escaped(usize),
    Json(usize),
    Keys,
    /// The object of the key columns.
    Object,
}

/// Makes bodies from keys.
#[derive(Debug, Clone)]
pub(super) struct BodyRenderer {
    parts: Vec<Bound>,
    names: Vec<String>,
}

impl BodyRenderer {
    /// The body without a template: the object of the key columns, or the array of keys.
    pub(super) fn generated(keys: &[&str], batch: bool) -> Self {
        Self { parts: vec![if batch { Bound::Keys } else { Bound::Object }], names: names(keys) }
    }

    /// The body for the keys at `rows`; places of single columns take the first row's.
    pub(super) fn render(&self, keys: &RecordBatch, rows: &[usize]) -> Result<String, KeyProblem> {
        let first = rows.first().copied().unwrap_or_default();
        let mut out = String::with_capacity(64 + rows.len() * 16);
        for part in &self.parts {
            match part {
                Bound::Text(text) => out.push_str(text),
                Bound::Escaped(key) => push_escaped(&mut out, keys.column(*key), first)?,
                Bound::Json(key) => push_json(&mut out, keys.column(*key), first)?,
                Bound::Object => self.push_object(&mut out, keys, first)?,
                Bound::Keys => {
                    out.push('[');
                    for (i, row) in rows.iter().enumerate() {
                        if i > 0 {
                            out.push(',');
                        }
                        match keys.columns() {
                            [single] => push_json(&mut out, single, *row)?,
                            _ => self.push_object(&mut out, keys, *row)?,
                        }
                    }
                    out.push(']');
                }
            }
        }
        Ok(out)
    }

    fn push_object(&self, out: &mut String, keys: &RecordBatch, row: usize) -> Result<(), KeyProblem> {
        out.push('{');
        for (i, (name, column)) in self.names.iter().zip(keys.columns()).enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(name);
            push_json(out, column, row)?;
        }
        out.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [&str; 2] = ["id", "n"];

    fn keys(ids: &[&str]) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..ids.len() as i64);
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(StringViewArray::from(ids.to_vec()))), ("n", Arc::new(numbers))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn template(text: &str) -> Result<BodyTemplate> {
        BodyTemplate::parse(text, &COLUMNS, &|_| Some("s\"x".into()), &mut Secrets::default())
    }

    #[test]
    fn places_inside_and_outside_of_strings() {
        let t = template(r#"{"q": "id:{{id}}", "id": {{id}}, "n": {{ n }}, "\"{": "${K}"}"#).unwrap();
        let body = t.bind(&COLUMNS).unwrap().render(&keys(&["a\"\n\\b"]), &[0]).unwrap();
        assert_eq!(body, r#"{"q": "id:a\"\n\\b", "id": "a\"\n\\b", "n": 0, "\"{": "s\"x"}"#);
    }

    #[test]
    fn generated_bodies_and_batches() {
        let keys = keys(&["a", "b"]);
        let one = BodyRenderer::generated(&COLUMNS, false).render(&keys, &[1]).unwrap();
        assert_eq!(one, r#"{"id":"b","n":1}"#);
        let all = BodyRenderer::generated(&COLUMNS, true).render(&keys, &[0, 1]).unwrap();
        assert_eq!(all, r#"[{"id":"a","n":0},{"id":"b","n":1}]"#);
        let bare = keys.project(&[0]).unwrap();
        let t = template(r#"{"ids": {{keys}}}"#).unwrap();
        assert!(t.has_keys());
        assert_eq!(t.bind(&["id"]).unwrap().render(&bare, &[0, 1]).unwrap(), r#"{"ids": ["a","b"]}"#);
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for text in [r#"{"a": {{di}}}"#, r#"{"a": "{{keys}}"}"#, r#"{"a": {{id"#, "{", "id={{id}}"] {
            assert!(template(text).is_err(), "{text}");
        }
        assert_eq!(template("[{{di}}]").unwrap_err().hint(), Some("did you mean 'id'?"));
        assert!(template("[{{n}}]").unwrap().bind(&["id"]).is_err());
    }

    proptest! {
        #[test]
        fn no_key_changes_the_shape(key in "\\PC*|[\"\\\\{}\n\r\t]*") {
            let t = template(r#"{"s": "<{{id}}>", "v": {{id}}}"#).unwrap();
            let body = t.bind(&COLUMNS).unwrap().render(&keys(&[&key]), &[0]).unwrap();
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(value, serde_json::json!({"s": format!("<{key}>"), "v": key}));
        }
    }
}
