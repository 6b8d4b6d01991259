//! CREATE TABLE, CREATE VIEW and DROP.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of};
use super::lexer::{Class, Lexeme};
use super::parse::unsupported_statement;
use super::query::{expression_length, read_expression, read_query};
use super::type_parser::{read_not_null, read_type};
use super::{
    ColumnDef, ColumnKind, CreateTable, CreateView, Drop, Like, LikeFeature, LikeMode, Name, SqlExpression,
    StatementKind, WatermarkDef,
};
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;

const OTHER_OBJECTS: &[&str] =
    &["CATALOG", "CONNECTION", "DATABASE", "FUNCTION", "MATERIALIZED", "MODEL", "OR", "SYSTEM"];

/// TABLE or VIEW behind CREATE or DROP, with TEMPORARY; true for VIEW.
fn object(cursor: &mut Cursor<'_>, or_replace: &mut bool) -> Result<(bool, bool)> {
    let start = cursor.clone();
    cursor.next();
    *or_replace = start.is_word("CREATE") && cursor.eat_words(&["OR", "REPLACE"]);
    let temporary = cursor.eat_word("TEMPORARY");
    if cursor.eat_word("TABLE") {
        return Ok((temporary, false));
    }
    if cursor.eat_word("VIEW") {
        return Ok((temporary, true));
    }
    if OTHER_OBJECTS.iter().any(|o| cursor.is_word(o)) {
        return Err(unsupported_statement(&start));
    }
    let error = cursor.expected(if temporary { "TABLE or VIEW" } else { "TABLE, VIEW or TEMPORARY" });
    let known = ["TABLE", "VIEW", "TEMPORARY"].into_iter();
    Err(match cursor.peek().and_then(Lexeme::word).and_then(|w| nearest(w, known)) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    })
}

/// `CREATE ...`
pub(crate) fn read_create(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let mut or_replace = false;
    let (temporary, view) = object(cursor, &mut or_replace)?;
    let if_not_exists = cursor.is_word("IF");
    if if_not_exists {
        cursor.expect_words(&["IF", "NOT", "EXISTS"])?;
    }
    match view {
        true => read_view(cursor, temporary, if_not_exists)
            .map(|view| StatementKind::CreateView(CreateView { or_replace, ..view })),
        false => read_table(cursor, temporary, if_not_exists)
            .map(|table| StatementKind::CreateTable(CreateTable { or_replace, ..table })),
    }
}

/// `DROP [TEMPORARY] TABLE | VIEW [IF EXISTS] name`
pub(crate) fn read_drop(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let (temporary, view) = object(cursor, &mut false)?;
    let if_exists = cursor.is_word("IF");
    if if_exists {
        cursor.expect_words(&["IF", "EXISTS"])?;
    }
    let name = cursor.table_name(if view { "a view's name" } else { "a table's name" })?;
    Ok(StatementKind::Drop(Drop { view, temporary, if_exists, name }))
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    match cursor.eat_word("COMMENT") {
        true => cursor.string("the comment").map(|c| Some(c.value)),
        false => Ok(None),
    }
}

fn read_view(cursor: &mut Cursor<'_>, temporary: bool, if_not_exists: bool) -> Result<CreateView> {
    let name = cursor.table_name("the view's name")?;
    let mut columns = Vec::new();
    if cursor.eat(&Token::LParen) {
        loop {
            let column = cursor.name("a column's name")?;
            if columns.iter().any(|c: &Name| c.value == column.value) {
                return Err(declared_twice(&column));
            }
            if cursor.is_word("COMMENT") {
                return Err(
                    Error::unsupported("COMMENT on a view's column is not supported").at(cursor.here())
                );
            }
            columns.push(column);
            if !cursor.eat(&Token::Comma) {
                cursor.close_list()?;
                break;
            }
        }
    }
    let comment = comment(cursor)?;
    if !cursor.eat_word("AS") {
        return Err(cursor.expected("AS and a query"));
    }
    let text = cursor.text().get(range_of(cursor.rest())).unwrap_or_default().to_string();
    let query = read_query(cursor)?;
    Ok(CreateView { name, or_replace: false, temporary, if_not_exists, columns, comment, query, text })
}

fn declared_twice(column: &Name) -> Error {
    Error::plan(format!("column '{}' is declared twice", column.value)).at(column.span)
}

/// What stands between the parentheses of CREATE TABLE.
#[derive(Default)]
pub(super) struct Elements {
    pub columns: Vec<ColumnDef>,
    pub watermark: Option<WatermarkDef>,
    pub primary_key: Option<Vec<Name>>,
    /// Names without types: columns of the query of CREATE TABLE AS.
    pub listed: Vec<Name>,
    /// Columns may say where they go: FIRST, AFTER.
    pub placed: bool,
}

fn read_table(cursor: &mut Cursor<'_>, temporary: bool, if_not_exists: bool) -> Result<CreateTable> {
    let name = cursor.table_name("the table's name")?;
    let mut elements = Elements::default();
    let listed = cursor.eat(&Token::LParen);
    if listed && !cursor.eat(&Token::RParen) {
        loop {
            elements.read(cursor)?;
            if !cursor.eat(&Token::Comma) {
                cursor.close_list()?;
                break;
            }
        }
    }
    let comment = comment(cursor)?;
    if cursor.is_word("DISTRIBUTED") {
        return Err(Error::unsupported("DISTRIBUTED BY is not supported")
            .with_hint("no connector here has buckets: leave it out")
            .at(cursor.here()));
    }
    let mut partitioned_by = Vec::new();
    if cursor.eat_word("PARTITIONED") {
        cursor.expect_word("BY")?;
        partitioned_by = cursor.names("a column's name")?;
    }
    let options = match cursor.eat_word("WITH") {
        true => cursor.options()?,
        false => Vec::new(),
    };
    let like = match cursor.eat_word("LIKE") {
        true => Some(read_like(cursor)?),
        false => None,
    };
    let query = match like.is_none() && cursor.eat_word("AS") {
        true => Some(read_query(cursor)?),
        false => None,
    };
    if !cursor.is_done() {
        let clauses = ["COMMENT", "PARTITIONED BY", "WITH", "LIKE", "AS"];
        let error = cursor.expected(match listed {
            true => "COMMENT, PARTITIONED BY, WITH, LIKE, AS or the end of the statement",
            false => "'(', WITH, LIKE or AS",
        });
        let word = cursor.peek().and_then(Lexeme::word).unwrap_or_default();
        let again = clauses.iter().any(|c| c.split(' ').next().is_some_and(|c| c.eq_ignore_ascii_case(word)));
        return Err(match nearest(word, clauses.into_iter()) {
            _ if again => error.with_hint(format!("the order of the clauses is {}", clauses.join(", "))),
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error,
        });
    }
    if !listed && like.is_none() && query.is_none() && options.is_empty() {
        return Err(cursor.expected("'(' and the columns, LIKE or AS"));
    }
    let Elements { columns, watermark, primary_key, listed: names, .. } = elements;
    if let (Some(name), None) = (names.first(), &query) {
        return Err(Error::syntax(format!("column '{}' has no type", name.value))
            .with_hint("only CREATE TABLE ... AS takes names alone, in the order that the table has")
            .at(name.span));
    }
    if let (Some(name), false) = (names.first(), columns.is_empty()) {
        return Err(Error::syntax("the columns are either names alone or declared with types").at(name.span));
    }
    Ok(CreateTable {
        name,
        or_replace: false,
        temporary,
        if_not_exists,
        columns,
        listed: names,
        watermark,
        primary_key,
        comment,
        partitioned_by,
        options,
        like,
        query,
    })
}

impl Elements {
    pub fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        if cursor.peek_at(1).is_some_and(|l| l.is(&Token::Comma) || l.is(&Token::RParen))
            && cursor.peek().is_some_and(|l| matches!(l.class, Class::Word | Class::Quoted))
        {
            self.listed.push(cursor.name("a column's name")?);
            return Ok(());
        }
        if cursor.are_words(&["WATERMARK", "FOR"]) {
            return self.read_watermark(cursor);
        }
        if cursor.is_word("CONSTRAINT") || cursor.are_words(&["PRIMARY", "KEY"]) || cursor.is_word("UNIQUE") {
            let from = cursor.position();
            if cursor.eat_word("CONSTRAINT") {
                cursor.name("the constraint's name")?;
            }
            refuse_unique(cursor)?;
            cursor.expect_words(&["PRIMARY", "KEY"])?;
            let key = cursor.names("a column's name")?;
            not_enforced(cursor, from)?;
            return self.set_key(key, cursor.span_since(from));
        }
        let column = self.read_column(cursor)?;
        if self.columns.iter().any(|c| c.name.value == column.name.value) {
            return Err(declared_twice(&column.name));
        }
        self.columns.push(column);
        Ok(())
    }

    fn read_watermark(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let from = cursor.position();
        cursor.expect_words(&["WATERMARK", "FOR"])?;
        let column = cursor.name("the rowtime column")?;
        if cursor.peek().is_some_and(|l| l.is(&Token::Period)) {
            return Err(Error::unsupported("a watermark on a nested column is not supported")
                .at(cursor.span_since(from))
                .with_hint("declare a computed column: ts AS nested.ts"));
        }
        cursor.expect_word("AS")?;
        let expression = expression(cursor)?;
        let span = cursor.span_since(from);
        if self.watermark.is_some() {
            return Err(Error::plan("a table has one watermark, this is the second").at(span));
        }
        self.watermark = Some(WatermarkDef { column, expression, span });
        Ok(())
    }

    fn set_key(&mut self, key: Vec<Name>, span: Span) -> Result<()> {
        if self.primary_key.is_some() {
            return Err(Error::plan("a table has one primary key, this is the second").at(span));
        }
        if let Some((_, twice)) =
            key.iter().enumerate().find(|(i, k)| key[..*i].iter().any(|other| other.value == k.value))
        {
            return Err(Error::plan(format!("the primary key names '{}' twice", twice.value)).at(twice.span));
        }
        self.primary_key = Some(key);
        Ok(())
    }

    fn read_column(&mut self, cursor: &mut Cursor<'_>) -> Result<ColumnDef> {
        let name = cursor.name("a column's name, WATERMARK or PRIMARY KEY")?;
        if cursor.eat_word("AS") {
            let expression = match self.placed {
                true => placed_expression(cursor)?,
                false => expression(cursor)?,
            };
            let comment = comment(cursor)?;
            return Ok(ColumnDef { name, kind: ColumnKind::Computed { expression }, comment });
        }
        let data_type = read_type(cursor)?;
        let mut nullable = true;
        let mut constrained = false;
        let mut metadata: Option<(Option<Name>, bool)> = None;
        let mut comment = None;
        while let Some(word) = cursor.peek().and_then(Lexeme::word) {
            match word.to_ascii_uppercase().as_str() {
                "NOT" | "NULL" if !constrained => {
                    constrained = true;
                    if cursor.is_word("NOT") && !cursor.are_words(&["NOT", "NULL"]) {
                        cursor.next();
                        return Err(cursor.expected("NULL"));
                    }
                    nullable = !read_not_null(cursor);
                }
                "CONSTRAINT" | "PRIMARY" | "UNIQUE" => {
                    let from = cursor.position();
                    if cursor.eat_word("CONSTRAINT") {
                        cursor.name("the constraint's name")?;
                    }
                    refuse_unique(cursor)?;
                    cursor.expect_words(&["PRIMARY", "KEY"])?;
                    not_enforced(cursor, from)?;
                    self.set_key(vec![name.clone()], cursor.span_since(from))?;
                }
                "METADATA" if metadata.is_none() => {
                    cursor.next();
                    let key = match cursor.eat_word("FROM") {
                        true => Some(cursor.string("the metadata key")?),
                        false => None,
                    };
                    metadata = Some((key, cursor.eat_word("VIRTUAL")));
                }
                "COMMENT" if comment.is_none() => {
                    comment = self::comment(cursor)?;
                }
                _ => break,
            }
        }
        let placed = self.placed && (cursor.is_word("FIRST") || cursor.is_word("AFTER"));
        if !placed && !cursor.peek().is_none_or(|l| l.is(&Token::Comma) || l.is(&Token::RParen)) {
            let error = cursor.expected("',' or ')'");
            let known = ["NOT NULL", "METADATA", "PRIMARY KEY", "COMMENT", "VIRTUAL", "CONSTRAINT"];
            let word = cursor.peek().and_then(Lexeme::word).unwrap_or_default();
            return Err(match nearest(word, known.into_iter()) {
                _ if word.eq_ignore_ascii_case("DEFAULT") => {
                    Error::unsupported("DEFAULT of a column is not supported").at(cursor.here())
                }
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            });
        }
        let kind = match metadata {
            Some((key, is_virtual)) => ColumnKind::Metadata { data_type, nullable, key, is_virtual },
            None => ColumnKind::Physical { data_type, nullable },
        };
        Ok(ColumnDef { name, kind, comment })
    }
}

fn refuse_unique(cursor: &Cursor<'_>) -> Result<()> {
    match cursor.is_word("UNIQUE") {
        true => Err(Error::unsupported("UNIQUE is not supported")
            .at(cursor.here())
            .with_hint("PRIMARY KEY (...) NOT ENFORCED declares a key")),
        false => Ok(()),
    }
}

/// Keys are declared, never checked, and the declaration has to say so.
fn not_enforced(cursor: &mut Cursor<'_>, from: usize) -> Result<()> {
    if cursor.eat_words(&["NOT", "ENFORCED"]) {
        return Ok(());
    }
    if cursor.are_words(&["NOT"]) && !cursor.are_words(&["NOT", "NULL"]) {
        cursor.next();
        return Err(cursor.expected("ENFORCED"));
    }
    cursor.eat_word("ENFORCED");
    Err(Error::unsupported("an enforced PRIMARY KEY is not supported")
        .at(cursor.span_since(from))
        .with_hint("write PRIMARY KEY ... NOT ENFORCED: keys are declared, not checked"))
}

pub(super) fn expression(cursor: &mut Cursor<'_>) -> Result<SqlExpression> {
    let length = expression_length(cursor.rest());
    if length == 0 {
        return Err(cursor.expected("an expression"));
    }
    let behind = cursor.here();
    read_expression(cursor.text(), cursor.take(length), behind)
}

/// The same of a column that may say where it goes: `c AS price * 3 FIRST`.
fn placed_expression(cursor: &mut Cursor<'_>) -> Result<SqlExpression> {
    let mut length = expression_length(cursor.rest());
    let word = |n: usize, word: &str| cursor.peek_at(n).is_some_and(|l| l.is_word(word));
    if length > 1 && word(length - 1, "FIRST") {
        length -= 1;
    } else if length > 2 && word(length - 2, "AFTER") {
        length -= 2;
    }
    if length == 0 {
        return Err(cursor.expected("an expression"));
    }
    let behind = cursor.here();
    read_expression(cursor.text(), cursor.take(length), behind)
}

fn read_like(cursor: &mut Cursor<'_>) -> Result<Like> {
    let table = cursor.table_name("the table to be like")?;
    let mut rules = Vec::new();
    if !cursor.eat(&Token::LParen) {
        return Ok(Like { table, rules });
    }
    // Flink separates the rules by white space.
    while !cursor.eat(&Token::RParen) {
        let from = cursor.position();
        let rule = (mode(cursor)?, feature(cursor)?);
        let can_overwrite = matches!(
            rule.1,
            LikeFeature::Generated | LikeFeature::Metadata | LikeFeature::Options | LikeFeature::Watermarks
        );
        if rule.0 == LikeMode::Overwriting && !can_overwrite {
            return Err(Error::syntax("only GENERATED, METADATA, OPTIONS and WATERMARKS can be OVERWRITING")
                .at(cursor.span_since(from)));
        }
        if rules.iter().any(|(_, f)| *f == rule.1) {
            return Err(Error::syntax("the rule is given twice").at(cursor.span_since(from)));
        }
        rules.push(rule);
        cursor.eat(&Token::Comma);
    }
    Ok(Like { table, rules })
}

fn choice<T: Copy>(cursor: &mut Cursor<'_>, choices: &[(&'static str, T)]) -> Result<T> {
    if let Some((_, chosen)) = choices.iter().find(|(word, _)| cursor.eat_word(word)) {
        return Ok(*chosen);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let error = cursor.expected(&format!("one of {}", words.join(", ")));
    let found = cursor.peek().filter(|l| l.class == Class::Word).and_then(Lexeme::word);
    Err(match found.and_then(|w| nearest(w, words.iter().copied())) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    })
}

fn mode(cursor: &mut Cursor<'_>) -> Result<LikeMode> {
    choice(
        cursor,
        &[
            ("INCLUDING", LikeMode::Including),
            ("EXCLUDING", LikeMode::Excluding),
            ("OVERWRITING", LikeMode::Overwriting),
        ],
    )
}

fn feature(cursor: &mut Cursor<'_>) -> Result<LikeFeature> {
    choice(
        cursor,
        &[
            ("ALL", LikeFeature::All),
            ("CONSTRAINTS", LikeFeature::Constraints),
            ("DISTRIBUTION", LikeFeature::Distribution),
            ("GENERATED", LikeFeature::Generated),
            ("METADATA", LikeFeature::Metadata),
            ("OPTIONS", LikeFeature::Options),
            ("PARTITIONS", LikeFeature::Partitions),
            ("WATERMARKS", LikeFeature::Watermarks),
        ],
    )
}
