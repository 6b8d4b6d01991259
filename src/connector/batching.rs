//! A writer that sends rows in batches, one on its way at a time: what gathers meanwhile goes with the next.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Writer, WriterContext};
use crate::error::Result;
use crate::flow::Chunk;
use crate::lookup::{BoxFuture, Failure};

/// Rows that may wait while a batch is written.
pub(super) const WAITING: usize = 1 << 16;

/// Where batches go. Sent twice they do no harm.
pub(super) trait Outlet: Send + Sync + 'static {
    type Batch: Send + Sync + 'static;

    /// What is sent for some rows, on the compute thread.
    fn batch(&self, chunks: &[Chunk]) -> Result<Self::Batch>;

    /// One attempt.
    fn send(self: Arc<Self>, batch: Arc<Self::Batch>) -> BoxFuture<Result<(), Failure>>;

    /// The table's name.
    fn table(&self) -> &str;

    /// Rows that are sent together.
    fn max_rows(&self) -> usize;

    /// Further attempts.
    fn retries(&self) -> u32;
}

type Flight = Arc<Mutex<Option<Result<()>>>>;

/// Writes to an outlet, at-least-once.
pub(super) struct BatchWriter<O: Outlet> {
    outlet: Arc<O>,
    context: WriterContext,
    buffer: Vec<Chunk>,
    rows: usize,
    flight: Option<Flight>,
    /// What lies before the barrier that passes.
    before: Option<(u64, Vec<Chunk>)>,
    ending: bool,
}

impl<O: Outlet> BatchWriter<O> {
    pub(super) fn new(outlet: Arc<O>, context: WriterContext) -> Self {
        Self { outlet, context, buffer: Vec::new(), rows: 0, flight: None, before: None, ending: false }
    }

    fn begin(&mut self, chunks: &[Chunk]) -> Result<()> {
        let batch = Arc::new(self.outlet.batch(chunks)?);
        let flight: Flight = Arc::default();
        self.flight = Some(flight.clone());
        let (outlet, waker) = (self.outlet.clone(), self.context.waker.clone());
        self.context.runtime.spawn(async move {
            let sent = send(&outlet, &batch).await;
            *flight.lock() = Some(sent);
            waker.wake();
        });
        Ok(())
    }

    /// Takes in what has arrived, and sends what is next.
    fn advance(&mut self, all: bool) -> Result<()> {
        if let Some(sent) = self.flight.as_ref().and_then(|flight| flight.lock().take()) {
            self.flight = None;
            sent?;
        }
        if self.flight.is_some() {
            return Ok(());
        }
        if let Some((_, chunks)) = &mut self.before
            && !chunks.is_empty()
        {
            let chunks = std::mem::take(chunks);
            return self.begin(&chunks);
        }
        if !self.buffer.is_empty() && (all || self.ending || self.rows >= self.outlet.max_rows()) {
            let chunks = std::mem::take(&mut self.buffer);
            self.rows = 0;
            return self.begin(&chunks);
        }
        Ok(())
    }
}

/// One batch; again after faults that pass.
async fn send<O: Outlet>(outlet: &Arc<O>, batch: &Arc<O::Batch>) -> Result<()> {
    let mut failed = 0;
    loop {
        let Err(problem) = outlet.clone().send(batch.clone()).await else { return Ok(()) };
        failed += 1;
        if !problem.retryable || failed > outlet.retries() {
            let error = crate::error::Error::io(format!("table '{}': {}", outlet.table(), problem.message));
            return Err(if problem.retryable { error } else { error.lasting() });
        }
        let pause = Duration::from_secs(1) * failed;
        tokio::time::sleep(problem.retry_after.map_or(pause, |asked| asked.max(pause))).await;
    }
}

impl<O: Outlet> Writer for BatchWriter<O> {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if !chunk.is_empty() {
            self.rows += chunk.len();
            self.buffer.push(chunk.clone());
        }
        self.advance(false)
    }

    fn room(&self) -> bool {
        self.rows < WAITING
    }

    fn wake(&mut self) -> Result<()> {
        self.advance(false)
    }

    fn flush(&mut self) -> Result<()> {
        self.advance(true)
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        if self.before.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.rows = 0;
            self.before = Some((epoch, std::mem::take(&mut self.buffer)));
        }
        self.advance(false)?;
        let sent = self.flight.is_none() && self.before.as_ref().is_none_or(|(_, chunks)| chunks.is_empty());
        Ok(if sent { Poll::Ready(Vec::new()) } else { Poll::Pending })
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.ending = true;
        self.advance(true)?;
        let through = self.flight.is_none() && self.buffer.is_empty();
        Ok(if through { Poll::Ready(()) } else { Poll::Pending })
    }
}
