//! Regular expressions. A pattern is compiled once per thread and kept, so that a constant pattern costs
//! a hash lookup per batch.
//!
//! The patterns are Rust's `regex`, which is linear in the text and has no look-around and no
//! back-references; a Java pattern that needs those is refused by name instead of being matched
//! differently.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::Int32Type;
use hashbrown::HashMap;
use regex::Regex;

use super::scalar::{Call, Definition, Kind, Returns, Values, define, some};
use super::text::{count, list_of_text};
use crate::error::{Error, Result};

use Kind::{Int, Text};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["REGEXP"], &[Text, Text], Returns::Bool, regexp),
    define(&["REGEXP_REPLACE"], &[Text, Text, Text], Returns::Text, replace),
    define(&["REGEXP_EXTRACT"], &[Text, Text, Int], Returns::Text, extract).optional(1),
    define(&["REGEXP_EXTRACT_ALL"], &[Text, Text, Int], Returns::With(|_| Ok(list_of_text())), extract_all)
        .optional(1),
    define(&["REGEXP_COUNT"], &[Text, Text], Returns::Int, regexp_count),
    define(&["REGEXP_INSTR"], &[Text, Text], Returns::Int, instr),
    define(&["REGEXP_SUBSTR"], &[Text, Text], Returns::Text, substr),
];

/// Patterns kept per thread; more distinct ones than this come from data, not from SQL.
const KEPT: usize = 256;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Arc<Regex>>> = RefCell::new(HashMap::new());
}

/// The compiled pattern.
pub(crate) fn compiled(pattern: &str) -> Result<Arc<Regex>> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(regex) = patterns.get(pattern) {
            return Ok(Arc::clone(regex));
        }
        let regex = Regex::new(&ascii(pattern)).map(Arc::new).map_err(|e| {
            Error::execution("the regular expression is not valid")
                .with_detail(e.to_string())
                .with_hint("look-around and back-references are not supported")
        })?;
        if patterns.len() >= KEPT {
            patterns.clear();
        }
        patterns.insert(pattern.to_string(), Arc::clone(&regex));
        Ok(regex)
    })
}

/// The pattern with `\w`, `\d` and `\s` as Java has them: of ASCII.
fn ascii(pattern: &str) -> std::borrow::Cow<'_, str> {
    if !["\\w", "\\W", "\\d", "\\D", "\\s", "\\S"].iter().any(|class| pattern.contains(class)) {
        return pattern.into();
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    let mut set = 0_usize;
    while let Some(ch) = chars.next() {
        match ch {
            '[' => set += 1,
            ']' => set = set.saturating_sub(1),
            '\\' => {
                let Some(next) = chars.next() else {
                    out.push(ch);
                    break;
                };
                let class = match next.to_ascii_lowercase() {
                    'w' => "0-9A-Za-z_",
                    'd' => "0-9",
                    's' => r" \t\n\x0B\f\r",
                    _ => {
                        out.extend([ch, next]);
                        continue;
                    }
                };
                match (next.is_ascii_uppercase(), set) {
                    (false, 0) => out.extend(["[", class, "]"]),
                    (false, _) => out.push_str(class),
                    (true, _) => out.extend(["[^", class, "]"]),
                }
                continue;
            }
            _ => {}
        }
        out.push(ch);
    }
    out.into()
}

/// The pattern argument of a call: compiled once if it is constant.
struct Pattern<'a> {
    values: Values<'a, StringViewArray>,
    constant: Option<Arc<Regex>>,
}

impl<'a> Pattern<'a> {
    fn new(c: &'a Call<'_>, i: usize) -> Result<Self> {
        let values = c.text(i)?;
        let constant = match values.constant().then(|| values.get(0)).flatten() {
            Some(pattern) => Some(compiled(pattern)?),
            None => None,
        };
        Ok(Self { values, constant })
    }
    fn get(&self, row: usize) -> Result<Option<Arc<Regex>>> {
        match (&self.constant, self.values.get(row)) {
            (Some(regex), _) => Ok(Some(Arc::clone(regex))),
            // A pattern from data that is none is NULL; in a literal it is an error.
            (None, Some(pattern)) => Ok(compiled(pattern).ok()),
            (None, None) => Ok(None),
        }
    }
}

/// All matches from left to right as Java finds them: an empty one may follow right behind another.
fn matches<'s>(regex: &Regex, text: &'s str) -> impl Iterator<Item = regex::Match<'s>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let found = regex.find_at(text, at?)?;
        at = match found.is_empty() {
            false => Some(found.end()),
            true => text[found.end()..].chars().next().map(|ch| found.end() + ch.len_utf8()),
        };
        Some(found)
    })
}

fn regexp(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.booleans(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(Some(!regex.as_str().is_empty() && regex.is_match(s)))
    })
}

fn replace(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern, by) = (c.text(0)?, Pattern::new(c, 1)?, c.text(2)?);
    c.texts(|row, out| {
        let (s, regex, by) = (some!(s.get(row)), some!(pattern.get(row)?), some!(by.get(row)));
        let mut end = 0;
        for found in matches(&regex, s) {
            out.push_str(&s[end..found.start()]);
            // Taken as it is: Flink quotes the replacement.
            out.push_str(by);
            end = found.end();
        }
        out.push_str(&s[end..]);
        Ok(Some(()))
    })
}

fn extract(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    let group = if c.has(2) { Some(c.int(2)?) } else { None };
    c.slices(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        let group = match &group {
            Some(g) => some!(g.get(row)),
            None => 0,
        };
        if group == 0 {
            return Ok(regex.find(s).map(|m| m.as_str()));
        }
        let Ok(group) = usize::try_from(group) else { return Ok(None) };
        Ok(regex.captures(s).and_then(|found| found.get(group)).map(|m| m.as_str()))
    })
}

fn extract_all(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    let group = if c.has(2) { Some(c.int(2)?) } else { None };
    let mut list = ListBuilder::new(StringViewBuilder::new());
    for row in 0..c.rows {
        let group = match &group {
            Some(g) => g.get(row),
            None => Some(1),
        };
        let (Some(s), Some(regex), Some(group)) = (s.get(row), pattern.get(row)?, group) else {
            list.append_null();
            continue;
        };
        match usize::try_from(group) {
            Ok(group) if group < regex.captures_len() => {
                for found in regex.captures_iter(s) {
                    list.values().append_option(found.get(group).map(|m| m.as_str()));
                }
                list.append(true);
            }
            _ => list.append_null(),
        }
    }
    Ok(Arc::new(list.finish()))
}

fn regexp_count(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.numbers::<Int32Type>(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(Some(matches(&regex, s).count() as i32))
    })
}

fn instr(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.numbers::<Int32Type>(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(Some(regex.find(s).map_or(0, |m| count(&s[..m.start()]) as i32 + 1)))
    })
}

fn substr(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.slices(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(regex.find(s).map(|m| m.as_str()))
    })
}

/// `x SIMILAR TO pattern [ESCAPE e]`; the last argument says NOT.
pub(crate) fn similar(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, c.text(1)?);
    let escape = if c.has(2) { c.constant_text(2)?.and_then(|e| e.chars().next()) } else { None };
    let negated = if c.has(3) { c.boolean(3)?.get(0) == Some(true) } else { false };
    let constant = match pattern.constant().then(|| pattern.get(0)).flatten() {
        Some(p) => Some(compiled(&similar_to_regex(p, escape)?)?),
        None => None,
    };
    c.booleans(|row| {
        let (s, pattern) = (some!(s.get(row)), some!(pattern.get(row)));
        let matched = match &constant {
            Some(regex) => regex.is_match(s),
            None => compiled(&similar_to_regex(pattern, escape)?)?.is_match(s),
        };
        Ok(Some(matched != negated))
    })
}

/// SQL's pattern as a regular expression: `%` and `_` are wildcards, `| * + ? { } ( ) [ ]` keep their
/// meaning and so does the dot, which the standard would take for itself and Flink does not.
fn similar_to_regex(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut regex = String::from("(?s)^(?:");
    let mut set = false;
    let mut chars = pattern.chars();
    while let Some(ch) = chars.next() {
        match ch {
            ch if Some(ch) == escape => match chars.next() {
                Some(next) => regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4]))),
                None => {
                    return Err(Error::execution("a SIMILAR TO pattern ends with its escape character")
                        .with_detail(format!("pattern '{pattern}'")));
                }
            },
            '[' | ']' => {
                set = ch == '[';
                regex.push(ch);
            }
            '%' if !set => regex.push_str(".*"),
            '_' if !set => regex.push('.'),
            '.' | '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | ',' | '-' | '^' | ':' => regex.push(ch),
            _ => regex.push_str(&regex::escape(ch.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(")$");
    Ok(regex)
}
