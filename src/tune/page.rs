//! Findings as a drawing, and as one page that can be sent around: nothing is loaded from elsewhere.

use std::fmt::Write as _;

use super::report::{comparison, lifetimes};
use super::search::Findings;
use super::trial::Trial;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 45.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number as it stands at an axis.
fn mark(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// Points on a logarithmic axis below, by two scales beside.
struct Plot<'a> {
    title: &'a str,
    below: &'a str,
    x: Vec<f64>,
    left: (&'a str, Vec<f64>),
    right: (&'a str, Vec<f64>),
    knee: Option<f64>,
    below_mark: fn(f64) -> String,
}

impl Plot<'_> {
    fn draw(&self, top: f64, out: &mut String) {
        let (least, most) =
            (self.x.iter().copied().fold(f64::MAX, f64::min), self.x.iter().copied().fold(0.0, f64::max));
        let span = (most.ln() - least.ln()).max(1e-9);
        let across = |x: f64| LEFT + (x.max(1e-9).ln() - least.ln()) / span * (WIDTH - LEFT - RIGHT);
        let bottom = top + HEIGHT - BOTTOM;
        let high = HEIGHT - TOP - BOTTOM;
        // Writing to a String does not fail.
        let mut put = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        put(format!(
            "<text x=\"{LEFT}\" y=\"{}\" class=\"title\">{}</text>",
            top + 16.0,
            escaped(self.title)
        ));
        put(format!(
            "<line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\" class=\"axis\"/>",
            WIDTH - RIGHT
        ));
        for x in &self.x {
            put(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mark\" text-anchor=\"middle\">{}</text>",
                across(*x),
                bottom + 16.0,
                escaped(&(self.below_mark)(*x))
            ));
        }
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mark\" text-anchor=\"middle\">{}</text>",
            WIDTH / 2.0,
            bottom + 34.0,
            escaped(self.below)
        ));
        let sides = [(&self.left, "a", LEFT - 8.0, "end"), (&self.right, "b", WIDTH - RIGHT + 8.0, "start")];
        for ((name, values), class, at, anchor) in sides {
            let largest = values.iter().copied().fold(0.0, f64::max).max(1e-9);
            let up = |v: f64| bottom - v / largest * high;
            for part in [0.0, 0.5, 1.0] {
                put(format!(
                    "<text x=\"{at}\" y=\"{:.1}\" class=\"mark {class}\" text-anchor=\"{anchor}\">{}</text>",
                    up(largest * part) + 4.0,
                    mark(largest * part)
                ));
            }
            put(format!(
                "<text x=\"{at}\" y=\"{:.1}\" class=\"mark {class}\" text-anchor=\"{anchor}\">{}</text>",
                top + 24.0,
                escaped(name)
            ));
            let points: Vec<String> =
                self.x.iter().zip(values).map(|(x, v)| format!("{:.1},{:.1}", across(*x), up(*v))).collect();
            put(format!("<polyline points=\"{}\" class=\"line {class}\"/>", points.join(" ")));
            for point in &points {
                let (x, y) = point.split_once(',').unwrap_or_default();
                put(format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" class=\"dot {class}\"/>"));
            }
        }
        if let Some(knee) = self.knee {
            let x = across(knee);
            put(format!(
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom}\" class=\"knee\"/>",
                top + TOP
            ));
            put(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mark\">knee</text>",
                x + 4.0,
                top + TOP + 10.0
            ));
        }
    }
}

const STYLE: &str = "text{font-family:sans-serif;font-size:12px;fill:#222}.title{font-size:14px;font-weight:bold}\
.axis{stroke:#888}.line{fill:none;stroke-width:2}.line.a{stroke:#1f6fb4}.line.b{stroke:#d1601f}.dot.a{fill:#1f6fb4}.dot.b{fill:#d1601f}\
.mark.a{fill:#1f6fb4}.mark.b{fill:#d1601f}.knee{stroke:#555;stroke-dasharray:4 3}";

/// Throughput and latency by rows in flight, and hits by lifetime.
pub(crate) fn svg(findings: &Findings) -> String {
    let mut plots = Vec::new();
    if findings.capacities.len() > 1 {
        let total = |t: &Trial| (t.settings.capacity * t.settings.tasks) as f64;
        plots.push(Plot {
            title: "Rows in flight",
            below: "rows in flight, all tasks together",
            x: findings.capacities.iter().map(total).collect(),
            left: ("rows/s", findings.capacities.iter().map(|t| t.events_per_second).collect()),
            right: ("call p99, ms", findings.capacities.iter().map(|t| t.call_p99_ms).collect()),
            knee: findings.knee.map(|knee| knee as f64),
            below_mark: mark,
        });
    }
    plots.push(Plot {
        title: "Lifetime of a cache",
        below: "lifetime after the answer",
        x: findings.lifetimes.iter().map(|l| l.lifetime.as_secs() as f64).collect(),
        left: ("hits, %", findings.lifetimes.iter().map(|l| l.hit_ratio * 100.0).collect()),
        right: ("calls/s", findings.lifetimes.iter().map(|l| l.calls_per_second).collect()),
        knee: super::keys::knee(&findings.lifetimes).map(|l| l.lifetime.as_secs() as f64),
        below_mark: |s| super::search::shown(std::time::Duration::from_secs(s as u64)),
    });
    let height = HEIGHT * plots.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (i, plot) in plots.iter().enumerate() {
        plot.draw(HEIGHT * i as f64, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

fn table((header, rows): (Vec<&str>, Vec<Vec<String>>)) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escaped(c))).collect()
    };
    let header: Vec<String> = header.iter().map(|h| h.to_string()).collect();
    let rows: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!("<table><tr>{}</tr>\n{rows}</table>\n", cells("th", &header))
}

/// One page with everything.
pub(crate) fn html(findings: &Findings, pipeline: &str) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>affluent tune {name}</title>\n<style>\
         body{{font-family:sans-serif;max-width:760px;margin:2em auto;color:#222}}table{{border-collapse:collapse;margin:1em 0}}\
         td,th{{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd}}td:first-child,th:first-child{{text-align:left}}\
         code{{background:#f3f3f3;padding:.1em .3em}}li{{margin:.6em 0}}</style></head><body>\n<h1>affluent tune {name}</h1>\n\
         <p>{} keys, {} different; {} calls in {:.1} s.</p>\n",
        findings.keys,
        findings.distinct_keys,
        findings.calls,
        findings.seconds,
        name = escaped(pipeline)
    );
    if let Some(stopped) = &findings.stopped {
        page.push_str(&format!("<p><strong>{}</strong></p>\n", escaped(stopped)));
    }
    page.push_str("<h2>Strategies</h2>\n");
    page.push_str(&table(comparison(&findings.strategies)));
    page.push_str(&svg(findings));
    page.push_str(&format!(
        "<h2>Lifetimes</h2>\n<p>At {:.0} rows/s ({}).</p>\n",
        findings.rate,
        escaped(findings.rate_from)
    ));
    page.push_str(&table(lifetimes(findings)));
    page.push_str("<h2>Recommended</h2>\n<ul>\n");
    for advice in &findings.recommended {
        let _ = writeln!(page, "<li><code>{}</code><br>{}</li>", escaped(&advice.sql), escaped(&advice.why));
    }
    page.push_str("</ul></body></html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::keys::Lifetime;
    use crate::tune::search::Advice;
    use crate::tune::trial::Settings;

    #[test]
    fn a_page_stands_alone_and_shows_names_as_text() {
        let settings = |capacity| Settings { strategy: "ASYNC", capacity, tasks: 2, batch: None };
        let trial = |capacity, rate| Trial {
            settings: settings(capacity),
            events_per_second: rate,
            calls_per_second: rate,
            calls: 10,
            failures: 0,
            hit_ratio: None,
            call_p50_ms: 20.0,
            call_p99_ms: 30.0,
        };
        let lifetime = |s, hit_ratio| Lifetime {
            lifetime: std::time::Duration::from_secs(s),
            hit_ratio,
            calls_per_second: 1.0,
        };
        let findings = Findings {
            lookups: vec!["t".into()],
            keys: 10,
            distinct_keys: 5,
            trials: Vec::new(),
            strategies: vec![trial(1, 10.0)],
            capacities: vec![trial(1, 10.0), trial(4, 40.0)],
            knee: Some(8),
            lifetimes: vec![lifetime(1, 0.1), lifetime(60, 0.9)],
            rate: 40.0,
            rate_from: "as --rate says",
            recommended: vec![Advice { sql: "SET 'a' = '1';".into(), why: "a < b".into() }],
            calls: 20,
            seconds: 1.0,
            stopped: Some("<broken>".into()),
        };
        let page = html(&findings, "<p>.sql");
        assert!(
            page.contains("&lt;p&gt;.sql") && page.contains("&lt;broken&gt;") && page.contains("a &lt; b")
        );
        assert!(page.contains(">knee</text>") && page.matches("<polyline").count() == 4, "{page}");
        assert!(!page.contains("src=") && !page.contains("href="));
    }
}
