//! Idle state retention: `table.exec.state.ttl`.
//!
//! What has not been touched for so long counts as gone. Nothing ticks: it is noticed when it is asked for, and
//! each chunk sweeps a few slots more, so that the memory of what nobody asks for comes free as well.

use std::time::Duration;

/// Slots that are looked at when a chunk comes.
const SWEEP: usize = 128;

/// When slots were touched last.
#[derive(Debug)]
pub(super) struct Retention {
    ttl: i64,
    touched: Vec<i64>,
    cursor: usize,
}

impl Retention {
    /// `None` where state is kept for ever.
    pub(super) fn new(ttl: Option<Duration>) -> Option<Self> {
        let ttl = ttl.filter(|t| !t.is_zero())?;
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        Some(Self { ttl, touched: Vec::new(), cursor: 0 })
    }

    /// Notes that a slot is in use at `now`.
    pub(super) fn touch(&mut self, slot: u32, now: i64) {
        if self.touched.len() <= slot as usize {
            self.touched.resize(slot as usize + 1, now);
        }
        self.touched[slot as usize] = now;
    }

    /// Whether a slot has not been touched for too long. Also of slots that are not in use.
    pub(super) fn expired(&self, slot: u32, now: i64) -> bool {
        self.touched.get(slot as usize).is_some_and(|t| now.saturating_sub(*t) >= self.ttl)
    }

    /// Some slots that are expired; others the next time.
    pub(super) fn sweep(&mut self, now: i64) -> Vec<u32> {
        let slots = self.touched.len();
        let mut found = Vec::new();
        for _ in 0..SWEEP.min(slots) {
            self.cursor = (self.cursor + 1) % slots;
            if self.expired(self.cursor as u32, now) {
                found.push(self.cursor as u32);
            }
        }
        found
    }
}
