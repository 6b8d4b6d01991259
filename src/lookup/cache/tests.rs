//! The cache against a model, and its bounds.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8View, true),
        Field::new("number", DataType::Int64, false),
    ]))
}

fn keys(keys: &[&str]) -> BinaryViewArray {
    StringViewArray::from(keys.to_vec()).to_binary_view()
}

/// Rows whose text is longer than a view, so that buffers are in play.
fn rows(numbers: &[i64]) -> RecordBatch {
    let text: StringViewArray = numbers.iter().map(|n| Some(format!("a text of row number {n}"))).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(text), Arc::new(Int64Array::from(numbers.to_vec()))])
        .unwrap()
}

fn numbers(rows: &RecordBatch) -> Vec<i64> {
    let text = rows.column(0).as_string_view();
    let numbers = rows.column(1).as_primitive::<Int64Type>();
    for (text, n) in text.iter().zip(numbers.values()) {
        assert_eq!(text, Some(format!("a text of row number {n}").as_str()));
    }
    numbers.values().to_vec()
}

fn cache(limits: Limits) -> (Cache, Arc<ManualClock>) {
    let clock = ManualClock::new(1_000);
    (Cache::new(schema(), limits, clock.clone()), clock)
}

fn get(cache: &Cache, key: &str) -> Option<Vec<i64>> {
    match cache.get(&keys(&[key]), 0) {
        Known::Fresh(rows) => Some(numbers(&rows)),
        _ => None,
    }
}

fn put(cache: &Cache, key: &str, values: &[i64]) {
    cache.insert(&keys(&[key]), 0, &rows(values));
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, Vec<i64>),
    Pass(i64),
    Maintain,
    Consolidate,
    Probe,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0u8..48, prop::collection::vec(0i64..1000, 0..60)).prop_map(|(k, v)| Act::Put(k, v)),
        1 => (0i64..40).prop_map(Act::Pass),
        2 => Just(Act::Maintain),
        1 => Just(Act::Consolidate),
        2 => Just(Act::Probe),
    ]
}

/// Short keys, which are inline, and long ones, which are not; some share their first bytes.
fn name(key: u8) -> String {
    if key.is_multiple_of(2) { format!("k{key}") } else { format!("a long key that is number {key}") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_holds_what_a_map_holds(acts in prop::collection::vec(act(), 0..600), expires in any::<bool>()) {
        let after_write = expires.then_some(Duration::from_millis(100));
        let (cache, clock) = cache(Limits { after_write, ..Limits::default() });
        let mut model: HashMap<u8, (i64, Vec<i64>)> = HashMap::new();
        let mut old: Option<(Probe, Vec<Option<Vec<i64>>>)> = None;
        let all: Vec<String> = (0..=255).map(name).collect();
        let all = keys(&all.iter().map(String::as_str).collect::<Vec<_>>());
        for act in acts {
            match act {
                Act::Put(key, values) => {
                    put(&cache, &name(key), &values);
                    model.insert(key, (clock.now_millis(), values));
                }
                Act::Pass(millis) => clock.advance(millis),
                Act::Maintain => cache.maintain().unwrap(),
                Act::Consolidate => {
                    cache.scattered.store(u64::MAX / 2, Ordering::Relaxed);
                    cache.maintain().unwrap();
                    prop_assert!(cache.state.read().snapshot.segments().len() <= 1);
                    cache.scattered.store(0, Ordering::Relaxed);
                }
                Act::Probe => {}
            }
            let expected = |key: u8| {
                let (written, values) = model.get(&key)?;
                (!expires || clock.now_millis() < written + 100).then(|| values.clone())
            };
            if cache.len() % 16 == 0 {
                let probe = cache.probe(&all);
                let found: Vec<_> = (0..=255).map(expected).collect();
                prop_assert_eq!(probe.absent, found.iter().filter(|f| f.is_none()).count());
                for (slot, expected) in probe.slots.iter().zip(&found) {
                    let rows = slot.is_known().then(|| numbers(&probe.snapshot.rows(*slot)));
                    prop_assert_eq!(&rows, expected);
                }
                // What was probed earlier still is what it was.
                if let Some((probe, found)) = &old {
                    for (slot, expected) in probe.slots.iter().zip(found) {
                        let rows = slot.is_known().then(|| numbers(&probe.snapshot.rows(*slot)));
                        prop_assert_eq!(&rows, expected);
                    }
                }
                old = Some((probe, found));
            }
        }
    }

    #[test]
    fn a_table_is_held_whole(numbers_of in prop::collection::vec((any::<u8>(), 0i64..1000), 0..200)) {
        let names: Vec<_> = numbers_of.iter().map(|(k, _)| (*k != 7).then(|| name(*k))).collect();
        let column: StringViewArray = names.iter().map(|n| n.as_deref()).collect();
        let values: Vec<_> = numbers_of.iter().map(|(_, v)| *v).collect();
        let cache = Cache::of_table(&rows(&values), &column.to_binary_view(), ManualClock::new(0)).unwrap();
        for key in 0..=255u8 {
            let of_key = numbers_of.iter().filter(|(k, _)| *k == key && key != 7).map(|(_, v)| *v);
            prop_assert_eq!(get(&cache, &name(key)), Some(of_key.collect::<Vec<_>>()));
        }
    }
}

#[test]
fn the_number_of_keys_is_bounded_and_used_ones_stay() {
    let (cache, _) = cache(Limits { max_keys: Some(100), ..Limits::default() });
    for i in 0..100 {
        put(&cache, &format!("k{i}"), &[i]);
    }
    for round in 0..50 {
        for hot in 0..10 {
            assert_eq!(get(&cache, &format!("k{hot}")), Some(vec![hot]));
        }
        put(&cache, &format!("new {round}"), &[round]);
        assert_eq!(cache.len(), 100);
        assert_eq!(get(&cache, &format!("new {round}")), Some(vec![round]));
    }
    let (one, _) = self::cache(Limits { max_keys: Some(1), ..Limits::default() });
    put(&one, "a", &[1]);
    put(&one, "b", &[2, 3]);
    assert_eq!((get(&one, "a"), get(&one, "b"), one.len()), (None, Some(vec![2, 3]), 1));
}

#[test]
fn use_prolongs_life_after_access_only() {
    let after_access = Some(Duration::from_millis(10));
    let (cache, clock) = cache(Limits { after_access, ..Limits::default() });
    put(&cache, "a", &[1]);
    for _ in 0..5 {
        clock.advance(9);
        assert_eq!(get(&cache, "a"), Some(vec![1]));
    }
    clock.advance(10);
    assert_eq!(get(&cache, "a"), None);
}

#[test]
fn idle_entries_expire_and_free_their_memory() {
    let after_write = Some(Duration::from_millis(100));
    let (cache, clock) = cache(Limits { after_write, ..Limits::default() });
    for i in 0..20_000 {
        put(&cache, &format!("a key that is seen only once, {i}"), &[i, i]);
        clock.advance(1);
        cache.maintain().unwrap();
    }
    let state = cache.state.read();
    assert!(state.table.len() < 1_000, "{}", state.table.len());
    assert!(state.snapshot.len() < 8_000, "{}", state.snapshot.len());
    assert!(state.arena.len() < 256 << 10, "{}", state.arena.len());
    let buffers = state.snapshot.segments().iter();
    let buffers: usize = buffers.map(|s| s.batch().column(0).get_buffer_memory_size()).sum();
    assert!(buffers < 2 << 20, "{buffers}");
}

#[test]
fn upkeep_disturbs_neither_readers_nor_the_writer() {
    let (cache, _) = cache(Limits { max_keys: Some(64), ..Limits::default() });
    let name = |key: i64| if key % 2 == 0 { format!("k{key}") } else { format!("a long key, number {key}") };
    let check = |key: i64| {
        for number in get(&cache, &name(key)).unwrap_or_default() {
            assert_eq!(number % 100, key);
        }
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                cache.maintain().unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                (0..100).for_each(check);
            }
        });
        for i in 0..20_000i64 {
            let key = i * 7 % 100;
            put(&cache, &name(key), &[key, key + 100, key + 200][..(i % 4).min(3) as usize]);
        }
        done.store(true, Ordering::Relaxed);
    });
    (0..100).for_each(check);
    cache.maintain().unwrap();
    assert!(cache.state.read().snapshot.len() < 8 * GARBAGE);
}

#[test]
fn segments_stay_few_and_buffers_do_not_pile_up() {
    let (cache, _) = cache(Limits::default());
    for i in 0..5_000 {
        put(&cache, &format!("k{i}"), &[i]);
        cache.maintain().unwrap();
    }
    let state = cache.state.read();
    let segments = state.snapshot.segments();
    assert!(segments.len() < 48, "{}", segments.len());
    for segment in segments {
        assert!(segment.batch().column(0).as_string_view().data_buffers().len() <= 1);
    }
}

#[test]
fn nested_values_are_cut_out_of_large_buffers() {
    let long: Vec<String> = (0..1000).map(|i| format!("a string that is not inline, {i}")).collect();
    let views = |count: usize| -> ArrayRef {
        Arc::new(StringViewArray::from(long.iter().take(count).map(String::as_str).collect::<Vec<_>>()))
    };
    let item = Arc::new(Field::new("item", DataType::Utf8View, true));
    let list: ArrayRef = Arc::new(ListArray::new(
        item,
        OffsetBuffer::from_lengths(std::iter::repeat_n(1, 1000)),
        views(1000),
        None,
    ));
    let fields = Fields::from(vec![Field::new("s", DataType::Utf8View, true)]);
    let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![views(1000)], None));
    let plain: ArrayRef = Arc::new(StringArray::from(long.clone()));
    let batch = RecordBatch::try_from_iter([("l", list), ("s", structs), ("p", plain)]).unwrap();
    let before = batch.slice(3, 2);
    let after = store::compacted(&before);
    assert_eq!(after, before);
    let item = after.column(0).as_list::<i32>().values().clone();
    let of_struct = after.column(1).as_struct().column(0).clone();
    for column in [item, of_struct] {
        let bytes: usize = column.as_string_view().data_buffers().iter().map(|b| b.len()).sum();
        assert!(bytes < 40_000, "{bytes}");
    }
}
