//! The unit behind a difference of moments: `(a - b) DAY TO SECOND`, `(a - b) MONTH`.
//!
//! It is an operator behind parentheses. The same word behind any other parenthesis is an alias: `COUNT(*) day`.

use sqlparser::ast::{BinaryOperator, DateTimeField, Expr as Ast};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::function_syntax::{call, text, word, words};

/// How tight the unit behind `(a - b) DAY` binds: as tight as a subscript.
const UNIT_PRECEDENCE: u8 = 50;

/// The precedence of a unit behind a difference in parentheses. Such a word behind any other parenthesis, as in
/// `COUNT(*) day`, is an alias.
pub fn unit_precedence(parser: &Parser<'_>) -> Option<u8> {
    let unit = |t: &Token| {
        matches!(t, Token::Word(w) if w.quote_style.is_none()
            && matches!(w.keyword, Keyword::YEAR | Keyword::QUARTER | Keyword::MONTH | Keyword::DAY | Keyword::HOUR | Keyword::MINUTE | Keyword::SECOND))
    };
    if !unit(&parser.peek_token_ref().token) || parser.get_current_token().token != Token::RParen {
        return None;
    }
    // One minus between two plain operands.
    let (mut depth, mut minus, mut at) = (0usize, 0, parser.get_current_index());
    let mut last = None;
    loop {
        let token = &parser.token_at(at).token;
        match token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 1 => break,
            Token::LParen => depth -= 1,
            Token::Minus if depth == 1 => minus += 1,
            Token::Word(w)
                if matches!(
                    w.keyword,
                    Keyword::CASE
                        | Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::IN
                        | Keyword::LIKE
                        | Keyword::BETWEEN
                        | Keyword::SELECT
                ) =>
            {
                return None;
            }
            Token::Word(_) | Token::Period | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::Whitespace(_) => {}
            _ if depth == 1 => return None,
            _ => {}
        }
        if !matches!(token, Token::Whitespace(_)) {
            last = Some(token);
        }
        at = at.checked_sub(1)?;
    }
    if minus != 1 || last == Some(&Token::Minus) {
        return None;
    }
    let before = loop {
        let Some(i) = at.checked_sub(1) else { break None };
        at = i;
        if !matches!(parser.token_at(i).token, Token::Whitespace(_)) {
            break Some(&parser.token_at(i).token);
        }
    };
    let call = match before {
        Some(Token::Word(w)) => !matches!(
            w.keyword,
            Keyword::SELECT
                | Keyword::DISTINCT
                | Keyword::WHERE
                | Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::ON
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::BY
                | Keyword::HAVING
                | Keyword::BETWEEN
        ),
        Some(Token::RParen | Token::RBracket) | None => true,
        Some(_) => false,
    };
    (!call).then_some(UNIT_PRECEDENCE)
}

/// Reads the unit of `(a - b) DAY [TO SECOND]`.
pub fn parse_unit(parser: &mut Parser<'_>, expr: &Ast) -> Option<Result<Ast, ParserError>> {
    let Ast::Nested(inner) = expr else { return None };
    let Ast::BinaryOp { left, op: BinaryOperator::Minus, right } = inner.as_ref() else { return None };
    unit_precedence(parser)?;
    let months = ["YEAR", "QUARTER", "MONTH"].into_iter().any(|unit| word(parser, unit));
    if !months {
        parser.next_token();
    }
    let _ = ["MONTH", "HOUR", "MINUTE", "SECOND"].into_iter().any(|last| words(parser, &["TO", last]));
    let (to, from) = (left.as_ref().clone(), right.as_ref().clone());
    Some(Ok(match months {
        false => call("$interval_between", vec![to, from]),
        true => Ast::Nested(Box::new(Ast::BinaryOp {
            left: Box::new(call("timestampdiff", vec![text("MONTH"), from, to])),
            op: BinaryOperator::Multiply,
            right: Box::new(Ast::Interval(sqlparser::ast::Interval {
                value: Box::new(text("1")),
                leading_field: Some(DateTimeField::Month),
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            })),
        })),
    }))
}
