//! Checkpoints of a job: written from what its tasks give, found again, and opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::snapshot::{Restored, Snapshot};
use super::store::Store;
use crate::error::{Error, Result};

/// What the tasks of a job are, as far as a checkpoint is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// Name of the job.
    pub name: String,
    /// `parallelism.default` it was started with.
    pub parallelism: usize,
    /// All operators, sources and sinks, in the order of the plan.
    pub operators: Vec<OperatorPlan>,
    /// The savepoint that the job was started from, as the user wrote it.
    #[serde(default)]
    pub origin: Option<String>,
}

/// An operator, source or sink in a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorPlan {
    /// What it computes, as an identity: equal in two plans if its state means the same in both.
    pub id: String,
    /// What it is called, such as `GroupAggregate`.
    pub name: String,
    /// What EXPLAIN prints behind the name.
    pub detail: String,
}

/// What one task gives for one checkpoint.
#[derive(Debug, Default)]
pub struct TaskCut {
    /// Index of the task in its fragment.
    pub task: usize,
    /// Tasks of the fragment.
    pub tasks: usize,
    /// It has come to the end of its input. It gives nothing for later checkpoints: this remains.
    pub finished: bool,
    /// By operator id.
    pub operators: Vec<(String, Snapshot)>,
}

/// One consistent cut through a job.
#[derive(Debug, Default)]
pub struct Cut {
    /// Number, ascending over the life of the job.
    pub epoch: u64,
    /// Running tasks, and those that have finished since the last cut.
    pub tasks: Vec<TaskCut>,
    /// Positions of the sources, all of them, by source id and split.
    pub sources: BTreeMap<String, BTreeMap<String, Value>>,
    /// What is to be committed, by sink id.
    pub sinks: BTreeMap<String, Vec<Value>>,
    /// All input was processed: nothing is left but to commit.
    pub ended: bool,
}

/// What writing a checkpoint took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes written for it.
    pub bytes: u64,
    /// Bytes of state that it refers to, with those of earlier checkpoints.
    pub total_bytes: u64,
}

/// The checkpoints of one job in a store. One process writes them at a time.
#[derive(Debug)]
pub struct Checkpoints {
    store: Arc<dyn Store>,
    retained: usize,
}

impl Checkpoints {
    /// Opens the folder of a job, alone; the newest `retained` (at least one) checkpoints are kept.
    pub fn open(store: Arc<dyn Store>, retained: usize) -> Result<Self> {
        Ok(Self { store, retained: retained.max(1) })
    }

    /// The newest checkpoint that is whole. Damaged ones are passed over, with a warning each.
    pub fn latest(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        Err(Error::unsupported("checkpoints are not supported yet"))
    }

    /// The largest number that a checkpoint in the store has, whole or damaged; 0 without any.
    pub fn newest_epoch(&self) -> u64 {
        0
    }

    /// Tasks were started (again): the next cut of each is full, and nothing written before belongs to it.
    pub fn begin(&mut self) {}

    /// Writes one, and deletes what is not needed any more. If this fails, what the cut held is kept and
    /// written with the next one, and the former checkpoint stays the newest.
    pub fn write(&mut self, _plan: &JobPlan, _cut: Cut) -> Result<Written> {
        Err(Error::unsupported(format!(
            "checkpoints are not supported yet ({}, {})",
            self.store.describe(),
            self.retained
        )))
    }

    /// Copies the newest checkpoint to another store, where it stands for itself (a savepoint).
    pub fn export(&self, _to: &dyn Store) -> Result<()> {
        Err(Error::unsupported("savepoints are not supported yet"))
    }

    /// Deletes all of them: the job has ended well.
    pub fn clear(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A checkpoint or savepoint that was opened and found whole.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    plan: JobPlan,
    epoch: u64,
    ended: bool,
    sources: BTreeMap<String, BTreeMap<String, Value>>,
    sinks: BTreeMap<String, Vec<Value>>,
}

impl Checkpoint {
    /// Opens a savepoint, or the newest whole checkpoint of a job's folder.
    pub fn open(_store: Arc<dyn Store>) -> Result<Self> {
        Err(Error::unsupported("savepoints are not supported yet"))
    }

    /// The plan it was made with.
    pub fn plan(&self) -> &JobPlan {
        &self.plan
    }

    /// Its number.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nothing is left to do but to commit.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Positions by source id.
    pub fn sources(&self) -> &BTreeMap<String, BTreeMap<String, Value>> {
        &self.sources
    }

    /// What the sinks told, by sink id.
    pub fn sinks(&self) -> &BTreeMap<String, Vec<Value>> {
        &self.sinks
    }

    /// Ids of operators that have state in it.
    pub fn stateful(&self) -> Vec<String> {
        Vec::new()
    }

    /// The state of an operator for one task of so many; nothing for an operator that is not in it. Reads
    /// from the store.
    pub fn operator(&self, _id: &str, task: usize, tasks: usize) -> Result<Restored> {
        Ok(Restored::new(task, tasks, Vec::new()))
    }
}
