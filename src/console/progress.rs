//! How far the jobs are: one line on standard error, rewritten in place, and a summary at the end. Where standard
//! error is no terminal, a line of `key=value` pairs (logfmt) for each job now and then.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::output::{self, Output};
use super::render::visible;
use super::terminal::terminal_width;
use crate::flow::{Job, JobState};
use crate::lookup::LookupMetrics;
use crate::secret::redact;
pub use crate::session::figures::thousands;

/// At most so often the line is drawn.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// The number of splits whose lag is reported one by one; those with the largest lag come first.
const SPLITS: usize = 16;

/// What is over sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a job had done at an instant.
#[derive(Debug)]
struct Look {
    at: Instant,
    rows_in: u64,
    rows_out: u64,
    latencies: hdrhistogram::Histogram<u64>,
}

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    /// Rows are written to the same terminal.
    between_rows: bool,
    /// When rows came last.
    waits_since: Instant,
    started: Instant,
    drawn: Option<Instant>,
    /// Rows read when the rate was measured last, and the rate.
    sample: (Instant, u64),
    rate: f64,
    reports: Option<Reports>,
}

/// Lines for logs.
#[derive(Debug)]
struct Reports {
    every: Duration,
    last: Instant,
    /// What each job had done at its last line.
    looks: HashMap<u64, Look>,
}

impl Progress {
    /// The line is drawn on a terminal only. If rows are written to the same terminal, it follows the last row and is
    /// erased before the next one.
    pub fn new(output: &Output, rows_on_terminal: bool) -> Self {
        let now = Instant::now();
        let shown = output.stderr_terminal && !output.quiet;
        let reported = !output.stderr_terminal && !output.quiet && !output.report_every.is_zero();
        let reports = || Reports { every: output.report_every, last: now, looks: HashMap::new() };
        Self {
            shown,
            between_rows: rows_on_terminal,
            waits_since: now,
            started: now,
            drawn: None,
            sample: (now, 0),
            rate: 0.0,
            reports: reported.then(reports),
        }
    }

    /// Whether a line is on the terminal now.
    pub fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// How long to wait for rows or jobs before the next [`Progress::tick`].
    pub fn interval(&self) -> Duration {
        let least = Duration::from_millis(10);
        self.reports.as_ref().map_or(INTERVAL, |reports| reports.every.clamp(least, INTERVAL))
    }

    /// Draws the line, or writes the figures, if it is time.
    pub fn tick(&mut self, jobs: &[Arc<Job>]) {
        let now = Instant::now();
        if let Some(reports) = &mut self.reports
            && now - reports.last >= reports.every
        {
            reports.last = now;
            jobs.iter().for_each(|job| output::complain(reports.line(job, now)));
        }
        if !self.shown
            || now - self.started < PATIENCE
            || (self.between_rows && now - self.waits_since < PATIENCE)
            || self.drawn.is_some_and(|last| now - last < INTERVAL)
        {
            return;
        }
        let figures = Figures::of(jobs);
        let elapsed = now - self.sample.0;
        if elapsed >= Duration::from_secs(1) {
            self.rate = figures.rows_in.saturating_sub(self.sample.1) as f64 / elapsed.as_secs_f64();
            self.sample = (now, figures.rows_in);
        } else if self.rate == 0.0 {
            self.rate = figures.rows_in as f64 / (now - self.started).as_secs_f64();
        }
        let mut line = String::new();
        let width = terminal_width(std::io::stderr()).unwrap_or(80);
        let text = figures.line(self.rate, chrono::Utc::now());
        let text = match text.split_once("/s") {
            Some((rate, rest)) => format!("{rate}/s · Ctrl-C stops{rest}"),
            None => text,
        };
        visible::push_cut(&text, width.saturating_sub(1), &mut line);
        output::rewrite_line(&line);
        self.drawn = Some(now);
    }

    /// Rows have come: the line waits until none do.
    pub fn rows_came(&mut self) {
        self.waits_since = Instant::now();
        if self.between_rows {
            self.clear();
        }
    }

    /// Shows no line any more.
    pub fn hide(&mut self) {
        self.clear();
        self.shown = false;
    }

    /// Wipes the line, so that something else can be written.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            output::wipe_line();
        }
    }
}

impl Reports {
    fn line(&mut self, job: &Arc<Job>, now: Instant) -> String {
        let figures = Figures::of(std::slice::from_ref(job));
        let all = job.metrics.latencies();
        let mut recent = all.clone();
        let (last, rows_in, rows_out) = match self.looks.get(&job.id) {
            Some(look) => {
                // A histogram of the same bounds that only grew: the difference is there.
                let _ = recent.subtract(&look.latencies);
                (look.at, look.rows_in, look.rows_out)
            }
            None => (job.started, 0, 0),
        };
        let seconds = (now - last).as_secs_f64().max(1e-3);
        let rates = [figures.rows_in.saturating_sub(rows_in), figures.rows_out.saturating_sub(rows_out)]
            .map(|rows| (rows as f64 / seconds) as u64);
        let look = Look { at: now, rows_in: figures.rows_in, rows_out: figures.rows_out, latencies: all };
        self.looks.insert(job.id, look);
        let latency = recent.value_at_quantile(0.99);
        figures.report(&job.name, job.id, rates, latency, chrono::Utc::now())
    }
}

/// Sums over jobs.
#[derive(Debug, Default, Clone, PartialEq)]
struct Figures {
    rows_in: u64,
    rows_out: u64,
    skipped: u64,
    late: u64,
    dropped: u64,
    bytes_in: u64,
    bytes_total: u64,
    lookups: bool,
    in_flight: u64,
    calls: u64,
    hits: u64,
    misses: u64,
    errors: u64,
    /// Keys that the other side has nothing for.
    not_found: u64,
    retries: u64,
    stale: u64,
    hedged: u64,
    dead_letters: u64,
    evictions: u64,
    refused: u64,
    loads: u64,
    load_failures: u64,
    /// Bytes of state, where operators report them.
    state: u64,
    /// Bytes of memory of the process.
    memory: Option<u64>,
    /// Each INSERT's table and the rows it has written, where there are several.
    sinks: Vec<(String, u64)>,
    /// The newest checkpoint: number, age, how long it took, bytes.
    checkpoint: Option<(u64, Duration, Duration, u64)>,
    checkpoints_failed: u64,
    restarts: u64,
    /// Records that sources have not read yet, where they know; and the splits with the most of them.
    behind: Option<u64>,
    splits_behind: Vec<(String, u64)>,
    /// The last of all jobs' watermarks, in milliseconds since the epoch.
    watermark: Option<i64>,
}

impl Figures {
    fn of(jobs: &[Arc<Job>]) -> Self {
        let mut sum = Self::default();
        for job in jobs {
            let metrics = &job.metrics;
            sum.rows_in += metrics.rows_in.load(Ordering::Relaxed);
            sum.rows_out += metrics.rows_out.load(Ordering::Relaxed);
            sum.skipped += metrics.records_skipped.load(Ordering::Relaxed);
            sum.late += metrics.late_rows.load(Ordering::Relaxed);
            sum.dropped += metrics.dropped_rows.load(Ordering::Relaxed);
            sum.bytes_in += metrics.bytes_in.load(Ordering::Relaxed);
            sum.bytes_total += metrics.bytes_total.load(Ordering::Relaxed);
            let watermark = metrics.watermark_millis().filter(|&w| w != i64::MAX);
            sum.watermark = sum.watermark.into_iter().chain(watermark).min();
            for (_, lookup) in &job.lookups {
                sum.lookups = true;
                sum.in_flight += LookupMetrics::get(&lookup.in_flight);
                sum.calls += LookupMetrics::get(&lookup.calls);
                sum.hits += LookupMetrics::get(&lookup.hits);
                sum.misses += LookupMetrics::get(&lookup.misses);
                sum.errors += LookupMetrics::get(&lookup.errors);
                sum.not_found += LookupMetrics::get(&lookup.not_found);
                sum.retries += LookupMetrics::get(&lookup.retries);
                sum.stale += LookupMetrics::get(&lookup.stale);
                sum.hedged += LookupMetrics::get(&lookup.hedged);
                sum.dead_letters += LookupMetrics::get(&lookup.dead_letters);
                sum.evictions += LookupMetrics::get(&lookup.evictions);
                sum.refused += LookupMetrics::get(&lookup.refused);
                sum.loads += LookupMetrics::get(&lookup.loads);
                sum.load_failures += LookupMetrics::get(&lookup.load_failures);
            }
            sum.state += job.stages().iter().filter_map(|stage| stage.state_bytes()).sum::<u64>();
            let sinks = job.stages().iter().filter(|stage| stage.name == "Sink" && !stage.detail.is_empty());
            sum.sinks.extend(sinks.map(|stage| (stage.detail.clone(), stage.rows_in())));
            sum.checkpoint = job
                .checkpoints
                .last()
                .map(|last| (last.epoch, last.at.elapsed(), last.duration, last.total_bytes))
                .or(sum.checkpoint);
            for stage in job.stages() {
                let behind = stage.behind();
                sum.behind = sum
                    .behind
                    .into_iter()
                    .chain(behind.values().copied().reduce(u64::saturating_add))
                    .reduce(u64::saturating_add);
                sum.splits_behind.extend(behind);
            }
            sum.checkpoints_failed += job.checkpoints.failed.load(Ordering::Relaxed);
            sum.restarts += job.checkpoints.restarts.load(Ordering::Relaxed);
        }
        sum.splits_behind.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sum.splits_behind.truncate(SPLITS);
        sum.memory = crate::config::machine::resident();
        sum
    }

    fn hit_percent(&self) -> Option<f64> {
        (self.hits > 0).then(|| 100.0 * self.hits as f64 / (self.hits + self.misses) as f64)
    }

    /// How far the watermark is behind the clock.
    fn lag(&self, now: chrono::DateTime<chrono::Utc>) -> Option<i64> {
        self.watermark.map(|w| now.timestamp_millis().saturating_sub(w))
    }

    /// A line for logs.
    fn report(
        &self,
        name: &str,
        id: u64,
        [rate_in, rate_out]: [u64; 2],
        latency_micros: u64,
        now: chrono::DateTime<chrono::Utc>,
    ) -> String {
        let iso = "%Y-%m-%dT%H:%M:%S%.3fZ";
        let mut line = format!(
            "ts={} level=info job={id} name={} rows_in={} rows_out={} in_per_s={rate_in} out_per_s={rate_out}",
            now.format(iso),
            logfmt(&redact(name)),
            self.rows_in,
            self.rows_out,
        );
        let mut put = |key: &str, value: String| {
            // Writing into a string does not fail.
            let _ = write!(line, " {key}={value}");
        };
        if self.bytes_total > 0 {
            let percent = 100.0 * self.bytes_in as f64 / self.bytes_total as f64;
            put("read_percent", format!("{:.1}", percent.min(100.0)));
        }
        if self.lookups {
            put("lookups_in_flight", self.in_flight.to_string());
            put("lookup_calls", self.calls.to_string());
            put("lookup_misses", self.not_found.to_string());
            put("lookup_errors", self.errors.to_string());
            for (n, what) in [
                (self.retries, "lookup_retries"),
                (self.stale, "lookup_stale"),
                (self.hedged, "lookup_hedged"),
                (self.dead_letters, "lookup_dead_letters"),
                (self.refused, "lookup_refused"),
                (self.evictions, "cache_evictions"),
                (self.loads, "cache_loads"),
                (self.load_failures, "cache_load_failures"),
            ] {
                if n > 0 {
                    put(what, n.to_string());
                }
            }
        }
        if let Some(percent) = self.hit_percent() {
            put("cache_hit_percent", format!("{percent:.1}"));
        }
        if self.skipped > 0 {
            put("skipped", self.skipped.to_string());
        }
        if self.late > 0 {
            put("late", self.late.to_string());
        }
        if self.dropped > 0 {
            put("dropped", self.dropped.to_string());
        }
        if let Some(behind) = self.behind {
            put("behind", behind.to_string());
            for (split, records) in &self.splits_behind {
                put(&format!("behind.{}", key(&redact(split))), records.to_string());
            }
        }
        let watermark = self.watermark.and_then(chrono::DateTime::from_timestamp_millis);
        if let (Some(watermark), Some(lag)) = (watermark, self.lag(now)) {
            put("watermark", watermark.format(iso).to_string());
            put("watermark_lag_ms", lag.to_string());
        }
        if latency_micros > 0 {
            put("latency_p99_ms", format!("{:.1}", latency_micros as f64 / 1e3));
        }
        if let Some((epoch, age, took, bytes)) = self.checkpoint {
            put("checkpoint", epoch.to_string());
            put("checkpoint_age_s", format!("{:.1}", age.as_secs_f64()));
            put("checkpoint_ms", took.as_millis().to_string());
            put("checkpoint_bytes", bytes.to_string());
        }
        if self.checkpoints_failed > 0 {
            put("checkpoints_failed", self.checkpoints_failed.to_string());
        }
        if self.restarts > 0 {
            put("restarts", self.restarts.to_string());
        }
        if self.state > 0 {
            put("state_bytes", self.state.to_string());
        }
        if let Some(memory) = self.memory {
            put("memory_bytes", memory.to_string());
        }
        if self.sinks.len() > 1 {
            for (name, rows) in &self.sinks {
                put(&format!("rows_out.{}", key(&redact(name))), rows.to_string());
            }
        }
        line
    }

    fn line(&self, rate: f64, now: chrono::DateTime<chrono::Utc>) -> String {
        let mut line = format!(
            "{} rows in · {} out · {}/s",
            thousands(self.rows_in),
            thousands(self.rows_out),
            thousands(rate as u64)
        );
        if self.lookups {
            line.push_str(&format!(" · {} lookups in flight", thousands(self.in_flight)));
        }
        if let Some(percent) = self.hit_percent() {
            line.push_str(&format!(" · cache {percent:.1}%"));
        }
        if self.bytes_total > 0 {
            let percent = 100.0 * self.bytes_in as f64 / self.bytes_total as f64;
            line.push_str(&format!(" · {:.0}% read", percent.min(100.0)));
        }
        if let Some(behind) = self.behind {
            line.push_str(&format!(" · {} behind", thousands(behind)));
        }
        let counts = [
            (self.skipped, "skipped"),
            (self.late, "late"),
            (self.dropped, "dropped"),
            (self.dead_letters, "dead letters"),
        ];
        for (n, what) in counts {
            if n > 0 {
                line.push_str(&format!(" · {} {what}", thousands(n)));
            }
        }
        let watermark = self.watermark.and_then(chrono::DateTime::from_timestamp_millis);
        if let (Some(watermark), Some(lag)) = (watermark, self.lag(now)) {
            let behind = match lag {
                lag if lag < 0 => String::new(),
                lag if lag < 60_000 => format!(", {:.1} s behind", lag as f64 / 1e3),
                lag if lag < 3_600_000 => format!(", {} min behind", lag / 60_000),
                lag if lag < 86_400_000 => format!(", {} h behind", lag / 3_600_000),
                lag => format!(", {} d behind", lag / 86_400_000),
            };
            line.push_str(&format!(" · watermark {}{behind}", watermark.format("%Y-%m-%d %H:%M:%S")));
        }
        line
    }

    fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let rate = if seconds > 0.0 { self.rows_in as f64 / seconds } else { 0.0 };
        let mut line = format!(
            "{} rows in, {} out, {seconds:.1} s, {}/s",
            thousands(self.rows_in),
            thousands(self.rows_out),
            thousands(rate as u64)
        );
        if self.lookups {
            line.push_str(&format!(", {} lookup calls", thousands(self.calls)));
        }
        if let Some(percent) = self.hit_percent() {
            line.push_str(&format!(", {percent:.1}% from the cache"));
        }
        if self.not_found > 0 {
            line.push_str(&format!(", {} not found", thousands(self.not_found)));
        }
        if self.errors > 0 {
            line.push_str(&format!(", {} keys failed", thousands(self.errors)));
        }
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", counted(self.skipped, "record", "records")));
        }
        if self.late > 0 {
            line.push_str(&format!(", {} late rows left out", thousands(self.late)));
        }
        if self.dropped > 0 {
            line.push_str(&format!(", {} rows with NULL dropped", thousands(self.dropped)));
        }
        line
    }
}

/// A name as a part of a log line's key.
fn key(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

/// What happens to a job, as a line for logs.
pub fn event(job: &Job, what: &str, more: &[(&str, String)]) -> String {
    let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let mut line =
        format!("ts={time} level=info job={} name={} event={what}", job.id, logfmt(&redact(&job.name)));
    more.iter().for_each(|(key, value)| {
        // Writing into a string does not fail.
        let _ = write!(line, " {key}={}", logfmt(value));
    });
    line
}

/// The end of a job as a line for logs: what it did, and where it continues.
pub fn ended(job: &Arc<Job>) -> String {
    let figures = Figures::of(std::slice::from_ref(job));
    let mut more = vec![("rows_in", figures.rows_in.to_string()), ("rows_out", figures.rows_out.to_string())];
    let what = match job.state() {
        JobState::Running => "runs",
        JobState::Finished => "finished",
        JobState::Cancelled => {
            more.push((
                "goes_on_from",
                match job.checkpoints.goes_on_from() {
                    Some(epoch) => format!("checkpoint {epoch}"),
                    None => "the beginning".to_string(),
                },
            ));
            "stopped"
        }
        JobState::Failed(_) => "failed",
    };
    event(job, what, &more)
}

/// A value of a log line: quoted where it must be.
pub fn logfmt(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    let mut safe = String::new();
    visible::push_text(text, &mut safe);
    format!("\"{}\"", safe.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One line on what a job did in `took`.
pub fn summary(job: &Arc<Job>, took: Duration) -> String {
    let state = match job.state() {
        JobState::Running => "runs",
        JobState::Finished => "finished",
        JobState::Cancelled => "was cancelled",
        JobState::Failed(_) => "failed",
    };
    let mut name = String::new();
    visible::push_text(&redact(&job.name), &mut name);
    let figures = Figures::of(std::slice::from_ref(job)).summary(took);
    let last = job.checkpoints.last().filter(|_| job.state() == JobState::Cancelled);
    let goes_on = last.map_or_else(String::new, |c| {
        format!("; it continues from checkpoint {} when it is run again", c.epoch)
    });
    format!("job {} ({name}) {state}: {figures}{goes_on}", job.id)
}

/// What a job left out, and which lookups failed, if any: it is reported even where a summary is not. A job that failed
/// has its error.
pub fn left_out(job: &Arc<Job>) -> Option<String> {
    if matches!(job.state(), JobState::Failed(_)) {
        return None;
    }
    let figures = Figures::of(std::slice::from_ref(job));
    let left_out = [
        (
            figures.skipped,
            "record or field that could not be decoded",
            "records or fields that could not be decoded",
        ),
        (figures.dropped, "row with NULL for a NOT NULL column", "rows with NULL for a NOT NULL column"),
        (figures.late, "row that came after its watermark", "rows that came after their watermark"),
    ];
    let left_out = left_out.into_iter().filter(|(n, ..)| *n > 0);
    let left_out = left_out.map(|(n, one, many)| counted(n, one, many)).collect::<Vec<_>>().join(" and ");
    let mut parts = Vec::new();
    if !left_out.is_empty() {
        parts.push(format!("left out {left_out}"));
    }
    if figures.errors > 0 {
        parts.push(format!(
            "had no answer for {}",
            counted(figures.errors, "key of a lookup", "keys of lookups")
        ));
    }
    (!parts.is_empty()).then(|| format!("warning: job {} {}", job.id, parts.join(", and ")))
}

fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!([0u64, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let mut figures = Figures { rows_in: 12_345, rows_out: 12_000, ..Figures::default() };
        let now = chrono::DateTime::from_timestamp_millis(1_577_880_003_200).unwrap_or_default();
        assert_eq!(figures.line(4000.4, now), "12,345 rows in · 12,000 out · 4,000/s");
        figures = Figures {
            lookups: true,
            in_flight: 12,
            calls: 700,
            hits: 930,
            misses: 70,
            errors: 2,
            not_found: 3,
            state: 4096,
            memory: Some(1 << 20),
            checkpoint: Some((17, Duration::from_millis(2_500), Duration::from_millis(30), 512)),
            checkpoints_failed: 1,
            sinks: vec![("a".into(), 1), ("b c".into(), 2)],
            skipped: 1,
            bytes_in: 45,
            bytes_total: 100,
            behind: Some(1_005),
            splits_behind: vec![("t/1".into(), 1_000), ("t/0".into(), 5)],
            watermark: Some(1_577_880_000_000),
            ..figures
        };
        assert_eq!(
            figures.line(1.0, now),
            "12,345 rows in · 12,000 out · 1/s · 12 lookups in flight · cache 93.0% · 45% read \
             · 1,005 behind · 1 skipped · watermark 2020-01-01 12:00:00, 3.2 s behind"
        );
        assert_eq!(
            figures.report("insert into \"x\"\n", 7, [5, 4], 1_500, now),
            "ts=2020-01-01T12:00:03.200Z level=info job=7 name=\"insert into \\\"x\\\"↵\" rows_in=12345 \
             rows_out=12000 in_per_s=5 out_per_s=4 read_percent=45.0 lookups_in_flight=12 lookup_calls=700 \
             lookup_misses=3 lookup_errors=2 cache_hit_percent=93.0 skipped=1 behind=1005 behind.t_1=1000 behind.t_0=5 watermark=2020-01-01T12:00:00.000Z \
             watermark_lag_ms=3200 latency_p99_ms=1.5 checkpoint=17 checkpoint_age_s=2.5 checkpoint_ms=30 \
             checkpoint_bytes=512 checkpoints_failed=1 state_bytes=4096 memory_bytes=1048576 rows_out.a=1 rows_out.b_c=2"
        );
        assert_eq!(
            figures.summary(Duration::from_secs(2)),
            "12,345 rows in, 12,000 out, 2.0 s, 6,172/s, 700 lookup calls, 93.0% from the cache, \
             3 not found, 2 keys failed, 1 record skipped"
        );
    }
}
