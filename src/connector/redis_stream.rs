//! `'connector' = 'redis-stream'`: streams of Redis, as source and sink.
//!
//! An entry has the record in one of its fields (`redis.field`, `value` if nothing else is said).
//!
//! # Reading
//! XREAD from an id on. The position is the id of the last entry that became a row, and a job that comes back goes on behind
//! it: each entry is read once, and no consumer group is needed. What a stream has trimmed before it was read is lost, which
//! Redis does not tell exactly: a warning says where it may be so.
//!
//! # Writing
//! XADD in transactions, in order, at-least-once; `sink.max-length` trims the stream.
//!
//! # Metadata
//! `id` (STRING), `timestamp` (TIMESTAMP_LTZ(3): that of the id), `fields` (MAP<STRING, STRING>: the other fields).

mod sink;
mod source;

use std::sync::Arc;

use super::messages::{self, Kept, Known};
use super::outbox;
use super::{Connector, Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::Table;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};
use crate::lookup::redis::{Connection, address, failure};

/// The connector.
#[derive(Debug)]
pub struct RedisStream;

const MODES: &[&str] = &["earliest-offset", "latest-offset", "timestamp", "specific-offset"];

const OWN: [OptionDef; 14] = [
    OptionDef::new("uri", OptionKind::Text, "", "redis://host:port/database, or rediss:// with TLS"),
    OptionDef::new("stream", OptionKind::Text, "", "the key of the stream"),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("redis.field", OptionKind::Text, "value", "the field of an entry that holds the record"),
    OptionDef::new("redis.connection.timeout", OptionKind::Duration, "10 s", "how long connecting may take"),
    OptionDef::new("redis.request.timeout", OptionKind::Duration, "30 s", "how long an answer may take"),
    OptionDef::new(
        "scan.startup.mode",
        OptionKind::Choice(MODES),
        "earliest-offset",
        "where a job that is new begins",
    ),
    OptionDef::new(
        "scan.startup.timestamp-millis",
        OptionKind::Integer,
        "",
        "with timestamp: milliseconds since 1970",
    ),
    OptionDef::new(
        "scan.startup.specific-offset",
        OptionKind::Text,
        "",
        "with specific-offset: the id of the first entry, such as 1700000000000-0",
    ),
    OptionDef::new(
        "scan.bounded.mode",
        OptionKind::Choice(&["unbounded", "latest-offset"]),
        "unbounded",
        "latest-offset: the scan ends at what is there when it begins",
    ),
    OptionDef::new("scan.fetch-size", OptionKind::Integer, "1000", "entries of a request"),
    OptionDef::new(outbox::BATCH, OptionKind::Integer, "500", "sink: entries of a request"),
    OptionDef::new(
        "sink.max-length",
        OptionKind::Integer,
        "",
        "sink: about how many entries the stream keeps; default: all",
    ),
];
const OPTIONS: [OptionDef; 14 + outbox::COUNT] = outbox::with_options(&OWN);

const METADATA: &[Known] = &[("id", Kept::Text), ("timestamp", Kept::Moment), ("fields", Kept::Map)];
const KEYS: &[&str] = &["id", "timestamp", "fields"];

/// The id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Id(u64, u64);

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let (millis, number) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self(millis.parse().ok()?, number.parse().ok()?))
    }

    /// The one before it.
    fn before(self) -> Self {
        match self {
            Self(0, 0) => self,
            Self(millis, 0) => Self(millis - 1, u64::MAX),
            Self(millis, number) => Self(millis, number - 1),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// Where a new job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Latest,
    /// Behind this entry.
    Behind(Id),
}

#[derive(Clone)]
struct Settings {
    table: String,
    stream: String,
    field: String,
    shown: String,
    start: Start,
    bounded: bool,
    fetch: u64,
    /// Milliseconds that Redis waits for an entry: fewer than an answer may take.
    block: u64,
}

impl Settings {
    fn of(table: &Table) -> Result<Self> {
        let options = &table.options;
        let stream = options.required("stream")?;
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        if stream.is_empty() {
            return Err(wrong("stream", "it is empty"));
        }
        let needed = |key: &'static str| {
            options.text(key).ok_or_else(|| {
                Error::option(format!("option '{key}' is required with this 'scan.startup.mode'"))
                    .at(options.span("scan.startup.mode"))
            })
        };
        let start = match options.choice("scan.startup.mode", MODES)? {
            Some("latest-offset") => Start::Latest,
            Some("timestamp") => {
                needed("scan.startup.timestamp-millis")?;
                let millis = options.integer("scan.startup.timestamp-millis")?.unwrap_or_default();
                Start::Behind(Id(millis, 0).before())
            }
            Some("specific-offset") => {
                const KEY: &str = "scan.startup.specific-offset";
                let text = needed(KEY)?;
                let id = Id::parse(text).ok_or_else(|| {
                    wrong(KEY, &format!("'{text}' is not the id of an entry")).with_hint("1700000000000-0")
                })?;
                Start::Behind(id.before())
            }
            _ => Start::Behind(Id(0, 0)),
        };
        let fetch = options.integer("scan.fetch-size")?.unwrap_or(1000);
        if fetch == 0 {
            return Err(wrong("scan.fetch-size", "it must be at least 1"));
        }
        Ok(Self {
            table: table.name.clone(),
            stream: stream.to_string(),
            field: options.text("redis.field").unwrap_or("value").to_string(),
            shown: address(options)?.shown,
            start,
            bounded: options.choice("scan.bounded.mode", &["unbounded", "latest-offset"])?
                == Some("latest-offset"),
            fetch,
            block: block(options.duration("redis.request.timeout")?),
        })
    }
}

fn block(timeout: Option<std::time::Duration>) -> u64 {
    const MOST: u64 = 500;
    // Redis takes 0 as for ever.
    timeout.map_or(MOST, |t| u64::try_from(t.as_millis() / 2).unwrap_or(MOST)).clamp(1, MOST)
}

impl Connector for RedisStream {
    fn name(&self) -> &'static str {
        "redis-stream"
    }

    fn doc(&self) -> &'static str {
        "streams of Redis, as source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        &OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        KEYS
    }

    fn check(&self, table: &Table) -> Result<()> {
        Settings::of(table)?;
        outbox::Bounds::of(&table.options, sink::BATCH)?;
        messages::check(table, METADATA)
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        let settings = Settings::of(table)?;
        let connection = Connection::new(address(&table.options)?);
        messages::ask(async move {
            let Settings { table, stream, shown, .. } = &settings;
            match connection.one(redis::cmd("XLEN").arg(stream)).await.and_then(redis::Value::extract_error) {
                Ok(redis::Value::Int(entries)) => {
                    Ok(vec![format!("table '{table}': stream '{stream}' at {shown}: {entries} entries")])
                }
                Ok(_) => Ok(Vec::new()),
                Err(e) => Err(Error::io(format!(
                    "table '{table}': stream '{stream}': {}",
                    failure(shown, &e).message
                ))),
            }
        })
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let settings = Settings::of(table)?;
        let at = format!("{}, stream {}", settings.shown, settings.stream);
        Ok(Some(Place::new("redis-stream", at, settings.stream)))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let made = source::StreamSource::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::StreamSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_answers_before_the_time_is_up() {
        let of = |millis| block(Some(std::time::Duration::from_millis(millis)));
        assert_eq!((block(None), of(30_000), of(500), of(0)), (500, 500, 250, 1));
    }

    #[test]
    fn ids_are_ordered_and_have_one_before() {
        assert_eq!(Id::parse("17-3"), Some(Id(17, 3)));
        assert_eq!(Id::parse("17"), Some(Id(17, 0)));
        assert_eq!((Id::parse("x"), Id::parse("1-2-3")), (None, None));
        assert_eq!(Id(17, 0).before(), Id(16, u64::MAX));
        assert_eq!((Id(17, 1).before(), Id(0, 0).before()), (Id(17, 0), Id(0, 0)));
        assert!(Id(2, 0) < Id(10, 0));
    }
}
