//! `'connector' = 'jdbc'`: tables of relational databases, to look up in, to read and to write to.
//!
//! # Reading
//! A table as a whole, or in ranges of a whole number by several tasks (`scan.partition.*`; rows outside of the bounds,
//! and NULLs, are not read, as in Flink). PostgreSQL sends by COPY, so no cursor is needed.
//!
//! # Writing
//! With a PRIMARY KEY as upserts and deletes by key, without one as inserts. See `sink`.
//!
//! # Columns
//! A table that declares none has those of the database, and its primary key.
//!
//! # Looking up
//! All keys of a request in one statement. See `crate::database::lookup`.

mod catalog;
mod scan;
mod sink;

use std::sync::Arc;

use super::{Connector, Nature};
use super::{Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::contract::connector::{CatalogTables, Inferred};
use crate::database::lookup::backend;
use crate::database::{JdbcUrl, System, describe};
use crate::error::{Error, Result, Span};
use crate::lookup::{Backend, LookupRequest};
use crate::nearest::nearest;
use crate::sql::OptionEntry;

/// The connector.
#[derive(Debug)]
pub struct Jdbc;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "url",
        OptionKind::Text,
        "",
        "jdbc:postgresql://host:port/database, jdbc:mysql://..., jdbc:mariadb://... or jdbc:sqlite:FILE; ${NAME} is taken from the environment",
    ),
    OptionDef::new(
        "table-name",
        OptionKind::Text,
        "",
        "table or view of the database, schema.table too; a name with a point in quotes: `a.b`",
    ),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("driver", OptionKind::Text, "", "Flink's class of the driver; not needed"),
    OptionDef::new(
        "connection.max-retry-timeout",
        OptionKind::Duration,
        "60 s",
        "Flink's; connections are tried again as any failed lookup",
    ),
    OptionDef::new(
        "scan.partition.column",
        OptionKind::Text,
        "",
        "a whole number by whose ranges tasks read in parallel; with the three that follow",
    ),
    OptionDef::new("scan.partition.num", OptionKind::Integer, "", "number of ranges"),
    OptionDef::new("scan.partition.lower-bound", OptionKind::Text, "", "the least value that is read"),
    OptionDef::new("scan.partition.upper-bound", OptionKind::Text, "", "the greatest value that is read"),
    OptionDef::new(
        "scan.fetch-size",
        OptionKind::Integer,
        "0",
        "rows of a batch at most; 0: as many as suit",
    ),
    OptionDef::new(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer,
        "100",
        "rows that are sent together; more while a batch before them is on its way",
    ),
    OptionDef::new(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        "1 s",
        "how long a row waits for others; 0: not at all",
    ),
    OptionDef::new(
        "sink.max-retries",
        OptionKind::Integer,
        "3",
        "further attempts after a fault that may pass",
    ),
    OptionDef::new(
        "sink.delivery-guarantee",
        OptionKind::Choice(&["at-least-once", "exactly-once"]),
        "exactly-once",
        "with checkpoints: exactly-once shows rows when a checkpoint holds them; at-least-once writes at once",
    ),
];

impl Connector for Jdbc {
    fn name(&self) -> &'static str {
        "jdbc"
    }

    fn doc(&self) -> &'static str {
        "tables of PostgreSQL, MySQL, MariaDB and SQLite, as source, sink and lookup table"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        table.options.required("table-name")?;
        scan::splits(&table.options)?;
        let url = JdbcUrl::of(&table.options)?;
        match url.system {
            #[cfg(feature = "sqlite")]
            System::Sqlite => crate::database::sqlite::tick(&url).map(drop),
            _ => Ok(()),
        }
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn infer(&self, options: &Options) -> Result<Option<Inferred>> {
        let found = describe(options)?;
        Ok(Some(Inferred { columns: found.columns, primary_key: found.key, ..Inferred::default() }))
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        let (url, name) = (JdbcUrl::of(&table.options)?, table.options.required("table-name")?);
        let found = describe(&table.options)?;
        let same = |a: &str, b: &str| match url.system {
            System::Postgres => a == b,
            System::MySql | System::Sqlite => a.eq_ignore_ascii_case(b),
        };
        for column in table.columns.iter().filter(|column| column.is_persisted()) {
            if !found.columns.iter().any(|(there, _)| same(there, &column.name)) {
                let what = format!("table '{name}' of the database has no column '{}'", column.name);
                let names = || found.columns.iter().map(|(name, _)| name.as_str());
                return Err(Error::plan(what).with_hint(match nearest(&column.name, names()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("it has: {}", names().collect::<Vec<_>>().join(", ")),
                }));
            }
        }
        let key = match found.key.as_slice() {
            [] => "no primary key".to_string(),
            key => format!("PRIMARY KEY ({})", key.join(", ")),
        };
        Ok(vec![format!(
            "table '{}': {}, table {name}: {} columns, {key}",
            table.name,
            url.shown(),
            found.columns.len()
        )])
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let name = table.options.required("table-name")?;
        Ok(Some(Place::new("jdbc", format!("{}, table {name}", JdbcUrl::of(&table.options)?.shown()), name)))
    }

    fn catalog_options(&self) -> &'static [&'static str] {
        &catalog::OPTIONS
    }

    fn catalog(&self, options: &[OptionEntry], place: Span) -> Result<CatalogTables> {
        catalog::tables(self.name(), options, place)
    }

    fn nature(&self, table: &Table) -> Nature {
        let answers_locally = JdbcUrl::of(&table.options).is_ok_and(|url| url.hosts.is_empty());
        Nature { answers_locally, ..Nature::declared(self.options(), &table.options).keyed(table) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let shown = JdbcUrl::of(&request.table.options)?.shown();
        Ok(Arc::new(scan::JdbcSource::new(request, shown)?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::JdbcSink::new(request)?))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        backend(request).map_err(|e| request.table.context(e))
    }
}
