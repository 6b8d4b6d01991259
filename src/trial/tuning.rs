//! A stage for `affluent tune`: rows that were recorded come again and again, what is written goes nowhere, and lookups
//! are the real ones, counted, or those of a recording.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use super::replay::{Missing, Replay, ReplayBackend};
use super::stage::{Feed, Stage};
use crate::clock::Clock;
use crate::error::Result;
use crate::flow::Kinds;
use crate::lookup::{Answers, Backend, BoxFuture, Failure, LookupRequest, Service};
use crate::recording::{self, Recording};
use crate::session::Session;

/// When a key was asked for, and which.
pub(crate) type Asked = (i64, String);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    Function,
}

/// How a session is tuned.
#[derive(Debug)]
pub(crate) struct Tuning {
    /// Calls that may still be made.
    pub(crate) allowance: AtomicI64,
    /// A call was wanted beyond that.
    pub(crate) used_up: AtomicBool,
    /// Keys are noted and not asked for: all miss.
    pub(crate) notes: Option<Mutex<Vec<Asked>>>,
    /// Keys in a request.
    pub(crate) batch: Option<u64>,
    /// Most keys that a request of any of its lookups can carry.
    pub(crate) max_keys: std::sync::atomic::AtomicUsize,
    /// Tables, and functions, that are asked.
    pub(crate) asked: Mutex<std::collections::BTreeMap<String, Kind>>,
    clock: Arc<dyn Clock>,
}

impl Tuning {
    pub(crate) fn new(calls: u64, notes: bool, batch: Option<u64>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            allowance: AtomicI64::new(i64::try_from(calls).unwrap_or(i64::MAX)),
            used_up: AtomicBool::new(false),
            notes: notes.then(Mutex::default),
            batch,
            max_keys: Default::default(),
            asked: Mutex::default(),
            clock,
        })
    }
}

/// A lookup whose calls are counted, or only noted.
pub(super) struct Metered {
    tuning: Arc<Tuning>,
    request: LookupRequest,
    name: String,
    real: Arc<dyn Backend>,
}

impl Metered {
    pub(super) fn new(tuning: &Arc<Tuning>, request: &LookupRequest, real: Arc<dyn Backend>) -> Self {
        tuning.max_keys.fetch_max(real.max_keys(), Ordering::Relaxed);
        let kind = if request.is_call { Kind::Function } else { Kind::Table };
        tuning.asked.lock().insert(request.table.name.clone(), kind);
        Self { tuning: tuning.clone(), request: request.clone(), name: request.table.name.clone(), real }
    }
}

impl Backend for Metered {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        if let Some(notes) = &self.tuning.notes {
            let now = self.tuning.clock.now_millis();
            let texts = recording::key_texts(&keys).unwrap_or_default();
            notes.lock().extend(texts.into_iter().map(|text| (now, format!("{} {text}", self.name))));
            let misses = Answers::misses(self.request.schema.clone(), keys.num_rows());
            return Box::pin(std::future::ready(Ok(misses)));
        }
        if self.tuning.allowance.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.tuning.used_up.store(true, Ordering::SeqCst);
            return Box::pin(std::future::pending());
        }
        self.real.lookup(keys)
    }

    fn max_keys(&self) -> usize {
        if self.tuning.notes.is_some() { 1 } else { self.real.max_keys() }
    }

    fn keys_now(&self) -> usize {
        if self.tuning.notes.is_some() { 1 } else { self.real.keys_now() }
    }

    fn computes(&self) -> bool {
        self.real.computes()
    }

    fn max_requests(&self) -> Option<usize> {
        self.real.max_requests()
    }

    fn endpoint(&self) -> Option<Service> {
        // What is noted needs no limit of the service.
        if self.tuning.notes.is_some() { None } else { self.real.endpoint() }
    }

    fn can_lookup(&self) -> bool {
        self.real.can_lookup()
    }

    fn can_load(&self) -> bool {
        self.real.can_load()
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        if self.tuning.notes.is_none() {
            self.tuning.allowance.fetch_sub(1, Ordering::SeqCst);
        }
        self.real.load()
    }

    fn judge(&self) {
        self.real.judge();
    }

    fn describe(&self) -> String {
        self.real.describe()
    }
}

impl Stage {
    /// A stage on which a pipeline is tuned. `rows`: recorded ones that come again and again (`cycled`) or once, in pieces
    /// of at most so many; `answers`: whether the recording answers, too.
    pub(crate) fn for_tuning(
        tuning: Arc<Tuning>,
        rows: Option<(&Arc<Recording>, usize, bool)>,
        answers: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let stage = Self::new(Session::new()?);
        stage.set_clock(clock);
        stage.set_tuning(tuning);
        if let Some((recording, pieces, cycled)) = rows {
            for (name, scan) in &recording.scans {
                let changes = scan.events.iter().any(|event| event.kinds != Kinds::Append);
                let feed = Feed::recorded(changes, name, scan.schema.clone());
                for event in &scan.events {
                    let mut first = 0;
                    while first < event.batch.num_rows() {
                        let length = pieces.max(1).min(event.batch.num_rows() - first);
                        feed.stage(event.batch.slice(first, length), event.kinds.slice(first, length));
                        first += length;
                    }
                }
                match cycled {
                    true => feed.cycle(),
                    false => feed.end(),
                }
                stage.put_feed(name, Arc::new(feed));
            }
            if answers {
                let replay = Replay { recording: recording.clone(), missing: Missing::Miss, alone: false };
                stage.set_replay(replay);
            }
        }
        Ok(stage)
    }

    /// A lookup of a pipeline that is tuned.
    pub(crate) fn metered(
        self: &Arc<Self>,
        name: &str,
        request: &LookupRequest,
        real: impl FnOnce() -> Result<Arc<dyn Backend>>,
    ) -> Result<Arc<dyn Backend>> {
        let Some(tuning) = self.tuning() else { return real() };
        let recorded = self.replay().filter(|replay| replay.has_lookup(name));
        let backend: Arc<dyn Backend> = match recorded {
            Some(replay) if tuning.notes.is_none() => {
                Arc::new(ReplayBackend::new(self, &replay, name, request, 1000)?)
            }
            _ => real()?,
        };
        Ok(Arc::new(Metered::new(&tuning, request, backend)))
    }
}
