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
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::commit::{Fuse, WriterState};
use super::files::{Compression, DEFAULT_PARTITION, compression, local_path};
use super::part::Target;
use super::shared::Shared;
use super::writer::FilesystemWriter;
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
        let in_table = |e: Error| e.context(format!("table '{}'", table.name));
        if format.file_encoder(&schema, zone).map_err(in_table)?.is_none() {
            format.encoder(&schema)?;
        } else if is_file && !request.bounded {
            return Err(Error::unsupported(format!(
                "table '{}': a file of format '{}' cannot grow, and the query never ends",
                table.name,
                format.name()
            ))
            .at(options.span("path"))
            .with_hint(format!("write to a folder: 'path' = '{}/'", text.trim_end_matches('/'))));
        }
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
                zone: zone.clone(),
                columns,
                partitions,
                partition_default: options.text("partition.default-name").unwrap_or(DEFAULT_PARTITION).into(),
                success_file,
                roll_size: options.size("sink.rolling-policy.file-size")?.unwrap_or(128 << 20).max(1),
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
                "files of table '{}' show when they are closed, {} min after their first row at the latest:                  'sink.rolling-policy.rollover-interval' = '10 s' shows rows sooner, in more files",
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
