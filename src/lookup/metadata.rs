//! Metadata columns of lookup tables: how a lookup ended, as data of the row.
//!
//! A query that reads them sees outcomes as columns. For it, every key that was asked for has a row: the rows
//! that were found, or one with nothing but the key, as in Flink's HTTP connector:
//! ```text
//!   id  brand  outcome  error-kind
//!   7   acme   ok       NULL
//!   8   NULL   miss     NULL
//!   9   NULL   error    timeout
//! ```
//! So an INNER JOIN keeps such rows, too, and `WHERE outcome = 'ok'` leaves them out. Queries that do not read
//! metadata pay nothing: their rows have no such columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};

use super::answer::Failure;
use super::backend::LookupRequest;
pub use crate::contract::backend::{KEYS, Metadata, MetadataKind};
use crate::error::{Error, Result};

/// What is known of one answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    pub(super) outcome: &'static str,
    pub(super) failure: Option<&'a Failure>,
    pub(super) attempts: u32,
    pub(super) fetched_at: Option<i64>,
    pub(super) status: Option<u16>,
    pub(super) headers: &'a [(String, Vec<String>)],
}

impl LookupRequest {
    /// Rows with their metadata, one row at least for each of the keys: key `i` has the rows
    /// `offsets[i]..offsets[i + 1]` and the facts `facts[i]`. The offsets of the result come second.
    pub(super) fn with_metadata(
        &self,
        schema: &SchemaRef,
        keys: &[ArrayRef],
        rows: &RecordBatch,
        offsets: &[u32],
        facts: &[Facts<'_>],
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let mut places: Vec<Option<u32>> = Vec::with_capacity(rows.num_rows() + facts.len());
        let mut owners: Vec<u32> = Vec::with_capacity(places.capacity());
        let mut ends = vec![0u32];
        for (key, range) in offsets.windows(2).enumerate() {
            let before = places.len();
            places.extend((range[0]..range[1]).map(Some));
            if places.len() == before {
                places.push(None);
            }
            owners.resize(places.len(), key as u32);
            ends.push(places.len() as u32);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        let take_rows = UInt32Array::from(places);
        for (index, column) in rows.columns().iter().enumerate() {
            let key = self.keys.iter().position(|k| *k == index).and_then(|k| keys.get(k));
            columns.push(match key {
                Some(key) => {
                    let place = |(place, owner): (Option<u32>, &u32)| match place {
                        Some(row) => (0, row as usize),
                        None => (1, *owner as usize),
                    };
                    let places: Vec<_> = take_rows.iter().zip(&owners).map(place).collect();
                    interleave(&[column.as_ref(), key.as_ref()], &places)?
                }
                None if column.is_empty() => new_null_array(column.data_type(), take_rows.len()),
                None => take(column, &take_rows, None)?,
            });
        }
        let take_facts = UInt32Array::from(owners);
        for metadata in &self.metadata {
            columns.push(take(&values(metadata, facts)?, &take_facts, None)?);
        }
        Ok((RecordBatch::try_new(schema.clone(), columns)?, ends))
    }
}

impl LookupRequest {
    /// Rows with metadata whose outcome is another by now.
    pub(super) fn relabelled(&self, rows: RecordBatch, facts: &Facts<'_>) -> RecordBatch {
        if self.metadata.is_empty() {
            return rows;
        }
        let mut columns = rows.columns().to_vec();
        for (metadata, column) in
            self.metadata.iter().zip(columns.iter_mut().skip(self.schema.fields().len()))
        {
            use MetadataKind::{Attempts, ErrorKind, ErrorString, Outcome};
            if matches!(metadata.kind, Attempts | ErrorKind | ErrorString | Outcome)
                && let Ok(value) = values(metadata, std::slice::from_ref(facts))
                && let Ok(value) = take(&value, &UInt32Array::from(vec![0; rows.num_rows()]), None)
            {
                *column = value;
            }
        }
        RecordBatch::try_new(rows.schema(), columns).unwrap_or(rows)
    }
}

/// One value an answer.
fn values(metadata: &Metadata, facts: &[Facts<'_>]) -> Result<ArrayRef> {
    let facts = facts.iter();
    let values: ArrayRef = match metadata.kind {
        MetadataKind::Outcome => Arc::new(StringArray::from_iter(facts.map(|f| Some(f.outcome)))),
        MetadataKind::ErrorKind => {
            Arc::new(StringArray::from_iter(facts.map(|f| f.failure.map(|x| x.kind.as_str()))))
        }
        MetadataKind::ErrorString => {
            Arc::new(StringArray::from_iter(facts.map(|f| f.failure.map(|x| x.message.as_str()))))
        }
        MetadataKind::Attempts => {
            Arc::new(Int32Array::from_iter(facts.map(|f| i32::try_from(f.attempts).ok())))
        }
        MetadataKind::FetchedAt => {
            Arc::new(TimestampMillisecondArray::from_iter(facts.map(|f| f.fetched_at)).with_timezone("UTC"))
        }
        MetadataKind::Status => {
            let status = |f: &Facts<'_>| match f.failure.map(|x| x.kind) {
                Some(super::FailureKind::Status(code)) => Some(i32::from(code)),
                _ => f.status.map(i32::from),
            };
            Arc::new(Int32Array::from_iter(facts.map(status)))
        }
        MetadataKind::Headers => return headers(metadata.field.data_type(), facts),
    };
    Ok(cast(&values, metadata.field.data_type())?)
}

/// The headers of answers as a map of lists; NULL without headers.
fn headers<'a>(to: &DataType, facts: impl Iterator<Item = &'a Facts<'a>>) -> Result<ArrayRef> {
    let not_a_map = || Error::internal("headers are a map from text to a list of texts");
    let DataType::Map(entries, sorted) = to else { return Err(not_a_map()) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(not_a_map()) };
    let [key, value] = fields.as_ref() else { return Err(not_a_map()) };
    let DataType::List(item) = value.data_type() else { return Err(not_a_map()) };
    let (mut names, mut texts): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut of_entry, mut of_row, mut valid) = (vec![0usize], vec![0usize], Vec::new());
    let all: Vec<&[(String, Vec<String>)]> = facts.map(|f| f.headers).collect();
    for headers in &all {
        valid.push(!headers.is_empty());
        for (name, values) in *headers {
            names.push(name);
            texts.extend(values.iter().map(String::as_str));
            of_entry.push(values.len());
        }
        of_row.push(headers.len());
    }
    let lengths = |lengths: Vec<usize>| OffsetBuffer::from_lengths(lengths.into_iter().skip(1));
    let texts = cast(&StringArray::from(texts), item.data_type())?;
    let lists = ListArray::try_new(item.clone(), lengths(of_entry), texts, None)?;
    let names = cast(&StringArray::from(names), key.data_type())?;
    let structs = StructArray::try_new(fields.clone(), vec![names, Arc::new(lists)], None)?;
    let nulls = NullBuffer::from(valid);
    Ok(Arc::new(MapArray::try_new(entries.clone(), lengths(of_row), structs, Some(nulls), *sorted)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::Field;
    use arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::lookup::FailureKind;
    use crate::lookup::script::{dim_rows, request};

    #[test]
    fn every_key_has_a_row_that_says_how_it_ended() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let entries = DataType::Struct(
            vec![Field::new("key", DataType::Utf8View, false), Field::new("value", list, true)].into(),
        );
        let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
        let column = |name: &str, data_type, kind| Metadata {
            field: Arc::new(Field::new(name, data_type, true)),
            kind,
        };
        let request = LookupRequest {
            metadata: vec![
                column("o", DataType::Utf8View, MetadataKind::Outcome),
                column("k", DataType::Utf8View, MetadataKind::ErrorKind),
                column("n", DataType::Int64, MetadataKind::Attempts),
                column("s", DataType::Int32, MetadataKind::Status),
                column("h", map, MetadataKind::Headers),
            ],
            ..request()
        };
        let failure = Failure::new(FailureKind::Status(500), "no");
        let headers = [("etag".to_string(), vec!["1".to_string(), "2".to_string()])];
        let facts = [
            Facts { outcome: "ok", attempts: 1, status: Some(200), headers: &headers, ..Facts::default() },
            Facts { outcome: "miss", attempts: 2, status: Some(404), ..Facts::default() },
            Facts { outcome: "error", failure: Some(&failure), attempts: 4, ..Facts::default() },
        ];
        let rows = dim_rows(&["a x 1", "a y 2"]);
        let keys = dim_rows(&["a", "b", "c"]).columns()[..1].to_vec();
        let (rows, offsets) =
            request.with_metadata(&request.row_schema(), &keys, &rows, &[0, 2, 2, 2], &facts).unwrap();
        assert_eq!(offsets, [0, 2, 3, 4]);
        let text = pretty_format_batches(&[rows]).unwrap().to_string();
        let lines: Vec<String> = text
            .lines()
            .skip(3)
            .take(4)
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "| a | x | 1 | ok | | 1 | 200 | {etag: [1, 2]} |",
                "| a | y | 2 | ok | | 1 | 200 | {etag: [1, 2]} |",
                "| b | | | miss | | 2 | 404 | |",
                "| c | | | error | status | 4 | 500 | |",
            ]
        );
    }
}
