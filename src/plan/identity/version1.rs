//! Identities as the first version of the checkpoints has them: digests of what EXPLAIN printed then.
//!
//! Nothing is written with them any more. They are computed to find the state of a job that was started with that
//! version, and go when its checkpoints are no longer restored.

use sha2::{Digest, Sha256};

use crate::plan::graph::{Body, Node};

/// The identity of a node.
pub fn identity(node: &Node) -> String {
    let mut hasher = Sha256::new();
    add(node, &mut hasher);
    let digest = hasher.finalize();
    let hash = digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("{}-{hash}", node.name)
}

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
