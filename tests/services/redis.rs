//! `redis` against Redis.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::database::folder;
use crate::harness::{
    Running, Server, affluent, installed, left_out, port, run_badly, run_well, until, wait_for_port, write,
};

const PASSWORD: &str = "paper-clip-77";
const QUIET: &[&str] = &["-o", "json", "-q"];

struct Redis {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl Redis {
    fn start() -> Option<Self> {
        if !["redis-server", "redis-cli"].into_iter().all(installed) {
            left_out("Redis", "redis-server or redis-cli is not installed");
            return None;
        }
        let mut redis = Self { folder: folder(), port: port(), server: None };
        redis.begin();
        Some(redis)
    }

    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Redis>> = OnceLock::new();
        SHARED.get_or_init(Redis::start).as_ref()
    }

    fn begin(&mut self) {
        let port = self.port.to_string();
        let arguments = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--requirepass",
            PASSWORD,
        ];
        self.server = Some(Server::start("redis-server", &arguments, self.folder.path()));
        wait_for_port(self.port);
        until("Redis", || self.command(&["PING"]) == "PONG");
    }

    fn command(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let mut all = vec!["-p", port.as_str(), "--no-auth-warning", "-a", PASSWORD];
        all.extend(command);
        let output = Command::new("redis-cli").args(all).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    fn with(&self, more: &str) -> String {
        format!(
            "WITH ('connector' = 'redis', 'uri' = 'redis://127.0.0.1:{}/0', 'password' = '{PASSWORD}'{more})",
            self.port
        )
    }
}

fn rows(folder: &Path, script: &str) -> Vec<String> {
    let text = run_well(folder, script, QUIET).replace("\"op\":\"+I\",", "");
    let mut rows: Vec<String> = text.lines().map(str::to_string).collect();
    rows.sort();
    rows
}

const Q: &str = "CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '5');";

#[test]
fn strings_and_hashes_are_looked_up() {
    let Some(redis) = Redis::shared() else { return };
    redis.command(&["SET", "sensor:1", r#"{"name":"one","price":1.5,"more":true}"#]);
    redis.command(&["SET", "sensor:2", "{\n \"name\": null}"]);
    redis.command(&["LPUSH", "sensor:4", "a list"]);
    redis.command(&["SET", "sensor:5", "{\"name\":"]);
    redis.command(&["HSET", "h:1", "name", "one", "price", "1.50", "at_", "2026-01-05 08:00:00"]);
    redis.command(&["HSET", "h:2", "other", "x"]);
    redis.command(&["HSET", "h:4", "price", "cheap"]);
    let folder = folder();
    let metadata = "outcome STRING METADATA VIRTUAL, said STRING METADATA FROM 'error-string' VIRTUAL";
    let script = format!(
        "{Q} CREATE TABLE s (id INT, name STRING, price DECIMAL(8, 2), {metadata}) {};
         SELECT q.id, s.name, s.price, s.outcome, s.said FROM q LEFT JOIN s ON q.id = s.id;",
        redis.with(", 'redis.key' = 'sensor:{id}', 'lookup.on-error' = 'null'")
    );
    let found = rows(folder.path(), &script);
    assert!(found[0].contains("\"id\":1,\"name\":\"one\",\"price\":1.50,\"outcome\":\"ok\""), "{found:?}");
    assert!(found[1].contains("\"name\":null,\"price\":null,\"outcome\":\"ok\""), "{found:?}");
    assert!(found[2].contains("\"outcome\":\"miss\""), "{found:?}");
    // What is there is not a miss.
    assert!(
        found[3].contains("\"outcome\":\"error\"")
            && found[3].contains("WRONGTYPE")
            && found[3].contains("sensor:4"),
        "{found:?}"
    );
    assert!(found[4].contains("\"outcome\":\"error\"") && found[4].contains("sensor:5"), "{found:?}");
    let script = format!(
        "{Q} CREATE TABLE h (id INT, name STRING, price DECIMAL(8, 2), at_ TIMESTAMP(3), {metadata}, PRIMARY KEY (id) NOT ENFORCED) {};
         SELECT q.id, h.name, h.price, h.at_, h.outcome, h.said FROM q LEFT JOIN h ON q.id = h.id;",
        redis.with(", 'redis.type' = 'hash', 'redis.key' = 'h:{id}', 'lookup.on-error' = 'null'")
    );
    let found = rows(folder.path(), &script);
    assert!(
        found[0]
            .contains("\"name\":\"one\",\"price\":1.50,\"at_\":\"2026-01-05 08:00:00\",\"outcome\":\"ok\""),
        "{found:?}"
    );
    assert!(found[1].contains("\"name\":null") && found[1].contains("\"outcome\":\"ok\""), "{found:?}");
    assert!(found[2].contains("\"outcome\":\"miss\""), "{found:?}");
    assert!(
        found[3].contains("\"outcome\":\"error\"")
            && found[3].contains("'price'")
            && found[3].contains("h:4"),
        "{found:?}"
    );
    let wrong = redis.with(", 'redis.key' = 's:{id}'").replace(PASSWORD, "not-the-password-8");
    let error = run_badly(
        folder.path(),
        &format!("{Q} CREATE TABLE s (id INT, v STRING) {wrong}; SELECT s.v FROM q JOIN s ON q.id = s.id;"),
    );
    assert!(error.contains("password") && !error.contains("not-the-password-8"), "{error}");
}

#[test]
fn a_sink_sets_and_deletes() {
    let Some(redis) = Redis::shared() else { return };
    redis.command(&["HSET", "hash:1", "a", "old"]);
    let folder = folder();
    let script = format!(
        "SET 'table.dml-sync' = 'true';
         {Q} CREATE TABLE o (k INT, n BIGINT, name STRING, PRIMARY KEY (k) NOT ENFORCED) {};
         CREATE TABLE h (k INT, a STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) {};
         CREATE TABLE c (k INT, n BIGINT, name STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = 'changes.jsonl', 'format' = 'json', 'json.changelog-field' = 'op');
         INSERT INTO o SELECT k, n, name FROM c;
         INSERT INTO h SELECT id, NULLIF('v', CAST(id AS STRING)), id FROM q;
         INSERT INTO h SELECT 1, CAST(NULL AS STRING), 9;",
        redis.with(", 'redis.key' = 'out:{k}'"),
        redis.with(", 'redis.key' = 'hash:{k}', 'redis.type' = 'hash'"),
    );
    std::fs::write(
        folder.path().join("changes.jsonl"),
        "{\"op\":\"+I\",\"k\":0,\"n\":1,\"name\":\"x\"}\n{\"op\":\"-D\",\"k\":2,\"n\":1,\"name\":\"x\"}\n",
    )
    .unwrap();
    redis.command(&["SET", "out:2", "old"]);
    run_well(folder.path(), &script, &[]);
    assert_eq!(redis.command(&["MGET", "out:0", "out:1", "out:2"]), "{\"n\":1,\"name\":\"x\"}");
    assert_eq!(redis.command(&["HGETALL", "hash:1"]), "n\n9");
    assert_eq!(redis.command(&["HMGET", "hash:5", "a", "n"]), "v\n5");
}

#[test]
fn fields_of_hashes_come_back_as_they_went() {
    let Some(redis) = Redis::shared() else { return };
    let folder = folder();
    redis.command(&["HSET", "nested:3", "n", "old"]);
    let table = format!(
        "CREATE TABLE d (id INT, a ARRAY<STRING>, i ARRAY<INT>, r ROW<x INT, y STRING>, m MAP<STRING, DECIMAL(6, 2)>, n DOUBLE, t TIMESTAMP(3), l TIMESTAMP_LTZ(3), b BYTES, PRIMARY KEY (id) NOT ENFORCED) {};",
        redis.with(", 'redis.type' = 'hash', 'redis.key' = 'nested:{id}'")
    );
    let script = format!(
        "SET 'table.dml-sync' = 'true'; {table}
         INSERT INTO d SELECT 1, ARRAY['a, b', 'c'], ARRAY[1, CAST(NULL AS INT)], ROW(1, 'z\"}}'), MAP['k', 1.50], 0.1, TIMESTAMP '2026-01-05 08:00:00.5', TO_TIMESTAMP_LTZ(1500, 3), x'00ff';
         INSERT INTO d (id, r) SELECT 2, ROW(CAST(NULL AS INT), CAST(NULL AS STRING));
         INSERT INTO d (id) SELECT 3;"
    );
    run_well(folder.path(), &script, &[]);
    assert_eq!(redis.command(&["HGET", "nested:1", "a"]), "[\"a, b\",\"c\"]");
    // What a lookup that missed leaves is a row of NULLs: no hash.
    assert_eq!(redis.command(&["EXISTS", "nested:3"]), "0");
    let found = rows(
        folder.path(),
        &format!(
            "{Q} {table} SELECT q.id, d.* EXCLUDE (id) FROM q LEFT JOIN d ON q.id = d.id WHERE q.id < 4;"
        ),
    );
    assert_eq!(found.len(), 3, "{found:?}");
    for part in [
        "\"a\":[\"a, b\",\"c\"],\"i\":[1,null],\"r\":{\"x\":1,\"y\":\"z\\\"}\"},\"m\":{\"k\":1.50},\"n\":0.1",
        "\"t\":\"2026-01-05 08:00:00.5\",\"l\":\"1970-01-01 00:00:01.5Z\",\"b\":\"AP8=\"",
    ] {
        assert!(found[0].contains(part), "{part}\n{}", found[0]);
    }
    assert!(
        found[1].contains("\"a\":null") && found[1].contains("\"r\":{\"x\":null,\"y\":null}"),
        "{found:?}"
    );
    // What is no value of the type is an error of its key, and no list of one text.
    redis.command(&["HSET", "nested:1", "a", "[a, b]"]);
    let error =
        run_badly(folder.path(), &format!("{Q} {table} SELECT q.id, d.a FROM q JOIN d ON q.id = d.id;"));
    assert!(
        error.contains("nested:1") && error.contains("'a'") && error.contains("ARRAY<STRING>"),
        "{error}"
    );
}

#[test]
fn a_server_that_restarts_loses_nothing() {
    let Some(mut redis) = Redis::start() else { return };
    let folder = folder();
    let numbers = |rate: u32| {
        format!(
            "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '12000');"
        )
    };
    let keep = format!(
        "{} CREATE TABLE o (id BIGINT, twice BIGINT, PRIMARY KEY (id) NOT ENFORCED) {}; INSERT INTO o SELECT id, id * 2 FROM n;",
        numbers(1_000_000),
        redis.with(", 'redis.key' = 'n:{id}'")
    );
    run_well(folder.path(), &keep, &[]);
    let script = format!(
        "{} CREATE TABLE o (id BIGINT, twice BIGINT) {}; CREATE TABLE out_ (id BIGINT, twice BIGINT, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO out_ SELECT n.id, o.twice FROM n LEFT JOIN o ON n.id = o.id;",
        numbers(3000),
        redis.with(", 'redis.key' = 'n:{id}', 'lookup.max-retries' = '20'"),
        redis.with(", 'redis.key' = 'o:{id}', 'sink.max-retries' = '8'"),
    );
    let path = write(folder.path(), &script);
    let mut running = Running::start(affluent(folder.path(), &["run", path.to_str().unwrap(), "-q"]));
    until("rows", || redis.command(&["DBSIZE"]).parse::<u64>().unwrap_or(0) > 13_000);
    redis.command(&["SHUTDOWN", "NOSAVE"]);
    redis.server = None;
    std::thread::sleep(Duration::from_millis(700));
    redis.begin();
    let output = running.finish();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(redis.command(&["DBSIZE"]), "24000");
    for id in [1, 5000, 12_000] {
        assert_eq!(redis.command(&["GET", &format!("o:{id}")]), format!("{{\"twice\":{}}}", id * 2));
    }
}
