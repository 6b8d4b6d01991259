//! Answers of several pages: where the next one is.
//!
//! | `http.source.paging` | the next page | the last page |
//! |---|---|---|
//! | `link-header` | `Link: <...>; rel="next"` | has no such link |
//! | `cursor` | a cursor, or a URL, in the body | its cursor is absent, `null` or empty |
//! | `page-number` | `?page=2` | has no row, or fewer than a page has |
//! | `offset` | `?offset=100` | has no row, or fewer than a page has |
//!
//! A service that does not know its parameter answers with the first page for ever: two equal pages are an error.
//! A page is never asked of another host: the table's headers would go there.

use reqwest::Url;
use serde_json::value::RawValue;

use super::answer::find;
use crate::catalog::Options;
use crate::error::{Error, Result};

pub(super) const PAGING: &str = "http.source.paging";
const PARAMETER: &str = "http.source.paging.parameter";
const POINTER: &str = "http.source.paging.next-pointer";
const FIRST: &str = "http.source.paging.first";
const SIZE: &str = "http.source.paging.size";
const SIZE_PARAMETER: &str = "http.source.paging.size-parameter";
const MAX_PAGES: &str = "http.source.paging.max-pages";

pub(super) const WAYS: &[&str] = &["none", "link-header", "cursor", "page-number", "offset"];

/// Where the next page is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// There is one page.
    None,
    LinkHeader,
    Cursor {
        parameter: String,
        pointer: String,
    },
    PageNumber {
        parameter: String,
        first: u64,
    },
    Offset {
        parameter: String,
    },
}

/// How answers of a table go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) way: Way,
    /// Rows of a page.
    size: Option<u64>,
    size_parameter: Option<String>,
    pub(super) max_pages: u64,
}

impl Paging {
    /// Reads the options; `default` where they do not say how.
    pub(super) fn resolve(options: &Options, default: Way) -> Result<Self> {
        let way = options.choice(PAGING, WAYS)?;
        let parameter = |default: &str| options.text(PARAMETER).unwrap_or(default).to_string();
        let pointer = options.text(POINTER);
        let resolved = match way {
            None => default,
            Some("none") => Way::None,
            Some("link-header") => Way::LinkHeader,
            Some("cursor") => {
                let pointer = pointer.filter(|p| p.starts_with('/')).ok_or_else(|| {
                    let span = options.span(if pointer.is_some() { POINTER } else { PAGING });
                    Error::option(format!("'{PAGING}' = 'cursor' needs '{POINTER}', a JSON pointer"))
                        .with_hint(format!("such as '{POINTER}' = '/meta/next'"))
                        .at(span)
                })?;
                Way::Cursor { parameter: parameter("cursor"), pointer: pointer.to_string() }
            }
            Some("page-number") => {
                Way::PageNumber { parameter: parameter("page"), first: options.integer(FIRST)?.unwrap_or(1) }
            }
            Some(_) => Way::Offset { parameter: parameter("offset") },
        };
        let counts = matches!(resolved, Way::PageNumber { .. } | Way::Offset { .. });
        let needs = [
            (
                PARAMETER,
                counts || matches!(resolved, Way::Cursor { .. }),
                "'cursor', 'page-number' or 'offset'",
            ),
            (POINTER, matches!(resolved, Way::Cursor { .. }), "'cursor'"),
            (FIRST, matches!(resolved, Way::PageNumber { .. }), "'page-number'"),
            (SIZE, counts, "'page-number' or 'offset'"),
            (SIZE_PARAMETER, counts, "'page-number' or 'offset'"),
        ];
        if let Some((key, _, ways)) = needs.iter().find(|(key, fits, _)| options.contains(key) && !fits) {
            return Err(
                Error::option(format!("option '{key}' is for '{PAGING}' = {ways}")).at(options.span(key))
            );
        }
        let size = options.integer(SIZE)?;
        let size_parameter = options.text(SIZE_PARAMETER).map(str::to_string);
        if size == Some(0) || (size.is_none() && size_parameter.is_some()) {
            let key = if size.is_none() { SIZE_PARAMETER } else { SIZE };
            return Err(
                Error::option(format!("option '{key}' needs '{SIZE}' of at least 1")).at(options.span(key))
            );
        }
        Ok(Self {
            way: resolved,
            size,
            size_parameter,
            max_pages: options.integer(MAX_PAGES)?.unwrap_or(10_000).max(1),
        })
    }

    /// The first page of what is at a URL.
    pub(super) fn first(&self, url: &str) -> Result<Place, String> {
        let mut url = Url::parse(url).map_err(|e| format!("this is no URL: {e}"))?;
        if let (Some(size), Some(parameter)) = (self.size, &self.size_parameter) {
            set_parameter(&mut url, parameter, &size.to_string());
        }
        let number = match &self.way {
            Way::PageNumber { parameter, first } => {
                set_parameter(&mut url, parameter, &first.to_string());
                *first
            }
            Way::Offset { parameter } => {
                set_parameter(&mut url, parameter, "0");
                0
            }
            _ => 0,
        };
        Ok(Place { url, number, pages: 1 })
    }

    /// The page behind one with this body and this `Link` header; `None` behind the last one.
    pub(super) fn next(
        &self,
        place: &Place,
        body: &[u8],
        rows: &[u8],
        links: &[String],
    ) -> Result<Option<Place>, String> {
        let found = match &self.way {
            Way::None => None,
            Way::LinkHeader => match links.iter().find_map(|links| next_link(links)) {
                Some(link) => Some((joined(&place.url, &link)?, 0)),
                None => None,
            },
            Way::Cursor { parameter, pointer } => match cursor(body, pointer)? {
                Some(cursor) if is_url(&cursor) => Some((joined(&place.url, &cursor)?, 0)),
                Some(cursor) => {
                    let mut url = place.url.clone();
                    set_parameter(&mut url, parameter, &cursor);
                    Some((url, 0))
                }
                None => None,
            },
            Way::PageNumber { parameter, .. } => self.counted(place, rows, parameter, 1),
            Way::Offset { parameter } => self.counted(place, rows, parameter, count(rows)),
        };
        let Some((url, number)) = found else { return Ok(None) };
        if url == place.url {
            return Err("the next page is this page again".to_string());
        }
        if place.pages >= self.max_pages {
            return Err(format!("there are more than {} pages ('{MAX_PAGES}')", self.max_pages));
        }
        Ok(Some(Place { url, number, pages: place.pages + 1 }))
    }

    fn counted(&self, place: &Place, rows: &[u8], parameter: &str, by: u64) -> Option<(Url, u64)> {
        let here = count(rows);
        if here == 0 || self.size.is_some_and(|size| here < size) {
            return None;
        }
        let mut url = place.url.clone();
        let number = place.number + by;
        set_parameter(&mut url, parameter, &number.to_string());
        Some((url, number))
    }
}

/// A page that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) url: Url,
    /// Number or offset.
    number: u64,
    /// How many pages there are up to this one.
    pub(super) pages: u64,
}

/// Rows of an array.
fn count(rows: &[u8]) -> u64 {
    match rows.trim_ascii().first() {
        Some(b'[') => serde_json::from_slice::<Vec<&RawValue>>(rows).map_or(0, |rows| rows.len() as u64),
        None => 0,
        Some(_) => u64::from(rows.trim_ascii() != b"null"),
    }
}

fn is_url(cursor: &str) -> bool {
    cursor.starts_with("http://") || cursor.starts_with("https://") || cursor.starts_with(['/', '?'])
}

/// A link of a page, as long as it stays on its host.
fn joined(from: &Url, link: &str) -> Result<Url, String> {
    let url = from.join(link).map_err(|e| format!("the next page is no URL: {e}"))?;
    if url.origin() != from.origin() {
        return Err(format!(
            "the next page is on another host, {}, which is not followed",
            url.origin().ascii_serialization()
        ));
    }
    Ok(url)
}

/// Puts a parameter into the query of a URL, in place of one of that name.
fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let mut pairs = url.query_pairs_mut();
    pairs.clear();
    for (key, value) in &others {
        pairs.append_pair(key, value);
    }
    pairs.append_pair(name, value);
}

/// The cursor in a body.
fn cursor(body: &[u8], pointer: &str) -> Result<Option<String>, String> {
    let found = find(body, pointer).map_err(|e| format!("the answer is not JSON: {e}"))?;
    let text = match found {
        None | Some(b"" | b"null" | b"false" | b"\"\"") => return Ok(None),
        Some(value) if value.starts_with(b"\"") => serde_json::from_slice::<String>(value)
            .map_err(|e| format!("the cursor at '{pointer}' is no text: {e}"))?,
        Some(value) if value.starts_with(b"{") || value.starts_with(b"[") => {
            return Err(format!("what is at '{pointer}' is no cursor: neither a text nor a number"));
        }
        Some(value) => String::from_utf8_lossy(value).into_owned(),
    };
    Ok((!text.is_empty()).then_some(text))
}

/// The link of a `Link` header (RFC 8288) whose relation is `next`.
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let (link, behind) = behind.split_once('>')?;
        let end = behind.find('<').unwrap_or(behind.len());
        let is_next = behind[..end].split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(link.trim().to_string());
        }
        rest = &behind[end..];
    }
    None
}

/// Names of members, without capitals and `_`, that lead to a next page, say that there is one, and count all rows.
const NEXT: &[&str] =
    &["next", "nextpage", "nexturl", "nextlink", "nextcursor", "nexttoken", "nextpagetoken"];
const MORE: &[&str] = &["hasmore", "hasnext", "hasnextpage", "morepages"];
const TOTAL: &[&str] = &["total", "totalcount", "totalresults", "totalitems", "totalelements", "count"];

/// What a body says of rows that are not in it, beside its rows or one level deeper.
pub(super) fn unread(body: &[u8], rows: &[u8]) -> Option<String> {
    type Members<'a> = std::collections::HashMap<std::borrow::Cow<'a, str>, &'a serde_json::value::RawValue>;
    let here = count(rows);
    let mut found = None;
    let mut look = |text: &[u8]| -> Vec<String> {
        let Ok(members) = serde_json::from_slice::<Members<'_>>(text) else { return Vec::new() };
        let mut inner = Vec::new();
        for (name, value) in &members {
            let plain = name.replace(['_', '-'], "").to_ascii_lowercase();
            let value = value.get();
            let told = match value {
                "null" | "\"\"" | "false" | "0" => None,
                _ if NEXT.contains(&plain.as_str()) && !value.starts_with(['{', '[']) => {
                    Some(format!("the answer has a next page ('{name}')"))
                }
                "true" if MORE.contains(&plain.as_str()) => Some(format!("the answer says '{name}'")),
                _ if TOTAL.contains(&plain.as_str()) => match value.parse::<u64>() {
                    Ok(total) if total > here => {
                        Some(format!("the answer has {here} of {total} rows ('{name}')"))
                    }
                    _ => None,
                },
                _ => None,
            };
            found = found.take().or(told);
            if value.starts_with('{') {
                inner.push(value.to_string());
            }
        }
        inner
    };
    for inner in look(body) {
        look(inner.as_bytes());
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Span;

    fn paging(options: &[(&str, &str)]) -> Result<Paging> {
        let mut all = Options::default();
        options.iter().for_each(|(key, value)| all.set(key, value, Span::default()));
        Paging::resolve(&all, Way::LinkHeader)
    }

    #[test]
    fn links_of_a_header() {
        let header = r#"<https://h/a?x=1,2>; rel="prev", </a?page=3>; title="a; rel=x" ; rel="last next""#;
        assert_eq!(next_link(header).as_deref(), Some("/a?page=3"));
        assert_eq!(next_link(r"<b>;rel=next").as_deref(), Some("b"));
        assert_eq!(next_link(r#"<b>; rel="nexts""#), None);
        assert_eq!(next_link("nothing"), None);
    }

    #[test]
    fn each_way_goes_on_and_ends() {
        let link = paging(&[]).unwrap();
        let at = link.first("http://h/r?a=b").unwrap();
        let to = |links: &str| link.next(&at, b"", b"", &[links.to_string()]);
        assert_eq!(to("<?page=2>; rel=next").unwrap().unwrap().url.as_str(), "http://h/r?page=2");
        assert_eq!(to("<?page=2>; rel=prev").unwrap(), None);
        assert!(to("<http://other/r>; rel=next").unwrap_err().contains("another host"));
        assert!(to("<?a=b>; rel=next").unwrap_err().contains("this page again"));

        let numbers = paging(&[
            (PAGING, "page-number"),
            (FIRST, "0"),
            (SIZE, "2"),
            (SIZE_PARAMETER, "per_page"),
            (MAX_PAGES, "2"),
        ])
        .unwrap();
        let at = numbers.first("http://h/r?a=b").unwrap();
        assert_eq!(at.url.as_str(), "http://h/r?a=b&per_page=2&page=0");
        let second = numbers.next(&at, b"", b"[1, [2]]", &[]).unwrap().unwrap();
        assert_eq!(second.url.as_str(), "http://h/r?a=b&per_page=2&page=1");
        assert_eq!(numbers.next(&second, b"", b"[1]", &[]).unwrap(), None);
        assert!(numbers.next(&second, b"", b"[1,2]", &[]).unwrap_err().contains("more than 2 pages"));

        let offsets = paging(&[(PAGING, "offset"), (PARAMETER, "skip")]).unwrap();
        let at = offsets.first("http://h/r").unwrap();
        let second = offsets.next(&at, b"", b"[1,2,3]", &[]).unwrap().unwrap();
        assert_eq!(second.url.as_str(), "http://h/r?skip=3");
        assert_eq!(offsets.next(&second, b"", b" [ ] ", &[]).unwrap(), None);

        let cursors = paging(&[(PAGING, "cursor"), (POINTER, "/meta/next")]).unwrap();
        let at = cursors.first("http://h/r").unwrap();
        let to =
            |body: &str| cursors.next(&at, body.as_bytes(), b"", &[]).map(|p| p.map(|p| p.url.to_string()));
        assert_eq!(to(r#"{"meta":{"next":"a&b"}}"#).unwrap().as_deref(), Some("http://h/r?cursor=a%26b"));
        assert_eq!(to(r#"{"meta":{"next":17}}"#).unwrap().as_deref(), Some("http://h/r?cursor=17"));
        assert_eq!(to(r#"{"meta":{"next":"/r?c=2"}}"#).unwrap().as_deref(), Some("http://h/r?c=2"));
        for last in [r#"{"meta":{}}"#, r#"{"meta":{"next":null}}"#, r#"{"meta":{"next":""}}"#, "{}"] {
            assert_eq!(to(last).unwrap(), None, "{last}");
        }
        assert!(to(r#"{"meta":{"next":{}}}"#).is_err());
    }

    #[test]
    fn options_that_do_nothing_are_refused() {
        for options in [
            &[(PAGING, "cursor")][..],
            &[(PAGING, "cursor"), (POINTER, "meta")],
            &[(SIZE, "3")],
            &[(PAGING, "link-header"), (PARAMETER, "p")],
            &[(PAGING, "offset"), (FIRST, "0")],
            &[(PAGING, "offset"), (SIZE_PARAMETER, "n")],
            &[(PAGING, "offset"), (SIZE, "0")],
            &[(PAGING, "pages")],
        ] {
            assert!(paging(options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn pages_that_nobody_reads_are_noticed() {
        let rows = br#"[{"a":1},{"a":2}]"#;
        for (body, said) in [
            (r#"{"items":[],"next":"/l?page=2"}"#, Some("next")),
            (r#"{"items":[],"meta":{"next_cursor":"x9"}}"#, Some("next_cursor")),
            (r#"{"items":[],"hasMore":true}"#, Some("hasMore")),
            (r#"{"items":[],"total":23}"#, Some("2 of 23")),
            (r#"{"items":[],"total":2,"next":null,"has_more":false}"#, None),
            (r#"[{"a":1},{"a":2}]"#, None),
        ] {
            let found = unread(body.as_bytes(), rows);
            assert_eq!(
                found.as_ref().map(|f| f.contains(said.unwrap_or("?"))),
                said.map(|_| true),
                "{body} {found:?}"
            );
        }
    }
}
