//! `DISTINCT` for any function: every value of a group is counted, and the function below sees it when it
//! comes for the first time and when its last occurrence is taken back.
//!
//! ```text
//!  (group, arguments) ──> slot ──> count       1 ──> the function adds the value
//!                          │                   0 ──> the function takes it back
//!                          └──> next value of the same group, so that groups can be merged and forgotten
//! ```

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};

use super::state::{StateColumn, column, lists, malformed, numbered, unlisted};
use super::{Accumulator, Rows, each_row, nulls_of, same_state};
use crate::error::Result;
use crate::state::KeyTable;

/// No value.
const NONE: u32 = u32::MAX;

/// A value of a group.
#[derive(Debug, Clone, Copy)]
struct Value {
    /// How often it is there.
    count: u32,
    group: u32,
    next: u32,
    previous: u32,
}

#[derive(Debug)]
pub(super) struct Distinct {
    inner: Box<dyn Accumulator>,
    /// Types of the arguments.
    types: Vec<DataType>,
    /// Group, then arguments.
    keys: KeyTable,
    values: Vec<Value>,
    /// The youngest value of each group.
    youngest: Vec<u32>,
    /// Rows with NULL in an argument do not count.
    skips_nulls: bool,
}

impl Distinct {
    /// `types`: those of the arguments.
    pub fn new(inner: Box<dyn Accumulator>, types: &[DataType], skips_nulls: bool) -> Result<Self> {
        let keys: Vec<DataType> = std::iter::once(DataType::UInt32).chain(types.iter().cloned()).collect();
        Ok(Self {
            inner,
            types: types.to_vec(),
            keys: KeyTable::new(&keys)?,
            values: Vec::new(),
            youngest: Vec::new(),
            skips_nulls,
        })
    }

    fn link(&mut self, slot: u32, group: u32) {
        let head = std::mem::replace(&mut self.youngest[group as usize], slot);
        if head != NONE {
            self.values[head as usize].previous = slot;
        }
        self.values[slot as usize] = Value { count: 0, group, next: head, previous: NONE };
    }

    fn unlink(&mut self, slot: u32) {
        let Value { group, next, previous, .. } = self.values[slot as usize];
        match previous {
            NONE => self.youngest[group as usize] = next,
            previous => self.values[previous as usize].next = next,
        }
        if next != NONE {
            self.values[next as usize].previous = previous;
        }
        self.values[slot as usize].group = NONE;
    }

    /// The values of a group, oldest first.
    fn of_group(&self, group: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut next = self.youngest[group as usize];
        while next != NONE {
            slots.push(next);
            next = self.values[next as usize].next;
        }
        slots.reverse();
        slots
    }

    /// The slots of values of groups, which are made if they are new.
    fn intern(&mut self, groups: &[u32], args: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups.to_vec()))];
        columns.extend(args.iter().cloned());
        let mut slots = Vec::new();
        self.keys.intern(&columns, groups.len(), &mut slots)?;
        let empty = Value { count: 0, group: NONE, next: NONE, previous: NONE };
        if self.keys.capacity() > self.values.len() {
            self.values.resize(self.keys.capacity(), empty);
        }
        Ok(slots)
    }

    /// Adds row `i` of `args` `times(i)` times to `groups[i]`, or takes one back.
    fn apply(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        retracted: Option<&[bool]>,
        times: impl Fn(usize) -> u32,
    ) -> Result<()> {
        let slots = self.intern(groups, args)?;
        let mut changed = vec![false; groups.len()];
        let mut any = false;
        let mut gone = Vec::new();
        for (row, (&slot, &group)) in slots.iter().zip(groups).enumerate() {
            if self.values[slot as usize].group == NONE {
                self.link(slot, group);
            }
            let value = &mut self.values[slot as usize];
            if retracted.is_some_and(|r| r[row]) {
                // A value that was never there cannot be taken back.
                changed[row] = value.count == 1;
                value.count = value.count.saturating_sub(1);
                if value.count == 0 {
                    gone.push(slot);
                }
            } else {
                changed[row] = value.count == 0;
                value.count = value.count.saturating_add(times(row));
            }
            any |= changed[row];
        }
        if any {
            let rows = Rows { selected: Some(&changed), retracted };
            self.inner.update(groups, args, rows)?;
        }
        for slot in gone {
            if self.values[slot as usize].group != NONE && self.values[slot as usize].count == 0 {
                self.unlink(slot);
                self.keys.remove(slot);
            }
        }
        Ok(())
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        if groups > self.youngest.len() {
            self.youngest.resize(groups, NONE);
        }
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let mut nulls: Option<NullBuffer> = None;
        if self.skips_nulls {
            for arg in args {
                nulls = NullBuffer::union(nulls.as_ref(), nulls_of(arg).as_ref());
            }
        }
        let mut counted: Vec<u32> = Vec::with_capacity(groups.len());
        each_row(groups.len(), rows, nulls.as_ref(), |i, _| counted.push(i as u32));
        if counted.len() == groups.len() {
            return self.apply(groups, args, rows.retracted, |_| 1);
        }
        let groups: Vec<u32> = counted.iter().map(|&i| groups[i as usize]).collect();
        let retracted: Option<Vec<bool>> =
            rows.retracted.map(|r| counted.iter().map(|&i| r[i as usize]).collect());
        let counted = UInt32Array::from(counted);
        let args = args.iter().map(|a| Ok(take(a, &counted, None)?)).collect::<Result<Vec<_>>>()?;
        self.apply(&groups, &args, retracted.as_deref(), |_| 1)
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        let (mut into, mut slots) = (Vec::new(), Vec::new());
        for (&group, &from) in groups.iter().zip(from) {
            let values = other.of_group(from);
            into.resize(into.len() + values.len(), group);
            slots.extend(values);
        }
        let columns = other.keys.take(&slots)?;
        self.apply(&into, &columns[1..], None, |i| other.values[slots[i] as usize].count)
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let slots = self.of_group(from);
        let columns = self.keys.take(&slots)?;
        let counts: Vec<u32> = slots.iter().map(|&s| self.values[s as usize].count).collect();
        self.apply(&vec![into; slots.len()], &columns[1..], None, |i| counts[i])
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.values(groups)
    }

    fn reset(&mut self, group: u32) {
        for slot in self.of_group(group) {
            self.values[slot as usize].group = NONE;
            self.keys.remove(slot);
        }
        self.youngest[group as usize] = NONE;
        self.inner.reset(group);
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        let mut columns = self.inner.state_columns();
        let names = numbered("values", self.types.len());
        columns.extend(names.zip(&self.types).map(|(name, t)| StateColumn::list(name, t.clone())));
        columns.push(StateColumn::list("counts", DataType::Int64));
        columns
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.inner.state(groups)?;
        let (mut slots, mut lengths) = (Vec::new(), Vec::with_capacity(groups.len()));
        for &group in groups {
            let of_group = self.of_group(group);
            lengths.push(of_group.len());
            slots.extend(of_group);
        }
        for values in self.keys.take(&slots)?.into_iter().skip(1) {
            columns.push(lists(values, lengths.iter().copied())?);
        }
        let counts = slots.iter().map(|&s| i64::from(self.values[s as usize].count));
        columns.push(lists(Arc::new(Int64Array::from_iter_values(counts)), lengths.into_iter())?);
        Ok(columns)
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let inner = self.inner.state_columns().len();
        let (inner, state) = state.split_at_checked(inner).ok_or_else(malformed)?;
        self.inner.restore(groups, inner)?;
        let (counts, lengths) = unlisted(column(state, self.types.len())?)?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(malformed)?;
        let mut args = Vec::with_capacity(self.types.len());
        for list in &state[..self.types.len()] {
            let (values, of_list) = unlisted(list)?;
            if of_list != lengths {
                return Err(malformed());
            }
            args.push(values);
        }
        let repeated = groups.iter().zip(&lengths).flat_map(|(&g, &n)| std::iter::repeat_n(g, n));
        let repeated: Vec<u32> = repeated.collect();
        let slots = self.intern(&repeated, &args)?;
        for ((&slot, &group), &count) in slots.iter().zip(&repeated).zip(counts.values()) {
            self.link(slot, group);
            self.values[slot as usize].count = u32::try_from(count).map_err(|_| malformed())?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.inner.memory()
            + self.keys.memory()
            + self.values.capacity() * size_of::<Value>()
            + self.youngest.capacity() * size_of::<u32>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
