//! CREATE, DROP and ALTER of catalogs and databases.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{CatalogChange, CatalogStatement, Name, OptionEntry, StatementKind};
use crate::error::{Error, Result};

/// Whether CREATE, DROP or ALTER is about a catalog or a database.
pub(super) fn is_catalog(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.next();
    ahead.is_word("CATALOG") || ahead.is_word("DATABASE")
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    match cursor.eat_word("COMMENT") {
        true => cursor.string("the comment").map(|c| Some(c.value)),
        false => Ok(None),
    }
}

fn with(cursor: &mut Cursor<'_>) -> Result<Vec<OptionEntry>> {
    if cursor.eat_word("WITH") { cursor.options() } else { Ok(Vec::new()) }
}

/// `CREATE CATALOG | DATABASE [IF NOT EXISTS] name [COMMENT '...'] [WITH (...)]`
pub(super) fn read_create(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("CREATE")?;
    let catalog = cursor.eat_word("CATALOG");
    if !catalog {
        cursor.expect_word("DATABASE")?;
    }
    let if_not_exists = cursor.is_word("IF");
    if if_not_exists {
        cursor.expect_words(&["IF", "NOT", "EXISTS"])?;
    }
    Ok(StatementKind::Catalog(match catalog {
        true => {
            let name = cursor.name("the catalog's name")?;
            let comment = comment(cursor)?;
            CatalogStatement::CreateCatalog { name, if_not_exists, comment, options: with(cursor)? }
        }
        false => {
            let name = cursor.table_name("the database's name")?;
            let comment = comment(cursor)?;
            CatalogStatement::CreateDatabase { name, if_not_exists, comment, properties: with(cursor)? }
        }
    }))
}

/// `DROP CATALOG | DATABASE [IF EXISTS] name [RESTRICT | CASCADE]`
pub(super) fn read_drop(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("DROP")?;
    let catalog = cursor.eat_word("CATALOG");
    if !catalog {
        cursor.expect_word("DATABASE")?;
    }
    let if_exists = cursor.is_word("IF");
    if if_exists {
        cursor.expect_words(&["IF", "EXISTS"])?;
    }
    Ok(StatementKind::Catalog(match catalog {
        true => CatalogStatement::DropCatalog { name: cursor.name("a catalog's name")?, if_exists },
        false => {
            let name = cursor.table_name("a database's name")?;
            let cascade = cursor.eat_word("CASCADE");
            if !cascade {
                cursor.eat_word("RESTRICT");
            }
            CatalogStatement::DropDatabase { name, if_exists, cascade }
        }
    }))
}

/// `ALTER CATALOG name SET | RESET | COMMENT`, `ALTER DATABASE name SET (...)`
pub(super) fn read_alter(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("ALTER")?;
    if cursor.eat_word("DATABASE") {
        let name = cursor.table_name("a database's name")?;
        cursor.expect_word("SET")?;
        let properties = cursor.options()?;
        return Ok(StatementKind::Catalog(CatalogStatement::AlterDatabase { name, properties }));
    }
    cursor.expect_word("CATALOG")?;
    let name = cursor.name("a catalog's name")?;
    let change = if cursor.eat_word("SET") {
        CatalogChange::Set(cursor.options()?)
    } else if cursor.eat_word("COMMENT") {
        CatalogChange::Comment(cursor.string("the comment")?.value)
    } else if cursor.eat_word("RESET") {
        cursor.expect(&Token::LParen)?;
        let mut keys: Vec<Name> = vec![cursor.string("an option's key")?];
        while cursor.eat(&Token::Comma) {
            keys.push(cursor.string("an option's key")?);
        }
        cursor.close_list()?;
        CatalogChange::Reset(keys)
    } else {
        return Err(cursor.expected("SET, RESET or COMMENT"));
    };
    if let CatalogChange::Set(options) = &change
        && let Some(fixed) = options.iter().find(|o| o.key.value == "type")
    {
        return Err(Error::plan("the type of a catalog cannot be changed").at(fixed.key.span));
    }
    Ok(StatementKind::Catalog(CatalogStatement::AlterCatalog { name, change }))
}
