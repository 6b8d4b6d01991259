//! Greedy batching: keys that queued while earlier requests were on their way travel together.
//!
//! Nothing waits to be joined by others: while fewer than [`REQUESTS`] requests are on their way, a key
//! leaves at once, alone if it is alone.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::future::{Either, join_all, select};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::super::answer::{Failure, FailureKind};
use super::Shared;

/// Requests with many keys that are on their way at a time.
const REQUESTS: usize = 4;

type Reply = oneshot::Sender<Result<RecordBatch, Failure>>;

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(RecordBatch, Reply)>,
    running: usize,
}

/// The queue of one lookup.
#[derive(Debug)]
pub(super) struct Batcher {
    max_keys: usize,
    queue: Mutex<Queue>,
}

impl Batcher {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { max_keys, queue: Mutex::default() }
    }

    /// Queues a key; [`Batcher::pump`] sends it. Dropping the receiver takes it back.
    pub(super) fn queue(&self, key: RecordBatch) -> oneshot::Receiver<Result<RecordBatch, Failure>> {
        let (reply, receiver) = oneshot::channel();
        self.queue.lock().waiting.push_back((key, reply));
        receiver
    }

    /// Starts as many requests as there is work and room for.
    pub(super) fn pump(&self, shared: &Arc<Shared>) {
        let mut queue = self.queue.lock();
        let wanted = queue.waiting.len().div_ceil(self.max_keys);
        let start = wanted.min(REQUESTS.saturating_sub(queue.running));
        queue.running += start;
        drop(queue);
        for _ in 0..start {
            let worker = shared.clone();
            shared.spawn(async move {
                // Made here, so that a worker that is dropped before it has begun, because everything is going
                // away, asks for no other one.
                let running = Running(worker);
                while let Some(batch) = running.0.batcher.as_ref().and_then(Batcher::next) {
                    travel(&running.0, batch).await;
                }
            });
        }
    }

    /// The keys of the next request.
    fn next(&self) -> Option<Vec<(RecordBatch, Reply)>> {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        while batch.len() < self.max_keys {
            match queue.waiting.pop_front() {
                Some((_, reply)) if reply.is_closed() => {}
                Some(key) => batch.push(key),
                None => break,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// Counts a worker as gone, also when it panicked; what came in meanwhile gets another.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(batcher) = &self.0.batcher {
            let mut queue = batcher.queue.lock();
            queue.running -= 1;
            let more = !queue.waiting.is_empty();
            drop(queue);
            if more {
                batcher.pump(&self.0);
            }
        }
    }
}

/// Sends one request and hands out its answers; given up when nobody waits any more.
async fn travel(shared: &Arc<Shared>, batch: Vec<(RecordBatch, Reply)>) {
    let (keys, mut replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let keys = match concat_batches(&shared.key_schema, &keys) {
        Ok(keys) => keys,
        Err(e) => {
            let failure = Failure {
                kind: FailureKind::Key,
                message: e.to_string(),
                retry_after: None,
                retryable: false,
            };
            return replies.into_iter().for_each(|reply| drop(reply.send(Err(failure.clone()))));
        }
    };
    let results = {
        let call = std::pin::pin!(shared.call(keys));
        let nobody = join_all(replies.iter_mut().map(oneshot::Sender::closed));
        match select(call, nobody).await {
            Either::Left((results, _)) => results,
            Either::Right(_) => return,
        }
    };
    for (reply, result) in replies.into_iter().zip(results) {
        // A receiver that is gone has timed out.
        let _ = reply.send(result);
    }
}
