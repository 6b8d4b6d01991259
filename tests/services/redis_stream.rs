//! `redis-stream` against Redis.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::database::folder;
use crate::harness::{
    Running, Server, affluent, check, installed, left_out, port, run_badly, run_well, until, wait_for_port,
    write,
};

struct Redis {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl Redis {
    fn new() -> Option<Self> {
        if !["redis-server", "redis-cli"].into_iter().all(installed) {
            left_out("Redis", "redis-server or redis-cli is not installed");
            return None;
        }
        Some(Self { folder: folder(), port: port(), server: None })
    }

    fn start() -> Option<Self> {
        let mut redis = Self::new()?;
        redis.begin();
        Some(redis)
    }

    fn begin(&mut self) {
        let port = self.port.to_string();
        // What it has said that it has, is there when it comes back.
        let arguments = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ];
        self.server = Some(Server::start("redis-server", &arguments, self.folder.path()));
        wait_for_port(self.port);
        until("Redis", || self.command(&["PING"]) == "PONG");
    }

    fn command(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let mut all = vec!["-p", port.as_str()];
        all.extend(command);
        let output = Command::new("redis-cli").args(all).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// Adds rows with these ids, many at a time.
    fn add(&self, stream: &str, ids: std::ops::Range<i64>) {
        let script = "for i = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], '*', 'value', '{\"id\": ' .. i .. '}') end";
        let (from, to) = (ids.start.to_string(), (ids.end - 1).to_string());
        self.command(&["EVAL", script, "1", stream, &from, &to]);
    }

    fn with(&self, more: &str) -> String {
        format!(
            "WITH ('connector' = 'redis-stream', 'uri' = 'redis://127.0.0.1:{}/0', 'format' = 'json'{more})",
            self.port
        )
    }
}

fn written(folder: &Path) -> Vec<i64> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.flatten().filter(|f| !f.file_name().to_string_lossy().starts_with(['.', '_']));
    let text: String = files.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ids: Vec<i64> = rows.map(|row| row["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

fn start(folder: &Path, script: &str) -> Running {
    let path = write(folder, script);
    Running::start_quietly(affluent(folder, &["run", path.to_str().unwrap()]), &folder.join("errors"))
}

fn errors(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("errors")).unwrap_or_default()
}

const ROLLING: &str = "'format' = 'json', 'sink.rolling-policy.rollover-interval' = '10 ms', 'sink.rolling-policy.check-interval' = '10 ms'";

#[test]
fn streams_are_read_and_written() {
    let Some(redis) = Redis::start() else { return };
    let folder = folder();
    redis.command(&["XADD", "in", "1000-1", "value", "{\"id\": 1}", "unit", "C", "place", "here"]);
    redis.command(&["XADD", "in", "1000-2", "value", "{\"id\": 2}"]);
    redis.command(&["XADD", "in", "2000-0", "other", "x"]);
    redis.command(&["XADD", "in", "3000-0", "value", "{\n\"id\": 4}"]);
    redis.command(&["SET", "text", "x"]);
    let table = |more: &str| {
        format!(
            "CREATE TABLE dead (message STRING, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'dead', 'format' = 'json');
             CREATE TABLE i (id INT, e STRING METADATA FROM 'id' VIRTUAL, at_ TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, f MAP<STRING, STRING> METADATA FROM 'fields' VIRTUAL) {};",
            redis.with(&format!(", 'stream' = 'in', 'scan.bounded.mode' = 'latest-offset', 'scan.dead-letter' = 'dead'{more}"))
        )
    };
    let read = |more: &str| {
        let script = format!("{} SELECT id, e, at_, f['unit'] AS u FROM i;", table(more));
        run_well(folder.path(), &script, &["-o", "json", "-q"]).replace("\"op\":\"+I\",", "")
    };
    assert_eq!(
        read(""),
        "{\"id\":1,\"e\":\"1000-1\",\"at_\":\"1970-01-01 00:00:01Z\",\"u\":\"C\"}\n\
         {\"id\":2,\"e\":\"1000-2\",\"at_\":\"1970-01-01 00:00:01Z\",\"u\":null}\n\
         {\"id\":4,\"e\":\"3000-0\",\"at_\":\"1970-01-01 00:00:03Z\",\"u\":null}\n"
    );
    let count = |more: &str| read(more).lines().count();
    assert_eq!(count(", 'scan.startup.mode' = 'latest-offset'"), 0);
    assert_eq!(count(", 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1001'"), 1);
    assert_eq!(
        count(", 'scan.startup.mode' = 'specific-offset', 'scan.startup.specific-offset' = '1000-2'"),
        2
    );
    let script = format!(
        "{} CREATE TABLE o (id INT, twice INT) {}; INSERT INTO o SELECT id, id * 2 FROM i;",
        table(""),
        redis.with(", 'stream' = 'out', 'redis.field' = 'row'")
    );
    run_well(folder.path(), &script, &[]);
    let dead = std::fs::read_dir(folder.path().join("dead")).unwrap().flatten();
    let dead: String = dead.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    assert!(dead.contains("\"position\":\"in@2000-0\""), "{dead}");
    let lines = redis.command(&["XRANGE", "out", "-", "+"]);
    let rows: Vec<&str> = lines.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(rows, ["{\"id\":1,\"twice\":2}", "{\"id\":2,\"twice\":4}", "{\"id\":4,\"twice\":8}"]);
    assert_eq!(lines.lines().filter(|line| *line == "row").count(), 3);
    let there = |more: &str| check(folder.path(), &format!("CREATE TABLE i (id INT) {};", redis.with(more)));
    let (fine, said) = there(", 'stream' = 'in'");
    assert!(fine && said.contains("stream 'in'") && said.contains("4 entries"), "{said}");
    let (fine, said) = there(", 'stream' = 'text'");
    assert!(!fine && said.contains("WRONGTYPE"), "{said}");
    for (more, words) in [
        (", 'stream' = 'text'", ["stream 'text'", "something else than a stream"]),
        (", 'stream' = 'in'", ["stream 'in', entry 2000-0", "table 'i'"]),
        (
            ", 'stream' = 'in', 'scan.startup.mode' = 'specific-offset', 'scan.startup.specific-offset' = 'x'",
            ["'x' is not the id", "1700000000000-0"],
        ),
    ] {
        let error = run_badly(
            folder.path(),
            &format!("CREATE TABLE i (id INT) {}; SELECT * FROM i;", redis.with(more)),
        );
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}\n{error}");
    }
}

#[test]
fn a_scan_ends_without_its_last_entry_and_names_are_bytes() {
    let Some(redis) = Redis::start() else { return };
    let folder = folder();
    redis.add("short", 1..3);
    let last = redis.command(&["XREVRANGE", "short", "+", "-", "COUNT", "1"]);
    redis.command(&["XDEL", "short", last.lines().next().unwrap()]);
    assert_eq!(redis.command(&["XLEN", "short"]), "1");
    let odd = "redis.call('XADD', KEYS[1], '1-0', 'value', '{\"id\": 5}', '\\255', 'secret')";
    redis.command(&["EVAL", odd, "1", "odd"]);
    let bounded =
        |stream: &str| redis.with(&format!(", 'stream' = '{stream}', 'scan.bounded.mode' = 'latest-offset'"));
    let script = format!(
        "CREATE TABLE i (id INT) {}; CREATE TABLE n (id INT) {};
         SELECT id FROM i UNION ALL SELECT id FROM n;",
        bounded("short"),
        bounded("odd"),
    );
    let said = run_well(folder.path(), &script, &["-o", "json", "-q"]);
    assert!(said.contains("\"id\":1}") && said.contains("\"id\":5}"), "{said}");
    let script = format!(
        "CREATE TABLE n (id INT, f MAP<STRING, STRING> METADATA FROM 'fields' VIRTUAL) {}; SELECT id, f FROM n;",
        bounded("odd"),
    );
    let said = run_badly(folder.path(), &script);
    assert!(said.contains("entry 1-0") && said.contains("not UTF-8") && !said.contains("secret"), "{said}");
}

#[test]
fn a_redis_that_is_full_drops_nothing() {
    let Some(redis) = Redis::start() else { return };
    let folder = folder();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let script = format!(
        "CREATE TABLE o (id INT) {}; INSERT INTO o VALUES (1), (2);",
        redis.with(", 'stream' = 'full', 'sink.on-error' = 'drop', 'sink.max-retries' = '2'"),
    );
    let said = run_badly(folder.path(), &script);
    assert!(said.contains("OOM") && !said.contains("dropped"), "{said}");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    run_well(folder.path(), &script, &[]);
    assert_eq!(redis.command(&["XLEN", "full"]), "2");
}

#[test]
fn a_fail_over_passes() {
    let (Some(redis), Some(other)) = (Redis::start(), Redis::start()) else { return };
    let folder = folder();
    redis.add("in", 0..10);
    redis.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) {};
         INSERT INTO o SELECT id FROM i;",
        redis.with(", 'stream' = 'in'"),
        redis.with(", 'stream' = 'out', 'sink.max-retries' = '1000'"),
    );
    let mut running = start(folder.path(), &script);
    until("all of them", || redis.command(&["XLEN", "out"]) == "10");
    // A replica without its master: it answers MASTERDOWN, and UNBLOCKED to those who wait.
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    until("a word of it", || errors(folder.path()).contains("reading stream 'in'"));
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    redis.add("in", 10..20);
    until("all of them", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        redis.command(&["XLEN", "out"]) == "20"
    });
    running.interrupt();
    // One that only writes: READONLY.
    redis.command(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    let follow = |follower: &Redis, master: &Redis| {
        follower.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        until("a replica", || follower.command(&["XLEN", "out"]) == master.command(&["XLEN", "out"]));
    };
    follow(&other, &redis);
    let script = format!(
        "CREATE TABLE o (id INT) {}; INSERT INTO o VALUES (20), (21);",
        other.with(", 'stream' = 'out', 'sink.on-error' = 'drop', 'sink.max-retries' = '1'"),
    );
    let said = run_badly(folder.path(), &script);
    assert!(
        said.contains("read only replica") && said.contains("tried 2 times") && !said.contains("dropped"),
        "{said}"
    );
    // An address that leads to the other one from now on, while the connection to the first stays.
    let (address, to) = (port(), Arc::new(AtomicU16::new(redis.port)));
    forward(address, to.clone());
    let with = |more: &str| {
        redis.with(more).replace(&format!("127.0.0.1:{}", redis.port), &format!("127.0.0.1:{address}"))
    };
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) {};
         INSERT INTO o SELECT id FROM i;",
        with(", 'stream' = 'in'"),
        with(", 'stream' = 'moved', 'sink.max-retries' = '1000'"),
    );
    let mut running = start(folder.path(), &script);
    until("all of them", || other.command(&["XLEN", "moved"]) == "20");
    other.command(&["REPLICAOF", "NO", "ONE"]);
    to.store(other.port, Ordering::SeqCst);
    follow(&redis, &other);
    other.add("in", 20..30);
    until("all of them", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        other.command(&["XLEN", "moved"]) == "30"
    });
    running.interrupt();
}

/// Connects each who comes to the server that is there for it then.
fn forward(port: u16, to: Arc<AtomicU16>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let Ok(server) = TcpStream::connect(("127.0.0.1", to.load(Ordering::SeqCst))) else { continue };
            for (mut from, mut into) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut into);
                    let _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

#[test]
fn killed_at_any_moment_and_without_a_server_each_row_is_there_once() {
    let Some(mut redis) = Redis::new() else { return };
    let folder = folder();
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'out', {ROLLING});
         CREATE TABLE p (id INT) {};
         BEGIN STATEMENT SET; INSERT INTO o SELECT id FROM i; INSERT INTO p SELECT id FROM i; END;",
        redis.with(", 'stream' = 'once'"),
        redis.with(", 'stream' = 'over', 'sink.max-retries' = '100'"),
    );
    let ids = || written(&folder.path().join("out"));
    let mut running = start(folder.path(), &script);
    until("a word of it", || errors(folder.path()).contains("reading stream 'once'"));
    redis.begin();
    for round in 0..4 {
        redis.add("once", round * 250 + 1..round * 250 + 251);
        until("some of them", || {
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            ids().len() > (round * 250 + 30) as usize
        });
        match round {
            // The server goes.
            1 => {
                redis.server = None;
                redis.begin();
            }
            _ => {
                running.kill();
                running = start(folder.path(), &script);
            }
        }
    }
    let over = || redis.command(&["XLEN", "over"]).parse::<usize>().unwrap_or(0);
    until("all of them", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        // The last one has begun: before, it does not hear that it is to stop.
        let begun = errors(folder.path()).matches("continues from checkpoint").count() >= 3;
        begun && ids().len() >= 1000 && over() >= 1000
    });
    running.interrupt();
    assert_eq!(ids(), (1..=1000).collect::<Vec<_>>());
    let entries = redis.command(&["XRANGE", "over", "-", "+"]);
    let rows = entries.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut sent: Vec<i64> = rows.filter_map(|row| row["id"].as_i64()).collect();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent, (1..=1000).collect::<Vec<_>>());
}
