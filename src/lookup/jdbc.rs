//! `'connector' = 'jdbc'`: lookups in relational databases, with Flink's options and URLs.
//!
//! ```text
//!   keys ──> SELECT "id", "name" FROM "dim" WHERE "id" = ANY($1) ──> rows, told apart by their keys
//! ```
//! What a database calls equal may be more than we do (a collation without case, padded CHARs): text is compared
//! by its code points on both sides, and rows of a key that was not asked for are left out.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use super::{Backend, LookupRequest};
use crate::database::{JdbcUrl, Reading, System};
use crate::error::Result;

/// The backend for the database that a table's URL names.
pub(crate) fn backend(request: &LookupRequest) -> Result<Arc<dyn Backend>> {
    let url = JdbcUrl::of(&request.table)?;
    #[cfg_attr(not(any(feature = "postgres", feature = "mysql")), expect(unused_variables))]
    let reading = Reading {
        table: request.table.options.required("table-name")?.to_string(),
        schema: request.schema.clone(),
        keys: request.keys.clone(),
        filters: request.filters.clone(),
    };
    match url.system {
        #[cfg(feature = "sqlite")]
        System::Sqlite => Ok(Arc::new(sqlite::Sqlite::new(request, &url)?)),
        #[cfg(feature = "postgres")]
        System::Postgres => Ok(Arc::new(crate::database::postgres::PostgresLookup::new(reading, &url)?)),
        #[cfg(feature = "mysql")]
        System::MySql => Ok(Arc::new(crate::database::mysql::MySqlLookup::new(request, reading, &url)?)),
        #[allow(unreachable_patterns, reason = "not with all features")]
        other => Err(crate::database::not_in_build(other)),
    }
}
