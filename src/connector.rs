//! Sources and sinks, and the registry that finds them by name.

pub mod blackhole;
pub mod checkpoint;
mod common_cut;
pub mod datagen;
pub mod embedded;
pub mod filesystem;
pub mod http;
pub mod jdbc;
pub mod nexmark;
mod position;
pub mod print;
pub mod registry;
#[cfg(test)]
pub(crate) mod replay;
pub mod shared;
pub mod stdio;
pub mod values;

pub use registry::{Connector, connector, connector_names};
pub(crate) use shared::unmarked;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::catalog::{Column, Table};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kinds, Splits, StageMetrics, Waker};
use crate::secret::redact;

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

/// Where a table reads or writes: kept in checkpoints, so that another place is not taken for the same one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The connector.
    pub connector: String,
    /// The place itself, whatever the working directory: an absolute path, a URL, a topic and its servers, a stream
    /// and its region, tables and their database.
    pub at: String,
    /// The same as the table's option writes it: positions may be named by it.
    pub written: String,
    /// Tells places apart where their texts must not be written to disk.
    digest: String,
    /// Where the same data was before, as the table's options say.
    #[serde(skip)]
    pub moved_from: Option<String>,
}

impl Place {
    /// A place that positions may name as `written`.
    pub fn new(connector: &str, at: impl Into<String>, written: impl Into<String>) -> Self {
        let (at, written) = (at.into(), written.into());
        let digest = Sha256::digest(format!("{connector}\n{at}"));
        let digest = digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { connector: connector.into(), at, written, digest, moved_from: None }
    }

    /// Whether it is the same place.
    pub fn is(&self, other: &Place) -> bool {
        self.digest == other.digest
    }

    /// As a checkpoint has it: values of variables are shown by name.
    pub fn recorded(&self) -> Self {
        let plain = |text: &str| redact(text).into_owned();
        Self { at: plain(&self.at), written: plain(&self.written), ..self.clone() }
    }

    /// Whether the data that is here was in another place, one of a checkpoint, before.
    pub fn moved_from(&self, before: &Place) -> bool {
        let plain = |text: &str| redact(text.trim_end_matches('/')).into_owned();
        let from = self.moved_from.as_deref().map(plain);
        self.connector == before.connector
            && from.is_some_and(|from| from == plain(&before.at) || from == plain(&before.written))
    }
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

    /// Rows can be read again from a position: nothing is lost or doubled when the job comes back from a
    /// checkpoint.
    fn replays(&self) -> bool {
        false
    }

    /// Goes back to positions that its readers reported with [`Reader::cut`] and [`Reader::leave`], of every split
    /// that was begun by then; the others are read from their beginning. Without positions everything is read again.
    ///
    /// Called before readers are made, on a new source or on one whose readers are gone, on the thread of the
    /// job: it may wait (`runtime.block_on`) for what it has to ask. An error of a kind that may pass is tried again
    /// as the job's restart strategy says.
    fn restore(&self, _positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        Ok(())
    }

    /// The checkpoint with these positions is durable: what lies before them will not be read again, and may be
    /// acknowledged to the outside. Called for every checkpoint in order, and for the one that a job is restored
    /// from, on the thread that coordinates checkpoints: it starts what it has to send and does not wait for it. A
    /// failure is for the log, because the checkpoint stands.
    fn committed(&self, _epoch: u64, _positions: &Positions) -> Result<()> {
        Ok(())
    }

    /// [`Source::restore`], from positions as a checkpoint has them: for the engine.
    fn resume(&self, stored: &Positions, runtime: &tokio::runtime::Handle) -> Result<()> {
        self.restore(&shared::unmarked(stored), runtime)
    }

    /// [`Source::committed`], with positions as a checkpoint has them: for the engine.
    fn durable(&self, epoch: u64, stored: &Positions) -> Result<()> {
        self.committed(epoch, &shared::unmarked(stored))
    }

    /// Positions that were taken where the same data was before it was moved, as this source would have named them.
    /// `from`: the names of that place, one of which the positions may have. Called before [`Source::restore`].
    fn moved(&self, positions: Positions, _from: &[&str]) -> Result<Positions> {
        Ok(positions)
    }
}

/// Where the readers of a source are: a position for each split that was begun, by the split's name. Names and
/// positions are the source's own, any JSON that it understands; a split that was read to its end keeps a position
/// that says so. `null` in what a reader reports: the split is to be forgotten. A restored job has the positions
/// that it was restored with, until its readers report others.
pub type Positions = BTreeMap<String, serde_json::Value>;

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
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The counters of the source.
    pub metrics: Arc<StageMetrics>,
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

    /// Which splits the rows of the last [`Reader::read`] came from, and which of them have begun and ended; asked once
    /// after every read, with or without rows. Readers whose rows are one stream have one split.
    fn splits(&mut self) -> Splits {
        Splits::default()
    }

    /// Records left out so far because they could not be decoded and the table says so.
    fn skipped(&self) -> u64 {
        0
    }

    /// The barrier of a checkpoint comes after the last row that was returned: the positions of the splits
    /// that have changed since the last call. `None` when other rows have to come before it (readers
    /// that share what they read stop at the same row): it is asked again after the next
    /// [`Reader::read`], or when the reader is woken.
    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        Ok(Some(Positions::new()))
    }

    /// The reader is left for good: it has ended, or is to end here. The positions of the splits that have changed
    /// since the last cut; they belong to the next checkpoint. Neither [`Reader::read`] nor [`Reader::cut`] follows.
    fn leave(&mut self) -> Result<Positions> {
        Ok(Positions::new())
    }
}

/// What a sink promises about rows when a job comes back from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Each row is there once.
    ExactlyOnce,
    /// Each row is there; those behind the last checkpoint may be there twice.
    AtLeastOnce,
}

impl Guarantee {
    /// `exactly-once`, `at-least-once`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }
}

/// What a query asks of a table that it writes to.
#[derive(Clone)]
pub struct SinkRequest {
    /// The table, with the options that hold for this INSERT.
    pub table: Arc<Table>,
    /// The time zone of TIMESTAMP_LTZ.
    pub zone: String,
    /// The columns that the writers get, in this order: physical ones, and metadata columns that are not virtual.
    pub schema: SchemaRef,
    /// The PRIMARY KEY, as positions in `schema`; empty without one.
    pub key: Vec<usize>,
    /// The query changes rows that it emitted before.
    pub changes: bool,
    /// INSERT OVERWRITE: the rows take the place of what the table (of its partitions, those that get rows) holds,
    /// when the job commits. Asked of connectors that say so ([`Connector::overwrites`]), for bounded queries.
    pub overwrite: bool,
    /// The input ends by itself. Otherwise results are to be made visible while the job runs, and not only by
    /// [`Sink::commit`].
    pub bounded: bool,
    /// The job makes checkpoints: results become visible by [`Sink::commit_epoch`] alone.
    pub checkpoints: bool,
    /// What the sinks of one job share.
    pub job: SinkJob,
}

impl SinkRequest {
    /// For a query that adds rows and ends, in a job without checkpoints and with no other sink.
    pub fn new(table: &Arc<Table>, zone: &str) -> Self {
        let persisted = || table.columns.iter().filter(|c| c.is_persisted());
        let field = |c: &Column| {
            let (data_type, nullable) = c.declared()?;
            Some(Field::new(&c.name, data_type.to_arrow(zone), nullable))
        };
        Self {
            schema: Arc::new(Schema::new(persisted().filter_map(field).collect::<Vec<_>>())),
            key: table.primary_key.iter().filter_map(|k| persisted().position(|c| c.name == *k)).collect(),
            table: table.clone(),
            zone: zone.to_string(),
            changes: false,
            overwrite: false,
            bounded: true,
            checkpoints: false,
            job: SinkJob::default(),
        }
    }
}

/// What the sinks of one job share, by a name of their own: one transaction for several tables, for example.
#[derive(Clone, Default)]
pub struct SinkJob(Arc<Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>>);

impl SinkJob {
    /// What is shared under a name, made by the first sink that asks.
    pub fn share<T: Send + Sync + 'static>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Arc<T>>,
    ) -> Result<Arc<T>> {
        let mut shared = self.0.lock();
        if let Some(there) = shared.get(name) {
            let there = there.clone().downcast::<T>();
            return there.map_err(|_| Error::internal(format!("'{name}' is shared by sinks of two kinds")));
        }
        let made = make()?;
        shared.insert(name.to_string(), made.clone());
        Ok(made)
    }
}

/// A sink that was planned: makes one writer a task.
///
/// ```text
///  plan      SinkRequest ──> Connector::sink ──> Sink
///  start     recover ─> writer, one a task
///  run       write ... write ─┬─> room? ── no: the task reads no more ── wake ─> room
///                             ├─> flush, when there is nothing else to do
///                             ├─> deadline ── timer
///  barrier n                  └─> pre_commit(n) ── pending: requests in flight; rows go on ── wake ─> asked again
///                                     │ ready: values                                              │
///  checkpoint n durable               └──────────────────────────────> commit_epoch(n, values) <───┘
///  end       finish (pending, wake, ..., ready) ─> pre_commit ─> last checkpoint ─> commit_epoch ─> commit
///  failure   writers dropped ─> abort (without checkpoints) ─> start
/// ```
/// Planning knows everything that is asked (the request), so nothing is set later. `recover` and `commit`
/// run on the job's own thread, `commit_epoch` on the one that coordinates checkpoints: they may wait. A
/// [`Writer`] runs on a compute thread and never waits: what takes time is begun there and ends elsewhere, which
/// wakes it.
pub trait Sink: Send + Sync {
    /// Which kinds of change can be written.
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::Append
    }

    /// What it promises with checkpoints.
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    /// Before the first writer of a job with checkpoints, new or restored: `pending` is what the writers returned
    /// ([`Writer::pre_commit`]) for the checkpoint that the job is restored from (empty for a new job). It may have
    /// been made visible already, all or some of it, which is finished now; what this sink wrote after it is
    /// discarded.
    fn recover(&self, _pending: &[serde_json::Value]) -> Result<()> {
        Ok(())
    }

    /// What [`Sink::recover`] is to be given should the job end before its first checkpoint: it finds by this what such
    /// a job has left. Asked after `recover`, before the first writer.
    fn begun(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// The checkpoint is durable: what the writers returned for it is to be visible. Called for every
    /// checkpoint in order.
    fn commit_epoch(&self, _epoch: u64, _pending: &[serde_json::Value]) -> Result<()> {
        Ok(())
    }

    /// A writer for one task.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>>;

    /// All writers have finished: make the result visible.
    fn commit(&self) -> Result<()> {
        Ok(())
    }

    /// The job failed or was cancelled: leave nothing half-written visible.
    fn abort(&self) {}
}

/// What a writer gets from its task.
#[derive(Debug, Clone)]
pub struct WriterContext {
    /// Index of the task.
    pub task: usize,
    /// Number of writers.
    pub tasks: usize,
    /// Makes the task call [`Writer::wake`].
    pub waker: Waker,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The counters of the sink.
    pub metrics: Arc<StageMetrics>,
}

/// Writes on the compute thread of one task, and never waits: see [`Sink`].
pub trait Writer: Send {
    /// Rows in the schema of the request. The task asks for [`Writer::room`] before; what an operator emits at once,
    /// and what lies before a barrier, comes nevertheless, and is kept.
    fn write(&mut self, chunk: &Chunk) -> Result<()>;

    /// Whether it takes more. While it does not, the task reads nothing for it; the writer wakes the task when
    /// it does again.
    fn room(&self) -> bool {
        true
    }

    /// What it waited for has happened ([`WriterContext::waker`]).
    fn wake(&mut self) -> Result<()> {
        Ok(())
    }

    /// When [`Writer::timer`] wants to be called next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn timer(&mut self, _now: Instant) -> Result<()> {
        Ok(())
    }

    /// Called when the task has nothing else to do: send what is buffered.
    fn flush(&mut self) -> Result<()>;

    /// A barrier passes. Ready: everything that was written before it is safe. Returns what the sink needs to make
    /// it visible, or to go on from here, as its own values: all that is not visible yet, not only what is new.
    /// `last`: nothing will be written after it (it follows [`Writer::finish`], with epoch [`u64::MAX`] of a task that
    /// has ended, or the job stops).
    ///
    /// Pending: requests are in flight. The barrier has passed and rows go on; those that are written from now on
    /// belong to the next checkpoint. It is asked again, with the same epoch, after the task was woken. Requests
    /// whose rows are among the returned values need not be waited for.
    fn pre_commit(&mut self, _epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        self.flush()?;
        Ok(Poll::Ready(Vec::new()))
    }

    /// The input has ended. Ready: everything is written; pending: asked again after the task was woken.
    fn finish(&mut self) -> Result<Poll<()>>;
}
