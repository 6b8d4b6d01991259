//! From topic to topic: this program against its client library's own loop, over the same records.
//!
//! ```text
//! KAFKA=localhost:9092 cargo bench --features kafka --bench kafka               a million events
//! KAFKA=localhost:9092 cargo bench --features kafka --bench kafka -- 4000000
//! ```
//! The broker must run; topics are made, and removed at the end. CPU is that of this process, user and system, its
//! client's threads included. `loop` consumes and produces the records as they are; the others decode and encode
//! JSON. `enriched` looks up in `affluent sensor-api`, CACHED, warm after the first pass over the sensors.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use affluent::error::Error;
use affluent::session::{Response, Session};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

type Result<T> = std::result::Result<T, Error>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: i32 = 4;
const SENSORS: u64 = 1000;

fn failed(e: impl std::fmt::Display) -> Error {
    Error::io(e.to_string())
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

/// Prints what one run took.
fn measured(name: &str, events: u64, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let (clock, before) = (Instant::now(), cpu());
    run()?;
    let (took, busy) = (clock.elapsed(), cpu().saturating_sub(before));
    println!(
        "{name:<24} {:>10.0} events/s {:>8.2} us CPU an event   ({:.1} s)",
        events as f64 / took.as_secs_f64(),
        busy.as_secs_f64() * 1e6 / events as f64,
        took.as_secs_f64()
    );
    Ok(())
}

fn fill(servers: &str, topic: &str, events: u64) -> Result<()> {
    let producer: BaseProducer = config(servers)
        .set("linger.ms", "50")
        .set("batch.num.messages", "100000")
        .create()
        .map_err(failed)?;
    for n in 0..events {
        let value = format!(
            "{{\"sensorId\":\"{}\",\"temperature\":{},\"status\":\"OK\",\"timestamp\":{}}}",
            n * 7919 % SENSORS,
            10 + n % 140,
            1_700_000_000_000 + n
        );
        let partition = (n % PARTITIONS as u64) as i32;
        let mut record: BaseRecord<'_, [u8], str> =
            BaseRecord::to(topic).payload(value.as_str()).partition(partition);
        while let Err((e, back)) = producer.send(record) {
            if !e.to_string().contains("Queue full") {
                return Err(failed(e));
            }
            record = back;
            producer.poll(Duration::from_millis(10));
        }
        if n % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60)).map_err(failed)
}

/// The library's own loop.
fn client_loop(servers: &str, from: &str, to: &str) -> Result<()> {
    let consumer: BaseConsumer = config(servers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .map_err(failed)?;
    let producer: BaseProducer = config(servers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "0")
        .create()
        .map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(from, partition, Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let (mut ended, mut count) = (0, 0_u64);
    while ended < PARTITIONS {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to);
                record.payload = message.payload();
                producer.send(record).map_err(|(e, _)| failed(e))?;
                count += 1;
                if count % 1000 == 0 {
                    producer.poll(Duration::ZERO);
                    while producer.in_flight_count() > 500_000 {
                        producer.poll(Duration::from_millis(1));
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(e)) => return Err(failed(e)),
            None => {}
        }
    }
    producer.flush(Duration::from_secs(60)).map_err(failed)
}

/// The lookup service as a child process.
struct Api(Child, String);

impl Api {
    fn start() -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_affluent"))
            .args(["sensor-api", "--port", "0", "--latency", "1ms", "--sensors", &SENSORS.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stderr) = child.stderr.take() {
            BufReader::new(stderr).read_line(&mut line)?;
        }
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        Ok(Self(child, address.to_string()))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pipeline(
    servers: &str,
    from: &str,
    to: &str,
    sink: &str,
    lookup: Option<&str>,
    settings: &[(&str, &str)],
) -> Result<()> {
    let session = Session::new()?;
    for (key, value) in settings {
        session.set(key, value)?;
    }
    session.set("table.dml-sync", "true")?;
    let event = "sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT";
    let with = |topic: &str, more: &str| {
        format!(
            "WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json'{more})"
        )
    };
    let bounded = ", 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";
    session.sql(&format!("CREATE TABLE i ({event}) {}", with(from, bounded)))?;
    let response = match lookup {
        None => {
            session.sql(&format!("CREATE TABLE o ({event}) {}", with(to, sink)))?;
            session.sql("INSERT INTO o SELECT * FROM i")?
        }
        Some(address) => {
            session.sql(&format!("CREATE TABLE o ({event}, brand STRING) {}", with(to, sink)))?;
            session.sql(&format!(
                "CREATE TABLE sensors (id STRING, brand STRING, PRIMARY KEY (id) NOT ENFORCED)
                 WITH ('connector' = 'http', 'url' = 'http://{address}/sensors/{{id}}', 'format' = 'json')"
            ))?;
            session.set("enrichment.strategy", "CACHED")?;
            session
                .sql("INSERT INTO o SELECT i.*, s.brand FROM i LEFT JOIN sensors AS s ON i.sensorId = s.id")?
        }
    };
    match response {
        Response::Job(job) => job.result(),
        _ => Err(Error::internal("an INSERT that is no job")),
    }
}

fn main() -> Result<()> {
    let Ok(servers) = std::env::var("KAFKA") else {
        println!("KAFKA=host:port names a broker; without one there is nothing to measure");
        return Ok(());
    };
    let events = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000_u64);
    let runtime = tokio::runtime::Runtime::new()?;
    let admin: AdminClient<DefaultClientContext> = config(&servers).create().map_err(failed)?;
    let names: Vec<String> =
        ["in", "out"].map(|what| format!("affluent-bench-{what}-{}", std::process::id())).into();
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(-1))).collect();
    runtime.block_on(admin.create_topics(&topics, &AdminOptions::new())).map_err(failed)?;
    fill(&servers, &names[0], events)?;
    let folder = std::env::temp_dir().join(&names[0]);
    let folder = folder.display().to_string();
    let checkpoints =
        [("execution.checkpointing.interval", "1 s"), ("execution.checkpointing.dir", folder.as_str())];
    let once = format!(
        ", 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{}'",
        names[1]
    );
    let api = Api::start()?;
    for _ in 0..2 {
        measured("loop of the client", events, || client_loop(&servers, &names[0], &names[1]))?;
        measured("copied, JSON", events, || pipeline(&servers, &names[0], &names[1], "", None, &[]))?;
        measured("copied, at least once", events, || {
            pipeline(&servers, &names[0], &names[1], "", None, &checkpoints)
        })?;
        measured("copied, exactly once", events, || {
            pipeline(&servers, &names[0], &names[1], &once, None, &checkpoints)
        })?;
        measured("enriched, CACHED", events, || {
            pipeline(&servers, &names[0], &names[1], "", Some(&api.1), &[])
        })?;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())).map_err(failed)?;
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
