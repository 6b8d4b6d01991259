//! The dialect handed to `sqlparser`.
//!
//! Only what Flink SQL has is switched on: each further switch of the generic dialect would be syntax that
//! cannot move to Flink, or that planning would have to refuse. What the parser's grammar lacks but
//! fits its hooks (`IS JSON`, `BETWEEN SYMMETRIC`) is read here.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Flink SQL, as far as queries go. One value serves one parse.
#[derive(Debug)]
pub struct AffluentDialect {
    /// Expressions that may still be begun. `sqlparser` reads a failed `CAST(` or `FLOOR(` once more as a
    /// plain call, so that a mistake inside of n of them is found 2^n times; the budget ends that.
    budget: AtomicU64,
}

impl AffluentDialect {
    /// For a text of so many tokens.
    pub fn new(tokens: usize) -> Self {
        Self { budget: AtomicU64::new(10_000 + 100 * tokens as u64) }
    }
}

impl Dialect for AffluentDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let left = self.budget.load(Ordering::Relaxed);
        self.budget.store(left.saturating_sub(1), Ordering::Relaxed);
        // The one error that no attempt of the parser swallows.
        if left == 0 {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        super::function_syntax::parse_prefix(parser)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        super::difference::unit_precedence(parser).map(Ok)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if let Some(read) = super::difference::parse_unit(parser, expr)
            .or_else(|| super::function_syntax::parse_infix(parser, expr))
        {
            return Some(read);
        }
        if let Some(op) = compared_with_values(parser) {
            let all =
                matches!(&parser.peek_nth_token_ref(1).token, Token::Word(w) if w.keyword == Keyword::ALL);
            for _ in 0..3 {
                parser.advance_token();
            }
            let query = match parser.parse_query() {
                Ok(query) => query,
                Err(e) => return Some(Err(e)),
            };
            if let Err(e) = parser.expect_token(&Token::RParen) {
                return Some(Err(e));
            }
            let (left, right) = (Box::new(expr.clone()), Box::new(Expr::Subquery(query)));
            return Some(Ok(match all {
                true => Expr::AllOp { left, compare_op: op, right },
                false => Expr::AnyOp { left, compare_op: op, right, is_some: false },
            }));
        }
        let words = |parser: &Parser<'_>, at: usize, word: &str| {
            matches!(parser.peek_nth_token_ref(at).token, Token::Word(ref w)
                if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
        };
        let not = words(parser, 0, "NOT");
        let between = usize::from(not);
        if words(parser, between, "BETWEEN")
            && (words(parser, between + 1, "SYMMETRIC") || words(parser, between + 1, "ASYMMETRIC"))
        {
            let symmetric = words(parser, between + 1, "SYMMETRIC");
            for _ in 0..between + 2 {
                parser.advance_token();
            }
            return Some(between_bounds(self, parser, expr, not, symmetric));
        }
        // `sqlparser` takes all that follows for the right side: `a IS DISTINCT FROM b AND c`.
        let not = words(parser, 1, "NOT");
        let from = 1 + usize::from(not);
        if words(parser, 0, "IS") && words(parser, from, "DISTINCT") && words(parser, from + 1, "FROM") {
            for _ in 0..from + 2 {
                parser.advance_token();
            }
            let right = match parser.parse_subexpr(self.prec_value(Precedence::Is)) {
                Ok(right) => Box::new(right),
                Err(e) => return Some(Err(e)),
            };
            let left = Box::new(expr.clone());
            return Some(Ok(match not {
                true => Expr::IsNotDistinctFrom(left, right),
                false => Expr::IsDistinctFrom(left, right),
            }));
        }
        None
    }
}

/// The operator of `x op ALL (VALUES ...)`, which `sqlparser` reads with SELECT alone.
fn compared_with_values(parser: &Parser<'_>) -> Option<BinaryOperator> {
    let op = match parser.peek_token_ref().token {
        Token::Eq => BinaryOperator::Eq,
        Token::Neq => BinaryOperator::NotEq,
        Token::Lt => BinaryOperator::Lt,
        Token::LtEq => BinaryOperator::LtEq,
        Token::Gt => BinaryOperator::Gt,
        Token::GtEq => BinaryOperator::GtEq,
        _ => return None,
    };
    let is = |at: usize, words: &[Keyword]| matches!(&parser.peek_nth_token_ref(at).token, Token::Word(w) if words.contains(&w.keyword));
    (is(1, &[Keyword::ALL, Keyword::ANY, Keyword::SOME])
        && parser.peek_nth_token_ref(2).token == Token::LParen
        && is(3, &[Keyword::VALUES, Keyword::TABLE]))
    .then_some(op)
}

/// `x BETWEEN SYMMETRIC a AND b` is `x BETWEEN a AND b OR x BETWEEN b AND a`.
fn between_bounds(
    dialect: &AffluentDialect,
    parser: &mut Parser<'_>,
    expr: &Expr,
    negated: bool,
    symmetric: bool,
) -> Result<Expr, ParserError> {
    // Bounds bind tighter than AND.
    let precedence = dialect.prec_value(Precedence::Between);
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    let between = |low: Expr, high: Expr| Expr::Between {
        expr: Box::new(expr.clone()),
        negated,
        low: Box::new(low),
        high: Box::new(high),
    };
    if !symmetric {
        return Ok(between(low, high));
    }
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    let left = Box::new(between(low.clone(), high.clone()));
    let right = Box::new(between(high, low));
    Ok(Expr::Nested(Box::new(Expr::BinaryOp { left, op, right })))
}
