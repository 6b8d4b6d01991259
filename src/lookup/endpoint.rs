//! Protection of a service: limits that all lookups of a process on one endpoint share.
//!
//! ```text
//!  request ── breaker ── window ── rate ──> service
//!               │ open      │        └ 'lookup.rate-limit': a token bucket of one second's worth
//!               │           └ 'lookup.max-in-flight'; without it, as many as succeed: slow start
//!               └ 'lookup.circuit-breaker.failure-rate': fails at once, lets one probe through at a time later
//! ```
//! Slow start: a window of `SLOW_START` requests grows by one with every success and halves when requests time out
//! or connections fail, once for all requests that were in flight together. Each time it has doubled, the median
//! latency is compared with that of half the window: a service that does no more at a time than before lets requests
//! queue, and takes twice as long (Little's law). Then the window goes back by half and stays there for a while, longer
//! each time. Against a small server a few hundred connections at once would end in as many time-outs.
//! ```text
//!   4 ─> 8 ─> 16 ─> 32        median 20 ms, 20 ms, 21 ms, 42 ms: back to 16 for `HOLD`, then 32 is tried again
//! ```
//! What ends while the window grows has begun when it was smaller: where that took longer than before, the window
//! stands until as many have begun in it as a median needs.
//!
//! `'lookup.concurrency' = 'adaptive'` looks at the latency as well. A round is as many answers as the window has
//! places. Rounds that take not much longer than the fastest ones let the window grow by the root of its size; one that
//! takes more than `SLOWER` times as long shrinks it in proportion, because the requests queue over there:
//! ```text
//!   window' = window + sqrt(window)                      if mean <= SLOWER * base, and the window was full
//!   window' = window * max(1/2, SLOWER * base / mean)    else
//! ```
//! The base is the mean of the fastest round. Every `PROBES` rounds the window is cut to a quarter for one round, whose mean
//! is the new base: a service that became slower for good is not starved, and one that is loaded by us alone does not
//! look as if it was always slow.
//!
//! Requests that time out, connections that break, and answers that say "too many" (429, 503) shrink it as well, if they
//! are more than a share of a round: a service that fails now and then is not full.
//!
//! The retry budget: two calls that succeed pay for a retry (and there are a few a second), so that an outage does not
//! multiply the load. A request that the budget does not let through yet waits; its rows wait as long as they may (or,
//! where an error does not fail the job, as long as all its back-offs would take), and while everything fails the few a
//! second find out when it is over. `WELL` answers in a row say that it is: each pays for `WELL_PAYS` retries from then
//! on, so that those that wait are through in a moment. Up to a third of failures costs the calls that are made again,
//! and no more; a budget of a fifth would slow such a service down to those few a second.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::answer::{Failure, FailureKind};

/// Failed connections, without a success between them, after which it is reported.
const REPORT_AFTER: u32 = 3;
/// At most one report in so long.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Requests in flight at the start: where the latency is looked at, and where success is.
const FIRST: usize = 16;
const SLOW_START: usize = 4;
/// How much longer requests take, when twice as many are in flight, where they only queue.
const QUEUED: u32 = 3;
const QUEUED_OF: u32 = 2;
/// Latencies that a median needs, and how many are kept.
const MEDIAN_OF: usize = 16;
const MEDIAN_MOST: usize = 1024;
/// Below it a queue does no harm, and the machine's own turns are most of what is measured.
const QUICK: Duration = Duration::from_millis(10);
/// How long a window that was too large is not tried again, at first and at most.
const HOLD: Duration = Duration::from_secs(5);
const HOLD_MOST: Duration = Duration::from_secs(60);
/// Requests in flight when nothing limits them.
const MOST: usize = 1 << 16;
/// Results that the breaker looks at: at least so many in a window of so long.
const BREAKER_CALLS: u32 = 20;
const BREAKER_WINDOW: Duration = Duration::from_secs(10);
/// Retries that are always allowed, those that are a second, and how many calls pay for one more.
const FREE_RETRIES: f64 = 100.0;
const RETRIES_A_SECOND: f64 = 10.0;
const CALLS_A_RETRY: f64 = 2.0;
/// How many answers without a failure between them say that a service is well, and what each pays for then.
const WELL: u32 = 10;
const WELL_PAYS: f64 = 2.0;
/// How much slower a service may get before it has enough, and after how many rounds its best is measured again.
const SLOWER: f64 = 2.0;
/// The share of a round that may be refused or lost before the service has enough.
const CROWDED: f64 = 0.25;
const PROBES: u32 = 50;

/// Limits that a table sets for its endpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Requests in flight; grows with success without it.
    pub max_in_flight: Option<usize>,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Share of failures, from 0 to 1, that opens the breaker, and for how long.
    pub breaker: Option<(f64, Duration)>,
    /// Whether the requests in flight follow the latency.
    pub adaptive: bool,
}

#[derive(Debug)]
struct Window {
    size: usize,
    most: usize,
    /// Permits to take away when they come back.
    debt: usize,
    /// When it was last halved.
    halved: Option<Instant>,
    round: Round,
    octave: Octave,
}

/// What requests take while the window doubles.
#[derive(Debug)]
struct Octave {
    /// The size that is doubled.
    from: usize,
    /// What the last requests took.
    took: Vec<Duration>,
    /// What they took at the size before.
    before: Option<Duration>,
    /// Since when the window has its size and does not grow: what has begun since then says how long it takes at it.
    stands: Option<Instant>,
    /// Until when it does not grow because it was too large.
    held: Option<Instant>,
    hold: Duration,
}

impl Octave {
    /// At a size whose latency is to be found out first.
    fn new(size: usize) -> Self {
        let stands = Some(Instant::now());
        Self { from: size.div_ceil(2), took: Vec::new(), before: None, stands, held: None, hold: HOLD }
    }

    fn median(&mut self) -> Option<Duration> {
        let middle = self.took.len() / 2;
        let enough = self.took.len() >= MEDIAN_OF;
        enough.then(|| *self.took.select_nth_unstable(middle).1)
    }

    /// The window's size after a request that began at `started` has succeeded.
    fn next(&mut self, size: usize, started: Instant, now: Instant) -> usize {
        if self.stands.is_none_or(|since| started >= since) && self.took.len() < MEDIAN_MOST {
            self.took.push(now.duration_since(started));
        }
        if let Some(held) = self.held {
            if now < held {
                return size;
            }
            self.held = None;
            self.before = self.median().or(self.before);
            return self.grow(size);
        }
        if size < 2 * self.from {
            return size + 1;
        }
        let Some(median) = self.median() else {
            // Few have ended: those that begin from now on will say it.
            self.stand(now);
            return size;
        };
        let Some(before) = self.before else {
            self.before = Some(median);
            return self.grow(size);
        };
        if self.stands.is_none() && median * 4 > before * 5 {
            // Most of them have begun in a smaller window.
            self.stand(now);
            return size;
        }
        if median * QUEUED_OF >= before * QUEUED && median > QUICK {
            self.held = Some(now + self.hold);
            self.hold = (self.hold * 2).min(HOLD_MOST);
            self.took.clear();
            self.stands = Some(now);
            return self.from;
        }
        if self.stands.is_some() {
            (self.before, self.hold) = (Some(median), HOLD);
        }
        self.grow(size)
    }

    fn stand(&mut self, now: Instant) {
        if self.stands.is_none() {
            self.took.clear();
            self.stands = Some(now);
        }
    }

    fn grow(&mut self, size: usize) -> usize {
        self.from = size;
        self.stands = None;
        self.took.clear();
        size + 1
    }
}

/// What the answers of a round took, in seconds.
#[derive(Debug, Default)]
struct Round {
    sum: f64,
    /// Requests that succeeded, those that ended, and those that were lost or refused.
    succeeded: usize,
    answers: usize,
    crowded: usize,
    /// Whether all places were taken.
    full: bool,
    base: Option<f64>,
    /// Rounds since the base was measured.
    rounds: u32,
}

#[derive(Debug, Clone, Copy)]
enum Breaker {
    Closed {
        since: Instant,
        calls: u32,
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One probe is on its way.
    Probing,
}

/// One service.
#[derive(Debug)]
pub(super) struct Endpoint {
    name: String,
    limits: Limits,
    permits: Semaphore,
    window: Mutex<Window>,
    /// When the next request may leave, by the rate.
    next: Mutex<Option<Instant>>,
    breaker: Mutex<Option<Breaker>>,
    retries: Mutex<Retries>,
    outage: Mutex<Outage>,
}

/// The budget of retries.
#[derive(Debug)]
struct Retries {
    /// That may be made, as of some instant.
    left: f64,
    since: Instant,
    /// Answers without a failure between them.
    streak: u32,
}

/// Connections that failed one after the other.
#[derive(Debug, Default)]
struct Outage {
    failed: u32,
    /// When it was last reported.
    reported: Option<Instant>,
}

/// A place in the window, until the request has ended.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    endpoint: &'a Endpoint,
    permit: Option<SemaphorePermit<'a>>,
    started: Instant,
    probe: bool,
}

impl Endpoint {
    pub(super) fn new(name: &str, limits: Limits) -> Arc<Self> {
        let most = limits.max_in_flight.unwrap_or(MOST).clamp(1, MOST).min(super::descriptors::connections());
        let fixed = limits.max_in_flight.is_some() && !limits.adaptive;
        let first = if limits.adaptive { FIRST } else { SLOW_START };
        let size = if fixed { most } else { first.min(most) };
        Arc::new(Self {
            name: name.to_string(),
            permits: Semaphore::new(size),
            window: Mutex::new(Window {
                size,
                most,
                debt: 0,
                halved: None,
                round: Round::default(),
                octave: Octave::new(size),
            }),
            next: Mutex::new(None),
            breaker: Mutex::new(None),
            retries: Mutex::new(Retries { left: FREE_RETRIES, since: Instant::now(), streak: 0 }),
            outage: Mutex::default(),
            limits,
        })
    }

    /// The endpoint that all lookups of this process with these limits share.
    pub(super) fn shared(name: &str, limits: Limits) -> Arc<Self> {
        type Known = HashMap<String, Vec<Weak<Endpoint>>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock();
        known.retain(|_, endpoints| {
            endpoints.retain(|e| e.strong_count() > 0);
            !endpoints.is_empty()
        });
        let key = super::wire::test().map_or_else(|| name.to_string(), |test| format!("{test} {name}"));
        let same = known.entry(key).or_default();
        if let Some(found) = same.iter().filter_map(Weak::upgrade).find(|e| e.limits == limits) {
            return found;
        }
        let endpoint = Self::new(name, limits);
        same.push(Arc::downgrade(&endpoint));
        endpoint
    }

    /// Waits for a place; fails at once while the breaker is open.
    pub(super) async fn enter(&self) -> Result<Permit<'_>, Failure> {
        // Dropping the permit settles the probe, so that one that is cancelled does not keep the breaker shut.
        let permit = self.permits.acquire().await.ok();
        let probe = self.check_breaker()?;
        let mut entered = Permit { endpoint: self, permit, started: Instant::now(), probe };
        if let Some(turn) = self.turn() {
            sleep_until(turn).await;
        }
        entered.started = Instant::now();
        Ok(entered)
    }

    /// When it is this request's turn, by the rate.
    fn turn(&self) -> Option<Instant> {
        let rate = self.limits.rate?;
        let now = Instant::now();
        let gap = Duration::from_secs_f64(1.0 / rate);
        let mut next = self.next.lock();
        // What was not used within the last second is lost.
        let turn = next.unwrap_or(now).max(now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
        *next = Some(turn + gap);
        (turn > now).then_some(turn)
    }

    /// Whether the request is a probe; a failure while the breaker is open.
    fn check_breaker(&self) -> Result<bool, Failure> {
        if self.limits.breaker.is_none() {
            return Ok(false);
        }
        let now = Instant::now();
        let mut breaker = self.breaker.lock();
        match *breaker {
            Some(Breaker::Open { until }) if until <= now => {
                *breaker = Some(Breaker::Probing);
                Ok(true)
            }
            Some(Breaker::Open { .. } | Breaker::Probing) => Err(Failure::new(
                FailureKind::Limit,
                format!("{}: the circuit breaker is open after too many failures", self.name),
            )
            .retryable()),
            _ => Ok(false),
        }
    }

    /// Whether one more retry is within the budget.
    pub(super) fn may_retry(&self) -> bool {
        let mut budget = self.retries.lock();
        let now = Instant::now();
        let earned = now.duration_since(budget.since).as_secs_f64() * RETRIES_A_SECOND;
        (budget.left, budget.since) = ((budget.left + earned).min(FREE_RETRIES), now);
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }

    fn note(&self, permit: &Permit<'_>, failed: bool, crowded: bool, refused: bool) {
        let mut budget = self.retries.lock();
        budget.streak = if failed { 0 } else { budget.streak.saturating_add(1) };
        if !failed {
            let pays = if budget.streak >= WELL { WELL_PAYS } else { 1.0 / CALLS_A_RETRY };
            budget.left = (budget.left + pays).min(FREE_RETRIES);
        }
        drop(budget);
        if let Some((rate, open_for)) = self.limits.breaker {
            let now = Instant::now();
            let mut breaker = self.breaker.lock();
            *breaker = Some(match *breaker {
                Some(Breaker::Probing) if permit.probe && failed => Breaker::Open { until: now + open_for },
                Some(Breaker::Probing) if permit.probe => {
                    Breaker::Closed { since: now, calls: 0, failures: 0 }
                }
                Some(Breaker::Closed { since, calls, failures }) => {
                    let fresh = now.duration_since(since) > BREAKER_WINDOW;
                    let (since, calls, failures) = if fresh { (now, 0, 0) } else { (since, calls, failures) };
                    let (calls, failures) = (calls + 1, failures + u32::from(failed));
                    if calls >= BREAKER_CALLS && f64::from(failures) >= rate * f64::from(calls) {
                        log::warn!(
                            "{}: {failures} of {calls} requests failed; no request for {}",
                            self.name,
                            super::retry::shown(open_for)
                        );
                        Breaker::Open { until: now + open_for }
                    } else {
                        Breaker::Closed { since, calls, failures }
                    }
                }
                Some(other) => other,
                None => Breaker::Closed { since: now, calls: 1, failures: u32::from(failed) },
            });
        }
        if self.limits.adaptive {
            self.adapt(permit, failed, crowded || refused);
        } else if self.limits.max_in_flight.is_none() {
            self.resize(permit, failed, crowded);
        }
    }

    /// A place right now, if there is one and nothing speaks against it.
    pub(super) fn try_enter(&self) -> Option<Permit<'_>> {
        let permit = self.permits.try_acquire().ok()?;
        let closed = !matches!(*self.breaker.lock(), Some(Breaker::Open { .. } | Breaker::Probing));
        let entered = Permit { endpoint: self, permit: Some(permit), started: Instant::now(), probe: false };
        if !closed {
            return None;
        }
        match self.turn() {
            None => Some(entered),
            // Its turn is not now: it is lost to another, which is a request less than there may be.
            Some(_) => None,
        }
    }

    /// The window by latency.
    fn adapt(&self, permit: &Permit<'_>, failed: bool, crowded: bool) {
        let mut window = self.window.lock();
        let full = self.permits.available_permits() == 0;
        let size = window.size;
        let round = &mut window.round;
        if !failed {
            round.sum += permit.started.elapsed().as_secs_f64();
            round.succeeded += 1;
        }
        round.answers += 1;
        round.crowded += usize::from(crowded);
        round.full |= full;
        if round.answers < size.max(8) {
            return;
        }
        let is_crowded = round.crowded as f64 > CROWDED * round.answers as f64;
        if is_crowded || round.succeeded == 0 {
            let Round { base, rounds, .. } = *round;
            window.round = Round { base, rounds, ..Round::default() };
            self.set_size(&mut window, if is_crowded { size / 2 } else { size });
            return;
        }
        let mean = (round.sum / round.succeeded as f64).max(1e-6);
        let base = round.base.map_or(mean, |base| base.min(mean));
        let (full, rounds) = (round.full, round.rounds + 1);
        if rounds >= PROBES {
            *round = Round::default();
            self.set_size(&mut window, size / 4);
            return;
        }
        *round = Round { base: Some(base), rounds, ..Round::default() };
        let next = match mean <= SLOWER * base {
            true if full => size + (size as f64).sqrt() as usize,
            true => size,
            false => (size as f64 * (SLOWER * base / mean).max(0.5)) as usize,
        };
        self.set_size(&mut window, next);
    }

    /// Gives places, or takes them away as they come back.
    fn set_size(&self, window: &mut Window, size: usize) {
        let size = size.clamp(1, window.most);
        if size < window.size {
            window.debt += window.size - size;
            let taken = self.permits.forget_permits(window.debt);
            window.debt -= taken;
        } else {
            let more = size - window.size;
            let owed = more.min(window.debt);
            window.debt -= owed;
            self.permits.add_permits(more - owed);
        }
        window.size = size;
    }

    /// Slow start.
    fn resize(&self, permit: &Permit<'_>, failed: bool, crowded: bool) {
        let mut window = self.window.lock();
        let now = Instant::now();
        if crowded {
            // Requests that were in flight together fail together: once is enough.
            if window.halved.is_none_or(|halved| permit.started >= halved) {
                window.halved = Some(now);
                let half = window.size / 2;
                self.set_size(&mut window, half);
                window.octave = Octave::new(window.size);
            }
        } else if !failed && window.size < window.most && self.permits.available_permits() == 0 {
            let size = window.size;
            let next = window.octave.next(size, permit.started, now);
            self.set_size(&mut window, next);
        }
    }

    /// Reports that no connection comes about: the rows wait for it, and without a word nobody would know why.
    fn unreachable(&self, failure: &Failure) {
        let mut outage = self.outage.lock();
        outage.failed += 1;
        let again = outage.reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY);
        if outage.failed >= REPORT_AFTER && again {
            outage.reported = Some(Instant::now());
            log::warn!("{}; the rows wait while it is tried again", failure.message);
        }
    }

    /// Its name and how it is at the moment, for people.
    pub(super) fn describe(&self) -> String {
        let window = self.window.lock();
        let adapts = self.limits.adaptive || self.limits.max_in_flight.is_none();
        let size = window.size;
        drop(window);
        let in_flight = size.saturating_sub(self.permits.available_permits());
        let mut text = format!("{}: {in_flight} requests in flight", self.name);
        if size < MOST {
            text.push_str(&format!(", {size} at most{}", if adapts { " for now" } else { "" }));
        }
        if let Some(rate) = self.limits.rate {
            text.push_str(&format!(", {rate} a second"));
        }
        if self.limits.breaker.is_some() {
            let state = match *self.breaker.lock() {
                Some(Breaker::Open { until }) if until > Instant::now() => "open: requests are refused",
                Some(Breaker::Open { .. } | Breaker::Probing) => "half open: one request probes",
                _ => "closed",
            };
            text.push_str(", circuit breaker ");
            text.push_str(state);
        }
        text
    }

    /// Requests that may be in flight now.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.window.lock().size
    }
}

impl Permit<'_> {
    /// Notes how the request ended.
    pub(super) fn ended(self, failure: Option<&Failure>) {
        use FailureKind::{Connection, Status, Timeout};
        let failed = |kind| matches!(kind, Connection | Timeout | Status(429 | 500..));
        let crowded = |kind| matches!(kind, Connection | Timeout);
        let kind = failure.map(|f| f.kind);
        match failure {
            Some(failure) if failure.kind == Connection => self.endpoint.unreachable(failure),
            _ => self.endpoint.outage.lock().failed = 0,
        }
        let refused = matches!(kind, Some(Status(429 | 503)));
        self.endpoint.note(&self, kind.is_some_and(failed), kind.is_some_and(crowded), refused);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut window = self.endpoint.window.lock();
        if window.debt > 0
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            window.debt -= 1;
        }
        drop(window);
        if self.probe {
            // It was cancelled before it said anything: the next request is the probe.
            let mut breaker = self.endpoint.breaker.lock();
            if matches!(*breaker, Some(Breaker::Probing)) {
                *breaker = Some(Breaker::Open { until: Instant::now() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    fn failure(kind: FailureKind) -> Failure {
        Failure::new(kind, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_grows_with_success_and_halves_once_for_a_crowd() {
        let endpoint = Endpoint::new("e", Limits::default());
        let mut entered = Vec::new();
        while let Some(permit) = endpoint.enter().now_or_never() {
            entered.push(permit.unwrap());
        }
        assert_eq!(entered.len(), SLOW_START);
        for _ in 0..MEDIAN_OF {
            assert_eq!(endpoint.size(), SLOW_START);
            entered.remove(0).ended(None);
            entered.push(endpoint.enter().now_or_never().unwrap().unwrap());
        }
        assert_eq!(endpoint.size(), SLOW_START + 1);
        while let Some(permit) = endpoint.enter().now_or_never() {
            entered.push(permit.unwrap());
        }
        assert_eq!(entered.len(), SLOW_START + 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        entered.drain(..).for_each(|permit| permit.ended(Some(&failure(FailureKind::Timeout))));
        assert_eq!(endpoint.size(), SLOW_START.div_ceil(2));
        assert_eq!(endpoint.permits.available_permits(), endpoint.size());
    }

    /// How large the window becomes before a service that answers `at_once` requests at a time, each in 20 ms.
    async fn window_before(at_once: usize, requests: usize) -> usize {
        let endpoint = Endpoint::new("e", Limits::default());
        let service = Semaphore::new(at_once);
        let request = async || {
            let permit = endpoint.enter().await.unwrap();
            let place = service.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(place);
            let size = endpoint.size();
            permit.ended(None);
            size
        };
        let sizes = futures::future::join_all((0..requests).map(|_| request())).await;
        sizes.into_iter().max().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_does_not_grow_where_requests_only_queue() {
        let one = window_before(1, 1_000).await;
        assert!(one <= 2 * SLOW_START, "{one}");
        let eight = window_before(8, 2_000).await;
        assert!((8..=32).contains(&eight), "{eight}");
        let all = window_before(MOST, 6_000).await;
        assert!(all > 1_000, "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_fails_now_and_then_is_not_full_and_one_that_refuses_is() {
        let limits = Limits { adaptive: true, ..Limits::default() };
        let endpoint = Endpoint::new("e", limits);
        let round = async |failures: usize, kind: FailureKind| {
            let mut entered = Vec::new();
            while let Some(permit) = endpoint.enter().now_or_never() {
                entered.push(permit.unwrap());
            }
            tokio::time::advance(Duration::from_millis(10)).await;
            for (i, permit) in entered.into_iter().enumerate() {
                permit.ended((i < failures).then(|| failure(kind)).as_ref());
            }
        };
        for _ in 0..20 {
            round(3, FailureKind::Status(500)).await;
            round(2, FailureKind::Timeout).await;
        }
        let size = endpoint.size();
        assert!(size > 4 * FIRST, "{size}");
        round(size, FailureKind::Status(429)).await;
        assert_eq!(endpoint.size(), size / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_spreads_requests() {
        let limits = Limits { rate: Some(10.0), ..Limits::default() };
        let endpoint = Endpoint::new("e", limits);
        let start = Instant::now();
        for _ in 0..11 {
            endpoint.enter().await.unwrap().ended(None);
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_probes_and_closes() {
        let limits = Limits { breaker: Some((0.5, Duration::from_secs(5))), ..Limits::default() };
        let endpoint = Endpoint::new("e", limits);
        for _ in 0..BREAKER_CALLS {
            endpoint.enter().await.unwrap().ended(Some(&failure(FailureKind::Status(503))));
        }
        assert_eq!(endpoint.enter().await.unwrap_err().kind, FailureKind::Limit);
        tokio::time::advance(Duration::from_secs(6)).await;
        // A probe that is cancelled leaves its place to the next.
        drop(endpoint.enter().await.unwrap());
        let probe = endpoint.enter().await.unwrap();
        assert!(endpoint.enter().await.is_err());
        probe.ended(Some(&failure(FailureKind::Status(503))));
        assert!(endpoint.enter().await.is_err());
        tokio::time::advance(Duration::from_secs(6)).await;
        endpoint.enter().await.unwrap().ended(None);
        assert!(endpoint.enter().await.is_ok());
    }

    #[test]
    fn retries_are_a_share_of_the_calls() {
        let endpoint = Endpoint::new("e", Limits::default());
        assert_eq!((0..200).filter(|_| endpoint.may_retry()).count(), FREE_RETRIES as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_well_again_gives_the_retries_back() {
        let endpoint = Endpoint::new("e", Limits::default());
        let spent = |endpoint: &Endpoint| (0..200).filter(|_| endpoint.may_retry()).count();
        spent(&endpoint);
        let mut answers = 0u32;
        for failed in [false, false, false, false, true].iter().cycle().take(50) {
            endpoint.enter().await.unwrap().ended(failed.then(|| failure(FailureKind::Status(503))).as_ref());
            answers += u32::from(!failed);
        }
        // A share of them, while some fail.
        assert!(spent(&endpoint) as f64 <= f64::from(answers) / CALLS_A_RETRY + 0.01);
        for _ in 0..WELL + 50 {
            endpoint.enter().await.unwrap().ended(None);
        }
        assert!(spent(&endpoint) >= 100);
    }
}
