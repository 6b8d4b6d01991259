//! Rows whose lookup failed and that the user keeps in a table of dead letters: see [`crate::dead_letter`].
//!
//! They leave the join in a column of their own behind the others, which are NULL for them. What follows the join
//! takes the two apart, so that both are at the same place at every checkpoint.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::RowRef;
use super::queue::{Cell, Queue};
use crate::dead_letter::{FailedLookup, failed_column, failed_field};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Encoder;
use crate::format::json::{JsonEncoder, JsonOptions};

/// Rows of the column that are NULL, made once.
const NULLS: usize = 8192;

/// What is kept of a row that is resolved and waits for its turn.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) attempts: u32,
}

/// Makes dead letters of rows.
pub(super) struct Letters {
    /// The columns of the join and that of the letters.
    schema: SchemaRef,
    none: ArrayRef,
    row: JsonEncoder,
    key: JsonEncoder,
    keys: SchemaRef,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").finish_non_exhaustive()
    }
}

/// The columns of the join and that of the letters.
pub fn with_letters(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([failed_field()]).collect();
    Arc::new(Schema::new(fields))
}

impl Letters {
    /// For rows of these columns and keys; an error if they cannot be written as JSON.
    pub(super) fn new(joined: &SchemaRef, left: &SchemaRef, keys: &SchemaRef) -> Result<Self> {
        let encoder = |schema: &SchemaRef| {
            JsonEncoder::new(JsonOptions::default(), schema.clone())
                .map_err(|e| e.context("'lookup.dead-letter' writes rows as JSON"))
        };
        Ok(Self {
            schema: with_letters(joined),
            none: new_null_array(failed_field().data_type(), NULLS),
            row: encoder(left)?,
            key: encoder(keys)?,
            keys: keys.clone(),
        })
    }

    /// Joined rows, which are no letters.
    pub(super) fn joined(&self, chunk: Chunk) -> Result<Chunk> {
        let rows = chunk.len();
        let none = match rows {
            0..=NULLS => self.none.slice(0, rows),
            _ => new_null_array(self.none.data_type(), rows),
        };
        let mut columns = chunk.batch.columns().to_vec();
        columns.push(none);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(chunk.with_batch(batch))
    }

    /// The letters among held rows.
    pub(super) fn of(&mut self, queue: &Queue, rows: &[RowRef]) -> Result<Option<Chunk>> {
        let mut failed = Vec::new();
        let mut ingest = None;
        for at in rows {
            let Some(held) = queue.rows(at.seq) else { continue };
            let Some(Cell::Letter(letter)) = held.cells.get(at.row as usize) else { continue };
            let row = held.chunk.batch.slice(at.row as usize, 1);
            let keys = held.keys.columns.iter().map(|c| c.slice(at.row as usize, 1)).collect();
            let key = RecordBatch::try_new(self.keys.clone(), keys)?;
            failed.push(FailedLookup {
                kind: letter.kind,
                message: letter.message.clone(),
                key: text(&mut self.key, key)?,
                row: text(&mut self.row, row)?,
                attempts: letter.attempts,
            });
            ingest = ingest.into_iter().chain([held.chunk.ingest]).min();
        }
        let Some(ingest) = ingest else { return Ok(None) };
        let fields = self.schema.fields().split_last();
        let (_, joined) = fields.ok_or_else(|| Error::internal("dead letters without a column"))?;
        let mut columns: Vec<ArrayRef> =
            joined.iter().map(|f| new_null_array(f.data_type(), failed.len())).collect();
        columns.push(failed_column(&failed));
        Ok(Some(Chunk::append(RecordBatch::try_new(self.schema.clone(), columns)?, ingest)))
    }
}

/// A row as JSON.
fn text(encoder: &mut JsonEncoder, row: RecordBatch) -> Result<String> {
    let mut out = Vec::new();
    encoder.encode(&Chunk::append(row, crate::clock::instant()), &mut out)?;
    Ok(String::from_utf8_lossy(&out).trim_end().to_string())
}
