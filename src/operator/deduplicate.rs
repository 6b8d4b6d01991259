//! Deduplication: of the rows with one key, the first or the last.
//!
//! | keep | order | comes out |
//! |---|---|---|
//! | first | processing time | `+I` at once; only the key is kept |
//! | last | processing time | `+I`, then `-U`/`+U` with each new row |
//! | first | event time | `+I` when the watermark reaches the row: until then an earlier one may come |
//! | last | event time | `+I`, then `-U`/`+U` with each row that is not older |
//!
//! In a checkpoint a key whose first row is out stands in the table `keys`, and all others with their row in `rows`.
//!
//! First by event time waits so that its output only ever appends. A row at the watermark is not late yet,
//! and of rows with the same time the one that came first is the first (Flink's rules).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::event_time::millis;
use super::pieces::{self, by_origin, numbers, read_instants, read_numbers, read_written};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Changed, Expiry, KeyTable, Restored, RowStore, Scope, Snapshot};

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
    /// Slots.
    changed: Changed,
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
            changed: Changed::default(),
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
                self.changed.mark(slot);
            }
        }
        emptied.extend(expiry.sweep(now).into_iter().map(|slot| (slot, true)));
        for (slot, remove) in emptied {
            let kept = &mut self.kept[slot as usize];
            // A row that waits for the watermark is not state that expires.
            if first && !kept.done && kept.row != NONE {
                if let Some(expiry) = &mut self.expiry {
                    expiry.touch(slot, now);
                    self.changed.mark(slot);
                }
                continue;
            }
            let kept = std::mem::replace(kept, NOTHING);
            if kept.row != NONE {
                self.rows.free(kept.row)?;
            }
            if remove {
                self.keys.remove(slot);
                self.changed.remove(slot);
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
                self.changed.mark(slot);
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
        winners.iter().for_each(|w| self.changed.mark(w.1));
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
                self.changed.mark(slot);
            }
        }
        for rows in ready.chunks(CHUNK_ROWS) {
            out.chunk(Chunk::append(self.rows.take(rows)?, crate::clock::instant()));
            rows.iter().try_for_each(|&row| self.rows.free(row))?;
        }
        Ok(())
    }

    /// Keys that wait, with their places among those of the same time.
    fn places(&self, slots: &[u32]) -> HashMap<u32, i64> {
        let wait = |slot: u32| Some(self.kept[slot as usize]).filter(|k| !k.done && k.row != NONE);
        let mut times: Vec<i64> = slots.iter().filter_map(|&slot| Some(wait(slot)?.time)).collect();
        times.sort_unstable();
        times.dedup();
        let mut places = HashMap::new();
        for time in times {
            for (place, &slot) in self.waiting.get(&time).into_iter().flatten().enumerate() {
                // An entry that stayed behind is no place.
                if self.kept[slot as usize].time == time {
                    places.entry(slot).or_insert(place as i64);
                }
            }
        }
        places
    }

    /// Takes keys back whose first row is out.
    fn restore_keys(&mut self, state: &mut Restored, now: i64) -> Result<()> {
        for piece in state.table(KEYS)? {
            let own = piece.rows.num_columns().saturating_sub(self.spec.keys.len());
            let mut slots = Vec::new();
            self.keys.intern(&piece.rows.columns()[own..], piece.rows.num_rows(), &mut slots)?;
            self.kept.resize(self.keys.capacity().max(self.kept.len()), NOTHING);
            slots.iter().for_each(|&slot| self.kept[slot as usize].done = true);
            let written = if own == 2 { Some(read_instants(&piece.rows, 1)?) } else { None };
            read_written(self.expiry.as_mut(), &slots, written, now);
        }
        Ok(())
    }

    /// Takes keys back with their rows.
    fn restore_rows(&mut self, state: &mut Restored, now: i64) -> Result<()> {
        // By time, then place.
        let mut waiting: Vec<(i64, i64, u32)> = Vec::new();
        for piece in by_origin(state.table(ROWS)?)? {
            let own = piece.rows.num_columns().saturating_sub(self.spec.schema.fields().len());
            let batch = pieces::rest(&piece.rows, own, &self.spec.schema)?;
            let mut slots = Vec::new();
            let keys: Vec<_> = self.spec.keys.iter().map(|&c| batch.column(c).clone()).collect();
            self.keys.intern(&keys, batch.num_rows(), &mut slots)?;
            self.kept.resize(self.keys.capacity().max(self.kept.len()), NOTHING);
            let mut ids = Vec::with_capacity(slots.len());
            self.rows.push(&batch, &mut ids)?;
            let times = match self.spec.rowtime {
                Some(column) => Some(millis(batch.column(column), "a deduplication")?),
                None => None,
            };
            let places = read_numbers(&piece.rows, 0)?;
            for (row, (&slot, id)) in slots.iter().zip(ids).enumerate() {
                let time = times.as_ref().map_or(i64::MIN, |t| t[row]);
                self.kept[slot as usize] = Kept { row: id, time, done: false };
                if self.spec.keep == Keep::First {
                    waiting.push((time, places[row], slot));
                }
            }
            let written = if own == 2 { Some(read_instants(&piece.rows, 1)?) } else { None };
            read_written(self.expiry.as_mut(), &slots, written, now);
        }
        waiting.sort_unstable();
        for (time, _, slot) in waiting {
            self.waiting.entry(time).or_default().push(slot);
        }
        Ok(())
    }
}

/// The tables of a checkpoint.
const KEYS: &str = "keys";
const ROWS: &str = "rows";

impl Operator for Deduplicate {
    fn name(&self) -> &'static str {
        "Deduplicate"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.changed = Changed::new(context.checkpointed);
        self.rows.limit(&context.memory);
        self.clock = Some(context.clock);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut slots, gone) = self.changed.take();
        if snapshot.is_full() {
            slots = self.keys.slots();
        }
        let kept = |slot: &u32| self.kept[*slot as usize];
        // A key that goes from one table to the other is gone from the one.
        if self.spec.keep == Keep::First {
            let (done, others): (Vec<u32>, Vec<u32>) = slots.iter().partition(|s| kept(s).done);
            let mut columns = vec![numbers("rows", done.iter().map(|_| 1))];
            columns.extend(pieces::written(self.expiry.as_ref(), &done));
            let own = columns.len();
            let fields = pieces::fields(&self.spec.schema, &self.spec.keys);
            let table = pieces::table(columns, fields, self.keys.take(&done)?, done.len())?;
            let scope = Scope::Keyed((own..own + self.spec.keys.len()).collect());
            let mut gone = gone.clone();
            gone.extend(others.iter().map(|&slot| u64::from(slot)..u64::from(slot) + 1));
            gone.sort_unstable_by_key(|range| range.start);
            snapshot.table(KEYS, scope, pieces::ids(&done), table, gone)?;
        }
        if self.spec.keep == Keep::Last || self.spec.rowtime.is_some() {
            let (with, without): (Vec<u32>, Vec<u32>) = slots.iter().partition(|s| kept(s).row != NONE);
            let rows: Vec<u32> = with.iter().map(|slot| kept(slot).row).collect();
            let rows = self.rows.take(&rows)?;
            let places = self.places(&with);
            let place = numbers("place", with.iter().map(|slot| places.get(slot).copied().unwrap_or(0)));
            let mut own = vec![place];
            own.extend(pieces::written(self.expiry.as_ref(), &with));
            let scope = Scope::Keyed(pieces::behind(own.len(), &self.spec.keys));
            let fields = self.spec.schema.fields().iter().cloned();
            let table = pieces::table(own, fields, rows.columns().to_vec(), with.len())?;
            let mut gone = gone;
            gone.extend(without.iter().map(|&slot| u64::from(slot)..u64::from(slot) + 1));
            gone.sort_unstable_by_key(|range| range.start);
            snapshot.table(ROWS, scope, pieces::ids(&with), table, gone)?;
        }
        snapshot.value("watermark", self.watermark)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let now = self.clock.as_ref().map_or(0, |clock| clock.now_millis());
        if !state.is_part() {
            self.watermark = state.values::<Option<i64>>("watermark")?.into_iter().max().flatten();
        }
        self.restore_keys(state, now)?;
        self.restore_rows(state, now)
    }

    fn cold(&self) -> Option<ColdSpec> {
        let table = if self.spec.keep == Keep::First { KEYS } else { ROWS };
        let keyed = !self.spec.keys.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![self.spec.keys.clone()], &[table], self.spec.state_ttl))
    }

    fn state_bytes(&self) -> usize {
        self.memory()
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
        // What was told before the job was restored is told again.
        if self.watermark < Some(watermark.millis()) {
            self.watermark = Some(watermark.millis());
            self.release(watermark.millis(), out)?;
        }
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
