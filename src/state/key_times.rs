//! When keys were last written, for operators that keep more than one row a key: a table of its own, so that a
//! key that is written does not write its rows.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::changed::Changed;
use super::columns;
use super::expiry::Expiry;
use super::keys::KeyTable;
use super::row_table::with_schema;
use super::snapshot::{Restored, Scope, Snapshot};
use crate::error::Result;

/// Name of the table.
const TABLE: &str = "keys";

/// Times of writing by slot of a [`KeyTable`].
#[derive(Debug)]
pub struct KeyTimes {
    expiry: Expiry,
    changed: Changed,
    keys: SchemaRef,
    table: SchemaRef,
}

impl KeyTimes {
    /// `None` where state is kept for ever. `keys`: the key columns.
    pub fn new(ttl: Option<Duration>, keys: impl IntoIterator<Item = Field>) -> Option<Self> {
        let written = Field::new("written_at", columns::time_type(), true);
        let keys: SchemaRef = Arc::new(Schema::new(keys.into_iter().collect::<Vec<_>>()));
        let table = columns::schema(keys.fields().iter().map(|f| f.as_ref().clone()).chain([written]));
        Some(Self { expiry: Expiry::new(ttl)?, changed: Changed::default(), keys, table })
    }

    /// Notes from now on what changes, for checkpoints.
    pub fn track(&mut self) {
        self.changed = Changed::new(true);
    }

    /// The key is written now.
    pub fn touch(&mut self, slot: u32, now: i64) {
        self.changed.mark(slot);
        self.expiry.touch(slot, now);
    }

    /// The key was not written for its time.
    pub fn is_expired(&self, slot: u32, now: i64) -> bool {
        self.expiry.is_expired(slot, now)
    }

    /// See [`Expiry::write`].
    pub fn write(&mut self, slots: &[u32], now: i64) -> Vec<(u32, bool)> {
        slots.iter().for_each(|&slot| self.changed.mark(slot));
        let emptied = self.expiry.write(slots, now);
        emptied.iter().filter(|(_, gone)| *gone).for_each(|(slot, _)| self.changed.remove(*slot));
        emptied
    }

    /// See [`Expiry::sweep`].
    pub fn sweep(&mut self, now: i64) -> Vec<u32> {
        let expired = self.expiry.sweep(now);
        expired.iter().for_each(|&slot| self.changed.remove(slot));
        expired
    }

    /// The slot is not in use any more.
    pub fn forget(&mut self, slot: u32) {
        self.expiry.forget(slot);
        self.changed.remove(slot);
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.expiry.memory() + self.changed.memory()
    }

    /// Adds table `keys`: key columns and `written_at`. `keyed`: whether the operator's input is exchanged by the
    /// keys.
    pub fn snapshot(&mut self, keys: &KeyTable, keyed: bool, snapshot: &mut Snapshot) -> Result<()> {
        let (changed, removed) = self.changed.take();
        let (slots, removed) = match snapshot.is_full() {
            true => (self.expiry.slots(), Vec::new()),
            false => (changed, removed),
        };
        let mut rows = keys.take(&slots)?;
        let parts = if keyed { rows.len() } else { 0 };
        rows.push(columns::times(slots.iter().map(|&slot| self.expiry.written(slot))));
        let rows = with_schema(&self.table, &rows, slots.len())?;
        let ids = slots.into_iter().map(u64::from).collect();
        snapshot.table(TABLE, Scope::Keyed((0..parts).collect()), ids, rows, removed)
    }

    /// Takes the times back; keys that are not in the table yet come into it.
    pub fn restore(&mut self, keys: &mut KeyTable, restored: &mut Restored) -> Result<()> {
        let mut slots = Vec::new();
        for piece in restored.table(TABLE)? {
            columns::check(&piece.rows, &self.table, TABLE)?;
            let parts = self.table.fields().len() - 1;
            let columns = columns::cast_to(&self.keys, &piece.rows.columns()[..parts])?;
            keys.intern(&columns, piece.rows.num_rows(), &mut slots)?;
            let times = columns::millis(piece.rows.column(parts))?;
            slots.iter().zip(times).for_each(|(&slot, &time)| self.touch(slot, time));
        }
        Ok(())
    }
}
