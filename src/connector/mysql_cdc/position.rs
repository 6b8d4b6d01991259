//! Where a table was read to: a place in the log, and while the snapshot and the stream overlap, at which place each part
//! of the snapshot is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connector::position::not_understood;
use crate::database::mysql::binlog::{Place, Shape};
use crate::error::Result;

/// A part of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// It has what is before this place.
    pub(super) until: Place,
    /// The last key that is in it; `None`: all the rest.
    pub(super) to: Option<Vec<String>>,
}

/// What the table looks like was asked later than where the log is read: as long as no other statement that alters it
/// stands in between, the answer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Doubt {
    /// Behind the statement because of which it was asked.
    pub(super) from: Place,
    /// The end of the log when it was answered.
    pub(super) until: Place,
}

/// Where a table was read to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which server's log.
    pub(super) server: String,
    /// Behind the last whole transaction.
    pub(super) place: Place,
    /// Changes of the next one that were read.
    #[serde(default, skip_serializing_if = "no_changes")]
    pub(super) changes: u64,
    /// The parts of the snapshot, in the order of their keys, as long as they overlap the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
    /// The snapshot is not complete.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) reading: bool,
    /// What the table looks like at this place. Positions of older versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) columns: Option<Shape>,
    /// Up to where that is not sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) doubt: Option<Doubt>,
    /// No row of the table was read yet, because the log is read from a place in the past.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) untouched: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn no_changes(changes: &u64) -> bool {
    *changes == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Position {
    pub(super) fn parse(split: &str, position: &Value) -> Result<Self> {
        Self::deserialize(position).map_err(|_| not_understood(split, position))
    }

    /// The last key of the snapshot that was read.
    pub(super) fn last_key(&self) -> Option<Vec<i128>> {
        let key = self.parts.last().and_then(|part| part.to.as_ref())?;
        key.iter().map(|text| text.parse().ok()).collect()
    }

    /// Parts that have nothing of what is still to come are forgotten.
    pub(super) fn forget(&mut self) {
        if !self.reading && self.parts.iter().all(|part| part.until <= self.place) {
            self.parts.clear();
        }
    }

    /// Whether the snapshot has a change that ends at a place: `None` when that depends on the key of its row.
    pub(super) fn has(&self, place: &Place) -> Option<bool> {
        let first = self.parts.first().is_some_and(|part| *place <= part.until);
        self.parts.iter().all(|part| (*place <= part.until) == first).then_some(first)
    }

    /// The same for the row with a key.
    pub(super) fn has_key(&self, place: &Place, key: &[i128]) -> bool {
        let within = |part: &&Part| {
            part.to.as_ref().is_none_or(|to| {
                let to: Option<Vec<i128>> = to.iter().map(|text| text.parse().ok()).collect();
                to.is_some_and(|to| key <= to.as_slice())
            })
        };
        self.parts.iter().find(within).is_some_and(|part| *place <= part.until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_a_snapshot_leave_out_what_they_have() {
        let text = json!({"server": "1", "place": {"file": "b.1", "pos": 100}, "parts": [
            {"until": {"file": "b.1", "pos": 200}, "to": ["-5", "7"]},
            {"until": {"file": "b.2", "pos": 50}, "to": null},
        ]});
        let mut position = Position::parse("t", &text).unwrap();
        assert_eq!(serde_json::to_value(&position).unwrap(), text);
        let place = |file: &str, pos| Place { file: file.into(), pos };
        assert_eq!(position.has(&place("b.1", 200)), Some(true));
        assert_eq!(position.has(&place("b.1", 201)), None);
        assert!(!position.has_key(&place("b.1", 201), &[-5, 7]));
        assert!(
            position.has_key(&place("b.1", 201), &[-5, 8]) && position.has_key(&place("b.1", 201), &[0, 0])
        );
        assert_eq!(position.has(&place("b.2", 51)), Some(false));
        position.place = place("b.2", 49);
        position.forget();
        assert_eq!(position.parts.len(), 2);
        position.place = place("b.2", 50);
        position.forget();
        assert!(position.parts.is_empty() && position.has(&place("b.1", 1)) == Some(false));
        assert!(Position::parse("t", &json!({"place": 1})).is_err());
    }
}
