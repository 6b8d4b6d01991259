//! Which branches of CASE rows went through: a second run of a test, on the same pipeline with a note in each branch.
//!
//! ```text
//!  CASE WHEN a THEN x ELSE y END   ─>   CASE WHEN note(1, a) THEN x WHEN note(2, TRUE) THEN y END
//!  CASE k WHEN a THEN x END        ─>   CASE WHEN note(1, k = a) THEN x END
//! ```
//! `note` gives its condition back and remembers that it was TRUE for a row. What the second run gives is of no account: a
//! function that is called for its effect may change how a query is planned.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use parking_lot::Mutex;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};

use crate::error::{Error, Position, Result};
use crate::sql::visit::visit_expressions_mut;
use crate::sql::{StatementKind, parse_expression, span_from};

/// The function; no pipeline calls it.
const NOTE: &str = "affluent_branch_taken";

/// A branch.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    /// Where it stands in the text that is executed.
    pub(crate) at: Position,
    /// As it is written, about.
    pub(crate) text: String,
    /// A row went through it.
    pub(crate) taken: bool,
}

/// The branches of a pipeline.
#[derive(Debug, Default)]
pub(crate) struct Branches(Mutex<BTreeMap<i64, Branch>>);

impl Branches {
    /// All of them, in the order of the text.
    pub(crate) fn all(&self) -> Vec<Branch> {
        let mut all: Vec<Branch> = self.0.lock().values().cloned().collect();
        all.sort_by_key(|branch| (branch.at.line, branch.at.column));
        all
    }

    /// The function that notes them.
    pub(crate) fn function(self: &Arc<Self>) -> ScalarUDF {
        let branches = self.clone();
        let note = move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let ids = arrays[0].as_primitive::<arrow::datatypes::Int64Type>();
            let conditions = arrays[1].as_boolean();
            if conditions.true_count() > 0
                && let Some(branch) = branches.0.lock().get_mut(&ids.value(0))
            {
                branch.taken = true;
            }
            Ok(ColumnarValue::Array(arrays[1].clone()))
        };
        let types = vec![DataType::Int64, DataType::Boolean];
        create_udf(NOTE, types, DataType::Boolean, Volatility::Volatile, Arc::new(note))
    }

    /// A statement with a note in each branch.
    pub(crate) fn noted(&self, kind: &StatementKind) -> Result<StatementKind> {
        let mut kind = kind.clone();
        let mut note = |expr: &mut Expr| match self.note(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        };
        let flow = match &mut kind {
            StatementKind::Query(query) => visit_expressions_mut(query, &mut note),
            StatementKind::Insert(insert) => visit_expressions_mut(&mut insert.query, &mut note),
            StatementKind::StatementSet(inserts) => {
                inserts.iter_mut().try_for_each(|insert| visit_expressions_mut(&mut insert.query, &mut note))
            }
            StatementKind::CreateView(view) => visit_expressions_mut(&mut view.query, &mut note),
            StatementKind::CreateTable(table) => match &mut table.query {
                Some(query) => visit_expressions_mut(query, &mut note),
                None => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        };
        match flow {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(kind),
        }
    }

    fn note(&self, expr: &mut Expr) -> Result<()> {
        let Expr::Case { operand, conditions, else_result, .. } = expr else { return Ok(()) };
        let operand = operand.take();
        for when in conditions.iter_mut() {
            let text = format!("WHEN {}", when.condition);
            let at = span_from(when.condition.span()).start;
            let condition =
                std::mem::replace(&mut when.condition, Expr::Value(sqlparser::ast::Value::Null.into()));
            let condition = match &operand {
                Some(operand) => Expr::BinaryOp {
                    left: Box::new(Expr::Nested(operand.clone())),
                    op: BinaryOperator::Eq,
                    right: Box::new(Expr::Nested(Box::new(condition))),
                },
                None => condition,
            };
            when.condition = self.noting(condition, at, text)?;
        }
        if let Some(result) = else_result.take() {
            let at = span_from(result.span()).start;
            let always = parse_expression("TRUE")?.expr;
            let condition = self.noting(always, at, format!("ELSE {result}"))?;
            conditions.push(CaseWhen { condition, result: *result });
        }
        Ok(())
    }

    fn noting(&self, condition: Expr, at: Position, text: String) -> Result<Expr> {
        let mut branches = self.0.lock();
        let id = branches.len() as i64 + 1;
        branches.insert(id, Branch { at, text, taken: false });
        drop(branches);
        let mut call = parse_expression(&format!("{NOTE}(CAST({id} AS BIGINT), TRUE)"))?.expr;
        let Expr::Function(function) = &mut call else { return Err(Error::internal("a call is no call")) };
        let FunctionArguments::List(list) = &mut function.args else {
            return Err(Error::internal("a call without arguments"));
        };
        if let Some(last) = list.args.last_mut() {
            *last = FunctionArg::Unnamed(FunctionArgExpr::Expr(condition));
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::session::Session;
    use crate::sql::SourceText;

    #[test]
    fn branches_that_rows_take_are_noted() {
        let text =
            "SELECT CASE WHEN n > 1 THEN 'a' ELSE 'b' END AS x, CASE n WHEN 1 THEN 2 WHEN 7 THEN 8 END AS y
                    FROM (VALUES (1), (1)) AS t (n)";
        let session = Session::new().unwrap();
        let branches = Arc::new(Branches::default());
        session.register_function(branches.function());
        let statement = session.parse(&SourceText::new("t", text)).unwrap().remove(0);
        let noted = crate::sql::Statement { kind: branches.noted(&statement.kind).unwrap(), ..statement };
        let crate::session::Response::Query(rows) = session.execute(&noted).unwrap() else { panic!() };
        let rows = rows.collect().unwrap();
        assert_eq!(rows.num_rows(), 2);
        let first = arrow::util::display::array_value_to_string(rows.column(0), 0).unwrap();
        assert_eq!(first, "b");
        let taken: Vec<_> = branches.all().into_iter().map(|b| (b.text, b.taken)).collect();
        let expected = [("WHEN n > 1", false), ("ELSE 'b'", true), ("WHEN 1", true), ("WHEN 7", false)];
        assert_eq!(taken, expected.map(|(text, taken)| (text.to_string(), taken)));
    }
}
