//! Values of one column.
//!
//! A value follows from the seed, the column and the number of its row, and from nothing that was made before: tasks make
//! any rows in any order, and a job that is restored makes the same rows again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, ListArray, MapArray, PrimitiveArray, StructArray,
    make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use crate::catalog::Options;
use crate::catalog::options::{parse_bool, parse_duration, parse_integer};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::sql::SqlType;

/// No text, list or map is longer.
const MAX_LENGTH: u64 = 16 << 20;
const DAY_MILLIS: i64 = 86_400_000;

/// The `fields.` options, and which of them were understood.
pub(super) struct Settings<'a> {
    options: &'a Options,
    used: BTreeSet<String>,
    known: BTreeSet<String>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self { options, used: BTreeSet::new(), known: BTreeSet::new() }
    }

    fn get<T>(&mut self, path: &str, name: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let key = format!("fields.{path}.{name}");
        self.known.insert(key.clone());
        let Some(text) = self.options.text(&key) else { return Ok(None) };
        let value =
            parse(text).map_err(|e| e.context(format!("option '{key}'")).at(self.options.span(&key)))?;
        self.used.insert(key);
        Ok(Some(value))
    }

    fn wrong(&self, path: &str, name: &str, why: impl std::fmt::Display) -> Error {
        let key = format!("fields.{path}.{name}");
        Error::option(format!("option '{key}': {why}")).at(self.options.span(&key))
    }

    /// An option that no column of its type knows is an error.
    pub(super) fn check_all_used(&self) -> Result<()> {
        let given = self.options.iter().map(|(k, _)| k).filter(|k| k.starts_with("fields."));
        for key in given {
            if self.used.contains(key) {
                continue;
            }
            let error = Error::option(format!("option '{key}' fits no column")).at(self.options.span(key));
            return Err(match nearest(key, self.known.iter().map(String::as_str)) {
                Some(near) if near != key => error.with_hint(format!("did you mean '{near}'?")),
                _ => error.with_hint("write fields.<column>.<option>; which options there are depends on the column's type and kind"),
            });
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Make {
    Sequence { start: i128, scale: u32 },
    Boolean,
    Integer { min: i128, max: i128 },
    Float { min: f64, max: f64 },
    Text { length: u64, varies: bool },
    Bytes { length: u64, varies: bool },
    Instant { max_past: u64 },
    Date,
    Time,
    List { length: u64, item: Box<Generator> },
    Map { length: u64, key: Box<Generator>, value: Box<Generator> },
    Row(Vec<Generator>),
}

/// Makes the values of a column, or of a nested field.
#[derive(Debug)]
pub(super) struct Generator {
    make: Make,
    /// Decides all values, together with the number of the row.
    key: u64,
    null_rate: f64,
    length: Option<u64>,
}

/// A mixer of 64 bits (the finalizer of SplitMix64).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The random numbers of one value.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 up to, not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any of `min..=max`.
    fn between(&mut self, min: i128, max: i128) -> i128 {
        let span = max.wrapping_sub(min) as u128;
        if span < u128::from(u64::MAX) {
            return min + ((u128::from(self.next()) * (span + 1)) >> 64) as i128;
        }
        let any = u128::from(self.next()) << 64 | u128::from(self.next());
        min.wrapping_add((any % (span + 1)) as i128)
    }
}

fn parse_whole(text: &str) -> Result<i128> {
    text.trim().parse().map_err(|_| Error::option(format!("'{text}' is not a whole number")))
}

fn parse_float(text: &str) -> Result<f64> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(Error::option(format!("'{text}' is not a number"))),
    }
}

/// The whole numbers of a type; for decimals without their point.
fn whole_range(data_type: &SqlType) -> Option<(i128, i128)> {
    Some(match data_type {
        SqlType::TinyInt => (i8::MIN.into(), i8::MAX.into()),
        SqlType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        SqlType::Int => (i32::MIN.into(), i32::MAX.into()),
        SqlType::BigInt => (i64::MIN.into(), i64::MAX.into()),
        SqlType::Decimal(p, _) => {
            let limit = 10i128.checked_pow(u32::from(*p)).map_or(i128::MAX, |l| l - 1);
            (-limit, limit)
        }
        SqlType::IntervalYearMonth => (0, 120_000),
        SqlType::IntervalDayTime => (0, i128::from(i64::MAX / 1_000_000)),
        _ => return None,
    })
}

impl Generator {
    /// For a column, or a nested field under a dotted path.
    pub(super) fn new(
        path: &str,
        data_type: &SqlType,
        nullable: bool,
        seed: u64,
        settings: &mut Settings<'_>,
    ) -> Result<Self> {
        Self::build(path, data_type, nullable, seed, settings, true)
    }

    fn build(
        path: &str,
        data_type: &SqlType,
        nullable: bool,
        seed: u64,
        settings: &mut Settings<'_>,
        top: bool,
    ) -> Result<Self> {
        let key = path.bytes().fold(mix(seed ^ 0x5851_f42d_4c95_7f2d), |h, b| mix(h ^ u64::from(b)));
        let kind = settings.get(path, "kind", |text| match text.to_ascii_lowercase().as_str() {
            "random" => Ok(false),
            "sequence" => Ok(true),
            _ => Err(Error::option(format!("'{text}' is not one of random, sequence"))),
        })?;
        if kind == Some(true) {
            if !top {
                return Err(settings.wrong(path, "kind", "nested values are random"));
            }
            return Self::sequence(path, data_type, key, settings);
        }
        let null_rate = settings.get(path, "null-rate", parse_float)?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(settings.wrong(path, "null-rate", "it must be from 0 to 1"));
        }
        if null_rate > 0.0 && !nullable {
            return Err(settings.wrong(path, "null-rate", "the column is declared NOT NULL"));
        }
        let make = Self::random(path, data_type, seed, settings)?;
        Ok(Self { make, key, null_rate, length: None })
    }

    fn sequence(path: &str, data_type: &SqlType, key: u64, settings: &mut Settings<'_>) -> Result<Self> {
        let start = settings.get(path, "start", parse_whole)?;
        let end = settings.get(path, "end", parse_whole)?;
        let (Some(start), Some(end)) = (start, end) else {
            return Err(settings.wrong(path, "kind", "a sequence needs 'start' and 'end'"));
        };
        if end < start {
            return Err(settings.wrong(path, "end", "it must not be less than 'start'"));
        }
        let (scale, limits) = match data_type {
            SqlType::Decimal(_, scale) if *scale >= 0 => {
                let one = 10i128.pow(u32::from(scale.unsigned_abs()));
                (u32::from(scale.unsigned_abs()), whole_range(data_type).map(|(a, b)| (a / one, b / one)))
            }
            SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
                (0, whole_range(data_type))
            }
            SqlType::Float | SqlType::Double | SqlType::String | SqlType::Varchar(_) | SqlType::Char(_) => {
                (0, Some((i64::MIN.into(), i64::MAX.into())))
            }
            other => {
                return Err(settings.wrong(
                    path,
                    "kind",
                    format!("{other} has no sequences, only random values"),
                ));
            }
        };
        for (name, value) in [("start", start), ("end", end)] {
            if limits.is_some_and(|(min, max)| value < min || value > max) {
                return Err(settings.wrong(path, name, format!("{value} does not fit {data_type}")));
            }
        }
        let length = u64::try_from(end - start).map_or(u64::MAX, |n| n.saturating_add(1));
        Ok(Self { make: Make::Sequence { start, scale }, key, null_rate: 0.0, length: Some(length) })
    }

    fn random(path: &str, data_type: &SqlType, seed: u64, settings: &mut Settings<'_>) -> Result<Make> {
        let nested = |name: &str, t: &SqlType, nullable, settings: &mut Settings<'_>| {
            Self::build(&format!("{path}.{name}"), t, nullable, seed, settings, false)
        };
        Ok(match data_type {
            SqlType::Boolean => Make::Boolean,
            SqlType::Decimal(_, scale) => {
                let (low, high) = whole_range(data_type).unwrap_or_default();
                // Bounds are given with their point.
                let factor = 10f64.powi(i32::from(*scale));
                let scaled = |value: f64| ((value * factor) as i128).clamp(low, high);
                let min = settings.get(path, "min", parse_float)?.map_or(low, scaled);
                let max = settings.get(path, "max", parse_float)?.map_or(high, scaled);
                ordered(path, settings, min <= max)?;
                Make::Integer { min, max }
            }
            SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::IntervalYearMonth
            | SqlType::IntervalDayTime => {
                let (low, high) = whole_range(data_type).unwrap_or_default();
                let mut bound = |name: &str, default: i128| -> Result<i128> {
                    let value = settings.get(path, name, parse_whole)?.unwrap_or(default);
                    let within = match data_type {
                        SqlType::IntervalYearMonth => i32::try_from(value).is_ok(),
                        SqlType::IntervalDayTime => value.unsigned_abs() <= high.unsigned_abs(),
                        _ => (low..=high).contains(&value),
                    };
                    if within {
                        Ok(value)
                    } else {
                        Err(settings.wrong(path, name, format!("{value} does not fit {data_type}")))
                    }
                };
                let (min, max) = (bound("min", low)?, bound("max", high)?);
                ordered(path, settings, min <= max)?;
                Make::Integer { min, max }
            }
            SqlType::Float | SqlType::Double => {
                let widest = if *data_type == SqlType::Float { f64::from(f32::MAX) } else { f64::MAX };
                let min = settings.get(path, "min", parse_float)?.unwrap_or(0.0);
                let max = settings.get(path, "max", parse_float)?.unwrap_or(widest);
                ordered(path, settings, min <= max)?;
                if max.abs() > widest || min.abs() > widest || !(max - min).is_finite() {
                    return Err(settings.wrong(path, "max", format!("the range does not fit {data_type}")));
                }
                Make::Float { min, max }
            }
            SqlType::Char(n) => Make::Text { length: bounded(path, settings, u64::from(*n))?, varies: false },
            SqlType::Binary(n) => {
                Make::Bytes { length: bounded(path, settings, u64::from(*n))?, varies: false }
            }
            SqlType::Varchar(n) | SqlType::Varbinary(n) => {
                let length = length(path, settings, u64::from(*n).min(100))?;
                if length > u64::from(*n) {
                    return Err(settings.wrong(path, "length", format!("{length} does not fit {data_type}")));
                }
                let varies = settings.get(path, "var-len", parse_bool)?.unwrap_or(false);
                match data_type {
                    SqlType::Varchar(_) => Make::Text { length, varies },
                    _ => Make::Bytes { length, varies },
                }
            }
            SqlType::String | SqlType::Bytes => {
                let length = length(path, settings, 100)?;
                let varies = settings.get(path, "var-len", parse_bool)?.unwrap_or(false);
                match data_type {
                    SqlType::String => Make::Text { length, varies },
                    _ => Make::Bytes { length, varies },
                }
            }
            SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => {
                let past = settings.get(path, "max-past", parse_duration)?.unwrap_or_default();
                Make::Instant { max_past: u64::try_from(past.as_millis()).unwrap_or(u64::MAX) }
            }
            SqlType::Date => Make::Date,
            SqlType::Time(_) => Make::Time,
            SqlType::Array(t) => Make::List {
                length: length(path, settings, 3)?,
                item: Box::new(nested("element", t, true, settings)?),
            },
            SqlType::Map(k, v) => Make::Map {
                length: length(path, settings, 3)?,
                key: Box::new(nested("key", k, false, settings)?),
                value: Box::new(nested("value", v, true, settings)?),
            },
            SqlType::Multiset(t) => Make::Map {
                length: length(path, settings, 3)?,
                key: Box::new(nested("element", t, false, settings)?),
                value: Box::new(Self {
                    make: Make::Integer { min: 1, max: 1 },
                    key: 0,
                    null_rate: 0.0,
                    length: None,
                }),
            },
            SqlType::Row(fields) => Make::Row(
                fields.iter().map(|(name, t)| nested(name, t, true, settings)).collect::<Result<_>>()?,
            ),
        })
    }

    /// How many values a sequence has.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// About how many bytes a value takes.
    pub(super) fn bytes(&self) -> u64 {
        match &self.make {
            Make::Text { length, .. } | Make::Bytes { length, .. } => 16 + length,
            Make::List { length, item } => 8 + length.saturating_mul(item.bytes()),
            Make::Map { length, key, value } => {
                8 + length.saturating_mul(key.bytes().saturating_add(value.bytes()))
            }
            Make::Row(fields) => fields.iter().map(Self::bytes).fold(1, u64::saturating_add),
            _ => 16,
        }
    }

    /// The random numbers of a cell.
    fn draws(&self, cell: u64) -> Draws {
        Draws(self.key ^ mix(cell.wrapping_add(self.key)))
    }

    /// The values of cells: row numbers, or what stands for nested ones.
    pub(super) fn generate(&self, cells: &[u64], data_type: &DataType) -> Result<ArrayRef> {
        let array = self.values(cells, data_type)?;
        if self.null_rate <= 0.0 {
            return Ok(array);
        }
        let valid: NullBuffer = cells
            .iter()
            .map(|&cell| Draws(!self.key ^ mix(cell.wrapping_sub(self.key))).unit() >= self.null_rate)
            .collect();
        let data = array.to_data().into_builder().nulls(Some(valid)).build()?;
        Ok(make_array(data))
    }

    fn values(&self, cells: &[u64], data_type: &DataType) -> Result<ArrayRef> {
        Ok(match &self.make {
            Make::Sequence { start, scale } => {
                let one = 10i128.pow(*scale);
                let value = |&cell: &u64| (start + i128::from(cell)) * one;
                match data_type {
                    DataType::Utf8View => {
                        let mut builder = StringViewBuilder::with_capacity(cells.len());
                        let mut text = itoa::Buffer::new();
                        cells.iter().for_each(|c| builder.append_value(text.format(value(c))));
                        Arc::new(builder.finish())
                    }
                    _ => whole(cells.iter().map(value), data_type)?,
                }
            }
            Make::Boolean => {
                Arc::new(BooleanArray::from_iter(cells.iter().map(|&c| Some(self.draws(c).next() & 1 == 1))))
            }
            Make::Integer { min, max } => {
                whole(cells.iter().map(|&c| self.draws(c).between(*min, *max)), data_type)?
            }
            Make::Float { min, max } => {
                let value = |&c: &u64| min + (max - min) * self.draws(c).unit();
                match data_type {
                    DataType::Float32 => {
                        primitive::<Float32Type>(cells.iter().map(|c| value(c) as f32), data_type)
                    }
                    _ => primitive::<Float64Type>(cells.iter().map(value), data_type),
                }
            }
            Make::Text { length, varies } => {
                let mut builder = StringViewBuilder::with_capacity(cells.len());
                let mut bytes = Vec::new();
                for &cell in cells {
                    self.fill(cell, *length, *varies, &mut bytes);
                    bytes.iter_mut().for_each(|b| *b = b"0123456789abcdef"[usize::from(*b & 15)]);
                    builder.append_value(std::str::from_utf8(&bytes).unwrap_or_default());
                }
                Arc::new(builder.finish())
            }
            Make::Bytes { length, varies } => {
                let mut builder = BinaryViewBuilder::with_capacity(cells.len());
                let mut bytes = Vec::new();
                for &cell in cells {
                    self.fill(cell, *length, *varies, &mut bytes);
                    builder.append_value(&bytes);
                }
                Arc::new(builder.finish())
            }
            Make::Instant { max_past } => {
                let now = now_millis();
                let past = i128::from(*max_past);
                let millis = cells.iter().map(|&c| i128::from(now) - self.draws(c).between(0, past));
                instants(millis, data_type)?
            }
            Make::Date => {
                let today = now_millis().div_euclid(DAY_MILLIS) as i32;
                primitive::<Date32Type>(cells.iter().map(|_| today), data_type)
            }
            Make::Time => {
                let now = now_millis().rem_euclid(DAY_MILLIS) as i32;
                primitive::<Time32MillisecondType>(cells.iter().map(|_| now), data_type)
            }
            Make::List { length, item } => {
                let DataType::List(field) = data_type else { return Err(mismatch(data_type)) };
                let values = item.generate(&self.nested(cells, *length), field.data_type())?;
                let offsets = OffsetBuffer::from_lengths(cells.iter().map(|_| *length as usize));
                Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?)
            }
            Make::Map { length, key, value } => {
                let DataType::Map(entries, ordered) = data_type else { return Err(mismatch(data_type)) };
                let DataType::Struct(fields) = entries.data_type() else { return Err(mismatch(data_type)) };
                let [key_field, value_field] = fields.as_ref() else { return Err(mismatch(data_type)) };
                let nested = self.nested(cells, *length);
                let keys = key.generate(&nested, key_field.data_type())?;
                let values = value.generate(&nested, value_field.data_type())?;
                let offsets = OffsetBuffer::from_lengths(cells.iter().map(|_| *length as usize));
                let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, None, *ordered)?)
            }
            Make::Row(generators) => {
                let DataType::Struct(fields) = data_type else { return Err(mismatch(data_type)) };
                let columns = generators
                    .iter()
                    .zip(fields)
                    .map(|(g, f)| g.generate(cells, f.data_type()))
                    .collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
            }
        })
    }

    /// The cells of nested values.
    fn nested(&self, cells: &[u64], length: u64) -> Vec<u64> {
        cells
            .iter()
            .flat_map(|&cell| {
                let first = mix(cell.wrapping_add(self.key).wrapping_add(1));
                (0..length).map(move |i| first.wrapping_add(i))
            })
            .collect()
    }

    fn fill(&self, cell: u64, length: u64, varies: bool, bytes: &mut Vec<u8>) {
        let mut draws = self.draws(cell);
        let length =
            if varies { draws.between(length.min(1).into(), length.into()) as u64 } else { length } as usize;
        bytes.clear();
        while bytes.len() < length {
            bytes.extend_from_slice(&draws.next().to_le_bytes());
        }
        bytes.truncate(length);
    }
}

fn ordered(path: &str, settings: &Settings<'_>, holds: bool) -> Result<()> {
    if holds { Ok(()) } else { Err(settings.wrong(path, "max", "it must not be less than 'min'")) }
}

fn bounded(path: &str, settings: &Settings<'_>, length: u64) -> Result<u64> {
    if length <= MAX_LENGTH {
        return Ok(length);
    }
    Err(settings.wrong(path, "length", format!("{length} is more than {MAX_LENGTH}")))
}

fn length(path: &str, settings: &mut Settings<'_>, default: u64) -> Result<u64> {
    let length = settings.get(path, "length", parse_integer)?.unwrap_or(default);
    bounded(path, settings, length)
}

fn mismatch(data_type: &DataType) -> Error {
    Error::internal(format!("datagen: a generator does not make values of type {data_type}"))
}

fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn primitive<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = T::Native>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values).with_data_type(data_type.clone()))
}

/// Whole numbers, which were checked to fit, as a column.
fn whole(values: impl Iterator<Item = i128>, data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Int8 => primitive::<Int8Type>(values.map(|v| v as i8), data_type),
        DataType::Int16 => primitive::<Int16Type>(values.map(|v| v as i16), data_type),
        DataType::Int32 => primitive::<Int32Type>(values.map(|v| v as i32), data_type),
        DataType::Int64 => primitive::<Int64Type>(values.map(|v| v as i64), data_type),
        DataType::Float32 => primitive::<Float32Type>(values.map(|v| v as f32), data_type),
        DataType::Float64 => primitive::<Float64Type>(values.map(|v| v as f64), data_type),
        DataType::Decimal128(p, s) => {
            Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(*p, *s)?)
        }
        DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>(values.map(|v| v as i32), data_type)
        }
        DataType::Interval(_) => primitive::<IntervalMonthDayNanoType>(
            values.map(|v| IntervalMonthDayNano::new(0, 0, v as i64 * 1_000_000)),
            data_type,
        ),
        other => return Err(mismatch(other)),
    })
}

fn instants(millis: impl Iterator<Item = i128>, data_type: &DataType) -> Result<ArrayRef> {
    let clamp = |v: i128| v.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    Ok(match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(millis.map(|v| clamp(v.div_euclid(1000))), data_type)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(millis.map(clamp), data_type)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(millis.map(|v| clamp(v * 1_000)), data_type)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(millis.map(|v| clamp(v * 1_000_000)), data_type)
        }
        other => return Err(mismatch(other)),
    })
}
