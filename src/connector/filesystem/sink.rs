//! Writing: parts that are hidden until the job has ended well.
//!
//! ```text
//!  task 0 ── encode ──> 1 MiB ──> .part-u-0-0.inprogress ──┐ commit
//!  task 1 ── encode ──> 1 MiB ──> .part-u-1-0.inprogress ──┴──────> part-u-0-0, part-u-1-0
//! ```
//! A bounded job shows all of its files at its end, or none. The renames are not one atomic step: a machine
//! that stops between two of them leaves the first ones visible. A job that never ends shows a file when it
//! is rolled, by size or age; writers look at the age when they are called for it.
//!
//! With checkpoints, files become visible when a checkpoint is durable, each row once: see [`super::commit`].

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::commit::{Attempt, Committer, Fuse, WriterState, directory_of};
use super::files::{Compression, DEFAULT_PARTITION, compression, local_path};
use super::part::{Part, Stage, Target};
use super::writer::{FilesystemWriter, Open};
use crate::catalog::{ColumnSource, Table};
use crate::connector::{Guarantee, Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::format::Format;

/// Checks the options about complete partitions.
pub(super) fn check_partition_commit(table: &Table) -> Result<()> {
    let options = &table.options;
    let refuse = |key: &str, why: &str| {
        Err(Error::unsupported(format!(
            "option '{key}' = '{}': {why}",
            options.text(key).unwrap_or_default()
        ))
        .at(options.span(key)))
    };
    let given = |key: &str| options.contains(key);
    if options.choice("sink.partition-commit.trigger", &["process-time", "partition-time"])?
        == Some("partition-time")
    {
        return refuse("sink.partition-commit.trigger", "only 'process-time' is supported");
    }
    if options.duration("sink.partition-commit.delay")?.is_some_and(|d| !d.is_zero()) {
        return refuse("sink.partition-commit.delay", "only '0 s' is supported");
    }
    const KIND: &str = "sink.partition-commit.policy.kind";
    if options.text(KIND).is_some_and(|kind| kind.trim() != "success-file") {
        return refuse(KIND, "only 'success-file' is supported");
    }
    const NAME: &str = "sink.partition-commit.success-file.name";
    if options.text(NAME).is_some_and(|name| name.is_empty() || name.contains(['/', '\\'])) {
        return Err(Error::option(format!("option '{NAME}' must be a file name")).at(options.span(NAME)));
    }
    if given(KIND) && table.partitioned_by.is_empty() {
        return Err(Error::option(format!("option '{KIND}' needs a table that is PARTITIONED BY a column"))
            .at(options.span(KIND)));
    }
    Ok(())
}

/// What the writers of a table share.
pub(super) struct Shared {
    table: String,
    pub(super) target: Target,
    pub(super) format: Format,
    /// Columns of a record, and where they stand in the rows.
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<usize>,
    /// Partition columns: names, and where they stand in the rows.
    pub(super) partitions: Vec<(String, usize)>,
    pub(super) partition_default: String,
    success_file: Option<String>,
    pub(super) uuid: uuid::Uuid,
    pub(super) roll_size: u64,
    pub(super) roll_interval: Duration,
    pub(super) check_interval: Duration,
    /// The input never ends by itself.
    pub(super) unbounded: bool,
    overwrite: bool,
    counter: AtomicUsize,
    /// All parts that are not visible yet, with their directories.
    parts: Mutex<Vec<(PathBuf, Arc<Mutex<Part>>)>>,
    /// The part that all tasks share.
    single: Mutex<Option<Arc<Mutex<Part>>>>,
    /// Held while parts become visible, so that whoever comes later finds them so.
    publishing: Mutex<()>,
    /// For a job with checkpoints.
    attempt: Mutex<Option<Arc<Attempt>>>,
    fuse: Fuse,
}

/// A planned sink.
pub(super) struct FilesystemSink {
    shared: Arc<Shared>,
}

impl FilesystemSink {
    /// Checks that the table can be written.
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, zone, .. } = request;
        let options = &table.options;
        let path = local_path(options)?;
        let text = options.required("path")?;
        if text.contains(['*', '?']) {
            return Err(Error::option(format!(
                "table '{}': '{text}' is a pattern, it cannot be written to",
                table.name
            ))
            .at(options.span("path")));
        }
        let (mut columns, mut places) = (Vec::new(), HashMap::new());
        for (place, column) in table.columns.iter().filter(|c| c.is_persisted()).enumerate() {
            if let ColumnSource::Metadata { key, .. } = &column.source {
                return Err(Error::plan(format!(
                    "table '{}': metadata '{key}' of column '{}' cannot be written",
                    table.name, column.name
                ))
                .with_hint("declare the column as METADATA VIRTUAL"));
            }
            if table.partitioned_by.contains(&column.name) {
                places.insert(column.name.as_str(), place);
            } else {
                columns.push(place);
            }
        }
        let partitions = table
            .partitioned_by
            .iter()
            .filter_map(|name| Some((name.clone(), *places.get(name.as_str())?)))
            .collect::<Vec<_>>();
        let is_file = partitions.is_empty()
            && path.extension().is_some()
            && !path.is_dir()
            && !text.ends_with(std::path::MAIN_SEPARATOR);
        if !path.is_dir() && compression(&path).ok() != Some(Compression::None) {
            return Err(Error::unsupported(format!(
                "table '{}': packed files cannot be written",
                table.name
            ))
            .at(options.span("path")));
        }
        if !is_file && path.is_file() {
            return Err(Error::io(format!("table '{}': '{text}' is a file, not a directory", table.name))
                .at(options.span("path")));
        }
        let format = Format::from_options(options)?;
        let schema = table.record_schema(zone);
        // What the format cannot hold is refused now, not by the first row.
        format.encoder(&schema)?;
        let success_file = options.contains("sink.partition-commit.policy.kind").then(|| {
            options.text("sink.partition-commit.success-file.name").unwrap_or("_SUCCESS").to_string()
        });
        let duration = |key: &str, default: u64| -> Result<Duration> {
            Ok(options.duration(key)?.unwrap_or(Duration::from_secs(default)).max(Duration::from_millis(1)))
        };
        Ok(Self {
            shared: Arc::new(Shared {
                table: table.name.clone(),
                target: if is_file { Target::File(path) } else { Target::Directory(path) },
                format,
                schema,
                columns,
                partitions,
                partition_default: options.text("partition.default-name").unwrap_or(DEFAULT_PARTITION).into(),
                success_file,
                uuid: uuid::Uuid::new_v4(),
                roll_size: options.size("sink.rolling-policy.file-size")?.unwrap_or(128 << 20).max(1),
                roll_interval: duration("sink.rolling-policy.rollover-interval", 30 * 60)?,
                check_interval: duration("sink.rolling-policy.check-interval", 60)?,
                unbounded: !request.bounded,
                overwrite: request.overwrite,
                counter: AtomicUsize::new(0),
                parts: Mutex::default(),
                single: Mutex::default(),
                publishing: Mutex::default(),
                attempt: Mutex::default(),
                fuse: Fuse::default(),
            }),
        })
    }
}

#[cfg(test)]
impl FilesystemSink {
    /// Stops after so many steps of a commit.
    pub(super) fn crash_after(&self, steps: usize) {
        self.shared.fuse.set(steps);
    }
}

impl Shared {
    /// A new part for a task in a directory of partitions (empty without one).
    fn create(&self, task: usize, partition: &str) -> Result<Arc<Mutex<Part>>> {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let (directory, target, hidden) = match &self.target {
            Target::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let directory = directory_of(path);
                let hidden = directory.join(format!(".{name}-{}-{n}.inprogress", self.uuid));
                (directory, path.clone(), hidden)
            }
            Target::Directory(path) => {
                let directory = if partition.is_empty() { path.clone() } else { path.join(partition) };
                let name = format!("part-{}-{task}-{n}", self.uuid);
                let hidden = directory.join(format!(".{name}.inprogress"));
                (directory.clone(), directory.join(name), hidden)
            }
        };
        let part = Part::create(target, hidden, &self.header()?).map_err(|e| self.failed(e))?;
        let part = Arc::new(Mutex::new(part));
        self.parts.lock().push((directory, part.clone()));
        Ok(part)
    }

    /// What stands at the start of a file.
    pub(super) fn header(&self) -> Result<Vec<u8>> {
        let mut header = Vec::new();
        self.format.encoder(&self.schema)?.header(&mut header)?;
        Ok(header)
    }

    /// Shows what checkpoints hold.
    fn committer(&self) -> Result<Committer<'_>> {
        Ok(Committer {
            target: &self.target,
            partitioned: !self.partitions.is_empty(),
            overwrite: self.overwrite,
            success_file: self.success_file.as_deref(),
            header: self.header()?,
            fuse: &self.fuse,
        })
    }

    pub(super) fn failed(&self, e: Error) -> Error {
        e.context(format!("table '{}'", self.table))
    }

    /// Appends a writer's bytes to its part, or to a new one where it has none that is open.
    pub(super) fn append(&self, task: usize, open: &mut Open, partition: &str, release: bool) -> Result<()> {
        if open.buffer.is_empty() {
            return Ok(());
        }
        loop {
            let part = match (&self.target, &open.part) {
                (Target::Directory(_), Some(part)) => part.clone(),
                (Target::Directory(_), None) => open.part.insert(self.create(task, partition)?).clone(),
                (Target::File(_), _) => {
                    let mut single = self.single.lock();
                    match &*single {
                        Some(part) if part.lock().stage() == Stage::Open => part.clone(),
                        _ => single.insert(self.create(task, partition)?).clone(),
                    }
                }
            };
            let mut guard = part.lock();
            if guard.stage() != Stage::Open {
                open.part = None;
                continue;
            }
            guard.write(&open.buffer).map_err(|e| self.failed(e))?;
            open.buffer.clear();
            if release {
                guard.release();
            }
            let unbounded = self.unbounded;
            // A bounded job's single file is one file, however large.
            let rolls = unbounded || matches!(self.target, Target::Directory(_));
            if rolls && guard.written() >= self.roll_size {
                guard.close();
                guard.release();
                open.part = None;
                drop(guard);
                if unbounded {
                    self.publish(|part| part.stage() == Stage::Closed)?;
                }
            }
            return Ok(());
        }
    }

    /// Makes the parts visible that are meant.
    fn publish(&self, meant: impl Fn(&Part) -> bool) -> Result<()> {
        let _in_turn = self.publishing.lock();
        let ready: Vec<_> = {
            let mut parts = self.parts.lock();
            let (ready, rest) = std::mem::take(&mut *parts).into_iter().partition(|(_, p)| meant(&p.lock()));
            *parts = rest;
            ready
        };
        let mut ready = ready.into_iter();
        while let Some((directory, part)) = ready.next() {
            let published = part.lock().publish(self.overwrite);
            let published = published.and_then(|()| match &self.success_file {
                Some(name) => std::fs::write(directory.join(name), b"").map_err(|e| {
                    Error::io(format!("'{}' could not be written: {e}", directory.join(name).display()))
                }),
                None => Ok(()),
            });
            if let Err(e) = published {
                // What is not visible stays known, for `abort`.
                self.parts.lock().extend(std::iter::once((directory, part)).chain(ready));
                return Err(self.failed(e));
            }
        }
        Ok(())
    }

    /// The files that an overwriting job replaces: of the whole table, or of the partitions that got rows.
    fn replaced(&self) -> Result<Vec<PathBuf>> {
        let directories: BTreeSet<PathBuf> = match &self.target {
            Target::File(_) => return Ok(Vec::new()),
            Target::Directory(path) if self.partitions.is_empty() => [path.clone()].into(),
            Target::Directory(_) => self.parts.lock().iter().map(|(d, _)| d.clone()).collect(),
        };
        let mut old = Vec::new();
        for directory in directories {
            let files = super::files::data_files(&directory);
            old.extend(files.map_err(|e| super::files::unreadable(&directory, &e))?);
        }
        Ok(old)
    }

    /// Whether there are parts that are not visible.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.lock().is_empty()
    }

    /// Closes and shows the parts that are old enough, of all writers.
    pub(super) fn roll(&self, now: Instant) -> Result<()> {
        for (_, part) in self.parts.lock().iter() {
            let mut part = part.lock();
            if now.saturating_duration_since(part.opened()) >= self.roll_interval {
                part.close();
            }
        }
        self.publish(|part| part.stage() == Stage::Closed)
    }

    fn discard(&self) {
        let _in_turn = self.publishing.lock();
        for (_, part) in self.parts.lock().drain(..) {
            part.lock().discard();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Sink for FilesystemSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn recover(&self, pending: &[serde_json::Value]) -> Result<()> {
        let shared = &self.shared;
        let mut attempt = shared.attempt.lock();
        let former = attempt.as_ref().map(|a| a.sink.clone());
        let recovered = shared.committer()?.recover(pending, former.as_deref());
        *attempt = Some(Arc::new(recovered.map_err(|e| shared.failed(e))?));
        Ok(())
    }

    fn begun(&self) -> Vec<serde_json::Value> {
        let attempt = self.shared.attempt.lock();
        let state = attempt.as_ref().map(|attempt| WriterState::begun(attempt.sink.clone()));
        state.and_then(|state| serde_json::to_value(state).ok()).into_iter().collect()
    }

    fn begun_with(&self, pending: &[serde_json::Value]) -> Vec<serde_json::Value> {
        let sinks = WriterState::sinks(pending).into_iter().map(WriterState::begun);
        sinks.filter_map(|state| serde_json::to_value(state).ok()).collect()
    }

    fn commit_epoch(&self, _epoch: u64, pending: &[serde_json::Value]) -> Result<()> {
        let shared = &self.shared;
        let Some(attempt) = shared.attempt.lock().clone() else {
            return Err(Error::internal("a checkpoint is committed by a sink without checkpoints"));
        };
        shared.committer()?.commit(&attempt, pending).map_err(|e| shared.failed(e))
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let attempt = self.shared.attempt.lock().clone();
        Ok(Box::new(FilesystemWriter::new(self.shared.clone(), context, attempt)?))
    }

    fn commit(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.attempt.lock().is_some() {
            // The last checkpoint has done it.
            return Ok(());
        }
        let overwrite = shared.overwrite;
        // A file that was asked for is there, even when no row came.
        if let Target::File(path) = &shared.target
            && shared.counter.load(Ordering::Relaxed) == 0
            && (overwrite || !path.exists())
        {
            shared.create(0, "")?;
        }
        let old = if overwrite { shared.replaced()? } else { Vec::new() };
        shared.publish(|_| true)?;
        // Last, so that whatever happens no row is in neither.
        for path in old {
            std::fs::remove_file(&path)
                .map_err(|e| Error::io(format!("'{}' could not be removed: {e}", path.display())))?;
        }
        Ok(())
    }

    fn abort(&self) {
        self.shared.discard();
    }
}
