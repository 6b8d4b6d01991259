//! Queries and expressions: lexemes are made ready for `sqlparser`, parsed, and the hints put in place.
//!
//! What is rewritten on the way, every lexeme keeping its place:
//!
//! | written | handed over |
//! |---|---|
//! | `CAST(x AS ROW<a INT>)`, `RETURNING MAP<..>` | a custom type name, see [`super::type_parser`] |
//! | `LATERAL TABLE(f(x))` | `LATERAL f(x)` |
//! | `TUMBLE(TABLE t, ...)` | `TUMBLE((SELECT * FROM t), ...)` |
//! | `f(TABLE t PARTITION BY k ORDER BY o)` | `f((SELECT * FROM t DISTRIBUTE BY k SORT BY o))` |
//! | `f((SELECT ...) PARTITION BY k)` | `f((SELECT * FROM (SELECT ...) DISTRIBUTE BY k))` |
//! | `TABLE t` as a query | `SELECT * FROM t` |
//! | `VALUES 1, 2` | `VALUES (1), (2)` |
//! | `PATTERN (A B+?) WITHIN i DEFINE` | ``PATTERN (`$pattern:..`) DEFINE `$within` AS i,``, see [`super::match_pattern`] |
//! | `(SELECT ...) MATCH_RECOGNIZE` | `` `$rows`((SELECT ...)) MATCH_RECOGNIZE `` |
//! | `t /*+ OPTIONS(..) */` | `` t.`$hint:..` ``, see [`super::hints`] |

mod rewrite;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Select, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use self::rewrite::Rewrite;
use super::cursor::{Cursor, range_of, shown, span_of, with_likely_cause};
use super::dialect::AffluentDialect;
use super::hints::{
    HINT_PREFIX, Hint, LookupHint, STATE_TTL_CALL, TableHints, misplaced_batch_join, misplaced_lookup,
    misplaced_state_ttl, parse_hints, put_hints, span_from, take_hints,
};
use super::lexer::{Class, Lexeme, token_span};
use super::match_pattern::{self, read_pattern};
use super::type_parser::{TYPE_PREFIX, read_type};
use super::visit::{visit_relations_mut, walk_mut};
use super::{OptionEntry, SqlExpression};
use crate::error::{Error, Result, Span};

/// Operators that may follow each other without a comma, keyword or parenthesis between them. A longer
/// chain becomes a tree so deep that walking or dropping it could overflow the stack.
const MAX_CHAIN: u32 = 1_000;

/// Parentheses in parentheses.
const MAX_NESTING: usize = 128;

/// Open parentheses of FROM that stand right behind another: `sqlparser` tries each as a query and as a join.
const MAX_DOUBLED: usize = 8;

/// CASE in CASE.
const MAX_CASES: usize = 120;

/// Expressions in expressions.
const MAX_DEPTH: usize = 150;

/// Parses a query from all that is left.
pub(crate) fn read_query(cursor: &mut Cursor<'_>) -> Result<Box<Query>> {
    let starts = ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|w| cursor.is_word(w))
        || cursor.peek().is_some_and(|l| l.is(&Token::LParen));
    if !starts {
        return Err(cursor.expected("SELECT, WITH, VALUES or '('"));
    }
    let lexemes = cursor.take(cursor.rest().len());
    let prepared = Prepared::new(cursor.text(), lexemes)?;
    let mut query = parse(cursor.text(), &prepared, lexemes, |parser| parser.parse_query())?;
    prepared.place_hints(&mut *query)?;
    Ok(query)
}

/// `SELECT * FROM name`, its parts quoted like this.
pub(crate) fn all_rows(parts: &[super::Name], quote: char) -> Result<Box<Query>> {
    let text = "SELECT * FROM t";
    let lexemes = super::parse::significant(text);
    let mut query = read_query(&mut Cursor::new(text, &lexemes))?;
    let place = |at: crate::error::Position| Location::new(at.line.into(), at.column.into());
    let ident = |part: &super::Name| {
        let span = sqlparser::tokenizer::Span::new(place(part.span.start), place(part.span.end));
        ObjectNamePart::Identifier(Ident { value: part.value.clone(), quote_style: Some(quote), span })
    };
    let _ = visit_relations_mut(&mut *query, |name: &mut ObjectName| {
        name.0 = parts.iter().map(ident).collect();
        ControlFlow::<()>::Continue(())
    });
    Ok(query)
}

/// Parses an expression from the lexemes given.
pub(crate) fn read_expression(text: &str, lexemes: &[Lexeme], behind: Span) -> Result<SqlExpression> {
    let Some(span) = span_of(lexemes) else {
        return Err(Error::syntax("expected an expression").at(behind));
    };
    let prepared = Prepared::new(text, lexemes)?;
    let mut expr = parse(text, &prepared, lexemes, |parser| parser.parse_expr())?;
    prepared.place_hints(&mut expr)?;
    let written = text.get(range_of(lexemes)).unwrap_or_default();
    Ok(SqlExpression { expr, text: written.to_string(), span })
}

/// How many lexemes an expression takes: up to a comma, a closing parenthesis or a COMMENT that is not inside.
pub(crate) fn expression_length(lexemes: &[Lexeme]) -> usize {
    let mut depth = 0usize;
    for (i, lexeme) in lexemes.iter().enumerate() {
        let comment = lexeme.is_word("COMMENT") && lexemes.get(i + 1).is_some_and(|l| l.class == Class::Text);
        match &lexeme.token {
            _ if depth == 0 && comment => return i,
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return i,
            },
            Token::Comma if depth == 0 => return i,
            _ => {}
        }
    }
    lexemes.len()
}

fn parse<T>(
    text: &str,
    prepared: &Prepared,
    lexemes: &[Lexeme],
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T> {
    let dialect = AffluentDialect::new(prepared.tokens.len());
    // Between two guarded functions of the parser lie more than the 128 KiB its guard leaves by default.
    recursive::set_minimum_stack_size(512 * 1024);
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(prepared.tokens.clone());
    let parsed =
        read(&mut parser).map_err(|e| with_doubled_equals(from_parser(e, text, lexemes), lexemes))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(parsed);
    }
    let span = span_from(next.span);
    let at = lexemes.iter().position(|l| l.span.start == span.start);
    let found = match at.and_then(|at| lexemes.get(at)) {
        Some(lexeme) => shown(text, lexeme),
        None => next.token.to_string(),
    };
    let error = Error::syntax(format!("expected the end of the statement, found {found}")).at(span);
    Err(with_likely_cause(error, lexemes, at.unwrap_or(lexemes.len())))
}

/// `a == b` is what many languages write.
fn with_doubled_equals(error: Error, lexemes: &[Lexeme]) -> Error {
    let is_doubled = |pair: &[Lexeme]| {
        let [one, two] = pair else { return false };
        let at_two = error.span().is_some_and(|span| span.start == two.span.start);
        one.token == Token::Eq && two.token == Token::Eq && one.range.end == two.range.start && at_two
    };
    match lexemes.windows(2).any(is_doubled) {
        true => error.with_hint("write a single = to compare"),
        false => error,
    }
}

/// `sqlparser` writes the place into its message: ` at Line: 3, Column: 5`.
fn from_parser(error: ParserError, source: &str, lexemes: &[Lexeme]) -> Error {
    let end = lexemes.last().map(|l| l.span.end).unwrap_or_default();
    let all = span_of(lexemes).unwrap_or_default();
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => return too_deep(all),
    };
    let (text, place) = match message.rfind(" at Line: ") {
        Some(at) => {
            let place = message[at..].trim_start_matches(" at Line: ");
            let numbers = place.split_once(", Column: ");
            let place =
                numbers.and_then(|(l, c)| Some((l.parse::<u32>().ok()?, c.trim().parse::<u32>().ok()?)));
            (&message[..at], place)
        }
        None => (message.as_str(), None),
    };
    let text = text.trim_start_matches("sql parser error: ");
    let (what, found) = text.split_once(", found: ").unwrap_or((text, ""));
    let what = what.strip_prefix("Expected: ").unwrap_or(what);
    let what = what.strip_prefix("Expected ").unwrap_or(what);
    if found == "SYSTEM_TIME" {
        let place = lexemes.windows(2).find(|pair| {
            pair[0].word().is_some_and(|w| w.eq_ignore_ascii_case("FOR"))
                && pair[1].word().is_some_and(|w| w.eq_ignore_ascii_case("SYSTEM_TIME"))
                && place.is_none_or(|(line, column)| {
                    (pair[1].span.start.line, pair[1].span.start.column) == (line, column)
                })
        });
        return Error::syntax("FOR SYSTEM_TIME AS OF must come before the alias of a table")
            .with_hint("write JOIN d FOR SYSTEM_TIME AS OF t.proc_time AS x ON ...")
            .at(place.map_or(all, |pair| pair[1].span));
    }
    let what = if what == "identifier" { "a name" } else { what };
    let what = match what.chars().any(char::is_alphanumeric) {
        true => what.to_string(),
        false => format!("'{what}'"),
    };
    if let Some((line, column)) = place {
        let lexeme = lexemes.iter().find(|l| (l.span.start.line, l.span.start.column) == (line, column));
        let span = lexeme.map_or(Span::new((line, column), (line, column + 1)), |l| l.span);
        return match (found, lexeme) {
            ("", _) => Error::syntax(lower_first(text)).at(span),
            (_, Some(lexeme)) => {
                Error::syntax(format!("expected {what}, found {}", shown(source, lexeme))).at(span)
            }
            (found, None) => Error::syntax(format!("expected {what}, found {found}")).at(span),
        };
    }
    match found {
        "EOF" => Error::syntax(format!("expected {what}, found the end of the statement"))
            .at(Span { start: end, end }),
        "" => Error::syntax(lower_first(text)).at(all),
        found => {
            let same =
                |l: &&Lexeme| source.get(l.range.clone()).is_some_and(|t| t.eq_ignore_ascii_case(found));
            let span = lexemes.iter().find(same).map_or(all, |l| l.span);
            Error::syntax(format!("expected {what}, found {found}")).at(span)
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Tokens for `sqlparser` and the hints that were lifted.
struct Prepared {
    tokens: Vec<TokenWithSpan>,
    /// OPTIONS behind a table, with the place of the hint; the token carries the index.
    options: Vec<(TableHints, Span)>,
    /// LOOKUP hints by the place of their SELECT.
    lookups: HashMap<Location, Vec<LookupHint>>,
    /// Entries of STATE_TTL hints by the place of their SELECT.
    state_ttls: HashMap<Location, Vec<OptionEntry>>,
}

impl Prepared {
    fn new(text: &str, lexemes: &[Lexeme]) -> Result<Self> {
        let close = check_nesting(lexemes)?;
        let mut prepared = Self {
            tokens: Vec::with_capacity(lexemes.len()),
            options: Vec::new(),
            lookups: HashMap::new(),
            state_ttls: HashMap::new(),
        };
        let mut rewrite = Rewrite {
            text,
            lexemes,
            close,
            skipped: HashSet::new(),
            replaced: HashMap::new(),
            table_arguments: HashSet::new(),
            query_arguments: HashSet::new(),
            table_queries: HashSet::new(),
            opening: HashSet::new(),
            closing: HashSet::new(),
            inserted: HashMap::new(),
        };
        let mut open: Vec<usize> = Vec::new();
        for (i, lexeme) in lexemes.iter().enumerate() {
            match &lexeme.token {
                Token::LParen | Token::LBracket => {
                    rewrite.query_argument(i)?;
                    if rewrite.matched_query(i) {
                        let name = Token::make_word(match_pattern::ROWS, Some('`'));
                        for token in [name, Token::LParen] {
                            prepared.tokens.push(TokenWithSpan::new(token, token_span(lexeme.span)));
                        }
                    }
                    open.push(i);
                }
                Token::RParen | Token::RBracket => drop(open.pop()),
                _ => {}
            }
            if lexeme.class == Class::Hint {
                prepared.lift(text, lexemes, i)?;
            } else if lexeme.class == Class::Word {
                rewrite.word(i, open.last().copied())?;
            }
            if rewrite.opening.contains(&i) {
                prepared.tokens.push(TokenWithSpan::new(Token::LParen, token_span(lexeme.span)));
            }
            let query = rewrite.table_queries.contains(&i);
            if query {
                for token in [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")] {
                    prepared.tokens.push(TokenWithSpan::new(token, token_span(lexeme.span)));
                }
            }
            let table = rewrite.table_arguments.contains(&i);
            if table || rewrite.query_arguments.contains(&i) {
                for token in
                    [Token::LParen, Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")]
                {
                    prepared.tokens.push(TokenWithSpan::new(token, token_span(lexeme.span)));
                }
            }
            if !table && !query && lexeme.class != Class::Hint && !rewrite.skipped.contains(&i) {
                prepared.tokens.push(match rewrite.replaced.remove(&i) {
                    Some((token, span)) => TokenWithSpan::new(token, token_span(span)),
                    None => lexeme.with_span(),
                });
            }
            prepared.tokens.extend(rewrite.inserted.remove(&i).into_iter().flatten());
            if rewrite.closing.contains(&i) {
                prepared.tokens.push(TokenWithSpan::new(Token::RParen, token_span(lexeme.span)));
            }
        }
        Ok(prepared)
    }

    fn lift(&mut self, text: &str, lexemes: &[Lexeme], at: usize) -> Result<()> {
        let hint = &lexemes[at];
        let hints = parse_hints(text, hint)?;
        let before = at.checked_sub(1).map(|b| &lexemes[b]);
        if before.is_some_and(|l| l.is_word("SELECT")) {
            let place = before.map(|l| token_span(l.span).start).unwrap_or(Location::empty());
            for hint_read in hints {
                match hint_read {
                    Hint::Lookup(lookup) => self.lookups.entry(place).or_default().push(lookup),
                    Hint::StateTtl(entries) => self.state_ttls.entry(place).or_default().extend(entries),
                    Hint::Options(_) => return Err(misplaced_options(hint.span)),
                    Hint::Tunes => {}
                }
            }
            return Ok(());
        }
        let mut entries = Vec::new();
        for hint_read in hints {
            match hint_read {
                Hint::Options(options) => entries.extend(options),
                Hint::Lookup(_) => return Err(misplaced_lookup(hint.span)),
                Hint::StateTtl(_) => return Err(misplaced_state_ttl(hint.span)),
                Hint::Tunes => return Err(misplaced_batch_join(hint.span)),
            }
        }
        let in_from = |l: &Lexeme| l.is_word("FROM") || l.is_word("JOIN") || l.token == Token::Comma;
        let is_table = before.is_some_and(|l| match l.class {
            Class::Word | Class::Quoted => true,
            // FROM 'file.csv'
            Class::Text => at.checked_sub(2).is_some_and(|b| in_from(&lexemes[b])),
            _ => false,
        });
        if !is_table {
            return Err(misplaced_options(hint.span));
        }
        let number = self.options.len();
        let hints = TableHints { options: entries, span: hint.span, ..TableHints::default() };
        self.options.push((hints, hint.span));
        let span = token_span(hint.span);
        self.tokens.push(TokenWithSpan::new(Token::Period, span));
        let carrier = Token::make_word(&format!("{HINT_PREFIX}{number}"), Some('`'));
        self.tokens.push(TokenWithSpan::new(carrier, span));
        Ok(())
    }

    /// Puts the hints on the names of the tables they hold for; each must find one.
    fn place_hints(&self, tree: &mut impl VisitMut) -> Result<()> {
        let mut placed = HashSet::new();
        let outcome = visit_relations_mut(tree, |name| {
            let carrier = name.0.last().and_then(ObjectNamePart::as_ident);
            let number = carrier.and_then(|i| i.value.strip_prefix(HINT_PREFIX)?.parse::<usize>().ok());
            if let Some(number) = number
                && name.0.len() > 1
                && let Some((hints, _)) = self.options.get(number)
            {
                name.0.pop();
                placed.insert(number);
                if let Err(e) = put_hints(name, hints) {
                    return ControlFlow::Break(e);
                }
            }
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(error) = outcome {
            return Err(error);
        }
        if let Some((_, (_, span))) = self.options.iter().enumerate().find(|(n, _)| !placed.contains(n)) {
            return Err(misplaced_options(*span));
        }
        let mut blocks = Blocks { lookups: &self.lookups, state_ttls: &self.state_ttls };
        match walk_mut(tree, &mut blocks) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

fn misplaced_options(span: Span) -> Error {
    Error::syntax("hint OPTIONS must follow a table name")
        .at(span)
        .with_hint("write it directly after the table's name: FROM t /*+ OPTIONS('k'='v') */ AS a")
}

/// Visits query blocks and gives each hint behind their SELECT to its table.
struct Blocks<'a> {
    lookups: &'a HashMap<Location, Vec<LookupHint>>,
    state_ttls: &'a HashMap<Location, Vec<OptionEntry>>,
}

impl VisitorMut for Blocks<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match unnest(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let place = select.select_token.0.span.start;
        let lookups = self.lookups.get(&place).into_iter().flatten();
        let state_ttls = self.state_ttls.get(&place).into_iter().flatten();
        let given = lookups
            .map(Given::Lookup)
            .chain(state_ttls.map(Given::StateTtl))
            .try_for_each(|hint| give_to_one(&mut select.from, hint));
        match given {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

/// A hint that names its table.
#[derive(Clone, Copy)]
enum Given<'a> {
    Lookup(&'a LookupHint),
    StateTtl(&'a OptionEntry),
}

impl Given<'_> {
    fn table(&self) -> &super::Name {
        match self {
            Given::Lookup(hint) => &hint.table,
            Given::StateTtl(entry) => &entry.key,
        }
    }
}

fn give_to_one(from: &mut [TableWithJoins], hint: Given<'_>) -> Result<()> {
    let mut names = Vec::new();
    for part in from {
        if give(part, hint, &mut names)? {
            return Ok(());
        }
    }
    let (what, table) = match hint {
        Given::Lookup(hint) => ("LOOKUP", &hint.table),
        Given::StateTtl(entry) => ("STATE_TTL", &entry.key),
    };
    let error =
        Error::plan(format!("hint {what} names '{}', which is no table of its query block", table.value))
            .at(table.span);
    Err(match names.is_empty() {
        true => error,
        false => error.with_hint(format!("the tables here are: {}", names.join(", "))),
    })
}

/// `UNNEST(...)` is read as a table function by `sqlparser` unless the dialect is one of a few.
fn unnest(factor: &mut TableFactor) -> Result<()> {
    let TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } = factor else {
        return Ok(());
    };
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    if let Some(ident) = last.filter(|i| i.value.starts_with(HINT_PREFIX)) {
        return Err(misplaced_options(span_from(ident.span)));
    }
    let Some(ident) = last.filter(|i| i.quote_style.is_none() && i.value.eq_ignore_ascii_case("UNNEST"))
    else {
        return Ok(());
    };
    let arguments = args.args.drain(..).map(|a| match a {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
        _ => None,
    });
    match arguments.collect::<Option<Vec<Expr>>>() {
        Some(array_exprs) if !array_exprs.is_empty() && name.0.len() == 1 => {
            *factor = TableFactor::UNNEST {
                alias: alias.take(),
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: *with_ordinality,
            };
            Ok(())
        }
        _ => Err(Error::syntax("UNNEST takes an array, a map or a multiset").at(span_from(ident.span))),
    }
}

/// Gives a hint to the first table of its name; collects the names that were passed.
fn give(from: &mut TableWithJoins, hint: Given<'_>, names: &mut Vec<String>) -> Result<bool> {
    let factors = std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|j| &mut j.relation));
    for factor in factors {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let known = match alias {
                    Some(alias) => alias.name.value.clone(),
                    None => table_of(name),
                };
                if known == hint.table().value {
                    let mut hints = take_hints(name)?;
                    match hint {
                        // The first hint that names a table holds.
                        Given::Lookup(hint) if hints.lookup.is_empty() => {
                            hints.lookup = hint.entries.clone();
                        }
                        Given::Lookup(_) => {}
                        Given::StateTtl(entry) => hints.state_ttl = Some(entry.clone()),
                    }
                    put_hints(name, &hints)?;
                    return Ok(true);
                }
                names.push(known);
            }
            TableFactor::Derived { lateral: false, alias: Some(alias), .. } => {
                let Given::StateTtl(entry) = hint else { continue };
                let known = alias.name.value.clone();
                if known == entry.key.value {
                    carry_state_ttl(factor, entry);
                    return Ok(true);
                }
                names.push(known);
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let given = give(table_with_joins, hint, names)?;
                if given {
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
    Ok(false)
}

/// `(query) AS a` becomes the call `$state_ttl('1d', (query)) AS a`: a subquery has no name to carry hints.
fn carry_state_ttl(factor: &mut TableFactor, entry: &OptionEntry) {
    let TableFactor::Derived { subquery, alias, .. } = factor else { return };
    let (alias, span) = (alias.take(), token_span(entry.value.span));
    let mut ident = Ident::with_quote('`', STATE_TTL_CALL);
    ident.span = span;
    let empty = Query {
        with: None,
        body: Box::new(sqlparser::ast::SetExpr::Values(sqlparser::ast::Values {
            explicit_row: false,
            value_keyword: false,
            rows: Vec::new(),
        })),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
    let query = std::mem::replace(subquery, Box::new(empty));
    let ttl = sqlparser::ast::Value::SingleQuotedString(entry.value.value.clone());
    let args = [Expr::value(ttl), Expr::Subquery(query)];
    let args = args.map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).into();
    *factor = TableFactor::Table {
        name: ObjectName::from(vec![ident]),
        alias,
        args: Some(sqlparser::ast::TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
}

/// The last part of a name that is the user's.
fn table_of(name: &ObjectName) -> String {
    let part = |p: &ObjectNamePart| p.as_ident().map(|i: &Ident| i.value.clone());
    name.0.iter().rev().filter_map(part).find(|v| !v.starts_with(HINT_PREFIX)).unwrap_or_default()
}

/// Matches parentheses and brackets, and refuses what would nest or chain without bound.
fn check_nesting(lexemes: &[Lexeme]) -> Result<HashMap<usize, usize>> {
    const CLAUSES: &[&str] = &[
        "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "ON", "WHEN", "THEN", "ELSE", "QUALIFY",
        "WINDOW",
    ];
    const CHAINED: &[&str] = &["AND", "OR", "NOT", "IS", "LIKE", "IN", "BETWEEN", "SIMILAR", "AT", "COLLATE"];
    let mut close = HashMap::new();
    let mut open: Vec<usize> = Vec::new();
    // Per depth: operators since the last boundary, set operations, joins.
    let mut chains: Vec<[u32; 2]> = vec![[0; 2]];
    let mut cases = 0usize;
    for (i, lexeme) in lexemes.iter().enumerate() {
        if let Class::Bad(error, _) = &lexeme.class {
            return Err(error.clone());
        }
        let bracket =
            matches!(lexeme.token, Token::LParen | Token::LBracket) && lexeme.class == Class::Symbol;
        if bracket {
            // Those that stand right behind each other, behind FROM, JOIN or a comma.
            let mut first = i;
            while first.checked_sub(1).is_some_and(|b| lexemes[b].is(&Token::LParen)) {
                first -= 1;
            }
            let from = first
                .checked_sub(1)
                .is_some_and(|b| ["FROM", "JOIN", "LATERAL"].iter().any(|w| lexemes[b].is_word(w)));
            let doubled = if from { i - first } else { 0 };
            if open.len() >= MAX_NESTING || doubled > MAX_DOUBLED {
                return Err(match doubled > MAX_DOUBLED {
                    false => too_deep(lexeme.span),
                    true => Error::syntax("the statement is nested too deeply").at(lexeme.span).with_detail(
                        format!("after FROM and JOIN at most {} '(' may follow each other", MAX_DOUBLED + 1),
                    ),
                });
            }
            open.push(i);
            if let (Some(chain), true) = (chains.last_mut(), lexeme.is(&Token::LBracket)) {
                chain[0] += 1;
            }
            if chains.last().is_some_and(|chain| chain[0] > MAX_CHAIN) {
                return Err(too_long(lexeme));
            }
            chains.push([0; 2]);
            continue;
        }
        if lexeme.is(&Token::RParen) || lexeme.is(&Token::RBracket) {
            let wanted = if lexeme.is(&Token::RParen) { Token::LParen } else { Token::LBracket };
            match open.pop() {
                Some(start) if lexemes[start].is(&wanted) => {
                    close.insert(start, i);
                }
                Some(start) => return Err(not_closed(&lexemes[start])),
                None => {
                    return Err(Error::syntax(format!("'{}' closes nothing", lexeme.token)).at(lexeme.span));
                }
            }
            chains.pop();
            continue;
        }
        match lexeme.word() {
            Some(word) if word.eq_ignore_ascii_case("CASE") => cases += 1,
            Some(word) if word.eq_ignore_ascii_case("END") => cases = cases.saturating_sub(1),
            _ => {}
        }
        if cases > MAX_CASES {
            return Err(too_deep(lexeme.span));
        }
        let Some(chain) = chains.last_mut() else { continue };
        match (&lexeme.class, lexeme.word()) {
            (Class::Symbol, _) if lexeme.is(&Token::Comma) => chain[0] = 0,
            (Class::Symbol, _) => chain[0] += 1,
            (_, Some(word)) if CLAUSES.iter().any(|c| word.eq_ignore_ascii_case(c)) => chain[0] = 0,
            (_, Some(word)) if CHAINED.iter().any(|c| word.eq_ignore_ascii_case(c)) => chain[0] += 1,
            (_, Some(word)) => {
                let set = ["UNION", "INTERSECT", "EXCEPT", "JOIN", "LATERAL"];
                chain[1] += u32::from(set.iter().any(|c| word.eq_ignore_ascii_case(c)));
            }
            _ => {}
        }
        if chain[0] > MAX_CHAIN || chain[1] > MAX_CHAIN {
            return Err(too_long(lexeme));
        }
    }
    match open.pop() {
        Some(start) => Err(not_closed(&lexemes[start])),
        None => Ok(close),
    }
}

fn too_deep(span: Span) -> Error {
    Error::syntax("the statement is nested too deeply")
        .at(span)
        .with_detail(format!(
            "parentheses may be nested up to {MAX_NESTING} deep, CASE in CASE up to {MAX_CASES}"
        ))
        .with_hint("put inner parts into a WITH query or a view; one CASE takes any number of WHEN")
}

fn too_long(lexeme: &Lexeme) -> Error {
    Error::syntax(format!("more than {MAX_CHAIN} operators follow each other"))
        .at(lexeme.span)
        .with_hint("IN (...) or parentheses around parts of it take more")
}

fn not_closed(lexeme: &Lexeme) -> Error {
    Error::syntax(format!("'{}' is not closed", lexeme.token)).at(lexeme.span)
}
