//! `CROSS | LEFT JOIN UNNEST(collection)`: one output row for each element.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array,
    UInt32Builder, make_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Operator, Output};

/// What an [`Unnest`] does, shared by its tasks.
#[derive(Debug, Clone)]
pub struct UnnestSpec {
    /// The collection, over the input: a list, or a map (which gives key and value).
    pub collection: Arc<dyn PhysicalExpr>,
    /// LEFT JOIN: a row whose collection is empty or NULL appears once, padded with NULL.
    pub outer: bool,
    /// WITH ORDINALITY: the position from 1 as a last column.
    pub ordinality: bool,
    /// LEFT JOIN ... ON, over the output: a row none of whose elements passes appears once, padded with NULL.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// Input columns that nobody reads after it: they become NULL instead of a copy for each element.
    pub unread: Vec<usize>,
    /// Input columns, then the element's columns (a ROW gives its fields), then the ordinality.
    pub schema: SchemaRef,
}

/// Joins each row with the elements of a collection of its own.
#[derive(Debug)]
pub struct Unnest {
    spec: UnnestSpec,
}

impl Unnest {
    /// An operator for one task.
    pub fn new(spec: UnnestSpec) -> Self {
        Self { spec }
    }
}

/// A collection as a list or map, where its elements of each row begin and end, and the elements.
pub(crate) fn collected(collection: ArrayRef) -> Result<(ArrayRef, OffsetBuffer<i32>, ArrayRef)> {
    let collection = match collection.data_type() {
        DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
            cast(&collection, &DataType::List(f.clone()))?
        }
        _ => collection,
    };
    let (offsets, values): (OffsetBuffer<i32>, ArrayRef) = match collection.data_type() {
        DataType::List(_) => {
            let list = collection.as_list::<i32>();
            (list.offsets().clone(), list.values().clone())
        }
        DataType::Map(..) => {
            let map = collection.as_map();
            (map.offsets().clone(), Arc::new(map.entries().clone()))
        }
        other => return Err(Error::internal(format!("UNNEST of {other} reached the runtime"))),
    };
    Ok((collection, offsets, values))
}

/// Element columns of a collection's values: the fields of a ROW, else the value itself.
pub(crate) fn element_columns(values: &ArrayRef, split: bool) -> Vec<ArrayRef> {
    match values.as_struct_opt() {
        Some(row) if split => row
            .columns()
            .iter()
            .map(|column| match row.nulls() {
                // A NULL row has NULL fields, whatever the children hold.
                Some(nulls) => {
                    let merged =
                        arrow::buffer::NullBuffer::union(Some(nulls), column.logical_nulls().as_ref());
                    let data = column.to_data().into_builder().nulls(merged);
                    data.build().map_or_else(|_| column.clone(), make_array)
                }
                None => column.clone(),
            })
            .collect(),
        _ => vec![values.clone()],
    }
}

impl Unnest {
    fn without_unread(&self, chunk: Chunk) -> Result<Chunk> {
        if self.spec.unread.is_empty() {
            return Ok(chunk);
        }
        let mut columns = chunk.batch.columns().to_vec();
        for &column in &self.spec.unread {
            columns[column] = new_null_array(columns[column].data_type(), chunk.len());
        }
        Ok(Chunk { batch: RecordBatch::try_new(chunk.batch.schema(), columns)?, ..chunk })
    }

    /// Which elements of all rows pass the condition, in their order.
    fn passing(
        &self,
        chunk: &Chunk,
        collection: &ArrayRef,
        offsets: &[i32],
        columns: &[ArrayRef],
    ) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.spec.condition else { return Ok(None) };
        let (mut left, mut right, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for (row, bounds) in offsets.windows(2).enumerate().filter(|(row, _)| !collection.is_null(*row)) {
            for element in bounds[0]..bounds[1] {
                left.push(row as u32);
                right.push(element as u32);
                positions.push(element - bounds[0] + 1);
            }
        }
        let (left, right) = (UInt32Array::from(left), UInt32Array::from(right));
        let rows = left.len();
        let mut all = chunk.take(&left)?.batch.columns().to_vec();
        for column in columns {
            all.push(take(column, &right, None)?);
        }
        if self.spec.ordinality {
            all.push(Arc::new(Int32Array::from(positions)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), all, &options)?;
        let verdict = condition.evaluate(&batch)?.into_array(rows)?;
        let verdict = verdict.as_boolean_opt();
        let verdict = verdict.ok_or_else(|| Error::internal("a condition of UNNEST is not BOOLEAN"))?;
        Ok(Some(if verdict.null_count() > 0 { prep_null_mask_filter(verdict) } else { verdict.clone() }))
    }
}

impl Operator for Unnest {
    fn name(&self) -> &'static str {
        "Unnest"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let collection = self.spec.collection.evaluate(&chunk.batch)?.into_array(chunk.len())?;
        let (collection, offsets, values) = collected(collection)?;
        let columns = element_columns(&values, true);
        let chunk = self.without_unread(chunk)?;
        let passes = self.passing(&chunk, &collection, &offsets, &columns)?;
        let mut element_number = 0;
        let (mut left, mut right) =
            (UInt32Builder::with_capacity(values.len()), UInt32Builder::with_capacity(values.len()));
        let mut positions = Vec::with_capacity(values.len());
        for row in 0..chunk.len() {
            let (start, end) = (offsets[row], offsets[row + 1]);
            let mut found = false;
            let elements = if collection.is_null(row) { start..start } else { start..end };
            for element in elements {
                let wanted = passes.as_ref().is_none_or(|passes| passes.value(element_number));
                element_number += 1;
                if wanted {
                    found = true;
                    left.append_value(row as u32);
                    right.append_value(element as u32);
                    positions.push(Some(element - start + 1));
                }
            }
            if !found && self.spec.outer {
                left.append_value(row as u32);
                right.append_null();
                positions.push(None);
            }
        }
        let (left, right): (UInt32Array, UInt32Array) = (left.finish(), right.finish());
        if left.is_empty() {
            return Ok(());
        }
        let taken = chunk.take(&left)?;
        let mut output = taken.batch.columns().to_vec();
        for column in &columns {
            output.push(take(column, &right, None)?);
        }
        if self.spec.ordinality {
            output.push(Arc::new(Int32Array::from(positions)));
        }
        let batch = RecordBatch::try_new(self.spec.schema.clone(), output)?;
        out.chunk(Chunk { batch, kinds: taken.kinds, ingest: taken.ingest });
        Ok(())
    }
}
