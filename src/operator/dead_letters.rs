//! What follows a source or lookup join whose undecodable records or failed rows are kept: see [`crate::dead_letter`].

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::clock::Clock;
use crate::dead_letter::{DeadLetterRows, letters};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Operator, OperatorContext, Output};

/// Passes on the rows that could be decoded, without the column of the others.
#[derive(Debug)]
pub struct DecodedRows {
    schema: SchemaRef,
}

impl DecodedRows {
    /// Gives rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Operator for DecodedRows {
    fn name(&self) -> &'static str {
        "DecodedRows"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let Some((rejected, columns)) = chunk.batch.columns().split_last() else {
            return Err(Error::internal("rows without the column of those that were rejected"));
        };
        if rejected.null_count() < rejected.len() {
            let kept: UInt32Array =
                (0..rejected.len()).filter(|&row| rejected.is_null(row)).map(|row| row as u32).collect();
            if kept.is_empty() {
                return Ok(());
            }
            return self.chunk(chunk.take(&kept)?, out);
        }
        // Only rows that could be decoded: what is NOT NULL has no NULL.
        let rows = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns.to_vec(), &rows)?;
        out.chunk(chunk.with_batch(batch));
        Ok(())
    }
}

/// Makes rows of the user's table of the records that could not be decoded.
pub struct DeadLetters {
    rows: Arc<DeadLetterRows>,
    clock: Option<Arc<dyn Clock>>,
}

impl DeadLetters {
    /// Gives such rows.
    pub fn new(rows: Arc<DeadLetterRows>) -> Self {
        Self { rows, clock: None }
    }
}

impl Operator for DeadLetters {
    fn name(&self) -> &'static str {
        "DeadLetters"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = Some(context.clock);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let Some(rejected) = chunk.batch.columns().last() else { return Ok(()) };
        if rejected.null_count() < rejected.len() {
            let now = self.clock.as_ref().map_or(0, |clock| clock.now_millis());
            let batch = self.rows.batch(&letters(rejected, now))?;
            out.chunk(Chunk::append(batch, chunk.ingest));
        }
        Ok(())
    }
}
