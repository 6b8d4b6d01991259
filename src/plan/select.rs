//! Clauses of SELECT that DataFusion does not read, or reads in part, said with those that it reads.
//!
//! | written | handed over |
//! |---|---|
//! | `SUM(a) OVER w ... WINDOW w AS (...)` | `SUM(a) OVER (...)`, in QUALIFY too |
//! | `FETCH FIRST n ROWS ONLY` | `LIMIT n` |

use std::ops::ControlFlow;

use sqlparser::ast::{self, LimitClause, NamedWindowExpr, VisitMut, VisitorMut, WindowSpec, WindowType};

use super::bind::span_of;
use crate::error::{Error, Result};

/// Rewrites all queries in a tree.
pub(super) fn rewrite_selects(query: &mut ast::Query) -> Result<()> {
    match VisitMut::visit(query, &mut Selects) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        match fetch(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        match name_windows(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

/// FETCH becomes LIMIT.
fn fetch(query: &mut ast::Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.percent || fetch.with_ties {
        return Err(Error::unsupported("FETCH with PERCENT or WITH TIES is not supported"));
    }
    let quantity = fetch.quantity.unwrap_or_else(|| ast::Expr::value(ast::Value::Number("1".into(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity),
        Some(_) => return Err(Error::plan("a query has LIMIT or FETCH, not both")),
    }
    Ok(())
}

/// Puts the named windows of a SELECT in place of their names.
fn name_windows(select: &mut ast::Select) -> Result<()> {
    let named = std::mem::take(&mut select.named_window);
    let mut windows: Vec<(String, WindowSpec)> = Vec::with_capacity(named.len());
    for ast::NamedWindowDefinition(name, definition) in named {
        if windows.iter().any(|(known, _)| *known == name.value) {
            return Err(
                Error::plan(format!("window '{}' is defined twice", name.value)).at(span_of(name.span))
            );
        }
        let spec = match definition {
            NamedWindowExpr::NamedWindow(other) => find(&windows, &other)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => merged(spec, &windows)?,
        };
        windows.push((name.value, spec));
    }
    let flow = ast::visit_expressions_mut(&mut select.projection, |e| replace(e, &windows));
    if let ControlFlow::Break(e) = flow {
        return Err(e);
    }
    if let Some(qualify) = &mut select.qualify
        && let ControlFlow::Break(e) = ast::visit_expressions_mut(qualify, |e| replace(e, &windows))
    {
        return Err(e);
    }
    Ok(())
}

fn find<'a>(windows: &'a [(String, WindowSpec)], name: &ast::Ident) -> Result<&'a WindowSpec> {
    windows.iter().find(|(known, _)| *known == name.value).map(|(_, spec)| spec).ok_or_else(|| {
        Error::plan(format!("window '{}' is not defined", name.value))
            .with_hint(format!("write WINDOW {} AS (PARTITION BY .. ORDER BY ..)", name.value))
            .at(span_of(name.span))
    })
}

/// `(w ORDER BY x)`: what the window names, and what it adds.
fn merged(mut spec: WindowSpec, windows: &[(String, WindowSpec)]) -> Result<WindowSpec> {
    let Some(name) = spec.window_name.take() else { return Ok(spec) };
    let base = find(windows, &name)?.clone();
    let error = |what: &str| {
        Error::plan(format!("a window that refers to '{}' cannot have {what} of its own", name.value))
            .at(span_of(name.span))
    };
    if !spec.partition_by.is_empty() {
        return Err(error("PARTITION BY"));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return Err(error("ORDER BY"));
    }
    if base.window_frame.is_some() {
        return Err(error("a frame"));
    }
    Ok(WindowSpec {
        window_name: None,
        partition_by: base.partition_by,
        order_by: if spec.order_by.is_empty() { base.order_by } else { spec.order_by },
        window_frame: spec.window_frame,
    })
}

fn replace(expr: &mut ast::Expr, windows: &[(String, WindowSpec)]) -> ControlFlow<Error> {
    let ast::Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
    let known = |name: &ast::Ident| windows.iter().any(|(known, _)| *known == name.value);
    let spec = match &function.over {
        // One of a subquery in the expression may be defined there; what is defined nowhere is found in binding.
        Some(WindowType::NamedWindow(name)) if known(name) => find(windows, name).cloned(),
        Some(WindowType::WindowSpec(spec)) if spec.window_name.as_ref().is_some_and(known) => {
            merged(spec.clone(), windows)
        }
        _ => return ControlFlow::Continue(()),
    };
    match spec {
        Ok(spec) => {
            function.over = Some(WindowType::WindowSpec(spec));
            ControlFlow::Continue(())
        }
        Err(e) => ControlFlow::Break(e),
    }
}
