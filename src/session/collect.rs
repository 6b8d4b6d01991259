//! The sink behind SELECT: chunks wait in a queue for the reader of the result. A full queue has no room, so the tasks
//! read no more until the reader takes a chunk. At-least-once: rows after the last checkpoint are shown again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::connector::{Sink, SinkChangelog, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Waker};

/// Chunks that may wait for the reader before the tasks do.
const CHUNKS: usize = 16;

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Of the writers.
    wakers: Vec<Waker>,
    /// Of a reader that is a task.
    reader: Option<std::task::Waker>,
    /// Nothing is added any more.
    closed: bool,
    /// The reader is gone.
    abandoned: bool,
    /// The reader knows of the end.
    finished: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Queue {
    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.arrived(&mut state);
    }

    /// Tells the reader, whatever it is.
    fn arrived(&self, state: &mut State) {
        self.arrived.notify_all();
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

/// The sink.
#[derive(Debug)]
pub struct Collect(Arc<Queue>);

/// The rows of a result, for one reader. Dropping it ends the job that writes them.
#[derive(Debug)]
pub struct Rows(Arc<Queue>);

struct CollectWriter(Arc<Queue>);

impl Collect {
    /// The sink and the other end.
    pub fn new() -> (Arc<Self>, Rows) {
        let queue = Arc::new(Queue::default());
        (Arc::new(Self(queue.clone())), Rows(queue))
    }
}

/// What [`Rows::next`] found.
pub enum Found {
    Chunk(Chunk),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come.
    Closed,
}

impl State {
    fn take(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        if self.chunks.len() + 1 >= CHUNKS {
            self.wakers.iter().for_each(Waker::wake);
        }
        Some(chunk)
    }
}

impl Rows {
    /// The next chunk, `None` when there will be none.
    pub fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Chunk>> {
        let mut state = self.0.state.lock();
        if let Some(chunk) = state.take() {
            return Poll::Ready(Some(chunk));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether the reader learns now that there is no more; false when it knew.
    pub fn finish(&self) -> bool {
        !std::mem::replace(&mut self.0.state.lock().finished, true)
    }

    /// Waits for the next chunk, until a deadline if there is one.
    pub fn next(&self, timeout: Option<Duration>) -> Found {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.0.state.lock();
        loop {
            if let Some(chunk) = state.take() {
                return Found::Chunk(chunk);
            }
            if state.closed {
                return Found::Closed;
            }
            match deadline {
                None => self.0.arrived.wait(&mut state),
                Some(deadline) => {
                    if self.0.arrived.wait_until(&mut state, deadline).timed_out() && state.chunks.is_empty()
                    {
                        return if state.closed { Found::Closed } else { Found::Nothing };
                    }
                }
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.abandoned = true;
        state.chunks.clear();
        state.wakers.iter().for_each(Waker::wake);
    }
}

impl Drop for Collect {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Sink for Collect {
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::All
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        self.0.state.lock().wakers.push(context.waker);
        Ok(Box::new(CollectWriter(self.0.clone())))
    }

    fn commit(&self) -> Result<()> {
        self.0.close();
        Ok(())
    }

    fn abort(&self) {
        self.0.close();
    }
}

impl Writer for CollectWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        let mut state = self.0.state.lock();
        if state.abandoned {
            return Err(Error::cancelled());
        }
        state.chunks.push_back(chunk.clone());
        self.0.arrived(&mut state);
        Ok(())
    }

    fn room(&self) -> bool {
        let state = self.0.state.lock();
        state.abandoned || state.chunks.len() < CHUNKS
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        Ok(Poll::Ready(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::connector::replay::writer_context;
    use crate::flow::Mailbox;

    fn chunk(n: i64) -> Chunk {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![n]));
        Chunk::append(RecordBatch::try_from_iter([("n", numbers)]).unwrap(), Instant::now())
    }

    #[test]
    fn a_full_queue_has_no_room_until_the_reader_takes_a_chunk() {
        let (sink, rows) = Collect::new();
        let mailbox = Mailbox::new();
        let context = WriterContext { waker: mailbox.waker(3), ..writer_context(0, 1) };
        let mut writer = sink.writer(context).unwrap();
        assert!(matches!(rows.next(Some(Duration::ZERO)), Found::Nothing));
        let written = (0..).take_while(|&n| writer.room() && writer.write(&chunk(n)).is_ok()).count();
        assert_eq!(written, CHUNKS);
        // What lies before a barrier is taken nevertheless.
        writer.write(&chunk(99)).unwrap();
        for _ in 0..2 {
            assert!(matches!(rows.next(None), Found::Chunk(_)));
        }
        assert!(writer.room() && mailbox.take().woken == [3]);
        sink.commit().unwrap();
        let rest = std::iter::from_fn(|| match rows.next(None) {
            Found::Chunk(chunk) => Some(chunk),
            _ => None,
        });
        assert_eq!(rest.count(), CHUNKS - 1);
        drop(rows);
        assert!(writer.room() && writer.write(&chunk(0)).is_err(), "no reader");
    }
}
