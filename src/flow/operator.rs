//! The contract between a task and its operators.
//!
//! Operators are synchronous: a task calls them on its compute thread, one at a time, and they push
//! what comes out into an [`Output`]. What has to wait (a lookup, a timer) is started elsewhere and
//! posted back through a [`Waker`]; there is no `async fn` and no boxed future on the row path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::clock::Clock;
use crate::contract::mailbox::Waker;
use crate::contract::message::{Chunk, Message, Status, Watermark};
pub use crate::contract::splits::{OpenSplits, Split, Splits};
use crate::error::Result;
use crate::state::tier::{Kind, Times};
use crate::state::{Memory, Restored, Snapshot};

/// What an operator emits in one call, in order.
#[derive(Debug, Default)]
pub struct Output {
    messages: Vec<Message>,
}

impl Output {
    /// Emits rows; an empty chunk is dropped.
    pub fn chunk(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.messages.push(Message::Data(chunk));
        }
    }

    /// Emits any message.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Takes all that was emitted, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Message> {
        self.messages.drain(..)
    }

    /// Nothing was emitted.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// What an operator gets when its task starts.
#[derive(Debug, Clone)]
pub struct OperatorContext {
    /// Index of the task among those that run the same operators.
    pub task: usize,
    /// Number of such tasks.
    pub parallelism: usize,
    /// Makes the task call [`Operator::wake`].
    pub waker: Waker,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// [`Operator::snapshot`] will be called: what changes is to be noted.
    pub checkpointed: bool,
    /// What state may take in memory, all tasks of the job together.
    pub memory: Arc<Memory>,
}

impl OperatorContext {
    /// The order in which rows come is to be noted: for checkpoints, or because keys may go to disk.
    pub fn keeps_order(&self) -> bool {
        self.checkpointed || self.memory.goes_by_key()
    }
}

/// What of an operator's state can go to disk by key.
#[derive(Debug, Clone)]
pub struct ColdSpec {
    /// By input: the columns by which rows meet their keys, those of the tables' scopes in their order.
    pub inputs: Vec<Vec<usize>>,
    /// The tables of a snapshot that can. Keys with rows in another table stay in memory with all that they have.
    pub tables: Vec<&'static str>,
    /// How its rows are on disk.
    pub kind: Kind,
}

impl ColdSpec {
    /// Keys that come back when rows come for them; what was not written for `ttl` does not count any more.
    pub fn by_key(inputs: Vec<Vec<usize>>, tables: &[&'static str], ttl: Option<Duration>) -> Self {
        let ttl = ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let kind = Kind { adds: false, times: ttl.map_or(Times::None, Times::Written) };
        Self { inputs, tables: tables.to_vec(), kind }
    }

    /// Keys that also come back when their time has come.
    pub fn by_key_and_time(inputs: Vec<Vec<usize>>, tables: &[&'static str]) -> Self {
        Self { inputs, tables: tables.to_vec(), kind: Kind { adds: false, times: Times::Due } }
    }

    /// Keys that come back when their time has come, and until then take rows without it.
    pub fn by_time(tables: &[&'static str]) -> Self {
        let kind = Kind { adds: true, times: Times::Due };
        Self { inputs: Vec::new(), tables: tables.to_vec(), kind }
    }
}

/// A step of a task. Calls come one at a time, in stream order.
pub trait Operator: Send {
    /// What it is called in EXPLAIN and metrics, such as `LookupJoin`.
    fn name(&self) -> &'static str;

    /// Called once, before everything else.
    fn open(&mut self, _context: OperatorContext) -> Result<()> {
        Ok(())
    }

    /// Rows. Only called while [`Operator::room`] is not 0; the whole chunk is taken over.
    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()>;

    /// Rows at one of several inputs, numbered from 0; operators with one input have [`Operator::chunk`] alone.
    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        debug_assert_eq!(input, 0, "{} has one input", self.name());
        self.chunk(chunk, out)
    }

    /// Progress of event time at one of several inputs, before [`Operator::watermark`] reports the least of all.
    fn watermark_at(&mut self, _input: usize, _watermark: Watermark, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// One of several inputs has ended; [`Operator::end`] follows when all have.
    fn end_at(&mut self, _input: usize, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// Which splits of the source the rows of the next chunk come from, or what has changed when no chunk follows.
    /// Called on the operators after a source, up to the first that returns true: the one that assigns watermarks.
    /// Those before it keep the number and the order of the rows.
    fn splits(&mut self, _splits: &Splits, _out: &mut Output) -> Result<bool> {
        Ok(false)
    }

    /// Progress of event time over all inputs; operators that hold rows back hold it back behind them.
    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    /// The input became idle or active.
    fn status(&mut self, status: Status, out: &mut Output) -> Result<()> {
        out.push(Message::Status(status));
        Ok(())
    }

    /// A barrier follows at once: what is held for no other reason than to be done together with more is done now.
    fn settle(&mut self, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// A barrier passes: adds the state that everything before it has left, or what has changed of it since the
    /// last call. The task forwards the barrier at once, whatever the operator waits for: rows and
    /// signals that it holds back belong to its state. This stands in the way of rows: it takes columns out,
    /// and neither encodes nor writes.
    ///
    /// Behind [`Operator::end`], what is added must be such that an operator that got it back emits nothing at
    /// a second `end`.
    fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
        Ok(())
    }

    /// Restores the state of an earlier run; once, after [`Operator::open`], before everything else. An operator
    /// whose keys may be on disk ([`Operator::cold`]) also gets rows of keys back that it does not have, at any
    /// time and without values: a [part](Restored::is_part).
    /// Watermarks are sent again by the operators that assign them: what must not be done twice (emit a window) is
    /// for the operator to remember.
    fn restore(&mut self, _state: &mut Restored) -> Result<()> {
        Ok(())
    }

    /// What of its state can go to disk by key, if any.
    ///
    /// What such an operator does for a key depends on nothing but the rows of that key, event time and its values.
    fn cold(&self) -> Option<ColdSpec> {
        None
    }

    /// What of its state stays in memory whatever the limit is, in words behind "keeps"; `None` where there is nothing of
    /// the kind, or where it can only be little.
    fn stays(&self) -> Option<&'static str> {
        None
    }

    /// When rows of a table of a snapshot are wanted back, as [`Operator::reached`] counts; where that is asked for.
    fn due(&self, _table: &str, _rows: &RecordBatch) -> Result<Vec<i64>> {
        Ok(Vec::new())
    }

    /// How far a watermark has come, in the time of [`Operator::due`].
    fn reached(&mut self, watermark: Watermark) -> i64 {
        watermark.millis()
    }

    /// Bytes of state in memory, for people; 0 for an operator without state.
    fn state_bytes(&self) -> usize {
        0
    }

    /// What the operator waited for has arrived ([`OperatorContext::waker`]).
    fn wake(&mut self, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// When [`Operator::timer`] wants to be called next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed, but there may be input that was not read yet; `blocked`: it cannot be read, because an
    /// operator after this one has no room. An operator that waits for its input to stay away moves its deadline and
    /// returns true; others are called by [`Operator::timer`].
    fn postpone(&mut self, _now: Instant, _blocked: bool) -> bool {
        false
    }

    /// The deadline has passed.
    fn timer(&mut self, _now: Instant, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// The input has ended. [`Message::End`] is forwarded when nothing is held any more: here, or from a
    /// later [`Operator::wake`].
    fn end(&mut self, out: &mut Output) -> Result<()> {
        out.push(Message::End);
        Ok(())
    }

    /// Rows that it has left out so far because they came too late.
    fn late_rows(&self) -> u64 {
        0
    }

    /// Rows that it has left out so far because their table does not take them.
    fn dropped_rows(&self) -> u64 {
        0
    }

    /// How many more rows it takes before it pushes back. 0: the task stops reading until the operator
    /// was woken. A chunk may hold more rows than this; the operator then keeps the rest and answers 0.
    fn room(&self) -> usize {
        usize::MAX
    }
}
