//! Columns of rows that are gone, of which the key alone is known.

use arrow::array::{Array, ArrayRef, make_array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::Field;

use crate::error::Result;

/// Any value in place of NULL, where the column takes none: of a row that is taken away only the key counts.
pub(super) fn filled(column: ArrayRef, field: &Field) -> Result<ArrayRef> {
    if field.is_nullable() || column.null_count() == 0 {
        return Ok(column);
    }
    let zeros = new_null_array(column.data_type(), 1).to_data().into_builder().nulls(None).build()?;
    let zeros = make_array(zeros);
    let from: Vec<(usize, usize)> =
        (0..column.len()).map(|row| if column.is_null(row) { (1, 0) } else { (0, row) }).collect();
    Ok(interleave(&[column.as_ref(), zeros.as_ref()], &from)?)
}
