//! Reads the names of types.

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::lexer::lex;
use super::types::SqlType;
use crate::error::{Error, Result};

/// Prefix of the identifier that carries the type of a CAST through `sqlparser`.
pub const TYPE_PREFIX: &str = "$type:";

/// Reads a type from text.
pub fn parse_type(text: &str) -> Result<SqlType> {
    let lexemes = lex(text)?;
    let mut cursor = Cursor::new(&lexemes, text);
    let (data_type, _) = data_type(&mut cursor)?;
    if cursor.is_done() { Ok(data_type) } else { cursor.expected("the end of the type") }
}

/// The type that a CAST in a query names: what [`super::query`] carries through, or a plain type of
/// `sqlparser` (of a literal such as `DATE '2020-01-01'`).
pub fn cast_type(data_type: &ast::DataType) -> Result<SqlType> {
    if let ast::DataType::Custom(name, _) = data_type
        && let Some(ident) = name.0.first().and_then(|p| p.as_ident())
        && let Some(text) = ident.value.strip_prefix(TYPE_PREFIX)
    {
        return parse_type(text);
    }
    parse_type(&data_type.to_string())
}

/// `(n)`, bounded.
fn length(cursor: &mut Cursor<'_>, least: u64, most: u64) -> Result<Option<u64>> {
    if !cursor.takes(&Token::LParen) {
        return Ok(None);
    }
    let Some((n, span)) = cursor.number()? else { return cursor.expected("a whole number") };
    if n < least || n > most {
        return Err(Error::syntax(format!("{n} is not between {least} and {most}")).at(span));
    }
    cursor.expect(&Token::RParen)?;
    Ok(Some(n))
}

fn angle_open(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.expect(&Token::Lt)
}

/// `>`; the tokenizer joins `>>`, so half of one may be left over for the next level.
fn angle_close(cursor: &mut Cursor<'_>, pending: &mut usize) -> Result<()> {
    if *pending > 0 {
        *pending -= 1;
        return Ok(());
    }
    if cursor.takes(&Token::ShiftRight) {
        *pending += 1;
        return Ok(());
    }
    cursor.expect(&Token::Gt)
}

/// Reads a type and whether it is nullable.
pub fn data_type(cursor: &mut Cursor<'_>) -> Result<(SqlType, bool)> {
    let mut pending = 0;
    let found = nested(cursor, &mut pending)?;
    if pending > 0 { cursor.expected("a type without a second '>'") } else { Ok(found) }
}

fn nested(cursor: &mut Cursor<'_>, pending: &mut usize) -> Result<(SqlType, bool)> {
    let mut t = base(cursor, pending)?;
    loop {
        if *pending > 0 {
            return Ok((t, true));
        }
        if cursor.words("ARRAY") {
            t = SqlType::Array(Box::new(t));
        } else if cursor.words("MULTISET") {
            t = SqlType::Multiset(Box::new(t));
        } else if cursor.words("NOT NULL") {
            return Ok((t, false));
        } else if cursor.words("NULL") {
            return Ok((t, true));
        } else {
            return Ok((t, true));
        }
    }
}

fn row_fields(cursor: &mut Cursor<'_>, pending: &mut usize, angle: bool) -> Result<SqlType> {
    let mut fields = Vec::new();
    loop {
        let name = cursor.name("a field name")?;
        let (t, _) = nested(cursor, pending)?;
        if cursor.string("").is_ok() {
            // A comment of the field.
        }
        fields.push((name.value, t));
        if *pending > 0 || !cursor.takes(&Token::Comma) {
            break;
        }
    }
    if angle {
        angle_close(cursor, pending)?
    } else {
        cursor.expect(&Token::RParen)?
    }
    Ok(SqlType::Row(fields))
}

fn base(cursor: &mut Cursor<'_>, pending: &mut usize) -> Result<SqlType> {
    let place = cursor.place();
    let Some(lexeme) = cursor.peek() else { return cursor.expected("a type") };
    let Token::Word(word) = &lexeme.token else { return cursor.expected("a type") };
    let name = word.value.to_ascii_uppercase();
    cursor.next();
    let without_zone = |cursor: &mut Cursor<'_>| cursor.words("WITHOUT TIME ZONE");
    Ok(match name.as_str() {
        "BOOLEAN" => SqlType::Boolean,
        "TINYINT" => SqlType::TinyInt,
        "SMALLINT" => SqlType::SmallInt,
        "INT" | "INTEGER" => SqlType::Int,
        "BIGINT" => SqlType::BigInt,
        "FLOAT" => SqlType::Float,
        "DOUBLE" => {
            cursor.words("PRECISION");
            SqlType::Double
        }
        "DECIMAL" | "DEC" | "NUMERIC" => {
            if !cursor.takes(&Token::LParen) {
                return Ok(SqlType::Decimal(10, 0));
            }
            let Some((p, span)) = cursor.number()? else { return cursor.expected("a precision") };
            let s = match cursor.takes(&Token::Comma) {
                false => 0,
                true => match cursor.number()? {
                    Some((s, _)) => s,
                    None => return cursor.expected("a scale"),
                },
            };
            cursor.expect(&Token::RParen)?;
            if !(1..=38).contains(&p) || s > p {
                return Err(Error::syntax(format!(
                    "DECIMAL({p}, {s}): the precision is 1 to 38, the scale 0 to the precision"
                ))
                .at(span));
            }
            SqlType::Decimal(p as u8, s as i8)
        }
        "CHAR" | "CHARACTER" => {
            if cursor.words("VARYING") {
                return Ok(SqlType::Varchar(length(cursor, 1, i32::MAX as u64)?.unwrap_or(1) as u32));
            }
            SqlType::Char(length(cursor, 1, i32::MAX as u64)?.unwrap_or(1) as u32)
        }
        "VARCHAR" => match length(cursor, 1, i32::MAX as u64)? {
            Some(n) if n == i32::MAX as u64 => SqlType::String,
            // sqlparser drops the length where Flink's default of 1 would surprise: STRING is meant.
            None => SqlType::String,
            Some(n) => SqlType::Varchar(n as u32),
        },
        "STRING" => SqlType::String,
        "BINARY" => SqlType::Binary(length(cursor, 1, i32::MAX as u64)?.unwrap_or(1) as u32),
        "VARBINARY" => match length(cursor, 1, i32::MAX as u64)? {
            None => SqlType::Bytes,
            Some(n) if n == i32::MAX as u64 => SqlType::Bytes,
            Some(n) => SqlType::Varbinary(n as u32),
        },
        "BYTES" => SqlType::Bytes,
        "DATE" => SqlType::Date,
        "TIME" => {
            let p = length(cursor, 0, 9)?.unwrap_or(0);
            without_zone(cursor);
            SqlType::Time(p as u8)
        }
        "TIMESTAMP" => {
            let p = length(cursor, 0, 9)?.unwrap_or(6) as u8;
            if cursor.words("WITH LOCAL TIME ZONE") {
                return Ok(SqlType::TimestampLtz(p));
            }
            if cursor.words("WITH TIME ZONE") {
                return Err(Error::unsupported("TIMESTAMP WITH TIME ZONE is not supported")
                    .with_hint("write TIMESTAMP_LTZ")
                    .at(place));
            }
            without_zone(cursor);
            SqlType::Timestamp(p)
        }
        "TIMESTAMP_LTZ" => SqlType::TimestampLtz(length(cursor, 0, 9)?.unwrap_or(6) as u8),
        "INTERVAL" => interval(cursor)?,
        "ARRAY" => {
            angle_open(cursor)?;
            let (t, _) = nested(cursor, pending)?;
            angle_close(cursor, pending)?;
            SqlType::Array(Box::new(t))
        }
        "MULTISET" => {
            angle_open(cursor)?;
            let (t, _) = nested(cursor, pending)?;
            angle_close(cursor, pending)?;
            SqlType::Multiset(Box::new(t))
        }
        "MAP" => {
            angle_open(cursor)?;
            let (k, _) = nested(cursor, pending)?;
            cursor.expect(&Token::Comma)?;
            let (v, _) = nested(cursor, pending)?;
            angle_close(cursor, pending)?;
            SqlType::Map(Box::new(k), Box::new(v))
        }
        "ROW" if cursor.takes(&Token::Lt) => row_fields(cursor, pending, true)?,
        "ROW" if cursor.takes(&Token::LParen) => row_fields(cursor, pending, false)?,
        "ROW" => return cursor.expected("the fields of the ROW: ROW<name TYPE, ...>"),
        "RAW" | "STRUCTURED" | "VARIANT" | "SYMBOL" | "DESCRIPTOR" => {
            return Err(Error::unsupported(format!("type {name} is not supported")).at(place));
        }
        _ => {
            const KNOWN: [&str; 24] = [
                "BOOLEAN",
                "TINYINT",
                "SMALLINT",
                "INT",
                "INTEGER",
                "BIGINT",
                "FLOAT",
                "DOUBLE",
                "DECIMAL",
                "CHAR",
                "VARCHAR",
                "STRING",
                "BINARY",
                "VARBINARY",
                "BYTES",
                "DATE",
                "TIME",
                "TIMESTAMP",
                "TIMESTAMP_LTZ",
                "INTERVAL",
                "ARRAY",
                "MAP",
                "MULTISET",
                "ROW",
            ];
            let error = Error::syntax(format!("'{}' is not a type", word.value)).at(place);
            return Err(match crate::catalog::table::nearest(&name, KNOWN.into_iter()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            });
        }
    })
}

fn interval(cursor: &mut Cursor<'_>) -> Result<SqlType> {
    const UNITS: [(&str, bool); 6] = [
        ("YEAR", true),
        ("MONTH", true),
        ("DAY", false),
        ("HOUR", false),
        ("MINUTE", false),
        ("SECOND", false),
    ];
    let unit = |cursor: &mut Cursor<'_>| {
        let found = UNITS.iter().find(|(u, _)| cursor.words(u)).map(|(_, months)| *months);
        if found.is_some() {
            let mut ahead = cursor.clone();
            if length(&mut ahead, 0, 9).is_ok() {
                *cursor = ahead;
            }
        }
        found
    };
    let Some(months) = unit(cursor) else {
        return cursor.expected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND");
    };
    if cursor.words("TO") && unit(cursor) != Some(months) {
        return cursor.expected("a unit of the same kind behind TO");
    }
    Ok(if months { SqlType::IntervalYearMonth } else { SqlType::IntervalDayTime })
}
