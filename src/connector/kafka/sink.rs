//! Writing to topics.
//!
//! Rows are encoded on the task's thread and handed to the client, which sends them from threads of its own. What is not
//! acknowledged is counted: above a bound the task reads no more, and a checkpoint waits until all before its
//! barrier is. With exactly-once see [`super::transaction`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::Value;

use super::client::{self, Cluster};
use super::encode::{Columns, Encoded, Outgoing, RecordEncoder};
use super::options::{Delivery, Partitioning, SinkOptions, Topics};
use super::producer::{Producer, Slot};
use super::transaction::Transactions;
use crate::connector::{Guarantee, Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// Bytes and records of a sink that may wait for their acknowledgement.
const WAITING_BYTES: usize = 64 << 20;
const WAITING_RECORDS: usize = 500_000;

/// A planned sink.
pub(super) struct KafkaSink {
    table: String,
    cluster: Cluster,
    topics: Topics,
    options: SinkOptions,
    columns: Columns,
    changelog: SinkChangelog,
    /// With exactly-once.
    transactions: Option<Arc<Transactions>>,
    checkpoints: bool,
    /// Without: shared by the writers.
    producer: Mutex<Option<Arc<Producer>>>,
    attempts: AtomicU64,
}

impl KafkaSink {
    pub(super) fn new(
        request: &SinkRequest,
        cluster: Cluster,
        topics: Topics,
        options: SinkOptions,
        columns: Columns,
        changelog: SinkChangelog,
    ) -> Result<Self> {
        let table = request.table.name.clone();
        let transactions = match options.delivery {
            Delivery::ExactlyOnce => {
                if !request.bounded && !request.checkpoints {
                    return Err(Error::plan(format!(
                        "table '{table}' is written exactly once, by checkpoints, and the job makes none"
                    ))
                    .with_hint("SET 'execution.checkpointing.interval' = '1 s'; before the INSERT"));
                }
                let Some(topic) = topics.only() else {
                    return Err(Error::unsupported(format!(
                        "table '{table}': exactly-once takes one topic, not a list or a pattern"
                    ))
                    .with_hint(
                        "write to a table for each topic in one statement set: they share a transaction",
                    ));
                };
                let (own, prefix) = (cluster.clone(), options.prefix.clone());
                let shared = request
                    .job
                    .share("kafka-transactions", || Ok(Arc::new(Transactions::new(own, &prefix))))?;
                shared.join(&cluster, &options.prefix, topic)?;
                Some(shared)
            }
            Delivery::None | Delivery::AtLeastOnce => None,
        };
        Ok(Self {
            table,
            cluster,
            topics,
            options,
            columns,
            changelog,
            transactions,
            checkpoints: request.checkpoints,
            producer: Mutex::default(),
            attempts: AtomicU64::new(0),
        })
    }

    fn context(&self, e: Error) -> Error {
        e.context(format!("table '{}'", self.table))
    }

    /// Partitions of the topic, where rows are dealt by number.
    fn partitions(&self) -> Result<Option<i32>> {
        if self.options.partitioning == Partitioning::Key {
            return Ok(None);
        }
        let Some(topic) = self.topics.only() else {
            return Err(Error::unsupported(format!(
                "table '{}': 'sink.partitioner' = 'fixed' and 'round-robin' are for tables of one topic",
                self.table
            )));
        };
        let consumer = self.cluster.consumer("affluent-partitions", &[("statistics.interval.ms", "0")])?;
        let metadata = client::metadata(&self.cluster, &consumer, Some(topic), self.cluster.timeout())?;
        let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
        match i32::try_from(count) {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(Error::io(format!(
                "topic '{topic}' does not exist in Kafka at '{}'",
                self.cluster.servers()
            ))
            .lasting()),
        }
    }
}

impl Sink for KafkaSink {
    fn changelog(&self) -> SinkChangelog {
        self.changelog
    }

    fn guarantee(&self) -> Guarantee {
        match self.transactions {
            Some(_) => Guarantee::ExactlyOnce,
            None => Guarantee::AtLeastOnce,
        }
    }

    fn decides(&self) -> bool {
        self.transactions.is_some()
    }

    fn holds(&self, epoch: u64, pending: &[Value]) -> Result<bool> {
        match &self.transactions {
            Some(transactions) => transactions.holds(epoch, pending).map_err(|e| self.context(e)),
            None => Ok(true),
        }
    }

    fn recover(&self, _pending: &[Value]) -> Result<()> {
        self.producer.lock().take();
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.transactions {
            Some(transactions) => transactions.recover(attempt).map_err(|e| self.context(e)),
            None => Ok(()),
        }
    }

    fn commit_epoch(&self, epoch: u64, _pending: &[Value]) -> Result<()> {
        match &self.transactions {
            Some(transactions) => transactions.commit(epoch).map_err(|e| self.context(e)),
            None => Ok(()),
        }
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        if context.task == 0 && !self.checkpoints {
            // Nobody recovers a job without checkpoints.
            self.recover(&[])?;
        }
        let producers = match &self.transactions {
            Some(transactions) => transactions.producers()?,
            None => {
                let mut shared = self.producer.lock();
                let producer = match &*shared {
                    Some(producer) => producer.clone(),
                    None => {
                        let more: &[(&str, &str)] = match self.options.delivery {
                            Delivery::None
                                if self.cluster.properties().get("enable.idempotence").is_none() =>
                            {
                                &[("enable.idempotence", "false")]
                            }
                            _ => &[],
                        };
                        shared.insert(Arc::new(Producer::new(&self.cluster, more)?)).clone()
                    }
                };
                [producer.clone(), producer]
            }
        };
        let tasks = context.tasks.max(1);
        let properties = self.cluster.properties();
        let bytes = (properties.buffer_memory.unwrap_or(WAITING_BYTES) / tasks).max(64 << 10);
        let records = (properties.buffer_records.unwrap_or(WAITING_RECORDS) / tasks).max(1000);
        let partitions = self.partitions().map_err(|e| self.context(e))?;
        let dealing = match (self.options.partitioning, partitions) {
            (Partitioning::Fixed, Some(count)) => {
                Dealing::Fixed(i32::try_from(context.task).unwrap_or(0).rem_euclid(count))
            }
            (Partitioning::RoundRobin, Some(count)) => Dealing::Round(AtomicUsize::new(context.task), count),
            _ => Dealing::Client,
        };
        let slot = || Slot::new((bytes / 2, records / 2), context.waker.clone());
        Ok(Box::new(KafkaWriter {
            table: self.table.clone(),
            topic: self.topics.only().unwrap_or_default().to_string(),
            encoder: self.columns.encoder()?,
            slots: [slot(), slot()],
            producers,
            turn: 0,
            transactions: self.transactions.clone(),
            delivery: self.options.delivery,
            dealing,
            most: (bytes, records),
            barrier: None,
            held: VecDeque::new(),
            held_bytes: 0,
            buffer: self.options.buffer.map(|(rows, interval)| Buffer {
                rows,
                interval,
                since: None,
                records: IndexMap::new(),
            }),
        }))
    }

    fn commit(&self) -> Result<()> {
        match &self.transactions {
            // With checkpoints that was done with the last one.
            Some(transactions) if !self.checkpoints => transactions.commit(1).map_err(|e| self.context(e)),
            _ => Ok(()),
        }
    }

    fn abort(&self) {
        self.producer.lock().take();
        if let Some(transactions) = &self.transactions {
            transactions.abort();
        }
    }
}

/// Which partition a record goes to, if not its key says so.
enum Dealing {
    Client,
    Fixed(i32),
    Round(AtomicUsize, i32),
}

impl Dealing {
    fn next(&self) -> Option<i32> {
        match self {
            Self::Client => None,
            Self::Fixed(partition) => Some(*partition),
            Self::Round(count, of) => {
                let number = count.fetch_add(1, Ordering::Relaxed) % usize::try_from(*of).unwrap_or(1).max(1);
                i32::try_from(number).ok()
            }
        }
    }
}

/// Value and timestamp of a record.
type Kept = (Option<Vec<u8>>, Option<i64>);

/// The last record of each key, until it is time.
struct Buffer {
    rows: usize,
    interval: Duration,
    since: Option<Instant>,
    records: IndexMap<Vec<u8>, Kept>,
}

struct KafkaWriter {
    table: String,
    topic: String,
    encoder: RecordEncoder,
    /// What is not acknowledged, by turns: before and behind a barrier.
    slots: [Arc<Slot>; 2],
    producers: [Arc<Producer>; 2],
    turn: usize,
    transactions: Option<Arc<Transactions>>,
    delivery: Delivery,
    dealing: Dealing,
    /// Bytes and records that may wait.
    most: (usize, usize),
    /// The barrier whose rows are not all acknowledged.
    barrier: Option<u64>,
    /// Rows behind it, with exactly-once: they go when those before are there.
    held: VecDeque<Encoded>,
    held_bytes: usize,
    buffer: Option<Buffer>,
}

impl KafkaWriter {
    fn check(&self) -> Result<()> {
        let checked = self.producers.iter().try_for_each(|p| p.context().check());
        checked.map_err(|e| e.context(format!("table '{}'", self.table)))
    }

    fn send(&self, encoded: &Encoded) -> Result<()> {
        let (producer, slot) = (&self.producers[self.turn], &self.slots[self.turn]);
        for row in 0..encoded.len() {
            let record = encoded.record(row);
            let topic = record.topic.unwrap_or(&self.topic);
            let sent = producer.send(topic, self.dealing.next(), record, slot);
            sent.map_err(|e| e.context(format!("table '{}'", self.table)))?;
        }
        Ok(())
    }

    /// Sends rows, or keeps them until they may be sent.
    fn pass(&mut self, encoded: Encoded) -> Result<()> {
        if self.transactions.is_some() && self.barrier.is_some() {
            self.held_bytes += encoded.bytes();
            self.held.push_back(encoded);
            return Ok(());
        }
        self.send(&encoded)
    }

    /// Sends what was gathered by key.
    fn send_buffered(&mut self) -> Result<()> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        buffer.since = None;
        let records = std::mem::take(&mut buffer.records);
        let (producer, slot) = (&self.producers[self.turn], &self.slots[self.turn]);
        for (key, (value, timestamp)) in &records {
            let record = Outgoing {
                key: Some(key.as_slice()),
                value: value.as_deref(),
                topic: None,
                timestamp: *timestamp,
                headers: None,
            };
            let sent = producer.send(&self.topic, self.dealing.next(), record, slot);
            sent.map_err(|e| e.context(format!("table '{}'", self.table)))?;
        }
        Ok(())
    }

    fn in_flight(&self) -> (usize, usize) {
        let of = |get: fn(&Slot) -> usize| self.slots.iter().map(|s| get(s)).sum::<usize>();
        (of(Slot::bytes) + self.held_bytes, of(Slot::records))
    }

    fn is_full(&self) -> bool {
        let (bytes, records) = self.in_flight();
        bytes >= self.most.0 || records >= self.most.1
    }
}

impl Writer for KafkaWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        self.check()?;
        let encoded = self.encoder.encode(chunk).map_err(|e| e.context(format!("table '{}'", self.table)))?;
        let Some(buffer) = &mut self.buffer else { return self.pass(encoded) };
        for row in 0..encoded.len() {
            let record = encoded.record(row);
            let key = record.key.unwrap_or_default().to_vec();
            // Behind those that came later: the order is that of the newest.
            buffer.records.shift_remove(&key);
            buffer.records.insert(key, (record.value.map(<[u8]>::to_vec), record.timestamp));
        }
        if buffer.since.is_none() && !buffer.records.is_empty() {
            buffer.since = Some(Instant::now());
        }
        if buffer.records.len() >= buffer.rows && self.barrier.is_none() {
            self.send_buffered()
        } else {
            Ok(())
        }
    }

    fn room(&self) -> bool {
        if !self.is_full() {
            return true;
        }
        self.slots.iter().for_each(|slot| slot.wait_for_room());
        // It may have become room before somebody listened.
        !self.is_full()
    }

    fn wake(&mut self) -> Result<()> {
        self.check()
    }

    fn deadline(&self) -> Option<Instant> {
        let buffer = self.buffer.as_ref()?;
        buffer.since?.checked_add(buffer.interval).filter(|_| self.barrier.is_none())
    }

    fn timer(&mut self, _now: Instant) -> Result<()> {
        self.send_buffered()
    }

    fn flush(&mut self) -> Result<()> {
        self.check()
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<Value>>> {
        self.check()?;
        if self.barrier != Some(epoch) {
            self.send_buffered()?;
            self.barrier = Some(epoch);
            self.turn ^= 1;
        }
        let before = &self.slots[self.turn ^ 1];
        if self.delivery != Delivery::None && !before.is_drained() {
            return Ok(Poll::Pending);
        }
        // One that failed counts as done: it was told just before.
        self.check()?;
        self.barrier = None;
        self.held_bytes = 0;
        for encoded in std::mem::take(&mut self.held) {
            self.send(&encoded)?;
        }
        if let Some(buffer) = &self.buffer
            && buffer.records.len() >= buffer.rows
        {
            self.send_buffered()?;
        }
        let told = self.transactions.as_ref().map(|t| t.told()).transpose()?;
        Ok(Poll::Ready(told.into_iter().collect()))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.check()?;
        self.send_buffered()?;
        let mut drained = true;
        for slot in &self.slots {
            drained &= slot.is_drained();
        }
        self.check()?;
        Ok(if drained { Poll::Ready(()) } else { Poll::Pending })
    }
}
