//! Every setting once: name, type, default, meaning. SET, documentation and completion use this list.

mod flink;
pub(crate) mod machine;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::quantity::{parse_bool, parse_duration, parse_integer, parse_size};

/// The seeds' three ways to enrich.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// One row at a time, one call in flight per task.
    Sync,
    /// As many calls in flight as the capacity allows, no cache.
    Async,
    /// Asynchronous with a cache in front.
    Cached,
}

use OptionKind::{Bool, Choice, Duration as Time, Integer, Number, Size, Text};

use self::flink::Flink;

/// Default of `affluent.lookup.memory-limit`.
pub const LOOKUP_MEMORY: usize = 512 << 20;

/// How the shell shows results.
pub const RESULT_MODE: &str = "sql-client.execution.result-mode";

/// How long EXPLAIN ANALYZE runs what does not end.
const ANALYZE_TIME: &str = "affluent.explain-analyze.time";

/// All settings.
pub const SETTINGS: &[OptionDef] = &[
    OptionDef::new(
        "enrichment.strategy",
        Choice(&["SYNC", "ASYNC", "CACHED"]),
        "",
        "how every lookup of the statements that follow is done; without it each table's own options decide",
    ),
    OptionDef::new(
        "parallelism.default",
        Integer,
        "",
        "tasks per source stage; default: the machine's cores",
    ),
    OptionDef::new(
        "execution.buffer-timeout",
        Time,
        "1 ms",
        "how long rows of an endless source that is not at its limit may gather; a row after a pause goes at once; 0: all do",
    ),
    OptionDef::new("pipeline.name", Text, "", "name of the jobs that follow"),
    OptionDef::new(
        "execution.runtime-mode",
        Choice(&["streaming", "batch"]),
        "streaming",
        "batch: the input ends, and only the rows that are there in the end are given",
    ),
    OptionDef::new(
        "table.local-time-zone",
        Text,
        "default",
        "zone of TIMESTAMP_LTZ as text; an IANA name or an offset; default: the machine's",
    ),
    OptionDef::new(
        "table.exec.state.ttl",
        Time,
        "0 ms",
        "how long state that is not written is kept; 0: for ever",
    ),
    OptionDef::new(
        "table.exec.source.idle-timeout",
        Time,
        "0 ms",
        "after how long without rows a task that reads a source holds the watermark of the others back no more; 0: never",
    ),
    OptionDef::new(
        "table.exec.mini-batch.enabled",
        Choice(&["true", "false"]),
        "true",
        "changes nothing: rows that have arrived together are always processed together, and none waits for others",
    )
    .without_effect(),
    OptionDef::new(
        "table.exec.mini-batch.allow-latency",
        Time,
        "0 ms",
        "how long a row may wait for others: changes nothing, as none ever waits",
    )
    .without_effect(),
    OptionDef::new(
        "table.exec.mini-batch.size",
        Integer,
        "",
        "rows that may wait for others: changes nothing, as none ever waits",
    )
    .without_effect(),
    OptionDef::new(
        "table.optimizer.agg-phase-strategy",
        Choice(&["AUTO", "ONE_PHASE", "TWO_PHASE"]),
        "AUTO",
        "changes nothing: aggregates are computed in one phase, after the exchange",
    )
    .without_effect(),
    OptionDef::new(
        "table.optimizer.distinct-agg.split.enabled",
        Choice(&["false", "true"]),
        "false",
        "changes nothing: distinct aggregates are not split",
    )
    .without_effect(),
    OptionDef::new(
        ANALYZE_TIME,
        Time,
        "10 s",
        "after which time EXPLAIN ANALYZE stops what does not end by itself",
    ),
    OptionDef::new(
        "affluent.functions.path",
        Text,
        "",
        "folder of user functions: an unknown function f is made by the statement in f/function.sql",
    ),
    OptionDef::new(
        "python.executable",
        Text,
        "",
        "the interpreter of functions in Python, or the folder of a virtual environment",
    ),
    OptionDef::new("python.files", Text, "", "folders where functions in Python find modules, with commas between"),
    OptionDef::new("table.dml-sync", Bool, "false", "INSERT waits until its job has ended"),
    OptionDef::new(
        "table.exec.sink.not-null-enforcer",
        Choice(&["ERROR", "DROP"]),
        "ERROR",
        "NULL for a NOT NULL column of a sink fails the job, or its row is dropped and counted",
    ),
    OptionDef::new(
        "table.exec.sink.type-length-enforcer",
        Choice(&["IGNORE", "TRIM_PAD", "ERROR"]),
        "IGNORE",
        "values for CHAR(n), VARCHAR(n), BINARY(n), VARBINARY(n) of a sink that have another length",
    ),
    OptionDef::new(
        "table.exec.async-lookup.output-mode",
        Choice(&["ORDERED", "ALLOW_UNORDERED"]),
        "ORDERED",
        "order of rows after an asynchronous lookup",
    ),
    OptionDef::new(
        "execution.state-recovery.on-function-change",
        Choice(&["warn", "fail"]),
        "warn",
        "what a restore does when the code of a user function is another one than in the checkpoint",
    ),
    OptionDef::new("table.exec.async-lookup.buffer-capacity", Integer, "256", "rows in flight per task"),
    OptionDef::new(
        "table.exec.async-lookup.timeout",
        Time,
        "3 min",
        "per row, queueing and retries included",
    ),
    OptionDef::new(
        "table.exec.async-scalar.max-concurrent-operations",
        Integer,
        "256",
        "calls in flight per task, of functions that wait",
    ),
    OptionDef::new(
        "table.exec.async-scalar.timeout",
        Time,
        "3 min",
        "per call of a function that waits, queueing and retries included",
    ),
    OptionDef::new(
        "table.exec.async-scalar.retry-strategy",
        Choice(&["FIXED_DELAY", "NO_RETRY"]),
        "FIXED_DELAY",
        "whether a call that failed and may succeed later is made again",
    ),
    OptionDef::new(
        "table.exec.async-scalar.retry-delay",
        Time,
        "100 ms",
        "between attempts; set, it is the same each time, else it grows",
    ),
    OptionDef::new("table.exec.async-scalar.max-attempts", Integer, "4", "attempts of a call, the first included"),
    OptionDef::new(
        "table.exec.async-table.max-concurrent-operations",
        Integer,
        "256",
        "the same of functions that return rows",
    ),
    OptionDef::new("table.exec.async-table.timeout", Time, "3 min", "the same of functions that return rows"),
    OptionDef::new(
        "table.exec.async-table.retry-strategy",
        Choice(&["FIXED_DELAY", "NO_RETRY"]),
        "FIXED_DELAY",
        "the same of functions that return rows",
    ),
    OptionDef::new("table.exec.async-table.retry-delay", Time, "100 ms", "the same of functions that return rows"),
    OptionDef::new("table.exec.async-table.max-attempts", Integer, "4", "the same of functions that return rows"),
    OptionDef::new(
        "execution.checkpointing.interval",
        Time,
        "0 ms",
        "from one checkpoint of an INSERT job to the next; 0: none",
    ),
    OptionDef::new(
        "execution.checkpointing.dir",
        Text,
        "",
        "directory or s3://bucket/path of the checkpoints; given without an interval, jobs make one when they are stopped; default: the user's folder for state",
    ),
    OptionDef::new(
        "execution.checkpointing.savepoint-dir",
        Text,
        "",
        "directory or s3://bucket/path of savepoints; default: 'savepoints' beside the checkpoints",
    ),
    OptionDef::new(
        "execution.checkpointing.mode",
        Choice(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        "EXACTLY_ONCE",
        "changes nothing: state holds the effect of each row once, which is no less than AT_LEAST_ONCE",
    )
    .without_effect(),
    OptionDef::new(
        "execution.checkpointing.min-pause",
        Time,
        "0 ms",
        "from the end of a checkpoint to the begin of the next, at least",
    ),
    OptionDef::new(
        "execution.checkpointing.timeout",
        Time,
        "10 min",
        "a checkpoint that takes longer fails the job, which is then restarted if it may be",
    ),
    OptionDef::new(
        "execution.checkpointing.num-retained",
        Integer,
        "3",
        "checkpoints that are kept; a damaged one is passed over for the one before, unless that shares what is damaged",
    ),
    OptionDef::new(
        "execution.checkpointing.tolerable-failed-checkpoints",
        Integer,
        "0",
        "checkpoints that may fail to be written, one after the other, before the job fails",
    ),
    OptionDef::new(
        "execution.checkpointing.externalized-checkpoint-retention",
        Choice(&["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION"]),
        "RETAIN_ON_CANCELLATION",
        "what becomes of the checkpoints when the user stops the job",
    ),
    OptionDef::new(
        "execution.state-recovery.path",
        Text,
        "",
        "savepoint that the jobs that follow start from; given without an interval, they make a checkpoint when they are stopped",
    ),
    OptionDef::new(
        "execution.state-recovery.ignore-unclaimed-state",
        Bool,
        "false",
        "state that the query does not take any more is dropped; else the job is refused",
    ),
    OptionDef::new(
        "affluent.state-recovery.automatic",
        Bool,
        "true",
        "a job that is started again continues from its newest checkpoint; false: from the beginning",
    ),
    OptionDef::new(
        "affluent.lease.time",
        Time,
        "15 s",
        "how long a process keeps a job without renewing its lease; another process may take the job over then",
    ),
    OptionDef::new(
        "affluent.lease.wait",
        Time,
        "1 min",
        "how long a job waits for another process that runs it; 0: it is refused at once",
    ),
    OptionDef::new(
        "affluent.lookup.memory-limit",
        Size,
        "512 mb",
        "bytes that answers of lookups in flight may take, in this process; requests wait while it is used up",
    ),
    OptionDef::new(
        "affluent.state.memory-limit",
        Size,
        "",
        "what the state of all jobs may take in memory; the rest goes to disk, but for operators that a job names at its start; default: half of the machine's memory",
    ),
    OptionDef::new(
        "restart-strategy.type",
        Choice(&["none", "fixed-delay", "exponential-delay"]),
        "",
        "what follows a failure that may pass; default: exponential-delay with checkpoints, else none",
    ),
    OptionDef::new("restart-strategy.fixed-delay.attempts", Integer, "1", "restarts at most, for failures of one kind"),
    OptionDef::new("restart-strategy.fixed-delay.delay", Time, "1 s", "pause before a restart"),
    OptionDef::new("restart-strategy.exponential-delay.initial-backoff", Time, "1 s", "first pause"),
    OptionDef::new("restart-strategy.exponential-delay.max-backoff", Time, "1 min", "longest pause"),
    OptionDef::new(
        "restart-strategy.exponential-delay.backoff-multiplier",
        Number,
        "1.5",
        "how the pause grows with each failure",
    ),
    OptionDef::new(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        Time,
        "1 h",
        "after a job ran this long, the next restart uses the first pause again",
    ),
    OptionDef::new(
        "restart-strategy.exponential-delay.jitter-factor",
        Number,
        "0.1",
        "share of the pause by which it varies",
    ),
    OptionDef::new(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        Integer,
        "",
        "restarts at most, for failures of one kind; default: no limit",
    ),
    OptionDef::new(
        RESULT_MODE,
        Choice(&["tableau", "table", "changelog"]),
        "",
        "how results are shown: as a box of changes (tableau, changelog) or as a table that changes in place; default: as -o says",
    ),
];

/// Older names of Flink that are still written.
const OLD_NAMES: &[(&str, &str)] = &[
    ("execution.buffer-timeout.interval", "execution.buffer-timeout"),
    ("execution.savepoint.path", "execution.state-recovery.path"),
    ("execution.savepoint.ignore-unclaimed-state", "execution.state-recovery.ignore-unclaimed-state"),
    ("state.checkpoints.dir", "execution.checkpointing.dir"),
    ("state.savepoints.dir", "execution.checkpointing.savepoint-dir"),
    ("state.checkpoints.num-retained", "execution.checkpointing.num-retained"),
    ("restart-strategy", "restart-strategy.type"),
    ("table.exec.resource.default-parallelism", "parallelism.default"),
];

/// The name that a setting has now.
fn current(key: &str) -> &str {
    OLD_NAMES.iter().find(|(old, _)| *old == key).map_or(key, |(_, name)| name)
}

/// Tasks of a source at most: each is a thread.
const MOST_TASKS: u64 = 1024;

/// Values of the settings of one session.
#[derive(Debug, Clone, Default)]
pub struct Config {
    values: BTreeMap<String, String>,
}

/// The definition of a setting, or an error that names the nearest.
fn definition(key: &str) -> Result<&'static OptionDef> {
    SETTINGS.iter().find(|d| d.key == key).ok_or_else(|| {
        let error = Error::option(format!("setting '{key}' is not known"));
        match nearest(key, SETTINGS.iter().map(|d| d.key)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint("SET; lists the settings"),
        }
    })
}

impl Config {
    /// Sets one, checked.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match (key, value.trim()) {
            // Flink's defaults: no limit, and what 'parallelism.default' says.
            ("table.exec.mini-batch.size", "-1") => return self.reset(Some(key)),
            ("table.exec.resource.default-parallelism", "-1") => return Ok(()),
            _ => {}
        }
        let key = current(key);
        // One that is nearly ours is misspelt.
        let ours = SETTINGS.iter().map(|d| d.key).chain(OLD_NAMES.iter().map(|(old, _)| *old));
        let is_ours = ours.into_iter().any(|ours| strsim::damerau_levenshtein(ours, key) <= 2);
        if let Some(what) = flink::known(key).filter(|_| !is_ours) {
            return self.set_of_flink(key, value, what);
        }
        let definition = definition(key)?;
        let mut probe = crate::catalog::Options::default();
        probe.set(key, value, Default::default());
        probe.validate("the session", &[definition])?;
        if key == "table.local-time-zone" {
            zone_of(value)?;
        }
        if matches!(key, "parallelism.default" | "table.exec.async-lookup.buffer-capacity")
            && parse_integer(value)? == 0
        {
            return Err(Error::option(format!("setting '{key}' must be at least 1")));
        }
        if key == "parallelism.default" && parse_integer(value)? > MOST_TASKS {
            return Err(Error::option(format!("setting '{key}' is at most {MOST_TASKS}")));
        }
        if matches!(key, "table.exec.async-lookup.timeout" | ANALYZE_TIME) && parse_duration(value)?.is_zero()
        {
            return Err(Error::option(format!("setting '{key}' must be longer than 0")));
        }
        self.values.insert(key.to_string(), value.to_string());
        Ok(())
    }

    /// A setting of Flink's that is none of ours.
    fn set_of_flink(&mut self, key: &str, value: &str, what: Flink) -> Result<()> {
        if let Flink::Only(allowed, instead) = what
            && !allowed.iter().any(|a| a.eq_ignore_ascii_case(value.trim()))
        {
            let error = Error::unsupported(format!("setting '{key}' = '{value}' of Flink is not supported"));
            return Err(error.with_hint(instead));
        }
        self.values.insert(key.to_string(), value.to_string());
        Ok(())
    }

    /// Why a setting changes nothing; `None` of one that does.
    pub fn idle(key: &str) -> Option<String> {
        let key = current(key);
        match SETTINGS.iter().find(|s| s.key == key) {
            Some(s) if s.idle => Some(format!("setting '{key}' has no effect: {}", s.doc)),
            Some(_) => None,
            None => match flink::known(key)? {
                Flink::Tunes(why) => Some(format!("setting '{key}' of Flink has no effect here: {why}")),
                Flink::Only(..) => None,
            },
        }
    }

    /// Back to the default: one, or all.
    pub fn reset(&mut self, key: Option<&str>) -> Result<()> {
        match key {
            Some(key) => {
                let key = current(key);
                if self.values.remove(key).is_none() && flink::known(key).is_none() {
                    definition(key)?;
                }
            }
            None => self.values.clear(),
        }
        Ok(())
    }

    /// The settings that were made, in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Value, or default (possibly empty).
    pub fn get(&self, key: &str) -> &str {
        match self.values.get(key) {
            Some(value) => value,
            None => SETTINGS.iter().find(|d| d.key == key).map_or("", |d| d.default),
        }
    }

    /// `enrichment.strategy`.
    pub fn strategy(&self) -> Option<Strategy> {
        match self.get("enrichment.strategy").to_ascii_uppercase().as_str() {
            "SYNC" => Some(Strategy::Sync),
            "ASYNC" => Some(Strategy::Async),
            "CACHED" => Some(Strategy::Cached),
            _ => None,
        }
    }

    /// `parallelism.default`.
    pub fn parallelism(&self) -> usize {
        match parse_integer(self.get("parallelism.default")) {
            Ok(n) => n as usize,
            Err(_) => std::thread::available_parallelism().map_or(1, |n| n.get()),
        }
    }

    /// `execution.buffer-timeout`.
    pub fn buffer_timeout(&self) -> Duration {
        parse_duration(self.get("execution.buffer-timeout")).unwrap_or(Duration::from_millis(1))
    }

    /// `table.local-time-zone` as an IANA name or offset that Arrow understands.
    pub fn zone(&self) -> String {
        zone_of(self.get("table.local-time-zone")).unwrap_or_else(|_| "UTC".into())
    }

    /// The text of a setting that was set.
    pub fn text_if_set(&self, key: &str) -> Option<&str> {
        self.is_set(key).then(|| self.get(key))
    }

    /// A number that was set.
    pub fn integer_if_set(&self, key: &str) -> Option<usize> {
        parse_integer(self.text_if_set(key)?).ok().map(|n| usize::try_from(n).unwrap_or(usize::MAX).max(1))
    }

    /// A duration that was set.
    pub fn duration_if_set(&self, key: &str) -> Option<Duration> {
        parse_duration(self.text_if_set(key)?).ok().filter(|d| !d.is_zero())
    }

    /// `table.exec.async-lookup.timeout`.
    pub fn lookup_timeout(&self) -> Duration {
        parse_duration(self.get("table.exec.async-lookup.timeout")).unwrap_or(Duration::from_secs(180))
    }

    /// `table.exec.async-lookup.buffer-capacity`.
    pub fn lookup_capacity(&self) -> usize {
        parse_integer(self.get("table.exec.async-lookup.buffer-capacity")).map_or(256, |n| n as usize)
    }

    /// `table.exec.async-lookup.output-mode` is ORDERED.
    pub fn lookup_ordered(&self) -> bool {
        self.get("table.exec.async-lookup.output-mode").eq_ignore_ascii_case("ORDERED")
    }

    /// `table.exec.source.idle-timeout`; `None` for never.
    pub fn source_idle_timeout(&self) -> Option<Duration> {
        parse_duration(self.get("table.exec.source.idle-timeout")).ok().filter(|timeout| !timeout.is_zero())
    }

    /// `table.exec.state.ttl`; `None`: state is kept for ever.
    pub fn state_ttl(&self) -> Option<Duration> {
        parse_duration(self.get("table.exec.state.ttl")).ok().filter(|ttl| !ttl.is_zero())
    }

    /// `affluent.explain-analyze.time`.
    pub fn analyze_time(&self) -> Duration {
        parse_duration(self.get(ANALYZE_TIME)).unwrap_or(Duration::from_secs(10))
    }

    /// `affluent.state.memory-limit`, in bytes.
    pub fn memory_limit(&self) -> usize {
        match parse_size(self.get("affluent.state.memory-limit")) {
            Ok(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            Err(_) => machine::memory_limit(),
        }
    }

    /// `affluent.functions.path`.
    pub fn functions_path(&self) -> Option<std::path::PathBuf> {
        Some(self.get("affluent.functions.path")).filter(|path| !path.is_empty()).map(Into::into)
    }

    /// Whether a setting was set, and does not have its default.
    pub fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// `affluent.lookup.memory-limit`, in bytes.
    pub fn lookup_memory_limit(&self) -> usize {
        parse_size(self.get("affluent.lookup.memory-limit"))
            .map_or(LOOKUP_MEMORY, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// `table.dml-sync`.
    pub fn dml_sync(&self) -> bool {
        parse_bool(self.get("table.dml-sync")).unwrap_or(false)
    }
}

/// Resolves `default`, IANA names and offsets.
fn zone_of(value: &str) -> Result<String> {
    if value.eq_ignore_ascii_case("default") {
        return Ok(machine_zone());
    }
    value.parse::<arrow::array::timezone::Tz>().map(|_| value.to_string()).map_err(|_| {
        Error::option(format!("'{value}' is not a time zone"))
            .with_hint("write an IANA name such as 'Europe/Berlin', an offset such as '+02:00', or 'UTC'")
    })
}

/// The machine's zone: `TZ`, `/etc/localtime`, else UTC.
fn machine_zone() -> String {
    let known = |name: &str| name.parse::<chrono_tz::Tz>().is_ok();
    if let Ok(tz) = std::env::var("TZ")
        && known(tz.trim_start_matches(':'))
    {
        return tz.trim_start_matches(':').to_string();
    }
    std::fs::read_link("/etc/localtime")
        .ok()
        .and_then(|path| path.to_str()?.split_once("zoneinfo/").map(|(_, name)| name.to_string()))
        .filter(|name| known(name))
        .unwrap_or_else(|| "UTC".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_flink_are_taken_or_refused() {
        let mut config = Config::default();
        assert!(config.set("state.backend.type", "rocksdb").is_ok());
        assert!(Config::idle("state.backend.type").is_some_and(|note| note.contains("no effect")));
        assert!(config.set("table.sql-dialect", "default").is_ok());
        let e = config.set("table.sql-dialect", "hive").expect_err("another dialect");
        assert_eq!(e.message(), "setting 'table.sql-dialect' = 'hive' of Flink is not supported");
        assert!(config.set("table.exec.resource.default-parallelism", "3").is_ok());
        assert!(config.set("table.exec.resource.default-parallelism", "-1").is_ok());
        assert_eq!(config.parallelism(), 3);
        assert!(config.set("table.exec.mini-batch.size", "-1").is_ok());
        assert!(config.set("pipeline.cep.sharedbuffer.cache.entry-slots", "1024").is_ok());
        assert!(config.reset(Some("state.backend.type")).is_ok());
        assert!(config.reset(Some("state.backend.type")).is_ok());
        assert!(config.set("tabel.exec.state.ttl", "1 s").is_err());
    }

    #[test]
    fn settings_are_checked() {
        let mut config = Config::default();
        assert!(config.set("enrichment.strategy", "cached").is_ok());
        assert_eq!(config.strategy(), Some(Strategy::Cached));
        let e = config.set("enrichment.stratgy", "SYNC").expect_err("misspelt");
        assert_eq!(e.hint(), Some("did you mean 'enrichment.strategy'?"));
        assert!(config.set("enrichment.strategy", "FAST").is_err());
        assert!(config.set("table.local-time-zone", "Mars/Olympus").is_err());
        assert!(config.set("parallelism.default", "0").is_err());
        assert!(config.reset(Some("enrichment.strategy")).is_ok());
        assert_eq!(config.strategy(), None);
    }
}
