//! Deduplication: of the rows with one key, the first or the last.
//!
//! | keep | order | comes out |
//! |---|---|---|
//! | first | processing time | `+I` at once; only the key is kept |
//! | last | processing time | `+I`, then `-U`/`+U` with each new row |
//! | first | event time | `+I` when the watermark reaches the row: until then an earlier one may come |
//! | last | event time | `+I`, then `-U`/`+U` with each row that is not older |
//!
//! First by event time waits so that its output only ever appends. A row at the watermark is not late yet,
//! and of rows with the same time the one that came first is the first (Flink's rules).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::event_time::millis;
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Expiry, KeyTable, RowStore};

/// Rows in a chunk that comes out.
const CHUNK_ROWS: usize = 8192;

/// No row.
const NONE: u32 = u32::MAX;

/// Which row of a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first.
    First,
    /// The last.
    Last,
}

/// A deduplication that was planned. Its input is append-only.
#[derive(Debug, Clone)]
pub struct DeduplicateSpec {
    /// The key, as positions in the input.
    pub keys: Vec<usize>,
    /// The event time column; `None` for processing time.
    pub rowtime: Option<usize>,
    /// Which row.
    pub keep: Keep,
    /// `-U` goes before `+U`.
    pub emit_before: bool,
    /// `table.exec.state.ttl`.
    pub state_ttl: Option<Duration>,
    /// Schema of input and output.
    pub schema: SchemaRef,
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Its row; [`NONE`] where only the key is remembered or nothing came yet.
    row: u32,
    time: i64,
    /// Keep first: it was emitted.
    done: bool,
}

const NOTHING: Kept = Kept { row: NONE, time: i64::MIN, done: false };

/// The operator of one task.
#[derive(Debug)]
pub struct Deduplicate {
    spec: DeduplicateSpec,
    keys: KeyTable,
    kept: Vec<Kept>,
    rows: RowStore,
    /// To tell a row that changes nothing; only without a TTL, which an equal row has to refresh downstream.
    whole: Option<RowConverter>,
    /// First by event time: the keys that wait, by the time of their row.
    waiting: BTreeMap<i64, Vec<u32>>,
    watermark: Option<i64>,
    expiry: Option<Expiry>,
    clock: Option<Arc<dyn Clock>>,
    slots: Vec<u32>,
    /// By slot: where it stands among the winners of this chunk.
    place: Vec<u32>,
    late: u64,
}

impl Deduplicate {
    /// An operator for one task.
    pub fn new(spec: DeduplicateSpec) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&c| spec.schema.field(c).data_type().clone()).collect();
        let expiry = Expiry::new(spec.state_ttl);
        // Rows with a column of a type that cannot be compared are emitted even if they are equal.
        let fields = spec.schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let compares = spec.keep == Keep::Last && spec.rowtime.is_none() && expiry.is_none();
        let whole = if compares { RowConverter::new(fields).ok() } else { None };
        Ok(Self {
            keys: KeyTable::new(&types)?,
            kept: Vec::new(),
            rows: RowStore::new(spec.schema.clone()),
            whole,
            waiting: BTreeMap::new(),
            watermark: None,
            expiry,
            clock: None,
            slots: Vec::new(),
            place: Vec::new(),
            late: 0,
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.rows.memory() + self.kept.capacity() * size_of::<Kept>()
    }

    /// Forgets keys whose time to live is over; those of this chunk are written now.
    fn expire(&mut self) -> Result<()> {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return Ok(()) };
        let now = clock.now_millis();
        let first = self.spec.keep == Keep::First;
        let mut emptied = Vec::new();
        for &slot in &self.slots {
            if expiry.is_expired(slot, now) {
                expiry.forget(slot);
                emptied.push((slot, false));
            }
            // What is remembered of a first row is written once.
            let known = first && self.kept[slot as usize].done && emptied.last().is_none_or(|e| e.0 != slot);
            if !known {
                expiry.touch(slot, now);
            }
        }
        emptied.extend(expiry.sweep(now).into_iter().map(|slot| (slot, true)));
        for (slot, remove) in emptied {
            let kept = &mut self.kept[slot as usize];
            // A row that waits for the watermark is not state that expires.
            if first && !kept.done && kept.row != NONE {
                if let Some(expiry) = &mut self.expiry {
                    expiry.touch(slot, now);
                }
                continue;
            }
            let kept = std::mem::replace(kept, NOTHING);
            if kept.row != NONE {
                self.rows.free(kept.row)?;
            }
            if remove {
                self.keys.remove(slot);
            }
        }
        Ok(())
    }

    fn first_by_arrival(&mut self, chunk: &Chunk, out: &mut Output) -> Result<()> {
        let mut firsts = Vec::new();
        for (row, &slot) in self.slots.iter().enumerate() {
            let kept = &mut self.kept[slot as usize];
            if !std::mem::replace(&mut kept.done, true) {
                firsts.push(row as u32);
            }
        }
        if firsts.len() == chunk.len() {
            out.chunk(chunk.clone());
        } else if !firsts.is_empty() {
            out.chunk(chunk.take(&UInt32Array::from(firsts))?);
        }
        Ok(())
    }

    /// Rows of the chunk that stand for their key behind it, with their slots, in order.
    fn winners(&mut self, times: Option<&[i64]>) -> Vec<(u32, u32)> {
        // While the chunk is read, `row` of a key that has a winner in it is not touched: it is the old one.
        let mut winner: Vec<(u32, u32)> = Vec::with_capacity(self.slots.len());
        self.place.resize(self.kept.len(), NONE);
        for (row, &slot) in self.slots.iter().enumerate() {
            let kept = &mut self.kept[slot as usize];
            if let Some(times) = times {
                let empty = kept.row == NONE && kept.time == i64::MIN && self.place[slot as usize] == NONE;
                let wins = match self.spec.keep {
                    Keep::Last => empty || times[row] >= kept.time,
                    Keep::First => !kept.done && (empty || times[row] < kept.time),
                };
                if !wins {
                    continue;
                }
                kept.time = times[row];
            }
            match &mut self.place[slot as usize] {
                place if *place == NONE => {
                    *place = winner.len() as u32;
                    winner.push((row as u32, slot));
                }
                place => winner[*place as usize].0 = row as u32,
            }
        }
        for &(_, slot) in &winner {
            self.place[slot as usize] = NONE;
        }
        winner
    }

    /// Keeps rows of the chunk; their ids in the store.
    fn keep(&mut self, chunk: &Chunk, winners: &[(u32, u32)]) -> Result<Vec<u32>> {
        let rows: UInt32Array = winners.iter().map(|w| w.0).collect();
        let mut ids = Vec::with_capacity(winners.len());
        self.rows.push(&take_record_batch(&chunk.batch, &rows)?, &mut ids)?;
        Ok(ids)
    }

    fn last(&mut self, chunk: &Chunk, times: Option<&[i64]>, out: &mut Output) -> Result<()> {
        let mut winners = self.winners(times);
        if let Some(whole) = &mut self.whole {
            // Equal rows change nothing.
            let known: Vec<(u32, u32)> =
                winners.iter().copied().filter(|w| self.kept[w.1 as usize].row != NONE).collect();
            if !known.is_empty() {
                let old: Vec<u32> = known.iter().map(|w| self.kept[w.1 as usize].row).collect();
                let old = whole.convert_columns(self.rows.take(&old)?.columns())?;
                let new = whole.convert_columns(chunk.batch.columns())?;
                let mut known = known.iter().enumerate().peekable();
                winners.retain(|w| match known.next_if(|(_, k)| *k == w) {
                    Some((i, _)) => old.row(i) != new.row(w.0 as usize),
                    None => true,
                });
            }
        }
        if winners.is_empty() {
            return Ok(());
        }
        let ids = self.keep(chunk, &winners)?;
        let (mut kinds, mut rows, mut free) = (Vec::new(), Vec::new(), Vec::new());
        for (&(_, slot), &id) in winners.iter().zip(&ids) {
            let old = std::mem::replace(&mut self.kept[slot as usize].row, id);
            if old == NONE {
                kinds.push(Kind::Insert);
            } else {
                if self.spec.emit_before {
                    kinds.push(Kind::UpdateBefore);
                    rows.push(old);
                }
                kinds.push(Kind::UpdateAfter);
                free.push(old);
            }
            rows.push(id);
        }
        let kinds = if kinds.iter().all(|&k| k == Kind::Insert) {
            Kinds::Append
        } else {
            Kinds::Changes(kinds.into())
        };
        out.chunk(Chunk { batch: self.rows.take(&rows)?, kinds, ingest: chunk.ingest });
        free.into_iter().try_for_each(|row| self.rows.free(row))
    }

    fn first_by_time(&mut self, chunk: &Chunk, times: &[i64]) -> Result<()> {
        let winners = self.winners(Some(times));
        if winners.is_empty() {
            return Ok(());
        }
        let ids = self.keep(chunk, &winners)?;
        for (&(row, slot), &id) in winners.iter().zip(&ids) {
            let old = std::mem::replace(&mut self.kept[slot as usize].row, id);
            if old != NONE {
                self.rows.free(old)?;
            }
            // The old entry of the key stays behind and is passed over when its time comes.
            self.waiting.entry(times[row as usize]).or_default().push(slot);
        }
        Ok(())
    }

    /// Emits first rows up to the watermark.
    fn release(&mut self, watermark: i64, out: &mut Output) -> Result<()> {
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|e| *e.key() <= watermark) {
            let (time, slots) = entry.remove_entry();
            for slot in slots {
                let kept = &mut self.kept[slot as usize];
                if kept.done || kept.row == NONE || kept.time != time {
                    continue;
                }
                kept.done = true;
                ready.push(std::mem::replace(&mut kept.row, NONE));
            }
        }
        for rows in ready.chunks(CHUNK_ROWS) {
            out.chunk(Chunk::append(self.rows.take(rows)?, Instant::now()));
            rows.iter().try_for_each(|&row| self.rows.free(row))?;
        }
        Ok(())
    }
}

impl Operator for Deduplicate {
    fn name(&self) -> &'static str {
        "Deduplicate"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = Some(context.clock);
        Ok(())
    }

    fn chunk(&mut self, mut chunk: Chunk, out: &mut Output) -> Result<()> {
        let mut times = match self.spec.rowtime {
            Some(column) => Some(millis(chunk.batch.column(column), "a deduplication")?),
            None => None,
        };
        if let (Some(times), Some(watermark), Keep::First) = (&mut times, self.watermark, self.spec.keep)
            && times.iter().any(|&t| t < watermark)
        {
            let timely: Vec<u32> =
                (0..chunk.len() as u32).filter(|&r| times[r as usize] >= watermark).collect();
            self.late += (chunk.len() - timely.len()) as u64;
            times.retain(|&t| t >= watermark);
            chunk = chunk.take(&timely.into())?;
        }
        let keys: Vec<_> = self.spec.keys.iter().map(|&c| chunk.batch.column(c).clone()).collect();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&keys, chunk.len(), &mut slots)?;
        self.slots = slots;
        self.kept.resize(self.keys.capacity().max(self.kept.len()), NOTHING);
        self.expire()?;
        match (self.spec.keep, times) {
            (Keep::First, None) => self.first_by_arrival(&chunk, out),
            (Keep::First, Some(times)) => self.first_by_time(&chunk, &times),
            (Keep::Last, times) => self.last(&chunk, times.as_deref(), out),
        }
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.watermark = Some(watermark.millis());
        self.release(watermark.millis(), out)?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
