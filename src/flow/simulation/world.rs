//! What a simulated job is connected to: sources that hand over as many rows as the seed says, lookups that answer
//! when the schedule says, and sinks that know what was committed.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Poll;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::oneshot;

use super::data::{Data, Line, Splits};
use super::durable::Edges;
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::connector::Connector;
use crate::connector::{
    Guarantee, Positions, Read, Reader, ReaderContext, ScanRequest, Sink, SinkChangelog, SinkRequest, Source,
    SourceChangelog, Writer, WriterContext,
};
use crate::error::{Error, Result};
use crate::flow::{self, Chunk, Kind, Kinds, Split, Waker};
use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::format::{Decoder, Encoder};
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest};

thread_local! {
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// A call that waits for its answer.
struct Call {
    keys: String,
    reply: oneshot::Sender<u64>,
}

/// What a sink was given. `visible` is what its readers see.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    parts: BTreeMap<u64, Vec<String>>,
    committed: HashSet<u64>,
    pub(super) visible: Vec<String>,
}

impl Log {
    fn commit(&mut self, pending: &[Value]) {
        for part in pending {
            let part = part.as_u64().expect("a number of a part");
            if self.committed.insert(part) {
                let rows = self.parts.remove(&part);
                self.visible
                    .extend(rows.unwrap_or_else(|| panic!("part {part} is to be committed and gone")));
            }
        }
    }

    /// Shows everything: for a run without checkpoints.
    pub(super) fn commit_all(&mut self) {
        for rows in std::mem::take(&mut self.parts).into_values() {
            self.visible.extend(rows);
        }
    }
}

/// Sinks by name.
pub(super) type Logs = BTreeMap<String, Log>;

/// Everything outside of a job. One a schedule.
pub(super) struct World {
    data: Data,
    random: Mutex<StdRng>,
    /// Most rows that a source hands over at once; 0: all there are.
    batch: usize,
    calls: Mutex<Vec<Call>>,
    /// Calls so far.
    called: Mutex<u64>,
    parts: Mutex<u64>,
    pub(super) sinks: Mutex<Logs>,
    /// Commits and the store fail with these.
    pub(super) edges: Edges,
}

impl World {
    /// A world, which is that of this thread from now on. `batch`: most rows a read, 0 for all.
    pub(super) fn begin(data: Data, seed: u64, batch: usize) -> Arc<Self> {
        let world = Arc::new(Self {
            data,
            random: Mutex::new(StdRng::seed_from_u64(seed ^ 0x5eed)),
            batch,
            calls: Mutex::default(),
            called: Mutex::default(),
            parts: Mutex::default(),
            sinks: Mutex::default(),
            edges: Edges::default(),
        });
        CURRENT.with_borrow_mut(|current| *current = Some(world.clone()));
        world
    }

    fn current() -> Result<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone).ok_or_else(|| Error::internal("there is no world"))
    }

    /// Open calls.
    pub(super) fn calls(&self) -> usize {
        let mut calls = self.calls.lock();
        calls.retain(|call| !call.reply.is_closed());
        calls.len()
    }

    /// Answers one open call; which it was.
    pub(super) fn answer(&self, nth: usize) -> String {
        let call = self.calls.lock().remove(nth);
        let mut called = self.called.lock();
        *called += 1;
        let _ = call.reply.send(*called);
        call.keys
    }

    fn call(&self, keys: String) -> oneshot::Receiver<u64> {
        let (reply, answered) = oneshot::channel();
        self.calls.lock().push(Call { keys, reply });
        answered
    }
}

/// `'connector' = 'script'`.
#[derive(Debug)]
pub(crate) struct Scripted;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new("rows", OptionKind::Text, "", "which rows a source gives"),
    OptionDef::new("splits", OptionKind::Integer, "1", "how many splits they are in"),
    OptionDef::new("changes", OptionKind::Text, "append", "append, upsert or all"),
    OptionDef::new("role", OptionKind::Text, "", "lookup: a table to look up in"),
    OptionDef::new("batch", OptionKind::Integer, "1", "keys that one call can ask for"),
    OptionDef::new("fails", OptionKind::Bool, "false", "some keys always fail"),
];

impl Connector for Scripted {
    fn name(&self) -> &'static str {
        "script"
    }

    fn doc(&self) -> &'static str {
        "rows, answers and commits of a simulation"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn is_lookup(&self, options: &Options) -> bool {
        options.text("role") == Some("lookup")
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let options = &request.table.options;
        let world = World::current()?;
        let splits = options.integer("splits")?.unwrap_or(1) as usize;
        let rows = options.text("rows").unwrap_or_default();
        let splits = world.data.splits(rows, splits);
        let changelog = match options.text("changes") {
            Some("all") => SourceChangelog::All,
            Some("upsert") => SourceChangelog::Upsert,
            _ => SourceChangelog::Append,
        };
        let queue = (0..splits.len()).map(|split| (split, 0)).collect();
        let queue = Arc::new(Mutex::new(queue));
        let schema = request.schema.clone();
        Ok(Arc::new(ScriptSource { world, schema, changelog, splits: Arc::new(splits), queue }))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let table = &request.table;
        let changelog = match table.options.text("changes") {
            Some("upsert") => SinkChangelog::Upsert,
            Some("append") => SinkChangelog::Append,
            _ => SinkChangelog::All,
        };
        let schema = request.schema.clone();
        let world = World::current()?;
        world.sinks.lock().entry(table.name.clone()).or_default();
        Ok(Arc::new(RecordingSink { world, name: table.name.clone(), schema, changelog }))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let options = &request.table.options;
        let batch = options.integer("batch")?.unwrap_or(1) as usize;
        let fails = options.text("fails") == Some("true");
        Ok(Arc::new(ScriptLookup { world: World::current()?, schema: request.schema.clone(), batch, fails }))
    }
}

/// JSON lines as a batch.
fn decoded(schema: &SchemaRef, lines: String) -> Result<RecordBatch> {
    let options = JsonOptions::from_options(&Options::default())?;
    let mut decoder = JsonDecoder::new(options, schema.clone(), 1 << 20, "the script".into())?;
    decoder.feed(Bytes::from(lines))?;
    decoder.finish()?;
    Ok(decoder.next_batch()?.unwrap_or_else(|| RecordBatch::new_empty(schema.clone())))
}

/// Splits that nobody reads, and where to begin.
type Queue = Arc<Mutex<VecDeque<(usize, usize)>>>;

struct ScriptSource {
    world: Arc<World>,
    schema: SchemaRef,
    changelog: SourceChangelog,
    splits: Arc<Splits>,
    queue: Queue,
}

impl Source for ScriptSource {
    fn bounded(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> usize {
        self.splits.len()
    }

    fn changelog(&self) -> SourceChangelog {
        self.changelog
    }

    fn replays(&self) -> bool {
        true
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(Box::new(ScriptReader {
            world: self.world.clone(),
            schema: self.schema.clone(),
            splits: self.splits.clone(),
            queue: self.queue.clone(),
            waker: context.waker,
            at: None,
            changed: Positions::new(),
        }))
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position = |split: &usize| {
            let at = positions.get(&split.to_string()).and_then(Value::as_u64).unwrap_or(0);
            (*split, at as usize)
        };
        let all = (0..self.splits.len()).map(|split| position(&split));
        let (begun, fresh): (Vec<_>, Vec<_>) =
            all.filter(|&(split, at)| at == 0 || at < self.splits[split].len()).partition(|(_, at)| *at > 0);
        *self.queue.lock() = begun.into_iter().chain(fresh).collect();
        Ok(())
    }
}

struct ScriptReader {
    world: Arc<World>,
    schema: SchemaRef,
    splits: Arc<Splits>,
    queue: Queue,
    waker: Waker,
    at: Option<(usize, usize)>,
    changed: Positions,
}

impl ScriptReader {
    /// How many rows come now; 0: none yet.
    fn greed(&self) -> usize {
        if self.world.batch == 0 {
            return usize::MAX;
        }
        let mut random = self.world.random.lock();
        if random.random_bool(0.2) { 0 } else { random.random_range(1..=self.world.batch) }
    }
}

impl Reader for ScriptReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if self.at.is_none() {
                self.at = self.queue.lock().pop_front();
            }
            let Some((split, at)) = self.at else { return Ok(Read::End) };
            let rest = &self.splits[split][at..];
            if rest.is_empty() {
                self.changed.insert(split.to_string(), at.into());
                self.at = None;
                continue;
            }
            let mut rows = self.greed().min(rest.len());
            if rows == 0 {
                self.waker.wake();
                return Ok(Read::Pending);
            }
            // Both halves of an update come together.
            if rest[rows - 1].kind == Kind::UpdateBefore {
                rows += 1;
            }
            let lines: &[Line] = &rest[..rows];
            let kinds: Vec<Kind> = lines.iter().map(|line| line.kind).collect();
            let batch = decoded(&self.schema, lines.iter().map(|line| line.text.as_str()).collect())?;
            self.at = Some((split, at + rows));
            self.changed.insert(split.to_string(), (at + rows).into());
            let append = kinds.iter().all(|kind| *kind == Kind::Insert);
            return Ok(Read::rows(batch, if append { Kinds::Append } else { Kinds::Changes(kinds.into()) }));
        }
    }

    fn splits(&mut self) -> flow::Splits {
        let id = self.at.map_or(0, |(split, _)| split as u64);
        flow::Splits::One(Split { id, others_pending: !self.queue.lock().is_empty() })
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.leave().map(Some)
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok(std::mem::take(&mut self.changed))
    }
}

struct RecordingSink {
    world: Arc<World>,
    name: String,
    schema: SchemaRef,
    changelog: SinkChangelog,
}

impl RecordingSink {
    fn log<T>(&self, act: impl FnOnce(&mut Log) -> T) -> T {
        act(self.world.sinks.lock().entry(self.name.clone()).or_default())
    }
}

impl Sink for RecordingSink {
    fn changelog(&self) -> SinkChangelog {
        self.changelog
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn recover(&self, pending: &[Value]) -> Result<()> {
        self.commit_epoch(0, pending)?;
        self.log(|log| log.parts.clear());
        self.world.edges.pass("a sink that comes back")
    }

    fn commit_epoch(&self, _epoch: u64, pending: &[Value]) -> Result<()> {
        // Part by part, as files get their names.
        for part in pending.chunks(1) {
            self.world.edges.pass("a commit")?;
            self.log(|log| log.commit(part));
        }
        self.world.edges.pass("a commit whose answer is lost")
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let encoder =
            JsonEncoder::with_op(JsonOptions::from_options(&Options::default())?, self.schema.clone())?;
        let (world, name) = (self.world.clone(), self.name.clone());
        let waker = context.waker;
        Ok(Box::new(RecordingWriter {
            world,
            name,
            encoder,
            waker,
            rows: Vec::new(),
            told: Vec::new(),
            asked: None,
            full: false,
        }))
    }
}

struct RecordingWriter {
    world: Arc<World>,
    name: String,
    encoder: JsonEncoder,
    waker: Waker,
    rows: Vec<String>,
    /// Parts that may not be visible yet.
    told: Vec<u64>,
    /// It was asked for its part of this checkpoint, and had requests in flight.
    asked: Option<u64>,
    full: bool,
}

impl RecordingWriter {
    /// Whether its service is slow now; it wakes the task when that is over.
    fn is_slow(&self) -> bool {
        let slow = self.world.batch > 0 && self.world.random.lock().random_bool(0.2);
        if slow {
            self.waker.wake();
        }
        slow
    }

    fn part(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let mut parts = self.world.parts.lock();
        *parts += 1;
        let rows = std::mem::take(&mut self.rows);
        self.world.sinks.lock().entry(self.name.clone()).or_default().parts.insert(*parts, rows);
        self.told.push(*parts);
    }
}

impl Writer for RecordingWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        let mut bytes = Vec::new();
        self.encoder.encode(chunk, &mut bytes)?;
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        self.rows.extend(text.lines().map(str::to_string));
        self.full = self.is_slow();
        Ok(())
    }

    fn room(&self) -> bool {
        !self.full
    }

    fn wake(&mut self) -> Result<()> {
        self.full = false;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<Value>>> {
        // Rows that come while it is slow belong to the next checkpoint.
        if self.asked != Some(epoch) {
            self.asked = Some(epoch);
            self.part();
        }
        if self.is_slow() {
            return Ok(Poll::Pending);
        }
        self.asked = None;
        let sinks = self.world.sinks.lock();
        self.told.retain(|part| !sinks[&self.name].committed.contains(part));
        Ok(Poll::Ready(self.told.iter().map(|&part| part.into()).collect()))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        if self.is_slow() {
            return Ok(Poll::Pending);
        }
        self.part();
        Ok(Poll::Ready(()))
    }
}

struct ScriptLookup {
    world: Arc<World>,
    schema: SchemaRef,
    batch: usize,
    fails: bool,
}

/// What is known of a key; `call` is the only thing that differs from call to call.
fn rows_of(key: &str, call: u64) -> Vec<String> {
    let number = key.bytes().fold(0u64, |sum, byte| sum * 7 + u64::from(byte));
    let row = |n: u64| {
        format!(
            "{{\"id\":\"{key}\",\"name\":\"n-{key}-{n}\",\"weight\":{},\"call\":{call}}}\n",
            number % 9 + n
        )
    };
    match number % 5 {
        0 => Vec::new(),
        1 => vec![row(1), row(2)],
        _ => vec![row(1)],
    }
}

fn always_fails(key: &str) -> bool {
    key.ends_with('3')
}

impl Backend for ScriptLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let column = keys.column(0);
        let keys: Vec<String> =
            (0..column.len()).map(|i| array_value_to_string(column, i).unwrap()).collect();
        let answered = self.world.call(keys.join(","));
        let (schema, fails) = (self.schema.clone(), self.fails);
        Box::pin(async move {
            let call = answered.await.unwrap_or_default();
            let answer = |key: &String| {
                if fails && always_fails(key) {
                    let kind = FailureKind::Status(500);
                    let message = format!("no answer for {key}");
                    return Err(Failure { kind, message, retry_after: None, retryable: false });
                }
                Ok(decoded(&schema, rows_of(key, call).concat()).unwrap())
            };
            Answers::from_results(&schema, keys.iter().map(answer).collect())
        })
    }

    fn max_keys(&self) -> usize {
        self.batch
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let answered = self.world.call("everything".into());
        let schema = self.schema.clone();
        Box::pin(async move {
            let call = answered.await.unwrap_or_default();
            let rows = (0..10).flat_map(|i| rows_of(&format!("k{i}"), call));
            decoded(&schema, rows.collect())
        })
    }

    fn describe(&self) -> String {
        "the script".into()
    }
}
