//! Walks through syntax trees.
//!
//! The same functions as those of `sqlparser`, with one difference: there, the walk is compiled anew for each type of
//! visitor, and a walk has hundreds of functions, one for each type of node. Here all visitors share one, which calls them
//! by a table of methods.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

/// All methods of a visitor, which pass the node on.
macro_rules! methods {
    () => {
        methods!(
            (pre_visit_query, Query), (post_visit_query, Query), (pre_visit_select, Select),
            (post_visit_select, Select), (pre_visit_relation, ObjectName), (post_visit_relation, ObjectName),
            (pre_visit_table_factor, TableFactor), (post_visit_table_factor, TableFactor),
            (pre_visit_expr, Expr), (post_visit_expr, Expr), (pre_visit_statement, Statement),
            (post_visit_statement, Statement), (pre_visit_value, ValueWithSpan),
            (post_visit_value, ValueWithSpan)
        );
    };
    ($(($method:ident, $node:ty)),*) => {
        $(fn $method(&mut self, node: &mut $node) -> ControlFlow<()> {
            let flow = self.0.$method(node);
            self.passed(flow)
        })*
    };
}

/// The one type that trees are walked with.
struct Walk<'a>(&'a mut dyn VisitorMut<Break = ()>);

impl Walk<'_> {
    fn passed(&mut self, flow: ControlFlow<()>) -> ControlFlow<()> {
        flow
    }
}

impl VisitorMut for Walk<'_> {
    type Break = ();
    methods!();
}

/// A visitor, and what it stopped with.
struct Keep<'a, V: VisitorMut>(&'a mut V, Option<V::Break>);

impl<V: VisitorMut> Keep<'_, V> {
    fn passed(&mut self, flow: ControlFlow<V::Break>) -> ControlFlow<()> {
        match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(stopped) => {
                self.1 = Some(stopped);
                ControlFlow::Break(())
            }
        }
    }
}

impl<V: VisitorMut> VisitorMut for Keep<'_, V> {
    type Break = ();
    methods!();
}

/// Walks through a tree that the visitor may change.
pub fn walk_mut<V: VisitorMut>(node: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keep = Keep(visitor, None);
    let _ = node.visit(&mut Walk(&mut keep));
    match keep.1 {
        Some(stopped) => ControlFlow::Break(stopped),
        None => ControlFlow::Continue(()),
    }
}

struct Expressions<F>(F);

impl<E, F: FnMut(&mut Expr) -> ControlFlow<E>> VisitorMut for Expressions<F> {
    type Break = E;
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<E> {
        (self.0)(expr)
    }
}

/// Calls `each` with every expression, the inner ones first.
pub fn visit_expressions_mut<E>(
    node: &mut impl VisitMut,
    each: impl FnMut(&mut Expr) -> ControlFlow<E>,
) -> ControlFlow<E> {
    walk_mut(node, &mut Expressions(each))
}

struct Relations<F>(F);

impl<E, F: FnMut(&mut ObjectName) -> ControlFlow<E>> VisitorMut for Relations<F> {
    type Break = E;
    fn post_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<E> {
        (self.0)(relation)
    }
}

/// Calls `each` with the name of every relation.
pub fn visit_relations_mut<E>(
    node: &mut impl VisitMut,
    each: impl FnMut(&mut ObjectName) -> ControlFlow<E>,
) -> ControlFlow<E> {
    walk_mut(node, &mut Relations(each))
}

/// The one type that trees are looked at with.
struct View<'a>(&'a mut dyn Visitor<Break = ()>);

macro_rules! views {
    ($(($method:ident, $node:ty)),*) => {
        $(fn $method(&mut self, node: &$node) -> ControlFlow<()> {
            self.0.$method(node)
        })*
    };
}

impl Visitor for View<'_> {
    type Break = ();
    views!(
        (pre_visit_query, Query),
        (post_visit_query, Query),
        (pre_visit_select, Select),
        (post_visit_select, Select),
        (pre_visit_relation, ObjectName),
        (post_visit_relation, ObjectName),
        (pre_visit_table_factor, TableFactor),
        (post_visit_table_factor, TableFactor),
        (pre_visit_expr, Expr),
        (post_visit_expr, Expr),
        (pre_visit_statement, Statement),
        (post_visit_statement, Statement),
        (pre_visit_value, ValueWithSpan),
        (post_visit_value, ValueWithSpan)
    );
}

/// Looks at a tree without a change.
pub fn walk(node: &impl Visit, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
    node.visit(&mut View(visitor))
}

/// A look at expressions that changes nothing.
struct Look<'a>(&'a mut dyn FnMut(&Expr) -> ControlFlow<()>);

impl Visitor for Look<'_> {
    type Break = ();
    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        (self.0)(expr)
    }
}

/// Calls `each` with every expression, the outer ones first.
pub fn visit_expressions<E>(
    node: &impl Visit,
    mut each: impl FnMut(&Expr) -> ControlFlow<E>,
) -> ControlFlow<E> {
    let mut stopped = None;
    let mut look = |expr: &Expr| match each(expr) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(e) => {
            stopped = Some(e);
            ControlFlow::Break(())
        }
    };
    let _ = walk(node, &mut Look(&mut look));
    match stopped {
        Some(stopped) => ControlFlow::Break(stopped),
        None => ControlFlow::Continue(()),
    }
}
