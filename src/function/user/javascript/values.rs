//! Arrow → JavaScript: the values of arguments.
//!
//! | SQL | JavaScript |
//! |---|---|
//! | BOOLEAN | boolean |
//! | TINYINT to INT, FLOAT, DOUBLE | number |
//! | BIGINT | number; beyond ±(2^53 − 1) an error of the row. BigInt with `'bigint' = 'bigint'` |
//! | DECIMAL(p, s) | number up to p = 15, string above |
//! | STRING, TIME | string |
//! | BYTES | Uint8Array |
//! | DATE, TIMESTAMP, TIMESTAMP_LTZ | Date; what is below a millisecond is lost |
//! | ARRAY, ROW | Array, object |
//! | MAP | object where keys are strings, else Map |
//! | NULL | null |

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, ListArray, MapArray,
    StringViewArray, StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use rquickjs::function::{Args, Constructor};
use rquickjs::{Array as JsArray, BigInt, Ctx, IntoJs, Object, TypedArray, Value};

use crate::error::{Error, Result};

/// Integers up to this are exact as numbers.
pub const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Digits of a DECIMAL that a number holds exactly.
const EXACT_DIGITS: u8 = 15;

/// Reads one column.
pub enum Reader<'a, 'js> {
    Bool(&'a BooleanArray),
    Int8(&'a arrow::array::Int8Array),
    Int16(&'a arrow::array::Int16Array),
    Int32(&'a arrow::array::Int32Array),
    Int64(&'a arrow::array::Int64Array),
    BigInt(&'a arrow::array::Int64Array),
    Float32(&'a arrow::array::Float32Array),
    Float64(&'a arrow::array::Float64Array),
    Decimal(&'a Decimal128Array, bool),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Time(&'a arrow::array::Time32MillisecondArray),
    /// Milliseconds, as they are computed from the column.
    Date(Milliseconds<'a>, Constructor<'js>),
    List(&'a ListArray, Box<Reader<'a, 'js>>),
    Struct(&'a StructArray, Vec<(&'a str, Reader<'a, 'js>)>),
    Map(&'a MapArray, Box<Reader<'a, 'js>>, Box<Reader<'a, 'js>>, Option<Constructor<'js>>),
}

/// A column of days or instants.
pub enum Milliseconds<'a> {
    Days(&'a arrow::array::Date32Array),
    Seconds(&'a arrow::array::TimestampSecondArray),
    Millis(&'a arrow::array::TimestampMillisecondArray),
    Micros(&'a arrow::array::TimestampMicrosecondArray),
    Nanos(&'a arrow::array::TimestampNanosecondArray),
}

impl Milliseconds<'_> {
    fn get(&self, row: usize) -> Option<f64> {
        let some = |valid: bool, value: i64, factor: f64| valid.then_some(value as f64 * factor);
        match self {
            Self::Days(a) => a.is_valid(row).then(|| f64::from(a.value(row)) * 86_400_000.0),
            Self::Seconds(a) => some(a.is_valid(row), a.value(row), 1000.0),
            Self::Millis(a) => some(a.is_valid(row), a.value(row), 1.0),
            Self::Micros(a) => some(a.is_valid(row), a.value(row).div_euclid(1000), 1.0),
            Self::Nanos(a) => some(a.is_valid(row), a.value(row).div_euclid(1_000_000), 1.0),
        }
    }
}

/// Readers of the argument columns.
pub fn readers<'a, 'js>(ctx: &Ctx<'js>, args: &'a [ArrayRef], big: bool) -> Result<Vec<Reader<'a, 'js>>> {
    args.iter().map(|array| Reader::new(ctx, array.as_ref(), big)).collect()
}

fn global<'js>(ctx: &Ctx<'js>, name: &str) -> Result<Constructor<'js>> {
    ctx.globals().get(name).map_err(|e| Error::execution(format!("JavaScript lacks {name}: {e}")))
}

impl<'a, 'js> Reader<'a, 'js> {
    fn new(ctx: &Ctx<'js>, array: &'a dyn Array, big: bool) -> Result<Self> {
        let unsupported = || {
            let shown = crate::sql::SqlType::from_arrow(array.data_type());
            let shown = shown.map_or_else(|| array.data_type().to_string(), |t| t.to_string());
            Error::unsupported(format!("{shown} cannot be an argument of a JavaScript function"))
                .with_hint("cast it to STRING, or a number")
        };
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Self::Int16(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 if big => Self::BigInt(array.as_primitive::<Int64Type>()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(precision, _) => {
                let array = array.as_any().downcast_ref().ok_or_else(unsupported)?;
                Self::Decimal(array, *precision <= EXACT_DIGITS)
            }
            DataType::Utf8View => Self::Text(array.as_string_view()),
            DataType::BinaryView => Self::Bytes(array.as_binary_view()),
            DataType::Time32(TimeUnit::Millisecond) => {
                Self::Time(array.as_primitive::<Time32MillisecondType>())
            }
            DataType::Date32 => {
                Self::Date(Milliseconds::Days(array.as_primitive::<Date32Type>()), global(ctx, "Date")?)
            }
            DataType::Timestamp(unit, _) => {
                let milliseconds = match unit {
                    TimeUnit::Second => Milliseconds::Seconds(array.as_primitive::<TimestampSecondType>()),
                    TimeUnit::Millisecond => {
                        Milliseconds::Millis(array.as_primitive::<TimestampMillisecondType>())
                    }
                    TimeUnit::Microsecond => {
                        Milliseconds::Micros(array.as_primitive::<TimestampMicrosecondType>())
                    }
                    TimeUnit::Nanosecond => {
                        Milliseconds::Nanos(array.as_primitive::<TimestampNanosecondType>())
                    }
                };
                Self::Date(milliseconds, global(ctx, "Date")?)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::new(ctx, list.values().as_ref(), big)?))
            }
            DataType::Struct(fields) => {
                let row = array.as_struct();
                let columns = fields.iter().zip(row.columns());
                let columns = columns.map(|(f, c)| Ok((f.name().as_str(), Self::new(ctx, c.as_ref(), big)?)));
                Self::Struct(row, columns.collect::<Result<Vec<_>>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let keys = Self::new(ctx, map.keys().as_ref(), big)?;
                let constructor = match keys {
                    Self::Text(_) => None,
                    _ => Some(global(ctx, "Map")?),
                };
                Self::Map(
                    map,
                    Box::new(keys),
                    Box::new(Self::new(ctx, map.values().as_ref(), big)?),
                    constructor,
                )
            }
            _ => return Err(unsupported()),
        })
    }

    /// The value of a row, or why there is none.
    pub fn value(&self, ctx: &Ctx<'js>, row: usize) -> std::result::Result<Value<'js>, String> {
        let null = || Value::new_null(ctx.clone());
        let shown = |e: rquickjs::Error| e.to_string();
        macro_rules! number {
            ($array:expr) => {
                match $array.is_valid(row) {
                    true => Value::new_number(ctx.clone(), $array.value(row) as f64),
                    false => null(),
                }
            };
        }
        macro_rules! integer {
            ($array:expr) => {
                match $array.is_valid(row) {
                    true => Value::new_int(ctx.clone(), i32::from($array.value(row))),
                    false => null(),
                }
            };
        }
        Ok(match self {
            Self::Bool(a) if a.is_valid(row) => Value::new_bool(ctx.clone(), a.value(row)),
            Self::Int8(a) => integer!(a),
            Self::Int16(a) => integer!(a),
            Self::Int32(a) => integer!(a),
            Self::Int64(a) if a.is_valid(row) => {
                let value = a.value(row);
                match i32::try_from(value) {
                    Ok(small) => Value::new_int(ctx.clone(), small),
                    Err(_) if value.unsigned_abs() <= SAFE_INTEGER as u64 => {
                        Value::new_number(ctx.clone(), value as f64)
                    }
                    Err(_) => {
                        return Err(format!(
                            "the argument {value} is beyond 2^53 - 1, which a number of JavaScript does not hold \
                             exactly: 'bigint' = 'bigint' gives a BigInt"
                        ));
                    }
                }
            }
            Self::BigInt(a) if a.is_valid(row) => {
                BigInt::from_i64(ctx.clone(), a.value(row)).map_err(shown)?.into_value()
            }
            Self::Float32(a) => number!(a),
            Self::Float64(a) => number!(a),
            Self::Decimal(a, exact) if a.is_valid(row) => {
                let text = a.value_as_string(row);
                match exact {
                    true => {
                        let number = fast_float2::parse::<f64, _>(&text).map_err(|e| e.to_string())?;
                        Value::new_number(ctx.clone(), number)
                    }
                    false => text.into_js(ctx).map_err(shown)?,
                }
            }
            Self::Text(a) if a.is_valid(row) => a.value(row).into_js(ctx).map_err(shown)?,
            Self::Bytes(a) if a.is_valid(row) => {
                TypedArray::<u8>::new_copy(ctx.clone(), a.value(row)).map_err(shown)?.into_value()
            }
            Self::Time(a) if a.is_valid(row) => {
                let ms = a.value(row);
                let (s, ms) = (ms.div_euclid(1000), ms.rem_euclid(1000));
                let text = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
                let text = if ms == 0 { text } else { format!("{text}.{ms:03}") };
                text.into_js(ctx).map_err(shown)?
            }
            Self::Date(milliseconds, constructor) => match milliseconds.get(row) {
                Some(ms) => constructor.construct((ms,)).map_err(shown)?,
                None => null(),
            },
            Self::List(list, values) if list.is_valid(row) => {
                let array = JsArray::new(ctx.clone()).map_err(shown)?;
                let offsets = list.value_offsets();
                for (i, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    array.set(i, values.value(ctx, at as usize)?).map_err(shown)?;
                }
                array.into_value()
            }
            Self::Struct(array, columns) if array.is_valid(row) => {
                let object = Object::new(ctx.clone()).map_err(shown)?;
                for (name, column) in columns {
                    object.set(*name, column.value(ctx, row)?).map_err(shown)?;
                }
                object.into_value()
            }
            Self::Map(map, keys, values, constructor) if map.is_valid(row) => {
                let offsets = map.value_offsets();
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                match constructor {
                    None => {
                        let object = Object::new(ctx.clone()).map_err(shown)?;
                        for at in entries {
                            object.set(keys.value(ctx, at)?, values.value(ctx, at)?).map_err(shown)?;
                        }
                        object.into_value()
                    }
                    Some(constructor) => {
                        let pairs = JsArray::new(ctx.clone()).map_err(shown)?;
                        for (i, at) in entries.enumerate() {
                            let pair = JsArray::new(ctx.clone()).map_err(shown)?;
                            pair.set(0, keys.value(ctx, at)?).map_err(shown)?;
                            pair.set(1, values.value(ctx, at)?).map_err(shown)?;
                            pairs.set(i, pair).map_err(shown)?;
                        }
                        constructor.construct((pairs,)).map_err(shown)?
                    }
                }
            }
            _ => null(),
        })
    }
}

/// The arguments of a row's call.
pub fn arguments<'js>(
    ctx: &Ctx<'js>,
    readers: &[Reader<'_, 'js>],
    row: usize,
) -> std::result::Result<Args<'js>, String> {
    let mut args = Args::new(ctx.clone(), readers.len());
    for reader in readers {
        args.push_arg(reader.value(ctx, row)?).map_err(|e| e.to_string())?;
    }
    Ok(args)
}

/// A value for a message: its kind, and the value where it is short.
pub fn shown(value: &Value<'_>) -> String {
    if let Some(text) = value.as_string().and_then(|s| s.to_string().ok()) {
        let cut: String = text.chars().take(60).collect();
        return format!("the string '{cut}{}'", if cut.len() < text.len() { "..." } else { "" });
    }
    if let Some(number) = value.as_number() {
        return format!("the number {number}");
    }
    if let Some(bool) = value.as_bool() {
        return format!("the boolean {bool}");
    }
    match value.type_of() {
        rquickjs::Type::Null => "null".to_string(),
        rquickjs::Type::Undefined => "undefined".to_string(),
        rquickjs::Type::Array => "an array".to_string(),
        rquickjs::Type::Promise => "a promise".to_string(),
        rquickjs::Type::Function | rquickjs::Type::Constructor => "a function".to_string(),
        rquickjs::Type::BigInt => "a BigInt".to_string(),
        _ => "an object".to_string(),
    }
}
