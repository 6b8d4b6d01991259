//! Columns to binary values: rows of COPY, and arrays of keys.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Int64Array, ListArray,
    PrimitiveArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use bytes::{BufMut, BytesMut};

use super::wire::{EPOCH_DAYS, EPOCH_MICROS, Limit, Wire};

/// A column, ready to be written value by value.
pub(super) struct Values {
    name: String,
    wire: Wire,
    from: From,
    limit: Limit,
}

enum From {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(PrimitiveArray<Float64Type>),
    Decimal(Decimal128Array, i8),
    Text(StringViewArray),
    Bytes(BinaryViewArray),
    Date(PrimitiveArray<Date32Type>),
    /// Microseconds of a day.
    Time(Int64Array),
    Stamp(PrimitiveArray<TimestampMicrosecondType>),
    /// Nanoseconds, which may not be cut.
    Nanos(Int64Array),
    List(ListArray, Box<Values>),
}

impl Values {
    /// `wire` must be one that writes from the column's type.
    pub(super) fn new(name: &str, array: &ArrayRef, wire: &Wire) -> Result<Self, String> {
        let to = |t: &DataType| cast(array, t).map_err(|e| format!("column '{name}': {e}"));
        let from = match array.data_type() {
            DataType::Boolean => From::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 if *wire == Wire::Float8 => {
                From::Float(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                From::Int(to(&DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::Float32 | DataType::Float64 => {
                From::Float(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            DataType::Decimal128(_, scale) => {
                From::Decimal(array.as_primitive::<arrow::datatypes::Decimal128Type>().clone(), *scale)
            }
            DataType::Utf8View => From::Text(array.as_string_view().clone()),
            DataType::BinaryView => From::Bytes(array.as_binary_view().clone()),
            DataType::Date32 => From::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Time32(_) => {
                let micros = to(&DataType::Time64(TimeUnit::Microsecond))?;
                let micros = cast(&micros, &DataType::Int64).map_err(|e| e.to_string())?;
                From::Time(micros.as_primitive::<Int64Type>().clone())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                From::Nanos(to(&DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::Timestamp(_, zone) => {
                let micros = to(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                From::Stamp(micros.as_primitive::<TimestampMicrosecondType>().clone())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>().clone();
                let inner = match wire {
                    Wire::Array(inner, _) => inner,
                    _ => return Err(format!("column '{name}' is no array in the database")),
                };
                let values = Values::new(name, list.values(), inner)?;
                From::List(list, Box::new(values))
            }
            other => return Err(format!("column '{name}' of type {other} cannot be written")),
        };
        Ok(Self { name: name.to_string(), wire: wire.clone(), from, limit: Limit::None })
    }

    /// For a column that would round what has more digits, without a word.
    pub(super) fn within(mut self, limit: Limit) -> Self {
        if let From::List(list, values) = self.from {
            self.from = From::List(list, Box::new(values.within(limit)));
        } else {
            self.limit = limit;
        }
        self
    }

    fn is_null(&self, row: usize) -> bool {
        match &self.from {
            From::Bool(a) => a.is_null(row),
            From::Int(a) | From::Time(a) | From::Nanos(a) => a.is_null(row),
            From::Float(a) => a.is_null(row),
            From::Decimal(a, _) => a.is_null(row),
            From::Text(a) => a.is_null(row),
            From::Bytes(a) => a.is_null(row),
            From::Date(a) => a.is_null(row),
            From::Stamp(a) => a.is_null(row),
            From::List(a, _) => a.is_null(row),
        }
    }

    /// Length and bytes of a value; -1 for NULL. An error leaves nothing behind.
    pub(super) fn put(&self, row: usize, out: &mut BytesMut) -> Result<(), String> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        if let Err(e) = self.bytes(row, out) {
            out.truncate(start);
            return Err(e);
        }
        let length = i32::try_from(out.len() - start - 4)
            .map_err(|_| format!("column '{}': a value is too large", self.name))?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn wrong(&self, value: impl std::fmt::Display, what: &str) -> String {
        format!("column '{}': {value} is no {what} of the database", self.name)
    }

    fn bytes(&self, row: usize, out: &mut BytesMut) -> Result<(), String> {
        if self.limit != Limit::None && !self.keeps(row) {
            let (what, shown) = match (&self.from, self.limit) {
                (From::Decimal(a, _), _) => ("numeric", a.value_as_string(row)),
                (From::Int(a), _) => ("numeric", a.value(row).to_string()),
                (From::Text(a), Limit::Number(..)) => ("numeric", a.value(row).to_string()),
                (From::Text(a), _) => ("time", a.value(row).to_string()),
                (From::Time(_), _) => ("time", "a time of day with more digits".to_string()),
                _ => ("timestamp", "a time with more digits".to_string()),
            };
            return Err(format!(
                "column '{}': {shown} does not fit {what}{} of the database",
                self.name, self.limit
            ));
        }
        match (&self.from, &self.wire) {
            (From::Bool(a), _) => out.put_u8(a.value(row).into()),
            (From::Int(a), wire) => self.integer(a.value(row), wire, out)?,
            (From::Float(a), Wire::Float4) => out.put_f32(a.value(row) as f32),
            (From::Float(a), _) => out.put_f64(a.value(row)),
            (From::Decimal(a, scale), Wire::Numeric) => put_numeric(a.value(row), *scale, out),
            (From::Decimal(a, scale), wire) => {
                let factor = 10i128.checked_pow(u32::try_from(*scale).unwrap_or(0)).unwrap_or(1);
                let (whole, rest) = (a.value(row) / factor, a.value(row) % factor);
                match i64::try_from(whole) {
                    Ok(whole) if rest == 0 => self.integer(whole, wire, out)?,
                    _ => return Err(self.wrong(a.value_as_string(row), "integer")),
                }
            }
            (From::Text(a), Wire::Uuid) => {
                let text = a.value(row);
                let uuid =
                    uuid::Uuid::try_parse(text).map_err(|_| self.wrong(format!("'{text}'"), "uuid"))?;
                out.put_slice(uuid.as_bytes());
            }
            (From::Text(a), wire) => {
                if a.value(row).as_bytes().contains(&0) {
                    return Err(format!(
                        "column '{}': a text has the character 0, which is none there",
                        self.name
                    ));
                }
                if *wire == Wire::Jsonb {
                    out.put_u8(1);
                }
                out.put_slice(a.value(row).as_bytes());
            }
            (From::Bytes(a), wire) => {
                if *wire == Wire::Uuid && a.value(row).len() != 16 {
                    return Err(self.wrong("a value that has not 16 bytes", "uuid"));
                }
                out.put_slice(a.value(row));
            }
            (From::Date(a), _) => {
                let days = a.value(row).checked_sub(EPOCH_DAYS);
                out.put_i32(days.ok_or_else(|| self.wrong("a day that is too early", "date"))?);
            }
            (From::Time(a), _) => out.put_i64(a.value(row)),
            (From::Stamp(a), _) => self.micros(a.value(row), out)?,
            (From::Nanos(a), _) => {
                let nanos = a.value(row);
                if nanos % 1000 != 0 {
                    return Err(self.wrong("a time with nanoseconds", "timestamp"));
                }
                self.micros(nanos / 1000, out)?;
            }
            (From::List(list, values), wire) => {
                let Wire::Array(_, element) = wire else { return Err(self.wrong("a list", "value")) };
                let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                put_array(values, from..to, *element, out)?;
            }
        }
        Ok(())
    }

    /// Whether the column has room for all digits of a value.
    fn keeps(&self, row: usize) -> bool {
        let number = |value: i128, scale: i32, keeps: i16| {
            let cut = u32::try_from(scale - i32::from(keeps)).unwrap_or(0);
            value == 0 || 10i128.checked_pow(cut).is_some_and(|factor| value % factor == 0)
        };
        let micros = |value: i64, digits: u32| digits >= 6 || value % 10i64.pow(6 - digits) == 0;
        match (&self.from, self.limit) {
            (From::Decimal(a, scale), Limit::Number(_, keeps)) => {
                number(a.value(row), (*scale).into(), keeps)
            }
            (From::Int(a), Limit::Number(_, keeps)) => number(a.value(row).into(), 0, keeps),
            (From::Stamp(a), Limit::Fraction(digits)) => micros(a.value(row), digits),
            (From::Time(a), Limit::Fraction(digits)) => micros(a.value(row), digits),
            (From::Nanos(a), Limit::Fraction(digits)) => {
                a.value(row) % 1000 == 0 && micros(a.value(row) / 1000, digits)
            }
            (From::Text(a), Limit::Number(_, keeps)) => {
                fraction_digits(a.value(row)) <= u32::try_from(keeps).unwrap_or(0)
            }
            (From::Text(a), Limit::Fraction(digits)) => fraction_digits(a.value(row)) <= digits,
            _ => true,
        }
    }

    fn micros(&self, micros: i64, out: &mut BytesMut) -> Result<(), String> {
        let since = micros.checked_sub(EPOCH_MICROS);
        out.put_i64(since.ok_or_else(|| self.wrong("a time that is too early", "timestamp"))?);
        Ok(())
    }

    fn integer(&self, value: i64, wire: &Wire, out: &mut BytesMut) -> Result<(), String> {
        match wire {
            Wire::Int2 => out.put_i16(i16::try_from(value).map_err(|_| self.wrong(value, "smallint"))?),
            Wire::Int4 => out.put_i32(i32::try_from(value).map_err(|_| self.wrong(value, "integer"))?),
            Wire::Numeric => put_numeric(value.into(), 0, out),
            Wire::Text => out.put_slice(itoa::Buffer::new().format(value).as_bytes()),
            _ => out.put_i64(value),
        }
        Ok(())
    }
}

/// Digits behind the point that are not zero at the end, of a number or of the seconds of a time.
fn fraction_digits(text: &str) -> u32 {
    let Some((_, rest)) = text.split_once('.') else { return 0 };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].trim_end_matches('0').len() as u32
}

/// An array of the values of some rows.
pub(super) fn put_array(
    values: &Values,
    rows: impl ExactSizeIterator<Item = usize>,
    element: u32,
    out: &mut BytesMut,
) -> Result<(), String> {
    let count = rows.len();
    out.put_i32(i32::from(count > 0));
    let nulls = out.len();
    out.put_i32(0);
    out.put_u32(element);
    if count > 0 {
        out.put_i32(i32::try_from(count).map_err(|_| "an array is too long".to_string())?);
        out.put_i32(1);
    }
    for row in rows {
        if values.is_null(row) {
            out[nulls..nulls + 4].copy_from_slice(&1i32.to_be_bytes());
        }
        values.put(row, out)?;
    }
    Ok(())
}

/// NUMERIC: groups of four digits around the point.
fn put_numeric(value: i128, scale: i8, out: &mut BytesMut) {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = value.unsigned_abs().to_string();
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let groups = |text: &str| -> Vec<u16> {
        text.as_bytes()
            .chunks(4)
            .map(|group| group.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
            .collect()
    };
    let (whole, fraction) = (groups(&whole), groups(&fraction));
    let mut weight = whole.len() as i32 - 1;
    let mut all: Vec<u16> = whole.into_iter().chain(fraction).collect();
    let leading = all.iter().take_while(|group| **group == 0).count();
    all.drain(..leading);
    weight -= leading as i32;
    while all.last() == Some(&0) {
        all.pop();
    }
    if all.is_empty() {
        weight = 0;
    }
    out.put_u16(all.len() as u16);
    out.put_i16(weight as i16);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(scale as u16);
    all.iter().for_each(|group| out.put_u16(*group));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_that_a_column_would_round_are_refused() {
        use std::sync::Arc;

        use arrow::array::TimestampMillisecondArray;

        let put = |array: ArrayRef, wire: Wire, limit| {
            let values = Values::new("c", &array, &wire)?.within(limit);
            values.put(0, &mut BytesMut::new())
        };
        let decimal = |value: i128| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_data_type(DataType::Decimal128(10, 3)))
        };
        assert_eq!(put(decimal(1230), Wire::Numeric, Limit::Number(5, 2)), Ok(()));
        let refused = put(decimal(1234), Wire::Numeric, Limit::Number(5, 2));
        assert_eq!(refused.unwrap_err(), "column 'c': 1.234 does not fit numeric(5, 2) of the database");
        assert!(put(decimal(150_000), Wire::Numeric, Limit::Number(5, -2)).is_err());
        assert_eq!(put(decimal(100_000), Wire::Numeric, Limit::Number(5, -2)), Ok(()));
        let millis = |value| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![value])) };
        assert!(put(millis(1500), Wire::Timestamp, Limit::Fraction(0)).is_err());
        assert_eq!(put(millis(1500), Wire::Timestamp, Limit::Fraction(1)), Ok(()));
        let text = |value: &str| -> ArrayRef { Arc::new(StringViewArray::from(vec![value])) };
        assert!(put(text("1.234"), Wire::Text, Limit::Number(5, 2)).is_err());
        assert_eq!(put(text("1.2300"), Wire::Text, Limit::Number(5, 2)), Ok(()));
        assert!(put(text("10:00:00.5+01"), Wire::Text, Limit::Fraction(0)).is_err());
    }

    #[test]
    fn numbers_are_groups_of_four_digits() {
        let written = |value, scale| {
            let mut out = BytesMut::new();
            put_numeric(value, scale, &mut out);
            let words: Vec<u16> = out.chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect();
            words
        };
        assert_eq!(written(-12_345_678, 3), [3, 1, 0x4000, 3, 1, 2345, 6780]);
        assert_eq!(written(0, 2), [0, 0, 0, 2]);
        assert_eq!(written(1, 4), [1, 0xffff, 0, 4, 1]);
        assert_eq!(written(100_000_000, 0), [1, 2, 0, 0, 1]);
    }
}
