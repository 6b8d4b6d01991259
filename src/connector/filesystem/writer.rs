//! Writers of one table: rows to bytes, bytes to parts.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use arrow::array::{ArrayRef, UInt32Array};
use parking_lot::Mutex;

use super::commit::{Attempt, PartState, WriterState, directory_of};
use super::part::{Part, Stage, Target, sync_directory};
use super::sink::Shared;
use crate::connector::{Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Encoder;
use crate::format::text::{Cells, Style, plain};

/// A writer hands bytes to its part when it has so many.
const BUFFER: usize = 1 << 20;
/// A writer with more parts than this keeps their files closed between writes.
const OPEN_FILES: usize = 64;

/// A part of a writer, and the bytes that are not in it yet.
#[derive(Default)]
pub(super) struct Open {
    /// Without checkpoints; one file is shared by all writers.
    pub(super) part: Option<Arc<Mutex<Part>>>,
    /// With checkpoints: rows before and behind a barrier must not mix, so every writer has its own.
    own: Option<OwnPart>,
    pub(super) buffer: Vec<u8>,
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

/// What a writer has for checkpoints.
struct Own {
    attempt: Arc<Attempt>,
    /// Parts that it has begun.
    begun: u64,
    /// How many writers there are.
    writers: usize,
    /// Closed since the last barrier.
    closing: Vec<OwnPart>,
    /// Closed, and not known to be visible.
    closed: Vec<PartState>,
    /// Directories that got names since the last barrier.
    directories: BTreeSet<PathBuf>,
    finished: bool,
}

impl Own {
    fn create(&mut self, shared: &Shared, task: usize, partition: &str) -> Result<OwnPart> {
        let n = self.begun;
        self.begun += 1;
        let Attempt { sink, uuid, .. } = self.attempt.as_ref();
        let (name, target, root) = match &shared.target {
            Target::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                (format!("{name}-{uuid}-{task}-{n}"), path.clone(), directory_of(path))
            }
            Target::Directory(root) => {
                let name = format!("part-{uuid}-{task}-{n}");
                let name = if partition.is_empty() { name } else { format!("{partition}/{name}") };
                (name.clone(), root.join(name), root.clone())
            }
        };
        let hidden = shared.target.hidden(&name, sink);
        let mut directory = directory_of(&hidden);
        let part = Part::create(target, hidden, &shared.header()?).map_err(|e| shared.failed(e))?;
        // Up to the one that holds the table.
        while self.directories.insert(directory.clone()) && directory.starts_with(&root) {
            directory = directory_of(&directory);
        }
        Ok(OwnPart { part, name, told: false })
    }

    fn append(
        &mut self,
        shared: &Shared,
        task: usize,
        open: &mut Open,
        partition: &str,
        release: bool,
    ) -> Result<()> {
        if open.buffer.is_empty() {
            return Ok(());
        }
        let own = match &mut open.own {
            Some(own) => own,
            none => none.insert(self.create(shared, task, partition)?),
        };
        own.part.write(&open.buffer).map_err(|e| shared.failed(e))?;
        open.buffer.clear();
        if release {
            own.part.release();
        }
        let endless = shared.unbounded;
        // A bounded job's single file is one file, however large.
        let rolls = endless || matches!(shared.target, Target::Directory(_));
        if rolls && own.part.written() >= shared.roll_size {
            self.closing.extend(open.own.take());
        }
        Ok(())
    }
}

pub(super) struct FilesystemWriter {
    shared: Arc<Shared>,
    task: usize,
    encoder: Box<dyn Encoder>,
    /// By directory of the partition.
    open: HashMap<String, Open>,
    own: Option<Own>,
    /// When it looked at the age of the parts.
    looked: Instant,
}

impl FilesystemWriter {
    /// With an attempt, for a job with checkpoints.
    pub(super) fn new(
        shared: Arc<Shared>,
        context: WriterContext,
        attempt: Option<Arc<Attempt>>,
    ) -> Result<Self> {
        let WriterContext { task, tasks, .. } = context;
        let own = attempt.map(|attempt| Own {
            begun: 0,
            writers: tasks,
            closing: Vec::new(),
            closed: attempt.adopt(),
            directories: BTreeSet::new(),
            finished: false,
            attempt,
        });
        let encoder = shared.format.encoder(&shared.schema)?;
        Ok(Self { shared, task, encoder, open: HashMap::new(), own, looked: Instant::now() })
    }

    fn encode(&mut self, partition: &str, chunk: &Chunk) -> Result<()> {
        let release = self.open.len() > OPEN_FILES;
        let open = match self.open.get_mut(partition) {
            Some(open) => open,
            None => self.open.entry(partition.to_string()).or_default(),
        };
        let rows = chunk.with_batch(chunk.batch.project(&self.shared.columns)?);
        self.encoder.encode(&rows, &mut open.buffer)?;
        if open.buffer.len() < BUFFER {
            return Ok(());
        }
        match &mut self.own {
            Some(own) => own.append(&self.shared, self.task, open, partition, release),
            None => self.shared.append(self.task, open, partition, release),
        }
    }

    /// The rows of each partition.
    fn group(&self, chunk: &Chunk) -> Result<Vec<(String, Vec<u32>)>> {
        let style = Style::Csv { element_separator: ";".into(), null: String::new(), strip_decimals: false };
        let arrays: Vec<ArrayRef> = self
            .shared
            .partitions
            .iter()
            .map(|(_, place)| plain(chunk.batch.column(*place)))
            .collect::<Result<_>>()?;
        let cells = arrays.iter().map(|a| Cells::new(a.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut index: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        for row in 0..chunk.len() {
            key.clear();
            for cells in &cells {
                // NULL and the empty text share a directory, as in Flink.
                cells.write_or_null(row, &style, &mut key);
                key.push(0);
            }
            let group = match index.get(key.as_slice()) {
                Some(&group) => group,
                None => {
                    index.insert(key.clone(), groups.len());
                    groups.push((self.directory(&cells, row, &style), Vec::new()));
                    groups.len() - 1
                }
            };
            groups[group].1.push(row as u32);
        }
        Ok(groups)
    }

    fn directory(&self, cells: &[Cells<'_>], row: usize, style: &Style) -> String {
        let mut directory = String::new();
        for ((name, _), cells) in self.shared.partitions.iter().zip(cells) {
            if !directory.is_empty() {
                directory.push(std::path::MAIN_SEPARATOR);
            }
            let mut value = Vec::new();
            cells.write_or_null(row, style, &mut value);
            escape(name.as_bytes(), &mut directory);
            directory.push('=');
            match value.as_slice() {
                [] => directory.push_str(&self.shared.partition_default),
                value => escape(value, &mut directory),
            }
        }
        directory
    }
}

/// Hive's escaping of names and values in directories.
fn escape(text: &[u8], out: &mut String) {
    for character in String::from_utf8_lossy(text).chars() {
        if character.is_control() || "\"#%'*/:=?\\{[]^".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(character);
        }
    }
}

impl Writer for FilesystemWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if self.shared.partitions.is_empty() {
            return self.encode("", chunk);
        }
        let mut groups = self.group(chunk)?;
        if let [(partition, _)] = groups.as_slice() {
            return self.encode(partition, chunk);
        }
        for (partition, rows) in groups.drain(..) {
            self.encode(&partition, &chunk.take(&UInt32Array::from(rows))?)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let release = self.open.len() > OPEN_FILES;
        for (partition, open) in &mut self.open {
            match &mut self.own {
                Some(own) => own.append(&self.shared, self.task, open, partition, release)?,
                None => self.shared.append(self.task, open, partition, release)?,
            }
        }
        // Partitions whose part was rolled are forgotten until a row comes.
        let only_one = self.shared.partitions.is_empty();
        let is_open =
            |o: &Open| o.own.is_some() || o.part.as_ref().is_some_and(|p| p.lock().stage() == Stage::Open);
        self.open.retain(|_, o| only_one || is_open(o));
        Ok(())
    }

    /// With checkpoints, parts are rolled at barriers.
    fn deadline(&self) -> Option<Instant> {
        let looks = self.shared.unbounded && self.own.is_none() && self.shared.has_parts();
        self.looked.checked_add(self.shared.check_interval).filter(|_| looks)
    }

    fn timer(&mut self, now: Instant) -> Result<()> {
        self.looked = now;
        self.flush()?;
        self.shared.roll(now)
    }

    fn pre_commit(&mut self, _epoch: u64, last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        self.flush()?;
        let Some(own) = &mut self.own else { return Ok(Poll::Ready(Vec::new())) };
        let shared = &self.shared;
        let endless = shared.unbounded;
        let single = matches!(shared.target, Target::File(_));
        for open in self.open.values_mut() {
            // Adding to one file makes no small ones, so it shows all there is.
            let rolls =
                |part: &OwnPart| last || single || part.part.opened().elapsed() >= shared.roll_interval;
            if endless && open.own.as_ref().is_some_and(rolls) {
                own.closing.extend(open.own.take());
            }
        }
        let open = self.open.values_mut().filter_map(|o| o.own.as_mut());
        for part in open.chain(&mut own.closing) {
            part.part.sync().map_err(|e| shared.failed(e))?;
        }
        for directory in std::mem::take(&mut own.directories) {
            sync_directory(&directory).map_err(|e| shared.failed(e))?;
        }
        // From here on a checkpoint may hold them.
        own.closed.extend(own.closing.drain(..).map(|part| part.state()));
        own.attempt.forget_shown(&mut own.closed);
        let mut open = Vec::new();
        for part in self.open.values_mut().filter_map(|o| o.own.as_mut()) {
            part.told = true;
            open.push(part.state());
        }
        let state = WriterState {
            sink: own.attempt.sink.clone(),
            task: self.task,
            writers: own.writers,
            finished: own.finished,
            endless,
            shown: own.attempt.all_shown.load(Ordering::Relaxed),
            open,
            closed: own.closed.clone(),
        };
        let value = serde_json::to_value(state);
        Ok(Poll::Ready(vec![value.map_err(|e| Error::internal(format!("the parts of a table: {e}")))?]))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.flush()?;
        for open in self.open.values() {
            if let Some(part) = &open.part {
                let mut part = part.lock();
                part.close();
                part.release();
            }
        }
        let parts = self.open.drain().filter_map(|(_, open)| open.own);
        if let Some(own) = &mut self.own {
            own.closing.extend(parts);
            own.closing.iter_mut().for_each(|part| part.part.release());
            own.finished = true;
        }
        Ok(Poll::Ready(()))
    }
}

impl Drop for FilesystemWriter {
    /// What no checkpoint can hold goes.
    fn drop(&mut self) {
        let open = self.open.values_mut().filter_map(|o| o.own.as_mut());
        let closing = self.own.iter_mut().flat_map(|own| &mut own.closing);
        open.chain(closing).filter(|part| !part.told).for_each(|part| part.part.discard());
    }
}
