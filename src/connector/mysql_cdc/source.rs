//! The source: one reader, one split.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, channel};

use super::options::{CdcOptions, Startup};
use super::position::Position;
use super::pump::{Event, Plan, run};
use crate::catalog::Table;
use crate::connector::cdc::{self, Columns, Names};
use crate::connector::position::only;
use crate::connector::{Positions, Read, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::database::apart;
use crate::database::mysql::MySql;
use crate::database::mysql::binlog::Watched;
use crate::error::{Error, Result};
use crate::flow::{Kind, Kinds};

/// Batches that may wait for the task.
const AHEAD: usize = 4;
/// The only split.
const SPLIT: &str = "table";

/// A planned scan.
pub(super) struct CdcSource {
    plan: Arc<Plan>,
    columns: Arc<Columns>,
    restored: Mutex<Option<Position>>,
}

impl CdcSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        let table = &request.table;
        let options = CdcOptions::of(&table.options)?;
        let names = Names {
            database: options.url.name.clone(),
            schema: options.url.name.clone(),
            table: options.table.clone(),
        };
        let columns = Columns::new(request, names, false)?;
        let physical = columns.physical.clone();
        let place = |name: &String| physical.fields().iter().position(|f| f.name() == name);
        let plan = Plan {
            name: table.name.clone(),
            database: MySql::shared(&options.url)?,
            watched: Watched {
                database: options.url.name.clone(),
                table: options.table.clone(),
                columns: physical.clone(),
            },
            key: table.primary_key.iter().map(place).collect::<Option<_>>().unwrap_or_default(),
            options,
            batch_rows: request.batch_rows,
        };
        Ok(Self { plan: Arc::new(plan), columns: Arc::new(columns), restored: Mutex::default() })
    }
}

/// Asks whether the table is there and its changes can be read.
pub(super) fn probe(table: &Table) -> Result<Vec<String>> {
    let options = CdcOptions::of(&table.options)?;
    let watched = Watched {
        database: options.url.name.clone(),
        table: options.table.clone(),
        columns: cdc::physical(table),
    };
    let name = table.name.clone();
    apart(move || async move {
        let database = MySql::shared(&options.url)?;
        let asked = async {
            let mut connection = database.client().await?;
            watched.facts(&mut connection).await?;
            let mut said = format!("table '{name}': {}, table {}", options.url.shown(), watched.name());
            if options.startup != Startup::Snapshot {
                watched.check_log(&mut connection).await?;
                said.push_str(&format!(", its log is at {}", watched.end(&mut connection).await?));
            }
            drop(connection.disconnect().await);
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
        let restored = self.restored.lock().clone();
        context.runtime.spawn(run(self.plan.clone(), restored, sender, context.waker));
        Ok(Box::new(CdcReader {
            plan: self.plan.clone(),
            columns: self.columns.clone(),
            events,
            position: None,
            ordered: false,
            changed: false,
            bytes: 0,
        }))
    }

    fn changelog(&self) -> SourceChangelog {
        match self.plan.options.startup {
            Startup::Snapshot => SourceChangelog::Append,
            _ => SourceChangelog::All,
        }
    }

    fn describe(&self) -> String {
        let options = &self.plan.options;
        let what = match &options.startup {
            Startup::Initial => "rows, then changes".to_string(),
            Startup::Latest => "changes from now on".to_string(),
            Startup::Earliest => "all changes of the log".to_string(),
            Startup::At(place) => format!("changes from {place} on"),
            Startup::Snapshot => "rows".to_string(),
        };
        format!("{}, table {}, {what}", options.url.shown(), options.name())
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position =
            only(positions, SPLIT)?.map(|position| Position::parse(SPLIT, position)).transpose()?;
        *self.restored.lock() = position;
        Ok(())
    }
}

struct CdcReader {
    plan: Arc<Plan>,
    columns: Arc<Columns>,
    events: Receiver<Event>,
    position: Option<Position>,
    /// Rows of the snapshot can be gone on with from the last key.
    ordered: bool,
    changed: bool,
    bytes: u64,
}

impl CdcReader {
    /// Between two rows of a snapshot that has no order there is no place to come back to.
    fn waits(&self) -> bool {
        self.position.as_ref().is_some_and(|position| position.reading && !self.ordered)
    }

    fn positions(&mut self) -> Result<Positions> {
        let Some(position) = self.position.as_ref().filter(|_| self.changed) else {
            return Ok(Positions::new());
        };
        self.changed = false;
        let position = serde_json::to_value(position)
            .map_err(|e| Error::internal(format!("a position could not be written: {e}")))?;
        Ok(Positions::from([(SPLIT.to_string(), position)]))
    }
}

impl Reader for CdcReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            match self.events.try_recv() {
                Ok(Event::Opened(position, ordered)) => {
                    (self.position, self.ordered, self.changed) = (Some(position), ordered, true);
                }
                Ok(Event::Reached(position)) => (self.position, self.changed) = (Some(position), true),
                Ok(Event::Rows(batch, kinds, times, position)) => {
                    (self.position, self.changed) = (Some(position), true);
                    self.bytes += batch.get_array_memory_size() as u64;
                    let batch = self.columns.assemble(&batch, &kinds, &times);
                    let batch = batch.map_err(|e| e.context(format!("table '{}'", self.plan.name)))?;
                    let kinds = match kinds.iter().all(|kind| *kind == Kind::Insert) {
                        true => Kinds::Append,
                        false => Kinds::Changes(kinds.into()),
                    };
                    return Ok(Read::rows(batch, kinds));
                }
                Ok(Event::Failed(e)) => return Err(e),
                Err(TryRecvError::Empty) => return Ok(Read::Pending),
                Err(TryRecvError::Disconnected) if self.plan.options.startup == Startup::Snapshot => {
                    return Ok(Read::End);
                }
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::internal("what reads the changes of a table has ended"));
                }
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        if self.waits() { Ok(None) } else { self.positions().map(Some) }
    }

    fn leave(&mut self) -> Result<Positions> {
        if self.waits() { Ok(Positions::new()) } else { self.positions() }
    }
}
