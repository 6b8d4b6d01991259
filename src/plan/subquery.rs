//! Subqueries in conditions: what is made of them before DataFusion turns them into joins.
//!
//! DataFusion's decorrelation makes semi and anti joins of `IN` and `EXISTS` that are conjuncts of a WHERE, and
//! mark joins of those below an OR. Its mark is never NULL, and `NOT IN` minds NULLs only as a conjunct. So
//! conditions are prepared here:
//!
//! * NOT is moved inwards until it meets what is compared: where only AND and OR stand above a subquery,
//!   NULL and FALSE are the same to a WHERE.
//! * `x NOT IN (Q)` becomes `NOT EXISTS (SELECT * FROM Q WHERE q = x OR q IS NULL OR x IS NULL)`, except as an
//!   uncorrelated conjunct, for which there is a join of its own.
//! * Where it matters whether the answer is NULL (the SELECT list, CASE, the ON of an outer join) it is computed:
//!   see `subquery_value`.
//! * A scalar subquery must be known to give one row at most: an aggregate without GROUP BY, `LIMIT 1`, or the
//!   row of a primary key.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, ExprSchema, JoinType, Result as DfResult};
use datafusion_expr::expr::{Exists, InSubquery};
use datafusion_expr::logical_plan::{Filter, Join, Limit, Subquery, SubqueryAlias};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};

use crate::error::{Error, Result};
use crate::function::tree::{PlanTree, Tree};

/// A subquery where there is no operator for it.
pub(super) fn refuse(expr: &Expr) -> Error {
    let is = |what: fn(&Expr) -> bool| expr.exists(|e| Ok(what(e))).unwrap_or(false);
    if is(|e| matches!(e, Expr::ScalarSubquery(_))) {
        return Error::unsupported("this scalar subquery is not supported")
            .with_detail(
                "it is allowed in SELECT and WHERE, and refer to the outer query by equalities in its WHERE",
            )
            .with_hint("join with the subquery instead");
    }
    if is(|e| matches!(e, Expr::SetComparison(_))) {
        return Error::unsupported("comparison with ANY or ALL of a subquery is not supported here")
            .with_detail("it is allowed in SELECT, WHERE, HAVING and ON")
            .with_hint("write IN or EXISTS, or compare with MIN or MAX of the subquery");
    }
    Error::unsupported("IN or EXISTS with a subquery is not supported here")
        .with_detail(
            "it is allowed in SELECT, WHERE, HAVING and ON, and refer to the outer query in its WHERE",
        )
        .with_hint("join with the subquery instead")
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(false)
}

fn has_in(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::InSubquery(_)))).unwrap_or(false)
}

/// Prepares the conditions of a plan and of its subqueries.
pub(super) fn prepare(plan: LogicalPlan) -> Result<LogicalPlan> {
    let prepared = plan.transform_all_up(|node| {
        let node = super::keyed_subquery::aggregated(node, is_single)?.data;
        check_scalars(&node)?;
        match node {
            LogicalPlan::Filter(filter) if asks(&filter.predicate) => {
                Ok(Transformed::yes(prepare_filter(filter)?))
            }
            LogicalPlan::Projection(projection) if projection.expr.iter().any(asks) => {
                let names = projection.schema.clone();
                let exprs = projection.expr.into_iter().zip(names.iter()).map(|(e, (qualifier, field))| {
                    let e = super::subquery_value::values(e, projection.input.schema())?;
                    Ok(e.unalias().alias_qualified(qualifier.cloned(), field.name()))
                });
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                Ok(Transformed::yes(LogicalPlanBuilder::from(projection.input).project(exprs)?.build()?))
            }
            LogicalPlan::Join(ref join) if join.filter.as_ref().is_some_and(|f| asks(f) || has_scalar(f)) => {
                Ok(Transformed::yes(prepare_join(join.clone())?))
            }
            other => Ok(Transformed::no(other)),
        }
    })?;
    Ok(prepared.data)
}

/// Whether IN, EXISTS, ANY or ALL with a subquery is part of an expression.
fn asks(expr: &Expr) -> bool {
    has_subquery(expr) || expr.exists(|e| Ok(matches!(e, Expr::SetComparison(_)))).unwrap_or(false)
}

/// Whether a subquery of any kind is part of an expression.
pub(super) fn has_any(expr: &Expr) -> bool {
    asks(expr) || has_scalar(expr)
}

fn has_scalar(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_)))).unwrap_or(false)
}

fn prepare_filter(filter: Filter) -> Result<LogicalPlan> {
    let schema = filter.input.schema().clone();
    let predicate = super::subquery_value::comparisons(filter.predicate, &schema)?;
    let predicate = move_not(predicate, false, &schema)?;
    let conjuncts = split_conjunction_owned(predicate)
        .into_iter()
        .map(|conjunct| not_in(conjunct, &schema))
        .collect::<Result<Vec<_>>>()?;
    match conjunction(conjuncts) {
        None => Ok(filter.input.as_ref().clone()),
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)),
    }
}

/// Subqueries in ON. Those of an inner join are conditions above it; else each is a column of the side that it is
/// about, or a filter of the side whose rows need not come out.
fn prepare_join(mut join: Join) -> Result<LogicalPlan> {
    let conjuncts = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let (mut asking, mut plain): (Vec<Expr>, Vec<Expr>) =
        conjuncts.into_iter().partition(|c| asks(c) || has_scalar(c));
    if join.join_type == JoinType::Inner {
        join.filter = conjunction(plain);
        let Some(predicate) = conjunction(asking) else { return Ok(LogicalPlan::Join(join)) };
        let filter = Filter::try_new(predicate, Arc::new(LogicalPlan::Join(join)))?;
        return if asks(&filter.predicate) {
            prepare_filter(filter)
        } else {
            Ok(LogicalPlan::Filter(filter))
        };
    }
    let columns = join.schema.columns();
    let outer = |side: bool| match join.join_type {
        JoinType::Left => side,
        JoinType::Right => !side,
        _ => true,
    };
    for (number, condition) in asking.drain(..).enumerate() {
        let of = |plan: &LogicalPlan| {
            let mut all = condition.column_refs().into_iter().all(|c| plan.schema().has_column(c));
            let _ = condition.apply(|e| {
                if let Expr::ScalarSubquery(q) | Expr::Exists(Exists { subquery: q, .. }) = e {
                    let reads = |e: &Expr| match e {
                        Expr::OuterReferenceColumn(_, c) => plan.schema().has_column(c),
                        _ => true,
                    };
                    all &= q.outer_ref_columns.iter().all(reads);
                }
                Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
            });
            all
        };
        let left = of(&join.left);
        if !left && !of(&join.right) {
            return Err(Error::unsupported(
                "a subquery in the ON of an outer join that is about both sides is not supported",
            )
            .with_hint("join with the subquery first, or put the condition into a subquery"));
        }
        let side = if left { &mut join.left } else { &mut join.right };
        if !outer(left) {
            let filter = Filter::try_new(condition, side.clone())?;
            *side = Arc::new(if asks(&filter.predicate) {
                prepare_filter(filter)?
            } else {
                LogicalPlan::Filter(filter)
            });
            continue;
        }
        let name = format!("$on{number}");
        let mut exprs: Vec<Expr> = side.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(super::subquery_value::values(condition, side.schema())?.alias(&name));
        *side = Arc::new(LogicalPlanBuilder::from(side.clone()).project(exprs)?.build()?);
        plain.push(Expr::Column(Column::new_unqualified(name)));
    }
    let Join { left, right, on, join_type, join_constraint, null_equality, null_aware, .. } = join;
    let filter = conjunction(plain);
    let joined =
        Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?;
    let exprs: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(exprs)?.build()?)
}

/// Moves NOT inwards until no NOT stands above an IN or EXISTS with a subquery.
fn move_not(expr: Expr, negated: bool, schema: &DFSchema) -> Result<Expr> {
    if !has_subquery(&expr) {
        return Ok(if negated { Expr::Not(Box::new(expr)) } else { expr });
    }
    match expr {
        Expr::Not(inner) => move_not(*inner, !negated, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let op = match (op, negated) {
                (Operator::And, false) | (Operator::Or, true) => Operator::And,
                _ => Operator::Or,
            };
            let (left, right) = (move_not(*left, negated, schema)?, move_not(*right, negated, schema)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::InSubquery(mut e) => {
            e.negated ^= negated;
            Ok(Expr::InSubquery(e))
        }
        Expr::Exists(mut e) => {
            e.negated ^= negated;
            Ok(Expr::Exists(e))
        }
        // EXISTS is never NULL: it may stand in anything. What IN gives may.
        other if has_in(&other) => {
            let value = super::subquery_value::values(other, schema)?;
            Ok(if negated { Expr::Not(Box::new(value)) } else { value })
        }
        other => Ok(if negated { Expr::Not(Box::new(other)) } else { other }),
    }
}

/// `NOT IN` as `NOT EXISTS`, where a null-aware join does not do it.
fn not_in(conjunct: Expr, schema: &DFSchema) -> Result<Expr> {
    if let Expr::InSubquery(InSubquery { expr, subquery, negated: true }) = &conjunct
        && subquery.outer_ref_columns.is_empty()
        && !expr.column_refs().is_empty()
    {
        return Ok(conjunct);
    }
    let rewritten = conjunct.transform_down(|e| match e {
        Expr::InSubquery(InSubquery { expr, subquery, negated: true }) => {
            Ok(Transformed::yes(not_exists(*expr, subquery, schema)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn not_exists(value: Expr, subquery: Subquery, schema: &DFSchema) -> DfResult<Expr> {
    let inner = subquery.subquery.as_ref();
    let (qualifier, field) = inner.schema().qualified_field(0);
    let element = Expr::Column(Column::from((qualifier, field)));
    let mut outer = subquery.outer_ref_columns.clone();
    let value_is_nullable = value.nullable(schema)?;
    let value = value.transform_up(|e| match e {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?;
            let reference = Expr::OuterReferenceColumn(field.clone(), column);
            if !outer.contains(&reference) {
                outer.push(reference.clone());
            }
            Ok(Transformed::yes(reference))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let mut condition = element.clone().eq(value.data.clone());
    if field.is_nullable() {
        condition = condition.or(element.is_null());
    }
    if value_is_nullable {
        condition = condition.or(value.data.is_null());
    }
    let plan = LogicalPlanBuilder::from(inner.clone()).filter(condition)?.build()?;
    Ok(Expr::Exists(Exists {
        subquery: Subquery { subquery: plan.into(), outer_ref_columns: outer, spans: subquery.spans },
        negated: true,
    }))
}

/// Every scalar subquery of a node gives one row at most.
fn check_scalars(node: &LogicalPlan) -> Result<()> {
    for expr in node.expressions() {
        expr.apply(|e| {
            if let Expr::ScalarSubquery(subquery) = e
                && !is_single(&subquery.subquery)
            {
                return Err(Error::unsupported(
                    "a scalar subquery that may return more than one row is not supported",
                )
                .with_hint("aggregate it, such as SELECT MAX(x) FROM ..., or join with it")
                .into());
            }
            Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    Ok(())
}

/// One row at most, whatever the data is.
fn is_single(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(p) => is_single(&p.input),
        LogicalPlan::Filter(f) => is_single(&f.input),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => is_single(input),
        LogicalPlan::Aggregate(a) => a.group_expr.is_empty(),
        LogicalPlan::Limit(limit @ Limit { .. }) => {
            // A correlated LIMIT would have to hold for each outer row.
            let one = super::lower::limit_of(limit).is_ok_and(|(fetch, _)| fetch <= 1);
            is_single(&limit.input) || (one && limit.input.all_out_ref_exprs().is_empty())
        }
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(rows) => rows.values.len() <= 1,
        _ => false,
    }
}
