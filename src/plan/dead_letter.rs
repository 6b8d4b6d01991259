//! Where undecodable records and rows of failed lookups go: a second way out of a source or a lookup join, to a table
//! that the user names.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::DFSchema;

use super::graph::{Changes, Node, Properties};
use super::lower::place_of;
use super::meaning::{Meaning, Parts};
use super::provider::Planner;
use crate::catalog::{Entry, Table};
use crate::dead_letter::{DeadLetterRows, LOOKUP_OPTION, SCAN_OPTION};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::dead_letters::{DeadLetters, DecodedRows};

/// Where the numbers of lookup joins with dead letters start, among those of what is shared.
const LETTERS: usize = 1 << 20;

impl Planner {
    /// The dead letters of all sources and lookups of the statement that was planned, and the tables that take them.
    pub fn dead_letters(&self) -> Result<Vec<(Node, Arc<Table>)>> {
        let mut by_table: Vec<(Vec<Node>, Arc<Table>)> = Vec::new();
        let lookups = self.state.letters.lock().clone();
        for (node, target) in self.rejected_records()?.into_iter().chain(lookups) {
            match by_table.iter_mut().find(|(_, known)| Arc::ptr_eq(known, &target)) {
                Some((nodes, _)) => nodes.push(node),
                None => by_table.push((vec![node], target)),
            }
        }
        let outputs = by_table.into_iter().map(|(mut nodes, target)| match nodes.pop() {
            Some(only) if nodes.is_empty() => Ok((only, target)),
            Some(last) => {
                nodes.push(last);
                let schema = nodes.first().map(|node| node.schema.clone());
                let schema = schema.ok_or_else(|| Error::internal("no dead letters"))?;
                Ok((Node::union(nodes, schema), target))
            }
            None => Err(Error::internal("no dead letters")),
        });
        outputs.collect()
    }

    /// The table that takes dead letters of `table`, by the option that names it.
    fn taker(&self, table: &Table, option: &str, name: &str) -> Result<Arc<Table>> {
        let span = table.options.span(option);
        match self.state.catalog.find(&table.home.key(name), span) {
            Ok(Entry::Table(target)) => Ok(target.clone()),
            Ok(Entry::View(_)) => {
                Err(Error::plan(format!("'{option}' of table '{}' names a view", table.name)).at(span))
            }
            Err(e) => Err(e.context(format!("'{option}' of table '{}'", table.name))),
        }
    }

    /// What follows a lookup join whose failed rows are kept: the others, without the column of those. The dead
    /// letters are noted as another output of the job.
    pub(super) fn without_failed(
        &self,
        join: Node,
        table: &Table,
        name: &str,
        (columns, meaning): ((Arc<DFSchema>, SchemaRef), Meaning),
    ) -> Result<Node> {
        let target = self.taker(table, LOOKUP_OPTION, name)?;
        let at = |e: Error| e.at(table.options.span(LOOKUP_OPTION));
        let rows = Arc::new(DeadLetterRows::new(&table.name, &target, self.zone()).map_err(at)?);
        let properties = join.properties.clone();
        let number = {
            // Numbers of what is shared for another reason start below.
            let letters = self.state.letters.lock();
            LETTERS + letters.len()
        };
        let join = Node::shared(join, number);
        let failed = join.clone();
        let given = Arc::new(DFSchema::try_from(rows.schema().as_ref().clone())?);
        let own = (given, rows.schema().clone());
        let texts = rows.schema().fields().iter().map(|f| f.name().as_str().into()).collect();
        let build: BuildOperator = Arc::new(move || Ok(Box::new(DeadLetters::new(rows.clone()))));
        let known =
            Properties { changes: Changes::APPEND, bounded: properties.bounded, ..Properties::default() };
        let known = (known, Meaning::passed(Parts::new("DeadLetters", 1), &failed, texts));
        let detail = format!("{} (rows whose lookup failed)", table.name);
        let letters = Node::forward("DeadLetters", detail, build, failed, own, known);
        self.state.letters.lock().push((letters, target));
        let schema = columns.1.clone();
        let build: BuildOperator = Arc::new(move || Ok(Box::new(DecodedRows::new(schema.clone()))));
        Ok(Node::forward("AnsweredRows", String::new(), build, join, columns, (properties, meaning)))
    }

    fn rejected_records(&self) -> Result<Vec<(Node, Arc<Table>)>> {
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
            let target = self.taker(table, SCAN_OPTION, name)?;
            let rows = Arc::new(DeadLetterRows::new(&table.name, &target, self.zone()).map_err(at)?);
            let properties = Properties {
                changes: Changes::APPEND,
                bounded: scanned.source.bounded(),
                ..Properties::default()
            };
            let read = Arc::new(DFSchema::try_from(scanned.schema.as_ref().clone())?);
            let detail = format!("{} (records that cannot be decoded)", table.name);
            let names = scanned.schema.fields().iter().map(|f| f.name());
            let known = (properties.clone(), Meaning::table(self.known_name(&table.name), names));
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
