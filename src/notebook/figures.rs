//! The line under a result: how much, how fast, what is being looked up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::console::progress::thousands;
use crate::flow::{Job, JobState};
use crate::lookup::LookupMetrics;

/// The rate is that of the last stretch of this length.
const STRETCH: Duration = Duration::from_secs(1);

/// What is over sooner has no rate.
const MOMENT: Duration = Duration::from_secs(1);

/// Follows one job.
#[derive(Debug)]
pub struct Figures {
    job: Arc<Job>,
    /// When the rate was measured last, and the rows read then.
    sample: (Instant, u64),
    rate: Option<f64>,
}

/// The phase of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It goes on.
    Running,
    /// All rows are there.
    Finished,
    /// The user stopped it.
    Stopped,
    /// An error ended it.
    Failed,
}

impl Phase {
    /// Of a job.
    pub fn of(state: &JobState) -> Self {
        match state {
            JobState::Running => Self::Running,
            JobState::Finished => Self::Finished,
            JobState::Cancelled => Self::Stopped,
            JobState::Failed(_) => Self::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl Figures {
    /// Of a job that has just started.
    pub fn new(job: Arc<Job>) -> Self {
        let sample = (job.started, 0);
        Self { job, sample, rate: None }
    }

    /// The line; `result` says what there is of the result. The same figures give the same line, so that
    /// nothing is repainted where nothing happens.
    pub fn line(&mut self, phase: Phase, result: Option<&str>) -> String {
        let read = self.job.metrics.rows_in.load(Ordering::Relaxed);
        let now = Instant::now();
        let elapsed = now - self.sample.0;
        if elapsed >= STRETCH {
            self.rate = Some(read.saturating_sub(self.sample.1) as f64 / elapsed.as_secs_f64());
            self.sample = (now, read);
        }
        let took = now - self.job.started;
        let mut parts = vec![match phase {
            Phase::Running => phase.as_str().to_string(),
            _ => format!("{} after {}", phase.as_str(), seconds(took)),
        }];
        parts.extend(result.map(str::to_string));
        parts.push(format!("{} read", rows(read)));
        let rate = match phase {
            Phase::Running => self.rate,
            // Of a moment there is no rate.
            _ => (took >= MOMENT).then(|| read as f64 / took.as_secs_f64()),
        };
        parts.extend(rate.map(|rate| format!("{}/s", thousands(rate as u64))));
        parts.extend(self.lookups(phase));
        let metrics = &self.job.metrics;
        for (count, what) in
            [(&metrics.records_skipped, "records skipped"), (&metrics.late_rows, "late rows")]
        {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                parts.push(format!("{} {what}", thousands(count)));
            }
        }
        parts.join(" · ")
    }

    fn lookups(&self, phase: Phase) -> Vec<String> {
        if self.job.lookups.is_empty() {
            return Vec::new();
        }
        let sum =
            |get: &dyn Fn(&LookupMetrics) -> u64| self.job.lookups.iter().map(|(_, l)| get(l)).sum::<u64>();
        let (hits, misses) = (sum(&|l| LookupMetrics::get(&l.hits)), sum(&|l| LookupMetrics::get(&l.misses)));
        let mut parts = vec![match phase {
            Phase::Running => {
                format!("{} lookups in flight", thousands(sum(&|l| LookupMetrics::get(&l.in_flight))))
            }
            _ => format!("{} lookup calls", thousands(sum(&|l| LookupMetrics::get(&l.calls)))),
        }];
        if hits > 0 {
            parts.push(format!("cache hits {:.1} %", 100.0 * hits as f64 / (hits + misses) as f64));
        }
        let errors = sum(&|l| LookupMetrics::get(&l.errors));
        if errors > 0 {
            parts.push(format!("{} keys failed", thousands(errors)));
        }
        parts
    }
}

/// `1 row`, `1,234 rows`.
pub fn rows(count: u64) -> String {
    format!("{} row{}", thousands(count), if count == 1 { "" } else { "s" })
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{} ms", time.as_millis()),
        s if s < 10.0 => format!("{s:.1} s"),
        s => format!("{} s", thousands(s as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::JobMetrics;

    #[test]
    fn lookups_and_rows() {
        let lookup = Arc::new(LookupMetrics::default());
        let job = Job::new(1, "q".into(), vec![("t".into(), lookup.clone())]);
        let mut figures = Figures::new(job.clone());
        assert_eq!(figures.line(Phase::Running, None), "running · 0 rows read · 0 lookups in flight");
        JobMetrics::add(&job.metrics.rows_in, 12_345);
        LookupMetrics::add(&lookup.in_flight, 7);
        LookupMetrics::add(&lookup.hits, 3);
        LookupMetrics::add(&lookup.misses, 1);
        let line = figures.line(Phase::Running, Some("2 rows"));
        assert_eq!(line, "running · 2 rows · 12,345 rows read · 7 lookups in flight · cache hits 75.0 %");
        LookupMetrics::add(&lookup.calls, 1);
        LookupMetrics::add(&lookup.errors, 1);
        JobMetrics::add(&job.metrics.late_rows, 2);
        let line = figures.line(Phase::Stopped, None);
        assert!(line.starts_with("stopped after 0 ms · 12,345 rows read · "), "{line}");
        assert!(
            line.ends_with(" · 1 lookup calls · cache hits 75.0 % · 1 keys failed · 2 late rows"),
            "{line}"
        );
    }
}
