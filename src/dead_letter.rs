//! Dead letters: what could not be used, as rows of a table that the user names.
//!
//! `'scan.dead-letter' = 'table'` keeps records that cannot be decoded, `'lookup.dead-letter' = 'table'` rows whose
//! lookup failed. The table has any of these columns, by name:
//!
//! | column | type | holds |
//! |---|---|---|
//! | `occurred_at` | TIMESTAMP_LTZ(3) | processing time |
//! | `table_name` | STRING | the table that was read or looked up in |
//! | `kind` | STRING | `decode`, or the class of the lookup's error |
//! | `message` | STRING | what was wrong |
//! | `lookup_key` | STRING | the key that was asked for |
//! | `row_json` | STRING | the input row of a lookup |
//! | `raw` | BYTES | the record as it was read |
//! | `position` | STRING | where it stands: `FILE:LINE`, `TOPIC/PARTITION@OFFSET` |
//! | `attempts` | INT | how often a lookup was tried |
//!
//! A source hands undecodable records on in the stream, in their order, as rows that have nothing but the column
//! [`REJECTED`]. Two operators follow it: one passes the other rows on, one makes dead letters of these, for a sink of
//! the same job. So both are at the same place at every checkpoint. A lookup join does the same with the column
//! [`FAILED`]. `row_json` holds the columns of the input that the query reads, `lookup_key` the key columns, as JSON.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, Int32Array, RecordBatch, StringViewArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// The option of tables that are read.
pub const SCAN_OPTION: &str = "scan.dead-letter";

/// The option of tables that are looked up in.
pub const LOOKUP_OPTION: &str = "lookup.dead-letter";

/// The column of a lookup join's rows that holds what failed; NULL for all other rows.
pub const FAILED: &str = "$failed";

/// The column of a source's batches that holds what could not be decoded; NULL for all other rows.
pub const REJECTED: &str = "$rejected";

/// What can be known of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    OccurredAt,
    TableName,
    Kind,
    Message,
    LookupKey,
    RowJson,
    Raw,
    Position,
    Attempts,
}

const PARTS: [(&str, Part); 9] = [
    ("occurred_at", Part::OccurredAt),
    ("table_name", Part::TableName),
    ("kind", Part::Kind),
    ("message", Part::Message),
    ("lookup_key", Part::LookupKey),
    ("row_json", Part::RowJson),
    ("raw", Part::Raw),
    ("position", Part::Position),
    ("attempts", Part::Attempts),
];

/// Something that could not be used.
#[derive(Debug, Clone, Default)]
pub struct DeadLetter {
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// `decode`, or the class of a lookup's error.
    pub kind: Cow<'static, str>,
    /// What was wrong.
    pub message: String,
    /// The key that was asked for.
    pub lookup_key: Option<String>,
    /// The input row of a lookup.
    pub row_json: Option<String>,
    /// The record as it was read.
    pub raw: Option<Vec<u8>>,
    /// Where it is.
    pub position: Option<String>,
    /// How often a lookup was tried.
    pub attempts: Option<i32>,
}

/// Makes rows of a table of dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetterRows {
    about: String,
    parts: Vec<Part>,
    schema: SchemaRef,
}

impl DeadLetterRows {
    /// Rows for `target` about the table `about`; its columns are checked. `zone` is the session's.
    pub fn new(about: &str, target: &Table, zone: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut fields = Vec::new();
        for column in target.columns.iter().filter(|c| c.is_persisted()) {
            let Some((data_type, nullable)) = column.declared() else { continue };
            let data_type = data_type.to_arrow(zone);
            let Some((_, part)) = PARTS.iter().find(|(name, _)| *name == column.name) else {
                let names = PARTS.map(|(name, _)| name);
                let error = Error::plan(format!(
                    "table '{}' takes dead letters, which have no column '{}'",
                    target.name, column.name
                ));
                return Err(match nearest(&column.name, names.into_iter()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("dead letters have: {}", names.join(", "))),
                });
            };
            let (fits, expected) = match part {
                Part::OccurredAt => {
                    (matches!(data_type, DataType::Timestamp(_, Some(_))), "TIMESTAMP_LTZ(3)")
                }
                Part::Raw => (data_type == DataType::BinaryView, "BYTES"),
                Part::Attempts => (matches!(data_type, DataType::Int32 | DataType::Int64), "INT"),
                _ => (data_type == DataType::Utf8View, "STRING"),
            };
            if !fits {
                return Err(Error::plan(format!(
                    "table '{}' takes dead letters, whose column '{}' is {expected}",
                    target.name, column.name
                )));
            }
            let always = matches!(part, Part::OccurredAt | Part::TableName | Part::Kind | Part::Message);
            if !nullable && !always {
                return Err(Error::plan(format!(
                    "table '{}' takes dead letters, whose column '{}' may be NULL",
                    target.name, column.name
                ))
                .with_hint("declare it without NOT NULL"));
            }
            parts.push(*part);
            fields.push(Field::new(&column.name, data_type, true));
        }
        Ok(Self { about: about.to_string(), parts, schema: Arc::new(Schema::new(fields)) })
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows.
    pub fn batch(&self, letters: &[DeadLetter]) -> Result<RecordBatch> {
        let texts = |text: fn(&DeadLetter) -> Option<&str>| -> ArrayRef {
            Arc::new(letters.iter().map(text).collect::<StringViewArray>())
        };
        let column = |(part, field): (&Part, &FieldRef)| -> Result<ArrayRef> {
            let natural: ArrayRef = match part {
                Part::OccurredAt => Arc::new(
                    TimestampMillisecondArray::from_iter_values(letters.iter().map(|l| l.occurred_at))
                        .with_timezone("UTC"),
                ),
                Part::TableName => {
                    Arc::new(letters.iter().map(|_| Some(&self.about)).collect::<StringViewArray>())
                }
                Part::Kind => texts(|l| Some(&l.kind)),
                Part::Message => texts(|l| Some(&l.message)),
                Part::LookupKey => texts(|l| l.lookup_key.as_deref()),
                Part::RowJson => texts(|l| l.row_json.as_deref()),
                Part::Position => texts(|l| l.position.as_deref()),
                Part::Raw => Arc::new(letters.iter().map(|l| l.raw.as_deref()).collect::<BinaryViewArray>()),
                Part::Attempts => Arc::new(letters.iter().map(|l| l.attempts).collect::<Int32Array>()),
            };
            Ok(arrow::compute::cast(&natural, field.data_type())?)
        };
        let columns = self.parts.iter().zip(self.schema.fields()).map(column).collect::<Result<Vec<_>>>()?;
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(letters.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &rows)?)
    }
}

static REJECTED_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8View, true);
    vec![text("message"), Field::new("raw", DataType::BinaryView, true), text("position")].into()
});

/// The column [`REJECTED`].
pub fn rejected_field() -> FieldRef {
    Arc::new(Field::new(REJECTED, DataType::Struct(REJECTED_FIELDS.clone()), true))
}

/// A schema with that column after the others, which may all be NULL.
pub fn with_rejected(schema: &Schema) -> SchemaRef {
    let nullable = |f: &FieldRef| Arc::new(f.as_ref().clone().with_nullable(true));
    let fields: Vec<FieldRef> = schema.fields().iter().map(nullable).chain([rejected_field()]).collect();
    Arc::new(Schema::new(fields))
}

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What was wrong.
    pub message: String,
    /// The record.
    pub raw: Vec<u8>,
    /// Where it is.
    pub position: String,
}

/// The column [`REJECTED`] of rows that are nothing else.
pub fn rejected_column(rejected: &[Rejected]) -> ArrayRef {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(rejected.iter().map(|r| &r.message))),
        Arc::new(BinaryViewArray::from_iter_values(rejected.iter().map(|r| &r.raw))),
        Arc::new(StringViewArray::from_iter_values(rejected.iter().map(|r| &r.position))),
    ];
    Arc::new(StructArray::new(REJECTED_FIELDS.clone(), columns, None))
}

static FAILED_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8View, true);
    let attempts = Field::new("attempts", DataType::Int32, true);
    vec![text("kind"), text("message"), text("key"), text("row"), attempts].into()
});

/// The column [`FAILED`].
pub fn failed_field() -> FieldRef {
    Arc::new(Field::new(FAILED, DataType::Struct(FAILED_FIELDS.clone()), true))
}

/// A row whose lookup failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLookup {
    /// Class of the error.
    pub kind: &'static str,
    /// What was wrong.
    pub message: String,
    /// The key, as JSON.
    pub key: String,
    /// The row, as JSON.
    pub row: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// The column [`FAILED`] of rows that are nothing else.
pub fn failed_column(failed: &[FailedLookup]) -> ArrayRef {
    let texts = |text: fn(&FailedLookup) -> &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(failed.iter().map(text)))
    };
    let attempts = failed.iter().map(|f| i32::try_from(f.attempts).ok());
    let columns: Vec<ArrayRef> = vec![
        texts(|f| f.kind),
        texts(|f| &f.message),
        texts(|f| &f.key),
        texts(|f| &f.row),
        Arc::new(attempts.collect::<Int32Array>()),
    ];
    Arc::new(StructArray::new(FAILED_FIELDS.clone(), columns, None))
}

/// The dead letters in a column [`FAILED`].
fn failed_letters(rows: &StructArray, now: i64) -> Vec<DeadLetter> {
    let text = |column: usize| rows.column(column).as_string_view_opt();
    let (Some(kinds), Some(messages), Some(keys), Some(lefts)) = (text(0), text(1), text(2), text(3)) else {
        return Vec::new();
    };
    let attempts = rows.column(4).as_primitive_opt::<arrow::datatypes::Int32Type>();
    let letter = |row: usize| DeadLetter {
        occurred_at: now,
        kind: kinds.value(row).to_string().into(),
        message: messages.value(row).to_string(),
        lookup_key: Some(keys.value(row).to_string()),
        row_json: Some(lefts.value(row).to_string()),
        attempts: attempts.filter(|a| a.is_valid(row)).map(|a| a.value(row)),
        ..DeadLetter::default()
    };
    (0..rows.len()).filter(|&row| rows.is_valid(row)).map(letter).collect()
}

/// The dead letters in a column [`REJECTED`] or [`FAILED`].
pub fn letters(column: &ArrayRef, now: i64) -> Vec<DeadLetter> {
    let Some(rows) = column.as_struct_opt() else { return Vec::new() };
    if rows.num_columns() == FAILED_FIELDS.len() {
        return failed_letters(rows, now);
    }
    if rows.num_columns() != REJECTED_FIELDS.len() {
        return Vec::new();
    }
    let (Some(messages), Some(raws), Some(positions)) = (
        rows.column(0).as_string_view_opt(),
        rows.column(1).as_binary_view_opt(),
        rows.column(2).as_string_view_opt(),
    ) else {
        return Vec::new();
    };
    let letter = |row: usize| DeadLetter {
        occurred_at: now,
        kind: "decode".into(),
        message: messages.value(row).to_string(),
        raw: Some(raws.value(row).to_vec()),
        position: Some(positions.value(row).to_string()),
        ..DeadLetter::default()
    };
    (0..rows.len()).filter(|&row| rows.is_valid(row)).map(letter).collect()
}
