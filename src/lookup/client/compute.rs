//! Keys that are computed rather than asked for: calls of functions that keep a worker busy.
//!
//! What costs nanoseconds must not cost a flight with a deadline, a waiter and a completion of its own. So the rows
//! of a chunk go together, as many as are computed in a moment, and come back together:
//!
//! ```text
//!   compute(keys, rows) ──> one call ──> Completion::Computed: results by row, or why there are none
//!                                          │ rows that failed
//!   failed(keys, rows) <───────────────────┘
//!      └──> flights that have one attempt behind them: retries, splits, deadlines are as for all others
//! ```
//! The memory of the results is not counted: there are no more of them than rows that wait.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use hashbrown::HashTable;
use tokio::time::{Instant, timeout_at};

use super::super::answer::{Answers, Failure, FailureKind};
use super::super::budget::{Reservation, next_age};
use super::super::keys::KeyColumns;
use super::super::retry::shown;
use super::flight::{Cause, Member, Waiter};
use super::{Asker, Completion, Completions, Front, Lookup, Shared, later};

/// Results of a range of rows.
#[derive(Debug)]
pub struct Computed {
    /// One row for each different key.
    pub rows: Arc<RecordBatch>,
    /// The row of each key; `None`: they lie as the keys do.
    pub places: Option<Vec<u32>>,
    /// Rows of `rows` without a result, and why.
    pub failures: Vec<(u32, Arc<Failure>)>,
}

/// Tells of a call once, also when it is dropped before its end.
struct Telling {
    completions: Arc<Completions>,
    ticket: u32,
    told: bool,
}

impl Telling {
    fn tell(&mut self, result: Result<Computed, Arc<Failure>>) {
        self.told = true;
        self.completions.tell(Completion::Computed(self.ticket, result));
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Err(Arc::new(Failure::other("the call ended unexpectedly"))));
        }
    }
}

impl Lookup {
    /// Whether rows go together, without flights.
    pub(crate) fn computes(&self) -> bool {
        let shared = &self.engine.shared;
        shared.backend.computes()
            && matches!(shared.front, Front::None)
            && shared.request.metadata.is_empty()
            && shared.config.batch_wait.is_zero()
    }

    /// Rows that go together now, at most.
    pub(crate) fn keys_now(&self) -> usize {
        self.engine.shared.keys_now()
    }

    /// Calls for many rows that a task has under way: one that waits for each that is computed, so that no worker does.
    pub(crate) fn computations(&self) -> usize {
        self.engine.shared.max_requests.saturating_add(1)
    }

    /// Computes what belongs to some keys. The ticket is completed once.
    pub(crate) fn compute(
        &self,
        completions: &Arc<Completions>,
        keys: &Arc<KeyColumns>,
        rows: Range<u32>,
        ticket: u32,
    ) {
        let (shared, asker, keys) = (self.engine.shared.clone(), self.asker.clone(), keys.clone());
        let deadline = later(self.now(), asker.patience);
        let mut telling = Telling { completions: completions.clone(), ticket, told: false };
        self.engine.shared.spawn(async move {
            let result = match timeout_at(deadline, shared.computed(&asker, &keys, rows)).await {
                Ok(result) => result,
                Err(_) => {
                    let message = format!("no answer within {} (1 attempt)", shown(asker.patience));
                    Err(Failure::new(FailureKind::Timeout, message).retryable())
                }
            };
            telling.tell(result.map_err(Arc::new));
        });
    }

    /// Takes in rows whose first attempt failed, with their tickets; it was made at `asked`, for `companions` keys
    /// together. Every ticket is completed once.
    pub(crate) fn failed(
        &self,
        completions: &Arc<Completions>,
        keys: &Arc<KeyColumns>,
        rows: Vec<(u32, u32, Arc<Failure>)>,
        (asked, companions): (Instant, usize),
    ) {
        let shared = &self.engine.shared;
        let deadline = later(asked, self.asker.patience);
        let mut failures = Vec::with_capacity(rows.len());
        let mut flights = shared.flights.lock();
        for (row, ticket, failure) in rows {
            let asker = self.asker.clone();
            let waiter = Waiter { completions: completions.clone(), ticket, deadline, asker: asker.clone() };
            let key = keys.bytes.value(row as usize);
            let hash = shared.config.shares_calls.then(|| flights.hash(key));
            if let Some(flight) = hash.and_then(|hash| flights.joinable(hash, key)) {
                flight.waiters.push(waiter);
                continue;
            }
            let id = flights.begin(keys, row, hash, Some(waiter), (asked, deadline), (&asker, next_age()));
            if let Some(flight) = flights.flight_mut(id) {
                flight.attempts = 1;
            }
            failures.push((Member { id, keys: keys.clone(), row, asker, traced: None }, failure));
        }
        drop(flights);
        shared.land_failures(failures, companions, Cause::Failure);
        shared.pump();
    }
}

impl Shared {
    /// Keys of one request, at most.
    pub(super) fn keys_now(&self) -> usize {
        self.max_keys.min(self.backend.keys_now()).max(1)
    }

    async fn computed(
        &self,
        asker: &Asker,
        keys: &KeyColumns,
        rows: Range<u32>,
    ) -> Result<Computed, Failure> {
        let unexpected = |e: arrow::error::ArrowError| Failure::new(FailureKind::Key, e.to_string());
        // There are as many workers as places, and one call at a time for each.
        let _place = self.places.acquire().await;
        let permit = self.endpoint.enter().await?;
        let (columns, places) = self.distinct(keys, rows).map_err(unexpected)?;
        let arguments = RecordBatch::try_new(self.key_schema.clone(), columns).map_err(unexpected)?;
        let result = self.hedged(asker, arguments, Reservation::new(next_age())).await;
        permit.ended(result.as_ref().err());
        let Answers { rows, failures, .. } = result?;
        self.note_answered(asker, rows.num_rows() as u64);
        let failures = failures.into_iter().map(|(row, failure)| (row, Arc::new(failure))).collect();
        Ok(Computed { rows: Arc::new(rows), places, failures })
    }

    /// Columns of the keys, each once where equal ones have the same result, and then the place of each.
    fn distinct(
        &self,
        keys: &KeyColumns,
        rows: Range<u32>,
    ) -> Result<(Vec<ArrayRef>, Option<Vec<u32>>), arrow::error::ArrowError> {
        let all = || keys.columns.iter().map(|c| c.slice(rows.start as usize, rows.len())).collect();
        if !self.config.shares_calls {
            return Ok((all(), None));
        }
        let mut known: HashTable<u32> = HashTable::with_capacity(rows.len());
        let mut firsts: Vec<u32> = Vec::with_capacity(rows.len());
        let mut places = Vec::with_capacity(rows.len());
        let hasher = foldhash::fast::RandomState::default();
        let hash = |key: &[u8]| {
            let mut hasher = std::hash::BuildHasher::build_hasher(&hasher);
            std::hash::Hasher::write(&mut hasher, key);
            std::hash::Hasher::finish(&hasher)
        };
        for row in rows.clone() {
            let key = keys.bytes.value(row as usize);
            let (same, rehash) = (
                |place: &u32| keys.bytes.value(firsts[*place as usize] as usize) == key,
                |place: &u32| hash(keys.bytes.value(firsts[*place as usize] as usize)),
            );
            let next = firsts.len() as u32;
            let place = *known.entry(hash(key), same, rehash).or_insert(next).get();
            if place == next {
                firsts.push(row);
            }
            places.push(place);
        }
        if firsts.len() == rows.len() {
            return Ok((all(), None));
        }
        let firsts = UInt32Array::from(firsts);
        let columns = keys.columns.iter().map(|c| take(c, &firsts, None)).collect::<Result<_, _>>()?;
        Ok((columns, Some(places)))
    }
}
