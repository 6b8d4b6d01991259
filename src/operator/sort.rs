//! `ORDER BY` on rows that end: everything is kept, and sorted when nothing comes any more.
//!
//! Changes are applied as they come, so that what is sorted is what is there in the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use super::join_output::take_rows;
use super::row_bag::RowBag;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output};
use crate::state::{Restored, RowTable, Snapshot};

/// Rows of a chunk that comes out.
pub(super) const CHUNK_ROWS: usize = 8192;

/// One expression of ORDER BY.
#[derive(Debug, Clone)]
pub struct SortKey {
    /// Over the input.
    pub expression: Arc<dyn PhysicalExpr>,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// Positions of rows in the order of `first` (ascending), then the keys, then as they are.
pub(super) fn sorted(batch: &RecordBatch, first: Option<ArrayRef>, keys: &[SortKey]) -> Result<UInt32Array> {
    let mut columns = Vec::with_capacity(keys.len() + 2);
    columns.extend(first.map(|values| SortColumn { values, options: None }));
    for key in keys {
        let values = key.expression.evaluate(batch)?.into_array(batch.num_rows())?;
        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
        columns.push(SortColumn { values, options: Some(options) });
    }
    let places: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..batch.num_rows() as u32));
    columns.push(SortColumn { values: places, options: None });
    lexsort_to_indices(&columns, None).map_err(|e| {
        Error::unsupported("ORDER BY a column of this type is not supported").with_detail(e.to_string())
    })
}

/// An ORDER BY that was planned.
#[derive(Debug, Clone)]
pub struct SortSpec {
    /// What to sort by.
    pub keys: Vec<SortKey>,
    /// The input may update and delete.
    pub input_changes: bool,
    /// Schema of the rows.
    pub schema: SchemaRef,
}

/// The operator of one task.
#[derive(Debug)]
pub struct Sort {
    keys: Vec<SortKey>,
    rows: RowBag,
    /// Ids of rows that are there, by arrival; [`GONE`] where one was taken back.
    arrived: Vec<u32>,
    /// By row id: its place in `arrived`.
    place: Vec<u32>,
    table: RowTable,
}

const GONE: u32 = u32::MAX;

impl Sort {
    /// An operator for one task.
    pub fn new(spec: SortSpec) -> Result<Self> {
        let table = RowTable::new("rows", &spec.schema, [], Vec::new());
        let rows = RowBag::new(spec.schema, spec.input_changes)?;
        Ok(Self { keys: spec.keys, rows, arrived: Vec::new(), place: Vec::new(), table })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let first = self.arrived.len();
        self.rows.insert(batch, &mut self.arrived)?;
        for (place, &id) in self.arrived.iter().enumerate().skip(first) {
            if self.place.len() <= id as usize {
                self.place.resize(id as usize + 1, GONE);
            }
            self.place[id as usize] = place as u32;
        }
        Ok(())
    }

    fn remove(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut found = Vec::new();
        self.rows.take_back(batch, &mut found)?;
        for id in found.into_iter().flatten() {
            self.arrived[self.place[id as usize] as usize] = GONE;
            self.rows.free(id, false)?;
        }
        // Places follow what is there.
        if self.arrived.len() > 1024 && self.rows.rows().len() * 2 < self.arrived.len() {
            self.arrived.retain(|&id| id != GONE);
            for (place, &id) in self.arrived.iter().enumerate() {
                self.place[id as usize] = place as u32;
            }
        }
        Ok(())
    }
}

impl Operator for Sort {
    fn name(&self) -> &'static str {
        "Sort"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.rows.open(&context);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.table.write(self.rows.rows_mut(), snapshot, |_| Ok(Vec::new()))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let batches = self.table.read(state)?.collect::<Result<Vec<_>>>()?;
        batches.iter().try_for_each(|taken| self.add(&taken.rows))
    }

    fn stays(&self) -> Option<&'static str> {
        Some("the rows in memory while it sorts them")
    }

    fn state_bytes(&self) -> usize {
        self.rows.memory() + (self.arrived.capacity() + self.place.capacity()) * 4
    }

    fn chunk(&mut self, chunk: Chunk, _out: &mut Output) -> Result<()> {
        let Kinds::Changes(kinds) = &chunk.kinds else { return self.add(&chunk.batch) };
        let rows = |wanted: bool| -> Vec<u32> {
            let is_added = |row: &u32| matches!(kinds[*row as usize], Kind::Insert | Kind::UpdateAfter);
            (0..kinds.len() as u32).filter(|row| is_added(row) == wanted).collect()
        };
        self.add(&take_rows(&chunk.batch, &rows(true))?)?;
        let removed = rows(false);
        if removed.is_empty() { Ok(()) } else { self.remove(&take_rows(&chunk.batch, &removed)?) }
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.arrived.retain(|&id| id != GONE);
        let batch = self.rows.rows().take(&self.arrived)?;
        let order = sorted(&batch, None, &self.keys)?;
        for piece in order.values().chunks(CHUNK_ROWS) {
            out.chunk(Chunk::append(take_rows(&batch, piece)?, crate::clock::instant()));
        }
        // What is out does not belong to a checkpoint any more.
        std::mem::take(&mut self.arrived).into_iter().try_for_each(|id| self.rows.free(id, true))?;
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion_physical_expr::expressions::Column;

    use super::*;
    use crate::operator::picture::{chunk, lines, schema};

    fn key(name: &str, index: usize, descending: bool) -> SortKey {
        SortKey { expression: Arc::new(Column::new(name, index)), descending, nulls_first: !descending }
    }

    proptest::proptest! {
        #[test]
        fn it_survives((most, steps) in (1usize..3, crate::operator::two_inputs::stories())) {
            use crate::operator::two_inputs;
            let schema = schema("k n n n");
            let spec =
                SortSpec { keys: vec![key("n", 1, true)], input_changes: true, schema: schema.clone() };
            let (events, faults) = two_inputs::told(&steps, most, 0, |_, acts, _| {
                let row = |&(act, k, v, _): &(u8, u8, u8, u8)| {
                    format!("{} {k} {v}", ["+I", "+U", "+I", "+I", "+I", "-U", "-D", "-D"][usize::from(act)])
                };
                let rows: Vec<String> = acts.iter().map(row).collect();
                chunk(&schema, &rows.join(", "))
            });
            let events: Vec<_> = events.into_iter().map(two_inputs::Event::first).collect();
            let make = move || Sort::new(spec.clone()).unwrap();
            two_inputs::survive(make, &[schema.clone(), schema], &[vec![], vec![]], &events, &faults);
        }
    }

    #[test]
    fn rows_left_at_the_end_are_emitted_sorted() {
        let schema = schema("k s n n");
        let spec = SortSpec {
            keys: vec![key("n", 1, true), key("k", 0, false)],
            input_changes: true,
            schema: schema.clone(),
        };
        let mut sort = Sort::new(spec).unwrap();
        let mut out = Output::default();
        sort.chunk(chunk(&schema, "b 2, a 2, c 3, d NULL, e 9, x 1"), &mut out).unwrap();
        sort.chunk(chunk(&schema, "-U e 9, +U e 1, -D x 1, +I x 1, -D x 1, -D none 0"), &mut out).unwrap();
        assert!(out.is_empty());
        sort.end(&mut out).unwrap();
        let seen: Vec<String> = out
            .drain()
            .flat_map(|m| if let Message::Data(chunk) = m { lines(&chunk) } else { vec!["end".into()] })
            .collect();
        assert_eq!(seen, ["+I c 3", "+I a 2", "+I b 2", "+I e 1", "+I d NULL", "end"]);
    }
}
