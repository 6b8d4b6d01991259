//! The statement parser: cuts a script, decides by the leading word who reads a statement.
//!
//! A script is cut at its semicolons before anything is parsed, so that one wrong statement hides no other. What begins
//! with SELECT, WITH or VALUES goes to `sqlparser` with our dialect; all else is read here and beside.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of, span_of};
use super::hints::parse_target_options;
use super::lexer::{Class, Lexeme, lex};
use super::query::{read_expression, read_query};
use super::{
    Insert, Name, OnConflict, SourceText, SqlExpression, Statement, StatementKind, alter, cache, catalog_ddl,
    ddl, function_ddl, utility,
};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Cuts a script into statements. The first error ends it.
pub fn parse_script(source: &SourceText) -> Result<Vec<Statement>> {
    parse_script_lossy(source).into_iter().collect()
}

/// Cuts a script into statements, each of them or its error.
pub fn parse_script_lossy(source: &SourceText) -> Vec<Result<Statement>> {
    let lexemes = significant(&source.text);
    cut(&lexemes)
        .into_iter()
        .filter(|piece| !piece.range.is_empty())
        .map(|piece| parse_statement(&source.text, &lexemes[piece.range]))
        .map(|parsed| parsed.map(|statement| with_written(statement, source)))
        .collect()
}

/// A statement or its error, with the names that its text holds: what depends on it can be told even when it is wrong.
#[derive(Debug)]
pub struct Reading {
    /// The statement, or its error.
    pub parsed: Result<Statement>,
    /// The table, view, function, database or catalog that it defines.
    pub defines: Option<String>,
    /// Names and keywords in it.
    pub words: Vec<String>,
    /// String literals in it.
    pub strings: Vec<String>,
    /// From its first character to its last.
    pub span: crate::error::Span,
}

/// As [`parse_script_lossy`], with the names in each statement.
pub fn read_script(source: &SourceText) -> Vec<Reading> {
    let lexemes = significant(&source.text);
    let pieces = cut(&lexemes).into_iter().filter(|piece| !piece.range.is_empty());
    let reading = |piece: Piece| {
        let part = &lexemes[piece.range];
        let parsed = parse_statement(&source.text, part).map(|statement| with_written(statement, source));
        let word = |l: &Lexeme| match (&l.class, &l.token) {
            (Class::Word | Class::Quoted, Token::Word(w)) => Some(w.value.clone()),
            _ => None,
        };
        let string = |l: &Lexeme| match &l.token {
            Token::SingleQuotedString(s) => Some(s.clone()),
            _ => None,
        };
        Reading {
            parsed,
            defines: defined(part),
            words: part.iter().filter_map(word).collect(),
            strings: part.iter().filter_map(string).collect(),
            span: span_of(part).unwrap_or_default(),
        }
    };
    pieces.map(reading).collect()
}

/// The last part of the name behind CREATE [OR REPLACE] [TEMPORARY] TABLE | VIEW | FUNCTION | ... [IF NOT EXISTS].
fn defined(lexemes: &[Lexeme]) -> Option<String> {
    let mut cursor = Cursor::new("", lexemes);
    if !cursor.eat_word("CREATE") {
        return None;
    }
    cursor.eat_words(&["OR", "REPLACE"]);
    cursor.eat_word("TEMPORARY");
    cursor.eat_word("SYSTEM");
    cursor.eat_word("MATERIALIZED");
    if !["TABLE", "VIEW", "FUNCTION", "DATABASE", "CATALOG", "MODEL"].iter().any(|kind| cursor.eat_word(kind))
    {
        return None;
    }
    cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    let mut name = None;
    while let Some(Lexeme { token: Token::Word(word), .. }) = cursor.next() {
        name = Some(word.value.clone());
        if !cursor.eat(&Token::Period) {
            break;
        }
    }
    name
}

/// Notes in the options of a table where variables were.
fn with_written(mut statement: Statement, source: &SourceText) -> Statement {
    let options = match &mut statement.kind {
        StatementKind::CreateTable(table) => &mut table.options,
        StatementKind::CreateFunction(function) => &mut function.options,
        _ => return statement,
    };
    for option in options.iter_mut().filter(|_| source.has_variables()) {
        let quoted = source.written(option.value.span);
        option.written =
            quoted.and_then(|q| Some(q.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'")));
    }
    statement
}

/// Parses one scalar expression.
pub fn parse_expression(text: &str) -> Result<SqlExpression> {
    let lexemes = significant(text);
    read_expression(text, &lexemes, crate::error::Span::new((1, 1), (1, 1)))
}

/// Lexemes without comments.
pub(crate) fn significant(text: &str) -> Vec<Lexeme> {
    lex(text).into_iter().filter(|l| l.class != Class::Comment).collect()
}

/// A statement's lexemes.
pub(crate) struct Piece {
    pub range: Range<usize>,
    /// Whether a semicolon ends it.
    pub closed: bool,
}

/// Cuts at semicolons; those inside of a statement set do not count.
pub(crate) fn cut(lexemes: &[Lexeme]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < lexemes.len() {
        let end = match statement_set_body(&lexemes[start..]) {
            Some(body) => end_of_set(lexemes, start + body),
            None => next_semicolon(lexemes, start),
        };
        let closed = end < lexemes.len();
        pieces.push(Piece { range: start..end, closed });
        start = end + 1;
    }
    pieces
}

fn next_semicolon(lexemes: &[Lexeme], from: usize) -> usize {
    lexemes[from..].iter().position(|l| l.is(&Token::SemiColon)).map_or(lexemes.len(), |n| from + n)
}

/// Where the INSERTs of a statement set begin, if one starts here.
fn statement_set_body(lexemes: &[Lexeme]) -> Option<usize> {
    let mut cursor = Cursor::new("", lexemes);
    if cursor.eat_word("EXPLAIN") {
        while utility::EXPLAIN_DETAILS.iter().any(|d| cursor.eat_word(d))
            || cursor.eat_word("ANALYZE")
            || cursor.eat_words(&["PLAN", "FOR"])
            || cursor.eat(&Token::Comma)
        {}
    }
    let _ = cursor.eat_word("EXECUTE") || cursor.eat_word("BEGIN");
    if !cursor.eat_words(&["STATEMENT", "SET"]) {
        return None;
    }
    cursor.eat_word("BEGIN");
    cursor.eat(&Token::SemiColon);
    Some(cursor.position())
}

/// The semicolon behind a set's END. An END that closes a CASE is not the set's.
fn end_of_set(lexemes: &[Lexeme], body: usize) -> usize {
    let mut cases = 0usize;
    for (i, lexeme) in lexemes.iter().enumerate().skip(body) {
        if lexeme.is(&Token::SemiColon) {
            cases = 0;
        } else if lexeme.is_word("CASE") {
            cases += 1;
        } else if lexeme.is_word("END") {
            match cases.checked_sub(1) {
                Some(outer) => cases = outer,
                None => return next_semicolon(lexemes, i),
            }
        }
    }
    lexemes.len()
}

/// The statement of these lexemes.
pub(crate) fn statement(text: &str, lexemes: &[Lexeme]) -> Result<Statement> {
    parse_statement(text, lexemes)
}

fn parse_statement(text: &str, lexemes: &[Lexeme]) -> Result<Statement> {
    let mut cursor = Cursor::new(text, lexemes);
    let kind = read_statement(&mut cursor).and_then(|kind| cursor.expect_end().map(|()| kind));
    let kind = kind.map_err(|e| prefer_ill_formed(e, lexemes))?;
    let span = span_of(lexemes).unwrap_or_default();
    Ok(Statement { span, range: range_of(lexemes), kind })
}

/// An ill-formed token in front of the error's place is its cause.
fn prefer_ill_formed(error: Error, lexemes: &[Lexeme]) -> Error {
    let first = lexemes.iter().find_map(|l| match &l.class {
        Class::Bad(cause, _) => Some((l.span.start, cause)),
        _ => None,
    });
    match (first, error.span()) {
        (Some((start, cause)), Some(span)) if start <= span.start => cause.clone(),
        _ => error,
    }
}

/// Leading words of statements that are read.
pub(crate) const LEADING: &[&str] = &[
    "ALTER",
    "BEGIN",
    "CLEAR",
    "COPY",
    "CREATE",
    "DESC",
    "DESCRIBE",
    "DROP",
    "EXECUTE",
    "EXIT",
    "EXPLAIN",
    "HELP",
    "INSERT",
    "QUIT",
    "RESET",
    "SELECT",
    "SET",
    "SHOW",
    "STATEMENT",
    "STOP",
    "SUMMARIZE",
    "TABLE",
    "USE",
    "VALUES",
    "WARM",
    "WITH",
];

/// Leading words of statements that Flink has besides.
const UNSUPPORTED: &[&str] = &[
    "ADD", "ANALYZE", "CALL", "COMPILE", "DELETE", "LOAD", "MERGE", "REMOVE", "REPLACE", "TRUNCATE",
    "UNLOAD", "UPDATE", "UPSERT",
];

fn read_statement(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let Some(first) = cursor.peek() else { return Err(cursor.expected("a statement")) };
    if first.is(&Token::LParen) {
        return read_query(cursor).map(StatementKind::Query);
    }
    let Some(word) = first.word() else { return Err(cursor.expected("a statement")) };
    let simple = |cursor: &mut Cursor<'_>, kind| {
        cursor.next();
        Ok(kind)
    };
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => read_query(cursor).map(StatementKind::Query),
        "CREATE" if function_ddl::is_function(cursor) => function_ddl::read_create(cursor),
        "DROP" if function_ddl::is_function(cursor) => function_ddl::read_drop(cursor),
        "ALTER" if function_ddl::is_function(cursor) => function_ddl::read_alter(cursor),
        "CREATE" if catalog_ddl::is_catalog(cursor) => catalog_ddl::read_create(cursor),
        "DROP" if catalog_ddl::is_catalog(cursor) => catalog_ddl::read_drop(cursor),
        "ALTER" if catalog_ddl::is_catalog(cursor) => catalog_ddl::read_alter(cursor),
        "CREATE" => ddl::read_create(cursor),
        "DROP" => ddl::read_drop(cursor),
        "ALTER" => alter::read_alter(cursor),
        "USE" => alter::read_use(cursor),
        "INSERT" => read_insert(cursor).map(StatementKind::Insert),
        "EXECUTE" | "BEGIN" | "STATEMENT" => read_execute(cursor),
        "SET" => utility::read_set(cursor),
        "RESET" => utility::read_reset(cursor),
        "SHOW" => utility::read_show(cursor),
        "DESC" | "DESCRIBE" => utility::read_describe(cursor),
        "EXPLAIN" if cursor.are_words(&["EXPLAIN", "LOOKUP"]) => cache::read_explain(cursor),
        "EXPLAIN" => utility::read_explain(cursor),
        "WARM" => cache::read_warm(cursor),
        "CLEAR" if cursor.are_words(&["CLEAR", "CACHE"]) => cache::read_clear(cursor),
        "STOP" => utility::read_stop(cursor),
        "SUMMARIZE" => utility::read_summarize(cursor),
        "COPY" => utility::read_copy(cursor),
        "QUIT" | "EXIT" => simple(cursor, StatementKind::Quit),
        "CLEAR" => simple(cursor, StatementKind::Clear),
        "HELP" => simple(cursor, StatementKind::Help),
        upper if UNSUPPORTED.contains(&upper) => Err(unsupported_statement(cursor)),
        _ => {
            let error = cursor.expected("a statement");
            let known = LEADING.iter().chain(UNSUPPORTED).copied();
            Err(match nearest(word, known) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("HELP lists the statements"),
            })
        }
    }
}

/// Names a statement by its keywords: up to two, and a third behind words that only qualify.
pub(crate) fn unsupported_statement(cursor: &Cursor<'_>) -> Error {
    const SECOND: &[&str] = &[
        "AND",
        "CATALOG",
        "CONNECTION",
        "CONNECTIONS",
        "DATABASE",
        "FROM",
        "FUNCTION",
        "FUNCTIONS",
        "INTO",
        "JAR",
        "JARS",
        "JOB",
        "MATERIALIZED",
        "MODEL",
        "MODELS",
        "MODULE",
        "MODULES",
        "OR",
        "PARTITIONS",
        "PLAN",
        "PROCEDURES",
        "REPLACE",
        "EXECUTE",
        "SYSTEM",
        "TABLE",
        "TABLES",
        "TEMPORARY",
        "USER",
        "FULL",
        "VIEW",
        "CREATE",
        "EXTENDED",
        "CURRENT",
        "ALTER",
    ];
    let mut words = Vec::new();
    let mut lexemes = Vec::new();
    for (i, lexeme) in cursor.rest().iter().enumerate() {
        match lexeme.word().map(str::to_ascii_uppercase) {
            Some(word) if i == 0 || (i < 5 && SECOND.contains(&word.as_str())) => {
                words.push(word);
                lexemes.push(lexeme.clone());
            }
            _ => break,
        }
    }
    let span = span_of(&lexemes).unwrap_or_else(|| cursor.here());
    let error = Error::unsupported(format!("{} is not supported", words.join(" "))).at(span);
    match way_out(&words) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// What to do in place of a statement that only Flink has.
fn way_out(words: &[String]) -> Option<&'static str> {
    let has = |word: &str| words.iter().any(|w| w == word);
    Some(match words.first().map(String::as_str)? {
        _ if has("MODULE") || has("MODULES") => "there is one set of functions; SHOW FUNCTIONS lists it",
        _ if has("MATERIALIZED") => {
            "CREATE TABLE ... AS SELECT, or INSERT INTO, fills a table as long as its job runs"
        }
        _ if has("JAR") || has("JARS") => "there is no JVM; leave it out",
        _ if has("PLAN") => "a plan is made from the statement: state is found by what an operator computes",
        _ if has("PARTITIONS") => "partitions are folders of the table's path: SELECT DISTINCT their columns",
        "ANALYZE" => "plans need no statistics; leave it out",
        "REPLACE" => "write CREATE OR REPLACE TABLE",
        "DELETE" | "UPDATE" | "MERGE" | "TRUNCATE" | "UPSERT" => {
            "rows are written by INSERT INTO; INSERT OVERWRITE replaces the files of a table"
        }
        "CALL" => "there are no procedures",
        _ if has("CONNECTION") || has("CONNECTIONS") => {
            "name the address and the login in the options of each table, secrets as ${NAME}"
        }
        _ => return None,
    })
}

/// `EXECUTE INSERT`, `EXECUTE STATEMENT SET BEGIN ... END`, `BEGIN STATEMENT SET; ... END`.
pub(crate) fn read_execute(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    if cursor.are_words(&["EXECUTE", "PLAN"]) {
        return Err(unsupported_statement(cursor));
    }
    let execute = cursor.eat_word("EXECUTE");
    let begin = !execute && cursor.eat_word("BEGIN");
    if cursor.eat_words(&["STATEMENT", "SET"]) {
        return read_statement_set(cursor);
    }
    if execute && cursor.is_word("INSERT") {
        return read_insert(cursor).map(StatementKind::Insert);
    }
    Err(match (execute, begin) {
        (true, _) => cursor.expected("INSERT or STATEMENT SET"),
        (_, true) => cursor.expected("STATEMENT SET"),
        _ => cursor
            .expect_word("STATEMENT")
            .and_then(|()| cursor.expect_word("SET"))
            .err()
            .unwrap_or_else(|| cursor.expected("a statement")),
    })
}

fn read_statement_set(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.eat_word("BEGIN");
    cursor.eat(&Token::SemiColon);
    let mut inserts = Vec::new();
    while !cursor.is_word("END") {
        if cursor.is_done() {
            return Err(cursor.expected("INSERT or END"));
        }
        let length = next_semicolon(cursor.rest(), 0);
        let rest = cursor.rest();
        // The last INSERT may lack its semicolon.
        let last = rest[..length].last().is_some_and(|l| l.is_word("END"));
        let length = match last && length > 1 && end_of_set(rest, 0) == length {
            true => length - 1,
            false => length,
        };
        let mut inner = Cursor::new(cursor.text(), cursor.take(length));
        inner.eat_word("EXECUTE");
        if !inner.is_word("INSERT") {
            return Err(inner.expected("INSERT or END"));
        }
        inserts.push(read_insert(&mut inner)?);
        inner.expect_end()?;
        cursor.eat(&Token::SemiColon);
    }
    let span = cursor.here();
    cursor.expect_word("END")?;
    if inserts.is_empty() {
        return Err(Error::syntax("the statement set is empty").at(span).with_hint("it needs an INSERT"));
    }
    Ok(StatementKind::StatementSet(inserts))
}

/// `INSERT INTO | OVERWRITE table [/*+ OPTIONS(...) */] [(columns)] query`
pub(crate) fn read_insert(cursor: &mut Cursor<'_>) -> Result<Insert> {
    let from = cursor.position();
    cursor.expect_word("INSERT")?;
    let overwrite = cursor.eat_word("OVERWRITE");
    if !overwrite && !cursor.eat_word("INTO") {
        return Err(cursor.expected("INTO or OVERWRITE"));
    }
    cursor.eat_word("TABLE");
    let table = cursor.table_name("the table to insert into")?;
    let mut options = Vec::new();
    if let Some(hint) = cursor.peek().filter(|l| l.class == Class::Hint) {
        options = parse_target_options(cursor.text(), hint)?;
        cursor.next();
    }
    let fixed = partition(cursor)?;
    let is_query = |n: usize| {
        cursor.peek_at(n).is_some_and(|l| {
            ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|w| l.is_word(w)) || l.is(&Token::LParen)
        })
    };
    let columns = match cursor.peek().is_some_and(|l| l.is(&Token::LParen)) && !is_query(1) {
        true => cursor.names("a column's name")?,
        false => Vec::new(),
    };
    let (conflict, mut query) = match on_conflict(cursor)? {
        None => (None, read_query(cursor)?),
        Some((conflict, length)) => {
            let text = cursor.text();
            let mut inner = Cursor::new(text, cursor.take(length));
            let query = read_query(&mut inner)?;
            cursor.take(cursor.rest().len());
            (Some(conflict), query)
        }
    };
    if !fixed.is_empty() {
        query = with_fixed(query, &fixed)?;
    }
    let partition = fixed.into_iter().map(|(name, _)| name).collect();
    Ok(Insert {
        table,
        options,
        overwrite,
        columns,
        partition,
        query,
        conflict,
        span: cursor.span_since(from),
    })
}

/// `PARTITION (column = literal, column, ...)`: those with a value. The others are columns of the query.
fn partition(cursor: &mut Cursor<'_>) -> Result<Vec<(Name, String)>> {
    let mut fixed = Vec::new();
    if !cursor.eat_word("PARTITION") {
        return Ok(fixed);
    }
    cursor.expect(&Token::LParen)?;
    loop {
        let name = cursor.name("a partition column's name")?;
        if cursor.eat(&Token::Eq) {
            let length = super::query::expression_length(cursor.rest());
            if length == 0 {
                return Err(cursor.expected("the partition's value"));
            }
            let value = cursor.take(length);
            let text = cursor.text().get(range_of(value)).unwrap_or_default().to_string();
            fixed.push((name, text));
        }
        if !cursor.eat(&Token::Comma) {
            cursor.close_list()?;
            return Ok(fixed);
        }
    }
}

/// The query with the values of PARTITION as its last columns.
fn with_fixed(
    query: Box<sqlparser::ast::Query>,
    fixed: &[(Name, String)],
) -> Result<Box<sqlparser::ast::Query>> {
    use sqlparser::ast::{SetExpr, TableFactor};
    let named =
        |(name, value): &(Name, String)| format!("{value} AS `$partition {}`", name.value.replace('`', "``"));
    let values: Vec<String> = fixed.iter().map(named).collect();
    let text = format!("SELECT *, {} FROM (SELECT 1) AS `inserted rows`", values.join(", "));
    let lexemes = significant(&text);
    // Its places are not those of the script.
    let at = fixed.first().map(|(name, _)| name.span).unwrap_or_default();
    let mut outer = read_query(&mut Cursor::new(&text, &lexemes))
        .map_err(|e| Error::syntax(format!("PARTITION takes literals: {}", e.message())).at(at))?;
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        *subquery = query;
    }
    Ok(outer)
}

/// `ON CONFLICT DO ERROR | NOTHING | DEDUPLICATE` at the end, and how many lexemes stand before it.
fn on_conflict(cursor: &Cursor<'_>) -> Result<Option<(OnConflict, usize)>> {
    let rest = cursor.rest();
    let found = rest.windows(2).rposition(|w| w[0].is_word("ON") && w[1].is_word("CONFLICT"));
    let Some(at) = found else { return Ok(None) };
    let actions = [
        ("ERROR", OnConflict::Error),
        ("NOTHING", OnConflict::Nothing),
        ("DEDUPLICATE", OnConflict::Deduplicate),
    ];
    let action = rest.get(at + 3).and_then(|l| actions.iter().find(|(word, _)| l.is_word(word)));
    match action {
        Some((_, action)) if rest[at + 2].is_word("DO") && rest.len() == at + 4 => Ok(Some((*action, at))),
        _ => Err(Error::syntax("expected ON CONFLICT DO ERROR, NOTHING or DEDUPLICATE at the end")
            .at(span_of(&rest[at..]).unwrap_or_default())),
    }
}
