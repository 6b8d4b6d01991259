//! The statement parser: cuts a script at its semicolons and reads each statement by its first words.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::ddl::{create_table, create_view, table_name};
use super::lexer::{Lexeme, lex};
use super::query::{expression, query};
use super::source::SourceText;
use super::statement::{
    Drop, Insert, LikePattern, Name, Show, SqlExpression, Statement, StatementKind, TableName,
};
use crate::catalog::table::nearest;
use crate::error::{Error, Result, Span};

/// Cuts a script into statements. The first error ends it.
pub fn parse_script(source: &SourceText) -> Result<Vec<Statement>> {
    parse_script_lossy(source).into_iter().collect()
}

/// Cuts a script into statements; one that is wrong does not hide the others.
pub fn parse_script_lossy(source: &SourceText) -> Vec<Result<Statement>> {
    let lexemes = match lex(&source.text) {
        Ok(lexemes) => lexemes,
        Err(e) => return vec![Err(e)],
    };
    split(&lexemes).into_iter().map(|lexemes| statement(lexemes, &source.text)).collect()
}

/// Parses one scalar expression.
pub fn parse_expression(text: &str) -> Result<SqlExpression> {
    let lexemes = lex(text)?;
    let span = lexemes.iter().map(|l| l.span).reduce(Span::union).unwrap_or_default();
    Ok(SqlExpression { expr: expression(&lexemes, text)?, text: text.trim().to_string(), span })
}

/// The lexemes of each statement, without semicolons. Those inside of a statement set do not end it.
fn split(lexemes: &[Lexeme]) -> Vec<&[Lexeme]> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut in_set = false;
    for (at, lexeme) in lexemes.iter().enumerate() {
        if lexeme.is("SET") && at > start && lexemes[at - 1].is("STATEMENT") {
            in_set = true;
        }
        if lexeme.is("END") && in_set && lexemes.get(at + 1).is_none_or(|n| n.token == Token::SemiColon) {
            in_set = false;
        }
        if lexeme.token == Token::SemiColon && !in_set {
            if at > start {
                statements.push(&lexemes[start..at]);
            }
            start = at + 1;
        }
    }
    if start < lexemes.len() {
        statements.push(&lexemes[start..]);
    }
    statements
}

fn statement(lexemes: &[Lexeme], text: &str) -> Result<Statement> {
    let span = lexemes.iter().map(|l| l.span).reduce(Span::union).unwrap_or_default();
    let range = match (lexemes.first(), lexemes.last()) {
        (Some(first), Some(last)) => first.range.start..last.range.end,
        _ => 0..0,
    };
    let mut cursor = Cursor::new(lexemes, text);
    let kind = kind(&mut cursor, text)?;
    if !cursor.is_done() {
        return cursor.expected("the end of the statement");
    }
    Ok(Statement { span, range, kind })
}

const LEADING: [&str; 17] = [
    "CREATE", "DROP", "SET", "RESET", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "INSERT", "EXECUTE", "BEGIN",
    "SELECT", "WITH", "VALUES", "STOP", "QUIT", "HELP",
];

fn kind(cursor: &mut Cursor<'_>, text: &str) -> Result<StatementKind> {
    let first = cursor.peek();
    let is = |w: &str| first.is_some_and(|l| l.is(w));
    if is("SELECT") || is("WITH") || is("VALUES") || first.is_some_and(|l| l.token == Token::LParen) {
        return Ok(StatementKind::Query(query(cursor.rest(), text)?));
    }
    if is("CREATE") {
        return create(cursor, text);
    }
    if cursor.words("DROP") {
        return drop_statement(cursor);
    }
    if cursor.words("SET") {
        return set(cursor);
    }
    if cursor.words("RESET") {
        if cursor.is_done() {
            return Ok(StatementKind::Reset(None));
        }
        return Ok(StatementKind::Reset(Some(setting_key(cursor)?)));
    }
    if cursor.words("SHOW") {
        return Ok(StatementKind::Show(show(cursor)?));
    }
    if cursor.words("DESCRIBE") || cursor.words("DESC") {
        for what in ["CATALOG", "FUNCTION", "MODEL", "JOB", "EXTENDED"] {
            if cursor.peek_at(1).is_some() && cursor.peek().is_some_and(|l| l.is(what)) {
                return Err(
                    Error::unsupported(format!("DESCRIBE {what} is not supported")).at(cursor.place())
                );
            }
        }
        return Ok(StatementKind::Describe(table_name(cursor)?));
    }
    if cursor.words("EXPLAIN") {
        return explain(cursor, text);
    }
    if cursor.words("STOP JOB") {
        let id = cursor.string("the job's id in single quotes")?;
        if cursor.words("WITH") {
            return Err(
                Error::unsupported("STOP JOB WITH SAVEPOINT or DRAIN is not supported yet").at(id.span)
            );
        }
        return Ok(StatementKind::StopJob(id));
    }
    if cursor.words("EXECUTE STATEMENT SET") || cursor.words("BEGIN STATEMENT SET") {
        return statement_set(cursor, text);
    }
    if is("INSERT") || is("EXECUTE") {
        cursor.words("EXECUTE");
        return Ok(StatementKind::Insert(insert(cursor, text)?));
    }
    for (word, kind) in [
        ("QUIT", StatementKind::Quit),
        ("EXIT", StatementKind::Quit),
        ("CLEAR", StatementKind::Clear),
        ("HELP", StatementKind::Help),
    ] {
        if cursor.words(word) {
            return Ok(kind);
        }
    }
    unknown(cursor)
}

fn unknown<T>(cursor: &Cursor<'_>) -> Result<T> {
    const REFUSED: [&str; 17] = [
        "ALTER", "USE", "ADD", "REMOVE", "LOAD", "UNLOAD", "COMPILE", "UPDATE", "DELETE", "TRUNCATE",
        "ANALYZE", "CALL", "REPLACE", "MERGE", "GRANT", "COPY", "REFRESH",
    ];
    let Some(Lexeme { token: Token::Word(word), span, .. }) = cursor.peek() else {
        return cursor.expected("a statement");
    };
    let upper = word.value.to_ascii_uppercase();
    if REFUSED.contains(&upper.as_str()) {
        return Err(Error::unsupported(format!("{upper} is not supported")).at(*span));
    }
    let error = Error::syntax(format!("'{}' does not start a statement", word.value)).at(*span);
    Err(match nearest(&upper, LEADING.into_iter()) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error.with_hint("HELP lists the statements"),
    })
}

fn create(cursor: &mut Cursor<'_>, text: &str) -> Result<StatementKind> {
    cursor.expect_words("CREATE")?;
    let place = cursor.place();
    if cursor.words("OR") {
        return Err(Error::unsupported("CREATE OR REPLACE is not supported")
            .with_hint("DROP it first")
            .at(place));
    }
    let temporary = cursor.words("TEMPORARY");
    if cursor.words("TABLE") {
        return Ok(StatementKind::CreateTable(Box::new(create_table(cursor, temporary, text)?)));
    }
    if cursor.words("VIEW") {
        return Ok(StatementKind::CreateView(create_view(cursor, temporary, text)?));
    }
    for what in ["SYSTEM", "FUNCTION", "CATALOG", "DATABASE", "MODEL", "MATERIALIZED", "CONNECTION"] {
        if cursor.peek().is_some_and(|l| l.is(what)) {
            return Err(Error::unsupported(format!("CREATE {what} is not supported")).at(cursor.place()));
        }
    }
    cursor.expected("TABLE or VIEW")
}

fn drop_statement(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let temporary = cursor.words("TEMPORARY");
    let view = if cursor.words("TABLE") {
        false
    } else if cursor.words("VIEW") {
        true
    } else {
        return cursor.expected("TABLE or VIEW");
    };
    let if_exists = cursor.words("IF EXISTS");
    Ok(StatementKind::Drop(Drop { view, temporary, if_exists, name: table_name(cursor)? }))
}

/// A key in quotes, or bare words joined by dots and dashes.
fn setting_key(cursor: &mut Cursor<'_>) -> Result<Name> {
    if let Ok(key) = cursor.string("") {
        return Ok(key);
    }
    let mut key: Option<Name> = None;
    while let Some(l) = cursor.peek() {
        if matches!(l.token, Token::Eq) {
            break;
        }
        let part = cursor.text_of(std::slice::from_ref(l));
        match &mut key {
            None => key = Some(Name { value: part, span: l.span }),
            Some(key) => {
                key.value.push_str(&part);
                key.span = key.span.union(l.span);
            }
        }
        cursor.next();
    }
    match key {
        Some(key) => Ok(key),
        None => cursor.expected("the setting's name in single quotes"),
    }
}

fn set(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    if cursor.is_done() {
        return Ok(StatementKind::ShowSettings);
    }
    let key = setting_key(cursor)?;
    cursor.expect(&Token::Eq)?;
    let value = match cursor.string("") {
        Ok(value) => value.value,
        Err(_) => {
            let rest = cursor.rest();
            if rest.is_empty() {
                return cursor.expected("the setting's value in single quotes");
            }
            cursor.text_of(rest)
        }
    };
    Ok(StatementKind::Set { key, value })
}

fn like_pattern(cursor: &mut Cursor<'_>) -> Result<Option<LikePattern>> {
    let negated = cursor.words("NOT");
    let ignore_case = if cursor.words("LIKE") {
        false
    } else if cursor.words("ILIKE") {
        true
    } else if negated {
        return cursor.expected("LIKE or ILIKE");
    } else {
        return Ok(None);
    };
    let pattern = cursor.string("a pattern in single quotes")?.value;
    Ok(Some(LikePattern { pattern, ignore_case, negated }))
}

/// `[FROM | IN default_database]`.
fn in_database(cursor: &mut Cursor<'_>) -> Result<()> {
    if !(cursor.words("FROM") || cursor.words("IN")) {
        return Ok(());
    }
    let name: TableName = table_name(cursor)?;
    match name.parts.last() {
        Some(last) if last.value == "default_database" => Ok(()),
        _ => Err(Error::plan("this database does not exist")
            .with_detail("there is only default_database")
            .at(name.span())),
    }
}

fn show(cursor: &mut Cursor<'_>) -> Result<Show> {
    if cursor.words("CREATE TABLE") {
        return Ok(Show::CreateTable(table_name(cursor)?));
    }
    if cursor.words("CREATE VIEW") {
        return Ok(Show::CreateView(table_name(cursor)?));
    }
    if cursor.words("CURRENT CATALOG") {
        return Ok(Show::CurrentCatalog);
    }
    if cursor.words("CURRENT DATABASE") {
        return Ok(Show::CurrentDatabase);
    }
    if cursor.words("TABLES") {
        in_database(cursor)?;
        return Ok(Show::Tables(like_pattern(cursor)?));
    }
    if cursor.words("VIEWS") {
        in_database(cursor)?;
        return Ok(Show::Views(like_pattern(cursor)?));
    }
    if cursor.words("FUNCTIONS") {
        in_database(cursor)?;
        return Ok(Show::Functions(like_pattern(cursor)?));
    }
    if cursor.words("COLUMNS") {
        if !(cursor.words("FROM") || cursor.words("IN")) {
            return cursor.expected("FROM");
        }
        return Ok(Show::Columns(table_name(cursor)?, like_pattern(cursor)?));
    }
    if cursor.words("JOBS") {
        return Ok(Show::Jobs);
    }
    if cursor.words("CATALOGS") {
        return Ok(Show::Catalogs);
    }
    if cursor.words("DATABASES") {
        return Ok(Show::Databases);
    }
    for what in ["PARTITIONS", "USER", "PROCEDURES", "FULL", "MODULES", "JARS", "MODELS", "MATERIALIZED"] {
        if cursor.peek().is_some_and(|l| l.is(what)) {
            return Err(Error::unsupported(format!("SHOW {what} is not supported")).at(cursor.place()));
        }
    }
    cursor
        .expected("TABLES, VIEWS, COLUMNS, FUNCTIONS, JOBS, CREATE TABLE, CREATE VIEW, CATALOGS or DATABASES")
}

fn explain(cursor: &mut Cursor<'_>, text: &str) -> Result<StatementKind> {
    let mut details = Vec::new();
    if !cursor.words("PLAN FOR") {
        const DETAILS: [&str; 6] = [
            "ESTIMATED_COST",
            "CHANGELOG_MODE",
            "PLAN_ADVICE",
            "JSON_EXECUTION_PLAN",
            "ANALYZE",
            "WATERMARKS",
        ];
        while let Some(l) = cursor.peek() {
            let Some(detail) = DETAILS.iter().find(|d| l.is(d)) else { break };
            details.push(Name { value: detail.to_string(), span: l.span });
            cursor.next();
            if !cursor.takes(&Token::Comma) {
                break;
            }
        }
    }
    let statement = if cursor.words("STATEMENT SET") || cursor.words("EXECUTE STATEMENT SET") {
        statement_set(cursor, text)?
    } else {
        kind(cursor, text)?
    };
    Ok(StatementKind::Explain { details, statement: Box::new(statement) })
}

fn statement_set(cursor: &mut Cursor<'_>, text: &str) -> Result<StatementKind> {
    // `BEGIN STATEMENT SET;` has a semicolon, `EXECUTE STATEMENT SET BEGIN` a word.
    if !cursor.takes(&Token::SemiColon) && !cursor.words("BEGIN") {
        return cursor.expected("BEGIN");
    }
    let mut inserts = Vec::new();
    loop {
        if cursor.words("END") {
            break;
        }
        let lexemes = until_semicolon(cursor);
        let mut inner = Cursor::new(lexemes, text);
        inner.words("EXECUTE");
        inserts.push(insert(&mut inner, text)?);
        if !cursor.takes(&Token::SemiColon) {
            return cursor.expected("';' behind the INSERT and END behind the last");
        }
    }
    if inserts.is_empty() {
        cursor.expected("at least one INSERT")
    } else {
        Ok(StatementKind::StatementSet(inserts))
    }
}

fn until_semicolon<'a>(cursor: &mut Cursor<'a>) -> &'a [Lexeme] {
    let rest = cursor.clone().rest();
    let length = rest.iter().position(|l| l.token == Token::SemiColon).unwrap_or(rest.len());
    for _ in 0..length {
        cursor.next();
    }
    &rest[..length]
}

fn insert(cursor: &mut Cursor<'_>, text: &str) -> Result<Insert> {
    let start = cursor.place();
    if !cursor.words("INSERT") {
        return cursor.expected("INSERT");
    }
    let overwrite = cursor.words("OVERWRITE");
    if !overwrite && !cursor.words("INTO") {
        return cursor.expected("INTO");
    }
    let table = table_name(cursor)?;
    let mut options = Vec::new();
    if let Some(lexeme) = cursor.peek()
        && lexeme.hint().is_some()
    {
        for hint in super::hints::read(lexeme)? {
            if hint.name != "OPTIONS" {
                return Err(Error::syntax("only the OPTIONS hint stands behind a table's name").at(hint.span));
            }
            options.extend(hint.entries);
        }
        cursor.next();
    }
    if cursor.words("PARTITION") {
        return Err(Error::unsupported("INSERT INTO ... PARTITION is not supported").at(cursor.place()));
    }
    let mut ahead = cursor.clone();
    let columns = match ahead.names("a column's name") {
        // A parenthesis behind the table holds columns, unless it starts a query.
        Ok(names) => {
            *cursor = ahead;
            names
        }
        Err(_) => Vec::new(),
    };
    if cursor.is_done() {
        return cursor.expected("SELECT or VALUES");
    }
    let lexemes = cursor.rest();
    if lexemes.windows(2).any(|w| w[0].is("ON") && w[1].is("CONFLICT")) {
        return Err(Error::unsupported("ON CONFLICT is not supported yet").at(start));
    }
    let span = lexemes.iter().map(|l| l.span).fold(start, Span::union);
    Ok(Insert { table, options, overwrite, columns, query: query(lexemes, text)?, span })
}
