//! `'connector' = 'jdbc'`: lookups in relational databases, with Flink's options and URLs.
//!
//! ```text
//!   keys ──> SELECT "id", "name" FROM "dim" WHERE "id" = ANY($1) ──> rows, told apart by their keys
//! ```
//! What a database calls equal may be more than we do (a collation without case, padded CHARs): text is compared
//! by its code points on both sides, and rows of a key that was not asked for are left out.

#[cfg(feature = "sqlite")]
mod sqlite;
mod url;

use std::sync::Arc;

pub(crate) use self::url::{Database, JdbcUrl};
use super::{Backend, LookupRequest};
use crate::error::{Error, Result};

/// The backend for the database that a table's URL names.
pub(crate) fn backend(request: &LookupRequest) -> Result<Arc<dyn Backend>> {
    let url = JdbcUrl::of(&request.table)?;
    match url.database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite => Ok(Arc::new(sqlite::Sqlite::new(request, &url)?)),
        other => Err(not_in_build(other)),
    }
}

/// Says how a build with the database is made.
pub(crate) fn not_in_build(database: Database) -> Error {
    let error = Error::unsupported(format!("'jdbc:{}:' is not in this build", database.name()));
    match database {
        Database::Sqlite | Database::Postgres => {
            error.with_hint(format!("cargo build --release --features {}", database.feature()))
        }
        Database::MySql => error.with_hint("there are: jdbc:sqlite:, jdbc:postgresql:"),
    }
}

/// The table's name, each part quoted.
#[cfg(feature = "sqlite")]
fn quoted_table(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// An identifier in quotes.
#[cfg(feature = "sqlite")]
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
