//! `http` as a sink, against a service that is written here: it notes what comes, and refuses what it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::database::folder;
use crate::harness::{Running, affluent, run_badly, run_well, until, write};

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Status, headers and body of an answer.
type Answer = (u16, &'static str, &'static str);
type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// A service on a port of its own.
pub struct Api {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Api {
    /// `script` answers the request with a number; what it accepts is kept.
    pub fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let (seen, count) = (api.seen.clone(), Arc::new(AtomicUsize::new(0)));
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, count, script) = (seen.clone(), count.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &seen, &count, &*script));
            }
        });
        api
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, count: &AtomicUsize, script: &Script) {
    let mut answers = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_string);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
        let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = Request { method, path, headers, body: String::from_utf8(body).unwrap() };
        let (status, more, text) = script(&request, count.fetch_add(1, Ordering::SeqCst));
        if status < 300 {
            seen.lock().unwrap().push(request);
        }
        let answer = format!("HTTP/1.1 {status} x\r\n{more}content-length: {}\r\n\r\n{text}", text.len());
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn rows(n: u32) -> String {
    format!(
        "CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '{n}');"
    )
}

fn id(request: &Request) -> i64 {
    serde_json::from_str::<Value>(&request.body).unwrap()["id"].as_i64().unwrap()
}

#[test]
fn each_row_is_a_request_in_the_order_of_its_key() {
    // Every third request is not taken at first; of those that come later none of the same key may pass it.
    let arrived = AtomicUsize::new(0);
    let api = Api::start(move |_, n| {
        arrived.fetch_add(1, Ordering::SeqCst);
        if n == 0 {
            // Rows of other keys do not wait for this one.
            until("a second request", || arrived.load(Ordering::SeqCst) > 1);
        }
        match n % 3 {
            1 => (503, "retry-after: 0\r\n", "busy"),
            _ => (200, "", "ok"),
        }
    });
    let folder = folder();
    let script = format!(
        "SET 'parallelism.default' = '1';
         {} CREATE TABLE o (k INT, id INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '{}',
           'insert-method' = 'PUT', 'sink.idempotency-key' = 'o-{{id}}', 'http.sink.header.X-Key' = 'k{{k}}',
           'http.sink.header.Authorization' = 'Bearer ${{TEST_TOKEN}}', 'format' = 'json');
         INSERT INTO o SELECT id % 7, id FROM q;",
        rows(300),
        api.url("/keys/{k}?v=1"),
    );
    let path = write(folder.path(), &script);
    let mut command = affluent(folder.path(), &["run", path.to_str().unwrap(), "-q"]);
    command.env("TEST_TOKEN", "paper-clip-88");
    let output = Running::start(command).finish();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = api.seen();
    assert_eq!(seen.len(), 300);
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for request in &seen {
        let id = id(request);
        assert_eq!(request.method, "PUT");
        assert_eq!(request.path, format!("/keys/{}?v=1", id % 7));
        assert_eq!(request.headers["idempotency-key"], format!("o-{id}"));
        assert_eq!(request.headers["x-key"], format!("k{}", id % 7));
        assert_eq!(request.headers["authorization"], "Bearer paper-clip-88");
        assert_eq!(request.headers["content-type"], "application/json");
        by_key.entry(request.path.clone()).or_default().push(id);
    }
    assert!(by_key.values().all(|ids| ids.is_sorted()), "{by_key:?}");
}

#[test]
fn several_rows_are_an_array_and_the_one_that_is_refused_is_left_out_or_fails() {
    let api = Api::start(|request, n| match request.body.contains("\"id\":77") {
        true => (422, "", "no such thing"),
        false if n == 2 => (500, "", ""),
        false => (201, "", ""),
    });
    let folder = folder();
    let table = |more: &str| {
        format!(
            "{} CREATE TABLE o (id INT, name STRING) WITH ('connector' = 'http', 'url' = '{}', 'sink.batch.max-size' = '20',
               'sink.idempotency-key' = 'request', 'sink.flush-buffer.timeout' = '1 min'{more});
             INSERT INTO o SELECT id, 'n' FROM q;",
            rows(200),
            api.url("/all"),
        )
    };
    run_well(folder.path(), &table(", 'sink.on-error' = 'drop'"), &[]);
    let mut ids: Vec<i64> = Vec::new();
    let mut keys = std::collections::BTreeSet::new();
    for request in api.seen() {
        let body: Vec<Value> = serde_json::from_str(&request.body).unwrap();
        assert!(body.len() <= 20, "{}", body.len());
        ids.extend(body.iter().map(|row| row["id"].as_i64().unwrap()));
        assert!(keys.insert(request.headers["idempotency-key"].clone()), "two requests with one key");
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=200).filter(|id| *id != 77).collect::<Vec<_>>());
    let error = run_badly(folder.path(), &table(""));
    for part in ["table 'o'", "/all", "422", "no such thing", "\"id\":77", "'sink.on-error' = 'drop'"] {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

#[test]
fn a_row_that_goes_is_deleted_at_its_url() {
    let api = Api::start(|request, _| match request.method.as_str() {
        "DELETE" => (404, "", "it is gone"),
        _ => (200, "", ""),
    });
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let also = {
        let deleted = deleted.clone();
        Api::start(move |request, _| {
            if request.method == "DELETE" {
                deleted.lock().unwrap().push((request.path.clone(), request.body.clone()));
            }
            (204, "", "")
        })
    };
    let folder = folder();
    std::fs::write(
        folder.path().join("changes.jsonl"),
        "{\"op\":\"+I\",\"k\":1,\"n\":1}\n{\"op\":\"+I\",\"k\":2,\"n\":1}\n{\"op\":\"-U\",\"k\":2,\"n\":1}\n{\"op\":\"+U\",\"k\":2,\"n\":5}\n{\"op\":\"-D\",\"k\":1,\"n\":1}\n",
    )
    .unwrap();
    for api in [&api, &also] {
        let script = format!(
            "CREATE TABLE c (k INT, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = 'changes.jsonl', 'format' = 'json', 'json.changelog-field' = 'op');
             CREATE TABLE o (k INT, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '{}', 'insert-method' = 'PUT', 'sink.delete-method' = 'DELETE');
             INSERT INTO o SELECT k, n FROM c;",
            api.url("/things/{k}")
        );
        run_well(folder.path(), &script, &[]);
    }
    let seen = also.seen();
    let last =
        |key: &str| seen.iter().rev().find(|r| r.path == key).map(|r| (r.method.clone(), r.body.clone()));
    assert_eq!(last("/things/1").unwrap().0, "DELETE");
    assert_eq!(last("/things/2").unwrap(), ("PUT".to_string(), "{\"k\":2,\"n\":5}".to_string()));
    assert_eq!(*deleted.lock().unwrap(), [("/things/1".to_string(), String::new())]);
    let error = run_badly(
        folder.path(),
        &format!(
            "CREATE TABLE o (k INT, n INT) WITH ('connector' = 'http', 'url' = '{}', 'sink.delete-method' = 'DELETE');",
            api.url("/things/{k}")
        ),
    );
    assert!(error.contains("PRIMARY KEY"), "{error}");
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let api = Api::start(|_, n| {
        std::thread::sleep(Duration::from_millis(1));
        if n % 50 == 7 { (503, "", "") } else { (200, "", "") }
    });
    let folder = folder();
    let rows = 6000;
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE q (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '4000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '{rows}');
         CREATE TABLE o (id BIGINT) WITH ('connector' = 'http', 'url' = '{}', 'sink.batch.max-size' = '10');
         INSERT INTO o SELECT id FROM q;",
        api.url("/rows"),
    );
    let path = write(folder.path(), &script);
    let errors = folder.path().join("errors");
    let ids = || -> Vec<i64> {
        let bodies =
            api.seen().into_iter().flat_map(|r| serde_json::from_str::<Vec<Value>>(&r.body).unwrap());
        bodies.map(|row| row["id"].as_i64().unwrap()).collect()
    };
    let start = || Running::start_quietly(affluent(folder.path(), &["run", path.to_str().unwrap()]), &errors);
    for part in 1..4 {
        let mut running = start();
        until("rows", || {
            ids().into_iter().max().unwrap_or(0) > rows * part / 5 || running.has_ended().is_some()
        });
        running.kill();
    }
    let status = start().finish().status;
    assert!(status.success(), "{}", std::fs::read_to_string(&errors).unwrap());
    let mut ids = ids();
    let sent = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=rows).collect::<Vec<_>>());
    assert!(sent < 2 * rows as usize, "{sent}");
}
