//! Columns that are written by row number.
//!
//! A reader may give up in the middle of a record (another order of keys, an error) and read it again or
//! drop it. So nothing is appended: every value is written *at* its row, a second attempt overwrites the
//! first, and a row exists only once the reader counts it. Nested columns follow the same rule: an array
//! writes its items at `ends[row - 1]`.
//!
//! Strings are noted as places in the text and copied into views once per piece of text
//! ([`Field::flush`]), in one loop a column. The copy costs less than what safe code would pay for views
//! into the input (each is checked to be UTF-8 again), and a kept row does not keep its input alive.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanArray, Decimal128Array, Float32Array,
    Float64Array, ListArray, MapArray, PrimitiveArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, FieldRef, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashMap;

use super::convert;
use super::object::ObjectReader;
use super::options::TimestampFormat;
use super::scan::{Fault, Scanned, Text};
use super::store::{Place, Strings, Validity, put};
use crate::error::{Error, Result};
use crate::sql::SqlType;

/// What reading needs to know and count.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// The text.
    pub text: Text<'a>,
    /// `ignore-parse-errors`
    pub ignore_errors: bool,
    /// `fail-on-missing-field`
    pub fail_on_missing: bool,
    /// `fail-on-fraction`
    pub fail_on_fraction: bool,
    /// `strict`
    pub strict: bool,
    /// A field without a column came for the first time.
    pub news: bool,
    /// Form of timestamps.
    pub format: TimestampFormat,
    /// Values that became NULL because they did not fit.
    pub skipped: u64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a column, and strings are read most")]
enum Values {
    Boolean(Vec<bool>),
    /// Every integer type: what fits between the bounds.
    Integer {
        values: Vec<i64>,
        min: i64,
        max: i64,
    },
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Vec<i64>),
    Time(Vec<i64>, TimeUnit),
    Timestamp {
        values: Vec<i64>,
        unit: TimeUnit,
        zoned: bool,
    },
    String(Strings),
    Bytes {
        places: Vec<Place>,
        own: Vec<u8>,
    },
    Array {
        ends: Vec<u32>,
        item: Box<Field>,
    },
    Map {
        ends: Vec<u32>,
        key: Box<Field>,
        value: Box<Field>,
    },
    Row(Box<ObjectReader>),
}

/// What became of a value.
enum Put {
    Done,
    /// It does not fit.
    Misfit,
}

/// A column with its name.
#[derive(Debug)]
pub(super) struct Field {
    /// Name, as in the records.
    pub name: Box<str>,
    nullable: bool,
    data_type: DataType,
    valid: Validity,
    values: Values,
}

fn bounds(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type {
        DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => (i64::MIN, i64::MAX),
        DataType::UInt8 => (0, i64::from(u8::MAX)),
        DataType::UInt16 => (0, i64::from(u16::MAX)),
        DataType::UInt32 => (0, i64::from(u32::MAX)),
        _ => return None,
    })
}

impl Field {
    /// What reads the objects in it: of a ROW, of the elements of an ARRAY, of the values of a MAP.
    pub(super) fn object(&self) -> Option<&ObjectReader> {
        match &self.values {
            Values::Row(reader) => Some(reader),
            Values::Array { item, .. } => item.object(),
            Values::Map { value, .. } => value.object(),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn object_mut(&mut self) -> Option<&mut ObjectReader> {
        match &mut self.values {
            Values::Row(reader) => Some(reader),
            Values::Array { item, .. } => item.object_mut(),
            Values::Map { value, .. } => value.object_mut(),
            _ => None,
        }
    }

    /// A column for values of a field.
    pub(super) fn new(field: &FieldRef) -> Result<Self> {
        let boxed = |f: &FieldRef| Field::new(f).map(Box::new);
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Float32 => Values::Float(Vec::new()),
            DataType::Float64 => Values::Double(Vec::new()),
            DataType::Decimal128(p, s) => Values::Decimal { values: Vec::new(), precision: *p, scale: *s },
            DataType::Date32 | DataType::Date64 => Values::Date(Vec::new()),
            DataType::Time32(unit) | DataType::Time64(unit) => Values::Time(Vec::new(), *unit),
            DataType::Timestamp(unit, zone) => {
                Values::Timestamp { values: Vec::new(), unit: *unit, zoned: zone.is_some() }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Values::String(Strings::default()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Values::Bytes { places: Vec::new(), own: Vec::new() }
            }
            DataType::List(item) => Values::Array { ends: Vec::new(), item: boxed(item)? },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    if pair[0].data_type().is_nested() {
                        return Err(unsupported(field));
                    }
                    Values::Map { ends: Vec::new(), key: boxed(&pair[0])?, value: boxed(&pair[1])? }
                }
                _ => return Err(unsupported(field)),
            },
            DataType::Struct(fields) => Values::Row(Box::new(ObjectReader::new(fields)?)),
            other => match bounds(other) {
                Some((min, max)) => Values::Integer { values: Vec::new(), min, max },
                None => return Err(unsupported(field)),
            },
        };
        Ok(Self {
            name: field.name().as_str().into(),
            nullable: field.is_nullable(),
            data_type: field.data_type().clone(),
            valid: Validity::default(),
            values,
        })
    }

    /// Reads the value at `at` into `row`; returns the position after it.
    #[inline]
    pub(super) fn read(&mut self, cx: &mut Context<'_>, at: usize, row: usize) -> Scanned<usize> {
        match &mut self.values {
            Values::Integer { values, min, max } => {
                if let Some((n, end)) = cx.text.short_integer(at)
                    && n >= *min
                    && n <= *max
                {
                    put(values, row, n, 0);
                    self.valid.set(row);
                    return Ok(end);
                }
            }
            Values::String(strings) if cx.text.peek(at) == b'"' => {
                let (quote, escapes) = cx.text.string_end(at + 1)?;
                if !escapes {
                    strings.put(row, at + 1, quote);
                    self.valid.set(row);
                    return Ok(quote + 1);
                }
            }
            Values::Timestamp { values, unit, zoned } => {
                if cx.text.peek(at) == b'"'
                    && let Some(rest) = cx.text.bytes().get(at + 1..)
                    && let Some((n, length)) = convert::leading_timestamp(rest, *unit)
                    && !(cx.strict && cuts(rest.get(..length).unwrap_or_default(), *unit))
                {
                    let end = at + 1 + length;
                    let quote = if *zoned { end + 1 } else { end };
                    if cx.text.peek(quote) == b'"' && (!*zoned || cx.text.peek(end) == b'Z') {
                        put(values, row, n, 0);
                        self.valid.set(row);
                        return Ok(quote + 1);
                    }
                }
            }
            Values::Row(reader) if cx.text.peek(at) == b'{' => {
                let end = reader.read(cx, at, row)?;
                self.valid.set(row);
                return Ok(end);
            }
            _ => {}
        }
        self.read_any(cx, at, row)
    }

    #[inline(never)]
    fn read_any(&mut self, cx: &mut Context<'_>, at: usize, row: usize) -> Scanned<usize> {
        let text = cx.text;
        let (end, put) = match text.peek(at) {
            b'n' => {
                let end = text.word_end(at, "null")?;
                self.put_null(row, at, end, Some("null"))?;
                return Ok(end);
            }
            b'"' => {
                let (quote, escapes) = text.string_end(at + 1)?;
                (quote + 1, self.put_string(cx, row, at + 1, quote, escapes))
            }
            b'-' | b'0'..=b'9' => {
                let end = text.number_end(at)?;
                (end, self.put_number(row, text, (at, end), cx.fail_on_fraction))
            }
            first @ (b't' | b'f') => {
                let end = text.word_end(at, if first == b't' { "true" } else { "false" })?;
                let put = match &mut self.values {
                    Values::Boolean(values) => {
                        put(values, row, first == b't', false);
                        Put::Done
                    }
                    Values::String(strings) => {
                        strings.put(row, at, end);
                        Put::Done
                    }
                    _ => Put::Misfit,
                };
                (end, put)
            }
            open @ (b'{' | b'[') => match &mut self.values {
                Values::Array { ends, item } if open == b'[' => {
                    (read_array(ends, item, cx, at, row)?, Put::Done)
                }
                Values::Map { ends, key, value } if open == b'{' => {
                    (read_map(ends, key, value, cx, at, row)?, Put::Done)
                }
                Values::String(strings) => {
                    let end = text.value_end(at)?;
                    strings.put_own(row, |own| text.compact(at, end, own));
                    (end, Put::Done)
                }
                _ => (text.value_end(at)?, Put::Misfit),
            },
            _ => return Err(Fault::syntax(at, "a JSON value")),
        };
        match put {
            Put::Done => self.valid.set(row),
            Put::Misfit if cx.ignore_errors => {
                cx.skipped += 1;
                self.put_null(row, at, end, None)?;
            }
            Put::Misfit => return Err(self.misfit(cx, at, end)),
        }
        Ok(end)
    }

    fn put_string(&mut self, cx: &Context<'_>, row: usize, start: usize, quote: usize, escapes: bool) -> Put {
        if let Values::String(strings) = &mut self.values {
            if escapes {
                strings.put_own(row, |own| cx.text.unescape(start, quote, own));
            } else {
                strings.put(row, start, quote);
            }
            return Put::Done;
        }
        let value = string(cx.text, start, quote, escapes);
        if cx.strict {
            match &self.values {
                // Codes have leading zeros, which a number has not.
                Values::Integer { .. } | Values::Float(_) | Values::Double(_) | Values::Decimal { .. } => {
                    return Put::Misfit;
                }
                Values::Timestamp { unit, .. } | Values::Time(_, unit) if cuts(value.as_bytes(), *unit) => {
                    return Put::Misfit;
                }
                _ => {}
            }
        }
        self.put_text(row, &value)
    }

    /// From the characters of a JSON string; not for columns of strings.
    fn put_text(&mut self, row: usize, value: &str) -> Put {
        fn at<T: Copy + Default>(values: &mut Vec<T>, row: usize, value: Option<T>) -> Put {
            match value {
                Some(value) => {
                    put(values, row, value, T::default());
                    Put::Done
                }
                None => Put::Misfit,
            }
        }
        let text = value.trim();
        match &mut self.values {
            Values::Boolean(values) => {
                let word = |word: &str, value: bool| text.eq_ignore_ascii_case(word).then_some(value);
                at(values, row, word("true", true).or_else(|| word("false", false)))
            }
            Values::Integer { values, min, max } => {
                at(values, row, convert::integer(text).filter(|n| (*min..=*max).contains(n)))
            }
            Values::Float(values) => at(values, row, convert::float(text)),
            Values::Double(values) => at(values, row, convert::double(text)),
            Values::Decimal { values, precision, scale } => {
                // Flink reads NULL where it has too many digits: that is an error here, wherever it comes from.
                at(values, row, convert::decimal(text, *precision, *scale).flatten())
            }
            Values::Date(values) => at(values, row, convert::date(text)),
            Values::Time(values, unit) => at(values, row, convert::time(text, *unit)),
            Values::Timestamp { values, unit, zoned } => {
                at(values, row, convert::timestamp(text, *unit, *zoned))
            }
            Values::Bytes { places, own } => {
                let start = own.len();
                if STANDARD.decode_vec(value, own).is_err() {
                    own.truncate(start);
                    return Put::Misfit;
                }
                let place = Place { start: start as u32, length: (own.len() - start) as u32 };
                put(places, row, place, Place::default());
                Put::Done
            }
            Values::String(_) | Values::Array { .. } | Values::Map { .. } | Values::Row(_) => Put::Misfit,
        }
    }

    fn put_number(
        &mut self,
        row: usize,
        text: Text<'_>,
        (at, end): (usize, usize),
        fail_on_fraction: bool,
    ) -> Put {
        let written = text.part(at, end);
        match &mut self.values {
            Values::Integer { values, min, max } => {
                // TINYINT and SMALLINT are read from digits alone, as Flink reads them.
                let number = match *max > i64::from(i16::MAX) {
                    true if fail_on_fraction => convert::whole_number(written),
                    true => convert::truncated_integer(written),
                    false => convert::integer(written),
                };
                match number.filter(|n| (*min..=*max).contains(n)) {
                    Some(n) => put(values, row, n, 0),
                    None => return Put::Misfit,
                }
                Put::Done
            }
            Values::String(strings) => {
                strings.put(row, at, end);
                Put::Done
            }
            // The text is a number already; beyond the range of the type it is infinite, as in Flink.
            Values::Double(values) => match fast_float2::parse(written) {
                Ok(n) => {
                    put(values, row, n, 0.0);
                    Put::Done
                }
                Err(_) => Put::Misfit,
            },
            Values::Float(_) | Values::Decimal { .. } => self.put_text(row, written),
            _ => Put::Misfit,
        }
    }

    /// A row is NULL because its record lacks the field.
    pub(super) fn put_missing(&mut self, cx: &Context<'_>, row: usize, at: usize) -> Scanned<()> {
        if cx.fail_on_missing {
            let mut fault = Fault::syntax(at, "the field, which 'json.fail-on-missing-field' demands");
            fault.found = Some("a record without it");
            return Err(fault);
        }
        self.put_null(row, at, at, Some("a record without it"))
    }

    fn put_null(&mut self, row: usize, at: usize, end: usize, found: Option<&'static str>) -> Scanned<()> {
        if !self.nullable {
            let mut fault = Fault::syntax(at, "a value for a NOT NULL column");
            fault.end = Some(end);
            fault.found = found;
            fault.hint = Some("declare the column without NOT NULL to accept records without a value");
            return Err(fault);
        }
        self.clear(row);
        Ok(())
    }

    /// Makes a row NULL, and so all that is nested in it.
    pub(super) fn clear(&mut self, row: usize) {
        self.valid.clear(row);
        match &mut self.values {
            Values::Array { ends, .. } | Values::Map { ends, .. } => {
                let start = first_item(ends, row);
                put(ends, row, start, 0);
            }
            Values::Row(reader) => reader.clear(row),
            _ => {}
        }
    }

    #[cold]
    fn misfit(&self, cx: &Context<'_>, at: usize, end: usize) -> Box<Fault> {
        let name = SqlType::from_arrow(&self.data_type).map_or_else(String::new, |t| t.to_string());
        let iso = cx.format == TimestampFormat::Iso8601;
        let expected = match &self.values {
            Values::Date(_) => format!("{name} as \"2020-01-31\""),
            Values::Time(..) => format!("{name} as \"10:15:30.123\""),
            Values::Timestamp { zoned, .. } => {
                let (separator, zone) = (if iso { 'T' } else { ' ' }, if *zoned { "Z" } else { "" });
                format!("{name} as \"2020-01-31{separator}10:15:30.123{zone}\"")
            }
            Values::Bytes { .. } => format!("{name} as Base64"),
            Values::Boolean(_) => format!("{name}, true or false"),
            _ => name,
        };
        let mut fault = Fault::syntax(at, expected);
        fault.end = Some(end);
        if cx.strict && cx.text.peek(at) == b'"' {
            let written = cx.text.part(at, end);
            match &self.values {
                Values::Timestamp { unit, .. } | Values::Time(_, unit) if cuts(written.as_bytes(), *unit) => {
                    fault.hint = Some(
                        "digits of the fraction would be lost: declare the columns, this one with precision 6 or 9 \
                         (CREATE TABLE t (..., ts TIMESTAMP(6)) WITH (...)); 'json.strict' = 'false' cuts them off",
                    );
                    return fault;
                }
                Values::Integer { .. } | Values::Float(_) | Values::Double(_) | Values::Decimal { .. } => {
                    fault.hint = Some(
                        "the records before had numbers here, this one has a text: declare the columns, this one as STRING \
                         (CREATE TABLE t (..., c STRING) WITH (...)); 'json.strict' = 'false' reads it as a number",
                    );
                    return fault;
                }
                _ => {}
            }
        }
        if let Values::Timestamp { unit, zoned, .. } = &self.values {
            let written = cx.text.part(at, end).trim_matches('"');
            let digits =
                written.split(['.', 'e', 'E']).next().unwrap_or_default().trim_start_matches('-').len();
            fault.hint = match cx.text.peek(at) {
                // As Unix and Python count: ten digits are seconds of this age.
                b'0'..=b'9' | b'-' if digits <= 11 && written.contains('.') => Some(
                    "a number is no timestamp: declare the column as DOUBLE and compute \
                     TO_TIMESTAMP_LTZ(CAST(column * 1000 AS BIGINT), 3), if it counts seconds",
                ),
                b'0'..=b'9' | b'-' if digits <= 11 => Some(
                    "a number is no timestamp: declare the column as BIGINT and compute \
                     TO_TIMESTAMP_LTZ(column, 0), if it counts seconds",
                ),
                b'0'..=b'9' | b'-' if digits >= 15 => Some(
                    "a number is no timestamp: declare the column as BIGINT and compute \
                     TO_TIMESTAMP_LTZ(column / 1000, 3), if it counts microseconds",
                ),
                b'0'..=b'9' | b'-' => Some(
                    "a number is no timestamp: declare the column as BIGINT and compute \
                     TO_TIMESTAMP_LTZ(column, 3)",
                ),
                _ if convert::timestamp(written, *unit, !*zoned).is_some() && *zoned => Some(
                    "a TIMESTAMP_LTZ is written with Z or an offset; declare the column as TIMESTAMP(3), \
                     which has none",
                ),
                _ if convert::timestamp(written, *unit, !*zoned).is_some() => {
                    Some("the value has a zone: declare the column as TIMESTAMP_LTZ(3)")
                }
                _ => None,
            };
        }
        fault
    }

    /// Takes over what the first `rows` rows point to in the text, which then may go.
    pub(super) fn flush(&mut self, rows: usize, text: &str) -> Result<()> {
        match &mut self.values {
            Values::String(strings) => strings.flush(rows, text, &self.valid),
            Values::Array { ends, item } => item.flush(first_item(ends, rows) as usize, text),
            Values::Map { ends, key, value } => {
                let items = first_item(ends, rows) as usize;
                key.flush(items, text)?;
                value.flush(items, text)
            }
            Values::Row(reader) => reader.flush(rows, text),
            _ => Ok(()),
        }
    }

    /// The first `rows` rows, which were flushed, as an array; begins anew.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        let nulls = self.valid.finish(rows);
        Ok(match &mut self.values {
            Values::Boolean(values) => {
                values.resize(rows, false);
                let bits = BooleanBuffer::from(values.as_slice());
                values.clear();
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Values::Integer { values, .. }
            | Values::Date(values)
            | Values::Time(values, _)
            | Values::Timestamp { values, .. } => integers(&self.data_type, taken(values, rows), nulls)?,
            Values::Float(values) => Arc::new(Float32Array::new(taken(values, rows).into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(taken(values, rows).into(), nulls)),
            Values::Decimal { values, .. } => Arc::new(
                Decimal128Array::new(taken(values, rows).into(), nulls)
                    .with_data_type(self.data_type.clone()),
            ),
            Values::String(strings) => {
                let array = strings.finish();
                match &self.data_type {
                    DataType::Utf8View => Arc::new(array),
                    other => arrow::compute::cast(&array, other)?,
                }
            }
            Values::Bytes { places, own } => {
                let mut builder = BinaryViewBuilder::with_capacity(rows)
                    .with_fixed_block_size(own.len().clamp(1, 1 << 20) as u32);
                places.resize(rows, Place::default());
                for (row, place) in places.iter().enumerate() {
                    if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                        builder.append_null();
                    } else {
                        let start = place.start as usize;
                        let value = own.get(start..start + place.length as usize).unwrap_or_default();
                        builder.try_append_value(value)?;
                    }
                }
                places.clear();
                own.clear();
                arrow::compute::cast(&builder.finish(), &self.data_type)?
            }
            Values::Array { ends, item } => {
                let (offsets, items) = offsets(ends, rows);
                let field = match &self.data_type {
                    DataType::List(field) => Arc::clone(field),
                    _ => return Err(Error::internal("an array column that is no list")),
                };
                Arc::new(ListArray::try_new(field, offsets, item.finish(items)?, nulls)?)
            }
            Values::Map { ends, key, value } => {
                let (offsets, items) = offsets(ends, rows);
                let (entries, sorted) = match &self.data_type {
                    DataType::Map(entries, sorted) => (Arc::clone(entries), *sorted),
                    _ => return Err(Error::internal("a map column that is no map")),
                };
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(Error::internal("a map without pairs"));
                };
                let pairs =
                    StructArray::try_new(pair.clone(), vec![key.finish(items)?, value.finish(items)?], None)?;
                Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, sorted)?)
            }
            Values::Row(reader) => {
                let columns = reader.finish(rows)?;
                let DataType::Struct(fields) = &self.data_type else {
                    return Err(Error::internal("a row column that is no struct"));
                };
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?)
            }
        })
    }
}

/// Whether a written time has digits of a second beyond a unit, other than zeros.
pub(super) fn cuts(written: &[u8], unit: TimeUnit) -> bool {
    let kept = match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    let Some(point) = memchr::memchr(b'.', written) else { return false };
    let digits = written[point + 1..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.skip(kept).any(|digit| *digit != b'0')
}

fn unsupported(field: &FieldRef) -> Error {
    let name = SqlType::from_arrow(field.data_type())
        .map_or_else(|| field.data_type().to_string(), |t| t.to_string());
    Error::unsupported(format!("format 'json' cannot read column '{}' of type {name}", field.name()))
}

/// The characters of a string.
pub(super) fn string(text: Text<'_>, start: usize, quote: usize, escapes: bool) -> Cow<'_, str> {
    if escapes {
        let mut own = String::with_capacity(quote - start);
        text.unescape(start, quote, &mut own);
        Cow::Owned(own)
    } else {
        Cow::Borrowed(text.part(start, quote))
    }
}

fn first_item(ends: &[u32], row: usize) -> u32 {
    row.checked_sub(1).and_then(|previous| ends.get(previous)).copied().unwrap_or(0)
}

fn read_array(
    ends: &mut Vec<u32>,
    item: &mut Field,
    cx: &mut Context<'_>,
    at: usize,
    row: usize,
) -> Scanned<usize> {
    let first = first_item(ends, row) as usize;
    let mut next = first;
    let mut at = cx.text.skip_space(at + 1);
    if cx.text.peek(at) != b']' {
        loop {
            at = item.read(cx, at, next).map_err(|f| f.within(&format!("[{}]", next - first + 1)))?;
            next += 1;
            at = cx.text.skip_space(at);
            match cx.text.peek(at) {
                b',' => at = cx.text.skip_space(at + 1),
                b']' => break,
                _ => return Err(Fault::syntax(at, "',' or ']'")),
            }
        }
    }
    put(ends, row, next as u32, 0);
    Ok(at + 1)
}

fn read_map(
    ends: &mut Vec<u32>,
    key: &mut Field,
    value: &mut Field,
    cx: &mut Context<'_>,
    at: usize,
    row: usize,
) -> Scanned<usize> {
    let text = cx.text;
    let first = first_item(ends, row) as usize;
    let mut entries: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut next = first;
    let mut at = text.skip_space(at + 1);
    if text.peek(at) != b'}' {
        loop {
            let name = at;
            let (quote, escapes, start) = text.key(at)?;
            let written = string(text, name + 1, quote, escapes);
            // The last value of a key that comes twice wins.
            let known = entries.get(&written).copied();
            let entry = known.unwrap_or(next);
            if known.is_none() && !matches!(key.put_string(cx, entry, name + 1, quote, escapes), Put::Done) {
                // A key cannot be NULL: without a valid one there is no entry.
                if !cx.ignore_errors {
                    return Err(key.misfit(cx, name, quote + 1).within("key"));
                }
                cx.skipped += 1;
                at = text.value_end(start)?;
            } else {
                at = value.read(cx, start, entry).map_err(|f| f.within(&written))?;
                if known.is_none() {
                    key.valid.set(entry);
                    next += 1;
                    entries.insert(written, entry);
                }
            }
            at = text.skip_space(at);
            match text.peek(at) {
                b',' => at = text.skip_space(at + 1),
                b'}' => break,
                _ => return Err(Fault::syntax(at, "',' or '}'")),
            }
        }
    }
    put(ends, row, next as u32, 0);
    Ok(at + 1)
}

/// The first values, for an array; the next batch begins with as much room.
fn taken<T: Copy + Default>(values: &mut Vec<T>, rows: usize) -> Vec<T> {
    values.resize(rows, T::default());
    std::mem::replace(values, Vec::with_capacity(rows))
}

fn offsets(ends: &mut Vec<u32>, rows: usize) -> (OffsetBuffer<i32>, usize) {
    ends.resize(rows, ends.last().copied().unwrap_or(0));
    let offsets: Vec<i32> = std::iter::once(0).chain(ends.iter().map(|end| *end as i32)).collect();
    let items = ends.last().copied().unwrap_or(0) as usize;
    ends.clear();
    (OffsetBuffer::new(offsets.into()), items)
}

fn integers(data_type: &DataType, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    fn narrow<T: ArrowPrimitiveType>(
        values: &[i64],
        nulls: Option<NullBuffer>,
        convert: impl Fn(i64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = values.iter().map(|v| convert(*v)).collect();
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
    }
    fn wide<T: ArrowPrimitiveType<Native = i64>>(
        values: Vec<i64>,
        nulls: Option<NullBuffer>,
        data_type: &DataType,
    ) -> ArrayRef {
        let values = ScalarBuffer::from(values);
        Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
    }
    // The bounds were checked when the values were read.
    Ok(match data_type {
        DataType::Int8 => narrow::<Int8Type>(&values, nulls, |v| v as i8),
        DataType::Int16 => narrow::<Int16Type>(&values, nulls, |v| v as i16),
        DataType::Int32 => narrow::<Int32Type>(&values, nulls, |v| v as i32),
        DataType::UInt8 => narrow::<UInt8Type>(&values, nulls, |v| v as u8),
        DataType::UInt16 => narrow::<UInt16Type>(&values, nulls, |v| v as u16),
        DataType::UInt32 => narrow::<UInt32Type>(&values, nulls, |v| v as u32),
        DataType::Date32 => narrow::<Date32Type>(&values, nulls, |v| v as i32),
        DataType::Date64 => narrow::<Date64Type>(&values, nulls, |v| v * 86_400_000),
        DataType::Time32(TimeUnit::Second) => narrow::<Time32SecondType>(&values, nulls, |v| v as i32),
        DataType::Time32(_) => narrow::<Time32MillisecondType>(&values, nulls, |v| v as i32),
        DataType::Int64 => wide::<Int64Type>(values, nulls, data_type),
        DataType::Time64(TimeUnit::Microsecond) => wide::<Time64MicrosecondType>(values, nulls, data_type),
        DataType::Time64(_) => wide::<Time64NanosecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Second, _) => wide::<TimestampSecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            wide::<TimestampMillisecondType>(values, nulls, data_type)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            wide::<TimestampMicrosecondType>(values, nulls, data_type)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            wide::<TimestampNanosecondType>(values, nulls, data_type)
        }
        other => return Err(Error::internal(format!("a column of {other} that holds integers"))),
    })
}
