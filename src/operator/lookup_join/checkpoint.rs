//! The rows that wait, in a checkpoint.
//!
//! ```text
//!  queue:      [a · ✓ c][@10:00][· d]       waiting:  position  kind  watermark  left columns
//!                                                            0  +I                a
//!  told: 9:59  what went out last                            2  +I                c
//!                                                            4  +I    10:00       d
//! ```
//! Each row is written with the last watermark that came before it: whatever waits between the rows stands there.
//! Watermarks behind the last row are told anew by those who assign them, and so are the idle and the end.
//! What went out last is told anew *here*: rows that come out of the queue again stand behind it as they
//! did before, and not behind what the sources say by now.
//!
//! An answer that was not emitted is not kept. It may be large, and it is as good as one from a cache, which a
//! restored job does not have either: the row is asked for again, whether its answer had come, had failed, or
//! had not come. Metrics count these requests, because they are made.
//!
//! Rows never change while they wait. So a snapshot holds those that came since the last one, and which of the
//! others are gone: what lies between those that are left.
//!
//! Rows of input that only grows may go to any task. Where rows are updated their order matters, and the key
//! that brought them together may be gone from them: they stay with their task.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};

use super::LookupJoin;
use super::queue::{Arrival, Rows};
use crate::error::{Error, Result};
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Kind, Kinds, Message};
use crate::operator::pieces::{self, in_order, instants, numbers, read_instants, read_numbers};
use crate::state::{Piece, Restored, Scope, Snapshot};

const TABLE: &str = "waiting";
const WATERMARK: &str = "watermark";

/// Columns before those of the left side: position, kind, watermark.
const OWN: usize = 3;

/// Which rows the last snapshot left in the table.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// None lies before this position.
    first: u64,
    /// All lie before this position.
    end: u64,
}

/// Rows on their way into a table.
struct Waiting<'a> {
    /// Rows before this position are known.
    from: u64,
    known: Range<u64>,
    gone: Vec<Range<u64>>,
    first: Option<u64>,
    positions: Vec<i64>,
    watermarks: Vec<Option<i64>>,
    kinds: Vec<&'static str>,
    chunks: Vec<(&'a Chunk, Rows<'a>)>,
}

impl<'a> Waiting<'a> {
    fn add(&mut self, arrival: Arrival, chunk: &'a Chunk, rows: Rows<'a>) {
        let known = arrival.position < self.from;
        rows.for_each(|row| {
            let position = arrival.position + row as u64;
            self.first.get_or_insert(position);
            if position < self.known.end {
                if self.known.start < position {
                    self.gone.push(self.known.start..position);
                }
                self.known.start = position + 1;
            }
            if !known {
                self.positions.push(position as i64);
                self.kinds.push(chunk.kinds.get(row).as_str());
            }
        });
        if !known {
            self.watermarks.resize(self.positions.len(), arrival.watermark);
            self.chunks.push((chunk, rows));
        }
    }
}

impl LookupJoin {
    /// Adds the rows that wait to a snapshot.
    pub(super) fn write_waiting(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let Written { first, end } = self.written;
        let known = if snapshot.is_full() { 0..0 } else { first..end };
        let mut waiting = Waiting {
            from: known.end,
            known,
            gone: Vec::new(),
            first: None,
            positions: Vec::new(),
            watermarks: Vec::new(),
            kinds: Vec::new(),
            chunks: Vec::new(),
        };
        for held in self.queue.chunks() {
            waiting.add(held.arrival, &held.chunk, held.rows());
        }
        let mut next = Arrival { position: self.position, watermark: self.seen };
        for message in &self.early {
            match message {
                Message::Data(chunk) => {
                    waiting.add(next, chunk, Rows::Range(0..chunk.len()));
                    next.position += chunk.len() as u64;
                }
                Message::Watermark(watermark) => next.watermark = Some(watermark.millis()),
                _ => {}
            }
        }
        let Waiting { mut gone, known, first, positions, watermarks, kinds, chunks, .. } = waiting;
        if !known.is_empty() {
            gone.push(known);
        }
        self.written = Written { first: first.unwrap_or(next.position), end: next.position };
        let ids = positions.iter().map(|&p| p as u64).collect();
        let rows = positions.len();
        let own = [
            numbers("position", positions),
            (
                "kind".to_string(),
                Arc::new(kinds.into_iter().map(Some).collect::<StringViewArray>()) as ArrayRef,
            ),
            instants(WATERMARK, watermarks),
        ];
        let columns = self.columns(&chunks)?;
        let table = pieces::table(own, self.left.fields().iter().cloned(), columns, rows)?;
        snapshot.table(TABLE, self.scope(), ids, table, gone)?;
        snapshot.value(WATERMARK, self.told)
    }

    fn scope(&self) -> Scope {
        if self.memory.is_some() { Scope::Pinned } else { Scope::Dealt }
    }

    /// The left columns of rows.
    fn columns(&self, chunks: &[(&Chunk, Rows<'_>)]) -> Result<Vec<ArrayRef>> {
        // Chunks of one row may be very many: what is whole is not sliced.
        let mut batches: Vec<Cow<'_, RecordBatch>> = Vec::with_capacity(chunks.len());
        for (chunk, rows) in chunks {
            batches.push(match rows {
                Rows::Range(range) if range.len() == chunk.len() => Cow::Borrowed(&chunk.batch),
                Rows::Range(range) => Cow::Owned(chunk.batch.slice(range.start, range.len())),
                some => {
                    let mut taken = Vec::new();
                    some.for_each(|row| taken.push(row as u32));
                    Cow::Owned(pieces::taken(&chunk.batch, taken)?)
                }
            });
        }
        let column = |(i, field): (usize, &Arc<Field>)| match batches.as_slice() {
            [] => Ok(new_empty_array(field.data_type())),
            [only] => Ok(only.column(i).clone()),
            many => Ok(concat(&many.iter().map(|b| b.column(i).as_ref()).collect::<Vec<&dyn Array>>())?),
        };
        self.left.fields().iter().enumerate().map(column).collect()
    }

    /// Takes rows back: they are taken in as soon as the task runs, before everything else.
    pub(super) fn read_waiting(&mut self, state: &mut Restored) -> Result<()> {
        // The least of all tasks, if all have told one.
        let told: Vec<Option<i64>> = state.values(WATERMARK)?;
        self.told = told.into_iter().min().flatten();
        self.seen = self.told;
        let mut marks = WatermarkClock::default();
        let mut mark = |millis: Option<i64>| millis.and_then(|m| marks.advance(m)).map(Message::Watermark);
        self.early.extend(mark(self.told));
        // Watermarks of several tasks say nothing about the rows of one of them.
        let rescaled = state.is_rescaled();
        for Piece { rows, .. } in in_order(state.table(TABLE)?, 0)? {
            let left = pieces::rest(&rows, OWN, &self.left)?;
            read_numbers(&rows, 0)?;
            let kinds = kinds(&rows)?;
            let watermarks = read_instants(&rows, 2)?;
            let of = |row: usize| (!rescaled && watermarks.is_valid(row)).then(|| watermarks.value(row));
            let mut start = 0;
            while start < rows.num_rows() {
                let watermark = of(start);
                let length = (start..rows.num_rows()).take_while(|&row| of(row) == watermark).count();
                self.early.extend(mark(watermark));
                let chunk = Chunk {
                    batch: left.slice(start, length),
                    kinds: kinds.slice(start, length),
                    ingest: crate::clock::instant(),
                };
                self.early.push_back(Message::Data(chunk));
                start += length;
            }
        }
        if !self.early.is_empty() {
            self.completions()?.wake();
        }
        Ok(())
    }

    /// Bytes of the rows that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        let early = self.early.iter().filter_map(|message| match message {
            Message::Data(chunk) => Some(chunk),
            _ => None,
        });
        let held = self.queue.chunks().map(|held| &held.chunk);
        held.chain(early).map(|chunk| chunk.batch.get_array_memory_size()).sum()
    }
}

/// The kinds of rows of a checkpoint.
fn kinds(rows: &RecordBatch) -> Result<Kinds> {
    let broken = || Error::decode("a row of the checkpoint has no kind of change");
    let names = rows.columns().get(1).filter(|c| *c.data_type() == DataType::Utf8View).ok_or_else(broken)?;
    let all = [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete];
    let kind = |name: Option<&str>| all.into_iter().find(|k| Some(k.as_str()) == name).ok_or_else(broken);
    let kinds = names.as_string_view().iter().map(kind).collect::<Result<Vec<Kind>>>()?;
    let append = kinds.iter().all(|k| *k == Kind::Insert);
    Ok(if append { Kinds::Append } else { Kinds::Changes(kinds.into()) })
}
