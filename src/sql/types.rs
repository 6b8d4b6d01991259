//! The SQL types of the dialect and the Arrow types that carry them.
//!
//! | SQL | Arrow |
//! |---|---|
//! | CHAR, VARCHAR, STRING | Utf8View |
//! | BINARY, VARBINARY, BYTES | BinaryView |
//! | TIME | Time32(ms) |
//! | TIMESTAMP(p) | Timestamp(unit, none): s, ms, us, ns for p = 0, 1–3, 4–6, 7–9 |
//! | TIMESTAMP_LTZ(p) | the same with the session's time zone |
//! | MULTISET&lt;t&gt; | Map&lt;t, Int32&gt; |

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

/// A type as declared in DDL or CAST.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqlType {
    /// `BOOLEAN`
    Boolean,
    /// `TINYINT`
    TinyInt,
    /// `SMALLINT`
    SmallInt,
    /// `INT`
    Int,
    /// `BIGINT`
    BigInt,
    /// `FLOAT`
    Float,
    /// `DOUBLE`
    Double,
    /// `DECIMAL(p, s)`
    Decimal(u8, i8),
    /// `CHAR(n)`
    Char(u32),
    /// `VARCHAR(n)`
    Varchar(u32),
    /// `STRING`
    String,
    /// `BINARY(n)`
    Binary(u32),
    /// `VARBINARY(n)`
    Varbinary(u32),
    /// `BYTES`
    Bytes,
    /// `DATE`
    Date,
    /// `TIME(p)`
    Time(u8),
    /// `TIMESTAMP(p)`
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(p)`
    TimestampLtz(u8),
    /// `INTERVAL YEAR TO MONTH` and its parts
    IntervalYearMonth,
    /// `INTERVAL DAY TO SECOND` and its parts
    IntervalDayTime,
    /// `ARRAY<t>`
    Array(Box<SqlType>),
    /// `MAP<k, v>`
    Map(Box<SqlType>, Box<SqlType>),
    /// `MULTISET<t>`
    Multiset(Box<SqlType>),
    /// `ROW<name type, ...>`
    Row(Vec<(String, SqlType)>),
}

/// The Arrow unit that holds a precision.
pub fn time_unit(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

impl SqlType {
    /// The Arrow type; TIMESTAMP_LTZ carries `zone`, an IANA name or offset.
    pub fn to_arrow(&self, zone: &str) -> DataType {
        let field =
            |name: &str, t: &SqlType, nullable| Arc::new(Field::new(name, t.to_arrow(zone), nullable));
        let map = |k: &SqlType, v: &SqlType| {
            let entries = Fields::from(vec![field("key", k, false), field("value", v, true)]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        };
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(p, s) => DataType::Decimal128(*p, *s),
            Self::Char(_) | Self::Varchar(_) | Self::String => DataType::Utf8View,
            Self::Binary(_) | Self::Varbinary(_) | Self::Bytes => DataType::BinaryView,
            Self::Date => DataType::Date32,
            Self::Time(_) => DataType::Time32(TimeUnit::Millisecond),
            Self::Timestamp(p) => DataType::Timestamp(time_unit(*p), None),
            Self::TimestampLtz(p) => DataType::Timestamp(time_unit(*p), Some(zone.into())),
            Self::IntervalYearMonth => DataType::Interval(IntervalUnit::YearMonth),
            Self::IntervalDayTime => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Array(t) => DataType::List(field("item", t, true)),
            Self::Map(k, v) => map(k, v),
            Self::Multiset(t) => map(t, &SqlType::Int),
            Self::Row(fields) => DataType::Struct(fields.iter().map(|(n, t)| field(n, t, true)).collect()),
        }
    }

    /// The SQL type that shows an Arrow type to people; the opposite of [`SqlType::to_arrow`] as far as
    /// Arrow keeps what is needed.
    pub fn from_arrow(t: &DataType) -> Option<SqlType> {
        let precision = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        };
        Some(match t {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Int,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::BigInt,
            DataType::Float16 | DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => Self::Decimal(*p, *s),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::String,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytes,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time(3),
            DataType::Timestamp(unit, None) => Self::Timestamp(precision(unit)),
            DataType::Timestamp(unit, Some(_)) => Self::TimestampLtz(precision(unit)),
            DataType::Interval(IntervalUnit::YearMonth) => Self::IntervalYearMonth,
            DataType::Interval(_) | DataType::Duration(_) => Self::IntervalDayTime,
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
                Self::Array(Box::new(Self::from_arrow(f.data_type())?))
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => Self::Map(
                    Box::new(Self::from_arrow(kv[0].data_type())?),
                    Box::new(Self::from_arrow(kv[1].data_type())?),
                ),
                _ => return None,
            },
            DataType::Struct(fields) => Self::Row(
                fields
                    .iter()
                    .map(|f| Some((f.name().clone(), Self::from_arrow(f.data_type())?)))
                    .collect::<Option<_>>()?,
            ),
            DataType::Dictionary(_, v) => return Self::from_arrow(v),
            _ => return None,
        })
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(p, s) => write!(f, "DECIMAL({p}, {s})"),
            Self::Char(n) => write!(f, "CHAR({n})"),
            Self::Varchar(n) => write!(f, "VARCHAR({n})"),
            Self::String => f.write_str("STRING"),
            Self::Binary(n) => write!(f, "BINARY({n})"),
            Self::Varbinary(n) => write!(f, "VARBINARY({n})"),
            Self::Bytes => f.write_str("BYTES"),
            Self::Date => f.write_str("DATE"),
            Self::Time(p) => write!(f, "TIME({p})"),
            Self::Timestamp(p) => write!(f, "TIMESTAMP({p})"),
            Self::TimestampLtz(p) => write!(f, "TIMESTAMP_LTZ({p})"),
            Self::IntervalYearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            Self::IntervalDayTime => f.write_str("INTERVAL DAY TO SECOND"),
            Self::Array(t) => write!(f, "ARRAY<{t}>"),
            Self::Map(k, v) => write!(f, "MAP<{k}, {v}>"),
            Self::Multiset(t) => write!(f, "MULTISET<{t}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, (name, t)) in fields.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}`{}` {t}", name.replace('`', "``"))?;
                }
                f.write_str(">")
            }
        }
    }
}
