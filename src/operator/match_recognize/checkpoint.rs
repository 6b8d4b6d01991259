//! Begun matches in a checkpoint.
//!
//! ```text
//!  waiting:  arrival │ the row                                   rows that the watermark has not passed
//!  rows:     number  │ the row                                   rows that begun matches have taken
//!  taken:    before  row  variable │ key                         a row as a variable, behind another one
//!  matches:  partition  place  complete  state  last  first  since │ key      begun and complete matches
//! ```
//! Rows name each other by their ids in the tables of the same task: `before` and `last` one of `taken`, `row` one of
//! `rows`. `place` is the order in which the matches of a partition lie, which decides between those that began with
//! the same row.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use super::queue::{NO_NODE, Run, Runs};
use super::{MatchRecognize, Place};
use crate::error::{Error, Result};
use crate::operator::event_time::millis;
use crate::operator::join_output::columns_at;
use crate::operator::pieces::{
    self, Own, by_origin, in_order, instants, numbers, read_instants, read_numbers,
};
use crate::state::{Restored, Scope, Snapshot};

const WAITING: &str = "waiting";
const ROWS: &str = "rows";
const TAKEN: &str = "taken";
const MATCHES: &str = "matches";
const WATERMARK: &str = "watermark";
const NEXT: &str = "next";

/// Complete matches of a partition have ids behind those of begun ones.
const COMPLETE: u64 = 1 << 31;

#[cold]
fn broken() -> Error {
    Error::decode("begun matches of the checkpoint name rows that it does not have")
}

/// A number that may be missing.
fn or_none(number: u32) -> i64 {
    if number == NO_NODE { -1 } else { i64::from(number) }
}

impl MatchRecognize {
    fn keyed(&self, own: usize) -> Scope {
        Scope::Keyed((own..own + self.spec.partition.len()).collect())
    }

    fn key_names(&self) -> impl Iterator<Item = String> + '_ {
        self.spec.partition.iter().map(|&c| self.spec.input.field(c).name().clone())
    }

    pub(super) fn write(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        if self.spec.time.is_some() {
            self.write_waiting(snapshot)?;
            snapshot.value(WATERMARK, self.watermark)?;
        }
        snapshot.value(NEXT, self.next)?;
        self.write_rows(snapshot)?;
        self.write_taken(snapshot)?;
        self.write_matches(snapshot)
    }

    fn write_waiting(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut ids, gone) = self.changed_rows.take();
        if snapshot.is_full() {
            ids = self.queue.ids().collect();
        }
        let rows = self.waiting.take(&ids)?;
        let own = [numbers("arrival", ids.iter().map(|&id| self.arrived[id as usize]))];
        let fields = self.spec.input.fields().iter().cloned();
        let table = pieces::table(own, fields, rows.columns().to_vec(), ids.len())?;
        let scope = Scope::Keyed(pieces::behind(1, &self.spec.partition));
        snapshot.table(WAITING, scope, pieces::ids(&ids), table, gone)
    }

    fn write_rows(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (ids, gone) = self.paths.rows.changes(snapshot.is_full());
        let known = self.paths.numbers();
        let rows = self.paths.rows.take(&ids)?;
        let own = [numbers("number", ids.iter().map(|id| known.get(id).map_or(0, |&n| n as i64)))];
        let fields = self.spec.input.fields().iter().cloned();
        let table = pieces::table(own, fields, rows.columns().to_vec(), ids.len())?;
        let scope = Scope::Keyed(pieces::behind(1, &self.spec.partition));
        snapshot.table(ROWS, scope, pieces::ids(&ids), table, gone)
    }

    fn write_taken(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut ids, gone) = self.paths.changed.take();
        if snapshot.is_full() {
            ids = self.paths.used();
        }
        let (mut before, mut rows, mut variables) = (Vec::new(), Vec::new(), Vec::new());
        for &id in &ids {
            let (node, event) = self.paths.get(id);
            let Place::Stored(row) = event.place else {
                return Err(Error::internal("a row of a match was not kept"));
            };
            before.push(or_none(node.previous));
            rows.push(row);
            variables.push(i64::from(node.variable));
        }
        let mut columns: Vec<Own> = vec![
            numbers("before", before),
            numbers("row", rows.iter().map(|&row| i64::from(row))),
            numbers("variable", variables),
        ];
        columns.extend(self.key_names().zip(self.paths.rows.take_columns(&rows, &self.spec.partition)?));
        let table = pieces::table(columns, [], Vec::new(), ids.len())?;
        snapshot.table(TAKEN, self.keyed(3), pieces::ids(&ids), table, gone)
    }

    fn write_matches(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut slots, mut gone) = self.changed.take();
        let of_slot = |slot: u64| slot << 32..(slot + 1) << 32;
        gone.iter_mut().for_each(|range| *range = range.start << 32..range.end << 32);
        if snapshot.is_full() {
            slots = self.keys.slots();
        } else {
            gone.extend(slots.iter().map(|&slot| of_slot(u64::from(slot))));
        }
        let (mut ids, mut owners, mut places, mut runs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for &slot in &slots {
            let partition = &self.partitions[slot as usize];
            for (queue, base) in [(&partition.begun, 0), (&partition.complete, COMPLETE)] {
                for (place, run) in queue.heap().iter().enumerate() {
                    ids.push(u64::from(slot) << 32 | base | place as u64);
                    owners.push(slot);
                    places.push((place as i64, i64::from(base == COMPLETE)));
                    runs.push(*run);
                }
            }
        }
        // The start has no first row: -1.
        let mut columns: Vec<Own> = vec![
            numbers("partition", owners.iter().map(|&slot| i64::from(slot))),
            numbers("place", places.iter().map(|p| p.0)),
            numbers("complete", places.iter().map(|p| p.1)),
            numbers("state", runs.iter().map(|run| i64::from(run.state))),
            numbers("last", runs.iter().map(|run| or_none(run.node))),
            numbers("first", runs.iter().map(|run| if run.is_start() { -1 } else { run.first as i64 })),
            instants("since", runs.iter().map(|run| Some(run.since).filter(|_| !run.is_start()))),
        ];
        columns.extend(self.key_names().zip(self.keys.take(&owners)?));
        let table = pieces::table(columns, [], Vec::new(), ids.len())?;
        snapshot.table(MATCHES, self.keyed(7), ids, table, gone)
    }

    pub(super) fn read(&mut self, state: &mut Restored) -> Result<()> {
        self.watermark = state.values::<Option<i64>>(WATERMARK)?.into_iter().max().flatten();
        let formers = state.all_values::<u64>(NEXT)?;
        self.next = formers.into_iter().map(|(_, _, next)| next).max().unwrap_or(0);
        if let Some(column) = self.spec.time {
            for piece in in_order(state.table(WAITING)?, 0)? {
                let rows = pieces::rest(&piece.rows, 1, &self.spec.input)?;
                let times = millis(rows.column(column), "MATCH_RECOGNIZE")?;
                self.wait(&rows, times)?;
            }
        }
        // Former task and id: the row, or the node, as it is now.
        let mut events: HashMap<(usize, u64), u32> = HashMap::new();
        for piece in in_order(state.table(ROWS)?, 0)? {
            let rows = pieces::rest(&piece.rows, 1, &self.spec.input)?;
            let mut ids = Vec::with_capacity(rows.num_rows());
            self.paths.rows.push(&rows, &mut ids)?;
            let numbers = read_numbers(&piece.rows, 0)?;
            self.numbers.read(&self.quick, rows.columns())?;
            for (row, ((&former, id), &number)) in piece.ids.iter().zip(ids).zip(numbers).enumerate() {
                let event = self.paths.stored(id, number as u64, self.numbers.get(row));
                events.insert((piece.origin, former), event);
            }
        }
        let nodes = self.read_taken(state, &events)?;
        self.read_matches(state, &nodes)?;
        // Each node was owned by whoever made it.
        nodes.into_values().try_for_each(|node| self.paths.release(node))
    }

    fn read_taken(
        &mut self,
        state: &mut Restored,
        events: &HashMap<(usize, u64), u32>,
    ) -> Result<HashMap<(usize, u64), u32>> {
        let mut nodes: HashMap<(usize, u64), u32> = HashMap::new();
        for piece in by_origin(state.table(TAKEN)?)? {
            let column = |at: usize| read_numbers(&piece.rows, at);
            let (before, rows, variables) = (column(0)?, column(1)?, column(2)?);
            let of_id: HashMap<u64, usize> = piece.ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
            for first in 0..piece.ids.len() {
                // A node comes behind the one before it.
                let mut chain = vec![first];
                loop {
                    let at = chain[chain.len() - 1];
                    if before[at] < 0 || nodes.contains_key(&(piece.origin, before[at] as u64)) {
                        break;
                    }
                    if chain.len() > piece.ids.len() {
                        return Err(broken());
                    }
                    chain.push(*of_id.get(&(before[at] as u64)).ok_or_else(broken)?);
                }
                for at in chain.into_iter().rev() {
                    let id = (piece.origin, piece.ids[at]);
                    if nodes.contains_key(&id) {
                        continue;
                    }
                    let previous = match before[at] {
                        none if none < 0 => NO_NODE,
                        id => *nodes.get(&(piece.origin, id as u64)).ok_or_else(broken)?,
                    };
                    let event = *events.get(&(piece.origin, rows[at] as u64)).ok_or_else(broken)?;
                    let variable = u8::try_from(variables[at]).map_err(|_| broken())?;
                    nodes.insert(id, self.paths.node(previous, event, variable));
                }
            }
        }
        Ok(nodes)
    }

    fn read_matches(&mut self, state: &mut Restored, nodes: &HashMap<(usize, u64), u32>) -> Result<()> {
        for piece in in_order(state.table(MATCHES)?, 1)? {
            let slots = self.slots_of(&piece.rows, 7)?;
            let column = |at: usize| read_numbers(&piece.rows, at);
            let (complete, states, last, first) = (column(2)?, column(3)?, column(4)?, column(5)?);
            let since = read_instants(&piece.rows, 6)?;
            let mut heaps: HashMap<(u32, bool), Vec<Run>> = HashMap::new();
            for (row, &slot) in slots.iter().enumerate() {
                let state = u16::try_from(states[row]).map_err(|_| broken())?;
                if state as usize >= self.nfa.states.len() {
                    return Err(broken());
                }
                let run = match last[row] {
                    none if none < 0 => Run::start(state),
                    id => {
                        let node = *nodes.get(&(piece.origin, id as u64)).ok_or_else(broken)?;
                        self.paths.own(node);
                        Run { state, node, first: first[row] as u64, since: since.value(row) }
                    }
                };
                heaps.entry((slot, complete[row] != 0)).or_default().push(run);
            }
            for ((slot, complete), heap) in heaps {
                let partition = &mut self.partitions[slot as usize];
                partition.is_live = true;
                match complete {
                    true => partition.complete = Runs::from_heap(heap),
                    false => partition.begun = Runs::from_heap(heap),
                }
            }
            for slot in slots {
                self.changed.mark(slot);
                if let Some(within) = self.spec.within {
                    self.set_deadline(slot, within);
                }
            }
        }
        Ok(())
    }

    /// The partitions of rows whose keys stand behind `own` columns.
    fn slots_of(&mut self, rows: &RecordBatch, own: usize) -> Result<Vec<u32>> {
        let keys: Vec<usize> = (own..own + self.spec.partition.len()).collect();
        if rows.num_columns() != own + keys.len() {
            return Err(broken());
        }
        let mut slots = Vec::new();
        self.keys.intern(&columns_at(rows, &keys), rows.num_rows(), &mut slots)?;
        self.resize();
        Ok(slots)
    }
}
