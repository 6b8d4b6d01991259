//! Time is injected: everything that asks for the time asks a [`Clock`].

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Source of processing time.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_millis(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => d.as_millis() as i64,
            Err(e) => -(e.duration().as_millis() as i64),
        }
    }
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `millis`.
    pub fn new(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }
    /// Moves the clock.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

thread_local! {
    static MOCKED: Cell<bool> = const { Cell::new(false) };
}

/// The instant that deadlines of operators are measured by: the machine's, or that of the paused runtime which a thread
/// of `affluent test` has entered.
pub fn instant() -> Instant {
    match MOCKED.get() {
        true => tokio::time::Instant::now().into_std(),
        false => Instant::now(),
    }
}

/// From now on, until the guard is dropped, [`instant`] on this thread is that of the runtime that it has entered.
pub(crate) struct Mocked(());

impl Mocked {
    pub(crate) fn begin() -> Self {
        MOCKED.set(true);
        Self(())
    }
}

impl Drop for Mocked {
    fn drop(&mut self) {
        MOCKED.set(false);
    }
}

/// Processing time of a paused runtime: it moves when the runtime has nothing left to do but to wait.
#[derive(Debug)]
pub(crate) struct PausedClock {
    begun: tokio::time::Instant,
    start_millis: i64,
    /// For threads without the runtime.
    seen: AtomicI64,
}

impl PausedClock {
    /// A clock that shows `start_millis` now, in the runtime that this thread has entered.
    pub(crate) fn new(start_millis: i64) -> Arc<Self> {
        let begun = tokio::time::Instant::now();
        Arc::new(Self { begun, start_millis, seen: AtomicI64::new(start_millis) })
    }
}

impl Clock for PausedClock {
    fn now_millis(&self) -> i64 {
        if tokio::runtime::Handle::try_current().is_err() {
            return self.seen.load(Ordering::SeqCst);
        }
        let passed = self.begun.elapsed().as_millis();
        let now = self.start_millis.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        self.seen.store(now, Ordering::SeqCst);
        now
    }
}
