//! Window table functions and what is grouped by their windows.

use datafusion_expr::logical_plan::Aggregate;

use super::aggregate::Grouping;
use super::graph::Node;
use super::node::WindowTableNode;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// TUMBLE, HOP, CUMULATE, SESSION.
    pub(super) fn lower_window_table(&self, _node: &WindowTableNode) -> Result<Node> {
        Err(Error::unsupported("window table functions are not supported yet"))
    }

    /// An aggregation by the windows of its input.
    pub(super) fn lower_window_aggregate(
        &self,
        _aggregate: &Aggregate,
        _grouping: &Grouping<'_>,
        _input: Node,
    ) -> Result<Node> {
        Err(Error::unsupported("window aggregation is not supported yet"))
    }
}
