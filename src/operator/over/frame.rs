//! Aggregates over frames: accumulators that take rows in and, where the frame slides, back out.
//!
//! The rows of a batch are put in the order of their rounds ([`super::layout`]); then each round is one
//! stretch of every argument, without a copy:
//! ```text
//!  round 0: take out what leaves the frames, add the unit of each partition, read the results
//!  round 1: the same for the next unit of each partition that has one ...
//! ```
//! What will leave a frame is known beforehand from times and numbers of rows alone, so its arguments are
//! fetched once a batch.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};

use super::Frame;
use super::layout::Layout;
use super::trail::Trail;
use crate::error::{Error, Result};
use crate::operator::aggregate::{Accumulator, AggregateCall, Rows, StateColumn};

/// An aggregate and its state by slot.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) call: AggregateCall,
    pub(super) state: Box<dyn Accumulator>,
    /// It holds as much as its frame, and is made anew from the rows in it.
    pub(super) follows: bool,
}

/// All aggregates of an OVER.
#[derive(Debug)]
pub(super) struct Frames {
    frame: Frame,
    pub(super) aggregates: Vec<Aggregate>,
    /// Sliding frames: the arguments of the rows in them, then the filters.
    pub(super) trail: Option<Trail>,
    /// Rows in the frame of each partition, with their times.
    pub(super) inside: Vec<VecDeque<(i64, u32)>>,
}

/// The arguments of all calls over some rows.
struct Arguments {
    columns: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<ArrayRef>>,
}

/// TRUE as `true`, FALSE and NULL as `false`.
fn flags(filter: &ArrayRef) -> Result<Vec<bool>> {
    let filter = filter
        .as_boolean_opt()
        .ok_or_else(|| Error::internal("a FILTER that is not BOOLEAN reached the runtime"))?;
    Ok(filter.iter().map(|f| f == Some(true)).collect())
}

impl Arguments {
    fn evaluate(aggregates: &[Aggregate], batch: &RecordBatch) -> Result<Self> {
        let rows = batch.num_rows();
        let mut columns = Vec::with_capacity(aggregates.len());
        let mut filters = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let args = aggregate.call.args.iter();
            columns.push(
                args.map(|a| Ok(a.evaluate(batch)?.into_array(rows)?)).collect::<Result<Vec<ArrayRef>>>()?,
            );
            filters.push(match &aggregate.call.filter {
                Some(filter) => Some(filter.evaluate(batch)?.into_array(rows)?),
                None => None,
            });
        }
        Ok(Self { columns, filters })
    }

    /// As one batch to keep.
    fn batch(&self, rows: usize, schema: &arrow::datatypes::SchemaRef) -> Result<RecordBatch> {
        let columns = self.columns.iter().flatten().chain(self.filters.iter().flatten()).cloned().collect();
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
    }

    /// The same of rows that were kept.
    fn of_kept(&self, batch: &RecordBatch) -> Self {
        let mut kept = batch.columns().iter().cloned();
        let columns = self.columns.iter().map(|c| kept.by_ref().take(c.len()).collect()).collect();
        let filters = self.filters.iter().map(|f| f.as_ref().and_then(|_| kept.next())).collect();
        Self { columns, filters }
    }

    fn flags(&self) -> Result<Vec<Option<Vec<bool>>>> {
        self.filters.iter().map(|f| f.as_ref().map(flags).transpose()).collect()
    }
}

/// Rows that leave frames in a batch, by round.
#[derive(Default)]
struct Leaving {
    ids: Vec<u32>,
    slots: Vec<u32>,
    /// Where each round begins, and the last one ends.
    starts: Vec<usize>,
}

impl Frames {
    pub(super) fn new(calls: Vec<AggregateCall>, frame: Frame) -> Result<Self> {
        let slides = matches!(frame, Frame::Rows(_) | Frame::Range(_));
        let mut aggregates = Vec::with_capacity(calls.len());
        for call in calls {
            let state = call.accumulator(slides)?;
            let is_list = |c: &StateColumn| matches!(c.data_type, DataType::List(_));
            let follows = slides && state.state_columns().iter().any(is_list);
            aggregates.push(Aggregate { call, state, follows });
        }
        let arguments = aggregates.iter().flat_map(|a| &a.call.arg_types).cloned();
        let filters = aggregates.iter().filter(|a| a.call.filter.is_some()).map(|_| DataType::Boolean);
        let fields = arguments.chain(filters).enumerate();
        let schema = Schema::new(fields.map(|(i, t)| Field::new(i.to_string(), t, true)).collect::<Vec<_>>());
        let trail = (slides && !aggregates.is_empty()).then(|| Trail::new(Arc::new(schema)));
        Ok(Self { frame, aggregates, trail, inside: Vec::new() })
    }

    pub(super) fn resize(&mut self, slots: usize) {
        for aggregate in &mut self.aggregates {
            aggregate.state.resize(slots);
        }
        if self.trail.is_some() {
            self.inside.resize_with(slots, VecDeque::new);
        }
    }

    /// Empties the frame of a partition.
    pub(super) fn reset(&mut self, slot: u32) {
        for aggregate in &mut self.aggregates {
            aggregate.state.reset(slot);
        }
        if let (Some(inside), Some(trail)) = (self.inside.get_mut(slot as usize), &mut self.trail) {
            inside.drain(..).for_each(|row| trail.leave(row.1));
        }
    }

    pub(super) fn memory(&self) -> usize {
        let states: usize = self.aggregates.iter().map(|a| a.state.memory()).sum();
        let inside: usize = self.inside.iter().map(|q| q.capacity() * size_of::<(i64, u32)>()).sum();
        states + inside + self.trail.as_ref().map_or(0, Trail::memory)
    }

    /// Adds the arguments of rows that are in their frames again to the aggregates that follow from them.
    pub(super) fn follow(&mut self, slots: &[u32], rows: &RecordBatch) -> Result<()> {
        let mut columns = rows.columns().iter();
        let counts: Vec<usize> = self.aggregates.iter().map(|a| a.call.arg_types.len()).collect();
        let args: Vec<Vec<ArrayRef>> =
            counts.iter().map(|&count| columns.by_ref().take(count).cloned().collect()).collect();
        for (aggregate, args) in self.aggregates.iter_mut().zip(args) {
            let selected = match &aggregate.call.filter {
                Some(_) => columns.next().map(flags).transpose()?,
                None => None,
            };
            if aggregate.follows {
                let rows = Rows { selected: selected.as_deref(), retracted: None };
                aggregate.state.update(slots, &args, rows)?;
            }
        }
        Ok(())
    }

    /// One column a call, with one result a row of the batch.
    pub(super) fn compute(
        &mut self,
        batch: &RecordBatch,
        slots: &[u32],
        times: &[i64],
        layout: &Layout,
    ) -> Result<Vec<ArrayRef>> {
        if self.aggregates.is_empty() {
            return Ok(Vec::new());
        }
        let (order, starts) = layout.by_round();
        let (batch, slots, times) = if starts.len() == 2 {
            (batch.clone(), slots.to_vec(), times.to_vec())
        } else {
            let rows = UInt32Array::from(order.clone());
            (
                take_record_batch(batch, &rows)?,
                order.iter().map(|&r| slots[r as usize]).collect(),
                order.iter().map(|&r| times[r as usize]).collect(),
            )
        };
        let arguments = Arguments::evaluate(&self.aggregates, &batch)?;
        let filters = arguments.flags()?;
        let (leaving, retracted) = self.slide(&arguments, &slots, &times, &starts)?;
        let gone = retracted.as_ref().map(|kept| arguments.of_kept(kept));
        let gone_filters = gone.as_ref().map(Arguments::flags).transpose()?;
        let all_gone = vec![true; leaving.ids.len()];

        // The last row of a unit has its result: where that stands, per row in the order of rounds.
        let mut result_of = vec![0u32; slots.len()];
        let mut units: Vec<u32> = Vec::with_capacity(slots.len());
        let mut unit_starts = Vec::with_capacity(starts.len());
        unit_starts.push(0);
        let mut unit_by_slot: hashbrown::HashMap<u32, u32, foldhash::fast::RandomState> = Default::default();
        for round in starts.windows(2) {
            unit_by_slot.clear();
            for row in round[0]..round[1] {
                let next = units.len() as u32;
                let unit =
                    if layout.has_peers() { *unit_by_slot.entry(slots[row]).or_insert(next) } else { next };
                if unit == next {
                    units.push(slots[row]);
                }
                result_of[row] = unit;
            }
            unit_starts.push(units.len());
        }

        let mut columns = Vec::with_capacity(self.aggregates.len());
        for (number, aggregate) in self.aggregates.iter_mut().enumerate() {
            let mut results: Vec<ArrayRef> = Vec::with_capacity(starts.len());
            for round in 0..starts.len() - 1 {
                if let Some(gone) = &gone {
                    let (from, to) = (leaving.starts[round], leaving.starts[round + 1]);
                    if from < to {
                        let args: Vec<ArrayRef> =
                            gone.columns[number].iter().map(|a| a.slice(from, to - from)).collect();
                        let selected = gone_filters.as_ref().and_then(|f| f[number].as_ref());
                        let rows = Rows {
                            selected: selected.map(|s| &s[from..to]),
                            retracted: Some(&all_gone[from..to]),
                        };
                        aggregate.state.update(&leaving.slots[from..to], &args, rows)?;
                    }
                }
                let (from, to) = (starts[round], starts[round + 1]);
                let args: Vec<ArrayRef> =
                    arguments.columns[number].iter().map(|a| a.slice(from, to - from)).collect();
                let selected = filters[number].as_ref().map(|s| &s[from..to]);
                aggregate.state.update(&slots[from..to], &args, Rows { selected, retracted: None })?;
                results.push(aggregate.state.values(&units[unit_starts[round]..unit_starts[round + 1]])?);
            }
            let parts: Vec<&dyn Array> = results.iter().map(|r| r.as_ref()).collect();
            columns.push(match parts.len() {
                0 => new_empty_array(&aggregate.call.data_type),
                1 => results[0].clone(),
                _ => concat(&parts)?,
            });
        }
        if let Some(trail) = &mut self.trail {
            leaving.ids.iter().try_for_each(|&id| trail.free(id))?;
        }
        // Back into the order of the batch, peers with the result of their unit.
        let mut back = vec![0u32; order.len()];
        for (place, &row) in order.iter().enumerate() {
            back[row as usize] = result_of[place];
        }
        let back = UInt32Array::from(back);
        columns.into_iter().map(|c| Ok(take(&c, &back, None)?)).collect()
    }

    /// Moves the frames over the batch: what leaves them, with its arguments.
    fn slide(
        &mut self,
        arguments: &Arguments,
        slots: &[u32],
        times: &[i64],
        starts: &[usize],
    ) -> Result<(Leaving, Option<RecordBatch>)> {
        let Some(trail) = &mut self.trail else { return Ok((Leaving::default(), None)) };
        trail.free_left()?;
        let mut ids = Vec::with_capacity(slots.len());
        trail.push(&arguments.batch(slots.len(), trail.store().schema())?, &mut ids)?;
        let mut leaving = Leaving::default();
        leaving.starts.push(0);
        for round in starts.windows(2) {
            for row in round[0]..round[1] {
                let slot = slots[row];
                let inside = &mut self.inside[slot as usize];
                loop {
                    let leaves = match (self.frame, inside.front()) {
                        (_, None) => false,
                        (Frame::Rows(n), Some(_)) => inside.len() as u64 > n,
                        (Frame::Range(range), Some(first)) => times[row].saturating_sub(first.0) > range,
                        _ => false,
                    };
                    if !leaves {
                        break;
                    }
                    if let Some((_, id)) = inside.pop_front() {
                        leaving.ids.push(id);
                        leaving.slots.push(slot);
                    }
                }
                inside.push_back((times[row], ids[row]));
            }
            leaving.starts.push(leaving.ids.len());
        }
        let kept = trail.store().take(&leaving.ids)?;
        Ok((leaving, Some(kept)))
    }
}
