//! DynamoDB by its JSON protocol: BatchGetItem for lookups, and what its sink shares.
//!
//! Requests are signed by `object_store`'s signer; credentials come from the table, the environment, or where a machine
//! of AWS has them. Keys that a request leaves unprocessed are asked for again, for a while.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use hashbrown::HashSet;
use serde_json::{Map, Value, json};

pub(crate) use super::aws_json::Api;
use super::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest, Service};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Format;
use crate::format::message::{MessageDecoder, MessageEncoder};

/// Keys that DynamoDB takes in a request.
const KEYS: usize = 100;
/// How often what was left unprocessed is asked for.
const ROUNDS: u32 = 8;

/// The key of a table: its PRIMARY KEY, which must be DynamoDB's.
pub(crate) fn key_columns(table: &Table) -> Result<Vec<String>> {
    match table.primary_key.len() {
        1 | 2 => Ok(table.primary_key.clone()),
        _ => Err(Error::plan(
            "a table of DynamoDB needs its key as PRIMARY KEY: partition key, and sort key if it has one",
        )
        .with_hint("id STRING, ..., PRIMARY KEY (id) NOT ENFORCED")),
    }
}

/// A column's value, which is JSON, as an attribute.
pub(crate) fn attribute(value: Value, t: &DataType) -> Value {
    match (value, t) {
        (Value::Null, _) => json!({"NULL": true}),
        (Value::Bool(v), _) => json!({"BOOL": v}),
        (Value::Number(v), _) => json!({"N": v.to_string()}),
        (Value::String(v), DataType::BinaryView) => json!({"B": v}),
        (Value::String(v), _) => json!({"S": v}),
        (Value::Array(items), t) => {
            let item = if let DataType::List(item) = t { item.data_type() } else { &DataType::Null };
            json!({"L": items.into_iter().map(|v| attribute(v, item)).collect::<Vec<_>>()})
        }
        (Value::Object(fields), t) => {
            let of = |name: &str| -> DataType {
                match t {
                    DataType::Struct(fields) => {
                        fields.find(name).map_or(DataType::Null, |(_, f)| f.data_type().clone())
                    }
                    DataType::Map(entries, _) => match entries.data_type() {
                        DataType::Struct(kv) if kv.len() == 2 => kv[1].data_type().clone(),
                        _ => DataType::Null,
                    },
                    _ => DataType::Null,
                }
            };
            let fields = fields.into_iter().map(|(name, v)| {
                let t = of(&name);
                (name, attribute(v, &t))
            });
            json!({"M": fields.collect::<Map<_, _>>()})
        }
    }
}

/// An attribute as plain JSON.
pub(crate) fn plain(attribute: &Value) -> Result<Value, String> {
    let unknown = || format!("an attribute that is not known: {attribute}");
    let (kind, value) = attribute.as_object().and_then(|a| a.iter().next()).ok_or_else(unknown)?;
    let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).map(Value::Number);
    Ok(match (kind.as_str(), value) {
        ("NULL", _) => Value::Null,
        ("S" | "B", Value::String(_)) | ("BOOL", Value::Bool(_)) | ("SS" | "BS", Value::Array(_)) => {
            value.clone()
        }
        ("N", Value::String(text)) => number(text).map_err(|_| unknown())?,
        ("NS", Value::Array(items)) => {
            let all =
                items.iter().map(|item| number(item.as_str().unwrap_or_default())).collect::<Result<_, _>>();
            Value::Array(all.map_err(|_| unknown())?)
        }
        ("L", Value::Array(items)) => Value::Array(items.iter().map(plain).collect::<Result<_, _>>()?),
        ("M", Value::Object(fields)) => {
            let fields = fields.iter().map(|(name, v)| Ok((name.clone(), plain(v)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        _ => return Err(unknown()),
    })
}

/// Rows as JSON objects.
pub(crate) fn objects(rows: RecordBatch) -> Result<Vec<Map<String, Value>>> {
    let format = Format::from_options_or(&Options::default(), "json")?;
    let mut encoder = MessageEncoder::new(&format, &rows.schema())?;
    let mut out = Vec::new();
    let ranges = encoder.encode(&Chunk::append(rows, std::time::Instant::now()), &mut out)?;
    let object = |range: Option<std::ops::Range<usize>>| {
        let bytes = range.map_or(&b"{}"[..], |range| &out[range]);
        serde_json::from_slice(bytes).map_err(|e| Error::internal(format!("a row is no JSON: {e}")))
    };
    ranges.into_iter().map(object).collect()
}

fn said(e: &Error) -> String {
    match e.detail() {
        Some(detail) => format!("{} ({detail})", e.message()),
        None => e.message().to_string(),
    }
}

/// Items as rows of a schema.
pub(crate) fn decoded(items: &[Value], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let line = |item: &Value| -> Result<Vec<u8>, String> {
        let fields = item.as_object().ok_or("an item that is no object")?;
        let fields = fields.iter().map(|(name, v)| Ok((name.clone(), plain(v)?)));
        Ok(Value::Object(fields.collect::<Result<_, String>>()?).to_string().into_bytes())
    };
    let lines = items.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let format = Format::from_options_or(&Options::default(), "json").map_err(|e| said(&e))?;
    let mut decoder = MessageDecoder::new(&format, schema, schema).map_err(|e| said(&e))?;
    let messages: Vec<Option<&[u8]>> = lines.iter().map(|l| Some(l.as_slice())).collect();
    let decoded = decoder.decode(&messages, false, &|_| "an item".to_string()).map_err(|e| said(&e))?;
    match decoded.error {
        Some(error) => Err(said(&error)),
        None => Ok(decoded.batch),
    }
}

/// A table to look up in.
pub(crate) struct DynamoDbLookup(Arc<Inner>);

struct Inner {
    api: Api,
    table: String,
    consistent: bool,
    schema: SchemaRef,
    keys: Vec<usize>,
    key_schema: SchemaRef,
}

impl DynamoDbLookup {
    pub(crate) fn new(request: &LookupRequest) -> Result<Self> {
        let table = &request.table;
        let asked: Vec<&str> =
            request.keys.iter().map(|k| request.schema.field(*k).name().as_str()).collect();
        let key = key_columns(table)?;
        if let Some(missing) = key.iter().find(|name| !asked.contains(&name.as_str())) {
            return Err(Error::plan(format!(
                "DynamoDB is asked by the whole key, and the query provides no '{missing}'"
            ))
            .with_hint(format!("join on all of ({})", key.join(", "))));
        }
        for index in &request.keys {
            let field = request.schema.field(*index);
            let fits = field.data_type().is_integer()
                || matches!(
                    field.data_type(),
                    DataType::Utf8View | DataType::BinaryView | DataType::Decimal128(..)
                );
            if !fits {
                return Err(Error::plan(format!("column '{}' cannot be a key of DynamoDB", field.name()))
                    .with_hint("keys are STRING, numbers without fraction, DECIMAL or BYTES"));
            }
        }
        let format = Format::from_options_or(&Options::default(), "json")?;
        MessageDecoder::new(&format, &request.schema, &request.schema)?;
        Ok(Self(Arc::new(Inner {
            api: Api::of(&table.options)?,
            table: table.options.required("table-name")?.to_string(),
            consistent: table.options.bool("dynamodb.consistent-read")?.unwrap_or(false),
            schema: request.schema.clone(),
            keys: request.keys.clone(),
            key_schema: request.key_schema()?,
        })))
    }
}

impl Inner {
    fn decode(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Decode, format!("{}, table {}: {what}", self.api.shown(), self.table))
    }

    async fn lookup(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let rows = objects(
            RecordBatch::try_new(self.key_schema.clone(), keys.columns().to_vec())
                .map_err(|e| self.decode(e))?,
        );
        let rows = rows.map_err(|e| Failure::new(FailureKind::Key, e.message()))?;
        // The same key twice is refused.
        let mut known = HashSet::new();
        let mut wanted: Vec<Value> = Vec::with_capacity(rows.len());
        for row in rows {
            let fields = row.into_iter().map(|(name, value)| {
                let t = self
                    .key_schema
                    .field_with_name(&name)
                    .map_or(DataType::Null, |f: &Field| f.data_type().clone());
                let value = attribute(value, &t);
                (name, value)
            });
            let key = Value::Object(fields.collect());
            if known.insert(key.to_string()) {
                wanted.push(key);
            }
        }
        let names: Map<String, Value> = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| (format!("#{i}"), Value::String(f.name().clone())))
            .collect();
        let projection = names.keys().cloned().collect::<Vec<_>>().join(", ");
        let mut items: Vec<Value> = Vec::new();
        let mut round = 0;
        loop {
            let request = json!({"RequestItems": {&*self.table: {
                "Keys": wanted, "ConsistentRead": self.consistent,
                "ProjectionExpression": projection, "ExpressionAttributeNames": names,
            }}});
            let mut answer = self.api.call("BatchGetItem", &request).await?;
            if let Some(Value::Array(found)) =
                answer.pointer_mut("/Responses").and_then(|r| r.get_mut(&self.table))
            {
                items.append(found);
            }
            let left = answer.pointer_mut("/UnprocessedKeys").and_then(|u| u.get_mut(&self.table));
            match left.and_then(|left| left.get_mut("Keys")).map(Value::take) {
                Some(Value::Array(left)) if !left.is_empty() => wanted = left,
                _ => break,
            }
            round += 1;
            if round == ROUNDS {
                let message = format!("{}, table {}: keys stay unprocessed", self.api.shown(), self.table);
                return Err(Failure::new(FailureKind::Limit, message).retryable());
            }
            tokio::time::sleep(Duration::from_millis(25 << round)).await;
        }
        self.answers(keys, &items)
    }

    fn answers(&self, keys: &RecordBatch, items: &[Value]) -> Result<Answers, Failure> {
        if items.is_empty() {
            return Ok(Answers::misses(self.schema.clone(), keys.num_rows()));
        }
        let rows = decoded(items, &self.schema).map_err(|e| self.decode(e))?;
        let (answers, _) = Answers::by_key(&rows, &self.keys, keys).map_err(|e| self.decode(said(&e)))?;
        Ok(answers)
    }
}

impl Backend for DynamoDbLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.lookup(&keys).await })
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn endpoint(&self) -> Option<Service> {
        Some(Service { name: format!("dynamodb {}", self.0.api.shown()), max_in_flight: None })
    }

    fn describe(&self) -> String {
        let consistent = if self.0.consistent { ", consistent" } else { "" };
        format!(
            "{}, BatchGetItem {}, up to {KEYS} keys a request{consistent}",
            self.0.api.shown(),
            self.0.table
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn attributes_go_both_ways() {
        let schema = Schema::new(vec![Field::new("x", DataType::Utf8View, true)]);
        let t = DataType::Struct(schema.fields().clone());
        for (value, t, written) in [
            (json!(12), DataType::Int64, json!({"N": "12"})),
            (json!("a"), DataType::Utf8View, json!({"S": "a"})),
            (json!("AP8="), DataType::BinaryView, json!({"B": "AP8="})),
            (json!(null), DataType::Int64, json!({"NULL": true})),
            (json!({"x": "y"}), t, json!({"M": {"x": {"S": "y"}}})),
            (json!([true]), DataType::new_list(DataType::Boolean, true), json!({"L": [{"BOOL": true}]})),
        ] {
            let made = attribute(value.clone(), &t);
            assert_eq!(made, written);
            assert_eq!(plain(&made).unwrap(), value);
        }
        assert_eq!(plain(&json!({"NS": ["1", "2.50"]})).unwrap().to_string(), "[1,2.50]");
        assert!(plain(&json!({"N": "x"})).is_err() && plain(&json!({})).is_err());
    }
}
