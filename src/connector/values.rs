//! Rows in the query: `VALUES`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde_json::json;

use super::{Positions, Read, Reader, ReaderContext, Source, position};
use crate::error::Result;

/// The only split.
const BATCHES: &str = "batches";

/// A source of these batches. Its position is the number of the next one.
#[derive(Debug)]
pub struct ValuesSource {
    batches: Arc<[RecordBatch]>,
    /// Where reading begins.
    start: Mutex<usize>,
}

impl ValuesSource {
    /// Gives these batches.
    pub fn new(batches: Vec<RecordBatch>) -> Self {
        Self { batches: batches.into(), start: Mutex::new(0) }
    }
}

struct ValuesReader {
    batches: Arc<[RecordBatch]>,
    next: usize,
}

impl Source for ValuesSource {
    fn bounded(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> usize {
        1
    }

    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(Box::new(ValuesReader { batches: self.batches.clone(), next: *self.start.lock() }))
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position = position::only(positions, BATCHES)?;
        let next = position.map_or(Ok(0), |p| position::number(BATCHES, p, "next"))?;
        *self.start.lock() = usize::try_from(next).unwrap_or(usize::MAX);
        Ok(())
    }
}

impl Reader for ValuesReader {
    fn read(&mut self) -> Result<Read> {
        while let Some(batch) = self.batches.get(self.next) {
            self.next += 1;
            if batch.num_rows() > 0 {
                return Ok(Read::Batch(batch.clone()));
            }
        }
        Ok(Read::End)
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.leave().map(Some)
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok([(BATCHES.to_string(), json!({ "next": self.next }))].into())
    }
}
