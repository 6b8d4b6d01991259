//! Compares random queries with what real Flink 2.3 gave for them at their end, values and types.
//!
//! The answers are `tests/oracle/queries/answers.jsonl`; `generate.py` there makes the queries and their tables, `Queries.java` asks
//! Flink. What differs is listed in `differences.tsv` with a reason of `tests/oracle/grid/reasons.tsv`, as that of the grid.
//!
//! | variable | meaning |
//! |---|---|
//! | `QUERIES=FOLDER` | another folder than the stored one, which need not have a list of differences |
//! | `GRID_WRITE=1`, `GRID_SHOW=FILE`, `CASE=TEXT` | as for the grid |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use affluent::console::render::text::TextColumn;
use affluent::session::{Response, Session};
use affluent::sql::SqlType;
use serde::Deserialize;

use super::{escaped, guessed, plain, unescaped};

/// A query and Flink's answer.
#[derive(Deserialize)]
struct Case {
    sql: String,
    types: Vec<String>,
    rows: Option<Vec<Vec<Option<String>>>>,
}

type Rows = Vec<Vec<Option<String>>>;

fn folder() -> PathBuf {
    let stored = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/queries");
    std::env::var("QUERIES").map_or_else(|_| stored(), PathBuf::from)
}

fn session() -> Session {
    let session = Session::new().unwrap();
    session.set("parallelism.default", "1").unwrap();
    session.set("table.local-time-zone", "UTC").unwrap();
    for sql in fs::read_to_string(folder().join("tables.sql")).unwrap().lines() {
        session.sql(&sql.replace("FOLDER", &folder().display().to_string())).unwrap();
    }
    session
}

fn answer(session: &Session, sql: &str) -> Result<(Vec<String>, Rows), String> {
    let shown = |e: affluent::Error| format!("! {e}").replace('\n', " ");
    let result = match session.sql(sql).map_err(shown)? {
        Response::Query(result) => result,
        _ => return Err("! it is no query".into()),
    };
    let types = result.schema().fields().iter();
    let types =
        types.map(|f| SqlType::from_arrow(f.data_type()).map_or("?".into(), |t| t.to_string())).collect();
    let batch = result.collect().map_err(shown)?;
    let columns: Vec<_> = batch.columns().iter().map(|c| TextColumn::new(c.as_ref()).unwrap()).collect();
    let cell = |c: &TextColumn<'_>, row: usize| {
        (!c.is_null(row)).then(|| {
            let mut text = String::new();
            c.write(row, &mut text).unwrap();
            text
        })
    };
    let rows = (0..batch.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect());
    Ok((types, rows.collect()))
}

/// A value without what its text may differ in: how many digits a DOUBLE has, zeros behind the fraction of a second.
fn value(text: &str, data_type: &str) -> String {
    let zeros = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_string();
    match data_type {
        "DOUBLE" => text
            .parse::<f64>()
            .map_or_else(|_| text.into(), |v| format!("{:.11e}", if v == 0.0 { 0.0 } else { v })),
        "FLOAT" => text
            .parse::<f32>()
            .map_or_else(|_| text.into(), |v| format!("{:.5e}", if v == 0.0 { 0.0 } else { v })),
        // A TIME has whole seconds there.
        "TIME" => text.split('.').next().unwrap_or_default().to_string(),
        t if t.starts_with("TIME") && text.contains('.') => match text.strip_suffix('Z') {
            Some(text) => zeros(text) + "Z",
            None => zeros(text),
        },
        _ => text.to_string(),
    }
}

fn difference(session: &Session, case: &Case) -> Option<String> {
    let told = |rows: &Rows| {
        let mut text = format!("{} rows", rows.len());
        for row in rows.iter().take(6) {
            let row: Vec<&str> = row.iter().map(|c| c.as_deref().unwrap_or("NULL")).collect();
            let _ = write!(text, " | {}", row.join(", "));
        }
        text
    };
    let (types, rows) = match (answer(session, &case.sql), &case.rows) {
        (Err(_), None) => return None,
        (Err(e), Some(rows)) => return Some(format!("  Flink {}\n  here  {e}", told(rows))),
        (Ok((types, rows)), _) => (types, rows),
    };
    let Some(expected) = &case.rows else {
        return Some(format!("  Flink fails\n  here  {}", told(&rows)));
    };
    let both =
        |types: &[String]| types.iter().map(|t| plain(&t.replace(" *ROWTIME*", ""))).collect::<Vec<_>>();
    let (here, flink) = (both(&types), both(&case.types));
    if here != flink {
        return Some(format!("  Flink has types {}\n  here           {}", flink.join("; "), here.join("; ")));
    }
    let sorted = |rows: &Rows| {
        let cell = |(cell, t): (&Option<String>, &String)| cell.as_ref().map(|c| value(c, t));
        let mut rows: Vec<Vec<_>> =
            rows.iter().map(|row| row.iter().zip(&here).map(cell).collect()).collect();
        rows.sort();
        rows
    };
    let (ours, theirs) = (sorted(&rows), sorted(expected));
    if ours == theirs {
        return None;
    }
    let less = |a: &Rows, b: &Rows| {
        let b: BTreeSet<_> = b.iter().collect();
        told(&a.iter().filter(|row| !b.contains(row)).cloned().collect())
    };
    Some(format!(
        "  Flink {} of which not here {}\n  here  {} of which not there {}",
        theirs.len(),
        less(&theirs, &ours),
        ours.len(),
        less(&ours, &theirs)
    ))
}

#[test]
fn random_queries_are_those_of_flink() {
    let text = fs::read_to_string(folder().join("answers.jsonl")).unwrap();
    let mut cases: Vec<Case> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let only = std::env::var("CASE").unwrap_or_default();
    cases.retain(|c| c.sql.contains(&only));
    assert!(!cases.is_empty(), "no query contains '{only}'");
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let found: BTreeMap<usize, String> = std::thread::scope(|scope| {
        let work = || {
            let session = session();
            let mut found = Vec::new();
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && let Some(case) = cases.get(index)
            {
                found.extend(difference(&session, case).map(|d| (index, d)));
            }
            found
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let list = fs::read_to_string(folder().join("differences.tsv")).unwrap_or_default();
    let listed: BTreeMap<String, &str> = list
        .lines()
        .filter_map(|l| l.split_once('\t'))
        .map(|(reason, sql)| (unescaped(sql), reason))
        .collect();
    let known = super::reasons();
    let (mut shown, mut wrong, mut lines) = (String::new(), String::new(), Vec::new());
    for (index, what) in &found {
        let sql = &cases[*index].sql;
        let reason = match listed.get(sql) {
            Some(reason) if *reason != "open" => reason,
            _ => guessed(what),
        };
        let _ = writeln!(shown, "[{reason}] {sql}\n{what}");
        lines.push(format!("{reason}\t{}\n", escaped(sql)));
        if !listed.contains_key(sql) && reason == "open" || !known.contains(reason) {
            let _ = writeln!(wrong, "{sql}\n{what}");
        }
    }
    for (index, case) in cases.iter().enumerate() {
        if listed.contains_key(&case.sql) && !found.contains_key(&index) {
            let _ = writeln!(wrong, "{} is equal now: take it off the list", case.sql);
        }
    }
    println!("{} of {} queries equal", cases.len() - found.len(), cases.len());
    if let Ok(file) = std::env::var("GRID_SHOW") {
        fs::write(file, &shown).unwrap();
    }
    if std::env::var("GRID_WRITE").is_ok() {
        lines.sort();
        fs::write(folder().join("differences.tsv"), lines.concat()).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
