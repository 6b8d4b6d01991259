//! `execution.runtime-mode` = `batch`: a query whose input ends gives the rows that are there in the end, and no
//! changes on the way to them.
//!
//! Operators work as on a stream; where the result would update itself, its rows are held until the input has ended.

use std::sync::Arc;

use datafusion_expr::LogicalPlan;

use super::Planner;
use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node};
use super::lower::physical;
use super::meaning::Parts;
use crate::error::{Error, Result};
use crate::operator::sort::{Sort, SortKey, SortSpec};

impl Planner {
    /// `execution.runtime-mode` = `batch`.
    pub fn is_batch(&self) -> bool {
        self.state.config.get("execution.runtime-mode").eq_ignore_ascii_case("batch")
    }

    /// The operators of a query as its result is wanted: changes, or in batch mode final rows.
    pub fn result(&self, plan: &LogicalPlan) -> Result<Node> {
        self.final_rows(self.lower_one(plan)?, plan)
    }

    /// The same of the queries of one job, whose equal parts run once.
    pub fn results(&self, plans: &[LogicalPlan]) -> Result<Vec<Node>> {
        let nodes = self.lower_all(plans)?.into_iter().zip(plans);
        nodes.map(|(node, plan)| self.final_rows(node, plan)).collect()
    }

    fn final_rows(&self, node: Node, plan: &LogicalPlan) -> Result<Node> {
        if !self.is_batch() {
            return Ok(node);
        }
        if !node.properties.bounded {
            return Err(Error::plan(
                "batch mode takes input that ends, and this query reads a table that does not",
            )
            .with_hint("SET 'execution.runtime-mode' = 'streaming'"));
        }
        if node.properties.changes.is_append() {
            return Ok(node);
        }
        let order = match plan {
            LogicalPlan::Limit(limit) => match limit.input.as_ref() {
                LogicalPlan::Sort(sort) => sort.expr.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        let keys = order
            .iter()
            .map(|e| {
                let expression = physical(&e.expr, &node.schema)?;
                Ok(SortKey { expression, descending: !e.asc, nulls_first: e.nulls_first })
            })
            .collect::<Result<Vec<_>>>()?;
        let spec = SortSpec { keys, input_changes: true, schema: node.arrow.clone() };
        let mut properties = node.properties.clone();
        properties.changes = Changes::APPEND;
        properties.rowtimes.clear();
        let state = Parts::new("FinalRows", 1)
            .with("order", node.order_text(order))
            .kept("columns", &node)
            .rows("rows", &node);
        let known = (properties, node.meaning.clone().keeping(state));
        let columns = (node.schema.clone(), node.arrow.clone());
        let build: BuildNode = Arc::new(move |_| {
            let spec = spec.clone();
            Ok(Arc::new(move || Ok(Box::new(Sort::new(spec.clone())?) as _)))
        });
        let inputs = vec![Input { node, distribution: Distribution::Single, demand: Demand::Before }];
        Ok(Node::operator("FinalRows", String::new(), build, inputs, columns, known))
    }
}
