//! Reads a split on a thread that may wait, ahead of the task: what comes over the network.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::input::Split;
use super::layout::{Layout, Place, Reached};
use super::reader::{Next, SplitReader};
use crate::error::{Error, Result};
use crate::flow::{Kinds, Waker};

/// Batches that may wait for the task.
const AHEAD: usize = 4;

enum Item {
    Rows(RecordBatch, Kinds),
    End,
}

/// How far the split was read when an item was made.
struct Progress {
    reached: Reached,
    consumed: u64,
    skipped: u64,
}

/// The task's end.
pub(super) struct Pump {
    split: Split,
    items: Receiver<Result<(Item, Progress)>>,
    progress: Progress,
}

impl Pump {
    /// Begins to read.
    pub(super) fn new(
        layout: &Arc<Layout>,
        split: Split,
        runtime: &tokio::runtime::Handle,
        waker: Waker,
    ) -> Self {
        let (sender, items) = bounded(AHEAD);
        let (layout, reading) = (layout.clone(), split.clone());
        runtime.spawn_blocking(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| read(&layout, &reading, &sender, &waker)));
            let ended = ended.unwrap_or_else(|_| Err(Error::internal("a thread that reads files panicked")));
            if let Err(e) = ended {
                // The task may have ended.
                let _ = sender.send(Err(e));
            }
            drop(sender);
            waker.wake();
        });
        let place = Place { offset: split.start, aligned: split.aligned, rows: split.skip, read: 0 };
        let reached = Reached { start: split.range, end: split.end, place, done: false, checksum: Some(0) };
        Self { split, items, progress: Progress { reached, consumed: 0, skipped: 0 } }
    }

    pub(super) fn split(&self) -> &Split {
        &self.split
    }

    /// How far the task has got.
    pub(super) fn reached(&self, done: bool) -> Reached {
        Reached { done, ..self.progress.reached.clone() }
    }

    pub(super) fn next(&mut self) -> Result<Next> {
        match self.items.try_recv() {
            Ok(item) => {
                let (item, progress) = item?;
                self.progress = progress;
                Ok(match item {
                    Item::Rows(batch, kinds) => Next::Rows(batch, kinds),
                    Item::End => Next::End,
                })
            }
            Err(TryRecvError::Empty) => Ok(Next::Wait),
            Err(TryRecvError::Disconnected) => Err(Error::cancelled()),
        }
    }

    pub(super) fn consumed(&self) -> u64 {
        self.progress.consumed
    }

    pub(super) fn skipped(&self) -> u64 {
        self.progress.skipped
    }
}

fn read(
    layout: &Arc<Layout>,
    split: &Split,
    sender: &Sender<Result<(Item, Progress)>>,
    waker: &Waker,
) -> Result<()> {
    let mut reader = SplitReader::open(layout, split)?;
    loop {
        let (item, ended) = match reader.next()? {
            Next::Rows(batch, kinds) => (Item::Rows(batch, kinds), false),
            _ => (Item::End, true),
        };
        let progress = Progress {
            reached: reader.reached(ended)?,
            consumed: reader.consumed(),
            skipped: reader.skipped(),
        };
        // The task may have ended, or have left the split to others.
        if sender.send(Ok((item, progress))).is_err() {
            return Ok(());
        }
        waker.wake();
        if ended {
            return Ok(());
        }
    }
}
