//! `kinesis` against an emulator (npm's `kinesis-local`), and through a proxy that refuses what the emulator would take.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::database::folder;
use crate::harness::{
    Running, Server, affluent, check, installed, left_out, port, run_badly, run_well, until, wait_for_port,
    write,
};

/// The folder of the emulator: `AFFLUENT_KINESIS_LOCAL`, or the user's cache, to which npm brings it once.
fn emulator() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        if let Ok(folder) = std::env::var("AFFLUENT_KINESIS_LOCAL") {
            return Some(PathBuf::from(folder));
        }
        if !["node", "npm"].into_iter().all(installed) {
            left_out("Kinesis", "node or npm is not installed");
            return None;
        }
        let cache = PathBuf::from(std::env::var("HOME").ok()?).join(".cache/affluent-tests/kinesis");
        let there = cache.join("node_modules/kinesis-local");
        if !there.join("main.js").exists() {
            std::fs::create_dir_all(&cache).ok()?;
            let npm = [
                "install",
                "--no-audit",
                "--no-fund",
                "--fetch-retries=1",
                "--fetch-timeout=30000",
                "--prefix",
            ];
            let made = Command::new("npm")
                .args(npm)
                .arg(&cache)
                .arg("kinesis-local@0.6.2")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !made.is_ok_and(|status| status.success()) {
                left_out("Kinesis", "npm could not bring kinesis-local");
                return None;
            }
        }
        Some(there)
    };
    FOUND.get_or_init(find).clone()
}

struct Kinesis {
    port: u16,
    server: Option<Server>,
}

impl Kinesis {
    fn start() -> Option<Self> {
        let mut kinesis = Self { port: port(), server: None };
        kinesis.begin(&emulator()?);
        Some(kinesis)
    }

    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Kinesis>> = OnceLock::new();
        SHARED.get_or_init(Kinesis::start).as_ref()
    }

    fn begin(&mut self, emulator: &Path) {
        let logs = folder();
        let mut settings: Vec<String> = [
            ("KINESIS_MOCK_PLAIN_PORT", self.port.to_string()),
            ("KINESIS_MOCK_TLS_PORT", port().to_string()),
            ("LOG_LEVEL", "ERROR".into()),
            ("SHARD_LIMIT", "1000".into()),
        ]
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
        for duration in ["CREATE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS"] {
            settings.push(format!("{duration}_DURATION=50ms"));
        }
        // It reads files of its folder, and its log goes elsewhere.
        let script = format!(
            "cd '{}' && exec env {} node main.js",
            emulator.display(),
            settings.iter().map(|s| format!("'{s}'")).collect::<Vec<_>>().join(" ")
        );
        self.server = Some(Server::start("sh", &["-c", &script], logs.path()));
        wait_for_port(self.port);
        until("the emulator", || self.try_call("ListStreams", &json!({})).is_some());
        // The log is of no use, and its folder goes.
        drop(logs);
    }

    fn try_call(&self, operation: &str, body: &Value) -> Option<Value> {
        let (status, text) = post(self.port, operation, &body.to_string())?;
        (status == 200).then(|| serde_json::from_str(&text).unwrap_or_default())
    }

    fn call(&self, operation: &str, body: Value) -> Value {
        let mut found = None;
        until(operation, || {
            found = self.try_call(operation, &body);
            found.is_some()
        });
        found.unwrap()
    }

    fn stream(&self, name: &str, shards: u32) {
        self.call("CreateStream", json!({"StreamName": name, "ShardCount": shards}));
        self.active(name);
    }

    fn active(&self, name: &str) {
        until("an active stream", || {
            let summary = self.try_call("DescribeStreamSummary", &json!({"StreamName": name}));
            let status = summary.as_ref().and_then(|s| s.pointer("/StreamDescriptionSummary/StreamStatus"));
            status.is_some_and(|status| status == "ACTIVE")
        });
    }

    /// The shards, and of each whether it is open and the middle of its keys.
    fn shards(&self, name: &str) -> Vec<(String, bool, String)> {
        let answer = self.call("ListShards", json!({"StreamName": name}));
        let shards = answer["Shards"].as_array().unwrap();
        let number = |shard: &Value, key: &str| -> u128 {
            shard["HashKeyRange"][key].as_str().unwrap().parse().unwrap()
        };
        shards
            .iter()
            .map(|shard| {
                let (low, high) = (number(shard, "StartingHashKey"), number(shard, "EndingHashKey"));
                let open = shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
                let id = shard["ShardId"].as_str().unwrap().to_string();
                (id, open, (low / 2 + high / 2).to_string())
            })
            .collect()
    }

    fn put(&self, name: &str, records: &[(String, Vec<u8>)]) {
        for part in records.chunks(400) {
            let records: Vec<Value> = part
                .iter()
                .map(|(key, data)| json!({"Data": STANDARD.encode(data), "PartitionKey": key}))
                .collect();
            let answer = self.call("PutRecords", json!({"StreamName": name, "Records": records}));
            assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
        }
    }

    /// Keys and data, shard by shard.
    fn records(&self, name: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (shard, ..) in self.shards(name) {
            let request = json!({"StreamName": name, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
            let mut iterator = self.call("GetShardIterator", request)["ShardIterator"].clone();
            loop {
                let answer = self.call("GetRecords", json!({"ShardIterator": iterator, "Limit": 10_000}));
                let records = answer["Records"].as_array().unwrap();
                for record in records {
                    let data = STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
                    let key = record["PartitionKey"].as_str().unwrap().to_string();
                    all.push((key, String::from_utf8(data).unwrap()));
                }
                iterator = answer["NextShardIterator"].clone();
                if iterator.is_null() || records.is_empty() {
                    break;
                }
            }
        }
        all
    }

    fn with(&self, more: &str) -> String {
        with(self.port, more)
    }
}

fn with(port: u16, more: &str) -> String {
    format!(
        "WITH ('connector' = 'kinesis', 'aws.region' = 'us-east-1', 'aws.endpoint' = 'http://127.0.0.1:{port}', 'format' = 'json',
           'aws.credentials.basic.accesskeyid' = 'AK', 'aws.credentials.basic.secretkey' = 'paper-clip-44'{more})"
    )
}

/// One request; status and body of the answer.
fn post(port: u16, operation: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: Kinesis_20131202.{operation}\r\nx-amz-date: 20261130T000000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=a/20261130/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=00\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split_whitespace().nth(1)?.parse().ok()?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(n) = line.strip_prefix("content-length:") {
            length = n.trim().parse::<usize>().ok();
        }
        chunked |= line == "transfer-encoding: chunked";
    }
    let mut body = Vec::new();
    match (length, chunked) {
        (Some(length), _) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).ok()?;
        }
        (None, true) => loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            if length == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..length]);
        },
        (None, false) => {
            reader.read_to_end(&mut body).ok()?;
        }
    }
    Some((status, String::from_utf8(body).ok()?))
}

/// Between the program and the emulator: refuses some records of a request, throttles, and lets iterators expire.
fn proxy(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = count.clone();
            std::thread::spawn(move || forward(stream, to, &count));
        }
    });
    at
}

fn forward(stream: TcpStream, to: u16, count: &AtomicUsize) {
    let mut answers = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut operation) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "x-amz-target" => operation = value.rsplit('.').next().unwrap().trim().to_string(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        let n = count.fetch_add(1, Ordering::SeqCst);
        let refused = |kind: &str| (400, json!({"__type": kind, "message": "not now"}).to_string());
        let (status, text) = match operation.as_str() {
            _ if n % 7 == 3 => refused("ProvisionedThroughputExceededException"),
            "GetRecords" if n % 11 == 5 => refused("ExpiredIteratorException"),
            "PutRecords" if n.is_multiple_of(2) => partly(to, &body),
            _ => post(to, &operation, &body).unwrap(),
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Every third record is refused.
fn partly(to: u16, body: &str) -> (u16, String) {
    let mut request: Value = serde_json::from_str(body).unwrap();
    let records = request["Records"].as_array().unwrap().clone();
    let taken: Vec<Value> =
        records.iter().enumerate().filter(|(i, _)| i % 3 != 0).map(|(_, r)| r.clone()).collect();
    let mut results = Vec::new().into_iter();
    if !taken.is_empty() {
        request["Records"] = json!(taken);
        let (status, text) = post(to, "PutRecords", &request.to_string()).unwrap();
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        results = answer["Records"].as_array().unwrap().clone().into_iter();
    }
    let refused =
        json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"});
    let all: Vec<Value> = (0..records.len())
        .map(|i| if i % 3 == 0 { refused.clone() } else { results.next().unwrap() })
        .collect();
    (200, json!({"FailedRecordCount": 1, "Records": all}).to_string())
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

fn rows(from: i64, to: i64) -> Vec<(String, Vec<u8>)> {
    (from..=to).map(|id| (format!("k{}", id % 13), format!("{{\"id\": {id}}}").into_bytes())).collect()
}

const ROLLING: &str = "'format' = 'json', 'sink.rolling-policy.rollover-interval' = '10 ms', 'sink.rolling-policy.check-interval' = '10 ms'";

#[test]
fn split_merged_and_killed_each_row_is_there_once() {
    let Some(kinesis) = Kinesis::shared() else { return };
    let folder = folder();
    kinesis.stream("once", 2);
    kinesis.put("once", &rows(1, 100));
    // Through a proxy that throttles and lets iterators expire.
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'out', {ROLLING});
         INSERT INTO o SELECT id FROM i;",
        with(
            proxy(kinesis.port),
            ", 'stream' = 'once', 'source.init.position' = 'TRIM_HORIZON', 'source.shard.discovery.interval' = '300 ms'"
        ),
    );
    let ids = || written(&folder.path().join("out"));
    let mut running = start(folder.path(), &script);
    let there = |running: &mut Running, n: usize| {
        until("rows", || {
            assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
            ids().len() >= n
        });
    };
    there(&mut running, 30);
    running.kill();
    // Split while nobody reads.
    let (id, _, middle) = kinesis.shards("once")[0].clone();
    kinesis
        .call("SplitShard", json!({"StreamName": "once", "ShardToSplit": id, "NewStartingHashKey": middle}));
    kinesis.active("once");
    kinesis.put("once", &rows(101, 200));
    running = start(folder.path(), &script);
    there(&mut running, 150);
    // And merge while somebody does.
    let open: Vec<_> = kinesis.shards("once").into_iter().filter(|(_, open, _)| *open).collect();
    assert_eq!(open.len(), 3, "{open:?}");
    let merge = json!({"StreamName": "once", "ShardToMerge": open[1].0, "AdjacentShardToMerge": open[2].0});
    kinesis.call("MergeShards", merge);
    kinesis.active("once");
    kinesis.put("once", &rows(201, 300));
    there(&mut running, 250);
    running.kill();
    kinesis.put("once", &rows(301, 400));
    running = start(folder.path(), &script);
    there(&mut running, 400);
    running.interrupt();
    assert_eq!(ids(), (1..=400).collect::<Vec<_>>());
}

#[test]
fn records_that_are_refused_come_again_before_others_of_their_key() {
    let Some(kinesis) = Kinesis::shared() else { return };
    let folder = folder();
    kinesis.stream("order", 2);
    let script = format!(
        "SET 'parallelism.default' = '1';
         CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '400');
         CREATE TABLE o (k STRING, id INT) PARTITIONED BY (k) {};
         INSERT INTO o SELECT 'key ' || CAST(id % 9 AS STRING), id FROM q;",
        with(proxy(kinesis.port), ", 'stream' = 'order', 'sink.max-retries' = '100'")
    );
    run_well(folder.path(), &script, &[]);
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, data) in kinesis.records("order") {
        let row: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(row["k"], key);
        by_key.entry(key).or_default().push(row["id"].as_i64().unwrap());
    }
    assert!(by_key.values().all(|ids| ids.is_sorted()), "{by_key:?}");
    let all: BTreeSet<i64> = by_key.values().flatten().copied().collect();
    assert_eq!((all.len(), by_key.values().map(Vec::len).sum::<usize>()), (400, 400));
    assert_eq!(by_key.len(), 9);
}

#[test]
fn a_stream_is_enriched_into_another() {
    let Some(kinesis) = Kinesis::shared() else { return };
    let folder = folder();
    kinesis.stream("from", 1);
    kinesis.stream("to", 1);
    // Two records in one, as the Kinesis Producer Library puts them together.
    let mut body = Vec::new();
    for key in ["a", "b"] {
        body.extend([0x0a, 1]);
        body.extend(key.as_bytes());
    }
    for (i, data) in ["{\"id\":2}", "{\"id\":3}"].iter().enumerate() {
        body.extend([0x1a, data.len() as u8 + 4, 0x08, i as u8, 0x1a, data.len() as u8]);
        body.extend(data.as_bytes());
    }
    let mut together = vec![0xf3, 0x89, 0x9a, 0xc2];
    together.extend(&body);
    together.extend(<md5::Md5 as md5::Digest>::digest(&body));
    kinesis.put(
        "from",
        &[
            ("x".into(), b"{\"id\": 1}".to_vec()),
            ("y".into(), together),
            ("z".into(), b"{\"id\": ".to_vec()),
            ("z".into(), b"{\"id\": 5}".to_vec()),
        ],
    );
    let script = format!(
        "SET 'execution.checkpointing.interval' = '100 ms';
         CREATE TABLE dead (message STRING, `position` STRING) WITH ('connector' = 'filesystem', 'path' = 'dead', {ROLLING});
         CREATE TABLE i (id INT, k STRING METADATA FROM 'partition-key' VIRTUAL, s STRING METADATA FROM 'shard-id' VIRTUAL, n STRING METADATA FROM 'sequence-number' VIRTUAL,
           at_ TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL) {};
         CREATE TABLE o (id INT, k STRING, s STRING, fresh BOOLEAN, n INT) PARTITIONED BY (k, id) {};
         INSERT INTO o SELECT id, k, s, at_ > TO_TIMESTAMP_LTZ(1700000000000, 3), CHAR_LENGTH(n) FROM i;",
        kinesis.with(", 'stream' = 'from', 'source.init.position' = 'AT_TIMESTAMP', 'source.init.timestamp' = '2020-01-01T00:00:00Z', 'scan.dead-letter' = 'dead'"),
        kinesis.with(", 'stream.arn' = 'arn:aws:kinesis:us-east-1:000000000000:stream/to'"),
    );
    let mut running = start(folder.path(), &script);
    until("rows", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        kinesis.records("to").len() >= 4
    });
    let dead = || -> String {
        let Ok(files) = std::fs::read_dir(folder.path().join("dead")) else { return String::new() };
        files.flatten().filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect()
    };
    until("the dead letter", || dead().contains("shardId-000000000000@"));
    running.interrupt();
    let mut found = kinesis.records("to");
    found.sort();
    let expected = [("a", 2), ("b", 3), ("x", 1), ("z", 5)].map(|(k, id)| {
        let row =
            format!("{{\"id\":{id},\"k\":\"{k}\",\"s\":\"shardId-000000000000\",\"fresh\":true,\"n\":56}}");
        (format!("{k}|{id}"), row)
    });
    assert_eq!(found, expected);
    let there =
        |more: &str| check(folder.path(), &format!("CREATE TABLE i (id INT) {};", kinesis.with(more)));
    let (fine, said) = there(", 'stream' = 'from'");
    assert!(fine && said.contains("stream 'from'") && said.contains("1 open shards"), "{said}");
    let (fine, said) = there(", 'stream' = 'nowhere'");
    assert!(!fine && said.contains("ResourceNotFoundException"), "{said}");
    for (more, words) in [
        (", 'stream' = 'nowhere'", ["stream 'nowhere'", "us-east-1"]),
        (", 'stream' = 'from', 'source.reader.type' = 'EFO'", ["'EFO' is not supported", "polled"]),
        (
            ", 'stream' = 'from', 'aws.credentials.provider' = 'PROFILE'",
            ["'PROFILE' is not supported", "AUTO"],
        ),
        (
            ", 'stream' = 'from', 'source.init.position' = 'TRIM_HORIZON'",
            ["shard 'shardId-000000000000'", "sequence number"],
        ),
    ] {
        let script = format!("CREATE TABLE i (id INT) {}; SELECT * FROM i;", kinesis.with(more));
        let error = run_badly(folder.path(), &script);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}\n{error}");
        assert!(!error.contains("paper-clip"), "{error}");
    }
}
