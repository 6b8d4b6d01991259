//! How a lookup table is asked: its options, the LOOKUP hint and the session's strategy, resolved.
//!
//! Three voices, the later wins: the table's `WITH` options, the session's `enrichment.strategy`, the
//! `LOOKUP` hint of the query. A strategy decides on the cache and on being asynchronous; a table that
//! can only be loaded whole (`filesystem`) keeps its FULL cache whatever the strategy.

use std::time::Duration;

use chrono::{NaiveTime, Timelike};

use super::full::Reload;
use crate::catalog::Table;
use crate::catalog::options::{OptionDef, OptionKind, Options, parse_bool, parse_duration, parse_integer};
use crate::catalog::table::nearest;
use crate::config::{Config, Strategy};
use crate::error::{Error, Result, Span};
use crate::sql::OptionEntry;

const CACHE: &str = "lookup.cache";
const MAX_ROWS: &str = "lookup.partial-cache.max-rows";
const AFTER_WRITE: &str = "lookup.partial-cache.expire-after-write";
const AFTER_ACCESS: &str = "lookup.partial-cache.expire-after-access";
const MISSING_KEY: &str = "lookup.partial-cache.cache-missing-key";
const RELOAD: &str = "lookup.full-cache.reload-strategy";
const INTERVAL: &str = "lookup.full-cache.periodic-reload.interval";
const SCHEDULE: &str = "lookup.full-cache.periodic-reload.schedule-mode";
const ISO_TIME: &str = "lookup.full-cache.timed-reload.iso-time";
const DAYS: &str = "lookup.full-cache.timed-reload.interval-in-days";
const MAX_RETRIES: &str = "lookup.max-retries";
const ON_ERROR: &str = "lookup.on-error";

/// The options of lookup tables, whatever their connector.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        CACHE,
        OptionKind::Choice(&["NONE", "PARTIAL", "FULL"]),
        "NONE",
        "cache in front of the lookup: none, of the keys that were asked for, or of the whole table",
    ),
    OptionDef::new(MAX_ROWS, OptionKind::Integer, "", "PARTIAL: bound of the number of keys"),
    OptionDef::new(AFTER_WRITE, OptionKind::Duration, "", "PARTIAL: lifetime from the answer"),
    OptionDef::new(AFTER_ACCESS, OptionKind::Duration, "", "PARTIAL: lifetime from the last use"),
    OptionDef::new(MISSING_KEY, OptionKind::Bool, "true", "PARTIAL: whether misses are kept"),
    OptionDef::new(
        RELOAD,
        OptionKind::Choice(&["PERIODIC", "TIMED"]),
        "PERIODIC",
        "FULL: when the table is loaded again",
    ),
    OptionDef::new(INTERVAL, OptionKind::Duration, "", "FULL, PERIODIC: time between loads"),
    OptionDef::new(
        SCHEDULE,
        OptionKind::Choice(&["FIXED_DELAY", "FIXED_RATE"]),
        "FIXED_DELAY",
        "FULL, PERIODIC: whether the interval is from end to start or from start to start",
    ),
    OptionDef::new(ISO_TIME, OptionKind::Text, "", "FULL, TIMED: time of day, 10:15, 10:15Z, 10:15+07:00"),
    OptionDef::new(DAYS, OptionKind::Integer, "1", "FULL, TIMED: every how many days"),
    OptionDef::new(MAX_RETRIES, OptionKind::Integer, "3", "further attempts after an error"),
    OptionDef::new(
        ON_ERROR,
        OptionKind::Choice(&["fail", "null", "drop"]),
        "fail",
        "what a row does whose lookup failed: fails the job, looks like a miss, or is left out",
    ),
    OptionDef::new("async", OptionKind::Bool, "true", "false asks one row at a time"),
];

/// Keys of the LOOKUP hint.
pub const HINT_OPTIONS: &[OptionDef] = &[
    OptionDef::new("table", OptionKind::Text, "", "name or alias of the lookup table in the query"),
    OptionDef::new("async", OptionKind::Bool, "true", "false asks one row at a time"),
    OptionDef::new(
        "output-mode",
        OptionKind::Choice(&["ordered", "allow_unordered"]),
        "ordered",
        "order of rows behind the lookup",
    ),
    OptionDef::new("capacity", OptionKind::Integer, "256", "rows in flight per task"),
    OptionDef::new("timeout", OptionKind::Duration, "3 min", "per row, queueing and retries included"),
    OptionDef::new(
        "retry-predicate",
        OptionKind::Choice(&["lookup_miss"]),
        "",
        "asks again for keys that were not found; with the three that follow",
    ),
    OptionDef::new("retry-strategy", OptionKind::Choice(&["fixed_delay"]), "", "how long between attempts"),
    OptionDef::new("fixed-delay", OptionKind::Duration, "", "time between attempts"),
    OptionDef::new("max-attempts", OptionKind::Integer, "", "attempts after the first"),
    OptionDef::new(
        "shuffle",
        OptionKind::Choice(&["false"]),
        "false",
        "not needed: all tasks share one cache and one request per key",
    ),
];

/// PARTIAL as the CACHED strategy has it where a table says nothing.
const CACHED: CacheConfig = CacheConfig::Partial {
    max_rows: Some(100_000),
    expire_after_write: Some(Duration::from_secs(60)),
    expire_after_access: None,
    cache_missing_key: true,
};

/// What an error that is left after all attempts does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Fails the job.
    Fail,
    /// As a miss would look, but counted as an error.
    Null,
    /// The row is left out.
    Drop,
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
    Partial {
        /// Bound of the number of keys.
        max_rows: Option<u64>,
        /// Lifetime from the answer.
        expire_after_write: Option<Duration>,
        /// Lifetime from the last use.
        expire_after_access: Option<Duration>,
        /// Whether misses are kept.
        cache_missing_key: bool,
    },
    /// The whole table, reloaded.
    Full(super::full::Reload),
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
    /// What an exhausted error does.
    pub on_error: OnError,
}

impl std::fmt::Display for LookupConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cache = match &self.cache {
            CacheConfig::None => "NONE",
            CacheConfig::Partial { .. } => "PARTIAL",
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
        let on_error = match self.on_error {
            OnError::Fail => "fail",
            OnError::Null => "null",
            OnError::Drop => "drop",
        };
        write!(f, ", on-error={on_error}")
    }
}

impl LookupConfig {
    /// What holds for one reference to a table: its options, the `LOOKUP` hint of the query block, the
    /// session's settings.
    pub fn resolve(table: &Table, hint: &[OptionEntry], settings: &Config) -> Result<LookupConfig> {
        resolve(table, hint, settings).map_err(|e| e.context(format!("lookup table '{}'", table.name)))
    }
}

fn resolve(table: &Table, hint: &[OptionEntry], settings: &Config) -> Result<LookupConfig> {
    let options = &table.options;
    let only_whole = options.text("connector") == Some("filesystem");
    let declared = declared_cache(options, only_whole)?;
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
                CacheConfig::None => partial(options)?.unwrap_or(CACHED),
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
        max_retries: options.integer(MAX_RETRIES)?.map_or(3, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        retry_miss: None,
        on_error: match options.choice(ON_ERROR, &["fail", "null", "drop"])? {
            Some("null") => OnError::Null,
            Some("drop") => OnError::Drop,
            _ => OnError::Fail,
        },
    };
    config.hint(hint)?;
    if !config.is_async {
        // One row at a time is in order.
        config.output_mode = OutputMode::Ordered;
    }
    Ok(config)
}

/// The cache that the table's options ask for.
fn declared_cache(options: &Options, only_whole: bool) -> Result<CacheConfig> {
    match options.choice(CACHE, &["NONE", "PARTIAL", "FULL"])? {
        Some("FULL") => Ok(CacheConfig::Full(reload(options, only_whole)?)),
        Some("PARTIAL") if only_whole => {
            Err(Error::option("connector 'filesystem' has no 'lookup.cache' = 'PARTIAL'")
                .with_hint("files are loaded whole: 'lookup.cache' = 'FULL', which is its default"))
        }
        Some("PARTIAL") => partial(options)?.ok_or_else(|| {
            Error::option("'lookup.cache' = 'PARTIAL' needs a bound")
                .with_hint(format!("set one or more of '{MAX_ROWS}', '{AFTER_WRITE}', '{AFTER_ACCESS}'"))
        }),
        _ if only_whole => Ok(CacheConfig::Full(reload(options, true)?)),
        _ => Ok(CacheConfig::None),
    }
}

/// A PARTIAL cache with the bounds that are given, `None` without any.
fn partial(options: &Options) -> Result<Option<CacheConfig>> {
    let max_rows = options.integer(MAX_ROWS)?;
    if max_rows == Some(0) {
        return Err(at_least_one(MAX_ROWS));
    }
    let expire_after_write = positive(options, AFTER_WRITE)?;
    let expire_after_access = positive(options, AFTER_ACCESS)?;
    let bounded = max_rows.is_some() || expire_after_write.is_some() || expire_after_access.is_some();
    let cache_missing_key = options.bool(MISSING_KEY)?.unwrap_or(true);
    Ok(bounded.then_some(CacheConfig::Partial {
        max_rows,
        expire_after_write,
        expire_after_access,
        cache_missing_key,
    }))
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
                    }
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
