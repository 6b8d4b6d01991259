//! Aggregate calls and their state: one column of state a call, one place in it a group.
//!
//! Operators intern their keys to slots ([`crate::state::KeyTable`]) and hand the slots of a whole chunk to
//! each accumulator. Nothing is done row by row through a boxed value.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_expr::AggregateUDF;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::Result;

/// One aggregate call of a query, planned: what every operator that aggregates is given.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub function: Arc<AggregateUDF>,
    /// Its arguments over the input.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    /// Types of the arguments.
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

    /// Adds (or takes back) row `i` of `args` to group `groups[i]`.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()>;

    /// Adds group `from[i]` of another state of the same call to group `groups[i]` of this one.
    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()>;

    /// Adds one group of this state to another one; `from` is left as it is (callers reset it).
    fn merge_within(&mut self, into: u32, from: u32) -> Result<()>;

    /// The results of groups as they are now; the state is not changed.
    fn values(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Makes a group empty again.
    fn reset(&mut self, group: u32);

    /// Bytes held.
    fn memory(&self) -> usize;

    /// For [`Accumulator::merge`].
    fn as_any(&self) -> &dyn Any;
}
