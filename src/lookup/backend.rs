//! The contract of what can be looked up in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::answer::Failure;
use crate::catalog::Table;
use crate::error::Result;

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a query wants to look up.
#[derive(Debug, Clone)]
pub struct LookupRequest {
    /// The table, with the options that hold for this reference.
    pub table: Arc<Table>,
    /// Key columns, as ascending indices into [`LookupRequest::schema`].
    pub keys: Vec<usize>,
    /// All physical columns of the table, in order: what answers look like.
    pub schema: SchemaRef,
}

impl LookupRequest {
    /// The schema of key batches.
    pub fn key_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.keys)?))
    }
}

/// Something that answers for keys (or hands out everything, for a FULL cache). One per table reference
/// and job; called from the runtime for what waits.
pub trait Backend: Send + Sync + 'static {
    /// One attempt for these keys (one row a key, schema [`LookupRequest::key_schema`], no NULLs, at most
    /// [`Backend::max_keys`] rows): for each key, in order, its rows (schema [`LookupRequest::schema`];
    /// none is a miss) or why the attempt failed.
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Vec<Result<RecordBatch, Failure>>>;

    /// How many keys one request can carry.
    fn max_keys(&self) -> usize {
        1
    }

    /// Whether [`Backend::lookup`] works; false for backends that can only [`Backend::load`].
    fn can_lookup(&self) -> bool {
        true
    }

    /// Whether [`Backend::load`] works.
    fn can_load(&self) -> bool {
        false
    }

    /// All rows, for a FULL cache.
    fn load(&self) -> BoxFuture<Result<RecordBatch>>;

    /// What is asked, for EXPLAIN and messages, secrets redacted: `GET http://host/sensors/{id}`.
    fn describe(&self) -> String;
}
