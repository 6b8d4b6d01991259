//! The columnar store behind a cache: segments of rows under logical row numbers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, make_array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use super::Slot;
use crate::error::Result;

/// Segments that are as they came, before they are merged.
const RECENT: usize = 32;

/// Rows `base .. base + batch.num_rows()`.
#[derive(Debug, Clone)]
pub struct Segment {
    base: u32,
    batch: Arc<RecordBatch>,
    /// False while it is as it came.
    merged: bool,
}

impl Segment {
    /// Its rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    fn end(&self) -> usize {
        self.base as usize + self.batch.num_rows()
    }
}

/// All rows of a cache at one instant. Row numbers of one probe hold for the snapshot that came with it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    schema: SchemaRef,
    segments: Vec<Segment>,
}

impl Snapshot {
    /// No rows.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, segments: Vec::new() }
    }

    /// Schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The segments in order of their rows.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.end()
    }

    /// No row at all.
    pub fn is_empty(&self) -> bool {
        self.end() == 0
    }

    /// Number of the next row.
    pub(super) fn end(&self) -> usize {
        self.segments.last().map_or(0, Segment::end)
    }

    pub(super) fn rows_in(&self, range: Range<usize>) -> usize {
        self.segments[range].iter().map(|s| s.batch.num_rows()).sum()
    }

    /// Segment and row in it.
    #[inline]
    pub fn locate(&self, row: u32) -> (usize, usize) {
        // Nearly all rows are in the first segment.
        let segment = match self.segments.get(1) {
            Some(second) if row >= second.base => {
                self.segments.partition_point(|s| s.base <= row).saturating_sub(1)
            }
            _ => 0,
        };
        (segment, (row - self.segments[segment].base) as usize)
    }

    /// The rows of one key. They are in one segment, because they came together.
    pub fn rows(&self, slot: Slot) -> RecordBatch {
        if slot.count == 0 {
            return RecordBatch::new_empty(self.schema.clone());
        }
        let (segment, row) = self.locate(slot.first);
        self.segments[segment].batch.slice(row, slot.count as usize)
    }

    /// Appends rows.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        let base = self.end() as u32;
        self.segments.push(Segment { base, batch: Arc::new(batch), merged: false });
    }

    /// The rows with these numbers, with buffers of their own.
    pub(super) fn gather(&self, rows: &[u32]) -> Result<RecordBatch> {
        let batch = match self.segments.as_slice() {
            [] => RecordBatch::new_empty(self.schema.clone()),
            [one] => take_record_batch(&one.batch, &UInt32Array::from(rows.to_vec()))?,
            many => {
                let places: Vec<_> = rows.iter().map(|row| self.locate(*row)).collect();
                let batches: Vec<_> = many.iter().map(|s| s.batch.as_ref()).collect();
                interleave_record_batch(&batches, &places)?
            }
        };
        Ok(compacted(&batch))
    }

    /// Segments to merge: when many have come, they and those before them that are not much larger than
    /// what comes out. So every row is copied a logarithmic number of times.
    pub(super) fn merge_plan(&self) -> Option<Range<usize>> {
        let end = self.segments.len();
        let recent = self.segments.iter().rev().take_while(|s| !s.merged).count();
        if recent < RECENT {
            return None;
        }
        let mut start = end - recent;
        let mut sum = self.rows_in(start..end);
        while start > 0 && self.segments[start - 1].batch.num_rows() <= 2 * sum {
            start -= 1;
            sum += self.segments[start].batch.num_rows();
        }
        Some(start..end)
    }

    /// The segments of a range as one.
    pub(super) fn merged(&self, range: Range<usize>) -> Result<Segment> {
        let segments = &self.segments[range];
        let batch = concat_batches(&self.schema, segments.iter().map(|s| s.batch.as_ref()))?;
        let base = segments.first().map_or(0, |s| s.base);
        Ok(Segment { base, batch: Arc::new(compacted(&batch)), merged: true })
    }

    /// Puts a merged segment where its parts were.
    pub(super) fn replace(&mut self, range: Range<usize>, merged: Segment) {
        self.segments.splice(range, [merged]);
    }

    /// Puts the rows that are left in place of all rows below `covered`; rows behind them move up.
    pub(super) fn compacted(&mut self, covered: usize, batch: RecordBatch) {
        let gone = (covered - batch.num_rows()) as u32;
        self.segments.retain(|s| s.base as usize >= covered);
        for segment in &mut self.segments {
            segment.base -= gone;
        }
        if batch.num_rows() > 0 {
            self.segments.insert(0, Segment { base: 0, batch: Arc::new(batch), merged: true });
        }
    }
}

/// The same rows in buffers that hold nothing else.
pub(super) fn compacted(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(compacted_array).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).unwrap_or_else(|_| batch.clone())
}

/// Views point into shared buffers, so that a few values can hold many megabytes: copies them out,
/// wherever they are nested.
fn compacted_array(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        t if t.is_nested() => {
            let data = array.to_data();
            let children = data.child_data().iter();
            let children = children.map(|c| compacted_array(&make_array(c.clone())).to_data()).collect();
            let rebuilt = data.into_builder().child_data(children).build();
            rebuilt.map_or_else(|_| array.clone(), make_array)
        }
        _ => array.clone(),
    }
}
