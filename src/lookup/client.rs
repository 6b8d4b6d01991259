//! The client of one lookup table in one job, shared by all of its tasks.
//!
//! A task hands over keys with tickets; each ticket is completed exactly once, in the task's
//! [`Completions`], with an answer or with the reason why there is none:
//!
//! ```text
//!   ask(keys, tickets) ──> flight ── attempt, back-off, attempt ... ──> cache, completions of all waiters
//!                            │ deadline of a waiter: completed with a timeout; of the last: cancelled
//! ```
//! - **With a cache, a key is in flight once**, however many rows and tasks wait for it. Without one,
//!   every row makes its own call: that is what the strategies SYNC and ASYNC are measured for.
//! - A flight is a task of the runtime of its own. What is slow or tries again delays nobody else, and a
//!   panic in a backend completes its waiters with an error.
//! - A deadline runs from the moment a row is handed over and cuts everything. It is this client that
//!   enforces it, so that a backend that hangs cannot keep a row's place for ever.
//! - When the [`Lookup`] is dropped, everything in flight is cancelled.

mod attempt;
mod batch;
mod flight;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::batch::Batcher;
use self::flight::{Flight, Flights, Waiter};
use super::answer::{Answer, Outcome};
use super::backend::{Backend, LookupRequest};
use super::cache::{Cache, Limits, Probe};
use super::config::{CacheConfig, LookupConfig};
use super::full::FullCache;
use super::keys::{KeyColumns, KeyEncoder};
use super::metrics::LookupMetrics;
use super::retry::Backoff;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::Waker;

/// Rows that a merge may copy on a thread of the runtime; larger ones go to a blocking thread.
const INLINE_UPKEEP: usize = 4096;

/// Answers for one task, in order of arrival.
#[derive(Debug)]
pub struct Completions {
    queue: Mutex<Vec<(u32, Arc<Answer>)>>,
    waker: Waker,
}

impl Completions {
    /// An empty queue that wakes with `waker`.
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker })
    }

    /// Takes all that has arrived.
    pub fn take(&self) -> Vec<(u32, Arc<Answer>)> {
        std::mem::take(&mut *self.queue.lock())
    }

    /// Completes a ticket. The task is woken when the queue was empty: otherwise it was woken already and
    /// has not looked yet.
    fn push(&self, ticket: u32, answer: Arc<Answer>) {
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
    Partial { cache: Arc<Cache>, keep_misses: bool },
    Full(Arc<FullCache>),
}

/// What flights share; alive until the last of them is gone.
struct Shared {
    name: String,
    request: LookupRequest,
    key_schema: SchemaRef,
    backend: Arc<dyn Backend>,
    config: LookupConfig,
    runtime: Handle,
    metrics: Arc<LookupMetrics>,
    backoff: Backoff,
    front: Front,
    flights: Flights,
    batcher: Option<Batcher>,
    miss: Arc<Answer>,
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
        drop(self.shared.work.lock().take());
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
            CacheConfig::Partial { max_rows, expire_after_write, expire_after_access, cache_missing_key } => {
                let limits = Limits {
                    max_keys: max_rows.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
                    after_write: *expire_after_write,
                    after_access: *expire_after_access,
                };
                let cache = Arc::new(Cache::new(request.schema.clone(), limits, clock.clone()));
                Front::Partial { cache, keep_misses: *cache_missing_key }
            }
        };
        let encoder = KeyEncoder::new(&key_schema)?;
        let miss =
            Arc::new(Answer { outcome: Outcome::Miss, rows: RecordBatch::new_empty(request.schema.clone()) });
        let batcher = (backend.max_keys() > 1).then(|| Batcher::new(backend.max_keys()));
        let shared = Arc::new(Shared {
            name,
            request,
            key_schema,
            backend,
            config,
            runtime,
            metrics,
            backoff,
            front,
            flights: Flights::default(),
            batcher,
            miss,
            work: Mutex::new(Some(JoinSet::new())),
        });
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
        !matches!(self.shared.front, Front::None)
    }

    /// The time that deadlines are measured in.
    pub fn now(&self) -> Instant {
        let _context = self.shared.runtime.enter();
        Instant::now()
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
    pub fn probe(&self, keys: &KeyColumns) -> Option<Probe> {
        let metrics = &self.shared.metrics;
        let probe = match &self.shared.front {
            Front::None => {
                let asked = keys.len() - arrow::array::Array::null_count(&keys.bytes);
                LookupMetrics::add(&metrics.misses, asked as u64);
                return None;
            }
            Front::Partial { cache, .. } => {
                let probe = cache.probe(&keys.bytes);
                if probe.snapshot.segments().len() > 1 {
                    self.shared.maintain(cache);
                }
                probe
            }
            Front::Full(full) => full.current()?.probe(&keys.bytes),
        };
        LookupMetrics::add(&metrics.hits, probe.hits as u64);
        LookupMetrics::add(&metrics.misses, probe.absent as u64);
        Some(probe)
    }

    /// Asks for keys: `tickets` gives row and ticket. Every ticket is completed once, at the latest when
    /// its deadline, which runs from now, has passed.
    pub fn ask(
        &self,
        completions: &Arc<Completions>,
        keys: &KeyColumns,
        tickets: &[(u32, u32)],
    ) -> Result<()> {
        let shared = &self.shared;
        let deadline = self.now().checked_add(shared.config.timeout).unwrap_or_else(|| self.now() + YEARS);
        let mut started = Vec::with_capacity(tickets.len());
        for (row, ticket) in tickets {
            let waiter = Waiter { completions: completions.clone(), ticket: *ticket, deadline };
            let row = *row as usize;
            let flight = match &shared.front {
                Front::Partial { cache, .. } => {
                    match shared.flights.join(&keys.bytes, row, waiter, |waiter| {
                        // What ended its flight since the probe is in the cache by now.
                        let rows = cache.get(&keys.bytes, row)?;
                        waiter.completions.push(waiter.ticket, shared.answer_of(rows));
                        Some(())
                    }) {
                        Some(flight) => flight,
                        None => continue,
                    }
                }
                _ => Flight::new(None, waiter),
            };
            let columns: Vec<ArrayRef> = keys.columns.iter().map(|c| c.slice(row, 1)).collect();
            started.push((flight, RecordBatch::try_new(shared.key_schema.clone(), columns)?));
        }
        shared.start(started);
        Ok(())
    }
}

/// Instead of a deadline that cannot be represented.
const YEARS: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);

impl Shared {
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = self.work.lock().as_mut() {
            set.spawn_on(work, &self.runtime);
            // What has ended is let go a few at a time.
            let _ = (set.try_join_next(), set.try_join_next());
        }
    }

    fn start(self: &Arc<Self>, flights: Vec<(Arc<Flight>, RecordBatch)>) {
        if let Some(batcher) = &self.batcher {
            // All keys are queued before the first request is formed: they travel together.
            let queued = flights.into_iter().map(|(flight, key)| (flight, batcher.queue(key.clone()), key));
            let queued: Vec<_> = queued.collect();
            batcher.pump(self);
            for (flight, first, key) in queued {
                self.spawn(flight::fly(self.clone(), flight, key, Some(first)));
            }
        } else {
            for (flight, key) in flights {
                self.spawn(flight::fly(self.clone(), flight, key, None));
            }
        }
    }

    fn answer_of(&self, rows: RecordBatch) -> Arc<Answer> {
        match rows.num_rows() {
            0 => self.miss.clone(),
            _ => Arc::new(Answer { outcome: Outcome::Ok, rows }),
        }
    }

    /// Keeps an answer, if it is one.
    fn remember(self: &Arc<Self>, key: &arrow::array::BinaryViewArray, answer: &Answer) {
        let Front::Partial { cache, keep_misses } = &self.front else { return };
        match answer.outcome {
            Outcome::Ok => {}
            Outcome::Miss if *keep_misses => {}
            _ => return,
        }
        cache.insert(key, 0, &answer.rows);
        self.metrics.cached.store(cache.len() as u64, Ordering::Relaxed);
        self.maintain(cache);
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
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
