//! The columns of a plan with the types that Flink shows: lengths, precisions, NOT NULL at every depth. What DESCRIBE and TYPEOF
//! say; Arrow's fields, which decide what is computed and kept, stay as they are.

use datafusion_common::JoinType;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Distinct, TableScan};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, LogicalPlan};

use super::node::{UnnestNode, WindowTableNode};
use super::provider::RawTable;
use super::set::SetNode;
use crate::error::Result;
use crate::function::tree::{PlanTree, Tree};
use crate::function::type_of::{Scope, asks_type, derive, folded, of_field, or_plain};
use crate::function::typed::{Kind, Typed};

/// The columns of a plan, in order.
pub(crate) fn columns(plan: &LogicalPlan) -> Result<Vec<Typed>> {
    let fields = plan.schema().fields();
    let known = match known(plan)? {
        Some(known) if known.len() == fields.len() => known,
        _ => fields.iter().map(|f| of_field(f)).collect::<Result<_>>()?,
    };
    Ok(known.into_iter().zip(fields).map(|(typed, field)| or_plain(typed, field.data_type())).collect())
}

fn nullable(mut columns: Vec<Typed>) -> Vec<Typed> {
    columns.iter_mut().for_each(|c| c.nullable = true);
    columns
}

/// The columns of all inputs of a node.
fn inputs(plan: &LogicalPlan) -> Result<Vec<Typed>> {
    let mut all = Vec::new();
    for input in plan.inputs() {
        all.extend(columns(input)?);
    }
    Ok(all)
}

fn derived<'e>(
    exprs: impl IntoIterator<Item = &'e Expr>,
    input: &LogicalPlan,
    below: &[Typed],
    grouped: bool,
) -> Result<Vec<Typed>> {
    let scope = Scope { schema: input.schema(), columns: below, grouped };
    exprs.into_iter().map(|e| derive(e, &scope)).collect()
}

/// `None` for what the fields say as well.
fn known(plan: &LogicalPlan) -> Result<Option<Vec<Typed>>> {
    Ok(Some(match plan {
        LogicalPlan::Projection(p) => derived(&p.expr, &p.input, &columns(&p.input)?, false)?,
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_) => inputs(plan)?,
        LogicalPlan::Subquery(s) => columns(&s.subquery)?,
        LogicalPlan::Distinct(Distinct::All(input)) => columns(input)?,
        LogicalPlan::Aggregate(a) => {
            let below = columns(&a.input)?;
            let sets = matches!(a.group_expr.as_slice(), [Expr::GroupingSet(_)]);
            if sets {
                // A key is NULL where it is left out.
                let keys = a.schema.fields().len().saturating_sub(a.aggr_expr.len());
                let mut all = Vec::new();
                for field in a.schema.fields().iter().take(keys) {
                    all.push(of_field(field)?);
                }
                all.extend(derived(&a.aggr_expr, &a.input, &below, true)?);
                return Ok(Some(all));
            }
            let grouped = !a.group_expr.is_empty();
            let mut all = derived(&a.group_expr, &a.input, &below, grouped)?;
            all.extend(derived(&a.aggr_expr, &a.input, &below, grouped)?);
            all
        }
        LogicalPlan::Window(w) => {
            let mut all = columns(&w.input)?;
            let calls = derived(&w.window_expr, &w.input, &all, true)?;
            all.extend(calls);
            all
        }
        LogicalPlan::Join(j) => {
            let (mut left, mut right) = (columns(&j.left)?, columns(&j.right)?);
            match j.join_type {
                JoinType::Inner => {}
                JoinType::Left => right = nullable(right),
                JoinType::Right => left = nullable(left),
                JoinType::Full => (left, right) = (nullable(left), nullable(right)),
                JoinType::LeftSemi | JoinType::LeftAnti => right.clear(),
                JoinType::RightSemi | JoinType::RightAnti => left.clear(),
                _ => return Ok(None),
            }
            left.extend(right);
            left
        }
        LogicalPlan::Union(u) => {
            let mut sides = u.inputs.iter().map(|input| columns(input));
            let Some(first) = sides.next() else { return Ok(None) };
            sides.try_fold(first?, |all, side| Ok::<_, crate::error::Error>(both(&all, &side?)))?
        }
        LogicalPlan::Values(v) => {
            let scope = Scope::of(&v.schema);
            let mut rows = v.values.iter();
            let Some(first) = rows.next() else { return Ok(None) };
            let typed = |row: &Vec<Expr>| row.iter().map(|e| derive(e, &scope)).collect::<Result<Vec<_>>>();
            rows.try_fold(typed(first)?, |all, row| Ok::<_, crate::error::Error>(both(&all, &typed(row)?)))?
        }
        LogicalPlan::TableScan(scan) => return scanned(scan),
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(set) = node.downcast_ref::<SetNode>() {
                let (left, right) = (columns(&set.left)?, columns(&set.right)?);
                return Ok(Some(both(&left, &right)));
            }
            if let Some(window) = node.downcast_ref::<WindowTableNode>() {
                let mut all = columns(&window.input)?;
                for field in window.schema.fields().iter().skip(all.len()) {
                    all.push(of_field(field)?);
                }
                return Ok(Some(all));
            }
            if let Some(unnest) = node.downcast_ref::<UnnestNode>() {
                return unnested(unnest).map(Some);
            }
            match extension.node.inputs().as_slice() {
                [input] if input.schema().fields() == extension.node.schema().fields() => columns(input)?,
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

/// The columns of a set operation.
fn both(left: &[Typed], right: &[Typed]) -> Vec<Typed> {
    let pairs = left.iter().zip(right);
    pairs.map(|(l, r)| l.kind.either(&r.kind).may_be_null(l.nullable || r.nullable)).collect()
}

/// What was declared.
fn scanned(scan: &TableScan) -> Result<Option<Vec<Typed>>> {
    let Some(raw) = scan.source.downcast_ref::<RawTable>() else { return Ok(None) };
    let declared = raw.columns.iter().zip(raw.schema.fields()).map(|(&column, field)| {
        match raw.reference.table.columns.get(column).and_then(|c| c.declared()) {
            Some((t, nullable)) => Ok(Kind::of_sql(t).may_be_null(nullable)),
            None => of_field(field),
        }
    });
    let all = declared.collect::<Result<Vec<Typed>>>()?;
    Ok(Some(match &scan.projection {
        Some(kept) => kept.iter().filter_map(|&i| all.get(i).cloned()).collect(),
        None => all,
    }))
}

/// A row and an element of its collection.
fn unnested(unnest: &UnnestNode) -> Result<Vec<Typed>> {
    let mut all = columns(&unnest.input)?;
    let scope = Scope { schema: unnest.input.schema(), columns: &all, grouped: false };
    let collection = derive(&unnest.collection, &scope)?;
    let mut elements: Vec<Typed> = match collection.kind {
        Kind::Array(item) | Kind::Multiset(item) => match item.kind {
            Kind::Row(fields) => fields.into_iter().map(|(_, t)| t).collect(),
            kind => vec![kind.may_be_null(item.nullable)],
        },
        Kind::Map(k, v) => vec![*k, *v],
        _ => Vec::new(),
    };
    for field in unnest.schema.fields().iter().skip(all.len() + elements.len()) {
        elements.push(of_field(field)?);
    }
    all.extend(if unnest.outer { nullable(elements) } else { elements });
    Ok(all)
}

/// Puts the texts that TYPEOF gives into the place of its calls.
pub(super) fn fold_type_of(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_all_up(|node| {
        let asks = |e: &Expr| e.exists(|e| Ok(asks_type(e)));
        let mut asked = false;
        for e in node.expressions() {
            asked |= asks(&e)?;
        }
        if !asked {
            return Ok(Transformed::no(node));
        }
        let schema = match &node {
            LogicalPlan::Values(values) => values.schema.as_ref().clone(),
            node => merge_schema(&node.inputs()),
        };
        let below = inputs(&node)?;
        let grouped = matches!(&node, LogicalPlan::Aggregate(a) if !a.group_expr.is_empty());
        let names = NamePreserver::new(&node);
        let scope = Scope { schema: &schema, columns: &below, grouped };
        let rewritten = node.map_own(|e| {
            let name = names.save(&e);
            Ok(e.transform_down(|e| folded(e, &scope))?.update_data(|e| name.restore(e)))
        })?;
        rewritten.map_data(|node| node.recompute_schema())
    })?;
    Ok(plan.data)
}
