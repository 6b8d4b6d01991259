//! Flights: one key on its way, and who waits for it.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow::array::{BinaryViewArray, RecordBatch};
use hashbrown::HashTable;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::super::answer::{Answer, Failure, FailureKind, Outcome};
use super::super::metrics::LookupMetrics;
use super::{Completions, Shared};

/// One ticket that waits for a flight.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) completions: Arc<Completions>,
    pub(super) ticket: u32,
    pub(super) deadline: Instant,
}

#[derive(Debug, Default)]
struct Inside {
    waiters: Vec<Waiter>,
    attempts: u32,
    last: Option<String>,
}

/// One key on its way.
#[derive(Debug)]
pub(super) struct Flight {
    /// The encoded key, if others may join.
    key: Option<BinaryViewArray>,
    inside: Mutex<Inside>,
}

impl Flight {
    pub(super) fn new(key: Option<BinaryViewArray>, waiter: Waiter) -> Arc<Self> {
        let inside = Inside { waiters: vec![waiter], ..Inside::default() };
        Arc::new(Self { key, inside: Mutex::new(inside) })
    }

    /// Notes an attempt that starts.
    pub(super) fn attempted(&self) {
        self.inside.lock().attempts += 1;
    }

    /// Notes how the last attempt failed, for the message of a timeout.
    pub(super) fn failed(&self, failure: &Failure) {
        self.inside.lock().last = Some(failure.message.clone());
    }

    fn deadline(&self) -> Option<Instant> {
        self.inside.lock().waiters.iter().map(|w| w.deadline).min()
    }
}

/// The flights that others may join, by key.
#[derive(Debug, Default)]
pub(super) struct Flights {
    table: Mutex<HashTable<Arc<Flight>>>,
    hasher: foldhash::fast::RandomState,
}

impl Flights {
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// Joins the flight of a key, or settles it with `settle`, or makes a new flight, which the caller
    /// starts. A flight leaves the table after its answer has gone into the cache, so that one of the
    /// three sees it.
    pub(super) fn join(
        &self,
        keys: &BinaryViewArray,
        row: usize,
        waiter: Waiter,
        settle: impl FnOnce(&Waiter) -> Option<()>,
    ) -> Option<Arc<Flight>> {
        let key = keys.value(row);
        let hash = self.hash(key);
        let mut table = self.table.lock();
        if let Some(flight) = table.find(hash, |f| f.key_bytes() == key) {
            flight.inside.lock().waiters.push(waiter);
            return None;
        }
        if settle(&waiter).is_some() {
            return None;
        }
        let flight = Flight::new(Some(keys.slice(row, 1)), waiter);
        table.insert_unique(hash, flight.clone(), |f| self.hash(f.key_bytes()));
        Some(flight)
    }

    /// Ends a flight: nobody can join any more.
    fn end(&self, flight: &Flight) -> Vec<Waiter> {
        let mut table = self.table.lock();
        if flight.key.is_some() {
            let key = flight.key_bytes();
            if let Ok(entry) = table.find_entry(self.hash(key), |f| std::ptr::eq(f.as_ref(), flight)) {
                entry.remove();
            }
        }
        std::mem::take(&mut flight.inside.lock().waiters)
    }

    /// Takes the waiters whose deadline has passed; the flight ends with the last of them. The number of
    /// those that are left comes second.
    fn expire(&self, flight: &Flight, now: Instant) -> (Vec<Waiter>, usize) {
        let mut table = self.table.lock();
        let mut inside = flight.inside.lock();
        let (expired, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inside.waiters).into_iter().partition(|w| w.deadline <= now);
        let count = left.len();
        inside.waiters = left;
        if count == 0 && flight.key.is_some() {
            // Nobody may join what is about to end.
            let hash = self.hash(flight.key_bytes());
            if let Ok(entry) = table.find_entry(hash, |f| std::ptr::eq(f.as_ref(), flight)) {
                entry.remove();
            }
        }
        (expired, count)
    }
}

impl Flight {
    fn key_bytes(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| key.value(0))
    }
}

/// Completes the waiters however the flight's task ends, be it by a panic.
struct Ending {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
}

impl Ending {
    fn complete(&self, answer: &Arc<Answer>) {
        for waiter in self.shared.flights.end(&self.flight) {
            waiter.completions.push(waiter.ticket, answer.clone());
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let waiters = self.shared.flights.end(&self.flight);
        if !waiters.is_empty() {
            let failure = Failure {
                kind: FailureKind::Other,
                message: "the lookup ended unexpectedly".into(),
                retry_after: None,
                retryable: false,
            };
            let answer = self.shared.failed(failure);
            for waiter in waiters {
                waiter.completions.push(waiter.ticket, answer.clone());
            }
        }
    }
}

/// Asks until there is an answer, all attempts are used up or nobody waits any more.
pub(super) async fn fly(
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    key: RecordBatch,
    first: Option<oneshot::Receiver<Result<RecordBatch, Failure>>>,
) {
    let ending = Ending { shared: shared.clone(), flight: flight.clone() };
    let mut work = std::pin::pin!(shared.clone().answer(&flight, key, first));
    let Some(deadline) = flight.deadline() else { return };
    let mut timer = std::pin::pin!(sleep_until(deadline));
    loop {
        tokio::select! {
            biased;
            answer = &mut work => {
                if let Some(key) = &flight.key {
                    shared.remember(key, &answer);
                }
                return ending.complete(&answer);
            }
            () = &mut timer => {
                let (expired, left) = shared.flights.expire(&flight, timer.deadline());
                shared.time_out(&flight, expired);
                match flight.deadline() {
                    Some(next) if left > 0 => timer.as_mut().reset(next),
                    _ => return,
                }
            }
        }
    }
}

impl Shared {
    fn failed(&self, failure: Failure) -> Arc<Answer> {
        let rows = self.miss.rows.clone();
        LookupMetrics::add(&self.metrics.errors, 1);
        Arc::new(Answer { outcome: Outcome::Error(failure), rows })
    }

    fn time_out(&self, flight: &Flight, expired: Vec<Waiter>) {
        if expired.is_empty() {
            return;
        }
        let (attempts, last) = {
            let inside = flight.inside.lock();
            (inside.attempts, inside.last.clone())
        };
        let mut message = format!(
            "no answer within {:?} ({attempts} attempt{})",
            self.config.timeout,
            if attempts == 1 { "" } else { "s" }
        );
        if let Some(last) = last {
            message.push_str("; the last failure: ");
            message.push_str(&last);
        }
        let failure = Failure { kind: FailureKind::Timeout, message, retry_after: None, retryable: true };
        let answer = self.failed(failure);
        for waiter in expired {
            waiter.completions.push(waiter.ticket, answer.clone());
        }
    }
}
