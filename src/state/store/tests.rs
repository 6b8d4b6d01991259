#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::faults::{Fault, FaultyDisk};
use super::*;

#[cfg(feature = "s3")]
mod s3;

fn text(store: &dyn Store, path: &str) -> Option<String> {
    store.get(path).unwrap().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// What every store does.
fn behaves(store: &dyn Store) {
    assert_eq!(store.get("a/b").unwrap(), None);
    assert_eq!(store.read("a/b", 0..3).unwrap(), None);
    assert!(store.list("").unwrap().is_empty());
    store.put("a/b", "one".into()).unwrap();
    store.put("a/b", "second".into()).unwrap();
    assert_eq!(text(store, "a/b").unwrap(), "second");
    assert_eq!(store.read("a/b", 1..4).unwrap().unwrap(), "eco");
    assert!(store.create("a/c", "third".into()).unwrap());
    assert!(!store.create("a/c", "other".into()).unwrap());
    assert_eq!(text(store, "a/c").unwrap(), "third");
    store.put("d", "".into()).unwrap();
    assert_eq!(store.list("").unwrap(), ["a/b", "a/c", "d"]);
    assert_eq!(store.list("a/c").unwrap(), ["a/c"]);
    assert_eq!(store.sizes("a/").unwrap().into_values().collect::<Vec<_>>(), [6, 5]);
    let part = store.under("a");
    assert_eq!(part.list("").unwrap(), ["b", "c"]);
    assert_eq!(text(&*part, "c").unwrap(), "third");
    store.delete("a/c").unwrap();
    store.delete("a/c").unwrap();
    assert_eq!(store.list("a/").unwrap(), ["a/b"]);
    let large = Bytes::from((0..20_000_000_u32).map(|i| i as u8).collect::<Vec<_>>());
    store.put("large", large.clone()).unwrap();
    assert_eq!(store.get("large").unwrap().unwrap(), large);
    assert_eq!(store.read("large", 3..18_000_000).unwrap().unwrap(), large[3..18_000_000]);
    for path in ["", "/a", "a//b", "a/../b"] {
        assert!(store.put(path, "".into()).is_err(), "{path}");
    }
}

#[test]
fn a_directory_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    behaves(&local::LocalStore::new(folder.path().join("deep/er")));
    behaves(&*FaultyDisk::default().store("/deep/er"));
}

#[cfg(feature = "s3")]
#[test]
fn an_object_store_is_a_store() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let memory = Arc::new(::object_store::memory::InMemory::new());
    for path in ["", "some/where"] {
        let store =
            objects::ObjectStore::new(memory.clone(), runtime.handle(), "s3://bucket".to_string(), path);
        behaves(&store);
        store.list("").unwrap().iter().for_each(|path| store.delete(path).unwrap());
    }
}

#[test]
fn one_process_has_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = || local::LocalStore::new(folder.path());
    let first = store();
    let lock = first.lock().unwrap();
    let e = store().lock().unwrap_err();
    assert!(e.message().ends_with("are in use by another job"), "{e}");
    std::fs::write(folder.path().join(".x.17.0.tmp"), "half").unwrap();
    std::fs::write(folder.path().join(".hidden"), "not ours").unwrap();
    drop(lock);
    drop(store().lock().unwrap());
    assert!(!folder.path().join(".x.17.0.tmp").exists() && folder.path().join(".hidden").exists());
}

#[test]
fn urls_name_stores() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = |url: &str| super::open(url, runtime.handle());
    assert_eq!(open("some/where").unwrap().describe(), "some/where");
    assert_eq!(open("file:///some/where%20else").unwrap().describe(), "/some/where else");
    let e = open("ftp://user:word@host/x").unwrap_err();
    assert_eq!(e.message(), "checkpoints cannot be kept in a store of the kind 'ftp'");
    assert!(open(" ").is_err());
    assert!(open("file://host/x").is_err());
    #[cfg(feature = "s3")]
    {
        let e = open("s3://id:hidden@bucket/x").unwrap_err().to_string();
        assert!(e.contains("has credentials in it") && !e.contains("hidden"), "{e}");
        let e = open("s3://bucket/x?endpoint=y").unwrap_err().to_string();
        assert!(e.contains("AWS_ENDPOINT_URL"), "{e}");
        assert!(open("s3:///x").is_err());
        let store = open("s3://bucket/some/where/").unwrap();
        assert_eq!(store.describe(), "s3://bucket/some/where");
        assert_eq!(format!("{:?}", store.under("job")), "ObjectStore(s3://bucket/some/where/job)");
    }
    #[cfg(not(feature = "s3"))]
    assert!(open("s3://bucket/x").unwrap_err().message().contains("without S3"));
}

/// At every step of replacing an object every fault leaves the old one or the new one, whole; and the new one if
/// the store said so.
#[test]
fn an_object_is_never_half_there() {
    let names = ["a/old", "b/new"];
    for fault in [Fault::Crash, Fault::Full, Fault::Fails, Fault::FailsLate] {
        for (name, create) in [(names[0], false), (names[1], false), (names[1], true)] {
            for step in 0.. {
                let disk = FaultyDisk::default();
                let store = disk.store("/x");
                store.put(names[0], "before".into()).unwrap();
                disk.fault(step, fault);
                let steps = disk.steps();
                let done = match create {
                    true => store.create(name, "after!".into()).map(|done| assert!(done)),
                    false => store.put(name, "after!".into()),
                };
                if disk.steps() <= steps + step {
                    assert!(step > 4);
                    break;
                }
                for seed in 0..16 {
                    let store = match fault {
                        Fault::Crash => {
                            disk.restart(seed);
                            disk.store("/x")
                        }
                        _ if seed == 0 => disk.store("/x"),
                        _ => continue,
                    };
                    let there = text(&*store, name);
                    let before = (name == names[0]).then_some("before");
                    assert!(
                        there.as_deref() == Some("after!") || done.is_err() && there.as_deref() == before,
                        "{fault:?} at {step}: {there:?}"
                    );
                    assert_eq!(text(&*store, names[0]).map(|t| t.len()), Some(6));
                    drop(store.lock().unwrap());
                    assert!(disk.files().iter().all(|f| f.extension() != Some("tmp".as_ref())));
                }
            }
        }
    }
}

#[test]
fn written_objects_survive_a_loss_of_power() {
    for seed in 0..50 {
        let disk = FaultyDisk::default();
        let store = disk.store("/x/y");
        store.put("a/b/c", "1".into()).unwrap();
        assert!(store.create("a/d", "2".into()).unwrap());
        disk.restart(seed);
        let store = disk.store("/x/y");
        assert_eq!((text(&*store, "a/b/c"), text(&*store, "a/d")), (Some("1".into()), Some("2".into())));
        disk.rot(Path::new("/x/y/a/d"), 0);
        assert_ne!(text(&*store, "a/d"), Some("2".into()));
    }
}
