//! Adding entries to a stream, in their order.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use redis::Value as Reply;

use super::Settings;
use crate::connector::messages::{check_written, value_columns};
use crate::connector::outbox::{Bounds, Outbox, Packed, Packer, Post, Sent};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::Result;
use crate::flow::Chunk;
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::lookup::redis::{Connection, address, failure};
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Entries of a request.
pub(super) const BATCH: usize = 500;

/// A planned sink.
pub(super) struct StreamSink {
    shared: Arc<Shared>,
    bounds: Bounds,
}

struct Shared {
    settings: Settings,
    connection: Connection,
    format: Format,
    schema: SchemaRef,
    value: Vec<usize>,
    max_length: Option<u64>,
}

impl StreamSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        check_written(table, schema, &[])?;
        let value = value_columns(table, schema);
        let format = Format::from_options(&table.options)?;
        let plain = schema.project(&value)?;
        let fields = plain.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let values: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        MessageEncoder::new(&format, &values)?;
        Ok(Self {
            bounds: Bounds::of(&table.options, BATCH)?,
            shared: Arc::new(Shared {
                settings: Settings::of(table)?,
                connection: Connection::new(address(&table.options)?),
                format,
                schema: values,
                value,
                max_length: table.options.integer("sink.max-length")?,
            }),
        })
    }
}

impl Sink for StreamSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let shared = &self.shared;
        let encoder = MessageEncoder::new(&shared.format, &shared.schema)?;
        let packer = StreamPacker { encoder, shared: shared.clone() };
        Ok(Box::new(Outbox::new(shared.clone(), packer, true, self.bounds.clone(), context)))
    }
}

struct StreamPacker {
    shared: Arc<Shared>,
    encoder: MessageEncoder,
}

impl Packer for StreamPacker {
    type Record = Bytes;

    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Bytes>>> {
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let columns = chunk.batch.project(&self.shared.value)?.columns().to_vec();
        let values = RecordBatch::try_new_with_options(self.shared.schema.clone(), columns, &options)?;
        let mut out = Vec::new();
        let values = Chunk { batch: values, kinds: chunk.kinds.clone(), ingest: chunk.ingest };
        let ranges = self.encoder.encode(&values, &mut out)?;
        let out = Bytes::from(out);
        let record = |range: Option<std::ops::Range<usize>>| {
            let record = range.filter(|r| r.end <= out.len()).map(|r| out.slice(r)).unwrap_or_default();
            let bytes = record.len() + 64;
            // One stream, one order.
            Packed { record, key: Some(0), bytes }
        };
        Ok(ranges.into_iter().map(record).collect())
    }
}

impl Post for Shared {
    type Record = Bytes;

    fn table(&self) -> &str {
        &self.settings.table
    }

    fn send(self: Arc<Self>, records: Vec<Bytes>) -> BoxFuture<Sent<Bytes>> {
        Box::pin(async move {
            // All of them or none: what is sent again must not come behind what followed it.
            let mut pipeline = redis::pipe();
            pipeline.cmd("MULTI");
            for record in &records {
                let add = pipeline.cmd("XADD").arg(&self.settings.stream);
                if let Some(most) = self.max_length {
                    add.arg("MAXLEN").arg("~").arg(most);
                }
                add.arg("*").arg(&self.settings.field).arg(&record[..]);
            }
            pipeline.cmd("EXEC");
            let said = |e: &redis::RedisError| {
                let mut problem = failure(self.connection.shown(), e);
                problem.message =
                    format!("writing to stream '{}': {}", self.settings.stream, problem.message);
                problem
            };
            let said_of = |what: &str| {
                let (stream, shown) = (&self.settings.stream, self.connection.shown());
                format!("writing to stream '{stream}': {shown}: {what}")
            };
            let replies = match self.connection.all(&pipeline, records.len() + 2).await {
                Ok(replies) => replies,
                Err(e) => return Err((records, said(&e))),
            };
            match left(replies, records.len()) {
                Ok(None) => Ok(()),
                Ok(Some((first, e))) => Err((records.into_iter().skip(first).collect(), said(&e))),
                Err(what) => Err((records, Failure::new(FailureKind::Decode, said_of(what)))),
            }
        })
    }

    fn describe(&self, record: &Bytes) -> String {
        String::from_utf8_lossy(record).chars().take(200).collect()
    }
}

/// What the replies to MULTI, some XADD and EXEC say: the first record that was not added, and why.
fn left(replies: Vec<Reply>, count: usize) -> Result<Option<(usize, redis::RedisError)>, &'static str> {
    const ODD: &str = "the answer is not that of a transaction";
    let mut replies = replies;
    let done = replies.pop().ok_or(ODD)?;
    // What is refused when it is queued ends the whole.
    let refused = replies.into_iter().find_map(|reply| match reply {
        Reply::ServerError(e) => Some(e),
        _ => None,
    });
    match (done, refused) {
        (Reply::ServerError(_), Some(e)) | (Reply::ServerError(e), None) => Ok(Some((0, e.into()))),
        (Reply::Array(added), None) if added.len() == count => {
            let refused = added.into_iter().enumerate().find_map(|(at, reply)| match reply {
                Reply::ServerError(e) => Some((at, e.into())),
                _ => None,
            });
            Ok(refused)
        }
        _ => Err(ODD),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> Reply {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn what_was_not_added_is_left_with_all_behind_it() {
        let queued = || Reply::SimpleString("QUEUED".into());
        let id = || Reply::BulkString(b"1-0".to_vec());
        let done = vec![Reply::Okay, queued(), queued(), Reply::Array(vec![id(), id()])];
        assert!(left(done, 2).unwrap().is_none());
        let full =
            vec![Reply::Okay, queued(), error("OOM command not allowed"), error("EXECABORT discarded")];
        let (at, e) = left(full, 2).unwrap().unwrap();
        let problem = failure("redis", &e);
        assert_eq!((at, e.code(), problem.retryable), (0, Some("OOM"), true));
        assert!(!crate::connector::outbox::is_of_record(problem.kind));
        let other = vec![Reply::Okay, queued(), queued(), Reply::Array(vec![id(), error("WRONGTYPE no")])];
        let (at, e) = left(other, 2).unwrap().unwrap();
        let problem = failure("redis", &e);
        assert_eq!((at, problem.retryable), (1, false));
        assert!(!crate::connector::outbox::is_of_record(problem.kind));
        assert!(left(vec![Reply::Nil], 1).is_err() && left(Vec::new(), 0).is_err());
    }
}
