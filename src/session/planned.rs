//! Sessions that wait on a given runtime and plan jobs without starting them: for the simulation of whole jobs and for
//! `affluent test`, which step the tasks themselves.

use std::sync::Arc;

use super::Session;
use super::start::Output;
use crate::catalog::{Catalog, Entry, Table};
use crate::clock::Clock;
use crate::connector::Sink;
use crate::error::{Error, Result};
use crate::plan::share::share_sources;
use crate::plan::stand_in::StandIn;
use crate::recording::Recorder;
use crate::sql::{Insert, StatementKind};

impl Session {
    /// A session that waits on a given runtime.
    pub(crate) fn planning(clock: Arc<dyn Clock>, runtime: tokio::runtime::Runtime) -> Self {
        let state = Arc::<parking_lot::Mutex<super::State>>::default();
        Self { runtime: super::Io::new(runtime, state.clone()), state, clock, lookups: Arc::default() }
    }

    /// What lookups wait on.
    pub(crate) fn runtime(&self) -> Result<&tokio::runtime::Runtime> {
        self.runtime.runtime.as_ref().ok_or_else(|| Error::internal("the session has lost its runtime"))
    }

    /// From now on, something else answers in the place of what is outside.
    pub(crate) fn set_stand_in(&self, other: Arc<dyn StandIn>) {
        self.state.lock().stand_in = Some(other);
    }

    /// From now on, what jobs read and are answered is recorded, in `bytes` at most.
    pub(crate) fn record(&self, folder: &std::path::Path, bytes: u64) -> Result<Arc<Recorder>> {
        let zone = self.state.lock().config.zone();
        let recorder = Recorder::begin(folder, bytes, &zone, self.clock.clone())?;
        self.set_recorder(recorder.clone());
        Ok(recorder)
    }

    /// From now on, what jobs read and are answered is recorded there.
    pub(crate) fn set_recorder(&self, recorder: Arc<Recorder>) {
        self.state.lock().recorder = Some(recorder);
    }

    /// Puts other tables in the place of those for which `other` gives one.
    pub(crate) fn replace_tables(&self, other: impl Fn(&Table) -> Result<Option<Table>>) -> Result<()> {
        let catalog = self.catalog();
        let mut replaced = Vec::new();
        for (key, entry) in catalog.iter() {
            if let Entry::Table(table) = entry
                && let Some(table) = other(table)?
            {
                replaced.push((key.to_string(), table));
            }
        }
        let mut state = self.state.lock();
        let catalog = Arc::make_mut(&mut state.catalog);
        replaced.into_iter().for_each(|(key, table)| catalog.insert(key, Entry::Table(Arc::new(table))));
        Ok(())
    }

    /// Puts a table under a name, whatever is there.
    pub(crate) fn put_table(&self, name: &crate::sql::TableName, table: Table) -> Result<()> {
        let key = self.catalog().key_of(name)?;
        let mut state = self.state.lock();
        Arc::make_mut(&mut state.catalog).insert(key, Entry::Table(Arc::new(table)));
        Ok(())
    }

    /// Tables and views as they are now.
    pub(crate) fn tables(&self) -> Arc<Catalog> {
        self.catalog()
    }

    /// Plans the job that an INSERT, a statement set, CREATE TABLE AS or a query starts; `result` takes the rows of a
    /// query. The name, and what it warns of.
    pub(crate) fn plan_job(
        &self,
        kind: &StatementKind,
        result: impl FnOnce(&arrow::datatypes::SchemaRef) -> Arc<dyn Sink>,
    ) -> Result<(String, Vec<Output>)> {
        let inserts: Vec<Insert> = match kind {
            StatementKind::Insert(insert) => vec![insert.clone()],
            StatementKind::StatementSet(inserts) => inserts.clone(),
            StatementKind::CreateTable(statement) => {
                let (_, insert) = self.split_table_as(statement)?;
                vec![insert]
            }
            StatementKind::Query(query) => {
                let planner = self.planner();
                let node = planner.result(&planner.shared_query(query)?)?;
                let sink = result(&node.arrow);
                let output =
                    Output { node, sink, id: "Sink".to_string(), table: None, place: None, before: true };
                let mut outputs = vec![output];
                outputs.extend(super::statements::dead_letters(&planner, &self.of_job(true)?)?);
                share_sources(&mut outputs.iter_mut().map(|o| &mut o.node).collect::<Vec<_>>());
                return Ok(("collect".to_string(), outputs));
            }
            _ => return Err(Error::internal("the statement starts no job")),
        };
        let planner = self.planner();
        let (name, mut outputs) = self.insert_outputs(&planner, &inserts, true)?;
        share_sources(&mut outputs.iter_mut().map(|o| &mut o.node).collect::<Vec<_>>());
        Ok((name, outputs))
    }

    /// CREATE TABLE AS without its query: the table with the query's columns.
    pub(crate) fn create_target(&self, kind: &StatementKind) -> Result<()> {
        let StatementKind::CreateTable(statement) = kind else { return Ok(()) };
        let (table, _) = self.split_table_as(statement)?;
        self.create_table(&table).map(drop)
    }

    /// Executes all statements but the last one, which starts a job, and plans that.
    #[cfg(test)]
    pub(crate) fn plan_script(&self, text: &str) -> Result<Vec<Output>> {
        let mut statements = self.parse(&crate::sql::SourceText::new("<simulation>", text))?;
        let last = statements.pop().ok_or_else(|| Error::internal("a script without statements"))?;
        for statement in &statements {
            self.execute(statement)?;
        }
        if let StatementKind::CreateTable(_) = &last.kind {
            self.create_target(&last.kind)?;
        }
        self.plan_job(&last.kind, |_| unreachable!("a simulation has no query")).map(|(_, outputs)| outputs)
    }
}
