//! Parquet files.

use super::*;
use crate::connector::replay::Replay;

/// A file of texts, in groups of rows of these sizes.
fn write(path: &Path, groups: &[Vec<String>]) {
    let mut options = Options::default();
    options.set("format", "parquet", Default::default());
    let format = Format::from_options(&options).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("s", SqlType::String.to_arrow("UTC"), true)]));
    let mut file = format.file_encoder(&schema, "UTC").unwrap().unwrap();
    let mut bytes = Vec::new();
    for group in groups {
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(group));
        let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        file.encode(&Chunk::append(batch, Instant::now()), &mut bytes).unwrap();
        file.hold_less(&mut bytes).unwrap();
    }
    file.finish(&mut bytes).unwrap();
    fs::write(path, bytes).unwrap();
}

fn texts_of(path: &Path, more: &[(&str, &str)]) -> Arc<Table> {
    let mut options = vec![("format", "parquet")];
    options.extend(more);
    table(vec![physical("s", SqlType::String)], &[], path, &options)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn any_schedule_of_cuts_and_crashes_gives_every_row_once(
        files in proptest::collection::vec(proptest::collection::vec(0usize..9, 0..5), 1..4),
        split_sizes in proptest::collection::vec(1u64..600, 3),
        script in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let dir = TempDir::new().unwrap();
        let mut rows = Vec::new();
        for (f, groups) in files.iter().enumerate() {
            let group = |(g, n): (usize, &usize)| (0..*n).map(|i| format!("{f}-{g}-{i}")).collect::<Vec<_>>();
            let groups: Vec<Vec<String>> = groups.iter().enumerate().map(group).collect();
            write(&dir.path().join(format!("f{f}.parquet")), &groups);
            rows.extend(groups.concat());
        }
        rows.sort();
        let table = texts_of(dir.path(), &[]);
        let turn = std::cell::Cell::new(0);
        let make = || -> Vec<Arc<dyn Source>> {
            turn.set(turn.get() + 1);
            vec![Arc::new(cut_source(&table, split_sizes[turn.get() % split_sizes.len()]))]
        };
        let mut replay = Replay::new(make(), 2);
        replay.play(&script, &make);
        prop_assert_eq!(replay.sorted(0), rows);
    }
}

#[test]
fn a_followed_file_is_read_when_it_is_complete() {
    let dir = TempDir::new().unwrap();
    let (whole, path) = (dir.path().join(".whole"), dir.path().join("a.parquet"));
    let words = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    write(&whole, &[words(&["1", "2"]), words(&["3"])]);
    let bytes = fs::read(&whole).unwrap();
    fs::write(&path, &bytes[..40]).unwrap();
    let table = texts_of(dir.path(), &[("source.monitor-interval", "2 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert!(matches!(reader.read().unwrap(), Read::Pending));
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&bytes[40..]).unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["1", "2"]);
    let positions = reader.cut(1).unwrap().unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["3"]);
    write(&dir.path().join("b.parquet"), &[words(&["4"])]);
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["4"]);
    // It goes on in the group where it was.
    let source = Filesystem.source(&request(&table)).unwrap();
    source.restore(&positions, tasks.runtime.handle()).unwrap();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["3", "4"]);
}

#[test]
fn broken_parquet_files_are_errors() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.parquet");
    let table = texts_of(&path, &[]);
    let failure = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let e = read_all(Filesystem.source(&request(&table)).unwrap().as_ref(), 1).unwrap_err();
        assert!(e.hint().is_some(), "{e}");
        e.message().replace(dir.path().to_str().unwrap(), "DIR")
    };
    write(&path, &[vec!["x".to_string()]]);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(failure(b"{\"a\":1}"), "file DIR/a.parquet is no Parquet file");
    assert_eq!(failure(b""), "file DIR/a.parquet is no Parquet file");
    let cut = "file DIR/a.parquet is cut short: it has no footer";
    assert_eq!(failure(&bytes[..bytes.len() - 1]), cut);
    assert_eq!(failure(b"PAR1PAR1"), cut);
    fs::write(&path, &bytes).unwrap();
    let numbers = super::table(vec![physical("s", SqlType::Int)], &[], &path, &[("format", "parquet")]);
    let e = read_all(Filesystem.source(&request(&numbers)).unwrap().as_ref(), 1).unwrap_err();
    assert!(e.message().ends_with("a.parquet: column 's' is STRING, it is declared INT"), "{e}");
}
