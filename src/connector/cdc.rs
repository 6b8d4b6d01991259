//! What connectors that read the changes of a database's table share: their columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::ScanRequest;
use super::filled::filled;
use crate::catalog::{Column, ColumnSource, Table};
use crate::error::{Error, Result};
use crate::flow::Kind;

/// A metadata column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metadata {
    Table,
    Schema,
    Database,
    Time,
    Kind,
}

impl Metadata {
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "table_name" => Self::Table,
            "schema_name" => Self::Schema,
            "database_name" => Self::Database,
            "op_ts" => Self::Time,
            "row_kind" => Self::Kind,
            _ => return None,
        })
    }

    fn check(self, column: &str, key: &str, declared: &DataType) -> Result<()> {
        let (fits, wanted) = match self {
            Self::Time => (matches!(declared, DataType::Timestamp(_, Some(_))), "TIMESTAMP_LTZ(3)"),
            _ => (*declared == DataType::Utf8View, "STRING"),
        };
        if fits {
            return Ok(());
        }
        Err(Error::plan(format!("column '{column}': metadata '{key}' is {wanted}"))
            .with_hint(format!("{column} {wanted} METADATA FROM '{key}' VIRTUAL")))
    }
}

/// Checks the types of metadata columns.
pub(super) fn check_metadata(table: &Table) -> Result<()> {
    for column in &table.columns {
        let ColumnSource::Metadata { data_type, key, .. } = &column.source else { continue };
        if let Some(metadata) = Metadata::of(key) {
            metadata.check(&column.name, key, &data_type.to_arrow("UTC"))?;
        }
    }
    Ok(())
}

/// The columns of a table that the database is to have.
pub(super) fn physical(table: &Table) -> SchemaRef {
    let field = |column: &Column| match &column.source {
        ColumnSource::Physical { data_type, .. } => {
            Some(Field::new(&column.name, data_type.to_arrow("UTC"), true))
        }
        _ => None,
    };
    Arc::new(Schema::new(table.columns.iter().filter_map(field).collect::<Vec<_>>()))
}

/// Where a column of the output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Column(usize),
    Metadata(Metadata),
}

/// The columns of a scan.
#[derive(Debug)]
pub(super) struct Columns {
    outputs: Vec<Output>,
    schema: SchemaRef,
    /// Those of the database; NULL may stand anywhere, because of a row that went not all is known.
    pub(super) physical: SchemaRef,
    names: Names,
    /// Of rows that went, the key alone may be known.
    keys_only: bool,
}

/// What the table is called in the database.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) table: String,
}

impl Columns {
    pub(super) fn new(request: &ScanRequest, names: Names, keys_only: bool) -> Result<Self> {
        let (mut outputs, mut physical) = (Vec::new(), Vec::new());
        for (index, field) in request.projection.iter().zip(request.schema.fields()) {
            let column = request.table.columns.get(*index);
            let column = column.ok_or_else(|| Error::internal("a column that the table does not have"))?;
            outputs.push(match &column.source {
                ColumnSource::Metadata { key, .. } => Output::Metadata(
                    Metadata::of(key).ok_or_else(|| Error::internal(format!("metadata '{key}'")))?,
                ),
                _ => {
                    physical.push(Field::new(field.name(), field.data_type().clone(), true));
                    Output::Column(physical.len() - 1)
                }
            });
        }
        let physical = Arc::new(Schema::new(physical));
        Ok(Self { outputs, schema: request.schema.clone(), physical, names, keys_only })
    }

    /// Physical and metadata columns together. `times`: when each row was committed, in milliseconds.
    pub(super) fn assemble(&self, batch: &RecordBatch, kinds: &[Kind], times: &[i64]) -> Result<RecordBatch> {
        let count = batch.num_rows();
        let constant = |text: &str| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let mut columns = Vec::with_capacity(self.outputs.len());
        for (output, field) in self.outputs.iter().zip(self.schema.fields()) {
            columns.push(match output {
                Output::Column(at) => self.checked(batch.column(*at), field, kinds)?,
                Output::Metadata(Metadata::Table) => constant(&self.names.table),
                Output::Metadata(Metadata::Schema) => constant(&self.names.schema),
                Output::Metadata(Metadata::Database) => constant(&self.names.database),
                Output::Metadata(Metadata::Time) => {
                    let zone = match field.data_type() {
                        DataType::Timestamp(_, zone) => zone.clone(),
                        _ => None,
                    };
                    let times = TimestampMillisecondArray::from(times.to_vec()).with_timezone_opt(zone);
                    match field.data_type() {
                        DataType::Timestamp(TimeUnit::Millisecond, _) => Arc::new(times),
                        other => cast(&times, other)?,
                    }
                }
                Output::Metadata(Metadata::Kind) => {
                    let signs = StringViewArray::from_iter_values(
                        [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete].map(Kind::as_str),
                    );
                    let numbers = UInt32Array::from_iter_values(kinds.iter().map(|kind| *kind as u32));
                    take(&signs, &numbers, None)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// A column, whose NULLs are only where it may have them.
    fn checked(&self, column: &ArrayRef, field: &Field, kinds: &[Kind]) -> Result<ArrayRef> {
        if field.is_nullable() || column.null_count() == 0 {
            return Ok(column.clone());
        }
        let gone = |row: usize| self.keys_only && kinds.get(row) == Some(&Kind::Delete);
        if (0..column.len()).any(|row| column.is_null(row) && !gone(row)) {
            return Err(Error::decode(format!("column '{}' is NULL, it is declared NOT NULL", field.name())));
        }
        filled(column.clone(), field)
    }
}
