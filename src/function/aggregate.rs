//! Flink's aggregate functions for DataFusion's planner: names, argument types, result types.
//!
//! What they compute is in [`crate::operator::aggregate`]: the operators keep state in columns over many
//! groups, so DataFusion's accumulators (one object a group) are not used for these. Functions that only
//! DataFusion has (`MEDIAN`, `CORR`, `BIT_AND`, ...) can be called by their names too and run through theirs.
//!
//! | function | result | notes |
//! |---|---|---|
//! | `COUNT` | BIGINT | several arguments: rows in which none is NULL |
//! | `SUM` | type of the argument; DECIMAL(38, s) | see below |
//! | `AVG` | type of the argument; DECIMAL(38, max(6, s)) | integers truncate towards zero |
//! | `STDDEV_*`, `VAR_*` | as `AVG` | integers truncate towards zero |
//! | `MIN`, `MAX`, `FIRST_VALUE`, `LAST_VALUE` | type of the argument | NULLs do not count |
//! | `LISTAGG` | STRING | |
//! | `ARRAY_AGG` | ARRAY | NULLs are kept unless IGNORE NULLS |
//! | `COLLECT` | MULTISET | |
//! | `PERCENTILE` | DOUBLE, or ARRAY of DOUBLE for an array of percentages | exact |
//! | `JSON_OBJECTAGG`, `JSON_ARRAYAGG` | STRING | |
//!
//! **Overflow.** A `SUM` that leaves the range of its type is an error, where Flink wraps silently
//! (integers) or gives NULL (DECIMAL). `CAST` the argument to a wider type to avoid it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunctionParams};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion_expr::utils::COUNT_STAR_EXPANSION;
use datafusion_expr::{AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};

use crate::error::{Error, Result};
use crate::sql::SqlType;

/// The aggregate functions with an own implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    FirstValue,
    LastValue,
    Listagg,
    ArrayAgg,
    Collect,
    Percentile,
    /// `absent`: ABSENT ON NULL. `raw`: the values are JSON already.
    JsonObjectAgg {
        absent: bool,
        raw: bool,
    },
    /// `absent`: ABSENT ON NULL. `raw`: the values are JSON already.
    JsonArrayAgg {
        absent: bool,
        raw: bool,
    },
}

const NAMES: &[(&str, &[&str], Function)] = &[
    ("count", &[], Function::Count),
    ("sum", &[], Function::Sum),
    ("avg", &[], Function::Avg),
    ("min", &[], Function::Min),
    ("max", &[], Function::Max),
    ("stddev_pop", &[], Function::StddevPop),
    ("stddev_samp", &["stddev"], Function::StddevSamp),
    ("var_pop", &[], Function::VarPop),
    ("var_samp", &["variance"], Function::VarSamp),
    ("first_value", &[], Function::FirstValue),
    ("last_value", &[], Function::LastValue),
    ("listagg", &[], Function::Listagg),
    ("array_agg", &[], Function::ArrayAgg),
    ("collect", &[], Function::Collect),
    ("percentile", &[], Function::Percentile),
    ("json_objectagg", &[], Function::JsonObjectAgg { absent: false, raw: false }),
    ("$json_objectagg_raw", &[], Function::JsonObjectAgg { absent: false, raw: true }),
    ("$json_objectagg_absent", &[], Function::JsonObjectAgg { absent: true, raw: false }),
    ("$json_objectagg_absent_raw", &[], Function::JsonObjectAgg { absent: true, raw: true }),
    ("json_arrayagg", &[], Function::JsonArrayAgg { absent: true, raw: false }),
    ("$json_arrayagg_raw", &[], Function::JsonArrayAgg { absent: true, raw: true }),
    ("$json_arrayagg_null", &[], Function::JsonArrayAgg { absent: false, raw: false }),
    ("$json_arrayagg_null_raw", &[], Function::JsonArrayAgg { absent: false, raw: true }),
];

/// GROUPING in expressions: a rule of the planner replaces it, it is never computed.
pub const GROUPING: &str = "$grouping";

/// All aggregate functions: Flink's, then those of other names that DataFusion has.
pub fn aggregates() -> &'static [Arc<AggregateUDF>] {
    static ALL: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
        let own = NAMES.iter().map(|&(name, aliases, function)| {
            let aliases = aliases.iter().map(ToString::to_string).collect();
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(AggregateUDF::from(Aggregate { name, aliases, function, signature }))
        });
        let mut all: Vec<Arc<AggregateUDF>> = own.collect();
        let mut taken: Vec<String> = all.iter().flat_map(|f| names_of(f)).collect();
        // GROUPING is rewritten, see `GROUPING`; STRING_AGG is LISTAGG with a type of strings that SQL lacks.
        taken.extend(["grouping", "string_agg"].map(str::to_string));
        for other in datafusion_functions_aggregate::all_default_aggregate_functions() {
            if !taken.iter().any(|n| n == other.name()) {
                all.push(other);
            }
        }
        all
    });
    &ALL
}

fn names_of(function: &AggregateUDF) -> Vec<String> {
    std::iter::once(function.name().to_string()).chain(function.aliases().iter().cloned()).collect()
}

/// The aggregate function of a name, whatever its case.
pub fn aggregate(name: &str) -> Option<Arc<AggregateUDF>> {
    let name = name.to_ascii_lowercase();
    if name == GROUPING {
        return Some(datafusion_functions_aggregate::grouping::grouping_udaf());
    }
    let find = |f: &&Arc<AggregateUDF>| f.name() == name || f.aliases().contains(&name);
    aggregates().iter().find(find).cloned()
}

/// Names that a user may write, upper case and sorted.
pub fn aggregate_names() -> Vec<String> {
    let all = aggregates().iter().flat_map(|f| names_of(f));
    let syntax = ["GROUPING", "GROUPING_ID"].into_iter().map(String::from);
    let mut names: Vec<String> =
        all.filter(|n| !n.starts_with('$')).map(|n| n.to_ascii_uppercase()).chain(syntax).collect();
    names.sort();
    names.dedup();
    names
}

impl Function {
    /// Which function a planned call names; `None` for those that only DataFusion has. Optimizer rules
    /// bring in DataFusion's own COUNT, which means the same.
    pub fn of(udf: &AggregateUDF) -> Option<Function> {
        let own = (udf.inner().as_ref() as &dyn Any).downcast_ref::<Aggregate>();
        match own {
            Some(own) => Some(own.function),
            None if udf.name() == "count" => Some(Function::Count),
            None => None,
        }
    }

    fn arguments(self) -> (usize, usize) {
        match self {
            Self::Count => (1, usize::MAX),
            Self::Listagg => (1, 2),
            Self::Percentile => (2, 3),
            Self::JsonObjectAgg { .. } => (2, 2),
            _ => (1, 1),
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::Count => "COUNT(*) or COUNT([DISTINCT] value, ...)",
            Self::Sum => "SUM([DISTINCT] number)",
            Self::Avg => "AVG([DISTINCT] number)",
            Self::Min => "MIN(value)",
            Self::Max => "MAX(value)",
            Self::StddevPop => "STDDEV_POP(number)",
            Self::StddevSamp => "STDDEV_SAMP(number)",
            Self::VarPop => "VAR_POP(number)",
            Self::VarSamp => "VAR_SAMP(number)",
            Self::FirstValue => "FIRST_VALUE(value)",
            Self::LastValue => "LAST_VALUE(value)",
            Self::Listagg => "LISTAGG([DISTINCT] text [, separator])",
            Self::ArrayAgg => "ARRAY_AGG([DISTINCT] value [ORDER BY ...])",
            Self::Collect => "COLLECT([DISTINCT] value)",
            Self::Percentile => "PERCENTILE(number, percentage [, frequency])",
            Self::JsonObjectAgg { .. } => "JSON_OBJECTAGG([KEY] key VALUE value [NULL | ABSENT ON NULL])",
            Self::JsonArrayAgg { .. } => "JSON_ARRAYAGG(value [NULL | ABSENT ON NULL])",
        }
    }

    fn coerce(self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.arguments();
        if types.len() < least || types.len() > most {
            let word = if types.len() == 1 { "argument" } else { "arguments" };
            return Err(Error::plan(format!("{} does not take {} {word}", self.label(), types.len()))
                .with_hint(format!("use {}", self.usage())));
        }
        let wrong = |i: usize, t: &DataType, wanted: &str| {
            let shown = SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string());
            Error::plan(format!("argument {} of {} must be {wanted}, not {shown}", i + 1, self.label()))
                .with_hint("CAST(... AS ...) converts it")
        };
        let number = |i: usize| number(&types[i]).ok_or_else(|| wrong(i, &types[i], "a number"));
        let text = |i: usize| text(&types[i]).ok_or_else(|| wrong(i, &types[i], "STRING"));
        match self {
            Self::Sum | Self::Avg | Self::StddevPop | Self::StddevSamp | Self::VarPop | Self::VarSamp => {
                Ok(vec![number(0)?])
            }
            Self::Min | Self::Max => match plain(&types[0]) {
                t if t.is_nested() => Err(wrong(0, &t, "a type with an order")),
                t => Ok(vec![t]),
            },
            Self::Listagg => (0..types.len()).map(text).collect(),
            Self::JsonObjectAgg { .. } => Ok(vec![text(0)?, plain(&types[1])]),
            Self::Percentile => {
                number(0)?;
                let percentage = match &types[1] {
                    DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _)
                        if f.data_type().is_numeric() || f.data_type().is_null() =>
                    {
                        DataType::new_list(DataType::Float64, true)
                    }
                    t if t.is_numeric() => DataType::Float64,
                    t => return Err(wrong(1, t, "a number or an array of numbers")),
                };
                let mut coerced = vec![DataType::Float64, percentage];
                if let Some(frequency) = types.get(2) {
                    if !frequency.is_integer() {
                        return Err(wrong(2, frequency, "an integer"));
                    }
                    coerced.push(DataType::Int64);
                }
                Ok(coerced)
            }
            _ => Ok(types.iter().map(plain).collect()),
        }
    }

    fn result(self, types: &[DataType]) -> Result<DataType> {
        let first = types.first().cloned().unwrap_or(DataType::Null);
        Ok(match self {
            Self::Count => DataType::Int64,
            Self::Sum => match number(&first).unwrap_or(first) {
                DataType::Decimal128(_, s) => DataType::Decimal128(38, s),
                other => other,
            },
            Self::Avg | Self::StddevPop | Self::StddevSamp | Self::VarPop | Self::VarSamp => {
                match number(&first).unwrap_or(first) {
                    DataType::Decimal128(_, s) => DataType::Decimal128(38, s.max(6)),
                    other => other,
                }
            }
            Self::Min | Self::Max | Self::FirstValue | Self::LastValue => plain(&first),
            Self::Listagg | Self::JsonObjectAgg { .. } | Self::JsonArrayAgg { .. } => DataType::Utf8View,
            Self::ArrayAgg => DataType::new_list(plain(&first), true),
            Self::Collect => {
                let entries =
                    vec![Field::new("key", plain(&first), false), Field::new("value", DataType::Int32, true)];
                let entries = Field::new("entries", DataType::Struct(entries.into()), false);
                DataType::Map(Arc::new(entries), false)
            }
            Self::Percentile => match types.get(1) {
                Some(DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => {
                    DataType::new_list(DataType::Float64, true)
                }
                _ => DataType::Float64,
            },
        })
    }

    /// The name as users write it.
    pub fn label(self) -> String {
        match self {
            Self::JsonObjectAgg { .. } => "JSON_OBJECTAGG".to_string(),
            Self::JsonArrayAgg { .. } => "JSON_ARRAYAGG".to_string(),
            other => NAMES.iter().find(|n| n.2 == other).map_or("", |n| n.0).to_ascii_uppercase(),
        }
    }
}

/// Unsigned and half-width numbers do not exist in SQL, and there is one sort of strings.
fn plain(t: &DataType) -> DataType {
    match t {
        DataType::Dictionary(_, value) => plain(value),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        other => other.clone(),
    }
}

fn number(t: &DataType) -> Option<DataType> {
    match plain(t) {
        DataType::Null => Some(DataType::Int32),
        DataType::Decimal256(..) => None,
        t if t.is_numeric() => Some(t),
        _ => None,
    }
}

fn text(t: &DataType) -> Option<DataType> {
    matches!(plain(t), DataType::Utf8View | DataType::Null).then_some(DataType::Utf8View)
}

/// An aggregate function as DataFusion's planner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Aggregate {
    name: &'static str,
    aliases: Vec<String>,
    function: Function,
    signature: Signature,
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(self.function.result(types)?)
    }
    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(self.function.coerce(types)?)
    }
    fn is_nullable(&self) -> bool {
        self.function != Function::Count
    }
    // What a correlated subquery gives where it finds no row.
    fn default_value(&self, data_type: &DataType) -> DfResult<ScalarValue> {
        match self.function {
            Function::Count => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }
    // DataFusion's names leave casts out: SUM(CAST(x AS INT)) and SUM(CAST(x AS BIGINT)) would be one column.
    fn schema_name(&self, params: &AggregateFunctionParams) -> DfResult<String> {
        self.display_name(params)
    }
    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> DfResult<String> {
        self.window_function_display_name(params)
    }
    fn supports_null_handling_clause(&self) -> bool {
        matches!(
            self.function,
            Function::FirstValue | Function::LastValue | Function::ArrayAgg | Function::JsonArrayAgg { .. }
        )
    }
    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> DfResult<Box<dyn datafusion_expr::Accumulator>> {
        Err(Error::internal(format!("{} was given to DataFusion's runtime", self.function.label())).into())
    }
    fn state_fields(&self, _args: StateFieldsArgs<'_>) -> DfResult<Vec<arrow::datatypes::FieldRef>> {
        Err(Error::internal(format!("{} was given to DataFusion's runtime", self.function.label())).into())
    }
}

/// `COUNT(*)` counts a constant; the column keeps its name.
#[derive(Debug)]
pub(super) struct CountRows;

impl ExprPlanner for CountRows {
    fn plan_aggregate(&self, raw: RawAggregateExpr) -> DfResult<PlannerResult<RawAggregateExpr>> {
        #[expect(deprecated, reason = "it is what DataFusion's planner makes of a star")]
        let star = matches!(raw.args.as_slice(), [Expr::Wildcard { .. }]);
        if !star {
            return Ok(PlannerResult::Original(raw));
        }
        if Function::of(&raw.func) != Some(Function::Count) {
            let name = raw.func.name().to_ascii_uppercase();
            return Err(Error::plan(format!("{name}(*) has no meaning"))
                .with_hint("COUNT(*) counts rows; other functions take an expression")
                .into());
        }
        let RawAggregateExpr { func, args, distinct, filter, order_by, null_treatment } = raw;
        if distinct {
            return Err(Error::plan("COUNT(DISTINCT *) has no meaning")
                .with_hint("name the columns: COUNT(DISTINCT a, b)")
                .into());
        }
        let call = |args| {
            let (func, filter, order_by) = (func.clone(), filter.clone(), order_by.clone());
            Expr::AggregateFunction(AggregateFunction::new_udf(
                func,
                args,
                distinct,
                filter,
                order_by,
                null_treatment,
            ))
        };
        let name = NamePreserver::new_for_projection().save(&call(args));
        let one = Expr::Literal(COUNT_STAR_EXPANSION, None);
        Ok(PlannerResult::Planned(name.restore(call(vec![one]))))
    }
}
