//! The statement parser.

use super::{SourceText, SqlExpression, Statement};
use crate::error::{Error, Result};

/// Cuts a script into statements. The first error ends it.
pub fn parse_script(_source: &SourceText) -> Result<Vec<Statement>> {
    Err(Error::unsupported("parsing"))
}

/// Parses one scalar expression.
pub fn parse_expression(_text: &str) -> Result<SqlExpression> {
    Err(Error::unsupported("parsing"))
}
