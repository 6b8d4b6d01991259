//! OVER by time in a checkpoint.
//!
//! ```text
//!  waiting:     arrival │ the row                               rows that the watermark has not passed
//!  partitions:  last  timers  rows  ranks │ key │ state of the calls    one row a partition
//!  frames:      arrival  time     │ key │ arguments             what is in sliding frames
//!  lags:        call  arrival     │ key │ one value a call      what LAG looks back at
//! ```
//! Rows carry their key, by which they find their partition and their task; `arrival` is the order in which they
//! came. An aggregate that holds all that is in a sliding frame (MAX, which has to know the next one) is not
//! written: it follows from the frame. Others are, because a sum of DOUBLE has its history.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, ListBuilder, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int64Type};

use super::calls::{Calls, Counter};
use super::timers::idle_from;
use super::{Frame, OverAggregate, OverOrder};
use crate::error::{Error, Result};
use crate::flow::OperatorContext;
use crate::operator::event_time::millis;
use crate::operator::pieces::{
    self, Own, by_origin, in_order, instants, numbers, read_instants, read_numbers, read_written,
};
use crate::state::{Restored, Scope, Snapshot};

const WAITING: &str = "waiting";
const PARTITIONS: &str = "partitions";
const FRAMES: &str = "frames";
const LAGS: &str = "lags";
/// Tables that can be on disk: rows that wait stay in memory, and their partitions with them.
pub(super) const TABLES: &[&str] = &[PARTITIONS, FRAMES, LAGS];
const WATERMARK: &str = "watermark";
/// A column.
const TIMERS: &str = "timers";

impl Calls {
    /// Before rows come.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        self.frames.trail.iter_mut().for_each(|trail| trail.open(context));
        self.lags.iter_mut().for_each(|lag| lag.trail.open(context));
    }

    /// The state of partitions, with what its columns are called.
    fn state(&self, slots: &[u32]) -> Result<Vec<Own>> {
        let mut columns = Vec::new();
        for aggregate in self.frames.aggregates.iter().filter(|a| !a.follows) {
            let names = aggregate.state.state_columns().into_iter().map(|c| c.part);
            for (part, column) in names.zip(aggregate.state.state(slots)?) {
                let call = match aggregate.call.display.as_str() {
                    "" => aggregate.call.function.name().to_uppercase(),
                    display => display.to_string(),
                };
                columns.push((if part.is_empty() { call } else { format!("{call} {part}") }, column));
            }
        }
        Ok(columns)
    }

    /// How many columns that has.
    fn state_columns(&self) -> usize {
        let written = self.frames.aggregates.iter().filter(|a| !a.follows);
        written.map(|a| a.state.state_columns().len()).sum()
    }

    /// Puts the state of partitions back.
    fn restore(&mut self, slots: &[u32], mut columns: &[ArrayRef]) -> Result<()> {
        for aggregate in self.frames.aggregates.iter_mut().filter(|a| !a.follows) {
            let count = aggregate.state.state_columns().len();
            let (state, others) = columns.split_at_checked(count).ok_or_else(broken)?;
            aggregate.state.restore(slots, state)?;
            columns = others;
        }
        if columns.is_empty() { Ok(()) } else { Err(broken()) }
    }
}

/// Partitions of interval frames by event time have timers, but not those that an earlier release wrote.
fn has_timers(rows: &RecordBatch) -> bool {
    let schema = rows.schema_ref();
    let field = schema.fields().get(1);
    field.is_some_and(|f| f.name() == TIMERS && matches!(f.data_type(), DataType::List(_)))
}

/// The timers of partitions.
fn read_timers(rows: &RecordBatch, range: i64) -> Result<Vec<Vec<i64>>> {
    if !has_timers(rows) {
        let last = read_instants(rows, 0)?.iter();
        return Ok(last.map(|last| vec![idle_from(last.unwrap_or(i64::MIN), range)]).collect());
    }
    let lists = rows.column(1).as_list::<i32>();
    let values = lists.values().as_primitive_opt::<Int64Type>().ok_or_else(broken)?.values();
    let of = |ends: &[i32]| values.get(ends[0] as usize..ends[1] as usize).unwrap_or_default().to_vec();
    Ok(lists.value_offsets().windows(2).map(of).collect())
}

#[cold]
fn broken() -> Error {
    Error::decode("partitions of the checkpoint have other columns than the operator")
}

impl OverAggregate {
    /// When the partitions of rows of a table have a timer that goes off.
    pub(super) fn due_of(&self, table: &str, rows: &RecordBatch) -> Result<Vec<i64>> {
        let Frame::Range(range) = self.spec.frame else { return Ok(Vec::new()) };
        if table != PARTITIONS {
            return Ok(vec![i64::MAX; rows.num_rows()]);
        }
        let timers = read_timers(rows, range)?;
        Ok(timers.into_iter().map(|timers| timers.first().copied().unwrap_or(i64::MAX)).collect())
    }

    fn is_by_time(&self) -> bool {
        matches!(self.spec.order, OverOrder::EventTime(_))
    }

    /// Key columns of slots, with their names.
    fn key_columns(&self, slots: &[u32]) -> Result<Vec<Own>> {
        let names = self.spec.partition.iter().map(|&c| self.spec.input.field(c).name().clone());
        Ok(names.zip(self.keys.take(slots)?).collect())
    }

    /// Key columns behind `own` others.
    fn keyed(&self, own: usize) -> Scope {
        Scope::Keyed((own..own + self.spec.partition.len()).collect())
    }

    /// The partitions of rows whose keys stand behind `own` columns.
    fn slots_of(&mut self, rows: &RecordBatch, own: usize) -> Result<Vec<u32>> {
        let keys = rows.columns().get(own..own + self.spec.partition.len()).ok_or_else(broken)?;
        let mut slots = Vec::new();
        self.keys.intern(keys, rows.num_rows(), &mut slots)?;
        self.resize();
        Ok(slots)
    }

    pub(super) fn write(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut slots, gone) = self.changed.take();
        if snapshot.is_full() {
            slots = self.keys.slots();
        }
        if self.is_by_time() {
            self.write_waiting(snapshot)?;
            snapshot.value(WATERMARK, self.watermark)?;
        }
        self.write_frames(snapshot, &slots)?;
        self.write_lags(snapshot, &slots)?;
        let last = slots.iter().map(|&slot| Some(self.last[slot as usize]).filter(|&t| t != i64::MIN));
        let mut columns = vec![instants("last", last)];
        if let Some(timers) = &self.timers {
            let mut lists = ListBuilder::new(Int64Builder::new());
            for &slot in &slots {
                timers.of(slot).for_each(|moment| lists.values().append_value(moment));
                lists.append(true);
            }
            columns.push((TIMERS.into(), Arc::new(lists.finish()) as ArrayRef));
        }
        columns.extend(pieces::written(self.expiry.as_ref(), &slots));
        if self.calls.counts {
            let counters = || slots.iter().map(|&slot| self.calls.counters[slot as usize]);
            columns.push(numbers("rows", counters().map(|c| c.rows)));
            columns.push(numbers("ranks", counters().map(|c| c.instants)));
        }
        let scope = self.keyed(columns.len());
        columns.extend(self.key_columns(&slots)?);
        columns.extend(self.calls.state(&slots)?);
        let table = pieces::table(columns, [], Vec::new(), slots.len())?;
        snapshot.table(PARTITIONS, scope, pieces::ids(&slots), table, gone)
    }

    fn write_waiting(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let (mut ids, gone) = self.changed_rows.take();
        if snapshot.is_full() {
            ids = self.queue.ids().collect();
        }
        let rows = self.rows.take(&ids)?;
        let own = [numbers("arrival", ids.iter().map(|&id| self.arrived[id as usize]))];
        let fields = self.spec.input.fields().iter().cloned();
        let table = pieces::table(own, fields, rows.columns().to_vec(), ids.len())?;
        let scope = Scope::Keyed(pieces::behind(1, &self.spec.partition));
        snapshot.table(WAITING, scope, pieces::ids(&ids), table, gone)
    }

    fn write_frames(&mut self, snapshot: &mut Snapshot, slots: &[u32]) -> Result<()> {
        let frames = &mut self.calls.frames;
        let Some(trail) = &mut frames.trail else { return Ok(()) };
        let (gone, from) = trail.cut(snapshot.is_full());
        let (mut ids, mut owners, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for &slot in slots {
            let inside = frames.inside[slot as usize].iter().rev();
            for &(time, id) in inside.take_while(|row| trail.arrival(row.1) >= from) {
                ids.push(id);
                owners.push(slot);
                times.push(Some(time));
            }
        }
        let arrivals: Vec<i64> = ids.iter().map(|&id| trail.arrival(id)).collect();
        let rows = trail.store().take(&ids)?;
        let mut columns = vec![numbers("arrival", arrivals), instants("time", times)];
        columns.extend(self.key_columns(&owners)?);
        let names = (1..=rows.num_columns()).map(|number| format!("argument {number}"));
        columns.extend(names.zip(rows.columns().iter().cloned()));
        let table = pieces::table(columns, [], Vec::new(), ids.len())?;
        snapshot.table(FRAMES, self.keyed(2), pieces::ids(&ids), table, gone)
    }

    fn write_lags(&mut self, snapshot: &mut Snapshot, slots: &[u32]) -> Result<()> {
        if self.calls.lags.is_empty() {
            return Ok(());
        }
        let (mut ids, mut owners, mut calls, mut arrivals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut all_gone, mut values) = (Vec::new(), Vec::new());
        for (call, lag) in self.calls.lags.iter_mut().enumerate() {
            let (gone, from) = lag.trail.cut(snapshot.is_full());
            let place = |id: u64| (call as u64) << 32 | id;
            all_gone.extend(gone.into_iter().map(|range| place(range.start)..place(range.end)));
            let mut of_call = Vec::new();
            for &slot in slots {
                let history = lag.history[slot as usize].iter().rev().copied();
                for id in history.take_while(|&id| lag.trail.arrival(id) >= from) {
                    of_call.push(id);
                    owners.push(slot);
                    arrivals.push(lag.trail.arrival(id));
                }
            }
            calls.resize(calls.len() + of_call.len(), call as i64);
            ids.extend(of_call.iter().map(|&id| place(u64::from(id))));
            values.push(lag.trail.store().take(&of_call)?.column(0).clone());
        }
        let mut columns = vec![numbers("call", calls), numbers("arrival", arrivals)];
        columns.extend(self.key_columns(&owners)?);
        let mut before = 0;
        for (call, values) in values.into_iter().enumerate() {
            // The values of other calls stand before and behind.
            let none = |rows: usize| new_null_array(values.data_type(), rows);
            let (start, end) = (none(before), none(ids.len() - before - values.len()));
            before += values.len();
            columns.push((
                format!("value {}", call + 1),
                concat(&[start.as_ref(), values.as_ref(), end.as_ref()])?,
            ));
        }
        let table = pieces::table(columns, [], Vec::new(), ids.len())?;
        snapshot.table(LAGS, self.keyed(2), ids, table, all_gone)
    }

    pub(super) fn read(&mut self, state: &mut Restored) -> Result<()> {
        if !state.is_part() {
            self.watermark = state.values::<Option<i64>>(WATERMARK)?.into_iter().max().flatten();
        }
        self.read_partitions(state)?;
        self.read_frames(state)?;
        self.read_lags(state)?;
        let OverOrder::EventTime(column) = self.spec.order else { return Ok(()) };
        for piece in in_order(state.table(WAITING)?, 0)? {
            let rows = pieces::rest(&piece.rows, 1, &self.spec.input)?;
            let times = millis(rows.column(column), "OVER (ORDER BY ...)")?;
            // Without effect but where an earlier release wrote no timers.
            self.plan_forgetting(&rows, &times)?;
            self.wait(&rows, times)?;
        }
        Ok(())
    }

    fn read_partitions(&mut self, state: &mut Restored) -> Result<()> {
        let now = self.clock.as_ref().map_or(0, |clock| clock.now_millis());
        for piece in by_origin(state.table(PARTITIONS)?)? {
            let rows = &piece.rows;
            let counted = if self.calls.counts { 2 } else { 0 };
            let timed = usize::from(has_timers(rows));
            let others = 1 + timed + counted + self.spec.partition.len() + self.calls.state_columns();
            let expires = rows.num_columns() > others;
            let own = 1 + timed + usize::from(expires) + counted;
            let counters = self.calls.counts.then(|| (own - 2, own - 1));
            let slots = self.slots_of(rows, own)?;
            let last = read_instants(rows, 0)?;
            for (row, &slot) in slots.iter().enumerate() {
                self.last[slot as usize] = if last.is_valid(row) { last.value(row) } else { i64::MIN };
            }
            let written = if expires { Some(read_instants(rows, 1)?) } else { None };
            read_written(self.expiry.as_mut(), &slots, written, now);
            if let Some((numbers, ranks)) = counters {
                let counts = read_numbers(rows, numbers)?.iter().zip(read_numbers(rows, ranks)?);
                for (&slot, (&rows, &instants)) in slots.iter().zip(counts) {
                    self.calls.counters[slot as usize] = Counter { rows, instants };
                }
            }
            self.calls.restore(&slots, &rows.columns()[own + self.spec.partition.len()..])?;
            if let (Frame::Range(range), Some(timers)) = (self.spec.frame, &mut self.timers) {
                for (slot, moments) in slots.into_iter().zip(read_timers(rows, range)?) {
                    moments.into_iter().for_each(|moment| timers.put(slot, moment));
                }
            }
        }
        Ok(())
    }

    fn read_frames(&mut self, state: &mut Restored) -> Result<()> {
        if self.calls.frames.trail.is_none() {
            return Ok(());
        }
        for piece in in_order(state.table(FRAMES)?, 0)? {
            let slots = self.slots_of(&piece.rows, 2)?;
            let times = read_instants(&piece.rows, 1)?;
            let frames = &mut self.calls.frames;
            let Some(trail) = &mut frames.trail else { continue };
            let rows = pieces::rest(&piece.rows, 2 + self.spec.partition.len(), trail.store().schema())?;
            let mut ids = Vec::with_capacity(slots.len());
            trail.push(&rows, &mut ids)?;
            for (row, (&slot, id)) in slots.iter().zip(ids).enumerate() {
                frames.inside[slot as usize].push_back((times.value(row), id));
            }
            frames.follow(&slots, &rows)?;
        }
        Ok(())
    }

    fn read_lags(&mut self, state: &mut Restored) -> Result<()> {
        if self.calls.lags.is_empty() {
            return Ok(());
        }
        for piece in in_order(state.table(LAGS)?, 1)? {
            let slots = self.slots_of(&piece.rows, 2)?;
            let calls = read_numbers(&piece.rows, 0)?;
            let first = 2 + self.spec.partition.len();
            for (call, lag) in self.calls.lags.iter_mut().enumerate() {
                let rows = (0..slots.len() as u32).filter(|&row| calls[row as usize] == call as i64);
                let rows: UInt32Array = rows.collect();
                let values = piece.rows.columns().get(first + call).ok_or_else(broken)?;
                let batch = RecordBatch::try_new(lag.schema.clone(), vec![take(values, &rows, None)?])?;
                let mut ids = Vec::with_capacity(rows.len());
                lag.trail.push(&batch, &mut ids)?;
                for (&row, id) in rows.values().iter().zip(ids) {
                    lag.history[slots[row as usize] as usize].push_back(id);
                }
            }
        }
        Ok(())
    }
}
