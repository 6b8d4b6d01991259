//! Jobs that are killed or stopped, edited, and started again: which state they keep, and what is said.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A stream that stops with its checkpoints kept: a query over the same stream takes its time, then the job is stopped.
const STOP: &str = "SELECT n FROM pace LIMIT 400; STOP JOB '1';";

fn settings(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "SET 'execution.checkpointing.interval' = '100 ms';
         SET 'execution.checkpointing.dir' = '{folder}/checkpoints';
         SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
         CREATE TABLE pace (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');
         CREATE TABLE t (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '{folder}/in',
           'format' = 'json', 'source.monitor-interval' = '10 ms');
         CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '{folder}/out', 'format' = 'debezium-json')
           AS SELECT k, COUNT(*) AS n FROM t WHERE v > 1 GROUP BY k;"
    )
}

fn input(folder: &Path, name: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    let rows = "{\"k\":\"a\",\"v\":1}\n{\"k\":\"a\",\"v\":2}\n{\"k\":\"b\",\"v\":3}\n";
    fs::write(folder.join(name).join("1.json"), rows).unwrap();
}

fn affluent(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.env("XDG_STATE_HOME", folder.join("state")).current_dir(folder);
    command.args(arguments).output().unwrap()
}

fn run(folder: &Path, sql: &str, arguments: &[&str]) -> (bool, String) {
    let script = folder.join("job.sql");
    fs::write(&script, sql).unwrap();
    let script = script.display().to_string();
    let output = affluent(folder, &[&["run", &script], arguments].concat());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs, and runs again with an edit.
fn again(edit: impl Fn(&str) -> String) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    input(folder, "in");
    let sql = format!("{}{STOP}", settings(folder));
    let (done, said) = run(folder, &sql, &[]);
    assert!(done && !said.contains("continues from"), "{said}");
    run(folder, &edit(&sql), &[])
}

#[test]
fn restored_checkpoints_are_announced_with_their_time() {
    let (done, said) = again(str::to_string);
    assert!(done, "{said}");
    let line = said.lines().find(|line| line.contains("continues from checkpoint")).unwrap();
    assert!(line.contains(" of 20") && line.contains(" UTC (") && line.contains(" ago) in "), "{line}");
    assert!(line.contains("of state of 1 operator, positions of 1 source"), "{line}");
}

#[test]
fn an_edit_that_does_not_touch_the_state_keeps_it() {
    let (done, said) = again(|sql| {
        let sql = sql.replace(
            "SELECT k, COUNT(*) AS n FROM t WHERE v > 1",
            "SELECT x.k, COUNT(*) AS n FROM t AS x WHERE 1 < x.v",
        );
        format!("SET 'parallelism.default' = '3'; {}", sql.replace("'10 ms'", "'20 ms'"))
    });
    assert!(done && said.contains("continues from checkpoint"), "{said}");
}

/// The last row of key `a` in the files of `out`.
fn last_of_a(folder: &Path) -> String {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_string).collect::<Vec<_>>()).collect();
    let rows = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let after = rows.map(|row| row["after"].clone()).filter(|row| row["k"] == "a");
    let newest = after.max_by_key(|row| row["n"].as_i64()).unwrap();
    format!("{} {} {}", newest["k"], newest["n"], newest["s"])
}

#[test]
fn the_order_of_calls_keys_and_sides_keeps_the_state() {
    let grouped = "SELECT k, COUNT(*) AS n, SUM(v) AS s, c FROM (
         SELECT k, v, 1 AS c FROM t UNION ALL SELECT k, v, 1 AS c FROM u) GROUP BY k, c";
    for (from, to) in [
        ("COUNT(*) AS n, SUM(v) AS s", "SUM(v) AS s, COUNT(*) AS n"),
        ("GROUP BY k, c", "GROUP BY c, k"),
        ("FROM t UNION ALL SELECT k, v, 1 AS c FROM u", "FROM u UNION ALL SELECT k, v, 1 AS c FROM t"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        input(folder, "in");
        input(folder, "other");
        let settings = settings(folder);
        let (start, _) = settings.split_once("CREATE TABLE out").unwrap();
        let sql = |query: &str| {
            let folder = folder.display();
            format!(
                "{start}
                 CREATE TABLE u (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '{folder}/other',
                   'format' = 'json', 'source.monitor-interval' = '10 ms');
                 CREATE TABLE out (k STRING, n BIGINT, s BIGINT, c INT) WITH ('connector' = 'filesystem',
                   'path' = '{folder}/out', 'format' = 'debezium-json');
                 INSERT INTO out (k, n, s, c) SELECT k, n, s, c FROM ({query});
                 {STOP}"
            )
        };
        let (done, said) = run(folder, &sql(grouped), &[]);
        assert!(done && !said.contains("continues from"), "{said}");
        fs::write(folder.join("in").join("2.json"), "{\"k\":\"a\",\"v\":10}\n").unwrap();
        let edited = grouped.replace(from, to);
        assert_ne!(edited, grouped);
        let (done, said) = run(folder, &sql(&edited), &[]);
        assert!(done && said.contains("continues from checkpoint"), "{from}: {said}");
        assert_eq!(last_of_a(folder), "\"a\" 5 16", "{from}");
    }
}

#[test]
fn an_edit_that_alters_the_state_is_refused_with_the_reason() {
    for (from, to, why) in [
        ("GROUP BY k", "GROUP BY k, v", "keys: t.k:STRING -> t.k:STRING, t.v:INT"),
        ("v > 1", "v > 2", "rows: t where (1 < t.v) -> t where (2 < t.v)"),
        ("COUNT(*) AS n", "COUNT(*) AS n, SUM(v) AS s", "calls: count(1)"),
    ] {
        let (done, said) = again(|sql| sql.replace(from, to));
        assert!(!done && said.contains("the query has changed: checkpoint"), "{said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(why) && said.contains("(2 rows, "), "{why}: {said}");
    }
    let (done, said) = again(|sql| {
        format!(
            "SET 'execution.state-recovery.ignore-unclaimed-state' = 'true'; {}",
            sql.replace("GROUP BY k", "GROUP BY k, v")
        )
    });
    assert!(done && said.contains("is dropped: GroupAggregate") && said.contains("(2 rows, "), "{said}");
}

#[test]
fn another_place_is_not_the_same_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    input(folder, "in");
    let sql = format!("{}{STOP}", settings(folder)).replace("/in'", "/${IN}'");
    let (done, said) = run(folder, &sql, &["--var", "IN=in"]);
    assert!(done, "{said}");
    // Another folder of rows.
    input(folder, "other");
    let (done, said) = run(folder, &sql, &["--var", "IN=other"]);
    assert!(!done && said.contains("table 't' reads '"), "{said}");
    assert!(
        said.contains("/${IN}'") && said.contains("/in'") && said.contains("'scan.moved-from' = '"),
        "{said}"
    );
    // The same folder under another name.
    fs::remove_dir_all(folder.join("other")).unwrap();
    fs::rename(folder.join("in"), folder.join("other")).unwrap();
    let from = folder.join("in").display().to_string();
    let moved =
        sql.replace("'format' = 'json', ", &format!("'format' = 'json', 'scan.moved-from' = '{from}', "));
    assert_ne!(moved, sql);
    let (done, said) = run(folder, &moved, &["--var", "IN=other"]);
    assert!(done && said.contains("continues from checkpoint"), "{said}");
    // Its rows are not counted twice: the last word on each key is as before.
    let out = counts(folder);
    assert_eq!(out, ["+I,a 1", "+I,b 1"]);
}

/// What the debezium records of the result say last of each key.
fn counts(folder: &Path) -> Vec<String> {
    let sql = format!(
        "CREATE TABLE result (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'filesystem',
           'path' = '{}/out', 'format' = 'debezium-json'); SELECT k || ' ' || CAST(n AS STRING) AS line FROM result ORDER BY line;",
        folder.display()
    );
    let output = affluent(folder, &["-c", &sql, "-o", "csv"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_string).collect()
}

#[test]
fn commands_of_one_shape_do_not_share_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    input(folder, "in");
    let sql = format!("{}{STOP}", settings(folder));
    assert!(affluent(folder, &["-c", &sql]).status.success());
    let same = affluent(folder, &["-c", &sql]);
    let said = String::from_utf8_lossy(&same.stderr);
    assert!(same.status.success() && said.contains("continues from checkpoint"), "{said}");
    let other = affluent(folder, &["-c", &sql.replace("v > 1", "v > 2")]);
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(other.status.success() && !said.contains("continues from checkpoint"), "{said}");
}

#[test]
fn a_checkpoint_of_the_first_version_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let savepoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/v1-job");
    let sql = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000',
          'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '5999');
        CREATE TABLE sums (odd BIGINT, s BIGINT, c BIGINT, PRIMARY KEY (odd) NOT ENFORCED) WITH ('connector' = 'print');
        INSERT INTO sums SELECT n % CAST(2 AS BIGINT) AS odd, SUM(n) AS s, COUNT(*) AS c FROM numbers
          WHERE n >= 10 GROUP BY n % CAST(2 AS BIGINT);";
    let script = folder.join("job.sql");
    fs::write(&script, sql).unwrap();
    let (script, savepoint) = (script.display().to_string(), savepoint.display().to_string());
    let output = affluent(folder, &["run", &script, "--from-savepoint", &savepoint]);
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("continues from checkpoint 4"), "{said}");
    // 2,497 rows were counted before.
    let rows: u64 = 5990;
    for last in ["[0, 8996980, 2995]", "[1, 8999975, 2995]"] {
        assert!(out.contains(last), "{last} of {rows}: {out}");
    }
}

#[test]
fn a_table_under_another_name_is_found_by_its_place() {
    let renamed = |sql: &str| {
        sql.replace("CREATE TABLE t (", "CREATE TABLE events (").replace("FROM t WHERE", "FROM events WHERE")
    };
    let (done, said) = again(renamed);
    assert!(done && said.contains("continues from checkpoint"), "{said}");
    assert!(said.contains("table 'events' is 't' of the checkpoints"), "{said}");
    // Another table may have the name now; in the third run it is still the same one, and no row is read twice.
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    input(folder, "in");
    let sql = format!("{}{STOP}", settings(folder));
    for sql in [&sql, &renamed(&sql), &renamed(&sql), &sql] {
        let (done, said) = run(folder, sql, &[]);
        assert!(done, "{said}");
    }
    assert_eq!(counts(folder), ["+I,a 1", "+I,b 1"]);
}

#[test]
fn another_condition_of_an_inner_join_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    input(folder, "in");
    let sql = settings(folder).replace(
        "SELECT k, COUNT(*) AS n FROM t WHERE v > 1 GROUP BY k",
        "SELECT a.k || CAST(b.v AS STRING) AS k, CAST(a.v AS BIGINT) AS n FROM t AS a JOIN t AS b ON a.k = b.k AND a.v > b.v",
    );
    let sql = format!("{sql}{STOP}");
    let (done, said) = run(folder, &sql, &[]);
    assert!(done, "{said}");
    assert_eq!(counts(folder), ["+I,a1 2"]);
    fs::write(folder.join("in/2.json"), "{\"k\":\"a\",\"v\":4}\n").unwrap();
    let (done, said) = run(folder, &sql.replace("a.v > b.v", "a.v > b.v + 1"), &[]);
    assert!(done && said.contains("continues from checkpoint"), "{said}");
    // The new row meets both of before.
    assert_eq!(counts(folder), ["+I,a1 2", "+I,a1 4", "+I,a2 4"]);
}
