//! Literals that are patterns: regular expressions, SIMILAR TO, the forms of dates. One that is none is an error of the
//! query, at its place, before a row is read. Patterns that are computed of constants are looked at where their
//! function is planned, and those of columns row by row.

use std::ops::ControlFlow;

use sqlparser::ast::Spanned;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, Visit};

use super::bind::span_of;
use crate::error::{Error, Result};
use crate::function::{matcher, pattern, regexp};
use crate::sql::visit::visit_expressions;

type Check = fn(&str) -> Result<()>;

/// Functions whose second argument is a pattern, and of what.
const FUNCTIONS: &[(&str, Check)] = &[
    ("REGEXP", regular),
    ("REGEXP_COUNT", regular),
    ("REGEXP_EXTRACT", regular),
    ("REGEXP_EXTRACT_ALL", regular),
    ("REGEXP_INSTR", regular),
    ("REGEXP_REPLACE", regular),
    ("REGEXP_SUBSTR", regular),
    ("DATE_FORMAT", moment),
    ("FROM_UNIXTIME", moment),
    ("TO_DATE", moment),
    ("TO_TIMESTAMP", moment),
    ("TO_TIMESTAMP_LTZ", moment),
    ("UNIX_TIMESTAMP", moment),
];

fn regular(text: &str) -> Result<()> {
    matcher::compiled(text).map(drop)
}

fn moment(text: &str) -> Result<()> {
    pattern::translated(text).map(drop)
}

/// The text of a literal.
fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) => literal(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The second argument of a call.
fn second(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.get(1)? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn check(expr: &Expr) -> Result<()> {
    let placed = |at: &Expr| {
        let span = span_of(at.span());
        move |e: Error| as_plan(e).at(span)
    };
    match expr {
        Expr::Function(function) => {
            let [name] = function.name.0.as_slice() else { return Ok(()) };
            let Some(name) = name.as_ident().map(|ident| ident.value.to_ascii_uppercase()) else {
                return Ok(());
            };
            let Some((_, check)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else { return Ok(()) };
            match second(function).and_then(|argument| Some((argument, literal(argument)?))) {
                Some((argument, text)) => check(text).map_err(placed(argument)),
                None => Ok(()),
            }
        }
        Expr::Interval(interval) if interval.leading_field.is_none() => {
            Err(Error::syntax("an INTERVAL has a unit")
                .with_hint("INTERVAL '1' MINUTE; the units are YEAR, MONTH, DAY, HOUR, MINUTE, SECOND")
                .at(span_of(interval.value.span())))
        }
        Expr::SimilarTo { pattern, escape_char, .. } => match literal(pattern) {
            Some(text) => {
                let escape = match escape_char.as_ref().map(|e| &e.value) {
                    Some(Value::SingleQuotedString(escape)) => escape.chars().next(),
                    _ => None,
                };
                regexp::check_similar(text, escape).map_err(placed(pattern))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The same as an error of the query.
fn as_plan(error: Error) -> Error {
    let mut plan = Error::plan(error.message());
    if let Some(detail) = error.detail() {
        plan = plan.with_detail(detail);
    }
    match error.hint() {
        Some(hint) => plan.with_hint(hint),
        None => plan,
    }
}

/// Looks at the literals of a query or an expression.
pub(super) fn check_literals<T: Visit>(node: &T) -> Result<()> {
    let visited = visit_expressions(node, |expr: &Expr| match check(expr) {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => ControlFlow::Break(e),
    });
    match visited {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}
