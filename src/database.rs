//! Relational databases: one client, one URL and one mapping of types for lookups, scans and sinks.
//!
//! ```text
//!  keys ──> lookup ──┐                    ┌── PostgreSQL: binary rows, arrays of keys, COPY
//!  range ─> scan  ───┼── url, tls, pool ──┼── MySQL, MariaDB: prepared statements of a few shapes
//!  rows ──> write ───┘                    └── SQLite: their own threads
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
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::lookup::{BoxFuture, ColumnFilter};
use crate::sql::SqlType;

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

/// Takes the batches of a scan; false when no more are wanted.
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

/// A table as its database knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    /// Names, and what they are declared as.
    pub(crate) columns: Vec<(String, SqlType)>,
    /// The primary key.
    pub(crate) key: Vec<String>,
}

/// A database that tables are in.
pub(crate) trait Database: Send + Sync {
    /// Reads a table, or a range of it, in batches of this many rows.
    fn scan(
        self: Arc<Self>,
        reading: Arc<Reading>,
        range: Option<Range>,
        rows: usize,
        take: Taker,
    ) -> BoxFuture<Result<(), Fault>>;

    /// The columns of a table, by the name that the option has.
    fn describe(self: Arc<Self>, table: String) -> BoxFuture<Result<Described, Fault>>;

    /// The tables and views that one would name without a schema, and those of other schemas with it.
    fn tables(self: Arc<Self>) -> BoxFuture<Result<Vec<String>, Fault>>;

    /// A connection for writing.
    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>>;
}

/// The database of a table.
pub(crate) fn database(table: &Table) -> Result<Arc<dyn Database>> {
    database_of(&JdbcUrl::of(&table.options)?)
}

/// The database that a URL names.
pub(crate) fn database_of(url: &JdbcUrl) -> Result<Arc<dyn Database>> {
    match url.system {
        #[cfg(feature = "sqlite")]
        System::Sqlite => Ok(Arc::new(sqlite::Sqlite::new(url)?)),
        #[cfg(feature = "postgres")]
        System::Postgres => Ok(postgres::Postgres::shared(url)?),
        #[cfg(feature = "mysql")]
        System::MySql => Ok(mysql::MySql::shared(url)?),
        #[allow(unreachable_patterns, reason = "not with all features")]
        other => Err(not_in_build(other)),
    }
}

/// What a database is asked where nothing else runs, on a thread and a runtime of its own: the one that asks may be part
/// of another runtime.
pub(crate) fn ask<T: Send + 'static>(
    url: &JdbcUrl,
    question: impl FnOnce(Arc<dyn Database>) -> BoxFuture<Result<T, Fault>> + Send + 'static,
) -> Result<T> {
    let url = url.clone();
    // Made there: its connections belong to the runtime.
    apart(move || async move { Ok(question(database_of(&url)?).await?) })
}

/// What waits, on a thread and a runtime of its own.
pub(crate) fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let work = move || -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::io(format!("a runtime could not be made: {e}")))?;
        runtime.block_on(work())
    };
    let thread = std::thread::Builder::new().name("affluent-jdbc".into()).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that asked a database has ended")))
}

/// The columns of the table that options name.
pub(crate) fn describe(options: &Options) -> Result<Described> {
    describe_at(&JdbcUrl::of(options)?, options.required("table-name")?.to_string())
}

/// The columns of a table, by its name as the option has it.
pub(crate) fn describe_at(url: &JdbcUrl, table: String) -> Result<Described> {
    ask(url, move |database| database.describe(table))
}

/// Says how a build with the database is made.
pub(crate) fn not_in_build(system: System) -> Error {
    Error::unsupported(format!("'jdbc:{}:' is not in this build", system.name()))
        .with_hint(format!("cargo build --release --features {}", system.feature()))
}

/// The parts of a table's name. One in quotes, `"` or backticks, may hold points.
pub(crate) fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = name;
    loop {
        let quoted = rest.chars().next().filter(|c| matches!(c, '"' | '`')).and_then(|quote| {
            let inner = &rest[1..];
            let mut from = 0;
            loop {
                let end = from + inner[from..].find(quote)?;
                let behind = &inner[end + 1..];
                match behind.chars().next() {
                    Some(c) if c == quote => from = end + 2,
                    None | Some('.') => {
                        return Some((
                            inner[..end]
                                .replace(&[quote, quote].iter().collect::<String>(), &quote.to_string()),
                            behind,
                        ));
                    }
                    // It is a character like any.
                    Some(_) => return None,
                }
            }
        });
        let (part, behind) = quoted.unwrap_or_else(|| {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].to_string(), &rest[end..])
        });
        parts.push(part);
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None => return parts,
        }
    }
}

/// Parts as the option has them: in quotes where [`parts`] would read them otherwise.
pub(crate) fn spelled(parts: &[String]) -> String {
    let spelled = parts.iter().map(|part| match part.contains(['.', '"', '`']) {
        true => format!("\"{}\"", part.replace('"', "\"\"")),
        false => part.clone(),
    });
    spelled.collect::<Vec<_>>().join(".")
}

/// The table's name, each part quoted.
pub(crate) fn quoted_table(system: System, name: &str) -> String {
    parts(name).iter().map(|part| quoted(system, part)).collect::<Vec<_>>().join(".")
}

/// An identifier in quotes.
pub(crate) fn quoted(system: System, name: &str) -> String {
    match system {
        System::MySql => format!("`{}`", name.replace('`', "``")),
        System::Postgres | System::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts() {
        let of = |name: &str| parts(name);
        assert_eq!(of("t"), ["t"]);
        assert_eq!(of("s.t"), ["s", "t"]);
        assert_eq!(of("`a.b`"), ["a.b"]);
        assert_eq!(of("db.`a.b`"), ["db", "a.b"]);
        assert_eq!(of("\"s.1\".\"a\"\"b\""), ["s.1", "a\"b"]);
        // Not closed, or with more behind it.
        assert_eq!(of("`a.b"), ["`a", "b"]);
        assert_eq!(of("`a`b"), ["`a`b"]);
        assert_eq!(of(""), [""]);
        for name in ["t", "s.t", "`a.b`", "\"s.1\".\"a\"\"b\"", "`a`b", "\""] {
            assert_eq!(parts(&spelled(&parts(name))), parts(name), "{name}");
        }
        assert_eq!(quoted_table(System::MySql, "`a.b`"), "`a.b`");
        assert_eq!(quoted_table(System::Postgres, "s.t"), "\"s\".\"t\"");
    }
}
