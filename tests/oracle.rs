//! Runs the queries of `tests/oracle/*.sql` twice on the same random rows: as streams, here, and as a batch, in
//! DataFusion. At the end of the input the results must be the same, however the rows were cut into files and
//! on however many tasks they were processed, and no change on the way may take back a row that was not there.
//!
//! | directive | meaning |
//! |---|---|
//! | `-- @query NAME` | the lines behind it are a query |
//! | `-- @batch` | the lines behind it are the same query as DataFusion writes it; without it, it reads the same text |
//!
//! The tables are `t(id, k, a, b, d, s, ts)` and `u(id, k, c, e, ts)`, see [`rows_of_t`] and [`rows_of_u`]: keys and values are
//! NULL or repeat often, `id` and `ts` are unique, and rows come out of order by less than their watermark allows.
//! `tests/oracle/late` has rows that come late, and what Flink itself answers to queries over them.
//!
//! `ORACLE_SEEDS=100` runs more seeds, `CASE=name` only queries whose name contains it, `ORACLE_SEED=7` that seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use affluent::flow::Kind;
use affluent::session::{Response, Session};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// A query, as we read it and as DataFusion does.
struct Case {
    name: String,
    stream: String,
    batch: String,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut batch = false;
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(name) = line.strip_prefix("-- @query ") {
                let name = format!("{file}: {name}");
                cases.push(Case { name, stream: String::new(), batch: String::new() });
                batch = false;
            } else if line.trim() == "-- @batch" {
                batch = true;
            } else if let Some(case) = cases.last_mut().filter(|_| !line.starts_with("--")) {
                let text = if batch { &mut case.batch } else { &mut case.stream };
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    for case in &mut cases {
        if case.batch.is_empty() {
            case.batch = case.stream.clone();
        }
    }
    cases
}

/// A value of a column.
#[derive(Clone)]
enum Cell {
    Int(Option<i32>),
    Long(Option<i64>),
    Double(Option<f64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Time(i64),
}

type Row = Vec<Cell>;

/// Tasks of a query at most.
const MOST_TASKS: usize = 4;

/// 2024-01-01 00:00:00
const START: i64 = 1_704_067_200_000;

fn maybe<T>(random: &mut StdRng, value: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    (!random.random_bool(0.15)).then(|| value(random))
}

fn key(random: &mut StdRng) -> Option<String> {
    maybe(random, |r| ["x", "y", "z", ""][r.random_range(0..4)].to_string())
}

/// `t(id BIGINT, k STRING, a INT, b BIGINT, d DOUBLE, s BOOLEAN, ts TIMESTAMP(3))`
fn rows_of_t(random: &mut StdRng) -> Vec<Row> {
    let mut ts = START;
    (0..random.random_range(1..80))
        .map(|id| {
            ts += random.random_range(1..4000);
            vec![
                Cell::Long(Some(id)),
                Cell::Text(key(random)),
                Cell::Int(maybe(random, |r| r.random_range(-3..6))),
                Cell::Long(maybe(random, |r| r.random_range(-100..100))),
                // Sums of these are exact in any order.
                Cell::Double(maybe(random, |r| f64::from(r.random_range(-40..40)) / 4.0)),
                Cell::Bool(maybe(random, |r| r.random_bool(0.5))),
                Cell::Time(ts),
            ]
        })
        .collect()
}

/// `u(id BIGINT, k STRING, c INT, e STRING, ts TIMESTAMP(3))`
fn rows_of_u(random: &mut StdRng) -> Vec<Row> {
    let mut ts = START;
    (0..random.random_range(1..40))
        .map(|id| {
            ts += random.random_range(1..8000);
            vec![
                Cell::Long(Some(id)),
                Cell::Text(key(random)),
                Cell::Int(maybe(random, |r| r.random_range(-3..6))),
                Cell::Text(maybe(random, |r| format!("e{}", r.random_range(0..5)))),
                Cell::Time(ts),
            ]
        })
        .collect()
}

const T: &[&str] = &["id", "k", "a", "b", "d", "s", "ts"];
const U: &[&str] = &["id", "k", "c", "e", "ts"];

fn timestamp(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap();
    time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn json(names: &[&str], row: &Row) -> String {
    fn shown<T: ToString>(value: &Option<T>) -> String {
        value.as_ref().map_or("null".into(), T::to_string)
    }
    let cells = names.iter().zip(row).map(|(name, cell)| {
        let value = match cell {
            Cell::Int(v) => shown(v),
            Cell::Long(v) => shown(v),
            Cell::Double(v) => shown(v),
            Cell::Bool(v) => shown(v),
            Cell::Text(v) => v.as_ref().map_or("null".into(), |v| format!("\"{v}\"")),
            Cell::Time(v) => format!("\"{}\"", timestamp(*v)),
        };
        format!("\"{name}\":{value}")
    });
    format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
}

fn batch(names: &[&str], rows: &[Row]) -> RecordBatch {
    macro_rules! column {
        ($array:ident, $variant:ident, $index:expr) => {
            Arc::new(
                rows.iter()
                    .map(|r| match &r[$index] {
                        Cell::$variant(v) => v.clone(),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    let columns = names.iter().enumerate().map(|(i, name)| {
        let column: ArrayRef = match rows[0][i] {
            Cell::Int(_) => column!(Int32Array, Int, i),
            Cell::Long(_) => column!(Int64Array, Long, i),
            Cell::Double(_) => column!(Float64Array, Double, i),
            Cell::Bool(_) => column!(BooleanArray, Bool, i),
            Cell::Text(_) => column!(StringArray, Text, i),
            Cell::Time(_) => Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| {
                let Cell::Time(t) = r[i] else { panic!("a time") };
                t
            }))),
        };
        (*name, column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Writes rows into files, in an order that their watermark allows.
fn write(folder: &Path, names: &[&str], rows: &[Row], random: &mut StdRng) {
    fs::create_dir_all(folder).unwrap();
    let time = |row: &Row| match row.last() {
        Some(Cell::Time(t)) => *t,
        _ => panic!("the last column is the time"),
    };
    let mut rows: Vec<(i64, &Row)> =
        rows.iter().map(|row| (time(row) + random.random_range(0..9_000), row)).collect();
    rows.sort_by_key(|(at, _)| *at);
    let files = random.random_range(1..7);
    let mut ends: Vec<usize> = (1..files).map(|_| random.random_range(0..=rows.len())).collect();
    ends.push(rows.len());
    ends.sort_unstable();
    let mut start = 0;
    for (number, end) in ends.into_iter().enumerate() {
        let lines: String = rows[start..end].iter().map(|(_, row)| json(names, row) + "\n").collect();
        fs::write(folder.join(format!("{number:02}.jsonl")), lines).unwrap();
        start = end;
    }
}

/// The values of a row as text that does not depend on their representation.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let columns: Vec<Vec<String>> = batch.columns().iter().map(values).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| c[row].as_str()).collect::<Vec<_>>().join(" | "))
        .collect()
}

fn values(array: &ArrayRef) -> Vec<String> {
    let valid = |row: usize, text: String| if array.is_null(row) { "NULL".into() } else { text };
    match array.data_type() {
        t if t.is_numeric() => {
            let numbers = cast(array, &DataType::Float64).unwrap();
            let numbers = numbers.as_primitive::<Float64Type>();
            // Decimals have fewer digits than doubles in places; 0 and -0 are the same.
            let shown = |v: f64| format!("{:.6}", if v == 0.0 { 0.0 } else { v });
            (0..array.len()).map(|i| valid(i, shown(numbers.value(i)))).collect()
        }
        DataType::Timestamp(..) => {
            let times = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None)).unwrap();
            let times = times.as_primitive::<TimestampMillisecondType>();
            (0..array.len()).map(|i| valid(i, timestamp(times.value(i)))).collect()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            // Their order is that of the rows, which none has.
            let shown = |i: usize| {
                let mut all = values(&lists.value(i));
                all.sort();
                format!("[{}]", all.join(", "))
            };
            (0..array.len()).map(|i| if array.is_null(i) { "NULL".into() } else { shown(i) }).collect()
        }
        DataType::Boolean => {
            let booleans = array.as_boolean();
            (0..array.len()).map(|i| valid(i, booleans.value(i).to_string())).collect()
        }
        _ => {
            let strings = cast(array, &DataType::Utf8).unwrap();
            let strings = strings.as_string::<i32>();
            (0..array.len()).map(|i| valid(i, format!("'{}'", strings.value(i)))).collect()
        }
    }
}

type Multiset = BTreeMap<String, i64>;

/// Runs a query as a stream; its rows at the end.
fn stream(query: &str, folder: &Path, parallelism: usize) -> Result<Multiset, String> {
    let session = Session::new().unwrap();
    session.set("parallelism.default", &parallelism.to_string()).unwrap();
    session.set("table.local-time-zone", "UTC").unwrap();
    let files = |name: &str| {
        format!("'connector'='filesystem', 'format'='json', 'path'='{}'", folder.join(name).display())
    };
    let tables = format!(
        "CREATE TABLE t (id BIGINT, k STRING, a INT, b BIGINT, d DOUBLE, s BOOLEAN, ts TIMESTAMP(3),
           WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) WITH ({});
         CREATE TABLE u (id BIGINT, k STRING, c INT, e STRING, ts TIMESTAMP(3),
           WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) WITH ({});",
        files("t"),
        files("u")
    );
    session.sql(&tables).map_err(|e| e.to_string())?;
    let Response::Query(mut result) = session.sql(query).map_err(|e| e.to_string())? else {
        return Err("it is no query".into());
    };
    let mut rows = Multiset::new();
    let mut trace: Vec<String> = Vec::new();
    while let Some(chunk) = result.next_chunk().map_err(|e| e.to_string())? {
        for (index, text) in texts(&chunk.batch).into_iter().enumerate() {
            let kind = chunk.kinds.get(index);
            trace.push(format!("{} {text}", kind.as_str()));
            match kind {
                Kind::Insert | Kind::UpdateAfter => *rows.entry(text).or_default() += 1,
                Kind::UpdateBefore | Kind::Delete => match rows.get_mut(&text) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) => drop(rows.remove(&text)),
                    None => {
                        let last = trace.len().saturating_sub(12);
                        return Err(format!(
                            "{} of a row that is not there; the last changes:\n{}",
                            kind.as_str(),
                            trace[last..].join("\n")
                        ));
                    }
                },
            }
        }
    }
    Ok(rows)
}

/// Runs a query as a batch.
fn oracle(
    query: &str,
    tables: &[(&str, RecordBatch)],
    runtime: &tokio::runtime::Runtime,
) -> Result<Multiset, String> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for (name, rows) in tables {
        context.register_batch(*name, rows.clone()).unwrap();
    }
    let result = runtime.block_on(async { context.sql(query).await?.collect().await });
    let mut rows = Multiset::new();
    for batch in result.map_err(|e| e.to_string())? {
        texts(&batch).into_iter().for_each(|text| *rows.entry(text).or_default() += 1);
    }
    Ok(rows)
}

fn list(rows: &Multiset) -> String {
    let lines = rows.iter().map(|(row, count)| match count {
        1 => format!("    {row}\n"),
        count => format!("    {row}   ({count} times)\n"),
    });
    lines.collect()
}

#[test]
fn streams_end_as_batches_do() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let only = std::env::var("CASE").unwrap_or_default();
    let seeds: Vec<u64> = match number("ORACLE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("ORACLE_SEEDS").unwrap_or(3)).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut cases = cases();
    cases.retain(|c| c.name.contains(&only));
    assert!(!cases.is_empty(), "no query is called '{only}'");
    let mut failed = String::new();
    let mut broken: Vec<String> = Vec::new();
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let (t, u) = (rows_of_t(&mut random), rows_of_u(&mut random));
        let tables = [("t", batch(T, &t)), ("u", batch(U, &u))];
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("t"), T, &t, &mut random);
        write(&folder.path().join("u"), U, &u, &mut random);
        let mut order: Vec<&Case> = cases.iter().collect();
        order.shuffle(&mut random);
        for case in order {
            let parallelism = random.random_range(1..=MOST_TASKS);
            if broken.contains(&case.name) {
                continue;
            }
            let wanted = oracle(&case.batch, &tables, &runtime);
            let wrong = match (stream(&case.stream, folder.path(), parallelism), wanted) {
                (Ok(found), Ok(wanted)) if found == wanted => continue,
                (Ok(mut found), Ok(mut wanted)) => {
                    let common: Vec<String> = found
                        .iter()
                        .filter(|(r, n)| wanted.get(*r) == Some(n))
                        .map(|(r, _)| r.clone())
                        .collect();
                    common.iter().for_each(|row| {
                        found.remove(row);
                        wanted.remove(row);
                    });
                    format!("  only in the stream:\n{}  only in the batch:\n{}", list(&found), list(&wanted))
                }
                (Err(e), _) => format!("  the stream: {e}\n"),
                (_, Err(e)) => format!("  the batch: {e}\n"),
            };
            let _ = writeln!(failed, "{} (seed {seed}, parallelism {parallelism})\n{wrong}", case.name);
            broken.push(case.name.clone());
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

/// Which rows are late, and what the others see, is what Flink says of them.
#[test]
fn late_rows_are_those_of_flink() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/late");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in read("answers.tsv").lines() {
        let (query, row) = line.split_once('\t').unwrap();
        wanted.entry(query.to_string()).or_default().push(row.to_string());
    }
    let queries = read("queries.sql");
    let (table, queries) = queries.split_once("-- @query ").unwrap();
    let table = table.replace("${EVENTS}", &folder.join("events.json").display().to_string());
    for part in queries.split("-- @query ") {
        let (name, query) = part.split_once('\n').unwrap();
        let session = Session::new().unwrap();
        session.set("pipeline.auto-watermark-interval", "0 ms").unwrap();
        session.set("parallelism.default", "1").unwrap();
        session.sql(&table).unwrap();
        let Response::Query(mut result) = session.sql(query).unwrap() else { panic!("{name} is no query") };
        let mut rows = Vec::new();
        while let Some(chunk) = result.next_chunk().unwrap() {
            let text = |column: &ArrayRef, row: usize| {
                if column.is_null(row) { "NULL".into() } else { array_value_to_string(column, row).unwrap() }
            };
            rows.extend((0..chunk.batch.num_rows()).map(|row| {
                let cells = chunk.batch.columns().iter().map(|column| text(column, row));
                cells.collect::<Vec<_>>().join("\t")
            }));
        }
        let mut wanted = wanted.remove(name).unwrap();
        rows.sort();
        wanted.sort();
        let differs = rows.iter().zip(&wanted).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: {} rows, Flink gives {}", rows.len(), wanted.len());
        assert_eq!(rows.len(), wanted.len(), "{name}");
    }
    assert!(wanted.is_empty());
}
