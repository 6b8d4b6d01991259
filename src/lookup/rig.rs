//! Queries that share their lookups, for tests: a scripted backend, a clock that is turned by hand.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use tokio::runtime::Handle;

use super::keys::KeyColumns;
use super::script::{Script, config, partial, request};
use super::shared::Lookups;
use super::{Backend, Completions, Lookup, LookupConfig, LookupMetrics, LookupRequest, Outcome};
use crate::clock::ManualClock;
use crate::error::Result;
use crate::flow::Mailbox;

pub(crate) struct Rig {
    pub(crate) lookups: Lookups,
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) request: LookupRequest,
    pub(crate) made: std::sync::atomic::AtomicUsize,
}

/// A query with one task.
pub(crate) struct Query {
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) completions: Arc<Completions>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            lookups: Lookups::default(),
            script: Script::new(),
            clock: ManualClock::new(0),
            request: request(),
            made: Default::default(),
        }
    }

    pub(crate) fn query(&self, config: LookupConfig) -> Query {
        let backend = |_: &LookupRequest| -> Result<Arc<dyn Backend>> {
            self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(self.script.clone())
        };
        let (request, clock) = (self.request.clone(), self.clock.clone());
        let lookup =
            self.lookups.lookup("d".into(), request, backend, config, Handle::current(), clock).unwrap();
        Query { lookup, completions: Completions::new(Mailbox::new().waker(0)) }
    }

    pub(crate) fn engines(&self) -> usize {
        self.made.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Query {
    pub(crate) fn keys(&self, keys: &[&str]) -> Arc<KeyColumns> {
        let column: ArrayRef = Arc::new(StringViewArray::from(keys.to_vec()));
        Arc::new(self.lookup.encoder().encode(vec![column], None).unwrap())
    }

    pub(crate) fn ask(&self, keys: &[&str]) {
        let tickets: Vec<_> = (0..keys.len() as u32).map(|i| (i, i)).collect();
        self.lookup.ask(&self.completions, &self.keys(keys), &tickets).unwrap();
    }

    /// What came: tickets with numbers of rows, or the error.
    pub(crate) fn answers(&self) -> Vec<String> {
        let answers = self.completions.take().into_iter();
        let text = |(ticket, answer): (u32, super::Answer)| match &answer.outcome {
            Outcome::Error(failure) => format!("{ticket}: {}", failure.message),
            _ => format!("{ticket}: {}", answer.count),
        };
        answers.map(text).collect()
    }

    /// The brands of the rows that came, in the order of the tickets; the error instead, `-` for nothing.
    pub(crate) fn brands(&self) -> Vec<String> {
        let mut answers = self.completions.take();
        answers.sort_by_key(|(ticket, _)| *ticket);
        let text = |(_, answer): (u32, super::Answer)| match &answer.outcome {
            Outcome::Error(failure) => failure.message.clone(),
            _ if answer.count == 0 => "-".to_string(),
            _ => answer.batch().column(1).as_string_view().value(0).to_string(),
        };
        answers.into_iter().map(text).collect()
    }

    /// Keys that the cache has.
    pub(crate) fn known(&self, keys: &[&str]) -> usize {
        self.lookup.probe(&self.keys(keys)).unwrap().hits
    }

    pub(crate) fn count(&self, which: impl Fn(&LookupMetrics) -> &std::sync::atomic::AtomicU64) -> u64 {
        LookupMetrics::get(which(&self.lookup.metrics()))
    }
}

pub(crate) fn cached() -> LookupConfig {
    LookupConfig { cache: partial(), ..config() }
}

pub(crate) async fn settle() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
}
