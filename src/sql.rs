//! Text → statements. Nothing here knows tables, types of columns or plans.
//!
//! [`parse_script`] cuts a text into [`Statement`]s, each with its place. DDL, session statements and
//! hints are read here, token by token, because they are Flink's; everything from SELECT on is
//! handed to `sqlparser` with our [`dialect`].

mod cursor;
mod ddl;
pub mod dialect;
pub mod hints;
mod lexer;
pub mod parse;
mod query;
pub mod source;
pub mod statement;
pub mod type_parser;
pub mod types;

pub use parse::{parse_expression, parse_script};
pub use source::SourceText;
pub use statement::*;
pub use types::SqlType;
