//! The source: one reader, one split.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::channel;

use super::options::{CdcOptions, Startup};
use super::position::Position;
use super::pump::{Link, Plan, run};
use super::reader::CdcReader;
use crate::catalog::Table;
use crate::connector::cdc::{self, Columns, Names};
use crate::connector::position::only;
use crate::connector::{Positions, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::database::apart;
use crate::database::postgres::Postgres;
use crate::database::postgres::cdc::Watched;
use crate::error::{Error, Result};

/// Pieces that may wait for the task.
const AHEAD: usize = 4;
/// The only split.
pub(super) const SPLIT: &str = "table";

/// A planned scan.
pub(super) struct CdcSource {
    plan: Arc<Plan>,
    columns: Arc<Columns>,
    restored: Mutex<Option<Position>>,
    link: Mutex<Arc<Link>>,
}

impl CdcSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        let table = &request.table;
        let options = CdcOptions::of(&table.options)?;
        let names = Names {
            database: options.url.name.clone(),
            schema: options.schema.clone(),
            table: options.table.clone(),
        };
        let columns = Columns::new(request, names, options.upsert)?;
        let watched = Watched {
            schema: options.schema.clone(),
            table: options.table.clone(),
            columns: columns.physical.clone(),
            key: table.primary_key.clone(),
            whole_before: !options.upsert,
        };
        let plan = Plan {
            name: table.name.clone(),
            database: Postgres::shared(&options.url)?,
            options,
            watched,
            batch_rows: request.batch_rows,
        };
        Ok(Self {
            plan: Arc::new(plan),
            columns: Arc::new(columns),
            restored: Mutex::default(),
            link: Mutex::default(),
        })
    }
}

/// Asks whether the table is there and its changes can be read, and what there is for that.
pub(super) fn probe(table: &Table) -> Result<Vec<String>> {
    let options = CdcOptions::of(&table.options)?;
    let watched = Watched {
        schema: options.schema.clone(),
        table: options.table.clone(),
        columns: cdc::physical(table),
        key: table.primary_key.clone(),
        whole_before: !options.upsert,
    };
    let name = table.name.clone();
    apart(move || async move {
        let database = Postgres::shared(&options.url)?;
        let asked = async {
            let client = database.client().await?;
            let facts = watched.facts(&client).await?;
            let mut said = format!(
                "table '{name}': {}, table {}: {} columns",
                options.url.shown(),
                watched.name(),
                facts.columns.len()
            );
            if options.startup != Startup::Snapshot {
                watched.check_log(&client, &facts).await?;
                said.push_str(&match watched.slot(&client, &options.slot).await? {
                    Some(slot) => match slot.lost {
                        None => format!(", slot {} is at {}", options.slot, slot.confirmed),
                        Some(why) => format!(", slot {} has lost changes: {why}", options.slot),
                    },
                    None => format!(", slot {} is not there yet", options.slot),
                });
            }
            Ok(vec![said])
        };
        asked.await.map_err(|fault| Error::from(database.at(fault)).context(format!("table '{name}'")))
    })
}

impl Source for CdcSource {
    fn bounded(&self) -> bool {
        self.plan.options.startup == Startup::Snapshot
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let (sender, events) = channel(AHEAD);
        let (plan, restored, link) = (&self.plan, self.restored.lock().clone(), self.link.lock().clone());
        // A job that begins at the slot's place would lose what it has not finished.
        let waits = context.checkpoints || plan.options.startup == Startup::Committed;
        context.runtime.spawn(run(plan.clone(), restored, link.clone(), sender, context.waker));
        Ok(Box::new(CdcReader::new(plan.clone(), self.columns.clone(), link, events, waits)))
    }

    fn changelog(&self) -> SourceChangelog {
        match self.plan.options.startup {
            Startup::Snapshot => SourceChangelog::Append,
            _ if self.plan.options.upsert => SourceChangelog::Upsert,
            _ => SourceChangelog::All,
        }
    }

    fn describe(&self) -> String {
        let options = &self.plan.options;
        let what = match options.startup {
            Startup::Initial => "rows, then changes",
            Startup::Latest => "changes from now on",
            Startup::Committed => "changes from the slot's place on",
            Startup::Snapshot => return format!("{}, table {}, rows", options.url.shown(), options.name()),
        };
        format!("{}, table {}, slot {}, {what}", options.url.shown(), options.name(), options.slot)
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position =
            only(positions, SPLIT)?.map(|position| Position::parse(SPLIT, position)).transpose()?;
        *self.restored.lock() = position;
        *self.link.lock() = Arc::default();
        Ok(())
    }

    fn committed(&self, _epoch: u64, positions: &Positions) -> Result<()> {
        if let Some(position) = only(positions, SPLIT)? {
            self.link.lock().confirm(Position::parse(SPLIT, position)?.lsn);
        }
        Ok(())
    }
}
