//! The workers of one call in a job: a batch goes to one that is free, and those that ended are replaced.
//!
//! A batch has as many rows as are computed in a moment, so that results of slow functions do not wait for each other.
//!
//! A worker holds one batch at a time, so that it is known which one ended it. A batch whose worker died is split by
//! the lookup engine until the row that does it is alone; that row is tried once more. Of `async` functions a worker
//! holds many calls; when it dies they are made again one after the other, so that the one to blame is found.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::super::UserFunction;
use super::super::caller::{CallContext, Caller, Results};
use super::super::frames::{self, Reader};
use super::PythonFunction;
use super::process::{CALL, CANCEL, Life, LoadError, Process, RESULT, header, parse_header};
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Rows of a batch: so many are decoded and encoded at a time, at most, and at first.
const ROWS: usize = 8192;
const FIRST: usize = 4;
/// What a batch is to take, and how much more rows the next may have.
const MOMENT: Duration = Duration::from_millis(20);
const GROWTH: usize = 4;
/// Calls of an `async` function that one worker holds.
const CONCURRENT: usize = 256;

type Reply = std::result::Result<(u32, Vec<u8>), String>;

/// A worker that runs.
struct Worker {
    life: Life,
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Mutex<HashMap<u32, oneshot::Sender<Reply>>>,
    next: AtomicU32,
    dead: AtomicBool,
}

impl Worker {
    fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Acquire)
    }

    /// Reads answers until the worker ends.
    async fn read(self: Arc<Self>, mut reader: OwnedReadHalf) {
        let mut head = [0; 16];
        while reader.read_exact(&mut head).await.is_ok() {
            let Some((size, kind, call)) = parse_header(head) else { break };
            let mut payload = vec![0; size];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            let reply = self.waiting.lock().remove(&call);
            if let Some(reply) = reply {
                let _ = reply.send(Ok((kind, payload)));
            }
        }
        self.dead.store(true, Ordering::Release);
        let worker = self.clone();
        let why = tokio::task::spawn_blocking(move || worker.life.epitaph()).await.unwrap_or_default();
        for (_, reply) in self.waiting.lock().drain() {
            let _ = reply.send(Err(why.clone()));
        }
    }
}

/// A call that its worker works on: one that is given up must not hold the worker.
struct UnderWay {
    worker: Arc<Worker>,
    call: u32,
    waits: bool,
    runtime: Handle,
    done: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.worker.waiting.lock().remove(&self.call);
        let (worker, call) = (self.worker.clone(), self.call);
        if self.waits {
            self.runtime.spawn(async move {
                let _ = worker.writer.lock().await.write_all(&header(0, CANCEL, call)).await;
            });
        } else {
            worker.dead.store(true, Ordering::Release);
            self.runtime.spawn_blocking(move || worker.life.kill());
        }
    }
}

/// Makes calls of a Python function.
pub(super) struct PythonCaller(Arc<Pool>);

struct Pool {
    function: Arc<UserFunction>,
    init: Value,
    result: DataType,
    runtime: Handle,
    most: usize,
    waits: bool,
    /// Rows of the next batch.
    rows: AtomicUsize,
    /// Those that have nothing to do; of `async` functions all.
    free: Mutex<Vec<Arc<Worker>>>,
    turn: AtomicU32,
    /// Held by the call that is made again alone.
    alone: tokio::sync::Mutex<()>,
    /// Of `async` functions one starts at a time.
    starting: tokio::sync::Mutex<()>,
}

impl PythonCaller {
    pub(super) fn new(
        function: Arc<UserFunction>,
        init: Value,
        result: DataType,
        context: &CallContext,
    ) -> Self {
        let python = python_of(&function);
        let waits = python.is_some_and(|p| p.about.waits);
        let most =
            python.and_then(|p| p.workers).unwrap_or(if waits { 1 } else { context.parallelism.max(1) });
        Self(Arc::new(Pool {
            function,
            init,
            result,
            runtime: context.runtime.clone(),
            most,
            waits,
            rows: AtomicUsize::new(FIRST),
            free: Mutex::default(),
            turn: AtomicU32::new(0),
            alone: tokio::sync::Mutex::new(()),
            starting: tokio::sync::Mutex::new(()),
        }))
    }
}

fn python_of(function: &UserFunction) -> Option<&PythonFunction> {
    match &function.implementation {
        super::super::Implementation::Call(callable) => callable.as_any().downcast_ref(),
        _ => None,
    }
}

/// How one attempt ended without results.
enum Ended {
    /// The worker died under it.
    Died(String),
    Failed(Failure),
}

impl Pool {
    async fn start(self: &Arc<Self>) -> std::result::Result<Arc<Worker>, Failure> {
        let pool = self.clone();
        let started = tokio::task::spawn_blocking(move || {
            let python = python_of(&pool.function)
                .ok_or_else(|| LoadError::Start("the function is not in Python".to_string()))?;
            Process::start(&pool.function.name, python, &pool.init)
        });
        let started = started.await.map_err(|e| Failure::other(format!("a worker did not start: {e}")))?;
        let (process, _) = started.map_err(|e| match e {
            LoadError::Start(why) | LoadError::Ended(why) => {
                Failure::other(format!("a Python worker did not start: {why}"))
            }
            LoadError::Code { message, .. } => {
                Failure::other(format!("the Python code does not load any more: {message}"))
            }
        })?;
        let io = |e: std::io::Error| Failure::other(format!("a Python worker is not reached: {e}"));
        let Process { stream, life } = process;
        stream.set_nonblocking(true).map_err(io)?;
        let (reader, writer) = UnixStream::from_std(stream).map_err(io)?.into_split();
        let worker = Arc::new(Worker {
            life,
            writer: tokio::sync::Mutex::new(writer),
            waiting: Mutex::default(),
            next: AtomicU32::new(1),
            dead: AtomicBool::new(false),
        });
        tokio::spawn(worker.clone().read(reader));
        Ok(worker)
    }

    /// A worker for a call.
    async fn worker(self: &Arc<Self>) -> std::result::Result<Arc<Worker>, Failure> {
        if !self.waits {
            loop {
                let free = self.free.lock().pop();
                match free {
                    Some(worker) if worker.is_alive() => return Ok(worker),
                    Some(_) => {}
                    None => return self.start().await,
                }
            }
        }
        let pick = || {
            let mut workers = self.free.lock();
            workers.retain(|w| w.is_alive());
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
            (workers.len() >= self.most).then(|| workers[turn % workers.len()].clone())
        };
        if let Some(worker) = pick() {
            return Ok(worker);
        }
        let _starting = self.starting.lock().await;
        if let Some(worker) = pick() {
            return Ok(worker);
        }
        let worker = self.start().await?;
        self.free.lock().push(worker.clone());
        Ok(worker)
    }

    /// One attempt.
    async fn attempt(self: &Arc<Self>, arguments: &RecordBatch) -> std::result::Result<Results, Ended> {
        let mut payload = Vec::new();
        frames::write_number(&mut payload, arguments.num_rows());
        for column in arguments.columns() {
            let written = frames::write(&mut payload, column);
            written.map_err(|e| Ended::Failed(Failure::new(FailureKind::Decode, e.message())))?;
        }
        let worker = self.worker().await.map_err(Ended::Failed)?;
        let call = worker.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        worker.waiting.lock().insert(call, reply);
        let mut under_way = UnderWay {
            worker: worker.clone(),
            call,
            waits: self.waits,
            runtime: self.runtime.clone(),
            done: false,
        };
        let begun = Instant::now();
        let sent = {
            let mut writer = worker.writer.lock().await;
            match writer.write_all(&header(payload.len(), CALL, call)).await {
                Ok(()) => writer.write_all(&payload).await,
                Err(e) => Err(e),
            }
        };
        drop(payload);
        if sent.is_err() || !worker.is_alive() {
            // What reads from it has noticed, or will.
            let why = tokio::time::timeout(Duration::from_secs(1), answer).await;
            under_way.done = true;
            worker.dead.store(true, Ordering::Release);
            return match why {
                Ok(Ok(Ok((kind, payload)))) => self.results(arguments, kind, &payload).map_err(Ended::Failed),
                Ok(Ok(Err(why))) => Err(Ended::Died(why)),
                _ => Err(Ended::Died("it closed its connection".to_string())),
            };
        }
        let answer = answer.await;
        under_way.done = true;
        match answer {
            Ok(Ok((kind, payload))) => {
                if !self.waits {
                    self.free.lock().push(worker);
                    let known = self.rows.load(Ordering::Relaxed);
                    let next = rows_after(known, arguments.num_rows(), begun.elapsed());
                    self.rows.store(next, Ordering::Relaxed);
                }
                self.results(arguments, kind, &payload).map_err(Ended::Failed)
            }
            Ok(Err(why)) => Err(Ended::Died(why)),
            Err(_) => Err(Ended::Died("it ended".to_string())),
        }
    }

    fn results(
        &self,
        arguments: &RecordBatch,
        kind: u32,
        payload: &[u8],
    ) -> std::result::Result<Results, Failure> {
        let rows = arguments.num_rows();
        if kind != RESULT {
            let said: Value = serde_json::from_slice(payload).unwrap_or_default();
            return Err(failure(&said, 0));
        }
        let broken = |e: crate::error::Error| Failure::new(FailureKind::Decode, e.message());
        let mut reader = Reader::new(payload);
        let given = reader.number().map_err(broken)?;
        // A column of numbers as it lies in memory comes with its bytes' count.
        let width = self.result.primitive_width().unwrap_or(0);
        if given != rows && given != rows * width {
            return Err(Failure::new(FailureKind::Decode, format!("{given} results came for {rows} rows")));
        }
        let values = reader.column(&self.result, rows).map_err(broken)?;
        let said: Vec<Value> = serde_json::from_slice(reader.bytes().map_err(broken)?)
            .map_err(|e| Failure::other(e.to_string()))?;
        let failures = said.iter().filter_map(|one| {
            let row =
                one.get(0)?.as_u64().and_then(|r| u32::try_from(r).ok()).filter(|r| (*r as usize) < rows)?;
            Some((row, failure(one, 1)))
        });
        Ok(Results { values, failures: failures.collect() })
    }

    async fn call(self: Arc<Self>, arguments: RecordBatch) -> std::result::Result<Results, Failure> {
        let again = arguments.num_rows() == 1 || self.waits;
        let died = |why: String| Failure::other(format!("its worker died: {why}"));
        match self.attempt(&arguments).await {
            Ok(results) => Ok(results),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::Died(why)) if !again => Err(died(why)),
            Err(Ended::Died(_)) => {
                let _alone = self.alone.lock().await;
                match self.attempt(&arguments).await {
                    Ok(results) => Ok(results),
                    Err(Ended::Failed(failure)) => Err(failure),
                    Err(Ended::Died(why)) => Err(died(why)),
                }
            }
        }
    }
}

/// How many rows the next batch may have, behind one of `rows` that took so long.
fn rows_after(known: usize, rows: usize, took: Duration) -> usize {
    let nanos = took.as_nanos().max(1);
    let fit = usize::try_from(rows as u128 * MOMENT.as_nanos() / nanos).unwrap_or(usize::MAX);
    // Of a small batch most of the time is not for its rows.
    let most = if rows >= known / 2 { known.saturating_mul(GROWTH) } else { known };
    fit.min(most).clamp(1, ROWS)
}

/// `[message, passes, seconds]` from a position on.
fn failure(said: &Value, from: usize) -> Failure {
    let message = said.get(from).and_then(Value::as_str).unwrap_or("it failed").to_string();
    let retryable = said.get(from + 1).and_then(Value::as_bool).unwrap_or(false);
    let after = said.get(from + 2).and_then(Value::as_f64).filter(|s| (0.0..1e9).contains(s));
    let kind = if retryable { FailureKind::Connection } else { FailureKind::Other };
    Failure { kind, message, retry_after: after.map(Duration::from_secs_f64), retryable }
}

impl Caller for PythonCaller {
    fn call(&self, arguments: RecordBatch) -> BoxFuture<std::result::Result<Results, Failure>> {
        Box::pin(self.0.clone().call(arguments))
    }

    fn max_rows(&self) -> usize {
        match (self.0.function.rows_of_call(), self.0.waits) {
            (1, true) => 1,
            (1, false) => ROWS,
            (batch, _) => batch,
        }
    }

    fn rows_now(&self) -> usize {
        match self.max_rows() {
            ROWS if self.0.function.rows_of_call() == 1 => self.0.rows.load(Ordering::Relaxed),
            rows => rows,
        }
    }

    fn computes(&self) -> bool {
        !self.0.waits && self.0.function.rows_of_call() == 1
    }

    fn max_calls(&self) -> Option<usize> {
        Some(if self.0.waits { self.0.most.saturating_mul(CONCURRENT) } else { self.0.most })
    }

    fn describe(&self) -> String {
        match python_of(&self.0.function) {
            Some(python) => {
                format!("Python {} by {}", python.source.export, python.source.interpreter.display())
            }
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_is_computed_in_a_moment() {
        let ms = Duration::from_millis;
        // Fast rows: more each time, up to a bound.
        assert_eq!(rows_after(64, 64, ms(1)), 256);
        assert_eq!(rows_after(4096, 4096, ms(5)), ROWS);
        // 100 ms a row: one at a time.
        assert_eq!(rows_after(64, 64, ms(6400)), 1);
        assert_eq!(rows_after(1, 1, ms(100)), 1);
        // A row alone says little about many, unless it is slow.
        assert_eq!(rows_after(1024, 1, ms(1)), 20);
        assert_eq!(rows_after(1024, 100, Duration::from_micros(100)), 1024);
        assert_eq!(rows_after(1, 1, ms(5)), 4);
    }
}
