//! Event times of rows, in milliseconds since the epoch.

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, LocalResult, TimeDelta, TimeZone};

use crate::error::{Error, Result};

/// The times of a column; `of` names the operator that cannot do without them.
pub(super) fn millis(column: &ArrayRef, of: &str) -> Result<Vec<i64>> {
    if column.null_count() > 0 {
        return Err(Error::execution(format!("the event time of {of} is NULL"))
            .with_detail(format!("{} of {} rows have no event time", column.null_count(), column.len()))
            .with_hint("filter such rows out with WHERE ... IS NOT NULL"));
    }
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(Error::internal("an event time that is not a timestamp reached the runtime"));
    };
    Ok(match unit {
        TimeUnit::Second => {
            let values = column.as_primitive::<TimestampSecondType>().values();
            values.iter().map(|s| s.saturating_mul(1000)).collect()
        }
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values().to_vec(),
        TimeUnit::Microsecond => {
            let values = column.as_primitive::<TimestampMicrosecondType>().values();
            values.iter().map(|us| us.div_euclid(1000)).collect()
        }
        TimeUnit::Nanosecond => {
            let values = column.as_primitive::<TimestampNanosecondType>().values();
            values.iter().map(|ns| ns.div_euclid(1_000_000)).collect()
        }
    })
}

/// The instant at which clocks of a zone show a local time (milliseconds as if it were UTC). Of two, the
/// later one; where clocks skip it, the instant at which they do.
pub(super) fn instant_of_local(local: i64, zone: Tz) -> i64 {
    let Some(naive) = DateTime::from_timestamp_millis(local).map(|t| t.naive_utc()) else { return local };
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(t) => t.timestamp_millis(),
        LocalResult::Ambiguous(_, later) => later.timestamp_millis(),
        LocalResult::None => {
            // Clocks were put forward: what they showed before still tells the distance to UTC.
            let before = naive.checked_sub_signed(TimeDelta::days(1));
            match before.map(|b| zone.from_local_datetime(&b)) {
                Some(LocalResult::Single(t) | LocalResult::Ambiguous(_, t)) => {
                    t.timestamp_millis().saturating_add(86_400_000)
                }
                _ => local,
            }
        }
    }
}
