//! Choices. CASE is DataFusion's; IF, NULLIF and IFNULL become CASE and COALESCE in
//! [`super::syntax::rewrite_ast`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, make_comparator};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{SortOptions, is_null};
use arrow::datatypes::DataType;

use super::scalar::{Call, Definition, Kind, Returns, common_type, define};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["COALESCE", "IFNULL"], &[Kind::Any], Returns::First, coalesce).variadic().coerce(unified),
    define(&["GREATEST"], &[Kind::Any], Returns::First, |c| extreme(c, true)).variadic().coerce(unified),
    define(&["LEAST"], &[Kind::Any], Returns::First, |c| extreme(c, false)).variadic().coerce(unified),
    define(&["TYPEOF"], &[Kind::Any, Kind::Bool], Returns::Text, type_of).optional(1),
];

fn unified(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![common_type("this function", types)?; types.len()])
}

fn coalesce(c: &Call<'_>) -> Result<ArrayRef> {
    let mut result = c.column(0)?;
    for i in 1..c.args.len() {
        if result.null_count() == 0 && *result.data_type() != DataType::Null {
            break;
        }
        result = zip(&is_null(&result)?, &c.column(i)?, &result)?;
    }
    Ok(result)
}

/// The greatest or least value; NULL if any argument is NULL.
fn extreme(c: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    if *c.returns == DataType::Null {
        return Ok(c.nulls());
    }
    let options = SortOptions { descending: !greatest, nulls_first: false };
    let mut result = c.column(0)?;
    for i in 1..c.args.len() {
        let other = c.column(i)?;
        // NULL sorts as the winner whatever the direction, so that it stays.
        let compare = make_comparator(&result, &other, options)?;
        let keep: BooleanArray = (0..c.rows).map(|row| Some(compare(row, row).is_ge())).collect();
        result = zip(&keep, &result, &other)?;
    }
    Ok(result)
}

fn type_of(c: &Call<'_>) -> Result<ArrayRef> {
    let name = match c.kind(0) {
        DataType::Null => "NULL".to_string(),
        t => SqlType::from_arrow(t).ok_or_else(|| Error::unsupported(format!("TYPEOF of {t}")))?.to_string(),
    };
    let array = arrow::array::StringViewArray::from_iter_values(std::iter::repeat_n(name, c.rows));
    Ok(Arc::new(array))
}
