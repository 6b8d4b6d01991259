//! Answers that are no JSON: CSV lines, or a text as it is, by the formats that files have.
//!
//! | format | the body |
//! |---|---|
//! | `csv` | lines of the declared columns, in their order; several lines are several rows |
//! | `raw` | the value of the one column that is not part of the key |
//!
//! An empty body is a miss. A page of HTML is an error and no row: a text that begins with `<!doctype` or `<html` is
//! what a gateway answers with, not what a table holds.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;

use crate::catalog::table::ColumnSource;
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lookup::LookupRequest;

/// Formats of answers.
pub(super) const FORMATS: &[&str] = &["json", "csv", "raw"];

/// Decodes bodies of such a format.
#[derive(Debug)]
pub(super) struct TextAnswer {
    format: Format,
    /// The columns of a body.
    declared: SchemaRef,
    /// Those of them that are wanted.
    wanted: SchemaRef,
    /// What rows look like in the end; columns that no body has are NULL until they are filled in.
    schema: SchemaRef,
}

/// The format of a table's answers, if it is not JSON.
pub(super) fn format_of(options: &Options) -> Result<Option<Format>> {
    match options.text("format").unwrap_or("json") {
        "json" => Ok(None),
        name if FORMATS.contains(&name) => Format::from_options(options).map(Some),
        name => Err(Error::unsupported(format!("connector 'http' cannot decode answers as '{name}'"))
            .at(options.span("format"))
            .with_hint("'format' = 'json', 'csv' or 'raw'")),
    }
}

impl TextAnswer {
    /// For rows of `schema`, in which key columns may be NULL.
    pub(super) fn new(format: Format, request: &LookupRequest, schema: &SchemaRef) -> Result<Self> {
        let keys: Vec<&str> = request.keys.iter().map(|k| request.schema.field(*k).name().as_str()).collect();
        let declared = match format {
            Format::Raw => {
                let fields = schema.fields().iter().filter(|f| !keys.contains(&f.name().as_str()));
                Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
            }
            _ => declared(&request.table, schema)?,
        };
        let names: Vec<&str> = physical(&request.table).filter(|name| !keys.contains(name)).collect();
        if matches!(format, Format::Raw) && names.len() > 1 {
            return Err(Error::plan(format!(
                "table '{}' has {} columns beside its key, and a 'raw' answer is one value",
                request.table.name,
                names.len()
            ))
            .with_hint("declare the key columns and one more, of type STRING or BYTES"));
        }
        let wanted = schema.fields().iter().filter(|f| declared.column_with_name(f.name()).is_some());
        let wanted: SchemaRef = Arc::new(Schema::new(wanted.cloned().collect::<Vec<_>>()));
        let answer = Self { format, declared, wanted, schema: schema.clone() };
        // What cannot be decoded is said before the first request.
        answer.rows_of(Bytes::new())?;
        Ok(answer)
    }

    fn rows_of(&self, body: Bytes) -> Result<RecordBatch> {
        let (declared, wanted) = (&self.declared, &self.wanted);
        if wanted.fields().is_empty() && matches!(self.format, Format::Raw) {
            // Only the key is read: the body says no more than that there is one.
            let options = RecordBatchOptions::new().with_row_count(Some(usize::from(!body.is_empty())));
            return Ok(RecordBatch::try_new_with_options(wanted.clone(), Vec::new(), &options)?);
        }
        let mut decoder = self.format.decoder(declared, wanted, usize::MAX >> 1, "answer".into())?;
        decoder.feed(body)?;
        decoder.finish()?;
        let mut batches = Vec::new();
        while let Some(batch) = decoder.next_batch()? {
            batches.push(batch);
        }
        Ok(concat_batches(wanted, &batches)?)
    }

    /// The rows of a body; key columns that it does not have are NULL.
    pub(super) fn decode(&self, body: &[u8]) -> Result<RecordBatch> {
        let start: Vec<u8> = body.trim_ascii_start().iter().take(9).map(u8::to_ascii_lowercase).collect();
        if start.starts_with(b"<!doctype") || start.starts_with(b"<html") {
            return Err(Error::decode(format!("the answer is a page of HTML and no {}", self.format.name())));
        }
        let body = match self.format {
            // One value, whatever lines it has: it is read as one record.
            Format::Raw => return self.one_value(body),
            _ => body,
        };
        let rows = self.rows_of(Bytes::copy_from_slice(body))?;
        self.widened(&rows)
    }

    fn one_value(&self, body: &[u8]) -> Result<RecordBatch> {
        if body.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let mut decoder =
            crate::format::message::MessageDecoder::new(&self.format, &self.declared, &self.wanted)?;
        let decoded = decoder.decode(&[Some(body)], false, &|_| "answer".to_string())?;
        match decoded.error {
            Some(e) => Err(e),
            None => self.widened(&decoded.batch),
        }
    }

    fn widened(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => new_null_array(field.data_type(), rows.num_rows()),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options)?)
    }
}

fn physical(table: &Table) -> impl Iterator<Item = &str> {
    let columns = table.columns.iter();
    columns.filter(|c| matches!(c.source, ColumnSource::Physical { .. })).map(|c| c.name.as_str())
}

/// The columns of a line: all that are declared, those that are read as they are read.
fn declared(table: &Table, schema: &SchemaRef) -> Result<SchemaRef> {
    let fields = table.columns.iter().filter(|c| matches!(c.source, ColumnSource::Physical { .. }));
    let fields = fields.map(|column| {
        if let Ok(field) = schema.field_with_name(&column.name) {
            return Ok(field.clone());
        }
        let (data_type, _) = column.declared().ok_or_else(|| Error::internal("a column without a type"))?;
        Ok(arrow::datatypes::Field::new(&column.name, data_type.to_arrow("UTC"), true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}
