#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use arrow::array::*;
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;

use super::*;

type Row = (Option<i64>, Option<i64>);

/// Columns of these types that tell all rows apart by their numbers.
fn columns(types: &[DataType], rows: &[Row]) -> Vec<ArrayRef> {
    let column = |(i, t): (usize, &DataType)| -> ArrayRef {
        let ints = Int64Array::from_iter(rows.iter().map(|r| if i == 0 { r.0 } else { r.1 }));
        match t {
            DataType::Utf8View => Arc::new(StringViewArray::from_iter(ints.iter().map(|n| {
                n.map(|n| if n % 3 == 0 { format!("{n}") } else { format!("a longer text, number {n}") })
            }))),
            t => arrow::compute::cast(&ints, t).unwrap(),
        }
    };
    types.iter().enumerate().map(column).collect()
}

fn shapes() -> Vec<Vec<DataType>> {
    let ts = DataType::Timestamp(TimeUnit::Millisecond, None);
    vec![
        vec![DataType::Int64],
        vec![DataType::Int16],
        vec![ts.clone()],
        vec![DataType::Utf8View],
        vec![DataType::Float64],
        vec![DataType::Decimal128(20, 2)],
        vec![DataType::Int64, ts],
        vec![DataType::Int32, DataType::Int16],
        vec![DataType::Int64, DataType::Utf8View],
        vec![DataType::Int64, DataType::Decimal128(20, 2)],
    ]
}

proptest! {
    #[test]
    fn slots_are_those_of_a_map(
        shape in 0usize..10,
        spread in prop::sample::select(vec![1i64, 7, 97]),
        steps in prop::collection::vec(
            (prop::collection::vec((prop::option::weighted(0.95, -100i64..300), prop::option::weighted(0.9, 0i64..3)), 0..40),
             prop::collection::vec(any::<prop::sample::Index>(), 0..20)), 1..20),
    ) {
        let types = &shapes()[shape];
        let mut table = KeyTable::new(types).unwrap();
        let mut model: HashMap<Row, u32> = HashMap::new();
        let mut slots = Vec::new();
        let mut found = Vec::new();
        for (rows, removed) in steps {
            let rows: Vec<Row> = rows
                .into_iter()
                .map(|(a, b)| (a.map(|a| a * spread), if types.len() == 1 { None } else { b }))
                .collect();
            let columns = columns(types, &rows);
            table.find(&columns, rows.len(), &mut found).unwrap();
            for (row, slot) in rows.iter().zip(&found) {
                prop_assert_eq!(model.get(row), slot.as_ref());
            }
            table.intern(&columns, rows.len(), &mut slots).unwrap();
            for (row, &slot) in rows.iter().zip(&slots) {
                if let Some(&known) = model.get(row) {
                    prop_assert_eq!(known, slot);
                } else {
                    prop_assert!(!model.values().any(|&s| s == slot), "slot {} is taken", slot);
                    model.insert(*row, slot);
                }
                prop_assert!((slot as usize) < table.capacity());
            }
            prop_assert_eq!(table.len(), model.len());
            let taken = table.take(&slots).unwrap();
            for (taken, column) in taken.iter().zip(&columns) {
                prop_assert_eq!(taken, column);
            }
            for index in removed {
                let mut keys: Vec<(Row, u32)> = model.iter().map(|(k, s)| (*k, *s)).collect();
                keys.sort();
                if keys.is_empty() {
                    break;
                }
                let (row, slot) = keys[index.index(keys.len())];
                table.remove(slot);
                table.remove(slot);
                model.remove(&row);
            }
        }
    }
}

#[test]
fn dense_numbers_need_no_table() {
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let mut slots = Vec::new();
    let column: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..100_000).rev().chain([i64::MIN, -1, i64::MAX])));
    table.intern(std::slice::from_ref(&column), column.len(), &mut slots).unwrap();
    assert_eq!(slots, (0..100_003).collect::<Vec<u32>>());
    assert_eq!(table.len(), 100_003);
    let again = slots.clone();
    table.intern(std::slice::from_ref(&column), column.len(), &mut slots).unwrap();
    assert_eq!(slots, again);
    assert!(table.memory() < 100_003 * 32, "{}", table.memory());
}

#[test]
fn one_nan() {
    let negative = f64::from_bits(f64::NAN.to_bits() | (1 << 63));
    for types in [vec![DataType::Float64], vec![DataType::Float64, DataType::Utf8View]] {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, negative, 1.0]));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "a", "a"]));
        let columns: Vec<ArrayRef> = vec![floats, texts].into_iter().take(types.len()).collect();
        let mut table = KeyTable::new(&types).unwrap();
        let mut slots = Vec::new();
        table.intern(&columns, 3, &mut slots).unwrap();
        assert_eq!(slots, [0, 0, 1]);
    }
}

#[test]
fn without_columns_there_is_one_key() {
    let mut table = KeyTable::new(&[]).unwrap();
    let mut slots = Vec::new();
    assert!(table.is_empty());
    table.intern(&[], 3, &mut slots).unwrap();
    assert_eq!((slots.as_slice(), table.len(), table.capacity()), (&[0, 0, 0][..], 1, 1));
    table.remove(0);
    assert!(table.is_empty());
}

#[test]
fn memory_of_texts_follows_what_is_alive() {
    let mut table = KeyTable::new(&[DataType::Utf8View]).unwrap();
    let mut slots = Vec::new();
    for round in 0..200 {
        let texts = (0..100).map(|i| Some(format!("{:0>100}", round * 100 + i)));
        let column: ArrayRef = Arc::new(StringViewArray::from_iter(texts));
        table.intern(&[column], 100, &mut slots).unwrap();
        slots.iter().for_each(|&s| table.remove(s));
    }
    assert!(table.is_empty());
    assert!(table.memory() < 300_000, "{}", table.memory());
}
