//! Where undecodable records go: a second way out of a source, to a table that the user names.

use std::sync::Arc;

use datafusion_common::DFSchema;

use super::graph::{Changes, Node, Properties};
use super::lower::place_of;
use super::meaning::{Meaning, Parts};
use super::provider::Planner;
use crate::catalog::{Entry, Table};
use crate::dead_letter::{DeadLetterRows, SCAN_OPTION};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::dead_letters::DeadLetters;

impl Planner {
    /// The dead letters of all sources of the statement that was planned, each with the table that takes them.
    pub fn dead_letters(&self) -> Result<Vec<(Node, Arc<Table>)>> {
        let mut nodes: Vec<(Node, Arc<Table>)> = Vec::new();
        let mut seen: Vec<Arc<Table>> = Vec::new();
        for scanned in self.state.sources.lock().iter() {
            let table = &scanned.table;
            let Some(name) = table.options.text(SCAN_OPTION) else { continue };
            // Scans of one table with other columns reject the same records.
            if seen.iter().any(|t| Arc::ptr_eq(t, table)) {
                continue;
            }
            seen.push(table.clone());
            let at = |e: Error| e.at(table.options.span(SCAN_OPTION));
            let target = match self.state.catalog.find(name, table.options.span(SCAN_OPTION)) {
                Ok(Entry::Table(target)) => target.clone(),
                Ok(Entry::View(_)) => {
                    return Err(at(Error::plan(format!(
                        "'{SCAN_OPTION}' of table '{}' names a view",
                        table.name
                    ))));
                }
                Err(e) => return Err(e.context(format!("'{SCAN_OPTION}' of table '{}'", table.name))),
            };
            if nodes.iter().any(|(_, known)| Arc::ptr_eq(known, &target)) {
                return Err(at(Error::unsupported(format!(
                    "table '{name}' takes the dead letters of two sources of one job"
                )))
                .with_hint("name one table for each"));
            }
            let rows = Arc::new(DeadLetterRows::new(&table.name, &target, self.zone()).map_err(at)?);
            let properties = Properties {
                changes: Changes::APPEND,
                bounded: scanned.source.bounded(),
                ..Properties::default()
            };
            let read = Arc::new(DFSchema::try_from(scanned.schema.as_ref().clone())?);
            let detail = format!("{} (records that cannot be decoded)", table.name);
            let names = scanned.schema.fields().iter().map(|f| f.name());
            let known = (properties.clone(), Meaning::table(&table.name, names));
            let of = (Some(table.name.clone()), place_of(table.connector()?, table)?);
            let columns = (read, scanned.schema.clone());
            let source = Node::source(scanned.source.clone(), of, detail, columns, known);
            let given = Arc::new(DFSchema::try_from(rows.schema().as_ref().clone())?);
            let columns = (given, rows.schema().clone());
            let texts = rows.schema().fields().iter().map(|f| f.name().as_str().into()).collect();
            let build: BuildOperator = Arc::new(move || Ok(Box::new(DeadLetters::new(rows.clone()))));
            let known = (properties, Meaning::passed(Parts::new("DeadLetters", 1), &source, texts));
            nodes.push((Node::forward("DeadLetters", String::new(), build, source, columns, known), target));
        }
        Ok(nodes)
    }
}
