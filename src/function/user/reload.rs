//! `'reload' = 'on-change'`: a function whose file is edited under a running job becomes the new one between two calls.
//!
//! ```text
//!   call ── a second since the last look? ── files as they were ──> the caller that holds
//!                                  └── other ── load on a thread beside ── same signature: swapped
//!                                                                     └── does not load: the old one stays, and it is said
//! ```
//! Calls under way end with the code that they began with. Only functions whose calls wait are reloaded: what they gave for
//! a row is remembered where rows are taken back, so that new code takes nothing back that was never given.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;
use parking_lot::{Mutex, RwLock};

use super::UserFunction;
use super::caller::{CallContext, Caller, Results};
use crate::lookup::{BoxFuture, Failure};

/// How often files are looked at, when there are calls.
const LOOK: Duration = Duration::from_secs(1);

/// When a file was written, and how long it is; `None`: it is not there.
type Stamp = Vec<Option<(SystemTime, u64)>>;

struct Seen {
    next: Instant,
    stamp: Stamp,
    loading: bool,
}

/// A caller that follows the files of its function.
pub(super) struct Reloading(Arc<Inner>);

struct Inner {
    caller: RwLock<Arc<dyn Caller>>,
    function: Mutex<Arc<UserFunction>>,
    context: CallContext,
    files: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

impl Reloading {
    pub(super) fn new(
        caller: Arc<dyn Caller>,
        function: Arc<UserFunction>,
        context: CallContext,
        files: Vec<PathBuf>,
    ) -> Self {
        let seen = Seen { next: Instant::now() + LOOK, stamp: stamp(&files), loading: false };
        Self(Arc::new(Inner {
            caller: RwLock::new(caller),
            function: Mutex::new(function),
            context,
            files,
            seen: Mutex::new(seen),
        }))
    }
}

fn stamp(files: &[PathBuf]) -> Stamp {
    let of = |file: &PathBuf| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    files.iter().map(of).collect()
}

impl Inner {
    /// Whether the files are others than those that were loaded last.
    fn has_changed(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock();
        if now < seen.next || seen.loading {
            return false;
        }
        seen.next = now + LOOK;
        let stamp = stamp(&self.files);
        if stamp == seen.stamp {
            return false;
        }
        seen.stamp = stamp;
        seen.loading = true;
        true
    }

    /// Loads the files anew. Blocks.
    fn load(&self) {
        let before = self.function.lock().clone();
        let loaded = before.reloaded().and_then(|function| {
            if let Some(other) = other_signature(&before, &function) {
                return Err(crate::error::Error::plan(other));
            }
            let function = Arc::new(function);
            let caller = function.plain_caller(&self.context)?;
            Ok((function, caller))
        });
        match loaded {
            Ok((function, caller)) => {
                *self.caller.write() = caller;
                *self.function.lock() = function;
                log::info!("function '{}': its file has changed, calls go to the new code", before.name);
            }
            Err(e) => log::warn!(
                "function '{}': its file has changed and is not taken, the code before stays: {}{}",
                before.name,
                e.message(),
                e.detail().map(|d| format!(" ({d})")).unwrap_or_default()
            ),
        }
        self.seen.lock().loading = false;
    }
}

/// What running jobs cannot follow.
fn other_signature(before: &UserFunction, after: &UserFunction) -> Option<String> {
    let types = |f: &UserFunction| f.parameters.iter().map(|p| p.data_type.clone()).collect::<Vec<_>>();
    if types(before) != types(after) || before.returns != after.returns {
        return Some(format!("it is {} now, and jobs run with {}", after.signature(), before.signature()));
    }
    (before.waits() != after.waits() || before.aggregate != after.aggregate)
        .then(|| "it is a function of another kind now".to_string())
}

impl Caller for Reloading {
    fn call(&self, arguments: RecordBatch) -> BoxFuture<Result<Results, Failure>> {
        if self.0.has_changed(Instant::now()) {
            let inner = self.0.clone();
            self.0.context.runtime.spawn_blocking(move || inner.load());
        }
        let caller = self.0.caller.read().clone();
        let call = caller.call(arguments);
        Box::pin(async move {
            // It lives until its calls have ended.
            let _caller = caller;
            call.await
        })
    }

    fn max_rows(&self) -> usize {
        self.0.caller.read().max_rows()
    }

    fn max_calls(&self) -> Option<usize> {
        self.0.caller.read().max_calls()
    }

    fn describe(&self) -> String {
        format!("{}, reloaded on change", self.0.caller.read().describe())
    }
}
