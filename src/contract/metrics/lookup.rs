//! Counters of one lookup, shared by all tasks and read by what shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Counters of one lookup table in one job.
#[derive(Debug)]
pub struct LookupMetrics {
    /// Rows whose key was in the cache.
    pub hits: AtomicU64,
    /// Rows whose key was not in the cache (every row, without a cache).
    pub misses: AtomicU64,
    /// Attempts sent to the other side.
    pub calls: AtomicU64,
    /// Keys in these attempts.
    pub keys: AtomicU64,
    /// Answers from the cache after their lifetime.
    pub stale: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Keys whose attempts were all used up.
    pub errors: AtomicU64,
    /// Keys the other side has nothing for.
    pub not_found: AtomicU64,
    /// Attempts in flight now.
    pub in_flight: AtomicU64,
    /// Keys in the cache now.
    pub cached: AtomicU64,
    /// Bytes of keys and rows in the cache now, about.
    pub cached_bytes: AtomicU64,
    /// Keys that had to leave the cache for others, since it was made.
    pub evictions: AtomicU64,
    /// Rows that went to the table of dead letters.
    pub dead_letters: AtomicU64,
    /// Requests that were sent a second time because the first was slow.
    pub hedged: AtomicU64,
    /// Keys that were not sent, because the circuit breaker left the service alone.
    pub refused: AtomicU64,
    /// Loads of a FULL cache, and those that failed.
    pub loads: AtomicU64,
    /// Loads of a FULL cache that failed; the old copy was kept.
    pub load_failures: AtomicU64,
    latency: Mutex<hdrhistogram::Histogram<u64>>,
}

impl Default for LookupMetrics {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            hits: zero(),
            misses: zero(),
            calls: zero(),
            keys: zero(),
            stale: zero(),
            retries: zero(),
            failures: zero(),
            errors: zero(),
            not_found: zero(),
            in_flight: zero(),
            cached: zero(),
            cached_bytes: zero(),
            evictions: zero(),
            dead_letters: zero(),
            hedged: zero(),
            refused: zero(),
            loads: zero(),
            load_failures: zero(),
            latency: Mutex::new(micros_histogram()),
        }
    }
}

/// A histogram of microseconds up to ten minutes, within one percent.
#[expect(clippy::expect_used, reason = "constant bounds that the histogram accepts")]
pub(crate) fn micros_histogram() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, 600_000_000, 2).expect("constant bounds")
}

impl LookupMetrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Notes how long one attempt took, in microseconds.
    pub fn record_latency(&self, micros: u64) {
        self.latency.lock().saturating_record(micros.max(1));
    }

    /// Latency of attempts at a quantile from 0 to 1, in microseconds; 0 before the first.
    pub fn latency_micros(&self, quantile: f64) -> u64 {
        self.latency.lock().value_at_quantile(quantile)
    }

    /// How long attempts took so far, in microseconds.
    pub fn latencies(&self) -> hdrhistogram::Histogram<u64> {
        self.latency.lock().clone()
    }

    /// Hits per row asked for, from 0 to 1; `None` before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        let (hits, misses) = (Self::get(&self.hits), Self::get(&self.misses));
        (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
    }
}
