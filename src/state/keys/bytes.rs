//! Keys that are bytes, in one arena.

use std::hash::BuildHasher;

use super::table::{Hasher, Store};

/// Garbage below this is not worth a copy.
const SMALL: usize = 1 << 16;

/// Byte strings by slot. What is dropped stays in the arena until half of it is garbage.
#[derive(Debug, Default)]
pub(super) struct ByteKeys {
    arena: Vec<u8>,
    offsets: Vec<u64>,
    lengths: Vec<u32>,
    garbage: usize,
}

impl ByteKeys {
    #[inline]
    pub fn get(&self, slot: u32) -> &[u8] {
        let (offset, length) = (self.offsets[slot as usize] as usize, self.lengths[slot as usize] as usize);
        &self.arena[offset..offset + length]
    }

    fn append(&mut self, key: &[u8]) -> u64 {
        // Doubling would leave up to half of a large arena unused.
        if self.arena.len() + key.len() > self.arena.capacity() && self.arena.len() > (1 << 20) {
            self.arena.reserve_exact(key.len() + self.arena.len() / 4);
        }
        let offset = self.arena.len() as u64;
        self.arena.extend_from_slice(key);
        offset
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.arena);
        self.arena.reserve_exact(old.len() - self.garbage);
        for (offset, &length) in self.offsets.iter_mut().zip(&self.lengths) {
            let start = *offset as usize;
            *offset = self.arena.len() as u64;
            self.arena.extend_from_slice(&old[start..start + length as usize]);
        }
        self.garbage = 0;
    }
}

impl Store for ByteKeys {
    type Key<'a> = &'a [u8];

    #[inline]
    fn hash(hasher: &Hasher, key: &[u8]) -> u64 {
        hasher.hash_one(key)
    }
    #[inline]
    fn key(&self, slot: u32) -> &[u8] {
        self.get(slot)
    }
    #[inline]
    fn equals(&self, slot: u32, key: &[u8]) -> bool {
        self.lengths[slot as usize] as usize == key.len() && self.get(slot) == key
    }
    fn put(&mut self, slot: u32, key: &[u8]) {
        let offset = self.append(key);
        // Arrow's views and rows are shorter than 4 GiB.
        let length = key.len() as u32;
        if slot as usize == self.offsets.len() {
            self.offsets.push(offset);
            self.lengths.push(length);
        } else {
            self.offsets[slot as usize] = offset;
            self.lengths[slot as usize] = length;
        }
    }
    fn drop_key(&mut self, slot: u32) {
        self.garbage += std::mem::take(&mut self.lengths[slot as usize]) as usize;
        self.offsets[slot as usize] = 0;
        if self.garbage > SMALL && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
    }
    fn slots(&self) -> usize {
        self.offsets.len()
    }
    fn memory(&self) -> usize {
        self.arena.capacity() + self.offsets.capacity() * 8 + self.lengths.capacity() * 4
    }
}
