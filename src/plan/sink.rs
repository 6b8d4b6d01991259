//! Whether a sink can take what a query gives.

use super::graph::Node;
use crate::connector::Sink;
use crate::error::{Error, Result};

/// The first node whose rows change although those of its inputs do not.
fn originator(node: &Node) -> &Node {
    match node.inputs.iter().find(|i| !i.node.properties.changes.is_append()) {
        Some(input) => originator(&input.node),
        None => node,
    }
}

/// Checks a query against the sink of a table; whether the sink needs `-U`.
pub fn check_sink(node: &Node, sink: &dyn Sink, name: &str) -> Result<bool> {
    if node.properties.changes.is_append() {
        return Ok(false);
    }
    if !sink.accepts_changes() {
        let origin = originator(node);
        return Err(Error::plan(format!(
            "table '{name}' takes inserts only, and the query changes rows that it gave before"
        ))
        .with_detail(format!("{}({}) updates its results", origin.name, origin.detail))
        .with_hint(
            "write to a table that takes changes, or make the query append-only, such as by a window",
        ));
    }
    Ok(true)
}
