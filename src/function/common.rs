//! The type that two types have in common, by Flink's rules: one table for comparisons, CASE, COALESCE, collections, set operations
//! and keys of joins.
//!
//! | | integer | DECIMAL | FLOAT | DOUBLE |
//! |---|---|---|---|---|
//! | integer | the wider | DECIMAL of both | FLOAT | DOUBLE |
//! | DECIMAL | DECIMAL of both | digits of both | DOUBLE | DOUBLE |
//! | FLOAT | FLOAT | DOUBLE | FLOAT | DOUBLE |
//! | DOUBLE | DOUBLE | DOUBLE | DOUBLE | DOUBLE |
//!
//! DATE and TIMESTAMP have TIMESTAMP, both sorts of TIMESTAMP have TIMESTAMP_LTZ, in the finer of two precisions. NULL has the other
//! type. Collections have what their parts have.

use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit,
};

/// Digits of an integer type as DECIMAL.
pub(crate) fn integer_digits(t: &DataType) -> Option<u8> {
    Some(match t {
        DataType::Int8 => 3,
        DataType::Int16 | DataType::UInt8 => 5,
        DataType::Int32 | DataType::UInt16 => 10,
        DataType::Int64 | DataType::UInt32 => 19,
        DataType::UInt64 => 20,
        _ => return None,
    })
}

/// Precision and scale of a type as DECIMAL.
pub(crate) fn exact(t: &DataType) -> Option<(u8, i8)> {
    match t {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => Some((*p, *s)),
        _ => integer_digits(t).map(|p| (p, 0)),
    }
}

pub(crate) fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_bytes(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_)
    )
}

fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |u: TimeUnit| match u {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// The common type of numbers. `most` is how many digits a DECIMAL may have.
fn numbers(a: &DataType, b: &DataType, most: u8) -> Option<DataType> {
    if is_float(a) || is_float(b) {
        let decimal = matches!(a, DataType::Decimal128(..) | DataType::Decimal256(..))
            || matches!(b, DataType::Decimal128(..) | DataType::Decimal256(..));
        let double = *a == DataType::Float64 || *b == DataType::Float64 || decimal;
        let number = |t: &DataType| is_float(t) || exact(t).is_some();
        return (number(a) && number(b)).then_some(if double {
            DataType::Float64
        } else {
            DataType::Float32
        });
    }
    if let (Some(p), Some(q)) = (integer_digits(a), integer_digits(b)) {
        return Some(if p >= q { a.clone() } else { b.clone() });
    }
    let ((p1, s1), (p2, s2)) = (exact(a)?, exact(b)?);
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = whole + i16::from(scale);
    if precision <= i16::from(DECIMAL128_MAX_PRECISION) {
        return Some(DataType::Decimal128(precision as u8, scale));
    }
    if most > DECIMAL128_MAX_PRECISION {
        return Some(DataType::Decimal256(precision.min(i16::from(DECIMAL256_MAX_PRECISION)) as u8, scale));
    }
    // Whole digits go before fractions, as Flink has it.
    let scale = i16::from(DECIMAL128_MAX_PRECISION) - whole;
    Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale.max(0) as i8))
}

fn moments(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match (a, b) {
        (D::Timestamp(u, z), D::Timestamp(v, y)) => D::Timestamp(finer(*u, *v), z.clone().or(y.clone())),
        (D::Date32 | D::Date64, t @ D::Timestamp(..)) | (t @ D::Timestamp(..), D::Date32 | D::Date64) => {
            t.clone()
        }
        (D::Date32 | D::Date64, D::Date32 | D::Date64) => D::Date32,
        (D::Time32(_) | D::Time64(_), D::Time32(_) | D::Time64(_)) => D::Time32(TimeUnit::Millisecond),
        (D::Interval(IntervalUnit::YearMonth), D::Interval(IntervalUnit::YearMonth)) => a.clone(),
        (D::Interval(_), D::Interval(_)) => D::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

fn named(like: &Field, data_type: DataType, other: &Field) -> Arc<Field> {
    Arc::new(Field::new(like.name(), data_type, like.is_nullable() || other.is_nullable()))
}

fn common_of(a: &DataType, b: &DataType, most: u8) -> Option<DataType> {
    use DataType as D;
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (D::Null, t) | (t, D::Null) => Some(t.clone()),
        (D::Dictionary(_, v), t) | (t, D::Dictionary(_, v)) => common_of(v, t, most),
        _ if is_text(a) && is_text(b) => Some(D::Utf8View),
        _ if is_bytes(a) && is_bytes(b) => Some(D::BinaryView),
        (
            D::List(x) | D::LargeList(x) | D::FixedSizeList(x, _),
            D::List(y) | D::LargeList(y) | D::FixedSizeList(y, _),
        ) => {
            let t = common_of(x.data_type(), y.data_type(), DECIMAL128_MAX_PRECISION)?;
            Some(D::List(named(x, t, y)))
        }
        (D::Map(x, sorted), D::Map(y, _)) => {
            let (D::Struct(f), D::Struct(g)) = (x.data_type(), y.data_type()) else { return None };
            Some(D::Map(named(x, D::Struct(fields(f, g)?), y), *sorted))
        }
        (D::Struct(f), D::Struct(g)) => Some(D::Struct(fields(f, g)?)),
        _ => numbers(a, b, most).or_else(|| moments(a, b)),
    }
}

fn fields(f: &Fields, g: &Fields) -> Option<Fields> {
    if f.len() != g.len() {
        return None;
    }
    f.iter()
        .zip(g)
        .map(|(x, y)| {
            let t = common_of(x.data_type(), y.data_type(), DECIMAL128_MAX_PRECISION)?;
            Some(named(x, t, y))
        })
        .collect()
}

/// The type that holds values of both types: that of CASE, COALESCE, collections and set operations.
pub(crate) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    common_of(a, b, DECIMAL128_MAX_PRECISION)
}

/// The type that holds values of all types.
pub(crate) fn common_all<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    types.into_iter().try_fold(DataType::Null, |all, t| common(&all, t))
}

/// The type in which values of both types are compared; no digit of a DECIMAL is lost.
pub(crate) fn compared(a: &DataType, b: &DataType) -> Option<DataType> {
    common_of(a, b, DECIMAL256_MAX_PRECISION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::types::SqlType;

    /// Every pair of the types, with what they have in common.
    #[test]
    fn every_cell_of_the_table() {
        let types: Vec<(&str, DataType)> = [
            ("TINYINT", SqlType::TinyInt),
            ("SMALLINT", SqlType::SmallInt),
            ("INT", SqlType::Int),
            ("BIGINT", SqlType::BigInt),
            ("DECIMAL(5, 2)", SqlType::Decimal(5, 2)),
            ("DECIMAL(38, 18)", SqlType::Decimal(38, 18)),
            ("FLOAT", SqlType::Float),
            ("DOUBLE", SqlType::Double),
            ("BOOLEAN", SqlType::Boolean),
            ("STRING", SqlType::String),
            ("BYTES", SqlType::Bytes),
            ("DATE", SqlType::Date),
            ("TIME(3)", SqlType::Time(3)),
            ("TIMESTAMP(3)", SqlType::Timestamp(3)),
            ("TIMESTAMP(9)", SqlType::Timestamp(9)),
            ("TIMESTAMP_LTZ(3)", SqlType::TimestampLtz(3)),
        ]
        .map(|(n, t)| (n, t.to_arrow("UTC")))
        .to_vec();
        let table = "
            TINYINT TINYINT TINYINT
            TINYINT SMALLINT SMALLINT
            TINYINT INT INT
            TINYINT BIGINT BIGINT
            TINYINT DECIMAL(5,2) DECIMAL(5,2)
            TINYINT DECIMAL(38,18) DECIMAL(38,18)
            TINYINT FLOAT FLOAT
            TINYINT DOUBLE DOUBLE
            SMALLINT INT INT
            SMALLINT BIGINT BIGINT
            SMALLINT DECIMAL(5,2) DECIMAL(7,2)
            SMALLINT DECIMAL(38,18) DECIMAL(38,18)
            SMALLINT FLOAT FLOAT
            SMALLINT DOUBLE DOUBLE
            INT BIGINT BIGINT
            INT DECIMAL(5,2) DECIMAL(12,2)
            INT DECIMAL(38,18) DECIMAL(38,18)
            INT FLOAT FLOAT
            INT DOUBLE DOUBLE
            BIGINT DECIMAL(5,2) DECIMAL(21,2)
            BIGINT DECIMAL(38,18) DECIMAL(38,18)
            BIGINT FLOAT FLOAT
            BIGINT DOUBLE DOUBLE
            DECIMAL(5,2) DECIMAL(38,18) DECIMAL(38,18)
            DECIMAL(5,2) FLOAT DOUBLE
            DECIMAL(5,2) DOUBLE DOUBLE
            DECIMAL(38,18) FLOAT DOUBLE
            DECIMAL(38,18) DOUBLE DOUBLE
            FLOAT DOUBLE DOUBLE
            DATE TIMESTAMP(3) TIMESTAMP(3)
            DATE TIMESTAMP(9) TIMESTAMP(9)
            DATE TIMESTAMP_LTZ(3) TIMESTAMP_LTZ(3)
            TIMESTAMP(3) TIMESTAMP(9) TIMESTAMP(9)
            TIMESTAMP(3) TIMESTAMP_LTZ(3) TIMESTAMP_LTZ(3)
            TIMESTAMP(9) TIMESTAMP_LTZ(3) TIMESTAMP_LTZ(9)";
        let cells: Vec<[String; 3]> = table
            .lines()
            .map(|l| l.split_whitespace().map(|w| w.replace(",", ", ")).collect::<Vec<_>>())
            .filter_map(|w| w.try_into().ok())
            .collect();
        let mut wrong = String::new();
        for (a, s) in &types {
            for (b, t) in &types {
                let cell = cells.iter().find(|c| c[0] == *a && c[1] == *b || c[0] == *b && c[1] == *a);
                let wanted = match cell {
                    _ if a == b => (*a).to_string(),
                    Some(cell) => cell[2].clone(),
                    None => "none".into(),
                };
                let found = common(s, t).and_then(|t| SqlType::from_arrow(&t));
                let found = found.map_or("none".to_string(), |t| t.to_string());
                if found != wanted {
                    wrong.push_str(&format!("{a} and {b}: {found}, not {wanted}\n"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    #[test]
    fn decimals_keep_their_digits_where_they_are_compared() {
        let (a, b) = (DataType::Decimal128(38, 0), DataType::Decimal128(38, 18));
        assert_eq!(common(&a, &b), Some(DataType::Decimal128(38, 0)));
        assert_eq!(compared(&a, &b), Some(DataType::Decimal256(56, 18)));
    }
}
