//! Checkpoints in memory, for tests of operators: applies snapshot after snapshot as a store does, and gives the state
//! back to any number of tasks.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use serde_json::Value;

use super::snapshot::{Former, Restored, Scope, Snapshot};

/// A table: where its rows stand in the batches that came.
struct Table {
    scope: Scope,
    rows: RecordBatch,
    places: BTreeMap<u64, u32>,
}

#[derive(Default)]
struct Task {
    finished: bool,
    tables: BTreeMap<String, Table>,
    values: BTreeMap<String, Value>,
}

/// What one operator left in its tasks.
#[derive(Default)]
pub struct Ledger {
    tasks: BTreeMap<usize, Task>,
}

impl Ledger {
    /// Takes in what a task wrote.
    pub fn add(&mut self, task: usize, snapshot: Snapshot) {
        let entry = self.tasks.entry(task).or_default();
        let (deltas, values) = snapshot.into_parts();
        entry.values.extend(values);
        for mut delta in deltas {
            let table = entry.tables.entry(delta.table.to_string()).or_insert_with(|| Table {
                scope: delta.scope.clone(),
                rows: delta.rows.slice(0, 0),
                places: BTreeMap::new(),
            });
            assert_eq!(table.scope, delta.scope, "the scope of a table never changes");
            if delta.whole {
                table.places.clear();
            }
            for range in std::mem::take(&mut delta.removed) {
                table.places.retain(|id, _| !range.contains(id));
            }
            let first = table.rows.num_rows() as u32;
            table.rows = concat_batches(&delta.rows.schema(), [&table.rows, &delta.rows]).unwrap();
            if let Some(more) = &delta.more {
                more.each(&mut |ids, rows| {
                    table.rows = concat_batches(&table.rows.schema(), [&table.rows, &rows]).unwrap();
                    delta.ids.extend(ids);
                    Ok(())
                })
                .unwrap();
            }
            let before = table.places.len();
            let ids = delta.ids.len();
            let mut fresh = std::collections::HashSet::new();
            for (row, id) in std::mem::take(&mut delta.ids).into_iter().enumerate() {
                assert!(fresh.insert(id), "id {id} twice in one snapshot of '{}'", delta.table);
                table.places.insert(id, first + row as u32);
            }
            assert!(table.places.len() <= before + ids);
        }
    }

    /// The task had come to its end.
    pub fn finish(&mut self, task: usize) {
        self.tasks.entry(task).or_default().finished = true;
    }

    /// Rows of a table over all tasks.
    pub fn rows(&self, table: &str) -> usize {
        self.tasks.values().filter_map(|t| t.tables.get(table)).map(|t| t.places.len()).sum()
    }

    /// The state for one task of so many.
    pub fn restore(&self, task: usize, tasks: usize) -> Restored {
        let former = |(&number, task): (&usize, &Task)| {
            let values = task.values.clone();
            let mut former = Former::with_values(number, self.tasks.len(), task.finished, values);
            for (name, table) in &task.tables {
                let ids: Vec<u64> = table.places.keys().copied().collect();
                let places = UInt32Array::from_iter_values(table.places.values().copied());
                let rows = take_record_batch(&table.rows, &places).unwrap();
                former.add(name, table.scope.clone(), ids, rows);
            }
            former
        };
        Restored::new(task, tasks, self.tasks.iter().map(former).collect())
    }
}
