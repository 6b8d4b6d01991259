//! `'connector' = 'redis'`: values under keys, as lookup table and as sink.
//!
//! ```text
//!  redis.type   under the key                      columns
//!  string       one record in the table's format   those that 'redis.key' does not name
//!  hash         a field for each column            the same, from the texts of the fields
//!  json         a document of RedisJSON            the same
//! ```
//! `redis.key` says what a row's key is called: `sensor:{id}`. Its columns are the keys of lookups, and the PRIMARY KEY
//! of a sink. Without it the only column of the PRIMARY KEY is the key as it is.
//!
//! Arrays, rows and maps are JSON in a field of a hash. A NULL has no field there, and a row of NULLs alone no hash.
//!
//! A sink puts a row's value under its key and takes it away with a `-D`: at-least-once, and the same again when it is
//! done twice.

mod sink;

use std::sync::Arc;

use super::{Connector, Nature};
use super::{Place, Sink, SinkRequest};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lookup::redis::{KeyTemplate, RedisLookup, Store, address};
use crate::lookup::{Backend, LookupRequest};

/// The connector.
#[derive(Debug)]
pub struct Redis;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new("uri", OptionKind::Text, "", "redis://host:port/database, or rediss:// with TLS"),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new(
        "redis.type",
        OptionKind::Choice(&["string", "hash", "json"]),
        "string",
        "what is under a key: a record in the format, a field for each column, or a document of RedisJSON",
    ),
    OptionDef::new(
        "redis.key",
        OptionKind::Text,
        "",
        "what keys are called: sensor:{id}; default: the only column of the PRIMARY KEY",
    ),
    OptionDef::new("redis.connection.timeout", OptionKind::Duration, "10 s", "how long connecting may take"),
    OptionDef::new("redis.request.timeout", OptionKind::Duration, "30 s", "how long an answer may take"),
    OptionDef::new(
        "redis.expire-after",
        OptionKind::Duration,
        "",
        "sink: how long a key lives; default: for ever",
    ),
    OptionDef::new(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer,
        "1000",
        "rows that are sent together; more while a batch before them is on its way",
    ),
    OptionDef::new(
        "sink.max-retries",
        OptionKind::Integer,
        "3",
        "further attempts after a fault that may pass",
    ),
];

impl Connector for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn doc(&self) -> &'static str {
        "values under keys of Redis, as lookup table and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn check(&self, table: &Table) -> Result<()> {
        address(&table.options)?;
        Store::of(&table.options)?;
        KeyTemplate::of(table)?;
        let format = Format::from_options_or(&table.options, "json")?;
        if !matches!(format.source_changelog(), super::SourceChangelog::Append) {
            return Err(Error::option("values under keys are rows, not changes")
                .with_hint("use a format of rows, such as json"));
        }
        Ok(())
    }

    fn is_source(&self) -> bool {
        false
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        Ok(Some(KeyTemplate::of(table)?.columns().map(str::to_string).collect()))
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature::declared(self.options(), &table.options).keyed(table)
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let address = address(&table.options)?;
        let template = KeyTemplate::of(table)?.to_string();
        Ok(Some(Place::new("redis", format!("{}, {template}", address.shown), template)))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let made = RedisLookup::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::RedisSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}
