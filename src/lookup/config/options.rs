//! The options of lookup tables and of the LOOKUP hint, as completion and `affluent options` show them.

use crate::catalog::options::{OptionDef, OptionKind};
use crate::lookup::policy::{ON_ERROR, WORDS};

pub(super) const CACHE: &str = "lookup.cache";
pub(super) const MAX_ROWS: &str = "lookup.partial-cache.max-rows";
pub(super) const AFTER_WRITE: &str = "lookup.partial-cache.expire-after-write";
pub(super) const AFTER_ACCESS: &str = "lookup.partial-cache.expire-after-access";
pub(super) const MISSING_KEY: &str = "lookup.partial-cache.cache-missing-key";
pub(super) const RELOAD: &str = "lookup.full-cache.reload-strategy";
pub(super) const INTERVAL: &str = "lookup.full-cache.periodic-reload.interval";
pub(super) const SCHEDULE: &str = "lookup.full-cache.periodic-reload.schedule-mode";
pub(super) const ISO_TIME: &str = "lookup.full-cache.timed-reload.iso-time";
pub(super) const DAYS: &str = "lookup.full-cache.timed-reload.interval-in-days";
pub(super) const MAX_RETRIES: &str = "lookup.max-retries";
pub(super) const MISSING_AFTER_WRITE: &str = "lookup.partial-cache.missing-key.expire-after-write";
pub(super) const MAX_BYTES: &str = "lookup.partial-cache.max-bytes";
pub(super) const STALE_WHILE: &str = "lookup.partial-cache.stale-while-revalidate";
pub(super) const STALE_IF_ERROR: &str = "lookup.partial-cache.stale-if-error";
pub(super) const REFRESH_AHEAD: &str = "lookup.partial-cache.refresh-ahead";
pub(super) const JITTER: &str = "lookup.partial-cache.jitter";
pub(super) const DEAD_LETTER: &str = crate::dead_letter::LOOKUP_OPTION;
pub(super) const PERSIST: &str = "lookup.partial-cache.persist";
pub(super) const DIRECTORY: &str = "lookup.partial-cache.persist.directory";
pub(super) const CONCURRENCY: &str = "lookup.concurrency";
pub(super) const HEDGE: &str = "lookup.hedge-after";
pub(super) const ERROR_TTL: &str = "lookup.error-ttl";
pub(super) const BATCH_SIZE: &str = "lookup.batch.max-size";
pub(super) const BATCH_WAIT: &str = "lookup.batch.max-wait";
pub(super) const RATE_LIMIT: &str = "lookup.rate-limit";
pub(super) const IN_FLIGHT: &str = "lookup.max-in-flight";
pub(super) const BREAKER_RATE: &str = "lookup.circuit-breaker.failure-rate";
pub(super) const BREAKER_OPEN: &str = "lookup.circuit-breaker.open-duration";
pub(super) const MISS_RETRY: &str = "lookup.miss.retry";
pub(super) const MISS_INTERVAL: &str = "lookup.miss.interval";

const ON_ERROR_KIND: OptionKind = OptionKind::Choice(WORDS);

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
        ON_ERROR_KIND,
        "fail",
        "what a row does whose lookup failed: fails the job, looks like a miss, is left out, takes what the cache still has, or goes to the table of 'lookup.dead-letter'",
    ),
    OptionDef::new(
        "lookup.on-error.timeout",
        ON_ERROR_KIND,
        "",
        "the same for timeouts; default: that of 'lookup.on-error'",
    ),
    OptionDef::new(
        "lookup.on-error.status",
        ON_ERROR_KIND,
        "",
        "the same for statuses of a service that are no success; default: that of 'lookup.on-error'",
    ),
    OptionDef::new(
        "lookup.on-error.decode",
        ON_ERROR_KIND,
        "",
        "the same for answers that do not fit the table; default: that of 'lookup.on-error'",
    ),
    OptionDef::new(
        "lookup.on-error.connect",
        ON_ERROR_KIND,
        "",
        "the same for connections that fail; default: that of 'lookup.on-error'",
    ),
    OptionDef::new(
        "lookup.on-error.limit",
        ON_ERROR_KIND,
        "",
        "the same for limits: 429, rate, circuit breaker; default: that of 'lookup.on-error'",
    ),
    OptionDef::new(
        DEAD_LETTER,
        OptionKind::Text,
        "",
        "table that takes the rows of errors whose policy is 'dead-letter'",
    ),
    OptionDef::new("async", OptionKind::Bool, "true", "false asks one row at a time"),
    OptionDef::new(
        MISSING_AFTER_WRITE,
        OptionKind::Duration,
        "",
        "PARTIAL: lifetime of keys that were not found; default: that of the others",
    ),
    OptionDef::new(MAX_BYTES, OptionKind::Size, "", "PARTIAL: bound of the bytes of keys and rows"),
    OptionDef::new(
        STALE_WHILE,
        OptionKind::Duration,
        "0 s",
        "PARTIAL: how long after its lifetime an answer is served still, while it is asked for again",
    ),
    OptionDef::new(
        STALE_IF_ERROR,
        OptionKind::Duration,
        "0 s",
        "PARTIAL: how long after its lifetime an answer is served when all attempts failed",
    ),
    OptionDef::new(
        REFRESH_AHEAD,
        OptionKind::Number,
        "",
        "PARTIAL: share of the lifetime after which a key in use is asked for again, such as 0.8",
    ),
    OptionDef::new(
        JITTER,
        OptionKind::Number,
        "0",
        "PARTIAL: share of the lifetime that is left out at random, so that keys do not expire together",
    ),
    OptionDef::new(
        PERSIST,
        OptionKind::Bool,
        "false",
        "PARTIAL: whether answers are kept on disk, for the next start of the program",
    ),
    OptionDef::new(
        DIRECTORY,
        OptionKind::Text,
        "",
        "PARTIAL: where; default: affluent/lookup in the user's folder for caches",
    ),
    OptionDef::new(
        ERROR_TTL,
        OptionKind::Duration,
        "0 s",
        "how long an error answers for its key (with a PARTIAL cache)",
    ),
    OptionDef::new(
        BATCH_SIZE,
        OptionKind::Integer,
        "",
        "keys that one request carries at most; default: what suits the connector",
    ),
    OptionDef::new(
        BATCH_WAIT,
        OptionKind::Duration,
        "0 ms",
        "how long a request that is not full waits for more keys",
    ),
    OptionDef::new(RATE_LIMIT, OptionKind::Text, "", "requests per time to the endpoint: 100/s, 6000/min"),
    OptionDef::new(
        IN_FLIGHT,
        OptionKind::Integer,
        "",
        "requests in flight to the endpoint; default: as many as succeed",
    ),
    OptionDef::new(
        CONCURRENCY,
        OptionKind::Choice(&["fixed", "adaptive"]),
        "fixed",
        "adaptive: as many requests in flight as the endpoint answers without getting slower, up to 'lookup.max-in-flight'",
    ),
    OptionDef::new(
        HEDGE,
        OptionKind::Duration,
        "",
        "a request that has no answer after this long is sent a second time, and the first answer counts",
    ),
    OptionDef::new(
        BREAKER_RATE,
        OptionKind::Number,
        "",
        "share of failed requests (0 to 1) after which the endpoint is left alone for a while",
    ),
    OptionDef::new(BREAKER_OPEN, OptionKind::Duration, "10 s", "for how long; then a single request probes"),
    OptionDef::new(
        MISS_RETRY,
        OptionKind::Duration,
        "",
        "holds a row that was not found and asks again, for this long",
    ),
    OptionDef::new(MISS_INTERVAL, OptionKind::Duration, "10 s", "how often it asks again"),
];

/// Keys of the LOOKUP hint.
pub const HINT_OPTIONS: &[OptionDef] = &[
    OptionDef::new("table", OptionKind::Text, "", "name or alias of the lookup table in the query"),
    OptionDef::new("async", OptionKind::Bool, "true", "false asks one row at a time"),
    OptionDef::new(
        "output-mode",
        OptionKind::Choice(&["ordered", "allow_unordered"]),
        "ordered",
        "output order of the lookup",
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
