#![allow(clippy::single_range_in_vec_init, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;
use crate::state::ledger::Ledger;
use crate::state::store::faults::{Fault, FaultyDisk};

mod format;
mod simulation;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
    ]))
}

/// Rows `(k, text)`.
fn batch(rows: &[(i64, String)]) -> RecordBatch {
    let k = Int64Array::from_iter_values(rows.iter().map(|r| r.0));
    let text = StringViewArray::from_iter(rows.iter().map(|r| (!r.1.is_empty()).then_some(&r.1)));
    RecordBatch::try_new(schema(), vec![Arc::new(k), Arc::new(text)]).unwrap()
}

fn rows_of(batch: &RecordBatch) -> Vec<(i64, String)> {
    let (k, text) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string_view());
    let text = |i: usize| if text.is_null(i) { String::new() } else { text.value(i).to_string() };
    (0..batch.num_rows()).map(|i| (k.value(i), text(i))).collect()
}

/// Changes of one table.
#[derive(Debug, Clone, Default)]
struct Change {
    rows: BTreeMap<u64, (i64, String)>,
    removed: Vec<Range<u64>>,
}

fn table(snapshot: &mut Snapshot, name: &'static str, scope: Scope, change: &Change) {
    let ids: Vec<u64> = change.rows.keys().copied().collect();
    let rows: Vec<_> = change.rows.values().cloned().collect();
    snapshot.table(name, scope, ids, batch(&rows), change.removed.clone()).unwrap();
}

fn row(id: u64, text: &str) -> (u64, (i64, String)) {
    (id, (id as i64 * 10, text.to_string()))
}

fn change(rows: &[(u64, &str)], removed: &[Range<u64>]) -> Change {
    Change { rows: rows.iter().map(|(id, text)| row(*id, text)).collect(), removed: removed.to_vec() }
}

/// A cut of one task with one table.
fn cut(epoch: u64, full: bool, changes: &Change) -> Cut {
    let mut snapshot = Snapshot::new(full);
    table(&mut snapshot, "keys", Scope::Keyed(vec![0]), changes);
    snapshot.value("epoch", epoch).unwrap();
    let operators = vec![("op".to_string(), snapshot)];
    Cut { epoch, tasks: vec![TaskCut { task: 0, tasks: 1, finished: false, operators }], ..Cut::default() }
}

fn texts(checkpoint: &Checkpoint) -> Vec<(u64, String)> {
    let mut restored = checkpoint.operator("op", 0, 1).unwrap();
    let pieces = restored.table("keys").unwrap();
    let rows =
        pieces.iter().flat_map(|p| p.ids.iter().copied().zip(rows_of(&p.rows).into_iter().map(|r| r.1)));
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn expected(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(id, text)| (*id, text.to_string())).collect()
}

fn latest(checkpoints: &Checkpoints) -> Checkpoint {
    let (found, warnings) = checkpoints.latest().unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    found.unwrap()
}

#[test]
fn changes_add_up() {
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 2).unwrap();
    assert!(checkpoints.latest().unwrap().0.is_none());
    assert_eq!(checkpoints.newest_epoch(), 0);
    checkpoints.begin();
    let plan = JobPlan { name: "job".into(), parallelism: 1, ..JobPlan::default() };
    let mut write = |cut| checkpoints.write(&plan, cut).unwrap();
    let first = write(cut(1, true, &change(&[(1, "a"), (2, "b"), (7, "c"), (8, "")], &[])));
    assert!(first.total_bytes > 0 && first.bytes > first.total_bytes);
    write(cut(2, false, &change(&[(2, "B"), (9, "d")], &[7..8])));
    write(cut(3, false, &change(&[(7, "again"), (1, "A")], &[1..9])));
    write(cut(4, false, &change(&[], &[])));
    let mut checkpoint = latest(&checkpoints);
    assert_eq!(texts(&checkpoint), expected(&[(1, "A"), (7, "again"), (9, "d")]));
    assert_eq!(checkpoint.operator("op", 0, 1).unwrap().values::<u64>("epoch").unwrap(), [4]);
    assert_eq!((checkpoint.epoch(), checkpoint.plan().name.as_str()), (4, "job"));
    assert_eq!(checkpoint.stateful(), ["op"]);
    assert!(checkpoint.operator("other", 0, 1).unwrap().table("keys").unwrap().is_empty());
    // The two newest are kept.
    let store = disk.store("/job");
    assert_eq!(epochs(&*store).unwrap(), [3, 4]);
    // A whole table replaces all.
    let mut snapshot = Snapshot::new(false);
    snapshot.whole("keys", Scope::Keyed(vec![0]), batch(&[(1, "only".into())])).unwrap();
    let operators = vec![("op".to_string(), snapshot)];
    let task = TaskCut { task: 0, tasks: 1, finished: true, operators };
    checkpoints.write(&plan, Cut { epoch: 5, tasks: vec![task], ended: true, ..Cut::default() }).unwrap();
    checkpoint = latest(&checkpoints);
    assert_eq!(texts(&checkpoint), expected(&[(0, "only")]));
    assert!(checkpoint.ended());
    drop(checkpoints);
    let mut checkpoints = Checkpoints::open(store.clone(), 2).unwrap();
    assert_eq!(checkpoints.newest_epoch(), 5);
    checkpoints.clear().unwrap();
    assert!(disk.files().is_empty(), "{:?}", disk.files());
    assert_eq!(
        Checkpoint::open(store).unwrap_err().message(),
        "there is no checkpoint or savepoint in '/job'"
    );
}

#[test]
fn a_savepoint_stands_for_itself() {
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    checkpoints.begin();
    let target = disk.store("/save");
    assert!(checkpoints.export(&*target).is_err());
    let plan = JobPlan::default();
    for epoch in 1..=6 {
        let text = format!("text {epoch}");
        checkpoints
            .write(&plan, cut(epoch, epoch == 1, &change(&[(1, &text), (epoch, &text)], &[])))
            .unwrap();
    }
    checkpoints.export(&*target).unwrap();
    let e = checkpoints.export(&*target).unwrap_err();
    assert_eq!(e.message(), "there is a savepoint in '/save' already");
    let before = texts(&latest(&checkpoints));
    checkpoints.clear().unwrap();
    let savepoint = Checkpoint::open(target).unwrap();
    assert_eq!((texts(&savepoint), savepoint.epoch()), (before, 6));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    for what in ["manifests/", "segments/"] {
        for at in 0..200 {
            let disk = FaultyDisk::default();
            let mut checkpoints = Checkpoints::open(disk.store("/job"), 3).unwrap();
            checkpoints.begin();
            checkpoints
                .write(&JobPlan::default(), cut(7, true, &change(&[(1, "a"), (2, "b")], &[])))
                .unwrap();
            let old = disk.files();
            // Large beside the second: it is not merged.
            checkpoints.write(&JobPlan::default(), cut(8, false, &change(&[(1, "c")], &[]))).unwrap();
            drop(checkpoints);
            let prefix = format!("/job/{what}");
            let file = disk.files().into_iter().find(|f| !old.contains(f) && f.starts_with(&prefix)).unwrap();
            disk.rot(&file, at * 7);
            let mut checkpoints = Checkpoints::open(disk.store("/job"), 3).unwrap();
            let (found, warnings) = checkpoints.latest().unwrap();
            let found = found.unwrap();
            if found.epoch() == 8 {
                // A bit that means nothing: between blocks, or behind the last line.
                assert_eq!(texts(&found), expected(&[(1, "c"), (2, "b")]));
                continue;
            }
            assert_eq!(texts(&found), expected(&[(1, "a"), (2, "b")]));
            assert!(
                warnings[0].starts_with("checkpoint 8 in '/job' is damaged and passed over: "),
                "{warnings:?}"
            );
            // The next one takes its place, whatever its number.
            checkpoints.begin();
            let next = if at % 2 == 0 { 8 } else { checkpoints.newest_epoch() + 1 };
            checkpoints.write(&JobPlan::default(), cut(next, true, &change(&[(1, "d")], &[]))).unwrap();
            assert_eq!(texts(&latest(&checkpoints)), expected(&[(1, "d")]));
            assert_eq!(epochs(&*disk.store("/job")).unwrap(), [7, next]);
        }
    }
}

/// Each object in turn is damaged, after each checkpoint: there is always one to go on from.
#[test]
fn whichever_object_is_damaged_there_is_a_checkpoint_to_fall_back_to() {
    for few in [0, FEW_BYTES] {
        let disk = FaultyDisk::default();
        let plan = JobPlan::default();
        let mut state: BTreeMap<u64, String> = (0..300).map(|id| (id, format!("first {id}"))).collect();
        let mut history: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
        let mut checkpoints = Checkpoints::open(disk.store("/job"), 2).unwrap();
        checkpoints.few = few;
        checkpoints.begin();
        let (mut total, mut written) = (0, 0);
        for epoch in 1..40u64 {
            if epoch > 1 {
                (0..20)
                    .for_each(|i| drop(state.insert((epoch * 37 + i * 13) % 300, format!("text {epoch}"))));
            }
            let changed = |text: &str| epoch == 1 || text == format!("text {epoch}");
            let rows: Vec<(u64, &str)> = state
                .iter()
                .filter(|(_, text)| changed(text))
                .map(|(id, text)| (*id, text.as_str()))
                .collect();
            let wrote = checkpoints.write(&plan, cut(epoch, epoch == 1, &change(&rows, &[]))).unwrap();
            (total, written) = (wrote.total_bytes, written + wrote.bytes);
            history.insert(epoch, state.clone().into_iter().collect());
            // It takes two of them to have one that shares nothing.
            if epoch == 1 || (few == 0 && written < 3 * total) {
                continue;
            }
            for file in disk.files().into_iter().filter(|f| !f.ends_with("LOCK")) {
                disk.rot(&file, 70);
                disk.kill();
                let reader = Checkpoints::open(disk.store("/job"), 2).unwrap();
                let (found, _) =
                    reader.latest().unwrap_or_else(|e| panic!("{epoch}, {few}: {file:?}: {e:?}"));
                let found = found.unwrap();
                assert_eq!(texts(&found), history[&found.epoch()], "{file:?}");
                disk.rot(&file, 70);
            }
        }
        assert!(written < 40 * total, "{written} of {total}");
    }
}

#[test]
fn nothing_is_started_anew_where_all_is_damaged() {
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    checkpoints.begin();
    checkpoints.write(&JobPlan::default(), cut(1, true, &change(&[(1, "a")], &[]))).unwrap();
    disk.rot(Path::new("/job/manifests/00000000000000000001"), 100);
    let e = checkpoints.latest().unwrap_err();
    assert_eq!(e.message(), "no checkpoint in '/job' can be used");
    assert!(e.detail().unwrap().contains("its manifest"), "{e}");
    // Another version's is no damage.
    let store = disk.store("/job");
    store
        .put("manifests/00000000000000000002", "{\"format\":2,\"bytes\":1,\"crc32\":\"\"}\n?".into())
        .unwrap();
    let e = checkpoints.latest().unwrap_err();
    assert!(e.message().contains("a later version"), "{e}");
    drop(checkpoints);
    assert!(Checkpoints::open(store, 1).unwrap_err().message().contains("a later version"));
}

#[test]
fn whoever_writes_second_stops() {
    // Object stores have no locks.
    let disk = FaultyDisk::default();
    let open = || {
        disk.kill();
        Checkpoints::open(disk.store("/job"), 2).unwrap()
    };
    let mut first = open();
    first.begin();
    first.write(&JobPlan::default(), cut(1, true, &change(&[(1, "a")], &[]))).unwrap();
    let mut second = open();
    second.begin();
    second.write(&JobPlan::default(), cut(2, true, &change(&[(1, "b")], &[]))).unwrap();
    for epoch in 2..4 {
        let e = first.write(&JobPlan::default(), cut(epoch, false, &change(&[(1, "x")], &[]))).unwrap_err();
        assert_eq!(e.message(), "another process writes checkpoints into '/job'");
    }
    second.write(&JobPlan::default(), cut(3, false, &change(&[(2, "c")], &[]))).unwrap();
    assert_eq!(texts(&latest(&second)), expected(&[(1, "b"), (2, "c")]));
}

/// What was removed, replaced or left by failed writes does not stay in the store.
#[test]
fn the_store_is_not_larger_than_it_needs_to_be() {
    let disk = FaultyDisk::default();
    let store = disk.store("/job");
    let mut checkpoints = Checkpoints::open(store.clone(), 1).unwrap();
    checkpoints.begin();
    let plan = JobPlan::default();
    let text = "x".repeat(100);
    let all: Vec<(u64, &str)> = (0..2000).map(|id| (id, &*text)).collect();
    checkpoints.write(&plan, cut(1, true, &change(&all, &[]))).unwrap();
    let size = |store: &dyn Store| store.sizes("segments/").unwrap().values().sum::<u64>();
    let (base, mut written) = (size(&*store), 0);
    for epoch in 2..400 {
        let some: Vec<(u64, &str)> = (0..100).map(|i| ((epoch * 37 + i * 13) % 2000, &*text)).collect();
        written += checkpoints.write(&plan, cut(epoch, false, &change(&some, &[]))).unwrap().bytes;
        assert!(size(&*store) < base * 4, "{epoch}: {} of {base}", size(&*store));
        assert!(store.list("").unwrap().len() < 40);
    }
    let raw = base / 20 * 398;
    assert!(written < raw * 8, "{written} of {raw}");
    checkpoints.write(&plan, cut(400, false, &change(&[(1, "last")], &[0..u64::MAX]))).unwrap();
    assert_eq!(texts(&latest(&checkpoints)), expected(&[(1, "last")]));
    for epoch in 401..420 {
        let some: Vec<(u64, &str)> = vec![(epoch, "new")];
        checkpoints.write(&plan, cut(epoch, false, &change(&some, &[]))).unwrap();
    }
    // One checkpoint is what it takes until nothing refers to the old rows.
    checkpoints.write(&plan, cut(420, false, &change(&all[..1000], &[]))).unwrap();
    checkpoints.write(&plan, cut(421, false, &change(&all, &[]))).unwrap();
    checkpoints.write(&plan, cut(422, false, &change(&[], &[0..3000]))).unwrap();
    checkpoints.write(&plan, cut(423, false, &change(&all[..100], &[]))).unwrap();
    assert!(size(&*store) < base * 4);
    assert_eq!(texts(&latest(&checkpoints)).len(), 100);
}

/// A store from which nothing is deleted.
#[derive(Debug)]
struct Keeping(Arc<dyn Store>, Arc<std::sync::atomic::AtomicUsize>);

impl Store for Keeping {
    fn put(&self, path: &str, bytes: bytes::Bytes) -> Result<()> {
        self.0.put(path, bytes)
    }
    fn create(&self, path: &str, bytes: bytes::Bytes) -> Result<bool> {
        self.0.create(path, bytes)
    }
    fn get(&self, path: &str) -> Result<Option<bytes::Bytes>> {
        self.0.get(path)
    }
    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<bytes::Bytes>> {
        self.0.read(path, range)
    }
    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        self.0.sizes(prefix)
    }
    fn delete(&self, path: &str) -> Result<()> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Err(Error::io(format!("'{path}' is kept")))
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn under(&self, path: &str) -> Arc<dyn Store> {
        Arc::new(Self(self.0.under(path), self.1.clone()))
    }
    fn lock(&self) -> Result<crate::state::store::Lock> {
        self.0.lock()
    }
}

#[test]
fn files_that_cannot_be_deleted_do_not_fail_the_job() {
    let disk = FaultyDisk::default();
    let tries = Arc::<std::sync::atomic::AtomicUsize>::default();
    let keeping = || Arc::new(Keeping(disk.store("/job"), tries.clone()));
    let plan = JobPlan::default();
    let mut checkpoints = Checkpoints::open(keeping(), 1).unwrap();
    checkpoints.begin();
    for epoch in 1..100 {
        let text = format!("text {epoch}");
        checkpoints.write(&plan, cut(epoch, epoch == 1, &change(&[(1, &text)], &[]))).unwrap();
    }
    // It is not tried with every checkpoint, and only a few at a time.
    let tried = tries.load(std::sync::atomic::Ordering::Relaxed);
    assert!((3..60).contains(&tried), "{tried}");
    assert_eq!(texts(&latest(&checkpoints)), expected(&[(1, "text 99")]));
    checkpoints.clear().unwrap();
    drop(checkpoints);
    // What is there does not count: the next run begins anew, behind it.
    let mut checkpoints = Checkpoints::open(keeping(), 1).unwrap();
    assert!(checkpoints.latest().unwrap().0.is_none());
    assert!(Checkpoint::open(keeping()).is_err());
    assert_eq!(checkpoints.newest_epoch(), 99);
    checkpoints.begin();
    checkpoints.write(&plan, cut(100, true, &change(&[(1, "again")], &[]))).unwrap();
    drop(checkpoints);
    // With the right to delete, what is left over goes.
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    assert_eq!(texts(&latest(&checkpoints)), expected(&[(1, "again")]));
    for epoch in 101..103 {
        checkpoints.begin();
        checkpoints.write(&plan, cut(epoch, true, &change(&[(1, "on")], &[]))).unwrap();
        drop(checkpoints);
        checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    }
    assert_eq!(disk.store("/job").list("").unwrap().len(), 2);
    checkpoints.clear().unwrap();
    assert_eq!(disk.store("/job").list("").unwrap(), [""; 0]);
}
