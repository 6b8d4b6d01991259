//! The program as scripts and pipes see it: output, exit status, signals.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

fn affluent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(arguments).env("TZ", "UTC").env_remove("NOPE").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    text(affluent(arguments).output().expect("the program runs"))
}

fn text(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn with_input(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = affluent(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    text(child.wait_with_output().expect("it ends"))
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(status.expect("kill").success());
}

#[test]
fn version_help_and_completions() {
    let (status, out, err) = run(&["--version"]);
    assert_eq!((status, out.trim(), err.as_str()), (0, concat!("affluent ", env!("CARGO_PKG_VERSION")), ""));
    let (status, out, _) = run(&["--help"]);
    assert_eq!(status, 0);
    assert!(out.contains("Examples:") && out.contains("Exit status:"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = run(&["completions", shell]);
        assert_eq!(status, 0);
        assert!(out.contains("affluent") && out.contains("completions"), "{shell}");
    }
}

#[test]
fn wrong_arguments() {
    for arguments in [
        &["--nonsense"][..],
        &["run"],
        &["run", "no-such-file.sql"],
        &["-c", "SELECT 1", "run", "a.sql"],
        &["-o", "xml", "-c", ""],
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.starts_with("error: "), "{arguments:?}: {err}");
    }
}

#[test]
fn undefined_variables_have_a_place() {
    let expected = "\
error: variable 'NOPE' has no value
 --> <stdin>:2:9
  |
2 | SELECT '${NOPE}';
  |         ^^^^^^^
  |
  = help: give it with --var NOPE=... or in the environment
";
    let input = "-- ${NOPE} may stand here\nSELECT '${NOPE}';\n";
    assert_eq!(with_input(&["run", "-"], input), (2, String::new(), expected.into()));
    assert_eq!(with_input(&[], input).0, 2);
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    if let Ok(full) = full {
        let (status, _, err) =
            text(affluent(&["completions", "bash"]).stdout(full).output().expect("the program runs"));
        assert_eq!(status, 1);
        assert!(err.starts_with("error: standard output: "), "{err}");
    }
    let mut child = affluent(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let (status, _, err) = text(child.wait_with_output().expect("it ends"));
    assert_eq!((status, err.as_str()), (0, ""));
}

#[test]
fn wrong_sql() {
    let (status, out, err) = run(&["-c", "SELEC 1"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.starts_with("error: "), "{err}");
}

#[test]
fn formats() {
    let sql = "SELECT 1 AS id, 'a,b' AS name";
    let json = "{\"op\":\"+I\",\"id\":1,\"name\":\"a,b\"}\n";
    assert_eq!(run(&["-c", sql]), (0, json.into(), String::new()), "json into a pipe");
    assert_eq!(run(&["-c", sql, "-o", "csv"]).1, "op,id,name\n+I,1,\"a,b\"\n");
    assert_eq!(run(&["-c", sql, "-o", "none"]).1, "");
    let (_, out, _) = run(&["-c", sql, "-o", "tableau"]);
    assert!(out.contains("| +I |") && out.ends_with("Received a total of 1 row\n"), "{out}");
}

#[test]
fn variables_and_settings() {
    let arguments = ["-c", "SELECT '${A}' AS a; SET", "--var", "A=it's", "--set", "parallelism.default=1"];
    let (status, out, err) = run(&arguments);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("{\"op\":\"+I\",\"a\":\"it's\"}\n"), "{out}");
    assert!(out.contains("parallelism.default"), "{out}");
    assert_eq!(run(&["-c", "SET", "--set", "nonsense=1"]).0, 2);
}

#[test]
fn a_failed_pipeline_exits_with_1() {
    let (status, _, err) = run(&["-c", "SELECT CAST(x AS INT) FROM (VALUES ('no number')) AS t(x)"]);
    assert_eq!(status, 1, "{err}");
    assert!(err.starts_with("error: "), "{err}");
}

const ENDLESS: &str = "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', \
     'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000000'); SELECT n FROM ticks";

fn endless() -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = affluent(&["-c", ENDLESS])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a row");
    // Several tasks count: which number is the first is open.
    assert!(line.starts_with("{\"op\":\"+I\",\"n\":"), "rows arrive while the query runs: {line}");
    (child, out)
}

#[test]
fn a_signal_stops_cleanly() {
    for (name, expected) in [("INT", 130), ("TERM", 143)] {
        let (child, mut out) = endless();
        signal(&child, name);
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut rest).expect("the rest");
        assert!(rest.is_empty() || rest.ends_with(b"}\n"), "whole lines");
        let (status, _, err) = text(child.wait_with_output().expect("it ends"));
        assert_eq!((status, err.as_str()), (expected, ""), "{name}");
    }
}

#[test]
fn a_signal_ends_a_job_that_waits_for_its_checkpoint_store() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let mut command = affluent(&["--set", "execution.checkpointing.interval=1s"]);
    command.args(["--set", "execution.checkpointing.dir=s3://bucket/x", "-c"]).arg(
        "CREATE TABLE e (n INT) WITH ('connector' = 'datagen'); \
         CREATE TABLE b (n INT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT n FROM e",
    );
    command.envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "r"), ("NO_PROXY", "127.0.0.1")]);
    command.envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    // The store is asked and does not answer; on its own the request ends after half a minute, and is repeated.
    let asked = silent.accept().expect("a connection");
    signal(&child, "INT");
    let begun = std::time::Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if begun.elapsed().as_secs() < 20 => {
                std::thread::park_timeout(std::time::Duration::from_millis(20))
            }
            None => {
                child.kill().expect("it ends");
                panic!("the job still waits for its store");
            }
        }
    };
    assert_eq!(status.code(), Some(130));
    drop(asked);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (child, out) = endless();
    drop(out);
    let (status, _, err) = text(child.wait_with_output().expect("it ends"));
    assert_eq!((status, err.as_str()), (0, ""));
}

#[test]
fn check_tells_all_errors_at_once_and_runs_nothing() {
    let script = "CREATE TABLE t (a INT) WITH ('connector' = 'datagen');\n\
                  CREATE TABLE out_ (a INT) WITH ('connector' = 'print');\n\
                  INSERT INTO out_ SELECT a FROM t;\n\
                  SELECT b FROM t;\n\
                  SELEC 1;\n\
                  INSERT INTO out_ SELECT 'x';\n";
    let (status, out, err) = with_input(&["check", "-", "-o", "json"], script);
    assert_eq!((status, err.as_str()), (2, ""));
    let places: Vec<(u64, String)> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|v| (v["line"].as_u64().expect("a line"), v["severity"].as_str().expect("text").to_string()))
        .collect();
    assert_eq!(places, [(4, "error".into()), (5, "error".into()), (6, "error".into())], "{out}");
    let (status, out, _) = with_input(&["check", "-", "-o", "tableau"], "SELECT 1;");
    assert_eq!((status, out.as_str()), (0, "1 file: no errors, 0 warnings\n"));
}

#[test]
fn the_shipped_pipelines_are_right() {
    // An empty folder: where there are other files, they are looked into.
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| format!("{name}={}", folder.path().display());
    let variables = [
        "STRATEGY=CACHED".to_string(),
        "EVENTS=100".into(),
        at("EVENTS_PATH"),
        at("SIDE_INPUT"),
        at("OUTPUT"),
    ];
    let check = |files: &[String]| {
        let mut arguments = vec!["check", "-o", "json"];
        variables.iter().for_each(|v| arguments.extend(["--var", v]));
        arguments.extend(files.iter().map(String::as_str));
        let (status, out, err) = run(&arguments);
        assert_eq!((status, err.as_str()), (0, ""), "{files:?}: {out}");
    };
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder").filter_map(Result::ok);
        let paths = entries.map(|e| e.path().display().to_string());
        paths.filter(|p| p.ends_with(".sql") && !p.ends_with(".test.sql")).collect()
    };
    names("sql").into_iter().for_each(|file| check(&[file]));
    let nexmark = |name: &str| format!("sql/nexmark/{name}.sql");
    for file in names("sql/nexmark").into_iter().filter(|f| f.contains("/q")) {
        check(&[nexmark("events"), nexmark("views"), file]);
    }
    check(&[nexmark("events"), nexmark("write")]);
    let (status, out, _) = run(&["run", "sql/readings.sql", "-o", "table"]);
    assert!(status == 0 && out.contains("9 rows in set"), "{out}");
}

#[test]
fn check_finds_files_beside_the_script() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("f.sql");
    let sql = "CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE JAVASCRIPT USING FILE 'f.js'; SELECT f(1);";
    std::fs::write(&script, sql).expect("a script");
    let check = || run(&["check", &script.display().to_string()]);
    assert_eq!(check().0, 2);
    std::fs::write(folder.path().join("f.js"), "export function f(x) { return x; }").expect("a file");
    assert_eq!(check().0, 0, "{:?}", check());
}

#[test]
fn late_rows_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.jsonl");
    let lines = ["2024-05-01 10:00:00", "2024-05-01 12:00:00", "2024-05-01 10:00:01"]
        .map(|ts| format!("{{\"ts\":\"{ts}\"}}\n"));
    std::fs::write(&file, lines.concat()).expect("a file");
    for window in [
        "TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
        "SESSION(TABLE e, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    ] {
        let sql = format!(
            "CREATE TABLE e (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{}');
             SELECT window_start, COUNT(*) AS n FROM {window} GROUP BY window_start, window_end",
            file.display()
        );
        let (status, out, err) = run(&["-v", "-c", &sql, "-o", "json"]);
        assert_eq!((status, out.lines().count()), (0, 2), "{out}");
        assert!(err.contains("1 late rows left out"), "{err}");
    }
    let sql = format!(
        "CREATE TABLE e (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{}');
         SELECT LAG(ts) OVER (ORDER BY ts) AS p FROM e",
        file.display()
    );
    let (_, _, err) = run(&["-v", "-c", &sql, "-o", "json"]);
    assert!(err.contains("1 late rows left out"), "{err}");
}

#[test]
fn init_files_run_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let init = folder.path().join("init.sql");
    std::fs::write(&init, "CREATE VIEW v AS SELECT ${N} AS n;").expect("a file");
    let init = init.display().to_string();
    let (status, out, err) = run(&["-i", &init, "-c", "SELECT n FROM v", "--var", "N=7"]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "{\"op\":\"+I\",\"n\":7}\n", ""));
    let query = folder.path().join("query.sql");
    std::fs::write(&query, "SELECT n FROM v; SELECT n FROM w;").expect("a file");
    let query = query.display().to_string();
    let (status, out, _) = run(&["check", &query, "--init", &init, "--var", "N=7", "-o", "json"]);
    assert_eq!((status, out.lines().count()), (2, 1), "only w is unknown: {out}");
    assert_eq!(run(&["-i", "no-such-file.sql", "-c", "SELECT 1"]).0, 2);
}

#[test]
fn running_jobs_tell_their_figures() {
    let mut child = affluent(&["-o", "none", "--report-every", "10 ms", "-c", ENDLESS])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("rows_in=") || line.contains("rows_in=0 ") {
        line.clear();
        assert!(err.read_line(&mut line).expect("a line") > 0, "it ended");
    }
    assert!(line.starts_with("ts=") && line.contains(" level=info job=1 name=collect rows_in="), "{line}");
    assert!(line.contains(" in_per_s=") && line.ends_with('\n'), "{line}");
    signal(&child, "INT");
    drop(err);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let sql = "SELECT n FROM (VALUES (1)) AS t(n)";
    let (status, _, err) = run(&["-q", "--report-every", "1 ms", "-c", sql]);
    assert_eq!((status, err.as_str()), (0, ""), "quiet");
}

#[test]
fn check_does_not_repeat_what_follows_from_one_error() {
    let script = "CREATE FUNCTION f AS 'x.y.Z';\nSELECT f(1);\nUSE nowhere;\nSELECT * FROM t;\nUSE default_database;\nSELECT * FROM u;\n";
    let (_, said, _) = with_input(&["check", "-o", "json", "-"], script);
    let told = said.lines().map(|line| {
        let told: serde_json::Value = serde_json::from_str(line).expect("JSON");
        format!("{} {}", told["line"], told["severity"].as_str().unwrap_or_default())
    });
    assert_eq!(told.collect::<Vec<_>>(), ["1 error", "2 note", "3 error", "4 note", "6 error"], "{said}");
}

#[test]
fn text_beside_a_boolean_is_warned_of() {
    let table = "CREATE TABLE b (s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '1');";
    for (condition, warned) in [
        ("s = TRUE", true),
        ("FALSE <> s", true),
        ("s = (1 = 1)", true),
        ("s = CAST(TRUE AS STRING)", false),
        ("CAST(s AS BOOLEAN) = TRUE", false),
    ] {
        let script = format!("{table} SELECT s FROM b WHERE {condition};");
        let (_, said, _) = with_input(&["check", "-o", "json", "-"], &script);
        assert_eq!(said.contains("is compared with a BOOLEAN"), warned, "{condition}: {said}");
    }
}

#[test]
fn text_that_is_no_moment_is_warned_of() {
    let table = "CREATE TABLE m (ts TIMESTAMP(3)) WITH ('connector' = 'datagen', 'number-of-rows' = '1');";
    for (condition, warning) in [
        ("ts = 'soon'", Some("is none: no row is equal to it")),
        ("ts < 'soon'", Some("is none: the first row ends the job")),
        ("ts >= '2026-01-05'", None),
    ] {
        let script = format!("{table} SELECT ts FROM m WHERE {condition};");
        let (_, said, _) = with_input(&["check", "-o", "json", "-"], &script);
        assert_eq!(said.contains("and is none"), warning.is_some(), "{condition}: {said}");
        assert!(warning.is_none_or(|w| said.contains(w)), "{condition}: {said}");
    }
}

#[test]
fn statements_of_a_pipe_run_as_they_come() {
    let mut child = affluent(&["run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    for n in 1..3 {
        // The pipe stays open: the answer comes nevertheless.
        writeln!(input, "SELECT {n} AS n;").expect("it reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("it answers");
        assert_eq!(line.trim(), format!("{{\"op\":\"+I\",\"n\":{n}}}"));
    }
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn check_advises() {
    let script = "CREATE TABLE ticks (id STRING) WITH ('connector' = 'datagen');\n\
                  CREATE TABLE info (id STRING, name STRING) WITH ('connector' = 'http',\n\
                  'url' = 'http://127.0.0.1:1/{id}', 'lookup.partial-cache.max-rows' = '10');\n\
                  SET 'table.exec.mini-batch.size' = '5';\n\
                  SELECT * FROM ticks AS t LEFT JOIN info AS i ON t.id = i.id;\n";
    let (status, out, err) = with_input(&["check", "-", "-o", "json"], script);
    assert_eq!((status, err.as_str()), (0, ""));
    let found: Vec<(u64, String)> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|v| (v["line"].as_u64().expect("a line"), v["message"].as_str().expect("text").to_string()))
        .collect();
    let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 4, 5], "{out}");
    assert!(found[2].1.contains("once for every row"), "{out}");
}

#[test]
fn options_are_a_page() {
    let (status, out, err) = run(&["options"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("# Options\n") && out.contains("## Connector `http`"), "{out}");
    let (status, out, _) = run(&["options", "json"]);
    assert!(status == 0 && out.contains("| `json.ignore-parse-errors` |"), "{out}");
    let (status, _, err) = run(&["options", "htp"]);
    assert!(status == 2 && err.contains("did you mean 'http'?"), "{err}");
}

#[test]
fn every_command_has_examples() {
    for command in ["run", "check", "demo", "sensor-api", "options", "functions", "completions"] {
        let (status, out, _) = run(&[command, "--help"]);
        assert!(status == 0 && out.contains("Examples:\n  affluent "), "{command}: {out}");
        let follows_jobs = command == "run";
        assert_eq!(out.contains("--report-every"), follows_jobs, "{command} shows its own options: {out}");
    }
}
