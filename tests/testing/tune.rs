//! `affluent tune` as its users have it: within its budget, and with a service that breaks.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A service that takes some milliseconds, and hangs up from the request of this number on.
fn service(good: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let counted = counted.clone();
            std::thread::spawn(move || -> Option<()> {
                loop {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).ok()? == 0 {
                            return None;
                        }
                        head.push(byte[0]);
                    }
                    if counted.fetch_add(1, Ordering::SeqCst) >= good {
                        return None;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                    let body = r#"{"brand":"b"}"#;
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
                }
            });
        }
    });
    (port, requests)
}

fn tuned(port: u16, more: &[&str]) -> (tempfile::TempDir, i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let events: String = (0..2000).map(|n| format!("{{\"id\":\"{}\"}}\n", n % 40)).collect();
    fs::write(folder.path().join("events.jsonl"), events).unwrap();
    fs::write(
        folder.path().join("p.sql"),
        format!(
            "CREATE TABLE events (id STRING) WITH ('connector' = 'filesystem', 'path' = 'events.jsonl', 'format' = 'json');
             CREATE TABLE sensors (id STRING, brand STRING, PRIMARY KEY (id) NOT ENFORCED)
             WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:{port}/s/{{id}}', 'lookup.max-retries' = '0');
             CREATE TABLE out (id STRING, brand STRING)
             WITH ('connector' = 'filesystem', 'path' = 'written', 'format' = 'json');
             INSERT INTO out SELECT e.id, s.brand FROM events AS e LEFT JOIN sensors AS s ON e.id = s.id;"
        ),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(["tune", "p.sql"]).args(more).current_dir(folder.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (status, out, told) =
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr));
    (folder, status, out, told)
}

#[test]
fn settings_are_found_within_a_budget() {
    let (port, requests) = service(usize::MAX);
    let more = ["--calls", "900", "--time", "20 s", "-o", "json", "--svg", "f.svg", "--html", "f.html"];
    let (folder, status, out, told) = tuned(port, &more);
    assert_eq!(status, 0, "{told}");
    // Not one call more.
    assert!(requests.load(Ordering::SeqCst) <= 900, "{}", requests.load(Ordering::SeqCst));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["distinct_keys"], 40, "{out}");
    let strategies = found["strategies"].as_array().unwrap();
    assert_eq!(strategies[0]["strategy"], "SYNC", "{out}");
    let lifetimes = found["lifetimes"].as_array().unwrap();
    let ratios: Vec<f64> = lifetimes.iter().map(|l| l["hit_ratio"].as_f64().unwrap()).collect();
    assert!(ratios.is_sorted() && *ratios.last().unwrap() > 0.97, "{out}");
    let sql: Vec<&str> =
        found["recommended"].as_array().unwrap().iter().map(|a| a["sql"].as_str().unwrap()).collect();
    assert!(sql.iter().any(|sql| sql.contains("buffer-capacity")), "{out}");
    assert!(fs::read_to_string(folder.path().join("f.svg")).unwrap().starts_with("<svg "));
    assert!(fs::read_to_string(folder.path().join("f.html")).unwrap().contains("<h2>Recommended</h2>"));
    assert!(!folder.path().join("written").exists(), "nothing is written");
}

#[test]
fn a_service_that_breaks_ends_it_with_what_was_measured() {
    let (port, _) = service(60);
    let (_, status, out, told) = tuned(port, &["--calls", "5000", "--time", "60 s"]);
    assert_eq!(status, 1, "{told}{out}");
    assert!(
        told.contains("the search ended in the trial of ")
            && told.contains("what was measured before is shown"),
        "{told}"
    );
    assert!(out.contains("SYNC") && out.contains("A cache, at "), "{out}");
    let (_, status, out, told) = tuned(1, &["--time", "5 s"]);
    assert_eq!(status, 1, "{out}");
    assert!(told.contains("nothing could be measured"), "{told}");
}

#[test]
fn a_pipeline_without_lookups_has_nothing_to_tune() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.sql"), "SELECT 1;").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.args(["tune", "p.sql"]).current_dir(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("there is nothing to tune"), "{told}");
}
