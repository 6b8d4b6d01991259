//! What a service does to those who ask it: every row leaves once, with the outcome that it should have.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::endpoint::Limits;
use super::rig::settle;
use super::script::{config, dim_rows, dim_schema, partial, request};
use super::shared::Lookups;
use super::{
    Answers, Backend, BoxFuture, Completions, Failure, FailureKind, Lookup, LookupConfig, LookupMetrics,
    Outcome, Service,
};
use crate::clock::ManualClock;
use crate::flow::Mailbox;

/// A service that a function plays: the time since the start and the keys of a request, to when it answers and what.
type Play = dyn Fn(Duration, &[String]) -> (Duration, Result<Vec<String>, Failure>) + Send + Sync;

struct Theatre {
    play: Box<Play>,
    start: Instant,
    max_keys: usize,
    calls: Arc<Mutex<Vec<(Duration, usize)>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    name: String,
}

struct Here(Arc<AtomicUsize>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Theatre {
    fn new(
        max_keys: usize,
        play: impl Fn(Duration, &[String]) -> (Duration, Result<Vec<String>, Failure>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            play: Box::new(play),
            start: Instant::now(),
            max_keys,
            calls: Arc::default(),
            now: Arc::default(),
            most: Arc::default(),
            // Limits of services are shared by the process: each test has one of its own.
            name: format!("theatre-{}", NAMES.fetch_add(1, Ordering::Relaxed)),
        })
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    /// Requests within a span of seconds.
    fn calls_within(&self, seconds: std::ops::Range<u64>) -> usize {
        self.calls.lock().iter().filter(|(at, _)| seconds.contains(&at.as_secs())).count()
    }
}

impl Backend for Theatre {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let column = keys.column(0);
        let names: Vec<String> =
            (0..column.len()).map(|i| array_value_to_string(column, i).unwrap()).collect();
        let at = self.start.elapsed();
        self.calls.lock().push((at, names.len()));
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let here = Here(self.now.clone());
        let (wait, answer) = (self.play)(at, &names);
        Box::pin(async move {
            let _here = here;
            sleep(wait).await;
            let rows = answer?;
            let rows = dim_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
            if keys.num_rows() == 1 {
                return Answers::single(rows).of_keys(&[0], &keys).map_err(|e| Failure::other(e.message()));
            }
            let (answers, _) =
                Answers::by_key(&rows, &[0], &keys).map_err(|e| Failure::other(e.message()))?;
            Ok(answers)
        })
    }

    fn max_keys(&self) -> usize {
        self.max_keys
    }

    fn endpoint(&self) -> Option<Service> {
        Some(Service { name: self.name.clone(), max_in_flight: None })
    }

    fn describe(&self) -> String {
        format!("play {:?}", dim_schema().field(0).name())
    }
}

fn ok(keys: &[String]) -> Result<Vec<String>, Failure> {
    Ok(keys.iter().map(|key| format!("{key} brand 1")).collect())
}

fn fails(kind: FailureKind) -> Failure {
    Failure::new(kind, format!("{} of the play", kind.as_str())).retryable()
}

/// A number from 0 to 1 that depends on the keys and the time alone.
fn dice(at: Duration, keys: &[String]) -> f64 {
    let mut state = at.as_micros() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for byte in keys.iter().flat_map(|key| key.bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    state ^= state >> 29;
    state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (state >> 11) as f64 / (1u64 << 53) as f64
}

/// Rows for some distinct keys, with at most so many in flight as a task has; how each ended.
struct Run {
    outcomes: BTreeMap<&'static str, usize>,
    took: Duration,
    lookup: Arc<Lookup>,
}

async fn run(service: &Arc<Theatre>, config: LookupConfig, rows: usize) -> Run {
    run_distinct(service, config, rows, rows).await
}

async fn run_distinct(service: &Arc<Theatre>, config: LookupConfig, rows: usize, keys: usize) -> Run {
    let lookups = Lookups::default();
    let backend = service.clone() as Arc<dyn Backend>;
    let (handle, clock) = (Handle::current(), ManualClock::new(0));
    let lookup = lookups.lookup("d".into(), request(), |_| Ok(backend), config, handle, clock).unwrap();
    let completions = Completions::new(Mailbox::new().waker(0));
    let start = Instant::now();
    let (mut next, mut open, mut outcomes) = (0, 0, BTreeMap::new());
    let mut done = vec![0u32; rows];
    while next < rows || open > 0 {
        let mut names = Vec::new();
        let mut tickets = Vec::new();
        while next < rows && open < lookup.capacity() {
            tickets.push((names.len() as u32, next as u32));
            names.push(format!("k{}", next % keys));
            next += 1;
            open += 1;
        }
        if !names.is_empty() {
            let column = arrow::array::StringViewArray::from_iter_values(&names);
            let keys = Arc::new(lookup.encoder().encode(vec![Arc::new(column)], None).unwrap());
            lookup.ask(&completions, &keys, &tickets).unwrap();
        }
        settle().await;
        let answers = completions.take();
        if answers.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        for (ticket, answer) in answers {
            done[ticket as usize] += 1;
            open -= 1;
            let outcome = match &answer.outcome {
                Outcome::Ok => "ok",
                Outcome::Miss => "miss",
                Outcome::Error(failure) => failure.kind.as_str(),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    assert!(done.iter().all(|n| *n == 1), "every row leaves once");
    Run { outcomes, took: start.elapsed(), lookup }
}

fn all(outcome: &'static str, n: usize) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([(outcome, n)])
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_minute_costs_a_minute() {
    let service = Theatre::new(1, |at, keys| match at.as_secs() {
        10..70 => (MS, Err(fails(FailureKind::Connection))),
        _ => (20 * MS, ok(keys)),
    });
    // Retries last as long as a row waits.
    let config = LookupConfig { max_retries: 1000, timeout: Duration::from_secs(180), ..config() };
    let run = run(&service, config, 60_000).await;
    assert_eq!(run.outcomes, all("ok", 60_000));
    let without = Duration::from_millis(20 * 60_000 / 100);
    assert!(
        run.took > Duration::from_secs(60) && run.took < without + Duration::from_secs(80),
        "{:?}",
        run.took
    );
    // Neither hammered while it is away, nor overrun when it is back: retries are a fifth of the calls and a few.
    let (before, during) = (service.calls_within(0..10), service.calls_within(10..70));
    assert!(during < 60 * 60, "{during} calls while it was away, {before} before");
    assert!(service.most.load(Ordering::SeqCst) <= 100);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_over_for_all_rows_when_it_is_over() {
    let service = Theatre::new(1, |at, keys| match at.as_secs() {
        3..13 => (MS, Err(fails(FailureKind::Status(503)))),
        _ => (10 * MS, ok(keys)),
    });
    let config = LookupConfig { max_retries: 20, timeout: Duration::from_secs(180), ..config() };
    let run = run(&service, config, 60_000).await;
    assert_eq!(run.outcomes, all("ok", 60_000));
    // 100 at a time and ten milliseconds each; the rows that waited do not hold the others up for long. The last back-off
    // that began during the outage is about as long as the outage.
    let without = Duration::from_secs(6);
    assert!(run.took < without + Duration::from_secs(10 + 15), "{:?}", run.took);
    let during = service.calls_within(3..13);
    assert!(during < 400, "{during} calls while it was away");
}

#[tokio::test(start_paused = true)]
async fn while_an_outage_lasts_rows_leave_by_their_policy() {
    for limits in
        [Limits::default(), Limits { breaker: Some((0.5, Duration::from_secs(2))), ..Limits::default() }]
    {
        let service = Theatre::new(1, |_, _| (MS, Err(fails(FailureKind::Status(503)))));
        let on_error = super::OnError::Null.into();
        let config =
            LookupConfig { max_retries: 3, on_error, limits, timeout: Duration::from_secs(180), ..config() };
        let run = run(&service, config, 2000).await;
        assert_eq!(run.outcomes.get("ok"), None);
        assert_eq!(run.outcomes.values().sum::<usize>(), 2000);
        // A row takes no longer than its back-offs, 0.1 + 0.2 + 0.4 s, and a hundred of them wait at a time.
        assert!(run.took < Duration::from_secs(30), "{:?}", run.took);
        // First attempts, and few others.
        assert!(service.calls() < 2000 + 500, "{}", service.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_with_a_breaker_is_the_policy() {
    let service = Theatre::new(1, |at, keys| match at.as_secs() {
        5..65 => (MS, Err(fails(FailureKind::Status(503)))),
        _ => (20 * MS, ok(keys)),
    });
    let limits = Limits { breaker: Some((0.5, Duration::from_secs(5))), ..Limits::default() };
    let config = LookupConfig { max_retries: 0, limits, ..config() };
    let run = run(&service, config, 60_000).await;
    assert_eq!(run.outcomes.values().sum::<usize>(), 60_000);
    // The breaker opens after few calls and lets one through every five seconds.
    let during = service.calls_within(6..64);
    assert!(during <= 14, "{during}");
    assert!(run.outcomes["limit"] > 1000 && run.outcomes["ok"] > 1000, "{:?}", run.outcomes);
}

#[tokio::test(start_paused = true)]
async fn a_third_of_errors_loses_no_row() {
    let service = Theatre::new(1, |at, keys| match dice(at, keys) {
        x if x < 0.3 => (5 * MS, Err(fails(FailureKind::Status(500)))),
        _ => (5 * MS, ok(keys)),
    });
    let run = run(&service, LookupConfig { max_retries: 1000, ..config() }, 5000).await;
    assert_eq!(run.outcomes, all("ok", 5000));
    let (calls, retries) = (service.calls(), LookupMetrics::get(&run.lookup.metrics().retries));
    assert_eq!(calls as u64, 5000 + retries);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_often_is_not_starved_by_others() {
    // The budget of retries gives about ten a second, and as many keys as a task may have in flight want one.
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let service = Theatre::new(1, move |at, keys| {
        let fails_now = match keys[0].as_str() {
            "k7" => counted.fetch_add(1, Ordering::SeqCst) < 8,
            _ => dice(at, keys) < 0.5,
        };
        (5 * MS, if fails_now { Err(fails(FailureKind::Status(500))) } else { ok(keys) })
    });
    let run = run(&service, LookupConfig { max_retries: 1000, ..config() }, 2000).await;
    // The ninth try answers. Of the others one that is unlucky again and again may run out of time.
    assert_eq!(tries.load(Ordering::SeqCst), 9);
    assert!(run.outcomes["ok"] >= 1995, "{:?}", run.outcomes);
}

#[tokio::test(start_paused = true)]
async fn a_slow_tail_holds_its_own_rows_only() {
    let service = Theatre::new(1, |at, keys| match dice(at, keys) {
        x if x < 0.01 => (Duration::from_secs(30), ok(keys)),
        _ => (5 * MS, ok(keys)),
    });
    let config = LookupConfig { timeout: Duration::from_secs(1), max_retries: 0, ..config() };
    let run = run(&service, config, 5000).await;
    let late = run.outcomes.get("timeout").copied().unwrap_or_default();
    assert!((20..100).contains(&late), "{:?}", run.outcomes);
    assert_eq!(run.outcomes["ok"] + late, 5000);
    // Places of those that gave up are free again.
    settle().await;
    assert_eq!(
        (service.now.load(Ordering::SeqCst), LookupMetrics::get(&run.lookup.metrics().in_flight)),
        (0, 0)
    );
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_and_429_without_it_backs_off() {
    for retry_after in [Some(Duration::from_secs(2)), None] {
        let first = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let seen = first.clone();
        let service = Theatre::new(1, move |at, keys| {
            let key = keys[0].clone();
            match seen.lock().insert(key) && at.as_secs() < 1 {
                true => (MS, Err(Failure { retry_after, ..fails(FailureKind::Status(429)) })),
                false => (5 * MS, ok(keys)),
            }
        });
        let run = run(&service, LookupConfig { max_retries: 10, ..config() }, 500).await;
        assert_eq!(run.outcomes, all("ok", 500), "{retry_after:?}");
        if retry_after.is_some() {
            let early = service
                .calls
                .lock()
                .iter()
                .filter(|(at, _)| at.as_millis() > 1500 && at.as_millis() < 1900)
                .count();
            assert!(run.took >= Duration::from_secs(2), "{:?} {early}", run.took);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_in_batches_stands_alone_in_the_end() {
    let service = Theatre::new(64, |_, keys| match keys.iter().any(|key| key == "k77") {
        true => (5 * MS, Err(Failure::new(FailureKind::Status(500), "k77 kills it"))),
        false => (5 * MS, ok(keys)),
    });
    let run = run(&service, LookupConfig { max_retries: 0, ..config() }, 1000).await;
    assert_eq!(run.outcomes, BTreeMap::from([("ok", 999), ("status", 1)]));
}

#[tokio::test(start_paused = true)]
async fn answers_in_another_order_doubled_foreign_and_missing() {
    let service = Theatre::new(64, |_, keys| {
        let mut rows: Vec<String> = ok(keys).unwrap();
        rows.retain(|row| !row.starts_with("k13 "));
        rows.reverse();
        rows.push("nobody asked 9".into());
        if let Some(first) = rows.first().cloned() {
            rows.push(first);
        }
        (5 * MS, Ok(rows))
    });
    let run = run(&service, config(), 1000).await;
    // Doubled rows are two rows of their key; foreign ones are nobody's; a missing one is a miss.
    assert_eq!(run.outcomes, BTreeMap::from([("miss", 1), ("ok", 999)]));
}

#[tokio::test(start_paused = true)]
async fn calls_are_no_more_than_distinct_keys_and_retries() {
    let service = Theatre::new(8, |at, keys| match dice(at, keys) {
        x if x < 0.2 => (5 * MS, Err(fails(FailureKind::Timeout))),
        _ => (5 * MS, ok(keys)),
    });
    let config = LookupConfig { cache: partial(), max_retries: 1000, ..config() };
    let run = run_distinct(&service, config, 20_000, 300).await;
    assert_eq!(run.outcomes, all("ok", 20_000));
    let metrics = run.lookup.metrics();
    let (keys, retries) = (LookupMetrics::get(&metrics.keys), LookupMetrics::get(&metrics.retries));
    assert!(keys <= 300 + retries, "{keys} keys were asked for, {retries} again");
}

#[tokio::test(start_paused = true)]
async fn adaptive_concurrency_finds_what_the_service_bears() {
    // Ten at a time; more wait for one another.
    let now = Arc::new(AtomicUsize::new(0));
    let inside = now.clone();
    let service = Theatre::new(1, move |_, keys| {
        let queue = (inside.load(Ordering::SeqCst).max(10) as u32).div_ceil(10);
        (10 * MS * queue, ok(keys))
    });
    let service = Arc::new(Theatre { now, ..Arc::into_inner(service).unwrap() });
    let limits = Limits { adaptive: true, ..Limits::default() };
    let config = LookupConfig { limits, capacity: 1000, ..config() };
    let run = run(&service, config, 20_000).await;
    assert_eq!(run.outcomes, all("ok", 20_000));
    let most = service.most.load(Ordering::SeqCst);
    assert!((16..80).contains(&most), "{most} at a time");
    // As fast as it can be: ten each ten milliseconds, a little less while it is found out.
    assert!(run.took < Duration::from_secs(30), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_hedged_request_cuts_the_tail() {
    // The first request for one key in fifty hangs for a while.
    let hangs = || {
        let seen = Mutex::new(std::collections::HashSet::new());
        Theatre::new(1, move |_, keys| {
            let first = seen.lock().insert(keys[0].clone());
            let wait = if first && keys[0].ends_with("07") { Duration::from_secs(5) } else { 5 * MS };
            (wait, ok(keys))
        })
    };
    let (plain, hedged) = (hangs(), hangs());
    let run_plain = run(&plain, config(), 2000).await;
    let config = LookupConfig { hedge_after: Some(50 * MS), ..config() };
    let run_hedged = run(&hedged, config, 2000).await;
    assert_eq!((run_plain.outcomes, run_hedged.outcomes), (all("ok", 2000), all("ok", 2000)));
    let second = LookupMetrics::get(&run_hedged.lookup.metrics().hedged);
    // k107, k207 ... k1907.
    assert_eq!((second, hedged.calls()), (19, 2019));
    assert!(run_hedged.took * 5 < run_plain.took, "{:?} and {:?}", run_hedged.took, run_plain.took);
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_for_all_queries_on_a_service() {
    let service = Theatre::new(1, |_, keys| (MS, ok(keys)));
    let limits = Limits { rate: Some(100.0), ..Limits::default() };
    let config = LookupConfig { limits, ..config() };
    let (a, b) = tokio::join!(run(&service, config.clone(), 500), run(&service, config, 500));
    assert_eq!((a.outcomes, b.outcomes), (all("ok", 500), all("ok", 500)));
    let most = (0..12).map(|s| service.calls_within(s..s + 1)).max().unwrap();
    assert!(most <= 101, "{most} calls in a second");
}
