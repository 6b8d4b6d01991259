//! Assigns watermarks from `WATERMARK FOR column AS expression`.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::max;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Message, Operator, Output, Watermark};

/// Emits the largest value of the watermark expression behind each chunk, when it has grown.
#[derive(Debug)]
pub struct WatermarkAssigner {
    expression: Arc<dyn PhysicalExpr>,
    clock: WatermarkClock,
}

impl WatermarkAssigner {
    /// `expression` gives a timestamp; a row for which it is NULL does not move the watermark.
    pub fn new(expression: Arc<dyn PhysicalExpr>) -> Self {
        Self { expression, clock: WatermarkClock::default() }
    }
}

/// The largest timestamp of an array, in milliseconds since the epoch (rounded down).
fn max_millis(array: &dyn Array) -> Result<Option<i64>> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::internal("a watermark that is not a timestamp reached the runtime"));
    };
    Ok(match unit {
        TimeUnit::Second => max(array.as_primitive::<TimestampSecondType>()).map(|s| s.saturating_mul(1000)),
        TimeUnit::Millisecond => max(array.as_primitive::<TimestampMillisecondType>()),
        TimeUnit::Microsecond => {
            max(array.as_primitive::<TimestampMicrosecondType>()).map(|us| us.div_euclid(1000))
        }
        TimeUnit::Nanosecond => {
            max(array.as_primitive::<TimestampNanosecondType>()).map(|ns| ns.div_euclid(1_000_000))
        }
    })
}

impl Operator for WatermarkAssigner {
    fn name(&self) -> &'static str {
        "WatermarkAssigner"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let values = self.expression.evaluate(&chunk.batch)?.into_array(chunk.len())?;
        let watermark = max_millis(&values)?.and_then(|millis| self.clock.advance(millis));
        out.chunk(chunk);
        if let Some(watermark) = watermark {
            out.push(Message::Watermark(watermark));
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        out.push(Message::Watermark(Watermark::END));
        out.push(Message::End);
        Ok(())
    }
}
