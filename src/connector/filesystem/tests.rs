#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Int64Type, Schema};
use proptest::prelude::*;
use tempfile::TempDir;

#[cfg(feature = "parquet")]
mod columns;
mod exactly_once;
mod following;
mod partitions;
mod replay;

use super::source::FilesystemSource;
use super::*;
use crate::catalog::Column;
use crate::connector::registry::validate;
use crate::connector::replay::{context, writer_context};
use crate::connector::{Read, Reader};
use crate::flow::Splits;
use crate::flow::{Chunk, Mailbox};
use crate::sql::SqlType;

fn physical(name: &str, data_type: SqlType) -> Column {
    Column { name: name.into(), source: ColumnSource::Physical { data_type, nullable: true }, comment: None }
}

fn metadata(name: &str, data_type: SqlType, key: &str) -> Column {
    let source = ColumnSource::Metadata { data_type, nullable: true, key: key.into(), is_virtual: true };
    Column { name: name.into(), source, comment: None }
}

fn table(columns: Vec<Column>, partitioned_by: &[&str], path: &Path, pairs: &[(&str, &str)]) -> Arc<Table> {
    let mut options = Options::default();
    options.set("connector", "filesystem", Default::default());
    options.set("path", path.to_str().unwrap(), crate::error::Span::new((1, 1), (1, 2)));
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    Arc::new(Table {
        name: "t".into(),
        home: Default::default(),
        columns,
        watermark: None,
        primary_key: vec![],
        partitioned_by: partitioned_by.iter().map(|p| p.to_string()).collect(),
        comment: None,
        options,
        temporary: false,
        own: None,
    })
}

fn lines(path: &Path, pairs: &[(&str, &str)]) -> Arc<Table> {
    let mut all = vec![("format", "raw")];
    all.extend(pairs);
    table(vec![physical("line", SqlType::String)], &[], path, &all)
}

fn request(table: &Arc<Table>) -> ScanRequest {
    validate(table).unwrap();
    let fields: Vec<_> = table
        .columns
        .iter()
        .map(|c| Field::new(&c.name, c.declared().unwrap().0.to_arrow("UTC"), true))
        .collect();
    ScanRequest {
        projection: (0..table.columns.len()).collect(),
        schema: Arc::new(Schema::new(fields)),
        batch_rows: 100,
        zone: "UTC".into(),
        table: table.clone(),
    }
}

struct Tasks {
    runtime: tokio::runtime::Runtime,
    mailbox: Mailbox,
}

impl Tasks {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        Self { runtime, mailbox: Mailbox::new() }
    }

    fn reader(&self, source: &dyn Source, task: usize, parallelism: usize) -> Box<dyn Reader> {
        let waker = self.mailbox.waker(task);
        let runtime = self.runtime.handle().clone();
        source.reader(context(task, parallelism, waker, runtime)).unwrap()
    }

    /// Reads until `n` rows came, waiting for the waker in between.
    fn rows(&self, reader: &mut dyn Reader, n: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut rows = Vec::new();
        while rows.len() < n {
            match reader.read().unwrap() {
                Read::Batch(batch) | Read::Changes(batch, _) => rows.extend(texts(&batch, 0)),
                Read::Pending => {
                    let mail = self.mailbox.wait(Some(deadline));
                    assert!(!mail.woken.is_empty(), "not woken; got {rows:?}");
                }
                other => panic!("{other:?} with {rows:?}"),
            }
        }
        rows
    }
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<String> {
    batch.column(column).as_string_view().iter().map(|t| t.unwrap_or("NULL").to_string()).collect()
}

/// All batches, by turns of the tasks.
fn read_all(source: &dyn Source, parallelism: usize) -> Result<Vec<RecordBatch>> {
    let tasks = Tasks::new();
    let mut readers: Vec<_> = (0..parallelism).map(|t| tasks.reader(source, t, parallelism)).collect();
    let mut batches = Vec::new();
    while !readers.is_empty() {
        let mut error = None;
        readers.retain_mut(|r| match r.read() {
            Ok(Read::Batch(batch)) => {
                batches.push(batch);
                true
            }
            Ok(_) => false,
            Err(e) => {
                error = Some(e);
                false
            }
        });
        if let Some(e) = error {
            return Err(e);
        }
    }
    Ok(batches)
}

fn read_lines(table: &Arc<Table>) -> Result<Vec<String>> {
    let batches = read_all(Filesystem.source(&request(table))?.as_ref(), 1)?;
    Ok(batches.iter().flat_map(|b| texts(b, 0)).collect())
}

/// A source whose files are cut into pieces of so many bytes.
fn cut_source(table: &Arc<Table>, split_size: u64) -> FilesystemSource {
    let request = request(table);
    let format = Format::from_options(&table.options).unwrap();
    let layout = Layout::new(table, format, &request.projection, &request.schema, 3, "UTC").unwrap();
    FilesystemSource::new(layout, Location::new(table).unwrap(), None, split_size).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn splits_hold_every_line_once(
        text in "[a-c\n]{0,120}", split_size in 1u64..40, parallelism in 1usize..4,
    ) {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("x"), &text).unwrap();
        let table = lines(dir.path(), &[]);
        let source = cut_source(&table, split_size);
        let batches = read_all(&source, parallelism).unwrap();
        let mut read: Vec<String> = batches.iter().flat_map(|b| texts(b, 0)).collect();
        let mut expected: Vec<String> = text.lines().map(str::to_string).collect();
        if parallelism > 1 {
            read.sort();
            expected.sort();
        }
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn directories_patterns_and_urls() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("b/c")).unwrap();
    fs::create_dir_all(root.join(".hidden")).unwrap();
    for (name, text) in [
        ("a.txt", "1\n"),
        ("b/c/d.txt", "2\n"),
        ("b/e.log", "3\n"),
        ("_SUCCESS", "no\n"),
        (".x.inprogress", "no\n"),
        (".hidden/y.txt", "no\n"),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    assert_eq!(read_lines(&lines(root, &[])).unwrap(), ["1", "2", "3"]);
    assert_eq!(read_lines(&lines(&root.join("**/*.txt"), &[])).unwrap(), ["1", "2"]);
    assert_eq!(read_lines(&lines(&root.join("b"), &[])).unwrap(), ["2", "3"]);
    let url = format!("file://{}/a%2Etxt", root.display());
    assert_eq!(read_lines(&lines(Path::new(&url), &[])).unwrap(), ["1"]);
    let log = [("source.path.regex-pattern", r".*\.log")];
    assert_eq!(read_lines(&lines(root, &log)).unwrap(), ["3"]);
    fs::create_dir(root.join("empty")).unwrap();
    assert!(read_lines(&lines(&root.join("empty"), &[])).unwrap().is_empty());
}

#[test]
fn unreadable_paths_are_errors_of_planning() {
    let dir = TempDir::new().unwrap();
    let message = |path: &Path| {
        let e = Filesystem.source(&request(&lines(path, &[]))).err().unwrap();
        assert!(e.span().is_some());
        e.message().replace(dir.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(message(&dir.path().join("none.txt")), "'DIR/none.txt' does not exist");
    assert_eq!(message(&dir.path().join("none/*.txt")), "'DIR/none' does not exist");
    assert_eq!(message(&dir.path().join("*.txt")), "no file matches 'DIR/*.txt'");
    fs::write(dir.path().join("a.xz"), "x").unwrap();
    assert_eq!(message(&dir.path().join("a.xz")), "file DIR/a.xz: compression 'xz' is not supported");
    let e = validate(&lines(Path::new("ftp://host/x"), &[])).unwrap_err();
    assert_eq!(e.message(), "table 't': paths of scheme 'ftp' are not supported");
}

#[test]
fn packed_files_have_several_members_and_must_be_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.gz");
    let mut bytes = gzip(b"1\n2");
    bytes.extend(gzip(b"2\n3\n"));
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_lines(&lines(dir.path(), &[])).unwrap(), ["1", "22", "3"]);
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let e = read_lines(&lines(dir.path(), &[])).unwrap_err();
    assert!(e.message().contains("x.gz: broken gzip data"), "{e}");
}

#[test]
fn an_error_in_the_middle_of_a_file_names_its_true_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.csv");
    let columns = || vec![physical("n", SqlType::BigInt)];
    let options = [("format", "csv"), ("csv.disable-quote-character", "true"), ("csv.skip-header", "true")];
    for split_size in [5, 64, 1000, 100_000] {
        for bad in [2, 37, 4999] {
            let mut text = String::from("n\n");
            (2..=5000).for_each(|i| text.push_str(&if i == bad { "x\n".into() } else { format!("{i}\n") }));
            fs::write(&path, text).unwrap();
            let table = table(columns(), &[], dir.path(), &options);
            let e = read_all(&cut_source(&table, split_size), 1).unwrap_err();
            let expected = format!("file {}, line {bad}, column 'n': 'x' is not a BIGINT", path.display());
            assert_eq!(e.message(), expected, "split size {split_size}");
        }
    }
    // Quotes may hide newlines: not cut.
    let quoted = table(columns(), &[], dir.path(), &[("format", "csv")]);
    assert_eq!(cut_source(&quoted, 5).max_parallelism(), 1);
}

#[test]
fn partitions_and_metadata_are_columns() {
    let dir = TempDir::new().unwrap();
    for (name, text) in
        [("day=2020-01-01/kind=a%2Fb/x", "1\n2\n"), ("day=2020-01-02/kind=__DEFAULT_PARTITION__/y", "3\n")]
    {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let columns = || {
        vec![
            physical("kind", SqlType::String),
            physical("n", SqlType::BigInt),
            physical("day", SqlType::Date),
            metadata("name", SqlType::String, "file.name"),
            metadata("path", SqlType::String, "file.path"),
            metadata("size", SqlType::BigInt, "file.size"),
            metadata("modified", SqlType::TimestampLtz(3), "file.modification-time"),
        ]
    };
    let table_of = |columns, by: &[&str]| table(columns, by, dir.path(), &[("format", "csv")]);
    let table = table_of(columns(), &["day", "kind"]);
    let batches = read_all(Filesystem.source(&request(&table)).unwrap().as_ref(), 1).unwrap();
    let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(texts(&all, 0), ["a/b", "a/b", "NULL"]);
    assert_eq!(all.column(1).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(all.column(2).as_primitive::<arrow::datatypes::Date32Type>().values(), &[18262, 18262, 18263]);
    assert_eq!(texts(&all, 3), ["x", "x", "y"]);
    assert!(texts(&all, 4)[2].ends_with("/y"));
    assert_eq!(all.column(5).as_primitive::<Int64Type>().values(), &[4, 4, 2]);
    assert_eq!(all.column(6).null_count(), 0);
    // As a query wants them: some, and not one of the record.
    let mut narrow = request(&table);
    narrow.projection = vec![3];
    narrow.schema = Arc::new(narrow.schema.project(&[3]).unwrap());
    let batches = read_all(Filesystem.source(&narrow).unwrap().as_ref(), 1).unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);

    let e = Filesystem.source(&request(&table_of(columns(), &["day", "n"]))).err().unwrap();
    assert!(e.message().contains("no directory 'n=...' on its path"), "{e}");
    let mut wrong = columns();
    wrong[5] = metadata("size", SqlType::Int, "file.size");
    let e = validate(&table_of(wrong, &[])).unwrap_err();
    assert_eq!(e.message(), "table 't': column 'size': metadata 'file.size' is BIGINT");
    let mut wrong = columns();
    wrong[5] = metadata("size", SqlType::BigInt, "file.sise");
    let e = validate(&table_of(wrong, &[])).unwrap_err();
    assert_eq!(e.hint(), Some("did you mean 'file.size'?"));
}

fn pair(path: &Path, by: &[&str], pairs: &[(&str, &str)]) -> Arc<Table> {
    let mut all = vec![("format", "csv")];
    // The last one of a name holds.
    all.extend(pairs);
    let columns = vec![physical("k", SqlType::String), physical("n", SqlType::BigInt)];
    let table = table(columns, by, path, &all);
    validate(&table).unwrap();
    table
}

fn chunk(rows: &[(Option<&str>, i64)]) -> Chunk {
    let batch = RecordBatch::try_from_iter([
        ("k", Arc::new(StringViewArray::from_iter(rows.iter().map(|r| r.0))) as ArrayRef),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)))),
    ]);
    Chunk::append(batch.unwrap(), Instant::now())
}

/// Names (with the random part taken out) and contents of all files below a directory.
fn files(root: &Path) -> BTreeMap<String, String> {
    let uuid = regex::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            // Another thread may show it under another name meanwhile.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.insert(uuid.replace_all(&name, "U").into_owned(), text);
        }
    }
    found
}

/// What is asked for until it is there: files are synced and shown on other threads.
fn settled<T>(mut ask: impl FnMut() -> std::task::Poll<T>) -> T {
    loop {
        match ask() {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Calls the writer, as its task does when it is woken, until something is visible.
fn shown_when(writer: &mut dyn crate::connector::Writer, shown: impl Fn() -> bool) {
    while !shown() {
        writer.wake().unwrap();
        std::thread::yield_now();
    }
}

fn visible_files(root: &Path) -> usize {
    files(root).keys().filter(|name| !name.starts_with('.')).count()
}

/// The sink of a table, asked for as a change of the request says.
fn sink_of(table: &Arc<Table>, change: impl FnOnce(&mut SinkRequest)) -> Result<Arc<dyn Sink>> {
    let mut request = SinkRequest::new(table, "UTC");
    change(&mut request);
    Filesystem.sink(&request)
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn parts_appear_when_the_job_ends_well() {
    let dir = TempDir::new().unwrap();
    let sink = sink_of(&pair(&dir.path().join("out"), &[], &[]), |_| {}).unwrap();
    let mut writers = [0, 1].map(|task| sink.writer(writer_context(task, 2)).unwrap());
    writers[0].write(&chunk(&[(Some("a"), 1)])).unwrap();
    writers[1].write(&chunk(&[(None, 2)])).unwrap();
    writers[0].flush().unwrap();
    assert_eq!(files(dir.path()), map(&[("out/.part-U-0-0-U.inprogress", "a,1\n")]));
    writers.iter_mut().for_each(|w| assert!(w.finish().unwrap().is_ready()));
    sink.commit().unwrap();
    assert_eq!(files(dir.path()), map(&[("out/part-U-0-0", "a,1\n"), ("out/part-U-1-0", ",2\n")]));
    // Nothing visible is removed.
    sink.abort();
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn an_aborted_or_dropped_sink_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    for drop_only in [false, true] {
        let sink = sink_of(&pair(dir.path(), &[], &[]), |_| {}).unwrap();
        let mut writer = sink.writer(writer_context(0, 1)).unwrap();
        writer.write(&chunk(&[(Some("a"), 1)])).unwrap();
        writer.flush().unwrap();
        assert_eq!(files(dir.path()).len(), 1);
        if drop_only {
            drop((writer, sink));
        } else {
            drop(writer);
            sink.abort();
        }
        assert_eq!(files(dir.path()), map(&[]));
        // A writer that has ended leaves its parts to the sink.
        let sink = sink_of(&pair(dir.path(), &[], &[]), |_| {}).unwrap();
        let mut writer = sink.writer(writer_context(0, 1)).unwrap();
        writer.write(&chunk(&[(Some("a"), 1)])).unwrap();
        settled(|| writer.finish().unwrap());
        drop(writer);
        assert_eq!(files(dir.path()).len(), 1);
        if drop_only {
            drop(sink)
        } else {
            sink.abort()
        }
        assert_eq!(files(dir.path()), map(&[]));
    }
}

#[test]
fn partitions_are_directories_and_are_read_back() {
    let dir = TempDir::new().unwrap();
    let options = [("sink.partition-commit.policy.kind", "success-file")];
    let table = pair(dir.path(), &["k"], &options);
    let sink = sink_of(&table, |_| {}).unwrap();
    let mut writer = sink.writer(writer_context(0, 1)).unwrap();
    writer.write(&chunk(&[(Some("a/b"), 1), (None, 2), (Some("a/b"), 3)])).unwrap();
    writer.write(&chunk(&[(Some("a/b"), 4)])).unwrap();
    assert!(writer.finish().unwrap().is_ready());
    sink.commit().unwrap();
    let expected = [
        ("k=a%2Fb/part-U-0-0", "1\n3\n4\n"),
        ("k=a%2Fb/_SUCCESS", ""),
        ("k=__DEFAULT_PARTITION__/part-U-0-1", "2\n"),
        ("k=__DEFAULT_PARTITION__/_SUCCESS", ""),
    ];
    let mut found = files(dir.path());
    // The number of a part depends on the order in which partitions were begun to be written.
    if found.contains_key("k=a%2Fb/part-U-0-1") {
        for (from, to) in [
            ("k=a%2Fb/part-U-0-1", "k=a%2Fb/part-U-0-0"),
            ("k=__DEFAULT_PARTITION__/part-U-0-0", "k=__DEFAULT_PARTITION__/part-U-0-1"),
        ] {
            let text = found.remove(from).unwrap();
            found.insert(to.into(), text);
        }
    }
    assert_eq!(found, map(&expected));
    let batches = read_all(Filesystem.source(&request(&table)).unwrap().as_ref(), 1).unwrap();
    let keys: Vec<_> = batches.iter().flat_map(|b| texts(b, 0)).collect();
    assert_eq!(keys, ["NULL", "a/b", "a/b", "a/b"]);
}

#[test]
fn one_file_is_shared_and_added_to() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("deep/out.csv");
    let table = pair(&path, &[], &[("csv.write-header", "true")]);
    for round in 0..2 {
        let sink = sink_of(&table, |_| {}).unwrap();
        let mut writers = [0, 1].map(|task| sink.writer(writer_context(task, 2)).unwrap());
        for (i, writer) in writers.iter_mut().enumerate() {
            writer.write(&chunk(&[(Some("r"), round * 10 + i as i64)])).unwrap();
        }
        writers.iter_mut().for_each(|w| assert!(w.finish().unwrap().is_ready()));
        assert_eq!(path.exists(), round > 0);
        sink.commit().unwrap();
    }
    assert_eq!(files(dir.path()), map(&[("deep/out.csv", "k,n\nr,0\nr,1\nr,10\nr,11\n")]));
    // No row: the file is there all the same.
    let empty = sink_of(&pair(&dir.path().join("none.csv"), &[], &[]), |_| {}).unwrap();
    let finished = empty.writer(writer_context(0, 1)).unwrap().finish().unwrap();
    assert!(finished.is_ready());
    empty.commit().unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("none.csv")).unwrap(), "");
}

#[test]
fn overwriting_replaces_when_the_job_ends() {
    let dir = TempDir::new().unwrap();
    let write = |table: &Arc<Table>, rows: &[(Option<&str>, i64)]| {
        let sink = sink_of(table, |request| request.overwrite = true).unwrap();
        let mut writer = sink.writer(writer_context(0, 1)).unwrap();
        let before = files(dir.path());
        writer.write(&chunk(rows)).unwrap();
        assert_eq!(files(dir.path()), before);
        assert!(writer.finish().unwrap().is_ready());
        sink.commit().unwrap();
    };
    let file = pair(&dir.path().join("x.csv"), &[], &[]);
    write(&file, &[(Some("a"), 1)]);
    write(&file, &[(Some("b"), 2)]);
    assert_eq!(files(dir.path()), map(&[("x.csv", "b,2\n")]));
    write(&file, &[]);
    assert_eq!(files(dir.path()), map(&[("x.csv", "")]));
    let parts = pair(&dir.path().join("d"), &["k"], &[]);
    write(&parts, &[(Some("a"), 1)]);
    write(&parts, &[(Some("b"), 2)]);
    write(&parts, &[(Some("b"), 3)]);
    assert_eq!(files(&dir.path().join("d")), map(&[("k=a/part-U-0-0", "1\n"), ("k=b/part-U-0-0", "3\n")]));
}

#[test]
fn large_parts_are_rolled() {
    let dir = TempDir::new().unwrap();
    let options = [("sink.rolling-policy.file-size", "4 b")];
    for (unbounded, visible) in [(false, 0), (true, 2)] {
        let sink = sink_of(&pair(dir.path(), &[], &options), |request| request.bounded = !unbounded).unwrap();
        let mut writer = sink.writer(writer_context(0, 1)).unwrap();
        for i in 0..2 {
            writer.write(&chunk(&[(Some("a"), i)])).unwrap();
            writer.flush().unwrap();
            shown_when(writer.as_mut(), || !unbounded || visible_files(dir.path()) == i as usize + 1);
        }
        assert_eq!(visible_files(dir.path()), visible);
        drop(writer);
        sink.abort();
    }
}

#[test]
fn old_parts_of_a_job_that_never_ends_are_shown() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.csv");
    let options =
        [("sink.rolling-policy.rollover-interval", "30 s"), ("sink.rolling-policy.check-interval", "40 s")];
    let sink = sink_of(&pair(&path, &[], &options), |request| request.bounded = false).unwrap();
    let mut writer = sink.writer(writer_context(0, 1)).unwrap();
    assert_eq!(writer.deadline(), None, "there is no part");
    for i in 0..2i64 {
        writer.write(&chunk(&[(Some("a"), i)])).unwrap();
        writer.flush().unwrap();
        let expected = (0..=i).map(|i| format!("a,{i}\n")).collect::<String>();
        let due = writer.deadline().unwrap();
        writer.timer(due).unwrap();
        shown_when(writer.as_mut(), || fs::read_to_string(&path).is_ok_and(|text| text == expected));
    }
    settled(|| writer.finish().unwrap());
    sink.commit().unwrap();
    assert_eq!(files(dir.path()), map(&[("out.csv", "a,0\na,1\n")]));
}

#[test]
fn unsupported_writes_are_refused() {
    let dir = TempDir::new().unwrap();
    let refused = |pairs: &[(&str, &str)]| {
        let mut all = vec![("format", "csv")];
        all.extend(pairs);
        let columns = vec![physical("k", SqlType::String), physical("n", SqlType::BigInt)];
        validate(&table(columns, &["k"], dir.path(), &all)).unwrap_err().message().to_string()
    };
    assert_eq!(
        refused(&[("sink.partition-commit.trigger", "partition-time")]),
        "table 't': option 'sink.partition-commit.trigger' needs option 'sink.partition-commit.policy.kind'"
    );
    assert_eq!(
        refused(&[("sink.partition-commit.policy.kind", "metastore,success-file")]),
        "table 't': option 'sink.partition-commit.policy.kind' = 'metastore,success-file': only 'success-file' is supported"
    );
    fs::write(dir.path().join("file"), "").unwrap();
    let e = sink_of(&pair(&dir.path().join("file"), &[], &[]), |_| {}).err().unwrap();
    assert!(e.message().ends_with("is a file, not a directory"), "{e}");
}

#[test]
fn a_lookup_loads_everything() {
    let dir = TempDir::new().unwrap();
    for (name, text) in [("a=1/x", "one\n"), ("a=2/y", "two\nzwei\n")] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let columns = vec![physical("a", SqlType::BigInt), physical("s", SqlType::String)];
    let table = table(columns, &["a"], dir.path(), &[("format", "csv"), ("lookup.cache", "FULL")]);
    let scan = request(&table);
    let request = LookupRequest::new(table.clone(), vec![0], scan.schema);
    let backend = Filesystem.lookup(&request).unwrap();
    assert!(backend.can_load() && !backend.can_lookup());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = runtime.block_on(backend.load()).unwrap();
    assert_eq!(all.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 2]);
    assert_eq!(texts(&all, 1), ["one", "two", "zwei"]);
    // Caught while they are written anew: the copy stays.
    ["a=1/x", "a=2/y"].iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
    let e = runtime.block_on(backend.load()).unwrap_err();
    assert!(e.message().ends_with("is empty now, and was not before"), "{e}");
    fs::write(dir.path().join("a=1/x"), "uno\n").unwrap();
    assert_eq!(texts(&runtime.block_on(backend.load()).unwrap(), 1), ["uno"]);
}

#[test]
fn a_document_that_is_one_long_record_has_columns() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("long.json");
    fs::write(&path, format!("{{\n  \"a\": \"{}\",\n  \"b\": 1\n}}\n", "x".repeat(3 << 20))).unwrap();
    let mut options = Options::default();
    options.set("path", path.to_str().unwrap(), Default::default());
    options.set("format", "json", Default::default());
    let inferred = Filesystem.infer(&options).unwrap().unwrap();
    assert_eq!(inferred.columns, [("a".to_string(), SqlType::String), ("b".to_string(), SqlType::BigInt)]);
}

#[test]
fn a_reader_without_a_file_does_not_hold_event_time_back() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "a1\n").unwrap();
    let table = lines(dir.path(), &[("source.monitor-interval", "1 h")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut readers: Vec<_> = (0..2).map(|t| tasks.reader(source.as_ref(), t, 2)).collect();
    assert!(matches!(readers[0].read().unwrap(), Read::Batch(_)));
    assert!(matches!(readers[1].read().unwrap(), Read::Pending));
    assert_eq!(readers[1].splits(), Splits::None);
    // One that has had a file counts, whatever it reads now.
    assert!(matches!(readers[0].read().unwrap(), Read::Pending));
    assert!(matches!(readers[0].splits(), Splits::One(_)));
}

#[test]
fn readers_say_which_files_are_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "a1\na2\na3\na4\n").unwrap();
    fs::write(dir.path().join("b.txt"), "b1\nb2\nb3\nb4\n").unwrap();
    let table = lines(dir.path(), &[]);
    // Four pieces, two tasks.
    let source = cut_source(&table, 6);
    let tasks = Tasks::new();
    let mut readers: Vec<_> = (0..2).map(|t| tasks.reader(&source, t, 2)).collect();
    let mut next = |task: usize| {
        let Read::Batch(batch) = readers[task].read().unwrap() else { panic!("no rows") };
        let Splits::One(split) = readers[task].splits() else { panic!("several splits at a time") };
        (texts(&batch, 0)[0][..1].to_string(), split.id, split.others_pending)
    };
    let (a, first, pending) = next(0);
    assert_eq!((a.as_str(), pending), ("a", true));
    let (a, second, pending) = next(1);
    assert_eq!((a.as_str(), second, pending), ("a", first, true));
    let (b, third, pending) = next(0);
    assert_eq!((b.as_str(), pending), ("b", false));
    assert_ne!(third, first);
    let (b, last, pending) = next(1);
    assert_eq!((b.as_str(), last, pending), ("b", third, false));
}
