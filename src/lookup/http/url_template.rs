//! The URL of a request: literal text and percent-encoded keys, cut apart once.
//!
//! A key may never change which path is asked: it is encoded down to RFC 3986's unreserved characters,
//! and a path segment that would then be empty, `.` or `..` is refused (URL parsers take those away,
//! encoded or not).

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::secret::{Environment, Piece, Secrets, expand, is_sensitive_name};
use super::value::{KeyProblem, push_text};
use crate::error::{Error, Result};

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes of a URL for many keys; servers refuse longer ones.
const LONGEST: usize = 7_000;

/// A piece of a URL before it is known which columns are keys.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

/// A URL with places for columns.
#[derive(Debug, Clone)]
pub(super) struct UrlTemplate {
    parts: Vec<Part>,
    /// As it is shown: secrets masked, places as `{column}`.
    shown: String,
    /// Scheme, host and port, for limits that hold per endpoint.
    pub(super) origin: String,
    /// `https`.
    pub(super) is_tls: bool,
    /// The host is this machine.
    pub(super) is_loopback: bool,
}

impl UrlTemplate {
    /// Reads `url`. `inserts` maps the names in `{{...}}` to columns (`http.request.url-map`).
    pub(super) fn parse(
        url: &str,
        inserts: &BTreeMap<String, String>,
        environment: Environment<'_>,
        secrets: &mut Secrets,
    ) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        for piece in expand(url, environment)? {
            match piece {
                Piece::Environment(value) => {
                    // What stands in the query is a key to the API more often than not.
                    let in_query = parts.iter().any(|p| matches!(p, Part::Text(t) if t.contains('?')));
                    if in_query {
                        secrets.add(&value);
                    }
                    push_literal(&mut parts, &value);
                }
                Piece::Text(text) => parse_places(&text, inserts, &mut parts)?,
            }
        }
        Self::check(parts, secrets)
    }

    fn check(parts: Vec<Part>, secrets: &mut Secrets) -> Result<Self> {
        let probe: String = parts
            .iter()
            .map(|p| match p {
                Part::Text(text) => text.as_str(),
                Part::Column(_) => "x",
            })
            .collect();
        let whole = |e: Error| e.with_hint("write it as http://host/path/{column}");
        let parsed = Url::parse(&probe)
            .map_err(|e| whole(Error::option(format!("option 'url' is not a URL: {e}"))))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(whole(Error::option("option 'url' must start with http:// or https:// and a host")));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Error::option("option 'url' must not hold a user name or password")
                .with_hint("use 'http.source.lookup.header.Authorization' = 'user:${PASSWORD}'"));
        }
        if parsed.fragment().is_some() {
            return Err(Error::option("option 'url' must not hold a fragment (#...)"));
        }
        // A key in the host would send the headers, secrets among them, wherever the data says.
        let mut before = String::new();
        for part in &parts {
            match part {
                Part::Text(text) => before.push_str(text),
                Part::Column(name) => {
                    let authority = before.split_once("://").map_or("", |(_, rest)| rest);
                    if !authority.contains(['/', '?']) {
                        return Err(Error::unsupported(format!(
                            "option 'url': column '{name}' cannot be the host, the port or the whole URL"
                        ))
                        .with_hint("a key is allowed in the path and in the query"));
                    }
                    before.push('x');
                }
            }
        }
        note_query_secrets(&parts, secrets);
        let shown: String = parts
            .iter()
            .map(|p| match p {
                Part::Text(text) => secrets.redact(text).into_owned(),
                Part::Column(name) => format!("{{{name}}}"),
            })
            .collect();
        let host = parsed.host();
        let is_loopback = match host {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        Ok(Self {
            shown,
            origin: parsed.origin().ascii_serialization(),
            is_tls: parsed.scheme() == "https",
            is_loopback,
            parts,
        })
    }

    /// Columns that have a place.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether the keys of many rows have a place: in the query, or none that is said.
    pub(super) fn lists_keys(&self) -> bool {
        let mut in_query = false;
        self.parts.iter().all(|part| match part {
            Part::Text(text) => {
                in_query |= text.contains('?');
                true
            }
            Part::Column(_) => in_query,
        })
    }

    /// The URL for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Binds columns to the columns of key batches. Keys without a place become query parameters if
    /// `add_rest`.
    pub(super) fn bind(&self, keys: &[&str], add_rest: bool) -> Result<UrlRenderer> {
        let mut parts = Vec::new();
        let mut in_query = false;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    in_query |= text.contains('?');
                    parts.push(Bound::Text(text.clone()));
                }
                Part::Column(name) => {
                    let key = keys.iter().position(|k| k == name).ok_or_else(|| {
                        Error::plan(format!(
                            "the url needs a value for column '{name}', and the query provides none"
                        ))
                        .with_detail(format!("url: {}", self.shown))
                        .with_hint(format!("join with an equality on '{name}'"))
                    })?;
                    parts.push(if in_query { Bound::Query(key) } else { Bound::Path(key) });
                }
            }
        }
        if add_rest {
            for (key, name) in keys.iter().enumerate() {
                if self.columns().any(|c| c == *name) {
                    continue;
                }
                let separator = if in_query { '&' } else { '?' };
                in_query = true;
                let name = utf8_percent_encode(name, RESERVED);
                parts.push(Bound::Text(format!("{separator}{name}=")));
                parts.push(Bound::Query(key));
            }
        }
        let length = parts.iter().map(|p| if let Bound::Text(t) = p { t.len() } else { 24 }).sum();
        Ok(UrlRenderer { parts, length })
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_string())),
    }
}

/// Cuts out `{column}` and `{{insert}}`.
fn parse_places(text: &str, inserts: &BTreeMap<String, String>, parts: &mut Vec<Part>) -> Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        push_literal(parts, &rest[..at]);
        let (open, close) = if rest[at..].starts_with("{{") { ("{{", "}}") } else { ("{", "}") };
        let inner = &rest[at + open.len().min(rest.len() - at)..];
        let length = inner.find(close).filter(|_| rest[at..].starts_with('{')).ok_or_else(|| {
            Error::option(format!("option 'url': '{}' is not closed or not opened", &rest[at..=at]))
                .with_hint("a place for a key is written {column}")
        })?;
        let name = inner[..length].trim();
        if name.is_empty() || name.contains(['{', '}']) {
            return Err(Error::option(format!("option 'url': '{{{name}}}' is not a column")));
        }
        let column = match inserts.get(name) {
            Some(column) if open == "{{" => column.clone(),
            _ => name.to_string(),
        };
        parts.push(Part::Column(column));
        rest = &inner[length + close.len()..];
    }
    push_literal(parts, rest);
    Ok(())
}

/// Literal values of query parameters such as `api_key` are secrets, too.
fn note_query_secrets(parts: &[Part], secrets: &mut Secrets) {
    let mut in_query = false;
    for (i, part) in parts.iter().enumerate() {
        let Part::Text(text) = part else { continue };
        let query = match (in_query, text.split_once('?')) {
            (true, _) => text.as_str(),
            (false, Some((_, query))) => query,
            (false, None) => continue,
        };
        in_query = true;
        let last_is_open = matches!(parts.get(i + 1), Some(Part::Column(_)));
        let pairs: Vec<&str> = query.split('&').collect();
        for (j, pair) in pairs.iter().enumerate() {
            if let Some((name, value)) = pair.split_once('=')
                && is_sensitive_name(name)
                && !(last_is_open && j + 1 == pairs.len())
            {
                secrets.add(value);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Bound {
    Text(String),
    Path(usize),
    Query(usize),
}

/// Makes URLs from keys.
#[derive(Debug, Clone)]
pub(super) struct UrlRenderer {
    parts: Vec<Bound>,
    length: usize,
}

impl UrlRenderer {
    /// A URL without places.
    pub(super) fn fixed(&self) -> String {
        let text = |part: &Bound| match part {
            Bound::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(text).collect()
    }

    /// The URL for the key at `row`.
    pub(super) fn render(&self, keys: &RecordBatch, row: usize) -> Result<String, KeyProblem> {
        let mut out = String::with_capacity(self.length);
        let mut segment = 0;
        let mut has_key = false;
        let mut in_path = true;
        for part in &self.parts {
            match part {
                Bound::Text(text) => {
                    if in_path && let Some(end) = text.find(['/', '?']) {
                        let start = out.len();
                        out.push_str(text);
                        if has_key {
                            check_segment(&out[segment..start + end])?;
                            has_key = false;
                        }
                        in_path = !text.contains('?');
                        segment = out.rfind('/').map_or(0, |i| i + 1);
                    } else {
                        out.push_str(text);
                    }
                }
                Bound::Path(key) => {
                    has_key = true;
                    push_encoded(&mut out, keys.column(*key), row)?;
                }
                Bound::Query(key) => push_encoded(&mut out, keys.column(*key), row)?,
            }
        }
        if has_key {
            check_segment(&out[segment..])?;
        }
        Ok(out)
    }
}

impl UrlRenderer {
    /// The URL for many keys of one column, as a list with commas in the query. A key that holds a comma would be two.
    pub(super) fn render_list(&self, keys: &RecordBatch, rows: &[usize]) -> Result<String, KeyProblem> {
        let mut out = String::with_capacity(self.length + rows.len() * 16);
        for part in &self.parts {
            match part {
                Bound::Text(text) => out.push_str(text),
                Bound::Path(key) | Bound::Query(key) => {
                    for (i, row) in rows.iter().enumerate() {
                        if i > 0 {
                            out.push(',');
                        }
                        let start = out.len();
                        push_encoded(&mut out, keys.column(*key), *row)?;
                        let written = out.get(start..).unwrap_or_default();
                        if written.is_empty() || written.contains("%2C") {
                            return Err("a list has no place for an empty key or one with a comma".into());
                        }
                    }
                }
            }
        }
        if out.len() > LONGEST && rows.len() > 1 {
            return Err(format!("the URL for {} keys is longer than {LONGEST} bytes", rows.len()));
        }
        Ok(out)
    }
}

fn push_encoded(out: &mut String, column: &dyn Array, row: usize) -> Result<(), KeyProblem> {
    if *column.data_type() == DataType::Utf8View {
        out.extend(utf8_percent_encode(column.as_string_view().value(row), RESERVED));
    } else {
        let mut text = String::new();
        push_text(&mut text, column, row)?;
        out.extend(utf8_percent_encode(&text, RESERVED));
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), KeyProblem> {
    if segment.len() > 6 {
        return Ok(());
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "" => Err("an empty key would change the path of the URL".into()),
        dots @ ("." | "..") => Err(format!("'{dots}' would change the path of the URL")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    fn template(url: &str) -> Result<UrlTemplate> {
        let environment = |name: &str| (name == "KEY").then(|| "top-secret".to_string());
        let inserts = BTreeMap::from([("insert".to_string(), "id".to_string())]);
        UrlTemplate::parse(url, &inserts, &environment, &mut Secrets::default())
    }

    fn keys(id: &str) -> RecordBatch {
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(StringViewArray::from(vec![id]))), ("n", Arc::new(Int64Array::from(vec![42])))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn render(url: &str, id: &str) -> Result<String, KeyProblem> {
        template(url).unwrap().bind(&["id", "n"], true).unwrap().render(&keys(id), 0)
    }

    #[test]
    fn keys_are_encoded_down_to_the_unreserved_characters() {
        let url = "http://h/s/{id}?n={n}";
        assert_eq!(render(url, "a-b_c.d~9").unwrap(), "http://h/s/a-b_c.d~9?n=42");
        assert_eq!(
            render(url, "/?%# ü日本\\").unwrap(),
            "http://h/s/%2F%3F%25%23%20%C3%BC%E6%97%A5%E6%9C%AC%5C?n=42"
        );
    }

    #[test]
    fn keys_without_a_place_become_query_parameters() {
        assert_eq!(render("http://h/s", "a&b").unwrap(), "http://h/s?id=a%26b&n=42");
        assert_eq!(render("http://h/s?x=1", "a").unwrap(), "http://h/s?x=1&id=a&n=42");
        assert_eq!(render("http://h/{{insert}}", "a").unwrap(), "http://h/a?n=42");
    }

    #[test]
    fn a_key_cannot_change_the_path() {
        for (url, key) in [
            ("http://h/s/{id}", "."),
            ("http://h/s/{id}", ".."),
            ("http://h/s/{id}", ""),
            ("http://h/s/{id}/x/{n}", ".."),
            ("http://h/s/.{id}", "."),
            ("http://h/s/%2e{id}", "."),
            ("http://h/s/{id}?a=b", ".."),
        ] {
            assert!(render(url, key).is_err(), "{url} {key}");
        }
        assert_eq!(render("http://h/s/v{id}", "").unwrap(), "http://h/s/v?n=42");
        assert_eq!(render("http://h/s?q={id}", "..").unwrap(), "http://h/s?q=..&n=42");
    }

    #[test]
    fn urls_that_cannot_work_are_refused() {
        for url in [
            "sensors/{id}",
            "ftp://h/{id}",
            "http://{id}/x",
            "http://h:{n}/x",
            "{{insert}}",
            "http://h/{id",
            "http://h/id}",
            "http://h/{}",
            "http://u:p@h/{id}",
            "http://h/{id}#f",
            "http://h{id}/",
            "http://h/${NO}",
        ] {
            assert!(template(url).is_err(), "{url}");
        }
        let e = template("http://h/{other}").unwrap().bind(&["id"], true).unwrap_err();
        assert_eq!(e.hint(), Some("join with an equality on 'other'"));
    }

    #[test]
    fn secrets_of_the_query_are_not_shown() {
        assert_eq!(template("http://h/{id}?k=${KEY}").unwrap().shown(), "http://h/{id}?k=${KEY}");
        assert_eq!(
            template("http://h/{id}?api_key=abcdef&u=1").unwrap().shown(),
            "http://h/{id}?api_key=***&u=1"
        );
        assert!(render("http://h/{id}?k=${KEY}", "a").unwrap().contains("k=top-secret"));
    }

    proptest! {
        #[test]
        fn any_key_stays_within_its_segment(key in "\\PC*|[./%?#\\\\ ]{0,4}") {
            if let Ok(url) = render("http://h/a/{id}/z", &key) {
                let url = Url::parse(&url).unwrap();
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 3);
                let decoded = percent_encoding::percent_decode_str(segments[1]).decode_utf8().unwrap();
                prop_assert_eq!(decoded.as_ref(), key.as_str());
            }
        }
    }
}
