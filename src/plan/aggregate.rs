//! GROUP BY and DISTINCT.

use datafusion_expr::logical_plan::{Aggregate, Distinct};

use super::graph::Node;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// GROUP BY.
    pub(super) fn lower_aggregate(&self, _aggregate: &Aggregate) -> Result<Node> {
        Err(Error::unsupported("GROUP BY and aggregate functions are not supported yet"))
    }

    /// SELECT DISTINCT and UNION.
    pub(super) fn lower_distinct(&self, _distinct: &Distinct) -> Result<Node> {
        Err(Error::unsupported("SELECT DISTINCT and UNION without ALL are not supported yet"))
    }
}
