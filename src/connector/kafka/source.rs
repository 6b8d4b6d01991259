//! Reading topics: a partition is a split.
//!
//! ```text
//!  control (a thread): topics, offsets ──> partitions of each task ──> readers, one a task
//!        ▲                                                               │ a consumer each, to which partitions
//!        └── offsets to commit <── checkpoint is durable                 │ are assigned; a queue a partition
//! ```
//! The control thread finds out which partitions there are and where they start before any reader reads, and looks for
//! new ones now and then. A partition belongs to one task; which one is a matter of its number alone.
//!
//! # Checkpoints
//! A reader tells the next offset of each of its partitions. All partitions are in the first checkpoint, also those
//! without records, so that what is not in a checkpoint is new and read from its beginning. When a checkpoint is
//! durable, its offsets are committed to the consumer group: for people and their tools, the job does not go by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Cluster, Context};
use super::offsets::{self, At, Explorer, Name, split_name};
use super::options::{Bounded, ScanOptions, TableOptions, Topics};
use super::reader::KafkaReader;
use super::rows::Layout;
use crate::connector::{Positions, Reader, ReaderContext, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::Waker;

/// How long the end of a scan waits for its last commit.
const GOODBYE: Duration = Duration::from_secs(2);

/// What was planned.
pub(super) struct Plan {
    pub(super) table: String,
    pub(super) cluster: Cluster,
    pub(super) topics: Topics,
    pub(super) group: String,
    pub(super) scan: ScanOptions,
    pub(super) layout: Arc<Layout>,
    pub(super) batch_rows: usize,
    pub(super) upsert: bool,
}

impl Plan {
    pub(super) fn new(
        table: &str,
        options: &TableOptions,
        scan: ScanOptions,
        layout: Layout,
        batch_rows: usize,
        upsert: bool,
    ) -> Self {
        let batch_rows = options.properties.poll_records.map_or(batch_rows, |most| most.min(batch_rows));
        Self {
            table: table.to_string(),
            cluster: Cluster::new(options),
            topics: options.topics.clone(),
            group: options.group.clone(),
            scan,
            layout: Arc::new(layout),
            batch_rows,
            upsert,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.scan.bounded != Bounded::Never
    }
}

/// What readers and the control thread share.
#[derive(Default)]
struct State {
    /// The partitions that there were at the start are known.
    found: bool,
    failure: Option<Error>,
    /// By task: partitions that it has not taken over.
    waiting: Vec<Vec<(Name, At)>>,
    wakers: Vec<Option<Waker>>,
    known: BTreeSet<Name>,
    tasks: usize,
}

/// One run over the topics.
pub(super) struct Scan {
    pub(super) plan: Arc<Plan>,
    /// Where a checkpoint has it; `None`: it starts anew.
    restored: Option<BTreeMap<Name, At>>,
    state: Mutex<State>,
    control: Mutex<Option<Control>>,
}

/// The control thread, from outside.
struct Control {
    orders: Sender<Vec<(Name, i64)>>,
    over: Receiver<()>,
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(Control { orders, over }) = self.control.get_mut().take() {
            drop(orders);
            // An error says that it is over.
            let _ = over.recv_timeout(GOODBYE);
        }
    }
}

impl Scan {
    fn new(plan: Arc<Plan>, restored: Option<BTreeMap<Name, At>>) -> Arc<Self> {
        Arc::new(Self { plan, restored, state: Mutex::default(), control: Mutex::default() })
    }

    /// Partitions that a task is to read from now on; `None` while it is not known which.
    pub(super) fn take(&self, task: usize) -> Result<Option<Vec<(Name, At)>>> {
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if !state.found {
            return Ok(None);
        }
        Ok(Some(state.waiting.get_mut(task).map(std::mem::take).unwrap_or_default()))
    }

    /// Begins to look, when the first reader is there.
    fn enter(self: &Arc<Self>, task: usize, tasks: usize, waker: Waker) -> Result<()> {
        let mut state = self.state.lock();
        state.tasks = tasks.max(1);
        if state.wakers.len() < tasks {
            state.wakers.resize(tasks, None);
            state.waiting.resize(tasks, Vec::new());
        }
        if let Some(slot) = state.wakers.get_mut(task) {
            *slot = Some(waker);
        }
        drop(state);
        let mut control = self.control.lock();
        if control.is_none() {
            let (orders, receiver) = crossbeam_channel::unbounded();
            let (over_sender, over) = crossbeam_channel::bounded(0);
            let (scan, plan) = (Arc::downgrade(self), self.plan.clone());
            let restored = self.restored.clone();
            thread::Builder::new().name("affluent-kafka".into()).spawn(move || {
                run(&scan, &plan, restored.as_ref(), &receiver);
                drop(over_sender);
            })?;
            *control = Some(Control { orders, over });
        }
        Ok(())
    }

    /// Hands partitions to their tasks.
    fn publish(&self, partitions: Vec<(Name, At)>) {
        let mut state = self.state.lock();
        state.found = true;
        let tasks = state.tasks.max(1);
        for (name, at) in partitions {
            if state.known.insert(name.clone()) {
                let task = task_of(&name, tasks);
                if let Some(waiting) = state.waiting.get_mut(task) {
                    waiting.push((name, at));
                }
            }
        }
        state.wakers.iter().flatten().for_each(Waker::wake);
    }

    fn fail(&self, e: Error) {
        let mut state = self.state.lock();
        state.failure = Some(e);
        state.wakers.iter().flatten().for_each(Waker::wake);
    }

    fn unknown(&self, names: Vec<Name>) -> Vec<Name> {
        let state = self.state.lock();
        names.into_iter().filter(|name| !state.known.contains(name)).collect()
    }
}

/// The task that reads a partition: partitions of one topic go round.
fn task_of((topic, partition): &Name, tasks: usize) -> usize {
    let start = topic.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    (start as usize).wrapping_add(usize::try_from(*partition).unwrap_or(0)) % tasks.max(1)
}

/// The control thread.
fn run(
    scan: &Weak<Scan>,
    plan: &Plan,
    restored: Option<&BTreeMap<Name, At>>,
    orders: &Receiver<Vec<(Name, i64)>>,
) {
    let wanted = || scan.strong_count() > 0;
    let made = plan
        .cluster
        .consumer(&plan.group, &[("statistics.interval.ms", "0"), ("enable.auto.commit", "false")]);
    let consumer = match made {
        Ok(consumer) => consumer,
        Err(e) => return scan.upgrade().iter().for_each(|scan| scan.fail(e.clone())),
    };
    let context = |e: Error| e.context(format!("table '{}'", plan.table));
    let explorer = Explorer {
        cluster: &plan.cluster,
        consumer: &consumer,
        timeout: plan.cluster.timeout(),
        wanted: &wanted,
    };
    let found = first(plan, &explorer, restored);
    {
        let Some(scan) = scan.upgrade() else { return };
        match found {
            Ok(found) => scan.publish(found),
            Err(e) => return scan.fail(context(e)),
        }
    }
    let mut looked = Instant::now();
    let mut told = BTreeSet::new();
    loop {
        let second = Duration::from_secs(1);
        let pause = plan.scan.discovery.map_or(second, |d| d.saturating_sub(looked.elapsed()).min(second));
        match orders.recv_timeout(pause) {
            Ok(offsets) => {
                // Of several the newest counts.
                let newest = orders.try_iter().last().unwrap_or(offsets);
                commit(plan, &consumer, &newest, &mut told);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        client::serve(&consumer);
        if plan.scan.discovery.is_some_and(|d| looked.elapsed() >= d) {
            looked = Instant::now();
            let more = Explorer { timeout: Duration::from_secs(10), ..explorer };
            let found = more.partitions(&plan.topics).and_then(|names| {
                let Some(scan) = scan.upgrade() else { return Ok(Vec::new()) };
                // Records that were written before somebody looked count.
                let new = scan.unknown(names).into_iter();
                drop(scan);
                new.map(|name| more.range(&name).map(|range| (name, At { next: range.0, end: None })))
                    .collect()
            });
            match found {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    let names: Vec<String> = found.iter().map(|(name, _)| split_name(name)).collect();
                    log::info!("table '{}' reads new partitions: {}", plan.table, names.join(", "));
                    scan.upgrade().iter().for_each(|scan| scan.publish(found.clone()));
                }
                Err(e) if wanted() => {
                    log::warn!("table '{}': new partitions could not be looked for: {e}", plan.table);
                }
                Err(_) => {}
            }
        }
    }
}

/// The partitions that a run starts with.
fn first(
    plan: &Plan,
    explorer: &Explorer<'_>,
    restored: Option<&BTreeMap<Name, At>>,
) -> Result<Vec<(Name, At)>> {
    let names = explorer.partitions(&plan.topics)?;
    if names.is_empty() {
        let text = format!("no topic matches '{}'", plan.topics.text());
        if plan.is_bounded() {
            return Err(Error::io(text).with_hint("DESCRIBE 'kafka://host:port' lists the topics").lasting());
        }
        log::warn!("table '{}': {text} yet", plan.table);
    }
    let Some(restored) = restored.filter(|r| !r.is_empty()) else {
        return explorer.start(names, &plan.scan, &plan.group);
    };
    if let Some((gone, _)) = restored.iter().find(|(name, at)| !at.is_ended() && !names.contains(name)) {
        return Err(Error::io(format!(
            "the checkpoint has a position in partition {} of topic '{}', which does not exist any more",
            gone.1, gone.0
        ))
        .with_hint("was the topic deleted? run with --fresh to begin anew")
        .lasting());
    }
    let mut all: Vec<(Name, At)> = restored.iter().map(|(name, at)| (name.clone(), *at)).collect();
    if !plan.is_bounded() {
        for name in names.into_iter().filter(|name| !restored.contains_key(name)) {
            let (low, _) = explorer.range(&name)?;
            all.push((name, At { next: low, end: None }));
        }
    }
    Ok(all)
}

/// Tells the group how far the job is.
fn commit(
    plan: &Plan,
    consumer: &BaseConsumer<Context>,
    offsets: &[(Name, i64)],
    told: &mut BTreeSet<String>,
) {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), next) in offsets {
        if list.add_partition_offset(topic, *partition, Offset::Offset(*next)).is_err() {
            return;
        }
    }
    if let Err(e) = consumer.commit(&list, CommitMode::Sync) {
        let text = plan.cluster.properties().redact(&e.to_string());
        if told.insert(text.clone()) {
            log::warn!(
                "table '{}': offsets could not be committed to group '{}': {text}",
                plan.table,
                plan.group
            );
        }
    }
}

/// A planned scan of topics.
pub(super) struct KafkaSource {
    plan: Arc<Plan>,
    scan: Mutex<Arc<Scan>>,
}

impl KafkaSource {
    pub(super) fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        Self { scan: Mutex::new(Scan::new(plan.clone(), None)), plan }
    }
}

impl Source for KafkaSource {
    fn bounded(&self) -> bool {
        self.plan.is_bounded()
    }

    fn max_parallelism(&self) -> usize {
        self.plan.scan.tasks.unwrap_or(usize::MAX)
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let scan = self.scan.lock().clone();
        scan.enter(context.task, context.parallelism, context.waker.clone())?;
        Ok(Box::new(KafkaReader::new(scan, context)?))
    }

    fn changelog(&self) -> SourceChangelog {
        match self.plan.upsert {
            true => SourceChangelog::Upsert,
            false => self.plan.layout.value_format().source_changelog(),
        }
    }

    fn describe(&self) -> String {
        let plan = &self.plan;
        let what = if matches!(plan.topics, Topics::Pattern(_)) { "topic-pattern" } else { "topic" };
        let end = if plan.is_bounded() { ", bounded" } else { "" };
        format!(
            "{what}={}, servers={}, format={}{end}",
            plan.topics.text(),
            plan.cluster.servers(),
            plan.layout.format_name()
        )
    }

    fn probe(&self) -> Result<()> {
        let plan = &self.plan;
        super::explore::begins(&plan.cluster, &plan.topics, &plan.scan, &plan.group)
            .map_err(|e| e.context(format!("table '{}'", plan.table)))
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let restored = offsets::parse(positions)?;
        *self.scan.lock() = Scan::new(self.plan.clone(), Some(restored));
        Ok(())
    }

    fn committed(&self, _epoch: u64, positions: &Positions) -> Result<()> {
        if !self.plan.cluster.properties().commits {
            return Ok(());
        }
        let offsets: Vec<(Name, i64)> =
            offsets::parse(positions)?.into_iter().map(|(name, at)| (name, at.next)).collect();
        let scan = self.scan.lock().clone();
        if let Some(control) = &*scan.control.lock() {
            // A thread that has ended has said why.
            let _ = control.orders.send(offsets);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_go_round() {
        for tasks in 1..5_usize {
            let mut counts = vec![0; tasks];
            for partition in 0..12 {
                counts[task_of(&(Arc::from("sensors"), partition), tasks)] += 1;
            }
            assert!(counts.iter().all(|count| *count == 12 / tasks as i32), "{counts:?}");
        }
    }
}
