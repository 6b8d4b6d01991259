//! What the steps of a job do: DESCRIBE JOB, EXPLAIN ANALYZE.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use chrono::{DateTime, Utc};

use super::{Response, Session};
use crate::error::Result;
use crate::error::wording::plain;
use crate::flow::{Job, StageMetrics, StageRates};
use crate::lookup::LookupMetrics;

/// A step of a job with everything that is known of it.
pub struct Step<'a> {
    pub stage: &'a StageMetrics,
    pub rates: StageRates,
    /// The lookup that it does.
    pub lookup: Option<&'a LookupMetrics>,
}

/// The steps of a job in the order of the rows' way.
pub fn steps(job: &Job) -> Vec<Step<'_>> {
    let rates = job.rates();
    let steps = job.stages().iter().zip(rates);
    steps.map(|(stage, rates)| Step { stage, rates, lookup: stage.lookup.as_deref() }).collect()
}

impl Step<'_> {
    /// Name and what EXPLAIN prints after it.
    pub fn title(&self) -> String {
        let StageMetrics { name, detail, .. } = self.stage;
        match (name, detail.is_empty()) {
            (name, true) => (*name).to_string(),
            (&"Source", false) => format!("Source: {detail}"),
            (name, false) => format!("{name}({})", plain(detail)),
        }
    }

    fn is_source(&self) -> bool {
        self.stage.name == "Source"
    }

    fn is_sink(&self) -> bool {
        self.stage.name == "Sink"
    }
}

/// `12 in flight, 700 calls, 93.0% hits, 2 errors`; only what there is.
pub fn lookup_text(metrics: &LookupMetrics) -> String {
    let get = LookupMetrics::get;
    let mut parts =
        vec![format!("{} in flight", get(&metrics.in_flight)), format!("{} calls", get(&metrics.calls))];
    if let Some(ratio) = metrics.hit_ratio().filter(|_| get(&metrics.hits) > 0) {
        parts.push(format!("{:.1}% hits", 100.0 * ratio));
    }
    for (count, what) in [
        (get(&metrics.misses), "misses"),
        (get(&metrics.not_found), "not found"),
        (get(&metrics.stale), "stale"),
        (get(&metrics.retries), "retries"),
        (get(&metrics.hedged), "hedged"),
        (get(&metrics.refused), "refused by the circuit breaker"),
        (get(&metrics.errors), "errors"),
        (get(&metrics.dead_letters), "dead letters"),
        (get(&metrics.cached), "keys cached"),
        (get(&metrics.cached_bytes), "bytes cached"),
        (get(&metrics.evictions), "evictions"),
        (get(&metrics.loads), "loads"),
        (get(&metrics.load_failures), "failed loads"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if metrics.latency_micros(1.0) > 0 {
        let at = |quantile| metrics.latency_micros(quantile) as f64 / 1e3;
        parts.push(format!("{:.1} ms at the median, {:.1} ms at the 99th percentile", at(0.5), at(0.99)));
    }
    parts.join(", ")
}

/// A watermark as a time, or that the end was reached.
fn watermark_text(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        _ if millis == i64::MAX => "end".to_string(),
        Some(time) => time.naive_utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        None => format!("{millis} ms"),
    }
}

/// What holds the watermark of a step back, if something can be named: the task that is behind the others, or
/// the stream among several that come together.
fn held_by(steps: &[Step<'_>], index: usize) -> Option<String> {
    let stage = steps[index].stage;
    if let Some((task, mark)) = stage.last_task() {
        return Some(match mark {
            Some(mark) => format!("task {task} is at {}", watermark_text(mark)),
            None => format!("task {task} has no watermark yet"),
        });
    }
    if stage.watermark_millis().is_some() {
        return None;
    }
    // Without a watermark: something before it has none, or it is no matter of event time at all.
    let assigned =
        steps.iter().find(|s| s.stage.fragment <= stage.fragment && s.stage.name == "WatermarkAssigner")?;
    match assigned.stage.watermark_millis() {
        None if assigned.stage.rows_in() == 0 => Some("no rows yet".into()),
        None => Some("no watermark yet".into()),
        Some(_) => None,
    }
}

/// Records that a source has not read yet, and the split that has the most of them.
fn behind_text(stage: &StageMetrics) -> Option<String> {
    let behind = stage.behind();
    let total = stage.behind_total()?;
    let most = behind.iter().max_by_key(|(_, records)| **records).filter(|(_, records)| **records > 0);
    Some(match most.filter(|_| behind.len() > 1) {
        Some((split, records)) => format!("{} ({split}: {})", thousands(total), thousands(*records)),
        None => thousands(total),
    })
}

/// How far a watermark is behind the clock, in milliseconds.
fn lag(millis: i64) -> Option<i64> {
    (millis != i64::MAX).then(|| Utc::now().timestamp_millis().saturating_sub(millis))
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.5 s`, `2 min`.
pub fn duration_text(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s >= 120.0 => format!("{:.1} min", s / 60.0),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} us", s * 1e6),
    }
}

impl Session {
    /// DESCRIBE JOB: one row for each step of the job.
    pub(super) fn describe_job(&self, id: &str) -> Result<Response> {
        let job = self.job(id)?;
        let steps = steps(&job);
        let numbers = |get: &dyn Fn(&Step<'_>) -> Option<u64>| -> ArrayRef {
            Arc::new(steps.iter().map(get).collect::<UInt64Array>())
        };
        let shares = |get: &dyn Fn(&Step<'_>) -> Option<f64>| -> ArrayRef {
            let rounded = |share: f64| (share * 1000.0).round() / 10.0;
            Arc::new(steps.iter().map(|s| get(s).map(rounded)).collect::<Float64Array>())
        };
        let texts = |get: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
            Arc::new((0..steps.len()).map(get).collect::<StringArray>())
        };
        let stage_lag = |s: &Step<'_>| s.stage.watermark_millis().and_then(lag);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("fragment", numbers(&|s| Some(s.stage.fragment as u64))),
            ("operator", texts(&|i| Some(steps[i].title()))),
            ("rows in", numbers(&|s| (!s.is_source()).then(|| s.stage.rows_in()))),
            ("rows out", numbers(&|s| (!s.is_sink()).then(|| s.stage.rows_out()))),
            (
                "rows/s",
                numbers(&|s| Some(if s.is_sink() { s.rates.rows_in } else { s.rates.rows_out } as u64)),
            ),
            ("busy %", shares(&|s| Some(s.rates.busy))),
            (
                "blocked %",
                shares(&|s| (s.is_source() || s.stage.name == "Receive").then_some(s.rates.blocked)),
            ),
            ("tasks", numbers(&|s| Some(s.stage.tasks() as u64))),
            ("lookups", texts(&|i| steps[i].lookup.map(lookup_text))),
            ("watermark", texts(&|i| steps[i].stage.watermark_millis().map(watermark_text))),
            ("lag ms", Arc::new(steps.iter().map(stage_lag).collect::<Int64Array>())),
            ("held by", texts(&|i| held_by(&steps, i))),
            ("records behind", texts(&|i| behind_text(steps[i].stage))),
            ("state bytes", numbers(&|s| s.stage.state_bytes())),
        ];
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        Ok(Response::Table(RecordBatch::try_from_iter_with_nullable(columns)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::console::render::write_table;

    /// A table as text, without its rates.
    fn shown(session: &Session, sql: &str) -> String {
        let Response::Table(batch) = session.sql(sql).unwrap() else { panic!("{sql}") };
        let kept: Vec<usize> = ["operator", "rows in", "rows out", "tasks"]
            .iter()
            .map(|n| batch.schema().index_of(n).unwrap())
            .collect();
        let mut out = Vec::new();
        write_table(&batch.project(&kept).unwrap(), None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_steps_of_a_job() {
        let session = Session::new().unwrap();
        session
            .sql(
                "SET 'table.dml-sync' = 'true'; SET 'parallelism.default' = '1';
                 CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '100',
                     'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100');
                 CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
                 INSERT INTO gone SELECT n FROM numbers WHERE n <= 10",
            )
            .unwrap();
        let text = shown(&session, "DESCRIBE JOB '1'");
        assert!(text.contains("| Source: ") && text.contains("|  <NULL> |      100 |     1 |"), "{text}");
        assert!(text.contains("|     100 |       10 |     1 |") && text.contains("| Sink(gone) "), "{text}");
        let e = session.sql("DESCRIBE JOB '7'").unwrap_err();
        assert_eq!((e.message(), e.hint()), ("job '7' is not known", Some("SHOW JOBS lists the jobs")));
    }

    #[test]
    fn texts() {
        assert_eq!(watermark_text(1_577_880_000_000), "2020-01-01 12:00:00.000");
        assert_eq!(watermark_text(i64::MAX), "end");
        assert_eq!(watermark_text(i64::MIN + 1), "-9223372036854775807 ms");
        let times = [200, 90, 1].map(Duration::from_secs).map(duration_text);
        assert_eq!(times, ["3.3 min", "90.00 s", "1.00 s"]);
        let metrics = LookupMetrics::default();
        LookupMetrics::add(&metrics.calls, 4);
        assert_eq!(lookup_text(&metrics), "0 in flight, 4 calls");
        LookupMetrics::add(&metrics.hits, 3);
        LookupMetrics::add(&metrics.misses, 1);
        LookupMetrics::add(&metrics.errors, 2);
        assert_eq!(lookup_text(&metrics), "0 in flight, 4 calls, 75.0% hits, 1 misses, 2 errors");
    }

    #[test]
    fn state_and_watermarks_of_a_stage() {
        let stage = StageMetrics::new(0, "Join", String::new(), 2);
        assert_eq!((stage.state_bytes(), stage.last_task()), (None, None));
        stage.note_state(0, 10);
        stage.note_state(1, 5);
        stage.note_state(7, 1);
        assert_eq!(stage.state_bytes(), Some(15));
        assert_eq!(behind_text(&stage), None);
        stage.note_behind("t/0", 5);
        stage.note_behind("t/1", 2000);
        stage.note_behind("t/0", 4);
        assert_eq!(behind_text(&stage).as_deref(), Some("2,004 (t/1: 2,000)"));
    }
}
