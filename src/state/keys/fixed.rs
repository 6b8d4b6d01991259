//! Keys of fixed width: one integer, or several columns packed into 16 bytes.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::table::{Hasher, Store, Table};
use crate::error::{Error, Result};

/// Runs `$make::<T>` for the Arrow type `T` of an integer-like data type, or the rest.
macro_rules! for_integer {
    ($t:expr, $native:ident => $make:expr, _ => $rest:expr) => {{
        macro_rules! made {
            ($name:ty) => {{
                type $native = $name;
                $make
            }};
        }
        match $t {
            DataType::Int8 => made!(Int8Type),
            DataType::Int16 => made!(Int16Type),
            DataType::Int32 => made!(Int32Type),
            DataType::Int64 => made!(Int64Type),
            DataType::UInt8 => made!(UInt8Type),
            DataType::UInt16 => made!(UInt16Type),
            DataType::UInt32 => made!(UInt32Type),
            DataType::UInt64 => made!(UInt64Type),
            DataType::Date32 => made!(Date32Type),
            DataType::Date64 => made!(Date64Type),
            DataType::Time32(TimeUnit::Second) => made!(Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => made!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => made!(Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => made!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => made!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => made!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => made!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => made!(TimestampNanosecondType),
            _ => $rest,
        }
    }};
}

fn changed() -> Error {
    Error::internal("a key column changed its type")
}

fn typed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<&PrimitiveArray<T>> {
    column.as_primitive_opt::<T>().ok_or_else(changed)
}

fn rebuilt<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = T::Native>,
    nulls: Option<NullBuffer>,
    t: &DataType,
) -> Result<ArrayRef> {
    let values: ScalarBuffer<T::Native> = values.collect();
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values, nulls)?.with_data_type(t.clone())))
}

// ------------------------------------------------------------------------------------------- one integer

#[derive(Debug, Default)]
struct Ints(Vec<i64>);

impl Store for Ints {
    type Key<'a> = i64;

    #[inline]
    fn hash(hasher: &Hasher, key: i64) -> u64 {
        hasher.hash_one(key as u64)
    }
    #[inline]
    fn key(&self, slot: u32) -> i64 {
        self.0[slot as usize]
    }
    #[inline]
    fn equals(&self, slot: u32, key: i64) -> bool {
        self.0[slot as usize] == key
    }
    fn put(&mut self, slot: u32, key: i64) {
        if slot as usize == self.0.len() {
            self.0.push(key);
        } else {
            self.0[slot as usize] = key;
        }
    }
    fn drop_key(&mut self, _slot: u32) {}
    fn slots(&self) -> usize {
        self.0.len()
    }
    fn memory(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// No slot, in the direct part.
const NONE: u32 = u32::MAX;

/// Keys of one integer column.
///
/// Numbers from 0 up to a few times the number of keys, as counters and generated ids are, index an array
/// of slots directly; all others are hashed. The array grows when a key just behind it comes.
#[derive(Debug, Default)]
pub(super) struct IntKeys {
    table: Table<Ints>,
    direct: Vec<u32>,
    null: Option<u32>,
}

impl IntKeys {
    pub fn takes(t: &DataType) -> bool {
        for_integer!(t, T => !matches!(T::DATA_TYPE, DataType::UInt64), _ => false)
    }

    #[inline]
    fn slot(&mut self, key: i64) -> u32 {
        match self.direct.get(key as usize) {
            Some(&slot) if slot != NONE => slot,
            _ => self.slot_elsewhere(key),
        }
    }

    #[inline]
    fn slot_elsewhere(&mut self, key: i64) -> u32 {
        if key as u64 >= self.direct.len() as u64 {
            if let Some(slot) = self.table.find(key) {
                return slot;
            }
            // Four bytes for every number below `most` are less than what the hash table takes for a key.
            let most = 4 * (self.table.len() as u64 + 256);
            let wanted = (key as u64).saturating_add(1).max(self.direct.len() as u64 * 2);
            // It at least doubles: all keys are looked at for it.
            if wanted > most {
                return self.table.intern(key);
            }
            self.grow(wanted as usize);
        }
        let slot = self.table.reserve(key);
        self.direct[key as usize] = slot;
        slot
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        self.direct.resize(len, NONE);
        let direct = &mut self.direct;
        self.table.extract(|slot, key| match direct.get_mut(key as usize) {
            Some(place) => {
                *place = slot;
                true
            }
            None => false,
        });
    }

    fn lookup(&self, key: i64) -> Option<u32> {
        match self.direct.get(key as usize) {
            Some(&slot) => (slot != NONE).then_some(slot),
            None => self.table.find(key),
        }
    }

    pub fn intern(&mut self, column: &ArrayRef, slots: &mut Vec<u32>) -> Result<()> {
        for_integer!(column.data_type(), T => {
            let column = typed::<T>(column)?;
            match column.nulls().filter(|n| n.null_count() > 0) {
                None => slots.extend(column.values().iter().map(|&v| self.slot(v as i64))),
                Some(nulls) => {
                    for (i, &v) in column.values().iter().enumerate() {
                        slots.push(if nulls.is_valid(i) { self.slot(v as i64) } else { self.null_slot() });
                    }
                }
            }
        }, _ => return Err(changed()));
        Ok(())
    }

    fn null_slot(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| self.table.reserve(0))
    }

    pub fn find(&self, column: &ArrayRef, slots: &mut Vec<Option<u32>>) -> Result<()> {
        for_integer!(column.data_type(), T => {
            let column = typed::<T>(column)?;
            for (i, &v) in column.values().iter().enumerate() {
                slots.push(if column.is_valid(i) { self.lookup(v as i64) } else { self.null });
            }
        }, _ => return Err(changed()));
        Ok(())
    }

    pub fn remove(&mut self, slot: u32) {
        if self.null == Some(slot) {
            self.null = None;
            self.table.release(slot);
            return;
        }
        if slot as usize >= self.table.capacity() {
            return;
        }
        match self.direct.get_mut(self.table.store().key(slot) as usize) {
            Some(place) if *place == slot => {
                *place = NONE;
                self.table.release(slot);
            }
            Some(_) => {}
            None => self.table.remove(slot),
        }
    }

    pub fn take(&self, t: &DataType, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&s| self.table.store().key(s));
        let nulls = self.null.filter(|n| slots.contains(n)).map(|n| slots.iter().map(|&s| s != n).collect());
        for_integer!(t, T => {
            type Native = <T as ArrowPrimitiveType>::Native;
            rebuilt::<T>(values.map(|v| v as Native), nulls, t)
        }, _ => Err(changed()))
    }

    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
    pub fn len(&self) -> usize {
        self.table.len()
    }
    pub fn slots(&self) -> Vec<u32> {
        self.table.slots()
    }
    pub fn memory(&self) -> usize {
        self.table.memory() + self.direct.capacity() * 4
    }
}

// -------------------------------------------------------------------------------------------- packed columns

#[derive(Debug, Default)]
struct Packed {
    values: Vec<u128>,
    nulls: Vec<u8>,
}

impl Store for Packed {
    /// The packed values, and a bit for each NULL.
    type Key<'a> = (u128, u8);

    #[inline]
    fn hash(hasher: &Hasher, (value, nulls): (u128, u8)) -> u64 {
        // Values of 16 bytes and NULL are both rare: the hash takes them in where they do not cost a round.
        hasher.hash_one(value ^ (u128::from(nulls) << 120))
    }
    #[inline]
    fn key(&self, slot: u32) -> (u128, u8) {
        (self.values[slot as usize], self.nulls[slot as usize])
    }
    #[inline]
    fn equals(&self, slot: u32, (value, nulls): (u128, u8)) -> bool {
        self.values[slot as usize] == value && self.nulls[slot as usize] == nulls
    }
    fn put(&mut self, slot: u32, (value, nulls): (u128, u8)) {
        if slot as usize == self.values.len() {
            self.values.push(value);
            self.nulls.push(nulls);
        } else {
            self.values[slot as usize] = value;
            self.nulls[slot as usize] = nulls;
        }
    }
    fn drop_key(&mut self, _slot: u32) {}
    fn slots(&self) -> usize {
        self.values.len()
    }
    fn memory(&self) -> usize {
        self.values.capacity() * 16 + self.nulls.capacity()
    }
}

/// Bytes of a value in a packed key.
fn width(t: &DataType) -> Option<usize> {
    match t {
        DataType::Boolean => Some(1),
        DataType::Float32 => Some(4),
        DataType::Float64 => Some(8),
        DataType::Decimal128(..) => Some(16),
        t => for_integer!(t, T => Some(size_of::<<T as ArrowPrimitiveType>::Native>()), _ => None),
    }
}

/// Keys of several columns of fixed width, the first in the lowest bits.
#[derive(Debug)]
pub(super) struct PackedKeys {
    table: Table<Packed>,
    /// By how many bits each column is shifted.
    shifts: Vec<u32>,
    scratch: Scratch,
}

/// Packed keys of one chunk; kept for its memory.
#[derive(Debug, Default)]
struct Scratch {
    values: Vec<u128>,
    nulls: Vec<u8>,
}

impl PackedKeys {
    pub fn takes(types: &[DataType]) -> bool {
        let width: Option<usize> = types.iter().map(width).sum();
        types.len() <= 8 && width.is_some_and(|w| w <= 16)
    }

    pub fn new(types: &[DataType]) -> Self {
        let mut shift = 0;
        let shifts = types.iter().map(|t| {
            let at = shift;
            shift += width(t).unwrap_or(16) as u32 * 8;
            at
        });
        Self { shifts: shifts.collect(), table: Table::default(), scratch: Scratch::default() }
    }

    pub fn intern(&mut self, columns: &[ArrayRef], slots: &mut Vec<u32>) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.pack(columns, &self.shifts)?;
        slots.extend(scratch.keys().map(|key| self.table.intern(key)));
        self.scratch = scratch;
        Ok(())
    }

    pub fn find(&self, columns: &[ArrayRef], slots: &mut Vec<Option<u32>>) -> Result<()> {
        let mut scratch = Scratch::default();
        scratch.pack(columns, &self.shifts)?;
        slots.extend(scratch.keys().map(|key| self.table.find(key)));
        Ok(())
    }

    pub fn remove(&mut self, slot: u32) {
        self.table.remove(slot);
    }

    pub fn take(&self, types: &[DataType], slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let store = self.table.store();
        let column = |(i, t): (usize, &DataType)| -> Result<ArrayRef> {
            let bits = slots.iter().map(|&s| store.values[s as usize] >> self.shifts[i]);
            let is_null = |s: &u32| store.nulls[*s as usize] & (1 << i) != 0;
            let nulls =
                slots.iter().any(is_null).then(|| slots.iter().map(|s| !is_null(s)).collect::<NullBuffer>());
            match t {
                DataType::Boolean => {
                    Ok(Arc::new(BooleanArray::new(bits.map(|b| b & 1 == 1).collect(), nulls)))
                }
                DataType::Float32 => rebuilt::<Float32Type>(bits.map(|b| f32::from_bits(b as u32)), nulls, t),
                DataType::Float64 => rebuilt::<Float64Type>(bits.map(|b| f64::from_bits(b as u64)), nulls, t),
                DataType::Decimal128(..) => rebuilt::<Decimal128Type>(bits.map(|b| b as i128), nulls, t),
                t => for_integer!(t, T => {
                    type Native = <T as ArrowPrimitiveType>::Native;
                    rebuilt::<T>(bits.map(|b| b as Native), nulls, t)
                }, _ => Err(changed())),
            }
        };
        types.iter().enumerate().map(column).collect()
    }

    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
    pub fn len(&self) -> usize {
        self.table.len()
    }
    pub fn slots(&self) -> Vec<u32> {
        self.table.slots()
    }
    pub fn memory(&self) -> usize {
        self.table.memory() + self.scratch.values.capacity() * 16 + self.scratch.nulls.capacity()
    }
}

impl Scratch {
    fn keys(&self) -> impl Iterator<Item = (u128, u8)> + '_ {
        self.values.iter().copied().zip(self.nulls.iter().copied())
    }

    fn pack(&mut self, columns: &[ArrayRef], shifts: &[u32]) -> Result<()> {
        let rows = columns.first().map_or(0, |c| c.len());
        self.values.clear();
        self.values.resize(rows, 0);
        self.nulls.clear();
        self.nulls.resize(rows, 0);
        for (i, (column, &shift)) in columns.iter().zip(shifts).enumerate() {
            self.column(column, shift)?;
            // What stands below a NULL is arbitrary.
            if let Some(nulls) = column.nulls().filter(|n| n.null_count() > 0) {
                let bits = width(column.data_type()).unwrap_or(16) * 8;
                let mask = if bits == 128 { 0 } else { !(((1u128 << bits) - 1) << shift) };
                for row in (0..rows).filter(|&row| nulls.is_null(row)) {
                    self.nulls[row] |= 1 << i;
                    self.values[row] &= mask;
                }
            }
        }
        Ok(())
    }

    fn column(&mut self, column: &ArrayRef, shift: u32) -> Result<()> {
        let add = |values: &mut [u128], i: usize, bits: u128| values[i] |= bits << shift;
        let out = &mut self.values[..];
        match column.data_type() {
            DataType::Boolean => {
                let values = column.as_boolean_opt().ok_or_else(changed)?.values();
                values.iter().enumerate().for_each(|(i, v)| add(out, i, u128::from(v)));
            }
            DataType::Float32 => {
                let bits = |v: f32| if v.is_nan() { f32::NAN } else { v }.to_bits();
                let values = typed::<Float32Type>(column)?.values().iter().enumerate();
                values.for_each(|(i, &v)| add(out, i, u128::from(bits(v))));
            }
            DataType::Float64 => {
                let bits = |v: f64| if v.is_nan() { f64::NAN } else { v }.to_bits();
                let values = typed::<Float64Type>(column)?.values().iter().enumerate();
                values.for_each(|(i, &v)| add(out, i, u128::from(bits(v))));
            }
            DataType::Decimal128(..) => {
                let values = typed::<Decimal128Type>(column)?.values().iter().enumerate();
                values.for_each(|(i, &v)| add(out, i, v as u128));
            }
            t => for_integer!(t, T => {
                let values = typed::<T>(column)?.values().iter().enumerate();
                let bits = size_of::<<T as ArrowPrimitiveType>::Native>() * 8;
                let mask = u128::MAX >> (128 - bits);
                values.for_each(|(i, &v)| add(out, i, v as u128 & mask));
            }, _ => return Err(changed())),
        }
        Ok(())
    }
}
