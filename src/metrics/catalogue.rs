//! Every metric there is: what is shown is made from this list, and so is its documentation.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values by their size.
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// OpenTelemetry's name.
    pub name: &'static str,
    /// UCUM unit: `s`, `By`, `{row}`, `1`.
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Attributes besides those of the job.
    pub attributes: &'static [&'static str],
    /// One line for people.
    pub doc: &'static str,
}

const fn metric(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: &'static [&'static str],
    doc: &'static str,
) -> Metric {
    Metric { name, unit, kind, attributes, doc }
}

/// Of every metric of a job.
pub const JOB: [&str; 2] = ["affluent.job.id", "affluent.job.name"];

const OPERATOR: &[&str] = &["affluent.operator.id", "affluent.operator.name"];
const PARTITION: &[&str] = &["affluent.operator.id", "affluent.operator.name", "affluent.source.partition"];
const LOOKUP: &[&str] = &["affluent.lookup.name"];

use Kind::{Counter, Gauge, Histogram};

macro_rules! metrics {
    ($($constant:ident = ($name:literal, $unit:literal, $kind:expr, $attributes:expr, $doc:literal);)*) => {
        $(#[doc = $doc] pub const $constant: Metric = metric($name, $unit, $kind, $attributes, $doc);)*
        /// All of them, in the order of the page.
        pub const METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD = ("affluent.build.info", "", Gauge, &["service.version"], "always 1; which version runs");
    MEMORY = ("process.memory.usage", "By", Gauge, &[], "memory of the process that is in use, where the system tells");
    JOB_STATE = ("affluent.job.state", "", Gauge, &["affluent.job.state"], "1 for the state that the job is in: running, finished, canceled, failed");
    JOB_UPTIME = ("affluent.job.uptime", "s", Gauge, &[], "how long the job has run");
    JOB_RESTARTS = ("affluent.job.restarts", "{restart}", Counter, &[], "how often the job came back after a failure");
    ROWS_READ = ("affluent.job.rows.read", "{row}", Counter, &[], "rows read by sources");
    ROWS_WRITTEN = ("affluent.job.rows.written", "{row}", Counter, &[], "rows handed to sinks");
    BYTES_READ = ("affluent.job.read", "By", Counter, &[], "bytes of input consumed");
    SKIPPED = ("affluent.job.records.skipped", "{record}", Counter, &[], "records and fields left out because they could not be decoded: a field is NULL");
    LATE = ("affluent.job.rows.late", "{row}", Counter, &[], "rows left out because they came too late");
    DROPPED = ("affluent.job.rows.dropped", "{row}", Counter, &[], "rows left out because their target takes no NULL");
    WATERMARK_LAG = ("affluent.job.watermark.lag", "s", Gauge, &[], "how far the watermark at the sinks is behind the clock");
    LATENCY = ("affluent.job.latency", "s", Histogram, &[], "from being read to being written, by the oldest row that came together");
    CHECKPOINTS = ("affluent.checkpoint.completed", "{checkpoint}", Counter, &[], "checkpoints that became durable");
    CHECKPOINTS_FAILED = ("affluent.checkpoint.failed", "{checkpoint}", Counter, &[], "checkpoints that could not be written");
    CHECKPOINT_AGE = ("affluent.checkpoint.age", "s", Gauge, &[], "time since the newest checkpoint became durable");
    CHECKPOINT_DURATION = ("affluent.checkpoint.duration", "s", Gauge, &[], "what the newest checkpoint took, from its begin until it was durable");
    CHECKPOINT_SIZE = ("affluent.checkpoint.size", "By", Gauge, &[], "bytes written for the newest checkpoint");
    STATE_SIZE = ("affluent.state.size", "By", Gauge, &[], "state that the newest checkpoint refers to");
    OPERATOR_TASKS = ("affluent.operator.tasks", "{task}", Gauge, OPERATOR, "tasks of a source, operator or sink");
    OPERATOR_IN = ("affluent.operator.rows.in", "{row}", Counter, OPERATOR, "rows given to it");
    OPERATOR_OUT = ("affluent.operator.rows.out", "{row}", Counter, OPERATOR, "rows it gave");
    OPERATOR_BUSY = ("affluent.operator.busy", "s", Counter, OPERATOR, "time spent in it over all tasks; its rate by the number of tasks is the busy share");
    OPERATOR_BLOCKED = ("affluent.operator.blocked", "s", Counter, OPERATOR, "time over all tasks in which what is downstream had no room (sources, receivers)");
    OPERATOR_STATE = ("affluent.operator.state.size", "By", Gauge, OPERATOR, "state in memory");
    OPERATOR_LAG = ("affluent.operator.watermark.lag", "s", Gauge, OPERATOR, "how far its watermark is behind the clock");
    SOURCE_BEHIND = ("affluent.source.behind", "{record}", Gauge, PARTITION, "records of a partition that are available and not read yet, where the source knows");
    LOOKUP_CALLS = ("affluent.lookup.calls", "{call}", Counter, LOOKUP, "requests sent, retries included");
    LOOKUP_KEYS = ("affluent.lookup.keys", "{key}", Counter, LOOKUP, "keys in these requests");
    LOOKUP_RETRIES = ("affluent.lookup.retries", "{call}", Counter, LOOKUP, "requests after the first for their keys");
    LOOKUP_HEDGED = ("affluent.lookup.hedged", "{call}", Counter, LOOKUP, "requests sent a second time because the first was slow");
    LOOKUP_FAILURES = ("affluent.lookup.failures", "{call}", Counter, LOOKUP, "requests that failed");
    LOOKUP_ERRORS = ("affluent.lookup.errors", "{key}", Counter, LOOKUP, "keys whose attempts were all used up");
    LOOKUP_NOT_FOUND = ("affluent.lookup.not_found", "{key}", Counter, LOOKUP, "keys that the other side has nothing for");
    LOOKUP_DEAD_LETTERS = ("affluent.lookup.dead_letters", "{row}", Counter, LOOKUP, "rows that went to the table of dead letters");
    LOOKUP_IN_FLIGHT = ("affluent.lookup.in_flight", "{call}", Gauge, LOOKUP, "requests in flight now");
    LOOKUP_LATENCY = ("affluent.lookup.latency", "s", Histogram, LOOKUP, "how long a request took");
    CACHE_HITS = ("affluent.lookup.cache.hits", "{row}", Counter, LOOKUP, "rows whose key was in the cache");
    CACHE_MISSES = ("affluent.lookup.cache.misses", "{row}", Counter, LOOKUP, "rows whose key was not in the cache");
    CACHE_STALE = ("affluent.lookup.cache.stale", "{row}", Counter, LOOKUP, "answers from the cache after their lifetime");
    CACHE_KEYS = ("affluent.lookup.cache.keys", "{key}", Gauge, LOOKUP, "keys in the cache now");
    CACHE_SIZE = ("affluent.lookup.cache.size", "By", Gauge, LOOKUP, "bytes of keys and rows in the cache now, about");
    CACHE_EVICTIONS = ("affluent.lookup.cache.evictions", "{key}", Counter, LOOKUP, "keys that had to leave the cache for others");
    CACHE_LOADS = ("affluent.lookup.cache.loads", "{load}", Counter, LOOKUP, "loads of a FULL cache");
    CACHE_LOAD_FAILURES = ("affluent.lookup.cache.load_failures", "{load}", Counter, LOOKUP, "loads of a FULL cache that failed; the old copy was kept");
}

impl Metric {
    /// As Prometheus has it.
    pub fn prometheus(&self) -> String {
        let mut name = plain(self.name);
        match self.unit {
            "s" => name.push_str("_seconds"),
            "By" => name.push_str("_bytes"),
            _ => {}
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }
}

/// A name of Prometheus: dots are underscores.
pub fn plain(name: &str) -> String {
    name.replace(['.', '-'], "_")
}

/// The list as Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n`affluent run pipeline.sql --metrics` answers for them at `http://127.0.0.1:9464/metrics`. Those of jobs have the \
         attributes `affluent.job.id` and `affluent.job.name`, too; Prometheus has attributes with underscores for dots. Histograms have \
         `_bucket`, `_sum` and `_count`.\n\n| OpenTelemetry | Prometheus | kind | unit | attributes | |\n|---|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let attributes: Vec<String> = metric.attributes.iter().map(|a| format!("`{a}`")).collect();
        // Writing into a string does not fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {kind} | {} | {} | {} |",
            metric.name,
            metric.prometheus(),
            if metric.unit.is_empty() { "" } else { metric.unit },
            attributes.join(", "),
            metric.doc
        );
    }
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = std::collections::HashSet::new();
        for metric in METRICS {
            let fine = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
            assert!(metric.name.chars().all(fine), "{}", metric.name);
            assert!(seen.insert(metric.prometheus()), "{} stands twice", metric.name);
            // The unit is no part of the name, and is appended once.
            assert!(!metric.name.ends_with("seconds") && !metric.name.ends_with("total"), "{}", metric.name);
        }
        assert_eq!(LOOKUP_LATENCY.prometheus(), "affluent_lookup_latency_seconds");
        assert_eq!(BYTES_READ.prometheus(), "affluent_job_read_bytes_total");
    }

    /// The files that are shipped name only what there is.
    #[test]
    fn dashboard_and_alerts_ask_for_what_there_is() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("observability");
        let known: std::collections::HashSet<String> = METRICS
            .iter()
            .flat_map(|m| {
                let name = m.prometheus();
                let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
                std::iter::once(name).chain(parts)
            })
            .collect();
        let word = regex::Regex::new(r"\b(affluent|process)_[a-z_]+").unwrap();
        let labels: std::collections::HashSet<String> = METRICS
            .iter()
            .flat_map(|m| m.attributes.iter().map(|a| plain(a)))
            .chain(JOB.map(plain))
            .collect();
        for file in ["alerts.yml", "grafana.json"] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let names: Vec<&str> = word.find_iter(&text).map(|m| m.as_str()).collect();
            assert!(names.len() > 10, "{file}");
            for name in names {
                assert!(known.contains(name) || labels.contains(name), "{file} asks for {name}");
            }
        }
        let dashboard = std::fs::read_to_string(folder.join("grafana.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    }
}
