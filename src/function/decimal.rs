//! Arithmetic of DECIMAL: Flink's types, exact digits, HALF_UP. What does not fit is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float32Type, i256};
use datafusion_common::DFSchema;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::{Expr, ExprSchemable};

use super::arithmetic::Op;
use crate::error::{Error, Result};
use crate::function::tree::Tree;
use crate::sql::SqlType;

/// How many digits a DECIMAL has at most.
const MOST: i16 = DECIMAL128_MAX_PRECISION as i16;

/// Takes digits behind the point from what has too many in all, six of them at least are kept.
fn adjusted(precision: i16, scale: i16) -> (u8, i8) {
    if precision <= MOST {
        return (precision.max(1) as u8, scale as i8);
    }
    let whole = precision - scale;
    (MOST as u8, (MOST - whole).max(scale.min(6)) as i8)
}

/// The result of an operator: precision and scale.
pub(crate) fn result(op: Op, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (u8, i8) {
    let (p1, s1, p2, s2) = (i16::from(p1), i16::from(s1), i16::from(p2), i16::from(s2));
    let (scale, precision) = match op {
        Op::Add | Op::Subtract => {
            let scale = s1.max(s2);
            (scale, (p1 - s1).max(p2 - s2) + scale + 1)
        }
        Op::Multiply => (s1 + s2, p1 + p2 + 1),
        Op::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            (scale, p1 - s1 + s2 + scale)
        }
        Op::Remainder => {
            let scale = s1.max(s2);
            (scale, (p1 - s1).min(p2 - s2) + scale)
        }
    };
    adjusted(precision, scale)
}

fn power(n: i16) -> i256 {
    i256::from_i128(10).wrapping_pow(n.max(0) as u32)
}

/// `a / b`, rounded HALF_UP.
fn quotient(a: i256, b: i256) -> Option<i256> {
    let whole = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    // |rest| * 2 >= |b| without overflow.
    let (rest, divisor) = (rest.wrapping_abs(), b.wrapping_abs());
    if rest < divisor.wrapping_sub(rest) {
        return Some(whole);
    }
    let away = if a.is_negative() == b.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    whole.checked_add(away)
}

/// One row in full width: the unscaled result, `None` where it does not fit.
fn wide(op: Op, a: i128, s1: i8, b: i128, s2: i8, scale: i8) -> Option<i128> {
    let (a, b) = (i256::from_i128(a), i256::from_i128(b));
    let (s1, s2, scale) = (i16::from(s1), i16::from(s2), i16::from(scale));
    let (value, at) = match op {
        Op::Add | Op::Subtract | Op::Remainder => {
            let at = s1.max(s2);
            let (a, b) = (a.checked_mul(power(at - s1))?, b.checked_mul(power(at - s2))?);
            let value = match op {
                Op::Add => a.checked_add(b)?,
                Op::Subtract => a.checked_sub(b)?,
                _ => a.checked_rem(b)?,
            };
            (value, at)
        }
        Op::Multiply => (a.checked_mul(b)?, s1 + s2),
        Op::Divide => {
            let shift = scale - s1 + s2;
            return match shift >= 0 {
                true => quotient(a.checked_mul(power(shift))?, b)?.to_i128(),
                false => quotient(a, b.checked_mul(power(-shift))?)?.to_i128(),
            };
        }
    };
    let value = match at > scale {
        true => quotient(value, power(at - scale))?,
        false => value.checked_mul(power(scale - at))?,
    };
    value.to_i128()
}

/// An operator over two columns, of which one may be a constant (one row, step 0).
pub(super) fn compute(
    op: Op,
    left: (&Decimal128Array, usize),
    right: (&Decimal128Array, usize),
    rows: usize,
    returns: &DataType,
    shown: impl Fn() -> String,
) -> Result<ArrayRef> {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2), DataType::Decimal128(precision, scale)) =
        (left.0.data_type(), right.0.data_type(), returns)
    else {
        return Err(Error::internal("an operator of DECIMAL got another type"));
    };
    let (p1, s1, p2, s2, precision, scale) = (*p1, *s1, *p2, *s2, *precision, *scale);
    let nulls = |(a, step): (&Decimal128Array, usize)| match step {
        1 => a.nulls().cloned(),
        _ if a.is_null(0) => Some(NullBuffer::new_null(rows)),
        _ => None,
    };
    let nulls = NullBuffer::union(nulls(left).as_ref(), nulls(right).as_ref());
    let a = |i: usize| left.0.value(i * left.1);
    let b = |i: usize| right.0.value(i * right.1);
    let valid = |i: usize| nulls.as_ref().is_none_or(|n| n.is_valid(i));

    // Where no digit can be lost, 128 bits are enough and nothing has to be checked.
    let digits = |p: u8, by: i16| i16::from(p) + by.max(0);
    let top = i16::from(s1.max(s2));
    let (up1, up2) = (top - i16::from(s1), top - i16::from(s2));
    let narrow = match op {
        Op::Add | Op::Subtract => i16::from(scale) == top && digits(p1, up1) < MOST && digits(p2, up2) < MOST,
        Op::Multiply => i16::from(scale) == i16::from(s1) + i16::from(s2) && p1 + p2 <= MOST as u8,
        _ => false,
    };
    if narrow {
        let (x, y) = (10_i128.pow(up1 as u32), 10_i128.pow(up2 as u32));
        let values: Vec<i128> = match op {
            Op::Add => (0..rows).map(|i| (a(i) * x).wrapping_add(b(i) * y)).collect(),
            Op::Subtract => (0..rows).map(|i| (a(i) * x).wrapping_sub(b(i) * y)).collect(),
            _ => (0..rows).map(|i| a(i).wrapping_mul(b(i))).collect(),
        };
        let array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
        return Ok(Arc::new(array.with_data_type(returns.clone())));
    }
    let limit = 10_i128.pow(u32::from(precision));
    let mut values = vec![0_i128; rows];
    // A quotient whose numerator fits into 128 bits.
    let shift = i16::from(scale) - i16::from(s1) + i16::from(s2);
    let quick = op == Op::Divide && shift >= 0 && digits(p1, shift) <= MOST;
    let factor = if quick { 10_i128.pow(shift as u32) } else { 1 };
    for (i, value) in values.iter_mut().enumerate().filter(|(i, _)| valid(*i)) {
        let (a, b) = (a(i), b(i));
        if b == 0 && matches!(op, Op::Divide | Op::Remainder) {
            return Err(Error::execution(format!("division by zero in {}", shown())));
        }
        let computed = if quick {
            let numerator = a * factor;
            let (whole, rest) = (numerator / b, numerator % b);
            let up = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
            let away = if (numerator < 0) == (b < 0) { 1 } else { -1 };
            Some(if up && rest != 0 { whole + away } else { whole })
        } else {
            wide(op, a, s1, b, s2, scale)
        };
        match computed.filter(|v| v.unsigned_abs() < limit.unsigned_abs()) {
            Some(v) => *value = v,
            None => {
                let show = |v: i128, p: u8, s: i8| {
                    <Decimal128Type as arrow::datatypes::DecimalType>::format_decimal(v, p, s)
                };
                return Err(Error::execution(format!(
                    "{} is out of range of DECIMAL({precision}, {scale}): {} {} {}",
                    shown(),
                    show(a, p1, s1),
                    op.symbol(),
                    show(b, p2, s2)
                ))
                .with_hint("CAST an operand to fewer digits, or to DOUBLE, or guard it with IF or CASE"));
            }
        }
    }
    let array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
    Ok(Arc::new(array.with_data_type(returns.clone())))
}

/// DECIMAL as FLOAT.
pub(super) fn floats(values: &Decimal128Array, scale: i8) -> ArrayRef {
    let single = |v: i128| format!("{v}e{}", -i32::from(scale)).parse().unwrap_or(f32::NAN);
    Arc::new(values.unary::<_, Float32Type>(single))
}

/// The expression with casts of DECIMAL to FLOAT and DOUBLE that give the nearest number.
pub(crate) fn exact_casts(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let exact = expr.transform_up(|e| {
        let Expr::Cast(cast) = &e else { return Ok(Transformed::no(e)) };
        let to = match cast.field.data_type() {
            DataType::Float64 => SqlType::Double,
            DataType::Float32 => SqlType::Float,
            _ => return Ok(Transformed::no(e)),
        };
        let from = cast.expr.get_type(schema)?;
        if !matches!(from, DataType::Decimal128(..)) {
            return Ok(Transformed::no(e));
        }
        Ok(Transformed::yes(super::cast::cast_expr(cast.expr.as_ref().clone(), &from, &to, "UTC", false)?))
    })?;
    Ok(exact.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_flink() {
        assert_eq!(result(Op::Divide, (2, 1), (10, 0)), (13, 12));
        assert_eq!(result(Op::Divide, (5, 2), (3, 2)), (11, 6));
        assert_eq!(result(Op::Divide, (10, 2), (10, 0)), (21, 13));
        assert_eq!(result(Op::Multiply, (38, 18), (38, 18)), (38, 6));
        assert_eq!(result(Op::Add, (38, 18), (38, 18)), (38, 17));
        assert_eq!(result(Op::Remainder, (20, 6), (10, 0)), (16, 6));
    }

    #[test]
    fn halves_go_away_from_zero() {
        let of = |a, b| wide(Op::Divide, a, 0, b, 0, 0);
        assert_eq!(
            (of(5, 2), of(-5, 2), of(5, -2), of(4, 3), of(-1, 3)),
            (Some(3), Some(-3), Some(-3), Some(1), Some(0))
        );
        assert_eq!(wide(Op::Multiply, 15, 1, 15, 1, 1), Some(23));
    }
}
