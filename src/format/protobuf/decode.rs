//! Messages → columns.

use std::sync::Arc;

use arrow::array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, SchemaRef};

use super::ProtobufOptions;
use super::column::{Column, Plan, Shape, Value};
use super::wire::{Fields, Raw, Wrong, fixed, unzigzag, varint};
use crate::error::{Error, Result};

/// Messages inside of messages, at most.
const DEEPEST: usize = 100;

/// Values of one kind while they are gathered.
enum Values {
    Bool(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Rows(Box<Rows>),
}

impl Values {
    fn new(value: &Value) -> Self {
        match value {
            Value::Bool => Self::Bool(BooleanBufferBuilder::new(0)),
            Value::Int32 { .. } | Value::EnumNumber => Self::Int32(Vec::new()),
            Value::Int64 { .. } => Self::Int64(Vec::new()),
            Value::Float => Self::Float(Vec::new()),
            Value::Double => Self::Double(Vec::new()),
            Value::Text | Value::EnumName(_) => Self::Text(StringViewBuilder::new()),
            Value::Bytes => Self::Bytes(BinaryViewBuilder::new()),
            Value::Message(plan) => Self::Rows(Box::new(Rows::new(plan))),
        }
    }

    /// Adds what stands for no value: its bits say so, or they are the default.
    fn push_nothing(&mut self, value: &Value) {
        match (self, value) {
            (Self::Bool(all), _) => all.append(false),
            (Self::Int32(all), _) => all.push(0),
            (Self::Int64(all), _) => all.push(0),
            (Self::Float(all), _) => all.push(0.0),
            (Self::Double(all), _) => all.push(0.0),
            (Self::Text(all), Value::EnumName(of)) => all.append_value(of.default_value().name()),
            (Self::Text(all), _) => all.append_value(""),
            (Self::Bytes(all), _) => all.append_value(b""),
            (Self::Rows(rows), Value::Message(plan)) => rows.push_nothing(plan),
            (Self::Rows(_), _) => {}
        }
    }

    fn push(&mut self, value: &Value, raw: Raw<'_>, depth: usize) -> Result<(), Wrong> {
        const TYPE: Wrong = "a field has another type than in the descriptor";
        match (self, value, raw) {
            (Self::Bool(all), Value::Bool, Raw::Varint(n)) => all.append(n != 0),
            (Self::Int32(all), Value::Int32 { zigzag, .. }, Raw::Varint(n)) => {
                all.push(if *zigzag { unzigzag(n) as i32 } else { n as i32 });
            }
            (Self::Int32(all), Value::Int32 { .. }, Raw::Fixed32(n)) => all.push(n as i32),
            (Self::Int32(all), Value::EnumNumber, Raw::Varint(n)) => all.push(n as i32),
            (Self::Int64(all), Value::Int64 { zigzag, .. }, Raw::Varint(n)) => {
                all.push(if *zigzag { unzigzag(n) } else { n as i64 });
            }
            (Self::Int64(all), Value::Int64 { .. }, Raw::Fixed64(n)) => all.push(n as i64),
            (Self::Float(all), Value::Float, Raw::Fixed32(n)) => all.push(f32::from_bits(n)),
            (Self::Double(all), Value::Double, Raw::Fixed64(n)) => all.push(f64::from_bits(n)),
            (Self::Text(all), Value::Text, Raw::Bytes(bytes)) => {
                all.append_value(simdutf8::basic::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?);
            }
            (Self::Text(all), Value::EnumName(of), Raw::Varint(n)) => match of.get_value(n as i32) {
                Some(value) => all.append_value(value.name()),
                // A newer writer knows more names.
                None => all.append_value((n as i32).to_string()),
            },
            (Self::Bytes(all), Value::Bytes, Raw::Bytes(bytes)) => all.append_value(bytes),
            (Self::Rows(rows), Value::Message(plan), Raw::Bytes(bytes)) => {
                if depth >= DEEPEST {
                    return Err("messages are nested too deeply");
                }
                rows.push(plan, bytes, depth + 1)?;
            }
            _ => return Err(TYPE),
        }
        Ok(())
    }

    fn finish(self, value: &Value, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(match (self, value, data_type) {
            (Self::Bool(mut all), ..) => Arc::new(BooleanArray::new(all.finish(), nulls)),
            (Self::Int32(all), ..) => Arc::new(Int32Array::new(all.into(), nulls)),
            (Self::Int64(all), ..) => Arc::new(Int64Array::new(all.into(), nulls)),
            (Self::Float(all), ..) => Arc::new(Float32Array::new(all.into(), nulls)),
            (Self::Double(all), ..) => Arc::new(Float64Array::new(all.into(), nulls)),
            (Self::Text(mut all), ..) => {
                let (views, buffers, _) = all.finish().into_parts();
                Arc::new(arrow::array::StringViewArray::try_new(views, buffers, nulls)?)
            }
            (Self::Bytes(mut all), ..) => {
                let (views, buffers, _) = all.finish().into_parts();
                Arc::new(arrow::array::BinaryViewArray::try_new(views, buffers, nulls)?)
            }
            (Self::Rows(rows), Value::Message(plan), DataType::Struct(fields)) => {
                let length = rows.rows;
                let columns = rows.finish(plan)?;
                match columns.is_empty() {
                    true => Arc::new(StructArray::new_empty_fields(length, nulls)),
                    false => Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?),
                }
            }
            (Self::Rows(_), ..) => return Err(Error::internal("a message that is no row")),
        })
    }
}

/// A column while it is gathered.
struct Gathered {
    values: Values,
    /// Of a map.
    keys: Option<Values>,
    valid: BooleanBufferBuilder,
    /// Of lists and maps: elements so far, and where rows end.
    count: i32,
    ends: Vec<i32>,
}

/// Rows while they are gathered.
pub(super) struct Rows {
    columns: Vec<Gathered>,
    rows: usize,
}

/// What was found of a field that comes once.
#[derive(Clone)]
enum Found<'a> {
    Nothing,
    Once(Raw<'a>),
    /// A message that comes in parts is the parts one after the other.
    Joined(Vec<u8>),
}

impl Rows {
    fn new(plan: &Plan) -> Self {
        let column = |column: &Column| {
            let (values, keys) = match &column.shape {
                Shape::One(value) | Shape::List { value, .. } => (Values::new(value), None),
                Shape::Map { key, value } => (Values::new(value), Some(Values::new(key))),
            };
            let valid = BooleanBufferBuilder::new(0);
            Gathered { values, keys, valid, count: 0, ends: vec![0] }
        };
        Self { columns: plan.columns.iter().map(column).collect(), rows: 0 }
    }

    fn push_nothing(&mut self, plan: &Plan) {
        for (gathered, column) in self.columns.iter_mut().zip(&plan.columns) {
            gathered.valid.append(false);
            match &column.shape {
                Shape::One(value) => gathered.values.push_nothing(value),
                Shape::List { .. } | Shape::Map { .. } => gathered.ends.push(gathered.count),
            }
        }
        self.rows += 1;
    }

    /// Adds a message. If it is wrong, what was gathered is of no use any more.
    fn push(&mut self, plan: &Plan, message: &[u8], depth: usize) -> Result<(), Wrong> {
        // Most messages have few columns: no allocation then.
        let mut few: [Found<'_>; 16] = [const { Found::Nothing }; 16];
        let mut many = Vec::new();
        let found: &mut [Found<'_>] = match few.get_mut(..plan.columns.len()) {
            Some(few) => few,
            None => {
                many.resize(plan.columns.len(), Found::Nothing);
                &mut many
            }
        };
        let mut fields = Fields::new(message);
        while let Some((number, raw)) = fields.next()? {
            let Some(at) = plan.column_of(number) else { continue };
            let gathered = &mut self.columns[at];
            match &plan.columns[at].shape {
                Shape::One(Value::Message(_)) => {
                    found[at] = match (std::mem::replace(&mut found[at], Found::Nothing), raw) {
                        (Found::Once(Raw::Bytes(first)), Raw::Bytes(next)) => {
                            Found::Joined([first, next].concat())
                        }
                        (Found::Joined(mut all), Raw::Bytes(next)) => {
                            all.extend_from_slice(next);
                            Found::Joined(all)
                        }
                        (_, raw) => Found::Once(raw),
                    };
                }
                // The last one counts.
                Shape::One(_) => found[at] = Found::Once(raw),
                Shape::List { value, .. } => gathered.count += list(&mut gathered.values, value, raw, depth)?,
                Shape::Map { key, value } => {
                    let Raw::Bytes(entry) = raw else { return Err("an entry of a map is no message") };
                    let (mut of_key, mut of_value) = (None, None);
                    let mut parts = Fields::new(entry);
                    while let Some((number, raw)) = parts.next()? {
                        match number {
                            1 => of_key = Some(raw),
                            2 => of_value = Some(raw),
                            _ => {}
                        }
                    }
                    match (&mut gathered.keys, of_key) {
                        (Some(keys), Some(raw)) => keys.push(key, raw, depth)?,
                        (Some(keys), None) => keys.push_nothing(key),
                        (None, _) => {}
                    }
                    match of_value {
                        Some(raw) => gathered.values.push(value, raw, depth)?,
                        None => gathered.values.push_nothing(value),
                    }
                    gathered.count += 1;
                }
            }
        }
        for ((gathered, column), found) in self.columns.iter_mut().zip(&plan.columns).zip(found) {
            match (&column.shape, found) {
                (Shape::One(value), Found::Once(raw)) => {
                    gathered.values.push(value, *raw, depth)?;
                    gathered.valid.append(true);
                }
                (Shape::One(value), Found::Joined(bytes)) => {
                    gathered.values.push(value, Raw::Bytes(bytes), depth)?;
                    gathered.valid.append(true);
                }
                (Shape::One(value), Found::Nothing) => {
                    gathered.values.push_nothing(value);
                    gathered.valid.append(column.defaults);
                }
                (Shape::List { .. } | Shape::Map { .. }, _) => {
                    gathered.ends.push(gathered.count);
                    gathered.valid.append(true);
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self, plan: &Plan) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (mut gathered, column) in self.columns.into_iter().zip(&plan.columns) {
            let nulls = Some(NullBuffer::new(gathered.valid.finish())).filter(|n| n.null_count() > 0);
            columns.push(match (&column.shape, &column.data_type) {
                (Shape::One(value), data_type) => gathered.values.finish(value, data_type, nulls)?,
                (Shape::List { value, .. }, DataType::List(item)) => {
                    let values = gathered.values.finish(value, item.data_type(), None)?;
                    let offsets = OffsetBuffer::new(gathered.ends.into());
                    Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?)
                }
                (Shape::Map { key, value }, DataType::Map(entries, sorted)) => {
                    let (Some(keys), DataType::Struct(parts)) = (gathered.keys, entries.data_type()) else {
                        return Err(Error::internal("a map without keys"));
                    };
                    let keys = keys.finish(key, parts[0].data_type(), None)?;
                    let values = gathered.values.finish(value, parts[1].data_type(), None)?;
                    let structs = StructArray::try_new(parts.clone(), vec![keys, values], None)?;
                    let offsets = OffsetBuffer::new(gathered.ends.into());
                    Arc::new(MapArray::try_new(entries.clone(), offsets, structs, nulls, *sorted)?)
                }
                _ => {
                    return Err(Error::internal(format!(
                        "column '{}' has another type than it was planned with",
                        column.name
                    )));
                }
            });
        }
        Ok(columns)
    }
}

/// Adds elements of a repeated field, packed ones too; how many.
fn list(values: &mut Values, value: &Value, raw: Raw<'_>, depth: usize) -> Result<i32, Wrong> {
    let scalar = !matches!(value, Value::Text | Value::Bytes | Value::Message(_));
    let (true, Raw::Bytes(mut packed)) = (scalar, raw) else {
        values.push(value, raw, depth)?;
        return Ok(1);
    };
    let mut count = 0;
    while !packed.is_empty() {
        let raw = match value {
            Value::Int32 { fixed: true, .. } | Value::Float => {
                Raw::Fixed32(u32::from_le_bytes(fixed(&mut packed)?))
            }
            Value::Int64 { fixed: true, .. } | Value::Double => {
                Raw::Fixed64(u64::from_le_bytes(fixed(&mut packed)?))
            }
            _ => Raw::Varint(varint(&mut packed)?),
        };
        values.push(value, raw, depth)?;
        count += 1;
    }
    Ok(count)
}

/// Decodes records.
pub(crate) struct ProtobufDecoder {
    plan: Plan,
    schema: SchemaRef,
    ignore_errors: bool,
    skipped: u64,
}

/// The result of records: rows, the record of each, and what is wrong with the first one after them.
pub(crate) struct ProtobufRows {
    pub(crate) batch: RecordBatch,
    pub(crate) numbers: Vec<u32>,
    pub(crate) wrong: Option<(usize, Error)>,
}

impl ProtobufDecoder {
    /// For records of a table whose columns are `declared`, of which `schema` is wanted.
    pub(crate) fn new(options: &ProtobufOptions, declared: &SchemaRef, schema: &SchemaRef) -> Result<Self> {
        options.check(declared)?;
        let plan = Plan::new(&options.message, schema.fields(), options.defaults)?;
        Ok(Self { plan, schema: schema.clone(), ignore_errors: options.ignores_errors(), skipped: 0 })
    }

    /// Records left out so far.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The rows of records up to the first that is wrong.
    pub(crate) fn decode(&mut self, messages: &[Option<&[u8]>]) -> Result<ProtobufRows> {
        let mut left_out = vec![false; messages.len()];
        let mut wrong = None;
        let mut end = messages.len();
        let (rows, numbers) = loop {
            let (mut rows, mut numbers) = (Rows::new(&self.plan), Vec::with_capacity(end));
            let mut failed = None;
            for (at, message) in messages[..end].iter().enumerate() {
                let Some(message) = message.filter(|_| !left_out[at]) else { continue };
                if let Err(what) = rows.push(&self.plan, message, 0) {
                    failed = Some((at, what));
                    break;
                }
                numbers.push(at as u32);
            }
            // What was gathered of a wrong one is in the way: the others are decoded again.
            match failed {
                None => break (rows, numbers),
                Some((from, _)) if self.ignore_errors => {
                    for (at, message) in messages.iter().enumerate().skip(from) {
                        let read = |m: &[u8]| Rows::new(&self.plan).push(&self.plan, m, 0).is_ok();
                        left_out[at] = !message.is_none_or(read);
                    }
                }
                Some((at, what)) => {
                    let bytes = messages[at].unwrap_or_default();
                    let error = Error::decode(format!("the record is no message of this type: {what}"))
                        .with_detail(format!("{} bytes: {:02x?}", bytes.len(), &bytes[..bytes.len().min(40)]))
                        .with_hint("see 'protobuf.message-class-name' and the descriptor");
                    wrong = Some((at, error));
                    end = at;
                }
            }
        };
        self.skipped += left_out.iter().filter(|left| **left).count() as u64;
        let count = rows.rows;
        let columns = rows.finish(&self.plan)?;
        for (column, field) in columns.iter().zip(self.schema.fields()) {
            if column.null_count() > 0 && !field.is_nullable() {
                return Err(Error::decode(format!(
                    "column '{}' is NULL, it is declared NOT NULL",
                    field.name()
                )));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(ProtobufRows { batch, numbers, wrong })
    }
}
