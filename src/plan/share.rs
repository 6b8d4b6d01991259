//! One scan for all who read a table.
//!
//! A view over a stream may stand twice in a query, and the queries of a statement set often read the same
//! table. Each would read and decode it again; a pipe cannot even be read twice. So scans of one table are
//! made equal (the columns and fields that any of them wants), and equal scans become one source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_expr::logical_plan::{TableScan, TableScanBuilder};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::graph::{Body, Node};
use super::provider::{Planner, RawTable};
use crate::connector::{ScanRequest, Source};
use crate::error::Result;
use crate::function::tree::Tree;

/// A scan that was planned before.
pub struct Scanned {
    pub(super) table: Arc<crate::catalog::Table>,
    columns: Vec<usize>,
    pub(super) schema: SchemaRef,
    pub(super) source: Arc<dyn Source>,
}

impl Planner {
    /// The source of a scan; that of an equal scan of this statement if there is one.
    pub(super) fn source_of(
        &self,
        request: &ScanRequest,
        make: impl FnOnce() -> Result<Arc<dyn Source>>,
    ) -> Result<Arc<dyn Source>> {
        let mut known = self.state.sources.lock();
        let equal = known.iter().find(|s| {
            Arc::ptr_eq(&s.table, &request.table)
                && s.columns == request.projection
                && s.schema == request.schema
        });
        if let Some(scanned) = equal {
            return Ok(scanned.source.clone());
        }
        let source = make()?;
        known.push(Scanned {
            table: request.table.clone(),
            columns: request.projection.clone(),
            schema: request.schema.clone(),
            source: source.clone(),
        });
        Ok(source)
    }
}

/// A source and the sources that it is split into, which are handed out one by one.
type Parts = (Arc<dyn Source>, Vec<Arc<dyn Source>>);

/// Lets the sources that occur several times in these trees be read once.
pub fn share_sources(roots: &mut [&mut Node]) {
    let mut seen: Vec<(Arc<dyn Source>, usize)> = Vec::new();
    for root in roots.iter() {
        root.walk(&mut |node| {
            let Body::Source(source) = &node.body else { return };
            match seen.iter_mut().find(|(known, _)| Arc::ptr_eq(known, source)) {
                Some((_, count)) => *count += 1,
                None => seen.push((source.clone(), 1)),
            }
        });
    }
    let mut shared: Vec<Parts> = Vec::new();
    for (source, count) in seen.into_iter().filter(|(_, count)| *count > 1) {
        let parts = crate::connector::shared::share(source.clone(), count);
        shared.push((source, parts));
    }
    roots.iter_mut().for_each(|root| replace(root, &mut shared));
}

fn replace(node: &mut Node, shared: &mut [Parts]) {
    if let Body::Source(source) = &node.body
        && let Some((_, parts)) = shared.iter_mut().find(|(known, _)| Arc::ptr_eq(known, source))
        && let Some(part) = parts.pop()
    {
        node.body = Body::Source(part);
    }
    if !matches!(node.body, Body::Shared { again: true, .. }) {
        node.inputs.iter_mut().for_each(|input| replace(&mut input.node, shared));
    }
}

/// What all scans of a table want together.
struct Shared {
    scans: usize,
    /// Position in the raw schema → type with the fields that are wanted.
    columns: BTreeMap<usize, DataType>,
    equal: bool,
}

/// Which table a scan reads, with the options of this reference.
fn identity(raw: &RawTable) -> usize {
    Arc::as_ptr(&raw.reference.table) as usize
}

fn raw_of(scan: &TableScan) -> Option<&RawTable> {
    scan.source.downcast_ref::<RawTable>().filter(|raw| !raw.is_lookup)
}

fn positions(scan: &TableScan, raw: &RawTable) -> Vec<usize> {
    scan.projection.clone().unwrap_or_else(|| (0..raw.schema.fields().len()).collect())
}

/// The fields of `whole` that are in either type.
fn merge(whole: &DataType, a: &DataType, b: &DataType) -> DataType {
    let (DataType::Struct(whole), DataType::Struct(a), DataType::Struct(b)) = (whole, a, b) else {
        return whole.clone();
    };
    let find = |fields: &Fields, name: &str| fields.iter().find(|f| f.name() == name).cloned();
    let fields: Fields = whole
        .iter()
        .filter_map(|f| {
            let data_type = match (find(a, f.name()), find(b, f.name())) {
                (None, None) => return None,
                (Some(a), None) => a.data_type().clone(),
                (None, Some(b)) => b.data_type().clone(),
                (Some(a), Some(b)) => merge(f.data_type(), a.data_type(), b.data_type()),
            };
            Some(Arc::new(f.as_ref().clone().with_data_type(data_type)))
        })
        .collect();
    DataType::Struct(fields)
}

impl Planner {
    /// Plans a query of which every table is read once.
    pub fn shared_query(&self, query: &sqlparser::ast::Query) -> Result<LogicalPlan> {
        let plans = self.ask_once(&[self.written(query)?], &|_, plan| Ok(plan))?;
        let mut plans = self.share(plans)?;
        plans.pop().ok_or_else(|| crate::error::Error::internal("a query without a plan"))
    }

    /// Makes the scans of each table in these plans equal.
    pub(super) fn share(&self, plans: Vec<LogicalPlan>) -> Result<Vec<LogicalPlan>> {
        let mut tables: BTreeMap<usize, Shared> = BTreeMap::new();
        for plan in &plans {
            plan.apply(|node| {
                if let LogicalPlan::TableScan(scan) = node
                    && let Some(raw) = raw_of(scan)
                {
                    self.collect(scan, raw, &mut tables);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        tables.retain(|_, shared| shared.scans > 1 && !shared.equal);
        if tables.is_empty() {
            return Ok(plans);
        }
        plans.into_iter().map(|plan| widen(plan, &tables)).collect()
    }

    fn collect(&self, scan: &TableScan, raw: &RawTable, tables: &mut BTreeMap<usize, Shared>) {
        let columns: BTreeMap<usize, DataType> =
            positions(scan, raw).into_iter().map(|i| (i, raw.schema.field(i).data_type().clone())).collect();
        let Some(shared) = tables.get_mut(&identity(raw)) else {
            tables.insert(identity(raw), Shared { scans: 1, columns, equal: true });
            return;
        };
        shared.scans += 1;
        shared.equal &= shared.columns == columns;
        let (_, whole) = self.raw_columns(&raw.reference.table);
        for (i, data_type) in columns {
            let known = shared.columns.entry(i).or_insert_with(|| data_type.clone());
            *known = merge(whole.field(i).data_type(), known, &data_type);
        }
    }
}

/// Puts the wide scans in place; projections above keep what was there.
fn widen(plan: LogicalPlan, tables: &BTreeMap<usize, Shared>) -> Result<LogicalPlan> {
    let widened = plan.transform_up(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::yes(node.recompute_schema()?));
        };
        let Some((raw, shared)) = raw_of(&scan).and_then(|raw| Some((raw, tables.get(&identity(raw))?)))
        else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let mut fields: Vec<Field> = raw.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (&i, data_type) in &shared.columns {
            fields[i].set_data_type(data_type.clone());
        }
        let source = RawTable {
            reference: raw.reference.clone(),
            columns: raw.columns.clone(),
            schema: Arc::new(Schema::new(fields)),
            is_lookup: false,
        };
        let wide = TableScanBuilder::new(scan.table_name.clone(), Arc::new(source))
            .with_projection(Some(shared.columns.keys().copied().collect()))
            .build()?;
        let kept: Vec<Expr> = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
        let plan = LogicalPlanBuilder::from(LogicalPlan::TableScan(wide)).project(kept)?.build()?;
        Ok(Transformed::yes(plan))
    })?;
    Ok(widened.data)
}
