//! `kafka` and `upsert-kafka` against Apache Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rdkafka::message::Message;
use rdkafka::producer::Producer;

use crate::harness::{Running, affluent, run, run_badly, run_well, until, write};
use crate::kafka_server::{Broker, folder, headers, path, text};

/// WITH of a table.
fn with(broker: &Broker, topic: &str, more: &str) -> String {
    format!(
        "WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'json' {more})",
        broker.servers()
    )
}

const BOUNDED: &str = ", 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";

/// The rows of a query as JSON lines, sorted.
fn rows(folder: &std::path::Path, script: &str) -> Vec<String> {
    let mut rows: Vec<String> =
        run_well(folder, script, &["-o", "json", "-q"]).lines().map(str::to_string).collect();
    rows.sort();
    rows
}

#[test]
fn records_with_all_that_they_have() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    // Its times are older than what a topic keeps.
    broker.topic_with("all-in", 1, &[("retention.ms", "-1")]);
    broker.write_with_headers(
        "all-in",
        r#"{"id": 1, "v": "a"}"#,
        1_767_225_600_123,
        &[("h", b"one"), ("g", b"two"), ("h", b"three")],
    );
    broker.write("all-in", Some(0), &[(Some("k"), Some(r#"{"id": 2, "v": "b"}"#)), (Some("k"), None)]);
    let script = format!(
        "SET 'table.local-time-zone' = 'Europe/Oslo';
         CREATE TABLE t (id INT, v STRING, topic STRING METADATA VIRTUAL, p INT METADATA FROM 'partition' VIRTUAL,
            o BIGINT METADATA FROM 'offset' VIRTUAL, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
            local TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, kind STRING METADATA FROM 'timestamp-type' VIRTUAL,
            headers MAP<STRING, BYTES> METADATA VIRTUAL) {};
         SELECT id, v, topic, p, o, kind, CAST(headers['h'] AS STRING) AS h FROM t;
         SELECT ts, local FROM t WHERE id = 1;",
        with(broker, "all-in", BOUNDED)
    );
    let out = rows(path(&folder), &script);
    assert_eq!(out.len(), 3, "{out:?}");
    assert!(
        out.iter()
            .any(|r| r
                .contains(r#""id":1,"v":"a","topic":"all-in","p":0,"o":0,"kind":"CreateTime","h":"three""#)),
        "{out:?}"
    );
    assert!(
        out.iter().any(
            |r| r.contains(r#""id":2,"v":"b","topic":"all-in","p":0,"o":1"#) && r.contains(r#""h":null"#)
        ),
        "{out:?}"
    );
    assert!(
        out.iter().any(|r| r.contains("2026-01-01 00:00:00.123Z") && r.contains("2026-01-01 01:00:00.123\"")),
        "{out:?}"
    );
}

#[test]
fn rows_go_where_java_would_put_them() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic_with("placed", 7, &[("retention.ms", "-1")]);
    let script = format!(
        "CREATE TABLE t (k STRING, n INT, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', h MAP<STRING, BYTES> METADATA FROM 'headers') {};
         INSERT INTO t VALUES ('21', 1, TO_TIMESTAMP_LTZ(1000, 3), MAP['a', CAST('x' AS BYTES)]), ('foobar', 2, TO_TIMESTAMP_LTZ(2000, 3), NULL),
            ('abc', 3, TO_TIMESTAMP_LTZ(3000, 3), NULL), ('a-little-bit-long-string', 4, TO_TIMESTAMP_LTZ(4000, 3), NULL);",
        with(broker, "placed", ", 'key.format' = 'raw', 'key.fields' = 'k', 'value.fields-include' = 'EXCEPT_KEY'")
    );
    run_well(path(&folder), &script, &[]);
    // murmur2 of Kafka's own tests, without the sign, by seven.
    let expected = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("abc", 479_470_107),
        ("a-little-bit-long-string", -985_981_536),
    ];
    let expected: BTreeMap<&str, i32> =
        expected.into_iter().map(|(k, h)| (k, (h & 0x7fff_ffff) % 7)).collect();
    let read = broker.read("placed");
    assert_eq!(read.len(), 4);
    for message in &read {
        let key = text(message.key()).unwrap();
        assert_eq!(message.partition(), expected[key], "{key}");
        assert!(!text(message.payload()).unwrap().contains("\"k\""));
    }
    let first = read.iter().find(|m| m.key() == Some(b"21")).unwrap();
    assert_eq!(text(first.payload()), Some(r#"{"n":1}"#));
    assert_eq!(
        (first.timestamp().to_millis(), headers(first)),
        (Some(1000), vec![("a".into(), Some("x".into()))])
    );
}

#[test]
fn keys_topics_patterns_and_modes() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic("modes-a", 2);
    broker.topic("modes-b", 1);
    let line = |n: usize| format!("{{\"v\": {n}}}");
    let texts: Vec<String> = (0..10).map(line).collect();
    let records: Vec<_> =
        texts.iter().map(|t| (Some("{\"k_id\": 1, \"id\": 7}"), Some(t.as_str()))).collect();
    broker.write("modes-a", Some(0), &records[..5]);
    broker.write("modes-a", Some(1), &records[5..8]);
    broker.write("modes-b", Some(0), &records[8..]);
    let query = |topic: &str, more: &str| {
        let servers = broker.servers();
        let key = "'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_', 'value.fields-include' = 'EXCEPT_KEY'";
        let script = format!(
            "CREATE TABLE t (k_id INT, v INT) WITH ('connector' = 'kafka', {topic}, 'properties.bootstrap.servers' = '{servers}',
                'value.format' = 'json', 'value.json.fail-on-missing-field' = 'true', {key} {more});
             SELECT SUM(v) AS s, COUNT(*) AS n, MIN(k_id) AS k FROM t;"
        );
        // The last of the changes is the result.
        let out =
            run_well(path(&folder), &script, &["-o", "json", "-q", "--set", "execution.runtime-mode=batch"]);
        out.lines().last().unwrap_or_default().to_string()
    };
    let all = query("'topic-pattern' = 'modes-.*'", BOUNDED);
    assert!(all.contains(r#""s":45,"n":10,"k":7"#), "{all}");
    let both = query("'topic' = 'modes-a;modes-b'", BOUNDED);
    assert_eq!(all, both);
    let end = "'scan.bounded.mode' = 'latest-offset'";
    let some = query(
        "'topic' = 'modes-a'",
        &format!(
            ", 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:3', {end}"
        ),
    );
    assert!(some.contains(r#""s":25,"n":5"#), "{some}");
    let some = query(
        "'topic' = 'modes-a'",
        ", 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = 'partition:0,offset:2'",
    );
    assert!(some.contains(r#""s":1,"n":2"#), "{some}");
    let none = query("'topic' = 'modes-a'", &format!(", 'scan.startup.mode' = 'latest-offset', {end}"));
    assert!(none.contains(r#""n":0"#), "{none}");
    let late = query(
        "'topic' = 'modes-a'",
        &format!(", 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1000', {end}"),
    );
    assert!(late.contains(r#""n":8"#), "{late}");
    let script = format!("CREATE TABLE t (v INT) {}; SELECT * FROM t;", with(broker, "modes-a", ""));
    let error = run_badly(path(&folder), &script);
    assert!(
        error.contains("group 'KafkaSource-t' has no offset")
            && error.contains("properties.auto.offset.reset"),
        "{error}"
    );
    let script = format!("CREATE TABLE t (v INT) {}; SELECT * FROM t;", with(broker, "modes-c", BOUNDED));
    let error = run_badly(path(&folder), &script);
    assert!(
        error.contains("topic 'modes-c' does not exist") && error.contains("did you mean 'modes-"),
        "{error}"
    );
}

#[test]
fn poison_is_named_kept_or_left_out() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic("poison", 1);
    let texts: Vec<String> =
        (0..100).map(|n| if n == 60 { "{\"n\": sixty}".into() } else { format!("{{\"n\": {n}}}") }).collect();
    let records: Vec<_> = texts.iter().map(|t| (None, Some(t.as_str()))).collect();
    broker.write("poison", Some(0), &records);
    let table = |more: &str| {
        format!("CREATE TABLE t (n INT) {};", with(broker, "poison", &format!("{BOUNDED} {more}")))
    };
    let error = run_badly(path(&folder), &format!("{} SELECT * FROM t;", table("")));
    assert!(error.contains("topic 'poison', partition 0, offset 60") && error.contains("sixty"), "{error}");
    let out =
        rows(path(&folder), &format!("{} SELECT n FROM t;", table(", 'json.ignore-parse-errors' = 'true'")));
    assert_eq!(out.len(), 99);
    let script = format!(
        "{} CREATE TABLE gone (message STRING, raw BYTES, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'gone.jsonl', 'format' = 'json');
         CREATE TABLE kept (n INT) WITH ('connector' = 'filesystem', 'path' = 'kept.jsonl', 'format' = 'json');
         INSERT INTO kept SELECT n FROM t;",
        table(", 'scan.dead-letter' = 'gone'")
    );
    run_well(path(&folder), &script, &[]);
    let gone = std::fs::read_to_string(folder.path().join("gone.jsonl")).unwrap();
    assert!(gone.contains("poison/0@60") && gone.lines().count() == 1, "{gone}");
    assert_eq!(std::fs::read_to_string(folder.path().join("kept.jsonl")).unwrap().lines().count(), 99);
    // A record without a key, where the key is NOT NULL.
    broker.topic("poison-null", 1);
    let one = Some("{\"n\": 1}");
    broker.write("poison-null", Some(0), &[(Some("a"), one), (None, one), (Some("c"), one)]);
    let keys = ", 'key.format' = 'raw', 'key.fields' = 'k', 'value.fields-include' = 'EXCEPT_KEY'";
    let script = format!(
        "CREATE TABLE t (k STRING NOT NULL, n INT) {};
         CREATE TABLE gone (message STRING, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'null.jsonl', 'format' = 'json');
         CREATE TABLE kept (k STRING) WITH ('connector' = 'filesystem', 'path' = 'keys.jsonl', 'format' = 'json');
         INSERT INTO kept SELECT k FROM t;",
        with(broker, "poison-null", &format!("{BOUNDED}{keys}, 'scan.dead-letter' = 'gone'")),
    );
    run_well(path(&folder), &script, &[]);
    let kept = std::fs::read_to_string(folder.path().join("keys.jsonl")).unwrap();
    assert_eq!(kept, "{\"k\":\"a\"}\n{\"k\":\"c\"}\n");
    let gone = std::fs::read_to_string(folder.path().join("null.jsonl")).unwrap();
    assert!(gone.contains("column 'k' is NULL, it is declared NOT NULL"), "{gone}");
    assert!(gone.contains("\"position\":\"poison-null/0@1\"") && gone.lines().count() == 1, "{gone}");
}

#[test]
fn upserts_by_key() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic_with("upsert-in", 3, &[("cleanup.policy", "compact")]);
    broker.topic_with("upsert-out", 2, &[("cleanup.policy", "compact")]);
    let record = |id: i32, v: Option<i32>| {
        (format!("{{\"id\":{id}}}"), v.map(|v| format!("{{\"id\":{id},\"v\":{v}}}")))
    };
    let all = [
        record(1, Some(10)),
        record(2, Some(20)),
        record(1, Some(11)),
        record(3, Some(30)),
        record(2, None),
        record(4, None),
    ];
    let all: Vec<_> = all.iter().map(|(k, v)| (Some(k.as_str()), v.as_deref())).collect();
    broker.write("upsert-in", None, &all);
    let table = |name: &str, topic: &str, columns: &str, key: &str, more: &str| {
        format!(
            "CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = '{topic}',
                'properties.bootstrap.servers' = '{}', 'key.format' = 'json', 'value.format' = 'json' {more});",
            broker.servers()
        )
    };
    let read =
        table("t", "upsert-in", "id INT, v INT NOT NULL", "id", ", 'scan.bounded.mode' = 'latest-offset'");
    let batch = ["-o", "json", "-q", "--set", "execution.runtime-mode=batch"];
    let out = run_well(path(&folder), &format!("{read} SELECT id, v FROM t;"), &batch);
    let mut out: Vec<&str> = out.lines().collect();
    out.sort();
    assert_eq!(
        out,
        [r#"{"id":1,"v":11}"#, r#"{"id":3,"v":30}"#].map(|r| r.replacen('{', r#"{"op":"+I","#, 1)),
        "{out:?}"
    );
    // Counts by v's tens: what goes away is a tombstone.
    let written = table("o", "upsert-out", "tens INT, n BIGINT", "tens", "");
    run_well(
        path(&folder),
        &format!("{read} {written} INSERT INTO o SELECT v / 10, COUNT(*) FROM t GROUP BY v / 10;"),
        &[],
    );
    let mut last: BTreeMap<String, Option<String>> = BTreeMap::new();
    let records = broker.read("upsert-out");
    for message in &records {
        last.insert(text(message.key()).unwrap().into(), text(message.payload()).map(str::to_string));
    }
    assert_eq!(last[r#"{"tens":1}"#].as_deref(), Some(r#"{"tens":1,"n":1}"#), "{last:?}");
    assert_eq!(last[r#"{"tens":3}"#].as_deref(), Some(r#"{"tens":3,"n":1}"#), "{last:?}");
    // Gathered, only the newest of each key is written.
    broker.topic("upsert-few", 1);
    let few = table(
        "f",
        "upsert-few",
        "tens INT, n BIGINT",
        "tens",
        ", 'sink.buffer-flush.max-rows' = '1000', 'sink.buffer-flush.interval' = '1 h'",
    );
    run_well(
        path(&folder),
        &format!("{read} {few} INSERT INTO f SELECT v / 10, COUNT(*) FROM t GROUP BY v / 10;"),
        &[],
    );
    let few = broker.read("upsert-few");
    assert!(few.len() <= 3 && few.len() >= 2, "{}", few.len());
}

/// A pipeline from topic to topic, with checkpoints.
fn copy(broker: &Broker, from: &str, to: &str, guarantee: &str, more: &str) -> String {
    let sink = match guarantee {
        "exactly-once" => {
            format!(", 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{to}'")
        }
        _ => String::new(),
    };
    format!(
        "SET 'execution.checkpointing.interval' = '100 ms';
         SET 'execution.checkpointing.dir' = 'checkpoints';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000';
         SET 'restart-strategy.fixed-delay.delay' = '100 ms';
         CREATE TABLE i (id INT, v STRING) {};
         CREATE TABLE o (id INT, v STRING, n BIGINT) {};
         INSERT INTO o SELECT id, v, COUNT(*) OVER (PARTITION BY v ORDER BY pt) FROM (SELECT id, v, PROCTIME() AS pt FROM i);",
        with(broker, from, &format!(", 'scan.startup.mode' = 'earliest-offset', 'scan.topic-partition-discovery.interval' = '500 ms' {more}")),
        with(broker, to, &format!(", 'properties.default.api.timeout.ms' = '20000' {sink}")),
    )
}

/// How often each id is in a topic, for a reader of committed transactions.
fn counts(broker: &Broker, topic: &str) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for value in broker.values(topic) {
        let value: serde_json::Value = serde_json::from_str(&value).unwrap();
        *counts.entry(value["id"].as_i64().unwrap()).or_insert(0) += 1;
    }
    counts
}

/// Writes numbered rows, until they are all there.
fn feed(
    broker: &'static Broker,
    topic: &'static str,
    rows: i32,
    pause: Duration,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let producer = broker.producer(&[("linger.ms", "5")]);
        for id in 0..rows {
            let (key, value) = (format!("{}", id % 17), format!("{{\"id\": {id}, \"v\": \"v{}\"}}", id % 17));
            let record = rdkafka::producer::BaseRecord::to(topic).key(key.as_str()).payload(value.as_str());
            producer.send(record).map_err(|(e, _)| e).unwrap();
            if id % 50 == 0 {
                producer.poll(Duration::ZERO);
                std::thread::sleep(pause);
            }
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    })
}

#[test]
fn killed_at_any_moment_each_row_is_there_once() {
    let Some(broker) = Broker::shared() else { return };
    let kills: usize = std::env::var("KAFKA_KILLS").map_or(12, |n| n.parse().unwrap());
    let folder = folder();
    broker.topic("once-in", 3);
    broker.topic("once-out", 2);
    let rows = 400 * kills as i32;
    let feeding = feed(broker, "once-in", rows, Duration::from_millis(40));
    let script = write(path(&folder), &copy(broker, "once-in", "once-out", "exactly-once", ""));
    let errors = folder.path().join("errors");
    let start = || {
        let mut command = affluent(path(&folder), &["run", script.to_str().unwrap()]);
        command.args(["--set", "parallelism.default=2"]);
        Running::start_quietly(command, &errors)
    };
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for _ in 0..kills {
        let mut running = start();
        std::thread::sleep(Duration::from_millis(random.random_range(150..900)));
        assert_eq!(running.has_ended(), None, "{}", std::fs::read_to_string(&errors).unwrap());
        running.kill();
    }
    feeding.join().unwrap();
    let mut running = start();
    until("all rows are there", || {
        assert_eq!(running.has_ended(), None, "{}", std::fs::read_to_string(&errors).unwrap());
        counts(broker, "once-out").len() == rows as usize
    });
    let stopped = running.interrupt();
    assert!(stopped.status.code().is_some(), "{stopped:?}");
    let doubled: Vec<_> = counts(broker, "once-out").into_iter().filter(|(_, n)| *n != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}\n{}", std::fs::read_to_string(&errors).unwrap());
    // What the group knows is what the job has read.
    let committed: i64 = broker.committed("KafkaSource-i", "once-in", 3).into_iter().flatten().sum();
    assert_eq!(committed, i64::from(rows));
}

#[test]
fn a_broker_that_goes_and_comes_back() {
    let Some(mut broker) = Broker::start("") else { return };
    let folder = folder();
    broker.topic("there-in", 2);
    broker.topic("there-out", 1);
    let write_some = |broker: &Broker, ids: std::ops::Range<i32>| {
        let texts: Vec<String> = ids.map(|id| format!("{{\"id\": {id}, \"v\": \"x\"}}")).collect();
        let records: Vec<_> = texts.iter().map(|t| (Some(t.as_str()), Some(t.as_str()))).collect();
        broker.write("there-in", None, &records);
    };
    write_some(&broker, 0..500);
    let script = write(path(&folder), &copy(&broker, "there-in", "there-out", "exactly-once", ""));
    let errors = folder.path().join("errors");
    let mut running =
        Running::start_quietly(affluent(path(&folder), &["run", script.to_str().unwrap()]), &errors);
    until("the first rows are there", || counts(&broker, "there-out").len() == 500);
    for round in 1..3 {
        broker.kill();
        std::thread::sleep(Duration::from_millis(1500));
        broker.run();
        write_some(&broker, round * 500..(round + 1) * 500);
        until("the next rows are there", || {
            assert_eq!(running.has_ended(), None, "{}", std::fs::read_to_string(&errors).unwrap());
            counts(&broker, "there-out").len() == (round as usize + 1) * 500
        });
    }
    running.interrupt();
    let doubled: Vec<_> = counts(&broker, "there-out").into_iter().filter(|(_, n)| *n != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}\n{}", std::fs::read_to_string(&errors).unwrap());
}

#[test]
fn a_zombie_is_fenced() {
    let Some(broker) = Broker::shared() else { return };
    let (one, two) = (folder(), folder());
    broker.topic("zombie-in", 1);
    broker.topic("zombie-out", 1);
    let text = copy(broker, "zombie-in", "zombie-out", "exactly-once", "").replace("'1000'", "'0'");
    let feeding = feed(broker, "zombie-in", 1000, Duration::from_millis(20));
    let script = write(path(&one), &text);
    let mut first = Running::start(affluent(path(&one), &["run", script.to_str().unwrap()]));
    until("the first rows are there", || !broker.values("zombie-out").is_empty());
    // The same prefix from another folder: it knows nothing of the first one's checkpoints.
    let script = write(path(&two), &text);
    let errors = two.path().join("errors");
    let mut second =
        Running::start_quietly(affluent(path(&two), &["run", script.to_str().unwrap()]), &errors);
    let ended = first.finish();
    let said = String::from_utf8_lossy(&ended.stderr).to_string();
    assert!(
        !ended.status.success()
            && said.contains("another process writes with 'sink.transactional-id-prefix' = 'zombie-out'"),
        "{said}"
    );
    feeding.join().unwrap();
    until("the second has all rows", || counts(broker, "zombie-out").len() == 1000);
    assert_eq!(second.has_ended(), None);
}

#[test]
fn offsets_out_of_range_and_new_partitions() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic("range", 1);
    let texts: Vec<String> = (0..100).map(|n| format!("{{\"id\": {n}, \"v\": \"x\"}}")).collect();
    let records: Vec<_> = texts.iter().map(|t| (None, Some(t.as_str()))).collect();
    broker.write("range", Some(0), &records);
    broker.truncate("range", 0, 40);
    let old = ", 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:10', 'scan.bounded.mode' = 'latest-offset'";
    let query = |more: &str| {
        format!(
            "CREATE TABLE t (id INT) {}; SELECT id FROM t;",
            with(broker, "range", &format!("{old} {more}"))
        )
    };
    let error = run_badly(path(&folder), &query(""));
    assert!(
        error.contains("records 10 to 39 of partition 0 of topic 'range' are gone")
            && error.contains("retention.ms"),
        "{error}"
    );
    let output = run(path(&folder), &query(", 'properties.auto.offset.reset' = 'earliest'"), &["-o", "json"]);
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 60, "{said}");
    assert!(said.contains("it goes on at offset 40"), "{said}");
    // A partition that is added is found, and read from its beginning.
    broker.topic("range-out", 1);
    let script = write(path(&folder), &copy(broker, "range", "range-out", "at-least-once", ""));
    let errors = folder.path().join("errors");
    let mut running =
        Running::start_quietly(affluent(path(&folder), &["run", script.to_str().unwrap()]), &errors);
    until("the rows are there", || counts(broker, "range-out").len() == 60);
    broker.add_partitions("range", 2);
    broker.write("range", Some(1), &[(None, Some(r#"{"id": 1000, "v": "new"}"#))]);
    until("the new row is there", || counts(broker, "range-out").contains_key(&1000));
    running.interrupt();
    assert_eq!(broker.committed("KafkaSource-i", "range", 2), [Some(100), Some(1)]);
    // It goes on where it was.
    broker.write("range", Some(0), &[(None, Some(r#"{"id": 2000, "v": "later"}"#))]);
    let mut running =
        Running::start_quietly(affluent(path(&folder), &["run", script.to_str().unwrap()]), &errors);
    until("the later row is there", || counts(broker, "range-out").contains_key(&2000));
    running.interrupt();
    assert!(counts(broker, "range-out").values().all(|n| *n == 1));
}

#[test]
fn unreachable_brokers_and_refused_records_say_why() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    let closed = crate::harness::port();
    // A busy machine needs its time until a connection has failed: the client says why only then.
    let says = |servers: &str, more: &str, word: &str| {
        let mut error = String::new();
        for timeout in [1500, 10_000, 60_000] {
            let options = format!(
                ", 'properties.default.api.timeout.ms' = '{timeout}', 'scan.startup.mode' = 'earliest-offset'{more}"
            );
            let table = with(broker, "x", &options).replace(&broker.servers(), servers);
            error = run_badly(path(&folder), &format!("CREATE TABLE t (id INT) {table}; SELECT * FROM t;"));
            if error.contains(word) {
                return error;
            }
        }
        panic!("{word}: {error}");
    };
    let error = says(&format!("127.0.0.1:{closed}"), "", "could not be reached");
    assert!(error.contains("does the broker run"), "{error}");
    says(&broker.servers(), ", 'properties.security.protocol' = 'SSL'", "does this port speak TLS");
    broker.topic_with("small", 1, &[("max.message.bytes", "2000")]);
    let script = format!(
        "CREATE TABLE t (v STRING) {}; INSERT INTO t VALUES (REPEAT('x', 5000));",
        with(broker, "small", "")
    );
    let error = run_badly(path(&folder), &script);
    assert!(error.contains("too large for topic 'small'") && error.contains("max.message.bytes"), "{error}");
    let script =
        format!("CREATE TABLE t (v STRING) {}; INSERT INTO t VALUES ('x');", with(broker, "compacted", ""));
    broker.topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    let error = run_badly(path(&folder), &script);
    assert!(error.contains("cleanup.policy=compact"), "{error}");
}

#[test]
fn people_look_around() {
    let Some(broker) = Broker::shared() else { return };
    let folder = folder();
    broker.topic("looked-at", 2);
    let values: Vec<String> = (0..20)
        .map(|n| format!("{{\"id\": {n}, \"name\": \"n{n}\", \"at\": \"2026-01-01T00:00:00Z\"}}"))
        .collect();
    let records: Vec<_> = values.iter().map(|v| (Some(v.as_str()), Some(v.as_str()))).collect();
    broker.write("looked-at", None, &records);
    let url = format!("kafka://{}/looked-at", broker.servers());
    let out = rows(path(&folder), &format!("SELECT id, name FROM '{url}' LIMIT 5;"));
    assert_eq!(out.len(), 5, "{out:?}");
    let text = run_well(path(&folder), &format!("DESCRIBE '{url}';"), &[]);
    assert!(text.contains("BIGINT") && text.contains("TIMESTAMP_LTZ(3)"), "{text}");
    let text = run_well(path(&folder), &format!("DESCRIBE 'kafka://{}';", broker.servers()), &[]);
    assert!(text.contains(r#"{"topic":"looked-at","partitions":2,"records":20}"#), "{text}");
    let table = "CREATE TABLE t WITH ('connector' = 'kafka', 'topic' = 'looked-at', 'properties.bootstrap.servers' = 'SERVERS',
        'format' = 'json', 'scan.startup.mode' = 'earliest-offset');".replace("SERVERS", &broker.servers());
    let text = run_well(path(&folder), &table, &[]);
    assert!(text.contains("`name` STRING"), "{text}");
    let script = write(path(&folder), &table);
    let output = affluent(path(&folder), &["check", "--connect", script.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("2 partitions, 20 records"), "{said}");
    let script =
        write(path(&folder), &table.replace("looked-at", "looked-for").replace("t WITH", "t (id INT) WITH"));
    let output = affluent(path(&folder), &["check", "--connect", script.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("did you mean 'looked-at'?"), "{said}");
    // A table that is only written to needs no place to be read from; one that is read does.
    let tables = format!(
        "CREATE TABLE source (id INT) {}; CREATE TABLE sink (id INT) {};",
        with(broker, "looked-at", ", 'scan.startup.mode' = 'earliest-offset'"),
        with(broker, "looked-at", "")
    );
    let check = |insert: &str| {
        let script = write(path(&folder), &format!("{tables} {insert}"));
        let output =
            affluent(path(&folder), &["check", "--connect", script.to_str().unwrap()]).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (good, said) = check("INSERT INTO sink SELECT id FROM source;");
    assert!(good && said.contains("table 'sink': topic 'looked-at'"), "{said}");
    let (good, said) = check("INSERT INTO source SELECT id FROM sink;");
    assert!(!good && said.contains("table 'sink': group 'KafkaSource-sink' has no offset"), "{said}");
}

#[test]
fn logins() {
    let login = crate::harness::port();
    // The last of a name in the file counts.
    let listeners = "listeners=PLAINTEXT://127.0.0.1:OPEN,CONTROLLER://127.0.0.1:CONTROLLER,SASL_PLAINTEXT://127.0.0.1:LOGIN";
    let advertised = "advertised.listeners=PLAINTEXT://127.0.0.1:OPEN,SASL_PLAINTEXT://127.0.0.1:LOGIN";
    let more = format!(
        "{listeners}\n{advertised}\nsasl.enabled.mechanisms=PLAIN,OAUTHBEARER\n\
         listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"in-won-der\";\n\
         listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"x\";\n"
    );
    let more = more.replace("LOGIN", &login.to_string());
    let Some(broker) = Broker::start(&more) else { return };
    let folder = folder();
    broker.topic("guarded", 1);
    broker.write("guarded", Some(0), &[(None, Some(r#"{"id": 1}"#))]);
    let query = |mechanism: &str, jaas: &str| {
        let security = match mechanism {
            "" => String::new(),
            _ => format!(
                ", 'properties.security.protocol' = 'SASL_PLAINTEXT', 'properties.sasl.mechanism' = '{mechanism}', 'properties.sasl.jaas.config' = '{jaas}'"
            ),
        };
        let with = with(
            &broker,
            "guarded",
            &format!("{BOUNDED}, 'properties.default.api.timeout.ms' = '8000' {security}"),
        );
        let with = with.replace(&broker.servers(), &format!("127.0.0.1:{login}"));
        format!("CREATE TABLE t (id INT) {with}; SELECT id FROM t;")
    };
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"in-won-der\";";
    assert_eq!(rows(path(&folder), &query("PLAIN", plain)).len(), 1);
    let token = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"bob\";";
    assert_eq!(rows(path(&folder), &query("OAUTHBEARER", token)).len(), 1);
    let error = run_badly(path(&folder), &query("PLAIN", &plain.replace("in-won-der", "at-sea-1")));
    assert!(error.contains("user or password are wrong") && !error.contains("at-sea-1"), "{error}");
    let error = run_badly(path(&folder), &query("SCRAM-SHA-256", &plain.replace("Plain", "Scram")));
    assert!(
        error.contains("'properties.sasl.mechanism' is one of the broker's: PLAIN,OAUTHBEARER"),
        "{error}"
    );
    let error = run_badly(path(&folder), &query("", ""));
    // The client only says that the connection is cut, in words that depend on the moment, not why.
    assert!(error.contains("could not be reached"), "{error}");
}
