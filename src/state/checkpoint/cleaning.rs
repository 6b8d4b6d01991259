//! Deleting what is not needed any more: best effort, said once, and never a reason for a job to fail.
//!
//! A store may refuse to delete (rights that only write, a bucket that keeps versions, a file that is protected). Then
//! objects stay, and what does not count any more has to be known by another sign: an object
//! `manifests/through-<number>` says that no manifest up to that number counts.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use super::{Checkpoints, manifest, segment};
use crate::error::{Error, Result};
use crate::state::store::Store;

/// Path of what sinks have begun before there is a checkpoint.
const BEGUN: &str = "begun";
/// Failures after which the rest is left for another time: each may take long.
const FAILURES: usize = 3;
/// Between two tries are fewer checkpoints than two to this power.
const PAUSE: u32 = 6;

/// What could not be deleted.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    /// Paths, and how often each has failed: those that have failed least are tried first.
    stuck: BTreeSet<(u32, String)>,
    reported: bool,
    /// Tries in a row that failed, and checkpoints until the next one.
    failed: u32,
    wait: u32,
}

impl Cleaning {
    /// Deletes objects, or remembers them.
    fn delete(&mut self, store: &dyn Store, paths: impl IntoIterator<Item = String>) {
        self.stuck.extend(paths.into_iter().map(|path| (0, path)));
        if self.stuck.is_empty() {
            return;
        }
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        self.delete_now(store, []);
    }

    /// Tries to delete all, whatever happened before.
    fn delete_now(&mut self, store: &dyn Store, paths: impl IntoIterator<Item = String>) {
        self.stuck.extend(paths.into_iter().map(|path| (0, path)));
        let (mut failures, mut first) = (0, None);
        for (tries, path) in std::mem::take(&mut self.stuck) {
            let deleted = if failures < FAILURES { store.delete(&path).map(|()| true) } else { Ok(false) };
            match deleted {
                Ok(true) => continue,
                Ok(false) => drop(self.stuck.insert((tries, path))),
                Err(e) => {
                    failures += 1;
                    first.get_or_insert(e);
                    self.stuck.insert((tries.saturating_add(1), path));
                }
            }
        }
        match first {
            None => (self.failed, self.wait) = (0, 0),
            Some(e) => {
                // At once, then after ever more checkpoints.
                self.wait = (1 << self.failed.min(PAUSE)) - 1;
                self.failed += 1;
                self.report(store, &e);
            }
        }
    }

    /// Deletes manifests, the oldest first, up to the first failure; whether none is left, now or from before.
    fn delete_in_order(&mut self, store: &dyn Store, epochs: &[u64]) -> bool {
        if self.stuck.iter().any(|(_, path)| manifest::epoch_of(path).is_some()) {
            return false;
        }
        match epochs.iter().try_for_each(|epoch| store.delete(&manifest::path(*epoch))) {
            Ok(()) => true,
            Err(e) => {
                self.report(store, &e);
                false
            }
        }
    }

    fn report(&mut self, store: &dyn Store, e: &Error) {
        if !std::mem::replace(&mut self.reported, true) {
            log::warn!(
                "old checkpoints in '{}' could not be deleted and stay there; this is not said again: {e}",
                store.describe()
            );
        }
    }
}

impl Checkpoints {
    /// Before there is a checkpoint: what the sinks of a job are given that is killed before it has made one.
    pub fn note_begun(&mut self, sinks: &BTreeMap<String, Vec<Value>>) -> Result<()> {
        let bytes = serde_json::to_vec(sinks)
            .map_err(|e| Error::internal(format!("what sinks have begun could not be written: {e}")))?;
        self.store.put(BEGUN, bytes.into())?;
        self.begun = true;
        Ok(())
    }

    /// What was noted by a job that ended before its first checkpoint.
    pub fn begun(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let bytes = self.store.get(BEGUN)?;
        // Another version's, or damaged: then hidden files stay.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Deletes checkpoints that are not retained, and segments that nobody refers to. What cannot be deleted is
    /// tried again some other time.
    pub(super) fn clean(&mut self) {
        let passed = std::mem::take(&mut *self.passed.lock());
        let whole = self.manifests.iter().rev().filter(|(epoch, s)| s.is_some() && !passed.contains(epoch));
        let mut kept: BTreeSet<u64> = whole.map(|(epoch, _)| *epoch).take(self.retained).collect();
        if self.retained > 1 {
            kept.extend(self.spare.filter(|spare| !passed.contains(spare)));
        }
        let mut gone = Vec::new();
        self.manifests.retain(|epoch, _| {
            let keep = kept.contains(epoch);
            if !keep {
                gone.push(manifest::path(*epoch));
            }
            keep
        });
        let mut used = manifest::segments(&self.state);
        used.extend(self.manifests.values().flatten().flatten().cloned());
        let recent = &self.recent;
        self.segments.retain(|name, _| {
            let keep = used.contains(name);
            if !keep {
                recent.forget(name);
                gone.push(segment::path(name));
            }
            keep
        });
        if self.through > 0 {
            self.forget_void();
        }
        if std::mem::take(&mut self.begun) {
            gone.push(BEGUN.to_string());
        }
        self.cleaning.delete(&*self.store, gone);
    }

    /// Deletes manifests that do not count, and what says so when there are none.
    fn forget_void(&mut self) {
        let through = std::mem::take(&mut self.through);
        match void(&*self.store, through) {
            Ok(paths) => self.cleaning.delete(&*self.store, paths),
            Err(e) => log::debug!("old checkpoints could not be listed: {e}"),
        }
    }

    /// Ends the life of all of them: none counts any more when this returns well, even if not all of them, or no
    /// segment, could be deleted.
    pub fn clear(&mut self) -> Result<()> {
        let newest = self.newest_epoch();
        let manifests: Vec<u64> = self.manifests.keys().copied().collect();
        // The oldest first: what is left if this is broken off is the end of the job.
        if !self.cleaning.delete_in_order(&*self.store, &manifests) {
            void_through(&*self.store, newest)
                .map_err(|e| e.with_hint("delete them before the job is run the next time"))?;
            self.through = newest;
            self.cleaning.delete_now(&*self.store, manifests.iter().map(|e| manifest::path(*e)));
        }
        self.manifests.clear();
        let segments = std::mem::take(&mut self.segments).into_keys();
        let mut segments: Vec<String> = segments
            .map(|name| {
                self.recent.forget(&name);
                segment::path(&name)
            })
            .collect();
        if std::mem::take(&mut self.begun) {
            segments.push(BEGUN.to_string());
        }
        self.cleaning.delete_now(&*self.store, segments);
        self.begin();
        Ok(())
    }
}

/// Path of the object which says that no manifest up to this number counts.
fn sign(epoch: u64) -> String {
    format!("manifests/through-{epoch:020}")
}

/// Numbers of the manifests that count, ascending, and the largest number up to which none does.
pub(super) fn epochs(store: &dyn Store) -> Result<(Vec<u64>, u64)> {
    let paths = store.list("manifests/")?;
    let signs = paths.iter().filter_map(|path| path.strip_prefix("manifests/through-")?.parse::<u64>().ok());
    let through = signs.max().unwrap_or(0);
    let epochs = paths.iter().filter_map(|path| manifest::epoch_of(path)).filter(|epoch| *epoch > through);
    Ok((epochs.collect(), through))
}

/// Manifests that do not count; when there are none, the signs that say so.
pub(super) fn void(store: &dyn Store, through: u64) -> Result<Vec<String>> {
    let (signs, mut manifests): (Vec<_>, Vec<_>) =
        store.list("manifests/")?.into_iter().partition(|path| path.starts_with("manifests/through-"));
    manifests.retain(|path| manifest::epoch_of(path).is_some_and(|epoch| epoch <= through));
    Ok(if manifests.is_empty() { signs } else { manifests })
}

/// Says that no manifest up to this number counts.
pub(super) fn void_through(store: &dyn Store, epoch: u64) -> Result<()> {
    store.put(&sign(epoch), Bytes::from_static(b"{}\n"))
}
