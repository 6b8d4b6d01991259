//! Moments: reading DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ and text as local date and time, and back.
//!
//! A TIMESTAMP_LTZ is an instant; everything that speaks of days, hours or months does so in the zone of
//! its type. A local time that does not exist (the clock was put forward) moves forward by the gap; one
//! that exists twice is the earlier instant. That is what `java.time` does and so does Flink.

use std::borrow::Cow;
use std::str::FromStr;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, Time32MillisecondArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, Time32MillisecondType, TimeUnit};
use chrono::{
    DateTime, Days, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
};

use super::pattern::clamped;
use super::scalar::Call;
use crate::error::{Error, Result};

/// Zones by the short names that Java has for them.
const SHORT: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// The zone of a name or offset.
pub(crate) fn zone(name: &str) -> Result<Tz> {
    let name = match name {
        "Z" => "UTC",
        // Java writes fixed offsets as GMT+08:00 as well.
        name if name.len() > 3 && (name.starts_with("GMT") || name.starts_with("UTC")) => &name[3..],
        name => name,
    };
    let short;
    let name = match name.strip_prefix(['+', '-']) {
        Some(hours) if hours.len() == 1 => {
            short = format!("{}0{hours}:00", &name[..1]);
            &short
        }
        _ => name,
    };
    let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, name)| name);
    Tz::from_str(name).map_err(|_| {
        Error::execution(format!("time zone '{name}' is not known"))
            .with_hint("use an IANA name such as Europe/Berlin or an offset such as +08:00")
    })
}

/// The offset of a zone at an instant.
pub(crate) fn offset_at(zone: &Tz, utc: &NaiveDateTime) -> FixedOffset {
    zone.offset_from_utc_datetime(utc).fix()
}

/// Local time of an instant.
pub(crate) fn to_local(zone: &Tz, utc: NaiveDateTime) -> NaiveDateTime {
    utc.checked_add_offset(offset_at(zone, &utc)).unwrap_or(utc)
}

/// The instant of a local time; `later` decides among two.
fn resolve(zone: &Tz, local: NaiveDateTime, later: bool) -> NaiveDateTime {
    let offset = match zone.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) => offset.fix(),
        MappedLocalTime::Ambiguous(a, b) => {
            // The earlier instant is the one with the greater offset.
            let (a, b) = (a.fix(), b.fix());
            let first = if a.local_minus_utc() >= b.local_minus_utc() { a } else { b };
            let second = if first == a { b } else { a };
            if later { second } else { first }
        }
        MappedLocalTime::None => {
            let before = local.checked_sub_days(Days::new(1)).unwrap_or(local);
            offset_at(zone, &before)
        }
    };
    local.checked_sub_offset(offset).unwrap_or(local)
}

/// The instant of a local time, the earlier of two.
pub(crate) fn to_utc(zone: &Tz, local: NaiveDateTime) -> NaiveDateTime {
    resolve(zone, local, false)
}

/// The instant of a local time, the later of two: what `java.util.TimeZone` answers.
pub(crate) fn to_utc_late(zone: &Tz, local: NaiveDateTime) -> NaiveDateTime {
    resolve(zone, local, true)
}

/// Ticks of a unit since 1970, rounded down; `None` out of range.
pub(crate) fn ticks(t: NaiveDateTime, unit: TimeUnit) -> Option<i64> {
    let t = t.and_utc();
    match unit {
        TimeUnit::Second => Some(t.timestamp()),
        TimeUnit::Millisecond => Some(t.timestamp_millis()),
        TimeUnit::Microsecond => Some(t.timestamp_micros()),
        TimeUnit::Nanosecond => t.timestamp_nanos_opt(),
    }
}

/// Ticks, or an error that says that the moment is out of range.
pub(crate) fn ticks_or_error(t: NaiveDateTime, unit: TimeUnit) -> Result<i64> {
    ticks(t, unit).ok_or_else(|| {
        Error::execution("the timestamp is out of range")
            .with_detail(format!("{t} does not fit into nanoseconds"))
    })
}

/// The date and time of ticks.
pub(crate) fn from_ticks(v: i64, unit: TimeUnit) -> Result<NaiveDateTime> {
    let t = match unit {
        TimeUnit::Second => DateTime::from_timestamp(v, 0),
        TimeUnit::Millisecond => DateTime::from_timestamp_millis(v),
        TimeUnit::Microsecond => DateTime::from_timestamp_micros(v),
        TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(v)),
    };
    t.map(|t| t.naive_utc())
        .ok_or_else(|| Error::execution("the timestamp is out of range").with_detail(v.to_string()))
}

/// The date of days since 1970.
pub(crate) fn from_days(days: i32) -> Result<NaiveDate> {
    NaiveDate::from_epoch_days(days).ok_or_else(|| {
        Error::execution("the date is out of range").with_detail(format!("{days} days since 1970"))
    })
}

/// Reads `yyyy-[M]M-[d]d[ HH:mm:ss[.fraction]]`, the form of Flink's casts; `None` for anything else.
pub(crate) fn read_timestamp(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = read_whole_date(date)?;
    let time = match time {
        None => NaiveTime::MIN,
        Some(time) => {
            if time.bytes().filter(|b| *b == b':').count() != 2 {
                return None;
            }
            if time == "24:00:00" {
                return date.checked_add_days(Days::new(1)).map(|d| d.and_time(NaiveTime::MIN));
            }
            read_time(time)?
        }
    };
    Some(date.and_time(time))
}

fn small(text: &str, most: usize) -> Option<u32> {
    if text.is_empty() || text.len() > most || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn read_whole_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next().filter(|y| y.len() == 4)?;
    let (month, day) = (parts.next()?, parts.next()?);
    clamped(small(year, 4)? as i32, small(month, 2)?, small(day, 2)?)
}

/// Reads a date: `yyyy`, `yyyy-M`, `yyyy-M-d`, with anything behind a space.
pub(crate) fn read_date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let text = text.split_once(' ').map_or(text, |(date, _)| date);
    let mut parts = text.splitn(3, '-');
    let year = small(parts.next()?, 4)? as i32;
    let month = parts.next().map_or(Some(1), |m| small(m, 2))?;
    let day = parts.next().map_or(Some(1), |d| small(d, 2))?;
    NaiveDate::from_ymd_opt(year, month, day)
}

/// Reads a time of day: `H`, `H:m`, `H:m:s`, `H:m:s.fraction`.
pub(crate) fn read_time(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = match text.trim().split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text.trim(), ""),
    };
    // A fraction belongs to seconds.
    if text.contains('.') && clock.bytes().filter(|b| *b == b':').count() != 2 {
        return None;
    }
    let mut parts = clock.splitn(3, ':');
    let hour = small(parts.next()?, 2)?;
    let minute = parts.next().map_or(Some(0), |m| small(m, 2))?;
    let second = parts.next().map_or(Some(0), |s| small(s, 2))?;
    let nano = if fraction.is_empty() {
        0
    } else {
        let kept = &fraction[..fraction.len().min(9)];
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        kept.parse::<u32>().ok()? * 10_u32.pow(9 - kept.len() as u32)
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second, nano)
}

enum Source<'a> {
    Date(&'a arrow::array::Date32Array),
    Time(&'a Time32MillisecondArray),
    Stamp(ArrayRef, TimeUnit, Option<Tz>),
    Text(&'a StringViewArray),
}

/// An argument of kind `Moment`.
pub(crate) struct Moments<'a> {
    source: Source<'a>,
    step: usize,
}

impl<'a> Moments<'a> {
    pub fn new(c: &'a Call<'_>, i: usize) -> Result<Self> {
        let arg = c.args.get(i).ok_or_else(|| Error::internal("a missing argument"))?;
        Self::of(&arg.array, arg.step)
    }

    pub fn of(array: &'a ArrayRef, step: usize) -> Result<Self> {
        let source = match array.data_type() {
            DataType::Date32 => Source::Date(array.as_primitive::<Date32Type>()),
            DataType::Time32(TimeUnit::Millisecond) => {
                Source::Time(array.as_primitive::<Time32MillisecondType>())
            }
            DataType::Utf8View => Source::Text(array.as_string_view()),
            DataType::Timestamp(unit, name) => {
                let zone = name.as_deref().map(zone).transpose()?;
                Source::Stamp(arrow::compute::cast(array, &DataType::Int64)?, *unit, zone)
            }
            other => return Err(Error::internal(format!("{other} is no moment"))),
        };
        Ok(Self { source, step })
    }

    /// The zone of a TIMESTAMP_LTZ.
    pub fn zone(&self) -> Option<&Tz> {
        match &self.source {
            Source::Stamp(_, _, zone) => zone.as_ref(),
            _ => None,
        }
    }

    /// As it is stored: an instant for TIMESTAMP_LTZ, a local time for the rest. Text of another form is NULL.
    pub fn stored(&self, row: usize) -> Result<Option<NaiveDateTime>> {
        let i = row * self.step;
        let present = |a: &dyn Array| !a.is_null(i);
        Ok(match &self.source {
            Source::Date(a) if present(a) => Some(from_days(a.value(i))?.and_time(NaiveTime::MIN)),
            Source::Time(a) if present(a) => Some(from_ticks(i64::from(a.value(i)), TimeUnit::Millisecond)?),
            Source::Stamp(a, unit, _) if present(a) => {
                Some(from_ticks(a.as_primitive::<Int64Type>().value(i), *unit)?)
            }
            Source::Text(a) if present(a) => read_timestamp(a.value(i)),
            _ => None,
        })
    }

    /// Local date and time.
    pub fn local(&self, row: usize) -> Result<Option<NaiveDateTime>> {
        let stored = self.stored(row)?;
        Ok(match self.zone() {
            Some(zone) => stored.map(|t| to_local(zone, t)),
            None => stored,
        })
    }
}

/// The name under which a zone is shown.
pub(crate) fn shown(zone: &str) -> Cow<'_, str> {
    if zone == "Z" { Cow::Borrowed("UTC") } else { Cow::Borrowed(zone) }
}
