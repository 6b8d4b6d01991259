//! A decoder that hands undecodable records on, as rows of their own, instead of failing.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::{Decoder, Origin};
use crate::dead_letter::{Rejected, rejected_column, rejected_field, with_rejected};
use crate::error::{ErrorKind, Result};

/// Where a line of the stream is, for people.
pub type PlaceOfLine = Box<dyn FnMut(u64) -> String + Send>;

/// Returns the batches of a decoder with the column of [`crate::dead_letter::REJECTED`] after the others. The rows are
/// in the order of the records, wherever the bytes are cut.
pub struct RejectingDecoder {
    inner: Box<dyn Decoder>,
    /// The columns of the inner batches that are wanted.
    projection: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    origin: Origin,
    place: PlaceOfLine,
    pending: Vec<Rejected>,
    /// Rows after those that are pending.
    next: Option<RecordBatch>,
    rejected: u64,
}

impl RejectingDecoder {
    /// Around a decoder that continues after a record that it failed at. `schema`: the columns that are wanted of its
    /// batches, which are those at `projection`.
    pub fn new(
        inner: Box<dyn Decoder>,
        schema: &SchemaRef,
        projection: Vec<usize>,
        batch_rows: usize,
        origin: Origin,
        place: PlaceOfLine,
    ) -> Self {
        Self {
            inner,
            projection,
            schema: with_rejected(schema),
            batch_rows: batch_rows.max(1),
            origin,
            place,
            pending: Vec::new(),
            next: None,
            rejected: 0,
        }
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn widened(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = batch.project(&self.projection)?.columns().to_vec();
        columns.push(new_null_array(rejected_field().data_type(), batch.num_rows()));
        self.batch(columns, batch.num_rows())
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let pending = std::mem::take(&mut self.pending);
        let fields = self.schema.fields();
        let own = &fields[..fields.len().saturating_sub(1)];
        let mut columns: Vec<ArrayRef> =
            own.iter().map(|f| new_null_array(f.data_type(), pending.len())).collect();
        columns.push(rejected_column(&pending));
        self.rejected += pending.len() as u64;
        self.batch(columns, pending.len()).map(Some)
    }
}

impl Decoder for RejectingDecoder {
    fn feed(&mut self, bytes: Bytes) -> Result<()> {
        self.inner.feed(bytes)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.next.take() {
                return self.widened(&batch).map(Some);
            }
            match self.inner.next_batch() {
                Ok(Some(batch)) => {
                    self.next = Some(batch);
                    if let Some(rejected) = self.flush()? {
                        return Ok(Some(rejected));
                    }
                }
                Ok(None) => return self.flush(),
                Err(e) if e.kind() == ErrorKind::Decode => {
                    let Some((raw, line)) = self.inner.rejected() else { return Err(e) };
                    // The place is in a column of its own, and right there.
                    let place = format!("{}, line {line}", self.origin);
                    let message = e.message().strip_prefix(place.as_str()).unwrap_or(e.message());
                    let message = message.trim_start_matches([',', ':', ' ']).to_string();
                    self.pending.push(Rejected { message, raw, position: (self.place)(line) });
                    if self.pending.len() >= self.batch_rows {
                        return self.flush();
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped() + self.rejected
    }

    fn holds_record(&self) -> bool {
        self.inner.holds_record()
    }
}
