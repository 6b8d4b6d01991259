//! Decodes on the compute thread what the pump hands on.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::options::Startup;
use super::position::{Overlap, Part, Position};
use super::pump::{Event, FRESH, Link, Plan};
use super::source::SPLIT;
use crate::connector::cdc::Columns;
use crate::connector::{Positions, Read, Reader};
use crate::database::postgres::cdc::{Facts, KeyKind, Moment, Watched};
use crate::database::postgres::pgoutput::{Before, Cell, Logical, Relation, Tuples, logical};
use crate::database::postgres::replication::Lsn;
use crate::database::postgres::{Printed, Rows};
use crate::error::{Error, Result};
use crate::flow::{Kind, Kinds};

/// From 1970 to 2000.
const EPOCH_MILLIS: i64 = 946_684_800_000;

/// Where the wanted values are in the rows of the stream.
struct Layout {
    relation: u32,
    columns: Vec<(usize, Printed)>,
    /// The declared key.
    key: Vec<usize>,
    /// The key by which the snapshot is ordered.
    order: Vec<usize>,
}

/// What is known when the pump has asked.
struct Opened {
    facts: Facts,
    position: Position,
    /// The part of the snapshot that comes, until its first row is there.
    moment: Option<Moment>,
    overlap: Overlap,
    layout: Option<Layout>,
    /// New columns that were told of.
    told_columns: BTreeSet<String>,
    transaction: Option<Transaction>,
}

/// A transaction that is read.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    millis: i64,
    /// It was read before.
    known: bool,
    /// Changes of it so far, and how many of them were read before.
    changes: u64,
    before: u64,
}

/// Rows that wait to be a batch.
struct Pending {
    rows: Rows,
    kinds: Vec<Kind>,
    times: Vec<i64>,
}

pub(super) struct CdcReader {
    plan: Arc<Plan>,
    columns: Arc<Columns>,
    link: Arc<Link>,
    events: Receiver<Event>,
    opened: Option<Opened>,
    /// Messages, and how many bytes of them were read.
    chunk: Bytes,
    at: usize,
    tuples: Tuples,
    failure: Option<Error>,
    changed: bool,
    /// What the server hears of goes by checkpoints.
    checkpoints: bool,
    bytes: u64,
}

impl CdcReader {
    pub(super) fn new(
        plan: Arc<Plan>,
        columns: Arc<Columns>,
        link: Arc<Link>,
        events: Receiver<Event>,
        checkpoints: bool,
    ) -> Self {
        Self {
            plan,
            columns,
            link,
            events,
            opened: None,
            chunk: Bytes::new(),
            at: 0,
            tuples: Tuples::default(),
            failure: None,
            changed: false,
            checkpoints,
            bytes: 0,
        }
    }

    fn named(&self, e: Error) -> Error {
        e.context(format!("table '{}'", self.plan.name))
    }

    fn wrong(&self, what: impl Into<String>) -> Error {
        self.named(Error::execution(what.into()))
    }

    fn open(&mut self, (facts, position, moment): (Facts, Position, Option<Moment>)) -> Result<()> {
        let order: Vec<KeyKind> = facts.order.iter().map(|(_, kind)| *kind).collect();
        let overlap = match position.reading {
            true => Overlap::default(),
            false => Overlap::new(&position, order).map_err(|what| self.wrong(what))?,
        };
        self.changed = true;
        self.opened = Some(Opened {
            facts,
            position,
            moment,
            overlap,
            layout: None,
            told_columns: BTreeSet::new(),
            transaction: None,
        });
        Ok(())
    }

    /// Rows of the snapshot.
    fn snapshot(&mut self, batch: &RecordBatch, key: Option<Vec<String>>) -> Result<Read> {
        let Some(opened) = &mut self.opened else { return Err(Error::internal("rows before their table")) };
        if let Some(moment) = opened.moment.take() {
            opened.position.parts.push(Part { moment, to: None });
        }
        if let Some(part) = opened.position.parts.last_mut() {
            part.to = key;
        }
        self.changed = true;
        self.bytes += batch.get_array_memory_size() as u64;
        let (kinds, times) = (vec![Kind::Insert; batch.num_rows()], vec![0; batch.num_rows()]);
        let batch = self.columns.assemble(batch, &kinds, &times).map_err(|e| self.named(e))?;
        Ok(Read::Batch(batch))
    }

    fn complete(&mut self) -> Result<()> {
        let Some(opened) = &mut self.opened else { return Err(Error::internal("an end before its table")) };
        let position = &mut opened.position;
        match (opened.moment.take(), position.parts.last_mut()) {
            (Some(moment), _) => position.parts.push(Part { moment, to: None }),
            (None, Some(part)) => part.to = None,
            (None, None) => {}
        }
        position.reading = false;
        let order = opened.facts.order.iter().map(|(_, kind)| *kind).collect();
        let overlap = Overlap::new(position, order);
        position.forget();
        self.changed = true;
        match overlap {
            Ok(overlap) => opened.overlap = overlap,
            Err(what) => return Err(self.wrong(what)),
        }
        Ok(())
    }

    /// Reads messages until there are enough rows or no more messages.
    fn decode(&mut self, pending: &mut Option<Pending>) -> Result<()> {
        let Some(mut opened) = self.opened.take() else {
            return Err(Error::internal("changes before their table"));
        };
        let mut tuples = std::mem::take(&mut self.tuples);
        let chunk = self.chunk.clone();
        let mut decoded = Ok(());
        // An update has two rows. What a table looks like may change only between batches.
        let full = |pending: &Option<Pending>, message: Option<&u8>| {
            pending.as_ref().is_some_and(|p| {
                p.rows.count > 0 && (p.rows.count + 1 >= self.plan.batch_rows || message == Some(&b'R'))
            })
        };
        while decoded.is_ok() && !full(pending, chunk.get(self.at + 30)) {
            // Whole messages, each a tag and its length before what is in it.
            let Some(length) = chunk.get(self.at + 1..self.at + 5) else { break };
            let length = length.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
            let end = self.at + 1 + length;
            let Some(payload) = chunk.get(self.at + 5..end) else { break };
            self.at = end;
            decoded = self.message(payload, &mut opened, &mut tuples, pending);
        }
        if self.at >= chunk.len() {
            self.bytes += chunk.len() as u64;
            self.chunk = Bytes::new();
            self.at = 0;
        }
        self.tuples = tuples;
        self.opened = Some(opened);
        decoded
    }

    /// One message of the stream.
    fn message(
        &self,
        payload: &[u8],
        opened: &mut Opened,
        tuples: &mut Tuples,
        pending: &mut Option<Pending>,
    ) -> Result<()> {
        let place =
            |at: usize| payload.get(at..at + 8).and_then(|b| Some(u64::from_be_bytes(b.try_into().ok()?)));
        let message = match payload.first() {
            Some(b'w') => payload.get(25..).unwrap_or_default(),
            // Where the server is: all before it was sent.
            Some(b'k') if opened.transaction.is_none() => {
                let end = Lsn(place(1).unwrap_or_default());
                opened.position.lsn = opened.position.lsn.max(end);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let read = logical(message, tuples).map_err(|what| self.wrong(what))?;
        let relation = match read {
            Logical::Begin { commit, micros, xid } => {
                let position = &mut opened.position;
                let commit = Lsn(commit);
                let known = commit < position.lsn;
                if !known && position.commit != commit {
                    (position.commit, position.changes) = (commit, 0);
                }
                opened.overlap.begin(commit, xid);
                opened.transaction = Some(Transaction {
                    millis: micros.div_euclid(1000) + EPOCH_MILLIS,
                    known,
                    changes: 0,
                    before: position.changes,
                });
                return Ok(());
            }
            Logical::Commit { end } => {
                if opened.transaction.take().is_some_and(|transaction| transaction.known) {
                    return Ok(());
                }
                let position = &mut opened.position;
                position.lsn = position.lsn.max(Lsn(end));
                (position.commit, position.changes) = (Lsn::default(), 0);
                position.forget();
                if position.parts.is_empty() {
                    opened.overlap = Overlap::default();
                }
                return Ok(());
            }
            Logical::Relation(relation) => {
                let watched = &self.plan.watched;
                let named = relation.schema == watched.schema && relation.name == watched.table;
                let same = relation.id == opened.facts.oid();
                // What was read before, or is in the snapshot, may be of a table that was there before.
                let past = opened.transaction.is_some_and(|transaction| transaction.known)
                    || opened.overlap.whole() == Some(true);
                if named && same {
                    opened.layout = Some(self.layout(&relation, opened)?);
                } else if (named || same) && !past {
                    let what = match named {
                        true => format!("{} was dropped and created anew", watched.name()),
                        false => {
                            format!("{} was renamed to {}.{}", watched.name(), relation.schema, relation.name)
                        }
                    };
                    return Err(self.named(Error::execution(what)).with_hint(FRESH).lasting());
                }
                return Ok(());
            }
            Logical::Truncate(relations) => {
                let ours = opened.layout.as_ref().map_or(opened.facts.oid(), |layout| layout.relation);
                if !relations.contains(&ours) || !self.is_new(opened) {
                    return Ok(());
                }
                if opened.overlap.whole() == Some(true) {
                    return Ok(());
                }
                return Err(self
                    .named(Error::execution(format!(
                        "{} was truncated: which rows it had is not in the server's log",
                        self.plan.watched.name()
                    )))
                    .with_hint(
                        "run with --fresh to begin anew; DELETE instead of TRUNCATE can be followed",
                    ));
            }
            Logical::Other => return Ok(()),
            Logical::Insert(relation) | Logical::Update(relation, _) | Logical::Delete(relation, _) => {
                relation
            }
        };
        if opened.layout.as_ref().is_none_or(|layout| layout.relation != relation) || !self.is_new(opened) {
            return Ok(());
        }
        self.change(message, &read, opened, tuples, pending)
    }

    /// Counts a change; false where it was read before.
    fn is_new(&self, opened: &mut Opened) -> bool {
        let Some(transaction) = &mut opened.transaction else { return true };
        transaction.changes += 1;
        if transaction.known || transaction.changes <= transaction.before {
            return false;
        }
        opened.position.changes = transaction.changes;
        true
    }

    /// What a table looks like from here on.
    fn layout(&self, relation: &Relation, opened: &mut Opened) -> Result<Layout> {
        let watched = &self.plan.watched;
        let find = |name: &str| relation.columns.iter().position(|(column, _)| column == name);
        let mut columns = Vec::with_capacity(watched.columns.fields().len());
        for (i, field) in watched.columns.fields().iter().enumerate() {
            let Some(at) = find(field.name()) else {
                return Err(self
                    .named(Error::plan(format!(
                        "column '{}' of {} was dropped or renamed, or its publication leaves it out",
                        field.name(),
                        watched.name()
                    )))
                    .with_detail(format!(
                        "the changes that follow have: {}",
                        relation.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                    ))
                    .with_hint("change the declaration of the table, or add the column again"));
            };
            let oid = relation.columns[at].1;
            let printed = match opened.facts.printed.get(i) {
                Some(printed) if opened.facts.has_type(i, oid) => printed.clone(),
                _ => Watched::printed(oid, field.data_type()).ok_or_else(|| {
                    self.named(Error::plan(format!(
                        "column '{}' of {} was changed to a type that is not read into the declared one",
                        field.name(),
                        watched.name()
                    )))
                    .with_hint("change the declaration of the table")
                })?,
            };
            columns.push((at, printed));
        }
        for (name, _) in &relation.columns {
            if !opened.facts.columns.contains(name) && opened.told_columns.insert(name.clone()) {
                log::warn!(
                    "table '{}': {} has a new column '{name}', which is not read: it is not declared",
                    self.plan.name,
                    watched.name()
                );
            }
        }
        let all = |names: &mut dyn Iterator<Item = &String>| -> Vec<usize> {
            names.map(|name| find(name)).collect::<Option<_>>().unwrap_or_default()
        };
        Ok(Layout {
            relation: relation.id,
            columns,
            key: all(&mut watched.key.iter()),
            order: all(&mut opened.facts.order.iter().map(|(name, _)| name)),
        })
    }

    fn change(
        &self,
        message: &[u8],
        read: &Logical,
        opened: &Opened,
        tuples: &Tuples,
        pending: &mut Option<Pending>,
    ) -> Result<()> {
        let Some(layout) = &opened.layout else { return Ok(()) };
        // Whether the snapshot has it already, for the row before and the row after.
        let seen = |cells: &[Cell]| -> Result<bool> {
            match opened.overlap.whole() {
                Some(seen) => Ok(seen),
                None => {
                    let text = |at: &usize| {
                        let text = cells.get(*at)?.text(message)?;
                        Some(String::from_utf8_lossy(text).into_owned())
                    };
                    let key: Option<Vec<String>> = layout.order.iter().map(text).collect();
                    key.filter(|key| !key.is_empty()).map(|key| opened.overlap.has(&key)).ok_or_else(|| {
                        self.wrong("a change without the key of its row came while the snapshot was read")
                            .with_hint(format!(
                                "ALTER TABLE {} REPLICA IDENTITY FULL",
                                self.plan.watched.name()
                            ))
                    })
                }
            }
        };
        let millis = opened.transaction.map_or(0, |t| t.millis);
        let upsert = self.plan.options.upsert;
        let pending = pending.get_or_insert_with(|| Pending {
            rows: Rows::printed(
                &self.plan.watched.columns,
                &layout.columns.iter().map(|(_, printed)| printed.clone()).collect::<Vec<_>>(),
            ),
            kinds: Vec::new(),
            times: Vec::new(),
        });
        let mut push = |kind, cells: &[Cell], other: &[Cell]| {
            pending.kinds.push(kind);
            pending.times.push(millis);
            self.push(&mut pending.rows, layout, message, cells, other)
        };
        let whole = |before: Before| {
            match before {
            Before::Row => Ok(()),
            _ if upsert => Ok(()),
            _ => Err(self
                .named(Error::plan(format!(
                    "a change of {} came without the row as it was before: its replica identity is not FULL any more",
                    self.plan.watched.name()
                )))
                .with_hint(format!("ALTER TABLE {} REPLICA IDENTITY FULL", self.plan.watched.name()))),
        }
        };
        match read {
            Logical::Insert(_) if !seen(&tuples.new)? => push(Kind::Insert, &tuples.new, &[])?,
            Logical::Delete(_, before) if !seen(&tuples.old)? => {
                whole(*before)?;
                push(Kind::Delete, &tuples.old, &[])?;
            }
            Logical::Update(_, before) => {
                let knows_old = *before != Before::Nothing;
                let old = if knows_old { &tuples.old } else { &tuples.new };
                let (old_seen, new_seen) = (seen(old)?, seen(&tuples.new)?);
                let same = |at: &usize| {
                    let (was, is) = (tuples.old.get(*at), tuples.new.get(*at));
                    is == Some(&Cell::Unchanged)
                        || was.and_then(|c| c.text(message)) == is.and_then(|c| c.text(message))
                };
                let moved = knows_old && !layout.key.iter().all(same);
                if !(old_seen && new_seen) {
                    whole(*before)?;
                }
                match (old_seen, new_seen) {
                    (true, true) => {}
                    (false, false) if upsert && moved => {
                        push(Kind::Delete, &tuples.old, &[])?;
                        push(Kind::UpdateAfter, &tuples.new, &tuples.old)?;
                    }
                    (false, false) if upsert => push(Kind::UpdateAfter, &tuples.new, &tuples.old)?,
                    (false, false) if moved => {
                        push(Kind::Delete, &tuples.old, &[])?;
                        push(Kind::Insert, &tuples.new, &tuples.old)?;
                    }
                    (false, false) => {
                        push(Kind::UpdateBefore, &tuples.old, &[])?;
                        push(Kind::UpdateAfter, &tuples.new, &tuples.old)?;
                    }
                    (false, true) => push(Kind::Delete, &tuples.old, &[])?,
                    (true, false) => push(Kind::Insert, &tuples.new, &tuples.old)?,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A row. `other`: the same row before, for values that were not sent.
    fn push(
        &self,
        rows: &mut Rows,
        layout: &Layout,
        message: &[u8],
        cells: &[Cell],
        other: &[Cell],
    ) -> Result<()> {
        for (column, (at, printed)) in layout.columns.iter().enumerate() {
            let mut cell = cells.get(*at).copied();
            if cell == Some(Cell::Unchanged) {
                cell = other.get(*at).copied().filter(|cell| matches!(cell, Cell::Text(..)));
                if cell.is_none() {
                    let name = self.plan.watched.columns.field(column).name();
                    return Err(self
                        .named(Error::execution(format!(
                            "column '{name}' of a row that changed was not sent: it is large (TOAST) and did not change"
                        )))
                        .with_hint(format!(
                            "ALTER TABLE {} REPLICA IDENTITY FULL; or leave the column out of the query",
                            self.plan.watched.name()
                        )));
                }
            }
            let Some(cell) = cell else { return Err(self.wrong("a row with fewer columns than its table")) };
            rows.push_text(column, printed, cell.text(message)).map_err(|what| self.wrong(what))?;
        }
        rows.count += 1;
        Ok(())
    }

    fn batch(&self, pending: Option<Pending>) -> Result<Option<Read>> {
        let Some(pending) = pending.filter(|p| p.rows.count > 0) else { return Ok(None) };
        let batch = pending.rows.finish(&self.plan.watched.columns).map_err(|what| self.wrong(what))?;
        let batch =
            self.columns.assemble(&batch, &pending.kinds, &pending.times).map_err(|e| self.named(e))?;
        let kinds = match pending.kinds.iter().all(|kind| *kind == Kind::Insert) {
            true => Kinds::Append,
            false => Kinds::Changes(pending.kinds.into()),
        };
        Ok(Some(Read::rows(batch, kinds)))
    }

    /// What has arrived.
    fn next(&mut self) -> Result<Read> {
        let mut pending: Option<Pending> = None;
        loop {
            if !self.chunk.is_empty() {
                self.changed = true;
                self.decode(&mut pending)?;
                if !self.chunk.is_empty() {
                    // It is full.
                    return Ok(self.batch(pending)?.unwrap_or(Read::Pending));
                }
            }
            match self.events.try_recv() {
                Ok(Event::Stream(bytes)) => self.chunk = bytes,
                Ok(Event::Opened(opened)) => self.open(*opened)?,
                Ok(Event::Rows(batch, key)) => return self.snapshot(&batch, key),
                Ok(Event::Complete) => self.complete()?,
                Ok(Event::Failed(e)) => match self.batch(pending)? {
                    Some(read) => {
                        self.failure = Some(e);
                        return Ok(read);
                    }
                    None => return Err(e),
                },
                Err(TryRecvError::Empty) => return Ok(self.batch(pending)?.unwrap_or(Read::Pending)),
                Err(TryRecvError::Disconnected) => {
                    return match self.batch(pending)? {
                        Some(read) => Ok(read),
                        None if self.plan.options.startup == Startup::Snapshot => Ok(Read::End),
                        None => Err(Error::internal("what reads the changes of a table has ended")),
                    };
                }
            }
        }
    }

    fn positions(&mut self) -> Result<Positions> {
        let Some(opened) = self.opened.as_ref().filter(|_| self.changed) else {
            return Ok(Positions::new());
        };
        self.changed = false;
        let position = serde_json::to_value(&opened.position)
            .map_err(|e| Error::internal(format!("a position could not be written: {e}")))?;
        Ok(Positions::from([(SPLIT.to_string(), position)]))
    }
}

impl Reader for CdcReader {
    fn read(&mut self) -> Result<Read> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let read = self.next()?;
        if let Some(opened) = &self.opened {
            self.link.reach(opened.position.lsn);
            // Without checkpoints a job begins anew, and needs nothing of what it has read.
            if !self.checkpoints && !opened.position.reading {
                self.link.confirm(opened.position.lsn);
            }
        }
        Ok(read)
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        // Rows without an order cannot be gone on with: the barrier waits for the last one.
        let waits = self.opened.as_ref().is_some_and(|o| o.position.reading && o.facts.order.is_empty());
        if waits { Ok(None) } else { self.positions().map(Some) }
    }

    fn leave(&mut self) -> Result<Positions> {
        let unordered = self.opened.as_ref().is_some_and(|o| o.position.reading && o.facts.order.is_empty());
        if unordered { Ok(Positions::new()) } else { self.positions() }
    }
}
