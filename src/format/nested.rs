//! Arrays, rows and maps where the other side has texts alone: their JSON, both ways.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::Format;
use super::message::{MessageDecoder, MessageEncoder};
use crate::catalog::Options;
use crate::error::Result;
use crate::flow::Chunk;

/// What stands around a value, so that it is a record of one field.
const FRONT: &[u8] = b"{\"v\":";
const BACK: &[u8] = b"}";

/// Whether values of a type have no text but JSON.
pub(crate) fn is_nested(t: &DataType) -> bool {
    t.is_nested()
}

fn record(data_type: &DataType) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("v", data_type.clone(), true)]))
}

fn format() -> Result<Format> {
    Format::from_options_or(&Options::default(), "json")
}

/// The JSON of each value.
pub(crate) fn to_json(column: &ArrayRef) -> Result<StringViewArray> {
    let schema = record(column.data_type());
    let batch = RecordBatch::try_new(schema.clone(), vec![column.clone()])?;
    let mut out = Vec::new();
    let ranges =
        MessageEncoder::new(&format()?, &schema)?.encode(&Chunk::append(batch, Instant::now()), &mut out)?;
    let mut texts = StringViewBuilder::with_capacity(column.len());
    for (row, range) in ranges.into_iter().enumerate() {
        let message = range.filter(|_| !column.is_null(row)).and_then(|range| out.get(range));
        let value = message.and_then(|m| m.strip_prefix(FRONT)?.strip_suffix(BACK));
        texts.append_option(value.map(String::from_utf8_lossy));
    }
    Ok(texts.finish())
}

/// A batch whose columns are values and texts: nested ones as their JSON.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) fn flat(rows: &RecordBatch) -> Result<RecordBatch> {
    if !rows.columns().iter().any(|column| is_nested(column.data_type())) {
        return Ok(rows.clone());
    }
    let schema = rows.schema();
    let mut fields: Vec<FieldRef> = Vec::with_capacity(rows.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(rows.num_columns());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        if is_nested(column.data_type()) {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8View, true)));
            columns.push(Arc::new(to_json(column)?));
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Values of a type from their JSON.
pub(crate) fn from_json(texts: &StringViewArray, to: &DataType) -> Result<ArrayRef, String> {
    let schema = record(to);
    let mut messages: Vec<Vec<u8>> = Vec::with_capacity(texts.len());
    for text in texts {
        let text = text.unwrap_or("null").as_bytes();
        // One value: what closes the record too early would add fields of its own.
        if let Err(e) = serde_json::from_slice::<serde::de::IgnoredAny>(text) {
            return Err(format!("not JSON: {e}"));
        }
        messages.push([FRONT, text, BACK].concat());
    }
    let made = format().and_then(|format| MessageDecoder::new(&format, &schema, &schema));
    let mut decoder = made.map_err(|e| e.message().to_string())?;
    let messages: Vec<Option<&[u8]>> = messages.iter().map(|m| Some(m.as_slice())).collect();
    let said = |e: crate::error::Error| match e.detail() {
        Some(detail) => format!("{} ({detail})", e.message()),
        None => e.message().to_string(),
    };
    let decoded = decoder.decode(&messages, true, &|_| "value".to_string()).map_err(said)?;
    match decoded.error {
        Some(e) => Err(said(e)),
        None if decoded.batch.num_rows() != texts.len() => Err("values of several records".to_string()),
        None => Ok(decoded.batch.column(0).clone()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sql::SqlType;

    #[test]
    fn nested_values_come_back_as_they_went() {
        let texts = || SqlType::Array(Box::new(SqlType::String));
        let row = SqlType::Row(vec![("x".into(), SqlType::Decimal(9, 2)), ("y".into(), texts())]);
        let map = SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::TimestampLtz(6)));
        for (t, texts) in [
            (texts().to_arrow("UTC"), vec![Some("[\"a, b\",null,\"c\\\"\"]"), None, Some("[]")]),
            (row.to_arrow("UTC"), vec![Some("{\"x\":1.25,\"y\":[\"}\"]}"), Some("{\"x\":null,\"y\":null}")]),
            (map.to_arrow("UTC"), vec![Some("{\"k\":\"2026-01-05 07:00:00.123456Z\"}"), Some("{}")]),
        ] {
            let texts = StringViewArray::from(texts);
            let values = from_json(&texts, &t).unwrap();
            assert_eq!((values.data_type(), values.null_count()), (&t, texts.null_count()));
            assert_eq!(to_json(&values).unwrap(), texts);
        }
        let list = SqlType::Array(Box::new(SqlType::Int)).to_arrow("UTC");
        for wrong in ["1", "[1", "[\"x\"]", "[1],\"w\":[2]", "[a, b]"] {
            assert!(from_json(&StringViewArray::from(vec![wrong]), &list).is_err(), "{wrong}");
        }
    }
}
