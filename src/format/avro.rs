//! Avro, as records of a broker: `avro` with the schema that follows from the table, `avro-confluent` with schemas of a
//! registry, whose id precedes each record.
//!
//! A record is decoded with the schema that it was written with, straight to Arrow; its fields are found by name, and
//! values are cast where types differ. What a schema lacks is NULL, what a table lacks is not decoded. Schemas may
//! change from record to record.

mod registry;
mod schema;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, FingerprintStrategy, SchemaStore};
use arrow_avro::writer::format::{AvroBinaryFormat, AvroSoeFormat};
use arrow_avro::writer::{Encoder, WriterBuilder};
use serde_json::Value;

use self::registry::Registry;
use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};
use crate::format::infer::Inferred;
use crate::sql::SqlType;

/// The formats' names.
pub const PLAIN: &str = "avro";
/// See [`PLAIN`].
pub const CONFLUENT: &str = "avro-confluent";

/// The key of a schema in the metadata of Arrow's.
const SCHEMA_KEY: &str = "avro.schema";

/// Bytes in front of a record: 0, and the id of its schema.
const FRAME: usize = 5;

/// More rows than a batch of records has.
const ROWS: usize = 1 << 20;

/// Options of `avro`.
pub const OPTIONS: &[OptionDef] = &[OptionDef::new(
    "avro.timestamp_mapping.legacy",
    OptionKind::Bool,
    "true",
    "TIMESTAMP and TIMESTAMP_LTZ are both timestamp-millis; false: TIMESTAMP is local-timestamp-millis",
)];

/// Options of `avro-confluent`.
pub const CONFLUENT_OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "avro-confluent.url",
        OptionKind::Text,
        "",
        "schema registry: http://host:8081, or several by ','",
    ),
    OptionDef::new(
        "avro-confluent.subject",
        OptionKind::Text,
        "",
        "where schemas are registered; a topic has its name and '-value' or '-key'",
    ),
    OptionDef::new(
        "avro-confluent.schema",
        OptionKind::Text,
        "",
        "the schema that is written, in place of the table's",
    ),
    OptionDef::new(
        "avro-confluent.basic-auth.credentials-source",
        OptionKind::Choice(&["USER_INFO"]),
        "",
        "where user and password are",
    ),
    OptionDef::new("avro-confluent.basic-auth.user-info", OptionKind::Text, "", "user:password"),
    OptionDef::new(
        "avro-confluent.bearer-auth.credentials-source",
        OptionKind::Choice(&["STATIC_TOKEN"]),
        "",
        "where the token is",
    ),
    OptionDef::new("avro-confluent.bearer-auth.token", OptionKind::Text, "", "the token"),
    OptionDef::new(
        "avro-confluent.timestamp_mapping.legacy",
        OptionKind::Bool,
        "true",
        "TIMESTAMP and TIMESTAMP_LTZ are both timestamp-millis; false: TIMESTAMP is local-timestamp-millis",
    ),
];

/// How records are read and written.
#[derive(Debug, Clone)]
pub struct AvroOptions {
    /// Schemas are in a registry.
    registry: Option<Registry>,
    subject: Option<String>,
    /// What is written.
    schema: Option<String>,
    legacy: bool,
}

impl AvroOptions {
    /// From a table's options.
    pub fn from_options(options: &Options, name: &str) -> Result<Self> {
        let legacy = options.bool(&format!("{name}.timestamp_mapping.legacy"))?.unwrap_or(true);
        if name == PLAIN {
            return Ok(Self { registry: None, subject: None, schema: None, legacy });
        }
        let text = |key: &str| options.text(&format!("{CONFLUENT}.{key}")).map(str::to_string);
        let schema = text("schema");
        if let Some(schema) = &schema
            && serde_json::from_str::<Value>(schema).is_err()
        {
            return Err(Error::option(format!("option '{CONFLUENT}.schema' is not JSON"))
                .at(options.span(&format!("{CONFLUENT}.schema"))));
        }
        Ok(Self {
            registry: Some(Registry::from_options(options)?),
            subject: text("subject"),
            schema,
            legacy,
        })
    }

    /// The format's name.
    pub fn name(&self) -> &'static str {
        if self.registry.is_some() { CONFLUENT } else { PLAIN }
    }

    /// Columns from the newest schema of the subject.
    pub fn infer(&self) -> Result<Option<Inferred>> {
        let (Some(registry), Some(subject)) = (&self.registry, &self.subject) else { return Ok(None) };
        let json = registry.latest(subject)?;
        let decoder = decoder(&json, 0, None)?;
        let mut columns = Vec::new();
        for field in decoder.schema().fields() {
            let data_type = SqlType::from_arrow(&plain_type(field.data_type())).ok_or_else(|| {
                Error::unsupported(format!("field '{}' of subject '{subject}' has no SQL type", field.name()))
                    .with_hint("declare the columns that are wanted")
            })?;
            columns.push((field.name().clone(), data_type));
        }
        Ok(Some(Inferred { columns, ..Inferred::default() }))
    }
}

/// Types that SQL has in place of those that Avro has besides.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(..) | DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        other => other.clone(),
    }
}

fn broken(e: impl std::fmt::Display) -> Error {
    Error::decode(format!("the record does not fit its schema: {e}"))
}

/// A decoder of records with one schema. `wanted`: names of the fields that are.
fn decoder(json: &str, id: u32, wanted: Option<&Schema>) -> Result<Decoder> {
    let unusable = |e: arrow::error::ArrowError| Error::decode(format!("schema {id} cannot be used: {e}"));
    let parsed = serde_json::from_str::<Value>(json).map(|mut schema| {
        schema::without_uuids(&mut schema);
        schema.to_string()
    });
    let json = &parsed.unwrap_or_else(|_| json.to_string());
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let key = Fingerprint::Id(id);
    store.set(key, AvroSchema::new(json.to_string())).map_err(unusable)?;
    let mut builder = ReaderBuilder::new()
        .with_writer_schema_store(store)
        .with_active_fingerprint(key)
        .with_batch_size(ROWS)
        // arrow-avro makes views without their NULLs, so that texts are cast to views here.
        .with_utf8_view(wanted.is_none());
    if let Some(wanted) = wanted {
        let schema: Value = serde_json::from_str(json).map_err(broken)?;
        let fields = schema.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let name = |field: &Value| field.get("name").and_then(Value::as_str).map(str::to_string);
        let some: Vec<usize> = fields
            .iter()
            .enumerate()
            .filter(|(_, f)| name(f).is_some_and(|n| wanted.field_with_name(&n).is_ok()))
            .map(|(i, _)| i)
            .collect();
        if !some.is_empty() && some.len() < fields.len() {
            builder = builder.with_projection(some);
        }
    }
    builder.build_decoder().map_err(unusable)
}

/// Decodes records.
pub(crate) struct AvroDecoder {
    options: AvroOptions,
    schema: SchemaRef,
    /// The schema of records without a frame.
    plain: String,
    by_id: HashMap<u32, Decoder>,
    frame: Vec<u8>,
}

/// The result of records: rows, the record of each, and what is wrong with the first one after them.
pub(crate) struct AvroRows {
    pub(crate) batch: RecordBatch,
    pub(crate) numbers: Vec<u32>,
    pub(crate) wrong: Option<(usize, Error)>,
}

impl AvroDecoder {
    /// For records of a table whose columns are `declared`, of which `schema` is wanted.
    pub(crate) fn new(options: &AvroOptions, declared: &SchemaRef, schema: &SchemaRef) -> Result<Self> {
        let plain = schema::of_table(declared, options.legacy)?.to_string();
        Ok(Self {
            options: options.clone(),
            schema: schema.clone(),
            plain,
            by_id: HashMap::new(),
            frame: Vec::new(),
        })
    }

    /// The rows of records up to the first that is wrong.
    pub(crate) fn decode(&mut self, messages: &[Option<&[u8]>]) -> Result<AvroRows> {
        let (mut batches, mut numbers, mut wrong) = (Vec::new(), Vec::new(), None);
        // Records of one schema that follow each other are one batch.
        let (mut id, mut from) = (None, 0);
        for (at, message) in messages.iter().enumerate() {
            let Some(message) = message else { continue };
            let read = self.id_of(message).and_then(|of| {
                if id != Some(of) {
                    batches.extend(self.flush(id.take())?);
                    self.prepare(of)?;
                    (id, from) = (Some(of), at);
                }
                self.take(of, message)
            });
            match read {
                Ok(()) => numbers.push(at as u32),
                Err(e) => {
                    // What the decoder has of it is in the way: those before are decoded again.
                    if let Some(of) = id {
                        self.by_id.remove(&of);
                        let before = messages.get(from..at).unwrap_or_default().iter().flatten();
                        self.prepare(of)?;
                        for message in before {
                            self.take(of, message)?;
                        }
                    }
                    wrong = Some((at, e));
                    break;
                }
            }
        }
        batches.extend(self.flush(id)?);
        Ok(AvroRows { batch: concat_batches(&self.schema, &batches)?, numbers, wrong })
    }

    fn id_of(&self, message: &[u8]) -> Result<u32> {
        if self.options.registry.is_none() {
            return Ok(0);
        }
        match message {
            [0, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => Err(Error::decode("the record does not begin with the id of a schema")
                .with_detail(format!("it begins with {:02x?}", &message[..message.len().min(FRAME)]))
                .with_hint("'format' = 'avro' reads records without")),
        }
    }

    /// Makes sure that there is a decoder.
    fn prepare(&mut self, id: u32) -> Result<()> {
        if self.by_id.contains_key(&id) {
            return Ok(());
        }
        let json = match &self.options.registry {
            Some(registry) => registry.schema(id)?,
            None => self.plain.clone(),
        };
        self.by_id.insert(id, decoder(&json, id, Some(&self.schema))?);
        Ok(())
    }

    fn take(&mut self, id: u32, message: &[u8]) -> Result<()> {
        let Some(decoder) = self.by_id.get_mut(&id) else { return Err(Error::internal("no decoder")) };
        let framed = match self.options.registry {
            Some(_) => message,
            None => {
                self.frame.clear();
                self.frame.extend_from_slice(&[0; FRAME]);
                self.frame.extend_from_slice(message);
                &self.frame
            }
        };
        let before = decoder.capacity();
        let read = decoder.decode(framed);
        // What is behind a record is taken for the next one, which a message has not.
        match (read, before.saturating_sub(decoder.capacity())) {
            (Ok(taken), 1) if taken == framed.len() => Ok(()),
            (Err(e), 0) => Err(broken(e)),
            (Ok(_), 0) => Err(broken("it ends too soon")),
            _ => Err(broken("bytes are left after it")),
        }
    }

    fn flush(&mut self, id: Option<u32>) -> Result<Option<RecordBatch>> {
        let Some(decoder) = id.and_then(|id| self.by_id.get_mut(&id)) else { return Ok(None) };
        let batch = decoder.flush().map_err(broken)?;
        batch.map(|batch| conform(&batch, &self.schema)).transpose()
    }
}

/// The wanted columns, as the table declares them.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match batch.column_by_name(field.name()) {
            Some(column) => conformed(column, field.data_type())
                .map_err(|e| e.context(format!("field '{}'", field.name())))?,
            None => new_null_array(field.data_type(), rows),
        };
        if column.null_count() > 0 && !field.is_nullable() {
            return Err(Error::decode(format!("column '{}' is NULL, it is declared NOT NULL", field.name())));
        }
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A value as another type, fields of records by name.
fn conformed(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    Ok(match (array.data_type(), to) {
        (DataType::Union(..), _) => {
            // Each value of the type that it has; a cast would take those of one type alone.
            let from = array.as_union();
            let mut places = HashMap::new();
            let mut children: Vec<ArrayRef> = Vec::new();
            let mut rows = Vec::with_capacity(from.len());
            for (row, id) in from.type_ids().iter().enumerate() {
                let place = match places.get(id) {
                    Some(place) => *place,
                    None => {
                        children.push(conformed(from.child(*id), to)?);
                        *places.entry(*id).or_insert(children.len() - 1)
                    }
                };
                rows.push((place, from.value_offset(row)));
            }
            if children.is_empty() {
                return Ok(arrow::array::new_empty_array(to));
            }
            let children: Vec<&dyn Array> = children.iter().map(AsRef::as_ref).collect();
            arrow::compute::interleave(&children, &rows)?
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = array.as_struct();
            let column = |f: &Arc<arrow::datatypes::Field>| match from.column_by_name(f.name()) {
                Some(column) => conformed(column, f.data_type()),
                None => Ok(new_null_array(f.data_type(), from.len())),
            };
            let columns = fields.iter().map(column).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, from.nulls().cloned())?)
        }
        (DataType::List(_), DataType::List(item)) => {
            let from = array.as_list::<i32>();
            let values = conformed(from.values(), item.data_type())?;
            Arc::new(ListArray::try_new(item.clone(), from.offsets().clone(), values, from.nulls().cloned())?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let from = array.as_map();
            let whole: ArrayRef = Arc::new(from.entries().clone());
            let DataType::Struct(wanted) = entries.data_type() else {
                return Err(Error::internal("a map without entries"));
            };
            // Names of keys and values differ from format to format.
            let columns = whole.as_struct().columns().iter().zip(wanted.iter());
            let columns = columns.map(|(c, f)| conformed(c, f.data_type())).collect::<Result<Vec<_>>>()?;
            let structs = StructArray::try_new(wanted.clone(), columns, None)?;
            Arc::new(MapArray::try_new(
                entries.clone(),
                from.offsets().clone(),
                structs,
                from.nulls().cloned(),
                *sorted,
            )?)
        }
        _ => cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(
            |e| {
                let e = Error::from(e);
                Error::decode(e.message().to_string())
                    .with_hint("declare the column with the type of the schema")
            },
        )?,
    })
}

/// Writes a record for each row.
pub(crate) struct AvroEncoder {
    options: AvroOptions,
    schema: SchemaRef,
    /// The same with the types that Avro has.
    written: SchemaRef,
    encoder: Option<Encoder>,
}

impl AvroEncoder {
    /// For rows of `schema`.
    pub(crate) fn new(options: &AvroOptions, schema: &SchemaRef) -> Result<Self> {
        if options.registry.is_some() && options.subject.is_none() {
            return Err(Error::option(format!("option '{CONFLUENT}.subject' is required"))
                .with_hint("a topic has its name and '-value' (or '-key')"));
        }
        schema::of_table(schema, options.legacy)?;
        let written = schema::written(schema);
        Ok(Self { options: options.clone(), schema: schema.clone(), written, encoder: None })
    }

    /// The schema is registered with the first rows.
    fn start(&mut self) -> Result<&mut Encoder> {
        if self.encoder.is_none() {
            let json = match &self.options.schema {
                Some(given) => given.clone(),
                None => schema::of_table(&self.schema, self.options.legacy)?.to_string(),
            };
            let metadata = HashMap::from([(SCHEMA_KEY.to_string(), json.clone())]);
            let arrow = Schema::new_with_metadata(self.written.fields().clone(), metadata);
            let unusable = |e| {
                Error::option(format!("rows cannot be written with the schema: {e}"))
                    .with_detail(json.clone())
            };
            let builder = WriterBuilder::new(arrow);
            self.encoder = Some(match (&self.options.registry, &self.options.subject) {
                (Some(registry), Some(subject)) => {
                    let id = registry.register(subject, &json)?;
                    let builder = builder.with_fingerprint_strategy(FingerprintStrategy::Id(id));
                    builder.build_encoder::<AvroSoeFormat>().map_err(unusable)?
                }
                _ => builder.build_encoder::<AvroBinaryFormat>().map_err(unusable)?,
            });
        }
        self.encoder.as_mut().ok_or_else(|| Error::internal("no encoder"))
    }

    /// The record of each row, as a range of `out`.
    pub(crate) fn encode(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Option<Range<usize>>>> {
        // Batches do not say which of their columns are NOT NULL.
        let columns = batch.columns().iter().zip(self.written.fields());
        let columns = columns.map(|(c, f)| conformed(c, f.data_type())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.written.clone(), columns, &options)?;
        let encoder = self.start()?;
        let failed = |e| Error::execution(format!("rows could not be written as Avro: {e}"));
        encoder.encode(&batch).map_err(failed)?;
        let rows = encoder.flush();
        out.extend_from_slice(rows.bytes());
        Ok(rows.offsets().windows(2).map(|w| Some(w[0]..w[1])).collect())
    }
}

#[cfg(test)]
mod tests;
