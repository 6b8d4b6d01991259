//! Reads an HTTP table from its first page to its last.
//!
//! Pages are fetched by a task of the runtime, a few ahead; their rows are decoded on the compute thread. What an API
//! lists may be another list tomorrow, so that a job cannot go on from a position in it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::connector::{Positions, Read, Reader, ReaderContext, ScanRequest, Source};
use crate::error::{Error, Result};
use crate::flow::Waker;
use crate::lookup::http::{Collection, Page, refuse_metadata};

/// Pages that may wait for the reader before the next is asked for.
const AHEAD: usize = 2;

/// The source of a table.
pub(super) fn source(request: &ScanRequest) -> Result<Arc<dyn Source>> {
    refuse_metadata(&request.table, &request.projection)?;
    let collection = Collection::new(&request.table, &request.schema)?;
    Ok(Arc::new(HttpSource { collection: Arc::new(collection), batch_rows: request.batch_rows.max(1) }))
}

struct HttpSource {
    collection: Arc<Collection>,
    batch_rows: usize,
}

impl Source for HttpSource {
    fn bounded(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> usize {
        1
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let queue = Arc::new(Queue::default());
        let fetched = fetch(self.collection.clone(), queue.clone(), context.waker);
        Ok(Box::new(HttpReader {
            collection: self.collection.clone(),
            queue,
            task: context.runtime.spawn(fetched),
            rest: None,
            batch_rows: self.batch_rows,
            bytes: 0,
        }))
    }

    fn describe(&self) -> String {
        self.collection.describe()
    }
}

/// Pages on their way to the reader.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    pages: VecDeque<Arc<Page>>,
    /// There are no more, or why they do not come.
    end: Option<Result<()>>,
}

async fn fetch(collection: Arc<Collection>, queue: Arc<Queue>, waker: Waker) {
    // However this ends, be it by a panic: the reader does not wait for ever.
    let ending = Ending { queue: queue.clone(), waker: waker.clone() };
    let mut last: Option<Arc<Page>> = None;
    loop {
        let end = match collection.page(last.as_deref()).await {
            Ok(Some(page)) => {
                let page = Arc::new(page);
                queue.state.lock().pages.push_back(page.clone());
                last = Some(page);
                waker.wake();
                None
            }
            Ok(None) => Some(Ok(())),
            Err(e) => Some(Err(e)),
        };
        if end.is_some() {
            queue.state.lock().end = end;
            break;
        }
        while queue.state.lock().pages.len() >= AHEAD {
            queue.taken.notified().await;
        }
    }
    drop(ending);
}

struct Ending {
    queue: Arc<Queue>,
    waker: Waker,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let unexpected = || Err(Error::internal("reading the pages of an API ended unexpectedly"));
        self.queue.state.lock().end.get_or_insert_with(unexpected);
        self.waker.wake();
    }
}

struct HttpReader {
    collection: Arc<Collection>,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
    /// Rows of a page that was decoded.
    rest: Option<RecordBatch>,
    batch_rows: usize,
    bytes: u64,
}

impl Drop for HttpReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader for HttpReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(rows) = self.rest.take().filter(|rows| rows.num_rows() > 0) {
                let now = rows.num_rows().min(self.batch_rows);
                self.rest = Some(rows.slice(now, rows.num_rows() - now));
                return Ok(Read::Batch(rows.slice(0, now)));
            }
            let page = {
                let mut state = self.queue.state.lock();
                match (state.pages.pop_front(), &state.end) {
                    (Some(page), _) => page,
                    (None, None) => return Ok(Read::Pending),
                    (None, Some(Ok(()))) => {
                        drop(state);
                        self.collection.ended();
                        return Ok(Read::End);
                    }
                    (None, Some(Err(e))) => return Err(e.clone()),
                }
            };
            self.queue.taken.notify_one();
            self.bytes += page.body.len() as u64;
            self.rest = Some(self.collection.decode(&page)?);
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn skipped(&self) -> u64 {
        self.collection.skipped()
    }

    fn leave(&mut self) -> Result<Positions> {
        self.task.abort();
        Ok(Positions::new())
    }
}
