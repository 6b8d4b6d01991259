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
use crate::state::store::memory;
pub(super) use crate::state::store::memory::Content;
use crate::state::store::{Lock, Store};

/// Objects that requests for may fail; others share them.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryStore {
    objects: memory::MemoryStore,
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
        self.objects.content()
    }

    /// Goes back to what it held.
    pub(super) fn reset(&self, content: Content) {
        self.objects.reset(content);
    }
}

impl Store for MemoryStore {
    fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.edges.pass("a write")?;
        self.objects.put(path, bytes)?;
        self.edges.pass("a write whose answer is lost")
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        self.edges.pass("a write")?;
        if !self.objects.create(path, bytes)? {
            return Ok(false);
        }
        self.edges.pass("a write whose answer is lost")?;
        Ok(true)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.edges.pass("a read")?;
        self.objects.get(path)
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.edges.pass("a read")?;
        self.objects.read(path, range)
    }

    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        self.edges.pass("a listing")?;
        self.objects.sizes(prefix)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.edges.pass("a deletion")?;
        self.objects.delete(path)
    }

    fn describe(&self) -> String {
        self.objects.describe()
    }

    fn under(&self, path: &str) -> Arc<dyn Store> {
        Arc::new(Self { objects: self.objects.part(path), edges: self.edges.clone() })
    }

    fn lock(&self) -> Result<Lock> {
        self.objects.lock()
    }
}
