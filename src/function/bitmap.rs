//! BITMAP_*: sets of 32-bit integers, compressed by Roaring.
//!
//! A bitmap is BYTES here, in the portable form that all libraries of Roaring read and write, so that it can be kept in
//! any table. Bytes that are no bitmap are an error. Integers count as unsigned: -1 is 4294967295, the greatest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, ListBuilder};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use roaring::RoaringBitmap;

use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

use Kind::{Bytes, List};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["BITMAP_BUILD"], &[List], Returns::Bytes, build).coerce(integers),
    define(&["BITMAP_FROM_BYTES"], &[Bytes], Returns::Bytes, checked),
    define(&["BITMAP_TO_BYTES"], &[Bytes], Returns::Bytes, checked),
    define(&["BITMAP_TO_ARRAY"], &[Bytes], Returns::With(array_type), to_array),
    define(&["BITMAP_TO_STRING"], &[Bytes], Returns::Text, to_text),
    define(&["BITMAP_CARDINALITY"], &[Bytes], Returns::Long, cardinality),
    define(&["BITMAP_AND"], &[Bytes, Bytes], Returns::Bytes, |c| both(c, |a, b| a & b)),
    define(&["BITMAP_OR"], &[Bytes, Bytes], Returns::Bytes, |c| both(c, |a, b| a | b)),
    define(&["BITMAP_XOR"], &[Bytes, Bytes], Returns::Bytes, |c| both(c, |a, b| a ^ b)),
    define(&["BITMAP_ANDNOT"], &[Bytes, Bytes], Returns::Bytes, |c| both(c, |a, b| a - b)),
];

fn array_type(_: &Typing<'_>) -> Result<DataType> {
    Ok(SqlType::Array(Box::new(SqlType::Int)).to_arrow(""))
}

/// An array of INT, or of what fits into INT; numbers of BIGINT, as constants begin, are looked at one by one.
fn integers(types: &[DataType]) -> Result<Vec<DataType>> {
    let DataType::List(item) = &types[0] else { return Ok(types.to_vec()) };
    match item.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => {
            Ok(vec![SqlType::Array(Box::new(SqlType::Int)).to_arrow("")])
        }
        DataType::Int64 => Ok(types.to_vec()),
        other => {
            let shown = SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
            Err(Error::plan(format!("BITMAP_BUILD takes an ARRAY<INT>, not one of {shown}"))
                .with_hint("CAST(... AS ARRAY<INT>): a bitmap holds integers of 32 bits"))
        }
    }
}

/// The bitmap that the bytes are, all of them.
fn read(c: &Call<'_>, mut bytes: &[u8]) -> Result<RoaringBitmap> {
    let no_bitmap = |why: String| {
        Error::execution(format!("{} got bytes that are no bitmap", c.name()))
            .with_detail(why)
            .with_hint("a bitmap comes from BITMAP_BUILD, or in the portable form of Roaring from elsewhere")
    };
    let bitmap = RoaringBitmap::deserialize_from(&mut bytes).map_err(|e| no_bitmap(e.to_string()))?;
    match bytes.len() {
        0 => Ok(bitmap),
        n => Err(no_bitmap(format!("{n} more bytes stand behind it"))),
    }
}

/// The smallest form, which is the same for equal sets.
fn write(mut bitmap: RoaringBitmap, out: &mut Vec<u8>) -> Result<()> {
    bitmap.optimize();
    bitmap.serialize_into(out).map_err(|e| Error::internal(format!("a bitmap was not written: {e}")))
}

/// The number at a place.
type Number<'a> = Box<dyn Fn(usize) -> Result<i32> + 'a>;

fn whole(values: &ArrayRef) -> Result<Number<'_>> {
    if let Some(numbers) = values.as_primitive_opt::<Int32Type>() {
        return Ok(Box::new(move |i| Ok(numbers.value(i))));
    }
    let numbers = values.as_primitive_opt::<Int64Type>();
    let numbers = numbers.ok_or_else(|| Error::internal("BITMAP_BUILD of an array that is not of INT"))?;
    Ok(Box::new(move |i| {
        i32::try_from(numbers.value(i)).map_err(|_| {
            Error::execution("BITMAP_BUILD takes integers of 32 bits")
                .with_detail(format!("got {}", numbers.value(i)))
        })
    }))
}

fn build(c: &Call<'_>) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array.values();
    let numbers = whole(values)?;
    let offsets = lists.array.offsets();
    c.blobs(|row, out| {
        let row = some!(lists.at(row));
        let positions = offsets[row] as usize..offsets[row + 1] as usize;
        let mut bitmap = RoaringBitmap::new();
        for position in positions.filter(|&i| values.is_valid(i)) {
            // The 32 bits as they are: a negative number is one of the upper half.
            bitmap.insert(numbers(position)?.cast_unsigned());
        }
        write(bitmap, out)?;
        Ok(Some(()))
    })
}

fn checked(c: &Call<'_>) -> Result<ArrayRef> {
    let bitmaps = c.bytes(0)?;
    c.blobs(|row, out| {
        write(read(c, some!(bitmaps.get(row)))?, out)?;
        Ok(Some(()))
    })
}

fn to_array(c: &Call<'_>) -> Result<ArrayRef> {
    let bitmaps = c.bytes(0)?;
    let DataType::List(item) = c.returns else { return Err(Error::internal("BITMAP_TO_ARRAY's type")) };
    let mut lists = ListBuilder::new(Int32Builder::new()).with_field(item.clone());
    for row in 0..c.rows {
        match bitmaps.get(row) {
            Some(bytes) => {
                lists.values().extend(read(c, bytes)?.iter().map(|n| Some(n.cast_signed())));
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}

fn to_text(c: &Call<'_>) -> Result<ArrayRef> {
    use std::fmt::Write as _;
    let bitmaps = c.bytes(0)?;
    c.texts(|row, out| {
        let bitmap = read(c, some!(bitmaps.get(row)))?;
        out.push('{');
        for (i, n) in bitmap.iter().enumerate() {
            let _ = write!(out, "{}{n}", if i == 0 { "" } else { "," });
        }
        out.push('}');
        Ok(Some(()))
    })
}

fn cardinality(c: &Call<'_>) -> Result<ArrayRef> {
    let bitmaps = c.bytes(0)?;
    c.numbers::<Int64Type>(|row| {
        let bitmap = read(c, some!(bitmaps.get(row)))?;
        Ok(Some(i64::try_from(bitmap.len()).map_err(|_| Error::internal("a bitmap of 32 bits is larger"))?))
    })
}

fn both(c: &Call<'_>, f: fn(RoaringBitmap, RoaringBitmap) -> RoaringBitmap) -> Result<ArrayRef> {
    let (left, right) = (c.bytes(0)?, c.bytes(1)?);
    c.blobs(|row, out| {
        let (left, right) = (some!(left.get(row)), some!(right.get(row)));
        write(f(read(c, left)?, read(c, right)?), out)?;
        Ok(Some(()))
    })
}
