//! Horizontal bars, eighths of a character fine.

use indexmap::IndexMap;

use super::points::Point;
use super::scale::{Range, number, step};
use super::{push_colored, push_line, visible};

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What precedes it.
    pub label: String,
    /// Its length; negative bars go to the left.
    pub value: f64,
    /// Its colour.
    pub series: u32,
}

/// Shortest bars that are worth drawing with the values after them.
const LEAST: usize = 6;

/// Draws at most `lines` bars, and how many are left out.
pub fn draw(bars: &[Bar], lines: usize, width: usize, color: bool, text: &mut String) {
    let shown = &bars[..bars.len().min(lines)];
    let Some(range) = Range::of(shown.iter().map(|b| b.value)).map(Range::with_zero) else { return };
    let values: Vec<String> = shown.iter().map(|b| number(b.value)).collect();
    let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
    let label = widest(&mut shown.iter().map(|b| visible::width(&b.label))).min(width / 3);
    let value = widest(&mut values.iter().map(String::len));
    // A space after the label, the axis, and the value with a space before it.
    let room = width.saturating_sub(label + 2);
    let (room, with_values) = match room.checked_sub(value + 1) {
        Some(rest) if rest >= LEAST => (rest, true),
        _ => (room, false),
    };
    let left = match range.min < 0.0 {
        true => ((range.place(0.0) * room as f64).round() as usize).clamp(1, room.max(1)),
        false => 0,
    };
    let right = room.saturating_sub(left);
    // The longest bar of each side fits into it.
    let most = |side: usize, limit: f64| if limit == 0.0 { f64::INFINITY } else { side as f64 / limit.abs() };
    let scale = most(left, range.min).min(most(right, range.max));
    for (bar, value) in shown.iter().zip(&values) {
        let mut cut = String::new();
        let used = visible::push_cut(&bar.label, label, &mut cut);
        text.push_str(&" ".repeat(label - used));
        text.push_str(&cut);
        text.push(' ');
        let length = if scale.is_finite() { bar.value.abs() * scale } else { 0.0 };
        let (before, behind) = match bar.value < 0.0 {
            true => (leftwards(length, left), String::new()),
            false => (String::new(), rightwards(length, right)),
        };
        text.push_str(&" ".repeat(left - visible::width(&before)));
        push_colored(&before, bar.series, color && !before.is_empty(), text);
        text.push(if left > 0 { '│' } else { '▕' });
        push_colored(&behind, bar.series, color && !behind.is_empty(), text);
        if with_values {
            text.push(' ');
            text.push_str(value);
        }
        text.push('\n');
    }
    if bars.len() > shown.len() {
        push_line(&format!("{} more", bars.len() - shown.len()), width, text);
    }
}

/// A bar to the right of the axis.
fn rightwards(length: f64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = ((length * 8.0).round() as usize).min(room * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// A bar to the left of the axis: halves are what there is.
fn leftwards(length: f64, room: usize) -> String {
    let halves = ((length * 2.0).round() as usize).min(room * 2);
    format!("{}{}", if halves % 2 == 1 { "▐" } else { "" }, "█".repeat(halves / 2))
}

/// How many rows each label has, in the order in which labels came.
pub fn count<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<Bar> {
    let mut counts: IndexMap<(&str, u32), u64> = IndexMap::new();
    for point in points {
        *counts.entry((point.label.as_deref().unwrap_or_default(), point.series)).or_default() += 1;
    }
    let bar = |((label, series), n): ((&str, u32), u64)| Bar { label: label.into(), value: n as f64, series };
    counts.into_iter().map(bar).collect()
}

/// How many values fall into each of at most `lines` ranges of equal width.
pub fn histogram(values: &[f64], lines: usize) -> Vec<Bar> {
    let Some(range) = Range::of(values.iter().copied()) else { return Vec::new() };
    let parts = ((values.len() as f64).sqrt().ceil() as usize).clamp(1, lines.saturating_sub(2).max(1));
    let whole = || {
        let label = format!("{} .. {}", number(range.min), number(range.max));
        vec![Bar { label, value: values.len() as f64, series: 0 }]
    };
    let Some(step) = step(range, parts) else { return whole() };
    let first = (range.min / step).floor();
    let bins = (range.max / step).floor() - first + 1.0;
    if !(1.0..=4.0 * lines as f64 + 4.0).contains(&bins) {
        return whole();
    }
    let mut counts = vec![0u64; bins as usize];
    for value in values {
        let bin = ((value / step).floor() - first).max(0.0) as usize;
        let last = counts.len() - 1;
        counts[bin.min(last)] += 1;
    }
    let edge = |i: usize| number((first + i as f64) * step);
    let from = (0..counts.len()).map(|i| edge(i).len()).max().unwrap_or(0);
    let to = (1..=counts.len()).map(|i| edge(i).len()).max().unwrap_or(0);
    let label = |i: usize| format!("{:>from$} .. {:>to$}", edge(i), edge(i + 1));
    let bar = |(i, n): (usize, u64)| Bar { label: label(i), value: n as f64, series: 0 };
    // Empty ranges at the ends say nothing.
    let mut bars: Vec<Bar> = counts.into_iter().enumerate().map(bar).collect();
    while bars.last().is_some_and(|b| b.value == 0.0) {
        bars.pop();
    }
    bars
}
