//! Whether a sink can take what a query gives, and what it needs to be told.

use std::sync::Arc;
use std::time::Duration;

use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Shape};
use super::meaning::{Meaning, Parts};
use super::provider::Planner;
use crate::catalog::Table;
use crate::connector::{Sink, SinkChangelog};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::conflict_resolver::{ConflictResolver, ConflictSpec};
use crate::operator::constraint_enforcer::{Constraint, ConstraintEnforcer, Constraints, Length};
use crate::operator::sink_materializer::{SinkMaterializer, SinkMaterializerSpec};
use crate::sql::{OnConflict, SqlType};

/// The first node whose rows change although those of its inputs do not.
pub(super) fn originator(node: &Node) -> &Node {
    match node.inputs.iter().find(|i| !i.node.properties.changes.is_append()) {
        Some(input) => originator(&input.node),
        None => node,
    }
}

impl Planner {
    /// The query with what its target's declaration demands: no NULL where the column is NOT NULL and the query may
    /// give one, and lengths if they are enforced.
    pub fn enforce(&self, node: Node, table: &Table) -> Node {
        let config = &self.state.config;
        let is = |key: &str, word: &str| config.get(key).eq_ignore_ascii_case(word);
        let lengths = !is("table.exec.sink.type-length-enforcer", "IGNORE");
        let persisted = table.columns.iter().filter(|c| c.is_persisted());
        let mut columns = Vec::new();
        for (index, column) in persisted.enumerate() {
            let Some((declared, nullable)) = column.declared() else { continue };
            let may_be_null = node.schema.fields().get(index).is_none_or(|f| f.is_nullable());
            let length = match declared {
                SqlType::Char(n) | SqlType::Binary(n) => Some(Length { most: *n as usize, fixed: true }),
                SqlType::Varchar(n) | SqlType::Varbinary(n) => {
                    Some(Length { most: *n as usize, fixed: false })
                }
                _ => None,
            };
            let constraint = Constraint {
                column: index,
                name: column.name.clone(),
                declared: declared.to_string(),
                not_null: !nullable && may_be_null,
                length: length.filter(|_| lengths),
            };
            if constraint.not_null || constraint.length.is_some() {
                columns.push(constraint);
            }
        }
        if columns.is_empty() {
            return node;
        }
        let names = |wanted: &dyn Fn(&Constraint) -> bool| {
            let names: Vec<&str> = columns.iter().filter(|c| wanted(c)).map(|c| c.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("fields=[{}]", names.join(", ")))
        };
        let not_null = names(&|c| c.not_null).map(|fields| format!("NotNullEnforcer({fields})"));
        let length = names(&|c| c.length.is_some()).map(|fields| format!("LengthEnforcer({fields})"));
        let detail = not_null.into_iter().chain(length).collect::<Vec<_>>().join(", ");
        let constraints = Arc::new(Constraints {
            table: table.name.clone(),
            columns,
            drop_nulls: is("table.exec.sink.not-null-enforcer", "DROP"),
            trim_and_pad: is("table.exec.sink.type-length-enforcer", "TRIM_PAD"),
        });
        let build: BuildOperator =
            Arc::new(move || Ok(Box::new(ConstraintEnforcer::new(constraints.clone()))));
        let shape = (node.schema.clone(), node.arrow.clone());
        let properties = node.properties.clone();
        let known = (properties, Meaning::calc(&node, None, None));
        Node::forward("ConstraintEnforcer", detail, build, node, shape, known)
    }

    /// Checks a query against the sink of a table. Gives the query as the sink can take it, and whether the
    /// sink needs `-U`.
    pub fn check_sink(
        &self,
        node: Node,
        sink: &dyn Sink,
        table: &Table,
        conflict: Option<OnConflict>,
    ) -> Result<(Node, bool)> {
        let settles = matches!(conflict, Some(OnConflict::Error | OnConflict::Nothing));
        if conflict.is_some() && table.primary_key.is_empty() {
            return Err(Error::plan(format!("ON CONFLICT needs a primary key, '{}' has none", table.name))
                .with_hint("declare PRIMARY KEY (...) NOT ENFORCED"));
        }
        if settles && sink.changelog() == SinkChangelog::Append && !node.properties.changes.is_append() {
            return Err(Error::plan(format!("table '{}' takes inserts only", table.name)));
        }
        // One that takes all changes has to be told of the row before.
        let whole = sink.changelog() == SinkChangelog::All;
        if settles {
            let (node, before) = self.settle(node, table, conflict == Some(OnConflict::Error))?;
            return Ok((node, before || whole));
        }
        if node.properties.changes.is_append() {
            return Ok((node, false));
        }
        match sink.changelog() {
            SinkChangelog::Append => {
                let origin = originator(&node);
                let error = Error::plan(format!(
                    "table '{}' takes inserts only, and the query changes rows that it gave before",
                    table.name
                ));
                Err(error
                .with_detail(format!("{}({}) updates its results", origin.name, origin.detail))
                .with_hint(
                    "make the query append-only, such as by a window, or write to a table that takes changes: \
                     'format' = 'debezium-json'",
                ))
            }
            SinkChangelog::All if conflict.is_some() => {
                upsert(node, table, self.state.config.state_ttl()).map(|(node, _)| (node, true))
            }
            SinkChangelog::All => Ok((node, true)),
            SinkChangelog::Upsert => upsert(node, table, self.state.config.state_ttl()),
        }
    }
}

impl Planner {
    /// ON CONFLICT DO ERROR and DO NOTHING: which row of a key counts is decided when event time has passed, so that a
    /// change that is on its way from another task is no conflict.
    fn settle(&self, node: Node, table: &Table, fails: bool) -> Result<(Node, bool)> {
        let Some(key) = primary_key(table) else { return Ok((node, true)) };
        let same = |known: &Vec<usize>| known.len() == key.len() && known.iter().all(|c| key.contains(c));
        if node.properties.keys.iter().any(same) {
            return Ok((node, false));
        }
        let mut has_time = false;
        node.walk(&mut |n| has_time |= matches!(n.shape, Shape::Watermark { .. }));
        if !has_time && !node.properties.bounded {
            return Err(Error::unsupported("ON CONFLICT DO ERROR and DO NOTHING need event time")
                .with_detail("which row of a key counts is decided at watermarks, and the query reads no table with one")
                .with_hint("declare WATERMARK FOR in a table that it reads, or write ON CONFLICT DO DEDUPLICATE"));
        }
        let spec = ConflictSpec {
            keys: key.clone(),
            schema: node.arrow.clone(),
            fails,
            table: table.name.clone(),
            emit_before: false,
        };
        let build: BuildNode = Arc::new(move |wiring| {
            let spec = ConflictSpec { emit_before: wiring.emit_before, ..spec.clone() };
            Ok(Arc::new(move || Ok(Box::new(ConflictResolver::new(spec.clone())?))))
        });
        let mut properties = node.properties.clone();
        // Of rows that only come the first one stays for ever.
        if !node.properties.changes.is_append() {
            properties.changes = Changes::ALL;
        }
        properties.keys = vec![key.clone()];
        let action = if fails { "ERROR" } else { "NOTHING" };
        let state = Parts::new("ConflictResolver", 1)
            .rows("rows", &node)
            .columns("key", &node, &key)
            .with("action", action)
            .kept("columns", &node);
        let meaning = Meaning::made(state, node.meaning.columns.clone());
        let grows = !node.properties.bounded;
        let detail = format!("primaryKey=[{}], conflict=[{action}]", table.primary_key.join(", "));
        let columns = (node.schema.clone(), node.arrow.clone());
        let inputs = vec![Input { node, distribution: Distribution::Keys(key), demand: Demand::Before }];
        let resolver =
            Node::operator("ConflictResolver", detail, build, inputs, columns, (properties, meaning));
        let warning = grows.then(|| format!("ConflictResolver keeps every row of the result for ever, to know which keys of '{}' there are", table.name));
        Ok((resolver.originating(true).warned(warning), false))
    }
}

/// The primary key as positions among the columns that are written.
fn primary_key(table: &Table) -> Option<Vec<usize>> {
    let position =
        |name: &String| table.columns.iter().filter(|c| c.is_persisted()).position(|c| c.name == *name);
    table.primary_key.iter().map(position).collect()
}

/// Updates find their row by the primary key. Where the query knows its rows by that key, the last word
/// on a key is right; where it does not, a delete of one row may come behind the insert of another with
/// the same key, and somebody has to know which rows there are.
fn upsert(node: Node, table: &Table, state_ttl: Option<Duration>) -> Result<(Node, bool)> {
    let mut persisted = table.columns.iter().filter(|c| c.is_persisted());
    let mut key = Vec::with_capacity(table.primary_key.len());
    for name in &table.primary_key {
        match persisted.clone().position(|c| c.name == *name) {
            Some(position) => key.push(position),
            None => return Ok((node, true)),
        }
    }
    if key.is_empty() {
        // Changes as they come.
        let keyed = persisted.next().is_some() && !node.properties.keys.is_empty();
        return Ok((node, !keyed));
    }
    let same = |known: &Vec<usize>| known.len() == key.len() && known.iter().all(|c| key.contains(c));
    if node.properties.keys.iter().any(same) {
        return Ok((node, false));
    }
    let spec =
        SinkMaterializerSpec { keys: key.clone(), schema: node.arrow.clone(), state_ttl, emit_before: false };
    let build: BuildNode = Arc::new(move |wiring| {
        let spec = SinkMaterializerSpec { emit_before: wiring.emit_before, ..spec.clone() };
        Ok(Arc::new(move || Ok(Box::new(SinkMaterializer::new(spec.clone())?))))
    });
    let mut properties = node.properties.clone();
    properties.changes = Changes::ALL;
    properties.keys = vec![key.clone()];
    let state = Parts::new("SinkMaterializer", 1)
        .rows("rows", &node)
        .columns("key", &node, &key)
        .kept("columns", &node);
    let meaning = Meaning::made(state, node.meaning.columns.clone());
    let grows = !node.properties.bounded && state_ttl.is_none();
    let detail = format!("primaryKey=[{}]", table.primary_key.join(", "));
    let columns = (node.schema.clone(), node.arrow.clone());
    let inputs = vec![Input { node, distribution: Distribution::Keys(key), demand: Demand::Before }];
    let known = (properties, meaning);
    let materializer = Node::operator("SinkMaterializer", detail, build, inputs, columns, known);
    Ok((materializer.originating(true).warned(grows.then(|| warning(table))), false))
}

fn warning(table: &Table) -> String {
    format!(
        "SinkMaterializer keeps every row of the result: the query does not know its rows by the primary key \
         ({}) of '{}': group by that key, take the key of the query, or SET 'table.exec.state.ttl' = '1 d'",
        table.primary_key.join(", "),
        table.name
    )
}
