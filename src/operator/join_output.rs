//! What joins in time have in common: pairs of rows are filtered by the rest of the condition and become
//! output columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{filter, prep_null_mask_filter, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};

/// Pairs that are evaluated and emitted together, about.
pub(super) const PAIRS: usize = 16_384;

/// Makes the output of a join from pairs of left and right rows.
#[derive(Debug)]
pub(super) struct JoinOutput {
    residual: Option<Arc<dyn PhysicalExpr>>,
    output: Vec<usize>,
    schema: SchemaRef,
    inputs: [SchemaRef; 2],
    both: SchemaRef,
}

impl JoinOutput {
    /// `residual` and `output` are over left columns, then right columns.
    pub(super) fn new(
        inputs: [SchemaRef; 2],
        residual: Option<Arc<dyn PhysicalExpr>>,
        output: Vec<usize>,
        schema: SchemaRef,
    ) -> Self {
        let fields = inputs.iter().flat_map(|s| s.fields().iter());
        let both: Vec<Field> = fields.map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Self { residual, output, schema, inputs, both: Arc::new(Schema::new(both)) }
    }

    /// Whether each pair passes the rest of the condition; `None`: all do.
    pub(super) fn passes(
        &self,
        left: &[ArrayRef],
        right: &[ArrayRef],
        rows: usize,
    ) -> Result<Option<BooleanArray>> {
        let Some(residual) = &self.residual else { return Ok(None) };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = left.iter().chain(right).cloned().collect();
        let batch = RecordBatch::try_new_with_options(self.both.clone(), columns, &options)?;
        let verdict = residual.evaluate(&batch)?.into_array(rows)?;
        let verdict = verdict
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a join condition that is not BOOLEAN"))?;
        let mask = if verdict.null_count() > 0 { prep_null_mask_filter(verdict) } else { verdict.clone() };
        Ok(if mask.true_count() == rows { None } else { Some(mask) })
    }

    fn finish(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The output rows of pairs, or of those where `mask` is TRUE.
    pub(super) fn pairs(
        &self,
        left: &[ArrayRef],
        right: &[ArrayRef],
        rows: usize,
        mask: Option<&BooleanArray>,
    ) -> Result<RecordBatch> {
        let count = mask.map_or(rows, BooleanArray::true_count);
        let columns = self.output.iter().map(|&i| {
            let column = if i < left.len() { &left[i] } else { &right[i - left.len()] };
            Ok(match mask {
                Some(mask) => filter(column, mask)?,
                None => column.clone(),
            })
        });
        self.finish(columns.collect::<Result<_>>()?, count)
    }

    /// Rows of one input (0: left, 1: right) padded with NULLs for the other.
    pub(super) fn padded(&self, input: usize, own: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let left = self.inputs[0].fields().len();
        let columns = self.output.iter().map(|&i| {
            let own_column = if input == 0 { (i < left).then_some(i) } else { i.checked_sub(left) };
            match own_column {
                Some(i) => own[i].clone(),
                None => new_null_array(self.both.field(i).data_type(), rows),
            }
        });
        self.finish(columns.collect(), rows)
    }

    /// Left rows, in order, each with its right rows: `found` tells the pairs (position in `left`, position
    /// in `right`), ascending by the former. Those without one are padded if `outer`, else left out. Gives
    /// the left position of each output row beside the rows.
    pub(super) fn left_join(
        &self,
        left: &[ArrayRef],
        rows: usize,
        right: &[ArrayRef],
        owners: &[u32],
        outer: bool,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let gathered = take_columns(left, owners)?;
        let mask = self.passes(&gathered, right, owners.len())?;
        let passed = |i: usize| mask.as_ref().is_none_or(|m| m.value(i));
        let mut from: Vec<u32> = Vec::with_capacity(rows.max(owners.len()));
        let mut found: Vec<Option<u32>> = Vec::with_capacity(rows.max(owners.len()));
        let mut next = 0;
        let mut plain = mask.is_none();
        for row in 0..rows as u32 {
            let before = from.len();
            while owners.get(next) == Some(&row) {
                if passed(next) {
                    from.push(row);
                    found.push(Some(next as u32));
                }
                next += 1;
            }
            if outer && from.len() == before {
                plain = false;
                from.push(row);
                found.push(None);
            }
        }
        if plain {
            return Ok((self.pairs(&gathered, right, owners.len(), None)?, from));
        }
        let (lefts, rights) = (UInt32Array::from(from.clone()), UInt32Array::from(found));
        let columns = self.output.iter().map(|&i| {
            Ok(match i.checked_sub(left.len()) {
                None => take(&left[i], &lefts, None)?,
                Some(i) => take(&right[i], &rights, None)?,
            })
        });
        Ok((self.finish(columns.collect::<Result<_>>()?, from.len())?, from))
    }
}

/// Rows of columns.
pub(super) fn take_columns(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|c| Ok(take(c, &rows, None)?)).collect()
}

/// Rows of a batch.
pub(super) fn take_rows(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = take_columns(batch.columns(), rows)?;
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// The columns of a batch at these positions.
pub(super) fn columns_at(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|&c| batch.column(c).clone()).collect()
}

/// Which rows have a NULL in a key column, if any has: they match nothing.
pub(super) fn null_keys(keys: &[ArrayRef]) -> Option<Vec<bool>> {
    let nullable: Vec<&ArrayRef> = keys.iter().filter(|k| k.null_count() > 0).collect();
    let rows = nullable.first()?.len();
    Some((0..rows).map(|row| nullable.iter().any(|k| k.is_null(row))).collect())
}
