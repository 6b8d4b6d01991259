//! Subqueries over a collection of the row that they stand beside:
//! `EXISTS (SELECT 1 FROM UNNEST(o.items) AS i(sku, qty) WHERE i.qty > 3)`.
//!
//! Nothing is joined for them: all rows that they read are in the row itself. Each aggregate of such a subquery is a
//! function of the collection and of the outer columns that the subquery names.
//!
//! | written | computed |
//! |---|---|
//! | `(SELECT SUM(i.qty) FROM UNNEST(o.items) AS i(sku, qty) WHERE i.qty > o.least)` | `$elements(o.items, o.least)` |
//! | `EXISTS`, `IN`, `ANY`, `ALL` | by COUNT, MIN and MAX, see [`super::subquery_value`] |
//! | `CROSS JOIN LATERAL (SELECT i.qty FROM UNNEST(o.items) AS i(sku, qty) WHERE ...)` | UNNEST, a filter, a projection |

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{filter, filter_record_batch, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Aggregate, Filter, Join, Projection, Subquery, SubqueryAlias};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    ColumnarValue, Expr, Extension, JoinType, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_physical_expr::PhysicalExpr;

use super::lower::physical;
use super::meaning;
use super::node::{ElementsNode, UnnestNode};
use super::resolve::{bring_in, coerce_expression};
use crate::digest::digest;
use crate::error::{Error, Result};
use crate::function::tree::{PlanTree, Tree};
use crate::operator::aggregate::{AggregateCall, Rows};
use crate::operator::unnest::{collected, element_columns};

fn refused(what: &str) -> Error {
    Error::unsupported(format!("a subquery over a collection of the row takes no {what}"))
        .with_hint("it is an aggregate of the rows that pass its WHERE: (SELECT MAX(x) FROM UNNEST(...) AS t(x) WHERE ...); CROSS JOIN UNNEST(...) gives all elements")
}

/// The collection, if a plan reads the elements of one of the outer row and nothing else.
fn elements(plan: &LogicalPlan) -> Option<&ElementsNode> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            node.as_any().downcast_ref::<ElementsNode>().filter(|n| n.collection.contains_outer())
        }
        LogicalPlan::Subquery(Subquery { subquery, .. }) => elements(subquery),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => plan.inputs().first().and_then(|input| elements(input)),
        _ => None,
    }
}

fn of_elements(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(q)
        | Expr::Exists(Exists { subquery: q, .. })
        | Expr::InSubquery(InSubquery { subquery: q, .. })
        | Expr::SetComparison(SetComparison { subquery: q, .. }) => elements(&q.subquery).is_some(),
        _ => false,
    }
}

/// Computes such subqueries from their rows, wherever they stand in a plan.
pub(super) fn rewrite(plan: LogicalPlan, zone: &str) -> Result<LogicalPlan> {
    let asks = |e: &Expr| e.exists(|e| Ok(of_elements(e)));
    let rewritten = plan.transform_all_up(|node| {
        if !node.expressions().iter().map(asks).collect::<Result<Vec<_>, _>>()?.contains(&true) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_own(|e| {
            if !asks(&e)? {
                return Ok(Transformed::no(e));
            }
            let name = names.save(&e);
            let computed = expression(e, &schema, zone)?;
            Ok(Transformed::yes(name.restore(computed)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(rewritten.data)
}

fn expression(expr: Expr, schema: &DFSchema, zone: &str) -> Result<Expr> {
    let scalars = expr.transform_up(|e| match &e {
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) if of_elements(&e) => {
            Ok(Transformed::yes(super::subquery_value::values(e, schema)?))
        }
        _ => Ok(Transformed::no(e)),
    })?;
    let computed = scalars.data.transform_up(|e| match &e {
        Expr::ScalarSubquery(q) if of_elements(&e) => {
            let mut columns = values(&q.subquery, zone)?;
            match (columns.pop(), columns.is_empty()) {
                (Some(value), true) => Ok(Transformed::yes(value)),
                _ => Err(refused("more than one column").into()),
            }
        }
        _ => Ok(Transformed::no(e)),
    })?;
    Ok(computed.data)
}

/// Replaces the columns of an expression by what they are made of, and outer ones by `outer`.
fn substituted(
    expr: &Expr,
    schema: &DFSchema,
    made_of: &[Expr],
    outer: &mut dyn FnMut(FieldRef, Column) -> Expr,
) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|e| match e {
        Expr::Column(column) => {
            let index = schema.index_of_column(&column)?;
            let of = made_of.get(index).ok_or_else(|| Error::internal("a column of no element"))?;
            Ok(Transformed::yes(of.clone()))
        }
        Expr::OuterReferenceColumn(field, column) => Ok(Transformed::yes(outer(field, column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// What the columns of a plan of one row are, over the outer row.
fn values(plan: &LogicalPlan, zone: &str) -> Result<Vec<Expr>> {
    match plan {
        LogicalPlan::Subquery(Subquery { subquery, .. }) => values(subquery, zone),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => values(input, zone),
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let below = values(input, zone)?;
            let mut outer = |_, column| Expr::Column(column);
            expr.iter().map(|e| Ok(substituted(e, input.schema(), &below, &mut outer)?.unalias())).collect()
        }
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) if group_expr.is_empty() => {
            aggr_expr.iter().map(|call| aggregated(call, input, zone)).collect()
        }
        LogicalPlan::Aggregate(_) => Err(refused("GROUP BY")),
        LogicalPlan::Limit(_) => Err(refused("LIMIT")),
        LogicalPlan::Filter(_) => Err(refused("HAVING")),
        _ => Err(Error::unsupported("a subquery over a collection of the row may return more than one row")
            .with_hint("aggregate it: (SELECT MAX(x) FROM UNNEST(...) AS t(x)); CROSS JOIN UNNEST(...) gives all elements")),
    }
}

/// The rows that an aggregate is over.
struct Elements<'a> {
    node: &'a ElementsNode,
    /// What the columns are, over `$e0`, `$e1`, ... of an element and `$o0`, ... of the outer row.
    columns: Vec<Expr>,
    conditions: Vec<Expr>,
}

/// Columns of the outer row that a subquery names.
#[derive(Default)]
struct Outer(Vec<(FieldRef, Column)>);

impl Outer {
    fn named(&mut self, field: FieldRef, column: Column) -> Expr {
        let position = self.0.iter().position(|(_, known)| *known == column).unwrap_or(self.0.len());
        if position == self.0.len() {
            self.0.push((field, column));
        }
        Expr::Column(Column::new_unqualified(format!("$o{position}")))
    }
}

fn rows<'a>(plan: &'a LogicalPlan, outer: &mut dyn FnMut(FieldRef, Column) -> Expr) -> Result<Elements<'a>> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            let node = node.as_any().downcast_ref::<ElementsNode>();
            let node = node.ok_or_else(|| Error::internal("elements of nothing"))?;
            let column = |i: usize| Expr::Column(Column::new_unqualified(format!("$e{i}")));
            let columns = (0..node.schema.fields().len()).map(column).collect();
            Ok(Elements { node, columns, conditions: Vec::new() })
        }
        LogicalPlan::Subquery(Subquery { subquery, .. }) => rows(subquery, outer),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => rows(input, outer),
        LogicalPlan::Sort(sort) => rows(&sort.input, outer),
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let below = rows(input, outer)?;
            let columns =
                expr.iter().map(|e| Ok(substituted(e, input.schema(), &below.columns, outer)?.unalias()));
            Ok(Elements { columns: columns.collect::<Result<_>>()?, ..below })
        }
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let mut below = rows(input, outer)?;
            below.conditions.push(substituted(predicate, input.schema(), &below.columns, outer)?);
            Ok(below)
        }
        LogicalPlan::Limit(_) => Err(refused("LIMIT")),
        LogicalPlan::Distinct(_) => Err(refused("DISTINCT but in its aggregate, as in COUNT(DISTINCT x)")),
        _ => Err(refused("more than WHERE below its aggregate")),
    }
}

/// One aggregate as a function of the outer row.
fn aggregated(call: &Expr, input: &LogicalPlan, zone: &str) -> Result<Expr> {
    let mut named = Outer::default();
    let Elements { node, columns, conditions } = rows(input, &mut |f, c| named.named(f, c))?;
    let call = substituted(call, input.schema(), &columns, &mut |f, c| named.named(f, c))?.unalias();
    let element = |(i, field): (usize, &FieldRef)| {
        (None, Arc::new(Field::new(format!("$e{i}"), field.data_type().clone(), true)))
    };
    let outer = |(i, (field, _)): (usize, &(FieldRef, Column))| {
        (None, Arc::new(Field::new(format!("$o{i}"), field.data_type().clone(), true)))
    };
    let fields = node.schema.fields().iter().enumerate().map(element);
    let fields = fields.chain(named.0.iter().enumerate().map(outer)).collect();
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    let call = coerce_expression(call, &schema, zone)?;
    let condition = conditions.into_iter().reduce(Expr::and);
    let condition = condition.map(|c| coerce_expression(c, &schema, zone)).transpose()?;
    let mut args = vec![bring_in(node.collection.clone())?];
    args.extend(named.0.into_iter().map(|(_, column)| Expr::Column(column)));
    let function = OverElements::try_new(call, condition, &schema, node)?;
    Ok(ScalarUDF::from(function).call(args))
}

/// What is computed with, compiled.
struct Compiled {
    call: AggregateCall,
    condition: Option<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

/// An aggregate over the elements of the first argument; the others are columns beside each element.
struct OverElements {
    /// With the digest of what it computes: the identity of what is computed with it.
    name: String,
    call: Expr,
    condition: Option<Expr>,
    ordinality: bool,
    compiled: Arc<Compiled>,
    signature: Signature,
}

impl fmt::Debug for OverElements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverElements").field("call", &self.call).field("condition", &self.condition).finish()
    }
}

impl PartialEq for OverElements {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.call, &self.condition, self.ordinality)
            == (&other.name, &other.call, &other.condition, other.ordinality)
            && self.compiled.schema == other.compiled.schema
    }
}

impl Eq for OverElements {}

impl Hash for OverElements {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.call, &self.condition).hash(state);
    }
}

impl OverElements {
    fn try_new(
        call: Expr,
        condition: Option<Expr>,
        schema: &DFSchemaRef,
        node: &ElementsNode,
    ) -> Result<Self> {
        let of = |c: &Column| Some(meaning::Text::from(c.name.as_str()));
        let texts = [Some(&call), condition.as_ref()].map(|e| e.map(|e| meaning::expression(e, &of)));
        let name = format!("$elements_{}", digest(&format!("{texts:?}")));
        let compiled = Compiled {
            call: AggregateCall::from_expr(&call, schema)?,
            condition: condition.as_ref().map(|c| physical(c, schema)).transpose()?,
            schema: Arc::clone(schema.inner()),
        };
        Ok(Self {
            name,
            call,
            condition,
            ordinality: node.ordinality,
            compiled: Arc::new(compiled),
            signature: Signature::variadic_any(Volatility::Immutable),
        })
    }

    fn evaluate(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Compiled { call, condition, schema } = self.compiled.as_ref();
        let Some((collection, outer)) = args.split_first() else {
            return Err(Error::internal("elements of nothing"));
        };
        let (collection, offsets, values) = collected(collection.clone())?;
        let (mut groups, mut elements, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for (row, bounds) in offsets.windows(2).enumerate().filter(|(row, _)| !collection.is_null(*row)) {
            for element in bounds[0]..bounds[1] {
                groups.push(row as u32);
                elements.push(element as u32);
                positions.push(element - bounds[0] + 1);
            }
        }
        let count = groups.len();
        let (mut groups, elements) = (UInt32Array::from(groups), UInt32Array::from(elements));
        let mut columns = Vec::with_capacity(schema.fields().len());
        for column in element_columns(&values, true) {
            columns.push(take(&column, &elements, None)?);
        }
        if self.ordinality {
            columns.push(Arc::new(Int32Array::from(positions)));
        }
        for column in outer {
            columns.push(take(column, &groups, None)?);
        }
        // Literals of VALUES are narrower than they were when this was bound.
        for (column, field) in columns.iter_mut().zip(schema.fields()) {
            if column.data_type() != field.data_type() {
                *column = arrow::compute::cast(column, field.data_type())?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let mut batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        if let Some(condition) = condition {
            let verdict = condition.evaluate(&batch)?.into_array(count)?;
            let verdict = verdict.as_boolean_opt();
            let verdict = verdict.ok_or_else(|| Error::internal("a condition that is not BOOLEAN"))?;
            let passes: BooleanArray = match verdict.null_count() {
                0 => verdict.clone(),
                _ => prep_null_mask_filter(verdict),
            };
            // What does not pass is not looked at any more.
            batch = filter_record_batch(&batch, &passes)?;
            groups = filter(&groups, &passes)?.as_primitive().clone();
        }
        let mut accumulator = call.accumulator(false)?;
        accumulator.resize(rows);
        let selected = call.selection(&batch, None)?;
        let of = Rows { selected: selected.as_deref(), retracted: None };
        accumulator.update(groups.values(), &call.arguments(&batch)?, of)?;
        let all: Vec<u32> = (0..rows as u32).collect();
        accumulator.values(&all)
    }
}

impl ScalarUDFImpl for OverElements {
    fn name(&self) -> &str {
        &self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.compiled.call.data_type.clone())
    }
    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        Ok(Arc::new(Field::new(&self.name, self.compiled.call.data_type.clone(), true)))
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        let of = args.first().map(|e| e.schema_name().to_string()).unwrap_or_default();
        Ok(format!("(SELECT {} FROM UNNEST({of}))", self.compiled.call.display))
    }
    fn display_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        self.schema_name(args)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows));
        let arrays = arrays.collect::<datafusion_common::Result<Vec<_>>>()?;
        let result = self.evaluate(&arrays, rows)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// `JOIN LATERAL (SELECT ... FROM UNNEST(o.items) ...)` as UNNEST, filter and projection; `None` for any other join. Its left
/// side is resolved.
pub(super) fn lateral(left: &LogicalPlan, join: &Join) -> Result<Option<LogicalPlan>> {
    let outer_join = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    if elements(&join.right).is_none() {
        return Ok(None);
    }
    let mut outer = |_: FieldRef, column: Column| Expr::Column(column);
    let Elements { node, columns, conditions } = rows(&join.right, &mut outer)?;
    let right = join.right.schema();
    let joined = join.filter.iter().map(|condition| {
        let of_right = condition.clone().transform_up(|e| match &e {
            Expr::Column(c) => match right.maybe_index_of_column(c) {
                Some(index) if !left.schema().has_column(c) => Ok(Transformed::yes(columns[index].clone())),
                _ => Ok(Transformed::no(e)),
            },
            _ => Ok(Transformed::no(e)),
        })?;
        Ok(of_right.data)
    });
    let conditions = conditions.into_iter().map(Ok).chain(joined).collect::<Result<Vec<Expr>>>()?;
    let condition = conditions.into_iter().filter(|c| !super::resolve::is_true(c)).reduce(Expr::and);
    if outer_join && columns.iter().any(|c| !matches!(c, Expr::Column(_))) {
        return Err(Error::unsupported("LEFT JOIN LATERAL over a collection gives its columns as they are")
            .with_hint("compute above the join"));
    }
    let named =
        |(i, field): (usize, &FieldRef)| (None, Arc::new(field.as_ref().clone().with_name(format!("$e{i}"))));
    let names = node.schema.fields().iter().enumerate().map(named).collect();
    let unnest = UnnestNode::try_new(
        left.clone(),
        bring_in(node.collection.clone())?,
        outer_join,
        node.ordinality,
        names,
    )?;
    let (inside, above) = if outer_join { (condition, None) } else { (None, condition) };
    let unnest = UnnestNode { condition: inside, ..unnest };
    let mut plan = LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(unnest) }));
    if let Some(above) = above {
        plan = plan.filter(above)?;
    }
    let mut exprs: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
    for ((qualifier, field), column) in right.iter().zip(columns) {
        exprs.push(column.alias_qualified(qualifier.cloned(), field.name()));
    }
    Ok(Some(plan.project(exprs)?.build()?))
}
