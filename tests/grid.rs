//! Compares the values and types of thousands of expressions with those of real Flink 2.3, whose answers are stored in
//! `tests/oracle/grid`. No Flink runs here: `generate.py` there makes the expressions (`../queries/nested.py` the nested ones), `Grid.java` asks
//! Flink.
//!
//! What differs is listed in `differences.tsv`, one line each: a reason and the expression. The test fails where something
//! else differs, and where something listed is equal by now. Reasons that are not `open` are explained in `reasons.tsv`.
//!
//! `tests/oracle/templates` is another set, of other expressions over columns that may be NULL and columns that may not, in a zone with
//! daylight saving; of its types lengths, precisions and NOT NULL count as well (`../templates/generate.py`).
//!
//! | variable | meaning |
//! |---|---|
//! | `GRID=FOLDER`, `TEMPLATES=FOLDER` | another folder than the stored one |
//! | `GRID_WRITE=1` | rewrites `differences.tsv`; what is new in it is `open` |
//! | `GRID_SHOW=FILE` | writes each difference with both answers to FILE |
//! | `CASE=TEXT` | only expressions that contain TEXT |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use affluent::session::{Response, Session};
use affluent::sql::SqlType;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

#[path = "grid/queries.rs"]
mod queries;

const ROWS: usize = 4;

/// A set of expressions.
#[derive(Clone, Copy)]
struct Set {
    name: &'static str,
    /// Whether lengths, precisions and NOT NULL of types count.
    exact: bool,
}

const GRID: Set = Set { name: "grid", exact: false };
const TEMPLATES: Set = Set { name: "templates", exact: true };

impl Set {
    fn folder(self) -> PathBuf {
        let stored = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(self.name);
        std::env::var(self.name.to_ascii_uppercase()).map_or_else(|_| stored(), PathBuf::from)
    }

    fn lines(self, name: &str) -> Vec<String> {
        fs::read_to_string(self.folder().join(name)).unwrap().lines().map(str::to_string).collect()
    }

    /// A type as far as it counts.
    fn seen(self, data_type: &str) -> String {
        if self.exact { data_type.to_string() } else { plain(data_type) }
    }
}

fn reasons() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/grid/reasons.tsv");
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|l| l.split('\t').next().unwrap().to_string()).collect()
}

/// An expression and Flink's answer.
struct Case {
    kind: String,
    sql: String,
    data_type: String,
    values: Vec<String>,
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match (ch, ch == '\\') {
            (_, true) => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => {}
            },
            (ch, _) => out.push(ch),
        }
    }
    out
}

fn cases(set: Set) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(set.folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(kind) = name.strip_prefix("answers-").and_then(|n| n.strip_suffix(".tsv")) else { continue };
        for line in set.lines(&name) {
            let mut parts = line.split('\t');
            let sql = unescaped(parts.next().unwrap());
            let data_type = parts.next().unwrap().to_string();
            let mut values: Vec<String> = parts.map(str::to_string).collect();
            while let Some(last) = values.last().filter(|_| !values.is_empty() && values.len() < ROWS) {
                values.push(last.clone());
            }
            cases.push(Case { kind: kind.to_string(), sql, data_type, values });
        }
    }
    cases.sort_by(|a, b| (&a.kind, &a.sql).cmp(&(&b.kind, &b.sql)));
    cases
}

/// A type without what is not part of a value: lengths of text, NOT NULL.
fn plain(data_type: &str) -> String {
    let mut out = data_type.replace(" NOT NULL", "");
    for (word, plain) in [
        ("VARCHAR(", "STRING"),
        ("CHAR(", "STRING"),
        ("VARBINARY(", "BYTES"),
        ("BINARY(", "BYTES"),
        ("TIME(", "TIME"),
    ] {
        while let Some(at) = out
            .match_indices(word)
            .map(|(at, _)| at)
            .find(|at| !out[..*at].ends_with(|c: char| c.is_ascii_alphabetic()))
        {
            let end = out[at..].find(')').map_or(out.len(), |n| at + n + 1);
            out.replace_range(at..end, plain);
        }
    }
    if out.starts_with("INTERVAL ") {
        out = if out.contains("YEAR") || out.contains("MONTH") {
            "INTERVAL MONTHS"
        } else {
            "INTERVAL SECONDS"
        }
        .into();
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for ch in text.chars() {
        match ch {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            ch => out.push(ch),
        }
    }
    out
}

/// The rows of a query as text.
fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let Response::Query(mut result) = session.sql(sql).map_err(|e| e.to_string())? else {
        return Err("it is no query".into());
    };
    let mut rows = Vec::new();
    while let Some(chunk) = result.next_chunk().map_err(|e| e.to_string())? {
        let columns: Vec<_> =
            chunk.batch.columns().iter().map(|c| cast(c, &DataType::Utf8).unwrap()).collect();
        for row in 0..chunk.batch.num_rows() {
            let text = |c: &arrow::array::ArrayRef| match c.is_null(row) {
                true => "\\N".to_string(),
                false => escaped(c.as_string::<i32>().value(row)),
            };
            rows.push(columns.iter().map(text).collect());
        }
    }
    Ok(rows)
}

/// Our answer to a case: type and values, or what failed.
fn answer(session: &Session, case: &Case) -> (String, Vec<String>) {
    match case.kind.as_str() {
        "insert" => match session.sql(&format!("EXPLAIN {}", case.sql)) {
            Ok(_) => ("accepted".into(), Vec::new()),
            Err(e) => (format!("! {e}"), Vec::new()),
        },
        "union" => match session.sql(&case.sql) {
            Ok(Response::Query(result)) => {
                let field = result.schema().field(0).clone();
                let shown = SqlType::from_arrow(field.data_type()).map_or("?".into(), |t| t.to_string());
                (shown, Vec::new())
            }
            Ok(_) => ("?".into(), Vec::new()),
            Err(e) => (format!("! {e}"), Vec::new()),
        },
        "aggregate" => {
            let sql = format!(
                "SELECT TYPEOF(x), CAST(x AS STRING) FROM ({})",
                case.sql.replace("SELECT ", "SELECT COUNT(*), ").replace("COUNT(*), ", "")
            );
            match rows(session, &sql) {
                Ok(rows) => match rows.last() {
                    Some(row) => (row[0].clone(), vec![row[1].clone(); ROWS]),
                    None => ("no row".into(), Vec::new()),
                },
                Err(e) => match session.sql(&format!("EXPLAIN {}", case.sql)) {
                    Ok(_) => (case.data_type.clone(), vec![format!("! {e}"); ROWS]),
                    Err(_) => (format!("! {e}"), Vec::new()),
                },
            }
        }
        _ => {
            let select = format!("SELECT TYPEOF({0}), CAST({0} AS STRING) FROM g", case.sql);
            if let Ok(rows) = rows(session, &select)
                && rows.len() == ROWS
            {
                return (rows[0][0].clone(), rows.into_iter().map(|mut r| r.swap_remove(1)).collect());
            }
            // Row by row: some fail.
            let data_type = match rows(session, &format!("SELECT TYPEOF({}) FROM g WHERE id = 0", case.sql)) {
                Ok(rows) => rows[0][0].clone(),
                Err(e) => format!("! {e}"),
            };
            let values = (0..ROWS).map(|row| {
                match rows(session, &format!("SELECT CAST({} AS STRING) FROM g WHERE id = {row}", case.sql)) {
                    Ok(mut rows) => rows.swap_remove(0).swap_remove(0),
                    Err(e) => format!("! {e}"),
                }
            });
            (data_type, values.collect())
        }
    }
}

fn session(set: Set) -> Session {
    let session = Session::new().unwrap();
    session.set("parallelism.default", "1").unwrap();
    let zone = fs::read_to_string(set.folder().join("zone"));
    session.set("table.local-time-zone", zone.as_deref().unwrap_or("UTC").trim()).unwrap();
    let columns: Vec<String> = set
        .lines("columns.tsv")
        .iter()
        .map(|l| l.split('\t').collect::<Vec<_>>())
        .map(|p| format!("`{}` {}", p[0], p[1]))
        .collect();
    let sql = format!(
        "CREATE TABLE g (id INT, {}) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{}')",
        columns.join(", "),
        set.folder().join("rows.jsonl").display()
    );
    session.sql(&sql).unwrap();
    for line in set.lines("sinks.tsv") {
        let (name, data_type) = line.split_once('\t').unwrap();
        session
            .sql(&format!("CREATE TABLE {name} (x {data_type}) WITH ('connector' = 'blackhole')"))
            .unwrap();
    }
    session
}

/// What differs, if something does.
fn difference(set: Set, session: &Session, case: &Case) -> Option<String> {
    let (data_type, values) = answer(session, case);
    let same_type = match case.kind.as_str() {
        "insert" => data_type == case.data_type,
        _ => set.seen(&data_type) == set.seen(&case.data_type),
    };
    let failed = |v: &String| v.starts_with("! ") || v == "!";
    let same = |(a, b): (&String, &String)| a == b || failed(a) && failed(b);
    // What fails for every row has no type to compare.
    if failed(&data_type) && !case.values.is_empty() && case.values.iter().all(failed) {
        return None;
    }
    if same_type && values.len() == case.values.len() && values.iter().zip(&case.values).all(same) {
        return None;
    }
    let line = |t: &str, v: &[String]| {
        let v: Vec<String> = v
            .iter()
            .enumerate()
            .filter(|(i, text)| *i == 0 || v[*i - 1] != **text)
            .map(|(_, v)| v.replace('\n', " "))
            .collect();
        format!("{}  {}", t.replace('\n', " "), v.join(" | "))
    };
    Some(format!("  Flink {}\n  here  {}", line(&case.data_type, &case.values), line(&data_type, &values)))
}

/// What is known without a list: a result that does not fit is an error here.
fn guessed(what: &str) -> &'static str {
    let here = what.split("\n  here ").nth(1).unwrap_or_default();
    let overflow = ["out of range", "out of the range", "does not fit", "not in the range"];
    if here.contains("! ") && overflow.iter().any(|words| here.contains(words)) { "overflow" } else { "open" }
}

#[test]
fn values_and_types_are_those_of_flink() {
    compare(GRID);
}

#[test]
fn templates_are_those_of_flink() {
    compare(TEMPLATES);
}

fn compare(set: Set) {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut cases = cases(set);
    cases.retain(|c| c.sql.contains(&only));
    assert!(!cases.is_empty(), "no expression contains '{only}'");
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let found: BTreeMap<usize, String> = std::thread::scope(|scope| {
        let work = || {
            let session = session(set);
            let mut found = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(index) else { return found };
                found.extend(difference(set, &session, case).map(|d| (index, d)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let listed: BTreeMap<String, String> = set
        .lines("differences.tsv")
        .iter()
        .map(|l| l.split_once('\t').unwrap())
        .map(|(reason, sql)| (unescaped(sql), reason.to_string()))
        .collect();
    let known = reasons();
    let mut shown = String::new();
    let mut wrong = String::new();
    for (index, what) in &found {
        let case = &cases[*index];
        let reason = listed.get(&case.sql).map_or_else(|| guessed(what), String::as_str);
        let _ = writeln!(shown, "[{}, {reason}] {}\n{what}", case.kind, case.sql);
        if !known.contains(reason) {
            let _ = writeln!(wrong, "[{}] {}\n{what}", case.kind, case.sql);
        }
    }
    for (index, case) in cases.iter().enumerate() {
        if listed.contains_key(&case.sql) && !found.contains_key(&index) {
            let _ = writeln!(wrong, "[{}] {} is equal now: take it off the list", case.kind, case.sql);
        }
    }
    println!("{}: {} of {} equal", set.name, cases.len() - found.len(), cases.len());
    if let Ok(file) = std::env::var("GRID_SHOW") {
        fs::write(file, &shown).unwrap();
    }
    if std::env::var("GRID_WRITE").is_ok() {
        let mut list: Vec<(&str, String)> = Vec::new();
        for (index, what) in &found {
            let sql = &cases[*index].sql;
            let reason = listed.get(sql).map(String::as_str).filter(|r| *r != "open");
            list.push((reason.unwrap_or_else(|| guessed(what)), escaped(sql)));
        }
        list.sort();
        let text: String = list.iter().map(|(reason, sql)| format!("{reason}\t{sql}\n")).collect();
        fs::write(set.folder().join("differences.tsv"), text).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
