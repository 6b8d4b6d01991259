//! The lookup join: extends each row by what a lookup table has under its key.
//!
//! The problem: the answer for one row may take a second, the answer for the next is in memory, and
//! neither the order of rows, nor the watermarks between them, nor the checkpoint may suffer.
//!
//! ```text
//!   chunk ─ keys ─ probe ─┬─ all known, nothing held ──────────────> take, emit       (no queue at all)
//!                         └─> queue:  [rows ✓✓·✓·][watermark][rows ··✓]
//!                                          ^ completions of the client resolve single rows
//! ```
//! - **Ordered**: the longest resolved prefix is emitted. **Unordered**: every resolved row in front of
//!   the first held watermark is; a row never overtakes a watermark, nor a watermark a row before it.
//!   Updating input is always ordered: an update must not overtake what it updates.
//! - Where rows may be taken back, what was emitted for them is [remembered](MemorySpec): a retraction takes
//!   back exactly that, without a call, even if the table gives another answer by then.
//! - The capacity bounds what is asked and not answered: rows without a cache, distinct keys with one,
//!   because rows that wait for the same request cost nothing.
//! - A barrier overtakes the queue: it is forwarded at once, and what waits goes into the snapshot.
//! - All that has arrived when the operator is woken goes out as one chunk.

mod assemble;
mod checkpoint;
mod compute;
mod letters;
mod memory;
mod queue;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashTable;
use tokio::time::Instant;

use self::assemble::Assembler;
use self::checkpoint::Written;
pub use self::letters::with_letters;
use self::letters::{Letter, Letters};
use self::memory::Memory;
use self::queue::{Arrival, Cell, Found, Held, Queue, RowRef};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Status, Watermark};
use crate::lookup::keys::KeyColumns;
use crate::lookup::{
    Answer, Asking, Completion, Completions, Failure, FailureKind, Lookup, OnError, Outcome, OutputMode,
};
use crate::state::{Restored, Snapshot};

/// Rows that may be held back before the operator takes no more.
const HELD_ROWS: usize = 65_536;

/// Rows of one chunk that comes out, unless one left row has more.
const CHUNK_ROWS: usize = 65_536;
/// Chunks that come out in one call: a key with very many rows must not fill the memory before the next
/// operator sees the first of them.
const CHUNKS: usize = 4;

/// A lookup join that was planned.
#[derive(Debug, Clone)]
pub struct LookupJoinSpec {
    /// The lookup, shared by all tasks.
    pub lookup: Arc<Lookup>,
    /// One per key column (ascending column order), over the left schema, cast to the column's type;
    /// constants are literals.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// LEFT only: over the left schema; a row for which it is not TRUE makes no call and is padded.
    pub pre_filter: Option<Arc<dyn PhysicalExpr>>,
    /// Over the lookup's schema (all physical columns): filters on its side, and constants again.
    pub right_filter: Option<Arc<dyn PhysicalExpr>>,
    /// Over the lookup's schema: the right output columns.
    pub right_projection: Vec<Arc<dyn PhysicalExpr>>,
    /// Over the output schema: the kept left columns, then the right output columns.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Rows without a match are kept, padded with NULLs.
    pub left_outer: bool,
    /// Left columns that are kept, as indices into the left schema, in output order.
    pub left_projection: Vec<usize>,
    /// Kept left columns, then right output columns.
    pub schema: SchemaRef,
    /// Columns of the left input.
    pub left: SchemaRef,
    /// For input that takes rows back: remember what was emitted for them.
    pub memory: Option<MemorySpec>,
    /// Rows come with one more column, of dead letters.
    pub dead_letters: bool,
}

/// What a lookup join on updating input remembers.
#[derive(Debug, Clone)]
pub struct MemorySpec {
    /// Rows that came so long ago are forgotten; what is taken back later is dropped.
    pub state_ttl: Option<Duration>,
}

/// A key that was or will be asked for, and the rows of this task that wait for it.
#[derive(Debug)]
struct Pending {
    first: RowRef,
    more: Vec<RowRef>,
    /// With a cache: others with this key may join.
    key: Option<Box<[u8]>>,
    asked: Option<Instant>,
    /// It takes no place: nothing was found, and it is asked for again later.
    held: bool,
    /// So many rows from the first on are computed together; 0: one key, which is asked for.
    together: u32,
}

/// The operator of one task.
#[derive(Debug)]
pub struct LookupJoin {
    lookup: Arc<Lookup>,
    /// Until the end of the output.
    asking: Option<Asking>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    pre_filter: Option<Arc<dyn PhysicalExpr>>,
    assembler: Assembler,
    capacity: usize,
    ordered: bool,
    completions: Option<Arc<Completions>>,
    queue: Queue,
    pending: Vec<Option<Pending>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// Tickets without a place yet.
    to_ask: VecDeque<u32>,
    /// Rows that are computed together, and not yet.
    to_compute: VecDeque<(u64, std::ops::Range<u32>)>,
    /// Tickets of such rows.
    computing: usize,
    in_flight: usize,
    /// What came before the lookup was ready.
    early: VecDeque<Message>,
    /// There is more to emit than one call may.
    backlog: bool,
    /// What was emitted, where rows may be taken back.
    memory: Option<Memory>,
    /// Where rows that fail are kept.
    letters: Option<Letters>,
    clock: Arc<dyn Clock>,
    left: SchemaRef,
    /// Number of the next row that is taken in.
    position: u64,
    /// The last watermark that came in.
    seen: Option<i64>,
    /// The last watermark that went out.
    told: Option<i64>,
    /// What the last snapshot held.
    written: Written,
}

impl LookupJoin {
    /// An operator for one task.
    pub fn new(spec: LookupJoinSpec) -> Result<Self> {
        let memory = match &spec.memory {
            None => None,
            Some(memory) => {
                let right: Vec<_> =
                    spec.schema.fields().iter().skip(spec.left_projection.len()).cloned().collect();
                Some(Memory::new(&spec.left, Arc::new(Schema::new(right)), memory.state_ttl)?)
            }
        };
        let letters = match spec.dead_letters {
            true => Some(Letters::new(&spec.schema, &spec.left, &spec.lookup.request().key_schema()?)?),
            false => None,
        };
        let config = spec.lookup.config();
        let capacity = spec.lookup.capacity();
        let ordered = config.output_mode == OutputMode::Ordered || !config.is_async || memory.is_some();
        Ok(Self {
            capacity,
            ordered,
            asking: Some(spec.lookup.asking()),
            lookup: spec.lookup.clone(),
            keys: spec.keys.clone(),
            pre_filter: spec.pre_filter.clone(),
            left: spec.left.clone(),
            assembler: Assembler::new(spec),
            completions: None,
            queue: Queue::default(),
            pending: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            to_ask: VecDeque::new(),
            to_compute: VecDeque::new(),
            computing: 0,
            in_flight: 0,
            early: VecDeque::new(),
            backlog: false,
            memory,
            letters,
            clock: Arc::new(SystemClock),
            position: 0,
            seen: None,
            told: None,
            written: Written::default(),
        })
    }

    fn completions(&self) -> Result<Arc<Completions>> {
        self.completions.clone().ok_or_else(|| Error::internal("a lookup join that was not opened"))
    }

    /// Key columns of a chunk; rows that ask for nothing have no key.
    fn encode(&self, chunk: &Chunk) -> Result<KeyColumns> {
        let rows = chunk.len();
        let columns = self
            .keys
            .iter()
            .map(|key| Ok(key.evaluate(&chunk.batch)?.into_array(rows)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let taken_back = self.taken_back(&chunk.kinds);
        let asked = taken_back.map(|rows| NullBuffer::from_iter(rows.into_iter().map(|back| !back)));
        let wanted = match &self.pre_filter {
            None => asked,
            Some(filter) => {
                let array = filter.evaluate(&chunk.batch)?.into_array(rows)?;
                let verdict = array.as_boolean_opt();
                let verdict = verdict.ok_or_else(|| Error::internal("a pre-filter that is not boolean"))?;
                let mut wanted = verdict.values().clone();
                if let Some(nulls) = verdict.nulls() {
                    wanted = &wanted & nulls.inner();
                }
                NullBuffer::union(Some(&NullBuffer::new(wanted)), asked.as_ref())
            }
        };
        self.lookup.encoder().encode(columns, wanted.as_ref())
    }

    /// Which rows are taken back from memory.
    fn taken_back(&self, kinds: &Kinds) -> Option<Vec<bool>> {
        match kinds {
            Kinds::Changes(kinds) if self.memory.is_some() => {
                Some(kinds.iter().map(|k| matches!(k, Kind::UpdateBefore | Kind::Delete)).collect())
            }
            _ => None,
        }
    }

    fn take_in(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        if matches!(chunk.kinds, Kinds::Changes(_)) {
            self.ordered = true;
        }
        let keys = Arc::new(self.encode(&chunk)?);
        let probe = self.lookup.probe(&keys);
        let place = Arrival { position: self.position, watermark: self.seen };
        self.position += chunk.len() as u64;
        if self.memory.is_none()
            && self.queue.is_open(self.ordered)
            && let Some(probe) = &probe
            && let Some(joined) = self.assembler.direct(&chunk, probe)?
        {
            return self.deliver(joined, out);
        }
        let mut cells: Vec<Cell> = match &probe {
            None => (0..keys.len())
                .map(|row| if keys.bytes.is_null(row) { Cell::Nothing } else { Cell::Waiting })
                .collect(),
            Some(probe) => probe
                .slots
                .iter()
                .map(|slot| match slot.count {
                    0 => Cell::Nothing,
                    _ if slot.is_known() => Cell::Cached(*slot),
                    _ => Cell::Waiting,
                })
                .collect(),
        };
        for (cell, back) in cells.iter_mut().zip(self.taken_back(&chunk.kinds).into_iter().flatten()) {
            if back {
                *cell = Cell::TakeBack;
            }
        }
        if self.lookup.has_metadata() && probe.is_some() {
            self.say_missing(&keys, &mut cells)?;
        }
        let snapshot = probe.map(|p| p.snapshot);
        let held = Held::new(chunk, keys, cells, snapshot, self.lookup.now(), place);
        let seq = self.queue.push(held);
        if self.lookup.computes() {
            self.wait_together(seq);
        } else if let Some(held) = self.queue.rows(seq) {
            let waiting: Vec<u32> = held.waiting().collect();
            for row in waiting {
                self.wait_for(RowRef { seq, row });
            }
        }
        self.ask()?;
        self.emit(out)
    }

    /// What is known to be missing has a row that says so, where metadata is read.
    fn say_missing(&self, keys: &KeyColumns, cells: &mut [Cell]) -> Result<()> {
        let missing = |(row, cell): (usize, &Cell)| {
            (matches!(cell, Cell::Nothing) && !keys.bytes.is_null(row)).then_some(row as u32)
        };
        let missing: Vec<u32> = cells.iter().enumerate().filter_map(missing).collect();
        if let Some(rows) = self.lookup.missing(keys, &missing)? {
            for (place, row) in missing.into_iter().enumerate() {
                cells[row as usize] = Cell::Answered(Found::new(rows.clone(), place as u32, 1));
            }
        }
        Ok(())
    }

    /// Puts a row behind the request for its key, or queues a new one.
    fn wait_for(&mut self, at: RowRef) {
        if let Some(ticket) = self.place(at) {
            self.to_ask.push_back(ticket);
        }
    }

    /// Puts a row behind the request for its key; the ticket of a new one.
    fn place(&mut self, at: RowRef) -> Option<u32> {
        let held = self.queue.rows(at.seq)?;
        let key = self.lookup.is_cached().then(|| held.keys.bytes.value(at.row as usize));
        let hash = |key: &[u8]| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write(key);
            hasher.finish()
        };
        if let Some(key) = key {
            let pending = &mut self.pending;
            let same = |ticket: &u32| {
                pending[*ticket as usize].as_ref().is_some_and(|p| p.key.as_deref() == Some(key))
            };
            if let Some(ticket) = self.by_key.find(hash(key), same) {
                if let Some(pending) = &mut pending[*ticket as usize] {
                    pending.more.push(at);
                }
                return None;
            }
        }
        let (key, hash_of_key) = (key.map(Box::from), key.map(hash));
        let (more, asked) = (Vec::new(), None);
        let ticket = self.ticket(Pending { first: at, more, key, asked, held: false, together: 0 });
        if let Some(hash_of_key) = hash_of_key {
            let (pending, hasher) = (&self.pending, &self.hasher);
            let hash = |key: &[u8]| {
                let mut hasher = hasher.build_hasher();
                hasher.write(key);
                hasher.finish()
            };
            let rehash = |t: &u32| {
                hash(pending[*t as usize].as_ref().and_then(|p| p.key.as_deref()).unwrap_or_default())
            };
            self.by_key.insert_unique(hash_of_key, ticket, rehash);
        }
        Some(ticket)
    }

    /// A ticket for what waits.
    fn ticket(&mut self, pending: Pending) -> u32 {
        match self.free.pop() {
            Some(ticket) => {
                self.pending[ticket as usize] = Some(pending);
                ticket
            }
            None => {
                self.pending.push(Some(pending));
                self.pending.len() as u32 - 1
            }
        }
    }

    /// Hands over to the client what has a place.
    fn ask(&mut self) -> Result<()> {
        self.compute()?;
        let mut batch: Vec<(u32, u32)> = Vec::new();
        while self.in_flight < self.capacity && !self.to_ask.is_empty() {
            // Rows of one chunk are asked for together.
            batch.clear();
            let mut seq = None;
            let now = self.lookup.now();
            while self.in_flight < self.capacity
                && let Some(ticket) = self.to_ask.front().copied()
            {
                let Some(pending) = self.pending[ticket as usize].as_mut() else {
                    self.to_ask.pop_front();
                    continue;
                };
                if *seq.get_or_insert(pending.first.seq) != pending.first.seq {
                    break;
                }
                pending.asked = Some(now);
                batch.push((pending.first.row, ticket));
                self.in_flight += 1;
                self.to_ask.pop_front();
            }
            if let Some(held) = seq.and_then(|seq| self.queue.rows(seq)) {
                self.lookup.ask(&self.completions()?, &held.keys, &batch)?;
            }
        }
        Ok(())
    }

    /// Takes in the answer for a ticket.
    fn resolve(&mut self, ticket: u32, answer: Answer) -> Result<()> {
        let Some(pending) = self.pending.get_mut(ticket as usize).and_then(Option::take) else {
            return Err(Error::internal("a lookup was completed twice"));
        };
        if let Some(key) = &pending.key {
            let mut hasher = self.hasher.build_hasher();
            hasher.write(key);
            if let Ok(entry) = self.by_key.find_entry(hasher.finish(), |t| *t == ticket) {
                entry.remove();
            }
        }
        self.free.push(ticket);
        self.in_flight -= usize::from(!pending.held);
        if let Outcome::Error(failure) = &answer.outcome {
            let failure = failure.clone();
            return self.resolve_failed(&pending, &failure, answer);
        }
        // Also a miss may have a row, of metadata.
        let cell = if answer.count == 0 { Cell::Nothing } else { Cell::Answered(answer.into()) };
        for row in std::iter::once(&pending.first).chain(&pending.more) {
            self.queue.resolve(*row, cell.clone());
        }
        Ok(())
    }

    fn resolve_failed(&mut self, pending: &Pending, failure: &Failure, answer: Answer) -> Result<()> {
        let timed_out = |asked: Instant| {
            failure.kind == FailureKind::Timeout
                && self.lookup.now().saturating_duration_since(asked) >= self.lookup.patience()
        };
        let cut = pending.asked.filter(|asked| timed_out(*asked));
        let on_error = self.lookup.config().on_error.of(failure.kind);
        if matches!(on_error, OnError::Null | OnError::Drop) {
            self.lookup
                .note_failure(failure, if on_error == OnError::Null { "gave NULL" } else { "were dropped" });
        }
        let cell = match on_error {
            OnError::Fail | OnError::Stale => return Err(self.error(pending.first, failure)),
            OnError::Null if answer.count == 0 => Cell::Nothing,
            OnError::Null => Cell::Answered(answer.into()),
            OnError::Drop => Cell::Skip,
            OnError::DeadLetter => {
                let message = failure.message.clone();
                let kind = failure.kind.as_str();
                Cell::Letter(Arc::new(Letter { kind, message, attempts: answer.attempts }))
            }
        };
        let letter = matches!(cell, Cell::Letter(_));
        for row in std::iter::once(&pending.first).chain(&pending.more) {
            // A row that came after the request was made has not waited its time yet.
            match (cut, self.queue.rows(row.seq)) {
                (Some(asked), Some(held)) if held.taken_in > asked => self.wait_for(*row),
                _ => {
                    if letter {
                        self.lookup.note_dead_letter();
                    }
                    self.queue.resolve(*row, cell.clone());
                }
            }
        }
        Ok(())
    }

    fn error(&self, row: RowRef, failure: &Failure) -> Error {
        let request = self.lookup.request();
        let mut key = Vec::new();
        if let Some(held) = self.queue.rows(row.seq) {
            for (column, array) in request.keys.iter().zip(&held.keys.columns) {
                let value = arrow::util::display::array_value_to_string(array, row.row as usize);
                let value = value.unwrap_or_else(|_| "?".into());
                let cut: String = value.chars().take(60).collect();
                let (cut, dots) = match request.is_call && cut.len() < value.len() {
                    true => (cut, "..."),
                    false => (value, ""),
                };
                let cut = if array.is_null(row.row as usize) { "NULL".to_string() } else { cut };
                key.push(format!("{} = {cut}{dots}", request.schema.field(*column).name()));
            }
        }
        if request.is_call {
            return self.call_error(&key, failure);
        }
        let error = Error::lookup(format!(
            "lookup in table '{}' failed for {}: {}",
            self.lookup.name(),
            key.join(", "),
            failure.message
        ))
        .with_detail(format!("{} error, asked: {}", failure.kind.as_str(), self.lookup.describe()))
        .with_hint("'lookup.on-error' = 'null', 'drop' or 'dead-letter' goes on without an answer");
        // A connection that another attempt would not make is one to a server that is not trusted.
        let refused = failure.kind == FailureKind::Connection && !failure.retryable;
        if failure.kind.may_pass() && !refused { error } else { error.lasting() }
    }

    fn call_error(&self, arguments: &[String], failure: &Failure) -> Error {
        let error =
            Error::execution(format!("function '{}' failed: {}", self.lookup.name(), failure.message));
        let none = self.lookup.request().keys.iter().all(|k| {
            self.lookup.request().schema.field(*k).name() == crate::function::user::caller::NO_ARGUMENT
        });
        let error = match none {
            true => error,
            false => error.with_detail(format!("its arguments: {}", arguments.join(", "))),
        };
        let error = error.with_hint(
            "'lookup.on-error' = 'null' of the function gives NULL for such rows and counts them, 'drop' leaves them out",
        );
        if failure.kind.may_pass() && failure.retryable { error } else { error.lasting() }
    }

    /// Emits what may go.
    fn emit(&mut self, out: &mut Output) -> Result<()> {
        self.backlog = false;
        let mut chunks = 0;
        loop {
            let ready = self.queue.emittable(self.ordered);
            let mut rows = ready.as_slice();
            while !rows.is_empty() {
                if chunks == CHUNKS {
                    // The rest when the task comes around again.
                    self.backlog = true;
                    self.queue.keep_ready(rows);
                    self.completions()?.wake();
                    return Ok(());
                }
                let (now, later) = rows.split_at(self.queue.within(rows, CHUNK_ROWS));
                let joined = match &mut self.memory {
                    None => self.assembler.assemble(&self.queue, now)?,
                    Some(memory) => {
                        let time = self.clock.now_millis();
                        self.assembler.assemble_remembered(&self.queue, now, memory, time)?
                    }
                };
                if let Some(chunk) = joined {
                    self.deliver(chunk, out)?;
                }
                if let Some(letters) = &mut self.letters
                    && let Some(chunk) = letters.of(&self.queue, now)?
                {
                    out.chunk(chunk);
                }
                self.queue.emitted(now);
                chunks += 1;
                rows = later;
            }
            match self.queue.next_signal() {
                Some(signal) => self.tell(signal, out),
                None => return Ok(()),
            }
        }
    }

    fn deliver(&self, joined: Chunk, out: &mut Output) -> Result<()> {
        out.chunk(match &self.letters {
            Some(letters) => letters.joined(joined)?,
            None => joined,
        });
        Ok(())
    }

    fn tell(&mut self, signal: Message, out: &mut Output) {
        if let Message::Watermark(watermark) = &signal {
            self.told = self.told.max(Some(watermark.millis()));
        }
        if matches!(signal, Message::End) {
            self.asking = None;
        }
        out.push(signal);
    }

    /// Whether the lookup can be used; keeps `message` for later if not.
    fn early(&mut self, message: Message) -> Result<Option<Message>> {
        if self.early.is_empty() && self.lookup.ready(&self.completions()?)? {
            return Ok(Some(message));
        }
        self.early.push_back(message);
        Ok(None)
    }

    fn accept(&mut self, message: Message, out: &mut Output) -> Result<()> {
        match message {
            Message::Data(chunk) => self.take_in(chunk, out),
            signal => {
                if let Message::Watermark(watermark) = &signal {
                    self.seen = self.seen.max(Some(watermark.millis()));
                }
                if let Some(signal) = self.queue.signal(signal) {
                    self.tell(signal, out);
                }
                Ok(())
            }
        }
    }

    fn receive(&mut self, message: Message, out: &mut Output) -> Result<()> {
        match self.early(message)? {
            Some(message) => self.accept(message, out),
            None => Ok(()),
        }
    }
}

impl Operator for LookupJoin {
    fn name(&self) -> &'static str {
        if self.lookup.request().is_call { "FunctionCall" } else { "LookupJoin" }
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        if let Some(memory) = &mut self.memory {
            memory.open(&context);
        }
        self.clock = context.clock;
        let completions = Completions::new(context.waker);
        self.completions = Some(completions.clone());
        // Starts the first load of a FULL cache.
        self.lookup.ready(&completions).map(drop)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.receive(Message::Data(chunk), out)
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.receive(Message::Watermark(watermark), out)
    }

    fn status(&mut self, status: Status, out: &mut Output) -> Result<()> {
        self.receive(Message::Status(status), out)
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.receive(Message::End, out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.write_waiting(snapshot)?;
        match &mut self.memory {
            Some(memory) => memory.snapshot(snapshot),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        if let Some(memory) = &mut self.memory {
            memory.restore(state, self.clock.now_millis())?;
        }
        self.read_waiting(state)
    }

    fn stays(&self) -> Option<&'static str> {
        let remembers = self.memory.is_some();
        remembers.then_some("what it has looked up for rows that may be retracted in memory")
    }

    fn state_bytes(&self) -> usize {
        self.waiting_bytes() + self.memory.as_ref().map_or(0, Memory::memory)
    }

    fn wake(&mut self, out: &mut Output) -> Result<()> {
        let completions = self.completions()?;
        let completed = completions.events();
        let any = !completed.is_empty();
        for event in completed {
            match event {
                Completion::Done(ticket, answer) => self.resolve(ticket, answer)?,
                Completion::Computed(ticket, result) => self.computed(ticket, result)?,
                Completion::Held(ticket) => {
                    let pending = self.pending.get_mut(ticket as usize).and_then(Option::as_mut);
                    // One row at a time means that the next one waits, too.
                    let frees = self.lookup.config().is_async;
                    if let Some(pending) = pending.filter(|pending| frees && !pending.held) {
                        pending.held = true;
                        self.in_flight -= 1;
                    }
                }
            }
        }
        if any || self.backlog {
            self.ask()?;
            self.emit(out)?;
        }
        if !self.early.is_empty() && self.lookup.ready(&completions)? {
            for message in std::mem::take(&mut self.early) {
                self.accept(message, out)?;
            }
        }
        Ok(())
    }

    fn room(&self) -> usize {
        if self.backlog || !self.early.is_empty() || !self.to_ask.is_empty() || !self.to_compute.is_empty() {
            return 0;
        }
        HELD_ROWS.saturating_sub(self.queue.held_rows())
    }
}

#[cfg(test)]
mod tests;
