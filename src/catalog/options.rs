//! Options of tables: defined once, typed, validated, and an unknown one is an error that names the
//! nearest known one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::registered::Registered;
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
pub use crate::quantity::{parse_bool, parse_duration, parse_integer, parse_size};
use crate::quantity::{parse_choice, parse_number};
use crate::sql::OptionEntry;

/// Type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number from 0.
    Integer,
    /// A number.
    Number,
    /// `500 ms`, `1 s`, `5 min`, `1 h`, `1 d`.
    Duration,
    /// `64 kb`, `16 mb`.
    Size,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
}

/// An option that a connector, a format or the lookup engine knows.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// Key; one that ends with `.*` means all keys with that prefix.
    pub key: &'static str,
    /// Type of its value.
    pub kind: OptionKind,
    /// Value when it is not given, as text; empty for none.
    pub default: &'static str,
    /// One line for people.
    pub doc: &'static str,
    /// It is taken because others know it, and has no effect here.
    pub idle: bool,
}

impl OptionDef {
    /// A definition.
    pub const fn new(key: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> Self {
        Self { key, kind, default, doc, idle: false }
    }

    /// The same, of an option that has no effect.
    pub const fn without_effect(self) -> Self {
        Self { idle: true, ..self }
    }

    fn matches(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
            None => self.key == key,
        }
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    text: String,
    /// With `${NAME}` where variables were.
    written: Option<String>,
    span: Span,
}

impl From<&OptionEntry> for Value {
    fn from(e: &OptionEntry) -> Self {
        Self { text: e.value.value.clone(), written: e.written.clone(), span: e.value.span }
    }
}

/// The options of one table, by key.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, Value>,
    /// What their values may name besides what is built in.
    registered: Registered,
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for Options {}

impl Options {
    /// What the program has registered.
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// The same options, whose values may name what is registered.
    pub fn with_registered(self, registered: &Registered) -> Self {
        Self { registered: registered.clone(), ..self }
    }

    /// From WITH; a key given twice is an error.
    pub fn from_entries(entries: &[OptionEntry]) -> Result<Self> {
        let mut options = Self::default();
        for e in entries {
            if options.values.insert(e.key.value.clone(), e.into()).is_some() {
                return Err(Error::option(format!("option '{}' is given twice", e.key.value)).at(e.key.span));
            }
        }
        Ok(options)
    }

    /// These options with others on top.
    pub fn overlaid(&self, entries: &[OptionEntry]) -> Self {
        let mut merged = self.clone();
        for e in entries {
            merged.values.insert(e.key.value.clone(), e.into());
        }
        merged
    }

    /// Sets one.
    pub fn set(&mut self, key: &str, text: &str, span: Span) {
        self.values.insert(key.to_string(), Value { text: text.to_string(), written: None, span });
    }

    /// Takes one over from other options, with how it was written.
    pub fn take(&mut self, key: &str, from: &Options, span: Span) {
        if let Some(value) = from.values.get(key) {
            self.values.insert(key.to_string(), Value { span, ..value.clone() });
        }
    }

    /// Keys and values as they were written, `${NAME}` for the value of a variable.
    pub fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.written.as_deref().unwrap_or(&v.text)))
    }

    /// As WITH lists them.
    pub fn entries(&self) -> Vec<OptionEntry> {
        let name = |value: &str, span| crate::sql::Name { value: value.to_string(), span };
        let entry = |(key, value): (&String, &Value)| OptionEntry {
            key: name(key, Span::default()),
            value: name(&value.text, Span::default()),
            written: value.written.clone(),
        };
        self.values.iter().map(entry).collect()
    }

    /// Keys and values in order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.text.as_str()))
    }

    /// The place of a value, for errors.
    pub fn span(&self, key: &str) -> Span {
        self.values.get(key).map(|v| v.span).unwrap_or_default()
    }

    /// Whether it was given.
    pub fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Text of an option that was given.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|v| v.text.as_str())
    }

    /// A key that was given and may be meant for this one.
    pub fn misspelt(&self, key: &str) -> Option<&str> {
        let given = self.values.keys().map(String::as_str);
        nearest(key, given.filter(|given| *given != key && given.len() + 1 >= key.len()))
    }

    /// Text of an option that must be given.
    pub fn required(&self, key: &str) -> Result<&str> {
        self.text(key).ok_or_else(|| {
            let error = Error::option(format!("option '{key}' is required"));
            match self.misspelt(key) {
                Some(given) => {
                    error.with_hint(format!("'{given}' is given: did you mean '{key}'?")).at(self.span(given))
                }
                None => error,
            }
        })
    }

    /// Keys that start with a prefix, the prefix taken off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(move |(k, v)| Some((k.strip_prefix(prefix)?, v)))
    }

    /// Checks every key against the definitions and every value against its type.
    pub fn validate(&self, what: &str, definitions: &[&OptionDef]) -> Result<()> {
        for (key, value) in &self.values {
            let Some(definition) = definitions.iter().find(|d| d.matches(key)) else {
                let error = Error::option(format!("{what} has no option '{key}'")).at(value.span);
                return Err(match near_option(key, definitions) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(known_options(key, definitions)),
                });
            };
            check(key, &value.text, definition.kind).map_err(|e| e.at(value.span))?;
        }
        Ok(())
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        self.values
            .get(key)
            .map(|v| parse(&v.text).map_err(|e| e.context(format!("option '{key}'")).at(v.span)))
            .transpose()
    }

    /// `true` or `false`.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, parse_bool)
    }

    /// A whole number from 0.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, parse_integer)
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.parsed(key, parse_number)
    }

    /// A duration.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.parsed(key, parse_duration)
    }

    /// A size in bytes.
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, parse_size)
    }

    /// One of the words, lower case.
    pub fn choice(&self, key: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        self.parsed(key, |text| parse_choice(text, words))
    }
}

/// The option that may be meant: one that is written nearly the same, that says the same with other words in front
/// (`csv.delimiter`, `http.header.Authorization`), or that is called so elsewhere.
fn near_option(key: &str, definitions: &[&OptionDef]) -> Option<String> {
    /// Names that other systems have.
    const OTHERS: &[(&str, &str)] = &[
        ("csv.delimiter", "csv.field-delimiter"),
        ("csv.separator", "csv.field-delimiter"),
        ("csv.header", "csv.skip-header"),
        ("csv.quote", "csv.quote-character"),
        ("delimiter", "csv.field-delimiter"),
        ("header", "csv.skip-header"),
        ("timeout", "http.source.lookup.request.timeout"),
        ("method", "lookup-method"),
        ("http.method", "lookup-method"),
        ("body", "http.request.body-template"),
        ("endpoint", "url"),
        ("file", "path"),
        ("directory", "path"),
        ("connector.path", "path"),
        ("format.type", "format"),
        ("connector.type", "connector"),
        ("lookup.cache.ttl", "lookup.partial-cache.expire-after-write"),
        ("lookup.cache.max-rows", "lookup.partial-cache.max-rows"),
    ];
    let exists = |wanted: &str| definitions.iter().any(|d| d.matches(wanted));
    if let Some((_, ours)) = OTHERS.iter().find(|(other, _)| key.eq_ignore_ascii_case(other))
        && exists(ours)
    {
        return Some((*ours).to_string());
    }
    if let Some(near) = nearest(key, definitions.iter().map(|d| d.key)) {
        return Some(near.to_string());
    }
    // A group of keys, with its name in the key.
    for group in definitions.iter().filter_map(|d| d.key.strip_suffix(".*")) {
        let last = group.rsplit('.').next().unwrap_or(group);
        if let Some((_, name)) =
            key.split_once(&format!("{last}.")).or_else(|| key.split_once(&format!("{last}s.")))
        {
            return Some(format!("{group}.{name}"));
        }
    }
    // The same last word.
    let last = key.rsplit(['.', '-']).next().unwrap_or(key);
    let front = key.split('.').next().unwrap_or(key);
    let mut same = definitions.iter().map(|d| d.key).filter(|k| {
        k.rsplit(['.', '-']).next() == Some(last)
            && (!key.contains('.') || k.split('.').next() == Some(front))
    });
    match (same.next(), same.next()) {
        (Some(only), None) if last.len() > 3 => Some(only.to_string()),
        _ => None,
    }
}

/// The options there are: those that begin as the key does, or all as long as they are few.
fn known_options(key: &str, definitions: &[&OptionDef]) -> String {
    const FEW: usize = 12;
    let mut keys: Vec<_> = definitions.iter().map(|d| d.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let front = key.split(['.', '-']).next().unwrap_or(key);
    let alike: Vec<_> = keys.iter().copied().filter(|k| k.split(['.', '-']).next() == Some(front)).collect();
    match (alike.is_empty(), keys.len() <= FEW) {
        (_, true) => format!("it knows: {}", keys.join(", ")),
        (false, _) if alike.len() <= FEW => format!("it knows: {}", alike.join(", ")),
        _ => format!("it knows {} options; `affluent options` lists them", keys.len()),
    }
}

fn check(key: &str, text: &str, kind: OptionKind) -> Result<()> {
    match kind {
        OptionKind::Text => Ok(()),
        OptionKind::Bool => parse_bool(text).map(drop),
        OptionKind::Integer => parse_integer(text).map(drop),
        OptionKind::Number => parse_number(text).map(drop),
        OptionKind::Duration => parse_duration(text).map(drop),
        OptionKind::Size => parse_size(text).map(drop),
        OptionKind::Choice(words) => parse_choice(text, words).map(drop),
    }
    .map_err(|e| e.context(format!("option '{key}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_names_the_nearest() {
        const URL: OptionDef = OptionDef::new("url", OptionKind::Text, "", "");
        const MAX: OptionDef = OptionDef::new("lookup.max-retries", OptionKind::Integer, "3", "");
        const HEADER: OptionDef = OptionDef::new("http.header.*", OptionKind::Text, "", "");
        let all = [&URL, &MAX, &HEADER];
        let mut options = Options::default();
        options.set("http.header.X-A", "1", Span::default());
        assert!(options.validate("connector 'http'", &all).is_ok());
        options.set("lookup.max-retry", "2", Span::default());
        let e = options.validate("connector 'http'", &all).expect_err("unknown");
        assert_eq!(e.hint(), Some("did you mean 'lookup.max-retries'?"));
        let mut options = Options::default();
        options.set("header.Authorization", "x", Span::default());
        let e = options.validate("connector 'http'", &all).expect_err("unknown");
        assert_eq!(e.hint(), Some("did you mean 'http.header.Authorization'?"));
        let mut options = Options::default();
        options.set("ulr", "x", Span::default());
        let e = options.required("url").expect_err("missing");
        assert_eq!(e.hint(), Some("'ulr' is given: did you mean 'url'?"));
        let mut options = Options::default();
        options.set("lookup.max-retries", "many", Span::default());
        let e = options.validate("connector 'http'", &all).expect_err("not a number");
        assert!(e.message().contains("lookup.max-retries"), "{e}");
    }
}
