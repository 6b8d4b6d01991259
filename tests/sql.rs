//! Runs `tests/sql/**/*.sql`: pipelines with their input and the changes they must give.
//!
//! A case is a SQL script with directives in comments; the lines behind a directive start with `--|`.
//!
//! | directive | meaning |
//! |---|---|
//! | `-- @file NAME` | the lines are a file; `${DIR}` is its folder |
//! | `-- @route METHOD /path STATUS [delay=MS] [cut] [Header: value]` | the lines are an answer of the server at `${API}`; several for one path come in order, the last one stays |
//! | `-- @expect [ordered]` | the lines are the rows of the query before it, as JSON with `op`; in any order unless `ordered` |
//! | `-- @result` | the lines are the rows that are left when all changes of the query before it are applied, as JSON, in any order |
//! | `-- @error` | the statement before it fails, and its message contains each line |
//! | `-- @text` | the statement before it gives text (EXPLAIN, SHOW CREATE, a table) that contains each line |
//! | `-- @calls [N]` | so many requests were made so far; with lines: exactly these, in any order |
//! | `-- @content NAME` | the file holds exactly these lines, in any order |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use affluent::error::Error;
use affluent::format::Encoder;
use affluent::format::json::{JsonEncoder, JsonOptions};
use affluent::session::{Response, Session};
use affluent::sql::SourceText;

use common::{Reply, Server};

/// A directive with its arguments, its lines, and how many lines of SQL stand before it.
struct Directive {
    name: String,
    arguments: String,
    lines: Vec<String>,
    line: u32,
}

fn directives(text: &str) -> Vec<Directive> {
    let mut found: Vec<Directive> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("-- @") {
            let (name, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
            found.push(Directive {
                name: name.to_string(),
                arguments: arguments.trim().to_string(),
                lines: Vec::new(),
                line: index as u32 + 1,
            });
        } else if let Some(content) = line.strip_prefix("--|") {
            let last = found.last_mut().expect("lines belong to a directive");
            last.lines.push(content.strip_prefix(' ').unwrap_or(content).to_string());
        }
    }
    found
}

fn reply(arguments: &str, lines: &[String]) -> (String, String, Reply) {
    let mut words = arguments.split(' ');
    let (method, path) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
    let mut reply = Reply { status: words.next().unwrap().parse().unwrap(), ..Reply::default() };
    reply.body = lines.join("\n").into_bytes();
    let rest: Vec<&str> = words.collect();
    let mut rest = rest.as_slice();
    while let [word, tail @ ..] = rest {
        rest = tail;
        if let Some(ms) = word.strip_prefix("delay=") {
            reply.delay = Duration::from_millis(ms.parse().unwrap());
        } else if *word == "cut" {
            reply.cut = true;
        } else if let Some(name) = word.strip_suffix(':') {
            reply.headers.push((name.to_string(), rest.join(" ")));
            rest = &[];
        }
    }
    (method, path, reply)
}

/// What a statement gave.
enum Outcome {
    Rows(Vec<String>),
    Text(String),
    Failed(Error),
}

fn run(session: &Session, statement: &affluent::sql::Statement) -> Outcome {
    let outcome = || -> Result<Outcome, Error> {
        match session.execute(statement)? {
            Response::Query(mut rows) => {
                let options = JsonOptions::default();
                let mut encoder = JsonEncoder::with_op(options, rows.schema().clone())?;
                let mut bytes = Vec::new();
                while let Some(chunk) = rows.next_chunk()? {
                    encoder.encode(&chunk, &mut bytes)?;
                }
                let text = String::from_utf8(bytes).expect("JSON is UTF-8");
                Ok(Outcome::Rows(text.lines().map(str::to_string).collect()))
            }
            Response::Job(job) => job.result().map(|()| Outcome::Rows(Vec::new())),
            Response::Text(text) | Response::Done(text) => Ok(Outcome::Text(text)),
            Response::Table(batch) => {
                let options = JsonOptions::default();
                let mut encoder = JsonEncoder::new(options, batch.schema())?;
                let mut bytes = Vec::new();
                encoder
                    .encode(&affluent::flow::Chunk::append(batch, std::time::Instant::now()), &mut bytes)?;
                Ok(Outcome::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            _ => Ok(Outcome::Text(String::new())),
        }
    };
    outcome().unwrap_or_else(Outcome::Failed)
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

/// What is left of a changelog; nothing may be taken back that is not there.
fn materialized(changes: &[String]) -> Result<Vec<String>, String> {
    let mut rows: Vec<String> = Vec::new();
    for change in changes {
        let Some((op, row)) = change.strip_prefix("{\"op\":\"").and_then(|c| c.split_once("\",")) else {
            return Err(format!("no change: {change}"));
        };
        let row = format!("{{{row}");
        if matches!(op, "+I" | "+U") {
            rows.push(row);
        } else if let Some(at) = rows.iter().position(|r| *r == row) {
            rows.swap_remove(at);
        } else {
            return Err(format!("taken back, but never there: {change}"));
        }
    }
    Ok(rows)
}

fn compare(case: &mut String, what: &str, expected: &[String], found: &[String]) {
    if expected == found {
        return;
    }
    let _ = writeln!(case, "  {what}\n    expected:");
    let lines = |lines: &[String]| lines.iter().map(|l| format!("      {l}\n")).collect::<String>();
    let _ = write!(case, "{}    found:\n{}", lines(expected), lines(found));
}

/// Where a statement starts; one that is no SQL, where its mistake is.
fn start_line(statement: &Result<affluent::sql::Statement, Error>) -> u32 {
    match statement {
        Ok(s) => s.span.start.line,
        Err(e) => e.span().map_or(0, |s| s.start.line),
    }
}

/// Runs one case; what is wrong with it.
fn run_case(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let directory = folder.path().to_str().unwrap();
    let place = |text: &str| {
        text.replace("${DIR}", directory).replace("${API}", &format!("http://{}", server.address))
    };
    let text = place(&text);
    let all = directives(&text);
    for d in &all {
        match d.name.as_str() {
            "file" => {
                let path = folder.path().join(&d.arguments);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, d.lines.join("\n") + "\n").unwrap();
            }
            "route" => {
                let (method, path, reply) = reply(&d.arguments, &d.lines);
                server.route(&method, &path, reply);
            }
            "expect" | "result" | "error" | "text" | "calls" | "content" => {}
            other => return format!("  unknown directive @{other}\n"),
        }
    }
    let session = Session::new().unwrap();
    session.set("parallelism.default", "2").unwrap();
    session.set("table.local-time-zone", "UTC").unwrap();
    session.set("table.dml-sync", "true").unwrap();
    let source = SourceText::new(&path.file_name().unwrap().to_string_lossy(), &text);
    let statements = affluent::sql::parse_script_lossy(&source);
    let mut wrong = String::new();
    let mut checks = all.iter().filter(|d| !matches!(d.name.as_str(), "file" | "route")).peekable();
    for (index, statement) in statements.iter().enumerate() {
        let outcome = match statement {
            Ok(s) => run(&session, s),
            Err(e) => Outcome::Failed(e.clone()),
        };
        let next = statements.get(index + 1).map(start_line);
        let at = start_line(statement);
        let mut error_expected = false;
        while let Some(d) = checks.next_if(|d| next.is_none_or(|n| d.line < n)) {
            match (d.name.as_str(), &outcome) {
                ("error", Outcome::Failed(e)) => {
                    error_expected = true;
                    let shown = e.render(&source, false);
                    for line in d.lines.iter().filter(|l| !shown.contains(l.as_str())) {
                        let _ = writeln!(wrong, "  line {}: the error has no '{line}':\n{shown}", d.line);
                    }
                }
                ("error", _) => wrong.push_str(&format!("  line {}: no error\n", d.line)),
                ("expect", Outcome::Rows(rows)) if d.arguments == "ordered" => {
                    compare(&mut wrong, &format!("line {}", d.line), &d.lines, rows)
                }
                ("expect", Outcome::Rows(rows)) => {
                    compare(&mut wrong, &format!("line {}", d.line), &sorted(&d.lines), &sorted(rows))
                }
                ("result", Outcome::Rows(rows)) => {
                    let found = materialized(rows).unwrap_or_else(|wrong| vec![wrong]);
                    compare(&mut wrong, &format!("line {}", d.line), &sorted(&d.lines), &sorted(&found))
                }
                ("text", Outcome::Text(text)) => {
                    for line in d.lines.iter().filter(|l| !text.contains(l.as_str())) {
                        let _ = writeln!(wrong, "  line {}: the text has no '{line}':\n{text}", d.line);
                    }
                }
                ("calls", _) if d.lines.is_empty() => {
                    let calls = server.calls();
                    if calls.len().to_string() != d.arguments {
                        let _ = writeln!(wrong, "  line {}: {} calls: {calls:?}", d.line, calls.len());
                    }
                }
                ("calls", _) => compare(
                    &mut wrong,
                    &format!("line {}", d.line),
                    &sorted(&d.lines),
                    &sorted(&server.calls()),
                ),
                ("content", _) => {
                    let content = fs::read_to_string(folder.path().join(&d.arguments)).unwrap_or_default();
                    let lines: Vec<String> = content.lines().map(str::to_string).collect();
                    compare(&mut wrong, &format!("line {}", d.line), &sorted(&d.lines), &sorted(&lines));
                }
                (name, Outcome::Failed(e)) => {
                    error_expected = true;
                    let _ = writeln!(
                        wrong,
                        "  line {}: @{name}, but it failed:\n{}",
                        d.line,
                        e.render(&source, false)
                    );
                }
                (name, _) => {
                    wrong.push_str(&format!("  line {}: nothing to check @{name} against\n", d.line))
                }
            }
        }
        if let (Outcome::Failed(e), false) = (&outcome, error_expected) {
            let _ = writeln!(wrong, "  statement at line {at} failed:\n{}", e.render(&source, false));
        }
    }
    wrong
}

fn cases(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, into);
        } else if path.extension().is_some_and(|e| e == "sql") {
            into.push(path);
        }
    }
}

#[test]
fn sql_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut paths = Vec::new();
    cases(&root, &mut paths);
    // The functions that are shipped bring cases of their own.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("udfs");
    cases(&shipped, &mut paths);
    // `*.test.sql` are for `affluent test` (tests/testing.rs).
    paths.retain(|p| !p.ends_with("function.sql") && !p.to_string_lossy().ends_with(".test.sql"));
    paths.sort();
    let only = std::env::var("CASE").unwrap_or_default();
    paths.retain(|p| p.to_string_lossy().contains(&only));
    assert!(!paths.is_empty(), "no case under {}", root.display());
    let mut failed = String::new();
    for path in &paths {
        let wrong = run_case(path);
        if !wrong.is_empty() {
            let _ = writeln!(failed, "{}\n{wrong}", path.strip_prefix(&root).unwrap_or(path).display());
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}
