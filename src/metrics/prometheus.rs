//! Prometheus' text format, version 0.0.4.

use std::collections::HashMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::catalogue::{Kind, METRICS, Metric, plain};
use super::collect::Sheet;

/// Upper bounds of a histogram's buckets, in microseconds: those that OpenTelemetry advises for durations, and a few
/// below, where caches answer.
pub(super) const BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Samples, by metric.
#[derive(Debug, Default)]
pub(crate) struct Page {
    samples: HashMap<&'static str, String>,
}

/// A label's value: three characters are written otherwise.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn labels(of: &[(&str, &str)]) -> String {
    of.iter()
        .map(|(name, value)| format!("{}=\"{}\"", plain(name), escaped(value)))
        .collect::<Vec<_>>()
        .join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

/// How many values are in each bucket, without those beyond the last, and the sum of all in seconds.
pub(super) fn buckets(of_micros: &Histogram<u64>) -> ([u64; BOUNDS.len()], f64) {
    let (mut counts, mut sum) = ([0u64; BOUNDS.len()], 0f64);
    for value in of_micros.iter_recorded() {
        let micros = value.value_iterated_to();
        sum += micros as f64 * value.count_since_last_iteration() as f64;
        if let Some(at) = BOUNDS.iter().position(|bound| micros <= *bound) {
            counts[at] += value.count_since_last_iteration();
        }
    }
    (counts, sum / 1e6)
}

impl Sheet for Page {
    fn value(&mut self, metric: &Metric, of: &[(&str, &str)], value: f64) {
        let text = self.samples.entry(metric.name).or_default();
        // Writing into a string does not fail.
        let _ = writeln!(text, "{}{} {value}", metric.prometheus(), braced(&labels(of)));
    }

    fn histogram(&mut self, metric: &Metric, of: &[(&str, &str)], of_micros: &Histogram<u64>) {
        let (name, labels) = (metric.prometheus(), labels(of));
        let text = self.samples.entry(metric.name).or_default();
        let comma = if labels.is_empty() { "" } else { "," };
        let (counts, sum) = buckets(of_micros);
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(counts) {
            below += count;
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
        }
        let all = of_micros.len();
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum{} {sum}", braced(&labels));
        let _ = writeln!(text, "{name}_count{} {all}", braced(&labels));
    }
}

impl Page {
    /// The page: the samples of a metric stand together, behind what it is.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for metric in METRICS {
            let Some(samples) = self.samples.get(metric.name) else { continue };
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let name = metric.prometheus();
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.doc.replace('\n', " "));
            text.push_str(samples);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::catalogue as c;
    use super::*;

    #[test]
    fn the_text_format() {
        let mut page = Page::default();
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 2).unwrap();
        histogram.record_n(100, 3).unwrap();
        histogram.record(70_000_000).unwrap();
        page.histogram(&c::LATENCY, &[("affluent.job.id", "1")], &histogram);
        page.value(&c::ROWS_READ, &[("affluent.job.name", "a \"b\"\\\n")], 7.0);
        page.value(&c::BUILD, &[], 1.0);
        let text = page.text();
        // In the order of the catalogue.
        assert!(text.starts_with("# HELP affluent_build_info always 1; which version runs\n# TYPE affluent_build_info gauge\naffluent_build_info 1\n"), "{text}");
        assert!(
            text.contains("affluent_job_rows_read_total{affluent_job_name=\"a \\\"b\\\"\\\\\\n\"} 7\n"),
            "{text}"
        );
        let bucket =
            |le: &str| format!("affluent_job_latency_seconds_bucket{{affluent_job_id=\"1\",le=\"{le}\"}}");
        assert!(text.contains(&format!("{} 3\n", bucket("0.0001"))), "{text}");
        assert!(text.contains(&format!("{} 3\n", bucket("60"))), "{text}");
        assert!(text.contains(&format!("{} 4\n", bucket("+Inf"))), "{text}");
        assert!(text.contains("affluent_job_latency_seconds_count{affluent_job_id=\"1\"} 4\n"), "{text}");
    }
}
