//! The first rows of something: Top-N, deduplication, LIMIT.

use std::sync::Arc;

use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::{Filter, Limit as LimitPlan, Sort};

use super::graph::Node;
use super::lower::limit_of;
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::limit::{Budget, Limit};

impl Planner {
    /// A filter on a rank (`ROW_NUMBER() OVER (...) <= 3`); `None` for any other.
    pub(super) fn lower_rank(&self, _filter: &Filter) -> Result<Option<Node>> {
        Ok(None)
    }

    /// ORDER BY with LIMIT.
    fn lower_sort_limit(&self, _sort: &Sort, _fetch: u64, _skip: u64) -> Result<Node> {
        Err(Error::unsupported("ORDER BY is not supported yet"))
    }

    /// LIMIT.
    pub(super) fn lower_limit(&self, limit: &LimitPlan) -> Result<Node> {
        let (fetch, skip) = limit_of(limit)?;
        if let LogicalPlan::Sort(sort) = limit.input.as_ref() {
            return self.lower_sort_limit(sort, fetch, skip);
        }
        let input = self.lower(&limit.input)?;
        if !input.properties.changes.is_append() {
            return Err(Error::unsupported("LIMIT on rows that change is not supported yet"));
        }
        let budget = Budget::new(skip, fetch);
        let detail = if skip == 0 { format!("fetch={fetch}") } else { format!("fetch={fetch}, skip={skip}") };
        let build: BuildOperator = Arc::new(move || Ok(Box::new(Limit::new(budget.clone()))));
        let columns = (input.schema.clone(), input.arrow.clone());
        let properties = input.properties.clone();
        Ok(Node::forward("Limit", detail, build, input, columns, properties))
    }
}
