//! Binary values to columns.

pub(super) mod text;

use std::sync::Arc;

use arrow::array::builder::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int8Builder, Int16Builder, Int32Builder, Int64Builder, NullBufferBuilder, StringViewBuilder,
    Time32MillisecondBuilder, Time32SecondBuilder,
};
use arrow::array::{
    Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit};

use super::wire::{EPOCH_DAYS, EPOCH_MICROS, Wire};
use crate::sql::SqlType;

/// Rows that come one by one.
pub(crate) struct Rows {
    columns: Vec<Column>,
    pub(crate) count: usize,
}

impl Rows {
    pub(super) fn new(schema: &SchemaRef, wires: &[Wire]) -> Self {
        let columns = schema.fields().iter().zip(wires).map(|(field, wire)| Column::new(field, wire));
        Self { columns: columns.collect(), count: 0 }
    }

    /// The value of one column of the row that is coming.
    pub(super) fn push(&mut self, column: usize, raw: Option<&[u8]>) -> Result<(), String> {
        match self.columns.get_mut(column) {
            Some(column) => column.push(raw),
            None => Err("a row has more columns than were asked for".into()),
        }
    }

    pub(crate) fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, String> {
        let columns: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| e.to_string())
    }
}

enum Make {
    Bool(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Millis(Time32MillisecondBuilder),
    Seconds(Time32SecondBuilder),
    Stamp(Int64Builder, TimeUnit, Option<Arc<str>>),
    List {
        item: Box<Column>,
        field: FieldRef,
        offsets: Vec<i32>,
        nulls: NullBufferBuilder,
    },
    /// A type that nothing is read into; refused before.
    Never(ArrayRef),
}

struct Column {
    field: FieldRef,
    wire: Wire,
    make: Make,
}

impl Column {
    fn new(field: &FieldRef, wire: &Wire) -> Self {
        let make = match field.data_type() {
            DataType::Boolean => Make::Bool(BooleanBuilder::new()),
            DataType::Int8 => Make::Int8(Int8Builder::new()),
            DataType::Int16 => Make::Int16(Int16Builder::new()),
            DataType::Int32 => Make::Int32(Int32Builder::new()),
            DataType::Int64 => Make::Int64(Int64Builder::new()),
            DataType::Float32 => Make::Float32(Float32Builder::new()),
            DataType::Float64 => Make::Float64(Float64Builder::new()),
            DataType::Decimal128(p, s) => {
                let builder = Decimal128Builder::new().with_data_type(DataType::Decimal128(*p, *s));
                Make::Decimal(builder, *p, *s)
            }
            DataType::Utf8View => Make::Text(StringViewBuilder::new()),
            DataType::BinaryView => Make::Bytes(BinaryViewBuilder::new()),
            DataType::Date32 => Make::Date(Date32Builder::new()),
            DataType::Time32(TimeUnit::Second) => Make::Seconds(Time32SecondBuilder::new()),
            DataType::Time32(_) => Make::Millis(Time32MillisecondBuilder::new()),
            DataType::Timestamp(unit, zone) => Make::Stamp(Int64Builder::new(), *unit, zone.clone()),
            DataType::List(item) => {
                let inner = match wire {
                    Wire::Array(inner, _) => inner.as_ref(),
                    other => other,
                };
                Make::List {
                    item: Box::new(Column::new(item, inner)),
                    field: item.clone(),
                    offsets: vec![0],
                    nulls: NullBufferBuilder::new(0),
                }
            }
            other => Make::Never(arrow::array::new_empty_array(other)),
        };
        Self { field: field.clone(), wire: wire.clone(), make }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> String {
        let shown = SqlType::from_arrow(self.field.data_type());
        let shown = shown.map_or_else(|| self.field.data_type().to_string(), |t| t.to_string());
        format!("column '{}': {what} does not fit {shown}", self.field.name())
    }

    fn no_time(&self, micros: i64) -> String {
        format!(
            "column '{}': {} is no time of day in milliseconds, which is what TIME holds; STRING keeps it",
            self.field.name(),
            clock(micros)
        )
    }

    fn push(&mut self, raw: Option<&[u8]>) -> Result<(), String> {
        let Some(raw) = raw else {
            self.push_null();
            return Ok(());
        };
        match &mut self.make {
            Make::Bool(b) => b.append_value(raw.first().is_some_and(|b| *b != 0)),
            Make::Int8(_) | Make::Int16(_) | Make::Int32(_) | Make::Int64(_) => {
                let value = self.integer(raw)?;
                self.append_whole(value)?;
            }
            Make::Float32(b) => b.append_value(f32::from_be_bytes(fixed(raw)?)),
            Make::Float64(b) => b.append_value(match self.wire {
                Wire::Float4 => f32::from_be_bytes(fixed(raw)?).into(),
                Wire::Int2 => i16::from_be_bytes(fixed(raw)?).into(),
                Wire::Int4 => i32::from_be_bytes(fixed(raw)?).into(),
                _ => f64::from_be_bytes(fixed(raw)?),
            }),
            Make::Decimal(..) => self.push_decimal(raw)?,
            Make::Text(b) => match self.wire {
                Wire::Uuid => b.append_value(uuid::Uuid::from_bytes(fixed(raw)?).to_string()),
                Wire::Int2 => b.append_value(itoa::Buffer::new().format(i16::from_be_bytes(fixed(raw)?))),
                Wire::Int4 => b.append_value(itoa::Buffer::new().format(i32::from_be_bytes(fixed(raw)?))),
                Wire::Int8 => b.append_value(itoa::Buffer::new().format(i64::from_be_bytes(fixed(raw)?))),
                _ => {
                    let raw = if self.wire == Wire::Jsonb { raw.get(1..).unwrap_or_default() } else { raw };
                    match simdutf8::basic::from_utf8(raw) {
                        Ok(text) => b.append_value(text),
                        Err(_) => return Err(self.wrong("a text that is not UTF-8")),
                    }
                }
            },
            Make::Bytes(b) => b.append_value(raw),
            Make::Date(b) => {
                let days = i32::from_be_bytes(fixed(raw)?);
                match days.checked_add(EPOCH_DAYS).filter(|_| days != i32::MAX && days != i32::MIN) {
                    Some(days) => b.append_value(days),
                    None => return Err(self.wrong("an infinite date")),
                }
            }
            Make::Millis(b) => {
                let micros = i64::from_be_bytes(fixed(raw)?);
                match (micros % 1000, i32::try_from(micros / 1000)) {
                    // 24:00:00 is a time there.
                    (0, Ok(millis)) if millis < 86_400_000 => b.append_value(millis),
                    _ => return Err(self.no_time(micros)),
                }
            }
            Make::Seconds(b) => {
                let micros = i64::from_be_bytes(fixed(raw)?);
                match (micros % 1_000_000, i32::try_from(micros / 1_000_000)) {
                    (0, Ok(seconds)) if seconds < 86_400 => b.append_value(seconds),
                    _ => return Err(self.no_time(micros)),
                }
            }
            Make::Stamp(..) => self.push_stamp(raw)?,
            Make::List { .. } => self.push_list(raw)?,
            Make::Never(_) => return Err(self.wrong("a value")),
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match &mut self.make {
            Make::Bool(b) => b.append_null(),
            Make::Int8(b) => b.append_null(),
            Make::Int16(b) => b.append_null(),
            Make::Int32(b) => b.append_null(),
            Make::Int64(b) => b.append_null(),
            Make::Float32(b) => b.append_null(),
            Make::Float64(b) => b.append_null(),
            Make::Decimal(b, ..) => b.append_null(),
            Make::Text(b) => b.append_null(),
            Make::Bytes(b) => b.append_null(),
            Make::Date(b) => b.append_null(),
            Make::Millis(b) => b.append_null(),
            Make::Seconds(b) => b.append_null(),
            Make::Stamp(b, ..) => b.append_null(),
            Make::List { offsets, nulls, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default());
                nulls.append_null();
            }
            Make::Never(_) => {}
        }
    }

    /// A whole number, of an integer or of a NUMERIC without fraction.
    fn integer(&self, raw: &[u8]) -> Result<i64, String> {
        Ok(match self.wire {
            Wire::Int2 => i16::from_be_bytes(fixed(raw)?).into(),
            Wire::Int4 => i32::from_be_bytes(fixed(raw)?).into(),
            Wire::Numeric => {
                let value = numeric(raw, 0).map_err(|what| self.wrong(what))?;
                i64::try_from(value).map_err(|_| self.wrong(value))?
            }
            _ => i64::from_be_bytes(fixed(raw)?),
        })
    }

    fn push_decimal(&mut self, raw: &[u8]) -> Result<(), String> {
        let Make::Decimal(_, _, scale) = self.make else { return Ok(()) };
        let value = match self.wire {
            Wire::Numeric => numeric(raw, scale.into()).map_err(|what| self.wrong(what))?,
            _ => {
                let whole = i128::from(self.integer(raw)?);
                let factor = 10i128.checked_pow(u32::try_from(scale).unwrap_or(0));
                factor.and_then(|f| whole.checked_mul(f)).ok_or_else(|| self.wrong(whole))?
            }
        };
        self.append_decimal(value)
    }

    /// A number that has the scale of the column.
    fn append_decimal(&mut self, value: i128) -> Result<(), String> {
        let Make::Decimal(b, precision, _) = &mut self.make else { return Ok(()) };
        if 10i128.checked_pow((*precision).into()).is_none_or(|limit| value.abs() < limit) {
            b.append_value(value);
            return Ok(());
        }
        Err(self.wrong("a number with more digits"))
    }

    /// A whole number, if the column has such.
    fn append_whole(&mut self, value: i64) -> Result<(), String> {
        macro_rules! narrow {
            ($b:expr) => {
                value.try_into().map(|value| $b.append_value(value)).is_ok()
            };
        }
        let fits = match &mut self.make {
            Make::Int8(b) => narrow!(b),
            Make::Int16(b) => narrow!(b),
            Make::Int32(b) => narrow!(b),
            Make::Int64(b) => {
                b.append_value(value);
                true
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.wrong(value)) }
    }

    fn push_stamp(&mut self, raw: &[u8]) -> Result<(), String> {
        let micros = i64::from_be_bytes(fixed(raw)?);
        let since = micros.checked_add(EPOCH_MICROS).filter(|_| micros != i64::MAX && micros != i64::MIN);
        let Some(since) = since else { return Err(self.wrong("an infinite timestamp")) };
        let Make::Stamp(_, unit, _) = &self.make else { return Ok(()) };
        let value = match unit {
            TimeUnit::Second if since % 1_000_000 == 0 => Some(since / 1_000_000),
            TimeUnit::Millisecond if since % 1000 == 0 => Some(since / 1000),
            TimeUnit::Microsecond => Some(since),
            TimeUnit::Nanosecond => since.checked_mul(1000),
            _ => None,
        };
        let Some(value) = value else {
            let shown = chrono::DateTime::from_timestamp_micros(since);
            let shown = shown.map_or_else(|| since.to_string(), |t| t.naive_utc().to_string());
            return Err(self.wrong(shown));
        };
        if let Make::Stamp(b, ..) = &mut self.make {
            b.append_value(value);
        }
        Ok(())
    }

    fn push_list(&mut self, raw: &[u8]) -> Result<(), String> {
        let mut rest = raw;
        let mut int = || -> Result<i32, String> {
            let (head, tail) = rest.split_at_checked(4).ok_or("an array is cut short")?;
            rest = tail;
            Ok(i32::from_be_bytes(fixed(head)?))
        };
        let dimensions = int()?;
        let (_, _) = (int()?, int()?);
        let mut elements = Vec::new();
        match dimensions {
            0 => {}
            1 => {
                let count = int()?;
                let _lower = int()?;
                for _ in 0..count {
                    let (head, tail) = rest.split_at_checked(4).ok_or("an array is cut short")?;
                    let length = i32::from_be_bytes(fixed(head)?);
                    rest = tail;
                    match usize::try_from(length) {
                        Err(_) => elements.push(None),
                        Ok(length) => {
                            let (value, tail) =
                                rest.split_at_checked(length).ok_or("an array is cut short")?;
                            elements.push(Some(value));
                            rest = tail;
                        }
                    }
                }
            }
            _ => return Err(self.wrong("an array of several dimensions")),
        }
        let Make::List { item, offsets, nulls, .. } = &mut self.make else { return Ok(()) };
        for element in &elements {
            item.push(*element)?;
        }
        let before = offsets.last().copied().unwrap_or_default();
        let after = i32::try_from(elements.len()).ok().and_then(|n| before.checked_add(n));
        offsets.push(after.ok_or("arrays with too many elements")?);
        nulls.append_non_null();
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self.make {
            Make::Bool(mut b) => Arc::new(b.finish()),
            Make::Int8(mut b) => Arc::new(b.finish()),
            Make::Int16(mut b) => Arc::new(b.finish()),
            Make::Int32(mut b) => Arc::new(b.finish()),
            Make::Int64(mut b) => Arc::new(b.finish()),
            Make::Float32(mut b) => Arc::new(b.finish()),
            Make::Float64(mut b) => Arc::new(b.finish()),
            Make::Decimal(mut b, ..) => Arc::new(b.finish()),
            Make::Text(mut b) => Arc::new(b.finish()),
            Make::Bytes(mut b) => Arc::new(b.finish()),
            Make::Date(mut b) => Arc::new(b.finish()),
            Make::Millis(mut b) => Arc::new(b.finish()),
            Make::Seconds(mut b) => Arc::new(b.finish()),
            Make::Stamp(mut b, unit, zone) => {
                let array = b.finish();
                let (values, nulls) = (array.values().clone(), array.nulls().cloned());
                match unit {
                    TimeUnit::Second => {
                        Arc::new(TimestampSecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    TimeUnit::Millisecond => {
                        Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    TimeUnit::Microsecond => {
                        Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    TimeUnit::Nanosecond => {
                        Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                }
            }
            Make::List { item, field, offsets, mut nulls } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::new(field, offsets, item.finish(), nulls.finish()))
            }
            Make::Never(array) => array,
        }
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], String> {
    raw.try_into().map_err(|_| format!("a value has {} bytes where {N} were expected", raw.len()))
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

/// A NUMERIC as an integer with this many decimal places.
fn numeric(raw: &[u8], scale: i32) -> Result<i128, &'static str> {
    let word = |i: usize| Some(u16::from_be_bytes([*raw.get(i * 2)?, *raw.get(i * 2 + 1)?]));
    let cut = "a number that is cut short";
    let (count, weight, sign) = (word(0).ok_or(cut)?, word(1).ok_or(cut)? as i16, word(2).ok_or(cut)?);
    if sign != 0 && sign != 0x4000 {
        return Err("a number that is not finite");
    }
    let (large, small) = ("a number with more digits", "a number with more decimal places");
    let mut value = 0i128;
    for i in 0..usize::from(count) {
        let digit = i128::from(word(4 + i).ok_or(cut)?);
        let power = 4 * (i32::from(weight) - i32::try_from(i).map_err(|_| large)?) + scale;
        if digit == 0 {
            continue;
        }
        let part = match u32::try_from(power) {
            Ok(power) => 10i128.checked_pow(power).and_then(|f| digit.checked_mul(f)).ok_or(large)?,
            Err(_) => {
                let divisor = 10i128.checked_pow(power.unsigned_abs()).ok_or(small)?;
                if digit % divisor != 0 {
                    return Err(small);
                }
                digit / divisor
            }
        };
        value = value.checked_add(part).ok_or(large)?;
    }
    Ok(if sign == 0 { value } else { -value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        // -12345.678: 1 2345 . 6780
        let raw: Vec<u8> = [3u16, 1, 0x4000, 3, 1, 2345, 6780].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(numeric(&raw, 3), Ok(-12_345_678));
        assert_eq!(numeric(&raw, 5), Ok(-1_234_567_800));
        assert!(numeric(&raw, 2).unwrap_err().contains("decimal places"));
        let tiny: Vec<u8> = [1u16, 0xffff, 0, 4, 1].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(numeric(&tiny, 4), Ok(1));
        let nan: Vec<u8> = [0u16, 0, 0xc000, 0].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert!(numeric(&nan, 4).is_err() && numeric(&raw[..5], 3).is_err());
    }
}
