//! What waits: asks the database, reads the snapshot, and makes batches of what the stream brings.
//!
//! Rows become a batch when nothing more is there at once. A connection that breaks is made again, and the stream goes on
//! where it was.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt};
use mysql_async::binlog::events::{Event as Logged, EventData};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, Conn};
use rand::Rng;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::options::{CdcOptions, Startup};
use super::position::{Part, Position};
use crate::database::mysql::MySql;
use crate::database::mysql::binlog::{Facts, Images, Place, Values, Watched};
use crate::database::{Fault, FaultKind};
use crate::error::{Error, Result};
use crate::flow::{Kind, Waker};
use crate::lookup::BoxFuture;
use crate::lookup::values::Rows;

/// Silence after which a line is taken for dead.
const SILENCE: Duration = Duration::from_secs(120);
const FRESH: &str = "run with --fresh to begin anew with the rows that the table has now";

/// What was planned.
pub(super) struct Plan {
    /// Its name here.
    pub(super) name: String,
    pub(super) options: CdcOptions,
    pub(super) database: Arc<MySql>,
    pub(super) watched: Watched,
    /// The declared key, as places among the columns that are read, if all of it is among them.
    pub(super) key: Vec<usize>,
    pub(super) batch_rows: usize,
}

impl Plan {
    pub(super) fn error(&self, fault: Fault) -> Error {
        Error::from(self.database.at(fault)).context(format!("table '{}'", self.name))
    }
}

/// What the reader gets.
pub(super) enum Event {
    /// Where it begins, and whether rows of the snapshot come in an order that can be gone on with.
    Opened(Position, bool),
    /// Rows, and where it is behind them.
    Rows(RecordBatch, Vec<Kind>, Vec<i64>, Position),
    /// It has come further, without rows.
    Reached(Position),
    Failed(Error),
}

/// Runs until the reader is gone.
pub(super) async fn run(plan: Arc<Plan>, restored: Option<Position>, sender: Sender<Event>, waker: Waker) {
    let server =
        plan.options.server.unwrap_or_else(|| rand::rng().random_range(1_000_000_000..2_000_000_000));
    let pump = Pump { plan, restored, server, sender, waker: waker.clone() };
    if let Err(e) = pump.work().await {
        pump.send(Event::Failed(e)).await;
    }
    drop(pump);
    waker.wake();
}

struct Pump {
    plan: Arc<Plan>,
    restored: Option<Position>,
    server: u32,
    sender: Sender<Event>,
    waker: Waker,
}

/// Rows that wait to be a batch.
struct Pending {
    rows: Rows,
    kinds: Vec<Kind>,
    times: Vec<i64>,
    /// The position that was reported last.
    told: Place,
}

/// Where in a transaction the stream is.
#[derive(Debug, Default)]
struct Transaction {
    file: String,
    open: bool,
    /// Changes of it so far, and how many of them were read before.
    changes: u64,
    before: u64,
}

impl Pump {
    async fn send(&self, event: Event) -> bool {
        let sent = self.sender.send(event).await.is_ok();
        self.waker.wake();
        sent
    }

    fn error(&self, fault: Fault) -> Error {
        self.plan.error(fault)
    }

    async fn work(&self) -> Result<()> {
        let begun = tokio::select! {
            biased;
            begun = self.begin() => begun?,
            () = self.sender.closed() => return Ok(()),
        };
        match self.plan.options.startup {
            Startup::Snapshot => Ok(()),
            _ => self.stream(begun).await,
        }
    }

    /// A connection, after as many attempts as it takes.
    async fn connect(&self) -> Result<Conn> {
        let mut failed = 0;
        loop {
            match self.plan.database.client().await {
                Err(fault)
                    if matches!(fault.kind, FaultKind::Connect | FaultKind::Limit)
                        && failed < self.plan.options.retries =>
                {
                    log::warn!("table '{}': {}; it is tried again", self.plan.name, fault.message);
                    sleep(pause(failed)).await;
                    failed += 1;
                }
                other => return other.map_err(|fault| self.error(fault)),
            }
        }
    }

    /// Everything before the stream.
    async fn begin(&self) -> Result<(Position, Facts)> {
        let (plan, watched) = (&self.plan, &self.plan.watched);
        let fault = |fault| self.error(fault);
        let mut connection = self.connect().await?;
        let facts = watched.facts(&mut connection).await.map_err(fault)?;
        let server = plan.database.server(&mut connection).await.map_err(fault)?;
        if plan.options.startup != Startup::Snapshot {
            watched.check_log(&mut connection).await.map_err(fault)?;
        }
        let (mut position, moment) = match &self.restored {
            Some(position) if position.server != server => {
                return Err(Error::io(format!(
                    "table '{}': the server is another one than that of the checkpoint",
                    plan.name
                ))
                .with_detail(format!("its server_id was {} and is {server}", position.server))
                .with_hint(FRESH)
                .lasting());
            }
            Some(position) => {
                let moment = match position.reading {
                    true => Some(watched.moment(&plan.database, &mut connection).await.map_err(fault)?),
                    false => None,
                };
                (position.clone(), moment)
            }
            None => {
                let (place, moment) = match &plan.options.startup {
                    Startup::Latest => (watched.end(&mut connection).await.map_err(fault)?, None),
                    Startup::Earliest => (watched.first(&mut connection).await.map_err(fault)?, None),
                    Startup::At(place) => (place.clone(), None),
                    Startup::Initial | Startup::Snapshot => {
                        let moment = self.moment(&mut connection).await?;
                        (moment.clone(), Some(moment))
                    }
                };
                let reading = moment.is_some();
                (Position { server, place, changes: 0, parts: Vec::new(), reading }, moment)
            }
        };
        let behind = position.last_key();
        if behind.as_ref().is_some_and(|key| key.len() != facts.order.len()) {
            return Err(Error::plan(format!(
                "table '{}': the primary key of {} is another one than when its rows began to be read",
                plan.name,
                watched.name()
            ))
            .with_hint(FRESH));
        }
        self.send(Event::Opened(position.clone(), !facts.order.is_empty())).await;
        if let Some(until) = moment {
            position.parts.push(Part { until, to: None });
            let (sender, waker, mut at) = (self.sender.clone(), self.waker.clone(), position.clone());
            let take = Box::new(move |batch: RecordBatch, key: Option<Vec<i128>>| -> BoxFuture<bool> {
                if let Some(part) = at.parts.last_mut() {
                    part.to = key.map(|key| key.iter().map(i128::to_string).collect());
                }
                let kinds = vec![Kind::Insert; batch.num_rows()];
                let event = Event::Rows(batch, kinds.clone(), vec![0; kinds.len()], at.clone());
                let (sender, waker) = (sender.clone(), waker.clone());
                Box::pin(async move {
                    let taken = sender.send(event).await.is_ok();
                    waker.wake();
                    taken
                })
            });
            let read = watched.read(
                &plan.database,
                &mut connection,
                &facts,
                behind.as_deref(),
                plan.batch_rows,
                take,
            );
            read.await.map_err(fault)?;
            position.reading = false;
            position.forget();
            self.send(Event::Reached(position.clone())).await;
        }
        drop(connection.disconnect().await);
        Ok((position, facts))
    }

    /// The moment of a first snapshot. Without a log there is none to go on from.
    async fn moment(&self, connection: &mut Conn) -> Result<Place> {
        let moment = self.plan.watched.moment(&self.plan.database, connection).await;
        match moment {
            Err(_) if self.plan.options.startup == Startup::Snapshot => {
                let begun = connection.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await;
                begun.map_err(|e| self.error(self.plan.database.stream_fault(&e)))?;
                Ok(Place { file: String::new(), pos: 0 })
            }
            other => other.map_err(|fault| self.error(fault)),
        }
    }

    /// What a refusal of the server means here.
    fn explained(&self, fault: Fault) -> Error {
        let says = |part: &str| fault.message.contains(part);
        if says("Could not find first log file") || says("purged") || says("impossible position") {
            return Error::io(format!(
                "table '{}': the server has not all changes any more: {}",
                self.plan.name, fault.message
            ))
            .with_hint(format!("{FRESH}; binlog_expire_logs_seconds lets the server keep its log longer"))
            .lasting();
        }
        if says("same server") {
            return self.error(fault).with_hint("give each table and each job a 'server-id' of its own");
        }
        if says("error 1227") || says("REPLICATION SLAVE") {
            return self
                .error(fault)
                .with_hint("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the user");
        }
        self.error(fault)
    }

    /// The stream, over as many connections as it takes.
    async fn stream(&self, (mut position, mut facts): (Position, Facts)) -> Result<()> {
        let mut pending = Pending {
            rows: Rows::new(&self.plan.watched.columns),
            kinds: Vec::new(),
            times: Vec::new(),
            told: position.place.clone(),
        };
        let mut failed = 0;
        loop {
            let streamed = self.connected(&mut position, &mut facts, &mut pending, &mut failed).await;
            if let Err(Stopped::Error(e)) = streamed {
                // It may have stopped in the middle of a row.
                return Err(e);
            }
            // What was read before the line broke counts.
            if !self.flush(&mut pending, &position).await? {
                return Ok(());
            }
            match streamed {
                Ok(()) => return Ok(()),
                Err(Stopped::Fault(fault))
                    if matches!(fault.kind, FaultKind::Connect | FaultKind::Limit)
                        && failed < self.plan.options.retries =>
                {
                    log::warn!("table '{}': {}; it connects again", self.plan.name, fault.message);
                    tokio::select! {
                        () = sleep(pause(failed)) => failed += 1,
                        () = self.sender.closed() => return Ok(()),
                    }
                }
                Err(Stopped::Fault(fault)) => return Err(self.explained(fault)),
                Err(Stopped::Error(e)) => return Err(e),
            }
        }
    }

    /// The stream of one connection, until it breaks or the reader is gone.
    async fn connected(
        &self,
        position: &mut Position,
        facts: &mut Facts,
        pending: &mut Pending,
        failed: &mut u32,
    ) -> Result<(), Stopped> {
        let plan = &self.plan;
        let mut stream = plan.database.stream(&position.place, self.server, plan.options.heartbeat).await?;
        let silence = SILENCE.max(plan.options.heartbeat * 3);
        let mut transaction = Transaction {
            file: position.place.file.clone(),
            before: position.changes,
            ..Transaction::default()
        };
        loop {
            let event = match stream.next().now_or_never() {
                Some(event) => event,
                None => {
                    if !self.flush(pending, position).await? {
                        return Ok(());
                    }
                    tokio::select! {
                        biased;
                        () = self.sender.closed() => {
                            drop(stream.close().await);
                            return Ok(());
                        }
                        event = timeout(silence, stream.next()) => event.map_err(|_| {
                            Fault::new(FaultKind::Connect, format!("the server was silent for {} s", silence.as_secs()))
                        })?,
                    }
                }
            };
            let Some(event) = event else {
                return Err(Fault::new(FaultKind::Connect, "the server ended the stream").into());
            };
            let event = event.map_err(|e| plan.database.stream_fault(&e))?;
            *failed = 0;
            if self.logged(&event, &stream, position, facts, &mut transaction, pending)? {
                // The table was altered: what it is now.
                let mut connection = plan.database.client().await?;
                *facts = plan.watched.facts(&mut connection).await?;
                drop(connection.disconnect().await);
            }
            if pending.kinds.len() >= plan.batch_rows && !self.flush(pending, position).await? {
                return Ok(());
            }
        }
    }

    /// One event; true when the table was altered.
    fn logged(
        &self,
        event: &Logged,
        stream: &BinlogStream,
        position: &mut Position,
        facts: &Facts,
        transaction: &mut Transaction,
        pending: &mut Pending,
    ) -> Result<bool, Stopped> {
        let header = event.header();
        let at = Place { file: transaction.file.clone(), pos: header.log_pos().into() };
        let unread = |e: std::io::Error| self.wrong(format!("an event at {at} cannot be read: {e}"));
        let data = match event.read_data() {
            Ok(Some(data)) => data,
            // Of a kind that the library does not know: none of those has rows.
            Ok(None) => return Ok(false),
            Err(e) => return Err(unread(e).into()),
        };
        match data {
            EventData::RotateEvent(rotate) => {
                let name = rotate.name();
                // The first event of a stream names the file that was asked for; it comes before it is known that events
                // end with a checksum, which would be part of the name.
                if header.log_pos() != 0 || !name.starts_with(&transaction.file) {
                    transaction.file = name.into_owned();
                }
                if !transaction.open && position.changes == 0 {
                    position.place = Place { file: transaction.file.clone(), pos: rotate.position() };
                }
            }
            EventData::QueryEvent(query) => {
                let text = query.query().trim().to_string();
                let first = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
                match first.as_str() {
                    "BEGIN" => transaction.begin(),
                    "COMMIT" => transaction.end(position, at),
                    "ROLLBACK" if !text.to_ascii_uppercase().contains(" TO ") => {
                        transaction.end(position, at)
                    }
                    "SAVEPOINT" | "ROLLBACK" | "RELEASE" => {}
                    _ => {
                        let altered = self.statement(&first, &text, &query.schema(), facts)?;
                        if !transaction.open {
                            transaction.end(position, at);
                        }
                        return Ok(altered);
                    }
                }
            }
            EventData::XidEvent(_) => transaction.end(position, at),
            EventData::RowsEvent(rows) => {
                if let Some(map) = stream.get_tme(rows.table_id()).filter(|map| facts.is(map)) {
                    let images = Images::new(facts, map, &rows).map_err(|what| self.altered(what))?;
                    let millis = i64::from(header.timestamp()) * 1000;
                    self.rows(images, &at, millis, position, facts, transaction, pending)?;
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// A statement that is logged as such; true when it alters the table.
    fn statement(&self, first: &str, text: &str, schema: &str, facts: &Facts) -> Result<bool, Error> {
        let lower = text.to_ascii_lowercase();
        let named = |name: &str| {
            lower
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .any(|word| word == name.to_ascii_lowercase())
        };
        let database = &self.plan.watched.database;
        if !named(facts.table()) || !(schema.eq_ignore_ascii_case(database) || named(database)) {
            return Ok(false);
        }
        let name = self.plan.watched.name();
        match first {
            "TRUNCATE" => Err(self
                .wrong(format!("{name} was truncated: which rows it had is not in the server's log"))
                .with_hint("run with --fresh to begin anew; DELETE instead of TRUNCATE can be followed")),
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" => Err(self
                .wrong(format!("{name} was changed by a statement that is logged as such, not by its rows"))
                .with_hint(format!("no session may set binlog_format to STATEMENT or MIXED; {FRESH}"))),
            "ALTER" | "RENAME" | "DROP" | "CREATE" => {
                log::warn!("table '{}': {name} was altered: {text}", self.plan.name);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> Error {
        Error::execution(what.into()).context(format!("table '{}'", self.plan.name))
    }

    fn altered(&self, what: String) -> Error {
        Error::plan(what)
            .context(format!("table '{}'", self.plan.name))
            .with_hint("change the declaration of the table, or run with --fresh to begin anew")
    }

    /// The rows of an event.
    #[expect(clippy::too_many_arguments, reason = "an event and all that it changes")]
    fn rows(
        &self,
        mut images: Images<'_>,
        at: &Place,
        millis: i64,
        position: &mut Position,
        facts: &Facts,
        transaction: &mut Transaction,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let wrong = |what: String| self.wrong(format!("{what} (at {at} of the log)"));
        let whole = position.has(at);
        while let Some((before, after)) = images.next().map_err(wrong)? {
            transaction.changes += 1;
            if transaction.changes <= transaction.before {
                continue;
            }
            position.changes = transaction.changes;
            let unseen = |values: Option<Values>| -> Result<Option<Values>, Error> {
                let Some(values) = values else { return Ok(None) };
                let seen = match (whole, &values.key) {
                    (Some(seen), _) => seen,
                    (None, Some(key)) => position.has_key(at, key),
                    (None, None) => return Err(wrong("a row without its key".into())),
                };
                Ok((!seen).then_some(values))
            };
            let (before, after) = (unseen(before)?, unseen(after)?);
            let mut push = |kind, values: &Values| -> Result<(), Error> {
                pending.kinds.push(kind);
                pending.times.push(millis);
                facts.push(&self.plan.watched.columns, values, &mut pending.rows).map_err(wrong)
            };
            match (before, after) {
                (None, None) => {}
                (None, Some(new)) => push(Kind::Insert, &new)?,
                (Some(old), None) => push(Kind::Delete, &old)?,
                (Some(old), Some(new)) => {
                    let moved = self.plan.key.iter().any(|at| old.cells.get(*at) != new.cells.get(*at));
                    push(if moved { Kind::Delete } else { Kind::UpdateBefore }, &old)?;
                    push(if moved { Kind::Insert } else { Kind::UpdateAfter }, &new)?;
                }
            }
        }
        Ok(())
    }

    /// Passes on what has come; false when the reader is gone.
    async fn flush(&self, pending: &mut Pending, position: &Position) -> Result<bool, Error> {
        if pending.kinds.is_empty() {
            if pending.told == position.place {
                return Ok(!self.sender.is_closed());
            }
            pending.told = position.place.clone();
            return Ok(self.send(Event::Reached(position.clone())).await);
        }
        let columns = &self.plan.watched.columns;
        let rows = std::mem::replace(&mut pending.rows, Rows::new(columns));
        let batch = rows.finish(columns).map_err(|what| self.wrong(what))?;
        let (kinds, times) = (std::mem::take(&mut pending.kinds), std::mem::take(&mut pending.times));
        pending.told = position.place.clone();
        Ok(self.send(Event::Rows(batch, kinds, times, position.clone())).await)
    }
}

impl Transaction {
    fn begin(&mut self) {
        self.open = true;
        self.changes = 0;
    }

    fn end(&mut self, position: &mut Position, at: Place) {
        (self.open, self.changes, self.before) = (false, 0, 0);
        position.place = at;
        position.changes = 0;
        position.forget();
    }
}

/// Why a stream stopped.
enum Stopped {
    /// The server or the line.
    Fault(Fault),
    /// What it brought.
    Error(Error),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// How long to wait after so many failures.
fn pause(failed: u32) -> Duration {
    Duration::from_secs(1 << failed.min(5))
}
