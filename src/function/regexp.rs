//! Regular expressions in SQL: REGEXP and its like, SIMILAR TO. What patterns are and what matches them is in
//! [`super::matcher`]; a constant one is compiled when the query is planned, and kept per thread.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::Int32Type;

use super::matcher::{Matcher, compiled};
use super::scalar::{Call, Definition, Kind, Returns, Typing, Values, define, some};
use super::text::{count, list_of_text};
use crate::error::{Error, Result};

use Kind::{Int, Text};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["REGEXP"], &[Text, Text], Returns::Bool, regexp).check(check),
    define(&["REGEXP_REPLACE"], &[Text, Text, Text], Returns::Text, replace).check(check),
    define(&["REGEXP_EXTRACT"], &[Text, Text, Int], Returns::Text, extract).optional(1).check(check),
    define(&["REGEXP_EXTRACT_ALL"], &[Text, Text, Int], Returns::With(|_| Ok(list_of_text())), extract_all)
        .optional(1)
        .check(check),
    define(&["REGEXP_COUNT"], &[Text, Text], Returns::Int, regexp_count).check(check),
    define(&["REGEXP_INSTR"], &[Text, Text], Returns::Int, instr).check(check),
    define(&["REGEXP_SUBSTR"], &[Text, Text], Returns::Text, substr).check(check),
];

/// A constant pattern that is none is an error of the query, before the first row.
fn check(typing: &Typing<'_>) -> Result<()> {
    typing.text(1).map_or(Ok(()), |pattern| compiled(pattern).map(drop))
}

/// The pattern argument of a call: compiled once if it is constant.
struct Pattern<'a> {
    values: Values<'a, StringViewArray>,
    constant: Option<Arc<Matcher>>,
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
    fn get(&self, row: usize) -> Result<Option<Arc<Matcher>>> {
        match (&self.constant, self.values.get(row)) {
            (Some(regex), _) => Ok(Some(Arc::clone(regex))),
            // A pattern from data that is none is NULL; in a literal it is an error.
            (None, Some(pattern)) => Ok(compiled(pattern).ok()),
            (None, None) => Ok(None),
        }
    }
}

fn regexp(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.booleans(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(Some(!regex.is_empty() && regex.is_match(s)?))
    })
}

fn replace(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern, by) = (c.text(0)?, Pattern::new(c, 1)?, c.text(2)?);
    c.texts(|row, out| {
        let (s, regex, by) = (some!(s.get(row)), some!(pattern.get(row)?), some!(by.get(row)));
        let mut end = 0;
        regex.each(s, |found| {
            out.push_str(&s[end..found.start]);
            // Taken as it is: Flink quotes the replacement.
            out.push_str(by);
            end = found.end;
        })?;
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
            return Ok(regex.find_at(s, 0)?.map(|found| &s[found]));
        }
        let Ok(group) = usize::try_from(group) else { return Ok(None) };
        let found = regex.group_at(s, 0, group)?;
        Ok(found.and_then(|(_, group)| group).map(|group| &s[group]))
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
            Ok(group) if group < regex.groups() => {
                let mut at = Some(0);
                while let Some(from) = at
                    && let Some((whole, group)) = regex.group_at(s, from, group)?
                {
                    list.values().append_option(group.map(|group| &s[group]));
                    at = Matcher::after(s, &whole);
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
        let mut matches = 0;
        regex.each(s, |_| matches += 1)?;
        Ok(Some(matches))
    })
}

fn instr(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.numbers::<Int32Type>(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(Some(regex.find_at(s, 0)?.map_or(0, |found| count(&s[..found.start]) as i32 + 1)))
    })
}

fn substr(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, Pattern::new(c, 1)?);
    c.slices(|row| {
        let (s, regex) = (some!(s.get(row)), some!(pattern.get(row)?));
        Ok(regex.find_at(s, 0)?.map(|found| &s[found]))
    })
}

/// `x SIMILAR TO pattern [ESCAPE e]`; the last argument says NOT.
pub(crate) fn similar(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (c.text(0)?, c.text(1)?);
    let escape = if c.has(2) { c.constant_text(2)?.and_then(|e| e.chars().next()) } else { None };
    let negated = if c.has(3) { c.boolean(3)?.get(0) == Some(true) } else { false };
    let constant = match pattern.constant().then(|| pattern.get(0)).flatten() {
        Some(p) => Some(compiled_similar(p, escape)?),
        None => None,
    };
    c.booleans(|row| {
        let (s, pattern) = (some!(s.get(row)), some!(pattern.get(row)));
        let matched = match &constant {
            Some(regex) => regex.is_match(s)?,
            None => compiled_similar(pattern, escape)?.is_match(s)?,
        };
        Ok(Some(matched != negated))
    })
}

/// Whether a pattern of SIMILAR TO is one.
pub(crate) fn check_similar(pattern: &str, escape: Option<char>) -> Result<()> {
    compiled_similar(pattern, escape).map(drop)
}

fn compiled_similar(pattern: &str, escape: Option<char>) -> Result<Arc<Matcher>> {
    compiled(&similar_to_regex(pattern, escape)?).map_err(|e| {
        let why = e.detail().and_then(|d| d.rsplit_once("': ")).map_or("", |(_, why)| why);
        Error::execution("the pattern of SIMILAR TO is not valid").with_detail(format!("'{pattern}': {why}"))
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
    regex.push_str(r")\z");
    Ok(regex)
}
