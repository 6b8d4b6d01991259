//! `VAR_POP`, `VAR_SAMP`, `STDDEV_POP`, `STDDEV_SAMP`: number, sum and sum of squares of the values.
//!
//! These three can be taken back and merged, but `(Σx² - (Σx)²/n) / n` subtracts two large numbers that are
//! almost equal. So nothing may be lost before: for integers the sums are exact, in 128 bits, and the result
//! truncates towards zero to the type of the argument, as in Flink. For DOUBLE, FLOAT and DECIMAL the sums are
//! kept as unevaluated sums of two doubles (about 106 bits), where Flink loses digits of close numbers. The
//! arithmetic is that of Dekker, *A floating-point technique for extending the available precision* (1971),
//! and Knuth's two-sum.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};

use super::state::{StateColumn, primitive};
use super::{Accumulator, Rows, each_row, only_arg, same_state};
use crate::error::{Error, Result};

/// Which of the four.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// Divided by n - 1 instead of n.
    pub sample: bool,
    /// The square root.
    pub deviation: bool,
}

/// A number as the sum of two, the second below the precision of the first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Double {
    high: f64,
    low: f64,
}

fn two_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    let part = high - a;
    Double { high, low: (a - (high - part)) + (b - part) }
}

fn two_product(a: f64, b: f64) -> Double {
    let split = |x: f64| {
        let t = x * 134_217_729.0;
        let high = t - (t - x);
        (high, x - high)
    };
    let high = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    let low = ((ah * bh - high) + ah * bl + al * bh) + al * bl;
    // Splitting overflows before the product does.
    Double { high, low: if low.is_finite() { low } else { 0.0 } }
}

impl Double {
    fn plus(self, other: Self) -> Self {
        let sum = two_sum(self.high, other.high);
        if !sum.high.is_finite() {
            return Self { high: sum.high, low: 0.0 };
        }
        two_sum(sum.high, sum.low + self.low + other.low)
    }
    fn negated(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
    fn times(self, other: Self) -> Self {
        let product = two_product(self.high, other.high);
        two_sum(product.high, product.low + self.high * other.low + self.low * other.high)
    }
    fn over(self, n: f64) -> Self {
        let first = self.high / n;
        let rest = self.plus(two_product(first, n).negated());
        two_sum(first, (rest.high + rest.low) / n)
    }
}

impl From<f64> for Double {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl From<i128> for Double {
    fn from(value: i128) -> Self {
        let high = value as f64;
        // The difference is far smaller than the value and converts well; near i128::MAX it may saturate.
        Self { high, low: value.saturating_sub(high as i128) as f64 }
    }
}

/// Sums over one group.
trait Moments: Copy + Default + Send + std::fmt::Debug + 'static {
    type Value: Copy;
    /// Adds a value, or takes it back; `None` when a sum leaves its range.
    fn add(self, value: Self::Value, back: bool) -> Option<Self>;
    fn merge(self, other: Self) -> Option<Self>;
    fn count(self) -> i64;
    /// Names and types of what it is made of.
    fn columns() -> Vec<StateColumn>;
    fn write(all: &[Self]) -> Vec<ArrayRef>;
    fn read(state: &[ArrayRef]) -> Result<Vec<Self>>;
}

/// Sums that may need all of 128 bits.
const WIDE: DataType = DataType::Decimal128(38, 0);

fn wide(values: impl Iterator<Item = i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(values).with_data_type(WIDE))
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn counts(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

#[derive(Debug, Clone, Copy, Default)]
struct Whole {
    count: i64,
    sum: i128,
    squares: i128,
}

impl Moments for Whole {
    type Value = i64;
    fn add(self, value: i64, back: bool) -> Option<Self> {
        let value = i128::from(value);
        let (n, v, square) = if back { (-1, -value, -value * value) } else { (1, value, value * value) };
        self.merge(Self { count: n, sum: v, squares: square })
    }
    fn merge(self, other: Self) -> Option<Self> {
        Some(Self {
            count: self.count + other.count,
            sum: self.sum.checked_add(other.sum)?,
            squares: self.squares.checked_add(other.squares)?,
        })
    }
    fn count(self) -> i64 {
        self.count
    }
    fn columns() -> Vec<StateColumn> {
        let column = StateColumn::new;
        vec![column("count", DataType::Int64), column("sum", WIDE), column("squares", WIDE)]
    }
    fn write(all: &[Self]) -> Vec<ArrayRef> {
        let each = || all.iter();
        vec![counts(each().map(|m| m.count)), wide(each().map(|m| m.sum)), wide(each().map(|m| m.squares))]
    }
    fn read(state: &[ArrayRef]) -> Result<Vec<Self>> {
        let counts = primitive::<Int64Type>(state, 0)?.values().iter();
        let sums = primitive::<Decimal128Type>(state, 1)?.values().iter();
        let squares = primitive::<Decimal128Type>(state, 2)?.values().iter();
        let all = counts.zip(sums).zip(squares);
        Ok(all.map(|((&count, &sum), &squares)| Self { count, sum, squares }).collect())
    }
}

impl Whole {
    fn measure(self, measure: Measure) -> Option<i64> {
        let n = i128::from(self.count);
        let divisor = n - i128::from(measure.sample);
        if n <= 0 || divisor <= 0 {
            return None;
        }
        let square = self.sum.checked_mul(self.sum);
        let exact = square.and_then(|s| self.squares.checked_mul(n)?.checked_sub(s));
        let (variance, real) = match (exact, divisor.checked_mul(n)) {
            (Some(rest), Some(all)) => (rest / all, rest as f64 / all as f64),
            _ => {
                let (sum, squares) = (Double::from(self.sum), Double::from(self.squares));
                let rest = squares.plus(sum.times(sum).over(n as f64).negated());
                let real = rest.high / divisor as f64;
                (real as i128, real)
            }
        };
        if measure.deviation { Some(real.max(0.0).sqrt() as i64) } else { i64::try_from(variance).ok() }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Real {
    count: i64,
    sum: Double,
    squares: Double,
}

impl Moments for Real {
    type Value = Double;
    fn add(self, value: Double, back: bool) -> Option<Self> {
        let square = value.times(value);
        self.merge(if back {
            Self { count: -1, sum: value.negated(), squares: square.negated() }
        } else {
            Self { count: 1, sum: value, squares: square }
        })
    }
    fn merge(self, other: Self) -> Option<Self> {
        Some(Self {
            count: self.count + other.count,
            sum: self.sum.plus(other.sum),
            squares: self.squares.plus(other.squares),
        })
    }
    fn count(self) -> i64 {
        self.count
    }
    fn columns() -> Vec<StateColumn> {
        let parts = ["sum", "sum rest", "squares", "squares rest"];
        let parts = parts.map(|part| StateColumn::new(part, DataType::Float64));
        std::iter::once(StateColumn::new("count", DataType::Int64)).chain(parts).collect()
    }
    fn write(all: &[Self]) -> Vec<ArrayRef> {
        let each = || all.iter();
        vec![
            counts(each().map(|m| m.count)),
            floats(each().map(|m| m.sum.high)),
            floats(each().map(|m| m.sum.low)),
            floats(each().map(|m| m.squares.high)),
            floats(each().map(|m| m.squares.low)),
        ]
    }
    fn read(state: &[ArrayRef]) -> Result<Vec<Self>> {
        let counts = primitive::<Int64Type>(state, 0)?;
        let part = |i: usize| primitive::<Float64Type>(state, i).map(PrimitiveArray::values);
        let (sum, sum_rest, squares, squares_rest) = (part(1)?, part(2)?, part(3)?, part(4)?);
        let moments = |(i, &count): (usize, &i64)| Self {
            count,
            sum: Double { high: sum[i], low: sum_rest[i] },
            squares: Double { high: squares[i], low: squares_rest[i] },
        };
        Ok(counts.values().iter().enumerate().map(moments).collect())
    }
}

impl Real {
    fn measure(self, measure: Measure) -> Option<f64> {
        let n = self.count as f64;
        let divisor = n - f64::from(u8::from(measure.sample));
        if n <= 0.0 || divisor <= 0.0 {
            return None;
        }
        let rest = self.squares.plus(self.sum.times(self.sum).over(n).negated());
        let rest = rest.high + rest.low;
        // What is left of cancelled numbers may be just below 0. NaN stays.
        let variance = if rest < 0.0 { 0.0 } else { rest } / divisor;
        Some(if measure.deviation { variance.sqrt() } else { variance })
    }
}

/// State for an argument of a type.
pub(super) fn variance(measure: Measure, t: &DataType) -> Option<Box<dyn Accumulator>> {
    match t {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            Some(Box::new(Variance::<Whole> { measure, argument: t.clone(), groups: Vec::new() }))
        }
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            Some(Box::new(Variance::<Real> { measure, argument: t.clone(), groups: Vec::new() }))
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Variance<M> {
    measure: Measure,
    argument: DataType,
    groups: Vec<M>,
}

fn overflow() -> Error {
    Error::execution("a variance is out of range").with_hint("CAST the argument to DOUBLE")
}

impl<M: Moments> Variance<M> {
    fn add(
        &mut self,
        groups: &[u32],
        array: &dyn Array,
        rows: Rows<'_>,
        value: impl Fn(usize) -> M::Value,
    ) -> Result<()> {
        let mut failed = false;
        each_row(groups.len(), rows, array.nulls(), |i, back| {
            let group = &mut self.groups[groups[i] as usize];
            match group.add(value(i), back) {
                Some(moments) if moments.count() == 0 => *group = M::default(),
                Some(moments) => *group = moments,
                None => failed = true,
            }
        });
        if failed { Err(overflow()) } else { Ok(()) }
    }
}

/// How sums of one kind are read and shown.
trait Typed: Sized {
    fn read(&mut self, groups: &[u32], array: &ArrayRef, rows: Rows<'_>) -> Result<()>;
    fn show(&self, groups: &[u32]) -> Result<ArrayRef>;
}

impl Typed for Variance<Whole> {
    fn read(&mut self, groups: &[u32], array: &ArrayRef, rows: Rows<'_>) -> Result<()> {
        macro_rules! ints {
            ($t:ty) => {{
                let values = array.as_primitive::<$t>();
                self.add(groups, values, rows, |i| i64::from(values.value(i)))
            }};
        }
        match array.data_type() {
            DataType::Int8 => ints!(Int8Type),
            DataType::Int16 => ints!(Int16Type),
            DataType::Int32 => ints!(Int32Type),
            DataType::Int64 => ints!(Int64Type),
            _ => Err(Error::internal("a variance of another type than it was planned for")),
        }
    }

    fn show(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut failed = false;
        let mut values = Vec::with_capacity(groups.len());
        for &group in groups {
            let moments = self.groups[group as usize];
            let value = moments.measure(self.measure);
            failed |= value.is_none() && moments.count > i64::from(self.measure.sample);
            values.push(value);
        }
        macro_rules! ints {
            ($array:ty, $native:ty) => {{
                let narrow = values.iter().map(|v| v.map(<$native>::try_from).transpose());
                match narrow.collect::<Result<$array, _>>() {
                    Ok(array) if !failed => Ok(Arc::new(array)),
                    _ => Err(overflow()),
                }
            }};
        }
        match self.argument {
            DataType::Int8 => ints!(Int8Array, i8),
            DataType::Int16 => ints!(Int16Array, i16),
            DataType::Int32 => ints!(Int32Array, i32),
            _ => ints!(Int64Array, i64),
        }
    }
}

impl Typed for Variance<Real> {
    fn read(&mut self, groups: &[u32], array: &ArrayRef, rows: Rows<'_>) -> Result<()> {
        match array.data_type() {
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                self.add(groups, values, rows, |i| Double::from(f64::from(values.value(i))))
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                self.add(groups, values, rows, |i| Double::from(values.value(i)))
            }
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>();
                self.add(groups, values, rows, |i| Double::from(values.value(i)))
            }
            _ => Err(Error::internal("a variance of another type than it was planned for")),
        }
    }

    fn show(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| self.groups[g as usize].measure(self.measure));
        Ok(match self.argument {
            DataType::Float32 => Arc::new(values.map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
            // The unscaled numbers were summed up.
            DataType::Decimal128(_, scale) => {
                let result = scale.max(6);
                let power = if self.measure.deviation { 1 } else { 2 };
                let factor = 10f64.powi(i32::from(result) - power * i32::from(scale));
                let mut failed = false;
                let values = values.map(|v| {
                    let scaled = v.map(|v| (v * factor).round())?;
                    failed |= scaled.abs() >= 1e38;
                    Some(scaled as i128)
                });
                let values: Decimal128Array = values.collect();
                if failed {
                    return Err(overflow());
                }
                Arc::new(values.with_data_type(DataType::Decimal128(38, result)))
            }
            _ => Arc::new(values.collect::<Float64Array>()),
        })
    }
}

impl<M: Moments> Accumulator for Variance<M>
where
    Variance<M>: Typed,
{
    fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize(groups, M::default());
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        self.read(groups, only_arg(args, "a variance")?, rows)
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            let group = &mut self.groups[group as usize];
            *group = group.merge(other.groups[from as usize]).ok_or_else(overflow)?;
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let sum = self.groups[into as usize].merge(self.groups[from as usize]);
        self.groups[into as usize] = sum.ok_or_else(overflow)?;
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.show(groups)
    }

    fn reset(&mut self, group: u32) {
        self.groups[group as usize] = M::default();
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        M::columns()
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let held: Vec<M> = groups.iter().map(|&g| self.groups[g as usize]).collect();
        Ok(M::write(&held))
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let held = M::read(state)?;
        groups.iter().zip(held).for_each(|(&g, moments)| self.groups[g as usize] = moments);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<M>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
