//! Statements → continuous plan. The only room that imports DataFusion's planning API.
//!
//! ```text
//!  AST ── bind ──> logical plan ── resolve ──> ── coerce, rewrite ──> ── lower ──> branches
//!          │                         │                 │                    │
//!   tables, views, hints,    sources expanded,   DataFusion's rules,   our operators:
//!   UNNEST, LATERAL          lookups at their    named one by one      what tasks run
//!                            joins, casts
//! ```
//! DataFusion gives names, types, coercion and logical rewrites. It never sees an unbounded stream run:
//! [`lower`] turns its logical plan into a tree of our own operators ([`graph::Node`]), and [`wire`] cuts that into the
//! fragments that tasks run.

pub mod advice;
pub mod aggregate;
mod ask_once;
pub mod bind;
mod call;
mod call_operator;
pub mod changelog_functions;
pub mod current_watermark;
mod dead_letter;
mod doubtful;
mod element_query;
pub mod explain;
pub mod explore;
mod final_rows;
mod function_table;
pub mod graph;
pub mod group_window;
mod guard;
pub mod identity;
mod ignored;
mod implicit;
pub mod join;
mod keyed_subquery;
mod lateral;
pub mod lookup_join;
pub mod lower;
pub mod match_recognize;
pub mod meaning;
mod ml_predict;
pub mod naming;
pub mod nested;
pub mod node;
pub mod over;
mod patterns;
pub mod provider;
mod push_filter;
pub mod rank;
mod recorded;
pub mod remembered;
pub mod resolve;
pub mod reuse;
mod row_wildcards;
pub mod select;
pub mod set;
pub mod share;
pub mod sink;
pub(crate) mod stand_in;
pub mod subquery;
mod subquery_value;
pub mod table_function;
pub mod target;
mod time_bounds;
pub mod time_join;
pub(crate) mod typed;
mod unread;
mod user_function;
mod using;
mod values;
mod version;
pub mod window;
pub mod window_table;
pub mod wire;

pub use graph::Node;
pub use provider::Planner;

#[cfg(test)]
mod tests;
