//! `'connector' = 'jdbc'`: lookups in relational databases, with Flink's options and URLs.
//!
//! ```text
//!   keys ──> SELECT "id", "name" FROM "dim" WHERE "id" = ANY($1) ──> rows, told apart by their keys
//! ```
//! What a database calls equal may be more than we do (a collation without case, padded CHARs): text is compared
//! by its code points on both sides, and rows of a key that was not asked for are left out.

use std::sync::Arc;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use super::System;
use super::{JdbcUrl, Reading};
use crate::error::Result;
use crate::lookup::{Backend, LookupRequest};

/// The backend for the database that a table's URL names.
pub(crate) fn backend(request: &LookupRequest) -> Result<Arc<dyn Backend>> {
    let url = JdbcUrl::of(&request.table.options)?;
    #[cfg_attr(not(any(feature = "postgres", feature = "mysql")), expect(unused_variables))]
    let reading = Reading {
        table: request.table.options.required("table-name")?.to_string(),
        schema: request.schema.clone(),
        keys: request.keys.clone(),
        filters: request.filters.clone(),
    };
    match url.system {
        #[cfg(feature = "sqlite")]
        System::Sqlite => Ok(Arc::new(super::sqlite::lookup::Sqlite::new(request, &url)?)),
        #[cfg(feature = "postgres")]
        System::Postgres => Ok(Arc::new(super::postgres::PostgresLookup::new(reading, &url)?)),
        #[cfg(feature = "mysql")]
        System::MySql => Ok(Arc::new(super::mysql::MySqlLookup::new(request, reading, &url)?)),
        #[allow(unreachable_patterns, reason = "not with all features")]
        other => Err(super::not_in_build(other)),
    }
}
