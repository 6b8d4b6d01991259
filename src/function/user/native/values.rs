//! What closures give: values of one column, or rows of several.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray,
    StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::{Error, Result};
use crate::sql::SqlType;

/// A value of a column.
pub trait Scalar: Sized + 'static {
    /// Its type in SQL.
    fn sql_type() -> SqlType;
    /// A column of values.
    fn array(values: Vec<Option<Self>>) -> ArrayRef;
}

/// A value, NULL, or an error of the row.
pub type Outcome<T> = std::result::Result<Option<T>, String>;

/// What a closure may give for a row: a [`Scalar`], an `Option`, a `Result`, or a `Result` of an `Option`.
pub trait Output {
    /// The value.
    type Value: Scalar;
    /// What it is.
    fn outcome(self) -> Outcome<Self::Value>;
}

macro_rules! scalars {
    ($($t:ty: $sql:expr, $array:expr;)*) => {$(
        impl Scalar for $t {
            fn sql_type() -> SqlType {
                $sql
            }
            fn array(values: Vec<Option<Self>>) -> ArrayRef {
                let array = $array;
                Arc::new(array(values))
            }
        }
        impl Output for $t {
            type Value = $t;
            fn outcome(self) -> Outcome<$t> {
                Ok(Some(self))
            }
        }
        impl Output for Option<$t> {
            type Value = $t;
            fn outcome(self) -> Outcome<$t> {
                Ok(self)
            }
        }
        impl<E: Display> Output for std::result::Result<$t, E> {
            type Value = $t;
            fn outcome(self) -> Outcome<$t> {
                self.map(Some).map_err(|e| e.to_string())
            }
        }
        impl<E: Display> Output for std::result::Result<Option<$t>, E> {
            type Value = $t;
            fn outcome(self) -> Outcome<$t> {
                self.map_err(|e| e.to_string())
            }
        }
    )*};
}

scalars! {
    i32: SqlType::Int, Int32Array::from;
    i64: SqlType::BigInt, Int64Array::from;
    f64: SqlType::Double, Float64Array::from;
    bool: SqlType::Boolean, BooleanArray::from;
    String: SqlType::String, |values: Vec<Option<String>>| values.into_iter().collect::<StringViewArray>();
    Vec<u8>: SqlType::Bytes, |values: Vec<Option<Vec<u8>>>| values.into_iter().collect::<BinaryViewArray>();
}

/// A row: a tuple of outputs.
pub trait RowOutput: 'static {
    /// Types of its columns.
    fn types() -> Vec<SqlType>;
    /// Columns of rows.
    fn columns(rows: Vec<Self>) -> std::result::Result<Vec<ArrayRef>, String>
    where
        Self: Sized;
}

macro_rules! rows {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Output + 'static),*> RowOutput for ($($name,)*) {
            fn types() -> Vec<SqlType> {
                vec![$($name::Value::sql_type()),*]
            }
            fn columns(rows: Vec<Self>) -> std::result::Result<Vec<ArrayRef>, String> {
                let mut columns = ($(Vec::<Option<$name::Value>>::with_capacity(rows.len()),)*);
                for row in rows {
                    $(columns.$index.push(row.$index.outcome()?);)*
                }
                Ok(vec![$($name::Value::array(columns.$index)),*])
            }
        }
    };
}

rows!(A 0);
rows!(A 0, B 1);
rows!(A 0, B 1, C 2);
rows!(A 0, B 1, C 2, D 3);
rows!(A 0, B 1, C 2, D 3, E 4);
rows!(A 0, B 1, C 2, D 3, E 4, F 5);

/// Rows of each call as an array of ROWs.
pub(super) fn lists<T: RowOutput>(lists: Vec<Option<Vec<T>>>, names: &[String]) -> Result<ArrayRef> {
    let lengths: Vec<usize> = lists.iter().map(|l| l.as_ref().map_or(0, Vec::len)).collect();
    let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
    let all: Vec<T> = lists.into_iter().flatten().flatten().collect();
    let columns = T::columns(all).map_err(Error::execution)?;
    let fields = names.iter().zip(&columns);
    let fields: Fields = fields.map(|(n, c)| Field::new(n, c.data_type().clone(), true)).collect();
    let length = lengths.iter().sum();
    let rows = StructArray::try_new_with_length(fields, columns, None, length)?;
    let item = Arc::new(Field::new_list_field(DataType::Struct(rows.fields().clone()), true));
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(rows), Some(nulls))?))
}
