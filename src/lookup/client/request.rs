//! Requests: keys that travel together, what becomes of their answers, and what is due meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use futures::future::{Either, select};
use tokio::time::{Instant, sleep_until};

use super::super::answer::{Answer, Answers, Failure, FailureKind, Outcome};
use super::super::budget::{Reservation, next_age};
use super::super::cache::{Known, Life};
use super::super::metadata::Facts;
use super::super::policy::OnError;
use super::super::retry::shown;
use super::super::trace;
use super::flight::{Cause, Due, Ended, FlightId, Flights, Member, Trip};
use super::{Asker, Completion, Front, Shared};
use crate::error::Result;

/// Pauses between looks at the keys that the budget of retries holds back: as after so many failures, never shorter.
const PACED: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(50);

/// What becomes of a key whose request has ended.
enum Verdict {
    Done,
    /// Another attempt, after a while.
    Again(Duration),
    /// Half of the request travels alone.
    Split,
    Failed(Arc<Failure>),
}

impl Shared {
    /// Starts as many workers as there is work for.
    pub(super) fn pump(self: &Arc<Self>) {
        if self.work.lock().is_none() {
            // The lookup is gone: a worker that goes with it starts no other.
            return;
        }
        let mut flights = self.flights.lock();
        let start = flights.wanted_workers(self.keys_now(), self.max_requests);
        flights.workers += start;
        flights.idle += start;
        let alarmed = flights.is_alarmed();
        drop(flights);
        if alarmed {
            self.alarm.notify_one();
        }
        if self.config.batch_wait > Duration::ZERO {
            self.full.notify_one();
        }
        for _ in 0..start {
            // Made here, so that a worker that is dropped before it has begun is counted as gone, too.
            let worker = Worker { shared: self.clone(), idle: true, ran: false, boarded: Vec::new() };
            self.spawn(worker.run());
        }
    }

    /// Handles what is due, for as long as the lookup lives.
    pub(super) async fn run_timers(self: Arc<Self>) {
        loop {
            match self.settle_due() {
                Some(next) => {
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.alarm.notified() => {}
                    }
                }
                None => self.alarm.notified().await,
            }
        }
    }

    /// Settles what is due, and says when the next is.
    fn settle_due(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut flights = self.flights.lock();
        let due = flights.due(now);
        let (mut expired, mut given_up) = (Vec::new(), Vec::new());
        let mut again = false;
        for due in due {
            match due {
                Due::Deadline(id) => expired.extend(flights.expire(id, now)),
                Due::Pace => flights.paced(),
                // Many may have failed: when each comes back is the budget's to say. No younger one goes first.
                Due::Retry(ids, Cause::Failure) => {
                    let until = self.waits_for_budget(&flights, &ids).map(|patience| now + patience);
                    flights.hold(ids, until);
                }
                Due::Retry(ids, cause) => {
                    if cause == Cause::Refusal {
                        self.count_retries(&mut flights, &ids);
                    }
                    flights.requeue(ids, false, now);
                    again = true;
                }
                Due::GiveUp(ids) => {
                    for id in ids {
                        let Some(member) = flights.given_up(id) else { continue };
                        given_up.extend(flights.end(id).map(|ended| (member, ended)));
                    }
                }
            }
        }
        let pause = self.backoff.delay(PACED, None).max(SHORTEST);
        while let Some(ids) = flights.next_held(|| self.endpoint.may_retry(), now + pause) {
            self.count_retries(&mut flights, &ids);
            flights.requeue(ids, false, now);
            again = true;
        }
        let next = flights.next_due();
        drop(flights);
        expired.into_iter().for_each(|ended| self.time_out(ended));
        for (member, ended) in given_up {
            let last = ended.last.as_deref().cloned().unwrap_or_else(|| Failure::other("it failed"));
            let message = format!("{}; the budget of retries had none for it in time", last.message);
            let failure = Arc::new(Failure { message, ..last });
            let answer = self.last_resort(&member, &failure, ended.attempts);
            for waiter in ended.waiters {
                waiter.completions.push(waiter.ticket, answer.clone());
            }
        }
        if again {
            self.pump();
        }
        next
    }

    fn count_retries(&self, flights: &mut Flights, ids: &[FlightId]) {
        for id in ids {
            if let Some(flight) = flights.flight_mut(*id) {
                self.count(&flight.asker, |m| &m.retries, 1);
            }
        }
    }

    /// How long keys that failed wait for the budget of retries at most: as long as their rows do where an error fails
    /// the job (`None`), and else as long as all their back-offs could take, so that a long outage is what the policy says.
    fn waits_for_budget(&self, flights: &Flights, ids: &[FlightId]) -> Option<Duration> {
        let flight = ids.iter().find_map(|id| flights.flight(*id))?;
        match self.config.on_error.of(flight.last.as_ref()?.kind) {
            OnError::Fail | OnError::Stale => None,
            OnError::Null | OnError::Drop | OnError::DeadLetter => {
                Some(self.backoff.all(flight.failed, self.config.max_retries))
            }
        }
    }

    fn time_out(&self, ended: Ended) {
        let attempts = ended.attempts;
        // Those who wait may have come with other time-outs.
        let mut known: Option<(Duration, Answer)> = None;
        for waiter in &ended.waiters {
            let patience = waiter.asker.patience;
            if known.as_ref().is_none_or(|(known, _)| *known != patience) {
                let mut message =
                    format!("no answer within {} ({attempts} attempt{})", shown(patience), plural(attempts));
                if let Some(last) = &ended.last {
                    message.push_str("; the last failure: ");
                    message.push_str(&last.message);
                }
                let failure = Arc::new(Failure::new(FailureKind::Timeout, message).retryable());
                self.count(&waiter.asker, |m| &m.errors, 1);
                known = Some((patience, self.failed(&failure, attempts, &ended.keys, ended.row)));
            }
            if let Some((_, answer)) = &known {
                waiter.completions.push(waiter.ticket, answer.clone());
            }
        }
    }

    /// The keys of a request as columns.
    fn key_batch(&self, members: &[Member]) -> Result<RecordBatch> {
        let mut sources: Vec<&Member> = Vec::new();
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            if !sources.last().is_some_and(|last| Arc::ptr_eq(&last.keys, &member.keys)) {
                sources.push(member);
            }
            places.push((sources.len() - 1, member.row as usize));
        }
        let columns = (0..self.key_schema.fields().len()).map(|i| {
            let arrays: Vec<&dyn Array> = sources.iter().map(|m| m.keys.columns[i].as_ref()).collect();
            Ok(interleave(&arrays, &places)?)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        Ok(RecordBatch::try_new(self.key_schema.clone(), columns)?)
    }

    /// One request, counted.
    async fn call(
        &self,
        asker: &Asker,
        keys: RecordBatch,
        reservation: Arc<Reservation>,
    ) -> Result<Answers, Failure> {
        let count = keys.num_rows();
        self.count(asker, |m| &m.calls, 1);
        self.count(asker, |m| &m.keys, count as u64);
        self.count(asker, |m| &m.in_flight, 1);
        let _landed = Landed(self, asker);
        let start = Instant::now();
        let result = reservation.scope(self.backend.lookup(keys)).await;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        asker.metrics.record_latency(micros);
        let answers = result?;
        match answers.problem(count, &self.request.schema) {
            Some(problem) => Err(problem),
            None => Ok(answers),
        }
    }

    /// One request; a second one with the same keys where the first takes long. The first answer counts; a failure
    /// only if the other one fails as well.
    pub(super) async fn hedged(
        &self,
        asker: &Asker,
        keys: RecordBatch,
        reservation: Arc<Reservation>,
    ) -> Result<Answers, Failure> {
        let Some(after) = self.config.hedge_after else { return self.call(asker, keys, reservation).await };
        let mut first = std::pin::pin!(self.call(asker, keys.clone(), reservation.clone()));
        tokio::select! {
            biased;
            result = first.as_mut() => return result,
            () = tokio::time::sleep(after) => {}
        }
        // A service that is full already gets no more.
        let Some(permit) = self.endpoint.try_enter().filter(|_| self.endpoint.may_retry()) else {
            return first.await;
        };
        self.count(asker, |m| &m.hedged, 1);
        let second = std::pin::pin!(self.call(asker, keys, reservation));
        match select(first, second).await {
            Either::Left((Ok(answers), _)) => Ok(answers),
            Either::Left((Err(_), second)) => {
                let result = second.await;
                permit.ended(result.as_ref().err());
                result
            }
            Either::Right((result, first)) => {
                permit.ended(result.as_ref().err());
                match result {
                    Ok(answers) => Ok(answers),
                    Err(_) => first.await,
                }
            }
        }
    }

    /// What a failure means for a key.
    fn judge(
        &self,
        flights: &mut Flights,
        id: FlightId,
        failure: &Arc<Failure>,
        companions: usize,
    ) -> Verdict {
        let now = Instant::now();
        let Some(flight) = flights.flight_mut(id) else { return Verdict::Done };
        flight.failed += 1;
        flight.last = Some(failure.clone());
        self.count(&flight.asker, |m| &m.failures, 1);
        let left = flight.until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if let Some(asked) = failure.retry_after.filter(|asked| failure.retryable && *asked >= left) {
            let message = format!(
                "{}; it asks to wait {}, and a row waits {} at most ('table.exec.async-lookup.timeout')",
                failure.message,
                shown(asked),
                shown(flight.asker.timeout)
            );
            return Verdict::Failed(Arc::new(Failure { message, retryable: false, ..(**failure).clone() }));
        }
        if failure.retryable && flight.failed <= self.config.max_retries {
            return Verdict::Again(self.backoff.delay(flight.failed, failure.retry_after));
        }
        // What is wrong with the service is wrong with every part of the request.
        let is_service = matches!(
            failure.kind,
            FailureKind::Connection | FailureKind::Limit | FailureKind::Status(401 | 403 | 404 | 405 | 429)
        );
        if companions > 1 && !is_service { Verdict::Split } else { Verdict::Failed(failure.clone()) }
    }

    /// Takes in how a request ended.
    fn land(
        self: &Arc<Self>,
        members: Vec<Member>,
        result: Result<Answers, Failure>,
        reservation: &Arc<Reservation>,
    ) {
        match result {
            Ok(answers) => self.land_answers(members, answers, reservation),
            Err(failure) => self.land_failure(members, failure, Cause::Failure),
        }
    }

    /// One failure of all keys of a request, or of one that was not made.
    fn land_failure(self: &Arc<Self>, members: Vec<Member>, failure: Failure, cause: Cause) {
        let failure = Arc::new(failure);
        let companions = members.len();
        let failures = members.into_iter().map(|m| (m, failure.clone())).collect();
        self.land_failures(failures, companions, cause);
    }

    fn land_answers(
        self: &Arc<Self>,
        members: Vec<Member>,
        answers: Answers,
        reservation: &Arc<Reservation>,
    ) {
        let now = Instant::now();
        let cleared = self.clears.load(Ordering::Acquire);
        let Answers { rows, offsets, failures, status, headers, max_age } = answers;
        let mut failed = vec![None; members.len()];
        for (key, failure) in failures {
            if let Some(failed) = failed.get_mut(key as usize) {
                *failed = Some(Arc::new(failure));
            }
        }
        let fetched_at = Some(self.clock.now_millis());
        let count = |key: usize| offsets[key + 1] - offsets[key];
        // Keys that were not found may be asked for again.
        let mut facts = Vec::with_capacity(members.len());
        let mut again = Vec::new();
        let mut settled = vec![false; members.len()];
        let mut keeps = vec![false; members.len()];
        let mut flights = self.flights.lock();
        for (key, member) in members.iter().enumerate() {
            let outcome = if count(key) > 0 { "ok" } else { "miss" };
            let flight = flights.landed(member.id);
            let attempts = flight.as_ref().map_or(0, |f| f.attempts);
            keeps[key] = flight.as_ref().is_some_and(|f| f.hash.is_some());
            facts.push(Facts { outcome, attempts, fetched_at, status, headers: &headers, failure: None });
            if failed[key].is_some() {
                continue;
            }
            let pause = flight.filter(|_| count(key) == 0).and_then(|flight| {
                let pause =
                    self.config.ask_again(flight.empty, now.saturating_duration_since(flight.asked))?;
                flight.empty += 1;
                // Rows that are held for long take no place of others.
                for waiter in &flight.waiters {
                    waiter.completions.tell(Completion::Held(waiter.ticket));
                }
                Some(pause)
            });
            match pause {
                Some(pause) => again.push((member.id, pause)),
                None => settled[key] = true,
            }
        }
        let retried = again.len() as u64;
        for (id, pause) in again {
            flights.pause(vec![id], now + pause, Cause::Miss);
        }
        // Each answer pays for retries, too.
        let alarmed = (retried > 0 && flights.is_alarmed()) || flights.is_holding();
        drop(flights);
        if alarmed {
            self.alarm.notify_one();
        }
        for (key, member) in members.iter().enumerate() {
            match (settled[key], count(key)) {
                (true, 0) => self.count(&member.asker, |m| &m.not_found, 1),
                (true, _) => {}
                (false, _) if failed[key].is_none() => self.count(&member.asker, |m| &m.retries, 1),
                _ => continue,
            }
            if settled[key] {
                self.note_answered(&member.asker, 1);
            }
        }
        let found: Vec<bool> = (0..members.len()).map(|key| count(key) > 0).collect();
        let described = if self.request.metadata.is_empty() {
            Ok((rows, offsets))
        } else {
            self.key_batch(&members).and_then(|keys| {
                self.request.with_metadata(&self.row_schema, keys.columns(), &rows, &offsets, &facts)
            })
        };
        let (rows, offsets) = match described {
            Ok(described) => described,
            Err(e) => {
                let failure = Arc::new(Failure::new(FailureKind::Decode, e.message()));
                let failures = members.into_iter().map(|m| (m, failure.clone())).collect();
                return self.land_failures(failures, 1, Cause::Failure);
            }
        };
        reservation.settle(rows.get_array_memory_size());
        let kept = |key: usize| settled[key] && keeps[key];
        let life = |key: usize| match (max_age, found[key]) {
            (Some(age), _) => Life::For(age),
            (None, true) => Life::Hit,
            (None, false) => Life::Miss,
        };
        self.remember(&members, &rows, &offsets, (&kept, &life), cleared);
        let rows = Arc::new(rows);
        let mut done = Vec::new();
        let mut failures = Vec::new();
        let mut flights = self.flights.lock();
        for (key, member) in members.into_iter().enumerate() {
            if let Some(failure) = failed[key].take() {
                failures.push((member, failure));
            } else if settled[key]
                && let Some(ended) = flights.end(member.id)
            {
                let answer = Answer {
                    outcome: if found[key] { Outcome::Ok } else { Outcome::Miss },
                    rows: rows.clone(),
                    first: offsets[key],
                    count: offsets[key + 1] - offsets[key],
                    attempts: ended.attempts,
                    reserved: Some(reservation.clone()),
                };
                done.push((ended.waiters, answer));
            }
        }
        drop(flights);
        for (waiters, answer) in done {
            for waiter in waiters {
                waiter.completions.push(waiter.ticket, answer.clone());
            }
        }
        if !failures.is_empty() {
            self.land_failures(failures, 1, Cause::Failure);
        }
    }

    /// Keeps answers, hits and misses for as long as each lives.
    fn remember(
        self: &Arc<Self>,
        members: &[Member],
        rows: &RecordBatch,
        offsets: &[u32],
        (kept, life): (&dyn Fn(usize) -> bool, &dyn Fn(usize) -> Life),
        cleared: u64,
    ) {
        let Front::Partial(cache) = &self.front else { return };
        let kept = || members.iter().enumerate().filter(|(key, _)| kept(*key));
        let entries = kept().map(|(key, member)| {
            (&member.keys.bytes, member.row as usize, offsets[key]..offsets[key + 1], life(key))
        });
        let mut noted: Vec<super::super::cache::Kept> = Vec::new();
        let on_disk = self.is_on_disk();
        cache.insert_noting(rows, entries, |entry| {
            if on_disk {
                noted.push(super::super::cache::Kept {
                    key: entry.key.into(),
                    rows: entry.rows,
                    expires: entry.expires,
                    written: entry.written,
                });
            }
        });
        #[cfg(feature = "persist")]
        if let Some(disk) = &self.disk {
            disk.put(rows, noted);
        }
        if self.clears.load(Ordering::Acquire) != cleared {
            // It was asked for before the cache was cleared.
            kept().for_each(|(_, member)| {
                cache.clear(Some((&member.keys.bytes, member.row as usize)));
                #[cfg(feature = "persist")]
                if let Some(disk) = &self.disk {
                    disk.remove(Some(member.keys.bytes.value(member.row as usize)));
                }
            });
        }
        if let Some(member) = members.first() {
            self.note_cached(&member.asker, cache);
        }
        self.maintain(cache);
    }

    /// Whether the cache is kept over restarts.
    fn is_on_disk(&self) -> bool {
        #[cfg(feature = "persist")]
        return self.disk.is_some();
        #[cfg(not(feature = "persist"))]
        false
    }

    /// `companions`: how many keys share the blame for the failure.
    pub(super) fn land_failures(
        self: &Arc<Self>,
        failures: Vec<(Member, Arc<Failure>)>,
        companions: usize,
        cause: Cause,
    ) {
        let now = Instant::now();
        let (mut split, mut failed): (Vec<FlightId>, Vec<_>) = (Vec::new(), Vec::new());
        let mut again: Vec<(Duration, Vec<FlightId>)> = Vec::new();
        let mut flights = self.flights.lock();
        for (member, failure) in failures {
            if flights.landed(member.id).is_none() {
                continue;
            }
            match self.judge(&mut flights, member.id, &failure, companions) {
                Verdict::Done => {}
                Verdict::Again(pause) => {
                    match again.last_mut() {
                        // What failed together is tried again together.
                        Some((_, ids)) => ids.push(member.id),
                        None => again.push((pause, vec![member.id])),
                    }
                }
                Verdict::Split => split.push(member.id),
                Verdict::Failed(failure) => {
                    if let Some(ended) = flights.end(member.id) {
                        failed.push((member, failure, ended));
                    }
                }
            }
        }
        for (pause, ids) in again {
            flights.pause(ids, now + pause, cause);
        }
        if !split.is_empty() {
            let half = split.split_off(split.len().div_ceil(2));
            flights.requeue(split, true, now);
            if !half.is_empty() {
                flights.requeue(half, true, now);
            }
        }
        let alarmed = flights.is_alarmed();
        drop(flights);
        if alarmed {
            self.alarm.notify_one();
        }
        for (member, failure, ended) in failed {
            let answer = self.last_resort(&member, &failure, ended.attempts);
            for waiter in ended.waiters {
                waiter.completions.push(waiter.ticket, answer.clone());
            }
        }
    }

    /// The answer when all attempts failed: what the cache still has, or the error.
    fn last_resort(&self, member: &Member, failure: &Arc<Failure>, attempts: u32) -> Answer {
        self.count(&member.asker, |m| &m.errors, 1);
        if let Front::Partial(cache) = &self.front {
            let key = member.keys.bytes.value(member.row as usize);
            self.errors.insert(key, failure, self.clock.now_millis());
            if let Some(allowed) = self.config.stale_if_error(failure.kind)
                && let Known::Expired { rows, millis } = cache.get(&member.keys.bytes, member.row as usize)
                && millis < allowed
            {
                self.count(&member.asker, |m| &m.stale, 1);
                return self.stale(rows, Some(failure), attempts);
            }
        }
        self.failed(failure, attempts, &member.keys, member.row)
    }
}

fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Sends requests for as long as keys wait.
struct Worker {
    shared: Arc<Shared>,
    idle: bool,
    ran: bool,
    /// The keys of the request that is on its way.
    boarded: Vec<Member>,
}

impl Worker {
    async fn run(mut self) {
        self.ran = true;
        let shared = self.shared.clone();
        loop {
            if !shared.flights.lock().has_waiting() {
                // Its counters are settled when it is dropped.
                return;
            }
            // First a place, then the keys: those that come meanwhile travel along.
            let permit = shared.endpoint.enter().await;
            let Some((trip, age)) = self.board().await else { return };
            let reservation = Reservation::new(age);
            match permit {
                Ok(permit) => {
                    let result = self.travel(&trip, reservation.clone()).await;
                    permit.ended(result.as_ref().and_then(|r| r.as_ref().err()));
                    let members = std::mem::take(&mut self.boarded);
                    if let Some(result) = result {
                        shared.land(members, result, &reservation);
                        shared.pump();
                    }
                }
                Err(refused) => {
                    let members = std::mem::take(&mut self.boarded);
                    if let Some(member) = members.first() {
                        shared.count(&member.asker, |m| &m.refused, members.len() as u64);
                    }
                    shared.land_failure(members, refused, Cause::Refusal);
                    shared.pump();
                }
            }
            let mut flights = shared.flights.lock();
            flights.idle += 1;
            self.idle = true;
        }
    }

    /// Takes the keys of the next request; none are left without one.
    async fn board(&mut self) -> Option<(Arc<Trip>, u64)> {
        let shared = &self.shared;
        loop {
            let now = Instant::now();
            let until = {
                let mut flights = shared.flights.lock();
                let most = shared.keys_now();
                match flights.gathers_until(most, shared.config.batch_wait, now) {
                    Some(until) => until,
                    None => {
                        let boarded = flights.board(most, now);
                        flights.idle -= 1;
                        self.idle = false;
                        let (members, trip, age) = boarded?;
                        self.boarded = members;
                        return Some((trip, age));
                    }
                }
            };
            tokio::select! {
                () = sleep_until(until) => {}
                () = shared.full.notified() => {}
            }
        }
    }

    /// One request; `None` when nobody waits for it any more.
    async fn travel(&self, trip: &Trip, reservation: Arc<Reservation>) -> Option<Result<Answers, Failure>> {
        let keys = match self.shared.key_batch(&self.boarded) {
            Ok(keys) => keys,
            Err(e) => return Some(Err(Failure::new(FailureKind::Key, e.message()))),
        };
        let asker = &self.boarded.first()?.asker;
        let traced = self.boarded.iter().find_map(|member| member.traced.clone());
        let about = (self.shared.name.as_str(), keys.num_rows(), || self.shared.backend.describe());
        let failed = |result: &Result<Answers, Failure>| result.as_ref().err().map(|e| e.message.clone());
        let call = trace::request(traced, about, self.shared.hedged(asker, keys, reservation), failed);
        let call = std::pin::pin!(call);
        let abandoned = std::pin::pin!(trip.abandoned.notified());
        match select(call, abandoned).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut flights = shared.flights.lock();
        flights.workers -= 1;
        flights.idle -= usize::from(self.idle);
        drop(flights);
        if !self.boarded.is_empty() {
            // A backend that panicked, or the end of everything.
            let failure = Failure::other("the lookup ended unexpectedly");
            let members = std::mem::take(&mut self.boarded);
            shared.land(members, Err(failure), &Reservation::new(next_age()));
        }
        if self.ran {
            // One that never ran belongs to a runtime that is gone: no other would.
            shared.pump();
        }
    }
}

/// Counts an attempt as ended, also when it was cancelled.
struct Landed<'a>(&'a Shared, &'a Asker);

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        let Self(shared, asker) = self;
        asker.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !Arc::ptr_eq(&asker.metrics, &shared.metrics) {
            shared.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
