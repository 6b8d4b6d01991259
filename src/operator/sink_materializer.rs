//! The last word on a primary key, for a query that knows its rows by something else.
//!
//! Two rows of the result may have the same primary key, for a while or for good. The sink then holds the
//! one that came last; when that one goes, the one before it is the truth again. Rows of a key are kept in
//! the order of their arrival (as Flink's sink upsert materializer does).

use arrow::array::{ArrayRef, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use std::cmp::Ordering;

use crate::error::Result;
use crate::flow::{Chunk, Kind, Kinds, Operator, Output};
use crate::state::{KeyTable, RowStore};

/// What to materialize.
#[derive(Debug, Clone)]
pub struct SinkMaterializerSpec {
    /// Columns of the primary key.
    pub keys: Vec<usize>,
    /// Columns of the rows.
    pub schema: SchemaRef,
}

/// Gives upserts by primary key.
#[derive(Debug)]
pub struct SinkMaterializer {
    spec: SinkMaterializerSpec,
    keys: KeyTable,
    rows: RowStore,
    /// Rows of each key, oldest first.
    lists: Vec<Vec<u32>>,
    slots: Vec<u32>,
    ids: Vec<u32>,
}

impl SinkMaterializer {
    /// An operator for one task.
    pub fn new(spec: SinkMaterializerSpec) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&i| spec.schema.field(i).data_type().clone()).collect();
        Ok(Self {
            keys: KeyTable::new(&types)?,
            rows: RowStore::new(spec.schema.clone()),
            spec,
            lists: Vec::new(),
            slots: Vec::new(),
            ids: Vec::new(),
        })
    }

    /// Applies a chunk to the rows that are kept. Rows that were taken back are still in the store: they are
    /// the second result.
    fn apply(&mut self, chunk: &Chunk) -> Result<Vec<u32>> {
        self.ids.clear();
        self.rows.push(&chunk.batch, &mut self.ids)?;
        let mut gone = Vec::new();
        for row in 0..chunk.len() {
            let (list, id) = (&mut self.lists[self.slots[row] as usize], self.ids[row]);
            if matches!(chunk.kinds.get(row), Kind::Insert | Kind::UpdateAfter) {
                list.push(id);
                continue;
            }
            gone.push(id);
            if let Some(at) = find(&self.rows, list, id)? {
                gone.push(list.remove(at));
            }
        }
        Ok(gone)
    }
}

/// The newest row of a list that equals the row `id`.
fn find(rows: &RowStore, list: &[u32], id: u32) -> Result<Option<usize>> {
    if list.is_empty() {
        return Ok(None);
    }
    let (kept, wanted) = (rows.take(list)?, rows.take(&[id])?);
    let compare = kept
        .columns()
        .iter()
        .zip(wanted.columns())
        .map(|(a, b)| Ok(make_comparator(a, b, SortOptions::default())?))
        .collect::<Result<Vec<DynComparator>>>()?;
    Ok((0..list.len()).rev().find(|&at| compare.iter().all(|equal| equal(at, 0) == Ordering::Equal)))
}

impl Operator for SinkMaterializer {
    fn name(&self) -> &'static str {
        "SinkMaterializer"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let columns: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| chunk.batch.column(i).clone()).collect();
        self.keys.intern(&columns, chunk.len(), &mut self.slots)?;
        self.lists.resize_with(self.keys.capacity(), Vec::new);
        let mut touched: Vec<(u32, Option<u32>)> = Vec::new();
        let mut seen = hashbrown::HashSet::new();
        for &slot in &self.slots {
            if seen.insert(slot) {
                touched.push((slot, self.lists[slot as usize].last().copied()));
            }
        }
        let gone = self.apply(&chunk)?;
        let (mut ids, mut kinds) = (Vec::new(), Vec::new());
        for (slot, before) in touched {
            let after = self.lists[slot as usize].last().copied();
            let (id, kind) = match (before, after) {
                (None, None) => continue,
                (Some(before), Some(after)) if before == after => continue,
                (None, Some(after)) => (after, Kind::Insert),
                (Some(_), Some(after)) => (after, Kind::UpdateAfter),
                (Some(before), None) => (before, Kind::Delete),
            };
            ids.push(id);
            kinds.push(kind);
        }
        let batch = self.rows.take(&ids)?;
        gone.into_iter().try_for_each(|id| self.rows.free(id))?;
        for &slot in &seen {
            if self.lists[slot as usize].is_empty() {
                self.keys.remove(slot);
            }
        }
        out.chunk(Chunk { batch, kinds: Kinds::Changes(kinds.into()), ingest: chunk.ingest });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cli::render::tests::chunk;
    use Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

    type Row<'a> = (Kind, Option<i64>, Option<&'a str>);

    fn run(operator: &mut SinkMaterializer, rows: &[Row<'_>]) -> Vec<String> {
        let mut out = Output::default();
        operator.chunk(chunk(rows), &mut out).unwrap();
        let mut shown = Vec::new();
        for message in out.drain() {
            let crate::flow::Message::Data(c) = message else { continue };
            use arrow::array::AsArray;
            let (ids, names) =
                (c.batch.column(0).as_primitive::<arrow::datatypes::Int64Type>(), c.batch.column(1));
            for i in 0..c.len() {
                let name = names.as_string_view().value(i);
                shown.push(format!("{} {} {name}", c.kinds.get(i).as_str(), ids.value(i)));
            }
        }
        shown
    }

    #[test]
    fn the_row_before_comes_back() {
        let schema = chunk(&[]).batch.schema();
        let mut operator = SinkMaterializer::new(SinkMaterializerSpec { keys: vec![0], schema }).unwrap();
        let mut run = |rows: &[Row<'_>]| run(&mut operator, rows);
        assert_eq!(run(&[(Insert, Some(1), Some("a")), (Insert, Some(2), Some("x"))]), ["+I 1 a", "+I 2 x"]);
        assert_eq!(run(&[(Insert, Some(1), Some("b"))]), ["+U 1 b"]);
        assert_eq!(run(&[(Delete, Some(1), Some("a"))]), [""; 0]);
        assert_eq!(run(&[(Insert, Some(1), Some("c")), (Delete, Some(1), Some("c"))]), [""; 0]);
        assert_eq!(
            run(&[(UpdateBefore, Some(1), Some("b")), (UpdateAfter, Some(3), Some("b"))]),
            ["-D 1 b", "+I 3 b"]
        );
        assert_eq!(run(&[(Delete, Some(9), Some("never"))]), [""; 0]);
    }
}
