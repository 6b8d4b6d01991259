//! Group windows, the older way to say TUMBLE, HOP and SESSION: `GROUP BY k, TUMBLE(ts, INTERVAL '1' HOUR)`.
//!
//! They are rewritten to window table functions before names are bound, so that the rest of the planner sees one
//! kind of windows:
//!
//! ```text
//! SELECT k, TUMBLE_END(ts, i), COUNT(*)         SELECT k, window_end, COUNT(*)
//! FROM a JOIN b ON ..                     ──>   FROM $group_window('TUMBLE', (SELECT * FROM a JOIN b ON ..
//! WHERE x > 0                                                                 WHERE x > 0), ts, i)
//! GROUP BY k, TUMBLE(ts, i)                     GROUP BY k, window_start, window_end, window_time
//! ```
//! `$group_window` keeps the qualifiers of its input: `a.k` is still `a.k`. Sessions are those of the other
//! keys, which follow as further arguments.

use std::ops::ControlFlow;

use datafusion_common::Column;
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, SetExpr,
    Spanned, TableFactor, VisitMut, VisitorMut,
};

use super::bind::span_of;
use super::naming::select_all;
use super::table_function::{constant, function_name, milliseconds};
use super::window_table::{window_kind, windowed};
use crate::error::{Error, Result, Span};
use crate::operator::window::WindowSpec;
use crate::sql::visit;

/// Name of the function that a group window becomes.
pub(super) const GROUP_WINDOW: &str = "$group_window";

/// Rewrites the group windows of all queries in a tree.
pub(super) fn rewrite_group_windows(query: &mut ast::Query) -> Result<()> {
    match visit::walk_mut(query, &mut GroupWindows) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct GroupWindows;

impl VisitorMut for GroupWindows {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let window = match GroupWindow::of(select) {
            Ok(Some(window)) => window,
            Ok(None) => return refuse_helpers(select),
            Err(e) => return ControlFlow::Break(e),
        };
        if let Some(order_by) = &mut query.order_by
            && let ControlFlow::Break(e) = window.replace_helpers(order_by)
        {
            return ControlFlow::Break(e);
        }
        match window.apply(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        // One that is part of a UNION; the others have been rewritten with their query.
        match GroupWindow::of(select) {
            Ok(Some(window)) => match window.apply(select) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => ControlFlow::Break(e),
            },
            Ok(None) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

/// The window function that an expression calls, in upper case, with its arguments.
fn window_call(expr: &ast::Expr) -> Option<(String, Vec<ast::Expr>)> {
    let (name, args) = plain_call(expr)?;
    matches!(name.as_str(), "TUMBLE" | "HOP" | "SESSION").then_some((name, args))
}

fn plain_call(expr: &ast::Expr) -> Option<(String, Vec<ast::Expr>)> {
    let ast::Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = expr
    else {
        return None;
    };
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
        _ => None,
    });
    Some((function_name(name)?, args.collect::<Option<_>>()?))
}

/// `TUMBLE_START` is the start of a TUMBLE.
fn helper(name: &str) -> Option<(&str, &str)> {
    let (function, what) = name.split_once('_')?;
    (matches!(function, "TUMBLE" | "HOP" | "SESSION")
        && matches!(what, "START" | "END" | "ROWTIME" | "PROCTIME"))
    .then_some((function, what))
}

/// Helpers of group windows make no sense without one.
fn refuse_helpers(select: &mut ast::Select) -> ControlFlow<Error> {
    for item in &select.projection {
        let (ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        if let Some((name, _)) = plain_call(expr)
            && let Some((function, _)) = helper(&name)
        {
            return ControlFlow::Break(
                Error::plan(format!("{name} needs {function}(...) in GROUP BY")).at(span_of(expr.span())),
            );
        }
    }
    ControlFlow::Continue(())
}

/// The group window of a SELECT.
struct GroupWindow {
    function: String,
    args: Vec<ast::Expr>,
    position: usize,
    span: Span,
}

impl GroupWindow {
    fn of(select: &ast::Select) -> Result<Option<Self>> {
        let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Ok(None) };
        let mut found: Option<Self> = None;
        for (position, key) in keys.iter().enumerate() {
            let Some((function, args)) = window_call(key) else { continue };
            let span = span_of(key.span());
            if found.is_some() {
                return Err(Error::plan("GROUP BY has one group window at most").at(span));
            }
            let wanted = if function == "HOP" { 3 } else { 2 };
            if args.len() != wanted {
                let usage = match function.as_str() {
                    "TUMBLE" => "TUMBLE(time, size)",
                    "HOP" => "HOP(time, slide, size)",
                    _ => "SESSION(time, gap)",
                };
                return Err(Error::plan(format!(
                    "{function} in GROUP BY takes {wanted} arguments, {} given",
                    args.len()
                ))
                .with_hint(format!("write {usage}; for an offset write FROM {function}(TABLE t, ...)"))
                .at(span));
            }
            found = Some(Self { function, args, position, span });
        }
        Ok(found)
    }

    /// Puts the columns of the window in place of its helpers.
    fn replace_helpers<T: VisitMut>(&self, node: &mut T) -> ControlFlow<Error> {
        let own: Vec<String> = self.args.iter().map(ToString::to_string).collect();
        visit::visit_expressions_mut(node, |expr| {
            let Some((name, args)) = plain_call(expr) else { return ControlFlow::Continue(()) };
            if window_call(expr).is_some() {
                return ControlFlow::Break(
                    Error::plan(format!("{name} is only allowed in GROUP BY"))
                        .with_hint(format!("write {name}_START(...) or {name}_END(...)"))
                        .at(span_of(expr.span())),
                );
            }
            let Some((function, what)) = helper(&name) else { return ControlFlow::Continue(()) };
            let same = function == self.function
                && args.len() == own.len()
                && args.iter().zip(&own).all(|(a, b)| a.to_string() == *b);
            if !same {
                return ControlFlow::Break(
                    Error::plan(format!(
                        "{name} must have the arguments of the window in GROUP BY: {}({})",
                        self.function,
                        own.join(", ")
                    ))
                    .at(span_of(expr.span())),
                );
            }
            let span = expr.span();
            let column = |name: &str| {
                let mut ident = Ident::new(name);
                ident.span = span;
                ast::Expr::Identifier(ident)
            };
            *expr = match what {
                "START" => column("window_start"),
                "END" => column("window_end"),
                "ROWTIME" => column("window_time"),
                _ => call("PROCTIME", Vec::new()),
            };
            ControlFlow::Continue(())
        })
    }

    fn apply(self, select: &mut ast::Select) -> Result<()> {
        let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
        let column = |name: &str| ast::Expr::Identifier(Ident::new(name));
        let columns = ["window_start", "window_end", "window_time"].map(column);
        keys.splice(self.position..=self.position, columns);
        let others: Vec<ast::Expr> = keys
            .iter()
            .enumerate()
            .filter(|(i, _)| !(self.position..self.position + 3).contains(i))
            .map(|(_, k)| k.clone())
            .collect();
        let mut input = select_all();
        if let SetExpr::Select(inner) = input.body.as_mut() {
            inner.from = std::mem::take(&mut select.from);
            inner.selection = select.selection.take();
        }
        for item in &mut select.projection {
            if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = item {
                breaks(self.replace_helpers(expr))?;
            }
        }
        for clause in [&mut select.having, &mut select.qualify].into_iter().flatten() {
            breaks(self.replace_helpers(clause))?;
        }
        let mut args = vec![
            ast::Expr::value(ast::Value::SingleQuotedString(self.function.clone())),
            ast::Expr::Subquery(Box::new(input)),
        ];
        args.extend(self.args);
        if self.function == "SESSION" {
            args.extend(others);
        }
        let mut ident = Ident::with_quote('`', GROUP_WINDOW);
        ident.span = sqlparser::tokenizer::Span::new(
            sqlparser::tokenizer::Location::new(self.span.start.line.into(), self.span.start.column.into()),
            sqlparser::tokenizer::Location::new(self.span.end.line.into(), self.span.end.column.into()),
        );
        let relation = TableFactor::Table {
            name: ObjectName::from(vec![ident]),
            alias: None,
            args: Some(ast::TableFunctionArgs { args: unnamed(args), settings: None }),
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
        Ok(())
    }
}

fn breaks(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn unnamed(args: Vec<ast::Expr>) -> Vec<FunctionArg> {
    args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect()
}

fn call(name: &str, args: Vec<ast::Expr>) -> ast::Expr {
    ast::Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: unnamed(args),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Plans `$group_window(function, input, time, lengths.., keys..)`.
pub(super) fn group_window(
    span: Span,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
    zone: &str,
) -> Result<LogicalPlan> {
    let internal = || Error::internal("a group window was not rewritten as planned");
    let mut args = args.into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
        _ => None,
    });
    let function = match args.next() {
        Some(ast::Expr::Value(v)) => v.value.into_string().ok_or_else(internal)?,
        _ => return Err(internal()),
    };
    let Some(ast::Expr::Subquery(query)) = args.next() else { return Err(internal()) };
    let SetExpr::Select(select) = *query.body else { return Err(internal()) };
    let mut plan = input(select.from, context)?
        .ok_or_else(|| Error::plan(format!("{function} in GROUP BY needs a table in FROM")).at(span))?;
    if let Some(condition) = select.selection {
        let condition = context.sql_to_expr(condition, plan.schema())?;
        plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
    }
    let schema = plan.schema().clone();
    let time = args.next().ok_or_else(internal)?;
    let time_span = span_of(time.span());
    let time = context.sql_to_expr(time, &schema).map_err(|e| Error::from(e).at(time_span))?;
    if !matches!(time, Expr::Column(_)) {
        return Err(
            Error::plan(format!("{function} in GROUP BY takes a time attribute, a column")).at(time_span)
        );
    }
    let mut length = |name: &'static str| -> Result<(&'static str, i64, Span)> {
        let expr = args.next().ok_or_else(internal)?;
        let at = match span_of(expr.span()) {
            empty if empty == Span::default() => span,
            found => found,
        };
        let what = format!("the {name} of {function}");
        let expr = context.sql_to_expr(expr, &schema)?;
        let value =
            constant(&expr, zone).map_err(|_| Error::plan(format!("{what} is not a constant")).at(at))?;
        Ok((name, milliseconds(&value, &what).map_err(|e| e.at(at))?, at))
    };
    let (first, second) = match function.as_str() {
        "TUMBLE" => (length("size")?, None),
        "HOP" => (length("slide")?, Some(length("size")?)),
        _ => (length("gap")?, None),
    };
    let kind = window_kind(&function, first, second, true)?;
    let keys = args.map(|key| Ok(context.sql_to_expr(key, &schema)?)).collect::<Result<Vec<_>>>()?;
    let (plan, keys) = as_columns(plan, keys)?;
    let spec = WindowSpec { kind, offset: 0, zone: None };
    windowed(plan, time, time_span, spec, keys, zone).map_err(|e| e.at(span))
}

/// FROM as one plan, its qualifiers kept.
fn input(
    from: Vec<ast::TableWithJoins>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<LogicalPlan>> {
    let mut plan: Option<LogicalPlan> = None;
    for part in from {
        let part = match part.joins.is_empty() {
            true => part.relation,
            false => TableFactor::NestedJoin { table_with_joins: Box::new(part), alias: None },
        };
        let part = context.plan(part)?;
        plan = Some(match plan {
            None => part,
            Some(plan) => LogicalPlanBuilder::from(plan).cross_join(part)?.build()?,
        });
    }
    Ok(plan)
}

/// The keys of a session as columns, computed where they are none.
fn as_columns(plan: LogicalPlan, keys: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    if keys.iter().all(|k| matches!(k, Expr::Column(_))) {
        return Ok((plan, keys));
    }
    let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let mut named = Vec::with_capacity(keys.len());
    for (i, key) in keys.into_iter().enumerate() {
        if matches!(key, Expr::Column(_)) {
            named.push(key);
            continue;
        }
        let name = format!("$session_key{i}");
        columns.push(key.alias(&name));
        named.push(Expr::Column(Column::new_unqualified(name)));
    }
    Ok((LogicalPlanBuilder::from(plan).project(columns)?.build()?, named))
}
