//! Assigns watermarks from `WATERMARK FOR column AS expression`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Array;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::Result;
use crate::flow::message::{Status, WatermarkClock};
use crate::flow::operator::OperatorContext;
use crate::flow::{Chunk, Kind, Message, Operator, Output, Watermark};
use crate::operator::window::times::millis;

/// Emits the largest value of the watermark expression behind each chunk, when it has grown. Before a row that is
/// late by what the rows before it say, the chunk is cut and the watermark comes in between: what is late
/// does not depend on how rows came in batches.
///
/// With an idle timeout, a pause of that length is told by [`Status::Idle`]: others do not wait for this input any
/// more. The next row makes it active again; should it be behind the others by then, it is late.
#[derive(Debug)]
pub struct WatermarkAssigner {
    expression: Arc<dyn PhysicalExpr>,
    /// The time attribute.
    column: Option<usize>,
    clock: WatermarkClock,
    idle_timeout: Option<Duration>,
    /// When the input will be idle; `None` while it is.
    idle_at: Option<Instant>,
    idle: bool,
}

impl WatermarkAssigner {
    /// `expression` gives a timestamp; a row for which it is NULL does not move the watermark.
    pub fn new(expression: Arc<dyn PhysicalExpr>) -> Self {
        Self {
            expression,
            column: None,
            clock: WatermarkClock::default(),
            idle_timeout: None,
            idle_at: None,
            idle: false,
        }
    }

    /// The column whose values are late when a watermark has reached them.
    pub fn of(self, column: Option<usize>) -> Self {
        Self { column, ..self }
    }

    /// With the pause after which the input is idle.
    pub fn with_idle_timeout(self, idle_timeout: Option<Duration>) -> Self {
        Self { idle_timeout, ..self }
    }

    /// Rows have come, or the task has begun.
    fn rest_begins(&mut self, now: Instant) {
        self.idle_at = self.idle_timeout.and_then(|timeout| now.checked_add(timeout));
    }

    /// Rows before which the watermark has to come, and what it is there.
    fn cuts(&self, chunk: &Chunk, marks: &dyn Array) -> Result<Vec<(usize, i64)>> {
        let Some(times) = self.column.map(|c| chunk.batch.column(c)) else { return Ok(Vec::new()) };
        let (instants, values) = (millis(times)?, millis(marks)?);
        let mut cuts = Vec::new();
        let mut latest = self.clock.current().map_or(i64::MIN, Watermark::millis);
        // The part of it that is known downstream.
        let mut told = latest;
        for (row, (&instant, &mark)) in instants.iter().zip(values.iter()).enumerate() {
            if instant <= latest && latest > told && times.is_valid(row) {
                // An update stays whole.
                let row = match chunk.kinds.get(row) {
                    Kind::UpdateAfter if row > 0 => row - 1,
                    _ => row,
                };
                cuts.push((row, latest));
                told = latest;
            }
            if mark > latest && marks.is_valid(row) {
                latest = mark;
            }
        }
        Ok(cuts)
    }
}

/// The largest timestamp of an array, in milliseconds since the epoch (rounded down).
fn max_millis(array: &dyn Array) -> Result<Option<i64>> {
    let values = millis(array)?;
    Ok(match array.null_count() {
        0 => values.iter().copied().max(),
        _ => (0..values.len()).filter(|&i| array.is_valid(i)).map(|i| values[i]).max(),
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
        let mut from = 0;
        for (row, latest) in self.cuts(&chunk, &values)? {
            out.chunk(chunk.slice(from, row - from));
            from = row;
            if let Some(watermark) = self.clock.advance(latest) {
                out.push(Message::Watermark(watermark));
            }
        }
        let watermark = max_millis(&values)?.and_then(|millis| self.clock.advance(millis));
        out.chunk(if from == 0 { chunk } else { chunk.slice(from, chunk.len() - from) });
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
        let mut assigner =
            WatermarkAssigner::new(Arc::new(Column::new("ts", 0))).with_idle_timeout(Some(second));
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

#[cfg(test)]
mod late_tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use arrow::array::{AsArray, RecordBatch, TimestampMillisecondArray};
    use arrow::datatypes::TimestampMillisecondType;
    use datafusion_physical_expr::expressions::Column;

    use super::*;

    #[test]
    fn a_row_is_late_when_a_row_before_it_says_so() {
        let mut assigner = WatermarkAssigner::new(Arc::new(Column::new("ts", 0))).of(Some(0));
        let mut out = Output::default();
        let mut send = |times: &[Option<i64>]| {
            let column = Arc::new(TimestampMillisecondArray::from(times.to_vec())) as _;
            let batch = RecordBatch::try_from_iter_with_nullable([("ts", column, true)]).unwrap();
            assigner.chunk(Chunk::append(batch, Instant::now()), &mut out).unwrap();
            let shown = out.drain().map(|message| match message {
                Message::Data(chunk) => {
                    let times = chunk.batch.column(0).as_primitive::<TimestampMillisecondType>();
                    format!("{:?}", times.iter().flatten().collect::<Vec<_>>())
                }
                Message::Watermark(w) => w.millis().to_string(),
                _ => String::new(),
            });
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(send(&[Some(1), Some(2), Some(5)]), "[1, 2, 5] 5");
        assert_eq!(send(&[Some(4), Some(7), None, Some(6), Some(3), Some(9)]), "[4, 7] 7 [6, 3, 9] 9");
        assert_eq!(send(&[Some(9), None]), "[9]");
    }
}
