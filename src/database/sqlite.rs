//! SQLite files: read as a whole, and written, on threads that may wait.

pub(crate) mod lookup;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
};
use arrow::util::display::array_value_to_string;
use futures::future::BoxFuture as Borrowing;
use rusqlite::types::{Value as Owned, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{
    Database, Fault, FaultKind, JdbcUrl, Range, Reading, Session, System, Taker, Target, quoted, quoted_table,
};
use crate::lookup::BoxFuture;
use crate::lookup::values::{Rows, Value};

/// How long a lock is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// A file.
#[derive(Clone)]
pub(crate) struct Sqlite {
    path: String,
}

/// A name in double quotes that no column has is an error, and not a text, as in SQLite by default.
fn names_are_names(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map(|_| ())
}

impl Sqlite {
    pub(crate) fn new(url: &JdbcUrl) -> Self {
        Self { path: url.name.clone() }
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, Fault> {
        if !self.path.starts_with("file:") && !std::path::Path::new(&self.path).exists() {
            return Err(Fault::new(FaultKind::Other, format!("SQLite file '{}' does not exist", self.path)));
        }
        let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&self.path, flags);
        let opened = opened.and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            names_are_names(&connection)?;
            Ok(connection)
        });
        opened.map_err(|e| self.fault(&e))
    }

    fn fault(&self, error: &rusqlite::Error) -> Fault {
        use rusqlite::ErrorCode::{
            CannotOpen, ConstraintViolation, DatabaseBusy, DatabaseLocked, SystemIoFailure,
        };
        let kind = match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => FaultKind::Conflict,
            Some(CannotOpen | SystemIoFailure) => FaultKind::Connect,
            // Of a primary key, or unique.
            Some(ConstraintViolation)
                if error.sqlite_error().is_some_and(|e| matches!(e.extended_code, 1555 | 2067)) =>
            {
                FaultKind::Duplicate
            }
            Some(ConstraintViolation) => FaultKind::Value,
            _ => FaultKind::Other,
        };
        Fault::new(kind, format!("jdbc:sqlite:{}: {error}", self.path))
    }

    fn scan_all(
        &self,
        reading: &Reading,
        range: Option<&Range>,
        rows: usize,
        mut take: Taker,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(), Fault> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let names: Vec<String> =
            reading.schema.fields().iter().map(|f| quoted(System::Sqlite, f.name())).collect();
        let list = if names.is_empty() { "1".to_string() } else { names.join(", ") };
        let bounds = range.map_or_else(String::new, |range| {
            let column = quoted(System::Sqlite, &range.column);
            format!(" WHERE {column} BETWEEN {} AND {}", range.from, range.to)
        });
        let sql = format!("SELECT {list} FROM {}{bounds}", quoted_table(System::Sqlite, &reading.table));
        let said = |e: rusqlite::Error| self.fault(&e);
        let wrong = |what: String| Fault::new(FaultKind::Value, format!("jdbc:sqlite:{}: {what}", self.path));
        let mut statement = connection.prepare(&sql).map_err(said)?;
        let mut found = statement.query([]).map_err(said)?;
        let mut batch = Rows::new(&reading.schema);
        while let Some(row) = found.next().map_err(said)? {
            for i in 0..reading.schema.fields().len() {
                let value = row.get_ref(i).map_err(said)?;
                read(value).and_then(|value| batch.push(i, value)).map_err(wrong)?;
            }
            batch.end_row();
            if batch.len() >= rows {
                let full = std::mem::replace(&mut batch, Rows::new(&reading.schema));
                if !runtime.block_on(take(full.finish(&reading.schema).map_err(wrong)?)) {
                    return Ok(());
                }
            }
        }
        if batch.len() > 0 {
            runtime.block_on(take(batch.finish(&reading.schema).map_err(wrong)?));
        }
        Ok(())
    }
}

/// A value as our columns take it.
pub(crate) fn read(value: ValueRef<'_>) -> Result<Value<'_>, String> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        ValueRef::Real(v) => Value::Float(v),
        ValueRef::Text(bytes) => {
            Value::Text(std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_string())?)
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
    })
}

/// A value as SQLite stores it.
pub(crate) fn bound(column: &ArrayRef, row: usize) -> Result<Owned, String> {
    if column.is_null(row) {
        return Ok(Owned::Null);
    }
    Ok(match column.data_type() {
        DataType::Int8 => Owned::Integer(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Owned::Integer(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Owned::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Owned::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Owned::Real(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Owned::Real(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Owned::Integer(column.as_boolean().value(row).into()),
        DataType::BinaryView => Owned::Blob(column.as_binary_view().value(row).to_vec()),
        DataType::Utf8View => Owned::Text(column.as_string_view().value(row).to_string()),
        // Dates and decimals are texts there.
        _ => Owned::Text(array_value_to_string(column, row).map_err(|e| e.to_string())?),
    })
}

/// A value that is written: times as SQLite's functions have them, 2026-01-05 08:00:00.5, in UTC.
fn written(column: &ArrayRef, row: usize) -> Result<Owned, String> {
    let DataType::Timestamp(unit, _) = column.data_type() else { return bound(column, row) };
    if column.is_null(row) {
        return Ok(Owned::Null);
    }
    let value = arrow::compute::cast(&column.slice(row, 1), &DataType::Int64).map_err(|e| e.to_string())?;
    let value = value.as_primitive::<Int64Type>().value(0);
    let time = match unit {
        TimeUnit::Second => chrono::DateTime::from_timestamp(value, 0),
        TimeUnit::Millisecond => chrono::DateTime::from_timestamp_millis(value),
        TimeUnit::Microsecond => chrono::DateTime::from_timestamp_micros(value),
        TimeUnit::Nanosecond => Some(chrono::DateTime::from_timestamp_nanos(value)),
    };
    Ok(Owned::Text(time.ok_or("a time that is too early or late")?.naive_utc().to_string()))
}

impl Database for Sqlite {
    fn scan(
        self: Arc<Self>,
        reading: Arc<Reading>,
        range: Option<Range>,
        rows: usize,
        take: Taker,
    ) -> BoxFuture<Result<(), Fault>> {
        let database = self;
        Box::pin(async move {
            let runtime = tokio::runtime::Handle::current();
            let work = move || database.scan_all(&reading, range.as_ref(), rows, take, &runtime);
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>> {
        let database = self;
        Box::pin(async move {
            let connection = database.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            Ok(Box::new(SqliteSession { database: Sqlite::clone(&database), connection: Some(connection) })
                as Box<dyn Session>)
        })
    }
}

fn ended() -> Fault {
    Fault::new(FaultKind::Connect, "the thread of SQLite has ended")
}

struct SqliteSession {
    database: Sqlite,
    connection: Option<Connection>,
}

impl SqliteSession {
    /// Works on the connection where it may wait.
    async fn on<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let connection = self.connection.take().ok_or_else(ended)?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&connection);
            (connection, result)
        });
        let (connection, result) = worked.await.map_err(|_| ended())?;
        self.connection = Some(connection);
        result.map_err(|e| self.database.fault(&e))
    }

    /// One prepared statement for all rows.
    async fn each(&mut self, sql: String, rows: &RecordBatch) -> Result<(), Fault> {
        let mut values = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let of_row =
                rows.columns().iter().map(|column| written(column, row)).collect::<Result<Vec<_>, _>>();
            values.push(of_row.map_err(|what| Fault::new(FaultKind::Value, what))?);
        }
        self.on(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            values.into_iter().try_for_each(|row| statement.execute(params_from_iter(row)).map(drop))
        })
        .await
    }
}

impl Session for SqliteSession {
    fn execute<'a>(&'a mut self, sql: &'a str) -> Borrowing<'a, Result<u64, Fault>> {
        // Two that read before they write would wait for each other.
        let sql = if sql == "BEGIN" { "BEGIN IMMEDIATE".to_string() } else { sql.to_string() };
        Box::pin(self.on(move |connection| {
            connection.execute_batch(&sql)?;
            Ok(connection.changes())
        }))
    }

    fn number<'a>(&'a mut self, sql: &'a str) -> Borrowing<'a, Result<Option<i64>, Fault>> {
        let sql = sql.to_string();
        Box::pin(self.on(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            match rows.next()? {
                Some(row) => row.get(0),
                None => Ok(None),
            }
        }))
    }

    fn insert<'a>(
        &'a mut self,
        target: &'a Target,
        rows: &'a RecordBatch,
        upsert: bool,
    ) -> Borrowing<'a, Result<(), Fault>> {
        let table = quoted_table(System::Sqlite, &target.table);
        let places = vec!["?"; rows.num_columns()].join(", ");
        let conflict = if upsert { target.conflict(System::Sqlite) } else { String::new() };
        let list = target.list(System::Sqlite);
        Box::pin(self.each(format!("INSERT INTO {table} ({list}) VALUES ({places}){conflict}"), rows))
    }

    fn delete<'a>(
        &'a mut self,
        target: &'a Target,
        keys: &'a RecordBatch,
    ) -> Borrowing<'a, Result<(), Fault>> {
        let table = quoted_table(System::Sqlite, &target.table);
        let columns = target.key.iter().map(|key| quoted(System::Sqlite, target.schema.field(*key).name()));
        let conditions: Vec<String> = columns.map(|column| format!("{column} = ?")).collect();
        Box::pin(self.each(format!("DELETE FROM {table} WHERE {}", conditions.join(" AND ")), keys))
    }
}
