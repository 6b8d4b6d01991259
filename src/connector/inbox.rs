//! Between what receives messages on the runtime and the reader that decodes them on its compute thread: a bounded
//! queue, and a reader for all connectors whose messages come to them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::messages::{Layout, Message, RowDecoder};
use super::{Positions, Read, Reader, ReaderContext};
use crate::error::{Error, Result};
use crate::flow::{Splits, Waker};

/// Messages and bytes that may wait for the reader.
const WAITING: usize = 8192;
pub(super) const WAITING_BYTES: usize = 16 << 20;

/// Messages that have arrived.
pub(super) struct Inbox<M> {
    state: Mutex<State<M>>,
    /// There is room again.
    taken: Notify,
    waker: Waker,
}

struct State<M> {
    messages: VecDeque<M>,
    bytes: usize,
    failure: Option<Error>,
    ended: bool,
}

impl<M: Message> Inbox<M> {
    pub(super) fn new(waker: Waker) -> Arc<Self> {
        let state = State { messages: VecDeque::new(), bytes: 0, failure: None, ended: false };
        Arc::new(Self { state: Mutex::new(state), taken: Notify::new(), waker })
    }

    /// Hands messages over, and waits until there is room for more.
    pub(super) async fn put(&self, messages: impl IntoIterator<Item = M>) {
        if !self.offer(messages) {
            self.room().await;
        }
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) {
        loop {
            // Before the look, so that nothing is missed between.
            let taken = self.taken.notified();
            if self.has_room() {
                return;
            }
            taken.await;
        }
    }

    /// Hands messages over; whether there is room for more.
    pub(super) fn offer(&self, messages: impl IntoIterator<Item = M>) -> bool {
        let mut state = self.state.lock();
        for message in messages {
            state.bytes += message.value().map_or(0, <[u8]>::len);
            state.messages.push_back(message);
        }
        let room = state.messages.len() < WAITING && state.bytes < WAITING_BYTES;
        drop(state);
        self.waker.wake();
        room
    }

    /// Whether more may be handed over.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.messages.len() < WAITING && state.bytes < WAITING_BYTES
    }

    /// There will be no more: the reader fails when it has read what there is.
    pub(super) fn fail(&self, e: Error) {
        self.state.lock().failure.get_or_insert(e);
        self.waker.wake();
    }

    /// There will be no more.
    #[allow(dead_code, reason = "which streams end depends on the connectors of the build")]
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.waker.wake();
    }

    fn take(&self, most: usize) -> Result<(Vec<M>, bool)> {
        let mut state = self.state.lock();
        if state.messages.is_empty() {
            if let Some(failure) = state.failure.clone() {
                return Err(failure);
            }
            return Ok((Vec::new(), state.ended));
        }
        let count = state.messages.len().min(most);
        let messages: Vec<M> = state.messages.drain(..count).collect();
        let bytes: usize = messages.iter().map(|m| m.value().map_or(0, <[u8]>::len)).sum();
        state.bytes -= bytes;
        drop(state);
        self.taken.notify_waiters();
        Ok((messages, false))
    }
}

/// Fails the reader when a task that receives ends without a word, be it by a panic.
pub(super) struct Guard<M: Message>(pub(super) Arc<Inbox<M>>);

impl<M: Message> Drop for Guard<M> {
    fn drop(&mut self) {
        let state = self.0.state.lock();
        let over = state.ended || state.failure.is_some();
        drop(state);
        if !over {
            self.0.fail(Error::internal("what receives messages has ended unexpectedly"));
        }
    }
}

/// What a connector notes of the messages that were handed on as rows.
pub(super) trait Tracker<M>: Send {
    /// They are rows now; `rows`: the message of each row.
    fn passed(&mut self, messages: Vec<M>, rows: &[u32]);

    /// Whether it is known where the reader begins: before, there is nothing to tell of a checkpoint.
    fn ready(&self) -> bool {
        true
    }

    /// A barrier follows them: the positions that have changed.
    fn cut(&mut self, epoch: u64) -> Positions;

    /// The reader is left for good.
    fn leave(&mut self) -> Positions {
        self.cut(u64::MAX)
    }

    /// Which splits the last rows came from.
    fn splits(&mut self) -> Splits {
        Splits::default()
    }
}

/// Reads an inbox.
pub(super) struct InboxReader<M: Message, T: Tracker<M>> {
    inbox: Arc<Inbox<M>>,
    decoder: RowDecoder,
    tracker: T,
    batch_rows: usize,
    /// What receives; it ends with the reader.
    receiving: Vec<AbortHandle>,
    bytes: u64,
    failure: Option<Error>,
}

impl<M: Message, T: Tracker<M>> InboxReader<M, T> {
    pub(super) fn new(inbox: Arc<Inbox<M>>, layout: &Layout, tracker: T, batch_rows: usize) -> Result<Self> {
        let decoder = layout.decoder()?;
        let batch_rows = batch_rows.max(1);
        Ok(Self { inbox, decoder, tracker, batch_rows, receiving: Vec::new(), bytes: 0, failure: None })
    }

    /// With something that receives, until the reader is dropped.
    pub(super) fn receiving(
        mut self,
        context: &ReaderContext,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.receiving.push(context.runtime.spawn(task).abort_handle());
        self
    }

    fn stop(&mut self) {
        self.receiving.drain(..).for_each(|task| task.abort());
    }
}

impl<M: Message, T: Tracker<M>> Drop for InboxReader<M, T> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<M: Message + Send, T: Tracker<M>> Reader for InboxReader<M, T> {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let (mut messages, ended) = self.inbox.take(self.batch_rows)?;
            if messages.is_empty() {
                return Ok(if ended { Read::End } else { Read::Pending });
            }
            let rows = self.decoder.decode(&messages)?;
            // What comes before an error is given first.
            self.failure = rows.error;
            messages.truncate(rows.taken);
            self.bytes += messages.iter().map(|m| m.value().map_or(0, <[u8]>::len) as u64).sum::<u64>();
            self.tracker.passed(messages, &rows.owners);
            if rows.batch.num_rows() > 0 {
                return Ok(Read::rows(rows.batch, rows.kinds));
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn splits(&mut self) -> Splits {
        self.tracker.splits()
    }

    fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        Ok(self.tracker.ready().then(|| self.tracker.cut(epoch)))
    }

    fn leave(&mut self) -> Result<Positions> {
        self.stop();
        Ok(self.tracker.leave())
    }
}
