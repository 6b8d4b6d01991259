//! Plans in the order that the checkpoints of a job remember.
//!
//! The order of aggregate calls, of GROUP BY's keys and of the sides of UNION ALL does not matter to a query, and state is
//! laid out by it. Where a plan would lose state that checkpoints hold, the job is planned once more with the digests that
//! they remember: what may be in any order is put into the one of theirs, and the columns back into the query's.
//!
//! ```text
//!  SELECT k, SUM(v), COUNT(*) ... GROUP BY k        the query now
//!  GroupAggregate#5f0c...: count(1), sum(v)         the checkpoint
//!
//!  GroupAggregate(count(1), sum(v)) ─> Calc(select=[k, sum(v), count(1)])
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::{Aggregate, Expr};

use super::graph::Node;
use super::identity::identity;
use super::lower::calc;
use super::meaning::Meaning;
use super::provider::Planner;
use crate::error::Result;

/// Orders that are tried, at most.
const ORDERS: usize = 720;

/// What the checkpoints of a job know by another name, or in another order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Tables of the plan: the names that the checkpoints know them by.
    pub tables: BTreeMap<String, String>,
    /// Digests of what the state of the checkpoints means; empty where nothing is lost.
    pub digests: BTreeSet<String>,
}

impl Remembered {
    /// Nothing is to be planned in another way.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.digests.is_empty()
    }

    /// Notes the digests in a text: `GroupAggregate-5f0c22a19d3b8c1f00d2aa10`, `Union#0d1f... where ...`.
    pub fn note(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_ascii_hexdigit());
        self.digests.extend(words.filter(|word| word.len() == 24).map(str::to_string));
    }

    /// Whether a text has one of the digests.
    fn has(&self, text: &str) -> bool {
        text.split(|c: char| !c.is_ascii_hexdigit()).any(|word| self.digests.contains(word))
    }
}

/// All orders of so many things but the given one; none where these are too many.
fn orders(count: usize, most: usize) -> Vec<Vec<usize>> {
    let number = (1..=count).try_fold(1usize, |product, n| product.checked_mul(n).filter(|p| *p <= most));
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    if number.is_none() {
        return Vec::new();
    }
    for _ in 0..count {
        let longer = |order: Vec<usize>| {
            let free = (0..count).filter(|i| !order.contains(i)).collect::<Vec<_>>();
            free.into_iter().map(move |i| [order.as_slice(), &[i]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    // The first one is as given.
    all.split_off(1)
}

/// The same aggregation with keys and calls in other orders.
fn permuted(aggregate: &Aggregate) -> Vec<Aggregate> {
    let (keys, calls) = (&aggregate.group_expr, &aggregate.aggr_expr);
    let plain = !keys.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
    if !plain || aggregate.schema.fields().len() != keys.len() + calls.len() {
        return Vec::new();
    }
    let given = |count: usize| (0..count).collect::<Vec<_>>();
    let with_given = |count: usize, most: usize| [vec![given(count)], orders(count, most)].concat();
    let of_calls = with_given(calls.len(), ORDERS);
    let of_keys = with_given(keys.len(), ORDERS / of_calls.len());
    let fields: Vec<_> = aggregate.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let mut found = Vec::new();
    for key_order in &of_keys {
        for call_order in &of_calls {
            let order = key_order.iter().copied().chain(call_order.iter().map(|i| keys.len() + i));
            let schema = order.map(|i| fields[i].clone()).collect();
            let Ok(schema) = DFSchema::new_with_metadata(schema, Default::default()) else { continue };
            let keys = key_order.iter().map(|&i| keys[i].clone()).collect();
            let calls = call_order.iter().map(|&i| calls[i].clone()).collect();
            let input = aggregate.input.clone();
            found.extend(Aggregate::try_new_with_schema(input, keys, calls, Arc::new(schema)).ok());
        }
    }
    // The first one is as given.
    if found.is_empty() { found } else { found.split_off(1) }
}

impl Planner {
    /// An aggregation, by `lower`, with keys and calls in the order that the checkpoints remember.
    pub(super) fn as_remembered(
        &self,
        aggregate: &Aggregate,
        mut lower: impl FnMut(&Aggregate) -> Result<Node>,
    ) -> Result<Node> {
        let node = lower(aggregate)?;
        if self.remembered.digests.is_empty() || self.remembers(&node) {
            return Ok(node);
        }
        for other in permuted(aggregate) {
            let Ok(found) = lower(&other) else { continue };
            if self.remembers(&found) {
                let columns: Vec<Expr> = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
                return calc(found, None, Some((&columns, &aggregate.schema)));
            }
        }
        Ok(node)
    }

    /// Whether checkpoints have the state of the first node with one.
    fn remembers(&self, node: &Node) -> bool {
        match (&node.meaning.state, node.inputs.as_slice()) {
            (Some(_), _) => self.remembered.has(&identity(node)),
            (None, [input]) => self.remembers(&input.node),
            (None, _) => false,
        }
    }

    /// The sides of a UNION ALL, in the order that the checkpoints remember.
    pub(super) fn in_remembered_order(&self, sides: Vec<Node>) -> Vec<Node> {
        if self.remembered.digests.is_empty() {
            return sides;
        }
        let known = |order: &[usize]| {
            let sides: Vec<&Node> = order.iter().map(|&i| &sides[i]).collect();
            Meaning::union(&sides).names().iter().any(|name| self.remembered.has(name))
        };
        if known(&(0..sides.len()).collect::<Vec<_>>()) {
            return sides;
        }
        match orders(sides.len(), ORDERS).into_iter().find(|order| known(order)) {
            Some(order) => order.into_iter().map(|i| sides[i].clone()).collect(),
            None => sides,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_but_the_given_one_are_tried() {
        assert_eq!(orders(2, ORDERS), [[1, 0]]);
        assert_eq!(orders(4, ORDERS).len(), 23);
        assert!(orders(0, ORDERS).is_empty() && orders(1, ORDERS).is_empty());
        assert!(orders(7, ORDERS).is_empty() && orders(100, ORDERS).is_empty());
    }

    #[test]
    fn digests_are_found_in_texts() {
        let mut remembered = Remembered::default();
        remembered.note(
            "Union#0123456789abcdef01234567 where (1 < t.v), GroupAggregate-aaaaaaaaaaaaaaaaaaaaaaaa-2",
        );
        assert_eq!(remembered.digests.len(), 2);
        assert!(remembered.has("Rank-0123456789abcdef01234567") && !remembered.has("Rank-0123456789abcdef"));
    }
}
