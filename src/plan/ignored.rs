//! Clauses that the parser knows and the planner does not read. What is taken and then ignored is a wrong result: each
//! is refused by name.

use std::ops::ControlFlow;

use datafusion_expr::planner::ContextProvider;
use sqlparser::ast::{
    Expr, Function, FunctionArgumentClause, FunctionArguments, Query, Select, Spanned, TableFactor,
    TableSampleKind, VisitMut, VisitorMut,
};

use super::bind::span_of;
use crate::error::{Error, Result, Span};
use crate::sql::visit::walk_mut;

/// Refuses a query with such clauses. `functions` knows which calls take a FILTER, an OVER or an order.
pub(super) fn refuse(query: &mut impl VisitMut, functions: &impl ContextProvider) -> Result<()> {
    let is_plain = |name: &str| {
        let lower = name.to_ascii_lowercase();
        functions.get_function_meta(&lower).is_some()
            && functions.get_aggregate_meta(&lower).is_none()
            && functions.get_window_meta(&lower).is_none()
    };
    match walk_mut(query, &mut Ignored { is_plain: &is_plain }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Ignored<'a> {
    /// Whether a function gives a value for a row.
    is_plain: &'a dyn Fn(&str) -> bool,
}

fn refused<T>(what: &str, hint: &str, span: Span) -> ControlFlow<Error, T> {
    ControlFlow::Break(Error::unsupported(format!("{what} is not supported")).with_hint(hint).at(span))
}

impl VisitorMut for Ignored<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match query.locks.is_empty() {
            true => ControlFlow::Continue(()),
            false => {
                refused("FOR UPDATE", "rows of a stream are not locked: leave it out", span_of(query.span()))
            }
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match select.connect_by.is_empty() {
            true => ControlFlow::Continue(()),
            false => refused("CONNECT BY", "join a level at a time", span_of(select.span())),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        let span = span_of(table.span());
        let (sample, hints) = match table {
            TableFactor::Table { sample, with_hints, .. } => (sample.as_ref(), !with_hints.is_empty()),
            TableFactor::Derived { sample, .. } => (sample.as_ref(), false),
            _ => (None, false),
        };
        if let Some(TableSampleKind::BeforeTableAlias(_) | TableSampleKind::AfterTableAlias(_)) = sample {
            return refused("TABLESAMPLE", "WHERE RAND() < 0.01 takes about one row in a hundred", span);
        }
        match hints {
            true => {
                refused("WITH (...) after a table", "hints are written /*+ OPTIONS('key' = 'value') */", span)
            }
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = match function.name.0.as_slice() {
            [name] => name.as_ident().map(|ident| ident.value.clone()),
            _ => None,
        };
        match (name, clause(function)) {
            (Some(name), Some(clause)) if (self.is_plain)(&name) => {
                let error = Error::plan(format!("{} takes no {clause}", name.to_uppercase()))
                    .with_hint("it gives a value for each row; aggregates such as SUM and COUNT take it");
                ControlFlow::Break(error.at(span_of(function.name.span())))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A clause that only aggregates and window functions read.
fn clause(function: &Function) -> Option<&'static str> {
    if function.filter.is_some() {
        return Some("FILTER");
    }
    if function.over.is_some() {
        return Some("OVER");
    }
    if !function.within_group.is_empty() {
        return Some("WITHIN GROUP");
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    if list.duplicate_treatment.is_some() {
        return Some("DISTINCT or ALL");
    }
    let orders = |clause: &FunctionArgumentClause| {
        matches!(clause, FunctionArgumentClause::OrderBy(_) | FunctionArgumentClause::Limit(_))
    };
    list.clauses.iter().any(orders).then_some("ORDER BY or LIMIT")
}
