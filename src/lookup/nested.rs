//! Keys inside of ROW columns: `JOIN d ON t.id = d.customer.id`.
//!
//! Such a key is a column of its own, named by its path (`customer.id`), behind the columns of the table. Nobody has to
//! send it: it is taken out of the ROW of each row that comes. A connector that asks by it finds it among the keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, FieldRef, Schema};

use super::answer::{Answers, Failure};
use super::backend::{Backend, BoxFuture, LookupRequest};
use crate::catalog::table::{ColumnSource, Table};
pub use crate::contract::backend::NestedKey;
use crate::error::{Error, Result};

impl NestedKey {
    /// Its values in rows that have the ROW column.
    fn values(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let missing = || Error::decode(format!("the rows have no '{}'", self.field.name()));
        let (first, below) = self.path.split_first().ok_or_else(missing)?;
        let mut values = rows.column_by_name(first).ok_or_else(missing)?.clone();
        for name in below {
            let row = values.as_struct_opt().ok_or_else(missing)?;
            let field = row.column_by_name(name).ok_or_else(missing)?;
            values = match row.null_count() {
                0 => field.clone(),
                _ => nullif(field, &is_null(row)?)?,
            };
        }
        Ok(values)
    }
}

impl LookupRequest {
    /// The same without keys inside of ROW columns: what the table has.
    pub fn without_nested(&self) -> Self {
        if self.nested.is_empty() {
            return self.clone();
        }
        let own = self.own_columns();
        let fields: Vec<_> = self.schema.fields().iter().take(own).cloned().collect();
        let keys = self.keys.iter().copied().filter(|key| *key < own).collect();
        Self { schema: Arc::new(Schema::new(fields)), keys, nested: Vec::new(), ..self.clone() }
    }

    /// Columns of the schema that the table has.
    pub fn own_columns(&self) -> usize {
        self.schema.fields().len().saturating_sub(self.nested.len())
    }

    /// Rows of the table's columns, with the keys inside of ROW columns behind them.
    pub(crate) fn widened(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if self.nested.is_empty() {
            return Ok(rows);
        }
        let mut columns = rows.columns().to_vec();
        let mut fields: Vec<FieldRef> = rows.schema_ref().fields().iter().cloned().collect();
        for nested in &self.nested {
            columns.push(nested.values(&rows)?);
            fields.push(Arc::new(nested.field.as_ref().clone().with_nullable(true)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The columns of a table and the paths to the fields of its ROWs, as places of templates name them.
pub(crate) fn paths(table: &Table) -> Vec<String> {
    fn below(path: &str, data_type: &DataType, paths: &mut Vec<String>) {
        if let DataType::Struct(fields) = data_type {
            for field in fields {
                let path = format!("{path}.{}", field.name());
                below(&path, field.data_type(), paths);
                paths.push(path);
            }
        }
    }
    let physical = |c: &&crate::catalog::Column| matches!(c.source, ColumnSource::Physical { .. });
    let mut paths: Vec<String> = table.columns.iter().filter(physical).map(|c| c.name.clone()).collect();
    for column in table.columns.iter().filter(physical) {
        if let Some((data_type, _)) = column.declared() {
            below(&column.name, &data_type.to_arrow("UTC"), &mut paths);
        }
    }
    paths
}

/// A table that is kept whole, found by keys inside of its ROW columns.
pub(crate) struct NestedLoad {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) request: LookupRequest,
}

impl Backend for NestedLoad {
    fn lookup(&self, _keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        Box::pin(async { Err(Failure::other("a table that is kept whole is asked for no key")) })
    }

    fn can_lookup(&self) -> bool {
        false
    }

    fn can_load(&self) -> bool {
        self.inner.can_load()
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (load, request) = (self.inner.load(), self.request.clone());
        Box::pin(async move { request.widened(load.await?) })
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
