//! How a lookup table is asked: its options, the LOOKUP hint and the session's strategy, resolved.

use std::time::Duration;

use crate::catalog::options::{OptionDef, OptionKind};

/// The options that every lookup table knows.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new("lookup.cache", OptionKind::Choice(&["NONE", "PARTIAL", "FULL"]), "NONE", "what is kept"),
    OptionDef::new("lookup.partial-cache.max-rows", OptionKind::Integer, "", "bound of the number of keys"),
    OptionDef::new(
        "lookup.partial-cache.expire-after-write",
        OptionKind::Duration,
        "",
        "lifetime from the answer",
    ),
    OptionDef::new(
        "lookup.partial-cache.expire-after-access",
        OptionKind::Duration,
        "",
        "lifetime from the last use",
    ),
    OptionDef::new("lookup.partial-cache.cache-missing-key", OptionKind::Bool, "true", "keep misses"),
    OptionDef::new(
        "lookup.full-cache.reload-strategy",
        OptionKind::Choice(&["PERIODIC", "TIMED"]),
        "PERIODIC",
        "when everything is loaded again",
    ),
    OptionDef::new("lookup.full-cache.periodic-reload.interval", OptionKind::Duration, "", "between loads"),
    OptionDef::new(
        "lookup.full-cache.periodic-reload.schedule-mode",
        OptionKind::Choice(&["FIXED_DELAY", "FIXED_RATE"]),
        "FIXED_DELAY",
        "interval from the end or from the start of a load",
    ),
    OptionDef::new("lookup.full-cache.timed-reload.iso-time", OptionKind::Text, "", "time of day"),
    OptionDef::new(
        "lookup.full-cache.timed-reload.interval-in-days",
        OptionKind::Integer,
        "1",
        "every n days",
    ),
    OptionDef::new("lookup.max-retries", OptionKind::Integer, "3", "further attempts after an error"),
    OptionDef::new(
        "lookup.on-error",
        OptionKind::Choice(&["fail", "null", "drop"]),
        "fail",
        "what an error that is left after all attempts does",
    ),
    OptionDef::new("async", OptionKind::Bool, "true", "false asks one row at a time"),
];

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
