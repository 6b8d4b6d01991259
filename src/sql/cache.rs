//! Statements about the caches of lookup tables: CLEAR CACHE, WARM CACHE, EXPLAIN LOOKUP.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of, span_of};
use super::ddl::expression;
use super::query::{read_expression, read_query};
use super::{CacheStatement, StatementKind};
use crate::error::Result;

/// `CLEAR CACHE t [WHERE condition]`
pub(super) fn read_clear(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_words(&["CLEAR", "CACHE"])?;
    let table = cursor.table_name("a table's name")?;
    let condition = match cursor.eat_word("WHERE") {
        true => {
            let behind = cursor.here();
            let lexemes = cursor.take(cursor.rest().len());
            Some(read_expression(cursor.text(), lexemes, behind)?)
        }
        false => None,
    };
    Ok(StatementKind::Cache(CacheStatement::Clear { table, condition }))
}

/// `WARM CACHE t FROM (query)`; a query without parentheses as well.
pub(super) fn read_warm(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_words(&["WARM", "CACHE"])?;
    let table = cursor.table_name("a table's name")?;
    cursor.expect_word("FROM")?;
    let lexemes = cursor.rest();
    let text = cursor.text().get(range_of(lexemes)).unwrap_or_default().to_string();
    let span = span_of(lexemes).unwrap_or_default();
    let query = read_query(cursor)?;
    Ok(StatementKind::Cache(CacheStatement::Warm { table, query, text, span }))
}

/// `EXPLAIN LOOKUP t FOR (value, ...)`
pub(super) fn read_explain(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_words(&["EXPLAIN", "LOOKUP"])?;
    let table = cursor.table_name("a table's name")?;
    cursor.expect_word("FOR")?;
    cursor.expect(&Token::LParen)?;
    let mut key = vec![expression(cursor)?];
    while cursor.eat(&Token::Comma) {
        key.push(expression(cursor)?);
    }
    cursor.expect(&Token::RParen)?;
    Ok(StatementKind::Cache(CacheStatement::ExplainLookup { table, key }))
}
