//! Values of any type as bytes that compare as the values do.
//!
//! Strings and binary values are their own bytes; every other type goes through Arrow's row format. NULLs
//! are told apart by their callers.

use std::sync::Arc;

use arrow::array::StringViewBuilder;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, StringViewArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};

/// How values of one type become bytes.
#[derive(Debug)]
pub(super) enum Encoding {
    Text,
    Bytes,
    Rows(Box<RowConverter>),
}

/// The bytes of one column's values.
pub(super) enum Encoded<'a> {
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Rows(Rows),
}

impl Encoding {
    pub fn new(t: &DataType) -> Result<Self> {
        Ok(match t {
            DataType::Utf8View => Self::Text,
            DataType::BinaryView => Self::Bytes,
            t => {
                let converter = RowConverter::new(vec![SortField::new(t.clone())]).map_err(|e| {
                    Error::unsupported("values of this type cannot be aggregated").with_detail(e.to_string())
                })?;
                Self::Rows(Box::new(converter))
            }
        })
    }

    pub fn encode<'a>(&self, array: &'a ArrayRef) -> Result<Encoded<'a>> {
        let wrong = || Error::internal("an aggregate of another type than it was planned for");
        Ok(match self {
            Self::Text => Encoded::Text(array.as_string_view_opt().ok_or_else(wrong)?),
            Self::Bytes => Encoded::Bytes(array.as_binary_view_opt().ok_or_else(wrong)?),
            Self::Rows(converter) => Encoded::Rows(converter.convert_columns(std::slice::from_ref(array))?),
        })
    }

    /// The values again; `None` is NULL.
    pub fn decode<'a>(
        &self,
        t: &DataType,
        values: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef> {
        match self {
            Self::Text => {
                let mut builder = StringViewBuilder::with_capacity(values.len());
                for value in values {
                    let text = value.map(std::str::from_utf8).transpose();
                    builder.append_option(text.map_err(|_| Error::internal("a string lost its bytes"))?);
                }
                Ok(Arc::new(builder.finish()))
            }
            Self::Bytes => {
                let mut builder = BinaryViewBuilder::with_capacity(values.len());
                values.for_each(|v| builder.append_option(v));
                Ok(Arc::new(builder.finish()))
            }
            Self::Rows(converter) => {
                let values: Vec<Option<&[u8]>> = values.collect();
                if values.iter().all(Option::is_none) {
                    return Ok(new_null_array(t, values.len()));
                }
                let parser = converter.parser();
                // A row of NULL for what is absent.
                let null = converter.convert_columns(&[new_null_array(t, 1)])?;
                let null = null.row(0);
                let rows = values.iter().map(|v| match v {
                    Some(bytes) => parser.parse(bytes),
                    None => null,
                });
                let mut columns = converter.convert_rows(rows)?;
                columns.pop().ok_or_else(|| Error::internal("a value was lost"))
            }
        }
    }
}

impl Encoded<'_> {
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Text(array) => array.value(row).as_bytes(),
            Self::Bytes(array) => array.value(row),
            Self::Rows(rows) => rows.row(row).data(),
        }
    }
}

/// Nulls of a column as its values show them.
pub(super) fn nulls(array: &ArrayRef) -> Option<NullBuffer> {
    array.logical_nulls().filter(|n| n.null_count() > 0)
}
