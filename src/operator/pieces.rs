//! Rows of a checkpoint on their way in and out: what the state tables of several operators have in common.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::compute::{SortOptions, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};

use crate::error::{Error, Result};
use crate::state::{Expiry, Piece};

/// An own column of a state table, before those of the rows: its name and values.
pub(super) type Own = (String, ArrayRef);

/// A column of whole numbers.
pub(super) fn numbers(name: &str, values: impl IntoIterator<Item = i64>) -> Own {
    (name.into(), Arc::new(Int64Array::from_iter_values(values)))
}

/// A column of instants, in milliseconds since the epoch.
pub(super) fn instants(name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Own {
    let values = values.into_iter().collect::<TimestampMillisecondArray>();
    (name.into(), Arc::new(values.with_timezone("UTC")))
}

/// The column `written` of slots whose state expires; none if it does not.
pub(super) fn written(expiry: Option<&Expiry>, slots: &[u32]) -> Option<Own> {
    let expiry = expiry?;
    Some(instants(
        "written",
        slots.iter().map(|&slot| Some(expiry.written(slot)).filter(|&time| time != i64::MAX)),
    ))
}

/// Rows of a state table: own columns, then `columns`, which are called as `fields` says. Names that occur twice
/// are told apart by a number.
pub(super) fn table(
    own: impl IntoIterator<Item = Own>,
    fields: impl IntoIterator<Item = Arc<Field>>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let fields = fields.into_iter().map(|f| f.name().clone()).zip(columns);
    let (mut all, mut names) = (Vec::new(), Vec::<Field>::new());
    for (name, column) in own.into_iter().chain(fields) {
        let mut candidates =
            std::iter::once(name.clone()).chain((2..).map(|number| format!("{name} {number}")));
        let name = candidates.find(|c| names.iter().all(|n| n.name() != c)).unwrap_or_default();
        names.push(Field::new(name, column.data_type().clone(), true));
        all.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(names)), all, &options)?)
}

/// The fields of some columns of a schema.
pub(super) fn fields(schema: &SchemaRef, columns: &[usize]) -> Vec<Arc<Field>> {
    columns.iter().map(|&c| schema.fields()[c].clone()).collect()
}

/// The columns behind the first `own`, as rows of a schema.
pub(super) fn rest(rows: &RecordBatch, own: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.num_columns() != own + schema.fields().len() {
        return Err(Error::decode("rows of the checkpoint have other columns than the operator"));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), rows.columns()[own..].to_vec(), &options)?)
}

/// A column that [`numbers`] wrote.
pub(super) fn read_numbers(rows: &RecordBatch, column: usize) -> Result<&[i64]> {
    let array = rows.columns().get(column).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let array = array.filter(|a| a.null_count() == 0);
    array.map(|a| a.values().as_ref()).ok_or_else(|| unexpected(column, rows))
}

/// A column that [`instants`] wrote.
pub(super) fn read_instants(rows: &RecordBatch, column: usize) -> Result<&TimestampMillisecondArray> {
    let array = rows.columns().get(column).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
    array.ok_or_else(|| unexpected(column, rows))
}

/// Sets the last write times of slots from a column of [`written`]; without one (`None`) they are written now.
pub(super) fn read_written(
    expiry: Option<&mut Expiry>,
    slots: &[u32],
    column: Option<&TimestampMillisecondArray>,
    now: i64,
) {
    let Some(expiry) = expiry else { return };
    for (row, &slot) in slots.iter().enumerate() {
        let time = column.filter(|c| c.is_valid(row)).map_or(now, |c| c.value(row));
        expiry.touch(slot, time);
    }
}

#[cold]
fn unexpected(column: usize, rows: &RecordBatch) -> Error {
    let found = rows.schema_ref().fields().get(column).map(|f| f.to_string());
    Error::decode("a column of the checkpoint is not what the operator wrote")
        .with_detail(format!("column {column}: {}", found.unwrap_or_else(|| "missing".into())))
}

/// The rows of each former task as one piece.
pub(super) fn by_origin(pieces: Vec<Piece>) -> Result<Vec<Piece>> {
    let mut joined: Vec<Piece> = Vec::new();
    for origin in pieces.chunk_by(|a, b| a.origin == b.origin) {
        let batches = origin.iter().map(|p| &p.rows);
        let rows = match origin {
            [only] => only.rows.clone(),
            [first, ..] => concat_batches(first.rows.schema_ref(), batches)?,
            [] => continue,
        };
        let ids = origin.iter().flat_map(|p| p.ids.iter().copied()).collect();
        joined.push(Piece { origin: origin[0].origin, ids, rows });
    }
    Ok(joined)
}

/// The rows of each former task, in the order of a column of [`numbers`].
pub(super) fn in_order(pieces: Vec<Piece>, column: usize) -> Result<Vec<Piece>> {
    let mut pieces = by_origin(pieces)?;
    for piece in &mut pieces {
        if read_numbers(&piece.rows, column)?.is_sorted() {
            continue;
        }
        let order = sort_to_indices(piece.rows.column(column), Some(SortOptions::default()), None)?;
        piece.ids = order.values().iter().map(|&row| piece.ids[row as usize]).collect();
        piece.rows = take_record_batch(&piece.rows, &order)?;
    }
    Ok(pieces)
}

/// The ids of rows for a snapshot.
pub(super) fn ids(slots: &[u32]) -> Vec<u64> {
    slots.iter().map(|&slot| u64::from(slot)).collect()
}

/// Positions of key columns behind so many own ones.
pub(super) fn behind(own: usize, keys: &[usize]) -> Vec<usize> {
    keys.iter().map(|key| own + key).collect()
}

/// Some rows of a batch.
pub(super) fn taken(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    if batch.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return Ok(RecordBatch::try_new_with_options(batch.schema(), Vec::new(), &options)?);
    }
    Ok(take_record_batch(batch, &UInt32Array::from(rows))?)
}
