//! One source for several who read it.
//!
//! ```text
//!              ┌─ queue of A ─> reader A
//!  source ──> ─┤                          whoever finds its queue empty reads, and gives the others theirs
//!              └─ queue of B ─> reader B
//! ```
//! Each task of the source has its own such group: reader A of task 2 and reader B of task 2 share what
//! task 2 reads. A reader that is far ahead waits for the others, so that what is read once is not kept long.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Read, Reader, ReaderContext, Source, SourceChangelog, Split};
use crate::error::{Error, Result};
use crate::flow::{Kinds, Waker};

/// Pieces that may wait for one reader before the others stop.
const AHEAD: usize = 32;

/// Splits a source into sources that give the same rows each.
pub fn share(source: Arc<dyn Source>, readers: usize) -> Vec<Arc<dyn Source>> {
    let groups = Groups::default();
    let part = |index| -> Arc<dyn Source> {
        Arc::new(SharedSource { source: source.clone(), index, readers, groups: groups.clone() })
    };
    (0..readers).map(part).collect()
}

/// The readers of each task.
type Groups = Arc<Mutex<Vec<Option<Arc<Mutex<Group>>>>>>;

struct SharedSource {
    source: Arc<dyn Source>,
    index: usize,
    readers: usize,
    /// One a task, made by the first reader of the task.
    groups: Groups,
}

/// The readers of one task.
struct Group {
    reader: Box<dyn Reader>,
    members: Vec<Member>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    ended: bool,
    failed: Option<Error>,
}

#[derive(Default)]
struct Member {
    waiting: VecDeque<(arrow::array::RecordBatch, Kinds, Split)>,
    /// It does not read any more.
    gone: bool,
}

struct SharedReader {
    group: Arc<Mutex<Group>>,
    index: usize,
    split: Split,
    /// This one read, so this one reports.
    progress: (u64, Option<u64>),
    skipped: u64,
}

impl Source for SharedSource {
    fn bounded(&self) -> bool {
        self.source.bounded()
    }

    fn max_parallelism(&self) -> usize {
        self.source.max_parallelism()
    }

    fn changelog(&self) -> SourceChangelog {
        self.source.changelog()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let mut groups = self.groups.lock();
        let (task, waker) = (context.task, context.waker.clone());
        if groups.len() <= task {
            groups.resize_with(task + 1, || None);
        }
        let group = match &groups[task] {
            Some(group) => group.clone(),
            None => {
                let mut members = Vec::new();
                members.resize_with(self.readers, Member::default);
                let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
                let waker = Waker::all(wakers.clone());
                let reader = self.source.reader(ReaderContext { waker, ..context })?;
                let group = Group { reader, members, wakers, ended: false, failed: None };
                let group = Arc::new(Mutex::new(group));
                groups[task] = Some(group.clone());
                group
            }
        };
        group.lock().wakers.lock().push(waker);
        Ok(Box::new(SharedReader {
            group,
            index: self.index,
            split: Split::default(),
            progress: (0, None),
            skipped: 0,
        }))
    }
}

impl Group {
    fn wake_all(&self) {
        self.wakers.lock().iter().for_each(Waker::wake);
    }
}

impl Reader for SharedReader {
    fn read(&mut self) -> Result<Read> {
        let mut group = self.group.lock();
        let group = &mut *group;
        if let Some((batch, kinds, split)) = group.members[self.index].waiting.pop_front() {
            self.split = split;
            if group.members[self.index].waiting.len() + 1 == AHEAD {
                group.wake_all();
            }
            return Ok(Read::rows(batch, kinds));
        }
        if let Some(e) = &group.failed {
            return Err(e.clone());
        }
        if group.ended {
            return Ok(Read::End);
        }
        // Woken when the slowest has caught up.
        if group.members.iter().any(|m| !m.gone && m.waiting.len() >= AHEAD) {
            return Ok(Read::Pending);
        }
        let read = group.reader.read();
        self.progress = group.reader.progress();
        self.skipped = group.reader.skipped();
        let (batch, kinds) = match read {
            Ok(Read::Batch(batch)) => (batch, Kinds::Append),
            Ok(Read::Changes(batch, kinds)) => (batch, kinds),
            Ok(Read::Pending) => return Ok(Read::Pending),
            Ok(Read::End) => {
                group.ended = true;
                group.wake_all();
                return Ok(Read::End);
            }
            Err(e) => {
                group.failed = Some(e.clone());
                group.wake_all();
                return Err(e);
            }
        };
        self.split = group.reader.split();
        for (index, member) in group.members.iter_mut().enumerate() {
            if index != self.index && !member.gone {
                member.waiting.push_back((batch.clone(), kinds.clone(), self.split));
            }
        }
        group.wake_all();
        Ok(Read::rows(batch, kinds))
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.progress
    }

    fn split(&self) -> Split {
        self.split
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Drop for SharedReader {
    fn drop(&mut self) {
        let mut group = self.group.lock();
        group.members[self.index] = Member { gone: true, ..Member::default() };
        group.wake_all();
    }
}
