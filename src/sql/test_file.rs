//! The statements of test files (`*.test.sql`): those of the language, and a few around them.
//!
//! ```text
//! file    = { statement ; } { test }             what stands before the first test holds for all of them
//! test    = TEST 'name' [WITH ('key' = 'value', ...)] ; { statement ; }
//!
//! INSERT INTO table [CHANGES] [(columns)] query            rows arrive; with CHANGES the first column is their kind
//! MOCK [OPTIONAL] table [WHEN condition] [TIMES n] [AFTER 'duration'] answer
//! MOCK [OPTIONAL] FUNCTION | MODEL name ... answer         the same of what is called
//! MOCK [OPTIONAL] HTTP GET 'url pattern' ... response      the same below the HTTP client
//!    answer   = RETURNS [(columns)] query | MISSES | HANGS
//!             | FAILS 'timeout' | 'connect' | 'decode' | 'limit' | 'other' | 429 ['message'] [RETRY AFTER 'duration']
//!    response = RESPONDS 200 ['body'] [WITH ('header' = 'value', ...)] | FAILS 'connect' | HANGS
//! ADVANCE 'duration' | ADVANCE TO 'time' | CHECKPOINT | KILL | END
//! EXPECT [CHANGES] table | RESULT [n] [(columns)] [ORDERED] query
//! EXPECT (query) [(columns)] [ORDERED] query               a query of its own, over what the pipeline defines
//! EXPECT NO ROWS IN table | RESULT [n]
//! EXPECT CALLS table | HTTP n                              so many calls so far
//! EXPECT CALLS table | HTTP [(columns)] [ORDERED] query    these calls so far
//! EXPECT ERROR 'text'                                      a job has failed, and its message contains the text
//! SET, CREATE ..., DROP ..., USE ...                       executed before the pipeline; what it defines as well is left out there
//! ```

use std::ops::Range;
use std::time::Duration;

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of, span_of};
use super::lexer::{Class, Lexeme};
use super::parse::{cut, read_insert, significant, statement};
use super::query::{read_expression, read_query};
use super::{Insert, Name, OptionEntry, SourceText, SqlExpression, Statement, StatementKind, TableName};
use crate::error::{Error, Result, Span};
use crate::quantity::parse_duration;

/// A test file.
#[derive(Debug)]
pub struct TestFile {
    /// What holds for all tests.
    pub common: Vec<TestStatement>,
    /// The tests in order.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// Its name.
    pub name: Name,
    /// WITH.
    pub options: Vec<OptionEntry>,
    /// What happens, in order.
    pub statements: Vec<TestStatement>,
}

/// A statement of a test.
#[derive(Debug, Clone)]
pub struct TestStatement {
    /// Where it stands.
    pub span: Span,
    /// What it says.
    pub kind: TestKind,
}

/// What a statement of a test says.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "made once a statement, never moved in bulk")]
pub enum TestKind {
    /// One of the language, executed before the pipeline.
    Plain(Statement),
    /// Rows arrive.
    Rows {
        /// Which.
        insert: Insert,
        /// The first column is the kind of change.
        changes: bool,
    },
    /// Answers in the place of what is outside.
    Mock(Mock),
    /// Time passes.
    Advance(Duration),
    /// Time passes up to a moment.
    AdvanceTo(Name),
    /// The jobs make a checkpoint.
    Checkpoint,
    /// The process is killed, and started again.
    Kill,
    /// The input ends.
    End,
    /// What must be.
    Expect(Expect),
}

/// What answers.
#[derive(Debug, Clone)]
pub struct Mock {
    /// Whom it stands for.
    pub target: MockTarget,
    /// It need not be called.
    pub optional: bool,
    /// For which keys, arguments or requests.
    pub when: Option<SqlExpression>,
    /// How many calls it answers, exactly.
    pub times: Option<u64>,
    /// How long an answer takes.
    pub after: Duration,
    /// The answer.
    pub answer: MockAnswer,
}

/// Whom a mock stands for.
#[derive(Debug, Clone)]
pub enum MockTarget {
    /// A lookup table.
    Table(TableName),
    /// A function that waits, or a model.
    Function {
        /// Its name.
        name: Name,
        /// It is a model.
        model: bool,
    },
    /// Requests by method and pattern of their URL.
    Http {
        /// Upper-case.
        method: String,
        /// With `{name}` and `*`.
        pattern: Name,
    },
}

/// What a mock does.
#[derive(Debug, Clone)]
pub enum MockAnswer {
    /// These rows, those of each key.
    Returns {
        /// Their columns.
        columns: Vec<Name>,
        /// The rows.
        query: Box<ast::Query>,
    },
    /// There is nothing under the key.
    Misses,
    /// Never.
    Hangs,
    /// An error.
    Fails {
        /// Its class, or a status.
        kind: Name,
        /// For people.
        message: Option<String>,
        /// How long to be left alone.
        retry_after: Option<Duration>,
    },
    /// A response of HTTP.
    Responds {
        /// Status.
        status: u16,
        /// Body, `{name}` as in the pattern.
        body: String,
        /// Headers.
        headers: Vec<(String, String)>,
    },
}

/// What rows are asked of.
#[derive(Debug, Clone)]
pub enum Place {
    /// A table that the pipeline writes.
    Table(TableName),
    /// The n-th query of the pipeline, from 1.
    Result(usize),
    /// A query of the test.
    Query(Box<ast::Query>),
}

/// The calls of whom.
#[derive(Debug, Clone)]
pub enum Called {
    /// A table, function or model.
    Table(TableName),
    /// HTTP.
    Http,
}

/// What must be.
#[derive(Debug, Clone)]
pub enum Expect {
    /// Rows.
    Rows {
        /// Of what.
        of: Place,
        /// The changes, with their kind in the first column.
        changes: bool,
        /// The rows.
        rows: ExpectedRows,
    },
    /// No row at all.
    NoRows(Place),
    /// A number of calls.
    Count {
        /// Of whom.
        of: Called,
        /// How many.
        calls: u64,
        /// Bytes of the number in the file.
        range: Range<usize>,
    },
    /// Calls.
    Calls {
        /// Of whom.
        of: Called,
        /// Keys, arguments or requests.
        rows: ExpectedRows,
    },
    /// A failure whose message contains this.
    Error(Name),
}

/// Rows that are expected.
#[derive(Debug, Clone)]
pub struct ExpectedRows {
    /// The columns that are compared; empty: all.
    pub columns: Vec<Name>,
    /// In this order.
    pub ordered: bool,
    /// The rows.
    pub query: Box<ast::Query>,
    /// Bytes of the query in the file.
    pub range: Range<usize>,
    /// Where it stands.
    pub span: Span,
}

/// Reads a test file.
pub fn read_test_file(source: &SourceText) -> Result<TestFile> {
    let text = &*source.text;
    let lexemes = significant(text);
    let mut file = TestFile { common: Vec::new(), tests: Vec::new() };
    for piece in cut(&lexemes).into_iter().filter(|piece| !piece.range.is_empty()) {
        let part = &lexemes[piece.range];
        let mut cursor = Cursor::new(text, part);
        if cursor.is_word("TEST") {
            let test = read_test(&mut cursor)?;
            if let Some(other) = file.tests.iter().find(|t| t.name.value == test.name.value) {
                return Err(Error::plan(format!("there are two tests '{}'", test.name.value))
                    .with_detail(format!("the first one is in line {}", other.name.span.start.line))
                    .at(test.name.span));
            }
            file.tests.push(test);
            continue;
        }
        let read = read_kind(text, part)?;
        let step = matches!(read.kind, TestKind::Advance(_) | TestKind::AdvanceTo(_) | TestKind::Checkpoint)
            || matches!(read.kind, TestKind::Kill | TestKind::End | TestKind::Expect(_));
        match file.tests.last_mut() {
            Some(test) => test.statements.push(read),
            None if step => {
                return Err(Error::syntax("nothing happens before the first test")
                    .at(read.span)
                    .with_hint("begin a test in front of it: TEST 'what it shows';"));
            }
            None => file.common.push(read),
        }
    }
    Ok(file)
}

fn read_test(cursor: &mut Cursor<'_>) -> Result<Test> {
    cursor.expect_word("TEST")?;
    let name = cursor.string("the test's name")?;
    let options = if cursor.eat_word("WITH") { cursor.options()? } else { Vec::new() };
    cursor.expect_end()?;
    Ok(Test { name, options, statements: Vec::new() })
}

fn read_kind(text: &str, lexemes: &[Lexeme]) -> Result<TestStatement> {
    let mut cursor = Cursor::new(text, lexemes);
    let span = span_of(lexemes).unwrap_or_default();
    let word = cursor.peek().and_then(|l| l.word()).unwrap_or_default().to_ascii_uppercase();
    let kind = match word.as_str() {
        "INSERT" => read_rows(&mut cursor)?,
        "MOCK" => TestKind::Mock(read_mock(&mut cursor)?),
        "EXPECT" => TestKind::Expect(read_expect(&mut cursor)?),
        "ADVANCE" => {
            cursor.next();
            match cursor.eat_word("TO") {
                true => TestKind::AdvanceTo(cursor.string("a time")?),
                false => TestKind::Advance(duration(&mut cursor, "how long")?),
            }
        }
        "CHECKPOINT" | "KILL" | "END" => {
            cursor.next();
            match word.as_str() {
                "CHECKPOINT" => TestKind::Checkpoint,
                "KILL" => TestKind::Kill,
                _ => TestKind::End,
            }
        }
        "SET" | "RESET" | "CREATE" | "DROP" | "USE" | "ALTER" => {
            return Ok(TestStatement { span, kind: TestKind::Plain(statement(text, lexemes)?) });
        }
        "SELECT" | "WITH" | "VALUES" | "TABLE" => {
            return Err(Error::syntax("a query says nothing about the pipeline")
                .at(span)
                .with_hint("EXPECT (query) VALUES (...); compares its rows"));
        }
        _ => {
            return Err(cursor.expected("a statement of a test").with_hint(
                "TEST, INSERT, MOCK, ADVANCE, CHECKPOINT, KILL, END, EXPECT, SET, CREATE, DROP, USE",
            ));
        }
    };
    cursor.expect_end()?;
    Ok(TestStatement { span, kind })
}

fn duration(cursor: &mut Cursor<'_>, what: &str) -> Result<Duration> {
    let text = cursor.string(what)?;
    parse_duration(&text.value).map_err(|e| e.at(text.span))
}

fn is_query(cursor: &Cursor<'_>, n: usize) -> bool {
    cursor.peek_at(n).is_some_and(|l| {
        ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|w| l.is_word(w)) || l.is(&Token::LParen)
    })
}

/// `(a, b)`, if that is what comes, and not a query in parentheses.
fn columns(cursor: &mut Cursor<'_>) -> Result<Vec<Name>> {
    match cursor.peek().is_some_and(|l| l.is(&Token::LParen)) && !is_query(cursor, 1) {
        true => cursor.names("a column's name"),
        false => Ok(Vec::new()),
    }
}

fn read_rows(cursor: &mut Cursor<'_>) -> Result<TestKind> {
    let (mut ahead, start) = (cursor.clone(), cursor.position());
    ahead.expect_words(&["INSERT", "INTO"])?;
    let table = ahead.table_name("the table that gets the rows")?;
    if !ahead.eat_word("CHANGES") {
        let insert = read_insert(cursor)?;
        if insert.overwrite || insert.conflict.is_some() {
            return Err(Error::syntax("rows of a test only arrive").at(insert.span));
        }
        return Ok(TestKind::Rows { insert, changes: false });
    }
    let columns = columns(&mut ahead)?;
    let query = read_query(&mut ahead)?;
    let span = ahead.span_since(start);
    *cursor = ahead;
    let insert = Insert {
        table,
        options: Vec::new(),
        overwrite: false,
        columns,
        partition: Vec::new(),
        query,
        conflict: None,
        span,
    };
    Ok(TestKind::Rows { insert, changes: true })
}

/// Words behind which an answer stands.
const ANSWERS: [&str; 5] = ["RETURNS", "MISSES", "HANGS", "FAILS", "RESPONDS"];

fn read_mock(cursor: &mut Cursor<'_>) -> Result<Mock> {
    cursor.expect_word("MOCK")?;
    let optional = cursor.eat_word("OPTIONAL");
    let followed_by_name = |cursor: &Cursor<'_>| {
        cursor.peek_at(1).is_some_and(|l| {
            l.word().is_some_and(|w| {
                !ANSWERS.iter().chain(&["WHEN", "TIMES", "AFTER"]).any(|a| w.eq_ignore_ascii_case(a))
            })
        })
    };
    let target = if cursor.is_word("FUNCTION") && followed_by_name(cursor) {
        cursor.next();
        MockTarget::Function { name: cursor.name("the function")?, model: false }
    } else if cursor.is_word("MODEL") && followed_by_name(cursor) {
        cursor.next();
        MockTarget::Function { name: cursor.name("the model")?, model: true }
    } else if cursor.is_word("HTTP") && followed_by_name(cursor) {
        cursor.next();
        let method = cursor.name("a method such as GET")?.value.to_ascii_uppercase();
        MockTarget::Http { method, pattern: cursor.string("the URL")? }
    } else {
        MockTarget::Table(cursor.table_name("the table to mock")?)
    };
    let (mut when, mut times, mut after) = (None, None, Duration::ZERO);
    loop {
        if when.is_none() && cursor.eat_word("WHEN") {
            when = Some(condition(cursor)?);
        } else if times.is_none() && cursor.eat_word("TIMES") {
            times = Some(number(cursor, "how many calls")?.0);
        } else if cursor.eat_word("AFTER") {
            after = duration(cursor, "how long the answer takes")?;
        } else {
            break;
        }
    }
    let http = matches!(target, MockTarget::Http { .. });
    let answer = if http && cursor.eat_word("RESPONDS") {
        read_response(cursor)?
    } else if !http && cursor.eat_word("RETURNS") {
        let columns = columns(cursor)?;
        MockAnswer::Returns { columns, query: read_query(cursor)? }
    } else if !http && cursor.eat_word("MISSES") {
        MockAnswer::Misses
    } else if cursor.eat_word("HANGS") {
        MockAnswer::Hangs
    } else if cursor.eat_word("FAILS") {
        read_failure(cursor, http)?
    } else {
        return Err(cursor.expected(match http {
            true => "WHEN, TIMES, AFTER, RESPONDS, FAILS or HANGS",
            false => "WHEN, TIMES, AFTER, RETURNS, MISSES, FAILS or HANGS",
        }));
    };
    Ok(Mock { target, optional, when, times, after, answer })
}

/// An expression up to a word of the statement that is not inside of parentheses.
fn condition(cursor: &mut Cursor<'_>) -> Result<SqlExpression> {
    let rest = cursor.rest();
    let (mut depth, mut cases) = (0usize, 0usize);
    let end = rest.iter().position(|l| {
        if l.is(&Token::LParen) {
            depth += 1;
        } else if l.is(&Token::RParen) {
            depth = depth.saturating_sub(1);
        } else if l.is_word("CASE") {
            cases += 1;
        } else if l.is_word("END") {
            cases = cases.saturating_sub(1);
        }
        depth == 0 && cases == 0 && ANSWERS.iter().chain(&["TIMES", "AFTER"]).any(|w| l.is_word(w))
    });
    let part = cursor.take(end.unwrap_or(rest.len()));
    let behind = cursor.here();
    read_expression(cursor.text(), part, behind)
}

fn number(cursor: &mut Cursor<'_>, what: &str) -> Result<(u64, Range<usize>)> {
    match cursor.peek() {
        Some(Lexeme { token: Token::Number(digits, _), range, .. }) => {
            let value = digits.parse().map_err(|_| cursor.expected(what))?;
            cursor.next();
            Ok((value, range.clone()))
        }
        _ => Err(cursor.expected(&format!("{what}, a number"))),
    }
}

fn read_response(cursor: &mut Cursor<'_>) -> Result<MockAnswer> {
    let at = cursor.here();
    let (status, _) = number(cursor, "a status")?;
    let status = u16::try_from(status).ok().filter(|s| (200..600).contains(s));
    let status = status.ok_or_else(|| Error::syntax("a status is a number from 200 to 599").at(at))?;
    let has_body = cursor.peek().is_some_and(|l| l.class == Class::Text);
    let body = if has_body { cursor.string("a body")?.value } else { String::new() };
    let headers = if cursor.eat_word("WITH") { cursor.options()? } else { Vec::new() };
    let headers = headers.into_iter().map(|o| (o.key.value, o.value.value)).collect();
    Ok(MockAnswer::Responds { status, body, headers })
}

/// Classes of failures, as `lookup.on-error.<class>` has them.
const CLASSES: [&str; 5] = ["timeout", "connect", "decode", "limit", "other"];

fn read_failure(cursor: &mut Cursor<'_>, http: bool) -> Result<MockAnswer> {
    let at = cursor.here();
    let is_number = matches!(cursor.peek(), Some(Lexeme { token: Token::Number(..), .. }));
    let kind = match is_number && !http {
        true => {
            let (status, _) = number(cursor, "a status")?;
            if !(300..600).contains(&status) {
                return Err(Error::syntax("the status of a failure is a number from 300 to 599").at(at));
            }
            Name { value: status.to_string(), span: at }
        }
        false => {
            let kind = cursor.string("a class of failures")?;
            let known: &[&str] = if http { &["connect"] } else { &CLASSES };
            if !known.contains(&kind.value.as_str()) {
                let classes = known.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ");
                let hint = match http {
                    true => {
                        "below HTTP a mock FAILS 'connect' or HANGS; a status is a response: RESPONDS 503"
                            .into()
                    }
                    false => format!("one of {classes}, or a status such as 429"),
                };
                return Err(Error::syntax(format!("'{}' is no class of failures here", kind.value))
                    .at(kind.span)
                    .with_hint(hint));
            }
            kind
        }
    };
    let has_message = cursor.peek().is_some_and(|l| l.class == Class::Text);
    let message = if has_message { Some(cursor.string("a message")?.value) } else { None };
    let retry_after = match cursor.eat_words(&["RETRY", "AFTER"]) {
        true => Some(duration(cursor, "how long to be left alone")?),
        false => None,
    };
    Ok(MockAnswer::Fails { kind, message, retry_after })
}

fn place(cursor: &mut Cursor<'_>) -> Result<Place> {
    if cursor.eat_word("RESULT") {
        let is_number = matches!(cursor.peek(), Some(Lexeme { token: Token::Number(..), .. }));
        let nth = if is_number { number(cursor, "which query")?.0 } else { 1 };
        return Ok(Place::Result(usize::try_from(nth).unwrap_or(usize::MAX)));
    }
    Ok(Place::Table(cursor.table_name("a table that the pipeline writes, or RESULT")?))
}

fn rows(cursor: &mut Cursor<'_>) -> Result<ExpectedRows> {
    let columns = columns(cursor)?;
    let ordered = cursor.eat_word("ORDERED");
    let rest = cursor.rest();
    let (range, span) = (range_of(rest), span_of(rest).unwrap_or_else(|| cursor.here()));
    Ok(ExpectedRows { columns, ordered, query: read_query(cursor)?, range, span })
}

/// How many lexemes stand between a parenthesis that comes now and the one that closes it.
fn inside(cursor: &Cursor<'_>) -> Option<usize> {
    let mut depth = 0usize;
    for (n, lexeme) in cursor.rest().iter().enumerate() {
        if lexeme.is(&Token::LParen) {
            depth += 1;
        } else if lexeme.is(&Token::RParen) {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return n.checked_sub(1);
            }
        }
    }
    None
}

fn read_expect(cursor: &mut Cursor<'_>) -> Result<Expect> {
    cursor.expect_word("EXPECT")?;
    if cursor.peek().is_some_and(|l| l.is(&Token::LParen)) {
        let length = inside(cursor).ok_or_else(|| cursor.expected("a query in parentheses"))?;
        cursor.next();
        let (text, part) = (cursor.text(), cursor.take(length));
        let mut inner = Cursor::new(text, part);
        let query = read_query(&mut inner)?;
        cursor.expect(&Token::RParen)?;
        return Ok(Expect::Rows { of: Place::Query(query), changes: false, rows: rows(cursor)? });
    }
    if cursor.eat_words(&["NO", "ROWS", "IN"]) {
        return place(cursor).map(Expect::NoRows);
    }
    let next_is_text = cursor.peek_at(1).is_some_and(|l| l.class == Class::Text);
    if cursor.is_word("ERROR") && next_is_text {
        cursor.next();
        return cursor.string("a part of the message").map(Expect::Error);
    }
    let names = |cursor: &Cursor<'_>| cursor.peek_at(1).is_some_and(|l| l.word().is_some());
    if cursor.is_word("CALLS") && names(cursor) {
        cursor.next();
        let of = match cursor.eat_word("HTTP") {
            true => Called::Http,
            false => Called::Table(cursor.table_name("a table, function or model, or HTTP")?),
        };
        if matches!(cursor.peek(), Some(Lexeme { token: Token::Number(..), .. })) {
            let (calls, range) = number(cursor, "how many calls")?;
            return Ok(Expect::Count { of, calls, range });
        }
        return Ok(Expect::Calls { of, rows: rows(cursor)? });
    }
    let changes = cursor.is_word("CHANGES") && names(cursor);
    if changes {
        cursor.next();
    }
    let of = place(cursor)?;
    Ok(Expect::Rows { of, changes, rows: rows(cursor)? })
}

/// Whether a statement of a pipeline defines something of this kind and name; the kind is one of table and function.
pub fn defines(kind: &StatementKind) -> Option<(&'static str, &TableName)> {
    match kind {
        StatementKind::CreateTable(table) if table.query.is_none() => Some(("table", &table.name)),
        StatementKind::CreateView(view) => Some(("table", &view.name)),
        StatementKind::CreateFunction(function) => Some(("function", &function.name)),
        _ => None,
    }
}
