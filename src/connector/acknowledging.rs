//! Sources that have no positions: the sender gets an answer when its record is safe.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What is to be acknowledged once it is safe: when the checkpoint behind it is durable; at once, without checkpoints.
pub(super) struct Acknowledging<T>(Mutex<Unsafe<T>>);

struct Unsafe<T> {
    /// Since the last cut.
    passed: Vec<T>,
    /// By the checkpoint that holds them.
    cut: BTreeMap<u64, Vec<T>>,
    newest: u64,
}

impl<T> Default for Acknowledging<T> {
    fn default() -> Self {
        Self(Mutex::new(Unsafe { passed: Vec::new(), cut: BTreeMap::new(), newest: 0 }))
    }
}

impl<T> Acknowledging<T> {
    /// They have become rows.
    pub(super) fn passed(&self, what: impl IntoIterator<Item = T>) {
        self.0.lock().passed.extend(what);
    }

    /// A barrier follows them.
    pub(super) fn cut(&self, epoch: u64) {
        let mut state = self.0.lock();
        state.newest = epoch;
        let passed = std::mem::take(&mut state.passed);
        if !passed.is_empty() {
            state.cut.entry(epoch).or_default().extend(passed);
        }
    }

    /// No barrier follows: they belong to the next checkpoint, whichever that is.
    pub(super) fn leave(&self) {
        let next = self.0.lock().newest.saturating_add(1);
        self.cut(next);
    }

    /// What is safe, now that a checkpoint is.
    pub(super) fn durable(&self, epoch: u64) -> Vec<T> {
        let mut state = self.0.lock();
        let later = match epoch.checked_add(1) {
            Some(next) => state.cut.split_off(&next),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut state.cut, later).into_values().flatten().collect()
    }

    /// A job that comes back gets them anew.
    pub(super) fn clear(&self) {
        let mut state = self.0.lock();
        state.passed.clear();
        state.cut.clear();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        let state = self.0.lock();
        state.passed.len() + state.cut.values().map(Vec::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_acknowledged_when_their_checkpoint_is_durable() {
        let all = Acknowledging::default();
        all.passed([1, 2]);
        all.cut(7);
        all.passed([3]);
        all.cut(8);
        all.passed([4]);
        assert_eq!((all.len(), all.durable(6)), (4, vec![]));
        assert_eq!((all.durable(8), all.len()), (vec![1, 2, 3], 1));
        all.leave();
        assert_eq!(all.durable(8), Vec::<i32>::new());
        assert_eq!(all.durable(11), [4]);
    }
}
