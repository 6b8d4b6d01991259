//! A checkpoint as tables that people can query.
//!
//! - The overview has a row for each table of each operator in each task: which rows it has, and how many bytes.
//! - The rows of one table, over all tasks, come with the task in front:
//! ```text
//!  task │ k   │ count │ window_end
//!     0 │ a   │    17 │ 2026-01-01 00:01:00
//!     1 │ b   │     2 │ 2026-01-01 00:01:00
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::checkpoint::{Checkpoint, OperatorPlan, StateTable};
use super::store::Store;
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// A checkpoint or savepoint that is looked into.
#[derive(Debug, Clone)]
pub struct Inspection {
    checkpoint: Checkpoint,
    place: String,
}

impl Inspection {
    /// Opens a savepoint, or the newest whole checkpoint of a job's folder.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let place = store.describe();
        match Checkpoint::open(store.clone()) {
            Ok(checkpoint) => Ok(Self { checkpoint, place }),
            Err(e) => {
                // Perhaps the folder of all jobs.
                let found = store.list("").unwrap_or_default();
                let jobs: BTreeSet<&str> =
                    found.iter().filter_map(|path| Some(path.split_once("/manifests/")?.0)).collect();
                if jobs.is_empty() {
                    return Err(e);
                }
                let jobs: Vec<&str> = jobs.into_iter().take(8).collect();
                Err(e.with_hint(format!("there are some below it: {}", jobs.join(", "))))
            }
        }
    }

    /// The checkpoint itself.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Columns of [`Self::overview`].
    pub fn overview_schema() -> SchemaRef {
        let field = |name, data_type, nullable| Field::new(name, data_type, nullable);
        Arc::new(Schema::new(vec![
            field("operator", DataType::Utf8View, false),
            field("name", DataType::Utf8View, true),
            field("detail", DataType::Utf8View, true),
            field("task", DataType::Int32, false),
            field("table_name", DataType::Utf8View, true),
            field("row_count", DataType::Int64, false),
            field("bytes", DataType::Int64, false),
        ]))
    }

    /// What is in it: a row for each table of each operator in each task. An operator that keeps values only
    /// has no `table_name`. Bytes are those in the store, with rows that were replaced since.
    pub fn overview(&self) -> Result<RecordBatch> {
        let plans: BTreeMap<&str, &OperatorPlan> =
            self.checkpoint.plan().operators.iter().map(|o| (o.id.as_str(), o)).collect();
        let tables = self.checkpoint.tables();
        let plan = |t: &StateTable| plans.get(t.operator.as_str()).copied();
        let count = |t: &StateTable| match &t.table {
            Some(table) => self.checkpoint.rows_of(&t.operator, t.task, table),
            None => Ok(0),
        };
        let counts = tables.iter().map(|t| Ok(count(t)? as i64)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(tables.iter().map(|t| &t.operator))),
            Arc::new(StringViewArray::from_iter(tables.iter().map(|t| plan(t).map(|p| &p.name)))),
            Arc::new(StringViewArray::from_iter(tables.iter().map(|t| plan(t).map(|p| &p.detail)))),
            Arc::new(Int32Array::from_iter_values(tables.iter().map(|t| t.task as i32))),
            Arc::new(StringViewArray::from_iter(tables.iter().map(|t| t.table.as_ref()))),
            Arc::new(Int64Array::from(counts)),
            Arc::new(Int64Array::from_iter_values(tables.iter().map(|t| t.bytes as i64))),
        ];
        Ok(RecordBatch::try_new(Self::overview_schema(), columns)?)
    }

    /// The id of an operator that is named by its id, or by its name if only one of that name has state.
    pub fn find(&self, operator: &str) -> Result<String> {
        let stateful = self.checkpoint.stateful();
        if stateful.iter().any(|id| id == operator) {
            return Ok(operator.to_string());
        }
        let plan = &self.checkpoint.plan().operators;
        let named = plan.iter().filter(|p| p.name.eq_ignore_ascii_case(operator));
        let named: Vec<&str> =
            named.map(|p| p.id.as_str()).filter(|id| stateful.iter().any(|s| s == id)).collect();
        match named[..] {
            [id] => Ok(id.to_string()),
            [] => {
                let error = Error::option(format!("no operator '{operator}' has state in '{}'", self.place));
                let names = plan.iter().map(|p| p.name.as_str()).chain(stateful.iter().map(String::as_str));
                match nearest(operator, names) {
                    Some(near) => Err(error.with_hint(format!("did you mean '{near}'?"))),
                    None if stateful.is_empty() => Err(error.with_detail("none has")),
                    None => Err(error.with_hint(format!("there are: {}", stateful.join(", ")))),
                }
            }
            _ => Err(Error::option(format!("several operators are named '{operator}'"))
                .with_hint(format!("one of: {}", named.join(", ")))),
        }
    }

    /// Columns of a table of an operator, with `task` in front. Columns that would have the same name are told
    /// apart by a number.
    pub fn schema(&self, operator: &str, table: &str) -> Result<SchemaRef> {
        let Some(schema) = self.checkpoint.schema(operator, table)? else {
            let tables = self.checkpoint.tables();
            let names: BTreeSet<&str> =
                tables.iter().filter(|t| t.operator == operator).filter_map(|t| t.table.as_deref()).collect();
            let error = Error::option(format!("operator '{operator}' has no state table '{table}'"));
            let names: Vec<&str> = names.into_iter().collect();
            return Err(match names.is_empty() {
                true => error.with_detail("it keeps single values only"),
                false => error.with_hint(format!("it has: {}", names.join(", "))),
            });
        };
        let mut taken: BTreeSet<String> =
            schema.fields().iter().map(|f| f.name().clone()).filter(|name| !name.is_empty()).collect();
        let mut task = "task".to_string();
        while taken.contains(&task) {
            task.push('_');
        }
        taken.insert(task.clone());
        let mut fields = vec![Field::new(task, DataType::Int32, false)];
        let mut seen = BTreeSet::new();
        for field in schema.fields() {
            let stem = if field.name().is_empty() { "column" } else { field.name() };
            let mut name = stem.to_string();
            let mut number = 1;
            while seen.contains(&name) || name != *field.name() && taken.contains(&name) {
                number += 1;
                name = format!("{stem}_{number}");
            }
            seen.insert(name.clone());
            fields.push(Field::clone(field).with_name(name));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The former tasks that have rows of a table.
    pub fn tasks(&self, operator: &str, table: &str) -> Vec<usize> {
        let tables = self.checkpoint.tables().into_iter();
        tables
            .filter(|t| t.operator == operator && t.table.as_deref() == Some(table))
            .map(|t| t.task)
            .collect()
    }

    /// Rows of a table in one task, with the columns of [`Self::schema`]; in no particular order.
    pub fn rows(&self, operator: &str, table: &str, task: usize) -> Result<Vec<RecordBatch>> {
        let schema = self.schema(operator, table)?;
        let batches = self.checkpoint.table(operator, task, table)?.into_iter();
        batches
            .map(|(_, rows)| {
                let number: ArrayRef = Arc::new(Int32Array::from_value(task as i32, rows.num_rows()));
                let columns = [number].into_iter().chain(rows.columns().iter().cloned()).collect();
                Ok(RecordBatch::try_new(schema.clone(), columns)?)
            })
            .collect()
    }
}
