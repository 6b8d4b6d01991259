//! What the jobs of a script would take of a savepoint, before the first of them starts.
//!
//! A savepoint carries the name of its job. In a script with several jobs the one of that name continues from it, and the
//! others begin empty; one job alone takes it under whatever name. A job that would be refused is refused before any
//! other has shown a row.

use std::sync::Arc;

use super::recovery::Durability;
use super::start::{Output, job_plan};
use super::{Session, State};
use crate::config::Config;
use crate::error::Result;
use crate::plan::share::share_sources;
use crate::sql::{Statement, StatementKind};
use crate::state::checkpoint::JobPlan;

/// A job that will be started.
struct Ahead {
    name: String,
    plan: JobPlan,
    config: Config,
    /// The file that it is in, or else the text.
    origin: (Option<String>, Option<String>),
}

/// A script that is planned and not run.
pub struct Rehearsal {
    scratch: Session,
    jobs: Vec<Ahead>,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins one, if a savepoint is named; nothing of it changes this session.
    pub fn rehearsal(&self) -> Result<Option<Rehearsal>> {
        if self.setting("execution.state-recovery.path").is_empty() {
            return Ok(None);
        }
        let scratch = Self::with_clock(self.clock.clone())?;
        {
            let state = self.state.lock();
            let (catalog, config) = (state.catalog.clone(), state.config.clone());
            *scratch.state.lock() =
                State { catalog, config, functions: state.functions.clone(), ..State::default() };
        }
        Ok(Some(Rehearsal { scratch, jobs: Vec::new() }))
    }
}

impl Rehearsal {
    /// The next statement, of a script in a file.
    pub fn statement(
        &mut self,
        statement: &Statement,
        origin: (Option<String>, Option<String>),
    ) -> Result<()> {
        let scratch = &self.scratch;
        let inserts = match &statement.kind {
            StatementKind::Insert(insert) => vec![insert.clone()],
            StatementKind::StatementSet(inserts) => inserts.clone(),
            StatementKind::CreateTable(table) if table.query.is_some() => {
                let (table, insert) = scratch.split_table_as(table)?;
                scratch.create_table(&table)?;
                vec![insert]
            }
            _ => return scratch.check(statement).map(drop),
        };
        let (name, mut outputs) = scratch.insert_outputs(&scratch.planner(), &inserts, true)?;
        share_sources(&mut outputs.iter_mut().map(|o: &mut Output| &mut o.node).collect::<Vec<_>>());
        let config = scratch.state.lock().config.clone();
        let named = config.get("pipeline.name");
        let name = if named.is_empty() { name } else { named.to_string() };
        let same = self.jobs.iter().filter(|job| job.plan.name == crate::secret::redact(&name)).count();
        let mut plan = job_plan(&name, config.parallelism(), &outputs)?;
        let own = if same == 0 { name } else { format!("{name}-{}", same + 1) };
        let runs = (origin.0.as_deref(), origin.1.as_deref());
        let waits = (scratch.runtime.handle(), scratch.clock.clone());
        if let Some(durability) = Durability::new(&config, &own, runs, Arc::default(), waits)? {
            let remembered = durability.remembered(|| Ok(plan.clone()))?;
            if !remembered.is_empty() {
                let planner = scratch.planner().knowing(remembered);
                let (_, mut outputs) = scratch.insert_outputs(&planner, &inserts, true)?;
                share_sources(&mut outputs.iter_mut().map(|o: &mut Output| &mut o.node).collect::<Vec<_>>());
                plan = job_plan(&plan.name, config.parallelism(), &outputs)?;
            }
        }
        self.jobs.push(Ahead { name: own, plan, config, origin });
        Ok(())
    }

    /// Refuses what a job would be refused for, and lets the session know which jobs are to come.
    pub fn finish(self, session: &Session) -> Result<()> {
        let names: Arc<[String]> = self.jobs.iter().map(|job| job.name.clone()).collect();
        session.state.lock().ahead = names.clone();
        for Ahead { name, plan, config, origin } in &self.jobs {
            let waits = (session.runtime.handle(), session.clock.clone());
            let runs = (origin.0.as_deref(), origin.1.as_deref());
            if let Some(durability) = Durability::new(config, name, runs, names.clone(), waits)? {
                durability.check_savepoint(plan)?;
            }
        }
        Ok(())
    }
}
