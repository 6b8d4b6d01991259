//! Rows of partitions that slide: they come at the end and leave at the front.
//!
//! For a checkpoint they carry the number of their arrival, since ids are used again. What came since the last
//! snapshot is found from the end of each partition, without a look at the rest.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::flow::OperatorContext;
use crate::state::{Changed, RowStore};

/// Kept rows with the numbers of their arrival.
#[derive(Debug)]
pub(super) struct Trail {
    store: RowStore,
    /// By id; empty without checkpoints.
    arrived: Vec<i64>,
    next: i64,
    /// Rows before this number are in the last snapshot.
    written: i64,
    gone: Changed,
    /// The order in which rows come is noted.
    ordered: bool,
    /// Left their partition and are not freed yet.
    leaving: Vec<u32>,
}

impl Trail {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            store: RowStore::new(schema),
            arrived: Vec::new(),
            next: 0,
            written: 0,
            gone: Changed::default(),
            ordered: false,
            leaving: Vec::new(),
        }
    }

    /// Before rows come: whether there will be snapshots, and what rows may take in memory.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        self.gone = Changed::new(context.checkpointed);
        self.ordered = context.keeps_order();
        self.store.limit(&context.memory);
    }

    pub(super) fn store(&self) -> &RowStore {
        &self.store
    }

    /// Keeps rows; their ids are appended.
    pub(super) fn push(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        let first = ids.len();
        self.store.push(batch, ids)?;
        if self.ordered {
            for &id in &ids[first..] {
                if self.arrived.len() <= id as usize {
                    self.arrived.resize(id as usize + 1, 0);
                }
                self.arrived[id as usize] = self.next;
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Lets a row go that nobody needs.
    pub(super) fn free(&mut self, id: u32) -> Result<()> {
        self.gone.remove(id);
        self.store.free(id)
    }

    /// Lets a row go at the next [`Trail::free_left`].
    pub(super) fn leave(&mut self, id: u32) {
        self.gone.remove(id);
        self.leaving.push(id);
    }

    /// Frees what has left.
    pub(super) fn free_left(&mut self) -> Result<()> {
        std::mem::take(&mut self.leaving).into_iter().try_for_each(|id| self.store.free(id))
    }

    /// When a row came.
    pub(super) fn arrival(&self, id: u32) -> i64 {
        self.arrived.get(id as usize).copied().unwrap_or(0)
    }

    /// A snapshot is taken: ids that are gone, and the number from which on rows are to be written.
    pub(super) fn cut(&mut self, full: bool) -> (Vec<Range<u64>>, i64) {
        let from = if full { 0 } else { self.written };
        self.written = self.next;
        (self.gone.take().1, from)
    }

    pub(super) fn memory(&self) -> usize {
        self.store.memory() + self.arrived.capacity() * size_of::<i64>()
    }
}
