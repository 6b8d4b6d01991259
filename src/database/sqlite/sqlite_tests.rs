//! Against files that SQLite writes, through SQL.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::util::pretty::pretty_format_batches;
use rusqlite::Connection;

use crate::session::{Response, Session};

fn rows(session: &Session, sql: &str) -> Vec<String> {
    let Response::Query(mut query) = session.sql(sql).unwrap() else { panic!("{sql}") };
    let mut batches = Vec::new();
    while let Some(chunk) = query.next_chunk().unwrap() {
        batches.push(chunk.batch);
    }
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let cells =
        |line: &str| line.split('|').map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join(" ");
    text.lines().filter(|line| line.starts_with("| ")).skip(1).map(cells).collect()
}

#[test]
fn keys_are_looked_up_with_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dim.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "CREATE TABLE sensors (id TEXT COLLATE NOCASE PRIMARY KEY, zone INTEGER, price TEXT, seen TEXT, ok INTEGER);
             INSERT INTO sensors VALUES ('a', 1, '12.50', '2026-01-05 08:00:00', 1), ('b', 2, NULL, NULL, 0);
             CREATE TABLE stays (zone INTEGER, floor INTEGER, name TEXT);
             INSERT INTO stays VALUES (1, 1, 'one'), (1, 1, 'uno'), (2, 1, 'two')",
        )
        .unwrap();
    let input = folder.path().join("in.jsonl");
    std::fs::write(&input, "{\"id\":\"a\"}\n{\"id\":\"A\"}\n{\"id\":\"b\"}\n{\"id\":\"zz\"}\n").unwrap();
    let (path, input) = (path.display(), input.display());
    let session = Session::new().unwrap();
    session
        .sql(&format!(
            "CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '{input}', 'format' = 'json');
             CREATE TABLE sensors (id STRING, zone INT, price DECIMAL(8, 2), seen TIMESTAMP(3), ok BOOLEAN)
               WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{path}', 'table-name' = 'sensors');
             CREATE TABLE stays (zone INT, floor INT, name STRING)
               WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{path}', 'table-name' = 'stays')"
        ))
        .unwrap();
    // The column's collation says that 'A' is 'a'; we do not.
    assert_eq!(
        rows(
            &session,
            "SELECT t.id, s.zone, s.price, s.seen, s.ok FROM t LEFT JOIN sensors s ON t.id = s.id"
        ),
        ["a 1 12.50 2026-01-05T08:00:00 true", "A", "b 2 false", "zz"]
    );
    // A composite key with a constant, several rows, and a chain of two lookups.
    assert_eq!(
        rows(
            &session,
            "SELECT t.id, y.name FROM t JOIN sensors s ON t.id = s.id
               JOIN stays y ON s.zone = y.zone AND y.floor = 1"
        ),
        ["a one", "a uno", "b two"]
    );
    // What another process writes is seen; a whole table can be loaded.
    writer.execute_batch("INSERT INTO sensors VALUES ('zz', 9, '1', NULL, NULL)").unwrap();
    let full =
        "/*+ OPTIONS('lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h') */";
    assert_eq!(
        rows(&session, &format!("SELECT s.id, s.price FROM t JOIN sensors {full} s ON t.id = s.id")),
        ["a 12.50", "b", "zz 1.00"]
    );
    for (sql, says) in [
        (
            "SELECT 1 FROM t JOIN sensors /*+ OPTIONS('table-name' = 'nope') */ s ON t.id = s.id",
            "no such table",
        ),
        (
            "SELECT 1 FROM t JOIN sensors /*+ OPTIONS('url' = 'jdbc:sqlite:/no/file') */ s ON t.id = s.id",
            "/no/file",
        ),
        ("SELECT 1 FROM t JOIN sensors /*+ OPTIONS('url' = 'jdbc:oracle:x') */ s ON t.id = s.id", "oracle"),
    ] {
        let error = session.sql(sql).unwrap_err();
        assert!(error.message().contains(says), "{error}");
    }
}
