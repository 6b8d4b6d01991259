//! `${NAME}` and `${NAME:-default}` in scripts, from `--var` and the environment.
//!
//! Values are put in before the text is parsed. Errors point to the text as it was written: columns
//! stay true, and a value never shows up in an excerpt. Each value is noted in [`crate::secret`], and the
//! parser keeps what was written beside it, so that SHOW CREATE TABLE, EXPLAIN, messages and checkpoints show
//! `${NAME}`.
//!
//! Not replaced: anything in comments and in the code of functions (`$$ ... $$`), and headers and body templates (keys
//! with `.header.`, `body-template`) unless `--var` gives the values; there the connector itself takes `${NAME}` from the
//! environment, and escapes it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::scan::{PieceKind, Placeholder, pieces, placeholder};
use crate::error::SourceText;
use crate::error::{Error, Position, Result, Span};

/// A script as written and as it is run.
#[derive(Debug, Clone)]
pub struct Script {
    /// As written.
    pub written: SourceText,
    /// With the values of its variables.
    pub expanded: SourceText,
    /// Where the two differ, in order.
    replaced: Vec<Replacement>,
    /// Names without a value, in `check`.
    missing: Vec<Missing>,
}

/// A variable without a value, and where it stands in the written text.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// Characters `expanded` of the expanded text stand for characters `written` of the written one.
#[derive(Debug, Clone)]
struct Replacement {
    written: (usize, usize),
    expanded: (usize, usize),
}

/// What the names stand for: `--var` first, then the environment.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    given: HashMap<String, String>,
}

impl Variables {
    /// From the `NAME=value` pairs of the command line.
    pub fn new(given: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { given: given.into_iter().collect() }
    }

    /// Sets one, as `--var` does.
    pub fn set(&mut self, name: &str, value: &str) {
        self.given.insert(name.to_string(), value.to_string());
    }

    /// What `--var` says.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// What a name stands for.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.given.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// Puts values in; a name without a value is an error.
    pub fn expand(&self, written: SourceText) -> Result<Script> {
        self.expand_with(written, &|name| self.value(name), false)
    }

    /// Puts values in for `check`: a name without a value that stands in quotes is itself in its place, and is one of
    /// [`Script::missing`].
    pub fn expand_known(&self, written: SourceText) -> Result<Script> {
        self.expand_with(written, &|name| self.value(name), true)
    }

    fn expand_with(
        &self,
        written: SourceText,
        value: &dyn Fn(&str) -> Option<String>,
        lenient: bool,
    ) -> Result<Script> {
        let text = &*written.text;
        if !text.contains("${") {
            return Ok(Script::plain(written));
        }
        let mut expansion = Expansion {
            text,
            out: String::with_capacity(text.len()),
            marks: Vec::new(),
            lenient,
            missing: Vec::new(),
        };
        let mut header = HeaderValues::default();
        for piece in pieces(text) {
            let part = &text[piece.range.clone()];
            let is_header_value = header.next(piece.kind, part);
            // From the environment the connector takes it.
            let given = |name: &str| self.given.get(name).cloned();
            match piece.kind {
                PieceKind::String if is_header_value => expansion.header(piece.range.start, part, &given)?,
                PieceKind::Variable => expansion.replace(piece.range.start, part, None, value)?,
                PieceKind::String => {
                    expansion.replace(piece.range.start, part, Some('\''), value)?;
                }
                PieceKind::Quoted => {
                    expansion.replace(piece.range.start, part, part.chars().next(), value)?;
                }
                _ => expansion.out.push_str(part),
            }
        }
        let replaced = expansion.char_marks();
        let Expansion { out, marks, missing, .. } = expansion;
        let names = marks.into_iter().map(|mark| (mark.expanded.0..mark.expanded.1, mark.name));
        let expanded = SourceText::new(&written.name, &out).with_variables(names.collect());
        Ok(Script { written, expanded, replaced, missing })
    }
}

/// Recognises the value in `'... .header. ...' = 'value'` and its like.
#[derive(Default)]
struct HeaderValues {
    key: bool,
    equals: bool,
}

impl HeaderValues {
    fn next(&mut self, kind: PieceKind, part: &str) -> bool {
        match kind {
            PieceKind::Space | PieceKind::Comment => false,
            PieceKind::String if self.key && self.equals => {
                *self = Self::default();
                true
            }
            PieceKind::String => {
                let own = part.contains(".header.") || part.contains("body-template");
                *self = Self { key: own, equals: false };
                false
            }
            PieceKind::Symbol if part == "=" => {
                self.equals = true;
                false
            }
            _ => {
                *self = Self::default();
                false
            }
        }
    }
}

struct Expansion<'a> {
    text: &'a str,
    out: String,
    marks: Vec<Mark>,
    /// A name without a value is no error.
    lenient: bool,
    missing: Vec<Missing>,
}

/// A variable that was replaced: byte ranges, written and expanded.
struct Mark {
    name: String,
    written: (usize, usize),
    expanded: (usize, usize),
}

impl Expansion<'_> {
    /// Appends `part`, which stands at `start`, with its variables replaced. Inside of quotes a quote in
    /// a value is doubled, so that a value stays one value.
    fn replace(
        &mut self,
        start: usize,
        part: &str,
        quote: Option<char>,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<()> {
        let mut at = 0;
        while let Some(found) = part[at..].find("${") {
            let here = at + found;
            self.out.push_str(&part[at..here]);
            let Some(Placeholder { name, default, length }) = placeholder(&part[here..]) else {
                self.out.push_str("${");
                at = here + 2;
                continue;
            };
            let from = start + here;
            let begin = self.out.len();
            let value = match value(name) {
                Some(value) => {
                    crate::secret::note(name, &value);
                    value
                }
                None if default.is_some() => default.unwrap_or_default().to_string(),
                None if self.lenient && quote.is_some() => {
                    let span = self.span(from, length);
                    self.missing.push(Missing { name: name.to_string(), span });
                    name.to_string()
                }
                None => return Err(self.undefined(name, from, length)),
            };
            match quote {
                Some(q) => self.out.push_str(&value.replace(q, &format!("{q}{q}"))),
                None => self.out.push_str(&value),
            }
            self.marks.push(Mark {
                name: name.to_string(),
                written: (from, from + length),
                expanded: (begin, self.out.len()),
            });
            at = here + length;
        }
        self.out.push_str(&part[at..]);
        Ok(())
    }

    /// A header's value: what is given is put in, the rest stays for the connector.
    fn header(&mut self, start: usize, part: &str, given: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let mut names = BTreeSet::new();
        let mut rest = part;
        while let Some(at) = rest.find("${") {
            rest = &rest[at..];
            let Some(found) = placeholder(rest) else { break };
            names.insert(found.name);
            rest = &rest[found.length..];
        }
        let known = |name: &str| given(name).or_else(|| std::env::var(name).ok());
        match names.iter().all(|name| given(name).is_some()) {
            true => self.replace(start, part, Some('\''), given),
            // A value that stands beside one of the environment.
            false if names.iter().any(|name| given(name).is_some()) => {
                self.replace(start, part, Some('\''), &known)
            }
            false if self.lenient && names.iter().any(|name| known(name).is_none()) => {
                self.replace(start, part, Some('\''), &known)
            }
            false => {
                self.out.push_str(part);
                Ok(())
            }
        }
    }

    fn span(&self, from: usize, length: usize) -> Span {
        let start = position_at(self.text, self.text[..from].chars().count());
        let end = Position { line: start.line, column: start.column + length as u32 };
        Span { start, end }
    }

    fn undefined(&self, name: &str, from: usize, length: usize) -> Error {
        Error::option(format!("variable '{name}' has no value"))
            .with_hint(format!("give it with --var {name}=... or in the environment"))
            .at(self.span(from, length))
    }

    /// The marks counted in characters.
    fn char_marks(&self) -> Vec<Replacement> {
        let count = |text: &str, (from, to): (usize, usize)| {
            let start = text[..from].chars().count();
            (start, start + text[from..to].chars().count())
        };
        self.marks
            .iter()
            .map(|m| Replacement {
                written: count(self.text, m.written),
                expanded: count(&self.out, m.expanded),
            })
            .collect()
    }
}

impl Script {
    /// A script without variables.
    pub fn plain(written: SourceText) -> Self {
        Self { expanded: written.clone(), written, replaced: Vec::new(), missing: Vec::new() }
    }

    /// Variables without a value, of [`Variables::expand_known`].
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The same error, pointing into the text as written.
    pub fn relocate(&self, error: Error) -> Error {
        let (Some(span), false) = (error.span(), self.replaced.is_empty()) else { return error };
        let start = self.written_index(index_at(&self.expanded.text, span.start), false);
        let end = self.written_index(index_at(&self.expanded.text, span.end), true);
        let place = |index| position_at(&self.written.text, index);
        let mut moved = Error::new(error.kind(), error.message());
        if let Some(detail) = error.detail() {
            moved = moved.with_detail(detail);
        }
        if let Some(hint) = error.hint() {
            moved = moved.with_hint(hint);
        }
        moved.at(Span { start: place(start), end: place(end) })
    }

    /// The bytes of the written text that bytes of the expanded one stand for: of a part of a value, all of its `${NAME}`.
    pub(crate) fn written_bytes(&self, expanded: Range<usize>) -> Range<usize> {
        if self.replaced.is_empty() {
            return expanded;
        }
        let index = |at: usize| self.expanded.text.get(..at).map_or(0, |before| before.chars().count());
        let byte = |index: usize| {
            let text = &self.written.text;
            text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
        };
        let start = byte(self.written_index(index(expanded.start), false));
        start..byte(self.written_index(index(expanded.end), true)).max(start)
    }

    /// Character index in the written text; inside of a value the start, or end, of its `${NAME}`.
    fn written_index(&self, expanded: usize, end: bool) -> usize {
        let mut behind = (0, 0);
        for r in &self.replaced {
            if expanded < r.expanded.0 || (end && expanded == r.expanded.0) {
                break;
            }
            if expanded < r.expanded.1 || (end && expanded == r.expanded.1) {
                return if end { r.written.1 } else { r.written.0 };
            }
            behind = (r.written.1, r.expanded.1);
        }
        behind.0 + (expanded - behind.1)
    }
}

/// Line and column of a character.
fn position_at(text: &str, index: usize) -> Position {
    let (mut line, mut column) = (1, 1);
    for c in text.chars().take(index) {
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    Position { line, column }
}

/// Index of the character at a line and column.
fn index_at(text: &str, position: Position) -> usize {
    let (mut line, mut column) = (1, 1);
    for (index, c) in text.chars().enumerate() {
        if (line, column) >= (position.line, position.column) {
            return index;
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    text.chars().count()
}

/// An option's value with `${NAME}` from the environment.
pub(crate) fn expanded(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inner) = (&rest[..at], &rest[at + 2..]);
        let Some(end) = inner.find('}') else { break };
        let name = &inner[..end];
        let value = std::env::var(name).map_err(|_| {
            Error::option(format!("environment variable '{name}' is not set"))
                .with_hint(format!("export {name}=..."))
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn expand(text: &str) -> Result<Script> {
        let variables = Variables::default();
        let value = |name: &str| match name {
            "A" => Some("alpha".into()),
            "Q" => Some("it's `".into()),
            "N" => Some("1\n2".into()),
            _ => None,
        };
        variables.expand_with(SourceText::new("t.sql", text), &value, false)
    }

    fn text(input: &str) -> String {
        expand(input).unwrap().expanded.text.to_string()
    }

    #[test]
    fn values_are_put_in() {
        assert_eq!(text("SELECT '${A}/x', `${A}`, ${A}"), "SELECT 'alpha/x', `alpha`, alpha");
        assert_eq!(text("'${A}${A}'"), "'alphaalpha'");
        assert_eq!(text("/*+ OPTIONS('path'='${A}') */"), "/*+ OPTIONS('path'='alpha') */");
    }

    #[test]
    fn a_value_stays_one_value() {
        assert_eq!(text("'${Q}' `${Q}` ${Q}"), "'it''s `' `it's ``` it's `");
    }

    #[test]
    fn comments_and_other_dollars_stay() {
        for same in ["-- ${NOPE}\n1", "/* ${NOPE} */", "'${}' '${1a}' '$A' '${A'", "'${A B}'"] {
            assert_eq!(text(same), same);
        }
        assert_eq!(text("'--' || '${A}'"), "'--' || 'alpha'");
    }

    #[test]
    fn headers_are_left_to_the_connector() {
        let with = "WITH ('http.source.lookup.header.Authorization' = 'Bearer ${NOPE}', 'url' = '${A}')";
        assert_eq!(text(with), with.replace("${A}", "alpha"));
        assert_eq!(text("'x.header.y' /* c */ = '${NOPE}'"), "'x.header.y' /* c */ = '${NOPE}'");
        assert_eq!(text("'x.header.y', '${A}'"), "'x.header.y', 'alpha'");
    }

    #[test]
    fn headers_take_what_is_given() {
        let given = Variables::new([("TOKEN_OF_TEST".to_string(), "tk-given-1".to_string())]);
        let text = "'x.header.y' = 'Bearer ${TOKEN_OF_TEST}'";
        let script = given.expand(SourceText::new("t.sql", text)).unwrap();
        assert_eq!(&*script.expanded.text, "'x.header.y' = 'Bearer tk-given-1'");
        assert_eq!(crate::secret::redact("tk-given-1"), "${TOKEN_OF_TEST}");
    }

    #[test]
    fn what_is_missing_is_noted_for_check() {
        let text = "SELECT '${NOT_SET_A}/x', 'b.header.c' = '${NOT_SET_B}'";
        let script = Variables::default().expand_known(SourceText::new("t.sql", text)).unwrap();
        let names: Vec<_> = script.missing().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["NOT_SET_A", "NOT_SET_B"]);
        assert_eq!(script.missing()[0].span, Span::new((1, 9), (1, 21)));
        let e = Variables::default().expand_known(SourceText::new("t.sql", "LIMIT ${NOT_SET_A}"));
        assert!(e.is_err(), "a statement without it cannot be read");
    }

    #[test]
    fn undefined_names_have_a_place() {
        let e = expand("SELECT 1;\nSELECT 'ä ${NOPE}'").unwrap_err();
        assert_eq!(e.message(), "variable 'NOPE' has no value");
        assert_eq!(e.span(), Some(Span::new((2, 11), (2, 18))));
        assert!(e.kind().is_usage());
    }

    #[test]
    fn errors_point_into_the_written_text() {
        let script = expand("SELECT ${A}, ${N}, x").unwrap();
        assert_eq!(&*script.expanded.text, "SELECT alpha, 1\n2, x");
        let moved = |start, end| {
            script.relocate(Error::plan("m").with_hint("h").at(Span::new(start, end))).span().unwrap()
        };
        assert_eq!(moved((2, 4), (2, 5)), Span::new((1, 20), (1, 21)), "x");
        assert_eq!(moved((1, 8), (1, 13)), Span::new((1, 8), (1, 12)), "all of the value");
        assert_eq!(moved((1, 10), (1, 11)), Span::new((1, 8), (1, 12)), "a part of the value");
        assert_eq!(moved((1, 1), (1, 7)), Span::new((1, 1), (1, 7)), "before");
    }
}
