#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Exports of the files of `sql/`, as `tests/flink/` has them, and cases of their own. `UPDATE_FLINK=1` writes the files anew.

use std::path::{Path, PathBuf};

use super::*;
use crate::error::Error;
use crate::session::Session;
use crate::sql::SourceText;
use crate::sql::variables::Variables;

fn exported(
    name: &str,
    text: &str,
    connectors: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<Export, Error> {
    let target = Target {
        connectors: connectors.map_or_else(Connectors::default, |c| Connectors::parse(c).unwrap()),
        ..Target::default()
    };
    let pairs = variables.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let variables = Variables::new(pairs);
    let request =
        Request { target: &target, variables: &variables, filled: false, root: PathBuf::from("/data") };
    export(&Session::new().unwrap(), SourceText::new(name, text), &request)
}

/// Report and text.
fn golden(files: &[&str], name: &str, connectors: Option<&str>, variables: &[(&str, &str)]) {
    let texts: Vec<String> = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let made = exported(&files.join("+"), &texts.join("\n"), connectors, variables).unwrap();
    let mut text = report_text(&made, &Target::default());
    text.push_str("\n======== SQL\n");
    text.push_str(&made.sql);
    for (file, content) in &made.files {
        text.push_str(&format!("======== {file}\n{content}"));
    }
    let path = Path::new("tests/flink").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_FLINK").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "{} is not what is exported; UPDATE_FLINK=1 writes it:\n{text}", path.display());
}

#[test]
fn files_of_sql() {
    for name in
        ["batched", "fraud_model", "kafka_sensors", "kafka_transactions", "readings", "sensors", "weather"]
    {
        golden(&[&format!("sql/{name}.sql")], name, None, &[]);
    }
    for backend in ["file", "api", "postgres", "dynamodb"] {
        golden(&["sql/transactions.sql"], &format!("transactions_{backend}"), None, &[("BACKEND", backend)]);
    }
    for strategy in ["sync", "async", "cached"] {
        golden(&["sql/strategies.sql"], &format!("strategies_{strategy}"), None, &[("STRATEGY", strategy)]);
    }
    golden(&["sql/sensors.sql"], "sensors_rest_lookup", Some("rest-lookup"), &[]);
    golden(&["sql/kafka_sensors.sql"], "kafka_sensors_bare", Some(""), &[("KAFKA", "broker:9092")]);
}

#[test]
fn nexmark() {
    let queries = [
        "q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15",
        "q16", "q17", "q18", "q19", "q20", "q21", "q22",
    ];
    let variables =
        [("EVENTS_PATH", "/data/events.jsonl"), ("OUTPUT", "/data/out"), ("SIDE_INPUT", "/data/side.csv")];
    for query in queries {
        let files = ["sql/nexmark/files.sql", "sql/nexmark/views.sql", &format!("sql/nexmark/{query}.sql")]
            .map(str::to_string);
        let texts: Vec<String> = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
        let made = exported(query, &texts.join("\n"), Some(""), &variables).unwrap();
        let refused: Vec<String> =
            made.refusals().map(|(part, note)| format!("{}: {}", part.title, note.text)).collect();
        assert!(refused.is_empty(), "{query}: {refused:?}");
        let part = made.parts.last().unwrap();
        // The queries are the suite's own: they go as they are.
        assert_eq!(part.fate == Fate::Taken, query != "q13", "{query}: {:?}", part.notes);
    }
}

#[test]
fn functions_in_python() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("functions in Python are left out: there is no python3");
        return;
    }
    golden(&["sql/fraud.sql"], "fraud", None, &[]);
}

const T: &str = "CREATE TABLE t (id STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
CREATE TABLE d (id STRING, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}');
";

/// The last statement for Flink.
fn last(sql: &str) -> String {
    let made = exported("t.sql", &format!("{T}{sql}"), None, &[]).unwrap();
    let refused: Vec<&str> = made.refusals().map(|(_, note)| note.text.as_str()).collect();
    assert!(refused.is_empty(), "{sql}: {refused:?}");
    made.parts.last().unwrap().sql.clone().unwrap_or_default()
}

/// Why the last statement cannot go.
fn why(sql: &str) -> String {
    let made = exported("t.sql", &format!("{T}{sql}"), None, &[]).unwrap();
    let part = made.parts.last().unwrap();
    assert_eq!(part.fate, Fate::Refused, "{sql}: {:?}", part.sql);
    let notes = part.notes.iter().filter(|n| n.kind == NoteKind::Refused);
    notes
        .map(|n| format!("{} | {}", n.text, n.hint.as_deref().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("; ")
}

/// All that cannot go.
fn refused(sql: &str) -> String {
    let made = exported("t.sql", &format!("{T}{sql}"), None, &[]).unwrap();
    let found =
        made.refusals().map(|(_, n)| format!("{} | {}", n.text, n.hint.as_deref().unwrap_or_default()));
    found.collect::<Vec<_>>().join("; ")
}

#[test]
fn lookup_joins() {
    assert_eq!(
        last("SELECT a.v, d.name FROM t AS a LEFT JOIN d ON a.id = d.id"),
        "SELECT a.v, d.name FROM t AS a LEFT JOIN d FOR SYSTEM_TIME AS OF a.proc_time ON a.id = d.id"
    );
    // All columns are those that were there.
    assert_eq!(
        last("SELECT * FROM t JOIN d AS x ON t.id = x.id"),
        "SELECT t.id, t.v, t.ts, x.* FROM t JOIN d FOR SYSTEM_TIME AS OF t.proc_time AS x ON t.id = x.id"
    );
    assert_eq!(
        last("SELECT t.*, x.name FROM (SELECT id, v AS `value` FROM t) AS t JOIN d AS x ON t.id = x.id"),
        "SELECT t.id, t.`value`, x.name FROM (SELECT *, PROCTIME() AS proc_time FROM (SELECT id, v AS `value` FROM t)) AS t \
         JOIN d FOR SYSTEM_TIME AS OF t.proc_time AS x ON t.id = x.id"
    );
    // Another query reads all columns of the table: it stays as it is.
    let text = last(
        "CREATE VIEW w AS SELECT * FROM t; SELECT a.id, x.name, y.name FROM t AS a JOIN d AS x ON a.id = x.id JOIN d AS y ON x.name = y.id",
    );
    assert_eq!(
        text,
        "SELECT a.id, x.name, y.name FROM (SELECT *, PROCTIME() AS proc_time FROM t) AS a JOIN d FOR SYSTEM_TIME AS OF \
         a.proc_time AS x ON a.id = x.id JOIN d FOR SYSTEM_TIME AS OF a.proc_time AS y ON x.name = y.id"
    );
    // What is Flink's already stays.
    let flinks = "SELECT a.v, d.name FROM (SELECT *, PROCTIME() AS p FROM t) AS a JOIN d FOR SYSTEM_TIME AS OF a.p ON a.id = d.id";
    assert_eq!(last(flinks), flinks);
    assert!(why("SELECT t.v, x.name FROM t, LATERAL TABLE(d(t.id)) AS x").contains("write JOIN d"));
}

#[test]
fn a_column_of_processing_time_is_declared_once() {
    let made = exported(
        "t.sql",
        &format!("{T}SELECT t.v, d.name FROM t JOIN d ON t.id = d.id; SELECT t.id, d.name FROM t JOIN d ON t.id = d.id;"),
        None,
        &[],
    )
    .unwrap();
    let table = made.parts[0].sql.as_deref().unwrap();
    assert!(table.contains("WATERMARK FOR ts AS ts, proc_time AS PROCTIME())"), "{table}");
    let taken = "CREATE TABLE p (id STRING, at AS PROCTIME()) WITH ('connector' = 'datagen');
        SELECT p.id, d.name FROM p JOIN d ON p.id = d.id";
    assert!(last(taken).contains("FOR SYSTEM_TIME AS OF p.`at`"), "{}", last(taken));
}

#[test]
fn strategies_and_hints() {
    let join = "SELECT t.v, d.name FROM t JOIN d ON t.id = d.id";
    assert!(last(&format!("SET 'enrichment.strategy' = 'CACHED'; {join}")).contains(
        "JOIN d /*+ OPTIONS('lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100000', \
         'lookup.partial-cache.expire-after-write' = '60 s') */ FOR SYSTEM_TIME AS OF t.proc_time ON"
    ));
    assert!(
        last(&format!("SET 'enrichment.strategy' = 'SYNC'; {join}"))
            .contains("JOIN d /*+ OPTIONS('asyncPolling' = 'false') */")
    );
    let hinted = "SELECT /*+ LOOKUP('table'='d', 'capacity'='7') */ t.v FROM t JOIN d /*+ OPTIONS('lookup.max-retries'='1', 'lookup.rate-limit'='5/s') */ ON t.id = d.id";
    assert_eq!(
        last(hinted),
        "SELECT /*+ LOOKUP('table'='d', 'capacity'='7') */ t.v FROM t JOIN d /*+ OPTIONS('lookup.max-retries' = '1') */ FOR \
         SYSTEM_TIME AS OF t.proc_time ON t.id = d.id"
    );
}

#[test]
fn functions_in_sql_are_expanded() {
    let made = "CREATE FUNCTION f(c DOUBLE) RETURNS DOUBLE RETURN c * 1.8 + 32;
        CREATE FUNCTION g(a INT, b INT DEFAULT 2) RETURNS DOUBLE RETURN f(a) + b;";
    assert_eq!(
        last(&format!("{made} SELECT f(v) AS x FROM t")),
        "SELECT CAST((CAST(v AS DOUBLE) * 1.8 + 32) AS DOUBLE) AS x FROM t"
    );
    assert_eq!(
        last(&format!("{made} SELECT g(v) AS x FROM t WHERE f(f(v)) > 1")),
        "SELECT CAST((CAST((CAST(CAST(v AS INT) AS DOUBLE) * 1.8 + 32) AS DOUBLE) + CAST(2 AS INT)) AS DOUBLE) AS x FROM t \
         WHERE CAST((CAST(CAST((CAST(v AS DOUBLE) * 1.8 + 32) AS DOUBLE) AS DOUBLE) * 1.8 + 32) AS DOUBLE) > 1"
    );
    let strict = "CREATE FUNCTION s(a INT) RETURNS INT STRICT RETURN a + 1;";
    assert_eq!(
        last(&format!("{strict} SELECT s(v) AS x FROM t")),
        "SELECT CASE WHEN CAST(v AS INT) IS NOT NULL THEN CAST((CAST(v AS INT) + 1) AS INT) END AS x FROM t"
    );
}

#[test]
fn statements_that_cannot_be_exported() {
    let script = "CREATE FUNCTION j(a INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return a; $$;";
    // A function that is not called is in nobody's way.
    assert_eq!(last(&format!("{script} SELECT v FROM t")), "SELECT v FROM t");
    assert!(
        why(&format!("{script} SELECT j(v) FROM t"))
            .contains("in JavaScript, which Flink does not run | write it in SQL")
    );
    assert!(
        refused("CREATE TABLE n (event_type INT) WITH ('connector' = 'nexmark'); SELECT event_type FROM n")
            .contains("connector 'nexmark'")
    );
    assert!(
        refused("CREATE TABLE s (a INT) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT a FROM s")
            .contains("no standard input")
    );
    assert!(
        why("SELECT SUM(v) FILTER (WHERE v > 1) OVER (ORDER BY ts) AS x FROM t")
            .contains("no FILTER with OVER")
    );
    let csv = "CREATE TABLE c (a INT) WITH ('connector' = 'filesystem', 'path' = 'x.csv', 'format' = 'csv', 'csv.skip-header' = 'true'); DESCRIBE c";
    assert!(refused(csv).contains("the header of a CSV file as a row | take the first line"));
    let jdbc = "CREATE TABLE q (a INT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:x.db', 'table-name' = 'q'); DESCRIBE q";
    // A table that no other statement names is in nobody's way.
    assert!(last(jdbc.trim_end_matches("; DESCRIBE q")).is_empty());
    assert!(refused(jdbc).contains("does not know SQLite"));
}

#[test]
fn a_list_of_connectors_and_a_version() {
    let made = exported("t.sql", &format!("{T}DESCRIBE d"), Some(""), &[]).unwrap();
    let (part, note) = made.refusals().next().unwrap();
    assert_eq!(
        (part.title.as_str(), note.text.as_str()),
        ("CREATE TABLE d", "connector 'http' is not on the cluster")
    );
    assert!(note.hint.as_deref().unwrap().contains("flink-connector-http"));
    let target = Target { version: Version::V2_2, ..Target::default() };
    let variables = Variables::default();
    let request = Request { target: &target, variables: &variables, filled: false, root: PathBuf::new() };
    let text = "CREATE TABLE k (id STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'blackhole');
        INSERT INTO k VALUES ('a') ON CONFLICT DO NOTHING";
    let made = export(&Session::new().unwrap(), SourceText::new("t.sql", text), &request).unwrap();
    assert_eq!(made.refusals().next().unwrap().1.text, "Flink 2.2 has no ON CONFLICT");
}

#[test]
fn words_take_backticks() {
    let made =
        "CREATE TABLE r (`value` INT, user STRING, one INT, two AS one + 1) WITH ('connector' = 'datagen');";
    let all = exported("t.sql", made, None, &[]).unwrap();
    assert!(all.sql.contains("(`value` INT, `user` STRING, `one` INT, two AS `one` + 1)"), "{}", all.sql);
    assert_eq!(
        last(&format!("{made} SELECT user, one AS day FROM r")),
        "SELECT `user`, `one` AS `day` FROM r"
    );
}

#[test]
fn secrets_stay_in_the_environment() {
    let text = "CREATE TABLE d (id STRING, name STRING) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://${DB_HOST:-127.0.0.1}/x',
        'table-name' = '${TABLE_NAME}', 'username' = '${USER_NAME}', 'password' = '${PASSWORD_OF_TEST}');
        SELECT * FROM ${WHAT:-d} LIMIT 1";
    let given = [("TABLE_NAME", "places"), ("PASSWORD_OF_TEST", "hunter2-planted"), ("USER_NAME", "me")];
    let made = exported("t.sql", text, None, &given).unwrap();
    assert!(!made.sql.contains("hunter2"), "{}", made.sql);
    assert!(
        made.sql.contains("'table-name' = 'places'") && made.sql.contains("FROM d LIMIT"),
        "{}",
        made.sql
    );
    assert!(made.sql.contains("'password' = '${PASSWORD_OF_TEST}'"), "{}", made.sql);
    assert!(made.sql.contains("'jdbc:postgresql://127.0.0.1/x'"), "{}", made.sql);
    assert_eq!(made.open.iter().collect::<Vec<_>>(), ["PASSWORD_OF_TEST"]);
    assert!(!report_text(&made, &Target::default()).contains("hunter2"));
}

#[test]
fn statements_that_are_left_out() {
    let made = exported(
        "t.sql",
        "-- A file.\nSET 'affluent.functions.path' = 'udfs';\nSUMMARIZE VALUES 1;\nSELECT 1 AS x;\n",
        None,
        &[],
    )
    .unwrap();
    assert_eq!(
        made.sql,
        "-- t.sql for Flink 2.3, by affluent flink export.\n\n-- A file.\n-- SET affluent.functions.path: left out: functions that \
         are called go with the file\n-- SUMMARIZE: left out: Flink has no such statement, and it starts no job\nSELECT 1 AS x;\n"
    );
    let e = exported("t.sql", "SELECT nope FROM t", None, &[]).unwrap_err();
    assert!(e.message().contains("'t' is not known"), "{e}");
}
