//! Writers of one table: rows to bytes, bytes to parts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use arrow::array::UInt32Array;
use parking_lot::Mutex;
use serde_json::Value;

use super::commit::{Attempt, PartState, Syncing, WriterState};
use super::part::{Part, Target, directory_of};
use super::partition::Watched;
use super::shared::Shared;
use crate::connector::{Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::{Encoder, FileEncoder};

/// A writer hands bytes to its part when it has this many.
const BUFFER: usize = 1 << 20;
/// A writer with more parts than this keeps their files closed between writes.
const OPEN_FILES: usize = 64;

/// What encoders of files hold altogether; the ones that hold most write it before.
const HELD: usize = 256 << 20;

/// A part of a writer, and the bytes that are not in it yet.
#[derive(Default)]
struct Open {
    part: Option<OwnPart>,
    buffer: Vec<u8>,
    /// The encoder of the part, of formats of files.
    file: Option<Box<dyn FileEncoder>>,
}

/// How rows become bytes.
enum Encoding {
    Stream(Box<dyn Encoder>),
    /// Each part has an encoder of its own, and is closed at every barrier.
    Files,
}

struct OwnPart {
    part: Part,
    name: String,
    /// A checkpoint may hold it.
    told: bool,
}

impl OwnPart {
    fn state(&self) -> PartState {
        PartState { name: self.name.clone(), length: self.part.written(), header: self.part.header() }
    }
}

/// Work that may take long. It runs on a thread that may wait, and wakes the task at its end.
struct Work(Arc<Mutex<Option<Result<()>>>>);

impl Work {
    /// `rows_depend`: without a writer that learns of a failure, it is logged.
    fn begin(
        context: &WriterContext,
        rows_depend: bool,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Self {
        let result = Arc::new(Mutex::new(None));
        let (done, waker) = (result.clone(), context.waker.clone());
        context.runtime.spawn_blocking(move || {
            let ended = catch_unwind(AssertUnwindSafe(work));
            let ended = ended.unwrap_or_else(|_| Err(Error::internal("a thread of a writer panicked")));
            if let (Err(e), 1, true) = (&ended, Arc::strong_count(&done), rows_depend) {
                log::warn!("{}", e.message());
            }
            *done.lock() = Some(ended);
            waker.wake();
        });
        Self(result)
    }

    /// Ready: it has ended. A failure is returned once.
    fn poll(&self) -> Result<Poll<()>> {
        match &mut *self.0.lock() {
            None => Ok(Poll::Pending),
            Some(ended) => std::mem::replace(ended, Ok(())).map(Poll::Ready),
        }
    }
}

/// The part of a checkpoint that waits for files to be synced.
struct Cut {
    epoch: u64,
    values: Vec<Value>,
    /// That of former checkpoints, too, which may have been given up.
    works: Vec<Work>,
}

pub(super) struct FilesystemWriter {
    shared: Arc<Shared>,
    context: WriterContext,
    attempt: Arc<Attempt>,
    encoding: Encoding,
    /// By directory of the partition.
    open: HashMap<String, Open>,
    /// Bytes of memory that encoders of files hold.
    held: usize,
    /// Parts that it has begun.
    begun: u64,
    /// Closed since the last barrier, or since parts were last shown.
    closing: Vec<OwnPart>,
    /// Closed, and not known to be visible.
    closed: Vec<PartState>,
    /// Directories that got names and are not synced.
    directories: BTreeSet<PathBuf>,
    finished: bool,
    /// When it looked at the age of the parts.
    looked: Instant,
    /// A checkpoint that is not ready.
    cut: Option<Cut>,
    /// Without checkpoints: parts are being shown.
    showing: Option<Work>,
    /// Partitions that are not complete.
    watched: Watched,
    /// The last watermark, and whether the input is idle.
    watermark: i64,
    idle: bool,
}

impl FilesystemWriter {
    pub(super) fn new(shared: Arc<Shared>, context: WriterContext, attempt: Arc<Attempt>) -> Result<Self> {
        let encoding = match shared.format.is_of_files() {
            true => Encoding::Files,
            false => Encoding::Stream(shared.format.encoder(&shared.schema)?),
        };
        let mut watched = Watched::default();
        watched.adopt(attempt.adopt_partitions());
        Ok(Self {
            watched,
            watermark: i64::MIN,
            idle: false,
            encoding,
            open: HashMap::new(),
            held: 0,
            begun: 0,
            closing: Vec::new(),
            closed: attempt.adopt(),
            directories: BTreeSet::new(),
            finished: false,
            looked: Instant::now(),
            cut: None,
            showing: None,
            shared,
            context,
            attempt,
        })
    }

    /// The policy of an endless job that waits with the completion of partitions.
    fn waits(&self) -> bool {
        let policy = self.shared.policy.as_ref();
        self.shared.unbounded && policy.is_some_and(|policy| !policy.at_once())
    }

    /// The watermark says nothing: the input is idle.
    fn is_silent(&self) -> bool {
        self.idle && self.shared.policy.as_ref().is_some_and(|policy| policy.by_watermark())
    }

    /// The time by which partitions are complete.
    fn now(&self) -> i64 {
        match &self.shared.policy {
            Some(policy) if policy.by_watermark() => self.watermark,
            _ => self.context.clock.now_millis(),
        }
    }

    /// Rows of a partition came.
    fn note(&mut self, partition: &str) -> Result<()> {
        if !self.waits() {
            return Ok(());
        }
        let (now, shared) = (self.now(), self.shared.clone());
        let Some(policy) = &shared.policy else { return Ok(()) };
        self.watched.note(policy, partition, now).map_err(|e| shared.failed(e))
    }

    fn create(&mut self, partition: &str) -> Result<OwnPart> {
        let (n, task) = (self.begun, self.context.task);
        self.begun += 1;
        let Attempt { sink, uuid, .. } = self.attempt.as_ref();
        let (name, target, root) = match &self.shared.target {
            Target::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                (format!("{name}-{uuid}-{task}-{n}"), path.clone(), directory_of(path))
            }
            Target::Directory(root) => {
                let name = format!("part-{uuid}-{task}-{n}{}", self.shared.suffix());
                let name = if partition.is_empty() { name } else { format!("{partition}/{name}") };
                (name.clone(), root.join(name), root.clone())
            }
        };
        let hidden = self.shared.target.hidden(&name, sink);
        let mut directory = directory_of(&hidden);
        let part = Part::create(target, hidden, &self.shared.header()?);
        let part = part.map_err(|e| self.shared.failed(e))?;
        // Up to the one that holds the table.
        while self.directories.insert(directory.clone()) && directory.starts_with(&root) {
            directory = directory_of(&directory);
        }
        Ok(OwnPart { part, name, told: false })
    }

    /// Appends the buffer of a partition to its part, or to a new one where it has none that is open.
    fn append(&mut self, partition: &str, release: bool) -> Result<()> {
        let Some(open) = self.open.get_mut(partition).filter(|open| !open.buffer.is_empty()) else {
            return Ok(());
        };
        let (part, mut buffer) = (open.part.take(), std::mem::take(&mut open.buffer));
        let mut own = match part {
            Some(own) => own,
            None => self.create(partition)?,
        };
        let written = own.part.write(&buffer).map_err(|e| self.shared.failed(e));
        buffer.clear();
        if release {
            own.part.release();
        }
        // A bounded job's single file is one file, however large. A file that has an end is rolled when it has it.
        let rolls = self.shared.unbounded || matches!(self.shared.target, Target::Directory(_));
        let rolls = rolls && matches!(self.encoding, Encoding::Stream(_));
        if rolls && own.part.written() >= self.shared.roll_size {
            own.part.release();
            self.closing.push(own);
        } else if let Some(open) = self.open.get_mut(partition) {
            open.part = Some(own);
        }
        if let Some(open) = self.open.get_mut(partition) {
            open.buffer = buffer;
        }
        written
    }

    fn encode(&mut self, partition: &str, chunk: &Chunk) -> Result<()> {
        self.note(partition)?;
        let release = self.open.len() > OPEN_FILES;
        let rows = chunk.with_batch(chunk.batch.project(&self.shared.columns)?);
        if matches!(self.encoding, Encoding::Files) {
            return self.encode_file(partition, &rows, release);
        }
        let open = match self.open.get_mut(partition) {
            Some(open) => open,
            None => self.open.entry(partition.to_string()).or_default(),
        };
        if let Encoding::Stream(encoder) = &mut self.encoding {
            encoder.encode(&rows, &mut open.buffer)?;
        }
        if open.buffer.len() < BUFFER { Ok(()) } else { self.append(partition, release) }
    }

    /// Into the file of a partition, which is begun when it has none.
    fn encode_file(&mut self, partition: &str, rows: &Chunk, release: bool) -> Result<()> {
        if self.open.get(partition).is_none_or(|open| open.file.is_none()) {
            let file = self.shared.file_encoder()?;
            let mut part = self.create(partition)?;
            if release {
                part.part.release();
            }
            let open = Open { part: Some(part), file, ..Open::default() };
            self.open.insert(partition.to_string(), open);
        }
        let Some(Open { part: Some(part), file: Some(file), buffer }) = self.open.get_mut(partition) else {
            return Err(Error::internal("a partition has no file"));
        };
        let before = file.held();
        file.encode(rows, buffer)?;
        let (after, written) = (file.held(), part.part.written() + buffer.len() as u64);
        self.held = (self.held + after).saturating_sub(before);
        if written + after as u64 >= self.shared.roll_size {
            self.end_file(partition)?;
            self.close(|part, _| part == partition);
        } else if self.open.get(partition).is_some_and(|open| open.buffer.len() >= BUFFER) {
            self.append(partition, release)?;
        }
        if self.held > HELD {
            self.hold_less()?;
        }
        Ok(())
    }

    /// Encoders write what they hold, those that hold most first.
    fn hold_less(&mut self) -> Result<()> {
        let held = |open: &Open| open.file.as_ref().map_or(0, |file| file.held());
        let mut all: Vec<_> = self.open.iter().map(|(name, open)| (held(open), name.clone())).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (held, partition) in all {
            if self.held <= HELD / 2 {
                break;
            }
            if let Some(Open { file: Some(file), buffer, .. }) = self.open.get_mut(&partition) {
                file.hold_less(buffer)?;
                self.held = (self.held + file.held()).saturating_sub(held);
            }
            self.append(&partition, self.open.len() > OPEN_FILES)?;
        }
        Ok(())
    }

    /// The last bytes of the file of a partition.
    fn end_file(&mut self, partition: &str) -> Result<()> {
        let release = self.open.len() > OPEN_FILES;
        let Some(open) = self.open.get_mut(partition) else { return Ok(()) };
        let Some(mut file) = open.file.take() else { return Ok(()) };
        self.held = self.held.saturating_sub(file.held());
        file.finish(&mut open.buffer)?;
        self.append(partition, release)
    }

    /// All files get their last bytes, but those that are not meant.
    fn end_files(&mut self, meant: impl Fn(&OwnPart) -> bool) -> Result<()> {
        let is_meant = |open: &Open| open.file.is_some() && open.part.as_ref().is_some_and(&meant);
        let names = self.open.iter().filter(|(_, open)| is_meant(open)).map(|(name, _)| name.clone());
        for partition in names.collect::<Vec<_>>() {
            self.end_file(&partition)?;
        }
        Ok(())
    }

    /// All that is buffered goes into parts.
    fn append_all(&mut self) -> Result<()> {
        let release = self.open.len() > OPEN_FILES;
        let full = self.open.iter().filter(|(_, open)| !open.buffer.is_empty());
        for partition in full.map(|(partition, _)| partition.clone()).collect::<Vec<_>>() {
            self.append(&partition, release)?;
        }
        // Partitions whose part was rolled are forgotten until a row comes.
        let only_one = self.shared.directories.is_empty();
        self.open.retain(|_, open| only_one || open.part.is_some());
        Ok(())
    }

    /// Takes no more rows into the parts that are meant.
    fn close(&mut self, meant: impl Fn(&str, &OwnPart) -> bool) {
        let is_meant = |name: &str, open: &Open| open.part.as_ref().is_some_and(|part| meant(name, part));
        for (_, open) in self.open.iter_mut().filter(|(name, open)| is_meant(name, open)) {
            self.closing.extend(open.part.take());
        }
    }

    /// What has to be synced.
    fn syncing(&mut self) -> Result<Syncing> {
        let mut files = Vec::new();
        let open = self.open.values_mut().filter_map(|open| open.part.as_mut());
        for part in open.chain(&mut self.closing) {
            files.extend(part.part.unsynced().map_err(|e| self.shared.failed(e))?);
        }
        Ok(Syncing { files, directories: std::mem::take(&mut self.directories) })
    }

    /// What the writer has that is not visible.
    fn state(&mut self) -> WriterState {
        self.closed.extend(self.closing.drain(..).map(|part| part.state()));
        self.attempt.forget_shown(&mut self.closed);
        let mut open = Vec::new();
        for part in self.open.values_mut().filter_map(|o| o.part.as_mut()) {
            part.told = true;
            open.push(part.state());
        }
        let waits = self.waits();
        let partitions = if waits { self.watched.at_barrier(&self.attempt.completed) } else { Vec::new() };
        WriterState {
            partitions,
            now: (waits && !self.is_silent()).then(|| self.now()),
            sink: self.attempt.sink.clone(),
            task: self.context.task,
            writers: self.context.tasks,
            finished: self.finished,
            endless: self.shared.unbounded,
            shown: self.attempt.all_shown.load(Ordering::Relaxed),
            open,
            closed: self.closed.clone(),
        }
    }

    /// Without checkpoints, closed parts of an endless job are shown, a batch of them at a time.
    fn show_closed(&mut self) -> Result<()> {
        if self.attempt.checkpoints || !self.shared.unbounded {
            return Ok(());
        }
        if let Some(work) = &self.showing {
            if work.poll()?.is_pending() {
                return Ok(());
            }
            self.showing = None;
        }
        if self.closing.is_empty() {
            return Ok(());
        }
        let syncing = self.syncing()?;
        let parts: Vec<PartState> = self.closing.drain(..).map(|part| part.state()).collect();
        let (shared, attempt) = (self.shared.clone(), self.attempt.clone());
        let work = move || {
            let shown = syncing.sync().and_then(|()| shared.committer()?.show(&attempt.sink, parts, false));
            shown.map_err(|e| shared.failed(e))
        };
        self.showing = Some(Work::begin(&self.context, true, work));
        Ok(())
    }

    /// Without checkpoints, what is not visible is left to the sink.
    fn leave(&mut self) -> Result<()> {
        self.end_files(|_| true)?;
        self.append_all()?;
        self.close(|_, _| true);
        self.finished = true;
        let syncing = self.syncing()?;
        let state = self.state();
        self.closed.clear();
        self.attempt.finished.lock().push((state, syncing));
        Ok(())
    }
}

impl Writer for FilesystemWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if self.shared.directories.is_empty() {
            return self.encode("", chunk);
        }
        let mut groups = self.shared.directories.group(chunk)?;
        if let [(partition, _)] = groups.as_slice() {
            return self.encode(partition, chunk);
        }
        for (partition, rows) in groups.drain(..) {
            self.encode(&partition, &chunk.take(&UInt32Array::from(rows))?)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.append_all()?;
        self.show_closed()
    }

    fn wake(&mut self) -> Result<()> {
        self.show_closed()
    }

    /// With checkpoints, parts are rolled at barriers.
    fn deadline(&self) -> Option<Instant> {
        let looks = self.shared.unbounded && !self.attempt.checkpoints;
        let looks = looks && self.open.values().any(|open| open.part.is_some());
        self.looked.checked_add(self.shared.check_interval).filter(|_| looks)
    }

    fn timer(&mut self, now: Instant) -> Result<()> {
        self.looked = now;
        let age = self.shared.roll_interval;
        self.end_files(|part| now.saturating_duration_since(part.part.opened()) >= age)?;
        self.append_all()?;
        self.close(|_, part| now.saturating_duration_since(part.part.opened()) >= age);
        self.show_closed()
    }

    fn watermark(&mut self, millis: i64) -> Result<()> {
        self.watermark = millis;
        Ok(())
    }

    fn idle(&mut self, idle: bool) {
        self.idle = idle;
    }

    fn pre_commit(&mut self, epoch: u64, last: bool) -> Result<Poll<Vec<Value>>> {
        if !self.attempt.checkpoints {
            self.flush()?;
            return Ok(Poll::Ready(Vec::new()));
        }
        if self.cut.as_ref().is_none_or(|cut| cut.epoch != epoch) {
            self.end_files(|_| true)?;
            self.append_all()?;
            let (endless, age) = (self.shared.unbounded, self.shared.roll_interval);
            let of_files = matches!(self.encoding, Encoding::Files);
            // Adding to one file makes no small ones, so it shows all there is.
            let all = last || matches!(self.shared.target, Target::File(_));
            let rolls = |part: &OwnPart| endless && (all || part.part.opened().elapsed() >= age);
            // A complete partition has no hidden files: an idle writer may hold none that others wait for.
            let complete = match self.waits() {
                true if self.is_silent() => self.watched.complete(i64::MAX),
                true => self.watched.complete(self.now()),
                false => HashSet::new(),
            };
            self.close(|name, part| of_files || rolls(part) || complete.contains(name));
            let syncing = self.syncing()?;
            let value = serde_json::to_value(self.state());
            let value = value.map_err(|e| Error::internal(format!("the parts of a table: {e}")))?;
            let mut works = self.cut.take().map_or_else(Vec::new, |given_up| given_up.works);
            if !syncing.is_empty() {
                let shared = self.shared.clone();
                works.push(Work::begin(&self.context, false, move || {
                    syncing.sync().map_err(|e| shared.failed(e))
                }));
            }
            self.cut = Some(Cut { epoch, values: vec![value], works });
        }
        if let Some(cut) = &mut self.cut {
            let mut waiting = Vec::new();
            for work in cut.works.drain(..) {
                if work.poll()?.is_pending() {
                    waiting.push(work);
                }
            }
            cut.works = waiting;
        }
        match self.cut.take_if(|cut| cut.works.is_empty()) {
            Some(cut) => Ok(Poll::Ready(cut.values)),
            None => Ok(Poll::Pending),
        }
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.flush()?;
        if self.showing.is_some() {
            return Ok(Poll::Pending);
        }
        if self.attempt.checkpoints {
            self.end_files(|_| true)?;
            self.append_all()?;
            self.close(|_, _| true);
            self.open.clear();
            self.closing.iter_mut().for_each(|part| part.part.release());
            self.finished = true;
        } else if !self.finished {
            self.leave()?;
        }
        Ok(Poll::Ready(()))
    }
}

impl Drop for FilesystemWriter {
    /// What nothing can hold any more goes. A job that never ends is stopped by the user: what it has written stays.
    fn drop(&mut self) {
        if !self.attempt.checkpoints && self.shared.unbounded && !self.finished && self.leave().is_ok() {
            return;
        }
        let open = self.open.values_mut().filter_map(|o| o.part.as_mut());
        open.chain(&mut self.closing).filter(|part| !part.told).for_each(|part| part.part.discard());
    }
}
