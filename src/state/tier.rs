//! Keyed state on disk: what does not fit into memory.
//!
//! ```text
//!  memory:  [first hash and place of each 4 KiB] [filter: 12 bits a key]      of each run
//!  disk:    run 3 (newest)   02 a   07 -   19 k ...      rows by ascending hash of their key, in Arrow's row format
//!           run 2            02 a   11 c   3f x ...      - : nothing older counts
//!           run 1 (oldest)   07 b   11 c   20 y ...
//! ```
//! State goes to disk as a whole *run*, written once from beginning to end and never changed. Whoever needs keys asks
//! for many at a time, by ascending hash: each run is read once from front to back, and only where its filter says that
//! a key may be there. The newest run that has a key has all of it, unless the store [adds](Kind::adds) up what the
//! runs have. Runs of about one size are put together in the background, so that there are few; then rows vanish
//! that were replaced, or whose time to live is over.
//!
//! Keys that are due at some moment of event time stand in sorted lists beside the runs (module `due`). Where
//! most of them are due, a [`Pass`] reads everything once, in order, instead of searching for each.
//!
//! Keys with one hash are one key here: who asks for one of them gets both, and keeps both.

mod due;
mod merge;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use self::due::Due;
use self::merge::{Group, Merge};
use self::run::{RESET, Record, Run, RunWriter};
use super::memory::Memory;
use super::snapshot::StoredRows;
use super::tiering;
use crate::error::{Error, Result};

/// Rows that are taken out of batches, or made into one, at once.
const PIECE: usize = 8192;
/// Bytes of rows that a [`Pass`] gives at once.
const PASS_BYTES: usize = 1 << 20;
/// Entries of a list of what is due that are collected in memory.
const DUE_ENTRIES: usize = 1 << 16;
/// Runs after which nothing is added before they have been put together.
const MOST_RUNS: usize = 24;

/// What the moment of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Nothing.
    None,
    /// When it came here; it counts for so many milliseconds.
    Written(i64),
    /// When its key is wanted back.
    Due,
}

/// What a store is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The rows of a key are those of all runs; else those of the newest.
    pub adds: bool,
    /// What the moment of a row is.
    pub times: Times,
}

#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    converter: RowConverter,
}

impl Table {
    fn new(schema: SchemaRef) -> Option<Self> {
        let converter = RowConverter::new(fields(&schema)?).ok()?;
        Some(Self { schema, converter })
    }

    /// Rows out of their bytes.
    fn batch(&self, rows: &Rows) -> Result<RecordBatch> {
        let (parser, mut start) = (self.converter.parser(), 0);
        let rows_in = rows.ends.iter().map(|&end| {
            let row = parser.parse(&rows.bytes[start..end]);
            start = end;
            row
        });
        let columns = self.converter.convert_rows(rows_in)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.ends.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

fn fields(schema: &SchemaRef) -> Option<Vec<SortField>> {
    let fields: Vec<SortField> =
        schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
    RowConverter::supports_fields(&fields).then_some(fields)
}

/// Whether rows with these columns can be on disk.
pub fn supports(schema: &SchemaRef) -> bool {
    fields(schema).is_some()
}

/// Encoded rows.
#[derive(Debug, Default)]
struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Rows of one table that go to disk.
#[derive(Debug)]
pub struct Part {
    /// Number of the table.
    pub table: usize,
    /// The rows.
    pub rows: RecordBatch,
    /// The hash of each row's key.
    pub hashes: Vec<u64>,
    /// See [`Times`]; empty: 0 for all.
    pub moments: Vec<i64>,
}

/// Rows that come back, by the number of their table.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Those of each table that has some.
    pub rows: Vec<(usize, RecordBatch)>,
    /// Hashes that were found.
    pub hashes: Vec<u64>,
}

/// Runs being put together.
#[derive(Debug)]
struct Merging {
    /// Those that take part.
    runs: Vec<Arc<Run>>,
    thread: JoinHandle<Result<Option<Arc<Run>>>>,
    cancelled: Arc<AtomicBool>,
}

/// The keyed state of one operator in one task that is on disk.
#[derive(Debug)]
pub struct Cold {
    memory: Arc<Memory>,
    kind: Kind,
    tables: Vec<Table>,
    /// The newest first.
    runs: Vec<Arc<Run>>,
    due: Due,
    merging: Option<Merging>,
}

impl Cold {
    /// For tables with these columns; `None` if rows of one of them cannot be on disk.
    pub fn new(schemas: Vec<SchemaRef>, kind: Kind, memory: &Arc<Memory>) -> Option<Self> {
        let tables = schemas.into_iter().map(Table::new).collect::<Option<Vec<_>>>()?;
        let memory = memory.clone();
        Some(Self { memory, kind, tables, runs: Vec::new(), due: Due::default(), merging: None })
    }

    /// The columns of a table.
    pub fn schema(&self, table: usize) -> &SchemaRef {
        &self.tables[table].schema
    }

    /// Nothing is on disk.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Rows on disk, with those that were replaced since.
    pub fn records(&self) -> u64 {
        self.runs.iter().map(|run| run.records).sum()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.runs.iter().map(|run| run.memory()).sum::<usize>() + self.due.memory()
    }

    /// Moves rows to disk. Nothing that is on disk counts any more for the keys with rows, and for those of `resets`
    /// (ascending); in a store that [adds](Kind::adds) only for the latter.
    pub fn put(&mut self, parts: &[Part], resets: &[u64], now: i64) -> Result<()> {
        let rows: usize = parts.iter().map(|part| part.hashes.len()).sum();
        if rows + resets.len() == 0 {
            return Ok(());
        }
        let mut writer = RunWriter::new(&self.memory)?;
        self.encode(parts, resets, now, &mut |record| writer.push(record))?;
        self.runs.splice(0..0, writer.finish()?);
        self.note_due(parts)?;
        self.put_together(now)
    }

    fn note_due(&mut self, parts: &[Part]) -> Result<()> {
        if self.kind.times != Times::Due {
            return Ok(());
        }
        let mut due: Vec<(i64, u64)> = Vec::new();
        for part in parts {
            due.extend(part.moments.iter().copied().zip(part.hashes.iter().copied()));
        }
        self.due.add(&self.memory, due)
    }

    /// Rows by ascending hash, those of one hash in their order.
    fn encode(
        &self,
        parts: &[Part],
        resets: &[u64],
        now: i64,
        each: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut order: Vec<(u64, u32, u32)> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let rows = part.hashes.iter().enumerate();
            order.extend(rows.map(|(row, &hash)| (hash, number as u32, row as u32)));
        }
        order.sort_unstable();
        let reset = |hash| Record { hash, tag: RESET, moment: now, row: &[] };
        let (mut resets, mut last) = (resets.iter().copied().peekable(), None);
        for piece in order.chunks(PIECE) {
            let mut encoded = Vec::with_capacity(parts.len());
            for (number, part) in parts.iter().enumerate() {
                let wanted = piece.iter().filter(|entry| entry.1 as usize == number).map(|entry| entry.2);
                let wanted: UInt32Array = wanted.collect::<Vec<u32>>().into();
                let columns = part.rows.columns().iter().map(|column| take(column, &wanted, None));
                let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
                encoded.push((self.tables[part.table].converter.convert_columns(&columns)?, 0));
            }
            for &(hash, number, row) in piece {
                while let Some(before) = resets.next_if(|&r| r <= hash) {
                    // Rows stand for themselves in a store that does not add.
                    if before < hash || self.kind.adds {
                        each(reset(before))?;
                    }
                }
                debug_assert!(last.replace(hash) <= Some(hash));
                let (part, (rows, at)) = (&parts[number as usize], &mut encoded[number as usize]);
                let moment = match self.kind.times {
                    Times::None => 0,
                    Times::Written(_) => now,
                    Times::Due => part.moments.get(row as usize).copied().unwrap_or(i64::MAX),
                };
                let bytes = rows.row(*at);
                each(Record { hash, tag: part.table as u8, moment, row: bytes.data() })?;
                *at += 1;
            }
        }
        resets.try_for_each(|hash| each(reset(hash)))
    }

    /// The rows of keys with these hashes (ascending, each once), which stay on disk as well.
    pub fn fetch(&mut self, hashes: &[u64], now: i64) -> Result<Fetched> {
        self.settle(false)?;
        let expired = match self.kind.times {
            Times::Written(ttl) => now.saturating_sub(ttl),
            Times::None | Times::Due => i64::MIN,
        };
        let mut wanted = hashes.to_vec();
        let mut of_runs: Vec<Vec<Rows>> = Vec::new();
        let mut found: Vec<u64> = Vec::new();
        for run in &self.runs {
            if wanted.is_empty() {
                break;
            }
            let mut rows: Vec<Rows> = self.tables.iter().map(|_| Rows::default()).collect();
            let (first, mut reset): (usize, Vec<u64>) = (found.len(), Vec::new());
            run.search(&wanted, &mut |record| {
                if record.tag == RESET {
                    reset.push(record.hash);
                    return Ok(());
                }
                if found.len() == first || found.last() != Some(&record.hash) {
                    found.push(record.hash);
                }
                if record.moment > expired || expired == i64::MIN {
                    let rows = rows.get_mut(usize::from(record.tag)).ok_or_else(run::lost)?;
                    rows.push(record.row);
                }
                Ok(())
            })?;
            of_runs.push(rows);
            if !self.kind.adds {
                reset.extend_from_slice(&found[first..]);
                reset.sort_unstable();
            }
            if !reset.is_empty() {
                wanted.retain(|hash| reset.binary_search(hash).is_err());
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut fetched = Fetched { rows: Vec::new(), hashes: found };
        for (number, table) in self.tables.iter().enumerate() {
            for rows in
                of_runs.iter().rev().map(|tables| &tables[number]).filter(|rows| !rows.ends.is_empty())
            {
                fetched.rows.push((number, table.batch(rows)?));
            }
        }
        Ok(fetched)
    }

    /// Puts runs together when it is time to.
    fn put_together(&mut self, now: i64) -> Result<()> {
        self.settle(self.runs.len() > MOST_RUNS)?;
        if self.merging.is_some() {
            return Ok(());
        }
        let sizes: Vec<u64> = self.runs.iter().map(|run| run.bytes()).collect();
        let due = tiering::due(&sizes);
        if due < 2 {
            return Ok(());
        }
        let runs = self.runs[..due].to_vec();
        let (kind, last, memory) = (self.kind, due == self.runs.len(), self.memory.clone());
        let cancelled = Arc::new(AtomicBool::new(false));
        let (parts, stop) = (runs.clone(), cancelled.clone());
        let work = move || together(&parts, kind, last, now, &memory, &stop);
        let thread = std::thread::Builder::new().name("affluent-state".into()).spawn(work);
        let thread =
            thread.map_err(|e| Error::io(format!("state on disk could not be put together: {e}")))?;
        self.merging = Some(Merging { runs, thread, cancelled });
        Ok(())
    }

    /// Takes over what was put together, if it is done, or waits for it.
    fn settle(&mut self, wait: bool) -> Result<()> {
        let Some(merging) = self.merging.take_if(|merging| wait || merging.thread.is_finished()) else {
            return Ok(());
        };
        let merged = merging.thread.join();
        let merged =
            merged.unwrap_or_else(|_| Err(Error::internal("state on disk could not be put together")))?;
        let Some(at) = self.runs.iter().position(|run| Arc::ptr_eq(run, &merging.runs[0])) else {
            return Ok(());
        };
        self.runs.splice(at..at + merging.runs.len(), merged);
        Ok(())
    }

    fn stop_merging(&mut self) {
        if let Some(merging) = self.merging.take() {
            merging.cancelled.store(true, Ordering::Relaxed);
            let _ = merging.thread.join();
        }
    }

    /// Makes one run of all, where each adds to the others whatever the kind: what was read back in pieces.
    pub fn unite(&mut self, now: i64) -> Result<()> {
        self.stop_merging();
        let kind = Kind { adds: true, times: self.kind.times };
        let runs = std::mem::take(&mut self.runs);
        self.runs.extend(together(&runs, kind, true, now, &self.memory, &AtomicBool::new(false))?);
        Ok(())
    }

    /// Adds rows of which some keys may be on disk already, before [`Self::unite`].
    pub fn put_piece(&mut self, part: Part, now: i64) -> Result<()> {
        let mut writer = RunWriter::new(&self.memory)?;
        let parts = [part];
        self.encode(&parts, &[], now, &mut |record| writer.push(record))?;
        self.runs.splice(0..0, writer.finish()?);
        self.note_due(&parts)
    }

    /// All rows of a table but those of `hidden` keys (ascending), for a checkpoint.
    pub fn rows_of(&self, table: usize, hidden: Arc<[u64]>, now: i64) -> Arc<dyn StoredRows> {
        let schema = self.tables[table].schema.clone();
        Arc::new(ColdRows { runs: self.runs.clone(), kind: self.kind, table, schema, hidden, now })
    }

    /// Whether keys are due at a moment.
    pub fn is_due(&mut self, moment: i64) -> Result<bool> {
        Ok(self.due.first()?.is_some_and(|first| first <= moment))
    }

    /// How many keys are due, about.
    pub fn due(&mut self, moment: i64) -> Result<u64> {
        self.due.count(moment)
    }

    /// The hashes of keys that are due, ascending, which are so no more.
    pub fn take_due(&mut self, moment: i64) -> Result<Vec<u64>> {
        let mut hashes = Vec::new();
        self.due.take(moment, Some(&mut hashes))?;
        hashes.sort_unstable();
        hashes.dedup();
        Ok(hashes)
    }

    /// Begins to read everything, for the keys that are due; `hidden` keys (ascending) are not on disk any more then.
    pub fn pass(&mut self, moment: i64, hidden: Vec<u64>, now: i64) -> Result<Pass> {
        self.stop_merging();
        self.due.take(moment, None)?;
        Ok(Pass {
            merge: Merge::new(&self.runs, self.kind, now)?,
            writer: RunWriter::new(&self.memory)?,
            group: Group::default(),
            waiting: Vec::new(),
            rows: self.tables.iter().map(|_| Rows::default()).collect(),
            due: Vec::new(),
            moment,
            hidden,
            now,
        })
    }

    /// The next keys that are due, each in no other piece; `None` when that were all. What is left of them is told
    /// by [`Self::pass_left`] before the next are asked for.
    pub fn pass_next(&mut self, pass: &mut Pass) -> Result<Option<Fetched>> {
        let mut bytes = 0;
        while bytes < PASS_BYTES {
            if pass.merge.next(&mut pass.group)?.is_none() {
                break;
            }
            if pass.group.is_empty() || pass.hidden.binary_search(&pass.group.hash).is_ok() {
                continue;
            }
            if pass.group.earliest() > pass.moment {
                bytes += pass.group.records().map(|record| record.row.len() + 32).sum::<usize>();
                pass.waiting.push(std::mem::take(&mut pass.group));
                continue;
            }
            for record in pass.group.records() {
                bytes += record.row.len() + 32;
                pass.rows.get_mut(usize::from(record.tag)).ok_or_else(run::lost)?.push(record.row);
            }
            pass.due.push(pass.group.hash);
        }
        if bytes == 0 {
            return Ok(None);
        }
        let mut fetched = Fetched { rows: Vec::new(), hashes: std::mem::take(&mut pass.due) };
        for (number, rows) in pass.rows.iter_mut().enumerate() {
            if !rows.ends.is_empty() {
                fetched.rows.push((number, self.tables[number].batch(rows)?));
                rows.clear();
            }
        }
        Ok(Some(fetched))
    }

    /// What is left of the keys that were given out.
    pub fn pass_left(&mut self, pass: &mut Pass, left: &[Part]) -> Result<()> {
        let mut waiting = std::mem::take(&mut pass.waiting).into_iter().peekable();
        let writer = &mut pass.writer;
        self.encode(left, &[], pass.now, &mut |record| {
            while let Some(group) = waiting.next_if(|group| group.hash < record.hash) {
                group.records().try_for_each(|record| writer.push(record))?;
            }
            writer.push(record)
        })?;
        waiting.try_for_each(|group| group.records().try_for_each(|record| writer.push(record)))?;
        self.note_due(left)
    }

    /// Breaks a pass off: what was not given out yet stays, and is due again.
    pub fn pass_break(&mut self, mut pass: Pass) -> Result<()> {
        self.pass_left(&mut pass, &[])?;
        let mut due: Vec<(i64, u64)> = Vec::new();
        while pass.merge.next(&mut pass.group)?.is_some() {
            if pass.hidden.binary_search(&pass.group.hash).is_ok() {
                continue;
            }
            let earliest = pass.group.earliest();
            if earliest <= pass.moment && !pass.group.is_empty() {
                due.push((earliest, pass.group.hash));
            }
            pass.group.records().try_for_each(|record| pass.writer.push(record))?;
            if due.len() >= DUE_ENTRIES {
                self.due.add(&self.memory, std::mem::take(&mut due))?;
            }
        }
        self.due.add(&self.memory, due)?;
        self.pass_end(pass)
    }

    /// What was passed over is all that there is.
    pub fn pass_end(&mut self, pass: Pass) -> Result<()> {
        self.runs = pass.writer.finish()?.into_iter().collect();
        Ok(())
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        self.stop_merging();
    }
}

/// Everything on disk is read once.
pub struct Pass {
    merge: Merge,
    writer: RunWriter,
    group: Group,
    /// Keys that are not due, between those that are.
    waiting: Vec<Group>,
    rows: Vec<Rows>,
    due: Vec<u64>,
    moment: i64,
    hidden: Vec<u64>,
    now: i64,
}

/// Makes one run of several, the newest first. `last`: there are no others behind them.
fn together(
    runs: &[Arc<Run>],
    kind: Kind,
    last: bool,
    now: i64,
    memory: &Arc<Memory>,
    cancelled: &AtomicBool,
) -> Result<Option<Arc<Run>>> {
    let mut merge = Merge::new(runs, kind, now)?;
    let mut writer = RunWriter::new(memory)?;
    let mut group = Group::default();
    while let Some(reset) = merge.next(&mut group)? {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if reset && !last && (kind.adds || group.is_empty()) {
            writer.push(Record { hash: group.hash, tag: RESET, moment: now, row: &[] })?;
        }
        group.records().try_for_each(|record| writer.push(record))?;
    }
    writer.finish()
}

/// The rows of one table, read when they are wanted.
#[derive(Debug)]
struct ColdRows {
    runs: Vec<Arc<Run>>,
    kind: Kind,
    table: usize,
    schema: SchemaRef,
    hidden: Arc<[u64]>,
    now: i64,
}

/// The first id of rows that are on disk: those in memory have smaller ones.
const FIRST_ID: u64 = 1 << 63;

impl StoredRows for ColdRows {
    fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes()).sum()
    }

    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()> {
        let table = Table::new(self.schema.clone()).ok_or_else(run::lost)?;
        let mut merge = Merge::new(&self.runs, self.kind, self.now)?;
        let (mut group, mut rows, mut next) = (Group::default(), Rows::default(), FIRST_ID);
        loop {
            let more = merge.next(&mut group)?.is_some();
            if more && self.hidden.binary_search(&group.hash).is_err() {
                let own = group.records().filter(|record| usize::from(record.tag) == self.table);
                own.for_each(|record| rows.push(record.row));
            }
            if rows.ends.len() >= PIECE || rows.bytes.len() >= PASS_BYTES || !more {
                if !rows.ends.is_empty() {
                    let ids: Vec<u64> = (next..next + rows.ends.len() as u64).collect();
                    next += ids.len() as u64;
                    with(ids, table.batch(&rows)?)?;
                    rows.clear();
                }
                if !more {
                    return Ok(());
                }
            }
        }
    }
}
