//! Rows that are computed many at a time ([`Lookup::compute`](crate::lookup::Lookup)): one ticket for a range of them.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::queue::{Cell, Found, RowRef};
use super::{LookupJoin, Pending};
use crate::error::{Error, Result};
use crate::lookup::{Computed, Failure};

impl LookupJoin {
    /// Rows of a held chunk without an answer wait for their turn.
    pub(super) fn wait_together(&mut self, seq: u64) {
        let Some(held) = self.queue.rows(seq) else { return };
        let mut runs: Vec<Range<u32>> = Vec::new();
        for row in held.waiting() {
            match runs.last_mut() {
                Some(run) if run.end == row => run.end += 1,
                _ => runs.push(row..row + 1),
            }
        }
        self.to_compute.extend(runs.into_iter().map(|run| (seq, run)));
    }

    /// Hands over to the client what has a place.
    pub(super) fn compute(&mut self) -> Result<()> {
        let most = self.lookup.computations();
        while self.computing < most && self.in_flight < self.capacity {
            let Some((seq, rows)) = self.to_compute.front_mut() else { break };
            let count = (self.capacity - self.in_flight).min(self.lookup.keys_now()).min(rows.len());
            let (seq, taken) = (*seq, rows.start..rows.start + count as u32);
            rows.start = taken.end;
            if rows.start == rows.end {
                self.to_compute.pop_front();
            }
            let Some(keys) = self.queue.rows(seq).map(|held| held.keys.clone()) else { continue };
            let ticket = self.ticket(Pending {
                first: RowRef { seq, row: taken.start },
                more: Vec::new(),
                key: None,
                asked: Some(self.lookup.now()),
                held: false,
                together: count as u32,
            });
            self.in_flight += count;
            self.computing += 1;
            self.lookup.compute(&self.completions()?, &keys, taken, ticket);
        }
        Ok(())
    }

    /// Takes in what came for a ticket.
    pub(super) fn computed(&mut self, ticket: u32, result: Result<Computed, Arc<Failure>>) -> Result<()> {
        let Some(Pending { first, asked, together, .. }) =
            self.pending.get_mut(ticket as usize).and_then(Option::take)
        else {
            return Err(Error::internal("rows were computed twice"));
        };
        self.free.push(ticket);
        self.in_flight -= together as usize;
        self.computing -= 1;
        let asked = asked.unwrap_or_else(|| self.lookup.now());
        let at = |offset: u32| RowRef { seq: first.seq, row: first.row + offset };
        let Computed { rows, places, mut failures } = match result {
            Ok(computed) => computed,
            Err(failure) => {
                let failed = (0..together).map(|offset| (at(offset), failure.clone())).collect();
                return self.ask_again(failed, (asked, together as usize));
            }
        };
        failures.sort_unstable_by_key(|(place, _)| *place);
        let mut failed = Vec::new();
        for offset in 0..together {
            let place = places.as_ref().map_or(offset, |places| places[offset as usize]);
            match failures.binary_search_by_key(&place, |(place, _)| *place) {
                Ok(found) => failed.push((at(offset), failures[found].1.clone())),
                Err(_) => {
                    self.queue.resolve(at(offset), Cell::Answered(Found::new(rows.clone(), place, 1)));
                }
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => self.ask_again(failed, (asked, 1)),
        }
    }

    /// Rows of one chunk whose first attempt failed go on one by one.
    fn ask_again(
        &mut self,
        failed: Vec<(RowRef, Arc<Failure>)>,
        (asked, companions): (Instant, usize),
    ) -> Result<()> {
        let mut rows = Vec::with_capacity(failed.len());
        let mut keys = None;
        for (at, failure) in failed {
            keys = keys.or_else(|| self.queue.rows(at.seq).map(|held| held.keys.clone()));
            if let Some(ticket) = self.place(at) {
                if let Some(pending) = &mut self.pending[ticket as usize] {
                    pending.asked = Some(asked);
                }
                self.in_flight += 1;
                rows.push((at.row, ticket, failure));
            }
        }
        if let Some(keys) = keys {
            self.lookup.failed(&self.completions()?, &keys, rows, (asked, companions));
        }
        Ok(())
    }
}
