//! What waits: asks the database, reads the snapshot, and makes batches of what the stream brings.
//!
//! Rows become a batch when nothing more is there at once. A connection that breaks is made again, and the stream goes on
//! where it was.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt};
use mysql_async::binlog::events::Event as Logged;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, Conn};
use rand::Rng;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::event::{Meaning, meaning, parts, rows_of};
use super::options::{CdcOptions, Startup};
use super::pending::Pending;
use super::position::{Doubt, Part, Position};
use super::statement::Effect;
use crate::database::mysql::MySql;
use crate::database::mysql::binlog::{Facts, Images, Place, Values, Watched};
use crate::database::{Fault, FaultKind};
use crate::error::{Error, Result};
use crate::flow::{Kind, Waker};
use crate::lookup::BoxFuture;

/// Silence after which a line is taken for dead.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes of a transaction's rows that are held until its end.
const HELD: usize = 64 << 20;
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

/// Where in a transaction the stream is.
#[derive(Debug, Default)]
struct Transaction {
    file: String,
    open: bool,
    /// Changes of it so far, and how many of them were read before.
    changes: u64,
    before: u64,
    /// It is known that it was committed: its rows need not be held.
    sure: bool,
    /// How many rows there were at each savepoint.
    savepoints: Vec<(String, usize)>,
}

/// What is to be asked behind an event.
enum Next {
    Go,
    /// What the table looks like behind this place.
    Ask(Place),
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
        let mut facts = watched.facts(&mut connection).await.map_err(fault)?;
        let server = plan.database.server(&mut connection).await.map_err(fault)?;
        if plan.options.startup != Startup::Snapshot {
            watched.check_log(&mut connection).await.map_err(fault)?;
        }
        if plan.options.startup == Startup::Initial {
            watched.check_engine(&mut connection).await.map_err(fault)?;
        }
        if self.restored.is_none() && matches!(plan.options.startup, Startup::Initial | Startup::Latest) {
            watched.check_prepared(&mut connection).await.map_err(fault)?;
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
                let untouched = matches!(plan.options.startup, Startup::Earliest | Startup::At(_));
                let position = Position {
                    server,
                    place,
                    changes: 0,
                    parts: Vec::new(),
                    reading,
                    columns: None,
                    doubt: None,
                    untouched,
                };
                (position, moment)
            }
        };
        let altered = |what: String| self.altered(what).with_hint(FRESH);
        if moment.is_some() {
            // Its columns within the transaction that reads it: no ALTER can follow until that ends.
            watched.hold(&mut connection).await.map_err(fault)?;
            facts = watched.facts(&mut connection).await.map_err(fault)?;
            let now = facts.shape();
            if position.columns.as_ref().is_some_and(|then| *then != now) {
                return Err(altered(format!("{} was altered while its rows were read", watched.name())));
            }
            position.columns = Some(now);
        } else if let Some(then) = &position.columns {
            facts = facts.past(then, &watched.columns).map_err(altered)?;
        } else {
            facts = watched.facts(&mut connection).await.map_err(fault)?;
            let until = watched.end(&mut connection).await.map_err(fault)?;
            position.columns = Some(facts.shape());
            position.doubt = Some(Doubt { from: position.place.clone(), until });
        }
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
        let mut pending = Pending::new(&self.plan.watched.columns);
        let mut told = position.place.clone();
        let mut failed = 0;
        loop {
            let streamed =
                self.connected(&mut position, &mut facts, &mut pending, &mut told, &mut failed).await;
            if let Err(Stopped::Error(e)) = streamed {
                // It may have stopped in the middle of a row.
                return Err(e);
            }
            // What was read before the line broke counts, but for a transaction whose end is not known.
            if let Some(count) = pending.mark.take() {
                pending.cut(count, &position).map_err(|what| self.wrong(what))?;
                pending.ends_at(&position);
            }
            if !self.flush(&mut pending, &position, &mut told).await? {
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
        told: &mut Place,
        failed: &mut u32,
    ) -> Result<(), Stopped> {
        let plan = &self.plan;
        let mut stream = plan.database.stream(&position.place, self.server, plan.options.heartbeat).await?;
        let silence = SILENCE.max(plan.options.heartbeat * 3);
        let mut transaction = Transaction {
            file: position.place.file.clone(),
            before: position.changes,
            // Parts of one are passed on only of those that were committed.
            sure: position.changes > 0,
            ..Transaction::default()
        };
        loop {
            let event = match stream.next().now_or_never() {
                Some(event) => event,
                None => {
                    if pending.mark.is_none() && !self.flush(pending, position, told).await? {
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
            let ours =
                rows_of(&event).and_then(|table| stream.get_tme(table)).is_some_and(|map| facts.is(map));
            if ours && position.doubt.is_some() {
                self.settle(position, facts).await?;
            }
            if let Next::Ask(from) =
                self.logged(&event, &stream, position, facts, &mut transaction, pending)?
            {
                // The table was altered: what it is now.
                let mut connection = plan.database.client().await?;
                *facts = plan.watched.facts(&mut connection).await?;
                let until = plan.watched.end(&mut connection).await?;
                position.columns = Some(facts.shape());
                position.doubt = Some(Doubt { from, until });
                drop(connection.disconnect().await);
            }
            if pending.mark.is_some() && pending.kinds.len() >= plan.batch_rows {
                let within = Position { changes: transaction.changes, ..position.clone() };
                pending.seal(&within).map_err(|what| self.wrong(what))?;
            }
            if pending.mark.is_some() && pending.bytes > HELD {
                // Too much to hold: whether it was committed stands in the log.
                if self.ahead(&position.place, None, facts).await? {
                    return Err(self
                        .wrong(format!(
                            "a transaction after {} with more than {} MB of rows was rolled back in whole or in part",
                            position.place,
                            HELD >> 20
                        ))
                        .with_hint(FRESH)
                        .lasting()
                        .into());
                }
                transaction.sure = true;
                pending.mark = None;
                position.changes = transaction.changes;
            }
            let many = pending.mark.is_none() && pending.count() >= plan.batch_rows;
            if many && !self.flush(pending, position, told).await? {
                return Ok(());
            }
        }
    }

    /// Whether what the server has said of the table holds for the rows that come.
    async fn settle(&self, position: &mut Position, facts: &Facts) -> Result<(), Stopped> {
        let Some(doubt) = position.doubt.take() else { return Ok(()) };
        if position.place < doubt.until && self.ahead(&position.place, Some(&doubt), facts).await? {
            position.doubt = Some(doubt);
            return Err(self
                .altered(format!(
                    "{} was altered again before the changes at {} were read: what its columns were then is not known",
                    self.plan.watched.name(),
                    position.place
                ))
                .with_hint(FRESH)
                .lasting()
                .into());
        }
        Ok(())
    }

    /// Looks through the log in front of the stream. With a doubt: whether the table was altered up to its end. Without:
    /// whether anything of the transaction that comes was rolled back.
    async fn ahead(&self, from: &Place, doubt: Option<&Doubt>, facts: &Facts) -> Result<bool, Stopped> {
        let database = &self.plan.database;
        let number = rand::rng().random_range(2_000_000_000..3_000_000_000);
        let mut stream = database.stream(from, number, Duration::from_secs(1)).await?;
        let (mut file, mut begun) = (from.file.clone(), false);
        let found = loop {
            let event = timeout(SILENCE, stream.next()).await.ok().flatten();
            let Some(event) = event else {
                return Err(Fault::new(FaultKind::Connect, "the server ended the stream").into());
            };
            let event = event.map_err(|e| database.stream_fault(&e))?;
            let at = Place { file: file.clone(), pos: event.header().log_pos().into() };
            let read = meaning(&event, facts)
                .map_err(|what| self.wrong(format!("an event at {at} cannot be read: {what}")))?;
            match (read, doubt) {
                (Meaning::Rotate(name, _), _) => rotated(&mut file, &event, name),
                (
                    Meaning::Statement(Effect::Altered | Effect::Replaced | Effect::Truncated, _),
                    Some(doubt),
                ) if at > doubt.from => break true,
                (Meaning::Statement(Effect::Begin, _), None) => begun = true,
                (Meaning::Statement(Effect::Rollback | Effect::RollbackTo(_), _), None) if begun => {
                    break true;
                }
                (Meaning::Statement(Effect::Commit | Effect::Decided, _) | Meaning::Prepared, None)
                    if begun =>
                {
                    break false;
                }
                _ => {}
            }
            if doubt.is_some_and(|doubt| at.pos > 0 && at.file == file && at >= doubt.until) {
                break false;
            }
        };
        drop(stream.close().await);
        Ok(found)
    }

    /// One event.
    fn logged(
        &self,
        event: &Logged,
        stream: &BinlogStream,
        position: &mut Position,
        facts: &Facts,
        transaction: &mut Transaction,
        pending: &mut Pending,
    ) -> Result<Next, Stopped> {
        let header = event.header();
        let at = Place { file: transaction.file.clone(), pos: header.log_pos().into() };
        let unread = |what: String| self.wrong(format!("an event at {at} cannot be read: {what}"));
        // Places have 32 bits in the log.
        if at.pos > 0 && at.file == position.place.file && position.place.pos > at.pos.saturating_add(3 << 30)
        {
            return Err(unread("a file of the log is larger than 4 GB".into()).with_hint(FRESH).into());
        }
        let held = |what: String| self.wrong(what);
        match meaning(event, facts).map_err(unread)? {
            Meaning::Nothing => {}
            Meaning::Rotate(name, pos) => {
                rotated(&mut transaction.file, event, name);
                if !transaction.open && position.changes == 0 {
                    position.place = Place { file: transaction.file.clone(), pos };
                }
            }
            Meaning::Statement(effect, text) => match effect {
                Effect::Begin => {
                    transaction.begin();
                    pending.mark = (!transaction.sure).then(|| pending.count());
                }
                Effect::Commit | Effect::Decided => {
                    transaction.end(position, at);
                    pending.mark = None;
                }
                Effect::Rollback => {
                    if transaction.before > 0 || (transaction.sure && transaction.changes > 0) {
                        return Err(self
                            .wrong(format!(
                                "a transaction of which rows were passed on was rolled back at {at}"
                            ))
                            .with_hint(FRESH)
                            .into());
                    }
                    if let Some(count) = pending.mark.take() {
                        pending.cut(count, position).map_err(held)?;
                    }
                    transaction.end(position, at);
                    pending.ends_at(position);
                }
                Effect::Savepoint(name) => {
                    transaction.savepoints.retain(|(known, _)| *known != name);
                    transaction.savepoints.push((name, pending.count()));
                }
                Effect::RollbackTo(name) => {
                    let known = transaction.savepoints.iter().position(|(known, _)| *known == name);
                    match known {
                        Some(known) => {
                            let count = transaction.savepoints[known].1;
                            transaction.savepoints.truncate(known + 1);
                            if count < pending.count() {
                                let within = Position { changes: transaction.changes, ..position.clone() };
                                pending.cut(count, &within).map_err(held)?;
                            }
                        }
                        None if transaction.changes == 0 => {}
                        None => {
                            let what = format!("ROLLBACK TO {name} at {at}, and no such SAVEPOINT before it");
                            return Err(self.wrong(what).with_hint(FRESH).into());
                        }
                    }
                }
                Effect::Nothing => {
                    if !transaction.open {
                        transaction.end(position, at);
                    }
                }
                effect => {
                    self.concerns(&effect, &text, position)?;
                    if !transaction.open {
                        transaction.end(position, at.clone());
                    }
                    return Ok(Next::Ask(at));
                }
            },
            Meaning::Prepared => {
                if transaction.changes > 0 {
                    return Err(self
                        .wrong(format!(
                            "{} was changed by an XA transaction, which is prepared at {at} and may still be rolled back: its rows are not read",
                            self.plan.watched.name()
                        ))
                        .with_hint(format!("XA RECOVER shows it; when it is decided, {FRESH}"))
                        .lasting()
                        .into());
                }
                transaction.end(position, at);
                pending.mark = None;
            }
            Meaning::Rows(table) => {
                if let Some(map) = stream.get_tme(table).filter(|map| facts.is(map)) {
                    let parts = parts(event).map_err(unread)?;
                    let images = Images::new(facts, map, &parts).map_err(|what| self.altered(what))?;
                    let millis = i64::from(header.timestamp()) * 1000;
                    position.untouched = false;
                    self.rows(images, &at, millis, position, facts, transaction, pending)?;
                }
            }
            Meaning::Unread(what) => {
                return Err(self.wrong(format!("an event at {at} {what}")).with_hint(FRESH).lasting().into());
            }
        }
        Ok(Next::Go)
    }

    /// A statement that concerns the table.
    fn concerns(&self, effect: &Effect, text: &str, position: &Position) -> Result<(), Error> {
        let name = self.plan.watched.name();
        // Nothing of it was passed on: what it loses was never there.
        let harmless = position.untouched && matches!(effect, Effect::Truncated | Effect::Replaced);
        match effect {
            _ if harmless => Ok(()),
            Effect::Truncated => Err(self
                .wrong(format!("{name} was truncated: which rows it had is not in the server's log"))
                .with_hint("run with --fresh to begin anew; DELETE instead of TRUNCATE can be followed")
                .lasting()),
            Effect::Replaced => Err(self
                .wrong(format!("rows of {name} went or came by a statement that does not log them: {text}"))
                .with_hint(FRESH)
                .lasting()),
            Effect::Written => Err(self
                .wrong(format!("{name} was changed by a statement that is logged as such, not by its rows"))
                .with_hint(format!("no session may set binlog_format to STATEMENT or MIXED; {FRESH}"))),
            _ => {
                log::warn!("table '{}': {name} was altered: {text}", self.plan.name);
                Ok(())
            }
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
            if transaction.sure || !transaction.open {
                position.changes = transaction.changes;
            }
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
    async fn flush(
        &self,
        pending: &mut Pending,
        position: &Position,
        told: &mut Place,
    ) -> Result<bool, Error> {
        for piece in pending.take(position).map_err(|what| self.wrong(what))? {
            *told = piece.position.place.clone();
            if !self.send(Event::Rows(piece.batch, piece.kinds, piece.times, piece.position)).await {
                return Ok(false);
            }
        }
        if *told == position.place {
            return Ok(!self.sender.is_closed());
        }
        *told = position.place.clone();
        Ok(self.send(Event::Reached(position.clone())).await)
    }
}

/// The log goes on in another file. The first event of a stream names the file that was asked for; it comes before it is
/// known that events end with a checksum, which would be part of the name.
fn rotated(file: &mut String, event: &Logged, name: String) {
    if event.header().log_pos() != 0 || !name.starts_with(file.as_str()) {
        *file = name;
    }
}

impl Transaction {
    fn begin(&mut self) {
        self.open = true;
        self.changes = 0;
        self.savepoints.clear();
    }

    fn end(&mut self, position: &mut Position, at: Place) {
        (self.open, self.changes, self.before, self.sure) = (false, 0, 0, false);
        self.savepoints.clear();
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
