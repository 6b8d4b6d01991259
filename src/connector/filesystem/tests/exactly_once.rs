//! What is visible is what checkpoints hold, once.

use super::super::sink::FilesystemSink;
use super::*;
use crate::connector::Writer;
use serde_json::Value;

#[derive(Debug, Clone, Copy)]
struct Kind {
    single: bool,
    partitioned: bool,
    endless: bool,
    overwrite: bool,
    /// The file, or a directory's file, was there before.
    existed: bool,
    /// Files that nothing can be added to.
    columns: bool,
}

fn kinds() -> impl Strategy<Value = Kind> {
    (0..3u8, any::<[bool; 4]>()).prop_map(|(target, [endless, overwrite, existed, columns])| {
        let columns = columns && cfg!(feature = "parquet");
        let endless = endless && !(columns && target == 0);
        Kind {
            single: target == 0,
            partitioned: target == 1,
            endless,
            overwrite: overwrite && !endless,
            existed,
            columns,
        }
    })
}

/// Names and contents of all files below a directory.
fn contents(root: &Path) -> BTreeMap<String, String> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
    found
}

/// A Parquet file with a row.
#[cfg(feature = "parquet")]
fn write_columns(path: &Path, key: Option<&str>, n: i64) {
    let mut columns = Vec::new();
    if let Some(key) = key {
        columns.push(("k", Arc::new(StringViewArray::from(vec![key])) as ArrayRef, true));
    }
    columns.push(("n", Arc::new(Int64Array::from(vec![n])), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut options = Options::default();
    options.set("format", "parquet", Default::default());
    let format = Format::from_options(&options).unwrap();
    let mut file = format.file_encoder(&batch.schema(), "UTC").unwrap().unwrap();
    let mut bytes = Vec::new();
    file.encode(&Chunk::append(batch, Instant::now()), &mut bytes).unwrap();
    file.finish(&mut bytes).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The numbers in a Parquet file.
#[cfg(feature = "parquet")]
fn read_columns(path: &Path) -> Vec<i64> {
    let columns = vec![physical("n", SqlType::BigInt)];
    let table = table(columns, &[], path, &[("format", "parquet")]);
    let batches = read_all(Filesystem.source(&request(&table)).unwrap().as_ref(), 1).unwrap();
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[cfg(not(feature = "parquet"))]
fn write_columns(_path: &Path, _key: Option<&str>, _n: i64) {}

#[cfg(not(feature = "parquet"))]
fn read_columns(_path: &Path) -> Vec<i64> {
    Vec::new()
}

/// A table that is written with checkpoints and crashes.
struct Job {
    kind: Kind,
    table: Arc<Table>,
    root: TempDir,
    sink: FilesystemSink,
    writers: Vec<Box<dyn Writer>>,
    next: i64,
    /// Rows since the last durable checkpoint.
    fresh: Vec<i64>,
    /// Rows in it.
    durable: Vec<i64>,
    pending: Vec<Value>,
    epoch: u64,
    /// A sink was lost of which no checkpoint knows.
    litter: bool,
}

impl Job {
    fn new(kind: Kind, writers: usize) -> Self {
        let root = TempDir::new().unwrap();
        let mut options = vec![("sink.rolling-policy.file-size", "30 b")];
        options.push(if kind.columns { ("format", "parquet") } else { ("csv.write-header", "true") });
        let path = if kind.single { root.path().join("out.csv") } else { root.path().join("out") };
        let by: &[&str] = if kind.partitioned { &["k"] } else { &[] };
        if kind.existed {
            let old = match (kind.single, kind.partitioned) {
                (true, _) => path.clone(),
                (_, true) => path.join("k=0/old"),
                (_, false) => path.join("old"),
            };
            fs::create_dir_all(old.parent().unwrap()).unwrap();
            if kind.columns {
                let keys = if kind.partitioned { None } else { Some("0") };
                write_columns(&old, keys, -1);
            } else {
                // Its last line has no end.
                fs::write(old, if kind.partitioned { "n\n-1" } else { "k,n\n0,-1" }).unwrap();
            }
        }
        let table = pair(&path, by, &options);
        let sink = Self::sink(&table, kind);
        let mut job = Self {
            kind,
            table,
            root,
            sink,
            writers: Vec::new(),
            next: 0,
            fresh: Vec::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            epoch: 0,
            litter: false,
        };
        job.sink.recover(&[]).unwrap();
        job.open(writers);
        job
    }

    fn sink(table: &Arc<Table>, kind: Kind) -> FilesystemSink {
        let (bounded, overwrite) = (!kind.endless, kind.overwrite);
        let request = SinkRequest { bounded, overwrite, checkpoints: true, ..SinkRequest::new(table, "UTC") };
        FilesystemSink::new(&request).unwrap()
    }

    fn open(&mut self, writers: usize) {
        self.writers =
            (0..writers).map(|task| self.sink.writer(writer_context(task, writers)).unwrap()).collect();
    }

    fn write(&mut self, task: usize) {
        let n = self.next;
        self.next += 1;
        let task = task % self.writers.len();
        self.writers[task].write(&chunk(&[(Some(["0", "1", "2"][n as usize % 3]), n)])).unwrap();
        self.fresh.push(n);
    }

    /// A checkpoint that becomes durable; what is visible may be made so later.
    fn checkpoint(&mut self, last: bool) {
        self.epoch += 1;
        let epoch = if last { u64::MAX } else { self.epoch };
        let told = self.writers.iter_mut().flat_map(|w| settled(|| w.pre_commit(epoch, last).unwrap()));
        self.pending = told.collect();
        self.durable.append(&mut self.fresh);
    }

    /// Comes back from the last checkpoint; `steps` of the first try.
    fn crash(&mut self, choice: usize, steps: usize) {
        let writers = std::mem::take(&mut self.writers);
        if choice.is_multiple_of(2) {
            // Killed: nothing is cleaned up.
            std::mem::forget(writers);
        }
        self.fresh.clear();
        if choice.is_multiple_of(3) {
            self.litter |= self.pending.is_empty();
            self.sink = Self::sink(&self.table, self.kind);
        }
        self.sink.crash_after(steps);
        let recovered = self.sink.recover(&self.pending);
        self.sink.crash_after(usize::MAX);
        if recovered.is_err() {
            self.sink.recover(&self.pending).unwrap();
        }
        self.open(choice % 3 + 1);
    }

    fn commit(&mut self, choice: usize, steps: usize) {
        if self.pending.is_empty() {
            return;
        }
        self.sink.crash_after(steps);
        let committed = self.sink.commit_epoch(0, &self.pending);
        self.sink.crash_after(usize::MAX);
        if committed.is_err() {
            self.crash(choice, usize::MAX);
        }
    }

    /// Visible rows, sorted; -1 was there before.
    fn visible(&self) -> Vec<i64> {
        let mut rows = Vec::new();
        for (name, text) in contents(self.root.path()) {
            let file = name.rsplit('/').next().unwrap();
            if file.starts_with(['.', '_']) {
                continue;
            }
            if self.kind.columns {
                rows.extend(read_columns(&self.root.path().join(&name)));
                continue;
            }
            let mut lines = text.lines();
            assert!(lines.next().is_some_and(|l| l.ends_with('n')), "{name} without header: {text:?}");
            rows.extend(lines.map(|l| l.rsplit(',').next().unwrap().parse::<i64>().unwrap()));
        }
        rows.sort();
        rows
    }

    fn hidden(&self) -> Vec<String> {
        let hidden = |name: &String| name.rsplit('/').next().unwrap().starts_with('.');
        contents(self.root.path()).into_keys().filter(hidden).collect()
    }

    /// Nothing is there twice, or that no checkpoint holds.
    fn check(&self) {
        let visible = self.visible();
        let old = i64::from(visible.first() == Some(&-1));
        let mut known = self.durable.clone();
        known.extend(std::iter::repeat_n(-1, old as usize));
        known.sort();
        for pair in visible.windows(2) {
            assert!(pair[0] < pair[1], "{} is there twice in {visible:?}", pair[0]);
        }
        assert!(visible.iter().all(|n| known.contains(n)), "{visible:?}, committed are {known:?}");
        if self.kind.existed && !self.kind.overwrite {
            assert_eq!(old, 1, "what was there is gone");
        }
    }

    /// All that was written, once.
    fn expected(&self) -> Vec<i64> {
        let zero_written = self.durable.iter().any(|n| n % 3 == 0);
        let replaced = self.kind.overwrite && (!self.kind.partitioned || zero_written);
        let mut rows = self.durable.clone();
        if self.kind.existed && !replaced {
            rows.push(-1);
        }
        rows.sort();
        rows
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn visible_rows_are_those_of_checkpoints_once(
        kind in kinds(), writers in 1usize..4,
        script in proptest::collection::vec((any::<u8>(), 0usize..9, 0usize..40), 0..60),
        end in (0usize..9, 0usize..40),
    ) {
        let mut job = Job::new(kind, writers);
        for (act, choice, steps) in script {
            match act % 10 {
                0 => job.crash(choice, usize::MAX),
                1 => job.crash(choice, steps),
                2 | 3 => job.checkpoint(false),
                4 => job.commit(choice, usize::MAX),
                5 => job.commit(choice, steps),
                6 => {
                    // A checkpoint that does not become durable.
                    for writer in &mut job.writers {
                        settled(|| writer.pre_commit(77, false).unwrap());
                    }
                    job.crash(choice, usize::MAX);
                }
                7 => job.writers.iter_mut().for_each(|w| w.flush().unwrap()),
                _ => (0..=choice).for_each(|_| job.write(choice)),
            }
            job.check();
        }
        job.writers.iter_mut().for_each(|w| settled(|| w.finish().unwrap()));
        job.checkpoint(true);
        job.check();
        // The last commit is done in part, and again after a crash.
        let (choice, steps) = end;
        let before = job.pending.clone();
        job.sink.crash_after(steps);
        let done = job.sink.commit_epoch(0, &job.pending);
        job.sink.crash_after(usize::MAX);
        if done.is_err() || choice % 2 == 0 {
            job.crash(choice, usize::MAX);
            job.writers.iter_mut().for_each(|w| settled(|| w.finish().unwrap()));
            job.checkpoint(true);
            job.sink.commit_epoch(0, &job.pending).unwrap();
            // Nothing happens when it is done again.
            job.sink.commit_epoch(0, &job.pending).unwrap();
        } else {
            job.sink.commit_epoch(0, &before).unwrap();
        }
        prop_assert_eq!(job.visible(), job.expected());
        job.sink.commit().unwrap();
        job.sink.abort();
        job.writers.clear();
        prop_assert_eq!(job.visible(), job.expected());
        if !job.litter {
            prop_assert_eq!(job.hidden(), Vec::<String>::new());
        }
    }
}

fn job(single: bool, partitioned: bool, endless: bool) -> Job {
    Job::new(Kind { single, partitioned, endless, overwrite: false, existed: false, columns: false }, 1)
}

#[test]
fn nothing_is_visible_before_its_checkpoint_is_durable() {
    let mut job = job(false, false, true);
    (0..20).for_each(|_| job.write(0));
    job.writers[0].flush().unwrap();
    assert!(job.visible().is_empty());
    job.checkpoint(false);
    assert!(job.visible().is_empty());
    job.commit(0, usize::MAX);
    assert!(!job.visible().is_empty());
}

#[test]
fn one_file_grows_with_every_checkpoint() {
    let mut job = job(true, false, true);
    for n in 1..4 {
        job.write(0);
        job.checkpoint(false);
        job.commit(0, usize::MAX);
        assert_eq!(job.visible(), (0..n).collect::<Vec<_>>());
    }
    // No rows, no part.
    job.checkpoint(false);
    assert!(job.hidden().is_empty());
}

#[test]
fn a_bounded_job_shows_all_at_its_end() {
    let mut job = job(false, true, false);
    (0..20).for_each(|_| job.write(0));
    job.checkpoint(false);
    job.commit(0, usize::MAX);
    // Stopped before its end.
    job.checkpoint(true);
    job.commit(0, usize::MAX);
    assert!(job.visible().is_empty());
    job.crash(0, usize::MAX);
    job.writers.iter_mut().for_each(|w| settled(|| w.finish().unwrap()));
    job.checkpoint(true);
    job.commit(0, usize::MAX);
    assert_eq!(job.visible(), (0..20).collect::<Vec<_>>());
}

#[test]
fn missing_and_damaged_parts_are_errors() {
    // In a bounded job nothing else can have taken it.
    let mut job = job(false, false, false);
    job.write(0);
    job.checkpoint(false);
    let part = job.root.path().join("out").read_dir().unwrap().next().unwrap().unwrap().path();
    fs::write(&part, "k").unwrap();
    let e = job.sink.recover(&job.pending).unwrap_err();
    assert!(e.message().ends_with("has 1 bytes, the checkpoint knows 8 bytes of it"), "{e}");
    fs::remove_file(&part).unwrap();
    let e = job.sink.recover(&job.pending).unwrap_err();
    assert!(e.message().contains(".inprogress' is gone"), "{e}");
    assert!(!e.may_pass_again(), "nothing brings it back");
    // Not of this sink, or damaged.
    let mut value = job.pending[0].clone();
    value["open"][0]["name"] = "../x".into();
    for value in [value, serde_json::json!({ "offset": 3 })] {
        let e = job.sink.recover(&[value]).unwrap_err();
        assert!(e.message().contains("is not from connector 'filesystem'"), "{e}");
    }
}

#[test]
fn a_fault_fails_the_job_and_loses_nothing() {
    let mut job = job(false, false, true);
    (0..20).for_each(|_| job.write(0));
    job.checkpoint(false);
    // A directory stands where a part is to be.
    let name = job.pending[0]["closed"][0]["name"].as_str().unwrap().to_string();
    let path = job.root.path().join("out").join(name);
    fs::create_dir_all(path.join("x")).unwrap();
    let e = job.sink.commit_epoch(0, &job.pending).unwrap_err();
    assert!(e.message().contains("could not be created"), "{e}");
    fs::remove_dir_all(path).unwrap();
    job.crash(1, usize::MAX);
    assert_eq!(job.visible(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_file_that_others_write_is_not_cut() {
    let mut job = job(true, false, true);
    job.write(0);
    job.checkpoint(false);
    job.commit(0, usize::MAX);
    (0..9).for_each(|_| job.write(0));
    job.checkpoint(false);
    // Half of the rows are in it when another program adds its own.
    job.sink.crash_after(3);
    job.sink.commit_epoch(0, &job.pending).unwrap_err();
    job.sink.crash_after(usize::MAX);
    let path = job.root.path().join("out.csv");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all("another\n".repeat(30).as_bytes()).unwrap();
    let e = job.sink.recover(&job.pending).unwrap_err();
    assert!(e.message().ends_with("was changed while rows were added to it"), "{e}");
}
