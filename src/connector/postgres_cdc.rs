//! `'connector' = 'postgres-cdc'`: a table of PostgreSQL and its changes, by logical replication.
//!
//! ```text
//!  pump (asynchronous)                                reader (compute thread)
//!  facts, publication, slot                           rows of the snapshot ──> +I
//!    └─ snapshot ── COPY, in the key's order ──┐      messages ── decode ───> +I -U +U -D
//!    └─ stream ──── messages as they come ─────┴───>  position: place in the log, key in the snapshot
//!         ▲                                              │ in the checkpoint
//!         └──────────── what is durable <────────────────┘
//! ```
//! # Without gap or double
//! A new slot exports the snapshot that its stream goes on from. An old slot's stream overlaps the snapshot: a
//! transaction that the snapshot has seen is left out (`position.rs`). A snapshot that is broken off by a restart goes on
//! behind the last key, at another moment; each part knows what it has seen. Tables whose key has no order that we share
//! with the server are read in one piece: a checkpoint waits for its end.
//!
//! A checkpoint holds the place behind the last whole transaction, and how many changes of the next one were read. The
//! server hears of a place when a checkpoint with it is durable. While nothing changes the place moves on with the log.
//!
//! # Rows before a change
//! `changelog-mode = all` needs REPLICA IDENTITY FULL. With `upsert` the engine keeps the rows by their key.

mod options;
mod position;
mod pump;
mod reader;
mod source;

use std::sync::Arc;

use super::{Connector, Nature};
use super::{Place, ScanRequest, Source};
use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::connector::cdc;
use crate::database::describe_at;
use crate::error::{Error, Result};
use crate::format::infer::Inferred;

use self::options::CdcOptions;

/// The connector.
#[derive(Debug)]
pub struct PostgresCdc;

impl Connector for PostgresCdc {
    fn name(&self) -> &'static str {
        "postgres-cdc"
    }

    fn doc(&self) -> &'static str {
        "a table of PostgreSQL and its changes, by logical replication"
    }

    fn options(&self) -> &'static [OptionDef] {
        options::OPTIONS
    }

    fn metadata(&self) -> &'static [&'static str] {
        &["table_name", "schema_name", "database_name", "op_ts", "row_kind"]
    }

    fn check(&self, table: &Table) -> Result<()> {
        let options = CdcOptions::of(&table.options)?;
        if options.upsert && table.primary_key.is_empty() {
            return Err(Error::plan("'changelog-mode' = 'upsert' needs a PRIMARY KEY")
                .with_hint("declare PRIMARY KEY (...) NOT ENFORCED")
                .at(table.options.span("changelog-mode")));
        }
        cdc::check_metadata(table)
    }

    fn infer(&self, options: &Options) -> Result<Option<Inferred>> {
        let options = CdcOptions::of(options)?;
        let found = describe_at(&options.url, options.name())?;
        Ok(Some(Inferred { columns: found.columns, primary_key: found.key, ..Inferred::default() }))
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        source::probe(table)
    }

    fn nature(&self, table: &Table) -> Nature {
        let bounded = table.options.text("scan.startup.mode") == Some("snapshot");
        Nature { bounded, ..Nature::declared(self.options(), &table.options) }
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let options = CdcOptions::of(&table.options)?;
        let name = options.name();
        Ok(Some(Place::new(self.name(), format!("{}, table {name}", options.url.shown()), name)))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::CdcSource::new(request)?))
    }
}
