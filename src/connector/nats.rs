//! `'connector' = 'nats'`: streams of NATS JetStream, as source and sink.
//!
//! # Reading
//! The position is the sequence of the next message in the stream, and a job that comes back goes on there: each message is
//! read once, and nothing is acknowledged over there. A stream that has lost messages which were to be read, be it while the
//! job reads, is an error (`scan.on-missing`); a warning where only some of its subjects are read. Where a stream keeps so
//! many messages of each subject, what newer ones have replaced is looked for only when the scan connects.
//! Core NATS, which keeps nothing, is not read.
//!
//! # Writing
//! A message is there when the stream has acknowledged it: at-least-once, in order per subject, because a message is sent when
//! the one before it in its subject is there (`sink.order` = `none` does not wait, and is faster). Each message has a
//! `Nats-Msg-Id`; what is sent again is recognised by it within the stream's window (two minutes, if it says nothing
//! else). Ids made of columns (`sink.message-id` = `{id}-{version}`) do that over a restart of the job, too.
//!
//! # Metadata
//! `subject` (STRING; a sink writes it where the table declares it), `stream` (STRING), `sequence` (BIGINT), `timestamp`
//! (TIMESTAMP_LTZ(3)), `headers` (MAP<STRING, STRING>).

mod client;
mod sink;
mod source;

use std::sync::Arc;

use self::client::Server;
use super::messages::{self, Kept, Known};
use super::outbox;
use super::tls;
use super::{Connector, Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::Table;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};

/// The connector.
#[derive(Debug)]
pub struct Nats;

const OWN: [OptionDef; 14] = [
    OptionDef::new(
        "url",
        OptionKind::Text,
        "",
        "nats://host:4222, several separated by ','; tls:// with TLS",
    ),
    OptionDef::new("stream", OptionKind::Text, "", "the stream; default: the one that has the subject"),
    OptionDef::new(
        "subject",
        OptionKind::Text,
        "",
        "source: which of the stream's subjects are read, with * and >; sink: where messages go",
    ),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("token", OptionKind::Text, "", "token; ${NAME} is taken from the environment"),
    OptionDef::new(
        "scan.startup.mode",
        OptionKind::Choice(&["earliest-offset", "latest-offset", "timestamp", "specific-offset"]),
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
        OptionKind::Integer,
        "",
        "with specific-offset: a sequence",
    ),
    OptionDef::new(
        "scan.bounded.mode",
        OptionKind::Choice(&["unbounded", "latest-offset"]),
        "unbounded",
        "latest-offset: the scan ends at what is there when it begins",
    ),
    OptionDef::new(
        "scan.on-missing",
        OptionKind::Choice(&["fail", "skip"]),
        "fail",
        "what happens when messages that were to be read are not there any more; a warning where only some of the stream's subjects are read",
    ),
    OptionDef::new(
        "sink.message-id",
        OptionKind::Text,
        "",
        "sink: Nats-Msg-Id made of columns, such as {id}-{version}: a message that is sent again, also by a job that comes back, is recognised",
    ),
    OptionDef::new(
        outbox::BATCH,
        OptionKind::Integer,
        "500",
        "sink: messages that are on their way together",
    ),
    OptionDef::new(
        "sink.order",
        OptionKind::Choice(ORDERS),
        "subject",
        "sink: none sends messages of a subject without waiting for each, and they may change places when the stream refuses one of them",
    ),
];
const FEW: [OptionDef; 17] = outbox::chained(&OWN, &tls::OPTIONS);
const OPTIONS: [OptionDef; 17 + outbox::COUNT] = outbox::with_options(&FEW);

const ORDERS: &[&str] = &["subject", "none"];

const METADATA: &[Known] = &[
    ("subject", Kept::Text),
    ("stream", Kept::Text),
    ("sequence", Kept::Long),
    ("timestamp", Kept::Moment),
    ("headers", Kept::Map),
];
const KEYS: &[&str] = &["subject", "stream", "sequence", "timestamp", "headers"];

/// Where a new job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Earliest,
    Latest,
    /// Milliseconds since the epoch.
    At(i64),
    Sequence(u64),
}

/// What is read.
#[derive(Clone)]
struct Settings {
    table: String,
    server: Server,
    stream: Option<String>,
    subject: Option<String>,
    start: Start,
    bounded: bool,
    skips_missing: bool,
}

impl Settings {
    fn of(table: &Table) -> Result<Self> {
        let options = &table.options;
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let (stream, subject) = (options.text("stream"), options.text("subject"));
        if stream.is_none() && subject.is_none() {
            return Err(Error::option("option 'stream' or 'subject' is required"));
        }
        if let Some(name) = stream.filter(|s| s.is_empty() || s.contains(['.', '*', '>', ' ', '/', '\\'])) {
            return Err(wrong("stream", &format!("'{name}' is not the name of a stream"))
                .with_hint("subjects, with their dots, are what 'subject' takes"));
        }
        if let Some(subject) = subject.filter(|s| !is_subject(s)) {
            return Err(wrong("subject", &format!("'{subject}' is not a subject")).with_hint(
                "words between dots; * stands for one word and > for all that follow: plant.*.sensors.>",
            ));
        }
        let number = |key: &'static str| -> Result<u64> {
            options.integer(key)?.ok_or_else(|| {
                Error::option(format!("option '{key}' is required with this 'scan.startup.mode'"))
                    .at(options.span("scan.startup.mode"))
            })
        };
        let modes = &["earliest-offset", "latest-offset", "timestamp", "specific-offset"];
        let start = match options.choice("scan.startup.mode", modes)? {
            Some("latest-offset") => Start::Latest,
            Some("timestamp") => {
                Start::At(i64::try_from(number("scan.startup.timestamp-millis")?).unwrap_or(i64::MAX))
            }
            Some("specific-offset") => Start::Sequence(number("scan.startup.specific-offset")?.max(1)),
            _ => Start::Earliest,
        };
        Ok(Self {
            table: table.name.clone(),
            server: Server::of(options)?,
            stream: stream.map(str::to_string),
            subject: subject.map(str::to_string),
            start,
            bounded: options.choice("scan.bounded.mode", &["unbounded", "latest-offset"])?
                == Some("latest-offset"),
            skips_missing: options.choice("scan.on-missing", &["fail", "skip"])? == Some("skip"),
        })
    }

    /// What it is called, for people.
    fn name(&self) -> String {
        match (&self.stream, &self.subject) {
            (Some(stream), Some(subject)) => format!("stream '{stream}', subject '{subject}'"),
            (Some(stream), None) => format!("stream '{stream}'"),
            (None, subject) => format!("subject '{}'", subject.as_deref().unwrap_or_default()),
        }
    }

    fn describe(&self) -> String {
        format!(
            "{}, url={}",
            self.name().replace('\'', "").replacen(' ', "=", 1).replace(", subject ", ", subject="),
            self.server
        )
    }
}

/// Whether wildcards stand where they may.
fn is_subject(subject: &str) -> bool {
    let words: Vec<&str> = subject.split('.').collect();
    words.iter().enumerate().all(|(i, word)| match *word {
        "*" => true,
        ">" => i + 1 == words.len(),
        word => !word.is_empty() && !word.contains(['*', '>', ' ', '\t', '\r', '\n']),
    })
}

/// Whether rows can go there.
fn is_exact(subject: &str) -> bool {
    is_subject(subject) && !subject.contains(['*', '>'])
}

impl Connector for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn doc(&self) -> &'static str {
        "streams of NATS JetStream, as source and sink"
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
        messages::ask(async move { source::look(&settings).await })
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let settings = Settings::of(table)?;
        let name = settings.name();
        Ok(Some(Place::new("nats", format!("{name} at {}", settings.server), name)))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let made = source::NatsSource::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::NatsSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_alone_in_their_word() {
        for good in ["a", "a.b", "*.b.>", ">"] {
            assert!(is_subject(good), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.>.b", "a*", "a b"] {
            assert!(!is_subject(bad), "{bad}");
        }
        assert!(is_exact("a.b") && !is_exact("a.*"));
    }
}
