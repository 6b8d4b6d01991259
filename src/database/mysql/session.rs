//! Writing to MySQL and MariaDB: statements of many rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::fault;
use super::value::{self, binds, bound};
use crate::database::{Fault, FaultKind, Session, System, Target, quoted_table};
use crate::format::nested;

/// Rows of a statement at most, a power of two.
const ROWS: usize = 512;
/// Places for values in a statement at most.
const PLACES: usize = 60_000;
/// Bytes of values in a statement, below what a server takes by default.
const BYTES: usize = 1 << 20;

pub(super) struct MySqlSession {
    connection: Conn,
    shown: String,
    /// The columns that rows go to, by the table and their list.
    targets: HashMap<String, Arc<[value::Target]>>,
}

impl MySqlSession {
    pub(super) fn new(connection: Conn, shown: String) -> Self {
        Self { connection, shown, targets: HashMap::new() }
    }

    /// The columns of a table that rows go to.
    async fn targets(
        &mut self,
        rows: &RecordBatch,
        table: &str,
        list: &str,
    ) -> Result<Arc<[value::Target]>, Fault> {
        let sql = format!("SELECT {list} FROM {table}");
        if let Some(known) = self.targets.get(&sql) {
            return Ok(known.clone());
        }
        let statement = self.connection.prep(&*sql).await.map_err(|e| fault(&e).at(&self.shown))?;
        let schema = rows.schema();
        let columns = statement.columns();
        let made =
            columns.iter().zip(schema.fields()).map(|(column, field)| value::Target::new(column, field));
        let made = made.collect::<Result<Arc<[_]>, Fault>>().map_err(|fault| fault.at(&self.shown))?;
        self.targets.insert(sql, made.clone());
        Ok(made)
    }

    /// `front VALUES (?, ?), (?, ?) back` for all rows, as few statements as their shapes allow.
    async fn rows(
        &mut self,
        rows: &RecordBatch,
        targets: &[value::Target],
        (front, back): (&str, &str),
        single: bool,
    ) -> Result<(), Fault> {
        let rows =
            &nested::flat(rows).map_err(|e| Fault::new(FaultKind::Value, e.message()).at(&self.shown))?;
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
                for ((column, field), target) in rows.columns().iter().zip(schema.fields()).zip(targets) {
                    let value = bound(column, row + count).ok_or_else(|| {
                        format!("column '{}' has a value that MySQL does not have", field.name())
                    });
                    let value = value
                        .and_then(|value| target.kept(value, field))
                        .map_err(|what| Fault::new(FaultKind::Value, what).at(&self.shown))?;
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
            let list = target.list(System::MySql);
            let targets = self.targets(rows, &table, &list).await?;
            let front = format!("INSERT INTO {table} ({list}) VALUES ");
            let back = if upsert { target.conflict(System::MySql) } else { String::new() };
            self.rows(rows, &targets, (&front, &back), false).await
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
            let targets = self.targets(keys, &table, &list).await?;
            let single = keys.num_columns() == 1;
            let key = if single { list } else { format!("({list})") };
            self.rows(keys, &targets, (&format!("DELETE FROM {table} WHERE {key} IN ("), ")"), single).await
        })
    }
}
