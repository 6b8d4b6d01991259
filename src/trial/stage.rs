//! What stands in for everything outside while a test runs, and notes what it was asked and given.
//!
//! Tables are fed by [`Feed`]s and written into [`Captured`]; lookups, functions and models are answered by [`Rule`]s, a
//! recording, or themselves. The clock of a test moves only while nothing runs inside the [`Gate`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::replay::Replay;
use super::tuning::Tuning;
use crate::clock::Clock;
use crate::connector::SinkChangelog;
use crate::error::{Error, Result};
use crate::flow::{Kinds, Waker};
use crate::lookup::Failure;
use crate::session::Session;
use crate::sql::SqlExpression;

/// What answers.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The table or function it stands for; `model:...` for a model.
    pub(crate) target: String,
    /// Line of the test file.
    pub(crate) line: u32,
    /// It need not be called.
    pub(crate) optional: bool,
    pub(crate) when: Option<SqlExpression>,
    /// Calls that it answers, exactly.
    pub(crate) times: Option<u64>,
    pub(crate) after: std::time::Duration,
    pub(crate) answer: Answer,
    /// Calls that it has answered.
    pub(crate) used: AtomicU64,
}

/// What a rule answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// These rows, with the columns that were given.
    Rows(RecordBatch),
    Misses,
    Hangs,
    Fails(Failure),
}

impl Rule {
    pub(crate) fn is_used_up(&self) -> bool {
        self.times.is_some_and(|times| self.used.load(Ordering::SeqCst) >= times)
    }

    /// What is wrong with how often it was called.
    pub(crate) fn complaint(&self, shown: &str) -> Option<String> {
        let used = self.used.load(Ordering::SeqCst);
        let calls = |n: u64| if n == 1 { "1 call".to_string() } else { format!("{n} calls") };
        match self.times {
            Some(times) if used < times && !(self.optional && used == 0) => Some(format!(
                "the mock of {shown} in line {} was to answer {}, and {} came",
                self.line,
                calls(times),
                if used == 0 { "none".to_string() } else { calls(used) }
            )),
            None if used == 0 && !self.optional => {
                Some(format!("the mock of {shown} in line {} was never called", self.line))
            }
            _ => None,
        }
    }
}

/// A table, function or model as people write it.
pub(crate) fn shown(target: &str) -> &str {
    target.strip_prefix(crate::function::user::model::PREFIX).unwrap_or(target)
}

#[derive(Debug, Default)]
struct Fed {
    batches: Vec<(RecordBatch, Kinds)>,
    /// Batches that sources have been given.
    pushed: usize,
    ended: bool,
    /// Behind the last batch the first one follows.
    cycled: bool,
    wakers: Vec<Waker>,
}

/// The rows of a table that the test gives.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    fed: Mutex<Fed>,
    /// Some rows are changes.
    pub(crate) changes: bool,
    /// Somebody has read it, or looked up in it.
    read: std::sync::atomic::AtomicBool,
    /// The table of a recording that the rows are of, and their columns.
    recorded: Option<(String, Option<SchemaRef>)>,
}

impl Feed {
    pub(crate) fn new(changes: bool) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Rows of a recording, which need not be read.
    pub(crate) fn recorded(changes: bool, table: &str, schema: Option<SchemaRef>) -> Self {
        let recorded = Some((format!("table '{table}'"), schema));
        Self { changes, recorded, read: true.into(), ..Self::default() }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// What the rows are of, for messages, if they are of a recording.
    pub(crate) fn recorded_as(&self) -> Option<&str> {
        self.recorded.as_ref().map(|(of, _)| of.as_str())
    }

    /// Whether a recording has the columns that are wanted.
    pub(crate) fn check(&self, wanted: &SchemaRef) -> Result<()> {
        match &self.recorded {
            Some((of, Some(schema))) => crate::recording::check(of, schema, wanted),
            _ => Ok(()),
        }
    }

    /// Adds rows, which lookups see at once and sources when they are pushed.
    pub(crate) fn stage(&self, batch: RecordBatch, kinds: Kinds) {
        self.fed.lock().batches.push((batch, kinds));
    }

    /// Gives the next staged rows to sources.
    pub(crate) fn push(&self) {
        let mut fed = self.fed.lock();
        fed.pushed = (fed.pushed + 1).min(fed.batches.len());
        fed.wakers.iter().for_each(Waker::wake);
    }

    /// No rows follow.
    pub(crate) fn end(&self) {
        let mut fed = self.fed.lock();
        fed.pushed = fed.batches.len();
        fed.ended = true;
        fed.wakers.iter().for_each(Waker::wake);
    }

    /// All rows come, again and again.
    pub(crate) fn cycle(&self) {
        let mut fed = self.fed.lock();
        fed.pushed = fed.batches.len();
        fed.cycled = !fed.batches.is_empty();
        fed.ended = !fed.cycled;
    }

    pub(super) fn is_cycled(&self) -> bool {
        self.fed.lock().cycled
    }

    pub(super) fn batches(&self) -> usize {
        self.fed.lock().batches.len()
    }

    /// The readers of a process that was killed are gone.
    pub(crate) fn forget_readers(&self) {
        self.fed.lock().wakers.clear();
    }

    /// Whether somebody has read it, or looked up in it.
    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::SeqCst)
    }

    pub(crate) fn note_read(&self) {
        self.read.store(true, Ordering::SeqCst);
    }

    pub(crate) fn listen(&self, waker: Waker) {
        self.note_read();
        self.fed.lock().wakers.push(waker);
    }

    /// The batch at a position; `Err(true)` where nothing follows.
    pub(crate) fn at(&self, position: usize) -> std::result::Result<(RecordBatch, Kinds), bool> {
        let fed = self.fed.lock();
        let position = if fed.cycled { position % fed.batches.len() } else { position };
        match fed.batches.get(position).filter(|_| position < fed.pushed) {
            Some(found) => Ok(found.clone()),
            None => Err(fed.ended && position >= fed.pushed),
        }
    }

    /// All rows that were staged.
    pub(crate) fn all(&self) -> Vec<RecordBatch> {
        self.fed.lock().batches.iter().map(|(batch, _)| batch.clone()).collect()
    }
}

/// What was written into a table, or given by a query.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) schema: SchemaRef,
    /// The PRIMARY KEY.
    pub(crate) key: Vec<usize>,
    pub(crate) changelog: SinkChangelog,
    rows: Mutex<Written>,
    /// What is written goes nowhere.
    blind: bool,
}

#[derive(Debug, Default)]
struct Written {
    all: Vec<(RecordBatch, Kinds)>,
    /// Batches before the barrier of the checkpoint that is on its way.
    barrier: usize,
    /// Batches that belong to a checkpoint.
    durable: usize,
}

impl Captured {
    pub(crate) fn new(schema: SchemaRef, key: Vec<usize>, changelog: SinkChangelog) -> Arc<Self> {
        Arc::new(Self { schema, key, changelog, rows: Mutex::default(), blind: false })
    }

    /// One that keeps nothing.
    pub(crate) fn blind(schema: SchemaRef, key: Vec<usize>, changelog: SinkChangelog) -> Arc<Self> {
        Arc::new(Self { schema, key, changelog, rows: Mutex::default(), blind: true })
    }

    pub(crate) fn take(&self, batch: RecordBatch, kinds: Kinds) {
        if self.blind {
            return;
        }
        self.rows.lock().all.push((batch, kinds));
    }

    pub(crate) fn rows(&self) -> Vec<(RecordBatch, Kinds)> {
        self.rows.lock().all.clone()
    }

    /// A barrier comes behind what there is.
    pub(crate) fn barrier(&self) {
        let mut rows = self.rows.lock();
        rows.barrier = rows.all.len();
    }

    /// What came before the barrier belongs to a checkpoint.
    fn mark(&self) {
        let mut rows = self.rows.lock();
        rows.durable = rows.barrier;
    }

    /// What does not is lost.
    fn cut(&self) {
        let mut rows = self.rows.lock();
        let durable = rows.durable;
        rows.all.truncate(durable);
        rows.barrier = durable;
    }
}

/// A request for keys, arguments of a call, or an HTTP request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// As [`Rule::target`]; empty for HTTP.
    pub(crate) target: String,
    /// What was asked.
    pub(crate) keys: RecordBatch,
}

/// Holds the clock while something runs that does not run on it.
pub(crate) struct Gate {
    inside: Mutex<Inside>,
    empty: Condvar,
    idle: Notify,
    runtime: Handle,
}

#[derive(Default)]
struct Inside {
    count: isize,
    watched: bool,
}

impl Gate {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { inside: Mutex::default(), empty: Condvar::new(), idle: Notify::new(), runtime })
    }

    /// Whether something runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.inside.lock().count > 0
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        while self.is_busy() {
            self.idle.notified().await;
        }
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Inward {
        self.change(1);
        Inward(self.clone(), 1)
    }

    /// One that has entered waits for the clock, for as long as this lives.
    pub(crate) fn step_aside(self: &Arc<Self>) -> Inward {
        self.change(-1);
        Inward(self.clone(), -1)
    }

    fn change(self: &Arc<Self>, by: isize) {
        let mut inside = self.inside.lock();
        inside.count += by;
        if inside.count <= 0 {
            self.empty.notify_all();
            self.idle.notify_one();
        } else if !std::mem::replace(&mut inside.watched, true) {
            drop(inside);
            // A paused runtime does not move its clock while a blocking task runs.
            let gate = self.clone();
            self.runtime.spawn_blocking(move || {
                let mut inside = gate.inside.lock();
                while inside.count > 0 {
                    gate.empty.wait(&mut inside);
                }
                inside.watched = false;
            });
        }
    }
}

/// Takes back what it did to the gate.
pub(crate) struct Inward(Arc<Gate>, isize);

impl Drop for Inward {
    fn drop(&mut self) {
        self.0.change(-self.1);
    }
}

/// The stage of one test.
pub(crate) struct Stage {
    /// Computes what a test says in SQL.
    pub(crate) scratch: Session,
    feeds: Mutex<BTreeMap<String, Arc<Feed>>>,
    pub(crate) rules: Mutex<Vec<Arc<Rule>>>,
    pub(super) http: Mutex<Vec<Arc<super::http::HttpRule>>>,
    calls: Mutex<Vec<Call>>,
    sinks: Mutex<BTreeMap<String, Arc<Captured>>>,
    complaints: Mutex<Vec<String>>,
    gate: Mutex<Option<Arc<Gate>>>,
    /// A query of the test is planned: it may read what was written.
    asking: std::sync::atomic::AtomicBool,
    replay: Mutex<Option<Replay>>,
    tuning: Mutex<Option<Arc<Tuning>>>,
    clock: Mutex<Option<Arc<dyn Clock>>>,
    /// Answers of a recording that are still to come.
    pub(super) on_their_way: AtomicUsize,
    /// Keys that the recording has no answer for, and that were taken for misses.
    pub(super) missed: AtomicU64,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

/// Complaints of one test that are kept.
const COMPLAINTS: usize = 20;

impl Stage {
    pub(crate) fn new(scratch: Session) -> Arc<Self> {
        Arc::new(Self {
            scratch,
            feeds: Mutex::default(),
            rules: Mutex::default(),
            http: Mutex::default(),
            calls: Mutex::default(),
            sinks: Mutex::default(),
            complaints: Mutex::default(),
            gate: Mutex::default(),
            asking: Default::default(),
            replay: Mutex::default(),
            tuning: Mutex::default(),
            clock: Mutex::default(),
            on_their_way: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
        })
    }

    pub(crate) fn ask(&self, asking: bool) {
        self.asking.store(asking, Ordering::SeqCst);
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.asking.load(Ordering::SeqCst)
    }

    /// The rows of a table, if the test gives any.
    pub(crate) fn feed(&self, table: &str) -> Option<Arc<Feed>> {
        self.feeds.lock().get(table).cloned()
    }

    /// The same, made if it is not there.
    pub(crate) fn feed_or(&self, table: &str, changes: bool) -> Arc<Feed> {
        let mut feeds = self.feeds.lock();
        feeds.entry(table.to_string()).or_insert_with(|| Arc::new(Feed::new(changes))).clone()
    }

    pub(crate) fn feeds(&self) -> Vec<(String, Arc<Feed>)> {
        self.feeds.lock().iter().map(|(table, feed)| (table.clone(), feed.clone())).collect()
    }

    pub(crate) fn put_feed(&self, table: &str, feed: Arc<Feed>) {
        self.feeds.lock().insert(table.to_string(), feed);
    }

    pub(crate) fn set_replay(&self, replay: Replay) {
        *self.replay.lock() = Some(replay);
    }

    /// The recording that answers.
    pub(crate) fn replay(&self) -> Option<Replay> {
        self.replay.lock().clone()
    }

    pub(super) fn set_tuning(&self, tuning: Arc<Tuning>) {
        *self.tuning.lock() = Some(tuning);
    }

    /// How the pipeline is tuned, if it is.
    pub(crate) fn tuning(&self) -> Option<Arc<Tuning>> {
        self.tuning.lock().clone()
    }

    pub(crate) fn set_clock(&self, clock: Arc<dyn Clock>) {
        *self.clock.lock() = Some(clock);
    }

    /// The test's clock.
    pub(crate) fn now(&self) -> i64 {
        self.clock.lock().as_ref().map_or(0, |clock| clock.now_millis())
    }

    /// The rules for a table or function, in order.
    pub(crate) fn rules_of(&self, target: &str) -> Vec<Arc<Rule>> {
        self.rules.lock().iter().filter(|rule| rule.target == target).cloned().collect()
    }

    /// What was written into a table; made by `make` for the first writer.
    pub(crate) fn sink(&self, name: &str, make: impl FnOnce() -> Arc<Captured>) -> Arc<Captured> {
        self.sinks.lock().entry(name.to_string()).or_insert_with(make).clone()
    }

    pub(crate) fn captured(&self, name: &str) -> Option<Arc<Captured>> {
        self.sinks.lock().get(name).cloned()
    }

    pub(crate) fn captured_names(&self) -> Vec<String> {
        self.sinks.lock().keys().cloned().collect()
    }

    /// A checkpoint is durable.
    pub(crate) fn mark(&self) {
        self.sinks.lock().values().for_each(|sink| sink.mark());
    }

    /// The process is gone.
    pub(crate) fn cut(&self) {
        self.sinks.lock().values().for_each(|sink| sink.cut());
        self.feeds.lock().values().for_each(|feed| feed.forget_readers());
        *self.gate.lock() = None;
    }

    pub(crate) fn called(&self, target: &str, keys: RecordBatch) {
        self.calls.lock().push(Call { target: target.to_string(), keys });
    }

    pub(crate) fn calls(&self, target: &str) -> Vec<RecordBatch> {
        self.calls.lock().iter().filter(|call| call.target == target).map(|call| call.keys.clone()).collect()
    }

    /// Something that the test did not expect.
    pub(crate) fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock();
        if complaints.len() < COMPLAINTS && !complaints.contains(&what) {
            complaints.push(what);
        }
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }

    pub(crate) fn set_gate(&self, gate: Arc<Gate>) {
        *self.gate.lock() = Some(gate);
    }

    pub(crate) fn gate(&self) -> Result<Arc<Gate>> {
        self.gate.lock().clone().ok_or_else(|| Error::internal("the test has no gate"))
    }
}
