//! Which arguments a parameter takes: its type, and what can be brought to it without loss.

use arrow::datatypes::DataType;

use super::UserFunction;
use crate::error::{Error, Result};
use crate::sql::SqlType;

/// The types that the arguments of a call are brought to.
pub fn coerced(function: &UserFunction, given: &[DataType], zone: &str) -> Result<Vec<DataType>> {
    if given.len() != function.parameters.len() {
        return Err(Error::plan(format!(
            "{} takes {} arguments, {} are given",
            function.name,
            function.parameters.len(),
            given.len()
        ))
        .with_hint(format!("use {}", function.signature())));
    }
    let types = function.parameters.iter().zip(given).map(|(parameter, given)| {
        if parameter.any {
            return Ok(taken(given));
        }
        let wanted = parameter.data_type.to_arrow(zone);
        match widens(given, &wanted) {
            true => Ok(wanted),
            false => {
                let shown = SqlType::from_arrow(given).map_or_else(|| given.to_string(), |t| t.to_string());
                Err(Error::plan(format!(
                    "the argument '{}' of {} must be {}, not {shown}",
                    parameter.name, function.name, parameter.data_type
                ))
                .with_hint(format!("CAST(... AS {}) converts it", parameter.data_type)))
            }
        }
    });
    types.collect()
}

/// What an argument of any type arrives as.
pub fn taken(given: &DataType) -> DataType {
    match given {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Dictionary(_, value) => taken(value),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        other => other.clone(),
    }
}

fn rank(t: &DataType) -> Option<u8> {
    Some(match t {
        DataType::Int8 => 1,
        DataType::Int16 | DataType::UInt8 => 2,
        DataType::Int32 | DataType::UInt16 => 3,
        DataType::Int64 | DataType::UInt32 => 4,
        DataType::Decimal128(..) | DataType::Decimal256(..) => 5,
        DataType::Float32 => 6,
        DataType::Float64 => 7,
        _ => return None,
    })
}

/// Whether every value of one type is, or is close to, one of the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let text = |t: &D| matches!(t, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let bytes = |t: &D| matches!(t, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_));
    match (from, to) {
        (D::Null, _) => true,
        (D::Dictionary(_, value), _) => widens(value, to),
        (D::Decimal128(p, s), D::Decimal128(wp, ws)) => {
            *s <= *ws && i16::from(*p) - i16::from(*s) <= i16::from(*wp) - i16::from(*ws)
        }
        // A value that does not fit is an error of its row.
        (whole, D::Decimal128(..)) if whole.is_integer() => true,
        (D::List(from) | D::LargeList(from) | D::FixedSizeList(from, _), D::List(to)) => {
            widens(from.data_type(), to.data_type())
        }
        (D::Map(from, _), D::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (D::Struct(from), D::Struct(to)) if from.len() == 2 && to.len() == 2 => {
                from.iter().zip(to).all(|(f, t)| widens(f.data_type(), t.data_type()))
            }
            _ => false,
        },
        (D::Struct(from), D::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(f, t)| widens(f.data_type(), t.data_type()))
        }
        (D::Timestamp(_, from), D::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (D::Date32, D::Timestamp(_, None)) => true,
        (D::Time32(_) | D::Time64(_), D::Time32(_)) => true,
        (from, to) if text(from) && text(to) => true,
        (from, to) if bytes(from) && bytes(to) => true,
        // Whole numbers of any size: a literal is BIGINT, and a value out of range is an error.
        (from, to) if from.is_integer() && to.is_integer() => true,
        (from, to) => match (rank(from), rank(to)) {
            (Some(from), Some(to)) => from <= to,
            _ => from == to,
        },
    }
}
