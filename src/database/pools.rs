//! Pools that all tables of one database share.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::JdbcUrl;
use crate::error::Result;

/// The pools of one kind of database, by the URL with its login; a pool lives as long as a table uses it.
pub(super) struct Pools<T>(Mutex<HashMap<[u8; 32], Weak<T>>>);

impl<T> Default for Pools<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pools<T> {
    /// The pool of a URL, made by `make` where there is none.
    pub(super) fn shared(&self, url: &JdbcUrl, make: impl FnOnce(&JdbcUrl) -> Result<T>) -> Result<Arc<T>> {
        // Passwords are part of the identity: a digest keeps them out of memory that outlives their use.
        let identity: [u8; 32] = Sha256::digest(url.identity()).into();
        let mut known = self.0.lock();
        known.retain(|_, pool| pool.strong_count() > 0);
        if let Some(pool) = known.get(&identity).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        let pool = Arc::new(make(url)?);
        known.insert(identity, Arc::downgrade(&pool));
        Ok(pool)
    }
}
