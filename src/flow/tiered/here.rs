//! Which keys an operator has in memory, and which of them are on disk as well: one number a key.

use hashbrown::{HashSet, HashTable};

/// Hashes of keys, whose last bit tells whether the key is on disk, too.
#[derive(Debug, Default)]
pub(super) struct Here(HashTable<u64>);

const ON_DISK: u64 = 1;

/// Hashes as they are told apart here: without the last bit.
pub(super) fn plain(hashes: &mut [u64]) {
    hashes.iter_mut().for_each(|hash| *hash &= !ON_DISK);
}

/// Hashes of keys of one task have their first bits in common, and none of them has a last one.
fn place(entry: &u64) -> u64 {
    let product = u128::from(*entry | ON_DISK) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

impl Here {
    /// Those keys, of which nothing on disk counts but where `former` says so.
    pub(super) fn only(keys: &HashSet<u64>, former: &Self) -> Self {
        let mut own = Self::default();
        for &hash in keys {
            own.insert(hash);
            if former.is_on_disk(hash) {
                own.note_on_disk(hash);
            }
        }
        own
    }

    fn find(&self, hash: u64) -> Option<&u64> {
        self.0.find(place(&hash), |entry| entry & !ON_DISK == hash)
    }

    /// The key is here now; whether it was not.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        match self.0.entry(place(&hash), |entry| entry & !ON_DISK == hash, place) {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(hash);
                true
            }
        }
    }

    /// A key that is here is on disk as well.
    pub(super) fn note_on_disk(&mut self, hash: u64) {
        if let Some(entry) = self.0.find_mut(place(&hash), |entry| entry & !ON_DISK == hash) {
            *entry |= ON_DISK;
        }
    }

    fn is_on_disk(&self, hash: u64) -> bool {
        self.find(hash).is_some_and(|entry| entry & ON_DISK != 0)
    }

    /// The keys that are on disk as well, ascending.
    pub(super) fn on_disk(&self) -> Vec<u64> {
        let marked = self.0.iter().filter(|entry| **entry & ON_DISK != 0);
        let mut marked: Vec<u64> = marked.map(|entry| entry & !ON_DISK).collect();
        marked.sort_unstable();
        marked
    }

    /// None of them is any more.
    pub(super) fn gone_from_disk(&mut self) {
        self.0.iter_mut().for_each(|entry| *entry &= !ON_DISK);
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.0.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let mut hashes: Vec<u64> = (0..1000u64).map(|i| (i << 54) + 2 * i + i % 2).collect();
        plain(&mut hashes);
        let mut here = Here::default();
        assert!(hashes.iter().all(|&hash| here.insert(hash)));
        assert!(!hashes.iter().any(|&hash| here.insert(hash)));
        here.note_on_disk(hashes[7]);
        here.note_on_disk(hashes[3]);
        here.note_on_disk(u64::MAX - 1);
        assert_eq!(here.on_disk(), [hashes[3], hashes[7]]);
        let kept = Here::only(&HashSet::from([hashes[7], hashes[9]]), &here);
        assert_eq!((kept.on_disk(), kept.0.len()), (vec![hashes[7]], 2));
        here.gone_from_disk();
        assert!(here.on_disk().is_empty() && !here.insert(hashes[3]));
    }
}
