//! Writing to streams: messages of a subject in order, each with an id by which the stream knows it again.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_nats::jetstream;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::client::root;
use super::{ORDERS, Settings, is_exact};
use crate::connector::messages::{RowText, check_written, value_columns, written_column};
use crate::connector::outbox::{Bounds, Outbox, Packed, Packer, Post, Sent};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Messages of a subject that are on their way together.
pub(super) const BATCH: usize = 500;
const MESSAGE_ID: &str = "sink.message-id";

/// A planned sink.
pub(super) struct NatsSink {
    shared: Arc<Shared>,
    bounds: Bounds,
}

struct Shared {
    settings: Settings,
    format: Format,
    schema: SchemaRef,
    value: Vec<usize>,
    subject: Option<usize>,
    id: Option<RowText>,
    /// A message is sent when the one before it in its subject has arrived.
    ordered: bool,
    /// Tells the messages of this process from those of others.
    seed: u64,
    number: AtomicU64,
    context: Mutex<Option<jetstream::Context>>,
}

impl NatsSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        let settings = Settings::of(table)?;
        check_written(table, schema, &["subject"])?;
        let subject = written_column(table, schema, "subject");
        if subject.is_none() && !settings.subject.as_deref().is_some_and(is_exact) {
            return Err(Error::plan(
                "a message goes to one subject, and neither 'subject' nor the rows say which",
            )
            .with_hint("'subject' = 'plant.readings', or a column: subject STRING METADATA"));
        }
        let value = value_columns(table, schema);
        let format = Format::from_options(&table.options)?;
        let plain = schema.project(&value)?;
        let fields = plain.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let values: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        MessageEncoder::new(&format, &values)?;
        let id = table.options.text(MESSAGE_ID).map(|text| {
            RowText::parse(text, schema)
                .map_err(|e| e.context(format!("option '{MESSAGE_ID}'")).at(table.options.span(MESSAGE_ID)))
        });
        Ok(Self {
            bounds: Bounds::of(&table.options, BATCH)?,
            shared: Arc::new(Shared {
                settings,
                format,
                schema: values,
                value,
                subject,
                id: id.transpose()?,
                ordered: table.options.choice("sink.order", ORDERS)? != Some("none"),
                seed: rand::random(),
                number: AtomicU64::new(0),
                context: Mutex::default(),
            }),
        })
    }
}

impl Sink for NatsSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let shared = &self.shared;
        let packer = NatsPacker {
            encoder: MessageEncoder::new(&shared.format, &shared.schema)?,
            fixed: shared.settings.subject.as_deref().unwrap_or_default().into(),
            hasher: foldhash::fast::FixedState::with_seed(0x5eed),
            shared: shared.clone(),
        };
        Ok(Box::new(Outbox::new(shared.clone(), packer, true, self.bounds.clone(), context)))
    }
}

/// A message that is to be sent.
struct Record {
    subject: Arc<str>,
    payload: Bytes,
    id: Id,
}

enum Id {
    Number(u64),
    Text(String),
}

struct NatsPacker {
    shared: Arc<Shared>,
    encoder: MessageEncoder,
    fixed: Arc<str>,
    hasher: foldhash::fast::FixedState,
}

impl Packer for NatsPacker {
    type Record = Record;

    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Record>>> {
        let shared = &self.shared;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let columns = chunk.batch.project(&shared.value)?.columns().to_vec();
        let values = RecordBatch::try_new_with_options(shared.schema.clone(), columns, &options)?;
        let mut out = Vec::new();
        let values = Chunk { batch: values, kinds: chunk.kinds.clone(), ingest: chunk.ingest };
        let ranges = self.encoder.encode(&values, &mut out)?;
        let out = Bytes::from(out);
        let ids = shared.id.as_ref().map(|id| id.of(&chunk.batch)).transpose()?;
        let mut ids = ids.map(Vec::into_iter);
        let subjects: Option<&StringViewArray> =
            shared.subject.and_then(|at| chunk.batch.column(at).as_string_view_opt());
        let first = shared.number.fetch_add(ranges.len() as u64, Ordering::Relaxed);
        let mut packed = Vec::with_capacity(ranges.len());
        for (row, range) in ranges.into_iter().enumerate() {
            let subject: Arc<str> = match subjects {
                None => self.fixed.clone(),
                Some(subjects) if subjects.is_valid(row) && is_exact(subjects.value(row)) => {
                    subjects.value(row).into()
                }
                Some(subjects) if subjects.is_valid(row) => {
                    let name = subjects.value(row);
                    return Err(Error::execution(format!(
                        "'{name}' is not a subject that can be written to"
                    ))
                    .with_hint("words between dots, without * and >"));
                }
                Some(_) => {
                    return Err(Error::execution("a row names no subject: metadata 'subject' is NULL"));
                }
            };
            let payload = range.filter(|r| r.end <= out.len()).map(|r| out.slice(r)).unwrap_or_default();
            let id = match ids.as_mut().and_then(Iterator::next) {
                Some(text) => Id::Text(text),
                None => Id::Number(first + row as u64),
            };
            let key = Some(self.hasher.hash_one(&*subject));
            let bytes = payload.len() + subject.len() + 64;
            packed.push(Packed { record: Record { subject, payload, id }, key, bytes });
        }
        Ok(packed)
    }
}

impl Shared {
    async fn context(&self) -> Result<jetstream::Context, Failure> {
        let mut context = self.context.lock().await;
        if let Some(context) = &*context {
            return Ok(context.clone());
        }
        let client = self.settings.server.connect(&self.settings.table).await?;
        Ok(context.insert(jetstream::new(client)).clone())
    }

    async fn begin(
        &self,
        context: &jetstream::Context,
        record: &Record,
    ) -> Result<PublishAckFuture, Failure> {
        let mut message = PublishMessage::build().payload(record.payload.clone());
        message = match &record.id {
            Id::Text(id) => message.message_id(id),
            Id::Number(number) => message.message_id(format!("{:016x}-{number}", self.seed)),
        };
        if let Some(stream) = &self.settings.stream {
            message = message.expected_stream(stream);
        }
        let sent = context.send_publish(record.subject.to_string(), message).await;
        sent.map_err(|e| self.failure(record, &e))
    }

    /// Sends messages together; what has not arrived comes back.
    async fn publish(&self, context: &jetstream::Context, records: Vec<Record>) -> Sent<Record> {
        let mut begun = Vec::with_capacity(records.len());
        for record in &records {
            begun.push(self.begin(context, record).await);
        }
        let (mut left, mut failure) = (Vec::new(), None);
        for (record, begun) in records.into_iter().zip(begun) {
            let sent = match begun {
                Ok(acknowledged) => match acknowledged.await {
                    Ok(_) => Ok(()),
                    Err(e) => Err(self.failure(&record, &e)),
                },
                Err(failure) => Err(failure),
            };
            if let Err(e) = sent {
                left.push(record);
                failure.get_or_insert(e);
            }
        }
        match failure {
            None => Ok(()),
            Some(failure) => Err((left, failure)),
        }
    }

    fn failure(&self, record: &Record, e: &jetstream::context::PublishError) -> Failure {
        let what = format!("writing to subject '{}' at {}: ", record.subject, self.settings.server);
        match e.kind() {
            PublishErrorKind::StreamNotFound => {
                let hint = format!(
                    "no stream takes it (nats stream add NAME --subjects '{}'), or it is not there yet",
                    record.subject
                );
                Failure::new(FailureKind::Other, format!("{what}{hint}")).retryable()
            }
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::MaxAckPending => {
                Failure::new(FailureKind::Timeout, format!("{what}{}", root(e))).retryable()
            }
            PublishErrorKind::MaxPayloadExceeded => Failure::new(
                FailureKind::TooLarge,
                format!(
                    "{what}the message has {} bytes, more than 'max_payload' of the server",
                    record.payload.len()
                ),
            ),
            _ => {
                let code = std::error::Error::source(e)
                    .and_then(|e| e.downcast_ref::<jetstream::Error>())
                    .map(jetstream::Error::error_code);
                judged(code, format!("{what}{}", root(e)))
            }
        }
    }
}

/// What a stream refuses: for the message, for what does not pass by itself, or for something that may.
fn judged(code: Option<jetstream::ErrorCode>, what: String) -> Failure {
    use jetstream::ErrorCode as Code;
    match code {
        Some(Code::STREAM_MESSAGE_EXCEEDS_MAXIMUM | Code::STREAM_HEADER_EXCEEDS_MAXIMUM) => {
            Failure::new(FailureKind::TooLarge, what)
        }
        Some(Code::STREAM_NOT_MATCH | Code::STREAM_SEALED) => Failure::new(FailureKind::Other, what),
        // The stream or the server is full, or has no leader.
        _ => Failure::new(FailureKind::Other, what).retryable(),
    }
}

impl Post for Shared {
    type Record = Record;

    fn table(&self) -> &str {
        &self.settings.table
    }

    fn send(self: Arc<Self>, records: Vec<Record>) -> BoxFuture<Sent<Record>> {
        Box::pin(async move {
            let context = match self.context().await {
                Ok(context) => context,
                Err(failure) => return Err((records, failure)),
            };
            if !self.ordered {
                return self.publish(&context, records).await;
            }
            let mut waiting = records;
            while !waiting.is_empty() {
                let mut subjects = HashSet::new();
                let (now, later): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(|record| subjects.insert(record.subject.clone()));
                if let Err((mut left, failure)) = self.publish(&context, now).await {
                    // Those that did not arrive come before what waits behind them.
                    left.extend(later);
                    return Err((left, failure));
                }
                waiting = later;
            }
            Ok(())
        })
    }

    fn describe(&self, record: &Record) -> String {
        let text: String = String::from_utf8_lossy(&record.payload).chars().take(200).collect();
        format!("subject '{}', {text}", record.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_is_too_large_is_to_blame() {
        use jetstream::ErrorCode as Code;
        let of = |code| {
            let failure = judged(code, String::new());
            (crate::connector::outbox::is_of_record(failure.kind), failure.retryable)
        };
        assert_eq!(of(Some(Code::STREAM_MESSAGE_EXCEEDS_MAXIMUM)), (true, false));
        assert_eq!(of(Some(Code::STREAM_NOT_MATCH)), (false, false));
        // Full, for now.
        for code in [Code::STREAM_STORE_FAILED, Code::INSUFFICIENT_RESOURCES, Code::CLUSTER_NOT_AVAILABLE] {
            assert_eq!(of(Some(code)), (false, true));
        }
        assert_eq!(of(None), (false, true));
    }
}
