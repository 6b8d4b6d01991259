//! `table.exec.state.ttl`: which slots were not written for too long.
//!
//! Cleared lazily: a slot that is touched again after its time is emptied first, and each call sweeps a few
//! slots that nobody touches, so that idle keys go away without a timer and without a pause.

use std::time::Duration;

/// Slots that are looked at in one sweep, at most.
const SWEEP: usize = 256;

/// Not in use.
const FREE: i64 = i64::MAX;

/// When each slot was written last, in milliseconds of processing time.
#[derive(Debug)]
pub struct Expiry {
    ttl: i64,
    written: Vec<i64>,
    cursor: usize,
}

impl Expiry {
    /// `None` where state is kept for ever: no TTL, or 0.
    pub fn new(ttl: Option<Duration>) -> Option<Self> {
        let ttl = i64::try_from(ttl?.as_millis()).ok().filter(|&ms| ms > 0)?;
        Some(Self { ttl, written: Vec::new(), cursor: 0 })
    }

    /// The time to live, in milliseconds.
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// The slot is written now.
    pub fn touch(&mut self, slot: u32, now: i64) {
        let slot = slot as usize;
        if self.written.len() <= slot {
            self.written.resize(slot + 1, FREE);
        }
        self.written[slot] = now;
    }

    /// When the slot was written last; [`i64::MAX`] if it is not in use.
    pub fn written(&self, slot: u32) -> i64 {
        self.written.get(slot as usize).copied().unwrap_or(FREE)
    }

    /// Slots in use, ascending.
    pub fn slots(&self) -> Vec<u32> {
        let slots = self.written.iter().enumerate();
        slots.filter(|(_, written)| **written != FREE).map(|(slot, _)| slot as u32).collect()
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.written.capacity() * 8
    }

    /// The slot was not written for the time to live.
    pub fn is_expired(&self, slot: u32, now: i64) -> bool {
        let written = self.written(slot);
        written != FREE && now.saturating_sub(written) >= self.ttl
    }

    /// Slots that are written now. Gives those whose state is to be emptied: first of the written ones (false:
    /// the key stays), then of others (true: the key goes).
    pub fn write(&mut self, slots: &[u32], now: i64) -> Vec<(u32, bool)> {
        let mut emptied = Vec::new();
        for &slot in slots {
            if self.is_expired(slot, now) {
                emptied.push((slot, false));
            }
            self.touch(slot, now);
        }
        emptied.extend(self.sweep(now).into_iter().map(|slot| (slot, true)));
        emptied
    }

    /// The slot is not in use any more.
    pub fn forget(&mut self, slot: u32) {
        if let Some(written) = self.written.get_mut(slot as usize) {
            *written = FREE;
        }
    }

    /// Expired slots among the next few; they are forgotten.
    pub fn sweep(&mut self, now: i64) -> Vec<u32> {
        let mut expired = Vec::new();
        for _ in 0..SWEEP.min(self.written.len()) {
            self.cursor = (self.cursor + 1) % self.written.len();
            let slot = self.cursor as u32;
            if self.is_expired(slot, now) {
                self.forget(slot);
                expired.push(slot);
            }
        }
        expired
    }
}
