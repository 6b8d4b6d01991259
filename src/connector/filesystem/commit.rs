//! Results that become visible: with checkpoints, or at the end of a job without them.
//!
//! ```text
//!  write ──> .part-a-0-3-<sink>.inprogress ── barrier 7: fsync ──> checkpoint 7: { name, length }
//!                     │                                               │
//!                     └─ closed ── barrier 8: fsync ──> checkpoint 8 ─┴─ durable: rename ──> part-a-0-3
//! ```
//! What a writer returns for a checkpoint is all of its parts that are not visible: those that are written to, with
//! the length they had at the barrier, and those that are closed. When the checkpoint is durable, closed
//! parts get their names; a part whose hidden file is gone has it already, so that this can be done again.
//!
//! Coming back, parts that were written to are cut to the length of the checkpoint and closed. Hidden files carry the
//! identity of the sink, which is in the checkpoints, and the number of the attempt, which is new every time: what
//! an attempt wrote after its last checkpoint is found and deleted, and two jobs that come back from one savepoint
//! never write to one file.
//!
//! A bounded job shows its files when all of its writers have finished. One that never ends shows those that are
//! closed: by size, by age, or because the job stops.
//!
//! Without checkpoints, a writer of an endless job shows its closed parts as soon as they are synced. What the others
//! have left when they end is in [`Attempt::finished`], and shown when all have.
//!
//! # One file for all
//! The parts are added to its end. Before, a hidden record says which parts, and how long the file was; afterwards
//! it says that this is done, and the parts go. A commit that finds a record that is not done compares what is
//! behind that length, and writes what is missing.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{data_files, unreadable};
use super::part::{APPENDING, Target, Unsynced, directory_of, failed, sync_directory};
use super::partition::{self, Completed, Pending, Policy};
use crate::error::{Error, Result};

/// A part that is not visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartState {
    /// The path below the table's directory that it is to have; of a part of one file, what it is known by.
    pub(super) name: String,
    /// Bytes that are safe.
    pub(super) length: u64,
    /// Those at its start that stand once in a file.
    pub(super) header: u64,
}

/// What a writer returns for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WriterState {
    /// Identity of the sink, through all attempts.
    pub(super) sink: String,
    pub(super) task: usize,
    /// How many writers there are.
    pub(super) writers: usize,
    /// It writes no more.
    pub(super) finished: bool,
    /// The input never ends by itself.
    pub(super) endless: bool,
    /// The result of a bounded job is visible.
    pub(super) shown: bool,
    pub(super) open: Vec<PartState>,
    pub(super) closed: Vec<PartState>,
    /// Partitions that are not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) partitions: Vec<Pending>,
    /// The writer's time, where partitions are completed by it; none while it is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<i64>,
}

impl WriterState {
    /// That of a sink which has written nothing that counts.
    pub(super) fn begun(sink: String) -> Self {
        let (open, closed, partitions) = (Vec::new(), Vec::new(), Vec::new());
        let (finished, endless, shown) = (false, false, false);
        Self { sink, task: 0, writers: 1, finished, endless, shown, open, closed, partitions, now: None }
    }

    /// The sinks whose parts a checkpoint holds: one, or none.
    pub(super) fn sinks(pending: &[Value]) -> Vec<String> {
        let mut sinks: Vec<String> = pending.iter().filter_map(|v| Some(Self::parse(v).ok()?.sink)).collect();
        sinks.dedup();
        sinks.truncate(1);
        sinks
    }

    fn all(pending: &[Value]) -> Result<Vec<Self>> {
        let mut states = pending.iter().map(Self::parse).collect::<Result<Vec<_>>>()?;
        states.sort_by_key(|s| s.task);
        match states.windows(2).find(|pair| pair[0].sink != pair[1].sink) {
            Some(_) => Err(Error::io("the checkpoint holds parts of two sinks for one table")),
            None => Ok(states),
        }
    }

    fn parse(value: &Value) -> Result<Self> {
        let refuse = || {
            Error::io("what the checkpoint holds of the sink is not from connector 'filesystem'")
                .with_detail(format!("it is {value}"))
                .with_hint(
                    "was the table changed to another connector? start the job without its checkpoints",
                )
        };
        let state: Self = serde_json::from_value(value.clone()).map_err(|_| refuse())?;
        let below = |part: &PartState| {
            let mut path = Path::new(&part.name).components();
            !part.name.is_empty() && path.all(|c| matches!(c, Component::Normal(_)))
        };
        let plain = state.sink.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if plain && state.open.iter().chain(&state.closed).all(below) { Ok(state) } else { Err(refuse()) }
    }
}

/// All writers of a bounded job have finished.
fn complete(states: &[WriterState]) -> bool {
    let tasks: BTreeSet<usize> = states.iter().map(|s| s.task).collect();
    states.first().is_some_and(|s| tasks.len() >= s.writers) && states.iter().all(|s| s.finished)
}

/// What is being added to a file.
#[derive(Debug, Serialize, Deserialize)]
struct Addition {
    /// The length of the file before.
    base: u64,
    /// Its last line had no end.
    newline: bool,
    parts: Vec<PartState>,
    /// All of them are in it.
    done: bool,
}

/// Bytes copied at once.
const PIECE: usize = if cfg!(test) { 5 } else { 256 << 10 };

/// Lets tests stop between any two steps, as a crash does.
#[derive(Debug)]
pub(super) struct Fuse(AtomicUsize);

impl Default for Fuse {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Fuse {
    /// Burns after this many steps.
    #[cfg(test)]
    pub(super) fn set(&self, steps: usize) {
        self.0.store(steps, Ordering::Relaxed);
    }

    fn step(&self) -> Result<()> {
        if !cfg!(test) {
            return Ok(());
        }
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            if n == usize::MAX { Some(n) } else { n.checked_sub(1) }
        });
        left.map(drop).map_err(|_| Error::io("crashed"))
    }
}

/// One attempt of a job to write a table.
pub(super) struct Attempt {
    pub(super) sink: String,
    /// Tells its files from those of other attempts.
    pub(super) uuid: uuid::Uuid,
    /// Parts of a former attempt, for the first writer to return again.
    adopted: Mutex<Vec<PartState>>,
    /// Parts that became visible and that writers still return.
    shown: Mutex<HashSet<String>>,
    /// The result of a bounded job is visible.
    pub(super) all_shown: AtomicBool,
    /// Partitions of a former attempt that are not complete, for the first writer.
    adopted_partitions: Mutex<Vec<Pending>>,
    /// Partitions that were completed.
    pub(super) completed: Completed,
    /// What is written becomes visible with checkpoints.
    pub(super) checkpoints: bool,
    /// Without checkpoints: what writers that have ended have not shown, and what of it has to be synced.
    pub(super) finished: Mutex<Vec<(WriterState, Syncing)>>,
}

/// Files and directories that are not safe yet.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    pub(super) files: Vec<Unsynced>,
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Syncing {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    /// Makes them safe; this may take long.
    pub(super) fn sync(self) -> Result<()> {
        self.files.into_iter().try_for_each(Unsynced::sync)?;
        self.directories.iter().try_for_each(|directory| sync_directory(directory))
    }
}

/// Where and how results become visible.
pub(super) struct Committer<'a> {
    pub(super) target: &'a Target,
    pub(super) partitioned: bool,
    pub(super) overwrite: bool,
    pub(super) policy: Option<&'a Policy>,
    /// What a file without rows holds.
    pub(super) empty_file: Vec<u8>,
    /// The format is of files that nothing can be added to.
    pub(super) of_files: bool,
    pub(super) fuse: &'a Fuse,
}

impl Attempt {
    fn new(sink: String, checkpoints: bool) -> Self {
        Self {
            sink,
            uuid: uuid::Uuid::new_v4(),
            adopted: Mutex::default(),
            shown: Mutex::default(),
            all_shown: AtomicBool::new(false),
            adopted_partitions: Mutex::default(),
            completed: Completed::default(),
            checkpoints,
            finished: Mutex::default(),
        }
    }

    /// One of a job without checkpoints.
    pub(super) fn without_checkpoints() -> Self {
        Self::new(uuid::Uuid::new_v4().to_string(), false)
    }

    /// Parts for a writer to return again.
    pub(super) fn adopt(&self) -> Vec<PartState> {
        std::mem::take(&mut self.adopted.lock())
    }

    /// Partitions for a writer to go on watching.
    pub(super) fn adopt_partitions(&self) -> Vec<Pending> {
        std::mem::take(&mut self.adopted_partitions.lock())
    }

    /// Leaves out what is visible by now.
    pub(super) fn forget_shown(&self, parts: &mut Vec<PartState>) {
        let mut shown = self.shown.lock();
        if !shown.is_empty() {
            parts.retain(|part| !shown.remove(&part.name));
        }
    }
}

impl Committer<'_> {
    /// Begins an attempt after a checkpoint. `former`: the identity of the sink, if it is known.
    pub(super) fn recover(&self, pending: &[Value], former: Option<&str>) -> Result<Attempt> {
        let states = WriterState::all(pending)?;
        let sink = states.first().map(|s| s.sink.as_str()).or(former);
        let Some(sink) = sink else { return Ok(Attempt::new(uuid::Uuid::new_v4().to_string(), true)) };
        let attempt = Attempt::new(sink.to_string(), true);
        let mut kept = Vec::new();
        if states.iter().any(|s| s.endless) {
            let parts: Vec<_> = states.iter().flat_map(|s| s.closed.iter().chain(&s.open)).collect();
            for part in &parts {
                self.check(&attempt, part)?;
            }
            self.show(&attempt.sink, parts.into_iter().cloned().collect(), false)?;
            *attempt.adopted_partitions.lock() =
                states.iter().flat_map(|s| s.partitions.iter().cloned()).collect();
        } else if states.iter().any(|s| s.shown) {
            attempt.all_shown.store(true, Ordering::Relaxed);
        } else if complete(&states) {
            self.commit_all(&attempt, &states)?;
        } else {
            kept = states.iter().flat_map(|s| s.closed.iter().chain(&s.open)).cloned().collect();
            for part in &kept {
                self.cut(&attempt.sink, part)?;
            }
        }
        self.delete_leftovers(&attempt.sink, &kept)?;
        *attempt.adopted.lock() = kept;
        Ok(attempt)
    }

    /// Shows what a checkpoint holds.
    pub(super) fn commit(&self, attempt: &Attempt, pending: &[Value]) -> Result<()> {
        let states = WriterState::all(pending)?;
        if states.iter().any(|s| s.endless) {
            let mut parts: Vec<PartState> = states.iter().flat_map(|s| s.closed.clone()).collect();
            let shown = attempt.shown.lock().clone();
            parts.retain(|part| !shown.contains(&part.name));
            let names: Vec<String> = parts.iter().map(|p| p.name.clone()).collect();
            self.show(&attempt.sink, parts, false)?;
            attempt.shown.lock().extend(names);
            return self.complete_partitions(attempt, &states);
        }
        let shown = attempt.all_shown.load(Ordering::Relaxed) || states.iter().any(|s| s.shown);
        if shown || !complete(&states) { Ok(()) } else { self.commit_all(attempt, &states) }
    }

    /// Without checkpoints: shows what the writers have left, all of which have ended. What does not become visible
    /// stays known, for [`Committer::discard`].
    pub(super) fn commit_finished(&self, attempt: &Attempt) -> Result<()> {
        let mut finished = attempt.finished.lock();
        finished.iter_mut().try_for_each(|(_, syncing)| std::mem::take(syncing).sync())?;
        let mut states: Vec<WriterState> = finished.iter().map(|(state, _)| state.clone()).collect();
        states.sort_by_key(|state| state.task);
        self.commit_all(attempt, &states)?;
        finished.clear();
        Ok(())
    }

    /// Without checkpoints: deletes what the writers have left.
    pub(super) fn discard(&self, attempt: &Attempt) {
        for (state, _) in attempt.finished.lock().drain(..) {
            for part in &state.closed {
                // Nothing can be done about a hidden file that does not go away.
                let _ = fs::remove_file(self.hidden(&attempt.sink, part));
            }
        }
    }

    /// Shows the result of a bounded job.
    fn commit_all(&self, attempt: &Attempt, states: &[WriterState]) -> Result<()> {
        let parts: Vec<PartState> =
            states.iter().flat_map(|s| s.closed.iter().chain(&s.open)).cloned().collect();
        // A file that was asked for is there, even when no row came.
        if let Target::File(path) = self.target
            && parts.is_empty()
            && (self.overwrite || !path.exists())
        {
            write_whole(path, &self.empty_file)?;
        }
        let old = if self.overwrite { self.replaced(&parts)? } else { Vec::new() };
        self.show(&attempt.sink, parts, true)?;
        // Last, so that whatever happens no row is in neither.
        for path in old {
            self.fuse.step()?;
            fs::remove_file(&path).map_err(|e| failed("removed", &path, &e))?;
        }
        attempt.all_shown.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The files that an overwriting job replaces: of the whole table, or of the partitions that got rows.
    fn replaced(&self, parts: &[PartState]) -> Result<Vec<PathBuf>> {
        let Target::Directory(root) = self.target else { return Ok(Vec::new()) };
        let own: HashSet<PathBuf> = parts.iter().map(|p| root.join(&p.name)).collect();
        let directories: BTreeSet<PathBuf> = match self.partitioned {
            false => [root.clone()].into(),
            true => own.iter().filter_map(|p| p.parent()).map(Path::to_path_buf).collect(),
        };
        let mut old = Vec::new();
        for directory in directories {
            let files = data_files(&directory).map_err(|e| unreadable(&directory, &e))?;
            old.extend(files.into_iter().filter(|f| !own.contains(f)));
        }
        Ok(old)
    }

    /// The hidden file of a part.
    fn hidden(&self, sink: &str, part: &PartState) -> PathBuf {
        self.target.hidden(&part.name, sink)
    }

    /// Says so when more than the checkpoint knew may be visible of a part that was written to.
    fn check(&self, attempt: &Attempt, part: &PartState) -> Result<()> {
        if self.hidden(&attempt.sink, part).exists() {
            return Ok(());
        }
        let Target::Directory(root) = self.target else { return Ok(()) };
        let path = root.join(&part.name);
        match fs::metadata(&path) {
            Ok(now) if now.len() > part.length => log::warn!(
                "'{}' became visible after the checkpoint: rows from there on will be there twice",
                path.display()
            ),
            Ok(now) if now.len() < part.length => {
                log::warn!("'{}' is shorter than it was: rows of it are lost", path.display());
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => log::warn!(
                "'{}' is not there: it was taken away since the checkpoint, or it is lost",
                path.display()
            ),
            Err(e) => return Err(unreadable(&path, &e)),
        }
        Ok(())
    }

    /// Takes off what was written after the checkpoint.
    fn cut(&self, sink: &str, part: &PartState) -> Result<PathBuf> {
        let hidden = self.hidden(sink, part);
        let missing = |what: &str| {
            Error::io(format!(
                "'{}' {what}, the checkpoint knows {} bytes of it",
                hidden.display(),
                part.length
            ))
            .with_hint("rows would be lost: put the file back, or start the job without its checkpoints")
            .lasting()
        };
        let length = match fs::metadata(&hidden) {
            Ok(now) => now.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing("is gone")),
            Err(e) => return Err(unreadable(&hidden, &e)),
        };
        if length < part.length {
            return Err(missing(&format!("has {length} bytes")));
        }
        if length > part.length {
            self.fuse.step()?;
            let file = OpenOptions::new().write(true).open(&hidden);
            let cut = file.and_then(|f| f.set_len(part.length).and_then(|()| f.sync_all()));
            cut.map_err(|e| failed("cut", &hidden, &e))?;
        }
        Ok(hidden)
    }

    /// Tells which partitions of an endless job are complete.
    fn complete_partitions(&self, attempt: &Attempt, states: &[WriterState]) -> Result<()> {
        let (Some(policy), Target::Directory(root)) = (self.policy, self.target) else { return Ok(()) };
        let tasks: BTreeSet<usize> = states.iter().map(|s| s.task).collect();
        if policy.at_once() || states.first().is_some_and(|s| tasks.len() < s.writers) {
            return Ok(());
        }
        // Those that are idle or have finished hold nothing back.
        let now = states.iter().filter(|s| !s.finished).filter_map(|s| s.now).min();
        let now = now.unwrap_or(if states.iter().all(|s| s.finished) { i64::MAX } else { i64::MIN });
        let open = |partition: &str| {
            let within = |part: &PartState| Path::new(&part.name).parent() == Some(Path::new(partition));
            states.iter().flat_map(|s| &s.open).any(within)
        };
        for partition in partition::complete(states.iter().flat_map(|s| &s.partitions), now, open) {
            self.fuse.step()?;
            self.success(&root.join(&partition), policy)?;
            attempt.completed.note(&partition);
        }
        Ok(())
    }

    /// Says that a partition is complete.
    fn success(&self, directory: &Path, policy: &Policy) -> Result<()> {
        let path = directory.join(policy.success_file());
        let file = File::create(&path).and_then(|f| f.sync_all());
        file.map_err(|e| failed("written", &path, &e))?;
        sync_directory(directory)
    }

    /// Makes parts visible that are not yet, in this order. `all`: they are all there will be.
    pub(super) fn show(&self, sink: &str, parts: Vec<PartState>, all: bool) -> Result<()> {
        if let Target::File(path) = self.target {
            return self.show_in_file(sink, path, parts);
        }
        let Target::Directory(root) = self.target else { return Ok(()) };
        let mut directories = BTreeSet::new();
        for part in &parts {
            let path = root.join(&part.name);
            let directory = path.parent().unwrap_or(root).to_path_buf();
            if self.hidden(sink, part).exists() {
                let hidden = self.cut(sink, part)?;
                self.fuse.step()?;
                fs::rename(&hidden, &path).map_err(|e| failed("created", &path, &e))?;
                directories.insert(directory);
            } else if self.policy.is_some() && path.exists() {
                directories.insert(directory);
            }
        }
        for directory in directories {
            match self.policy.filter(|policy| all || policy.at_once()) {
                Some(policy) => {
                    self.fuse.step()?;
                    self.success(&directory, policy)?;
                }
                None => sync_directory(&directory)?,
            }
        }
        Ok(())
    }

    /// Adds parts to the end of a file.
    fn show_in_file(&self, sink: &str, path: &Path, parts: Vec<PartState>) -> Result<()> {
        let _one_at_a_time = APPENDING.lock();
        if self.of_files {
            return self.join_files(sink, path, &parts);
        }
        let record = self.target.hidden_beside(sink, "commit");
        self.finish_addition(sink, path, &record)?;
        let mut left = Vec::new();
        for (i, part) in parts.into_iter().enumerate() {
            if !self.hidden(sink, &part).exists() {
                continue;
            }
            let hidden = self.cut(sink, &part)?;
            let length = fs::metadata(path).map_or(0, |m| m.len());
            if left.is_empty() && (length == 0 || (self.overwrite && i == 0)) {
                self.fuse.step()?;
                fs::rename(&hidden, path).map_err(|e| failed("created", path, &e))?;
                sync_directory(&directory_of(path))?;
            } else {
                left.push(part);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let (base, newline) = end_of(path).map_err(|e| unreadable(path, &e))?;
        let addition = Addition { base, newline, parts: left, done: false };
        self.fuse.step()?;
        write_whole(&record, &json(&addition)?)?;
        self.finish_addition(sink, path, &record)
    }

    /// One file of all parts, and of the file that was there. It says itself which parts are in it, so that this can
    /// be done again.
    fn join_files(&self, sink: &str, path: &Path, parts: &[PartState]) -> Result<()> {
        let hidden: Vec<PathBuf> = parts.iter().map(|part| self.hidden(sink, part)).collect();
        if !hidden.iter().any(|h| h.exists()) {
            return Ok(());
        }
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let names = names.join(" ");
        let keeps = !self.overwrite && fs::metadata(path).is_ok_and(|m| m.len() > 0);
        if !super::join::holds(path, &names)? {
            for part in parts {
                self.cut(sink, part)?;
            }
            if let ([only], false) = (hidden.as_slice(), keeps) {
                self.fuse.step()?;
                fs::rename(only, path).map_err(|e| failed("created", path, &e))?;
                return sync_directory(&directory_of(path));
            }
            let former = keeps.then(|| path.to_path_buf());
            let files: Vec<PathBuf> = former.into_iter().chain(hidden.iter().cloned()).collect();
            let draft = self.target.hidden_beside(sink, "draft");
            self.fuse.step()?;
            super::join::join(&files, &names, &draft)?;
            self.fuse.step()?;
            fs::rename(&draft, path).map_err(|e| failed("created", path, &e))?;
            sync_directory(&directory_of(path))?;
        }
        for part in &hidden {
            self.fuse.step()?;
            remove_if_there(part)?;
        }
        Ok(())
    }

    /// Does what a record says, if there is one.
    fn finish_addition(&self, sink: &str, path: &Path, record: &Path) -> Result<()> {
        let text = match fs::read(record) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(unreadable(record, &e)),
        };
        let mut addition: Addition = serde_json::from_slice(&text)
            .map_err(|e| Error::io(format!("'{}' is damaged: {e}", record.display())))?;
        if !addition.done {
            self.add(sink, path, &addition)?;
            addition.done = true;
            self.fuse.step()?;
            write_whole(record, &json(&addition)?)?;
        }
        for part in &addition.parts {
            self.fuse.step()?;
            remove_if_there(&self.hidden(sink, part))?;
        }
        self.fuse.step()?;
        remove_if_there(record)?;
        sync_directory(&directory_of(path))
    }

    /// Writes what is missing after the length that the file had.
    fn add(&self, sink: &str, path: &Path, addition: &Addition) -> Result<()> {
        let wrong = |e: std::io::Error| failed("written", path, &e);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(wrong)?;
        let length = file.metadata().map_err(wrong)?.len();
        let changed = || {
            Error::io(format!("'{}' was changed while rows were added to it", path.display())).with_detail(
                format!("it had {} bytes before, has {length} now, and other rows after them", addition.base),
            )
        };
        let rows: u64 = addition.parts.iter().map(|p| p.length.saturating_sub(p.header)).sum();
        let whole = addition.base + u64::from(addition.newline) + rows;
        if length < addition.base {
            return Err(changed());
        }
        let mut content = self.content(sink, addition)?;
        file.seek(SeekFrom::Start(addition.base)).map_err(wrong)?;
        let there = length.min(whole) - addition.base;
        if !same(&mut content, &mut file, there).map_err(wrong)? {
            if length > whole {
                return Err(changed());
            }
            // What a machine that stopped has left of it.
            file.set_len(addition.base).map_err(wrong)?;
            file.seek(SeekFrom::Start(addition.base)).map_err(wrong)?;
            content = self.content(sink, addition)?;
        }
        let mut piece = vec![0; PIECE];
        loop {
            let n = content.read(&mut piece).map_err(wrong)?;
            if n == 0 {
                break;
            }
            self.fuse.step()?;
            file.write_all(&piece[..n]).map_err(wrong)?;
        }
        file.sync_all().map_err(wrong)
    }

    fn content(&self, sink: &str, addition: &Addition) -> Result<Box<dyn Read>> {
        let newline: &'static [u8] = if addition.newline { b"\n" } else { b"" };
        let mut content: Box<dyn Read> = Box::new(newline);
        for part in &addition.parts {
            let hidden = self.hidden(sink, part);
            let mut rows = File::open(&hidden).map_err(|e| unreadable(&hidden, &e))?;
            rows.seek(SeekFrom::Start(part.header)).map_err(|e| unreadable(&hidden, &e))?;
            content = Box::new(content.chain(rows.take(part.length.saturating_sub(part.header))));
        }
        Ok(content)
    }

    /// Deletes hidden files of this sink but these. Nobody reads them: one that cannot be removed stays, and that is said.
    fn delete_leftovers(&self, sink: &str, kept: &[PartState]) -> Result<()> {
        let mut stays: Option<(usize, Error)> = None;
        let kept: HashSet<PathBuf> = kept.iter().map(|p| self.hidden(sink, p)).collect();
        let ending = format!("-{sink}.inprogress");
        let (root, deep) = match self.target {
            Target::File(path) => (directory_of(path), false),
            Target::Directory(path) => (path.clone(), true),
        };
        let mut directories = vec![root];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|e| unreadable(&directory, &e))?,
            };
            for entry in entries {
                let entry = entry.map_err(|e| unreadable(&directory, &e))?;
                let (path, name) = (directory.join(entry.file_name()), entry.file_name());
                let name = name.to_string_lossy();
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    if deep && !name.starts_with('.') {
                        directories.push(path);
                    }
                } else if name.starts_with('.') && name.ends_with(&ending) && !kept.contains(&path) {
                    self.fuse.step()?;
                    if let Err(e) = remove_if_there(&path) {
                        let (count, first) = stays.take().unwrap_or((0, e));
                        stays = Some((count + 1, first));
                    }
                }
            }
        }
        if let Some((count, e)) = stays {
            log::warn!("hidden files that are not needed stay ({count}): {e}");
        }
        Ok(())
    }
}

fn json(addition: &Addition) -> Result<Vec<u8>> {
    serde_json::to_vec(addition).map_err(|e| Error::internal(format!("the record of an addition: {e}")))
}

/// A file with these bytes, or the one that was there.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = directory_of(path);
    fs::create_dir_all(&directory).map_err(|e| failed("created", &directory, &e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = directory.join(format!(".{name}.draft"));
    let written = File::create(&draft).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    let renamed = written.and_then(|()| fs::rename(&draft, path));
    if let Err(e) = renamed {
        // Nothing can be done about a draft that does not go away.
        let _ = fs::remove_file(&draft);
        return Err(failed("written", path, &e));
    }
    sync_directory(&directory)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("removed", path, &e)),
        _ => Ok(()),
    }
}

/// The length of a file, and whether its last line has no end.
fn end_of(path: &Path) -> std::io::Result<(u64, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok((0, false));
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok((length, last != [b'\n']))
}

/// Whether so many bytes of both are the same.
fn same(a: &mut impl Read, b: &mut impl Read, mut bytes: u64) -> std::io::Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    while bytes > 0 {
        let n = usize::try_from(bytes).map_or(PIECE, |n| n.min(PIECE));
        a.read_exact(&mut left[..n])?;
        b.read_exact(&mut right[..n])?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
        bytes -= n as u64;
    }
    Ok(true)
}
