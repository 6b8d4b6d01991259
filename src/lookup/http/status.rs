//! What a status means: success, nothing there, try again, or failure.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::error::{Error, Result};

/// What is done with an answer of some status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusClass {
    /// The body is decoded.
    Success,
    /// A miss; the body is not looked at.
    Ignored,
    /// A failure that another attempt may mend.
    Retry,
    /// A failure.
    Failure,
}

/// A list of statuses as Flink writes it: `2XX,404,!203`. What is excluded is excluded wherever it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StatusList {
    included: Vec<(u16, u16)>,
    excluded: Vec<(u16, u16)>,
}

impl StatusList {
    /// Reads a list; an empty one holds nothing.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        for word in text.split([',', ';']).map(str::trim).filter(|w| !w.is_empty()) {
            let (target, code) = match word.strip_prefix('!') {
                Some(code) => (&mut list.excluded, code.trim()),
                None => (&mut list.included, word),
            };
            target.push(range(code).ok_or_else(|| {
                Error::option(format!("'{word}' is not a status code"))
                    .with_hint("write codes, classes and exclusions such as 2XX,404,!203")
            })?);
        }
        Ok(list)
    }

    fn contains(&self, code: u16) -> bool {
        let within = |ranges: &[(u16, u16)]| ranges.iter().any(|(low, high)| (*low..=*high).contains(&code));
        within(&self.included) && !within(&self.excluded)
    }
}

fn range(code: &str) -> Option<(u16, u16)> {
    if code.len() != 3 || !code.is_ascii() {
        return None;
    }
    if code[1..].eq_ignore_ascii_case("xx") {
        let class: u16 = code[..1].parse().ok()?;
        return (1..=5).contains(&class).then_some((class * 100, class * 100 + 99));
    }
    let code: u16 = code.parse().ok()?;
    (100..=599).contains(&code).then_some((code, code))
}

/// The three lists of a table.
#[derive(Debug, Clone)]
pub(super) struct StatusCodes {
    success: StatusList,
    retry: StatusList,
    ignored: StatusList,
    /// Whether `ignored` was written by the user: it then wins over a class such as `2XX`. The
    /// default one gives way to a user who calls 404 a success.
    ignored_first: bool,
}

impl StatusCodes {
    /// From the texts of the options, `ignored` as given.
    pub(super) fn new(success: &str, retry: &str, ignored: Option<&str>) -> Result<Self> {
        let option = |e: Error, name: &str| e.context(format!("option 'http.source.lookup.{name}'"));
        Ok(Self {
            success: StatusList::parse(success).map_err(|e| option(e, "success-codes"))?,
            retry: StatusList::parse(retry).map_err(|e| option(e, "retry-codes"))?,
            ignored: StatusList::parse(ignored.unwrap_or("404"))
                .map_err(|e| option(e, "ignored-response-codes"))?,
            ignored_first: ignored.is_some(),
        })
    }

    /// What to do with an answer of this status.
    pub(super) fn class(&self, code: u16) -> StatusClass {
        if self.ignored_first && self.ignored.contains(code) {
            StatusClass::Ignored
        } else if self.success.contains(code) {
            StatusClass::Success
        } else if self.ignored.contains(code) {
            StatusClass::Ignored
        } else if self.retry.contains(code) {
            StatusClass::Retry
        } else {
            StatusClass::Failure
        }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3); `None` when it is neither.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = SystemTime::from(date(value)?);
    Some(at.duration_since(now).unwrap_or_default())
}

/// The three forms of a date (RFC 9110, section 5.6.7): IMF-fixdate, RFC 850's and that of asctime.
fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.to_utc());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_are_flinks() {
        let codes = StatusCodes::new("2XX,404,!203", "5xx, !501, 429", None).unwrap();
        assert_eq!(codes.class(200), StatusClass::Success);
        assert_eq!(codes.class(203), StatusClass::Failure);
        assert_eq!(codes.class(404), StatusClass::Success);
        assert_eq!(codes.class(503), StatusClass::Retry);
        assert_eq!(codes.class(501), StatusClass::Failure);
        assert_eq!(codes.class(429), StatusClass::Retry);
        for wrong in ["2X", "600", "abc", "-20", "!", "2ü"] {
            assert!(StatusCodes::new(wrong, "", None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ignored_codes_win_when_they_were_written() {
        let codes = StatusCodes::new("2XX", "500", Some("404,204,403")).unwrap();
        assert_eq!(codes.class(204), StatusClass::Ignored);
        assert_eq!(codes.class(403), StatusClass::Ignored);
        assert_eq!(StatusCodes::new("2XX", "", Some("")).unwrap().class(404), StatusClass::Failure);
        assert_eq!(StatusCodes::new("2XX", "", None).unwrap().class(404), StatusClass::Ignored);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("Sunday, 06-Nov-94 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun Nov  6 08:49:47 1994", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
        assert!(retry_after("99999999999999999999999", now).is_some());
    }
}
