//! Walks through expressions and plans that are compiled once.
//!
//! DataFusion's walks are generic over the closure, so that each call compiles the recursion through every kind of node
//! anew. Here a closure stands behind a reference, and all calls share one copy. The names are DataFusion's where its
//! trait has the method; those of [`PlanTree`] are its own methods of plans.

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan};

/// What a closure makes of a node.
type Mapped<N> = Result<Transformed<N>>;

/// [`TreeNode`]'s walks.
pub(crate) trait Tree: Sized {
    fn transform_up(self, f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self>;
    fn transform_down(self, f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self>;
    fn map_children(self, f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self>;
    fn apply<'n>(&'n self, f: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>)
    -> Result<TreeNodeRecursion>;
    fn apply_children<'n>(
        &'n self,
        f: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion>;
    fn exists<'n>(&'n self, f: impl FnMut(&'n Self) -> Result<bool>) -> Result<bool>;
}

macro_rules! tree {
    ($node:ty) => {
        impl Tree for $node {
            fn transform_up(self, mut f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self> {
                fn walk(node: $node, f: &mut dyn FnMut($node) -> Mapped<$node>) -> Mapped<$node> {
                    TreeNode::transform_up(node, f)
                }
                walk(self, &mut f)
            }

            fn transform_down(self, mut f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self> {
                fn walk(node: $node, f: &mut dyn FnMut($node) -> Mapped<$node>) -> Mapped<$node> {
                    TreeNode::transform_down(node, f)
                }
                walk(self, &mut f)
            }

            fn map_children(self, mut f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self> {
                fn walk(node: $node, f: &mut dyn FnMut($node) -> Mapped<$node>) -> Mapped<$node> {
                    TreeNode::map_children(node, f)
                }
                walk(self, &mut f)
            }

            fn apply<'n>(
                &'n self,
                mut f: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>,
            ) -> Result<TreeNodeRecursion> {
                fn walk<'n>(
                    node: &'n $node,
                    f: &mut dyn FnMut(&'n $node) -> Result<TreeNodeRecursion>,
                ) -> Result<TreeNodeRecursion> {
                    TreeNode::apply(node, f)
                }
                walk(self, &mut f)
            }

            fn apply_children<'n>(
                &'n self,
                mut f: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>,
            ) -> Result<TreeNodeRecursion> {
                fn walk<'n>(
                    node: &'n $node,
                    f: &mut dyn FnMut(&'n $node) -> Result<TreeNodeRecursion>,
                ) -> Result<TreeNodeRecursion> {
                    TreeNode::apply_children(node, f)
                }
                walk(self, &mut f)
            }

            fn exists<'n>(&'n self, mut f: impl FnMut(&'n Self) -> Result<bool>) -> Result<bool> {
                let mut found = false;
                Tree::apply(self, |node| {
                    found = f(node)?;
                    Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                })?;
                Ok(found)
            }
        }
    };
}

tree!(Expr);
tree!(LogicalPlan);

/// The walks that plans alone have.
pub(crate) trait PlanTree: Sized {
    /// `transform_up_with_subqueries`.
    fn transform_all_up(self, f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self>;
    /// `apply_with_subqueries`.
    fn apply_all(&self, f: impl FnMut(&Self) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion>;
    /// `map_expressions`: those of this node.
    fn map_own(self, f: impl FnMut(Expr) -> Mapped<Expr>) -> Mapped<Self>;
    /// `apply_expressions`: those of this node.
    fn apply_own(&self, f: impl FnMut(&Expr) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion>;
}

impl PlanTree for LogicalPlan {
    fn transform_all_up(self, mut f: impl FnMut(Self) -> Mapped<Self>) -> Mapped<Self> {
        fn walk(
            plan: LogicalPlan,
            f: &mut dyn FnMut(LogicalPlan) -> Mapped<LogicalPlan>,
        ) -> Mapped<LogicalPlan> {
            plan.transform_up_with_subqueries(f)
        }
        walk(self, &mut f)
    }

    fn apply_all(&self, mut f: impl FnMut(&Self) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        fn walk(
            plan: &LogicalPlan,
            f: &mut dyn FnMut(&LogicalPlan) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            plan.apply_with_subqueries(f)
        }
        walk(self, &mut f)
    }

    fn map_own(self, mut f: impl FnMut(Expr) -> Mapped<Expr>) -> Mapped<Self> {
        fn walk(plan: LogicalPlan, f: &mut dyn FnMut(Expr) -> Mapped<Expr>) -> Mapped<LogicalPlan> {
            plan.map_expressions(f)
        }
        walk(self, &mut f)
    }

    fn apply_own(&self, mut f: impl FnMut(&Expr) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        fn walk(
            plan: &LogicalPlan,
            f: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            plan.apply_expressions(f)
        }
        walk(self, &mut f)
    }
}
