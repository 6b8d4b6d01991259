//! What each step of a job has done so far.

pub mod lookup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::lookup::LookupMetrics;
use super::message::Watermark;

/// Counters of one source, operator or sink, added up over its tasks, a chunk at a time.
#[derive(Debug)]
pub struct StageMetrics {
    /// Number of its fragment in the job; the steps of a fragment run on the same threads.
    pub fragment: usize,
    /// What it is called, as in [`crate::flow::Operator::name`]; `Source`, `Sink`.
    pub name: &'static str,
    /// What EXPLAIN prints after the name.
    pub detail: String,
    /// Counters of the lookup that it does.
    pub lookup: Option<Arc<LookupMetrics>>,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    busy_nanos: AtomicU64,
    blocked_nanos: AtomicU64,
    /// Bytes of state of each task; `u64::MAX` where it has none.
    state: Vec<AtomicU64>,
    /// The last watermark of each task.
    watermarks: Vec<AtomicI64>,
    /// Records between each split's position and its end, where the source knows.
    behind: Mutex<BTreeMap<String, u64>>,
}

impl StageMetrics {
    /// Of a step that runs in this many tasks.
    pub(crate) fn new(fragment: usize, name: &'static str, detail: String, tasks: usize) -> Self {
        Self {
            fragment,
            name,
            detail,
            lookup: None,
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            blocked_nanos: AtomicU64::new(0),
            state: (0..tasks).map(|_| AtomicU64::new(u64::MAX)).collect(),
            watermarks: (0..tasks).map(|_| AtomicI64::new(i64::MIN)).collect(),
            behind: Mutex::default(),
        }
    }

    /// With the counters of the lookup that it does.
    pub(crate) fn with_lookup(mut self, lookup: Option<Arc<LookupMetrics>>) -> Self {
        self.lookup = lookup;
        self
    }

    /// Adds what one call took and gave.
    pub(crate) fn add(&self, rows_in: usize, rows_out: usize, busy: Duration) {
        // Most calls move no rows at one end: an addition is a locked instruction.
        if rows_in > 0 {
            self.rows_in.fetch_add(rows_in as u64, Ordering::Relaxed);
        }
        if rows_out > 0 {
            self.rows_out.fetch_add(rows_out as u64, Ordering::Relaxed);
        }
        self.busy_nanos.fetch_add(busy.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Adds time in which it had something to read and the next step took nothing.
    pub(crate) fn add_blocked(&self, blocked: Duration) {
        self.blocked_nanos.fetch_add(blocked.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Sets how much memory the state of a task takes.
    pub fn note_state(&self, task: usize, bytes: u64) {
        if let Some(state) = self.state.get(task) {
            state.store(bytes, Ordering::Relaxed);
        }
    }

    /// Sets how many records of a split of a source are there and not read yet.
    pub fn note_behind(&self, split: &str, records: u64) {
        let mut behind = self.behind.lock();
        match behind.get_mut(split) {
            Some(known) => *known = records,
            None => drop(behind.insert(split.to_string(), records)),
        }
    }

    /// Records that are there and not read yet, by split, where the source knows.
    pub fn behind(&self) -> BTreeMap<String, u64> {
        self.behind.lock().clone()
    }

    /// The same over all splits; `None` where the source does not know.
    pub fn behind_total(&self) -> Option<u64> {
        self.behind.lock().values().copied().reduce(u64::saturating_add)
    }

    pub(crate) fn note_watermark(&self, task: usize, watermark: Watermark) {
        if let Some(last) = self.watermarks.get(task) {
            last.store(watermark.millis(), Ordering::Relaxed);
        }
    }

    /// Rows it was given; 0 for a source.
    pub fn rows_in(&self) -> u64 {
        self.rows_in.load(Ordering::Relaxed)
    }

    /// Rows it gave; 0 for a sink.
    pub fn rows_out(&self) -> u64 {
        self.rows_out.load(Ordering::Relaxed)
    }

    /// Time spent in it, over all tasks, without the steps after it.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    /// Time, over all tasks, in which it could have read but the next step had no room; of sources and of
    /// what receives from other tasks.
    pub fn blocked(&self) -> Duration {
        Duration::from_nanos(self.blocked_nanos.load(Ordering::Relaxed))
    }

    /// Bytes of state in all tasks; `None` where it keeps none or does not report it.
    pub fn state_bytes(&self) -> Option<u64> {
        let told = self.state.iter().map(|s| s.load(Ordering::Relaxed)).filter(|&bytes| bytes != u64::MAX);
        told.reduce(u64::saturating_add)
    }

    /// The task whose watermark is before that of the others, if they differ, and its watermark.
    pub fn last_task(&self) -> Option<(usize, Option<i64>)> {
        let marks: Vec<i64> = self.watermarks.iter().map(|w| w.load(Ordering::Relaxed)).collect();
        let (task, least) = marks.iter().enumerate().min_by_key(|(_, mark)| **mark)?;
        marks
            .iter()
            .any(|mark| mark != least)
            .then_some((task, Some(*least).filter(|&mark| mark != i64::MIN)))
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.watermarks.len()
    }

    /// The watermark that all tasks have emitted (a sink: seen), in milliseconds since the epoch; `i64::MAX`
    /// behind the last row, `None` before the first watermark.
    pub fn watermark_millis(&self) -> Option<i64> {
        let least = self.watermarks.iter().map(|w| w.load(Ordering::Relaxed)).min();
        least.filter(|&w| w != i64::MIN)
    }
}
