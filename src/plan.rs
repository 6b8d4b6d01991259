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
//! [`lower`] turns its logical plan into [`graph::Branch`]es, one for each source, of our own steps.

pub mod bind;
pub mod explain;
pub mod graph;
pub mod lookup_join;
pub mod lower;
pub mod node;
pub mod provider;
pub mod resolve;
pub mod target;

pub use graph::{Branch, Step};
pub use provider::Planner;
