//! Finds one of several equal rows: those that were kept last go first.
//!
//! ```text
//!   hash ──> newest row <──> equal row <──> oldest row
//! ```
//! Rows are ids; what tells them apart is a hash of their values that somebody else makes. The order is that
//! of arrival, so that it is the same again when rows are put in again in that order.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// No row.
const NONE: u32 = u32::MAX;

/// Rows by hash.
#[derive(Debug, Default)]
pub(super) struct EqualRows {
    /// By row id.
    rows: Vec<Row>,
    /// The newest row of each hash.
    table: HashTable<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    hash: u64,
    newer: u32,
    older: u32,
}

impl EqualRows {
    /// The hash of a row.
    pub(super) fn hash(&self, id: u32) -> u64 {
        self.rows[id as usize].hash
    }

    /// Puts a row in.
    pub(super) fn insert(&mut self, id: u32, hash: u64) {
        let row = Row { hash, newer: NONE, older: NONE };
        if self.rows.len() <= id as usize {
            self.rows.resize(id as usize + 1, row);
        }
        self.rows[id as usize] = row;
        let rows = &mut self.rows;
        let is_equal = |other: &u32| rows[*other as usize].hash == hash;
        match self.table.entry(hash, is_equal, |&other| rows[other as usize].hash) {
            Entry::Occupied(mut entry) => {
                let older = std::mem::replace(entry.get_mut(), id);
                rows[id as usize].older = older;
                rows[older as usize].newer = id;
            }
            Entry::Vacant(entry) => {
                entry.insert(id);
            }
        }
    }

    /// Takes the newest row with this hash out.
    pub(super) fn pop(&mut self, hash: u64) -> Option<u32> {
        let rows = &mut self.rows;
        let mut entry = self.table.find_entry(hash, |&other| rows[other as usize].hash == hash).ok()?;
        let newest = *entry.get();
        match rows[newest as usize].older {
            NONE => {
                entry.remove();
            }
            older => {
                *entry.get_mut() = older;
                rows[older as usize].newer = NONE;
            }
        }
        Some(newest)
    }

    /// Takes a row out that is in.
    pub(super) fn remove(&mut self, id: u32) {
        let Row { hash, newer, older } = self.rows[id as usize];
        if newer == NONE {
            let popped = self.pop(hash);
            debug_assert_eq!(popped, Some(id));
            return;
        }
        self.rows[newer as usize].older = older;
        if older != NONE {
            self.rows[older as usize].newer = newer;
        }
    }

    /// Rows with this hash, the newest first.
    pub(super) fn of(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let is_equal = |other: &u32| self.rows[*other as usize].hash == hash;
        let newest = self.table.find(hash, is_equal).copied();
        std::iter::successors(newest, |&id| Some(self.rows[id as usize].older).filter(|&older| older != NONE))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.table.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_goes_first(steps in prop::collection::vec((0u8..4, 0u64..3, 0usize..20), 1..200)) {
            let mut rows = EqualRows::default();
            let mut alive: Vec<(u32, u64)> = Vec::new();
            for (act, hash, at) in steps {
                match act {
                    0 | 1 => {
                        let id = (0..).find(|id| alive.iter().all(|(other, _)| other != id)).unwrap_or(0);
                        alive.push((id, hash));
                        rows.insert(id, hash);
                    }
                    2 => {
                        let newest = alive.iter().rposition(|(_, h)| *h == hash);
                        prop_assert_eq!(rows.pop(hash), newest.map(|at| alive.remove(at).0));
                    }
                    _ if at < alive.len() => {
                        let (id, hash) = alive.remove(at);
                        prop_assert_eq!(rows.hash(id), hash);
                        rows.remove(id);
                    }
                    _ => {}
                }
                for hash in 0..3 {
                    let left = alive.iter().rev().filter(|(_, h)| *h == hash).map(|(id, _)| *id);
                    prop_assert_eq!(rows.of(hash).collect::<Vec<_>>(), left.collect::<Vec<_>>());
                }
            }
        }
    }
}
