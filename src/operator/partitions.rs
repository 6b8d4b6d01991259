//! When partitions were written last, in a checkpoint: a table beside that of their rows, because a partition is written
//! with each of its rows.
//!
//! ```text
//!  partitions:  id │ written   key columns
//!                3 │ 10:00:07  a
//! ```

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};

use super::pieces::{self, read_instants, read_written};
use crate::error::Result;
use crate::state::{Changed, Expiry, KeyTable, Restored, Scope, Snapshot};

pub(super) const TABLE: &str = "partitions";

/// Partitions that expire.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    fields: Vec<Arc<Field>>,
    /// Slots that were written.
    pub(super) changed: Changed,
}

impl Partitions {
    /// Of rows of a schema by some of their columns.
    pub(super) fn new(input: &SchemaRef, keys: &[usize]) -> Self {
        Self { fields: pieces::fields(input, keys), changed: Changed::default() }
    }

    /// There will be snapshots of partitions that expire, or not.
    pub(super) fn note_changes(&mut self, on: bool) {
        self.changed = Changed::new(on);
    }

    /// Adds the times of slots in use to a snapshot.
    pub(super) fn snapshot(
        &mut self,
        snapshot: &mut Snapshot,
        keys: &KeyTable,
        expiry: &Expiry,
    ) -> Result<()> {
        let (mut slots, gone) = self.changed.take();
        if snapshot.is_full() {
            slots = keys.slots();
        }
        let own = pieces::written(Some(expiry), &slots);
        let table = pieces::table(own, self.fields.iter().cloned(), keys.take(&slots)?, slots.len())?;
        let scope = Scope::Keyed((1..=self.fields.len()).collect());
        snapshot.table(TABLE, scope, pieces::ids(&slots), table, gone)
    }

    /// Takes times back, for keys that are in use again; those without one are written now.
    pub(super) fn restore(
        &mut self,
        state: &mut Restored,
        keys: &mut KeyTable,
        expiry: Option<&mut Expiry>,
        now: i64,
    ) -> Result<()> {
        let Some(expiry) = expiry else { return Ok(()) };
        if !state.is_part() {
            keys.slots().into_iter().for_each(|slot| expiry.touch(slot, now));
        }
        for piece in state.table(TABLE)? {
            let mut slots = Vec::new();
            let columns = &piece.rows.columns()[1..];
            keys.intern(columns, piece.rows.num_rows(), &mut slots)?;
            read_written(Some(&mut *expiry), &slots, Some(read_instants(&piece.rows, 0)?), now);
        }
        Ok(())
    }
}
