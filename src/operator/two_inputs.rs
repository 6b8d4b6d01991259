//! One task with an operator of two inputs, for tests: watermarks are combined as the runtime does it. A crash is an
//! event like others: what was checkpointed comes back.
#![allow(clippy::unwrap_used, dead_code)]

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use proptest::prelude::*;

use super::picture::{chunk, lines};
use crate::clock::ManualClock;
use crate::error::Result;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Mailbox, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::ledger::Ledger;
use crate::state::{Restored, Snapshot, hash_rows, key_group, task_of_group};

pub(crate) struct TwoInputs<O: Operator> {
    pub(crate) operator: O,
    pub(crate) clock: Arc<ManualClock>,
    inputs: [SchemaRef; 2],
    marks: [WatermarkClock; 2],
    least: WatermarkClock,
    /// What was checkpointed; `None`: the next snapshot is full.
    ledger: Option<Ledger>,
}

impl<O: Operator> TwoInputs<O> {
    pub(crate) fn new(operator: O, inputs: [SchemaRef; 2]) -> Self {
        Self::start(operator, inputs, ManualClock::new(1_000_000), None)
    }

    fn start(
        mut operator: O,
        inputs: [SchemaRef; 2],
        clock: Arc<ManualClock>,
        state: Option<Restored>,
    ) -> Self {
        let waker = Mailbox::new().waker(0);
        operator
            .open(OperatorContext {
                task: 0,
                parallelism: 1,
                waker,
                clock: clock.clone(),
                checkpointed: true,
                memory: crate::state::Memory::unlimited(),
            })
            .unwrap();
        if let Some(mut state) = state {
            operator.restore(&mut state).unwrap();
        }
        let (marks, least) = Default::default();
        Self { operator, clock, inputs, marks, least, ledger: None }
    }

    fn snapshot(&mut self, full: bool) -> Snapshot {
        let mut snapshot = Snapshot::new(full);
        self.operator.snapshot(&mut snapshot).unwrap();
        snapshot
    }

    /// A barrier passes.
    pub(crate) fn checkpoint(&mut self) {
        let snapshot = self.snapshot(self.ledger.is_none());
        self.ledger.get_or_insert_default().add(0, snapshot);
    }

    /// A barrier passes, and the task is lost: `operator`, a new one, goes on from there. Gives what comes out
    /// when it is told the watermarks again, without them.
    pub(crate) fn crash(&mut self, operator: O) -> Vec<String> {
        self.checkpoint();
        let state = self.ledger.as_ref().map(|ledger| ledger.restore(0, 1));
        let marks = std::mem::take(&mut self.marks);
        *self = Self::start(operator, self.inputs.clone(), self.clock.clone(), state);
        self.retell(&marks)
    }

    fn retell(&mut self, marks: &[WatermarkClock; 2]) -> Vec<String> {
        let mut seen = Vec::new();
        for (input, mark) in marks.iter().enumerate() {
            seen.extend(mark.current().into_iter().flat_map(|mark| self.mark(input, mark.millis())));
        }
        seen.retain(|line| !line.starts_with('w'));
        seen
    }

    /// The rows that come out of a call, `w5` for watermarks, `end`, or the error.
    pub(crate) fn call(&mut self, act: impl FnOnce(&mut O, &mut Output) -> Result<()>) -> Vec<String> {
        let mut out = Output::default();
        if let Err(e) = act(&mut self.operator, &mut out) {
            return vec![format!("error: {}", e.message())];
        }
        let seen = out.drain().flat_map(|m| match m {
            Message::Data(chunk) => lines(&chunk),
            Message::Watermark(Watermark::END) => vec!["wEND".to_string()],
            Message::Watermark(w) => vec![format!("w{}", w.millis())],
            _ => vec!["end".to_string()],
        });
        seen.collect()
    }

    pub(crate) fn send(&mut self, input: usize, rows: &str) -> Vec<String> {
        let chunk = chunk(&self.inputs[input], rows);
        self.call(|operator, out| operator.chunk_at(input, chunk, out))
    }

    /// As [`TwoInputs::send`], as one text.
    pub(crate) fn sent(&mut self, input: usize, rows: &str) -> String {
        self.send(input, rows).join(", ")
    }

    pub(crate) fn mark(&mut self, input: usize, millis: i64) -> Vec<String> {
        let Some(watermark) = self.marks[input].advance(millis) else { return Vec::new() };
        let mut seen = self.call(|operator, out| operator.watermark_at(input, watermark, out));
        if let (Some(a), Some(b)) = (self.marks[0].current(), self.marks[1].current())
            && let Some(least) = self.least.advance(a.min(b).millis())
        {
            seen.extend(self.call(|operator, out| operator.watermark(least, out)));
        }
        seen
    }

    /// Both inputs' watermark at once, as one text.
    pub(crate) fn marked(&mut self, millis: i64) -> String {
        let mut seen = self.mark(0, millis);
        seen.extend(self.mark(1, millis));
        seen.join(", ")
    }

    /// Both inputs end.
    pub(crate) fn end(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for input in 0..2 {
            seen.extend(self.mark(input, i64::MAX));
            seen.extend(self.call(|operator, out| operator.end_at(input, out)));
        }
        seen.extend(self.call(|operator, out| operator.end(out)));
        seen
    }
}

/// Tasks of one operator, whose rows are given to them by key. What each call gives is that of all tasks, one after
/// the other.
pub(crate) struct Tasks<O: Operator> {
    make: Box<dyn Fn() -> O>,
    inputs: [SchemaRef; 2],
    /// The columns by which each input is exchanged.
    keys: [Vec<usize>; 2],
    tasks: Vec<TwoInputs<O>>,
    pub(crate) clock: Arc<ManualClock>,
    ledger: Option<Ledger>,
    ended: bool,
}

impl<O: Operator> Tasks<O> {
    /// One task.
    pub(crate) fn new(make: impl Fn() -> O + 'static, inputs: [SchemaRef; 2], keys: [Vec<usize>; 2]) -> Self {
        let clock = ManualClock::new(1_000_000);
        let tasks = vec![TwoInputs::start(make(), inputs.clone(), clock.clone(), None)];
        Self { make: Box::new(make), inputs, keys, tasks, clock, ledger: None, ended: false }
    }

    fn all(&mut self, call: impl FnMut(&mut TwoInputs<O>) -> Vec<String>) -> Vec<String> {
        self.tasks.iter_mut().flat_map(call).collect()
    }

    pub(crate) fn send(&mut self, input: usize, rows: &str) -> Vec<String> {
        let rows = chunk(&self.inputs[input], rows);
        self.chunk(input, rows)
    }

    pub(crate) fn chunk(&mut self, input: usize, chunk: Chunk) -> Vec<String> {
        let keys: Vec<_> = self.keys[input].iter().map(|&c| chunk.batch.column(c).clone()).collect();
        let mut hashes = Vec::new();
        hash_rows(&keys, chunk.len(), &mut hashes).unwrap();
        let tasks = self.tasks.len();
        let of = |hash: u64| if keys.is_empty() { 0 } else { task_of_group(key_group(hash), tasks) };
        let mut seen = Vec::new();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let rows = (0..chunk.len() as u32).filter(|&row| of(hashes[row as usize]) == number);
            let part = chunk.take(&rows.collect::<Vec<_>>().into()).unwrap();
            if !part.is_empty() {
                seen.extend(task.call(|operator, out| operator.chunk_at(input, part, out)));
            }
        }
        seen
    }

    pub(crate) fn mark(&mut self, input: usize, millis: i64) -> Vec<String> {
        self.all(|task| task.mark(input, millis))
    }

    /// Calls timers that are due.
    pub(crate) fn timer(&mut self) -> Vec<String> {
        self.all(|task| {
            task.call(|operator, out| {
                let deadline = operator.deadline();
                let now = crate::clock::instant();
                if deadline.is_some_and(|deadline| deadline <= now) {
                    operator.timer(now, out)
                } else {
                    Ok(())
                }
            })
        })
    }

    pub(crate) fn end(&mut self) -> Vec<String> {
        self.ended = true;
        self.all(TwoInputs::end)
    }

    /// A barrier passes all tasks.
    pub(crate) fn checkpoint(&mut self) {
        let full = self.ledger.is_none();
        let ledger = self.ledger.get_or_insert_default();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            ledger.add(number, task.snapshot(full));
            if self.ended {
                ledger.finish(number);
            }
        }
    }

    /// A barrier passes, all tasks are lost, and so many others go on from there.
    pub(crate) fn crash(&mut self, tasks: usize) -> Vec<String> {
        self.checkpoint();
        let ledger = self.ledger.take().unwrap();
        let marks = std::mem::take(&mut self.tasks[0].marks);
        self.tasks = (0..tasks)
            .map(|task| {
                let state = ledger.restore(task, tasks);
                TwoInputs::start((self.make)(), self.inputs.clone(), self.clock.clone(), Some(state))
            })
            .collect();
        if self.ended { Vec::new() } else { self.all(|task| task.retell(&marks)) }
    }
}

/// What happens to tasks.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Rows(usize, Chunk),
    Mark(usize, i64),
    /// Processing time passes, in milliseconds.
    Pass(i64),
    End,
}

impl Event {
    /// The same for an operator of one input.
    pub(crate) fn first(self) -> Self {
        if let Event::Rows(_, chunk) = self { Event::Rows(0, chunk) } else { self }
    }
}

/// What happens beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// A checkpoint.
    Checkpoint,
    /// A checkpoint, a crash, and so many new tasks.
    Crash(usize),
}

impl Fault {
    /// One of a few, by number: crashes come with up to `most` tasks.
    pub(crate) fn of(number: u8, most: usize) -> Self {
        match number {
            0..=2 => Fault::None,
            3..=5 => Fault::Checkpoint,
            _ => Fault::Crash(1 + usize::from(number) % most),
        }
    }
}

/// A random number of changes: what is done, to which key, with which value, to which of the rows there are.
pub(crate) type Acts = Vec<(u8, u8, u8, u8)>;

/// One step of a random story.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    input: usize,
    acts: Acts,
    mark: (usize, i64),
    pass: i64,
    faults: [u8; 3],
}

/// Random stories.
pub(crate) fn stories() -> impl Strategy<Value = Vec<Step>> {
    let acts = prop::collection::vec((0u8..8, 0u8..4, 0u8..4, 0u8..255), 0..8);
    let step = (0usize..2, acts, (0usize..2, 0i64..100), 0i64..60, any::<[u8; 3]>());
    let step = step.prop_map(|(input, acts, mark, pass, faults)| Step {
        input,
        acts,
        mark,
        pass,
        faults: faults.map(|fault| fault % 11),
    });
    prop::collection::vec(step, 1..16)
}

/// A story as events, and the faults before each: `rows` makes the rows of an input, marks move by `pace` with the
/// steps.
pub(crate) fn told(
    steps: &[Step],
    most: usize,
    pace: i64,
    mut rows: impl FnMut(usize, &Acts, i64) -> Chunk,
) -> (Vec<Event>, Vec<Fault>) {
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        let base = number as i64 * pace;
        let chunk = rows(step.input, &step.acts, base);
        if !chunk.is_empty() {
            events.push(Event::Rows(step.input, chunk));
        }
        events.push(Event::Pass(step.pass));
        if pace > 0 {
            events.push(Event::Mark(step.mark.0, base + step.mark.1 - 50));
        }
        faults.extend(step.faults.iter().map(|&fault| Fault::of(fault, most)));
    }
    events.push(Event::End);
    faults.push(Fault::Checkpoint);
    (events, faults)
}

/// Runs events through an operator twice: as they are, and with faults (one before each event). What comes out at each
/// event must be the same: exactly, if there always is one task (watermarks aside, which are told again behind a
/// crash), else in any order.
pub(crate) fn survive<O: Operator>(
    make: impl Fn() -> O + Clone + 'static,
    inputs: &[SchemaRef; 2],
    keys: &[Vec<usize>; 2],
    events: &[Event],
    faults: &[Fault],
) {
    survive_in(true, make, inputs, keys, events, faults);
}

/// The same; without `ordered`, what comes out at an event may come in another order after a crash.
pub(crate) fn survive_in<O: Operator>(
    ordered: bool,
    make: impl Fn() -> O + Clone + 'static,
    inputs: &[SchemaRef; 2],
    keys: &[Vec<usize>; 2],
    events: &[Event],
    faults: &[Fault],
) {
    let mut plain = Tasks::new(make.clone(), inputs.clone(), keys.clone());
    let mut tried = Tasks::new(make, inputs.clone(), keys.clone());
    let one_task = faults.iter().all(|fault| !matches!(fault, Fault::Crash(tasks) if *tasks > 1));
    for (number, event) in events.iter().enumerate() {
        let again = match faults.get(number).copied().unwrap_or(Fault::None) {
            Fault::None => Vec::new(),
            Fault::Checkpoint => {
                tried.checkpoint();
                Vec::new()
            }
            Fault::Crash(tasks) => tried.crash(tasks),
        };
        assert_eq!(again, [""; 0], "nothing comes out by a crash before event {number}");
        let happen = |tasks: &mut Tasks<O>| -> Vec<String> {
            let mut seen = match event.clone() {
                Event::Rows(input, chunk) => tasks.chunk(input, chunk),
                Event::Mark(input, millis) => tasks.mark(input, millis),
                Event::Pass(_) => tasks.timer(),
                Event::End => tasks.end(),
            };
            if !one_task {
                seen.retain(|line| line != "end" && !line.starts_with('w'));
                // An update whose two rows go to two tasks is a delete and an insert.
                let plain = |line: &String| line.replace("-U", "-D").replace("+U", "+I");
                seen = seen.iter().map(plain).collect();
            }
            if !one_task || !ordered {
                seen.sort_unstable();
            }
            seen
        };
        if let Event::Pass(millis) = event {
            plain.clock.advance(*millis);
            tried.clock.advance(*millis);
        }
        let (expected, seen) = (happen(&mut plain), happen(&mut tried));
        assert_eq!(seen, expected, "at event {number} of {events:#?}\nwith {faults:?}");
    }
    if tried.ended {
        // What has ended ends again without another row.
        tried.crash(1);
        let again = tried.end();
        assert!(again.iter().all(|line| line.starts_with('w') || line == "end"), "{again:?}");
    }
}
