//! Fields of ROW columns that nobody reads are not decoded.
//!
//! DataFusion's projection push-down ends at columns. A record of an event bus is often one ROW with twenty
//! fields of which a query wants two: the wanted paths are followed from the top of the plan down to the
//! scan, whose ROW types then have only the wanted fields. Only formats that find fields by name can do so.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::logical_plan::{Projection, SubqueryAlias, TableScan, TableScanBuilder};
use datafusion_expr::{Expr, Extension, Filter, LogicalPlan};

use super::node::WatermarkNode;
use super::provider::RawTable;
use crate::error::Result;
use crate::function::tree::Tree;

/// What is wanted of a value.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// All of it.
    Whole,
    /// These fields of a ROW; none of it if there are none.
    Fields(BTreeMap<String, Wanted>),
}

impl Wanted {
    fn nothing() -> Self {
        Wanted::Fields(BTreeMap::new())
    }

    fn add(&mut self, path: &[String], what: &Wanted) {
        let Wanted::Fields(fields) = self else { return };
        match path {
            [first, rest @ ..] => {
                fields.entry(first.clone()).or_insert_with(Wanted::nothing).add(rest, what);
            }
            [] => match what {
                Wanted::Whole => *self = Wanted::Whole,
                Wanted::Fields(more) => {
                    for (name, what) in more {
                        fields.entry(name.clone()).or_insert_with(Wanted::nothing).add(&[], what);
                    }
                }
            },
        }
    }

    /// The type with the wanted fields alone. A ROW of which nothing is wanted stays whole: whether it is
    /// NULL may be asked.
    fn narrow(&self, data_type: &DataType) -> DataType {
        let (Wanted::Fields(wanted), DataType::Struct(fields)) = (self, data_type) else {
            return data_type.clone();
        };
        let kept: Fields = fields
            .iter()
            .filter_map(|f| {
                let narrowed = wanted.get(f.name())?.narrow(f.data_type());
                Some(Arc::new(f.as_ref().clone().with_data_type(narrowed)))
            })
            .collect();
        if kept.is_empty() { data_type.clone() } else { DataType::Struct(kept) }
    }
}

/// `column.a.b` as its column and path.
fn access(expr: &Expr) -> Option<(&datafusion_common::Column, Vec<String>)> {
    match expr {
        Expr::Column(column) => Some((column, Vec::new())),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (inner, names) = call.args.split_first()?;
            let (column, mut path) = access(inner)?;
            for name in names {
                let Expr::Literal(value, _) = name else { return None };
                let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) = value else {
                    return None;
                };
                path.push(name.clone());
            }
            Some((column, path))
        }
        _ => None,
    }
}

/// Adds what an expression reads of its input, of which `what` is wanted.
fn reads(expr: &Expr, what: &Wanted, input: &DFSchema, wanted: &mut [Wanted]) -> Result<()> {
    if let Expr::Alias(alias) = expr {
        return reads(&alias.expr, what, input, wanted);
    }
    if let Some((column, path)) = access(expr) {
        let index = input.index_of_column(column)?;
        wanted[index].add(&path, what);
        return Ok(());
    }
    expr.apply(|e| {
        if let Some((column, path)) = access(e) {
            wanted[input.index_of_column(column)?].add(&path, &Wanted::Whole);
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Leaves out of the scans what is not read.
pub(super) fn prune(plan: LogicalPlan) -> Result<LogicalPlan> {
    let all = vec![Wanted::Whole; plan.schema().fields().len()];
    narrow(plan, &all)
}

fn narrow(plan: LogicalPlan, wanted: &[Wanted]) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = Arc::unwrap_or_clone(projection.input);
            let mut below = vec![Wanted::nothing(); input.schema().fields().len()];
            for (expr, what) in projection.expr.iter().zip(wanted) {
                reads(expr, what, input.schema(), &mut below)?;
            }
            let input = Arc::new(narrow(input, &below)?);
            Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, input)?))
        }
        LogicalPlan::Filter(filter) => {
            let input = Arc::unwrap_or_clone(filter.input);
            let mut below = wanted.to_vec();
            reads(&filter.predicate, &Wanted::Whole, input.schema(), &mut below)?;
            Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(narrow(input, &below)?))?))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = Arc::new(narrow(Arc::unwrap_or_clone(alias.input), wanted)?);
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias)?))
        }
        LogicalPlan::Extension(Extension { ref node }) if node.as_any().is::<WatermarkNode>() => {
            let Some(watermark) = node.as_any().downcast_ref::<WatermarkNode>() else { return Ok(plan) };
            let mut below = wanted.to_vec();
            for expr in [&watermark.column, &watermark.expression] {
                reads(expr, &Wanted::Whole, watermark.input.schema(), &mut below)?;
            }
            let node = WatermarkNode { input: narrow(watermark.input.clone(), &below)?, ..watermark.clone() };
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        }
        LogicalPlan::TableScan(scan) => narrow_scan(scan, wanted),
        // What others do with a ROW is not known here: all of it is wanted.
        other => {
            let whole = |input: LogicalPlan| {
                let all = vec![Wanted::Whole; input.schema().fields().len()];
                Ok(datafusion_common::tree_node::Transformed::yes(narrow(input, &all)?))
            };
            Ok(other.map_children(whole)?.data)
        }
    }
}

fn narrow_scan(scan: TableScan, wanted: &[Wanted]) -> Result<LogicalPlan> {
    let Some(raw) = scan.source.downcast_ref::<RawTable>() else { return Ok(LogicalPlan::TableScan(scan)) };
    let by_name = raw.reference.table.options.text("format") == Some("json");
    if raw.is_lookup || !by_name || !scan.filters.is_empty() {
        return Ok(LogicalPlan::TableScan(scan));
    }
    let projected: Vec<usize> =
        scan.projection.clone().unwrap_or_else(|| (0..raw.schema.fields().len()).collect());
    let mut fields: Vec<Field> = raw.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut changed = false;
    for (&index, what) in projected.iter().zip(wanted) {
        let narrowed = what.narrow(fields[index].data_type());
        changed |= narrowed != *fields[index].data_type();
        fields[index].set_data_type(narrowed);
    }
    if !changed {
        return Ok(LogicalPlan::TableScan(scan));
    }
    let source = RawTable {
        reference: raw.reference.clone(),
        columns: raw.columns.clone(),
        schema: Arc::new(Schema::new(fields)),
        is_lookup: false,
    };
    let narrowed = TableScanBuilder::new(scan.table_name, Arc::new(source))
        .with_projection(scan.projection)
        .with_fetch(scan.fetch)
        .build()?;
    Ok(LogicalPlan::TableScan(narrowed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::session::{Response, Session};
    use crate::sql::{SourceText, StatementKind};

    /// Types of the columns that are read for a query over one event table.
    fn read(query: &str) -> String {
        let session = Session::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, "").unwrap();
        let table = format!(
            "CREATE TABLE events (kind INT, bid ROW<auction BIGINT, price BIGINT, inner_ ROW<a INT, b INT>>,
               ts AS CAST(bid.price AS STRING))
             WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{}')",
            file.display()
        );
        assert!(matches!(session.sql(&table).unwrap(), Response::Done(_)));
        let statement = session.parse(&SourceText::new("t", query)).unwrap().remove(0);
        let StatementKind::Query(query) = statement.kind else { unreachable!("a query") };
        let plan = session.planner().query(&query).unwrap();
        let mut shown = String::new();
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let schema = scan.projected_schema.as_arrow();
                let types = schema.fields().iter().map(|f| {
                    crate::sql::SqlType::from_arrow(f.data_type()).map(|t| t.to_string()).unwrap_or_default()
                });
                shown = types.collect::<Vec<_>>().join(", ");
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        shown
    }

    #[test]
    fn only_fields_that_are_read() {
        assert_eq!(read("SELECT bid.auction FROM events WHERE kind = 2"), "INT, ROW<`auction` BIGINT>");
        assert_eq!(read("SELECT b.bid.inner_.b FROM events AS b"), "ROW<`inner_` ROW<`b` INT>>");
        assert_eq!(
            read("SELECT x.p FROM (SELECT bid.price AS p, bid FROM events) AS x WHERE x.bid.auction > 1"),
            "ROW<`auction` BIGINT, `price` BIGINT>"
        );
        assert_eq!(
            read("SELECT bid FROM events"),
            "ROW<`auction` BIGINT, `price` BIGINT, `inner_` ROW<`a` INT, `b` INT>>"
        );
        assert_eq!(
            read("SELECT kind FROM events WHERE bid IS NULL"),
            "INT, ROW<`auction` BIGINT, `price` BIGINT, `inner_` ROW<`a` INT, `b` INT>>"
        );
    }
}
