//! Columns that nobody reads beside the elements of an UNNEST: most of all the collection itself. Each element would get
//! a copy of the whole collection, which grows with its square.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, Result as DfResult};
use datafusion_expr::logical_plan::{Projection, SubqueryAlias};
use datafusion_expr::{Aggregate, Expr, Extension, Filter, LogicalPlan};

use crate::function::tree::Tree;

use super::node::UnnestNode;

/// Marks the columns of each UNNEST that the nodes above it do not read.
pub(super) fn mark(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let marked =
        plan.transform_down(|plan| {
            let input = match &plan {
                LogicalPlan::Projection(projection) => &projection.input,
                LogicalPlan::Aggregate(aggregate) => &aggregate.input,
                _ => return Ok(Transformed::no(plan)),
            };
            let expressions = plan.expressions();
            let read = positions(expressions.iter().flat_map(Expr::column_refs), input.schema());
            let Some(input) = marked(input, &read)? else { return Ok(Transformed::no(plan)) };
            let input = Arc::new(input);
            Ok(Transformed::yes(match plan {
                LogicalPlan::Projection(projection) => LogicalPlan::Projection(
                    Projection::try_new_with_schema(projection.expr, input, projection.schema)?,
                ),
                LogicalPlan::Aggregate(aggregate) => LogicalPlan::Aggregate(Aggregate::try_new_with_schema(
                    input,
                    aggregate.group_expr,
                    aggregate.aggr_expr,
                    aggregate.schema,
                )?),
                other => other,
            }))
        });
    Ok(marked?.data)
}

fn positions<'a>(columns: impl Iterator<Item = &'a Column>, schema: &DFSchema) -> BTreeSet<usize> {
    columns.filter_map(|column| schema.maybe_index_of_column(column)).collect()
}

/// A plan of which only some columns are read, if there is an UNNEST in it that can leave some out.
fn marked(plan: &LogicalPlan, read: &BTreeSet<usize>) -> DfResult<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let mut read = read.clone();
            read.extend(positions(filter.predicate.column_refs().into_iter(), filter.input.schema()));
            let Some(input) = marked(&filter.input, &read)? else { return Ok(None) };
            Ok(Some(LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)))
        }
        LogicalPlan::SubqueryAlias(named) => {
            let Some(input) = marked(&named.input, read)? else { return Ok(None) };
            Ok(Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                Arc::new(input),
                named.alias.clone(),
            )?)))
        }
        LogicalPlan::Extension(Extension { node }) => {
            let Some(unnest) = node.as_any().downcast_ref::<UnnestNode>() else { return Ok(None) };
            let mut read = read.clone();
            let condition = unnest.condition.iter().flat_map(Expr::column_refs);
            read.extend(positions(condition, &unnest.schema));
            let fields = unnest.input.schema().fields();
            let unread = |i: &usize| !read.contains(i) && fields[*i].is_nullable();
            let unread: Vec<usize> = (0..fields.len()).filter(unread).collect();
            read.extend(positions(unnest.collection.column_refs().into_iter(), unnest.input.schema()));
            let input = marked(&unnest.input, &read)?;
            if input.is_none() && unread == unnest.unread {
                return Ok(None);
            }
            let input = input.unwrap_or_else(|| unnest.input.clone());
            let node = UnnestNode { input, unread, ..unnest.clone() };
            Ok(Some(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
        }
        _ => Ok(None),
    }
}
