//! When partitions of interval frames are forgotten, as Flink does it.
//!
//! ```text
//!  a row of time t comes:   timer at t + 1.5 intervals, unless one is planned behind t + 1 interval
//!  the watermark passes a timer:   the last one that was planned: nothing of the partition is known any more
//!                                  another one: rows up to its moment are late from now on
//! ```
//! So a row behind the watermark is taken as long as it can see all that it has to see, and never twice differently:
//! which rows those are depends on the times of the rows of its partition and on the watermark, on nothing else.

use std::collections::{BTreeMap, VecDeque};

/// Timers by slot.
#[derive(Debug)]
pub(super) struct Timers {
    range: i64,
    /// Those that have not gone off, ascending. The last one counts.
    planned: Vec<VecDeque<i64>>,
    /// Slots by their next timer.
    next: BTreeMap<i64, Vec<u32>>,
}

impl Timers {
    pub(super) fn new(range: i64) -> Self {
        Self { range, planned: Vec::new(), next: BTreeMap::new() }
    }

    /// Makes room for slots below this.
    pub(super) fn resize(&mut self, slots: usize) {
        self.planned.resize_with(slots, VecDeque::new);
    }

    /// A row of this time came; whether a timer was planned for it.
    pub(super) fn plan(&mut self, slot: u32, time: i64) -> bool {
        let needed = time.saturating_add(self.range).saturating_add(1);
        let planned = &self.planned[slot as usize];
        if planned.back().is_some_and(|&last| last >= needed) {
            return false;
        }
        self.put(slot, idle_from(time, self.range));
        true
    }

    /// Adds a timer behind those there are.
    pub(super) fn put(&mut self, slot: u32, moment: i64) {
        let planned = &mut self.planned[slot as usize];
        if planned.is_empty() {
            self.next.entry(moment).or_default().push(slot);
        }
        planned.push_back(moment);
    }

    /// The timers of a slot.
    pub(super) fn of(&self, slot: u32) -> impl Iterator<Item = i64> + '_ {
        self.planned[slot as usize].iter().copied()
    }

    /// A slot with timers up to the watermark, which are gone now: the latest of them; `None` where that was the last.
    pub(super) fn next(&mut self, watermark: i64) -> Option<(u32, Option<i64>)> {
        let mut entry = self.next.first_entry().filter(|entry| *entry.key() <= watermark)?;
        let slot = entry.get_mut().pop();
        if entry.get().is_empty() {
            entry.remove();
        }
        let slot = slot?;
        let planned = &mut self.planned[slot as usize];
        let gone = planned.partition_point(|&moment| moment <= watermark);
        let latest = planned.drain(..gone).next_back();
        match planned.front() {
            Some(&next) => {
                self.next.entry(next).or_default().push(slot);
                Some((slot, latest))
            }
            None => Some((slot, None)),
        }
    }

    /// No slot has a timer.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        // A slot has one or two, in an allocation of four.
        self.planned.capacity() * size_of::<VecDeque<i64>>() + self.planned.len() * 4 * size_of::<i64>()
    }
}

/// When a partition whose last row has this time has nothing that a row to come can see. Half an interval later:
/// not each row needs a timer then.
pub(super) fn idle_from(last: i64, range: i64) -> i64 {
    last.saturating_add(range.saturating_add(range / 2)).saturating_add(1)
}
