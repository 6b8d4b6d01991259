//! Reading positions back that a checkpoint holds.

use serde_json::Value;

use super::Positions;
use crate::error::{Error, Result};

/// A position that is not what the source wrote: of another source, or damaged.
pub(super) fn not_understood(split: &str, position: &Value) -> Error {
    Error::io(format!("the position of '{split}' in the checkpoint is not one of this source"))
        .with_detail(format!("it is {position}"))
        .with_hint("was the table changed to another connector? start the job without its checkpoints")
}

/// A whole number of a position.
pub(super) fn number(split: &str, position: &Value, field: &str) -> Result<u64> {
    position.get(field).and_then(Value::as_u64).ok_or_else(|| not_understood(split, position))
}

/// The position of the only split of a source; `None` when it was not begun.
pub(super) fn only<'a>(positions: &'a Positions, split: &str) -> Result<Option<&'a Value>> {
    match positions.iter().find(|(name, _)| *name != split) {
        Some((name, position)) => Err(not_understood(name, position)),
        None => Ok(positions.get(split)),
    }
}
