//! Functions that only DataFusion has, through its accumulators: one object a group.
//!
//! Its accumulators may be used up by giving their result, and few can take rows back. Hence two ways:
//! where rows are only added, a result is taken from a copy made of the accumulator's state; where rows
//! are taken back or an order is asked for, the rows are kept and the result is computed from them.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator as DataFusion, AggregateUDF};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::sequence::Sequence;
use super::state::{StateColumn, flags, malformed};
use super::{Accumulator, AggregateCall, Rows, each_row, same_state};
use crate::error::Result;

/// Makes DataFusion's accumulators of one call.
#[derive(Debug)]
struct Factory {
    function: Arc<AggregateUDF>,
    display: String,
    ignore_nulls: bool,
    /// Columns of the arguments, then of the order.
    schema: Schema,
    fields: Vec<FieldRef>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<PhysicalSortExpr>,
    result: FieldRef,
}

/// Constants as those functions know them: whole numbers are BIGINT.
fn constant(literal: &Literal) -> Arc<dyn PhysicalExpr> {
    let value = literal.value();
    let value = match value.data_type() {
        t if t.is_signed_integer() => value.cast_to(&DataType::Int64).unwrap_or_else(|_| value.clone()),
        _ => value.clone(),
    };
    Arc::new(Literal::new(value))
}

impl Factory {
    fn new(call: &AggregateCall, arguments: &[DataType], order: &[(DataType, SortOptions)]) -> Self {
        let types = arguments.iter().chain(order.iter().map(|o| &o.0));
        let fields: Vec<FieldRef> =
            types.enumerate().map(|(i, t)| Arc::new(Field::new(format!("a{i}"), t.clone(), true))).collect();
        let column = |i: usize| Arc::new(Column::new(&format!("a{i}"), i)) as Arc<dyn PhysicalExpr>;
        // Some functions look at constants when they are made, such as a percentile's percentage.
        let exprs = call.args.iter().enumerate();
        let exprs = exprs.map(|(i, e)| match e.downcast_ref::<Literal>() {
            Some(literal) => constant(literal),
            None => column(i),
        });
        let exprs = exprs.collect();
        let arguments = arguments.len();
        let order = order.iter().enumerate().map(|(i, o)| PhysicalSortExpr::new(column(arguments + i), o.1));
        Self {
            function: call.function.clone(),
            display: call.display.clone(),
            ignore_nulls: call.ignore_nulls == Some(true),
            order: order.collect(),
            exprs,
            schema: Schema::new(fields.clone()),
            fields: fields[..arguments].to_vec(),
            result: Arc::new(Field::new("result", call.data_type.clone(), true)),
        }
    }

    fn make(&self) -> Result<Box<dyn DataFusion>> {
        Ok(self.function.accumulator(AccumulatorArgs {
            return_field: self.result.clone(),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order,
            is_reversed: false,
            name: &self.display,
            is_distinct: false,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        })?)
    }

    fn collect(&self, values: Vec<ScalarValue>) -> Result<ArrayRef> {
        collected(values, self.result.data_type())
    }

    /// What its accumulators keep.
    fn state_fields(&self) -> Result<Vec<FieldRef>> {
        Ok(self.function.state_fields(StateFieldsArgs {
            name: &self.display,
            input_fields: &self.fields,
            return_field: self.result.clone(),
            ordering_fields: &[],
            is_distinct: false,
        })?)
    }
}

fn collected(values: Vec<ScalarValue>, t: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_empty_array(t));
    }
    let array = ScalarValue::iter_to_array(values)?;
    Ok(if array.data_type() == t { array } else { arrow::compute::cast(&array, t)? })
}

/// State of a call to a function of DataFusion.
pub(super) fn foreign(
    call: &AggregateCall,
    arguments: &[DataType],
    order: &[(DataType, SortOptions)],
    retracting: bool,
) -> Result<Box<dyn Accumulator>> {
    let factory = Factory::new(call, arguments, order);
    // A call that cannot run fails here, not with the first row.
    factory.make()?;
    if retracting || !order.is_empty() {
        return Ok(Box::new(Kept { rows: Sequence::new(arguments, order)?, factory }));
    }
    let fields = factory.state_fields()?;
    Ok(Box::new(Running { factory, fields, groups: Vec::new() }))
}

/// One accumulator a group.
struct Running {
    factory: Factory,
    /// What an accumulator keeps.
    fields: Vec<FieldRef>,
    /// `None`: no row yet. A result is asked for by `&self`, which its accumulator does not know.
    groups: Vec<RefCell<Option<Box<dyn DataFusion>>>>,
}

impl Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("call", &self.factory.display).finish_non_exhaustive()
    }
}

impl Running {
    /// The state of a group, which stays as it is.
    fn scalars(&self, group: u32) -> Result<Option<Vec<ScalarValue>>> {
        let mut held = self.groups[group as usize].borrow_mut();
        let Some(accumulator) = held.as_mut() else { return Ok(None) };
        let state = accumulator.state()?;
        let mut again = self.factory.make()?;
        again.merge_batch(&arrays(&state)?)?;
        *held = Some(again);
        Ok(Some(state))
    }

    fn state_of(&self, group: u32) -> Result<Option<Vec<ArrayRef>>> {
        self.scalars(group)?.map(|state| arrays(&state)).transpose()
    }

    fn add(&mut self, group: u32, state: &[ArrayRef]) -> Result<()> {
        let held = self.groups[group as usize].get_mut();
        let accumulator = match held {
            Some(accumulator) => accumulator,
            None => held.insert(self.factory.make()?),
        };
        Ok(accumulator.merge_batch(state)?)
    }
}

fn arrays(state: &[ScalarValue]) -> Result<Vec<ArrayRef>> {
    state.iter().map(|s| Ok(s.to_array()?)).collect()
}

/// Rows of each group that count: the group and a range of the indices.
fn by_group(groups: &[u32], rows: Rows<'_>) -> (Vec<u32>, Vec<(u32, std::ops::Range<usize>)>) {
    let mut counted: Vec<u32> = Vec::with_capacity(groups.len());
    each_row(groups.len(), rows, None, |i, _| counted.push(i as u32));
    counted.sort_by_key(|&i| groups[i as usize]);
    let mut ranges: Vec<(u32, std::ops::Range<usize>)> = Vec::new();
    for (at, &row) in counted.iter().enumerate() {
        let group = groups[row as usize];
        match ranges.last_mut() {
            Some((last, range)) if *last == group => range.end = at + 1,
            _ => ranges.push((group, at..at + 1)),
        }
    }
    (counted, ranges)
}

impl Accumulator for Running {
    fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, RefCell::default);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let (indices, ranges) = by_group(groups, Rows { retracted: None, ..rows });
        let indices = UInt32Array::from(indices);
        let args = args.iter().map(|a| Ok(take(a, &indices, None)?)).collect::<Result<Vec<_>>>()?;
        for (group, range) in ranges {
            let values: Vec<ArrayRef> = args.iter().map(|a| a.slice(range.start, range.len())).collect();
            let held = self.groups[group as usize].get_mut();
            let accumulator = match held {
                Some(accumulator) => accumulator,
                None => held.insert(self.factory.make()?),
            };
            accumulator.update_batch(&values)?;
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            if let Some(state) = other.state_of(from)? {
                self.add(group, &state)?;
            }
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        match self.state_of(from)? {
            Some(state) => self.add(into, &state),
            None => Ok(()),
        }
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        for &group in groups {
            let mut accumulator = self.factory.make()?;
            if let Some(state) = self.state_of(group)? {
                accumulator.merge_batch(&state)?;
            }
            values.push(accumulator.evaluate()?);
        }
        self.factory.collect(values)
    }

    fn reset(&mut self, group: u32) {
        *self.groups[group as usize].get_mut() = None;
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        let part = |f: &FieldRef| {
            let part = f.name().strip_prefix(&self.factory.display).unwrap_or(f.name());
            part.trim_matches(|c: char| !c.is_alphanumeric()).to_string()
        };
        let held = StateColumn::new("seen", DataType::Boolean);
        let fields = self.fields.iter().map(|f| {
            let part = Some(part(f)).filter(|p| !p.is_empty());
            StateColumn::new(part.unwrap_or_else(|| "state".into()), f.data_type().clone())
        });
        std::iter::once(held).chain(fields).collect()
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<Vec<ScalarValue>> =
            self.fields.iter().map(|_| Vec::with_capacity(groups.len())).collect();
        let mut seen = Vec::with_capacity(groups.len());
        for &group in groups {
            let state = self.scalars(group)?;
            seen.push(state.is_some());
            let state = match state {
                Some(state) => state,
                None => self
                    .fields
                    .iter()
                    .map(|f| ScalarValue::try_from(f.data_type()))
                    .collect::<Result<_, _>>()?,
            };
            if state.len() != columns.len() {
                return Err(crate::error::Error::internal("an aggregate has another state than it says"));
            }
            columns.iter_mut().zip(state).for_each(|(column, value)| column.push(value));
        }
        let seen: ArrayRef = Arc::new(BooleanArray::from(seen));
        let columns = columns.into_iter().zip(&self.fields).map(|(c, f)| collected(c, f.data_type()));
        std::iter::once(Ok(seen)).chain(columns).collect()
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let seen = flags(state, 0)?;
        if state.len() != self.fields.len() + 1 {
            return Err(malformed());
        }
        for (i, &group) in groups.iter().enumerate().filter(|(i, _)| seen.is_valid(*i) && seen.value(*i)) {
            let row: Vec<ArrayRef> = state[1..].iter().map(|c| c.slice(i, 1)).collect();
            self.add(group, &row)?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let held: usize = self.groups.iter().filter_map(|g| g.borrow().as_ref().map(|a| a.size())).sum();
        held + self.groups.capacity() * size_of::<RefCell<Option<Box<dyn DataFusion>>>>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The rows of each group.
#[derive(Debug)]
struct Kept {
    rows: Sequence,
    factory: Factory,
}

impl Accumulator for Kept {
    fn resize(&mut self, groups: usize) {
        self.rows.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        self.rows.update(groups, args, rows, None)
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        self.rows.merge(groups, &same_state::<Self>(other)?.rows, from)
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        self.rows.merge_within(into, from);
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let listed = self.rows.rows(groups)?;
        let mut values = Vec::with_capacity(groups.len());
        for i in 0..groups.len() {
            let range = listed.range(i);
            let mut accumulator = self.factory.make()?;
            if !range.is_empty() {
                let rows = listed.columns.iter().map(|c| c.slice(range.start, range.len()));
                accumulator.update_batch(&rows.collect::<Vec<_>>())?;
            }
            values.push(accumulator.evaluate()?);
        }
        self.factory.collect(values)
    }

    fn reset(&mut self, group: u32) {
        self.rows.reset(group);
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        self.rows.state_columns()
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.rows.state(groups)
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.rows.restore(groups, state)
    }

    fn memory(&self) -> usize {
        self.rows.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
