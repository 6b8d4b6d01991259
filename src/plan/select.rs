//! Clauses of SELECT that DataFusion does not read, or reads in part, said with those that it reads.
//!
//! | written | handed over |
//! |---|---|
//! | `SUM(a) OVER w ... WINDOW w AS (...)` | `SUM(a) OVER (...)`, in QUALIFY too |
//! | `FETCH FIRST n ROWS ONLY` | `LIMIT n` |
//! | `x IN (VALUES 1, 2)` | `x IN (SELECT * FROM (VALUES 1, 2))` |
//! | `ts + n * INTERVAL '5' SECOND` | `TIMESTAMPADD(SECOND, n * 5, ts)` |
//! | `GROUP BY 3` where no third item can be meant | `GROUP BY 3 + 0`: a constant |
//! | `GROUP BY CAST(x AS DATE), CAST(x AS TIME)` | `GROUP BY CAST(x AS DATE), COALESCE(CAST(x AS TIME))`: casts have the name of what they cast |
//! | `GROUP BY ()` | nothing: an aggregate says so itself |
//! | `SELECT (a, b)` | `SELECT ROW(a, b)` |
//! | `(a, b) IN (SELECT x, y ...)` in WHERE | `EXISTS (SELECT 1 FROM (SELECT x, y ...) WHERE a = x AND b = y)` |

use std::ops::ControlFlow;

use sqlparser::ast::{self, LimitClause, NamedWindowExpr, VisitorMut, WindowSpec, WindowType};

use super::bind::span_of;
use crate::error::{Error, Result};
use crate::sql::visit;

/// Rewrites all queries in a tree.
pub(super) fn rewrite_selects(query: &mut ast::Query) -> Result<()> {
    match visit::walk_mut(query, &mut Selects) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<Error> {
        if let ast::Expr::Cast { expr: value, .. } = expr {
            as_row(value);
        }
        if let ast::Expr::Function(function) = expr
            && let ast::FunctionArguments::List(list) = &mut function.args
        {
            for argument in &mut list.args {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) = argument {
                    as_row(value);
                }
            }
        }
        let subquery = match expr {
            ast::Expr::InSubquery { subquery, .. } | ast::Expr::Subquery(subquery) => subquery,
            ast::Expr::AnyOp { right, .. } | ast::Expr::AllOp { right, .. } => match right.as_mut() {
                ast::Expr::Subquery(subquery) => subquery,
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        if matches!(subquery.body.as_ref(), ast::SetExpr::Values(_)) {
            let mut all = super::naming::select_all();
            if let ast::SetExpr::Select(select) = all.body.as_mut() {
                let inner = std::mem::replace(subquery.as_mut(), super::naming::select_all());
                let relation = ast::TableFactor::Derived {
                    lateral: false,
                    subquery: Box::new(inner),
                    alias: None,
                    sample: None,
                };
                select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
            }
            **subquery = all;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<Error> {
        multiplied(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        match fetch(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        for item in &mut select.projection {
            if let ast::SelectItem::UnnamedExpr(value) | ast::SelectItem::ExprWithAlias { expr: value, .. } =
                item
            {
                as_row(value);
            }
        }
        constant_groups(select);
        distinct_casts(select);
        let rewritten = name_windows(select).and_then(|()| no_groups(select)).and_then(|()| {
            let conditions = select.selection.iter_mut().chain(&mut select.having);
            conditions.into_iter().try_for_each(|condition| tuples_in(condition, false))
        });
        match rewritten {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

/// `(a, b)` as a value is `ROW(a, b)`.
fn as_row(value: &mut ast::Expr) {
    match value {
        ast::Expr::Nested(inner) => as_row(inner),
        ast::Expr::Tuple(fields) => {
            let fields = std::mem::take(fields);
            *value = crate::sql::function_syntax::call("row", fields);
        }
        _ => {}
    }
}

/// Whether an aggregate is called outside of a subquery.
fn aggregates(expr: &ast::Expr) -> bool {
    let found = visit::visit_expressions(expr, |e| match e {
        ast::Expr::Function(f)
            if f.over.is_none()
                && f.name
                    .0
                    .last()
                    .and_then(|p| p.as_ident())
                    .is_some_and(|name| crate::function::aggregate::aggregate(&name.value).is_some()) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Casts that are grouped by need different names, and DataFusion's have that of what they cast.
fn distinct_casts(select: &mut ast::Select) {
    let ast::GroupByExpr::Expressions(exprs, _) = &select.group_by else { return };
    if exprs.len() < 2 {
        return;
    }
    let named = |expr: &ast::Expr| {
        let mut inner = expr.clone();
        let _ = visit::visit_expressions_mut(&mut inner, |e| {
            while let ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) = e {
                *e = (**expr).clone();
            }
            ControlFlow::<()>::Continue(())
        });
        inner.to_string()
    };
    let mut names: Vec<(String, String)> = Vec::new();
    let mut doubled: Vec<String> = Vec::new();
    for expr in exprs {
        let (name, text) = (named(expr), expr.to_string());
        if names.iter().any(|(n, t)| *n == name && *t != text) && !doubled.contains(&text) {
            doubled.push(text.clone());
        }
        names.push((name, text));
    }
    if doubled.is_empty() {
        return;
    }
    // A column that is cast as well keeps its name.
    let mut renamed = |expr: &mut ast::Expr| {
        if matches!(expr, ast::Expr::Cast { .. }) && doubled.contains(&expr.to_string()) {
            *expr = coalesce(expr.clone());
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit::visit_expressions_mut(&mut select.projection, &mut renamed);
    let _ = visit::visit_expressions_mut(&mut select.having, &mut renamed);
    if let ast::GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        let _ = visit::visit_expressions_mut(exprs, &mut renamed);
    }
}

fn coalesce(expr: ast::Expr) -> ast::Expr {
    let arg = ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr));
    ast::Expr::Function(ast::Function {
        name: ast::ObjectName(vec![ast::ObjectNamePart::Identifier(ast::Ident::new("coalesce"))]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![arg],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// A number in GROUP BY is the position of an item, where there is one that can be grouped by. Any other number is a
/// constant, as all are in Flink.
fn constant_groups(select: &mut ast::Select) {
    let ast::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return };
    for expr in exprs {
        let number = match &*expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(number, _) => Some(number.as_str()),
                _ => None,
            },
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr } => {
                match expr.as_ref() {
                    ast::Expr::Value(_) => Some(""),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(number) = number else { continue };
        let position = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let item = position.and_then(|n| select.projection.get(n));
        let wildcard = |i: &ast::SelectItem| {
            matches!(i, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))
        };
        let grouped = match item {
            _ if select.projection.iter().any(wildcard) => true,
            Some(ast::SelectItem::UnnamedExpr(e) | ast::SelectItem::ExprWithAlias { expr: e, .. }) => {
                !aggregates(e)
            }
            _ => false,
        };
        if !grouped {
            let inner = expr.clone();
            // A sum is no position.
            *expr = ast::Expr::Nested(Box::new(ast::Expr::BinaryOp {
                left: Box::new(inner),
                op: ast::BinaryOperator::Plus,
                right: Box::new(ast::Expr::value(ast::Value::Number("0".into(), false))),
            }));
        }
    }
}

/// An interval of a whole number of one unit, perhaps in parentheses, and a factor.
fn product(expr: &ast::Expr) -> Option<(&ast::Expr, &ast::Interval, i64)> {
    match expr {
        ast::Expr::Nested(inner) => product(inner),
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Multiply, right } => {
            let (factor, interval) = match (left.as_ref(), right.as_ref()) {
                (factor, ast::Expr::Interval(interval)) | (ast::Expr::Interval(interval), factor) => {
                    (factor, interval)
                }
                _ => return None,
            };
            let ast::Expr::Value(value) = interval.value.as_ref() else { return None };
            let ast::Value::SingleQuotedString(text) = &value.value else { return None };
            let amount = text.trim().parse().ok()?;
            let plain = interval.last_field.is_none() && interval.leading_field.is_some();
            plain.then_some((factor, interval, amount))
        }
        _ => None,
    }
}

/// Whether an expression is an interval by what is written.
fn is_interval(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Interval(_) => true,
        ast::Expr::Nested(inner) | ast::Expr::UnaryOp { expr: inner, .. } => is_interval(inner),
        ast::Expr::BinaryOp { left, op, right } => match op {
            ast::BinaryOperator::Multiply => is_interval(left) || is_interval(right),
            ast::BinaryOperator::Divide => is_interval(left),
            ast::BinaryOperator::Plus => is_interval(left) && is_interval(right),
            // Nothing else is taken from an interval.
            ast::BinaryOperator::Minus => is_interval(left),
            _ => false,
        },
        ast::Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("coalesce") => match &f.args {
            ast::FunctionArguments::List(list) => list.args.iter().any(
                |a| matches!(a, ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) if is_interval(e)),
            ),
            _ => false,
        },
        _ => false,
    }
}

/// Intervals times a number: a literal, or what TIMESTAMPADD adds.
fn multiplied(expr: &mut ast::Expr) {
    if let Some((ast::Expr::Value(value), interval, amount)) = product(expr)
        && let ast::Value::Number(number, _) = &value.value
        && let Some(all) = number.parse::<i64>().ok().and_then(|n| n.checked_mul(amount))
    {
        let mut interval = interval.clone();
        interval.value = Box::new(ast::Expr::value(ast::Value::SingleQuotedString(all.to_string())));
        *expr = ast::Expr::Interval(interval);
        return;
    }
    let ast::Expr::BinaryOp { left, op, right } = expr else { return };
    let ((factor, interval, amount), moment) = match (&*op, product(left), product(right)) {
        (ast::BinaryOperator::Plus | ast::BinaryOperator::Minus, None, Some(found)) => (found, &*left),
        (ast::BinaryOperator::Plus, Some(found), None) => (found, &*right),
        _ => return,
    };
    if is_interval(moment) {
        // A sum of intervals.
        return;
    }
    let Some(unit) = &interval.leading_field else { return };
    let sign = if *op == ast::BinaryOperator::Minus { -1 } else { 1 };
    let Some(amount) = amount.checked_mul(sign) else { return };
    let amount = ast::Expr::value(ast::Value::Number(amount.to_string(), false));
    let times = ast::Expr::BinaryOp {
        left: Box::new(ast::Expr::Nested(Box::new(factor.clone()))),
        op: ast::BinaryOperator::Multiply,
        right: Box::new(ast::Expr::Nested(Box::new(amount))),
    };
    let unit = ast::Expr::Identifier(ast::Ident::new(unit.to_string()));
    let args = [unit, times, moment.as_ref().clone()];
    let args = args.map(|e| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)));
    *expr = ast::Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new("TIMESTAMPADD")]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
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

/// `GROUP BY ()`: one group of all rows, as of any SELECT with an aggregate.
fn no_groups(select: &mut ast::Select) -> Result<()> {
    let ast::GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return Ok(()) };
    let is_empty = |e: &ast::Expr| matches!(e, ast::Expr::Tuple(parts) if parts.is_empty());
    if !groups.iter().any(is_empty) {
        return Ok(());
    }
    groups.retain(|e| !is_empty(e));
    let calls = |e: &ast::Expr| matches!(e, ast::Expr::Function(_));
    let mut found = !groups.is_empty();
    let _ = visit::visit_expressions(&select.projection, |e| {
        found |= calls(e);
        std::ops::ControlFlow::<()>::Continue(())
    });
    match found {
        true => Ok(()),
        false => Err(Error::unsupported("GROUP BY () without an aggregate is not supported")
            .with_hint("write SELECT COUNT(*) ... or leave GROUP BY out")),
    }
}

/// `(a, b) IN (SELECT x, y ...)` where only TRUE counts.
fn tuples_in(condition: &mut ast::Expr, negated: bool) -> Result<()> {
    match condition {
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And | ast::BinaryOperator::Or, right } => {
            tuples_in(left, negated)?;
            tuples_in(right, negated)
        }
        ast::Expr::Nested(inner) => tuples_in(inner, negated),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr } => tuples_in(expr, !negated),
        ast::Expr::InSubquery { expr, subquery, negated: not } => {
            let ast::Expr::Tuple(values) = expr.as_ref() else { return Ok(()) };
            let exists = tuple_exists(values.clone(), subquery.clone(), negated != *not);
            *condition = ast::Expr::Exists { subquery: Box::new(exists), negated: *not };
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The rows of a subquery that equal the values; those that may, too, where NOT IN asks.
fn tuple_exists(values: Vec<ast::Expr>, subquery: Box<ast::Query>, unknown: bool) -> ast::Query {
    const NAME: &str = "$in";
    let ident = |name: &str| ast::Ident::with_quote('`', name);
    let names: Vec<ast::Ident> = (0..values.len()).map(|i| ident(&format!("$in{i}"))).collect();
    let binary = |left: ast::Expr, op: ast::BinaryOperator, right: ast::Expr| {
        let (left, right) = (Box::new(left), Box::new(right));
        ast::Expr::Nested(Box::new(ast::Expr::BinaryOp { left, op, right }))
    };
    let equal = values.into_iter().zip(&names).map(|(value, name)| {
        let value = ast::Expr::Nested(Box::new(value));
        let element = ast::Expr::CompoundIdentifier(vec![ident(NAME), name.clone()]);
        let equal = binary(value.clone(), ast::BinaryOperator::Eq, element.clone());
        match unknown {
            false => equal,
            true => [value, element].into_iter().fold(equal, |all, side| {
                binary(all, ast::BinaryOperator::Or, ast::Expr::IsNull(Box::new(side)))
            }),
        }
    });
    let selection = equal.reduce(|all, one| binary(all, ast::BinaryOperator::And, one));
    let column = |name: &ast::Ident| ast::TableAliasColumnDef { name: name.clone(), data_type: None };
    let alias = ast::TableAlias {
        explicit: true,
        name: ident(NAME),
        columns: names.iter().map(column).collect(),
        at: None,
    };
    let relation = ast::TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    let mut query = super::naming::select_all();
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
        select.selection = selection;
    }
    query
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
    let flow = visit::visit_expressions_mut(&mut select.projection, |e| replace(e, &windows));
    if let ControlFlow::Break(e) = flow {
        return Err(e);
    }
    if let Some(qualify) = &mut select.qualify
        && let ControlFlow::Break(e) = visit::visit_expressions_mut(qualify, |e| replace(e, &windows))
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
