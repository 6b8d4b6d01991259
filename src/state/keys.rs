//! Keys to slots: every distinct key of an operator gets a small number, and its state stands in columns at
//! that number.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::error::{Error, Result};

/// Interns keys of one or more columns. NULL is a value like others and equals itself (as in GROUP BY);
/// so is NaN. Without columns there is one key.
#[derive(Debug)]
pub struct KeyTable {
    converter: RowConverter,
    /// Encoded key by slot; `None` where the slot is free.
    keys: Vec<Option<Box<[u8]>>>,
    table: HashTable<u32>,
    free: Vec<u32>,
    hasher: foldhash::fast::RandomState,
}

impl KeyTable {
    /// For key columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported("a column of this type cannot be a key").with_detail(e.to_string())
        })?;
        Ok(Self {
            converter,
            keys: Vec::new(),
            table: HashTable::new(),
            free: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
        })
    }

    /// The slot of each row's key; new keys get one. `slots` is filled anew, `rows` long (`columns` may
    /// be none).
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        slots.clear();
        let encoded = if columns.is_empty() { None } else { Some(self.converter.convert_columns(columns)?) };
        for row in 0..rows {
            let key = encoded.as_ref().map_or(&[][..], |e| e.row(row).data());
            let hash = self.hasher.hash_one(key);
            let (keys, hasher) = (&self.keys, &self.hasher);
            let entry = self.table.find(hash, |&s| keys[s as usize].as_deref() == Some(key));
            let slot = match entry {
                Some(&slot) => slot,
                None => {
                    let slot = self.free.pop().unwrap_or(self.keys.len() as u32);
                    if slot as usize == self.keys.len() {
                        self.keys.push(None);
                    }
                    self.keys[slot as usize] = Some(key.into());
                    let keys = &self.keys;
                    self.table.insert_unique(hash, slot, |&s| hasher_of(hasher, keys, s));
                    slot
                }
            };
            slots.push(slot);
        }
        Ok(())
    }

    /// The slot of each row's key, `None` for keys that have none.
    pub fn find(&self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<Option<u32>>) -> Result<()> {
        slots.clear();
        let encoded = if columns.is_empty() { None } else { Some(self.converter.convert_columns(columns)?) };
        for row in 0..rows {
            let key = encoded.as_ref().map_or(&[][..], |e| e.row(row).data());
            let hash = self.hasher.hash_one(key);
            slots.push(self.table.find(hash, |&s| self.keys[s as usize].as_deref() == Some(key)).copied());
        }
        Ok(())
    }

    /// Forgets the key of a slot; the slot is given to another key.
    pub fn remove(&mut self, slot: u32) {
        let Some(key) = self.keys[slot as usize].take() else { return };
        let hash = self.hasher.hash_one(&*key);
        if let Ok(entry) = self.table.find_entry(hash, |&s| s == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// Slots in use are below this.
    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No key at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The key columns of slots that are in use.
    pub fn take(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows = slots.iter().map(|&s| parser.parse(self.keys[s as usize].as_deref().unwrap_or_default()));
        Ok(self.converter.convert_rows(rows)?)
    }

    /// Bytes of the keys and of what finds them.
    pub fn memory(&self) -> usize {
        let keys: usize = self.keys.iter().flatten().map(|k| k.len()).sum();
        keys + self.keys.capacity() * size_of::<Option<Box<[u8]>>>() + self.table.capacity() * 5
    }
}

fn hasher_of(hasher: &foldhash::fast::RandomState, keys: &[Option<Box<[u8]>>], slot: u32) -> u64 {
    hasher.hash_one(keys[slot as usize].as_deref().unwrap_or_default())
}
