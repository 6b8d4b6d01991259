//! What was emitted for rows that may be taken back.
//!
//! ```text
//!   +I (a, 1) ── asks: C ──> +I (a, 1, C)        remembered under (a, 1)
//!                 the table changes: C → D
//!   -D (a, 1) ── no call ──> -D (a, 1, C)        not D, which was never emitted
//! ```
//! The answers stand in columns; under each left row stand the ids of those it was joined with, once for each
//! time it came. Retractions are replayed from there, without a call, when everything before them is out.
//!
//! In a checkpoint:
//! ```text
//!  emitted:  id │ counts  left columns         answers:  row  number  right columns
//!             0 │ [1, 2]  a  1                             0       0  A 1
//!             4 │ [0]     b  2                             0       1  B 2        number: counts the answers of a row,
//!                                                          0       2  C 3        which are split as its counts say
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int32Builder, ListBuilder, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int32Type, SchemaRef};

use crate::error::{Error, Result};
use crate::flow::OperatorContext;
use crate::operator::pieces::{self, by_origin, numbers, read_instants, read_numbers, read_written};
use crate::state::{Changed, Expiry, KeyTable, Restored, RowStore, Scope, Snapshot};

/// Emitted right rows by left row.
#[derive(Debug)]
pub(super) struct Memory {
    left: KeyTable,
    /// By slot of the left row: right row ids of each time it was emitted, the last time last. Rows that came
    /// to nothing have none; padded ones have a row of NULLs.
    emitted: Vec<Vec<Box<[u32]>>>,
    right: RowStore,
    retention: Option<Expiry>,
    schema: SchemaRef,
    /// Slots of left rows.
    changed: Changed,
    /// Ids of right rows.
    changed_right: Changed,
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
            schema: left.clone(),
            changed: Changed::default(),
            changed_right: Changed::default(),
        })
    }

    /// Before rows come: whether there will be snapshots, and what answers may take in memory.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        let on = context.checkpointed;
        (self.changed, self.changed_right) = (Changed::new(on), Changed::new(on));
        self.right.limit(&context.memory);
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
                self.changed_right.remove(*id);
            }
        }
        Ok(())
    }

    fn remove(&mut self, slot: u32) {
        self.left.remove(slot);
        self.changed.remove(slot);
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
                    self.remove(slot);
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
                    ids[begin..end].iter().for_each(|id| self.changed_right.mark(*id));
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
        for id in gone {
            self.right.free(id)?;
            self.changed_right.remove(id);
        }
        for slot in slots {
            if self.emitted[slot as usize].is_empty() {
                self.remove(slot);
            } else {
                self.changed.mark(slot);
            }
        }
        Ok((from, right))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let answers = size_of::<Vec<Box<[u32]>>>() + 2 * size_of::<Box<[u32]>>();
        self.left.memory() + self.right.memory() + self.emitted.len() * answers
    }

    pub(super) fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let full = snapshot.is_full();
        let (mut slots, gone) = self.changed.take();
        let (fresh, gone_right) = self.changed_right.take();
        if full {
            slots = self.left.slots();
        }
        let mut counts = ListBuilder::with_capacity(Int32Builder::new(), slots.len());
        let (mut ids, mut rows, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for &slot in &slots {
            let mut number = 0;
            for answers in &self.emitted[slot as usize] {
                counts.values().append_value(answers.len() as i32);
                for id in answers {
                    if full || fresh.binary_search(id).is_ok() {
                        ids.push(*id);
                        rows.push(i64::from(slot));
                        places.push(number);
                    }
                    number += 1;
                }
            }
            counts.append(true);
        }
        let counts: ArrayRef = Arc::new(counts.finish());
        let own = std::iter::once(("counts".to_string(), counts))
            .chain(pieces::written(self.retention.as_ref(), &slots));
        let left = self.left.take(&slots)?;
        let left = pieces::table(own, self.schema.fields().iter().cloned(), left, slots.len())?;
        snapshot.table("emitted", Scope::Pinned, pieces::ids(&slots), left, gone)?;
        let right = self.right.take(&ids)?;
        let own = [numbers("row", rows), numbers("number", places)];
        let fields = self.right.schema().fields().iter().cloned();
        let right = pieces::table(own, fields, right.columns().to_vec(), ids.len())?;
        snapshot.table("answers", Scope::Pinned, pieces::ids(&ids), right, gone_right)
    }

    /// Takes back what was emitted before; `now`: for rows without a time of their own.
    pub(super) fn restore(&mut self, state: &mut Restored, now: i64) -> Result<()> {
        let broken = || Error::decode("the answers of a row of the checkpoint are not complete");
        let mut slot_of: HashMap<(usize, u64), u32> = HashMap::new();
        let mut counts_of: HashMap<u32, Vec<i32>> = HashMap::new();
        for piece in state.table("emitted")? {
            let expires = piece.rows.num_columns() > self.schema.fields().len() + 1;
            let left = pieces::rest(&piece.rows, 1 + usize::from(expires), &self.schema)?;
            let mut slots = Vec::new();
            self.left.intern(left.columns(), left.num_rows(), &mut slots)?;
            let written = if expires { Some(read_instants(&piece.rows, 1)?) } else { None };
            read_written(self.retention.as_mut(), &slots, written, now);
            let counts = piece.rows.column(0).as_list_opt::<i32>().ok_or_else(broken)?;
            for (row, &slot) in slots.iter().enumerate() {
                let value = counts.value(row);
                let of_row = value.as_primitive_opt::<Int32Type>().ok_or_else(broken)?;
                slot_of.insert((piece.origin, piece.ids[row]), slot);
                counts_of.insert(slot, of_row.values().to_vec());
            }
        }
        self.emitted.resize_with(self.left.capacity(), Vec::new);
        let mut answers: Vec<(u32, i64, u32)> = Vec::new();
        for piece in by_origin(state.table("answers")?)? {
            let mut ids = Vec::with_capacity(piece.rows.num_rows());
            self.right.push(&pieces::rest(&piece.rows, 2, self.right.schema())?, &mut ids)?;
            let (rows, places) = (read_numbers(&piece.rows, 0)?, read_numbers(&piece.rows, 1)?);
            for ((&row, &place), id) in rows.iter().zip(places).zip(ids) {
                let slot = slot_of.get(&(piece.origin, row as u64)).ok_or_else(broken)?;
                answers.push((*slot, place, id));
            }
        }
        answers.sort_unstable();
        let mut answers = answers.chunk_by(|a, b| a.0 == b.0).peekable();
        let mut slots: Vec<u32> = counts_of.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            let of_row = answers.next_if(|a| a[0].0 == slot).unwrap_or_default();
            let mut ids = of_row.iter().map(|a| a.2);
            let counts = counts_of.remove(&slot).unwrap_or_default();
            if counts.iter().map(|&c| c as usize).sum::<usize>() != of_row.len() {
                return Err(broken());
            }
            let emitted = counts.iter().map(|&count| ids.by_ref().take(count as usize).collect());
            self.emitted[slot as usize] = emitted.collect();
        }
        Ok(())
    }
}
