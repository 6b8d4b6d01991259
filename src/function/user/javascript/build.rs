//! JavaScript → Arrow: results, checked against the declared type. `undefined` and `null` are NULL; a value that does
//! not fit, such as NaN for an INT or an unknown field of a ROW, is an error of its row and leaves nothing behind.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Decimal128Array, ListArray, MapArray, PrimitiveArray,
    StringViewBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal256Type, FieldRef, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, i256,
};
use rquickjs::{Ctx, Function, Object, TypedArray, Value};

use super::values::{SAFE_INTEGER, shown};
use crate::error::{Error, Result};
use crate::sql::SqlType;

/// Nested values may nest in each other without end.
const MAX_ELEMENTS: usize = 1 << 24;

/// Builds a column.
pub struct Builder {
    column: Column,
}

type Outcome = std::result::Result<(), String>;

enum Column {
    Bool(BooleanBuilder),
    Int { values: Vec<Option<i64>>, least: i64, greatest: i64, data_type: DataType },
    Float { values: Vec<Option<f64>>, data_type: DataType },
    Decimal { values: Vec<Option<i128>>, precision: u8, scale: i8 },
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Time(Vec<Option<i32>>),
    Date(Vec<Option<i32>>),
    Instant { values: Vec<Option<i64>>, unit: TimeUnit, zone: Option<Arc<str>> },
    List { field: FieldRef, ends: Vec<i32>, valid: Vec<bool>, values: Box<Column> },
    Struct { fields: Vec<FieldRef>, valid: Vec<bool>, columns: Vec<Column> },
    Map { entries: FieldRef, ends: Vec<i32>, valid: Vec<bool>, keys: Box<Column>, values: Box<Column> },
}

impl Builder {
    /// For results of a type.
    pub fn new(data_type: &DataType, rows: usize) -> Result<Self> {
        Ok(Self { column: Column::new(data_type, rows)? })
    }

    /// Appends a row's result; on an error nothing. `more_time` is called where code of the user goes on running.
    pub fn append<'js>(&mut self, ctx: &Ctx<'js>, value: &Value<'js>, more_time: &dyn Fn()) -> Outcome {
        let length = self.column.len();
        let appended = self.column.append(ctx, value, more_time);
        if appended.is_err() {
            self.column.truncate(length);
        }
        appended
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        self.column.append_null();
    }

    /// The column.
    pub fn finish(self) -> Result<ArrayRef> {
        self.column.finish()
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<Option<T::Native>>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter(values))
}

impl Column {
    fn new(data_type: &DataType, rows: usize) -> Result<Self> {
        let int = |least: i64, greatest: i64| Self::Int {
            values: Vec::with_capacity(rows),
            least,
            greatest,
            data_type: data_type.clone(),
        };
        Ok(match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => int(i64::MIN, i64::MAX),
            DataType::Float32 | DataType::Float64 => {
                Self::Float { values: Vec::with_capacity(rows), data_type: data_type.clone() }
            }
            DataType::Decimal128(precision, scale) => {
                Self::Decimal { values: Vec::with_capacity(rows), precision: *precision, scale: *scale }
            }
            DataType::Utf8View => Self::Text(StringViewBuilder::with_capacity(rows)),
            DataType::BinaryView => Self::Bytes(BinaryViewBuilder::with_capacity(rows)),
            DataType::Time32(TimeUnit::Millisecond) => Self::Time(Vec::with_capacity(rows)),
            DataType::Date32 => Self::Date(Vec::with_capacity(rows)),
            DataType::Timestamp(unit, zone) => {
                Self::Instant { values: Vec::with_capacity(rows), unit: *unit, zone: zone.clone() }
            }
            DataType::List(field) => Self::List {
                field: field.clone(),
                ends: vec![0],
                valid: Vec::with_capacity(rows),
                values: Box::new(Self::new(field.data_type(), rows)?),
            },
            DataType::Struct(fields) => Self::Struct {
                fields: fields.iter().cloned().collect(),
                valid: Vec::with_capacity(rows),
                columns: fields.iter().map(|f| Self::new(f.data_type(), rows)).collect::<Result<_>>()?,
            },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Self::Map {
                    entries: entries.clone(),
                    ends: vec![0],
                    valid: Vec::with_capacity(rows),
                    keys: Box::new(Self::new(fields[0].data_type(), rows)?),
                    values: Box::new(Self::new(fields[1].data_type(), rows)?),
                },
                _ => return Err(Error::internal("a MAP without keys and values")),
            },
            other => {
                let shown = SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string());
                return Err(Error::unsupported(format!("a JavaScript function cannot return {shown}")));
            }
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Bool(b) => arrow::array::ArrayBuilder::len(b),
            Self::Int { values, .. } | Self::Instant { values, .. } => values.len(),
            Self::Float { values, .. } => values.len(),
            Self::Decimal { values, .. } => values.len(),
            Self::Text(b) => arrow::array::ArrayBuilder::len(b),
            Self::Bytes(b) => arrow::array::ArrayBuilder::len(b),
            Self::Time(values) | Self::Date(values) => values.len(),
            Self::List { valid, .. } | Self::Struct { valid, .. } | Self::Map { valid, .. } => valid.len(),
        }
    }

    /// Forgets what was appended behind a length. Builders that cannot are filled in one step, never in part.
    fn truncate(&mut self, length: usize) {
        match self {
            Self::Bool(b) => {
                if arrow::array::ArrayBuilder::len(b) > length {
                    let kept = b.finish().slice(0, length);
                    kept.iter().for_each(|v| b.append_option(v));
                }
            }
            Self::Int { values, .. } | Self::Instant { values, .. } => values.truncate(length),
            Self::Float { values, .. } => values.truncate(length),
            Self::Decimal { values, .. } => values.truncate(length),
            Self::Text(b) => {
                if arrow::array::ArrayBuilder::len(b) > length {
                    let kept = b.finish().slice(0, length);
                    kept.iter().for_each(|v| b.append_option(v));
                }
            }
            Self::Bytes(b) => {
                if arrow::array::ArrayBuilder::len(b) > length {
                    let kept = b.finish().slice(0, length);
                    kept.iter().for_each(|v| b.append_option(v));
                }
            }
            Self::Time(values) | Self::Date(values) => values.truncate(length),
            Self::List { ends, valid, values, .. } => {
                valid.truncate(length);
                ends.truncate(length + 1);
                values.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Self::Struct { valid, columns, .. } => {
                valid.truncate(length);
                columns.iter_mut().for_each(|c| c.truncate(length));
            }
            Self::Map { ends, valid, keys, values, .. } => {
                valid.truncate(length);
                ends.truncate(length + 1);
                let end = ends.last().map_or(0, |end| *end as usize);
                keys.truncate(end);
                values.truncate(end);
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int { values, .. } | Self::Instant { values, .. } => values.push(None),
            Self::Float { values, .. } => values.push(None),
            Self::Decimal { values, .. } => values.push(None),
            Self::Text(b) => b.append_null(),
            Self::Bytes(b) => b.append_null(),
            Self::Time(values) | Self::Date(values) => values.push(None),
            Self::List { ends, valid, .. } | Self::Map { ends, valid, .. } => {
                valid.push(false);
                ends.push(ends.last().copied().unwrap_or_default());
            }
            Self::Struct { valid, columns, .. } => {
                valid.push(false);
                columns.iter_mut().for_each(Self::append_null);
            }
        }
    }

    fn append<'js>(&mut self, ctx: &Ctx<'js>, value: &Value<'js>, more_time: &dyn Fn()) -> Outcome {
        if value.is_null() || value.is_undefined() {
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Bool(b) => b.append_value(value.as_bool().ok_or_else(|| unfit("BOOLEAN", value))?),
            Self::Int { values, least, greatest, data_type } => {
                let name = SqlType::from_arrow(data_type).map_or_else(String::new, |t| t.to_string());
                let number = integer(value).ok_or_else(|| unfit(&name, value))?;
                if number < *least || number > *greatest {
                    return Err(format!("returned {number}, which is out of the range of {name}"));
                }
                values.push(Some(number));
            }
            Self::Float { values, .. } => {
                let number = match value.as_big_int() {
                    Some(big) => big.clone().to_i64().map_err(|e| e.to_string())? as f64,
                    None => value.as_number().ok_or_else(|| unfit("a number", value))?,
                };
                values.push(Some(number));
            }
            Self::Decimal { values, precision, scale } => {
                values.push(Some(decimal(value, *precision, *scale)?));
            }
            Self::Text(b) => {
                let text = value.as_string().ok_or_else(|| unfit("STRING", value))?;
                let text =
                    text.to_string().map_err(|e| format!("returned a string that is not text: {e}"))?;
                b.append_value(text);
            }
            Self::Bytes(b) => {
                let array =
                    TypedArray::<u8>::from_value(value.clone()).map_err(|_| unfit("a Uint8Array", value))?;
                let bytes = (0..array.len() as u32).map(|i| array.as_object().get::<_, u8>(i));
                b.append_value(bytes.collect::<rquickjs::Result<Vec<u8>>>().map_err(|e| e.to_string())?);
            }
            Self::Time(values) => {
                let text = value.as_string().and_then(|s| s.to_string().ok());
                let time =
                    text.as_deref().and_then(|t| chrono::NaiveTime::parse_from_str(t, "%H:%M:%S%.f").ok());
                let time = time.ok_or_else(|| unfit("a TIME as a string, HH:MM:SS", value))?;
                use chrono::Timelike as _;
                let ms = time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000;
                values.push(Some(ms as i32));
            }
            Self::Date(values) => {
                let days = (instant(ctx, value)? / 86_400_000.0).floor();
                if days.abs() > f64::from(i32::MAX) {
                    return Err("returned a date that is out of range".to_string());
                }
                values.push(Some(days as i32));
            }
            Self::Instant { values, unit, .. } => {
                let ms = instant(ctx, value)? as i64;
                let factor = match unit {
                    TimeUnit::Second => None,
                    TimeUnit::Millisecond => Some(1),
                    TimeUnit::Microsecond => Some(1_000),
                    TimeUnit::Nanosecond => Some(1_000_000),
                };
                let scaled = match factor {
                    None => Some(ms.div_euclid(1000)),
                    Some(factor) => ms.checked_mul(factor),
                };
                values.push(Some(scaled.ok_or("returned an instant that is out of range")?));
            }
            Self::List { ends, valid, values, .. } => {
                let mut count = 0usize;
                elements(ctx, value, more_time, &mut |element| {
                    count += 1;
                    if count > MAX_ELEMENTS {
                        return Err(format!("returned more than {MAX_ELEMENTS} elements"));
                    }
                    values.append(ctx, &element, more_time)
                })?;
                valid.push(true);
                ends.push(i32::try_from(values.len()).map_err(|_| "returned too many elements".to_string())?);
            }
            Self::Struct { fields, valid, columns } => {
                append_row(ctx, value, fields, columns, more_time)?;
                valid.push(true);
            }
            Self::Map { ends, valid, keys, values, .. } => {
                append_entries(ctx, value, keys, values, more_time)?;
                valid.push(true);
                ends.push(i32::try_from(keys.len()).map_err(|_| "returned too many entries".to_string())?);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Bool(mut b) => Arc::new(b.finish()),
            Self::Int { values, data_type, .. } => match data_type {
                DataType::Int8 => primitive::<Int8Type>(narrowed(values)),
                DataType::Int16 => primitive::<Int16Type>(narrowed(values)),
                DataType::Int32 => primitive::<Int32Type>(narrowed(values)),
                _ => primitive::<Int64Type>(values),
            },
            Self::Float { values, data_type: DataType::Float32 } => {
                primitive::<Float32Type>(values.into_iter().map(|v| v.map(|v| v as f32)).collect())
            }
            Self::Float { values, .. } => primitive::<Float64Type>(values),
            Self::Decimal { values, precision, scale } => {
                Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?)
            }
            Self::Text(mut b) => Arc::new(b.finish()),
            Self::Bytes(mut b) => Arc::new(b.finish()),
            Self::Time(values) => primitive::<Time32MillisecondType>(values),
            Self::Date(values) => primitive::<Date32Type>(values),
            Self::Instant { values, unit, zone } => match unit {
                TimeUnit::Second => {
                    Arc::new(PrimitiveArray::<TimestampSecondType>::from(values).with_timezone_opt(zone))
                }
                TimeUnit::Millisecond => {
                    Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(values).with_timezone_opt(zone))
                }
                TimeUnit::Microsecond => {
                    Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(values).with_timezone_opt(zone))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(values).with_timezone_opt(zone))
                }
            },
            Self::List { field, ends, valid, values } => {
                let nulls = Some(NullBuffer::from(valid));
                Arc::new(ListArray::try_new(field, OffsetBuffer::new(ends.into()), values.finish()?, nulls)?)
            }
            Self::Struct { fields, valid, columns } => {
                let columns = columns.into_iter().map(Self::finish).collect::<Result<Vec<_>>>()?;
                let (length, nulls) = (valid.len(), Some(NullBuffer::from(valid)));
                Arc::new(StructArray::try_new_with_length(fields.into(), columns, nulls, length)?)
            }
            Self::Map { entries, ends, valid, keys, values } => {
                let columns = vec![keys.finish()?, values.finish()?];
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(Error::internal("a MAP without keys and values"));
                };
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                let nulls = Some(NullBuffer::from(valid));
                Arc::new(MapArray::try_new(entries, OffsetBuffer::new(ends.into()), pairs, nulls, false)?)
            }
        })
    }
}

/// Values that were checked to be in range.
fn narrowed<T: TryFrom<i64>>(values: Vec<Option<i64>>) -> Vec<Option<T>> {
    values.into_iter().map(|v| v.and_then(|v| T::try_from(v).ok())).collect()
}

fn unfit(wanted: &str, value: &Value<'_>) -> String {
    format!("returned {}, which is not {wanted}", shown(value))
}

fn integer(value: &Value<'_>) -> Option<i64> {
    if let Some(int) = value.as_int() {
        return Some(i64::from(int));
    }
    if let Some(big) = value.as_big_int() {
        // Beyond 64 bits the conversion wraps: the number is compared as text.
        let written = value.ctx().clone().globals().get::<_, Function<'_>>("String");
        let written: String = written.and_then(|string| string.call((value.clone(),))).ok()?;
        return big.clone().to_i64().ok().filter(|n| n.to_string() == written);
    }
    let number = value.as_number()?;
    (number.fract() == 0.0 && number.abs() <= SAFE_INTEGER as f64).then_some(number as i64)
}

fn decimal(value: &Value<'_>, precision: u8, scale: i8) -> std::result::Result<i128, String> {
    let name = format!("DECIMAL({precision}, {scale})");
    let text = match value.as_string() {
        Some(text) => text.to_string().map_err(|e| e.to_string())?,
        None => {
            let number = value.as_number().filter(|n| n.is_finite()).ok_or_else(|| unfit(&name, value))?;
            // The shortest digits that mean the number.
            format!("{number}")
        }
    };
    // One digit more than is kept decides how the last one is rounded: half up.
    let parsed = parse_decimal::<Decimal256Type>(text.trim(), precision + 1, scale + 1).ok();
    let rounded = parsed.and_then(|more| {
        let half = if more < i256::ZERO { -5 } else { 5 };
        more.checked_add(i256::from_i128(half))?.checked_div(i256::from_i128(10))?.to_i128()
    });
    let fits = |unscaled: &i128| unscaled.unsigned_abs() < 10u128.pow(u32::from(precision));
    rounded.filter(fits).ok_or_else(|| format!("returned {}, which is not a {name}", shown(value)))
}

/// Milliseconds since 1970 of a Date.
fn instant<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> std::result::Result<f64, String> {
    let wanted = "a Date";
    let object = value.as_object().ok_or_else(|| unfit(wanted, value))?;
    let date: Object<'js> = ctx.globals().get("Date").map_err(|e| e.to_string())?;
    if !object.is_instance_of(&date) {
        return Err(unfit(wanted, value));
    }
    let get_time: Function<'js> = object.get("getTime").map_err(|e| e.to_string())?;
    let ms: f64 = get_time.call((rquickjs::function::This(object.clone()),)).map_err(|e| e.to_string())?;
    match ms.is_finite() {
        true => Ok(ms),
        false => Err("returned an invalid Date".to_string()),
    }
}

/// Hands over the elements of an array, or of anything that can be iterated: what a generator yields.
fn elements<'js>(
    ctx: &Ctx<'js>,
    value: &Value<'js>,
    more_time: &dyn Fn(),
    take: &mut dyn FnMut(Value<'js>) -> Outcome,
) -> Outcome {
    use rquickjs::CatchResultExt;
    let failed = |e: rquickjs::Error| {
        let caught = std::result::Result::<(), _>::Err(e).catch(ctx);
        caught.err().map(|e| super::thrown(e).0).unwrap_or_default()
    };
    if let Some(array) = value.as_array() {
        for i in 0..array.len() {
            take(array.get(i).map_err(failed)?)?;
        }
        return Ok(());
    }
    let object = value.as_object().ok_or_else(|| unfit("an array", value))?;
    let iterator = rquickjs::atom::PredefinedAtom::SymbolIterator;
    let start: Function<'js> = object.get(iterator).map_err(|_| unfit("an array", value))?;
    more_time();
    let iterator: Object<'js> =
        start.call((rquickjs::function::This(object.clone()),)).map_err(|_| unfit("an array", value))?;
    let next: Function<'js> = iterator.get("next").map_err(failed)?;
    loop {
        let step: Object<'js> = next.call((rquickjs::function::This(iterator.clone()),)).map_err(failed)?;
        if step.get::<_, bool>("done").map_err(failed)? {
            return Ok(());
        }
        take(step.get("value").map_err(failed)?)?;
    }
}

/// A row: an object whose fields are the columns, or the only column's value itself.
fn append_row<'js>(
    ctx: &Ctx<'js>,
    value: &Value<'js>,
    fields: &[FieldRef],
    columns: &mut [Column],
    more_time: &dyn Fn(),
) -> Outcome {
    if let Some(array) = value.as_array() {
        if array.len() != fields.len() {
            return Err(format!("returned a row of {} values, it has {} columns", array.len(), fields.len()));
        }
        for (i, column) in columns.iter_mut().enumerate() {
            let element: Value<'js> = array.get(i).map_err(|e| e.to_string())?;
            column.append(ctx, &element, more_time)?;
        }
        return Ok(());
    }
    let plain = value.as_object().filter(|o| !o.is_array() && value.as_function().is_none());
    let Some(object) = plain else {
        let ([_], [column]) = (fields, columns) else {
            return Err(unfit("an object with a row's fields", value));
        };
        return column.append(ctx, value, more_time);
    };
    for key in object.keys::<String>() {
        let key = key.map_err(|e| e.to_string())?;
        if !fields.iter().any(|f| *f.name() == key) {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            return Err(format!("returned the field '{key}', the columns are {}", names.join(", ")));
        }
    }
    for (field, column) in fields.iter().zip(columns) {
        let element: Value<'js> = object.get(field.name().as_str()).map_err(|e| e.to_string())?;
        column.append(ctx, &element, more_time)?;
    }
    Ok(())
}

/// The entries of an object or Map.
fn append_entries<'js>(
    ctx: &Ctx<'js>,
    value: &Value<'js>,
    keys: &mut Column,
    values: &mut Column,
    more_time: &dyn Fn(),
) -> Outcome {
    let object = value.as_object().ok_or_else(|| unfit("an object or Map", value))?;
    let map: Object<'js> = ctx.globals().get("Map").map_err(|e| e.to_string())?;
    let mut entry = |key: Value<'js>, value: Value<'js>| {
        if key.is_null() || key.is_undefined() {
            return Err("returned a MAP with a NULL key".to_string());
        }
        keys.append(ctx, &key, more_time)?;
        values.append(ctx, &value, more_time)
    };
    if object.is_instance_of(&map) {
        return elements(ctx, value, more_time, &mut |pair| {
            let pair = pair.as_array().ok_or("returned a Map with a broken entry")?;
            entry(pair.get(0).map_err(|e| e.to_string())?, pair.get(1).map_err(|e| e.to_string())?)
        });
    }
    for property in object.props::<Value<'js>, Value<'js>>() {
        let (key, value) = property.map_err(|e| e.to_string())?;
        entry(key, value)?;
    }
    Ok(())
}
