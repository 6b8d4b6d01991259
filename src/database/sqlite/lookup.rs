//! SQLite: a few threads with a connection each, and a prepared statement that is asked key by key.
//!
//! The file is opened for reading only and opened again with every key, so that what another process writes is
//! seen. A database that is locked is waited for.

use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::types::{ToSqlOutput, Value as Owned};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::oneshot;

use crate::database::sqlite::{Tick, bound, read, tick};
use crate::database::{JdbcUrl, System, quoted, quoted_table};
use crate::error::{Error, Result};
use crate::lookup::values::Rows;
use crate::lookup::{
    Answers, Backend, BoxFuture, ColumnFilter, Comparison, Failure, FailureKind, LookupRequest,
};

/// Threads that read; SQLite's readers do not get in each other's way.
const THREADS: usize = 4;
/// Keys that one thread is asked for at a time.
const KEYS: usize = 1000;
/// How long a lock is waited for.
const BUSY: Duration = Duration::from_secs(5);

type Reply = oneshot::Sender<Result<Answers, Failure>>;

enum Job {
    Lookup(RecordBatch, Reply),
    Load(oneshot::Sender<Result<RecordBatch>>),
}

/// A table of a SQLite file.
pub(crate) struct Sqlite {
    jobs: Sender<Job>,
    shown: String,
}

#[derive(Clone)]
struct Query {
    path: String,
    tick: Tick,
    schema: SchemaRef,
    lookup: String,
    load: String,
    keys: Vec<usize>,
}

impl Sqlite {
    pub(crate) fn new(request: &LookupRequest, url: &JdbcUrl) -> Result<Self> {
        let query = Query::new(request, url)?;
        // Tells at planning what cannot work: no file, no table, no column.
        let connection = query.open()?;
        for sql in [&query.lookup, &query.load] {
            connection.prepare(sql).map_err(|e| {
                Error::plan(format!("table '{}': {e}", request.table.name))
                    .with_detail(format!("asked: {sql}"))
            })?;
        }
        drop(connection);
        let (jobs, work) = unbounded();
        for number in 0..THREADS {
            let (query, work) = (query.clone(), work.clone());
            std::thread::Builder::new()
                .name(format!("sqlite-{number}"))
                .spawn(move || serve(&query, &work))
                .map_err(|e| Error::io(format!("a thread for SQLite could not be started: {e}")))?;
        }
        let table = request.table.options.text("table-name").unwrap_or_default();
        Ok(Self { jobs, shown: format!("{}, table {table}", url.shown()) })
    }
}

impl Query {
    fn new(request: &LookupRequest, url: &JdbcUrl) -> Result<Self> {
        let schema = request.schema.clone();
        let names: Vec<String> = schema.fields().iter().map(|f| quoted(System::Sqlite, f.name())).collect();
        let table = quoted_table(System::Sqlite, request.table.options.required("table-name")?);
        let mut conditions = Vec::new();
        for key in &request.keys {
            let column = names.get(*key).ok_or_else(|| Error::internal("a key without a column"))?;
            // A column's own collation may call more equal than we do.
            let text = *schema.field(*key).data_type() == DataType::Utf8View;
            conditions.push(format!("{column} = ?{}", if text { " COLLATE BINARY" } else { "" }));
        }
        let filters = request.filters.iter();
        let pushed: Vec<_> = filters.filter_map(|f| pushed(f, names.get(f.column)?)).collect();
        let select = format!("SELECT {} FROM {table}", names.join(", "));
        let and = |conditions: &[String]| match conditions {
            [] => String::new(),
            some => format!(" WHERE {}", some.join(" AND ")),
        };
        let lookup = conditions.iter().chain(&pushed).cloned().collect::<Vec<_>>();
        Ok(Self {
            path: url.name.clone(),
            tick: tick(url)?,
            lookup: format!("{select}{}", and(&lookup)),
            load: format!("{select}{}", and(&pushed)),
            keys: request.keys.clone(),
            schema,
        })
    }

    fn open(&self) -> Result<Connection> {
        if !self.path.starts_with("file:") && !Path::new(&self.path).exists() {
            return Err(Error::io(format!("SQLite file '{}' does not exist", self.path)));
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags);
        let connection = connection
            .map_err(|e| Error::io(format!("SQLite file '{}' cannot be opened: {e}", self.path)))?;
        let settled = connection.busy_timeout(BUSY).and_then(|()| super::names_are_names(&connection));
        settled.map_err(|e| Error::io(e.to_string()))?;
        Ok(connection)
    }
}

/// A filter that SQLite evaluates as we do. Comparisons are not: what they mean there depends on the affinity of
/// the column and the type of each single value.
fn pushed(filter: &ColumnFilter, column: &str) -> Option<String> {
    match filter.comparison {
        Comparison::IsNull => Some(format!("{column} IS NULL")),
        Comparison::IsNotNull => Some(format!("{column} IS NOT NULL")),
        _ => None,
    }
}

/// Answers until no one asks any more.
fn serve(query: &Query, work: &Receiver<Job>) {
    let mut connection: Option<Connection> = None;
    while let Ok(job) = work.recv() {
        let opened = match connection.take() {
            Some(open) => Ok(open),
            None => query.open(),
        };
        match (job, opened) {
            (Job::Lookup(keys, reply), Ok(open)) => {
                if !reply.is_closed() {
                    let answers = lookup(query, &open, &keys);
                    // After an error the file may be another one.
                    let broken = answers.as_ref().is_err_and(|f| f.retryable);
                    drop(reply.send(answers));
                    if broken {
                        continue;
                    }
                }
                connection = Some(open);
            }
            (Job::Load(reply), Ok(open)) => {
                drop(reply.send(load(query, &open)));
                connection = Some(open);
            }
            (Job::Lookup(_, reply), Err(e)) => {
                drop(reply.send(Err(Failure::new(FailureKind::Connection, e.message()).retryable())));
            }
            (Job::Load(reply), Err(e)) => drop(reply.send(Err(e))),
        }
    }
}

/// Adds a row.
fn push(rows: &mut Rows, query: &Query, row: &rusqlite::Row<'_>) -> Result<(), String> {
    for (i, field) in query.schema.fields().iter().enumerate() {
        rows.push(i, read(row.get_ref(i).map_err(|e| e.to_string())?, field, query.tick)?)?;
    }
    rows.end_row();
    Ok(())
}

/// What SQLite says, as a failure.
fn failure(query: &Query, error: &rusqlite::Error) -> Failure {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, NotADatabase, SystemIoFailure};
    let passing = error.sqlite_error_code().is_some_and(|code| {
        matches!(code, DatabaseBusy | DatabaseLocked | CannotOpen | SystemIoFailure | NotADatabase)
    });
    let kind = if passing { FailureKind::Connection } else { FailureKind::Other };
    let failure = Failure::new(kind, format!("jdbc:sqlite:{}: {error}", query.path));
    if passing { failure.retryable() } else { failure }
}

fn lookup(query: &Query, connection: &Connection, keys: &RecordBatch) -> Result<Answers, Failure> {
    let decode =
        |what: String| Failure::new(FailureKind::Decode, format!("jdbc:sqlite:{}: {what}", query.path));
    let mut statement = connection.prepare_cached(&query.lookup).map_err(|e| failure(query, &e))?;
    let mut rows = Rows::new(&query.schema);
    let mut offsets = Vec::with_capacity(keys.num_rows() + 1);
    offsets.push(0);
    let mut parameters: Vec<Owned> = Vec::with_capacity(keys.num_columns());
    for row in 0..keys.num_rows() {
        parameters.clear();
        for column in keys.columns() {
            let value = bound(column, row, query.tick).map_err(|e| Failure::new(FailureKind::Key, e))?;
            parameters.extend(value);
        }
        if parameters.len() < keys.num_columns() {
            // There is no such value in the database.
            offsets.push(rows.len() as u32);
            continue;
        }
        let borrowed = parameters.iter().map(|value| ToSqlOutput::Borrowed(value.into()));
        let mut found = statement.query(params_from_iter(borrowed)).map_err(|e| failure(query, &e))?;
        while let Some(row) = found.next().map_err(|e| failure(query, &e))? {
            push(&mut rows, query, row).map_err(decode)?;
        }
        offsets.push(rows.len() as u32);
    }
    // A number that is stored as text, or asked for as text, may be equal there in more than one spelling.
    let answers = Answers::new(rows.finish(&query.schema).map_err(decode)?, offsets);
    answers.of_keys(&query.keys, keys).map_err(|e| decode(e.message().to_string()))
}

fn load(query: &Query, connection: &Connection) -> Result<RecordBatch> {
    let wrong = |what: String| Error::io(format!("jdbc:sqlite:{}: {what}", query.path));
    let mut statement = connection.prepare(&query.load).map_err(|e| wrong(e.to_string()))?;
    let mut found = statement.query([]).map_err(|e| wrong(e.to_string()))?;
    let mut batches = Vec::new();
    let mut rows = Rows::new(&query.schema);
    while let Some(row) = found.next().map_err(|e| wrong(e.to_string()))? {
        push(&mut rows, query, row).map_err(Error::decode)?;
        if rows.len() == 65_536 {
            let full = std::mem::replace(&mut rows, Rows::new(&query.schema));
            batches.push(full.finish(&query.schema).map_err(Error::decode)?);
        }
    }
    batches.push(rows.finish(&query.schema).map_err(Error::decode)?);
    Ok(concat_batches(&query.schema, &batches)?)
}

impl Backend for Sqlite {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(Job::Lookup(keys, reply)).is_ok();
        Box::pin(async move {
            let gone = || Failure::other("the thread of SQLite has ended");
            if sent { answer.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) }
        })
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn max_requests(&self) -> Option<usize> {
        Some(THREADS)
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(Job::Load(reply)).is_ok();
        Box::pin(async move {
            let gone = || Error::io("the thread of SQLite has ended");
            if sent { answer.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) }
        })
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
