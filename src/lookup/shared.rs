//! What lookups of several queries share: engines, by table.
//!
//! ```text
//!  job 1  JOIN k ─ Lookup ─┐
//!  job 2  JOIN k ─ Lookup ─┼─> Engine of k by id ── cache, flights, errors
//!  SELECT JOIN k ─ Lookup ─┘        │ kept for the next query
//!                            DROP, ALTER: forgotten
//! ```
//! - **A PARTIAL cache holds whole rows**: all declared columns, unfiltered, whatever a query reads of them. So every
//!   query by the same key finds what another one asked for. The price is that columns that nobody reads are decoded,
//!   too, once for each answer.
//! - Engines are told apart by the table (its definition, with the options of an OPTIONS hint), the key columns, the
//!   metadata columns that are read, and how they ask. Order, capacity and time-outs are each query's own.
//! - Without a cache nothing is shared but the limits of the endpoint. A FULL cache is loaded for its job: one that
//!   is never loaded again would show the next query what a file held long ago.
//! - An engine outlives its queries until its table is dropped or changed, or `KEPT` others were used since.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::client::{Engine, Lookup};
use super::config::{CacheConfig, LookupConfig};
use super::retry::Backoff;
use super::{Backend, LookupMetrics, LookupRequest};
use crate::clock::Clock;
use crate::error::Result;

/// Engines that are kept although no query uses them.
const KEPT: usize = 64;

#[derive(Debug)]
struct Known {
    engine: Weak<Engine>,
    /// Keeps it until the next query.
    kept: Option<Arc<Engine>>,
}

/// The engines of a session, those that were used last at the end.
#[derive(Debug, Default)]
pub struct Lookups {
    known: Mutex<Vec<Known>>,
}

impl Lookups {
    /// A lookup for a reference of a query; by an engine that is there, if one answers for it.
    pub fn lookup(
        &self,
        name: String,
        request: LookupRequest,
        backend: impl FnOnce(&LookupRequest) -> Result<Arc<dyn Backend>>,
        config: LookupConfig,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Lookup>> {
        if !shares(&config) {
            let backend = backend(&request)?;
            return Lookup::new(name, request, backend, config, runtime, clock);
        }
        let mut known = self.known.lock();
        known.retain(|known| known.engine.strong_count() > 0);
        let found = known.iter().enumerate().find_map(|(place, known)| {
            let engine = known.engine.upgrade()?;
            engine.serves(&request, &config).then_some((place, engine))
        });
        let engine = match found {
            Some((place, engine)) => {
                known.remove(place);
                engine
            }
            None => {
                let backend = backend(&request)?;
                let (table, own) = (request.table.name.clone(), config.clone());
                let metrics: Arc<LookupMetrics> = Arc::default();
                let around = (runtime, clock);
                Engine::new(table, request, backend, own, around, Backoff::default(), metrics)?
            }
        };
        known.push(Known { engine: Arc::downgrade(&engine), kept: Some(engine.clone()) });
        let mut kept = known.iter().filter(|known| known.kept.is_some()).count();
        for known in known.iter_mut().filter(|known| known.kept.is_some()) {
            if kept <= KEPT {
                break;
            }
            known.kept = None;
            kept -= 1;
        }
        drop(known);
        Lookup::of(engine, name, config, Arc::default())
    }

    /// The engines of a table, or of all.
    pub(crate) fn of(&self, table: Option<&str>) -> Vec<Arc<Engine>> {
        let engines = self.known.lock();
        let engines = engines.iter().filter_map(|known| known.engine.upgrade());
        engines.filter(|engine| table.is_none_or(|table| engine.table() == table)).collect()
    }

    /// A table is gone or another one: what is known of it is not used again. Jobs that run keep it.
    pub(crate) fn forget(&self, table: &str) {
        let gone = |known: &Known| known.engine.upgrade().is_none_or(|engine| engine.table() == table);
        let mut known = self.known.lock();
        let (gone, left): (Vec<_>, Vec<_>) = known.drain(..).partition(gone);
        *known = left;
        drop(known);
        // Dropped outside of the lock: it cancels what is in flight.
        drop(gone);
    }
}

/// Whether lookups with this configuration share their engine.
pub fn shares(config: &LookupConfig) -> bool {
    matches!(config.cache, CacheConfig::Partial(_))
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
