//! A hash table of slots over keys that stand elsewhere.

use std::fmt::Debug;

use hashbrown::HashTable;

/// The hasher of all key tables.
pub(super) type Hasher = foldhash::fast::RandomState;

/// Keys by slot.
pub(super) trait Store: Debug + Default {
    type Key<'a>: Copy;

    fn hash(hasher: &Hasher, key: Self::Key<'_>) -> u64;
    /// The key of a slot that is in use.
    fn key(&self, slot: u32) -> Self::Key<'_>;
    fn equals(&self, slot: u32, key: Self::Key<'_>) -> bool;
    /// Puts a key to a slot, which is at most one behind the last.
    fn put(&mut self, slot: u32, key: Self::Key<'_>);
    /// The key of a slot is not needed any more.
    fn drop_key(&mut self, slot: u32);
    /// Slots there are.
    fn slots(&self) -> usize;
    fn memory(&self) -> usize;
}

/// Finds slots by key.
#[derive(Debug, Default)]
pub(super) struct Table<S> {
    store: S,
    table: HashTable<u32>,
    free: Vec<u32>,
    hasher: Hasher,
}

impl<S: Store> Table<S> {
    pub fn store(&self) -> &S {
        &self.store
    }

    #[inline]
    pub fn find(&self, key: S::Key<'_>) -> Option<u32> {
        let hash = S::hash(&self.hasher, key);
        self.table.find(hash, |&slot| self.store.equals(slot, key)).copied()
    }

    #[inline]
    pub fn intern(&mut self, key: S::Key<'_>) -> u32 {
        let hash = S::hash(&self.hasher, key);
        match self.table.find(hash, |&slot| self.store.equals(slot, key)) {
            Some(&slot) => slot,
            None => self.insert(hash, key),
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, key: S::Key<'_>) -> u32 {
        let slot = self.reserve(key);
        let (store, hasher) = (&self.store, &self.hasher);
        self.table.insert_unique(hash, slot, |&s| S::hash(hasher, store.key(s)));
        slot
    }

    /// A slot for a key that is found in another way than by this table.
    pub fn reserve(&mut self, key: S::Key<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or(self.store.slots() as u32);
        self.store.put(slot, key);
        slot
    }

    /// Gives a slot of [`Table::reserve`] back.
    pub fn release(&mut self, slot: u32) {
        self.store.drop_key(slot);
        self.free.push(slot);
    }

    /// Takes the keys that `which` wants out of the table; they keep their slots.
    pub fn extract(&mut self, mut which: impl FnMut(u32, S::Key<'_>) -> bool) {
        let store = &self.store;
        self.table.retain(|&mut slot| !which(slot, store.key(slot)));
    }

    pub fn remove(&mut self, slot: u32) {
        if slot as usize >= self.store.slots() {
            return;
        }
        let hash = S::hash(&self.hasher, self.store.key(slot));
        if let Ok(entry) = self.table.find_entry(hash, |&s| s == slot) {
            entry.remove();
            self.release(slot);
        }
    }

    pub fn capacity(&self) -> usize {
        self.store.slots()
    }

    pub fn len(&self) -> usize {
        self.store.slots() - self.free.len()
    }

    /// Slots in use, ascending.
    pub fn slots(&self) -> Vec<u32> {
        let mut used = vec![true; self.store.slots()];
        self.free.iter().for_each(|&slot| used[slot as usize] = false);
        used.iter().enumerate().filter(|(_, used)| **used).map(|(slot, _)| slot as u32).collect()
    }

    pub fn memory(&self) -> usize {
        self.store.memory() + self.table.allocation_size() + self.free.capacity() * size_of::<u32>()
    }
}
