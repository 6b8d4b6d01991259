//! Messages of brokers and services as rows: the value by the table's format, metadata as its columns say.
//!
//! What a message has beside its value is the connector's: it lists its metadata ([`Known`]) and answers for one message
//! at a time ([`Message`]). A message that cannot be decoded is a failure that names it, or a dead letter.

use std::sync::Arc;

use arrow::array::builder::{MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMillisecondArray, new_null_array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ScanRequest, SourceChangelog};
use crate::catalog::{ColumnSource, Table};
use crate::dead_letter::{REJECTED, Rejected, rejected_column, rejected_field};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Kind, Kinds};
use crate::format::Format;
use crate::format::message::MessageDecoder;

/// What a metadata key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "which kinds there are depends on the connectors of the build")]
pub(super) enum Kept {
    Text,
    Int,
    Long,
    Bool,
    Moment,
    /// Texts by name.
    Map,
}

/// A metadata key of a connector.
pub(super) type Known = (&'static str, Kept);

/// The value of one message under a metadata key.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "as above")]
pub(super) enum Value<'a> {
    None,
    Text(&'a str),
    Number(i64),
    Bool(bool),
    /// Milliseconds since the epoch.
    Moment(i64),
    Map(&'a [(String, String)]),
}

/// A message that has arrived.
pub(super) trait Message {
    /// Its value; `None`: it has none.
    fn value(&self) -> Option<&[u8]>;

    /// Why it holds no record that could be decoded.
    fn lacks(&self) -> Option<String> {
        None
    }

    /// What it has under the metadata key with this number.
    fn metadata(&self, key: usize) -> Value<'_>;

    /// Where it stands, for people: `stream 's', sequence 7`.
    fn place(&self) -> String;

    /// Where it stands, as dead letters have it: `s@7`.
    fn position(&self) -> String;
}

impl Kept {
    fn check(self, column: &str, key: &str, declared: &DataType) -> Result<()> {
        let (fits, wanted) = match self {
            Self::Text => (declared == &DataType::Utf8View, "STRING"),
            Self::Int => (matches!(declared, DataType::Int32 | DataType::Int64), "INT"),
            Self::Long => (declared == &DataType::Int64, "BIGINT"),
            Self::Bool => (declared == &DataType::Boolean, "BOOLEAN"),
            Self::Moment => (matches!(declared, DataType::Timestamp(_, Some(_))), "TIMESTAMP_LTZ(3)"),
            Self::Map => (is_map_of_texts(declared), "MAP<STRING, STRING>"),
        };
        match fits {
            true => Ok(()),
            false => Err(Error::plan(format!("column '{column}': metadata '{key}' is {wanted}"))
                .with_hint(format!("{column} {wanted} METADATA FROM '{key}' VIRTUAL"))),
        }
    }
}

fn is_map_of_texts(declared: &DataType) -> bool {
    let DataType::Map(entries, _) = declared else { return false };
    let DataType::Struct(fields) = entries.data_type() else { return false };
    fields.iter().all(|f| f.data_type() == &DataType::Utf8View)
}

/// Checks the columns of a table at CREATE TABLE.
pub(super) fn check(table: &Table, known: &[Known]) -> Result<()> {
    for column in &table.columns {
        let ColumnSource::Metadata { data_type, key, .. } = &column.source else { continue };
        let Some((_, kept)) = known.iter().find(|(name, _)| name == key) else { continue };
        kept.check(&column.name, key, &data_type.to_arrow("UTC"))?;
    }
    let fields = value_fields(table, "UTC");
    if fields.fields().is_empty() {
        return Err(Error::plan(format!("table '{}' has no column for the value of a message", table.name)));
    }
    // Formats that cannot have these columns say so now.
    MessageDecoder::new(&Format::from_options(&table.options)?, &fields, &fields).map(drop)
}

/// Asks a service where nothing else runs, on a thread and a runtime of its own: the one that asks may be part of another
/// runtime.
#[allow(dead_code, reason = "which connectors ask depends on the build")]
pub(super) fn ask<T: Send + 'static>(
    question: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);
    let work = move || -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::io(format!("a runtime could not be made: {e}")))?;
        let late = || Err(Error::io(format!("no answer within {} s", PATIENCE.as_secs())));
        runtime.block_on(async { tokio::time::timeout(PATIENCE, question).await.unwrap_or_else(|_| late()) })
    };
    let thread = std::thread::Builder::new().name("affluent-probe".into()).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that asked a service has ended")))
}

/// Refuses metadata columns that a sink would have to write and cannot.
pub(super) fn check_written(table: &Table, schema: &Schema, written: &[&str]) -> Result<()> {
    for field in schema.fields() {
        let Some((_, column)) = table.column(field.name()) else { continue };
        let ColumnSource::Metadata { key, .. } = &column.source else { continue };
        if !written.contains(&key.as_str()) {
            return Err(Error::plan(format!("column '{}': metadata '{key}' cannot be written", column.name))
                .with_hint("declare it VIRTUAL: it is then only read"));
        }
    }
    Ok(())
}

/// The column of a sink's rows that has a metadata key.
#[cfg_attr(not(any(feature = "mqtt", feature = "nats")), allow(dead_code, reason = "for brokers' metadata"))]
pub(super) fn written_column(table: &Table, schema: &Schema, wanted: &str) -> Option<usize> {
    schema.fields().iter().position(|field| {
        let source = table.column(field.name()).map(|(_, column)| &column.source);
        matches!(source, Some(ColumnSource::Metadata { key, .. }) if key == wanted)
    })
}

/// The columns of a sink's rows that are part of the value.
pub(super) fn value_columns(table: &Table, schema: &Schema) -> Vec<usize> {
    let physical = |field: &Field| {
        let source = table.column(field.name()).map(|(_, column)| &column.source);
        matches!(source, Some(ColumnSource::Physical { .. }))
    };
    schema.fields().iter().enumerate().filter(|(_, f)| physical(f)).map(|(i, _)| i).collect()
}

/// The physical columns.
fn value_fields(table: &Table, zone: &str) -> SchemaRef {
    let fields = table.columns.iter().filter_map(|c| match &c.source {
        ColumnSource::Physical { data_type, nullable } => {
            Some(Field::new(&c.name, data_type.to_arrow(zone), *nullable))
        }
        _ => None,
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Value(usize),
    Metadata(usize, Kept),
    Rejected,
}

/// The columns of a query over messages.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    table: String,
    format: Format,
    schema: SchemaRef,
    slots: Vec<Slot>,
    /// Slots with metadata that is declared NOT NULL.
    required: Vec<bool>,
    declared: SchemaRef,
    value: SchemaRef,
    rejects: bool,
}

impl Layout {
    pub(super) fn new(request: &ScanRequest, known: &[Known]) -> Result<Self> {
        let table = &request.table;
        let format = Format::from_options(&table.options)?;
        let rejects = request.schema.fields().last().is_some_and(|f| f.name() == REJECTED);
        let declared = value_fields(table, &request.zone);
        let mut value: Vec<Arc<Field>> = Vec::new();
        // Whether a message can be decoded is a matter of all of its fields where that is not a failure.
        if rejects {
            value.extend(declared.fields().iter().cloned());
        }
        let mut slots = Vec::with_capacity(request.projection.len() + 1);
        let mut required = Vec::with_capacity(slots.capacity());
        for &index in &request.projection {
            let lost = || Error::internal(format!("table '{}' has no column {index}", table.name));
            let column = table.columns.get(index).ok_or_else(lost)?;
            required.push(matches!(column.source, ColumnSource::Metadata { nullable: false, .. }));
            slots.push(match &column.source {
                ColumnSource::Metadata { key, .. } => {
                    let at = known.iter().position(|(name, _)| name == key);
                    let at = at.ok_or_else(|| Error::plan(format!("there is no metadata '{key}'")))?;
                    Slot::Metadata(at, known[at].1)
                }
                ColumnSource::Computed(_) => {
                    return Err(Error::internal(format!("computed column '{}' in a scan", column.name)));
                }
                ColumnSource::Physical { .. } => {
                    let at = value.iter().position(|f| *f.name() == column.name);
                    Slot::Value(match at {
                        Some(at) => at,
                        None => {
                            value.push(Arc::new(declared.field_with_name(&column.name)?.clone()));
                            value.len() - 1
                        }
                    })
                }
            });
        }
        if rejects {
            slots.push(Slot::Rejected);
            required.push(false);
        }
        let layout = Self {
            table: table.name.clone(),
            format,
            schema: request.schema.clone(),
            slots,
            required,
            declared,
            value: Arc::new(Schema::new(value)),
            rejects,
        };
        layout.decoder()?;
        Ok(layout)
    }

    /// Whether a query reads this metadata column.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "which ask depends on the build"))]
    pub(super) fn has_metadata(&self, key: usize) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Metadata(k, _) if *k == key))
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn changelog(&self) -> SourceChangelog {
        self.format.source_changelog()
    }

    pub(super) fn format_name(&self) -> &'static str {
        self.format.name()
    }

    pub(super) fn decoder(&self) -> Result<RowDecoder> {
        let value = MessageDecoder::new(&self.format, &self.declared, &self.value)?;
        Ok(RowDecoder { layout: self.clone(), value, rejected: 0 })
    }
}

/// Rows of some messages.
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    pub(super) kinds: Kinds,
    /// The message of each row.
    pub(super) owners: Vec<u32>,
    /// What is wrong with the message behind them.
    pub(super) error: Option<Error>,
    /// Messages that were decoded.
    pub(super) taken: usize,
}

/// Decodes messages.
pub(super) struct RowDecoder {
    layout: Layout,
    value: MessageDecoder,
    rejected: u64,
}

struct Piece {
    batch: RecordBatch,
    kinds: Kinds,
    owners: Vec<u32>,
    wrong: Option<(usize, Error)>,
}

impl RowDecoder {
    /// Messages left out so far.
    pub(super) fn skipped(&self) -> u64 {
        self.value.skipped() + self.rejected
    }

    pub(super) fn decode<M: Message>(&mut self, messages: &[M]) -> Result<Rows> {
        let (mut pieces, mut from, mut error) = (Vec::new(), 0, None);
        let (mut owners, mut taken) = (Vec::new(), messages.len());
        loop {
            let piece = self.piece(messages, from)?;
            if piece.batch.num_rows() > 0 || pieces.is_empty() {
                owners.extend(piece.owners.iter().map(|owner| owner + from as u32));
                pieces.push((piece.batch, piece.kinds));
            }
            let Some((at, e)) = piece.wrong else { break };
            let at = from + at;
            let (true, ErrorKind::Decode, Some(message)) = (self.layout.rejects, e.kind(), messages.get(at))
            else {
                error = Some(e.context(format!("table '{}'", self.layout.table)));
                taken = at;
                break;
            };
            pieces.push((self.reject(message, &e)?, Kinds::Append));
            owners.push(at as u32);
            self.rejected += 1;
            from = at + 1;
        }
        let (batch, kinds) = match pieces.len() {
            1 => pieces.remove(0),
            _ => {
                let batches: Vec<&RecordBatch> = pieces.iter().map(|(batch, _)| batch).collect();
                let batch = concat_batches(&self.layout.schema, batches)?;
                let append = pieces.iter().all(|(_, kinds)| matches!(kinds, Kinds::Append));
                let each = |(batch, kinds): &(RecordBatch, Kinds)| {
                    (0..batch.num_rows()).map(|row| kinds.get(row)).collect::<Vec<Kind>>()
                };
                let kinds = match append {
                    true => Kinds::Append,
                    false => Kinds::Changes(pieces.iter().flat_map(each).collect()),
                };
                (batch, kinds)
            }
        };
        Ok(Rows { batch, kinds, owners, error, taken })
    }

    /// The rows from a message on, up to the first one that is wrong.
    fn piece<M: Message>(&mut self, messages: &[M], from: usize) -> Result<Piece> {
        let part = messages.get(from..).unwrap_or_default();
        let lacks = part.iter().enumerate().find_map(|(i, m)| Some((i, m.lacks()?)));
        let part = lacks.as_ref().map_or(part, |(at, _)| &part[..*at]);
        let lacking = lacks.map(|(at, what)| {
            let place = messages.get(from + at).map_or_else(String::new, Message::place);
            (at, Error::decode(format!("{place}: {what}")))
        });
        let values: Vec<Option<&[u8]>> = part.iter().map(Message::value).collect();
        let place = |i: usize| part.get(i).map_or_else(String::new, Message::place);
        let decoded = self.value.decode(&values, true, &place)?;
        let layout = &self.layout;
        let mut wrong = decoded.error.map(|e| (decoded.taken, e)).or(lacking);
        let mut kinds = decoded.kinds;
        let mut owners: Vec<u32> = match decoded.messages {
            Some(messages) => messages,
            None => (0..decoded.batch.num_rows() as u32).collect(),
        };
        let mut columns = Vec::with_capacity(layout.slots.len());
        // The first message without what the table declares; the format sees to its own fields.
        let mut null: Option<(usize, String)> = None;
        for ((slot, required), field) in layout.slots.iter().zip(&layout.required).zip(layout.schema.fields())
        {
            let column = match slot {
                Slot::Value(at) => decoded.batch.column(*at).clone(),
                Slot::Metadata(key, kept) => metadata(part, &owners, *key, *kept, field)?,
                Slot::Rejected => new_null_array(rejected_field().data_type(), owners.len()),
            };
            if *required && let Some(row) = (0..column.len()).find(|row| column.is_null(*row)) {
                let owner = owners.get(row).map_or(0, |owner| *owner as usize);
                if null.as_ref().is_none_or(|(first, _)| owner < *first) {
                    null = Some((owner, field.name().clone()));
                }
            }
            columns.push(column);
        }
        if let Some((owner, name)) = null {
            // No row of its message, and none behind it.
            let kept = owners.partition_point(|o| (*o as usize) < owner);
            columns.iter_mut().for_each(|column| *column = column.slice(0, kept));
            kinds = kinds.slice(0, kept);
            owners.truncate(kept);
            let place = place(owner);
            let what = format!("{place}: column '{name}' is NULL, it is declared NOT NULL");
            wrong = Some((owner, Error::decode(what)));
        }
        let batch = batch(&self.layout.schema, columns, owners.len())?;
        Ok(Piece { batch, kinds, owners, wrong })
    }

    /// A row that is nothing but a message that could not be decoded.
    fn reject<M: Message>(&self, message: &M, e: &Error) -> Result<RecordBatch> {
        let place = message.place();
        let text = e.message().strip_prefix(place.as_str()).unwrap_or(e.message());
        let text = text.trim_start_matches([',', ':', ' ']).to_string();
        let raw = message.value().unwrap_or_default().to_vec();
        let rejected = rejected_column(&[Rejected { message: text, raw, position: message.position() }]);
        let fields = self.layout.schema.fields();
        let own = fields.get(..fields.len().saturating_sub(1)).unwrap_or_default();
        let columns = own.iter().map(|f| new_null_array(f.data_type(), 1)).chain([rejected]).collect();
        batch(&self.layout.schema, columns, 1)
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// One metadata column.
fn metadata<M: Message>(
    messages: &[M],
    owners: &[u32],
    key: usize,
    kept: Kept,
    field: &Field,
) -> Result<ArrayRef> {
    let values = || owners.iter().map(|o| messages.get(*o as usize).map_or(Value::None, |m| m.metadata(key)));
    let number = |value: Value<'_>| match value {
        Value::Number(n) | Value::Moment(n) => Some(n),
        _ => None,
    };
    let natural: ArrayRef = match kept {
        Kept::Text => {
            let mut texts = StringViewBuilder::with_capacity(owners.len());
            values().for_each(|value| match value {
                Value::Text(text) => texts.append_value(text),
                _ => texts.append_null(),
            });
            Arc::new(texts.finish())
        }
        Kept::Int => {
            Arc::new(values().map(|v| number(v).and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>())
        }
        Kept::Long => Arc::new(values().map(number).collect::<Int64Array>()),
        Kept::Moment => {
            let moments: TimestampMillisecondArray = values().map(number).collect();
            Arc::new(moments.with_timezone("UTC"))
        }
        Kept::Bool => {
            let bools = values().map(|value| match value {
                Value::Bool(b) => Some(b),
                _ => None,
            });
            Arc::new(bools.collect::<BooleanArray>())
        }
        Kept::Map => {
            let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
            let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
            for value in values() {
                if let Value::Map(entries) = value {
                    for (name, text) in entries {
                        maps.keys().append_value(name);
                        maps.values().append_value(text);
                    }
                    maps.append(true)?;
                } else {
                    maps.append(false)?;
                }
            }
            Arc::new(maps.finish())
        }
    };
    Ok(if natural.data_type() == field.data_type() { natural } else { cast(&natural, field.data_type())? })
}

/// A text made of the columns of a row: `{id}-{version}`.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "which sinks have one depends on the build")]
pub(super) struct RowText(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Column(usize),
}

#[allow(dead_code, reason = "as above")]
impl RowText {
    /// Reads a text that names at least one column of the rows.
    pub(super) fn parse(text: &str, schema: &Schema) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, inner) = (&rest[..at], &rest[at + 1..]);
            let end = inner.find('}').ok_or_else(|| Error::option(format!("'{text}': '{{' has no '}}'")))?;
            let name = &inner[..end];
            let column = schema.index_of(name).map_err(|_| {
                let error = Error::option(format!("'{text}': there is no column '{name}'"));
                let names = schema.fields().iter().map(|f| f.name().as_str());
                match crate::nearest::nearest(name, names) {
                    Some(near) => error.with_hint(format!("did you mean '{{{near}}}'?")),
                    None => error,
                }
            })?;
            let data_type = schema.field(column).data_type();
            if data_type.is_nested() || matches!(data_type, DataType::BinaryView) {
                return Err(Error::option(format!("'{text}': column '{name}' is no single value"))
                    .with_hint("name columns of numbers, texts or times"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            parts.push(Part::Column(column));
            rest = &inner[end + 1..];
        }
        if parts.is_empty() {
            return Err(Error::option(format!("'{text}' names no column")).with_hint("write {column}"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        Ok(Self(parts))
    }

    /// The values of columns, with something between them.
    pub(super) fn of_columns(columns: &[&str], between: &str, schema: &Schema) -> Result<Self> {
        let named: Vec<String> = columns.iter().map(|name| format!("{{{name}}}")).collect();
        let mut parts = Vec::new();
        for name in &named {
            if !parts.is_empty() && !between.is_empty() {
                parts.push(Part::Text(between.to_string()));
            }
            parts.extend(Self::parse(name, schema)?.0);
        }
        Ok(Self(parts))
    }

    /// The text of each row. Nothing distinguishes a NULL from an empty text, so a NULL is an error.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Vec<String>> {
        let mut texts = vec![String::new(); rows.num_rows()];
        for part in &self.0 {
            match part {
                Part::Text(text) => texts.iter_mut().for_each(|t| t.push_str(text)),
                Part::Column(at) => {
                    let column = rows.column(*at);
                    if column.null_count() > 0 {
                        let name = rows.schema_ref().field(*at).name();
                        return Err(Error::execution(format!(
                            "a row has NULL in column '{name}' of its key"
                        ))
                        .with_hint(format!("filter such rows out: WHERE {name} IS NOT NULL")));
                    }
                    let column = cast(column, &DataType::Utf8)?;
                    let column = arrow::array::AsArray::as_string::<i32>(&column);
                    texts.iter_mut().zip(column.iter()).for_each(|(t, v)| t.push_str(v.unwrap_or_default()));
                }
            }
        }
        Ok(texts)
    }
}
