//! The FULL cache: the whole table in memory, loaded before the first row and again as its options say.
//!
//! What the copy does not hold does not exist: a miss needs no call. A new copy is built beside the old one
//! and swapped in, so that a chunk sees one or the other. A load that fails keeps the old copy, is counted
//! and reported; only when the first one fails there is nothing to keep, and the job fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, FixedOffset, Local, Offset, TimeZone, Utc};
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, sleep, sleep_until};

use super::backend::{Backend, BoxFuture, LookupRequest};
use super::cache::Cache;
use super::client::Completions;
use super::keys::KeyEncoder;
use super::metadata::Facts;
use super::metrics::LookupMetrics;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// When a FULL cache is loaded again.
#[derive(Debug, Clone, PartialEq)]
pub enum Reload {
    /// Never.
    Once,
    /// Periodically.
    Periodic {
        /// Between loads.
        interval: Duration,
        /// From start to start, else from end to start.
        fixed_rate: bool,
    },
    /// At a time of day.
    Timed {
        /// Seconds after midnight and the zone's offset in seconds, local time without one.
        second_of_day: u32,
        /// Offset from UTC.
        offset_seconds: Option<i32>,
        /// Every how many days.
        interval_days: u32,
    },
}

#[derive(Debug)]
enum First {
    NotStarted,
    Waiting(Vec<Arc<Completions>>),
    Done,
    Failed(Error),
}

/// The copy of one table.
#[derive(Debug)]
pub(super) struct FullCache {
    name: String,
    request: LookupRequest,
    encoder: KeyEncoder,
    reload: Reload,
    clock: Arc<dyn Clock>,
    metrics: Arc<LookupMetrics>,
    current: RwLock<Option<Arc<Cache>>>,
    first: Mutex<First>,
}

impl FullCache {
    pub(super) fn new(
        name: String,
        request: &LookupRequest,
        reload: Reload,
        clock: Arc<dyn Clock>,
        metrics: Arc<LookupMetrics>,
    ) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            name,
            request: request.clone(),
            encoder: KeyEncoder::new(&request.key_schema()?)?,
            reload,
            clock,
            metrics,
            current: RwLock::new(None),
            first: Mutex::new(First::NotStarted),
        }))
    }

    /// The copy that holds now.
    pub(super) fn current(&self) -> Option<Arc<Cache>> {
        self.current.read().clone()
    }

    /// Whether there is a copy; the first call has `start` run the loading.
    pub(super) fn ready(
        self: &Arc<Self>,
        completions: &Arc<Completions>,
        start: impl FnOnce(Box<dyn FnOnce(Arc<dyn Backend>) -> BoxFuture<()>>),
    ) -> Result<bool> {
        let mut first = self.first.lock();
        match &mut *first {
            First::Done => return Ok(true),
            First::Failed(e) => return Err(e.clone()),
            First::Waiting(waiting) => {
                if !waiting.iter().any(|w| Arc::ptr_eq(w, completions)) {
                    waiting.push(completions.clone());
                }
                return Ok(false);
            }
            First::NotStarted => *first = First::Waiting(vec![completions.clone()]),
        }
        drop(first);
        let full = self.clone();
        start(Box::new(move |backend| Box::pin(full.run(backend))));
        Ok(false)
    }

    fn settle(&self, state: First) {
        let mut first = self.first.lock();
        if let First::Waiting(waiting) = &mut *first {
            let waiting = std::mem::take(waiting);
            *first = state;
            drop(first);
            waiting.iter().for_each(|w| w.wake());
        }
    }

    /// Loads, and loads again.
    async fn run(self: Arc<Self>, backend: Arc<dyn Backend>) {
        // However this ends before the first copy, be it by a panic: nobody waits for ever.
        let _unsettled = Unsettled(self.clone());
        let mut started = Instant::now();
        match self.load(&backend).await {
            Ok(()) => self.settle(First::Done),
            Err(e) => {
                let error = Error::lookup(format!("lookup table '{}' could not be loaded", self.name));
                let error = error.with_detail(e.message().to_string() + &detail(&e)).lasting_as(&e);
                return self.settle(First::Failed(match e.hint() {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }));
            }
        }
        let mut days = 1;
        loop {
            match &self.reload {
                Reload::Once => return,
                Reload::Periodic { interval, fixed_rate: false } => sleep(*interval).await,
                Reload::Periodic { interval, fixed_rate: true } => {
                    // A load that took longer than the interval is followed by the next at once.
                    sleep_until(started.checked_add(*interval).unwrap_or(started)).await;
                }
                Reload::Timed { second_of_day, offset_seconds, interval_days } => {
                    // The first time it is the next such time of day; "every n days" counts from there.
                    let now = self.clock.now_millis();
                    sleep(until(now, *second_of_day, *offset_seconds, days)).await;
                    days = *interval_days;
                }
            }
            started = Instant::now();
            if let Err(e) = self.load(&backend).await {
                LookupMetrics::add(&self.metrics.load_failures, 1);
                log::warn!("lookup table '{}' could not be loaded again, the old copy stays: {e}", self.name);
            }
        }
    }

    async fn load(self: &Arc<Self>, backend: &Arc<dyn Backend>) -> Result<()> {
        LookupMetrics::add(&self.metrics.loads, 1);
        let rows = backend.load().await?;
        let full = self.clone();
        let built = tokio::task::spawn_blocking(move || full.build(&rows)).await;
        let cache = built.map_err(|e| Error::internal(format!("indexing a table failed: {e}")))??;
        self.metrics.cached.store(cache.len() as u64, Ordering::Relaxed);
        let empty = cache.is_empty();
        let before = self.current.write().replace(Arc::new(cache));
        if let Some(before) = before.filter(|before| empty && !before.is_empty()) {
            log::warn!(
                "lookup table '{}' was loaded again without a row, and had {} before: nothing is found in it until \
                 the next load",
                self.name,
                before.len()
            );
        }
        Ok(())
    }

    fn build(&self, rows: &RecordBatch) -> Result<Cache> {
        let types = |schema: &SchemaRef| -> Vec<_> {
            schema.fields().iter().map(|f| f.data_type().clone()).collect()
        };
        if types(&rows.schema()) != types(&self.request.schema) {
            return Err(Error::decode("the rows have other columns than the table"));
        }
        let columns = self.request.keys.iter().map(|i| rows.column(*i).clone()).collect();
        let keys = self.encoder.encode(columns, None)?;
        if self.request.metadata.is_empty() {
            return Cache::of_table(rows, &keys.bytes, self.clock.clone());
        }
        let fetched_at = Some(self.clock.now_millis());
        let facts =
            vec![Facts { outcome: "ok", attempts: 1, fetched_at, ..Facts::default() }; rows.num_rows()];
        let offsets: Vec<u32> = (0..=rows.num_rows() as u32).collect();
        let schema = self.request.row_schema();
        let (rows, _) = self.request.with_metadata(&schema, &keys.columns, rows, &offsets, &facts)?;
        Cache::of_table(&rows, &keys.bytes, self.clock.clone())
    }
}

fn detail(e: &Error) -> String {
    e.detail().map_or_else(String::new, |d| format!(" ({d})"))
}

struct Unsettled(Arc<FullCache>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        let message = format!("loading lookup table '{}' ended unexpectedly", self.0.name);
        self.0.settle(First::Failed(Error::lookup(message)));
    }
}

/// How long it is to the time of day, the next for 1 day; local time without an offset.
fn until(now_millis: i64, second_of_day: u32, offset: Option<i32>, days: u32) -> Duration {
    let now = DateTime::<Utc>::from_timestamp_millis(now_millis).unwrap_or_default();
    let offset = offset
        .and_then(FixedOffset::east_opt)
        .unwrap_or_else(|| Local.offset_from_utc_datetime(&now.naive_utc()).fix());
    let seconds = (now_millis.div_euclid(1000) + i64::from(offset.local_minus_utc())).rem_euclid(86_400);
    let mut ahead = i64::from(second_of_day) - seconds;
    if ahead <= 0 {
        ahead += 86_400;
    }
    let later = i64::from(days.saturating_sub(1)) * 86_400;
    let millis = (ahead + later) * 1000 - now_millis.rem_euclid(1000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1))
}

#[cfg(test)]
#[path = "full_tests.rs"]
mod tests;
