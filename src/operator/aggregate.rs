//! Aggregate calls and their state: one column of state a call, one place in it a group.
//!
//! Operators intern their keys to slots ([`crate::state::KeyTable`]) and hand the slots of a whole chunk to
//! each accumulator. Nothing is done row by row through a boxed value.

/// Runs `$make::<T>` for the Arrow type `T` of a data type that SQL has as a plain number, or the rest.
macro_rules! for_primitive {
    ($t:expr, $native:ident => $make:expr, _ => $rest:expr) => {{
        use arrow::datatypes::*;
        macro_rules! made {
            ($name:ty) => {{
                type $native = $name;
                $make
            }};
        }
        match $t {
            DataType::Int8 => made!(Int8Type),
            DataType::Int16 => made!(Int16Type),
            DataType::Int32 => made!(Int32Type),
            DataType::Int64 => made!(Int64Type),
            DataType::Float32 => made!(Float32Type),
            DataType::Float64 => made!(Float64Type),
            DataType::Decimal128(..) => made!(Decimal128Type),
            DataType::Date32 => made!(Date32Type),
            DataType::Time32(TimeUnit::Millisecond) => made!(Time32MillisecondType),
            DataType::Timestamp(TimeUnit::Second, _) => made!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => made!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => made!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => made!(TimestampNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => made!(IntervalYearMonthType),
            _ => $rest,
        }
    }};
}

mod bag;
mod count;
mod distinct;
mod encoded;
mod equal;
mod foreign;
mod joined;
mod listed;
mod sequence;
mod single;
pub(crate) mod state;
mod sum;
mod variance;

pub(crate) use equal::equal_rows;
pub use state::StateColumn;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion_expr::AggregateUDF;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::function::aggregate::Function;
use listed::{Lists, Shape};

/// One aggregate call of a query, planned: what every operator that aggregates is given.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub function: Arc<AggregateUDF>,
    /// Its arguments over the input.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    /// Types of the arguments, then those of ORDER BY's expressions.
    pub arg_types: Vec<DataType>,
    /// `FILTER (WHERE ...)`.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `WITHIN GROUP (ORDER BY ...)` or `ORDER BY` in the call: expression, descending, nulls first.
    pub order_by: Vec<(Arc<dyn PhysicalExpr>, bool, bool)>,
    /// `IGNORE NULLS` (true), `RESPECT NULLS` (false).
    pub ignore_nulls: Option<bool>,
    /// Type of the result.
    pub data_type: DataType,
    /// As EXPLAIN shows it, such as `SUM(price) FILTER (WHERE ...)`.
    pub display: String,
}

/// Which rows of a chunk an accumulator takes, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a> {
    /// One a row: false leaves the row out. `None`: all rows count.
    pub selected: Option<&'a [bool]>,
    /// One a row: true takes a row back that was added before. `None`: all are added.
    pub retracted: Option<&'a [bool]>,
}

/// The state of one aggregate call over many groups.
pub trait Accumulator: Send + Debug {
    /// Makes room for groups `0..groups`; new ones are empty. Never shrinks.
    fn resize(&mut self, groups: usize);

    /// Adds (or takes back) row `i` of `args` to group `groups[i]`. `args` are those of
    /// [`AggregateCall::arguments`]: the arguments, then the expressions of ORDER BY.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()>;

    /// Adds group `from[i]` of another state of the same call to group `groups[i]` of this one.
    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()>;

    /// Adds one group of this state to another one; `from` is left as it is (callers reset it).
    fn merge_within(&mut self, into: u32, from: u32) -> Result<()>;

    /// The results of groups as they are now; the state is not changed.
    fn values(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Makes a group empty again.
    fn reset(&mut self, group: u32);

    /// The columns of [`Accumulator::state`].
    fn state_columns(&self) -> Vec<StateColumn>;

    /// All that groups hold, one row each, for a checkpoint.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Puts row `i` of a state into group `groups[i]`, which is empty: it goes on as the group that it was
    /// taken from. No group comes twice.
    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()>;

    /// Bytes held.
    fn memory(&self) -> usize;

    /// For [`Accumulator::merge`].
    fn as_any(&self) -> &dyn Any;
}

impl AggregateCall {
    /// Empty state for this call. `retracting`: rows may be taken back.
    pub fn accumulator(&self, retracting: bool) -> Result<Box<dyn Accumulator>> {
        let function = Function::of(&self.function);
        let plain = self.plain(function, retracting)?;
        // The least of the distinct values is the least of all.
        if !self.distinct || matches!(function, Some(Function::Min | Function::Max)) {
            return Ok(plain);
        }
        let counts_nulls = match function {
            None
            | Some(Function::ArrayAgg | Function::JsonObjectAgg { .. } | Function::JsonArrayAgg { .. }) => {
                true
            }
            Some(Function::FirstValue | Function::LastValue) => self.ignore_nulls == Some(false),
            Some(_) => false,
        };
        Ok(Box::new(distinct::Distinct::new(plain, &self.arg_types, !counts_nulls)?))
    }

    /// Types of the arguments, and types and options of ORDER BY.
    fn types(&self) -> (&[DataType], Vec<(DataType, SortOptions)>) {
        let (arguments, order) = self.arg_types.split_at(self.args.len().min(self.arg_types.len()));
        let order = self.order_by.iter().zip(order).map(|((_, descending, nulls_first), t)| {
            (t.clone(), SortOptions { descending: *descending, nulls_first: *nulls_first })
        });
        (arguments, order.collect())
    }

    /// State without regard to DISTINCT.
    fn plain(&self, function: Option<Function>, retracting: bool) -> Result<Box<dyn Accumulator>> {
        let (arguments, order) = self.types();
        let Some(function) = function else { return foreign::foreign(self, arguments, &order, retracting) };
        let first = arguments.first().cloned().unwrap_or(DataType::Null);
        let unsupported = || {
            let shown = crate::sql::SqlType::from_arrow(&first).map_or(first.to_string(), |t| t.to_string());
            Error::unsupported(format!("{} of {shown} is not supported", function.label()))
                .with_detail(self.display.clone())
        };
        let keeps_all = retracting || !order.is_empty();
        let lists = |shape, skips_nulls| -> Result<Box<dyn Accumulator>> {
            let result = self.data_type.clone();
            Ok(Box::new(Lists::new(shape, skips_nulls, arguments, &order, result)?))
        };
        let measure = |sample, deviation| {
            variance::variance(variance::Measure { sample, deviation }, &first).ok_or_else(unsupported)
        };
        let respects_nulls = self.ignore_nulls == Some(false);
        match function {
            Function::Count => Ok(Box::new(count::Count::default())),
            Function::Sum => sum::sum(&first).ok_or_else(unsupported),
            Function::Avg => sum::avg(&first).ok_or_else(unsupported),
            Function::Min if retracting => bag::extreme(bag::End::Least, &first),
            Function::Max if retracting => bag::extreme(bag::End::Greatest, &first),
            Function::Min => single::single(single::Rule::Min, &first),
            Function::Max => single::single(single::Rule::Max, &first),
            Function::StddevPop => measure(false, true),
            Function::StddevSamp => measure(true, true),
            Function::VarPop => measure(false, false),
            Function::VarSamp => measure(true, false),
            Function::FirstValue if keeps_all => lists(Shape::First, !respects_nulls),
            Function::LastValue if keeps_all => lists(Shape::Last, !respects_nulls),
            Function::FirstValue => single::single(single::Rule::First(respects_nulls), &first),
            Function::LastValue => single::single(single::Rule::Last(respects_nulls), &first),
            Function::Listagg if keeps_all => lists(Shape::Text, true),
            Function::Listagg => Ok(Box::new(joined::Joined::default())),
            Function::ArrayAgg => lists(Shape::Array, self.ignore_nulls == Some(true)),
            Function::Collect => lists(Shape::Multiset, true),
            Function::Percentile => lists(Shape::Percentile, true),
            Function::JsonArrayAgg { absent, raw } => lists(Shape::JsonArray { raw }, absent),
            Function::JsonObjectAgg { absent, raw } => lists(Shape::JsonObject { raw, absent }, false),
        }
    }
}

impl AggregateCall {
    /// The arguments for the rows of a batch.
    pub fn arguments(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let order = self.order_by.iter().map(|(e, _, _)| e);
        let evaluate = |e: &Arc<dyn PhysicalExpr>| Ok(e.evaluate(batch)?.into_array(batch.num_rows())?);
        self.args.iter().chain(order).map(evaluate).collect()
    }

    /// Which rows of a batch pass FILTER, among those of `selected`; `None` without FILTER.
    pub fn selection(&self, batch: &RecordBatch, selected: Option<&[bool]>) -> Result<Option<Vec<bool>>> {
        let Some(filter) = &self.filter else { return Ok(None) };
        let mask = filter.evaluate(batch)?.into_array(batch.num_rows())?;
        let mask = mask.as_boolean_opt().ok_or_else(|| Error::internal("a FILTER that is not BOOLEAN"))?;
        let passes = mask.iter().enumerate();
        Ok(Some(passes.map(|(i, m)| m == Some(true) && selected.is_none_or(|s| s[i])).collect()))
    }
}

/// Calls `f(row, taken back)` for every row that counts: selected, and valid in `nulls`. What is absent
/// costs nothing in the loop.
#[inline(always)]
pub(crate) fn each_row(
    len: usize,
    rows: Rows<'_>,
    nulls: Option<&NullBuffer>,
    mut f: impl FnMut(usize, bool),
) {
    let nulls = nulls.filter(|n| n.null_count() > 0);
    match (rows.selected, rows.retracted, nulls) {
        (None, None, None) => (0..len).for_each(|i| f(i, false)),
        (None, None, Some(nulls)) => nulls.valid_indices().for_each(|i| f(i, false)),
        (None, Some(retracted), None) => {
            retracted[..len].iter().enumerate().for_each(|(i, &back)| f(i, back));
        }
        (selected, retracted, nulls) => {
            for i in 0..len {
                if selected.is_none_or(|s| s[i]) && nulls.is_none_or(|n| n.is_valid(i)) {
                    f(i, retracted.is_some_and(|r| r[i]));
                }
            }
        }
    }
}

/// The argument that a function of one argument has.
pub(crate) fn only_arg<'a>(args: &'a [ArrayRef], what: &str) -> Result<&'a ArrayRef> {
    args.first().ok_or_else(|| Error::internal(format!("{what} without its argument")))
}

/// Another state of the same call.
pub(crate) fn same_state<T: 'static>(other: &dyn Accumulator) -> Result<&T> {
    other.as_any().downcast_ref::<T>().ok_or_else(|| Error::internal("states of different calls were merged"))
}

/// Nulls of an argument as its values show them (a NULL column has no buffer for them).
pub(crate) fn nulls_of(array: &ArrayRef) -> Option<NullBuffer> {
    array.logical_nulls()
}

#[cfg(test)]
pub(crate) mod tests;
