//! Decodes plain answers until the JSON format of the crate does.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use serde_json::Value;

use crate::catalog::Options;
use crate::error::{Error, Result};

#[derive(Debug, Clone)]
pub(super) struct JsonOptions;

impl JsonOptions {
    pub(super) fn from_options(_: &Options) -> Result<Self> {
        Ok(Self)
    }
}

pub(super) fn decode_rows(
    _: &JsonOptions,
    schema: &SchemaRef,
    body: Bytes,
    pointer: &str,
    _origin: Arc<str>,
) -> Result<RecordBatch> {
    let value: Value =
        serde_json::from_slice(&body).map_err(|e| Error::decode(format!("this is not JSON: {e}")))?;
    let rows: Vec<&Value> = match value.pointer(pointer) {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(rows)) => rows.iter().collect(),
        Some(row) => vec![row],
    };
    if let Some(other) = rows.iter().find(|r| !r.is_object()) {
        return Err(Error::decode(format!("'{other}' is not an object")));
    }
    let columns = schema.fields().iter().map(|f| -> Result<ArrayRef> {
        let values: Vec<Option<&Value>> =
            rows.iter().map(|r| r.get(f.name()).filter(|v| !v.is_null())).collect();
        macro_rules! column {
            ($array:ty, $get:expr) => {{
                let get: fn(&Value) -> Option<_> = $get;
                let cells = values
                    .iter()
                    .map(|v| match v {
                        None => Ok(None),
                        Some(v) => get(v)
                            .map(Some)
                            .ok_or_else(|| Error::decode(format!("column '{}': {v} does not fit", f.name()))),
                    })
                    .collect::<Result<Vec<_>>>()?;
                Arc::new(<$array>::from_iter(cells)) as ArrayRef
            }};
        }
        Ok(match f.data_type() {
            DataType::Utf8View => column!(StringViewArray, |v| Some(match v {
                Value::String(s) => s.clone(),
                other => other.to_string(),
            })),
            DataType::Int64 => column!(Int64Array, Value::as_i64),
            DataType::Int32 => column!(Int32Array, |v| v.as_i64().and_then(|v| i32::try_from(v).ok())),
            DataType::Float64 => column!(Float64Array, Value::as_f64),
            DataType::Boolean => column!(BooleanArray, Value::as_bool),
            other => return Err(Error::unsupported(format!("decoding {other}"))),
        })
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_>>()?)?)
}
