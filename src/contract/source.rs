//! The contract between a task and what it reads from.
//!
//! A [`Source`] is planned once, and makes a [`Reader`] for each task. [`crate::contract`] draws its life.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::mailbox::Waker;
use super::message::Kinds;
use super::metrics::StageMetrics;
use super::splits::Splits;
use crate::clock::Clock;
use crate::error::Result;
use crate::secret::redact;

/// Which kinds of change the rows of a source have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
        let digest = Self::digest_of(connector, &at);
        Self { connector: connector.into(), at, written, digest, moved_from: None }
    }

    fn digest_of(connector: &str, at: &str) -> String {
        let digest = Sha256::digest(format!("{connector}\n{at}"));
        digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Whether it is the same place as one of a plan; a folder is the same with and without a slash at its end.
    pub fn is(&self, now: &Place) -> bool {
        let folder = now.at.trim_end_matches('/');
        let is = |at: &str| self.digest == Self::digest_of(&now.connector, at);
        self.digest == now.digest || is(folder) || is(&format!("{folder}/"))
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
    fn max_parallelism(&self) -> usize {
        1
    }

    /// A reader for one task. Readers of one source share its splits: what one takes, no other sees.
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>>;

    /// Which kinds of change its rows have.
    fn changelog(&self) -> SourceChangelog {
        SourceChangelog::Append
    }

    /// What EXPLAIN prints after the connector's name: path, splits, ...
    fn describe(&self) -> String {
        String::new()
    }

    /// Whether it could begin to read now, by asking what it reads from: what is in the way. For
    /// `affluent check --connect`; it may wait.
    fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// Rows can be read again from a position: nothing is lost or doubled when the job is restored from a
    /// checkpoint.
    fn replays(&self) -> bool {
        false
    }

    /// Whoever sends the rows sends those again that were not acknowledged, and they are acknowledged when a
    /// checkpoint is durable: nothing is lost, though nothing can be read again from a position.
    fn redelivers(&self) -> bool {
        false
    }

    /// Goes back to positions that its readers reported with [`Reader::cut`] and [`Reader::leave`], of every split
    /// that was begun by then; the others are read from their beginning. Without positions everything is read again.
    ///
    /// Called before readers are made, on a new source or on one whose readers were dropped, on the thread of the
    /// job: it may wait (`runtime.block_on`) for what it has to ask. An error of a kind that may pass is tried again
    /// as the job's restart strategy says.
    fn restore(&self, _positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        Ok(())
    }

    /// The checkpoint with these positions is durable: what lies before them will not be read again, and may be
    /// acknowledged to the outside. Called for every checkpoint in order, and for the one that a job is restored
    /// from, on the thread that coordinates checkpoints: it starts what it has to send and does not wait for it. A
    /// failure is for the log, because the checkpoint is valid.
    fn committed(&self, _epoch: u64, _positions: &Positions) -> Result<()> {
        Ok(())
    }

    /// [`Source::restore`], from positions as a checkpoint has them: for the engine.
    fn resume(&self, stored: &Positions, runtime: &tokio::runtime::Handle) -> Result<()> {
        self.restore(&unmarked(stored), runtime)
    }

    /// [`Source::committed`], with positions as a checkpoint has them: for the engine.
    fn durable(&self, epoch: u64, stored: &Positions) -> Result<()> {
        self.committed(epoch, &unmarked(stored))
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
#[non_exhaustive]
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
    /// The job makes checkpoints: what is read may be acknowledged when [`Source::committed`] says so, and not before.
    pub checkpoints: bool,
    /// How long rows of a source that is not at its limit may gather (`execution.buffer-timeout`). The task sees to it
    /// that a woken reader is asked no earlier; one that knows when its next rows come can plan by it.
    pub gather: Duration,
}

/// What a reader has.
#[derive(Debug)]
#[non_exhaustive]
pub enum Read {
    /// Rows that had arrived, at least one, with the schema of the request. Never waits to fill up.
    Batch(RecordBatch),
    /// Rows of any kind, as for [`Read::Batch`].
    Changes(RecordBatch, Kinds),
    /// Nothing now: the waker will be called, or [`Reader::deadline`] comes.
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

    /// After [`Read::Pending`]: when to read again, whether the waker is called or not. By
    /// [`instant`](crate::clock::instant).
    fn deadline(&self) -> Option<Instant> {
        None
    }

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

    /// Another reader has read the rows of the last [`Reader::read`], and they count as its.
    fn is_given(&self) -> bool {
        false
    }

    /// The barrier of a checkpoint comes after the last row that was returned: the positions of the splits
    /// that have changed since the last call. `None` when other rows have to come before it (readers
    /// that share what they read stop at the same row): it is asked again after the next
    /// [`Reader::read`], or when the reader is woken. These rows are few, because the task reads them even where
    /// nothing has room for them.
    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        Ok(Some(Positions::new()))
    }

    /// The reader is left for good: it has ended, or is to end here. The positions of the splits that have changed
    /// since the last cut; they belong to the next checkpoint. Neither [`Reader::read`] nor [`Reader::cut`] follows.
    fn leave(&mut self) -> Result<Positions> {
        Ok(Positions::new())
    }
}

/// The fields of a stored position: which checkpoint it was reported for, and the source's own position.
pub(crate) const CUT: &str = "@cut";
pub(crate) const AT: &str = "@at";

/// How splits begin that say how far a recording of the rows was: no source's own.
pub(crate) const RECORDED: &str = "@recorded-";

/// A source's own positions, of those that are stored.
pub(crate) fn unmarked(stored: &Positions) -> Cow<'_, Positions> {
    let is_own = |split: &String| !split.starts_with(RECORDED);
    if !stored.iter().any(|(split, position)| inner(position).is_some() || !is_own(split)) {
        return Cow::Borrowed(stored);
    }
    let all = stored.iter().filter(|(split, _)| is_own(split));
    Cow::Owned(all.map(|(split, position)| (split.clone(), at_of(position).clone())).collect())
}

/// A position as the source gave it.
pub(crate) fn at_of(position: &Value) -> &Value {
    inner(position).unwrap_or(position)
}

/// What is inside of a position that was marked.
fn inner(position: &Value) -> Option<&Value> {
    position.as_object().filter(|fields| fields.len() == 2 && fields.contains_key(CUT))?.get(AT)
}
