//! Chains of runs, and how they are merged.
//!
//! A *run* is what one checkpoint wrote of a table, or several runs merged. A table is a chain of them:
//! ```text
//!  newest                                    oldest
//!  ┌───────┐   ┌───────┐   ┌────────────┐   ┌────────────────────────────┐
//!  │ 3 7   │   │ 3 9   │   │ 1 2 3 8    │   │ 1 2 3 4 5 6 7 8 9          │   ids of rows
//!  │ - 9   │   │       │   │ - 5        │   │ whole                      │   ids that are gone, in older runs
//!  └───────┘   └───────┘   └────────────┘   └────────────────────────────┘
//!  rows: 3 7 of the first; none of the second (9 is gone); 1 2 8; 4 6
//! ```
//! Read from the newest to the oldest, a row counts unless its id was met before. What a run removes, it removes
//! from older runs, not from itself; behind a run that is *whole* nothing counts.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use roaring::RoaringTreemap;

use super::segment::{
    Block, BlockRef, Recent, SegmentWriter, bytes_of, decode, pieces, read_blocks, with_schema,
};
use crate::error::{Error, Result};
use crate::state::snapshot::StoredRows;
use crate::state::store::Store;
use crate::state::tiering::due;

/// Rows and bytes at which merged rows become a batch.
const BATCH_ROWS: usize = 64 << 10;
const BATCH_BYTES: usize = 8 << 20;

/// What was written of a table at a time: blocks with different ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Nothing older counts.
    pub(super) whole: bool,
    pub(super) blocks: Vec<BlockRef>,
}

impl Run {
    pub(super) fn bytes(&self) -> u64 {
        self.blocks.iter().map(|b| b.bytes).sum()
    }

    pub(super) fn rows(&self) -> u64 {
        self.blocks.iter().map(|b| b.rows).sum()
    }
}

/// The same, before it is written.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) whole: bool,
    pub(super) schema: SchemaRef,
    pub(super) rows: Vec<(Vec<u64>, RecordBatch)>,
    pub(super) removed: Vec<Range<u64>>,
    /// More rows, of a whole part.
    pub(super) more: Option<Arc<dyn StoredRows>>,
}

impl Part {
    /// Gives all rows.
    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()> {
        self.rows.iter().try_for_each(|(ids, rows)| with(ids.clone(), rows.clone()))?;
        self.more.iter().try_for_each(|more| more.each(with))
    }

    fn bytes(&self) -> u64 {
        let rows: usize = self.rows.iter().map(|(ids, rows)| ids.len() * 4 + bytes_of(rows)).sum();
        (rows + self.removed.len() * 16) as u64
    }
}

/// A run wherever it is.
pub(super) enum Layer<'a> {
    Memory(&'a Part),
    Stored(&'a Run),
}

impl Layer<'_> {
    fn whole(&self) -> bool {
        match self {
            Self::Memory(part) => part.whole,
            Self::Stored(run) => run.whole,
        }
    }
}

/// Where blocks are read from.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) recent: Option<&'a Recent>,
}

/// What newer runs say about the rows of older ones.
#[derive(Default)]
struct Hidden {
    ids: RoaringTreemap,
    /// Wide ranges, ascending, apart from each other: as bits they would take much room.
    ranges: Vec<Range<u64>>,
}

impl Hidden {
    const WIDE: u64 = 1 << 12;

    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.ranges.is_empty()
    }

    fn hides(&self, id: u64) -> bool {
        if self.ids.contains(id) {
            return true;
        }
        let at = self.ranges.partition_point(|r| r.end <= id);
        self.ranges.get(at).is_some_and(|r| r.start <= id)
    }

    fn add_ids(&mut self, ids: &[u64]) {
        for stretch in ids.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            match stretch {
                [id] => {
                    self.ids.insert(*id);
                }
                [first, .., last] => {
                    self.ids.insert_range(*first..=*last);
                }
                [] => {}
            }
        }
    }

    fn add_ranges(&mut self, removed: &[Range<u64>]) {
        let before = self.ranges.len();
        for range in removed {
            match range.end.saturating_sub(range.start) {
                0 => {}
                n if n < Self::WIDE => {
                    self.ids.insert_range(range.clone());
                }
                _ => self.ranges.push(range.clone()),
            }
        }
        if self.ranges.len() > before {
            self.ranges = union(std::mem::take(&mut self.ranges));
        }
    }
}

/// Ranges in ascending order, those that touch as one.
pub(super) fn union(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|r| r.start < r.end);
    ranges.sort_unstable_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Gives the rows of layers, newest first, that count. What the layers remove from older ones is returned, and
/// whether one of them was whole.
pub(super) fn merge(
    layers: &[Layer<'_>],
    from: Blocks<'_>,
    emit: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>,
) -> Result<(Vec<Range<u64>>, bool)> {
    let mut hidden = Hidden::default();
    let mut removed = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let last = layer.whole() || i + 1 == layers.len();
        let mut gone = Vec::new();
        let mut rows = |ids: Vec<u64>, rows: RecordBatch, hidden: &mut Hidden| -> Result<()> {
            let (kept, rows) = match hidden.is_empty() {
                true => (None, rows),
                false => visible(&ids, rows, hidden)?,
            };
            // Ids are unique in a run: adding them now hides nothing of the same run.
            if !last {
                hidden.add_ids(&ids);
            }
            let ids = match kept {
                Some(kept) => {
                    let kept = ids.iter().zip(kept.iter()).filter(|(_, kept)| *kept);
                    kept.map(|(id, _)| *id).collect()
                }
                None => ids,
            };
            match ids.is_empty() {
                true => Ok(()),
                false => emit(ids, rows),
            }
        };
        match layer {
            Layer::Memory(part) => {
                part.each(&mut |ids, batch| rows(ids, batch, &mut hidden))?;
                gone.extend(part.removed.iter().cloned());
            }
            Layer::Stored(run) => read_blocks(from.store, from.recent, &run.blocks, |place, bytes| {
                let Block { ids, rows: batch, removed } = decode(place, &bytes)?;
                gone.extend(removed);
                rows(ids, batch, &mut hidden)
            })?,
        }
        if layer.whole() {
            return Ok((union(removed), true));
        }
        if !last {
            hidden.add_ranges(&gone);
        }
        removed.extend(gone);
    }
    Ok((union(removed), false))
}

/// The rows that are not hidden; which they are, unless all.
fn visible(ids: &[u64], rows: RecordBatch, hidden: &Hidden) -> Result<(Option<BooleanBuffer>, RecordBatch)> {
    let kept = BooleanBuffer::collect_bool(ids.len(), |i| !hidden.hides(ids[i]));
    if kept.count_set_bits() == ids.len() {
        return Ok((None, rows));
    }
    let rows = filter_record_batch(&rows, &BooleanArray::new(kept.clone(), None))?;
    Ok((Some(kept), rows))
}

/// Makes batches of a good size out of many small ones.
pub(super) struct Gather<'e> {
    schema: SchemaRef,
    ids: Vec<u64>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    emit: &'e mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>,
}

impl<'e> Gather<'e> {
    pub(super) fn new(
        schema: SchemaRef,
        emit: &'e mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>,
    ) -> Self {
        Self { schema, ids: Vec::new(), batches: Vec::new(), bytes: 0, emit }
    }

    pub(super) fn push(&mut self, ids: Vec<u64>, rows: RecordBatch) -> Result<()> {
        let bytes = bytes_of(&rows);
        if self.ids.len() + ids.len() > BATCH_ROWS || self.bytes + bytes > BATCH_BYTES {
            self.finish()?;
        }
        self.bytes += bytes;
        match self.ids.is_empty() {
            true => self.ids = ids,
            false => self.ids.extend(ids),
        }
        self.batches.push(with_schema(rows, &self.schema)?);
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        let batch = match self.batches.len() {
            0 => return Ok(()),
            1 => self.batches.swap_remove(0),
            _ => concat_batches(&self.schema, &self.batches)?,
        };
        self.batches.clear();
        self.bytes = 0;
        (self.emit)(std::mem::take(&mut self.ids), batch)
    }
}

/// Several parts as one; the oldest first.
pub(super) fn merge_parts(parts: &[Part], store: &dyn Store) -> Result<Part> {
    let newest = parts.last().ok_or_else(|| Error::internal("no parts to merge"))?;
    let layers: Vec<_> = parts.iter().rev().map(Layer::Memory).collect();
    let mut rows = Vec::new();
    let mut emit = |ids, batch| {
        rows.push((ids, batch));
        Ok(())
    };
    let mut gather = Gather::new(newest.schema.clone(), &mut emit);
    let from = Blocks { store, recent: None };
    let (removed, whole) = merge(&layers, from, &mut |ids, batch| gather.push(ids, batch))?;
    gather.finish()?;
    // What the oldest part removes stands before its own rows, and so before all of them.
    let removed = if whole { Vec::new() } else { removed };
    Ok(Part { whole, schema: newest.schema.clone(), rows, removed, more: None })
}

/// Writes a part as a run on top of a chain, merged with as many runs of the chain as is their turn.
pub(super) fn write(
    part: &Part,
    chain: &[Run],
    from: Blocks<'_>,
    writer: &mut SegmentWriter<'_>,
) -> Result<Vec<Run>> {
    let older = if part.whole { &[] } else { chain };
    let mut sizes = vec![part.bytes()];
    sizes.extend(older.iter().map(Run::bytes));
    let merged = due(&sizes).saturating_sub(1);
    let mut blocks = Vec::new();
    let (removed, whole) = if merged == 0 {
        // With the first rows, and what is left of it below: most cuts are small.
        let mut removed = if older.is_empty() { &[][..] } else { &part.removed };
        part.each(&mut |ids, rows| {
            for piece in pieces(&ids, &rows) {
                let rows = with_schema(rows.slice(piece.start, piece.len()), &part.schema)?;
                blocks.push(writer.block(&ids[piece], &rows, removed)?);
                removed = &[];
            }
            Ok(())
        })?;
        (removed.to_vec(), part.whole)
    } else {
        let layers: Vec<_> =
            [Layer::Memory(part)].into_iter().chain(older[..merged].iter().map(Layer::Stored)).collect();
        let mut emit = |ids: Vec<u64>, rows: RecordBatch| {
            blocks.push(writer.block(&ids, &rows, &[])?);
            Ok(())
        };
        let mut gather = Gather::new(part.schema.clone(), &mut emit);
        let done = merge(&layers, from, &mut |ids, rows| {
            for piece in pieces(&ids, &rows) {
                gather.push(ids[piece.clone()].to_vec(), rows.slice(piece.start, piece.len()))?;
            }
            Ok(())
        })?;
        gather.finish()?;
        done
    };
    // The oldest run has nothing below it that could be removed.
    let base = whole || merged == older.len();
    let removed = if base { Vec::new() } else { removed };
    if blocks.is_empty() || !removed.is_empty() {
        let none = RecordBatch::new_empty(part.schema.clone());
        blocks.push(writer.block(&[], &none, &removed)?);
    }
    let mut runs = vec![Run { whole: base, blocks }];
    if !whole {
        runs.extend_from_slice(&older[merged..]);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_one_where_they_touch() {
        assert_eq!(union(vec![5..7, 0..2, 2..3, 6..9, 4..4]), vec![0..3, 5..9]);
        let mut hidden = Hidden::default();
        hidden.add_ranges(&[1 << 40..1 << 41, 7..9, u64::MAX - 5..u64::MAX]);
        hidden.add_ids(&[3, 4, 5, u64::MAX]);
        for (id, is) in [(2, false), (3, true), (6, false), (8, true), (9, false), (1 << 40, true)] {
            assert_eq!(hidden.hides(id), is, "{id}");
        }
        assert!(hidden.hides(u64::MAX) && !hidden.hides(1 << 41) && hidden.hides(u64::MAX - 5));
    }
}
