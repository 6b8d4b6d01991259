//! Appends the watermark to every row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Message, Operator, Output, Watermark};

/// The input's columns and, last, the watermark before each row; NULL before the first.
#[derive(Debug)]
pub struct CurrentWatermark {
    schema: SchemaRef,
    current: Option<Watermark>,
}

impl CurrentWatermark {
    /// `schema` is that of the output; its last column is a TIMESTAMP or TIMESTAMP_LTZ.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, current: None }
    }
}

impl Operator for CurrentWatermark {
    fn name(&self) -> &'static str {
        "CurrentWatermark"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let field = self.schema.fields().last();
        let data_type = field.ok_or_else(|| Error::internal("no column for the watermark"))?.data_type();
        let column: ArrayRef = match self.current {
            None => new_null_array(data_type, chunk.len()),
            Some(watermark) => {
                let millis = TimestampMillisecondArray::from_value(watermark.millis(), chunk.len());
                cast(&(Arc::new(millis) as ArrayRef), data_type)?
            }
        };
        let columns = chunk.batch.columns().iter().cloned().chain([column]).collect();
        out.chunk(chunk.with_batch(RecordBatch::try_new(self.schema.clone(), columns)?));
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.current = Some(watermark);
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}
