//! Options, as Flink CDC calls them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::database::mysql::binlog::Place;
use crate::database::{JdbcUrl, System, spelled};
use crate::error::{Error, Result};
use crate::sql::variables::expanded;

const MODE: &str = "scan.startup.mode";
const MODES: &[&str] = &["initial", "earliest-offset", "latest-offset", "specific-offset", "snapshot"];
const FILE: &str = "scan.startup.specific-offset.file";
const POS: &str = "scan.startup.specific-offset.pos";
const HEARTBEAT: &str = "heartbeat.interval";
const PROPERTIES: &str = "jdbc.properties.";

pub(super) const OPTIONS: &[OptionDef] = &[
    OptionDef::new("hostname", OptionKind::Text, "", "the server"),
    OptionDef::new("port", OptionKind::Integer, "3306", "its port"),
    OptionDef::new(
        "username",
        OptionKind::Text,
        "",
        "user who may replicate; ${NAME} is taken from the environment",
    ),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("database-name", OptionKind::Text, "", "the database, by its name"),
    OptionDef::new("table-name", OptionKind::Text, "", "the table, by its name"),
    OptionDef::new(
        "server-id",
        OptionKind::Integer,
        "",
        "the number that the server knows this reader by, another one for each; default: a random one",
    ),
    OptionDef::new(
        "server-time-zone",
        OptionKind::Text,
        "",
        "Flink's; not needed: the log has instants, and sessions run in UTC",
    )
    .without_effect(),
    OptionDef::new(
        MODE,
        OptionKind::Choice(MODES),
        "initial",
        "initial: the rows that are there, then changes; latest-offset: changes from now on; earliest-offset: all changes that the log has; specific-offset: from a place of the log; snapshot: the rows alone",
    ),
    OptionDef::new(FILE, OptionKind::Text, "", "file of the log, for 'specific-offset'"),
    OptionDef::new(POS, OptionKind::Integer, "", "where in the file, for 'specific-offset'"),
    OptionDef::new(
        HEARTBEAT,
        OptionKind::Duration,
        "30 s",
        "how often a server without changes shows that it is there",
    ),
    OptionDef::new("connect.timeout", OptionKind::Duration, "30 s", "how long a connection may take"),
    OptionDef::new(
        "connect.max-retries",
        OptionKind::Integer,
        "3",
        "further attempts to connect, with pauses of 1 s, 2 s, 4 s, ...; then the job fails, and its restart strategy decides",
    ),
    OptionDef::new(
        "jdbc.properties.*",
        OptionKind::Text,
        "",
        "parameters of the connection: sslMode, serverSslCert",
    ),
];

/// What is read first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Startup {
    Initial,
    Earliest,
    Latest,
    At(Place),
    Snapshot,
}

/// The options of a table.
#[derive(Debug, Clone)]
pub(super) struct CdcOptions {
    pub(super) url: JdbcUrl,
    pub(super) table: String,
    pub(super) server: Option<u32>,
    pub(super) startup: Startup,
    pub(super) heartbeat: Duration,
    pub(super) retries: u32,
}

impl CdcOptions {
    pub(super) fn of(options: &Options) -> Result<Self> {
        let mode = options.choice(MODE, MODES)?;
        let startup = match mode {
            Some("earliest-offset") => Startup::Earliest,
            Some("latest-offset") => Startup::Latest,
            Some("specific-offset") => Startup::At(Place {
                file: options.required(FILE)?.to_string(),
                pos: options.integer(POS)?.ok_or_else(|| {
                    Error::option(format!("option '{POS}' is required")).at(options.span(MODE))
                })?,
            }),
            Some("snapshot") => Startup::Snapshot,
            _ => Startup::Initial,
        };
        if let Some(key) = [FILE, POS].into_iter().find(|key| options.contains(key))
            && mode != Some("specific-offset")
        {
            return Err(Error::option(format!("option '{key}' is for '{MODE}' = 'specific-offset'"))
                .at(options.span(key)));
        }
        let read = |key: &str| options.text(key).map(expanded).transpose();
        let port = options.integer("port")?.unwrap_or(3306);
        let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| {
            Error::option(format!("option 'port': {port} is no port")).at(options.span("port"))
        })?;
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in options.with_prefix(PROPERTIES) {
            parameters.insert(key.to_string(), expanded(value)?);
        }
        if let Some(timeout) = options.duration("connect.timeout")? {
            parameters.insert("connectTimeout".into(), timeout.as_millis().max(1).to_string());
        } else {
            parameters.entry("connectTimeout".into()).or_insert_with(|| "30000".into());
        }
        let url = JdbcUrl {
            system: System::MySql,
            hosts: vec![(expanded(options.required("hostname")?)?, port)],
            name: options.required("database-name")?.to_string(),
            user: Some(expanded(options.required("username")?)?),
            password: read("password")?,
            parameters,
        };
        let server = options.integer("server-id")?.map(|id| {
            u32::try_from(id).ok().filter(|id| *id > 0).ok_or_else(|| {
                Error::option("option 'server-id' is a number from 1 to 4294967295")
                    .at(options.span("server-id"))
            })
        });
        let heartbeat = options.duration(HEARTBEAT)?.unwrap_or(Duration::from_secs(30));
        if heartbeat < Duration::from_millis(100) {
            return Err(
                Error::option(format!("option '{HEARTBEAT}' is at least 100 ms")).at(options.span(HEARTBEAT))
            );
        }
        let retries = options.integer("connect.max-retries")?.unwrap_or(3);
        Ok(Self {
            url,
            table: options.required("table-name")?.to_string(),
            server: server.transpose()?,
            startup,
            heartbeat,
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
        })
    }

    /// The table as the database has it.
    pub(super) fn name(&self) -> String {
        spelled(&[self.url.name.clone(), self.table.clone()])
    }
}
