//! Writing to an object store, each row once.
//!
//! The path is a folder. An object cannot grow, so every file ends at a barrier: its upload and the parts of it are in
//! the checkpoint, and when that is durable, the upload is completed ([`super::upload`]). What can be done twice is:
//! one that is completed is there already. Without checkpoints, a bounded job completes all of its files at its end;
//! an endless one is refused.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::directories::Directories;
use super::upload::{Notes, PART, Upload, Uploaded, abandon, complete};
use crate::bucket::{Bucket, Found};
use crate::connector::{Guarantee, Sink, SinkChangelog, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::{Encoder, FileEncoder, Format};

/// Bytes on their way, of one writer: more are not taken.
const IN_FLIGHT: usize = 8 * PART;

/// Bytes that the open files of a writer hold together.
const HELD: usize = 256 << 20;

/// Where and how a table is written.
pub(super) struct Plan {
    pub(super) table: String,
    pub(super) bucket: Arc<Bucket>,
    /// The folder's key; ends with `/` unless it is empty.
    pub(super) folder: String,
    pub(super) format: Format,
    pub(super) schema: SchemaRef,
    pub(super) zone: String,
    pub(super) columns: Vec<usize>,
    pub(super) directories: Directories,
    pub(super) success_file: Option<String>,
    pub(super) roll_size: u64,
    pub(super) unbounded: bool,
    pub(super) overwrite: bool,
    pub(super) checkpoints: bool,
    /// It was said that uploads stay open.
    pub(super) told: AtomicBool,
}

/// What a writer returns for a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// Identity of the sink, through all attempts.
    objects: String,
    task: usize,
    writers: usize,
    finished: bool,
    endless: bool,
    files: Vec<Uploaded>,
}

impl State {
    fn all(pending: &[Value]) -> Result<Vec<Self>> {
        let parse = |value: &Value| -> Result<Self> {
            let state: Option<Self> = serde_json::from_value(value.clone()).ok();
            let plain = |s: &Self| s.objects.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            state.filter(plain).ok_or_else(|| {
                Error::io(
                    "what the checkpoint holds of the sink is not of one that writes to an object store",
                )
                .with_detail(format!("it is {value}"))
                .with_hint("was the table's path changed? start the job without its checkpoints")
            })
        };
        let mut states = pending.iter().map(parse).collect::<Result<Vec<_>>>()?;
        states.sort_by_key(|s| s.task);
        Ok(states)
    }

    fn value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|e| Error::internal(format!("the files of a table: {e}")))
    }
}

/// All writers of a bounded job have finished.
fn all_finished(states: &[State]) -> bool {
    let tasks: BTreeSet<usize> = states.iter().map(|s| s.task).collect();
    states.first().is_some_and(|s| tasks.len() >= s.writers) && states.iter().all(|s| s.finished)
}

/// One attempt of a job.
struct Attempt {
    sink: String,
    uuid: uuid::Uuid,
    /// Files of a former attempt, for the first writer to return again.
    adopted: Mutex<Vec<Uploaded>>,
    /// Keys that became visible and that writers still return.
    shown: Mutex<HashSet<String>>,
    all_shown: AtomicBool,
    /// Without checkpoints: what the writers have left.
    left: Mutex<Vec<Uploaded>>,
}

impl Attempt {
    fn new(sink: String) -> Self {
        Self {
            sink,
            uuid: uuid::Uuid::new_v4(),
            adopted: Mutex::default(),
            shown: Mutex::default(),
            all_shown: AtomicBool::new(false),
            left: Mutex::default(),
        }
    }
}

impl Plan {
    fn failed(&self, e: Error) -> Error {
        e.context(format!("table '{}'", self.table))
    }

    /// The folder of a sink's notes: hidden.
    fn notes(&self, sink: &str) -> String {
        format!("{}.uploads/{sink}", self.folder)
    }

    /// Makes files visible.
    fn show(&self, files: &[Uploaded]) -> Result<()> {
        let mut folders = BTreeSet::new();
        for file in files {
            complete(&self.bucket, file)?;
            folders.insert(file.key.rsplit_once('/').map_or("", |(folder, _)| folder).to_string());
        }
        let Some(name) = self.success_file.as_ref().filter(|_| !self.directories.is_empty()) else {
            return Ok(());
        };
        for folder in folders {
            self.bucket.put(&format!("{folder}/{name}"), Bytes::new())?;
        }
        Ok(())
    }

    /// Shows the result of a bounded job.
    fn show_all(&self, attempt: &Attempt, files: &[Uploaded]) -> Result<()> {
        let old = if self.overwrite { self.replaced(files)? } else { Vec::new() };
        self.show(files)?;
        // Last, so that whatever happens no row is in neither.
        old.iter().try_for_each(|key| self.bucket.delete(key))?;
        attempt.all_shown.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The objects that an overwriting job replaces: of the whole table, or of the partitions that got rows.
    fn replaced(&self, files: &[Uploaded]) -> Result<Vec<String>> {
        let own: HashSet<&str> = files.iter().map(|f| f.key.as_str()).collect();
        let folders: BTreeSet<&str> = match self.directories.is_empty() {
            true => [self.folder.as_str()].into(),
            false => own.iter().filter_map(|key| Some(key.rsplit_once('/')?.0)).collect(),
        };
        let mut old = Vec::new();
        for folder in folders {
            let folder = folder.trim_end_matches('/');
            let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            for found in self.bucket.list(folder)? {
                let rest = found.key.strip_prefix(&below);
                let visible = rest.is_some_and(|r| !r.split('/').any(|part| part.starts_with(['.', '_'])));
                if visible && !own.contains(found.key.as_str()) {
                    old.push(found.key);
                }
            }
        }
        Ok(old)
    }

    /// Gives up the uploads that notes of this sink name, but these; and deletes the notes. Nobody sees such uploads: what
    /// the store does not let go stays, with its note, and that is said once.
    fn give_up(&self, sink: &str, kept: &[Uploaded]) {
        let Err(e) = self.try_to_give_up(sink, kept) else { return };
        if !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "table '{}': uploads that are not needed stay open until the store's own rules end them; this is not said again: {e}",
                self.table
            );
        }
    }

    fn try_to_give_up(&self, sink: &str, kept: &[Uploaded]) -> Result<()> {
        let kept: HashSet<&str> = kept.iter().map(|f| f.upload.as_str()).collect();
        let mut first = Ok(());
        for note in self.bucket.list(&self.notes(sink))? {
            let given_up = self.give_up_noted(&note, &kept);
            first = first.and(given_up);
        }
        first
    }

    fn give_up_noted(&self, note: &Found, kept: &HashSet<&str>) -> Result<()> {
        let asked = self.bucket.read(note, 0..note.size.max(1))?;
        let text = match asked.wait()? {
            Ok(text) => text,
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(e) => return Err(self.bucket.failed("read", &note.key, &e)),
        };
        let (left, others): (Vec<_>, Vec<_>) =
            Notes::read(&text).into_iter().partition(|(_, upload)| !kept.contains(upload.as_str()));
        let abandoned = left.iter().map(|(key, upload)| abandon(&self.bucket, key, upload));
        abandoned.fold(Ok(()), Result::and)?;
        if others.is_empty() { self.bucket.delete(&note.key) } else { Ok(()) }
    }
}

/// A planned sink.
pub(super) struct ObjectSink {
    plan: Arc<Plan>,
    attempt: Mutex<Option<Arc<Attempt>>>,
}

impl ObjectSink {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan: Arc::new(plan), attempt: Mutex::default() }
    }

    fn attempt(&self) -> Arc<Attempt> {
        let mut attempt = self.attempt.lock();
        attempt.get_or_insert_with(|| Arc::new(Attempt::new(uuid::Uuid::new_v4().to_string()))).clone()
    }

    fn recovered(&self, pending: &[Value], former: Option<String>) -> Result<Attempt> {
        let states = State::all(pending)?;
        let sink = states.first().map(|s| s.objects.clone()).or(former);
        let Some(sink) = sink else { return Ok(Attempt::new(uuid::Uuid::new_v4().to_string())) };
        let attempt = Attempt::new(sink.clone());
        let files: Vec<Uploaded> = states.iter().flat_map(|s| s.files.clone()).collect();
        let mut kept = Vec::new();
        if states.iter().any(|s| s.endless) {
            self.plan.show(&files)?;
        } else if all_finished(&states) {
            self.plan.show_all(&attempt, &files)?;
        } else {
            kept = files;
        }
        self.plan.give_up(&sink, &kept);
        *attempt.adopted.lock() = kept;
        Ok(attempt)
    }

    fn begun_as(&self, objects: String) -> Option<Value> {
        State { objects, task: 0, writers: 1, finished: false, endless: false, files: Vec::new() }
            .value()
            .ok()
    }
}

impl Sink for ObjectSink {
    fn changelog(&self) -> SinkChangelog {
        self.plan.format.sink_changelog()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn recover(&self, pending: &[Value]) -> Result<()> {
        let mut attempt = self.attempt.lock();
        let former = attempt.as_ref().map(|a| a.sink.clone());
        *attempt = Some(Arc::new(self.recovered(pending, former).map_err(|e| self.plan.failed(e))?));
        Ok(())
    }

    fn begun(&self) -> Vec<Value> {
        let attempt = self.attempt.lock();
        attempt.as_ref().and_then(|attempt| self.begun_as(attempt.sink.clone())).into_iter().collect()
    }

    fn begun_with(&self, pending: &[Value]) -> Vec<Value> {
        let sink = State::all(pending).ok().and_then(|states| Some(states.first()?.objects.clone()));
        sink.and_then(|sink| self.begun_as(sink)).into_iter().collect()
    }

    fn commit_epoch(&self, _epoch: u64, pending: &[Value]) -> Result<()> {
        let Some(attempt) = self.attempt.lock().clone() else {
            return Err(Error::internal("a checkpoint is committed by a sink without checkpoints"));
        };
        let commit = || -> Result<()> {
            let states = State::all(pending)?;
            let files: Vec<Uploaded> = states.iter().flat_map(|s| s.files.clone()).collect();
            if states.iter().any(|s| s.endless) {
                let shown = attempt.shown.lock().clone();
                let new: Vec<Uploaded> = files.into_iter().filter(|f| !shown.contains(&f.key)).collect();
                self.plan.show(&new)?;
                attempt.shown.lock().extend(new.into_iter().map(|f| f.key));
                return Ok(());
            }
            if attempt.all_shown.load(Ordering::Relaxed) || !all_finished(&states) {
                return Ok(());
            }
            self.plan.show_all(&attempt, &files)?;
            // Nothing is open any more.
            self.plan.give_up(&attempt.sink, &[]);
            Ok(())
        };
        commit().map_err(|e| self.plan.failed(e))
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let attempt = self.attempt();
        Ok(Box::new(ObjectWriter::new(self.plan.clone(), context, attempt)?))
    }

    fn commit(&self) -> Result<()> {
        if self.plan.checkpoints {
            // The last checkpoint has done it.
            return Ok(());
        }
        let attempt = self.attempt();
        // They stay for the next try.
        let files = attempt.left.lock().clone();
        self.plan.show_all(&attempt, &files).map_err(|e| self.plan.failed(e))?;
        self.plan.give_up(&attempt.sink, &[]);
        Ok(())
    }

    fn abort(&self) {
        if self.plan.checkpoints {
            return;
        }
        let Some(attempt) = self.attempt.lock().take() else { return };
        self.plan.give_up(&attempt.sink, &[]);
    }
}

/// A file that gets rows.
struct Open {
    file: Option<Box<dyn FileEncoder>>,
    buffer: Vec<u8>,
    upload: Upload,
    sent: u64,
}

impl Open {
    /// Bytes that it holds.
    fn held(&self) -> usize {
        self.buffer.len() + self.file.as_ref().map_or(0, |file| file.held())
    }
}

/// The part of a checkpoint that waits for its last parts.
struct Cut {
    epoch: u64,
    /// Files that were in the store before.
    before: Vec<Uploaded>,
    /// Files that ended with the barrier.
    ending: Vec<Upload>,
    ended: Vec<Uploaded>,
}

struct ObjectWriter {
    plan: Arc<Plan>,
    context: WriterContext,
    attempt: Arc<Attempt>,
    /// Of formats of streams.
    encoder: Option<Box<dyn Encoder>>,
    notes: Arc<Notes>,
    /// Bytes on their way.
    waiting: Arc<AtomicUsize>,
    open: HashMap<String, Open>,
    /// Bytes that open files hold.
    held: usize,
    begun: u64,
    /// Ended files, whose last parts may be on their way.
    ending: Vec<Upload>,
    /// Files that are in the store, and not known to be visible.
    closed: Vec<Uploaded>,
    finished: bool,
    cut: Option<Cut>,
}

impl ObjectWriter {
    fn new(plan: Arc<Plan>, context: WriterContext, attempt: Arc<Attempt>) -> Result<Self> {
        let encoder = match plan.format.is_of_files() {
            true => None,
            false => Some(plan.format.encoder(&plan.schema)?),
        };
        let name = format!("{}/{}-{}", plan.notes(&attempt.sink), attempt.uuid, context.task);
        let adopted = std::mem::take(&mut *attempt.adopted.lock());
        Ok(Self {
            notes: Arc::new(Notes::new(&plan.bucket, name)),
            encoder,
            waiting: Arc::default(),
            open: HashMap::new(),
            held: 0,
            begun: 0,
            ending: Vec::new(),
            closed: adopted,
            finished: false,
            cut: None,
            plan,
            context,
            attempt,
        })
    }

    fn begin(&mut self, partition: &str) -> Result<()> {
        if self.open.contains_key(partition) {
            return Ok(());
        }
        let (uuid, task, n) = (self.attempt.uuid, self.context.task, self.begun);
        self.begun += 1;
        let below = if partition.is_empty() { String::new() } else { format!("{partition}/") };
        let end = if self.plan.format.is_of_files() { self.plan.format.name() } else { "" };
        let dot = if end.is_empty() { "" } else { "." };
        let key = format!("{}{below}part-{uuid}-{task}-{n}{dot}{end}", self.plan.folder);
        let WriterContext { runtime, waker, .. } = &self.context;
        let upload = Upload::new(&self.plan.bucket, key, &self.notes, &self.waiting, runtime, waker);
        let mut buffer = Vec::new();
        if let Some(encoder) = &mut self.encoder {
            encoder.header(&mut buffer)?;
        }
        let file = self.plan.format.file_encoder(&self.plan.schema, &self.plan.zone)?;
        self.open.insert(partition.to_string(), Open { file, buffer, upload, sent: 0 });
        Ok(())
    }

    fn encode(&mut self, partition: &str, chunk: &Chunk) -> Result<()> {
        self.begin(partition)?;
        let rows = chunk.with_batch(chunk.batch.project(&self.plan.columns)?);
        let Some(open) = self.open.get_mut(partition) else { return Ok(()) };
        let before = open.held();
        match (&mut open.file, &mut self.encoder) {
            (Some(file), _) => file.encode(&rows, &mut open.buffer)?,
            (None, Some(encoder)) => encoder.encode(&rows, &mut open.buffer)?,
            (None, None) => return Err(Error::internal("a table has no encoder")),
        }
        while open.buffer.len() >= PART {
            let rest = open.buffer.split_off(PART);
            let part = std::mem::replace(&mut open.buffer, rest);
            self.waiting.fetch_add(part.len(), Ordering::Relaxed);
            open.sent += part.len() as u64;
            open.upload.send(part.into());
        }
        let after = open.held();
        let full = open.sent + after as u64 >= self.plan.roll_size;
        self.held = (self.held + after).saturating_sub(before);
        if full {
            self.end(|name, _| name == partition)?;
        }
        if self.held > HELD {
            self.hold_less()?;
        }
        Ok(())
    }

    /// The files that hold most end: a part of an upload has a least size, so that what they hold cannot go before.
    fn hold_less(&mut self) -> Result<()> {
        let mut all: Vec<_> = self.open.iter().map(|(name, open)| (open.held(), name.clone())).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (_, partition) in all {
            if self.held <= HELD / 2 {
                break;
            }
            self.end(|name, _| name == partition)?;
        }
        Ok(())
    }

    /// Files take no more rows.
    fn end(&mut self, meant: impl Fn(&str, &Open) -> bool) -> Result<()> {
        let names: Vec<String> =
            self.open.iter().filter(|(name, open)| meant(name, open)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut open) = self.open.remove(&name) else { continue };
            self.held = self.held.saturating_sub(open.held());
            if let Some(mut file) = open.file.take() {
                file.finish(&mut open.buffer)?;
            }
            let mut rest: Bytes = open.buffer.into();
            while !rest.is_empty() {
                let part = rest.split_to(rest.len().min(PART));
                self.waiting.fetch_add(part.len(), Ordering::Relaxed);
                open.upload.send(part);
            }
            open.upload.end();
            self.ending.push(open.upload);
        }
        Ok(())
    }

    /// Takes note of what has come to its end. Ready: nothing is on its way.
    fn settle(&mut self) -> Result<Poll<()>> {
        for open in self.open.values() {
            // A part that failed fails the job now.
            open.upload.poll().map_err(|e| self.plan.failed(e))?;
        }
        let (ended, still) = ended(std::mem::take(&mut self.ending)).map_err(|e| self.plan.failed(e))?;
        self.closed.extend(ended);
        self.ending = still;
        if let Some(cut) = &mut self.cut {
            let (ended, still) =
                self::ended(std::mem::take(&mut cut.ending)).map_err(|e| self.plan.failed(e))?;
            cut.ended.extend(ended);
            cut.ending = still;
        }
        let mut shown = self.attempt.shown.lock();
        if !shown.is_empty() {
            let (gone, left) =
                std::mem::take(&mut self.closed).into_iter().partition(|f| shown.contains(&f.key));
            self.closed = left;
            let gone: Vec<Uploaded> = gone;
            self.notes.forget(gone.iter().map(|f| f.key.clone()));
            for file in &gone {
                shown.remove(&file.key);
            }
        }
        Ok(if self.ending.is_empty() { Poll::Ready(()) } else { Poll::Pending })
    }

    fn state(&self, files: Vec<Uploaded>) -> Result<Value> {
        State {
            objects: self.attempt.sink.clone(),
            task: self.context.task,
            writers: self.context.tasks,
            finished: self.finished,
            endless: self.plan.unbounded,
            files,
        }
        .value()
    }
}

/// Of files that have ended those that are in the store, and the others.
fn ended(uploads: Vec<Upload>) -> Result<(Vec<Uploaded>, Vec<Upload>)> {
    let (mut all, mut still) = (Vec::new(), Vec::new());
    for upload in uploads {
        match upload.poll()? {
            // A format may write nothing for a row.
            Some(file) if file.parts.is_empty() => {}
            Some(file) => all.push(file),
            None => still.push(upload),
        }
    }
    Ok((all, still))
}

impl Writer for ObjectWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if self.plan.directories.is_empty() {
            return self.encode("", chunk);
        }
        for (partition, rows) in self.plan.directories.group(chunk)? {
            self.encode(&partition, &chunk.take(&UInt32Array::from(rows))?)?;
        }
        Ok(())
    }

    fn room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < IN_FLIGHT
    }

    fn flush(&mut self) -> Result<()> {
        self.settle().map(drop)
    }

    fn wake(&mut self) -> Result<()> {
        self.settle().map(drop)
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<Value>>> {
        if !self.plan.checkpoints {
            self.flush()?;
            return Ok(Poll::Ready(Vec::new()));
        }
        if self.cut.as_ref().is_none_or(|cut| cut.epoch != epoch) {
            let _ = self.settle()?;
            self.end(|_, _| true)?;
            let mut cut = Cut {
                epoch,
                before: self.closed.clone(),
                ending: std::mem::take(&mut self.ending),
                ended: Vec::new(),
            };
            if let Some(given_up) = self.cut.take() {
                cut.ending.extend(given_up.ending);
                cut.ended.extend(given_up.ended);
            }
            self.cut = Some(cut);
        }
        let _ = self.settle()?;
        let Some(cut) = self.cut.take_if(|cut| cut.ending.is_empty()) else { return Ok(Poll::Pending) };
        let files = cut.before.into_iter().chain(cut.ended.iter().cloned()).collect();
        self.closed.extend(cut.ended);
        Ok(Poll::Ready(vec![self.state(files)?]))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.end(|_, _| true)?;
        if self.settle()?.is_pending() {
            return Ok(Poll::Pending);
        }
        self.finished = true;
        if !self.plan.checkpoints {
            self.attempt.left.lock().append(&mut self.closed);
        }
        Ok(Poll::Ready(()))
    }
}
