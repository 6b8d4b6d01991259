//! Joins in time, and rows in the order of time.

use datafusion_expr::logical_plan::{Join, Sort};

use super::graph::Node;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// An interval, temporal or snapshot join; `None` for any other.
    pub(super) fn lower_time_join(&self, _join: &Join) -> Result<Option<Node>> {
        Ok(None)
    }

    /// ORDER BY without LIMIT.
    pub(super) fn lower_sort(&self, _sort: &Sort) -> Result<Node> {
        Err(Error::unsupported("ORDER BY is not supported yet"))
    }
}
