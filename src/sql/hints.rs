//! Hints: `/*+ OPTIONS('k'='v') */` behind a table, `/*+ LOOKUP('table'='t', ...) */` and
//! `/*+ STATE_TTL('t'='1d', ...) */` behind SELECT.
//!
//! `sqlparser` reads hints as comments, so they are lifted before it sees the tokens and travel in the
//! tree as one more part of a table's name (`t` becomes `` t.`$hint:<json>` ``), which planning takes
//! off again with [`take_hints`]. No identifier a user can write starts with `$hint:`, because quoting does
//! not help: [`crate::sql::parse_script`] refuses it.

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::lexer::{Class, Lexeme, lex_hint};
use super::{Name, OptionEntry};
use crate::error::{Error, Position, Result, Span};
use crate::nearest::nearest;
use crate::quantity::parse_duration;

/// Prefix of the name part that carries hints.
pub const HINT_PREFIX: &str = "$hint:";

/// The call that carries a STATE_TTL hint for a subquery: how long, and the subquery.
pub const STATE_TTL_CALL: &str = "$state_ttl";

/// Keys of the LOOKUP hint.
pub const LOOKUP_KEYS: &[&str] = &[
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

/// Hints that choose how a join of batches is computed; as in Flink, a stream takes them without effect.
const BATCH_JOINS: &[&str] = &["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN"];

/// Hints that hold for one table reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableHints {
    /// `OPTIONS(...)`.
    pub options: Vec<OptionEntry>,
    /// The first `LOOKUP(...)` of the query block that names this table or its alias.
    pub lookup: Vec<OptionEntry>,
    /// The entry of `STATE_TTL(...)` for this table or its alias.
    pub state_ttl: Option<OptionEntry>,
    /// Where the reference stands.
    pub span: Span,
}

/// A hint as written.
#[derive(Debug, Clone)]
pub(crate) enum Hint {
    Options(Vec<OptionEntry>),
    Lookup(LookupHint),
    StateTtl(Vec<OptionEntry>),
    /// What only tunes a join of batches.
    Tunes,
}

/// `LOOKUP('table'='t', ...)`.
#[derive(Debug, Clone)]
pub(crate) struct LookupHint {
    /// Value of `table`.
    pub table: Name,
    pub entries: Vec<OptionEntry>,
}

/// Reads what stands in `/*+ ... */`.
pub(crate) fn parse_hints(text: &str, hint: &Lexeme) -> Result<Vec<Hint>> {
    let lexemes: Vec<Lexeme> =
        lex_hint(text, hint).into_iter().filter(|l| l.class != Class::Comment).collect();
    let mut cursor = Cursor::new(text, &lexemes);
    let mut hints = Vec::new();
    if lexemes.is_empty() {
        return Err(Error::syntax("the hint is empty").at(hint.span));
    }
    loop {
        hints.push(parse_hint(&mut cursor)?);
        let comma = cursor.eat(&Token::Comma);
        if cursor.is_done() && !comma {
            return Ok(hints);
        }
    }
}

fn parse_hint(cursor: &mut Cursor<'_>) -> Result<Hint> {
    let name = cursor.name("a hint's name")?;
    match name.value.to_ascii_uppercase().as_str() {
        "OPTIONS" => Ok(Hint::Options(last_wins(cursor.options()?))),
        "LOOKUP" => {
            let entries = last_wins(cursor.options()?);
            for entry in &entries {
                let key = &entry.key.value;
                if !LOOKUP_KEYS.contains(&key.as_str()) {
                    let error =
                        Error::option(format!("hint LOOKUP has no option '{key}'")).at(entry.key.span);
                    return Err(match nearest(key, LOOKUP_KEYS.iter().copied()) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => error.with_hint(format!("it knows: {}", LOOKUP_KEYS.join(", "))),
                    });
                }
            }
            match entries.iter().find(|e| e.key.value == "table") {
                Some(entry) => Ok(Hint::Lookup(LookupHint { table: entry.value.clone(), entries })),
                None => Err(Error::option("hint LOOKUP needs the option 'table'")
                    .at(name.span)
                    .with_hint("its value is the lookup table's alias, or its name without one")),
            }
        }
        "STATE_TTL" => {
            let entries = last_wins(cursor.options()?);
            for entry in &entries {
                parse_duration(&entry.value.value).map_err(|e| {
                    e.context(format!("hint STATE_TTL of '{}'", entry.key.value)).at(entry.value.span)
                })?;
            }
            Ok(Hint::StateTtl(entries))
        }
        upper if BATCH_JOINS.contains(&upper) => {
            cursor.names("a table's name")?;
            Ok(Hint::Tunes)
        }
        upper => {
            let error = Error::syntax(format!("hint '{}' is not known", name.value)).at(name.span);
            Err(match nearest(upper, ["OPTIONS", "LOOKUP", "STATE_TTL"].into_iter()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("the hints are OPTIONS, LOOKUP and STATE_TTL"),
            })
        }
    }
}

fn last_wins(entries: Vec<OptionEntry>) -> Vec<OptionEntry> {
    let mut kept: Vec<OptionEntry> = Vec::with_capacity(entries.len());
    for entry in entries {
        kept.retain(|k| k.key.value != entry.key.value);
        kept.push(entry);
    }
    kept
}

/// The OPTIONS of a table that is read outside of a query: the target of INSERT.
pub(crate) fn parse_target_options(text: &str, hint: &Lexeme) -> Result<Vec<OptionEntry>> {
    let mut options = Vec::new();
    for hint_read in parse_hints(text, hint)? {
        match hint_read {
            Hint::Options(entries) => options.extend(entries),
            Hint::Lookup(lookup) => return Err(misplaced_lookup(lookup.table.span)),
            Hint::StateTtl(_) => return Err(misplaced_state_ttl(hint.span)),
            Hint::Tunes => return Err(misplaced_batch_join(hint.span)),
        }
    }
    Ok(last_wins(options))
}

pub(crate) fn misplaced_lookup(span: Span) -> Error {
    Error::syntax("hint LOOKUP must follow SELECT")
        .at(span)
        .with_hint("write SELECT /*+ LOOKUP('table'='t', ...) */ ...")
}

pub(crate) fn misplaced_batch_join(span: Span) -> Error {
    Error::syntax("a hint for joins must follow SELECT")
        .at(span)
        .with_hint("write SELECT /*+ BROADCAST(t) */ ... FROM ... JOIN t; it has no effect on a stream")
}

pub(crate) fn misplaced_state_ttl(span: Span) -> Error {
    Error::syntax("hint STATE_TTL must follow SELECT")
        .at(span)
        .with_hint("write SELECT /*+ STATE_TTL('table or alias'='1d', ...) */ ...")
}

type Place = (u32, u32, u32, u32);

/// What travels: key and value, each with its place.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Carried {
    #[serde(default)]
    options: Vec<(String, Place, String, Place)>,
    #[serde(default)]
    lookup: Vec<(String, Place, String, Place)>,
    #[serde(default)]
    state_ttl: Vec<(String, Place, String, Place)>,
}

fn pack(entries: &[OptionEntry]) -> Vec<(String, Place, String, Place)> {
    let place = |s: Span| (s.start.line, s.start.column, s.end.line, s.end.column);
    entries
        .iter()
        .map(|e| (e.key.value.clone(), place(e.key.span), e.value.value.clone(), place(e.value.span)))
        .collect()
}

fn unpack(entries: Vec<(String, Place, String, Place)>) -> Vec<OptionEntry> {
    let name = |value, (a, b, c, d): Place| Name {
        value,
        span: Span { start: Position { line: a, column: b }, end: Position { line: c, column: d } },
    };
    entries
        .into_iter()
        .map(|(k, ks, v, vs)| OptionEntry { key: name(k, ks), value: name(v, vs), written: None })
        .collect()
}

/// Takes the hints off a table's name. Without any, the span of the reference alone.
pub fn take_hints(name: &mut ObjectName) -> Result<TableHints> {
    let carried =
        name.0.last().and_then(ObjectNamePart::as_ident).and_then(|i| i.value.strip_prefix(HINT_PREFIX));
    let carried = match carried {
        Some(json) => {
            let carried: Carried = serde_json::from_str(json)
                .map_err(|e| Error::internal(format!("hints of a table cannot be read: {e}")))?;
            name.0.pop();
            carried
        }
        None => Carried::default(),
    };
    let span = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .map(|i| span_from(i.span))
        .reduce(Span::union)
        .unwrap_or_default();
    let (options, lookup) = (unpack(carried.options), unpack(carried.lookup));
    Ok(TableHints { options, lookup, state_ttl: unpack(carried.state_ttl).pop(), span })
}

/// Puts hints on a table's name, in place of any that are there.
pub(crate) fn put_hints(name: &mut ObjectName, hints: &TableHints) -> Result<()> {
    let carried = Carried {
        options: pack(&hints.options),
        lookup: pack(&hints.lookup),
        state_ttl: pack(hints.state_ttl.as_slice()),
    };
    let json = serde_json::to_string(&carried)
        .map_err(|e| Error::internal(format!("hints of a table cannot be written: {e}")))?;
    let mut ident = Ident::with_quote('`', format!("{HINT_PREFIX}{json}"));
    ident.span = super::lexer::token_span(hints.span);
    name.0.push(ObjectNamePart::Identifier(ident));
    Ok(())
}

/// The place of a token in `sqlparser`'s tree.
pub(crate) fn span_from(span: sqlparser::tokenizer::Span) -> Span {
    let at = |l: sqlparser::tokenizer::Location| Position { line: l.line as u32, column: l.column as u32 };
    Span { start: at(span.start), end: at(span.end) }
}
