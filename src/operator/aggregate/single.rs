//! Aggregates that are one of the values they saw: `MIN`, `MAX`, `FIRST_VALUE`, `LAST_VALUE` where nothing
//! is taken back. One value a group, replaced when a better one comes.
//!
//! NaN is greater than every number, as where values are sorted.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{DataType, Int64Type};

use super::encoded::{Encoding, nulls};
use super::state::{StateColumn, column, flags, malformed, primitive};
use super::{Accumulator, Rows, each_row, only_arg, same_state};
use crate::error::{Error, Result};

/// Which value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Min,
    Max,
    /// The first; `true`: also if it is NULL.
    First(bool),
    /// The last; `true`: also if it is NULL.
    Last(bool),
}

impl Rule {
    fn keeps_nulls(self) -> bool {
        matches!(self, Rule::First(true) | Rule::Last(true))
    }
    fn needs_order(self) -> bool {
        matches!(self, Rule::First(_) | Rule::Last(_))
    }
}

/// State for an argument of a type.
pub(super) fn single(rule: Rule, t: &DataType) -> Result<Box<dyn Accumulator>> {
    for_primitive!(t,
        T => Ok(Box::new(Primitive::<T>::new(rule, t))),
        _ => Ok(Box::new(Bytes::new(rule, t)?))
    )
}

fn taken_back() -> Error {
    Error::internal("a value was retracted from a state that only adds")
}

/// Whether a group has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
enum Held {
    #[default]
    Nothing,
    Null,
    Value,
}

/// When each group got its value, for the two rules that ask; counted in rows seen.
#[derive(Debug, Default)]
struct Arrivals {
    now: u64,
    at: Vec<u64>,
}

impl Arrivals {
    /// Whether group `b` beats group `a`, both of which hold something.
    fn beats(&self, rule: Rule, a: u32, b: u32) -> bool {
        let (a, b) = (self.at[a as usize], self.at[b as usize]);
        if matches!(rule, Rule::First(_)) { b < a } else { b > a }
    }
}

/// What is known of a group beside its value.
fn columns(rule: Rule, data_type: &DataType) -> Vec<StateColumn> {
    let mut columns = vec![StateColumn::new("", data_type.clone())];
    if rule.keeps_nulls() {
        columns.push(StateColumn::new("seen", DataType::Boolean));
    }
    if rule.needs_order() {
        columns.push(StateColumn::new("arrival", DataType::Int64));
    }
    columns
}

/// The columns behind the value.
fn notes(rule: Rule, groups: &[u32], held: &[Held], arrivals: &Arrivals) -> Vec<ArrayRef> {
    let mut notes: Vec<ArrayRef> = Vec::new();
    if rule.keeps_nulls() {
        let seen = groups.iter().map(|&g| Some(held[g as usize] != Held::Nothing));
        notes.push(Arc::new(seen.collect::<BooleanArray>()));
    }
    if rule.needs_order() {
        let at = groups.iter().map(|&g| arrivals.at[g as usize] as i64);
        notes.push(Arc::new(Int64Array::from_iter_values(at)));
    }
    notes
}

/// Takes the columns behind the value back, and whether there is a value.
fn take_notes(
    rule: Rule,
    groups: &[u32],
    state: &[ArrayRef],
    (held, arrivals): (&mut [Held], &mut Arrivals),
) -> Result<()> {
    let values = column(state, 0)?;
    let nulls = nulls(values);
    let seen = if rule.keeps_nulls() { Some(flags(state, 1)?) } else { None };
    for (i, &group) in groups.iter().enumerate() {
        held[group as usize] = match nulls.as_ref().is_none_or(|n| n.is_valid(i)) {
            true => Held::Value,
            false if seen.is_some_and(|s| s.value(i)) => Held::Null,
            false => Held::Nothing,
        };
    }
    if rule.needs_order() {
        let at = primitive::<Int64Type>(state, 1 + usize::from(rule.keeps_nulls()))?;
        for (&group, &at) in groups.iter().zip(at.values()) {
            arrivals.at[group as usize] = at as u64;
            arrivals.now = arrivals.now.max(at as u64 + 1);
        }
    }
    Ok(())
}

/// Values of a primitive type.
struct Primitive<T: ArrowPrimitiveType> {
    rule: Rule,
    data_type: DataType,
    values: Vec<T::Native>,
    held: Vec<Held>,
    arrivals: Arrivals,
}

impl<T: ArrowPrimitiveType> Debug for Primitive<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Primitive").field("rule", &self.rule).field("groups", &self.held.len()).finish()
    }
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    fn new(rule: Rule, data_type: &DataType) -> Self {
        let data_type = data_type.clone();
        Self { rule, data_type, values: Vec::new(), held: Vec::new(), arrivals: Arrivals::default() }
    }

    /// What stands in an empty group: every value replaces it.
    fn start(&self) -> T::Native {
        match self.rule {
            Rule::Min => T::Native::MAX_TOTAL_ORDER,
            Rule::Max => T::Native::MIN_TOTAL_ORDER,
            _ => T::Native::default(),
        }
    }

    /// Offers a group what another one holds, which came later if times cannot tell.
    fn offer(&mut self, group: u32, value: T::Native, held: Held, later: bool) {
        if held == Held::Nothing {
            return;
        }
        let g = group as usize;
        let better = self.held[g] == Held::Nothing
            || match self.rule {
                Rule::Min => value.is_lt(self.values[g]),
                Rule::Max => value.is_gt(self.values[g]),
                Rule::First(_) => !later,
                Rule::Last(_) => later,
            };
        if better {
            self.values[g] = value;
            self.held[g] = held;
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Primitive<T> {
    fn resize(&mut self, groups: usize) {
        if groups > self.held.len() {
            let start = self.start();
            self.values.resize(groups, start);
            self.held.resize(groups, Held::Nothing);
            if self.rule.needs_order() {
                self.arrivals.at.resize(groups, 0);
            }
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let array = only_arg(args, "MIN or MAX")?
            .as_primitive_opt::<T>()
            .ok_or_else(|| Error::internal("MIN or MAX of another type than it was planned for"))?;
        if rows.retracted.is_some_and(|r| r.contains(&true)) {
            return Err(taken_back());
        }
        let rows = Rows { retracted: None, ..rows };
        let new = &array.values()[..groups.len()];
        let (values, held) = (&mut self.values[..], &mut self.held[..]);
        let len = groups.len();
        match self.rule {
            Rule::Min => each_row(len, rows, array.nulls(), |i, _| {
                let g = groups[i] as usize;
                if new[i].is_le(values[g]) {
                    values[g] = new[i];
                }
                held[g] = Held::Value;
            }),
            Rule::Max => each_row(len, rows, array.nulls(), |i, _| {
                let g = groups[i] as usize;
                if new[i].is_ge(values[g]) {
                    values[g] = new[i];
                }
                held[g] = Held::Value;
            }),
            Rule::First(_) | Rule::Last(_) => {
                let first = matches!(self.rule, Rule::First(_));
                let nulls = if self.rule.keeps_nulls() { None } else { array.nulls() };
                let (at, now) = (&mut self.arrivals.at[..], self.arrivals.now);
                each_row(len, rows, nulls, |i, _| {
                    let g = groups[i] as usize;
                    if !first || held[g] == Held::Nothing {
                        values[g] = new[i];
                        held[g] = if array.is_valid(i) { Held::Value } else { Held::Null };
                        at[g] = now + i as u64;
                    }
                });
                self.arrivals.now += len as u64;
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            self.offer(group, other.values[from as usize], other.held[from as usize], true);
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let (value, held) = (self.values[from as usize], self.held[from as usize]);
        if !self.rule.needs_order() {
            self.offer(into, value, held, true);
        } else if held != Held::Nothing
            && (self.held[into as usize] == Held::Nothing || self.arrivals.beats(self.rule, into, from))
        {
            self.values[into as usize] = value;
            self.held[into as usize] = held;
            self.arrivals.at[into as usize] = self.arrivals.at[from as usize];
        }
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| match self.held[g as usize] {
            Held::Value => Some(self.values[g as usize]),
            _ => None,
        });
        let values: PrimitiveArray<T> = values.collect();
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }

    fn reset(&mut self, group: u32) {
        self.values[group as usize] = self.start();
        self.held[group as usize] = Held::Nothing;
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        columns(self.rule, &self.data_type)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = vec![self.values(groups)?];
        state.extend(notes(self.rule, groups, &self.held, &self.arrivals));
        Ok(state)
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        take_notes(self.rule, groups, state, (&mut self.held, &mut self.arrivals))?;
        let values = column(state, 0)?.as_primitive_opt::<T>().ok_or_else(malformed)?;
        for (i, &group) in groups.iter().enumerate().filter(|(i, _)| values.is_valid(*i)) {
            self.values[group as usize] = values.value(i);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>()
            + self.held.capacity()
            + self.arrivals.at.capacity() * 8
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Values of any other type, as bytes.
#[derive(Debug)]
struct Bytes {
    rule: Rule,
    data_type: DataType,
    encoding: Encoding,
    values: Vec<Vec<u8>>,
    held: Vec<Held>,
    arrivals: Arrivals,
}

impl Bytes {
    fn new(rule: Rule, data_type: &DataType) -> Result<Self> {
        Ok(Self {
            rule,
            data_type: data_type.clone(),
            encoding: Encoding::new(data_type)?,
            values: Vec::new(),
            held: Vec::new(),
            arrivals: Arrivals::default(),
        })
    }

    fn better(&self, group: u32, value: &[u8], later: bool) -> bool {
        self.held[group as usize] == Held::Nothing
            || match self.rule {
                Rule::Min => value < self.values[group as usize].as_slice(),
                Rule::Max => value > self.values[group as usize].as_slice(),
                Rule::First(_) => !later,
                Rule::Last(_) => later,
            }
    }
}

impl Accumulator for Bytes {
    fn resize(&mut self, groups: usize) {
        if groups > self.held.len() {
            self.values.resize_with(groups, Vec::new);
            self.held.resize(groups, Held::Nothing);
            if self.rule.needs_order() {
                self.arrivals.at.resize(groups, 0);
            }
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let array = only_arg(args, "MIN or MAX")?;
        if rows.retracted.is_some_and(|r| r.contains(&true)) {
            return Err(taken_back());
        }
        let encoded = self.encoding.encode(array)?;
        let nulls = nulls(array);
        let skipped = if self.rule.keeps_nulls() { None } else { nulls.as_ref() };
        each_row(groups.len(), Rows { retracted: None, ..rows }, skipped, |i, _| {
            let value = encoded.get(i);
            if self.better(groups[i], value, true) {
                let g = groups[i] as usize;
                self.values[g].clear();
                self.values[g].extend_from_slice(value);
                let valid = nulls.as_ref().is_none_or(|n| n.is_valid(i));
                self.held[g] = if valid { Held::Value } else { Held::Null };
                if let Some(at) = self.arrivals.at.get_mut(g) {
                    *at = self.arrivals.now + i as u64;
                }
            }
        });
        self.arrivals.now += groups.len() as u64;
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            let (value, held) = (&other.values[from as usize], other.held[from as usize]);
            if held != Held::Nothing && self.better(group, value, true) {
                self.values[group as usize].clone_from(value);
                self.held[group as usize] = held;
            }
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let held = self.held[from as usize];
        if held == Held::Nothing {
            return Ok(());
        }
        let later = self.rule.needs_order()
            && self.held[into as usize] != Held::Nothing
            && (self.arrivals.at[from as usize] > self.arrivals.at[into as usize]);
        if self.better(into, &self.values[from as usize], later) {
            self.values[into as usize] = self.values[from as usize].clone();
            self.held[into as usize] = held;
            if self.rule.needs_order() {
                self.arrivals.at[into as usize] = self.arrivals.at[from as usize];
            }
        }
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| match self.held[g as usize] {
            Held::Value => Some(self.values[g as usize].as_slice()),
            _ => None,
        });
        self.encoding.decode(&self.data_type, values)
    }

    fn reset(&mut self, group: u32) {
        self.values[group as usize] = Vec::new();
        self.held[group as usize] = Held::Nothing;
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        columns(self.rule, &self.data_type)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = vec![self.values(groups)?];
        state.extend(notes(self.rule, groups, &self.held, &self.arrivals));
        Ok(state)
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        take_notes(self.rule, groups, state, (&mut self.held, &mut self.arrivals))?;
        let encoded = self.encoding.encode(column(state, 0)?)?;
        for (i, &group) in groups.iter().enumerate() {
            if self.held[group as usize] == Held::Value {
                self.values[group as usize] = encoded.get(i).to_vec();
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        values
            + self.values.capacity() * size_of::<Vec<u8>>()
            + self.held.capacity()
            + self.arrivals.at.capacity() * 8
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
