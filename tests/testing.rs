//! `affluent test` as its users have it: the tests that are shipped, what it says when they fail, what it writes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[path = "testing/replay.rs"]
mod replay;
#[path = "testing/tune.rs"]
mod tune;
#[path = "testing/watched.rs"]
mod watched;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn affluent(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(arguments).current_dir(folder).env("TZ", "Europe/Berlin").stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = affluent(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("no signal"), text(&output.stdout) + &text(&output.stderr))
}

/// A folder with a pipeline and its tests.
fn folder(pipeline: &str, tests: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.sql"), pipeline).unwrap();
    fs::write(folder.path().join("p.test.sql"), tests).unwrap();
    folder
}

const PIPELINE: &str = "
CREATE TABLE readings (id STRING, v DOUBLE, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = 'nowhere', 'format' = 'json', 'source.monitor-interval' = '1 s');
CREATE TABLE sensors (id STRING, brand STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'http', 'url' = 'http://sensors.test/s/{id}', 'http.source.lookup.header.Authorization' = 'Bearer secret',
      'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '1 min');
CREATE TABLE enriched (id STRING, v DOUBLE, brand STRING) WITH ('connector' = 'blackhole');
INSERT INTO enriched SELECT r.id, r.v, s.brand FROM readings AS r LEFT JOIN sensors AS s ON r.id = s.id;
";

/// What a test file gives with the pipeline above.
fn tested(tests: &str) -> (i32, String) {
    run(folder(PIPELINE, tests).path(), &["test"])
}

#[test]
fn the_tests_that_are_shipped_pass() {
    let python =
        Command::new("python3").arg("-c").arg("import sys; sys.exit(sys.version_info < (3, 9))").status();
    let python = python.is_ok_and(|status| status.success());
    let mut arguments = vec!["test", "sql", "udfs", "--coverage"];
    let kafka = cfg!(feature = "kafka");
    if !(python && kafka) {
        println!("left out: tests of pipelines that need Python or Kafka in the build");
        arguments.extend(["-k", "sensors.test.sql"]);
        if !kafka {
            return;
        }
    }
    let (status, text) = run(Path::new(ROOT), &arguments);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(" passed in "), "{text}");
}

/// The page that teaches it: its files are what it says they are.
#[test]
fn the_page_is_true() {
    let page = fs::read_to_string(Path::new(ROOT).join("sql/testing.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    if !cfg!(feature = "kafka") {
        println!("left out: the page's pipeline needs Kafka in the build");
        return;
    }
    let mut lines = page.lines();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        match kind.split_once(' ') {
            Some(("sql", name)) => {
                let path = folder.path().join(name);
                let mut text = fs::read_to_string(&path).unwrap_or_default();
                text.push_str(&block.join("\n"));
                text.push_str("\n\n");
                fs::write(path, text).unwrap();
            }
            Some(("console", _)) => {
                shown += 1;
                let (command, expected) = block.split_first().unwrap();
                let arguments: Vec<&str> =
                    command.strip_prefix("$ affluent ").expect(command).split(' ').collect();
                let (_, text) = run(folder.path(), &arguments);
                for line in expected {
                    assert!(
                        text.contains(line),
                        "after `{command}` the page shows\n{line}\nwhat comes is\n{text}"
                    );
                }
            }
            _ => {}
        }
    }
    assert_eq!(shown, 2, "the page shows what comes out");
}

#[test]
fn an_hour_of_mocked_time() {
    let mut tests = String::new();
    for n in 0..20 {
        tests.push_str(&format!(
            "TEST 'hour {n}';
             MOCK HTTP GET 'http://sensors.test/s/{{id}}' AFTER '{n} ms' RESPONDS 200 '{{\"id\": \"{{id}}\", \"brand\": \"b\"}}';
             INSERT INTO readings (id, v, ts) VALUES ('a', 1, TO_TIMESTAMP_LTZ(1, 3));
             ADVANCE '3 min';
             INSERT INTO readings (id, v, ts) VALUES ('a', 2, TO_TIMESTAMP_LTZ(2, 3));
             ADVANCE '57 min';
             EXPECT CALLS HTTP 2;
             EXPECT enriched VALUES ('a', 1, 'b'), ('a', 2, 'b');\n"
        ));
    }
    let (status, text) = tested(&tests);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("20 passed") && text.contains("20 h 0 min of the tests' time"), "{text}");
}

#[test]
fn functions_answer_as_scripted() {
    let pipeline = "CREATE FUNCTION score(x STRING) RETURNS BIGINT LANGUAGE JAVASCRIPT AS $$
          export async function score(x) { return (await (await fetch('http://s.test/' + x)).json()).v }
        $$ WITH ('allow-hosts' = 's.test');
        CREATE TABLE events (id STRING) WITH ('connector' = 'filesystem', 'path' = 'nowhere', 'format' = 'json',
          'source.monitor-interval' = '1 s');
        CREATE TABLE scored (id STRING, s BIGINT) WITH ('connector' = 'blackhole');
        INSERT INTO scored SELECT id, score(id) FROM events;";
    let tests = "TEST 'scripted outcomes';
        MOCK FUNCTION score WHEN x = 'a' TIMES 1 FAILS 503 'busy' RETRY AFTER '2 s';
        MOCK FUNCTION score WHEN x = 'a' AFTER '50 ms' RETURNS VALUES (CAST(7 AS BIGINT));
        MOCK FUNCTION score WHEN x = 'b' RETURNS VALUES (CAST(9 AS BIGINT));
        INSERT INTO events VALUES ('a'), ('b');
        ADVANCE '1 s';
        EXPECT CALLS score 2;
        ADVANCE '9 s';
        EXPECT scored VALUES ('a', 7), ('b', 9);
        EXPECT CALLS score 3;
        TEST 'an error is an error';
        MOCK FUNCTION score FAILS 'timeout';
        INSERT INTO events VALUES ('a');
        EXPECT ERROR 'no answer in time';
        TEST 'no answer';
        MOCK FUNCTION score HANGS;
        INSERT INTO events VALUES ('a');
        ADVANCE '5 min';
        EXPECT ERROR 'no answer within';";
    let (status, text) = run(folder(pipeline, tests).path(), &["test"]);
    assert!(status == 0 && text.contains("3 passed"), "{text}");
    // A function that cannot be made is what is wrong, and not that nobody knows it.
    let broken = pipeline.replace("LANGUAGE JAVASCRIPT AS", "LANGUAGE JAVASCRIPT ASS");
    let (status, text) = run(folder(&broken, tests).path(), &["test"]);
    assert!(status != 0 && !text.contains("has no function"), "{text}");
    let broken = pipeline.replace("export async function score(x)", "export async function other(x)");
    let (status, text) = run(folder(&broken, tests).path(), &["test"]);
    assert!(status == 1 && text.contains("the pipeline: ") && !text.contains("has no function"), "{text}");
}

#[test]
fn differences_are_shown() {
    let (status, text) = tested(
        "TEST 'two of three';
         MOCK sensors RETURNS VALUES ('a', 'Thermix'), ('b', NULL);
         INSERT INTO readings (id, v, ts) VALUES ('a', 1, TO_TIMESTAMP_LTZ(1, 3)), ('b', 2, TO_TIMESTAMP_LTZ(2, 3));
         EXPECT enriched VALUES ('a', 1, 'Thermix'), ('b', 2, 'Boreal');",
    );
    assert_eq!(status, 1, "{text}");
    for line in [
        "FAILED two of three",
        "p.test.sql:4: rows of enriched are not as expected",
        r#"- {"id":"b","v":2.0,"brand":"Boreal"}"#,
        r#"+ {"id":"b","v":2.0,"brand":null}"#,
        r#"brand: "Boreal" expected, null found"#,
        "and 1 row as expected",
        "0 passed, 1 failed",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[test]
fn mistakes_in_test_files_are_reported() {
    let given = "INSERT INTO readings (id, v, ts) VALUES ('a', 1, TO_TIMESTAMP_LTZ(1, 3));";
    let mock = "MOCK sensors RETURNS VALUES ('a', 'Thermix');";
    for (tests, status, expected) in [
        // A fixture that does not fit its table.
        (format!("TEST 't'; {mock} INSERT INTO readings (id, w) VALUES ('a', 1);"), 1, "no column 'w'"),
        (format!("TEST 't'; {mock} INSERT INTO reading VALUES ('a', 1);"), 1, "did you mean 'readings'?"),
        (format!("TEST 't'; {mock} INSERT INTO readings (id, v) VALUES ('a', 'x');"), 1, "'x'"),
        // Mocks that are not called, or too often, or not there.
        (
            format!("TEST 't'; {given} {mock} MOCK HTTP GET 'http://other' RESPONDS 200;"),
            1,
            "was never called",
        ),
        (
            format!("TEST 't'; {given} MOCK sensors TIMES 2 RETURNS VALUES ('a', 'b');"),
            1,
            "was to answer 2 calls, and 1 call came",
        ),
        (
            format!(
                "TEST 't'; {given} INSERT INTO readings (id, v, ts) VALUES ('b', 1, TO_TIMESTAMP_LTZ(2, 3)); MOCK sensors TIMES 1 MISSES;"
            ),
            1,
            "sensors was called once more, for id = 'b'",
        ),
        (format!("TEST 't'; {given}"), 1, "GET http://sensors.test/s/a was requested, and no mock answers"),
        (
            format!("TEST 't'; {given} MOCK sensors WHEN id = 'z' MISSES;"),
            1,
            "sensors was asked for id = 'a', and no mock answers",
        ),
        (
            format!("TEST 't'; {given} MOCK sensors WHEN brand = 'z' MISSES;"),
            1,
            "WHEN is decided by the columns that the query looks up by",
        ),
        (format!("TEST 't'; {given} MOCK sensor MISSES;"), 1, "did you mean 'sensors'?"),
        // A source without rows, a table that nobody reads.
        (
            format!("TEST 't'; {mock} EXPECT NO ROWS IN enriched;"),
            1,
            "table 'readings' (filesystem) is read, and the test has no rows of it",
        ),
        (
            format!("TEST 't'; {given} {mock} INSERT INTO enriched VALUES ('a', 1, 'b');"),
            1,
            "nothing reads them",
        ),
        // Expectations that mean nothing.
        (format!("TEST 't'; {given} {mock} EXPECT enrich VALUES (1);"), 1, "did you mean 'enriched'?"),
        (format!("TEST 't'; {given} {mock} EXPECT enriched (brnd) VALUES (1);"), 1, "did you mean 'brand'?"),
        (format!("TEST 't'; {given} {mock} EXPECT RESULT VALUES (1);"), 1, "the pipeline has no query 1"),
        (
            format!("TEST 't'; {given} {mock} EXPECT ERROR 'x';"),
            1,
            "an error was expected, and there is none",
        ),
        // Words of test files.
        ("TEST 't' WITH ('clok' = 'x');".into(), 1, "did you mean 'clock'?"),
        ("TEST 't'; MOCK sensors FAILS 'nonsense';".into(), 2, "'nonsense' is no class of failures here"),
        ("TEST 't'; ADVANCE '1 fortnight';".into(), 2, "fortnight"),
        ("TEST 't'; SELECT 1;".into(), 2, "a query says nothing about the pipeline"),
        ("TEST 't'; TEST 't';".into(), 2, "there are two tests 't'"),
        ("ADVANCE '1 s';".into(), 2, "nothing happens before the first test"),
        ("SET 'parallelism.default' = '2';".into(), 2, "the files have no tests"),
        (
            format!("TEST 't'; {given} EXPECT NO ROWS IN enriched; {mock}"),
            1,
            "a mock belongs before the first step of its test",
        ),
    ] {
        let (found, text) = tested(&tests);
        assert!(
            found == status && text.contains(expected),
            "{tests}\ngave {found}\n{text}\nwithout {expected}"
        );
    }
    let empty = tempfile::tempdir().unwrap();
    let (status, text) = run(empty.path(), &["test"]);
    assert!(status == 2 && text.contains("there are no tests below"), "{text}");
}

#[test]
fn failures_of_every_kind() {
    let (status, text) = tested(
        "INSERT INTO readings (id, v, ts) VALUES ('a', 1, TO_TIMESTAMP_LTZ(1, 3));
         TEST 'timeouts'; MOCK sensors TIMES 4 FAILS 'timeout'; EXPECT ERROR 'no answer in time';
         TEST 'connections'; MOCK HTTP GET '*' TIMES 4 FAILS 'connect'; EXPECT ERROR 'no connection';
         TEST 'bodies'; MOCK HTTP GET '*' TIMES 1 RESPONDS 200 'no JSON'; EXPECT ERROR 'no JSON';
         TEST 'a status that does not pass'; MOCK sensors TIMES 1 FAILS 401 'go away'; EXPECT ERROR 'go away';
         TEST 'silence'; MOCK HTTP GET '*' TIMES 4 HANGS; ADVANCE '2 min'; EXPECT NO ROWS IN enriched; EXPECT ERROR 'no answer within 30 s';
         TEST 'headers'; MOCK HTTP GET '*' WHEN headers LIKE '%authorization: Bearer secret%' RESPONDS 404; EXPECT enriched (brand) VALUES (NULL);
         TEST 'twice, then well';
         MOCK sensors TIMES 1 AFTER '1 s' FAILS 503 RETRY AFTER '10 s';
         MOCK sensors TIMES 1 FAILS 'connect';
         MOCK sensors AFTER '1 s' RETURNS (brand) VALUES ('b');
         ADVANCE '10 s'; EXPECT NO ROWS IN enriched; EXPECT CALLS sensors 1;
         ADVANCE '1 min'; EXPECT enriched (brand) VALUES ('b'); EXPECT CALLS sensors 3;",
    );
    assert_eq!(status, 0, "{text}");
}

#[test]
fn expectations_are_brought_up_to_date() {
    let folder = folder(
        PIPELINE,
        "TEST 't';
MOCK sensors RETURNS VALUES ('a', 'it''s'), ('b', NULL);
INSERT INTO readings (id, v, ts) VALUES ('a', 1.5, TO_TIMESTAMP_LTZ(1, 3)), ('b', 2, TO_TIMESTAMP_LTZ(2, 3));
EXPECT enriched VALUES ('x', 0, 'y'); -- kept
EXPECT CALLS sensors 7;
",
    );
    let (status, text) = run(folder.path(), &["test", "--update"]);
    assert!(status == 0 && text.contains("2 expectations replaced in"), "{text}");
    let file = fs::read_to_string(folder.path().join("p.test.sql")).unwrap();
    assert!(
        file.contains("EXPECT enriched VALUES\n  ('a', 1.5, 'it''s'),\n  ('b', 2.0, NULL); -- kept\n"),
        "{file}"
    );
    assert!(file.contains("EXPECT CALLS sensors 2;"), "{file}");
    let (status, text) = run(folder.path(), &["test", "p.sql"]);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn results_for_machines() {
    let folder = folder(
        PIPELINE,
        "MOCK sensors MISSES; INSERT INTO readings (id, v, ts) VALUES ('<a>', 1, TO_TIMESTAMP_LTZ(1, 3));
         TEST 'good'; EXPECT enriched (id) VALUES ('<a>');
         TEST 'bad & \"quoted\"'; EXPECT enriched (id) VALUES ('b');",
    );
    let output = affluent(folder.path(), &["test", "-o", "json", "--junit", "r.xml", "--coverage"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let status = |line: &serde_json::Value| line["status"].as_str().map(str::to_string);
    assert_eq!(
        (status(&lines[0]), status(&lines[1])),
        (Some("passed".into()), Some("failed".into())),
        "{text}"
    );
    assert!(lines[1]["problems"][0]["message"].as_str().unwrap().contains("rows of enriched"), "{text}");
    assert_eq!((lines[2]["statements"].as_u64(), lines[2]["covered"].as_u64()), (Some(1), Some(1)), "{text}");
    assert_eq!((lines[3]["passed"].as_u64(), lines[3]["failed"].as_u64()), (Some(1), Some(1)), "{text}");
    let junit = fs::read_to_string(folder.path().join("r.xml")).unwrap();
    assert!(
        junit.contains("tests=\"2\" failures=\"1\"")
            && junit.contains("name=\"bad &amp; &quot;quoted&quot;\""),
        "{junit}"
    );
    assert!(junit.contains("&lt;a&gt;"), "{junit}");
}

#[test]
fn many_tests_are_counted() {
    let mut tests = String::from(
        "MOCK sensors MISSES; INSERT INTO readings (id, v, ts) VALUES ('a', 1, TO_TIMESTAMP_LTZ(1, 3));\n",
    );
    for n in 0..100 {
        tests.push_str(&format!(
            "TEST 'n{n}'; EXPECT enriched (v) VALUES ({});\n",
            if n == 70 { 2 } else { 1 }
        ));
    }
    let (status, text) = tested(&tests);
    assert!(status == 1 && text.contains("99 passed, 1 failed"), "{text}");
    // Those that passed are not named.
    assert!(text.contains("FAILED n70") && !text.contains("n69") && text.lines().count() < 12, "{text}");
}

/// The answer to a GET.
fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn figures_of_a_job_that_runs() {
    use std::io::{BufRead, BufReader};
    let folder = folder(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');
         CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO gone SELECT n FROM numbers;",
        "",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(["run", "p.sql", "--metrics=0", "--log-format", "json"]).current_dir(folder.path());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("it says where").unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON object a line");
        if let Some(at) = line["msg"].as_str().and_then(|text| text.strip_prefix("metrics at http://")) {
            break at.trim_end_matches("/metrics").to_string();
        }
    };
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    // The job starts behind the endpoint.
    let page = loop {
        let page = get(&address, "/metrics");
        if page.contains("affluent_job_state=\"running\"} 1") {
            break page;
        }
    };
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("# TYPE affluent_job_latency_seconds histogram"),
        "{page}"
    );
    assert!(
        page.contains(
            "affluent_job_rows_read_total{affluent_job_id=\"1\",affluent_job_name=\"insert-into_gone\"}"
        ),
        "{page}"
    );
    assert!(
        get(&address, "/health").starts_with("HTTP/1.1 200")
            && get(&address, "/ready").starts_with("HTTP/1.1 200")
    );
    assert!(get(&address, "/nothing").starts_with("HTTP/1.1 404"));
    let (status, text) = run(folder.path(), &["run", "p.sql", &format!("--metrics={address}")]);
    assert!(status == 2 && text.contains("metrics cannot listen at"), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
}
