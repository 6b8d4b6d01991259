//! CREATE TABLE and CREATE VIEW.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::hints::entries;
use super::lexer::Lexeme;
use super::query::{expression, query};
use super::statement::{
    ColumnDef, ColumnKind, CreateTable, CreateView, Like, LikeFeature, LikeMode, Name, SqlExpression,
    TableName, WatermarkDef,
};
use super::type_parser::data_type;
use crate::error::{Error, Result, Span};

/// `a`, `a.b` or `a.b.c`.
pub fn table_name(cursor: &mut Cursor<'_>) -> Result<TableName> {
    let mut parts = vec![cursor.name("a table's name")?];
    while cursor.takes(&Token::Period) {
        parts.push(cursor.name("a name")?);
    }
    Ok(TableName { parts })
}

fn sql_expression(lexemes: &[Lexeme], cursor: &Cursor<'_>, text: &str) -> Result<SqlExpression> {
    if lexemes.is_empty() {
        return cursor.expected("an expression");
    }
    let span = lexemes.iter().map(|l| l.span).reduce(Span::union).unwrap_or_default();
    Ok(SqlExpression { expr: expression(lexemes, text)?, text: cursor.text_of(lexemes), span })
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.words("COMMENT") {
        Ok(Some(cursor.string("a comment in single quotes")?.value))
    } else {
        Ok(None)
    }
}

fn column(cursor: &mut Cursor<'_>, text: &str, primary_key: &mut Option<Vec<Name>>) -> Result<ColumnDef> {
    let name = cursor.name("a column's name")?;
    if cursor.words("AS") {
        let lexemes = cursor.until(&["COMMENT"]);
        let expression = sql_expression(lexemes, cursor, text)?;
        return Ok(ColumnDef { name, kind: ColumnKind::Computed { expression }, comment: comment(cursor)? });
    }
    let (data_type, mut nullable) = data_type(cursor)?;
    if cursor.words("CONSTRAINT") {
        cursor.name("the constraint's name")?;
    }
    if cursor.words("PRIMARY KEY") {
        cursor.expect_words("NOT ENFORCED")?;
        if primary_key.replace(vec![name.clone()]).is_some() {
            return Err(Error::plan("PRIMARY KEY is declared twice").at(name.span));
        }
        nullable = false;
    }
    let kind = if cursor.words("METADATA") {
        let key = if cursor.words("FROM") {
            Some(cursor.string("the metadata key in single quotes")?)
        } else {
            None
        };
        ColumnKind::Metadata { data_type, nullable, key, is_virtual: cursor.words("VIRTUAL") }
    } else {
        ColumnKind::Physical { data_type, nullable }
    };
    Ok(ColumnDef { name, kind, comment: comment(cursor)? })
}

/// Behind `CREATE [TEMPORARY] TABLE`.
pub fn create_table(cursor: &mut Cursor<'_>, temporary: bool, text: &str) -> Result<CreateTable> {
    let if_not_exists = cursor.words("IF NOT EXISTS");
    let mut table = CreateTable {
        name: table_name(cursor)?,
        temporary,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: None,
        comment: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
        query: None,
    };
    if cursor.takes(&Token::LParen) {
        loop {
            element(cursor, &mut table, text)?;
            if !cursor.takes(&Token::Comma) {
                break;
            }
        }
        if !cursor.takes(&Token::RParen) {
            return cursor.expected("',' or ')'");
        }
    }
    loop {
        if let Some(text) = comment(cursor)? {
            table.comment = Some(text);
        } else if cursor.words("PARTITIONED BY") {
            table.partitioned_by = cursor.names("a column's name")?;
        } else if cursor.words("DISTRIBUTED") {
            return Err(Error::unsupported("DISTRIBUTED is not supported").at(cursor.place()));
        } else if cursor.words("WITH") {
            cursor.expect(&Token::LParen)?;
            table.options = entries(cursor)?;
            cursor.expect(&Token::RParen)?;
        } else if cursor.words("LIKE") {
            table.like = Some(like(cursor)?);
        } else if cursor.words("AS") {
            table.query = Some(query(cursor.rest(), text)?);
        } else if cursor.is_done() {
            return Ok(table);
        } else {
            return cursor.expected("COMMENT, PARTITIONED BY, WITH, LIKE, AS, or the end");
        }
    }
}

fn element(cursor: &mut Cursor<'_>, table: &mut CreateTable, text: &str) -> Result<()> {
    let place = cursor.place();
    let constraint = cursor.words("CONSTRAINT");
    if constraint {
        cursor.name("the constraint's name")?;
    }
    if cursor.words("PRIMARY KEY") {
        let key = cursor.names("a column's name")?;
        if !cursor.words("NOT ENFORCED") {
            return cursor.expected("NOT ENFORCED (a stream's key is not checked)");
        }
        if table.primary_key.replace(key).is_some() {
            return Err(Error::plan("PRIMARY KEY is declared twice").at(place));
        }
        return Ok(());
    }
    if constraint {
        return cursor.expected("PRIMARY KEY");
    }
    if cursor.peek().is_some_and(|l| l.is("WATERMARK")) && cursor.peek_at(1).is_some_and(|l| l.is("FOR")) {
        cursor.expect_words("WATERMARK FOR")?;
        let column = cursor.name("the rowtime column")?;
        cursor.expect_words("AS")?;
        let lexemes = cursor.until(&[]);
        let expression = sql_expression(lexemes, cursor, text)?;
        let span = place.union(expression.span);
        if table.watermark.replace(WatermarkDef { column, expression, span }).is_some() {
            return Err(Error::plan("WATERMARK is declared twice").at(span));
        }
        return Ok(());
    }
    let found = column(cursor, text, &mut table.primary_key)?;
    table.columns.push(found);
    Ok(())
}

fn like(cursor: &mut Cursor<'_>) -> Result<Like> {
    let table = table_name(cursor)?;
    let mut rules = Vec::new();
    if cursor.takes(&Token::LParen) {
        while !cursor.takes(&Token::RParen) {
            let mode = match () {
                () if cursor.words("INCLUDING") => LikeMode::Including,
                () if cursor.words("EXCLUDING") => LikeMode::Excluding,
                () if cursor.words("OVERWRITING") => LikeMode::Overwriting,
                () => return cursor.expected("INCLUDING, EXCLUDING, OVERWRITING or ')'"),
            };
            const FEATURES: [(&str, LikeFeature); 8] = [
                ("ALL", LikeFeature::All),
                ("CONSTRAINTS", LikeFeature::Constraints),
                ("DISTRIBUTION", LikeFeature::Distribution),
                ("GENERATED", LikeFeature::Generated),
                ("METADATA", LikeFeature::Metadata),
                ("OPTIONS", LikeFeature::Options),
                ("PARTITIONS", LikeFeature::Partitions),
                ("WATERMARKS", LikeFeature::Watermarks),
            ];
            let Some((_, feature)) = FEATURES.iter().find(|(w, _)| cursor.words(w)) else {
                return cursor.expected(
                    "ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS",
                );
            };
            rules.push((mode, *feature));
            cursor.takes(&Token::Comma);
        }
    }
    Ok(Like { table, rules })
}

/// Behind `CREATE [TEMPORARY] VIEW`.
pub fn create_view(cursor: &mut Cursor<'_>, temporary: bool, text: &str) -> Result<CreateView> {
    let if_not_exists = cursor.words("IF NOT EXISTS");
    let name = table_name(cursor)?;
    let mut columns = Vec::new();
    if cursor.takes(&Token::LParen) {
        loop {
            columns.push(cursor.name("a column's name")?);
            comment(cursor)?;
            if !cursor.takes(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
    }
    let comment = comment(cursor)?;
    cursor.expect_words("AS")?;
    let lexemes = cursor.rest();
    let written = cursor.text_of(lexemes);
    Ok(CreateView {
        name,
        temporary,
        if_not_exists,
        columns,
        comment,
        query: query(lexemes, text)?,
        text: written,
    })
}
