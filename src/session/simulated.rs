//! What the simulation of whole jobs needs of a session: its own runtime, and plans instead of jobs.

use std::sync::Arc;

use super::Session;
use crate::clock::Clock;
use crate::connector::Sink;
use crate::error::{Error, Result};
use crate::plan::Node;
use crate::plan::share::share_sources;
use crate::sql::{Insert, SourceText, StatementKind};

/// One output of a job that was planned and not started.
pub(crate) struct Planned {
    pub(crate) node: Node,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) id: String,
    pub(crate) before: bool,
}

impl Session {
    /// A session that waits on a given runtime.
    pub(crate) fn simulated(clock: Arc<dyn Clock>, runtime: tokio::runtime::Runtime) -> Result<Self> {
        let state = Arc::<parking_lot::Mutex<super::State>>::default();
        Ok(Self { runtime: super::Io::new(runtime, state.clone()), state, clock, lookups: Arc::default() })
    }

    /// What lookups wait on.
    #[expect(clippy::unwrap_used, reason = "it is there until the session is dropped")]
    pub(crate) fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.runtime.as_ref().unwrap()
    }

    /// Executes all statements but the last one, an INSERT, a statement set or CREATE TABLE AS, and plans that.
    pub(crate) fn plan_script(&self, text: &str) -> Result<Vec<Planned>> {
        let mut statements = self.parse(&SourceText::new("<simulation>", text))?;
        let last = statements.pop().ok_or_else(|| Error::internal("a script without statements"))?;
        for statement in &statements {
            self.execute(statement)?;
        }
        let inserts: Vec<Insert> = match &last.kind {
            StatementKind::Insert(insert) => vec![insert.clone()],
            StatementKind::StatementSet(inserts) => inserts.clone(),
            StatementKind::CreateTable(statement) => {
                let (table, insert) = self.split_table_as(statement)?;
                self.create_table(&table)?;
                vec![insert]
            }
            _ => return Err(Error::internal("the last statement starts no job")),
        };
        let planner = self.planner();
        let planned = self.plan_inserts(&planner, &inserts)?;
        let outputs = planned.into_iter().zip(&inserts);
        let of = self.of_job(true)?;
        let outputs =
            outputs.map(|((node, table, _), insert)| self.output(&planner, insert, &table, node, &of));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        share_sources(&mut outputs.iter_mut().map(|o| &mut o.node).collect::<Vec<_>>());
        let planned = outputs.into_iter();
        Ok(planned.map(|o| Planned { node: o.node, sink: o.sink, id: o.id, before: o.before }).collect())
    }
}
