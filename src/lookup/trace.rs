//! What a request looked like, for EXPLAIN LOOKUP: noted by whoever sends it, if somebody listens.

use std::sync::Arc;

use parking_lot::Mutex;

/// Label and text of what happened, in order; without secrets.
pub(crate) type Notes = Arc<Mutex<Vec<(&'static str, String)>>>;

tokio::task_local! {
    static NOTES: Notes;
}

/// Runs a request whose steps are noted.
pub(super) async fn listen<T>(notes: Notes, request: impl Future<Output = T>) -> T {
    NOTES.scope(notes, request).await
}

/// Notes a step; `text` is made only where somebody listens, and holds no secret.
pub(crate) fn note(label: &'static str, text: impl FnOnce() -> String) {
    // Nobody listens in a job.
    let _ = NOTES.try_with(|notes| notes.lock().push((label, text())));
}
