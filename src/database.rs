//! Relational databases: one client, one URL and one mapping of types for lookups, scans and sinks.
//!
//! ```text
//!  keys ──> lookup ──┐                    ┌── PostgreSQL: binary rows, arrays of keys, COPY
//!  range ─> scan  ───┼── url, tls, pool ──┼── MySQL, MariaDB: prepared statements of a few shapes
//!  rows ──> write ───┘                    └── SQLite: threads of their own
//! ```
//! A value that does not fit the declared type is an error that names its column; nothing is rounded or cut. A key
//! that no value of the column can be equal to is a miss. Comparisons keep our meaning (text by code points), whatever
//! the collation of the database.

mod fault;
pub(crate) mod lookup;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod pools;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod tls;
pub(crate) mod url;
pub(crate) mod write;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

pub(crate) use self::fault::{Fault, FaultKind};
pub(crate) use self::url::{JdbcUrl, System};
pub(crate) use self::write::{Session, Target};
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::lookup::{BoxFuture, ColumnFilter};

/// What is read of a table.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The name as the option has it, `schema.table` too.
    pub(crate) table: String,
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The keys among them.
    pub(crate) keys: Vec<usize>,
    /// Filters that the database may apply where it means the same.
    pub(crate) filters: Vec<ColumnFilter>,
}

/// A range of a scan: both bounds belong to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Range {
    /// The column as it is called in the database.
    pub(crate) column: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Takes the batches of a scan; false when nobody wants more.
pub(crate) type Taker = Box<dyn FnMut(arrow::array::RecordBatch) -> BoxFuture<bool> + Send>;

/// Keeps all batches.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn gathering() -> (Arc<parking_lot::Mutex<Vec<arrow::array::RecordBatch>>>, Taker) {
    let batches: Arc<parking_lot::Mutex<Vec<_>>> = Arc::default();
    let into = batches.clone();
    let take = move |batch| -> BoxFuture<bool> {
        into.lock().push(batch);
        Box::pin(async { true })
    };
    (batches, Box::new(take))
}

/// A database that tables are in.
pub(crate) trait Database: Send + Sync {
    /// Reads a table, or a range of it, in batches of so many rows.
    fn scan(
        self: Arc<Self>,
        reading: Arc<Reading>,
        range: Option<Range>,
        rows: usize,
        take: Taker,
    ) -> BoxFuture<Result<(), Fault>>;

    /// A connection for writing.
    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>>;
}

/// The database of a table.
pub(crate) fn database(table: &Table) -> Result<Arc<dyn Database>> {
    let url = JdbcUrl::of(table)?;
    match url.system {
        #[cfg(feature = "sqlite")]
        System::Sqlite => Ok(Arc::new(sqlite::Sqlite::new(&url))),
        #[cfg(feature = "postgres")]
        System::Postgres => Ok(postgres::Postgres::shared(&url)?),
        #[cfg(feature = "mysql")]
        System::MySql => Ok(mysql::MySql::shared(&url)?),
        #[allow(unreachable_patterns, reason = "not with all features")]
        other => Err(not_in_build(other)),
    }
}

/// Says how a build with the database is made.
pub(crate) fn not_in_build(system: System) -> Error {
    Error::unsupported(format!("'jdbc:{}:' is not in this build", system.name()))
        .with_hint(format!("cargo build --release --features {}", system.feature()))
}

/// The table's name, each part quoted.
pub(crate) fn quoted_table(system: System, name: &str) -> String {
    name.split('.').map(|part| quoted(system, part)).collect::<Vec<_>>().join(".")
}

/// An identifier in quotes.
pub(crate) fn quoted(system: System, name: &str) -> String {
    match system {
        System::MySql => format!("`{}`", name.replace('`', "``")),
        System::Postgres | System::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
