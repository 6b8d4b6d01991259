//! A hash of key values that is the same in every process and version: checkpoints depend on it.
//!
//! Values are hashed by their meaning, not by how Arrow lays them out: integers of all widths alike, the
//! three layouts of text alike, zeros of both signs alike. NULLs are equal. The mixing is the folded multiplication
//! of wyhash; the constants below are part of the format of checkpoints and never change.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericListArray, OffsetSizeTrait,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use crate::error::{Error, Result};

const SEED: u64 = 0xa076_1d64_78bd_642f;
const MIX: u64 = 0xe703_7ed1_a0b4_28db;
const BYTES: u64 = 0x8ebc_6af0_9c88_c6e3;
const NULL: u64 = 0x5899_65cc_7537_4cc3;

/// Both halves of a product, folded.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Adds a value to a hash.
fn mix(hash: u64, value: u64) -> u64 {
    fold(hash ^ SEED, value ^ MIX).rotate_left(23).wrapping_add(value.wrapping_mul(BYTES))
}

/// Adds bytes to a hash, eight at a time.
fn mix_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(hash, bytes.len() as u64 ^ BYTES);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = mix(hash, u64::from_le_bytes(last));
    }
    hash
}

/// Spreads what is in any bit over all bits.
fn finish(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The hash of each row's values; `hashes` is filled anew.
pub fn hash_rows(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, 0);
    for column in columns {
        mix_array(column, hashes)?;
    }
    hashes.iter_mut().for_each(|h| *h = finish(*h));
    Ok(())
}

/// Adds a value a row, where `value` gives it.
fn mix_values(hashes: &mut [u64], nulls: Option<&NullBuffer>, value: impl Fn(u64, usize) -> u64) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => hashes.iter_mut().enumerate().for_each(|(i, h)| *h = value(*h, i)),
        Some(nulls) => {
            for (i, h) in hashes.iter_mut().enumerate() {
                *h = if nulls.is_null(i) { mix(*h, NULL) } else { value(*h, i) };
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, hashes: &mut [u64], word: impl Fn(T::Native) -> u64) {
    let array = array.as_primitive::<T>();
    let values = array.values();
    mix_values(hashes, array.nulls(), |h, i| mix(h, word(values[i])));
}

fn wide<T: ArrowPrimitiveType>(array: &dyn Array, hashes: &mut [u64], wide: impl Fn(T::Native) -> i256) {
    let array = array.as_primitive::<T>();
    let values = array.values();
    mix_values(hashes, array.nulls(), |h, i| {
        let (low, high) = wide(values[i]).to_parts();
        // Small numbers are the same in all widths.
        let low_words = mix(mix(h, low as u64), (low >> 64) as u64);
        mix(mix(low_words, high as u64), (high >> 64) as u64)
    });
}

fn float(value: f64) -> u64 {
    match value {
        _ if value.is_nan() => f64::NAN.to_bits(),
        _ if value == 0.0 => 0,
        _ => value.to_bits(),
    }
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>, hashes: &mut [u64]) -> Result<()> {
    let offsets = array.value_offsets();
    elements(array.values(), array.nulls(), hashes, |i| (offsets[i].as_usize(), offsets[i + 1].as_usize()))
}

/// Rows that are ranges of `values`.
fn elements(
    values: &ArrayRef,
    nulls: Option<&NullBuffer>,
    hashes: &mut [u64],
    range: impl Fn(usize) -> (usize, usize),
) -> Result<()> {
    let mut inner = vec![0; values.len()];
    mix_array(values, &mut inner)?;
    mix_values(hashes, nulls, |h, i| {
        let (from, to) = range(i);
        inner[from..to].iter().fold(mix(h, (to - from) as u64), |h, value| mix(h, *value))
    });
    Ok(())
}

fn dictionary<K: ArrowDictionaryKeyType>(array: &dyn Array, hashes: &mut [u64]) -> Result<()> {
    let array = array.as_dictionary::<K>();
    let plain = arrow::compute::cast(array, array.values().data_type())?;
    mix_array(&plain, hashes)
}

fn mix_array(array: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    let signed = |v: i64| v as u64;
    match array.data_type() {
        DataType::Null => hashes.iter_mut().for_each(|h| *h = mix(*h, NULL)),
        DataType::Boolean => {
            let array: &BooleanArray = array.as_boolean();
            mix_values(hashes, array.nulls(), |h, i| mix(h, u64::from(array.value(i))));
        }
        DataType::Int8 => primitive::<Int8Type>(array, hashes, |v| signed(v.into())),
        DataType::Int16 => primitive::<Int16Type>(array, hashes, |v| signed(v.into())),
        DataType::Int32 => primitive::<Int32Type>(array, hashes, |v| signed(v.into())),
        DataType::Int64 => primitive::<Int64Type>(array, hashes, signed),
        DataType::UInt8 => primitive::<UInt8Type>(array, hashes, u64::from),
        DataType::UInt16 => primitive::<UInt16Type>(array, hashes, u64::from),
        DataType::UInt32 => primitive::<UInt32Type>(array, hashes, u64::from),
        DataType::UInt64 => primitive::<UInt64Type>(array, hashes, |v| v),
        DataType::Float16 => primitive::<Float16Type>(array, hashes, |v| float(v.to_f64())),
        DataType::Float32 => primitive::<Float32Type>(array, hashes, |v| float(v.into())),
        DataType::Float64 => primitive::<Float64Type>(array, hashes, float),
        DataType::Decimal32(..) => wide::<Decimal32Type>(array, hashes, |v| i256::from_i128(v.into())),
        DataType::Decimal64(..) => wide::<Decimal64Type>(array, hashes, |v| i256::from_i128(v.into())),
        DataType::Decimal128(..) => wide::<Decimal128Type>(array, hashes, i256::from_i128),
        DataType::Decimal256(..) => wide::<Decimal256Type>(array, hashes, |v| v),
        DataType::Date32 => primitive::<Date32Type>(array, hashes, |v| signed(v.into())),
        DataType::Date64 => primitive::<Date64Type>(array, hashes, signed),
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(array, hashes, |v| signed(v.into()));
        }
        DataType::Time32(_) => primitive::<Time32MillisecondType>(array, hashes, |v| signed(v.into())),
        DataType::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(array, hashes, signed),
        DataType::Time64(_) => primitive::<Time64NanosecondType>(array, hashes, signed),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => primitive::<TimestampSecondType>(array, hashes, signed),
            TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(array, hashes, signed),
            TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(array, hashes, signed),
            TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(array, hashes, signed),
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => primitive::<DurationSecondType>(array, hashes, signed),
            TimeUnit::Millisecond => primitive::<DurationMillisecondType>(array, hashes, signed),
            TimeUnit::Microsecond => primitive::<DurationMicrosecondType>(array, hashes, signed),
            TimeUnit::Nanosecond => primitive::<DurationNanosecondType>(array, hashes, signed),
        },
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>(array, hashes, |v| signed(v.into()));
        }
        DataType::Interval(IntervalUnit::DayTime) => primitive::<IntervalDayTimeType>(array, hashes, |v| {
            mix(mix(0, signed(v.days.into())), signed(v.milliseconds.into()))
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(array, hashes, |v| {
                mix(mix(mix(0, signed(v.months.into())), signed(v.days.into())), signed(v.nanoseconds))
            });
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i).as_bytes()));
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i).as_bytes()));
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i).as_bytes()));
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i)));
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i)));
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i)));
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            mix_values(hashes, array.nulls(), |h, i| mix_bytes(h, array.value(i)));
        }
        DataType::Struct(_) => {
            let array = array.as_struct();
            let mut inner = vec![0; array.len()];
            for column in array.columns() {
                mix_array(column, &mut inner)?;
            }
            mix_values(hashes, array.nulls(), |h, i| mix(h, inner[i]));
        }
        DataType::List(_) => list(array.as_list::<i32>(), hashes)?,
        DataType::LargeList(_) => list(array.as_list::<i64>(), hashes)?,
        DataType::FixedSizeList(..) => {
            let array = array.as_fixed_size_list();
            let size = array.value_length() as usize;
            elements(array.values(), array.nulls(), hashes, |i| (i * size, (i + 1) * size))?;
        }
        DataType::Map(..) => {
            let array = array.as_map();
            let offsets = array.value_offsets();
            let entries: ArrayRef = std::sync::Arc::new(array.entries().clone());
            elements(&entries, array.nulls(), hashes, |i| (offsets[i] as usize, offsets[i + 1] as usize))?;
        }
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => dictionary::<Int8Type>(array, hashes)?,
            DataType::Int16 => dictionary::<Int16Type>(array, hashes)?,
            DataType::Int32 => dictionary::<Int32Type>(array, hashes)?,
            DataType::Int64 => dictionary::<Int64Type>(array, hashes)?,
            DataType::UInt8 => dictionary::<UInt8Type>(array, hashes)?,
            DataType::UInt16 => dictionary::<UInt16Type>(array, hashes)?,
            DataType::UInt32 => dictionary::<UInt32Type>(array, hashes)?,
            _ => dictionary::<UInt64Type>(array, hashes)?,
        },
        other => {
            return Err(Error::unsupported(format!(
                "rows cannot be given to tasks by a key of type {other}"
            ))
            .with_hint("SET 'parallelism.default' = '1'; needs no exchange"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{
        Float64Array, Int32Array, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn hash(columns: &[ArrayRef]) -> Vec<u64> {
        let mut hashes = vec![7];
        hash_rows(columns, columns[0].len(), &mut hashes).unwrap();
        hashes
    }

    #[test]
    fn hashes_never_change() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "sensor-1", "a longer key", "b"]));
        // Checkpoints hold keys by these groups.
        let groups: Vec<u64> = hash(std::slice::from_ref(&numbers)).iter().map(|h| h >> 57).collect();
        assert_eq!(groups, NUMBER_GROUPS);
        let groups: Vec<u64> = hash(&[texts, numbers]).iter().map(|h| h >> 57).collect();
        assert_eq!(groups, TEXT_GROUPS);
    }

    const NUMBER_GROUPS: [u64; 4] = [75, 56, 2, 108];
    const TEXT_GROUPS: [u64; 4] = [119, 4, 75, 126];

    #[test]
    fn layouts_do_not_count() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-5)]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-5)]));
        assert_eq!(hash(&[narrow]), hash(std::slice::from_ref(&wide)));
        assert_eq!(hash(&[wide.slice(1, 2)]), hash(&[wide])[1..]);
        let texts = vec![Some("a"), None, Some("something that is not short")];
        let plain: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        let view: ArrayRef = Arc::new(StringViewArray::from(texts));
        assert_eq!(hash(&[plain]), hash(&[view]));
        let zeros = hash(&[Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]))]);
        assert!(zeros[0] == zeros[1] && zeros[2] == zeros[3] && zeros[0] != zeros[2]);
    }

    #[test]
    fn nested_values_are_hashed_whole() {
        let lists = |rows: Vec<Option<Vec<Option<i32>>>>| -> ArrayRef {
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows))
        };
        let rows = lists(vec![
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![Some(1), None]),
            Some(vec![Some(1), Some(2)]),
        ]);
        let hashes = hash(std::slice::from_ref(&rows));
        assert_eq!(hashes[0], hashes[4]);
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        assert_eq!(hash(&[rows.slice(3, 2)]), hashes[3..]);
        let field = Arc::new(Field::new("l", rows.data_type().clone(), true));
        let nulls = NullBuffer::from(vec![true, true, false, false, true]);
        let structs: ArrayRef = Arc::new(StructArray::new(vec![field].into(), vec![rows], Some(nulls)));
        let hashes = hash(&[structs]);
        assert!(hashes[0] == hashes[4] && hashes[2] == hashes[3] && hashes[0] != hashes[1]);
    }

    #[test]
    fn groups_are_even() {
        for step in [1, 128, 1 << 32] {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..12_800).map(|i| i * step)));
            let mut counts = [0; super::super::KEY_GROUPS];
            hash(&[keys]).iter().for_each(|h| counts[super::super::key_group(*h)] += 1);
            assert!(counts.iter().all(|c| (50..170).contains(c)), "{counts:?}");
        }
    }
}
