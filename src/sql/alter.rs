//! ALTER TABLE, ALTER VIEW, USE.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of};
use super::ddl::Elements;
use super::parse::unsupported_statement;
use super::query::read_query;
use super::{Added, Alter, Change, Name, Placement, StatementKind, TableName};
use crate::error::{Error, Result};

/// `ALTER TABLE | VIEW [IF EXISTS] name change`
pub(crate) fn read_alter(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let start = cursor.clone();
    cursor.expect_word("ALTER")?;
    let view = cursor.eat_word("VIEW");
    if !view && !cursor.eat_word("TABLE") {
        return Err(unsupported_statement(&start));
    }
    let if_exists = cursor.eat_words(&["IF", "EXISTS"]);
    let name = cursor.table_name(if view { "the view's name" } else { "the table's name" })?;
    let change = if cursor.eat_words(&["RENAME", "TO"]) {
        Change::Rename(cursor.table_name("the new name")?)
    } else if view {
        if !cursor.eat_word("AS") {
            return Err(cursor.expected("RENAME TO or AS and a query"));
        }
        let text = cursor.text().get(range_of(cursor.rest())).unwrap_or_default().to_string();
        Change::Query { query: read_query(cursor)?, text }
    } else {
        table_change(cursor)?
    };
    Ok(StatementKind::Alter(Alter { view, if_exists, name, change }))
}

/// What Flink's ALTER TABLE knows besides.
fn refuse_storage(cursor: &Cursor<'_>) -> Result<()> {
    let word = |n: usize, word: &str| cursor.peek_at(n).is_some_and(|l| l.is_word(word));
    for verb in ["ADD", "MODIFY", "DROP"] {
        let what = word(0, verb) && word(1, "DISTRIBUTION");
        // A column may have that name.
        let column = cursor
            .peek_at(2)
            .and_then(|l| l.word())
            .is_some_and(|w| !["BY", "INTO"].iter().any(|other| w.eq_ignore_ascii_case(other)));
        if what && (verb == "DROP" || !column) {
            return Err(Error::unsupported(format!("ALTER TABLE ... {verb} DISTRIBUTION is not supported"))
                .with_hint("no connector here has buckets: leave it out")
                .at(cursor.here()));
        }
        let open = |n: usize| cursor.peek_at(n).is_some_and(|l| l.is(&Token::LParen));
        let exists = word(1, "IF");
        if word(0, verb)
            && (word(1, "PARTITION") && open(2)
                || exists && (3..6).any(|n| word(n, "PARTITION") && open(n + 1)))
        {
            return Err(Error::unsupported(format!("ALTER TABLE ... {verb} PARTITION is not supported"))
                .with_hint("partitions are folders of the table's path: they are there when rows are")
                .at(cursor.here()));
        }
    }
    Ok(())
}

fn table_change(cursor: &mut Cursor<'_>) -> Result<Change> {
    refuse_storage(cursor)?;
    if cursor.eat_word("SET") {
        return cursor.options().map(Change::Set);
    }
    if cursor.eat_word("RESET") {
        cursor.expect(&Token::LParen)?;
        let mut keys = vec![cursor.string("an option's key")?];
        while cursor.eat(&Token::Comma) {
            keys.push(cursor.string("an option's key")?);
        }
        cursor.close_list()?;
        return Ok(Change::Reset(keys));
    }
    if cursor.eat_word("RENAME") {
        let from = cursor.name("a column's name or TO")?;
        cursor.expect_word("TO")?;
        return Ok(Change::RenameColumn(from, cursor.name("the column's new name")?));
    }
    if cursor.eat_word("ADD") {
        return added(cursor).map(Change::Add);
    }
    if cursor.eat_word("MODIFY") {
        return added(cursor).map(Change::Modify);
    }
    if cursor.eat_word("DROP") {
        if cursor.eat_words(&["PRIMARY", "KEY"]) {
            return Ok(Change::DropPrimaryKey);
        }
        if cursor.eat_word("CONSTRAINT") {
            cursor.name("the constraint's name")?;
            return Ok(Change::DropPrimaryKey);
        }
        if cursor.eat_word("WATERMARK") {
            return Ok(Change::DropWatermark);
        }
        let listed = cursor.peek().is_some_and(|l| l.is(&Token::LParen));
        let names =
            if listed { cursor.names("a column's name")? } else { vec![cursor.name("a column's name")?] };
        return Ok(Change::DropColumns(names));
    }
    Err(cursor.expected("ADD, MODIFY, DROP, RENAME, SET or RESET"))
}

/// One element, or several in parentheses, a column with its place.
fn added(cursor: &mut Cursor<'_>) -> Result<Added> {
    let mut elements = Elements { placed: true, ..Elements::default() };
    let mut places: Vec<(String, Placement)> = Vec::new();
    let mut element = |cursor: &mut Cursor<'_>| -> Result<()> {
        let known = elements.columns.len();
        elements.read(cursor)?;
        let column = elements.columns.get(known).map(|c| c.name.value.clone());
        let place = if cursor.eat_word("FIRST") {
            Some(Placement::First)
        } else if cursor.eat_word("AFTER") {
            Some(Placement::After(cursor.name("a column's name")?))
        } else {
            None
        };
        places.extend(column.zip(place));
        Ok(())
    };
    if cursor.eat(&Token::LParen) {
        loop {
            element(cursor)?;
            if !cursor.eat(&Token::Comma) {
                cursor.close_list()?;
                break;
            }
        }
    } else {
        element(cursor)?;
    }
    let Elements { columns, watermark, primary_key, .. } = elements;
    Ok(Added { columns, places, watermark, primary_key })
}

/// `USE CATALOG name`, `USE [catalog.]database`
pub(crate) fn read_use(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let start = cursor.clone();
    cursor.expect_word("USE")?;
    if cursor.is_word("MODULES") {
        return Err(unsupported_statement(&start));
    }
    if cursor.eat_word("CATALOG") {
        let name: Name = cursor.name("a catalog's name")?;
        return Ok(StatementKind::UseCatalog(name));
    }
    let name: TableName = cursor.table_name("a database's name")?;
    Ok(StatementKind::Use(name))
}
