//! Finds connectors by name.

use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::table::Own;
use crate::catalog::{ColumnSource, Options, Registered, Table};
use crate::dead_letter::SCAN_OPTION;
use crate::error::{Error, Result};
use crate::features::not_in_this_build;
use crate::format::Format;
use crate::lookup::metadata::MetadataKind;
use crate::nearest::nearest;

use super::Connector;

/// The format of a file that a query names: what the end of its name says, or else what is in it.
pub fn format_of_file(path: &str) -> Result<Option<&'static str>> {
    match super::filesystem::by_name(path) {
        Some(format) => Ok(Some(format)),
        None => super::filesystem::recognise(path),
    }
}

/// The name of a file without the end that says how it is packed.
pub fn unpacked_name(path: &str) -> &str {
    super::filesystem::unpacked_name(path)
}

/// The connectors there are.
const CONNECTORS: &[&dyn Connector] = &[
    &super::filesystem::Filesystem,
    &super::function::FunctionConnector,
    &super::http::HttpConnector,
    &super::jdbc::Jdbc,
    &super::stdio::Stdin,
    &super::stdio::Stdout,
    &super::datagen::Datagen,
    &super::nexmark::Nexmark,
    &super::print::Print,
    &super::blackhole::Blackhole,
    &super::checkpoint::CheckpointTables,
    &super::webhook::Webhook,
    #[cfg(feature = "s3")]
    &super::dynamodb::DynamoDb,
    #[cfg(feature = "s3")]
    &super::kinesis::Kinesis,
    #[cfg(feature = "mmdb")]
    &super::mmdb::Mmdb,
    #[cfg(feature = "mqtt")]
    &super::mqtt::Mqtt,
    #[cfg(feature = "mysql")]
    &super::mysql_cdc::MySqlCdc,
    #[cfg(feature = "postgres")]
    &super::postgres_cdc::PostgresCdc,
    #[cfg(feature = "nats")]
    &super::nats::Nats,
    #[cfg(feature = "redis")]
    &super::redis::Redis,
    #[cfg(feature = "redis")]
    &super::redis_stream::RedisStream,
    #[cfg(feature = "kafka")]
    &super::kafka::Kafka,
    #[cfg(feature = "kafka")]
    &super::kafka::UpsertKafka,
    #[cfg(test)]
    &crate::flow::simulation::world::Scripted,
];

/// What other systems call a connector.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("file", "filesystem"),
    ("files", "filesystem"),
    ("fs", "filesystem"),
    ("local", "filesystem"),
    ("s3", "filesystem"),
    ("rest", "http"),
    ("rest-lookup", "http"),
    ("https", "http"),
    ("http-lookup", "http"),
    ("http-sink", "http"),
    ("http-async-sink", "http"),
    ("jetstream", "nats"),
    ("kinesis-legacy", "kinesis"),
    ("faker", "datagen"),
    ("console", "print"),
    ("log", "print"),
    ("null", "blackhole"),
    ("devnull", "blackhole"),
    ("postgres", "jdbc"),
    ("mysql", "jdbc"),
    ("maxmind", "mmdb"),
    ("geoip", "mmdb"),
];

/// Connectors that Flink has and this program does not.
const ABSENT: &[&str] = &[
    "db2-cdc",
    "doris",
    "dynamodb",
    "elasticsearch",
    "elasticsearch-6",
    "elasticsearch-7",
    "elasticsearch-8",
    "firehose",
    "fluss",
    "function",
    "hbase-1.4",
    "hbase-2.2",
    "hive",
    "hudi",
    "iceberg",
    "jdbc",
    "kafka",
    "kinesis",
    "lambda",
    "mmdb",
    "mongodb",
    "mongodb-cdc",
    "mqtt",
    "mysql",
    "mysql-cdc",
    "nats",
    "opensearch",
    "opensearch-2",
    "oracle-cdc",
    "paimon",
    "postgres",
    "postgres-cdc",
    "prometheus",
    "pulsar",
    "rabbitmq",
    "redis",
    "redis-stream",
    "socket",
    "sqlserver-cdc",
    "starrocks",
    "upsert-kafka",
    "webhook",
];

/// The built-in connector of that name.
pub fn connector(name: &str) -> Result<&'static dyn Connector> {
    let found = CONNECTORS.iter().find(|c| c.name() == name);
    found.copied().ok_or_else(|| unknown(name, &Registered::default()))
}

/// The connector that options name: of the program, or a built-in one.
pub fn named(options: &Options) -> Result<&dyn Connector> {
    let name = options.required("connector")?;
    if let Some(own) = options.registered().find::<dyn Connector>(name) {
        return Ok(own.as_ref());
    }
    let found = CONNECTORS.iter().find(|c| c.name() == name);
    let found = found.map(|c| *c as &dyn Connector);
    found.ok_or_else(|| unknown(name, options.registered()).at(options.span("connector")))
}

/// Names of connectors, those of the program first.
pub fn names_in(registered: &Registered) -> Vec<&str> {
    let mut names: Vec<&str> = registered.all::<dyn Connector>().map(|(name, _)| name).collect();
    for name in connector_names() {
        names.push(name);
    }
    names
}

fn unknown(name: &str, registered: &Registered) -> Error {
    let known = names_in(registered);
    let there_are = || format!("there are: {}", known.join(", "));
    let exists = |name: &str| CONNECTORS.iter().any(|c| c.name() == name);
    if let Some(error) = not_in_this_build("connector", name) {
        return error;
    }
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(other, _)| name.eq_ignore_ascii_case(other))
        && exists(ours)
    {
        let error = Error::option(format!("connector '{name}' is called '{ours}' here"));
        return error.with_hint(format!("write 'connector' = '{ours}'"));
    }
    if ABSENT.iter().any(|absent| name.eq_ignore_ascii_case(absent)) {
        return Error::unsupported(format!("connector '{name}' is not supported")).with_hint(there_are());
    }
    let error = Error::option(format!("connector '{name}' is not known"));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint(there_are()),
    }
}

impl Table {
    /// What it is connected to.
    pub fn connector(&self) -> Result<&dyn Connector> {
        match &self.own {
            Some(own) => own
                .get::<dyn Connector>()
                .ok_or_else(|| Error::internal(format!("table '{}' has lost its connector", self.name))),
            None => named(&self.options),
        }
    }
}

/// The connector whose tables a URL names.
pub fn connector_of_url(url: &str) -> Option<&'static dyn Connector> {
    let (scheme, _) = url.split_once("://")?;
    CONNECTORS.iter().copied().find(|c| c.schemes().iter().any(|s| s.eq_ignore_ascii_case(scheme)))
}

/// The options of a table that is a file.
pub fn options_of_file<'a>(path: &'a str, format: &'a str) -> [(&'static str, &'a str); 3] {
    [("connector", super::filesystem::Filesystem.name()), ("path", path), ("format", format)]
}

/// Names of the built-in connectors.
pub fn connector_names() -> impl Iterator<Item = &'static str> {
    CONNECTORS.iter().map(|c| c.name())
}

/// The built-in connectors, for documentation.
pub fn connectors() -> impl Iterator<Item = &'static dyn Connector> {
    CONNECTORS.iter().copied()
}

/// Every option that a table may have, as far as its own options tell: those of its connector, its format, the
/// lookup engine, and of tables with a watermark.
pub fn definitions(options: &Options) -> Vec<&'static OptionDef> {
    let mut all = vec![&CONNECTOR];
    let Ok(connector) = named(options) else { return all };
    all.extend(connector.options());
    if connector.takes_format() {
        all.push(&FORMAT);
        if let Some(format) = connector.format_of(options) {
            all.extend(Format::definitions_in(options, format));
        }
    }
    if connector.is_lookup(options) {
        all.extend(crate::lookup::config::OPTIONS);
    }
    if connector.is_source() {
        all.extend(WATERMARK);
        all.push(&MOVED);
    }
    if connector.rejects() {
        all.push(&DEAD_LETTER);
    }
    all
}

const CONNECTOR: OptionDef =
    OptionDef::new("connector", OptionKind::Text, "", "what the table is connected to");
/// `scan.watermark.idle-timeout`
pub const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";

/// `scan.moved-from`
pub const MOVED_FROM: &str = "scan.moved-from";

const MOVED: OptionDef = OptionDef::new(
    MOVED_FROM,
    OptionKind::Text,
    "",
    "where the same data was before, as a checkpoint has it: a job goes on from its positions there",
);

/// Options of tables that declare a watermark.
pub const WATERMARK: &[OptionDef] = &[
    OptionDef::new(
        IDLE_TIMEOUT,
        OptionKind::Duration,
        "",
        "after how long without rows a task that reads holds the watermark of the others back no more; 0: never; default: 'table.exec.source.idle-timeout'",
    ),
    OptionDef::new(
        "scan.watermark.emit.strategy",
        OptionKind::Choice(&["on-event", "on-periodic"]),
        "on-event",
        "both are the same: a watermark follows every batch that moves it",
    ),
];
/// `scan.dead-letter`
const DEAD_LETTER: OptionDef = OptionDef::new(
    SCAN_OPTION,
    OptionKind::Text,
    "",
    "the table that gets records which cannot be decoded, instead of a failure",
);
const FORMAT: OptionDef = OptionDef::new("format", OptionKind::Text, "", "how records are written");

/// Checks a table's options and metadata columns against what its connector, its format and the lookup
/// engine know; at CREATE TABLE, and again where hints change the options.
pub fn validate(table: &Table) -> Result<()> {
    check(table).map_err(|e| table.context(e))
}

fn check(table: &Table) -> Result<()> {
    let options = &table.options;
    let name = options.text("connector").or(table.own.as_ref().map(Own::name)).ok_or_else(|| {
        let names = names_in(options.registered());
        Error::option("option 'connector' is required")
            .with_hint(format!("WITH ('connector' = '...'), one of {}", names.join(", ")))
    })?;
    let connector = table.connector()?;
    let mut definitions = vec![&CONNECTOR];
    definitions.extend(connector.options());
    if connector.takes_format() {
        definitions.push(&FORMAT);
        let format = connector.format_of(options).ok_or_else(|| {
            let error = Error::option("option 'format' is required");
            match options.misspelt("format") {
                Some(given) => error
                    .with_hint(format!("'{given}' is given: did you mean 'format'?"))
                    .at(options.span(given)),
                None => {
                    error.with_hint(format!("'format' is one of {}", Format::names_in(options).join(", ")))
                }
            }
        })?;
        definitions.extend(Format::definitions_in(options, format));
        // Also says when there is no such format, before its options are called unknown.
        let format = Format::from_options_or(connector.format_options(options)?.as_ref(), format)?;
        format.check(&table.primary_key)?;
        if options.contains(SCAN_OPTION) && connector.rejects() {
            format.check_rejecting().map_err(|e| e.at(options.span(SCAN_OPTION)))?;
        }
    }
    if table.watermark.is_some() {
        definitions.extend(WATERMARK);
    } else if let Some((key, _)) = options.with_prefix("scan.watermark.").next() {
        let key = format!("scan.watermark.{}", key.trim_start_matches("scan.watermark."));
        return Err(Error::option(format!("option '{key}' is for tables with a watermark"))
            .with_hint("declare one: WATERMARK FOR ts AS ts - INTERVAL '5' SECOND")
            .at(options.span(&key)));
    }
    if connector.is_lookup(options) {
        definitions.extend(crate::lookup::config::OPTIONS);
    }
    definitions.extend(WATERMARK);
    if connector.rejects() {
        definitions.push(&DEAD_LETTER);
    }
    if connector.is_source() {
        definitions.push(&MOVED);
    }
    options.validate(&format!("connector '{name}'"), &definitions)?;
    if table.watermark.is_none()
        && let Some(option) = WATERMARK.iter().find(|o| options.contains(o.key))
    {
        return Err(Error::option(format!("option '{}' is for tables with a WATERMARK", option.key))
            .with_hint("WATERMARK FOR ts AS ts - INTERVAL '5' SECOND")
            .at(options.span(option.key)));
    }
    if !table.partitioned_by.is_empty() && !connector.takes_partitions() {
        return Err(Error::plan(format!("connector '{name}' has no partitions"))
            .with_hint("leave PARTITIONED BY out"));
    }
    for column in &table.columns {
        let ColumnSource::Metadata { key, data_type, .. } = &column.source else { continue };
        let mut known = connector.metadata().to_vec();
        if known.contains(&key.as_str()) {
            continue;
        }
        if connector.is_lookup(options) {
            known.extend(connector.lookup_metadata());
        }
        if known.contains(&key.as_str())
            && let Some(kind) = MetadataKind::parse(key)
        {
            let (wanted, fits) = kind.takes(&data_type.to_arrow("UTC"));
            if fits {
                continue;
            }
            return Err(Error::plan(format!(
                "column '{}': metadata '{key}' is {wanted}, it is declared as {data_type}",
                column.name
            ))
            .with_hint(format!("{} {wanted} METADATA FROM '{key}' VIRTUAL", column.name)));
        }
        let error =
            Error::plan(format!("column '{}': connector '{name}' has no metadata '{key}'", column.name));
        return Err(match nearest(key, known.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None if known.is_empty() => error,
            None => error.with_hint(format!("it has: {}", known.join(", "))),
        });
    }
    connector.check(table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(pairs: &[(&str, &str)]) -> Error {
        let mut options = Options::default();
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        let table = Table {
            name: "t".into(),
            home: Default::default(),
            columns: vec![],
            watermark: None,
            primary_key: vec![],
            partitioned_by: vec![],
            comment: None,
            options,
            temporary: false,
            own: None,
        };
        validate(&table).unwrap_err()
    }

    #[test]
    fn options_are_checked_against_connector_and_format() {
        let e = wrong(&[]);
        assert_eq!(e.message(), "table 't': option 'connector' is required");
        assert!(e.hint().is_some_and(|h| h.contains("filesystem, function, http, jdbc, stdin")), "{e}");
        let e = wrong(&[("connector", "filesytem")]);
        assert_eq!(e.hint(), Some("did you mean 'filesystem'?"));
        let e = wrong(&[("connector", "file")]);
        assert_eq!(e.message(), "table 't': connector 'file' is called 'filesystem' here");
        let e = wrong(&[("connector", "oracle-cdc")]);
        assert_eq!(e.message(), "table 't': connector 'oracle-cdc' is not supported");
        let e = wrong(&[("connector", "filesystem"), ("path", "x"), ("fromat", "csv")]);
        assert_eq!(e.hint(), Some("'fromat' is given: did you mean 'format'?"));
        let e =
            wrong(&[("connector", "filesystem"), ("path", "x"), ("format", "csv"), ("csv.delimiter", ";")]);
        assert_eq!(e.hint(), Some("did you mean 'csv.field-delimiter'?"));
        let e = wrong(&[("connector", "filesystem"), ("path", "x")]);
        assert_eq!(e.message(), "table 't': option 'format' is required");
        let e = wrong(&[("connector", "filesystem"), ("path", "x"), ("format", "cvs")]);
        assert_eq!(e.hint(), Some("did you mean 'csv'?"));
        let e = wrong(&[("connector", "filesystem"), ("path", "x"), ("format", "csv"), ("json.x", "1")]);
        assert_eq!(e.message(), "table 't': connector 'filesystem' has no option 'json.x'");
        let e = wrong(&[("connector", "filesystem"), ("format", "csv"), ("lookup.cache", "SOME")]);
        assert!(e.message().contains("'SOME' is not one of"), "{e}");
        let e = wrong(&[("connector", "datagen"), ("lookup.cache", "FULL")]);
        assert!(e.message().contains("has no option 'lookup.cache'"), "{e}");
        let e = wrong(&[("connector", "filesystem"), ("format", "csv")]);
        assert_eq!(e.message(), "table 't': option 'path' is required");
        let e = wrong(&[("connector", "print"), ("standard-error", "maybe")]);
        assert!(e.message().contains("neither true nor false"), "{e}");
    }
}
