//! Equal parts of the plans of a job run once.
//!
//! ```text
//!  INSERT INTO a SELECT * FROM enriched WHERE x      Sink a ── Calc ──┐
//!  INSERT INTO b SELECT * FROM enriched WHERE y  ─>                   ├── Shared ── LookupJoin ── Source
//!                                                    Sink b ── Calc ──┘
//! ```
//! Rows are the same for all who go on with them, even where a source or a function gives others each time. Plans are
//! compared as they are after all rewrites, with the tables that they read: what a query does not want may
//! have been left out below. The largest equal parts are shared. Sharing leaves the identity of state as it is,
//! so that another INSERT in a statement set does not touch what the others keep.
//!
//! Reading, projecting and filtering alone is left to [`super::share`], which shares the sources.

use std::collections::{HashMap, HashSet};

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::logical_plan::TableScan;
use datafusion_expr::{Expr, Extension, LogicalPlan};

use super::graph::{Body, Node};
use super::node::{StateTtlNode, WatermarkNode};
use super::provider::{Planner, RawTable};
use crate::error::Result;
use crate::function::tree::Tree;
use crate::sql::OptionEntry;

/// Nodes of all plans of a job: with more, nothing is compared.
const MOST_NODES: usize = 5_000;

/// The parts that occur several times, and what was made of them.
#[derive(Debug, Default)]
pub struct Common {
    parts: Vec<LogicalPlan>,
    nodes: HashMap<usize, Node>,
}

impl Planner {
    /// The continuous plan of a job with one output.
    /// What a query shows has no second way out: it makes no dead letters.
    pub fn lower_one(&self, plan: &LogicalPlan) -> Result<Node> {
        let mut nodes = self.lower_with(std::slice::from_ref(plan), false)?;
        nodes.pop().ok_or_else(|| crate::error::Error::internal("a plan without a node"))
    }

    /// The continuous plans of a job, equal parts shared.
    pub fn lower_all(&self, plans: &[LogicalPlan]) -> Result<Vec<Node>> {
        self.lower_with(plans, true)
    }

    fn lower_with(&self, plans: &[LogicalPlan], letters: bool) -> Result<Vec<Node>> {
        *self.state.common.lock() = Common { parts: common(plans)?, nodes: HashMap::new() };
        let nodes = plans.iter().map(|plan| self.lower(plan)).collect::<Result<Vec<_>>>();
        *self.state.common.lock() = Common::default();
        let mut nodes = nodes?;
        let (mut dead, takers): (Vec<Node>, Vec<_>) = self.state.letters.lock().drain(..).unzip();
        if letters {
            nodes.append(&mut dead);
        } else if let (Some(node), false) = (nodes.first_mut(), dead.is_empty()) {
            let warning =
                "a SELECT writes no dead letters: rows whose lookup fails are left out, and counted";
            node.warnings.push(warning.to_string());
        }
        let used = self.state.used.lock().clone();
        nodes.iter_mut().for_each(|node| node.functions.clone_from(&used));
        let mut seen = HashSet::new();
        nodes.iter_mut().for_each(|node| mark(node, &mut seen));
        let mut readers: HashMap<usize, usize> = HashMap::new();
        for node in &nodes {
            node.walk(&mut |node| {
                if let Body::Shared { id, .. } = node.body {
                    *readers.entry(id).or_default() += 1;
                }
            });
        }
        readers.retain(|_, readers| *readers > 1);
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        for node in &nodes {
            node.walk(&mut |node| {
                if let Body::Shared { id, .. } = node.body
                    && readers.contains_key(&id)
                {
                    let next = numbers.len() + 1;
                    numbers.entry(id).or_insert(next);
                }
            });
        }
        let mut nodes: Vec<Node> = nodes.into_iter().map(|node| settled(node, &numbers)).collect();
        let dead = nodes.split_off(plans.len());
        *self.state.letters.lock() = dead.into_iter().zip(takers).collect();
        Ok(nodes)
    }

    /// Turns a rewritten logical plan into a tree of operators.
    pub fn lower(&self, plan: &LogicalPlan) -> Result<Node> {
        let part = {
            let common = self.state.common.lock();
            let part = common.parts.iter().position(|part| same(part, plan));
            if let Some(known) = part.and_then(|part| common.nodes.get(&part)) {
                return Ok(known.clone());
            }
            part
        };
        let node = self.lower_node(plan)?;
        let Some(part) = part else { return Ok(node) };
        let node = Node::shared(node, part + 1);
        self.state.common.lock().nodes.insert(part, node.clone());
        Ok(node)
    }
}

/// The first of equal parts is made, the others read it again.
fn mark(node: &mut Node, seen: &mut HashSet<usize>) {
    if let Body::Shared { id, again } = &mut node.body {
        *again = !seen.insert(*id);
        if *again {
            return;
        }
    }
    node.inputs.iter_mut().for_each(|input| mark(&mut input.node, seen));
}

/// Gives what is shared its number, and takes out what is part of something larger that is.
fn settled(mut node: Node, numbers: &HashMap<usize, usize>) -> Node {
    let mut alone = false;
    if let Body::Shared { id, .. } = &mut node.body {
        match numbers.get(id) {
            Some(number) => {
                *id = *number;
                node.detail = format!("reuse_id=[{number}]");
            }
            None => alone = true,
        }
    }
    node.inputs = node
        .inputs
        .into_iter()
        .map(|mut input| {
            input.node = settled(input.node, numbers);
            input
        })
        .collect();
    match node.inputs.pop() {
        Some(input) if alone => Node { schema: node.schema, ..input.node },
        Some(input) => {
            node.inputs.push(input);
            node
        }
        None => node,
    }
}

/// Parts that occur several times and are worth sharing.
fn common(plans: &[LogicalPlan]) -> Result<Vec<LogicalPlan>> {
    let mut all: HashMap<&LogicalPlan, Vec<&LogicalPlan>> = HashMap::new();
    let mut nodes = 0usize;
    for plan in plans {
        plan.apply(|node| {
            nodes += 1;
            if nodes > MOST_NODES {
                return Ok(TreeNodeRecursion::Stop);
            }
            all.entry(node).or_default().push(node);
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    if nodes > MOST_NODES {
        return Ok(Vec::new());
    }
    let mut parts: Vec<LogicalPlan> = Vec::new();
    for equal in all.into_values().filter(|equal| equal.len() > 1) {
        for (i, plan) in equal.iter().enumerate() {
            let again = equal[i + 1..].iter().any(|other| same(plan, other));
            if again && is_worth_it(plan)? && !parts.iter().any(|part| same(part, plan)) {
                parts.push((*plan).clone());
            }
        }
    }
    // In an order of their own, whatever the map has.
    parts.sort_by_cached_key(|part| part.display_indent().to_string());
    Ok(parts)
}

fn is_worth_it(plan: &LogicalPlan) -> Result<bool> {
    let mut worth = false;
    plan.apply(|node| {
        worth |= match node {
            LogicalPlan::Join(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Limit(_) => true,
            LogicalPlan::Extension(Extension { node }) => {
                !node.as_any().is::<WatermarkNode>() && !node.as_any().is::<StateTtlNode>()
            }
            other => other.expressions().iter().any(differs),
        };
        Ok(if worth { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(worth)
}

/// Whether an expression gives another value each time. What tells the time may differ.
fn differs(expr: &Expr) -> bool {
    const CLOCKS: &[&str] = &[
        "$as_of",
        "$unix_now",
        "current_date",
        "current_time",
        "current_timestamp",
        "current_watermark",
        "localtimestamp",
        "proctime",
    ];
    expr.exists(|e| {
        Ok(e.is_volatile_node() && !matches!(e, Expr::ScalarFunction(f) if CLOCKS.contains(&f.name())))
    })
    .unwrap_or(false)
}

/// Whether two plans are equal and read the same tables with the same options.
pub(super) fn same(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    if std::mem::discriminant(a) != std::mem::discriminant(b) || a != b {
        return false;
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (plan, scans) in [(a, &mut left), (b, &mut right)] {
        let _ = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                scans.push(scan.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| reads_the_same(a, b))
}

fn reads_the_same(a: &TableScan, b: &TableScan) -> bool {
    let (Some(a), Some(b)) = (a.source.downcast_ref::<RawTable>(), b.source.downcast_ref::<RawTable>())
    else {
        return false;
    };
    let texts = |hints: &[OptionEntry]| -> Vec<(String, String)> {
        hints.iter().map(|hint| (hint.key.value.clone(), hint.value.value.clone())).collect()
    };
    let (one, other) = (&a.reference, &b.reference);
    let options = texts(&one.hints.options);
    // A table with options of its own is made for each reference.
    let table = std::sync::Arc::ptr_eq(&one.table, &other.table)
        || (!options.is_empty() && one.table.name == other.table.name);
    table
        && options == texts(&other.hints.options)
        && texts(&one.hints.lookup) == texts(&other.hints.lookup)
        && (a.is_lookup, &a.columns, &a.schema) == (b.is_lookup, &b.columns, &b.schema)
}
