//! An engine as people see it: SHOW CACHES, CLEAR CACHE, EXPLAIN LOOKUP.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use tokio::time::{Instant, sleep};

use super::super::cache::Cache;
use super::super::retry::shown;
use super::super::trace;
use super::super::{FailureKind, LookupMetrics};
use super::{Engine, Front, Lookup, Shared};
use crate::error::{Error, Result};

/// Characters of a text that EXPLAIN LOOKUP shows.
const SHOWN: usize = 2000;
/// Rows that it shows.
const ROWS: usize = 5;

/// What a cache holds and has done.
#[derive(Debug, Clone)]
pub(crate) struct CacheFigures {
    pub(crate) table: String,
    /// The columns that it is asked by.
    pub(crate) keys: Vec<String>,
    /// Metadata columns in its rows.
    pub(crate) metadata: Vec<String>,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
    /// Keys that were asked for.
    pub(crate) loads: u64,
    pub(crate) not_found: u64,
    pub(crate) errors: u64,
    pub(crate) evictions: u64,
    /// Since it was made or cleared.
    pub(crate) age: Duration,
    /// References of queries that use it now.
    pub(crate) users: usize,
}

impl Shared {
    fn cache(&self) -> Option<&Arc<Cache>> {
        match &self.front {
            Front::Partial(cache) => Some(cache),
            _ => None,
        }
    }

    fn key_names(&self) -> Vec<String> {
        self.key_schema.fields().iter().map(|f| f.name().clone()).collect()
    }
}

impl Engine {
    /// The table's name.
    pub(crate) fn table(&self) -> &str {
        &self.shared.request.table.name
    }

    /// Names of the key columns.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.shared.key_names()
    }

    /// What the cache holds and has done; `None` without a cache. `kept`: whether the caller holds the engine
    /// beside the registry.
    pub(crate) fn figures(self: &Arc<Self>) -> Option<CacheFigures> {
        let shared = &self.shared;
        let cache = shared.cache()?;
        let get = LookupMetrics::get;
        let metrics = &shared.metrics;
        let millis = shared.clock.now_millis().saturating_sub(shared.since.load(Ordering::Relaxed));
        Some(CacheFigures {
            table: self.table().to_string(),
            keys: self.key_names(),
            metadata: shared.request.metadata.iter().map(|m| m.field.name().clone()).collect(),
            entries: cache.len() as u64,
            bytes: cache.bytes(),
            hits: get(&metrics.hits),
            misses: get(&metrics.misses),
            stale: get(&metrics.stale),
            loads: get(&metrics.keys),
            not_found: get(&metrics.not_found),
            errors: get(&metrics.errors),
            evictions: cache.evictions(),
            age: Duration::from_millis(u64::try_from(millis).unwrap_or_default()),
            // The registry's and the caller's own.
            users: Arc::strong_count(self).saturating_sub(2),
        })
    }

    /// Forgets all answers; how many keys there were. What is in flight is not kept either.
    pub(crate) fn clear(&self) -> u64 {
        let shared = &self.shared;
        let Some(cache) = shared.cache() else { return 0 };
        let mut flights = shared.flights.lock();
        flights.unlist_all();
        shared.clears.fetch_add(1, Ordering::AcqRel);
        let count = cache.len() as u64;
        cache.clear(None);
        drop(flights);
        #[cfg(feature = "persist")]
        if let Some(disk) = &shared.disk {
            disk.remove(None);
        }
        shared.errors.clear();
        shared.since.store(shared.clock.now_millis(), Ordering::Relaxed);
        shared.metrics.cached.store(0, Ordering::Relaxed);
        shared.metrics.cached_bytes.store(0, Ordering::Relaxed);
        count
    }

    /// Forgets the answer for one key (one row of the key columns); whether there was one.
    pub(crate) fn clear_key(&self, keys: &RecordBatch) -> Result<bool> {
        let shared = &self.shared;
        let Some(cache) = shared.cache() else { return Ok(false) };
        let encoder = self.encoder()?;
        let keys = encoder.encode(keys.columns().to_vec(), None)?;
        if keys.bytes.is_null(0) {
            return Ok(false);
        }
        let key = keys.bytes.value(0);
        let mut flights = shared.flights.lock();
        let hash = flights.hash(key);
        flights.unlist(hash, key);
        shared.clears.fetch_add(1, Ordering::AcqRel);
        let found = cache.clear(Some((&keys.bytes, 0)));
        drop(flights);
        #[cfg(feature = "persist")]
        if let Some(disk) = &shared.disk {
            disk.remove(Some(key));
        }
        shared.errors.remove(key);
        shared.metrics.cached.store(cache.len() as u64, Ordering::Relaxed);
        Ok(found)
    }
}

impl Lookup {
    /// Asks for one key (one row of the key columns) and tells each step. The cache stays as it is.
    pub(crate) async fn explain(&self, keys: RecordBatch) -> Result<String> {
        let shared = &self.engine.shared;
        let mut out = String::new();
        let names = shared.key_names();
        let mut key = Vec::with_capacity(names.len());
        for (name, column) in names.iter().zip(keys.columns()) {
            if column.is_null(0) {
                return Err(Error::plan(format!("key '{name}' is NULL, and NULL is never looked up"))
                    .with_hint("write a value of the column's type"));
            }
            key.push(format!("{name} = {}", cut(&array_value_to_string(column, 0)?)));
        }
        let mut line = |label: &str, text: String| {
            let _ = writeln!(out, "{label:<9} {text}");
        };
        line("table", format!("{} ({})", shared.request.table.name, shared.backend.describe()));
        line("key", key.join(", "));
        let encoded = self.encoder.encode(keys.columns().to_vec(), None)?;
        line("cache", self.cache_state(&encoded)?);
        line("endpoint", shared.endpoint.describe());
        let mut failed = 0;
        loop {
            line("attempt", (failed + 1).to_string());
            let permit = shared.endpoint.enter().await;
            let notes = trace::Notes::default();
            let start = Instant::now();
            let result = match &permit {
                Ok(_) => {
                    let reservation = super::budget::Reservation::new(super::budget::next_age());
                    let call = reservation.scope(shared.backend.lookup(keys.clone()));
                    trace::listen(notes.clone(), call).await
                }
                Err(refused) => Err(refused.clone()),
            };
            let took = start.elapsed();
            for (label, text) in notes.lock().drain(..) {
                line(&format!("  {label}"), cut(&text));
            }
            let result = result.and_then(|answers| match answers.problem(1, &shared.request.schema) {
                Some(problem) => Err(problem),
                None => Ok(answers),
            });
            if let Ok(permit) = permit {
                permit.ended(result.as_ref().err());
            }
            let result = result.and_then(|mut answers| match answers.failures.pop() {
                Some((_, failure)) => Err(failure),
                None => Ok(answers),
            });
            line("  took", duration(took));
            match result {
                Ok(answers) => {
                    let rows = answers.rows;
                    line("  rows", rows.num_rows().to_string());
                    if let Some(age) = answers.max_age {
                        line("  lifetime", format!("{} (the service says so)", shown(age)));
                    }
                    line("outcome", if rows.num_rows() == 0 { "miss".into() } else { "ok".into() });
                    for row in 0..rows.num_rows().min(ROWS) {
                        let value =
                            |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
                                let value = if column.is_null(row) {
                                    "NULL".to_string()
                                } else {
                                    array_value_to_string(column, row).unwrap_or_else(|e| e.to_string())
                                };
                                format!("{} = {}", field.name(), cut(&value))
                            };
                        let values: Vec<_> =
                            rows.schema_ref().fields().iter().zip(rows.columns()).map(value).collect();
                        line("row", values.join(", "));
                    }
                    if rows.num_rows() > ROWS {
                        line("", format!("and {} more", rows.num_rows() - ROWS));
                    }
                    return Ok(out);
                }
                Err(failure) => {
                    failed += 1;
                    line("  failure", format!("{}: {}", failure.kind.as_str(), cut(&failure.message)));
                    let again = failure.retryable && failed <= self.config.max_retries;
                    if again {
                        let pause = shared.backoff.delay(failed, failure.retry_after);
                        // Nobody at a prompt waits for an hour.
                        if pause <= Duration::from_secs(10) {
                            line("  pause", duration(pause));
                            sleep(pause).await;
                            continue;
                        }
                        line("  pause", format!("{} in a job; not waited for here", duration(pause)));
                    } else if failure.retryable {
                        line("  retries", format!("none left of {}", self.config.max_retries));
                    } else {
                        line("  retries", "another attempt would not change it".into());
                    }
                    line("outcome", self.outcome_of(failure.kind));
                    return Ok(out);
                }
            }
        }
    }

    /// What an error of this kind does to its row.
    fn outcome_of(&self, kind: FailureKind) -> String {
        use super::super::policy::OnError;
        let does = match self.config.on_error.of(kind) {
            OnError::Fail => "the job fails",
            OnError::Null => "the row goes on as if nothing was found, and is counted",
            OnError::Drop => "the row is left out, and is counted",
            OnError::Stale => "the row takes what the cache still has, or the job fails",
            OnError::DeadLetter => "the row goes to the table of dead letters",
        };
        format!("error; {} ({does})", self.config.on_error)
    }

    /// What the cache has for a key.
    fn cache_state(&self, keys: &super::KeyColumns) -> Result<String> {
        let shared = &self.engine.shared;
        let mut text = match &shared.front {
            Front::None => return Ok("none ('lookup.cache')".into()),
            Front::Full(_) => {
                return Ok("FULL: in a job, the loaded copy answers and nothing is asked".into());
            }
            Front::Partial(cache) => match cache.look(&keys.bytes, 0) {
                None => "the key is not in it".to_string(),
                Some(looked) => {
                    let rows = match looked.rows {
                        0 => "a miss".to_string(),
                        1 => "1 row".to_string(),
                        n => format!("{n} rows"),
                    };
                    let age = match cache.counts_use() {
                        true => format!("last used {} ago", millis(looked.unused)),
                        false => format!("{} old", millis(looked.unused)),
                    };
                    let end = match looked.left {
                        i64::MAX => "without an end".to_string(),
                        left if left > 0 => format!("fresh for {} more", millis(left)),
                        left => format!("stale since {}", millis(left.saturating_neg())),
                    };
                    format!("{rows}, {age}, {end}")
                }
            },
        };
        let mut flights = shared.flights.lock();
        let key = keys.bytes.value(0);
        let hash = flights.hash(key);
        if flights.joinable(hash, key).is_some() {
            text.push_str("; a request for it is on its way");
        }
        drop(flights);
        if let Some(failure) = shared.errors.get(key, shared.clock.now_millis()) {
            let _ = write!(text, "; its last error answers still: {}", failure.message);
        }
        Ok(text)
    }
}

fn millis(millis: i64) -> String {
    duration(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// `1.234 s`, `12.3 ms`.
fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.3} s"),
        s => format!("{:.1} ms", s * 1e3),
    }
}

/// A text of some lines at most, as one line.
fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push_str("...");
    }
    out
}
