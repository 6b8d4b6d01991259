//! Logical plan → tree of our own operators.
//!
//! Inputs are lowered first. Each node gets what EXPLAIN shows of it, what the planner has to know of its rows, and what its
//! state [means](super::meaning); these three are written side by side and none is read from another. What is common to
//! the families of operators is here: expressions over batches, projections and filters, columns that are added.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::logical_plan::{FetchType, SkipType, TableScan};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlan};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use super::call::CallNode;
use super::changelog_functions::{FromChangelogNode, ToChangelogNode};
use super::current_watermark;
use super::graph::{Body, BuildNode, Changes, Demand, Distribution, Input, Node, Properties, Shape};
use super::match_recognize::MatchRecognizeNode;
use super::meaning::{self, Meaning, Parts};
use super::node::{StateTtlNode, UnnestNode, WatermarkNode, WindowTableNode, state_ttl_of};
use super::provider::{Planner, RawTable};
use super::resolve::coerce_expression;
use super::set::SetNode;
use super::version::{SnapshotNode, VersionNode};
use crate::catalog::Table;
use crate::connector::registry::MOVED_FROM;
use crate::connector::values::ValuesSource;
use crate::connector::{Connector, Place, ScanRequest, SourceChangelog};
use crate::dead_letter::{SCAN_OPTION, with_rejected};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::cast::cast_expr;
use crate::function::common::is_text;
use crate::function::tree::Tree;
use crate::operator::calc::Calc;
use crate::operator::changelog_normalize::{ChangelogNormalize, ChangelogNormalizeSpec};
use crate::operator::dead_letters::DecodedRows;
use crate::operator::unnest::{Unnest, UnnestSpec};
use crate::operator::watermark::{WatermarkAssigner, WatermarkSpec};
use crate::sql::SqlType;

/// Rows in a batch of a source, at most.
const BATCH_ROWS: usize = 8192;

impl Planner {
    /// A condition over the columns of a schema, for what is decided outside of a plan.
    pub(crate) fn condition(
        &self,
        expression: &crate::sql::SqlExpression,
        schema: &arrow::datatypes::SchemaRef,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let columns = DFSchema::try_from(schema.as_ref().clone())?;
        let planned = self.expression(&expression.expr, &columns).map_err(|e| e.at(expression.span))?;
        super::call::refuse_calls(&planned, "a condition")?;
        let data_type = datafusion_expr::ExprSchemable::get_type(&planned, &columns)?;
        if data_type != arrow::datatypes::DataType::Boolean {
            let error = Error::plan(format!("'{}' is no condition", expression.text));
            return Err(error.at(expression.span));
        }
        physical(&planned, &columns)
    }
}

/// An expression over batches with the columns of `schema`.
pub(super) fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let subquery = expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        ))
    })?;
    if subquery {
        return Err(super::subquery::refuse(expr));
    }
    let expr = crate::function::decimal::exact_casts(expr.clone(), schema)?;
    let expr = crate::function::float_compare::exact_comparisons(&expr, schema)?;
    let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let expr = create_physical_expr(&expr, schema, &properties, &context)?;
    Ok(crate::operator::guard::guarded(expr)?)
}

/// The schema of batches that expressions compute: names of the logical plan, types of the expressions.
/// Everything is nullable: that a column is never NULL is checked where rows come in.
pub(super) fn computed_schema(
    exprs: &[Arc<dyn PhysicalExpr>],
    names: &DFSchema,
    input: &SchemaRef,
) -> Result<SchemaRef> {
    let fields = exprs
        .iter()
        .zip(names.fields())
        .map(|(e, f)| Ok(Field::new(f.name(), e.data_type(input)?, true)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Expressions as EXPLAIN shows them.
fn list(exprs: &[Expr]) -> String {
    let shown = exprs.iter().map(|e| match e {
        Expr::Alias(alias) => format!("{} AS {}", shown_expr(&alias.expr), alias.name),
        other => shown_expr(other),
    });
    shown.collect::<Vec<_>>().join(", ")
}

impl Planner {
    /// How long an operator keeps what it knows of this input: by its STATE_TTL hint, else by
    /// `table.exec.state.ttl`. `None`: for ever.
    pub(super) fn state_ttl(&self, input: &LogicalPlan) -> Option<Duration> {
        match state_ttl_of(input) {
            Some(ttl) => Some(ttl).filter(|ttl| !ttl.is_zero()),
            None => self.state.config.state_ttl(),
        }
    }

    /// The operators of a plan of which nothing is known.
    pub(super) fn lower_node(&self, plan: &LogicalPlan) -> Result<Node> {
        match plan {
            LogicalPlan::TableScan(scan) => self.lower_scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                Ok(Node { schema: alias.schema.clone(), ..self.lower(&alias.input)? })
            }
            LogicalPlan::Projection(projection) => {
                let projected = Some((&projection.expr, &projection.schema));
                if let LogicalPlan::Filter(filter) = projection.input.as_ref() {
                    return match self.lower_rank(filter, Some(&projection.expr))? {
                        Some(ranked) => calc(ranked, None, projected),
                        None => calc(self.lower(&filter.input)?, Some(&filter.predicate), projected),
                    };
                }
                calc(self.lower(&projection.input)?, None, projected)
            }
            LogicalPlan::Filter(filter) => match self.lower_rank(filter, None)? {
                Some(ranked) => Ok(ranked),
                None => calc(self.lower(&filter.input)?, Some(&filter.predicate), None),
            },
            LogicalPlan::Aggregate(aggregate) => self.lower_aggregate(aggregate),
            LogicalPlan::Distinct(distinct) => self.lower_distinct(distinct),
            LogicalPlan::Window(window) => self.lower_over(window),
            LogicalPlan::Sort(sort) => self.lower_sort(sort),
            LogicalPlan::Union(union) => {
                let inputs =
                    union.inputs.iter().map(|input| align(self.lower(input)?, &union.schema, self.zone()));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                Ok(Node::union(self.in_remembered_order(inputs), union.schema.clone()))
            }
            LogicalPlan::Limit(limit) => self.lower_limit(limit),
            LogicalPlan::Join(join) => self.lower_join(join),
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(node) = node.as_any().downcast_ref::<WatermarkNode>() {
                    return watermark(self.lower(&node.input)?, node, self.is_batch());
                }
                if let Some(node) = node.as_any().downcast_ref::<CallNode>() {
                    return self.lower_call(node);
                }
                if let Some(node) = node.as_any().downcast_ref::<UnnestNode>() {
                    return unnest(self.lower(&node.input)?, node, self.zone());
                }
                if let Some(node) = node.as_any().downcast_ref::<StateTtlNode>() {
                    return self.lower(&node.input);
                }
                if let Some(node) = node.as_any().downcast_ref::<WindowTableNode>() {
                    return self.lower_window_table(node);
                }
                if let Some(node) = node.as_any().downcast_ref::<ToChangelogNode>() {
                    return self.lower_to_changelog(node);
                }
                if let Some(node) = node.as_any().downcast_ref::<FromChangelogNode>() {
                    return self.lower_from_changelog(node);
                }
                if let Some(node) = node.as_any().downcast_ref::<MatchRecognizeNode>() {
                    return self.lower_match_recognize(node);
                }
                if let Some(node) = node.as_any().downcast_ref::<SetNode>() {
                    return self.lower_set(node);
                }
                // They say something to the join above them.
                if let Some(node) = node.as_any().downcast_ref::<VersionNode>() {
                    return self.lower(&node.input);
                }
                if let Some(node) = node.as_any().downcast_ref::<SnapshotNode>() {
                    return self.lower_snapshot(node);
                }
                Err(Error::internal(format!("no operator for {}", node.name())))
            }
            LogicalPlan::EmptyRelation(empty) => {
                let rows = usize::from(empty.produce_one_row);
                let arrow: SchemaRef = Arc::new(empty.schema.as_arrow().clone());
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let columns =
                    arrow.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), rows));
                let batch = RecordBatch::try_new_with_options(arrow.clone(), columns.collect(), &options)?;
                let text = if rows == 0 { "none" } else { "one" };
                Ok(values(vec![batch], text, empty.schema.clone(), arrow))
            }
            LogicalPlan::Values(rows) => {
                let none = DFSchema::empty();
                let one = RecordBatch::try_new_with_options(
                    Arc::new(Schema::empty()),
                    vec![],
                    &RecordBatchOptions::new().with_row_count(Some(1)),
                )?;
                let arrow = nullable(rows.schema.as_arrow());
                let mut batches = Vec::with_capacity(rows.values.len());
                for row in &rows.values {
                    let columns = row
                        .iter()
                        .map(|e| Ok(physical(e, &none)?.evaluate(&one)?.into_array(1)?))
                        .collect::<Result<_>>()?;
                    batches.push(RecordBatch::try_new(arrow.clone(), columns)?);
                }
                let batch = arrow::compute::concat_batches(&arrow, &batches)?;
                Ok(values(vec![batch], &meaning::rows_of(&rows.values), rows.schema.clone(), arrow))
            }
            // LATERAL that does not look at what stands before it.
            LogicalPlan::Subquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                self.lower(&subquery.subquery)
            }
            other => Err(refuse(other)),
        }
    }

    fn lower_scan(&self, scan: &TableScan) -> Result<Node> {
        let Some(raw) = scan.source.downcast_ref::<RawTable>() else {
            return Err(Error::internal(format!("table '{}' was not resolved", scan.table_name)));
        };
        let wanted = scan.projection.clone().unwrap_or_else(|| (0..raw.columns.len()).collect());
        let node = self.scan_node(scan, raw, &wanted)?;
        let Body::Source(source) = &node.body else { return Ok(node) };
        if source.changelog() != SourceChangelog::Upsert {
            return Ok(node);
        }
        // Upserts are told apart by the key, whether the query wants it or not.
        let table = &raw.reference.table;
        let is_key = |i: &usize| table.primary_key.contains(raw.schema.field(*i).name());
        let more = (0..raw.columns.len()).filter(|i| is_key(i) && !wanted.contains(i));
        let all: Vec<usize> = wanted.iter().copied().chain(more).collect();
        if all.len() == wanted.len() {
            return normalize(node, self.state.config.state_ttl());
        }
        let node = normalize(self.scan_node(scan, raw, &all)?, self.state.config.state_ttl())?;
        let columns: Vec<Expr> =
            node.schema.columns().into_iter().take(wanted.len()).map(Expr::Column).collect();
        calc(node, None, Some((&columns, &scan.projected_schema)))
    }
}

/// Upserts by their key become changes.
pub(super) fn normalize(input: Node, state_ttl: Option<Duration>) -> Result<Node> {
    let Some(key) = input.properties.keys.first().cloned() else {
        return Err(Error::internal(format!("upserts without their key: {}", input.detail)));
    };
    let names: Vec<&str> = key.iter().map(|&i| input.arrow.field(i).name().as_str()).collect();
    let detail = format!("key=[{}]", names.join(", "));
    let spec = ChangelogNormalizeSpec {
        keys: key.clone(),
        schema: input.arrow.clone(),
        emit_before: true,
        state_ttl,
    };
    let build: BuildNode = Arc::new(move |wiring| {
        let spec = ChangelogNormalizeSpec { emit_before: wiring.emit_before, ..spec.clone() };
        Ok(Arc::new(move || Ok(Box::new(ChangelogNormalize::new(spec.clone())?))))
    });
    let state = Parts::new("ChangelogNormalize", 1)
        .rows("rows", &input)
        .columns("key", &input, &key)
        .kept("columns", &input);
    let known = (input.properties.clone(), Meaning::made(state, input.meaning.columns.clone()));
    let columns = (input.schema.clone(), input.arrow.clone());
    let inputs = vec![Input { node: input, distribution: Distribution::Keys(key), demand: Demand::After }];
    Ok(Node::operator("ChangelogNormalize", detail, build, inputs, columns, known).originating(true))
}

impl Planner {
    /// Reads columns of a table.
    fn scan_node(&self, scan: &TableScan, raw: &RawTable, projection: &[usize]) -> Result<Node> {
        let table = &raw.reference.table;
        let connector = table.connector()?;
        let schema: SchemaRef = Arc::new(raw.schema.project(projection)?);
        let rejects = table.options.contains(SCAN_OPTION);
        let read = if rejects { with_rejected(&schema) } else { schema.clone() };
        let request = ScanRequest {
            table: table.clone(),
            projection: projection.iter().map(|&i| raw.columns[i]).collect(),
            schema: read.clone(),
            batch_rows: BATCH_ROWS,
            zone: self.zone().to_string(),
        };
        let make = || self.scanned(raw, &request).map_err(|e| e.at(raw.reference.hints.span));
        let source = self.source_of(&request, make)?;
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut about = source.describe();
        if !source.replays() {
            about.push_str(if about.is_empty() { "" } else { ", " });
            about.push_str("cannot be replayed");
        }
        let detail = format!(
            "{} ({}{}{}) [{}]",
            table.name,
            connector.name(),
            if about.is_empty() { "" } else { ": " },
            about,
            names.join(", ")
        );
        let position = |name: &String| schema.fields().iter().position(|f| f.name() == name);
        let key: Option<Vec<usize>> = table.primary_key.iter().map(position).collect();
        let properties = Properties {
            changes: match source.changelog() {
                SourceChangelog::Append => Changes::APPEND,
                SourceChangelog::Upsert | SourceChangelog::All => Changes::ALL,
            },
            keys: key.into_iter().filter(|key| !key.is_empty()).collect(),
            bounded: source.bounded(),
            ..Properties::default()
        };
        let columns = |schema: SchemaRef| -> Result<_> {
            let qualified = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &schema)?;
            Ok((Arc::new(qualified), schema))
        };
        let names = read.fields().iter().map(|f| f.name());
        let called = self.known_name(&table.name);
        let known = (properties.clone(), Meaning::table(called, names));
        let place = place_of(connector, table)?;
        let of = (Some(table.name.clone()), place);
        let node = Node::source(source, of, detail, columns(read.clone())?, known);
        if !rejects {
            return Ok(node);
        }
        let decoded = schema.clone();
        let names = schema.fields().iter().map(|f| f.name());
        let known = (properties, Meaning::table(called, names));
        let build: BuildOperator = Arc::new(move || Ok(Box::new(DecodedRows::new(decoded.clone()))));
        Ok(Node::forward("DecodedRows", String::new(), build, node, columns(schema)?, known))
    }
}

/// Where a table is read, and where its data was before.
pub(super) fn place_of(connector: &dyn Connector, table: &Table) -> Result<Option<Place>> {
    let place = connector.place(table)?;
    match (place, table.options.text(MOVED_FROM)) {
        (place, None) => Ok(place),
        (Some(mut place), Some(from)) => {
            place.moved_from = Some(from.to_string());
            Ok(Some(place))
        }
        (None, Some(_)) => Err(Error::option(format!(
            "option '{MOVED_FROM}': tables of connector '{}' are in no place that they could have moved from",
            connector.name()
        ))
        .at(table.options.span(MOVED_FROM))),
    }
}

/// FETCH and OFFSET, which are whole numbers.
pub(super) fn limit_of(limit: &datafusion_expr::logical_plan::Limit) -> Result<(u64, u64)> {
    let (FetchType::Literal(fetch), SkipType::Literal(skip)) =
        (limit.get_fetch_type()?, limit.get_skip_type()?)
    else {
        return Err(Error::unsupported("LIMIT and OFFSET take whole numbers"));
    };
    Ok((fetch.map_or(u64::MAX, |n| n as u64), skip as u64))
}

/// The same schema with every field nullable.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Which column of the input each expression forwards as it is.
pub(super) fn forwarded(exprs: &[Expr], input: &DFSchema) -> Vec<Option<usize>> {
    let plain = |e: &Expr| match e.clone().unalias_nested().data {
        Expr::Column(column) => input.maybe_index_of_column(&column),
        _ => None,
    };
    exprs.iter().map(plain).collect()
}

/// Appends filter and projection.
pub(super) fn calc(
    input: Node,
    condition: Option<&Expr>,
    projection: Option<(&Vec<Expr>, &DFSchemaRef)>,
) -> Result<Node> {
    if condition.into_iter().chain(projection.iter().flat_map(|p| p.0)).any(current_watermark::is_in) {
        return current_watermark::calc(input, condition, projection);
    }
    let made_of = projection.map(|(exprs, _)| exprs.as_slice());
    let condition_expr = condition.map(|c| physical(c, &input.schema)).transpose()?;
    let mut detail = Vec::new();
    let mut properties = input.properties.clone();
    let (projection, schema, arrow) = match projection {
        None => (None, input.schema.clone(), input.arrow.clone()),
        Some((exprs, schema)) => {
            let compiled = exprs.iter().map(|e| physical(e, &input.schema)).collect::<Result<Vec<_>>>()?;
            let arrow = computed_schema(&compiled, schema, &input.arrow)?;
            detail.push(format!("select=[{}]", list(exprs)));
            properties = properties.project(&forwarded(exprs, &input.schema));
            for (position, expr) in exprs.iter().enumerate() {
                if is_proctime(expr) {
                    properties.proctimes.push(position);
                }
            }
            (Some((compiled, arrow.clone())), schema.clone(), arrow)
        }
    };
    if let Some(condition) = condition {
        detail.push(format!("where=[{}]", shown_expr(condition)));
    }
    let meaning = Meaning::calc(&input, condition, made_of);
    let operator = Calc::new(condition_expr, projection);
    let build: BuildOperator = Arc::new(move || Ok(Box::new(operator.clone())));
    let updates = input.properties.changes.update;
    let known = (properties, meaning);
    let mut node = Node::forward("Calc", detail.join(", "), build, input, (schema, arrow), known)
        .shaped(Shape::Calc { filters: condition.is_some() });
    if condition.is_some() && updates {
        // A row that no longer passes is taken back by its `-U` alone.
        node.inputs[0].demand = Demand::Before;
        node.properties.changes.delete = true;
    }
    Ok(node)
}

/// `PROCTIME()`, perhaps renamed.
fn is_proctime(expr: &Expr) -> bool {
    matches!(expr.clone().unalias_nested().data,
        Expr::ScalarFunction(f) if f.name().eq_ignore_ascii_case("proctime"))
}

/// Appends computed columns where an expression is no column of the node; the position of each expression.
/// What was there stays where it was.
pub(super) fn with_columns(input: Node, exprs: &[Expr]) -> Result<(Node, Vec<usize>)> {
    let plain = forwarded(exprs, &input.schema);
    if plain.iter().all(Option::is_some) {
        return Ok((input, plain.into_iter().flatten().collect()));
    }
    let mut columns: Vec<Expr> = input.schema.columns().into_iter().map(Expr::Column).collect();
    let mut fields: Vec<_> = input.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let mut positions = Vec::with_capacity(exprs.len());
    for (expr, plain) in exprs.iter().zip(plain) {
        positions.push(plain.unwrap_or(columns.len()));
        if plain.is_none() {
            let name = format!("$key{}", columns.len());
            let (_, field) = expr.to_field(&input.schema)?;
            fields.push((None, Arc::new(field.as_ref().clone().with_name(&name))));
            columns.push(expr.clone().alias(name));
        }
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    Ok((calc(input, None, Some((&columns, &schema)))?, positions))
}

/// Casts the columns of a node to the types of a schema where they differ.
pub(super) fn align(input: Node, schema: &DFSchemaRef, zone: &str) -> Result<Node> {
    let wanted = schema.as_arrow();
    let same = input.arrow.fields().iter().zip(wanted.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if same {
        // Rows of several inputs meet: their batches must agree to the letter.
        return Ok(Node { schema: schema.clone(), arrow: nullable(wanted), ..input });
    }
    let columns = input.schema.columns().into_iter().zip(input.arrow.fields()).zip(wanted.fields());
    let exprs = columns.map(|((column, from), field)| {
        let (from, to, column) = (from.data_type(), field.data_type(), Expr::Column(column));
        let cast = match (is_text(to) && !is_text(from), SqlType::from_arrow(to)) {
            (true, Some(text)) => cast_expr(column, from, &text, zone, false)?,
            _ => Expr::Cast(datafusion_expr::Cast::new(Box::new(column), to.clone())),
        };
        Ok(cast.alias(field.name()))
    });
    let exprs = exprs.collect::<Result<Vec<Expr>>>()?;
    calc(input, None, Some((&exprs, schema)))
}

fn watermark(input: Node, node: &WatermarkNode, at_end: bool) -> Result<Node> {
    let compiled = physical(&node.expression, &input.schema)?;
    let rowtime = forwarded(std::slice::from_ref(&node.column), &input.schema)[0];
    let rowtime = rowtime.ok_or_else(|| Error::internal("a rowtime that is not a column"))?;
    let spec = WatermarkSpec {
        rowtime,
        expression: compiled,
        idle_timeout: node.idle_timeout,
        at_end,
        each_row: node.each_row,
    };
    let build: BuildOperator = Arc::new(move || Ok(Box::new(WatermarkAssigner::new(spec.clone()))));
    let columns = (input.schema.clone(), input.arrow.clone());
    let mut properties = input.properties.clone();
    properties.rowtimes = vec![rowtime];
    let mut detail = shown_expr(&node.expression);
    if let Some(timeout) = node.idle_timeout {
        detail.push_str(&format!(", idle-timeout={timeout:?}"));
    }
    let state = Parts::new("WatermarkAssigner", 1)
        .stream("rows", &input)
        .columns("time", &input, &[rowtime])
        .with("watermark", &*input.text_of(&node.expression));
    let known = (properties, input.meaning.clone().keeping(state));
    let shape = Shape::Watermark { idle_timeout: node.idle_timeout.is_some() };
    Ok(Node::forward("WatermarkAssigner", detail, build, input, columns, known).shaped(shape))
}

fn unnest(input: Node, node: &UnnestNode, zone: &str) -> Result<Node> {
    let collection = physical(&node.collection, &input.schema)?;
    let fields = input.arrow.fields().iter().map(|f| f.as_ref().clone());
    let elements = node.elements.iter().map(|(_, f)| f.as_ref().clone().with_nullable(true));
    let arrow: SchemaRef = Arc::new(Schema::new(fields.chain(elements).collect::<Vec<_>>()));
    let condition = node.condition.clone().map(|c| coerce_expression(c, &node.schema, zone)).transpose()?;
    let condition = condition.map(|c| physical(&c, &node.schema)).transpose()?;
    let spec = UnnestSpec {
        collection,
        outer: node.outer,
        ordinality: node.ordinality,
        condition,
        unread: node.unread.clone(),
        schema: arrow.clone(),
    };
    let build: BuildOperator = Arc::new(move || Ok(Box::new(Unnest::new(spec.clone()))));
    let mut detail = format!("{}{}", if node.outer { "left, " } else { "" }, shown_expr(&node.collection));
    if let Some(condition) = &node.condition {
        detail.push_str(&format!(", on=[{}]", shown_expr(condition)));
    }
    // Several rows of one: its key is one no more, and `-U` must take back all of them.
    let updates = input.properties.changes.update;
    let properties = Properties { keys: Vec::new(), ..input.properties.clone() };
    let what = Parts::new("Unnest", 1)
        .with("of", &*input.text_of(&node.collection))
        .flag("outer", node.outer)
        .flag("ordinality", node.ordinality);
    let element = |i: usize| format!("element {i} of {}", input.text_of(&node.collection)).into();
    let mut texts = input.meaning.columns.clone();
    texts.extend((0..node.elements.len()).map(element));
    let column = |c: &datafusion_common::Column| texts.get(node.schema.maybe_index_of_column(c)?).cloned();
    let what = what.condition("condition", &node.condition, &column);
    let known = (properties, Meaning::passed(what, &input, texts));
    let mut node = Node::forward("Unnest", detail, build, input, (node.schema.clone(), arrow), known);
    if updates {
        node.inputs[0].demand = Demand::Before;
    }
    Ok(node)
}

fn values(batches: Vec<RecordBatch>, text: &str, schema: DFSchemaRef, arrow: SchemaRef) -> Node {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let properties = Properties { bounded: true, ..Properties::default() };
    let known = (properties, Meaning::values(text, schema.fields().len()));
    let detail = format!("Values ({rows} rows)");
    Node::source(Arc::new(ValuesSource::new(batches)), (None, None), detail, (schema, arrow), known)
}

/// What cannot run, by the name a user knows it by.
fn refuse(plan: &LogicalPlan) -> Error {
    let what = match plan {
        LogicalPlan::Subquery(_) => "this subquery is",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE is",
        LogicalPlan::Unnest(_) => "UNNEST in the SELECT list is",
        other => return Error::unsupported(format!("{} is not supported", other.display())),
    };
    Error::unsupported(format!("{what} not supported"))
}
