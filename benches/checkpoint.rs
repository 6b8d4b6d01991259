//! Checkpoints of a table of keys in a directory.
//!
//! Rows are those of an aggregation: a text key, a count, a sum and a time, 48 bytes raw. `full` is the
//! first checkpoint, `cuts` are incremental ones with a tenth of the keys each (merging included), `restore` finds
//! the newest checkpoint, verifies it and reads the state of two tasks side by side. `disk` is bytes in the directory
//! per raw byte, behind the cuts.
//!
//! `BENCH_DIR` is where it writes (the system's folder for temporary files if unset), `BENCH_KEYS` how many keys each of
//! two tasks has (10,000,000: about 1 GB in all).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use affluent::error::Result;
use affluent::state::checkpoint::{Checkpoints, Cut, JobPlan, TaskCut};
use affluent::state::store::Store;
use affluent::state::store::local::LocalStore;
use affluent::state::{Scope, Snapshot};
use arrow::array::{Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

const TASKS: usize = 2;
const CUTS: u64 = 40;
/// Raw bytes of a row: key, count, sum, time.
const RAW: usize = 24 + 8 + 8 + 8;

fn rows(ids: &[u64], epoch: u64) -> Result<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8View, true),
        Field::new("count", DataType::Int64, true),
        Field::new("sum", DataType::Int64, true),
        Field::new("last", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let keys = StringViewArray::from_iter_values(ids.iter().map(|id| format!("customer-{id:015}")));
    let counts = Int64Array::from_iter_values(ids.iter().map(|id| (id ^ epoch) as i64));
    let times = TimestampMillisecondArray::from_iter_values(ids.iter().map(|id| (id + epoch) as i64));
    let columns =
        vec![Arc::new(keys) as _, Arc::new(counts.clone()) as _, Arc::new(counts) as _, Arc::new(times) as _];
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn cut(epoch: u64, ids: impl Fn(u64) -> Vec<u64>) -> Result<(Cut, usize)> {
    let mut tasks = Vec::new();
    let mut bytes = 0;
    for task in 0..TASKS {
        let ids = ids(task as u64);
        bytes += ids.len() * RAW;
        let mut snapshot = Snapshot::new(epoch == 1);
        let rows = rows(&ids, epoch)?;
        snapshot.table("keys", Scope::Keyed(vec![0]), ids, rows, Vec::new())?;
        tasks.push(TaskCut {
            task,
            tasks: TASKS,
            finished: false,
            operators: vec![("agg".into(), snapshot)],
        });
    }
    Ok((Cut { epoch, tasks, ..Cut::default() }, bytes))
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn main() -> Result<()> {
    let folder = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("affluent-bench-checkpoint-{}", std::process::id()));
    let keys: u64 = std::env::var("BENCH_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let measured = measure(&folder, keys);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &std::path::Path, keys: u64) -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(folder));
    let plan = JobPlan::default();
    let mut checkpoints = Checkpoints::open(store.clone(), 1)?;
    checkpoints.begin();
    let (full, raw) = cut(1, |_| (0..keys).collect())?;
    let begun = Instant::now();
    checkpoints.write(&plan, full)?;
    let took = begun.elapsed().as_secs_f64();
    println!("full     {:8.0} MB in {took:6.2} s, {:6.0} MB/s", megabytes(raw), megabytes(raw) / took);

    let (mut took, mut changed, mut written, mut longest) = (0.0, 0, 0, 0.0_f64);
    for epoch in 2..2 + CUTS {
        let tenth = |_| (0..keys / 10).map(|i| (i * 10 + epoch * 7 % 10) % keys).collect();
        let (cut, bytes) = cut(epoch, tenth)?;
        let begun = Instant::now();
        written += checkpoints.write(&plan, cut)?.bytes as usize;
        let one = begun.elapsed().as_secs_f64();
        took += one;
        longest = longest.max(one);
        changed += bytes;
    }
    let speed = megabytes(changed) / took;
    println!(
        "cuts     {:8.0} MB in {took:6.2} s, {speed:6.0} MB/s, longest {longest:.2} s",
        megabytes(changed)
    );
    println!("         {:8.2} bytes written per raw byte", written as f64 / changed as f64);
    let disk: u64 = store.sizes("")?.values().sum();
    println!("disk     {:8.2} bytes per raw byte", disk as f64 / raw as f64);
    drop(checkpoints);

    for _ in 0..3 {
        let begun = Instant::now();
        let checkpoints = Checkpoints::open(store.clone(), 1)?;
        let (found, _) = checkpoints.latest()?;
        let verified = begun.elapsed().as_secs_f64();
        let Some(found) = found else { break };
        let restored: Result<Vec<usize>> = std::thread::scope(|scope| {
            let read = |task: usize| -> Result<usize> {
                let pieces = found.operator("agg", task, TASKS)?.table("keys")?;
                Ok(pieces.iter().map(|p| p.ids.len()).sum())
            };
            let handles: Vec<_> = (0..TASKS).map(|task| scope.spawn(move || read(task))).collect();
            handles.into_iter().map(|h| h.join().expect("a thread that reads")).collect()
        });
        let (n, took) = (restored?.iter().sum::<usize>(), begun.elapsed().as_secs_f64());
        println!(
            "restore  {:8.0} MB in {took:6.2} s ({verified:.2} s to verify), {:6.0} MB/s, {n} rows",
            megabytes(n * RAW),
            megabytes(n * RAW) / took
        );
    }
    Ok(())
}
