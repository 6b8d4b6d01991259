//! The Avro schema of a table, as Flink derives it.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
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

/// The rows with times that Avro has: seconds as milliseconds, nanoseconds as microseconds.
pub(super) fn precise(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut fields = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
        let to = match column.data_type() {
            DataType::Timestamp(TimeUnit::Second, zone) => {
                Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
            }
            _ => None,
        };
        let column = match &to {
            Some(to) => cast(column, to)?,
            None => column.clone(),
        };
        fields.push(field.as_ref().clone().with_data_type(column.data_type().clone()));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)?)
}
