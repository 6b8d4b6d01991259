//! Runs sources as jobs do, for tests: reads, cuts and crashes in any order; what checkpoints have committed in the end is
//! to be every row once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Positions, Read, Reader, ReaderContext, Source, WriterContext};
use crate::clock::SystemClock;
use crate::flow::{Mailbox, StageMetrics, Waker};

/// The context of a reader without a job.
pub(super) fn context(
    task: usize,
    parallelism: usize,
    waker: Waker,
    runtime: tokio::runtime::Handle,
) -> ReaderContext {
    let metrics = Arc::new(StageMetrics::new(0, "Source", String::new(), parallelism));
    ReaderContext {
        task,
        parallelism,
        waker,
        runtime,
        clock: Arc::new(SystemClock),
        metrics,
        checkpoints: true,
        gather: Duration::ZERO,
    }
}

/// The context of a writer without a job: nothing that it starts runs.
pub(crate) fn writer_context(task: usize, tasks: usize) -> WriterContext {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let make = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    WriterContext {
        task,
        tasks,
        waker: Mailbox::new().waker(0),
        runtime: RUNTIME.get_or_init(make).handle().clone(),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(StageMetrics::new(0, "Sink", String::new(), tasks)),
    }
}

/// Rows as text, columns between bars.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    let row = |i| columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// A reader of a part, while it is read.
struct Head {
    part: usize,
    reader: Option<Box<dyn Reader>>,
    /// Since the last cut that counts.
    rows: Vec<String>,
    /// Since the cut for the checkpoint that is being taken.
    after: Option<Vec<String>>,
    /// Told with the next checkpoint.
    left: Positions,
    pending: bool,
}

/// A job that reads the parts of a source.
pub(super) struct Replay {
    runtime: tokio::runtime::Runtime,
    mailbox: Mailbox,
    sources: Vec<Arc<dyn Source>>,
    heads: Vec<Head>,
    /// What the last checkpoint holds, by part.
    pub(super) positions: Vec<Positions>,
    /// Rows before it, by part.
    pub(super) committed: Vec<Vec<String>>,
    epoch: u64,
}

impl Replay {
    /// Begins to read.
    pub(super) fn new(sources: Vec<Arc<dyn Source>>, tasks: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let parts = sources.len();
        let mut replay = Self {
            runtime: runtime.unwrap(),
            mailbox: Mailbox::new(),
            sources: Vec::new(),
            heads: Vec::new(),
            positions: vec![Positions::new(); parts],
            committed: vec![Vec::new(); parts],
            epoch: 0,
        };
        replay.restart(Some(sources), tasks);
        replay
    }

    /// Crashes and comes back from the last checkpoint, with new sources or those that there are.
    pub(super) fn restart(&mut self, sources: Option<Vec<Arc<dyn Source>>>, tasks: usize) {
        self.heads.clear();
        if let Some(sources) = sources {
            self.sources = sources;
        }
        self.mailbox = Mailbox::new();
        for (source, positions) in self.sources.iter().zip(&self.positions) {
            assert!(source.replays());
            source.resume(positions, self.runtime.handle()).unwrap();
        }
        for (part, source) in self.sources.iter().enumerate() {
            let parallelism = tasks.min(source.max_parallelism());
            for task in 0..parallelism {
                let waker = self.mailbox.waker(self.heads.len());
                let runtime = self.runtime.handle().clone();
                let reader = source.reader(context(task, parallelism, waker, runtime)).unwrap();
                self.heads.push(Head {
                    part,
                    reader: Some(reader),
                    rows: Vec::new(),
                    after: None,
                    left: Positions::new(),
                    pending: false,
                });
            }
        }
    }

    /// One reader reads, if it has not ended.
    pub(super) fn read(&mut self, index: usize) {
        let index = index % self.heads.len();
        for token in self.mailbox.take().woken {
            self.heads[token].pending = false;
        }
        let head = &mut self.heads[index];
        let Some(reader) = head.reader.as_mut().filter(|_| !head.pending) else { return };
        match reader.read().unwrap() {
            Read::Batch(batch) | Read::Changes(batch, _) => {
                let rows = rows(&batch);
                assert!(!rows.is_empty());
                head.after.as_mut().unwrap_or(&mut head.rows).extend(rows);
            }
            Read::Pending => head.pending = true,
            Read::End => self.leave(index),
        }
    }

    /// One reader reads no more.
    pub(super) fn leave(&mut self, index: usize) {
        if let Some(mut reader) = self.heads[index].reader.take() {
            self.heads[index].left.extend(reader.leave().unwrap());
        }
    }

    /// A checkpoint that reaches the readers in this order, with reads of others in between.
    pub(super) fn checkpoint(&mut self, mut choose: impl FnMut() -> usize) {
        self.epoch += 1;
        let epoch = self.epoch;
        let mut told: Vec<(usize, Positions)> = Vec::new();
        let mut uncut: Vec<usize> = (0..self.heads.len()).collect();
        // Readers wait at their marks until they have read up to them: all are asked by turns.
        for turn in 0.. {
            assert!(turn < 100_000, "a reader is never cut");
            if uncut.is_empty() {
                break;
            }
            let at = choose() % uncut.len();
            let index = uncut[at];
            let head = &mut self.heads[index];
            let positions = match &mut head.reader {
                Some(reader) => reader.cut(epoch).unwrap(),
                None => Some(Positions::new()),
            };
            match positions {
                Some(positions) => {
                    // What it reported when it left comes before.
                    told.push((head.part, std::mem::take(&mut head.left)));
                    told.push((head.part, positions));
                    head.after = Some(Vec::new());
                    uncut.remove(at);
                }
                None => self.read(index),
            }
            for _ in 0..choose() % 3 {
                self.read(choose());
            }
        }
        for (part, positions) in told {
            self.positions[part].extend(positions);
            self.positions[part].retain(|_, position| !position.is_null());
        }
        for head in &mut self.heads {
            let after = head.after.take().unwrap();
            self.committed[head.part].extend(std::mem::replace(&mut head.rows, after));
        }
    }

    /// Reads until a part has committed and read so many rows, or all readers have ended.
    pub(super) fn read_until(&mut self, rows: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let live: Vec<usize> =
                (0..self.heads.len()).filter(|&i| self.heads[i].reader.is_some()).collect();
            let enough = (0..self.sources.len()).all(|part| {
                let read: usize = self.heads.iter().filter(|h| h.part == part).map(|h| h.rows.len()).sum();
                self.committed[part].len() + read >= rows
            });
            if live.is_empty() || enough {
                return;
            }
            live.iter().for_each(|&i| self.read(i));
            if live.iter().all(|&i| self.heads[i].pending) {
                let due = |i: &usize| self.heads[*i].reader.as_ref()?.deadline();
                let next = live.iter().filter_map(due).min();
                let woken = self.mailbox.wait(Some(next.map_or(deadline, |next| next.min(deadline)))).woken;
                assert!(!woken.is_empty() || next.is_some(), "not woken");
                woken.into_iter().for_each(|token| self.heads[token].pending = false);
                for head in self.heads.iter_mut() {
                    let due = head.reader.as_ref().and_then(|reader| reader.deadline());
                    head.pending &= due.is_none_or(|due| due > Instant::now());
                }
            }
        }
    }

    /// Follows a script to its end, then reads all there is and takes a last checkpoint.
    pub(super) fn play(&mut self, script: &[u8], make: &dyn Fn() -> Vec<Arc<dyn Source>>) {
        let mut left = script.iter().copied();
        while let Some(act) = left.next() {
            let mut choose = || usize::from(left.next().unwrap_or(0));
            match act % 8 {
                0 => {
                    let sources = (choose() % 2 == 0).then(make);
                    self.restart(sources, choose() % 3 + 1);
                }
                1 | 2 => self.checkpoint(choose),
                _ => self.read(usize::from(act) / 8),
            }
        }
        self.read_until(usize::MAX);
        self.checkpoint(|| 0);
    }

    /// What part 0 has committed, in order.
    pub(super) fn sorted(&self, part: usize) -> Vec<String> {
        let mut rows = self.committed[part].clone();
        rows.sort();
        rows
    }
}
