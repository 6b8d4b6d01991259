//! `'connector' = 'kinesis'`: streams of Amazon Kinesis Data Streams, as source and sink. Options are those of Flink's
//! connector.
//!
//! # Reading
//! Shards are found at the start, and later when one ends or `source.shard.discovery.interval` has passed. A shard is read
//! when those that it came from have been read to their end, so that records of a key come in their order also when
//! shards are split and merged. The position is the sequence number of the last record of each shard (within it, of
//! records that the Kinesis Producer Library has put together, the number of the last one), and a job that comes back
//! goes on behind it: each record is read once. `LATEST` is remembered as the time at which the job began. Each shard
//! has a watermark of its own. Shards are polled; enhanced fan-out is refused.
//!
//! # Writing
//! PutRecords, at-least-once. `PARTITIONED BY (c)` makes c the partition key, and records with one key arrive in their order:
//! a request holds one of each. Without, keys are random, and order is none. Records that the service did not take are sent
//! again, before others of their key.
//!
//! # Metadata
//! `timestamp` (TIMESTAMP_LTZ(3): when the record arrived there), `sequence-number`, `shard-id`, `partition-key` (STRING).

mod aggregated;
mod shards;
mod sink;
mod source;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde_json::{Value, json};

use super::messages::{self, Kept, Known};
use super::outbox;
use super::{Connector, Nature, Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::lookup::aws_json::{Api, KINESIS};

/// The connector.
#[derive(Debug)]
pub struct Kinesis;

const POSITIONS: &[&str] = &["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"];
const TIMESTAMP_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX";

const OWN: [OptionDef; 23] = [
    OptionDef::new(
        "stream.arn",
        OptionKind::Text,
        "",
        "the stream: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME",
    ),
    OptionDef::new("stream", OptionKind::Text, "", "its name alone, with 'aws.region'"),
    OptionDef::new("aws.region", OptionKind::Text, "", "default: that of the ARN"),
    OptionDef::new("aws.endpoint", OptionKind::Text, "", "another address than that of the region"),
    OptionDef::new(
        "aws.credentials.provider",
        OptionKind::Choice(&[
            "AUTO",
            "BASIC",
            "ENV_VAR",
            "WEB_IDENTITY_TOKEN",
            "SYS_PROP",
            "PROFILE",
            "ASSUME_ROLE",
            "CUSTOM",
        ]),
        "AUTO",
        "AUTO: of the table, or AWS_ACCESS_KEY_ID and what else a machine of AWS has; ENV_VAR and WEB_IDENTITY_TOKEN are the same",
    ),
    OptionDef::new(
        "aws.credentials.basic.accesskeyid",
        OptionKind::Text,
        "",
        "default: AWS_ACCESS_KEY_ID and what else a machine of AWS has; ${NAME} is taken from the environment",
    ),
    OptionDef::new("aws.credentials.basic.secretkey", OptionKind::Text, "", "with the key's id"),
    OptionDef::new("aws.credentials.basic.sessiontoken", OptionKind::Text, "", "of temporary credentials"),
    OptionDef::new(
        "source.init.position",
        OptionKind::Choice(POSITIONS),
        "LATEST",
        "where a job that is new begins",
    ),
    OptionDef::new(
        "source.init.timestamp",
        OptionKind::Text,
        "",
        "with AT_TIMESTAMP: 2026-01-05T08:00:00.000Z, or seconds since 1970",
    ),
    OptionDef::new(
        "source.init.timestamp.format",
        OptionKind::Text,
        TIMESTAMP_FORMAT,
        "how it is written; only the default is taken, with or without a fraction",
    ),
    OptionDef::new(
        "source.shard.discovery.interval",
        OptionKind::Duration,
        "10 s",
        "how often new shards are looked for",
    ),
    OptionDef::new(
        "source.reader.type",
        OptionKind::Choice(&["POLLING", "EFO"]),
        "POLLING",
        "only POLLING is taken",
    ),
    OptionDef::new(
        "source.shard.get-records.max-record-count",
        OptionKind::Integer,
        "10000",
        "records of a request",
    ),
    OptionDef::new(
        "source.reader.empty-records-fetch-interval",
        OptionKind::Duration,
        "250 ms",
        "pause after a request that found nothing",
    ),
    OptionDef::new(outbox::BATCH, OptionKind::Integer, "500", "sink: records of a request, 500 at most"),
    OptionDef::new(
        "sink.partitioner",
        OptionKind::Choice(&["random", "fixed"]),
        "random",
        "sink, without PARTITIONED BY: a key for each record, or one for each task",
    ),
    OptionDef::new(
        "sink.partitioner-field-delimiter",
        OptionKind::Text,
        "|",
        "sink: between the values of PARTITIONED BY",
    ),
    OptionDef::new(
        "sink.order",
        OptionKind::Choice(&["partition-key", "none"]),
        "partition-key",
        "sink, with PARTITIONED BY: none fills requests better, and records of a key may change places when the service refuses one of them",
    ),
    OptionDef::new(
        "sink.fail-on-error",
        OptionKind::Bool,
        "false",
        "sink: true fails at the first record that is not taken, instead of sending it again",
    ),
    OptionDef::new(
        "source.shard-assigner",
        OptionKind::Choice(&["default", "uniform"]),
        "default",
        "Flink's way of dealing shards to tasks",
    )
    .without_effect(),
    OptionDef::new(
        "source.init.skip-ended",
        OptionKind::Bool,
        "false",
        "with TRIM_HORIZON: shards that have ended are left out",
    ),
    OptionDef::new(
        "scan.on-missing",
        OptionKind::Choice(&["fail", "skip"]),
        "fail",
        "what happens when a shard that was not read to its end is not there any more",
    ),
];
const OPTIONS: [OptionDef; 23 + outbox::COUNT] = outbox::with_options(&OWN);

const METADATA: &[Known] = &[
    ("timestamp", Kept::Moment),
    ("sequence-number", Kept::Text),
    ("shard-id", Kept::Text),
    ("partition-key", Kept::Text),
];
const KEYS: &[&str] = &["timestamp", "sequence-number", "shard-id", "partition-key"];

/// Where a new job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Latest,
    Horizon,
    /// Milliseconds since the epoch.
    At(i64),
}

/// Which stream, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stream {
    name: String,
    arn: Option<String>,
    region: String,
}

impl Stream {
    fn of(options: &Options) -> Result<Self> {
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let (arn, name) = (options.text("stream.arn"), options.text("stream"));
        let mut region = options.text("aws.region").map(str::to_string);
        let (name, arn) = match (arn, name) {
            (Some(arn), None) => {
                let parts: Vec<&str> = arn.splitn(6, ':').collect();
                let stream = parts.get(5).and_then(|s| s.strip_prefix("stream/")).filter(|s| !s.is_empty());
                let (Some(stream), Some("kinesis"), Some(of)) = (stream, parts.get(2).copied(), parts.get(3))
                else {
                    return Err(wrong("stream.arn", &format!("'{arn}' is not one of a stream"))
                        .with_hint("arn:aws:kinesis:eu-north-1:123456789012:stream/readings"));
                };
                region = region.or_else(|| (!of.is_empty()).then(|| of.to_string()));
                (stream.to_string(), Some(arn.to_string()))
            }
            (None, Some(name)) => (name.to_string(), None),
            (Some(_), Some(_)) => return Err(wrong("stream", "'stream.arn' says it already")),
            (None, None) => {
                return Err(Error::option("option 'stream.arn' is required")
                    .with_hint("'stream.arn' = 'arn:aws:kinesis:...', or 'stream' and 'aws.region'"));
            }
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
            return Err(wrong("stream", &format!("'{name}' is not the name of a stream")));
        }
        let environment =
            || std::env::var("AWS_REGION").or_else(|_| std::env::var("AWS_DEFAULT_REGION")).ok();
        let region = region.or_else(environment).ok_or_else(|| {
            Error::option("option 'aws.region' is required")
                .with_hint("'aws.region' = 'eu-north-1', or AWS_REGION")
        })?;
        Ok(Self { name, arn, region })
    }

    /// Names the stream in a request.
    fn put_into(&self, mut request: Value) -> Value {
        let (key, value) = match &self.arn {
            Some(arn) => ("StreamARN", arn),
            None => ("StreamName", &self.name),
        };
        if let Some(request) = request.as_object_mut() {
            request.insert(key.to_string(), json!(value));
        }
        request
    }
}

fn api(options: &Options, stream: &Stream) -> Result<Api> {
    match options.text("aws.credentials.provider").map(str::to_ascii_uppercase).as_deref() {
        None | Some("AUTO" | "ENV_VAR" | "WEB_IDENTITY_TOKEN") => {}
        Some("BASIC") => {
            options.required("aws.credentials.basic.accesskeyid")?;
        }
        Some(other) => {
            return Err(Error::unsupported(format!("'aws.credentials.provider' = '{other}' is not supported"))
                .with_hint("AUTO takes AWS_ACCESS_KEY_ID, a web identity, a container's or an instance's role; `aws configure export-credentials` makes variables of a profile")
                .at(options.span("aws.credentials.provider")));
        }
    }
    Api::of_service(options, &KINESIS, &stream.region)
}

/// `2026-01-05T08:00:00.000Z`, or seconds since 1970.
fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1000.0) as i64);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    // Without a zone it is UTC.
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|t| t.and_utc().timestamp_millis())
}

/// What is read.
#[derive(Clone)]
struct Scan {
    table: String,
    stream: Stream,
    start: Start,
    discovery: Duration,
    records: u64,
    empty: Duration,
    skips_ended: bool,
    skips_missing: bool,
}

impl Scan {
    fn of(table: &Table) -> Result<Self> {
        let options = &table.options;
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        if options.choice("source.reader.type", &["POLLING", "EFO"])? == Some("EFO") {
            return Err(Error::unsupported("'source.reader.type' = 'EFO' is not supported")
                .with_hint("leave it out: shards are polled")
                .at(options.span("source.reader.type")));
        }
        const FORMAT: &str = "source.init.timestamp.format";
        let known = [TIMESTAMP_FORMAT, "yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd'T'HH:mm:ss"];
        if let Some(format) = options.text(FORMAT).filter(|format| !known.contains(format)) {
            return Err(Error::unsupported(format!("option '{FORMAT}': '{format}' is not supported"))
                .with_hint("'source.init.timestamp' = '2026-01-05T08:00:00.000Z'")
                .at(options.span(FORMAT)));
        }
        let start = match options.choice("source.init.position", POSITIONS)? {
            Some("TRIM_HORIZON") => Start::Horizon,
            Some("AT_TIMESTAMP") => {
                let text = options.required("source.init.timestamp")?;
                Start::At(moment(text).ok_or_else(|| {
                    wrong("source.init.timestamp", &format!("'{text}' is no time"))
                        .with_hint("2026-01-05T08:00:00.000Z")
                })?)
            }
            _ => Start::Latest,
        };
        let records = options.integer("source.shard.get-records.max-record-count")?.unwrap_or(10_000);
        if !(1..=10_000).contains(&records) {
            return Err(wrong("source.shard.get-records.max-record-count", "it must be from 1 to 10000"));
        }
        Ok(Self {
            table: table.name.clone(),
            stream: Stream::of(options)?,
            start,
            discovery: options
                .duration("source.shard.discovery.interval")?
                .unwrap_or(Duration::from_secs(10))
                .max(Duration::from_millis(100)),
            records,
            empty: options
                .duration("source.reader.empty-records-fetch-interval")?
                .unwrap_or(Duration::from_millis(250))
                .max(Duration::from_millis(10)),
            skips_ended: options.bool("source.init.skip-ended")?.unwrap_or(false),
            skips_missing: options.choice("scan.on-missing", &["fail", "skip"])? == Some("skip"),
        })
    }
}

impl Connector for Kinesis {
    fn name(&self) -> &'static str {
        "kinesis"
    }

    fn doc(&self) -> &'static str {
        "streams of Amazon Kinesis Data Streams, as source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        &OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn takes_partitions(&self) -> bool {
        true
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        KEYS
    }

    fn check(&self, table: &Table) -> Result<()> {
        let scan = Scan::of(table)?;
        api(&table.options, &scan.stream)?;
        outbox::Bounds::of(&table.options, sink::BATCH)?;
        messages::check(table, METADATA)
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        let scan = Scan::of(table)?;
        let api = api(&table.options, &scan.stream)?;
        messages::ask(async move { source::look(&scan, &api).await })
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let stream = Stream::of(&table.options)?;
        let at = api(&table.options, &stream)?.shown().to_string();
        Ok(Some(Place::new("kinesis", format!("stream {} at {at}", stream.name), stream.name)))
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { bounded: false, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let made = source::KinesisSource::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::KinesisSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stream_is_named_by_its_arn_or_its_name() {
        let of = |pairs: &[(&str, &str)]| {
            let mut options = Options::default();
            pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
            Stream::of(&options)
        };
        let arn = "arn:aws:kinesis:eu-north-1:123456789012:stream/readings";
        let stream = of(&[("stream.arn", arn)]).unwrap();
        assert_eq!((stream.name.as_str(), stream.region.as_str()), ("readings", "eu-north-1"));
        assert_eq!(stream.put_into(json!({"Limit": 1})), json!({"Limit": 1, "StreamARN": arn}));
        let stream = of(&[("stream", "readings"), ("aws.region", "eu-west-1")]).unwrap();
        assert_eq!(stream.put_into(json!({})), json!({"StreamName": "readings"}));
        assert!(of(&[("stream.arn", "arn:aws:s3:::bucket")]).is_err());
        assert!(of(&[("stream", "a b"), ("aws.region", "x")]).is_err());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(moment("1970-01-01T00:00:01.500Z"), Some(1500));
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(moment("1.5"), Some(1500));
        assert_eq!(moment("yesterday"), None);
    }
}
