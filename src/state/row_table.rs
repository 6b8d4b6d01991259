//! Kept rows as a table of a checkpoint.
//!
//! ```text
//!   columns of the row │ what the operator knows of it │ arrival
//!   k   v              │ matches                       │
//!   a   1              │ 3                             │ 17
//! ```
//! One row of the table is one kept row, under its id in the [`RowStore`]: a key with a hundred thousand rows
//! that gets another one writes that one. `arrival` tells the order in which rows came; they are given back in
//! that order, so that an operator can do with them what it did when they came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, Field, SchemaRef, UInt64Type};

use super::columns;
use super::rows::{RowStore, SEGMENT_ROWS};
use super::snapshot::{Piece, Restored, Scope, Snapshot};
use crate::error::Result;

/// How rows of a [`RowStore`] are written and read.
#[derive(Debug)]
pub struct RowTable {
    name: &'static str,
    scope: Scope,
    rows: SchemaRef,
    table: SchemaRef,
}

/// Rows that were taken back, and what stands beside each.
#[derive(Debug)]
pub struct Taken {
    /// The rows.
    pub rows: RecordBatch,
    /// The columns beside them.
    pub beside: Vec<ArrayRef>,
}

impl RowTable {
    /// A table for rows with this schema and `beside` them these columns. `keys`: the columns by which rows are
    /// exchanged, as positions in the rows' columns and then those beside them.
    pub fn new(
        name: &'static str,
        rows: &SchemaRef,
        beside: impl IntoIterator<Item = Field>,
        keys: Vec<usize>,
    ) -> Self {
        let arrival = Field::new("arrival", DataType::UInt64, true);
        let fields = rows.fields().iter().map(|f| f.as_ref().clone());
        let table = columns::schema(fields.chain(beside).chain([arrival]));
        Self { name, scope: Scope::Keyed(keys), rows: rows.clone(), table }
    }

    /// Adds the rows to a snapshot that have changed since the last one, or all. `beside` gives the columns
    /// beside rows by their ids.
    pub fn write(
        &self,
        store: &mut RowStore,
        snapshot: &mut Snapshot,
        beside: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
    ) -> Result<()> {
        let (ids, removed) = store.changes(snapshot.is_full());
        let mut columns = self.take(store, &ids)?;
        columns.extend(beside(&ids)?);
        columns.push(Arc::new(store.arrivals(&ids)));
        let rows = with_schema(&self.table, &columns, ids.len())?;
        let ids = ids.into_iter().map(u64::from).collect();
        snapshot.table(self.name, self.scope.clone(), ids, rows, removed)
    }

    /// The columns of rows, in the types in which they are written.
    fn take(&self, store: &RowStore, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let kept = self.rows.fields().iter().map(|f| f.data_type());
        if ids.len() <= SEGMENT_ROWS
            || kept.eq(self.table.fields().iter().map(|f| f.data_type()).take(self.rows.fields().len()))
        {
            return columns::cast_to(&self.table, store.take(ids)?.columns());
        }
        let parts =
            ids.chunks(SEGMENT_ROWS).map(|ids| columns::cast_to(&self.table, store.take(ids)?.columns()));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let column = |at: usize| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part[at].as_ref()).collect();
            Ok(concat(&arrays)?)
        };
        (0..self.rows.fields().len()).map(column).collect()
    }

    /// The rows of this task, in the order in which they came, some thousand at a time.
    pub fn read<'a>(
        &'a self,
        restored: &mut Restored,
    ) -> Result<impl Iterator<Item = Result<Taken>> + use<'a>> {
        let arrival = self.table.fields().len() - 1;
        let arrivals = move |piece: &Piece| -> Result<Vec<(u64, usize)>> {
            let numbers = columns::numbers::<UInt64Type>(piece.rows.column(arrival))?;
            Ok(numbers.iter().map(|&number| (number, piece.origin)).collect())
        };
        let batches = in_order(self.name, restored, &self.table, arrivals)?;
        let width = self.rows.fields().len();
        Ok(batches.map(move |batch| {
            let batch = batch?;
            Ok(Taken {
                rows: with_schema(&self.rows, &batch.columns()[..width], batch.num_rows())?,
                beside: batch.columns()[width..arrival].to_vec(),
            })
        }))
    }
}

/// The rows of a table with this schema that are this task's, by ascending keys (`keys` gives one for each row of
/// a piece), some thousand at a time.
pub fn in_order<K: Ord + Copy>(
    name: &str,
    restored: &mut Restored,
    table: &SchemaRef,
    keys: impl Fn(&Piece) -> Result<Vec<K>>,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>>>> {
    let now = restored.now();
    let mut pieces = restored.table(name)?;
    for piece in &mut pieces {
        piece.rows = columns::with_time_as_in(table, &piece.rows, now)?;
    }
    let mut order: Vec<(K, usize, usize)> = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        columns::check(&piece.rows, table, name)?;
        order.extend(keys(piece)?.into_iter().enumerate().map(|(row, key)| (key, number, row)));
    }
    order.sort_unstable();
    let places: Vec<(usize, usize)> = order.into_iter().map(|(_, piece, row)| (piece, row)).collect();
    let (starts, table) = ((0..places.len()).step_by(SEGMENT_ROWS), table.clone());
    Ok(Box::new(starts.map(move |start| {
        let places = &places[start..(start + SEGMENT_ROWS).min(places.len())];
        let column = |at: usize| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = pieces.iter().map(|p| p.rows.column(at).as_ref()).collect();
            Ok(interleave(&arrays, places)?)
        };
        let columns = (0..table.fields().len()).map(column).collect::<Result<Vec<_>>>()?;
        with_schema(&table, &columns, places.len())
    })))
}

/// Columns as rows of a schema of the same columns, which may have them in the types in which they are written, or back.
pub fn with_schema(schema: &SchemaRef, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns::cast_to(schema, columns)?, &options)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{Int64Type, Schema};
    use proptest::prelude::*;

    use super::super::ledger::Ledger;
    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("arrival", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
    }

    fn table() -> RowTable {
        let twice = Field::new("twice", DataType::Int64, true);
        RowTable::new("rows", &batch(&[]).schema(), [twice], vec![0])
    }

    fn write(store: &mut RowStore, ledger: &mut Ledger, full: bool, task: usize) {
        let mut snapshot = Snapshot::new(full);
        let rows = store.take(&store.ids()).unwrap();
        let all = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        let ids = store.ids();
        let twice = |wanted: &[u32]| -> Result<Vec<ArrayRef>> {
            let value = |id: &u32| all[ids.iter().position(|i| i == id).unwrap()] * 2;
            Ok(vec![Arc::new(wanted.iter().map(value).collect::<Int64Array>())])
        };
        table().write(store, &mut snapshot, twice).unwrap();
        ledger.add(task, snapshot);
    }

    fn read(ledger: &Ledger, task: usize, tasks: usize) -> (RowStore, Vec<i64>) {
        let mut store = RowStore::new(batch(&[]).schema());
        store.track();
        let mut seen = Vec::new();
        for taken in table().read(&mut ledger.restore(task, tasks)).unwrap() {
            let taken = taken.unwrap();
            let values = taken.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
            let twice: Vec<i64> = values.iter().map(|v| v * 2).collect();
            assert_eq!(taken.beside[0].as_primitive::<Int64Type>().values().to_vec(), twice);
            store.push(&taken.rows, &mut Vec::new()).unwrap();
            seen.extend(values);
        }
        (store, seen)
    }

    #[test]
    fn text_of_all_layouts_comes_back_as_it_was() {
        let fields = [DataType::Utf8, DataType::LargeBinary].map(|t| Field::new("v", t, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let texts: ArrayRef = Arc::new((0..20_000).map(|i| Some(i.to_string())).collect::<StringArray>());
        let bytes = arrow::compute::cast(&texts, &DataType::LargeBinary).unwrap();
        let rows = RecordBatch::try_new(schema.clone(), vec![texts, bytes]).unwrap();
        let mut store = RowStore::new(schema.clone());
        store.track();
        store.push(&rows, &mut Vec::new()).unwrap();
        let (table, mut snapshot) = (RowTable::new("rows", &schema, [], vec![1]), Snapshot::new(true));
        table.write(&mut store, &mut snapshot, |_| Ok(Vec::new())).unwrap();
        let mut ledger = Ledger::default();
        ledger.add(0, snapshot);
        let taken = table.read(&mut ledger.restore(0, 1)).unwrap();
        let taken: Vec<RecordBatch> = taken.map(|t| t.unwrap().rows).collect();
        assert_eq!(arrow::compute::concat_batches(&schema, &taken).unwrap(), rows);
    }

    #[test]
    fn other_columns_are_refused() {
        let mut store = RowStore::new(batch(&[]).schema());
        store.track();
        let mut snapshot = Snapshot::new(true);
        table().write(&mut store, &mut snapshot, |_| Ok(vec![batch(&[]).column(0).clone()])).unwrap();
        let mut ledger = Ledger::default();
        ledger.add(0, snapshot);
        store.push(&batch(&[1]), &mut Vec::new()).unwrap();
        let mut snapshot = Snapshot::new(false);
        table().write(&mut store, &mut snapshot, |_| Ok(vec![batch(&[2]).column(0).clone()])).unwrap();
        ledger.add(0, snapshot);
        let other = RowTable::new("rows", &batch(&[]).schema(), [], vec![0]);
        let refused = other.read(&mut ledger.restore(0, 1)).map(|_| ()).unwrap_err();
        assert_eq!(
            refused.message(),
            "table 'rows' of the checkpoint does not have the columns of the query"
        );
    }

    proptest! {
        #[test]
        fn rows_come_back_in_the_order_they_came(
            steps in prop::collection::vec((0usize..40, 0usize..40, any::<bool>(), 0u8..6), 1..40),
        ) {
            let mut store = RowStore::new(batch(&[]).schema());
            store.track();
            let (mut alive, mut next): (Vec<i64>, i64) = (Vec::new(), 0);
            let (mut ledger, mut full) = (Ledger::default(), true);
            for (pushed, freed, checkpoint, crash) in steps {
                let values: Vec<i64> = (next..next + pushed as i64).collect();
                next += pushed as i64;
                store.push(&batch(&values), &mut Vec::new()).unwrap();
                alive.extend(values);
                for i in 0..freed.min(alive.len()) {
                    let gone = alive.remove((i * 7919) % alive.len());
                    let rows = store.take(&store.ids()).unwrap();
                    let at = rows.column(0).as_primitive::<Int64Type>().values().iter().position(|v| *v == gone);
                    let id = store.ids()[at.unwrap()];
                    store.free(id).unwrap();
                }
                if checkpoint || crash == 0 {
                    write(&mut store, &mut ledger, full, 0);
                    full = false;
                }
                if crash == 0 {
                    // By way of three tasks.
                    let mut other = Ledger::default();
                    let mut all = Vec::new();
                    for task in 0..3 {
                        let (mut store, seen) = read(&ledger, task, 3);
                        all.extend(seen);
                        write(&mut store, &mut other, true, task);
                    }
                    all.sort_unstable();
                    prop_assert_eq!(all, alive.clone());
                    let seen;
                    (store, seen) = read(&ledger, 0, 1);
                    prop_assert_eq!(seen, alive.clone());
                    let mut back = read(&other, 0, 1).1;
                    back.sort_unstable();
                    prop_assert_eq!(back, alive.clone());
                    (ledger, full) = (Ledger::default(), true);
                }
            }
        }
    }
}
