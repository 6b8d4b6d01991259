//! Assigns watermarks from `WATERMARK FOR column AS expression`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::compute::max;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::flow::message::{Status, WatermarkClock};
use crate::flow::operator::OperatorContext;
use crate::flow::{Chunk, Message, Operator, Output, Watermark};

/// Emits the largest value of the watermark expression behind each chunk, when it has grown.
///
/// With an idle timeout, a pause of that length is told by [`Status::Idle`]: others do not wait for this input any
/// more. The next row makes it active again; should it be behind the others by then, it is late.
#[derive(Debug)]
pub struct WatermarkAssigner {
    expression: Arc<dyn PhysicalExpr>,
    clock: WatermarkClock,
    idle_timeout: Option<Duration>,
    /// When the input will be idle; `None` while it is.
    idle_at: Option<Instant>,
    idle: bool,
}

impl WatermarkAssigner {
    /// `expression` gives a timestamp; a row for which it is NULL does not move the watermark.
    pub fn new(expression: Arc<dyn PhysicalExpr>, idle_timeout: Option<Duration>) -> Self {
        Self { expression, clock: WatermarkClock::default(), idle_timeout, idle_at: None, idle: false }
    }

    /// Rows have come, or the task has begun.
    fn rest_begins(&mut self, now: Instant) {
        self.idle_at = self.idle_timeout.and_then(|timeout| now.checked_add(timeout));
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

    fn open(&mut self, _context: OperatorContext) -> Result<()> {
        if self.idle_timeout.is_some() {
            self.rest_begins(Instant::now());
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.idle_at
    }

    fn timer(&mut self, now: Instant, out: &mut Output) -> Result<()> {
        if self.idle_at.is_some_and(|at| at <= now) {
            self.idle_at = None;
            self.idle = true;
            out.push(Message::Status(Status::Idle));
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if self.idle_timeout.is_some() {
            self.rest_begins(Instant::now());
            if std::mem::take(&mut self.idle) {
                out.push(Message::Status(Status::Active));
            }
        }
        let values = self.expression.evaluate(&chunk.batch)?.into_array(chunk.len())?;
        let watermark = max_millis(&values)?.and_then(|millis| self.clock.advance(millis));
        out.chunk(chunk);
        if let Some(watermark) = watermark {
            out.push(Message::Watermark(watermark));
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.idle_at = None;
        out.push(Message::Watermark(Watermark::END));
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{RecordBatch, TimestampMillisecondArray};
    use datafusion_physical_expr::expressions::Column;

    fn chunk(millis: i64) -> Chunk {
        let column = Arc::new(TimestampMillisecondArray::from(vec![millis])) as _;
        let batch = RecordBatch::try_from_iter([("ts", column)]).unwrap();
        Chunk::append(batch, Instant::now())
    }

    #[test]
    fn a_pause_is_told_once_and_ends_with_the_next_row() {
        let second = Duration::from_secs(1);
        let mut assigner = WatermarkAssigner::new(Arc::new(Column::new("ts", 0)), Some(second));
        let mut out = Output::default();
        let mut told = |assigner: &mut WatermarkAssigner,
                        call: &dyn Fn(&mut WatermarkAssigner, &mut Output)| {
            call(assigner, &mut out);
            out.drain()
                .filter(|m| matches!(m, Message::Status(_)))
                .map(|m| format!("{m:?}"))
                .collect::<Vec<_>>()
        };
        assert!(told(&mut assigner, &|a, out| a.chunk(chunk(5), out).unwrap()).is_empty());
        let at = assigner.deadline().unwrap();
        assert!(told(&mut assigner, &|a, out| a.timer(at - second / 2, out).unwrap()).is_empty());
        assert_eq!(told(&mut assigner, &|a, out| a.timer(at, out).unwrap()), ["Status(Idle)"]);
        assert_eq!(assigner.deadline(), None);
        assert_eq!(told(&mut assigner, &|a, out| a.chunk(chunk(6), out).unwrap()), ["Status(Active)"]);
        assert!(assigner.deadline().is_some());
    }
}
