#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;

/// A key of each row, and a number.
type Row = (u64, i64);

fn schema() -> SchemaRef {
    let fields = [("k", DataType::Int64), ("n", DataType::Int64), ("t", DataType::Utf8View)];
    Arc::new(Schema::new(fields.map(|(name, t)| Field::new(name, t, true)).to_vec()))
}

/// Some keys share a hash.
fn hash(key: u64) -> u64 {
    (key / 2).wrapping_mul(0x1234_5678_9abc_def1)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let k = Int64Array::from_iter_values(rows.iter().map(|r| r.0 as i64));
    let n = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    let texts: StringViewArray =
        rows.iter().map(|r| (r.1 % 3 != 0).then(|| "x".repeat(r.1 as usize % 50))).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(k), Arc::new(n), Arc::new(texts)]).unwrap()
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let column = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
    let rows: Vec<Row> = column(0).into_iter().map(|k| k as u64).zip(column(1)).collect();
    assert_eq!(batch.column(2).as_ref(), super::tests::batch(&rows).column(2).as_ref() as &dyn Array);
    rows
}

fn part(rows: &[Row], moments: Vec<i64>) -> Part {
    Part { table: 0, rows: batch(rows), hashes: rows.iter().map(|r| hash(r.0)).collect(), moments }
}

fn fetched(fetched: &Fetched) -> Vec<Row> {
    let mut all: Vec<Row> = fetched.rows.iter().flat_map(|(_, batch)| rows(batch)).collect();
    all.sort_unstable();
    all
}

fn stored(cold: &Cold, hidden: &[u64], now: i64) -> Vec<Row> {
    let (mut all, mut ids) = (Vec::new(), BTreeSet::new());
    let add = &mut |own: Vec<u64>, batch: RecordBatch| {
        assert_eq!(own.len(), batch.num_rows());
        own.into_iter().for_each(|id| assert!(ids.insert(id)));
        all.extend(rows(&batch));
        Ok(())
    };
    cold.rows_of(0, hidden.to_vec().into(), now).each(add).unwrap();
    all.sort_unstable();
    all
}

fn sorted(hashes: impl IntoIterator<Item = u64>) -> Vec<u64> {
    hashes.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Rows by key, moved in steps: put or taken.
fn steps() -> impl Strategy<Value = Vec<(u8, Vec<u64>)>> {
    prop::collection::vec((0u8..4, prop::collection::vec(0u64..80, 1..40)), 1..40)
}

proptest! {
    /// What was put last for a key is what comes back, however runs are put together.
    #[test]
    fn the_newest_run_has_all_of_a_key(steps in steps()) {
        let memory = Memory::new(0);
        let mut cold = Cold::new(vec![schema()], Kind { adds: false, times: Times::None }, &memory).unwrap();
        let mut there: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
        for (number, (step, keys)) in steps.into_iter().enumerate() {
            let hashes = sorted(keys.iter().map(|&k| hash(k)));
            if step < 2 {
                let rows: Vec<Row> = keys.iter().map(|&k| (k, number as i64)).collect();
                // Keys that are put take the place of all with their hash.
                hashes.iter().for_each(|h| drop(there.insert(*h, Vec::new())));
                rows.iter().for_each(|r| there.get_mut(&hash(r.0)).unwrap().push(*r));
                cold.put(&[part(&rows, vec![])], &[], 0).unwrap();
            } else if step == 2 {
                let found = cold.fetch(&hashes, 0).unwrap();
                let mut wanted: Vec<Row> = hashes.iter().flat_map(|h| there.get(h).into_iter().flatten().copied()).collect();
                wanted.sort_unstable();
                prop_assert_eq!(fetched(&found), wanted);
                prop_assert!(found.hashes.iter().all(|h| hashes.binary_search(h).is_ok()));
            } else {
                hashes.iter().for_each(|h| drop(there.remove(h)));
                cold.put(&[], &hashes, 0).unwrap();
            }
            let hidden = sorted(keys.iter().take(2).map(|&k| hash(k)));
            let mut wanted: Vec<Row> = there.values().flatten().copied().collect();
            wanted.sort_unstable();
            prop_assert_eq!(stored(&cold, &[], 0), wanted.clone());
            wanted.retain(|r| !hidden.contains(&hash(r.0)));
            prop_assert_eq!(stored(&cold, &hidden, 0), wanted);
        }
        cold.settle(true).unwrap();
        prop_assert!(cold.runs.len() < 12);
        drop(cold);
        prop_assert_eq!(memory.spilled(), 0);
    }

    /// Rows add up until their time comes; a pass gives each key that is due once, with all that it has.
    #[test]
    fn due_keys_come_back_once(
        steps in prop::collection::vec((prop::collection::vec((0u64..60, 0i64..30), 1..40), 0i64..3, 0u8..4), 1..30),
    ) {
        let memory = Memory::new(0);
        let mut cold = Cold::new(vec![schema()], Kind { adds: true, times: Times::Due }, &memory).unwrap();
        let mut there: Vec<(Row, i64)> = Vec::new();
        let mut now = 0;
        for (number, (keys, ahead, step)) in steps.into_iter().enumerate() {
            let rows: Vec<Row> = keys.iter().map(|(k, _)| (*k, number as i64)).collect();
            let moments: Vec<i64> = keys.iter().map(|(_, due)| now + due + 1).collect();
            there.extend(rows.iter().copied().zip(moments.iter().copied()));
            cold.put(&[part(&rows, moments)], &[], 0).unwrap();
            now += ahead * 5;
            let due: BTreeSet<u64> = there.iter().filter(|r| r.1 <= now).map(|r| hash(r.0.0)).collect();
            // Keys that were given out before their time, with others, are still in the lists.
            prop_assert!(due.is_empty() || cold.is_due(now).unwrap() && cold.due(now).unwrap() > 0);
            if !cold.is_due(now).unwrap() {
                continue;
            }
            let mut pass = cold.pass(now, vec![], 0).unwrap();
            let mut broken = false;
            while let Some(next) = cold.pass_next(&mut pass).unwrap() {
                let own = |row: &&(Row, i64)| next.hashes.contains(&hash(row.0.0));
                let mut wanted: Vec<Row> = there.iter().filter(own).map(|r| r.0).collect();
                wanted.sort_unstable();
                prop_assert_eq!(fetched(&next), wanted);
                prop_assert!(next.hashes.iter().all(|h| due.contains(h)));
                // Something is left of each key, for later.
                let left: Vec<Row> = next.hashes.iter().map(|h| (there.iter().find(|r| hash(r.0.0) == *h).unwrap().0.0, 0)).collect();
                there.retain(|r| !next.hashes.contains(&hash(r.0.0)));
                let moments = vec![now + 9; left.len()];
                there.extend(left.iter().copied().zip(moments.iter().copied()));
                cold.pass_left(&mut pass, &[part(&left, moments)]).unwrap();
                if step == 0 {
                    broken = true;
                    break;
                }
            }
            match broken {
                true => cold.pass_break(pass).unwrap(),
                false => cold.pass_end(pass).unwrap(),
            }
            let still: BTreeSet<u64> = there.iter().filter(|r| r.1 <= now).map(|r| hash(r.0.0)).collect();
            prop_assert!(cold.is_due(now).unwrap() || still.is_empty());
            let mut wanted: Vec<Row> = there.iter().map(|r| r.0).collect();
            wanted.sort_unstable();
            prop_assert_eq!(stored(&cold, &[], 0), wanted);
        }
        drop(cold);
        prop_assert_eq!(memory.spilled(), 0);
    }

    /// Pieces of a checkpoint become one run, of which each key has all.
    #[test]
    fn pieces_become_one_run(pieces in prop::collection::vec(prop::collection::vec(0u64..50, 1..30), 1..8)) {
        let memory = Memory::new(0);
        let mut cold = Cold::new(vec![schema()], Kind { adds: false, times: Times::None }, &memory).unwrap();
        let mut all: Vec<Row> = Vec::new();
        for (number, keys) in pieces.iter().enumerate() {
            let rows: Vec<Row> = keys.iter().map(|&k| (k, number as i64)).collect();
            all.extend(&rows);
            cold.put_piece(part(&rows, vec![]), 0).unwrap();
        }
        cold.unite(0).unwrap();
        prop_assert_eq!(cold.runs.len(), 1);
        all.sort_unstable();
        prop_assert_eq!(stored(&cold, &[], 0), all.clone());
        let hashes = sorted((0..50).map(hash));
        prop_assert_eq!(fetched(&cold.fetch(&hashes, 0).unwrap()), all);
    }
}

#[test]
fn expired_keys_vanish() {
    let memory = Memory::new(0);
    let kind = Kind { adds: false, times: Times::Written(100) };
    let mut cold = Cold::new(vec![schema()], kind, &memory).unwrap();
    for now in 0..400 {
        let rows: Vec<Row> = (now * 10..now * 10 + 10).map(|k| (k, 1)).collect();
        cold.put(&[part(&rows, vec![])], &[], now as i64).unwrap();
        cold.settle(true).unwrap();
    }
    assert!(cold.records() < 4000, "{}", cold.records());
    assert_eq!(stored(&cold, &[], 399).len(), 1000);
    assert!(cold.fetch(&sorted([hash(10)]), 399).unwrap().rows.is_empty());
    assert_eq!(fetched(&cold.fetch(&sorted([hash(3990)]), 399).unwrap()), [(3990, 1), (3991, 1)]);
}

#[test]
fn many_keys_are_found_in_few_reads() {
    let memory = Memory::new(0);
    let mut cold = Cold::new(vec![schema()], Kind { adds: false, times: Times::None }, &memory).unwrap();
    for number in 0..10u64 {
        let rows: Vec<Row> = (number * 5000..(number + 1) * 5000).map(|k| (k, number as i64)).collect();
        cold.put(&[part(&rows, vec![])], &[], 0).unwrap();
    }
    cold.settle(true).unwrap();
    let asked: Vec<u64> = (0..60_000).step_by(7).collect();
    let found = fetched(&cold.fetch(&sorted(asked.iter().map(|&k| hash(k))), 0).unwrap());
    let hashes: BTreeSet<u64> = asked.iter().map(|&k| hash(k)).collect();
    let wanted: Vec<Row> =
        (0..50_000).filter(|&k| hashes.contains(&hash(k))).map(|k| (k, (k / 5000) as i64)).collect();
    assert_eq!(found, wanted);
    // Filters and places of 50,000 rows.
    assert!(cold.memory() < 200_000, "{}", cold.memory());
}
