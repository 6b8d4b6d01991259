//! LIMIT and OFFSET over all tasks of a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Waker};

/// What is left to skip and to emit, shared by all tasks.
#[derive(Debug)]
pub struct Budget {
    skip: AtomicU64,
    fetch: AtomicU64,
    /// Tasks to wake when nothing is left: they may wait for input that never comes.
    tasks: Mutex<Vec<Waker>>,
}

impl Budget {
    /// Skips `skip` rows, then lets `fetch` rows through.
    pub fn new(skip: u64, fetch: u64) -> Arc<Self> {
        Arc::new(Self { skip: skip.into(), fetch: fetch.into(), tasks: Mutex::default() })
    }
}

/// Takes at most `wanted` from a counter.
fn take(counter: &AtomicU64, wanted: u64) -> u64 {
    let before =
        counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(wanted)));
    before.unwrap_or_else(|left| left).min(wanted)
}

/// Lets rows through until the shared budget is used up, then ends the stream.
#[derive(Debug)]
pub struct Limit {
    budget: Arc<Budget>,
    ended: bool,
}

impl Limit {
    /// A limit on a shared budget.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, ended: false }
    }
}

impl Operator for Limit {
    fn name(&self) -> &'static str {
        "Limit"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.budget.tasks.lock().push(context.waker.clone());
        if self.budget.fetch.load(Ordering::Acquire) == 0 {
            context.waker.wake();
        }
        Ok(())
    }

    fn wake(&mut self, out: &mut Output) -> Result<()> {
        self.end(out)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let skipped = take(&self.budget.skip, chunk.len() as u64) as usize;
        let rest = chunk.len() - skipped;
        if rest > 0 {
            let taken = take(&self.budget.fetch, rest as u64) as usize;
            out.chunk(chunk.slice(skipped, taken));
        }
        if self.budget.fetch.load(Ordering::Acquire) == 0 {
            for task in self.budget.tasks.lock().iter() {
                task.wake();
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        if !self.ended {
            self.ended = true;
            out.push(Message::End);
        }
        Ok(())
    }
}
