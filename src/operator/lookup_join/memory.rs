//! What was emitted for rows that may be taken back.
//!
//! ```text
//!   +I (a, 1) ── asks: C ──> +I (a, 1, C)        remembered under (a, 1)
//!                 the table changes: C → D
//!   -D (a, 1) ── no call ──> -D (a, 1, C)        not D, which was never emitted
//! ```
//! The answers stand in columns; under each left row stand the ids of those it was joined with, once for each
//! time it came. Retractions are replayed from there, without a call, when everything before them is out.

use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::state::{Expiry, KeyTable, RowStore};

/// Emitted right rows by left row.
#[derive(Debug)]
pub(super) struct Memory {
    left: KeyTable,
    /// By slot of the left row: right row ids of each time it was emitted, the last time last. Rows that came
    /// to nothing have none; padded ones have a row of NULLs.
    emitted: Vec<Vec<Box<[u32]>>>,
    right: RowStore,
    retention: Option<Expiry>,
}

/// One left row on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is joined with the rows of this owner.
    Add(u32),
    /// It takes back what was emitted for it.
    TakeBack,
}

impl Memory {
    /// `left`: all columns of the left side; `right`: the right output columns.
    pub(super) fn new(left: &SchemaRef, right: SchemaRef, ttl: Option<Duration>) -> Result<Self> {
        let types: Vec<_> = left.fields().iter().map(|f| f.data_type().clone()).collect();
        Ok(Self {
            left: KeyTable::new(&types)?,
            emitted: Vec::new(),
            right: RowStore::new(right),
            retention: Expiry::new(ttl),
        })
    }

    /// Rows that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }

    fn forget(&mut self, slot: u32) -> Result<()> {
        if let Some(emitted) = self.emitted.get_mut(slot as usize) {
            for id in std::mem::take(emitted).iter().flat_map(|ids| ids.iter()) {
                self.right.free(*id)?;
            }
        }
        Ok(())
    }

    /// Goes through left rows in order. `owners` (ascending) and `right` are the joined rows of those that are
    /// added. Gives the position of the left row and the right columns of each row that goes out.
    pub(super) fn apply(
        &mut self,
        left: &[ArrayRef],
        changes: &[Change],
        (owners, right): (&[u32], Vec<ArrayRef>),
        now: i64,
    ) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let mut slots = Vec::new();
        self.left.intern(left, changes.len(), &mut slots)?;
        self.emitted.resize_with(self.left.capacity(), Vec::new);
        if let Some(retention) = &mut self.retention {
            let mut expired = retention.sweep(now);
            expired.extend(slots.iter().filter(|s| retention.is_expired(**s, now)));
            for (&slot, change) in slots.iter().zip(changes) {
                if matches!(change, Change::Add(_)) {
                    retention.touch(slot, now);
                }
            }
            for slot in expired {
                self.forget(slot)?;
                if !slots.contains(&slot) {
                    self.left.remove(slot);
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(owners.len()));
        let batch = RecordBatch::try_new_with_options(self.right.schema().clone(), right, &options)?;
        let mut ids = Vec::with_capacity(owners.len());
        self.right.push(&batch, &mut ids)?;
        let (mut from, mut out, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (&change, &slot)) in changes.iter().zip(&slots).enumerate() {
            let emitted = &mut self.emitted[slot as usize];
            let before = out.len();
            match change {
                Change::Add(owner) => {
                    let begin = owners.partition_point(|o| *o < owner);
                    let end = begin + owners[begin..].partition_point(|o| *o == owner);
                    emitted.push(ids[begin..end].into());
                    out.extend_from_slice(&ids[begin..end]);
                }
                // What was never emitted, or has been forgotten, is not taken back.
                Change::TakeBack => {
                    if let Some(last) = emitted.pop() {
                        out.extend_from_slice(&last);
                        gone.extend_from_slice(&last);
                    }
                }
            }
            from.resize(from.len() + out.len() - before, row as u32);
        }
        let right = self.right.take(&out)?.columns().to_vec();
        gone.into_iter().try_for_each(|id| self.right.free(id))?;
        for slot in slots {
            if self.emitted[slot as usize].is_empty() {
                self.left.remove(slot);
            }
        }
        Ok((from, right))
    }
}
