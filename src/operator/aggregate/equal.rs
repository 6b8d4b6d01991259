//! Whether results before and after a chunk are the same.

use arrow::array::{Array, ArrayRef, Datum};
use arrow::compute::kernels::cmp::not_distinct;

use crate::error::Result;

/// For each row whether all columns agree, NULL with NULL and NaN with NaN; `None` if no row does.
pub(crate) fn equal_rows(old: &[ArrayRef], new: &[ArrayRef], rows: usize) -> Result<Option<Vec<bool>>> {
    let mut equal = vec![true; rows];
    for (old, new) in old.iter().zip(new) {
        if old.data_type().is_nested() {
            for (i, equal) in equal.iter_mut().enumerate().filter(|(_, e)| **e) {
                *equal = old.slice(i, 1).as_ref() == new.slice(i, 1).as_ref();
            }
            continue;
        }
        let (old, new): (&dyn Datum, &dyn Datum) = (old, new);
        let same = not_distinct(old, new)?;
        equal.iter_mut().zip(same.values()).for_each(|(e, s)| *e &= s);
        if !equal.contains(&true) {
            return Ok(None);
        }
    }
    Ok(Some(equal))
}
