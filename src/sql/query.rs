//! Queries: what `sqlparser` cannot read is rewritten in the tokens, the rest is its work.
//!
//! | written | handed over |
//! |---|---|
//! | `CAST(x AS ROW<a INT>)`, `RETURNING type` | the type as one identifier `` `$type:ROW<...>` `` |
//! | `t /*+ OPTIONS('k'='v') */` | `` t.`$hint:...` `` |
//! | `SELECT /*+ LOOKUP(...) */` | the same on the tables that it names |
//! | `LATERAL TABLE(f(x))` | `LATERAL f(x)` |

use std::ops::ControlFlow;

use sqlparser::ast::{self, ObjectName, TableFactor, TableWithJoins, VisitMut, VisitorMut};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::dialect::FlinkDialect;
use super::hints::{self, HINT_PREFIX, Hint};
use super::lexer::{Lexeme, quoted_word};
use super::type_parser::{TYPE_PREFIX, data_type};
use crate::error::{Error, Result, Span};

/// LOOKUP hints by the place of the SELECT they stand behind.
type BlockHints = Vec<(Span, Vec<Hint>)>;

/// Tokens for `sqlparser`, and the hints of query blocks.
fn rewrite(lexemes: &[Lexeme], text: &str) -> Result<(Vec<TokenWithSpan>, BlockHints)> {
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(lexemes.len());
    let mut blocks: BlockHints = Vec::new();
    // What each open parenthesis belongs to: a CAST, another thing, or a LATERAL TABLE that is left out.
    #[derive(PartialEq)]
    enum Paren {
        Cast,
        Other,
        Dropped,
    }
    let mut open: Vec<Paren> = Vec::new();
    let mut at = 0;
    while at < lexemes.len() {
        let lexeme = &lexemes[at];
        let previous = at.checked_sub(1).map(|i| &lexemes[i]);
        at += 1;
        if lexeme.hint().is_some() {
            place_hint(lexeme, previous, &mut tokens, &mut blocks)?;
            continue;
        }
        match &lexeme.token {
            Token::Word(w) if w.value.starts_with('$') && w.quote_style.is_some() => {
                return Err(Error::syntax("a name does not start with '$'").at(lexeme.span));
            }
            Token::LParen => {
                let cast = previous.is_some_and(|p| p.is("CAST") || p.is("TRY_CAST"));
                open.push(if cast { Paren::Cast } else { Paren::Other });
            }
            Token::RParen => {
                if open.pop() == Some(Paren::Dropped) {
                    continue;
                }
            }
            Token::Word(_) if lexeme.is("LATERAL") && lexemes.get(at).is_some_and(|n| n.is("TABLE")) => {
                tokens.push(lexeme.with_token(lexeme.token.clone()));
                at += 1;
                if lexemes.get(at).map(|l| &l.token) != Some(&Token::LParen) {
                    return Err(Error::syntax("expected '(' behind LATERAL TABLE").at(lexemes[at - 1].span));
                }
                at += 1;
                open.push(Paren::Dropped);
                continue;
            }
            Token::Word(_)
                if (lexeme.is("AS") && open.last() == Some(&Paren::Cast))
                    || (lexeme.is("RETURNING") && !open.is_empty()) =>
            {
                tokens.push(lexeme.with_token(lexeme.token.clone()));
                let mut cursor = Cursor::new(&lexemes[at..], text);
                let (found, _) = data_type(&mut cursor)?;
                let used = lexemes.len() - at - cursor.rest().len();
                tokens.push(lexemes[at].with_token(quoted_word(format!("{TYPE_PREFIX}{found}"))));
                at += used;
                continue;
            }
            _ => {}
        }
        tokens.push(lexeme.with_token(lexeme.token.clone()));
    }
    Ok((tokens, blocks))
}

fn place_hint(
    lexeme: &Lexeme,
    previous: Option<&Lexeme>,
    tokens: &mut Vec<TokenWithSpan>,
    blocks: &mut BlockHints,
) -> Result<()> {
    for hint in hints::read(lexeme)? {
        let behind_select = previous.is_some_and(|p| p.is("SELECT"));
        match (hint.name.as_str(), behind_select, previous) {
            ("LOOKUP", true, Some(select)) => match blocks.iter_mut().find(|(s, _)| *s == select.span) {
                Some((_, all)) => all.push(hint),
                None => blocks.push((select.span, vec![hint])),
            },
            ("OPTIONS", false, Some(Lexeme { token: Token::Word(_), .. })) => {
                tokens.push(lexeme.with_token(Token::Period));
                tokens.push(lexeme.with_token(quoted_word(hints::options_part(&hint))));
            }
            ("LOOKUP", ..) => {
                return Err(Error::syntax("the LOOKUP hint stands right behind SELECT").at(hint.span));
            }
            _ => {
                return Err(Error::syntax("the OPTIONS hint stands right behind a table's name").at(hint.span));
            }
        }
    }
    Ok(())
}

/// Puts the LOOKUP hints of query blocks on the tables they name.
struct PlaceLookups {
    blocks: BlockHints,
}

fn plain(name: &ObjectName) -> String {
    let idents = name.0.iter().filter_map(|p| p.as_ident());
    idents
        .filter(|i| !i.value.starts_with(HINT_PREFIX))
        .next_back()
        .map(|i| i.value.clone())
        .unwrap_or_default()
}

fn factors<'a>(from: &'a mut [TableWithJoins], into: &mut Vec<&'a mut TableFactor>) {
    for t in from {
        let joined = t.joins.iter_mut().map(|j| &mut j.relation);
        for factor in std::iter::once(&mut t.relation).chain(joined) {
            match factor {
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    factors(std::slice::from_mut(table_with_joins.as_mut()), into);
                }
                other => into.push(other),
            }
        }
    }
}

impl PlaceLookups {
    fn place(&self, select: &mut ast::Select, hint: &Hint) -> Result<()> {
        let wanted = hint.entries.iter().find(|e| e.key.value == "table");
        let Some(wanted) = wanted else { return Ok(()) };
        let mut all = Vec::new();
        factors(&mut select.from, &mut all);
        let mut names = Vec::new();
        for factor in all {
            let TableFactor::Table { name, alias, .. } = factor else { continue };
            let known = alias.as_ref().map_or_else(|| plain(name), |a| a.name.value.clone());
            if known == wanted.value.value {
                hints::add_lookup(name, hint);
                return Ok(());
            }
            names.push(known);
        }
        let error = Error::plan(format!(
            "the LOOKUP hint names '{}', which is not in this query block",
            wanted.value.value
        ))
        .at(wanted.value.span);
        Err(match names.is_empty() {
            true => error,
            false => error
                .with_hint(format!("there are: {} (the alias counts, where there is one)", names.join(", "))),
        })
    }
}

impl VisitorMut for PlaceLookups {
    type Break = Error;
    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        let place = select.select_token.0.span.start;
        let here =
            |s: &Span| u64::from(s.start.line) == place.line && u64::from(s.start.column) == place.column;
        let hints: Vec<Hint> =
            self.blocks.iter().filter(|(s, _)| here(s)).flat_map(|(_, h)| h.clone()).collect();
        for hint in &hints {
            if let Err(e) = self.place(select, hint) {
                return ControlFlow::Break(e);
            }
        }
        ControlFlow::Continue(())
    }
}

/// An error of `sqlparser` with its place, which it writes into the text.
fn parser_error(error: ParserError, end: Span) -> Error {
    let message = match error {
        ParserError::ParserError(m) | ParserError::TokenizerError(m) => m,
        ParserError::RecursionLimitExceeded => {
            return Error::syntax("the statement is nested too deeply").at(end);
        }
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => {
            let mut numbers =
                place.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
            (text.to_string(), numbers.next().zip(numbers.next()))
        }
        None => (message, None),
    };
    let text = text.strip_prefix("sql parser error: ").unwrap_or(&text).replace("Expected: ", "expected ");
    let text = match text.contains(TYPE_PREFIX) || text.contains(HINT_PREFIX) {
        true => "the statement is wrong here".to_string(),
        false => text.replace("found: EOF", "the statement ends").replace("found: ", "found "),
    };
    let error = Error::syntax(text);
    match place {
        Some((line, column)) => error.at(Span::new((line, column), (line, column + 1))),
        None => error.at(Span { start: end.end, end: end.end }),
    }
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&FlinkDialect).with_recursion_limit(120).with_tokens_with_locations(tokens)
}

fn whole(lexemes: &[Lexeme]) -> Span {
    lexemes.iter().map(|l| l.span).reduce(Span::union).unwrap_or_default()
}

/// A query: SELECT, WITH, VALUES, or one in parentheses.
pub fn query(lexemes: &[Lexeme], text: &str) -> Result<Box<ast::Query>> {
    refuse(lexemes)?;
    let end = whole(lexemes);
    let (tokens, blocks) = rewrite(lexemes, text)?;
    let mut parser = parser(tokens);
    let mut query = parser.parse_query().map_err(|e| parser_error(e, end))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let (line, column) = (rest.span.start.line as u32, rest.span.start.column as u32);
        return Err(Error::syntax(format!("expected the end of the statement, found '{}'", rest.token))
            .at(Span::new((line, column), (rest.span.end.line as u32, rest.span.end.column as u32))));
    }
    if !blocks.is_empty()
        && let ControlFlow::Break(e) = VisitMut::visit(query.as_mut(), &mut PlaceLookups { blocks })
    {
        return Err(e);
    }
    Ok(query)
}

/// What `sqlparser` would read, or fail at without a helpful word.
fn refuse(lexemes: &[Lexeme]) -> Result<()> {
    for pair in lexemes.windows(2) {
        if pair[0].is("MATCH_RECOGNIZE") && pair[1].token == Token::LParen {
            return Err(Error::unsupported("MATCH_RECOGNIZE is not supported").at(pair[0].span));
        }
        let window = ["TUMBLE", "HOP", "CUMULATE", "SESSION"].iter().find(|w| pair[0].is(w));
        if let Some(window) = window
            && pair[1].token == Token::LParen
        {
            return Err(Error::unsupported(format!("the window {window} is not supported yet"))
                .with_detail(
                    "queries without state run: projections, filters, lookup joins, UNNEST, UNION ALL, LIMIT",
                )
                .at(pair[0].span));
        }
    }
    Ok(())
}

/// A scalar expression.
pub fn expression(lexemes: &[Lexeme], text: &str) -> Result<ast::Expr> {
    let end = whole(lexemes);
    let (tokens, _) = rewrite(lexemes, text)?;
    let mut parser = parser(tokens);
    let expr = parser.parse_expr().map_err(|e| parser_error(e, end))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let (line, column) = (rest.span.start.line as u32, rest.span.start.column as u32);
        return Err(Error::syntax(format!("expected the end of the expression, found '{}'", rest.token))
            .at(Span::new((line, column), (line, column + 1))));
    }
    Ok(expr)
}
