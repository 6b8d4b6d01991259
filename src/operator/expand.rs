//! `GROUPING SETS`, `ROLLUP`, `CUBE`: every row once for each set, with NULL where a column is not in it.
//!
//! ```text
//!  (a, b, n)  ──>  (a, b, n, a,    b,    0)      GROUPING SETS ((a, b), (a), ())
//!                  (a, b, n, a,    NULL, 1)
//!                  (a, b, n, NULL, NULL, 3)
//!                            └── keys ─┘  └── which set: a bit for each key that is left out
//! ```
//! Rows of one set stay together and in order, so a chunk of changes gives as many chunks of changes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::flow::{Chunk, Operator, Output};

/// What an [`Expand`] does.
#[derive(Debug, Clone)]
pub struct ExpandSpec {
    /// Columns of the input that are copied.
    pub keys: Vec<usize>,
    /// For each set, which of the keys belong to it, and its number.
    pub sets: Vec<(Vec<bool>, u64)>,
    /// Columns of the input, copies of the keys, number of the set.
    pub schema: SchemaRef,
}

/// Copies rows.
#[derive(Debug, Clone)]
pub struct Expand {
    spec: ExpandSpec,
}

impl Expand {
    /// An operator for one task.
    pub fn new(spec: ExpandSpec) -> Self {
        Self { spec }
    }
}

impl Operator for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let rows = chunk.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let fields = self.spec.schema.fields();
        for (kept, number) in &self.spec.sets {
            let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
            for (&key, &kept) in self.spec.keys.iter().zip(kept) {
                let column = chunk.batch.column(key);
                columns.push(if kept { column.clone() } else { new_null_array(column.data_type(), rows) });
            }
            if let Some(last) = fields.last() {
                let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![*number; rows]));
                columns.push(cast(&numbers, last.data_type())?);
            }
            let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
            out.chunk(chunk.with_batch(batch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::flow::Message;

    #[test]
    fn a_row_for_each_set() {
        let field = |name: &str, t| Field::new(name, t, true);
        let input = Arc::new(Schema::new(vec![field("a", DataType::Int64), field("b", DataType::Int64)]));
        let schema = Arc::new(Schema::new(vec![
            field("a", DataType::Int64),
            field("b", DataType::Int64),
            field("ka", DataType::Int64),
            field("kb", DataType::Int64),
            field("id", DataType::UInt8),
        ]));
        let ints = |v: Vec<i64>| Arc::new(Int64Array::from(v)) as ArrayRef;
        let batch = RecordBatch::try_new(input, vec![ints(vec![1, 2]), ints(vec![3, 4])]).unwrap();
        let sets = vec![(vec![true, true], 0), (vec![false, true], 2)];
        let mut expand = Expand::new(ExpandSpec { keys: vec![0, 1], sets, schema });
        let mut out = Output::default();
        expand.chunk(Chunk::append(batch, Instant::now()), &mut out).unwrap();
        let batches: Vec<RecordBatch> = out
            .drain()
            .filter_map(|m| if let Message::Data(chunk) = m { Some(chunk.batch) } else { None })
            .collect();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows: Vec<String> =
            text.lines().skip(3).map(|l| l.replace(' ', "")).filter(|l| l.starts_with('|')).collect();
        assert_eq!(rows, ["|1|3|1|3|0|", "|2|4|2|4|0|", "|1|3||3|2|", "|2|4||4|2|"]);
    }
}
