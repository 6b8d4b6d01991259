//! The client of one lookup table in one job, shared by all of its tasks.
//!
//! A task hands over keys with tickets; each ticket is completed exactly once, in the task's
//! [`Completions`], with an answer or with the reason why there is none:
//!
//! ```text
//!   ask(keys, tickets) ──> flights ── workers: request, back-off, request ... ──> cache, completions
//!                             │ deadline of a waiter: completed with a timeout; of the last: cancelled
//! ```
//! - **With a cache, a key is in flight once**, however many rows and tasks wait for it. Without one,
//!   every row makes its own call: that is what the strategies SYNC and ASYNC are measured for.
//! - **Batching is greedy**: a worker that may send a request takes all keys that wait, up to the batch size
//!   of the backend or table. Nothing waits to be joined by others unless `lookup.batch.max-wait` says so.
//!   A request that fails is tried again whole, then split until the key that is to blame is alone.
//! - How many requests are in flight is the backend's and the [endpoint's](super::endpoint) to say.
//! - A deadline runs from the moment a row is handed over and cuts everything. It is this client that
//!   enforces it, so that a backend that hangs cannot keep a row's place for ever.
//! - When the [`Lookup`] is dropped, everything in flight is cancelled.

mod flight;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::flight::{Flights, Waiter};
use super::answer::{Answer, Failure, Outcome};
use super::backend::{Backend, LookupRequest};
use super::budget;
use super::cache::{Cache, Known, Limits, Probe};
use super::config::{CacheConfig, LookupConfig};
use super::endpoint::Endpoint;
use super::errors::Errors;
use super::full::FullCache;
use super::keys::{KeyColumns, KeyEncoder};
use super::metadata::Facts;
use super::metrics::LookupMetrics;
use super::retry::Backoff;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::Waker;

/// Rows that a merge may copy on a thread of the runtime; larger ones go to a blocking thread.
const INLINE_UPKEEP: usize = 4096;

/// Keys after which it is said that none of them was found: so many, or at the end of the job, a few.
const MANY: u64 = 100;
const FEW: u64 = 5;

/// Answers for one task, in order of arrival.
#[derive(Debug)]
pub struct Completions {
    queue: Mutex<Vec<(u32, Answer)>>,
    waker: Waker,
}

impl Completions {
    /// An empty queue that wakes with `waker`.
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker })
    }

    /// Takes all that has arrived.
    pub fn take(&self) -> Vec<(u32, Answer)> {
        std::mem::take(&mut *self.queue.lock())
    }

    /// Completes a ticket. The task is woken when the queue was empty: otherwise it was woken already and
    /// has not looked yet.
    fn push(&self, ticket: u32, answer: Answer) {
        let mut queue = self.queue.lock();
        let first = queue.is_empty();
        queue.push((ticket, answer));
        drop(queue);
        if first {
            self.wake();
        }
    }

    /// Wakes the task without an answer.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}

/// What stands between the rows and the backend.
#[derive(Debug)]
enum Front {
    None,
    Partial(Arc<Cache>),
    Full(Arc<FullCache>),
}

/// What workers share; alive until the last of them is gone.
struct Shared {
    name: String,
    request: LookupRequest,
    key_schema: SchemaRef,
    row_schema: SchemaRef,
    backend: Arc<dyn Backend>,
    config: LookupConfig,
    max_keys: usize,
    max_requests: usize,
    endpoint: Arc<Endpoint>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    metrics: Arc<LookupMetrics>,
    backoff: Backoff,
    front: Front,
    flights: Mutex<Flights>,
    /// Notified when a timer is due before those that are known.
    alarm: Notify,
    /// Notified when a request is full.
    full: Notify,
    errors: Errors,
    /// The answer for a key without rows, where metadata is not read.
    miss: Answer,
    /// Keys that had an answer.
    answered: AtomicU64,
    /// `None` once the lookup is gone.
    work: Mutex<Option<JoinSet<()>>>,
}

/// A lookup table of a job: asks, caches, retries.
pub struct Lookup {
    shared: Arc<Shared>,
    encoder: KeyEncoder,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = &self.shared;
        f.debug_struct("Lookup").field("name", &shared.name).field("config", &shared.config).finish()
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // Dropping the set cancels what is in it.
        let work = self.shared.work.lock().take();
        drop(work);
        let answered = self.shared.answered.load(Ordering::Relaxed);
        if (FEW..MANY).contains(&answered) {
            self.shared.warn_of_misses(answered);
        }
    }
}

impl Lookup {
    /// A lookup that was planned. `name` is the table's, or its alias, for messages.
    pub fn new(
        name: String,
        request: LookupRequest,
        backend: Arc<dyn Backend>,
        config: LookupConfig,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        Self::with_backoff(name, request, backend, config, runtime, clock, Backoff::default())
    }

    /// The same with given delays between attempts.
    pub fn with_backoff(
        name: String,
        request: LookupRequest,
        backend: Arc<dyn Backend>,
        config: LookupConfig,
        runtime: Handle,
        clock: Arc<dyn Clock>,
        backoff: Backoff,
    ) -> Result<Arc<Self>> {
        let key_schema = request.key_schema()?;
        let metrics: Arc<LookupMetrics> = Arc::default();
        let front = match &config.cache {
            CacheConfig::Full(_) if !backend.can_load() => {
                return Err(Error::unsupported(format!(
                    "lookup table '{name}': this connector has no 'lookup.cache' = 'FULL'"
                ))
                .with_hint("use 'PARTIAL', which keeps the keys that were asked for"));
            }
            CacheConfig::Full(reload) => Front::Full(FullCache::new(
                name.clone(),
                &request,
                reload.clone(),
                clock.clone(),
                metrics.clone(),
            )?),
            _ if !backend.can_lookup() => {
                return Err(Error::unsupported(format!(
                    "lookup table '{name}': this connector can only be loaded whole"
                ))
                .with_hint("set 'lookup.cache' = 'FULL'"));
            }
            CacheConfig::None => Front::None,
            CacheConfig::Partial(partial) => {
                Front::Partial(Arc::new(Cache::new(request.row_schema(), Limits::of(partial), clock.clone())))
            }
        };
        let encoder = match request.null_keys {
            true => KeyEncoder::with_nulls(&key_schema)?,
            false => KeyEncoder::new(&key_schema)?,
        };
        let row_schema = request.row_schema();
        let miss = Answer {
            outcome: Outcome::Miss,
            rows: Arc::new(RecordBatch::new_empty(row_schema.clone())),
            first: 0,
            count: 0,
            reserved: None,
        };
        let mut limits = config.limits.clone();
        let endpoint = match backend.endpoint() {
            Some(service) => {
                limits.max_in_flight = limits.max_in_flight.or(service.max_in_flight);
                Endpoint::shared(&service.name, limits)
            }
            None => {
                // Without a service that can be named, its own limits hold for this lookup alone.
                limits.max_in_flight = limits.max_in_flight.or(Some(usize::MAX));
                Endpoint::new(&name, limits)
            }
        };
        let max_keys = config.batch_max.unwrap_or(usize::MAX).min(backend.max_keys()).max(1);
        let max_requests = backend.max_requests().unwrap_or(usize::MAX).max(1);
        let shared = Arc::new(Shared {
            name,
            key_schema,
            row_schema,
            backend,
            max_keys,
            max_requests,
            endpoint,
            runtime,
            clock,
            metrics,
            backoff,
            front,
            flights: Mutex::default(),
            alarm: Notify::new(),
            full: Notify::new(),
            errors: Errors::new(config.error_ttl),
            miss,
            answered: AtomicU64::new(0),
            work: Mutex::new(Some(JoinSet::new())),
            request,
            config,
        });
        if !matches!(shared.front, Front::Full(_)) {
            let timers = shared.clone();
            shared.spawn(async move { timers.run_timers().await });
        }
        Ok(Arc::new(Self { shared, encoder }))
    }

    /// The table's name or alias.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What is looked up.
    pub fn request(&self) -> &LookupRequest {
        &self.shared.request
    }

    /// How.
    pub fn config(&self) -> &LookupConfig {
        &self.shared.config
    }

    /// Rows in flight per task: the capacity, or a few batches if they are larger and it was not set.
    pub fn capacity(&self) -> usize {
        let config = &self.shared.config;
        match self.shared.max_keys {
            _ if !config.is_async => 1,
            keys if keys > 1 && !config.capacity_given => {
                config.capacity.max(keys.saturating_mul(4)).min(1 << 16)
            }
            _ => config.capacity.max(1),
        }
    }

    /// Counters.
    pub fn metrics(&self) -> Arc<LookupMetrics> {
        self.shared.metrics.clone()
    }

    /// What is asked, for EXPLAIN and messages.
    pub fn describe(&self) -> String {
        self.shared.backend.describe()
    }

    /// Encodes keys.
    pub fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// Whether a key is asked for once, however many rows wait for it.
    pub fn is_cached(&self) -> bool {
        !matches!(self.shared.front, Front::None) || self.shared.config.shares_calls
    }

    /// The time that deadlines are measured in.
    pub fn now(&self) -> Instant {
        let _context = self.shared.runtime.enter();
        Instant::now()
    }

    /// How long a row waits at most.
    pub fn patience(&self) -> Duration {
        self.shared.patience()
    }

    /// Whether keys can be probed and asked for. False while a FULL cache is loaded for the first time, which
    /// the first call starts: `completions` are woken when that has ended. An error if it failed.
    pub fn ready(&self, completions: &Arc<Completions>) -> Result<bool> {
        match &self.shared.front {
            Front::Full(full) => full.ready(completions, |load| {
                self.shared.spawn(load(self.shared.backend.clone()));
            }),
            _ => Ok(true),
        }
    }

    /// What the cache knows about the keys of a chunk; `None` without a cache. Counts hits and misses.
    pub fn probe(&self, keys: &Arc<KeyColumns>) -> Option<Probe> {
        let metrics = &self.shared.metrics;
        let probe = match &self.shared.front {
            Front::None => {
                let asked = keys.len() - keys.bytes.null_count();
                LookupMetrics::add(&metrics.misses, asked as u64);
                return None;
            }
            Front::Partial(cache) => {
                let probe = cache.probe(&keys.bytes);
                if probe.snapshot.segments().len() > 1 {
                    self.shared.maintain(cache);
                }
                if !probe.ageing.is_empty() {
                    self.refresh(keys, &probe.ageing);
                }
                probe
            }
            Front::Full(full) => full.current()?.probe(&keys.bytes),
        };
        LookupMetrics::add(&metrics.hits, probe.hits as u64);
        LookupMetrics::add(&metrics.misses, probe.absent as u64);
        Some(probe)
    }

    /// Answers for keys that the cache knows to be missing, where metadata is read: one row for each.
    pub fn missing(&self, keys: &KeyColumns, rows: &[u32]) -> Result<Option<Arc<RecordBatch>>> {
        let shared = &self.shared;
        if shared.request.metadata.is_empty() || rows.is_empty() {
            return Ok(None);
        }
        let rows = UInt32Array::from(rows.to_vec());
        let keys = keys.columns.iter().map(|c| Ok(take(c, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        let none = RecordBatch::new_empty(shared.request.schema.clone());
        let facts = vec![Facts { outcome: "miss", ..Facts::default() }; rows.len()];
        let offsets = vec![0; rows.len() + 1];
        let (rows, _) = shared.request.with_metadata(&shared.row_schema, &keys, &none, &offsets, &facts)?;
        Ok(Some(Arc::new(rows)))
    }

    /// Whether rows come with metadata.
    pub fn has_metadata(&self) -> bool {
        !self.shared.request.metadata.is_empty()
    }

    /// Asks for keys: `tickets` gives row and ticket. Every ticket is completed once, at the latest when
    /// its deadline, which runs from now, has passed.
    pub fn ask(
        &self,
        completions: &Arc<Completions>,
        keys: &Arc<KeyColumns>,
        tickets: &[(u32, u32)],
    ) -> Result<()> {
        let shared = &self.shared;
        let now = self.now();
        let deadline = later(now, shared.patience());
        let mut done = Vec::new();
        let mut flights = shared.flights.lock();
        for (row, ticket) in tickets {
            let waiter = Waiter { completions: completions.clone(), ticket: *ticket, deadline };
            let hash = match &shared.front {
                Front::Partial(cache) => {
                    let key = keys.bytes.value(*row as usize);
                    let hash = flights.hash(key);
                    if let Some(flight) = flights.joinable(hash, key) {
                        flight.waiters.push(waiter);
                        continue;
                    }
                    // What ended its flight since the probe is in the cache by now.
                    if let Some((answer, refresh)) = shared.known(cache, keys, *row) {
                        done.push((*ticket, answer));
                        if refresh {
                            let until = later(now, shared.config.timeout);
                            flights.start(keys, *row, Some(hash), None, (now, until), budget::next_age());
                        }
                        continue;
                    }
                    if let Some(failure) = shared.errors.get(key, shared.clock.now_millis()) {
                        LookupMetrics::add(&shared.metrics.errors, 1);
                        done.push((*ticket, shared.failed(&failure, 0, keys, *row)));
                        continue;
                    }
                    Some(hash)
                }
                _ if shared.config.shares_calls => {
                    let key = keys.bytes.value(*row as usize);
                    let hash = flights.hash(key);
                    if let Some(flight) = flights.joinable(hash, key) {
                        flight.waiters.push(waiter);
                        continue;
                    }
                    Some(hash)
                }
                _ => None,
            };
            flights.start(keys, *row, hash, Some(waiter), (now, deadline), budget::next_age());
        }
        drop(flights);
        for (ticket, answer) in done {
            completions.push(ticket, answer);
        }
        shared.pump();
        Ok(())
    }

    /// Asks anew for keys that are in the cache and will not live much longer.
    fn refresh(&self, keys: &Arc<KeyColumns>, rows: &[u32]) {
        let shared = &self.shared;
        let now = self.now();
        let mut flights = shared.flights.lock();
        for row in rows {
            let key = keys.bytes.value(*row as usize);
            let hash = flights.hash(key);
            if flights.joinable(hash, key).is_none() {
                let until = later(now, shared.config.timeout);
                flights.start(keys, *row, Some(hash), None, (now, until), budget::next_age());
            }
        }
        drop(flights);
        shared.pump();
    }
}

/// An instant as far away as can be represented.
fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(10 * 365 * 24 * 3600))
}

impl Shared {
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = self.work.lock().as_mut() {
            set.spawn_on(work, &self.runtime);
            // What has ended is let go a few at a time.
            let _ = (set.try_join_next(), set.try_join_next());
        }
    }

    fn patience(&self) -> Duration {
        self.config.timeout.saturating_add(self.config.miss_wait())
    }

    /// What the cache has for a key, also when it is stale and may be served still; whether it has to be
    /// refreshed comes second.
    fn known(&self, cache: &Cache, keys: &KeyColumns, row: u32) -> Option<(Answer, bool)> {
        match cache.get(&keys.bytes, row as usize) {
            Known::Absent => None,
            Known::Fresh(rows) => Some((self.answer_of(rows), false)),
            Known::Expired { rows, millis } => {
                let allowed = self.config.stale_while_revalidate()?;
                (millis < allowed).then(|| {
                    LookupMetrics::add(&self.metrics.stale, 1);
                    (self.stale(rows, None, 0), true)
                })
            }
        }
    }

    /// An answer from the cache.
    fn answer_of(&self, rows: RecordBatch) -> Answer {
        match rows.num_rows() {
            0 => self.miss.clone(),
            count => Answer {
                outcome: Outcome::Ok,
                rows: Arc::new(rows),
                first: 0,
                count: count as u32,
                reserved: None,
            },
        }
    }

    /// An answer that has outlived its lifetime.
    fn stale(&self, rows: RecordBatch, failure: Option<&Failure>, attempts: u32) -> Answer {
        let facts = Facts { outcome: "stale", failure, attempts, ..Facts::default() };
        let rows = self.request.relabelled(rows, &facts);
        self.answer_of(rows)
    }

    /// The answer of a key that has no rows but may have something to say about it.
    fn told(&self, facts: &Facts<'_>, outcome: Outcome, keys: &KeyColumns, row: u32) -> Result<Answer> {
        if self.request.metadata.is_empty() {
            return Ok(Answer { outcome, ..self.miss.clone() });
        }
        let none = RecordBatch::new_empty(self.request.schema.clone());
        let keys: Vec<_> = keys.columns.iter().map(|c| c.slice(row as usize, 1)).collect();
        let facts = std::slice::from_ref(facts);
        let (rows, _) = self.request.with_metadata(&self.row_schema, &keys, &none, &[0, 0], facts)?;
        Ok(Answer { outcome, rows: Arc::new(rows), first: 0, count: 1, reserved: None })
    }

    /// The answer of a key whose attempts are used up.
    fn failed(&self, failure: &Arc<Failure>, attempts: u32, keys: &KeyColumns, row: u32) -> Answer {
        let fetched_at = Some(self.clock.now_millis());
        let facts =
            Facts { outcome: "error", failure: Some(failure), attempts, fetched_at, ..Facts::default() };
        let outcome = Outcome::Error(failure.clone());
        self.told(&facts, outcome.clone(), keys, row)
            .unwrap_or_else(|_| Answer { outcome, ..self.miss.clone() })
    }

    fn maintain(self: &Arc<Self>, cache: &Arc<Cache>) {
        let rows = cache.upkeep();
        if rows == 0 {
            return;
        }
        let run = |cache: &Cache| {
            if let Err(e) = cache.maintain() {
                log::warn!("the lookup cache could not be merged: {e}");
            }
        };
        if rows <= INLINE_UPKEEP {
            run(cache);
        } else {
            let cache = cache.clone();
            self.runtime.spawn_blocking(move || run(&cache));
        }
    }

    /// Notes that keys were answered; says so when all of the first were missing.
    fn note_answered(&self, keys: u64) {
        let before = self.answered.fetch_add(keys, Ordering::Relaxed);
        if before < MANY && before + keys >= MANY {
            self.warn_of_misses(before + keys);
        }
    }

    fn warn_of_misses(&self, answered: u64) {
        if LookupMetrics::get(&self.metrics.not_found) >= answered {
            log::warn!(
                "lookup table '{}': none of the first {answered} keys was found; asked: {}. Is it the right \
                 place, and the right key?",
                self.name,
                self.backend.describe()
            );
        }
    }

    fn note_cached(&self, cache: &Cache) {
        self.metrics.cached.store(cache.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
