//! The state of a job as a table: what a checkpoint or savepoint holds.
//!
//! ```sql
//! CREATE TABLE state WITH ('connector' = 'checkpoint', 'path' = 'checkpoints/job');
//! SELECT name, table_name, SUM(row_count), SUM(bytes) FROM state GROUP BY name, table_name;
//!
//! CREATE TABLE windows WITH (
//!   'connector' = 'checkpoint', 'path' = 'checkpoints/job', 'operator' = 'WindowAggregate', 'table' = 'keys');
//! SELECT * FROM windows WHERE k = 'a';
//! ```
//! Columns follow from the checkpoint; those that are declared are found by name. The newest checkpoint is opened
//! when a query starts, also one of a job that is running.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use super::Connector;
use super::{Read, Reader, ReaderContext, ScanRequest, Source};
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::catalog::{ColumnSource, Table};
use crate::error::{Error, Result};
use crate::format::infer::Inferred;
use crate::sql::SqlType;
use crate::state::inspect::Inspection;
use crate::state::store;

/// `'connector' = 'checkpoint'`.
#[derive(Debug)]
pub struct CheckpointTables;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "path",
        OptionKind::Text,
        "",
        "the folder or URL of a job's checkpoints, or of a savepoint",
    ),
    OptionDef::new(
        "operator",
        OptionKind::Text,
        "",
        "name or id of the operator; without it, the table lists operators and what they keep",
    ),
    OptionDef::new("table", OptionKind::Text, "", "which of the operator's tables, if it has several"),
];

impl Connector for CheckpointTables {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn doc(&self) -> &'static str {
        "the state of a job, out of a checkpoint or savepoint"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        let options = &table.options;
        options.required("path")?;
        if options.contains("table") && !options.contains("operator") {
            return Err(Error::option("option 'table' needs option 'operator'")
                .with_hint("without both, the table lists the operators that have state")
                .at(options.span("table")));
        }
        Ok(())
    }

    fn infer(&self, options: &Options) -> Result<Option<Inferred>> {
        let what = What::open(options)?;
        let columns =
            what.schema()?.fields().iter().map(|f| (f.name().clone(), shown(f.data_type()))).collect();
        Ok(Some(Inferred { columns, ..Inferred::default() }))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = &request.table;
        let what = What::open(&table.options).map_err(|e| e.at(table.options.span("path")))?;
        let schema = what.schema()?;
        let column = |&index: &usize| {
            let name = match table.columns.get(index) {
                Some(column) if matches!(column.source, ColumnSource::Physical { .. }) => &column.name,
                _ => {
                    return Err(Error::internal(format!(
                        "table '{}' has no physical column {index}",
                        table.name
                    )));
                }
            };
            schema.index_of(name).map_err(|_| {
                let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                Error::plan(format!("table '{}': the checkpoint has no column '{name}'", table.name))
                    .with_hint(format!("it has: {}", names.join(", ")))
            })
        };
        let columns = request.projection.iter().map(column).collect::<Result<Vec<_>>>()?;
        for (&from, to) in columns.iter().zip(request.schema.fields()) {
            let from = schema.field(from);
            if !convertible(from.data_type(), to.data_type()) {
                return Err(Error::plan(format!(
                    "table '{}': column '{}' of the checkpoint is {}",
                    table.name,
                    from.name(),
                    shown(from.data_type())
                ))
                .with_hint("leave the columns out of CREATE TABLE: they follow from the checkpoint"));
            }
        }
        let splits = match &what {
            What::Overview(_) => VecDeque::from([0]),
            What::Rows { inspection, operator, table } => inspection.tasks(operator, table).into(),
        };
        Ok(Arc::new(StateSource {
            all: splits.len(),
            shared: Arc::new(Shared { what, splits: Mutex::new(splits) }),
            columns,
            schema: request.schema.clone(),
            batch_rows: request.batch_rows.max(1),
        }))
    }
}

/// What is read.
enum What {
    Overview(Inspection),
    Rows { inspection: Inspection, operator: String, table: String },
}

impl What {
    fn open(options: &Options) -> Result<Self> {
        let path = options.required("path")?;
        let inspection = Inspection::open(store::open(path, &runtime()?)?)?;
        let Some(operator) = options.text("operator") else { return Ok(Self::Overview(inspection)) };
        let operator = inspection.find(operator).map_err(|e| e.at(options.span("operator")))?;
        let table = match options.text("table") {
            Some(table) => table.to_string(),
            None => {
                let tables = inspection.checkpoint().tables().into_iter();
                let mut names: Vec<String> =
                    tables.filter(|t| t.operator == operator).filter_map(|t| t.table).collect();
                names.sort();
                names.dedup();
                match &names[..] {
                    [name] => name.clone(),
                    [] => {
                        return Err(Error::option(format!("operator '{operator}' has no state tables"))
                            .with_detail("it keeps single values only")
                            .at(options.span("operator")));
                    }
                    _ => {
                        return Err(Error::option(format!("operator '{operator}' has several state tables"))
                            .with_hint(format!("add 'table' = '...', one of: {}", names.join(", ")))
                            .at(options.span("operator")));
                    }
                }
            }
        };
        inspection.schema(&operator, &table).map_err(|e| e.at(options.span("table")))?;
        Ok(Self::Rows { inspection, operator, table })
    }

    fn schema(&self) -> Result<SchemaRef> {
        match self {
            Self::Overview(_) => Ok(Inspection::overview_schema()),
            Self::Rows { inspection, operator, table } => inspection.schema(operator, table),
        }
    }

    fn rows(&self, split: usize) -> Result<Vec<RecordBatch>> {
        match self {
            Self::Overview(inspection) => Ok(vec![inspection.overview()?]),
            Self::Rows { inspection, operator, table } => inspection.rows(operator, table, split),
        }
    }
}

/// What requests to an object store run on: tables are declared before there is a job with a runtime.
fn runtime() -> Result<Handle> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let make =
        || Builder::new_multi_thread().worker_threads(1).thread_name("checkpoints").enable_all().build();
    match RUNTIME.get_or_init(|| make().ok()) {
        Some(runtime) => Ok(runtime.handle().clone()),
        None => Err(Error::io("no thread could be started to read checkpoints")),
    }
}

/// The SQL type that a column of state is shown as.
fn shown(t: &DataType) -> SqlType {
    let wanted = match t {
        // Hashes and ids use all of their bits.
        DataType::UInt64 => Some(SqlType::Decimal(20, 0)),
        t => SqlType::from_arrow(t),
    };
    wanted.filter(|w| can_cast_types(t, &w.to_arrow("UTC"))).unwrap_or(SqlType::String)
}

fn convertible(from: &DataType, to: &DataType) -> bool {
    from == to || *to == DataType::Utf8View || can_cast_types(from, to)
}

fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    if can_cast_types(column.data_type(), to) {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        return Ok(cast_with_options(column, to, &options)?);
    }
    let text = |row| match column.is_null(row) {
        true => Ok(None),
        false => array_value_to_string(column, row).map(Some),
    };
    let texts = (0..column.len()).map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StringViewArray::from_iter(texts)))
}

struct Shared {
    what: What,
    /// Former tasks whose rows are not read yet.
    splits: Mutex<VecDeque<usize>>,
}

struct StateSource {
    shared: Arc<Shared>,
    all: usize,
    columns: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Source for StateSource {
    fn bounded(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> usize {
        self.all.max(1)
    }

    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(Box::new(StateReader {
            shared: self.shared.clone(),
            columns: self.columns.clone(),
            schema: self.schema.clone(),
            batch_rows: self.batch_rows,
            waiting: VecDeque::new(),
        }))
    }

    fn describe(&self) -> String {
        match &self.shared.what {
            What::Overview(inspection) => format!("epoch={}", inspection.checkpoint().epoch()),
            What::Rows { inspection, operator, table } => {
                format!("operator={operator}, table={table}, epoch={}", inspection.checkpoint().epoch())
            }
        }
    }
}

struct StateReader {
    shared: Arc<Shared>,
    columns: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    waiting: VecDeque<RecordBatch>,
}

impl Reader for StateReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(mut rows) = self.waiting.pop_front() {
                if rows.num_rows() > self.batch_rows {
                    let rest = rows.slice(self.batch_rows, rows.num_rows() - self.batch_rows);
                    self.waiting.push_front(rest);
                    rows = rows.slice(0, self.batch_rows);
                }
                if rows.num_rows() == 0 {
                    continue;
                }
                let pairs = self.columns.iter().zip(self.schema.fields());
                let columns = pairs.map(|(&i, field)| convert(rows.column(i), field.data_type()));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                return Ok(Read::Batch(RecordBatch::try_new_with_options(
                    self.schema.clone(),
                    columns,
                    &options,
                )?));
            }
            let split = self.shared.splits.lock().pop_front();
            match split {
                Some(split) => self.waiting = self.shared.what.rows(split)?.into(),
                None => return Ok(Read::End),
            }
        }
    }
}

#[cfg(test)]
mod tests;
