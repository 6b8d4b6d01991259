//! TYPEOF: the SQL type of an expression, as far as Arrow's types and fields keep it.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::{DFSchema, ExprSchema, ScalarValue};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use super::cast::cast_target;
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// Key of a column's metadata: the type that it was declared with, where Arrow forgets it. Only statements that ask for types
/// have it.
pub(crate) const DECLARED_KEY: &str = "affluent.declared";

/// Results whose length is known from the function alone.
const SIZED: &[(&str, &str)] = &[
    ("md5", "CHAR(32)"),
    ("sha1", "CHAR(40)"),
    ("sha224", "CHAR(56)"),
    ("sha256", "CHAR(64)"),
    ("sha384", "CHAR(96)"),
    ("sha512", "CHAR(128)"),
    ("sha2", "VARCHAR(128)"),
    ("uuid", "CHAR(36)"),
];

fn literal(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)) | ScalarValue::LargeUtf8(Some(s)) => {
            Some(format!("CHAR({})", s.chars().count()))
        }
        ScalarValue::Binary(Some(b))
        | ScalarValue::BinaryView(Some(b))
        | ScalarValue::LargeBinary(Some(b)) => Some(format!("BINARY({})", b.len())),
        _ => None,
    }
}

/// How long texts are at most: what CHAR(n), VARCHAR(n) and STRING say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Exactly(usize),
    AtMost(usize),
    Any,
}

impl Length {
    fn of(name: &str) -> Self {
        let inside = |word: &str| name.strip_prefix(word)?.strip_suffix(')')?.parse().ok();
        match (inside("CHAR("), inside("VARCHAR(")) {
            (Some(n), _) => Self::Exactly(n),
            (_, Some(n)) => Self::AtMost(n),
            _ => Self::Any,
        }
    }
    fn most(self) -> Option<usize> {
        match self {
            Self::Exactly(n) | Self::AtMost(n) => Some(n),
            Self::Any => None,
        }
    }
    /// The length of a part of such a text.
    fn cut(self) -> Self {
        self.most().map_or(Self::Any, Self::AtMost)
    }
    /// The length of one text behind the other.
    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exactly(a), Self::Exactly(b)) => Self::Exactly(a + b),
            (a, b) => a.most().zip(b.most()).map_or(Self::Any, |(a, b)| Self::AtMost(a + b)),
        }
    }
    /// The length of one text or the other.
    fn either(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => self.most().zip(other.most()).map_or(Self::Any, |(a, b)| Self::AtMost(a.max(b))),
        }
    }
    fn name(self) -> String {
        match self {
            Self::Exactly(n) => format!("CHAR({n})"),
            Self::AtMost(n) => format!("VARCHAR({n})"),
            Self::Any => "STRING".into(),
        }
    }
}

/// Functions without arguments that always have a value, and those that have one where their arguments do.
const ALWAYS: &[&str] = &["pi", "e", "rand", "rand_integer", "uuid", "$unix_now"];
const WITH_ARGUMENTS: &[&str] =
    &["power", "array", "row", "map", "$map", "upper", "lower", "initcap", "substring", "trim"];

/// A type's name without NOT NULL, where more is known than what Arrow keeps.
fn known(expr: &Expr, schema: &DFSchema) -> Result<Option<String>> {
    let length = |e: &Expr| described(e, schema).map(|(name, _)| Length::of(&name));
    let lengths = |all: &mut dyn Iterator<Item = &Expr>| -> Result<Option<String>> {
        let mut result: Option<Length> = None;
        for e in all {
            if e.get_type(schema)? != DataType::Null {
                let one = length(e)?;
                result = Some(result.map_or(one, |r| r.either(one)));
            }
        }
        Ok(result.map(Length::name))
    };
    let text = super::common::is_text(&expr.get_type(schema)?);
    Ok(match expr {
        Expr::Literal(value, _) => literal(value),
        Expr::Alias(alias) => known(&alias.expr, schema)?,
        Expr::Column(column) => {
            let field = schema.field_from_column(column)?;
            field.metadata().get(DECLARED_KEY).cloned()
        }
        Expr::BinaryExpr(b) if b.op == Operator::StringConcat => {
            Some(length(&b.left)?.joined(length(&b.right)?).name())
        }
        Expr::Case(case) if text => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(case.else_expr.iter());
            lengths(&mut results.map(|e| e.as_ref()))?
        }
        Expr::ScalarFunction(f) => {
            match (cast_target(f.func.inner().as_ref()), f.func.name(), f.args.as_slice()) {
                (Some(target), ..) => Some(target.to_string()),
                (_, "upper" | "lower" | "initcap", [arg]) => Some(length(arg)?.name()),
                (_, "substring" | "trim", [arg, ..]) => Some(length(arg)?.cut().name()),
                (_, "coalesce", args) if text => lengths(&mut args.iter())?,
                (_, "array", args @ [first, ..]) => {
                    let mut nullable = false;
                    for arg in args {
                        nullable |= described(arg, schema)?.1;
                    }
                    let (name, _) = described(first, schema)?;
                    let item = match expr.get_type(schema)? {
                        DataType::List(f) if !super::common::is_text(f.data_type()) => plain(f.data_type())?,
                        _ => match lengths(&mut args.iter())? {
                            Some(length) => length,
                            None => name,
                        },
                    };
                    Some(format!("ARRAY<{item}{}>", if nullable { "" } else { " NOT NULL" }))
                }
                (_, "row", args) => {
                    let mut fields = Vec::new();
                    for (i, arg) in args.iter().enumerate() {
                        fields.push(format!("`EXPR${i}` {}", type_of(arg, schema)?));
                    }
                    Some(format!("ROW<{}>", fields.join(", ")))
                }
                (_, name, _) => SIZED.iter().find(|(n, _)| *n == name).map(|(_, t)| (*t).to_string()),
            }
        }
        _ => None,
    })
}

/// A type's name, as far as Arrow keeps it.
fn plain(data_type: &DataType) -> Result<String> {
    Ok(match data_type {
        DataType::Time32(_) | DataType::Time64(_) => "TIME(0)".into(),
        DataType::Timestamp(TimeUnit::Second, None) => "TIMESTAMP(0)".into(),
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL MONTH".into(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL SECOND(3)".into(),
        t => SqlType::from_arrow(t).ok_or_else(|| Error::unsupported(format!("TYPEOF of {t}")))?.to_string(),
    })
}

/// The name of the type, and whether it may be NULL.
fn described(expr: &Expr, schema: &DFSchema) -> Result<(String, bool)> {
    let data_type = expr.get_type(schema)?;
    let name = match known(expr, schema)? {
        Some(name) => name,
        None => plain(&data_type)?,
    };
    let some = |args: &[Expr]| -> Result<bool> {
        for arg in args {
            if described(arg, schema)?.1 {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let nullable = match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::ScalarFunction(f) => match f.func.name() {
            _ if cast_target(f.func.inner().as_ref()).is_some() => {
                f.func.name() == "try_cast" || some(&f.args)?
            }
            "array" | "row" | "map" | "$map" => false,
            "coalesce" => {
                let mut all = true;
                for arg in &f.args {
                    all &= described(arg, schema)?.1;
                }
                all
            }
            name if ALWAYS.contains(&name) && f.args.is_empty() => false,
            name if WITH_ARGUMENTS.contains(&name) => some(&f.args)?,
            _ => expr.nullable(schema)?,
        },
        Expr::BinaryExpr(b) if b.op == Operator::StringConcat => {
            described(&b.left, schema)?.1 || described(&b.right, schema)?.1
        }
        expr => expr.nullable(schema)?,
    };
    Ok((name, nullable))
}

/// The name of the type, with NOT NULL where that is known.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Result<String> {
    if expr.get_type(schema)? == DataType::Null {
        return Ok("NULL".into());
    }
    let (name, nullable) = described(expr, schema)?;
    Ok(if nullable { name } else { format!("{name} NOT NULL") })
}
