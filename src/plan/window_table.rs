//! Binding of window table functions: `TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTE)`.
//!
//! What the query says about its windows is folded into a [`WindowSpec`] here, so that the plan carries
//! milliseconds and no expressions. That the time column is a time attribute is checked where it is lowered:
//! only there it is known what became of the column.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlan};
use sqlparser::ast::{FunctionArg, ObjectName};

use super::node::WindowTableNode;
use super::table_function::{Arguments, Parameter, TableArgument, table_arguments};
use crate::error::{Error, Result, Span};
use crate::operator::window::{WindowKind, WindowSpec};

const TUMBLE: &[Parameter] = &[
    Parameter::required("DATA"),
    Parameter::required("TIMECOL"),
    Parameter::required("SIZE"),
    Parameter::optional("OFFSET"),
];
const HOP: &[Parameter] = &[
    Parameter::required("DATA"),
    Parameter::required("TIMECOL"),
    Parameter::required("SLIDE"),
    Parameter::required("SIZE"),
    Parameter::optional("OFFSET"),
];
const CUMULATE: &[Parameter] = &[
    Parameter::required("DATA"),
    Parameter::required("TIMECOL"),
    Parameter::required("STEP"),
    Parameter::required("SIZE"),
    Parameter::optional("OFFSET"),
];
const SESSION: &[Parameter] =
    &[Parameter::required("DATA"), Parameter::required("TIMECOL"), Parameter::required("GAP")];

/// The parameters of a window table function, if it is one.
fn parameters(function: &str) -> Option<&'static [Parameter]> {
    match function {
        "TUMBLE" => Some(TUMBLE),
        "HOP" => Some(HOP),
        "CUMULATE" => Some(CUMULATE),
        "SESSION" => Some(SESSION),
        _ => None,
    }
}

/// Whether a function makes windows.
pub(super) fn is_window_function(function: &str) -> bool {
    parameters(function).is_some()
}

/// Plans a window table function. `function` is its name in upper case.
pub(super) fn window_table(
    function: &str,
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
    zone: &str,
) -> Result<LogicalPlan> {
    let Some(parameters) = parameters(function) else {
        return Err(Error::internal(format!("{function} makes no windows")));
    };
    let mut arguments = table_arguments(name, args, context)?.assign(parameters)?;
    let span = arguments.span;
    let missing = |what: &str| Error::internal(format!("{function} was called without {what}"));
    let (table, table_span) = arguments.table("DATA")?.ok_or_else(|| missing("DATA"))?;
    let TableArgument { plan, partition_by, order_by } = table;
    if !partition_by.is_empty() && function != "SESSION" {
        return Err(Error::plan(format!(
            "{function} has no PARTITION BY: its windows are the same for all rows"
        ))
        .with_hint("group by the columns: GROUP BY window_start, window_end, key")
        .at(table_span));
    }
    if !order_by.is_empty() {
        return Err(Error::plan(format!(
            "{function} takes its rows in order of the time column, without ORDER BY"
        ))
        .at(table_span));
    }
    let (time, time_span) = arguments.column("TIMECOL", &plan)?.ok_or_else(|| missing("TIMECOL"))?;
    let spec = window_spec(function, &mut arguments, zone)?;
    windowed(plan, time, time_span, spec, partition_by, zone).map_err(|e| e.at(span))
}

/// The windows that the arguments of a call ask for.
fn window_spec(function: &str, arguments: &mut Arguments, zone: &str) -> Result<WindowSpec> {
    let mut interval = |name: &'static str| -> Result<Option<(&'static str, i64, Span)>> {
        Ok(arguments.interval(name, zone)?.map(|(ms, span)| (name, ms, span)))
    };
    let (first, second) = match function {
        "TUMBLE" => (interval("SIZE")?, None),
        "HOP" => (interval("SLIDE")?, interval("SIZE")?),
        "CUMULATE" => (interval("STEP")?, interval("SIZE")?),
        _ => (interval("GAP")?, None),
    };
    let offset = match function {
        "SESSION" => None,
        _ => interval("OFFSET")?,
    };
    let Some(first) = first else { return Err(Error::internal(format!("{function} without a length"))) };
    let kind = window_kind(function, first, second, false)?;
    Ok(WindowSpec { kind, offset: offset.map_or(0, |(_, ms, _)| ms), zone: None })
}

/// A kind of windows from its lengths in milliseconds, each with its name and place.
pub(super) fn window_kind(
    function: &str,
    first: (&str, i64, Span),
    second: Option<(&str, i64, Span)>,
    in_group_by: bool,
) -> Result<WindowKind> {
    for (name, ms, span) in [Some(first), second].into_iter().flatten() {
        if ms <= 0 {
            return Err(Error::plan(format!("the {name} of {function} must be longer than 0")).at(span));
        }
    }
    let (_, length, _) = first;
    Ok(match (function, second) {
        ("TUMBLE", _) => WindowKind::Tumble { size: length },
        ("HOP" | "CUMULATE", Some((_, size, span))) => {
            // As Flink has it; HOP in GROUP BY may have other lengths there.
            let step = if function == "HOP" { "slide" } else { "step" };
            if size % length != 0 && !(function == "HOP" && in_group_by) {
                return Err(Error::plan(format!(
                    "the size of {function} must be a multiple of its {step}: {size} ms is no multiple of {length} ms"
                ))
                .at(span));
            }
            match function {
                "HOP" => WindowKind::Hop { slide: length, size },
                _ => WindowKind::Cumulate { step: length, size },
            }
        }
        _ => WindowKind::Session { gap: length },
    })
}

/// Puts windows above a plan.
pub(super) fn windowed(
    plan: LogicalPlan,
    time: Expr,
    time_span: Span,
    spec: WindowSpec,
    partition_by: Vec<Expr>,
    zone: &str,
) -> Result<LogicalPlan> {
    let zone = match time.get_type(plan.schema())? {
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, at) => at.map(|_| zone.to_string()),
        // PROCTIME() is more precise in some forms; whether it is a time attribute is seen later.
        DataType::Timestamp(_, at) => at.map(|_| zone.to_string()),
        other => {
            let shown =
                crate::sql::SqlType::from_arrow(&other).map_or_else(|| other.to_string(), |t| t.to_string());
            return Err(Error::plan(format!("windows need a time attribute, '{time}' is {shown}"))
                .with_hint("declare a watermark for a TIMESTAMP(3) column: WATERMARK FOR ts AS ts")
                .at(time_span));
        }
    };
    let taken = |name: &&str| plan.schema().iter().any(|(q, f)| q.is_none() && f.name() == *name);
    if let Some(name) = ["window_start", "window_end", "window_time"].iter().find(|n| taken(n)) {
        return Err(Error::plan(format!("the input of the windows has a column '{name}' already"))
            .with_hint(format!("rename it: SELECT {name} AS other_name, ...")));
    }
    let spec = WindowSpec { zone, ..spec };
    let node = WindowTableNode::try_new(plan, time, spec, partition_by)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}
