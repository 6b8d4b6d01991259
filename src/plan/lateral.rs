//! `JOIN LATERAL (SELECT ... WHERE o.cid = c.id ORDER BY o.amount DESC LIMIT 2)`: the first rows for each row on the left.
//!
//! ```text
//!  Join(c, Limit 2 (Sort amount (Filter o.cid = c.id (o))))
//!  Join(c, Filter rn <= 2 (Window ROW_NUMBER() OVER (PARTITION BY o.cid ORDER BY amount DESC) (o))) ON $key0 = c.id
//! ```
//! What ties the subquery to the left side are equalities: they become keys that are carried to the top of the
//! subquery, partition what is limited on the way, and are joined there.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchemaRef};
use datafusion_expr::expr::Sort as SortExpr;
use datafusion_expr::logical_plan::{Aggregate, Distinct, Filter, Join, Projection, Sort, SubqueryAlias};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{
    BinaryExpr, Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, WindowFrame,
    WindowFunctionDefinition, lit,
};

use super::lower::limit_of;
use crate::error::{Error, Result};
use crate::function::tree::{PlanTree, Tree};
use crate::function::window::window_function;

fn refused(what: &str) -> Error {
    Error::unsupported(format!("a LATERAL subquery with LIMIT and {what} is not supported"))
        .with_detail("it is tied to the left side by equalities in its WHERE, joined by AND: o.cid = c.id")
        .with_hint("join first, and keep ROW_NUMBER() OVER (PARTITION BY left key ORDER BY ...) <= n of each")
}

fn asks(expr: &Expr) -> bool {
    expr.contains_outer()
}

/// Whether a plan refers to what stands before it, and limits its rows.
fn is_limited(plan: &LogicalPlan) -> Result<bool> {
    let limit = plan.exists(|node| Ok(matches!(node, LogicalPlan::Limit(_))))?;
    Ok(limit && plan.exists(|node| Ok(node.expressions().iter().any(asks)))?)
}

/// Takes LATERAL off all joins whose right side limits its rows.
pub(super) fn prepare(plan: LogicalPlan) -> Result<LogicalPlan> {
    let prepared = plan.transform_all_up(|node| match node {
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::Inner | JoinType::Left) && is_limited(&join.right)? =>
        {
            Ok(Transformed::yes(joined(join)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(prepared.data)
}

fn joined(join: Join) -> Result<LogicalPlan> {
    let columns = join.schema.columns();
    let mut outer = Vec::new();
    let (right, keys) = pull(&join.right, &mut outer)?;
    let mut conditions: Vec<Expr> = join.filter.into_iter().collect();
    for (key, outer) in keys.into_iter().zip(outer) {
        conditions.push(Expr::Column(key).eq(super::resolve::bring_in(outer)?));
    }
    let joined = Join::try_new(
        join.left,
        Arc::new(right),
        join.on,
        conjunction(conditions),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let exprs: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(exprs)?.build()?)
}

/// A plan and the columns of it that are its keys, in the order of the outer expressions that they equal.
type Pulled = (LogicalPlan, Vec<Column>);

fn columns_of(schema: &DFSchemaRef) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

fn with_keys(exprs: &[Expr], keys: &[Column]) -> Vec<Expr> {
    exprs.iter().cloned().chain(keys.iter().cloned().map(Expr::Column)).collect()
}

fn renamed(alias: &SubqueryAlias, (inner, keys): Pulled) -> Result<Pulled> {
    let plan = LogicalPlanBuilder::from(inner).alias(alias.alias.clone())?.build()?;
    let keys = keys.into_iter().map(|key| Column::new(Some(alias.alias.clone()), key.name)).collect();
    Ok((plan, keys))
}

fn projected(projection: &Projection, (inner, keys): Pulled) -> Result<Pulled> {
    if projection.expr.iter().any(asks) {
        return Err(refused("columns of the left side in its SELECT"));
    }
    let plan = LogicalPlanBuilder::from(inner).project(with_keys(&projection.expr, &keys))?.build()?;
    Ok((plan, keys))
}

fn pull(plan: &LogicalPlan, outer: &mut Vec<Expr>) -> Result<Pulled> {
    if !plan.exists(|node| Ok(node.expressions().iter().any(asks)))? {
        return Ok((plan.clone(), Vec::new()));
    }
    match plan {
        LogicalPlan::Subquery(subquery) => pull(&subquery.subquery, outer),
        LogicalPlan::SubqueryAlias(alias) => renamed(alias, pull(&alias.input, outer)?),
        LogicalPlan::Projection(projection) => projected(projection, pull(&projection.input, outer)?),
        LogicalPlan::Filter(filter) => filtered(filter, outer),
        LogicalPlan::Sort(Sort { input, .. }) if !matches!(input.as_ref(), LogicalPlan::Limit(_)) => {
            // Rows of a join have no order.
            pull(input, outer)
        }
        LogicalPlan::Limit(limit) => {
            let (fetch, skip) = limit_of(limit)?;
            limited(&limit.input, skip, fetch, outer)
        }
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => {
            let sets = group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)));
            if sets || group_expr.is_empty() || group_expr.iter().chain(aggr_expr).any(asks) {
                return Err(refused("an aggregate of this kind"));
            }
            let (inner, keys) = pull(input, outer)?;
            let groups = with_keys(group_expr, &keys);
            let plan = LogicalPlanBuilder::from(inner).aggregate(groups, aggr_expr.clone())?.build()?;
            // The keys behind the aggregates, where callers expect what is added.
            let own = group_expr.len();
            let all = plan.schema().columns();
            let keys = all[own..own + keys.len()].to_vec();
            let order = all[..own].iter().chain(&all[own + keys.len()..]).chain(&keys);
            let exprs: Vec<Expr> = order.cloned().map(Expr::Column).collect();
            Ok((LogicalPlanBuilder::from(plan).project(exprs)?.build()?, keys))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let (inner, keys) = pull(input, outer)?;
            Ok((LogicalPlanBuilder::from(inner).distinct()?.build()?, keys))
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            if plan.expressions().iter().any(asks) {
                return Err(refused("a tie to the left side in an ON"));
            }
            let (left, mut keys) = pull(&join.left, outer)?;
            let (right, more) = pull(&join.right, outer)?;
            keys.extend(more);
            Ok((plan.with_new_exprs(plan.expressions(), vec![left, right])?, keys))
        }
        _ => Err(refused("this part of a query")),
    }
}

fn filtered(filter: &Filter, outer: &mut Vec<Expr>) -> Result<Pulled> {
    let (inner, mut keys) = pull(&filter.input, outer)?;
    let (tied, own): (Vec<&Expr>, Vec<&Expr>) =
        split_conjunction(&filter.predicate).into_iter().partition(|e| asks(e));
    let own = conjunction(own.into_iter().cloned());
    let mut plan = LogicalPlanBuilder::from(inner);
    if let Some(own) = own {
        plan = plan.filter(own)?;
    }
    let mut exprs = columns_of(plan.schema());
    for condition in tied {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
            return Err(refused("a condition on the left side that is no equality"));
        };
        let is_outer = |e: &Expr| asks(e) && e.column_refs().is_empty();
        let (own, other) = match (is_outer(left), is_outer(right)) {
            (true, false) if !asks(right) => (right, left),
            (false, true) if !asks(left) => (left, right),
            _ => return Err(refused("a condition on the left side that is no equality with a column of it")),
        };
        let name = format!("$key{}", outer.len());
        outer.push(other.as_ref().clone());
        exprs.push(own.as_ref().clone().alias(&name));
        keys.push(Column::new_unqualified(name));
    }
    Ok((plan.project(exprs)?.build()?, keys))
}

/// The first rows of each key.
fn limited(input: &LogicalPlan, skip: u64, fetch: u64, outer: &mut Vec<Expr>) -> Result<Pulled> {
    match input {
        LogicalPlan::Projection(projection) => {
            return projected(projection, limited(&projection.input, skip, fetch, outer)?);
        }
        LogicalPlan::SubqueryAlias(alias) => {
            return renamed(alias, limited(&alias.input, skip, fetch, outer)?);
        }
        _ => {}
    }
    let (below, order) = match input {
        LogicalPlan::Sort(sort) => (sort.input.as_ref(), sort.expr.clone()),
        other => (other, Vec::new()),
    };
    if order.iter().any(|s| asks(&s.expr)) {
        return Err(refused("ORDER BY columns of the left side"));
    }
    let (inner, keys) = pull(below, outer)?;
    let partition: Vec<Expr> = keys.iter().cloned().map(Expr::Column).collect();
    let Some(first) = partition.first() else {
        return Err(refused("a tie to the left side above the LIMIT"));
    };
    // Any rows of a key, if nothing orders them.
    let order = match order.is_empty() {
        true => vec![SortExpr::new(first.clone(), true, false)],
        false => order,
    };
    let number = window_function("row_number").ok_or_else(|| Error::internal("ROW_NUMBER is gone"))?;
    let call =
        datafusion_expr::expr::WindowFunction::new(WindowFunctionDefinition::WindowUDF(number), Vec::new());
    let call = Expr::from(call)
        .partition_by(partition)
        .order_by(order)
        .window_frame(WindowFrame::new(Some(true)))
        .build()?;
    let kept = columns_of(inner.schema());
    let plan = LogicalPlanBuilder::from(inner).window(vec![call])?.build()?;
    let schema = plan.schema();
    let rank = Expr::Column(Column::from(schema.qualified_field(schema.fields().len() - 1)));
    let bound = |n: u64| lit(i64::try_from(n).unwrap_or(i64::MAX));
    let mut condition = rank.clone().lt_eq(bound(skip.saturating_add(fetch)));
    if skip > 0 {
        condition = condition.and(rank.gt(bound(skip)));
    }
    Ok((LogicalPlanBuilder::from(plan).filter(condition)?.project(kept)?.build()?, keys))
}
