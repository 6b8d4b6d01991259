//! Jobs: tasks that run one pipeline, their life cycle and their figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::flow::Mailbox;

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// Tasks run.
    Running,
    /// All input was processed.
    Finished,
    /// Stopped by the user.
    Cancelled,
    /// Stopped by an error.
    Failed(Error),
}

/// Counters that tasks add to, a chunk at a time.
#[derive(Debug, Default)]
pub struct JobMetrics {
    /// Rows read by sources.
    pub rows_in: AtomicU64,
    /// Rows handed to sinks.
    pub rows_out: AtomicU64,
    /// Bytes of input consumed.
    pub bytes_in: AtomicU64,
    /// Bytes of input in total, 0 when it is not known.
    pub bytes_total: AtomicU64,
    /// Records left out because they could not be decoded and the table says so.
    pub records_skipped: AtomicU64,
}

impl JobMetrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// A running or ended pipeline.
#[derive(Debug)]
pub struct Job {
    /// Number in the session, from 1.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Counters.
    pub metrics: Arc<JobMetrics>,
    /// The lookups of the job: table name (or alias) and counters.
    pub lookups: Vec<(String, Arc<crate::lookup::LookupMetrics>)>,
    /// When it started.
    pub started: std::time::Instant,
    state: Mutex<JobState>,
    changed: Condvar,
    mailboxes: Mutex<Vec<Mailbox>>,
}

impl Job {
    /// A running job without tasks yet.
    pub(crate) fn new(
        id: u64,
        name: String,
        lookups: Vec<(String, Arc<crate::lookup::LookupMetrics>)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            name,
            metrics: Arc::default(),
            lookups,
            started: std::time::Instant::now(),
            state: Mutex::new(JobState::Running),
            changed: Condvar::new(),
            mailboxes: Mutex::default(),
        })
    }

    /// Adds the mailbox of a task, so that [`Job::cancel`] reaches it.
    pub(crate) fn register(&self, mailbox: Mailbox) {
        self.mailboxes.lock().push(mailbox);
    }

    /// Ends the job; the first end counts.
    pub(crate) fn end(&self, state: JobState) {
        let mut current = self.state.lock();
        if *current == JobState::Running {
            *current = state;
            self.changed.notify_all();
        }
    }

    /// State now.
    pub fn state(&self) -> JobState {
        self.state.lock().clone()
    }

    /// Tells the tasks to stop; [`Job::wait`] returns when they have.
    pub fn cancel(&self) {
        for mailbox in self.mailboxes.lock().iter() {
            mailbox.cancel();
        }
    }

    /// Waits for the end.
    pub fn wait(&self) -> JobState {
        let mut state = self.state.lock();
        while *state == JobState::Running {
            self.changed.wait(&mut state);
        }
        state.clone()
    }

    /// Waits for the end, at most so long; `None` when it still runs.
    pub fn wait_for(&self, timeout: Duration) -> Option<JobState> {
        let mut state = self.state.lock();
        if *state == JobState::Running {
            self.changed.wait_for(&mut state, timeout);
        }
        (*state != JobState::Running).then(|| state.clone())
    }

    /// Waits for the end; a failure is an error, a cancellation too.
    pub fn result(&self) -> Result<()> {
        match self.wait() {
            JobState::Failed(e) => Err(e),
            JobState::Cancelled => Err(Error::cancelled()),
            JobState::Running | JobState::Finished => Ok(()),
        }
    }
}
