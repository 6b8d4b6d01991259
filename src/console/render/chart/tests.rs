#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::*;

use super::super::OutputFormat;
use super::*;
use crate::flow::{Kind, Kinds};

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(n, a)| (*n, a.clone(), true))).unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn spec(kind: ChartKind, names: &[&str]) -> ChartSpec {
    let name = |i: usize| names.get(i).map(|n| (*n).to_string());
    ChartSpec { kind: Some(kind), x: name(0), y: name(1), color: name(2) }
}

fn small() -> Size {
    (Some(30), Some(12))
}

fn chart(batch: &RecordBatch, spec: &ChartSpec, terminal: bool) -> Result<Chart> {
    let target = Target { format: OutputFormat::Tableau, terminal, width: Some(30) };
    Chart::new(batch.schema(), spec, target, false, small)
}

fn drawn(batch: &RecordBatch, spec: &ChartSpec) -> String {
    let mut chart = chart(batch, spec, false).unwrap();
    let mut out = Vec::new();
    chart.chunk(&Chunk::append(batch.clone(), Instant::now()), &mut out).unwrap();
    assert!(out.is_empty(), "without a terminal only the end is drawn");
    chart.end(Ending::Complete, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn bars() {
    let rows = batch(&[
        ("brand", texts(&["Thermix", "Kelvin & Co", "x\u{1b}"])),
        ("n", doubles(&[10.0, 5.0, f64::NAN])),
    ]);
    let expected = "\
n by brand · 2 rows · 1 lef...
   Thermix ▕███████████████ 10
Kelvin ... ▕███████▌ 5
";
    assert_eq!(drawn(&rows, &spec(ChartKind::Bar, &["brand", "n"])), expected);
    assert_eq!(drawn(&rows, &ChartSpec::default()), expected, "found out from the columns");
}

#[test]
fn negative_bars_go_to_the_left() {
    let rows = batch(&[("k", texts(&["a", "b", "c"])), ("v", doubles(&[-2.0, 4.0, 0.0]))]);
    let expected = "\
v by k · 3 rows
a ████████│ -2
b         │████████████████ 4
c         │ 0
";
    let shown = drawn(&rows, &spec(ChartKind::Bar, &["k", "v"]));
    assert_eq!(shown, expected);
}

#[test]
fn rows_are_counted_without_y() {
    let rows = batch(&[("k", texts(&["a", "b", "a"]))]);
    let shown = drawn(&rows, &spec(ChartKind::Bar, &["k"]));
    assert!(shown.starts_with("rows by k · 3 rows\na ▕██") && shown.ends_with("▌ 1\n"), "{shown}");
}

#[test]
fn histograms() {
    let values: Vec<f64> = (0..100).map(f64::from).chain([f64::INFINITY]).collect();
    let rows = batch(&[("v", doubles(&values))]);
    let shown = drawn(&rows, &spec(ChartKind::Histogram, &["v"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "distribution of v · 100 row...");
    assert_eq!(lines.len(), 11, "{shown}");
    assert!(lines[1].starts_with(" 0 ..  10 ▕█") && lines[1].ends_with(" 10"), "{shown}");
    let one = drawn(&batch(&[("v", doubles(&[7.0, 7.0]))]), &spec(ChartKind::Histogram, &[]));
    assert_eq!(one.lines().filter(|l| l.contains('█')).count(), 1, "{one}");
    for extreme in [&[f64::MIN, f64::MAX][..], &[f64::MIN_POSITIVE, 0.0], &[1e16, 1e16 + 2.0], &[-0.0]] {
        let shown = drawn(&batch(&[("v", doubles(extreme))]), &spec(ChartKind::Histogram, &[]));
        assert!(shown.contains('█'), "{shown}");
    }
}

#[test]
fn lines_are_as_wide_as_the_terminal() {
    let rows = batch(&[("x", doubles(&[0.0, 1.0, 2.0])), ("y", doubles(&[0.0, 10.0, 0.0]))]);
    let shown = drawn(&rows, &spec(ChartKind::Line, &["x", "y"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "y by x · 3 rows");
    assert!(lines[1].starts_with("10 ┤") && lines[1].ends_with("⢠⢣"), "{shown}");
    assert!(lines[20].starts_with(" 0 ┤"), "{shown}");
    assert_eq!(lines[21], format!("   └{}", "─".repeat(26)));
    assert_eq!(lines[22], "    0           1            2");
    assert!(lines.iter().all(|l| visible::width(l) <= 30), "{shown}");
}

#[test]
fn series_without_colors_are_letters() {
    let rows = batch(&[
        ("x", doubles(&[0.0, 1.0, 0.0, 1.0])),
        ("y", doubles(&[0.0, 0.0, 1.0, 1.0])),
        ("who", texts(&["p", "p", "q", "q"])),
    ]);
    let shown = drawn(&rows, &spec(ChartKind::Line, &["x", "y", "who"]));
    assert!(shown.contains("BBBB") && shown.contains("AAAA") && shown.ends_with("A p  B q  \n"), "{shown}");
}

#[test]
fn times_and_decimals_are_numbers() {
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(0), Some(3_600_000), None]));
    let values = Decimal128Array::from(vec![150, 250, 1]).with_precision_and_scale(10, 2).unwrap();
    let rows = batch(&[("ts", times), ("v", Arc::new(values))]);
    let shown = drawn(&rows, &ChartSpec::default());
    assert!(shown.starts_with("v by ts · 2 rows · 1 left"), "{shown}");
    assert!(shown.contains("00:00:00") && shown.contains("01:00:00") && shown.contains("2.5 ┤"), "{shown}");
}

#[test]
fn narrow_terminals() {
    let rows = batch(&[
        ("日本語テキスト", texts(&["日本語テキスト", "a"])),
        ("v", doubles(&[1e300, -1e300])),
        ("x", doubles(&[1.0, 2.0])),
    ]);
    for width in 8..40 {
        for (kind, names) in [
            (ChartKind::Bar, vec!["日本語テキスト", "v", "日本語テキスト"]),
            (ChartKind::Line, vec!["x", "v", "日本語テキスト"]),
            (ChartKind::Histogram, vec!["v"]),
        ] {
            let mut chart = chart(&rows, &spec(kind, &names), true).unwrap();
            chart.chunk(&Chunk::append(rows.clone(), Instant::now()), &mut Vec::new()).unwrap();
            let text = chart.draw(width, 10);
            for line in text.lines() {
                assert!(visible::width(line.trim_end()) <= width, "{width}: {text}");
            }
        }
    }
}

#[test]
fn changes_are_applied_and_painted_in_place() {
    let rows = batch(&[("k", texts(&["a", "a"])), ("v", doubles(&[1.0, 2.0]))]);
    let mut chart = chart(&rows, &ChartSpec::default(), true).unwrap();
    let first = Chunk::append(rows.slice(0, 1), Instant::now());
    let kinds = Kinds::Changes([Kind::UpdateBefore, Kind::UpdateAfter].into());
    let second = Chunk { batch: rows, kinds, ingest: Instant::now() };
    let mut out = Vec::new();
    chart.chunk(&first, &mut out).unwrap();
    assert!(String::from_utf8_lossy(&out).contains("a ▕"), "{}", String::from_utf8_lossy(&out));
    out.clear();
    chart.chunk(&second, &mut out).unwrap();
    chart.idle(&mut out).unwrap();
    assert!(out.is_empty() && chart.due().is_some(), "not before its time");
    chart.screen.hurry();
    chart.idle(&mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    assert!(shown.starts_with("\r\x1b[2A\x1b[Jv by k · 1 row\n") && shown.ends_with(" 2\n"), "{shown:?}");
    assert_eq!(chart.due(), None);
}

#[test]
fn colors() {
    let rows = batch(&[("k", texts(&["a"])), ("v", doubles(&[1.0]))]);
    let target = Target { format: OutputFormat::Tableau, terminal: true, width: Some(30) };
    let mut chart = Chart::new(rows.schema(), &ChartSpec::default(), target, true, small).unwrap();
    let mut out = Vec::new();
    chart.chunk(&Chunk::append(rows, Instant::now()), &mut out).unwrap();
    assert!(String::from_utf8_lossy(&out).contains("\x1b[36m█"));
}

#[test]
fn columns_that_cannot_be_drawn_are_refused() {
    let rows = batch(&[("name", texts(&["a"])), ("v", doubles(&[1.0]))]);
    let message = |spec: &ChartSpec| chart(&rows, spec, false).unwrap_err().to_string();
    let e = message(&spec(ChartKind::Bar, &["nane", "v"]));
    assert!(e.contains("no column 'nane'") && e.contains("did you mean 'name'?"), "{e}");
    assert!(message(&spec(ChartKind::Bar, &["v", "name"])).contains("column 'name' has no numbers"));
    assert!(message(&spec(ChartKind::Line, &["name", "v"])).contains("column 'name' has no numbers"));
    assert!(message(&spec(ChartKind::Histogram, &["v", "name"])).contains("has one column"));
    let only = batch(&[("name", texts(&["a"]))]);
    assert!(
        chart(&only, &spec(ChartKind::Line, &[]), false).unwrap_err().to_string().contains("no column of")
    );
    let empty = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
    for kind in [ChartKind::Bar, ChartKind::Line, ChartKind::Histogram] {
        assert!(chart(&empty, &spec(kind, &[]), false).is_err());
    }
}
