//! Parts, rounding and arithmetic of dates and times.
//!
//! Units come as the first or last argument, as constant text: [`super::syntax::rewrite_ast`] makes text of the
//! bare words that SQL has there.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::moment::{Moments, ticks_or_error, to_utc};
use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use crate::error::{Error, Result};

use Kind::{Int, Moment, MomentOrInterval, Text};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY: i128 = 86_400_000_000_000;

macro_rules! parts {
    ($($name:literal => $unit:ident),*) => {
        [$(define(&[$name], &[Moment], Returns::Long, |c| part_of(c, 0, Unit::$unit))),*]
    };
}

static PARTS: [Definition; 10] = parts!("YEAR" => Year, "QUARTER" => Quarter, "MONTH" => Month, "WEEK" => Week,
    "DAYOFYEAR" => DayOfYear, "DAYOFMONTH" => Day, "DAYOFWEEK" => DayOfWeek, "HOUR" => Hour, "MINUTE" => Minute,
    "SECOND" => Second);

static OTHERS: &[Definition] = &[
    define(&["EXTRACT"], &[Text, MomentOrInterval], Returns::Long, |c| {
        let Some(unit) = unit(c, 0)? else { return Ok(c.nulls()) };
        match c.kind(1) {
            DataType::Interval(_) => part_of_interval(c, 1, unit),
            _ => part_of(c, 1, unit),
        }
    }),
    // `(a - b) DAY TO SECOND`
    define(&["$INTERVAL_BETWEEN"], &[Moment, Moment], Returns::With(|_| Ok(INTERVAL)), between),
    define(&["$FLOOR_TO"], &[Moment, Text], Returns::With(stored_type), |c| rounded(c, false)),
    define(&["$CEIL_TO"], &[Moment, Text], Returns::With(stored_type), |c| rounded(c, true)),
    define(&["TIMESTAMPADD"], &[Text, Int, Moment], Returns::With(added_type), add),
    define(&["TIMESTAMPDIFF"], &[Text, Moment, Moment], Returns::Int, difference),
];

pub(crate) fn functions() -> impl Iterator<Item = &'static Definition> {
    PARTS.iter().chain(OTHERS)
}

/// A unit of time or a part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

impl Unit {
    fn parse(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let name = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
        Some(match name {
            "MILLENNIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "QUARTER" => Self::Quarter,
            "MONTH" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" => Self::Day,
            "DOW" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "DOY" => Self::DayOfYear,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            "MILLISECOND" => Self::Millisecond,
            "MICROSECOND" => Self::Microsecond,
            "NANOSECOND" => Self::Nanosecond,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    fn months(self) -> Option<i64> {
        Some(match self {
            Self::Millennium => 12_000,
            Self::Century => 1_200,
            Self::Decade => 120,
            Self::Year => 12,
            Self::Quarter => 3,
            Self::Month => 1,
            _ => return None,
        })
    }

    fn nanos(self) -> Option<i64> {
        const SECOND: i64 = 1_000_000_000;
        Some(match self {
            Self::Week => 7 * 86_400 * SECOND,
            Self::Day => 86_400 * SECOND,
            Self::Hour => 3_600 * SECOND,
            Self::Minute => 60 * SECOND,
            Self::Second => SECOND,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
            Self::Nanosecond => 1,
            _ => return None,
        })
    }
}

fn unknown_unit(name: &str, text: &str) -> Error {
    Error::plan(format!("{name} does not know the unit '{text}'"))
        .with_hint("use YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND or MILLISECOND")
}

/// The constant unit of a call.
fn unit(c: &Call<'_>, i: usize) -> Result<Option<Unit>> {
    match c.constant_text(i)? {
        Some(text) => Unit::parse(text).map(Some).ok_or_else(|| unknown_unit(c.name(), text)),
        None => Ok(None),
    }
}

fn part_of(c: &Call<'_>, argument: usize, unit: Unit) -> Result<ArrayRef> {
    let moments = Moments::new(c, argument)?;
    let time_of_day = matches!(c.kind(argument), DataType::Time32(_));
    if time_of_day && (unit.months().is_some() || matches!(unit, Unit::Week | Unit::Day)) {
        return Err(Error::plan("a TIME has no date"));
    }
    c.numbers::<Int64Type>(|row| {
        if unit == Unit::Epoch {
            return Ok(moments.stored(row)?.map(|t| t.and_utc().timestamp()));
        }
        Ok(moments.local(row)?.map(|t| part(t, unit)))
    })
}

/// A part of an interval: of its months, or of its days and seconds.
fn part_of_interval(c: &Call<'_>, argument: usize, unit: Unit) -> Result<ArrayRef> {
    let arg = c.args.get(argument).ok_or_else(|| Error::internal("a missing argument"))?;
    if let DataType::Interval(IntervalUnit::YearMonth) = arg.array.data_type() {
        let months = arg.array.as_primitive::<IntervalYearMonthType>();
        return c.numbers::<Int64Type>(|row| {
            let i = row * arg.step;
            let months = some!((!months.is_null(i)).then(|| i64::from(months.value(i))));
            Ok(Some(match unit {
                Unit::Millennium => months / 12_000,
                Unit::Century => months / 1_200,
                Unit::Decade => months / 120,
                Unit::Year => months / 12,
                Unit::Quarter => months % 12 / 3 + 1,
                Unit::Month => months % 12,
                _ => return Err(Error::plan("an interval of years and months has no such part")),
            }))
        });
    }
    let intervals = arg.array.as_primitive::<IntervalMonthDayNanoType>();
    c.numbers::<Int64Type>(|row| {
        let i = row * arg.step;
        let v = some!((!intervals.is_null(i)).then(|| intervals.value(i)));
        let nanos = i128::from(v.days) * DAY + i128::from(v.nanoseconds);
        let (length, most) = match unit {
            Unit::Epoch => (1_000_000_000, i128::MAX),
            Unit::Day => (DAY, i128::MAX),
            Unit::Hour => (DAY / 24, 24),
            Unit::Minute => (60_000_000_000, 60),
            Unit::Second => (1_000_000_000, 60),
            Unit::Millisecond => (1_000_000, 1_000),
            Unit::Microsecond => (1_000, 1_000_000),
            Unit::Nanosecond => (1, 1_000_000_000),
            _ => return Err(Error::plan("an interval of days and seconds has no such part")),
        };
        i64::try_from(nanos / length % most).map(Some).map_err(|_| out_of_range("EXTRACT"))
    })
}

/// A moment without what is finer than a millisecond, as Flink takes differences.
fn millis(t: NaiveDateTime) -> NaiveDateTime {
    t.with_nanosecond(t.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(t)
}

/// The time from the second moment to the first.
fn between(c: &Call<'_>) -> Result<ArrayRef> {
    let (to, from) = (Moments::new(c, 0)?, Moments::new(c, 1)?);
    c.numbers::<IntervalMonthDayNanoType>(|row| {
        let (a, b) = match from.zone().is_some() && to.zone().is_some() {
            true => (some!(from.stored(row)?), some!(to.stored(row)?)),
            false => (some!(from.local(row)?), some!(to.local(row)?)),
        };
        let difference = millis(b) - millis(a);
        let nanos =
            i128::from(difference.num_seconds()) * 1_000_000_000 + i128::from(difference.subsec_nanos());
        let days = i32::try_from(nanos / DAY).map_err(|_| out_of_range("the difference"))?;
        Ok(Some(IntervalMonthDayNano::new(0, days, (nanos % DAY) as i64)))
    })
}

fn part(t: NaiveDateTime, unit: Unit) -> i64 {
    let year = i64::from(t.year());
    let nano = i64::from(t.nanosecond());
    match unit {
        Unit::Millennium => (year - 1).div_euclid(1000) + 1,
        Unit::Century => (year - 1).div_euclid(100) + 1,
        Unit::Decade => year.div_euclid(10),
        Unit::Year => year,
        Unit::IsoYear => i64::from(t.iso_week().year()),
        Unit::Quarter => i64::from(t.month0() / 3 + 1),
        Unit::Month => i64::from(t.month()),
        Unit::Week => i64::from(t.iso_week().week()),
        Unit::Day => i64::from(t.day()),
        Unit::DayOfWeek => i64::from(t.weekday().num_days_from_sunday()) + 1,
        Unit::IsoDayOfWeek => i64::from(t.weekday().number_from_monday()),
        Unit::DayOfYear => i64::from(t.ordinal()),
        Unit::Hour => i64::from(t.hour()),
        Unit::Minute => i64::from(t.minute()),
        Unit::Second => i64::from(t.second()),
        Unit::Millisecond => nano / 1_000_000,
        Unit::Microsecond => nano / 1_000,
        Unit::Nanosecond => nano,
        Unit::Epoch => t.and_utc().timestamp(),
    }
}

/// Text is read as TIMESTAMP(3).
fn stored_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(match &t.types[0] {
        t if t.is_string() => DataType::Timestamp(TimeUnit::Millisecond, None),
        other => other.clone(),
    })
}

fn out_of_range(name: &str) -> Error {
    Error::execution(format!("the result of {name} is out of range"))
}

/// Stores moments in the result's type: instants for TIMESTAMP_LTZ, local times for the rest.
pub(crate) fn store(c: &Call<'_>, f: impl FnMut(usize) -> Result<Option<NaiveDateTime>>) -> Result<ArrayRef> {
    fn stamps<T: ArrowPrimitiveType<Native = i64>>(
        c: &Call<'_>,
        unit: TimeUnit,
        mut f: impl FnMut(usize) -> Result<Option<NaiveDateTime>>,
    ) -> Result<ArrayRef> {
        c.numbers::<T>(|row| f(row)?.map(|t| ticks_or_error(t, unit)).transpose())
    }
    let mut f = f;
    match c.returns {
        DataType::Timestamp(unit @ TimeUnit::Second, _) => stamps::<TimestampSecondType>(c, *unit, f),
        DataType::Timestamp(unit @ TimeUnit::Millisecond, _) => {
            stamps::<TimestampMillisecondType>(c, *unit, f)
        }
        DataType::Timestamp(unit @ TimeUnit::Microsecond, _) => {
            stamps::<TimestampMicrosecondType>(c, *unit, f)
        }
        DataType::Timestamp(unit @ TimeUnit::Nanosecond, _) => stamps::<TimestampNanosecondType>(c, *unit, f),
        DataType::Date32 => c.numbers::<Date32Type>(|row| Ok(f(row)?.map(|t| t.date().to_epoch_days()))),
        DataType::Time32(_) => c.numbers::<Time32MillisecondType>(|row| {
            Ok(f(row)?.map(|t| {
                (t.num_seconds_from_midnight() * 1000 + t.nanosecond() % 1_000_000_000 / 1_000_000) as i32
            }))
        }),
        other => Err(Error::internal(format!("{other} is no moment"))),
    }
}

fn rounded(c: &Call<'_>, up: bool) -> Result<ArrayRef> {
    let Some(unit) = unit(c, 1)? else { return Ok(c.nulls()) };
    if unit.months().is_none() && unit.nanos().is_none() {
        return Err(Error::plan("this part of a date cannot be rounded to"));
    }
    let name = if up { "CEIL" } else { "FLOOR" };
    let moments = Moments::new(c, 0)?;
    store(c, |row| {
        let t = some!(moments.local(row)?);
        let down = floor(t, unit).ok_or_else(|| out_of_range(name))?;
        let result =
            if up && down != t { add_local(down, unit, 1).ok_or_else(|| out_of_range(name))? } else { down };
        Ok(Some(match moments.zone() {
            Some(zone) => to_utc(zone, result),
            None => result,
        }))
    })
}

fn floor(t: NaiveDateTime, unit: Unit) -> Option<NaiveDateTime> {
    if let Some(months) = unit.months() {
        let years = months / 12;
        let date = if years > 0 {
            // Centuries and millennia begin in the year 1.
            let first = i64::from(years >= 100);
            let year = (i64::from(t.year()) - first).div_euclid(years) * years + first;
            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, 1, 1)
        } else {
            NaiveDate::from_ymd_opt(t.year(), t.month0() / months as u32 * months as u32 + 1, 1)
        };
        return Some(date?.and_time(NaiveTime::MIN));
    }
    let midnight = t.date().and_time(NaiveTime::MIN);
    match unit {
        // Calcite's weeks begin on Sunday here, unlike EXTRACT's.
        Unit::Week => midnight.checked_sub_days(Days::new(u64::from(t.weekday().num_days_from_sunday()))),
        _ => {
            let nanos = (t - midnight).num_nanoseconds()?;
            midnight.checked_add_signed(TimeDelta::nanoseconds(nanos - nanos % unit.nanos()?))
        }
    }
}

/// Adds to a local time.
fn add_local(t: NaiveDateTime, unit: Unit, n: i64) -> Option<NaiveDateTime> {
    if let Some(months) = unit.months() {
        let months = months.checked_mul(n)?;
        let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        return if months < 0 { t.checked_sub_months(count) } else { t.checked_add_months(count) };
    }
    let nanos = i128::from(unit.nanos()?) * i128::from(n);
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    t.checked_add_signed(TimeDelta::new(i64::try_from(seconds).ok()?, rest as u32)?)
}

fn added_type(t: &Typing<'_>) -> Result<DataType> {
    let date_unit = match t.text(0) {
        Some(text) => {
            let unit = Unit::parse(text).ok_or_else(|| unknown_unit("TIMESTAMPADD", text))?;
            unit.months().is_some() || matches!(unit, Unit::Day | Unit::Week)
        }
        None => true,
    };
    Ok(match &t.types[2] {
        DataType::Date32 if !date_unit => DataType::Timestamp(TimeUnit::Microsecond, None),
        t if t.is_string() => DataType::Timestamp(TimeUnit::Millisecond, None),
        other => other.clone(),
    })
}

fn add(c: &Call<'_>) -> Result<ArrayRef> {
    let Some(unit) = unit(c, 0)? else { return Ok(c.nulls()) };
    let (n, moments) = (c.int(1)?, Moments::new(c, 2)?);
    store(c, |row| {
        let (n, t) = (some!(n.get(row)), some!(moments.stored(row)?));
        // Of an instant months are those of UTC, as everywhere (see `shift`).
        add_local(t, unit, n).map(Some).ok_or_else(|| out_of_range("TIMESTAMPADD"))
    })
}

fn difference(c: &Call<'_>) -> Result<ArrayRef> {
    let Some(unit) = unit(c, 0)? else { return Ok(c.nulls()) };
    let (from, to) = (Moments::new(c, 1)?, Moments::new(c, 2)?);
    c.numbers::<Int32Type>(|row| {
        let value = match unit.months() {
            Some(months) => {
                let (a, b) = (some!(from.local(row)?), some!(to.local(row)?));
                whole_months(a, b) / months
            }
            None => {
                let (a, b) = if from.zone().is_some() && to.zone().is_some() {
                    (some!(from.stored(row)?), some!(to.stored(row)?))
                } else {
                    (some!(from.local(row)?), some!(to.local(row)?))
                };
                let Some(length) = unit.nanos() else {
                    return Err(Error::plan("TIMESTAMPDIFF does not count this part of a date"));
                };
                let difference = millis(b) - millis(a);
                let nanos = i128::from(difference.num_seconds()) * 1_000_000_000
                    + i128::from(difference.subsec_nanos());
                i64::try_from(nanos / i128::from(length)).map_err(|_| out_of_range("TIMESTAMPDIFF"))?
            }
        };
        i32::try_from(value).map(Some).map_err(|_| out_of_range("TIMESTAMPDIFF"))
    })
}

/// Months that fit between two moments, counted from the earlier one.
fn whole_months(a: NaiveDateTime, b: NaiveDateTime) -> i64 {
    if a > b {
        return -whole_months(b, a);
    }
    let months =
        (i64::from(b.year()) - i64::from(a.year())) * 12 + i64::from(b.month()) - i64::from(a.month());
    match add_local(a, Unit::Month, months) {
        Some(reached) if reached <= b => months,
        _ => months - 1,
    }
}
