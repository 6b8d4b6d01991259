//! Apache Kafka itself: one broker, without ZooKeeper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::{PATIENCE, Server, installed, left_out, port, until, wait_for_port};

const VERSION: &str = "4.1.1";

/// The jars of the broker: named by the user, or fetched once.
fn jars() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("AFFLUENT_KAFKA_JARS") {
        return Some(folder.into());
    }
    if !installed("java") || !installed("mvn") {
        left_out("Apache Kafka", "Java and Maven are not both installed");
        return None;
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let folder = cache.join(format!("affluent-tests/kafka-{VERSION}"));
    if folder.join("complete").exists() {
        return Some(folder);
    }
    fs::create_dir_all(&folder).unwrap();
    let pom = folder.join("pom.xml");
    fs::write(
        &pom,
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version><dependencies><dependency>\
             <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>\
             </dependency></dependencies></project>"
        ),
    )
    .unwrap();
    let status = Command::new("mvn")
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-f",
            pom.to_str().unwrap(),
        ])
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        left_out("Apache Kafka", "Maven could not fetch org.apache.kafka:kafka_2.13");
        return None;
    }
    fs::write(folder.join("complete"), "").unwrap();
    Some(folder)
}

/// A broker.
pub struct Broker {
    folder: tempfile::TempDir,
    classpath: String,
    server: Option<Server>,
    pub port: u16,
}

impl Broker {
    /// One for all tests that leave it alone; `None`: it is not installed.
    pub fn shared() -> Option<&'static Broker> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED.get_or_init(|| Broker::start("")).as_ref()
    }

    /// One of its own, with these lines more in its configuration.
    pub fn start(more: &str) -> Option<Self> {
        let jars = jars()?;
        let folder = tempfile::tempdir().unwrap();
        let (port, controller) = (port(), port_for_controller());
        let data = folder.path().join("data");
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT\n\
             log.dirs={}\nnum.partitions=1\noffsets.topic.num.partitions=2\noffsets.topic.replication.factor=1\n\
             transaction.state.log.num.partitions=2\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
             log.retention.check.interval.ms=500\nlog.cleaner.backoff.ms=500\n{more}\n",
            data.display()
        );
        // Of a name the last line counts.
        let (open, control) = (port.to_string(), controller.to_string());
        let properties = properties.replace("OPEN", &open).replace(":CONTROLLER,", &format!(":{control},"));
        fs::write(folder.path().join("server.properties"), properties).unwrap();
        let classpath = format!("{}/*", jars.display());
        let formatted = Command::new("java")
            .args([
                "-Xmx128m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                &classpath,
                "kafka.tools.StorageTool",
                "format",
            ])
            .args(["-t", "4L6g3nShT-eMCtK--X86sw", "-c", "server.properties", "--standalone"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(formatted.unwrap().success(), "the broker's folder could not be made");
        let mut broker = Self { folder, classpath, server: None, port };
        broker.run();
        Some(broker)
    }

    /// Starts it, again.
    pub fn run(&mut self) {
        let arguments = [
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &self.classpath,
            "kafka.Kafka",
            "server.properties",
        ];
        self.server = Some(Server::start("java", &arguments, self.folder.path()));
        wait_for_port(self.port);
        until("the broker answers", || {
            let consumer: BaseConsumer = self.config().create().unwrap();
            consumer.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|m| !m.brokers().is_empty())
        });
    }

    /// As a crash would.
    pub fn kill(&mut self) {
        self.server.take();
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers());
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config
    }

    fn admin<T>(&self, act: impl AsyncFnOnce(AdminClient<DefaultClientContext>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(self.config().create().unwrap()).await })
    }

    pub fn topic(&self, name: &str, partitions: i32) {
        self.topic_with(name, partitions, &[]);
    }

    pub fn topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made =
            self.admin(async |admin| admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap());
        made.into_iter().for_each(|result| drop(result.unwrap()));
        until("the topic is there", || self.partitions(name) == partitions);
    }

    pub fn add_partitions(&self, name: &str, to: usize) {
        self.admin(async |admin| {
            let more = NewPartitions::new(name, to);
            admin.create_partitions(&[more], &AdminOptions::new()).await.unwrap()
        });
        until("the partitions are there", || self.partitions(name) == to as i32);
    }

    /// Deletes the records before an offset.
    pub fn truncate(&self, name: &str, partition: i32, before: i64) {
        self.admin(async |admin| {
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(name, partition, Offset::Offset(before)).unwrap();
            admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap()
        });
    }

    fn partitions(&self, name: &str) -> i32 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(name), Duration::from_secs(10)).unwrap();
        metadata.topics().iter().find(|t| t.name() == name).map_or(0, |t| t.partitions().len() as i32)
    }

    /// Writes records, to a partition or where their keys say.
    pub fn write(&self, topic: &str, partition: Option<i32>, records: &[(Option<&str>, Option<&str>)]) {
        let producer = self.producer(&[]);
        for (key, value) in records {
            send(&producer, topic, partition, *key, *value, None);
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    pub fn write_with_headers(&self, topic: &str, value: &str, timestamp: i64, headers: &[(&str, &[u8])]) {
        let producer = self.producer(&[]);
        let mut own = OwnedHeaders::new();
        for (key, value) in headers {
            own = own.insert(Header { key, value: Some(*value) });
        }
        send(&producer, topic, Some(0), None, Some(value), Some((timestamp, own)));
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    pub fn producer(&self, more: &[(&str, &str)]) -> BaseProducer {
        let mut config = self.config();
        more.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        config.create().unwrap()
    }

    /// All records of committed transactions, and those without one.
    pub fn read(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut config = self.config();
        config
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let partitions = self.partitions(topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut ended, mut all) = (0, Vec::new());
        let deadline = Instant::now() + PATIENCE;
        while ended < partitions {
            assert!(Instant::now() < deadline, "topic {topic} is not read");
            match consumer.poll(Duration::from_millis(500)) {
                Some(Ok(message)) => all.push(message.detach()),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(e)) => panic!("{e}"),
                None => {}
            }
        }
        all
    }

    /// Their values.
    pub fn values(&self, topic: &str) -> Vec<String> {
        self.read(topic).iter().map(|m| text(m.payload()).unwrap_or("NULL").to_string()).collect()
    }

    /// The offsets that a group has committed.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        let mut config = self.config();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let found = consumer.committed_offsets(list, Duration::from_secs(20)).unwrap();
        let mut offsets: Vec<_> =
            found.elements().iter().map(|e| (e.partition(), e.offset().to_raw())).collect();
        offsets.sort();
        offsets.into_iter().map(|(_, offset)| offset.filter(|o| *o >= 0)).collect()
    }
}

/// Another free port.
fn port_for_controller() -> u16 {
    port()
}

fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: Option<i32>,
    key: Option<&str>,
    value: Option<&str>,
    more: Option<(i64, OwnedHeaders)>,
) {
    let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic);
    record.key = key;
    record.payload = value;
    record.partition = partition;
    if let Some((timestamp, headers)) = more {
        record.timestamp = Some(timestamp);
        record.headers = Some(headers);
    }
    while let Err((e, back)) = producer.send(record) {
        assert!(e.to_string().contains("Queue full"), "{e}");
        record = back;
        producer.poll(Duration::from_millis(50));
    }
}

pub fn text(bytes: Option<&[u8]>) -> Option<&str> {
    bytes.map(|b| std::str::from_utf8(b).unwrap())
}

pub fn headers(message: &OwnedMessage) -> Vec<(String, Option<String>)> {
    let all = message.headers().into_iter().flat_map(|h| h.iter());
    all.map(|h| (h.key.to_string(), text(h.value).map(str::to_string))).collect()
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn path(of: &tempfile::TempDir) -> &Path {
    of.path()
}
