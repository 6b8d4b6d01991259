//! `${NAME}` in scripts, from `--var` and the environment.
//!
//! Values are put in before the text is parsed. Errors point to the text as it was written: columns
//! stay true, and a value that came from the environment never shows up in an excerpt.
//!
//! Not replaced: anything in comments, and the values of options whose key contains `.header.`; there
//! the connector itself takes `${NAME}` from the environment, so that a secret never becomes part of
//! a text that SHOW CREATE TABLE or a message could print.

use std::collections::HashMap;

use super::scan::{PieceKind, pieces, variable};
use crate::error::{Error, Position, Result, Span};
use crate::sql::SourceText;

/// A script as written and as it is run.
#[derive(Debug, Clone)]
pub struct Script {
    /// As written.
    pub written: SourceText,
    /// With the values of its variables.
    pub expanded: SourceText,
    /// Where the two differ, in order.
    replaced: Vec<Replacement>,
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

    fn value(&self, name: &str) -> Option<String> {
        self.given.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// Puts values in; a name without a value is an error.
    pub fn expand(&self, written: SourceText) -> Result<Script> {
        self.expand_with(written, &|name| self.value(name))
    }

    fn expand_with(&self, written: SourceText, value: &dyn Fn(&str) -> Option<String>) -> Result<Script> {
        let text = &*written.text;
        if !text.contains("${") {
            return Ok(Script { expanded: written.clone(), written, replaced: Vec::new() });
        }
        let mut expansion = Expansion { text, out: String::with_capacity(text.len()), marks: Vec::new() };
        let mut header = HeaderValues::default();
        for piece in pieces(text) {
            let part = &text[piece.range.clone()];
            let is_header_value = header.next(piece.kind, part);
            match piece.kind {
                PieceKind::Variable => expansion.replace(piece.range.start, part, None, value)?,
                PieceKind::String if !is_header_value => {
                    expansion.replace(piece.range.start, part, Some('\''), value)?;
                }
                PieceKind::Quoted => {
                    expansion.replace(piece.range.start, part, part.chars().next(), value)?;
                }
                _ => expansion.out.push_str(part),
            }
        }
        let replaced = expansion.char_marks();
        let expanded = SourceText::new(&written.name, &expansion.out);
        Ok(Script { written, expanded, replaced })
    }
}

/// Recognises the value in `'... .header. ...' = 'value'`.
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
                *self = Self { key: part.contains(".header."), equals: false };
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
    /// Byte ranges, written and expanded.
    marks: Vec<((usize, usize), (usize, usize))>,
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
            let Some(name) = variable(&part[here..]) else {
                self.out.push_str("${");
                at = here + 2;
                continue;
            };
            let length = name.len() + 3;
            let from = start + here;
            let value = value(name).ok_or_else(|| self.undefined(name, from, length))?;
            let begin = self.out.len();
            match quote {
                Some(q) => self.out.push_str(&value.replace(q, &format!("{q}{q}"))),
                None => self.out.push_str(&value),
            }
            self.marks.push(((from, from + length), (begin, self.out.len())));
            at = here + length;
        }
        self.out.push_str(&part[at..]);
        Ok(())
    }

    fn undefined(&self, name: &str, from: usize, length: usize) -> Error {
        let start = position_at(self.text, self.text[..from].chars().count());
        let end = Position { line: start.line, column: start.column + length as u32 };
        Error::option(format!("variable '{name}' has no value"))
            .with_hint(format!("give it with --var {name}=... or in the environment"))
            .at(Span { start, end })
    }

    /// The marks counted in characters.
    fn char_marks(&self) -> Vec<Replacement> {
        let count = |text: &str, (from, to): (usize, usize)| {
            let start = text[..from].chars().count();
            (start, start + text[from..to].chars().count())
        };
        self.marks
            .iter()
            .map(|(w, e)| Replacement { written: count(self.text, *w), expanded: count(&self.out, *e) })
            .collect()
    }
}

impl Script {
    /// A script without variables.
    pub fn plain(written: SourceText) -> Self {
        Self { expanded: written.clone(), written, replaced: Vec::new() }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn expand(text: &str) -> Result<Script> {
        let variables = Variables::default();
        variables.expand_with(SourceText::new("t.sql", text), &|name| match name {
            "A" => Some("alpha".into()),
            "Q" => Some("it's `".into()),
            "N" => Some("1\n2".into()),
            _ => None,
        })
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
