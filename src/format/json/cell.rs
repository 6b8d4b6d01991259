//! The values of a column as JSON text: types are resolved once a chunk, not once a row.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Decimal256Array,
    FixedSizeBinaryArray, GenericStringArray, LargeBinaryArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::convert;
use super::options::JsonOptions;
use crate::error::{Error, Result};
use crate::format::double;
use crate::sql::SqlType;

/// A column of a chunk, or of something nested in it.
pub(super) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    /// FLOAT, and FLOAT16 widened.
    Float(Vec<f32>),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    /// Narrower decimals, widened.
    SmallDecimal(Vec<i128>, i8),
    WideDecimal(&'a Decimal256Array),
    StringView(&'a StringViewArray),
    String(&'a GenericStringArray<i32>),
    LargeString(&'a GenericStringArray<i64>),
    BinaryView(&'a BinaryViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Date32(&'a [i32]),
    Date64(&'a [i64]),
    Time32(&'a [i32], TimeUnit),
    Time64(&'a [i64], TimeUnit),
    Timestamp(&'a [i64], TimeUnit, bool),
    Months(&'a [i32]),
    /// Months, days and nanoseconds.
    Interval(Vec<(i32, i64, i64)>),
    Duration(&'a [i64], TimeUnit),
    /// Start and end of each row's items.
    Array(Vec<(usize, usize)>, Box<Cells<'a>>),
    Map(Vec<(usize, usize)>, Box<Cells<'a>>, Box<Cells<'a>>),
    Row(Vec<(Key, Cells<'a>)>),
    Dictionary(Vec<usize>, Box<Cells<'a>>),
}

/// What precedes a value: `,"name":`. The comma of the first field becomes a brace.
#[derive(Debug)]
pub(super) struct Key {
    text: Box<[u8]>,
    /// The text filled up to a size that is copied without a call, if it is that short.
    short: Option<[u8; 32]>,
}

impl Key {
    /// The key of a field.
    pub(super) fn new(name: &str) -> Self {
        let mut text = Vec::with_capacity(name.len() + 4);
        text.push(b',');
        write_string(name, &mut text);
        text.push(b':');
        let short = (text.len() <= 32).then(|| {
            let mut short = [0; 32];
            short[..text.len()].copy_from_slice(&text);
            short
        });
        Self { text: text.into(), short }
    }

    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) {
        match &self.short {
            Some(short) => write_short(short, self.text.len(), out),
            None => out.extend_from_slice(&self.text),
        }
    }
}

/// Appends the first `length` bytes: a copy of known size and a cut cost less than a copy of any size.
#[inline(always)]
fn write_short<const N: usize>(bytes: &[u8; N], length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(bytes);
    out.truncate(start + length);
}

fn write_decimal(value: i128, scale: i8, options: &JsonOptions, out: &mut Vec<u8>) {
    let plain = options.decimal_as_plain_number;
    match options.strip_decimals {
        true => convert::write_stripped_decimal(value, scale, plain, out),
        false => convert::write_decimal(value, scale, plain, out),
    }
}

fn ranges<O: ArrowNativeType>(offsets: &[O]) -> Vec<(usize, usize)> {
    offsets.windows(2).map(|w| (w[0].as_usize(), w[1].as_usize())).collect()
}

impl<'a> Cells<'a> {
    /// The values of an array.
    pub(super) fn new(array: &'a ArrayRef) -> Result<Self> {
        let boxed = |a: &'a ArrayRef| Cells::new(a).map(Box::new);
        macro_rules! primitive {
            ($t:ty) => {
                array.as_primitive::<$t>().values().as_ref()
            };
        }
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(primitive!(Int8Type)),
            DataType::Int16 => Values::Int16(primitive!(Int16Type)),
            DataType::Int32 => Values::Int32(primitive!(Int32Type)),
            DataType::Int64 => Values::Int64(primitive!(Int64Type)),
            DataType::UInt8 => Values::UInt8(primitive!(UInt8Type)),
            DataType::UInt16 => Values::UInt16(primitive!(UInt16Type)),
            DataType::UInt32 => Values::UInt32(primitive!(UInt32Type)),
            DataType::UInt64 => Values::UInt64(primitive!(UInt64Type)),
            DataType::Float16 => Values::Float(primitive!(Float16Type).iter().map(|v| v.to_f32()).collect()),
            DataType::Float32 => Values::Float32(primitive!(Float32Type)),
            DataType::Float64 => Values::Float64(primitive!(Float64Type)),
            DataType::Decimal32(_, s) => {
                Values::SmallDecimal(primitive!(Decimal32Type).iter().map(|v| i128::from(*v)).collect(), *s)
            }
            DataType::Decimal64(_, s) => {
                Values::SmallDecimal(primitive!(Decimal64Type).iter().map(|v| i128::from(*v)).collect(), *s)
            }
            DataType::Decimal128(_, s) => Values::Decimal(primitive!(Decimal128Type), *s),
            DataType::Decimal256(..) => Values::WideDecimal(array.as_primitive::<Decimal256Type>()),
            DataType::Utf8View => Values::StringView(array.as_string_view()),
            DataType::Utf8 => Values::String(array.as_string()),
            DataType::LargeUtf8 => Values::LargeString(array.as_string()),
            DataType::BinaryView => Values::BinaryView(array.as_binary_view()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::LargeBinary => Values::LargeBinary(array.as_binary()),
            DataType::FixedSizeBinary(_) => Values::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Values::Date32(primitive!(Date32Type)),
            DataType::Date64 => Values::Date64(primitive!(Date64Type)),
            DataType::Time32(TimeUnit::Second) => {
                Values::Time32(primitive!(Time32SecondType), TimeUnit::Second)
            }
            DataType::Time32(unit) => Values::Time32(primitive!(Time32MillisecondType), *unit),
            DataType::Time64(TimeUnit::Microsecond) => {
                Values::Time64(primitive!(Time64MicrosecondType), TimeUnit::Microsecond)
            }
            DataType::Time64(unit) => Values::Time64(primitive!(Time64NanosecondType), *unit),
            DataType::Timestamp(unit, zone) => {
                let values = match unit {
                    TimeUnit::Second => primitive!(TimestampSecondType),
                    TimeUnit::Millisecond => primitive!(TimestampMillisecondType),
                    TimeUnit::Microsecond => primitive!(TimestampMicrosecondType),
                    TimeUnit::Nanosecond => primitive!(TimestampNanosecondType),
                };
                Values::Timestamp(values, *unit, zone.is_some())
            }
            DataType::Interval(IntervalUnit::YearMonth) => Values::Months(primitive!(IntervalYearMonthType)),
            DataType::Interval(IntervalUnit::DayTime) => Values::Interval(
                primitive!(IntervalDayTimeType)
                    .iter()
                    .map(|v| (0, i64::from(v.days), i64::from(v.milliseconds) * 1_000_000))
                    .collect(),
            ),
            DataType::Interval(IntervalUnit::MonthDayNano) => Values::Interval(
                primitive!(IntervalMonthDayNanoType)
                    .iter()
                    .map(|v| (v.months, i64::from(v.days), v.nanoseconds))
                    .collect(),
            ),
            DataType::Duration(unit) => {
                let values = match unit {
                    TimeUnit::Second => primitive!(DurationSecondType),
                    TimeUnit::Millisecond => primitive!(DurationMillisecondType),
                    TimeUnit::Microsecond => primitive!(DurationMicrosecondType),
                    TimeUnit::Nanosecond => primitive!(DurationNanosecondType),
                };
                Values::Duration(values, *unit)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::Array(ranges(list.offsets()), boxed(list.values())?)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Values::Array(ranges(list.offsets()), boxed(list.values())?)
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = size.as_usize();
                let ranges = (0..list.len()).map(|i| (i * size, (i + 1) * size)).collect();
                Values::Array(ranges, boxed(list.values())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Values::Map(ranges(map.offsets()), boxed(map.keys())?, boxed(map.values())?)
            }
            DataType::Struct(fields) => Values::Row(
                fields
                    .iter()
                    .zip(array.as_struct().columns())
                    .map(|(field, column)| Ok((Key::new(field.name()), Cells::new(column)?)))
                    .collect::<Result<_>>()?,
            ),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                if dictionary.values().is_empty() {
                    // Nothing but NULLs.
                    return Ok(Self { nulls: array.nulls(), values: Values::Null });
                }
                Values::Dictionary(dictionary.normalized_keys(), boxed(dictionary.values())?)
            }
            other => {
                let name = SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
                return Err(Error::unsupported(format!("format 'json' cannot write type {name}")));
            }
        };
        Ok(Self { nulls: array.nulls(), values })
    }

    /// Whether a row is NULL.
    #[inline(always)]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
            || match &self.values {
                Values::Null => true,
                Values::Dictionary(keys, values) => values.is_null(keys[row]),
                _ => false,
            }
    }

    /// Appends the value of a row that is not NULL.
    #[inline]
    pub(super) fn write(&self, row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
        macro_rules! integer {
            ($v:expr) => {
                out.extend_from_slice(itoa::Buffer::new().format($v[row]).as_bytes())
            };
        }
        match &self.values {
            Values::StringView(array) => write_view(array, row, out),
            Values::Int64(v) => integer!(v),
            Values::Int32(v) => integer!(v),
            Values::Float64(v) => write_double(v[row], out),
            Values::Timestamp(v, unit, zoned) => {
                out.push(b'"');
                convert::write_timestamp(v[row], *unit, *zoned, options.timestamp_format, out);
                out.push(b'"');
            }
            Values::Boolean(array) => {
                let text: &[u8] = if array.value(row) { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            Values::Null => out.extend_from_slice(b"null"),
            Values::Int8(v) => integer!(v),
            Values::Int16(v) => integer!(v),
            Values::UInt8(v) => integer!(v),
            Values::UInt16(v) => integer!(v),
            Values::UInt32(v) => integer!(v),
            Values::UInt64(v) => integer!(v),
            Values::Float(v) => write_float(v[row], out),
            Values::Float32(v) => write_float(v[row], out),
            Values::Decimal(v, scale) => write_decimal(v[row], *scale, options, out),
            Values::SmallDecimal(v, scale) => write_decimal(v[row], *scale, options, out),
            Values::WideDecimal(array) => out.extend_from_slice(array.value_as_string(row).as_bytes()),
            Values::String(array) => write_string(array.value(row), out),
            Values::LargeString(array) => write_string(array.value(row), out),
            Values::BinaryView(array) => write_base64(array.value(row), out),
            Values::Binary(array) => write_base64(array.value(row), out),
            Values::LargeBinary(array) => write_base64(array.value(row), out),
            Values::FixedBinary(array) => write_base64(array.value(row), out),
            Values::Date32(v) => quoted(out, |out| convert::write_date(i64::from(v[row]), out)),
            Values::Date64(v) => quoted(out, |out| convert::write_date(v[row].div_euclid(86_400_000), out)),
            Values::Time32(v, unit) => {
                quoted(out, |out| convert::write_time(i64::from(v[row]), *unit, out));
            }
            Values::Time64(v, unit) => quoted(out, |out| convert::write_time(v[row], *unit, out)),
            Values::Months(v) => quoted(out, |out| write_months(v[row], out)),
            Values::Interval(v) => quoted(out, |out| {
                let (months, days, nanos) = v[row];
                if months != 0 {
                    write_months(months, out);
                    out.push(b' ');
                }
                write_days(days, nanos, out);
            }),
            Values::Duration(v, unit) => quoted(out, |out| {
                let per_second = convert::per_second(*unit);
                let per_day = 86_400 * per_second;
                let (days, rest) = (v[row] / per_day, v[row] % per_day);
                write_days(days, rest * (1_000_000_000 / per_second), out);
            }),
            Values::Array(ranges, items) => {
                let (start, end) = ranges[row];
                out.push(b'[');
                for item in start..end {
                    if item > start {
                        out.push(b',');
                    }
                    items.write_or_null(item, options, out);
                }
                out.push(b']');
            }
            Values::Map(ranges, keys, values) => {
                let (start, end) = ranges[row];
                out.push(b'{');
                for entry in start..end {
                    if entry > start {
                        out.push(b',');
                    }
                    keys.write_key(entry, options, out);
                    out.push(b':');
                    values.write_or_null(entry, options, out);
                }
                out.push(b'}');
            }
            Values::Row(fields) => {
                let start = out.len();
                for (key, cells) in fields {
                    write_field(key, cells, row, options, out);
                }
                close(start, out);
            }
            Values::Dictionary(keys, values) => values.write(keys[row], options, out),
        }
    }

    fn write_or_null(&self, row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
        } else {
            self.write(row, options, out);
        }
    }

    /// A key of a map: text in quotes, whatever its type is.
    fn write_key(&self, row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_or_null(row, options, out);
        if out.get(start) != Some(&b'"') {
            let text = String::from_utf8_lossy(&out[start..]).into_owned();
            out.truncate(start);
            write_string(&text, out);
        }
    }
}

/// Appends `,"name":value`, or nothing for a NULL that is to be left out.
#[inline(always)]
pub(super) fn write_field(
    key: &Key,
    cells: &Cells<'_>,
    row: usize,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) {
    if !cells.is_null(row) {
        key.write(out);
        cells.write(row, options, out);
    } else if !options.ignore_null_fields {
        key.write(out);
        out.extend_from_slice(b"null");
    }
}

/// Makes an object of the fields that were written from `start` on.
#[inline(always)]
pub(super) fn close(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends a string; one that its view holds as a whole is checked and written as one number.
#[inline(always)]
fn write_view(array: &StringViewArray, row: usize, out: &mut Vec<u8>) {
    const SPACES: u128 = 0x2020_2020_2020_2020_2020_2020_2020_2020;
    let view = array.views()[row];
    let length = view as u32;
    if length <= 12 {
        let text = view >> 32;
        // What is behind the string must not look like control characters.
        let padded = text | SPACES << (8 * length);
        if !may_need_escape(padded as u64) && !may_need_escape((padded >> 64) as u64) {
            let quote = u128::from(b'"');
            let quoted = quote | text << 8 | quote << (8 * (length + 1));
            return write_short(&quoted.to_le_bytes(), length as usize + 2, out);
        }
    }
    write_string(array.value(row), out);
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// JSON has no such numbers: they are written as strings, which the decoder reads back.
fn write_special(is_nan: bool, negative: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(match (is_nan, negative) {
        (true, _) => b"\"NaN\"",
        (_, false) => b"\"Infinity\"",
        (_, true) => b"\"-Infinity\"",
    });
}

fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        double::write(value, out);
    } else {
        write_special(value.is_nan(), value < 0.0, out);
    }
}

fn write_float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        write_special(value.is_nan(), value < 0.0, out);
    }
}

fn write_base64(value: &[u8], out: &mut Vec<u8>) {
    quoted(out, |out| {
        let start = out.len();
        out.resize(start + value.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(value, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    });
}

/// Appends an interval of months as `+1-02`: years and months.
fn write_months(months: i32, out: &mut Vec<u8>) {
    let absolute = months.unsigned_abs();
    out.push(if months < 0 { b'-' } else { b'+' });
    out.extend_from_slice(itoa::Buffer::new().format(absolute / 12).as_bytes());
    let month = absolute % 12;
    out.extend_from_slice(&[b'-', b'0' + (month / 10) as u8, b'0' + (month % 10) as u8]);
}

/// Appends an interval of days and time as `+3 04:05:06.789`.
fn write_days(days: i64, nanos: i64, out: &mut Vec<u8>) {
    const PER_DAY: i128 = 86_400_000_000_000;
    let total = i128::from(days) * PER_DAY + i128::from(nanos);
    let absolute = total.unsigned_abs();
    out.push(if total < 0 { b'-' } else { b'+' });
    out.extend_from_slice(itoa::Buffer::new().format(absolute / PER_DAY as u128).as_bytes());
    out.push(b' ');
    convert::write_time((absolute % PER_DAY as u128) as i64, TimeUnit::Nanosecond, out);
}

/// What to write for a byte of a string: 0 for itself, `u` for `\u00..`, else the letter of its escape.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 32 {
        table[i] = b'u';
        i += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[8] = b'b';
    table[12] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Whether a byte of these eight needs an escape; may be true for some that do not.
#[inline(always)]
fn may_need_escape(word: u64) -> bool {
    escape_marks(word) != 0
}

/// A bit in each byte that may need an escape.
#[inline(always)]
fn escape_marks(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zero = |x: u64| x.wrapping_sub(LOW) & !x;
    let below_space = word.wrapping_sub(LOW * 0x20) & !word;
    let special = zero(word ^ (LOW * b'"' as u64)) | zero(word ^ (LOW * b'\\' as u64)) | below_space;
    special & 0x8080_8080_8080_8080
}

/// Appends a string in quotes, escaped.
#[inline]
pub(super) fn write_string(value: &str, out: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let special = match bytes.last_chunk::<8>() {
        // All words, and the last eight bytes: without branches, so that several are looked at at once.
        Some(last) => {
            let (words, _) = bytes.as_chunks::<8>();
            let marks = words.iter().fold(0, |marks, word| marks | escape_marks(u64::from_le_bytes(*word)));
            marks | escape_marks(u64::from_le_bytes(*last)) != 0
        }
        None => bytes.iter().any(|b| ESCAPES[usize::from(*b)] != 0),
    };
    if special {
        write_escaped(bytes, out);
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

#[inline(never)]
fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut copied = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape != 0 {
            out.extend_from_slice(&bytes[copied..i]);
            copied = i + 1;
            out.extend_from_slice(&[b'\\', escape]);
            if escape == b'u' {
                let digits = [b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}
