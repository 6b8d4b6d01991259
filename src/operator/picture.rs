//! Chunks as text, for tests of operators.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;

use crate::clock::ManualClock;
use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Kind, Kinds, Mailbox, Message, Operator, OperatorContext, Output};
use crate::state::ledger::Ledger;
use crate::state::{Memory, Snapshot, hash_rows, key_group, task_of_group};

/// A schema of `name type` pairs; `s`: STRING, `n`: BIGINT, `t`: TIMESTAMP(3).
pub(crate) fn schema(columns: &str) -> SchemaRef {
    let mut words = columns.split_whitespace();
    let mut fields = Vec::new();
    while let (Some(name), Some(kind)) = (words.next(), words.next()) {
        let data_type = match kind {
            "s" => DataType::Utf8View,
            "n" => DataType::Int64,
            _ => DataType::Timestamp(TimeUnit::Millisecond, None),
        };
        fields.push(Field::new(name, data_type, true));
    }
    Arc::new(Schema::new(fields))
}

/// A chunk of rows such as `+I a 5, -U b NULL`; without a kind, `+I`.
pub(crate) fn chunk(schema: &SchemaRef, rows: &str) -> Chunk {
    let (mut kinds, mut cells) = (Vec::new(), vec![Vec::new(); schema.fields().len()]);
    for row in rows.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        let mut words: Vec<&str> = row.split_whitespace().collect();
        let kind = match words[0] {
            "+I" => Some(Kind::Insert),
            "-U" => Some(Kind::UpdateBefore),
            "+U" => Some(Kind::UpdateAfter),
            "-D" => Some(Kind::Delete),
            _ => None,
        };
        if kind.is_some() {
            words.remove(0);
        }
        kinds.push(kind.unwrap_or(Kind::Insert));
        assert_eq!(words.len(), cells.len(), "{row}");
        for (column, word) in cells.iter_mut().zip(words) {
            column.push(Some(word.to_string()).filter(|w| w != "NULL"));
        }
    }
    let columns = cells.into_iter().zip(schema.fields()).map(|(cells, field)| {
        let numbers = || cells.iter().map(|c| c.as_ref().map(|c| c.parse::<i64>().unwrap()));
        match field.data_type() {
            DataType::Utf8View => Arc::new(cells.into_iter().collect::<StringViewArray>()) as ArrayRef,
            DataType::Int64 => Arc::new(numbers().collect::<Int64Array>()),
            _ => Arc::new(numbers().collect::<TimestampMillisecondArray>()),
        }
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(kinds.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options).unwrap();
    let append = kinds.iter().all(|&k| k == Kind::Insert);
    let kinds = if append { Kinds::Append } else { Kinds::Changes(kinds.into()) };
    Chunk { batch, kinds, ingest: Instant::now() }
}

/// A chunk of `id BIGINT, name STRING`.
pub(crate) fn named(rows: &[(Kind, Option<i64>, Option<&str>)]) -> Chunk {
    let id: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>());
    let name: ArrayRef = Arc::new(rows.iter().map(|r| r.2).collect::<StringViewArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([("id", id, true), ("name", name, true)]);
    let kinds = Kinds::Changes(rows.iter().map(|r| r.0).collect());
    Chunk { batch: batch.unwrap(), kinds, ingest: Instant::now() }
}

/// Rows of a chunk, one text each, with their kind.
pub(crate) fn lines(chunk: &Chunk) -> Vec<String> {
    let row = |i: usize| {
        let cells = chunk.batch.columns().iter().map(|c| {
            if c.is_null(i) {
                return "NULL".to_string();
            }
            match c.data_type() {
                DataType::Timestamp(..) => {
                    let millis = c.as_any().downcast_ref::<TimestampMillisecondArray>().unwrap();
                    millis.value(i).to_string()
                }
                _ => array_value_to_string(c, i).unwrap(),
            }
        });
        let cells: Vec<String> = cells.collect();
        format!("{} {}", chunk.kinds.get(i).as_str(), cells.join(" "))
    };
    (0..chunk.len()).map(row).collect()
}

/// One task with its operator.
///
/// With [`Rig::durable`] a crash is another event: `checkpoint` writes what has changed, `crash` throws the
/// operator away and goes on with a new one that has what the last checkpoint had. Rows sent in between are
/// the test's to send again, as those of a source are, and so are watermarks: they begin anew.
pub(crate) struct Rig<O: Operator> {
    pub(crate) operator: O,
    pub(crate) input: SchemaRef,
    pub(crate) clock: Arc<ManualClock>,
    marks: WatermarkClock,
    make: Option<Box<dyn Fn() -> O>>,
    pub(crate) ledger: Ledger,
    /// What state may take.
    memory: Arc<Memory>,
    /// The next snapshot is a full one.
    full: bool,
}

impl<O: Operator> Rig<O> {
    pub(crate) fn new(operator: O, input: &SchemaRef) -> Self {
        Self::open(operator, input, None)
    }

    /// One whose operator notes changes and can crash; `make` makes it, again and again.
    pub(crate) fn durable(make: impl Fn() -> O + 'static, input: &SchemaRef) -> Self {
        Self::open(make(), input, Some(Box::new(make)))
    }

    fn open(operator: O, input: &SchemaRef, make: Option<Box<dyn Fn() -> O>>) -> Self {
        Self::limited(operator, input, make, Memory::unlimited())
    }

    /// One whose state may take so much.
    pub(crate) fn limited(
        operator: O,
        input: &SchemaRef,
        make: Option<Box<dyn Fn() -> O>>,
        memory: Arc<Memory>,
    ) -> Self {
        let clock = ManualClock::new(1_000_000);
        let (input, marks) = (input.clone(), WatermarkClock::default());
        let mut rig =
            Self { operator, input, clock, marks, make, ledger: Ledger::default(), memory, full: true };
        let context = rig.context();
        rig.operator.open(context).unwrap();
        rig
    }

    fn context(&self) -> OperatorContext {
        OperatorContext {
            task: 0,
            parallelism: 1,
            waker: Mailbox::new().waker(0),
            clock: self.clock.clone(),
            checkpointed: self.make.is_some(),
            memory: self.memory.clone(),
        }
    }

    /// A barrier passes: what has changed is written.
    pub(crate) fn checkpoint(&mut self) {
        let mut snapshot = Snapshot::new(std::mem::replace(&mut self.full, false));
        self.operator.snapshot(&mut snapshot).unwrap();
        self.ledger.add(0, snapshot);
    }

    /// The operator is gone; another one goes on where the last checkpoint was, or from the beginning.
    pub(crate) fn crash(&mut self) {
        self.operator = self.make.as_ref().expect("only a durable rig can crash")();
        let context = self.context();
        self.operator.open(context).unwrap();
        self.operator.restore(&mut self.ledger.restore(0, 1)).unwrap();
        self.full = true;
        self.marks = WatermarkClock::default();
    }

    /// The input ends; the rows that come out.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.call(|operator, out| operator.end(out))
    }

    pub(crate) fn call(&mut self, act: impl FnOnce(&mut O, &mut Output) -> Result<()>) -> Vec<String> {
        let mut out = Output::default();
        if let Err(e) = act(&mut self.operator, &mut out) {
            return vec![format!("error: {}", e.message())];
        }
        let messages = out.drain().flat_map(|m| match m {
            Message::Data(chunk) => lines(&chunk),
            _ => Vec::new(),
        });
        messages.collect()
    }

    /// Sends a chunk; the rows that come out.
    pub(crate) fn send(&mut self, rows: &str) -> Vec<String> {
        let chunk = chunk(&self.input, rows);
        self.call(|operator, out| operator.chunk(chunk, out).and_then(|()| operator.settle(out)))
    }

    /// Sends a watermark; the rows that come out.
    pub(crate) fn watermark(&mut self, millis: i64) -> Vec<String> {
        let Some(watermark) = self.marks.advance(millis) else { return Vec::new() };
        self.call(|operator, out| operator.watermark(watermark, out))
    }

    /// Sends a chunk; the rows that come out, as one text.
    pub(crate) fn sent(&mut self, rows: &str) -> String {
        self.send(rows).join(", ")
    }

    /// Sends a watermark; the rows that come out, as one text.
    pub(crate) fn marked(&mut self, millis: i64) -> String {
        self.watermark(millis).join(", ")
    }
}

/// Something that comes in.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A chunk, as a picture.
    Rows(String),
    Watermark(i64),
}

/// Something that happens between events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    Checkpoint,
    Crash,
}

/// Cuts, one behind each event.
pub(crate) fn cuts() -> impl proptest::strategy::Strategy<Value = Vec<Cut>> {
    use proptest::prelude::*;
    let cut = prop_oneof![4 => Just(Cut::Nothing), 4 => Just(Cut::Checkpoint), 1 => Just(Cut::Crash)];
    prop::collection::vec(cut, 1..60)
}

impl<O: Operator> Rig<O> {
    fn event(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Rows(rows) => self.send(rows),
            Event::Watermark(millis) => self.watermark(*millis),
        }
    }

    /// What comes out of each event, in the end: what was sent since the last checkpoint is sent again
    /// behind a crash, and what it gave before does not count. The last element is what the end gives.
    pub(crate) fn run(&mut self, events: &[Event], cuts: &[Cut]) -> Vec<Vec<String>> {
        let mut given: Vec<Vec<String>> = Vec::new();
        let mut cuts = cuts.iter();
        let mut written = 0;
        while given.len() < events.len() {
            given.push(self.event(&events[given.len()]));
            match cuts.next() {
                None | Some(Cut::Nothing) => {}
                Some(Cut::Checkpoint) => {
                    self.checkpoint();
                    written = given.len();
                }
                Some(Cut::Crash) => {
                    self.crash();
                    given.truncate(written);
                }
            }
        }
        given.push(self.end());
        given
    }
}

/// Tasks of one operator, among which rows are dealt by the values of some columns.
pub(crate) struct Tasks<O: Operator + 'static> {
    rigs: Vec<Rig<O>>,
    make: Arc<dyn Fn() -> O>,
    input: SchemaRef,
    keys: Vec<usize>,
}

impl<O: Operator> Tasks<O> {
    pub(crate) fn new(make: impl Fn() -> O + 'static, input: &SchemaRef, keys: &[usize]) -> Self {
        let make: Arc<dyn Fn() -> O> = Arc::new(make);
        let first = make.clone();
        let rigs = vec![Rig::durable(move || first(), input)];
        Self { rigs, make, input: input.clone(), keys: keys.to_vec() }
    }

    /// What comes out of all tasks, sorted.
    pub(crate) fn event(&mut self, event: &Event) -> Vec<String> {
        let mut all = Vec::new();
        for task in 0..self.rigs.len() {
            all.extend(match event {
                Event::Watermark(millis) => self.rigs[task].watermark(*millis),
                Event::Rows(rows) => {
                    let chunk = chunk(&self.input, rows);
                    let keys: Vec<ArrayRef> =
                        self.keys.iter().map(|&k| chunk.batch.column(k).clone()).collect();
                    let mut hashes = Vec::new();
                    hash_rows(&keys, chunk.len(), &mut hashes).unwrap();
                    let mine = (0..chunk.len() as u32).filter(|&row| {
                        let group = hashes.get(row as usize).map_or(0, |&hash| key_group(hash));
                        task_of_group(group, self.rigs.len()) == task
                    });
                    let mine = chunk.take(&mine.collect::<Vec<u32>>().into()).unwrap();
                    self.rigs[task].call(|operator, out| operator.chunk(mine, out))
                }
            });
        }
        all.sort();
        all
    }

    /// All tasks stop at a checkpoint and go on as so many.
    pub(crate) fn rescale(&mut self, tasks: usize) {
        let mut ledger = Ledger::default();
        for (task, rig) in self.rigs.iter_mut().enumerate() {
            let mut snapshot = Snapshot::new(true);
            rig.operator.snapshot(&mut snapshot).unwrap();
            ledger.add(task, snapshot);
        }
        self.rigs = (0..tasks)
            .map(|task| {
                let make = self.make.clone();
                let mut rig = Rig::durable(move || make(), &self.input);
                rig.operator.restore(&mut ledger.restore(task, tasks)).unwrap();
                rig
            })
            .collect();
    }

    /// What comes out of each event if the number of tasks changes behind some.
    pub(crate) fn run(&mut self, events: &[Event], scales: &[usize]) -> Vec<Vec<String>> {
        let mut scales = scales.iter().cycle();
        let mut given = Vec::new();
        for event in events {
            given.push(self.event(event));
            let tasks = *scales.next().unwrap_or(&1);
            if tasks != self.rigs.len() {
                self.rescale(tasks);
            }
        }
        given
    }
}

/// Applies changes to the rows they make; panics where a row is taken back that is not there.
pub(crate) fn apply(table: &mut Vec<String>, changes: &[String]) {
    for change in changes {
        let (kind, row) = change.split_once(' ').unwrap();
        match kind {
            "+I" | "+U" => table.push(row.to_string()),
            _ => {
                let at = table.iter().position(|r| r == row);
                table.swap_remove(at.unwrap_or_else(|| panic!("{change} takes back what is not there")));
            }
        }
    }
}
