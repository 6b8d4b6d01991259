//! One source for several who read it.
//!
//! ```text
//!              ┌─ queue of A ─> reader A
//!  source ──> ─┤                          whoever finds its queue empty reads, and gives the others theirs
//!              └─ queue of B ─> reader B
//! ```
//! Each task of the source has its own such group: reader A of task 2 and reader B of task 2 share what
//! task 2 reads. A reader that is far ahead waits for the others, so that what is read once is not kept long.
//! What a reader takes only to get to a barrier counts as if it waited here until it reads without one: its task
//! may have had no room for it, and would have more of it with each checkpoint.
//!
//! # Checkpoints
//! The first reader that is to be cut cuts the source where it is, and a mark goes into each queue; each
//! reader is at the barrier when it has returned what lies before its mark. All of them report the same
//! positions. One that leaves before the others reports nothing, because what they report holds for it too.
//!
//! After a restart the newest position of a split counts, so each is stored with the number of the checkpoint that it
//! was reported for: `{"@cut": 7, "@at": ...}`, around whatever the source has for a position. A source that is not
//! shared any more gets what is inside.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Positions, Read, Reader, ReaderContext, Source, SourceChangelog, unmarked};
use crate::error::{Error, Result};
use crate::flow::source::{AT, CUT};
use crate::flow::{Kinds, OpenSplits, Splits, Waker};

/// Rows that may wait for one reader before the others stop; few in tests, whose sources are small.
const AHEAD: usize = if cfg!(test) { 500 } else { 65_536 };

/// What a piece costs beside its rows.
const PIECE_COST: usize = 16;

fn cost(batch: &arrow::array::RecordBatch) -> usize {
    batch.num_rows() + PIECE_COST
}

/// Splits a source into sources that give the same rows each.
pub fn share(source: Arc<dyn Source>, readers: usize) -> Vec<Arc<dyn Source>> {
    let run = Arc::new(Mutex::new(Run::default()));
    let part = |index| -> Arc<dyn Source> {
        Arc::new(SharedSource { source: source.clone(), index, readers, run: run.clone() })
    };
    (0..readers).map(part).collect()
}

/// Checkpoints of earlier releases have the number among the fields of the position itself.
const FORMER_CUT: &str = "cut";

/// What the parts of a source share.
#[derive(Default)]
struct Run {
    /// The readers of each task, made by the first of them.
    groups: Vec<Option<Arc<Mutex<Group>>>>,
    /// Where they begin, and the parts that reported it.
    restored: Positions,
    told: HashSet<usize>,
    /// The newest cut that was said to be durable.
    committed: u64,
}

fn epoch_of(position: &Value) -> u64 {
    position.get(CUT).or_else(|| position.get(FORMER_CUT)).and_then(Value::as_u64).unwrap_or(0)
}

struct SharedSource {
    source: Arc<dyn Source>,
    index: usize,
    readers: usize,
    run: Arc<Mutex<Run>>,
}

/// The readers of one task.
struct Group {
    reader: Box<dyn Reader>,
    members: Vec<Member>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    ended: bool,
    failed: Option<Error>,
    /// The last epoch for which the source was cut.
    cut: u64,
}

enum Waiting {
    Rows(arrow::array::RecordBatch, Kinds, Splits),
    /// Splits have begun or ended, without rows.
    Splits(OpenSplits),
    /// The source was cut here.
    Mark(u64, Positions),
}

#[derive(Default)]
struct Member {
    waiting: VecDeque<Waiting>,
    /// What these cost.
    ahead: usize,
    /// What it has taken to get to a barrier, since it last read without one.
    owed: usize,
    /// The last mark that it was cut at.
    passed: u64,
    /// The mark that it is to be cut at.
    cutting: u64,
    /// Positions at marks that it passed without a cut, of checkpoints that were given up.
    changed: Positions,
    /// Wakes it, if it is at a mark.
    held: bool,
    /// It does not read any more.
    gone: bool,
}

impl Member {
    /// A barrier is on its way to it: its task reads even without room.
    fn is_urgent(&self) -> bool {
        self.cutting > self.passed
    }

    /// So much waits that others stop: those that hurry to a barrier, and all.
    fn is_behind(&self) -> (bool, bool) {
        (self.ahead >= AHEAD, self.ahead + self.owed >= AHEAD)
    }

    /// Leaves marks behind up to this one.
    fn pass_marks(&mut self, epoch: u64) {
        while let Some(Waiting::Mark(at, positions)) = self.waiting.front_mut()
            && *at <= epoch
        {
            self.passed = *at;
            self.changed.append(positions);
            self.waiting.pop_front();
        }
    }
}

struct SharedReader {
    group: Arc<Mutex<Group>>,
    waker: Waker,
    index: usize,
    splits: Splits,
    /// The source has nothing before.
    due: Option<Instant>,
    /// This one read, so this one reports.
    progress: (u64, Option<u64>),
    /// Another one has read the last rows.
    given: bool,
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

    fn replays(&self) -> bool {
        self.source.replays()
    }

    fn redelivers(&self) -> bool {
        self.source.redelivers()
    }

    fn moved(&self, positions: Positions, from: &[&str]) -> Result<Positions> {
        self.source.moved(positions, from)
    }

    /// Each part has the positions that its readers reported; those that left early reported older ones.
    fn resume(&self, positions: &Positions, runtime: &tokio::runtime::Handle) -> Result<()> {
        let mut run = self.run.lock();
        if !run.told.insert(self.index) || !run.groups.is_empty() {
            // Readers were made since: this is another run.
            *run = Run { told: [self.index].into(), ..Run::default() };
        }
        for (split, position) in positions {
            let known = run.restored.get(split).map(epoch_of);
            if known.is_none_or(|known| known < epoch_of(position)) {
                run.restored.insert(split.clone(), position.clone());
            }
        }
        self.source.resume(&run.restored, runtime)
    }

    /// All parts hear of each checkpoint; the first that is as new as can be speaks for the others.
    fn durable(&self, epoch: u64, stored: &Positions) -> Result<()> {
        let mut run = self.run.lock();
        let newest = stored.values().map(epoch_of).max().unwrap_or(0);
        if newest <= run.committed {
            return Ok(());
        }
        run.committed = newest;
        self.source.committed(epoch, &unmarked(stored))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let mut run = self.run.lock();
        let cut = run.restored.values().map(epoch_of).max().unwrap_or(0);
        let groups = &mut run.groups;
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
                let all = Waker::all(wakers.clone());
                let reader = self.source.reader(ReaderContext { waker: all, ..context })?;
                let group = Group { reader, members, wakers, ended: false, failed: None, cut };
                let group = Arc::new(Mutex::new(group));
                groups[task] = Some(group.clone());
                group
            }
        };
        group.lock().wakers.lock().push(waker.clone());
        Ok(Box::new(SharedReader {
            group,
            waker,
            index: self.index,
            splits: Splits::default(),
            due: None,
            progress: (0, None),
            given: false,
            skipped: 0,
        }))
    }
}

impl Group {
    /// Cuts the source where it stands, unless that was done; false when rows have to come before.
    fn cut(&mut self, epoch: u64) -> Result<bool> {
        if self.cut >= epoch {
            return Ok(true);
        }
        let Some(positions) = self.reader.cut(epoch)? else { return Ok(false) };
        self.cut = epoch;
        let positions = marked(positions, epoch);
        for member in self.members.iter_mut().filter(|m| !m.gone) {
            member.waiting.push_back(Waiting::Mark(epoch, positions.clone()));
        }
        Ok(true)
    }

    /// A member reads no more. The last one reports where the source is.
    fn leave(&mut self, index: usize) -> Result<Positions> {
        if self.members[index].gone {
            return Ok(Positions::new());
        }
        let left = Member { gone: true, ..Member::default() };
        let Member { waiting, mut changed, .. } = std::mem::replace(&mut self.members[index], left);
        self.wake_all();
        if !self.members.iter().all(|m| m.gone) {
            return Ok(Positions::new());
        }
        for waiting in waiting {
            if let Waiting::Mark(_, positions) = waiting {
                changed.extend(positions);
            }
        }
        let last = self.reader.leave()?;
        // No member of this group is asked for a later checkpoint.
        changed.extend(marked(last, self.cut + 1));
        Ok(changed)
    }

    fn wake_all(&self) {
        self.wakers.lock().iter().for_each(Waker::wake);
    }
}

/// Positions with the checkpoint that they were reported for. `null` stays what it is: the split is forgotten.
fn marked(mut positions: Positions, epoch: u64) -> Positions {
    for position in positions.values_mut().filter(|position| !position.is_null()) {
        *position = json!({ CUT: epoch, AT: position.take() });
    }
    positions
}

impl Group {
    /// Gives the other members what one has read.
    fn hand_out(&mut self, reader: usize, waiting: impl Fn() -> Waiting) {
        for (index, member) in self.members.iter_mut().enumerate() {
            if index != reader && !member.gone {
                let waiting = waiting();
                if let Waiting::Rows(batch, ..) = &waiting {
                    member.ahead += cost(batch);
                }
                member.waiting.push_back(waiting);
            }
        }
        self.wake_all();
    }
}

/// Adds splits of what is returned next to those that were not asked for yet.
fn note(known: &mut Splits, splits: Splits) {
    match (known, splits) {
        (Splits::Many(known), Splits::Many(changes)) => known.append(changes),
        (known, splits) => *known = splits,
    }
}

impl Reader for SharedReader {
    fn read(&mut self) -> Result<Read> {
        self.due = None;
        let mut group = self.group.lock();
        let group = &mut *group;
        let member = &mut group.members[self.index];
        // Marks of checkpoints that were given up do not hold it.
        member.pass_marks(member.cutting.saturating_sub(1));
        let (was_behind, urgent) = (member.is_behind(), member.is_urgent());
        if !urgent {
            // The task has room.
            member.owed = 0;
        }
        let mut changes = Vec::new();
        while let Some(Waiting::Splits(_)) = member.waiting.front() {
            if let Some(Waiting::Splits(splits)) = member.waiting.pop_front() {
                changes.push(Splits::Many(splits));
            }
        }
        member.held = matches!(member.waiting.front(), Some(Waiting::Mark(..)));
        let next = if member.held { None } else { member.waiting.pop_front() };
        if let Some(Waiting::Rows(batch, ..)) = &next {
            member.ahead -= cost(batch);
            member.owed += if urgent { cost(batch) } else { 0 };
        }
        let held = member.held;
        self.given = matches!(next, Some(Waiting::Rows(..)));
        // Woken when the slowest has caught up.
        if member.is_behind() != was_behind {
            group.wake_all();
        }
        if let Some(Waiting::Rows(batch, kinds, splits)) = next {
            changes.into_iter().chain([splits]).for_each(|splits| note(&mut self.splits, splits));
            return Ok(Read::rows(batch, kinds));
        }
        changes.into_iter().for_each(|splits| note(&mut self.splits, splits));
        if held {
            return Ok(Read::Pending);
        }
        if let Some(e) = &group.failed {
            return Err(e.clone());
        }
        if group.ended {
            return Ok(Read::End);
        }
        let behind = |(own, all): (bool, bool)| if urgent { own } else { all };
        if group.members.iter().any(|m| !m.gone && behind(m.is_behind())) {
            return Ok(Read::Pending);
        }
        let read = group.reader.read();
        self.progress = group.reader.progress();
        self.skipped = group.reader.skipped();
        let (batch, kinds) = match read {
            Ok(Read::Batch(batch)) => (batch, Kinds::Append),
            Ok(Read::Changes(batch, kinds)) => (batch, kinds),
            Ok(Read::Pending) => {
                self.due = group.reader.deadline();
                match group.reader.splits() {
                    Splits::Many(changes) => {
                        if !changes.is_empty() {
                            group.hand_out(self.index, || Waiting::Splits(changes.clone()));
                        }
                        note(&mut self.splits, Splits::Many(changes));
                    }
                    Splits::None => note(&mut self.splits, Splits::None),
                    Splits::One(_) => {}
                }
                return Ok(Read::Pending);
            }
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
        if urgent {
            group.members[self.index].owed += cost(&batch);
        }
        let splits = group.reader.splits();
        group.hand_out(self.index, || Waiting::Rows(batch.clone(), kinds.clone(), splits.clone()));
        note(&mut self.splits, splits);
        Ok(Read::rows(batch, kinds))
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.progress
    }

    fn splits(&mut self) -> Splits {
        match &mut self.splits {
            Splits::One(split) => Splits::One(*split),
            Splits::None => Splits::None,
            Splits::Many(changes) => {
                let pending = changes.pending;
                let rest = OpenSplits { pending, ..OpenSplits::default() };
                Splits::Many(std::mem::replace(changes, rest))
            }
        }
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn is_given(&self) -> bool {
        self.given
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        let mut group = self.group.lock();
        let group = &mut *group;
        if group.members[self.index].passed >= epoch {
            return Ok(Some(Positions::new()));
        }
        group.members[self.index].cutting = epoch;
        if !group.cut(epoch)? {
            return Ok(None);
        }
        let member = &mut group.members[self.index];
        if std::mem::take(&mut member.held) {
            self.waker.wake();
        }
        member.pass_marks(epoch);
        Ok((member.passed >= epoch).then(|| std::mem::take(&mut member.changed)))
    }

    fn leave(&mut self) -> Result<Positions> {
        self.group.lock().leave(self.index)
    }
}

impl Drop for SharedReader {
    fn drop(&mut self) {
        let mut group = self.group.lock();
        group.members[self.index] = Member { gone: true, ..Member::default() };
        group.wake_all();
    }
}

#[cfg(test)]
mod tests;
