//! What waits: asks the database, reads the snapshot, and hands on what the stream brings.
//!
//! A connection that breaks is made again, and the stream goes on behind the last whole transaction that the reader has;
//! what comes twice the reader leaves out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::Client;

use super::options::{CdcOptions, Startup};
use super::position::Position;
use crate::database::postgres::Postgres;
use crate::database::postgres::cdc::{Facts, Moment, NewSlot, Slot, Watched};
use crate::database::postgres::replication::{Lsn, Replication};
use crate::database::{Fault, FaultKind};
use crate::error::{Error, Result};
use crate::flow::Waker;
use crate::lookup::BoxFuture;

/// How long to wait for a slot in use: a connection of ours that broke may still hold it.
const IN_USE: Duration = Duration::from_secs(30);
/// Silence after which a line is taken for dead.
const SILENCE: Duration = Duration::from_secs(120);
pub(super) const FRESH: &str = "run with --fresh to begin anew with the rows that the table has now";

/// What was planned.
pub(super) struct Plan {
    /// Its name here.
    pub(super) name: String,
    pub(super) options: CdcOptions,
    pub(super) database: Arc<Postgres>,
    pub(super) watched: Watched,
    pub(super) batch_rows: usize,
}

impl Plan {
    pub(super) fn error(&self, fault: Fault) -> Error {
        Error::from(self.database.at(fault)).context(format!("table '{}'", self.name))
    }
}

/// How far things are, for both sides.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// What the server need not keep any more.
    durable: AtomicU64,
    /// Behind the last whole transaction that was read.
    reached: AtomicU64,
    changed: Notify,
}

impl Link {
    pub(super) fn confirm(&self, lsn: Lsn) {
        if self.durable.fetch_max(lsn.0, Ordering::AcqRel) < lsn.0 {
            self.changed.notify_one();
        }
    }

    pub(super) fn reach(&self, lsn: Lsn) {
        self.reached.store(lsn.0, Ordering::Release);
    }

    fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }
}

/// What the reader gets.
pub(super) enum Event {
    /// It is known what the table is, and from where it is read. The moment: that of the snapshot that follows.
    Opened(Box<(Facts, Position, Option<Moment>)>),
    /// Rows of the snapshot, and the key of the last one.
    Rows(RecordBatch, Option<Vec<String>>),
    /// The snapshot is complete.
    Complete,
    /// Messages of the stream.
    Stream(Bytes),
    Failed(Error),
}

/// Runs until the reader is gone.
pub(super) async fn run(
    plan: Arc<Plan>,
    restored: Option<Position>,
    link: Arc<Link>,
    sender: Sender<Event>,
    waker: Waker,
) {
    let pump = Pump { plan, restored, link, sender, waker: waker.clone() };
    if let Err(e) = pump.work().await {
        pump.send(Event::Failed(e)).await;
    }
    drop(pump);
    waker.wake();
}

struct Pump {
    plan: Arc<Plan>,
    restored: Option<Position>,
    link: Arc<Link>,
    sender: Sender<Event>,
    waker: Waker,
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
        let facts = tokio::select! {
            biased;
            begun = self.begin() => begun?,
            () = self.sender.closed() => return Ok(()),
        };
        match self.plan.options.startup {
            Startup::Snapshot => Ok(()),
            _ => self.stream(&facts).await,
        }
    }

    /// Tries again what fails for want of a connection.
    async fn patiently<'a, T>(&'a self, attempt: impl Fn() -> Attempt<'a, T>) -> Result<T> {
        let mut failed = 0;
        loop {
            match attempt().await {
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
    async fn begin(&self) -> Result<Facts> {
        let (plan, watched) = (&self.plan, &self.plan.watched);
        let fault = |fault| self.error(fault);
        let client = self.patiently(|| Box::pin(plan.database.client())).await?;
        let facts = watched.facts(&client).await.map_err(fault)?;
        let (position, replication, made) = if plan.options.startup == Startup::Snapshot {
            let anew = Position {
                system: String::new(),
                lsn: Lsn::default(),
                commit: Lsn::default(),
                changes: 0,
                parts: Vec::new(),
                reading: true,
                table: None,
                partitions: BTreeSet::new(),
            };
            (self.restored.clone().unwrap_or(anew), None, None)
        } else {
            watched.check_log(&client, &facts).await.map_err(fault)?;
            watched.publish(&client, &facts, &plan.options.publication).await.map_err(fault)?;
            let mut replication = self.patiently(|| Box::pin(plan.database.replication())).await?;
            let (position, made) = self.place(&client, &mut replication).await?;
            (position, Some(replication), made)
        };
        let mut position = position;
        if position.table.is_some_and(|then| then != facts.oid()) {
            return Err(
                self.gone(format!("{} was dropped and created anew since the checkpoint", watched.name()))
            );
        }
        if !position.partitions.is_subset(&facts.partitions) {
            return Err(self.gone(format!(
                "a partition of {} was dropped or detached since the checkpoint; which rows it had is not in the server's log",
                watched.name()
            )));
        }
        position.table = Some(facts.oid());
        position.partitions.clone_from(&facts.partitions);
        let behind = position.last_key().map(<[String]>::to_vec);
        if behind.as_ref().is_some_and(|key| key.len() != facts.order.len()) {
            return Err(Error::plan(format!(
                "table '{}': the primary key of {} is another one than when its rows began to be read",
                plan.name,
                watched.name()
            ))
            .with_hint(FRESH));
        }
        self.link.reach(position.lsn);
        let reading = position.reading;
        let moment = match reading {
            true => Some(watched.moment(&client, made.as_ref()).await.map_err(fault)?),
            false => None,
        };
        if let Some(replication) = replication {
            replication.end(false).await;
        }
        self.send(Event::Opened(Box::new((facts.clone(), position, moment)))).await;
        if reading {
            let (sender, waker) = (self.sender.clone(), self.waker.clone());
            let take = Box::new(move |batch, key| -> BoxFuture<bool> {
                let (sender, waker) = (sender.clone(), waker.clone());
                Box::pin(async move {
                    let taken = sender.send(Event::Rows(batch, key)).await.is_ok();
                    waker.wake();
                    taken
                })
            });
            watched.read(&client, &facts, behind.as_deref(), plan.batch_rows, take).await.map_err(fault)?;
            self.send(Event::Complete).await;
        }
        Ok(facts)
    }

    fn gone(&self, what: String) -> Error {
        Error::io(format!("table '{}': {what}", self.plan.name)).with_hint(FRESH).lasting()
    }

    /// Where to begin, and the slot if it had to be made.
    async fn place(
        &self,
        client: &Client,
        replication: &mut Replication,
    ) -> Result<(Position, Option<NewSlot>)> {
        let (options, watched) = (&self.plan.options, &self.plan.watched);
        let fault = |fault| self.error(fault);
        let system = replication.system().await.map_err(fault)?;
        let slot = watched.slot(client, &options.slot).await.map_err(fault)?;
        if let Some(why) = slot.as_ref().and_then(|slot| slot.lost.as_ref()) {
            return Err(self.given_up(why));
        }
        if let Some(position) = &self.restored {
            let end = watched.end(client).await.map_err(fault)?;
            return self.resumed(position, &system, slot, end).map(|position| (position, None));
        }
        let (lsn, made) = match (options.startup, slot) {
            (Startup::Committed, None) => {
                return Err(Error::io(format!(
                    "table '{}': there is no replication slot '{}'",
                    self.plan.name, options.slot
                ))
                .with_hint(format!(
                    "SELECT pg_create_logical_replication_slot('{}', 'pgoutput') makes it; or 'scan.startup.mode' = 'initial'",
                    options.slot
                ))
                .lasting());
            }
            (Startup::Latest, Some(_)) => (watched.end(client).await.map_err(fault)?, None),
            (_, Some(slot)) => (slot.confirmed, None),
            (_, None) => {
                let slot = self.make(replication).await?;
                (slot.from, Some(slot))
            }
        };
        let reading = options.startup == Startup::Initial;
        let position = Position {
            system,
            lsn,
            commit: Lsn::default(),
            changes: 0,
            parts: Vec::new(),
            reading,
            table: None,
            partitions: BTreeSet::new(),
        };
        Ok((position, made))
    }

    async fn make(&self, replication: &mut Replication) -> Result<NewSlot> {
        let slot = &self.plan.options.slot;
        let making = replication.make_slot(slot);
        tokio::pin!(making);
        let made = match timeout(Duration::from_secs(10), &mut making).await {
            Ok(made) => made,
            Err(_) => {
                log::warn!(
                    "table '{}': slot '{slot}' waits for the end of transactions that were open before it (SELECT * FROM pg_stat_activity shows them)",
                    self.plan.name
                );
                making.await
            }
        };
        let made = made.map_err(|fault| self.explained(fault))?;
        log::info!("table '{}': replication slot '{slot}' was made at {}", self.plan.name, made.from);
        Ok(made)
    }

    /// Whether the slot still has what follows a checkpoint.
    fn resumed(&self, position: &Position, system: &str, slot: Option<Slot>, end: Lsn) -> Result<Position> {
        if position.system != system {
            return Err(Error::io(format!(
                "table '{}': the server is another one than that of the checkpoint",
                self.plan.name
            ))
            .with_detail(format!("its system identifier was {} and is {system}", position.system))
            .with_hint(FRESH)
            .lasting());
        }
        let Some(slot) = slot else { return Err(self.lost("it does not exist any more")) };
        if end < position.lsn {
            return Err(Error::io(format!(
                "table '{}': the server's log ends at {end}, before the {} of the checkpoint: the server was set back",
                self.plan.name, position.lsn
            ))
            .with_hint(FRESH)
            .lasting());
        }
        if slot.confirmed > position.lsn {
            return Err(self.lost(&format!(
                "another client has read on with it, from {} to {}",
                position.lsn, slot.confirmed
            )));
        }
        Ok(position.clone())
    }

    /// The server has given the slot up: only another one helps.
    fn given_up(&self, why: &str) -> Error {
        self.lost(&format!("the server has given it up ({why})")).with_hint(format!(
            "SELECT pg_drop_replication_slot('{}'); {FRESH}; the server's max_slot_wal_keep_size lets a slot keep more",
            self.plan.options.slot
        ))
    }

    fn lost(&self, why: &str) -> Error {
        Error::io(format!(
            "table '{}': replication slot '{}' has not all changes any more: {why}",
            self.plan.name, self.plan.options.slot
        ))
        .with_hint(FRESH)
        .lasting()
    }

    /// What a refusal of the server means here.
    fn explained(&self, fault: Fault) -> Error {
        let slot = &self.plan.options.slot;
        let says = |part: &str| fault.message.contains(part);
        if says("replication slot") && says("does not exist") {
            return self.lost("it does not exist any more");
        }
        if says("invalidated") || says("can no longer get changes") || says("requested WAL segment") {
            return self.given_up(&fault.message);
        }
        if says("publication") && says("does not exist") {
            return self.error(fault).lasting().with_hint(format!(
                "the slot has changes from before the publication was made: SELECT pg_drop_replication_slot('{slot}'); {FRESH}"
            ));
        }
        if says("is active for PID") {
            return self.error(fault).with_hint(format!(
                "another job reads with this slot: give each table and each job its own 'slot.name' (SELECT * FROM pg_replication_slots WHERE slot_name = '{slot}')"
            ));
        }
        if says("all replication slots are in use") || says("number of requested standby connections") {
            return self.error(fault).lasting().with_hint(
                "raise the server's max_replication_slots and max_wal_senders, or drop unused slots: SELECT * FROM pg_replication_slots WHERE NOT active",
            );
        }
        self.error(fault)
    }

    /// The stream, over as many connections as it takes.
    async fn stream(&self, facts: &Facts) -> Result<()> {
        let mut failed = 0;
        loop {
            match self.connected(facts, &mut failed).await {
                Ok(()) => return Ok(()),
                Err(fault)
                    if matches!(fault.kind, FaultKind::Connect | FaultKind::Limit)
                        && failed < self.plan.options.retries =>
                {
                    log::warn!("table '{}': {}; it connects again", self.plan.name, fault.message);
                    tokio::select! {
                        () = sleep(pause(failed)) => failed += 1,
                        () = self.sender.closed() => return Ok(()),
                    }
                }
                Err(fault) if fault.kind == FaultKind::Table => {
                    return Err(self.error(fault).with_hint(FRESH).lasting());
                }
                Err(fault) => return Err(self.explained(fault)),
            }
        }
    }

    /// Asks again and again whether the table is still the one whose changes come; ends when it is not.
    async fn watch(&self, facts: &Facts) -> Fault {
        let (mut client, mut facts): (Option<Client>, _) = (None, facts.clone());
        loop {
            sleep(self.plan.options.heartbeat).await;
            let connected = match client.take() {
                Some(client) => client,
                None => match self.plan.database.client().await {
                    Ok(client) => client,
                    // If the server is gone, the stream returns the error.
                    Err(_) => continue,
                },
            };
            let publication = &self.plan.options.publication.name;
            match self.plan.watched.still(&connected, &facts, publication).await {
                Ok(partitions) => {
                    if !partitions.is_subset(&facts.partitions) {
                        log::warn!(
                            "table '{}': {} has a new partition; rows that it had before it was attached are not read",
                            self.plan.name,
                            self.plan.watched.name()
                        );
                    }
                    facts.partitions = partitions;
                    client = Some(connected);
                }
                Err(fault) if fault.kind == FaultKind::Table => return fault,
                Err(_) => {}
            }
        }
    }

    /// The stream of one connection, until it breaks or the reader is gone.
    async fn connected(&self, facts: &Facts, failed: &mut u32) -> Result<(), Fault> {
        let options = &self.plan.options;
        let mut connection = self.plan.database.replication().await?;
        let since = Instant::now();
        loop {
            let from = Lsn(self.link.reached.load(Ordering::Acquire));
            match connection.start(&options.slot, from, &options.publication.name).await {
                Ok(()) => break,
                Err(fault) if fault.kind == FaultKind::Conflict && since.elapsed() < IN_USE => {
                    tokio::select! {
                        () = sleep(Duration::from_millis(300)) => {}
                        () = self.sender.closed() => return Ok(()),
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        // A server whose patience is shorter must hear of us, too.
        let mut ticks = interval(options.heartbeat.min(Duration::from_secs(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence = SILENCE.max(options.heartbeat * 3);
        let (mut waiting, mut heard): (Option<Bytes>, _) = (None, Instant::now());
        let watch = self.watch(facts);
        tokio::pin!(watch);
        loop {
            tokio::select! {
                biased;
                () = self.sender.closed() => {
                    // It is over: what cannot be told now will be told by who comes next.
                    drop(connection.confirm(self.link.durable(), false).await);
                    connection.end(true).await;
                    return Ok(());
                }
                _ = ticks.tick() => {
                    if waiting.is_none() && heard.elapsed() > silence {
                        let what = format!("the server was silent for {} s", heard.elapsed().as_secs());
                        return Err(Fault::new(FaultKind::Connect, what));
                    }
                    connection.confirm(self.link.durable(), true).await?;
                }
                () = self.link.changed.notified() => connection.confirm(self.link.durable(), false).await?,
                gone = &mut watch => return Err(gone),
                permit = self.sender.reserve(), if waiting.is_some() => {
                    if let (Ok(permit), Some(bytes)) = (permit, waiting.take()) {
                        permit.send(Event::Stream(bytes));
                        self.waker.wake();
                    }
                    heard = Instant::now();
                }
                filled = connection.fill(), if waiting.is_none() => {
                    filled?;
                    *failed = 0;
                    heard = Instant::now();
                }
            }
            if waiting.is_none() {
                let (arrived, asks) = connection.arrived()?;
                waiting = arrived;
                if asks {
                    connection.confirm(self.link.durable(), false).await?;
                }
            }
        }
    }
}

/// One attempt.
type Attempt<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// How long to wait after so many failures.
fn pause(failed: u32) -> Duration {
    Duration::from_secs(1 << failed.min(5))
}
