//! Looking at a cluster: topics, the first records of one, whether a table can be read and written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Cluster, Context};
use super::offsets::{Explorer, Name};
use super::options::{Bounded, Records, ScanOptions, Startup, TableOptions, Topics};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::infer::{self, Inferred};
use crate::sql::SqlType;

/// Somebody waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Records, and bytes of them, that are looked at.
const RECORDS: usize = 500;
const BYTES: usize = 1 << 20;

/// The port where none is named.
const PORT: &str = "9092";

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    servers: String,
    topic: Option<String>,
    options: Vec<(String, String)>,
}

impl Address {
    /// `kafka://host:port,host/topic?format=json`
    pub(super) fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::option(format!("'{url}': {what}"))
                .with_hint("kafka://host:9092/topic, or kafka://host:9092 for all topics")
        };
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, topic) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.is_empty() {
            return Err(wrong("it names no server"));
        }
        if hosts.contains('@') {
            return Err(Error::option("a login does not belong into a URL")
                .with_hint("declare a table: CREATE TABLE t WITH ('connector' = 'kafka', 'properties.sasl.jaas.config' = '...', ...)"));
        }
        let with_port = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if has_port { host.to_string() } else { format!("{host}:{PORT}") }
        };
        let servers = hosts.split(',').map(str::trim).map(with_port).collect::<Vec<_>>().join(",");
        let topic = topic.trim_end_matches('/');
        if topic.contains('/') {
            return Err(wrong("a topic has no '/' in its name"));
        }
        let options = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { servers, topic: Some(topic.to_string()).filter(|t| !t.is_empty()), options })
    }

    fn table_options(&self) -> Options {
        let mut options = Options::default();
        options.set("connector", "kafka", Default::default());
        options.set("properties.bootstrap.servers", &self.servers, Default::default());
        options.set("topic", self.topic.as_deref().unwrap_or("-"), Default::default());
        options.set("scan.startup.mode", "earliest-offset", Default::default());
        options.set("scan.bounded.mode", "latest-offset", Default::default());
        self.options.iter().for_each(|(key, value)| options.set(key, value, Default::default()));
        options
    }
}

/// The options of the table that a URL names.
pub(super) fn url_options(url: &str) -> Result<Options> {
    let address = Address::parse(url)?;
    if address.topic.is_none() {
        return Err(Error::plan(format!("'{url}' names no topic"))
            .with_hint(format!("kafka://{}/TOPIC; DESCRIBE '{url}' lists the topics", address.servers)));
    }
    let mut options = address.table_options();
    if !options.contains("format") {
        let sample = Sample::of(&options)?;
        let format = sample.format()?;
        options.set("format", format, Default::default());
    }
    Ok(options)
}

/// The topics of a cluster, if a URL names one and no topic.
pub(super) fn listing(url: &str) -> Result<Option<RecordBatch>> {
    let address = Address::parse(url)?;
    if address.topic.is_some() {
        return Ok(None);
    }
    let client = Client::of(&address.table_options())?;
    let metadata = client::metadata(&client.cluster, &client.consumer, None, TIMEOUT)?;
    let (mut names, mut partitions, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut topics: Vec<_> = metadata.topics().iter().filter(|t| !t.name().starts_with("__")).collect();
    topics.sort_by_key(|t| t.name());
    let explorer = client.explorer();
    for topic in topics {
        let name: Arc<str> = Arc::from(topic.name());
        let mut count = Some(0_i64);
        for partition in topic.partitions() {
            // One that may not be read is listed nevertheless.
            let range = explorer.range(&(name.clone(), partition.id())).ok();
            count = count.zip(range).map(|(count, (low, high))| count + (high - low));
        }
        names.push(topic.name().to_string());
        partitions.push(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX));
        records.push(count);
    }
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("topic", Arc::new(StringArray::from(names)), false),
        ("partitions", Arc::new(Int32Array::from(partitions)), false),
        ("records", Arc::new(Int64Array::from(records)), true),
    ];
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}

/// Columns from the first records of a table's topic.
pub(super) fn infer(options: &Options) -> Result<Option<Inferred>> {
    let format = super::format_of(options).unwrap_or_default();
    match format {
        "json" | "csv" => {}
        "raw" => {
            let text = Sample::of(options)?.is_text();
            let data_type = if text { SqlType::String } else { SqlType::Bytes };
            return Ok(Some(Inferred { columns: vec![("value".into(), data_type)], ..Inferred::default() }));
        }
        #[cfg(feature = "avro")]
        crate::format::avro::CONFLUENT => {
            let crate::format::Format::Avro(avro) = super::options::value_format(options)? else {
                return Ok(None);
            };
            return avro.infer();
        }
        _ => return Ok(None),
    }
    let sample = Sample::of(options)?;
    let topic = sample.topic.clone();
    if sample.values.is_empty() {
        return Err(Error::decode(format!("topic '{topic}' has no records to find out columns from"))
            .with_hint("declare the columns: CREATE TABLE t (name TYPE, ...) WITH (...)"));
    }
    let inferred = match format {
        "json" => infer::json(&sample.lines(), false),
        _ => {
            let mut options = options.clone();
            options.set("csv.skip-header", "false", Default::default());
            infer::csv(&sample.lines(), false, &options)
        }
    };
    inferred.map(Some).map_err(|e| e.context(format!("topic '{topic}'")))
}

/// What about the first records does not look like the table.
pub(super) fn examine(table: &Table, upsert: bool) -> Result<Vec<String>> {
    let records = Records::of(table, upsert)?;
    if records.value.name() != "json" {
        return Ok(Vec::new());
    }
    let sample = Sample::of(&table.options)?;
    let Ok(inferred) = infer::json(&sample.lines(), false) else { return Ok(Vec::new()) };
    let found: Vec<&str> = inferred.columns.iter().map(|(name, _)| name.as_str()).collect();
    let declared = &records.value_columns;
    let never: Vec<&str> = declared.iter().map(String::as_str).filter(|d| !found.contains(d)).collect();
    let others: Vec<&str> = found.iter().copied().filter(|f| !declared.iter().any(|d| d == f)).collect();
    let said = crate::format::notice::about_absent(&never, &others, "first records");
    Ok(said
        .into_iter()
        .map(|text| format!("table '{}', topic '{}': {text}", table.name, sample.topic))
        .collect())
}

/// Whether a table's topics can be reached, in words.
pub(super) fn probe(table: &Table, upsert: bool) -> Result<Vec<String>> {
    let client = Client::of(&table.options)?;
    let explorer = client.explorer();
    let names = explorer.partitions(&client.options.topics)?;
    if names.is_empty() {
        return Err(Error::io(format!("no topic matches '{}'", client.options.topics.text()))
            .with_hint(format!("DESCRIBE 'kafka://{}' lists the topics", client.cluster.servers())));
    }
    let mut topics: Vec<&str> = names.iter().map(|(topic, _)| &**topic).collect();
    topics.dedup();
    let mut records = 0_i64;
    for name in &names {
        let (low, high) = explorer.range(name)?;
        records += high - low;
    }
    let mut said = vec![format!(
        "table '{}': {} of Kafka at '{}': {} partitions, {records} records",
        table.name,
        match topics.as_slice() {
            [one] => format!("topic '{one}'"),
            many => format!("{} topics", many.len()),
        },
        client.cluster.servers(),
        names.len()
    )];
    said.extend(examine(table, upsert)?);
    Ok(said)
}

/// Whether there is a place where reading starts: a table that is only written to needs none.
pub(super) fn begins(cluster: &Cluster, topics: &Topics, scan: &ScanOptions, group: &str) -> Result<()> {
    if scan.startup != Startup::Group && scan.bounded != Bounded::Group {
        return Ok(());
    }
    let consumer = explorer(cluster)?;
    let timeout = TIMEOUT.min(cluster.timeout());
    let explorer = Explorer { cluster, consumer: &consumer, timeout, wanted: &always };
    let names = explorer.partitions(topics)?;
    explorer.start(names, scan, group).map(drop)
}

/// Makes topics of a few partitions, or removes them.
pub(super) fn topics(servers: &str, names: &[String], make: bool) -> Result<()> {
    let mut options = Options::default();
    options.set("properties.bootstrap.servers", servers, Default::default());
    options.set("topic", "-", Default::default());
    let client = Client::of(&options)?;
    // Says soon, and in words, if nobody is there.
    client::metadata(&client.cluster, &client.consumer, None, TIMEOUT)?;
    let admin: AdminClient<DefaultClientContext> =
        client.cluster.admin_config().create().map_err(|e| client.cluster.unmade(&e))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let timeout = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let failed = |e: &dyn std::fmt::Display| Error::io(format!("Kafka at '{servers}': {e}"));
    let results = if make {
        let new = names.iter().map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(-1)));
        let new: Vec<NewTopic<'_>> = new.collect();
        runtime.block_on(admin.create_topics(&new, &timeout)).map_err(|e| failed(&e))?
    } else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        runtime.block_on(admin.delete_topics(&names, &timeout)).map_err(|e| failed(&e))?
    };
    for result in results {
        result.map_err(|(name, code)| failed(&format!("topic '{name}': {code}")))?;
    }
    Ok(())
}

/// A client for a moment.
struct Client {
    options: TableOptions,
    cluster: Cluster,
    consumer: BaseConsumer<Context>,
}

fn always() -> bool {
    true
}

/// A consumer that looks, and commits nothing.
fn explorer(cluster: &Cluster) -> Result<BaseConsumer<Context>> {
    let more =
        [("statistics.interval.ms", "0"), ("enable.auto.commit", "false"), ("enable.partition.eof", "true")];
    cluster.consumer("affluent-explorer", &more)
}

impl Client {
    fn of(options: &Options) -> Result<Self> {
        let options = TableOptions::of("", options)?;
        let cluster = Cluster::new(&options);
        let consumer = explorer(&cluster)?;
        Ok(Self { options, cluster, consumer })
    }

    fn explorer(&self) -> Explorer<'_> {
        let timeout = TIMEOUT.min(self.cluster.timeout());
        Explorer { cluster: &self.cluster, consumer: &self.consumer, timeout, wanted: &always }
    }
}

/// The first records of a topic.
#[derive(Debug, Clone)]
struct Sample {
    topic: String,
    values: Vec<Vec<u8>>,
}

/// The last sample, its options and when it was taken: format and columns are found out from the same one.
static LAST: Mutex<Option<(Options, Instant, Sample)>> = Mutex::new(None);

/// How long it is used.
const FRESH: Duration = Duration::from_secs(2);

impl Sample {
    fn of(options: &Options) -> Result<Self> {
        // The format does not matter.
        let mut key = Options::default();
        let client = |name: &str| name.starts_with("properties.") || name.starts_with("topic");
        for (name, value) in options.iter().filter(|(name, _)| client(name)) {
            key.set(name, value, Default::default());
        }
        if let Some((of, at, sample)) = &*LAST.lock()
            && *of == key
            && at.elapsed() < FRESH
        {
            return Ok(sample.clone());
        }
        let sample = Self::take(options)?;
        *LAST.lock() = Some((key, Instant::now(), sample.clone()));
        Ok(sample)
    }

    fn take(options: &Options) -> Result<Self> {
        let client = Client::of(options)?;
        let explorer = client.explorer();
        let names = explorer.partitions(&client.options.topics)?;
        let first = names.first().map(|(topic, _)| topic.clone());
        let Some(topic) = first else {
            return Err(Error::io(format!("no topic matches '{}'", client.options.topics.text())));
        };
        let names: Vec<Name> = match &client.options.topics {
            Topics::Named(_) | Topics::Pattern(_) => {
                names.into_iter().filter(|(name, _)| *name == topic).collect()
            }
        };
        let mut list = TopicPartitionList::with_capacity(names.len());
        let mut open = 0;
        for name in &names {
            let (low, high) = explorer.range(name)?;
            if high > low {
                open += 1;
                list.add_partition_offset(&name.0, name.1, Offset::Offset(low))
                    .map_err(|e| Error::internal(e.to_string()))?;
            }
        }
        let mut values = Vec::new();
        if open > 0 {
            let consumer = &client.consumer;
            consumer.assign(&list).map_err(|e| Error::internal(e.to_string()))?;
            let (deadline, mut bytes) = (Instant::now() + TIMEOUT, 0);
            while open > 0 && values.len() < RECORDS && bytes < BYTES && Instant::now() < deadline {
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(message)) => {
                        if let Some(value) = message.payload() {
                            bytes += value.len();
                            values.push(value.to_vec());
                        }
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                    Some(Err(e)) => {
                        let what = format!("reading topic '{topic}'");
                        return Err(client.cluster.error(&what, client::code(&e), &consumer.context().said));
                    }
                    None => {}
                }
            }
        }
        Ok(Self { topic: topic.to_string(), values })
    }

    /// A record a line.
    fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for value in &self.values {
            lines.extend(value.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
            lines.push(b'\n');
        }
        lines
    }

    fn is_text(&self) -> bool {
        self.values.iter().all(|value| std::str::from_utf8(value).is_ok())
    }

    /// The format that the records seem to have.
    fn format(&self) -> Result<&'static str> {
        if self.values.is_empty() {
            return Err(Error::decode(format!(
                "topic '{}' has no records to find out a format from",
                self.topic
            ))
            .with_hint("name it: kafka://host/topic?format=json"));
        }
        let framed = |value: &Vec<u8>| value.first() == Some(&0) && value.len() > 5;
        if self.values.iter().all(framed) {
            return Err(Error::decode(format!(
                "the records of topic '{}' begin with the id of a schema",
                self.topic
            ))
            .with_detail("Confluent's serializers write Avro, Protobuf and JSON with a schema so")
            .with_hint(
                "declare a table with 'format' = 'avro-confluent' and 'avro-confluent.url' = 'http://...'",
            ));
        }
        let object = |value: &Vec<u8>| value.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let objects = self.values.iter().filter(|value| object(value)).count();
        if objects == 0 {
            return Ok("raw");
        }
        let why = match infer::json(&self.lines(), false) {
            Ok(_) if objects == self.values.len() => return Ok("json"),
            Ok(_) => {
                format!("{} of {} records are no objects", self.values.len() - objects, self.values.len())
            }
            Err(e) => match e.detail() {
                Some(detail) => format!("{} ({detail})", e.message()),
                None => e.message().to_string(),
            },
        };
        log::warn!(
            "topic '{}' seems to hold JSON, but not in all of its first records: {why}; they are taken as text. \
             'kafka://host/topic?format=json' reads them as JSON, and a table with 'scan.dead-letter' keeps the others",
            self.topic
        );
        Ok("raw")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls() {
        let address =
            Address::parse("kafka://a,b:9/t.x?format=csv&properties.security.protocol=SSL").unwrap();
        assert_eq!((address.servers.as_str(), address.topic.as_deref()), ("a:9092,b:9", Some("t.x")));
        let options = address.table_options();
        assert_eq!(options.text("properties.security.protocol"), Some("SSL"));
        assert_eq!(options.text("format"), Some("csv"));
        assert_eq!(Address::parse("kafka://h/").unwrap().topic, None);
        assert!(Address::parse("kafka://h/a/b").is_err() && Address::parse("kafka:///t").is_err());
        assert!(!Address::parse("kafka://u:secret@h/t").unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn formats_of_samples() {
        let of = |values: &[&[u8]]| Sample {
            topic: "t".into(),
            values: values.iter().map(|v| v.to_vec()).collect(),
        };
        assert_eq!(of(&[b" {\"a\": 1}", b"{\n\"a\": 2}"]).format().unwrap(), "json");
        assert_eq!(of(&[b"a,b", b"{x"]).format().unwrap(), "raw");
        assert!(of(&[b"\0\0\0\0\x07xyz"]).format().unwrap_err().hint().unwrap().contains("avro-confluent"));
        assert!(of(&[]).format().unwrap_err().message().contains("no records"));
    }
}
