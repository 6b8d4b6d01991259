//! Reading again from positions.

use super::*;
use crate::connector::replay::Replay;

/// Files of numbered records, some of them packed; and the rows in them.
fn write_files(root: &Path, sizes: &[(u8, bool)], csv: bool) -> Vec<String> {
    let mut rows = Vec::new();
    for (f, &(lines, packed)) in sizes.iter().enumerate() {
        let mut text = String::new();
        if csv {
            text.push_str("s\n");
        }
        for i in 0..lines {
            let row = format!("{f}-{i:03}-{}", "x".repeat(usize::from(i % 7)));
            if csv {
                // Some records have two lines.
                let cut = if i % 3 == 0 { "\n" } else { "" };
                text.push_str(&format!("\"{row}{cut}\"\n"));
                rows.push(format!("{row}{cut}"));
            } else {
                text.push_str(&row);
                // The last line may have no end.
                if i + 1 < lines || i % 2 == 0 {
                    text.push('\n');
                }
                rows.push(row);
            }
        }
        let name = root.join(format!("f{f}{}", if packed { ".gz" } else { "" }));
        fs::write(name, if packed { gzip(text.as_bytes()) } else { text.into_bytes() }).unwrap();
    }
    rows.sort();
    rows
}

fn table_of(root: &Path, csv: bool) -> Arc<Table> {
    let options = [("format", "csv"), ("csv.skip-header", "true")];
    if csv { table(vec![physical("s", SqlType::String)], &[], root, &options) } else { lines(root, &[]) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn any_schedule_of_cuts_and_crashes_gives_every_row_once(
        sizes in proptest::collection::vec((0u8..60, any::<bool>()), 1..5), csv: bool,
        split_sizes in proptest::collection::vec(1u64..300, 3),
        script in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let dir = TempDir::new().unwrap();
        let rows = write_files(dir.path(), &sizes, csv);
        let table = table_of(dir.path(), csv);
        let turn = std::cell::Cell::new(0);
        // Every attempt cuts the files differently.
        let make = || -> Vec<Arc<dyn Source>> {
            turn.set(turn.get() + 1);
            vec![Arc::new(cut_source(&table, split_sizes[turn.get() % split_sizes.len()]))]
        };
        let mut replay = Replay::new(make(), 2);
        replay.play(&script, &make);
        prop_assert_eq!(replay.sorted(0), rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn followed_files_are_read_once_whatever_happens(
        script in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..60), csv: bool,
    ) {
        let dir = TempDir::new().unwrap();
        let root = dir.path();
        let followed = [("source.monitor-interval", "1 ms")];
        let table = if csv {
            let options = [("format", "csv"), followed[0]];
            super::table(vec![physical("s", SqlType::String)], &[], root, &options)
        } else {
            lines(root, &followed)
        };
        let make = || -> Vec<Arc<dyn Source>> { vec![Filesystem.source(&request(&table)).unwrap()] };
        let mut replay = Replay::new(make(), 2);
        let (mut written, mut begun) = (Vec::new(), [false; 4]);
        for (n, &(act, more)) in script.iter().enumerate() {
            let more = usize::from(more);
            match act % 8 {
                0 => replay.restart((more % 2 == 0).then(make), more % 3 + 1),
                1 | 2 => replay.checkpoint(|| more),
                3 => {
                    // Ends an unfinished record and begins another one.
                    let mut file =
                        fs::OpenOptions::new().append(true).create(true).open(root.join(format!("f{}", more % 4))).unwrap();
                    let quote = if csv { "\"" } else { "" };
                    let end = if begun[more % 4] { format!("{quote}\n") } else { String::new() };
                    file.write_all(format!("{end}{quote}{n:04}").as_bytes()).unwrap();
                    begun[more % 4] = true;
                    written.push((more % 4, n));
                }
                4 if more % 4 == 0 => {
                    // Rotated: continues under another name.
                    let name = root.join("f0");
                    if name.exists() && begun[0] {
                        let mut file = fs::OpenOptions::new().append(true).open(&name).unwrap();
                        file.write_all(if csv { b"\"\n" } else { b"\n" }).unwrap();
                        begun[0] = false;
                        fs::rename(&name, root.join(format!("old{n}"))).unwrap();
                    }
                }
                _ => replay.read(usize::from(act) / 8),
            }
        }
        for (f, _) in begun.iter().enumerate().filter(|(_, begun)| **begun) {
            let mut file = fs::OpenOptions::new().append(true).open(root.join(format!("f{f}"))).unwrap();
            file.write_all(if csv { b"\"\n" } else { b"\n" }).unwrap();
        }
        replay.read_until(written.len());
        replay.checkpoint(|| 0);
        let mut expected: Vec<String> = written.iter().map(|(_, n)| format!("{n:04}")).collect();
        expected.sort();
        prop_assert_eq!(replay.sorted(0), expected);
    }
}

/// Reads three rows and takes a checkpoint; then the files are changed, and it comes back.
fn after_a_change(change: impl FnOnce(&Path), monitored: bool) -> Result<Vec<String>> {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    fs::write(root.join("a"), "1\n2\n3\n4\n5\n6\n").unwrap();
    let table = lines(root, if monitored { &[("source.monitor-interval", "1 ms")] } else { &[] });
    let make = || -> Arc<dyn Source> {
        let mut request = request(&table);
        request.batch_rows = 3;
        Filesystem.source(&request).unwrap()
    };
    let mut replay = Replay::new(vec![make()], 1);
    replay.read(0);
    replay.checkpoint(|| 0);
    assert_eq!(replay.committed[0], ["1", "2", "3"]);
    change(root);
    let source = make();
    let tasks = Tasks::new();
    source.restore(&replay.positions[0], tasks.runtime.handle())?;
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    let mut rows = Vec::new();
    while let Read::Batch(batch) = reader.read()? {
        rows.extend(texts(&batch, 0));
    }
    Ok(rows)
}

#[test]
fn files_that_are_not_what_they_were_are_not_read_on_by_guess() {
    let write = |text: &'static str| move |root: &Path| fs::write(root.join("a"), text).unwrap();
    let nothing = |_: &Path| {};
    assert_eq!(after_a_change(nothing, false).unwrap(), ["4", "5", "6"]);
    assert_eq!(after_a_change(nothing, true).unwrap(), ["4", "5", "6"]);
    // Grown.
    let grow = write("1\n2\n3\n4\n5\n6\n7\n");
    assert_eq!(after_a_change(grow, false).unwrap(), ["4", "5", "6", "7"]);
    assert_eq!(after_a_change(grow, true).unwrap(), ["4", "5", "6", "7"]);
    // Copied: another file with the same bytes.
    let copy = |root: &Path| {
        fs::copy(root.join("a"), root.join(".b")).unwrap();
        fs::rename(root.join(".b"), root.join("a")).unwrap();
    };
    assert_eq!(after_a_change(copy, false).unwrap(), ["4", "5", "6"]);
    assert_eq!(after_a_change(copy, true).unwrap(), ["4", "5", "6"]);
    // Cut short.
    let e = after_a_change(write("1\n"), false).unwrap_err();
    assert!(e.message().contains("a was changed: its first"), "{e}");
    assert_eq!(after_a_change(write("1\n"), true).unwrap(), ["1"]);
    // Gone.
    let e = after_a_change(|root| fs::remove_file(root.join("a")).unwrap(), false).unwrap_err();
    assert!(e.message().ends_with("a no longer exists, it was not read to its end"), "{e}");
    assert!(after_a_change(|root| fs::remove_file(root.join("a")).unwrap(), true).unwrap().is_empty());
    // New ones are read from their start.
    let new = |root: &Path| fs::write(root.join("b"), "x\n").unwrap();
    assert_eq!(after_a_change(new, false).unwrap(), ["4", "5", "6", "x"]);
    assert_eq!(after_a_change(new, true).unwrap(), ["4", "5", "6", "x"]);
    let renamed = |root: &Path| fs::rename(root.join("a"), root.join("b")).unwrap();
    assert_eq!(after_a_change(renamed, true).unwrap(), ["4", "5", "6"]);
}

#[test]
fn only_what_changed_is_told() {
    let dir = TempDir::new().unwrap();
    for f in 0..5 {
        fs::write(dir.path().join(format!("{f}")), "1\n2\n").unwrap();
    }
    let source = cut_source(&lines(dir.path(), &[]), 1000);
    let tasks = Tasks::new();
    let mut reader = tasks.reader(&source, 0, 1);
    let names = |positions: Option<crate::connector::Positions>| -> Vec<String> {
        let name = |path: &String| path.rsplit('/').next().unwrap().to_string();
        positions.unwrap().keys().map(name).collect()
    };
    assert!(names(reader.cut(1).unwrap()).is_empty());
    reader.read().unwrap();
    assert_eq!(names(reader.cut(2).unwrap()), ["0@0"]);
    assert!(names(reader.cut(3).unwrap()).is_empty());
    reader.read().unwrap();
    reader.read().unwrap();
    assert_eq!(names(reader.cut(4).unwrap()), ["0@0", "1@0", "2@0"]);
    assert_eq!(names(reader.leave().map(Some).unwrap()), ["2@0"]);
}
