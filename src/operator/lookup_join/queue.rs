//! Rows that wait for answers, with the signals that came between them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::time::Instant;

use super::letters::Letter;
use crate::flow::{Chunk, Message};
use crate::lookup::Answer;
use crate::lookup::budget::Reservation;
use crate::lookup::cache::{Slot, Snapshot};
use crate::lookup::keys::KeyColumns;

/// A held row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowRef {
    /// Number of its item.
    pub(super) seq: u64,
    /// Row in its chunk.
    pub(super) row: u32,
}

/// When the rows of a chunk came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// Number of the first row; the others follow it.
    pub(super) position: u64,
    /// The last watermark before them.
    pub(super) watermark: Option<i64>,
}

/// Some rows of a batch that an answer brought.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) rows: Arc<RecordBatch>,
    pub(super) first: u32,
    pub(super) count: u32,
    /// The memory that is reserved for them.
    _reserved: Option<Arc<Reservation>>,
}

impl Found {
    pub(super) fn new(rows: Arc<RecordBatch>, first: u32, count: u32) -> Self {
        Self { rows, first, count, _reserved: None }
    }
}

impl From<Answer> for Found {
    fn from(answer: Answer) -> Self {
        Self { rows: answer.rows, first: answer.first, count: answer.count, _reserved: answer.reserved }
    }
}

/// What is known about one held row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Nothing yet.
    Waiting,
    /// There are no rows for it.
    Nothing,
    /// It is left out.
    Skip,
    /// It goes to the dead letters.
    Letter(Arc<Letter>),
    /// It takes back what was emitted for it, without a call.
    TakeBack,
    /// Rows in the snapshot that its chunk was probed with.
    Cached(Slot),
    /// Rows of an answer.
    Answered(Found),
    /// It is gone.
    Emitted,
}

/// A chunk that could not be emitted at once.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) chunk: Chunk,
    pub(super) keys: Arc<KeyColumns>,
    pub(super) cells: Vec<Cell>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) taken_in: Instant,
    pub(super) arrival: Arrival,
    /// All rows before it are gone.
    head: usize,
    /// Rows that are not gone.
    left: usize,
}

impl Held {
    pub(super) fn new(
        chunk: Chunk,
        keys: Arc<KeyColumns>,
        cells: Vec<Cell>,
        snapshot: Option<Arc<Snapshot>>,
        taken_in: Instant,
        arrival: Arrival,
    ) -> Self {
        let left = cells.len();
        Self { chunk, keys, cells, snapshot, taken_in, arrival, head: 0, left }
    }

    /// Rows that are not gone, ascending.
    pub(super) fn rows(&self) -> Rows<'_> {
        let after = self.cells.len() - self.head;
        if after == self.left {
            return Rows::Range(self.head..self.cells.len());
        }
        Rows::Some { cells: &self.cells, head: self.head }
    }

    /// Rows without an answer.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u32> + '_ {
        let waiting = self.cells.iter().enumerate().filter(|(_, c)| matches!(c, Cell::Waiting));
        waiting.map(|(row, _)| row as u32)
    }
}

/// Rows of a chunk that are not gone.
pub(super) enum Rows<'a> {
    /// Next to each other.
    Range(Range<usize>),
    Some {
        cells: &'a [Cell],
        head: usize,
    },
}

impl Rows<'_> {
    pub(super) fn for_each(&self, mut f: impl FnMut(usize)) {
        match self {
            Rows::Range(range) => range.clone().for_each(f),
            Rows::Some { cells, head } => {
                for (row, cell) in cells.iter().enumerate().skip(*head) {
                    if !matches!(cell, Cell::Emitted) {
                        f(row);
                    }
                }
            }
        }
    }
}

#[derive(Debug)]
enum Item {
    Rows(Box<Held>),
    Signal(Message),
    /// Rows that are all gone, behind others that are not.
    Gone,
}

/// Held chunks and signals in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Number of the first item.
    first: u64,
    /// Rows that are not gone.
    held: usize,
    /// Number of the first signal.
    open_end: Option<u64>,
    /// Resolved rows in front of the first signal, when order does not matter.
    ready: Vec<RowRef>,
}

impl Queue {
    pub(super) fn held_rows(&self) -> usize {
        self.held
    }

    fn item(&mut self, seq: u64) -> Option<&mut Item> {
        self.items.get_mut(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn rows(&self, seq: u64) -> Option<&Held> {
        match self.items.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)? {
            Item::Rows(held) => Some(held),
            _ => None,
        }
    }

    /// Held chunks in order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Held> {
        self.items.iter().filter_map(|item| match item {
            Item::Rows(held) => Some(held.as_ref()),
            _ => None,
        })
    }

    /// Whether rows may be emitted as soon as they are resolved: nothing is held that they must not overtake.
    pub(super) fn is_open(&self, ordered: bool) -> bool {
        self.items.is_empty() || (!ordered && self.open_end.is_none())
    }

    /// Appends rows; their number.
    pub(super) fn push(&mut self, held: Held) -> u64 {
        let seq = self.first + self.items.len() as u64;
        self.held += held.left;
        if self.open_end.is_none() {
            let resolved = held.cells.iter().enumerate().filter(|(_, c)| !matches!(c, Cell::Waiting));
            self.ready.extend(resolved.map(|(row, _)| RowRef { seq, row: row as u32 }));
        }
        self.items.push_back(Item::Rows(Box::new(held)));
        seq
    }

    /// Appends a signal, or gives it back when nothing is held.
    pub(super) fn signal(&mut self, signal: Message) -> Option<Message> {
        if self.items.is_empty() {
            return Some(signal);
        }
        self.open_end.get_or_insert(self.first + self.items.len() as u64);
        self.items.push_back(Item::Signal(signal));
        None
    }

    /// Settles a row.
    pub(super) fn resolve(&mut self, at: RowRef, cell: Cell) {
        let open = self.open_end.is_none_or(|end| at.seq < end);
        if let Some(Item::Rows(held)) = self.item(at.seq)
            && let Some(waiting) = held.cells.get_mut(at.row as usize)
        {
            *waiting = cell;
            if open {
                self.ready.push(at);
            }
        }
    }

    /// The rows that may go now, in order of input: all that are resolved in front of the first signal, or
    /// the longest prefix of them.
    pub(super) fn emittable(&mut self, ordered: bool) -> Vec<RowRef> {
        let mut ready = std::mem::take(&mut self.ready);
        if !ordered {
            ready.sort_unstable();
            return ready;
        }
        ready.clear();
        'items: for (i, item) in self.items.iter_mut().enumerate() {
            match item {
                Item::Signal(_) => break,
                Item::Gone => {}
                Item::Rows(held) => {
                    for (row, cell) in held.cells.iter().enumerate().skip(held.head) {
                        match cell {
                            Cell::Waiting => break 'items,
                            Cell::Emitted => {}
                            _ => ready.push(RowRef { seq: self.first + i as u64, row: row as u32 }),
                        }
                    }
                }
            }
        }
        ready
    }

    /// How many of the rows have no more than `most` right rows together; at least one.
    pub(super) fn within(&self, rows: &[RowRef], most: usize) -> usize {
        let mut sum = 0;
        for run in rows.chunk_by(|a, b| a.seq == b.seq) {
            let Some(held) = self.rows(run[0].seq) else { continue };
            for (i, at) in run.iter().enumerate() {
                sum += match &held.cells[at.row as usize] {
                    Cell::Cached(slot) => slot.count as usize,
                    Cell::Answered(found) => found.count as usize,
                    _ => 1,
                };
                if sum > most {
                    let before = rows.partition_point(|r| r.seq < run[0].seq);
                    return (before + i).max(1);
                }
            }
        }
        rows.len()
    }

    /// Takes back rows that were emittable and do not go yet.
    pub(super) fn keep_ready(&mut self, rows: &[RowRef]) {
        self.ready.extend_from_slice(rows);
    }

    /// Notes that rows are gone, and forgets what lies in front of the rows that are not.
    pub(super) fn emitted(&mut self, rows: &[RowRef]) {
        self.held -= rows.len();
        for run in rows.chunk_by(|a, b| a.seq == b.seq) {
            let Some(item) = self.item(run[0].seq) else { continue };
            if let Item::Rows(held) = item {
                for at in run {
                    held.cells[at.row as usize] = Cell::Emitted;
                }
                held.left -= run.len();
                while matches!(held.cells.get(held.head), Some(Cell::Emitted)) {
                    held.head += 1;
                }
                if held.left == 0 {
                    *item = Item::Gone;
                }
            }
        }
        while matches!(self.items.front(), Some(Item::Gone)) {
            self.items.pop_front();
            self.first += 1;
        }
    }

    /// The signal at the front, if no row is held before it; what is resolved behind it may go next.
    pub(super) fn next_signal(&mut self) -> Option<Message> {
        if !matches!(self.items.front(), Some(Item::Signal(_))) {
            return None;
        }
        let Some(Item::Signal(signal)) = self.items.pop_front() else { return None };
        self.first += 1;
        self.open_end = None;
        for (i, item) in self.items.iter().enumerate() {
            match item {
                Item::Signal(_) => {
                    self.open_end = Some(self.first + i as u64);
                    break;
                }
                Item::Gone => {}
                Item::Rows(held) => {
                    let seq = self.first + i as u64;
                    let resolved = held.cells.iter().enumerate();
                    let resolved = resolved.filter(|(_, c)| !matches!(c, Cell::Waiting | Cell::Emitted));
                    self.ready.extend(resolved.map(|(row, _)| RowRef { seq, row: row as u32 }));
                }
            }
        }
        Some(signal)
    }
}
