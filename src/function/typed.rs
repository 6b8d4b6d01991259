//! A type as Flink shows it: with the lengths of texts, NOT NULL at every depth, and names that Arrow has no place for.
//!
//! Arrow's types decide what is computed; these are what DESCRIBE, TYPEOF and messages say.

use std::fmt;

use arrow::datatypes::{DataType, IntervalUnit};

use super::common::is_text;
use crate::sql::types::{SqlType, time_unit};

/// How long texts or bytes are at most: what CHAR(n), VARCHAR(n) and STRING say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// CHAR(n), BINARY(n)
    Exactly(usize),
    /// VARCHAR(n), VARBINARY(n)
    AtMost(usize),
    /// STRING, BYTES
    Any,
}

impl Length {
    pub(crate) fn most(self) -> Option<usize> {
        match self {
            Self::Exactly(n) | Self::AtMost(n) => Some(n),
            Self::Any => None,
        }
    }
    /// The length of a part of such a text.
    pub(crate) fn cut(self) -> Self {
        self.most().map_or(Self::Any, Self::AtMost)
    }
    /// The length of one text behind the other.
    pub(crate) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exactly(a), Self::Exactly(b)) => Self::Exactly(a + b),
            (a, b) => a.most().zip(b.most()).map_or(Self::Any, |(a, b)| Self::AtMost(a + b)),
        }
    }
    /// The length of one text or the other.
    pub(crate) fn either(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => self.most().zip(other.most()).map_or(Self::Any, |(a, b)| Self::AtMost(a.max(b))),
        }
    }
    fn write(self, f: &mut fmt::Formatter<'_>, words: [&str; 3]) -> fmt::Result {
        match self {
            Self::Exactly(n) => write!(f, "{}({n})", words[0]),
            Self::AtMost(n) => write!(f, "{}({n})", words[1]),
            Self::Any => f.write_str(words[2]),
        }
    }
}

/// A type, and whether there may be NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    pub kind: Kind,
    pub nullable: bool,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What NULL alone has.
    Null,
    Text(Length),
    Bytes(Length),
    /// Any other that has no parts.
    Plain(SqlType),
    Array(Box<Typed>),
    Multiset(Box<Typed>),
    Map(Box<Typed>, Box<Typed>),
    Row(Vec<(String, Typed)>),
}

impl Kind {
    pub(crate) fn may_be_null(self, nullable: bool) -> Typed {
        Typed { kind: self, nullable }
    }

    pub(crate) fn length(&self) -> Length {
        match self {
            Self::Text(length) | Self::Bytes(length) => *length,
            _ => Length::Any,
        }
    }

    /// The type of one value or the other, where both have the same in Arrow.
    pub(crate) fn either(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind.clone(),
            (Self::Text(a), Self::Text(b)) => Self::Text(a.either(*b)),
            (Self::Bytes(a), Self::Bytes(b)) => Self::Bytes(a.either(*b)),
            (Self::Array(a), Self::Array(b)) => Self::Array(Box::new(a.either(b))),
            (Self::Multiset(a), Self::Multiset(b)) => Self::Multiset(Box::new(a.either(b))),
            (Self::Map(k, v), Self::Map(l, w)) => Self::Map(Box::new(k.either(l)), Box::new(v.either(w))),
            (Self::Row(a), Self::Row(b)) if a.len() == b.len() => {
                Self::Row(a.iter().zip(b).map(|((n, a), (_, b))| (n.clone(), a.either(b))).collect())
            }
            (Self::Plain(SqlType::Timestamp(p)), Self::Plain(SqlType::Timestamp(q))) => {
                Self::Plain(SqlType::Timestamp(*p.max(q)))
            }
            (Self::Plain(SqlType::TimestampLtz(p)), Self::Plain(SqlType::TimestampLtz(q))) => {
                Self::Plain(SqlType::TimestampLtz(*p.max(q)))
            }
            _ => self.clone(),
        }
    }

    /// What a declaration says.
    pub(crate) fn of_sql(t: &SqlType) -> Self {
        let inner = |t: &SqlType| Box::new(Self::of_sql(t).may_be_null(true));
        match t {
            SqlType::String => Self::Text(Length::Any),
            SqlType::Char(n) => Self::Text(Length::Exactly(*n as usize)),
            SqlType::Varchar(n) => Self::Text(Length::AtMost(*n as usize)),
            SqlType::Bytes => Self::Bytes(Length::Any),
            SqlType::Binary(n) => Self::Bytes(Length::Exactly(*n as usize)),
            SqlType::Varbinary(n) => Self::Bytes(Length::AtMost(*n as usize)),
            SqlType::Array(t) => Self::Array(inner(t)),
            SqlType::Multiset(t) => Self::Multiset(inner(t)),
            SqlType::Map(k, v) => Self::Map(inner(k), inner(v)),
            SqlType::Row(fields) => Self::Row(fields.iter().map(|(n, t)| (n.clone(), *inner(t))).collect()),
            other => Self::Plain(other.clone()),
        }
    }

    /// What Arrow keeps.
    pub(crate) fn of_arrow(t: &DataType) -> Option<Self> {
        Some(match t {
            DataType::Null => Self::Null,
            DataType::Time32(_) | DataType::Time64(_) => Self::Plain(SqlType::Time(0)),
            t => Self::of_sql(&whole_seconds(SqlType::from_arrow(t)?)),
        })
    }

    /// Whether it says more of an Arrow type than that does, and nothing else.
    pub(crate) fn fits(&self, t: &DataType) -> bool {
        match (self, t) {
            (Self::Null, DataType::Null) => true,
            (Self::Text(_), t) => is_text(t),
            (Self::Bytes(_), t) => matches!(
                t,
                DataType::Binary
                    | DataType::LargeBinary
                    | DataType::BinaryView
                    | DataType::FixedSizeBinary(_)
            ),
            (Self::Array(item), DataType::List(f) | DataType::LargeList(f)) => item.kind.fits(f.data_type()),
            (Self::Multiset(item), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(kv) => kv.first().is_some_and(|k| item.kind.fits(k.data_type())),
                _ => false,
            },
            (Self::Map(k, v), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => {
                    k.kind.fits(kv[0].data_type()) && v.kind.fits(kv[1].data_type())
                }
                _ => false,
            },
            (Self::Row(all), DataType::Struct(fields)) => {
                all.len() == fields.len()
                    && all.iter().zip(fields).all(|((_, t), f)| t.kind.fits(f.data_type()))
            }
            (Self::Plain(SqlType::Time(_)), t) => matches!(t, DataType::Time32(_) | DataType::Time64(_)),
            (Self::Plain(SqlType::Timestamp(p)), DataType::Timestamp(unit, None))
            | (Self::Plain(SqlType::TimestampLtz(p)), DataType::Timestamp(unit, Some(_))) => {
                time_unit(*p) == *unit
            }
            (Self::Plain(SqlType::IntervalYearMonth), t) => {
                matches!(t, DataType::Interval(IntervalUnit::YearMonth))
            }
            (Self::Plain(own), t) => SqlType::from_arrow(t).as_ref() == Some(own),
            _ => false,
        }
    }
}

/// The library's TIME is one of whole seconds.
fn whole_seconds(t: SqlType) -> SqlType {
    match t {
        SqlType::Time(_) => SqlType::Time(0),
        SqlType::Array(t) => SqlType::Array(Box::new(whole_seconds(*t))),
        SqlType::Multiset(t) => SqlType::Multiset(Box::new(whole_seconds(*t))),
        SqlType::Map(k, v) => SqlType::Map(Box::new(whole_seconds(*k)), Box::new(whole_seconds(*v))),
        SqlType::Row(fields) => {
            SqlType::Row(fields.into_iter().map(|(n, t)| (n, whole_seconds(t))).collect())
        }
        other => other,
    }
}

impl Typed {
    fn either(&self, other: &Self) -> Self {
        Self { kind: self.kind.either(&other.kind), nullable: self.nullable || other.nullable }
    }

    /// As TYPEOF(x, TRUE) writes it: no name stands for a length.
    pub(crate) fn in_full(&self) -> String {
        let mut out = String::new();
        let shown = self.to_string();
        let mut rest = shown.as_str();
        while let Some(ch) = rest.chars().next() {
            if let Some(tail) = rest.strip_prefix('`') {
                let end = tail.find('`').map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            } else if let Some(tail) = rest.strip_prefix("STRING") {
                out.push_str("VARCHAR(2147483647)");
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("TIMESTAMP_LTZ") {
                let end = tail.find(')').map_or(0, |end| end + 1);
                out.push_str(&format!("TIMESTAMP{} WITH LOCAL TIME ZONE", &tail[..end]));
                rest = &tail[end..];
            } else if let Some(tail) = rest.strip_prefix("BYTES") {
                out.push_str("VARBINARY(2147483647)");
                rest = tail;
            } else {
                out.push(ch);
                rest = &rest[ch.len_utf8()..];
            }
        }
        out
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Text(length) => length.write(f, ["CHAR", "VARCHAR", "STRING"]),
            Self::Bytes(length) => length.write(f, ["BINARY", "VARBINARY", "BYTES"]),
            Self::Plain(SqlType::IntervalYearMonth) => f.write_str("INTERVAL MONTH"),
            Self::Plain(SqlType::IntervalDayTime) => f.write_str("INTERVAL SECOND(3)"),
            Self::Plain(other) => write!(f, "{other}"),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Multiset(item) => write!(f, "MULTISET<{item}>"),
            Self::Map(k, v) => write!(f, "MAP<{k}, {v}>"),
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

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.nullable || self.kind == Kind::Null { "" } else { " NOT NULL" })
    }
}
