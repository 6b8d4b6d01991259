//! Joins: which kind of join a join is.

use datafusion_expr::logical_plan::Join;

use super::graph::Node;
use super::lookup_join::is_lookup_side;
use super::lower::refuse_join;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// A join of any kind: with a lookup table, in time, of windows, of streams.
    pub(super) fn lower_join(&self, join: &Join) -> Result<Node> {
        if is_lookup_side(&join.right) {
            return self.lower_lookup_join(join);
        }
        if is_lookup_side(&join.left) {
            return Err(Error::plan("a lookup table stands on the left of a join")
                .with_hint("put the stream on the left and the lookup table on the right"));
        }
        if let Some(node) = self.lower_time_join(join)? {
            return Ok(node);
        }
        // What is wrong with a side by itself says more.
        self.lower(&join.left)?;
        self.lower(&join.right)?;
        Err(refuse_join(join.join_type))
    }
}
