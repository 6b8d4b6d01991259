//! The rows that begun matches have taken.
//!
//! ```text
//!   row 1 as A <── row 2 as B <── row 3 as B <── row 4 as C        each taken row knows the one before it:
//!                        ^───────────────────── row 3 as C         what several begun matches have in common is kept once
//! ```
//! Everything is counted: a row goes when no begun match has it any more. Rows of the batch at hand stay in it; those
//! that somebody still wants behind it are put into the store.

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;

use super::queue::NO_NODE;
use super::quick::Numbers;
use crate::error::Result;
use crate::operator::join_output::take_rows;
use crate::state::{Changed, RowStore};

/// Where the columns of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the batch at hand.
    Batch(u32),
    /// In the store, under this id.
    Stored(u32),
}

/// A row that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub place: Place,
    /// Its number in the order of all rows.
    pub number: u64,
    /// What conditions want to know of it.
    pub numbers: Numbers,
    nodes: u32,
}

/// A row as a variable, behind another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub previous: u32,
    pub event: u32,
    pub variable: u8,
    owners: u32,
}

#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    events: Vec<Event>,
    free_events: Vec<u32>,
    /// Events of the batch at hand.
    fresh: Vec<u32>,
    pub rows: RowStore,
    pub changed: Changed,
}

impl Paths {
    pub fn new(rows: RowStore) -> Self {
        Self {
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            events: Vec::new(),
            free_events: Vec::new(),
            fresh: Vec::new(),
            rows,
            changed: Changed::default(),
        }
    }

    /// A row of the batch at hand, which nobody has taken yet.
    pub fn event(&mut self, row: u32, number: u64, numbers: Numbers) -> u32 {
        let event = self.new_event(Place::Batch(row), number, numbers);
        self.fresh.push(event);
        event
    }

    /// A row of the store.
    pub fn stored(&mut self, id: u32, number: u64, numbers: Numbers) -> u32 {
        self.new_event(Place::Stored(id), number, numbers)
    }

    fn new_event(&mut self, place: Place, number: u64, numbers: Numbers) -> u32 {
        let event = Event { place, number, numbers, nodes: 0 };
        match self.free_events.pop() {
            Some(at) => {
                self.events[at as usize] = event;
                at
            }
            None => {
                self.events.push(event);
                (self.events.len() - 1) as u32
            }
        }
    }

    /// Takes a row behind others. The caller owns the node; the nodes before it are owned by it.
    pub fn node(&mut self, previous: u32, event: u32, variable: u8) -> u32 {
        self.own(previous);
        self.events[event as usize].nodes += 1;
        let node = Node { previous, event, variable, owners: 1 };
        let at = match self.free_nodes.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.changed.mark(at);
        at
    }

    /// One more wants a node.
    pub fn own(&mut self, node: u32) {
        if node != NO_NODE {
            self.nodes[node as usize].owners += 1;
        }
    }

    /// One wants a node no more.
    pub fn release(&mut self, mut node: u32) -> Result<()> {
        while node != NO_NODE {
            let entry = &mut self.nodes[node as usize];
            entry.owners -= 1;
            if entry.owners > 0 {
                return Ok(());
            }
            let (previous, event) = (entry.previous, entry.event);
            self.changed.remove(node);
            self.free_nodes.push(node);
            let taken = &mut self.events[event as usize];
            taken.nodes -= 1;
            if taken.nodes == 0 {
                if let Place::Stored(id) = taken.place {
                    self.rows.free(id)?;
                }
                self.free_events.push(event);
            }
            node = previous;
        }
        Ok(())
    }

    /// The rows up to a node, the last one first.
    pub fn walk(&self, node: u32) -> impl Iterator<Item = (u8, Event)> + '_ {
        let mut at = node;
        std::iter::from_fn(move || {
            if at == NO_NODE {
                return None;
            }
            let node = self.nodes[at as usize];
            at = node.previous;
            Some((node.variable, self.events[node.event as usize]))
        })
    }

    /// The number of the last row.
    pub fn last(&self, node: u32) -> u64 {
        self.walk(node).next().map_or(u64::MAX, |(_, event)| event.number)
    }

    /// The batch at hand goes: what is still wanted of it is stored.
    pub fn keep(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut fresh = std::mem::take(&mut self.fresh);
        let wanted = |event: &u32| {
            let event = &self.events[*event as usize];
            event.nodes > 0 && matches!(event.place, Place::Batch(_))
        };
        fresh.retain(wanted);
        fresh.sort_unstable();
        fresh.dedup();
        if !fresh.is_empty() {
            fresh.sort_by_key(|&event| self.events[event as usize].number);
            let row = |event: &u32| match self.events[*event as usize].place {
                Place::Batch(row) | Place::Stored(row) => row,
            };
            let rows: Vec<u32> = fresh.iter().map(row).collect();
            let mut ids = Vec::with_capacity(rows.len());
            self.rows.push(&take_rows(batch, &rows)?, &mut ids)?;
            for (&event, id) in fresh.iter().zip(ids) {
                self.events[event as usize].place = Place::Stored(id);
            }
        }
        fresh.clear();
        self.fresh = fresh;
        Ok(())
    }

    /// A column of rows, NULL where there is none.
    pub fn column(&self, places: &[Option<Place>], column: usize, batch: &RecordBatch) -> Result<ArrayRef> {
        if let [only] = places {
            return Ok(match *only {
                Some(Place::Batch(row)) => batch.column(column).slice(row as usize, 1),
                Some(Place::Stored(id)) => self.stored_column(&[id], column)?,
                None => new_null_array(self.rows.schema().field(column).data_type(), 1),
            });
        }
        let stored: Vec<u32> = places
            .iter()
            .filter_map(|p| if let Some(Place::Stored(id)) = p { Some(*id) } else { None })
            .collect();
        let stored = self.stored_column(&stored, column)?;
        let none = new_null_array(self.rows.schema().field(column).data_type(), 1);
        let current = batch.column(column);
        let mut next = 0;
        let place = |place: &Option<Place>| match *place {
            Some(Place::Batch(row)) => (0, row as usize),
            Some(Place::Stored(_)) => {
                next += 1;
                (1, next - 1)
            }
            None => (2, 0),
        };
        let indices: Vec<(usize, usize)> = places.iter().map(place).collect();
        let arrays: [&dyn Array; 3] = [current.as_ref(), stored.as_ref(), none.as_ref()];
        Ok(interleave(&arrays, &indices)?)
    }

    fn stored_column(&self, ids: &[u32], column: usize) -> Result<ArrayRef> {
        let mut columns = self.rows.take_columns(ids, &[column])?;
        columns.pop().ok_or_else(|| crate::error::Error::internal("a column of a match is missing"))
    }

    /// All nodes that are in use.
    pub fn used(&self) -> Vec<u32> {
        let all = 0..self.nodes.len() as u32;
        all.filter(|&node| self.nodes[node as usize].owners > 0).collect()
    }

    pub fn get(&self, node: u32) -> (Node, Event) {
        let node = self.nodes[node as usize];
        (node, self.events[node.event as usize])
    }

    /// The number of each stored row, by its id.
    pub fn numbers(&self) -> std::collections::HashMap<u32, u64> {
        let stored = self.events.iter().filter(|event| event.nodes > 0);
        stored
            .filter_map(|e| if let Place::Stored(id) = e.place { Some((id, e.number)) } else { None })
            .collect()
    }

    pub fn memory(&self) -> usize {
        self.rows.memory()
            + self.nodes.capacity() * size_of::<Node>()
            + self.events.capacity() * size_of::<Event>()
            + (self.free_nodes.capacity() + self.free_events.capacity() + self.fresh.capacity()) * 4
            + self.changed.memory()
    }
}
