//! Sessions of keys: which one a moment belongs to, which ones it joins, and which are over.
//!
//! ```text
//!  gap 5     x--x-----)      x-----)          two sessions of a key
//!                       x                     a row between them that touches both:
//!            x--x-----------------)           one session; the other's state is added to it
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::out_of_range;
use crate::error::Result;

/// No session.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Session {
    start: i64,
    end: i64,
    /// The end for which the session stands in the heap; it may have grown since. `None`: not in use.
    due: Option<i64>,
    slot: u32,
    /// The next session of the key, by start.
    next: u32,
}

/// A session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub session: u32,
    pub slot: u32,
    pub start: i64,
    pub end: i64,
}

/// The sessions of keys that are given as slots. Sessions have dense numbers that are reused.
#[derive(Debug)]
pub(super) struct Sessions {
    gap: i64,
    /// First session by slot.
    first: Vec<u32>,
    sessions: Vec<Session>,
    free: Vec<u32>,
    heap: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Sessions {
    pub(super) fn new(gap: i64) -> Self {
        Self { gap, first: Vec::new(), sessions: Vec::new(), free: Vec::new(), heap: BinaryHeap::new() }
    }

    /// Makes room for slots below `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        if slots > self.first.len() {
            self.first.resize(slots, NONE);
        }
    }

    /// Numbers of sessions are below this.
    pub(super) fn capacity(&self) -> usize {
        self.sessions.len()
    }

    /// The key has no session.
    pub(super) fn is_idle(&self, slot: u32) -> bool {
        self.first[slot as usize] == NONE
    }

    /// The session of a moment, `None` if it is over by `done`. A session that became part of it is
    /// appended to `merged` as (into, from); it is released by the caller.
    pub(super) fn assign(
        &mut self,
        slot: u32,
        t: i64,
        done: i64,
        merged: &mut Vec<(u32, u32)>,
    ) -> Result<Option<u32>> {
        let end = t.checked_add(self.gap).ok_or_else(|| out_of_range(t))?;
        let (mut before, mut at) = (NONE, self.first[slot as usize]);
        // Sessions that end before this one begins; those that touch are one.
        while at != NONE && self.sessions[at as usize].end < t {
            (before, at) = (at, self.sessions[at as usize].next);
        }
        if at == NONE || self.sessions[at as usize].start > end {
            if end <= done {
                return Ok(None);
            }
            let session = Session { start: t, end, due: Some(end), slot, next: at };
            return Ok(Some(self.link(before, session)));
        }
        let mut session = self.sessions[at as usize];
        session.start = session.start.min(t);
        session.end = session.end.max(end);
        while session.next != NONE && self.sessions[session.next as usize].start <= session.end {
            let from = session.next;
            let other = &mut self.sessions[from as usize];
            session.end = session.end.max(other.end);
            session.next = other.next;
            // The entry in the heap that comes first stands for both.
            session.due = session.due.min(other.due.take());
            merged.push((at, from));
        }
        self.sessions[at as usize] = session;
        Ok(Some(at))
    }

    /// A session that begins and ends when it did in an earlier run; its number.
    pub(super) fn insert(&mut self, slot: u32, start: i64, end: i64) -> u32 {
        let (mut before, mut at) = (NONE, self.first[slot as usize]);
        while at != NONE && self.sessions[at as usize].start < start {
            (before, at) = (at, self.sessions[at as usize].next);
        }
        self.link(before, Session { start, end, due: Some(end), slot, next: at })
    }

    /// Puts a new session behind another one of its key, or at the front; its number.
    fn link(&mut self, before: u32, session: Session) -> u32 {
        let number = self.free.pop().unwrap_or(self.sessions.len() as u32);
        match self.sessions.get_mut(number as usize) {
            Some(place) => *place = session,
            None => self.sessions.push(session),
        }
        match before {
            NONE => self.first[session.slot as usize] = number,
            before => self.sessions[before as usize].next = number,
        }
        self.heap.push(Reverse((session.end, number)));
        number
    }

    /// Numbers of the sessions that are open, ascending.
    pub(super) fn open(&self) -> Vec<u32> {
        let numbers = 0..self.sessions.len() as u32;
        numbers.filter(|&n| self.sessions[n as usize].due.is_some()).collect()
    }

    /// The slot of a session's key, its start and its end so far.
    pub(super) fn get(&self, session: u32) -> (u32, i64, i64) {
        let Session { slot, start, end, .. } = self.sessions[session as usize];
        (slot, start, end)
    }

    /// Lets the number of a session be used again.
    pub(super) fn release(&mut self, session: u32) {
        self.sessions[session as usize].due = None;
        self.free.push(session);
    }

    /// The end of a session that may be over next; it may have grown since.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.heap.peek().map(|entry| entry.0.0)
    }

    /// Takes the sessions that end at `done` or before, by end; their numbers are still to be released.
    pub(super) fn over(&mut self, done: i64) -> Vec<Over> {
        let mut over = Vec::new();
        while let Some(&Reverse((due, number))) = self.heap.peek() {
            if due > done {
                break;
            }
            self.heap.pop();
            let Session { start, end, due: current, slot, next } = self.sessions[number as usize];
            if current != Some(due) {
                continue;
            }
            if end > done {
                self.sessions[number as usize].due = Some(end);
                self.heap.push(Reverse((end, number)));
                continue;
            }
            self.sessions[number as usize].due = None;
            let mut at = self.first[slot as usize];
            if at == number {
                self.first[slot as usize] = next;
            } else {
                while at != NONE && self.sessions[at as usize].next != number {
                    at = self.sessions[at as usize].next;
                }
                if at != NONE {
                    self.sessions[at as usize].next = next;
                }
            }
            over.push(Over { session: number, slot, start, end });
        }
        over.sort_unstable_by_key(|o| (o.end, o.start, o.slot));
        over
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.first.capacity() * 4
            + self.sessions.capacity() * size_of::<Session>()
            + self.free.capacity() * 4
            + self.heap.capacity() * size_of::<(i64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any order of the rows gives the sessions of the sorted rows.
        #[test]
        fn order_does_not_matter(rows in prop::collection::vec((0u32..4, -200i64..200), 1..60), gap in 1i64..30) {
            let mut sessions = Sessions::new(gap);
            sessions.resize(4);
            let mut members: Vec<Vec<i64>> = Vec::new();
            for &(slot, t) in &rows {
                let mut merged = Vec::new();
                let number = sessions.assign(slot, t, i64::MIN, &mut merged).unwrap().unwrap();
                members.resize(sessions.capacity().max(members.len()), Vec::new());
                members[number as usize].push(t);
                for (into, from) in merged {
                    let moved = std::mem::take(&mut members[from as usize]);
                    members[into as usize].extend(moved);
                    sessions.release(from);
                }
            }
            let mut found = Vec::new();
            for bound in [-50, 0, 40, i64::MAX] {
                for over in sessions.over(bound) {
                    prop_assert!(over.end <= bound);
                    let mut ts = std::mem::take(&mut members[over.session as usize]);
                    ts.sort_unstable();
                    prop_assert_eq!((ts[0], ts[ts.len() - 1] + gap), (over.start, over.end));
                    found.push((over.slot, ts));
                    sessions.release(over.session);
                }
                prop_assert!(sessions.next_due().is_none_or(|due| due > bound));
            }
            found.sort();
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            let mut expected: Vec<(u32, Vec<i64>)> = Vec::new();
            for (slot, t) in sorted {
                match expected.last_mut() {
                    Some((s, ts)) if *s == slot && t - ts[ts.len() - 1] <= gap => ts.push(t),
                    _ => expected.push((slot, vec![t])),
                }
            }
            expected.sort();
            prop_assert_eq!(found, expected);
            prop_assert!((0..4).all(|slot| sessions.is_idle(slot)));
        }
    }
}
