//! What closures take: values of columns, borrowed where they are text, and owned in what waits.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray, StringViewArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use crate::error::{Error, Result};
use crate::sql::SqlType;

/// One parameter of a closure.
pub trait Argument {
    /// The value of a row; text is borrowed from the column.
    type Of<'a>;
    /// A column of values.
    type Column<'a>: Copy;
    /// Its type in SQL, and whether it takes NULL.
    fn sql_type() -> (SqlType, bool);
    /// The column, if it is of the type.
    fn column(array: &dyn Array) -> Option<Self::Column<'_>>;
    /// Whether the column has no NULL that matters.
    fn is_whole(column: Self::Column<'_>) -> bool;
    /// The value of a row; `None` where it is NULL and that is not taken.
    fn get<'a>(column: Self::Column<'a>, row: usize) -> Option<Self::Of<'a>>;
    /// The value of a row that is not NULL.
    fn value<'a>(column: Self::Column<'a>, row: usize) -> Self::Of<'a>;
}

macro_rules! primitives {
    ($($t:ty: $arrow:ty, $sql:expr;)*) => {$(
        impl Argument for $t {
            type Of<'a> = $t;
            type Column<'a> = &'a PrimitiveArray<$arrow>;
            fn sql_type() -> (SqlType, bool) {
                ($sql, false)
            }
            fn column(array: &dyn Array) -> Option<Self::Column<'_>> {
                array.as_primitive_opt::<$arrow>()
            }
            fn is_whole(column: Self::Column<'_>) -> bool {
                column.null_count() == 0
            }
            fn get<'a>(column: Self::Column<'a>, row: usize) -> Option<Self::Of<'a>> {
                column.is_valid(row).then(|| column.value(row))
            }
            fn value<'a>(column: Self::Column<'a>, row: usize) -> Self::Of<'a> {
                column.value(row)
            }
        }
        impl Owned for $t {
            type From = $t;
            fn owned(value: $t) -> Self {
                value
            }
        }
    )*};
}

primitives! {
    i32: Int32Type, SqlType::Int;
    i64: Int64Type, SqlType::BigInt;
    f64: Float64Type, SqlType::Double;
}

macro_rules! views {
    ($($t:ty, $of:ty, $array:ty, $cast:ident, $sql:expr;)*) => {$(
        impl Argument for $t {
            type Of<'a> = $of;
            type Column<'a> = &'a $array;
            fn sql_type() -> (SqlType, bool) {
                ($sql, false)
            }
            fn column(array: &dyn Array) -> Option<Self::Column<'_>> {
                array.$cast()
            }
            fn is_whole(column: Self::Column<'_>) -> bool {
                column.null_count() == 0
            }
            fn get<'a>(column: Self::Column<'a>, row: usize) -> Option<Self::Of<'a>> {
                column.is_valid(row).then(|| column.value(row))
            }
            fn value<'a>(column: Self::Column<'a>, row: usize) -> Self::Of<'a> {
                column.value(row)
            }
        }
    )*};
}

views! {
    bool, bool, BooleanArray, as_boolean_opt, SqlType::Boolean;
    &str, &'a str, StringViewArray, as_string_view_opt, SqlType::String;
    &[u8], &'a [u8], BinaryViewArray, as_binary_view_opt, SqlType::Bytes;
}

impl<A: Argument> Argument for Option<A> {
    type Of<'a> = Option<A::Of<'a>>;
    type Column<'a> = A::Column<'a>;
    fn sql_type() -> (SqlType, bool) {
        (A::sql_type().0, true)
    }
    fn column(array: &dyn Array) -> Option<Self::Column<'_>> {
        A::column(array)
    }
    fn is_whole(_: Self::Column<'_>) -> bool {
        true
    }
    fn get<'a>(column: Self::Column<'a>, row: usize) -> Option<Self::Of<'a>> {
        Some(A::get(column, row))
    }
    fn value<'a>(column: Self::Column<'a>, row: usize) -> Self::Of<'a> {
        A::get(column, row)
    }
}

/// A value that does not borrow from its column.
pub trait Owned: Sized + Send {
    /// What it is made of.
    type From: Argument;
    /// It.
    fn owned(value: <Self::From as Argument>::Of<'_>) -> Self;
}

impl Owned for bool {
    type From = bool;
    fn owned(value: bool) -> Self {
        value
    }
}

impl Owned for String {
    type From = &'static str;
    fn owned(value: &str) -> Self {
        value.to_string()
    }
}

impl Owned for Vec<u8> {
    type From = &'static [u8];
    fn owned(value: &[u8]) -> Self {
        value.to_vec()
    }
}

impl<T: Owned> Owned for Option<T> {
    type From = Option<T::From>;
    fn owned(value: Option<<T::From as Argument>::Of<'_>>) -> Self {
        value.map(T::owned)
    }
}

/// Parameters of a closure, as a tuple.
pub trait Arguments {
    /// Their types, and whether they take NULL.
    fn types() -> Vec<(SqlType, bool)>;
}

/// A closure of 1 to 6 parameters.
pub trait Closure<A, R> {
    /// Gives a result for each row, `None` for one with a NULL that is not taken.
    fn for_rows(
        &self,
        columns: &[ArrayRef],
        rows: Range<usize>,
        give: &mut dyn FnMut(usize, Option<R>),
    ) -> Result<()>;
}

/// Parameters as a tuple of owned values.
pub trait OwnedArguments: Sized + Send {
    /// Their types, and whether they take NULL.
    fn types() -> Vec<(SqlType, bool)>;
    /// Those of a row; `None` for one with a NULL that is not taken.
    fn read(columns: &[ArrayRef], row: usize) -> Result<Option<Self>>;
}

fn of<'a, A: Argument>(columns: &'a [ArrayRef], index: usize) -> Result<A::Column<'a>> {
    let column = columns.get(index).and_then(|c| A::column(c.as_ref()));
    column.ok_or_else(|| Error::internal("an argument of another type than the closure's"))
}

macro_rules! closures {
    ($($name:ident $index:tt $column:ident),*) => {
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            fn types() -> Vec<(SqlType, bool)> {
                vec![$($name::sql_type()),*]
            }
        }

        impl<Function, R, $($name: Argument),*> Closure<($($name,)*), R> for Function
        where
            Function: Fn($($name),*) -> R + for<'a> Fn($($name::Of<'a>),*) -> R,
        {
            fn for_rows(
                &self,
                columns: &[ArrayRef],
                rows: Range<usize>,
                give: &mut dyn FnMut(usize, Option<R>),
            ) -> Result<()> {
                fn call<'c, R, $($name: Argument),*>(
                    closure: &impl for<'a> Fn($($name::Of<'a>),*) -> R,
                    columns: ($($name::Column<'c>,)*),
                    rows: Range<usize>,
                    give: &mut dyn FnMut(usize, Option<R>),
                ) {
                    let ($($column,)*) = columns;
                    if true $(&& $name::is_whole($column))* {
                        for row in rows {
                            give(row, Some(closure($($name::value($column, row)),*)));
                        }
                        return;
                    }
                    for row in rows {
                        let result = (|| Some(closure($($name::get($column, row)?),*)))();
                        give(row, result);
                    }
                }
                call::<R, $($name),*>(self, ($(of::<$name>(columns, $index)?,)*), rows, give);
                Ok(())
            }
        }

        impl<$($name: Owned),*> OwnedArguments for ($($name,)*) {
            fn types() -> Vec<(SqlType, bool)> {
                vec![$($name::From::sql_type()),*]
            }
            fn read(columns: &[ArrayRef], row: usize) -> Result<Option<Self>> {
                $(let $column = of::<$name::From>(columns, $index)?;)*
                Ok((|| Some(($($name::owned($name::From::get($column, row)?),)*)))())
            }
        }
    };
}

closures!(A 0 a);
closures!(A 0 a, B 1 b);
closures!(A 0 a, B 1 b, C 2 c);
closures!(A 0 a, B 1 b, C 2 c, D 3 d);
closures!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e);
closures!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f);
