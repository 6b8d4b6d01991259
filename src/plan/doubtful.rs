//! What SQL allows and is hardly meant, as far as types show it: text that is compared with a moment or with a BOOLEAN.
//!
//! The text is read as a moment, row by row. Under `<` a row whose text is none ends the job, under `=` it is as if
//! there were no such row: a column of other forms (`2026-01-05T08:00:00Z`, `5.1.2026`) gives an empty result without
//! a word. Beside a BOOLEAN the texts are compared, and that of TRUE is 'TRUE', in capitals.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::lookup_join::shown;
use crate::error::Result;
use crate::function::arithmetic::shown_expr;
use crate::function::common::is_text;
use crate::function::moment::{read_date, read_time, read_timestamp};
use crate::function::tree::{PlanTree, Tree};

/// Comparisons of text with moments in a plan whose casts are still those that were written.
pub(super) fn comparisons(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut found = Vec::new();
    plan.apply_all(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_own(|expr| {
            expr.apply(|e| {
                look(e, &schema, &mut found);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if let LogicalPlan::Join(join) = node {
            for (left, right) in &join.on {
                compare(left, right, true, &schema, &mut found);
            }
        }
        DfResult::Ok(TreeNodeRecursion::Continue)
    })?;
    let mut seen = HashSet::new();
    found.retain(|text| seen.insert(text.clone()));
    Ok(found)
}

fn look(expr: &Expr, schema: &DFSchema, found: &mut Vec<String>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let equal = matches!(
                op,
                Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
            );
            if equal || matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) {
                compare(left, right, equal, schema, found);
            }
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            compare(expr, low, false, schema, found);
            compare(expr, high, false, schema, found);
        }
        Expr::InList(list) => {
            list.list.iter().for_each(|item| compare(&list.expr, item, true, schema, found))
        }
        _ => {}
    }
}

/// Whether a comparison has made a text of a BOOLEAN: what the query itself casts is not a function yet.
fn is_cast_boolean(expr: &Expr, schema: &DFSchema) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    let argument = call.args.first().map(|argument| argument.get_type(schema));
    call.func.name() == "cast" && matches!(argument, Some(Ok(DataType::Boolean)))
}

fn is_moment(t: &DataType) -> bool {
    matches!(t, DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..))
}

fn compare(a: &Expr, b: &Expr, equal: bool, schema: &DFSchema, found: &mut Vec<String>) {
    let (Ok(left), Ok(right)) = (a.get_type(schema), b.get_type(schema)) else { return };
    let boolean = |e: &Expr, t: &DataType| *t == DataType::Boolean || is_cast_boolean(e, schema);
    if let Some(text) = match (is_text(&left), is_text(&right)) {
        (true, _) if equal && boolean(b, &right) && !is_cast_boolean(a, schema) => Some(a),
        (_, true) if equal && boolean(a, &left) && !is_cast_boolean(b, schema) => Some(b),
        _ => None,
    } {
        let text = shown_expr(text);
        found.push(format!(
            "text {text} is compared with a BOOLEAN, whose texts are 'TRUE' and 'FALSE', in capitals: 'true' is equal \
             to neither; CAST({text} AS BOOLEAN) reads both"
        ));
        return;
    }
    let (text, moment, to) = match (is_text(&left), is_text(&right)) {
        (true, false) if is_moment(&right) => (a, b, right),
        (false, true) if is_moment(&left) => (b, a, left),
        _ => return,
    };
    let (named, sql) = (shown_expr(moment), shown(&to));
    if let Expr::Literal(ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)), _) = text {
        let is_read = match to {
            DataType::Date32 => read_date(s).is_some(),
            DataType::Time32(_) | DataType::Time64(_) => read_time(s).is_some(),
            // A zone may stand behind it.
            DataType::Timestamp(_, Some(_)) => true,
            _ => read_timestamp(s).is_some(),
        };
        if !is_read {
            let then = if equal { "no row is equal to it" } else { "the first row ends the job" };
            found.push(format!("'{s}' is compared with {named}, a {sql}, and is none: {then}"));
        }
        return;
    }
    if text.column_refs().is_empty() {
        return;
    }
    let text = shown_expr(text);
    let otherwise = if equal { "is equal to nothing" } else { "ends the job" };
    found.push(format!(
        "text '{text}' is compared with {named}, a {sql}: a text that is not written as one {otherwise}; \
         CAST({text} AS {sql}) says that it is meant, TO_TIMESTAMP({text}, 'yyyy-MM-dd HH:mm:ss') reads other forms"
    ));
}
