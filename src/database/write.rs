//! Writing: what a connection does, and the statements that move what was staged.
//!
//! A stage is a table of ours beside the target. Rows lie there with the task, the batch and the place they came in,
//! until a checkpoint that holds them is durable:
//!
//! ```text
//!  rows ──> affluent_stage_ID (attempt, task, batch, row, kind, columns ...) ──┐ one transaction
//!           affluent_checkpoints (sink, attempt, epoch, ...)                   └─> target, epoch, stage without them
//! ```

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;

use super::{Fault, System, quoted, quoted_table};

/// The table of ours that says which checkpoint is committed.
pub(crate) const CHECKPOINTS: &str = "affluent_checkpoints";

/// Columns of a stage before those of the target.
pub(crate) const STAGE_COLUMNS: [&str; 5] =
    ["affluent_attempt", "affluent_task", "affluent_batch", "affluent_row", "affluent_kind"];

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As the option has it.
    pub(crate) table: String,
    pub(crate) schema: SchemaRef,
    /// The primary key; empty: rows are added.
    pub(crate) key: Vec<usize>,
}

/// A connection that writes.
pub(crate) trait Session: Send {
    /// Statements without values; how many rows the last has touched.
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, Fault>>;

    /// The whole number that a query returns, if it returns a row.
    fn number<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Option<i64>, Fault>>;

    /// Adds rows; `upsert`: in place of those with the same key.
    fn insert<'a>(
        &'a mut self,
        target: &'a Target,
        rows: &'a RecordBatch,
        upsert: bool,
    ) -> BoxFuture<'a, Result<(), Fault>>;

    /// Removes the rows with these keys.
    fn delete<'a>(
        &'a mut self,
        target: &'a Target,
        keys: &'a RecordBatch,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

impl Target {
    fn names(&self, system: System) -> Vec<String> {
        self.schema.fields().iter().map(|f| quoted(system, f.name())).collect()
    }

    /// Columns in a list.
    pub(crate) fn list(&self, system: System) -> String {
        self.names(system).join(", ")
    }

    fn keys(&self, system: System) -> Vec<String> {
        self.key.iter().map(|i| quoted(system, self.schema.field(*i).name())).collect()
    }

    /// The key columns in a list.
    pub(crate) fn key_list(&self, system: System) -> String {
        self.keys(system).join(", ")
    }

    /// What follows INSERT so that a row with the same key is replaced.
    pub(crate) fn conflict(&self, system: System) -> String {
        let names = self.names(system);
        let others = names.iter().enumerate().filter(|(i, _)| !self.key.contains(i)).map(|(_, name)| name);
        let set = |of: &dyn Fn(&String) -> String| others.clone().map(of).collect::<Vec<_>>().join(", ");
        match system {
            System::MySql => {
                let set = set(&|name| format!("{name} = VALUES({name})"));
                let first = self.keys(system).first().cloned().unwrap_or_default();
                let set = if set.is_empty() { format!("{first} = {first}") } else { set };
                format!(" ON DUPLICATE KEY UPDATE {set}")
            }
            System::Postgres | System::Sqlite => {
                let set = set(&|name| format!("{name} = EXCLUDED.{name}"));
                let what = if set.is_empty() { "NOTHING".into() } else { format!("UPDATE SET {set}") };
                format!(" ON CONFLICT ({}) DO {what}", self.key_list(system))
            }
        }
    }

    /// Makes a stage of this name with the target's columns.
    pub(crate) fn create_stage(&self, system: System, stage: &str) -> String {
        let (wide, narrow) = match system {
            System::MySql => ("SIGNED", "SIGNED"),
            System::Postgres | System::Sqlite => ("BIGINT", "INTEGER"),
        };
        let [attempt, task, batch, row, kind] = STAGE_COLUMNS;
        format!(
            "CREATE TABLE IF NOT EXISTS {} AS SELECT CAST(0 AS {wide}) AS {attempt}, CAST(0 AS {narrow}) AS {task}, \
             CAST(0 AS {wide}) AS {batch}, CAST(0 AS {wide}) AS {row}, CAST(0 AS {narrow}) AS {kind}, {} FROM {} \
             WHERE 1 = 0",
            quoted_table(system, stage),
            self.list(system),
            quoted_table(system, &self.table)
        )
    }

    /// Moves the rows of a stage that fulfil a condition into the target.
    pub(crate) fn apply(&self, system: System, stage: &str, condition: &str) -> Vec<String> {
        let (table, stage) = (quoted_table(system, &self.table), quoted_table(system, stage));
        let list = self.list(system);
        let [_, task, batch, row, kind] = STAGE_COLUMNS;
        let remove = format!("DELETE FROM {stage} WHERE {condition}");
        if self.key.is_empty() {
            let order = format!("{task}, {batch}, {row}");
            let insert = format!(
                "INSERT INTO {table} ({list}) SELECT {list} FROM {stage} WHERE {condition} ORDER BY {order}"
            );
            return vec![insert, remove];
        }
        // The last word on each key.
        let keys = self.key_list(system);
        let last = format!(
            "(SELECT {list}, {kind}, ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {task} DESC, {batch} DESC, {row} \
             DESC) AS affluent_last FROM {stage} WHERE {condition}) AS affluent_rows WHERE affluent_last = 1"
        );
        let key = if self.key.len() == 1 { keys.clone() } else { format!("({keys})") };
        vec![
            format!("DELETE FROM {table} WHERE {key} IN (SELECT {keys} FROM {last} AND {kind} = 1)"),
            format!(
                "INSERT INTO {table} ({list}) SELECT {list} FROM {last} AND {kind} = 0{}",
                self.conflict(system)
            ),
            remove,
        ]
    }
}

/// Makes the table of checkpoints.
pub(crate) fn create_checkpoints(system: System, table: &str) -> String {
    let text = if system == System::MySql { "VARCHAR(128)" } else { "TEXT" };
    format!(
        "CREATE TABLE IF NOT EXISTS {} (sink {text} NOT NULL PRIMARY KEY, attempt BIGINT NOT NULL, \
         epoch BIGINT NOT NULL, finished INTEGER NOT NULL, target {text}, \
         changed TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
        quoted_table(system, table)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn conflicts_in_each_system() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("no", DataType::Int32, false),
            Field::new("v\"", DataType::Utf8View, true),
        ]);
        let target = Target { table: "s.t".into(), schema: Arc::new(schema), key: vec![0, 1] };
        assert_eq!(
            target.conflict(System::Postgres),
            r#" ON CONFLICT ("id", "no") DO UPDATE SET "v""" = EXCLUDED."v""""#
        );
        assert_eq!(target.conflict(System::MySql), " ON DUPLICATE KEY UPDATE `v\"` = VALUES(`v\"`)");
        let keys_only = Target { key: vec![0, 1, 2], ..target };
        assert!(keys_only.conflict(System::Sqlite).ends_with("DO NOTHING"));
        let moves = keys_only.apply(System::Sqlite, "stage", "affluent_attempt = 1");
        assert_eq!(moves.len(), 3);
        assert!(moves[0].starts_with(r#"DELETE FROM "s"."t" WHERE ("id", "no", "v""") IN (SELECT"#));
    }
}
