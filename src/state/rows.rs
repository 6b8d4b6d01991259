//! Rows that an operator keeps: columns in segments, addressed by stable ids.
//!
//! ```text
//!  id ──> (segment, row)          segments: [ 8192 rows ][ 8192 rows ][ open: small pieces ]
//! ```
//! Ids are dense and reused; what is freed is compacted away when half of a segment is gone, so that memory
//! follows what is alive. Beyond the [`Memory`] of the job, segments that were not used for longest go to
//! disk, and come back when a row of theirs is wanted.
//!
//! A store that is [tracked](RowStore::track) knows which rows have changed since the last checkpoint, and in
//! which order they came: [`super::RowTable`] writes it and gets it back.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, SchemaRef};
use parking_lot::Mutex;

use super::changed::Changed;
use super::memory::{Memory, Spilled};
use crate::error::Result;

/// Rows in a full segment.
pub(super) const SEGMENT_ROWS: usize = 8192;

/// Small pieces of the open segment that are put together at once.
const PIECES: usize = 32;

/// Place of a row that is gone.
const FREE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u32,
    row: u32,
}

/// The columns of a segment: in memory, on disk, or both.
#[derive(Debug)]
struct Columns {
    loaded: Option<Vec<ArrayRef>>,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Segment {
    columns: Mutex<Columns>,
    /// What they take in memory.
    bytes: usize,
    /// The id of each row; [`FREE`] where it is gone.
    ids: Vec<u32>,
    alive: usize,
    /// The last [`RowStore::take`] that used it.
    used: AtomicU32,
    memory: Arc<Memory>,
}

impl Segment {
    /// The columns; they stay in memory if there is room for them.
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.columns.lock();
        if let Some(loaded) = &columns.loaded {
            return Ok(loaded.clone());
        }
        let Some(spilled) = &columns.spilled else {
            return Err(crate::error::Error::internal("a segment of rows is nowhere"));
        };
        let loaded = spilled.load()?;
        if !self.memory.is_exceeded() {
            self.memory.grow(self.bytes);
            columns.loaded = Some(loaded.clone());
        }
        Ok(loaded)
    }

    fn is_loaded(&self) -> bool {
        self.columns.lock().loaded.is_some()
    }

    /// Lets the columns go, once they are on disk.
    fn unload(&self, schema: &SchemaRef) -> Result<()> {
        let mut columns = self.columns.lock();
        let Columns { loaded: Some(loaded), spilled } = &mut *columns else { return Ok(()) };
        if spilled.is_none() {
            let options = RecordBatchOptions::new().with_row_count(Some(self.ids.len()));
            let batch = RecordBatch::try_new_with_options(schema.clone(), loaded.clone(), &options)?;
            *spilled = Some(self.memory.spill(&batch)?);
        }
        columns.loaded = None;
        self.memory.shrink(self.bytes);
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.columns.get_mut().loaded.is_some() {
            self.memory.shrink(self.bytes);
        }
    }
}

/// What checkpoints need to know of rows.
#[derive(Debug)]
struct Track {
    changed: Changed,
    /// By row id: how many rows came before it.
    arrivals: Vec<u64>,
    next: u64,
}

/// Rows of one schema.
#[derive(Debug)]
pub struct RowStore {
    schema: SchemaRef,
    places: Vec<Place>,
    free: Vec<u32>,
    segments: Vec<Option<Segment>>,
    free_segments: Vec<u32>,
    /// Segments with few rows, oldest first; put together when there are many.
    small: Vec<u32>,
    memory: Arc<Memory>,
    takes: AtomicU32,
    track: Option<Track>,
}

/// Copies what a view array shows when it keeps far more alive than that.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => array.clone(),
    }
}

impl RowStore {
    /// An empty store for rows of this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            places: Vec::new(),
            free: Vec::new(),
            segments: Vec::new(),
            free_segments: Vec::new(),
            small: Vec::new(),
            memory: Memory::unlimited(),
            takes: AtomicU32::new(0),
            track: None,
        }
    }

    /// Segments go to disk when the memory is exceeded; before the first row.
    pub fn limit(&mut self, memory: &Arc<Memory>) {
        self.memory = memory.clone();
    }

    /// Notes from now on what changes and in which order rows come, for checkpoints. Nothing is kept yet.
    pub fn track(&mut self) {
        self.note(true);
    }

    /// Notes in which order rows come, and what changes where `changes` says so.
    pub fn note(&mut self, changes: bool) {
        debug_assert!(self.places.is_empty());
        self.track = Some(Track { changed: Changed::new(changes), arrivals: Vec::new(), next: 0 });
    }

    /// Whether it notes what changes.
    pub fn is_tracked(&self) -> bool {
        self.track.is_some()
    }

    /// What is known of a row beside its columns has changed.
    #[inline]
    pub fn touch(&mut self, id: u32) {
        if let Some(track) = &mut self.track {
            track.changed.mark(id);
        }
    }

    /// Ids of rows that have changed since the last call, or of all (`full`), and those whose former rows are
    /// gone.
    pub fn changes(&mut self, full: bool) -> (Vec<u32>, Vec<Range<u64>>) {
        let changes = self.track.as_mut().map(|t| t.changed.take()).unwrap_or_default();
        if full { (self.ids(), Vec::new()) } else { changes }
    }

    /// Ids of all rows, ascending.
    pub fn ids(&self) -> Vec<u32> {
        let places = self.places.iter().enumerate();
        places.filter(|(_, place)| place.segment != FREE).map(|(id, _)| id as u32).collect()
    }

    /// Numbers that tell in which order rows came; all 0 if the store is not tracked.
    pub fn arrivals(&self, ids: &[u32]) -> UInt64Array {
        let number = |id: &u32| self.track.as_ref().map_or(0, |t| t.arrivals[*id as usize]);
        UInt64Array::from_iter_values(ids.iter().map(number))
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that are kept.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// No row is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps all rows of a batch; their ids, in order, are appended to `ids`.
    pub fn push(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = batch.columns().iter().map(compact).collect();
        let first = ids.len();
        for _ in 0..batch.num_rows() {
            let id = self.free.pop().unwrap_or_else(|| {
                self.places.push(Place { segment: FREE, row: 0 });
                (self.places.len() - 1) as u32
            });
            ids.push(id);
        }
        if let Some(track) = &mut self.track {
            track.arrivals.resize(self.places.len(), 0);
            for &id in &ids[first..] {
                track.changed.mark(id);
                track.arrivals[id as usize] = track.next;
                track.next += 1;
            }
        }
        self.add(columns, ids[first..].to_vec());
        if self.small.len() >= PIECES {
            let small = std::mem::take(&mut self.small);
            self.rewrite(&small)?;
        }
        if self.memory.is_exceeded() {
            self.unload()?;
        }
        Ok(())
    }

    /// Moves large segments to disk, those first that were not used for longest.
    fn unload(&self) -> Result<()> {
        let now = self.takes.load(Ordering::Relaxed);
        let large =
            self.segments.iter().flatten().filter(|s| s.ids.len() >= SEGMENT_ROWS / 2 && s.is_loaded());
        let mut large: Vec<&Segment> = large.collect();
        large.sort_by_key(|s| std::cmp::Reverse(now.wrapping_sub(s.used.load(Ordering::Relaxed))));
        for segment in large {
            if !self.memory.is_exceeded() {
                break;
            }
            segment.unload(&self.schema)?;
        }
        Ok(())
    }

    /// Adds a segment and tells its ids where they are.
    fn add(&mut self, columns: Vec<ArrayRef>, ids: Vec<u32>) {
        let number = self.free_segments.pop().unwrap_or_else(|| {
            self.segments.push(None);
            (self.segments.len() - 1) as u32
        });
        for (row, &id) in ids.iter().enumerate() {
            self.places[id as usize] = Place { segment: number, row: row as u32 };
        }
        if ids.len() < SEGMENT_ROWS / 2 {
            self.small.push(number);
        }
        let bytes = columns.iter().map(|c| c.get_array_memory_size()).sum();
        self.memory.grow(bytes);
        self.segments[number as usize] = Some(Segment {
            columns: Mutex::new(Columns { loaded: Some(columns), spilled: None }),
            bytes,
            alive: ids.len(),
            ids,
            used: AtomicU32::new(self.takes.load(Ordering::Relaxed)),
            memory: self.memory.clone(),
        });
    }

    /// Puts the living rows of segments together into new ones.
    fn rewrite(&mut self, numbers: &[u32]) -> Result<()> {
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.schema.fields().len()];
        let mut ids = Vec::new();
        for &number in numbers {
            let Some(segment) = self.segments[number as usize].take() else { continue };
            self.free_segments.push(number);
            let keep: Vec<u32> =
                (0..segment.ids.len() as u32).filter(|&r| segment.ids[r as usize] != FREE).collect();
            ids.extend(keep.iter().map(|&r| segment.ids[r as usize]));
            let whole = keep.len() == segment.ids.len();
            let keep = arrow::array::UInt32Array::from(keep);
            for (part, column) in parts.iter_mut().zip(&segment.columns()?) {
                part.push(if whole { column.clone() } else { arrow::compute::take(column, &keep, None)? });
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let columns = parts
            .iter()
            .map(|part| {
                let arrays: Vec<&dyn Array> = part.iter().map(|a| a.as_ref()).collect();
                Ok(compact(&concat(&arrays)?))
            })
            .collect::<Result<Vec<_>>>()?;
        self.add(columns, ids);
        Ok(())
    }

    /// Lets a row go; its id may be given to another.
    pub fn free(&mut self, id: u32) -> Result<()> {
        let place = self.places[id as usize];
        debug_assert_ne!(place.segment, FREE, "row {id} was freed twice");
        self.places[id as usize].segment = FREE;
        self.free.push(id);
        if let Some(track) = &mut self.track {
            track.changed.remove(id);
        }
        let Some(segment) = &mut self.segments[place.segment as usize] else { return Ok(()) };
        segment.ids[place.row as usize] = FREE;
        segment.alive -= 1;
        if segment.alive == 0 {
            self.segments[place.segment as usize] = None;
            self.free_segments.push(place.segment);
            self.small.retain(|&s| s != place.segment);
        } else if segment.alive * 2 < segment.ids.len() && segment.ids.len() >= 64 {
            self.small.retain(|&s| s != place.segment);
            self.rewrite(&[place.segment])?;
        }
        Ok(())
    }

    /// The rows with these ids, in this order; an id may occur several times.
    pub fn take(&self, ids: &[u32]) -> Result<RecordBatch> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = self.take_columns(ids, &all)?;
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// Some columns of the rows with these ids, in this order; an id may occur several times.
    pub fn take_columns(&self, ids: &[u32], wanted: &[usize]) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(wanted.len());
        if wanted.is_empty() {
            return Ok(columns);
        }
        // Only segments that are asked for take part.
        let mut local = vec![FREE; self.segments.len()];
        let mut used: Vec<Vec<ArrayRef>> = Vec::new();
        let now = self.takes.fetch_add(1, Ordering::Relaxed);
        let mut indices = Vec::with_capacity(ids.len());
        for &id in ids {
            let place = self.places[id as usize];
            let Some(segment) = self.segments.get(place.segment as usize).and_then(Option::as_ref) else {
                return Err(crate::error::Error::internal(format!("row {id} is not kept any more")));
            };
            let slot = &mut local[place.segment as usize];
            if *slot == FREE {
                *slot = used.len() as u32;
                segment.used.store(now, Ordering::Relaxed);
                used.push(segment.columns()?);
            }
            indices.push((*slot as usize, place.row as usize));
        }
        for &index in wanted {
            if ids.is_empty() {
                columns.push(arrow::array::new_empty_array(self.schema.field(index).data_type()));
                continue;
            }
            let arrays: Vec<&dyn Array> = used.iter().map(|s| s[index].as_ref()).collect();
            columns.push(interleave(&arrays, &indices)?);
        }
        Ok(columns)
    }

    /// Bytes of the rows and of what finds them.
    pub fn memory(&self) -> usize {
        let segments = self.segments.iter().flatten();
        let rows: usize =
            segments.map(|s| if s.is_loaded() { s.bytes } else { 0 } + s.ids.capacity() * 4).sum();
        let track = self.track.as_ref().map_or(0, |t| t.arrivals.capacity() * 8 + t.changed.memory());
        rows + track + self.places.capacity() * size_of::<Place>() + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
        ]));
        let texts: StringViewArray =
            values.iter().map(|v| Some(format!("a text that is long {v}"))).collect();
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec())), Arc::new(texts)])
            .unwrap()
    }

    #[test]
    fn rows_over_the_limit_are_spilled_and_found() {
        let memory = Memory::new(1 << 20);
        let mut store = RowStore::new(batch(&[]).schema());
        store.limit(&memory);
        let mut ids = Vec::new();
        for piece in 0..40 {
            let values: Vec<i64> = (piece * 5000..(piece + 1) * 5000).collect();
            store.push(&batch(&values), &mut ids).unwrap();
        }
        assert!(memory.used() <= 2 << 20, "{}", memory.used());
        assert!(memory.spilled() > 4 << 20);
        let asked: Vec<i64> = (0..1000).map(|i| i * 197).collect();
        let asked_ids: Vec<u32> = asked.iter().map(|&i| ids[i as usize]).collect();
        assert_eq!(store.take(&asked_ids).unwrap(), batch(&asked));
        ids.iter().for_each(|&id| store.free(id).unwrap());
        assert_eq!((memory.used(), memory.spilled(), store.memory() < 4 << 20), (0, 0, true));
    }

    proptest! {
        #[test]
        fn rows_stay_what_they_are(
            steps in prop::collection::vec((0usize..200, 0usize..250), 1..80),
            limit in prop::sample::select(vec![0usize, 200_000, usize::MAX]),
        ) {
            let mut store = RowStore::new(batch(&[]).schema());
            store.limit(&Memory::new(limit));
            let mut alive: Vec<(u32, i64)> = Vec::new();
            let mut next = 0i64;
            for (pushed, freed) in steps {
                let values: Vec<i64> = (next..next + pushed as i64).collect();
                next += pushed as i64;
                let mut ids = Vec::new();
                store.push(&batch(&values), &mut ids).unwrap();
                alive.extend(ids.into_iter().zip(values));
                for i in 0..freed.min(alive.len()) {
                    let (id, _) = alive.swap_remove((i * 7919) % alive.len());
                    store.free(id).unwrap();
                }
                prop_assert_eq!(store.len(), alive.len());
                let ids: Vec<u32> = alive.iter().map(|a| a.0).collect();
                let taken = store.take(&ids).unwrap();
                let expected: Vec<i64> = alive.iter().map(|a| a.1).collect();
                prop_assert_eq!(taken, batch(&expected));
            }
        }
    }
}
