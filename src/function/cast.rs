//! CAST and TRY_CAST.
//!
//! | cast | here |
//! |---|---|
//! | numbers to wider numbers | arrow's cast |
//! | numbers to narrower numbers | an error when out of range, where Flink wraps silently |
//! | fractions to integers | cut off |
//! | anything to DECIMAL | rounded HALF_UP; out of range is an error, where Flink gives NULL |
//! | text to numbers | trimmed; `12.7` is the INT 12 |
//! | text to BOOLEAN | `t true y yes 1`, `f false n no 0` |
//! | text to DATE, TIME, TIMESTAMP | `yyyy-M-d`, `H:m:s`, `yyyy-M-d[ HH:mm:ss[.fraction]]` |
//! | anything to text | as Java prints it: `TRUE`, `1.0E10`, `2020-01-01 00:00:00.123` |
//! | TIMESTAMP_LTZ to and from local types | in the session's zone |
//! | between numbers and timestamps | refused |
//!
//! CAST fails on a value that it cannot convert, TRY_CAST gives NULL.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanBuilder, ListArray, MapArray, PrimitiveArray,
    StringViewArray, StringViewBuilder, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use chrono::{NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::tree_node::{Transformed, TransformedResult};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::moment::{Moments, read_date, read_time, read_timestamp, ticks, to_utc, zone};
pub(crate) use super::text_form::java_double;
use super::text_form::{digits, writer};
use crate::error::{Error, Result};
use crate::function::tree::Tree;
use crate::sql::types::SqlType;

/// The expression that converts `expr` of type `from` as CAST (or TRY_CAST) AS `to` does in a session
/// whose zone is `zone`. Conversions that do not exist are refused here, before any data flows.
pub fn cast_expr(expr: Expr, from: &DataType, to: &SqlType, zone: &str, try_: bool) -> Result<Expr> {
    if let Some(coarser) = beyond_nanoseconds(&expr, to) {
        return cast_expr(expr, from, &coarser, zone, try_);
    }
    let target = to.to_arrow(zone);
    allowed(from, to)?;
    let sized =
        matches!(to, SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Binary(_) | SqlType::Varbinary(_))
            && *to != SqlType::Varchar(i32::MAX as u32);
    let cut = matches!(to, SqlType::Timestamp(p) | SqlType::TimestampLtz(p) if p % 3 != 0);
    if *from == target && !sized && !cut {
        return Ok(expr);
    }
    if *from == DataType::Null {
        return Ok(Expr::Cast(datafusion_expr::Cast::new(Box::new(expr), target)));
    }
    let cast = Cast {
        to: to.clone(),
        target,
        zone: zone.to_string(),
        try_,
        signature: Signature::any(1, Volatility::Immutable),
    };
    Ok(ScalarUDF::from(cast).call(vec![expr]))
}

/// TIMESTAMP(7) to (9) hold the years 1677 to 2262: a constant beyond them, such as the '9999-12-31' that stands for
/// no end, is a TIMESTAMP(6), which compares with all others.
fn beyond_nanoseconds(expr: &Expr, to: &SqlType) -> Option<SqlType> {
    let coarser = match to {
        SqlType::Timestamp(7..) => SqlType::Timestamp(6),
        SqlType::TimestampLtz(7..) => SqlType::TimestampLtz(6),
        _ => return None,
    };
    let value = constant(expr)?;
    let moment = match value.data_type() {
        t if super::common::is_text(t) => {
            let text = arrow::compute::cast(&value, &DataType::Utf8).ok()?;
            let text = text.as_string_opt::<i32>().filter(|text| text.is_valid(0))?.value(0).to_string();
            read_timestamp(&text)?
        }
        DataType::Date32 | DataType::Timestamp(..) => Moments::of(&value, 1).ok()?.stored(0).ok()??,
        _ => return None,
    };
    // Digits that would be lost make it an error as before.
    (ticks(moment, TimeUnit::Nanosecond).is_none() && moment.nanosecond() % 1_000 == 0).then_some(coarser)
}

/// The one value of a literal, or of one that is cast.
fn constant(expr: &Expr) -> Option<ArrayRef> {
    match expr {
        Expr::Literal(value, _) => value.to_array().ok(),
        Expr::ScalarFunction(call) => {
            let cast = call.func.inner().as_ref().downcast_ref::<Cast>()?;
            cast_array(&constant(call.args.first()?)?, &cast.to, &cast.zone, cast.try_).ok()
        }
        Expr::Alias(alias) => constant(&alias.expr),
        _ => None,
    }
}

/// Gives an expression that DataFusion has just planned from SQL Flink's types: integer literals are INT if
/// they fit, and every cast, which at this point only the user can have written, is [`cast_expr`]'s.
///
/// Lengths of CHAR and VARCHAR are not in Arrow's types: a planner that keeps them calls [`cast_expr`] itself.
pub fn own_casts(expr: Expr, schema: &DFSchema, zone: &str) -> Result<Expr> {
    let cast = |expr: Expr, field: &Field, try_: bool| -> Result<Expr> {
        let from = expr.get_type(schema)?;
        let to = SqlType::from_arrow(field.data_type())
            .ok_or_else(|| Error::unsupported(format!("CAST to {}", field.data_type())))?;
        cast_expr(expr, &from, &to, zone, try_)
    };
    let owned = expr.transform_up(|e| {
        Ok(match e {
            Expr::Literal(ScalarValue::Int64(Some(v)), metadata) => match i32::try_from(v) {
                Ok(v) => Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(v)), metadata)),
                Err(_) => Transformed::no(Expr::Literal(ScalarValue::Int64(Some(v)), metadata)),
            },
            Expr::Literal(ScalarValue::Decimal128(v, p, s), metadata)
                if i16::from(p) == i16::from(s) && p < 38 =>
            {
                Transformed::yes(Expr::Literal(ScalarValue::Decimal128(v, p + 1, s), metadata))
            }
            Expr::Cast(datafusion_expr::Cast { expr, field }) if *field.data_type() != DataType::Null => {
                Transformed::yes(cast(*expr, &field, false)?)
            }
            Expr::TryCast(datafusion_expr::TryCast { expr, field }) => {
                Transformed::yes(cast(*expr, &field, true)?)
            }
            other => Transformed::no(other),
        })
    });
    Ok(owned.data()?)
}

/// A CAST as a function of one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    to: SqlType,
    target: DataType,
    zone: String,
    try_: bool,
    signature: Signature,
}

/// What a function casts to, if it is a cast.
pub(super) fn cast_target(function: &dyn ScalarUDFImpl) -> Option<&SqlType> {
    function.downcast_ref::<Cast>().map(|cast| &cast.to)
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        if self.try_ { "try_cast" } else { "cast" }
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        let name = if self.try_ { "TRY_CAST" } else { "CAST" };
        let argument = args.first().map(ToString::to_string).unwrap_or_default();
        Ok(format!("{name}({argument} AS {})", self.to))
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.target.clone())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        let nullable = self.try_ || args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.target.clone(), nullable)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        Ok(match args.args.first() {
            Some(ColumnarValue::Array(a)) => {
                ColumnarValue::Array(cast_array(a, &self.to, &self.zone, self.try_)?)
            }
            Some(ColumnarValue::Scalar(s)) => {
                let result = cast_array(&s.to_array()?, &self.to, &self.zone, self.try_)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
            }
            None => return Err(Error::internal("CAST without an argument").into()),
        })
    }
}

fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}
fn is_bytes(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_)
    )
}
fn is_exact_or_double(t: &SqlType) -> bool {
    use SqlType as S;
    matches!(t, S::TinyInt | S::SmallInt | S::Int | S::BigInt | S::Float | S::Double | S::Decimal(_, _))
}
fn is_sql_text(t: &SqlType) -> bool {
    matches!(t, SqlType::Char(_) | SqlType::Varchar(_) | SqlType::String)
}
fn is_sql_bytes(t: &SqlType) -> bool {
    matches!(t, SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes)
}

/// Whether a conversion exists.
fn allowed(from: &DataType, to: &SqlType) -> Result<()> {
    use DataType as D;
    let nested = match (from, to) {
        (D::Dictionary(_, v), _) => return allowed(v, to),
        (D::List(f) | D::LargeList(f) | D::FixedSizeList(f, _), SqlType::Array(t)) => {
            return allowed(f.data_type(), t);
        }
        (D::Struct(fields), SqlType::Row(types)) => {
            if fields.len() == types.len() {
                return fields.iter().zip(types).try_for_each(|(f, (_, t))| allowed(f.data_type(), t));
            }
            false
        }
        (D::Map(entries, _), SqlType::Map(k, v)) => match entries.data_type() {
            D::Struct(kv) if kv.len() == 2 => {
                return allowed(kv[0].data_type(), k).and_then(|()| allowed(kv[1].data_type(), v));
            }
            _ => false,
        },
        _ => false,
    };
    let number = from.is_numeric();
    let ok = nested
        || *from == D::Null
        || SqlType::from_arrow(from).is_some_and(|t| t == *to)
        || match to {
            t if is_sql_text(t) => true,
            t if is_sql_bytes(t) => is_text(from) || is_bytes(from),
            t if is_exact_or_double(t) => number || is_text(from) || *from == D::Boolean,
            SqlType::Boolean => number || is_text(from) || *from == D::Boolean,
            SqlType::Date => is_text(from) || matches!(from, D::Date32 | D::Date64 | D::Timestamp(_, _)),
            SqlType::Time(_) => {
                is_text(from) || matches!(from, D::Time32(_) | D::Time64(_) | D::Timestamp(_, _))
            }
            SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => {
                is_text(from)
                    || matches!(
                        from,
                        D::Date32 | D::Date64 | D::Time32(_) | D::Time64(_) | D::Timestamp(_, _)
                    )
            }
            SqlType::IntervalDayTime | SqlType::IntervalYearMonth => matches!(from, D::Interval(_)),
            _ => false,
        };
    if ok {
        return Ok(());
    }
    let shown = SqlType::from_arrow(from).map_or_else(|| from.to_string(), |t| t.to_string());
    let error = Error::plan(format!("{shown} cannot be cast to {to}"));
    Err(match to {
        SqlType::Timestamp(_) | SqlType::TimestampLtz(_) if number => {
            error.with_hint("use TO_TIMESTAMP_LTZ(seconds, 0) or TO_TIMESTAMP_LTZ(milliseconds, 3)")
        }
        t if is_exact_or_double(t) && matches!(from, D::Timestamp(_, _)) => {
            error.with_hint("use EXTRACT or UNIX_TIMESTAMP")
        }
        _ => error,
    })
}

/// Text of every value, NULL where it is NULL. TIMESTAMP_LTZ is shown in `zone`.
pub(crate) fn to_text(array: &ArrayRef, zone: &str) -> Result<ArrayRef> {
    let array = &normalized(array, zone)?;
    if *array.data_type() == DataType::Utf8View {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(&DataType::Utf8View, array.len()));
    }
    let write = writer(array)?;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    let mut buffer = String::new();
    for i in 0..array.len() {
        if array.is_null(i) {
            builder.append_null();
            continue;
        }
        buffer.clear();
        write(i, &mut buffer)?;
        builder.try_append_value(&buffer)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// One Arrow type per SQL type, and TIMESTAMP_LTZ in the session's zone.
fn normalized(array: &ArrayRef, zone: &str) -> Result<ArrayRef> {
    use DataType as D;
    let to = match array.data_type() {
        D::Dictionary(_, v) => v.as_ref().clone(),
        D::Utf8 | D::LargeUtf8 => D::Utf8View,
        D::Binary | D::LargeBinary | D::FixedSizeBinary(_) => D::BinaryView,
        D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 | D::UInt64 => D::Int64,
        D::Float16 => D::Float32,
        D::Date64 => D::Date32,
        D::Time32(TimeUnit::Second) | D::Time64(_) => D::Time32(TimeUnit::Millisecond),
        D::Timestamp(unit, Some(name)) if &**name != zone => D::Timestamp(*unit, Some(zone.into())),
        D::LargeList(f) | D::FixedSizeList(f, _) => D::List(f.clone()),
        _ => return Ok(Arc::clone(array)),
    };
    let cast =
        arrow::compute::cast_with_options(array, &to, &CastOptions { safe: false, ..Default::default() })?;
    if matches!(array.data_type(), D::Dictionary(_, _)) { normalized(&cast, zone) } else { Ok(cast) }
}

fn failed(text: &str, to: &SqlType) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::execution(format!("cast failed: '{shown}' is not a value of {to}"))
        .with_hint("TRY_CAST gives NULL instead of an error")
}

fn beyond(value: impl std::fmt::Display, to: &SqlType) -> Error {
    Error::execution(format!("cast failed: {value} is out of the range of {to}"))
        .with_hint("TRY_CAST gives NULL instead of an error")
}

/// The first value that a type does not hold, as text.
fn first_beyond(array: &ArrayRef, target: &DataType, session: &str) -> Option<String> {
    let options = CastOptions { safe: true, ..Default::default() };
    let cast = cast_with_options(array, target, &options).ok()?;
    let row = (0..array.len()).find(|row| array.is_valid(*row) && cast.is_null(*row))?;
    let text = to_text(&array.slice(row, 1), session).ok()?;
    let text = text.as_string_view();
    text.is_valid(0).then(|| text.value(0).to_string())
}

/// Converts an array; with `try_`, what cannot be converted is NULL.
pub(crate) fn cast_array(array: &ArrayRef, to: &SqlType, session: &str, try_: bool) -> Result<ArrayRef> {
    use DataType as D;
    let target = to.to_arrow(session);
    if *array.data_type() == D::Null {
        return Ok(new_null_array(&target, array.len()));
    }
    let array = &normalized(array, session)?;
    let from = array.data_type();
    let arrow_cast = |a: &ArrayRef| -> Result<ArrayRef> {
        let options = CastOptions { safe: try_, ..Default::default() };
        cast_with_options(a, &target, &options).map_err(|e| match e {
            ArrowError::CastError(_) | ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => {
                match first_beyond(a, &target, session) {
                    Some(value) => beyond(value, to),
                    None => beyond("a value", to),
                }
            }
            other => other.into(),
        })
    };
    if is_sql_text(to) {
        return sized_text(to_text(array, session)?, to);
    }
    match (from, to) {
        (D::Utf8View, _) => from_text(array.as_string_view(), to, session, try_),
        (D::BinaryView, t) if is_sql_bytes(t) => sized_bytes(array, to),
        (t, SqlType::Boolean) if t.is_numeric() => {
            let zero = ScalarValue::new_zero(t)?.to_scalar()?;
            Ok(Arc::new(arrow::compute::kernels::cmp::neq(array, &zero)?))
        }
        (D::Boolean, SqlType::Decimal(_, _)) => {
            let digit = arrow::compute::cast(array, &D::Int8)?;
            arrow_cast(&digit)
        }
        (D::Decimal128(_, scale), SqlType::Double) => {
            Ok(Arc::new(nearest_doubles(array.as_primitive(), *scale)))
        }
        (D::Float32 | D::Float64, SqlType::Decimal(precision, scale)) => {
            // By way of the shortest decimal form, which is what a person reads.
            let text = to_text(array, session)?;
            let text = text.as_string_view();
            decimals(text.len(), *precision, *scale, try_, to, |i| (!text.is_null(i)).then(|| text.value(i)))
        }
        (D::Decimal128(_, scale), SqlType::Float) => Ok(super::decimal::floats(array.as_primitive(), *scale)),
        (D::List(_), SqlType::Array(t)) => {
            let list = array.as_list::<i32>();
            let D::List(field) = &target else { return Err(Error::internal("ARRAY's type")) };
            let values = cast_array(list.values(), t, session, try_)?;
            Ok(Arc::new(ListArray::try_new(
                field.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (D::Struct(_), SqlType::Row(types)) => {
            let row = array.as_struct();
            let D::Struct(fields) = &target else { return Err(Error::internal("ROW's type")) };
            let columns = row.columns().iter().zip(types).map(|(c, (_, t))| cast_array(c, t, session, try_));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, row.nulls().cloned())?))
        }
        (D::Map(_, _), SqlType::Map(k, v)) => {
            let map = array.as_map();
            let D::Map(field, _) = &target else { return Err(Error::internal("MAP's type")) };
            let D::Struct(fields) = field.data_type() else { return Err(Error::internal("MAP's type")) };
            let columns =
                vec![cast_array(map.keys(), k, session, try_)?, cast_array(map.values(), v, session, try_)?];
            let entries = StructArray::try_new(fields.clone(), columns, None)?;
            Ok(Arc::new(MapArray::try_new(
                field.clone(),
                map.offsets().clone(),
                entries,
                map.nulls().cloned(),
                false,
            )?))
        }
        (D::Date32 | D::Time32(_) | D::Timestamp(_, _), _) => between_moments(array, to, session, try_),
        _ => arrow_cast(array),
    }
}

/// The doubles that are nearest to decimals. Where the digits and the power of ten are doubles themselves, one division
/// rounds once; other digits are read as text is.
fn nearest_doubles(decimals: &PrimitiveArray<Decimal128Type>, scale: i8) -> PrimitiveArray<Float64Type> {
    const EXACT: i128 = 1 << 53;
    let power = u32::try_from(scale).ok().filter(|scale| *scale <= 22).map(|scale| 10f64.powi(scale as i32));
    decimals.unary(|digits| match power {
        Some(power) if digits.abs() <= EXACT => digits as f64 / power,
        _ => format!("{digits}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN),
    })
}

/// CHAR(n) is cut and padded, VARCHAR(n) is cut.
fn sized_text(array: ArrayRef, to: &SqlType) -> Result<ArrayRef> {
    let (n, pad) = match to {
        SqlType::Char(n) => (*n as usize, true),
        SqlType::Varchar(n) if *n < i32::MAX as u32 => (*n as usize, false),
        _ => return Ok(array),
    };
    let text = array.as_string_view();
    let mut builder = StringViewBuilder::with_capacity(text.len());
    let mut buffer = String::new();
    for value in text {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        let cut = &value[..super::text::offset(value, n as i64)];
        let lacking = if pad { n.saturating_sub(super::text::count(cut) as usize) } else { 0 };
        if lacking == 0 {
            builder.try_append_value(cut)?;
            continue;
        }
        buffer.clear();
        buffer.push_str(cut);
        buffer.extend(std::iter::repeat_n(' ', lacking));
        builder.try_append_value(&buffer)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// BINARY(n) is cut and padded with zeros, VARBINARY(n) is cut.
fn sized_bytes(array: &ArrayRef, to: &SqlType) -> Result<ArrayRef> {
    let (n, pad) = match to {
        SqlType::Binary(n) => (*n as usize, true),
        SqlType::Varbinary(n) if *n < i32::MAX as u32 => (*n as usize, false),
        _ => return Ok(Arc::clone(array)),
    };
    let bytes = array.as_binary_view();
    let mut builder = BinaryViewBuilder::with_capacity(bytes.len());
    for value in bytes {
        match value {
            None => builder.append_null(),
            Some(value) if pad && value.len() < n => {
                let mut padded = value.to_vec();
                padded.resize(n, 0);
                builder.try_append_value(padded)?;
            }
            Some(value) => builder.try_append_value(&value[..value.len().min(n)])?,
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn parsed<T: ArrowPrimitiveType>(
    text: &StringViewArray,
    to: &SqlType,
    target: &DataType,
    try_: bool,
    f: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveArray::<T>::builder(text.len());
    for value in text {
        match value {
            None => builder.append_null(),
            Some(value) => match f(value) {
                Some(v) => builder.append_value(v),
                None if try_ => builder.append_null(),
                None => return Err(failed(value, to)),
            },
        }
    }
    Ok(Arc::new(builder.finish().with_data_type(target.clone())))
}

/// An integer as text; a fraction is cut off.
fn read_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // `.5` is 0 and `-.5`, too.
    if matches!(whole, "" | "-" | "+") && !fraction.is_empty() {
        return Some(0);
    }
    whole.parse().ok()
}

/// A DOUBLE as Java reads it: with `NaN`, `Infinity` and the suffixes `d` and `f`.
pub(crate) fn read_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        "Infinity" => return Some(f64::INFINITY),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    fast_float2::parse(text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text)).ok()
}

/// A BOOLEAN as text.
pub(crate) fn read_boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(&["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if is(&["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A DECIMAL as text, rounded HALF_UP to `scale`. `Err` holds why not: `true` when it is out of range.
fn read_decimal(text: &str, precision: u8, scale: i8) -> Result<i128, bool> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(e) => (&text[..e], text[e + 1..].parse::<i64>().map_err(|_| false)?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(false);
    }
    // How many digits are before the rounding point.
    let keep = (whole.len() as i64).saturating_add(exponent).saturating_add(i64::from(scale));
    let mut value = 0_i128;
    for digit in digits.iter().take(usize::try_from(keep).unwrap_or(0)) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))).ok_or(true)?;
    }
    if value != 0 {
        for _ in digits.len() as i64..keep {
            value = value.checked_mul(10).ok_or(true)?;
        }
    }
    if keep >= 0 && digits.get(keep as usize).is_some_and(|d| *d >= b'5') {
        value += 1;
    }
    if value >= 10_i128.pow(u32::from(precision)) {
        return Err(true);
    }
    Ok(if negative { -value } else { value })
}

fn decimals<'a>(
    rows: usize,
    precision: u8,
    scale: i8,
    try_: bool,
    to: &SqlType,
    text: impl Fn(usize) -> Option<&'a str>,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveArray::<Decimal128Type>::builder(rows);
    for i in 0..rows {
        match text(i) {
            None => builder.append_null(),
            Some(text) => match read_decimal(text, precision, scale) {
                Ok(v) => builder.append_value(v),
                Err(_) if try_ => builder.append_null(),
                Err(true) => return Err(beyond(text, to)),
                Err(false) => return Err(failed(text, to)),
            },
        }
    }
    Ok(Arc::new(builder.finish().with_data_type(DataType::Decimal128(precision, scale))))
}

fn from_text(text: &StringViewArray, to: &SqlType, session: &str, try_: bool) -> Result<ArrayRef> {
    let target = to.to_arrow(session);
    match to {
        SqlType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(text.len());
            for value in text {
                match value.map(|v| (v, read_boolean(v))) {
                    None => builder.append_null(),
                    Some((_, Some(v))) => builder.append_value(v),
                    Some(_) if try_ => builder.append_null(),
                    Some((v, None)) => return Err(failed(v, to)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            let range = match to {
                SqlType::TinyInt => i64::from(i8::MIN)..=i64::from(i8::MAX),
                SqlType::SmallInt => i64::from(i16::MIN)..=i64::from(i16::MAX),
                SqlType::Int => i64::from(i32::MIN)..=i64::from(i32::MAX),
                _ => i64::MIN..=i64::MAX,
            };
            let wide = parsed::<Int64Type>(text, to, &DataType::Int64, try_, |s| {
                read_integer(s).filter(|v| range.contains(v))
            })?;
            Ok(arrow::compute::cast(&wide, &target)?)
        }
        SqlType::Float => {
            parsed::<Float32Type>(text, to, &target, try_, |s| read_double(s).map(|v| v as f32))
        }
        SqlType::Double => parsed::<Float64Type>(text, to, &target, try_, read_double),
        SqlType::Decimal(precision, scale) => {
            decimals(text.len(), *precision, *scale, try_, to, |i| (!text.is_null(i)).then(|| text.value(i)))
        }
        SqlType::Date => {
            parsed::<Date32Type>(text, to, &target, try_, |s| read_date(s).map(|d| d.to_epoch_days()))
        }
        SqlType::Time(precision) => parsed::<Time32MillisecondType>(text, to, &target, try_, |s| {
            read_time(s).map(|t| milliseconds(t, *precision))
        }),
        SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => {
            let zone = match to {
                SqlType::TimestampLtz(_) => Some(zone(session)?),
                _ => None,
            };
            stamps(text.len(), to, session, try_, |i| {
                if text.is_null(i) {
                    return Ok(None);
                }
                Ok(Some(match (read_timestamp(text.value(i)), &zone) {
                    (Some(local), Some(zone)) => to_utc(zone, local),
                    (Some(local), None) => local,
                    (None, Some(_)) if let Some(utc) = read_instant(text.value(i)) => utc,
                    (None, _) if try_ => return Ok(None),
                    (None, _) => return Err(failed(text.value(i), to)),
                }))
            })
        }
        t if is_sql_bytes(t) => {
            let bytes: ArrayRef = Arc::new(text.clone().to_binary_view());
            sized_bytes(&bytes, to)
        }
        _ => Err(Error::unsupported(format!("CAST of STRING to {to}"))),
    }
}

/// A moment that is written with its own zone, as ISO-8601 has it: `2026-01-05T08:00:19+01:00`.
fn read_instant(text: &str) -> Option<NaiveDateTime> {
    let micros = crate::format::json::convert::timestamp(text.trim(), TimeUnit::Microsecond, true)?;
    chrono::DateTime::from_timestamp_micros(micros).map(|utc| utc.naive_utc())
}

/// Milliseconds of the day, cut to a precision.
fn milliseconds(t: NaiveTime, precision: u8) -> i32 {
    let millis = (t.num_seconds_from_midnight() * 1000 + t.nanosecond() % 1_000_000_000 / 1_000_000) as i32;
    let unit = 10_i32.pow(3 - u32::from(precision.min(3)));
    millis - millis % unit
}

/// Timestamps of a declared precision; what is finer is cut off.
fn stamps(
    rows: usize,
    to: &SqlType,
    session: &str,
    try_: bool,
    f: impl Fn(usize) -> Result<Option<NaiveDateTime>>,
) -> Result<ArrayRef> {
    let target = to.to_arrow(session);
    let (DataType::Timestamp(unit, _), SqlType::Timestamp(p) | SqlType::TimestampLtz(p)) = (&target, to)
    else {
        return Err(Error::internal(format!("{to} is no TIMESTAMP")));
    };
    let grain = 10_i64.pow((digits(*unit) - usize::from(*p).min(digits(*unit))) as u32);
    fn build<T: ArrowPrimitiveType<Native = i64>>(
        rows: usize,
        target: &DataType,
        f: impl Fn(usize) -> Result<Option<i64>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveArray::<T>::builder(rows);
        for i in 0..rows {
            builder.append_option(f(i)?);
        }
        Ok(Arc::new(builder.finish().with_data_type(target.clone())))
    }
    let value = |i: usize| -> Result<Option<i64>> {
        let Some(t) = f(i)? else { return Ok(None) };
        match ticks(t, *unit) {
            Some(v) => Ok(Some(v - v.rem_euclid(grain))),
            None if try_ => Ok(None),
            None => Err(beyond(t, to)),
        }
    };
    match unit {
        TimeUnit::Second => build::<TimestampSecondType>(rows, &target, value),
        TimeUnit::Millisecond => build::<TimestampMillisecondType>(rows, &target, value),
        TimeUnit::Microsecond => build::<TimestampMicrosecondType>(rows, &target, value),
        TimeUnit::Nanosecond => build::<TimestampNanosecondType>(rows, &target, value),
    }
}

fn between_moments(array: &ArrayRef, to: &SqlType, session: &str, try_: bool) -> Result<ArrayRef> {
    let moments = Moments::of(array, 1)?;
    let rows = array.len();
    match to {
        SqlType::TimestampLtz(_) if moments.zone().is_some() => {
            stamps(rows, to, session, try_, |i| moments.stored(i))
        }
        SqlType::TimestampLtz(_) => {
            let zone = zone(session)?;
            stamps(rows, to, session, try_, |i| Ok(moments.local(i)?.map(|t| to_utc(&zone, t))))
        }
        SqlType::Timestamp(_) => stamps(rows, to, session, try_, |i| moments.local(i)),
        SqlType::Date => {
            let mut builder = PrimitiveArray::<Date32Type>::builder(rows);
            for i in 0..rows {
                builder.append_option(moments.local(i)?.map(|t| t.date().to_epoch_days()));
            }
            Ok(Arc::new(builder.finish()))
        }
        SqlType::Time(precision) => {
            let mut builder = PrimitiveArray::<Time32MillisecondType>::builder(rows);
            for i in 0..rows {
                builder.append_option(moments.local(i)?.map(|t| milliseconds(t.time(), *precision)));
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => Err(Error::unsupported(format!("CAST of {} to {to}", array.data_type()))),
    }
}
