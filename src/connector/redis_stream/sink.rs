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
use crate::lookup::BoxFuture;
use crate::lookup::redis::{Connection, address, failure};

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
            let mut pipeline = redis::pipe();
            for record in &records {
                let add = pipeline.cmd("XADD").arg(&self.settings.stream);
                if let Some(most) = self.max_length {
                    add.arg("MAXLEN").arg("~").arg(most);
                }
                add.arg("*").arg(&self.settings.field).arg(&record[..]);
            }
            let said = |e: &redis::RedisError| {
                let mut problem = failure(self.connection.shown(), e);
                problem.message =
                    format!("writing to stream '{}': {}", self.settings.stream, problem.message);
                problem
            };
            let replies = match self.connection.all(&pipeline, records.len()).await {
                Ok(replies) => replies,
                Err(e) => return Err((records, said(&e))),
            };
            // What comes behind one that is refused was added: only that one is sent again.
            let (mut left, mut problem) = (Vec::new(), None);
            for (record, reply) in records.into_iter().zip(replies) {
                if let Reply::ServerError(e) = reply {
                    problem.get_or_insert_with(|| said(&e.into()));
                    left.push(record);
                }
            }
            problem.map_or(Ok(()), |problem| Err((left, problem)))
        })
    }

    fn describe(&self, record: &Bytes) -> String {
        String::from_utf8_lossy(record).chars().take(200).collect()
    }
}
