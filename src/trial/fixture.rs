//! Sources and sinks of a test: rows that its statements give, and a list of what was written.

use std::sync::Arc;
use std::task::Poll;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::stage::{Captured, Feed};
use crate::connector::{
    Guarantee, Positions, Read, Reader, ReaderContext, Sink, SinkChangelog, Source, SourceChangelog, Writer,
    WriterContext,
};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// The only split of a table of a test: the number of the next batch.
const ROWS: &str = "rows";

/// The wanted columns, by name; NULL where the test gives none.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef> {
        match batch.column_by_name(field.name()) {
            Some(column) => Ok(cast(column, field.data_type())?),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
            None => Err(Error::plan(format!("the test has no values for column '{}'", field.name()))
                .with_detail("it is NOT NULL")),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

pub(super) struct FixtureSource {
    pub(super) feed: Arc<Feed>,
    pub(super) schema: SchemaRef,
    pub(super) bounded: bool,
    pub(super) changelog: SourceChangelog,
    pub(super) from: Mutex<usize>,
}

impl Source for FixtureSource {
    fn bounded(&self) -> bool {
        self.bounded
    }

    fn max_parallelism(&self) -> usize {
        // Rows that come again and again may come from anywhere.
        if self.feed.is_cycled() { usize::MAX } else { 1 }
    }

    fn changelog(&self) -> SourceChangelog {
        self.changelog
    }

    fn replays(&self) -> bool {
        true
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        self.feed.listen(context.waker);
        let next = match self.feed.is_cycled() {
            true => self.feed.batches() * context.task / context.parallelism.max(1),
            false => *self.from.lock(),
        };
        Ok(Box::new(FixtureReader { feed: self.feed.clone(), schema: self.schema.clone(), next }))
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let at = positions.get(ROWS).and_then(serde_json::Value::as_u64).unwrap_or(0);
        *self.from.lock() = usize::try_from(at).unwrap_or(usize::MAX);
        Ok(())
    }
}

struct FixtureReader {
    feed: Arc<Feed>,
    schema: SchemaRef,
    next: usize,
}

impl Reader for FixtureReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            match self.feed.at(self.next) {
                Ok((batch, kinds)) => {
                    self.next += 1;
                    if batch.num_rows() > 0 {
                        let rows = match self.feed.recorded_as() {
                            Some(of) => crate::recording::conform(of, &batch, &self.schema)?,
                            None => conform(&batch, &self.schema)?,
                        };
                        return Ok(Read::rows(rows, kinds));
                    }
                }
                Err(true) => return Ok(Read::End),
                Err(false) => return Ok(Read::Pending),
            }
        }
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.leave().map(Some)
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok([(ROWS.to_string(), self.next.into())].into())
    }
}

/// Takes the rows of a table, or of a query.
pub(super) struct CaptureSink(pub(super) Arc<Captured>);

impl Sink for CaptureSink {
    fn changelog(&self) -> SinkChangelog {
        self.0.changelog
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(CaptureWriter(self.0.clone())))
    }
}

struct CaptureWriter(Arc<Captured>);

impl Writer for CaptureWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if !chunk.is_empty() {
            self.0.take(chunk.batch.clone(), chunk.kinds.clone());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn pre_commit(&mut self, _epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        self.0.barrier();
        Ok(Poll::Ready(Vec::new()))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        Ok(Poll::Ready(()))
    }
}
