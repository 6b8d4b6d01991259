//! Columns on their way to code outside and back, as Python workers and WebAssembly get them: Arrow's buffers one after
//! the other, each on 8 bytes.
//!
//! ```text
//!  column:  has NULLs (8 bytes) │ validity │ numbers: data │ text: offsets, data │ ARRAY, MAP: offsets, columns
//!                                          │ ROW: columns
//! ```
//! What comes back is checked as if it came from anywhere.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::sql::SqlType;

/// What a Python worker is told of a type.
pub fn kind(data_type: &DataType) -> Result<Value> {
    let sql = SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |t| t.to_string());
    let named = |t: &str| json!({ "t": t, "sql": sql });
    let fields = |fields: &Fields| -> Result<Vec<Value>> {
        fields.iter().map(|f| Ok(json!([f.name(), kind(f.data_type())?]))).collect()
    };
    Ok(match data_type {
        DataType::Boolean => named("bool"),
        DataType::Int8 => named("i8"),
        DataType::Int16 => named("i16"),
        DataType::Int32 => named("i32"),
        DataType::Int64 => named("i64"),
        DataType::Float32 => named("f32"),
        DataType::Float64 => named("f64"),
        DataType::Utf8 | DataType::Utf8View | DataType::Null => named("str"),
        DataType::Binary | DataType::BinaryView => named("bytes"),
        DataType::Date32 => named("date"),
        DataType::Time32(TimeUnit::Millisecond) => named("time"),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "us",
                TimeUnit::Nanosecond => "ns",
            };
            json!({ "t": "ts", "unit": unit, "zone": zone.is_some(), "sql": sql })
        }
        DataType::Decimal128(p, s) => json!({ "t": "dec", "p": p, "s": s, "sql": sql }),
        DataType::List(item) => json!({ "t": "list", "item": kind(item.data_type())?, "sql": sql }),
        DataType::Struct(columns) => json!({ "t": "row", "fields": fields(columns)?, "sql": sql }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => json!({
                "t": "map", "key": kind(pair[0].data_type())?, "value": kind(pair[1].data_type())?, "sql": sql,
            }),
            _ => return Err(Error::internal("a MAP without keys and values")),
        },
        _ => {
            return Err(Error::unsupported(format!(
                "{sql} cannot be an argument or result of a Python function"
            ))
            .with_hint("cast it to STRING, or a number"));
        }
    })
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Appends a number.
pub fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u64).to_le_bytes());
}

/// Appends bytes with their length.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len());
    padded(out, bytes);
}

fn write_values<T: ArrowPrimitiveType>(out: &mut Vec<u8>, array: &dyn Array) {
    padded(out, array.as_primitive::<T>().values().inner().as_slice());
}

/// Offsets from 0, and the range of what they point into.
fn write_offsets(out: &mut Vec<u8>, offsets: &[i32]) -> (usize, usize) {
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    if offsets.is_empty() {
        padded(out, &0i32.to_le_bytes());
    } else {
        offsets.iter().for_each(|o| out.extend_from_slice(&(o - first).to_le_bytes()));
        out.resize(out.len().next_multiple_of(8), 0);
    }
    (first as usize, last as usize)
}

/// Appends a column.
pub fn write(out: &mut Vec<u8>, array: &dyn Array) -> Result<()> {
    match array.data_type() {
        DataType::Utf8View | DataType::Null => return write(out, &cast(array, &DataType::Utf8)?),
        DataType::BinaryView => return write(out, &cast(array, &DataType::Binary)?),
        _ => {}
    }
    let nulls = array.nulls().filter(|n| n.null_count() > 0);
    write_number(out, usize::from(nulls.is_some()));
    if let Some(nulls) = nulls {
        padded(out, nulls.inner().sliced().as_slice().get(..array.len().div_ceil(8)).unwrap_or_default());
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values().sliced();
            padded(out, values.as_slice().get(..array.len().div_ceil(8)).unwrap_or_default());
        }
        DataType::Int8 => write_values::<Int8Type>(out, array),
        DataType::Int16 => write_values::<Int16Type>(out, array),
        DataType::Int32 => write_values::<Int32Type>(out, array),
        DataType::Int64 => write_values::<Int64Type>(out, array),
        DataType::Float32 => write_values::<Float32Type>(out, array),
        DataType::Float64 => write_values::<Float64Type>(out, array),
        DataType::Date32 => write_values::<Date32Type>(out, array),
        DataType::Time32(TimeUnit::Millisecond) => write_values::<Time32MillisecondType>(out, array),
        DataType::Timestamp(TimeUnit::Second, _) => write_values::<TimestampSecondType>(out, array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => write_values::<TimestampMillisecondType>(out, array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => write_values::<TimestampMicrosecondType>(out, array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => write_values::<TimestampNanosecondType>(out, array),
        DataType::Decimal128(..) => write_values::<Decimal128Type>(out, array),
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            let (first, last) = write_offsets(out, text.value_offsets());
            padded(out, text.value_data().get(first..last).unwrap_or_default());
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            let (first, last) = write_offsets(out, bytes.value_offsets());
            padded(out, bytes.value_data().get(first..last).unwrap_or_default());
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, last) = write_offsets(out, list.value_offsets());
            write(out, &list.values().slice(first, last - first))?;
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, last) = write_offsets(out, map.value_offsets());
            write(out, &map.keys().slice(first, last - first))?;
            write(out, &map.values().slice(first, last - first))?;
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                write(out, column)?;
            }
        }
        other => return Err(Error::unsupported(format!("{other} cannot be an argument of this function"))),
    }
    Ok(())
}

/// Reads a payload.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

fn broken() -> Error {
    Error::decode("what came back is not a column of the declared type")
}

impl<'a> Reader<'a> {
    /// From its begin.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (part, rest) = self.bytes.split_at_checked(size).ok_or_else(broken)?;
        let pad = size.next_multiple_of(8) - size;
        self.bytes = rest.get(pad..).ok_or_else(broken)?;
        Ok(part)
    }

    /// A number.
    pub fn number(&mut self) -> Result<usize> {
        let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| broken())?;
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| broken())
    }

    /// Bytes with their length.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let size = self.number()?;
        self.take(size)
    }

    /// A column of a type.
    pub fn column(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
        let plain = plain(data_type);
        let array = make_array(self.data(&plain, rows)?);
        Ok(if plain == *data_type { array } else { cast(&array, data_type)? })
    }

    fn offsets(&mut self, rows: usize) -> Result<(Buffer, usize)> {
        let size = rows.checked_add(1).and_then(|n| n.checked_mul(4)).ok_or_else(broken)?;
        let bytes = self.take(size)?;
        let last: [u8; 4] = bytes[size - 4..].try_into().map_err(|_| broken())?;
        let last = usize::try_from(i32::from_le_bytes(last)).map_err(|_| broken())?;
        Ok((Buffer::from(bytes), last))
    }

    fn data(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayData> {
        let nulls = match self.number()? {
            0 => None,
            _ => {
                let bits = Buffer::from(self.take(rows.div_ceil(8))?);
                Some(NullBuffer::new(BooleanBuffer::new(bits, 0, rows)))
            }
        };
        let builder = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls);
        let builder = match data_type {
            DataType::Boolean => builder.add_buffer(self.take(rows.div_ceil(8))?.into()),
            DataType::Utf8 | DataType::Binary => {
                let (offsets, last) = self.offsets(rows)?;
                builder.add_buffer(offsets).add_buffer(self.take(last)?.into())
            }
            DataType::List(item) => {
                let (offsets, last) = self.offsets(rows)?;
                builder.add_buffer(offsets).add_child_data(self.data(item.data_type(), last)?)
            }
            DataType::Map(entries, _) => {
                let (offsets, last) = self.offsets(rows)?;
                let DataType::Struct(pair) = entries.data_type() else { return Err(broken()) };
                let columns =
                    pair.iter().map(|f| self.data(f.data_type(), last)).collect::<Result<Vec<_>>>()?;
                let entries =
                    ArrayData::builder(entries.data_type().clone()).len(last).child_data(columns).build()?;
                builder.add_buffer(offsets).add_child_data(entries)
            }
            DataType::Struct(fields) => {
                let columns =
                    fields.iter().map(|f| self.data(f.data_type(), rows)).collect::<Result<Vec<_>>>()?;
                builder.child_data(columns)
            }
            other => {
                let width = other.primitive_width().ok_or_else(broken)?;
                let size = rows.checked_mul(width).ok_or_else(broken)?;
                builder.add_buffer(self.take(size)?.into())
            }
        };
        let data = builder.build()?;
        data.validate_full()?;
        Ok(data)
    }
}

/// The type without views, as it travels.
fn plain(data_type: &DataType) -> DataType {
    let field = |f: &FieldRef| Arc::new(Field::new(f.name(), plain(f.data_type()), f.is_nullable()));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{BooleanArray, Int32Array, ListArray, StringViewArray, StructArray};

    use super::*;

    fn there_and_back(array: ArrayRef) {
        let mut bytes = Vec::new();
        write(&mut bytes, &array).unwrap();
        let mut reader = Reader::new(&bytes);
        let back = reader.column(array.data_type(), array.len()).unwrap();
        assert_eq!(&back, &array);
        assert!(reader.bytes.is_empty());
    }

    #[test]
    fn columns_travel() {
        let texts = StringViewArray::from(vec![Some("a"), None, Some("a longer text than a view holds")]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(7)]),
        ]);
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
        let row = StructArray::from(vec![
            (Arc::new(Field::new("a", DataType::Int32, true)), ints.clone()),
            (Arc::new(Field::new("b", DataType::Utf8View, true)), Arc::new(texts.clone()) as ArrayRef),
        ]);
        there_and_back(Arc::new(texts.slice(1, 2)));
        there_and_back(Arc::new(lists.slice(1, 3)));
        there_and_back(ints.slice(1, 2));
        there_and_back(Arc::new(row));
        there_and_back(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]).slice(1, 2)));
        there_and_back(Arc::new(StringViewArray::from(Vec::<&str>::new())));
    }

    #[test]
    fn frames_that_are_no_column_are_errors() {
        let mut bytes = Vec::new();
        write(&mut bytes, &StringViewArray::from(vec!["ab", "c"])).unwrap();
        for cut in 0..bytes.len() {
            assert!(Reader::new(&bytes[..cut]).column(&DataType::Utf8View, 2).is_err(), "{cut}");
        }
        // Offsets that point elsewhere, and bytes that are no text.
        let mut wrong = bytes.clone();
        wrong[8 + 4] = 200;
        assert!(Reader::new(&wrong).column(&DataType::Utf8View, 2).is_err());
        let last = bytes.len() - 8;
        bytes[last] = 0xff;
        assert!(Reader::new(&bytes).column(&DataType::Utf8View, 2).is_err());
    }
}
