//! Right sides of joins that stand for a table at a moment: `FOR SYSTEM_TIME AS OF` and `LATERAL SNAPSHOT`.
//!
//! Binding puts a node above the table. It keeps predicates from being pushed below it (a version that does not
//! pass a filter is still a version: it ends the one before), and keeps the columns alive that tell versions
//! apart. The moment itself is a column of the *left* side, which a node on the right cannot hold on to: it
//! becomes an argument of a marker in the join's condition, which no rewrite takes apart.
//!
//! ```text
//!   Join on o.k = r.k and $as_of(o.ts, r.k)
//!     o                 Version(of r; keeps r.k, r.ts)
//! ```

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchemaRef, Result as DfResult, ScalarValue, internal_err};
use datafusion_expr::logical_plan::{Filter, Projection, Subquery, SubqueryAlias, TableScan};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{
    ColumnarValue, Expr, Extension, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    UserDefinedLogicalNodeCore, Volatility,
};
use sqlparser::ast::{self, FunctionArg, ObjectName, Spanned};

use super::bind::span_of;
use super::lookup_join::substitute;
use super::provider::{Planner, TableRef};
use super::table_function::{Parameter, TableArgument, table_arguments};
use crate::error::{Error, Result};
use crate::function::TIME_METADATA_KEY;
use crate::function::tree::Tree;

/// A table `FOR SYSTEM_TIME AS OF` a time attribute of the left side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionNode {
    /// The table or view.
    pub input: LogicalPlan,
    /// Columns of the input that tell its versions apart.
    pub kept: Vec<Expr>,
    /// The moment, as written.
    pub period: ast::Expr,
    /// The moment is when a left row comes; else an event time. `None` until it is resolved.
    pub processing: Option<bool>,
}

/// `SNAPSHOT(input => TABLE t, ...)`: the rows of a table as they are when a left row comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotNode {
    /// The table.
    pub input: LogicalPlan,
    /// Its time attribute, a column of the input.
    pub on_time: Option<Expr>,
    /// The input is loaded when its watermark is here, in milliseconds since the epoch.
    pub load_completed_time: Option<i64>,
    /// It is loaded as well when nothing came for so many milliseconds.
    pub idle_timeout: Option<i64>,
    /// Rows are forgotten after so many milliseconds.
    pub state_ttl: Option<i64>,
}

impl PartialOrd for VersionNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl PartialOrd for SnapshotNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

/// The one input of a node after a rewrite.
fn only(mut inputs: Vec<LogicalPlan>) -> DfResult<LogicalPlan> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => internal_err!("a node with one input was given another number"),
    }
}

impl UserDefinedLogicalNodeCore for VersionNode {
    fn name(&self) -> &str {
        "Version"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        self.kept.clone()
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        match self.processing {
            Some(true) => HashSet::new(),
            _ => self.schema().fields().iter().map(|f| f.name().clone()).collect(),
        }
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version: AS OF {}", self.period)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(Self { input: only(inputs)?, kept: exprs, ..self.clone() })
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

impl UserDefinedLogicalNodeCore for SnapshotNode {
    fn name(&self) -> &str {
        "Snapshot"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        self.on_time.iter().cloned().collect()
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(Self { input: only(inputs)?, on_time: exprs.pop(), ..self.clone() })
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// Stands in the condition of a join by event time: its first argument is the moment.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AsOf {
    signature: Signature,
}

const AS_OF: &str = "$as_of";

impl ScalarUDFImpl for AsOf {
    fn name(&self) -> &str {
        AS_OF
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}

fn as_of(moment: Expr, right: Expr) -> Expr {
    // Volatile: it is neither folded nor moved.
    let marker = AsOf { signature: Signature::variadic_any(Volatility::Volatile) };
    ScalarUDF::new_from_impl(marker).call(vec![moment, right])
}

/// The moment that a conjunct marks.
pub(super) fn moment(conjunct: &Expr) -> Option<&Expr> {
    match conjunct {
        Expr::ScalarFunction(call) if call.name() == AS_OF => call.args.first(),
        _ => None,
    }
}

/// A node at the bottom of a right side.
#[derive(Debug, Clone)]
pub(super) enum Moment {
    /// `FOR SYSTEM_TIME AS OF`
    Version(Box<VersionNode>),
    /// `LATERAL SNAPSHOT`
    Snapshot(Box<SnapshotNode>),
}

/// What stands above it: columns and filters, over the node's columns.
pub(super) struct Above {
    /// The node.
    pub moment: Moment,
    /// What each column of the right side is.
    pub columns: Vec<Expr>,
    /// What rows of the right side pass.
    pub filters: Vec<Expr>,
}

/// The node at the bottom of the right side of a join, below names, projections and filters.
pub(super) fn above_moment(plan: &LogicalPlan) -> Result<Option<Above>> {
    Ok(match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => above_moment(input)?,
        LogicalPlan::Filter(Filter { predicate, input, .. }) => match above_moment(input)? {
            Some(mut above) => {
                above.filters.push(substitute(predicate.clone(), input.schema(), &above.columns)?);
                Some(above)
            }
            None => None,
        },
        LogicalPlan::Projection(Projection { expr, input, .. }) => match above_moment(input)? {
            Some(above) => {
                let columns = expr
                    .iter()
                    .map(|e| substitute(e.clone().unalias_nested().data, input.schema(), &above.columns))
                    .collect::<Result<_>>()?;
                Some(Above { columns, ..above })
            }
            None => None,
        },
        LogicalPlan::Extension(Extension { node }) => {
            let version =
                node.as_any().downcast_ref::<VersionNode>().cloned().map(|v| Moment::Version(Box::new(v)));
            let snapshot =
                node.as_any().downcast_ref::<SnapshotNode>().cloned().map(|s| Moment::Snapshot(Box::new(s)));
            version.or(snapshot).map(|moment| {
                let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
                Above { moment, columns, filters: Vec::new() }
            })
        }
        _ => None,
    })
}

/// The version below the names of a right side.
pub(super) fn version_below(plan: &LogicalPlan) -> Option<&VersionNode> {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
        | LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. }) => version_below(input),
        LogicalPlan::Subquery(Subquery { subquery, .. }) => version_below(subquery),
        LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
        _ => None,
    }
}

/// A table or view `FOR SYSTEM_TIME AS OF` something.
pub(super) fn version_of(input: LogicalPlan, period: ast::Expr) -> LogicalPlan {
    // A table knows its key and its time; of anything else all columns stay.
    let mut below = &input;
    while let LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) = below {
        below = input;
    }
    let table = match below {
        LogicalPlan::TableScan(TableScan { source, .. }) => source.downcast_ref::<TableRef>(),
        _ => None,
    };
    let telling = |name: &str| {
        table.is_none_or(|t| {
            t.table.primary_key.iter().any(|k| k == name)
                || t.table.watermark.as_ref().is_some_and(|w| w.column == name)
        })
    };
    let kept = input.schema().columns().into_iter().filter(|c| telling(&c.name)).map(Expr::Column).collect();
    LogicalPlan::Extension(Extension {
        node: Arc::new(VersionNode { input, kept, period, processing: None }),
    })
}

const SNAPSHOT: &[Parameter] = &[
    Parameter::required("INPUT"),
    Parameter::optional("ON_TIME"),
    Parameter::optional("LOAD_COMPLETED_TIME"),
    Parameter::optional("LOAD_COMPLETED_IDLE_TIMEOUT"),
    Parameter::optional("STATE_TTL"),
];

/// An instant in milliseconds since the epoch.
fn instant(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(Some(t), Some(_)) => t.checked_mul(1000),
        ScalarValue::TimestampMillisecond(Some(t), Some(_)) => Some(*t),
        ScalarValue::TimestampMicrosecond(Some(t), Some(_)) => Some(t.div_euclid(1000)),
        ScalarValue::TimestampNanosecond(Some(t), Some(_)) => Some(t.div_euclid(1_000_000)),
        _ => None,
    }
}

/// `SNAPSHOT(input => TABLE t, ...)` behind LATERAL.
pub(super) fn snapshot(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
    zone: &str,
) -> Result<LogicalPlan> {
    let mut arguments = table_arguments(name, args, context)?.assign(SNAPSHOT)?;
    let Some((table, span)) = arguments.table("INPUT")? else {
        return Err(Error::internal("SNAPSHOT was called without its input"));
    };
    let TableArgument { plan, partition_by, order_by } = table;
    if !partition_by.is_empty() || !order_by.is_empty() {
        return Err(Error::plan("the input of SNAPSHOT has no PARTITION BY and no ORDER BY")
            .with_hint("the equalities of the join say which rows belong together")
            .at(span));
    }
    let on_time = arguments.column("ON_TIME", &plan)?.map(|(column, _)| column);
    let load_completed_time = match arguments.constant("LOAD_COMPLETED_TIME", zone)? {
        None => None,
        Some((value, span)) => Some(instant(&value).ok_or_else(|| {
            Error::plan("LOAD_COMPLETED_TIME of SNAPSHOT is a TIMESTAMP_LTZ")
                .with_hint("write for example TO_TIMESTAMP_LTZ(1700000000000, 3) or CURRENT_TIMESTAMP")
                .at(span)
        })?),
    };
    if load_completed_time.is_some() && on_time.is_none() {
        return Err(Error::plan("LOAD_COMPLETED_TIME of SNAPSHOT needs ON_TIME")
            .with_hint("add on_time => DESCRIPTOR(column), the time attribute of the input")
            .at(arguments.span));
    }
    let mut duration = |name: &'static str| match arguments.interval(name, zone)? {
        Some((millis, span)) if millis <= 0 => {
            Err(Error::plan(format!("{name} of SNAPSHOT must be longer than 0")).at(span))
        }
        other => Ok(other.map(|(millis, _)| millis)),
    };
    let idle_timeout = duration("LOAD_COMPLETED_IDLE_TIMEOUT")?;
    let state_ttl = duration("STATE_TTL")?;
    let node = SnapshotNode { input: plan, on_time, load_completed_time, idle_timeout, state_ttl };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Which time of the left side a period is.
pub(super) enum Period {
    /// When a row comes.
    Processing,
    /// A column that may be event time.
    Column(Column),
}

impl Planner {
    /// What `FOR SYSTEM_TIME AS OF period` means with this left side.
    pub(super) fn period(&self, period: &ast::Expr, left: &LogicalPlan, hint: &str) -> Result<Period> {
        let span = span_of(period.span());
        let parts: Vec<&str> = match period {
            ast::Expr::Identifier(ident) => vec![&ident.value],
            ast::Expr::CompoundIdentifier(idents) => idents.iter().map(|i| i.value.as_str()).collect(),
            ast::Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("proctime") => {
                return Ok(Period::Processing);
            }
            _ => {
                return Err(Error::plan("FOR SYSTEM_TIME AS OF takes a time attribute of the left table")
                    .with_hint(hint)
                    .at(span));
            }
        };
        let column = match parts.as_slice() {
            [name] => Column::new_unqualified(*name),
            [.., qualifier, name] => {
                Column::new(Some(datafusion_common::TableReference::bare(*qualifier)), *name)
            }
            [] => return Err(Error::internal("an empty name")),
        };
        let Ok(index) = left.schema().index_of_column(&column) else {
            return Err(Error::plan(format!("'{}' is not a column of the left table", column.flat_name()))
                .with_hint(hint)
                .at(span));
        };
        let field = left.schema().field(index);
        if field.metadata().get(TIME_METADATA_KEY).map(String::as_str) == Some("proctime") {
            return Ok(Period::Processing);
        }
        match field.data_type() {
            DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => {
                Ok(Period::Column(Column::from(left.schema().qualified_field(index))))
            }
            _ => Err(Error::plan(format!("'{}' is not a time attribute", column.flat_name()))
                .with_hint(hint)
                .at(span)),
        }
    }

    /// The right side of a join whose versions are those of `period`, and the mark in its condition. `resolve`
    /// resolves what is below.
    pub(super) fn resolve_version(
        &self,
        right: &LogicalPlan,
        left: &LogicalPlan,
        resolve: impl Fn(LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<(LogicalPlan, Option<Expr>)> {
        let Some(version) = version_below(right) else {
            return Err(Error::internal("the right side of a join has no version"));
        };
        let hint = "name a time attribute of the left table: a column with a WATERMARK, or one AS PROCTIME()";
        let period = self.period(&version.period, left, hint)?;
        let resolved = VersionNode {
            input: resolve(version.input.clone())?,
            processing: Some(matches!(period, Period::Processing)),
            ..version.clone()
        };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(resolved) });
        let right = right.clone().transform_up(|node| match &node {
            LogicalPlan::Extension(Extension { node: found }) if found.as_any().is::<VersionNode>() => {
                Ok(Transformed::yes(plan.clone()))
            }
            LogicalPlan::Subquery(Subquery { subquery, .. }) => {
                Ok(Transformed::yes(subquery.as_ref().clone()))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        let right = right.data;
        let mark = match period {
            Period::Processing => None,
            Period::Column(column) => {
                let any = right.schema().columns().into_iter().next();
                let any = any.ok_or_else(|| Error::internal("a table without columns has versions"))?;
                Some(as_of(Expr::Column(column), Expr::Column(any)))
            }
        };
        Ok((right, mark))
    }
}
