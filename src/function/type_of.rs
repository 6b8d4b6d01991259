//! TYPEOF: the SQL type of an expression, as far as Arrow's types and fields keep it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{Expr, ExprSchemable};

use super::cast::cast_target;
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// Results whose length is known from the function alone.
const SIZED: &[(&str, &str)] = &[
    ("md5", "CHAR(32)"),
    ("sha1", "CHAR(40)"),
    ("sha224", "CHAR(56)"),
    ("sha256", "CHAR(64)"),
    ("sha384", "CHAR(96)"),
    ("sha512", "CHAR(128)"),
    ("sha2", "VARCHAR(128)"),
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

/// The name of the type, with NOT NULL where that is known.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Result<String> {
    let data_type = expr.get_type(schema)?;
    if data_type == DataType::Null {
        return Ok("NULL".into());
    }
    let name = match expr {
        Expr::Literal(value, _) => literal(value),
        Expr::ScalarFunction(f) => match cast_target(f.func.inner().as_ref()) {
            Some(target) => Some(target.to_string()),
            None => SIZED.iter().find(|(n, _)| *n == f.func.name()).map(|(_, t)| (*t).to_string()),
        },
        _ => None,
    };
    let name = match (name, &data_type) {
        (Some(name), _) => name,
        (None, DataType::Time32(_) | DataType::Time64(_)) => "TIME(0)".into(),
        (None, DataType::Timestamp(TimeUnit::Second, None)) => "TIMESTAMP(0)".into(),
        (None, t) => {
            SqlType::from_arrow(t).ok_or_else(|| Error::unsupported(format!("TYPEOF of {t}")))?.to_string()
        }
    };
    let nullable = match expr {
        Expr::ScalarFunction(f) if cast_target(f.func.inner().as_ref()).is_some() => {
            f.args.first().is_none_or(|arg| arg.nullable(schema).unwrap_or(true))
        }
        expr => expr.nullable(schema)?,
    };
    Ok(if nullable { name } else { format!("{name} NOT NULL") })
}
