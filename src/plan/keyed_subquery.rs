//! A scalar subquery that finds its row by a primary key: `(SELECT nm FROM c WHERE c.cust = o.cust)`, where `cust` is the key
//! of `c`. There is one row at most, which is said by an aggregate: `(SELECT MAX(nm) FROM c WHERE ...)`.

use datafusion_common::Result as DfResult;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use crate::function::tree::{PlanTree, Tree};

use super::node::WatermarkNode;
use super::provider::RawTable;

/// Names of the columns of the primary key of the table that a plan gives row by row, under their own names.
fn key(plan: &LogicalPlan) -> Option<&[String]> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => key(&alias.input),
        LogicalPlan::Filter(filter) => key(&filter.input),
        LogicalPlan::Projection(projection) => {
            let names = key(&projection.input)?;
            let kept = names.iter().all(|name| {
                projection.expr.iter().any(|e| match e.clone().unalias_nested().data {
                    Expr::Column(column) => {
                        column.name == *name && e.schema_name().to_string().ends_with(name)
                    }
                    _ => false,
                })
            });
            kept.then_some(names)
        }
        LogicalPlan::Extension(extension) => {
            key(&extension.node.as_any().downcast_ref::<WatermarkNode>()?.input)
        }
        LogicalPlan::TableScan(scan) => {
            let key = &scan.source.downcast_ref::<RawTable>()?.reference.table.primary_key;
            (!key.is_empty()).then_some(key)
        }
        _ => None,
    }
}

/// Columns that a condition makes equal to what the subquery's rows do not decide.
fn fixed(predicate: &Expr, found: &mut Vec<String>) {
    for condition in split_conjunction(predicate) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { continue };
        for (column, other) in [(left, right), (right, left)] {
            // A key that is widened for the comparison is the same key.
            let column = match column.as_ref() {
                Expr::Cast(cast) if cast.field.data_type().is_integer() => &cast.expr,
                _ => column,
            };
            if let Expr::Column(column) = column.as_ref()
                && other.column_refs().is_empty()
            {
                found.push(column.name.clone());
            }
        }
    }
}

fn by_key(plan: &LogicalPlan) -> bool {
    let mut at = plan;
    let mut columns = Vec::new();
    loop {
        at = match at {
            LogicalPlan::Projection(projection) if columns.is_empty() => &projection.input,
            LogicalPlan::SubqueryAlias(alias) if columns.is_empty() => &alias.input,
            LogicalPlan::Filter(filter) => {
                fixed(&filter.predicate, &mut columns);
                &filter.input
            }
            _ => break,
        };
    }
    key(at).is_some_and(|key| key.iter().all(|name| columns.contains(name)))
}

/// The same node, its scalar subqueries that find a row by its key as aggregates.
pub(super) fn aggregated(
    node: LogicalPlan,
    is_single: impl Fn(&LogicalPlan) -> bool,
) -> DfResult<Transformed<LogicalPlan>> {
    let asks =
        |e: &Expr| matches!(e, Expr::ScalarSubquery(s) if !is_single(&s.subquery) && by_key(&s.subquery));
    let mut any = false;
    for expr in node.expressions() {
        any |= expr.exists(|e| Ok(asks(e)))?;
    }
    if !any {
        return Ok(Transformed::no(node));
    }
    let names = NamePreserver::new(&node);
    node.map_own(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|e| match &e {
            Expr::ScalarSubquery(of) if asks(&e) => {
                let (qualifier, field) = of.subquery.schema().qualified_field(0);
                let value = datafusion_common::Column::new(qualifier.cloned(), field.name());
                let plan = of.subquery.as_ref().clone();
                super::subquery_value::scalar(plan, of, "max", Expr::Column(value)).map(Transformed::yes)
            }
            _ => Ok(Transformed::no(e)),
        })?;
        Ok(rewritten.update_data(|e| name.restore(e)))
    })
}
