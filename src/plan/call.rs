//! Calls of functions that wait for their answers: they are taken out of expressions, and each is an operator below.
//!
//! ```text
//!  SELECT CASE WHEN a > 0 THEN f(a) ELSE 0 END      Projection  CASE WHEN a > 0 THEN $call0 ELSE 0 END
//!  FROM t WHERE b AND g(c) > 1                  ─>    FunctionCall  $call0 = f(a), where a > 0
//!                                                       Filter  $call1 > 1
//!                                                         FunctionCall  $call1 = g(c)
//!                                                           Filter  b
//! ```
//! - What guards a call in its expression (CASE, COALESCE, AND, OR) is its guard: a row that does not reach the call
//!   does not make it.
//! - The conditions of a filter are decided from left to right; those that cannot fail come before all calls.
//! - A call that stands twice in the expressions of a node, or in its filter, is made once.
//! - A call in the arguments of another is made before it.
//!
//! This comes after all logical rewrites. Until then a call is a volatile function, which they leave where it is.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result as DfResult, internal_err};
use datafusion_expr::expr::{BinaryExpr, Case, ScalarFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Aggregate, Filter, Join, Limit, Projection, Sort, Window};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlan, Operator, UserDefinedLogicalNodeCore};

use super::guard::can_fail;
use super::lookup_join::is_lookup_side;
use super::node::UnnestNode;
use crate::error::{Error, Result};
use crate::function::arithmetic::shown_expr;
use crate::function::tree::{PlanTree, Tree};
use crate::function::user::scalar::waiting_function;

/// The columns that calls give begin so.
const COLUMN: &str = "$call";

/// Each row with the result of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The call, its arguments over the input.
    pub call: ScalarFunction,
    /// A row for which it is not TRUE makes no call; its result is NULL.
    pub guard: Option<Expr>,
    /// The input's columns, then the result.
    pub schema: DFSchemaRef,
}

impl CallNode {
    fn try_new(input: LogicalPlan, call: ScalarFunction, guard: Option<Expr>, name: &str) -> DfResult<Self> {
        let data_type = Expr::ScalarFunction(call.clone()).get_type(input.schema())?;
        let field = (None, Arc::new(Field::new(name, data_type, true)));
        let fields = input.schema().iter().map(|(q, f)| (q.cloned(), f.clone())).chain([field]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(Self { input, call, guard, schema })
    }

    /// The column of the result.
    fn column(&self) -> Expr {
        let last = self.schema.fields().len().saturating_sub(1);
        Expr::Column(Column::from(self.schema.qualified_field(last)))
    }
}

impl PartialOrd for CallNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for CallNode {
    fn name(&self) -> &str {
        "FunctionCall"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        self.call.args.iter().chain(&self.guard).cloned().collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionCall: {}", shown_expr(&Expr::ScalarFunction(self.call.clone())))?;
        match &self.guard {
            Some(guard) => write!(f, ", where={}", shown_expr(guard)),
            None => Ok(()),
        }
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a call has one input");
        };
        let guard = if self.guard.is_some() { exprs.pop() } else { None };
        if exprs.len() != self.call.args.len() {
            return internal_err!("a call with another number of arguments");
        }
        let call = ScalarFunction { func: self.call.func.clone(), args: exprs };
        let last = self.schema.fields().len().saturating_sub(1);
        Self::try_new(input, call, guard, self.schema.field(last).name())
    }
}

/// Whether an expression calls a function that waits.
pub(super) fn has_call(expr: &Expr) -> bool {
    first_call(expr).is_some()
}

/// The name of the first function in an expression that waits.
fn first_call(expr: &Expr) -> Option<String> {
    let mut found = None;
    let _ = expr.exists(|e| {
        if let Expr::ScalarFunction(call) = e
            && let Some(function) = waiting_function(&call.func)
        {
            found.get_or_insert_with(|| function.name.clone());
        }
        Ok(found.is_some())
    });
    found
}

/// Refuses calls in an expression that is computed where nothing can wait.
pub(super) fn refuse_calls(expr: &Expr, place: &str) -> Result<()> {
    match first_call(expr) {
        None => Ok(()),
        Some(name) => Err(refused(&name, place)),
    }
}

fn refused(name: &str, place: &str) -> Error {
    Error::unsupported(format!("function '{name}' waits for its answers and cannot be called in {place}"))
        .with_hint(format!(
            "call it in the SELECT list of a subquery: FROM (SELECT *, {name}(...) AS answer FROM ...)"
        ))
}

/// Takes the calls out of a plan.
pub(super) fn take_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut any = false;
    plan.apply_all(|node| {
        any |= node.expressions().iter().any(has_call);
        Ok(if any {
            datafusion_common::tree_node::TreeNodeRecursion::Stop
        } else {
            datafusion_common::tree_node::TreeNodeRecursion::Continue
        })
    })?;
    if !any {
        return Ok(plan);
    }
    let mut number = 0;
    let plan = plan.transform_up(|node| Ok(taken_out(node, &mut number)?))?;
    Ok(plan.data)
}

fn taken_out(node: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Limit(limit) = node {
        return Ok(below_projection(limit)?);
    }
    let calls = || {
        let join = match &node {
            LogicalPlan::Join(join) => join.on.iter().any(|(l, r)| has_call(l) || has_call(r)),
            _ => false,
        };
        join || node.expressions().iter().any(has_call)
    };
    if !calls() {
        return Ok(Transformed::no(node));
    }
    let names: Vec<_> = node.schema().iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let plan = match node {
        LogicalPlan::Projection(projection) => {
            let names = NamePreserver::new_for_projection();
            let mut calls = Calls::above(projection.input, number);
            let mut exprs = Vec::with_capacity(projection.expr.len());
            for expr in projection.expr {
                let name = names.save(&expr);
                exprs.push(name.restore(calls.replace(expr, None)?));
            }
            let input = Arc::new(calls.plan);
            return Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, input)?)));
        }
        LogicalPlan::Filter(filter) => filtered(filter, number)?,
        LogicalPlan::Aggregate(aggregate) => {
            let mut calls = Calls::above(aggregate.input, number);
            if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)) && has_call(e)) {
                let name = aggregate.group_expr.iter().find_map(first_call).unwrap_or_default();
                return Err(refused(&name, "GROUPING SETS"));
            }
            let groups = calls.replace_all(aggregate.group_expr)?;
            let aggregates = calls.replace_all(aggregate.aggr_expr)?;
            LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(calls.plan), groups, aggregates)?)
        }
        LogicalPlan::Window(window) => {
            let inputs = window.input.schema().fields().len();
            let mut calls = Calls::new(Arc::unwrap_or_clone(window.input), number);
            let exprs = calls.replace_all(window.window_expr)?;
            let added = calls.plan.schema().fields().len() - inputs;
            let window = LogicalPlan::Window(Window::try_new(exprs, Arc::new(calls.plan))?);
            return Ok(Transformed::yes(named_without(window, &names, inputs..inputs + added)?));
        }
        LogicalPlan::Sort(sort) => {
            let mut calls = Calls::new(Arc::unwrap_or_clone(sort.input), number);
            let mut expr = Vec::with_capacity(sort.expr.len());
            for sort in sort.expr {
                let asc = sort.asc;
                let nulls_first = sort.nulls_first;
                expr.push(calls.replace(sort.expr, None)?.sort(asc, nulls_first));
            }
            LogicalPlan::Sort(Sort { expr, input: Arc::new(calls.plan), fetch: sort.fetch })
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            let (join, added) = joined(join, number)?;
            return Ok(Transformed::yes(named_without(join, &names, left..left + added)?));
        }
        LogicalPlan::Extension(Extension { node }) => match node.as_any().downcast_ref::<UnnestNode>() {
            Some(unnest) => {
                let inputs = unnest.input.schema().fields().len();
                let mut calls = Calls::new(unnest.input.clone(), number);
                let collection = calls.replace(unnest.collection.clone(), None)?;
                if let Some(name) = unnest.condition.as_ref().and_then(first_call) {
                    return Err(refused(&name, "the ON of a join with UNNEST"));
                }
                let added = calls.plan.schema().fields().len() - inputs;
                let condition = unnest.condition.clone();
                let elements = unnest.elements.clone();
                let made =
                    UnnestNode::try_new(calls.plan, collection, unnest.outer, unnest.ordinality, elements)?;
                let made = UnnestNode { condition, ..made };
                let plan = LogicalPlan::Extension(Extension { node: Arc::new(made) });
                return Ok(Transformed::yes(named_without(plan, &names, inputs..inputs + added)?));
            }
            None => {
                let name = node.expressions().iter().find_map(first_call).unwrap_or_default();
                let place = match node.name() {
                    "Watermark" => "a watermark".to_string(),
                    other => other.to_string(),
                };
                return Err(refused(&name, &place));
            }
        },
        other => {
            let name = other.expressions().iter().find_map(first_call).unwrap_or_default();
            let place = match &other {
                LogicalPlan::Values(_) => "VALUES",
                LogicalPlan::Distinct(_) => "DISTINCT ON",
                _ => "this place",
            };
            return Err(refused(&name, place));
        }
    };
    // What a node computes keeps its name, and calls are seen by nobody else.
    let kept = match &plan {
        LogicalPlan::Aggregate(_) => 0..0,
        other => names.len()..other.schema().fields().len(),
    };
    Ok(Transformed::yes(named_without(plan, &names, kept)?))
}

/// The columns of a plan but some, with these names.
fn named_without(
    plan: LogicalPlan,
    names: &[(Option<datafusion_common::TableReference>, Arc<Field>)],
    without: std::ops::Range<usize>,
) -> Result<LogicalPlan> {
    let columns = plan.schema().iter().enumerate().filter(|(i, _)| !without.contains(i));
    let columns: Vec<Expr> = columns
        .zip(names)
        .map(|((_, (qualifier, field)), (wanted, name))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match (qualifier, field.name()) == (wanted.as_ref(), name.name()) {
                true => column,
                false => column.alias_qualified(wanted.clone(), name.name()),
            }
        })
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// LIMIT above ORDER BY stays there: what drops the columns of calls comes above both.
fn below_projection(limit: Limit) -> DfResult<Transformed<LogicalPlan>> {
    if let LogicalPlan::Projection(projection) = limit.input.as_ref()
        && let LogicalPlan::Sort(sort) = projection.input.as_ref()
        && is_call(&sort.input)
    {
        let limit = LogicalPlan::Limit(Limit { input: projection.input.clone(), ..limit });
        let projection = Projection::try_new(projection.expr.clone(), Arc::new(limit))?;
        return Ok(Transformed::yes(LogicalPlan::Projection(projection)));
    }
    Ok(Transformed::no(LogicalPlan::Limit(limit)))
}

fn call_node(plan: &LogicalPlan) -> Option<&CallNode> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
        _ => None,
    }
}

fn is_call(plan: &LogicalPlan) -> bool {
    call_node(plan).is_some()
}

/// The conditions of a filter, from left to right, what cannot fail before all calls.
fn filtered(filter: Filter, number: &mut usize) -> Result<LogicalPlan> {
    let schema = filter.input.schema().clone();
    let (calls, plain): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(filter.predicate).into_iter().partition(has_call_or_behind(&schema));
    let mut plan = Arc::unwrap_or_clone(filter.input);
    let below = |plan: LogicalPlan, conditions: Vec<Expr>| -> Result<LogicalPlan> {
        match conjunction(conditions) {
            None => Ok(plan),
            Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        }
    };
    plan = below(plan, plain)?;
    for condition in calls {
        let mut made = Calls::new(plan, number);
        let condition = made.replace(condition, None)?;
        plan = below(made.plan, vec![condition])?;
    }
    Ok(plan)
}

/// The first condition with a call, and what stands behind it and can fail.
fn has_call_or_behind(schema: &DFSchema) -> impl FnMut(&Expr) -> bool + '_ {
    let mut behind = false;
    move |condition| {
        let calls = has_call(condition);
        behind |= calls;
        calls || (behind && can_fail(condition, schema))
    }
}

/// A join whose conditions have calls: those of one side are made below it. How many columns the left side gained comes
/// second.
fn joined(mut join: Join, number: &mut usize) -> Result<(LogicalPlan, usize)> {
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let looked_up = is_lookup_side(&join.right);
    let mut on_left = Calls::new(Arc::unwrap_or_clone(join.left), number);
    let mut on = Vec::with_capacity(join.on.len());
    for (l, r) in join.on {
        on.push((on_left.replace(l, None)?, r));
    }
    let of = |schema: &DFSchema, e: &Expr| e.column_refs().iter().all(|c| schema.has_column(c));
    let mut conditions = Vec::new();
    for condition in join.filter.map(split_conjunction_owned).unwrap_or_default() {
        // Calls of the left side alone; the right side's are replaced below.
        conditions.push(on_left.replace_where(condition, &|e| of(&left, e))?);
    }
    let added = on_left.plan.schema().fields().len() - left.fields().len();
    join.left = Arc::new(on_left.plan);
    let still = |e: &Expr| first_call(e);
    let left_over = on.iter().find_map(|(_, r)| still(r)).or_else(|| conditions.iter().find_map(still));
    if let (Some(name), true) = (&left_over, looked_up) {
        return Err(refused(name, "a condition on what a lookup join finds"));
    }
    let mut on_right = Calls::new(Arc::unwrap_or_clone(join.right), number);
    let mut keys = Vec::with_capacity(on.len());
    for (l, r) in on {
        keys.push((l, on_right.replace(r, None)?));
    }
    let mut filter = Vec::with_capacity(conditions.len());
    for condition in conditions {
        filter.push(on_right.replace_where(condition, &|e| of(&right, e))?);
    }
    if let Some(name) = filter.iter().find_map(still) {
        return Err(refused(&name, "the ON of a join with arguments of both sides"));
    }
    join.right = Arc::new(on_right.plan);
    let join = Join::try_new(
        join.left,
        join.right,
        keys,
        conjunction(filter),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok((LogicalPlan::Join(join), added))
}

/// The calls of one node's expressions, made above its input.
struct Calls<'a> {
    plan: LogicalPlan,
    number: &'a mut usize,
}

impl<'a> Calls<'a> {
    fn new(plan: LogicalPlan, number: &'a mut usize) -> Self {
        Self { plan, number }
    }

    /// For a node that says itself which columns it gives: those of calls in a filter below can be used again.
    fn above(plan: Arc<LogicalPlan>, number: &'a mut usize) -> Self {
        let plan = match plan.as_ref() {
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|e| matches!(e, Expr::Column(_)))
                    && matches!(projection.input.as_ref(), LogicalPlan::Filter(_))
                    && calls_below(&projection.input).next().is_some() =>
            {
                projection.input.as_ref().clone()
            }
            other => other.clone(),
        };
        Self { plan, number }
    }

    fn replace_all(&mut self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        exprs.into_iter().map(|e| self.replace(e, None)).collect()
    }

    /// The column of a call that is made; `guard`: for which rows it is.
    fn made(&mut self, call: ScalarFunction, guard: Option<Expr>) -> Result<Expr> {
        let known = calls_below(&self.plan)
            .find(|known| known.call == call && (known.guard.is_none() || known.guard == guard));
        if let Some(known) = known {
            return Ok(known.column());
        }
        let name = format!("{COLUMN}{}", self.number);
        *self.number += 1;
        let input = std::mem::take(&mut self.plan);
        let node = CallNode::try_new(input, call, guard, &name)?;
        let column = node.column();
        self.plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(column)
    }

    /// Replaces those calls of a condition whose columns are all of one side.
    fn replace_where(&mut self, condition: Expr, is: &dyn Fn(&Expr) -> bool) -> Result<Expr> {
        let replaced = condition.transform_down(|e| match &e {
            Expr::ScalarFunction(call) if waiting_function(&call.func).is_some() && is(&e) => {
                Ok(Transformed::new(
                    self.replace(e, None)?,
                    true,
                    datafusion_common::tree_node::TreeNodeRecursion::Jump,
                ))
            }
            _ => Ok(Transformed::no(e)),
        })?;
        Ok(replaced.data)
    }

    /// An expression with columns in the place of its calls.
    fn replace(&mut self, expr: Expr, guard: Option<Expr>) -> Result<Expr> {
        if !has_call(&expr) {
            return Ok(expr);
        }
        match expr {
            Expr::Case(case) => self.case(case, guard),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let left = self.replace(*left, guard.clone())?;
                let undecided = match op {
                    Operator::And => left.clone().is_not_false(),
                    _ => left.clone().is_not_true(),
                };
                let right = self.replace(*right, and(guard, undecided))?;
                Ok(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "coalesce" => {
                let (mut guard, mut replaced) = (guard, Vec::with_capacity(args.len()));
                for arg in args {
                    let arg = self.replace(arg, guard.clone())?;
                    guard = and(guard, arg.clone().is_null());
                    replaced.push(arg);
                }
                Ok(Expr::ScalarFunction(ScalarFunction { func, args: replaced }))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let args = args.into_iter().map(|a| self.replace(a, guard.clone()));
                let call = ScalarFunction { args: args.collect::<Result<_>>()?, func };
                match waiting_function(&call.func) {
                    Some(_) => self.made(call, guard),
                    None => Ok(Expr::ScalarFunction(call)),
                }
            }
            other => {
                let replaced =
                    other.map_children(|child| Ok(Transformed::yes(self.replace(child, guard.clone())?)))?;
                Ok(replaced.data)
            }
        }
    }

    fn case(&mut self, case: Case, guard: Option<Expr>) -> Result<Expr> {
        let operand = case.expr.map(|e| self.replace(*e, guard.clone())).transpose()?;
        let (mut left, mut branches) = (guard, Vec::with_capacity(case.when_then_expr.len()));
        for (when, then) in case.when_then_expr {
            let when = self.replace(*when, left.clone())?;
            let holds = match &operand {
                Some(operand) => operand.clone().eq(when.clone()),
                None => when.clone(),
            };
            let then = self.replace(*then, and(left.clone(), holds.clone()))?;
            left = and(left, holds.is_not_true());
            branches.push((Box::new(when), Box::new(then)));
        }
        let otherwise = case.else_expr.map(|e| self.replace(*e, left)).transpose()?;
        Ok(Expr::Case(Case::new(operand.map(Box::new), branches, otherwise.map(Box::new))))
    }
}

fn and(guard: Option<Expr>, more: Expr) -> Option<Expr> {
    Some(match guard {
        Some(guard) => guard.and(more),
        None => more,
    })
}

/// The calls whose columns a plan still has.
fn calls_below(plan: &LogicalPlan) -> impl Iterator<Item = &CallNode> {
    let mut next = Some(plan);
    std::iter::from_fn(move || {
        loop {
            match next? {
                LogicalPlan::Filter(filter) => next = Some(&filter.input),
                other => {
                    let call = call_node(other);
                    next = call.map(|call| &call.input);
                    return call;
                }
            }
        }
    })
}
