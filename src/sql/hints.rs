//! Hints: `/*+ OPTIONS('k'='v') */` behind a table, `/*+ LOOKUP('table'='t', ...) */` behind SELECT.
//!
//! `sqlparser` reads hints as comments, so they are lifted before it sees the tokens and travel in the
//! tree as one more part of a table's name (`t` becomes `` t.`$hint:<json>` ``), which planning takes
//! off again. No identifier a user can write starts with `$hint:`, because quoting does not help:
//! [`crate::sql::parse_script`] refuses it.

use super::OptionEntry;
use crate::error::Span;

/// Prefix of the name part that carries hints.
pub const HINT_PREFIX: &str = "$hint:";

/// Hints that hold for one table reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableHints {
    /// `OPTIONS(...)`.
    pub options: Vec<OptionEntry>,
    /// The first `LOOKUP(...)` of the query block that names this table or its alias.
    pub lookup: Vec<OptionEntry>,
    /// Where the reference stands.
    pub span: Span,
}
