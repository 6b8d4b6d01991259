//! A job is stopped with a savepoint, drained or not, and another one goes on from there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

const ROWS: usize = 6000;

fn pipeline(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "SET 'execution.checkpointing.interval' = '200 ms';
         SET 'execution.checkpointing.dir' = '{folder}/checkpoints';
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '4000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{}');
         CREATE TABLE kept (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{folder}/kept', 'format' = 'json');
         INSERT INTO kept SELECT n FROM numbers;",
        ROWS - 1
    )
}

fn run(folder: &Path, name: &str, sql: &str, arguments: &[&str]) -> String {
    let script = folder.join(name);
    fs::write(&script, sql).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.arg("run").arg(&script).args(arguments).args(["-o", "csv"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers in the files that can be seen.
fn kept(folder: &Path) -> Vec<usize> {
    let mut all = Vec::new();
    for file in fs::read_dir(folder.join("kept")).into_iter().flatten().map(Result::unwrap) {
        if !file.file_name().to_string_lossy().starts_with('.') {
            let text = fs::read_to_string(file.path()).unwrap();
            let number = |line: &str| {
                line.trim_start_matches("{\"n\":").trim_end_matches('}').parse::<usize>().unwrap()
            };
            all.extend(text.lines().map(number));
        }
    }
    all.sort_unstable();
    all
}

fn goes_on(with: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A query over the same stream takes its time before the job is stopped.
    let stop = format!("SELECT n FROM numbers LIMIT 1500; STOP JOB '1' WITH SAVEPOINT{with};");
    let told = run(folder, "first.sql", &format!("{}{stop}", pipeline(folder)), &[]);
    let savepoint = told.lines().last().unwrap();
    assert!(Path::new(savepoint).join("manifests").is_dir(), "{told}");
    let first = kept(folder).len();
    assert!(first < ROWS && (with.is_empty() || first > 0), "{first}");
    run(folder, "second.sql", &pipeline(folder), &["--from-savepoint", savepoint]);
    assert_eq!(kept(folder), (0..ROWS).collect::<Vec<_>>());
}

#[test]
fn a_stopped_job_goes_on_from_its_savepoint() {
    goes_on("");
}

#[test]
fn behind_a_drained_one_the_sources_go_on() {
    goes_on(" WITH DRAIN");
}

/// `table.exec.state.ttl` may be set and taken away between two runs.
#[test]
fn state_begins_and_ceases_to_expire() {
    for (first, second) in
        [("", "SET 'table.exec.state.ttl' = '1 d';"), ("SET 'table.exec.state.ttl' = '1 d';", "")]
    {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let pipeline = pipeline(folder).replace(
            "INSERT INTO kept SELECT n FROM numbers;",
            "INSERT INTO kept SELECT a.n FROM numbers AS a JOIN numbers AS b ON a.n = b.n;",
        );
        let stop = "SELECT n FROM numbers LIMIT 1500; STOP JOB '1' WITH SAVEPOINT;";
        let told = run(folder, "first.sql", &format!("{first}{pipeline}{stop}"), &[]);
        let savepoint = told.lines().last().unwrap();
        run(folder, "second.sql", &format!("{second}{pipeline}"), &["--from-savepoint", savepoint]);
        assert_eq!(kept(folder), (0..ROWS).collect::<Vec<_>>());
    }
}

#[test]
fn a_savepoint_that_is_not_there_is_an_error_whatever_else_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("plain.sql");
    let sql = "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
        CREATE TABLE gone (n INT) WITH ('connector' = 'blackhole');
        INSERT INTO gone SELECT n FROM numbers;";
    fs::write(&script, sql).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.env("XDG_STATE_HOME", folder.path()).arg("run").arg(&script);
    let output = command.args(["--from-savepoint", "/there/is/none"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("'/there/is/none' cannot be used"), "{said}");
}

/// Of several jobs none starts where the savepoint is of none of them: the refusal names it, its job and this one.
#[test]
fn a_savepoint_of_another_job_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let stop = "SELECT n FROM numbers LIMIT 1500; STOP JOB '1' WITH SAVEPOINT;";
    let sums = "INSERT INTO kept SELECT n FROM numbers;";
    let first = pipeline(folder).replace(sums, "INSERT INTO kept SELECT DISTINCT n FROM numbers;");
    let told = run(folder, "first.sql", &format!("SET 'pipeline.name' = 'distinct';{first}{stop}"), &[]);
    let savepoint = told.lines().last().unwrap();
    let script = folder.join("second.sql");
    fs::write(&script, format!("SET 'pipeline.name' = 'other';{}", pipeline(folder))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.arg("run").arg(&script).args(["--from-savepoint", savepoint]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && kept(folder).is_empty(), "{said}");
    assert!(said.contains("the savepoint is of job 'distinct', and this is job 'other'"), "{said}");
    assert!(said.contains(&format!("in {savepoint}: ")), "{said}");
    assert!(said.contains("SET 'pipeline.name' = 'distinct'"), "{said}");
}
