//! What an operator gives for a checkpoint, and what it gets back.
//!
//! The state of an operator in one task is a few *tables* and a few *values*.
//! ```text
//!  table "keys"       id │ rows                    a snapshot: the rows that changed, and the ids that are gone
//!                      0 │ a   17  2026-01-01
//!                      3 │ b    2  2026-01-02      values: { "done": 1767225600000 }
//! ```
//! - A row of a table has an *id*, unique in the table of that task: the slot of its key, the id of a kept row, or
//!   whatever place the operator has for it. Ids are what changes are told by, nothing else: a row with a known
//!   id takes the place of the old one. Ids may be used again.
//! - The rows are Arrow, with columns that a person understands: a checkpoint can be opened and queried.
//! - A restored operator gets rows without regard to their old ids: it gives them new ones. That is why the first
//!   snapshot behind a restore is [full](Snapshot::is_full): it replaces everything that was written before.
//! - [`Scope`] says whose rows they are when the job comes back with another number of tasks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::hash::hash_rows;
use super::key_group::{groups_of_task, key_group};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};

/// Which task has a row of state when the number of tasks has changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Scope {
    /// The task that gets stream rows with the values of these columns (positions in the table's rows): the
    /// columns by which the input is exchanged, in the same order. None: task 0, which gets all rows.
    Keyed(Vec<usize>),
    /// Any: what former task `t` had goes to task `t % tasks`.
    Dealt,
    /// The task that had it; the job cannot come back with another number of tasks.
    Pinned,
}

/// Changes of one table of one operator in one task.
#[derive(Debug, Clone)]
pub struct Delta {
    /// Name of the table, unique in the operator.
    pub table: &'static str,
    /// Whose rows they are.
    pub scope: Scope,
    /// The id of each row.
    pub ids: Vec<u64>,
    /// Rows that are new or changed.
    pub rows: RecordBatch,
    /// Ids whose rows are gone. They go before `rows` come.
    pub removed: Vec<Range<u64>>,
    /// The rows are the whole table: whatever was written before is gone.
    pub whole: bool,
    /// More rows of a whole table, which are not in memory; with other ids.
    pub more: Option<Arc<dyn StoredRows>>,
}

/// Rows that are somewhere else, and read when they are wanted.
pub trait StoredRows: Send + Sync + std::fmt::Debug {
    /// What they take there.
    fn bytes(&self) -> u64;

    /// Gives them, with their ids, some thousand at a time.
    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()>;
}

/// Names of values that say how far time has come, and hold nothing of any row.
pub(super) const TIME_VALUES: &[&str] = &["watermark", "split", "done", "last_time", "time", "loading"];

/// What an operator writes into one checkpoint.
#[derive(Debug, Default)]
pub struct Snapshot {
    full: bool,
    deltas: Vec<Delta>,
    values: BTreeMap<String, Value>,
}

impl Snapshot {
    /// An empty one; `full`: everything is to be written, and not what has changed.
    pub fn new(full: bool) -> Self {
        Self { full, ..Self::default() }
    }

    /// All rows are wanted, not just changed ones.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Adds the changes of a table since the last snapshot; in a [full](Self::is_full) one all of its rows.
    /// A table is told at every snapshot, also without a change, so that its schema is known; once a
    /// snapshot.
    pub fn table(
        &mut self,
        table: &'static str,
        scope: Scope,
        ids: Vec<u64>,
        rows: RecordBatch,
        removed: Vec<Range<u64>>,
    ) -> Result<()> {
        let whole = self.full;
        self.push(Delta { table, scope, ids, rows, removed, whole, more: None })
    }

    /// Adds a table that is written as a whole each time: one that has little in common with the last.
    pub fn whole(&mut self, table: &'static str, scope: Scope, rows: RecordBatch) -> Result<()> {
        let ids = (0..rows.num_rows() as u64).collect();
        self.push(Delta { table, scope, ids, rows, removed: Vec::new(), whole: true, more: None })
    }

    /// Adds a table out of a full snapshot, as a whole.
    pub fn whole_delta(&mut self, delta: Delta) -> Result<()> {
        self.push(Delta { whole: true, removed: Vec::new(), ..delta })
    }

    fn push(&mut self, delta: Delta) -> Result<()> {
        if delta.ids.len() != delta.rows.num_rows() {
            return Err(Error::internal(format!("state table '{}' has not one id a row", delta.table)));
        }
        self.deltas.push(delta);
        Ok(())
    }

    /// Adds a value; at every snapshot.
    pub fn value(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        let value =
            serde_json::to_value(value).map_err(|e| Error::internal(format!("state value '{name}': {e}")))?;
        self.values.insert(name.to_string(), value);
        Ok(())
    }

    /// Nothing was added: the operator has no state.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty() && self.values.is_empty()
    }

    /// What was added.
    pub fn into_parts(self) -> (Vec<Delta>, BTreeMap<String, Value>) {
        (self.deltas, self.values)
    }
}

/// Rows of a table that one former task wrote.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Number of the former task. Ids are unique in one former task only.
    pub origin: usize,
    /// Former ids: what other tables of the same origin name rows by.
    pub ids: Vec<u64>,
    /// The rows.
    pub rows: RecordBatch,
}

/// Rows of a table of one former task.
#[derive(Debug)]
struct FormerTable {
    name: String,
    scope: Scope,
    rows: Arc<dyn StoredRows>,
}

/// Rows with the id of each, in memory.
#[derive(Debug)]
struct Batch(Vec<u64>, RecordBatch);

impl StoredRows for Batch {
    fn bytes(&self) -> u64 {
        self.1.get_array_memory_size() as u64
    }

    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()> {
        with(self.0.clone(), self.1.clone())
    }
}

/// The state of an operator as one former task left it.
#[derive(Debug, Default)]
pub struct Former {
    /// Number of the task, and of how many.
    pub task: usize,
    /// Tasks there were.
    pub tasks: usize,
    /// It had come to the end of its input.
    pub finished: bool,
    /// Its values.
    pub values: BTreeMap<String, Value>,
    tables: Vec<FormerTable>,
}

impl Former {
    /// What a task left so far: values alone.
    pub fn with_values(task: usize, tasks: usize, finished: bool, values: BTreeMap<String, Value>) -> Self {
        Self { task, tasks, finished, values, tables: Vec::new() }
    }

    /// Adds rows of a table.
    pub fn add(&mut self, table: &str, scope: Scope, ids: Vec<u64>, rows: RecordBatch) {
        self.add_stored(table, scope, Arc::new(Batch(ids, rows)));
    }

    /// Adds rows of a table that are read when they are asked for.
    pub fn add_stored(&mut self, table: &str, scope: Scope, rows: Arc<dyn StoredRows>) {
        self.tables.push(FormerTable { name: table.to_string(), scope, rows });
    }
}

/// What an operator of one task gets back.
#[derive(Debug, Default)]
pub struct Restored {
    task: usize,
    tasks: usize,
    formers: Vec<Former>,
    part: bool,
    now: i64,
}

impl Restored {
    /// For one task of so many, out of what former tasks left.
    pub fn new(task: usize, tasks: usize, formers: Vec<Former>) -> Self {
        Self { task, tasks, formers, part: false, now: SystemClock.now_millis() }
    }

    /// Says what time it is, in milliseconds since the epoch.
    pub fn at(self, now: i64) -> Self {
        Self { now, ..self }
    }

    /// The time of the restore, for rows without a time of their own: that of their last write is only kept where
    /// state expires.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Says whether these are some keys for an operator that has others.
    pub fn part(self, part: bool) -> Self {
        Self { part, ..self }
    }

    /// These are keys for an operator that has others, without values.
    pub fn is_part(&self) -> bool {
        self.part
    }

    /// The number of tasks has changed.
    pub fn is_rescaled(&self) -> bool {
        self.formers.iter().any(|f| f.tasks != self.tasks)
    }

    /// The rows of a table that are this task's from now on, for each former task that had some; once. Rows
    /// come in no particular order. No pieces: the table is empty or was never written.
    pub fn table(&mut self, name: &str) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        self.stream(name, &mut |piece| {
            pieces.push(piece);
            Ok(())
        })?;
        Ok(pieces)
    }

    /// What the tables that were not asked for yet take, of all former tasks.
    pub fn bytes(&self) -> u64 {
        self.formers.iter().flat_map(|former| &former.tables).map(|table| table.rows.bytes()).sum()
    }

    /// As [`Self::table`], one piece after the other.
    pub fn stream(&mut self, name: &str, with: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let (task, tasks) = (self.task, self.tasks);
        let mut tables = Vec::new();
        for former in &mut self.formers {
            let (own, others) = std::mem::take(&mut former.tables).into_iter().partition(|t| t.name == name);
            former.tables = others;
            tables.extend(own.into_iter().map(|table: FormerTable| (former.task, former.tasks, table)));
        }
        for (origin, of, FormerTable { scope, rows, .. }) in tables {
            let same = of == tasks;
            let mine = match &scope {
                _ if same => origin == task,
                Scope::Keyed(_) => true,
                Scope::Dealt => origin % tasks == task,
                Scope::Pinned => {
                    return Err(Error::option(format!(
                        "the checkpoint was made with {of} tasks; this state cannot be given to {tasks}"
                    ))
                    .with_detail("it belongs to rows whose key is not part of them any more")
                    .with_hint(format!("SET 'parallelism.default' = '{of}'")));
                }
            };
            if !mine {
                continue;
            }
            rows.each(&mut |ids, rows| {
                let piece = Piece { origin, ids, rows };
                let piece = match &scope {
                    Scope::Keyed(columns) if !same => piece.of_task(columns, task, tasks)?,
                    _ => piece,
                };
                if piece.rows.num_rows() > 0 { with(piece) } else { Ok(()) }
            })?;
        }
        Ok(())
    }

    /// A value as each former task left it, with the number of the task and whether it had ended.
    pub fn all_values<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<(usize, bool, T)>> {
        let formers = self.formers.iter();
        let values = formers.filter_map(|f| Some((f, f.values.get(name)?)));
        values.map(|(f, v)| Ok((f.task, f.finished, parsed(name, v)?))).collect()
    }

    /// Whether what a former task had, whatever it was, is this task's where nothing else decides: its own, or, if the
    /// number of tasks has changed, that of each `tasks`-th.
    pub fn inherits(&self, former: usize) -> bool {
        former % self.tasks.max(1) == self.task
    }

    /// A value as this task left it; if the number of tasks has changed, as each of the former ones did that had
    /// not ended (or all, if all had).
    pub fn values<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let some_run = self.formers.iter().any(|f| !f.finished);
        let mine = self.formers.iter().filter(|f| match f.tasks == self.tasks {
            true => f.task == self.task,
            false => !f.finished || !some_run,
        });
        mine.filter_map(|f| f.values.get(name)).map(|v| parsed(name, v)).collect()
    }
}

fn parsed<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T> {
    serde_json::from_value(value.clone())
        .map_err(|e| Error::decode(format!("value '{name}' of the checkpoint: {e}")))
}

impl Piece {
    /// The rows whose key belongs to a task.
    pub(super) fn of_task(self, columns: &[usize], task: usize, tasks: usize) -> Result<Self> {
        let all = columns.is_empty() && task == 0;
        if all {
            return Ok(self);
        }
        let groups = groups_of_task(task, tasks);
        let mut hashes = Vec::new();
        if !columns.is_empty() {
            let keys: Vec<_> = columns.iter().map(|&c| self.rows.column(c).clone()).collect();
            hash_rows(&keys, self.rows.num_rows(), &mut hashes)?;
        }
        let kept: Vec<bool> = hashes.iter().map(|&h| groups.contains(&key_group(h))).collect();
        if kept.is_empty() {
            return Ok(Self { origin: self.origin, ids: Vec::new(), rows: self.rows.slice(0, 0) });
        }
        let ids = self.ids.iter().zip(&kept).filter(|(_, k)| **k).map(|(id, _)| *id).collect();
        let rows = arrow::compute::filter_record_batch(&self.rows, &kept.into())?;
        Ok(Self { origin: self.origin, ids, rows })
    }
}
