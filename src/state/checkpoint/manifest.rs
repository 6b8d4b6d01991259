//! The manifest of a checkpoint: what there is, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobPlan;
use super::merge::Run;
use super::segment::BlockRef;
use crate::state::snapshot::Scope;

/// The version that is written. Older ones can be read.
pub(super) const FORMAT: u32 = 1;

/// Path of a manifest in the store. Names have their digits filled up, so that they sort by number.
pub(super) fn path(epoch: u64) -> String {
    format!("manifests/{epoch:020}")
}

/// The number of a manifest.
pub(super) fn epoch_of(path: &str) -> Option<u64> {
    let name = path.strip_prefix("manifests/")?;
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

/// State of one operator in one task.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskState {
    pub(super) tasks: usize,
    pub(super) finished: bool,
    pub(super) values: BTreeMap<String, Value>,
    pub(super) tables: BTreeMap<String, TableState>,
}

/// One table of it.
#[derive(Debug, Clone)]
pub(super) struct TableState {
    pub(super) scope: Scope,
    /// Newest first.
    pub(super) chain: Vec<Run>,
}

/// By operator id and task.
pub(super) type State = BTreeMap<(String, usize), TaskState>;

/// A checkpoint, all but the rows.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) epoch: u64,
    pub(super) ended: bool,
    pub(super) written_millis: i64,
    pub(super) plan: JobPlan,
    pub(super) sources: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) sinks: BTreeMap<String, Vec<Value>>,
    /// Lengths of the segments, by name.
    pub(super) segments: BTreeMap<Arc<str>, u64>,
    pub(super) state: State,
}

/// All blocks that a state refers to.
pub(super) fn blocks(state: &State) -> impl Iterator<Item = &BlockRef> {
    let tables = state.values().flat_map(|task| task.tables.values());
    tables.flat_map(|table| &table.chain).flat_map(|run| &run.blocks)
}

/// Names of the segments that a state refers to.
pub(super) fn segments(state: &State) -> BTreeSet<Arc<str>> {
    blocks(state).map(|block| block.segment.clone()).collect()
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    bytes: u64,
    crc32: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    epoch: u64,
    ended: bool,
    #[serde(default)]
    written_millis: i64,
    plan: JobPlan,
    sources: BTreeMap<String, BTreeMap<String, Value>>,
    sinks: BTreeMap<String, Vec<Value>>,
    segments: Vec<SegmentEntry>,
    state: Vec<StateEntry>,
}

#[derive(Serialize, Deserialize)]
struct SegmentEntry {
    name: String,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct StateEntry {
    operator: String,
    task: usize,
    tasks: usize,
    finished: bool,
    values: BTreeMap<String, Value>,
    tables: Vec<TableEntry>,
}

#[derive(Serialize, Deserialize)]
struct TableEntry {
    table: String,
    scope: Scope,
    runs: Vec<RunEntry>,
}

#[derive(Serialize, Deserialize)]
struct RunEntry {
    whole: bool,
    blocks: Vec<BlockEntry>,
}

#[derive(Serialize, Deserialize)]
struct BlockEntry {
    segment: usize,
    offset: u64,
    bytes: u64,
    rows: u64,
    crc32: String,
}

/// Why bytes are no manifest; for people, behind "the manifest".
pub(super) enum Flaw {
    /// It was written by a later version.
    Newer(u32),
    /// It is not what was written.
    Damaged(String),
}

impl Manifest {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let number: BTreeMap<&str, usize> =
            self.segments.keys().enumerate().map(|(i, name)| (&**name, i)).collect();
        let block = |b: &BlockRef| BlockEntry {
            segment: number[&*b.segment],
            offset: b.offset,
            bytes: b.bytes,
            rows: b.rows,
            crc32: format!("{:08x}", b.crc),
        };
        let run = |r: &Run| RunEntry { whole: r.whole, blocks: r.blocks.iter().map(block).collect() };
        let table = |(name, table): (&String, &TableState)| TableEntry {
            table: name.clone(),
            scope: table.scope.clone(),
            runs: table.chain.iter().map(run).collect(),
        };
        let state = self.state.iter().map(|((operator, task), state)| StateEntry {
            operator: operator.clone(),
            task: *task,
            tasks: state.tasks,
            finished: state.finished,
            values: state.values.clone(),
            tables: state.tables.iter().map(table).collect(),
        });
        let segment =
            |(name, bytes): (&Arc<str>, &u64)| SegmentEntry { name: name.to_string(), bytes: *bytes };
        let body = serde_json::to_vec(&Body {
            epoch: self.epoch,
            ended: self.ended,
            written_millis: self.written_millis,
            plan: self.plan.clone(),
            sources: self.sources.clone(),
            sinks: self.sinks.clone(),
            segments: self.segments.iter().map(segment).collect(),
            state: state.collect(),
        })?;
        let crc32 = format!("{:08x}", crc32fast::hash(&body));
        let mut bytes = serde_json::to_vec(&Head { format: FORMAT, bytes: body.len() as u64, crc32 })?;
        bytes.push(b'\n');
        bytes.extend(body);
        bytes.push(b'\n');
        Ok(bytes.into())
    }

    /// From bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let damaged = |why: &str| Flaw::Damaged(why.to_string());
        let end = memchr::memchr(b'\n', bytes).ok_or_else(|| damaged("is cut off"))?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| damaged("has no head"))?;
        if head.format > FORMAT {
            return Err(Flaw::Newer(head.format));
        }
        let length = usize::try_from(head.bytes).map_err(|_| damaged("is cut off"))?;
        let body = bytes[end + 1..].get(..length).ok_or_else(|| damaged("is cut off"))?;
        if format!("{:08x}", crc32fast::hash(body)) != head.crc32 {
            return Err(damaged("does not have the checksum it was written with"));
        }
        let body: Body =
            serde_json::from_slice(body).map_err(|e| Flaw::Damaged(format!("cannot be read: {e}")))?;
        Self::from_body(body).ok_or_else(|| damaged("refers to what it does not list"))
    }

    fn from_body(body: Body) -> Option<Self> {
        let names: Vec<(Arc<str>, u64)> =
            body.segments.into_iter().map(|s| (Arc::from(s.name), s.bytes)).collect();
        let mut state = State::new();
        for entry in body.state {
            let mut task = TaskState {
                tasks: entry.tasks,
                finished: entry.finished,
                values: entry.values,
                tables: BTreeMap::new(),
            };
            for table in entry.tables {
                let mut chain = Vec::with_capacity(table.runs.len());
                for run in table.runs {
                    let block = |b: BlockEntry| {
                        let (name, length) = names.get(b.segment)?;
                        let end = b.offset.checked_add(b.bytes)?;
                        (end <= *length).then_some(BlockRef {
                            segment: name.clone(),
                            offset: b.offset,
                            bytes: b.bytes,
                            rows: b.rows,
                            crc: u32::from_str_radix(&b.crc32, 16).ok()?,
                        })
                    };
                    let blocks = run.blocks.into_iter().map(block).collect::<Option<Vec<_>>>()?;
                    chain.push(Run { whole: run.whole, blocks });
                }
                task.tables.insert(table.table, TableState { scope: table.scope, chain });
            }
            state.insert((entry.operator, entry.task), task);
        }
        Some(Self {
            epoch: body.epoch,
            ended: body.ended,
            written_millis: body.written_millis,
            plan: body.plan,
            sources: body.sources,
            sinks: body.sinks,
            segments: names.into_iter().collect(),
            state,
        })
    }
}
