//! Filters move towards the sources, and keep their order.
//!
//! DataFusion's own rule sorts conditions by cost and merges ranges. Here the conditions of a filter are a list
//! in the order of the query, and each moves down as far as it may:
//!
//! * One that cannot fail moves past everything that leaves its rows as they are.
//! * One that can fail moves only if all before it move to the same place: they guard it. A join that drops rows
//!   guards what stands above it. There the condition stays, and a copy that lets pass what fails
//!   ([`super::guard::maybe`]) goes down in its place, so that a lookup is still not asked in vain.
//!
//! Equalities of a join become its keys, which are computed for all rows of a side. One that can fail and is
//! guarded is computed where its guards of the same side hold, and is no key if others guard it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, DFSchemaRef, JoinType, Result};
use datafusion_expr::logical_plan::{Distinct, Filter, Join, Projection, Window};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, Extension, LogicalPlan, Operator};
use datafusion_optimizer::optimizer::ApplyOrder;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

use crate::function::tree::Tree;

use super::call::has_call;
use super::guard::{can_fail, is_late, late, maybe, only_where};
use super::lookup_join::is_lookup_side;

/// The rule.
#[derive(Debug)]
pub(super) struct PushFilters;

impl OptimizerRule for PushFilters {
    fn name(&self) -> &str {
        "push_filters"
    }
    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }
    fn supports_rewrite(&self) -> bool {
        true
    }
    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(join) => push_into_join(join, Vec::new()),
            LogicalPlan::Filter(filter) => push(filter),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// A plan below a filter, if there is anything to filter by.
fn filtered(conditions: Vec<Expr>, plan: LogicalPlan) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        None => Ok(plan),
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
    }
}

/// Those that move and those that stay: one that can fail stays behind the first that does.
fn split(conditions: Vec<Expr>, schema: &DFSchema, moves: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    let (mut down, mut stay) = (Vec::new(), Vec::new());
    for condition in conditions {
        match moves(&condition) && (stay.is_empty() || !can_fail(&condition, schema)) {
            true => down.push(condition),
            false => stay.push(condition),
        }
    }
    (down, stay)
}

/// Replaces columns by what they are below.
fn replaced(conditions: Vec<Expr>, by: &HashMap<Column, Expr>) -> Result<Vec<Expr>> {
    let replace = |condition: Expr| {
        let moved = condition.transform_up(|e| match &e {
            Expr::Column(column) => Ok(match by.get(column) {
                Some(below) => Transformed::yes(below.clone()),
                None => Transformed::no(e),
            }),
            _ => Ok(Transformed::no(e)),
        });
        Ok(moved?.data)
    };
    conditions.into_iter().map(replace).collect()
}

/// The columns of one schema and those at the same positions of another.
fn renamed(from: &DFSchemaRef, to: &DFSchemaRef) -> HashMap<Column, Expr> {
    from.columns().into_iter().zip(to.columns().into_iter().map(Expr::Column)).collect()
}

fn push(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    // Rows that LIMIT counts are those before the filter.
    if filter.input.fetch()?.is_some() || filter.input.skip()?.is_some() {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let conditions = split_conjunction_owned(filter.predicate.clone());
    let schema = filter.input.schema().clone();
    // Calls of functions that wait are made where they stand, for the rows that are left there.
    if conditions.iter().any(has_call) {
        let mut behind = false;
        let (stay, down): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|condition| {
            behind |= has_call(condition);
            has_call(condition) || (behind && can_fail(condition, &schema))
        });
        if down.is_empty() {
            return Ok(Transformed::no(filtered(stay, Arc::unwrap_or_clone(filter.input))?));
        }
        let input = match filtered(down, Arc::unwrap_or_clone(filter.input))? {
            LogicalPlan::Filter(filter) => push(filter)?.data,
            other => other,
        };
        return Ok(Transformed::yes(filtered(stay, input)?));
    }
    match Arc::unwrap_or_clone(filter.input) {
        LogicalPlan::Filter(below) => {
            let mut all = split_conjunction_owned(below.predicate);
            for condition in conditions {
                if !all.contains(&condition) {
                    all.push(condition);
                }
            }
            let merged = filtered(all, Arc::unwrap_or_clone(below.input))?;
            match merged {
                LogicalPlan::Filter(merged) => Ok(Transformed::yes(push(merged)?.data)),
                other => Ok(Transformed::yes(other)),
            }
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = Arc::new(filtered(conditions, Arc::unwrap_or_clone(input))?);
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::All(input))))
        }
        LogicalPlan::Sort(mut sort) => {
            sort.input = Arc::new(filtered(conditions, Arc::unwrap_or_clone(sort.input))?);
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            let conditions = replaced(conditions, &renamed(&alias.schema, alias.input.schema()))?;
            alias.input = Arc::new(filtered(conditions, Arc::unwrap_or_clone(alias.input))?);
            Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
        }
        LogicalPlan::Projection(projection) => push_into_projection(conditions, projection),
        LogicalPlan::Union(mut union) => {
            for input in &mut union.inputs {
                let conditions = replaced(conditions.clone(), &renamed(&union.schema, input.schema()))?;
                *input = Arc::new(filtered(conditions, Arc::unwrap_or_clone(input.clone()))?);
            }
            Ok(Transformed::yes(LogicalPlan::Union(union)))
        }
        LogicalPlan::Aggregate(mut aggregate) => {
            // A column of the groups is what is grouped by, and every group has a row.
            let keys: HashMap<Column, Expr> = aggregate
                .group_expr
                .iter()
                .filter(|key| !matches!(key, Expr::GroupingSet(_)))
                .map(|key| {
                    let (qualifier, name) = key.qualified_name();
                    (Column::new(qualifier, name), key.clone().unalias())
                })
                .collect();
            let (down, stay) = split(conditions, &schema, |c| of_columns(c, |c| keys.contains_key(c)));
            if down.is_empty() {
                return Ok(Transformed::no(filtered(stay, LogicalPlan::Aggregate(aggregate))?));
            }
            let down = replaced(down, &keys)?;
            aggregate.input = Arc::new(filtered(down, Arc::unwrap_or_clone(aggregate.input))?);
            Ok(Transformed::yes(filtered(stay, LogicalPlan::Aggregate(aggregate))?))
        }
        LogicalPlan::Window(mut window) => {
            let keys = partition_keys(&window);
            let (down, stay) = split(conditions, &schema, |c| of_columns(c, |c| keys.contains(c)));
            if down.is_empty() {
                return Ok(Transformed::no(filtered(stay, LogicalPlan::Window(window))?));
            }
            window.input = Arc::new(filtered(down, Arc::unwrap_or_clone(window.input))?);
            Ok(Transformed::yes(filtered(stay, LogicalPlan::Window(window))?))
        }
        LogicalPlan::Join(join) => push_into_join(join, conditions),
        LogicalPlan::Extension(Extension { node }) if !node.inputs().is_empty() => {
            let kept = node.prevent_predicate_push_down_columns();
            let moves = |c: &Expr| !c.column_refs().iter().any(|c| kept.contains(&c.name));
            let (down, stay) = split(conditions, &schema, moves);
            let plan = LogicalPlan::Extension(Extension { node });
            if down.is_empty() {
                return Ok(Transformed::no(filtered(stay, plan)?));
            }
            let inputs = plan.inputs().into_iter().cloned();
            let inputs = inputs.map(|input| filtered(down.clone(), input)).collect::<Result<_>>()?;
            let plan = plan.with_new_exprs(plan.expressions(), inputs)?;
            Ok(Transformed::yes(filtered(stay, plan)?))
        }
        other => Ok(Transformed::no(filtered(conditions, other)?)),
    }
}

/// Whether a condition is one of these columns alone, and of one at least.
fn of_columns(condition: &Expr, is: impl Fn(&Column) -> bool) -> bool {
    let columns = condition.column_refs();
    !columns.is_empty() && columns.into_iter().all(is)
}

fn push_into_projection(
    conditions: Vec<Expr>,
    mut projection: Projection,
) -> Result<Transformed<LogicalPlan>> {
    let made_of: HashMap<Column, Expr> = projection
        .schema
        .columns()
        .into_iter()
        .zip(projection.expr.iter().map(|e| e.clone().unalias()))
        .collect();
    // Another call would give another value.
    let moves = |c: &Expr| {
        !c.column_refs().iter().any(|column| made_of.get(column).is_some_and(|below| below.is_volatile()))
    };
    let (down, stay) = split(conditions, &projection.schema, moves);
    if down.is_empty() {
        return Ok(Transformed::no(filtered(stay, LogicalPlan::Projection(projection))?));
    }
    let down = replaced(down, &made_of)?;
    projection.input = Arc::new(filtered(down, Arc::unwrap_or_clone(projection.input))?);
    Ok(Transformed::yes(filtered(stay, LogicalPlan::Projection(projection))?))
}

/// Columns that all functions of a window partition by.
fn partition_keys(window: &Window) -> HashSet<Column> {
    let keys = window.window_expr.iter().map(|e| match e.clone().unalias() {
        Expr::WindowFunction(function) => {
            function.params.partition_by.iter().filter_map(|e| e.try_as_col().cloned()).collect()
        }
        _ => HashSet::new(),
    });
    keys.reduce(|a: HashSet<Column>, b| a.intersection(&b).cloned().collect()).unwrap_or_default()
}

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// What becomes of the conditions of a join and of those above it.
struct Pushing<'a> {
    join: &'a Join,
    lookup: bool,
    left: Vec<Expr>,
    right: Vec<Expr>,
    /// Conditions of the join.
    on: Vec<Expr>,
    /// Conditions above it.
    above: Vec<Expr>,
    changed: bool,
}

impl Pushing<'_> {
    fn side(&self, condition: &Expr) -> Option<Side> {
        let columns = condition.column_refs();
        let all = |schema: &DFSchema| columns.iter().all(|c| schema.has_column(c));
        match (all(self.join.left.schema()), all(self.join.right.schema())) {
            (true, _) => Some(Side::Left),
            (false, true) => Some(Side::Right),
            (false, false) => None,
        }
    }

    fn can_fail(&self, condition: &Expr) -> bool {
        let both = self.join.left.schema().join(self.join.right.schema());
        // Columns of equal names on both sides: what each side says is right.
        both.map_or(true, |schema| can_fail(condition, &schema))
    }

    fn push(&mut self, side: Side, condition: Expr) {
        self.changed = true;
        let pushed = if side == Side::Left { &mut self.left } else { &mut self.right };
        if !pushed.contains(&condition) {
            pushed.push(condition);
        }
    }

    /// A condition of ON. `before`: the sides of those before it.
    fn on(&mut self, condition: Expr, before: &[Option<Side>]) -> Result<()> {
        if has_call(&condition) {
            self.on.push(condition);
            return Ok(());
        }
        let side = self.side(&condition);
        let (left, right) = self.join.join_type.on_lr_is_preserved();
        let moves = match side {
            Some(Side::Left) => left,
            Some(Side::Right) => right,
            None => false,
        };
        if is_late(&condition) || !self.can_fail(&condition) {
            match side.filter(|_| moves && !is_late(&condition)) {
                Some(side) => self.push(side, condition),
                None => self.on.push(condition),
            }
            return Ok(());
        }
        let guarded = !self.join.on.is_empty() || before.iter().any(|b| *b != side);
        match side {
            Some(side) if moves && !guarded => self.push(side, condition),
            // What a lookup found is looked at when it is found, but not before what both sides say.
            Some(Side::Right) if moves && self.lookup => match before.contains(&None) {
                true => self.on.push(condition),
                false => self.push(Side::Right, condition),
            },
            Some(side) if moves => {
                self.push(side, maybe(condition.clone()));
                self.on.push(late(condition));
            }
            // It decides whether a lookup is asked.
            Some(Side::Left) if self.lookup && guarded => {
                self.changed = true;
                self.on.extend([maybe(condition.clone()), late(condition)]);
            }
            Some(_) => self.on.push(condition),
            None => {
                let condition = self.equality(condition, before)?;
                self.on.push(condition);
            }
        }
        Ok(())
    }

    /// A condition on both sides that can fail. If it is an equality, its sides are computed before the join.
    fn equality(&mut self, condition: Expr, before: &[Option<Side>]) -> Result<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &condition else { return Ok(condition) };
        if !matches!(op, Operator::Eq | Operator::IsNotDistinctFrom) {
            return Ok(condition);
        }
        let others = !self.join.on.is_empty() || before.contains(&None);
        if others && !self.lookup {
            self.changed = true;
            return Ok(late(condition));
        }
        let mut computed = |expr: &Expr| -> Expr {
            let side = self.side(expr);
            let guards: Vec<Expr> =
                self.on.iter().filter(|g| side.is_some() && self.side(g) == side).cloned().collect();
            if guards.is_empty() || matches!(expr, Expr::Case(_)) || !self.can_fail(expr) {
                return expr.clone();
            }
            self.changed = true;
            only_where(guards, expr.clone())
        };
        let (left, right) = (computed(left), computed(right));
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
    }

    /// A condition above the join. `before`: the sides of those before it.
    fn above(&mut self, condition: Expr, before: &[Option<Side>]) {
        let side = self.side(&condition);
        let moves = match (side, self.join.join_type) {
            (Some(_), JoinType::Inner) => true,
            (Some(Side::Left), kind) => {
                matches!(kind, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
            }
            (Some(Side::Right), kind) => matches!(
                kind,
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
            ),
            (None, _) => false,
        };
        let inner = self.join.join_type == JoinType::Inner;
        if is_late(&condition) {
            self.above.push(condition);
        } else if !self.can_fail(&condition) {
            match side {
                Some(side) if moves => self.push(side, condition),
                None if inner && is_join_condition(&condition) => {
                    self.changed = true;
                    self.on.push(condition);
                }
                _ => self.above.push(condition),
            }
        } else if let (Some(side), true) = (side, moves) {
            let keeps_all = matches!(
                self.join.join_type,
                JoinType::Left | JoinType::Right | JoinType::LeftMark | JoinType::RightMark
            );
            if keeps_all && before.iter().all(|b| *b == Some(side)) {
                self.push(side, condition);
            } else {
                self.push(side, maybe(condition.clone()));
                self.above.push(late(condition));
            }
        } else if side.is_none() && inner && self.above.is_empty() && is_join_condition(&condition) {
            self.changed = true;
            self.on.push(match is_equality(&condition) && (!before.is_empty() || !self.on.is_empty()) {
                true if !self.lookup => late(condition),
                _ => condition,
            });
        } else {
            self.above.push(condition);
        }
    }

    /// What an equality of columns says about the other side of an inner join.
    fn infer(&mut self) {
        if self.join.join_type != JoinType::Inner || self.join.null_aware {
            return;
        }
        let equal = |l: &Expr, r: &Expr| Some((l.try_as_col()?.clone(), r.try_as_col()?.clone()));
        let keys = self.join.on.iter().filter_map(|(l, r)| equal(l, r));
        let on = self.on.iter().filter_map(|e| match e {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => equal(left, right),
            _ => None,
        });
        let pairs: Vec<(Column, Column)> = keys.chain(on).collect();
        let to = |from: &DFSchema| -> HashMap<Column, Expr> {
            let both = pairs.iter().flat_map(|(a, b)| [(a, b), (b, a)]);
            both.filter(|(a, _)| from.has_column(a))
                .map(|(a, b)| (a.clone(), Expr::Column(b.clone())))
                .collect()
        };
        let sides = [(Side::Left, self.join.left.schema()), (Side::Right, self.join.right.schema())];
        let mut inferred = Vec::new();
        for (side, schema) in sides {
            if side == Side::Left && self.lookup {
                continue;
            }
            let by = to(schema);
            let known = if side == Side::Left { &self.left } else { &self.right };
            for condition in known.iter().filter(|c| of_columns(c, |c| by.contains_key(c))) {
                if condition.is_volatile() || self.can_fail(condition) {
                    continue;
                }
                let other = if side == Side::Left { Side::Right } else { Side::Left };
                if let Ok(mut moved) = replaced(vec![condition.clone()], &by) {
                    inferred.extend(moved.pop().map(|condition| (other, condition)));
                }
            }
        }
        inferred.into_iter().for_each(|(side, condition)| self.push(side, condition));
    }

    /// What an OR over both sides says about each.
    fn branches(&mut self) {
        let (on_left, on_right) = self.join.join_type.on_lr_is_preserved();
        let inner = self.join.join_type == JoinType::Inner;
        let above = self.above.iter().filter(|_| inner);
        let all: Vec<Expr> = self.on.iter().chain(above).filter(|c| !self.can_fail(c)).cloned().collect();
        for condition in all {
            for (side, allowed) in [(Side::Left, on_left), (Side::Right, on_right && !self.lookup)] {
                if allowed
                    && matches!(&condition, Expr::BinaryExpr(b) if b.op == Operator::Or)
                    && let Some(part) = self.part(&condition, side)
                {
                    let pushed = if side == Side::Left { &mut self.left } else { &mut self.right };
                    if !pushed.contains(&part) {
                        pushed.push(part);
                    }
                }
            }
        }
    }

    /// The part of a condition that is about one side.
    fn part(&self, condition: &Expr, side: Side) -> Option<Expr> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                Some(self.part(left, side)?.or(self.part(right, side)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                match (self.part(left, side), self.part(right, side)) {
                    (Some(l), Some(r)) => Some(l.and(r)),
                    (one, other) => one.or(other),
                }
            }
            other => (of_columns(other, |_| true) && self.side(other) == Some(side)).then(|| other.clone()),
        }
    }
}

fn is_equality(condition: &Expr) -> bool {
    matches!(condition, Expr::BinaryExpr(b) if matches!(b.op, Operator::Eq | Operator::IsNotDistinctFrom))
}

/// Whether a condition can be one of a join: no subquery is in it.
fn is_join_condition(condition: &Expr) -> bool {
    let subquery = condition.exists(|e| {
        Ok(matches!(
            e,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        ) || matches!(e, Expr::OuterReferenceColumn(..)))
    });
    !subquery.unwrap_or(true)
}

fn push_into_join(mut join: Join, conditions: Vec<Expr>) -> Result<Transformed<LogicalPlan>> {
    let filter = join.filter.take();
    if filter.is_none() && conditions.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let lookup = is_lookup_side(&join.right);
    let (left, right, on, above) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut pushing = Pushing { join: &join, lookup, left, right, on, above, changed: false };
    let mut before = Vec::new();
    for condition in filter.map(split_conjunction_owned).unwrap_or_default() {
        let side = pushing.side(&condition);
        pushing.on(condition, &before)?;
        before.push(side);
    }
    if join.join_type != JoinType::Inner {
        before.clear();
    }
    for condition in conditions {
        let side = pushing.side(&condition);
        pushing.above(condition, &before);
        before.push(side);
    }
    pushing.infer();
    if pushing.changed {
        pushing.branches();
    }
    let Pushing { left, right, on, above, changed, .. } = pushing;
    join.filter = conjunction(on);
    if !changed {
        return Ok(Transformed::no(filtered(above, LogicalPlan::Join(join))?));
    }
    join.left = Arc::new(filtered(left, Arc::unwrap_or_clone(join.left))?);
    join.right = Arc::new(filtered(right, Arc::unwrap_or_clone(join.right))?);
    Ok(Transformed::yes(filtered(above, LogicalPlan::Join(join))?))
}
