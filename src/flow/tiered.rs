//! An operator whose keys go to disk when memory is short, whatever it computes.
//!
//! ```text
//!              keys of the rows ──> not here? ──> those on disk come back
//!  rows ──────────────────────────────────────────────> operator ──> rows
//!                                                        │
//!              memory short: what it would give a checkpoint, by the hash of its keys ──> a run on disk
//!                            (and the operator begins anew)
//! ```
//! What an operator gives to a checkpoint and takes back from one is all that it knows. So nothing else is needed to
//! move it to disk: its snapshot is written there, sorted by key, and a new operator in its place gets the rows of
//! those keys back that are asked for. Operators with keys say what is needed beside ([`Operator::cold`]): by which
//! columns rows meet their keys, and which tables of a snapshot can go.
//!
//! | operator | rows come | event time comes |
//! |---|---|---|
//! | aggregates, joins, Top-N, deduplication, OVER | their keys come back first | rows that wait for it stay in memory, with their keys |
//! | windows, window joins | nothing comes back: what is on disk is [added up](Kind::adds) | keys that are due come back |
//! | sessions, interval joins | their keys come back first | keys that are due come back |
//!
//! Keys that are due come back piece by piece, each piece to an operator of its own that gives out what is complete;
//! what it has left goes to disk again. No rows are read meanwhile, and the watermark follows behind.
//!
//! Keys are searched for in a file once for many rows: while rows come in one after the other, they wait for each other,
//! for a moment ([`HOLD`]) and only where state is on disk. When the input has no more at hand, and before
//! everything else that passes, they go on.
//!
//! The first half of the limit is for state in use; what moving it takes is in the other half.

mod here;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashSet;
use serde_json::Value;

use self::here::Here;
use super::message::{Chunk, Message, Status, Watermark};
use super::operator::{ColdSpec, Operator, OperatorContext, Output, Splits};
use super::task::BuildOperator;
use crate::error::{Error, Result};
use crate::state::memory::Share;
use crate::state::tier::{Cold, Fetched, Part, Pass, Times, supports};
use crate::state::{Delta, Former, Memory, Restored, Scope, Snapshot, hash_rows};

/// Rows between two looks at the memory, at most and for each byte of the limit.
const PATIENCE: usize = 8192;
const BYTES_A_ROW: usize = 2048;
/// Keys that are due and are searched for, instead of reading everything.
const SEARCHED: u64 = 1 << 16;
/// The part of the limit that state read back from a checkpoint may take at once.
const PIECES: usize = 16;
/// How long rows wait for others, so that keys are searched for together, while more are there to be read.
const HOLD: Duration = Duration::from_millis(200);
/// One row is held for so many bytes of the limit, at most.
const BYTES_A_HELD_ROW: usize = 128;
/// Rows that are held at first.
const HELD_ROWS: usize = 1 << 16;
/// The part of the limit that may be taken by rows that are held, and that by the keys that come back together for them.
const HELD: usize = 8;
const BROUGHT: usize = 6;

/// Rows that wait for others.
#[derive(Default)]
struct Held {
    chunks: Vec<(usize, Chunk)>,
    rows: usize,
    bytes: usize,
    /// When the first of them came. They go on as soon as no more can be read.
    since: Option<Instant>,
}

/// An operator and its state on disk.
pub struct Tiered {
    build: BuildOperator,
    inner: Box<dyn Operator>,
    spec: ColdSpec,
    context: Option<OperatorContext>,
    /// What the job may take, and what this takes of it.
    memory: Arc<Memory>,
    share: Option<Share>,
    cold: Option<Cold>,
    /// By number: the key columns of the tables that can be on disk.
    scopes: Vec<Vec<usize>>,
    /// Keys of which nothing on disk counts, or that are not there.
    here: Here,
    /// The last values of the operator, while it gives out what is due.
    values: BTreeMap<String, Value>,
    passing: Option<(Watermark, Option<Pass>)>,
    emitted: Option<Watermark>,
    rows: usize,
    bytes: usize,
    held: Held,
    /// So many rows are held at most; it follows how much their keys take.
    most_held: usize,
    /// What was left in memory when keys were moved last.
    least: usize,
    /// The number under which it shares the memory.
    number: u64,
    /// Rows on disk cannot be of one of the types.
    refused: bool,
    /// The next snapshot replaces all that was told before: the operator is not the one that told it.
    whole: bool,
    /// Of operators that were let go.
    late: u64,
    dropped: u64,
}

impl Tiered {
    /// Around an operator; the operator alone where it has no state by key, or memory no limit.
    pub fn around(inner: Box<dyn Operator>, build: &BuildOperator, memory: &Memory) -> Box<dyn Operator> {
        match inner.cold().filter(|_| memory.is_limited()) {
            Some(spec) => Box::new(Self::new(inner, spec, build)),
            None => inner,
        }
    }

    /// Around an operator that says this.
    pub(crate) fn new(inner: Box<dyn Operator>, spec: ColdSpec, build: &BuildOperator) -> Self {
        Self {
            build: build.clone(),
            inner,
            spec,
            context: None,
            memory: Memory::unlimited(),
            share: None,
            cold: None,
            scopes: Vec::new(),
            here: Here::default(),
            values: BTreeMap::new(),
            passing: None,
            emitted: None,
            rows: 0,
            bytes: 0,
            held: Held::default(),
            most_held: HELD_ROWS,
            least: 0,
            number: 0,
            refused: false,
            whole: false,
            late: 0,
            dropped: 0,
        }
    }

    fn context(&self) -> Result<&OperatorContext> {
        self.context.as_ref().ok_or_else(unopened)
    }

    fn now(&self) -> i64 {
        self.context.as_ref().map_or(0, |context| context.clock.now_millis())
    }

    /// An operator without state.
    fn fresh(&self) -> Result<Box<dyn Operator>> {
        let mut operator = (self.build)()?;
        operator.open(self.context()?.clone())?;
        Ok(operator)
    }

    fn is_on_disk(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| !cold.is_empty())
    }

    /// The number of a table, if it can be on disk.
    fn number(&self, table: &str) -> Option<usize> {
        self.spec.tables.iter().position(|name| *name == table)
    }

    /// Learns the columns of the tables from a snapshot of all of them; whether they can be on disk.
    fn learn(&mut self, deltas: &[Delta]) -> Result<bool> {
        if self.cold.is_some() || self.refused {
            return Ok(!self.refused);
        }
        let (mut schemas, mut scopes): (Vec<SchemaRef>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        for name in &self.spec.tables {
            let Some(delta) = deltas.iter().find(|delta| delta.table == *name) else { continue };
            match &delta.scope {
                Scope::Keyed(columns) if !columns.is_empty() && supports(&delta.rows.schema()) => {
                    schemas.push(delta.rows.schema());
                    scopes.push(columns.clone());
                }
                _ => self.refused = true,
            }
        }
        self.spec.tables.retain(|name| deltas.iter().any(|delta| delta.table == *name));
        if !self.refused {
            let kind = self.spec.kind;
            match Cold::new(schemas, kind, &self.memory) {
                Some(cold) if !self.spec.tables.is_empty() => (self.cold, self.scopes) = (Some(cold), scopes),
                _ => self.refused = true,
            }
        }
        if self.refused {
            log::debug!("{}: rows of its types do not go to disk by key", self.inner.name());
        }
        Ok(!self.refused)
    }

    /// Hashes of the keys of rows.
    fn hashes(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
        let mut hashes = Vec::new();
        hash_rows(columns, rows, &mut hashes)?;
        here::plain(&mut hashes);
        Ok(hashes)
    }

    fn hashes_of(rows: &RecordBatch, columns: &[usize]) -> Result<Vec<u64>> {
        let keys: Vec<ArrayRef> = columns.iter().map(|&c| rows.column(c).clone()).collect();
        Self::hashes(&keys, rows.num_rows())
    }

    /// Gives tables back to an operator, and values.
    fn give(
        context: Option<&OperatorContext>,
        operator: &mut dyn Operator,
        rows: Vec<(&'static str, Vec<usize>, RecordBatch)>,
        values: BTreeMap<String, Value>,
    ) -> Result<()> {
        let context = context.ok_or_else(unopened)?;
        let (task, tasks) = (context.task, context.parallelism);
        let mut former = Former::with_values(task, tasks, false, values);
        for (table, scope, rows) in rows {
            let ids = (0..rows.num_rows() as u64).collect();
            former.add(table, Scope::Keyed(scope), ids, rows);
        }
        let is_part = former.values.is_empty();
        let restored = Restored::new(task, tasks, vec![former]).part(is_part);
        operator.restore(&mut restored.at(context.clock.now_millis()))
    }

    /// Rows from disk with the names of their tables.
    fn named(&self, fetched: Vec<(usize, RecordBatch)>) -> Vec<(&'static str, Vec<usize>, RecordBatch)> {
        let named = fetched.into_iter();
        named.map(|(table, rows)| (self.spec.tables[table], self.scopes[table].clone(), rows)).collect()
    }

    /// Brings keys back that are not here; how many bytes came.
    fn bring(&mut self, hashes: &[u64]) -> Result<usize> {
        let now = self.now();
        let Some(cold) = self.cold.as_mut().filter(|cold| !cold.is_empty()) else { return Ok(0) };
        let here = &mut self.here;
        let mut wanted: Vec<u64> = hashes.iter().copied().filter(|hash| here.insert(*hash)).collect();
        if wanted.is_empty() {
            return Ok(0);
        }
        wanted.sort_unstable();
        let Fetched { rows, hashes } = cold.fetch(&wanted, now)?;
        hashes.into_iter().for_each(|hash| self.here.note_on_disk(hash));
        if rows.is_empty() {
            return Ok(0);
        }
        let bytes = rows.iter().map(|(_, rows)| rows.get_array_memory_size()).sum();
        let rows = self.named(rows);
        Self::give(self.context.as_ref(), self.inner.as_mut(), rows, BTreeMap::new())?;
        Ok(bytes)
    }

    /// Rows come whose keys may be on disk.
    fn hold(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.held.rows += chunk.len();
        self.held.bytes += chunk.batch.get_array_memory_size();
        self.held.since.get_or_insert_with(Instant::now);
        self.held.chunks.push((input, chunk));
        let limit = self.memory.limit();
        let most = self.most_held.min(limit / BYTES_A_HELD_ROW);
        if self.held.rows >= most || self.held.bytes >= limit / HELD { self.release(out) } else { Ok(()) }
    }

    /// Rows that were held go on.
    fn release(&mut self, out: &mut Output) -> Result<()> {
        if self.held.chunks.is_empty() {
            return Ok(());
        }
        let Held { chunks, rows, .. } = std::mem::take(&mut self.held);
        let mut hashes = Vec::with_capacity(rows);
        for (input, chunk) in &chunks {
            if let Some(keys) = self.spec.inputs.get(*input) {
                hashes.append(&mut Self::hashes_of(&chunk.batch, keys)?);
            }
        }
        let brought = self.bring(&hashes)?;
        drop(hashes);
        let room = self.memory.limit() / BROUGHT;
        if brought > room {
            self.most_held = (rows / 2).max(1);
        } else if brought < room / 4 && rows >= self.most_held {
            self.most_held = rows.saturating_mul(2);
        }
        for (input, chunk) in chunks {
            self.call(out, |inner, out| inner.chunk_at(input, chunk, out))?;
        }
        self.make_room(rows)
    }

    /// Parts of a snapshot that can go to disk, without the keys that stay; and what stays.
    #[allow(clippy::type_complexity)]
    fn parts(
        &mut self,
        operator: &dyn Operator,
        deltas: Vec<Delta>,
    ) -> Result<(Vec<Part>, Vec<(&'static str, Vec<usize>, RecordBatch)>, HashSet<u64>)> {
        let mut pinned = HashSet::new();
        let (mut parts, mut stay) = (Vec::new(), Vec::new());
        for delta in deltas.iter().filter(|delta| !self.spec.tables.contains(&delta.table)) {
            if let Scope::Keyed(columns) = &delta.scope {
                pinned.extend(Self::hashes_of(&delta.rows, columns)?);
                stay.push((delta.table, columns.clone(), delta.rows.clone()));
            }
        }
        for delta in deltas {
            let Some(number) = self.number(delta.table) else { continue };
            let (mut rows, scope) = (delta.rows, self.scopes[number].clone());
            let mut hashes = Self::hashes_of(&rows, &scope)?;
            if !pinned.is_empty() {
                let all = 0..hashes.len() as u32;
                let (held, gone): (Vec<u32>, Vec<u32>) =
                    all.partition(|&row| pinned.contains(&hashes[row as usize]));
                if !held.is_empty() {
                    stay.push((delta.table, scope, take_record_batch(&rows, &UInt32Array::from(held))?));
                    hashes = gone.iter().map(|&row| hashes[row as usize]).collect();
                    rows = take_record_batch(&rows, &UInt32Array::from(gone))?;
                }
            }
            let moments = match self.spec.kind.times {
                Times::Due => operator.due(delta.table, &rows)?,
                Times::None | Times::Written(_) => Vec::new(),
            };
            parts.push(Part { table: number, rows, hashes, moments });
        }
        Ok((parts, stay, pinned))
    }

    /// All of an operator's state.
    fn all(operator: &mut dyn Operator) -> Result<(Vec<Delta>, BTreeMap<String, Value>)> {
        let mut snapshot = Snapshot::new(true);
        operator.snapshot(&mut snapshot)?;
        Ok(snapshot.into_parts())
    }

    /// Moves all keys to disk that do not wait for anything.
    fn evict(&mut self) -> Result<()> {
        let (deltas, values) = Self::all(self.inner.as_mut())?;
        if !self.learn(&deltas)? {
            return Ok(());
        }
        self.whole = true;
        let fresh = self.fresh()?;
        let old = std::mem::replace(&mut self.inner, fresh);
        self.late += old.late_rows();
        self.dropped += old.dropped_rows();
        let (parts, stay, pinned) = self.parts(old.as_ref(), deltas)?;
        drop(old);
        let now = self.now();
        let mut resets: Vec<u64> = Vec::new();
        if !self.spec.kind.adds {
            resets.extend(self.here.on_disk().into_iter().filter(|hash| !pinned.contains(hash)));
        }
        if let Some(cold) = &mut self.cold {
            cold.put(&parts, &resets, now)?;
        }
        #[cfg(test)]
        MOVED.lock().insert(self.inner.name());
        drop(parts);
        self.here = Here::only(&pinned, &self.here);
        self.values.clone_from(&values);
        Self::give(self.context.as_ref(), self.inner.as_mut(), stay, values)?;
        self.weigh();
        Ok(())
    }

    /// Tells what the state takes; what of it can go to disk.
    fn weigh(&mut self) -> usize {
        let cold = self.cold.as_ref().map_or(0, Cold::memory);
        let sets = self.here.memory();
        let counted = self.context.as_ref().map_or(0, |context| context.memory.used());
        let bytes = self.inner.state_bytes();
        self.bytes = bytes.max(counted) + sets + cold + self.held.bytes;
        if let Some(share) = &mut self.share {
            // What it keeps as rows is counted already.
            share.set(self.bytes.saturating_sub(counted));
        }
        self.bytes - cold
    }

    /// So many rows were taken in: moves keys to disk if memory is short.
    fn make_room(&mut self, rows: usize) -> Result<()> {
        if self.refused {
            return Ok(());
        }
        self.rows += rows;
        let limit = self.memory.limit();
        let patience =
            (limit / BYTES_A_ROW / 8).clamp(1, PATIENCE).max(self.bytes.min(limit) / BYTES_A_ROW / 8);
        if self.rows < patience {
            return Ok(());
        }
        self.rows = 0;
        if self.relieve()? {
            self.memory.press();
        }
        Ok(())
    }

    /// Moves keys to disk if memory is short and this has its part in it; whether it still is.
    fn relieve(&mut self) -> Result<bool> {
        let own = self.weigh();
        let most = self.memory.limit() / 2;
        if self.memory.used() <= most || self.refused {
            return Ok(false);
        }
        let fair = most / self.memory.sharers().max(1);
        // What has just been left, because it waits or is needed to find the rest, is not looked through again.
        if own > (fair / 4).max(self.least.min(fair) * 2) {
            self.evict()?;
            self.least = self.weigh();
        }
        Ok(self.memory.used() > most)
    }

    /// Passes on what came out, but no watermark twice: an operator that begins anew does not know which it gave.
    fn forward(&mut self, from: &mut Output, out: &mut Output, watermarks: bool) {
        for message in from.drain() {
            match message {
                Message::Watermark(_) if !watermarks => {}
                Message::Watermark(mark) if self.emitted >= Some(mark) => {}
                Message::Watermark(mark) => {
                    self.emitted = Some(mark);
                    out.push(message);
                }
                other => out.push(other),
            }
        }
    }

    /// Gives the operator a call.
    fn call(
        &mut self,
        out: &mut Output,
        act: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<()>,
    ) -> Result<()> {
        if !self.is_on_disk() && self.emitted.is_none() {
            // Nothing was ever moved.
            return act(self.inner.as_mut(), out);
        }
        let mut own = Output::default();
        let done = act(self.inner.as_mut(), &mut own);
        self.forward(&mut own, out, true);
        done
    }

    /// Event time has come to a point; whether keys on disk are due and are being given out.
    fn begin_pass(&mut self, watermark: Watermark) -> Result<bool> {
        let moment = self.inner.reached(watermark);
        let Some(cold) = self.cold.as_mut().filter(|cold| !cold.is_empty()) else { return Ok(false) };
        if self.spec.kind.times != Times::Due || !cold.is_due(moment)? {
            return Ok(false);
        }
        let due = cold.due(moment)?;
        if !self.spec.kind.adds && due < SEARCHED && due < cold.records() / 8 {
            let hashes = cold.take_due(moment)?;
            self.bring(&hashes)?;
            return Ok(false);
        }
        self.evict()?;
        let now = self.now();
        let hidden = match self.spec.kind.adds {
            true => Vec::new(),
            false => self.here.on_disk(),
        };
        self.here.gone_from_disk();
        let Some(cold) = &mut self.cold else { return Ok(false) };
        self.passing = Some((watermark, Some(cold.pass(moment, hidden, now)?)));
        Ok(true)
    }

    /// Gives out some of what is due; false when that was all.
    fn pass_on(&mut self, out: &mut Output) -> Result<bool> {
        let Some((watermark, pass)) = self.passing.take() else { return Ok(false) };
        let Some(mut pass) = pass else {
            // It was broken off.
            if self.begin_pass(watermark)? {
                return Ok(true);
            }
            return self.call(out, |inner, out| inner.watermark(watermark, out)).map(|()| false);
        };
        let Some(cold) = &mut self.cold else { return Ok(false) };
        match cold.pass_next(&mut pass)? {
            Some(Fetched { rows, .. }) => {
                let mut left = Vec::new();
                if !rows.is_empty() {
                    let mut operator = self.fresh()?;
                    Self::give(
                        self.context.as_ref(),
                        operator.as_mut(),
                        self.named(rows),
                        self.values.clone(),
                    )?;
                    let mut own = Output::default();
                    operator.watermark(watermark, &mut own)?;
                    self.forward(&mut own, out, false);
                    self.late += operator.late_rows();
                    let (deltas, _) = Self::all(operator.as_mut())?;
                    left = self.parts(operator.as_ref(), deltas)?.0;
                }
                if let Some(cold) = &mut self.cold {
                    cold.pass_left(&mut pass, &left)?;
                }
                self.passing = Some((watermark, Some(pass)));
                Ok(true)
            }
            None => {
                cold.pass_end(pass)?;
                self.weigh();
                self.call(out, |inner, out| inner.watermark(watermark, out))?;
                Ok(false)
            }
        }
    }

    /// Gives out all that is due.
    fn finish_pass(&mut self, out: &mut Output) -> Result<()> {
        while self.pass_on(out)? {}
        Ok(())
    }

    /// Takes state back that is larger than what may be in memory.
    fn restore_to_disk(&mut self, state: &mut Restored) -> Result<bool> {
        let mut empty = self.fresh()?;
        let (deltas, _) = Self::all(empty.as_mut())?;
        if !self.learn(&deltas)? {
            return Ok(false);
        }
        let schemas: Vec<(&'static str, SchemaRef)> = self
            .spec
            .tables
            .iter()
            .enumerate()
            .filter_map(|(i, name)| Some((*name, self.cold.as_ref()?.schema(i).clone())))
            .collect();
        let most = self.memory.limit() / PIECES;
        let now = self.now();
        for (number, (name, schema)) in schemas.into_iter().enumerate() {
            let (mut pieces, mut bytes): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
            let (scope, due) = (self.scopes[number].clone(), self.spec.kind.times == Times::Due);
            let (cold, inner) = (self.cold.as_mut(), &self.inner);
            let Some(cold) = cold else { return Ok(false) };
            let mut flush = |pieces: &mut Vec<RecordBatch>| -> Result<()> {
                let rows = arrow::compute::concat_batches(&schema, pieces.iter())?;
                pieces.clear();
                let hashes = Self::hashes_of(&rows, &scope)?;
                let moments = if due { inner.due(name, &rows)? } else { Vec::new() };
                cold.put_piece(Part { table: number, rows, hashes, moments }, now)
            };
            state.stream(name, &mut |piece| {
                if piece.rows.schema().fields().len() != schema.fields().len()
                    || !piece
                        .rows
                        .columns()
                        .iter()
                        .zip(schema.fields())
                        .all(|(c, f)| c.data_type() == f.data_type())
                {
                    return Err(Error::decode(format!(
                        "table '{name}' of the checkpoint does not have the columns of the query"
                    )));
                }
                let columns = piece.rows.columns().to_vec();
                let options =
                    arrow::array::RecordBatchOptions::new().with_row_count(Some(piece.rows.num_rows()));
                let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
                bytes += rows.get_array_memory_size();
                pieces.push(rows);
                if bytes >= most {
                    bytes = 0;
                    flush(&mut pieces)?;
                }
                Ok(())
            })?;
            if !pieces.is_empty() {
                flush(&mut pieces)?;
            }
        }
        if let Some(cold) = &mut self.cold
            && !self.spec.kind.adds
        {
            cold.unite(now)?;
        }
        // What waits stays in memory, with its keys.
        self.inner.restore(state)?;
        let (deltas, values) = Self::all(self.inner.as_mut())?;
        self.values = values;
        let mut waiting = Vec::new();
        for delta in deltas.iter().filter(|delta| !self.spec.tables.contains(&delta.table)) {
            if let Scope::Keyed(columns) = &delta.scope {
                waiting.extend(Self::hashes_of(&delta.rows, columns)?);
            }
        }
        self.bring(&waiting)?;
        self.weigh();
        Ok(true)
    }
}

impl Drop for Tiered {
    fn drop(&mut self) {
        if self.share.take().is_some() {
            self.memory.leave(self.number);
        }
    }
}

impl Operator for Tiered {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn open(&mut self, mut context: OperatorContext) -> Result<()> {
        self.memory = context.memory.clone();
        self.share = Some(Share::new(&self.memory));
        self.number = self.memory.join(context.waker.clone());
        context.memory = Memory::below(&self.memory);
        self.context = Some(context.clone());
        self.inner.open(context)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.finish_pass(out)?;
        let rows = chunk.len();
        if self.is_on_disk() && !self.spec.kind.adds && input < self.spec.inputs.len() {
            return self.hold(input, chunk, out);
        }
        self.call(out, |inner, out| inner.chunk_at(input, chunk, out))?;
        self.make_room(rows)
    }

    fn watermark_at(&mut self, input: usize, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.call(out, |inner, out| inner.watermark_at(input, watermark, out))
    }

    fn end_at(&mut self, input: usize, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.call(out, |inner, out| inner.end_at(input, out))
    }

    fn settle(&mut self, out: &mut Output) -> Result<()> {
        self.finish_pass(out)?;
        self.release(out)
    }

    fn splits(&mut self, splits: &Splits, out: &mut Output) -> Result<bool> {
        self.inner.splits(splits, out)
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        if self.begin_pass(watermark)? {
            self.context()?.waker.wake();
            return Ok(());
        }
        self.call(out, |inner, out| inner.watermark(watermark, out))
    }

    fn status(&mut self, status: Status, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.call(out, |inner, out| inner.status(status, out))
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let on_disk = self.is_on_disk();
        if !std::mem::replace(&mut self.whole, on_disk) && !on_disk {
            return self.inner.snapshot(snapshot);
        }
        if let (Some((_, pass)), Some(cold)) = (&mut self.passing, &mut self.cold)
            && let Some(pass) = pass.take()
        {
            // What was given out is gone, what was not comes later.
            cold.pass_break(pass)?;
        }
        let (deltas, values) = Self::all(self.inner.as_mut())?;
        let now = self.now();
        let hidden: Arc<[u64]> = self.here.on_disk().into();
        for mut delta in deltas {
            if let (Some(number), Some(cold)) = (self.number(delta.table), &self.cold)
                && on_disk
            {
                delta.more = Some(cold.rows_of(number, hidden.clone(), now));
            }
            snapshot.whole_delta(delta)?;
        }
        values.into_iter().try_for_each(|(name, value)| snapshot.value(&name, value))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        if state.bytes() > (self.memory.limit() / PIECES) as u64 && self.restore_to_disk(state)? {
            return Ok(());
        }
        self.inner.restore(state)?;
        self.weigh();
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let sets = self.here.memory();
        self.inner.state_bytes() + sets + self.cold.as_ref().map_or(0, Cold::memory)
    }

    fn wake(&mut self, out: &mut Output) -> Result<()> {
        if self.passing.is_some() && self.pass_on(out)? {
            self.context()?.waker.wake();
        }
        if self.passing.is_none() && self.memory.used() > self.memory.limit() / 2 {
            self.relieve()?;
        }
        self.call(out, |inner, out| inner.wake(out))
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.since.into_iter().chain(self.inner.deadline()).min()
    }

    fn postpone(&mut self, now: Instant, blocked: bool) -> bool {
        if self.held.since.is_some_and(|first| blocked || now.duration_since(first) >= HOLD) {
            return false;
        }
        self.inner.deadline().is_none_or(|due| due > now) || self.inner.postpone(now, blocked)
    }

    fn timer(&mut self, now: Instant, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        if self.inner.deadline().is_some_and(|due| due <= now) {
            self.call(out, |inner, out| inner.timer(now, out))?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.call(out, |inner, out| inner.end(out))
    }

    fn late_rows(&self) -> u64 {
        self.late + self.inner.late_rows()
    }

    fn dropped_rows(&self) -> u64 {
        self.dropped + self.inner.dropped_rows()
    }

    fn room(&self) -> usize {
        if self.passing.is_some() { 0 } else { self.inner.room() }
    }
}

/// Operators that have moved keys to disk.
#[cfg(test)]
pub(crate) static MOVED: parking_lot::Mutex<std::collections::BTreeSet<&'static str>> =
    parking_lot::Mutex::new(std::collections::BTreeSet::new());

fn unopened() -> Error {
    Error::internal("an operator was not opened")
}
