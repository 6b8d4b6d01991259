//! User functions in jobs of their own process: killed with calls in flight, and come back with other code.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const ROWS: usize = 3000;
const KEYS: usize = 40;

/// Counts change with every row, and each change is a call that takes its time and gives something else each time.
fn counts(folder: &Path, code: &str, more: &str) -> String {
    let folder = folder.display();
    format!(
        "SET 'execution.checkpointing.interval' = '100 ms';
         SET 'execution.checkpointing.dir' = '{folder}/checkpoints';
         SET 'parallelism.default' = '2';
         {more}
         CREATE FUNCTION called(k BIGINT, c BIGINT) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
           {code}
         $$ WITH ('capacity' = '1000');
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{}');
         CREATE TABLE counted (k BIGINT, c BIGINT, answer STRING)
           WITH ('connector' = 'filesystem', 'path' = '{folder}/counted', 'format' = 'json', 'json.changelog-field' = 'op');
         INSERT INTO counted SELECT k, c, called(k, c) AS answer
           FROM (SELECT MOD(n, {KEYS}) AS k, COUNT(*) AS c FROM numbers GROUP BY MOD(n, {KEYS})) AS t;",
        ROWS - 1
    )
}

const CODE: &str = "
    await new Promise((ok) => setTimeout(ok, 20 + Math.random() * 80));
    return `${k}:${c}:${Math.random()}`;";

fn command(folder: &Path, sql: &str) -> Command {
    let script = folder.join("job.sql");
    fs::write(&script, sql).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.arg("run").arg(script).stdout(Stdio::null());
    command
}

fn run(folder: &Path, sql: &str) -> Output {
    command(folder, sql).output().unwrap()
}

/// All changes that can be seen, file by file.
fn changes(folder: &Path) -> Vec<(String, serde_json::Value)> {
    let mut all = Vec::new();
    let mut files: Vec<_> =
        fs::read_dir(folder.join("counted")).into_iter().flatten().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| !f.file_name().unwrap().to_string_lossy().starts_with('.')) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            let op = row.as_object_mut().unwrap().remove("op").unwrap();
            all.push((op.as_str().unwrap().to_string(), row));
        }
    }
    all
}

/// What is taken back was given out before, to the letter, although a call would give something else by now; and every
/// key ends at its count.
fn check(folder: &Path) {
    let mut balance: HashMap<String, i64> = HashMap::new();
    for (op, row) in changes(folder) {
        *balance.entry(row.to_string()).or_default() += if op.starts_with('+') { 1 } else { -1 };
    }
    assert!(balance.values().all(|n| (0..=1).contains(n)), "{balance:?}");
    let mut left: Vec<(u64, u64)> = Vec::new();
    for row in balance.iter().filter(|(_, n)| **n == 1).map(|(row, _)| row) {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let (k, c) = (row["k"].as_u64().unwrap(), row["c"].as_u64().unwrap());
        assert!(row["answer"].as_str().unwrap().starts_with(&format!("{k}:{c}:")), "{row}");
        left.push((k, c));
    }
    left.sort_unstable();
    let each = (ROWS / KEYS) as u64;
    assert_eq!(left, (0..KEYS as u64).map(|k| (k, each)).collect::<Vec<_>>());
}

#[test]
fn killed_with_calls_in_flight_nothing_is_lost_or_taken_back_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sql = counts(folder, CODE, "");
    for kill in 1..=3u64 {
        let mut child = command(folder, &sql).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(350 * kill);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = run(folder, &sql);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(folder);
}

#[test]
fn other_code_behind_a_restart_is_told_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut child = command(folder, &counts(folder, CODE, "")).stderr(Stdio::null()).spawn().unwrap();
    // Until there is a checkpoint, and another begun: a manifest that is being written is none yet.
    let until = Instant::now() + Duration::from_secs(20);
    let manifests = || {
        let jobs = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().map(Result::unwrap);
        jobs.filter_map(|job| fs::read_dir(job.path().join("manifests")).ok()).flatten().count()
    };
    while manifests() < 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let other = format!("{CODE} // edited");
    let fail = "SET 'execution.state-recovery.on-function-change' = 'fail';";
    let output = run(folder, &counts(folder, &other, fail));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("function 'called' has other code than when the checkpoint was made"), "{said}");
    let output = run(folder, &counts(folder, &other, ""));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("new rows are computed by the new code"), "{said}");
    check(folder);
}

#[test]
fn a_file_that_is_edited_under_a_running_job_is_taken_if_it_loads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let code = |what: &str| format!("export async function said(n) {{ await null; return '{what}:' + n; }}");
    let write = |name: &str, text: &str| {
        // As editors do: whole, in one step.
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    };
    write("said.js", &code("one"));
    let shown = folder.display();
    let sql = format!(
        "SET 'parallelism.default' = '1';
         CREATE FUNCTION said(n BIGINT) RETURNS STRING LANGUAGE JAVASCRIPT USING FILE '{shown}/said.js'
           WITH ('reload' = 'on-change');
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '200',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '1000000');
         CREATE TABLE said_rows (s STRING) WITH ('connector' = 'stdout', 'format' = 'raw');
         INSERT INTO said_rows SELECT said(n) FROM numbers;"
    );
    let script = folder.join("job.sql");
    fs::write(&script, sql).unwrap();
    let (out, told) = (folder.join("stdout"), folder.join("stderr"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_affluent"))
        .arg("run")
        .arg(script)
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&told).unwrap())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(180);
    let mut wait = |file: &Path, text: &str| {
        while !fs::read_to_string(file).unwrap_or_default().contains(text) {
            let ended = child.try_wait().unwrap();
            assert!(Instant::now() < until && ended.is_none(), "{}", fs::read_to_string(&told).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(&out, "one:5\n");
    write("said.js", "export async function said(n) { return (((;");
    wait(&told, "its file has changed and is not taken");
    write("said.js", "export async function other(n) { return n; }");
    wait(&told, "exports no function 'said'");
    write("said.js", &code("two"));
    wait(&out, "two:");
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = fs::read_to_string(&out).unwrap();
    let whole: Vec<&str> = lines.rsplit_once('\n').unwrap().0.lines().collect();
    for (i, line) in whole.iter().enumerate() {
        assert_eq!(line.split_once(':').unwrap().1, i.to_string(), "every row once, in order");
    }
    // Calls that are under way side by side may begin with either code.
    assert!(whole.iter().all(|line| line.starts_with("one:") || line.starts_with("two:")));
}
