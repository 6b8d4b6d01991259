//! What windows compute: calls evaluated over a chunk, and the groups of a slice.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, PrimitiveArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use super::zone::WindowClock;
use super::{WindowColumn, WindowSpec};
use crate::error::Result;
use crate::flow::{Chunk, Kind, Kinds, Output};
use crate::operator::aggregate::state::{append_state, restore_state, state_batch};
use crate::operator::aggregate::{Accumulator, AggregateCall, Rows};
use crate::state::KeyTable;

/// Rows of a chunk that a window gives out.
const PIECE: usize = 8192;

/// Keys and arguments of the rows of a chunk.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub keys: Vec<ArrayRef>,
    args: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<Vec<bool>>>,
    pub retracted: Option<Vec<bool>>,
    pub rows: usize,
    pub ingest: Instant,
}

impl Evaluated {
    /// Evaluates the arguments of all calls.
    pub(super) fn new(chunk: &Chunk, keys: &[usize], calls: &[AggregateCall]) -> Result<Self> {
        let batch = &chunk.batch;
        let args = calls.iter().map(|call| call.arguments(batch));
        let filters = calls.iter().map(|call| call.selection(batch, None));
        let retracted = match &chunk.kinds {
            Kinds::Append => None,
            Kinds::Changes(kinds) => {
                Some(kinds.iter().map(|k| matches!(k, Kind::UpdateBefore | Kind::Delete)).collect())
            }
        };
        Ok(Self {
            keys: keys.iter().map(|&k| batch.column(k).clone()).collect(),
            args: args.collect::<Result<_>>()?,
            filters: filters.collect::<Result<_>>()?,
            retracted,
            rows: batch.num_rows(),
            ingest: chunk.ingest,
        })
    }

    /// Some of the rows, in ascending order. A run of them costs no copy of the columns.
    pub(super) fn subset(&self, rows: &[u32]) -> Result<Self> {
        let (first, len) = (rows.first().map_or(0, |&r| r as usize), rows.len());
        let is_run = rows.last().is_some_and(|&last| last as usize + 1 == first + len);
        let indices =
            if is_run { UInt32Array::from(Vec::<u32>::new()) } else { UInt32Array::from(rows.to_vec()) };
        let arrays = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>> {
            let part = |c: &ArrayRef| Ok(if is_run { c.slice(first, len) } else { take(c, &indices, None)? });
            columns.iter().map(part).collect()
        };
        let flags = |flags: &Option<Vec<bool>>| {
            flags.as_ref().map(|f| rows.iter().map(|&r| f[r as usize]).collect::<Vec<bool>>())
        };
        Ok(Self {
            keys: arrays(&self.keys)?,
            args: self.args.iter().map(|a| arrays(a)).collect::<Result<_>>()?,
            filters: self.filters.iter().map(flags).collect(),
            retracted: flags(&self.retracted),
            rows: len,
            ingest: self.ingest,
        })
    }

    /// Adds the rows to the groups of the accumulators of the same calls.
    pub(super) fn update(&self, groups: &[u32], state: &mut [Box<dyn Accumulator>]) -> Result<()> {
        for ((accumulator, args), filter) in state.iter_mut().zip(&self.args).zip(&self.filters) {
            let rows = Rows { selected: filter.as_deref(), retracted: self.retracted.as_deref() };
            accumulator.update(groups, args, rows)?;
        }
        Ok(())
    }

    /// Counts the rows of groups.
    pub(super) fn count(&self, groups: &[u32], counts: &mut [i64]) {
        for (row, &group) in groups.iter().enumerate() {
            counts[group as usize] += if self.retracted.as_ref().is_some_and(|r| r[row]) { -1 } else { 1 };
        }
    }
}

/// Empty state of calls.
pub(super) fn accumulators(calls: &[AggregateCall], retracting: bool) -> Result<Vec<Box<dyn Accumulator>>> {
    calls.iter().map(|call| call.accumulator(retracting)).collect()
}

/// Which groups of a pane differ from the last checkpoint. Groups are never taken out of a pane, so that a byte
/// for each will do, and a row costs one store without a question.
#[derive(Debug)]
struct Touched {
    on: bool,
    /// All of them.
    all: bool,
    groups: Vec<u8>,
}

/// From so many rows a group on, all groups of a pane count as touched.
const DENSE: usize = 8;

impl Touched {
    /// Of a pane that is new.
    fn new(on: bool) -> Self {
        Self { on, all: true, groups: Vec::new() }
    }

    /// Rows of these groups came, to a pane that has `capacity` of them.
    fn add(&mut self, groups: &[u32], capacity: usize) {
        if !self.on || self.all {
            return;
        }
        if groups.len() >= capacity * DENSE {
            self.all = true;
            return;
        }
        self.groups.resize(capacity, 0);
        groups.iter().for_each(|&group| self.groups[group as usize] = 1);
    }

    /// The groups since the last call; all of them if `full`.
    fn take(&mut self, full: bool, capacity: usize) -> Vec<u32> {
        let all = std::mem::replace(&mut self.all, !self.on) || full;
        let groups = 0..capacity as u32;
        let touched = match all {
            true => groups.collect(),
            false => groups.filter(|&g| self.groups.get(g as usize) == Some(&1)).collect(),
        };
        self.groups.fill(0);
        touched
    }
}

/// The groups of a slice of time.
#[derive(Debug)]
pub(super) struct Pane {
    /// See [`super::panes::Panes`].
    number: u32,
    /// A checkpoint has rows of it.
    written: bool,
    touched: Touched,
    /// Columns of a key.
    width: usize,
    keys: KeyTable,
    state: Vec<Box<dyn Accumulator>>,
    /// Rows by group, kept where rows may be taken back.
    counts: Option<Vec<i64>>,
    ingest: Instant,
}

impl Pane {
    pub(super) fn new(
        key_types: &[DataType],
        calls: &[AggregateCall],
        retracting: bool,
        ingest: Instant,
        tracked: bool,
    ) -> Result<Self> {
        Ok(Self {
            number: 0,
            written: false,
            touched: Touched::new(tracked),
            width: key_types.len(),
            keys: KeyTable::new(key_types)?,
            state: accumulators(calls, retracting)?,
            counts: retracting.then(Vec::new),
            ingest,
        })
    }

    fn make_room(&mut self) {
        let groups = self.keys.capacity();
        self.state.iter_mut().for_each(|a| a.resize(groups));
        if let Some(counts) = &mut self.counts {
            counts.resize(groups, 0);
        }
    }

    /// Adds rows. `groups` is room to work in.
    pub(super) fn add(&mut self, rows: &Evaluated, groups: &mut Vec<u32>) -> Result<()> {
        self.keys.intern(&rows.keys, rows.rows, groups)?;
        self.make_room();
        self.touched.add(groups, self.keys.capacity());
        self.ingest = self.ingest.min(rows.ingest);
        if let Some(counts) = &mut self.counts {
            rows.count(groups, counts);
        }
        rows.update(groups, &mut self.state)
    }

    /// Adds all of another pane.
    pub(super) fn merge(&mut self, other: &Pane) -> Result<()> {
        let from: Vec<u32> = (0..other.keys.capacity() as u32).collect();
        let mut groups = Vec::with_capacity(from.len());
        for piece in from.chunks(PIECE) {
            self.keys.intern(&other.keys.take(piece)?, piece.len(), &mut groups)?;
            self.make_room();
            self.touched.add(&groups, self.keys.capacity());
            for (into, from) in self.state.iter_mut().zip(&other.state) {
                into.merge(&groups, from.as_ref(), piece)?;
            }
            if let (Some(counts), Some(more)) = (&mut self.counts, &other.counts) {
                groups.iter().zip(piece).for_each(|(&g, &f)| counts[g as usize] += more[f as usize]);
            }
        }
        self.ingest = self.ingest.min(other.ingest);
        Ok(())
    }

    /// Gives out the groups that have rows, as results of the window `start .. end`.
    pub(super) fn emit(&self, window: (i64, i64), result: &ResultColumns, out: &mut Output) -> Result<()> {
        let groups = 0..self.keys.capacity() as u32;
        let groups: Vec<u32> = match &self.counts {
            Some(counts) => groups.filter(|&g| counts[g as usize] > 0).collect(),
            None => groups.collect(),
        };
        for piece in groups.chunks(PIECE) {
            let mut columns = self.keys.take(piece)?;
            for accumulator in &self.state {
                columns.push(accumulator.values(piece)?);
            }
            result.append(&mut columns, &vec![window; piece.len()]);
            out.chunk(Chunk::append(result.batch(columns, piece.len())?, self.ingest));
        }
        Ok(())
    }

    /// Its number, by which a checkpoint knows its groups.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Gives it a number that no checkpoint has rows of.
    pub(super) fn renumber(&mut self, number: u32) {
        (self.number, self.written, self.touched.all) = (number, false, true);
    }

    /// A checkpoint has rows of it.
    pub(super) fn is_written(&self) -> bool {
        self.written
    }

    /// Groups that are to be written, which they are from then on.
    pub(super) fn take_touched(&mut self, full: bool) -> Vec<u32> {
        let groups = self.touched.take(full, self.keys.capacity());
        self.written |= !groups.is_empty();
        groups
    }

    /// Groups as rows of a checkpoint, behind columns that are there already.
    pub(super) fn state_of(
        &self,
        schema: &SchemaRef,
        mut columns: Vec<ArrayRef>,
        groups: &[u32],
    ) -> Result<RecordBatch> {
        columns.extend(self.keys.take(groups)?);
        if let Some(counts) = &self.counts {
            columns.push(Arc::new(Int64Array::from_iter_values(groups.iter().map(|&g| counts[g as usize]))));
        }
        append_state(&self.state, groups, &mut columns)?;
        state_batch(schema, columns, groups.len())
    }

    /// Takes groups back; their keys begin at column `own`. What it has of a group, or gets twice, is added up.
    pub(super) fn put_back(
        &mut self,
        rows: &RecordBatch,
        mut own: usize,
        calls: &[AggregateCall],
    ) -> Result<()> {
        let (keys, mut groups) = (self.width, Vec::new());
        let known = self.keys.capacity();
        self.keys.intern(&rows.columns()[own..own + keys], rows.num_rows(), &mut groups)?;
        own += keys;
        self.make_room();
        self.touched.add(&groups, self.keys.capacity());
        if let Some(counts) = &mut self.counts {
            let rows = rows.column(own).as_primitive::<Int64Type>();
            groups.iter().zip(rows.values()).for_each(|(&g, &n)| counts[g as usize] += n);
            own += 1;
        }
        let mut there = vec![false; self.keys.capacity()];
        there[..known].fill(true);
        let all = 0..rows.num_rows() as u32;
        let (again, first): (Vec<u32>, Vec<u32>) =
            all.partition(|&row| std::mem::replace(&mut there[groups[row as usize] as usize], true));
        if again.is_empty() {
            return restore_state(&mut self.state, &groups, rows, own);
        }
        let of = |rows: &[u32]| -> Vec<u32> { rows.iter().map(|&row| groups[row as usize]).collect() };
        let (more, into) = (take_record_batch(rows, &UInt32Array::from(again.clone()))?, of(&again));
        let groups = of(&first);
        let rows = take_record_batch(rows, &UInt32Array::from(first))?;
        restore_state(&mut self.state, &groups, &rows, own)?;
        let from: Vec<u32> = (0..into.len() as u32).collect();
        let mut others = accumulators(calls, self.counts.is_some())?;
        others.iter_mut().for_each(|other| other.resize(from.len()));
        restore_state(&mut others, &from, &more, own)?;
        let pairs = self.state.iter_mut().zip(&others);
        pairs.into_iter().try_for_each(|(own, other)| own.merge(&into, other.as_ref(), &from))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let counts = self.counts.as_ref().map_or(0, |c| c.capacity() * 8);
        self.keys.memory()
            + self.touched.groups.capacity()
            + counts
            + self.state.iter().map(|a| a.memory()).sum::<usize>()
    }
}

/// The columns of a window behind those of its result.
#[derive(Debug)]
pub(super) struct ResultColumns {
    schema: SchemaRef,
    window: Vec<WindowColumn>,
    clock: WindowClock,
    /// For each column of the output, which of the columns so far it is; empty where they stand already.
    order: Vec<usize>,
    zone: Option<Arc<str>>,
}

impl ResultColumns {
    /// `order`: for each column of `schema`, which it is of the results and the window's columns behind them.
    pub(super) fn new(
        schema: SchemaRef,
        window: Vec<WindowColumn>,
        windows: &WindowSpec,
        order: Vec<usize>,
    ) -> Result<Self> {
        let clock = WindowClock::new(windows)?;
        let order = if order.iter().enumerate().all(|(i, &from)| i == from) { Vec::new() } else { order };
        let before = schema.fields().len().saturating_sub(window.len());
        let position = |i: usize| order.iter().position(|&from| from == i).unwrap_or(i);
        let time = window.iter().position(|&w| w == WindowColumn::Time).map(|i| position(before + i));
        let zone = match time.and_then(|i| schema.fields().get(i)).map(|f| f.data_type()) {
            Some(DataType::Timestamp(_, zone)) => zone.clone(),
            _ => None,
        };
        Ok(Self { schema, window, clock, order, zone })
    }

    /// Where in the output a column stands that is not put in order yet.
    fn position(&self, column: usize) -> usize {
        self.order.iter().position(|&from| from == column).unwrap_or(column)
    }

    /// The types of the first columns before they are put in order.
    pub(super) fn types(&self, columns: usize) -> Vec<DataType> {
        (0..columns).map(|i| self.schema.field(self.position(i)).data_type().clone()).collect()
    }

    /// The names of the first columns before they are put in order.
    pub(super) fn names(&self, columns: usize) -> Vec<String> {
        (0..columns).map(|i| self.schema.field(self.position(i)).name().clone()).collect()
    }

    /// Appends the requested columns of one window a row. Equal windows stand together.
    pub(super) fn append(&self, columns: &mut Vec<ArrayRef>, windows: &[(i64, i64)]) {
        for column in &self.window {
            let mut last = (i64::MIN, i64::MIN);
            let values: TimestampMillisecondArray = match column {
                WindowColumn::Start => PrimitiveArray::from_iter_values(windows.iter().map(|w| w.0)),
                WindowColumn::End => PrimitiveArray::from_iter_values(windows.iter().map(|w| w.1)),
                WindowColumn::Time => PrimitiveArray::from_iter_values(windows.iter().map(|w| {
                    if last.0 != w.1 {
                        last = (w.1, self.clock.instant(w.1.saturating_sub(1)));
                    }
                    last.1
                })),
            };
            let zone = if *column == WindowColumn::Time { self.zone.clone() } else { None };
            columns.push(Arc::new(values.with_timezone_opt(zone)));
        }
    }

    /// A batch of the output.
    pub(super) fn batch(&self, mut columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        if !self.order.is_empty() {
            columns = self.order.iter().map(|&i| columns[i].clone()).collect();
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}
