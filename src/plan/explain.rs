//! EXPLAIN: the logical plan and, as it will run, the continuous plan.

use std::fmt::Write as _;

use datafusion_common::tree_node::Transformed;
use datafusion_expr::LogicalPlan;
use serde_json::{Value, json};

use super::graph::{Body, Changes, Distribution, Node};
use super::wire::{source_parallelism, updates};
use crate::error::wording::plain;

/// What EXPLAIN is asked to show besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Details {
    /// `CHANGELOG_MODE`: the kinds of change behind each operator.
    pub changelog_mode: bool,
    /// `PLAN_ADVICE`: what is risky about the plan, and what to do.
    pub advice: bool,
    /// `ESTIMATED_COST`: that there is none.
    pub cost: bool,
    /// `JSON_EXECUTION_PLAN`: the continuous plan as JSON.
    pub json: bool,
}

/// A plan and where its rows go.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// The logical plan.
    pub logical: &'a LogicalPlan,
    /// The continuous plan.
    pub node: &'a Node,
    /// What the sink is called.
    pub sink: &'a str,
    /// Whether the sink needs `-U`.
    pub before: bool,
}

/// `[I,UB,UA,D]`, as far as it applies.
fn mode(changes: Changes, before: bool) -> String {
    let kinds =
        [("I", true), ("UB", changes.update && before), ("UA", changes.update), ("D", changes.delete)];
    let kinds: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    format!("[{}]", kinds.join(","))
}

/// Draws a plan.
pub fn explain(plan: Explained<'_>, parallelism: usize, details: Details) -> String {
    let mut text = String::from("== Logical Plan ==\n");
    let _ = writeln!(text, "{}", written(plan.logical).display_indent());
    text.push_str("\n== Continuous Plan ==\n");
    let _ = match details.changelog_mode {
        true => writeln!(text, "{}, changelogMode=[NONE]", plan.sink),
        false => writeln!(text, "{}", plan.sink),
    };
    let before = updates(plan.node, plan.before).into_iter();
    let mut drawing = Drawing { text: &mut text, before, parallelism, details };
    drawing.node(plan.node, String::new(), true);
    if details.advice {
        let warnings = super::advice::advice(plan.node);
        text.push_str("\n== Advice ==\n");
        match warnings.is_empty() {
            true => text.push_str("nothing to say\n"),
            false => warnings.iter().enumerate().for_each(|(i, w)| {
                let _ = writeln!(text, "{}. {w}", i + 1);
            }),
        }
    }
    if details.cost {
        text.push_str("\n== Estimated Cost ==\nunknown: plans are made without statistics\n");
    }
    let mut text = plain(&text).into_owned();
    if details.json {
        let _ = writeln!(text, "\n== Execution Plan ==\n{:#}", json(&plan, parallelism));
    }
    text
}

/// The continuous plan in the form of Flink's JSON plans: nodes with what is before them.
fn json(plan: &Explained<'_>, parallelism: usize) -> Value {
    let mut nodes = Vec::new();
    let last = json_node(plan.node, parallelism, &mut nodes);
    nodes.push(json!({
        "id": last + 1,
        "type": "Sink",
        "contents": plan.sink,
        "predecessors": [{ "id": last, "ship_strategy": "FORWARD" }],
    }));
    json!({ "nodes": nodes })
}

/// Adds a node behind its inputs; its number.
fn json_node(node: &Node, parallelism: usize, nodes: &mut Vec<Value>) -> usize {
    let mut before = Vec::new();
    for input in &node.inputs {
        let id = json_node(&input.node, parallelism, nodes);
        let strategy = match &input.distribution {
            Distribution::Any => "FORWARD".to_string(),
            Distribution::Single => "GLOBAL".to_string(),
            Distribution::Keys(keys) => {
                let names = keys.iter().map(|&k| input.node.schema.field(k).name().as_str());
                format!("HASH[{}]", names.collect::<Vec<_>>().join(", "))
            }
        };
        before.push(json!({ "id": id, "ship_strategy": strategy }));
    }
    let id = nodes.len() + 1;
    let mut shown = json!({
        "id": id,
        "type": if matches!(node.body, Body::Source(_)) { "Source" } else { node.name },
        "contents": plain(&node.detail),
    });
    if let (Body::Source(source), Some(object)) = (&node.body, shown.as_object_mut()) {
        object.insert("parallelism".into(), json!(source_parallelism(source.as_ref(), parallelism)));
    }
    if let (false, Some(object)) = (before.is_empty(), shown.as_object_mut()) {
        object.insert("predecessors".into(), Value::Array(before));
    }
    nodes.push(shown);
    id
}

struct Drawing<'a> {
    text: &'a mut String,
    /// Whether `-U` comes, in the order in which nodes are drawn.
    before: std::vec::IntoIter<bool>,
    parallelism: usize,
    details: Details,
}

impl Drawing<'_> {
    /// Draws a node and what is below it; `lead` is what stands before the branches of its parent.
    fn node(&mut self, node: &Node, lead: String, last: bool) {
        let before = self.before.next().unwrap_or_default();
        let _ = write!(self.text, "{lead}+- ");
        let _ = match &node.body {
            Body::Source(source) => {
                let bounded = if source.bounded() { "bounded" } else { "unbounded" };
                let tasks = source_parallelism(source.as_ref(), self.parallelism);
                write!(self.text, "Source: {}, {bounded}, parallelism={tasks}", node.detail)
            }
            Body::Shared { id, again: true } => write!(self.text, "Reused(reference_id=[{id}])"),
            _ => write!(self.text, "{}({})", node.name, node.detail),
        };
        if self.details.changelog_mode {
            let _ = write!(self.text, ", changelogMode={}", mode(node.properties.changes, before));
        }
        self.text.push('\n');
        let below = format!("{lead}{}", if last { "   " } else { "|  " });
        let count = node.own_inputs().len();
        for (index, input) in node.own_inputs().iter().enumerate() {
            let last = index + 1 == count;
            let mut lead = below.clone();
            let exchange = match &input.distribution {
                Distribution::Any => None,
                Distribution::Single => Some("single".to_string()),
                Distribution::Keys(keys) => {
                    let names = keys.iter().map(|&k| input.node.schema.field(k).name().as_str());
                    Some(format!("hash[{}]", names.collect::<Vec<_>>().join(", ")))
                }
            };
            if let Some(exchange) = exchange.filter(|_| self.parallelism > 1) {
                let _ = writeln!(self.text, "{lead}+- Exchange(distribution=[{exchange}])");
                lead.push_str(if last { "   " } else { "|  " });
                self.node(&input.node, lead, true);
            } else {
                self.node(&input.node, lead, last);
            }
        }
    }
}

/// The logical plan with operators as SQL writes them.
fn written(plan: &LogicalPlan) -> LogicalPlan {
    let written = plan.clone().transform_up_with_subqueries(|node| {
        node.map_expressions(|e| Ok(Transformed::yes(crate::function::arithmetic::written(e))))
    });
    written.map_or_else(|_| plan.clone(), |t| t.data)
}
