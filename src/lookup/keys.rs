//! Lookup keys as bytes: one view a row, made once per chunk.
//!
//! A cache wants to compare and hash keys without looking at types. Every key therefore becomes a byte
//! string in a [`BinaryViewArray`]: a single text or binary column *is* one already, fixed-width values
//! are written into the view itself, and everything else goes through Arrow's row format. Keys of up to
//! 12 bytes are inline in their view and compare as one 128-bit number.
//!
//! The encoding is not stored anywhere and never leaves the process.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, SchemaRef, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::row::{RowConverter, SortField};

use crate::error::{Error, Result};

/// Key columns of one chunk and their encoding.
#[derive(Debug, Clone)]
pub struct KeyColumns {
    /// One array per key column.
    pub columns: Vec<ArrayRef>,
    /// The encoded keys; NULL where nothing is to be looked up.
    pub bytes: BinaryViewArray,
}

impl KeyColumns {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// No row at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Encodes the key columns of one lookup.
#[derive(Debug)]
pub struct KeyEncoder {
    types: Vec<DataType>,
    encoding: Encoding,
    /// NULL is a key like others.
    nulls: bool,
}

#[derive(Debug)]
enum Encoding {
    Text,
    Bytes,
    Fixed,
    Rows(Box<RowConverter>),
}

impl KeyEncoder {
    /// An encoder for columns of these types.
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        let types: Vec<_> = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        Self::with(types, false)
    }

    /// The same, for keys of which NULL is one like others.
    pub fn with_nulls(schema: &SchemaRef) -> Result<Self> {
        Self::with(schema.fields().iter().map(|f| f.data_type().clone()).collect(), true)
    }

    fn with(types: Vec<DataType>, nulls: bool) -> Result<Self> {
        let encoding = match types.as_slice() {
            [] => return Err(Error::internal("a lookup without key columns")),
            _ if nulls => Self::rows(&types)?,
            [DataType::Utf8View] => Encoding::Text,
            [DataType::BinaryView] => Encoding::Bytes,
            [t] if fixed(t) => Encoding::Fixed,
            _ => Self::rows(&types)?,
        };
        Ok(Self { types, encoding, nulls })
    }

    fn rows(types: &[DataType]) -> Result<Encoding> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported("a key column's type cannot be looked up with").with_detail(e.to_string())
        })?;
        Ok(Encoding::Rows(Box::new(converter)))
    }

    /// Encodes the keys of a chunk. A key with a NULL component is NULL, and so is the key of a row that
    /// `wanted` leaves out.
    pub fn encode(&self, columns: Vec<ArrayRef>, wanted: Option<&NullBuffer>) -> Result<KeyColumns> {
        if !columns.iter().map(|c| c.data_type()).eq(&self.types) {
            let found: Vec<_> = columns.iter().map(|c| c.data_type().to_string()).collect();
            return Err(Error::internal(format!(
                "lookup keys of types [{}] where {:?} are expected",
                found.join(", "),
                self.types
            )));
        }
        let bytes = match &self.encoding {
            Encoding::Text => columns[0].as_string_view().clone().to_binary_view(),
            Encoding::Bytes => columns[0].as_binary_view().clone(),
            Encoding::Fixed => inline(&columns[0])?,
            Encoding::Rows(converter) => {
                let rows = converter.convert_columns(&columns)?;
                BinaryViewArray::from(&rows.try_into_binary()?)
            }
        };
        let mut nulls = wanted.cloned();
        for column in columns.iter().filter(|_| !self.nulls) {
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
        let nulls = nulls.filter(|n| n.null_count() > 0);
        let bytes = if nulls.as_ref() == bytes.nulls() {
            bytes
        } else {
            let (views, buffers, _) = bytes.into_parts();
            BinaryViewArray::try_new(views, buffers, nulls)?
        };
        Ok(KeyColumns { columns, bytes })
    }
}

fn fixed(t: &DataType) -> bool {
    use DataType::*;
    matches!(
        t,
        Int8 | Int16
            | Int32
            | Int64
            | Float32
            | Float64
            | Date32
            | Date64
            | Time32(TimeUnit::Millisecond)
            | Timestamp(_, _)
    )
}

/// Fixed-width values as inline views of their 8 bytes; equal values get equal bytes.
fn inline(column: &ArrayRef) -> Result<BinaryViewArray> {
    fn views<T: ArrowPrimitiveType>(
        column: &ArrayRef,
        bits: impl Fn(T::Native) -> u64,
    ) -> ScalarBuffer<u128> {
        let values = column.as_primitive::<T>().values();
        values.iter().map(|&v| 8 | u128::from(bits(v)) << 32).collect()
    }
    // -0.0 equals 0.0, and all NaN are one.
    fn float(v: f64) -> u64 {
        if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() }
    }
    use DataType as D;
    let views = match column.data_type() {
        D::Int8 => views::<Int8Type>(column, |v| v as u64),
        D::Int16 => views::<Int16Type>(column, |v| v as u64),
        D::Int32 => views::<Int32Type>(column, |v| v as u64),
        D::Int64 => views::<Int64Type>(column, |v| v as u64),
        D::Float32 => views::<Float32Type>(column, |v| float(f64::from(v))),
        D::Float64 => views::<Float64Type>(column, float),
        D::Date32 => views::<Date32Type>(column, |v| v as u64),
        D::Date64 => views::<Date64Type>(column, |v| v as u64),
        D::Time32(TimeUnit::Millisecond) => views::<Time32MillisecondType>(column, |v| v as u64),
        D::Timestamp(TimeUnit::Second, _) => views::<TimestampSecondType>(column, |v| v as u64),
        D::Timestamp(TimeUnit::Millisecond, _) => views::<TimestampMillisecondType>(column, |v| v as u64),
        D::Timestamp(TimeUnit::Microsecond, _) => views::<TimestampMicrosecondType>(column, |v| v as u64),
        D::Timestamp(TimeUnit::Nanosecond, _) => views::<TimestampNanosecondType>(column, |v| v as u64),
        other => return Err(Error::internal(format!("{other} is not a fixed-width key"))),
    };
    let no_buffers: Arc<[_]> = Arc::new([]);
    Ok(BinaryViewArray::try_new(views, no_buffers, column.nulls().cloned())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, StringViewArray};
    use arrow::datatypes::{Field, Schema};

    fn encode(columns: Vec<ArrayRef>) -> BinaryViewArray {
        let fields: Vec<_> = columns.iter().map(|c| Field::new("k", c.data_type().clone(), true)).collect();
        let encoder = KeyEncoder::new(&Arc::new(Schema::new(fields))).unwrap();
        encoder.encode(columns, None).unwrap().bytes
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let floats = encode(vec![Arc::new(Float64Array::from(vec![0.0, -0.0, 1.5, f64::NAN, -f64::NAN]))]);
        assert_eq!(floats.value(0), floats.value(1));
        assert_eq!(floats.value(3), floats.value(4));
        assert_ne!(floats.value(0), floats.value(2));
        let ints = encode(vec![Arc::new(Int32Array::from(vec![7, -7, 7]))]);
        assert_eq!(ints.value(0), ints.value(2));
        assert_ne!(ints.value(0), ints.value(1));
        let decimals = encode(vec![Arc::new(Decimal128Array::from(vec![1, 2, 1]))]);
        assert_eq!(decimals.value(0), decimals.value(2));
        assert_ne!(decimals.value(0), decimals.value(1));
    }

    #[test]
    fn a_null_component_makes_the_key_null_and_neighbours_do_not_run_together() {
        let a: ArrayRef = Arc::new(StringViewArray::from(vec![Some("ab"), Some("a"), None, Some("x")]));
        let b: ArrayRef = Arc::new(StringViewArray::from(vec![Some("c"), Some("bc"), Some("y"), None]));
        let keys = encode(vec![a, b]);
        assert_ne!(keys.value(0), keys.value(1));
        assert_eq!((keys.is_null(2), keys.is_null(3), keys.null_count()), (true, true, 2));
    }

    #[test]
    fn rows_that_are_not_wanted_have_no_key() {
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), Some("b"), None]));
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8View, true)]));
        let wanted = NullBuffer::from(vec![true, false, true]);
        let keys = KeyEncoder::new(&schema).unwrap().encode(vec![column], Some(&wanted)).unwrap();
        let valid: Vec<_> = (0..3).map(|i| keys.bytes.is_valid(i)).collect();
        assert_eq!(valid, [true, false, false]);
    }
}
