//! The session in asynchronous programs.
//!
//! Planning takes processor time and looks at files, so a statement is executed on its own thread; the future waits for it.
//! A future that is dropped does not undo its statement: a job that it started runs on, a query is cancelled.

use std::future::Future;

use futures::channel::oneshot;

use super::{QueryResult, Response, Session};
use crate::error::{Error, Result};
use crate::sql::Statement;

/// The result of `work`, done on its own thread.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("affluent-statement".into()).spawn(move || {
        // Nobody may wait any more.
        let _ = sender.send(work());
    })?;
    receiver.await.unwrap_or_else(|_| Err(Error::internal("the thread of a statement panicked")))
}

impl Session {
    /// [`Session::execute`] for asynchronous programs.
    pub fn execute_async(
        &self,
        statement: &Statement,
    ) -> impl Future<Output = Result<Response>> + Send + use<> {
        let (session, statement) = (self.clone(), statement.clone());
        elsewhere(move || session.execute(&statement))
    }

    /// [`Session::sql`] for asynchronous programs.
    ///
    /// ```
    #[doc = include_str!("../../tests/embedding/asynchronous.rs")]
    /// ```
    pub fn sql_async(&self, text: &str) -> impl Future<Output = Result<Response>> + Send + use<> {
        let (session, text) = (self.clone(), text.to_string());
        elsewhere(move || session.sql(&text))
    }

    /// [`Session::query`] for asynchronous programs: the result is a stream.
    pub fn query_async(&self, text: &str) -> impl Future<Output = Result<QueryResult>> + Send + use<> {
        let (session, text) = (self.clone(), text.to_string());
        elsewhere(move || session.query(&text))
    }

    /// Stops all jobs and waits for their end, those with checkpoints for a last one. Dropping the last clone of a session
    /// stops them as well, but on a thread of a runtime it does not wait.
    pub async fn close(self) {
        let jobs = self.jobs();
        jobs.iter().for_each(|job| job.cancel());
        for job in jobs {
            job.ended().await;
        }
        // The end of the session's own runtime waits for files that are being read.
        let _ = elsewhere(move || {
            drop(self);
            Ok(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use futures::{StreamExt, TryStreamExt};

    use super::*;
    use crate::flow::JobState;

    const ENDLESS: &str =
        "CREATE TABLE e (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000')";

    fn in_runtime(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn a_session_is_made_used_and_dropped_on_a_runtime() {
        in_runtime(async {
            let session = Session::new().unwrap();
            let rows = session.query_async("SELECT * FROM (VALUES (1), (2)) AS t (n)").await.unwrap();
            let batches: Vec<_> = rows.batches().unwrap().try_collect().await.unwrap();
            assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
            session.sql(ENDLESS).unwrap();
            let mut rows = session.query_async("SELECT n FROM e").await.unwrap();
            let job = rows.job().clone();
            assert!(!rows.next().await.unwrap().unwrap().is_empty());
            drop(session.clone());
            assert_eq!(job.state(), JobState::Running, "a clone is the same session");
            drop(session);
            assert_eq!(job.ended().await, JobState::Cancelled);
        });
    }

    #[test]
    fn jobs_are_awaited_and_failures_are_items() {
        in_runtime(async {
            let session = Session::new().unwrap();
            let failing = "SELECT 1 / n FROM (VALUES (1), (0)) AS t (n)";
            let mut rows = session.query_async(failing).await.unwrap();
            let mut last = None;
            while let Some(next) = rows.next().await {
                last = Some(next);
            }
            assert!(last.unwrap().unwrap_err().message().contains("division by zero"));
            assert!(session.query_async("SELEC 1").await.is_err());
            session.sql_async("CREATE TABLE b (n BIGINT) WITH ('connector' = 'blackhole')").await.unwrap();
            let Response::Job(job) = session.sql_async("INSERT INTO b VALUES (1)").await.unwrap() else {
                panic!()
            };
            assert_eq!(job.ended().await, JobState::Finished);
            session.sql(ENDLESS).unwrap();
            let Response::Job(job) = session.sql_async("INSERT INTO b SELECT n FROM e").await.unwrap() else {
                panic!()
            };
            session.close().await;
            assert_eq!(job.state(), JobState::Cancelled);
        });
    }

    #[test]
    fn a_changing_result_is_no_stream_of_batches_but_can_be_collected() {
        let session = Session::new().unwrap();
        let counts = "SELECT k, COUNT(*) FROM (VALUES ('a'), ('b'), ('a')) AS t (k) GROUP BY k";
        assert!(session.query(counts).unwrap().batches().unwrap_err().message().contains("changes rows"));
        assert_eq!(session.query(counts).unwrap().collect().unwrap().num_rows(), 2);
        session.sql(ENDLESS).unwrap();
        assert!(session.query("SELECT n FROM e").unwrap().collect().is_err());
        assert!(session.query("SHOW TABLES").is_err());
    }
}
