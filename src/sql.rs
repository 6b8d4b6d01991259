//! Text → statements. Nothing here knows tables, types of columns or plans.
//!
//! [`parse_script`] cuts a text into [`Statement`]s, each with its place. DDL, session statements and
//! hints are read here, token by token, because they are Flink's; everything from SELECT on is
//! handed to `sqlparser` with our [`dialect`].

mod alter;
mod cache;
mod catalog_ddl;
mod cursor;
mod ddl;
pub mod dialect;
mod difference;
mod function_ddl;
pub(crate) mod function_syntax;
pub mod highlight;
pub mod hints;
mod lexer;
pub(crate) mod match_pattern;
mod parse;
mod query;
pub(crate) mod reserved;
pub mod scan;
pub mod statement;
pub mod test_file;
#[cfg(test)]
mod tests;
pub mod type_parser;
pub mod types;
mod utility;
pub mod variables;
pub(crate) mod visit;

pub use crate::error::SourceText;
pub use function_ddl::{MODEL_PREFIX, model_key};
pub use highlight::{KEYWORDS, TokenClass, highlight, is_complete};
pub(crate) use hints::span_from;
pub use hints::{TableHints, take_hints};
pub(crate) use lexer::{Class, Lexeme, lex};
pub use parse::{Reading, parse_expression, parse_script, parse_script_lossy, read_script};
pub use statement::*;
pub use type_parser::{cast_type, parse_type};
pub use types::SqlType;
