//! What leaves a cache: keys beyond its bounds, and keys whose lifetime is over.

use std::sync::atomic::Ordering;

use super::{Cache, Entry, GARBAGE, State};

/// Buckets swept for expired keys with every insert.
const SWEEP: usize = 4;
/// Uses with which a new key stays, and which part of the keys is new.
const STAYS: u8 = 1;
const SMALL: usize = 10;

impl Cache {
    pub(super) fn is_bounded(&self) -> bool {
        self.max_keys != usize::MAX || self.max_bytes != u64::MAX
    }

    /// Makes room: by a new key that nobody has used since, or by one that was not used since the hand came by.
    pub(super) fn evict_one(&self, state: &mut State, now: i64) {
        while !state.table.is_empty() {
            let new = state.small_keys * SMALL > state.table.len() || state.small_keys == state.table.len();
            let evicted = match new {
                true => self.evict_new(state, now),
                false => self.step(state, |entry| {
                    if !entry.main {
                        return false;
                    }
                    let uses = entry.uses.load(Ordering::Relaxed);
                    if uses > 0 && self.alive(entry, now) {
                        entry.uses.store(uses - 1, Ordering::Relaxed);
                        return false;
                    }
                    true
                }),
            };
            if evicted {
                state.evictions += 1;
                return;
            }
        }
    }

    /// Lets the oldest of the new keys go, or stay for good; whether it went.
    fn evict_new(&self, state: &mut State, now: i64) -> bool {
        let Some(hash) = state.small.pop_front() else {
            // Keys of which the order is lost: they were all there before the bound was.
            state.table.iter_mut().for_each(|entry| entry.main = true);
            state.small_keys = 0;
            return false;
        };
        let (hasher, arena) = (&self.hasher, &state.arena);
        let same = |entry: &Entry| !entry.main && entry.hash(hasher, arena) == hash;
        let Ok(mut found) = state.table.find_entry(hash, same) else { return false };
        let entry = found.get_mut();
        if entry.uses.load(Ordering::Relaxed) >= STAYS && self.alive(entry, now) {
            entry.main = true;
            entry.uses.store(0, Ordering::Relaxed);
            state.small_keys -= 1;
            return false;
        }
        let (entry, _) = found.remove();
        let keys = state.table.len();
        state.forget(&entry);
        state.ghost.insert(hash, keys);
        true
    }

    /// Removes expired keys from a few buckets.
    pub(super) fn sweep(&self, state: &mut State, now: i64) {
        if self.after_write == i64::MAX
            && self.after_access == i64::MAX
            && self.missing_after_write == i64::MAX
        {
            return;
        }
        for _ in 0..SWEEP {
            self.step(state, |entry| !self.kept(entry, now));
        }
        if state.small.len() > 2 * state.small_keys + 64 {
            // Keys that expired left their hashes behind.
            let State { small, table, arena, .. } = state;
            let there =
                |hash: &u64| table.find(*hash, |e| !e.main && e.hash(&self.hasher, arena) == *hash).is_some();
            small.retain(there);
        }
    }

    /// Moves the hand by one bucket; whether what it found there was removed.
    fn step(&self, state: &mut State, remove: impl FnOnce(&Entry) -> bool) -> bool {
        let buckets = state.table.num_buckets();
        if buckets == 0 {
            return true;
        }
        state.hand = (state.hand + 1) % buckets;
        if !state.table.get_bucket(state.hand).is_some_and(remove) {
            return false;
        }
        let Ok(found) = state.table.get_bucket_entry(state.hand) else { return false };
        let (entry, _) = found.remove();
        state.forget(&entry);
        true
    }

    pub(super) fn shrink_arena(&self, state: &mut State) {
        if state.arena_dead < 64 * GARBAGE || state.arena_dead < state.arena.len() / 2 {
            return;
        }
        let mut arena = Vec::with_capacity(state.arena.len() - state.arena_dead);
        for entry in state.table.iter_mut() {
            let start = arena.len() as u64;
            if let Some(bytes) = entry.outside(&state.arena) {
                arena.extend_from_slice(bytes);
                entry.key[1] = start;
            }
        }
        (state.arena, state.arena_dead) = (arena, 0);
    }
}
