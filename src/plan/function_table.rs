//! Lookup tables that a user's function answers for (`'connector' = 'function'`).
//!
//! | the function | what it is called with | what becomes of its result |
//! |---|---|---|
//! | `f(key, ...) RETURNS TABLE (...)` | one key | its rows |
//! | `f(key, ...) RETURNS ROW<...>` | one key | one row; NULL is a miss |
//! | `f(key, ...) RETURNS type` | one key | the only column that is no key; NULL is a miss |
//! | `f(keys ARRAY<...>) RETURNS TABLE (...)` with `'batch'` | up to so many keys | rows, told apart by their key |
//!
//! Parameters are the table's columns of the same names, else those of its primary key in order. A column that the
//! function does not give is a key and has its value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, filter, is_not_null, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::provider::Planner;
use crate::connector::function::FUNCTION;
use crate::error::{Error, Result};
use crate::function::user::caller::{CallContext, Caller, Results};
use crate::function::user::{Returns, UserFunction};
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest};
use crate::nearest::nearest;
use crate::sql::SqlType;

/// Where a column of the answers comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// A column of the result.
    Result(usize),
    /// A key.
    Key(usize),
}

impl Planner {
    /// What answers for a table of a function; `None` for other tables.
    pub(super) fn function_table(&self, request: &LookupRequest) -> Result<Option<Arc<dyn Backend>>> {
        let table = &request.table;
        if table.options.text("connector") != Some("function") {
            return Ok(None);
        }
        let name = table.options.required(FUNCTION)?;
        let span = table.options.span(FUNCTION);
        let Some(function) = self.user_functions().find(name)? else {
            let names = self.user_functions().names();
            let error =
                Error::plan(format!("table '{}': function '{name}' is not known", table.name)).at(span);
            return Err(match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("CREATE FUNCTION makes one"),
            });
        };
        if !function.waits() {
            return Err(Error::plan(format!(
                "table '{}': function '{name}' does not wait for its answers",
                table.name
            ))
            .with_hint(format!("call it in the query: {name}(...), or LATERAL TABLE({name}(...))"))
            .at(span));
        }
        FunctionTable::new(self, request, function)
            .map(|t| Some(Arc::new(t) as _))
            .map_err(|e| e.context(format!("table '{}' of function '{name}'", table.name)).at(span))
    }
}

struct FunctionTable(Arc<Inner>);

struct Inner {
    caller: Arc<dyn Caller>,
    function: Arc<UserFunction>,
    schema: SchemaRef,
    /// For each parameter, the column of the keys, and the type that it is given as.
    arguments: Vec<(usize, DataType)>,
    columns: Vec<From>,
    /// Key columns of the answers, where keys are told apart by them.
    by_key: Option<Vec<usize>>,
}

/// The columns that a function gives.
fn given(returns: &Returns) -> Option<&[(String, SqlType)]> {
    match returns {
        Returns::Rows(columns) | Returns::Value(SqlType::Row(columns)) => Some(columns),
        Returns::Value(_) => None,
    }
}

impl FunctionTable {
    fn new(planner: &Planner, request: &LookupRequest, function: Arc<UserFunction>) -> Result<Self> {
        let (table, schema) = (&request.table, &request.schema);
        let asked: Vec<&str> = request.keys.iter().map(|k| schema.field(*k).name().as_str()).collect();
        let by_key = function.takes_keys();
        let parameters = &function.parameters;
        let named = parameters.iter().all(|p| table.column(&p.name).is_some());
        let mut arguments = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            let column = match named {
                true => Some(parameter.name.as_str()),
                false => table.primary_key.get(i).map(String::as_str),
            };
            let column = column.ok_or_else(|| {
                Error::plan(format!("there is no column for its parameter '{}'", parameter.name))
                    .with_hint("the columns of the primary key are its arguments, in order")
            })?;
            let place = asked.iter().position(|a| *a == column).ok_or_else(|| {
                Error::plan(format!(
                    "the join provides no value for '{column}', which the function is called with"
                ))
            })?;
            let data_type = match (by_key, &parameter.data_type) {
                (true, SqlType::Array(item)) => item.to_arrow(planner.zone()),
                (_, data_type) => data_type.to_arrow(planner.zone()),
            };
            arguments.push((place, data_type));
        }
        let result = given(&function.returns);
        let mut single = None;
        let columns = schema.fields().iter().enumerate().map(|(i, field)| {
            let found = result.and_then(|columns| columns.iter().position(|(n, _)| n == field.name()));
            let key = request.keys.iter().position(|k| *k == i);
            match (found, key, result) {
                (Some(found), _, _) => Ok(From::Result(found)),
                (None, Some(key), _) => Ok(From::Key(key)),
                (None, None, None) if single.is_none() => {
                    single = Some(i);
                    Ok(From::Result(0))
                }
                _ => Err(Error::plan(format!("the function returns no column '{}'", field.name()))
                    .with_hint(format!("it is {}", function.signature()))),
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let by_key = match by_key {
            false => None,
            true => {
                let missing = request.keys.iter().find(|k| matches!(columns[**k], From::Key(_)));
                if let Some(missing) = missing {
                    return Err(Error::plan(format!(
                        "the function is called with many keys, but its rows have no column '{}' to tell them apart",
                        schema.field(*missing).name()
                    )));
                }
                Some(request.keys.clone())
            }
        };
        let types = match &by_key {
            None => arguments.iter().map(|(_, t)| t.clone()).collect(),
            Some(_) => parameters.iter().map(|p| p.data_type.to_arrow(planner.zone())).collect(),
        };
        let context = CallContext {
            runtime: planner.state.runtime.clone(),
            clock: planner.state.clock.clone(),
            zone: planner.zone().to_string(),
            parallelism: planner.state.config.parallelism(),
            arguments: types,
        };
        let caller = function.caller(&context)?;
        let schema = schema.clone();
        Ok(Self(Arc::new(Inner { caller, function, schema, arguments, columns, by_key })))
    }
}

fn decode(e: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Decode, e.to_string())
}

type Answer<T> = std::result::Result<T, Failure>;

impl Inner {
    fn arguments(&self, keys: &RecordBatch) -> Answer<RecordBatch> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for ((place, wanted), parameter) in self.arguments.iter().zip(&self.function.parameters) {
            let column = cast(keys.column(*place), wanted).map_err(decode)?;
            let column: ArrayRef = match self.by_key {
                None => column,
                Some(_) => {
                    let item = Arc::new(Field::new_list_field(wanted.clone(), true));
                    let ends = OffsetBuffer::from_lengths([column.len()]);
                    Arc::new(ListArray::try_new(item, ends, column, None).map_err(decode)?)
                }
            };
            fields.push(Field::new(&parameter.name, column.data_type().clone(), true));
            columns.push(column);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(decode)
    }

    /// Rows of the table from columns of the result and the key that each row answers.
    fn rows(&self, result: &[ArrayRef], keys: Option<(&RecordBatch, &UInt32Array)>) -> Answer<RecordBatch> {
        let columns = self.columns.iter().zip(self.schema.fields()).map(|(from, field)| {
            let column = match (from, keys) {
                (From::Result(i), _) => {
                    result.get(*i).cloned().ok_or_else(|| decode("a result without a column"))?
                }
                (From::Key(i), Some((keys, owners))) => {
                    take(keys.column(*i), owners, None).map_err(decode)?
                }
                (From::Key(_), None) => return Err(decode("a key without its rows")),
            };
            cast(&column, field.data_type()).map_err(decode)
        });
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Answer<Vec<_>>>()?).map_err(decode)
    }

    async fn lookup(&self, keys: RecordBatch) -> Answer<Answers> {
        let Results { values, failures } = self.caller.call(self.arguments(&keys)?).await?;
        if let Some(columns) = &self.by_key {
            if let Some((_, failure)) = failures.into_iter().next() {
                return Err(failure);
            }
            let list = values.as_list_opt::<i32>().ok_or_else(|| decode("a function that gives no rows"))?;
            let rows = if list.is_null(0) { list.values().slice(0, 0) } else { list.value(0) };
            let rows = self.rows(rows.as_struct().columns(), None)?;
            let (answers, foreign) =
                Answers::by_key(&rows, columns, &keys).map_err(|e| decode(e.message()))?;
            if let Some(first) = foreign.first() {
                let key = columns.iter().map(|c| {
                    arrow::util::display::array_value_to_string(rows.column(*c), *first as usize)
                        .unwrap_or_default()
                });
                let key = key.collect::<Vec<_>>().join(", ");
                return Err(decode(format!("it gave a row for key {key}, which it was not asked for")));
            }
            return Ok(answers);
        }
        let answers = match values.data_type() {
            DataType::List(_) => {
                let list = values.as_list::<i32>();
                let mut offsets = vec![0u32];
                let mut owners: Vec<u32> = Vec::new();
                let mut places: Vec<u32> = Vec::new();
                for row in 0..list.len() {
                    if list.is_valid(row) {
                        let ends = list.value_offsets();
                        for place in ends[row]..ends[row + 1] {
                            places.push(place as u32);
                            owners.push(row as u32);
                        }
                    }
                    offsets.push(places.len() as u32);
                }
                let found = take(list.values(), &UInt32Array::from(places), None).map_err(decode)?;
                let rows = self.rows(found.as_struct().columns(), Some((&keys, &owners.into())))?;
                Answers::new(rows, offsets)
            }
            _ => {
                let valid = is_not_null(&values).map_err(decode)?;
                let owners: UInt32Array =
                    (0..values.len() as u32).filter(|row| valid.value(*row as usize)).collect();
                let found = filter(&values, &valid).map_err(decode)?;
                let columns = match found.as_struct_opt() {
                    Some(row) => row.columns().to_vec(),
                    None => vec![found],
                };
                let rows = self.rows(&columns, Some((&keys, &owners)))?;
                let mut offsets = vec![0u32];
                for row in 0..values.len() {
                    let before = offsets.last().copied().unwrap_or(0);
                    offsets.push(before + u32::from(valid.value(row)));
                }
                Answers::new(rows, offsets)
            }
        };
        Ok(Answers { failures, ..answers })
    }
}

impl Backend for FunctionTable {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Answer<Answers>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.lookup(keys).await })
    }

    fn max_keys(&self) -> usize {
        match self.0.by_key {
            Some(_) => self.0.function.batch,
            None => self.0.caller.max_rows(),
        }
    }

    fn max_requests(&self) -> Option<usize> {
        self.0.caller.max_calls()
    }

    fn describe(&self) -> String {
        format!("function {}, {}", self.0.function.name, self.0.caller.describe())
    }
}
