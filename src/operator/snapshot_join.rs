//! Snapshot join: each probe row meets the build rows as they are when it comes.
//!
//! ```text
//!   build  +I +I -U +U ─────────┐ load completed ┌── +U ── -D ─────>   (any changes)
//!   probe  ●  ●     ●  (held)   └> ● ● ●         └────── ● ───── ●─>   (inserts only)
//! ```
//! Enrichment from memory, as `LATERAL SNAPSHOT` asks for it (FLIP-579). It has two phases. While the build side
//! **loads**, probe rows and their watermarks are held. Loading is over when the build side's watermark reaches a
//! given time, when the build side has ended, or when it has been quiet for a given while. From then on every
//! probe row is joined at once with the current build rows; what changes later changes nothing that was emitted,
//! so that the output is inserts only.
//!
//! The same operator serves `FOR SYSTEM_TIME AS OF` a processing time on a table that is no lookup table: it is
//! read as a changelog and kept in memory. Flink refuses this, because it has no phase in which the table is
//! loaded and the first rows would find nothing.
//!
//! The watermark of the output is the probe side's: build rows have no say in the time of what comes out.
//!
//! In a checkpoint `build` has the build rows, `held` the probe rows that are held, each with the `watermark` that came
//! before it.

mod held;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use self::held::Held;
use super::join_output::{JoinOutput, PAIRS, columns_at, null_keys, take_rows};
use super::row_bag::RowBag;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Expiry, KeyTable, Restored, RowTable, Snapshot, columns};

/// What ends the load phase, besides the end of the build side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadUntil {
    /// Nothing else.
    End,
    /// The build side's watermark reaches this time, in milliseconds since the epoch.
    Watermark(i64),
    /// There is no load phase.
    Start,
}

/// A snapshot join that was planned. Arrays hold probe side (left), then build side (right).
#[derive(Debug, Clone)]
pub struct SnapshotJoinSpec {
    /// Probe rows without a match are kept, padded with NULLs.
    pub left_outer: bool,
    /// Key columns, equal in number and types. There may be none.
    pub keys: [Vec<usize>; 2],
    /// The rest of the condition, over probe columns, then build columns.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Schemas of the inputs.
    pub inputs: [SchemaRef; 2],
    /// Output columns as positions in probe columns, then build columns.
    pub output: Vec<usize>,
    /// The output's schema.
    pub schema: SchemaRef,
    /// The build side may update and delete.
    pub build_changes: bool,
    /// What ends the load phase.
    pub load: LoadUntil,
    /// The load phase is over as well when nothing came from the build side for so long.
    pub idle_timeout: Option<Duration>,
    /// Build rows that were written so long ago are forgotten.
    pub state_ttl: Option<Duration>,
}

/// The table of the build rows.
const BUILD: &str = "build";

/// Slot of a row that is gone.
const GONE: u32 = u32::MAX;

/// The operator of one task.
#[derive(Debug)]
pub struct SnapshotJoin {
    left_outer: bool,
    keys: [Vec<usize>; 2],
    output: JoinOutput,
    load: LoadUntil,
    idle_timeout: Option<Duration>,
    table: KeyTable,
    /// By key slot: ids of build rows.
    by_key: Vec<Vec<u32>>,
    build: RowBag,
    /// By build row id: its slot, or [`GONE`].
    slot_of: Vec<u32>,
    retention: Option<Expiry>,
    table_of_build: RowTable,
    /// What comes from the probe side while the build side loads.
    held: Held,
    last_build: Instant,
    clock: Arc<dyn Clock>,
    slots: Vec<u32>,
}

impl SnapshotJoin {
    /// An operator for one task.
    pub fn new(spec: SnapshotJoinSpec) -> Result<Self> {
        let [probe, build] = &spec.inputs;
        let types: Vec<_> = spec.keys[0].iter().map(|&c| probe.field(c).data_type().clone()).collect();
        Ok(Self {
            left_outer: spec.left_outer,
            load: spec.load,
            idle_timeout: spec.idle_timeout,
            table: KeyTable::new(&types)?,
            by_key: Vec::new(),
            build: RowBag::new(build.clone(), spec.build_changes)?,
            slot_of: Vec::new(),
            retention: Expiry::new(spec.state_ttl),
            held: Held::new(probe.clone(), spec.keys[0].clone(), spec.load != LoadUntil::Start),
            table_of_build: {
                let written = Field::new("written_at", columns::time_type(), true);
                let beside = Expiry::new(spec.state_ttl).map(|_| written);
                RowTable::new(BUILD, build, beside, spec.keys[1].clone())
            },
            last_build: crate::clock::instant(),
            clock: Arc::new(SystemClock),
            slots: Vec::new(),
            output: JoinOutput::new(spec.inputs, spec.residual, spec.output, spec.schema),
            keys: spec.keys,
        })
    }

    /// Whether probe rows are held because the build side loads.
    pub fn is_loading(&self) -> bool {
        self.held.is_holding()
    }

    fn forget(&mut self, id: u32, expired: bool) -> Result<()> {
        let slot = std::mem::replace(&mut self.slot_of[id as usize], GONE);
        if slot == GONE {
            return Ok(());
        }
        let list = &mut self.by_key[slot as usize];
        if let Some(at) = list.iter().position(|&other| other == id) {
            list.remove(at);
        }
        if list.is_empty() {
            self.table.remove(slot);
        }
        self.build.free(id, expired)
    }

    /// Brings the build side up to date.
    fn take_build(&mut self, chunk: Chunk) -> Result<()> {
        let now = self.clock.now_millis();
        if let Some(expired) = self.retention.as_mut().map(|r| r.sweep(now)) {
            for id in expired {
                self.forget(id, true)?;
            }
        }
        let null = null_keys(&columns_at(&chunk.batch, &self.keys[1]));
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for row in 0..chunk.len() as u32 {
            if null.as_ref().is_some_and(|null| null[row as usize]) {
                continue;
            }
            match chunk.kinds.get(row as usize) {
                Kind::Insert | Kind::UpdateAfter => added.push(row),
                Kind::UpdateBefore | Kind::Delete => removed.push(row),
            }
        }
        let rows = |rows: &[u32]| {
            if rows.len() == chunk.len() { Ok(chunk.batch.clone()) } else { take_rows(&chunk.batch, rows) }
        };
        self.add(&rows(&added)?, |_| now)?;
        if !removed.is_empty() {
            let mut found = Vec::new();
            self.build.take_back(&rows(&removed)?, &mut found)?;
            // What is not found had expired.
            for id in found.into_iter().flatten() {
                self.forget(id, false)?;
            }
        }
        Ok(())
    }

    /// Keeps build rows, written at these times.
    fn add(&mut self, batch: &RecordBatch, written: impl Fn(usize) -> i64) -> Result<()> {
        let mut slots = std::mem::take(&mut self.slots);
        self.table.intern(&columns_at(batch, &self.keys[1]), batch.num_rows(), &mut slots)?;
        self.by_key.resize_with(self.table.capacity(), Vec::new);
        let mut ids = Vec::with_capacity(batch.num_rows());
        self.build.insert(batch, &mut ids)?;
        for (row, (&slot, &id)) in slots.iter().zip(&ids).enumerate() {
            self.by_key[slot as usize].push(id);
            if self.slot_of.len() <= id as usize {
                self.slot_of.resize(id as usize + 1, GONE);
            }
            self.slot_of[id as usize] = slot;
            if let Some(retention) = &mut self.retention {
                retention.touch(id, written(row));
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// Joins probe rows with the build side as it is.
    fn probe(&mut self, chunk: &Chunk, out: &mut Output) -> Result<()> {
        if matches!(&chunk.kinds, Kinds::Changes(kinds) if kinds.iter().any(|k| *k != Kind::Insert)) {
            return Err(Error::internal("a change reached the probe side of a snapshot join"));
        }
        let keys = columns_at(&chunk.batch, &self.keys[0]);
        let null = null_keys(&keys);
        let mut slots = Vec::with_capacity(chunk.len());
        self.table.find(&keys, chunk.len(), &mut slots)?;
        let now = self.clock.now_millis();
        let (mut owners, mut ids) = (Vec::new(), Vec::new());
        let mut begin = 0;
        for row in 0..chunk.len() {
            if let Some(slot) = slots[row]
                && null.as_ref().is_none_or(|null| !null[row])
            {
                for &id in &self.by_key[slot as usize] {
                    if self.retention.as_ref().is_none_or(|r| !r.is_expired(id, now)) {
                        owners.push((row - begin) as u32);
                        ids.push(id);
                    }
                }
            }
            if ids.len() >= PAIRS || row + 1 == chunk.len() {
                let left = chunk.batch.slice(begin, row + 1 - begin);
                out.chunk(Chunk::append(self.join(&left, &owners, &ids)?, chunk.ingest));
                begin = row + 1;
                owners.clear();
                ids.clear();
            }
        }
        Ok(())
    }

    fn join(&self, left: &RecordBatch, owners: &[u32], ids: &[u32]) -> Result<RecordBatch> {
        let right = self.build.rows().take(ids)?;
        let joined = self.output.left_join(
            left.columns(),
            left.num_rows(),
            right.columns(),
            owners,
            self.left_outer,
        )?;
        Ok(joined.0)
    }

    /// The build side has loaded: what was held goes out.
    fn loaded(&mut self, out: &mut Output) -> Result<()> {
        for message in self.held.release() {
            match message {
                Message::Data(chunk) => self.probe(&chunk, out)?,
                signal => out.push(signal),
            }
        }
        Ok(())
    }
}

impl Operator for SnapshotJoin {
    fn name(&self) -> &'static str {
        "SnapshotJoin"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.build.open(&context);
        self.clock = context.clock;
        self.last_build = crate::clock::instant();
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let retention = &self.retention;
        self.table_of_build.write(self.build.rows_mut(), snapshot, |ids| {
            let times = |r: &Expiry| columns::times(ids.iter().map(|&id| r.written(id)));
            Ok(retention.iter().map(times).collect())
        })?;
        self.held.snapshot(snapshot)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let batches = self.table_of_build.read(state)?.collect::<Result<Vec<_>>>()?;
        for taken in batches {
            let written = taken.beside.first().map(columns::millis).transpose()?;
            self.add(&taken.rows, |row| written.map_or(0, |w| w[row]))?;
        }
        self.held.restore(state)
    }

    fn cold(&self) -> Option<ColdSpec> {
        let ttl = self.retention.as_ref().map(|retention| Duration::from_millis(retention.ttl() as u64));
        let keyed = !self.keys[0].is_empty();
        keyed.then(|| ColdSpec::by_key(self.keys.to_vec(), &[BUILD], ttl))
    }

    fn stays(&self) -> Option<&'static str> {
        self.keys[0].is_empty().then_some("what finds rows in memory, because no key is equal")
    }

    fn state_bytes(&self) -> usize {
        let lists = self.by_key.capacity() * size_of::<Vec<u32>>() + self.slot_of.capacity() * 8;
        let times = self.retention.as_ref().map_or(0, Expiry::memory);
        self.table.memory() + lists + times + self.build.memory() + self.held.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        if input == 1 {
            if self.idle_timeout.is_some() {
                self.last_build = crate::clock::instant();
            }
            return self.take_build(chunk);
        }
        match self.held.chunk(chunk) {
            Some(chunk) => self.probe(&chunk, out),
            None => Ok(()),
        }
    }

    fn watermark_at(&mut self, input: usize, watermark: Watermark, out: &mut Output) -> Result<()> {
        if input == 1 {
            self.last_build = crate::clock::instant();
            return match self.load {
                LoadUntil::Watermark(time) if watermark.millis() >= time => self.loaded(out),
                _ => Ok(()),
            };
        }
        if !self.held.watermark(watermark) {
            out.push(Message::Watermark(watermark));
        }
        Ok(())
    }

    /// The probe side's went out already.
    fn watermark(&mut self, _watermark: Watermark, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    fn end_at(&mut self, input: usize, out: &mut Output) -> Result<()> {
        if input == 1 { self.loaded(out) } else { Ok(()) }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.held.is_holding() {
            return None;
        }
        self.last_build.checked_add(self.idle_timeout?)
    }

    fn timer(&mut self, now: Instant, out: &mut Output) -> Result<()> {
        if self.deadline().is_some_and(|deadline| deadline <= now) { self.loaded(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.loaded(out)?;
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
