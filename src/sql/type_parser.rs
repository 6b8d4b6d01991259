//! Type names: `DECIMAL(10, 2)`, `ROW<a INT, b ARRAY<STRING>>`, `TIMESTAMP(3) WITH LOCAL TIME ZONE`.
//!
//! `sqlparser` knows some of them. So that all of them work inside of queries too, the type behind
//! `CAST(x AS` and `RETURNING` is read here and handed over as one custom type name that carries the
//! canonical text; [`cast_type`] reads it again.

use sqlparser::ast::DataType;
use sqlparser::tokenizer::Token;

use super::SqlType;
use super::cursor::Cursor;
use super::lexer::{Class, Lexeme, lex};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Prefix of the custom type name that carries a type through the syntax tree.
pub const TYPE_PREFIX: &str = "$type:";

/// Nested deeper is refused, which keeps recursion over types small.
const MAX_DEPTH: usize = 32;

/// Length of STRING and BYTES.
const MAX_LENGTH: u32 = i32::MAX as u32;

const KNOWN: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "CHARACTER",
    "DATE",
    "DEC",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "NUMERIC",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
];

const UNSUPPORTED: &[&str] = &["RAW", "STRUCTURED", "VARIANT", "DESCRIPTOR", "NULL", "BITMAP"];

/// The type that a syntax tree's type name means.
pub fn cast_type(data_type: &DataType) -> Result<SqlType> {
    if let DataType::Custom(name, _) = data_type
        && let Some(ident) = name.0.first().and_then(|p| p.as_ident())
        && let Some(text) = ident.value.strip_prefix(TYPE_PREFIX)
    {
        return parse_type(text);
    }
    parse_type(&data_type.to_string())
}

/// Parses a type from text.
pub fn parse_type(text: &str) -> Result<SqlType> {
    let lexemes: Vec<Lexeme> = lex(text).into_iter().filter(|l| l.class != Class::Comment).collect();
    let mut cursor = Cursor::new(text, &lexemes);
    let data_type = read_type(&mut cursor)?;
    if cursor.is_done() { Ok(data_type) } else { Err(cursor.expected("the end of the type")) }
}

/// Reads a type without a NOT NULL of its own behind it.
pub(crate) fn read_type(cursor: &mut Cursor<'_>) -> Result<SqlType> {
    nested(cursor, 0)
}

/// Reads `NOT NULL` or `NULL`; `true` when it was NOT NULL.
pub(crate) fn read_not_null(cursor: &mut Cursor<'_>) -> bool {
    if cursor.eat_words(&["NOT", "NULL"]) {
        return true;
    }
    cursor.eat_word("NULL");
    false
}

fn nested(cursor: &mut Cursor<'_>, depth: usize) -> Result<SqlType> {
    if depth > MAX_DEPTH {
        return Err(Error::syntax("the type is nested too deeply").at(cursor.here()));
    }
    let mut data_type = base(cursor, depth)?;
    // `INT ARRAY`, `INT MULTISET`; a chain of them nests as deeply as brackets do.
    let mut chain = depth;
    loop {
        let array = cursor.is_word("ARRAY");
        if !array && !cursor.is_word("MULTISET") {
            return Ok(data_type);
        }
        chain += 1;
        if chain > MAX_DEPTH {
            return Err(Error::syntax("the type is nested too deeply").at(cursor.here()));
        }
        cursor.next();
        data_type = match array {
            true => SqlType::Array(Box::new(data_type)),
            false => SqlType::Multiset(Box::new(data_type)),
        };
    }
}

/// A type in brackets, with its NOT NULL: nested nullability is read and, as in Flink by default, not enforced.
fn element(cursor: &mut Cursor<'_>, depth: usize) -> Result<Box<SqlType>> {
    let data_type = nested(cursor, depth + 1)?;
    read_not_null(cursor);
    Ok(Box::new(data_type))
}

fn base(cursor: &mut Cursor<'_>, depth: usize) -> Result<SqlType> {
    let Some(lexeme) = cursor.peek() else { return Err(cursor.expected("a type")) };
    let Some(word) = lexeme.word() else { return Err(cursor.expected("a type")) };
    let name = word.to_ascii_uppercase();
    let from = cursor.position();
    cursor.next();
    let data_type = match name.as_str() {
        "BOOLEAN" => SqlType::Boolean,
        "TINYINT" => SqlType::TinyInt,
        "SMALLINT" => SqlType::SmallInt,
        "INT" | "INTEGER" => SqlType::Int,
        "BIGINT" => SqlType::BigInt,
        "FLOAT" => SqlType::Float,
        "DOUBLE" => {
            cursor.eat_word("PRECISION");
            SqlType::Double
        }
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(cursor)?,
        "CHAR" | "CHARACTER" if !cursor.eat_word("VARYING") => SqlType::Char(length(cursor)?),
        "CHAR" | "CHARACTER" | "VARCHAR" => match sized(cursor)? {
            None | Some(MAX_LENGTH) => SqlType::String,
            Some(n) => SqlType::Varchar(n),
        },
        "STRING" => SqlType::String,
        "BINARY" if !cursor.eat_word("VARYING") => SqlType::Binary(length(cursor)?),
        "BINARY" | "VARBINARY" => match sized(cursor)? {
            None | Some(MAX_LENGTH) => SqlType::Bytes,
            Some(n) => SqlType::Varbinary(n),
        },
        "BYTES" => SqlType::Bytes,
        "DATE" => SqlType::Date,
        "TIME" => {
            let precision = precision(cursor, 0)?;
            zone(cursor, from, "TIME")?;
            SqlType::Time(precision)
        }
        "TIMESTAMP" => {
            let precision = precision(cursor, 6)?;
            match zone(cursor, from, "TIMESTAMP")? {
                true => SqlType::TimestampLtz(precision),
                false => SqlType::Timestamp(precision),
            }
        }
        "TIMESTAMP_LTZ" => SqlType::TimestampLtz(precision(cursor, 6)?),
        "INTERVAL" => interval(cursor)?,
        "ARRAY" => {
            cursor.expect(&Token::Lt)?;
            let t = element(cursor, depth)?;
            cursor.expect(&Token::Gt)?;
            SqlType::Array(t)
        }
        "MULTISET" => {
            cursor.expect(&Token::Lt)?;
            let t = element(cursor, depth)?;
            cursor.expect(&Token::Gt)?;
            SqlType::Multiset(t)
        }
        "MAP" => {
            cursor.expect(&Token::Lt)?;
            let key = element(cursor, depth)?;
            cursor.expect(&Token::Comma)?;
            let value = element(cursor, depth)?;
            cursor.expect(&Token::Gt)?;
            SqlType::Map(key, value)
        }
        "ROW" => row(cursor, depth)?,
        _ => {
            let error = match UNSUPPORTED.contains(&name.as_str()) {
                true => Error::unsupported(format!("type {name} is not supported")),
                false => Error::syntax(format!("'{word}' is not a type")),
            }
            .at(lexeme.span);
            let near = match name.as_str() {
                "TEXT" => Some("STRING"),
                "REAL" => Some("FLOAT"),
                "BOOL" => Some("BOOLEAN"),
                "BLOB" | "BYTEA" => Some("BYTES"),
                "LONG" => Some("BIGINT"),
                "DATETIME" => Some("TIMESTAMP"),
                "TIMESTAMPTZ" => Some("TIMESTAMP_LTZ"),
                "STRUCT" => Some("ROW<name type, ...>"),
                "VARIANT" => {
                    return Err(error.with_hint(
                        "keep the document as STRING: JSON_VALUE, JSON_QUERY and JSON_EXISTS read it; ROW, ARRAY and MAP hold what has one form",
                    ));
                }
                "BITMAP" => {
                    return Err(error.with_hint("write BYTES: BITMAP_BUILD gives it, BITMAP_* take it"));
                }
                "STRUCTURED" => return Err(error.with_hint("write ROW<name type, ...>")),
                "RAW" => return Err(error.with_hint("write BYTES")),
                "DESCRIPTOR" | "NULL" => None,
                _ => nearest(&name, KNOWN.iter().copied()),
            };
            return Err(match near {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            });
        }
    };
    Ok(data_type)
}

/// A whole number in parentheses, when there is one.
fn number(cursor: &mut Cursor<'_>) -> Result<u32> {
    match cursor.peek() {
        Some(Lexeme { token: Token::Number(digits, _), span, .. }) => {
            cursor.next();
            digits.parse().map_err(|_| Error::syntax(format!("{digits} is out of range")).at(*span))
        }
        _ => Err(cursor.expected("a whole number")),
    }
}

fn bounded(cursor: &mut Cursor<'_>, what: &str, min: u32, max: u32) -> Result<u32> {
    let span = cursor.here();
    let n = number(cursor)?;
    if (min..=max).contains(&n) {
        return Ok(n);
    }
    Err(Error::syntax(format!("{what} must be between {min} and {max}, not {n}")).at(span))
}

/// A length, 1 without one.
fn length(cursor: &mut Cursor<'_>) -> Result<u32> {
    Ok(sized(cursor)?.unwrap_or(1))
}

/// A length, if one is written.
fn sized(cursor: &mut Cursor<'_>) -> Result<Option<u32>> {
    if !cursor.eat(&Token::LParen) {
        return Ok(None);
    }
    let n = bounded(cursor, "a length", 1, MAX_LENGTH)?;
    cursor.expect(&Token::RParen)?;
    Ok(Some(n))
}

fn precision(cursor: &mut Cursor<'_>, default: u8) -> Result<u8> {
    if !cursor.eat(&Token::LParen) {
        return Ok(default);
    }
    let n = bounded(cursor, "the precision", 0, 9)?;
    cursor.expect(&Token::RParen)?;
    Ok(n as u8)
}

fn decimal(cursor: &mut Cursor<'_>) -> Result<SqlType> {
    if !cursor.eat(&Token::LParen) {
        return Ok(SqlType::Decimal(10, 0));
    }
    let precision = bounded(cursor, "the precision of DECIMAL", 1, 38)?;
    let scale = match cursor.eat(&Token::Comma) {
        true => bounded(cursor, "the scale of DECIMAL", 0, precision)?,
        false => 0,
    };
    cursor.expect(&Token::RParen)?;
    Ok(SqlType::Decimal(precision as u8, scale as i8))
}

/// `WITHOUT TIME ZONE`, `WITH LOCAL TIME ZONE`; true for the latter.
fn zone(cursor: &mut Cursor<'_>, from: usize, name: &str) -> Result<bool> {
    if cursor.eat_words(&["WITHOUT", "TIME", "ZONE"]) {
        return Ok(false);
    }
    let local = cursor.eat_words(&["WITH", "LOCAL", "TIME", "ZONE"]);
    if local && name == "TIMESTAMP" {
        return Ok(true);
    }
    if local || cursor.eat_words(&["WITH", "TIME", "ZONE"]) {
        let local = if local { "LOCAL " } else { "" };
        return Err(Error::unsupported(format!("type {name} WITH {local}TIME ZONE is not supported"))
            .at(cursor.span_since(from))
            .with_hint("TIMESTAMP_LTZ(3) is an instant, shown in the session's time zone"));
    }
    Ok(false)
}

/// `INTERVAL YEAR [(p)] [TO MONTH]`, `INTERVAL DAY [(p)] TO SECOND [(p)]` and their parts.
fn interval(cursor: &mut Cursor<'_>) -> Result<SqlType> {
    const UNITS: &[&str] = &["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let unit = |cursor: &mut Cursor<'_>| UNITS.iter().position(|u| cursor.eat_word(u));
    let Some(first) = unit(cursor) else {
        return Err(cursor.expected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND"));
    };
    if cursor.eat(&Token::LParen) {
        bounded(cursor, "the precision", 0, 9)?;
        if first == 5 && cursor.eat(&Token::Comma) {
            bounded(cursor, "the precision", 0, 9)?;
        }
        cursor.expect(&Token::RParen)?;
    }
    if cursor.eat_word("TO") {
        let span = cursor.here();
        let Some(last) = unit(cursor) else { return Err(cursor.expected("an interval's unit")) };
        if last <= first || (first < 2) != (last < 2) {
            return Err(Error::syntax(format!(
                "INTERVAL {} TO {} is not an interval",
                UNITS[first], UNITS[last]
            ))
            .at(span)
            .with_hint("intervals are YEAR TO MONTH or within DAY TO SECOND"));
        }
        if last == 5 && cursor.eat(&Token::LParen) {
            bounded(cursor, "the precision", 0, 9)?;
            cursor.expect(&Token::RParen)?;
        }
    }
    Ok(if first < 2 { SqlType::IntervalYearMonth } else { SqlType::IntervalDayTime })
}

/// `ROW<name type ['comment'], ...>` or with parentheses.
fn row(cursor: &mut Cursor<'_>, depth: usize) -> Result<SqlType> {
    let close = if cursor.eat(&Token::Lt) {
        Token::Gt
    } else if cursor.eat(&Token::LParen) {
        Token::RParen
    } else {
        return Err(cursor.expected("'<' and the fields of the ROW"));
    };
    let mut fields: Vec<(String, SqlType)> = Vec::new();
    // `ROW<>` is lexed as ROW and the operator `<>`, which is not expected above.
    loop {
        let name = cursor.name("a field's name")?;
        if fields.iter().any(|(n, _)| *n == name.value) {
            return Err(Error::syntax(format!("field '{}' is declared twice", name.value)).at(name.span));
        }
        let data_type = element(cursor, depth)?;
        if let Some(Lexeme { token: Token::SingleQuotedString(_), .. }) = cursor.peek() {
            cursor.next();
        }
        fields.push((name.value, *data_type));
        if !cursor.eat(&Token::Comma) {
            break;
        }
    }
    if cursor.eat(&close) {
        Ok(SqlType::Row(fields))
    } else {
        Err(cursor.expected(&format!("',' or '{close}'")))
    }
}
