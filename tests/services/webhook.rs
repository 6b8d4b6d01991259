//! `webhook`: what senders are answered, and what has become of their rows then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::database::folder;
use crate::harness::{Running, affluent, port, run_badly, until, wait_for_port, write};

/// Sends a request; status and body of the answer, `None` if there is none.
fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer))
}

fn signature(secret: &str, body: &str) -> String {
    let mut block = [0u8; 64];
    block[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize();
    format!("sha256={}", outer.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// Rows of a folder of JSON lines.
fn written(folder: &Path) -> Vec<Value> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.flatten().filter(|f| !f.file_name().to_string_lossy().starts_with(['.', '_']));
    let texts = files.filter_map(|f| std::fs::read_to_string(f.path()).ok());
    let text: String = texts.collect();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn start(folder: &Path, script: &str, environment: &[(&str, &str)]) -> Running {
    let path = write(folder, script);
    let mut command = affluent(folder, &["run", path.to_str().unwrap()]);
    command.envs(environment.iter().copied());
    Running::start_quietly(command, &folder.join("errors"))
}

#[test]
fn rows_come_by_requests_and_what_is_wrong_is_told_to_the_sender() {
    let (folder, port) = (folder(), port());
    let script = format!(
        "CREATE TABLE hook (id INT, name STRING, p STRING METADATA FROM 'path' VIRTUAL, q STRING METADATA FROM 'query' VIRTUAL,
           h MAP<STRING, STRING> METADATA FROM 'headers' VIRTUAL, at_ TIMESTAMP_LTZ(3) METADATA FROM 'received-at' VIRTUAL)
         WITH ('connector' = 'webhook', 'listen' = '{port}', 'path' = '/hooks/*', 'format' = 'json', 'secret' = '${{HOOK_SECRET}}', 'max-body-size' = '1 kb');
         CREATE TABLE out_ (id INT, name STRING, p STRING, q STRING, kind STRING, fresh BOOLEAN, login STRING) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
         SET 'execution.checkpointing.interval' = '100 ms';
         INSERT INTO out_ SELECT id, name, p, q, h['x-kind'], at_ > TO_TIMESTAMP_LTZ(1700000000000, 3), h['authorization'] FROM hook;"
    );
    let mut running = start(folder.path(), &script, &[("HOOK_SECRET", "paper-clip-99")]);
    wait_for_port(port);
    let bearer = ("authorization", "Bearer paper-clip-99");
    let status = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        send(port, method, path, headers, body).unwrap().0
    };
    let post = |headers: &[(&str, &str)], body: &str| status("POST", "/hooks/a?x=1", headers, body);
    assert_eq!(post(&[bearer, ("x-kind", "plain")], "{\"id\": 1, \"name\": \"one\"}"), 200);
    let body = "[{\"id\": 2}, {\"id\": 3, \"name\": \"three\"}]";
    assert_eq!(post(&[("X-Hub-Signature-256", &signature("paper-clip-99", body))], body), 200);
    assert_eq!(post(&[bearer], "{\"id\": 4}\n{\"id\":\n5}\n"), 200);
    assert_eq!(post(&[bearer], "[]"), 200);
    for (expected, headers, body) in [
        (401, vec![], "{\"id\": 9}"),
        (401, vec![("authorization", "Bearer paper-clip-98")], "{\"id\": 9}"),
        (401, vec![("X-Hub-Signature-256", "sha256=00")], "{\"id\": 9}"),
        (401, vec![("X-Hub-Signature-256", "x"), bearer], "{\"id\": 9}"),
        (400, vec![bearer], "{\"id\": 9"),
        (400, vec![bearer], ""),
        (400, vec![bearer], "[{\"id\": 9}, {\"id\": \"nine\"}]"),
        (413, vec![bearer], &"x".repeat(1025)),
        (415, vec![bearer, ("content-encoding", "gzip")], "{\"id\": 9}"),
    ] {
        assert_eq!(post(&headers, body), expected, "{headers:?} {body}");
    }
    let wrong = send(port, "POST", "/hooks/a", &[bearer], "[{\"id\": 9}, {\"id\": \"nine\"}]").unwrap().1;
    assert!(wrong.contains("record 2") && wrong.contains("'id'"), "{wrong}");
    assert_eq!(status("GET", "/hooks/a", &[bearer], ""), 405);
    assert_eq!(status("POST", "/other", &[bearer], "{\"id\": 9}"), 404);
    assert_eq!(running.has_ended(), None);
    let output = running.interrupt();
    let errors = std::fs::read_to_string(folder.path().join("errors")).unwrap();
    assert!(output.status.code().is_some(), "{errors}");
    assert!(!errors.contains("paper-clip"), "{errors}");
    let mut rows = written(&folder.path().join("out"));
    rows.sort_by_key(|row| row["id"].as_i64());
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let first = "{\"id\":1,\"name\":\"one\",\"p\":\"/hooks/a\",\"q\":\"x=1\",\"kind\":\"plain\",\"fresh\":true,\"login\":null}";
    assert_eq!(rows[0].to_string(), first);
}

#[test]
fn without_checkpoints_a_request_is_taken_and_a_letter_may_be_dead() {
    let (folder, port) = (folder(), port());
    let script = format!(
        "CREATE TABLE dead (message STRING, raw BYTES, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'dead', 'format' = 'json', 'sink.rolling-policy.rollover-interval' = '10 ms', 'sink.rolling-policy.check-interval' = '10 ms');
         CREATE TABLE hook (id INT NOT NULL, name STRING) WITH ('connector' = 'webhook', 'listen' = '127.0.0.1:{port}', 'format' = 'csv', 'scan.dead-letter' = 'dead');
         CREATE TABLE out_ (id INT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json', 'sink.rolling-policy.rollover-interval' = '10 ms', 'sink.rolling-policy.check-interval' = '10 ms');
         INSERT INTO out_ SELECT id, name FROM hook;"
    );
    let mut running = start(folder.path(), &script, &[]);
    wait_for_port(port);
    assert_eq!(send(port, "POST", "/", &[], "1,one\nx,two\n3,\"th\nree\"\n").unwrap().0, 202);
    assert_eq!(send(port, "POST", "/x", &[], "4,four").unwrap().0, 404);
    // Nothing else comes, and the file is closed in time all the same.
    until("the rows", || written(&folder.path().join("out")).len() == 2);
    let output = running.interrupt();
    assert!(output.status.code().is_some());
    let rows: Vec<String> = written(&folder.path().join("out")).iter().map(Value::to_string).collect();
    assert_eq!(rows, ["{\"id\":1,\"name\":\"one\"}", "{\"id\":3,\"name\":\"th\\nree\"}"]);
    let dead = written(&folder.path().join("dead"));
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0]["message"].as_str().unwrap().contains("'x'"), "{dead:?}");
    assert_eq!(dead[0]["position"], "127.0.0.1/@2");
}

#[test]
fn bodies_that_never_end_take_no_more_than_their_bytes() {
    let (folder, port) = (folder(), port());
    let script = format!(
        "CREATE TABLE hook (id INT) WITH ('connector' = 'webhook', 'listen' = '127.0.0.1:{port}', 'format' = 'json', 'secret' = 'paper-clip');
         CREATE TABLE o (id INT) WITH ('connector' = 'blackhole');
         INSERT INTO o SELECT id FROM hook;"
    );
    let mut running = start(folder.path(), &script, &[]);
    wait_for_port(port);
    // The signature cannot be checked before the end of the body.
    let head =
        "POST / HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256=00\r\ncontent-length: 1048576\r\n\r\n";
    let part = vec![b' '; 1_048_000];
    let large = " ".repeat(1_000_000) + "{\"id\": 1}";
    let mut held = Vec::new();
    until("no room for more", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // One that is refused is closed over there.
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&part)).is_ok() {
            held.push(stream);
        }
        let said = send(port, "POST", "/", &[("x-hub-signature-256", "sha256=00")], &large);
        said.is_some_and(|(status, answer)| status == 429 && answer.contains("the job cannot keep up"))
    });
    drop(held);
    let body = "{\"id\": 2}";
    until("room again", || {
        let said = send(port, "POST", "/", &[("x-hub-signature-256", &signature("paper-clip", body))], body);
        said.is_some_and(|(status, _)| status == 202)
    });
    running.kill();
}

#[test]
fn a_port_that_is_taken_and_options_that_are_wrong_are_told() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().port();
    let hook = |options: &str| {
        format!(
            "CREATE TABLE hook (id INT) WITH ('connector' = 'webhook', 'format' = 'json', {options}); SELECT * FROM hook;"
        )
    };
    let error = run_badly(folder.path(), &hook(&format!("'listen' = '{at}'")));
    assert!(
        error.contains(&format!("could not listen on 127.0.0.1:{at}")) && error.contains("a port of its own"),
        "{error}"
    );
    let error = run_badly(folder.path(), &hook("'listen' = 'everywhere'"));
    assert!(error.contains("'everywhere' is no port"), "{error}");
    let error = run_badly(folder.path(), &hook("'listen' = '1', 'path' = 'x'"));
    assert!(error.contains("begins with '/'"), "{error}");
    let error = run_badly(folder.path(), &hook("'listen' = '1', 'secret' = '${NOT_SET_AT_ALL}'"));
    assert!(error.contains("NOT_SET_AT_ALL"), "{error}");
}

#[test]
fn killed_at_any_moment_what_was_answered_with_200_is_there() {
    let (folder, port) = (folder(), port());
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE hook (id BIGINT) WITH ('connector' = 'webhook', 'listen' = '{port}', 'format' = 'json', 'max-waiting-requests' = '3');
         CREATE TABLE out_ (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
         INSERT INTO out_ SELECT id FROM hook;"
    );
    let answered: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
    let statuses: Arc<Mutex<BTreeMap<u16, usize>>> = Arc::default();
    let (next, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..6)
        .map(|_| {
            let (answered, statuses, next, over) =
                (answered.clone(), statuses.clone(), next.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let id = next.fetch_add(1, Ordering::SeqCst);
                    match send(port, "POST", "/", &[], &format!("{{\"id\":{id}}}")) {
                        Some((status, text)) => {
                            *statuses.lock().unwrap().entry(status).or_default() += 1;
                            assert!(
                                status != 429 || text.to_lowercase().contains("retry-after: 1"),
                                "{text}"
                            );
                            if status == 200 {
                                answered.lock().unwrap().insert(id);
                            }
                        }
                        None => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            })
        })
        .collect();
    for round in 1..4 {
        let mut running = start(folder.path(), &script, &[]);
        let before = answered.lock().unwrap().len();
        until("answers", || {
            answered.lock().unwrap().len() > before + 30 * round || running.has_ended().is_some()
        });
        running.kill();
    }
    let mut running = start(folder.path(), &script, &[]);
    let before = answered.lock().unwrap().len();
    until("answers", || answered.lock().unwrap().len() > before + 30);
    over.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    running.interrupt();
    let there: BTreeSet<i64> =
        written(&folder.path().join("out")).iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let lost: Vec<i64> = answered.lock().unwrap().difference(&there).copied().collect();
    assert!(lost.is_empty(), "{lost:?}");
    let statuses = statuses.lock().unwrap();
    assert!(statuses.contains_key(&429), "{statuses:?}");
    assert!(statuses.keys().all(|status| [200, 429, 503].contains(status)), "{statuses:?}");
}
