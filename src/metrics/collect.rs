//! Reads the counters of jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::catalogue::{self as c, Metric};
use crate::flow::{Job, JobState, StageMetrics};
use crate::lookup::LookupMetrics;
use crate::secret::redact;

/// What takes samples.
pub(crate) trait Sheet {
    /// A value of a metric.
    fn value(&mut self, metric: &Metric, of: &[(&str, &str)], value: f64);

    /// A histogram of microseconds.
    fn histogram(&mut self, metric: &Metric, of: &[(&str, &str)], of_micros: &hdrhistogram::Histogram<u64>);
}

fn get(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

/// How far a watermark is behind the clock, in seconds; none behind the last row.
fn lag(watermark: Option<i64>, now_millis: i64) -> Option<f64> {
    watermark.filter(|w| *w != i64::MAX).map(|w| now_millis.saturating_sub(w) as f64 / 1e3)
}

/// All figures of these jobs.
pub(crate) fn collect(jobs: &[Arc<Job>], now_millis: i64, page: &mut dyn Sheet) {
    page.value(&c::BUILD, &[("service.version", env!("CARGO_PKG_VERSION"))], 1.0);
    if let Some(bytes) = crate::config::machine::resident() {
        page.value(&c::MEMORY, &[], bytes as f64);
    }
    for job in jobs {
        let (id, name) = (job.id.to_string(), redact(&job.name).into_owned());
        let of_job = [(c::JOB[0], id.as_str()), (c::JOB[1], name.as_str())];
        of(job, &of_job, now_millis, page);
    }
}

fn of(job: &Job, of_job: &[(&str, &str)], now_millis: i64, page: &mut dyn Sheet) {
    let state = match job.state() {
        JobState::Running => "running",
        JobState::Finished => "finished",
        JobState::Cancelled => "canceled",
        JobState::Failed(_) => "failed",
    };
    for each in ["running", "finished", "canceled", "failed"] {
        let labels = [of_job, &[("affluent.job.state", each)]].concat();
        page.value(&c::JOB_STATE, &labels, f64::from(u8::from(each == state)));
    }
    page.value(&c::JOB_UPTIME, of_job, job.elapsed().as_secs_f64());
    let metrics = &job.metrics;
    let counters: [(&Metric, &AtomicU64); 9] = [
        (&c::ROWS_READ, &metrics.rows_in),
        (&c::ROWS_WRITTEN, &metrics.rows_out),
        (&c::BYTES_READ, &metrics.bytes_in),
        (&c::SKIPPED, &metrics.records_skipped),
        (&c::LATE, &metrics.late_rows),
        (&c::DROPPED, &metrics.dropped_rows),
        (&c::JOB_RESTARTS, &job.checkpoints.restarts),
        (&c::CHECKPOINTS, &job.checkpoints.completed),
        (&c::CHECKPOINTS_FAILED, &job.checkpoints.failed),
    ];
    for (metric, counter) in counters {
        page.value(metric, of_job, get(counter));
    }
    if let Some(lag) = lag(metrics.watermark_millis(), now_millis) {
        page.value(&c::WATERMARK_LAG, of_job, lag);
    }
    page.histogram(&c::LATENCY, of_job, &metrics.latencies());
    if let Some(last) = job.checkpoints.last() {
        page.value(&c::CHECKPOINT_AGE, of_job, last.at.elapsed().as_secs_f64());
        page.value(&c::CHECKPOINT_DURATION, of_job, last.duration.as_secs_f64());
        page.value(&c::CHECKPOINT_SIZE, of_job, last.bytes as f64);
        page.value(&c::STATE_SIZE, of_job, last.total_bytes as f64);
    }
    for (index, stage) in job.stages().iter().enumerate() {
        of_stage(index, stage, of_job, now_millis, page);
    }
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (name, lookup) in &job.lookups {
        // Two lookups of one table are told apart by their order.
        let count = match seen.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                seen.push((name.clone(), 1));
                1
            }
        };
        let name = if count == 1 { name.clone() } else { format!("{name} ({count})") };
        let labels = [of_job, &[("affluent.lookup.name", name.as_str())]].concat();
        of_lookup(lookup, &labels, page);
    }
}

fn of_stage(
    index: usize,
    stage: &StageMetrics,
    of_job: &[(&str, &str)],
    now_millis: i64,
    page: &mut dyn Sheet,
) {
    let id = index.to_string();
    let name = match stage.detail.split([',', ' ']).next().filter(|first| !first.is_empty()) {
        Some(of) if matches!(stage.name, "Source" | "Sink") => {
            format!("{}: {}", stage.name, redact(of.trim_end_matches(',')))
        }
        _ => stage.name.to_string(),
    };
    let own = [("affluent.operator.id", id.as_str()), ("affluent.operator.name", name.as_str())];
    let labels = [of_job, &own].concat();
    page.value(&c::OPERATOR_TASKS, &labels, stage.tasks() as f64);
    page.value(&c::OPERATOR_IN, &labels, stage.rows_in() as f64);
    page.value(&c::OPERATOR_OUT, &labels, stage.rows_out() as f64);
    page.value(&c::OPERATOR_BUSY, &labels, stage.busy().as_secs_f64());
    page.value(&c::OPERATOR_BLOCKED, &labels, stage.blocked().as_secs_f64());
    if let Some(bytes) = stage.state_bytes() {
        page.value(&c::OPERATOR_STATE, &labels, bytes as f64);
    }
    if let Some(lag) = lag(stage.watermark_millis(), now_millis) {
        page.value(&c::OPERATOR_LAG, &labels, lag);
    }
    for (partition, behind) in stage.behind() {
        let labels = [&labels[..], &[("affluent.source.partition", partition.as_str())]].concat();
        page.value(&c::SOURCE_BEHIND, &labels, behind as f64);
    }
}

fn of_lookup(lookup: &LookupMetrics, labels: &[(&str, &str)], page: &mut dyn Sheet) {
    let figures: [(&Metric, &AtomicU64); 17] = [
        (&c::LOOKUP_CALLS, &lookup.calls),
        (&c::LOOKUP_KEYS, &lookup.keys),
        (&c::LOOKUP_RETRIES, &lookup.retries),
        (&c::LOOKUP_HEDGED, &lookup.hedged),
        (&c::LOOKUP_FAILURES, &lookup.failures),
        (&c::LOOKUP_ERRORS, &lookup.errors),
        (&c::LOOKUP_NOT_FOUND, &lookup.not_found),
        (&c::LOOKUP_DEAD_LETTERS, &lookup.dead_letters),
        (&c::LOOKUP_IN_FLIGHT, &lookup.in_flight),
        (&c::CACHE_HITS, &lookup.hits),
        (&c::CACHE_MISSES, &lookup.misses),
        (&c::CACHE_STALE, &lookup.stale),
        (&c::CACHE_KEYS, &lookup.cached),
        (&c::CACHE_SIZE, &lookup.cached_bytes),
        (&c::CACHE_EVICTIONS, &lookup.evictions),
        (&c::CACHE_LOADS, &lookup.loads),
        (&c::CACHE_LOAD_FAILURES, &lookup.load_failures),
    ];
    for (metric, counter) in figures {
        page.value(metric, labels, get(counter));
    }
    page.histogram(&c::LOOKUP_LATENCY, labels, &lookup.latencies());
}
