//! `lookup.error-ttl`: an error answers for its key for a while, so that a key that fails is not asked for with
//! every row.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::answer::Failure;

/// Keys that are kept.
const MOST: usize = 10_000;

/// When an error ends, and the error.
type Kept = (i64, Arc<Failure>);

/// The last errors by key.
#[derive(Debug)]
pub(super) struct Errors {
    millis: i64,
    kept: Mutex<HashMap<Box<[u8]>, Kept>>,
}

impl Errors {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { millis: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX), kept: Mutex::default() }
    }

    /// The error that still answers for a key.
    pub(super) fn get(&self, key: &[u8], now: i64) -> Option<Arc<Failure>> {
        if self.millis == 0 {
            return None;
        }
        let kept = self.kept.lock();
        kept.get(key).filter(|(expires, _)| now < *expires).map(|(_, failure)| failure.clone())
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.kept.lock().clear();
    }

    /// Forgets the error of a key.
    pub(super) fn remove(&self, key: &[u8]) {
        self.kept.lock().remove(key);
    }

    pub(super) fn insert(&self, key: &[u8], failure: &Arc<Failure>, now: i64) {
        if self.millis == 0 {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= MOST {
            kept.retain(|_, (expires, _)| now < *expires);
        }
        if kept.len() < MOST {
            kept.insert(key.into(), (now.saturating_add(self.millis), failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_answer_for_their_time() {
        let errors = Errors::new(Duration::from_secs(1));
        let failure = Arc::new(Failure::other("no"));
        errors.insert(b"a", &failure, 0);
        assert_eq!(errors.get(b"a", 999), Some(failure.clone()));
        assert_eq!((errors.get(b"a", 1000), errors.get(b"b", 0)), (None, None));
        let off = Errors::new(Duration::ZERO);
        off.insert(b"a", &failure, 0);
        assert_eq!(off.get(b"a", 0), None);
    }
}
