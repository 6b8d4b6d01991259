//! Keys that had to leave not long ago: a fingerprint each, in a table without chains.

/// Fingerprints by the low bits of the hash. One that is overwritten is forgotten, which costs a second chance.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    marks: Vec<u32>,
}

impl Ghost {
    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.marks.len() - 1)
    }

    fn mark(hash: u64) -> u32 {
        // Zero is a free place.
        (hash >> 32) as u32 | 1
    }

    /// Notes that a key has left a cache that holds so many.
    pub(super) fn insert(&mut self, hash: u64, cached: usize) {
        if self.marks.len() < cached.max(1) {
            self.marks = vec![0; cached.next_power_of_two().max(64)];
        }
        let place = self.place(hash);
        self.marks[place] = Self::mark(hash);
    }

    /// Whether a key has left not long ago; it is forgotten by that.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        if self.marks.is_empty() {
            return false;
        }
        let place = self.place(hash);
        let found = self.marks[place] == Self::mark(hash);
        if found {
            self.marks[place] = 0;
        }
        found
    }

    pub(super) fn clear(&mut self) {
        self.marks.clear();
    }
}
