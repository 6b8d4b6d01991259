//! A store in memory that can be set back to what it held, and on which a schedule lets requests fail: before they
//! have done anything, or after they have.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::error::{Error, Result};
use crate::state::store::{Lock, Store};

/// Objects by path.
pub(super) type Content = BTreeMap<String, Bytes>;

/// Objects under a prefix; others share them.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryStore {
    prefix: String,
    content: Arc<Mutex<Content>>,
    edges: Edges,
}

/// Requests that fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Edges(Arc<Mutex<Option<(StdRng, u32)>>>);

/// The beginning of the messages of failures that a schedule wants.
const EDGE: &str = "an edge: ";

impl Edges {
    /// From now on one request in so many fails; 0: none.
    pub(super) fn set(&self, seed: u64, one_in: u32) {
        *self.0.lock() = (one_in > 0).then(|| (StdRng::seed_from_u64(seed ^ 0xed9e), one_in));
    }

    /// Fails, if it is time for that.
    pub(super) fn pass(&self, what: &str) -> Result<()> {
        let mut edges = self.0.lock();
        let Some((random, one_in)) = &mut *edges else { return Ok(()) };
        match random.random_ratio(1, *one_in) {
            true => Err(Error::io(format!("{EDGE}{what}"))),
            false => Ok(()),
        }
    }
}

/// Whether a failure is one that the schedule wants.
pub(super) fn is_edge(e: &Error) -> bool {
    e.message().contains(EDGE)
}

impl MemoryStore {
    /// A store whose requests fail with these.
    pub(super) fn with(edges: Edges) -> Self {
        Self { edges, ..Self::default() }
    }

    /// Everything it holds.
    pub(super) fn content(&self) -> Content {
        self.content.lock().clone()
    }

    /// Goes back to what it held.
    pub(super) fn reset(&self, content: Content) {
        *self.content.lock() = content;
    }

    fn full(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl Store for MemoryStore {
    fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.edges.pass("a write")?;
        self.content.lock().insert(self.full(path), bytes);
        self.edges.pass("a write whose answer is lost")
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        self.edges.pass("a write")?;
        let mut content = self.content.lock();
        let path = self.full(path);
        if content.contains_key(&path) {
            return Ok(false);
        }
        content.insert(path, bytes);
        self.edges.pass("a write whose answer is lost")?;
        Ok(true)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.edges.pass("a read")?;
        Ok(self.content.lock().get(&self.full(path)).cloned())
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.edges.pass("a read")?;
        let content = self.content.lock();
        let Some(bytes) = content.get(&self.full(path)) else { return Ok(None) };
        let end = bytes.len().min(range.end as usize);
        Ok(Some(bytes.slice(end.min(range.start as usize)..end)))
    }

    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        self.edges.pass("a listing")?;
        let prefix = self.full(prefix);
        let content = self.content.lock();
        let found = content.iter().filter(|(path, _)| path.starts_with(&prefix));
        Ok(found.map(|(path, bytes)| (path[self.prefix.len()..].to_string(), bytes.len() as u64)).collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.edges.pass("a deletion")?;
        self.content.lock().remove(&self.full(path));
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }

    fn under(&self, path: &str) -> Arc<dyn Store> {
        let prefix = format!("{}{}/", self.prefix, path.trim_end_matches('/'));
        Arc::new(Self { prefix, content: self.content.clone(), edges: self.edges.clone() })
    }

    /// There is one process.
    fn lock(&self) -> Result<Lock> {
        Ok(Lock::none())
    }
}
