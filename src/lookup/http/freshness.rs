//! `Cache-Control`, `ETag` and `304` (RFC 9111, RFC 9110 section 13), where a table asks for it.
//!
//! How long an answer may be kept is then the service's to say. Bodies that came with a validator are kept here for a
//! while, so that a request for what has outlived its lifetime can be answered with *not modified*: it costs a round
//! trip and no body. They are kept beside the cache of rows, which may have let them go.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use indexmap::IndexMap;
use parking_lot::Mutex;
use reqwest::header::{
    AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, VARY,
};

/// Bytes of bodies that are kept.
const BYTES: usize = 16 << 20;

/// A body that may still be the answer.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) body: Bytes,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl Kept {
    /// Makes a request one for what has changed.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        } else if let Some(modified) = &self.modified {
            headers.insert(IF_MODIFIED_SINCE, modified.clone());
        }
    }
}

#[derive(Debug, Default)]
struct Bodies {
    by_url: IndexMap<String, Kept>,
    bytes: usize,
}

/// The bodies of one table with their validators; the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    bodies: Mutex<Bodies>,
}

impl Freshness {
    /// What is kept of a URL.
    pub(super) fn kept(&self, url: &str) -> Option<Kept> {
        self.bodies.lock().by_url.get(url).cloned()
    }

    /// Keeps the body of an answer, if the service gave something to ask by.
    pub(super) fn keep(&self, url: &str, headers: &HeaderMap, body: &Bytes) {
        let mut bodies = self.bodies.lock();
        if let Some(old) = bodies.by_url.shift_remove(url) {
            bodies.bytes -= old.body.len() + url.len();
        }
        let (etag, modified) = (headers.get(ETAG).cloned(), headers.get(LAST_MODIFIED).cloned());
        let allowed = !directives(headers).any(|(name, _)| name == "no-store") && !headers.contains_key(VARY);
        if (etag.is_none() && modified.is_none()) || !allowed || body.len() > BYTES / 4 {
            return;
        }
        bodies.bytes += body.len() + url.len();
        // Not the buffer that the whole answer was read into.
        let body = Bytes::copy_from_slice(body);
        bodies.by_url.insert(url.to_string(), Kept { body, etag, modified });
        while bodies.bytes > BYTES
            && let Some((url, old)) = bodies.by_url.shift_remove_index(0)
        {
            bodies.bytes -= old.body.len() + url.len();
        }
    }
}

/// The directives of `Cache-Control`, in lower case, with their values.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok());
    let parts = values.flat_map(|v| v.split(',')).map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| match part.split_once('=') {
        Some((name, value)) => {
            (name.trim().to_ascii_lowercase(), Some(value.trim().trim_matches('"').to_string()))
        }
        None => (part.to_ascii_lowercase(), None),
    })
}

/// How long an answer may be kept: zero where it may not, `None` where nothing is said.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut age = None;
    for (name, value) in directives(headers) {
        match name.as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            // What cannot be read is stale (RFC 9111, section 4.2.1).
            "max-age" => age = Some(value.and_then(|v| v.parse().ok()).unwrap_or(0)),
            _ => {}
        }
    }
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let spent = text(AGE).and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or(0);
    let said = match age {
        Some(age) => age,
        None => {
            let expires = text(EXPIRES)?;
            // "0" and other texts that are no dates say that it is over already.
            let Some(expires) = date(expires) else { return Some(Duration::ZERO) };
            let now = text(DATE).and_then(date).unwrap_or_else(Utc::now);
            u64::try_from((expires - now).num_seconds()).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(said.saturating_sub(spent)))
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(text) {
        return Some(date.to_utc());
    }
    NaiveDateTime::parse_from_str(text, "%A, %d-%b-%y %H:%M:%S GMT").ok().map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn lifetimes_are_the_services_to_say() {
        let age = |lines: &[(&'static str, &str)]| max_age(&headers(lines)).map(|d| d.as_secs());
        assert_eq!(age(&[("cache-control", "public, Max-Age=60")]), Some(60));
        assert_eq!(age(&[("cache-control", "max-age=60"), ("age", "50")]), Some(10));
        assert_eq!(age(&[("cache-control", "max-age=60"), ("age", "70")]), Some(0));
        assert_eq!(age(&[("cache-control", "max-age=60"), ("cache-control", "no-store")]), Some(0));
        assert_eq!(age(&[("cache-control", "no-cache")]), Some(0));
        assert_eq!(age(&[("cache-control", "max-age=soon")]), Some(0));
        assert_eq!(age(&[("cache-control", "private")]), None);
        assert_eq!(age(&[]), None);
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(age(&[("expires", "Sun, 06 Nov 1994 08:50:07 GMT"), date]), Some(30));
        assert_eq!(age(&[("expires", "0"), date]), Some(0));
        assert_eq!(
            age(&[("expires", "Sun, 06 Nov 1994 08:50:07 GMT"), date, ("cache-control", "max-age=5")]),
            Some(5)
        );
    }

    #[test]
    fn bodies_with_a_validator_are_kept_within_a_bound() {
        let fresh = Freshness::default();
        let body = Bytes::from(vec![b'x'; 1 << 20]);
        fresh.keep("none", &headers(&[]), &body);
        fresh.keep("secret", &headers(&[("etag", "1"), ("cache-control", "no-store")]), &body);
        fresh.keep("varies", &headers(&[("etag", "1"), ("vary", "accept")]), &body);
        assert!(["none", "secret", "varies"].iter().all(|url| fresh.kept(url).is_none()));
        for n in 0..40 {
            fresh.keep(&format!("u{n}"), &headers(&[("etag", "\"1\"")]), &body);
        }
        let bodies = fresh.bodies.lock();
        assert!(bodies.bytes <= BYTES && bodies.by_url.len() >= 14, "{}", bodies.bytes);
        assert!(!bodies.by_url.contains_key("u0") && bodies.by_url.contains_key("u39"));
        drop(bodies);
        let mut asked = HeaderMap::new();
        fresh.kept("u39").unwrap().ask(&mut asked);
        assert_eq!(asked[IF_NONE_MATCH], "\"1\"");
        fresh.keep("u39", &headers(&[]), &body);
        assert!(fresh.kept("u39").is_none());
    }
}
