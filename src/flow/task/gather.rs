//! `execution.buffer-timeout`: rows of a source that never ends gather for a moment.
//!
//! ```text
//!  rows come     │││  │ │││ │  ││ ││  │        a row after a pause goes at once,
//!  task reads    ▲        ▲         ▲          what follows it when the time since then is over
//!                └─ 1 ms ─┴─ 1 ms ──┘
//! ```
//! A thread that wakes for every few rows pays more for waking than for the rows. So a head that has handed rows over
//! and has no more is read again no earlier than the time-out after that, and what wakes it before does not wake the
//! thread. A source that has more at hand is read on at once, as is one that hurries because it has no room left, or
//! that has to be read up to a barrier.
//!
//! Readers that know when their next rows come say so ([`Reader::deadline`](crate::flow::source::Reader::deadline)),
//! and the thread itself waits until then.

use std::time::{Duration, Instant};

use super::{HEADS, HeadState, Task};
use crate::clock::instant;

/// When a head is read next.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// How long rows gather; zero: not at all.
    timeout: Duration,
    /// Rows that come gather until then.
    until: Option<Instant>,
    /// Rows have come.
    waits: bool,
    /// When the reader wants to be asked again.
    due: Option<Instant>,
}

impl Gather {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, ..Self::default() }
    }

    /// Rows were handed over.
    pub(super) fn handed(&mut self, now: Instant) {
        if !self.timeout.is_zero() {
            self.until = now.checked_add(self.timeout);
        }
    }

    /// The reader has nothing.
    pub(super) fn pending(&mut self, due: Option<Instant>) {
        self.due = due;
    }

    /// Rows gather still.
    fn is_open(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    /// When it is read, if nothing else happens.
    fn next(&self) -> Option<Instant> {
        let gathered = self.until.filter(|_| self.waits);
        gathered.into_iter().chain(self.due).min()
    }
}

impl HeadState {
    /// It was woken.
    pub(super) fn woken(&mut self, hurries: bool) {
        if self.readable || hurries || self.gather.until.is_none() {
            self.readable = true;
        } else {
            self.gather.waits = true;
        }
    }

    /// Rows that come to it gather.
    fn gathers(&self, now: Instant) -> bool {
        self.gather.is_open(now) && self.cutting.is_none() && !self.readable && !self.is_done()
    }
}

impl Task {
    /// Heads whose rows have gathered, or whose time has come, can be read. When the next can.
    pub(super) fn gathered(&mut self) -> Option<Instant> {
        let mut now = None;
        let mut first: Option<Instant> = None;
        for head in &mut self.heads {
            let Gather { waits, due, .. } = head.gather;
            if !waits && due.is_none() {
                continue;
            }
            let now = *now.get_or_insert_with(instant);
            let urgent = head.cutting.is_some() || !head.gather.is_open(now);
            if head.readable || (waits && urgent) || due.is_some_and(|due| due <= now) {
                head.readable = true;
                head.gather.waits = false;
                head.gather.due = None;
            } else if let Some(next) = head.gather.next() {
                first = Some(first.map_or(next, |first| first.min(next)));
            }
        }
        first
    }

    /// Tokens that need not wake the thread, and until when.
    pub(super) fn quiet(&self, now: Instant) -> Option<(Vec<usize>, Instant)> {
        let until = self.heads.iter().filter(|head| head.gathers(now)).filter_map(|head| head.gather.until);
        let until = until.min()?;
        let quiet = self.heads.iter().enumerate().filter(|(_, head)| head.gathers(now));
        Some((quiet.map(|(index, _)| HEADS + index).collect(), until))
    }
}
