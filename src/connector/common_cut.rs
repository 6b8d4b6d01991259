//! One line at which all readers of a source are cut, for sources whose readers take numbers from one counter.
//!
//! ```text
//!                     line of epoch 7
//!  reader 0   0..10  20..30 │ 40..50          the first reader that the barrier reaches draws the line, at 40,
//!  reader 1  10..20  30..40 │    50..60       and goes on; the others stop there until it has reached them
//! ```
//! So what lies before a barrier is all numbers below one number, whichever reader had which, and a
//! checkpoint holds that number alone.

use std::collections::BTreeMap;

use crate::flow::Waker;

/// The readers of a source, and the lines that not all of them have passed.
#[derive(Debug, Default)]
pub(super) struct CommonCut {
    /// By task.
    readers: Vec<Place>,
    /// The next number when the epoch's first reader was cut.
    lines: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Place {
    passed: u64,
    left: bool,
    /// It was held at a line.
    held: Option<Waker>,
}

impl CommonCut {
    /// There are so many readers, made by now or not.
    pub(super) fn join(&mut self, task: usize, parallelism: usize) {
        let count = parallelism.max(task + 1).max(self.readers.len());
        self.readers.resize_with(count, Place::default);
    }

    /// Whether the reader may take what comes next. Otherwise it waits for its own cut, which wakes it.
    pub(super) fn may_take(&mut self, task: usize, waker: &Waker) -> bool {
        let Some(place) = self.readers.get_mut(task) else { return true };
        let held = self.lines.last_key_value().is_some_and(|(&epoch, _)| epoch > place.passed);
        if held {
            place.held = Some(waker.clone());
        }
        !held
    }

    /// Cuts a reader where `next` is what comes next: the number at which all are cut.
    pub(super) fn cut(&mut self, task: usize, epoch: u64, next: u64) -> u64 {
        let line = *self.lines.entry(epoch).or_insert(next);
        if let Some(place) = self.readers.get_mut(task) {
            place.passed = place.passed.max(epoch);
            if let Some(waker) = place.held.take() {
                waker.wake();
            }
        }
        self.forget();
        line
    }

    /// The reader takes no more: whether it is the last one, which says where the counter is; the others need not.
    pub(super) fn leave(&mut self, task: usize) -> bool {
        if let Some(place) = self.readers.get_mut(task) {
            place.left = true;
        }
        self.forget();
        self.readers.iter().all(|place| place.left)
    }

    fn forget(&mut self) {
        let passed = self.readers.iter().filter(|p| !p.left).map(|p| p.passed).min().unwrap_or(u64::MAX);
        self.lines.retain(|&epoch, _| epoch > passed);
    }
}
