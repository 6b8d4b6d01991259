//! SQLite files: read as a whole, and written, on threads that may wait.
//!
//! Values have types of their own there, columns an affinity that may change a value on its way in: a text of a number
//! becomes the nearest floating-point number in a column of numbers. Such a value is refused. Times are texts, or whole
//! numbers where the URL says what they count (`date_precision`).

pub(crate) mod lookup;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit,
};
use arrow::util::display::array_value_to_string;
use futures::future::BoxFuture as Borrowing;
use rusqlite::types::{Value as Owned, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{
    Database, Described, Fault, FaultKind, JdbcUrl, Range, Reading, Session, System, Taker, Target, parts,
    quoted, quoted_table, spelled,
};
use crate::error::{Error, Result as Checked};
use crate::format::nested;
use crate::lookup::BoxFuture;
use crate::lookup::values::{Rows, Value};
use crate::sql::SqlType;

/// How long a lock is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// What whole numbers that are times count.
const PRECISION: &str = "date_precision";
/// Parameters of the JDBC driver that tune what is not here.
const TUNING: &[&str] = &[
    "busy_timeout",
    "cache",
    "cache_size",
    "foreign_keys",
    "immutable",
    "journal_mode",
    "mode",
    "open_mode",
    "shared_cache",
    "synchronous",
    "temp_store",
    "transaction_mode",
];

/// Microseconds of one of the whole numbers that times are; `None`: times are texts.
pub(crate) type Tick = Option<i64>;

/// The tick of a URL.
pub(crate) fn tick(url: &JdbcUrl) -> Checked<Tick> {
    url.check_parameters(&[PRECISION], TUNING)?;
    match url.parameters.get(PRECISION).map(|p| p.to_ascii_lowercase()).as_deref() {
        None => Ok(None),
        Some("seconds") => Ok(Some(1_000_000)),
        Some("milliseconds") => Ok(Some(1000)),
        Some(other) => Err(Error::option(format!("option 'url': {PRECISION}={other} is not known"))
            .with_hint(format!("{PRECISION}=seconds or {PRECISION}=milliseconds"))),
    }
}

/// A file.
#[derive(Clone)]
pub(crate) struct Sqlite {
    path: String,
    tick: Tick,
}

/// A name in double quotes that no column has is an error, and not a text, as in SQLite by default.
fn names_are_names(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map(|_| ())
}

impl Sqlite {
    pub(crate) fn new(url: &JdbcUrl) -> Checked<Self> {
        Ok(Self { path: url.name.clone(), tick: tick(url)? })
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
            for (i, field) in reading.schema.fields().iter().enumerate() {
                let value = row.get_ref(i).map_err(said)?;
                read(value, field, self.tick).and_then(|value| batch.push(i, value)).map_err(wrong)?;
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
pub(crate) fn read<'a>(value: ValueRef<'a>, field: &Field, tick: Tick) -> Result<Value<'a>, String> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => match (field.data_type(), tick) {
            (DataType::Timestamp(..), Some(tick)) => {
                let micros = v.checked_mul(tick);
                Value::Micros(micros.ok_or_else(|| format!("column '{}': {v} is no time", field.name()))?)
            }
            (DataType::Timestamp(..), None) => {
                return Err(format!(
                    "column '{}': is the whole number {v} a time in seconds or in milliseconds? say \
                     ?{PRECISION}=seconds or ?{PRECISION}=milliseconds behind the file's name in 'url', or declare BIGINT",
                    field.name()
                ));
            }
            _ => Value::Int(v),
        },
        ValueRef::Real(v) => Value::Float(v),
        ValueRef::Text(bytes) => Value::Text(
            std::str::from_utf8(bytes)
                .map_err(|_| format!("column '{}' has a text that is not UTF-8", field.name()))?,
        ),
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
    })
}

/// A value as SQLite stores it: times as its functions have them, 2026-01-05 08:00:00.5, in UTC. `None`: where times are
/// whole numbers there is none of this value.
pub(crate) fn bound(column: &ArrayRef, row: usize, tick: Tick) -> Result<Option<Owned>, String> {
    if column.is_null(row) {
        return Ok(Some(Owned::Null));
    }
    Ok(Some(match column.data_type() {
        DataType::Int8 => Owned::Integer(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Owned::Integer(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Owned::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Owned::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Owned::Real(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Owned::Real(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Owned::Integer(column.as_boolean().value(row).into()),
        DataType::BinaryView => Owned::Blob(column.as_binary_view().value(row).to_vec()),
        DataType::Utf8View => Owned::Text(column.as_string_view().value(row).to_string()),
        DataType::Decimal128(..) => Owned::Text(column.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Timestamp(unit, _) => {
            let value =
                arrow::compute::cast(&column.slice(row, 1), &DataType::Int64).map_err(|e| e.to_string())?;
            let value = value.as_primitive::<Int64Type>().value(0);
            let time = match unit {
                TimeUnit::Second => chrono::DateTime::from_timestamp(value, 0),
                TimeUnit::Millisecond => chrono::DateTime::from_timestamp_millis(value),
                TimeUnit::Microsecond => chrono::DateTime::from_timestamp_micros(value),
                TimeUnit::Nanosecond => Some(chrono::DateTime::from_timestamp_nanos(value)),
            };
            let time = time.ok_or("a time that is too early or late")?;
            match tick {
                None => Owned::Text(time.naive_utc().to_string()),
                Some(tick) => {
                    let micros = time.timestamp_micros();
                    let whole = micros % tick == 0 && time.timestamp_subsec_nanos() % 1000 == 0;
                    return Ok(whole.then_some(Owned::Integer(micros / tick)));
                }
            }
        }
        // Dates and times of day are texts there.
        _ => Owned::Text(array_value_to_string(column, row).map_err(|e| e.to_string())?),
    }))
}

/// A column of a table.
struct Declared {
    name: String,
    declared: String,
    /// Its place in the primary key, from 1; 0: it is not in it.
    key: i64,
}

/// The columns of a table, or of a view.
fn columns(connection: &Connection, name: &[String]) -> rusqlite::Result<Vec<Declared>> {
    let (schema, table) = match name {
        [schema, table] => (Some(schema), table.as_str()),
        [table] => (None, table.as_str()),
        _ => (None, ""),
    };
    let mut statement = connection.prepare("SELECT name, type, pk FROM pragma_table_info(?1, ?2)")?;
    let found = statement.query_map((table, schema), |row| {
        Ok(Declared { name: row.get(0)?, declared: row.get(1)?, key: row.get(2)? })
    })?;
    found.collect()
}

/// What a column is declared as, from the words of its type there.
fn declarable(declared: &str) -> SqlType {
    let upper = declared.to_ascii_uppercase();
    let (word, rest) = upper.split_once('(').unwrap_or((&upper, ""));
    let numbers: Vec<u8> =
        rest.trim_end_matches(')').split(',').filter_map(|n| n.trim().parse().ok()).collect();
    match (word.trim(), numbers.as_slice()) {
        ("BOOLEAN" | "BOOL", _) => SqlType::Boolean,
        ("DATE", _) => SqlType::Date,
        ("TIME", _) => SqlType::Time(3),
        ("DATETIME" | "TIMESTAMP", _) => SqlType::Timestamp(6),
        ("DECIMAL" | "NUMERIC", [precision @ 1..=38]) => SqlType::Decimal(*precision, 0),
        ("DECIMAL" | "NUMERIC", [precision @ 1..=38, scale]) if scale <= precision => {
            SqlType::Decimal(*precision, *scale as i8)
        }
        (word, _) if word.contains("INT") => SqlType::BigInt,
        (word, _) if word.contains("BLOB") => SqlType::Bytes,
        (word, _) if Affinity::of(word) == Affinity::Real => SqlType::Double,
        _ => SqlType::String,
    }
}

/// What a column does to values that are put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    /// Whole numbers and texts of numbers become floating-point numbers.
    Real,
    /// Texts of numbers become numbers.
    Numeric,
    /// Text, or nothing.
    Keeps,
}

impl Affinity {
    /// By the rules of SQLite, from the words of a column's type.
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Numeric
        } else if declared.is_empty() || has(&["CHAR", "CLOB", "TEXT", "BLOB"]) {
            Self::Keeps
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether a value comes out as it goes in.
    fn keeps(self, value: &Owned, from: &DataType) -> bool {
        match (self, value) {
            (Self::Real, Owned::Integer(v)) => i128::from(*v) == (*v as f64) as i128,
            (Self::Real | Self::Numeric, Owned::Text(text)) if matches!(from, DataType::Decimal128(..)) => {
                let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').count();
                let trailing = if text.contains('.') {
                    text.bytes().rev().take_while(|b| *b == b'0').count()
                } else {
                    0
                };
                digits - trailing.min(digits) <= 15 || (self == Self::Numeric && text.parse::<i64>().is_ok())
            }
            _ => true,
        }
    }
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

    fn describe(self: Arc<Self>, table: String) -> BoxFuture<Result<Described, Fault>> {
        let database = self;
        Box::pin(async move {
            let work = move || -> Result<Described, Fault> {
                let connection = database.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let found = columns(&connection, &parts(&table)).map_err(|e| database.fault(&e))?;
                if found.is_empty() {
                    let what = format!("jdbc:sqlite:{}: no such table: {table}", database.path);
                    return Err(Fault::new(FaultKind::Other, what));
                }
                let mut key: Vec<&Declared> = found.iter().filter(|column| column.key > 0).collect();
                key.sort_by_key(|column| column.key);
                Ok(Described {
                    key: key.into_iter().map(|column| column.name.clone()).collect(),
                    columns: found.iter().map(|c| (c.name.clone(), declarable(&c.declared))).collect(),
                })
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn tables(self: Arc<Self>) -> BoxFuture<Result<Vec<String>, Fault>> {
        let database = self;
        Box::pin(async move {
            let work = move || -> Result<Vec<String>, Fault> {
                let connection = database.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let said = |e: rusqlite::Error| database.fault(&e);
                let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
                           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
                let mut statement = connection.prepare(sql).map_err(said)?;
                let found = statement.query_map([], |row| row.get::<_, String>(0)).map_err(said)?;
                let names = found.collect::<rusqlite::Result<Vec<String>>>().map_err(said)?;
                Ok(names.into_iter().map(|name| spelled(&[name])).collect())
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>> {
        let database = self;
        Box::pin(async move {
            let connection = database.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            Ok(Box::new(SqliteSession {
                database: Sqlite::clone(&database),
                connection: Some(connection),
                declared: HashMap::new(),
            }) as Box<dyn Session>)
        })
    }
}

fn ended() -> Fault {
    Fault::new(FaultKind::Connect, "the thread of SQLite has ended")
}

struct SqliteSession {
    database: Sqlite,
    connection: Option<Connection>,
    /// The types of the columns of tables, as they are declared there.
    declared: HashMap<String, Arc<HashMap<String, String>>>,
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

    /// The types of a table's columns; none of what is no table.
    async fn declared(&mut self, table: &str) -> Result<Arc<HashMap<String, String>>, Fault> {
        if let Some(known) = self.declared.get(table) {
            return Ok(known.clone());
        }
        let parts = parts(table);
        let found = self
            .on(move |connection| {
                let columns = columns(connection, &parts)?;
                Ok(columns.into_iter().map(|column| (column.name.to_lowercase(), column.declared)).collect())
            })
            .await?;
        let found: Arc<HashMap<String, String>> = Arc::new(found);
        self.declared.insert(table.to_string(), found.clone());
        Ok(found)
    }

    /// One prepared statement for all rows.
    async fn each(&mut self, sql: String, table: &str, rows: &RecordBatch) -> Result<(), Fault> {
        let declared = self.declared(table).await?;
        let path = &self.database.path;
        let wrong = |what: String| Fault::new(FaultKind::Value, format!("jdbc:sqlite:{path}: {what}"));
        let rows = &nested::flat(rows).map_err(|e| wrong(e.message().to_string()))?;
        let schema = rows.schema();
        let affinities: Vec<Affinity> = schema
            .fields()
            .iter()
            .map(|f| declared.get(&f.name().to_lowercase()).map_or(Affinity::Keeps, |t| Affinity::of(t)))
            .collect();
        let mut values = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let mut of_row = Vec::with_capacity(rows.num_columns());
            for ((column, field), affinity) in rows.columns().iter().zip(schema.fields()).zip(&affinities) {
                let misfit = |what: &str| {
                    let shown = array_value_to_string(column, row).unwrap_or_default();
                    wrong(format!("column '{}': {shown} {what}", field.name()))
                };
                let value = bound(column, row, self.database.tick).map_err(wrong)?;
                let value = value.ok_or_else(|| misfit("has more digits than the numbers of times there"))?;
                if !affinity.keeps(&value, field.data_type()) {
                    let types = declared.get(&field.name().to_lowercase()).map_or("", String::as_str);
                    return Err(misfit(&format!("would be rounded by the database's {types}"))
                        .with_hint("declare the column of the database as TEXT"));
                }
                of_row.push(value);
            }
            values.push(of_row);
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
        let sql = format!("INSERT INTO {table} ({list}) VALUES ({places}){conflict}");
        Box::pin(self.each(sql, &target.table, rows))
    }

    fn delete<'a>(
        &'a mut self,
        target: &'a Target,
        keys: &'a RecordBatch,
    ) -> Borrowing<'a, Result<(), Fault>> {
        let table = quoted_table(System::Sqlite, &target.table);
        let columns = target.key.iter().map(|key| quoted(System::Sqlite, target.schema.field(*key).name()));
        let conditions: Vec<String> = columns.map(|column| format!("{column} = ?")).collect();
        let sql = format!("DELETE FROM {table} WHERE {}", conditions.join(" AND "));
        Box::pin(self.each(sql, &target.table, keys))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_that_a_column_would_round_are_recognised() {
        let decimal = DataType::Decimal128(38, 2);
        let text = |text: &str| Owned::Text(text.to_string());
        for (declared, value, kept) in [
            ("DECIMAL(20, 2)", text("1234567890123.45"), true),
            ("DECIMAL(20, 2)", text("12345678901234567.25"), false),
            ("NUMERIC", text("9007199254740993"), true),
            ("NUMERIC", text("9007199254740993.00"), false),
            ("NUMERIC", text("0.00"), true),
            ("REAL", text("9007199254740993"), false),
            ("REAL", Owned::Integer(9_007_199_254_740_993), false),
            ("DOUBLE PRECISION", Owned::Integer(1 << 53), true),
            ("TEXT", text("12345678901234567.25"), true),
            ("", text("12345678901234567.25"), true),
            ("FLOATING POINT", Owned::Integer(i64::MAX), true),
        ] {
            assert_eq!(Affinity::of(declared).keeps(&value, &decimal), kept, "{declared} {value:?}");
        }
        // A text that is declared as one is the database's matter.
        assert!(Affinity::Numeric.keeps(&text("12345678901234567.25"), &DataType::Utf8View));
    }

    #[test]
    fn types_of_columns() {
        for (declared, shown) in [
            ("INTEGER", "BIGINT"),
            ("DECIMAL(8, 2)", "DECIMAL(8, 2)"),
            ("numeric(5)", "DECIMAL(5, 0)"),
            ("NUMERIC", "STRING"),
            ("VARCHAR(20)", "STRING"),
            ("double precision", "DOUBLE"),
            ("datetime", "TIMESTAMP(6)"),
            ("BLOB", "BYTES"),
            ("", "STRING"),
        ] {
            assert_eq!(declarable(declared).to_string(), shown, "{declared}");
        }
    }
}
