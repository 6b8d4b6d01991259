//! `mqtt` against Mosquitto, both versions of the protocol.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Outgoing, Packet, QoS};
use serde_json::Value;

use crate::database::folder;
use crate::harness::{
    Running, Server, affluent, check, installed, left_out, port, run_badly, until, wait_for_port, write,
};

struct Broker {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl Broker {
    /// Made, and not running.
    fn new(more: &str) -> Option<Self> {
        if !installed("mosquitto") {
            left_out("Mosquitto", "mosquitto is not installed");
            return None;
        }
        let broker = Self { folder: folder(), port: port(), server: None };
        // It would drop root, and then not write where only root may.
        let root = match std::fs::metadata("/root").is_ok_and(|_| std::fs::read_dir("/root").is_ok()) {
            true => "user root\n",
            false => "",
        };
        let config = format!("listener {} 127.0.0.1\nallow_anonymous true\n{root}{more}", broker.port);
        std::fs::write(broker.folder.path().join("mosquitto.conf"), config).unwrap();
        Some(broker)
    }

    fn start(more: &str) -> Option<Self> {
        let mut broker = Self::new(more)?;
        broker.begin();
        Some(broker)
    }

    fn begin(&mut self) {
        self.server = Some(Server::start("mosquitto", &["-c", "mosquitto.conf"], self.folder.path()));
        wait_for_port(self.port);
    }

    fn options(&self, name: &str) -> MqttOptions {
        let mut options = MqttOptions::new(name, "127.0.0.1", self.port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        options
    }

    /// Sends messages, and waits until the broker has them.
    fn send(&self, messages: &[(&str, String, bool)]) {
        let (client, mut connection) = Client::new(self.options("sender"), messages.len() + 10);
        for (topic, payload, retain) in messages {
            client.publish(*topic, QoS::AtLeastOnce, *retain, payload.clone()).unwrap();
        }
        let mut left = messages.len();
        for event in connection.iter() {
            if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
                left -= 1;
                if left == 0 {
                    return;
                }
            }
        }
    }

    /// Listens until the test ends.
    fn listen(&self, filter: &str) -> Arc<Mutex<Vec<(String, String, bool)>>> {
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let (client, mut connection) = Client::new(self.options("listener"), 10);
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (also, (ready, is_ready)) = (seen.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let _client = client;
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                        also.lock().unwrap().push((message.topic, payload, message.retain));
                    }
                    Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        });
        is_ready.recv_timeout(Duration::from_secs(60)).unwrap();
        seen
    }

    fn with(&self, more: &str) -> String {
        format!(
            "WITH ('connector' = 'mqtt', 'url' = 'mqtt://127.0.0.1:{}', 'format' = 'json'{more})",
            self.port
        )
    }
}

fn written(folder: &Path) -> Vec<Value> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.flatten().filter(|f| !f.file_name().to_string_lossy().starts_with(['.', '_']));
    let text: String = files.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn start(folder: &Path, script: &str) -> Running {
    let path = write(folder, script);
    Running::start_quietly(affluent(folder, &["run", path.to_str().unwrap()]), &folder.join("errors"))
}

fn errors(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("errors")).unwrap()
}

const ROLLING: &str = "'format' = 'json', 'sink.rolling-policy.rollover-interval' = '10 ms', 'sink.rolling-policy.check-interval' = '10 ms'";

#[test]
fn topics_are_read_and_written_in_both_versions() {
    let Some(broker) = Broker::start("") else { return };
    for version in ["5", "3.1.1"] {
        let folder = folder();
        let prefix = version.replace('.', "");
        broker.send(&[(&format!("{prefix}/plant/7/kept"), "{\"id\": 0}".into(), true)]);
        let seen = broker.listen(&format!("{prefix}/out/#"));
        let script = format!(
            "SET 'execution.checkpointing.interval' = '100 ms';
             CREATE TABLE i (id INT, t STRING METADATA FROM 'topic' VIRTUAL, q INT METADATA FROM 'qos' VIRTUAL, r BOOLEAN METADATA FROM 'retain' VIRTUAL) {};
             CREATE TABLE o (id INT, t STRING, q INT, r BOOLEAN, topic STRING METADATA, retain BOOLEAN METADATA) {};
             INSERT INTO o SELECT id, t, q, r, '{prefix}/out/' || CAST(id % 3 AS STRING), id = 5 FROM i;",
            broker.with(&format!(", 'topic' = '{prefix}/plant/+/#', 'mqtt.version' = '{version}', 'client-id' = 'a-{prefix}'")),
            broker.with(&format!(", 'topic' = '{prefix}/out/x', 'mqtt.version' = '{version}', 'client-id' = 'b-{prefix}'")),
        );
        let mut running = start(folder.path(), &script);
        let there = |n: usize| {
            until("messages", || seen.lock().unwrap().len() >= n);
            assert!(seen.lock().unwrap().len() >= n, "{}", errors(folder.path()));
        };
        there(1);
        let messages: Vec<_> = (1..=30)
            .map(|id| (format!("{prefix}/plant/{}/t", id % 4), format!("{{\n\"id\": {id}}}"), false))
            .collect();
        let messages: Vec<_> = messages.iter().map(|(t, p, r)| (t.as_str(), p.clone(), *r)).collect();
        broker.send(&messages);
        there(31);
        let output = running.interrupt();
        assert!(output.status.code().is_some());
        let seen = seen.lock().unwrap();
        let mut by_topic: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (topic, payload, _) in seen.iter() {
            let row: Value = serde_json::from_str(payload).unwrap();
            let id = row["id"].as_i64().unwrap();
            by_topic.entry(topic).or_default().push(id);
            assert_eq!(topic, &format!("{prefix}/out/{}", id % 3));
            assert_eq!((row["q"].as_i64(), row["r"].as_bool()), (Some(1), Some(id == 0)), "{payload}");
            let from = if id == 0 { "7/kept".to_string() } else { format!("{}/t", id % 4) };
            assert_eq!(row["t"], format!("{prefix}/plant/{from}"));
        }
        assert_eq!(seen.len(), 31, "{seen:?}");
        // Order holds for each topic that is read; of one that is written all rows are there.
        assert!(by_topic.values().all(|ids| ids.len() >= 10), "{by_topic:?}");
        // A retained message is there for those who come later.
        let later = broker.listen(&format!("{prefix}/out/2"));
        until("the retained message", || !later.lock().unwrap().is_empty());
        assert!(later.lock().unwrap()[0].1.contains("\"id\":5") && later.lock().unwrap()[0].2);
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let Some(broker) = Broker::start("max_queued_messages 0\n") else { return };
    let folder = folder();
    let seen = broker.listen("kill/out");
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) {};
         INSERT INTO o SELECT id FROM i;",
        broker.with(", 'topic' = 'kill/in'"),
        broker.with(", 'topic' = 'kill/out'"),
    );
    // The session begins with the first process.
    let mut running = start(folder.path(), &script);
    until("a first message", || {
        broker.send(&[("kill/in", "{\"id\": 0}".into(), false)]);
        !seen.lock().unwrap().is_empty()
    });
    let ids = || -> Vec<i64> {
        let seen = seen.lock().unwrap();
        let id = |payload: &str| serde_json::from_str::<Value>(payload).unwrap()["id"].as_i64().unwrap();
        seen.iter().map(|(_, payload, _)| id(payload)).collect()
    };
    for round in 0..4 {
        let messages: Vec<_> =
            (1..=300).map(|n| ("kill/in", format!("{{\"id\": {}}}", round * 300 + n), false)).collect();
        broker.send(&messages);
        let wanted = round * 300 + 40;
        until("some of them", || ids().into_iter().max().unwrap_or(0) > wanted);
        running.kill();
        broker.send(&[("kill/in", "{\"id\": 0}".into(), false)]);
        running = start(folder.path(), &script);
    }
    let all = || {
        let mut ids = ids();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    until("all of them", || all().len() == 1201);
    assert_eq!(all(), (0..=1200).collect::<Vec<_>>());
    assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
    running.kill();
}

#[test]
fn a_stop_acknowledges_what_was_read() {
    let Some(broker) = Broker::start("") else { return };
    for version in ["5", "3.1.1"] {
        let folder = folder();
        let topic = version.replace('.', "");
        let seen = broker.listen(&format!("{topic}/out"));
        let script = format!(
            "SET 'execution.checkpointing.interval' = '1 h';
             CREATE TABLE i (id INT) {};
             CREATE TABLE o (id INT) {};
             INSERT INTO o SELECT id FROM i;",
            broker.with(&format!(
                ", 'topic' = '{topic}/in', 'mqtt.version' = '{version}', 'client-id' = 'in-{topic}'"
            )),
            broker.with(&format!(
                ", 'topic' = '{topic}/out', 'mqtt.version' = '{version}', 'client-id' = 'out-{topic}'"
            )),
        );
        let ids = || -> Vec<i64> {
            let seen = seen.lock().unwrap();
            let id = |payload: &str| serde_json::from_str::<Value>(payload).unwrap()["id"].as_i64().unwrap();
            seen.iter().map(|(_, payload, _)| id(payload)).collect()
        };
        let mut all = Vec::new();
        for round in 0..3 {
            let mut running = start(folder.path(), &script);
            if round == 0 {
                // The session begins with the first process.
                until("the subscription", || {
                    broker.send(&[(&format!("{topic}/in"), "{\"id\": -1}".into(), false)]);
                    !ids().is_empty()
                });
            }
            // Fewer than Mosquitto sends without an acknowledgement.
            let wanted: Vec<i64> = (round * 5..round * 5 + 5).collect();
            let name = format!("{topic}/in");
            let messages: Vec<_> =
                wanted.iter().map(|id| (name.as_str(), format!("{{\"id\": {id}}}"), false)).collect();
            broker.send(&messages);
            all.extend(wanted);
            until("all of them", || {
                assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
                ids().last() == all.last()
            });
            running.interrupt();
        }
        let mut read = ids();
        read.retain(|id| *id >= 0);
        assert_eq!(read, all, "{}", errors(folder.path()));
    }
}

#[test]
fn metadata_that_is_null_and_must_not_be_is_a_dead_letter() {
    let Some(broker) = Broker::start("") else { return };
    let folder = folder();
    let script = format!(
        "SET 'execution.checkpointing.interval' = '50 ms';
         CREATE TABLE i (id INT, c STRING NOT NULL METADATA FROM 'content-type' VIRTUAL) {};
         CREATE TABLE dead (message STRING) WITH ('connector' = 'filesystem', 'path' = 'dead', {ROLLING});
         CREATE TABLE o (id INT, c STRING) WITH ('connector' = 'blackhole');
         INSERT INTO o SELECT id, c FROM i;",
        broker.with(", 'topic' = 'typed', 'scan.dead-letter' = 'dead'"),
    );
    let mut running = start(folder.path(), &script);
    let dead = || written(&folder.path().join("dead"));
    until("a dead letter", || {
        assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
        broker.send(&[("typed", "{\"id\": 1}".into(), false)]);
        !dead().is_empty()
    });
    assert_eq!(dead()[0]["message"], "column 'c' is NULL, it is declared NOT NULL");
    running.kill();
}

#[test]
fn a_broker_that_is_not_there_yet_and_one_that_goes() {
    let Some(mut broker) = Broker::new("") else { return };
    let folder = folder();
    let script = format!(
        "CREATE TABLE i (id INT) {};
         CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'out', {ROLLING});
         INSERT INTO o SELECT id FROM i;",
        broker.with(", 'topic' = 'gone/a;gone/b', 'qos' = '1'"),
    );
    let mut running = start(folder.path(), &script);
    until("a word of it", || errors(folder.path()).contains("no connection to mqtt://127.0.0.1"));
    for round in 0..2 {
        broker.begin();
        let ids = || {
            let mut ids: Vec<i64> =
                written(&folder.path().join("out")).iter().map(|row| row["id"].as_i64().unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        // The broker has forgotten the session: topics are asked for anew.
        until("both topics", || {
            let (a, b) = (round * 2, round * 2 + 1);
            broker.send(&[
                ("gone/a", format!("{{\"id\": {a}}}"), false),
                ("gone/b", format!("{{\"id\": {b}}}"), false),
            ]);
            std::thread::sleep(Duration::from_millis(50));
            ids().len() == (round as usize + 1) * 2
        });
        // Mosquitto keeps nothing over a restart here.
        assert_eq!(errors(folder.path()).contains("has lost the session"), round > 0);
        broker.server = None;
    }
    assert_eq!(running.has_ended(), None, "{}", errors(folder.path()));
    running.kill();
}

#[test]
fn two_jobs_with_one_name_are_told_of_the_name() {
    let Some(broker) = Broker::start("") else { return };
    let script = format!(
        "CREATE TABLE i (id INT) {}; CREATE TABLE o (id INT) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT id FROM i;",
        broker.with(", 'topic' = 'fought', 'client-id' = 'the-one'"),
    );
    let (one, two) = (folder(), folder());
    let (mut first, mut second) = (start(one.path(), &script), start(two.path(), &script));
    // Mosquitto closes the connection of the older one without a word.
    until("a word of it", || {
        [&one, &two].iter().any(|folder| errors(folder.path()).contains("a 'client-id' of its own"))
    });
    first.kill();
    second.kill();
}

#[test]
fn what_is_wrong_is_told() {
    let passwords = "password_file passwords\n";
    let Some(mut broker) = Broker::new("") else { return };
    let config = broker.folder.path().join("mosquitto.conf");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("allow_anonymous true", "allow_anonymous false");
    std::fs::write(&config, text + passwords).unwrap();
    // user: sensor, password: paper-clip-55
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b", "passwords", "sensor", "paper-clip-55"])
        .current_dir(broker.folder.path())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return left_out("Mosquitto's passwords", "mosquitto_passwd is not installed");
    }
    broker.begin();
    let folder = folder();
    let read =
        |more: &str| format!("CREATE TABLE i (id INT) {}; SELECT id FROM i LIMIT 1;", broker.with(more));
    for version in ["5", "3.1.1"] {
        let login = format!(
            ", 'topic' = 'a', 'mqtt.version' = '{version}', 'username' = 'sensor', 'password' = 'not-the-one-7'"
        );
        let error = run_badly(folder.path(), &read(&login));
        assert!(error.contains("refuses the connection") && error.contains("reading topic 'a'"), "{error}");
        assert!(error.contains("'username'") && !error.contains("not-the-one-7"), "{error}");
    }
    let there = |more: &str| check(folder.path(), &format!("CREATE TABLE i (id INT) {};", broker.with(more)));
    let (fine, said) = there(", 'topic' = 'a', 'username' = 'sensor', 'password' = 'paper-clip-55'");
    assert!(fine && said.contains("takes the connection") && !said.contains("paper-clip"), "{said}");
    let (fine, said) = there(", 'topic' = 'a'");
    assert!(!fine && said.contains("refuses the connection"), "{said}");
    for (options, word) in [
        (", 'topic' = 'a/#/b'", "'a/#/b' is not a topic filter"),
        (", 'topic' = 'a', 'qos' = '2'", "'2' is not one of"),
        (", 'topic' = 'a', 'tls.ca' = 'x.pem'", "the url has no TLS"),
        (", 'topic' = 'a', 'password' = 'x'", "needs a 'username'"),
    ] {
        let error = run_badly(folder.path(), &read(options));
        assert!(error.contains(word), "{word}\n{error}");
    }
    let error = run_badly(
        folder.path(),
        &format!("CREATE TABLE o (id INT) {}; INSERT INTO o SELECT 1;", broker.with(", 'topic' = 'a/+'")),
    );
    assert!(error.contains("topic STRING METADATA"), "{error}");
}
