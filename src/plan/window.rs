//! Window table functions and what is grouped by their windows.

use super::graph::Node;
use super::node::WindowTableNode;
use super::provider::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// TUMBLE, HOP, CUMULATE, SESSION.
    pub(super) fn lower_window_table(&self, _node: &WindowTableNode) -> Result<Node> {
        Err(Error::unsupported("window table functions are not supported yet"))
    }
}
