//! PostgreSQL's types as they are on the wire, and which of ours they are read into.

use arrow::datatypes::{DataType, Field};
use tokio_postgres::types::{Kind, Type};

use crate::sql::SqlType;

/// Days from 1970-01-01 to 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// How a value is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    /// One-dimensional, of an element with its number.
    Array(Box<Wire>, u32),
    /// Read and written as text by the server.
    Other,
}

impl Wire {
    pub(super) fn of(t: &Type) -> Self {
        match t.kind() {
            Kind::Enum(_) => return Self::Text,
            Kind::Domain(inner) => return Self::of(inner),
            Kind::Array(element) => {
                return match Self::of(element) {
                    Self::Other => Self::Other,
                    wire => Self::Array(Box::new(wire), element.oid()),
                };
            }
            _ => {}
        }
        match *t {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON => Self::Text,
            Type::JSONB => Self::Jsonb,
            Type::UUID => Self::Uuid,
            Type::BYTEA => Self::Bytes,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::TimestampTz,
            // Padded CHAR too: as text it has no padding.
            _ => Self::Other,
        }
    }

    /// Whether values are read into a type of ours as they are.
    pub(super) fn reads_into(&self, to: &DataType) -> bool {
        use DataType as T;
        match (self, to) {
            (Self::Bool, T::Boolean)
            | (Self::Int2 | Self::Int4 | Self::Int8, T::Int8 | T::Int16 | T::Int32 | T::Int64)
            | (Self::Int2 | Self::Int4 | Self::Int8, T::Decimal128(..) | T::Utf8View)
            | (Self::Int2 | Self::Int4, T::Float64)
            | (Self::Float4, T::Float32 | T::Float64)
            | (Self::Float8, T::Float64)
            | (Self::Numeric, T::Decimal128(..) | T::Int8 | T::Int16 | T::Int32 | T::Int64)
            | (Self::Text | Self::Jsonb | Self::Uuid, T::Utf8View)
            | (Self::Uuid | Self::Bytes, T::BinaryView)
            | (Self::Date, T::Date32)
            | (Self::Time, T::Time32(_))
            | (Self::Timestamp, T::Timestamp(_, None))
            | (Self::TimestampTz, T::Timestamp(_, Some(_))) => true,
            (Self::Array(wire, _), T::List(item)) => wire.reads_into(item.data_type()),
            _ => false,
        }
    }

    /// Whether values of a type of ours are written as they are.
    pub(super) fn writes_from(&self, from: &DataType) -> bool {
        use DataType as T;
        match (self, from) {
            (Self::Bool, T::Boolean)
            | (
                Self::Int2 | Self::Int4 | Self::Int8 | Self::Numeric | Self::Text,
                T::Int8 | T::Int16 | T::Int32 | T::Int64,
            )
            | (Self::Float8, T::Int8 | T::Int16 | T::Int32 | T::Float32 | T::Float64)
            | (Self::Float4, T::Float32)
            | (Self::Int2 | Self::Int4 | Self::Int8 | Self::Numeric, T::Decimal128(..))
            | (Self::Text | Self::Jsonb | Self::Uuid, T::Utf8View)
            | (Self::Uuid | Self::Bytes, T::BinaryView)
            | (Self::Date, T::Date32)
            | (Self::Time, T::Time32(_))
            | (Self::Timestamp, T::Timestamp(_, None))
            | (Self::TimestampTz, T::Timestamp(_, Some(_))) => true,
            (Self::Array(wire, _), T::List(item)) => wire.writes_from(item.data_type()),
            _ => false,
        }
    }
}

/// The name of a type for statements.
pub(super) fn type_name(t: &Type) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!("{}.{}", quote(t.schema()), quote(t.name()))
}

/// What is written behind a type in parentheses: digits of a number, of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Limit {
    #[default]
    None,
    /// `numeric(p, s)`
    Number(u16, i16),
    /// `timestamp(p)`, `time(p)`
    Fraction(u32),
}

impl Limit {
    /// From the modifier of a column.
    pub(super) fn of(t: &Type, modifier: i32) -> Self {
        let t = match t.kind() {
            Kind::Array(element) => element,
            _ => t,
        };
        match *t {
            Type::NUMERIC if modifier >= 4 => {
                let packed = modifier - 4;
                // The scale is a number of 11 bits with a sign.
                let scale = ((packed & 0x7ff) ^ 1024) - 1024;
                Self::Number((packed >> 16) as u16, scale as i16)
            }
            Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME | Type::TIMETZ => {
                u32::try_from(modifier).map_or(Self::None, Self::Fraction)
            }
            _ => Self::None,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Number(precision, scale) => write!(f, "({precision}, {scale})"),
            Self::Fraction(digits) => write!(f, "({digits})"),
        }
    }
}

/// What to declare for a column of the database.
pub(super) fn declarable(t: &Type, limit: Limit) -> SqlType {
    let digits = |most: u8| match limit {
        Limit::Fraction(digits) => u8::try_from(digits).unwrap_or(most).min(most),
        _ => most,
    };
    match Wire::of(t) {
        Wire::Bool => SqlType::Boolean,
        Wire::Int2 => SqlType::SmallInt,
        Wire::Int4 => SqlType::Int,
        Wire::Int8 => SqlType::BigInt,
        Wire::Float4 => SqlType::Float,
        Wire::Float8 => SqlType::Double,
        Wire::Numeric => match limit {
            Limit::Number(precision @ 1..=38, scale) if scale >= 0 && scale <= precision as i16 => {
                SqlType::Decimal(precision as u8, scale as i8)
            }
            // As Flink's catalog has it.
            Limit::None => SqlType::Decimal(38, 18),
            _ => SqlType::String,
        },
        Wire::Bytes => SqlType::Bytes,
        Wire::Date => SqlType::Date,
        // Times of day have milliseconds here.
        Wire::Time if digits(6) > 3 => SqlType::String,
        Wire::Time => SqlType::Time(digits(3)),
        Wire::Timestamp => SqlType::Timestamp(digits(6)),
        Wire::TimestampTz => SqlType::TimestampLtz(digits(6)),
        Wire::Array(..) => match t.kind() {
            Kind::Array(element) if Wire::of(element) != Wire::Time => {
                SqlType::Array(Box::new(declarable(element, limit)))
            }
            _ => SqlType::String,
        },
        Wire::Text | Wire::Jsonb | Wire::Uuid | Wire::Other => SqlType::String,
    }
}

/// Says that a column is of a type that is not the declared one's.
pub(super) fn mismatch(field: &Field, t: &Type) -> super::Fault {
    let shown =
        SqlType::from_arrow(field.data_type()).map_or(field.data_type().to_string(), |t| t.to_string());
    super::Fault::new(
        super::FaultKind::Table,
        format!("column '{}' is declared as {shown}, in the database it is {}", field.name(), t.name()),
    )
    .with_hint(match Wire::of(t) {
        Wire::Numeric => "declare it as DECIMAL(p, s)".to_string(),
        _ => format!("declare it as {}", declarable(t, Limit::None)),
    })
}
