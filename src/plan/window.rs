//! Window table functions and what is grouped by their windows.
//!
//! An aggregation over a window table function is one operator: the rows need not be copied for each of their
//! windows, and sessions need not keep their rows.
//!
//! ```text
//!  Aggregate                             WindowAggregate(window=[TUMBLE(...)])
//!   └ Projection, Filter         ──>      └ Calc (projection and filter without the window's columns)
//!      └ WindowTableFunction                 └ input
//!         └ input
//! ```
//! Where something stands between that looks at the window's columns, or rows are grouped in several ways,
//! the aggregation takes the windows from the columns of its input.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion_expr::logical_plan::{Aggregate, Filter, Projection, SubqueryAlias};
use datafusion_expr::{Expr, Extension, LogicalPlan};

use super::aggregate::{Grouping, group_keys};
use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties, WindowColumns};
use super::lower::{calc, forwarded, with_columns};
use super::meaning::{self, Meaning};
use super::node::WindowTableNode;
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::tree::Tree;
use crate::operator::aggregate::AggregateCall;
use crate::operator::window::{
    SessionAggregate, SessionAggregateSpec, SessionTableFunction, SessionTableSpec, WindowAggregate,
    WindowAggregateSpec, WindowColumn, WindowInput, WindowKind, WindowMetrics, WindowSpec,
    WindowTableFunction, WindowTableSpec, WindowTime,
};

/// `10 min`: a duration in its greatest whole unit, as Flink shows it.
fn shown(millis: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = units.iter().find(|(length, _)| millis != 0 && millis % length == 0);
    unit.map_or_else(|| format!("{millis} ms"), |(length, name)| format!("{} {name}", millis / length))
}

/// A window as EXPLAIN shows it; `of` says where it comes from, `partition` names the keys of a session.
pub(super) fn show_window(spec: &WindowSpec, of: &str, partition: &str) -> String {
    let mut parts = vec![of.to_string()];
    match spec.kind {
        WindowKind::Tumble { size } => parts.push(format!("size=[{}]", shown(size))),
        WindowKind::Hop { slide, size } => {
            parts.push(format!("size=[{}], slide=[{}]", shown(size), shown(slide)));
        }
        WindowKind::Cumulate { step, size } => {
            parts.push(format!("max_size=[{}], step=[{}]", shown(size), shown(step)));
        }
        WindowKind::Session { gap } => parts.push(format!("gap=[{}]", shown(gap))),
    }
    if spec.offset != 0 {
        parts.push(format!("offset=[{}]", shown(spec.offset)));
    }
    if !partition.is_empty() {
        parts.push(format!("partition keys=[{partition}]"));
    }
    format!("{}({})", spec.kind.name(), parts.join(", "))
}

/// Names of columns as EXPLAIN shows them.
fn names(columns: &[usize], schema: &DFSchema) -> String {
    let names: Vec<&str> = columns.iter().map(|&c| schema.field(c).name().as_str()).collect();
    names.join(", ")
}

/// The windows of a table function over a node: its time, the zone that its windows follow.
fn windows_of(node: &WindowTableNode, input: &Node, time: usize) -> Result<(WindowSpec, WindowTime)> {
    let mut spec = node.spec.clone();
    spec.check()?;
    spec.zone = match input.arrow.field(time).data_type() {
        DataType::Timestamp(_, Some(zone)) => Some(spec.zone.unwrap_or_else(|| zone.to_string())),
        _ => None,
    };
    if input.properties.proctimes.contains(&time) {
        return Ok((spec, WindowTime::Processing));
    }
    if input.properties.rowtimes.contains(&time) {
        return Ok((spec, WindowTime::Event(time)));
    }
    let name = input.schema.field(time).name();
    let data_type = crate::sql::SqlType::from_arrow(input.arrow.field(time).data_type())
        .map_or_else(|| input.arrow.field(time).data_type().to_string(), |t| t.to_string());
    Err(Error::plan(format!("the time column of {} must be a time attribute", spec.kind.name()))
        .with_detail(match name.starts_with('$') {
            // A name of ours for a column of the query.
            true => format!("it is a plain {data_type}"),
            false => format!("'{name}' is a plain {data_type}"),
        })
        .with_hint(
            "declare WATERMARK FOR it in its table, or use a column AS PROCTIME(); an expression or an \
             unbounded aggregation or join makes a plain timestamp of a time attribute",
        ))
}

/// Where a column below an aggregation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// What the table function is applied to.
    Rows,
    Window(WindowColumn),
}

const WINDOW: [WindowColumn; 3] = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];

/// The table function below projections and filters that leave the window's columns alone, and what the columns
/// of the plan are.
fn windowed(plan: &LogicalPlan) -> Option<(&WindowTableNode, Vec<Origin>)> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            let node = node.as_any().downcast_ref::<WindowTableNode>()?;
            let rows = node.schema.fields().len() - WINDOW.len();
            let origins = std::iter::repeat_n(Origin::Rows, rows);
            Some((node, origins.chain(WINDOW.map(Origin::Window)).collect()))
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => windowed(input),
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let (node, origins) = windowed(input)?;
            // A row that is filtered out still holds its session together.
            let is_session = matches!(node.spec.kind, WindowKind::Session { .. });
            let apart = !is_session && is_apart(predicate, input.schema(), &origins);
            apart.then_some((node, origins))
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let (node, origins) = windowed(input)?;
            let from = forwarded(expr, input.schema());
            let origin = |(expr, from): (&Expr, Option<usize>)| match from {
                Some(column) => Some(origins[column]),
                None => is_apart(expr, input.schema(), &origins).then_some(Origin::Rows),
            };
            let projected: Option<Vec<Origin>> = expr.iter().zip(from).map(origin).collect();
            Some((node, projected?))
        }
        _ => None,
    }
}

/// An expression that does not look at the window's columns.
fn is_apart(expr: &Expr, schema: &DFSchema, origins: &[Origin]) -> bool {
    let subquery = expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        ))
    });
    let of_rows = |column: &&Column| {
        schema.maybe_index_of_column(column).is_some_and(|index| origins[index] == Origin::Rows)
    };
    !subquery.unwrap_or(true) && expr.column_refs().iter().all(of_rows)
}

/// Rows below an aggregation without their window's columns.
struct Below {
    node: Node,
    /// For each column of the plan, its column in the node.
    columns: Vec<Option<usize>>,
    /// Columns that must come along: the time, then those that sessions are of.
    kept: Vec<usize>,
}

/// Fields of a schema for the columns of a node: hidden ones have no name of the query.
fn visible(names: &DFSchema, below: &Below) -> Result<DFSchemaRef> {
    let fields = below.node.schema.fields().iter().enumerate().map(|(position, field)| {
        match below.columns.iter().position(|c| *c == Some(position)) {
            Some(column) => {
                let (qualifier, named) = names.qualified_field(column);
                (qualifier.cloned(), named.clone())
            }
            None => hidden(position, field),
        }
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), Default::default())?))
}

fn hidden(position: usize, field: &FieldRef) -> (Option<TableReference>, FieldRef) {
    (None, Arc::new(field.as_ref().clone().with_name(format!("$window{position}"))))
}

/// What an aggregation by windows gives and takes.
struct Parts {
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    window: Vec<WindowColumn>,
    schema: SchemaRef,
    order: Vec<usize>,
}

impl Parts {
    /// `origins`: what each group column is, a column of `input` or of the window.
    fn new(
        aggregate: &Aggregate,
        origins: &[(Origin, usize)],
        input: &Node,
        time_type: &DataType,
    ) -> Result<Self> {
        let calls = aggregate.aggr_expr.iter().map(|e| AggregateCall::from_expr(e, &input.schema));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let (mut keys, mut window, mut types) = (Vec::new(), Vec::new(), Vec::new());
        // Places within the keys or within the window's columns, until both are known.
        let mut places = Vec::new();
        for &(origin, column) in origins {
            match origin {
                Origin::Rows => {
                    let place = keys.iter().position(|&k| k == column).unwrap_or(keys.len());
                    if place == keys.len() {
                        keys.push(column);
                    }
                    places.push((Origin::Rows, place));
                    types.push(input.arrow.field(column).data_type().clone());
                }
                Origin::Window(of) => {
                    let place = window.iter().position(|&w| w == of).unwrap_or(window.len());
                    if place == window.len() {
                        window.push(of);
                    }
                    places.push((origin, place));
                    types.push(match of {
                        WindowColumn::Time => time_type.clone(),
                        _ => DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None),
                    });
                }
            }
        }
        types.extend(calls.iter().map(|c| c.data_type.clone()));
        let behind = keys.len() + calls.len();
        let order = places.into_iter().map(|(origin, place)| match origin {
            Origin::Rows => place,
            Origin::Window(_) => behind + place,
        });
        let order = order.chain(keys.len()..behind).collect();
        let fields = aggregate.schema.fields().iter().zip(types);
        let fields: Vec<Field> = fields.map(|(f, t)| Field::new(f.name(), t, true)).collect();
        Ok(Self { keys, calls, window, schema: Arc::new(Schema::new(fields)), order })
    }

    /// What the state of the aggregation depends on, but for its time.
    fn meaning(&self, input: &Node, aggregate: &Aggregate, windows: &WindowSpec) -> meaning::Parts {
        let calls = meaning::calls(input, &aggregate.aggr_expr, &self.calls);
        meaning::Parts::new("WindowAggregate", 1)
            .rows("rows", input)
            .with("windows", meaning::windows(windows))
            .columns("keys", input, &self.keys)
            .with("calls", calls.join(", "))
            .flag("updates", !input.properties.changes.is_append())
    }

    /// What the columns of the results are.
    fn texts(&self, input: &Node, aggregate: &Aggregate) -> Vec<meaning::Text> {
        let keys = self.keys.iter().filter_map(|&k| input.meaning.columns.get(k).cloned());
        let calls = meaning::calls(input, &aggregate.aggr_expr, &self.calls);
        let window = self.window.iter().map(|&column| window_text(column, "its window"));
        let all: Vec<meaning::Text> = keys.chain(calls).chain(window).collect();
        self.order.iter().filter_map(|&place| all.get(place).cloned()).collect()
    }

    fn detail(&self, input: &Node, window: &str, aggregate: &Aggregate) -> String {
        let groups = self.schema.fields().len() - self.calls.len();
        let mut select: Vec<&str> =
            aggregate.schema.fields()[..groups].iter().map(|f| f.name().as_str()).collect();
        select.extend(self.calls.iter().map(|c| c.display.as_str()));
        let select = format!("window=[{window}], select=[{}]", select.join(", "));
        match self.keys.is_empty() {
            true => select,
            false => format!("groupBy=[{}], {select}", names(&self.keys, &input.schema)),
        }
    }
}

impl Planner {
    /// TUMBLE, HOP, CUMULATE, SESSION.
    pub(super) fn lower_window_table(&self, node: &WindowTableNode) -> Result<Node> {
        let input = self.lower(&node.input)?;
        let time = time_column(node, &input)?;
        let (windows, time) = windows_of(node, &input, time)?;
        let width = input.arrow.fields().len();
        let fields = input.arrow.fields().iter().map(|f| f.as_ref().clone());
        let more = node.schema.fields()[width..].iter().map(|f| f.as_ref().clone().with_nullable(true));
        let arrow: SchemaRef = Arc::new(Schema::new(fields.chain(more).collect::<Vec<_>>()));
        let processing = time == WindowTime::Processing;
        let mut properties = Properties {
            rowtimes: if processing { Vec::new() } else { vec![width + 2] },
            proctimes: if processing { vec![width + 2] } else { Vec::new() },
            window: Some(WindowColumns {
                spec: windows.clone(),
                start: Some(width),
                end: Some(width + 1),
                time: Some(width + 2),
                processing,
            }),
            ..input.properties.clone()
        };
        let single = matches!(windows.kind, WindowKind::Tumble { .. });
        let changes = !input.properties.changes.is_append();
        if !single && (changes || !matches!(windows.kind, WindowKind::Session { .. })) {
            // A row of several windows, or what it was in another one before.
            properties.keys.iter_mut().for_each(|key| key.extend([width, width + 1]));
        }
        if !single && changes {
            properties.changes = Changes { update: false, delete: true };
        }
        let time_at = time_column(node, &input)?;
        let of = time_detail(node, &input, time_at);
        let mut texts = input.meaning.columns.clone();
        let shown = format!("{} of {}", meaning::windows(&windows), input.typed(time_at));
        texts.extend(WINDOW.map(|column| window_text(column, &shown)));
        let metrics: Arc<WindowMetrics> = Arc::default();
        let columns = (node.schema.clone(), arrow.clone());
        if let WindowKind::Session { .. } = windows.kind {
            let keys = partition_columns(node, &input)?;
            let partition = names(&keys, &input.schema);
            let detail = format!("window=[{}]", show_window(&windows, &of, &partition));
            let state = meaning::Parts::new("SessionTable", 1)
                .rows("rows", &input)
                .with("windows", meaning::windows(&windows))
                .columns("time", &input, &[time_at])
                .columns("keys", &input, &keys)
                .kept("columns", &input)
                .flag("processing time", processing)
                .flag("updates", changes);
            let meaning = Meaning::made(state, texts);
            let spec = SessionTableSpec { keys: keys.clone(), windows, time, schema: arrow, metrics };
            SessionTableFunction::new(spec.clone())?;
            let build: BuildOperator =
                Arc::new(move || Ok(Box::new(SessionTableFunction::new(spec.clone())?)));
            let known = (properties, meaning);
            let mut node = Node::forward("WindowTableFunction", detail, build, input, columns, known);
            node.inputs[0].distribution = keyed(keys);
            node.inputs[0].demand = Demand::Before;
            return Ok(node);
        }
        let detail = format!("window=[{}]", show_window(&windows, &of, ""));
        let what = meaning::Parts::new("WindowTable", 1)
            .with("windows", meaning::windows(&windows))
            .columns("time", &input, &[time_at])
            .flag("processing time", processing);
        let meaning = Meaning::passed(what, &input, texts);
        let spec = WindowTableSpec { windows, time, schema: arrow, metrics };
        WindowTableFunction::new(spec.clone())?;
        let build: BuildOperator = Arc::new(move || Ok(Box::new(WindowTableFunction::new(spec.clone())?)));
        let known = (properties, meaning);
        let mut node = Node::forward("WindowTableFunction", detail, build, input, columns, known);
        if !single {
            node.inputs[0].demand = Demand::Before;
        }
        Ok(node)
    }

    /// An aggregation that assigns the windows itself; `None` where that cannot be.
    pub(super) fn lower_fused_window_aggregate(
        &self,
        aggregate: &Aggregate,
        grouping: &Grouping<'_>,
    ) -> Result<Option<Node>> {
        let Some((function, origins)) = windowed(&aggregate.input) else { return Ok(None) };
        let schema = aggregate.input.schema();
        let exprs: Vec<Expr> = grouping.exprs.iter().map(|e| (*e).clone()).collect();
        let plain = forwarded(&exprs, schema);
        let groups: Vec<Origin> =
            plain.iter().map(|p| p.map_or(Origin::Rows, |column| origins[column])).collect();
        let by = |column| groups.contains(&Origin::Window(column));
        let others: Vec<Expr> =
            exprs.iter().zip(&groups).filter(|(_, g)| **g == Origin::Rows).map(|(e, _)| e.clone()).collect();
        let apart = |e: &Expr| is_apart(e, schema, &origins);
        if grouping.numbered
            || !(by(WindowColumn::Start) && by(WindowColumn::End))
            || !others.iter().chain(&aggregate.aggr_expr).all(apart)
        {
            return Ok(None);
        }
        if let WindowKind::Session { .. } = function.spec.kind {
            let own = session_columns(function, &aggregate.input, &others);
            if !own {
                return Ok(None);
            }
        }
        let below = self.lower_below(&aggregate.input)?;
        let (node, positions) = with_columns(below.node, &others)?;
        let (windows, time) = windows_of(function, &node, below.kept[0])?;
        let mut positions = positions.into_iter();
        let origins: Vec<(Origin, usize)> = groups
            .iter()
            .map(|&g| (g, if g == Origin::Rows { positions.next().unwrap_or_default() } else { 0 }))
            .collect();
        let of = time_detail(function, &node, below.kept[0]);
        let time_type = function.schema.field(function.schema.fields().len() - 1).data_type();
        let parts = Parts::new(aggregate, &origins, &node, time_type)?;
        let groups: Vec<Origin> = origins.iter().map(|o| o.0).collect();
        if let WindowKind::Session { .. } = windows.kind {
            let state = parts.meaning(&node, aggregate, &windows).columns("time", &node, &[below.kept[0]]);
            return session_node(aggregate, parts, &groups, node, (windows, time), (state, &of)).map(Some);
        }
        let detail = parts.detail(&node, &show_window(&windows, &of, ""), aggregate);
        let state = parts.meaning(&node, aggregate, &windows).columns("time", &node, &[below.kept[0]]);
        let input = WindowInput::Assigned { windows: windows.clone(), time };
        let distribution = keyed(parts.keys.clone());
        let window = (windows, time == WindowTime::Processing);
        let shown = (detail, state);
        aggregate_node(aggregate, parts, &groups, node, (input, window, shown, distribution)).map(Some)
    }

    /// An aggregation by the windows that columns of its input name.
    pub(super) fn lower_window_aggregate(
        &self,
        aggregate: &Aggregate,
        grouping: &Grouping<'_>,
        input: Node,
    ) -> Result<Node> {
        let Some(window) = input.properties.window.clone() else {
            return Err(Error::internal("an aggregation of windows without windows"));
        };
        let (Some(start), Some(end)) = (window.start, window.end) else {
            return Err(Error::internal("an aggregation of windows without their columns"));
        };
        let (input, columns) = group_keys(aggregate, grouping, input)?;
        let origin = |column: usize| match Some(column) {
            c if c == window.start => Origin::Window(WindowColumn::Start),
            c if c == window.end => Origin::Window(WindowColumn::End),
            c if c == window.time => Origin::Window(WindowColumn::Time),
            _ => Origin::Rows,
        };
        let origins: Vec<(Origin, usize)> = columns.iter().map(|&c| (origin(c), c)).collect();
        let time_type = window.time.map_or(DataType::Null, |t| input.arrow.field(t).data_type().clone());
        let parts = Parts::new(aggregate, &origins, &input, &time_type)?;
        let groups: Vec<Origin> = origins.iter().map(|o| o.0).collect();
        let field = |c: usize| input.schema.field(c).name();
        let of = format!("win_start=[{}], win_end=[{}]", field(start), field(end));
        let detail = parts.detail(&input, &show_window(&window.spec, &of, ""), aggregate);
        let mut meet = parts.keys.clone();
        meet.extend([start, end]);
        let state =
            parts.meaning(&input, aggregate, &window.spec).columns("windows' columns", &input, &[start, end]);
        let windows = window.spec.clone();
        let attached = WindowInput::Attached { windows, start, end, processing: window.processing };
        let window = (window.spec, window.processing);
        let shown = (detail, state);
        aggregate_node(aggregate, parts, &groups, input, (attached, window, shown, Distribution::Keys(meet)))
    }

    /// Lowers a plan that is [`windowed`], without the window's columns.
    fn lower_below(&self, plan: &LogicalPlan) -> Result<Below> {
        match plan {
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, schema, .. }) => {
                let mut below = self.lower_below(input)?;
                below.node.schema = visible(schema, &below)?;
                Ok(below)
            }
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let below = self.lower_below(input)?;
                Ok(Below { node: calc(below.node, Some(predicate), None)?, ..below })
            }
            LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
                let below = self.lower_below(input)?;
                let from = forwarded(expr, input.schema());
                let (mut exprs, mut names, mut columns) = (Vec::new(), Vec::new(), Vec::new());
                for (position, (expr, from)) in expr.iter().zip(&from).enumerate() {
                    if from.is_some_and(|from| below.columns[from].is_none()) {
                        columns.push(None);
                        continue;
                    }
                    columns.push(Some(exprs.len()));
                    exprs.push(expr.clone());
                    let (qualifier, field) = schema.qualified_field(position);
                    names.push((qualifier.cloned(), field.clone()));
                }
                // What windows are of must come along, whether the query wants it or not.
                let moved = forwarded(&exprs, &below.node.schema);
                let mut kept = Vec::with_capacity(below.kept.len());
                for &column in &below.kept {
                    let place = moved.iter().position(|m| *m == Some(column)).unwrap_or(exprs.len());
                    if place == exprs.len() {
                        let (qualifier, field) = below.node.schema.qualified_field(column);
                        exprs.push(Expr::Column(Column::from((qualifier, field))));
                        names.push(hidden(place, field));
                    }
                    kept.push(place);
                }
                let schema = Arc::new(DFSchema::new_with_metadata(names, Default::default())?);
                Ok(Below { node: calc(below.node, None, Some((&exprs, &schema)))?, columns, kept })
            }
            LogicalPlan::Extension(Extension { node }) => {
                let Some(function) = node.as_any().downcast_ref::<WindowTableNode>() else {
                    return Err(Error::internal("a window table function was lost"));
                };
                let node = self.lower(&function.input)?;
                let rows = node.schema.fields().len();
                let kept = vec![time_column(function, &node)?];
                let columns = (0..rows).map(Some).chain([None; WINDOW.len()]).collect();
                Ok(Below { node, columns, kept })
            }
            other => Err(Error::internal(format!("{} below windows", other.display()))),
        }
    }
}

/// The time of a table function as a column of its input.
fn time_column(node: &WindowTableNode, input: &Node) -> Result<usize> {
    forwarded(std::slice::from_ref(&node.time), &input.schema).first().copied().flatten().ok_or_else(|| {
        Error::plan(format!("{} takes a column in DESCRIPTOR", node.spec.kind.name()))
            .with_detail(shown_expr(&node.time))
    })
}

/// The columns of PARTITION BY.
fn partition_columns(node: &WindowTableNode, input: &Node) -> Result<Vec<usize>> {
    let columns: Option<Vec<usize>> = forwarded(&node.partition_by, &input.schema).into_iter().collect();
    columns.ok_or_else(|| Error::plan(format!("PARTITION BY of {} takes columns", node.spec.kind.name())))
}

fn time_detail(node: &WindowTableNode, input: &Node, time: usize) -> String {
    let name = match &node.time {
        Expr::Column(column) => column.name.as_str(),
        _ => input.schema.field(time).name(),
    };
    format!("time_col=[{name}]")
}

/// What a column of windows is.
fn window_text(column: WindowColumn, windows: &str) -> meaning::Text {
    let name = match column {
        WindowColumn::Start => "start",
        WindowColumn::End => "end",
        WindowColumn::Time => "time",
    };
    format!("{name} of {windows}").into()
}

fn keyed(keys: Vec<usize>) -> Distribution {
    if keys.is_empty() { Distribution::Single } else { Distribution::Keys(keys) }
}

/// Whether the other group columns are those that the sessions are of.
fn session_columns(node: &WindowTableNode, plan: &LogicalPlan, others: &[Expr]) -> bool {
    /// The column of the table function that a column of the plan forwards.
    fn source(plan: &LogicalPlan, column: usize) -> Option<usize> {
        match plan {
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => source(input, column),
            LogicalPlan::Filter(Filter { input, .. }) => source(input, column),
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                source(input, forwarded(&expr[column..=column], input.schema())[0]?)
            }
            _ => Some(column),
        }
    }
    let of = |columns: Vec<Option<usize>>| -> Option<Vec<usize>> {
        let mut columns = columns.into_iter().collect::<Option<Vec<_>>>()?;
        columns.sort_unstable();
        columns.dedup();
        Some(columns)
    };
    let groups = forwarded(others, plan.schema()).into_iter().map(|c| source(plan, c?)).collect();
    match (of(groups), of(forwarded(&node.partition_by, node.input.schema()))) {
        (Some(groups), Some(partition)) => groups == partition,
        _ => false,
    }
}

/// What is known of the results: each window is given out once.
fn result_properties(groups: &[Origin], window: (WindowSpec, bool), bounded: bool) -> Properties {
    let (spec, processing) = window;
    let position = |column| groups.iter().position(|g| *g == Origin::Window(column));
    let time = position(WindowColumn::Time);
    let times: Vec<usize> = time.into_iter().collect();
    Properties {
        changes: Changes::APPEND,
        keys: vec![(0..groups.len()).collect()],
        rowtimes: if processing { Vec::new() } else { times.clone() },
        proctimes: if processing { times } else { Vec::new() },
        window: Some(WindowColumns {
            spec,
            start: position(WindowColumn::Start),
            end: position(WindowColumn::End),
            time,
            processing,
        }),
        bounded,
    }
}

/// A node that aggregates windows.
fn node_of(
    aggregate: &Aggregate,
    (detail, build): (String, BuildOperator),
    arrow: SchemaRef,
    input: Node,
    (distribution, known): (Distribution, (Properties, Meaning)),
) -> Node {
    let build: BuildNode = Arc::new(move |_| Ok(build.clone()));
    let inputs = vec![Input { node: input, distribution, demand: Demand::Before }];
    let columns = (aggregate.schema.clone(), arrow);
    Node::operator("WindowAggregate", detail, build, inputs, columns, known).originating(true)
}

fn aggregate_node(
    aggregate: &Aggregate,
    parts: Parts,
    groups: &[Origin],
    input: Node,
    (windows, window, (detail, state), distribution): (
        WindowInput,
        (WindowSpec, bool),
        (String, meaning::Parts),
        Distribution,
    ),
) -> Result<Node> {
    let state = state
        .flag("windows are assigned here", matches!(windows, WindowInput::Assigned { .. }))
        .flag("processing time", window.1);
    let meaning = Meaning::made(state, parts.texts(&input, aggregate));
    let spec = WindowAggregateSpec {
        keys: parts.keys,
        calls: parts.calls,
        input: windows,
        window: parts.window,
        schema: parts.schema.clone(),
        order: parts.order,
        input_changes: !input.properties.changes.is_append(),
        metrics: Arc::default(),
    };
    WindowAggregate::new(spec.clone())?;
    let properties = result_properties(groups, window, input.properties.bounded);
    let build: BuildOperator = Arc::new(move || Ok(Box::new(WindowAggregate::new(spec.clone())?)));
    Ok(node_of(aggregate, (detail, build), parts.schema, input, (distribution, (properties, meaning))))
}

fn session_node(
    aggregate: &Aggregate,
    parts: Parts,
    groups: &[Origin],
    input: Node,
    (windows, time): (WindowSpec, WindowTime),
    (state, of): (meaning::Parts, &str),
) -> Result<Node> {
    let state = state.flag("processing time", time == WindowTime::Processing);
    let meaning = Meaning::made(state, parts.texts(&input, aggregate));
    let partition = names(&parts.keys, &input.schema);
    let detail = parts.detail(&input, &show_window(&windows, of, &partition), aggregate);
    let spec = SessionAggregateSpec {
        keys: parts.keys.clone(),
        calls: parts.calls,
        windows: windows.clone(),
        time,
        window: parts.window,
        schema: parts.schema.clone(),
        order: parts.order,
        input_changes: !input.properties.changes.is_append(),
        metrics: Arc::default(),
    };
    SessionAggregate::new(spec.clone())?;
    let window = (windows, time == WindowTime::Processing);
    let properties = result_properties(groups, window, input.properties.bounded);
    let build: BuildOperator = Arc::new(move || Ok(Box::new(SessionAggregate::new(spec.clone())?)));
    let known = (properties, meaning);
    Ok(node_of(aggregate, (detail, build), parts.schema, input, (keyed(parts.keys), known)))
}
