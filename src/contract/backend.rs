//! The contract of what can be looked up in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};

use super::answers::{Answers, Failure};
use crate::catalog::Table;
use crate::error::{Error, Result};

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a query wants to look up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LookupRequest {
    /// The table, with the options that hold for this reference.
    pub table: Arc<Table>,
    /// Key columns, as ascending indices into [`LookupRequest::schema`].
    pub keys: Vec<usize>,
    /// The columns that the query reads, the keys among them, in the table's order: what the rows of
    /// answers look like. Columns that it does not read are not in it.
    pub schema: SchemaRef,
    /// Filters on columns of the schema that the backend may apply. It need not: they are evaluated again.
    /// A row that it leaves out must not pass them.
    pub filters: Vec<ColumnFilter>,
    /// Keys inside of ROW columns: the last columns of the schema, which the table does not have.
    pub nested: Vec<NestedKey>,
    /// Metadata columns that the query reads; the engine fills them in, after the columns of the schema.
    pub metadata: Vec<Metadata>,
    /// The call of a function: the keys are its arguments.
    pub is_call: bool,
    /// Keys may be NULL, and are asked for.
    pub null_keys: bool,
}

/// A key inside of a ROW column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedKey {
    /// The column that it is: its path, and its type.
    pub field: FieldRef,
    /// The column, and the names of the fields below it.
    pub path: Vec<String>,
}

/// A metadata column that a query reads.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Its name and type.
    pub field: FieldRef,
    /// What it says.
    pub kind: MetadataKind,
}

/// What a metadata column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataKind {
    /// `ok`, `miss`, `stale`, `error`.
    Outcome,
    /// Class of the failure.
    ErrorKind,
    /// Text of the failure.
    ErrorString,
    /// Attempts that the answer took.
    Attempts,
    /// When the answer came.
    FetchedAt,
    /// Status of an HTTP answer.
    Status,
    /// Headers of an HTTP answer.
    Headers,
}

/// Metadata keys of every lookup table.
pub const KEYS: &[&str] = &["outcome", "error-kind", "error-string", "attempts", "fetched-at"];

impl MetadataKind {
    /// By the key of `METADATA FROM`.
    pub fn parse(key: &str) -> Option<Self> {
        Some(match key {
            "outcome" => Self::Outcome,
            "error-kind" => Self::ErrorKind,
            "error-string" => Self::ErrorString,
            "attempts" => Self::Attempts,
            "fetched-at" => Self::FetchedAt,
            "http-status-code" => Self::Status,
            "http-headers-map" => Self::Headers,
            _ => return None,
        })
    }

    /// The types that its column may have, for messages, and whether `declared` is one.
    pub fn takes(self, declared: &DataType) -> (&'static str, bool) {
        let text = matches!(declared, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match self {
            Self::Outcome | Self::ErrorKind | Self::ErrorString => ("STRING", text),
            Self::Attempts | Self::Status => ("INT", matches!(declared, DataType::Int32 | DataType::Int64)),
            Self::FetchedAt => ("TIMESTAMP_LTZ(3)", matches!(declared, DataType::Timestamp(_, Some(_)))),
            Self::Headers => ("MAP<STRING, ARRAY<STRING>>", matches!(declared, DataType::Map(..))),
        }
    }
}

/// `column <comparison> value`, a filter that a backend may take.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ColumnFilter {
    /// Index into [`LookupRequest::schema`].
    pub column: usize,
    /// Comparison.
    pub comparison: Comparison,
    /// One value of the column's type, not NULL; empty for the two that test for NULL.
    pub value: ArrayRef,
}

/// Comparisons of a [`ColumnFilter`]; text by code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    IsNull,
    IsNotNull,
}

/// A service that lookups ask, for the limits that they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Scheme, host and port, or what else distinguishes it.
    pub name: String,
    /// Requests in flight, if the table says so; otherwise as many as succeed.
    pub max_in_flight: Option<usize>,
}

impl LookupRequest {
    /// All of these columns, without filters and metadata.
    pub fn new(table: Arc<Table>, keys: Vec<usize>, schema: SchemaRef) -> Self {
        let (filters, nested, metadata) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, keys, schema, filters, nested, metadata, is_call: false, null_keys: false }
    }

    /// The schema of key batches.
    pub fn key_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.keys)?))
    }

    /// The schema of rows as the lookup join sees them: with metadata.
    pub fn row_schema(&self) -> SchemaRef {
        if self.metadata.is_empty() {
            return self.schema.clone();
        }
        let found = self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let metadata = self.metadata.iter().map(|m| m.field.as_ref().clone().with_nullable(true));
        Arc::new(Schema::new(found.chain(metadata).collect::<Vec<_>>()))
    }
}

/// Something that answers for keys (or loads everything, for a FULL cache). One per table reference and
/// job; called from the runtime for what waits.
pub trait Backend: Send + Sync + 'static {
    /// One attempt for these keys (one row a key, schema [`LookupRequest::key_schema`], no NULLs unless the request
    /// says so, at least
    /// one and at most [`Backend::max_keys`] rows), with rows of the schema [`LookupRequest::schema`]. A key
    /// without rows is a miss. An error is for all keys of the request; failures of single keys are in
    /// [`Answers::failures`].
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>>;

    /// How many keys one request can carry, when the table's `lookup.batch.max-size` does not say less.
    fn max_keys(&self) -> usize {
        1
    }

    /// The same at this moment: fewer where each takes long, so that the first answers do not wait for the last.
    fn keys_now(&self) -> usize {
        self.max_keys()
    }

    /// Whether what belongs to a key is computed rather than asked for: rows then go together as they lie, many at a
    /// time.
    fn computes(&self) -> bool {
        false
    }

    /// How many requests may be in flight at a time, such as the size of a pool; `None`: as many as rows wait.
    fn max_requests(&self) -> Option<usize> {
        None
    }

    /// The service that limits hold for: all lookups of the process on one endpoint share them.
    fn endpoint(&self) -> Option<Service> {
        None
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
    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        Box::pin(async { Err(Error::unsupported("this lookup table cannot be loaded whole")) })
    }

    /// A job asks no more: what is wrong with all answers so far is said now.
    fn judge(&self) {}

    /// What is asked, for EXPLAIN and messages, secrets redacted: `GET http://host/sensors/{id}`.
    fn describe(&self) -> String;
}
