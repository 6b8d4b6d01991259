//! A moment moved by an interval, and the sum of two intervals, with Flink's results.
//!
//! | | days, hours, ... | years, months |
//! |---|---|---|
//! | TIMESTAMP | exact milliseconds | of the calendar; the 31st becomes the last of a shorter month |
//! | TIMESTAMP_LTZ | exact milliseconds: `INTERVAL '1' DAY` is 24 hours | of the calendar of UTC |
//!
//! No zone takes part, so that there is no hour of the year which cannot be computed. An interval of days and
//! less that is a constant is one integer, which is added to all rows.
//!
//! Intervals of days and less are kept with the hours of a day below 24 (see [`canonical`]): then equal ones are
//! equal, and in order, whatever their units were.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, PrimitiveArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, new_null_array,
};
use arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit,
};
use chrono::Months;
use datafusion_common::ScalarValue;
use datafusion_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arithmetic::{operand, operand_name};
use super::moment::{from_ticks, ticks};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// The function that moves a moment on.
pub(crate) const LATER: &str = "$later";
/// The function that moves a moment back.
pub(crate) const EARLIER: &str = "$earlier";

const DAY: i128 = 86_400_000_000_000;
const SPAN: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// An interval of days and less, with its whole days apart.
pub(super) fn canonical(v: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let nanos = i128::from(v.days) * DAY + i128::from(v.nanoseconds);
    match i32::try_from(nanos / DAY) {
        Ok(days) => IntervalMonthDayNano::new(v.months, days, (nanos % DAY) as i64),
        Err(_) => v,
    }
}

/// A literal in that form.
pub(super) fn canonical_literal(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), metadata) => {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(canonical(v))), metadata)
        }
        other => other,
    }
}

/// Whether `left + right` or `left - right` is computed here: a moment with an interval, or two intervals.
pub(super) fn shifts(left: &DataType, right: &DataType, subtract: bool) -> bool {
    let interval = |t: &DataType| matches!(t, DataType::Interval(_));
    let moment = |t: &DataType| matches!(t, DataType::Timestamp(..));
    (moment(left) && interval(right))
        || (!subtract && interval(left) && moment(right))
        || (*left == SPAN && *right == SPAN)
}

/// `left + right`, `left - right`
pub(super) fn shift(left: Expr, right: Expr, subtract: bool) -> Expr {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::from(Shift { subtract, signature }).call(vec![left, right])
}

/// Whether a function is one of these; whether it subtracts.
pub(crate) fn direction(name: &str) -> Option<bool> {
    match name {
        LATER => Some(false),
        EARLIER => Some(true),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    subtract: bool,
    signature: Signature,
}

/// The type of the moment that is moved, or of the sum of intervals.
fn result_type(left: &DataType, right: &DataType) -> DataType {
    match left {
        DataType::Timestamp(..) => left.clone(),
        _ => right.clone(),
    }
}

impl ScalarUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.subtract { EARLIER } else { LATER }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> datafusion_common::Result<DataType> {
        match types {
            [left, right] => Ok(result_type(left, right)),
            _ => Err(Error::internal("a moment is moved by one interval").into()),
        }
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        let [left, right] = args.arg_fields else {
            return Err(Error::internal("a moment is moved by one interval").into());
        };
        let nullable = left.is_nullable() || right.is_nullable();
        let sign = if self.subtract { '-' } else { '+' };
        let name = format!("{} {sign} {}", operand_name(&args, 0), operand_name(&args, 1));
        Ok(Arc::new(Field::new(name, result_type(left.data_type(), right.data_type()), nullable)))
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        let all: Vec<String> = args.iter().map(operand).collect();
        Ok(all.join(if self.subtract { " - " } else { " + " }))
    }
    fn display_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        self.schema_name(args)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(Error::internal("a moment is moved by one interval").into());
        };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let side = |v: &ColumnarValue| -> datafusion_common::Result<Side> {
            Ok(match v {
                ColumnarValue::Array(a) => (Arc::clone(a), 1),
                ColumnarValue::Scalar(s) => (s.to_array()?, 0),
            })
        };
        let (mut moment, mut interval) = (side(left)?, side(right)?);
        if matches!(interval.0.data_type(), DataType::Timestamp(..)) {
            std::mem::swap(&mut moment, &mut interval);
        }
        let names = || {
            let name = |i: usize| match args.args.get(i) {
                Some(ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(_)))) => {
                    "an INTERVAL".into()
                }
                Some(ColumnarValue::Scalar(s)) => s.to_string(),
                _ => args.arg_fields.get(i).map_or("?".into(), |f| f.name().clone()),
            };
            format!("{} {} {}", name(0), if self.subtract { '-' } else { '+' }, name(1))
        };
        let moved = moved(self.subtract, &moment, &interval, rows, args.return_field.data_type(), &names)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?));
        }
        Ok(ColumnarValue::Array(moved))
    }
    fn output_ordering(&self, _: &[ExprProperties]) -> datafusion_common::Result<SortProperties> {
        Ok(SortProperties::Unordered)
    }
}

/// Values, and by how much a row goes on in them.
type Side = (ArrayRef, usize);

fn moved(
    subtract: bool,
    moment: &Side,
    interval: &Side,
    rows: usize,
    returns: &DataType,
    names: &dyn Fn() -> String,
) -> Result<ArrayRef> {
    let missing = |side: &Side| side.1 == 0 && side.0.is_null(0);
    if missing(moment) || missing(interval) {
        return Ok(new_null_array(returns, rows));
    }
    let interval = (arrow::compute::cast(&interval.0, &SPAN)?, interval.1);
    let out_of_range = || {
        let shown = SqlType::from_arrow(returns).map_or_else(|| returns.to_string(), |t| t.to_string());
        Error::execution(format!("{} is out of range of {shown}", names()))
    };
    let spans: &IntervalMonthDayNanoArray = interval.0.as_primitive();
    let DataType::Timestamp(unit, zone) = returns else {
        let other: &IntervalMonthDayNanoArray = moment.0.as_primitive();
        return sums(subtract, (other, moment.1), (spans, interval.1), rows, &out_of_range);
    };
    let times = arrow::compute::cast(&moment.0, &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let plain = interval.1 == 0 && spans.value(0).months == 0;
    let amount = if plain { whole_ticks(spans.value(0), *unit, subtract) } else { None };
    let values: PrimitiveArray<Int64Type> = match amount {
        Some(amount) if moment.1 == 1 => {
            let mut wrapped = false;
            let values: Vec<i64> = times
                .values()
                .iter()
                .map(|t| {
                    let (moved, over) = t.overflowing_add(amount);
                    wrapped |= over;
                    moved
                })
                .collect();
            // What is below a NULL may wrap.
            let valid = |row: &usize| times.is_valid(*row);
            if wrapped && (0..rows).filter(valid).any(|row| times.value(row).checked_add(amount).is_none()) {
                return Err(out_of_range());
            }
            PrimitiveArray::new(values.into(), times.nulls().cloned())
        }
        _ => {
            let mut builder = PrimitiveArray::<Int64Type>::builder(rows);
            for row in 0..rows {
                let (i, j) = (row * moment.1, row * interval.1);
                if times.is_null(i) || spans.is_null(j) {
                    builder.append_null();
                    continue;
                }
                let moved = one(times.value(i), *unit, spans.value(j), subtract);
                builder.append_value(moved.ok_or_else(out_of_range)?);
            }
            builder.finish()
        }
    };
    let (_, values, nulls) = values.into_parts();
    let zone = zone.clone();
    Ok(match unit {
        TimeUnit::Second => Arc::new(TimestampSecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Millisecond => {
            Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone))
        }
    })
}

fn nanos_of(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Days and time in ticks of a unit, rounded down.
fn whole_ticks(v: IntervalMonthDayNano, unit: TimeUnit, subtract: bool) -> Option<i64> {
    let nanos = i128::from(v.days) * DAY + i128::from(v.nanoseconds);
    let nanos = if subtract { -nanos } else { nanos };
    i64::try_from(nanos.div_euclid(nanos_of(unit))).ok()
}

/// One moment, moved. Months first: of the calendar, in UTC or as the local time stands.
fn one(time: i64, unit: TimeUnit, v: IntervalMonthDayNano, subtract: bool) -> Option<i64> {
    let mut time = time;
    if v.months != 0 {
        let date = from_ticks(time, unit).ok()?;
        let months = Months::new(v.months.unsigned_abs());
        let moved = match (v.months < 0) != subtract {
            true => date.checked_sub_months(months),
            false => date.checked_add_months(months),
        };
        time = ticks(moved?, unit)?;
    }
    time.checked_add(whole_ticks(v, unit, subtract)?)
}

/// Intervals and intervals.
fn sums(
    subtract: bool,
    left: (&IntervalMonthDayNanoArray, usize),
    right: (&IntervalMonthDayNanoArray, usize),
    rows: usize,
    out_of_range: &dyn Fn() -> Error,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveArray::<IntervalMonthDayNanoType>::builder(rows);
    for row in 0..rows {
        let (i, j) = (row * left.1, row * right.1);
        if left.0.is_null(i) || right.0.is_null(j) {
            builder.append_null();
            continue;
        }
        let (a, b) = (left.0.value(i), right.0.value(j));
        let sum = |a: i128, b: i128| if subtract { a - b } else { a + b };
        let nanos = |v: IntervalMonthDayNano| i128::from(v.days) * DAY + i128::from(v.nanoseconds);
        let total = sum(nanos(a), nanos(b));
        let months = i32::try_from(sum(i128::from(a.months), i128::from(b.months)));
        match (months, i32::try_from(total / DAY)) {
            (Ok(months), Ok(days)) => {
                builder.append_value(IntervalMonthDayNano::new(months, days, (total % DAY) as i64));
            }
            _ => return Err(out_of_range()),
        }
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn span(months: i32, days: i32, nanos: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, nanos)
    }

    #[test]
    fn days_are_exact_and_months_are_of_the_calendar() {
        let second = 1_000_000_000;
        // 30 March 2024, 01:30 UTC: 02:30 in Berlin, an hour that the next day does not have.
        let at = 1_711_762_200_000;
        let ms = TimeUnit::Millisecond;
        assert_eq!(one(at, ms, span(0, 1, 0), false), Some(at + 86_400_000));
        assert_eq!(one(at, ms, span(0, 0, 86_400 * second), true), Some(at - 86_400_000));
        assert_eq!(one(at, ms, span(1, 0, 0), false), Some(1_714_440_600_000));
        // The 31st of January and a month.
        assert_eq!(one(1_706_659_200_000, ms, span(1, 0, 0), false), Some(1_709_164_800_000));
        assert_eq!(one(5, TimeUnit::Second, span(0, 0, 3 * second / 2), true), Some(3));
        assert_eq!(one(i64::MAX, ms, span(0, 1, 0), false), None);
        assert_eq!(one(i64::MAX, ms, span(1, 0, 0), false), None);
    }

    #[test]
    fn intervals_of_one_length_are_one_value() {
        let hour = 3_600_000_000_000;
        assert_eq!(canonical(span(0, 0, 24 * hour)), span(0, 1, 0));
        assert_eq!(canonical(span(0, 2, -hour)), span(0, 1, 23 * hour));
        assert_eq!(canonical(span(0, 0, -25 * hour)), span(0, -1, -hour));
        assert!(canonical(span(0, 0, 23 * hour)) < canonical(span(0, 1, 0)));
    }

    #[test]
    fn operands_below_a_null_are_not_evaluated() {
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::new(
            vec![i64::MAX, 7].into(),
            Some(vec![false, true].into()),
        ));
        let interval: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![span(0, 0, 2_000_000)]));
        let type_of = times.data_type().clone();
        let names = || String::new();
        let got = moved(false, &(times, 1), &(interval.clone(), 0), 2, &type_of, &names).unwrap();
        let expected: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![None, Some(9)]));
        assert_eq!(&got, &expected);
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX, 7]));
        let error = moved(false, &(times, 1), &(interval, 0), 2, &type_of, &names).unwrap_err();
        assert!(error.to_string().contains("out of range of TIMESTAMP(3)"), "{error}");
    }
}
