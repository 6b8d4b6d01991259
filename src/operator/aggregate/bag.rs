//! `MIN` and `MAX` over rows that may be taken back: every value of a group with the number of times it is
//! there, in order.
//!
//! ```text
//!  group 0 ──> [(3, 1), (7, 2), (9, 1)]        few values: a sorted vector
//!  group 1 ──> { ... }                         many: a tree
//! ```
//! A value that is taken back before it was added has a negative number until it comes; the least and
//! greatest value are those with a positive one.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{DataType, Int64Type};

use super::encoded::{Encoding, nulls};
use super::state::{StateColumn, column, lists, malformed, unlisted};
use super::{Accumulator, Rows, each_row, only_arg, same_state};
use crate::error::{Error, Result};

/// Which end of the order is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
}

/// A vector is as good as a tree up to this many values.
const FEW: usize = 32;

/// Values with their numbers, in order.
#[derive(Debug, Clone)]
enum Bag<K> {
    Few(Vec<(K, i64)>),
    Many(BTreeMap<K, i64>),
}

impl<K: Ord> Bag<K> {
    /// Adds `by` to a value's number; a number of 0 is no entry.
    fn change(&mut self, key: K, by: i64) {
        match self {
            Bag::Few(entries) => match entries.binary_search_by(|e| e.0.cmp(&key)) {
                Ok(at) => {
                    entries[at].1 += by;
                    if entries[at].1 == 0 {
                        entries.remove(at);
                    }
                }
                Err(at) if entries.len() < FEW => entries.insert(at, (key, by)),
                Err(_) => {
                    let mut tree: BTreeMap<K, i64> = std::mem::take(entries).into_iter().collect();
                    tree.insert(key, by);
                    *self = Bag::Many(tree);
                }
            },
            Bag::Many(tree) => match tree.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(by);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    *entry.get_mut() += by;
                    if *entry.get() == 0 {
                        entry.remove();
                    }
                    if tree.is_empty() {
                        *self = Bag::Few(Vec::new());
                    }
                }
            },
        }
    }

    fn end(&self, end: End) -> Option<&K> {
        let there = |e: &(&K, &i64)| *e.1 > 0;
        match (self, end) {
            (Bag::Few(e), End::Least) => e.iter().find(|e| e.1 > 0).map(|e| &e.0),
            (Bag::Few(e), End::Greatest) => e.iter().rev().find(|e| e.1 > 0).map(|e| &e.0),
            (Bag::Many(t), End::Least) => t.iter().find(there).map(|e| e.0),
            (Bag::Many(t), End::Greatest) => t.iter().rev().find(there).map(|e| e.0),
        }
    }

    /// Values with numbers, in any order.
    fn of(mut entries: Vec<(K, i64)>) -> Self {
        if entries.len() > FEW {
            return Bag::Many(entries.into_iter().collect());
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Bag::Few(entries)
    }

    fn len(&self) -> usize {
        match self {
            Bag::Few(entries) => entries.len(),
            Bag::Many(tree) => tree.len(),
        }
    }

    fn each<'a>(&'a self, mut f: impl FnMut(&'a K, i64)) {
        match self {
            Bag::Few(entries) => entries.iter().for_each(|(k, n)| f(k, *n)),
            Bag::Many(tree) => tree.iter().for_each(|(k, n)| f(k, *n)),
        }
    }

    fn entries(&self) -> Vec<(K, i64)>
    where
        K: Clone,
    {
        match self {
            Bag::Few(entries) => entries.clone(),
            Bag::Many(tree) => tree.iter().map(|(k, n)| (k.clone(), *n)).collect(),
        }
    }

    fn memory(&self, key: impl Fn(&K) -> usize) -> usize {
        let entry = size_of::<(K, i64)>();
        match self {
            Bag::Few(e) => e.capacity() * entry + e.iter().map(|e| key(&e.0)).sum::<usize>(),
            // Nodes of a tree are between half and completely full.
            Bag::Many(t) => t.len() * entry * 3 / 2 + t.keys().map(key).sum::<usize>(),
        }
    }
}

/// A primitive value in Arrow's total order.
#[derive(Debug, Clone, Copy)]
struct Total<N>(N);

impl<N: ArrowNativeTypeOp> PartialEq for Total<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.compare(other.0) == Ordering::Equal
    }
}
impl<N: ArrowNativeTypeOp> Eq for Total<N> {}
impl<N: ArrowNativeTypeOp> PartialOrd for Total<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<N: ArrowNativeTypeOp> Ord for Total<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(other.0)
    }
}

/// State for an argument of a type.
pub(super) fn extreme(end: End, t: &DataType) -> Result<Box<dyn Accumulator>> {
    for_primitive!(t,
        T => Ok(Box::new(Primitive::<T> { end, data_type: t.clone(), bags: Vec::new() })),
        _ => {
            let encoding = Encoding::new(t)?;
            Ok(Box::new(Bytes { end, data_type: t.clone(), encoding, bags: Vec::new() }))
        }
    )
}

fn merge<K: Ord + Clone>(into: &mut Bag<K>, from: &Bag<K>) {
    for (key, count) in from.entries() {
        into.change(key, count);
    }
}

fn bag_columns(data_type: &DataType) -> Vec<StateColumn> {
    vec![StateColumn::list("values", data_type.clone()), StateColumn::list("counts", DataType::Int64)]
}

/// The numbers of the values of bags, and the values by `value`.
fn bag_state<'a, K: Ord>(
    bags: &'a [Bag<K>],
    groups: &[u32],
    mut value: impl FnMut(&'a K),
) -> Result<(ArrayRef, Vec<usize>)> {
    let lengths: Vec<usize> = groups.iter().map(|&g| bags[g as usize].len()).collect();
    let mut counts = Vec::with_capacity(lengths.iter().sum());
    for &group in groups {
        bags[group as usize].each(|key, count| {
            value(key);
            counts.push(count);
        });
    }
    Ok((lists(Arc::new(Int64Array::from(counts)), lengths.iter().copied())?, lengths))
}

/// Fills bags: `key(i)` is value `i` of those of all lists.
fn restore_bags<K: Ord>(
    bags: &mut [Bag<K>],
    groups: &[u32],
    (lengths, counts): (&[usize], &ArrayRef),
    key: impl Fn(usize) -> K,
) -> Result<()> {
    let (counts, of_counts) = unlisted(counts)?;
    let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(malformed)?;
    if of_counts != lengths {
        return Err(malformed());
    }
    let mut next = 0;
    for (&group, &length) in groups.iter().zip(lengths) {
        let entries = (next..next + length).map(|i| (key(i), counts.value(i)));
        bags[group as usize] = Bag::of(entries.collect());
        next += length;
    }
    Ok(())
}

fn signed(back: bool) -> i64 {
    if back { -1 } else { 1 }
}

/// Bags of primitive values.
struct Primitive<T: ArrowPrimitiveType> {
    end: End,
    data_type: DataType,
    bags: Vec<Bag<Total<T::Native>>>,
}

impl<T: ArrowPrimitiveType> Debug for Primitive<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Primitive").field("end", &self.end).field("groups", &self.bags.len()).finish()
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Primitive<T> {
    fn resize(&mut self, groups: usize) {
        if groups > self.bags.len() {
            self.bags.resize_with(groups, || Bag::Few(Vec::new()));
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let array = only_arg(args, "MIN or MAX")?
            .as_primitive_opt::<T>()
            .ok_or_else(|| Error::internal("MIN or MAX of another type than it was planned for"))?;
        let values = array.values();
        each_row(groups.len(), rows, array.nulls(), |i, back| {
            self.bags[groups[i] as usize].change(Total(values[i]), signed(back));
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            merge(&mut self.bags[group as usize], &other.bags[from as usize]);
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let bag = self.bags[from as usize].clone();
        merge(&mut self.bags[into as usize], &bag);
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| self.bags[g as usize].end(self.end).map(|k| k.0));
        let values: PrimitiveArray<T> = values.collect();
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }

    fn reset(&mut self, group: u32) {
        self.bags[group as usize] = Bag::Few(Vec::new());
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        bag_columns(&self.data_type)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut values = Vec::new();
        let (counts, lengths) = bag_state(&self.bags, groups, |key| values.push(key.0))?;
        let values = PrimitiveArray::<T>::from_iter_values(values).with_data_type(self.data_type.clone());
        Ok(vec![lists(Arc::new(values), lengths.into_iter())?, counts])
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (values, lengths) = unlisted(column(state, 0)?)?;
        let values = values.as_primitive_opt::<T>().ok_or_else(malformed)?;
        restore_bags(&mut self.bags, groups, (&lengths, column(state, 1)?), |i| Total(values.value(i)))
    }

    fn memory(&self) -> usize {
        let bags: usize = self.bags.iter().map(|b| b.memory(|_| 0)).sum();
        bags + self.bags.capacity() * size_of::<Bag<Total<T::Native>>>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Bags of values of any other type, as bytes.
#[derive(Debug)]
struct Bytes {
    end: End,
    data_type: DataType,
    encoding: Encoding,
    bags: Vec<Bag<Box<[u8]>>>,
}

impl Accumulator for Bytes {
    fn resize(&mut self, groups: usize) {
        if groups > self.bags.len() {
            self.bags.resize_with(groups, || Bag::Few(Vec::new()));
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let array = only_arg(args, "MIN or MAX")?;
        let encoded = self.encoding.encode(array)?;
        each_row(groups.len(), rows, nulls(array).as_ref(), |i, back| {
            self.bags[groups[i] as usize].change(encoded.get(i).into(), signed(back));
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        for (&group, &from) in groups.iter().zip(from) {
            merge(&mut self.bags[group as usize], &other.bags[from as usize]);
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        let bag = self.bags[from as usize].clone();
        merge(&mut self.bags[into as usize], &bag);
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| self.bags[g as usize].end(self.end).map(|k| &**k));
        self.encoding.decode(&self.data_type, values)
    }

    fn reset(&mut self, group: u32) {
        self.bags[group as usize] = Bag::Few(Vec::new());
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        bag_columns(&self.data_type)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut values: Vec<Option<&[u8]>> = Vec::new();
        let (counts, lengths) = bag_state(&self.bags, groups, |key| values.push(Some(key)))?;
        let values = self.encoding.decode(&self.data_type, values.into_iter())?;
        Ok(vec![lists(values, lengths.into_iter())?, counts])
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (values, lengths) = unlisted(column(state, 0)?)?;
        let encoded = self.encoding.encode(&values)?;
        restore_bags(&mut self.bags, groups, (&lengths, column(state, 1)?), |i| encoded.get(i).into())
    }

    fn memory(&self) -> usize {
        let bags: usize = self.bags.iter().map(|b| b.memory(|k| k.len())).sum();
        bags + self.bags.capacity() * size_of::<Bag<Box<[u8]>>>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
