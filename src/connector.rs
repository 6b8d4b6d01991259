//! Sources and sinks, and the registry that finds them by name.

pub mod blackhole;
pub mod datagen;
pub mod filesystem;
pub mod http;
pub mod nexmark;
pub mod print;
pub mod registry;
pub mod shared;
pub mod stdio;

pub use registry::{Connector, connector, connector_names};

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kinds, Split, Waker};

/// What a query wants from a table.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// The table, with the options that hold for this reference.
    pub table: Arc<Table>,
    /// The wanted physical and metadata columns, by index into [`Table::columns`], in output order.
    pub projection: Vec<usize>,
    /// Their Arrow schema: what the reader's batches look like.
    pub schema: SchemaRef,
    /// Upper bound of rows in a batch.
    pub batch_rows: usize,
}

/// Which kinds of change the rows of a source have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceChangelog {
    /// `+I` only.
    Append,
    /// `+I`, `+U` and `-D` by the table's PRIMARY KEY: a row takes the place of the one with the same key,
    /// whatever its kind says, and of a `-D` only the key need be right. To be normalized before anything
    /// else sees it.
    Upsert,
    /// All four kinds; `-U` comes directly before its `+U`, with the whole row.
    All,
}

/// Which kinds of change a sink can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkChangelog {
    /// `+I` only.
    Append,
    /// `+I`, `+U` and `-D`; `-U` is not needed. What is updated is found by the table's PRIMARY KEY; a
    /// table without one takes the changes as they come.
    Upsert,
    /// All four kinds: `-U` is part of what is written.
    All,
}

/// A scan that was planned: makes one reader a task.
pub trait Source: Send + Sync {
    /// False when it never ends by itself.
    fn bounded(&self) -> bool;

    /// How many readers make sense (1: the source cannot be split).
    fn max_parallelism(&self) -> usize;

    /// A reader for one task. Readers of one source share its splits: what one takes, no other sees.
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>>;

    /// Which kinds of change its rows have.
    fn changelog(&self) -> SourceChangelog {
        SourceChangelog::Append
    }

    /// What EXPLAIN prints behind the connector's name: path, splits, ...
    fn describe(&self) -> String {
        String::new()
    }
}

/// What a reader gets from its task.
#[derive(Debug, Clone)]
pub struct ReaderContext {
    /// Index of the task.
    pub task: usize,
    /// Number of tasks.
    pub parallelism: usize,
    /// Makes the task read again after [`Read::Pending`].
    pub waker: Waker,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
}

/// What a reader has.
#[derive(Debug)]
pub enum Read {
    /// Rows that had arrived, at least one, with the schema of the request. Never waits to fill up.
    Batch(RecordBatch),
    /// Rows of any kind, as for [`Read::Batch`].
    Changes(RecordBatch, Kinds),
    /// Nothing now: the waker will be called.
    Pending,
    /// Nothing any more.
    End,
}

impl Read {
    /// Rows with their kinds.
    pub fn rows(batch: RecordBatch, kinds: Kinds) -> Self {
        match kinds {
            Kinds::Append => Self::Batch(batch),
            kinds => Self::Changes(batch, kinds),
        }
    }
}

/// Reads on the compute thread of one task: takes bytes that have arrived and decodes them there.
pub trait Reader: Send {
    /// The next piece.
    fn read(&mut self) -> Result<Read>;

    /// Bytes of input consumed so far and, where known, in total: for progress. Both are added up over
    /// the readers of a source.
    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }

    /// The split that the rows of the last [`Reader::read`] came from. Readers whose rows are one stream
    /// have one split.
    fn split(&self) -> Split {
        Split::default()
    }

    /// Records left out so far because they could not be decoded and the table says so.
    fn skipped(&self) -> u64 {
        0
    }
}

/// A sink that was planned: makes one writer a task.
pub trait Sink: Send + Sync {
    /// Which kinds of change can be written.
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::Append
    }

    /// Called before the first writer when the input never ends by itself: results are then to be made
    /// visible while the job runs, and not only by [`Sink::commit`].
    fn unbounded(&self) {}

    /// Called before the first writer for INSERT OVERWRITE of a bounded job: rows take the place of what
    /// the table (of its partitions, those that get rows) holds, when the job commits.
    fn overwrite(&self) -> Result<()> {
        Err(Error::unsupported("INSERT OVERWRITE is not supported by this connector")
            .with_hint("INSERT INTO adds rows; connector 'filesystem' can be overwritten"))
    }

    /// A writer for one task.
    fn writer(&self, task: usize) -> Result<Box<dyn Writer>>;

    /// All writers have finished: make the result visible.
    fn commit(&self) -> Result<()> {
        Ok(())
    }

    /// The job failed or was cancelled: leave nothing half-written visible.
    fn abort(&self) {}
}

/// Writes on the compute thread of one task.
pub trait Writer: Send {
    /// Rows in the schema of the sink's table (physical columns, and metadata columns that are not virtual).
    fn write(&mut self, chunk: &Chunk) -> Result<()>;

    /// Called when the task has nothing else to do: hand over what is buffered.
    fn flush(&mut self) -> Result<()>;

    /// The input has ended.
    fn finish(&mut self) -> Result<()>;
}
