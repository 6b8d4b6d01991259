//! Event times of a chunk as window time.

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use super::zone::WindowClock;
use super::{WindowMetrics, out_of_range};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// Milliseconds of a timestamp column, rounded down; what stands where it is NULL means nothing.
pub(crate) fn millis(array: &dyn Array) -> Result<ScalarBuffer<i64>> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::internal(format!("windows over a column of type {}", array.data_type())));
    };
    Ok(match unit {
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values().clone(),
        TimeUnit::Second => array
            .as_primitive::<TimestampSecondType>()
            .values()
            .iter()
            .enumerate()
            .map(|(i, &s)| match s.checked_mul(1000) {
                Some(millis) => Ok(millis),
                None if array.is_null(i) => Ok(0),
                None => Err(out_of_range(i64::MAX)),
            })
            .collect::<Result<Vec<i64>>>()?
            .into(),
        TimeUnit::Microsecond => array
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .iter()
            .map(|us| us.div_euclid(1000))
            .collect(),
        TimeUnit::Nanosecond => array
            .as_primitive::<TimestampNanosecondType>()
            .values()
            .iter()
            .map(|ns| ns.div_euclid(1_000_000))
            .collect(),
    })
}

/// The rows without those that have a NULL in one of the columns, and how many were left out.
pub(super) fn without_nulls(chunk: Chunk, columns: &[usize]) -> Result<(Chunk, usize)> {
    if columns.iter().all(|&c| chunk.batch.column(c).logical_null_count() == 0) {
        return Ok((chunk, 0));
    }
    let nulls: Vec<_> = columns.iter().filter_map(|&c| chunk.batch.column(c).logical_nulls()).collect();
    let rows = 0..chunk.len() as u32;
    let keep: Vec<u32> = rows.filter(|&r| nulls.iter().all(|n| n.is_valid(r as usize))).collect();
    let dropped = chunk.len() - keep.len();
    Ok((chunk.take(&UInt32Array::from(keep))?, dropped))
}

/// The rows that have an event time, and their window times.
pub(super) fn window_times(
    chunk: Chunk,
    column: usize,
    clock: &mut WindowClock,
    metrics: &WindowMetrics,
) -> Result<(Chunk, ScalarBuffer<i64>)> {
    let (chunk, dropped) = without_nulls(chunk, &[column])?;
    if dropped > 0 {
        metrics.add_without_time(dropped);
    }
    let instants = millis(chunk.batch.column(column))?;
    let times = if clock.is_plain() { instants } else { instants.iter().map(|&t| clock.local(t)).collect() };
    Ok((chunk, times))
}

/// Least and greatest of times; `None` of none.
pub(super) fn span(times: &[i64]) -> Option<(i64, i64)> {
    let first = *times.first()?;
    Some(times.iter().fold((first, first), |(least, most), &t| (least.min(t), most.max(t))))
}
