//! A multiset of rows that are found again by their values, so that changes can take them back.

use std::hash::BuildHasher;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::equal_rows::EqualRows;
use crate::error::{Error, Result};
use crate::flow::OperatorContext;
use crate::state::RowStore;

/// Rows with stable ids. Without `searchable`, rows cost nothing more than in a [`RowStore`] and cannot be taken
/// back by their values.
#[derive(Debug)]
pub(super) struct RowBag {
    rows: RowStore,
    index: Option<Index>,
}

/// Rows by the hash of all of their values. The values themselves are compared in the store.
#[derive(Debug)]
struct Index {
    converter: RowConverter,
    hasher: foldhash::fast::RandomState,
    rows: EqualRows,
}

impl RowBag {
    pub(super) fn new(schema: SchemaRef, searchable: bool) -> Result<Self> {
        let index = if searchable {
            let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
            let converter = RowConverter::new(fields).map_err(|e| {
                Error::unsupported(
                    "rows with a column of this type cannot be compared, and so cannot be retracted",
                )
                .with_detail(e.to_string())
            })?;
            let hasher = foldhash::fast::RandomState::default();
            Some(Index { converter, hasher, rows: EqualRows::default() })
        } else {
            None
        };
        Ok(Self { rows: RowStore::new(schema), index })
    }

    pub(super) fn rows(&self) -> &RowStore {
        &self.rows
    }

    /// Before the first row: its memory, and whether it goes into checkpoints.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        self.rows.limit(&context.memory);
        if context.keeps_order() {
            self.rows.note(context.checkpointed);
        }
    }

    /// The kept rows, to write them into a checkpoint. They come back by [`RowBag::insert`].
    pub(super) fn rows_mut(&mut self) -> &mut RowStore {
        &mut self.rows
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.rows.memory() + self.index.as_ref().map_or(0, |index| index.rows.memory())
    }

    /// Keeps rows; their ids are appended.
    pub(super) fn insert(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        let first = ids.len();
        self.rows.push(batch, ids)?;
        let Some(index) = &mut self.index else { return Ok(()) };
        let encoded = index.converter.convert_columns(batch.columns())?;
        for (row, &id) in ids[first..].iter().enumerate() {
            let hash = index.hash(encoded_row(&encoded, row));
            index.rows.insert(id, hash);
        }
        Ok(())
    }

    /// Finds a kept row for each row, a different one for each, of equal ones the newest, and takes them out of the index; `None` where
    /// there is none. The rows themselves stay until they are [freed](RowBag::free).
    pub(super) fn take_back(&mut self, batch: &RecordBatch, found: &mut Vec<Option<u32>>) -> Result<()> {
        found.clear();
        let Some(index) = &mut self.index else {
            return Err(Error::internal("a row is retracted from state that only grows"));
        };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let encoded = index.converter.convert_columns(batch.columns())?;
        for row in 0..batch.num_rows() {
            let hash = index.hash(encoded_row(&encoded, row));
            found.push(index.rows.pop(hash));
        }
        // Equal hashes mean equal rows but for once in a lifetime; that is what the rest is for.
        let candidates: Vec<u32> = found.iter().copied().flatten().collect();
        let kept = self.rows.take(&candidates)?;
        let kept = index.converter.convert_columns(kept.columns())?;
        let mut wrong = Vec::new();
        let mut next = 0;
        for (row, id) in found.iter_mut().enumerate() {
            let Some(candidate) = *id else { continue };
            if encoded_row(&kept, next) != encoded_row(&encoded, row) {
                wrong.push((row, candidate));
                *id = None;
            }
            next += 1;
        }
        for &(_, id) in &wrong {
            let hash = index.rows.hash(id);
            index.rows.insert(id, hash);
        }
        for (row, _) in wrong {
            let value = encoded_row(&encoded, row);
            let hash = index.hash(value);
            let same: Vec<u32> = index.rows.of(hash).collect();
            let kept = index.converter.convert_columns(self.rows.take(&same)?.columns())?;
            if let Some(at) = (0..same.len()).find(|&i| encoded_row(&kept, i) == value) {
                found[row] = Some(same[at]);
                index.rows.remove(same[at]);
            }
        }
        Ok(())
    }

    /// Lets a row go that was taken back, or (`expired`) that still is in the index.
    pub(super) fn free(&mut self, id: u32, expired: bool) -> Result<()> {
        if expired && let Some(index) = &mut self.index {
            index.rows.remove(id);
        }
        self.rows.free(id)
    }
}

impl Index {
    fn hash(&self, row: &[u8]) -> u64 {
        self.hasher.hash_one(row)
    }
}

/// The bytes of a row; rows without columns are all equal.
fn encoded_row(rows: &arrow::row::Rows, row: usize) -> &[u8] {
    if row < rows.num_rows() { rows.row(row).data() } else { &[] }
}
