//! Which conditions guard which: what a query says first is decided first.
//!
//! A condition that can fail (`CAST(s AS INT) > 10`) may be evaluated for a row only if all that stands before
//! it (conjuncts to its left, filters of subqueries, the joins it is above) lets the row pass. Conditions that
//! cannot fail are free to move. Within one expression [`crate::operator::guard`] sees to it; here conditions are
//! made ready for DataFusion's rewrites, which know nothing of this, and [`super::push_filter`] moves them.
//!
//! | | |
//! |---|---|
//! | `SUM(x) FILTER (WHERE c)`, x can fail | `SUM(CASE WHEN c THEN x END) FILTER (WHERE c)` |
//! | `x IN (Q) AND y`, y can fail | a filter `y` above the one with the subquery, which becomes a join |
//! | `(a AND x) OR (b AND x)`, x can fail | the two x are made different: no `x AND (a OR b)` |
//!
//! `$late(x)` is `x` at its place: no rewrite looks into it. `$maybe(x)` is x, or TRUE where x fails: a filter
//! for rows that are surely not wanted, which may be evaluated too early. What stands at the right place decides.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, Case, Sort, WindowFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::Filter;
use datafusion_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Result;
use crate::function::tree::{PlanTree, Tree};
use crate::operator::guard::{LATE, MAYBE, is_comparison};

/// Functions that give a value for all arguments of their types.
const SAFE: &[&str] = &[
    "$as_of",
    "$earlier",
    "$later",
    "$maybe",
    "array",
    "array_contains",
    "ascii",
    "cardinality",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_watermark",
    "endswith",
    "extract",
    "get_field",
    "greatest",
    "initcap",
    "instr",
    "is_alpha",
    "is_decimal",
    "is_digit",
    "least",
    "left",
    "localtimestamp",
    "locate",
    "lower",
    "ltrim",
    "md5",
    "named_struct",
    "nullif",
    "position",
    "proctime",
    "rand",
    "replace",
    "reverse",
    "right",
    "row",
    "rtrim",
    "sha1",
    "sha256",
    "sign",
    "split_index",
    "startswith",
    "substring",
    "trim",
    "try_cast",
    "typeof",
    "upper",
    "uuid",
];

/// A cast that gives a value for all values.
fn is_safe_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let rank = |t: &DataType| match t {
        Int8 => Some(1),
        Int16 => Some(2),
        Int32 => Some(3),
        Int64 => Some(4),
        _ => None,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) | (_, Utf8 | Utf8View | LargeUtf8) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Timestamp(..) | Date32) => true,
        (from, Float32 | Float64) => rank(from).is_some() || matches!(from, Float32 | Decimal128(..)),
        (from, Decimal128(precision, scale)) => {
            let digits = [0, 3, 5, 10, 19];
            let whole = i32::from(*precision) - i32::from(*scale);
            match from {
                Decimal128(p, s) => s <= scale && i32::from(*p) - i32::from(*s) <= whole,
                from => rank(from).is_some_and(|rank| digits[rank] <= whole),
            }
        }
        (from, to) => rank(from).zip(rank(to)).is_some_and(|(from, to)| from <= to),
    }
}

/// Whether the value of an expression itself may fail to be computed, its operands apart.
#[expect(deprecated, reason = "COUNT(*) is written with it")]
fn step_can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let type_of = |e: &Expr| e.get_type(schema).unwrap_or(DataType::Null);
    match expr {
        Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Case(_)
        | Expr::TryCast(_)
        | Expr::Wildcard { .. } => false,
        Expr::Like(like) => !matches!(like.pattern.as_ref(), Expr::Literal(..)),
        Expr::Cast(cast) => !is_safe_cast(&type_of(&cast.expr), cast.field.data_type()),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            op if is_comparison(op) || op.is_logic_operator() => false,
            Operator::StringConcat => false,
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide => {
                let (l, r) = (type_of(left), type_of(right));
                let time = |t: &DataType| t.is_temporal() || matches!(t, DataType::Interval(_));
                !((l.is_floating() && r.is_floating()) || (time(&l) && time(&r)))
            }
            _ => true,
        },
        Expr::ScalarFunction(call) => match call.name() {
            "cast" => {
                !matches!(type_of(expr), DataType::Utf8 | DataType::Utf8View)
                    && !call.args.first().is_some_and(|a| is_safe_cast(&type_of(a), &type_of(expr)))
            }
            name => !SAFE.contains(&name.to_ascii_lowercase().as_str()),
        },
        _ => true,
    }
}

/// Whether an expression may fail for some row.
pub(super) fn can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    // What is in `$maybe` may fail as it likes.
    if is_call(expr, MAYBE) {
        return false;
    }
    let mut fails = step_can_fail(expr, schema);
    if !fails {
        let _ = expr.apply_children(|child| {
            fails |= can_fail(child, schema);
            Ok(match fails {
                true => datafusion_common::tree_node::TreeNodeRecursion::Stop,
                false => datafusion_common::tree_node::TreeNodeRecursion::Continue,
            })
        });
    }
    fails
}

/// A mark around a condition.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        self.name
    }
    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        Ok(args.first().map(|a| a.schema_name().to_string()).unwrap_or_default())
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }
    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        Some((Vec::new(), args.iter().collect()))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(args.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Boolean(None))))
    }
}

fn mark(name: &'static str, args: Vec<Expr>) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    ScalarUDF::new_from_impl(Mark { name, signature }).call(args)
}

fn is_call(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == name)
}

/// A condition at its place.
pub(super) fn late(condition: Expr) -> Expr {
    if is_late(&condition) { condition } else { mark(LATE, vec![condition]) }
}

/// Whether a condition keeps its place.
pub(super) fn is_late(condition: &Expr) -> bool {
    is_call(condition, LATE)
}

/// A condition that lets a row pass if it fails.
pub(super) fn maybe(condition: Expr) -> Expr {
    mark(MAYBE, vec![condition])
}

/// `value` where the guards are TRUE, else NULL.
pub(super) fn only_where(guards: Vec<Expr>, value: Expr) -> Expr {
    match conjunction(guards) {
        None => value,
        Some(guard) => Expr::Case(Case::new(None, vec![(Box::new(guard), Box::new(value))], None)),
    }
}

/// Makes a plan ready for rewrites that know nothing of guards.
pub(super) fn prepare(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut number = 0;
    let prepared = plan.transform_all_up(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_own(|e| {
            let name = names.save(&e);
            let e = filtered(e, &schema)?;
            let e = e.transform_data(|e| distinct_factors(e, &schema, &mut number))?;
            Ok(e.update_data(|e| name.restore(e)))
        })?;
        node.transform_data(layers)
    })?;
    Ok(prepared.data)
}

/// The arguments of an aggregate with FILTER are looked at where the filter is TRUE.
fn filtered(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let guard = |args: &mut Vec<Expr>, orders: &mut Vec<Sort>, filter: &Option<Box<Expr>>| {
        let Some(filter) = filter else { return false };
        let mut guarded = false;
        let orders = orders.iter_mut().map(|order| &mut order.expr);
        for arg in args.iter_mut().chain(orders).filter(|a| can_fail(a, schema)) {
            *arg = only_where(vec![filter.as_ref().clone()], arg.clone());
            guarded = true;
        }
        guarded
    };
    expr.transform_up(|e| match e {
        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
            let changed = guard(&mut params.args, &mut params.order_by, &params.filter);
            Ok(Transformed::new_transformed(
                Expr::AggregateFunction(AggregateFunction { func, params }),
                changed,
            ))
        }
        Expr::WindowFunction(function) => {
            let WindowFunction { fun, mut params } = *function;
            let changed = guard(&mut params.args, &mut Vec::new(), &params.filter);
            let function = Expr::WindowFunction(Box::new(WindowFunction { fun, params }));
            Ok(Transformed::new_transformed(function, changed))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// A conjunct that can fail and stands in both branches of an OR is not pulled out of them.
fn distinct_factors(expr: Expr, schema: &DFSchema, number: &mut i64) -> DfResult<Transformed<Expr>> {
    expr.transform_up(|e| {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = e else {
            return Ok(Transformed::no(e));
        };
        let known = split_conjunction_owned(left.as_ref().clone());
        let twice = |c: &Expr| known.contains(c) && can_fail(c, schema) && !is_late(c);
        let conjuncts = split_conjunction_owned(right.as_ref().clone());
        if !conjuncts.iter().any(twice) {
            let or = BinaryExpr { left, op: Operator::Or, right };
            return Ok(Transformed::no(Expr::BinaryExpr(or)));
        }
        let marked = conjuncts.into_iter().map(|c| match twice(&c) {
            true => {
                *number += 1;
                mark(LATE, vec![c, Expr::Literal(ScalarValue::Int64(Some(*number)), None)])
            }
            false => c,
        });
        let right = Box::new(marked.reduce(Expr::and).unwrap_or(*right));
        Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right })))
    })
}

fn has_subquery(expr: &Expr) -> bool {
    let is = |e: &Expr| {
        matches!(e, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
    };
    expr.exists(|e| Ok(is(e))).unwrap_or(false)
}

/// A condition that can fail and stands behind one with a subquery is a filter above it.
fn layers(node: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
    let schema = filter.input.schema().clone();
    let mut layers: Vec<Vec<Expr>> = vec![Vec::new()];
    let mut asked = false;
    for conjunct in split_conjunction_owned(filter.predicate.clone()) {
        let subquery = has_subquery(&conjunct);
        if asked && !subquery && can_fail(&conjunct, &schema) {
            layers.push(Vec::new());
            asked = false;
        }
        asked |= subquery;
        if let Some(layer) = layers.last_mut() {
            layer.push(conjunct);
        }
    }
    if layers.len() == 1 {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let mut plan = filter.input;
    for predicate in layers.into_iter().filter_map(conjunction) {
        plan = Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, plan)?));
    }
    Ok(Transformed::yes(Arc::unwrap_or_clone(plan)))
}
