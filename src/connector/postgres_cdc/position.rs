//! Where a table was read to: a place in the log, and while the snapshot and the stream overlap, what each part of the
//! snapshot has seen.
//!
//! ```text
//!  keys     part 1: up to key 500, moment A │ part 2: the rest, moment B
//!  stream   a change of key 7 by a transaction that A has seen: left out
//!           a change of key 900 by one that B has not seen: a change
//! ```

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connector::position::not_understood;
use crate::database::postgres::cdc::{KeyKind, Moment, Seen};
use crate::database::postgres::replication::Lsn;
use crate::error::Result;

/// A part of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    #[serde(flatten)]
    pub(super) moment: Moment,
    /// The last key that is in it; `None`: all the rest.
    pub(super) to: Option<Vec<String>>,
}

/// Where a table was read to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which server's log.
    pub(super) system: String,
    /// Behind the last whole transaction.
    pub(super) lsn: Lsn,
    /// The commit of the one that was begun, and how many changes of it were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) commit: Lsn,
    #[serde(default, skip_serializing_if = "no_changes")]
    pub(super) changes: u64,
    /// The parts of the snapshot, in the order of their keys, as long as they overlap the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
    /// The snapshot is not complete.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) reading: bool,
    /// The number of the table, and those of its partitions. Positions of older versions do not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) partitions: BTreeSet<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(lsn: &Lsn) -> bool {
    lsn.0 == 0
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
    pub(super) fn last_key(&self) -> Option<&[String]> {
        self.parts.last().and_then(|part| part.to.as_deref())
    }

    /// Parts that have seen nothing of what is still to come are forgotten.
    pub(super) fn forget(&mut self) {
        if !self.reading && self.parts.iter().all(|part| part.moment.until <= self.lsn) {
            self.parts.clear();
        }
    }
}

/// Which changes of a transaction the snapshot has already.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    parts: Vec<(Seen, Lsn, Option<Vec<String>>)>,
    order: Vec<KeyKind>,
    /// For the transaction that is read: whether each part has seen it.
    seen: Vec<bool>,
}

impl Overlap {
    pub(super) fn new(position: &Position, order: Vec<KeyKind>) -> Result<Self, String> {
        let part = |part: &Part| Ok((part.moment.seen.parse()?, part.moment.until, part.to.clone()));
        Ok(Self {
            parts: position.parts.iter().map(part).collect::<Result<_, String>>()?,
            order,
            seen: Vec::new(),
        })
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self, commit: Lsn, xid: u32) {
        let seen = self.parts.iter().map(|(seen, until, _)| commit < *until && seen.has(xid));
        self.seen = seen.collect();
    }

    /// Whether all parts have seen the transaction (`Some(true)`), none (`Some(false)`), or it depends on the key.
    pub(super) fn whole(&self) -> Option<bool> {
        let first = self.seen.first().copied().unwrap_or(false);
        self.seen.iter().all(|seen| *seen == first).then_some(first)
    }

    /// Whether the part that the key is in has seen the transaction.
    pub(super) fn has(&self, key: &[String]) -> bool {
        let part = self.parts.iter().position(|(_, _, to)| match to {
            None => true,
            Some(to) => self.compare(key, to) != Ordering::Greater,
        });
        part.and_then(|part| self.seen.get(part)).copied().unwrap_or(false)
    }

    fn compare(&self, a: &[String], b: &[String]) -> Ordering {
        let pairs = a.iter().zip(b).zip(&self.order);
        pairs.map(|((a, b), kind)| kind.compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_a_snapshot_leave_out_what_they_have_seen() {
        let text = json!({"system": "7", "lsn": "0/100", "parts": [
            {"seen": "10:20:12", "until": "0/200", "to": ["5", "b"]},
            {"seen": "30:40:", "until": "0/300", "to": null},
        ]});
        let mut position = Position::parse("t", &text).unwrap();
        assert_eq!(serde_json::to_value(&position).unwrap(), text);
        let mut overlap = Overlap::new(&position, vec![KeyKind::Whole, KeyKind::Text]).unwrap();
        let key = |a: &str, b: &str| [a.to_string(), b.to_string()];
        // Seen by both, by the second alone, by none.
        overlap.begin(Lsn(0x150), 11);
        assert_eq!(overlap.whole(), Some(true));
        overlap.begin(Lsn(0x150), 12);
        assert_eq!(overlap.whole(), None);
        assert!(!overlap.has(&key("5", "b")) && !overlap.has(&key("-7", "z")));
        assert!(overlap.has(&key("5", "c")) && overlap.has(&key("10", "a")));
        overlap.begin(Lsn(0x250), 45);
        assert_eq!(overlap.whole(), Some(false));
        // Behind the place up to which a part has seen anything.
        overlap.begin(Lsn(0x300), 11);
        assert_eq!(overlap.whole(), Some(false));
        position.lsn = Lsn(0x2ff);
        position.forget();
        assert_eq!(position.parts.len(), 2);
        position.lsn = Lsn(0x300);
        position.forget();
        assert_eq!(serde_json::to_value(&position).unwrap(), json!({"system": "7", "lsn": "0/300"}));
        assert!(Position::parse("t", &json!({"lsn": "x"})).is_err());
    }
}
