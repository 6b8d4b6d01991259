//! Hints: `/*+ OPTIONS('k'='v') */` behind a table, `/*+ LOOKUP('table'='t', ...) */` behind SELECT.
//!
//! `sqlparser` reads hints as comments, so they are lifted before it sees the tokens and travel in the
//! tree as one more part of a table's name (`t` becomes `` t.`$hint:<json>` ``), which planning takes
//! off again with [`take_hints`]. A name that a user writes cannot start with `$`.

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Spanned};
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::lexer::{Lexeme, lex};
use super::statement::{Name, OptionEntry};
use crate::catalog::table::nearest;
use crate::error::{Error, Position, Result, Span};

/// Prefix of the name part that carries hints.
pub const HINT_PREFIX: &str = "$hint:";

/// Hints that hold for one table reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableHints {
    /// `OPTIONS(...)`.
    pub options: Vec<OptionEntry>,
    /// The first `LOOKUP(...)` of the query block that names this table or its alias.
    pub lookup: Vec<OptionEntry>,
    /// Where the reference stands.
    pub span: Span,
}

/// A hint as written.
#[derive(Debug, Clone)]
pub struct Hint {
    /// `OPTIONS` or `LOOKUP`.
    pub name: String,
    /// Its entries.
    pub entries: Vec<OptionEntry>,
    /// Of the comment.
    pub span: Span,
}

/// What travels in a name part.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Carried {
    options: Vec<CarriedEntry>,
    lookup: Vec<CarriedEntry>,
}

/// Key, value, and their places as lines and columns.
type CarriedEntry = (String, String, [u32; 8]);

fn pack(entry: &OptionEntry) -> CarriedEntry {
    let corners = |s: Span| [s.start.line, s.start.column, s.end.line, s.end.column];
    let (k, v) = (corners(entry.key.span), corners(entry.value.span));
    (entry.key.value.clone(), entry.value.value.clone(), [k[0], k[1], k[2], k[3], v[0], v[1], v[2], v[3]])
}

fn unpack((key, value, at): CarriedEntry) -> OptionEntry {
    OptionEntry {
        key: Name { value: key, span: Span::new((at[0], at[1]), (at[2], at[3])) },
        value: Name { value, span: Span::new((at[4], at[5]), (at[6], at[7])) },
    }
}

fn carried(name: &ObjectName) -> Option<Carried> {
    let ident = name.0.last()?.as_ident()?;
    serde_json::from_str(ident.value.strip_prefix(HINT_PREFIX)?).ok()
}

fn carry(name: &mut ObjectName, carried: &Carried) {
    if name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| i.value.starts_with(HINT_PREFIX)) {
        name.0.pop();
    }
    let mut ident = Ident::with_quote('`', carried_text(carried));
    ident.span = name.span();
    name.0.push(ObjectNamePart::Identifier(ident));
}

fn carried_text(carried: &Carried) -> String {
    let json = serde_json::to_string(carried).unwrap_or_default();
    format!("{HINT_PREFIX}{json}")
}

/// The name part that carries an OPTIONS hint, as the text of an identifier.
pub(super) fn options_part(hint: &Hint) -> String {
    carried_text(&Carried { options: hint.entries.iter().map(pack).collect(), lookup: Vec::new() })
}

/// Adds a LOOKUP hint to a table reference; the first one stays.
pub(super) fn add_lookup(name: &mut ObjectName, hint: &Hint) {
    let mut hints = carried(name).unwrap_or_default();
    if hints.lookup.is_empty() {
        hints.lookup = hint.entries.iter().map(pack).collect();
        carry(name, &hints);
    }
}

/// Takes the hints off a table's name.
pub fn take_hints(name: &mut ObjectName) -> Result<TableHints> {
    let hints = carried(name);
    if hints.is_some() {
        name.0.pop();
    }
    let span = name.span();
    let span = Span::new(
        (span.start.line as u32, span.start.column as u32),
        (span.end.line as u32, span.end.column as u32),
    );
    let hints = hints.unwrap_or_default();
    let unpack_all = |entries: Vec<CarriedEntry>| entries.into_iter().map(unpack).collect();
    Ok(TableHints { options: unpack_all(hints.options), lookup: unpack_all(hints.lookup), span })
}

/// `'key' = 'value', ...` up to a closing parenthesis.
pub(super) fn entries(cursor: &mut Cursor<'_>) -> Result<Vec<OptionEntry>> {
    let mut entries: Vec<OptionEntry> = Vec::new();
    loop {
        let key = cursor.string("an option's name in single quotes")?;
        cursor.expect(&Token::Eq)?;
        let value = cursor.string("the option's value in single quotes")?;
        entries.push(OptionEntry { key, value });
        if !cursor.takes(&Token::Comma) {
            return Ok(entries);
        }
    }
}

const LOOKUP_KEYS: [&str; 10] = [
    "table",
    "async",
    "output-mode",
    "capacity",
    "timeout",
    "retry-predicate",
    "retry-strategy",
    "fixed-delay",
    "max-attempts",
    "shuffle",
];

/// Moves a place inside of a hint to where the hint stands.
fn shift(span: Span, base: Position) -> Span {
    let place = |p: Position| {
        let column = if p.line == 1 { p.column + base.column - 1 } else { p.column };
        Position { line: p.line + base.line - 1, column }
    };
    Span { start: place(span.start), end: place(span.end) }
}

/// Reads the hints of one comment.
pub(super) fn read(lexeme: &Lexeme) -> Result<Vec<Hint>> {
    let Some(text) = lexeme.hint() else { return Ok(Vec::new()) };
    // Behind `/*+`.
    let base = Position { line: lexeme.span.start.line, column: lexeme.span.start.column + 3 };
    let moved = |e: Error| match e.span() {
        Some(span) => Error::new(e.kind(), e.message()).at(shift(span, base)),
        None => e.at(lexeme.span),
    };
    let lexemes = lex(text).map_err(moved)?;
    let mut cursor = Cursor::new(&lexemes, text);
    let mut hints = Vec::new();
    while !cursor.is_done() {
        let name = cursor.name("a hint").map_err(moved)?;
        let upper = name.value.to_ascii_uppercase();
        let place = shift(name.span, base);
        match upper.as_str() {
            "OPTIONS" | "LOOKUP" => {}
            "STATE_TTL" | "BROADCAST" | "SHUFFLE_HASH" | "SHUFFLE_MERGE" | "NEST_LOOP" | "MULTI_JOIN" => {
                return Err(Error::unsupported(format!("hint {upper} is not supported")).at(place));
            }
            _ => {
                return Err(Error::syntax(format!("hint '{}' is not known", name.value))
                    .with_hint("there are OPTIONS behind a table and LOOKUP behind SELECT")
                    .at(place));
            }
        }
        let body = |cursor: &mut Cursor<'_>| {
            cursor.expect(&Token::LParen)?;
            let all = entries(cursor)?;
            cursor.expect(&Token::RParen)?;
            Ok(all)
        };
        let mut all = body(&mut cursor).map_err(moved)?;
        cursor.takes(&Token::Comma);
        for entry in &mut all {
            entry.key.span = shift(entry.key.span, base);
            entry.value.span = shift(entry.value.span, base);
        }
        // A key that is given twice: the last one wins.
        let mut kept: Vec<OptionEntry> = Vec::new();
        for entry in all {
            kept.retain(|k| k.key.value != entry.key.value);
            kept.push(entry);
        }
        if upper == "LOOKUP" {
            for entry in &kept {
                if !LOOKUP_KEYS.contains(&entry.key.value.as_str()) {
                    let error = Error::option(format!("the LOOKUP hint has no key '{}'", entry.key.value))
                        .at(entry.key.span);
                    return Err(match nearest(&entry.key.value, LOOKUP_KEYS.into_iter()) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => error.with_hint(format!("it has: {}", LOOKUP_KEYS.join(", "))),
                    });
                }
            }
            if !kept.iter().any(|e| e.key.value == "table") {
                return Err(Error::option("the LOOKUP hint does not say for which table")
                    .with_hint("write LOOKUP('table' = 'alias', ...)")
                    .at(place));
            }
        }
        hints.push(Hint { name: upper, entries: kept, span: place });
    }
    Ok(hints)
}
