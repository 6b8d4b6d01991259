//! Appends the watermark to every row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Message, Operator, Output, Watermark};
use crate::state::{Restored, Snapshot};

/// The input's columns and, last, the watermark before each row; NULL before the first.
#[derive(Debug)]
pub struct CurrentWatermark {
    schema: SchemaRef,
    /// In milliseconds.
    current: Option<i64>,
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
                let millis = TimestampMillisecondArray::from_value(watermark, chunk.len());
                cast(&(Arc::new(millis) as ArrayRef), data_type)?
            }
        };
        let columns = chunk.batch.columns().iter().cloned().chain([column]).collect();
        out.chunk(chunk.with_batch(RecordBatch::try_new(self.schema.clone(), columns)?));
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.current = self.current.max(Some(watermark.millis()));
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    /// Rows behind a restore may come before the first watermark.
    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("watermark", self.current)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        // What holds for the rows of all former tasks.
        let told: Vec<Option<i64>> = state.values("watermark")?;
        self.current = told.into_iter().min().flatten();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operator::picture::{Rig, schema};

    #[test]
    fn rows_have_the_watermark_before_them_also_behind_a_crash() {
        let output = schema("k s w t");
        let mut rig = Rig::durable(move || CurrentWatermark::new(output.clone()), &schema("k s"));
        rig.checkpoint();
        assert_eq!(rig.sent("a"), "+I a NULL");
        rig.watermark(5);
        assert_eq!(rig.sent("a"), "+I a 5");
        rig.checkpoint();
        rig.watermark(9);
        rig.crash();
        assert_eq!(rig.sent("b"), "+I b 5");
        rig.watermark(9);
        assert_eq!(rig.sent("b"), "+I b 9");
    }
}
