//! Statements of the session: SET, RESET, SHOW, DESCRIBE, EXPLAIN, STOP JOB.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of, span_of};
use super::lexer::{Class, Lexeme};
use super::parse::{read_execute, read_insert, unsupported_statement};
use super::query::{all_rows, read_query};
use super::{CacheStatement, LikePattern, Name, Show, StatementKind, TableName};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Details of EXPLAIN.
pub(crate) const EXPLAIN_DETAILS: &[&str] =
    &["ESTIMATED_COST", "CHANGELOG_MODE", "PLAN_ADVICE", "JSON_EXECUTION_PLAN"];

/// `SET`, `SET 'key' = 'value'`, `SET key = value`.
pub(crate) fn read_set(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("SET")?;
    if cursor.is_done() {
        return Ok(StatementKind::ShowSettings);
    }
    let rest = cursor.rest();
    let Some(equals) = rest.iter().position(|l| l.is(&Token::Eq)) else {
        cursor.take(rest.len());
        return Err(cursor.expected("'=' and a value"));
    };
    let key = word(cursor, equals, "a setting's key")?;
    cursor.expect(&Token::Eq)?;
    let value = word(cursor, cursor.rest().len(), "a value")?;
    Ok(StatementKind::Set { key, value: value.value })
}

/// `RESET`, `RESET 'key'`, `RESET key`.
pub(crate) fn read_reset(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("RESET")?;
    if cursor.is_done() {
        return Ok(StatementKind::Reset(None));
    }
    let length = cursor.rest().len();
    word(cursor, length, "a setting's key").map(|key| StatementKind::Reset(Some(key)))
}

/// A string, or what stands there without quotes exactly as written.
fn word(cursor: &mut Cursor<'_>, length: usize, what: &str) -> Result<Name> {
    if length == 0 {
        return Err(cursor.expected(what));
    }
    if cursor.peek().is_some_and(|l| l.class == Class::Text) {
        let name = cursor.string(what)?;
        if length > 1 {
            return Err(match what {
                "a setting's key" => cursor.expected("'='"),
                _ => cursor.expected("the end of the statement"),
            });
        }
        return Ok(name);
    }
    let lexemes = &cursor.rest()[..length];
    // Characters without a meaning in SQL may stand in a value; open quotes and comments may not.
    let open = lexemes.iter().find_map(|l| match &l.class {
        Class::Bad(error, true) => Some(error),
        _ => None,
    });
    if let Some(error) = open {
        return Err(error.clone());
    }
    cursor.take(length);
    let value = cursor.text().get(range_of(lexemes)).unwrap_or_default().to_string();
    Ok(Name { value, span: span_of(lexemes).unwrap_or_default() })
}

/// Things that SHOW knows.
const SHOWN: &[&str] = &[
    "CACHES",
    "CATALOGS",
    "COLUMNS",
    "CREATE",
    "CURRENT",
    "DATABASES",
    "FUNCTIONS",
    "JARS",
    "JOBS",
    "MODELS",
    "MODULES",
    "PROCEDURES",
    "TABLES",
    "USER",
    "VIEWS",
];

/// Things that Flink's SHOW knows besides.
const NOT_SHOWN: &[&str] = &["FULL", "MATERIALIZED", "PARTITIONS", "CONNECTIONS", "TEMPORARY"];

/// `SHOW ...`
pub(crate) fn read_show(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let start = cursor.clone();
    cursor.expect_word("SHOW")?;
    let Some(what) = cursor.peek().and_then(Lexeme::word) else {
        return Err(cursor.expected(&format!("one of {}", SHOWN.join(", "))));
    };
    let upper = what.to_ascii_uppercase();
    if NOT_SHOWN.contains(&upper.as_str()) {
        return Err(unsupported_statement(&start));
    }
    if !SHOWN.contains(&upper.as_str()) {
        let error = cursor.expected(&format!("one of {}", SHOWN.join(", ")));
        return Err(match nearest(what, SHOWN.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean SHOW {near}?")),
            None => error,
        });
    }
    cursor.next();
    if upper == "CACHES" {
        return Ok(StatementKind::Cache(CacheStatement::Show));
    }
    let show = match upper.as_str() {
        "TABLES" => Show::Tables(of_database(cursor)?, like(cursor)?),
        "VIEWS" => Show::Views(of_database(cursor)?, like(cursor)?),
        "FUNCTIONS" => {
            of_database(cursor)?;
            Show::Functions(like(cursor)?)
        }
        "MODELS" => {
            of_database(cursor)?;
            Show::Models(like(cursor)?)
        }
        "USER" => {
            cursor.expect_word("FUNCTIONS")?;
            of_database(cursor)?;
            Show::UserFunctions(like(cursor)?)
        }
        "COLUMNS" => {
            if !cursor.eat_word("FROM") && !cursor.eat_word("IN") {
                return Err(cursor.expected("FROM or IN and a table"));
            }
            let table = cursor.table_name("a table's name")?;
            Show::Columns(table, like(cursor)?)
        }
        "CATALOGS" => Show::Catalogs(like(cursor)?),
        "DATABASES" => {
            let of = cursor.eat_word("FROM") || cursor.eat_word("IN");
            let catalog = if of { Some(cursor.name("a catalog's name")?) } else { None };
            Show::Databases(catalog, like(cursor)?)
        }
        "MODULES" => Show::Names { column: "module name", names: &["core"], like: like(cursor)? },
        "JARS" => Show::Names { column: "jars", names: &[], like: like(cursor)? },
        "PROCEDURES" => {
            of_database(cursor)?;
            Show::Names { column: "procedure name", names: &[], like: like(cursor)? }
        }
        "JOBS" => Show::Jobs,
        "CURRENT" => {
            if cursor.eat_word("CATALOG") {
                Show::CurrentCatalog
            } else if cursor.eat_word("DATABASE") {
                Show::CurrentDatabase
            } else {
                return Err(cursor.expected("CATALOG or DATABASE"));
            }
        }
        _ => {
            if cursor.eat_word("TABLE") {
                Show::CreateTable(cursor.table_name("a table's name")?)
            } else if cursor.eat_word("VIEW") {
                Show::CreateView(cursor.table_name("a view's name")?)
            } else if cursor.eat_word("FUNCTION") {
                Show::CreateFunction(cursor.table_name("a function's name")?)
            } else if cursor.eat_word("MODEL") {
                Show::CreateFunction(super::function_ddl::model_name(cursor)?)
            } else if cursor.eat_word("CATALOG") {
                Show::CreateCatalog(cursor.name("a catalog's name")?)
            } else if ["MATERIALIZED"].iter().any(|w| cursor.is_word(w)) {
                return Err(unsupported_statement(&start));
            } else {
                return Err(cursor.expected("TABLE, VIEW, FUNCTION or CATALOG"));
            }
        }
    };
    if cursor.is_word("LIKE") || cursor.is_word("ILIKE") || cursor.is_word("NOT") {
        return Err(Error::unsupported(format!("SHOW {upper} with LIKE is not supported")).at(cursor.here()));
    }
    Ok(StatementKind::Show(show))
}

/// `FROM | IN database`
fn of_database(cursor: &mut Cursor<'_>) -> Result<Option<TableName>> {
    match cursor.eat_word("FROM") || cursor.eat_word("IN") {
        true => cursor.table_name("a database's name").map(Some),
        false => Ok(None),
    }
}

/// `[NOT] LIKE | ILIKE 'pattern'`
fn like(cursor: &mut Cursor<'_>) -> Result<Option<LikePattern>> {
    let negated = cursor.eat_word("NOT");
    let ignore_case = cursor.eat_word("ILIKE");
    if !ignore_case && !cursor.eat_word("LIKE") {
        return if negated { Err(cursor.expected("LIKE or ILIKE")) } else { Ok(None) };
    }
    let pattern = cursor.string("a pattern")?.value;
    Ok(Some(LikePattern { pattern, ignore_case, negated }))
}

/// `DESCRIBE table`
pub(crate) fn read_describe(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.next();
    let named = |l: &Lexeme| matches!(l.class, Class::Word | Class::Quoted | Class::Text);
    if cursor.is_word("FUNCTION") && cursor.peek_at(1).is_some_and(named) {
        cursor.next();
        let extended = cursor.is_word("EXTENDED") && cursor.peek_at(1).is_some_and(named);
        if extended {
            cursor.next();
        }
        let name = cursor.table_name("a function's name")?;
        return Ok(StatementKind::DescribeFunction { name, extended });
    }
    if cursor.is_word("MODEL") && cursor.peek_at(1).is_some_and(named) {
        cursor.next();
        let extended = cursor.is_word("EXTENDED") && cursor.peek_at(1).is_some_and(named);
        if extended {
            cursor.next();
        }
        let name = super::function_ddl::model_name(cursor)?;
        return Ok(StatementKind::DescribeFunction { name, extended });
    }
    if cursor.is_word("CACHE") && cursor.peek_at(1).is_some_and(named) {
        cursor.next();
        let table = cursor.table_name("a table's name")?;
        return Ok(StatementKind::Cache(CacheStatement::Describe(table)));
    }
    for what in ["CATALOG", "DATABASE"] {
        if cursor.is_word(what) && cursor.peek_at(1).is_some_and(named) {
            cursor.next();
            let extended = cursor.is_word("EXTENDED") && cursor.peek_at(1).is_some_and(named);
            if extended {
                cursor.next();
            }
            return Ok(match what {
                "CATALOG" => {
                    StatementKind::DescribeCatalog { name: cursor.name("a catalog's name")?, extended }
                }
                _ => StatementKind::DescribeDatabase {
                    name: cursor.table_name("a database's name")?,
                    extended,
                },
            });
        }
    }
    if cursor.is_word("JOB") && cursor.peek_at(1).is_some_and(|l| l.class == Class::Text) {
        cursor.next();
        return cursor.string("the job's id").map(StatementKind::DescribeJob);
    }
    let extended = cursor.peek_at(1).is_some_and(named) && cursor.eat_word("EXTENDED");
    cursor.eat_word("TABLE");
    if extended {
        return cursor.table_name("a table's name").map(StatementKind::DescribeExtended);
    }
    if cursor.peek().is_some_and(|l| l.class == Class::Text) {
        return cursor.string("a file").map(StatementKind::DescribeFile);
    }
    cursor.table_name("a table's name").map(StatementKind::Describe)
}

/// `EXPLAIN [ANALYZE | details | PLAN FOR] query | INSERT | statement set`
pub(crate) fn read_explain(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("EXPLAIN")?;
    let mut details = Vec::new();
    let analyze = cursor.peek().filter(|l| l.is_word("ANALYZE")).map(|l| l.span);
    if analyze.is_some() {
        cursor.next();
    } else if !cursor.eat_words(&["PLAN", "FOR"]) {
        while let Some(detail) = detail(cursor)? {
            details.push(detail);
            if !cursor.eat(&Token::Comma) {
                break;
            }
        }
    }
    let query = ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|w| cursor.is_word(w))
        || cursor.peek().is_some_and(|l| l.is(&Token::LParen));
    let statement = if query {
        StatementKind::Query(read_query(cursor)?)
    } else if cursor.is_word("INSERT") {
        StatementKind::Insert(read_insert(cursor)?)
    } else if ["EXECUTE", "BEGIN", "STATEMENT"].iter().any(|w| cursor.is_word(w)) {
        read_execute(cursor)?
    } else {
        return Err(cursor.expected("a query, INSERT or STATEMENT SET"));
    };
    let statement = Box::new(statement);
    Ok(match analyze {
        Some(span) => StatementKind::ExplainAnalyze { span, statement },
        None => StatementKind::Explain { details, statement },
    })
}

fn detail(cursor: &mut Cursor<'_>) -> Result<Option<Name>> {
    const EXPLAINED: &[&str] =
        &["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "EXECUTE", "BEGIN", "STATEMENT"];
    let Some(lexeme) = cursor.peek() else { return Ok(None) };
    let Some(word) = lexeme.word() else { return Ok(None) };
    let upper = word.to_ascii_uppercase();
    if EXPLAINED.contains(&upper.as_str()) {
        return Ok(None);
    }
    if EXPLAIN_DETAILS.contains(&upper.as_str()) {
        cursor.next();
        return Ok(Some(Name { value: upper, span: lexeme.span }));
    }
    let error = cursor.expected("a detail, a query, INSERT or STATEMENT SET");
    let known = EXPLAIN_DETAILS.iter().chain(EXPLAINED).copied().chain(["ANALYZE"]);
    Err(match nearest(word, known) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error.with_hint(format!("the details are {}", EXPLAIN_DETAILS.join(", "))),
    })
}

/// `SUMMARIZE table | 'file' | query`
pub(crate) fn read_summarize(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("SUMMARIZE")?;
    let query = ["SELECT", "WITH", "VALUES"].iter().any(|w| cursor.is_word(w))
        || cursor.peek().is_some_and(|l| l.is(&Token::LParen));
    if query {
        return read_query(cursor).map(StatementKind::Summarize);
    }
    if cursor.peek().is_some_and(|l| l.class == Class::Text) {
        let file = cursor.string("a file")?;
        return all_rows(&[file], '\'').map(StatementKind::Summarize);
    }
    cursor.eat_word("TABLE");
    let table = cursor.table_name("a table, a file or a query")?;
    all_rows(&table.parts, '`').map(StatementKind::Summarize)
}

/// `COPY (query) TO 'file'`, `COPY table TO 'file'`
pub(crate) fn read_copy(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("COPY")?;
    let is_to = |l: &Lexeme| l.word().is_some_and(|w| w.eq_ignore_ascii_case("TO"));
    let Some(to) = cursor.rest().iter().rposition(is_to).filter(|to| *to > 0) else {
        return Err(cursor
            .expected("a query in parentheses or a table, and TO 'file'")
            .with_hint("COPY (SELECT * FROM t) TO 'rows.csv' (.csv, .json, .txt)"));
    };
    let what = match cursor.take(to) {
        [open, inner @ .., close] if open.is(&Token::LParen) && close.is(&Token::RParen) => inner,
        all => all,
    };
    let mut inner = Cursor::new(cursor.text(), what);
    let is_query = ["SELECT", "WITH", "VALUES"].iter().any(|w| inner.is_word(w))
        || inner.peek().is_some_and(|l| l.is(&Token::LParen));
    let query = if is_query {
        read_query(&mut inner)?
    } else if inner.peek().is_some_and(|l| l.class == Class::Text) {
        let file = inner.string("a file")?;
        all_rows(&[file], '\'')?
    } else {
        inner.eat_word("TABLE");
        let table = inner.table_name("a query in parentheses or a table")?;
        all_rows(&table.parts, '`')?
    };
    if !inner.rest().is_empty() {
        return Err(inner.expected("TO"));
    }
    cursor.expect_word("TO")?;
    let to = cursor.string("a file: TO 'rows.csv'")?;
    Ok(StatementKind::Copy { query, to })
}

/// `STOP JOB 'id' [WITH SAVEPOINT [WITH DRAIN]]`
pub(crate) fn read_stop(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_words(&["STOP", "JOB"])?;
    let id = cursor.string("the job's id")?;
    let savepoint = cursor.eat_words(&["WITH", "SAVEPOINT"]);
    let from = cursor.position();
    let drain = cursor.eat_words(&["WITH", "DRAIN"]);
    if drain && !savepoint {
        return Err(Error::syntax("WITH DRAIN goes with a savepoint")
            .with_hint("write STOP JOB '...' WITH SAVEPOINT WITH DRAIN")
            .at(cursor.span_since(from)));
    }
    Ok(StatementKind::StopJob { id, savepoint, drain })
}
