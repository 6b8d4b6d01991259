//! Debezium JSON: change events of databases, one envelope a line.
//!
//! ```text
//! {"before": {...}, "after": {...}, "op": "u", ...}     ->  -U before, +U after
//! {"before": null,  "after": {...}, "op": "c", ...}     ->  +I after      (`r`, of a snapshot, likewise)
//! {"before": {...}, "after": null,  "op": "d", ...}     ->  -D before
//! null                                                  ->  nothing: a tombstone, for compaction
//! ```
//! With `debezium-json.schema-include` the envelope is the `payload` of an object whose `schema` describes it
//! (Kafka Connect with `schemas.enable`).
//!
//! Written are, as by Flink, creations and deletions only: an update is a deletion and a creation.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::changelog::{ChangelogDecoder, Envelope};
use super::json::{JsonDecoder, JsonEncoder, JsonOptions, TimestampFormat};
use super::{Decoder, Encoder, Origin};
use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};

/// The value of `'format'`.
pub const NAME: &str = "debezium-json";

const SCHEMA_INCLUDE: &str = "debezium-json.schema-include";
const IGNORE_ERRORS: &str = "debezium-json.ignore-parse-errors";
const TIMESTAMP: &str = "debezium-json.timestamp-format.standard";
const PLAIN_DECIMAL: &str = "debezium-json.encode.decimal-as-plain-number";
const IGNORE_NULLS: &str = "debezium-json.encode.ignore-null-fields";
const TIMESTAMP_WORDS: &[&str] = &["SQL", "ISO-8601"];

/// Definitions of the format's options.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        SCHEMA_INCLUDE,
        OptionKind::Bool,
        "false",
        "the envelope is the 'payload' of an object that has its 'schema' too",
    ),
    OptionDef::new(
        IGNORE_ERRORS,
        OptionKind::Bool,
        "false",
        "a field that does not fit its type becomes NULL, and a broken event is dropped",
    ),
    OptionDef::new(
        TIMESTAMP,
        OptionKind::Choice(TIMESTAMP_WORDS),
        "SQL",
        "form of timestamps: '2020-01-01 10:15:30.123' (SQL) or '2020-01-01T10:15:30.123' (ISO-8601)",
    ),
    OptionDef::new(
        PLAIN_DECIMAL,
        OptionKind::Bool,
        "false",
        "write tiny decimals as 0.0000001 instead of 1E-7",
    ),
    OptionDef::new(IGNORE_NULLS, OptionKind::Bool, "false", "leave NULL fields out of written events"),
];

/// How events are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DebeziumOptions {
    /// The envelope is wrapped in an object with its schema.
    pub schema_include: bool,
    /// How the rows in it are read and written.
    pub json: JsonOptions,
}

impl DebeziumOptions {
    /// From a table's options.
    pub fn from_options(options: &Options) -> Result<Self> {
        let flag = |key| options.bool(key).map(|value| value.unwrap_or(false));
        Ok(Self {
            schema_include: flag(SCHEMA_INCLUDE)?,
            json: JsonOptions {
                fail_on_missing_field: false,
                fail_on_fraction: false,
                strict: false,
                ignore_parse_errors: flag(IGNORE_ERRORS)?,
                timestamp_format: match options.choice(TIMESTAMP, TIMESTAMP_WORDS)? {
                    Some("ISO-8601") => TimestampFormat::Iso8601,
                    _ => TimestampFormat::Sql,
                },
                decimal_as_plain_number: flag(PLAIN_DECIMAL)?,
                strip_decimals: true,
                ignore_null_fields: flag(IGNORE_NULLS)?,
                documents: false,
            },
        })
    }

    /// A decoder of the rows in envelopes; see [`super::Format::decoder`].
    pub fn decoder(&self, schema: &SchemaRef, batch_rows: usize, origin: Origin) -> Result<Box<dyn Decoder>> {
        let row = DataType::Struct(schema.fields().clone());
        let envelope = Fields::from(vec![
            Field::new("before", row.clone(), true),
            Field::new("after", row, true),
            Field::new("op", DataType::Utf8View, true),
        ]);
        let record = match self.schema_include {
            true => Schema::new(vec![Field::new("payload", DataType::Struct(envelope), true)]),
            false => Schema::new(envelope),
        };
        // An update makes two rows.
        let inner = JsonDecoder::new(self.json, Arc::new(record), batch_rows.div_ceil(2), origin.clone())?;
        Ok(Box::new(ChangelogDecoder::new(
            inner.envelopes(NAME),
            Envelope::Debezium { payload: self.schema_include },
            schema.clone(),
            self.json.ignore_parse_errors,
            origin,
        )))
    }

    /// An encoder of rows of `schema`.
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        if self.schema_include {
            return Err(Error::unsupported(format!("format '{NAME}' cannot write schemas"))
                .with_hint(format!("leave '{SCHEMA_INCLUDE}' out of a table that is written to")));
        }
        Ok(Box::new(JsonEncoder::debezium(self.json, schema.clone())?))
    }
}

#[cfg(test)]
mod tests;
