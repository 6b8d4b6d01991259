//! `'connector' = 'jdbc'`: tables of relational databases to look up in.

use std::sync::Arc;

use super::registry::Connector;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::lookup::jdbc::{JdbcUrl, backend};
use crate::lookup::{Backend, LookupRequest};

/// The connector.
#[derive(Debug)]
pub struct Jdbc;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "url",
        OptionKind::Text,
        "",
        "jdbc:postgresql://host:port/database or jdbc:sqlite:FILE; ${NAME} is taken from the environment",
    ),
    OptionDef::new("table-name", OptionKind::Text, "", "table or view of the database, schema.table too"),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("driver", OptionKind::Text, "", "Flink's class of the driver; not needed"),
    OptionDef::new(
        "connection.max-retry-timeout",
        OptionKind::Duration,
        "60 s",
        "Flink's; connections are tried again as any failed lookup",
    ),
];

impl Connector for Jdbc {
    fn name(&self) -> &'static str {
        "jdbc"
    }

    fn doc(&self) -> &'static str {
        "lookup table in a relational database"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        table.options.required("table-name")?;
        JdbcUrl::of(table).map(drop)
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn is_source(&self) -> bool {
        false
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        backend(request).map_err(|e: Error| e.context(format!("table '{}'", request.table.name)))
    }
}
