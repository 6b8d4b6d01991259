//! What the demonstration shows: a comparison of the strategies, and rows as a small table. Pure text.

use crate::session::figures::thousands;
use std::fmt::Write;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

/// What one strategy achieved.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// `SYNC`, `ASYNC` or `CACHED`.
    pub strategy: &'static str,
    /// Events that were enriched.
    pub events: u64,
    /// In this time.
    pub elapsed: Duration,
    /// Requests that the service counted.
    pub calls: u64,
    /// Cache hits per event, from 0 to 1; `None` without a cache.
    pub hit_ratio: Option<f64>,
    /// Latency of a call in microseconds: half and 99 % were faster.
    pub call_micros: (u64, u64),
    /// Latency of an event from read to written, likewise.
    pub event_micros: (u64, u64),
}

impl Figures {
    /// Events a second.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// How text is set off; empty without colours.
#[derive(Debug, Clone, Copy)]
struct Ink {
    strong: &'static str,
    faint: &'static str,
    bar: &'static str,
    off: &'static str,
}

const PLAIN: Ink = Ink { strong: "", faint: "", bar: "", off: "" };
const COLORED: Ink = Ink { strong: "\x1b[1m", faint: "\x1b[2m", bar: "\x1b[36m", off: "\x1b[0m" };

/// Cells of the longest bar.
const BAR: usize = 16;

/// The comparison, a line a strategy; bars are in proportion to events a second.
pub fn comparison(figures: &[Figures], color: bool) -> String {
    let ink = if color { COLORED } else { PLAIN };
    let best = figures.iter().map(Figures::rate).fold(0.0, f64::max);
    let first = figures.first().map_or(0.0, Figures::rate);
    let versus = format!("vs {}", figures.first().map_or("", |f| f.strategy));
    let header: [&str; 8] =
        ["strategy", "events/s", "", &versus, "API calls", "hits", "call p50 / p99", "event p50 / p99"];
    let rows: Vec<[String; 8]> = figures
        .iter()
        .map(|f| {
            [
                f.strategy.to_string(),
                thousands(f.rate().round() as u64),
                bar(f.rate() / best.max(1e-9), BAR),
                if first > 0.0 { factor(f.rate() / first) } else { String::new() },
                thousands(f.calls),
                f.hit_ratio.map_or_else(|| "-".into(), percent),
                pair(f.call_micros),
                pair(f.event_micros),
            ]
        })
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|c| rows.iter().map(|r| r[c].width()).chain([header[c].width()]).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    let mut line = |cells: &[&str], inks: &dyn Fn(usize) -> &'static str| {
        let mut text = String::new();
        for (c, cell) in cells.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.width());
            let gap = if c == 0 { "" } else { "  " };
            let (ink_on, ink_off) = (inks(c), if inks(c).is_empty() { "" } else { ink.off });
            // Writing to a String does not fail.
            let _ = match c {
                0 | 2 => write!(text, "{gap}{ink_on}{cell}{ink_off}{pad}"),
                _ => write!(text, "{gap}{pad}{ink_on}{cell}{ink_off}"),
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&header, &|_| ink.faint);
    for row in &rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        line(&cells, &|c| match c {
            0 | 1 => ink.strong,
            2 => ink.bar,
            _ => "",
        });
    }
    out
}

/// Rows under a header, columns as wide as they need to be; numbers to the right.
pub fn grid(header: &[String], rows: &[Vec<String>]) -> String {
    let cell = |row: &'_ [String], c: usize| row.get(c).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len())
        .map(|c| rows.iter().map(|r| cell(r, c).width()).chain([header[c].width()]).max().unwrap_or(0))
        .collect();
    let numeric: Vec<bool> = (0..header.len())
        .map(|c| !rows.is_empty() && rows.iter().all(|r| cell(r, c).parse::<f64>().is_ok()))
        .collect();
    let mut out = String::new();
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for c in 0..header.len() {
            let text = cell(row, c);
            let pad = " ".repeat(widths[c] - text.width());
            let gap = if c == 0 { "" } else { "  " };
            line.push_str(gap);
            line.push_str(if numeric[c] { &pad } else { "" });
            line.push_str(&text);
            line.push_str(if numeric[c] { "" } else { &pad });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A bar in eighths of a cell; what is not nothing is seen.
fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (share * (cells * 8) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn factor(factor: f64) -> String {
    match factor {
        f if f >= 9.95 => format!("{}x", thousands(f.round() as u64)),
        f => format!("{f:.1}x"),
    }
}

/// Rounds down, so that 100 % means that there was no miss.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

/// Two latencies: `20.9 / 22.1 ms`, or `850 us / 1.23 s`; a dash when nothing was measured.
fn pair((p50, p99): (u64, u64)) -> String {
    if p99 == 0 {
        return "-".into();
    }
    let ((low, low_unit), (high, high_unit)) = (time(p50), time(p99));
    if low_unit == high_unit {
        format!("{low} / {high} {high_unit}")
    } else {
        format!("{low} {low_unit} / {high} {high_unit}")
    }
}

/// Three digits and their unit.
fn time(micros: u64) -> (String, &'static str) {
    let (n, unit) = match micros {
        ..1_000 => return (micros.to_string(), "us"),
        1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = match n {
        100.0.. => 0,
        10.0..100.0 => 1,
        _ => 2,
    };
    (format!("{n:.digits$}"), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(strategy: &'static str, events: u64, calls: u64, hit_ratio: Option<f64>) -> Figures {
        Figures {
            strategy,
            events,
            elapsed: Duration::from_secs(5),
            calls,
            hit_ratio,
            call_micros: (20_900, 22_100),
            event_micros: (850, 1_234_000),
        }
    }

    #[test]
    fn the_comparison_is_aligned() {
        let all = [
            figures("SYNC", 240, 240, None),
            figures("ASYNC", 60_000, 60_000, None),
            figures("CACHED", 1_000_000, 10_000, Some(0.9999)),
        ];
        let expected = "\
strategy  events/s                    vs SYNC  API calls    hits  call p50 / p99  event p50 / p99
SYNC            48  ▏                    1.0x        240       -  20.9 / 22.1 ms  850 us / 1.23 s
ASYNC       12,000  █                    250x     60,000       -  20.9 / 22.1 ms  850 us / 1.23 s
CACHED     200,000  ████████████████   4,167x     10,000  99.9 %  20.9 / 22.1 ms  850 us / 1.23 s
";
        assert_eq!(comparison(&all, false), expected);
        let colored = comparison(&all, true);
        assert!(colored.contains("\x1b[1mSYNC\x1b[0m") && colored.lines().count() == 4, "{colored}");
    }

    #[test]
    fn nothing_measured_is_no_number() {
        let none = Figures {
            events: 0,
            call_micros: (0, 0),
            elapsed: Duration::ZERO,
            ..figures("SYNC", 0, 0, None)
        };
        let text = comparison(&[none], false);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(comparison(&[], false).lines().count(), 1);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(pair((20, 999)), "20 / 999 us");
        assert_eq!(pair((1_500, 250_000)), "1.50 / 250 ms");
        assert_eq!((bar(0.0, 4), bar(1e-9, 4), bar(1.0, 4)), ("".into(), "▏".into(), "████".into()));
        assert_eq!((percent(0.99999), percent(1.0)), ("99.9 %".into(), "100.0 %".into()));
    }

    #[test]
    fn rows_stand_under_their_header() {
        let header = ["id", "town"].map(String::from);
        let rows = [vec!["7".into(), "京都".into()], vec!["12".into(), "Köln".into()]];
        assert_eq!(grid(&header, &rows), "id  town\n 7  京都\n12  Köln\n");
    }
}
