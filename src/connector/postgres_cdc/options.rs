//! Options, as Flink CDC calls them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::database::postgres::cdc::{Create, Publication};
use crate::database::{JdbcUrl, System, spelled};
use crate::error::{Error, Result};
use crate::sql::variables::expanded;

const MODE: &str = "scan.startup.mode";
const MODES: &[&str] = &["initial", "latest-offset", "snapshot", "committed-offset"];
const CHANGELOG: &str = "changelog-mode";
const CHANGELOGS: &[&str] = &["all", "upsert"];
const CREATE: &str = "debezium.publication.autocreate.mode";
const CREATES: &[&str] = &["filtered", "all_tables", "disabled"];
const HEARTBEAT: &str = "heartbeat.interval.ms";
const SLOT: &str = "slot.name";
const PROPERTIES: &str = "jdbc.properties.";

pub(super) const OPTIONS: &[OptionDef] = &[
    OptionDef::new("hostname", OptionKind::Text, "", "the server"),
    OptionDef::new("port", OptionKind::Integer, "5432", "its port"),
    OptionDef::new(
        "username",
        OptionKind::Text,
        "",
        "user who may replicate; ${NAME} is taken from the environment",
    ),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("database-name", OptionKind::Text, "", "the database"),
    OptionDef::new("schema-name", OptionKind::Text, "", "the schema of the table, by its name"),
    OptionDef::new("table-name", OptionKind::Text, "", "the table, by its name"),
    OptionDef::new(
        SLOT,
        OptionKind::Text,
        "",
        "the replication slot that keeps the changes for this table; made if there is none",
    ),
    OptionDef::new(
        "decoding.plugin.name",
        OptionKind::Choice(&["pgoutput"]),
        "pgoutput",
        "what decodes the log",
    ),
    OptionDef::new(
        MODE,
        OptionKind::Choice(MODES),
        "initial",
        "initial: the rows that are there, then changes; latest-offset: changes from now on; snapshot: the rows alone; committed-offset: changes from where the slot is",
    ),
    OptionDef::new(
        CHANGELOG,
        OptionKind::Choice(CHANGELOGS),
        "all",
        "all: needs REPLICA IDENTITY FULL; upsert: rows before a change are kept by the PRIMARY KEY",
    ),
    OptionDef::new(
        HEARTBEAT,
        OptionKind::Duration,
        "30 s",
        "how often the server hears what it need not keep, and is asked where it is",
    ),
    OptionDef::new("connect.timeout", OptionKind::Duration, "30 s", "how long a connection may take"),
    OptionDef::new(
        "connect.max-retries",
        OptionKind::Integer,
        "3",
        "further attempts to connect, with pauses of 1 s, 2 s, 4 s, ...; then the job fails, and its restart strategy decides",
    ),
    OptionDef::new(
        "debezium.publication.name",
        OptionKind::Text,
        "",
        "the publication that the changes come by; default: as the slot",
    ),
    OptionDef::new(
        CREATE,
        OptionKind::Choice(CREATES),
        "filtered",
        "which publication is made where there is none: filtered: of this table; all_tables; disabled: none",
    ),
    OptionDef::new(
        "jdbc.properties.*",
        OptionKind::Text,
        "",
        "parameters of the connection: sslmode, sslrootcert, sslcert, sslkey, ApplicationName",
    ),
];

/// What is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Startup {
    Initial,
    Latest,
    Snapshot,
    Committed,
}

/// The options of a table.
#[derive(Debug, Clone)]
pub(super) struct CdcOptions {
    pub(super) url: JdbcUrl,
    pub(super) schema: String,
    pub(super) table: String,
    /// Empty where only the rows that are there are read.
    pub(super) slot: String,
    pub(super) publication: Publication,
    pub(super) startup: Startup,
    pub(super) upsert: bool,
    pub(super) heartbeat: Duration,
    pub(super) retries: u32,
}

impl CdcOptions {
    pub(super) fn of(options: &Options) -> Result<Self> {
        let startup = match options.choice(MODE, MODES)? {
            Some("latest-offset") => Startup::Latest,
            Some("snapshot") => Startup::Snapshot,
            Some("committed-offset") => Startup::Committed,
            _ => Startup::Initial,
        };
        let read = |key: &str| options.text(key).map(expanded).transpose();
        let port = options.integer("port")?.unwrap_or(5432);
        let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| {
            Error::option(format!("option 'port': {port} is no port")).at(options.span("port"))
        })?;
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in options.with_prefix(PROPERTIES) {
            parameters.insert(key.to_string(), expanded(value)?);
        }
        if let Some(timeout) = options.duration("connect.timeout")? {
            parameters.insert("connectTimeout".into(), timeout.as_secs().max(1).to_string());
        } else {
            parameters.entry("connectTimeout".into()).or_insert_with(|| "30".into());
        }
        let url = JdbcUrl {
            system: System::Postgres,
            hosts: vec![(expanded(options.required("hostname")?)?, port)],
            name: options.required("database-name")?.to_string(),
            user: Some(expanded(options.required("username")?)?),
            password: read("password")?,
            parameters,
        };
        let slot = match startup {
            Startup::Snapshot => options.text(SLOT).unwrap_or_default(),
            _ => options.required(SLOT)?,
        };
        let fits = slot.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits || slot.len() > 63 {
            return Err(Error::option(format!("option '{SLOT}': '{slot}' is no name of a slot"))
                .with_hint("up to 63 lower case letters, digits and underscores")
                .at(options.span(SLOT)));
        }
        let heartbeat = options.duration(HEARTBEAT)?.unwrap_or(Duration::from_secs(30));
        if heartbeat < Duration::from_millis(100) {
            return Err(Error::option(format!("option '{HEARTBEAT}' is at least 100 ms"))
                .with_hint("without heartbeats an idle table would keep the server's log from being removed")
                .at(options.span(HEARTBEAT)));
        }
        let retries = options.integer("connect.max-retries")?.unwrap_or(3);
        Ok(Self {
            url,
            schema: options.required("schema-name")?.to_string(),
            table: options.required("table-name")?.to_string(),
            slot: slot.to_string(),
            publication: Publication {
                name: options.text("debezium.publication.name").unwrap_or(slot).to_string(),
                create: match options.choice(CREATE, CREATES)? {
                    Some("all_tables") => Create::All,
                    Some("disabled") => Create::Never,
                    _ => Create::Table,
                },
            },
            startup,
            upsert: options.choice(CHANGELOG, CHANGELOGS)? == Some("upsert"),
            heartbeat,
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
        })
    }

    /// The table as the database has it.
    pub(super) fn name(&self) -> String {
        spelled(&[self.schema.clone(), self.table.clone()])
    }
}
