//! Sends rows to an API: requests with one row or with several, in order per PRIMARY KEY, at-least-once.
//!
//! A request that fails for a reason that may pass (no connection, no answer, `http.source.lookup.retry-codes`) is
//! sent again, `Retry-After` heeded; one that is refused is the row's fault, and `sink.on-error` says what becomes of
//! it. A request with several rows that is refused is sent by halves, so that only the row in question is.
//!
//! What was on its way when a job failed is sent again by the next: `sink.idempotency-key` lets the service tell.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};

use crate::catalog::{ColumnSource, Table};
use crate::connector::outbox::{Bounds, KeyNumbers, Outbox, Packed, Packer, Post, Sent, is_of_record};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::lookup::http::{Deliveries, Target, body_format};
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Characters of a record that a message shows.
const SHOWN: usize = 300;

struct Shared {
    table: String,
    deliveries: Deliveries,
    format: Format,
    schema: SchemaRef,
    key: Vec<usize>,
    batch: usize,
    /// Tells the requests of this process from those of others.
    seed: u64,
    number: AtomicU64,
}

/// A planned sink.
pub(super) struct HttpSink {
    shared: Arc<Shared>,
    bounds: Bounds,
    changelog: SinkChangelog,
}

/// What a table needs to be written to; `None` for one that is only looked up in.
pub(super) fn check(table: &Table) -> Result<()> {
    let persisted = |c: &&crate::catalog::Column| matches!(c.source, ColumnSource::Physical { .. });
    let fields = table.columns.iter().filter(persisted).filter_map(|c| {
        let (data_type, nullable) = c.declared()?;
        Some(arrow::datatypes::Field::new(&c.name, data_type.to_arrow("UTC"), nullable))
    });
    let is_sink = ["insert-method", "http.sink.header."]
        .iter()
        .any(|key| table.options.contains(key) || table.options.with_prefix(key).next().is_some())
        || table.options.with_prefix("sink.").next().is_some();
    if is_sink {
        Deliveries::new(table, &Schema::new(fields.collect::<Vec<_>>()))?;
        Bounds::of(&table.options, 1)?;
    }
    Ok(())
}

impl HttpSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, key, .. } = request;
        let metadata = |c: &&crate::catalog::Column| {
            matches!(&c.source, ColumnSource::Metadata { is_virtual: false, .. })
        };
        if let Some(column) = table.columns.iter().find(metadata) {
            return Err(Error::plan(format!(
                "column '{}': metadata of answers cannot be written",
                column.name
            ))
            .with_hint("declare it VIRTUAL"));
        }
        let format = body_format(table)?;
        let deliveries = Deliveries::new(table, schema)?;
        MessageEncoder::new(&format, schema)?;
        let bounds = Bounds::of(&table.options, 1)?;
        let changelog = match format.sink_changelog() {
            SinkChangelog::Append if deliveries.deletes() => SinkChangelog::Upsert,
            _ if deliveries.deletes() => {
                return Err(Error::option(
                    "'sink.delete-method' is for formats of rows, and this one writes changes",
                )
                .with_hint("leave one of them out"));
            }
            other => other,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                table: table.name.clone(),
                deliveries,
                format,
                schema: nullable(schema),
                key: key.clone(),
                batch: bounds.batch,
                seed: rand::random(),
                number: AtomicU64::new(0),
            }),
            bounds,
            changelog,
        })
    }
}

/// Whether a column has a value is a matter of the rows: enforced before.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Sink for HttpSink {
    fn changelog(&self) -> SinkChangelog {
        self.changelog
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let shared = &self.shared;
        let packer = HttpPacker {
            encoder: MessageEncoder::new(&shared.format, &shared.schema)?,
            keys: KeyNumbers::new(&shared.schema, &shared.key)?,
            shared: shared.clone(),
        };
        let keyed = packer.keys.is_some();
        Ok(Box::new(Outbox::new(shared.clone(), packer, keyed, self.bounds.clone(), context)))
    }
}

/// A row on its way.
struct Record {
    /// `None`: it is taken away.
    body: Option<Bytes>,
    target: Option<Target>,
    number: u64,
}

struct HttpPacker {
    shared: Arc<Shared>,
    encoder: MessageEncoder,
    keys: Option<KeyNumbers>,
}

impl Packer for HttpPacker {
    type Record = Record;

    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Record>>> {
        let shared = &self.shared;
        let rows = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let batch =
            RecordBatch::try_new_with_options(shared.schema.clone(), chunk.batch.columns().to_vec(), &rows)?;
        let deletes = shared.deliveries.deletes();
        let kinds = if deletes { Kinds::Append } else { chunk.kinds.clone() };
        let targets = shared.deliveries.targets(&batch)?;
        let keys = self.keys.as_ref().map(|keys| keys.of(&batch)).transpose()?;
        let mut out = Vec::new();
        let ranges = self.encoder.encode(&Chunk { batch, kinds, ingest: chunk.ingest }, &mut out)?;
        let out = Bytes::from(out);
        let mut packed = Vec::with_capacity(ranges.len());
        let mut targets = targets.map(Vec::into_iter);
        let first = shared.number.fetch_add(ranges.len() as u64, Ordering::Relaxed);
        for (row, range) in ranges.into_iter().enumerate() {
            let target = targets.as_mut().and_then(Iterator::next);
            let kind = chunk.kinds.get(row);
            let goes = deletes
                && match kind {
                    Kind::Delete => true,
                    // The row that takes its place says all.
                    Kind::UpdateBefore
                        if row + 1 < chunk.len() && chunk.kinds.get(row + 1) == Kind::UpdateAfter =>
                    {
                        continue;
                    }
                    Kind::UpdateBefore => true,
                    _ => false,
                };
            let body = match (goes, range) {
                (true, _) => None,
                (false, Some(range)) => Some(slice(&out, range)),
                // Such as NULL in `raw`: there is nothing to be sent.
                (false, None) => Some(Bytes::new()),
            };
            let bytes = body.as_ref().map_or(0, Bytes::len) + 64;
            let key = keys.as_ref().and_then(|keys| keys.get(row).copied());
            packed.push(Packed { record: Record { body, target, number: first + row as u64 }, key, bytes });
        }
        Ok(packed)
    }
}

fn slice(bytes: &Bytes, range: Range<usize>) -> Bytes {
    if range.end <= bytes.len() { bytes.slice(range) } else { Bytes::new() }
}

impl Shared {
    /// The body of a request.
    fn body(&self, records: &[Record]) -> Option<Bytes> {
        let first = records.first()?;
        if self.batch == 1 {
            return first.body.clone();
        }
        let array = matches!(self.format, Format::Json(_) | Format::JsonChangelog(..));
        let bodies = || records.iter().filter_map(|r| r.body.as_ref());
        let mut all = BytesMut::with_capacity(bodies().map(|b| b.len() + 1).sum::<usize>() + 2);
        if array {
            all.put_u8(b'[');
        }
        for (i, body) in bodies().enumerate() {
            if i > 0 && array {
                all.put_u8(b',');
            }
            all.extend_from_slice(body);
            if !array {
                all.put_u8(b'\n');
            }
        }
        if array {
            all.put_u8(b']');
        }
        Some(all.freeze())
    }
}

impl Post for Shared {
    type Record = Record;

    fn table(&self) -> &str {
        &self.table
    }

    fn send(self: Arc<Self>, records: Vec<Record>) -> BoxFuture<Sent<Record>> {
        Box::pin(async move {
            let body = self.body(&records);
            let first = records.first();
            let number = first.map_or(0, |r| r.number);
            // The same for each attempt, and another for each other request: that of a half, too.
            let number = (u128::from(self.seed) << 64)
                | u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ records.len() as u64);
            let target = first.and_then(|r| r.target.as_ref());
            match self.deliveries.send(target, body, number).await {
                Ok(()) => Ok(()),
                Err(failure) => Err((records, failure)),
            }
        })
    }

    fn blames(&self, failure: &Failure, record: &Record) -> bool {
        // A URL that the record makes may be one that does not exist.
        let of_target = matches!(failure.kind, FailureKind::Status(404 | 410)) && record.target.is_some();
        of_target || is_of_record(failure.kind)
    }

    fn describe(&self, record: &Record) -> String {
        match &record.body {
            None => "a row that is taken away".to_string(),
            Some(body) => {
                let text = String::from_utf8_lossy(body);
                match text.char_indices().nth(SHOWN) {
                    Some((end, _)) => format!("{}...", &text[..end]),
                    None => text.into_owned(),
                }
            }
        }
    }
}
