//! Bytes that stay readable.

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, ListArray, RecordBatchOptions,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::Int32Type;

use super::*;
use crate::state::checkpoint::segment::{Recent, SegmentWriter, decode, pieces, read_blocks};
use crate::state::store::local::LocalStore;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints");

/// Rows of many types.
fn wide(rows: usize) -> RecordBatch {
    let numbers = || (0..rows as i64).map(|i| (i % 3 != 0).then_some(i * 1_000_003));
    let texts: Vec<Option<String>> = (0..rows)
        .map(|i| (i % 4 != 0).then(|| format!("{} text of row {i}", "long".repeat(i % 7))))
        .collect();
    let lists = numbers().map(|n| n.map(|n| (0..n % 4).map(Some).collect::<Vec<_>>()));
    let shares = Float64Array::from_iter(numbers().map(|n| n.map(|n| n as f64 / 7.0)));
    let pairs: Vec<(Arc<Field>, ArrayRef)> = vec![
        (
            Arc::new(Field::new("name", DataType::Utf8View, true)),
            Arc::new(StringViewArray::from_iter(&texts)),
        ),
        (Arc::new(Field::new("share", DataType::Float64, true)), Arc::new(shares)),
    ];
    let prices = Decimal128Array::from_iter(numbers().map(|n| n.map(i128::from)));
    let kinds = DictionaryArray::<Int32Type>::from_iter((0..rows).map(|i| Some(["red", "blue"][i % 2])));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("number", Arc::new(Int64Array::from_iter(numbers()))),
        ("view", Arc::new(StringViewArray::from_iter(&texts))),
        ("text", Arc::new(StringArray::from_iter(&texts))),
        ("flag", Arc::new(BooleanArray::from_iter((0..rows).map(|i| (i % 5 != 0).then_some(i % 2 == 0))))),
        ("at", Arc::new(TimestampMillisecondArray::from_iter(numbers()).with_timezone("UTC"))),
        ("price", Arc::new(prices.with_precision_and_scale(20, 3).unwrap())),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        ("pair", Arc::new(StructArray::from(pairs))),
        ("kind", Arc::new(kinds)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

#[test]
fn a_block_comes_back_as_it_was() {
    let disk = FaultyDisk::default();
    let store = disk.store("/x");
    let recent = Recent::default();
    let rows = wide(1000);
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let cases: Vec<(Vec<u64>, RecordBatch, Vec<Range<u64>>)> = vec![
        ((5..1005).collect(), rows.clone(), vec![]),
        ((0..1000).rev().collect(), rows.clone(), vec![3..4, 7..u64::MAX]),
        ((0..100).map(|i| i << 40).collect(), rows.slice(300, 100), vec![Range { start: 0, end: 1 }]),
        (vec![], rows.slice(0, 0), vec![Range { start: 9, end: 10 }]),
        (vec![u64::MAX], rows.slice(999, 1), vec![]),
        (vec![2, 9, u64::MAX], none, vec![]),
    ];
    let mut writer = SegmentWriter::new(&*store, "s".into(), &recent);
    let blocks: Vec<_> =
        cases.iter().map(|(ids, rows, gone)| writer.block(ids, rows, gone).unwrap()).collect();
    writer.finish().unwrap();
    assert!(blocks.iter().all(|b| b.offset % 64 == 0));
    // Text that is not shown is not written.
    assert!(blocks[4].bytes < 8192 && blocks[2].bytes < blocks[0].bytes / 4, "{blocks:?}");
    for recent in [None, Some(&recent)] {
        let mut found = Vec::new();
        read_blocks(&*store, recent, &blocks, |block, bytes| {
            found.push(decode(block, &bytes)?);
            Ok(())
        })
        .unwrap();
        for (block, (ids, rows, removed)) in found.into_iter().zip(&cases) {
            assert_eq!((&block.ids, &block.rows, &block.removed), (ids, rows, removed));
        }
    }
}

#[test]
fn large_tables_are_cut_into_blocks() {
    let ids: Vec<u64> = (0..200_000).collect();
    let rows = batch(&ids.iter().map(|&id| (id as i64, format!("{id:0100}"))).collect::<Vec<_>>());
    let cut = pieces(&ids, &rows);
    assert!(cut.len() > 3 && cut.last().unwrap().end == ids.len());
    assert!(cut.windows(2).all(|w| w[0].end == w[1].start && w[0].len() <= 64 << 10));
    assert_eq!(pieces(&[], &rows.slice(0, 0)), [Range { start: 0, end: 0 }]);
    // And come back together, also those that changed.
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    checkpoints.begin();
    let cut = |epoch, full, ids: Vec<u64>, rows: RecordBatch, removed| {
        let mut snapshot = Snapshot::new(full);
        snapshot.table("keys", Scope::Dealt, ids, rows, removed).unwrap();
        let task = TaskCut { task: 0, tasks: 1, finished: false, operators: vec![("op".into(), snapshot)] };
        Cut { epoch, tasks: vec![task], ..Cut::default() }
    };
    let plan = JobPlan::default();
    let gone = vec![Range { start: 199_000, end: 300_000 }];
    checkpoints.write(&plan, cut(1, true, ids.clone(), rows.clone(), vec![])).unwrap();
    let some: Vec<u64> = (0..50_000).map(|i| i * 3).collect();
    checkpoints.write(&plan, cut(2, false, some, rows.slice(0, 50_000), gone)).unwrap();
    let some: Vec<u64> = (0..150_000).collect();
    checkpoints.write(&plan, cut(3, false, some, rows.slice(50_000, 150_000), vec![])).unwrap();
    let pieces = latest(&checkpoints).operator("op", 0, 1).unwrap().table("keys").unwrap();
    let mut all: Vec<(u64, i64)> = Vec::new();
    for piece in pieces {
        let k = piece.rows.column(0).as_primitive::<Int64Type>();
        all.extend(piece.ids.iter().copied().zip(k.values().iter().copied()));
    }
    all.sort_unstable();
    assert_eq!(all.len(), 199_000);
    for (i, (id, k)) in all.into_iter().enumerate() {
        let expected = if i < 150_000 { i as i64 + 50_000 } else { i as i64 };
        assert_eq!((id, k), (i as u64, expected));
    }
}

/// What the fixtures hold: two checkpoints of two tasks, of which the second changes the first.
fn write_fixture(store: Arc<dyn Store>) {
    let mut checkpoints = Checkpoints::open(store, 2).unwrap();
    checkpoints.begin();
    let operator = |id: &str, name: &str| OperatorPlan {
        id: id.to_string(),
        name: name.to_string(),
        detail: format!("detail of {name}"),
        ..OperatorPlan::default()
    };
    let plan = JobPlan {
        name: "fixture".into(),
        parallelism: 2,
        operators: vec![operator("agg-1", "GroupAggregate"), operator("wait-1", "LookupJoin")],
        ..JobPlan::default()
    };
    for epoch in [1_u64, 2] {
        let tasks = (0..2).map(|task| {
            let (mut agg, mut wait) = (Snapshot::new(epoch == 1), Snapshot::new(epoch == 1));
            let (n, removed) =
                if epoch == 1 { (20, vec![]) } else { (3, vec![Range { start: 10, end: 12 }]) };
            let ids = (0..n).map(|i| i * 2 + task as u64).collect();
            agg.table("keys", Scope::Keyed(vec![0]), ids, wide(n as usize), removed).unwrap();
            agg.value("closed", 1000 * epoch + task as u64).unwrap();
            wait.whole("rows", Scope::Dealt, wide(epoch as usize)).unwrap();
            wait.table("rest", Scope::Pinned, vec![], wide(0), vec![]).unwrap();
            let operators = vec![("agg-1".to_string(), agg), ("wait-1".to_string(), wait)];
            TaskCut { task, tasks: 2, finished: task == 1 && epoch == 2, operators }
        });
        let position = BTreeMap::from([("file".to_string(), Value::from(epoch * 10))]);
        let cut = Cut {
            epoch,
            tasks: tasks.collect(),
            sources: BTreeMap::from([("source-1".to_string(), position)]),
            sinks: BTreeMap::from([("sink-1".to_string(), vec![Value::from("part-1")])]),
            ended: epoch == 2,
            ..Cut::default()
        };
        checkpoints.write(&plan, cut).unwrap();
    }
}

fn check_fixture(checkpoint: &Checkpoint) {
    assert_eq!((checkpoint.epoch(), checkpoint.ended()), (2, true));
    assert_eq!((checkpoint.plan().name.as_str(), checkpoint.plan().parallelism), ("fixture", 2));
    assert_eq!(checkpoint.plan().operators[1].detail, "detail of LookupJoin");
    assert_eq!(checkpoint.sources()["source-1"]["file"], Value::from(20));
    assert_eq!(checkpoint.sinks()["sink-1"], [Value::from("part-1")]);
    assert_eq!(checkpoint.stateful(), ["agg-1", "wait-1"]);
    for task in 0..2 {
        let mut restored = checkpoint.operator("agg-1", task, 2).unwrap();
        assert_eq!(restored.values::<u64>("closed").unwrap(), [2000 + task as u64]);
        let mut rows = BTreeMap::new();
        for piece in restored.table("keys").unwrap() {
            rows.extend(piece.ids.iter().enumerate().map(|(i, id)| (*id, piece.rows.slice(i, 1))));
        }
        let mut expected: BTreeMap<u64, RecordBatch> =
            (0..20).map(|i| (i as u64 * 2 + task as u64, wide(20).slice(i, 1))).collect();
        expected.retain(|id, _| !(10..12).contains(id));
        expected.extend((0..3).map(|i| (i as u64 * 2 + task as u64, wide(3).slice(i, 1))));
        assert_eq!(rows, expected);
        let mut restored = checkpoint.operator("wait-1", task, 2).unwrap();
        assert_eq!(restored.table("rows").unwrap()[0].rows, wide(2));
        assert!(restored.table("rest").unwrap().is_empty());
    }
    let mut rescaled = checkpoint.operator("agg-1", 0, 1).unwrap();
    assert_eq!(rescaled.table("keys").unwrap().iter().map(|p| p.ids.len()).sum::<usize>(), 38);
    assert!(checkpoint.operator("wait-1", 0, 1).unwrap().table("rest").is_err());
}

#[test]
#[ignore = "writes the fixture of the current format"]
fn write_fixture_of_this_version() {
    let folder = format!("{FIXTURES}/v{}", manifest::FORMAT);
    write_fixture(Arc::new(LocalStore::new(&folder)));
    std::fs::remove_file(format!("{folder}/LOCK")).unwrap();
}

#[test]
fn checkpoints_of_all_versions_can_be_opened() {
    for version in 1..=manifest::FORMAT {
        check_fixture(
            &Checkpoint::open(Arc::new(LocalStore::new(format!("{FIXTURES}/v{version}")))).unwrap(),
        );
    }
    let disk = FaultyDisk::default();
    write_fixture(disk.store("/job"));
    check_fixture(&Checkpoint::open(disk.store("/job")).unwrap());
}
