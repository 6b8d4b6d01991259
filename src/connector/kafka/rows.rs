//! Records of a topic → rows: value, key and metadata of many records at once.

use std::sync::Arc;

use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, MapArray, RecordBatch, RecordBatchOptions, StringViewArray,
    StructArray, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat_batches, interleave, take};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedHeaders, Headers};

use super::options::Records;
use crate::catalog::{ColumnSource, Table};
use crate::connector::ScanRequest;
use crate::connector::filled::filled;
use crate::dead_letter::{REJECTED, Rejected, rejected_column, rejected_field};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Kind, Kinds};
use crate::format::message::MessageDecoder;

/// Metadata that a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
}

/// Its keys.
pub(super) const METADATA: &[&str] =
    &["topic", "partition", "offset", "timestamp", "timestamp-type", "headers"];

impl Metadata {
    pub(super) fn of(key: &str) -> Option<Self> {
        Some(match key {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "timestamp-type" => Self::TimestampType,
            "headers" => Self::Headers,
            _ => return None,
        })
    }

    /// Checks that a column can have the declared type.
    pub(super) fn check(self, column: &str, key: &str, declared: &DataType) -> Result<()> {
        let (fits, wanted) = match self {
            Self::Topic | Self::TimestampType => (matches!(declared, DataType::Utf8View), "STRING"),
            Self::Partition => (matches!(declared, DataType::Int32 | DataType::Int64), "INT"),
            Self::Offset => (matches!(declared, DataType::Int64), "BIGINT"),
            Self::Timestamp => (matches!(declared, DataType::Timestamp(..)), "TIMESTAMP_LTZ(3)"),
            Self::Headers => (is_headers(declared), "MAP<STRING, BYTES>"),
        };
        match fits {
            true => Ok(()),
            false => Err(Error::plan(format!("column '{column}': metadata '{key}' is {wanted}"))),
        }
    }
}

fn is_headers(declared: &DataType) -> bool {
    matches!(declared, DataType::Map(entries, _) if matches!(entries.data_type(), DataType::Struct(fields)
        if fields.len() == 2
            && fields[0].data_type() == &DataType::Utf8View
            && matches!(fields[1].data_type(), DataType::BinaryView | DataType::Utf8View)))
}

/// One record, while it is decoded.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) offset: i64,
    pub(super) timestamp: Timestamp,
    pub(super) headers: Option<&'a BorrowedHeaders>,
}

/// Records of one partition that follow each other.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) records: usize,
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    /// Column of the value.
    Value(usize),
    /// Column of the key.
    Key(usize),
    /// Column of the value, or of the key where there is no value.
    Either(usize, usize),
    Metadata(Metadata),
    /// What could not be decoded.
    Rejected,
}

/// The columns of a query over topics.
#[derive(Debug)]
pub(super) struct Layout {
    records: Records,
    schema: SchemaRef,
    slots: Vec<Slot>,
    value: SchemaRef,
    value_declared: SchemaRef,
    key: SchemaRef,
    key_declared: SchemaRef,
    /// A record without a value takes the row of its key away.
    upsert: bool,
    rejects: bool,
    zone: String,
    pub(super) wants_timestamp: bool,
    pub(super) wants_headers: bool,
}

/// The named columns as a format's fields, without what their names begin with.
pub(super) fn fields_of(table: &Table, names: &[String], prefix: &str, zone: &str) -> SchemaRef {
    let field = |name: &String| {
        let (_, column) = table.column(name)?;
        let ColumnSource::Physical { data_type, nullable } = &column.source else { return None };
        let short = name.strip_prefix(prefix).unwrap_or(name);
        Some(Field::new(short, data_type.to_arrow(zone), *nullable))
    };
    Arc::new(Schema::new(names.iter().filter_map(field).collect::<Vec<_>>()))
}

impl Layout {
    pub(super) fn new(request: &ScanRequest, records: Records, upsert: bool) -> Result<Self> {
        let table = &request.table;
        let rejects = request.schema.fields().last().is_some_and(|f| f.name() == REJECTED);
        let value_declared = fields_of(table, &records.value_columns, "", &request.zone);
        let key_declared = fields_of(table, &records.key_columns, &records.prefix, &request.zone);
        let (mut value, mut key) = (Vec::new(), Vec::new());
        // Whether a record can be decoded is a matter of all of its fields where that is not a failure.
        if rejects {
            value.extend(value_declared.fields().iter().cloned());
            key.extend(key_declared.fields().iter().cloned());
        }
        let position = |columns: &mut Vec<Arc<Field>>, declared: &SchemaRef, at: usize| -> Result<usize> {
            let field = declared.fields().get(at).ok_or_else(|| Error::internal("a column of no record"))?;
            Ok(columns.iter().position(|f| f.name() == field.name()).unwrap_or_else(|| {
                columns.push(field.clone());
                columns.len() - 1
            }))
        };
        let mut slots = Vec::with_capacity(request.projection.len() + 1);
        for &index in &request.projection {
            let column = table
                .columns
                .get(index)
                .ok_or_else(|| Error::internal(format!("table '{}' has no column {index}", table.name)))?;
            let in_value = records.value_columns.iter().position(|c| *c == column.name);
            let in_key = records.key_columns.iter().position(|c| *c == column.name);
            slots.push(match (&column.source, in_value, in_key) {
                (ColumnSource::Metadata { key, .. }, ..) => Slot::Metadata(
                    Metadata::of(key)
                        .ok_or_else(|| Error::plan(format!("connector 'kafka' has no metadata '{key}'")))?,
                ),
                (ColumnSource::Computed(_), ..) => {
                    return Err(Error::internal(format!("computed column '{}' in a scan", column.name)));
                }
                (_, Some(v), Some(k)) if upsert => Slot::Either(
                    position(&mut value, &value_declared, v)?,
                    position(&mut key, &key_declared, k)?,
                ),
                (_, Some(v), _) => Slot::Value(position(&mut value, &value_declared, v)?),
                (_, None, Some(k)) => Slot::Key(position(&mut key, &key_declared, k)?),
                (_, None, None) => {
                    return Err(Error::internal(format!(
                        "column '{}' is in no part of a record",
                        column.name
                    )));
                }
            });
        }
        if rejects {
            slots.push(Slot::Rejected);
        }
        let wants = |metadata| slots.contains(&Slot::Metadata(metadata));
        Ok(Self {
            wants_timestamp: wants(Metadata::Timestamp) || wants(Metadata::TimestampType),
            wants_headers: wants(Metadata::Headers),
            records,
            schema: request.schema.clone(),
            slots,
            value: Arc::new(Schema::new(value)),
            value_declared,
            key: Arc::new(Schema::new(key)),
            key_declared,
            upsert,
            rejects,
            zone: request.zone.clone(),
        })
    }

    /// A decoder of its own for one task.
    pub(super) fn decoder(self: &Arc<Self>) -> Result<RowDecoder> {
        let key = match &self.records.key {
            // An unread key is not decoded, unless it may be a dead letter.
            Some(_) if self.key.fields().is_empty() => None,
            Some(format) => Some(MessageDecoder::new(format, &self.key_declared, &self.key)?),
            None => None,
        };
        Ok(RowDecoder {
            value: MessageDecoder::new(&self.records.value, &self.value_declared, &self.value)?,
            key,
            layout: self.clone(),
            rejected: 0,
        })
    }

    pub(super) fn format_name(&self) -> &'static str {
        self.records.value.name()
    }

    pub(super) fn value_format(&self) -> &crate::format::Format {
        &self.records.value
    }
}

/// Rows of some records.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    pub(super) kinds: Kinds,
    /// Rows of each run.
    pub(super) runs: Vec<usize>,
    /// What is wrong with the record behind them.
    pub(super) error: Option<Error>,
    /// Records that were decoded; where one is wrong, its number.
    pub(super) taken: usize,
}

/// Decodes records.
pub(super) struct RowDecoder {
    layout: Arc<Layout>,
    value: MessageDecoder,
    key: Option<MessageDecoder>,
    rejected: u64,
}

impl std::fmt::Debug for RowDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowDecoder").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Rows of a piece of the records.
struct Piece {
    batch: RecordBatch,
    kinds: Kinds,
    /// The record of each row, counted from the start of all.
    records: Vec<u32>,
    /// The record that could not be decoded.
    wrong: Option<(usize, Error, bool)>,
}

impl RowDecoder {
    /// Records left out so far.
    pub(super) fn skipped(&self) -> u64 {
        self.value.skipped() + self.key.as_ref().map_or(0, MessageDecoder::skipped) + self.rejected
    }

    /// The rows of records that lie in these runs.
    pub(super) fn decode(&mut self, records: &[Record<'_>], runs: &[Run]) -> Result<Rows> {
        let (mut pieces, mut owners, mut from, mut error) = (Vec::new(), Vec::new(), 0, None);
        let mut taken = records.len();
        loop {
            let piece = self.piece(records, from..records.len(), runs)?;
            if piece.batch.num_rows() > 0 || pieces.is_empty() {
                pieces.push((piece.batch, piece.kinds));
                owners.extend(piece.records);
            }
            let Some((at, e, of_key)) = piece.wrong else { break };
            if !self.layout.rejects || e.kind() != ErrorKind::Decode {
                error = Some(e);
                taken = at;
                break;
            }
            pieces.push((self.reject(&records[at], at, runs, &e, of_key)?, Kinds::Append));
            owners.push(at as u32);
            self.rejected += 1;
            from = at + 1;
        }
        let mut counts = vec![0; runs.len()];
        let (mut run, mut behind) = (0, runs.first().map_or(0, |r| r.records));
        for owner in owners {
            while owner as usize >= behind && run + 1 < runs.len() {
                run += 1;
                behind += runs[run].records;
            }
            if let Some(count) = counts.get_mut(run) {
                *count += 1;
            }
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
        Ok(Rows { batch, kinds, runs: counts, error, taken })
    }

    /// A row that is nothing but a record that could not be decoded.
    fn reject(
        &self,
        record: &Record<'_>,
        at: usize,
        runs: &[Run],
        e: &Error,
        of_key: bool,
    ) -> Result<RecordBatch> {
        let run = run_of(runs, at);
        let place = words(run, record.offset);
        let message = e.message().strip_prefix(place.as_str()).unwrap_or(e.message());
        let message = message.trim_start_matches([',', ':', ' ']).to_string();
        let raw = if of_key { record.key } else { record.value }.unwrap_or_default().to_vec();
        let position =
            run.map_or_else(String::new, |r| format!("{}/{}@{}", r.topic, r.partition, record.offset));
        let rejected = rejected_column(&[Rejected { message, raw, position }]);
        let fields = self.layout.schema.fields();
        let own = &fields[..fields.len().saturating_sub(1)];
        let columns = own.iter().map(|f| new_null_array(f.data_type(), 1)).chain([rejected]).collect();
        batch(&self.layout.schema, columns, 1)
    }

    /// The rows up to the first record that is wrong.
    fn piece(
        &mut self,
        records: &[Record<'_>],
        range: std::ops::Range<usize>,
        runs: &[Run],
    ) -> Result<Piece> {
        let (from, mut end) = (range.start, range.end);
        let part = &records[from..end];
        let place = |i: usize| words(run_of(runs, from + i), records.get(from + i).map_or(0, |r| r.offset));
        let values: Vec<Option<&[u8]>> = part.iter().map(|r| r.value).collect();
        let value = self.value.decode(&values, true, &place)?;
        let mut wrong = None;
        if let Some(e) = value.error {
            end = from + value.taken;
            wrong = Some((end, e, false));
        }
        let part = &records[from..end];
        let mut key = None;
        if let Some(decoder) = &mut self.key {
            let keys: Vec<Option<&[u8]>> = part.iter().map(|r| r.key).collect();
            let decoded = decoder.decode(&keys, true, &|i| format!("{}, key", place(i)))?;
            if let Some(e) = decoded.error {
                return self.up_to(records, from..from + decoded.taken, runs, (e, true));
            }
            key = Some(decoded);
        }
        if self.layout.upsert
            && let Some(at) = part.iter().position(|r| r.key.is_none())
        {
            let e = Error::decode(format!("{}: the record has no key", place(at))).with_hint(
                "upsert-kafka finds the row of a record by its key; connector 'kafka' reads records without one",
            );
            return self.up_to(records, from..from + at, runs, (e, false));
        }
        let decoded = Decoded {
            value: &value.batch,
            value_rows: value.messages.as_deref(),
            key: key.as_ref().map(|k| &k.batch),
            key_rows: key.as_ref().and_then(|k| k.messages.as_deref()),
        };
        let (batch, kinds, records) =
            self.layout.assemble(part, from, runs, &decoded, value.kinds.clone())?;
        Ok(Piece { batch, kinds, records, wrong })
    }

    /// The rows of these records; the one behind them is wrong.
    fn up_to(
        &mut self,
        records: &[Record<'_>],
        range: std::ops::Range<usize>,
        runs: &[Run],
        (e, of_key): (Error, bool),
    ) -> Result<Piece> {
        let end = range.end;
        let mut piece = self.piece(records, range, runs)?;
        piece.wrong.get_or_insert((end, e, of_key));
        Ok(piece)
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn run_of(runs: &[Run], at: usize) -> Option<&Run> {
    let mut behind = 0;
    runs.iter().find(|run| {
        behind += run.records;
        at < behind
    })
}

/// Where a record stands, for people.
fn words(run: Option<&Run>, offset: i64) -> String {
    run.map_or_else(String::new, |r| {
        format!("topic '{}', partition {}, offset {offset}", r.topic, r.partition)
    })
}

/// What the formats gave for some records.
struct Decoded<'a> {
    value: &'a RecordBatch,
    /// The record of each row; `None`: the same numbers.
    value_rows: Option<&'a [u32]>,
    key: Option<&'a RecordBatch>,
    key_rows: Option<&'a [u32]>,
}

impl Layout {
    /// Puts the columns together. `from`: the number of the first of these records among all.
    fn assemble(
        &self,
        part: &[Record<'_>],
        from: usize,
        runs: &[Run],
        decoded: &Decoded<'_>,
        kinds: Kinds,
    ) -> Result<(RecordBatch, Kinds, Vec<u32>)> {
        // The record of each row, counted from the start of the part, and the row of the value.
        let mut owners: Vec<u32> = match decoded.value_rows {
            Some(rows) => rows.to_vec(),
            None => (0..decoded.value.num_rows() as u32).collect(),
        };
        let mut value_rows: Option<Vec<Option<u32>>> = None;
        let mut kinds = kinds;
        if self.upsert && part.iter().any(|r| r.value.is_none()) {
            let mut all: Vec<(u32, Option<u32>)> =
                owners.iter().enumerate().map(|(row, owner)| (*owner, Some(row as u32))).collect();
            let gone = part.iter().enumerate().filter(|(_, r)| r.value.is_none());
            all.extend(gone.map(|(at, _)| (at as u32, None)));
            all.sort_unstable_by_key(|(owner, _)| *owner);
            let kind =
                |(_, row): &(u32, Option<u32>)| if row.is_some() { Kind::Insert } else { Kind::Delete };
            kinds = Kinds::Changes(all.iter().map(kind).collect());
            owners = all.iter().map(|(owner, _)| *owner).collect();
            value_rows = Some(all.into_iter().map(|(_, row)| row).collect());
        }
        let rows = owners.len();
        let key_indices = || -> UInt32Array {
            let mut of_record: Vec<Option<u32>> = vec![None; part.len()];
            match decoded.key_rows {
                Some(rows) => rows.iter().enumerate().for_each(|(row, at)| {
                    if let Some(slot) = of_record.get_mut(*at as usize) {
                        *slot = Some(row as u32);
                    }
                }),
                None => of_record.iter_mut().enumerate().for_each(|(at, slot)| *slot = Some(at as u32)),
            }
            owners.iter().map(|owner| of_record.get(*owner as usize).copied().flatten()).collect()
        };
        let no_key = || Error::internal("a column of a key that was not decoded");
        let key_column = |at: usize| -> Result<ArrayRef> {
            let column = decoded.key.ok_or_else(no_key)?.column(at);
            let same = decoded.key_rows.is_none()
                && rows == column.len()
                && value_rows.is_none()
                && decoded.value_rows.is_none();
            Ok(if same { column.clone() } else { take(column, &key_indices(), None)? })
        };
        let mut columns = Vec::with_capacity(self.slots.len());
        for (slot, field) in self.slots.iter().zip(self.schema.fields()) {
            let column = match slot {
                Slot::Value(at) => match &value_rows {
                    None => decoded.value.column(*at).clone(),
                    Some(of) => {
                        filled(take(decoded.value.column(*at), &UInt32Array::from(of.clone()), None)?, field)?
                    }
                },
                Slot::Key(at) => key_column(*at)?,
                Slot::Either(value, key) => match &value_rows {
                    None => decoded.value.column(*value).clone(),
                    Some(of) => {
                        let (value, key) =
                            (decoded.value.column(*value), decoded.key.ok_or_else(no_key)?.column(*key));
                        let keys = key_indices();
                        let from = of.iter().zip(keys.iter()).map(|(row, key)| match row {
                            Some(row) => (0, *row as usize),
                            None => (1, key.unwrap_or_default() as usize),
                        });
                        interleave(&[value.as_ref(), key.as_ref()], &from.collect::<Vec<_>>())?
                    }
                },
                Slot::Metadata(metadata) => self.metadata(*metadata, part, from, runs, &owners, field)?,
                Slot::Rejected => new_null_array(rejected_field().data_type(), rows),
            };
            if column.null_count() > 0 && !field.is_nullable() {
                let row = (0..rows).find(|row| column.is_null(*row)).unwrap_or(0);
                let at = owners.get(row).map_or(0, |o| *o as usize);
                let place = words(run_of(runs, from + at), part.get(at).map_or(0, |r| r.offset));
                return Err(Error::decode(format!(
                    "{place}: column '{}' is NULL, it is declared NOT NULL",
                    field.name()
                )));
            }
            columns.push(column);
        }
        owners.iter_mut().for_each(|owner| *owner += from as u32);
        Ok((batch(&self.schema, columns, rows)?, kinds, owners))
    }

    fn metadata(
        &self,
        metadata: Metadata,
        part: &[Record<'_>],
        from: usize,
        runs: &[Run],
        owners: &[u32],
        field: &Field,
    ) -> Result<ArrayRef> {
        let records = || owners.iter().filter_map(|owner| part.get(*owner as usize));
        // Owners ascend, and so do the runs that they are in.
        let run_numbers = || -> Vec<u32> {
            let (mut run, mut behind) = (0, runs.first().map_or(0, |r| r.records));
            let number = |owner: &u32| {
                while from + *owner as usize >= behind && run + 1 < runs.len() {
                    run += 1;
                    behind += runs[run].records;
                }
                run as u32
            };
            owners.iter().map(number).collect()
        };
        let natural: ArrayRef = match metadata {
            Metadata::Topic => {
                let names: ArrayRef =
                    Arc::new(StringViewArray::from_iter_values(runs.iter().map(|r| &*r.topic)));
                take(&names, &UInt32Array::from(run_numbers()), None)?
            }
            Metadata::Partition => {
                let number = |run: u32| runs.get(run as usize).map_or(0, |r| r.partition);
                Arc::new(Int32Array::from_iter_values(run_numbers().into_iter().map(number)))
            }
            Metadata::Offset => Arc::new(Int64Array::from_iter_values(records().map(|r| r.offset))),
            Metadata::Timestamp => {
                let millis = TimestampMillisecondArray::from_iter(records().map(|r| r.timestamp.to_millis()));
                return moment(millis, field.data_type(), &self.zone);
            }
            Metadata::TimestampType => {
                let words = ["NoTimestampType", "CreateTime", "LogAppendTime"];
                let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(words));
                let number = |r: &Record<'_>| match r.timestamp {
                    Timestamp::NotAvailable => 0,
                    Timestamp::CreateTime(_) => 1,
                    Timestamp::LogAppendTime(_) => 2,
                };
                take(&names, &UInt32Array::from_iter_values(records().map(number)), None)?
            }
            Metadata::Headers => return headers(records(), field.data_type()),
        };
        Ok(if natural.data_type() == field.data_type() {
            natural
        } else {
            cast(&natural, field.data_type())?
        })
    }
}

/// Points in time as the column declares them; without a zone, as clocks in the session's zone show them.
fn moment(millis: TimestampMillisecondArray, declared: &DataType, zone: &str) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, of) = declared else {
        return Err(Error::internal("a timestamp that is none"));
    };
    let local: ArrayRef = match of {
        Some(_) => Arc::new(millis.with_timezone("UTC")),
        None if zone == "UTC" => Arc::new(millis),
        None => {
            let zone: chrono_tz::Tz =
                zone.parse().map_err(|_| Error::internal(format!("time zone '{zone}' is not known")))?;
            let shifted = millis.unary_opt::<_, arrow::datatypes::TimestampMillisecondType>(|ms| {
                use chrono::Offset;
                let time = chrono::DateTime::from_timestamp_millis(ms)?.with_timezone(&zone);
                Some(ms + i64::from(time.offset().fix().local_minus_utc()) * 1000)
            });
            Arc::new(shifted)
        }
    };
    Ok(if local.data_type() == declared { local } else { cast(&local, &to_unit(*unit, of.clone()))? })
}

fn to_unit(unit: TimeUnit, zone: Option<Arc<str>>) -> DataType {
    DataType::Timestamp(unit, zone)
}

/// Headers as a map; of those with one name the last counts.
fn headers<'a>(records: impl Iterator<Item = &'a Record<'a>>, declared: &DataType) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = declared else {
        return Err(Error::internal("headers that are no map"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("headers that are no map"));
    };
    let (mut names, mut values, mut lengths) =
        (StringViewBuilder::new(), BinaryViewBuilder::new(), Vec::new());
    let mut own: Vec<(&str, Option<&[u8]>)> = Vec::new();
    for record in records {
        own.clear();
        for header in record.headers.into_iter().flat_map(|h| h.iter()) {
            match own.iter_mut().find(|(name, _)| *name == header.key) {
                Some(known) => known.1 = header.value,
                None => own.push((header.key, header.value)),
            }
        }
        for (name, value) in &own {
            names.append_value(name);
            values.append_option(*value);
        }
        lengths.push(own.len());
    }
    let names: ArrayRef = Arc::new(names.finish());
    let values: ArrayRef = Arc::new(values.finish());
    let values = match fields.get(1).map(|f| f.data_type()) {
        Some(wanted) if wanted != values.data_type() => cast(&values, wanted)?,
        _ => values,
    };
    let structs = StructArray::new(Fields::from(fields.to_vec()), vec![names, values], None);
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, structs, None, *sorted)?))
}
