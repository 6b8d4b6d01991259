//! The rows of a SELECT, for threads and for tasks: a blocking reader and a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use futures::{Future, Stream};

use super::Materialized;
use super::collect::{Found, Rows};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Job, JobState};

/// The rows of a SELECT as they come: read by [`QueryResult::next_chunk`], or as a [`Stream`] of chunks or
/// ([`QueryResult::batches`]) of record batches. Dropping it cancels the job.
#[derive(Debug)]
pub struct QueryResult {
    pub(super) schema: SchemaRef,
    /// Rows are only added, never retracted.
    pub(super) append: bool,
    pub(super) bounded: bool,
    pub(super) job: Arc<Job>,
    pub(super) chunks: Rows,
}

/// What [`QueryResult::next_timeout`] found.
#[derive(Debug)]
#[non_exhaustive]
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

    /// Whether rows are only added: no updates, no deletes.
    pub fn is_append(&self) -> bool {
        self.append
    }

    /// Whether the rows end by themselves.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// The job that runs it.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Waits for rows; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        match self.chunks.next(None) {
            Found::Chunk(chunk) => Ok(Some(chunk)),
            Found::Nothing | Found::Closed => self.job.result().map(|()| None),
        }
    }

    /// Waits for rows, for a bounded time.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Next> {
        match self.chunks.next(Some(timeout)) {
            Found::Chunk(chunk) => Ok(Next::Chunk(chunk)),
            Found::Nothing => Ok(Next::Pending),
            Found::Closed => self.job.result().map(|()| Next::End),
        }
    }

    /// Waits for the end of the query: its result then, all changes applied. The rows of a query that never ends would
    /// be collected for ever: an error.
    pub fn collect(mut self) -> Result<RecordBatch> {
        if !self.bounded {
            return Err(Error::option("the query never ends, so its rows cannot be collected")
                .with_hint("read them as they come: next_chunk(), or the query's result as a stream"));
        }
        if self.append {
            let mut batches = Vec::new();
            while let Some(chunk) = self.next_chunk()? {
                batches.push(chunk.batch);
            }
            return Ok(concat_batches(&self.schema, &batches)?);
        }
        let mut table = Materialized::new(self.schema.clone())?;
        while let Some(chunk) = self.next_chunk()? {
            table.apply(&chunk)?;
        }
        table.batch(0, usize::MAX)
    }

    /// The rows as a stream of record batches. A query that updates or deletes rows that it returned before has more to
    /// say than rows: an error; as a stream of changes, the result has the kind of each row.
    pub fn batches(self) -> Result<Batches> {
        match self.append {
            true => Ok(Batches(self)),
            false => Err(Error::option(
                "the query changes rows that it has returned, and batches do not show the changes",
            )
            .with_hint("read the result itself as a stream: a chunk has a batch and the kinds of its rows")),
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

impl Stream for QueryResult {
    type Item = Result<Chunk>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = ready!(self.chunks.poll_next(context)) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let end = ready!(std::pin::pin!(self.job.ended()).poll(context));
        Poll::Ready(match (end, self.chunks.finish()) {
            (JobState::Failed(e), true) => Some(Err(e)),
            (JobState::Cancelled, true) => Some(Err(Error::cancelled())),
            _ => None,
        })
    }
}

/// The rows of a query that only adds rows, as a stream of record batches. See [`QueryResult::batches`].
#[derive(Debug)]
pub struct Batches(QueryResult);

impl Batches {
    /// Columns.
    pub fn schema(&self) -> &SchemaRef {
        self.0.schema()
    }

    /// The job that runs it.
    pub fn job(&self) -> &Arc<Job> {
        self.0.job()
    }
}

impl Stream for Batches {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(context));
        Poll::Ready(next.map(|chunk| chunk.map(|chunk| chunk.batch)))
    }
}
