//! `affluent.lookup.memory-limit`: the bytes that answers in flight may take in this process.
//!
//! A request that reads its answer reserves the bytes as they come, and keeps them reserved until its rows are
//! emitted. When the budget is used up, readers wait, and their connections with them: that is the back-pressure.
//! The oldest request of all never waits. Whatever is held back for the sake of order is held back for it or for
//! one that is older, so that it always goes on, and the budget is exceeded by one answer at most.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Debug)]
struct State {
    limit: usize,
    used: usize,
    /// Ages of what is reserved.
    ages: BTreeSet<u64>,
}

/// The budget of a process.
#[derive(Debug)]
struct Budget {
    state: Mutex<State>,
    changed: Notify,
}

static BUDGET: LazyLock<Arc<Budget>> = LazyLock::new(|| Budget::new(crate::config::LOOKUP_MEMORY));
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

tokio::task_local! {
    static CURRENT: Arc<Reservation>;
}

/// Sets the limit for the process.
pub(crate) fn set_limit(bytes: usize) {
    BUDGET.state.lock().limit = bytes;
    BUDGET.changed.notify_waiters();
}

/// The age of the next request; smaller is older.
pub(super) fn next_age() -> u64 {
    SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

/// Bytes that the answer of one request takes.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    age: u64,
    bytes: Mutex<usize>,
}

impl Budget {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { limit, used: 0, ages: BTreeSet::new() }),
            changed: Notify::new(),
        })
    }

    fn reserve(self: &Arc<Self>, age: u64) -> Arc<Reservation> {
        self.state.lock().ages.insert(age);
        Arc::new(Reservation { budget: self.clone(), age, bytes: Mutex::new(0) })
    }
}

impl Reservation {
    /// Nothing yet, for a request of this age.
    pub(super) fn new(age: u64) -> Arc<Self> {
        BUDGET.reserve(age)
    }

    /// Runs a request with this as what [`grow`] adds to.
    pub(super) async fn scope<T>(self: Arc<Self>, request: impl Future<Output = T>) -> T {
        CURRENT.scope(self, request).await
    }

    async fn grow(&self, bytes: usize) {
        loop {
            let mut changed = std::pin::pin!(self.budget.changed.notified());
            // Before the look, so that what changes after it is noticed.
            changed.as_mut().enable();
            {
                let mut state = self.budget.state.lock();
                if state.used + bytes <= state.limit || state.ages.first() == Some(&self.age) {
                    state.used += bytes;
                    *self.bytes.lock() += bytes;
                    return;
                }
            }
            changed.await;
        }
    }

    /// The answer takes so many bytes from now on.
    pub(super) fn settle(&self, bytes: usize) {
        let before = std::mem::replace(&mut *self.bytes.lock(), bytes);
        let mut state = self.budget.state.lock();
        state.used = state.used.saturating_sub(before) + bytes;
        drop(state);
        if bytes < before {
            self.budget.changed.notify_waiters();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let bytes = *self.bytes.lock();
        let mut state = self.budget.state.lock();
        state.used = state.used.saturating_sub(bytes);
        let oldest = state.ages.first() == Some(&self.age);
        state.ages.remove(&self.age);
        drop(state);
        if oldest || bytes > 0 {
            self.budget.changed.notify_waiters();
        }
    }
}

/// Reserves bytes for the request that runs; waits while the budget is used up.
pub(super) async fn grow(bytes: usize) {
    // Outside of a lookup, in a load for example, nothing is counted.
    if let Ok(current) = CURRENT.try_with(Arc::clone) {
        current.grow(bytes).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_goes_on_and_the_others_wait_for_room() {
        let budget = Budget::new(100);
        let (old, young) = (budget.reserve(1), budget.reserve(2));
        assert!(young.grow(90).now_or_never().is_some());
        {
            let mut waits = Box::pin(young.grow(20));
            assert!(waits.as_mut().now_or_never().is_none());
            assert!(old.grow(500).now_or_never().is_some());
            assert!(waits.as_mut().now_or_never().is_none());
            drop(old);
            assert!(waits.as_mut().now_or_never().is_some());
        }
        young.settle(5);
        assert_eq!(budget.state.lock().used, 5);
        drop(young);
        let state = budget.state.lock();
        assert_eq!((state.used, state.ages.len()), (0, 0));
    }
}
