//! The command line as a person uses it: output formats, exit statuses, bad input, interruption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{Reply, Server};

fn affluent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.env("TZ", "UTC").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(sql: &str) -> Output {
    affluent().args(["-c", sql]).output().unwrap()
}

#[test]
fn select_one_is_json_when_it_is_not_a_terminal() {
    let output = run("SELECT 1 AS one, 'a' AS a");
    assert_eq!(text(&output.stdout), "{\"op\":\"+I\",\"one\":1,\"a\":\"a\"}\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn output_formats() {
    let out = |format| {
        text(&affluent().args(["-o", format, "-c", "SELECT 1 AS one, 'a,b' AS a"]).output().unwrap().stdout)
    };
    assert_eq!(out("csv"), "op,one,a\n+I,1,\"a,b\"\n");
    assert_eq!(out("none"), "");
    let tableau = out("tableau");
    assert!(
        tableau.contains("| op |")
            && tableau.contains("a,b")
            && tableau.contains("Received a total of 1 row"),
        "{tableau}"
    );
}

#[test]
fn wrong_sql_is_status_2_with_place_and_caret() {
    let output = run("SELECT 1;\nSELEC 2");
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("2:1") && shown.contains("SELEC 2") && shown.contains('^'), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours off a terminal: {shown}");
}

#[test]
fn wrong_arguments_are_status_2() {
    assert_eq!(affluent().args(["run", "/no/such/file.sql"]).output().unwrap().status.code(), Some(2));
    assert_eq!(affluent().arg("--no-such-flag").output().unwrap().status.code(), Some(2));
    assert_eq!(
        affluent()
            .args(["--set", "enrichment.stratgy=SYNC", "-c", "SELECT 1"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_failing_pipeline_is_status_1_and_leaves_no_half_written_file() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    fs::write(&input, "{\"id\":1}\n{\"id\":2}\n{\"id\":oops}\n{\"id\":4}\n").unwrap();
    let script = folder.path().join("p.sql");
    let with = |p: &std::path::Path, more: &str| {
        format!("WITH ('connector'='filesystem','path'='{}','format'='json'{more})", p.display())
    };
    fs::write(
        &script,
        format!(
            "CREATE TABLE a (id INT) {};\nCREATE TABLE b (id INT) {};\nINSERT INTO b SELECT id FROM a;",
            with(&input, ""),
            with(&out, "")
        ),
    )
    .unwrap();
    let output = affluent().arg("run").arg(&script).output().unwrap();
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("in.jsonl") && shown.contains("line 3") && shown.contains("scan.dead-letter"),
        "{shown}"
    );
    assert!(!out.exists());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left over: {names:?}");

    fs::write(
        &script,
        format!(
            "CREATE TABLE a (id INT) {};\nCREATE TABLE b (id INT) {};\nINSERT INTO b SELECT id FROM a;",
            with(&input, ",'json.ignore-parse-errors'='true'"),
            with(&out, "")
        ),
    )
    .unwrap();
    let output = affluent().arg("run").arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&out).unwrap(), "{\"id\":1}\n{\"id\":2}\n{\"id\":4}\n");
}

#[test]
fn variables_come_from_the_command_line_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("v.sql");
    fs::write(&script, "SELECT '${WHO}' AS who, '${WHERE_FROM}' AS place -- ${NOT_HERE}\n;").unwrap();
    let output =
        affluent().args(["run", "--var", "WHO=ann"]).arg(&script).env("WHERE_FROM", "env").output().unwrap();
    assert_eq!(
        text(&output.stdout),
        "{\"op\":\"+I\",\"who\":\"ann\",\"place\":\"env\"}\n",
        "{}",
        text(&output.stderr)
    );
    let output = affluent().arg("run").arg(&script).env_remove("WHERE_FROM").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("v.sql:1"), "{}", text(&output.stderr));
}

#[test]
fn stdin_to_stdout_is_enriched_row_by_row() {
    let server = Server::start();
    server.route(
        "GET",
        "/s/a%2Fb%20%C3%BC",
        Reply { status: 200, body: br#"{"id":"a/b \u00fc","brand":"x"}"#.to_vec(), ..Reply::default() },
    );
    let sql = format!(
        "CREATE TABLE t (id STRING) WITH ('connector'='stdin','format'='json');
         CREATE TABLE s (id STRING, brand STRING) WITH ('connector'='http','url'='http://{}/s/{{id}}','format'='json');
         SELECT t.id, s.brand FROM t LEFT JOIN s ON t.id = s.id;",
        server.address
    );
    let mut child = affluent()
        .args(["-c", &sql])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    writeln!(stdin, r#"{{"id":"a/b ü"}}"#).unwrap();
    // The row comes before the input ends.
    assert_eq!(lines.next().unwrap().unwrap(), "{\"op\":\"+I\",\"id\":\"a/b ü\",\"brand\":\"x\"}");
    writeln!(stdin, r#"{{"id":"none"}}"#).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"op\":\"+I\",\"id\":\"none\",\"brand\":null}");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sql = "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen','rows-per-second'='1000000'); SELECT id FROM g;";
    let mut child =
        affluent().args(["-c", sql]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    {
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut first).unwrap();
    }
    assert!(first.starts_with("{\"op\":\"+I\",\"id\":"), "{first}");
    let status = child.wait().unwrap();
    let mut shown = String::new();
    child.stderr.take().unwrap().read_to_string(&mut shown).unwrap();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(!shown.contains("panicked") && !shown.contains("rror"), "{shown}");
}

#[test]
fn an_interrupt_ends_a_run_cleanly_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let sql = format!(
        "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen','rows-per-second'='1000');
         CREATE TABLE o (id BIGINT) WITH ('connector'='filesystem','path'='{}','format'='json');
         INSERT INTO o SELECT id FROM g; SELECT id FROM g;",
        out.display()
    );
    let mut child =
        affluent().args(["-c", &sql]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.ends_with('\n'), "whole lines only");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|n| !n.to_string_lossy().contains("inprogress")),
        "nothing half-written is left: {left:?}"
    );
}

#[test]
fn one_key_that_fails_harms_no_other_row() {
    let server = Server::start();
    let ok = |v: u32| Reply {
        status: 200,
        body: format!("{{\"id\":{v},\"v\":{v}}}").into_bytes(),
        ..Reply::default()
    };
    for id in 0..50 {
        let reply = match id {
            7 => Reply { status: 500, body: b"no".to_vec(), ..Reply::default() },
            9 => Reply { status: 200, body: b"{\"id\":9,\"v\":".to_vec(), cut: true, ..Reply::default() },
            11 => Reply { status: 200, body: b"{\"id\":11,\"v\":\"many\"}".to_vec(), ..Reply::default() },
            13 => Reply { status: 200, body: b"{\"id\":13,".to_vec(), ..Reply::default() },
            15 => Reply { delay: Duration::from_secs(60), ..ok(id) },
            _ => ok(id),
        };
        server.route("GET", &format!("/k/{id}"), reply);
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    fs::write(&input, (0..50).map(|i| format!("{{\"id\":{i}}}\n")).collect::<String>()).unwrap();
    let sql = format!(
        "CREATE TABLE t (id INT) WITH ('connector'='filesystem','path'='{}','format'='json');
         CREATE TABLE k (id INT, v INT) WITH ('connector'='http','url'='http://{}/k/{{id}}','format'='json',
           'lookup.max-retries'='0','lookup.on-error'='null','http.source.lookup.request.timeout'='10 s');
         SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id;",
        input.display(),
        server.address
    );
    let output = run(&sql);
    let rows = text(&output.stdout);
    assert_eq!(rows.lines().count(), 50, "{}", text(&output.stderr));
    for (id, line) in rows.lines().enumerate() {
        let value = if [7, 9, 11, 13, 15].contains(&id) { "null".to_string() } else { id.to_string() };
        assert_eq!(line, format!("{{\"op\":\"+I\",\"id\":{id},\"v\":{value}}}"));
    }
}

#[test]
fn secrets_are_never_shown() {
    let sql = "CREATE TABLE k (id STRING, v INT) WITH ('connector'='http','url'='http://127.0.0.1:1/{id}','format'='json',
        'http.source.lookup.header.Authorization'='Bearer ${AFFLUENT_TEST_SECRET}','lookup.max-retries'='0');
        CREATE TABLE p (id STRING, v INT) WITH ('connector'='http','url'='http://127.0.0.1:1/{id}','format'='json',
        'http.source.lookup.header.X-Api-Key'='plain-hunter2');
        SHOW CREATE TABLE k; SHOW CREATE TABLE p;
        CREATE TABLE t (id STRING) WITH ('connector'='datagen','number-of-rows'='1');
        EXPLAIN SELECT * FROM t JOIN k ON t.id = k.id; EXPLAIN SELECT * FROM t JOIN p ON t.id = p.id;
        SELECT * FROM t JOIN k ON t.id = k.id;";
    let output = affluent().args(["-c", sql]).env("AFFLUENT_TEST_SECRET", "hunter2").output().unwrap();
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_paced_source_gives_all_of_its_rows() {
    let sql = "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen','rows-per-second'='2000','number-of-rows'='400');
        SELECT id FROM g;";
    let output = run(sql);
    assert_eq!(text(&output.stdout).lines().count(), 400, "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_wrong_statement_says_which_jobs_it_cancels() {
    let sql = "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen','rows-per-second'='10');
        CREATE TABLE b (id BIGINT) WITH ('connector'='blackhole');
        INSERT INTO b SELECT id FROM g; SELECT nope";
    let output = run(sql);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("nope") && shown.contains("job 1 (insert-into_b) is cancelled"), "{shown}");
}

#[test]
fn copy_writes_a_file_that_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let copy =
        |what: &str, name: &str| run(&format!("COPY {what} TO '{}'; SELECT 1 AS one", at(name).display()));
    let rows = "(SELECT x, y FROM (VALUES (1, 'a,b'), (2, NULL)) AS v(x, y))";
    let output = copy(rows, "rows.csv");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "{\"op\":\"+I\",\"one\":1}\n".into()));
    assert_eq!(fs::read_to_string(at("rows.csv")).unwrap(), "x,y\n1,\"a,b\"\n2,\n");
    assert_eq!(copy(rows, "rows.json").status.code(), Some(0));
    assert_eq!(
        fs::read_to_string(at("rows.json")).unwrap(),
        "{\"x\":1,\"y\":\"a,b\"}\n{\"x\":2,\"y\":null}\n"
    );
    // A table, in a script; no rows are a header. What takes rows back says so.
    let script = at("copy.sql");
    let sql = format!(
        "CREATE VIEW none AS SELECT 1 AS a WHERE FALSE; COPY none TO '{0}/none.csv';
         COPY (SELECT x, COUNT(*) AS n FROM (VALUES (1), (1)) AS v(x) GROUP BY x) TO '{0}/counts.csv';",
        folder.path().display()
    );
    fs::write(&script, sql).unwrap();
    let output = affluent().arg("run").arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(at("none.csv")).unwrap(), "a\n");
    assert!(fs::read_to_string(at("counts.csv")).unwrap().starts_with("op,x,n\n"));
    // What fails leaves what was there.
    let failed = copy("(SELECT 1 / x AS y FROM (VALUES (1), (0)) AS v(x))", "rows.csv");
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert!(fs::read_to_string(at("rows.csv")).unwrap().starts_with("x,y\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "a part is left");
    let wrong = run("COPY (SELECT 1)");
    assert!(
        wrong.status.code() == Some(2) && text(&wrong.stderr).contains("TO 'file'"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn a_misspelt_field_of_an_object_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cs.jsonl");
    fs::write(
        &path,
        "{\"id\":1,\"user\":{\"Login\":\"x\",\"age\":3}}\n{\"id\":2,\"user\":{\"Login\":\"y\"}}\n",
    )
    .unwrap();
    let read = |fields: &str| {
        let sql = format!(
            "CREATE TABLE c (id INT, `user` ROW<{fields}>) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
             SELECT * FROM c",
            path.display()
        );
        text(&run(&sql).stderr)
    };
    let said = read("login STRING, age INT");
    assert!(
        said.contains("field 'user.login' is in none of the first 2 records; did you mean 'user.Login'?"),
        "{said}"
    );
    // A field that only some have, or none so far, is no mistake.
    assert!(!read("`Login` STRING, age INT, zip STRING").contains("in none of"), "optional");
}
