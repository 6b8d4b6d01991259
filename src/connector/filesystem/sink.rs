//! Writing: parts that are hidden until they count.
//!
//! ```text
//!  task 0 ── encode ──> 1 MiB ──> .part-a-0-0-<sink>.inprogress ──┐ commit
//!  task 1 ── encode ──> 1 MiB ──> .part-a-1-0-<sink>.inprogress ──┴──────> part-a-0-0, part-a-1-0
//! ```
//! There is one way to write. A [writer](super::writer) has its own parts; [`super::commit`] makes them visible: when
//! a checkpoint is durable, each row once; without checkpoints when a bounded job has ended well, or when a part of an
//! endless one is rolled by size or age. The renames are not one atomic step: a machine that stops between two of them
//! leaves the first ones visible.
//!
//! What may take long (syncing files, showing those of an endless job) runs on threads that may wait.

use std::collections::HashMap;
#[cfg(feature = "s3")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::commit::{Fuse, WriterState};
use super::directories::Directories;
use super::files::{Compression, DEFAULT_PARTITION, compression, local_path};
use super::part::Target;
use super::partition::Policy;
use super::shared::Shared;
use super::writer::FilesystemWriter;
use crate::catalog::ColumnSource;
use crate::connector::{Guarantee, Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::format::Format;

/// A planned sink.
pub(super) struct FilesystemSink {
    shared: Arc<Shared>,
}

/// What all sinks of files have in common.
struct Rows {
    /// Columns of a record, by their positions in the rows.
    columns: Vec<usize>,
    directories: Directories,
    format: Format,
    schema: SchemaRef,
    policy: Option<Policy>,
    roll_size: u64,
}

impl Rows {
    /// Checks that the table can be written.
    fn of(request: &SinkRequest, separator: char) -> Result<Self> {
        let SinkRequest { table, zone, .. } = request;
        let options = &table.options;
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
        let format = Format::from_options(options)?;
        let schema = table.record_schema(zone);
        // What the format cannot hold is refused now, not by the first row.
        let in_table = |e| table.context(e);
        if format.file_encoder(&schema, zone).map_err(in_table)?.is_none() {
            format.encoder(&schema)?;
        }
        let default = options.text("partition.default-name").unwrap_or(DEFAULT_PARTITION).into();
        Ok(Self {
            columns,
            directories: Directories { columns: partitions, default, separator },
            format,
            schema,
            policy: Policy::of(table)?,
            roll_size: options.size("sink.rolling-policy.file-size")?.unwrap_or(128 << 20).max(1),
        })
    }
}

/// The sink of a table in an object store; `None` when its path is on this machine.
#[cfg(feature = "s3")]
pub(super) fn object_sink(request: &SinkRequest) -> Result<Option<Arc<dyn Sink>>> {
    use super::object_sink::{ObjectSink, Plan};
    use super::objects::Objects;
    let SinkRequest { table, zone, .. } = request;
    let options = &table.options;
    let Some(objects) = Objects::of(options)? else { return Ok(None) };
    let rows = Rows::of(request, '/')?;
    let refuse = |what: &str, hint: &str| {
        Err(Error::unsupported(format!("table '{}': {what}", table.name))
            .at(options.span("path"))
            .with_hint(hint))
    };
    if objects.bucket.is_web() {
        return refuse("a web server is read only", "write to a local path, s3://, gs:// or az://");
    }
    let text = options.required("path")?;
    if !text.ends_with('/') && Path::new(&objects.key).extension().is_some() {
        let hint = format!("name a folder, which gets files: 'path' = '{text}/'");
        return refuse("nothing can be added to an object", &hint);
    }
    if !request.bounded && rows.policy.as_ref().is_some_and(|policy| !policy.at_once()) {
        let hint = "leave 'sink.partition-commit.trigger' and 'sink.partition-commit.delay' out";
        return refuse("partitions in an object store are complete whenever they get files", hint);
    }
    if !request.bounded && !request.checkpoints {
        let hint = "SET 'execution.checkpointing.interval' = '1 min'";
        return refuse("an endless query writes to an object store with checkpoints only", hint);
    }
    let folder = if objects.key.is_empty() { String::new() } else { format!("{}/", objects.key) };
    Ok(Some(Arc::new(ObjectSink::new(Plan {
        table: table.name.clone(),
        bucket: objects.bucket,
        folder,
        format: rows.format,
        schema: rows.schema,
        zone: zone.clone(),
        columns: rows.columns,
        directories: rows.directories,
        success_file: rows.policy.map(|policy| policy.success_file().to_string()),
        roll_size: rows.roll_size,
        unbounded: !request.bounded,
        overwrite: request.overwrite,
        checkpoints: request.checkpoints,
        told: Default::default(),
    }))))
}

impl FilesystemSink {
    /// Checks that the table can be written.
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, zone, .. } = request;
        let options = &table.options;
        let rows = Rows::of(request, std::path::MAIN_SEPARATOR)?;
        let (path, text) = (local_path(options)?, options.required("path")?);
        let is_file = rows.directories.is_empty()
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
        if rows.format.is_of_files() && is_file && !request.bounded {
            return Err(Error::unsupported(format!(
                "table '{}': a file of format '{}' cannot grow, and the query never ends",
                table.name,
                rows.format.name()
            ))
            .at(options.span("path"))
            .with_hint(format!("write to a folder: 'path' = '{}/'", text.trim_end_matches('/'))));
        }
        let waits = !request.bounded && rows.policy.as_ref().is_some_and(|policy| !policy.at_once());
        if waits && !request.checkpoints {
            return Err(Error::unsupported(format!(
                "table '{}': an endless query completes partitions later with checkpoints only",
                table.name
            ))
            .at(options.span("sink.partition-commit.trigger"))
            .with_hint("SET 'execution.checkpointing.interval' = '1 min'"));
        }
        let duration = |key: &str, default: u64| -> Result<Duration> {
            Ok(options.duration(key)?.unwrap_or(Duration::from_secs(default)).max(Duration::from_millis(1)))
        };
        Ok(Self {
            shared: Arc::new(Shared {
                table: table.name.clone(),
                target: if is_file { Target::File(path) } else { Target::Directory(path) },
                format: rows.format,
                schema: rows.schema,
                zone: zone.clone(),
                columns: rows.columns,
                directories: rows.directories,
                policy: rows.policy,
                roll_size: rows.roll_size,
                roll_interval: duration("sink.rolling-policy.rollover-interval", 30 * 60)?,
                check_interval: duration("sink.rolling-policy.check-interval", 60)?,
                unbounded: !request.bounded,
                overwrite: request.overwrite,
                attempt: Mutex::default(),
                fuse: Fuse::default(),
            }),
        })
    }
}

#[cfg(test)]
impl FilesystemSink {
    /// Stops after this many steps of a commit.
    pub(super) fn crash_after(&self, steps: usize) {
        self.shared.fuse.set(steps);
    }
}

impl Sink for FilesystemSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn delay(&self) -> Option<String> {
        let Shared { target, unbounded, roll_interval, .. } = self.shared.as_ref();
        let long = *unbounded && *roll_interval > Duration::from_secs(60);
        (long && matches!(target, Target::Directory(_))).then(|| {
            format!(
                "files of table '{}' show when they are closed, {} min after their first row at the latest: \
                 'sink.rolling-policy.rollover-interval' = '10 s' shows rows sooner, in more files",
                self.shared.table,
                roll_interval.as_secs() / 60
            )
        })
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
        let attempt = self.shared.attempt();
        Ok(Box::new(FilesystemWriter::new(self.shared.clone(), context, attempt)?))
    }

    fn commit(&self) -> Result<()> {
        let (shared, attempt) = (&self.shared, self.shared.attempt());
        if attempt.checkpoints {
            // The last checkpoint has done it.
            return Ok(());
        }
        shared.committer()?.commit_finished(&attempt).map_err(|e| shared.failed(e))
    }

    fn abort(&self) {
        self.shared.discard();
    }
}
