//! Event times of rows, in milliseconds since the epoch.

use arrow::array::{Array, ArrayRef};

use crate::error::{Error, Result};

/// The times of a column; `of` names the operator that cannot do without them.
pub(super) fn millis(column: &ArrayRef, of: &str) -> Result<Vec<i64>> {
    if column.null_count() > 0 {
        return Err(Error::execution(format!("the event time of {of} is NULL"))
            .with_detail(format!("{} of {} rows have no event time", column.null_count(), column.len()))
            .with_hint("filter such rows out with WHERE ... IS NOT NULL"));
    }
    Ok(super::window::times::millis(column)?.to_vec())
}
