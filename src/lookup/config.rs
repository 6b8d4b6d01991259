//! How a lookup table is asked: its options, the LOOKUP hint and the session's strategy, resolved.
//!
//! Three voices, the later wins: the table's `WITH` options, the session's `enrichment.strategy`, the
//! `LOOKUP` hint of the query. A strategy decides on the cache and on being asynchronous; a table that
//! can only be loaded whole (`filesystem`) keeps its FULL cache whatever the strategy.

use std::time::Duration;

use chrono::{NaiveTime, Timelike};

use super::endpoint::Limits;
use super::full::Reload;
use super::policy::{ErrorPolicy, ON_ERROR, OnError};
use crate::catalog::Table;
use crate::catalog::options::{Options, parse_bool, parse_duration, parse_integer};
use crate::config::{Config, Strategy};
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
use crate::sql::OptionEntry;

mod options;

use self::options::*;
pub use self::options::{HINT_OPTIONS, OPTIONS};

/// How long an entry is served after its lifetime when `lookup.on-error` = `stale` and nothing says how long.
const STALE: Duration = Duration::from_secs(3600);

/// PARTIAL as the CACHED strategy has it where a table says nothing.
fn cached_by_default() -> PartialConfig {
    PartialConfig {
        max_rows: Some(100_000),
        expire_after_write: Some(Duration::from_secs(60)),
        ..PartialConfig::default()
    }
}

/// Order of rows behind an asynchronous lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// As they came in.
    Ordered,
    /// As answers come; a watermark is not overtaken.
    Unordered,
}

/// The cache in front of a lookup.
#[derive(Debug, Clone, PartialEq)]
pub enum CacheConfig {
    /// None.
    None,
    /// Keys that were asked for.
    Partial(PartialConfig),
    /// The whole table, reloaded.
    Full(super::full::Reload),
}

/// A cache of the keys that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialConfig {
    /// Bound of the number of keys.
    pub max_rows: Option<u64>,
    /// Bound of the bytes.
    pub max_bytes: Option<u64>,
    /// Lifetime from the answer.
    pub expire_after_write: Option<Duration>,
    /// Lifetime from the last use.
    pub expire_after_access: Option<Duration>,
    /// Whether misses are kept.
    pub cache_missing_key: bool,
    /// Lifetime of misses, if it is another.
    pub missing_expire_after_write: Option<Duration>,
    /// How long after its lifetime an answer is served while it is asked for again.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime an answer is served when all attempts failed.
    pub stale_if_error: Option<Duration>,
    /// Whether it is so for every error, or only where the policy is `stale`.
    pub serves_errors: bool,
    /// Share of the lifetime after which a key in use is asked for again.
    pub refresh_ahead: Option<f64>,
    /// Share of the lifetime that is left out at random.
    pub jitter: f64,
    /// Whether it is kept on disk, and in which folder.
    pub persist: bool,
    /// The folder; `None`: the user's.
    pub directory: Option<String>,
}

impl Default for PartialConfig {
    fn default() -> Self {
        Self {
            max_rows: None,
            max_bytes: None,
            expire_after_write: None,
            expire_after_access: None,
            cache_missing_key: true,
            missing_expire_after_write: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            serves_errors: false,
            refresh_ahead: None,
            jitter: 0.0,
            persist: false,
            directory: None,
        }
    }
}

/// Everything resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupConfig {
    /// Cache.
    pub cache: CacheConfig,
    /// False: one row at a time.
    pub is_async: bool,
    /// Order.
    pub output_mode: OutputMode,
    /// Rows in flight per task.
    pub capacity: usize,
    /// Per row, queueing and retries included.
    pub timeout: Duration,
    /// Further attempts after an error.
    pub max_retries: u32,
    /// Further attempts after a miss, and the delay before each (LOOKUP hint `retry-predicate`).
    pub retry_miss: Option<(u32, Duration)>,
    /// How long, and how often, a row that was not found is held and asked for again (`lookup.miss.retry`).
    pub hold_miss: Option<(Duration, Duration)>,
    /// What an exhausted error does.
    pub on_error: ErrorPolicy,
    /// The table that takes rows whose policy is `dead-letter`.
    pub dead_letter: Option<String>,
    /// How long an error answers for its key.
    pub error_ttl: Duration,
    /// Keys a request carries, if the table says so.
    pub batch_max: Option<usize>,
    /// How long a request that is not full waits.
    pub batch_wait: Duration,
    /// After how long a request is sent a second time.
    pub hedge_after: Option<Duration>,
    /// Limits of the endpoint.
    pub limits: Limits,
    /// Whether the capacity was set, and not left to us.
    pub capacity_given: bool,
    /// Rows with equal keys share a request also without a cache: equal keys have equal answers.
    pub shares_calls: bool,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            cache: CacheConfig::None,
            is_async: true,
            output_mode: OutputMode::Ordered,
            capacity: 256,
            timeout: Duration::from_secs(180),
            max_retries: 3,
            retry_miss: None,
            hold_miss: None,
            on_error: ErrorPolicy::default(),
            dead_letter: None,
            error_ttl: Duration::ZERO,
            batch_max: None,
            batch_wait: Duration::ZERO,
            hedge_after: None,
            limits: Limits::default(),
            capacity_given: false,
            shares_calls: false,
        }
    }
}

impl std::fmt::Display for LookupConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cache = match &self.cache {
            CacheConfig::None => "NONE",
            CacheConfig::Partial(_) => "PARTIAL",
            CacheConfig::Full(_) => "FULL",
        };
        write!(f, "cache={cache}")?;
        match (&self.cache, self.is_async) {
            (CacheConfig::Full(_), _) => {}
            (_, false) => f.write_str(", async=false")?,
            (_, true) => {
                let mode = match self.output_mode {
                    OutputMode::Ordered => "ORDERED",
                    OutputMode::Unordered => "ALLOW_UNORDERED",
                };
                write!(f, ", async=true, {mode}, capacity={}", self.capacity)?;
            }
        }
        write!(f, ", {}", self.on_error)
    }
}

impl LookupConfig {
    /// What holds for one reference to a table: its options, the `LOOKUP` hint of the query block, the
    /// session's settings.
    pub fn resolve(table: &Table, hint: &[OptionEntry], settings: &Config) -> Result<LookupConfig> {
        resolve(table, hint, settings).map_err(|e| e.context(format!("lookup table '{}'", table.name)))
    }

    /// What holds for the calls of a function, by the options of its statement. `attempts` and `capacity` are those of
    /// the session, if it says so.
    pub(crate) fn of_function(options: &Options, settings: &Config) -> Result<LookupConfig> {
        let cache = match options.choice(CACHE, &["NONE", "PARTIAL", "FULL"])? {
            Some("FULL") => {
                return Err(Error::option("a function has no 'lookup.cache' = 'FULL'")
                    .with_hint("use 'PARTIAL', which keeps the arguments that it was called with")
                    .at(options.span(CACHE)));
            }
            _ => declared_cache(options, None)?,
        };
        if ErrorPolicy::resolve(options)?.has_dead_letters() {
            return Err(Error::unsupported("a function has no 'lookup.on-error' = 'dead-letter'")
                .with_hint("'null' goes on without a value")
                .at(options.span(ON_ERROR)));
        }
        let mut config = LookupConfig {
            cache,
            output_mode: if settings.lookup_ordered() { OutputMode::Ordered } else { OutputMode::Unordered },
            capacity: settings.lookup_capacity().max(1),
            capacity_given: settings.is_set("table.exec.async-lookup.buffer-capacity"),
            max_retries: options.integer(MAX_RETRIES)?.map_or(3, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            on_error: ErrorPolicy::resolve(options)?,
            error_ttl: options.duration(ERROR_TTL)?.unwrap_or_default(),
            batch_max: batch_size(options)?,
            batch_wait: options.duration(BATCH_WAIT)?.unwrap_or_default(),
            limits: limits(options)?,
            ..LookupConfig::default()
        };
        if let CacheConfig::Partial(partial) = &mut config.cache {
            partial.serves_errors = partial.stale_if_error.is_some();
            if config.on_error.has_stale() && partial.stale_if_error.is_none() {
                partial.stale_if_error = Some(STALE);
            }
        }
        Ok(config)
    }

    /// Whether another reference asks in the same way. What holds for its own rows alone makes no difference: order,
    /// capacity, and how long they wait.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        let own = Self {
            is_async: self.is_async,
            output_mode: self.output_mode,
            capacity: self.capacity,
            capacity_given: self.capacity_given,
            timeout: self.timeout,
            ..other.clone()
        };
        *self == own
    }

    /// How long a row that was not found is held beyond its timeout.
    pub(super) fn miss_wait(&self) -> Duration {
        self.hold_miss.map_or(Duration::ZERO, |(hold, _)| hold)
    }

    /// When a key that was not found is asked for again, after so many empty answers and so much time.
    pub(super) fn ask_again(&self, empty: u32, elapsed: Duration) -> Option<Duration> {
        if let Some((attempts, pause)) = self.retry_miss {
            return (empty < attempts).then_some(pause);
        }
        let (hold, pause) = self.hold_miss?;
        (elapsed.saturating_add(pause) <= hold).then_some(pause)
    }

    fn partial(&self) -> Option<&PartialConfig> {
        match &self.cache {
            CacheConfig::Partial(partial) => Some(partial),
            _ => None,
        }
    }

    /// For how many milliseconds after its lifetime an answer is served while it is asked for again.
    pub(super) fn stale_while_revalidate(&self) -> Option<i64> {
        self.partial()?.stale_while_revalidate.map(millis)
    }

    /// For how many milliseconds after its lifetime an answer is served instead of an error of this kind.
    pub(super) fn stale_if_error(&self, kind: super::FailureKind) -> Option<i64> {
        let partial = self.partial()?;
        let wanted = self.on_error.of(kind) == OnError::Stale || partial.serves_errors;
        partial.stale_if_error.filter(|_| wanted).map(millis)
    }
}

fn resolve(table: &Table, hint: &[OptionEntry], settings: &Config) -> Result<LookupConfig> {
    let options = &table.options;
    let connector = table.connector()?;
    let only_whole = connector.loads_whole();
    let declared = declared_cache(options, only_whole.then(|| connector.name()))?;
    // Flink's HTTP connector has its own name for it.
    let is_async = options.bool("async")?.or(options.bool("asyncPolling")?);
    let mut is_async = is_async.unwrap_or(true);
    let keeps_whole = |c: CacheConfig| if matches!(c, CacheConfig::Full(_)) { c } else { CacheConfig::None };
    let cache = match settings.strategy() {
        None => declared,
        Some(Strategy::Sync) => {
            is_async = false;
            keeps_whole(declared)
        }
        Some(Strategy::Async) => {
            is_async = true;
            if only_whole { declared } else { CacheConfig::None }
        }
        Some(Strategy::Cached) => {
            is_async = true;
            match declared {
                CacheConfig::None => {
                    CacheConfig::Partial(partial(options)?.unwrap_or_else(cached_by_default))
                }
                declared => declared,
            }
        }
    };
    let mut config = LookupConfig {
        cache,
        is_async,
        output_mode: if settings.lookup_ordered() { OutputMode::Ordered } else { OutputMode::Unordered },
        capacity: settings.lookup_capacity().max(1),
        timeout: settings.lookup_timeout(),
        max_retries: max_retries(options)?,
        retry_miss: None,
        hold_miss: positive(options, MISS_RETRY)?
            .map(|hold| {
                Ok::<_, Error>((hold, positive(options, MISS_INTERVAL)?.unwrap_or(Duration::from_secs(10))))
            })
            .transpose()?,
        on_error: ErrorPolicy::resolve(options)?,
        dead_letter: dead_letter(options)?,
        error_ttl: options.duration(ERROR_TTL)?.unwrap_or_default(),
        batch_max: batch_size(options)?,
        batch_wait: options.duration(BATCH_WAIT)?.unwrap_or_default(),
        hedge_after: positive(options, HEDGE)?,
        limits: limits(options)?,
        capacity_given: settings.is_set("table.exec.async-lookup.buffer-capacity"),
        shares_calls: false,
    };
    if let CacheConfig::Partial(partial) = &mut config.cache {
        partial.serves_errors = partial.stale_if_error.is_some();
        if config.on_error.has_stale() && partial.stale_if_error.is_none() {
            partial.stale_if_error = Some(STALE);
        }
    }
    config.hint(hint)?;
    if !config.is_async {
        // One row at a time is in order.
        config.output_mode = OutputMode::Ordered;
    }
    Ok(config)
}

/// The table of dead letters, which belongs together with the policy.
fn dead_letter(options: &Options) -> Result<Option<String>> {
    let wanted = ErrorPolicy::resolve(options)?.has_dead_letters();
    match (options.text(DEAD_LETTER), wanted) {
        (Some(table), true) => Ok(Some(table.to_string())),
        (None, false) => Ok(None),
        (None, true) => Err(Error::option(format!("'{ON_ERROR}' = 'dead-letter' needs '{DEAD_LETTER}'"))
            .with_hint(format!("'{DEAD_LETTER}' = 'table' names the table that takes the rows"))
            .at(options.span(ON_ERROR))),
        (Some(_), false) => {
            Err(Error::option(format!("no error makes a dead letter, and '{DEAD_LETTER}' names a table"))
                .with_hint(format!("set '{ON_ERROR}' = 'dead-letter', or one of its classes"))
                .at(options.span(DEAD_LETTER)))
        }
    }
}

/// The cache that the table's options ask for.
fn declared_cache(options: &Options, only_whole: Option<&str>) -> Result<CacheConfig> {
    match options.choice(CACHE, &["NONE", "PARTIAL", "FULL"])? {
        Some("FULL") => Ok(CacheConfig::Full(reload(options, only_whole.is_some())?)),
        Some("PARTIAL") if only_whole.is_some() => {
            let name = only_whole.unwrap_or_default();
            Err(Error::option(format!("connector '{name}' has no 'lookup.cache' = 'PARTIAL'"))
                .with_hint("its tables are loaded whole: 'lookup.cache' = 'FULL', which is their default"))
        }
        Some("PARTIAL") => partial(options)?.map(CacheConfig::Partial).ok_or_else(|| {
            Error::option("'lookup.cache' = 'PARTIAL' needs a bound")
                .with_hint(format!("set one or more of '{MAX_ROWS}', '{AFTER_WRITE}', '{AFTER_ACCESS}'"))
        }),
        _ if only_whole.is_some() => Ok(CacheConfig::Full(reload(options, true)?)),
        _ => Ok(CacheConfig::None),
    }
}

/// A PARTIAL cache with the bounds that are given, `None` without any.
fn partial(options: &Options) -> Result<Option<PartialConfig>> {
    let max_rows = options.integer(MAX_ROWS)?;
    if max_rows == Some(0) {
        return Err(at_least_one(MAX_ROWS));
    }
    let max_bytes = options.size(MAX_BYTES)?;
    let expire_after_write = positive(options, AFTER_WRITE)?;
    let expire_after_access = positive(options, AFTER_ACCESS)?;
    let bounded = max_rows.is_some()
        || max_bytes.is_some()
        || expire_after_write.is_some()
        || expire_after_access.is_some();
    let partial = PartialConfig {
        max_rows,
        max_bytes,
        expire_after_write,
        expire_after_access,
        cache_missing_key: options.bool(MISSING_KEY)?.unwrap_or(true),
        missing_expire_after_write: positive(options, MISSING_AFTER_WRITE)?,
        stale_while_revalidate: options.duration(STALE_WHILE)?.filter(|d| !d.is_zero()),
        stale_if_error: options.duration(STALE_IF_ERROR)?.filter(|d| !d.is_zero()),
        serves_errors: false,
        refresh_ahead: share(options, REFRESH_AHEAD)?,
        jitter: share(options, JITTER)?.unwrap_or(0.0),
        persist: persist(options)?,
        directory: options.text(DIRECTORY).map(str::to_string),
    };
    for (key, given) in [
        (STALE_WHILE, partial.stale_while_revalidate.is_some()),
        (STALE_IF_ERROR, partial.stale_if_error.is_some()),
        (REFRESH_AHEAD, partial.refresh_ahead.is_some()),
        (JITTER, partial.jitter > 0.0),
    ] {
        if given && expire_after_write.is_none() {
            return Err(Error::option(format!("option '{key}' needs '{AFTER_WRITE}'"))
                .with_hint("it counts from the end of that lifetime")
                .at(options.span(key)));
        }
    }
    Ok(bounded.then_some(partial))
}

fn persist(options: &Options) -> Result<bool> {
    let wanted = options.bool(PERSIST)?.unwrap_or(false);
    if wanted && cfg!(not(feature = "persist")) {
        return Err(Error::unsupported(format!("option '{PERSIST}' is not in this build"))
            .with_hint("cargo build --features persist builds it")
            .at(options.span(PERSIST)));
    }
    if !wanted && options.contains(DIRECTORY) {
        return Err(Error::option(format!("option '{DIRECTORY}' needs '{PERSIST}' = 'true'"))
            .at(options.span(DIRECTORY)));
    }
    Ok(wanted)
}

/// A number from 0 to 1.
fn share(options: &Options, key: &str) -> Result<Option<f64>> {
    match options.number(key)? {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            Err(Error::option(format!("option '{key}' must be from 0 to 1")).at(options.span(key)))
        }
        share => Ok(share),
    }
}

fn batch_size(options: &Options) -> Result<Option<usize>> {
    match options.integer(BATCH_SIZE)? {
        Some(0) => Err(at_least_one(BATCH_SIZE).at(options.span(BATCH_SIZE))),
        size => Ok(size.map(|n| usize::try_from(n).unwrap_or(usize::MAX))),
    }
}

/// Further attempts after an error.
pub(super) fn max_retries(options: &Options) -> Result<u32> {
    Ok(options.integer(MAX_RETRIES)?.map_or(3, |n| u32::try_from(n).unwrap_or(u32::MAX)))
}

/// Limits of the endpoint.
pub(super) fn limits(options: &Options) -> Result<Limits> {
    let max_in_flight = match options.integer(IN_FLIGHT)? {
        Some(0) => return Err(at_least_one(IN_FLIGHT).at(options.span(IN_FLIGHT))),
        n => n.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
    };
    let rate = options.text(RATE_LIMIT).map(|text| {
        rate(text).ok_or_else(|| {
            Error::option(format!("option '{RATE_LIMIT}': '{text}' is not a rate"))
                .with_hint("write a number per time: 100/s, 6000/min, 1000/h")
                .at(options.span(RATE_LIMIT))
        })
    });
    let open = positive(options, BREAKER_OPEN)?.unwrap_or(Duration::from_secs(10));
    let breaker = share(options, BREAKER_RATE)?.filter(|rate| *rate > 0.0).map(|rate| (rate, open));
    let adaptive = options.choice(CONCURRENCY, &["fixed", "adaptive"])? == Some("adaptive");
    Ok(Limits { max_in_flight, rate: rate.transpose()?, breaker, adaptive })
}

/// `100/s` as requests a second.
fn rate(text: &str) -> Option<f64> {
    let (count, per) = text.split_once('/').unwrap_or((text, "s"));
    let count: f64 = count.trim().parse().ok()?;
    let seconds = match per.trim() {
        "s" | "sec" | "second" => 1.0,
        "min" | "m" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        _ => return None,
    };
    (count.is_finite() && count > 0.0 && count / seconds >= 1e-6).then_some(count / seconds)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When a FULL cache is loaded again; never, if nothing is said and `once` is allowed.
fn reload(options: &Options, once: bool) -> Result<Reload> {
    let strategy = options.choice(RELOAD, &["PERIODIC", "TIMED"])?;
    let silent = ![RELOAD, INTERVAL, SCHEDULE, ISO_TIME, DAYS].iter().any(|key| options.contains(key));
    if silent && once {
        return Ok(Reload::Once);
    }
    if strategy == Some("TIMED") {
        let text = options.text(ISO_TIME).ok_or_else(|| {
            Error::option(format!("option '{ISO_TIME}' is required with '{RELOAD}' = 'TIMED'"))
                .with_hint(format!("for example '{ISO_TIME}' = '03:00'"))
        })?;
        let (second_of_day, offset_seconds) = iso_time(text).ok_or_else(|| {
            Error::option(format!("option '{ISO_TIME}': '{text}' is not a time of day"))
                .with_hint("write 10:15 (local time), 10:15Z or 10:15+07:00")
                .at(options.span(ISO_TIME))
        })?;
        let days = options.integer(DAYS)?.unwrap_or(1);
        let interval_days = u32::try_from(days).ok().filter(|d| (1..=36_500).contains(d));
        let interval_days =
            interval_days.ok_or_else(|| Error::option(format!("option '{DAYS}' must be from 1 to 36500")))?;
        return Ok(Reload::Timed { second_of_day, offset_seconds, interval_days });
    }
    let interval = positive(options, INTERVAL)?.ok_or_else(|| {
        Error::option(format!("option '{INTERVAL}' is required with 'lookup.cache' = 'FULL'"))
            .with_hint(format!("for example '{INTERVAL}' = '10 min'"))
    })?;
    let fixed_rate = options.choice(SCHEDULE, &["FIXED_DELAY", "FIXED_RATE"])? == Some("FIXED_RATE");
    Ok(Reload::Periodic { interval, fixed_rate })
}

/// Seconds after midnight and the offset from UTC in seconds.
fn iso_time(text: &str) -> Option<(u32, Option<i32>)> {
    let text = text.trim();
    let (time, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(time) => (time, Some(0)),
        None => match text.rfind(['+', '-']) {
            Some(sign) => {
                let (h, m) = text[sign + 1..].split_once(':').unwrap_or((&text[sign + 1..], "0"));
                let (h, m): (i32, i32) = (h.parse().ok()?, m.parse().ok()?);
                let seconds = (h * 60 + m) * 60;
                let valid = (0..=18).contains(&h) && (0..60).contains(&m);
                let signed = if text[sign..].starts_with('-') { -seconds } else { seconds };
                (&text[..sign], Some(valid.then_some(signed)?))
            }
            None => (text, None),
        },
    };
    let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|f| NaiveTime::parse_from_str(time, f).ok())?;
    Some((time.num_seconds_from_midnight(), offset))
}

fn positive(options: &Options, key: &str) -> Result<Option<Duration>> {
    match options.duration(key)? {
        Some(d) if d.is_zero() => {
            Err(Error::option(format!("option '{key}' must be more than 0")).at(options.span(key)))
        }
        other => Ok(other),
    }
}

fn at_least_one(key: &str) -> Error {
    Error::option(format!("option '{key}' must be at least 1"))
}

impl LookupConfig {
    /// Lays a LOOKUP hint on top.
    fn hint(&mut self, entries: &[OptionEntry]) -> Result<()> {
        let mut retry: [Option<&OptionEntry>; 4] = [None; 4];
        for (i, entry) in entries.iter().enumerate() {
            let (key, text, span) = (entry.key.value.as_str(), &entry.value.value, entry.value.span);
            if entries[..i].iter().any(|e| e.key.value == key) {
                return Err(Error::option(format!("LOOKUP hint: '{key}' is given twice")).at(entry.key.span));
            }
            let wrong = |e: Error| e.context(format!("LOOKUP hint '{key}'")).at(span);
            match key {
                "table" => {}
                "async" => self.is_async = parse_bool(text).map_err(wrong)?,
                "output-mode" => {
                    self.output_mode = match text.to_ascii_lowercase().replace('-', "_").as_str() {
                        "ordered" => OutputMode::Ordered,
                        "allow_unordered" => OutputMode::Unordered,
                        _ => return Err(wrong(one_of(text, "ordered, allow_unordered"))),
                    }
                }
                "capacity" => {
                    self.capacity = match parse_integer(text).map_err(wrong)? {
                        0 => return Err(wrong(Error::option("must be at least 1"))),
                        n => usize::try_from(n).unwrap_or(usize::MAX),
                    };
                    self.capacity_given = true;
                }
                "timeout" => {
                    self.timeout = parse_duration(text).map_err(wrong)?;
                    if self.timeout.is_zero() {
                        return Err(wrong(Error::option("must be more than 0")));
                    }
                }
                "retry-predicate" => retry[0] = Some(entry),
                "retry-strategy" => retry[1] = Some(entry),
                "fixed-delay" => retry[2] = Some(entry),
                "max-attempts" => retry[3] = Some(entry),
                "shuffle" => {
                    if parse_bool(text).map_err(wrong)? {
                        return Err(Error::unsupported("LOOKUP hint 'shuffle' = 'true' is not supported")
                            .with_hint("leave it out: all tasks share one cache and one request per key")
                            .at(span));
                    }
                }
                _ => return Err(unknown_hint(key, entry.key.span)),
            }
        }
        self.retry_hint(retry, entries)
    }

    fn retry_hint(&mut self, retry: [Option<&OptionEntry>; 4], entries: &[OptionEntry]) -> Result<()> {
        let [predicate, strategy, delay, attempts] = match retry {
            [None, None, None, None] => return Ok(()),
            [Some(a), Some(b), Some(c), Some(d)] => [a, b, c, d],
            _ => {
                let span = entries.first().map(|e| e.key.span).unwrap_or_default();
                return Err(Error::option("LOOKUP hint: the retry keys come all together or not at all")
                    .with_hint(
                        "'retry-predicate'='lookup_miss', 'retry-strategy'='fixed_delay', \
                         'fixed-delay'='10 s', 'max-attempts'='3'",
                    )
                    .at(span));
            }
        };
        for (entry, only) in [(predicate, "lookup_miss"), (strategy, "fixed_delay")] {
            let text = &entry.value.value;
            if !text.eq_ignore_ascii_case(only) {
                let error = one_of(text, only).context(format!("LOOKUP hint '{}'", entry.key.value));
                return Err(error.at(entry.value.span));
            }
        }
        let wrong = |key: &OptionEntry, e: Error| {
            e.context(format!("LOOKUP hint '{}'", key.key.value)).at(key.value.span)
        };
        let pause = parse_duration(&delay.value.value).map_err(|e| wrong(delay, e))?;
        let times = parse_integer(&attempts.value.value).map_err(|e| wrong(attempts, e))?;
        if times == 0 {
            return Err(wrong(attempts, Error::option("must be at least 1")));
        }
        self.retry_miss = Some((u32::try_from(times).unwrap_or(u32::MAX), pause));
        Ok(())
    }
}

fn one_of(text: &str, words: &str) -> Error {
    Error::option(format!("'{text}' is not one of {words}"))
}

fn unknown_hint(key: &str, span: Span) -> Error {
    let error = Error::option(format!("LOOKUP hint has no key '{key}'")).at(span);
    match nearest(key, HINT_OPTIONS.iter().map(|o| o.key)) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => {
            let keys: Vec<&str> = HINT_OPTIONS.iter().map(|o| o.key).collect();
            error.with_hint(format!("it knows: {}", keys.join(", ")))
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
