//! The current time, and text and numbers as times.
//!
//! Functions of the current time ask the session's clock once per batch and are volatile, so that no
//! optimizer folds them to the moment of planning. Text that has not the expected form gives NULL here,
//! as in Flink (CAST fails instead).

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use chrono::{FixedOffset, NaiveDateTime, Timelike};

use super::TIME_METADATA_KEY;
use super::moment::{
    Moments, from_ticks, offset_at, read_date, read_timestamp, shown, ticks_or_error, to_local, to_utc,
    to_utc_late, zone,
};
use super::pattern::{self, Pattern, translated};
use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use super::temporal::store;
use crate::error::{Error, Result};

use Kind::{Int, Moment, Text, TextOrNumber};

const STAMP: Returns = Returns::With(|_| Ok(DataType::Timestamp(TimeUnit::Millisecond, None)));
const LTZ: Returns = Returns::With(local_zoned);
const TIME: Returns = Returns::With(|_| Ok(DataType::Time32(TimeUnit::Millisecond)));

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["CURRENT_TIMESTAMP", "NOW", "CURRENT_ROW_TIMESTAMP"], &[], LTZ, instant).volatile(),
    define(&["PROCTIME"], &[], LTZ, instant).volatile().metadata(TIME_METADATA_KEY, "proctime"),
    // The planner puts an operator in its place: only a task knows the watermark.
    define(&["CURRENT_WATERMARK"], &[Moment], Returns::First, |_| {
        Err(Error::unsupported("CURRENT_WATERMARK is used where no watermark is known")
            .with_hint("use it in SELECT or WHERE of a query on a table with a WATERMARK"))
    })
    .volatile(),
    define(&["LOCALTIMESTAMP"], &[], STAMP, |c| {
        let now = now(c)?;
        c.numbers::<TimestampMillisecondType>(|_| Ok(Some(now.and_utc().timestamp_millis())))
    })
    .volatile(),
    define(&["CURRENT_DATE"], &[], Returns::Date, |c| {
        let now = now(c)?;
        c.numbers::<Date32Type>(|_| Ok(Some(now.date().to_epoch_days())))
    })
    .volatile(),
    define(&["CURRENT_TIME", "LOCALTIME"], &[], TIME, |c| {
        let now = now(c)?;
        // TIME(0): whole seconds.
        c.numbers::<Time32MillisecondType>(|_| Ok(Some(now.num_seconds_from_midnight() as i32 * 1000)))
    })
    .volatile(),
    define(&["UNIX_TIMESTAMP"], &[Text, Text], Returns::Long, unix_timestamp).optional(2),
    define(&["$UNIX_NOW"], &[], Returns::Long, |c| {
        let now = c.context.clock.now_millis().div_euclid(1000);
        c.numbers::<Int64Type>(|_| Ok(Some(now)))
    })
    .volatile(),
    define(&["FROM_UNIXTIME"], &[Int, Text], Returns::Text, from_unixtime).optional(1),
    define(&["DATE_FORMAT"], &[Moment, Text], Returns::Text, date_format),
    define(&["TO_DATE"], &[Text, Text], Returns::Date, to_date).optional(1),
    define(&["TO_TIMESTAMP"], &[Text, Text], STAMP, to_timestamp).optional(1),
    define(
        &["TO_TIMESTAMP_LTZ"],
        &[TextOrNumber, TextOrNumber, Text],
        Returns::With(precise),
        to_timestamp_ltz,
    )
    .optional(2),
    define(&["CONVERT_TZ"], &[Text, Text, Text], Returns::Text, convert_tz),
];

/// The pattern of Flink's functions that are given none.
const STANDARD: &str = "yyyy-MM-dd HH:mm:ss";

fn local_zoned(t: &Typing<'_>) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, t.zone()))
}

/// TIMESTAMP_LTZ of the precision that is written, of milliseconds at least.
fn precise(t: &Typing<'_>) -> Result<DataType> {
    let number = t.types.first().is_some_and(DataType::is_integer);
    let unit = match t.int(1).and_then(|p| u8::try_from(p).ok()) {
        Some(precision @ 4..=9) if number => crate::sql::types::time_unit(precision),
        _ => TimeUnit::Millisecond,
    };
    Ok(DataType::Timestamp(unit, t.zone()))
}

fn instant(c: &Call<'_>) -> Result<ArrayRef> {
    let now = c.context.clock.now_millis();
    c.numbers::<TimestampMillisecondType>(|_| Ok(Some(now)))
}

/// Local time in the session's zone.
fn now(c: &Call<'_>) -> Result<NaiveDateTime> {
    Ok(to_local(&zone(&c.context.zone)?, from_ticks(c.context.clock.now_millis(), TimeUnit::Millisecond)?))
}

fn unix_timestamp(c: &Call<'_>) -> Result<ArrayRef> {
    if !c.has(0) {
        return Err(Error::internal("UNIX_TIMESTAMP() was not rewritten"));
    }
    let (s, zone) = (c.text(0)?, zone(&c.context.zone)?);
    let format = if c.has(1) { Some(c.text(1)?) } else { None };
    c.numbers::<Int64Type>(|row| {
        let s = some!(s.get(row));
        let format = match &format {
            Some(f) => some!(f.get(row)),
            None => STANDARD,
        };
        // What follows is not looked at, as Flink has it; what cannot be read is NULL, and not Long.MIN_VALUE.
        let Some(((t, offset), _)) = translated(format)?.read_start(s) else { return Ok(None) };
        Ok(Some(match offset {
            Some(offset) => t.and_utc().timestamp() - i64::from(offset.local_minus_utc()),
            None => to_utc_late(&zone, t).and_utc().timestamp(),
        }))
    })
}

fn from_unixtime(c: &Call<'_>) -> Result<ArrayRef> {
    let (n, zone) = (c.int(0)?, zone(&c.context.zone)?);
    let format = if c.has(1) { Some(c.text(1)?) } else { None };
    c.texts(|row, out| {
        let n = some!(n.get(row));
        let format = match &format {
            Some(f) => some!(f.get(row)),
            None => STANDARD,
        };
        let utc = from_ticks(n, TimeUnit::Second)?;
        let moment = pattern::Moment {
            local: to_local(&zone, utc),
            zone: Some((&shown(&c.context.zone), offset_at(&zone, &utc))),
        };
        translated(format)?.format(&moment, out).map(Some)
    })
}

fn date_format(c: &Call<'_>) -> Result<ArrayRef> {
    let (moments, format) = (Moments::new(c, 0)?, c.text(1)?);
    let name = match c.kind(0) {
        DataType::Timestamp(_, Some(name)) => shown(name),
        _ => "".into(),
    };
    let constant = match format.constant().then(|| format.get(0)).flatten() {
        Some(f) => Some(translated(f)?),
        None => None,
    };
    c.texts(|row, out| {
        let (stored, format) = (some!(moments.stored(row)?), some!(format.get(row)));
        let moment = match moments.zone() {
            Some(zone) => pattern::Moment {
                local: to_local(zone, stored),
                zone: Some((&name, offset_at(zone, &stored))),
            },
            None => pattern::Moment { local: stored, zone: None },
        };
        match &constant {
            Some(pattern) => pattern.format(&moment, out).map(Some),
            None => translated(format)?.format(&moment, out).map(Some),
        }
    })
}

fn to_date(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    if !c.has(1) {
        return c.numbers::<Date32Type>(|row| Ok(read_date(some!(s.get(row))).map(|d| d.to_epoch_days())));
    }
    let format = c.text(1)?;
    c.numbers::<Date32Type>(|row| {
        let pattern = translated(some!(format.get(row)))?;
        Ok(pattern.read(some!(s.get(row))).map(|(t, _)| t.date().to_epoch_days()))
    })
}

fn to_timestamp(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    if !c.has(1) {
        return store(c, |row| Ok(read_timestamp(some!(s.get(row)))));
    }
    let format = c.text(1)?;
    store(c, |row| {
        let pattern = translated(some!(format.get(row)))?;
        Ok(read(&pattern, some!(s.get(row))).map(|(t, _)| t))
    })
}

/// Reads by a pattern, else in the standard form: Flink falls back so that `2024-1-1` is read by
/// `yyyy-MM-dd` as well.
fn read(pattern: &Pattern, text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    pattern.read(text).or_else(|| read_timestamp(text).map(|t| (t, None)))
}

fn to_timestamp_ltz(c: &Call<'_>) -> Result<ArrayRef> {
    if *c.kind(0) == DataType::Utf8View {
        let s = c.text(0)?;
        // Text without a zone is read in UTC, whatever the session's zone; CAST is what reads local time.
        let utc = zone("UTC")?;
        let format = if c.has(1) { Some(c.text(1)?) } else { None };
        let zones = if c.has(2) { Some(c.text(2)?) } else { None };
        return store(c, |row| {
            let s = some!(s.get(row));
            let read = match &format {
                Some(f) => {
                    let pattern = translated(some!(f.get(row)))?;
                    read(&pattern, s)
                }
                None => read_timestamp(s).map(|t| (t, None)),
            };
            let (t, offset) = some!(read);
            Ok(Some(match (offset, &zones) {
                (Some(offset), _) => t.checked_sub_offset(offset).unwrap_or(t),
                (None, Some(zones)) => to_utc(&zone(some!(zones.get(row)))?, t),
                (None, None) => to_utc(&utc, t),
            }))
        });
    }
    if c.has(2) || (c.has(1) && *c.kind(1) != DataType::Int64) {
        return Err(Error::plan("TO_TIMESTAMP_LTZ of a number takes a precision")
            .with_hint("use TO_TIMESTAMP_LTZ(seconds, 0) or TO_TIMESTAMP_LTZ(milliseconds, 3)"));
    }
    let precision = if c.has(1) { Some(c.int(1)?) } else { None };
    let precision = |row| match &precision {
        Some(p) => p.get(row),
        None => Some(3),
    };
    let scale = |p: i64| match p {
        0..=9 => Ok(10_i128.pow(p as u32)),
        _ => Err(Error::execution("the precision of TO_TIMESTAMP_LTZ must be between 0 and 9")
            .with_detail(format!("got {p}"))),
    };
    let range = || Error::execution("the result of TO_TIMESTAMP_LTZ is out of range");
    let checked = |millis: i64| {
        // Also refuses what no calendar can show.
        ticks_or_error(from_ticks(millis, TimeUnit::Millisecond).map_err(|_| range())?, TimeUnit::Millisecond)
            .map(Some)
    };
    if let DataType::Timestamp(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond), _) = c.returns
        && *c.kind(0) == DataType::Int64
    {
        let n = c.int(0)?;
        let fine = |row: usize, ticks: i128| {
            let (n, p) = (some!(n.get(row)), some!(precision(row)));
            i64::try_from((i128::from(n) * ticks).div_euclid(scale(p)?)).map(Some).map_err(|_| range())
        };
        return match unit {
            TimeUnit::Nanosecond => c.numbers::<TimestampNanosecondType>(|row| fine(row, 1_000_000_000)),
            _ => c.numbers::<TimestampMicrosecondType>(|row| fine(row, 1_000_000)),
        };
    }
    if *c.kind(0) == DataType::Int64 {
        let n = c.int(0)?;
        return c.numbers::<TimestampMillisecondType>(|row| {
            let (n, p) = (some!(n.get(row)), some!(precision(row)));
            if p == 3 {
                return checked(n);
            }
            checked(i64::try_from((i128::from(n) * 1000).div_euclid(scale(p)?)).map_err(|_| range())?)
        });
    }
    let n = c.double(0)?;
    c.numbers::<TimestampMillisecondType>(|row| {
        let (n, p) = (some!(n.get(row)), some!(precision(row)));
        // The fraction of a tick is dropped first.
        let n = n.trunc();
        if !n.is_finite() || n.abs() > 9e18 {
            return Err(range());
        }
        checked(i64::try_from((n as i128 * 1000).div_euclid(scale(p)?)).map_err(|_| range())?)
    })
}

fn convert_tz(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    let pattern = translated(STANDARD)?;
    c.texts(|row, out| {
        let (s, from, to) = (some!(s.get(row)), some!(from.get(row)), some!(to.get(row)));
        let (local, _) = some!(pattern.read(s));
        let utc = to_utc_late(&zone(from)?, local);
        pattern.format(&pattern::Moment { local: to_local(&zone(to)?, utc), zone: None }, out).map(Some)
    })
}
