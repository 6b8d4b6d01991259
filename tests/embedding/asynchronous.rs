// A session in an asynchronous program: a query is a stream, a job can be awaited.

use affluent::arrow::array::AsArray;
use affluent::arrow::datatypes::Int32Type;
use affluent::futures::TryStreamExt;
use affluent::{Error, JobState, Response, Session};

async fn run() -> Result<(), Error> {
    let session = Session::new()?;
    let rows = session.query_async("SELECT n * 2 FROM (VALUES (1), (2), (3)) AS t (n)").await?.batches()?;
    let doubled = rows.try_fold(0, |sum, batch| async move {
        Ok(sum + batch.column(0).as_primitive::<Int32Type>().values().iter().sum::<i32>())
    });
    assert_eq!(doubled.await?, 12);

    session.sql_async("CREATE TABLE nothing (n INT) WITH ('connector' = 'blackhole')").await?;
    if let Response::Job(job) = session.sql_async("INSERT INTO nothing VALUES (1), (2)").await? {
        assert_eq!(job.ended().await, JobState::Finished);
        assert_eq!(job.metrics.rows_out.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
    session.close().await;
    Ok(())
}

pub fn main() -> Result<(), Error> {
    let runtime = affluent::tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(run())
}
