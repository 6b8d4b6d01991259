//! Rows as a recording has them: plain types, without secrets, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Encoder;
use crate::format::json::{JsonEncoder, JsonOptions};
use crate::secret;

/// The type that is written for a column: views would be written with everything that they look into.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

/// The fields that are written for these.
pub(super) fn plain_fields(schema: &Schema) -> Vec<Field> {
    schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), true)).collect()
}

/// The columns that are written for these.
pub(super) fn plain_columns(batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let column = |c: &ArrayRef| -> Result<ArrayRef> {
        Ok(mapped(&cast(c, &plain(c.data_type()))?, &secret::without_secrets))
    };
    batch.columns().iter().map(column).collect()
}

type Texts<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The same values with other texts, where `other` gives any.
fn mapped(array: &ArrayRef, other: Texts<'_>) -> ArrayRef {
    if !secret::has_secrets() {
        return array.clone();
    }
    match array.data_type() {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            let Ok(plain) = cast(array, &DataType::Utf8) else { return array.clone() };
            let texts = plain.as_string::<i32>();
            if !texts.iter().flatten().any(|text| other(text).is_some()) {
                return array.clone();
            }
            let changed = texts.iter().map(|text| text.map(|t| other(t).unwrap_or_else(|| t.to_string())));
            let changed: ArrayRef = Arc::new(changed.collect::<StringArray>());
            cast(&changed, array.data_type()).unwrap_or(changed)
        }
        DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => {
            let data = array.to_data();
            let child = |c: &arrow::array::ArrayData| mapped(&make_array(c.clone()), other).to_data();
            let children = data.child_data().iter().map(child).collect();
            match data.into_builder().child_data(children).build() {
                Ok(data) => make_array(data),
                Err(_) => array.clone(),
            }
        }
        _ => array.clone(),
    }
}

/// A type without what differs between a recording and a query on it.
fn shape(data_type: &DataType) -> DataType {
    let field = |f: &arrow::datatypes::FieldRef| Arc::new(Field::new(f.name(), shape(f.data_type()), true));
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => plain(other),
    }
}

/// The columns that a query wants, of rows of a recording. What was not recorded, or as another type, is refused: it
/// would be NULL otherwise.
pub(crate) fn conform(of: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    check(of, batch.schema_ref(), schema)?;
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef> {
        let found = batch.column_by_name(field.name());
        let found = found.ok_or_else(|| Error::internal("a column that was checked is not there"))?;
        Ok(cast(&mapped(found, &secret::with_values), field.data_type())?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Whether rows of a recording have the columns that a query wants.
pub(crate) fn check(of: &str, recorded: &Schema, wanted: &Schema) -> Result<()> {
    for field in wanted.fields() {
        let Some((_, found)) = recorded.column_with_name(field.name()) else {
            let names: Vec<&str> = recorded.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::plan(format!("column '{}' of {of} is not in the recording", field.name()))
                .with_detail(format!("it has: {}", names.join(", ")))
                .with_hint("record again with this pipeline"));
        };
        if shape(found.data_type()) != shape(field.data_type()) {
            let shown = |t: &DataType| {
                crate::sql::SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string())
            };
            return Err(Error::plan(format!(
                "column '{}' of {of} was recorded as {}, and is {} now",
                field.name(),
                shown(found.data_type()),
                shown(field.data_type())
            ))
            .with_hint("record again with this pipeline"));
        }
    }
    Ok(())
}

/// Keys as texts that a recording finds them by: their columns by name, without secrets.
pub(crate) fn key_texts(keys: &RecordBatch) -> Result<Vec<String>> {
    let schema = keys.schema();
    let mut order: Vec<usize> = (0..keys.num_columns()).collect();
    order.sort_by_key(|i| schema.field(*i).name().clone());
    let sorted = keys.project(&order)?;
    let fields: Vec<Field> =
        sorted.schema().fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    let sorted = RecordBatch::try_new(Arc::new(Schema::new(fields)), sorted.columns().to_vec())?;
    let mut encoder = JsonEncoder::new(JsonOptions::default(), sorted.schema())?;
    let mut bytes = Vec::new();
    encoder.encode(&Chunk::append(sorted, std::time::Instant::now()), &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::internal("JSON is not UTF-8"))?;
    Ok(text.lines().map(|line| secret::without_secrets(line).unwrap_or_else(|| line.to_string())).collect())
}
