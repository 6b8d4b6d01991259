//! How far the jobs are: one line on standard error, rewritten in place, and a summary at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::output::{self, Output, terminal_width};
use super::render::visible;
use crate::flow::{Job, JobState};
use crate::lookup::LookupMetrics;

/// At most so often the line is drawn.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// What is over sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    started: Instant,
    drawn: Option<Instant>,
    /// Rows read when the rate was measured last, and the rate.
    sample: (Instant, u64),
    rate: f64,
}

impl Progress {
    /// Shown only on a terminal that nothing else is written to meanwhile.
    pub fn new(output: &Output, rows_on_terminal: bool) -> Self {
        let now = Instant::now();
        let shown = output.stderr_terminal && !output.quiet && !rows_on_terminal;
        Self { shown, started: now, drawn: None, sample: (now, 0), rate: 0.0 }
    }

    /// Whether a line stands on the terminal now.
    pub fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Draws the line if it is time.
    pub fn tick(&mut self, jobs: &[Arc<Job>]) {
        let now = Instant::now();
        if !self.shown
            || now - self.started < PATIENCE
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
        visible::push_cut(&figures.line(self.rate), width.saturating_sub(1), &mut line);
        output::rewrite_line(&line);
        self.drawn = Some(now);
    }

    /// Wipes the line, so that something else can be written.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            output::wipe_line();
        }
    }
}

/// Sums over jobs.
#[derive(Debug, Default, Clone, PartialEq)]
struct Figures {
    rows_in: u64,
    rows_out: u64,
    skipped: u64,
    late: u64,
    bytes_in: u64,
    bytes_total: u64,
    lookups: bool,
    in_flight: u64,
    calls: u64,
    hits: u64,
    misses: u64,
    errors: u64,
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
            sum.bytes_in += metrics.bytes_in.load(Ordering::Relaxed);
            sum.bytes_total += metrics.bytes_total.load(Ordering::Relaxed);
            for (_, lookup) in &job.lookups {
                sum.lookups = true;
                sum.in_flight += LookupMetrics::get(&lookup.in_flight);
                sum.calls += LookupMetrics::get(&lookup.calls);
                sum.hits += LookupMetrics::get(&lookup.hits);
                sum.misses += LookupMetrics::get(&lookup.misses);
                sum.errors += LookupMetrics::get(&lookup.errors);
            }
        }
        sum
    }

    fn hit_percent(&self) -> Option<f64> {
        (self.hits > 0).then(|| 100.0 * self.hits as f64 / (self.hits + self.misses) as f64)
    }

    fn line(&self, rate: f64) -> String {
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
        if self.errors > 0 {
            line.push_str(&format!(", {} keys failed", thousands(self.errors)));
        }
        if self.skipped > 0 {
            line.push_str(&format!(", {} records skipped", thousands(self.skipped)));
        }
        if self.late > 0 {
            line.push_str(&format!(", {} late rows left out", thousands(self.late)));
        }
        line
    }
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
    visible::push_text(&job.name, &mut name);
    format!("job {} ({name}) {state}: {}", job.id, Figures::of(std::slice::from_ref(job)).summary(took))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let mut figures = Figures { rows_in: 12_345, rows_out: 12_000, ..Figures::default() };
        assert_eq!(figures.line(4000.4), "12,345 rows in · 12,000 out · 4,000/s");
        figures = Figures {
            lookups: true,
            in_flight: 12,
            calls: 700,
            hits: 930,
            misses: 70,
            errors: 2,
            skipped: 1,
            bytes_in: 45,
            bytes_total: 100,
            ..figures
        };
        assert_eq!(
            figures.line(1.0),
            "12,345 rows in · 12,000 out · 1/s · 12 lookups in flight · cache 93.0% · 45% read"
        );
        assert_eq!(
            figures.summary(Duration::from_secs(2)),
            "12,345 rows in, 12,000 out, 2.0 s, 6,172/s, 700 lookup calls, 93.0% from the cache, \
             2 keys failed, 1 records skipped"
        );
    }
}
