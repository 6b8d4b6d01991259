//! Writing to a stream: PutRecords, of which the service may take some records and refuse others.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::{Stream, api};
use crate::connector::messages::{RowText, check_written, value_columns};
use crate::connector::outbox::{BATCH as BATCH_OPTION, Bounds, Outbox, Packed, Packer, Post, Sent};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::lookup::aws_json::{Api, Refused};
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Records that Kinesis takes in a request, and bytes of one with its key.
pub(super) const BATCH: usize = 500;
const REQUEST: usize = 5 << 20;
const RECORD: usize = 10 << 20;
/// Characters of a partition key.
const KEY: usize = 256;

/// A planned sink.
pub(super) struct KinesisSink {
    shared: Arc<Shared>,
    bounds: Bounds,
}

struct Shared {
    table: String,
    stream: Stream,
    api: Api,
    format: Format,
    schema: SchemaRef,
    value: Vec<usize>,
    key: Option<RowText>,
    /// One key a task.
    fixed: bool,
    /// A request holds one record of a key.
    ordered: bool,
    fails: bool,
}

impl KinesisSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        let options = &table.options;
        check_written(table, schema, &[])?;
        let stream = Stream::of(options)?;
        let value = value_columns(table, schema);
        let format = Format::from_options(options)?;
        let plain = schema.project(&value)?;
        let fields = plain.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let values: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        MessageEncoder::new(&format, &values)?;
        let delimiter = options.text("sink.partitioner-field-delimiter").unwrap_or("|");
        let key = match table.partitioned_by.as_slice() {
            [] => None,
            columns => {
                if options.contains("sink.partitioner") {
                    return Err(Error::option(
                        "'sink.partitioner' and PARTITIONED BY both say the partition key",
                    )
                    .with_hint("leave one of them out")
                    .at(options.span("sink.partitioner")));
                }
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                Some(RowText::of_columns(&columns, delimiter, schema)?)
            }
        };
        let mut bounds = Bounds::of(options, BATCH)?;
        if bounds.batch > BATCH {
            return Err(Error::option(format!("option '{BATCH_OPTION}' must be {BATCH} at most"))
                .at(options.span(BATCH_OPTION)));
        }
        bounds.bytes = bounds.bytes.min(REQUEST);
        let fixed = options.choice("sink.partitioner", &["random", "fixed"])? == Some("fixed");
        let ordered = options.choice("sink.order", &["partition-key", "none"])? != Some("none");
        Ok(Self {
            bounds,
            shared: Arc::new(Shared {
                table: table.name.clone(),
                api: api(options, &stream)?,
                stream,
                format,
                schema: values,
                value,
                ordered: ordered && (key.is_some() || fixed),
                key,
                fixed,
                fails: options.bool("sink.fail-on-error")?.unwrap_or(false),
            }),
        })
    }
}

impl Sink for KinesisSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let shared = &self.shared;
        let packer = KinesisPacker {
            encoder: MessageEncoder::new(&shared.format, &shared.schema)?,
            own: format!("affluent-{}", context.task).into(),
            hasher: foldhash::fast::FixedState::with_seed(0x5eed),
            shared: shared.clone(),
        };
        let keyed = shared.ordered;
        Ok(Box::new(Outbox::new(shared.clone(), packer, keyed, self.bounds.clone(), context)))
    }
}

/// A record that is to be sent.
struct Record {
    key: Arc<str>,
    data: Bytes,
}

struct KinesisPacker {
    shared: Arc<Shared>,
    encoder: MessageEncoder,
    own: Arc<str>,
    hasher: foldhash::fast::FixedState,
}

impl Packer for KinesisPacker {
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
        let keys = shared.key.as_ref().map(|key| key.of(&chunk.batch)).transpose()?;
        let mut keys = keys.map(Vec::into_iter);
        let mut packed = Vec::with_capacity(ranges.len());
        for range in ranges {
            let key: Arc<str> = match keys.as_mut().and_then(Iterator::next) {
                Some(key) => key.into(),
                None if shared.fixed => self.own.clone(),
                None => format!("{:016x}", rand::random::<u64>()).into(),
            };
            if key.is_empty() || key.chars().count() > KEY {
                let shown: String = key.chars().take(40).collect();
                return Err(Error::execution(format!(
                    "stream '{}': '{shown}' is no partition key: it has from 1 to {KEY} characters",
                    shared.stream.name
                )));
            }
            let data = range.filter(|r| r.end <= out.len()).map(|r| out.slice(r)).unwrap_or_default();
            if data.len() + key.len() > RECORD {
                return Err(Error::execution(format!(
                    "stream '{}': a record of {} bytes with partition key '{key}' is too large",
                    shared.stream.name,
                    data.len()
                ))
                .with_hint(
                    "Kinesis takes records up to 1 MiB, and up to 10 MiB where the stream is set so",
                ));
            }
            let number = shared.ordered.then(|| self.hasher.hash_one(&*key));
            let bytes = data.len() + key.len();
            packed.push(Packed { record: Record { key, data }, key: number, bytes });
        }
        Ok(packed)
    }
}

impl Shared {
    /// The request for some records.
    fn request(&self, records: &[Record]) -> Bytes {
        let bytes: usize = records.iter().map(|r| r.data.len() * 4 / 3 + r.key.len() + 48).sum();
        let mut body = BytesMut::with_capacity(bytes + 256);
        // The name of the stream, and the rest behind it.
        let head = self.stream.put_into(serde_json::json!({})).to_string();
        body.extend_from_slice(head.trim_end_matches('}').as_bytes());
        body.extend_from_slice(b",\"Records\":[");
        let mut encoded = String::new();
        for (i, record) in records.iter().enumerate() {
            if i > 0 {
                body.put_u8(b',');
            }
            encoded.clear();
            STANDARD.encode_string(&record.data, &mut encoded);
            body.extend_from_slice(b"{\"Data\":\"");
            body.extend_from_slice(encoded.as_bytes());
            body.extend_from_slice(b"\",\"PartitionKey\":");
            body.extend_from_slice(Value::from(&*record.key).to_string().as_bytes());
            body.put_u8(b'}');
        }
        body.extend_from_slice(b"]}");
        body.freeze()
    }

    /// One request; what was not taken comes back.
    async fn put(&self, records: Vec<Record>) -> Sent<Record> {
        let named = |mut failure: Failure| {
            failure.message = format!("writing to stream '{}': {}", self.stream.name, failure.message);
            failure
        };
        let answer = match self.api.post("PutRecords", self.request(&records)).await {
            Ok(answer) => answer,
            Err(Refused { failure, code }) => return Err((records, named(judged(failure, &code)))),
        };
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            records: Vec<Result>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Result {
            error_code: Option<String>,
            error_message: Option<String>,
        }
        let answer: Answer = match serde_json::from_slice(&answer) {
            Ok(answer) => answer,
            Err(e) => return Err((records, named(self.api.undecoded("PutRecords", &e)))),
        };
        if answer.records.len() != records.len() {
            let what = format!("{} records were sent and {} answered", records.len(), answer.records.len());
            return Err((records, named(Failure::new(FailureKind::Decode, what))));
        }
        let (mut left, mut failure) = (Vec::new(), None);
        for (record, result) in records.into_iter().zip(answer.records) {
            let Some(code) = result.error_code else { continue };
            failure.get_or_insert_with(|| {
                let what = format!(
                    "{}: PutRecords: {code}: {} (partition key '{}')",
                    self.api.shown(),
                    result.error_message.unwrap_or_default(),
                    record.key
                );
                let passes = !self.fails && code != "AccessDeniedException";
                let failure = named(Failure::new(FailureKind::Limit, what));
                if passes { failure.retryable() } else { failure }
            });
            left.push(record);
        }
        match failure {
            None => Ok(()),
            Some(failure) => Err((left, failure)),
        }
    }
}

/// A request that is refused: for its records, for what does not pass by itself, or for something that may.
fn judged(mut failure: Failure, code: &str) -> Failure {
    if !matches!(failure.kind, FailureKind::Status(400..500)) || failure.retryable {
        return failure;
    }
    match code {
        "ValidationException" | "InvalidArgumentException" | "SerializationException" => {}
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSNotFoundException"
        | "MissingAuthenticationTokenException"
        | "ResourceNotFoundException"
        | "UnknownOperationException"
        | "UnrecognizedClientException" => failure.kind = FailureKind::Other,
        _ => (failure.kind, failure.retryable) = (FailureKind::Other, true),
    }
    failure
}

impl Post for Shared {
    type Record = Record;

    fn table(&self) -> &str {
        &self.table
    }

    fn send(self: Arc<Self>, records: Vec<Record>) -> BoxFuture<Sent<Record>> {
        Box::pin(async move {
            if !self.ordered {
                return self.put(records).await;
            }
            let mut waiting: VecDeque<Record> = records.into();
            while !waiting.is_empty() {
                let (mut now, mut later, mut keys) = (Vec::new(), VecDeque::new(), HashSet::new());
                for record in waiting {
                    match keys.insert(record.key.clone()) {
                        true => now.push(record),
                        false => later.push_back(record),
                    }
                }
                if let Err((mut left, failure)) = self.put(now).await {
                    // Those that were refused come before what waits behind them.
                    left.extend(later);
                    return Err((left, failure));
                }
                waiting = later;
            }
            Ok(())
        })
    }

    fn describe(&self, record: &Record) -> String {
        let text: String = String::from_utf8_lossy(&record.data).chars().take(200).collect();
        format!("partition key '{}', {text}", record.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_records_are_to_blame_for_is_theirs() {
        let of = |code: &str| {
            let failure = judged(Failure::new(FailureKind::Status(400), ""), code);
            (crate::connector::outbox::is_of_record(failure.kind), failure.retryable)
        };
        assert_eq!(of("ValidationException"), (true, false));
        for code in ["ExpiredTokenException", "AccessDeniedException", "ResourceNotFoundException"] {
            assert_eq!(of(code), (false, false), "{code}");
        }
        assert_eq!(of("SomethingNew"), (false, true));
        let limit = judged(Failure::new(FailureKind::Limit, "").retryable(), "ThrottlingException");
        assert!(limit.retryable && limit.kind == FailureKind::Limit);
    }
}
