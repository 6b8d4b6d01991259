//! Reading: splits in a queue that the tasks share, and files that are followed as they grow.
//!
//! Without `source.monitor-interval` the files are listed once, when the query is planned. With it, the
//! runtime looks at the path every interval and puts what is new into the queue; tasks are woken, none of
//! them polls. A file is followed as `tail -F` does: what is appended is read, a line counts when its
//! newline has come, a file that was replaced or cut short is read from its start, and one that was renamed
//! is not read again. Packed files are read once, when they have stopped growing.
//!
//! For watermarks a file is a split: its pieces come out in order, so that event time runs on from one to the
//! next. While files are in the queue that nobody has begun, nothing is known of the times in them, and readers
//! of other files say so.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::files::{Compression, FileInfo, Location};
use super::input::Split;
use super::layout::{Layout, SplitReader};
use crate::connector::{Read, Reader, ReaderContext, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::{self, Waker};
use crate::format::Decoder;

/// Files are cut into pieces of this size.
pub(super) const SPLIT_SIZE: u64 = 16 << 20;

/// A file that is followed.
struct Followed {
    file: Arc<FileInfo>,
    /// Where reading goes on.
    position: u64,
    /// How much of the file was looked at: `position`, and the line that had no end yet.
    seen: u64,
    /// The decoder that holds an unfinished record, for formats whose records are not lines.
    decoder: Option<Box<dyn Decoder>>,
    /// In the queue, or being read.
    busy: bool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Split>,
    followed: HashMap<PathBuf, Followed>,
    wakers: Vec<Waker>,
    failure: Option<Error>,
    watcher: Option<tokio::task::AbortHandle>,
}

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
    scan: Arc<Scan>,
    splits: usize,
    files: usize,
    bytes: u64,
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
        let files: Vec<_> = location.list(monitor.is_some())?.into_iter().map(Arc::new).collect();
        let mut state = State::default();
        for file in &files {
            if monitor.is_some() {
                state.add(file.clone());
            } else if file.compression == Compression::None && layout.format.splittable() {
                state.queue.extend(Split::cut(file, split_size));
            } else {
                state.queue.push_back(Split::whole(file.clone()));
            }
        }
        Ok(Self {
            splits: state.queue.len(),
            files: files.len(),
            bytes: files.iter().map(|f| f.size).sum(),
            scan: Arc::new(Scan { layout: Arc::new(layout), location, monitor, state: Mutex::new(state) }),
        })
    }
}

impl Source for FilesystemSource {
    fn bounded(&self) -> bool {
        self.scan.monitor.is_none()
    }

    fn max_parallelism(&self) -> usize {
        if self.changelog() != SourceChangelog::Append {
            // Changes of a key are to be seen in their order.
            return 1;
        }
        match self.scan.monitor {
            Some(_) if self.scan.location.is_single_file() => 1,
            Some(_) => usize::MAX,
            None => self.splits.max(1),
        }
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let mut state = self.scan.state.lock();
        state.wakers.push(context.waker);
        if let Some(interval) = self.scan.monitor
            && state.watcher.is_none()
        {
            let task = context.runtime.spawn(watch(Arc::downgrade(&self.scan), interval));
            state.watcher = Some(task.abort_handle());
        }
        // The totals of all readers are added up: the first one names the whole.
        let total = self.scan.monitor.is_none().then_some(if context.task == 0 { self.bytes } else { 0 });
        Ok(Box::new(FilesystemReader {
            scan: self.scan.clone(),
            current: None,
            consumed: 0,
            total,
            skipped: 0,
            split: flow::Split::default(),
        }))
    }

    fn changelog(&self) -> SourceChangelog {
        self.scan.layout.format.source_changelog()
    }

    fn describe(&self) -> String {
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "path={}, format={}, {}",
            self.scan.location.text(),
            self.scan.layout.format.name(),
            plural(self.files, "file"),
        );
        match self.scan.monitor {
            Some(interval) => text.push_str(&format!(", monitored every {interval:?}")),
            None => text.push_str(&format!(", {}", plural(self.splits, "split"))),
        }
        text
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

impl State {
    /// Follows a new file. A packed one is read when it has the same size at the next look: then whoever
    /// writes it has, as far as one can tell, come to its end.
    fn add(&mut self, file: Arc<FileInfo>) {
        let busy = file.compression == Compression::None;
        if busy {
            self.queue.push_back(Split::whole(file.clone()));
        }
        let followed = Followed { file: file.clone(), position: 0, seen: 0, decoder: None, busy };
        self.followed.insert(file.path.clone(), followed);
    }

    /// Compares what is followed with the files there are now.
    fn compare(&mut self, files: Vec<FileInfo>) {
        let listed: HashMap<_, _> = files.iter().map(|f| (f.path.clone(), f.identity)).collect();
        // Files that are not where they were: renamed (logs are rotated), replaced or removed.
        let mut displaced: HashMap<u64, Followed> = HashMap::new();
        let moved = |path: &PathBuf, f: &mut Followed| !f.busy && listed.get(path) != Some(&f.file.identity);
        for (_, followed) in self.followed.extract_if(moved) {
            match followed.file.identity {
                0 => followed.given_up("was removed"),
                identity => drop(displaced.insert(identity, followed)),
            }
        }
        let busy: HashSet<_> = self.followed.values().filter(|f| f.busy).map(|f| f.file.identity).collect();
        for file in files {
            let file = Arc::new(file);
            let Some(followed) = self.followed.get_mut(&file.path) else {
                let known = displaced.remove(&file.identity).filter(|k| file.size >= k.seen);
                match known {
                    Some(known) => drop(self.followed.insert(file.path.clone(), known)),
                    // It is being read under its old name: next time.
                    None if file.identity != 0 && busy.contains(&file.identity) => continue,
                    None => {
                        self.add(file);
                        continue;
                    }
                }
                self.refresh(&file);
                continue;
            };
            if !followed.busy && file.size < followed.seen {
                followed.given_up("was cut short");
                (followed.position, followed.seen, followed.decoder) = (0, 0, None);
            }
            self.refresh(&file);
        }
        displaced.values().for_each(|f| f.given_up("was removed or replaced"));
    }

    /// Puts what a file has grown by into the queue.
    fn refresh(&mut self, file: &Arc<FileInfo>) {
        let Some(followed) = self.followed.get_mut(&file.path).filter(|f| !f.busy) else { return };
        let before = std::mem::replace(&mut followed.file, file.clone());
        let ready = match file.compression {
            Compression::None => file.size > followed.seen,
            Compression::Gzip => followed.seen == 0 && file.size > 0 && file.size == before.size,
        };
        if ready {
            followed.busy = true;
            let start = followed.position;
            self.queue.push_back(Split { file: file.clone(), start, end: None, aligned: true });
        }
    }
}

impl Followed {
    /// Says so when the end of a file is lost.
    fn given_up(&self, what: &str) {
        let unfinished = self.seen.saturating_sub(self.position);
        if unfinished > 0 && self.file.compression == Compression::None {
            log::warn!(
                "file {} {what}: its last {unfinished} bytes had no newline and were not read",
                self.file.path.display()
            );
        }
    }
}

impl Scan {
    /// Looks for new and grown files.
    fn look(&self) {
        let listed = self.location.list(true);
        let mut state = self.state.lock();
        match listed {
            Ok(files) => state.compare(files),
            Err(e) => state.failure = Some(e),
        }
        if state.failure.is_some() || !state.queue.is_empty() {
            state.wakers.iter().for_each(Waker::wake);
        }
    }

    /// The next split, opened.
    fn take(&self) -> Result<Option<SplitReader>> {
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let Some(split) = state.queue.pop_front() else { return Ok(None) };
        if self.monitor.is_none() || split.file.compression != Compression::None {
            drop(state);
            return SplitReader::open(&self.layout, &split).map(Some);
        }
        let kept = state.followed.get_mut(&split.file.path).and_then(|f| f.decoder.take());
        drop(state);
        match SplitReader::follow(&self.layout, &split, kept) {
            Ok(reader) => Ok(Some(reader)),
            Err(e) if split.file.path.exists() => Err(e),
            // Removed since it was listed.
            Err(_) => {
                self.state.lock().followed.remove(&split.file.path);
                self.take()
            }
        }
    }

    /// Whether there is more to be begun than the rest of a file.
    fn has_others(&self, file: &Arc<FileInfo>) -> bool {
        let other = |split: &Split| !Arc::ptr_eq(&split.file, file) && split.file.path != file.path;
        self.state.lock().queue.iter().any(other)
    }

    /// A split was read; a followed file waits for more.
    fn done(&self, reader: SplitReader) {
        if self.monitor.is_none() {
            return;
        }
        let FileInfo { path, compression: packed, size, .. } = reader.split().file.as_ref().clone();
        let (position, seen, decoder) = reader.park();
        if let Some(followed) = self.state.lock().followed.get_mut(&path) {
            followed.busy = false;
            (followed.position, followed.seen, followed.decoder) =
                if packed == Compression::None { (position, seen, decoder) } else { (0, size, None) };
        }
    }
}

/// Tells files apart.
fn file_id(file: &FileInfo) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    file.path.hash(&mut hasher);
    hasher.finish()
}

struct FilesystemReader {
    scan: Arc<Scan>,
    current: Option<SplitReader>,
    consumed: u64,
    total: Option<u64>,
    skipped: u64,
    split: flow::Split,
}

impl Reader for FilesystemReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(mut reader) = self.current.take() {
                if let Some((batch, kinds)) = reader.next()? {
                    let file = &reader.split().file;
                    self.split =
                        flow::Split { id: file_id(file), others_pending: self.scan.has_others(file) };
                    self.current = Some(reader);
                    return Ok(Read::rows(batch, kinds));
                }
                self.consumed += reader.consumed();
                self.skipped += reader.skipped();
                self.scan.done(reader);
            }
            match self.scan.take()? {
                Some(reader) => self.current = Some(reader),
                None if self.scan.monitor.is_some() => return Ok(Read::Pending),
                None => return Ok(Read::End),
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.consumed + self.current.as_ref().map_or(0, SplitReader::consumed), self.total)
    }

    fn split(&self) -> flow::Split {
        self.split
    }

    fn skipped(&self) -> u64 {
        self.skipped + self.current.as_ref().map_or(0, SplitReader::skipped)
    }
}
