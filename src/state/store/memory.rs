//! A store in memory: for `affluent test`, whose jobs are killed and come back in one process, and for simulations.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Lock, Store};
use crate::error::Result;

/// Objects by path.
pub(crate) type Content = BTreeMap<String, Bytes>;

/// Objects under a prefix; others share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    prefix: String,
    content: Arc<Mutex<Content>>,
}

impl MemoryStore {
    /// The part under a path.
    pub(crate) fn part(&self, path: &str) -> Self {
        let prefix = format!("{}{}/", self.prefix, path.trim_end_matches('/'));
        Self { prefix, content: self.content.clone() }
    }

    fn full(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

#[cfg(test)]
impl MemoryStore {
    /// Everything it holds.
    pub(crate) fn content(&self) -> Content {
        self.content.lock().clone()
    }

    /// Goes back to what it held.
    pub(crate) fn reset(&self, content: Content) {
        *self.content.lock() = content;
    }
}

impl Store for MemoryStore {
    fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.content.lock().insert(self.full(path), bytes);
        Ok(())
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        let mut content = self.content.lock();
        let path = self.full(path);
        if content.contains_key(&path) {
            return Ok(false);
        }
        content.insert(path, bytes);
        Ok(true)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>> {
        Ok(self.content.lock().get(&self.full(path)).cloned())
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let content = self.content.lock();
        let Some(bytes) = content.get(&self.full(path)) else { return Ok(None) };
        let end = bytes.len().min(usize::try_from(range.end).unwrap_or(usize::MAX));
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        Ok(Some(bytes.slice(end.min(start)..end)))
    }

    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let prefix = self.full(prefix);
        let content = self.content.lock();
        let found = content.iter().filter(|(path, _)| path.starts_with(&prefix));
        Ok(found.map(|(path, bytes)| (path[self.prefix.len()..].to_string(), bytes.len() as u64)).collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.content.lock().remove(&self.full(path));
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }

    fn under(&self, path: &str) -> Arc<dyn Store> {
        Arc::new(self.part(path))
    }

    /// There is one process.
    fn lock(&self) -> Result<Lock> {
        Ok(Lock::none())
    }
}
