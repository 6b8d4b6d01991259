//! Filter and projection in one step.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Kinds, Operator, Output};

/// Keeps the rows for which the condition is TRUE, then computes the output columns.
#[derive(Debug, Clone)]
pub struct Calc {
    condition: Option<Arc<dyn PhysicalExpr>>,
    projection: Projection,
}

#[derive(Debug, Clone)]
enum Projection {
    /// The input's columns as they are.
    Keep,
    /// Only columns of the input: nothing is computed.
    Columns(Vec<usize>, SchemaRef),
    /// Expressions.
    Compute(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

impl Calc {
    /// `projection`: the output columns with their schema, `None` to keep the input's.
    pub fn new(
        condition: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<(Vec<Arc<dyn PhysicalExpr>>, SchemaRef)>,
    ) -> Self {
        let projection = match projection {
            None => Projection::Keep,
            Some((exprs, schema)) => {
                let columns: Option<Vec<usize>> =
                    exprs.iter().map(|e| e.downcast_ref::<Column>().map(Column::index)).collect();
                match columns {
                    Some(columns) => Projection::Columns(columns, schema),
                    None => Projection::Compute(exprs, schema),
                }
            }
        };
        Self { condition, projection }
    }

    fn filter(&self, chunk: Chunk) -> Result<Chunk> {
        let Some(condition) = &self.condition else { return Ok(chunk) };
        let mask = condition.evaluate(&chunk.batch)?.into_array(chunk.len())?;
        let mask = mask
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a condition that is not BOOLEAN reached the runtime"))?;
        let mask = if mask.null_count() > 0 { &prep_null_mask_filter(mask) } else { mask };
        match mask.true_count() {
            n if n == chunk.len() => Ok(chunk),
            0 => Ok(chunk.slice(0, 0)),
            _ => {
                let kinds = match &chunk.kinds {
                    Kinds::Append => Kinds::Append,
                    Kinds::Changes(kinds) => {
                        Kinds::Changes(mask.values().set_indices().map(|i| kinds[i]).collect())
                    }
                };
                Ok(Chunk { batch: filter_record_batch(&chunk.batch, mask)?, kinds, ingest: chunk.ingest })
            }
        }
    }
}

impl Operator for Calc {
    fn name(&self) -> &'static str {
        "Calc"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let chunk = self.filter(chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let batch = match &self.projection {
            Projection::Keep => {
                out.chunk(chunk);
                return Ok(());
            }
            Projection::Columns(columns, schema) => {
                let columns = columns.iter().map(|&i| chunk.batch.column(i).clone()).collect();
                RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?
            }
            Projection::Compute(exprs, schema) => {
                let columns = exprs
                    .iter()
                    .map(|e| Ok(e.evaluate(&chunk.batch)?.into_array(chunk.len())?))
                    .collect::<Result<_>>()?;
                RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?
            }
        };
        out.chunk(chunk.with_batch(batch));
        Ok(())
    }
}
