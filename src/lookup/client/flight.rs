//! Keys on their way: who waits for each, which of them wait for a request, and what is due when.
//!
//! ```text
//!   start ──> waiting ── a worker takes up to max_keys ──> in a request ──> ended
//!                ^                                            │ failed, tries left
//!                └──────── paused, until its retry is due <───┘
//!   deadline of a waiter: it is completed with a timeout; of the last: the key is given up
//! ```
//! All of it is plain data under one lock, taken once for a chunk of keys and once for an answer of many.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::HashTable;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::answer::Failure;
use super::super::keys::KeyColumns;
use super::super::trace::{self, Traced};
use super::{Asker, Completions};

/// One ticket that waits for a key.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) completions: Arc<Completions>,
    pub(super) ticket: u32,
    pub(super) deadline: Instant,
    pub(super) asker: Arc<Asker>,
}

/// A flight; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlightId {
    index: u32,
    generation: u32,
}

/// One key on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) keys: Arc<KeyColumns>,
    pub(super) row: u32,
    /// Who began it.
    pub(super) asker: Arc<Asker>,
    /// Hash of the key, if others may join and the answer is kept.
    pub(super) hash: Option<u64>,
    generation: u32,
    /// Its age among all flights of the process.
    pub(super) sequence: u64,
    pub(super) waiters: Vec<Waiter>,
    pub(super) attempts: u32,
    /// Failed attempts.
    pub(super) failed: u32,
    /// Attempts that found nothing.
    pub(super) empty: u32,
    pub(super) asked: Instant,
    /// When it ends without waiters: it refreshes what is in the cache.
    refresh: Option<Instant>,
    pub(super) last: Option<Arc<Failure>>,
    trip: Option<Arc<Trip>>,
    timer: Option<(Instant, u64)>,
    /// It waits for the budget of retries.
    held: bool,
    /// It is one of those whose requests are traced.
    traced: Option<Arc<Traced>>,
}

/// Keys that share a request, while it is in flight.
#[derive(Debug)]
pub(super) struct Trip {
    /// Keys that somebody waits for.
    live: AtomicUsize,
    /// Notified when no one waits any more.
    pub(super) abandoned: Notify,
}

/// A key in a request.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: FlightId,
    pub(super) keys: Arc<KeyColumns>,
    pub(super) row: u32,
    pub(super) asker: Arc<Asker>,
    pub(super) traced: Option<Arc<Traced>>,
}

/// A flight that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) keys: Arc<KeyColumns>,
    pub(super) row: u32,
    pub(super) waiters: Vec<Waiter>,
    pub(super) attempts: u32,
    pub(super) last: Option<Arc<Failure>>,
}

#[derive(Debug)]
enum Waiting {
    One(FlightId),
    /// Part of a request that failed; it travels alone.
    Group(Vec<FlightId>),
}

/// Why keys are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Miss,
    Failure,
    /// Nothing was asked: the service is left alone for a while.
    Refusal,
}

/// What is due at some instant.
#[derive(Debug)]
pub(super) enum Due {
    /// The deadline of a waiter of this flight.
    Deadline(FlightId),
    /// Another attempt for these, after failures that the budget of retries counts, or after misses.
    Retry(Vec<FlightId>, Cause),
    /// Another look at those that the budget of retries holds back.
    Pace,
    /// Those of these that the budget still holds back are not asked for again.
    GiveUp(Vec<FlightId>),
}

/// The flights of one lookup.
#[derive(Debug, Default)]
pub(super) struct Flights {
    slots: Vec<Option<Flight>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    waiting: VecDeque<Waiting>,
    /// Keys in `waiting`, some of which may have ended.
    queued: usize,
    /// Since when keys wait.
    since: Option<Instant>,
    timers: BTreeMap<(Instant, u64), Due>,
    timer: u64,
    /// Keys that failed and wait for the budget of retries: the oldest flight first, so that a key that fails often is
    /// not behind all others each time. What failed together stays together, as old as its oldest.
    held: BTreeMap<(u64, u64), Vec<FlightId>>,
    holds: u64,
    /// A timer for them is set.
    pacing: bool,
    /// When the next timer is looked at.
    alarm: Option<Instant>,
    /// Workers there are, and those of them without a request.
    pub(super) workers: usize,
    pub(super) idle: usize,
}

impl Flights {
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    pub(super) fn flight(&self, id: FlightId) -> Option<&Flight> {
        self.slots.get(id.index as usize)?.as_ref().filter(|f| f.generation == id.generation)
    }

    pub(super) fn flight_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.slots.get_mut(id.index as usize)?.as_mut().filter(|f| f.generation == id.generation)
    }

    /// The flight of a key that others may join.
    pub(super) fn joinable(&mut self, hash: u64, key: &[u8]) -> Option<&mut Flight> {
        let slots = &self.slots;
        let same =
            |index: &u32| slots.get(*index as usize).and_then(Option::as_ref).is_some_and(|f| f.key() == key);
        let index = *self.by_key.find(hash, same)?;
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Begins a flight, which waits for a request. Without a waiter it refreshes the cache, until `until`.
    pub(super) fn start(
        &mut self,
        keys: &Arc<KeyColumns>,
        row: u32,
        hash: Option<u64>,
        waiter: Option<Waiter>,
        (now, until): (Instant, Instant),
        asker: (&Arc<Asker>, u64),
    ) {
        let id = self.begin(keys, row, hash, waiter, (now, until), asker);
        self.queue(id, now);
    }

    /// The same, without waiting for a request.
    pub(super) fn begin(
        &mut self,
        keys: &Arc<KeyColumns>,
        row: u32,
        hash: Option<u64>,
        waiter: Option<Waiter>,
        (now, until): (Instant, Instant),
        (asker, sequence): (&Arc<Asker>, u64),
    ) -> FlightId {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                self.generations.push(0);
                self.slots.len() as u32 - 1
            }
        };
        let generation = self.generations.get(index as usize).copied().unwrap_or_default();
        let id = FlightId { index, generation };
        let timer = self.add_timer(until, Due::Deadline(id));
        let refresh = waiter.is_none().then_some(until);
        let flight = Flight {
            keys: keys.clone(),
            row,
            asker: asker.clone(),
            hash,
            generation,
            sequence,
            waiters: waiter.into_iter().collect(),
            attempts: 0,
            failed: 0,
            empty: 0,
            asked: now,
            refresh,
            last: None,
            trip: None,
            timer: Some(timer),
            held: false,
            traced: trace::begin(),
        };
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Some(flight);
        }
        if let Some(hash) = hash {
            let (slots, hasher) = (&self.slots, &self.hasher);
            self.by_key.insert_unique(hash, index, |index| {
                let flight = slots.get(*index as usize).and_then(Option::as_ref);
                flight.and_then(|f| f.hash).unwrap_or_else(|| hasher.hash_one(0))
            });
        }
        id
    }

    fn queue(&mut self, id: FlightId, now: Instant) {
        self.since.get_or_insert(now);
        self.queued += 1;
        self.waiting.push_back(Waiting::One(id));
    }

    /// Queues keys again, each for itself or all in one request of their own.
    pub(super) fn requeue(&mut self, ids: Vec<FlightId>, together: bool, now: Instant) {
        if together {
            self.since.get_or_insert(now);
            self.queued += ids.len();
            self.waiting.push_back(Waiting::Group(ids));
        } else {
            ids.into_iter().for_each(|id| self.queue(id, now));
        }
    }

    /// Notes that another attempt for these keys is due at some instant.
    pub(super) fn pause(&mut self, ids: Vec<FlightId>, until: Instant, cause: Cause) {
        self.add_timer(until, Due::Retry(ids, cause));
    }

    /// Puts keys that failed among those that wait for the budget of retries, until some instant at most.
    pub(super) fn hold(&mut self, ids: Vec<FlightId>, until: Option<Instant>) {
        let Some(age) = ids.iter().filter_map(|id| Some(self.flight(*id)?.sequence)).min() else { return };
        for id in &ids {
            if let Some(flight) = self.flight_mut(*id) {
                flight.held = true;
            }
        }
        if let Some(until) = until {
            self.add_timer(until, Due::GiveUp(ids.clone()));
        }
        self.holds += 1;
        self.held.insert((age, self.holds), ids);
    }

    /// Whether keys wait for the budget of retries.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// A key that has waited for the budget as long as it may.
    pub(super) fn given_up(&self, id: FlightId) -> Option<Member> {
        self.flight(id).filter(|flight| flight.held)?;
        self.member(id)
    }

    /// The oldest keys that wait for the budget of retries, if it has room (`may`), without those whose flight has ended.
    /// Else the next look is at `again`.
    pub(super) fn next_held(&mut self, may: impl FnOnce() -> bool, again: Instant) -> Option<Vec<FlightId>> {
        let alive = loop {
            let (place, mut ids) = self.held.pop_first()?;
            ids.retain(|id| self.flight(*id).is_some());
            if !ids.is_empty() {
                break (place, ids);
            }
        };
        if may() {
            for id in &alive.1 {
                if let Some(flight) = self.flight_mut(*id) {
                    flight.held = false;
                }
            }
            return Some(alive.1);
        }
        self.held.insert(alive.0, alive.1);
        if !std::mem::replace(&mut self.pacing, true) {
            self.add_timer(again, Due::Pace);
        }
        None
    }

    /// The timer of those that are held back has passed.
    pub(super) fn paced(&mut self) {
        self.pacing = false;
    }

    fn add_timer(&mut self, at: Instant, due: Due) -> (Instant, u64) {
        self.timer += 1;
        let key = (at, self.timer);
        self.timers.insert(key, due);
        key
    }

    /// Whether something is due before the instant that the timers are looked at; it is then looked at earlier.
    pub(super) fn is_alarmed(&mut self) -> bool {
        let Some((&(first, _), _)) = self.timers.first_key_value() else { return false };
        if self.alarm.is_some_and(|alarm| alarm <= first) {
            return false;
        }
        self.alarm = Some(first);
        true
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }

    /// When the next is due; the timers are looked at then.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        self.alarm = self.timers.first_key_value().map(|(key, _)| key.0);
        self.alarm
    }

    /// How many more workers there is work for, given how many keys one request carries.
    pub(super) fn wanted_workers(&self, max_keys: usize, max_requests: usize) -> usize {
        let requests = self.queued.div_ceil(max_keys.max(1)).max(self.waiting_groups());
        requests.saturating_sub(self.idle).min(max_requests.saturating_sub(self.workers))
    }

    fn waiting_groups(&self) -> usize {
        // Groups are rare and stand in front of one another: a request each.
        self.waiting.iter().take(64).filter(|w| matches!(w, Waiting::Group(_))).count()
    }

    /// Until when a worker waits for more keys to come; `None`: a request can leave.
    pub(super) fn gathers_until(&self, max_keys: usize, wait: Duration, now: Instant) -> Option<Instant> {
        if wait.is_zero() || self.queued >= max_keys || !matches!(self.waiting.front(), Some(Waiting::One(_)))
        {
            return None;
        }
        self.since.and_then(|since| since.checked_add(wait)).filter(|until| *until > now)
    }

    /// Whether keys wait for a request.
    pub(super) fn has_waiting(&self) -> bool {
        self.queued > 0
    }

    /// The keys of the next request; the age of the oldest comes second.
    pub(super) fn board(&mut self, max_keys: usize, now: Instant) -> Option<(Vec<Member>, Arc<Trip>, u64)> {
        let mut members = Vec::new();
        while members.len() < max_keys {
            match self.waiting.pop_front() {
                None => break,
                Some(Waiting::One(id)) => {
                    self.queued -= 1;
                    members.extend(self.member(id));
                }
                Some(Waiting::Group(ids)) if members.is_empty() => {
                    self.queued -= ids.len();
                    members.extend(ids.into_iter().filter_map(|id| self.member(id)));
                    if !members.is_empty() {
                        break;
                    }
                }
                Some(group) => {
                    self.waiting.push_front(group);
                    break;
                }
            }
        }
        self.since = (self.queued > 0).then_some(now);
        if members.is_empty() {
            return None;
        }
        let trip = Arc::new(Trip { live: AtomicUsize::new(members.len()), abandoned: Notify::new() });
        let mut oldest = u64::MAX;
        for member in &members {
            if let Some(flight) = self.flight_mut(member.id) {
                flight.trip = Some(trip.clone());
                flight.attempts += 1;
                oldest = oldest.min(flight.sequence);
            }
        }
        Some((members, trip, oldest))
    }

    fn member(&self, id: FlightId) -> Option<Member> {
        let flight = self.flight(id)?;
        let (asker, traced) = (flight.asker.clone(), flight.traced.clone());
        Some(Member { id, keys: flight.keys.clone(), row: flight.row, asker, traced })
    }

    /// Notes that the request of a flight has ended.
    pub(super) fn landed(&mut self, id: FlightId) -> Option<&mut Flight> {
        let flight = self.flight_mut(id)?;
        flight.trip = None;
        Some(flight)
    }

    /// Ends a flight: nobody can join any more.
    pub(super) fn end(&mut self, id: FlightId) -> Option<Ended> {
        self.flight(id)?;
        let slot = self.slots.get_mut(id.index as usize)?;
        let flight = slot.take()?;
        if let Some(generation) = self.generations.get_mut(id.index as usize) {
            *generation = generation.wrapping_add(1);
        }
        self.free.push(id.index);
        if let Some(hash) = flight.hash
            && let Ok(entry) = self.by_key.find_entry(hash, |index| *index == id.index)
        {
            entry.remove();
        }
        if let Some(timer) = flight.timer {
            self.timers.remove(&timer);
        }
        if let Some(trip) = &flight.trip
            && trip.live.fetch_sub(1, Ordering::Relaxed) == 1
        {
            trip.abandoned.notify_one();
        }
        let Flight { keys, row, waiters, attempts, last, .. } = flight;
        Some(Ended { keys, row, waiters, attempts, last })
    }

    /// Nobody joins the flight of a key any more, and its answer is not kept.
    pub(super) fn unlist(&mut self, hash: u64, key: &[u8]) {
        let slots = &self.slots;
        let same =
            |index: &u32| slots.get(*index as usize).and_then(Option::as_ref).is_some_and(|f| f.key() == key);
        if let Ok(entry) = self.by_key.find_entry(hash, same) {
            let (index, _) = entry.remove();
            if let Some(flight) = self.slots.get_mut(index as usize).and_then(Option::as_mut) {
                flight.hash = None;
            }
        }
    }

    /// The same for all flights.
    pub(super) fn unlist_all(&mut self) {
        self.by_key.clear();
        self.slots.iter_mut().flatten().for_each(|flight| flight.hash = None);
    }

    /// One who asks is gone: what nobody else waits for ends.
    pub(super) fn abandon(&mut self, asker: u64) {
        let mut left = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(flight) = slot else { continue };
            let before = flight.waiters.len();
            flight.waiters.retain(|waiter| waiter.asker.id != asker);
            if before > 0 && flight.waiters.is_empty() && flight.refresh.is_none() {
                left.push(FlightId { index: index as u32, generation: flight.generation });
            }
        }
        left.into_iter().for_each(|id| drop(self.end(id)));
    }

    /// Takes the waiters whose deadline has passed; the flight ends with the last of them. `None` when nobody
    /// waited so long.
    pub(super) fn expire(&mut self, id: FlightId, now: Instant) -> Option<Ended> {
        let flight = self.flight_mut(id)?;
        let (expired, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut flight.waiters).into_iter().partition(|w| w.deadline <= now);
        let next = left.iter().map(|w| w.deadline).min();
        flight.waiters = left;
        let next = next.or(flight.refresh.filter(|until| *until > now));
        let (attempts, last) = (flight.attempts, flight.last.clone());
        let (keys, row) = (flight.keys.clone(), flight.row);
        flight.timer = None;
        match next {
            Some(next) => {
                let timer = self.add_timer(next, Due::Deadline(id));
                if let Some(flight) = self.flight_mut(id) {
                    flight.timer = Some(timer);
                }
            }
            None => drop(self.end(id)),
        }
        (!expired.is_empty()).then_some(Ended { keys, row, waiters: expired, attempts, last })
    }
}

impl Flight {
    /// It began without a row that waits for it.
    pub(super) fn is_refresh(&self) -> bool {
        self.refresh.is_some()
    }

    fn key(&self) -> &[u8] {
        self.keys.bytes.value(self.row as usize)
    }

    /// The last instant at which somebody still waits.
    pub(super) fn until(&self) -> Option<Instant> {
        self.waiters.iter().map(|w| w.deadline).max().or(self.refresh)
    }
}
