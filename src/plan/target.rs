//! INSERT: what a query gives, mapped by position to what a table takes.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::provider::Planner;
use crate::catalog::{Column, Table};
use crate::error::{Error, Result};
use crate::sql::{Insert, SqlType};

/// Whether a value of one type goes into a column of another without a CAST (as in Flink: within a
/// family, and to a type that is at least as wide or of the same kind).
fn implicit(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let text = |t: &T| matches!(t, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |t: &T| matches!(t, T::Binary | T::LargeBinary | T::BinaryView);
    match (from, to) {
        (a, b) if a == b => true,
        (T::Null, _) => true,
        (a, b) if text(a) && text(b) || bytes(a) && bytes(b) => true,
        (a, b) if a.is_numeric() && b.is_numeric() => true,
        (T::Timestamp(..), T::Timestamp(..)) | (T::Date32, T::Timestamp(..)) => true,
        (T::Timestamp(_, None), T::Date32 | T::Time32(_)) => true,
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Time64(_)) => true,
        (T::Interval(_) | T::Duration(_), T::Interval(_)) => true,
        (T::List(a) | T::LargeList(a), T::List(b)) => implicit(a.data_type(), b.data_type()),
        (T::Map(a, _), T::Map(b, _)) => implicit(a.data_type(), b.data_type()),
        (T::Struct(a), T::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| implicit(a.data_type(), b.data_type()))
        }
        (T::Dictionary(_, a), b) => implicit(a, b),
        _ => false,
    }
}

impl Planner {
    /// The queries of INSERTs that run together: what they read and ask is read and asked once.
    pub fn inserts(&self, inserts: &[(&Insert, &Arc<Table>)]) -> Result<Vec<LogicalPlan>> {
        let written = inserts.iter().map(|(insert, _)| self.written(&insert.query));
        let written = written.collect::<Result<Vec<_>>>()?;
        let finish = |i: usize, plan| {
            let (insert, table) = inserts[i];
            self.insert(plan, insert, table)
        };
        self.share(self.ask_once(&written, &finish)?)
    }

    /// A query with exactly the columns that the target's sink takes.
    fn insert(&self, plan: LogicalPlan, insert: &Insert, table: &Arc<Table>) -> Result<LogicalPlan> {
        let persisted: Vec<&Column> = table.columns.iter().filter(|c| c.is_persisted()).collect();
        let listed: Vec<&str> = match insert.columns.is_empty() {
            true => {
                let fixed = |c: &&&Column| insert.partition.iter().any(|p| p.value == c.name);
                let given = persisted.iter().filter(|c| !fixed(c)).map(|c| c.name.as_str());
                given.chain(insert.partition.iter().map(|p| p.value.as_str())).collect()
            }
            false => insert.columns.iter().chain(&insert.partition).map(|n| n.value.as_str()).collect(),
        };
        if let Some(name) = insert.partition.iter().find(|p| !table.partitioned_by.contains(&p.value)) {
            let error = Error::plan(format!("'{}' is no partition column of '{}'", name.value, table.name));
            return Err(match table.partitioned_by.is_empty() {
                true => error.with_hint("the table is not PARTITIONED BY any column"),
                false => {
                    error.with_hint(format!("it is PARTITIONED BY ({})", table.partitioned_by.join(", ")))
                }
            }
            .at(name.span));
        }
        for name in &insert.columns {
            if !persisted.iter().any(|c| c.name == name.value) {
                let error = Error::plan(format!(
                    "table '{}' has no column '{}' to insert into",
                    table.name, name.value
                ));
                return Err(error.at(name.span));
            }
        }
        let given = plan.schema().fields().len();
        if given != listed.len() {
            return Err(Error::plan(format!(
                "the query returns {given} columns, table '{}' expects {}",
                table.name,
                listed.len()
            ))
            .with_detail(format!(
                "query: ({}); table: ({})",
                plan.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "),
                listed.join(", ")
            ))
            .at(insert.span));
        }
        let sources: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut exprs = Vec::with_capacity(persisted.len());
        let mut changed = false;
        for column in &persisted {
            let Some(field) = self.raw_field(column) else { continue };
            let Some(position) = listed.iter().position(|n| *n == column.name) else {
                if !field.is_nullable() {
                    return Err(Error::plan(format!(
                        "column '{}' of table '{}' is NOT NULL and is not given",
                        column.name, table.name
                    ))
                    .at(insert.span));
                }
                let null = ScalarValue::try_from(field.data_type())?;
                exprs.push(Expr::Literal(null, None).alias(&column.name));
                changed = true;
                continue;
            };
            let from = plan.schema().field(position).data_type();
            if !implicit(from, field.data_type()) {
                let show = |t: &DataType| SqlType::from_arrow(t).map_or(t.to_string(), |t| t.to_string());
                return Err(Error::plan(format!(
                    "column {} of the query is {}, column '{}' of table '{}' is {}",
                    position + 1,
                    show(from),
                    column.name,
                    table.name,
                    show(field.data_type())
                ))
                .with_hint(format!("write CAST(... AS {})", show(field.data_type())))
                .at(insert.span));
            }
            let source = sources[position].clone();
            let source = if from == field.data_type() {
                source
            } else {
                changed = true;
                let declared = column.declared().map(|(t, _)| t.clone());
                let to = declared.or_else(|| SqlType::from_arrow(field.data_type()));
                let to = to.ok_or_else(|| Error::internal("a column without a type"))?;
                // Flink's meaning of a cast, not Arrow's: zones, rounding, ROW fields by position.
                crate::function::cast::cast_expr(source, from, &to, self.zone(), false)
                    .map_err(|e| e.at(insert.span))?
            };
            changed |= plan.schema().field(position).name() != &column.name
                || listed.get(exprs.len()) != Some(&column.name.as_str());
            exprs.push(source.alias(&column.name));
        }
        if !changed {
            return Ok(plan);
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        self.rewrite(plan)
    }
}
