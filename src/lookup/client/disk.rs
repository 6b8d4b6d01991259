//! The cache on disk, for one engine: read when the first query begins, before its first row.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::super::cache::{Cache, Kept};
use super::super::config::{CacheConfig, LookupConfig};
use super::super::persist::{Persist, default_directory};
use super::super::{Completions, LookupRequest};
use crate::error::Result;

#[derive(Debug)]
enum State {
    Unread,
    /// Those who wait until it is read.
    Reading(Vec<Arc<Completions>>),
    Read,
}

/// The file of a cache and whether it was read.
#[derive(Debug)]
pub(super) struct Disk {
    file: Arc<Persist>,
    state: Arc<Mutex<State>>,
}

/// However reading ends: nobody waits for ever.
struct Settles(Arc<Mutex<State>>);

impl Drop for Settles {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Read);
        if let State::Reading(waiting) = before {
            waiting.iter().for_each(|completions| completions.wake());
        }
    }
}

impl Disk {
    /// That of a table, if it wants one.
    pub(super) fn of(config: &LookupConfig, request: &LookupRequest) -> Result<Option<Self>> {
        let CacheConfig::Partial(partial) = &config.cache else { return Ok(None) };
        if !partial.persist {
            return Ok(None);
        }
        let directory = match &partial.directory {
            Some(directory) => PathBuf::from(directory),
            None => default_directory()?,
        };
        let file = Arc::new(Persist::new(request, &directory)?);
        file.note();
        Ok(Some(Self { file, state: Arc::new(Mutex::new(State::Unread)) }))
    }

    /// Whether the file was read; the first call begins with it, and all who ask meanwhile are woken.
    pub(super) fn ready(&self, cache: &Arc<Cache>, completions: &Arc<Completions>, runtime: &Handle) -> bool {
        let mut state = self.state.lock();
        match &mut *state {
            State::Read => return true,
            State::Reading(waiting) => {
                if !waiting.iter().any(|w| Arc::ptr_eq(w, completions)) {
                    waiting.push(completions.clone());
                }
                return false;
            }
            State::Unread => *state = State::Reading(vec![completions.clone()]),
        }
        drop(state);
        let (file, cache, settles) = (self.file.clone(), cache.clone(), Settles(self.state.clone()));
        runtime.spawn_blocking(move || {
            file.open(&cache);
            drop(settles);
        });
        false
    }

    pub(super) fn put(&self, rows: &RecordBatch, kept: Vec<Kept>) {
        self.file.put(rows, kept);
    }

    pub(super) fn remove(&self, key: Option<&[u8]>) {
        self.file.remove(key);
    }

    pub(super) fn close(&self) {
        self.file.close();
    }
}
