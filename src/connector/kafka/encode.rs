//! Rows → records: key, value, and what rows say of topic, time and headers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use rdkafka::message::{Header, OwnedHeaders};

use super::options::{Records, Topics};
use super::rows::Metadata;
use crate::catalog::ColumnSource;
use crate::connector::SinkRequest;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::message::MessageEncoder;

/// Columns of the rows, by where they go.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    records: Records,
    value: Vec<usize>,
    key: Vec<usize>,
    value_schema: SchemaRef,
    key_schema: SchemaRef,
    topic: Option<usize>,
    timestamp: Option<usize>,
    headers: Option<usize>,
    topics: Topics,
    upsert: bool,
    zone: String,
}

impl Columns {
    pub(super) fn new(request: &SinkRequest, records: Records, topics: Topics, upsert: bool) -> Result<Self> {
        let (table, schema) = (&request.table, &request.schema);
        let positions = |names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|n| Ok(schema.index_of(n)?)).collect()
        };
        let (value, key) = (positions(&records.value_columns)?, positions(&records.key_columns)?);
        let (mut topic, mut timestamp, mut headers) = (None, None, None);
        for (at, field) in schema.fields().iter().enumerate() {
            let Some((_, column)) = table.column(field.name()) else { continue };
            let ColumnSource::Metadata { key, .. } = &column.source else { continue };
            match Metadata::of(key) {
                Some(Metadata::Topic) => topic = Some(at),
                Some(Metadata::Timestamp) => timestamp = Some(at),
                Some(Metadata::Headers) => headers = Some(at),
                _ => {
                    return Err(Error::plan(format!(
                        "column '{}': metadata '{key}' cannot be written",
                        field.name()
                    ))
                    .with_hint("declare it VIRTUAL: it is then only read"));
                }
            }
        }
        let several = topics.only().is_none();
        if several && topic.is_none() {
            return Err(Error::plan(format!(
                "table '{}' has several topics, and rows do not say which",
                table.name
            ))
            .with_hint("add a column: topic STRING METADATA"));
        }
        if !several && topic.is_some() {
            return Err(Error::plan(format!(
                "table '{}' has one topic: metadata 'topic' cannot be written",
                table.name
            ))
            .with_hint("declare the column VIRTUAL, or name several topics"));
        }
        let key_schema = schema.project(&key)?;
        let short = |f: &Arc<arrow::datatypes::Field>| {
            f.as_ref().clone().with_name(f.name().strip_prefix(&records.prefix).unwrap_or(f.name()))
        };
        Ok(Self {
            value_schema: Arc::new(schema.project(&value)?),
            key_schema: Arc::new(Schema::new(key_schema.fields().iter().map(short).collect::<Vec<_>>())),
            records,
            value,
            key,
            topic,
            timestamp,
            headers,
            topics,
            upsert,
            zone: request.zone.clone(),
        })
    }

    /// An encoder of its own for one task.
    pub(super) fn encoder(&self) -> Result<RecordEncoder> {
        let key = match &self.records.key {
            Some(format) if !self.key.is_empty() => Some(MessageEncoder::new(format, &self.key_schema)?),
            _ => None,
        };
        Ok(RecordEncoder {
            value: MessageEncoder::new(&self.records.value, &self.value_schema)?,
            key,
            columns: self.clone(),
        })
    }
}

/// Encodes rows.
#[derive(Debug)]
pub(super) struct RecordEncoder {
    columns: Columns,
    value: MessageEncoder,
    key: Option<MessageEncoder>,
}

type Ranges = Vec<Option<Range<usize>>>;

/// Records of some rows, to be sent.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    values: Vec<u8>,
    value_ranges: Ranges,
    keys: Vec<u8>,
    /// Empty where records have no keys.
    key_ranges: Ranges,
    topics: Option<StringViewArray>,
    timestamps: Option<ArrayRef>,
    headers: Option<ArrayRef>,
    /// Rows whose record has no value.
    deletes: Option<Vec<bool>>,
}

/// One of them.
pub(super) struct Outgoing<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) topic: Option<&'a str>,
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Encoded {
    pub(super) fn len(&self) -> usize {
        self.value_ranges.len()
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.values.len() + self.keys.len()
    }

    /// The record of a row.
    pub(super) fn record(&self, row: usize) -> Outgoing<'_> {
        let part = |bytes: &'_ [u8], range: Option<&Option<Range<usize>>>| -> Option<Range<usize>> {
            range.cloned().flatten().filter(|r| r.end <= bytes.len())
        };
        let deleted = self.deletes.as_ref().is_some_and(|d| d.get(row).copied().unwrap_or(false));
        let value = part(&self.values, self.value_ranges.get(row)).map(|r| &self.values[r]);
        Outgoing {
            key: part(&self.keys, self.key_ranges.get(row)).map(|r| &self.keys[r]),
            value: value.filter(|_| !deleted),
            topic: self.topics.as_ref().map(|t| t.value(row)),
            timestamp: self.timestamps.as_ref().and_then(|t| {
                let millis = t.as_primitive_opt::<TimestampMillisecondType>()?;
                millis.is_valid(row).then(|| millis.value(row))
            }),
            headers: self.headers.as_ref().and_then(|h| headers_of(h, row)),
        }
    }
}

fn headers_of(column: &ArrayRef, row: usize) -> Option<OwnedHeaders> {
    let map = column.as_map_opt().filter(|m| m.is_valid(row))?;
    let entries = map.value(row);
    let (names, values) = (entries.column(0).as_string_view_opt()?, entries.column(1));
    let mut headers = OwnedHeaders::new_with_capacity(entries.len());
    for at in 0..entries.len() {
        let value = match values.data_type() {
            _ if values.is_null(at) => None,
            DataType::BinaryView => values.as_binary_view_opt().map(|v| v.value(at)),
            _ => values.as_string_view_opt().map(|v| v.value(at).as_bytes()),
        };
        headers = headers.insert(Header { key: names.value(at), value });
    }
    Some(headers)
}

impl RecordEncoder {
    /// The records of rows.
    pub(super) fn encode(&mut self, chunk: &Chunk) -> Result<Encoded> {
        let columns = &self.columns;
        let mut encoded = Encoded::default();
        let mut batch = chunk.batch.clone();
        let mut kinds = chunk.kinds.clone();
        if columns.upsert {
            if let Kinds::Changes(of) = &kinds {
                // The row that takes its place says all.
                if of.contains(&Kind::UpdateBefore) {
                    let keep: BooleanArray = of.iter().map(|k| Some(*k != Kind::UpdateBefore)).collect();
                    batch = filter_record_batch(&batch, &keep)?;
                    kinds = Kinds::Changes(of.iter().copied().filter(|k| *k != Kind::UpdateBefore).collect());
                }
            }
            if let Kinds::Changes(of) = &kinds {
                if of.contains(&Kind::Delete) {
                    encoded.deletes = Some(of.iter().map(|k| *k == Kind::Delete).collect());
                }
                kinds = Kinds::Append;
            }
        }
        let part = |batch: &RecordBatch, indices: &[usize], schema: &SchemaRef| -> Result<RecordBatch> {
            let part = batch.project(indices)?;
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(schema.clone(), part.columns().to_vec(), &options)?)
        };
        let values = part(&batch, &columns.value, &nullable(&columns.value_schema))?;
        let values = Chunk { batch: values, kinds, ingest: chunk.ingest };
        encoded.value_ranges = self.value.encode(&values, &mut encoded.values)?;
        if let Some(encoder) = &mut self.key {
            let keys = part(&batch, &columns.key, &nullable(&columns.key_schema))?;
            encoded.key_ranges = encoder.encode(&Chunk::append(keys, chunk.ingest), &mut encoded.keys)?;
        }
        if let Some(at) = columns.topic {
            let topics = batch.column(at).as_string_view_opt().cloned();
            let topics = topics.ok_or_else(|| Error::internal("topics that are no texts"))?;
            for topic in topics.iter() {
                match topic {
                    Some(topic) if columns.topics.has(topic) => {}
                    Some(topic) => {
                        return Err(Error::execution(format!(
                            "a row names topic '{topic}', which is not one of the table's"
                        ))
                        .with_hint(format!("the table has '{}'", columns.topics.text())));
                    }
                    None => return Err(Error::execution("a row names no topic: metadata 'topic' is NULL")),
                }
            }
            encoded.topics = Some(topics);
        }
        if let Some(at) = columns.timestamp {
            let millis = millis(batch.column(at), &columns.zone)?;
            let values = millis.as_primitive::<TimestampMillisecondType>();
            if let Some(early) = values.iter().flatten().find(|ms| *ms < 0) {
                return Err(Error::execution(format!(
                    "the timestamp of a record is {early} ms, before 1970"
                ))
                .with_hint("Kafka takes timestamps from 1970 on"));
            }
            encoded.timestamps = Some(millis);
        }
        if let Some(at) = columns.headers {
            encoded.headers = Some(batch.column(at).clone());
        }
        Ok(encoded)
    }
}

/// Whether a row has a value is a matter of the rows: enforced before.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Times as milliseconds since the epoch; without a zone they are those of the session's.
fn millis(column: &ArrayRef, zone: &str) -> Result<ArrayRef> {
    let plain = DataType::Timestamp(TimeUnit::Millisecond, None);
    if let DataType::Timestamp(_, Some(_)) = column.data_type() {
        let utc = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))?;
        let millis = utc.as_primitive::<TimestampMillisecondType>().clone();
        return Ok(Arc::new(millis.with_timezone_opt(None::<Arc<str>>)));
    }
    if zone == "UTC" {
        return Ok(cast(column, &plain)?);
    }
    let zone: chrono_tz::Tz =
        zone.parse().map_err(|_| Error::internal(format!("time zone '{zone}' is not known")))?;
    let local = cast(&cast(column, &plain)?, &DataType::Int64)?;
    let shifted = local.as_primitive::<Int64Type>().unary_opt::<_, TimestampMillisecondType>(|ms| {
        use chrono::TimeZone;
        let clock = chrono::DateTime::from_timestamp_millis(ms)?.naive_utc();
        zone.from_local_datetime(&clock).earliest().map(|t| t.timestamp_millis())
    });
    Ok(Arc::new(shifted))
}
