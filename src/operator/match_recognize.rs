//! MATCH_RECOGNIZE: rows of a partition that follow each other as a pattern says.
//!
//! ```text
//!  rows ──> waiting, by event time ── watermark ──> rows in order ──> begun matches ──> one row a match
//!  rows by processing time ────────────────────────^ (nothing waits)
//! ```
//! Every row may begin a match, and goes on with each that was begun before it: `nfa` is the pattern as states,
//! `queue` keeps the begun matches, `paths` the rows that they have taken. Of the matches that begin with one row
//! the first that is complete counts; it waits for those that began before it, because they may skip over it.
//!
//! What DEFINE says of a row alone is computed for whole batches, and a row that begins nothing and goes on with nothing
//! costs no more than that. What looks at the match so far is computed where it is asked.
//!
//! With WITHIN a begun match is given up when it has lasted that long, counted from its first row. By event time a row
//! that is not newer than the watermark is late: it is left out, and counted.

mod checkpoint;
mod nfa;
mod paths;
mod queue;
mod quick;
#[cfg(test)]
mod tests;
mod values;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use self::nfa::{END, Guard, Nfa};
use self::paths::{Paths, Place};
use self::queue::{Run, Runs};
use self::quick::{Columns, Look, MOST};
pub use self::quick::{Comparison, QuickCondition, QuickNumber, is_number};
use self::values::Taken;
pub use self::values::{MatchExpression, MatchValue};
use super::event_time::millis;
use super::join_output::take_rows;
use super::over::queue::TimeQueue;
use super::sort::{SortKey, sorted};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::sql::match_pattern::PatternElement;
use crate::state::{Changed, KeyTable, Restored, RowStore, Snapshot};

/// Rows that are looked at at once.
const BATCH_ROWS: usize = 8192;

/// `AFTER MATCH SKIP`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// `TO NEXT ROW`: another match may begin with the second row of the last one.
    ToNextRow,
    /// `PAST LAST ROW`: no row is in two matches.
    PastLastRow,
    /// `TO FIRST x`: the next match begins with the first row of a variable, or later.
    ToFirst(u8),
    /// `TO LAST x`
    ToLast(u8),
}

/// What DEFINE says of a variable.
#[derive(Debug, Clone)]
pub struct MatchCondition {
    /// What is said of the row alone, over the input.
    pub row: Option<Arc<dyn PhysicalExpr>>,
    /// What is left to be asked of the match so far.
    pub rest: Option<MatchExpression>,
    /// The same, where it compares numbers.
    pub quick: Option<QuickCondition>,
    /// All of it.
    pub whole: MatchExpression,
}

/// A MATCH_RECOGNIZE that was planned. The input is inserts only.
#[derive(Debug, Clone)]
pub struct MatchSpec {
    /// PARTITION BY, as positions in the input.
    pub partition: Vec<usize>,
    /// The event time that orders the rows; `None`: processing time.
    pub time: Option<usize>,
    /// What orders rows of the same time.
    pub keys: Vec<SortKey>,
    /// PATTERN.
    pub pattern: Vec<PatternElement>,
    /// One a variable of the pattern; `None`: any row.
    pub conditions: Vec<Option<MatchCondition>>,
    /// WITHIN, in milliseconds.
    pub within: Option<i64>,
    /// AFTER MATCH SKIP.
    pub skip: Skip,
    /// One column each.
    pub measures: MatchExpression,
    /// Schema of the input.
    pub input: SchemaRef,
    /// The partition's columns, then the measures.
    pub schema: SchemaRef,
}

/// The matches of one partition.
#[derive(Debug, Default)]
struct Partition {
    /// Begun ones, and the start; empty: the start alone.
    begun: Runs,
    /// Complete ones, which wait for those that began before them.
    complete: Runs,
    /// It is in the queue of deadlines.
    has_deadline: bool,
    is_live: bool,
}

/// A match that is to be emitted.
#[derive(Debug)]
struct Found {
    slot: u32,
    node: u32,
    time: i64,
}

/// What is known of the conditions for the rows of a batch.
#[derive(Debug, Default)]
struct Known {
    /// One a row, a bit a variable: what is said of the row alone holds, or is not known.
    masks: Vec<u64>,
    /// Variables of which more has to be asked.
    open: u64,
    /// Of these, variables of which everything has to be asked.
    unknown: u64,
}

/// The operator of one task.
#[derive(Debug)]
pub struct MatchRecognize {
    spec: MatchSpec,
    nfa: Nfa,
    keys: KeyTable,
    partitions: Vec<Partition>,
    paths: Paths,
    /// Partitions with changes.
    changed: Changed,
    /// Rows that wait for the watermark.
    waiting: RowStore,
    queue: TimeQueue,
    arrived: Vec<i64>,
    arrivals: i64,
    changed_rows: Changed,
    /// Numbers of rows, in the order in which they are looked at.
    next: u64,
    deadlines: BinaryHeap<Reverse<(i64, u32)>>,
    watermark: Option<i64>,
    late: u64,
    clock: Arc<dyn Clock>,
    /// A row that can begin a match has one of these conditions; all can, if `starts_always`.
    start_needs: u64,
    starts_always: bool,
    found: Vec<Found>,
    known: Known,
    /// Columns of which numbers lie beside the rows.
    quick: Vec<usize>,
    numbers: Columns,
    // Buffers.
    slots: Vec<u32>,
    runs: Vec<Run>,
    made: Vec<Run>,
    states: Vec<u16>,
    takes: Vec<(u8, u16)>,
    taken: Taken,
}

impl MatchRecognize {
    /// An operator for one task.
    pub fn new(mut spec: MatchSpec) -> Result<Self> {
        let mut quick = Vec::new();
        for condition in spec.conditions.iter_mut().flatten() {
            let mut columns = quick.clone();
            condition.quick.iter().for_each(|q| q.columns(&mut columns));
            match columns.len() <= MOST {
                true => quick = columns,
                false => condition.quick = None,
            }
        }
        let types: Vec<_> = spec.partition.iter().map(|&c| spec.input.field(c).data_type().clone()).collect();
        let defined: Vec<bool> = spec.conditions.iter().map(Option::is_some).collect();
        let nfa = Nfa::new(&spec.pattern, &defined);
        let (mut start_needs, mut starts_always) = (0, false);
        let mut states = vec![nfa.start];
        while let Some(state) = states.pop() {
            for transition in &nfa.states[state as usize].transitions {
                match transition.takes {
                    true if transition.guard.needs == 0 => starts_always = true,
                    true => start_needs |= transition.guard.needs,
                    false => states.push(transition.target),
                }
            }
        }
        Ok(Self {
            keys: KeyTable::new(&types)?,
            partitions: Vec::new(),
            paths: Paths::new(RowStore::new(spec.input.clone())),
            changed: Changed::default(),
            waiting: RowStore::new(spec.input.clone()),
            queue: TimeQueue::default(),
            arrived: Vec::new(),
            arrivals: 0,
            changed_rows: Changed::default(),
            next: 0,
            deadlines: BinaryHeap::new(),
            watermark: None,
            late: 0,
            clock: Arc::new(SystemClock),
            start_needs,
            starts_always,
            found: Vec::new(),
            known: Known::default(),
            quick,
            numbers: Columns::default(),
            slots: Vec::new(),
            runs: Vec::new(),
            made: Vec::new(),
            states: Vec::new(),
            takes: Vec::new(),
            taken: Taken::default(),
            nfa,
            spec,
        })
    }

    fn partition_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.spec.partition.iter().map(|&c| batch.column(c).clone()).collect()
    }

    /// Makes room for the partitions there are.
    fn resize(&mut self) {
        let capacity = self.keys.capacity();
        if self.partitions.len() < capacity {
            self.partitions.resize_with(capacity, Partition::default);
        }
    }

    /// Keeps rows until the watermark has passed them.
    fn wait(&mut self, batch: &RecordBatch, times: Vec<i64>) -> Result<()> {
        let mut ids = Vec::with_capacity(times.len());
        self.waiting.push(batch, &mut ids)?;
        if self.changed_rows.is_on() {
            for &id in &ids {
                if self.arrived.len() <= id as usize {
                    self.arrived.resize(id as usize + 1, 0);
                }
                self.arrived[id as usize] = self.arrivals;
                self.arrivals += 1;
                self.changed_rows.mark(id);
            }
        }
        self.queue.push(times.into_iter().zip(ids).collect());
        Ok(())
    }

    /// Looks at what the watermark has passed.
    fn release(&mut self, watermark: i64, out: &mut Output) -> Result<()> {
        loop {
            let ready = self.queue.pop(watermark, BATCH_ROWS);
            if ready.is_empty() {
                return Ok(());
            }
            let ids: Vec<u32> = ready.iter().map(|r| r.1).collect();
            let mut times: Vec<i64> = ready.iter().map(|r| r.0).collect();
            let mut batch = self.waiting.take(&ids)?;
            for id in ids {
                self.waiting.free(id)?;
                self.changed_rows.remove(id);
            }
            if !self.spec.keys.is_empty() {
                let first: ArrayRef = Arc::new(Int64Array::from(times.clone()));
                let order = sorted(&batch, Some(first), &self.spec.keys)?;
                batch = take_rows(&batch, order.values())?;
                // Rows of one time change places among themselves: the times stay.
                times.sort_unstable();
            }
            self.look(&batch, &times, out)?;
        }
    }

    /// Goes on with rows that are in order.
    fn look(&mut self, batch: &RecordBatch, times: &[i64], out: &mut Output) -> Result<()> {
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&self.partition_columns(batch), batch.num_rows(), &mut slots)?;
        self.resize();
        self.know(batch)?;
        self.numbers.read(&self.quick, batch.columns())?;
        let (needs, always) = (self.start_needs, self.starts_always);
        for row in 0..batch.num_rows() {
            let slot = slots[row];
            let partition = &mut self.partitions[slot as usize];
            partition.is_live = true;
            let starts = always || self.known.masks[row] & needs != 0;
            if starts || !partition.begun.is_empty() || !partition.complete.is_empty() {
                self.row(batch, row, slot, times[row])?;
            }
        }
        self.emit(batch, out)?;
        self.paths.keep(batch)?;
        for &slot in &slots {
            self.forget_idle(slot);
        }
        self.slots = slots;
        Ok(())
    }

    /// A partition without a begun match is nothing to remember.
    fn forget_idle(&mut self, slot: u32) {
        let partition = &mut self.partitions[slot as usize];
        if partition.is_live && partition.begun.is_empty() && partition.complete.is_empty() {
            partition.is_live = false;
            self.keys.remove(slot);
            self.changed.remove(slot);
        }
    }

    /// Computes what DEFINE says of the rows of a batch alone.
    fn know(&mut self, batch: &RecordBatch) -> Result<()> {
        let Known { masks, open, unknown } = &mut self.known;
        masks.clear();
        masks.resize(batch.num_rows(), 0);
        (*open, *unknown) = (0, 0);
        for (variable, condition) in self.spec.conditions.iter().enumerate() {
            let bit = 1u64 << variable;
            let Some(condition) = condition else { continue };
            if condition.rest.is_some() {
                *open |= bit;
            }
            // A row that nobody asks about must not fail: then each is asked where it is needed.
            let values = condition.row.as_ref().map(|row| row.evaluate(batch)?.into_array(batch.num_rows()));
            let values = match values {
                None => None,
                Some(Ok(values)) => Some(values),
                Some(Err(_)) => {
                    *unknown |= bit;
                    *open |= bit;
                    None
                }
            };
            match values {
                None => masks.iter_mut().for_each(|mask| *mask |= bit),
                Some(values) => {
                    let values = values
                        .as_boolean_opt()
                        .ok_or_else(|| Error::internal("a condition of DEFINE that is not BOOLEAN"))?;
                    let set = match values.nulls() {
                        Some(nulls) => values.values() & nulls.inner(),
                        None => values.values().clone(),
                    };
                    set.set_indices().for_each(|row| masks[row] |= bit);
                }
            }
        }
        Ok(())
    }

    /// Whether a row is what a variable asks for, behind a begun match.
    fn holds(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        variable: u32,
        node: u32,
        time: i64,
    ) -> Result<bool> {
        let bit = 1u64 << variable;
        if self.known.masks[row] & bit == 0 {
            return Ok(false);
        }
        if self.known.open & bit == 0 {
            return Ok(true);
        }
        let Some(Some(condition)) = self.spec.conditions.get(variable as usize) else { return Ok(true) };
        let expression = match (&condition.rest, self.known.unknown & bit == 0) {
            (Some(rest), true) => rest,
            _ => &condition.whole,
        };
        if let (Some(quick), true) = (&condition.quick, self.known.unknown & bit == 0) {
            let look = Look {
                paths: &self.paths,
                node,
                variable: variable as u8,
                current: self.numbers.get(row),
                columns: &self.quick,
            };
            return Ok(quick.holds(&look) == Some(true));
        }
        self.taken.clear();
        self.taken.add(&self.paths, node, Some((variable as u8, Place::Batch(row as u32))), time);
        expression.holds(&self.taken, &self.paths, batch, self.clock.now_millis())
    }

    fn passes(
        &mut self,
        guard: Guard,
        batch: &RecordBatch,
        row: usize,
        node: u32,
        time: i64,
    ) -> Result<bool> {
        if guard.is_never() {
            return Ok(false);
        }
        if (guard.needs | guard.forbids) & self.known.open == 0 {
            let mask = self.known.masks[row];
            return Ok(mask & guard.needs == guard.needs && mask & guard.forbids == 0);
        }
        for (bits, wanted) in [(guard.needs, true), (guard.forbids, false)] {
            let mut left = bits;
            while left != 0 {
                let variable = left.trailing_zeros();
                left &= left - 1;
                if self.holds(batch, row, variable, node, time)? != wanted {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// One row of a partition.
    fn row(&mut self, batch: &RecordBatch, row: usize, slot: u32, time: i64) -> Result<()> {
        self.expire(slot, time)?;
        self.changed.mark(slot);
        let number = self.next;
        self.next += 1;
        let mut runs = std::mem::take(&mut self.runs);
        self.partitions[slot as usize].begun.swap(&mut runs);
        if runs.is_empty() {
            runs.push(Run::start(self.nfa.start));
        }
        let mut made = std::mem::take(&mut self.made);
        let mut complete = Runs::default();
        let mut event = None;
        for run in runs.drain(..) {
            self.go_on(batch, row, time, number, run, &mut event, &mut made)?;
            let begun = &mut self.partitions[slot as usize].begun;
            for next in made.drain(..) {
                match next.state {
                    END => complete.add(next),
                    _ => begun.add(next),
                }
            }
            self.paths.release(run.node)?;
        }
        (self.runs, self.made) = (runs, made);
        let partition = &mut self.partitions[slot as usize];
        complete.heap().iter().for_each(|run| partition.complete.add(*run));
        self.settle(slot, time)?;
        if let Some(within) = self.spec.within {
            self.set_deadline(slot, within);
        }
        Ok(())
    }

    /// What becomes of a begun match with one more row.
    #[expect(clippy::too_many_arguments, reason = "a row and where it goes")]
    fn go_on(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        time: i64,
        number: u64,
        run: Run,
        event: &mut Option<u32>,
        made: &mut Vec<Run>,
    ) -> Result<()> {
        let (mut states, mut takes) = (std::mem::take(&mut self.states), std::mem::take(&mut self.takes));
        states.push(run.state);
        while let Some(state) = states.pop() {
            for at in 0..self.nfa.states[state as usize].transitions.len() {
                let transition = self.nfa.states[state as usize].transitions[at];
                if !self.passes(transition.guard, batch, row, run.node, time)? {
                    continue;
                }
                match transition.takes {
                    true => takes.push((self.nfa.states[state as usize].variable, transition.target)),
                    false => states.push(transition.target),
                }
            }
        }
        for (variable, target) in takes.drain(..) {
            let taken =
                *event.get_or_insert_with(|| self.paths.event(row as u32, number, self.numbers.get(row)));
            let node = self.paths.node(run.node, taken, variable);
            let (first, since) = if run.is_start() { (number, time) } else { (run.first, run.since) };
            made.push(Run { state: target, node, first, since });
            if self.may_end(batch, row, time, run.node, target)? {
                self.paths.own(node);
                made.push(Run { state: END, node, first, since });
            }
        }
        (self.states, self.takes) = (states, takes);
        if run.is_start() {
            made.push(run);
        }
        Ok(())
    }

    /// Whether the end is reached from a state without one more row.
    fn may_end(&mut self, batch: &RecordBatch, row: usize, time: i64, node: u32, state: u16) -> Result<bool> {
        // Most states have no way on without a row.
        if self.nfa.states[state as usize].transitions.iter().all(|t| t.takes) {
            return Ok(false);
        }
        let mut states = vec![state];
        while let Some(state) = states.pop() {
            for at in 0..self.nfa.states[state as usize].transitions.len() {
                let transition = self.nfa.states[state as usize].transitions[at];
                if transition.takes || !self.passes(transition.guard, batch, row, node, time)? {
                    continue;
                }
                if transition.target == END {
                    return Ok(true);
                }
                states.push(transition.target);
            }
        }
        Ok(false)
    }

    /// Gives matches out that no earlier one can take rows from, and skips behind them.
    fn settle(&mut self, slot: u32, time: i64) -> Result<()> {
        let mut removed = Vec::new();
        loop {
            let partition = &mut self.partitions[slot as usize];
            let Some(first) = partition.complete.peek().copied() else { break };
            if partition.begun.peek().is_some_and(|begun| begun.first < first.first) {
                break;
            }
            partition.complete.poll();
            let gone = self.skipped(&first)?;
            let partition = &mut self.partitions[slot as usize];
            partition.begun.remove(|number| number < gone, &mut removed);
            partition.complete.remove(|number| number < gone, &mut removed);
            for run in removed.drain(..) {
                self.paths.release(run.node)?;
            }
            self.found.push(Found { slot, node: first.node, time });
        }
        let begun = &mut self.partitions[slot as usize].begun;
        if let [only] = begun.heap()
            && only.is_start()
        {
            begun.poll();
        }
        Ok(())
    }

    /// The number of the row with which the next match may begin at the earliest.
    fn skipped(&self, run: &Run) -> Result<u64> {
        let of = |variable: u8| {
            let rows = self.paths.walk(run.node).filter(move |(v, _)| *v == variable);
            rows.map(|(_, event)| event.number)
        };
        let (number, variable, which) = match self.spec.skip {
            Skip::ToNextRow => return Ok(run.first + 1),
            Skip::PastLastRow => return Ok(self.paths.last(run.node).saturating_add(1)),
            Skip::ToFirst(variable) => (of(variable).last(), variable, "FIRST"),
            Skip::ToLast(variable) => (of(variable).next(), variable, "LAST"),
        };
        let name = self.spec.pattern.get(variable as usize).map_or("?", |e| e.variable.as_str());
        match number {
            None => Err(Error::execution(format!(
                "AFTER MATCH SKIP TO {which} {name}: the match has no row of {name}"
            ))
            .with_hint(format!("skip to a variable that every match has; {name} may be missing"))),
            Some(number) if number == run.first => Err(Error::execution(format!(
                "AFTER MATCH SKIP TO {which} {name} goes to the row that the match began with"
            ))
            .with_detail("the same match would be found for ever")
            .with_hint("write AFTER MATCH SKIP TO NEXT ROW")),
            Some(number) => Ok(number),
        }
    }

    /// Gives up what has lasted too long by now.
    fn expire(&mut self, slot: u32, time: i64) -> Result<()> {
        let Some(within) = self.spec.within else { return Ok(()) };
        let over = |run: &Run| !run.is_start() && run.since.saturating_add(within) <= time;
        let partition = &mut self.partitions[slot as usize];
        if !partition.begun.peek().is_some_and(over) {
            return Ok(());
        }
        for run in partition.begun.take() {
            match over(&run) {
                true => self.paths.release(run.node)?,
                false => partition.begun.add(run),
            }
        }
        self.changed.mark(slot);
        self.settle(slot, time)
    }

    fn set_deadline(&mut self, slot: u32, within: i64) {
        let partition = &mut self.partitions[slot as usize];
        if partition.has_deadline {
            return;
        }
        if let Some(first) = partition.begun.peek().filter(|run| !run.is_start()) {
            partition.has_deadline = true;
            self.deadlines.push(Reverse((first.since.saturating_add(within), slot)));
        }
    }

    /// Gives up what has lasted too long in all partitions.
    fn expire_all(&mut self, time: i64, out: &mut Output) -> Result<()> {
        let Some(within) = self.spec.within else { return Ok(()) };
        let mut touched = Vec::new();
        while let Some(Reverse((deadline, slot))) = self.deadlines.peek().copied() {
            if deadline > time {
                break;
            }
            self.deadlines.pop();
            self.partitions[slot as usize].has_deadline = false;
            self.expire(slot, deadline)?;
            self.set_deadline(slot, within);
            touched.push(slot);
        }
        if !self.found.is_empty() {
            let none = RecordBatch::new_empty(self.spec.input.clone());
            self.emit(&none, out)?;
        }
        touched.into_iter().for_each(|slot| self.forget_idle(slot));
        Ok(())
    }

    /// Emits the matches that were found.
    fn emit(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let found = std::mem::take(&mut self.found);
        for part in found.chunks(BATCH_ROWS) {
            self.taken.clear();
            for found in part {
                self.taken.add(&self.paths, found.node, None, found.time);
            }
            let slots: Vec<u32> = part.iter().map(|found| found.slot).collect();
            let mut columns = self.keys.take(&slots)?;
            let now = self.clock.now_millis();
            columns.extend(self.spec.measures.evaluate(&self.taken, &self.paths, batch, now)?);
            let options = RecordBatchOptions::new().with_row_count(Some(part.len()));
            let rows = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
            out.chunk(Chunk::append(rows, crate::clock::instant()));
        }
        found.into_iter().try_for_each(|found| self.paths.release(found.node))
    }
}

impl Operator for MatchRecognize {
    fn name(&self) -> &'static str {
        "MatchRecognize"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.changed = Changed::new(context.checkpointed);
        self.changed_rows = Changed::new(context.checkpointed);
        self.paths.changed = Changed::new(context.checkpointed);
        self.waiting.limit(&context.memory);
        self.paths.rows.limit(&context.memory);
        if context.checkpointed {
            self.paths.rows.track();
        }
        self.clock = context.clock;
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.write(snapshot)
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        self.read(state)
    }

    fn stays(&self) -> Option<&'static str> {
        Some("the rows of matches that have begun in memory")
    }

    fn state_bytes(&self) -> usize {
        let runs = |partition: &Partition| partition.begun.memory() + partition.complete.memory();
        self.keys.memory()
            + self.waiting.memory()
            + self.queue.memory()
            + self.paths.memory()
            + self.partitions.capacity() * size_of::<Partition>()
            + self.partitions.iter().map(runs).sum::<usize>()
            + self.deadlines.capacity() * 16
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let Some(column) = self.spec.time else {
            let now = self.clock.now_millis();
            self.expire_all(now, out)?;
            let mut batch = chunk.batch;
            if !self.spec.keys.is_empty() {
                let order = sorted(&batch, None, &self.spec.keys)?;
                batch = take_rows(&batch, order.values())?;
            }
            let times = vec![now; batch.num_rows()];
            return self.look(&batch, &times, out);
        };
        let times = millis(chunk.batch.column(column), "MATCH_RECOGNIZE")?;
        let watermark = self.watermark;
        let keep: Vec<u32> = (0..chunk.len() as u32)
            .filter(|&row| watermark.is_none_or(|w| times[row as usize] > w))
            .collect();
        if keep.len() == chunk.len() {
            return self.wait(&chunk.batch, times);
        }
        self.late += (chunk.len() - keep.len()) as u64;
        self.wait(&take_rows(&chunk.batch, &keep)?, keep.iter().map(|&row| times[row as usize]).collect())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        // What was told before the job was restored is told again.
        if self.spec.time.is_some() && self.watermark < Some(watermark.millis()) {
            self.watermark = Some(watermark.millis());
            self.release(watermark.millis(), out)?;
            self.expire_all(watermark.millis(), out)?;
        }
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        if self.spec.time.is_some() {
            return None;
        }
        let Reverse((deadline, _)) = self.deadlines.peek()?;
        let wait = deadline.saturating_sub(self.clock.now_millis()).max(0);
        crate::clock::instant().checked_add(Duration::from_millis(wait as u64))
    }

    fn timer(&mut self, _now: Instant, out: &mut Output) -> Result<()> {
        match self.spec.time {
            Some(_) => Ok(()),
            None => self.expire_all(self.clock.now_millis(), out),
        }
    }
}

impl Runs {
    fn memory(&self) -> usize {
        std::mem::size_of_val(self.heap())
    }
}
