//! Joined rows from left rows and what was found for them.
//!
//! ```text
//! left rows ─┐
//!            ├─ matches (left row, right row)* ─ right filter ─ right projection ─ residual ─┐
//! sources  ──┘                                                                               v
//!                        left rows without a match: dropped, or padded with NULLs in their place
//! ```
//! Padding comes last: an expression of the right side is never evaluated on a padded row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{filter, filter_record_batch, interleave, prep_null_mask_filter, take};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use hashbrown::HashMap;

use super::LookupJoinSpec;
use super::memory::{Change, Memory};
use super::queue::{Cell, Queue, RowRef};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kinds};
use crate::lookup::cache::Probe;

/// Source and row of a value; [`PAD`] for none.
type Place = (usize, usize);
const PAD: Place = (usize::MAX, 0);

/// The part of a lookup join that makes its output.
#[derive(Debug)]
pub(super) struct Assembler {
    right_filter: Option<Arc<dyn PhysicalExpr>>,
    right_projection: Vec<Arc<dyn PhysicalExpr>>,
    /// The projection when it is nothing but columns.
    plain: Option<Vec<usize>>,
    residual: Option<Arc<dyn PhysicalExpr>>,
    left_outer: bool,
    left_projection: Vec<usize>,
    right_schema: SchemaRef,
    schema: SchemaRef,
    /// Right output columns that are metadata, and their columns in the rows: they stand in padded rows, too.
    metadata: Vec<(usize, usize)>,
}

/// Left rows on their way out, and what was found for them.
#[derive(Default)]
struct Gathered<'a> {
    chunks: Vec<&'a Chunk>,
    left: Vec<Place>,
    /// Rows that take something back, as positions in `left`; they own no match.
    taken_back: Vec<u32>,
    matches: Matches<'a>,
}

/// Candidates of some left rows: `owner[i]` is the left row that has the right row at `places[i]`.
#[derive(Default)]
struct Matches<'a> {
    sources: Vec<&'a RecordBatch>,
    owner: Vec<u32>,
    places: Vec<Place>,
}

impl Assembler {
    pub(super) fn new(spec: LookupJoinSpec) -> Self {
        let columns = spec.right_projection.iter();
        let columns = columns.map(|e| e.downcast_ref::<Column>().map(Column::index));
        let request = spec.lookup.request();
        let own = request.schema.fields().len();
        let is_metadata = |index: &usize| (own..own + request.metadata.len()).contains(index);
        let columns: Vec<Option<usize>> = columns.collect();
        let metadata = columns.iter().enumerate();
        let metadata = metadata.filter_map(|(out, column)| Some((out, (*column).filter(is_metadata)?)));
        Self {
            metadata: metadata.collect(),
            plain: columns.into_iter().collect(),
            right_filter: spec.right_filter,
            right_projection: spec.right_projection,
            residual: spec.residual,
            left_outer: spec.left_outer,
            left_projection: spec.left_projection,
            right_schema: spec.lookup.request().row_schema(),
            schema: spec.schema,
        }
    }

    /// The right columns to take when nothing has to be evaluated.
    fn simple(&self) -> Option<&[usize]> {
        let evaluates = self.right_filter.is_some() || self.residual.is_some() || !self.metadata.is_empty();
        if evaluates { None } else { self.plain.as_deref() }
    }

    /// The whole chunk joined, if all of its keys are known, with at most one row each, and nothing has
    /// to be evaluated.
    pub(super) fn direct(&self, chunk: &Chunk, probe: &Probe) -> Result<Option<Chunk>> {
        let Some(columns) = self.simple() else { return Ok(None) };
        if !probe.single && probe.slots.iter().any(|slot| slot.count > 1) {
            return Ok(None);
        }
        let snapshot = &probe.snapshot;
        let kept: Option<UInt32Array> = (!probe.single && !self.left_outer).then(|| {
            let with_row = probe.slots.iter().enumerate().filter(|(_, slot)| slot.count == 1);
            with_row.map(|(row, _)| row as u32).collect()
        });
        let columns_left = self.left_projection.iter().map(|i| chunk.batch.column(*i));
        let (left, kinds, rows) = match &kept {
            None => (columns_left.cloned().collect(), chunk.kinds.clone(), chunk.len()),
            Some(kept) => {
                let taken = columns_left.map(|column| Ok(take(column, kept, None)?));
                (taken.collect::<Result<Vec<_>>>()?, chunk.kinds.take(kept), kept.len())
            }
        };
        let pads = !probe.single && self.left_outer;
        let slots = probe.slots.iter().filter(|slot| pads || slot.count == 1);
        let segments = snapshot.segments();
        let right = if let [only] = segments {
            let batch = only.batch();
            let rows =
                slots.map(|slot| if slot.count == 1 { snapshot.locate(slot.first).1 as u32 } else { 0 });
            let rows: Vec<u32> = rows.collect();
            let nulls = pads.then(|| probe.slots.iter().map(|slot| slot.count == 1).collect());
            take_columns(batch, columns, &UInt32Array::new(rows.into(), nulls))?
        } else {
            let places = slots.map(|slot| if slot.count == 1 { snapshot.locate(slot.first) } else { PAD });
            let places: Vec<Place> = places.collect();
            let sources: Vec<_> = segments.iter().map(|s| s.batch()).collect();
            gather(&sources, columns, &self.right_schema, &places)?
        };
        self.finish(kinds, chunk.ingest, left, right, rows).map(Some)
    }

    fn finish(
        &self,
        kinds: Kinds,
        ingest: std::time::Instant,
        mut left: Vec<ArrayRef>,
        right: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<Chunk> {
        left.extend(right);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), left, &options)?;
        Ok(Chunk { batch, kinds, ingest })
    }

    /// Joined rows of the held rows, which are resolved and in order; `None` when none is left.
    pub(super) fn assemble(&self, queue: &Queue, rows: &[RowRef]) -> Result<Option<Chunk>> {
        let Gathered { chunks, left, matches, .. } = gather_held(queue, rows)?;
        if left.is_empty() {
            return Ok(None);
        }
        let (owners, right) = self.join(&chunks, &left, matches)?;
        self.emit(&chunks, &left, &owners, right)
    }

    /// As [`Assembler::assemble`], with rows that take back what `memory` knows of them.
    pub(super) fn assemble_remembered(
        &self,
        queue: &Queue,
        rows: &[RowRef],
        memory: &mut Memory,
        now: i64,
    ) -> Result<Option<Chunk>> {
        let Gathered { chunks, left, taken_back, mut matches } = gather_held(queue, rows)?;
        if left.is_empty() {
            return Ok(None);
        }
        let mut changes = Vec::with_capacity(left.len());
        let mut added = Vec::with_capacity(left.len());
        let mut next = 0;
        for row in 0..left.len() as u32 {
            if taken_back.get(next) == Some(&row) {
                next += 1;
                changes.push(Change::TakeBack);
            } else {
                changes.push(Change::Add(added.len() as u32));
                added.push(left[row as usize]);
            }
        }
        for owner in &mut matches.owner {
            if let Change::Add(position) = changes[*owner as usize] {
                *owner = position;
            }
        }
        let joined = self.join(&chunks, &added, matches)?;
        let sources: Vec<_> = chunks.iter().map(|c| &c.batch).collect();
        let schema = chunks[0].batch.schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let keys = gather(&sources, &all, &schema, &left)?;
        let (owners, right) = memory.apply(&keys, &changes, (&joined.0, joined.1), now)?;
        self.emit(&chunks, &left, &owners, right)
    }

    /// Left rows, by position, with right columns.
    fn emit(
        &self,
        chunks: &[&Chunk],
        left: &[Place],
        owners: &[u32],
        right: Vec<ArrayRef>,
    ) -> Result<Option<Chunk>> {
        if owners.is_empty() {
            return Ok(None);
        }
        let places: Vec<Place> = owners.iter().map(|o| left[*o as usize]).collect();
        let sources: Vec<_> = chunks.iter().map(|c| &c.batch).collect();
        let schema = chunks[0].batch.schema();
        let columns = gather(&sources, &self.left_projection, &schema, &places)?;
        let kinds = if chunks.iter().all(|c| c.kinds == Kinds::Append) {
            Kinds::Append
        } else {
            Kinds::Changes(places.iter().map(|(chunk, row)| chunks[*chunk].kinds.get(*row)).collect())
        };
        let ingest = chunks.iter().map(|c| c.ingest).min().unwrap_or_else(crate::clock::instant);
        self.finish(kinds, ingest, columns, right, owners.len()).map(Some)
    }

    /// Which left row each output row belongs to, and the right columns; `left` is not empty.
    fn join(
        &self,
        chunks: &[&Chunk],
        left: &[Place],
        matches: Matches<'_>,
    ) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        match self.simple() {
            Some(columns) => {
                let (owners, padded) = self.pad(left.len(), &matches.owner);
                let places: Vec<Place> = match padded {
                    None => matches.places,
                    Some(padded) => {
                        padded.into_iter().map(|m| m.map_or(PAD, |m| matches.places[m as usize])).collect()
                    }
                };
                Ok((owners, gather(&matches.sources, columns, &self.right_schema, &places)?))
            }
            None => {
                let told = self.told(left.len(), &matches);
                let (owner, right) = self.evaluate(chunks, left, matches)?;
                let (owners, padded) = self.pad(left.len(), &owner);
                let mut right = match padded {
                    None => right,
                    Some(padded) => {
                        let rows = UInt32Array::from(padded);
                        let right = right.iter().map(|c| Ok(take(c, &rows, None)?));
                        right.collect::<Result<Vec<_>>>()?
                    }
                };
                if let Some((sources, firsts)) = told {
                    let places: Vec<Place> = owners.iter().map(|owner| firsts[*owner as usize]).collect();
                    for (out, column) in &self.metadata {
                        let values = gather(&sources, &[*column], &self.right_schema, &places)?;
                        right.splice(*out..=*out, values);
                    }
                }
                Ok((owners, right))
            }
        }
    }

    /// Where the metadata of each left row stands: what the lookup said holds for padded rows, too.
    fn told<'a>(&self, rows: usize, matches: &Matches<'a>) -> Option<(Vec<&'a RecordBatch>, Vec<Place>)> {
        if self.metadata.is_empty() {
            return None;
        }
        let mut firsts = vec![PAD; rows];
        for (owner, place) in matches.owner.iter().zip(&matches.places).rev() {
            firsts[*owner as usize] = *place;
        }
        Some((matches.sources.clone(), firsts))
    }

    /// The owners of the output rows and, where rows have to be padded, the match of each.
    fn pad(&self, rows: usize, owner: &[u32]) -> (Vec<u32>, Option<Vec<Option<u32>>>) {
        if !self.left_outer {
            return (owner.to_vec(), None);
        }
        let mut owners = Vec::with_capacity(owner.len().max(rows));
        let mut found = Vec::with_capacity(owner.len().max(rows));
        let mut next = 0;
        let mut padded = false;
        for row in 0..rows as u32 {
            if owner.get(next) != Some(&row) {
                padded = true;
                owners.push(row);
                found.push(None);
            }
            while owner.get(next) == Some(&row) {
                owners.push(row);
                found.push(Some(next as u32));
                next += 1;
            }
        }
        (owners, padded.then_some(found))
    }

    /// The matches that pass the filters: their owners and right output columns.
    fn evaluate(
        &self,
        chunks: &[&Chunk],
        left: &[Place],
        matches: Matches<'_>,
    ) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let all: Vec<usize> = (0..self.right_schema.fields().len()).collect();
        let columns = gather(&matches.sources, &all, &self.right_schema, &matches.places)?;
        let options = RecordBatchOptions::new().with_row_count(Some(matches.places.len()));
        let mut batch = RecordBatch::try_new_with_options(self.right_schema.clone(), columns, &options)?;
        let mut owner = UInt32Array::from(matches.owner);
        if let Some(expression) = &self.right_filter {
            let mask = mask(expression, &batch)?;
            batch = filter_record_batch(&batch, &mask)?;
            owner = filter(&owner, &mask)?.as_primitive().clone();
        }
        let projected = self.right_projection.iter();
        let projected = projected.map(|e| Ok(e.evaluate(&batch)?.into_array(batch.num_rows())?));
        let mut right = projected.collect::<Result<Vec<ArrayRef>>>()?;
        if let Some(expression) = &self.residual {
            let places: Vec<Place> = owner.values().iter().map(|o| left[*o as usize]).collect();
            let sources: Vec<_> = chunks.iter().map(|c| &c.batch).collect();
            let schema = chunks[0].batch.schema();
            let mut columns = gather(&sources, &self.left_projection, &schema, &places)?;
            columns.extend(right.iter().cloned());
            let options = RecordBatchOptions::new().with_row_count(Some(owner.len()));
            let both = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
            let mask = mask(expression, &both)?;
            owner = filter(&owner, &mask)?.as_primitive().clone();
            right = right.iter().map(|c| Ok(filter(c, &mask)?)).collect::<Result<_>>()?;
        }
        Ok((owner.values().to_vec(), right))
    }
}

/// The held rows, which are resolved and in order, with what was found for them.
fn gather_held<'a>(queue: &'a Queue, rows: &[RowRef]) -> Result<Gathered<'a>> {
    let mut gathered = Gathered::default();
    let Gathered { chunks, left, taken_back, matches } = &mut gathered;
    let mut known: HashMap<*const RecordBatch, usize> = HashMap::new();
    let mut last: (*const RecordBatch, usize) = (std::ptr::null(), 0);
    for run in rows.chunk_by(|a, b| a.seq == b.seq) {
        let Some(held) = queue.rows(run[0].seq) else {
            return Err(Error::internal("a held row that is gone"));
        };
        for at in run {
            let owner = left.len() as u32;
            let (batch, first, count) = match &held.cells[at.row as usize] {
                Cell::Skip | Cell::Letter(_) => continue,
                Cell::Nothing => (None, 0, 0),
                Cell::TakeBack => {
                    taken_back.push(owner);
                    (None, 0, 0)
                }
                Cell::Answered(found) => {
                    (Some(found.rows.as_ref()), found.first as usize, found.count as usize)
                }
                Cell::Cached(slot) => match &held.snapshot {
                    Some(snapshot) => {
                        let (segment, row) = snapshot.locate(slot.first);
                        (Some(snapshot.segments()[segment].batch()), row, slot.count as usize)
                    }
                    None => return Err(Error::internal("a cached row without its snapshot")),
                },
                Cell::Waiting | Cell::Emitted => {
                    return Err(Error::internal("a held row that is not resolved"));
                }
            };
            left.push((chunks.len(), at.row as usize));
            let Some(batch) = batch else { continue };
            if !std::ptr::eq(last.0, batch) {
                let Matches { sources, .. } = &mut *matches;
                let source = *known.entry(std::ptr::from_ref(batch)).or_insert_with(|| {
                    sources.push(batch);
                    sources.len() - 1
                });
                last = (batch, source);
            }
            for row in first..first + count {
                matches.owner.push(owner);
                matches.places.push((last.1, row));
            }
        }
        chunks.push(&held.chunk);
    }
    Ok(gathered)
}

/// Where an expression is TRUE.
fn mask(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let array = expression.evaluate(batch)?.into_array(batch.num_rows())?;
    let verdict = array.as_boolean_opt().ok_or_else(|| Error::internal("a filter that is not boolean"))?;
    Ok(if verdict.null_count() > 0 { prep_null_mask_filter(verdict) } else { verdict.clone() })
}

fn take_columns(batch: &RecordBatch, columns: &[usize], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|i| Ok(take(batch.column(*i), rows, None)?)).collect()
}

/// Values of some columns at some places of some batches.
fn gather(
    sources: &[&RecordBatch],
    columns: &[usize],
    schema: &SchemaRef,
    places: &[Place],
) -> Result<Vec<ArrayRef>> {
    let pads = places.contains(&PAD);
    match sources {
        [] => {
            Ok(columns.iter().map(|i| new_null_array(schema.field(*i).data_type(), places.len())).collect())
        }
        [only] if !pads => {
            let start = places.first().map_or(0, |place| place.1);
            if places.iter().enumerate().all(|(i, place)| place.1 == start + i) {
                return Ok(columns.iter().map(|i| only.column(*i).slice(start, places.len())).collect());
            }
            let rows: Vec<u32> = places.iter().map(|place| place.1 as u32).collect();
            take_columns(only, columns, &rows.into())
        }
        [only] => {
            let rows = places.iter().map(|place| (*place != PAD).then_some(place.1 as u32));
            take_columns(only, columns, &rows.collect())
        }
        many => {
            let replaced: Vec<Place>;
            let places = if pads {
                let null = (many.len(), 0);
                replaced = places.iter().map(|place| if *place == PAD { null } else { *place }).collect();
                &replaced
            } else {
                places
            };
            let gathered = columns.iter().map(|i| {
                let null = pads.then(|| new_null_array(schema.field(*i).data_type(), 1));
                let arrays = many.iter().map(|b| b.column(*i).as_ref()).chain(null.as_deref());
                Ok(interleave(&arrays.collect::<Vec<&dyn Array>>(), places)?)
            });
            gathered.collect()
        }
    }
}
