//! INTERSECT and EXCEPT, with and without ALL.
//!
//! DataFusion makes semi and anti joins of them, which is not right with ALL. So the syntax tree is
//! rewritten before it sees it: `l INTERSECT ALL r` becomes `SELECT * FROM (l UNION ALL r) AS
//! "$set:INTERSECT ALL"`, and the relation planner, which is asked for every relation, makes a [`SetNode`]
//! of what DataFusion says of the UNION.

use std::cmp::Ordering;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, Result as DfResult, internal_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{self, Query, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor, VisitorMut};

use super::bind::span_of;
use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties};
use super::lower::align;
use super::meaning::{Meaning, Parts};
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::join::set::{SetKind, SetOperation, SetSpec};

/// Begins the alias that stands for a set operation. No identifier that a user writes begins like this.
const PREFIX: &str = "$set:";

/// `l INTERSECT [ALL] r`, `l EXCEPT [ALL] r`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetNode {
    /// Which operation.
    pub kind: SetKind,
    /// The left query.
    pub left: LogicalPlan,
    /// The right query.
    pub right: LogicalPlan,
    /// The left side's names with types that hold the values of both sides.
    pub schema: DFSchemaRef,
}

impl SetNode {
    /// A node whose schema follows from its inputs.
    pub fn try_new(kind: SetKind, left: LogicalPlan, right: LogicalPlan) -> DfResult<Self> {
        let (l, r) = (left.schema(), right.schema());
        if l.fields().len() != r.fields().len() {
            return Err(Error::plan(format!(
                "{} needs as many columns on both sides: left has {}, right has {}",
                kind.as_str(),
                l.fields().len(),
                r.fields().len()
            ))
            .into());
        }
        let mut fields = Vec::with_capacity(l.fields().len());
        for ((qualifier, field), other) in l.iter().zip(r.fields()) {
            let Some(common) = crate::function::coerce::set_type(field.data_type(), other.data_type()) else {
                return Err(Error::plan(format!(
                    "{} has no type for column '{}': {} on the left, {} on the right",
                    kind.as_str(),
                    field.name(),
                    super::lookup_join::shown(field.data_type()),
                    super::lookup_join::shown(other.data_type())
                ))
                .with_hint("CAST one side to the type of the other")
                .into());
            };
            let nullable = field.is_nullable() || other.is_nullable();
            fields.push((qualifier.cloned(), Arc::new(Field::new(field.name(), common, nullable))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(Self { kind, left, right, schema })
    }
}

impl PartialOrd for SetNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.left.partial_cmp(&other.left)
    }
}

impl UserDefinedLogicalNodeCore for SetNode {
    fn name(&self) -> &str {
        "SetOperation"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetOperation: {}", self.kind.as_str())
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        match <[LogicalPlan; 2]>::try_from(inputs) {
            Ok([left, right]) => Self::try_new(self.kind, left, right),
            Err(_) => internal_err!("a set operation has two inputs"),
        }
    }
    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // Every column tells rows apart.
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        Some(vec![all.clone(), all])
    }
}

/// Rewrites the set operations of a query that DataFusion does not read as SQL does.
pub(super) struct RewriteSets;

impl VisitorMut for RewriteSets {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match rewrite(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

fn rewrite(body: &mut SetExpr) -> Result<()> {
    let span = span_of(body.span());
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    rewrite(left)?;
    rewrite(right)?;
    let all = match set_quantifier {
        SetQuantifier::All => true,
        SetQuantifier::None | SetQuantifier::Distinct => false,
        other => {
            return Err(Error::unsupported(format!("{op} {other} is not supported")).at(span));
        }
    };
    let kind = match (op, all) {
        (SetOperator::Union, _) => return Ok(()),
        (SetOperator::Intersect, false) => SetKind::Intersect,
        (SetOperator::Intersect, true) => SetKind::IntersectAll,
        (SetOperator::Except | SetOperator::Minus, false) => SetKind::Except,
        (SetOperator::Except | SetOperator::Minus, true) => SetKind::ExceptAll,
    };
    let union = SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: left.clone(),
        right: right.clone(),
    };
    *body = select_all_from(union, &format!("{PREFIX}{}", kind.as_str()))?;
    Ok(())
}

/// `SELECT * FROM (body) AS alias`.
fn select_all_from(inner: SetExpr, alias: &str) -> Result<SetExpr> {
    let broken = || Error::internal("the frame of a set operation does not parse");
    let parsed = sqlparser::parser::Parser::parse_sql(
        &sqlparser::dialect::GenericDialect {},
        "SELECT * FROM (SELECT 1) AS x",
    );
    let frame = parsed.ok().and_then(|mut statements| statements.pop());
    let Some(ast::Statement::Query(query)) = frame else { return Err(broken()) };
    let mut body = *query.body;
    let SetExpr::Select(select) = &mut body else { return Err(broken()) };
    let from = select.from.first_mut().map(|t| &mut t.relation);
    let Some(TableFactor::Derived { subquery, alias: Some(name), .. }) = from else { return Err(broken()) };
    *subquery.body = inner;
    name.name = ast::Ident::with_quote('`', alias);
    Ok(body)
}

/// The set operation that a relation stands for, and the relation without its alias.
pub(super) fn set_relation(relation: &TableFactor) -> Option<(SetKind, TableFactor)> {
    let TableFactor::Derived { alias: Some(alias), .. } = relation else { return None };
    let operation = alias.name.value.strip_prefix(PREFIX)?;
    let kinds = [SetKind::Intersect, SetKind::IntersectAll, SetKind::Except, SetKind::ExceptAll];
    let kind = kinds.into_iter().find(|k| k.as_str() == operation)?;
    let mut plain = relation.clone();
    if let TableFactor::Derived { alias, .. } = &mut plain {
        *alias = None;
    }
    Some((kind, plain))
}

/// What DataFusion says of the UNION, said of the operation.
pub(super) fn set_error(kind: SetKind, error: DataFusionError) -> DataFusionError {
    match error.to_string().contains("different number of columns") {
        true => {
            Error::plan(format!("both sides of {} need the same number of columns", kind.as_str())).into()
        }
        false => error,
    }
}

/// The set operation on the two sides of a UNION ALL.
pub(super) fn set_plan(kind: SetKind, plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Union(union) = plan else {
        return Err(Error::internal(format!("{} was not planned", kind.as_str())));
    };
    let [left, right] = union.inputs.as_slice() else {
        return Err(Error::internal(format!("{} does not have two sides", kind.as_str())));
    };
    let node = SetNode::try_new(kind, left.as_ref().clone(), right.as_ref().clone())?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

impl Planner {
    /// INTERSECT and EXCEPT.
    pub(super) fn lower_set(&self, node: &SetNode) -> Result<Node> {
        let left = align(self.lower(&node.left)?, &node.schema, self.zone())?;
        let right = align(self.lower(&node.right)?, &node.schema, self.zone())?;
        let ttl = self.state.config.state_ttl();
        let spec = SetSpec { kind: node.kind, schema: left.arrow.clone(), ttl };
        let all: Vec<usize> = (0..node.schema.fields().len()).collect();
        let append = left.properties.changes.is_append() && right.properties.changes.is_append();
        let grows = matches!(node.kind, SetKind::Union | SetKind::Intersect | SetKind::IntersectAll);
        let distinct = !matches!(node.kind, SetKind::IntersectAll | SetKind::ExceptAll);
        let properties = Properties {
            changes: Changes { update: false, delete: !(append && grows) },
            keys: distinct.then(|| all.clone()).into_iter().collect(),
            bounded: left.properties.bounded && right.properties.bounded,
            ..Properties::default()
        };
        let build: BuildNode = Arc::new(move |_| {
            let spec = spec.clone();
            let build: BuildOperator = Arc::new(move || Ok(Box::new(SetOperation::new(spec.clone())?)));
            Ok(build)
        });
        let mut warnings = Vec::new();
        if ttl.is_none() && !properties.bounded {
            warnings.push(format!(
                "{} keeps every distinct row of both sides for ever: set 'table.exec.state.ttl'",
                node.kind.as_str()
            ));
        }
        let arrow = left.arrow.clone();
        let state = Parts::new("SetOperation", 1)
            .with("kind", node.kind.as_str())
            .rows("left rows", &left)
            .rows("right rows", &right)
            .kept("left columns", &left)
            .kept("right columns", &right);
        let meaning = Meaning::made(state, left.meaning.columns.clone());
        let input = |node: Node| Input {
            node,
            distribution: Distribution::Keys(all.clone()),
            demand: Demand::Before,
        };
        let detail = node.kind.as_str().to_string();
        let inputs = vec![input(left), input(right)];
        let columns = (node.schema.clone(), arrow);
        let known = (properties, meaning);
        Ok(Node::operator("SetOperation", detail, build, inputs, columns, known).warned(warnings))
    }
}
