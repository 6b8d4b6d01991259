//! What an operator computes, as a short text: two operators of two plans have the same identity if the state of the one
//! means the same to the other.
//!
//! The identity of a node is its name, what EXPLAIN says of it, the columns it gives, and the identities of
//! its inputs. A source is its table, wherever that lies and whichever columns are read. Since columns that
//! nobody needs are pruned before, a column more or less in the result of a query does not touch what lies
//! below, and neither does whatever comes behind an operator. A table that somebody else reads as well gives more
//! columns, which are picked from: watermarks have no columns of their own, and picking is no step.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::graph::{Body, Node};

/// The identity of a node; equal nodes of one plan are told apart by [`Identities`].
pub fn identity(node: &Node) -> String {
    let mut hasher = Sha256::new();
    add(node, &mut hasher);
    let digest = hasher.finalize();
    let hash = digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("{}-{hash}", node.name)
}

/// Whether a Calc does nothing but to pick columns, which whoever comes behind it names.
fn only_picks(node: &Node) -> bool {
    let picked = node.detail.strip_prefix("select=[").and_then(|d| d.strip_suffix(']'));
    let is_column = |item: &str| {
        item.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '`'))
            && item.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '`' | '.' | '$'))
    };
    node.name == "Calc" && picked.is_some_and(|items| items.split(", ").all(is_column))
}

fn add(node: &Node, hasher: &mut Sha256) {
    if let ([input], true) = (&node.inputs[..], only_picks(node)) {
        return add(&input.node, hasher);
    }
    if let ([input], Body::Shared { .. }) = (&node.inputs[..], &node.body) {
        return add(&input.node, hasher);
    }
    let mut text = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    text(node.name);
    match &node.body {
        // Its name and connector: `t (filesystem: path=...) [...]`.
        Body::Source(_) => text(node.detail.split([':', ')']).next().unwrap_or_default()),
        Body::Operator(_) | Body::Union | Body::Shared { .. } => {
            text(&node.detail);
            let forwards = matches!(node.name, "WatermarkAssigner" | "Calc");
            for field in node.arrow.fields().iter().filter(|_| !forwards) {
                text(field.name());
                text(&field.data_type().to_string());
            }
        }
    }
    hasher.update((node.inputs.len() as u64).to_le_bytes());
    node.inputs.iter().for_each(|input| add(&input.node, hasher));
}

/// Tells equal ones in a job apart by their order.
#[derive(Debug, Default)]
pub struct Identities {
    seen: HashMap<String, usize>,
}

impl Identities {
    /// The identity of one more occurrence.
    pub fn next(&mut self, identity: String) -> String {
        let count = self.seen.entry(identity.clone()).or_default();
        *count += 1;
        match *count {
            1 => identity,
            n => format!("{identity}-{n}"),
        }
    }
}
