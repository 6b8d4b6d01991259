//! OVER.

use datafusion_expr::logical_plan::Window;

use super::graph::Node;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// OVER aggregates.
    pub(super) fn lower_over(&self, _window: &Window) -> Result<Node> {
        Err(Error::unsupported("OVER is not supported yet"))
    }
}
