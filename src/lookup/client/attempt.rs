//! Attempts: one after the other until one counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::super::answer::{Answer, Failure, FailureKind, Outcome};
use super::super::metrics::LookupMetrics;
use super::Shared;
use super::flight::Flight;

impl Shared {
    /// The answer for one key, after as many attempts as it takes. `first` is the first attempt, if it is
    /// on its way already.
    pub(super) async fn answer(
        self: Arc<Self>,
        flight: &Flight,
        key: RecordBatch,
        mut first: Option<oneshot::Receiver<Result<RecordBatch, Failure>>>,
    ) -> Arc<Answer> {
        let (mut failed, mut empty) = (0u32, 0u32);
        loop {
            flight.attempted();
            match self.attempt(&key, first.take()).await {
                Ok(rows) if rows.num_rows() > 0 => {
                    return Arc::new(Answer { outcome: Outcome::Ok, rows });
                }
                Ok(_) => {
                    match self.config.retry_miss {
                        Some((attempts, delay)) if empty < attempts => sleep(delay).await,
                        _ => {
                            LookupMetrics::add(&self.metrics.not_found, 1);
                            return self.miss.clone();
                        }
                    }
                    empty += 1;
                }
                Err(failure) => {
                    LookupMetrics::add(&self.metrics.failures, 1);
                    flight.failed(&failure);
                    if !failure.retryable || failed >= self.config.max_retries {
                        let rows = self.miss.rows.clone();
                        LookupMetrics::add(&self.metrics.errors, 1);
                        return Arc::new(Answer { outcome: Outcome::Error(failure), rows });
                    }
                    failed += 1;
                    sleep(self.backoff.delay(failed, failure.retry_after)).await;
                }
            }
            LookupMetrics::add(&self.metrics.retries, 1);
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        key: &RecordBatch,
        queued: Option<oneshot::Receiver<Result<RecordBatch, Failure>>>,
    ) -> Result<RecordBatch, Failure> {
        let Some(batcher) = &self.batcher else {
            return self.call(key.clone()).await.pop().unwrap_or_else(|| Err(incomplete(1, 0)));
        };
        let answer = queued.unwrap_or_else(|| {
            let receiver = batcher.queue(key.clone());
            batcher.pump(self);
            receiver
        });
        answer.await.unwrap_or_else(|_| Err(incomplete(1, 0)))
    }

    /// One request; one result for each key.
    pub(super) async fn call(&self, keys: RecordBatch) -> Vec<Result<RecordBatch, Failure>> {
        let count = keys.num_rows();
        let metrics = &self.metrics;
        LookupMetrics::add(&metrics.calls, 1);
        metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        let _landed = Landed(&metrics.in_flight);
        let start = Instant::now();
        let mut results = self.backend.lookup(keys).await;
        let micros = start.elapsed().as_micros();
        metrics.record_latency(u64::try_from(micros).unwrap_or(u64::MAX));
        if results.len() != count {
            let wrong = incomplete(count, results.len());
            return vec![Err(wrong); count];
        }
        for result in &mut results {
            if let Ok(rows) = result
                && !Arc::ptr_eq(rows.schema_ref(), &self.request.schema)
                && !self.fits(rows)
            {
                *result = Err(Failure {
                    kind: FailureKind::Decode,
                    message: "the answer has other columns than the table".into(),
                    retry_after: None,
                    retryable: false,
                });
            }
        }
        results
    }

    fn fits(&self, rows: &RecordBatch) -> bool {
        let expected = self.request.schema.fields().iter().map(|f| f.data_type());
        rows.schema_ref().fields().iter().map(|f| f.data_type()).eq(expected)
    }
}

/// Counts an attempt as ended, also when it was cancelled.
struct Landed<'a>(&'a std::sync::atomic::AtomicU64);

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn incomplete(asked: usize, answered: usize) -> Failure {
    Failure {
        kind: FailureKind::Other,
        message: format!("{asked} keys were asked for, and {answered} answers came"),
        retry_after: None,
        retryable: false,
    }
}
