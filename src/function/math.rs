//! Numbers: what is more than DataFusion's operators.
//!
//! Transcendental functions give DOUBLE; ABS, SIGN, ROUND, TRUNCATE, FLOOR and CEIL keep the type of
//! their argument, DECIMAL with Calcite's precision.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::arithmetic::plain_nan;
use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

use Kind::{Double, Int, Number};

macro_rules! unary {
    ($names:expr, $f:expr) => {
        define($names, &[Double], Returns::Double, |c| unary(c, $f))
    };
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    unary!(&["SQRT"], f64::sqrt),
    unary!(&["LN"], f64::ln),
    unary!(&["LOG2"], f64::log2),
    unary!(&["LOG10"], f64::log10),
    unary!(&["EXP"], f64::exp),
    unary!(&["SIN"], f64::sin),
    unary!(&["COS"], f64::cos),
    unary!(&["TAN"], f64::tan),
    unary!(&["COT"], |x| 1.0 / x.tan()),
    unary!(&["ASIN"], f64::asin),
    unary!(&["ACOS"], f64::acos),
    unary!(&["ATAN"], f64::atan),
    unary!(&["SINH"], f64::sinh),
    unary!(&["COSH"], f64::cosh),
    unary!(&["TANH"], f64::tanh),
    unary!(&["DEGREES"], f64::to_degrees),
    unary!(&["RADIANS"], f64::to_radians),
    define(&["POWER"], &[Double, Double], Returns::Double, |c| binary(c, power)),
    define(&["ATAN2"], &[Double, Double], Returns::Double, |c| binary(c, f64::atan2)),
    define(&["LOG"], &[Double, Double], Returns::Double, log).optional(1),
    define(&["PI"], &[], Returns::Double, |c| c.numbers::<Float64Type>(|_| Ok(Some(std::f64::consts::PI)))),
    define(&["E"], &[], Returns::Double, |c| c.numbers::<Float64Type>(|_| Ok(Some(std::f64::consts::E)))),
    define(&["ABS"], &[Number], Returns::First, abs),
    define(&["SIGN"], &[Number], Returns::First, sign),
    define(&["ROUND"], &[Number, Int], Returns::With(rounded_type), |c| rounded(c, Rounding::HalfUp))
        .optional(1),
    define(&["TRUNCATE"], &[Number, Int], Returns::With(rounded_type), |c| rounded(c, Rounding::Down))
        .optional(1),
    define(&["$FLOOR"], &[Number], Returns::With(whole_type), |c| rounded(c, Rounding::Floor)),
    define(&["$CEIL"], &[Number], Returns::With(whole_type), |c| rounded(c, Rounding::Ceiling)),
    define(&["BIN"], &[Int], Returns::Text, super::codec::bin),
    define(&["RAND"], &[Int], Returns::Double, random).optional(1).volatile(),
    define(&["RAND_INTEGER"], &[Int, Int], Returns::Int, random_integer).optional(1).volatile(),
    define(&["UUID"], &[], Returns::Text, uuid).volatile(),
];

fn unary(c: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let x = c.double(0)?;
    if x.step == 1 || c.rows == 1 {
        return Ok(plain_nan(Arc::new(x.array.unary::<_, Float64Type>(f))));
    }
    Ok(plain_nan(c.numbers::<Float64Type>(|row| Ok(x.get(row).map(f)))?))
}

fn binary(c: &Call<'_>, f: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (x, y) = (c.double(0)?, c.double(1)?);
    Ok(plain_nan(c.numbers::<Float64Type>(|row| Ok(Some(f(some!(x.get(row)), some!(y.get(row))))))?))
}

/// NaN as exponent gives NaN, also of 1.
fn power(x: f64, y: f64) -> f64 {
    if y.is_nan() { y } else { x.powf(y) }
}

fn log(c: &Call<'_>) -> Result<ArrayRef> {
    if !c.has(1) {
        return unary(c, f64::ln);
    }
    binary(c, |base, x| x.ln() / base.ln())
}

/// A result that its type does not hold, with the operands.
fn overflow(c: &Call<'_>, row: usize) -> Error {
    let operand = |i: usize| {
        let arg = c.args.get(i)?;
        let text = super::cast::to_text(&arg.array.slice(row * arg.step, 1), &c.context.zone).ok()?;
        let text = text.as_string_view();
        text.is_valid(0).then(|| text.value(0).to_string())
    };
    let operands: Vec<String> = (0..c.args.len()).filter_map(operand).collect();
    let shown = SqlType::from_arrow(c.returns).map_or_else(|| c.returns.to_string(), |t| t.to_string());
    let name = c.name().trim_start_matches('$');
    Error::execution(format!("{name}({}) is out of range of {shown}", operands.join(", ")))
        .with_hint("CAST the operand to a wider type, or guard it with IF or CASE")
}

fn abs(c: &Call<'_>) -> Result<ArrayRef> {
    macro_rules! integer {
        ($t:ty) => {{
            let x = c.values::<arrow::array::PrimitiveArray<$t>>(0)?;
            c.numbers::<$t>(|row| some!(x.get(row)).checked_abs().map(Some).ok_or_else(|| overflow(c, row)))
        }};
    }
    match c.kind(0) {
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::Decimal128(_, _) => integer!(Decimal128Type),
        DataType::Float32 => {
            let x = c.values::<Float32Array>(0)?;
            c.numbers::<Float32Type>(|row| Ok(x.get(row).map(f32::abs)))
        }
        _ => unary(c, f64::abs),
    }
}

fn sign(c: &Call<'_>) -> Result<ArrayRef> {
    macro_rules! integer {
        ($t:ty, $one:expr) => {{
            let x = c.values::<arrow::array::PrimitiveArray<$t>>(0)?;
            c.numbers::<$t>(|row| Ok(x.get(row).map(|v| v.signum() * $one)))
        }};
    }
    fn of(x: f64) -> f64 {
        if x == 0.0 || x.is_nan() { x } else { x.signum() }
    }
    match c.kind(0) {
        DataType::Int8 => integer!(Int8Type, 1),
        DataType::Int16 => integer!(Int16Type, 1),
        DataType::Int32 => integer!(Int32Type, 1),
        DataType::Int64 => integer!(Int64Type, 1),
        DataType::Decimal128(p, s) if *p as i8 > *s => integer!(Decimal128Type, 10_i128.pow(*s as u32)),
        DataType::Decimal128(_, _) => {
            Err(Error::unsupported("SIGN of a DECIMAL without whole digits").with_hint("CAST it to DOUBLE"))
        }
        DataType::Float32 => {
            let x = c.values::<Float32Array>(0)?;
            c.numbers::<Float32Type>(|row| Ok(x.get(row).map(|v| of(f64::from(v)) as f32)))
        }
        _ => unary(c, of),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    HalfUp,
    Down,
    Floor,
    Ceiling,
}

impl Rounding {
    /// `value` at a multiple of `unit` (both of one scale).
    fn integer(self, value: i128, unit: i128) -> Option<i128> {
        let rest = value % unit;
        let down = value - rest;
        let away = || down.checked_add(if value < 0 { -unit } else { unit });
        match self {
            _ if rest == 0 => Some(value),
            Self::Down => Some(down),
            Self::HalfUp if rest.unsigned_abs() * 2 >= unit.unsigned_abs() => away(),
            Self::HalfUp => Some(down),
            Self::Floor if value < 0 => away(),
            Self::Ceiling if value > 0 => away(),
            Self::Floor | Self::Ceiling => Some(down),
        }
    }

    /// A DOUBLE, at the decimal places of its shortest decimal form, as Java's BigDecimal does it.
    fn double(self, x: f64, places: i64) -> f64 {
        match self {
            Self::Floor => return x.floor(),
            Self::Ceiling => return x.ceil(),
            _ if !x.is_finite() => return x,
            // There is no negative zero among decimals.
            _ if x == 0.0 => return 0.0,
            Self::Down if places == 0 => return x.trunc() + 0.0,
            _ => {}
        }
        let shown = format!("{x}");
        let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
        if places >= fraction.len() as i64 {
            return x;
        }
        // Digits without the point; too many of them are beyond any rounding that matters.
        let Ok(digits) = format!("{whole}{fraction}").parse::<i128>() else {
            return if places >= 0 { x } else { self.scaled(x, places) };
        };
        let Some(unit) = u32::try_from((fraction.len() as i64).saturating_sub(places))
            .ok()
            .and_then(|n| 10_i128.checked_pow(n))
        else {
            return 0.0;
        };
        match self.integer(digits, unit) {
            Some(rounded) => format!("{rounded}e-{}", fraction.len()).parse().unwrap_or(x),
            None => x,
        }
    }

    fn scaled(self, x: f64, places: i64) -> f64 {
        let unit = 10_f64.powi(i32::try_from(places.saturating_neg()).unwrap_or(i32::MAX));
        match self {
            Self::Down => (x / unit).trunc() * unit,
            _ => (x / unit).round() * unit,
        }
    }
}

/// Calcite's type of ROUND and TRUNCATE: a DECIMAL's scale follows a constant number of places.
fn rounded_type(t: &Typing<'_>) -> Result<DataType> {
    match t.types[0] {
        DataType::Decimal128(p, s) => {
            let places = if t.types.len() < 2 { Some(0) } else { t.int(1) };
            let Some(places) = places else { return Ok(t.types[0].clone()) };
            if places >= i64::from(s) {
                return Ok(t.types[0].clone());
            }
            let scale = places.max(0) as i8;
            let precision = (i16::from(p) - i16::from(s) + 1 + i16::from(scale)).clamp(1, 38) as u8;
            Ok(DataType::Decimal128(precision.min(DECIMAL128_MAX_PRECISION), scale))
        }
        ref other => Ok(other.clone()),
    }
}

fn whole_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(match t.types[0] {
        DataType::Decimal128(p, s) if s > 0 => DataType::Decimal128(p, 0),
        ref other => other.clone(),
    })
}

fn rounded(c: &Call<'_>, how: Rounding) -> Result<ArrayRef> {
    let places = if c.has(1) { Some(c.int(1)?) } else { None };
    let places = |row| match &places {
        Some(p) => p.get(row),
        None => Some(0),
    };
    macro_rules! integer {
        ($t:ty) => {{
            let x = c.values::<arrow::array::PrimitiveArray<$t>>(0)?;
            c.numbers::<$t>(|row| {
                let (x, places) = (some!(x.get(row)), some!(places(row)));
                if places >= 0 {
                    return Ok(Some(x));
                }
                let Some(unit) =
                    u32::try_from(places.saturating_neg()).ok().and_then(|n| 10_i128.checked_pow(n))
                else {
                    return Ok(Some(0));
                };
                let rounded = how.integer(i128::from(x), unit).and_then(|v| v.try_into().ok());
                rounded.map(Some).ok_or_else(|| overflow(c, row))
            })
        }};
    }
    match c.kind(0) {
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::Decimal128(_, from) => {
            let (from, DataType::Decimal128(precision, to)) = (*from, c.returns) else {
                return Err(Error::internal("the type of a rounded DECIMAL"));
            };
            let x = c.decimal(0)?;
            let limit = 10_i128.pow(u32::from(*precision));
            c.numbers::<Decimal128Type>(|row| {
                let (x, places) = (some!(x.get(row)), some!(places(row)));
                let drop = i64::from(from).saturating_sub(places.min(i64::from(from)));
                let Some(unit) = u32::try_from(drop).ok().and_then(|n| 10_i128.checked_pow(n)) else {
                    return Ok(Some(0));
                };
                let value = how.integer(x, unit).ok_or_else(|| overflow(c, row))?;
                let value = value / 10_i128.pow((from - to).max(0) as u32);
                if value.abs() >= limit {
                    return Err(overflow(c, row));
                }
                Ok(Some(value))
            })
        }
        DataType::Float32 => {
            let x = c.args[0].array.as_primitive::<Float32Type>();
            let step = c.args[0].step;
            c.numbers::<Float32Type>(|row| {
                let i = row * step;
                if x.is_null(i) {
                    return Ok(None);
                }
                // By way of its own shortest form: 2.675 as FLOAT is not 2.675 as DOUBLE.
                let wide = format!("{}", x.value(i)).parse().unwrap_or(f64::from(x.value(i)));
                Ok(Some(how.double(wide, some!(places(row))) as f32))
            })
        }
        _ => {
            let x = c.double(0)?;
            c.numbers::<Float64Type>(|row| Ok(Some(how.double(some!(x.get(row)), some!(places(row))))))
        }
    }
}

/// With a seed, every batch begins the same sequence; without, the thread's generator.
fn generator(c: &Call<'_>, seed: Option<usize>) -> Result<Option<StdRng>> {
    let Some(i) = seed else { return Ok(Some(StdRng::from_rng(&mut rand::rng()))) };
    if c.rows == 0 {
        return Ok(None);
    }
    Ok(c.int(i)?.get(0).map(|seed| StdRng::seed_from_u64(seed as u64)))
}

fn random(c: &Call<'_>) -> Result<ArrayRef> {
    let Some(mut rng) = generator(c, c.has(0).then_some(0))? else { return Ok(c.nulls()) };
    c.numbers::<Float64Type>(|_| Ok(Some(rng.random())))
}

fn random_integer(c: &Call<'_>) -> Result<ArrayRef> {
    let seeded = c.has(1);
    let Some(mut rng) = generator(c, seeded.then_some(0))? else { return Ok(c.nulls()) };
    let bound = c.int(usize::from(seeded))?;
    c.numbers::<Int32Type>(|row| {
        let bound = some!(bound.get(row));
        match i32::try_from(bound) {
            Ok(bound) if bound > 0 => Ok(Some(rng.random_range(0..bound))),
            _ => Err(Error::execution("the bound of RAND_INTEGER must be positive")
                .with_detail(format!("got {bound}"))),
        }
    })
}

fn uuid(c: &Call<'_>) -> Result<ArrayRef> {
    c.texts(|_, out| {
        let mut buffer = uuid::Uuid::encode_buffer();
        out.push_str(uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer));
        Ok(Some(()))
    })
}
