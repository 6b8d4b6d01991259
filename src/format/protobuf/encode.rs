//! Columns → messages.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef};

use super::ProtobufOptions;
use super::column::{Plan, Shape, Value};
use super::wire::{put_tag, put_varint, zigzag};
use crate::error::{Error, Result};

/// Writes a message for each row.
pub(crate) struct ProtobufEncoder {
    plan: Plan,
}

impl ProtobufEncoder {
    /// For rows of `schema`.
    pub(crate) fn new(options: &ProtobufOptions, schema: &SchemaRef) -> Result<Self> {
        Ok(Self { plan: Plan::new(&options.message, schema.fields(), options.defaults)? })
    }

    /// The message of each row, as a range of `out`.
    pub(crate) fn encode(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Option<Range<usize>>>> {
        let mut ranges = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let start = out.len();
            message(&self.plan, batch.columns(), row, out)?;
            ranges.push(Some(start..out.len()));
        }
        Ok(ranges)
    }
}

fn message(plan: &Plan, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<()> {
    for (column, array) in plan.columns.iter().zip(columns) {
        if array.is_null(row) {
            continue;
        }
        match &column.shape {
            Shape::One(value) if column.implicit && is_default(value, array, row) => {}
            Shape::One(value) => {
                put_tag(column.number, wire_type(value), out);
                put(value, array, row, out)?;
            }
            Shape::List { value, packed } => {
                let items = array.as_list::<i32>().value(row);
                if items.null_count() > 0 {
                    return Err(null(&column.name));
                }
                if *packed && !items.is_empty() {
                    put_tag(column.number, 2, out);
                    sized(out, |out| (0..items.len()).try_for_each(|at| put(value, &items, at, out)))?;
                    continue;
                }
                for at in 0..items.len() {
                    put_tag(column.number, wire_type(value), out);
                    put(value, &items, at, out)?;
                }
            }
            Shape::Map { key, value } => {
                let entries = array.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                if values.null_count() > 0 {
                    return Err(null(&column.name));
                }
                for at in 0..entries.len() {
                    put_tag(column.number, 2, out);
                    sized(out, |out| {
                        put_tag(1, wire_type(key), out);
                        put(key, keys, at, out)?;
                        put_tag(2, wire_type(value), out);
                        put(value, values, at, out)
                    })?;
                }
            }
        }
    }
    Ok(())
}

fn null(column: &str) -> Error {
    Error::execution(format!("column '{column}': an element is NULL, which Protobuf has no form for"))
}

fn wire_type(value: &Value) -> u8 {
    match value {
        Value::Int64 { fixed: true, .. } | Value::Double => 1,
        Value::Text | Value::Bytes | Value::Message(_) => 2,
        Value::Int32 { fixed: true, .. } | Value::Float => 5,
        _ => 0,
    }
}

/// The value that a record has where it lacks the field. -0.0 is not 0.0.
fn is_default(value: &Value, array: &ArrayRef, row: usize) -> bool {
    match value {
        Value::Bool => !array.as_boolean().value(row),
        Value::Int32 { .. } | Value::EnumNumber => array.as_primitive::<Int32Type>().value(row) == 0,
        Value::Int64 { .. } => array.as_primitive::<Int64Type>().value(row) == 0,
        Value::Float => array.as_primitive::<Float32Type>().value(row).to_bits() == 0,
        Value::Double => array.as_primitive::<Float64Type>().value(row).to_bits() == 0,
        Value::Text => array.as_string_view().value(row).is_empty(),
        Value::Bytes => array.as_binary_view().value(row).is_empty(),
        Value::EnumName(of) => {
            let name = array.as_string_view().value(row);
            of.get_value_by_name(name).is_some_and(|v| v.number() == 0)
        }
        Value::Message(_) => false,
    }
}

/// Writes something with its length in front.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    // Most are short: one byte of length.
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        out[start] = short;
        return Ok(());
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(length as u64, &mut prefix);
    out.splice(start..=start, prefix);
    Ok(())
}

fn put(value: &Value, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Bool => out.push(u8::from(array.as_boolean().value(row))),
        Value::Int32 { zigzag: signed, fixed } => {
            let n = array.as_primitive::<Int32Type>().value(row);
            match (fixed, signed) {
                (true, _) => out.extend_from_slice(&n.to_le_bytes()),
                (false, true) => put_varint(zigzag(n.into()) & 0xffff_ffff, out),
                // A negative number has ten bytes, as in 64 bits.
                (false, false) => put_varint(i64::from(n) as u64, out),
            }
        }
        Value::Int64 { zigzag: signed, fixed } => {
            let n = array.as_primitive::<Int64Type>().value(row);
            match (fixed, signed) {
                (true, _) => out.extend_from_slice(&n.to_le_bytes()),
                (false, true) => put_varint(zigzag(n), out),
                (false, false) => put_varint(n as u64, out),
            }
        }
        Value::Float => out.extend_from_slice(&array.as_primitive::<Float32Type>().value(row).to_le_bytes()),
        Value::Double => out.extend_from_slice(&array.as_primitive::<Float64Type>().value(row).to_le_bytes()),
        Value::Text => bytes(array.as_string_view().value(row).as_bytes(), out),
        Value::Bytes => bytes(array.as_binary_view().value(row), out),
        Value::EnumNumber => put_varint(i64::from(array.as_primitive::<Int32Type>().value(row)) as u64, out),
        Value::EnumName(of) => {
            let name = array.as_string_view().value(row);
            let number = of.get_value_by_name(name).map(|v| v.number()).or_else(|| name.parse().ok());
            let number = number.ok_or_else(|| {
                Error::execution(format!("'{name}' is no value of enum {}", of.full_name()))
            })?;
            put_varint(i64::from(number) as u64, out);
        }
        Value::Message(plan) => {
            let columns = array.as_struct().columns().to_vec();
            sized(out, |out| message(plan, &columns, row, out))?;
        }
    }
    Ok(())
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    put_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
