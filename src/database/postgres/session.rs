//! Writing to PostgreSQL by COPY: straight into the table, or through a temporary one where rows take the place of
//! others or where the server has to read a value from its text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{SinkExt, pin_mut};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::encode::{Values, put_array};
use super::wire::{Limit, Wire, mismatch, type_name};
use super::{Encoded, fault};
use crate::database::{Fault, FaultKind, Session, System, Target, quoted_table};

/// Bytes that are sent at a time.
const PIECE: usize = 256 << 10;

pub(super) struct PostgresSession {
    client: Client,
    shown: String,
    plans: HashMap<(String, bool), Arc<Plan>>,
    deletes: HashMap<String, Arc<Delete>>,
}

/// How rows get into a table.
struct Plan {
    wires: Vec<Wire>,
    /// What the columns would round.
    limits: Vec<Limit>,
    copy: String,
    /// Makes the temporary table, and moves what is in it.
    through: Option<String>,
}

struct Delete {
    sql: String,
    keys: Vec<(Wire, u32)>,
}

impl PostgresSession {
    pub(super) fn new(client: Client, shown: String) -> Self {
        Self { client, shown, plans: HashMap::new(), deletes: HashMap::new() }
    }

    fn at(&self, fault: Fault) -> Fault {
        fault.at(&self.shown)
    }

    async fn types(&self, target: &Target, list: &str) -> Result<Vec<(Type, Limit)>, Fault> {
        let table = quoted_table(System::Postgres, &target.table);
        let statement = self.client.prepare(&format!("SELECT {list} FROM {table}")).await;
        let statement = statement.map_err(|e| self.at(fault(&e)))?;
        let typed = |c: &tokio_postgres::Column| (c.type_().clone(), Limit::of(c.type_(), c.type_modifier()));
        Ok(statement.columns().iter().map(typed).collect())
    }

    async fn plan(&mut self, target: &Target, upsert: bool) -> Result<Arc<Plan>, Fault> {
        let id = (target.table.clone(), upsert);
        if let Some(plan) = self.plans.get(&id) {
            return Ok(plan.clone());
        }
        let list = target.list(System::Postgres);
        let table = quoted_table(System::Postgres, &target.table);
        let types = self.types(target, &list).await?;
        let (mut wires, mut made, mut read, mut as_text) = (Vec::new(), Vec::new(), Vec::new(), false);
        let limits = types.iter().map(|(_, limit)| *limit).collect();
        for (field, (t, _)) in target.schema.fields().iter().zip(&types) {
            let name = crate::database::quoted(System::Postgres, field.name());
            let wire = Wire::of(t);
            if wire.writes_from(field.data_type()) {
                wires.push(wire);
                made.push(name.clone());
                read.push(name);
            } else if *field.data_type() == DataType::Utf8View {
                as_text = true;
                wires.push(Wire::Text);
                made.push(format!("{name}::text AS {name}"));
                read.push(format!("{name}::{}", type_name(t)));
            } else {
                return Err(self.at(mismatch(field, t)));
            }
        }
        let plan = if upsert || as_text {
            let temporary = format!("affluent_rows_{}", self.plans.len());
            let create = format!(
                "CREATE TEMPORARY TABLE {temporary} ON COMMIT DELETE ROWS AS SELECT {} FROM {table} WHERE false",
                made.join(", ")
            );
            // Outside of the transaction of the rows: it stays when that one is rolled back.
            self.client.batch_execute(&create).await.map_err(|e| self.at(fault(&e)))?;
            let conflict = if upsert { target.conflict(System::Postgres) } else { String::new() };
            let moves =
                format!("INSERT INTO {table} ({list}) SELECT {} FROM {temporary}{conflict}", read.join(", "));
            Plan {
                wires,
                limits,
                copy: format!("COPY {temporary} ({list}) FROM STDIN (FORMAT binary)"),
                through: Some(moves),
            }
        } else {
            Plan {
                wires,
                limits,
                copy: format!("COPY {table} ({list}) FROM STDIN (FORMAT binary)"),
                through: None,
            }
        };
        let plan = Arc::new(plan);
        self.plans.insert(id, plan.clone());
        Ok(plan)
    }

    async fn copy(&self, plan: &Plan, target: &Target, rows: &RecordBatch) -> Result<(), Fault> {
        let value = |what| self.at(Fault::new(FaultKind::Value, what));
        let wires = plan.wires.iter().zip(&plan.limits);
        let columns = target.schema.fields().iter().zip(rows.columns()).zip(wires);
        let columns = columns
            .map(|((field, column), (wire, limit))| {
                Ok(Values::new(field.name(), column, wire)?.within(*limit))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(value)?;
        let sink =
            self.client.copy_in::<_, Bytes>(plan.copy.as_str()).await.map_err(|e| self.at(fault(&e)))?;
        pin_mut!(sink);
        let mut out = BytesMut::with_capacity(PIECE + 4096);
        out.put_slice(b"PGCOPY\n\xff\r\n\0");
        out.put_u64(0);
        for row in 0..rows.num_rows() {
            out.put_i16(columns.len() as i16);
            for column in &columns {
                column.put(row, &mut out).map_err(value)?;
            }
            if out.len() >= PIECE {
                sink.send(out.split().freeze()).await.map_err(|e| self.at(fault(&e)))?;
            }
        }
        out.put_i16(-1);
        sink.send(out.freeze()).await.map_err(|e| self.at(fault(&e)))?;
        sink.finish().await.map_err(|e| self.at(fault(&e)))?;
        Ok(())
    }

    async fn insert_rows(&mut self, target: &Target, rows: &RecordBatch, upsert: bool) -> Result<(), Fault> {
        let plan = self.plan(target, upsert).await?;
        self.copy(&plan, target, rows).await?;
        if let Some(moves) = &plan.through {
            let moved = self.client.batch_execute(moves).await;
            moved.map_err(|e| {
                let fault = self.at(fault(&e));
                match fault.message.contains("no unique or exclusion constraint") {
                    true => fault.with_hint(format!(
                        "CREATE UNIQUE INDEX ON {} ({})",
                        target.table,
                        target.key_list(System::Postgres)
                    )),
                    false => fault,
                }
            })?;
        }
        Ok(())
    }

    async fn delete_rows(&mut self, target: &Target, keys: &RecordBatch) -> Result<(), Fault> {
        let value = |what| Fault::new(FaultKind::Value, what).at(&self.shown);
        let delete = match self.deletes.get(&target.table) {
            Some(delete) => delete.clone(),
            None => {
                let list = target.key_list(System::Postgres);
                let types = self.types(target, &list).await?;
                let (mut wires, mut arrays) = (Vec::new(), Vec::new());
                for (n, (key, (t, _))) in target.key.iter().zip(&types).enumerate() {
                    let (field, wire) = (target.schema.field(*key), Wire::of(t));
                    if wire.writes_from(field.data_type()) {
                        wires.push((wire, t.oid()));
                        arrays.push(format!("unnest(${}::{}[])", n + 1, type_name(t)));
                    } else if *field.data_type() == DataType::Utf8View {
                        wires.push((Wire::Text, Type::TEXT.oid()));
                        arrays.push(format!("unnest(${}::text[])::{}", n + 1, type_name(t)));
                    } else {
                        return Err(mismatch(field, t).at(&self.shown));
                    }
                }
                let key = if types.len() == 1 { list } else { format!("({list})") };
                let table = quoted_table(System::Postgres, &target.table);
                let sql = format!("DELETE FROM {table} WHERE {key} IN (SELECT {})", arrays.join(", "));
                let delete = Arc::new(Delete { sql, keys: wires });
                self.deletes.insert(target.table.clone(), delete.clone());
                delete
            }
        };
        let array = |((column, (wire, element)), key): ((&_, &(Wire, u32)), &usize)| {
            let values = Values::new(target.schema.field(*key).name(), column, wire).map_err(value)?;
            let mut out = BytesMut::new();
            put_array(&values, 0..keys.num_rows(), *element, &mut out).map_err(value)?;
            Ok(Encoded(out.freeze()))
        };
        let arrays = keys.columns().iter().zip(&delete.keys).zip(&target.key).map(array);
        let arrays = arrays.collect::<Result<Vec<_>, Fault>>()?;
        let deleted = self.client.execute_raw(delete.sql.as_str(), arrays).await;
        deleted.map(drop).map_err(|e| self.at(fault(&e)))
    }
}

impl Session for PostgresSession {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async move {
            let said = self.client.simple_query(sql).await.map_err(|e| self.at(fault(&e)))?;
            let touched = said.iter().rev().find_map(|message| match message {
                SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
                _ => None,
            });
            Ok(touched.unwrap_or(0))
        })
    }

    fn number<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Option<i64>, Fault>> {
        Box::pin(async move {
            let said = self.client.simple_query(sql).await.map_err(|e| self.at(fault(&e)))?;
            let row = said.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            Ok(row.and_then(|row| row.get(0)?.parse().ok()))
        })
    }

    fn insert<'a>(
        &'a mut self,
        target: &'a Target,
        rows: &'a RecordBatch,
        upsert: bool,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.insert_rows(target, rows, upsert))
    }

    fn delete<'a>(
        &'a mut self,
        target: &'a Target,
        keys: &'a RecordBatch,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.delete_rows(target, keys))
    }
}
