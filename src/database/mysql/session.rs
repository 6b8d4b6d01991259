//! Writing to MySQL and MariaDB: statements of many rows.

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::fault;
use super::value::{binds, bound};
use crate::database::{Fault, FaultKind, Session, System, Target, quoted_table};

/// Rows of a statement at most, a power of two.
const ROWS: usize = 512;
/// Places for values in a statement at most.
const PLACES: usize = 60_000;
/// Bytes of values in a statement, below what a server takes by default.
const BYTES: usize = 1 << 20;

pub(super) struct MySqlSession {
    connection: Conn,
    shown: String,
}

impl MySqlSession {
    pub(super) fn new(connection: Conn, shown: String) -> Self {
        Self { connection, shown }
    }

    /// `front VALUES (?, ?), (?, ?) back` for all rows, as few statements as their shapes allow.
    async fn rows(
        &mut self,
        rows: &RecordBatch,
        (front, back): (&str, &str),
        single: bool,
    ) -> Result<(), Fault> {
        let schema = rows.schema();
        if let Some(field) = schema.fields().iter().find(|f| !binds(f.data_type())) {
            let what = format!("column '{}' is of a type that MySQL does not have", field.name());
            return Err(Fault::new(FaultKind::Table, what).at(&self.shown));
        }
        let width = rows.num_columns().max(1);
        let most = (PLACES / width).clamp(1, ROWS);
        let place = if single { "?".to_string() } else { format!("({})", vec!["?"; width].join(", ")) };
        let mut row = 0;
        while row < rows.num_rows() {
            let mut values: Vec<Value> = Vec::new();
            let (mut count, mut bytes) = (0, 0);
            while row + count < rows.num_rows() && count < most && bytes < BYTES {
                for (column, field) in rows.columns().iter().zip(schema.fields()) {
                    let Some(value) = bound(column, row + count) else {
                        let what = format!("column '{}' has a value that MySQL does not have", field.name());
                        return Err(Fault::new(FaultKind::Value, what).at(&self.shown));
                    };
                    if let Value::Bytes(b) = &value {
                        bytes += b.len();
                    }
                    values.push(value);
                }
                count += 1;
            }
            // The largest power of two of them; the rest comes next.
            let shape = 1usize << (usize::BITS - 1 - count.leading_zeros());
            values.truncate(shape * rows.num_columns());
            let sql = format!("{front}{}{back}", vec![place.as_str(); shape].join(", "));
            let done = self.connection.exec_drop(sql, values).await;
            done.map_err(|e| fault(&e).at(&self.shown))?;
            row += shape;
        }
        Ok(())
    }
}

impl Session for MySqlSession {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async move {
            self.connection.query_drop(sql).await.map_err(|e| fault(&e).at(&self.shown))?;
            Ok(self.connection.affected_rows())
        })
    }

    fn number<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Option<i64>, Fault>> {
        Box::pin(async move {
            let found = self.connection.query_first::<Option<i64>, _>(sql).await;
            Ok(found.map_err(|e| fault(&e).at(&self.shown))?.flatten())
        })
    }

    fn insert<'a>(
        &'a mut self,
        target: &'a Target,
        rows: &'a RecordBatch,
        upsert: bool,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let table = quoted_table(System::MySql, &target.table);
            let front = format!("INSERT INTO {table} ({}) VALUES ", target.list(System::MySql));
            let back = if upsert { target.conflict(System::MySql) } else { String::new() };
            self.rows(rows, (&front, &back), false).await
        })
    }

    fn delete<'a>(
        &'a mut self,
        target: &'a Target,
        keys: &'a RecordBatch,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let table = quoted_table(System::MySql, &target.table);
            let list = target.key_list(System::MySql);
            let single = keys.num_columns() == 1;
            let key = if single { list } else { format!("({list})") };
            self.rows(keys, (&format!("DELETE FROM {table} WHERE {key} IN ("), ")"), single).await
        })
    }
}
