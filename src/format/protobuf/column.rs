//! How columns are fields: found out once, when a table is planned.

use arrow::datatypes::{DataType, Fields};
use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax};

use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::sql::SqlType;

/// A value of one kind.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool,
    /// `int32`, `uint32` and the like.
    Int32 {
        zigzag: bool,
        fixed: bool,
    },
    Int64 {
        zigzag: bool,
        fixed: bool,
    },
    Float,
    Double,
    Text,
    Bytes,
    /// As its name.
    EnumName(EnumDescriptor),
    /// As its number.
    EnumNumber,
    Message(Box<Plan>),
}

/// What a column is.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    One(Value),
    List { value: Value, packed: bool },
    Map { key: Value, value: Value },
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) shape: Shape,
    /// A record without it has its default, not NULL.
    pub(super) defaults: bool,
    /// Its default is not written: the two cannot be distinguished.
    pub(super) implicit: bool,
    pub(super) data_type: DataType,
}

/// The columns of a message.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) columns: Vec<Column>,
    /// The column of each field number, where that is small.
    small: Vec<Option<u16>>,
    /// Of the others.
    large: Vec<(u32, u16)>,
}

/// Field numbers that are looked up by place.
const SMALL: u32 = 256;

impl Plan {
    /// The columns `fields` of a message.
    pub(super) fn new(message: &MessageDescriptor, fields: &Fields, defaults: bool) -> Result<Self> {
        let mut plan = Self { columns: Vec::new(), small: Vec::new(), large: Vec::new() };
        for field in fields {
            let of = message
                .get_field_by_name(field.name())
                .or_else(|| message.get_field_by_json_name(field.name()));
            let of = of.ok_or_else(|| {
                let error = Error::plan(format!(
                    "column '{}': message {} has no such field",
                    field.name(),
                    message.full_name()
                ));
                let names: Vec<String> = message.fields().map(|f| f.name().to_string()).collect();
                match nearest(field.name(), names.iter().map(String::as_str)) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("it has: {}", names.join(", "))),
                }
            })?;
            let shape = shape(&of, field.data_type(), defaults)
                .map_err(|e| e.context(format!("column '{}'", field.name())))?;
            let implicit = of.parent_file().syntax() == Syntax::Proto3 && !of.supports_presence();
            let repeated = of.cardinality() == Cardinality::Repeated;
            let is_message = matches!(of.kind(), Kind::Message(_));
            let at = u16::try_from(plan.columns.len())
                .map_err(|_| Error::unsupported("a message of too many columns"))?;
            if of.number() < SMALL {
                let place = of.number() as usize;
                if plan.small.len() <= place {
                    plan.small.resize(place + 1, None);
                }
                plan.small[place] = Some(at);
            } else {
                plan.large.push((of.number(), at));
            }
            plan.columns.push(Column {
                name: field.name().clone(),
                number: of.number(),
                shape,
                defaults: repeated || (!is_message && (implicit || defaults)),
                implicit: implicit && !repeated && !is_message,
                data_type: field.data_type().clone(),
            });
        }
        Ok(plan)
    }

    /// The column of a field.
    pub(super) fn column_of(&self, number: u32) -> Option<usize> {
        match self.small.get(number as usize) {
            Some(at) => at.map(usize::from),
            None => self.large.iter().find(|(n, _)| *n == number).map(|(_, at)| usize::from(*at)),
        }
    }
}

fn shape(field: &FieldDescriptor, data_type: &DataType, defaults: bool) -> Result<Shape> {
    match data_type {
        DataType::Map(entries, _) if field.is_map() => {
            let (Kind::Message(entry), DataType::Struct(parts)) = (field.kind(), entries.data_type()) else {
                return Err(Error::internal("a map without entries"));
            };
            let [key, of] = parts.as_ref() else { return Err(Error::internal("a map without entries")) };
            Ok(Shape::Map {
                key: value(&entry.map_entry_key_field(), key.data_type(), defaults)?,
                value: value(&entry.map_entry_value_field(), of.data_type(), defaults)?,
            })
        }
        DataType::List(item) if field.is_list() => {
            Ok(Shape::List { value: value(field, item.data_type(), defaults)?, packed: field.is_packed() })
        }
        _ if field.is_list() || field.is_map() => Err(mismatch(field, data_type)),
        _ => value(field, data_type, defaults).map(Shape::One),
    }
}

fn mismatch(field: &FieldDescriptor, data_type: &DataType) -> Error {
    let declared = SqlType::from_arrow(data_type).map_or(data_type.to_string(), |t| t.to_string());
    let of = match field.kind() {
        Kind::Message(message) => message.full_name().to_string(),
        Kind::Enum(of) => of.full_name().to_string(),
        other => format!("{other:?}").to_ascii_lowercase(),
    };
    let many = if field.is_map() {
        "a map"
    } else if field.is_list() {
        "repeated "
    } else {
        ""
    };
    let of = if field.is_map() { String::new() } else { of };
    Error::plan(format!("the field is {many}{of}, the column is {declared}")).with_hint(
        "int32 is INT, int64 BIGINT, float FLOAT, double DOUBLE, bool BOOLEAN, string STRING, bytes BYTES, an enum STRING or INT, \
         a message ROW, repeated ARRAY, map MAP",
    )
}

fn value(field: &FieldDescriptor, data_type: &DataType, defaults: bool) -> Result<Value> {
    Ok(match (field.kind(), data_type) {
        (Kind::Bool, DataType::Boolean) => Value::Bool,
        (Kind::Int32 | Kind::Uint32, DataType::Int32) => Value::Int32 { zigzag: false, fixed: false },
        (Kind::Sint32, DataType::Int32) => Value::Int32 { zigzag: true, fixed: false },
        (Kind::Fixed32 | Kind::Sfixed32, DataType::Int32) => Value::Int32 { zigzag: false, fixed: true },
        (Kind::Int64 | Kind::Uint64, DataType::Int64) => Value::Int64 { zigzag: false, fixed: false },
        (Kind::Sint64, DataType::Int64) => Value::Int64 { zigzag: true, fixed: false },
        (Kind::Fixed64 | Kind::Sfixed64, DataType::Int64) => Value::Int64 { zigzag: false, fixed: true },
        (Kind::Float, DataType::Float32) => Value::Float,
        (Kind::Double, DataType::Float64) => Value::Double,
        (Kind::String, DataType::Utf8View) => Value::Text,
        (Kind::Bytes, DataType::BinaryView) => Value::Bytes,
        (Kind::Enum(of), DataType::Utf8View) => Value::EnumName(of),
        (Kind::Enum(_), DataType::Int32) => Value::EnumNumber,
        (Kind::Message(message), DataType::Struct(fields)) if !field.is_group() => {
            Value::Message(Box::new(Plan::new(&message, fields, defaults)?))
        }
        _ => return Err(mismatch(field, data_type)),
    })
}
