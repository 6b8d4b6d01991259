//! The tutorial is right: its SQL runs from top to bottom, and the rows it shows come.
#![allow(missing_docs)]

use std::process::{Command, Stdio};
use std::time::Duration;

use affluent::demo::{SensorApi, SensorApiOptions};

/// Fenced blocks: their language and text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                blocks.push((language.to_string(), String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let (_, block) = blocks.last_mut().expect("an open block");
                block.push_str(line);
                block.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a block is not closed");
    blocks
}

#[test]
fn the_tutorial_runs() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let options =
        SensorApiOptions { port: 0, latency: Duration::from_millis(1), ..SensorApiOptions::default() };
    let api = SensorApi::start(options, runtime.handle()).expect("the service");
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string("sql/tutorial.md").expect("the tutorial");
    let blocks = blocks(&text);
    let of = |language: &'static str| blocks.iter().filter(move |(l, _)| l == language).map(|(_, text)| text);
    let script: String = of("sql").map(|block| format!("{block}\n")).collect();
    assert!(script.contains("TUMBLE") && script.contains("http://127.0.0.1:8080/"), "{script}");
    let script = script.replace("127.0.0.1:8080", &api.address().to_string());
    let file = folder.path().join("pipeline.sql");
    std::fs::write(&file, script).expect("a file");
    let output = format!("OUTPUT={}", folder.path().join("faults").display());
    let run = |command: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_affluent"));
        program.arg(command).arg(&file).args(["--var", &output, "-o", "json"]).env("TZ", "UTC");
        let output = program.stdin(Stdio::null()).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, out, err) = run("run");
    assert_eq!(status, Some(0), "{err}");
    for line in of("json").flat_map(|block| block.lines()) {
        assert!(out.lines().any(|row| row == line), "{line}\nis not among\n{out}");
    }
    // What was typed is a pipeline without errors.
    let (status, out, _) = run("check");
    assert_eq!(status, Some(0), "{out}");
}
