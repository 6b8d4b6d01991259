//! Conversions that happen here without a CAST, and that Flink refuses: text beside numbers, DATE beside TIMESTAMP, results of
//! CASE of several kinds, columns of an INSERT that do not hold all values. Each pair of kinds was asked of Flink 2.3.

use arrow::datatypes::DataType;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use sqlparser::ast;

use super::lookup_join::shown;
use super::provider::Planner;
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::function::arithmetic::shown_expr;
use crate::function::common::{exact, integer_digits, is_text};
use crate::function::tree::{PlanTree, Tree};
use crate::sql::{Insert, SqlType};

/// Types that are converted into each other without a CAST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Boolean,
    Number,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Interval,
}

fn class(t: &DataType) -> Option<Class> {
    Some(match t {
        DataType::Boolean => Class::Boolean,
        t if t.is_numeric() => Class::Number,
        t if is_text(t) => Class::Text,
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            Class::Bytes
        }
        DataType::Date32 | DataType::Date64 => Class::Date,
        DataType::Time32(_) | DataType::Time64(_) => Class::Time,
        DataType::Timestamp(..) => Class::Timestamp,
        DataType::Interval(_) | DataType::Duration(_) => Class::Interval,
        _ => return None,
    })
}

/// The first two of several types that are of two classes.
fn apart(types: &[DataType], meets: fn(Class, Class) -> bool) -> Option<(&DataType, &DataType)> {
    let known: Vec<(&DataType, Class)> = types.iter().filter_map(|t| Some((t, class(t)?))).collect();
    let (first, a) = known.first()?;
    let (other, _) = known.iter().find(|(_, b)| a != b && !meets(*a, *b) && !meets(*b, *a))?;
    Some((first, other))
}

fn never(_: Class, _: Class) -> bool {
    false
}

fn moments(a: Class, b: Class) -> bool {
    matches!((a, b), (Class::Date | Class::Time, Class::Timestamp))
}

/// The type of an expression; a whole number that fits is INT.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), _) if i32::try_from(*n).is_ok() => Some(DataType::Int32),
        e => e.get_type(schema).ok(),
    }
}

fn types<'e>(exprs: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> Vec<DataType> {
    exprs.into_iter().filter_map(|e| type_of(e, schema)).collect()
}

/// What an expression does without a CAST that Flink does not.
fn look(expr: &Expr, schema: &DFSchema) -> Option<(String, String)> {
    let said = |what: &str, types: (&DataType, &DataType)| {
        let (a, b) = (shown(types.0), shown(types.1));
        Some((format!("Flink {what} {a} and {b}"), format!("CAST one of them, in {}", shown_expr(expr))))
    };
    match expr {
        Expr::BinaryExpr(b) => {
            let (l, r) = (type_of(&b.left, schema)?, type_of(&b.right, schema)?);
            let (left, right) = (class(&l)?, class(&r)?);
            let pair = |a, b| (left, right) == (a, b) || (left, right) == (b, a);
            match b.op {
                Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => {
                    match pair(Class::Text, Class::Number) || pair(Class::Date, Class::Timestamp) {
                        true => said("does not compare", (&l, &r)),
                        false => None,
                    }
                }
                Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo => {
                    if left == Class::Text || right == Class::Text {
                        return said("does not compute with", (&l, &r));
                    }
                    let moment = |c| matches!(c, Class::Date | Class::Timestamp);
                    (b.op == Operator::Minus && moment(left) && moment(right)).then(|| {
                        let shown = shown_expr(expr);
                        (
                            format!("Flink wants a unit after a difference of moments: {shown}"),
                            format!("write ({shown}) DAY TO SECOND"),
                        )
                    })
                }
                Operator::StringConcat if left != right => said("does not join", (&l, &r)),
                _ => None,
            }
        }
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let types = types(results.chain(case.else_expr.iter().map(|e| e.as_ref())), schema);
            said("has no common type of the results", apart(&types, never)?)
        }
        Expr::ScalarFunction(f) => match f.name().to_ascii_lowercase().as_str() {
            "coalesce" | "ifnull" => said("has no common type of", apart(&types(&f.args, schema), moments)?),
            "$add" | "$subtract" | "$multiply" | "$divide" | "$mod" => {
                let types = types(&f.args, schema);
                let [left, right] = types.as_slice() else { return None };
                if class(left)? == Class::Text || class(right)? == Class::Text {
                    return said("does not compute with", (left, right));
                }
                let inexact = |t: &DataType| matches!(t, DataType::Float32 | DataType::Float64);
                (f.name() == "$mod" && (inexact(left) || inexact(right))).then(|| {
                    let shown = shown_expr(expr);
                    (
                        format!("Flink has no remainder of FLOAT or DOUBLE: {shown}"),
                        "CAST them to DECIMAL".into(),
                    )
                })
            }
            "greatest" | "least" => said("does not compare", apart(&types(&f.args, schema), never)?),
            "date_format" => {
                let t = f.args.first()?.get_type(schema).ok()?;
                (class(&t) == Some(Class::Date)).then(|| {
                    let shown = shown_expr(&f.args[0]);
                    (
                        format!("DATE_FORMAT of Flink takes no DATE: {shown}"),
                        format!("CAST({shown} AS TIMESTAMP(3))"),
                    )
                })
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether Flink writes a type into a column of another one.
fn written(from: &DataType, to: &SqlType) -> bool {
    let target = to.to_arrow("UTC");
    let (Some(a), Some(b)) = (class(from), class(&target)) else { return true };
    match (a, b) {
        (Class::Number, Class::Number) => match (integer_digits(from), integer_digits(&target)) {
            (Some(from), Some(to)) => from <= to,
            (None, Some(_)) => false,
            _ => exact(&target).is_some() || *from != DataType::Float64 || target == DataType::Float64,
        },
        (Class::Timestamp, Class::Date | Class::Time) => matches!(from, DataType::Timestamp(_, None)),
        (a, b) => a == b,
    }
}

impl Planner {
    /// Conversions of a query that Flink refuses.
    pub(crate) fn implicit_conversions(&self, query: &ast::Query) -> Result<Vec<Error>> {
        let plan = self.bind_query(query)?;
        let mut found: Vec<(String, String)> = Vec::new();
        plan.apply_all(|node| {
            let schema = merge_schema(&node.inputs());
            node.apply_own(|expr| {
                expr.apply(|e| {
                    found.extend(look(e, &schema));
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
            if let LogicalPlan::Union(union) = node {
                let width = union.schema.fields().len();
                for column in 0..width {
                    let of = union.inputs.iter().filter_map(|i| i.schema().fields().get(column));
                    let types: Vec<DataType> = of.map(|f| f.data_type().clone()).collect();
                    if let Some((a, b)) = apart(&types, never) {
                        found.push((
                            format!("Flink has no common type of {} and {} in UNION", shown(a), shown(b)),
                            "CAST one of them".into(),
                        ));
                    }
                }
            }
            DfResult::Ok(TreeNodeRecursion::Continue)
        })?;
        let mut seen = std::collections::HashSet::new();
        found.retain(|one| seen.insert(one.clone()));
        Ok(found.into_iter().map(|(what, hint)| Error::plan(what).with_hint(hint)).collect())
    }

    /// Columns of an INSERT that Flink does not write without a CAST.
    pub(crate) fn narrowed_columns(&self, insert: &Insert, table: &Table) -> Result<Vec<Error>> {
        let plan = self.query(&insert.query)?;
        let persisted: Vec<_> = table.columns.iter().filter(|c| c.is_persisted()).collect();
        let names: Vec<&str> = match insert.columns.is_empty() {
            true => persisted.iter().map(|c| c.name.as_str()).collect(),
            false => insert.columns.iter().map(|c| c.value.as_str()).collect(),
        };
        let mut found = Vec::new();
        for (field, name) in plan.schema().fields().iter().zip(names) {
            let declared = persisted.iter().find(|c| c.name == name).and_then(|c| c.declared());
            if let Some((to, _)) = declared
                && !written(field.data_type(), to)
            {
                let from = shown(field.data_type());
                let error =
                    Error::plan(format!("Flink writes no {from} into column '{name}', which is {to}"));
                found.push(error.with_hint(format!("CAST(... AS {to})")).at(insert.span));
            }
        }
        Ok(found)
    }
}
