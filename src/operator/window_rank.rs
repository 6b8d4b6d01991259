//! Window Top-N and window deduplication: the rows of each window and partition whose rank lies in a range,
//! emitted once, when the watermark says that the window is complete.
//!
//! ```text
//!  rows ──> ranking of (window_start, window_end, keys) ──┐  watermark >= window_end - 1 ms
//!                                                         └──> ranks 1 to N, append-only; state is gone
//! ```
//! Deduplication is Top-1 by event time, where of rows with the same time the first (keep first) or the
//! latest to come (keep last) wins.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashSet;

use super::event_time::millis;
use super::ranking::{self, RankFunction, Ranking, SortColumn, SortKeys, key_of};
use super::top_n::with_rank;
use super::window::WindowSpec;
use super::window::zone::WindowClock;
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{KeyTable, Restored, Snapshot};

/// Rows in a chunk that comes out.
const CHUNK_ROWS: usize = 8192;

/// A window Top-N or window deduplication that was planned. Its input is append-only.
#[derive(Debug, Clone)]
pub struct WindowRankSpec {
    /// `WindowRank` or `WindowDeduplicate`.
    pub name: &'static str,
    /// PARTITION BY with `window_start` and `window_end`, as positions in the input.
    pub partition: Vec<usize>,
    /// Position of `window_end`.
    pub window_end: usize,
    /// The windows.
    pub window: WindowSpec,
    /// ORDER BY.
    pub sort: Vec<SortColumn>,
    /// What numbers the rows.
    pub function: RankFunction,
    /// Of rows with equal sort keys the latest comes first.
    pub latest_first: bool,
    /// First rank that is seen, from 1.
    pub from: u64,
    /// Last rank that is seen.
    pub to: u64,
    /// The rank is the last column of the output (BIGINT).
    pub rank_output: bool,
    /// Schema of the input.
    pub input: SchemaRef,
    /// The input's columns, then the rank if it is output.
    pub schema: SchemaRef,
}

/// The operator of one task.
#[derive(Debug)]
pub struct WindowRank {
    spec: WindowRankSpec,
    keys: KeyTable,
    sort: SortKeys,
    ranking: Ranking,
    clock: WindowClock,
    /// Partitions by the end of their window, as its column shows it.
    windows: BTreeMap<i64, Vec<u32>>,
    slots: Vec<u32>,
    /// Windows that end here or before are complete.
    closed: Option<i64>,
    late: u64,
}

impl WindowRank {
    /// An operator for one task.
    pub fn new(spec: WindowRankSpec) -> Result<Self> {
        let types: Vec<_> = spec.partition.iter().map(|&c| spec.input.field(c).data_type().clone()).collect();
        Ok(Self {
            keys: KeyTable::new(&types)?,
            sort: SortKeys::new(&spec.sort, &spec.input)?,
            ranking: Ranking::new(
                spec.function,
                (spec.from, spec.to),
                false,
                spec.latest_first,
                &spec.input,
            )?,
            clock: WindowClock::new(&spec.window)?,
            windows: BTreeMap::new(),
            slots: Vec::new(),
            closed: None,
            late: 0,
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.ranking.memory()
    }

    fn is_complete(&self, end: i64) -> bool {
        self.closed.is_some_and(|closed| end <= closed)
    }

    /// Emits windows that are complete.
    fn close(&mut self, out: &mut Output) -> Result<()> {
        let mut complete = Vec::new();
        while let Some(entry) = self.windows.first_entry()
            && self.closed.is_some_and(|closed| *entry.key() <= closed)
        {
            complete.extend(entry.remove());
        }
        let mut seen = Vec::new();
        for &slot in &complete {
            self.ranking.visible(slot, &mut seen);
        }
        for part in seen.chunks(CHUNK_ROWS) {
            let rows: Vec<u32> = part.iter().map(|&(entry, _)| self.ranking.row_of(entry)).collect();
            let ranks = self.spec.rank_output.then(|| part.iter().map(|p| p.1 as i64).collect());
            let batch = with_rank(self.ranking.take(&rows)?, ranks, &self.spec.schema)?;
            out.chunk(Chunk::append(batch, crate::clock::instant()));
        }
        for slot in complete {
            self.ranking.clear(slot);
            self.keys.remove(slot);
        }
        self.ranking.forget()
    }
}

impl Operator for WindowRank {
    fn name(&self) -> &'static str {
        self.spec.name
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.ranking.note_changes(context.checkpointed);
        self.ranking.limit(&context.memory);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.value("done", self.closed)?;
        self.ranking.snapshot(snapshot, &self.spec.partition, |_, _| Ok(Vec::new()))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let (spec, keys, windows) = (&self.spec, &mut self.keys, &mut self.windows);
        let mut known: HashSet<u32> = HashSet::new();
        self.ranking.restore(state, &mut self.sort, 0, |rows| {
            let partition: Vec<_> = spec.partition.iter().map(|&c| rows.column(c).clone()).collect();
            let mut slots = Vec::new();
            keys.intern(&partition, rows.num_rows(), &mut slots)?;
            let ends = millis(rows.column(spec.window_end), "a window")?;
            for (&slot, &end) in slots.iter().zip(ends.iter()) {
                if known.insert(slot) {
                    windows.entry(end).or_default().push(slot);
                }
            }
            Ok(slots)
        })?;
        if !state.is_part() {
            let done: Vec<Option<i64>> = state.values("done")?;
            self.closed = done.into_iter().max().flatten();
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let keyed = !self.spec.partition.is_empty();
        keyed.then(|| ColdSpec::by_key_and_time(vec![self.spec.partition.clone()], &[ranking::TABLE]))
    }

    fn due(&self, _table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        // Behind the arrival.
        Ok(millis(rows.column(1 + self.spec.window_end), "a window")?.to_vec())
    }

    fn reached(&mut self, watermark: Watermark) -> i64 {
        self.clock.closed_by(watermark.millis())
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, mut chunk: Chunk, _out: &mut Output) -> Result<()> {
        let mut ends = millis(chunk.batch.column(self.spec.window_end), "a window")?;
        if ends.iter().any(|&end| self.is_complete(end)) {
            let timely: Vec<u32> =
                (0..chunk.len() as u32).filter(|&r| !self.is_complete(ends[r as usize])).collect();
            self.late += (chunk.len() - timely.len()) as u64;
            ends = timely.iter().map(|&r| ends[r as usize]).collect();
            chunk = chunk.take(&timely.into())?;
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let partition: Vec<_> = self.spec.partition.iter().map(|&c| chunk.batch.column(c).clone()).collect();
        self.keys.intern(&partition, chunk.len(), &mut self.slots)?;
        self.ranking.resize(self.keys.capacity());
        let sort = self.sort.encode(&chunk.batch)?;
        for (row, &slot) in self.slots.iter().enumerate() {
            let key = key_of(sort.as_ref(), row);
            if self.ranking.admits(slot, key) {
                if self.ranking.len(slot) == 0 {
                    self.windows.entry(ends[row]).or_default().push(slot);
                }
                self.ranking.insert(slot, key, row, 0);
            }
        }
        self.ranking.keep(&chunk.batch)?;
        self.ranking.forget()
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.closed = Some(self.clock.closed_by(watermark.millis()));
        self.close(out)?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
