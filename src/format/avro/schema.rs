//! The Avro schema of a table, as Flink derives it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// What Flink calls the record.
const RECORD: &str = "org.apache.flink.avro.generated.record";

/// The schema of rows.
pub(super) fn of_table(schema: &SchemaRef, legacy: bool) -> Result<Value> {
    record(RECORD, schema.fields().iter().map(|f| f.as_ref()), legacy)
}

fn record<'a>(name: &str, fields: impl Iterator<Item = &'a Field>, legacy: bool) -> Result<Value> {
    let mut all = Vec::new();
    for field in fields {
        let plain = field
            .name()
            .chars()
            .enumerate()
            .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
        if !plain || field.name().is_empty() {
            return Err(Error::option(format!("column '{}' cannot be a field of Avro", field.name()))
                .with_hint("names there have letters, digits and '_'"));
        }
        let short = name.strip_suffix(".record").map_or(name, |_| "record");
        let inner = format!("{short}_{}", field.name());
        let of = data_type(field.data_type(), &inner, legacy)
            .map_err(|e| e.context(format!("column '{}'", field.name())))?;
        all.push(match field.is_nullable() {
            true => json!({ "name": field.name(), "type": ["null", of], "default": null }),
            false => json!({ "name": field.name(), "type": of }),
        });
    }
    Ok(match name.rsplit_once('.') {
        Some((space, name)) => json!({ "type": "record", "name": name, "namespace": space, "fields": all }),
        None => json!({ "type": "record", "name": name, "fields": all }),
    })
}

fn data_type(of: &DataType, name: &str, legacy: bool) -> Result<Value> {
    let logical = |base: &str, logical: &str| json!({ "type": base, "logicalType": logical });
    Ok(match of {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8View | DataType::Utf8 => json!("string"),
        DataType::BinaryView | DataType::Binary => json!("bytes"),
        DataType::Date32 => logical("int", "date"),
        DataType::Time32(_) => logical("int", "time-millis"),
        DataType::Decimal128(precision, scale) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => "millis",
                TimeUnit::Microsecond | TimeUnit::Nanosecond => "micros",
            };
            match zone {
                None if !legacy => logical("long", &format!("local-timestamp-{unit}")),
                _ => logical("long", &format!("timestamp-{unit}")),
            }
        }
        DataType::List(item) => {
            let inner = data_type(item.data_type(), name, legacy)?;
            json!({ "type": "array", "items": ["null", inner] })
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 && fields[0].data_type() == &DataType::Utf8View => {
                let inner = data_type(fields[1].data_type(), name, legacy)?;
                json!({ "type": "map", "values": ["null", inner] })
            }
            _ => return Err(Error::unsupported("Avro has maps with keys of type STRING only")),
        },
        DataType::Struct(fields) => record(name, fields.iter().map(|f| f.as_ref()), legacy)?,
        other => {
            let shown = crate::sql::SqlType::from_arrow(other).map_or(other.to_string(), |t| t.to_string());
            return Err(Error::unsupported(format!("Avro has no form for {shown}")));
        }
    })
}

/// The same columns with types that Avro has: seconds are milliseconds, nanoseconds are microseconds.
pub(super) fn written(schema: &SchemaRef) -> SchemaRef {
    let field = |f: &FieldRef| f.as_ref().clone().with_data_type(written_type(f.data_type()));
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn written_type(t: &DataType) -> DataType {
    let inner = |f: &FieldRef| Arc::new(f.as_ref().clone().with_data_type(written_type(f.data_type())));
    match t {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let key = fields[0].as_ref().clone().with_data_type(DataType::Utf8);
                let both = DataType::Struct(vec![Arc::new(key), inner(&fields[1])].into());
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(both)), *sorted)
            }
            _ => t.clone(),
        },
        other => other.clone(),
    }
}

/// A schema in which a text that is a UUID is a text like any.
pub(super) fn without_uuids(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_uuids),
        Value::Object(fields) => {
            let is = |key: &str, value: &str| fields.get(key).and_then(Value::as_str) == Some(value);
            if is("type", "string") && is("logicalType", "uuid") {
                fields.remove("logicalType");
            }
            // Names, defaults and symbols are no schemas.
            for key in ["type", "fields", "items", "values"] {
                if let Some(inner) = fields.get_mut(key) {
                    without_uuids(inner);
                }
            }
        }
        _ => {}
    }
}
