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
use self::segment::{BlockRef, Recent, SEGMENT_BYTES, SegmentWriter, read_blocks, verify};
use super::snapshot::{Delta, Former, Restored, Scope, Snapshot, StoredRows, TIME_VALUES};
use super::store::lease::Lease;
use super::store::{Lock, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Place;

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

/// Why there is no manifest.
enum Unusable {
    Flaw(Flaw),
    Error(Error),
}

fn newer(store: &dyn Store, format: u32) -> Error {
    Error::unsupported(format!("the checkpoints in '{}' were written by a later version", store.describe()))
        .with_detail(format!("their format is {format}, this version knows up to {}", manifest::FORMAT))
        .with_hint("run the version that wrote them, or a later one")
}

fn none(store: &dyn Store) -> Error {
    Error::option(format!("there is no checkpoint or savepoint in '{}'", store.describe()))
}

fn all_damaged(store: &dyn Store, warnings: &[String]) -> Error {
    Error::decode(format!("no checkpoint in '{}' can be used", store.describe()))
        .with_detail(warnings.join("; "))
}

/// Numbers of the manifests that count, ascending.
fn epochs(store: &dyn Store) -> Result<Vec<u64>> {
    Ok(cleaning::epochs(store)?.0)
}

/// A manifest; `None` if it is gone.
fn load(store: &dyn Store, epoch: u64) -> Result<Option<Manifest>, Unusable> {
    match store.get(&manifest::path(epoch)).map_err(Unusable::Error)? {
        Some(bytes) => Manifest::decode(&bytes).map(Some).map_err(Unusable::Flaw),
        None => Ok(None),
    }
}

/// The newest whole checkpoint with a number below this one, what is to be said of newer ones, and their numbers.
fn newest(store: &Arc<dyn Store>, below: u64) -> Result<(Option<Checkpoint>, Vec<String>, BTreeSet<u64>)> {
    let (mut warnings, mut passed) = (Vec::new(), BTreeSet::new());
    let mut sizes = None;
    for epoch in epochs(&**store)?.into_iter().rev().filter(|epoch| *epoch < below) {
        let flaw = match load(&**store, epoch) {
            // Deleted by the process that writes, in favour of a newer one.
            Ok(None) => continue,
            Ok(Some(manifest)) => {
                if sizes.is_none() {
                    sizes = Some(store.sizes("segments/")?);
                }
                match check(&**store, &manifest, sizes.as_ref().unwrap_or(&BTreeMap::new()))? {
                    None => {
                        let manifest = Arc::new(manifest);
                        return Ok((
                            Some(Checkpoint { manifest, store: store.clone(), assumed: false }),
                            warnings,
                            passed,
                        ));
                    }
                    Some(flaw) => flaw,
                }
            }
            Err(Unusable::Flaw(Flaw::Newer(format))) => return Err(newer(&**store, format)),
            Err(Unusable::Flaw(Flaw::Damaged(why))) => format!("its manifest {why}"),
            Err(Unusable::Error(e)) => return Err(e),
        };
        let place = store.describe();
        warnings.push(format!("checkpoint {epoch} in '{place}' is damaged and passed over: {flaw}"));
        passed.insert(epoch);
    }
    Ok((None, warnings, passed))
}

/// Whether all that a manifest refers to is there and as it was written; what is wrong if not.
///
/// Everything is read, at the speed of the disk, and is then in the system's memory when the tasks read it; stores
/// that guard what they hold are only asked for lengths.
fn check(store: &dyn Store, manifest: &Manifest, sizes: &BTreeMap<String, u64>) -> Result<Option<String>> {
    for (name, bytes) in &manifest.segments {
        match sizes.get(&segment::path(name)) {
            None => return Ok(Some(format!("segment '{name}' is gone"))),
            Some(there) if there != bytes => {
                return Ok(Some(format!("segment '{name}' has {there} bytes instead of {bytes}")));
            }
            Some(_) => {}
        }
    }
    if store.guards_content() {
        return Ok(None);
    }
    let mut blocks: Vec<&BlockRef> = manifest::blocks(&manifest.state).collect();
    blocks.sort_unstable_by(|a, b| (&a.segment, a.offset).cmp(&(&b.segment, b.offset)));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).clamp(1, 8);
    let shares = blocks.chunks(blocks.len().div_ceil(threads).max(16));
    let verify =
        |share: &[&BlockRef]| read_blocks(store, None, share.iter().copied(), |b, bytes| verify(b, &bytes));
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let handles: Vec<_> = shares.map(|share| scope.spawn(move || verify(share))).collect();
        let joined = handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|_| Err(Error::internal("a check of a checkpoint has failed"))));
        joined.collect()
    });
    match results.into_iter().find_map(Result::err) {
        None => Ok(None),
        Some(e) if e.kind() == ErrorKind::Decode => Ok(Some(e.message().to_string())),
        Some(e) => Err(e),
    }
}

/// A checkpoint or savepoint that was opened and found whole.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    manifest: Arc<Manifest>,
    store: Arc<dyn Store>,
    assumed: bool,
}

/// How much state there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows, without those that were replaced or removed.
    pub rows: u64,
    /// Bytes in the store.
    pub bytes: u64,
    /// There are values which say more than how far time has come.
    pub values: bool,
}

impl Weight {
    /// Nothing is lost without it.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && !self.values
    }
}

/// Whether a value is more than a mark of time, and not nothing.
fn holds_something(name: &str, value: &Value) -> bool {
    fn is_something(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(on) => *on,
            Value::Number(n) => n.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(all) => all.iter().any(is_something),
            Value::Object(all) => all.values().any(is_something),
        }
    }
    !TIME_VALUES.contains(&name) && is_something(value)
}

/// A table of an operator in one task, as a checkpoint has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTable {
    /// Id of the operator.
    pub operator: String,
    /// Number of the task, and of how many.
    pub task: usize,
    /// Tasks of the operator.
    pub tasks: usize,
    /// Name of the table; `None` stands for an operator that has values only.
    pub table: Option<String>,
    /// Bytes in the store, with rows that were replaced since.
    pub bytes: u64,
}

impl Checkpoint {
    /// Opens a savepoint, or the newest whole checkpoint of a job's folder.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let (mut found, mut warnings, mut passed) = newest(&store, u64::MAX)?;
        // The job may run, and delete what it does not need any more: a newer one is there then.
        for _ in 0..8 {
            if passed.is_empty() || epochs(&*store)?.last() == passed.last() {
                break;
            }
            (found, warnings, passed) = newest(&store, u64::MAX)?;
        }
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        found.ok_or_else(|| match warnings.is_empty() {
            true => none(&*store),
            false => all_damaged(&*store, &warnings),
        })
    }

    /// The plan it was made with.
    pub fn plan(&self) -> &JobPlan {
        &self.manifest.plan
    }

    /// When it was written, in milliseconds since the epoch, if it says so.
    pub fn written_millis(&self) -> Option<i64> {
        Some(self.manifest.written_millis).filter(|millis| *millis != 0)
    }

    /// The same with the identities of now.
    pub fn adopted(self, aliases: &Aliases) -> Self {
        if self.manifest.plan.identities >= aliases.version {
            return self;
        }
        let by_place = self.by_place(aliases);
        let assumed = !by_place.is_empty();
        let name = |id: String| match (aliases.renamed.get(&id), by_place.get(&id)) {
            (Some(new), _) | (None, Some(new)) => new.clone(),
            (None, None) => id,
        };
        let mut manifest = Arc::unwrap_or_clone(self.manifest);
        manifest.state = manifest.state.into_iter().map(|((id, task), s)| ((name(id), task), s)).collect();
        manifest.sources = manifest.sources.into_iter().map(|(id, p)| (name(id), p)).collect();
        manifest.sinks = manifest.sinks.into_iter().map(|(id, p)| (name(id), p)).collect();
        manifest.plan.operators.iter_mut().for_each(|o| o.id = name(std::mem::take(&mut o.id)));
        Self { manifest: Arc::new(manifest), assumed, ..self }
    }

    /// New identities of operators whose old ones are not known, by their place in the plan.
    fn by_place(&self, aliases: &Aliases) -> BTreeMap<String, String> {
        let with_state = self.stateful();
        let operators = self.manifest.plan.operators.iter().filter(|o| with_state.contains(&o.id));
        let old: Vec<&OperatorPlan> = operators.collect();
        let same = old.len() == aliases.stateful.len()
            && old.iter().zip(&aliases.stateful).all(|(o, (name, _))| o.name == *name);
        let unknown = old.iter().zip(&aliases.stateful).filter(|(o, _)| !aliases.renamed.contains_key(&o.id));
        let renamed = unknown.map(|(o, (_, id))| (o.id.clone(), id.clone()));
        if same { renamed.collect() } else { BTreeMap::new() }
    }

    /// It was written by an earlier version, and its operators were found by their place in the plan alone.
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// How much state an operator has, over all tasks.
    pub fn weight(&self, id: &str) -> Result<Weight> {
        let mut weight = Weight::default();
        for (&task, state) in self.tasks_of(id) {
            weight.values |= state.values.iter().any(|(name, value)| holds_something(name, value));
            for (name, table) in &state.tables {
                weight.rows += self.rows_of(id, task, name)?;
                weight.bytes += table.chain.iter().map(merge::Run::bytes).sum::<u64>();
            }
        }
        Ok(weight)
    }

    /// Its number.
    pub fn epoch(&self) -> u64 {
        self.manifest.epoch
    }

    /// Nothing is left to do but to commit.
    pub fn ended(&self) -> bool {
        self.manifest.ended
    }

    /// Positions by source id.
    pub fn sources(&self) -> &BTreeMap<String, BTreeMap<String, Value>> {
        &self.manifest.sources
    }

    /// What the sinks told, by sink id.
    pub fn sinks(&self) -> &BTreeMap<String, Vec<Value>> {
        &self.manifest.sinks
    }

    /// Ids of operators that have state in it.
    pub fn stateful(&self) -> Vec<String> {
        let ids: BTreeSet<&String> = self.manifest.state.keys().map(|(id, _)| id).collect();
        ids.into_iter().cloned().collect()
    }

    /// Bytes of state in the store.
    pub fn bytes(&self) -> u64 {
        manifest::blocks(&self.manifest.state).map(|b| b.bytes).sum()
    }

    /// The state of an operator for one task of so many; nothing for an operator that is not in it. It is read from
    /// the store when the operator asks for it.
    pub fn operator(&self, id: &str, task: usize, tasks: usize) -> Result<Restored> {
        let mut formers = Vec::new();
        for (&number, state) in self.tasks_of(id) {
            let values = state.values.clone();
            let mut former = Former::with_values(number, state.tasks, state.finished, values);
            for (name, table) in &state.tables {
                let (same, mine) = (state.tasks == tasks, number == task);
                let wanted = match &table.scope {
                    _ if same => mine,
                    Scope::Keyed(columns) => !columns.is_empty() || task == 0,
                    Scope::Dealt => number % tasks.max(1) == task,
                    // It is refused when the operator asks for it.
                    Scope::Pinned => true,
                };
                if wanted {
                    let rows = ChainRows { table: table.clone(), store: self.store.clone() };
                    former.add_stored(name, table.scope.clone(), Arc::new(rows));
                }
            }
            formers.push(former);
        }
        Ok(Restored::new(task, tasks, formers))
    }

    /// What is in it, table by table.
    pub fn tables(&self) -> Vec<StateTable> {
        let mut tables = Vec::new();
        for ((operator, task), state) in &self.manifest.state {
            let entry = |table: Option<&String>, bytes| StateTable {
                operator: operator.clone(),
                task: *task,
                tasks: state.tasks,
                table: table.cloned(),
                bytes,
            };
            let bytes = |table: &TableState| table.chain.iter().map(merge::Run::bytes).sum();
            tables.extend(state.tables.iter().map(|(name, table)| entry(Some(name), bytes(table))));
            if state.tables.is_empty() {
                tables.push(entry(None, 0));
            }
        }
        tables
    }

    /// The rows of one table of an operator in one former task, with their ids; in no particular order.
    pub fn table(&self, id: &str, task: usize, table: &str) -> Result<Vec<(Vec<u64>, RecordBatch)>> {
        let state = self.tasks_of(id).find(|(number, _)| **number == task);
        let table = state.and_then(|(_, state)| state.tables.get(table));
        let mut rows = Vec::new();
        if let Some(table) = table {
            ChainRows { table: table.clone(), store: self.store.clone() }.each(&mut |ids, batch| {
                rows.push((ids, batch));
                Ok(())
            })?;
        }
        Ok(rows)
    }

    /// How many rows one table of an operator has in one former task.
    pub fn rows_of(&self, id: &str, task: usize, table: &str) -> Result<u64> {
        let state = self.tasks_of(id).find(|(number, _)| **number == task);
        match state.and_then(|(_, state)| state.tables.get(table)).map(|table| &table.chain[..]) {
            None => Ok(0),
            // Nothing was replaced: they need not be read.
            Some([run]) => Ok(run.rows()),
            Some(_) => Ok(self.table(id, task, table)?.iter().map(|(ids, _)| ids.len() as u64).sum()),
        }
    }

    /// The columns of a table of an operator, as any of its tasks wrote it.
    pub fn schema(&self, id: &str, table: &str) -> Result<Option<arrow::datatypes::SchemaRef>> {
        for (_, state) in self.tasks_of(id) {
            let Some(table) = state.tables.get(table) else { continue };
            let Some(block) = table.chain.first().and_then(|run| run.blocks.first()) else { continue };
            let mut schema = None;
            read_blocks(&*self.store, None, [block], |block, bytes| {
                schema = Some(segment::decode(block, &bytes)?.rows.schema());
                Ok(())
            })?;
            return Ok(schema);
        }
        Ok(None)
    }

    fn tasks_of(&self, id: &str) -> impl Iterator<Item = (&usize, &TaskState)> {
        let all = self.manifest.state.range((id.to_string(), 0)..);
        all.take_while(move |((operator, _), _)| operator == id).map(|((_, task), state)| (task, state))
    }
}

/// The rows of a chain that count.
#[derive(Debug)]
struct ChainRows {
    table: TableState,
    store: Arc<dyn Store>,
}

impl StoredRows for ChainRows {
    fn bytes(&self) -> u64 {
        self.table.chain.iter().map(merge::Run::bytes).sum()
    }

    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()> {
        let layers: Vec<Layer<'_>> = self.table.chain.iter().map(Layer::Stored).collect();
        let from = Blocks { store: &*self.store, recent: None };
        merge::merge(&layers, from, &mut |ids, rows| if ids.is_empty() { Ok(()) } else { with(ids, rows) })?;
        Ok(())
    }
}
