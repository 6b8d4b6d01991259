//! Puts the rows of a join together: columns of the chunk that came beside columns of rows that are kept.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;

use super::side::NONE;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Output};
use crate::state::RowStore;

/// Rows in an output chunk, at most.
pub(super) const PIECE: usize = 8192;

/// Where a column of the result comes from, seen from the input whose rows have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Column of the chunk.
    Chunk(usize),
    /// Column of the other side's kept rows.
    Kept(usize),
    /// Whether the row has a match.
    Mark,
}

/// Indices where [`NONE`] is NULL.
fn indices(rows: &[u32]) -> UInt32Array {
    if rows.contains(&NONE) {
        rows.iter().map(|&r| (r != NONE).then_some(r)).collect()
    } else {
        UInt32Array::from(rows.to_vec())
    }
}

/// The columns of pairs of rows; [`NONE`] on a side gives NULLs.
fn gather(
    batch: &RecordBatch,
    input: &[u32],
    store: &RowStore,
    kept: &[u32],
    origins: &[Origin],
    marks: &[bool],
) -> Result<Vec<ArrayRef>> {
    let from_input = indices(input);
    let wanted: Vec<usize> =
        origins.iter().filter_map(|o| if let Origin::Kept(c) = o { Some(*c) } else { None }).collect();
    let mut kept_columns = if wanted.is_empty() {
        Vec::new()
    } else if kept.contains(&NONE) {
        let dense: Vec<u32> = kept.iter().copied().filter(|&k| k != NONE).collect();
        let mut next = 0;
        let spread: Vec<u32> = kept
            .iter()
            .map(|&k| {
                if k == NONE {
                    return NONE;
                }
                next += 1;
                next - 1
            })
            .collect();
        let spread = indices(&spread);
        let columns = store.take_columns(&dense, &wanted)?;
        let spread = |c: &ArrayRef| match dense.len() {
            0 => Ok(new_null_array(c.data_type(), kept.len())),
            _ => Ok(take(c, &spread, None)?),
        };
        columns.iter().map(spread).collect::<Result<Vec<_>>>()?
    } else {
        store.take_columns(kept, &wanted)?
    }
    .into_iter();
    let whole = input.len() == batch.num_rows() && input.iter().enumerate().all(|(i, &r)| r == i as u32);
    origins
        .iter()
        .map(|origin| match origin {
            Origin::Chunk(c) if whole => Ok(batch.column(*c).clone()),
            Origin::Chunk(c) => Ok(take(batch.column(*c), &from_input, None)?),
            Origin::Kept(_) => kept_columns.next().ok_or_else(|| Error::internal("a kept column is missing")),
            Origin::Mark => Ok(Arc::new(BooleanArray::from(marks.to_vec())) as ArrayRef),
        })
        .collect()
}

/// Rows that wait to be given out: pairs of a row of the chunk and a kept row.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    input: Vec<u32>,
    kept: Vec<u32>,
    kinds: Vec<Kind>,
    marks: Vec<bool>,
    before: bool,
}

impl Emitter {
    /// `before`: `-U` is given out.
    pub(super) fn new(before: bool) -> Self {
        Self { before, ..Self::default() }
    }

    /// One row; true when it is time to flush.
    pub(super) fn push(&mut self, input: u32, kept: u32, kind: Kind, mark: bool) -> bool {
        if kind == Kind::UpdateBefore && !self.before {
            return false;
        }
        self.input.push(input);
        self.kept.push(kept);
        self.kinds.push(kind);
        self.marks.push(mark);
        // An update and what it replaces stay together.
        self.kinds.len() >= PIECE && kind != Kind::UpdateBefore
    }

    /// Gives out what waits.
    pub(super) fn flush(
        &mut self,
        chunk: &RecordBatch,
        ingest: Instant,
        store: &RowStore,
        (origins, schema): (&[Origin], &SchemaRef),
        out: &mut Output,
    ) -> Result<()> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let columns = gather(chunk, &self.input, store, &self.kept, origins, &self.marks)?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.kinds.len()));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        let kinds = if self.kinds.iter().all(|k| *k == Kind::Insert) {
            Kinds::Append
        } else {
            Kinds::Changes(self.kinds.as_slice().into())
        };
        out.chunk(Chunk { batch, kinds, ingest });
        self.input.clear();
        self.kept.clear();
        self.kinds.clear();
        self.marks.clear();
        Ok(())
    }
}

/// The part of a join condition that is no equality of keys, over the columns that it needs.
#[derive(Debug, Clone)]
pub(super) struct Residual {
    expression: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// Its columns, as positions in left ++ right.
    pub(super) columns: Vec<usize>,
}

impl Residual {
    /// `expression` refers to left ++ right.
    pub(super) fn new(
        expression: &Arc<dyn PhysicalExpr>,
        left: &SchemaRef,
        right: &SchemaRef,
    ) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expression).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let fields: Vec<&Field> = left.fields().iter().chain(right.fields()).map(|f| f.as_ref()).collect();
        // Both sides may have columns of one name.
        let narrow = columns
            .iter()
            .enumerate()
            .map(|(i, &c)| {
                let field =
                    fields.get(c).ok_or_else(|| Error::internal("a join condition has no such column"))?;
                Ok(Field::new(format!("c{i}"), field.data_type().clone(), true))
            })
            .collect::<Result<Vec<_>>>()?;
        let moved = expression.clone().transform_down(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let position = columns.partition_point(|&c| c < column.index());
            Ok(Transformed::yes(Arc::new(Column::new(&format!("c{position}"), position)) as _))
        })?;
        Ok(Self { expression: moved.data, schema: Arc::new(Schema::new(narrow)), columns })
    }

    /// Whether it is TRUE for pairs of rows; appended to `kept_if`.
    pub(super) fn evaluate(
        &self,
        batch: &RecordBatch,
        input: &[u32],
        store: &RowStore,
        kept: &[u32],
        origins: &[Origin],
        keep: &mut Vec<bool>,
    ) -> Result<()> {
        for (input, kept) in input.chunks(PIECE).zip(kept.chunks(PIECE)) {
            let columns = gather(batch, input, store, kept, origins, &[])?;
            self.evaluate_columns(columns, input.len(), keep)?;
        }
        Ok(())
    }

    /// The same for columns that are there, in the order of [`Residual::columns`].
    pub(super) fn evaluate_columns(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        keep: &mut Vec<bool>,
    ) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let mask = self.expression.evaluate(&batch)?.into_array(rows)?;
        let mask = mask
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a join condition that is not BOOLEAN reached the runtime"))?;
        keep.extend(mask.iter().map(|m| m == Some(true)));
        Ok(())
    }
}
