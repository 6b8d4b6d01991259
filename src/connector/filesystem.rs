//! Files: a source, a sink, and a lookup table with a FULL cache.
//!
//! # Reading
//! `path` is a file, a directory (everything below it, without names that start with `.` or `_`) or a
//! pattern; also a `file:` URL. Files are read in order of their paths. Large files whose format cuts
//! records at newlines are read in pieces by several tasks; packed files (`.gz`) and csv with quotes are not
//! cut. With `source.monitor-interval` the source never ends: new files are picked up and growing ones are
//! followed. Columns of PARTITIONED BY come from directories named `column=value`.
//!
//! # Writing
//! To a directory: `part-<uuid>-<task>-<n>` files, one a task (and partition). To a path with an extension,
//! such as `out.jsonl`, that is no directory: one file, shared by all tasks. What is being written is hidden
//! (`.….inprogress`) and appears when the job ends well; INSERT INTO adds rows to what was there
//! before, INSERT OVERWRITE replaces it. Jobs that
//! never end show their files as they are rolled.
//!
//! # Checkpoints
//! Exactly-once. The source goes back to where it was in each file; files that were changed, cut short or taken away
//! in the meantime fail the job if they were to be read on, and are warned about otherwise. The sink shows rows
//! when they are in a durable checkpoint: a job that never ends shows files that are rolled with the next
//! checkpoint (and one file for all with every one), a bounded job shows everything when it is through.
//! Hidden files of a job that is never resumed stay.
//!
//! # Object stores
//! `s3://bucket/path`, `gs://`, `az://`, and to read one file `http://` and `https://`. An object is complete when it is
//! there; one that is written anew is another one. Files are written as uploads in parts, which are completed
//! when a checkpoint is durable; they end with every checkpoint.
//!
//! # Metadata
//! `file.path`, `file.name` (STRING), `file.size` (BIGINT), `file.modification-time` (TIMESTAMP_LTZ(3)), all
//! read only.

#[cfg(feature = "parquet")]
mod columns;
mod commit;
mod directories;
#[cfg_attr(
    not(feature = "s3"),
    allow(dead_code, reason = "what only object stores need is dead in builds without them")
)]
mod files;
mod followed;
mod input;
mod join;
mod layout;
mod load;
#[cfg_attr(
    not(feature = "s3"),
    allow(dead_code, reason = "what only object stores need is dead in builds without them")
)]
mod object;
#[cfg(feature = "s3")]
mod object_sink;
#[cfg(feature = "s3")]
mod objects;
mod packed;
mod part;
mod partition;
mod position;
mod pump;
mod reader;
mod sample;
mod shared;
mod sink;
mod source;
#[cfg(test)]
mod tests;
#[cfg(feature = "s3")]
mod upload;
mod walk;
mod writer;

use std::sync::Arc;

use self::files::Location;
use self::layout::{Layout, METADATA};
pub(super) use self::packed::stem as unpacked_name;
pub(super) use self::sample::{by_name, recognise};
use super::{Connector, Nature};
use super::{Place, ScanRequest, Sink, SinkRequest, Source, SourceChangelog};
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::catalog::{ColumnSource, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lookup::{Backend, LookupRequest};

/// `'connector' = 'filesystem'`.
#[derive(Debug)]
pub struct Filesystem;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "path",
        OptionKind::Text,
        "",
        "a file, a directory or a pattern; also s3://, gs://, az://, and to read http:// and https://",
    ),
    #[cfg(feature = "s3")]
    OptionDef::new(
        "s3.endpoint",
        OptionKind::Text,
        "",
        "another address than that of AWS; default: AWS_ENDPOINT_URL",
    ),
    #[cfg(feature = "s3")]
    OptionDef::new("s3.region", OptionKind::Text, "", "default: AWS_REGION"),
    #[cfg(feature = "s3")]
    OptionDef::new(
        "s3.access-key",
        OptionKind::Text,
        "",
        "default: AWS_ACCESS_KEY_ID and what else a machine of AWS has",
    ),
    #[cfg(feature = "s3")]
    OptionDef::new(
        "s3.secret-key",
        OptionKind::Text,
        "",
        "with the key's id; ${NAME} is taken from the environment",
    ),
    #[cfg(feature = "s3")]
    OptionDef::new("s3.session-token", OptionKind::Text, "", "of temporary credentials"),
    #[cfg(feature = "s3")]
    OptionDef::new(
        "s3.path.style.access",
        OptionKind::Bool,
        "true",
        "the bucket is in the path of requests; 'false': in the name of the host",
    ),
    OptionDef::new(
        "source.monitor-interval",
        OptionKind::Duration,
        "",
        "look for new files and data this often; without it, the source ends",
    ),
    OptionDef::new(
        "source.path.regex-pattern",
        OptionKind::Text,
        "",
        "read only files whose whole path matches",
    ),
    OptionDef::new(
        "partition.default-name",
        OptionKind::Text,
        files::DEFAULT_PARTITION,
        "the directory name for NULL",
    ),
    OptionDef::new(
        "sink.rolling-policy.file-size",
        OptionKind::Size,
        "128 mb",
        "a file that is larger is closed, and another begun",
    ),
    OptionDef::new(
        "sink.rolling-policy.rollover-interval",
        OptionKind::Duration,
        "30 min",
        "endless jobs: how long a file stays open before it is closed and shown",
    ),
    OptionDef::new(
        "sink.rolling-policy.check-interval",
        OptionKind::Duration,
        "1 min",
        "jobs that never end: how often the age of files is looked at",
    ),
    OptionDef::new(
        "sink.partition-commit.trigger",
        OptionKind::Choice(&["process-time", "partition-time"]),
        "process-time",
        "when a partition is complete: by the clock, or when the watermark passes the time in its name",
    ),
    OptionDef::new(
        "sink.partition-commit.delay",
        OptionKind::Duration,
        "0 s",
        "a partition is complete so much later",
    ),
    OptionDef::new(
        "sink.partition-commit.watermark-time-zone",
        OptionKind::Text,
        "UTC",
        "partition-time: the zone of the times in the names, where the watermark is that of a TIMESTAMP_LTZ",
    ),
    OptionDef::new(
        "partition.time-extractor.kind",
        OptionKind::Text,
        "default",
        "how a time is made of partition columns; default only",
    ),
    OptionDef::new(
        "partition.time-extractor.timestamp-pattern",
        OptionKind::Text,
        "",
        "partition-time: a time of partition columns, such as '$dt $hour:00:00'; the first column without it",
    ),
    OptionDef::new(
        "partition.time-extractor.timestamp-formatter",
        OptionKind::Text,
        "yyyy-MM-dd HH:mm:ss",
        "partition-time: the form of that time",
    ),
    OptionDef::new(
        "sink.partition-commit.policy.kind",
        OptionKind::Text,
        "",
        "success-file: put a file into partitions that got rows",
    ),
    OptionDef::new(
        "sink.partition-commit.success-file.name",
        OptionKind::Text,
        "_SUCCESS",
        "the name of that file",
    ),
];

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn doc(&self) -> &'static str {
        "files and directories, as source, sink and lookup table"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn takes_partitions(&self) -> bool {
        true
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        METADATA
    }

    fn check(&self, table: &Table) -> Result<()> {
        let options = &table.options;
        let is_local = files::is_local(options)?;
        if is_local {
            files::local_path(options)?;
            if let Some((key, _)) = options.iter().find(|(key, _)| key.starts_with("s3.")) {
                return Err(Error::option(format!("option '{key}' is for paths that begin with s3://"))
                    .at(options.span(key)));
            }
        }
        if options.duration("source.monitor-interval")?.is_some_and(|d| d.is_zero()) {
            return Err(Error::option("option 'source.monitor-interval' must be longer than 0")
                .at(options.span("source.monitor-interval")));
        }
        for column in &table.partitioned_by {
            match table.column(column) {
                Some((_, c)) if matches!(c.source, ColumnSource::Physical { .. }) => {}
                Some(_) => {
                    return Err(Error::plan(format!(
                        "partition column '{column}' must be a physical column"
                    )));
                }
                None => return Err(Error::plan(format!("partition column '{column}' is not a column"))),
            }
        }
        let physical = table.columns.iter().filter(|c| matches!(c.source, ColumnSource::Physical { .. }));
        if !table.partitioned_by.is_empty() && physical.count() == table.partitioned_by.len() {
            return Err(Error::plan("PARTITIONED BY leaves no column for the files"));
        }
        for column in &table.columns {
            if let ColumnSource::Metadata { data_type, key, .. } = &column.source {
                layout::check_metadata_type(&column.name, key, &data_type.to_arrow("UTC"))?;
            }
        }
        partition::check(table)
    }

    fn nature(&self, table: &Table) -> Nature {
        let remote = !files::is_local(&table.options).unwrap_or(true);
        let bounded = !table.options.contains("source.monitor-interval");
        let reads_locally = bounded && !remote;
        Nature {
            bounded,
            reads_locally,
            answers_locally: !remote,
            ..Nature::declared(self.options(), &table.options)
        }
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let location = Location::new(table)?;
        let at = match files::is_local(&table.options)? {
            true => std::path::absolute(location.text())?.display().to_string(),
            false => location.text().to_string(),
        };
        Ok(Some(Place::new(self.name(), at, location.text())))
    }

    fn infer(&self, options: &Options) -> Result<Option<crate::format::infer::Inferred>> {
        sample::infer(options)
    }

    fn examine(&self, table: &Table) -> Result<Vec<String>> {
        if !files::is_local(&table.options)? {
            // Requests are for `check --connect`.
            return Ok(Vec::new());
        }
        sample::examine(table)
    }

    fn loads_whole(&self) -> bool {
        true
    }

    fn is_lookup(&self, options: &Options) -> bool {
        // A folder that is followed is a stream.
        !options.contains("source.monitor-interval")
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = &request.table;
        let format = Format::from_options(&table.options)?;
        let layout = Layout::new(
            table,
            format,
            &request.projection,
            &request.schema,
            request.batch_rows,
            &request.zone,
        )?;
        let monitor = table.options.duration("source.monitor-interval")?;
        let source =
            source::FilesystemSource::new(layout, Location::new(table)?, monitor, source::SPLIT_SIZE)
                .map_err(|e| e.at(table.options.span("path")))?;
        Ok(Arc::new(source))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        #[cfg(feature = "s3")]
        if let Some(sink) = sink::object_sink(request)? {
            return Ok(sink);
        }
        Ok(Arc::new(sink::FilesystemSink::new(request)?))
    }

    fn overwrites(&self) -> bool {
        true
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let table = &request.table;
        let format = Format::from_options(&table.options)?;
        if format.source_changelog() != SourceChangelog::Append {
            return Err(Error::unsupported(format!(
                "table '{}': its files hold changes, a lookup needs rows",
                table.name
            ))
            .at(table.options.span("format"))
            .with_hint("join it as a stream (without FOR SYSTEM_TIME AS OF), or keep the rows in a file of their own"));
        }
        let column = |name: &str| {
            let found = table.column(name).map(|(index, _)| index);
            found.ok_or_else(|| Error::internal(format!("table '{}' has no column '{name}'", table.name)))
        };
        let given = request.schema.fields().iter().map(|f| column(f.name())).collect::<Result<Vec<_>>>()?;
        let layout = Layout::new(table, format, &given, &request.schema, 8192, "UTC")?;
        let backend = load::FileBackend::new(layout, Location::new(table)?, request.schema.clone())
            .map_err(|e| e.at(table.options.span("path")))?;
        Ok(Arc::new(backend))
    }
}
