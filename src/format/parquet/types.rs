//! Types of Parquet files and of tables.
//!
//! | Parquet | SQL |
//! |---|---|
//! | BOOLEAN, FLOAT, DOUBLE | BOOLEAN, FLOAT, DOUBLE |
//! | INT32 and INT64 with their annotations | TINYINT to BIGINT; unsigned ones the next larger, UINT_64 DECIMAL(20, 0) |
//! | DECIMAL in INT32, INT64, bytes | DECIMAL |
//! | BYTE_ARRAY: STRING, ENUM, JSON | STRING |
//! | BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY without an annotation | BYTES; read as STRING where the table says so |
//! | UUID | STRING |
//! | DATE, TIME | DATE, TIME |
//! | TIMESTAMP, not adjusted to UTC; INT96 | TIMESTAMP |
//! | TIMESTAMP, adjusted to UTC | TIMESTAMP_LTZ |
//! | LIST, MAP, groups | ARRAY, MAP, ROW |
//!
//! What a table declares may be wider than what a file has. Whole numbers may be narrower, too: a value that does not
//! fit is an error. Times lose digits that the declared precision has not.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, ListArray, MapArray, StringViewBuilder,
    StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::util::display::FormatOptions;
use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use parquet::basic::{LogicalType, Type as Physical};
use parquet::schema::types::Type;

use crate::sql::SqlType;

/// What is known of a column beyond its Arrow type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The annotation UUID.
    uuid: bool,
    /// The annotation ENUM: text.
    text: bool,
    /// A moment in 96 bits, as Impala, Hive, old Spark and Flink write it.
    pub(super) int96: bool,
}

impl Notes {
    /// Of a column of the file's schema.
    pub(super) fn of(column: &Type) -> Self {
        let logical = column.get_basic_info().logical_type_ref();
        Self {
            uuid: matches!(logical, Some(LogicalType::Uuid)),
            text: matches!(logical, Some(LogicalType::Enum)),
            int96: column.is_primitive() && column.get_physical_type() == Physical::INT96,
        }
    }
}

/// How moments and local times are converted into each other: the zone, or UTC.
pub(super) type Zone = Option<Tz>;

/// As which type the library is to read a column that it would read as `natural`, for one that is declared as `wanted`.
pub(super) fn read_as(natural: &DataType, wanted: Option<&DataType>, notes: Notes) -> DataType {
    let nested = |field: &Arc<Field>, wanted: Option<&DataType>| {
        let data_type = read_as(field.data_type(), wanted, Notes::default());
        Arc::new(Field::clone(field).with_data_type(data_type))
    };
    match natural {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary if notes.text || wanted == Some(&DataType::Utf8View) => {
            DataType::Utf8View
        }
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        // Nanoseconds hold 1677 to 2262 only.
        DataType::Timestamp(TimeUnit::Nanosecond, None) if notes.int96 => match wanted {
            Some(DataType::Timestamp(TimeUnit::Nanosecond, _)) => natural.clone(),
            _ => DataType::Timestamp(TimeUnit::Microsecond, None),
        },
        DataType::List(element) => {
            let wanted = match wanted {
                Some(DataType::List(wanted)) => Some(wanted.data_type()),
                _ => None,
            };
            DataType::List(nested(element, wanted))
        }
        DataType::Struct(fields) => {
            let find = |name: &str| match wanted {
                Some(DataType::Struct(wanted)) => wanted.find(name).map(|(_, f)| f.data_type()),
                _ => None,
            };
            DataType::Struct(fields.iter().map(|f| nested(f, find(f.name()))).collect())
        }
        DataType::Map(entries, sorted) => {
            let wanted = match wanted {
                Some(DataType::Map(wanted, _)) => Some(wanted),
                _ => None,
            };
            let inside = |i: usize| match wanted.map(|w| w.data_type()) {
                Some(DataType::Struct(fields)) => fields.get(i).map(|f| f.data_type()),
                _ => None,
            };
            let DataType::Struct(fields) = entries.data_type() else { return natural.clone() };
            let fields = fields.iter().enumerate().map(|(i, f)| nested(f, inside(i))).collect();
            DataType::Map(Arc::new(Field::clone(entries).with_data_type(DataType::Struct(fields))), *sorted)
        }
        other => other.clone(),
    }
}

/// The type that a table without declared columns has for a column of the file; `None`: there is none for it.
pub(super) fn inferred(natural: &DataType, notes: Notes) -> Option<SqlType> {
    let nested = |field: &Field| inferred(field.data_type(), Notes::default());
    Some(match natural {
        DataType::UInt64 => SqlType::Decimal(20, 0),
        DataType::Decimal256(_, scale) if *scale <= 38 => SqlType::Decimal(38, *scale),
        DataType::FixedSizeBinary(16) if notes.uuid => SqlType::String,
        DataType::Binary | DataType::LargeBinary if notes.text => SqlType::String,
        DataType::Timestamp(_, None) if notes.int96 => SqlType::Timestamp(6),
        DataType::Timestamp(TimeUnit::Second, None) => SqlType::Timestamp(3),
        DataType::Timestamp(TimeUnit::Second, Some(_)) => SqlType::TimestampLtz(3),
        DataType::Interval(_) | DataType::Duration(_) => return None,
        DataType::List(element) => SqlType::Array(Box::new(nested(element)?)),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| Some((f.name().clone(), nested(f)?)));
            SqlType::Row(fields.collect::<Option<Vec<_>>>()?)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => {
                SqlType::Map(Box::new(nested(&kv[0])?), Box::new(nested(&kv[1])?))
            }
            _ => return None,
        },
        other => SqlType::from_arrow(other)?,
    })
}

/// The type of a column of the file, for people.
pub(super) fn shown(natural: &DataType, notes: Notes) -> String {
    inferred(natural, notes).map_or_else(|| "a type that SQL has not".to_string(), |t| t.to_string())
}

/// Whether a column that is read as `from` can be one of the type `to`.
pub(super) fn fits(from: &DataType, to: &DataType, notes: Notes) -> bool {
    use DataType::*;
    let plain = Notes::default();
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (Struct(have), Struct(want)) => want.iter().all(|field| match have.find(field.name()) {
            Some((_, found)) => fits(found.data_type(), field.data_type(), plain),
            None => true,
        }),
        (List(have), List(want)) => fits(have.data_type(), want.data_type(), plain),
        (Map(have, _), Map(want, _)) => match (have.data_type(), want.data_type()) {
            (Struct(have), Struct(want)) if have.len() == 2 && want.len() == 2 => {
                have.iter().zip(want).all(|(h, w)| fits(h.data_type(), w.data_type(), plain))
            }
            _ => false,
        },
        (Timestamp(..), Timestamp(..)) => true,
        (Time32(_) | Time64(_), Time32(_)) => true,
        (Utf8View, BinaryView) | (FixedSizeBinary(_), BinaryView) => true,
        (FixedSizeBinary(16), Utf8View) => notes.uuid,
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Float64) => true,
        (Decimal128(_, a) | Decimal256(_, a), Decimal128(_, b)) => a <= b,
        (_, Decimal128(..)) if from.is_integer() => true,
        _ => from.is_integer() && to.is_integer(),
    }
}

/// A column as the declared type. The types fit ([`fits`]); what does not is a value, and the text says why.
pub(super) fn convert(array: &ArrayRef, to: &DataType, zone: Zone) -> Result<ArrayRef, String> {
    let said = |e: arrow::error::ArrowError| e.to_string();
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Struct(_), DataType::Struct(wanted)) => {
            let have = array.as_struct();
            let columns = wanted.iter().map(|field| match have.column_by_name(field.name()) {
                Some(column) => convert(column, field.data_type(), zone),
                None => Ok(new_null_array(field.data_type(), have.len())),
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let made =
                StructArray::try_new_with_length(wanted.clone(), columns, have.nulls().cloned(), have.len());
            Ok(Arc::new(made.map_err(said)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let have: &ListArray = array.as_list();
            let values = convert(have.values(), element.data_type(), zone)?;
            let made =
                ListArray::try_new(element.clone(), have.offsets().clone(), values, have.nulls().cloned());
            Ok(Arc::new(made.map_err(said)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let have = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return Err("it is no map".into()) };
            let [key, value] = fields.as_ref() else { return Err("it is no map".into()) };
            let columns = vec![
                convert(have.keys(), key.data_type(), zone)?,
                convert(have.values(), value.data_type(), zone)?,
            ];
            let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(said)?;
            let made = MapArray::try_new(
                entries.clone(),
                have.offsets().clone(),
                pairs,
                have.nulls().cloned(),
                *sorted,
            );
            Ok(Arc::new(made.map_err(said)?))
        }
        (DataType::Timestamp(..), DataType::Timestamp(..)) => moments(array, to, zone),
        (DataType::FixedSizeBinary(_), DataType::Utf8View) => Ok(uuids(array.as_fixed_size_binary())),
        (DataType::FixedSizeBinary(_), DataType::BinaryView) => {
            let bytes = cast(array, &DataType::Binary)?;
            cast(&bytes, to)
        }
        (DataType::Time64(_), DataType::Time32(unit)) => {
            let nanos = if array.data_type() == &DataType::Time64(TimeUnit::Nanosecond) { 1_000 } else { 1 };
            let scale = match unit {
                TimeUnit::Second => 1_000_000 * nanos,
                _ => 1_000 * nanos,
            };
            let cut: Int64Array = reinterpreted(array, DataType::Int64)?.unary(|v| i64::div_euclid(v, scale));
            let cut: ArrayRef = Arc::new(cut);
            cast(&cast(&cut, &DataType::Int32)?, to)
        }
        (_, to) => cast(array, to),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}

/// Values of 64 bits, as they are, under another type.
fn reinterpreted(array: &ArrayRef, data_type: DataType) -> Result<Int64Array, String> {
    let data = array.to_data().into_builder().data_type(data_type).build();
    data.map(Int64Array::from).map_err(|e| e.to_string())
}

const fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Moments and local times in another unit. Digits that are lost are cut off downwards, as everywhere.
fn moments(array: &ArrayRef, to: &DataType, zone: Zone) -> Result<ArrayRef, String> {
    let (DataType::Timestamp(unit, from_zone), DataType::Timestamp(wanted, to_zone)) =
        (array.data_type(), to)
    else {
        return Err("it is no timestamp".into());
    };
    let mut values = reinterpreted(array, DataType::Int64)?;
    let shift = match zone {
        Some(zone) if from_zone.is_some() && to_zone.is_none() => Some((zone, true)),
        Some(zone) if from_zone.is_none() && to_zone.is_some() => Some((zone, false)),
        _ => None,
    };
    let (have, want) = (per_second(*unit), per_second(*wanted));
    if let Some((zone, to_local)) = shift {
        values = values
            .try_unary(|v| shifted(v, have, zone, to_local).ok_or_else(|| out_of_range(v, *unit)))
            .map_err(|e: Unfit| e.0)?;
    }
    if want > have {
        let factor = want / have;
        values = values
            .try_unary(|v| v.checked_mul(factor).ok_or_else(|| out_of_range(v, *unit)))
            .map_err(|e: Unfit| e.0)?;
    } else if want < have {
        let divisor = have / want;
        values = values.unary(|v| v.div_euclid(divisor));
    }
    let data = values.into_data().into_builder().data_type(to.clone()).build();
    data.map(arrow::array::make_array).map_err(|e| e.to_string())
}

/// Why a value does not fit.
struct Unfit(String);

fn out_of_range(value: i64, unit: TimeUnit) -> Unfit {
    let seconds = value.div_euclid(per_second(unit));
    let shown = DateTime::from_timestamp(seconds, 0).map_or_else(
        || format!("{seconds} seconds after 1970"),
        |t| t.naive_utc().format("%Y-%m-%d %H:%M:%S").to_string(),
    );
    Unfit(format!("the time {shown} is out of range"))
}

/// A moment as the local time of a zone, or the other way round.
fn shifted(value: i64, per_second: i64, zone: Tz, to_local: bool) -> Option<i64> {
    let seconds = value.div_euclid(per_second);
    let plain: NaiveDateTime = DateTime::from_timestamp(seconds, 0)?.naive_utc();
    let offset = if to_local {
        zone.offset_from_utc_datetime(&plain).fix().local_minus_utc()
    } else {
        // In the hour that comes twice the first one; one that is left out counts with the offset before it.
        match zone.offset_from_local_datetime(&plain).earliest() {
            Some(offset) => -offset.fix().local_minus_utc(),
            None => {
                let before = plain.checked_sub_signed(chrono::TimeDelta::hours(3))?;
                -zone.offset_from_local_datetime(&before).earliest()?.fix().local_minus_utc()
            }
        }
    };
    value.checked_add(i64::from(offset).checked_mul(per_second)?)
}

fn uuids(array: &FixedSizeBinaryArray) -> ArrayRef {
    let mut out = StringViewBuilder::with_capacity(array.len());
    for value in array {
        let value: Option<[u8; 16]> = value.and_then(|v| v.try_into().ok());
        out.append_option(value.map(|bytes| uuid::Uuid::from_bytes(bytes).to_string()));
    }
    Arc::new(out.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{TimestampMicrosecondArray, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn digits_are_cut_off_downwards_and_far_times_are_errors() {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1_999), None]));
        let millis = convert(&micros, &DataType::Timestamp(TimeUnit::Millisecond, None), None).unwrap();
        let expected = TimestampMillisecondArray::from(vec![Some(-1), Some(1), None]);
        assert_eq!(millis.as_primitive::<arrow::datatypes::TimestampMillisecondType>(), &expected);
        let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_000_000]));
        let e = convert(&far, &DataType::Timestamp(TimeUnit::Nanosecond, None), None).unwrap_err();
        assert_eq!(e, "the time 9999-12-31 23:59:59 is out of range");
    }

    #[test]
    fn moments_become_local_times_of_a_zone() {
        let zone = Some(chrono_tz::Europe::Berlin);
        let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let local = DataType::Timestamp(TimeUnit::Millisecond, None);
        // 2024-07-01 12:00 and 2024-01-01 12:00.
        let times = vec![1_719_835_200_000, 1_704_110_400_000];
        let moments: ArrayRef = Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"));
        let there = convert(&moments, &local, zone).unwrap();
        let values = there.as_primitive::<arrow::datatypes::TimestampMillisecondType>().values().to_vec();
        assert_eq!(values, [1_719_842_400_000, 1_704_114_000_000]);
        assert_eq!(&convert(&there, &utc, zone).unwrap(), &moments);
    }

    #[test]
    fn readable_types_of_parquet() {
        let plain = Notes::default();
        for (from, to, expected) in [
            (DataType::Int32, DataType::Int64, true),
            (DataType::Int64, DataType::Int32, true),
            (DataType::Int64, DataType::Utf8View, false),
            (DataType::Utf8View, DataType::Int64, false),
            (DataType::Float64, DataType::Float32, false),
            (DataType::Int64, DataType::Float64, false),
            (DataType::Decimal128(10, 2), DataType::Decimal128(12, 1), false),
            (DataType::Date32, DataType::Timestamp(TimeUnit::Millisecond, None), false),
        ] {
            assert_eq!(fits(&from, &to, plain), expected, "{from} as {to}");
        }
    }
}
