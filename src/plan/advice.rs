//! What is risky about a plan, beyond what its operators warn of: told by `affluent check` and EXPLAIN PLAN_ADVICE,
//! not when a job starts, because it may well be meant so.

use super::graph::{Node, Shape};
use crate::error::wording::plain;

/// What the operators of a plan warn of, each once.
pub fn warnings(node: &Node) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    node.walk(&mut |node| {
        for warning in &node.warnings {
            let warning = plain(warning);
            if !found.iter().any(|known| *known == warning) {
                found.push(warning.into_owned());
            }
        }
    });
    found
}

/// The same and what is only advice.
pub fn advice(node: &Node) -> Vec<String> {
    let mut found = warnings(node);
    node.walk(&mut |node| {
        found.extend(uncached_lookup(node));
        found.extend(silent_stream(node));
    });
    found
}

/// A lookup in an endless stream that asks for every row.
fn uncached_lookup(node: &Node) -> Option<String> {
    let (table, _) = node.lookups.first()?;
    let endless = node.inputs.iter().any(|input| !input.node.properties.bounded);
    if endless && node.name == "FunctionCall" && node.shape == (Shape::Lookup { cached: false }) {
        return Some(format!(
            "FunctionCall calls '{table}' once for every row of a stream that does not end: DETERMINISTIC makes one call \
             for equal arguments, 'lookup.cache' = 'PARTIAL' with a bound keeps its results"
        ));
    }
    (endless && node.shape == Shape::Lookup { cached: false }).then(|| {
        format!(
            "{} asks '{table}' once for every row of a stream that does not end: 'lookup.cache' = 'PARTIAL' with a \
             bound on the table, or SET 'enrichment.strategy' = 'CACHED', asks once for every key",
            node.name
        )
    })
}

/// Where endless streams meet in event time, one without rows holds the results of the others back.
fn silent_stream(node: &Node) -> Option<String> {
    let in_event_time =
        |node: &Node| !node.properties.rowtimes.is_empty() || node.properties.window.is_some();
    // A plain join of streams does not wait for watermarks.
    if node.inputs.len() < 2 || node.shape == Shape::StreamJoin {
        return None;
    }
    let inputs = node.inputs.iter().map(|input| &input.node);
    let waiting =
        inputs.filter(|input| !input.properties.bounded && in_event_time(input) && never_idle(input));
    (waiting.count() > 1).then(|| {
        format!(
            "{} waits for the watermarks of all its inputs: one that gives no rows for a while holds the others back; \
             'scan.watermark.idle-timeout' on the tables, or SET 'table.exec.source.idle-timeout', lets them go on",
            node.name
        )
    })
}

/// A watermark that no timeout lets go.
fn never_idle(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| {
        found |= node.shape == Shape::Watermark { idle_timeout: false };
    });
    found
}
