//! Values that are not shown: what a script takes from the environment or from `--var`.
//!
//! A variable's value is part of a statement, an option, a URL; from there it could get into SHOW CREATE TABLE,
//! EXPLAIN, a message, a log line, a checkpoint's manifest. Each use of a variable notes its value here, and every
//! text for people passes [`redact`], which puts `${NAME}` in its place: errors when they are made, log lines and
//! the answers of SHOW, DESCRIBE and EXPLAIN when they are given, the descriptions in manifests before they are
//! written. Rows are data and are never touched.
//!
//! The value of an option keeps how it was written beside its value (see [`crate::catalog::Options`]), so that
//! SHOW CREATE TABLE is exact whatever the value is. Elsewhere a value is found by its text. One that could be any
//! word is left alone: shorter than `SHORTEST`, a number of few digits, a word of SQL's options.
//!
//! This list is of the process, because log lines are.

pub mod option;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Shorter values are not searched for.
const SHORTEST: usize = 4;

/// Values shorter than this count only where no letter or digit touches them.
const DISTINCT: usize = 8;

/// Numbers with fewer digits are not searched for: counts in log lines would be taken for them.
const DIGITS: usize = 7;

/// Words that options have as values, and names of what tables stand for.
const WORDS: &[&str] = &[
    "append",
    "async",
    "batch",
    "blackhole",
    "cached",
    "changelog",
    "datagen",
    "debezium-json",
    "dynamodb",
    "error",
    "exactly-once",
    "fail",
    "false",
    "file",
    "filesystem",
    "full",
    "http",
    "json",
    "kafka",
    "kinesis",
    "localhost",
    "mysql",
    "none",
    "null",
    "ordered",
    "partial",
    "post",
    "postgres",
    "print",
    "redis",
    "sqlite",
    "stdio",
    "streaming",
    "sync",
    "true",
    "warn",
];

/// RFC 3986's unreserved characters stay.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text to replace.
#[derive(Debug)]
struct Form {
    text: String,
    name: String,
    /// The name is one of a secret.
    secret: bool,
    /// The text is the value as it is.
    plain: bool,
}

/// Longest first, so that a value inside of another leaves no rest of it.
static FORMS: RwLock<Vec<Form>> = RwLock::new(Vec::new());

/// Whether there is any, without the lock.
static ANY: AtomicBool = AtomicBool::new(false);

/// The same of values whose name is one of a secret.
static SECRETS: AtomicBool = AtomicBool::new(false);

/// Notes the value of a variable: texts show `${NAME}` in its place from now on.
pub fn note(name: &str, value: &str) {
    let value = value.trim();
    if !telling(value) {
        return;
    }
    let mut forms = FORMS.write();
    let secret = option::is_sensitive_name(name);
    for text in forms_of(value, secret) {
        if !forms.iter().any(|f| f.text == text) {
            let plain = text == value;
            forms.push(Form { text, name: name.to_string(), secret, plain });
        }
    }
    if secret {
        SECRETS.store(true, Ordering::Release);
    }
    forms.sort_by_key(|f| std::cmp::Reverse(f.text.len()));
    ANY.store(true, Ordering::Release);
}

/// Whether a value can be distinguished from an ordinary word.
fn telling(value: &str) -> bool {
    let number = value.bytes().all(|b| b.is_ascii_digit());
    value.chars().count() >= SHORTEST
        && !(number && value.len() < DIGITS)
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// The value as it is, and as it looks in a URL and taken out of one, in a form, JSON, SQL and debug output; a secret also
/// as functions of constants make it.
fn forms_of(value: &str, secret: bool) -> Vec<String> {
    let mut forms = vec![value.to_string(), utf8_percent_encode(value, RESERVED).to_string()];
    forms.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
    if secret {
        forms.extend([value.to_uppercase(), value.to_lowercase(), STANDARD.encode(value)]);
    }
    forms.push(url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
    if let Ok(mut path) = url::Url::parse("http://h/") {
        path.set_path(value);
        forms.push(path.path().trim_start_matches('/').to_string());
    }
    if let Ok(json) = serde_json::to_string(value) {
        forms.push(json.trim_matches('"').to_string());
    }
    forms.push(value.replace('\'', "''"));
    let debug = format!("{value:?}");
    forms.push(debug.get(1..debug.len() - 1).unwrap_or(value).to_string());
    forms.sort();
    forms.dedup();
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// The text with `${NAME}` in place of values.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if ANY.load(Ordering::Acquire) {
        for form in FORMS.read().iter() {
            if let Some(replaced) = replace(&text, form) {
                text = Cow::Owned(replaced);
            }
        }
    }
    text
}

/// Whether there are values that [`without_secrets`] looks for.
pub(crate) fn has_secrets() -> bool {
    SECRETS.load(Ordering::Acquire)
}

/// A value of a row as it may be written to a recording: as [`redact`], of variables whose name is one of a secret
/// alone, because other values belong to the data. `None` where nothing changes.
pub(crate) fn without_secrets(text: &str) -> Option<String> {
    if !has_secrets() {
        return None;
    }
    let mut changed: Option<String> = None;
    for form in FORMS.read().iter().filter(|form| form.secret) {
        if let Some(replaced) = replace(changed.as_deref().unwrap_or(text), form) {
            changed = Some(replaced);
        }
    }
    changed
}

/// The other way round: `${NAME}` gives way to what the variable is now. `None` where nothing changes.
pub(crate) fn with_values(text: &str) -> Option<String> {
    if !has_secrets() || !text.contains("${") {
        return None;
    }
    let mut changed: Option<String> = None;
    for form in FORMS.read().iter().filter(|form| form.secret && form.plain) {
        let reference = format!("${{{}}}", form.name);
        let now = changed.as_deref().unwrap_or(text);
        if now.contains(&reference) {
            changed = Some(now.replace(&reference, &form.text));
        }
    }
    changed
}

/// As [`redact`], of a text that is owned.
pub fn redacted(text: String) -> String {
    match redact(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(redacted) => redacted,
    }
}

fn replace(text: &str, form: &Form) -> Option<String> {
    let mut out: Option<String> = None;
    let (mut copied, mut from) = (0, 0);
    while let Some(at) = text.get(from..)?.find(&form.text).map(|n| from + n) {
        let end = at + form.text.len();
        from = end;
        if !stands_alone(text, at, end, form) || is_reference(text, at, end) {
            continue;
        }
        let out = out.get_or_insert_with(String::new);
        out.push_str(&text[copied..at]);
        out.push_str("${");
        out.push_str(&form.name);
        out.push('}');
        copied = end;
    }
    let mut out = out?;
    out.push_str(&text[copied..]);
    Some(out)
}

/// A short value inside of a word is that word's.
fn stands_alone(text: &str, at: usize, end: usize, form: &Form) -> bool {
    if form.text.chars().count() >= DISTINCT {
        return true;
    }
    let joins = |a: Option<char>, b: Option<char>| {
        a.is_some_and(char::is_alphanumeric) && b.is_some_and(char::is_alphanumeric)
    };
    !joins(text[..at].chars().next_back(), form.text.chars().next())
        && !joins(form.text.chars().next_back(), text[end..].chars().next())
}

/// `${NAME}` whose name is the value.
fn is_reference(text: &str, at: usize, end: usize) -> bool {
    text[..at].ends_with("${") && text[end..].starts_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests share the list: the values are of this one alone.
    #[test]
    fn values_give_way_to_their_names() {
        note("TOKEN", "tk-91 ä'\"q7!");
        let at = |text: &str| redact(text).into_owned();
        assert_eq!(at("Bearer tk-91 ä'\"q7!."), "Bearer ${TOKEN}.");
        assert_eq!(at("http://h/tk-91%20%C3%A4%27%22q7%21/x"), "http://h/${TOKEN}/x");
        assert_eq!(at("q=tk-91+%C3%A4%27%22q7%21"), "q=${TOKEN}");
        assert_eq!(at(r#"{"a":"tk-91 ä'\"q7!"}"#), r#"{"a":"${TOKEN}"}"#);
        assert_eq!(at("s = 'tk-91 ä''\"q7!'"), "s = '${TOKEN}'");
        assert!(matches!(redact("tk-91"), Cow::Borrowed(_)));
        assert_eq!(at("TK-91 Ä'\"Q7! dGstOTEgw6QnInE3IQ=="), "${TOKEN} ${TOKEN}");
        note("PLACE", "tk%2D92/x");
        assert_eq!(at("s3://b/tk-92/x, tk%2D92/x, TK%2D92/X"), "s3://b/${PLACE}, ${PLACE}, TK%2D92/X");
    }

    #[test]
    fn rows_lose_secrets_alone_and_get_them_back() {
        note("WIDGET_TOKEN", "wdg-4411-xyz");
        note("PLACE", "Trondheimq");
        let written = without_secrets("wdg-4411-xyz in Trondheimq");
        assert_eq!(written.as_deref(), Some("${WIDGET_TOKEN} in Trondheimq"));
        assert_eq!(with_values("a ${WIDGET_TOKEN}").as_deref(), Some("a wdg-4411-xyz"));
        assert_eq!((without_secrets("nothing here"), with_values("${OTHER}")), (None, None));
    }

    #[test]
    fn short_values_are_whole_words() {
        note("CITY", "Oslq");
        assert_eq!(redact("'Oslq', Oslqo, /Oslq/ ${Oslq}"), "'${CITY}', Oslqo, /${CITY}/ ${Oslq}");
    }

    #[test]
    fn short_and_common_values_are_not_redacted() {
        for value in ["abc", "JSON", "123456", " true ", "file"] {
            note("WORD", value);
            assert_eq!(redact(value), value);
        }
        note("LONG", "zz-one-zz-inner-zz");
        note("INNER", "zz-inner-zz");
        assert_eq!(redact("zz-one-zz-inner-zz zz-inner-zz"), "${LONG} ${INNER}");
    }
}
