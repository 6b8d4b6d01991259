//! How the rows of a batch stand to each other: partitions, peers, and which may be computed at once.
//!
//! ```text
//!  row        0  1  2  3  4          runs     a: 0 2 4    b: 1 3
//!  partition  a  b  a  b  a          rounds   0: rows 0 1    1: rows 2 3    2: row 4
//! ```
//! A round holds at most one unit (a row, or the peers of one instant) of each partition: all partitions are
//! computed together, one unit after the other.

use std::ops::Range;

/// The rows of a partition in a batch, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) slot: u32,
    pub(super) rows: &'a [u32],
}

/// The arrangement of one batch.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Rows by partition.
    by_slot: Vec<u32>,
    runs: Vec<(u32, Range<usize>)>,
    /// Per row, which of the units of its partition it belongs to.
    unit: Vec<u32>,
    /// Per row, which instant of its partition it belongs to.
    instant: Vec<u32>,
    rounds: usize,
    peers: bool,
    /// Scratch by slot: index of its run, [`NONE`] outside of a call.
    run_of: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Layout {
    /// `peers`: rows of one instant are one unit. `by_time`: rows of one time are one instant.
    pub(super) fn arrange(
        &mut self,
        slots: &[u32],
        times: &[i64],
        peers: bool,
        by_time: bool,
        capacity: usize,
    ) {
        self.peers = peers;
        self.run_of.resize(capacity, NONE);
        self.runs.clear();
        let mut counts: Vec<usize> = Vec::new();
        for &slot in slots {
            let run = &mut self.run_of[slot as usize];
            if *run == NONE {
                *run = counts.len() as u32;
                counts.push(0);
                self.runs.push((slot, 0..0));
            }
            counts[*run as usize] += 1;
        }
        let mut start = 0;
        for (run, count) in self.runs.iter_mut().zip(&counts) {
            run.1 = start..start;
            start += count;
        }
        self.by_slot.clear();
        self.by_slot.resize(slots.len(), 0);
        self.unit.clear();
        self.unit.resize(slots.len(), 0);
        self.instant.clear();
        self.instant.resize(slots.len(), 0);
        self.rounds = 0;
        for (row, &slot) in slots.iter().enumerate() {
            let range = &mut self.runs[self.run_of[slot as usize] as usize].1;
            if let Some(&before) = self.by_slot[range.clone()].last() {
                let before = before as usize;
                let same = times[before] == times[row];
                self.instant[row] = self.instant[before] + u32::from(!(same && by_time));
                self.unit[row] = self.unit[before] + u32::from(!(same && peers));
            }
            self.rounds = self.rounds.max(self.unit[row] as usize + 1);
            self.by_slot[range.end] = row as u32;
            range.end += 1;
        }
        for (slot, _) in &self.runs {
            self.run_of[*slot as usize] = NONE;
        }
    }

    /// The partitions of the batch, by first row.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.runs.iter().map(|(slot, range)| Run { slot: *slot, rows: &self.by_slot[range.clone()] })
    }

    /// Number of the row's instant in its run.
    pub(super) fn instant_of(&self, row: usize) -> u32 {
        self.instant[row]
    }

    /// Number of the row's unit in its run: the round in which it is computed.
    pub(super) fn unit_of(&self, row: usize) -> u32 {
        self.unit[row]
    }

    /// Rows of one instant are one unit.
    pub(super) fn has_peers(&self) -> bool {
        self.peers
    }

    /// Rows by round, in order, and where each round begins (and the last one ends).
    pub(super) fn by_round(&self) -> (Vec<u32>, Vec<usize>) {
        let mut starts = vec![0; self.rounds + 1];
        for &unit in &self.unit {
            starts[unit as usize + 1] += 1;
        }
        for round in 0..self.rounds {
            starts[round + 1] += starts[round];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; self.unit.len()];
        for (row, &unit) in self.unit.iter().enumerate() {
            rows[next[unit as usize]] = row as u32;
            next[unit as usize] += 1;
        }
        (rows, starts)
    }
}
