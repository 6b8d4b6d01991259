//! What a cache on disk gives back, and what it does not.
#![allow(clippy::unwrap_used)]

use arrow::array::{Array, StringViewArray};

use super::*;
use crate::clock::ManualClock;
use crate::lookup::cache::{Known, Life, Limits};
use crate::lookup::script::{dim_rows, request};

struct Rig {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
    limits: Limits,
}

impl Rig {
    fn new() -> Self {
        let limits = Limits { after_write: Some(Duration::from_secs(60)), ..Limits::default() };
        Self { directory: tempfile::tempdir().unwrap(), clock: ManualClock::new(1_000_000), limits }
    }

    fn path(&self) -> PathBuf {
        self.file().path.clone()
    }

    fn file(&self) -> Persist {
        Persist::new(&request(), self.directory.path()).unwrap()
    }

    /// A cache of a process that starts now.
    fn start(&self) -> (Arc<Cache>, Persist) {
        let file = self.file();
        let cache = Arc::new(Cache::new(request().row_schema(), self.limits, self.clock.clone()));
        file.open(&cache);
        (cache, file)
    }
}

fn keys(keys: &[&str]) -> BinaryViewArray {
    StringViewArray::from(keys.to_vec()).to_binary_view()
}

/// Answers for keys, with so many rows each.
fn put(cache: &Cache, file: &Persist, names: &[&str], rows: u32) {
    let lines: Vec<String> =
        names.iter().flat_map(|name| (0..rows).map(move |n| format!("{name} brand-{n} {n}"))).collect();
    let batch = dim_rows(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let keys = keys(names);
    let life = if rows == 0 { Life::Miss } else { Life::Hit };
    let entries = (0..names.len()).map(|i| (&keys, i, i as u32 * rows..(i as u32 + 1) * rows, life));
    let mut kept = Vec::new();
    cache.insert_noting(&batch, entries, |e| {
        kept.push(Kept { key: e.key.into(), rows: e.rows, expires: e.expires, written: e.written });
    });
    file.put(&batch, kept);
}

/// Rows under a key, `None` if it is not known.
fn rows(cache: &Cache, key: &str) -> Option<usize> {
    match cache.get(&keys(&[key]), 0) {
        Known::Fresh(rows) => {
            assert!((0..rows.num_rows()).all(|row| rows.column(0).is_valid(row)));
            Some(rows.num_rows())
        }
        _ => None,
    }
}

#[test]
fn answers_and_misses_come_back_as_old_as_they_are() {
    let rig = Rig::new();
    let (cache, file) = rig.start();
    put(&cache, &file, &["a", "a key that is longer than a view"], 2);
    put(&cache, &file, &["nothing"], 0);
    file.close();
    rig.clock.advance(40_000);
    let (cache, file) = rig.start();
    assert_eq!(
        ["a", "a key that is longer than a view", "nothing", "other"].map(|k| rows(&cache, k)),
        [Some(2), Some(2), Some(0), None]
    );
    put(&cache, &file, &["later"], 1);
    file.close();
    rig.clock.advance(25_000);
    // The lifetime is that of the answer, not of the start.
    let (cache, file) = rig.start();
    assert_eq!(["a", "nothing", "later"].map(|k| rows(&cache, k)), [None, None, Some(1)]);
    file.close();
}

#[test]
fn a_shorter_lifetime_holds_for_what_is_there_and_a_clock_that_went_back_keeps_nothing() {
    let mut rig = Rig::new();
    let (cache, file) = rig.start();
    put(&cache, &file, &["a"], 1);
    file.close();
    rig.clock.advance(10_000);
    rig.limits.after_write = Some(Duration::from_secs(5));
    let (cache, file) = rig.start();
    assert_eq!(rows(&cache, "a"), None);
    file.close();
    rig.limits.after_write = Some(Duration::from_secs(3600));
    rig.clock = ManualClock::new(0);
    let (cache, file) = rig.start();
    assert_eq!(rows(&cache, "a"), None);
    file.close();
}

#[test]
fn cleared_entries_do_not_come_back_from_disk() {
    let rig = Rig::new();
    let (cache, file) = rig.start();
    put(&cache, &file, &["a", "b", "c"], 1);
    file.remove(Some(b"b"));
    file.close();
    let (cache, file) = rig.start();
    assert_eq!(["a", "b", "c"].map(|k| rows(&cache, k)), [Some(1), None, Some(1)]);
    file.remove(None);
    put(&cache, &file, &["d"], 1);
    file.close();
    let (cache, file) = rig.start();
    assert_eq!(["a", "d"].map(|k| rows(&cache, k)), [None, Some(1)]);
    file.close();
}

#[test]
fn a_damaged_file_is_a_cold_cache() {
    let rig = Rig::new();
    let (cache, file) = rig.start();
    let names: Vec<String> = (0..500).map(|n| format!("key number {n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    put(&cache, &file, &all, 1);
    file.close();
    let whole = std::fs::read(rig.path()).unwrap();
    let mut cold = 0;
    // Wherever it is cut or overwritten: entries are right or gone.
    for step in 0..24 {
        let mut bytes = whole.clone();
        let at = whole.len() * step / 24;
        match step % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at..(at + 64).min(whole.len())].fill(0xa5),
            _ => bytes[at] ^= 0x10,
        }
        std::fs::write(rig.path(), &bytes).unwrap();
        let (cache, file) = rig.start();
        let known = all.iter().filter(|key| rows(&cache, key) == Some(1)).count();
        assert_eq!(known, cache.len());
        for key in &all {
            if let Known::Fresh(found) = cache.get(&keys(&[key]), 0) {
                assert_eq!(found, dim_rows(&[&format!("{key} brand-0 0")]).slice(0, 1), "{step} {key}");
            }
        }
        cold += usize::from(known == 0);
        // It works from there on.
        put(&cache, &file, &["new"], 1);
        file.close();
        let (cache, file) = rig.start();
        assert_eq!(rows(&cache, "new"), Some(1), "{step}");
        file.close();
    }
    assert!(cold > 0, "some of it must have hurt");
}

#[test]
fn an_entry_with_a_wrong_checksum_is_left_out() {
    let rig = Rig::new();
    let (cache, file) = rig.start();
    put(&cache, &file, &["a", "b"], 1);
    file.close();
    let database = Database::create(rig.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(ENTRIES).unwrap();
        let mut value = table.get(&b"a"[..]).unwrap().unwrap().value().to_vec();
        *value.last_mut().unwrap() ^= 1;
        table.insert(&b"a"[..], value.as_slice()).unwrap();
        table.insert(&b"short"[..], &b"x"[..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let (cache, file) = rig.start();
    assert_eq!(["a", "b"].map(|k| rows(&cache, k)), [None, Some(1)]);
    file.close();
}

#[test]
fn another_process_keeps_the_file() {
    let rig = Rig::new();
    let (first, holder) = rig.start();
    let (second, other) = rig.start();
    put(&second, &other, &["b"], 1);
    put(&first, &holder, &["a"], 1);
    other.close();
    holder.close();
    let (cache, file) = rig.start();
    assert_eq!(["a", "b"].map(|k| rows(&cache, k)), [Some(1), None]);
    file.close();
}

#[test]
fn a_folder_that_cannot_be_written_leaves_the_cache_in_memory() {
    let mut rig = Rig::new();
    let blocked = rig.directory.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let file = Persist::new(&request(), &blocked.join("below")).unwrap();
    let cache = Arc::new(Cache::new(request().row_schema(), rig.limits, rig.clock.clone()));
    file.open(&cache);
    put(&cache, &file, &["a"], 1);
    assert_eq!(rows(&cache, "a"), Some(1));
    file.close();
    rig.limits.max_keys = Some(1);
}

#[test]
fn the_file_does_not_grow_beyond_twice_the_cache() {
    let mut rig = Rig::new();
    rig.limits.max_keys = Some(100);
    let (cache, file) = rig.start();
    for chunk in 0..60 {
        let names: Vec<String> = (0..200).map(|n| format!("k{}", chunk * 200 + n)).collect();
        put(&cache, &file, &names.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    }
    file.close();
    let database = Database::create(rig.path()).unwrap();
    let read = database.begin_read().unwrap();
    let entries = read.open_table(ENTRIES).unwrap().len().unwrap();
    assert!(entries <= 2 * 100 + SPARE, "{entries}");
}

#[test]
fn other_answers_have_another_file() {
    let rig = Rig::new();
    let other = LookupRequest { keys: vec![1], ..request() };
    assert_ne!(Persist::new(&other, rig.directory.path()).unwrap().path, rig.path());
    let mut table = (*request().table).clone();
    table.options.set("url", "http://h/2/{id}", Default::default());
    let other = LookupRequest { table: Arc::new(table.clone()), ..request() };
    let url = Persist::new(&other, rig.directory.path()).unwrap().path;
    assert_ne!(url, rig.path());
    // How it is cached and with which secret it is asked makes no difference.
    table.options.set("lookup.partial-cache.max-rows", "7", Default::default());
    table.options.set("http.source.lookup.header.Authorization", "Bearer 1", Default::default());
    let same = LookupRequest { table: Arc::new(table), ..request() };
    assert_eq!(Persist::new(&same, rig.directory.path()).unwrap().path, url);
}
