//! One task with an operator of two inputs, for tests: watermarks are combined as the runtime does it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::picture::{chunk, lines};
use crate::clock::ManualClock;
use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::{Mailbox, Message, Operator, OperatorContext, Output, Watermark};

pub(crate) struct TwoInputs<O: Operator> {
    pub(crate) operator: O,
    pub(crate) clock: Arc<ManualClock>,
    inputs: [SchemaRef; 2],
    marks: [WatermarkClock; 2],
    least: WatermarkClock,
}

impl<O: Operator> TwoInputs<O> {
    pub(crate) fn new(mut operator: O, inputs: [SchemaRef; 2]) -> Self {
        let clock = ManualClock::new(1_000_000);
        let waker = Mailbox::new().waker(0);
        operator
            .open(OperatorContext {
                task: 0,
                parallelism: 1,
                waker,
                clock: clock.clone(),
                checkpointed: false,
                memory: crate::state::Memory::unlimited(),
            })
            .unwrap();
        Self { operator, clock, inputs, marks: Default::default(), least: WatermarkClock::default() }
    }

    /// The rows that come out of a call, `w5` for watermarks, `end`, or the error.
    pub(crate) fn call(&mut self, act: impl FnOnce(&mut O, &mut Output) -> Result<()>) -> Vec<String> {
        let mut out = Output::default();
        if let Err(e) = act(&mut self.operator, &mut out) {
            return vec![format!("error: {}", e.message())];
        }
        let seen = out.drain().flat_map(|m| match m {
            Message::Data(chunk) => lines(&chunk),
            Message::Watermark(Watermark::END) => vec!["wEND".to_string()],
            Message::Watermark(w) => vec![format!("w{}", w.millis())],
            _ => vec!["end".to_string()],
        });
        seen.collect()
    }

    pub(crate) fn send(&mut self, input: usize, rows: &str) -> Vec<String> {
        let chunk = chunk(&self.inputs[input], rows);
        self.call(|operator, out| operator.chunk_at(input, chunk, out))
    }

    /// As [`TwoInputs::send`], as one text.
    pub(crate) fn sent(&mut self, input: usize, rows: &str) -> String {
        self.send(input, rows).join(", ")
    }

    pub(crate) fn mark(&mut self, input: usize, millis: i64) -> Vec<String> {
        let Some(watermark) = self.marks[input].advance(millis) else { return Vec::new() };
        let mut seen = self.call(|operator, out| operator.watermark_at(input, watermark, out));
        if let (Some(a), Some(b)) = (self.marks[0].current(), self.marks[1].current())
            && let Some(least) = self.least.advance(a.min(b).millis())
        {
            seen.extend(self.call(|operator, out| operator.watermark(least, out)));
        }
        seen
    }

    /// Both inputs' watermark at once, as one text.
    pub(crate) fn marked(&mut self, millis: i64) -> String {
        let mut seen = self.mark(0, millis);
        seen.extend(self.mark(1, millis));
        seen.join(", ")
    }

    /// Both inputs end.
    pub(crate) fn end(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for input in 0..2 {
            seen.extend(self.mark(input, i64::MAX));
            seen.extend(self.call(|operator, out| operator.end_at(input, out)));
        }
        seen.extend(self.call(|operator, out| operator.end(out)));
        seen
    }
}
