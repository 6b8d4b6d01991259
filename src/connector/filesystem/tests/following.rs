//! Files that are followed: new and grown ones, rotation, links, files that vanish.

use super::*;
use crate::connector::filesystem::files::{Empty, Location};
use crate::connector::filesystem::position::{self, Position};

#[test]
fn new_and_growing_files_are_followed() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    let append = |name: &str, text: &str| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(root.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("a", "1\n2\nhal");
    let table = lines(root, &[("source.monitor-interval", "5 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    assert!(!source.bounded());
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["1", "2"]);
    append("b", "3\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["3"]);
    append("a", "f\n4\n");
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["half", "4"]);
    // Rotated: what is known by another name is not read again, the new file is.
    fs::rename(root.join("a"), root.join("a.1")).unwrap();
    append("a", "5\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["5"]);
    fs::write(root.join("packed.gz"), gzip(b"6\n")).unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["6"]);
    append("a.1", "7\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["7"]);
    // Cut short, and written again.
    fs::write(root.join("b"), "").unwrap();
    append("c", "8\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["8"]);
    append("b", "9\n10\n");
    let mut rows = tasks.rows(reader.as_mut(), 1);
    if rows == ["9"] {
        rows.extend(tasks.rows(reader.as_mut(), 1));
    }
    assert_eq!(rows.last().map(String::as_str), Some("10"));
}

#[test]
fn a_chain_of_rotated_logs_is_read_once() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("log"), "2\n").unwrap();
    fs::write(at("log.1"), "1\n").unwrap();
    let table = lines(dir.path(), &[("source.monitor-interval", "5 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["2", "1"]);
    for (round, line) in [(0, "3"), (1, "4"), (2, "5")] {
        for old in (0..=round + 1).rev() {
            let from = if old == 0 { at("log") } else { at(&format!("log.{old}")) };
            fs::rename(from, at(&format!("log.{}", old + 1))).unwrap();
        }
        fs::write(at("log"), format!("{line}\n")).unwrap();
        assert_eq!(tasks.rows(reader.as_mut(), 1), [line]);
    }
}

/// What took the name of a file says nothing about it: it is not read again from its start.
#[test]
fn a_file_renamed_while_positions_are_restored_is_looked_for_again() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("log"), "1\n2\n").unwrap();
    let table = lines(dir.path(), &[("source.monitor-interval", "5 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["1", "2"]);
    let positions = Position::all(&reader.leave().unwrap()).unwrap();
    let location = Location::new(&table).unwrap();
    let listed = location.list(Empty::Gone).unwrap();
    fs::rename(at("log"), at("log.1")).unwrap();
    assert!(position::find(positions.clone(), &listed).unwrap().is_none());
    fs::write(at("log"), "3\n").unwrap();
    assert!(position::find(positions.clone(), &listed).unwrap().is_none());
    let (found, gone) = position::find(positions, &location.list(Empty::Gone).unwrap()).unwrap().unwrap();
    assert!(found.contains_key(&position::text(&at("log.1"))) && gone.is_empty());
}

#[test]
fn a_followed_file_that_was_written_anew_is_read_from_its_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, "1\n2\n").unwrap();
    let table = lines(&path, &[("source.monitor-interval", "5 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["1", "2"]);
    // Copied away, cut short, and longer than before by the next look; then as long as before.
    fs::write(&path, "3\n4\n5\n").unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 3), ["3", "4", "5"]);
    fs::write(&path, "6\n7\n8\n").unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 3), ["6", "7", "8"]);
}

#[test]
fn a_followed_path_keeps_the_file_that_was_renamed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("app.log");
    let old = dir.path().join("app.log.1");
    let append = |path: &Path, text: &str| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(&path, "1\n");
    let table = lines(&path, &[("source.monitor-interval", "5 ms")]);
    let source = Filesystem.source(&request(&table)).unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["1"]);
    // What was written last before the rename is under a name that the path does not cover.
    append(&path, "2\n");
    fs::rename(&path, &old).unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["2"]);
    append(&old, "3\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["3"]);
    append(&path, "4\n");
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["4"]);
}

#[test]
fn links_do_not_double_files() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("b")).unwrap();
    fs::write(root.join("b/x"), "1\n").unwrap();
    fs::write(root.join("y"), "2\n").unwrap();
    std::os::unix::fs::symlink(root, root.join("a")).unwrap();
    std::os::unix::fs::symlink(root, root.join("b/self")).unwrap();
    std::os::unix::fs::symlink(root.join("b"), root.join("aa")).unwrap();
    std::os::unix::fs::symlink(root.join("y"), root.join("latest")).unwrap();
    // Two names of one file are two files of a folder, as tools that spare space make them.
    fs::hard_link(root.join("y"), root.join("z")).unwrap();
    assert_eq!(read_lines(&lines(root, &[])).unwrap(), ["1", "2", "2"]);
    let pattern = lines(&root.join("*"), &[]);
    assert_eq!(read_lines(&pattern).unwrap(), ["1", "2", "2"]);
    // Each way through the links would be a path of its own here.
    for (pattern, expected) in
        [("**", &["1", "2", "2"][..]), ("**/x", &["1"]), ("**/b", &["1"]), ("a/**/y", &["2"])]
    {
        assert_eq!(read_lines(&lines(&root.join(pattern), &[])).unwrap(), expected, "{pattern}");
    }
    let e = read_lines(&lines(&root.join("**/none"), &[])).unwrap_err();
    assert!(e.message().starts_with("no file matches"), "{e}");
    // Outside of the folder a link is the only way.
    let links = TempDir::new().unwrap();
    std::os::unix::fs::symlink(root.join("b"), links.path().join("there")).unwrap();
    std::os::unix::fs::symlink(root.join("y"), links.path().join("it")).unwrap();
    assert_eq!(read_lines(&lines(links.path(), &[])).unwrap(), ["2", "1"]);
}

#[test]
fn a_file_that_vanishes_or_is_renamed_before_it_is_opened() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for name in ["a", "b", "c"] {
        fs::write(root.join(name), format!("{name}\n")).unwrap();
    }
    let source = Filesystem.source(&request(&lines(root, &[]))).unwrap();
    fs::remove_file(root.join("a")).unwrap();
    fs::rename(root.join("b"), root.join("b.1")).unwrap();
    fs::rename(root.join("c"), root.join(".hidden")).unwrap();
    fs::write(root.join("c"), "new\n").unwrap();
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert_eq!(tasks.rows(reader.as_mut(), 2), ["b", "c"]);
    assert!(matches!(reader.read().unwrap(), Read::End));
    let source = Filesystem.source(&request(&lines(&root.join("c"), &[]))).unwrap();
    fs::remove_file(root.join("c")).unwrap();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert!(reader.read().unwrap_err().message().contains("was removed"));
}

#[test]
fn a_followed_csv_keeps_its_open_quote() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.csv");
    fs::write(&path, "s\n\"a\nb").unwrap();
    let options = [("format", "csv"), ("csv.skip-header", "true"), ("source.monitor-interval", "5 ms")];
    let table = table(vec![physical("s", SqlType::String)], &[], &path, &options);
    let source = Filesystem.source(&request(&table)).unwrap();
    assert_eq!(source.max_parallelism(), 1);
    let tasks = Tasks::new();
    let mut reader = tasks.reader(source.as_ref(), 0, 1);
    assert!(matches!(reader.read().unwrap(), Read::Pending));
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\nc\"\n").unwrap();
    assert_eq!(tasks.rows(reader.as_mut(), 1), ["a\nb\nc"]);
}
