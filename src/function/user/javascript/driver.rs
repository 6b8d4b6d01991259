//! Asynchronous functions: one thread with one QuickJS, on which the promises of many calls take turns.
//!
//! ```text
//!  lookup engine ── call ──> queue ──> start the function ──> run what is ready ──> settled: reply
//!                              ^                                   │ fetch, timers
//!                              └── answers, alarms <── runtime <───┘
//! ```
//! - Whatever runs, runs for one call: its start, or the answer to what it had started. So an error that nobody
//!   listens to, a loop without an end and a bound that is hit have an owner.
//! - A turn has a second at most. An instance whose bound was hit is thrown away with the call that did it; the others
//!   are made again in a new one.
//! - A promise that nothing can settle any more fails at once; all others when the row's time is over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parking_lot::Mutex;
use rquickjs::function::Args;
use rquickjs::promise::PromiseState;
use rquickjs::{Array as JsArray, CatchResultExt, Ctx, IntoJs, Persistent, TypedArray, Value};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::super::UserFunction;
use super::super::caller::{CallContext, Caller, Results};
use super::super::web::{Web, WebFailure, WebResponse};
use super::host::{Host, Settled, Started};
use super::{Instance, Library, build, thrown, values};
use crate::error::Result;
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// A turn, at most; and least, where it is the tenth part of what a row has.
const TURN: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);
/// How often a call is made again because another one ended its instance.
const RESTARTS: u32 = 3;

type Reply = oneshot::Sender<std::result::Result<Results, Failure>>;

enum Event {
    Call {
        arguments: RecordBatch,
        reply: Reply,
    },
    Answer {
        instance: u64,
        operation: u32,
        result: Box<std::result::Result<WebResponse, WebFailure>>,
    },
    /// A caller has gone: look for calls that nobody waits for.
    Gone,
    End,
}

/// Makes calls of one asynchronous function.
pub struct JavaScriptCaller {
    library: Arc<Library>,
    function: Arc<UserFunction>,
    web: Arc<Web>,
    runtime: Handle,
    result: DataType,
    limit: Duration,
    sender: Mutex<Option<Sender<Event>>>,
}

impl JavaScriptCaller {
    /// The thread starts with the first call.
    pub fn new(library: Arc<Library>, function: Arc<UserFunction>, web: Web, context: &CallContext) -> Self {
        let result = function.returns.computed().to_arrow(&context.zone);
        // A loop without an end must not use up the time of the calls beside it.
        let timeout = function.options().duration("timeout").ok().flatten();
        let limit = timeout.map_or(TURN, |t| (t / 10).clamp(SHORTEST, TURN));
        Self {
            library,
            function,
            web: Arc::new(web),
            runtime: context.runtime.clone(),
            result,
            limit,
            sender: Mutex::new(None),
        }
    }

    fn sender(&self) -> std::io::Result<Sender<Event>> {
        let mut sender = self.sender.lock();
        if let Some(sender) = sender.as_ref() {
            return Ok(sender.clone());
        }
        let (new, receiver) = channel();
        let (library, function, web) = (self.library.clone(), self.function.clone(), self.web.clone());
        let (runtime, result, own) = (self.runtime.clone(), self.result.clone(), new.clone());
        let limit = self.limit;
        std::thread::Builder::new().name(format!("js {}", self.function.name)).spawn(move || {
            let driver = Driver {
                library,
                function,
                web,
                runtime,
                result,
                limit,
                sender: own,
                receiver,
                instance: None,
                instances: 0,
                calls: HashMap::new(),
                next_call: 0,
                operations: HashMap::new(),
                timers: BinaryHeap::new(),
            };
            driver.run();
        })?;
        *sender = Some(new.clone());
        Ok(new)
    }
}

impl Drop for JavaScriptCaller {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.lock().take() {
            let _ = sender.send(Event::End);
        }
    }
}

/// Tells the driver when the one who waits has gone.
struct Waits(Option<Sender<Event>>);

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(Event::Gone);
        }
    }
}

impl Caller for JavaScriptCaller {
    fn call(&self, arguments: RecordBatch) -> BoxFuture<std::result::Result<Results, Failure>> {
        let ended = || Failure::other("the thread of the function has ended");
        let sender = match self.sender() {
            Ok(sender) => sender,
            Err(e) => {
                let failure = Failure::other(format!("no thread for the function: {e}"));
                return Box::pin(std::future::ready(Err(failure)));
            }
        };
        let (reply, answer) = oneshot::channel();
        if sender.send(Event::Call { arguments, reply }).is_err() {
            return Box::pin(std::future::ready(Err(ended())));
        }
        Box::pin(async move {
            let mut waits = Waits(Some(sender));
            let result = answer.await.unwrap_or_else(|_| Err(ended()));
            waits.0 = None;
            result
        })
    }

    fn max_rows(&self) -> usize {
        self.function.rows_of_call()
    }

    fn describe(&self) -> String {
        let place = self.library.source.file.as_deref().unwrap_or("the statement");
        format!("JavaScript in {place}")
    }
}

/// A call under way.
struct Call {
    arguments: RecordBatch,
    reply: Reply,
    restarts: u32,
    /// The last answer that it got: what it throws then may pass.
    last: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    retryable: bool,
    after: Option<Duration>,
}

/// Something that a call waits for.
struct Operation {
    owner: u32,
    request: Option<AbortHandle>,
}

struct Driver {
    library: Arc<Library>,
    function: Arc<UserFunction>,
    web: Arc<Web>,
    runtime: Handle,
    result: DataType,
    limit: Duration,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    /// What belongs to an instance goes before it.
    instance: Option<(Host, Instance)>,
    /// Instances so far: answers for those before are dropped.
    instances: u64,
    calls: HashMap<u32, Call>,
    next_call: u32,
    operations: HashMap<u32, Operation>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
}

/// How a turn of a call ended.
struct Turn {
    /// What failed besides the promises: for its owner.
    broken: Option<String>,
    /// Its bound was hit.
    spent: bool,
}

impl Driver {
    fn run(mut self) {
        loop {
            let event = match self.timers.peek() {
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(Reverse((at, _))) => {
                    self.receiver.recv_timeout(at.saturating_duration_since(Instant::now()))
                }
            };
            match event {
                Ok(Event::Call { arguments, reply }) => {
                    let call = self.next_call;
                    self.next_call = self.next_call.wrapping_add(1);
                    self.calls.insert(call, Call { arguments, reply, restarts: 0, last: None });
                    self.start(call);
                }
                Ok(Event::Answer { instance, operation, result }) => {
                    if instance == self.instances {
                        self.answered(operation, *result);
                    }
                }
                Ok(Event::Gone) => self.forget(),
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.fire();
            self.find_lost();
        }
        self.abort_operations();
    }

    fn abort_operations(&mut self) {
        for operation in std::mem::take(&mut self.operations).into_values() {
            if let Some(request) = operation.request {
                request.abort();
            }
        }
        self.timers.clear();
    }

    /// Calls that nobody waits for any more.
    fn forget(&mut self) {
        self.calls.retain(|_, call| !call.reply.is_closed());
        let calls = &self.calls;
        self.operations.retain(|_, operation| {
            let wanted = calls.contains_key(&operation.owner);
            if let (false, Some(request)) = (wanted, &operation.request) {
                request.abort();
            }
            wanted
        });
    }

    /// Promises that wait for nothing.
    fn find_lost(&mut self) {
        if !self.operations.is_empty() || self.calls.is_empty() {
            return;
        }
        for call in self.calls.keys().copied().collect::<Vec<_>>() {
            self.fail(
                call,
                Failure::other("its promise is never settled: there is nothing left that it waits for"),
            );
        }
    }

    fn instance(&mut self) -> Result<()> {
        if self.instance.is_none() {
            let most = self.library.limits.memory / 2;
            let name = self.function.name.clone();
            let (host, instance) = Instance::with(&self.library, |ctx| Host::install(ctx, &name, most))?;
            self.instances += 1;
            host.track(instance.context.runtime());
            self.instance = Some((host, instance));
        }
        Ok(())
    }

    /// Runs code for a call, and what is ready after it.
    fn turn(
        &mut self,
        owner: u32,
        run: impl for<'js> FnOnce(&Ctx<'js>, &Instance, &Host) -> std::result::Result<(), String>,
    ) {
        if let Err(e) = self.instance() {
            return self.fail(owner, Failure::other(e.message()));
        }
        let Some((host, instance)) = self.instance.as_ref() else { return };
        let limit = self.limit;
        let deadline = Instant::now() + limit;
        instance.deadline.set(Some(deadline));
        let broken = instance.context.with(|ctx| {
            let result = run(&ctx, instance, host);
            run_jobs(&ctx, deadline);
            result
        });
        instance.deadline.set(None);
        let over = Instant::now() >= deadline;
        let turn = match (broken.err(), over) {
            (_, true) => Turn {
                broken: Some(format!("it ran for {limit:?} without waiting for anything")),
                spent: true,
            },
            (why, false) => Turn { broken: why, spent: instance.spent.get() },
        };
        self.settle(owner, turn);
    }

    /// Takes in what a turn has brought.
    fn settle(&mut self, owner: u32, turn: Turn) {
        let Some((host, _)) = self.instance.as_ref() else { return };
        let notes = host.notes.clone();
        for started in notes.started.take() {
            self.started(owner, started);
        }
        let mut memory = false;
        for settled in notes.settled.take() {
            memory |= self.settled(settled);
        }
        let rejected = std::mem::take(&mut *notes.rejected.lock());
        if let Some((_, why)) = rejected.first() {
            if self.calls.contains_key(&owner) {
                self.fail(
                    owner,
                    Failure::other(format!("a promise was rejected and it was not handled: {why}")),
                );
            } else {
                log::warn!(
                    "function '{}': a promise was rejected after the end of its call: {why}",
                    self.function.name
                );
            }
        }
        if let Some(why) = turn.broken {
            let failure = self.failure(owner, why, false, None);
            self.fail(owner, failure);
        }
        if turn.spent || memory {
            self.renew(owner);
        }
    }

    /// Throws the instance away; what was under way is made again in another one.
    fn renew(&mut self, culprit: u32) {
        self.fail(culprit, Failure::other("it ended its instance"));
        self.instance = None;
        self.abort_operations();
        let mut again: Vec<u32> = self.calls.keys().copied().collect();
        again.sort_unstable();
        for call in again {
            let tired = self.calls.get_mut(&call).is_some_and(|c| {
                c.restarts += 1;
                c.restarts > RESTARTS
            });
            if tired {
                let what = format!("calls beside it ended their instance {RESTARTS} times");
                self.fail(call, Failure::other(what).retryable());
            } else if self.calls.contains_key(&call) {
                self.start(call);
            }
        }
    }

    fn fail(&mut self, call: u32, failure: Failure) {
        if let Some(call) = self.calls.remove(&call) {
            let _ = call.reply.send(Err(failure));
        }
    }

    /// A failure of a call, with its arguments.
    fn failure(&self, call: u32, why: String, retryable: bool, after: Option<Duration>) -> Failure {
        let last = self.calls.get(&call).and_then(|c| c.last);
        let passes = retryable || last.is_some_and(|l| l.retryable);
        let kind = if passes { FailureKind::Connection } else { FailureKind::Other };
        let retry_after = after.or(last.and_then(|l| l.after)).filter(|_| passes);
        Failure { kind, message: why, retry_after, retryable: passes }
    }

    /// Begins a call.
    fn start(&mut self, call: u32) {
        let Some(arguments) = self.calls.get(&call).map(|c| c.arguments.clone()) else { return };
        let library = self.library.clone();
        let batch = self.function.rows_of_call() > 1;
        let until = Instant::now() + self.limit;
        self.turn(call, move |ctx, instance, host| {
            let js = instance.function(ctx, &library.source.export).map_err(|e| e.message().to_string())?;
            let big = library.limits.big_integers;
            let readers =
                values::readers(ctx, arguments.columns(), big).map_err(|e| e.message().to_string())?;
            let args = match batch {
                false => values::arguments(ctx, &readers, 0)?,
                true => {
                    let shown = |e: rquickjs::Error| e.to_string();
                    let mut args = Args::new(ctx.clone(), readers.len());
                    for reader in &readers {
                        let column = JsArray::new(ctx.clone()).map_err(shown)?;
                        for row in 0..arguments.num_rows() {
                            column.set(row, reader.value(ctx, row)?).map_err(shown)?;
                        }
                        args.push_arg(column).map_err(shown)?;
                    }
                    args
                }
            };
            let promise = args.apply::<Value<'_>>(&js).catch(ctx).map_err(|e| instance.told(&library, e))?;
            // What has nothing to wait for needs nobody who watches it.
            if let Some(promise) = promise.as_promise() {
                run_jobs(ctx, until);
                if promise.state() == PromiseState::Resolved
                    && let Some(Ok(value)) = promise.result::<Value<'_>>()
                {
                    let value = Persistent::save(ctx, value);
                    host.notes.settled.borrow_mut().push(Settled { call, failed: false, value });
                    return Ok(());
                }
            }
            let watch = host.watch.clone().restore(ctx).map_err(|e| e.to_string())?;
            watch.call::<_, ()>((call, promise)).catch(ctx).map_err(|e| thrown(e).0)
        });
    }

    fn started(&mut self, owner: u32, started: Started) {
        match started {
            Started::Clear { operation } => {
                self.operations.remove(&operation);
            }
            Started::Timer { operation, after } => {
                self.operations.insert(operation, Operation { owner, request: None });
                let at = Instant::now().checked_add(after);
                self.timers.extend(at.map(|at| Reverse((at, operation))));
            }
            Started::Fetch { operation, request } => {
                let (sender, instance, web) = (self.sender.clone(), self.instances, self.web.clone());
                let task = self.runtime.spawn(async move {
                    let result = match request {
                        Ok(request) => web.send(*request).await,
                        Err(message) => Err(WebFailure { message, retryable: false, timed_out: false }),
                    };
                    let _ = sender.send(Event::Answer { instance, operation, result: Box::new(result) });
                });
                let request = Some(task.abort_handle());
                self.operations.insert(operation, Operation { owner, request });
            }
        }
    }

    /// An answer goes to the code that waits for it.
    fn answered(&mut self, operation: u32, result: std::result::Result<WebResponse, WebFailure>) {
        let Some(Operation { owner, .. }) = self.operations.remove(&operation) else { return };
        if let Some(call) = self.calls.get_mut(&owner) {
            call.last = Some(match &result {
                Ok(response) => Last {
                    retryable: matches!(response.status.as_u16(), 429 | 500 | 502 | 503 | 504),
                    after: response.retry_after(),
                },
                Err(failure) => Last { retryable: failure.retryable, after: None },
            });
        }
        self.turn(owner, move |ctx, _, host| {
            let called = match result {
                Ok(response) => {
                    let headers: Vec<(&str, String)> = response
                        .headers
                        .iter()
                        .map(|(name, value)| {
                            (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                        })
                        .collect();
                    let headers = serde_json::to_string(&headers).map_err(|e| e.to_string())?;
                    let content = match std::str::from_utf8(&response.body) {
                        Ok(text) => text.into_js(ctx),
                        Err(_) => TypedArray::<u8>::new_copy(ctx.clone(), &response.body[..])
                            .map(TypedArray::into_value),
                    };
                    let url = response.url.to_string();
                    let status = response.status.as_u16();
                    content.and_then(|content| {
                        let handle = host.response.clone().restore(ctx)?;
                        handle.call::<_, ()>((operation, status, url, response.redirected, headers, content))
                    })
                }
                Err(failure) => host.failure.clone().restore(ctx).and_then(|handle| {
                    handle.call::<_, ()>((operation, failure.message, failure.retryable, failure.timed_out))
                }),
            };
            called.catch(ctx).map_err(|e| thrown(e).0)
        });
    }

    /// Timers that are due.
    fn fire(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut due = Vec::new();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(self.timers.pop().map(|Reverse((_, operation))| operation));
        }
        for operation in due {
            let Some(Operation { owner, .. }) = self.operations.remove(&operation) else { continue };
            self.turn(owner, move |ctx, _, host| {
                let fire = host.fire.clone().restore(ctx).map_err(|e| e.to_string())?;
                fire.call::<_, ()>((operation,)).catch(ctx).map_err(|e| thrown(e).0)
            });
        }
    }

    /// The result of a call goes back; whether its instance ran out of memory.
    fn settled(&mut self, settled: Settled) -> bool {
        let Settled { call, failed: rejected, value } = settled;
        let Some(under_way) = self.calls.remove(&call) else { return false };
        let Some((_, instance)) = self.instance.as_ref() else { return false };
        // To read a result is a turn, too: it may have getters.
        instance.deadline.set(Some(Instant::now() + self.limit));
        let outcome = instance.context.with(|ctx| {
            let value = value.restore(&ctx).map_err(|e| (e.to_string(), false, None))?;
            match rejected {
                true => Err(reason(&ctx, &self.library, value)),
                false => {
                    self.results(&ctx, &value, under_way.arguments.num_rows()).map_err(|e| (e, false, None))
                }
            }
        });
        instance.deadline.set(None);
        let mut memory = false;
        let reply = match outcome {
            Ok(results) => Ok(results),
            Err((why, retryable, after)) => {
                memory = why.contains("out of memory");
                let why = match memory {
                    true => {
                        format!("needs more than its 'memory-limit' of {} bytes", self.library.limits.memory)
                    }
                    false => why,
                };
                let passes = retryable || under_way.last.is_some_and(|l| l.retryable);
                let kind = if passes { FailureKind::Connection } else { FailureKind::Other };
                let after = after.or(under_way.last.and_then(|l| l.after)).filter(|_| passes);
                Err(Failure { kind, message: why, retry_after: after, retryable: passes })
            }
        };
        let _ = under_way.reply.send(reply);
        memory
    }

    /// The values of a batch, or of the only row.
    fn results<'js>(
        &self,
        ctx: &Ctx<'js>,
        value: &Value<'js>,
        rows: usize,
    ) -> std::result::Result<Results, String> {
        let mut builder = build::Builder::new(&self.result, rows).map_err(|e| e.message().to_string())?;
        let mut failures = Vec::new();
        if self.function.rows_of_call() == 1 {
            builder.append(ctx, value, &|| {})?;
        } else {
            let array = value.as_array().ok_or_else(|| {
                format!(
                    "returned {}, a function with 'batch' returns an array of results",
                    values::shown(value)
                )
            })?;
            if array.len() != rows {
                return Err(format!("returned {} results for {rows} calls", array.len()));
            }
            for row in 0..rows {
                let element: Value<'js> = array.get(row).map_err(|e| e.to_string())?;
                let is_error = element.is_error();
                let appended = match is_error {
                    true => Err(reason(ctx, &self.library, element)),
                    false => builder.append(ctx, &element, &|| {}).map_err(|e| (e, false, None)),
                };
                if let Err((why, retryable, after)) = appended {
                    builder.append_null();
                    let kind = if retryable { FailureKind::Connection } else { FailureKind::Other };
                    failures
                        .push((row as u32, Failure { kind, message: why, retry_after: after, retryable }));
                }
            }
        }
        let values = builder.finish().map_err(|e| e.message().to_string())?;
        Ok(Results { values, failures })
    }
}

/// Runs what is ready.
fn run_jobs(ctx: &Ctx<'_>, until: Instant) {
    while ctx.execute_pending_job() && Instant::now() < until {}
}

/// What was thrown: message with its place, whether it may pass, and after which time.
fn reason<'js>(ctx: &Ctx<'js>, library: &Library, value: Value<'js>) -> (String, bool, Option<Duration>) {
    let object = value.as_object().cloned();
    let field = |name: &str| object.as_ref().and_then(|o| o.get::<_, Option<f64>>(name).ok().flatten());
    let retryable = object.as_ref().is_some_and(|o| o.get::<_, bool>("retryable").unwrap_or(false));
    let after = field("retryAfter").filter(|s| *s >= 0.0 && *s < 1e9).map(Duration::from_secs_f64);
    ctx.throw(value);
    let error = Err::<(), _>(rquickjs::Error::Exception).catch(ctx);
    let why = match error {
        Err(error) => library.told(error),
        Ok(()) => String::new(),
    };
    (why, retryable, after)
}
