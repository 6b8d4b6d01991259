//! OVER.
//!
//! DataFusion puts calls with one PARTITION BY and ORDER BY into one node, whatever their frames. Flink
//! computes one frame a SELECT and refuses others; here calls with the same frame become one operator, and
//! operators for different frames stand behind each other, each adding its columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, NullTreatment, Sort, WindowFunction as Call};
use datafusion_expr::logical_plan::Window;
use datafusion_expr::{
    Expr, ExprSchemable, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, lit,
};

use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties, Wiring};
use super::lower::{calc, physical, with_columns};
use super::meaning::{Meaning, Parts, Text, data_type};
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::Operator;
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::common::common;
use crate::function::window::WindowFunction;
use crate::operator::aggregate::AggregateCall;
use crate::operator::over::{Frame, OrderedOver, OverAggregate, OverCall, OverOrder, OverSpec};
use crate::operator::top_n::SortColumn;

/// What orders rows of a node.
pub(super) enum TimeOrder {
    /// An event time attribute, at its position.
    Event(usize),
    /// Processing time.
    Processing,
    /// Something else.
    None,
}

/// Columns that order rows, at their positions.
pub(super) fn sort_columns(sorts: &[Sort], positions: &[usize]) -> Vec<SortColumn> {
    let column = |(sort, &column): (&Sort, &usize)| SortColumn {
        column,
        descending: !sort.asc,
        nulls_first: sort.nulls_first,
    };
    sorts.iter().zip(positions).map(column).collect()
}

/// Whether one time attribute orders the rows.
pub(super) fn time_order(columns: &[SortColumn], properties: &Properties) -> TimeOrder {
    match columns {
        [one] if properties.rowtimes.contains(&one.column) => TimeOrder::Event(one.column),
        [one] if properties.proctimes.contains(&one.column) => TimeOrder::Processing,
        _ => TimeOrder::None,
    }
}

/// Columns as EXPLAIN shows them.
pub(super) fn names(schema: &DFSchema, columns: &[usize]) -> String {
    let shown: Vec<&str> = columns.iter().map(|&c| schema.field(c).name().as_str()).collect();
    shown.join(", ")
}

/// An order as EXPLAIN shows it.
pub(super) fn order_names(schema: &DFSchema, sort: &[SortColumn]) -> String {
    let shown = sort.iter().map(|s| {
        let nulls = match (s.descending, s.nulls_first) {
            (false, true) | (true, false) => "",
            (_, true) => " NULLS FIRST",
            (_, false) => " NULLS LAST",
        };
        format!("{} {}{nulls}", schema.field(s.column).name(), if s.descending { "DESC" } else { "ASC" })
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The distribution that brings rows with equal values in `columns` together.
pub(super) fn by_keys(columns: &[usize]) -> Distribution {
    if columns.is_empty() { Distribution::Single } else { Distribution::Keys(columns.to_vec()) }
}

/// An interval in milliseconds.
fn interval_millis(value: &ScalarValue) -> Result<i64> {
    let millis = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            let days = i64::from(v.days).checked_mul(86_400_000);
            days.and_then(|d| d.checked_add(v.nanoseconds.div_euclid(1_000_000)))
        }
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            return Err(Error::unsupported("the frame of OVER is an interval of days or less")
                .with_hint("months differ in length: write days, such as INTERVAL '30' DAY"));
        }
        _ => None,
    };
    match millis {
        Some(millis) if millis >= 0 => Ok(millis),
        _ => Err(Error::plan("the frame of OVER by time is a positive interval")
            .with_detail(format!("found {value}"))
            .with_hint("write RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW, or ROWS BETWEEN 10 PRECEDING AND CURRENT ROW")),
    }
}

/// The frame of a call. One without ORDER BY sees its whole partition: all rows are peers.
fn frame_of(call: &Call) -> Result<Frame> {
    let frame = &call.params.window_frame;
    if call.params.order_by.is_empty() {
        let to_the_end = match &frame.end_bound {
            WindowFrameBound::Following(value) => value.is_null(),
            WindowFrameBound::CurrentRow => frame.units == WindowFrameUnits::Range,
            WindowFrameBound::Preceding(_) => false,
        };
        return match frame.start_bound.is_unbounded() && to_the_end {
            true => Ok(Frame::UnboundedRange),
            false => Err(Error::plan("a frame of OVER needs ORDER BY")
                .with_hint("write ORDER BY, or leave ROWS or RANGE out for the whole partition")),
        };
    }
    if frame.end_bound != WindowFrameBound::CurrentRow {
        return Err(Error::unsupported("the frame of OVER ends at CURRENT ROW")
            .with_detail(format!("found {}", frame.end_bound))
            .with_hint("rows that follow are not known yet, and in batch mode are not looked at either: write BETWEEN ... PRECEDING AND CURRENT ROW; the whole partition is OVER (PARTITION BY ...) without ORDER BY"));
    }
    match (frame.units, &frame.start_bound) {
        (WindowFrameUnits::Groups, _) => Err(Error::unsupported("GROUPS frames are not supported")
            .with_hint("ROWS counts rows, RANGE looks at the time")),
        (WindowFrameUnits::Rows, WindowFrameBound::CurrentRow) => Ok(Frame::Rows(0)),
        (WindowFrameUnits::Range, WindowFrameBound::CurrentRow) => Ok(Frame::Range(0)),
        (units, WindowFrameBound::Preceding(value)) if value.is_null() => Ok(match units {
            WindowFrameUnits::Rows => Frame::UnboundedRows,
            _ => Frame::UnboundedRange,
        }),
        (WindowFrameUnits::Rows, WindowFrameBound::Preceding(ScalarValue::UInt64(Some(n)))) => {
            Ok(Frame::Rows(*n))
        }
        (WindowFrameUnits::Range, WindowFrameBound::Preceding(value)) => {
            Ok(Frame::Range(interval_millis(value)?))
        }
        (_, start) => Err(Error::unsupported("the frame of OVER begins with PRECEDING or CURRENT ROW")
            .with_detail(format!("found {start}"))),
    }
}

fn frame_name(frame: Frame) -> String {
    match frame {
        Frame::UnboundedRows => "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".into(),
        Frame::UnboundedRange => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".into(),
        Frame::Rows(n) => format!("ROWS BETWEEN {n} PRECEDING AND CURRENT ROW"),
        Frame::Range(ms) => format!("RANGE BETWEEN {ms} ms PRECEDING AND CURRENT ROW"),
    }
}

/// A call, and the frame that it is computed in; `None`: in any that is unbounded.
fn call_of(call: &Call, display: String, schema: &DFSchema) -> Result<(OverCall, Option<Frame>)> {
    let params = &call.params;
    let aggregate = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => function.clone(),
        WindowFunctionDefinition::WindowUDF(function) => {
            let Some(function) = WindowFunction::of(function) else {
                return Err(Error::internal(format!("{} has no meaning in OVER", function.name())));
            };
            let own = match function {
                WindowFunction::RowNumber => OverCall::RowNumber,
                WindowFunction::Rank => OverCall::Rank,
                WindowFunction::DenseRank => OverCall::DenseRank,
                WindowFunction::Lag => lag_of(call, schema)?,
                other => {
                    let name = other.label();
                    let function = crate::function::aggregate::aggregate(&name)
                        .ok_or_else(|| Error::unsupported(format!("{name} is not supported in OVER")))?;
                    let frame = frame_of(call)?;
                    return Ok((aggregate_of(function, call, display, schema)?, Some(frame)));
                }
            };
            let has_frame = match params.order_by.is_empty() {
                true => frame_of(call).is_err(),
                false => {
                    !params.window_frame.start_bound.is_unbounded()
                        || params.window_frame.end_bound != WindowFrameBound::CurrentRow
                }
            };
            if has_frame {
                return Err(Error::plan(format!("{} takes no ROWS or RANGE", function.label()))
                    .with_hint("it looks at all rows before the current one"));
            }
            if params.filter.is_some() || params.distinct {
                return Err(Error::plan(format!("{} takes no FILTER or DISTINCT", function.label())));
            }
            // Flink gives LAG a RANGE frame: rows of one instant see each other.
            let frame = (function == WindowFunction::Lag).then_some(Frame::UnboundedRange);
            return Ok((own, frame));
        }
    };
    let frame = frame_of(call)?;
    Ok((aggregate_of(aggregate, call, display, schema)?, Some(frame)))
}

fn aggregate_of(
    function: Arc<datafusion_expr::AggregateUDF>,
    call: &Call,
    display: String,
    schema: &DFSchema,
) -> Result<OverCall> {
    let params = &call.params;
    // COUNT(*) counts what a constant counts.
    #[expect(deprecated, reason = "how the parser's * arrives here")]
    let args = params.args.iter().map(|a| match a {
        Expr::Wildcard { .. } => lit(1i64),
        other => other.clone(),
    });
    let plain = AggregateFunction::new_udf(
        function,
        args.collect(),
        params.distinct,
        params.filter.clone(),
        Vec::new(),
        params.null_treatment,
    );
    let plain = AggregateCall::from_expr(&Expr::AggregateFunction(plain), schema)?;
    Ok(OverCall::Aggregate(AggregateCall { display, ..plain }))
}

fn lag_of(call: &Call, schema: &DFSchema) -> Result<OverCall> {
    let args = &call.params.args;
    let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let Some(value) = args.first() else { return Err(Error::plan("LAG takes a value")) };
    let offset = match args.get(1) {
        None => Some(1),
        Some(Expr::Literal(ScalarValue::Int32(Some(n)), _)) => usize::try_from(*n).ok(),
        Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) => usize::try_from(*n).ok(),
        Some(_) => None,
    };
    let Some(offset) = offset else {
        return Err(Error::plan("the second argument of LAG is a whole number that is not negative")
            .with_detail(format!("found {}", shown_expr(&args[1]))));
    };
    let data_type = value.get_type(schema)?;
    let default = match args.get(2) {
        None => None,
        Some(default) if default.get_type(schema)? == data_type => Some(default.clone()),
        Some(default) => {
            let other = || {
                Error::plan("the default of LAG has the type of its value")
                    .with_hint(format!("CAST it: {}", shown_expr(default)))
            };
            common(&default.get_type(schema)?, &data_type).ok_or_else(other)?;
            Some(default.clone().cast_to(&data_type, schema).map_err(|_| other())?)
        }
    };
    let default = default.map(|d| physical(&d, schema)).transpose()?;
    Ok(OverCall::Lag { value: physical(value, schema)?, offset, default, ignore_nulls })
}

/// Calls that are computed together.
struct Group<'a> {
    partition: &'a [Expr],
    order: &'a [Sort],
    frame: Frame,
    /// Positions among the expressions of the logical node.
    members: Vec<usize>,
}

/// The call of an expression of a logical window.
pub(super) fn window_call(expr: &Expr) -> Result<&Call> {
    match expr {
        Expr::WindowFunction(call) => Ok(call),
        Expr::Alias(alias) => window_call(&alias.expr),
        other => Err(Error::internal(format!("{other} is no call with OVER"))),
    }
}

impl Planner {
    /// OVER aggregates.
    pub(super) fn lower_over(&self, window: &Window) -> Result<Node> {
        let mut node = self.lower(&window.input)?;
        let inputs = node.schema.fields().len();
        let calls = window.window_expr.iter().map(window_call).collect::<Result<Vec<_>>>()?;
        let mut frames = Vec::with_capacity(calls.len());
        for call in &calls {
            if call.params.order_by.is_empty() && !self.is_batch() {
                return Err(Error::unsupported("OVER needs ORDER BY")
                    .with_detail("without it every row would change the results of all rows of its partition")
                    .with_hint("write ORDER BY and a time attribute, aggregate with GROUP BY, or, where the input ends, SET 'execution.runtime-mode' = 'batch'"));
            }
            frames.push(call_of(call, String::new(), &node.schema)?.1);
        }
        // Those that fit into any unbounded frame choose last.
        let mut members: Vec<usize> = (0..calls.len()).collect();
        members.sort_by_key(|&m| frames[m].is_none());
        let mut groups: Vec<Group<'_>> = Vec::new();
        for member in members {
            let params = &calls[member].params;
            let fits = |group: &Group<'_>| match frames[member] {
                Some(frame) => group.frame == frame,
                None => matches!(group.frame, Frame::UnboundedRows | Frame::UnboundedRange),
            };
            let same = groups
                .iter_mut()
                .find(|g| g.partition == params.partition_by && g.order == params.order_by && fits(g));
            match same {
                Some(group) => group.members.push(member),
                None => groups.push(Group {
                    partition: &params.partition_by,
                    order: &params.order_by,
                    frame: frames[member].unwrap_or(Frame::UnboundedRows),
                    members: vec![member],
                }),
            }
        }
        let mut place = vec![0; calls.len()];
        for group in &groups {
            let members: Vec<(&Call, _)> = group
                .members
                .iter()
                .map(|&m| (calls[m], window.schema.qualified_field(inputs + m)))
                .map(|(call, (qualifier, field))| (call, (qualifier.cloned(), field.clone())))
                .collect();
            node = self.over(node, group, &members)?;
            let first = node.schema.fields().len() - members.len();
            for (i, &member) in group.members.iter().enumerate() {
                place[member] = first + i;
            }
        }
        // Columns that were computed on the way go, and the calls come into their order.
        if place.iter().enumerate().all(|(i, &p)| p == inputs + i) {
            return Ok(node);
        }
        let positions = (0..inputs).chain(place);
        let columns = positions.map(|p| Expr::Column(Column::from(node.schema.qualified_field(p)))).collect();
        calc(node, None, Some((&columns, &window.schema)))
    }

    /// One OVER operator behind a node.
    fn over(
        &self,
        input: Node,
        group: &Group<'_>,
        members: &[(&Call, (Option<datafusion_common::TableReference>, arrow::datatypes::FieldRef))],
    ) -> Result<Node> {
        let keys: Vec<Expr> =
            group.partition.iter().cloned().chain(group.order.iter().map(|s| s.expr.clone())).collect();
        let (input, positions) = with_columns(input, &keys)?;
        let (partition, ordering) = positions.split_at(group.partition.len());
        let sort = sort_columns(group.order, ordering);
        let changes = input.properties.changes;
        let order = match time_order(&sort, &input.properties) {
            TimeOrder::None => OverOrder::Columns(sort.clone()),
            TimeOrder::Event(_) if !changes.is_append() => OverOrder::Columns(sort.clone()),
            _ if sort[0].descending => {
                return Err(Error::unsupported("OVER by time is ordered ascending")
                    .with_hint("rows that follow in time are not known yet; ROW_NUMBER with a filter on it (Top-N) may be ordered DESC"));
            }
            TimeOrder::Processing if !changes.is_append() => {
                return Err(Error::unsupported("OVER by processing time takes rows that do not change")
                    .with_hint("order by another column"));
            }
            TimeOrder::Event(column) => OverOrder::EventTime(column),
            TimeOrder::Processing => OverOrder::ProcessingTime,
        };
        let mut calls = Vec::with_capacity(members.len());
        let mut shown = Vec::with_capacity(members.len());
        let mut texts = Vec::with_capacity(members.len());
        for (call, _) in members {
            let display = call_name(call);
            let made = call_of(call, display.clone(), &input.schema)?.0;
            texts.push(over_text(&input, call, &made));
            calls.push(made);
            shown.push(display);
        }
        let fields = input.schema.iter().map(|(q, f)| (q.cloned(), f.clone()));
        let added = members.iter().map(|(_, field)| field.clone());
        let schema = DFSchema::new_with_metadata(fields.chain(added).collect(), Default::default())?;
        let types = members.iter().map(|(_, (_, field))| (field.name().clone(), field.data_type().clone()));
        let arrow = extended(&input.arrow, types);
        let spec = OverSpec {
            partition: partition.to_vec(),
            order,
            frame: group.frame,
            calls,
            input_changes: !changes.is_append(),
            emit_before: true,
            at_end: false,
            state_ttl: self.state.config.state_ttl(),
            input: input.arrow.clone(),
            schema: arrow.clone(),
        };
        let by_columns = matches!(spec.order, OverOrder::Columns(_));
        let at_end = by_columns && self.is_batch() && input.properties.bounded;
        let spec = OverSpec { at_end, ..spec };
        let order_kind = match spec.order {
            OverOrder::Columns(_) => "columns",
            OverOrder::EventTime(_) => "event time",
            OverOrder::ProcessingTime => "processing time",
        };
        // What the operator refuses is refused now.
        build_over(&spec)?;
        let mut detail = Vec::new();
        if !partition.is_empty() {
            detail.push(format!("partitionBy=[{}]", names(&input.schema, partition)));
        }
        if !sort.is_empty() {
            detail.push(format!("orderBy=[{}]", order_names(&input.schema, &sort)));
        }
        detail.push(format!("window=[{}]", frame_name(group.frame)));
        detail.push(format!("select=[{}]", shown.join(", ")));
        let mut warnings = Vec::new();
        if !input.properties.bounded && spec.state_ttl.is_none() {
            if by_columns {
                warnings.push("OverAggregate keeps every row, because a row may arrive late or be retracted: set 'table.exec.state.ttl', or order by a time attribute".into());
            } else if !partition.is_empty() && !matches!(group.frame, Frame::Range(_)) {
                warnings.push(format!(
                    "OverAggregate keeps state for every value of {} for ever: set 'table.exec.state.ttl'",
                    names(&input.schema, partition)
                ));
            }
        }
        let mut properties = Properties {
            changes: if by_columns && !at_end { Changes::ALL } else { Changes::APPEND },
            ..input.properties.clone()
        };
        if at_end {
            // The watermark has passed all of them.
            properties.rowtimes.clear();
        }
        let state = Parts::new("OverAggregate", 1)
            .rows("rows", &input)
            .columns("partition", &input, partition)
            .with("order", order_kind)
            .order("by", &input, &sort)
            .with("frame", frame_name(group.frame))
            .with("calls", texts.join(", "))
            .kept("columns", &input)
            .flag("updates", !changes.is_append())
            .flag("at end", at_end);
        let columns = input.meaning.columns.iter().cloned().chain(texts);
        let meaning = Meaning::made(state, columns.collect());
        let build: BuildNode = Arc::new(move |wiring: &Wiring| {
            let spec = OverSpec { emit_before: wiring.emit_before, ..spec.clone() };
            let build: BuildOperator = Arc::new(move || build_over(&spec));
            Ok(build)
        });
        let inputs = vec![Input { node: input, distribution: by_keys(partition), demand: Demand::Before }];
        let columns = (Arc::new(schema), arrow);
        let known = (properties, meaning);
        let node = Node::operator("OverAggregate", detail.join(", "), build, inputs, columns, known);
        Ok(node.originating(true).warned(warnings))
    }
}

/// A call, as part of what a state means.
fn over_text(input: &Node, call: &Call, made: &OverCall) -> Text {
    let params = &call.params;
    let args: Vec<Text> = params.args.iter().map(|a| input.text_of(a)).collect();
    let mut text = format!("{}(", call.fun.name().to_ascii_lowercase());
    if params.distinct {
        text.push_str("distinct ");
    }
    text.push_str(&args.join(", "));
    text.push(')');
    if let Some(filter) = &params.filter {
        text.push_str(&format!(" filter {}", input.text_of(filter)));
    }
    if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        text.push_str(" ignore nulls");
    }
    if let OverCall::Aggregate(call) = made {
        text.push_str(&format!(":{}", data_type(&call.data_type)));
    }
    text.into()
}

fn build_over(spec: &OverSpec) -> Result<Box<dyn Operator>> {
    Ok(match spec.order {
        OverOrder::Columns(_) => Box::new(OrderedOver::new(spec.clone())?),
        _ => Box::new(OverAggregate::new(spec.clone())?),
    })
}

/// A schema with more columns, all nullable.
pub(super) fn extended(schema: &SchemaRef, more: impl Iterator<Item = (String, DataType)>) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone());
    let more = more.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.chain(more).collect::<Vec<_>>()))
}

/// A call without its OVER.
fn call_name(call: &Call) -> String {
    let args: Vec<String> = call.params.args.iter().map(shown_expr).collect();
    let distinct = if call.params.distinct { "DISTINCT " } else { "" };
    format!("{}({distinct}{})", call.fun.name().to_ascii_uppercase(), args.join(", "))
}
