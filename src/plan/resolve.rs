//! Between binding and rewriting: casts get Flink's meaning, sources are spelled out, lookups and UNNEST
//! find the join they belong to.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DFSchemaRef, JoinType, Result as DfResult, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Join, Projection, Subquery, SubqueryAlias, TableScan, Union};
use datafusion_expr::{
    Cast, EmptyRelation, Expr, ExprSchemable, Extension, Filter, LogicalPlan, LogicalPlanBuilder,
    UserDefinedLogicalNode, utils::merge_schema,
};
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion_optimizer::analyzer::type_coercion::{TypeCoercion, TypeCoercionRewriter};
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_filter::EliminateFilter;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerContext, OptimizerRule};
use sqlparser::ast::Spanned;

use super::bind::span_of;
use super::match_recognize::MatchRecognizeNode;
use super::node::{ElementsNode, UnnestNode, WatermarkNode, WindowTableNode};
use super::provider::{Planner, RawTable, SQL_TYPE_KEY, TableRef};
use super::push_filter::PushFilters;
use super::version::{Period, SnapshotNode, VersionNode, version_below, version_of};
use crate::catalog::Table;
use crate::connector::SourceChangelog;
use crate::connector::registry::IDLE_TIMEOUT;
use crate::error::{Error, Result};
use crate::function::cast::cast_expr;
use crate::function::coerce;
use crate::function::common::is_text;
use crate::function::tree::{PlanTree, Tree};
use crate::sql::SqlType;

/// Whether a table is looked up in when it stands on the right of a join.
pub(super) fn is_lookup_table(table: &Table) -> bool {
    table.connector().is_ok_and(|c| c.is_lookup(&table.options))
}

/// Whether a table can only be looked up in, or is asked to be.
pub(super) fn must_look_up(reference: &TableRef) -> bool {
    reference.period.is_some() || !reference.hints.lookup.is_empty() || is_lookup_only(&reference.table)
}

/// Whether a LATERAL call on the right of a join does nothing but to pick rows by conditions on the left side.
fn is_plain_lateral(plan: &LogicalPlan, names: &DFSchemaRef) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Subquery(Subquery { subquery, .. }) => is_plain_lateral(subquery, names),
        LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => {
            filter.input.schema().fields().len() == names.fields().len()
                && is_plain_lateral(&filter.input, names)
        }
        other => other.inputs().into_iter().all(|input| is_plain_lateral(input, names)),
    }
}

/// Whether a join with a lookup table may be a lookup join, by what is written:
///
/// | the table | a lookup join |
/// |---|---|
/// | stands after FOR SYSTEM_TIME AS OF a processing time, or has a LOOKUP hint | always |
/// | is one to be asked (connector `http`) | always |
/// | can be read as well (connectors `filesystem`, `jdbc`) | in JOIN and LEFT JOIN, if it has no WATERMARK and a format without changes, and a condition is an equality with a column of the table as it is |
///
/// Any other join reads the table as a stream. What is a lookup join by these rules and cannot be one, because of the
/// type of a key or an option, is an error and never a join of streams.
fn looks_up(reference: &TableRef, join_type: JoinType) -> Result<bool> {
    let table = &reference.table;
    if !is_lookup_table(table) {
        return Ok(false);
    }
    if must_look_up(reference) {
        return Ok(true);
    }
    let changes = match table.connector()?.takes_format() {
        true => crate::format::Format::from_options(&table.options)?.source_changelog(),
        false => SourceChangelog::Append,
    };
    Ok(table.watermark.is_none()
        && changes == SourceChangelog::Append
        && matches!(join_type, JoinType::Inner | JoinType::Left))
}

/// Whether a table is not read as a stream where it stands on the right of a join.
fn is_lookup_only(table: &Table) -> bool {
    table.connector().is_ok_and(|c| c.joins_by_lookup())
}

const PERIOD_HINT: &str = "add a column proc_time AS PROCTIME() to the left table, or leave FOR SYSTEM_TIME out: a plain JOIN on a lookup table is a lookup join";

/// The same plan, its tables without FOR SYSTEM_TIME AS OF.
fn without_period(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.clone().transform_down(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<TableRef>() else { return Ok(Transformed::no(node)) };
        let source = TableRef {
            table: source.table.clone(),
            hints: source.hints.clone(),
            period: None,
            schema: source.schema.clone(),
            computed: source.computed.clone(),
        };
        let scan = TableScan { source: Arc::new(source), ..scan.clone() };
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(plan.data)
}

/// The SQL type that a CAST names.
fn cast_target(field: &arrow::datatypes::Field) -> Option<SqlType> {
    match field.metadata().get(SQL_TYPE_KEY) {
        Some(text) => crate::sql::type_parser::parse_type(text).ok(),
        None => SqlType::from_arrow(field.data_type()),
    }
}

/// Gives the casts of an expression Flink's meaning.
fn rewrite_casts(expr: Expr, schema: &DFSchema, zone: &str) -> DfResult<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let (inner, field, is_try) = match expr {
            Expr::Cast(cast) => (cast.expr, cast.field, false),
            Expr::TryCast(cast) => (cast.expr, cast.field, true),
            other => return Ok(Transformed::no(other)),
        };
        let from = inner.get_type(schema)?;
        let Some(target) = cast_target(&field) else {
            return Err(Error::unsupported(format!("CAST to {} is not supported", field.data_type())).into());
        };
        let digits = match is_text_type(&target) {
            true => odd_precision(&inner, &from, schema)?,
            false => None,
        };
        let Some(digits) = digits else {
            return Ok(Transformed::yes(cast_expr(*inner, &from, &target, zone, is_try)?));
        };
        let text = cast_expr(*inner, &from, &SqlType::String, zone, is_try)?;
        let text = crate::function::fraction::cut_fraction(text, digits);
        let from = text.get_type(schema)?;
        Ok(Transformed::yes(cast_expr(text, &from, &target, zone, is_try)?))
    })
}

fn is_text_type(t: &SqlType) -> bool {
    matches!(t, SqlType::String | SqlType::Char(_) | SqlType::Varchar(_))
}

/// The precision of a moment that Arrow has no unit for, such as that of TIMESTAMP(1).
fn odd_precision(expr: &Expr, from: &DataType, schema: &DFSchema) -> Result<Option<u8>> {
    use crate::function::type_of::{Scope, derive};
    use crate::function::typed::Kind;
    if !matches!(from, DataType::Timestamp(..)) {
        return Ok(None);
    }
    Ok(match derive(expr, &Scope::of(schema))?.kind {
        Kind::Plain(SqlType::Timestamp(p) | SqlType::TimestampLtz(p)) if p % 3 != 0 => Some(p),
        _ => None,
    })
}

/// Whole numbers that fit are INT, as in Flink.
fn narrow_literals(expr: Expr) -> DfResult<Transformed<Expr>> {
    expr.transform_up(|expr| match &expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), metadata) => match i32::try_from(*n) {
            Ok(n) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(n)), metadata.clone()))),
            Err(_) => Ok(Transformed::no(expr)),
        },
        // Beyond BIGINT.
        Expr::Literal(ScalarValue::UInt64(Some(n)), metadata) => {
            let value = ScalarValue::Decimal128(Some(i128::from(*n)), 20, 0);
            Ok(Transformed::yes(Expr::Literal(value, metadata.clone())))
        }
        // The zero before the point is a digit.
        Expr::Literal(ScalarValue::Decimal128(v, p, s), metadata)
            if i16::from(*p) == i16::from(*s) && *p < 38 =>
        {
            let value = ScalarValue::Decimal128(*v, *p + 1, *s);
            Ok(Transformed::yes(Expr::Literal(value, metadata.clone())))
        }
        _ => Ok(Transformed::no(expr)),
    })
}

/// Refuses to compare what has no common type, where DataFusion has no word for it.
fn comparable(expr: &Expr, schema: &DFSchema) -> DfResult<()> {
    expr.apply(|e| {
        let (value, with, what): (_, Vec<&Expr>, _) = match e {
            Expr::Between(between) => (&between.expr, vec![&between.low, &between.high], "BETWEEN"),
            Expr::InList(list) => (&list.expr, list.list.iter().collect(), "IN"),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let Ok(own) = value.get_type(schema) else { return Ok(TreeNodeRecursion::Continue) };
        for other in with {
            if let Ok(other) = other.get_type(schema)
                && !coerce::comparable(&own, &other)
            {
                let (l, r) = (super::lookup_join::shown(&own), super::lookup_join::shown(&other));
                return Err(Error::plan(format!("{what} does not compare {l} with {r}"))
                    .with_detail(e.human_display().to_string())
                    .with_hint(coerce::comparison_hint(&own, &other))
                    .into());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Casts and coercion of one expression.
pub(super) fn coerce_expression(expr: Expr, schema: &DFSchema, zone: &str) -> Result<Expr> {
    let expr = narrow_literals(expr)?.data;
    let expr = rewrite_casts(expr, schema, zone)?.data;
    let expr = coerce::coerce(expr, schema, zone, false)?;
    let scope = crate::function::type_of::Scope::of(schema);
    let expr = expr.transform_down(|e| crate::function::type_of::folded(e, &scope))?.data;
    let mut coercion = TypeCoercionRewriter::new(schema);
    Ok(datafusion_common::tree_node::TreeNode::rewrite(expr, &mut coercion)?.data)
}

/// The conjuncts of `a AND b AND ...`.
fn all_of(mut conjuncts: Vec<Expr>) -> Option<Expr> {
    let first = (!conjuncts.is_empty()).then(|| conjuncts.remove(0))?;
    Some(conjuncts.into_iter().fold(first, Expr::and))
}

pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

/// Outer columns become columns: the left side of the join is an input now.
pub(super) fn bring_in(expr: Expr) -> DfResult<Expr> {
    let inner = expr.transform_up(|e| match e {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(inner.data)
}

/// Takes aliases, renaming projections and the subquery wrapper off; what is below, if it gives the same
/// columns in the same order.
fn below_names(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => below_names(input),
        LogicalPlan::Subquery(Subquery { subquery, .. }) => below_names(subquery),
        LogicalPlan::Projection(Projection { expr, input, .. }) if renames(expr, input.schema()) => {
            below_names(input)
        }
        other => other,
    }
}

fn renames(exprs: &[Expr], input: &DFSchemaRef) -> bool {
    exprs.len() == input.fields().len()
        && exprs.iter().enumerate().all(|(i, e)| match e.clone().unalias() {
            Expr::Column(c) => input.maybe_index_of_column(&c) == Some(i),
            _ => false,
        })
}

/// The one table below aliases, projections and filters.
pub(super) fn table_below(plan: &LogicalPlan) -> Option<&TableRef> {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
        | LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. }) => table_below(input),
        LogicalPlan::Subquery(Subquery { subquery, .. }) => table_below(subquery),
        LogicalPlan::TableScan(TableScan { source, .. }) => source.downcast_ref::<TableRef>(),
        _ => None,
    }
}

impl Planner {
    /// Casts, sources, lookups, UNNEST.
    pub(super) fn resolve(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let zone = self.zone();
        let plan = self.resolve_node(super::element_query::rewrite(plan, zone)?)?;
        let plan = plan.transform_all_up(|node| {
            let mut schema = merge_schema(&node.inputs());
            if let LogicalPlan::TableScan(scan) = &node {
                schema = scan.projected_schema.as_ref().clone();
            }
            let names = NamePreserver::new(&node);
            // LIMIT wants BIGINT.
            let literals = !matches!(node, LogicalPlan::Limit(_));
            let keys = matches!(node, LogicalPlan::Join(_));
            let rewritten = node.map_own(|e| {
                let name = names.save(&e);
                let e = if literals { narrow_literals(e)? } else { Transformed::no(e) };
                let e = e.transform_data(|e| rewrite_casts(e, &schema, zone))?;
                let e =
                    e.transform_data(|e| Ok(Transformed::yes(coerce::coerce(e, &schema, zone, keys)?)))?;
                comparable(&e.data, &schema)?;
                Ok(e.update_data(|e| name.restore(e)))
            })?;
            rewritten.map_data(|n| match n {
                LogicalPlan::Values(rows) => LogicalPlanBuilder::values(rows.values)?.build(),
                LogicalPlan::Union(union) => Ok(LogicalPlan::Union(alike(union, zone)?)),
                other => other.recompute_schema(),
            })
        })?;
        let plan = plan.data;
        match self.state.types_asked.load(std::sync::atomic::Ordering::Relaxed) {
            true => super::typed::fold_type_of(plan),
            false => Ok(plan),
        }
    }

    fn resolve_node(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Join(join) => {
                let plan = self.resolve_join(join)?;
                // Subqueries in ON.
                Ok(plan.map_subqueries(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?.data)
            }
            LogicalPlan::TableScan(scan) => self.resolve_scan(scan),
            LogicalPlan::Extension(Extension { node }) => {
                match node.as_any().downcast_ref::<ElementsNode>() {
                    Some(elements) => {
                        let one = LogicalPlan::EmptyRelation(EmptyRelation {
                            produce_one_row: true,
                            schema: Arc::new(DFSchema::empty()),
                        });
                        let fields = elements.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
                        unnest(one, elements, false, fields)
                    }
                    None => self.resolve_extension(node),
                }
            }
            LogicalPlan::Subquery(subquery) => Ok(LogicalPlan::Subquery(self.resolve_subquery(subquery)?)),
            other => {
                let other = other.map_children(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?.data;
                Ok(other.map_subqueries(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?.data)
            }
        }
    }

    fn resolve_extension(&self, node: Arc<dyn UserDefinedLogicalNode>) -> Result<LogicalPlan> {
        if let Some(version) = node.as_any().downcast_ref::<VersionNode>() {
            let period = &version.period;
            return Err(Error::plan(format!(
                "FOR SYSTEM_TIME AS OF '{period}' needs a join with a table on its left"
            ))
            .at(span_of(period.span())));
        }
        if node.as_any().is::<SnapshotNode>() {
            return Err(Error::plan("SNAPSHOT needs a join with a table on its left")
                .with_hint("write FROM stream JOIN LATERAL SNAPSHOT(input => TABLE t, ...) AS s ON ..."));
        }
        let plan = LogicalPlan::Extension(Extension { node });
        Ok(plan.map_children(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?.data)
    }

    /// The right side of a join, with tables at a moment.
    fn resolve_right(&self, right: &LogicalPlan) -> Result<LogicalPlan> {
        match right {
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {
                let resolved =
                    right.clone().map_children(|child| Ok(Transformed::yes(self.resolve_right(&child)?)))?;
                Ok(resolved
                    .data
                    .map_subqueries(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?
                    .data)
            }
            LogicalPlan::Extension(Extension { node }) if node.as_any().is::<SnapshotNode>() => {
                let resolved =
                    right.clone().map_children(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?;
                Ok(resolved.data)
            }
            other => self.resolve_node(other.clone()),
        }
    }

    fn resolve_subquery(&self, subquery: Subquery) -> Result<Subquery> {
        let plan = self.resolve_node(Arc::unwrap_or_clone(subquery.subquery))?;
        Ok(Subquery { subquery: Arc::new(plan), ..subquery })
    }

    /// A table as a source: raw columns, computed columns, watermark.
    fn resolve_scan(&self, scan: TableScan) -> Result<LogicalPlan> {
        let Some(reference) = scan.source.downcast_ref::<TableRef>() else {
            return Ok(LogicalPlan::TableScan(scan));
        };
        if let Some(period) = &reference.period {
            return Err(Error::plan(format!(
                "FOR SYSTEM_TIME AS OF '{}' needs a join with a table on its left",
                period
            ))
            .at(span_of(period.span())));
        }
        let plan = self.spell_out(&scan, reference, false)?;
        let Some(watermark) = &reference.table.watermark else { return Ok(plan) };
        let expression = self
            .expression(&watermark.expression.expr, plan.schema())
            .map_err(|e| e.context(format!("watermark of '{}'", reference.table.name)))?;
        let column = Expr::Column(Column::new(Some(scan.table_name.clone()), &watermark.column));
        let idle_timeout = match reference.table.options.duration(IDLE_TIMEOUT)? {
            Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            None => self.state.config.source_idle_timeout(),
        };
        let each_row = self.state.watermarks_asked.load(std::sync::atomic::Ordering::Relaxed);
        let node = WatermarkNode { input: plan, column, expression, idle_timeout, each_row };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The connector's columns and, above them, the computed ones.
    fn spell_out(&self, scan: &TableScan, reference: &TableRef, is_lookup: bool) -> Result<LogicalPlan> {
        let (columns, schema) = self.raw_columns(&reference.table);
        let raw = RawTable {
            reference: Arc::new(TableRef {
                table: reference.table.clone(),
                hints: reference.hints.clone(),
                period: reference.period.clone(),
                schema: reference.schema.clone(),
                computed: Vec::new(),
            }),
            columns,
            schema,
            is_lookup,
        };
        let name = scan.table_name.clone();
        let plan = LogicalPlanBuilder::scan(name.clone(), Arc::new(raw), None)?;
        if reference.computed.is_empty() {
            return Ok(plan.build()?);
        }
        let computed: std::collections::HashMap<usize, &Expr> =
            reference.computed.iter().map(|(i, e)| (*i, e)).collect();
        let exprs = reference.table.columns.iter().enumerate().map(|(i, column)| match computed.get(&i) {
            // Its columns are qualified with the table's own name, which an alias may have replaced.
            Some(expr) => requalify((*expr).clone(), &name).alias_qualified(Some(name.clone()), &column.name),
            None => Expr::Column(Column::new(Some(name.clone()), &column.name)),
        });
        Ok(plan.project(exprs.collect::<Vec<_>>())?.build()?)
    }

    fn resolve_join(&self, mut join: Join) -> Result<LogicalPlan> {
        let left = self.resolve_node(Arc::unwrap_or_clone(join.left.clone()))?;
        let right = join.right.as_ref();
        if let LogicalPlan::Extension(Extension { node }) = below_names(right)
            && let Some(elements) = node.as_any().downcast_ref::<ElementsNode>()
        {
            return unnest_join(left, elements, &join);
        }
        if let Some(plan) = super::element_query::lateral(&left, &join)? {
            return Ok(plan);
        }
        if version_below(right).is_some() {
            join.left = Arc::new(left);
            return self.join_versions(join);
        }
        let Some(reference) = table_below(right) else {
            join.right = Arc::new(self.resolve_right(right)?);
            join.left = Arc::new(left);
            return Ok(LogicalPlan::Join(join));
        };
        if let Some(period) = &reference.period
            && let Period::Column(column) = self.period(period, &left, PERIOD_HINT)?
        {
            if is_lookup_only(&reference.table) {
                return Err(Error::unsupported(format!(
                    "'{}' is not processing time: lookup table '{}' knows what is now, not what was then",
                    column.flat_name(),
                    reference.table.name
                ))
                .with_hint(PERIOD_HINT)
                .at(span_of(period.span())));
            }
            // It is read, and has versions.
            let versions = version_of(without_period(right)?, period.clone());
            let plan = LogicalPlanBuilder::from(versions);
            join.left = Arc::new(left);
            join.right = Arc::new(plan.build()?);
            return self.join_versions(join);
        }
        let mut conditions: Vec<Expr> = join.filter.iter().filter(|f| !is_true(f)).cloned().collect();
        // What a subquery says of its rows is found in a stream of them.
        let asks = (join.filter.as_ref().is_some_and(super::subquery::has_any) || has_subquery(right)?)
            && !must_look_up(reference);
        let looked_up = !asks
            && looks_up(reference, join.join_type)?
            && (must_look_up(reference) || is_plain_lateral(right, right.schema()));
        let looked_up = match looked_up {
            true => Some(self.lookup_side(right, right.schema(), &mut conditions)?),
            false => None,
        };
        let Some(right) = looked_up else {
            join.right = Arc::new(self.resolve_right(right)?);
            join.left = Arc::new(left);
            return Ok(LogicalPlan::Join(join));
        };
        join.left = Arc::new(left);
        join.right = Arc::new(right);
        join.filter = all_of(conditions);
        Ok(LogicalPlan::Join(join))
    }

    /// A join with the versions of a table. Its left side is resolved.
    fn join_versions(&self, mut join: Join) -> Result<LogicalPlan> {
        let (right, mark) = self.resolve_version(&join.right, &join.left, |p| self.resolve_node(p))?;
        let conditions = join.filter.take().into_iter().filter(|f| !is_true(f));
        join.filter = all_of(conditions.chain(mark).collect());
        join.right = Arc::new(right);
        Ok(LogicalPlan::Join(join))
    }

    /// The right side of a lookup join with its table spelled out. Predicates of a LATERAL call that refer
    /// to the left side move into the join's conditions.
    fn lookup_side(
        &self,
        plan: &LogicalPlan,
        names: &DFSchemaRef,
        conditions: &mut Vec<Expr>,
    ) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<TableRef>() {
                Some(reference) => self.spell_out(scan, reference, true),
                None => Ok(plan.clone()),
            },
            LogicalPlan::Subquery(Subquery { subquery, .. }) => self.lookup_side(subquery, names, conditions),
            LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => {
                let inner = filter.input.schema();
                if inner.fields().len() != names.fields().len() {
                    return Err(Error::unsupported("this LATERAL subquery is not supported")
                        .with_hint("LATERAL TABLE(lookup_table(key)) and UNNEST are"));
                }
                let moved = filter.predicate.clone().transform_up(|e| match e {
                    Expr::Column(c) => {
                        let index = inner.index_of_column(&c)?;
                        Ok(Transformed::yes(Expr::Column(Column::from(names.qualified_field(index)))))
                    }
                    other => Ok(Transformed::no(other)),
                })?;
                conditions.push(bring_in(moved.data)?);
                self.lookup_side(&filter.input, names, conditions)
            }
            other => {
                let rebuilt = other.clone().map_children(|child| {
                    Ok(Transformed::yes(self.lookup_side(&child, names, conditions)?))
                })?;
                Ok(rebuilt.data.map_subqueries(|child| Ok(Transformed::yes(self.resolve_node(child)?)))?.data)
            }
        }
    }

    /// DataFusion's coercion and those of its logical rewrites that hold for unbounded input.
    pub(super) fn rewrite(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.rewrite_as(plan, false)
    }

    /// The same; `timed`: something that is not in this plan asks for its time attributes.
    pub(super) fn rewrite_as(&self, plan: LogicalPlan, timed: bool) -> Result<LogicalPlan> {
        let mut options = ConfigOptions::default();
        // A subquery is a stream like others: it is joined, never run first.
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        let options = Arc::new(options);
        let plan = ResolveGroupingFunction::new().analyze(plan, &options)?;
        let plan = TypeCoercion::new().analyze(plan, &options)?;
        let plan = super::lateral::prepare(plan)?;
        let plan = super::guard::prepare(plan)?;
        let plan = super::subquery::prepare(plan)?;
        let context = OptimizerContext::new_with_config_options(options).without_query_execution_start_time();
        // A query without rows ends at once, unless what is above asks for a time attribute, which nothing but its source has.
        let timed = timed || is_timed(&plan)?;
        let filters: Arc<dyn OptimizerRule + Send + Sync> = match timed {
            true => Arc::new(TrueFilters),
            false => Arc::new(EliminateFilter::new()),
        };
        let optimizer = Optimizer::with_rules(vec![
            Arc::new(OptimizeUnions::new()),
            Arc::new(SimplifyExpressions::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ScalarSubqueryToJoin::new()),
            Arc::new(DecorrelateLateralJoin::new()),
            filters,
            Arc::new(EliminateOuterJoin::new()),
            // Before equalities become keys: what stands before one guards it.
            Arc::new(PushFilters),
            Arc::new(ExtractEquijoinPredicate::new()),
            Arc::new(CommonSubexprEliminate::new()),
            Arc::new(OptimizeProjections::new()),
        ]);
        let plan =
            super::call::take_out(super::nested::prune(optimizer.optimize(plan, &context, |_, _| {})?)?)?;
        Ok(super::unread::mark(plan)?)
    }
}

/// Whether something in a plan asks for a time attribute.
pub(super) fn is_timed(plan: &LogicalPlan) -> Result<bool> {
    Ok(plan.exists(|node| {
        Ok(match node {
            LogicalPlan::Window(_) => true,
            LogicalPlan::Extension(e) => {
                e.node.as_any().is::<WindowTableNode>() || e.node.as_any().is::<MatchRecognizeNode>()
            }
            _ => false,
        })
    })?)
}

/// Whether an expression of a plan has a subquery.
fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    Ok(plan.exists(|node| Ok(node.expressions().iter().any(super::subquery::has_any)))?)
}

/// Takes filters off that let everything pass.
#[derive(Debug)]
struct TrueFilters;

impl OptimizerRule for TrueFilters {
    fn name(&self) -> &str {
        "true_filters"
    }
    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }
    fn supports_rewrite(&self) -> bool {
        true
    }
    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        Ok(match plan {
            LogicalPlan::Filter(filter) if is_true(&filter.predicate) => {
                Transformed::yes(Arc::unwrap_or_clone(filter.input))
            }
            other => Transformed::no(other),
        })
    }
}

/// The inputs of a UNION with columns of the same types.
fn alike(union: Union, zone: &str) -> DfResult<Union> {
    let mut types: Vec<DataType> = Vec::new();
    for (i, input) in union.inputs.iter().enumerate() {
        let fields = input.schema().fields();
        if i == 0 {
            types = fields.iter().map(|f| f.data_type().clone()).collect();
        }
        for (t, field) in types.iter_mut().zip(fields) {
            let Some(common) = coerce::set_type(t, field.data_type()) else {
                let shown = |t: &DataType| SqlType::from_arrow(t).map_or(t.to_string(), |t| t.to_string());
                return Err(Error::plan(format!(
                    "UNION has no type for column '{}': {} and {}",
                    field.name(),
                    shown(t),
                    shown(field.data_type())
                ))
                .with_hint("CAST one side to the type of the other")
                .into());
            };
            *t = common;
        }
    }
    let inputs = union.inputs.into_iter().map(|input| {
        let same = input.schema().fields().iter().zip(&types).all(|(f, t)| f.data_type() == t);
        if same {
            return Ok(input);
        }
        let columns = input.schema().iter().zip(&types).map(|((qualifier, field), t)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            if field.data_type() == t {
                return Ok(column);
            }
            let cast = match (is_text(t) && !is_text(field.data_type()), SqlType::from_arrow(t)) {
                (true, Some(text)) => cast_expr(column, field.data_type(), &text, zone, false)?,
                _ => Expr::Cast(Cast::new(Box::new(column), t.clone())),
            };
            Ok(cast.alias_qualified(qualifier.cloned(), field.name()))
        });
        let columns: Vec<Expr> = columns.collect::<Result<_>>()?;
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)))
    });
    Union::try_new_with_loose_types(inputs.collect::<DfResult<Vec<_>>>()?)
}

/// Gives every column of an expression the qualifier `name`.
fn requalify(expr: Expr, name: &datafusion_common::TableReference) -> Expr {
    let renamed = expr.clone().transform_up(|e| match e {
        Expr::Column(c) => Ok(Transformed::yes(Expr::Column(Column::new(Some(name.clone()), c.name)))),
        other => Ok(Transformed::no(other)),
    });
    renamed.map_or(expr, |t| t.data)
}

fn unnest(
    input: LogicalPlan,
    elements: &ElementsNode,
    outer: bool,
    names: Vec<(Option<datafusion_common::TableReference>, arrow::datatypes::FieldRef)>,
) -> Result<LogicalPlan> {
    let collection = bring_in(elements.collection.clone())?;
    let node = UnnestNode::try_new(input, collection, outer, elements.ordinality, names)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn unnest_join(left: LogicalPlan, elements: &ElementsNode, join: &Join) -> Result<LogicalPlan> {
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        other => return Err(Error::unsupported(format!("{other} JOIN UNNEST is not supported"))),
    };
    let names = join.right.schema().iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let condition = join.filter.clone().filter(|f| !is_true(f));
    match condition {
        None => unnest(left, elements, outer, names),
        Some(condition) if !outer => {
            Ok(LogicalPlanBuilder::from(unnest(left, elements, outer, names)?).filter(condition)?.build()?)
        }
        Some(condition) => {
            let collection = bring_in(elements.collection.clone())?;
            let node = UnnestNode::try_new(left, collection, outer, elements.ordinality, names)?;
            let node = UnnestNode { condition: Some(condition), ..node };
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        }
    }
}
