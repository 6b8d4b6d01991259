//! Exactly once: the transactions of a job.
//!
//! A process that has died cannot end its transaction, and no other one can do it for it: who begins with its
//! transactional id aborts it. So "commit when the checkpoint is durable" alone would lose the rows of a checkpoint
//! whose commit did not happen. Instead the number of the checkpoint is part of the transaction, as an offset of a
//! consumer group of the job's own:
//!
//! ```text
//!  rows of checkpoint 7 ──> producer A ─┐ barrier 7: acknowledged        checkpoint 7 is durable
//!                                       └───────────────────────────────> A: group's offset 7, commit
//!  rows of checkpoint 8 ──> producer B (from the time on that all before is acknowledged)
//!
//!  start: both ids are fenced, what was open is aborted; the group says 6 or 7, and that checkpoint is restored
//! ```
//! Two producers take turns, so that rows need not wait for a commit. A checkpoint whose transaction was not committed
//! does not count: its rows are read again. All sinks of a job in one cluster share the transaction.
//!
//! The offset carries the identity of the run that the numbers belong to: a job that begins anew counts from 1 again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{self, Cluster, Context};
use super::options::TRANSACTIONS;
use super::producer::Producer;
use crate::error::{Error, Result};

/// Longest time that a broker's default settings allow between the first record of a transaction and its end.
const TIMEOUT_MILLIS: &str = "900000";

/// What a writer tells for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The run that the checkpoint belongs to.
    run: String,
    /// The topic whose partition 0 carries the number.
    topic: String,
    /// A checkpoint of this run was committed before.
    committed: bool,
}

/// What the group says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Committed {
    run: String,
    epoch: u64,
}

#[derive(Default)]
struct State {
    /// Two producers by turns.
    producers: Option<[Arc<Producer>; 2]>,
    asker: Option<Arc<BaseConsumer<Context>>>,
    /// They were made and fenced, and nobody has used them.
    fresh: bool,
    /// What the group said when they were fenced.
    group: Option<Committed>,
    /// The checkpoint that the job goes on from is the one that the group names.
    continues: bool,
    run: String,
    committed: bool,
    /// Transactions that were committed by these producers.
    turns: usize,
    /// The last checkpoint that was committed.
    epoch: Option<u64>,
    /// Starts of the job, in this process.
    attempt: u64,
}

/// The transactions of the sinks of one job in one cluster.
pub(super) struct Transactions {
    cluster: Cluster,
    prefix: String,
    topics: Mutex<BTreeSet<String>>,
    state: Mutex<State>,
}

impl Transactions {
    pub(super) fn new(cluster: Cluster, prefix: &str) -> Self {
        Self { cluster, prefix: prefix.to_string(), topics: Mutex::default(), state: Mutex::default() }
    }

    /// A sink takes part.
    pub(super) fn join(&self, cluster: &Cluster, prefix: &str, topic: &str) -> Result<()> {
        if cluster.servers() != self.cluster.servers() {
            return Err(Error::unsupported("a job cannot write exactly once to two Kafka clusters")
                .with_detail(format!(
                    "'{}' and '{}': a transaction is of one cluster",
                    self.cluster.servers(),
                    cluster.servers()
                ))
                .with_hint("write to one of them in a job of its own, or with 'sink.delivery-guarantee' = 'at-least-once'"));
        }
        if prefix != self.prefix {
            return Err(Error::option(format!(
                "the sinks of a job share one transaction, and have two '{TRANSACTIONS}': '{}' and '{prefix}'",
                self.prefix
            ))
            .with_hint("give all tables that one statement set writes to the same"));
        }
        self.topics.lock().insert(topic.to_string());
        Ok(())
    }

    fn group(&self) -> String {
        format!("{}-affluent-checkpoints", self.prefix)
    }

    /// The topic that carries the number.
    fn anchor(&self) -> String {
        self.topics.lock().first().cloned().unwrap_or_default()
    }

    /// A failure of a transaction, in words.
    fn failed(&self, what: &str, e: &KafkaError, producer: &Producer) -> Error {
        let fenced = Error::io(format!(
            "{what} was refused: another process writes with '{TRANSACTIONS}' = '{}'",
            self.prefix
        ))
        .with_detail("it began later, so this one stops; what it had not committed is given up")
        .with_hint("let the job run once, or give each its own prefix")
        .lasting();
        match client::code(e) {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => fenced,
            Some(Code::InvalidTransactionTimeout) => Error::option(format!(
                "{what} was refused: the broker does not allow a transaction to take that long"
            ))
            .with_detail("its setting is 'transaction.max.timeout.ms'")
            .with_hint(format!(
                "'properties.transaction.timeout.ms', now {}, must not be larger",
                self.timeout_millis()
            )),
            code => {
                if let Err(e) = producer.context().check() {
                    return e.context(what);
                }
                let error = self.cluster.error(what, code, &producer.context().said);
                match error.detail() {
                    Some(_) => error,
                    None => error.with_detail(e.to_string()),
                }
            }
        }
    }

    fn timeout_millis(&self) -> String {
        self.cluster.properties().get("transaction.timeout.ms").unwrap_or(TIMEOUT_MILLIS).to_string()
    }

    /// Calls until it is done or refused.
    fn call(
        &self,
        what: &str,
        producer: &Producer,
        mut call: impl FnMut(Duration) -> std::result::Result<(), KafkaError>,
    ) -> Result<()> {
        let (begun, timeout) = (Instant::now(), self.cluster.timeout());
        loop {
            let Err(e) = call(Duration::from_secs(10).min(timeout)) else { return Ok(()) };
            let again = match &e {
                KafkaError::Transaction(e) => e.is_retriable() && !e.is_fatal() && !e.txn_requires_abort(),
                _ => false,
            };
            if !again || begun.elapsed() >= timeout {
                return Err(self.failed(what, &e, producer));
            }
            log::debug!("{what} is tried again: {e}");
        }
    }

    /// Makes sure that there are producers which nobody has used: whoever had the ids before is fenced, and what was
    /// open is aborted.
    fn prepare(&self, state: &mut State) -> Result<()> {
        if state.fresh {
            return Ok(());
        }
        state.producers = None;
        state.group = None;
        let timeout = self.timeout_millis();
        let make = |turn: usize| -> Result<Arc<Producer>> {
            let id = format!("{}-affluent-{turn}", self.prefix);
            let producer = Producer::new(
                &self.cluster,
                &[("transactional.id", &id), ("transaction.timeout.ms", &timeout)],
            )?;
            self.call("beginning transactions", &producer, |most| producer.inner.init_transactions(most))?;
            Ok(Arc::new(producer))
        };
        let producers = [make(0)?, make(1)?];
        state.producers = Some(producers);
        state.group = self.committed(state)?;
        state.turns = 0;
        state.epoch = None;
        state.continues = false;
        state.fresh = true;
        Ok(())
    }

    fn asker(&self, state: &mut State) -> Result<Arc<BaseConsumer<Context>>> {
        if let Some(asker) = &state.asker {
            return Ok(asker.clone());
        }
        let more = [
            ("statistics.interval.ms", "0"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
        ];
        let asker = Arc::new(self.cluster.consumer(&self.group(), &more)?);
        state.asker = Some(asker.clone());
        Ok(asker)
    }

    /// What the group says.
    fn committed(&self, state: &mut State) -> Result<Option<Committed>> {
        let asker = self.asker(state)?;
        let mut list = TopicPartitionList::new();
        for topic in self.topics.lock().iter() {
            list.add_partition(topic, 0);
        }
        let what = "asking which checkpoint was committed";
        let call = |most| asker.committed_offsets(list.clone(), most);
        let found =
            client::ask(&self.cluster, what, &asker.context().said, self.cluster.timeout(), call, || {
                client::serve(&asker);
                true
            })?;
        let mut newest: Option<Committed> = None;
        for element in found.elements() {
            if let (Offset::Offset(epoch), Ok(())) = (element.offset(), element.error()) {
                let epoch = u64::try_from(epoch).unwrap_or(0);
                if newest.as_ref().is_none_or(|n| n.epoch < epoch) {
                    newest = Some(Committed { run: element.metadata().to_string(), epoch });
                }
            }
        }
        Ok(newest)
    }

    /// Whether the rows of a checkpoint were committed.
    pub(super) fn holds(&self, epoch: u64, pending: &[Value]) -> Result<bool> {
        let mut state = self.state.lock();
        self.prepare(&mut state)?;
        let told: Vec<Told> = pending.iter().filter_map(|v| serde_json::from_value(v.clone()).ok()).collect();
        let Some(told) = told.first() else {
            // The sink is new in the job: it has nothing to hold.
            return Ok(true);
        };
        match &state.group {
            Some(group) if group.run == told.run => {
                let holds = group.epoch == epoch;
                state.continues |= holds;
                Ok(holds)
            }
            // Nothing of this run was committed.
            _ if !told.committed => Ok(epoch == 0),
            _ => Err(Error::io(format!("it is unknown which checkpoint was committed to Kafka at '{}'", self.cluster.servers()))
                .with_detail(format!(
                    "group '{}' has no offset of this job for topic '{}': the topic was made anew, or the offsets have expired \
                     ('offsets.retention.minutes')",
                    self.group(),
                    told.topic
                ))
                .with_hint(
                    "to go on from the newest checkpoint nevertheless, name it: SET 'execution.state-recovery.path' = '...'; rows \
                     behind it may then be there twice",
                )
                .lasting()),
        }
    }

    /// Begins to write, for a job that starts for the so-manieth time.
    pub(super) fn recover(&self, attempt: u64) -> Result<()> {
        let mut state = self.state.lock();
        if state.attempt >= attempt {
            // Another sink of the job has done it.
            return Ok(());
        }
        self.prepare(&mut state)?;
        match (state.group.clone(), state.continues) {
            (Some(group), true) => {
                state.epoch = Some(group.epoch);
                state.run = group.run;
                state.committed = true;
            }
            _ => {
                state.run = uuid::Uuid::new_v4().simple().to_string();
                state.committed = false;
            }
        }
        for producer in state.producers.iter().flatten() {
            self.call("beginning a transaction", producer, |_| producer.inner.begin_transaction())?;
        }
        state.fresh = false;
        state.attempt = attempt;
        Ok(())
    }

    /// The producers, by turns.
    pub(super) fn producers(&self) -> Result<[Arc<Producer>; 2]> {
        let state = self.state.lock();
        state
            .producers
            .clone()
            .ok_or_else(|| Error::internal("rows are written before a transaction was begun"))
    }

    /// What a writer tells for a checkpoint.
    pub(super) fn told(&self) -> Result<Value> {
        let state = self.state.lock();
        let told = Told { run: state.run.clone(), topic: self.anchor(), committed: state.committed };
        serde_json::to_value(told).map_err(|e| Error::internal(e.to_string()))
    }

    /// Commits the rows of a checkpoint.
    pub(super) fn commit(&self, epoch: u64) -> Result<()> {
        let mut state = self.state.lock();
        if state.epoch.is_some_and(|done| done >= epoch) {
            return Ok(());
        }
        let Some(producers) = state.producers.clone() else {
            return Err(Error::internal("rows are committed before a transaction was begun"));
        };
        let producer = &producers[state.turns % 2];
        producer.context().check()?;
        let asker = self.asker(&mut state)?;
        let group = asker.group_metadata().ok_or_else(|| Error::internal("a group without metadata"))?;
        let mut list = TopicPartitionList::new();
        let number =
            i64::try_from(epoch).map_err(|_| Error::internal("the number of a checkpoint is too large"))?;
        {
            let mut element = list.add_partition(&self.anchor(), 0);
            element.set_offset(Offset::Offset(number)).map_err(|e| Error::internal(e.to_string()))?;
            element.set_metadata(state.run.as_str());
        }
        self.call("adding the checkpoint's number to a transaction", producer, |most| {
            producer.inner.send_offsets_to_transaction(&list, &group, most)
        })?;
        self.call("committing a transaction", producer, |most| producer.inner.commit_transaction(most))?;
        state.epoch = Some(epoch);
        state.committed = true;
        state.turns += 1;
        self.call("beginning a transaction", producer, |_| producer.inner.begin_transaction())
    }

    /// Gives up what is not committed.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        state.fresh = false;
        for producer in state.producers.take().iter().flatten() {
            if let Err(e) = producer.inner.abort_transaction(Duration::from_secs(5)) {
                log::debug!("a transaction was not aborted, and will be when its time is over: {e}");
            }
        }
    }
}
