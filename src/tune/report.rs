//! Findings for people and as JSON.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::search::{Findings, shown};
use super::trial::Trial;
use crate::console::render::chart::{Chart, ChartKind, ChartSpec};
use crate::console::render::{Ending, OutputFormat, Renderer, Target};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::session::figures::thousands;

/// Everything, as one object.
pub(crate) fn as_json(findings: &Findings) -> Result<String> {
    serde_json::to_string_pretty(findings).map_err(|e| Error::internal(e.to_string()))
}

fn number(value: f64) -> String {
    if value >= 100.0 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}

/// Columns of text, numbers to the right.
fn grid(header: &[&str], rows: &[Vec<String>], out: &mut String) {
    let width = |c: usize| {
        rows.iter().map(|r| r[c].chars().count()).chain([header[c].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let head: Vec<String> = header.iter().map(|h| h.to_string()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            // Writing to a String does not fail.
            let _ = match c {
                0 => write!(line, "{cell}{pad}"),
                _ => write!(line, "  {pad}{cell}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// The cells of the comparison, strategy by strategy.
pub(super) fn comparison(strategies: &[Trial]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let header = vec![
        "strategy",
        "in flight",
        "tasks",
        "rows/s",
        "vs first",
        "calls/s",
        "calls/row",
        "hits",
        "call p50",
        "call p99",
    ];
    let first = strategies.first().map_or(0.0, |t| t.events_per_second);
    let row = |t: &Trial| {
        let in_flight = if t.settings.strategy == "SYNC" { 1 } else { t.settings.capacity };
        vec![
            t.settings.strategy.to_string(),
            (in_flight * t.settings.tasks).to_string(),
            t.settings.tasks.to_string(),
            number(t.events_per_second),
            if first > 0.0 { format!("{:.1}x", t.events_per_second / first) } else { "-".to_string() },
            number(t.calls_per_second),
            format!("{:.3}", t.calls_per_second / t.events_per_second.max(1e-9)),
            t.hit_ratio.map_or("-".to_string(), |h| format!("{:.1} %", h * 100.0)),
            format!("{:.1} ms", t.call_p50_ms),
            format!("{:.1} ms", t.call_p99_ms),
        ]
    };
    (header, strategies.iter().map(row).collect())
}

/// The cells of the lifetimes.
pub(super) fn lifetimes(findings: &Findings) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let rows = findings.lifetimes.iter().map(|l| {
        vec![shown(l.lifetime), format!("{:.1} %", l.hit_ratio * 100.0), number(l.calls_per_second)]
    });
    (vec!["lifetime", "hits", "calls/s"], rows.collect())
}

/// A line through points.
fn chart(
    names: (&str, &str),
    points: &[(f64, f64)],
    target: Target,
    color: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let field = |name: &str| Field::new(name, DataType::Float64, false);
    let schema = Arc::new(Schema::new(vec![field(names.0), field(names.1)]));
    let spec = ChartSpec {
        kind: Some(ChartKind::Line),
        x: Some(names.0.to_string()),
        y: Some(names.1.to_string()),
        color: None,
    };
    let width = target.width;
    // Drawn once, not followed.
    let target = Target { format: OutputFormat::Tableau, terminal: false, width };
    let mut chart = Chart::new(schema.clone(), &spec, target, color, || (None, Some(16)))?;
    let column = |of: fn(&(f64, f64)) -> f64| Arc::new(points.iter().map(of).collect::<Float64Array>()) as _;
    let batch = RecordBatch::try_new(schema, vec![column(|p| p.0), column(|p| p.1)])?;
    let mut drawn = Vec::new();
    chart.chunk(&Chunk::append(batch, Instant::now()), &mut drawn)?;
    chart.end(Ending::Complete, &mut drawn)?;
    out.extend_from_slice(&drawn);
    Ok(())
}

/// The whole report.
pub(crate) fn as_text(findings: &Findings, target: Target, color: bool) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} keys, {} different; {} calls in {:.1} s\n",
        thousands(findings.keys as u64),
        thousands(findings.distinct_keys as u64),
        thousands(findings.calls),
        findings.seconds
    );
    let (header, rows) = comparison(&findings.strategies);
    grid(&header, &rows, &mut text);
    out.extend_from_slice(text.as_bytes());
    let of = |of: fn(&Trial) -> f64| -> Vec<(f64, f64)> {
        let at = |t: &Trial| ((t.settings.capacity * t.settings.tasks) as f64, of(t));
        findings.capacities.iter().map(at).collect()
    };
    if findings.capacities.len() > 1 {
        let mut text = String::from("\n");
        let steps = findings.capacities.iter().map(|t| {
            let total = t.settings.capacity * t.settings.tasks;
            let knee = if findings.knee == Some(total) { "<- knee" } else { "" };
            vec![
                total.to_string(),
                number(t.events_per_second),
                number(t.calls_per_second),
                format!("{:.1} ms", t.call_p50_ms),
                format!("{:.1} ms", t.call_p99_ms),
                t.failures.to_string(),
                knee.to_string(),
            ]
        });
        let header = ["in flight", "rows/s", "calls/s", "call p50", "call p99", "failed", ""];
        grid(&header, &steps.collect::<Vec<_>>(), &mut text);
        text.push('\n');
        out.extend_from_slice(text.as_bytes());
        chart(("in flight", "rows/s"), &of(|t| t.events_per_second), target, color, &mut out)?;
        out.push(b'\n');
        chart(("in flight", "p99 ms"), &of(|t| t.call_p99_ms), target, color, &mut out)?;
    }
    let mut text = format!("\nA cache, at {} rows/s ({}):\n\n", number(findings.rate), findings.rate_from);
    let (header, rows) = lifetimes(findings);
    grid(&header, &rows, &mut text);
    if !findings.recommended.is_empty() {
        text.push_str("\nRecommended:\n\n");
        for advice in &findings.recommended {
            let _ = writeln!(text, "{}\n    -- {}", advice.sql, advice.why);
        }
    }
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}
