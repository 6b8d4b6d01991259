//! Reading: splits in a queue that the tasks share.
//!
//! Without `source.monitor-interval` the files are listed once, when the query is planned. With it, the
//! runtime looks at the path every interval and puts what is new into the queue; tasks are woken, none of
//! them polls.
//!
//! For watermarks a file is a split: its pieces come out in order, so that event time runs on from one to the
//! next. While files are in the queue that nobody has begun, nothing is known of the times in them, and readers
//! of other files say so.
//!
//! # Checkpoints
//! A reader reports the positions of the splits that it finished or began since its last cut ([`super::position`]). A
//! followed file goes from reader to reader. What a reader that has passed a barrier read of it belongs to the next
//! checkpoint, so one that has not passed it leaves the file in the queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::files::{Compression, Empty, FileInfo, Growth, Location, QUIET_TRIES};
use super::followed::Following;
use super::input::Split;
use super::layout::{Layout, Reached};
use super::position::{self, Position};
use super::reader::{self, Next, SplitReader};
use crate::connector::{Positions, Read, Reader, ReaderContext, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::{self, Waker};

/// Files are cut into pieces of this size.
pub(super) const SPLIT_SIZE: u64 = 16 << 20;

/// Positions are restored from several looks, if need be, with a pause between them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// A file that was renamed is looked for so often before it counts as removed.
const RENAMED_TRIES: usize = 5;

#[derive(Default)]
struct State {
    queue: VecDeque<Split>,
    following: Following,
    wakers: Vec<Waker>,
    failure: Option<Error>,
    watcher: Option<tokio::task::AbortHandle>,
    /// Readers there are to be, and those that have read all they will.
    readers: usize,
    left: HashSet<usize>,
    /// Some file was begun.
    begun: bool,
}

/// One run over the files.
struct Scan {
    layout: Arc<Layout>,
    location: Location,
    monitor: Option<Duration>,
    state: Mutex<State>,
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(watcher) = self.state.get_mut().watcher.take() {
            watcher.abort();
        }
    }
}

/// A planned scan of files.
pub(super) struct FilesystemSource {
    /// The present run.
    scan: Mutex<Arc<Scan>>,
    split_size: u64,
    splits: usize,
    files: usize,
    bytes: u64,
}

/// Whether a file can be read in pieces.
fn cuts(layout: &Layout, file: &FileInfo) -> bool {
    match file.growth {
        Growth::Packed => false,
        Growth::Footer => true,
        Growth::Whole if layout.format.is_of_files() => true,
        Growth::Whole if file.compression != Compression::None => false,
        Growth::Records | Growth::Whole => {
            layout.format.splittable() && (file.size <= SPLIT_SIZE || !layout.is_document(file))
        }
    }
}

impl FilesystemSource {
    /// Lists the files.
    pub(super) fn new(
        layout: Layout,
        location: Location,
        monitor: Option<Duration>,
        split_size: u64,
    ) -> Result<Self> {
        layout.check()?;
        let empty = if monitor.is_some() { Empty::Allowed } else { Empty::Refused };
        let files = match (location.list(empty), monitor) {
            // A log that is being rotated is away for a moment.
            (Err(_), Some(_)) => {
                std::thread::sleep(BETWEEN_LOOKS);
                location.list(empty)?
            }
            (files, _) => files?,
        };
        let files: Vec<_> = files.into_iter().map(Arc::new).collect();
        let mut state = State::default();
        for file in &files {
            if monitor.is_some() {
                state.following.add(file.clone(), &mut state.queue);
            } else {
                state.queue.extend(position::whole(file, split_size, &|f| cuts(&layout, f)));
            }
        }
        let splits = state.queue.len();
        let scan = Scan { layout: Arc::new(layout), location, monitor, state: Mutex::new(state) };
        Ok(Self {
            scan: Mutex::new(Arc::new(scan)),
            split_size,
            splits,
            files: files.len(),
            bytes: files.iter().map(|f| f.size).sum(),
        })
    }
}

impl Source for FilesystemSource {
    fn bounded(&self) -> bool {
        self.scan.lock().monitor.is_none()
    }

    fn max_parallelism(&self) -> usize {
        if self.changelog() != SourceChangelog::Append {
            // Changes of a key are to be seen in their order.
            return 1;
        }
        let scan = self.scan.lock();
        match scan.monitor {
            Some(_) if scan.location.is_single_file() => 1,
            Some(_) => usize::MAX,
            None => self.splits.max(1),
        }
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let scan = self.scan.lock().clone();
        let mut state = scan.state.lock();
        state.wakers.push(context.waker.clone());
        state.readers = state.readers.max(context.parallelism);
        if let Some(interval) = scan.monitor
            && state.watcher.is_none()
        {
            let task = context.runtime.spawn(watch(Arc::downgrade(&scan), interval));
            state.watcher = Some(task.abort_handle());
        }
        drop(state);
        // The totals of all readers are added up: the first one names the whole.
        let total = scan.monitor.is_none().then_some(if context.task == 0 { self.bytes } else { 0 });
        Ok(Box::new(FilesystemReader {
            scan,
            task: context.task,
            tasks: context.parallelism,
            waker: context.waker,
            runtime: context.runtime,
            current: None,
            consumed: 0,
            total,
            skipped: 0,
            split: None,
            finished: Vec::new(),
            told: None,
            passed: 0,
            held: false,
        }))
    }

    fn changelog(&self) -> SourceChangelog {
        self.scan.lock().layout.format.source_changelog()
    }

    fn describe(&self) -> String {
        let scan = self.scan.lock();
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "path={}, format={}, {}",
            scan.location.text(),
            scan.layout.format.name(),
            plural(self.files, "file"),
        );
        match scan.monitor {
            Some(interval) => text.push_str(&format!(", monitored every {interval:?}")),
            None => text.push_str(&format!(", {}", plural(self.splits, "split"))),
        }
        text
    }

    fn replays(&self) -> bool {
        true
    }

    fn moved(&self, positions: Positions, from: &[&str]) -> Result<Positions> {
        let to = self.scan.lock().location.text().to_string();
        position::moved(positions, from, &to)
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let mut scan = self.scan.lock();
        let (layout, location, monitor) = (scan.layout.clone(), scan.location.clone(), scan.monitor);
        let positions = Position::all(positions)?;
        // What is followed may be away while a log is rotated.
        let empty = if monitor.is_some() { Empty::Gone } else { Empty::Refused };
        for look in 1..=QUIET_TRIES {
            let (files, positions) = (location.list(empty)?, positions.clone());
            let mut state = State::default();
            let located = if monitor.is_some() {
                state.following.restore(positions, files, look, &location, &mut state.queue)?
            } else {
                let files = files.into_iter().map(Arc::new).collect();
                let splits = position::remaining(files, positions, self.split_size, |f| cuts(&layout, f))?;
                let located = splits.is_some();
                state.queue.extend(splits.into_iter().flatten());
                located
            };
            if located {
                *scan = Arc::new(Scan { layout, location, monitor, state: Mutex::new(state) });
                return Ok(());
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Err(Error::io(format!(
            "'{}': files are renamed faster than they can be found again, so it is not known where to read on",
            location.text()
        )))
    }
}

async fn watch(scan: Weak<Scan>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(scan) = scan.upgrade() else { return };
        if tokio::task::spawn_blocking(move || scan.look()).await.is_err() {
            return;
        }
    }
}

/// What the queue has for a reader.
enum Taken {
    Split(Box<SplitReader>),
    /// Only files that others read after a barrier that it has not passed.
    Held,
    Nothing,
}

impl Scan {
    /// Looks for new and grown files.
    fn look(&self) {
        let look = self.state.lock().following.begin_look();
        let listed = self.location.look_again();
        let mut state = self.state.lock();
        let State { queue, following, failure, wakers, .. } = &mut *state;
        match listed {
            Ok(files) => following.compare(files, look, &self.location, queue),
            Err(e) => *failure = Some(e),
        }
        if failure.is_some() || !queue.is_empty() {
            wakers.iter().for_each(Waker::wake);
        }
    }

    /// The next split, opened, for a reader that has passed this barrier.
    fn take(
        &self,
        passed: u64,
        task: (usize, usize),
        waiting: (&tokio::runtime::Handle, &Waker),
    ) -> Result<Taken> {
        let is_own = |split: &Split| split.owner == Some(task);
        let is_others =
            |split: &Split| split.owner.is_some_and(|(_, tasks)| tasks == task.1) && !is_own(split);
        loop {
            let mut state = self.state.lock();
            let State { queue, following, failure, .. } = &mut *state;
            if let Some(failure) = failure {
                return Err(failure.clone());
            }
            let free = |split: &Split| match self.monitor {
                None => !is_others(split),
                Some(_) => following.is_free(&split.file, passed),
            };
            let Some(at) = queue.iter().position(is_own).or_else(|| queue.iter().position(free)) else {
                let held = self.monitor.is_some() && !queue.is_empty();
                return Ok(if held { Taken::Held } else { Taken::Nothing });
            };
            let Some(split) = queue.remove(at) else { return Ok(Taken::Nothing) };
            if self.monitor.is_none() {
                drop(state);
                match self.open(split, waiting)? {
                    Some(reader) => return Ok(Taken::Split(reader)),
                    None => continue,
                }
            }
            let (kept, read) = following.take(&split.file);
            if !std::mem::replace(&mut state.begun, true) {
                // Readers without a file do not hold event time back from now on.
                state.wakers.iter().for_each(Waker::wake);
            }
            drop(state);
            let records = split.file.growth == Growth::Records;
            if split.file.growth == Growth::Footer && !reader::is_complete(&split.file)? {
                self.state.lock().following.unfinished(&split.file);
                continue;
            }
            let reader = match records {
                true => SplitReader::follow(&self.layout, &split, kept),
                false => SplitReader::open_for(&self.layout, &split, waiting),
            };
            match reader {
                Ok(mut reader) if reader.is_listed() => {
                    if !records || reader.holds(read)? {
                        return Ok(Taken::Split(Box::new(reader)));
                    }
                    let mut state = self.state.lock();
                    let State { queue, following, .. } = &mut *state;
                    following.written_anew(&split.file, queue);
                }
                Ok(_) => self.state.lock().following.miss(&split.file),
                Err(e) if split.file.is_in_place() => return Err(e),
                Err(_) => self.state.lock().following.miss(&split.file),
            }
        }
    }

    /// Opens a file that is read once, also when it was renamed since it was listed. One that was removed before
    /// anything was read of it is not there: `None`.
    fn open(
        &self,
        mut split: Split,
        waiting: (&tokio::runtime::Handle, &Waker),
    ) -> Result<Option<Box<SplitReader>>> {
        for _ in 0..RENAMED_TRIES {
            match SplitReader::open_for(&self.layout, &split, waiting) {
                Ok(reader) if reader.is_listed() => return Ok(Some(Box::new(reader))),
                Err(e) if split.file.is_in_place() => return Err(e),
                _ => {}
            }
            let listed = self.location.look_again()?.into_iter();
            let lost = HashMap::from([(split.file.identity, split.file.path.clone())]);
            let found = listed.chain(self.location.relatives(&lost)).find(|f| f.key() == split.file.key());
            let Some(found) = found else { break };
            split.file = Arc::new(FileInfo {
                partition: split.file.partition.clone(),
                size: split.file.size,
                ..found
            });
        }
        let path = split.file.path.display();
        if self.location.is_single_file_path() || split.start > 0 || split.end.is_some() || split.skip > 0 {
            return Err(Error::io(format!(
                "file {path} was removed or replaced before it was read to its end"
            ))
            .with_hint("start the job again: it reads the files that are there then"));
        }
        log::warn!("file {path} was removed before it was read");
        Ok(None)
    }

    /// Whether there is more to be begun than the rest of a file.
    fn has_others(&self, file: &Arc<FileInfo>) -> bool {
        let other = |split: &Split| !Arc::ptr_eq(&split.file, file) && split.file.key() != file.key();
        self.state.lock().queue.iter().any(other)
    }
}

struct FilesystemReader {
    scan: Arc<Scan>,
    task: usize,
    tasks: usize,
    waker: Waker,
    runtime: tokio::runtime::Handle,
    current: Option<Box<SplitReader>>,
    consumed: u64,
    total: Option<u64>,
    skipped: u64,
    /// Where the rows come from; `None` before the first.
    split: Option<flow::Split>,
    /// Positions of the ranges that were read to their ends since the last cut.
    finished: Vec<(Arc<FileInfo>, Reached)>,
    /// What was reported of the present split.
    told: Option<Reached>,
    /// The last barrier.
    passed: u64,
    /// It waits for its next cut.
    held: bool,
}

impl FilesystemReader {
    /// A split is read no more, for now.
    fn put_back(&mut self, mut reader: SplitReader, ended: bool) -> Result<()> {
        self.consumed += reader.consumed();
        self.skipped += reader.skipped();
        self.told = None;
        let reached = reader.reached(ended)?;
        if self.scan.monitor.is_some() {
            let mut state = self.scan.state.lock();
            let State { queue, following, .. } = &mut *state;
            following.done(reader, reached, self.passed, queue);
        } else {
            self.finished.push((reader.split().file.clone(), reached));
        }
        Ok(())
    }

    /// Positions in the files that nobody else has.
    fn own_positions(&mut self) -> Result<Positions> {
        let mut positions = Positions::new();
        for (file, reached) in self.finished.drain(..) {
            let position = Position::new(&file, &reached).by(self.task, self.tasks);
            positions.insert(position::range_name(&file, reached.start), position.json()?);
        }
        let Some(reader) = &mut self.current else { return Ok(positions) };
        let reached = reader.reached(false)?;
        if self.told.as_ref() != Some(&reached) {
            let file = &reader.split().file;
            let name = match self.scan.monitor {
                Some(_) => position::followed_name(file),
                None => position::range_name(file, reached.start),
            };
            positions.insert(name, Position::new(file, &reached).by(self.task, self.tasks).json()?);
            self.told = Some(reached);
        }
        Ok(positions)
    }
}

impl Reader for FilesystemReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(mut reader) = self.current.take() {
                match reader.next()? {
                    Next::Rows(batch, kinds) => {
                        let file = &reader.split().file;
                        let others_pending = self.scan.has_others(file);
                        self.split = Some(flow::Split { id: file.key(), others_pending });
                        self.current = Some(reader);
                        return Ok(Read::rows(batch, kinds));
                    }
                    Next::Wait => {
                        self.current = Some(reader);
                        return Ok(Read::Pending);
                    }
                    Next::End => self.put_back(*reader, true)?,
                }
            }
            let waiting = (&self.runtime, &self.waker);
            match self.scan.take(self.passed, (self.task, self.tasks), waiting)? {
                Taken::Split(reader) => self.current = Some(reader),
                Taken::Held => {
                    self.held = true;
                    return Ok(Read::Pending);
                }
                Taken::Nothing if self.scan.monitor.is_some() => return Ok(Read::Pending),
                Taken::Nothing => return Ok(Read::End),
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.consumed + self.current.as_deref().map_or(0, SplitReader::consumed), self.total)
    }

    fn splits(&mut self) -> flow::Splits {
        match self.split {
            Some(split) => flow::Splits::One(split),
            None if self.scan.monitor.is_some() && self.scan.state.lock().begun => flow::Splits::None,
            None => flow::Splits::default(),
        }
    }

    fn skipped(&self) -> u64 {
        self.skipped + self.current.as_deref().map_or(0, SplitReader::skipped)
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        let mut positions = self.own_positions()?;
        let mut state = self.scan.state.lock();
        positions.extend(state.following.changed(epoch)?);
        self.passed = epoch;
        if std::mem::take(&mut self.held) {
            self.waker.wake();
        }
        Ok(Some(positions))
    }

    fn leave(&mut self) -> Result<Positions> {
        if let Some(reader) = self.current.take() {
            // A file that is followed is left to the others.
            self.put_back(*reader, false)?;
        }
        let mut positions = self.own_positions()?;
        let mut state = self.scan.state.lock();
        state.left.insert(self.task);
        if state.left.len() >= state.readers {
            // Whatever barrier they passed: nothing of this run follows.
            positions.extend(state.following.changed(u64::MAX)?);
        }
        Ok(positions)
    }
}
