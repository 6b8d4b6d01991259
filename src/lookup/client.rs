//! The client of a lookup table. A [`Lookup`] is one reference of a query, shared by the tasks of its job; what asks
//! and remembers behind it is an [`Engine`], which lookups of several queries [share](super::shared).
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
//! - When a [`Lookup`] is dropped, what only it waits for is cancelled; with the [`Engine`], everything is.

mod completions;
mod compute;
#[cfg(feature = "persist")]
mod disk;
mod flight;
mod request;
pub(crate) mod view;

pub use completions::{Completion, Completions};
pub use compute::Computed;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
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
use crate::catalog::Table;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// Rows that a merge may copy on a thread of the runtime; larger ones go to a blocking thread.
const INLINE_UPKEEP: usize = 4096;

/// Requests for many keys that a task fills at a time, where nobody says how many rows it may have in flight.
const BATCHES: usize = 16;

/// Keys after which it is said that none of them was found: so many, or at the end of the job, a few.
const MANY: u64 = 100;
const FEW: u64 = 3;

/// What stands between the rows and the backend.
#[derive(Debug)]
enum Front {
    None,
    Partial(Arc<Cache>),
    Full(Arc<FullCache>),
}

/// Who asks: one reference of a query to a lookup table.
#[derive(Debug)]
struct Asker {
    id: u64,
    /// Its own counters; those of the engine count for all.
    metrics: Arc<LookupMetrics>,
    /// How long a row waits for its answer, and with the time that a miss is held.
    timeout: Duration,
    patience: Duration,
    /// Keys that had an answer.
    answered: AtomicU64,
    /// Keys that failed, where the table says how to go on.
    failed: AtomicU64,
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
    /// For calls that are computed.
    places: Semaphore,
    endpoint: Arc<Endpoint>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    metrics: Arc<LookupMetrics>,
    backoff: Backoff,
    front: Front,
    /// Where the cache is kept over restarts, and whether it was read.
    #[cfg(feature = "persist")]
    disk: Option<disk::Disk>,
    flights: Mutex<Flights>,
    /// Notified when a timer is due before those that are known.
    alarm: Notify,
    /// Notified when a request is full.
    full: Notify,
    errors: Errors,
    /// The answer for a key without rows, where metadata is not read.
    miss: Answer,
    /// How often the cache was cleared, and when last; when it was made, at first.
    clears: AtomicU64,
    since: AtomicI64,
    /// `None` once the engine is gone.
    work: Mutex<Option<JoinSet<()>>>,
}

/// What asks for the keys of a lookup table and remembers the answers: cache, flights, limits, retries.
pub struct Engine {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Dropping the set cancels what is in it.
        let work = self.shared.work.lock().take();
        drop(work);
        #[cfg(feature = "persist")]
        if let Some(disk) = &self.shared.disk {
            disk.close();
        }
    }
}

/// A reference to a lookup table in a job.
pub struct Lookup {
    engine: Arc<Engine>,
    /// The table's name in the query.
    name: String,
    config: LookupConfig,
    asker: Arc<Asker>,
    encoder: KeyEncoder,
    /// Operators that still ask.
    users: AtomicUsize,
}

/// An operator that asks by a lookup. When the last one is gone, what the answers had in common is judged: before the
/// end of its output, so that a job says it before it ends.
#[derive(Debug)]
pub struct Asking(Arc<Lookup>);

impl Drop for Asking {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.judge();
        }
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").field("name", &self.name).field("config", &self.config).finish()
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // What others wait for, too, goes on.
        self.engine.shared.flights.lock().abandon(self.asker.id);
    }
}

impl Engine {
    pub(super) fn new(
        name: String,
        request: LookupRequest,
        backend: Arc<dyn Backend>,
        config: LookupConfig,
        (runtime, clock): (Handle, Arc<dyn Clock>),
        backoff: Backoff,
        metrics: Arc<LookupMetrics>,
    ) -> Result<Arc<Self>> {
        let key_schema = request.key_schema()?;
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
        let row_schema = request.row_schema();
        let miss = Answer {
            outcome: Outcome::Miss,
            rows: Arc::new(RecordBatch::new_empty(row_schema.clone())),
            first: 0,
            count: 0,
            attempts: 0,
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
        let since = AtomicI64::new(clock.now_millis());
        let shared = Arc::new(Shared {
            name,
            key_schema,
            row_schema,
            backend,
            max_keys,
            max_requests,
            places: Semaphore::new(max_requests.min(Semaphore::MAX_PERMITS)),
            endpoint,
            runtime,
            clock,
            metrics,
            backoff,
            front,
            #[cfg(feature = "persist")]
            disk: disk::Disk::of(&config, &request)?,
            flights: Mutex::default(),
            alarm: Notify::new(),
            full: Notify::new(),
            errors: Errors::new(config.error_ttl),
            miss,
            clears: AtomicU64::new(0),
            since,
            work: Mutex::new(Some(JoinSet::new())),
            request,
            config,
        });
        if !matches!(shared.front, Front::Full(_)) {
            let timers = shared.clone();
            shared.spawn(async move { timers.run_timers().await });
        }
        Ok(Arc::new(Self { shared }))
    }

    fn encoder(&self) -> Result<KeyEncoder> {
        match self.shared.request.null_keys {
            true => KeyEncoder::with_nulls(&self.shared.key_schema),
            false => KeyEncoder::new(&self.shared.key_schema),
        }
    }

    /// Whether it can answer for another reference to a table: to the same table, by the same keys, with the same
    /// columns and the same options.
    pub(super) fn serves(&self, request: &LookupRequest, config: &LookupConfig) -> bool {
        let own = &self.shared.request;
        let metadata = |a: &LookupRequest, b: &LookupRequest| {
            let all = a.metadata.iter().map(|m| (m.kind, &m.field));
            all.eq(b.metadata.iter().map(|m| (m.kind, &m.field)))
        };
        same_table(&own.table, &request.table)
            && own.keys == request.keys
            && (own.is_call, own.null_keys) == (request.is_call, request.null_keys)
            && (&own.schema, &own.nested) == (&request.schema, &request.nested)
            && own.filters.is_empty()
            && request.filters.is_empty()
            && metadata(own, request)
            && self.shared.config.asks_as(config)
    }
}

/// Whether two references are to one table: the same one, or one with the same definition, as with an OPTIONS hint.
fn same_table(a: &Arc<Table>, b: &Arc<Table>) -> bool {
    let definition = |table: &Table| -> Vec<_> {
        let columns = table.columns.iter();
        columns.map(|c| (c.name.clone(), c.declared().map(|(t, n)| (t.to_string(), n)))).collect()
    };
    let same_connector = match (&a.own, &b.own) {
        (Some(a), Some(b)) => a.is_same(b),
        (None, None) => true,
        _ => false,
    };
    Arc::ptr_eq(a, b)
        || (a.name == b.name
            && same_connector
            && a.options.iter().eq(b.options.iter())
            && a.primary_key == b.primary_key
            && definition(a) == definition(b))
}

impl Lookup {
    /// A lookup that was planned, with an engine of its own. `name` is the table's, or its alias, for messages.
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
        let metrics: Arc<LookupMetrics> = Arc::default();
        let around = (runtime, clock);
        let engine =
            Engine::new(name.clone(), request, backend, config.clone(), around, backoff, metrics.clone())?;
        Self::of(engine, name, config, metrics)
    }

    /// A lookup by an engine that others use as well.
    pub(super) fn of(
        engine: Arc<Engine>,
        name: String,
        config: LookupConfig,
        metrics: Arc<LookupMetrics>,
    ) -> Result<Arc<Self>> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let encoder = engine.encoder()?;
        let asker = Arc::new(Asker {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            metrics,
            timeout: config.timeout,
            patience: config.timeout.saturating_add(config.miss_wait()),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        Ok(Arc::new(Self { engine, name, config, asker, encoder, users: AtomicUsize::new(0) }))
    }

    /// Notes an operator that asks.
    pub fn asking(self: &Arc<Self>) -> Asking {
        self.users.fetch_add(1, Ordering::AcqRel);
        Asking(self.clone())
    }

    /// Says what is wrong with all of the answers.
    fn judge(&self) {
        let shared = &self.engine.shared;
        let answered = self.asker.answered.load(Ordering::Relaxed);
        if (FEW..MANY).contains(&answered) {
            shared.warn_of_misses(&self.asker, answered);
        }
        shared.backend.judge();
    }

    /// What asks for it.
    #[cfg(test)]
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The table's name or alias.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is looked up.
    pub fn request(&self) -> &LookupRequest {
        &self.engine.shared.request
    }

    /// How.
    pub fn config(&self) -> &LookupConfig {
        &self.config
    }

    /// Rows in flight per task: the capacity, or if it was not set, what fills the requests that the other side takes at
    /// a time.
    pub fn capacity(&self) -> usize {
        let (config, shared) = (&self.config, &self.engine.shared);
        match shared.max_keys {
            _ if !config.is_async => 1,
            keys if keys > 1 && !config.capacity_given => {
                let allowed = config.limits.max_in_flight.unwrap_or(usize::MAX);
                // One that waits for each that is computed.
                let waits = usize::from(shared.backend.computes());
                let requests = shared.max_requests.min(allowed).saturating_add(waits).clamp(1, BATCHES);
                config.capacity.max(keys.saturating_mul(requests)).min(1 << 16)
            }
            _ => config.capacity.max(1),
        }
    }

    /// Counters.
    pub fn metrics(&self) -> Arc<LookupMetrics> {
        self.asker.metrics.clone()
    }

    /// What is asked, for EXPLAIN and messages.
    pub fn describe(&self) -> String {
        self.engine.shared.backend.describe()
    }

    /// Whether keys can be asked for, one by one.
    pub(crate) fn can_ask(&self) -> bool {
        self.engine.shared.backend.can_lookup()
    }

    /// Encodes keys.
    pub fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// Whether a key is asked for once, however many rows wait for it.
    pub fn is_cached(&self) -> bool {
        !matches!(self.engine.shared.front, Front::None) || self.config.shares_calls
    }

    /// Counts a key whose failure is no error of the job, and says why: the first, the tenth, the hundredth, ...
    pub(crate) fn note_failure(&self, failure: &Failure, what: &str) {
        let count = self.asker.failed.fetch_add(1, Ordering::Relaxed) + 1;
        let power = std::iter::successors(Some(1u64), |n| n.checked_mul(10)).any(|n| n == count);
        // Those of functions are told by the function.
        if power && !self.request().is_call {
            let keys = if count == 1 { "key" } else { "keys" };
            log::warn!("lookup table '{}': {count} {keys} failed and {what}: {}", self.name, failure.message);
        }
    }

    /// Counts a row that went to the table of dead letters.
    pub(crate) fn note_dead_letter(&self) {
        self.engine.shared.count(&self.asker, |m| &m.dead_letters, 1);
    }

    /// The time that deadlines are measured in.
    pub fn now(&self) -> Instant {
        let _context = self.engine.shared.runtime.enter();
        Instant::now()
    }

    /// How long a row waits at most.
    pub fn patience(&self) -> Duration {
        self.asker.patience
    }

    /// Whether keys can be probed and asked for. False while a FULL cache is loaded for the first time, which
    /// the first call starts: `completions` are woken when that has ended. An error if it failed.
    pub fn ready(&self, completions: &Arc<Completions>) -> Result<bool> {
        match &self.engine.shared.front {
            Front::Full(full) => full.ready(completions, |load| {
                self.engine.shared.spawn(load(self.engine.shared.backend.clone()));
            }),
            #[cfg(feature = "persist")]
            Front::Partial(cache) => Ok(match &self.engine.shared.disk {
                Some(disk) => disk.ready(cache, completions, &self.engine.shared.runtime),
                None => true,
            }),
            _ => Ok(true),
        }
    }

    /// What the cache knows about the keys of a chunk; `None` without a cache. Counts hits and misses.
    pub fn probe(&self, keys: &Arc<KeyColumns>) -> Option<Probe> {
        let shared = &self.engine.shared;
        let probe = match &self.engine.shared.front {
            Front::None => {
                let asked = keys.len() - keys.bytes.null_count();
                shared.count(&self.asker, |m| &m.misses, asked as u64);
                return None;
            }
            Front::Partial(cache) => {
                let probe = cache.probe(&keys.bytes);
                if probe.snapshot.segments().len() > 1 {
                    self.engine.shared.maintain(cache);
                }
                if !probe.ageing.is_empty() {
                    self.refresh(keys, &probe.ageing);
                }
                probe
            }
            Front::Full(full) => full.current()?.probe(&keys.bytes),
        };
        shared.count(&self.asker, |m| &m.hits, probe.hits as u64);
        shared.count(&self.asker, |m| &m.misses, probe.absent as u64);
        Some(probe)
    }

    /// Answers for keys that the cache knows to be missing, where metadata is read: one row for each.
    pub fn missing(&self, keys: &KeyColumns, rows: &[u32]) -> Result<Option<Arc<RecordBatch>>> {
        let shared = &self.engine.shared;
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
        !self.engine.shared.request.metadata.is_empty()
    }

    /// Asks for keys: `tickets` gives row and ticket. Every ticket is completed once, at the latest when
    /// its deadline, which runs from now, has passed.
    pub fn ask(
        &self,
        completions: &Arc<Completions>,
        keys: &Arc<KeyColumns>,
        tickets: &[(u32, u32)],
    ) -> Result<()> {
        let shared = &self.engine.shared;
        let now = self.now();
        let deadline = later(now, self.asker.patience);
        let mut done = Vec::new();
        let mut flights = shared.flights.lock();
        for (row, ticket) in tickets {
            let waiter = Waiter {
                completions: completions.clone(),
                ticket: *ticket,
                deadline,
                asker: self.asker.clone(),
            };
            let hash = match &shared.front {
                Front::Partial(cache) => {
                    let key = keys.bytes.value(*row as usize);
                    let hash = flights.hash(key);
                    if let Some(flight) = flights.joinable(hash, key) {
                        // While an answer is asked for again, the old one is as good for this row as for the last.
                        let stale = flight.is_refresh().then(|| shared.known(&self.asker, cache, keys, *row));
                        match stale.flatten() {
                            Some((answer, _)) => done.push((*ticket, answer)),
                            None => flight.waiters.push(waiter),
                        }
                        continue;
                    }
                    // What ended its flight since the probe is in the cache by now.
                    if let Some((answer, refresh)) = shared.known(&self.asker, cache, keys, *row) {
                        done.push((*ticket, answer));
                        if refresh {
                            let until = later(now, self.asker.timeout);
                            flights.start(keys, *row, Some(hash), None, (now, until), self.order());
                        }
                        continue;
                    }
                    if let Some(failure) = shared.errors.get(key, shared.clock.now_millis()) {
                        shared.count(&self.asker, |m| &m.errors, 1);
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
            flights.start(keys, *row, hash, Some(waiter), (now, deadline), self.order());
        }
        drop(flights);
        for (ticket, answer) in done {
            completions.push(ticket, answer);
        }
        shared.pump();
        Ok(())
    }

    /// Who begins a flight, and its age.
    fn order(&self) -> (&Arc<Asker>, u64) {
        (&self.asker, budget::next_age())
    }

    /// Asks anew for keys that are in the cache and will not live much longer.
    fn refresh(&self, keys: &Arc<KeyColumns>, rows: &[u32]) {
        let shared = &self.engine.shared;
        let now = self.now();
        let mut flights = shared.flights.lock();
        for row in rows {
            let key = keys.bytes.value(*row as usize);
            let hash = flights.hash(key);
            if flights.joinable(hash, key).is_none() {
                let until = later(now, self.asker.timeout);
                flights.start(keys, *row, Some(hash), None, (now, until), self.order());
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

    /// Counts for the one who asks, and for all.
    fn count(&self, asker: &Asker, which: impl Fn(&LookupMetrics) -> &AtomicU64, n: u64) {
        if n > 0 {
            LookupMetrics::add(which(&asker.metrics), n);
            if !Arc::ptr_eq(&asker.metrics, &self.metrics) {
                LookupMetrics::add(which(&self.metrics), n);
            }
        }
    }

    /// What the cache has for a key, also when it is stale and may be served still; whether it has to be
    /// refreshed comes second.
    fn known(&self, asker: &Asker, cache: &Cache, keys: &KeyColumns, row: u32) -> Option<(Answer, bool)> {
        match cache.get(&keys.bytes, row as usize) {
            Known::Absent => None,
            Known::Fresh(rows) => Some((self.answer_of(rows), false)),
            Known::Expired { rows, millis } => {
                let allowed = self.config.stale_while_revalidate()?;
                (millis < allowed).then(|| {
                    self.count(asker, |m| &m.stale, 1);
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
                attempts: 0,
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
            return Ok(Answer { outcome, attempts: facts.attempts, ..self.miss.clone() });
        }
        let none = RecordBatch::new_empty(self.request.schema.clone());
        let keys: Vec<_> = keys.columns.iter().map(|c| c.slice(row as usize, 1)).collect();
        let attempts = facts.attempts;
        let facts = std::slice::from_ref(facts);
        let (rows, _) = self.request.with_metadata(&self.row_schema, &keys, &none, &[0, 0], facts)?;
        Ok(Answer { outcome, rows: Arc::new(rows), first: 0, count: 1, attempts, reserved: None })
    }

    /// The answer of a key whose attempts are used up.
    fn failed(&self, failure: &Arc<Failure>, attempts: u32, keys: &KeyColumns, row: u32) -> Answer {
        let fetched_at = Some(self.clock.now_millis());
        let facts =
            Facts { outcome: "error", failure: Some(failure), attempts, fetched_at, ..Facts::default() };
        let outcome = Outcome::Error(failure.clone());
        self.told(&facts, outcome.clone(), keys, row).unwrap_or_else(|_| Answer {
            outcome,
            attempts,
            ..self.miss.clone()
        })
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
    fn note_answered(&self, asker: &Asker, keys: u64) {
        let before = asker.answered.fetch_add(keys, Ordering::Relaxed);
        if before < MANY && before + keys >= MANY {
            self.warn_of_misses(asker, before + keys);
        }
    }

    fn warn_of_misses(&self, asker: &Asker, answered: u64) {
        if LookupMetrics::get(&asker.metrics.not_found) >= answered {
            log::warn!(
                "lookup table '{}': none of the first {answered} keys was found; asked: {}. Is it the right \
                 place, and the right key?",
                self.name,
                self.backend.describe()
            );
        }
    }

    fn note_cached(&self, asker: &Asker, cache: &Cache) {
        for metrics in [&asker.metrics, &self.metrics] {
            metrics.cached.store(cache.len() as u64, Ordering::Relaxed);
            metrics.cached_bytes.store(cache.bytes(), Ordering::Relaxed);
            metrics.evictions.store(cache.evictions(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
