//! What IN, EXISTS, ANY and ALL are worth: TRUE, FALSE or NULL, computed from scalar subqueries.
//!
//! | written | computed |
//! |---|---|
//! | `EXISTS (Q)` | `(SELECT COUNT(*) FROM Q) > 0` |
//! | `x IN (Q)` | TRUE if rows of Q equal x; else NULL if x is NULL and Q has rows, or one of Q is NULL |
//! | `x > ANY (Q)` | `x > (SELECT MIN(q) FROM Q)`, NULL where NULLs may decide |
//! | `x > ALL (Q)` | `x > (SELECT MAX(q) FROM Q)`, TRUE over nothing |
//!
//! What Q holds is one number: `MAX(CASE WHEN q IS NULL THEN 2 ELSE 1 END)` is NULL over no rows.

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, ExprSchema, Result as DfResult, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, Case, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, lit};

use crate::error::{Error, Result};
use crate::function::tree::Tree;

/// `= ANY` is IN, `<> ALL` is NOT IN; other comparisons become values.
pub(super) fn comparisons(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let rewritten = expr.transform_up(|e| match e {
        Expr::SetComparison(set) => Ok(Transformed::yes(match (set.op, &set.quantifier) {
            (Operator::Eq, SetQuantifier::Any) => {
                Expr::InSubquery(InSubquery { expr: set.expr, subquery: set.subquery, negated: false })
            }
            (Operator::NotEq, SetQuantifier::All) => {
                Expr::InSubquery(InSubquery { expr: set.expr, subquery: set.subquery, negated: true })
            }
            _ => compared(set, schema)?,
        })),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Every IN, EXISTS, ANY and ALL of an expression as a value.
pub(super) fn values(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = comparisons(expr, schema)?;
    let rewritten = expr.transform_up(|e| match e {
        Expr::Exists(Exists { subquery, negated }) => {
            let exists = any_row(subquery.subquery.as_ref().clone(), &subquery)?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(exists)) } else { exists }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let value = in_value(*expr, &subquery, schema)?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(value)) } else { value }))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The scalar subquery of one aggregate over a plan.
pub(super) fn scalar(plan: LogicalPlan, of: &Subquery, function: &str, argument: Expr) -> DfResult<Expr> {
    let function = crate::function::aggregate::aggregate(function)
        .ok_or_else(|| Error::internal(format!("the aggregate {function} is gone")))?;
    let call = AggregateFunction::new_udf(function, vec![argument], false, None, Vec::new(), None);
    let plan = LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(call)])?
        .build()?;
    let value = Expr::Column(Column::from(plan.schema().qualified_field(0))).alias("$value");
    let plan = LogicalPlanBuilder::from(plan).project(vec![value])?.build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Expr::ScalarSubquery(Subquery { subquery: plan.into(), outer_ref_columns, spans: of.spans.clone() }))
}

/// Whether a plan has rows: never NULL.
fn any_row(plan: LogicalPlan, of: &Subquery) -> DfResult<Expr> {
    Ok(Expr::IsTrue(Box::new(scalar(plan, of, "count", lit(1i64))?.gt(lit(0i64)))))
}

/// The only column of a subquery.
fn element(of: &Subquery) -> Expr {
    Expr::Column(Column::from(of.subquery.schema().qualified_field(0)))
}

/// 1 if there are rows, 2 if one of them is NULL, NULL if there are none.
fn content(of: &Subquery) -> DfResult<Expr> {
    let null = vec![(Box::new(element(of).is_null()), Box::new(lit(2i32)))];
    let argument = Expr::Case(Case::new(None, null, Some(Box::new(lit(1i32)))));
    scalar(of.subquery.as_ref().clone(), of, "max", argument)
}

/// The first value whose condition is TRUE, else the last.
fn choose(whens: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let whens = whens.into_iter().map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    Expr::Case(Case::new(None, whens, Some(Box::new(otherwise))))
}

fn unknown() -> Expr {
    Expr::Literal(ScalarValue::Boolean(None), None)
}

/// When the answer is NULL although nothing decides: x is NULL, or a row is.
fn undecided(x: &Expr, content: &Expr) -> [(Expr, Expr); 2] {
    [
        (content.clone().eq(lit(2i32)), unknown()),
        (x.clone().is_null().and(content.clone().is_not_null()), unknown()),
    ]
}

fn in_value(x: Expr, of: &Subquery, schema: &DFSchema) -> DfResult<Expr> {
    let moved = x.clone().transform_up(|e| match e {
        Expr::Column(column) => {
            let field = std::sync::Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let equal = LogicalPlanBuilder::from(of.subquery.as_ref().clone());
    let equal = equal.filter(element(of).eq(moved.data))?.build()?;
    let mut whens = vec![(any_row(equal, of)?, lit(true))];
    whens.extend(undecided(&x, &content(of)?));
    Ok(choose(whens, lit(false)))
}

/// `x op ANY (Q)` and `x op ALL (Q)` by the least and the greatest value of Q.
fn compared(set: SetComparison, _schema: &DFSchema) -> DfResult<Expr> {
    let SetComparison { expr, subquery, op, quantifier } = set;
    let x = *expr;
    let bound =
        |function| scalar(subquery.subquery.as_ref().clone(), &subquery, function, element(&subquery));
    let compare = |op, value: Expr| {
        Expr::BinaryExpr(datafusion_expr::BinaryExpr::new(Box::new(x.clone()), op, Box::new(value)))
    };
    let any = quantifier == SetQuantifier::Any;
    let holds = match (op, any) {
        (Operator::Gt | Operator::GtEq, true) | (Operator::Lt | Operator::LtEq, false) => {
            compare(op, bound("min")?)
        }
        (Operator::Lt | Operator::LtEq, true) | (Operator::Gt | Operator::GtEq, false) => {
            compare(op, bound("max")?)
        }
        (Operator::Eq, false) => compare(op, bound("min")?).and(compare(op, bound("max")?)),
        (Operator::NotEq, true) => compare(op, bound("min")?).or(compare(op, bound("max")?)),
        _ => {
            return Err(
                Error::unsupported(format!("{op} with ANY or ALL of a subquery is not supported")).into()
            );
        }
    };
    let content = content(&subquery)?;
    let [null_row, null_x] = undecided(&x, &content);
    Ok(match any {
        true => choose(vec![(holds, lit(true)), null_row, null_x], lit(false)),
        false => choose(
            vec![
                (content.is_null(), lit(true)),
                null_x,
                (Expr::IsFalse(Box::new(holds)), lit(false)),
                null_row,
            ],
            lit(true),
        ),
    })
}
