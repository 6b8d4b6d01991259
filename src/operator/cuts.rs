//! Operators that are cut anywhere and come back, in as many tasks: what comes out must be what comes out of one that
//! runs on.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use proptest::prelude::*;

use super::picture::{chunk, lines};
use crate::clock::ManualClock;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Mailbox, Message, Operator, OperatorContext, Output};
use crate::state::ledger::Ledger;
use crate::state::{Snapshot, hash_rows, key_group, task_of_group};

/// What happens to an operator.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Rows come.
    Rows(String),
    /// A watermark comes.
    Mark(i64),
    /// So many milliseconds go by.
    Pass(i64),
}

/// What happens behind an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    None,
    /// A checkpoint.
    Checkpoint,
    /// A checkpoint, from which so many tasks come back.
    Restore(usize),
}

struct Job<'a, O> {
    make: &'a dyn Fn() -> O,
    keys: &'a [usize],
    clock: Arc<ManualClock>,
    tasks: Vec<O>,
    ledger: Ledger,
    full: bool,
}

impl<O: Operator> Job<'_, O> {
    fn start(&mut self, tasks: usize, restored: Option<&Ledger>) {
        let task = |task: usize| {
            let mut operator = (self.make)();
            let context = OperatorContext {
                task,
                parallelism: tasks,
                waker: Mailbox::new().waker(0),
                clock: self.clock.clone(),
                checkpointed: true,
                memory: crate::state::Memory::unlimited(),
            };
            operator.open(context).unwrap();
            if let Some(ledger) = restored {
                operator.restore(&mut ledger.restore(task, tasks)).unwrap();
            }
            operator
        };
        self.tasks = (0..tasks).map(task).collect();
    }

    fn checkpoint(&mut self) {
        for (task, operator) in self.tasks.iter_mut().enumerate() {
            let mut snapshot = Snapshot::new(self.full);
            operator.snapshot(&mut snapshot).unwrap();
            self.ledger.add(task, snapshot);
        }
        self.full = false;
    }

    /// The rows of a chunk by task.
    fn dealt(&self, chunk: &Chunk) -> Vec<Chunk> {
        if self.tasks.len() == 1 {
            return vec![chunk.clone()];
        }
        let keys: Vec<_> = self.keys.iter().map(|&k| chunk.batch.column(k).clone()).collect();
        let mut hashes = Vec::new();
        hash_rows(&keys, chunk.len(), &mut hashes).unwrap();
        let of_task = |task: usize| {
            let is_own =
                |row: &u32| task_of_group(key_group(hashes[*row as usize]), self.tasks.len()) == task;
            let rows: UInt32Array = (0..chunk.len() as u32).filter(is_own).collect();
            chunk.take(&rows).unwrap()
        };
        (0..self.tasks.len()).map(of_task).collect()
    }
}

fn seen(mut out: Output) -> Vec<String> {
    out.drain().flat_map(|m| if let Message::Data(chunk) = m { lines(&chunk) } else { vec![] }).collect()
}

/// Plays events with cuts behind them; what came out of each. `keys`: by which the input is exchanged. Where there
/// are several tasks the order of rows says nothing: they are sorted.
pub(crate) fn play<O: Operator>(
    make: &dyn Fn() -> O,
    (input, keys): (&SchemaRef, &[usize]),
    events: &[Event],
    cuts: &[Cut],
    sorted: bool,
) -> Vec<Vec<String>> {
    let clock = ManualClock::new(1_000_000);
    let mut job = Job { make, keys, clock, tasks: Vec::new(), ledger: Ledger::default(), full: true };
    job.start(1, None);
    let mut marks = WatermarkClock::default();
    let mut result = Vec::new();
    for (i, event) in events.iter().enumerate() {
        let mut came = Vec::new();
        match event {
            Event::Rows(rows) => {
                for (task, chunk) in job.dealt(&chunk(input, rows)).into_iter().enumerate() {
                    let mut out = Output::default();
                    job.tasks[task].chunk(chunk, &mut out).unwrap();
                    came.extend(seen(out));
                }
            }
            Event::Mark(millis) => {
                if let Some(mark) = marks.advance(*millis) {
                    for operator in &mut job.tasks {
                        let mut out = Output::default();
                        operator.watermark(mark, &mut out).unwrap();
                        came.extend(seen(out));
                    }
                }
            }
            Event::Pass(millis) => job.clock.advance(*millis),
        }
        match cuts.get(i).copied().unwrap_or(Cut::None) {
            Cut::None => {}
            Cut::Checkpoint => job.checkpoint(),
            Cut::Restore(tasks) => {
                job.checkpoint();
                let ledger = std::mem::take(&mut job.ledger);
                job.start(tasks, Some(&ledger));
                job.full = true;
                // What was told is told again, and nothing follows from it.
                if let Some(mark) = marks.current() {
                    for operator in &mut job.tasks {
                        let mut out = Output::default();
                        operator.watermark(mark, &mut out).unwrap();
                        came.extend(seen(out));
                    }
                }
            }
        }
        if sorted {
            came.sort();
        }
        result.push(came);
    }
    result
}

/// Checks that cuts change nothing, and then that other numbers of tasks do not.
pub(crate) fn check<O: Operator>(
    make: &dyn Fn() -> O,
    input: (&SchemaRef, &[usize]),
    events: &[Event],
    cuts: &[u8],
) {
    let cut = |most: usize| {
        let cut = move |&c: &u8| match c % 4 {
            0 | 1 => Cut::None,
            2 => Cut::Checkpoint,
            _ => Cut::Restore(1 + c as usize / 4 % most),
        };
        cuts.iter().map(cut).collect::<Vec<Cut>>()
    };
    let through = play(make, input, events, &[], false);
    assert_eq!(play(make, input, events, &cut(1), false), through);
    if !input.1.is_empty() {
        let through = play(make, input, events, &[], true);
        assert_eq!(play(make, input, events, &cut(3), true), through);
    }
}

/// A row: key, number, number.
pub(crate) type Row = (u8, i64, Option<i64>);

/// Events of rows `k<key> <number> <number or NULL>`, of watermarks and of time. `changing`: rows that are there are
/// taken back, too.
pub(crate) fn events(numbers: std::ops::Range<i64>, changing: bool) -> impl Strategy<Value = Vec<Event>> {
    let row = (0u8..5, numbers.clone(), prop::option::of(0i64..4), any::<Option<prop::sample::Index>>());
    let step = prop_oneof![
        4 => prop::collection::vec(row, 1..9).prop_map(Some),
        2 => Just(None),
    ];
    prop::collection::vec((step, numbers.start - 2..numbers.end + 2, 0i64..60), 1..20).prop_map(
        move |steps| {
            let mut there: Vec<Row> = Vec::new();
            let mut sent =
                |(key, number, value, back): (u8, i64, Option<i64>, Option<prop::sample::Index>)| {
                    let (kind, row) = match back.filter(|_| changing && !there.is_empty()) {
                        Some(at) => {
                            let row = there[at.index(there.len())];
                            let first = there.iter().position(|r| *r == row).unwrap();
                            ("-D", there.remove(first))
                        }
                        None => {
                            there.push((key, number, value));
                            ("+I", (key, number, value))
                        }
                    };
                    let value = row.2.map_or("NULL".to_string(), |v| v.to_string());
                    format!("{kind} k{} {} {value}", row.0, row.1)
                };
            let mut events = Vec::new();
            for (rows, mark, pass) in steps {
                match rows {
                    Some(rows) => {
                        let rows: Vec<String> = rows.into_iter().map(&mut sent).collect();
                        events.push(Event::Rows(rows.join(", ")));
                        events.push(Event::Pass(pass));
                    }
                    None => events.push(Event::Mark(mark)),
                }
            }
            events.push(Event::Mark(i64::MAX));
            events
        },
    )
}

/// What is cut behind which event.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}
