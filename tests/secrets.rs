//! Values from the environment and from `--var` are in no output and no file of any command.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

/// Planted where a script may use them: a variable and its value.
const SECRETS: [(&str, &str); 7] = [
    ("PATH_PART", "pa-7f3c-th"),
    ("QUERY_PART", "qu&er y/81"),
    ("BODY_PART", "bo\"dy'42\\n"),
    ("HEADER_PART", "he-ad-er-99"),
    ("LITERAL", "li'teral-1234"),
    ("JOB_PART", "jobname-555"),
    ("GIVEN", "gi-ven-with-var"),
];

const SCRIPT: &str = r#"
SET 'execution.checkpointing.interval' = '50 ms';
SET 'execution.checkpointing.dir' = 'checkpoints';
SET 'pipeline.name' = 'j-${JOB_PART}';
CREATE TABLE events (id STRING, n INT) WITH ('connector' = 'filesystem', 'path' = 'in.jsonl', 'format' = 'json');
CREATE TABLE lookup (id STRING, name STRING) WITH (
    'connector' = 'http', 'url' = 'http://127.0.0.1:1/${PATH_PART}/${GIVEN}/{id}?q=${QUERY_PART}',
    'lookup-method' = 'POST', 'http.request.body-template' = '{"id": {{id}}, "s": "${BODY_PART}"}',
    'http.source.lookup.header.X-Any' = 'Bearer ${HEADER_PART}', 'http.source.lookup.header.X-Given' = '${GIVEN}',
    'lookup.max-retries' = '0', 'lookup.on-error' = 'null');
CREATE TABLE copy_ LIKE lookup;
CREATE TABLE enriched (id STRING, name STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
CREATE VIEW v AS SELECT e.id, l.name, e.n FROM events AS e LEFT JOIN lookup AS l ON e.id = l.id WHERE e.id <> '${LITERAL}';
SHOW CREATE TABLE lookup;
SHOW CREATE TABLE copy_;
SHOW CREATE VIEW v;
DESCRIBE lookup;
SET;
EXPLAIN SELECT * FROM v;
EXPLAIN PLAN_ADVICE, CHANGELOG_MODE SELECT id, name, COUNT(*) FROM v WHERE id <> '${GIVEN}' GROUP BY id, name;
EXPLAIN INSERT INTO enriched SELECT id, name, n FROM v WHERE id <> '${GIVEN}';
INSERT INTO enriched SELECT id, name, n FROM v WHERE id <> '${GIVEN}';
SHOW JOBS;
DESCRIBE JOB '1';
SELECT id FROM v;
"#;

fn holds(text: &[u8], value: &str) -> bool {
    let encoded: String = value
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b'-' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let quoted = value.replace('\'', "''");
    let json = serde_json::to_string(value).unwrap();
    [value, &encoded, &quoted, json.trim_matches('"')]
        .iter()
        .any(|form| text.windows(form.len()).any(|window| window == form.as_bytes()))
}

fn no_file_holds(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        SECRETS.iter().for_each(|(key, value)| assert!(!holds(name.as_bytes(), value), "{key} is in {name}"));
        if path.is_dir() {
            no_file_holds(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            SECRETS.iter().for_each(|(key, value)| assert!(!holds(&bytes, value), "{key} is in {name}"));
        }
    }
}

/// Runs a command in the folder; its output, without secrets.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(arguments).args(["--var", &format!("GIVEN={}", SECRETS[6].1)]).current_dir(folder);
    command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state")).env("AFFLUENT_LOG", "debug");
    command.envs(SECRETS[..6].iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    for (key, value) in SECRETS {
        let shown = String::from_utf8_lossy(&text);
        assert!(!holds(&text, value), "{arguments:?}: {key} is in\n{shown}");
    }
    no_file_holds(folder);
    String::from_utf8(text).unwrap()
}

#[test]
fn no_command_shows_the_value_of_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n").unwrap();
    std::fs::write(folder.join("p.sql"), SCRIPT).unwrap();
    let text = run(folder, &["run", "p.sql", "-v"]);
    for shown in [
        "'http://127.0.0.1:1/${PATH_PART}/${GIVEN}/{id}?q=${QUERY_PART}'",
        "\"s\": \"${BODY_PART}\"",
        "'Bearer ${HEADER_PART}'",
        "<> '${LITERAL}'",
        "j-${JOB_PART}",
        "2 rows in",
    ] {
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
    run(folder, &["check", "p.sql"]);
    run(folder, &["check", "p.sql", "-o", "json"]);
    // A checkpoint that stays, and a lookup whose failure names what was asked.
    let failing = SCRIPT
        .replace("'lookup.on-error' = 'null'", "'lookup.on-error' = 'fail'")
        .replace("SET 'pipeline", "SET 'restart-strategy.type' = 'none';\nSET 'pipeline");
    std::fs::write(folder.join("failing.sql"), failing).unwrap();
    let text = run(folder, &["run", "failing.sql"]);
    assert!(text.contains("${PATH_PART}"), "{text}");
    // Mistakes in a value are told without it.
    for wrong in [
        "CREATE TABLE t (a INT) WITH ('connector' = '${LITERAL}')",
        "CREATE TABLE t (a INT) WITH ('connector' = 'http', 'url' = '${LITERAL}')",
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', '${LITERAL}' = '1')",
        "SELECT * FROM '${LITERAL}.json'",
        "SELECT `${LITERAL}` FROM (VALUES (1)) AS t(a)",
        "SET '${LITERAL}' = '1'",
        "SET 'parallelism.default' = '${LITERAL}'",
        "SELECT CAST('${LITERAL}' AS INT)",
        "SELECT ${LITERAL}",
    ] {
        let text = run(folder, &["-c", wrong]);
        assert!(text.contains("error"), "{wrong}: {text}");
    }
}

#[test]
fn check_needs_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let script = "CREATE TABLE t (id STRING, name STRING) WITH ('connector' = 'http',\n\
                  'url' = 'http://127.0.0.1:1/{id}?appid=${NOT_SET_ONE}',\n\
                  'http.source.lookup.header.Authorization' = 'Bearer ${NOT_SET_TWO}');\n\
                  SELECT * FROM (VALUES ('a')) AS v(id) LEFT JOIN t ON v.id = t.id;\n";
    std::fs::write(folder.path().join("p.sql"), script).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.args(["check", "p.sql", "-o", "json"]).current_dir(folder.path()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}");
    let notes: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at: Vec<_> =
        notes.iter().map(|n| (n["severity"].as_str().unwrap(), n["line"].as_u64().unwrap())).collect();
    assert_eq!(at, [("note", 2), ("note", 3)], "{out}");
}
