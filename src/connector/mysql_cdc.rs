//! `'connector' = 'mysql-cdc'`: a table of MySQL or MariaDB and its changes, by the binary log.
//!
//! ```text
//!  pump (asynchronous)                                         reader (compute thread)
//!  facts, snapshot at a place of the log ── rows ────────────> +I
//!  stream from the first such place ─────── rows of events ──> +I -U +U -D, metadata columns
//! ```
//! # Without gap or double
//! The snapshot is a transaction that sees the table as it is at one place of the log. MariaDB names that place; for MySQL
//! the table is locked for as long as it takes to ask. A snapshot that is broken off by a restart goes on behind the last
//! key, at another place: changes up to its own place are left out for each part. Tables whose primary key is not of whole
//! numbers are read in one piece, and a checkpoint waits for its end.
//!
//! A checkpoint holds the place behind the last whole transaction, and how many changes of the next one were read. The
//! server keeps its log by its own rules: a place that it has removed is an error.
//!
//! Rows of a transaction are passed on when it is committed. A large one is looked through first, by a second stream.
//!
//! # What the table looked like
//! An event has no names of columns: it is read by what the table looked like when it was written. A checkpoint has that.
//! Behind an ALTER TABLE the server is asked; what it answers is of now, so the log in between is looked through for
//! another one. Statements that change rows without logging them (TRUNCATE, DROP PARTITION, RENAME, ...) are errors.
//!
//! Tested with MariaDB; MySQL's GTIDs are not. Its compressed transactions, and XA transactions that change the table, are
//! refused.

mod event;
mod options;
mod pending;
mod position;
mod pump;
mod source;
mod statement;

use std::sync::Arc;

use super::{Connector, Nature, Place, ScanRequest, Source};
use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::connector::cdc;
use crate::database::describe_at;
use crate::error::Result;
use crate::format::infer::Inferred;

use self::options::CdcOptions;

/// The connector.
#[derive(Debug)]
pub struct MySqlCdc;

impl Connector for MySqlCdc {
    fn name(&self) -> &'static str {
        "mysql-cdc"
    }

    fn doc(&self) -> &'static str {
        "a table of MySQL or MariaDB and its changes, by the binary log"
    }

    fn options(&self) -> &'static [OptionDef] {
        options::OPTIONS
    }

    fn metadata(&self) -> &'static [&'static str] {
        &["table_name", "database_name", "op_ts", "row_kind"]
    }

    fn check(&self, table: &Table) -> Result<()> {
        CdcOptions::of(&table.options)?;
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
