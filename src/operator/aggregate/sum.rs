//! `SUM` and `AVG`: a running total and the number of values that are in it.
//!
//! Total and count of a group stand next to each other, so that a row touches one cache line. The count tells
//! an empty group from one whose values add up to zero, also after values were taken back.
//!
//! | argument | total of SUM | total of AVG |
//! |---|---|---|
//! | TINYINT, SMALLINT, INT | i64 | i64 |
//! | BIGINT | i64 | i128 |
//! | FLOAT | f32, as in Flink | f64 |
//! | DOUBLE | f64 | f64 |
//! | DECIMAL | i128 | i128 |

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowNativeType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};

use super::state::{StateColumn, primitive};
use super::{Accumulator, Rows, each_row, only_arg, same_state};
use crate::error::{Error, Result};

/// A total that values are added to and taken from; `true` when it left its range.
pub(super) trait Total: ArrowNativeType {
    /// How a column holds it.
    type Arrow: ArrowPrimitiveType<Native = Self>;
    fn plus(self, other: Self) -> (Self, bool);
    fn minus(self, other: Self) -> (Self, bool);
}

macro_rules! integer_total {
    ($($t:ty => $arrow:ty),*) => {$(
        impl Total for $t {
            type Arrow = $arrow;
            #[inline(always)]
            fn plus(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
        }
    )*};
}
macro_rules! float_total {
    ($($t:ty => $arrow:ty),*) => {$(
        impl Total for $t {
            type Arrow = $arrow;
            #[inline(always)]
            fn plus(self, other: Self) -> (Self, bool) {
                (self + other, false)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> (Self, bool) {
                (self - other, false)
            }
        }
    )*};
}
integer_total!(i64 => Int64Type, i128 => Decimal128Type);
float_total!(f32 => Float32Type, f64 => Float64Type);

/// Makes a result of a total, a count that is not 0, and the scale that a DECIMAL gains.
type Finish<S, N> = fn(S, i64, u32) -> Option<N>;

/// Totals and counts by group.
struct Sum<T: ArrowPrimitiveType, S> {
    state: Vec<(S, i64)>,
    finish: Finish<S, T::Native>,
    gain: u32,
    result: DataType,
}

impl<T: ArrowPrimitiveType, S: Debug> Debug for Sum<T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sum").field("groups", &self.state.len()).field("result", &self.result).finish()
    }
}

fn overflow(result: &DataType) -> Error {
    let shown = crate::sql::SqlType::from_arrow(result).map_or(result.to_string(), |t| t.to_string());
    Error::execution(format!("a sum does not fit {shown}"))
        .with_hint("CAST the argument to a wider type, such as BIGINT, DECIMAL(38, 0) or DOUBLE")
}

fn new<T: ArrowPrimitiveType, S>(
    finish: Finish<S, T::Native>,
    result: DataType,
    gain: u32,
) -> Option<Box<dyn Accumulator>>
where
    S: Total + From<T::Native>,
{
    Some(Box::new(Sum::<T, S> { state: Vec::new(), finish, gain, result }))
}

/// `10^38`, the first number that DECIMAL(38) cannot hold.
const DECIMAL_END: u128 = 10u128.pow(38);

fn decimal(value: i128) -> Option<i128> {
    (value.unsigned_abs() < DECIMAL_END).then_some(value)
}

/// A quotient with `gain` more digits behind the point, halves away from zero.
fn decimal_average(total: i128, count: i64, gain: u32) -> Option<i128> {
    let count = i128::from(count);
    let unit = 10i128.pow(gain);
    let (whole, rest) = (total / count, total % count);
    let scaled = rest.checked_mul(unit)?;
    let (part, left) = (scaled / count, scaled % count);
    let negative = (total < 0) != (count < 0);
    let up = i128::from(left.unsigned_abs() * 2 >= count.unsigned_abs());
    let part = if negative { part - up } else { part + up };
    decimal(whole.checked_mul(unit)?.checked_add(part)?)
}

/// State of `SUM` for an argument of a type.
pub(super) fn sum(t: &DataType) -> Option<Box<dyn Accumulator>> {
    match t {
        DataType::Int8 => new::<Int8Type, i64>(|s, _, _| s.try_into().ok(), t.clone(), 0),
        DataType::Int16 => new::<Int16Type, i64>(|s, _, _| s.try_into().ok(), t.clone(), 0),
        DataType::Int32 => new::<Int32Type, i64>(|s, _, _| s.try_into().ok(), t.clone(), 0),
        DataType::Int64 => new::<Int64Type, i64>(|s, _, _| Some(s), t.clone(), 0),
        DataType::Float32 => new::<Float32Type, f32>(|s, _, _| Some(s), t.clone(), 0),
        DataType::Float64 => new::<Float64Type, f64>(|s, _, _| Some(s), t.clone(), 0),
        DataType::Decimal128(_, scale) => {
            new::<Decimal128Type, i128>(|s, _, _| decimal(s), DataType::Decimal128(38, *scale), 0)
        }
        _ => None,
    }
}

/// State of `AVG` for an argument of a type. Integers truncate towards zero.
pub(super) fn avg(t: &DataType) -> Option<Box<dyn Accumulator>> {
    match t {
        DataType::Int8 => new::<Int8Type, i64>(|s, n, _| (s / n).try_into().ok(), t.clone(), 0),
        DataType::Int16 => new::<Int16Type, i64>(|s, n, _| (s / n).try_into().ok(), t.clone(), 0),
        DataType::Int32 => new::<Int32Type, i64>(|s, n, _| (s / n).try_into().ok(), t.clone(), 0),
        DataType::Int64 => {
            new::<Int64Type, i128>(|s, n, _| (s / i128::from(n)).try_into().ok(), t.clone(), 0)
        }
        DataType::Float32 => new::<Float32Type, f64>(|s, n, _| Some((s / n as f64) as f32), t.clone(), 0),
        DataType::Float64 => new::<Float64Type, f64>(|s, n, _| Some(s / n as f64), t.clone(), 0),
        DataType::Decimal128(_, scale) => {
            let result = (*scale).max(6);
            let gain = u32::try_from(result - scale).ok()?;
            new::<Decimal128Type, i128>(decimal_average, DataType::Decimal128(38, result), gain)
        }
        _ => None,
    }
}

impl<T, S> Accumulator for Sum<T, S>
where
    T: ArrowPrimitiveType,
    S: Total + From<T::Native>,
{
    fn resize(&mut self, groups: usize) {
        if groups > self.state.len() {
            self.state.resize(groups, (S::default(), 0));
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let array = only_arg(args, "SUM")?
            .as_primitive_opt::<T>()
            .ok_or_else(|| Error::internal("SUM of another type than it was planned for"))?;
        let values = &array.values()[..groups.len()];
        let nulls = arrow::array::Array::nulls(array);
        let state = &mut self.state;
        let mut over = false;
        each_row(groups.len(), rows, nulls, |i, back| {
            let slot = &mut state[groups[i] as usize];
            let value = S::from(values[i]);
            let wrapped;
            if back {
                slot.1 -= 1;
                (slot.0, wrapped) = slot.0.minus(value);
                // What rounding left over belongs to no value any more.
                if slot.1 == 0 {
                    slot.0 = S::default();
                }
            } else {
                slot.1 += 1;
                (slot.0, wrapped) = slot.0.plus(value);
            }
            over |= wrapped;
        });
        if over { Err(overflow(&self.result)) } else { Ok(()) }
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            self.add(group, other.state[from as usize])?;
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        self.add(into, self.state[from as usize])
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut failed = false;
        let values = groups.iter().map(|&g| {
            let (total, count) = self.state[g as usize];
            if count == 0 {
                return None;
            }
            let value = (self.finish)(total, count, self.gain);
            failed |= value.is_none();
            value
        });
        let values: PrimitiveArray<T> = values.collect();
        if failed {
            return Err(overflow(&self.result));
        }
        Ok(Arc::new(values.with_data_type(self.result.clone())))
    }

    fn reset(&mut self, group: u32) {
        self.state[group as usize] = (S::default(), 0);
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        vec![StateColumn::new("total", self.total_type()), StateColumn::new("count", DataType::Int64)]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let held = || groups.iter().map(|&g| self.state[g as usize]);
        let totals = PrimitiveArray::<S::Arrow>::from_iter_values(held().map(|s| s.0));
        let counts = Int64Array::from_iter_values(held().map(|s| s.1));
        Ok(vec![Arc::new(totals.with_data_type(self.total_type())), Arc::new(counts)])
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (totals, counts) = (primitive::<S::Arrow>(state, 0)?, primitive::<Int64Type>(state, 1)?);
        for ((&group, &total), &count) in groups.iter().zip(totals.values()).zip(counts.values()) {
            self.state[group as usize] = (total, count);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.state.capacity() * size_of::<(S, i64)>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<T: ArrowPrimitiveType, S: Total> Sum<T, S> {
    /// The type of totals in a column; a decimal has the scale of the argument.
    fn total_type(&self) -> DataType {
        match (S::Arrow::DATA_TYPE, &self.result) {
            (DataType::Decimal128(..), DataType::Decimal128(_, scale)) => {
                DataType::Decimal128(38, *scale - self.gain as i8)
            }
            (DataType::Decimal128(..), _) => DataType::Decimal128(38, 0),
            (t, _) => t,
        }
    }

    fn add(&mut self, group: u32, (total, count): (S, i64)) -> Result<()> {
        let slot = &mut self.state[group as usize];
        let (sum, over) = slot.0.plus(total);
        *slot = (sum, slot.1 + count);
        if over { Err(overflow(&self.result)) } else { Ok(()) }
    }
}
