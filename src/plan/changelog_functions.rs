//! Changelogs in queries: sources of upserts.

use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use datafusion_expr::logical_plan::TableScan;

use super::graph::{Body, Changes, Demand, Distribution, Input, Node, Properties};
use super::lower::calc;
use super::provider::{Planner, RawTable};
use crate::error::{Error, Result};
use crate::operator::changelog_normalize::{ChangelogNormalize, ChangelogNormalizeSpec};

impl Planner {
    /// A table of upserts: what stood in their place is remembered by key, so that everything behind sees
    /// changes from rows that were to rows that are.
    pub(super) fn lower_upserts(&self, scan: &TableScan, raw: &RawTable, wanted: &[usize]) -> Result<Node> {
        let table = &raw.reference.table;
        let key: Option<Vec<usize>> =
            table.primary_key.iter().map(|name| raw.schema.index_of(name).ok()).collect();
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            Error::plan(format!("table '{}' gives upserts, but has no PRIMARY KEY", table.name))
        })?;
        // The key is read, whether or not the query asks for it.
        let mut columns = wanted.to_vec();
        columns.extend(key.iter().filter(|k| !wanted.contains(k)));
        let (source, detail, arrow) = self.source(raw, &columns)?;
        let schema = Arc::new(DFSchema::try_from_qualified_schema(scan.table_name.clone(), &arrow)?);
        let keys: Vec<usize> =
            key.iter().filter_map(|k| columns.iter().position(|c| c == k)).collect();
        let properties = Properties {
            changes: Changes::ALL,
            keys: vec![keys.clone()],
            bounded: source.bounded(),
            ..Properties::default()
        };
        let upserts = Node::source(source, detail, (schema.clone(), arrow), properties);
        let normalized = normalize(upserts, keys);
        if columns.len() == wanted.len() {
            return Ok(Node { schema: scan.projected_schema.clone(), ..normalized });
        }
        let exprs: Vec<Expr> = schema.columns().into_iter().take(wanted.len()).map(Expr::Column).collect();
        calc(normalized, None, Some((&exprs, &scan.projected_schema)))
    }
}

/// Changes from upserts by key.
fn normalize(upserts: Node, keys: Vec<usize>) -> Node {
    let (schema, arrow, properties) =
        (upserts.schema.clone(), upserts.arrow.clone(), upserts.properties.clone());
    let names: Vec<&str> = keys.iter().map(|k| arrow.field(*k).name().as_str()).collect();
    let detail = format!("key=[{}]", names.join(", "));
    let spec = ChangelogNormalizeSpec { keys: keys.clone(), schema: arrow.clone(), emit_before: true };
    let warning = (!properties.bounded).then(|| {
        format!("ChangelogNormalize({detail}) keeps the last row of every key: its state is as large as the table")
    });
    Node {
        name: "ChangelogNormalize",
        detail,
        body: Body::Operator(Arc::new(move |wiring| {
            let spec = ChangelogNormalizeSpec { emit_before: wiring.emit_before, ..spec.clone() };
            Ok(Arc::new(move || Ok(Box::new(ChangelogNormalize::new(spec.clone())?))))
        })),
        inputs: vec![Input { node: upserts, distribution: Distribution::Keys(keys), demand: Demand::After }],
        schema,
        arrow,
        properties,
        originates: true,
        lookups: Vec::new(),
        warnings: warning.into_iter().collect(),
    }
}
