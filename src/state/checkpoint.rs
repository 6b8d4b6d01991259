//! Checkpoints of a job: written from what its tasks give, found again, and opened.
//!
//! # What is in a folder
//! ```text
//!  <folder of the job>/LOCK                            held by the process that writes (directories only)
//!                      manifests/00000000000000000017  one a checkpoint, by its number; written last
//!                      begun                           before the first manifest: what sinks may leave behind
//!                      manifests/through-00..0012      no manifest up to this number counts: they could not be deleted
//!                      segments/17-5f0c22a1-9-0        rows of state, of all tasks; shared by checkpoints
//! ```
//! The name of a segment is the number of the checkpoint, a random one of the writer, how often that had tried to
//! write a checkpoint, and how many segments it wrote before for this one: no name is used twice.
//!
//! A checkpoint writes one segment (another one each 64 MiB, or less where memory is scarce) with what has changed, and then its manifest, which
//! refers to that and to what earlier ones wrote. Objects are never changed, and only deleted when no manifest that
//! is kept refers to them. A savepoint is such a folder with one manifest, its own segments and no lock.
//!
//! # A manifest
//! Two lines of JSON.
//! ```text
//!  {"format":1,"bytes":2174,"crc32":"8c1f00d2"}        length and CRC-32 of the next line, without its end
//!  {"epoch":17,"ended":false,
//!   "plan":{"name":..,"parallelism":2,"operators":[{"id":..,"name":..,"detail":..}]},
//!   "sources":{"<id>":{"<split>":<position>}},          what sources gave
//!   "sinks":{"<id>":[..]},                              what sinks gave
//!   "segments":[{"name":"17-5f0c22a1-9-0","bytes":88000}],
//!   "state":[{"operator":"<id>","task":0,"tasks":2,"finished":false,"values":{..},
//!             "tables":[{"table":"keys","scope":{"Keyed":[0]},
//!                        "runs":[{"whole":false,        newest first; behind a whole one nothing counts
//!                                 "blocks":[{"segment":0,"offset":0,"bytes":960,"rows":3,"crc32":"00c0ffee"}]
//!                       }]}]}]}
//! ```
//! `scope` is `{"Keyed":[columns]}`, `"Dealt"` or `"Pinned"`. A reader refuses a format that is newer than its own.
//!
//! # A segment
//! Blocks, each at a multiple of 64 bytes, with zeros between. A block has rows of one table of one operator in one
//! task; numbers are little-endian.
//! ```text
//!  offset  bytes
//!       0  4         "AFB1"
//!       4  1         how ids are written: 0 as base, base + 1, ...; 1 as u32 to be added to base; 2 as u64
//!       5  3         0
//!       8  8         n, rows
//!      16  8         r, ranges of ids that are gone
//!      24  8         i, bytes of ids
//!      32  8         a, bytes of rows
//!      40  8         base
//!      48  16        0
//!      64  16 r      first id that is gone, and the first behind it that is not: of older runs
//!          i         ids, one a row (none of them for 0)
//!          0 to 63   0, up to a multiple of 64
//!          a         rows: an Arrow IPC stream of one batch
//! ```
//! Rows are not compressed: they can be used where they were read.
//!
//! # Runs
//! What a checkpoint wrote of a table is a *run*; `merge.rs` says how a chain of them is read, and when the newest are
//! written again as one (each row about as often as the logarithm of the table's size). Rows that were replaced or
//! removed vanish then. A segment of which less than half is still referred to is left: what is used of it is
//! copied into the next one.
//!
//! # What one damaged object costs
//! All checkpoints that refer to it, and no others: what did not change since an older checkpoint is shared with it. So
//! that there is one to fall back to whichever object is damaged, checkpoints come in *generations* that share nothing.
//! A generation is over when as much was written in it as the state has bytes, at once if these are few; the next
//! checkpoint copies what it refers to from older ones, and the last one before it is kept beside the newest ones.
//! ```text
//!  generation 1       2            3
//!  ckpt 4 5 6 7 (8)   9 10 (11)    12 13 14         kept: 12 to 14, and 11, which shares nothing with them
//! ```
//! Until the first generation is over (that a job has written its state twice), and where one checkpoint is retained,
//! an old segment that is lost is lost for all. A savepoint shares nothing with anybody.

mod cleaning;
mod manifest;
mod merge;
mod read;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::cleaning::Cleaning;
use self::manifest::{Flaw, Manifest, State, TableState, TaskState};
use self::merge::{Blocks, Layer, Part};
pub use self::read::{Checkpoint, StateTable, Weight};
use self::read::{Unusable, all_damaged, epochs, load, newer, newest, none};
use self::segment::{BlockRef, Recent, SEGMENT_BYTES, SegmentWriter, read_blocks, verify};
use super::snapshot::{Delta, Former, Restored, Scope, Snapshot, StoredRows, TIME_VALUES};
use super::store::lease::Lease;
use super::store::{Lock, Store};
use crate::contract::Place;
use crate::error::{Error, ErrorKind, Result};

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
    /// The version of the identities of operators.
    #[serde(default = "first_identities")]
    pub identities: u32,
    /// User functions that it calls, with the digests of their code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, String>,
    /// The session's time zone, where it has a part in what is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What the identities of older checkpoints are called in this plan.
    #[serde(skip)]
    pub aliases: Aliases,
}

/// Checkpoints that do not say so have identities of the first version.
fn first_identities() -> u32 {
    1
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
    /// What its state depends on, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meaning: Vec<(String, String)>,
    /// The table that a source reads or a sink writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The name that this table had when the state was begun, if it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_as: Option<String>,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// How identities of older checkpoints are called now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Checkpoints with identities of earlier versions are renamed.
    pub version: u32,
    /// Old → new.
    pub renamed: BTreeMap<String, String>,
    /// The same of identities of this version that were made of more than they are now.
    pub earlier: BTreeMap<String, String>,
    /// The operators with state in the order of the plan: name, identity. Where an old identity is not known any
    /// more, because the words of EXPLAIN have changed that it was made of, a plan with the same operators in the
    /// same order is taken to be the same.
    pub stateful: Vec<(&'static str, String)>,
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
    /// When, in milliseconds since the epoch; 0: not known.
    pub written_millis: i64,
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
    _lock: Lock,
    /// Asked before a checkpoint gets its manifest.
    lease: Option<Arc<Lease>>,
    /// Part of the names of all segments that this one writes: whoever else writes takes others.
    writer: String,
    attempts: u64,
    /// What was written and is durable, though perhaps in no manifest yet.
    state: State,
    /// What cuts brought and is not written yet, the oldest first.
    pending: BTreeMap<(String, usize), BTreeMap<&'static str, Pending>>,
    /// Segments that are, or may be, in the store.
    segments: BTreeMap<Arc<str>, u64>,
    /// Manifests that are, or may be, in the store, with the segments of those that can be read and count.
    manifests: BTreeMap<u64, Option<BTreeSet<Arc<str>>>>,
    /// Those that were found damaged by [`Self::latest`].
    passed: Mutex<BTreeSet<u64>>,
    recent: Recent,
    fenced: bool,
    cleaning: Cleaning,
    /// What sinks have begun may be noted, and no checkpoint was written since.
    begun: bool,
    /// No manifest up to this number counts, though there may be some.
    through: u64,
    aliases: Aliases,
    /// The last checkpoint of the generation before this one.
    spare: Option<u64>,
    /// Bytes that this generation has written behind its first checkpoint; `None` before that.
    generation: Option<u64>,
    /// State of so few bytes is a generation of its own each time.
    few: u64,
    /// A segment that is so large is closed: until then it is in memory.
    segment_bytes: usize,
    /// What sinks had told for the newest of those that were given up.
    given_up: BTreeMap<String, Vec<Value>>,
}

/// See [`Checkpoints::few`].
const FEW_BYTES: u64 = 256 << 10;

/// Changes of a table that are not written yet.
type Pending = (Scope, Vec<Part>);

/// Bytes that are copied out of old segments for one checkpoint at most.
const COPIED_BYTES: u64 = 64 << 20;

impl Checkpoints {
    /// Opens the folder of a job, alone; the newest `retained` (at least one) checkpoints are kept.
    pub fn open(store: Arc<dyn Store>, retained: usize) -> Result<Self> {
        let lock = store.lock()?;
        Self::locked(store, retained, lock, None)
    }

    /// The same by one that has the lock, and perhaps a lease.
    pub fn locked(
        store: Arc<dyn Store>,
        retained: usize,
        lock: Lock,
        lease: Option<Arc<Lease>>,
    ) -> Result<Self> {
        store.settle()?;
        let mut manifests = BTreeMap::new();
        let (epochs, through) = cleaning::epochs(&*store)?;
        for epoch in epochs {
            let found = match load(&*store, epoch) {
                Ok(manifest) => manifest.map(|m| m.segments.into_keys().collect()),
                Err(Unusable::Flaw(Flaw::Newer(format))) => return Err(newer(&*store, format)),
                Err(Unusable::Flaw(Flaw::Damaged(_))) => None,
                Err(Unusable::Error(e)) => return Err(e),
            };
            manifests.insert(epoch, found);
        }
        let sizes = store.sizes("segments/")?.into_iter();
        let segments = sizes.filter_map(|(path, n)| Some((Arc::from(path.strip_prefix("segments/")?), n)));
        Ok(Self {
            segments: segments.collect(),
            store,
            retained: retained.max(1),
            _lock: lock,
            lease,
            writer: format!("{:08x}", uuid::Uuid::new_v4().as_fields().0),
            attempts: 0,
            state: State::new(),
            pending: BTreeMap::new(),
            begun: !manifests.is_empty(),
            manifests,
            passed: Mutex::default(),
            recent: Recent::default(),
            fenced: false,
            cleaning: Cleaning::default(),
            through,
            aliases: Aliases::default(),
            spare: None,
            generation: None,
            few: FEW_BYTES,
            segment_bytes: SEGMENT_BYTES,
            given_up: BTreeMap::new(),
        })
    }

    /// Checkpoints with identities of earlier versions are found by those of now.
    pub fn adopt(&mut self, aliases: Aliases) {
        self.aliases = aliases;
    }

    /// The largest number that a checkpoint in the store has, whole or damaged; 0 without any. The next one is to
    /// be larger: one whose number is taken replaces that and all behind it.
    pub fn newest_epoch(&self) -> u64 {
        self.manifests.last_key_value().map_or(0, |(epoch, _)| *epoch).max(self.through)
    }

    /// The newest checkpoint that is whole. Damaged ones are passed over, with a warning each; it is an error if
    /// there is no other.
    pub fn latest(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        let (found, warnings, passed) = newest(&self.store, u64::MAX)?;
        if found.is_none() && !warnings.is_empty() {
            return Err(all_damaged(&*self.store, &warnings)
                .with_hint("to start without state, run with --fresh or delete them"));
        }
        // One whose last step has failed may still be lost: not once somebody goes on from it.
        if found.as_ref().is_some_and(|found| !matches!(self.manifests.get(&found.epoch()), Some(Some(_)))) {
            self.store.settle()?;
        }
        *self.passed.lock() = passed;
        Ok((found.map(|found| found.adopted(&self.aliases)), warnings))
    }

    /// The newest whole checkpoint with a smaller number.
    pub fn before(&self, epoch: u64) -> Result<Option<Checkpoint>> {
        let (found, ..) = newest(&self.store, epoch)?;
        Ok(found.map(|found| found.adopted(&self.aliases)))
    }

    /// Checkpoints with larger numbers do not count any more: the job goes on from this one.
    pub fn go_back_to(&mut self, epoch: u64) -> Result<()> {
        let newer: Vec<u64> = self.manifests.range(epoch + 1..).map(|(epoch, _)| *epoch).collect();
        // The newest first: what is left if this is broken off is older than what is gone.
        for epoch in newer.into_iter().rev() {
            self.store.delete(&manifest::path(epoch))?;
            self.manifests.remove(&epoch);
            self.passed.lock().remove(&epoch);
        }
        Ok(())
    }

    /// Keeps so many checkpoints at least.
    pub fn retain(&mut self, at_least: usize) {
        self.retained = self.retained.max(at_least);
    }

    /// Tasks were started (again): the next cut of each is full, and nothing written before belongs to it.
    pub fn begin(&mut self) {
        self.state.clear();
        self.pending.clear();
        self.generation = None;
    }

    /// Writes one, and deletes what is not needed any more. If this fails, what the cut held is kept and
    /// written with the next one, and the former checkpoint stays the newest (or, if nobody can tell whether
    /// the last step was done, this one is).
    pub fn write(&mut self, plan: &JobPlan, cut: Cut) -> Result<Written> {
        let Cut { epoch, tasks, sources, sinks, ended, written_millis } = cut;
        self.absorb(tasks)?;
        if self.fenced {
            return Err(self.another());
        }
        let mut written = self.write_segments(epoch)?;
        self.generation = Some(match self.generation {
            Some(before) => before.saturating_add(written),
            None => {
                // Nothing in this one was there before.
                self.spare = self.newest_whole();
                0
            }
        });
        // Left by another time line: they must not be taken for the newest after a crash.
        let superseded: Vec<u64> = self.manifests.range(epoch..).map(|(epoch, _)| *epoch).collect();
        for epoch in superseded {
            self.store.delete(&manifest::path(epoch))?;
            self.manifests.remove(&epoch);
            self.passed.lock().remove(&epoch);
        }
        let segments = manifest::segments(&self.state);
        let length = |name: &Arc<str>| (name.clone(), self.segments.get(name).copied().unwrap_or(0));
        let manifest = Manifest {
            epoch,
            ended,
            written_millis,
            plan: plan.clone(),
            sources,
            sinks,
            segments: segments.iter().map(length).collect(),
            state: self.state.clone(),
        };
        let bytes = encode(&manifest)?;
        written += bytes.len() as u64;
        self.hold()?;
        // If this fails, it may have been written nevertheless.
        self.manifests.insert(epoch, None);
        if !self.store.create(&manifest::path(epoch), bytes)? {
            self.fenced = true;
            return Err(self.another());
        }
        self.manifests.insert(epoch, Some(segments));
        self.clean();
        let total_bytes = manifest::blocks(&self.state).map(|b| b.bytes).sum();
        Ok(Written { bytes: written, total_bytes })
    }

    /// Whether this process is still the one that runs the job: asked before anything that no other may do as well.
    pub fn hold(&self) -> Result<()> {
        self.lease.as_ref().map_or(Ok(()), |lease| lease.check())
    }

    fn another(&self) -> Error {
        Error::io(format!("another process writes checkpoints into '{}'", self.store.describe()))
            .with_detail("it has written one since this job read the last; this one stops")
            .lasting()
            .with_hint("let the job run once, or give each its own name or 'execution.checkpointing.dir'")
    }

    /// Takes in what tasks gave.
    fn absorb(&mut self, tasks: Vec<TaskCut>) -> Result<()> {
        for cut in tasks {
            for (operator, snapshot) in cut.operators {
                if snapshot.is_empty() {
                    continue;
                }
                let (deltas, values) = snapshot.into_parts();
                let key = (operator, cut.task);
                let task = self.state.entry(key.clone()).or_default();
                task.tasks = cut.tasks;
                task.finished = cut.finished;
                task.values = values;
                let pending = self.pending.entry(key).or_default();
                for Delta { table, scope, ids, rows, removed, whole, more } in deltas {
                    let (known, parts) = pending.entry(table).or_insert_with(|| (scope.clone(), Vec::new()));
                    *known = scope;
                    if whole {
                        parts.clear();
                    }
                    let part = Part { whole, schema: rows.schema(), rows: vec![(ids, rows)], removed, more };
                    parts.push(part);
                    // What several cuts brought (the store does not work) takes no more room than one.
                    if parts.len() > 1 {
                        *parts = vec![merge::merge_parts(parts, &*self.store)?];
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is pending, durably; the chains have it then.
    fn write_segments(&mut self, epoch: u64) -> Result<u64> {
        self.attempts += 1;
        let name = format!("{epoch}-{}-{}", self.writer, self.attempts);
        let mut writer = SegmentWriter::new(&*self.store, name, &self.recent);
        writer.most = self.segment_bytes;
        let from = Blocks { store: &*self.store, recent: Some(&self.recent) };
        let mut write = || -> Result<Vec<_>> {
            let mut chains = Vec::new();
            for (key, tables) in &self.pending {
                for (table, (scope, parts)) in tables {
                    let chain = self.state.get(key).and_then(|task| task.tables.get(*table));
                    let chain = chain.map_or(&[][..], |table| &table.chain);
                    for part in parts {
                        if says_something(part, chain) {
                            let chain = merge::write(part, chain, from, &mut writer)?;
                            chains.push((key.clone(), *table, scope.clone(), chain));
                        }
                    }
                }
            }
            Ok(chains)
        };
        let chains = write();
        let mut over = false;
        let finished = chains.and_then(|chains| {
            let mut state = self.state.clone();
            for (key, table, scope, chain) in chains {
                let tables = &mut state.entry(key).or_default().tables;
                tables.insert(table.to_string(), TableState { scope, chain });
            }
            let total: u64 = manifest::blocks(&state).map(|b| b.bytes).sum();
            over = self.retained > 1 && self.generation.is_some_and(|w| total <= self.few || w >= total);
            match over {
                // Segments that are being written are not among these.
                true => copy(&mut state, from, &mut writer, &mut |b| self.segments.contains_key(&b.segment))?,
                false => leave_sparse(&mut state, &self.segments, from, &mut writer)?,
            }
            writer.finish()?;
            Ok(state)
        });
        let segments = std::mem::take(&mut writer.segments);
        let bytes = segments.iter().map(|(_, bytes)| bytes).sum();
        self.segments.extend(segments);
        self.state = finished?;
        self.pending.clear();
        if over {
            self.generation = None;
        }
        Ok(bytes)
    }

    /// State may take so much memory: what is being written takes a part of that.
    pub fn fit_into(&mut self, limit: usize) {
        self.segment_bytes = (limit / 32).clamp(1 << 20, SEGMENT_BYTES);
    }

    /// Gives all of them up: the job begins anew.
    pub fn give_up(&mut self) -> Result<()> {
        // What cannot be read leaves hidden files.
        let latest = self.latest().ok().and_then(|(latest, _)| latest);
        self.given_up = match latest {
            Some(latest) => latest.sinks().clone(),
            None => self.begun().unwrap_or_default(),
        };
        self.clear()
    }

    /// What sinks had told for the newest of those that were given up, by sink id.
    pub fn given_up(&self) -> &BTreeMap<String, Vec<Value>> {
        &self.given_up
    }

    /// The newest checkpoint that is not known to be damaged.
    fn newest_whole(&self) -> Option<u64> {
        let passed = self.passed.lock();
        let mut whole =
            self.manifests.iter().rev().filter(|(epoch, s)| s.is_some() && !passed.contains(epoch));
        whole.next().map(|(epoch, _)| *epoch)
    }

    /// Copies the newest checkpoint to another store, where it stands for itself (a savepoint).
    pub fn export(&self, to: &dyn Store) -> Result<()> {
        let newest = self.manifests.iter().rev().find(|(_, segments)| segments.is_some());
        let manifest = newest.map(|(epoch, _)| load(&*self.store, *epoch)).transpose();
        let mut manifest = match manifest {
            Ok(manifest) => manifest.flatten().ok_or_else(|| none(&*self.store))?,
            Err(Unusable::Error(e)) => return Err(e),
            Err(Unusable::Flaw(_)) => return Err(none(&*self.store)),
        };
        if let Some(epoch) = epochs(to)?.last() {
            return Err(Error::option(format!("there is a savepoint in '{}' already", to.describe()))
                .with_detail(format!("it has the number {epoch}"))
                .with_hint("give another directory"));
        }
        let recent = Recent::default();
        let mut writer = SegmentWriter::new(to, format!("{}-{}-0", manifest.epoch, self.writer), &recent);
        let from = Blocks { store: &*self.store, recent: None };
        copy(&mut manifest.state, from, &mut writer, &mut |_| true)?;
        writer.finish()?;
        manifest.segments = writer.segments.into_iter().collect();
        match to.create(&manifest::path(manifest.epoch), encode(&manifest)?)? {
            true => Ok(()),
            false => Err(Error::io(format!("another process has written into '{}'", to.describe()))),
        }
    }
}

/// A part that changes nothing need not be written, if the chain tells the table's columns.
fn says_something(part: &Part, chain: &[merge::Run]) -> bool {
    let rows = part.more.is_some() || part.rows.iter().any(|(ids, _)| !ids.is_empty());
    match part.whole {
        _ if rows || chain.is_empty() => true,
        true => chain.iter().any(|run| run.rows() > 0),
        false => !part.removed.is_empty(),
    }
}

/// Copies what is still used of segments that are mostly not.
fn leave_sparse(
    state: &mut State,
    segments: &BTreeMap<Arc<str>, u64>,
    from: Blocks<'_>,
    writer: &mut SegmentWriter<'_>,
) -> Result<()> {
    let mut used: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for block in manifest::blocks(state) {
        *used.entry(block.segment.clone()).or_default() += block.bytes;
    }
    // Segments that are being written are not among `segments`.
    used.retain(|name, used| segments.get(name).is_some_and(|all| *used * 2 < *all));
    if used.is_empty() {
        return Ok(());
    }
    let mut left = COPIED_BYTES;
    used.retain(|_, used| {
        let fits = *used <= left;
        left -= if fits { *used } else { 0 };
        fits
    });
    copy(state, from, writer, &mut |block| used.contains_key(&block.segment))
}

/// Copies blocks as they are.
fn copy(
    state: &mut State,
    from: Blocks<'_>,
    writer: &mut SegmentWriter<'_>,
    wanted: &mut dyn FnMut(&BlockRef) -> bool,
) -> Result<()> {
    for table in state.values_mut().flat_map(|task| task.tables.values_mut()) {
        for run in &mut table.chain {
            let picked: Vec<usize> = (0..run.blocks.len()).filter(|&i| wanted(&run.blocks[i])).collect();
            let mut copies = Vec::with_capacity(picked.len());
            read_blocks(from.store, from.recent, picked.iter().map(|&i| &run.blocks[i]), |block, bytes| {
                verify(block, &bytes)?;
                copies.push(writer.copy(block, &bytes)?);
                Ok(())
            })?;
            picked.into_iter().zip(copies).for_each(|(i, block)| run.blocks[i] = block);
        }
    }
    Ok(())
}

fn encode(manifest: &Manifest) -> Result<bytes::Bytes> {
    manifest
        .encode()
        .map_err(|e| Error::internal(format!("a checkpoint's manifest could not be written: {e}")))
}
