//! The public API: a session executes statements and owns catalog, settings and jobs.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Job};
use crate::sql::{SourceText, Statement};

/// What a statement gives.
#[derive(Debug)]
pub enum Response {
    /// Done; a line to show, possibly empty.
    Done(String),
    /// A small table: SHOW, DESCRIBE, SET.
    Table(RecordBatch),
    /// Text: EXPLAIN, SHOW CREATE.
    Text(String),
    /// INSERT: a job that runs in the background (already ended with `table.dml-sync`).
    Job(Arc<Job>),
    /// SELECT: rows as they come.
    Query(QueryResult),
    /// QUIT.
    Quit,
    /// CLEAR.
    Clear,
    /// HELP.
    Help,
}

/// The rows of a SELECT as they come. Dropping it cancels the job.
#[derive(Debug)]
pub struct QueryResult {
    schema: SchemaRef,
    job: Arc<Job>,
    chunks: crossbeam_channel::Receiver<Chunk>,
}

/// What [`QueryResult::next_timeout`] found.
#[derive(Debug)]
pub enum Next {
    /// Rows.
    Chunk(Chunk),
    /// None yet.
    Pending,
    /// The query has ended well.
    End,
}

impl QueryResult {
    /// Columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The job behind it.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Waits for rows; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        match self.chunks.recv() {
            Ok(chunk) => Ok(Some(chunk)),
            Err(_) => self.job.result().map(|()| None),
        }
    }

    /// Waits for rows, at most so long.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Next> {
        match self.chunks.recv_timeout(timeout) {
            Ok(chunk) => Ok(Next::Chunk(chunk)),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(Next::Pending),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => self.job.result().map(|()| Next::End),
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

/// Executes statements. Sessions do not see each other.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session with an empty catalog.
    pub fn new() -> Result<Self> {
        Ok(Self {})
    }

    /// Cuts a script into statements.
    pub fn parse(&self, source: &SourceText) -> Result<Vec<Statement>> {
        crate::sql::parse_script(source)
    }

    /// Executes one statement. A query or job is started, not awaited.
    pub fn execute(&self, _statement: &Statement) -> Result<Response> {
        Err(Error::unsupported("execution"))
    }

    /// Sets a setting, as SET does.
    pub fn set(&self, _key: &str, _value: &str) -> Result<()> {
        Err(Error::unsupported("settings"))
    }

    /// Value of a setting now (the default where it was not set).
    pub fn setting(&self, _key: &str) -> String {
        String::new()
    }

    /// Jobs in order of their numbers.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        Vec::new()
    }

    /// Names of tables and views.
    pub fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Column names of a table (of a view: none); empty when it is not known.
    pub fn column_names(&self, _table: &str) -> Vec<String> {
        Vec::new()
    }

    /// Names of functions, upper case.
    pub fn function_names(&self) -> Vec<String> {
        Vec::new()
    }
}
