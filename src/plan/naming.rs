//! What columns are called that a query does not name, or names twice.
//!
//! An expression without an alias is `EXPR$n` by its position, a field of a ROW is called as the field. A name that was
//! given before gets a number: `SELECT a, a` gives `a` and `a0`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{self, SetExpr, TableFactor, VisitorMut};

use crate::error::Result;
use crate::sql::hints::HINT_PREFIX;

/// Alias of a subquery whose columns are to be told apart by number, and which has no name of its own.
const NUMBERED: &str = "$numbered";

/// Gives the columns of all queries in a tree their names.
pub(super) fn name_columns(query: &mut ast::Query) {
    let _ = crate::sql::visit::walk_mut(query, &mut NameColumns);
}

struct NameColumns;

/// The name of a SELECT item without an alias; `None` for a column, which keeps its own.
fn item_name(expr: &ast::Expr, position: usize, relations: &[String]) -> Option<String> {
    match expr {
        ast::Expr::Identifier(_) => None,
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [first, _] if relations.contains(&first.value) => None,
            [.., last] => Some(last.value.clone()),
            [] => None,
        },
        ast::Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(ast::Expr::Identifier(field))) => Some(field.value.clone()),
            _ => Some(format!("EXPR${position}")),
        },
        ast::Expr::Nested(inner) => item_name(inner, position, relations),
        _ => Some(format!("EXPR${position}")),
    }
}

/// The name of a column that keeps its own.
fn own_name(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::Identifier(ident) => Some(&ident.value),
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.as_str()),
        ast::Expr::Nested(inner) => own_name(inner),
        _ => None,
    }
}

/// The names that qualify columns in a SELECT.
pub(super) fn relations(from: &[ast::TableWithJoins]) -> Vec<String> {
    let factors =
        from.iter().flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)));
    let mut names = Vec::new();
    for factor in factors {
        match factor {
            TableFactor::Table { alias: None, name, .. } => {
                let mut parts = name.0.iter().filter_map(|p| p.as_ident());
                names.extend(parts.rfind(|i| !i.value.starts_with(HINT_PREFIX)).map(|i| i.value.clone()));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                names.extend(relations(std::slice::from_ref(table_with_joins.as_ref())));
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::MatchRecognize { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => names.push(alias.name.value.clone()),
            _ => {}
        }
    }
    names
}

impl VisitorMut for NameColumns {
    type Break = ();
    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for table in &mut with.cte_tables {
            if with.recursive || !table.alias.columns.is_empty() || !has_wildcard(&table.query.body) {
                continue;
            }
            let inner = std::mem::replace(&mut table.query, Box::new(select_all()));
            let alias = ast::TableAlias {
                explicit: true,
                name: ast::Ident::with_quote('`', NUMBERED),
                columns: Vec::new(),
                at: None,
            };
            let factor =
                TableFactor::Derived { lateral: false, subquery: inner, alias: Some(alias), sample: None };
            if let SetExpr::Select(select) = table.query.body.as_mut() {
                select.from = vec![ast::TableWithJoins { relation: factor, joins: Vec::new() }];
            }
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let relations = relations(&select.from);
        let mut taken: HashSet<String> = HashSet::new();
        for (position, item) in select.projection.iter_mut().enumerate() {
            let (expr, name, own) = match item {
                ast::SelectItem::UnnamedExpr(expr) => match item_name(expr, position, &relations) {
                    Some(name) => (expr, name, false),
                    None => match own_name(expr).map(str::to_string) {
                        Some(name) => (expr, name, true),
                        None => continue,
                    },
                },
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let name = alias.value.clone();
                    if taken.insert(name.clone()) {
                        continue;
                    }
                    (expr, name, false)
                }
                _ => continue,
            };
            let free = match taken.insert(name.clone()) {
                true if own => continue,
                true => name,
                false => free_name(&name, &mut taken),
            };
            let alias = ast::Ident::with_quote('`', free);
            *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
        ControlFlow::Continue(())
    }
}

fn has_wildcard(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .any(|i| matches!(i, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))),
        SetExpr::Query(query) => has_wildcard(&query.body),
        SetExpr::SetOperation { left, .. } => has_wildcard(left),
        _ => false,
    }
}

/// `name0`, `name1`, ...: the first that is free.
fn free_name(name: &str, taken: &mut HashSet<String>) -> String {
    let mut number = 0usize;
    loop {
        let free = format!("{name}{number}");
        if taken.insert(free.clone()) {
            return free;
        }
        number += 1;
    }
}

/// The names, each once.
pub(super) fn numbered(names: &[&str]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        all.push(match taken.insert(name.to_string()) {
            true => name.to_string(),
            false => free_name(name, &mut taken),
        });
    }
    all
}

/// A plan whose columns all have different names, whatever qualifies them.
pub(super) fn number_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
    let free = numbered(&names);
    if names.iter().zip(&free).all(|(name, free)| name == free) {
        return Ok(plan);
    }
    let renamed = plan.schema().columns().into_iter().zip(free).map(|(column, free)| {
        let same = column.name == free;
        let column = Expr::Column(column);
        if same { column } else { column.alias(free) }
    });
    let renamed: Vec<Expr> = renamed.collect();
    Ok(LogicalPlanBuilder::from(plan).project(renamed)?.build()?)
}

/// A subquery in FROM without its alias, and the alias its columns are to have; `None` where nothing has to be done.
pub(super) fn aliased_subquery(factor: &TableFactor) -> Option<(TableFactor, Option<ast::TableAlias>)> {
    let TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } = factor else {
        return None;
    };
    if !has_wildcard(&subquery.body) {
        return None;
    }
    let bare = TableFactor::Derived { lateral: false, subquery: subquery.clone(), alias: None, sample: None };
    Some((bare, (alias.name.value != NUMBERED).then(|| alias.clone())))
}

/// `SELECT *`, FROM to be filled in.
pub(super) fn select_all() -> ast::Query {
    let select = ast::Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        window_before_qualify: false,
        qualify: None,
        value_table_mode: None,
        connect_by: Vec::new(),
        flavor: ast::SelectFlavor::Standard,
    };
    ast::Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
