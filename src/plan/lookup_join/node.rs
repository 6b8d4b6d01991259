//! The node of a lookup join: its operator, what EXPLAIN shows, what its state means.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{Column, DFSchema};
use datafusion_expr::Expr;
use datafusion_expr::logical_plan::Join;

use super::{Conditions, RightSide, conjunction};
use crate::error::Result;
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::lookup::{CacheConfig, Lookup};
use crate::operator::lookup_join::{LookupJoin, LookupJoinSpec, MemorySpec, with_letters};
use crate::plan::graph::{Demand, Node, Shape};
use crate::plan::lower::{computed_schema, physical};
use crate::plan::meaning::{self, Meaning, Parts, Text};

/// The operator.
pub(super) fn lookup_node(
    input: Node,
    join: &Join,
    right: &RightSide,
    conditions: &Conditions,
    keys: &[Expr],
    left_outer: bool,
    (lookup, state_ttl): (&Arc<Lookup>, Option<Duration>),
) -> Result<Node> {
    let updates = !input.properties.changes.is_append();
    let left = join.left.schema();
    let right_projection =
        right.columns.iter().map(|e| physical(e, &right.schema)).collect::<Result<Vec<_>>>()?;
    let raw: SchemaRef = Arc::new(right.schema.as_arrow().clone());
    let right_arrow = computed_schema(&right_projection, join.right.schema(), &raw)?;
    let fields = input.arrow.fields().iter().chain(right_arrow.fields());
    let arrow: SchemaRef =
        Arc::new(Schema::new(fields.map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()));
    let compile = |exprs: &[Expr], schema: &DFSchema| {
        conjunction(exprs.to_vec()).map(|e| physical(&e, schema)).transpose()
    };
    // For an inner join, conditions on the left side decide about the call as well.
    let pre_filter = compile(&conditions.left, left)?;
    let spec = LookupJoinSpec {
        lookup: lookup.clone(),
        keys: keys.iter().map(|e| physical(e, left)).collect::<Result<_>>()?,
        pre_filter,
        right_filter: compile(&conditions.right, &right.schema)?,
        right_projection,
        residual: compile(&conditions.both, &join.schema)?,
        left_outer,
        left_projection: (0..left.fields().len()).collect(),
        schema: arrow.clone(),
        left: input.arrow.clone(),
        memory: updates.then_some(MemorySpec { state_ttl }),
        dead_letters: lookup.config().dead_letter.is_some(),
    };
    let mut detail = vec![
        format!("table=[{}]", right.name),
        format!("joinType=[{}]", if left_outer { "Left" } else { "Inner" }),
    ];
    let names = lookup.request().keys.iter().zip(keys);
    let names: Vec<_> =
        names.map(|(i, e)| format!("{}={}", right.schema.field(*i).name(), shown_expr(e))).collect();
    detail.push(format!("keys=[{}]", names.join(", ")));
    for (label, exprs) in
        [("preFilter", &conditions.left), ("lookupFilter", &conditions.right), ("residual", &conditions.both)]
    {
        if let Some(e) = conjunction(exprs.clone()) {
            detail.push(format!("{label}=[{}]", shown_expr(&e)));
        }
    }
    if updates {
        detail.push("remembers what it emitted".to_string());
    }
    detail.push(lookup.config().to_string());
    detail.push(lookup.describe());
    let meaning = lookup_meaning(&input, join, right, conditions, keys, (lookup, left_outer));
    let build: BuildOperator = {
        let spec = spec.clone();
        Arc::new(move || Ok(Box::new(LookupJoin::new(spec.clone())?)))
    };
    let mut properties = input.properties.clone();
    let request = lookup.request();
    let asked: Vec<&str> = request.keys.iter().map(|&k| request.schema.field(k).name().as_str()).collect();
    let key = &request.table.primary_key;
    if key.is_empty() || !key.iter().all(|c| asked.contains(&c.as_str())) {
        // One row may become several.
        properties.keys.clear();
    }
    let columns = match lookup.config().dead_letter {
        None => (join.schema.clone(), arrow),
        Some(_) => {
            // Said here, before a row comes: what cannot be written as JSON.
            LookupJoin::new(spec.clone())?;
            let failed = DFSchema::try_from(Schema::new(vec![crate::dead_letter::failed_field()]))?;
            (Arc::new(join.schema.join(&failed)?), with_letters(&arrow))
        }
    };
    let known = (properties, meaning);
    let cached = lookup.config().cache != CacheConfig::None;
    let mut node = Node::forward("LookupJoin", detail.join(", "), build, input, columns, known)
        .shaped(Shape::Lookup { cached });
    node.lookups.push((right.name.clone(), lookup.metrics().clone()));
    if updates {
        node.inputs[0].demand = Demand::Before;
        // What no longer finds anything is taken back alone.
        node.properties.changes.delete = true;
    }
    Ok(node)
}

/// What the join means. The state of one whose input only grows is rows that wait for their answer: whole left rows,
/// which are filtered and answered as the query says when their turn comes. Where rows are updated, what was
/// emitted for each is kept, and everything that decides about that counts.
fn lookup_meaning(
    input: &Node,
    join: &Join,
    right: &RightSide,
    conditions: &Conditions,
    keys: &[Expr],
    (lookup, left_outer): (&Arc<Lookup>, bool),
) -> Meaning {
    let table = &right.reference.table.name;
    let keys = lookup.request().keys.iter().zip(keys);
    let keys: Vec<String> =
        keys.map(|(i, e)| format!("{}={}", right.schema.field(*i).name(), input.text_of(e))).collect();
    let keys = keys.join(", ");
    let raw = |column: &Column| Some(Text::from(format!("{table}({keys}).{}", column.name)));
    let added: Vec<Text> = right.columns.iter().map(|e| meaning::expression(e, &raw)).collect();
    let names = join.right.schema();
    let both = |column: &Column| {
        let place = || names.maybe_index_of_column(column);
        input.column_text(column).or_else(|| added.get(place()?).cloned())
    };
    let what = Parts::new("LookupJoin", 1).with("table", table).with("keys", &keys);
    let all = what
        .clone()
        .with("kind", if left_outer { "left" } else { "inner" })
        .condition("condition before", &conditions.left, &both)
        .condition("condition on answers", &conditions.right, &raw)
        .condition("condition", &conditions.both, &both);
    let columns: Vec<Text> = input.meaning.columns.iter().chain(&added).cloned().collect();
    let state = match input.properties.changes.is_append() {
        true => what.clone().stream("rows", input).kept("columns", input),
        false => all.clone().rows("rows", input).kept("columns", input).with("answers", added.join(", ")),
    };
    Meaning::looked_up(all, what, input, columns).keeping(state)
}
