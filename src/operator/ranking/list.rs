//! The rows of one partition in their order.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Entries above which a list becomes a tree: below, moving a few bytes is cheaper than a node.
const LONG: usize = 512;

/// Place of a row: its encoded sort key, then when it came.
pub(super) type Place = (Box<[u8]>, u64);

/// Entries by sort key, those with equal keys by arrival.
#[derive(Debug)]
pub(super) enum List {
    /// Sorted.
    Short(Vec<(Place, u32)>),
    /// For partitions that keep many rows.
    Long(BTreeMap<Place, u32>),
}

impl Default for List {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Short(list) => list.len(),
            Self::Long(tree) => tree.len(),
        }
    }

    pub(super) fn insert(&mut self, key: &[u8], sequence: u64, entry: u32) {
        match self {
            Self::Short(list) => {
                let at = list.partition_point(|(p, _)| (&*p.0, p.1) < (key, sequence));
                list.insert(at, ((key.into(), sequence), entry));
                if list.len() > LONG {
                    *self = Self::Long(std::mem::take(list).into_iter().collect());
                }
            }
            Self::Long(tree) => {
                tree.insert((key.into(), sequence), entry);
            }
        }
    }

    /// Takes out the entry at a place; true if it was there.
    pub(super) fn remove(&mut self, key: &[u8], sequence: u64) -> bool {
        match self {
            Self::Short(list) => {
                let at = list.partition_point(|(p, _)| (&*p.0, p.1) < (key, sequence));
                let found = list.get(at).is_some_and(|(p, _)| (&*p.0, p.1) == (key, sequence));
                if found {
                    list.remove(at);
                }
                found
            }
            Self::Long(tree) => {
                let found = tree.remove(&(Box::from(key), sequence)).is_some();
                if tree.len() < LONG / 2 {
                    *self = Self::Short(std::mem::take(tree).into_iter().collect());
                }
                found
            }
        }
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<(&[u8], u32)> {
        match self {
            Self::Short(list) => list.last().map(|(p, e)| (&*p.0, *e)),
            Self::Long(tree) => tree.last_key_value().map(|(p, e)| (&*p.0, *e)),
        }
    }

    /// Takes out the last entry.
    pub(super) fn pop(&mut self) -> Option<u32> {
        match self {
            Self::Short(list) => list.pop().map(|(_, e)| e),
            Self::Long(tree) => {
                let popped = tree.pop_last().map(|(_, e)| e);
                if tree.len() < LONG / 2 {
                    *self = Self::Short(std::mem::take(tree).into_iter().collect());
                }
                popped
            }
        }
    }

    /// How many of the last entries share the last one's key.
    pub(super) fn last_peers(&self) -> usize {
        let Some((key, _)) = self.last() else { return 0 };
        match self {
            Self::Short(list) => list.iter().rev().take_while(|(p, _)| *p.0 == *key).count(),
            Self::Long(tree) => tree.keys().rev().take_while(|p| *p.0 == *key).count(),
        }
    }

    /// Some entry has this key.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        match self {
            Self::Short(list) => {
                let at = list.partition_point(|(p, _)| *p.0 < *key);
                list.get(at).is_some_and(|(p, _)| *p.0 == *key)
            }
            Self::Long(tree) => {
                let from = (Box::from(key), 0);
                let next = tree.range((Bound::Included(from), Bound::Unbounded)).next();
                next.is_some_and(|(p, _)| *p.0 == *key)
            }
        }
    }

    /// Visits entries in order, with their keys, until `visit` answers false.
    pub(super) fn visit(&self, mut visit: impl FnMut(&[u8], u32) -> bool) {
        match self {
            Self::Short(list) => {
                for (place, entry) in list {
                    if !visit(&place.0, *entry) {
                        return;
                    }
                }
            }
            Self::Long(tree) => {
                for (place, entry) in tree {
                    if !visit(&place.0, *entry) {
                        return;
                    }
                }
            }
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let entry = size_of::<(Place, u32)>();
        let (entries, keys) = match self {
            Self::Short(list) => (list.capacity(), list.iter().map(|(p, _)| p.0.len()).sum::<usize>()),
            Self::Long(tree) => (tree.len() * 3 / 2, tree.keys().map(|p| p.0.len()).sum()),
        };
        entries * entry + keys
    }
}
