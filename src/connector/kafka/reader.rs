//! One task's consumer: takes what has arrived from the queues of its partitions, and decodes it there.
//!
//! librdkafka fetches on threads of its own. When a queue that was empty gets something, a callback marks it and wakes
//! the task; a read empties the marked queues, up to a batch, with one decode for all. Records are used where the
//! client has them, until they are decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, Timestamp, TopicPartitionList};

use super::client::{self, Context, Said};
use super::offsets::{At, Name, is_out_of_range, split_name};
use super::rows::{Record, RowDecoder, Run};
use super::source::Scan;
use crate::connector::{Positions, Read, Reader, ReaderContext};
use crate::error::{Error, Result};
use crate::flow::{OpenSplits, Splits, Waker};

/// Bytes of records that one batch is made of.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes that the client fetches ahead, over all partitions of a task.
const AHEAD: usize = 128 << 20;

/// A mark that a queue has something.
#[derive(Clone)]
struct Mark(Arc<AtomicBool>, Waker);

impl Mark {
    fn new(waker: &Waker) -> Self {
        Self(Arc::new(AtomicBool::new(false)), waker.clone())
    }

    /// Called by threads of the client.
    fn set(&self) {
        if !self.0.swap(true, Ordering::AcqRel) {
            self.1.wake();
        }
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }

    fn put_back(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A partition that is read.
struct Open {
    name: Name,
    id: u64,
    at: At,
    /// `None`: it has ended.
    queue: Option<PartitionQueue<Context>>,
    mark: Mark,
    /// Its position was not told since it changed.
    changed: bool,
}

/// What happened to a partition while its queue was read.
enum Event {
    /// There is nothing behind.
    Ended,
    /// The offset is not there (any more).
    OutOfRange,
}

/// Reads the partitions of one task.
pub(super) struct KafkaReader {
    scan: Arc<Scan>,
    context: ReaderContext,
    decoder: RowDecoder,
    consumer: Option<Arc<BaseConsumer<Context>>>,
    /// The client has something to say.
    told: Mark,
    partitions: Vec<Open>,
    /// The partition that is read first.
    turn: usize,
    /// It is known which partitions there are.
    found: bool,
    splits: OpenSplits,
    bytes: u64,
    /// Records that were gone when they were to be read.
    lost: u64,
    failure: Option<Error>,
}

/// A number that tells a partition from others, the same in every run.
fn id_of(name: &Name) -> u64 {
    // FNV-1a: stable, and long enough for all partitions of a job.
    split_name(name)
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl KafkaReader {
    pub(super) fn new(scan: Arc<Scan>, context: ReaderContext) -> Result<Self> {
        let decoder = scan.plan.layout.decoder()?;
        Ok(Self {
            told: Mark::new(&context.waker),
            scan,
            context,
            decoder,
            consumer: None,
            partitions: Vec::new(),
            turn: 0,
            found: false,
            splits: OpenSplits { pending: true, ..OpenSplits::default() },
            bytes: 0,
            lost: 0,
            failure: None,
        })
    }

    /// Takes over partitions that it is to read from now on.
    fn take_over(&mut self) -> Result<()> {
        let Some(new) = self.scan.take(self.context.task)? else { return Ok(()) };
        if !self.found {
            self.found = true;
            self.splits.pending = false;
        }
        if new.is_empty() {
            return Ok(());
        }
        let consumer = match &self.consumer {
            Some(consumer) => consumer.clone(),
            None => {
                let plan = &self.scan.plan;
                let ahead = (AHEAD / new.len()).clamp(1 << 20, 64 << 20) / 1024;
                let mut more = vec![("max.poll.interval.ms", "86400000".to_string())];
                if plan.cluster.properties().get("queued.max.messages.kbytes").is_none() {
                    more.push(("queued.max.messages.kbytes", ahead.to_string()));
                }
                if plan.is_bounded() {
                    more.push(("enable.partition.eof", "true".to_string()));
                    if plan.cluster.properties().get("fetch.wait.max.ms").is_none() {
                        // The end is told by a fetch that found nothing.
                        more.push(("fetch.wait.max.ms", "50".to_string()));
                    }
                }
                let more: Vec<(&str, &str)> =
                    more.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let mut consumer = plan.cluster.consumer(&plan.group, &more)?;
                let told = self.told.clone();
                consumer.set_nonempty_callback(move || told.set());
                let consumer = Arc::new(consumer);
                self.consumer = Some(consumer.clone());
                // What it said before somebody listened.
                self.told.put_back();
                consumer
            }
        };
        let mut list = TopicPartitionList::with_capacity(new.len());
        for (name, at) in new {
            let mark = Mark::new(&self.context.waker);
            let id = id_of(&name);
            let mut queue = None;
            self.splits.begun.push(id);
            if at.is_ended() {
                self.splits.ended.push(id);
            } else {
                // Before the assignment, so that no record goes elsewhere.
                let mut own = consumer.split_partition_queue(&name.0, name.1).ok_or_else(|| {
                    Error::internal(format!("partition {} has no queue", split_name(&name)))
                })?;
                let of_queue = mark.clone();
                own.set_nonempty_callback(move || of_queue.set());
                queue = Some(own);
                add(&mut list, &name, at.next)?;
            }
            self.partitions.push(Open { name, id, at, queue, mark, changed: true });
        }
        consumer
            .incremental_assign(&list)
            .map_err(|e| Error::internal(format!("partitions could not be assigned: {e}")))
    }

    /// Hears what the client has to say.
    fn listen(&mut self) -> Result<()> {
        let Some(consumer) = self.consumer.clone().filter(|_| self.told.take()) else { return Ok(()) };
        let plan = &self.scan.plan;
        while let Some(said) = consumer.poll(Duration::ZERO) {
            match said {
                Ok(message) => {
                    return Err(Error::internal(format!(
                        "a record of {}/{} came by no queue",
                        message.topic(),
                        message.partition()
                    )));
                }
                Err(e) if passes(&e) => log::debug!(target: "librdkafka", "{e}"),
                Err(e) => {
                    let what = format!("reading topic '{}'", plan.topics.text());
                    let error = plan.cluster.error(&what, client::code(&e), &consumer.context().said);
                    return Err(error.context(format!("table '{}'", plan.table)));
                }
            }
        }
        for ((topic, partition), end) in consumer.context().take_ends() {
            let known = self.partitions.iter().find(|p| *p.name.0 == *topic && p.name.1 == partition);
            if let Some(open) = known {
                let behind = u64::try_from(end.saturating_sub(open.at.next)).unwrap_or(0);
                self.context.metrics.note_behind(&split_name(&open.name), behind);
            }
        }
        Ok(())
    }

    /// Reads what the marked queues have, up to a batch.
    fn gather(&mut self) -> Result<Option<Read>> {
        let Self { scan, decoder, partitions, turn, consumer, .. } = self;
        let plan = &scan.plan;
        let count = partitions.len();
        if count == 0 {
            return Ok(None);
        }
        let mut messages: Vec<BorrowedMessage<'_>> = Vec::new();
        let (mut runs, mut owners): (Vec<Run>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut events: Vec<(usize, Event)> = Vec::new();
        let (mut bytes, first) = (0, *turn % count);
        for at in (0..count).map(|i| (first + i) % count) {
            let open = &partitions[at];
            let Some(queue) = &open.queue else { continue };
            if !open.mark.take() {
                continue;
            }
            let before = messages.len();
            loop {
                if messages.len() >= plan.batch_rows || bytes >= BATCH_BYTES {
                    open.mark.put_back();
                    *turn = at + 1;
                    break;
                }
                match queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        if open.at.end.is_some_and(|end| message.offset() >= end) {
                            events.push((at, Event::Ended));
                            break;
                        }
                        bytes += message.payload_len() + message.key_len();
                        let last = open.at.end.is_some_and(|end| message.offset() + 1 >= end);
                        messages.push(message);
                        if last {
                            events.push((at, Event::Ended));
                            break;
                        }
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        if open.at.end.is_some() {
                            events.push((at, Event::Ended));
                            break;
                        }
                    }
                    Some(Err(e)) if is_out_of_range(&e) => {
                        events.push((at, Event::OutOfRange));
                        break;
                    }
                    Some(Err(e)) if passes(&e) => log::debug!(target: "librdkafka", "{e}"),
                    Some(Err(e)) => {
                        let what = format!("reading partition {} of topic '{}'", open.name.1, open.name.0);
                        let nothing = Said::default();
                        let said = consumer.as_ref().map_or(&nothing, |c| &c.context().said);
                        let error = plan.cluster.error(&what, client::code(&e), said);
                        return Err(error.context(format!("table '{}'", plan.table)));
                    }
                }
            }
            if messages.len() > before {
                let (topic, partition) = open.name.clone();
                runs.push(Run { topic, partition, records: messages.len() - before });
                owners.push(at);
            }
            if messages.len() >= plan.batch_rows || bytes >= BATCH_BYTES {
                break;
            }
        }
        if messages.is_empty() && events.is_empty() {
            return Ok(None);
        }
        let layout = &plan.layout;
        let records: Vec<Record<'_>> = messages
            .iter()
            .map(|message| Record {
                key: message.key(),
                value: message.payload(),
                offset: message.offset(),
                timestamp: if layout.wants_timestamp { message.timestamp() } else { Timestamp::NotAvailable },
                headers: if layout.wants_headers { message.headers() } else { None },
            })
            .collect();
        let rows =
            decoder.decode(&records, &runs).map_err(|e| e.context(format!("table '{}'", plan.table)))?;
        // How far each partition is now.
        let mut from = 0;
        let mut reached: Vec<(usize, i64)> = Vec::with_capacity(runs.len());
        for (run, owner) in runs.iter().zip(&owners) {
            let end = (from + run.records).min(rows.taken);
            if end > from {
                reached.push((*owner, records[end - 1].offset + 1));
            }
            from += run.records;
        }
        drop(records);
        drop(messages);
        self.bytes += bytes as u64;
        for (at, next) in reached {
            self.partitions[at].at.next = next;
            self.partitions[at].changed = true;
        }
        let counts = owners.iter().zip(&rows.runs).filter(|(_, rows)| **rows > 0);
        self.splits.rows = counts.map(|(at, rows)| (self.partitions[*at].id, *rows)).collect();
        if let Some(e) = rows.error {
            // What comes before it is given first.
            self.failure = Some(e.context(format!("table '{}'", self.scan.plan.table)));
            events.clear();
        }
        for (at, event) in events {
            match event {
                Event::Ended => self.end(at)?,
                Event::OutOfRange => self.reset(at)?,
            }
        }
        Ok(Some(Read::rows(rows.batch, rows.kinds)))
    }

    /// A partition has nothing more that is to be read.
    fn end(&mut self, at: usize) -> Result<()> {
        let open = &mut self.partitions[at];
        if let Some(end) = open.at.end {
            open.at.next = open.at.next.max(end);
        }
        open.changed = true;
        open.queue = None;
        self.splits.ended.push(open.id);
        let mut list = TopicPartitionList::with_capacity(1);
        add(&mut list, &open.name, open.at.next)?;
        if let Some(consumer) = &self.consumer {
            // It is of no use any more, whatever comes of it.
            let _ = consumer.incremental_unassign(&list);
        }
        Ok(())
    }

    /// The next record is not there: it was deleted, or the topic was made anew.
    fn reset(&mut self, at: usize) -> Result<()> {
        let Some(consumer) = self.consumer.clone() else { return Ok(()) };
        let plan = self.scan.plan.clone();
        let open = &mut self.partitions[at];
        let (topic, partition) = &open.name;
        let range = consumer.fetch_watermarks(topic, *partition, Duration::from_secs(10));
        let (low, high) = range.map_err(|e| {
            let what = format!("reading partition {partition} of topic '{topic}'");
            plan.cluster.error(&what, client::code(&e), &consumer.context().said)
        })?;
        let next = open.at.next;
        let what = match next < low {
            true => {
                format!("records {next} to {} of partition {partition} of topic '{topic}' are gone", low - 1)
            }
            false => format!(
                "partition {partition} of topic '{topic}' ends at offset {high}, before offset {next}"
            ),
        };
        let why = match next < low {
            true => {
                format!("the topic keeps records for a time or up to a size, and the first it has is {low}")
            }
            false => "the topic was probably deleted and made anew, or cut short".to_string(),
        };
        let to = match plan.cluster.properties().get("auto.offset.reset") {
            Some("earliest" | "smallest" | "beginning") => low,
            Some("latest" | "largest" | "end") => high,
            _ => {
                return Err(Error::io(format!("table '{}': {what}", plan.table))
                    .with_detail(why)
                    .with_hint(
                        "'properties.auto.offset.reset' = 'earliest' (or 'latest') goes on without them; 'retention.ms' of the \
                         topic keeps records longer",
                    )
                    .lasting());
            }
        };
        let lost = u64::try_from(to.saturating_sub(next)).unwrap_or(0);
        self.lost += lost;
        log::warn!(
            "table '{}': {what}; {why}; it goes on at offset {to} ('properties.auto.offset.reset')",
            plan.table
        );
        let mut list = TopicPartitionList::with_capacity(1);
        add(&mut list, &open.name, to)?;
        let failed = |e: KafkaError| Error::internal(format!("a partition could not be assigned again: {e}"));
        consumer.incremental_unassign(&list).map_err(failed)?;
        consumer.incremental_assign(&list).map_err(failed)?;
        open.at.next = to;
        open.changed = true;
        Ok(())
    }

    fn told_positions(&mut self) -> Positions {
        let mut positions = Positions::new();
        for open in self.partitions.iter_mut().filter(|p| p.changed) {
            open.changed = false;
            positions.insert(split_name(&open.name), open.at.json());
        }
        positions
    }
}

fn add(list: &mut TopicPartitionList, (topic, partition): &Name, next: i64) -> Result<()> {
    list.add_partition_offset(topic, *partition, Offset::Offset(next))
        .map_err(|e| Error::internal(e.to_string()))
}

/// Whether the client gets over it by itself.
fn passes(e: &KafkaError) -> bool {
    !matches!(e, KafkaError::MessageConsumptionFatal(_))
        && matches!(
            client::code(e),
            Some(
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::RequestTimedOut
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::NetworkException
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::CoordinatorLoadInProgress
                    | Code::WaitingForCoordinator
                    | Code::Retry
                    // The group is only told how far the job is: the control thread says when it may not.
                    | Code::GroupAuthorizationFailed
            )
        )
}

impl Reader for KafkaReader {
    fn read(&mut self) -> Result<Read> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.take_over()?;
        self.listen()?;
        loop {
            match self.gather()? {
                Some(Read::Batch(batch)) if batch.num_rows() == 0 && self.failure.is_none() => {}
                Some(Read::Batch(batch)) if batch.num_rows() == 0 => {
                    if let Some(failure) = self.failure.take() {
                        return Err(failure);
                    }
                }
                Some(read) => return Ok(read),
                None => break,
            }
        }
        let plan = &self.scan.plan;
        if plan.is_bounded() && self.found && self.partitions.iter().all(|p| p.queue.is_none()) {
            return Ok(Read::End);
        }
        Ok(Read::Pending)
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn splits(&mut self) -> Splits {
        let pending = self.splits.pending;
        let told = std::mem::replace(&mut self.splits, OpenSplits { pending, ..OpenSplits::default() });
        Splits::Many(told)
    }

    fn skipped(&self) -> u64 {
        self.decoder.skipped() + self.lost
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.take_over()?;
        Ok(self.found.then(|| self.told_positions()))
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok(self.told_positions())
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        // The queues first: they hold the client.
        self.partitions.clear();
        self.consumer.take();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn partitions_have_numbers_that_stay() {
        let id = |topic: &str, partition| id_of(&(Arc::from(topic), partition));
        assert_eq!(id("a", 0), id("a", 0));
        let all: BTreeMap<u64, ()> =
            (0..1000).map(|p| (id("a", p), ())).chain((0..1000).map(|p| (id("b", p), ()))).collect();
        assert_eq!(all.len(), 2000);
    }
}
