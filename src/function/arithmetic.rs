//! `+ - * / %` and the sign of numbers, with Flink's types. A result that does not fit is an error, never a wrapped number.
//!
//! | operands | result |
//! |---|---|
//! | integers | the wider type; `%`: the type of the divisor; division cuts fractions off |
//! | DECIMAL, with DECIMAL or integers | DECIMAL, see [`super::decimal`] |
//! | FLOAT with FLOAT or integers | FLOAT |
//! | DOUBLE, or FLOAT with DECIMAL | DOUBLE |
//! | INTERVAL and a number | INTERVAL, for `*` and `/` |
//!
//! Whole numbers are computed as if nothing could overflow while signs are gathered that say whether something did; only then are
//! rows looked at one by one.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Datum, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, PrimitiveArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion_common::DFSchema;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use sqlparser::ast::BinaryOperator;

use super::common::{exact, integer_digits, is_text};
use super::decimal;
use crate::error::{Error, Result};
use crate::function::tree::Tree;
use crate::sql::types::SqlType;

/// An operator of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Op {
    pub fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
            Self::Remainder => '%',
        }
    }
    fn name(self) -> &'static str {
        match self {
            Self::Add => "$add",
            Self::Subtract => "$subtract",
            Self::Multiply => "$multiply",
            Self::Divide => "$divide",
            Self::Remainder => "$mod",
        }
    }
    fn of(op: &BinaryOperator) -> Option<Self> {
        Some(match op {
            BinaryOperator::Plus => Self::Add,
            BinaryOperator::Minus => Self::Subtract,
            BinaryOperator::Multiply => Self::Multiply,
            BinaryOperator::Divide => Self::Divide,
            BinaryOperator::Modulo => Self::Remainder,
            _ => return None,
        })
    }
}

fn is_interval(t: &DataType) -> bool {
    matches!(t, DataType::Interval(_))
}

/// What both operands are brought to, and the result.
fn types(op: Op, left: &DataType, right: &DataType) -> Option<(DataType, DataType, DataType)> {
    use DataType as D;
    let null = |t: &D, other: &D| if *t == D::Null { other.clone() } else { t.clone() };
    let (left, right) = (null(left, right), null(right, left));
    // Text is read as the number beside it.
    let read = |t: &D, other: &D| match is_text(t) {
        true if is_float(other) || integer_digits(other).is_some() => other.clone(),
        true if exact(other).is_some() => other.clone(),
        true if is_text(other) => D::Float64,
        _ => t.clone(),
    };
    let (left, right) = (read(&left, &right), read(&right, &left));
    if left == D::Null {
        return Some((D::Int32, D::Int32, D::Int32));
    }
    let interval = |t: &D| match t {
        D::Interval(IntervalUnit::YearMonth) => t.clone(),
        _ => D::Interval(IntervalUnit::MonthDayNano),
    };
    if is_interval(&left) && matches!(op, Op::Multiply | Op::Divide) && number(&right) {
        return Some((interval(&left), amount(&right), interval(&left)));
    }
    if is_interval(&right) && op == Op::Multiply && number(&left) {
        return Some((amount(&left), interval(&right), interval(&right)));
    }
    if is_float(&left) || is_float(&right) {
        if !number(&left) || !number(&right) {
            return None;
        }
        let single = |t: &D| matches!(t, D::Float16 | D::Float32) || integer_digits(t).is_some();
        let t = if single(&left) && single(&right) { D::Float32 } else { D::Float64 };
        return Some((t.clone(), t.clone(), t));
    }
    if let (Some(l), Some(r)) = (integer_digits(&left), integer_digits(&right)) {
        let signed = |t: &D| match SqlType::from_arrow(t) {
            Some(t) => t.to_arrow("UTC"),
            None => t.clone(),
        };
        let wide = signed(if l >= r { &left } else { &right });
        if op == Op::Remainder {
            let right = signed(&right);
            return Some((signed(&left), right.clone(), right));
        }
        return Some((wide.clone(), wide.clone(), wide));
    }
    let ((p1, s1), (p2, s2)) = (exact(&left)?, exact(&right)?);
    if op == Op::Remainder && s1 == 0 && s2 == 0 {
        // Of whole numbers it is of the divisor's type.
        let divisor = if integer_digits(&right).is_some() { right.clone() } else { D::Decimal128(p2, 0) };
        return Some((D::Decimal128(p1, 0), divisor, right));
    }
    let (p, s) = decimal::result(op, (p1, s1), (p2, s2));
    Some((D::Decimal128(p1, s1), D::Decimal128(p2, s2), D::Decimal128(p, s)))
}

fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float16 | DataType::Float32 | DataType::Float64)
}
fn number(t: &DataType) -> bool {
    is_float(t) || exact(t).is_some()
}
/// How a number is multiplied with an interval.
fn amount(t: &DataType) -> DataType {
    if integer_digits(t).is_some() { DataType::Int64 } else { DataType::Float64 }
}

/// An operator as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    op: Op,
    signature: Signature,
}

fn shown(t: &DataType) -> String {
    SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string())
}

impl Arithmetic {
    fn types(&self, types: &[DataType]) -> Result<(DataType, DataType, DataType)> {
        let [left, right] = types else {
            return Err(Error::internal(format!("'{}' takes two operands", self.op.symbol())));
        };
        types_of(self.op, left, right)
    }
}

fn types_of(op: Op, left: &DataType, right: &DataType) -> Result<(DataType, DataType, DataType)> {
    types(op, left, right).ok_or_else(|| {
        Error::plan(format!("'{}' does not take {} and {}", op.symbol(), shown(left), shown(right)))
            .with_hint("CAST(... AS ...) converts an operand")
    })
}

/// The type of an expression. DataFusion names every part of it on the way, which takes cubic time in a chain of operators
/// that is asked again at each of them.
fn type_of(e: &Expr, schema: &DFSchema) -> Option<DataType> {
    if let Expr::ScalarFunction(f) = e
        && let Some(arithmetic) = f.func.inner().downcast_ref::<Arithmetic>()
        && let [left, right] = f.args.as_slice()
    {
        return Some(types(arithmetic.op, &type_of(left, schema)?, &type_of(right, schema)?)?.2);
    }
    e.get_type(schema).ok()
}

/// An operand in the text of an expression.
pub(super) fn operand(e: &Expr) -> String {
    let mut text = String::new();
    write_operand(e, &mut text);
    text
}

/// The same into one text: long chains of operators are deep, and are asked for their names at each level.
fn write_operand(e: &Expr, text: &mut String) {
    match e {
        Expr::ScalarFunction(f) if f.func.name().starts_with('$') => {
            text.push('(');
            match f.func.inner().downcast_ref::<Arithmetic>() {
                Some(arithmetic) => arithmetic.write_name(&f.args, text),
                None => text.push_str(&e.schema_name().to_string()),
            }
            text.push(')');
        }
        Expr::BinaryExpr(_) => text.push_str(&format!("({})", e.schema_name())),
        Expr::Literal(v, _) => text.push_str(&v.to_string()),
        Expr::Column(column) => {
            if let Some(relation) = &column.relation {
                let parts = [relation.catalog(), relation.schema(), Some(relation.table())];
                for part in parts.into_iter().flatten() {
                    text.push_str(part);
                    text.push('.');
                }
            }
            text.push_str(&column.name);
        }
        e => text.push_str(&e.schema_name().to_string()),
    }
}

/// What an operand of an expression is called.
pub(super) fn operand_name(args: &ReturnFieldArgs<'_>, i: usize) -> String {
    match (args.scalar_arguments.get(i), args.arg_fields.get(i)) {
        (Some(Some(value)), _) => value.to_string(),
        (_, Some(field)) if field.name().contains(' ') => format!("({})", field.name()),
        (_, field) => field.map_or("?".into(), |f| f.name().clone()),
    }
}

impl Arithmetic {
    fn write_name(&self, args: &[Expr], text: &mut String) {
        for (i, e) in args.iter().enumerate() {
            if i > 0 {
                text.push(' ');
                text.push(self.op.symbol());
                text.push(' ');
            }
            write_operand(e, text);
        }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.op.name()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> datafusion_common::Result<Vec<DataType>> {
        let (left, right, _) = self.types(types)?;
        Ok(vec![left, right])
    }
    fn return_type(&self, types: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.types(types)?.2)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        let [left, right] = args.arg_fields else {
            return Err(Error::internal("an operator takes two operands").into());
        };
        let (_, _, result) = types_of(self.op, left.data_type(), right.data_type())?;
        let nullable = left.is_nullable() || right.is_nullable();
        // Its name is what messages call it.
        let name = format!("{} {} {}", operand_name(&args, 0), self.op.symbol(), operand_name(&args, 1));
        Ok(Arc::new(Field::new(name, result, nullable)))
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        let mut text = String::new();
        self.write_name(args, &mut text);
        Ok(text)
    }
    fn display_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        self.schema_name(args)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(Error::internal("an operator takes two operands").into());
        };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let side = |v: &ColumnarValue| -> datafusion_common::Result<(ArrayRef, usize)> {
            Ok(match v {
                ColumnarValue::Array(a) => (Arc::clone(a), 1),
                ColumnarValue::Scalar(s) => (s.to_array()?, 0),
            })
        };
        let names = || {
            let name = |i: usize| match (args.args.get(i), args.arg_fields.get(i)) {
                (Some(ColumnarValue::Scalar(s)), _) => s.to_string(),
                (_, Some(field)) if field.name().contains(' ') => format!("({})", field.name()),
                (_, field) => field.map_or("?".into(), |f| f.name().clone()),
            };
            format!("{} {} {}", name(0), self.op.symbol(), name(1))
        };
        let result =
            evaluate(self.op, side(left)?, side(right)?, rows, args.return_field.data_type(), &names)?;
        if constant {
            return Ok(ColumnarValue::Scalar(datafusion_common::ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
    fn output_ordering(&self, _: &[ExprProperties]) -> datafusion_common::Result<SortProperties> {
        Ok(SortProperties::Unordered)
    }
}

type Side = (ArrayRef, usize);

fn evaluate(
    op: Op,
    left: Side,
    right: Side,
    rows: usize,
    returns: &DataType,
    names: &dyn Fn() -> String,
) -> Result<ArrayRef> {
    if (left.1 == 0 && left.0.is_null(0)) || (right.1 == 0 && right.0.is_null(0)) {
        return Ok(new_null_array(returns, rows));
    }
    // A remainder is computed in the wider type and is of the divisor's.
    if let (Some(l), Some(r)) = (integer_digits(left.0.data_type()), integer_digits(right.0.data_type()))
        && l != r
    {
        let wide = if l > r { left.0.data_type() } else { right.0.data_type() }.clone();
        let left = (arrow::compute::cast(&left.0, &wide)?, left.1);
        let right = (arrow::compute::cast(&right.0, &wide)?, right.1);
        return evaluate(op, left, right, rows, returns, names);
    }
    // So is that of a DECIMAL by an integer.
    if matches!(left.0.data_type(), DataType::Decimal128(..))
        && integer_digits(right.0.data_type()).is_some()
        && let Some((p, s)) = exact(right.0.data_type())
    {
        let right = (arrow::compute::cast(&right.0, &DataType::Decimal128(p, s))?, right.1);
        return evaluate(op, left, right, rows, returns, names);
    }
    macro_rules! integers {
        ($t:ty) => {{
            let values = whole::<$t>(op, &left, &right, rows, names)?;
            if values.data_type() == returns {
                Ok(values)
            } else {
                Ok(arrow::compute::cast(&values, returns)?)
            }
        }};
    }
    match (left.0.data_type(), right.0.data_type()) {
        (DataType::Int8, DataType::Int8) => integers!(Int8Type),
        (DataType::Int16, DataType::Int16) => integers!(Int16Type),
        (DataType::Int32, DataType::Int32) => integers!(Int32Type),
        (DataType::Int64, DataType::Int64) => integers!(Int64Type),
        (DataType::Decimal128(..), divisor @ DataType::Decimal128(..)) => {
            let whole = integer_digits(returns).is_some();
            let values = decimal::compute(
                op,
                (left.0.as_primitive::<Decimal128Type>(), left.1),
                (right.0.as_primitive::<Decimal128Type>(), right.1),
                rows,
                if whole { divisor } else { returns },
                names,
            )?;
            Ok(if whole { arrow::compute::cast(&values, returns)? } else { values })
        }
        (DataType::Interval(_), _) => of_unit(intervals(op, &left, &right, rows, names)?, returns),
        (_, DataType::Interval(_)) => of_unit(intervals(op, &right, &left, rows, names)?, returns),
        _ => {
            let datum = |side: &Side| -> Box<dyn Datum> {
                match side.1 {
                    0 => Box::new(arrow::array::Scalar::new(Arc::clone(&side.0))),
                    _ => Box::new(Arc::clone(&side.0)),
                }
            };
            let (l, r) = (datum(&left), datum(&right));
            Ok(plain_nan(match op {
                Op::Add => numeric::add_wrapping(l.as_ref(), r.as_ref())?,
                Op::Subtract => numeric::sub_wrapping(l.as_ref(), r.as_ref())?,
                Op::Multiply => numeric::mul_wrapping(l.as_ref(), r.as_ref())?,
                Op::Divide => numeric::div(l.as_ref(), r.as_ref())?,
                Op::Remainder => numeric::rem(l.as_ref(), r.as_ref())?,
            }))
        }
    }
}

/// Processors give NaN a sign, by which it would come first in an order instead of last.
pub(super) fn plain_nan(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            match values.values().iter().any(|v| v.is_nan()) {
                true => Arc::new(values.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v })),
                false => array,
            }
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            match values.values().iter().any(|v| v.is_nan()) {
                true => Arc::new(values.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v })),
                false => array,
            }
        }
        _ => array,
    }
}

/// Rows that are NULL on a side.
fn null_rows(left: &Side, right: &Side) -> Option<NullBuffer> {
    fn nulls(side: &Side) -> Option<&NullBuffer> {
        if side.1 == 1 { side.0.nulls() } else { None }
    }
    NullBuffer::union(nulls(left), nulls(right))
}

fn out_of_range<T: ArrowPrimitiveType>(
    op: Op,
    a: T::Native,
    b: T::Native,
    names: &dyn Fn() -> String,
) -> Error
where
    T::Native: fmt::Display,
{
    Error::execution(format!(
        "{} is out of range of {}: {a} {} {b}",
        names(),
        shown(&T::DATA_TYPE),
        op.symbol()
    ))
    .with_hint("CAST an operand to a wider type, or guard it with IF or CASE")
}

/// A whole number whose overflow can be told from the signs of what went in and came out.
trait Whole: ArrowNativeTypeOp + fmt::Display {
    /// The product, and whether it does not fit.
    fn product(self, other: Self) -> (Self, bool);
    /// Negative where `a + b = r` has wrapped.
    fn added(a: Self, b: Self, r: Self) -> Self;
    /// Negative where `a - b = r` has wrapped.
    fn subtracted(a: Self, b: Self, r: Self) -> Self;
    fn or(self, other: Self) -> Self;
}

macro_rules! whole {
    ($($t:ty, $wide:ty);*) => {$(
        impl Whole for $t {
            // By way of the wider type: that is a loop of vectors, where it exists.
            #[inline]
            fn product(self, other: Self) -> (Self, bool) {
                let product = <$wide>::from(self).wrapping_mul(<$wide>::from(other));
                (product as $t, product != <$wide>::from(product as $t))
            }
            #[inline]
            fn added(a: Self, b: Self, r: Self) -> Self {
                (a ^ r) & (b ^ r)
            }
            #[inline]
            fn subtracted(a: Self, b: Self, r: Self) -> Self {
                (a ^ b) & (a ^ r)
            }
            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }
        }
    )*};
}
whole!(i8, i16; i16, i32; i32, i64; i64, i128);

/// `f` over both sides; a loop each for columns and constants, so that each is vectorized.
#[inline]
fn zipped<T: ArrowPrimitiveType>(
    left: &Side,
    right: &Side,
    rows: usize,
    mut f: impl FnMut(T::Native, T::Native) -> T::Native,
) -> Vec<T::Native> {
    let a = left.0.as_primitive::<T>().values();
    let b = right.0.as_primitive::<T>().values();
    match (left.1, right.1) {
        (1, 1) => a.iter().zip(b.iter()).map(|(a, b)| f(*a, *b)).collect(),
        (1, _) => {
            let b = b[0];
            a.iter().map(|a| f(*a, b)).collect()
        }
        (_, 1) => {
            let a = a[0];
            b.iter().map(|b| f(a, *b)).collect()
        }
        _ => (0..rows).map(|_| f(a[0], b[0])).collect(),
    }
}

fn whole<T: ArrowPrimitiveType>(
    op: Op,
    left: &Side,
    right: &Side,
    rows: usize,
    names: &dyn Fn() -> String,
) -> Result<ArrayRef>
where
    T::Native: Whole,
{
    let nulls = null_rows(left, right);
    let zero = T::Native::ZERO;
    let (values, suspicious) = match op {
        Op::Add => {
            let mut signs = zero;
            let values = zipped::<T>(left, right, rows, |a, b| {
                let r = a.add_wrapping(b);
                signs = signs.or(T::Native::added(a, b, r));
                r
            });
            (values, signs.is_lt(zero))
        }
        Op::Subtract => {
            let mut signs = zero;
            let values = zipped::<T>(left, right, rows, |a, b| {
                let r = a.sub_wrapping(b);
                signs = signs.or(T::Native::subtracted(a, b, r));
                r
            });
            (values, signs.is_lt(zero))
        }
        Op::Multiply => {
            let mut wrapped = false;
            let values = zipped::<T>(left, right, rows, |a, b| {
                let (r, over) = a.product(b);
                wrapped |= over;
                r
            });
            (values, wrapped)
        }
        Op::Divide | Op::Remainder => {
            let mut wrong = false;
            let values = zipped::<T>(left, right, rows, |a, b| {
                if b.is_zero() {
                    wrong = true;
                    return zero;
                }
                if op == Op::Divide {
                    a.div_checked(b).unwrap_or_else(|_| {
                        wrong = true;
                        zero
                    })
                } else {
                    a.mod_wrapping(b)
                }
            });
            (values, wrong)
        }
    };
    if suspicious {
        // Something wrapped, perhaps only where a side is NULL.
        let a = left.0.as_primitive::<T>();
        let b = right.0.as_primitive::<T>();
        for row in (0..rows).filter(|row| nulls.as_ref().is_none_or(|n| n.is_valid(*row))) {
            let (a, b) = (a.value(row * left.1), b.value(row * right.1));
            if b.is_zero() && matches!(op, Op::Divide | Op::Remainder) {
                return Err(Error::execution(format!("division by zero in {}", names()))
                    .with_hint("NULLIF(divisor, 0) gives NULL"));
            }
            let fits = match op {
                Op::Add => a.add_checked(b).is_ok(),
                Op::Subtract => a.sub_checked(b).is_ok(),
                Op::Multiply => a.mul_checked(b).is_ok(),
                Op::Divide => a.div_checked(b).is_ok(),
                Op::Remainder => true,
            };
            if !fits {
                return Err(out_of_range::<T>(op, a, b, names));
            }
        }
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)))
}

/// Intervals as the type that they are to have.
fn of_unit(intervals: ArrayRef, returns: &DataType) -> Result<ArrayRef> {
    if *returns != DataType::Interval(IntervalUnit::YearMonth) {
        return Ok(intervals);
    }
    let intervals: &IntervalMonthDayNanoArray = intervals.as_primitive();
    Ok(Arc::new(intervals.iter().map(|v| v.map(|v| v.months)).collect::<IntervalYearMonthArray>()))
}

/// An interval times a number, or divided by one. Days and months of a fraction are not cut into smaller units.
fn intervals(op: Op, left: &Side, right: &Side, rows: usize, names: &dyn Fn() -> String) -> Result<ArrayRef> {
    let intervals = arrow::compute::cast(&left.0, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let intervals: &IntervalMonthDayNanoArray = intervals.as_primitive();
    let whole = *right.0.data_type() == DataType::Int64;
    let mut builder = PrimitiveArray::<IntervalMonthDayNanoType>::builder(rows);
    for row in 0..rows {
        let (i, j) = (row * left.1, row * right.1);
        if intervals.is_null(i) || right.0.is_null(j) {
            builder.append_null();
            continue;
        }
        let v = intervals.value(i);
        let scaled = if whole {
            let n = i128::from(right.0.as_primitive::<Int64Type>().value(j));
            if op == Op::Divide && n == 0 {
                return Err(Error::execution(format!("division by zero in {}", names())));
            }
            let by = |x: i128| if op == Op::Divide { Some(x / n) } else { x.checked_mul(n) };
            let day = 86_400_000_000_000_i128;
            let nanos = i128::from(v.days) * day + i128::from(v.nanoseconds);
            by(i128::from(v.months)).zip(by(nanos))
        } else {
            let n = right.0.as_primitive::<Float64Type>().value(j);
            let by = |x: f64| if op == Op::Divide { x / n } else { x * n };
            let nanos = f64::from(v.days) * 86_400e9 + v.nanoseconds as f64;
            let fits = |x: f64| (x.is_finite() && x.abs() < 1e30).then_some(x as i128);
            fits(by(f64::from(v.months))).zip(fits(by(nanos)))
        };
        let made = scaled.and_then(|(months, nanos)| {
            let months = i32::try_from(months).ok()?;
            let day = 86_400_000_000_000_i128;
            let days = i32::try_from(nanos / day).ok()?;
            Some(IntervalMonthDayNano::new(months, days, (nanos % day) as i64))
        });
        match made {
            Some(v) => builder.append_value(v),
            None => return Err(Error::execution(format!("{} is out of range of INTERVAL", names()))),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// `-x`
#[derive(Debug, PartialEq, Eq, Hash)]
struct Negate {
    signature: Signature,
}

impl ScalarUDFImpl for Negate {
    fn name(&self) -> &str {
        "$negate"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Int32))
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        let field = args.arg_fields.first().ok_or_else(|| Error::internal("a sign needs a number"))?;
        let name = format!("-{}", operand_name(&args, 0));
        Ok(Arc::new(Field::new(name, field.data_type().clone(), field.is_nullable())))
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        Ok(format!("-{}", args.first().map(operand).unwrap_or_default()))
    }
    fn display_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        self.schema_name(args)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return Err(Error::internal("a sign needs a number").into());
        };
        let (array, constant) = match value {
            ColumnarValue::Array(a) => (Arc::clone(a), false),
            ColumnarValue::Scalar(s) => (s.to_array()?, true),
        };
        let negated = numeric::neg(&array).map_err(|_| {
            // Only the least number has no opposite.
            let least = match array.data_type() {
                DataType::Int8 => i64::from(i8::MIN),
                DataType::Int16 => i64::from(i16::MIN),
                DataType::Int32 => i64::from(i32::MIN),
                _ => i64::MIN,
            };
            let name = match (constant, args.arg_fields.first()) {
                (false, Some(field)) if field.name().contains(' ') => format!("({})", field.name()),
                (false, Some(field)) => field.name().clone(),
                _ => format!("({least})"),
            };
            Error::execution(format!("-{name} is out of range of {}: -({least})", shown(array.data_type())))
                .with_hint("CAST it to a wider type, or guard it with IF or CASE")
        })?;
        let negated = plain_nan(negated);
        Ok(match constant {
            true => ColumnarValue::Scalar(datafusion_common::ScalarValue::try_from_array(&negated, 0)?),
            false => ColumnarValue::Array(negated),
        })
    }
}

/// `left op right`
pub(super) fn call(op: Op, left: Expr, right: Expr) -> Expr {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(Arithmetic { op, signature }).call(vec![left, right])
}

/// `-expr` for a number.
pub(super) fn negate(expr: Expr) -> Expr {
    ScalarUDF::from(Negate { signature: Signature::any(1, Volatility::Immutable) }).call(vec![expr])
}

/// Whether a type is one that [`negate`] takes.
pub(super) fn is_number(t: &DataType) -> bool {
    number(t)
}

/// The expression with operators in the place of the functions that compute them, for people to read.
pub(crate) fn written(expr: Expr) -> Expr {
    let original = expr.clone();
    let written = expr.transform_up(|e| {
        let Expr::ScalarFunction(f) = &e else { return Ok(Transformed::no(e)) };
        let inner = f.func.inner();
        if let (Some(subtract), [left, right]) = (super::shift::direction(f.func.name()), f.args.as_slice()) {
            let op = if subtract { Operator::Minus } else { Operator::Plus };
            let moved = BinaryExpr::new(Box::new(left.clone()), op, Box::new(right.clone()));
            return Ok(Transformed::yes(Expr::BinaryExpr(moved)));
        }
        Ok(match (inner.downcast_ref::<Arithmetic>(), f.args.as_slice()) {
            (Some(arithmetic), [left, right]) => {
                let op = match arithmetic.op {
                    Op::Add => Operator::Plus,
                    Op::Subtract => Operator::Minus,
                    Op::Multiply => Operator::Multiply,
                    Op::Divide => Operator::Divide,
                    Op::Remainder => Operator::Modulo,
                };
                Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(left.clone()),
                    op,
                    Box::new(right.clone()),
                )))
            }
            (None, [inner_arg]) if inner.downcast_ref::<Negate>().is_some() => {
                Transformed::yes(Expr::Negative(Box::new(inner_arg.clone())))
            }
            _ => Transformed::no(e),
        })
    });
    written.map_or(original, |t| t.data)
}

/// An expression as SQL shows it.
pub(crate) fn shown_expr(expr: &Expr) -> String {
    written(expr.clone()).human_display().to_string()
}

/// Plans operators: arithmetic of numbers, and comparisons that only Flink has.
#[derive(Debug)]
pub(super) struct Operators {
    pub zone: String,
}

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> datafusion_common::Result<PlannerResult<RawBinaryExpr>> {
        let (Some(left), Some(right)) = (type_of(&expr.left, schema), type_of(&expr.right, schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let Some(op) = Op::of(&expr.op) else {
            return super::coerce::planned_comparison(expr, schema, &self.zone);
        };
        let moment = |t: &DataType| {
            use DataType as D;
            matches!(t, D::Date32 | D::Date64 | D::Time32(_) | D::Time64(_) | D::Timestamp(..))
        };
        let fits = match op {
            Op::Add => {
                !(moment(&left) && (moment(&right) || number(&right)) || number(&left) && moment(&right))
            }
            Op::Subtract => {
                !(moment(&left) && number(&right) || (number(&left) || is_interval(&left)) && moment(&right))
            }
            _ => !moment(&left) && !moment(&right),
        };
        if !fits {
            let error = Error::plan(format!(
                "'{}' does not take {} and {}",
                op.symbol(),
                shown(&left),
                shown(&right)
            ));
            return Err(error
                .with_hint("INTERVAL '1' DAY moves a moment, TIMESTAMPDIFF(DAY, from, to) gives the difference of two")
                .into());
        }
        let plain = |t: &DataType| number(t) || is_text(t) || *t == DataType::Null;
        let interval = matches!(op, Op::Multiply | Op::Divide)
            && (is_interval(&left) && number(&right) || is_interval(&right) && number(&left));
        if !interval && (!plain(&left) || !plain(&right) || left == DataType::Null && right == DataType::Null)
        {
            return Ok(PlannerResult::Original(expr));
        }
        types_of(op, &left, &right)?;
        Ok(PlannerResult::Planned(call(op, expr.left, expr.right)))
    }
}
