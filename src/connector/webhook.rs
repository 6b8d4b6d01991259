//! `'connector' = 'webhook'`: rows that others send by HTTP, as a source.
//!
//! ```text
//!  POST ── path? secret? size? ── records ── decoded ──> rows ──> job ──> checkpoint
//!   ▲                                                                        │
//!   └── 400, 401, 404, 413, 415, 429, 503                200 <───────────────┘ durable
//! ```
//! # What an answer means
//! With checkpoints a request is answered with **200 when a checkpoint that holds its rows is durable**: what they led to is
//! in the state, and in the sinks as far as these promise. Should the process end before, the sender gets no 2xx, and
//! sends it again: at-least-once. So a request takes as long as the checkpoint's interval.
//!
//! Without checkpoints it is answered with **202 when its rows have been taken by the job**: what is in the process when it
//! ends is lost, and the sender does not know: at-most-once.
//!
//! A request is taken as a whole, or not at all: 400 says what is wrong with the first record that does not fit the
//! table, and none of its rows are taken (with `scan.dead-letter` it is a dead letter, and the request is taken). 429 with
//! `Retry-After` says that the job is behind, 503 that it is not there (any more). After all of these the sender may
//! send the request again.
//!
//! # Records
//! JSON: one value, several one after the other (lines), or arrays of them, however they are laid out. CSV: a record a
//! line. Other formats: the body is one record.
//!
//! # Metadata
//! `path`, `query`, `remote-address` (STRING), `received-at` (TIMESTAMP_LTZ(3)), `headers` (MAP<STRING, STRING>, names in
//! lower case; without `authorization` and cookies).

mod server;
mod split;

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;

use self::server::Served;
use super::acknowledging::Acknowledging;
use super::messages::{self, Kept, Known, Layout};
use super::{Connector, Nature, Place};
use super::{Positions, Read, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::flow::{Kind, Kinds, Waker};
use crate::sql::variables::expanded;

/// The connector.
#[derive(Debug)]
pub struct Webhook;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "listen",
        OptionKind::Text,
        "",
        "port, or address and port: 8080 listens on this machine alone, 0.0.0.0:8080 on all of its addresses",
    ),
    OptionDef::new(
        "path",
        OptionKind::Text,
        "/",
        "path of the requests that are taken; /hooks/* takes all below it",
    ),
    OptionDef::new("max-body-size", OptionKind::Size, "1 mb", "a larger request is refused (413)"),
    OptionDef::new(
        "secret",
        OptionKind::Text,
        "",
        "what senders have to know: X-Hub-Signature-256 made with it (HMAC), or Authorization: Bearer with it; ${NAME} is taken from the environment",
    ),
    OptionDef::new(
        "max-waiting-requests",
        OptionKind::Integer,
        "1000",
        "requests that may wait for their answer; further ones get 429",
    ),
];

/// Metadata, in the order in which [`split::Record`] has it.
const METADATA: &[Known] = &[
    ("path", Kept::Text),
    ("query", Kept::Text),
    ("remote-address", Kept::Text),
    ("received-at", Kept::Moment),
    ("headers", Kept::Map),
];
const KEYS: &[&str] = &["path", "query", "remote-address", "received-at", "headers"];

/// The options of a table.
#[derive(Clone)]
struct Settings {
    listen: SocketAddr,
    /// As it is written, without a `*` at its end.
    path: String,
    is_prefix: bool,
    max_body: usize,
    secret: Option<String>,
    waiting: usize,
}

impl Settings {
    fn of(options: &Options) -> Result<Self> {
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let text = expanded(options.required("listen")?)?;
        let host = |text: &str| match text.parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) if text.starts_with(':') => format!("127.0.0.1{text}"),
            Err(_) => text.to_string(),
        };
        let listen =
            host(&text).to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(|| {
                wrong("listen", &format!("'{text}' is no port and no address with a port"))
                    .with_hint("8080, 127.0.0.1:8080, or 0.0.0.0:8080 to be reached by other machines")
            })?;
        let path = options.text("path").unwrap_or("/");
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(
                wrong("path", "it begins with '/' and has no query").with_hint("/events, or /events/*")
            );
        }
        let secret = options.text("secret").map(expanded).transpose()?;
        if secret.as_ref().is_some_and(|s| s.is_empty()) {
            return Err(
                wrong("secret", "it is empty").with_hint("leave it out to take requests of everybody")
            );
        }
        let max_body = options.size("max-body-size")?.unwrap_or(1 << 20);
        let waiting = options.integer("max-waiting-requests")?.unwrap_or(1000);
        if max_body == 0 || waiting == 0 {
            let key = if max_body == 0 { "max-body-size" } else { "max-waiting-requests" };
            return Err(wrong(key, "it must be at least 1"));
        }
        Ok(Self {
            listen,
            path: path.strip_suffix('*').unwrap_or(path).to_string(),
            is_prefix: path.ends_with('*'),
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
            secret,
            waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
        })
    }

    fn describe(&self) -> String {
        let star = if self.is_prefix { "*" } else { "" };
        format!("http://{}{}{star}", self.listen, self.path)
    }
}

impl Connector for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn doc(&self) -> &'static str {
        "rows that others send to an HTTP endpoint of this process, as source"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        KEYS
    }

    fn check(&self, table: &Table) -> Result<()> {
        Settings::of(&table.options)?;
        messages::check(table, METADATA)
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let at = Settings::of(&table.options)?.describe();
        Ok(Some(Place::new("webhook", at.clone(), at)))
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { bounded: false, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = &request.table;
        let settings = Settings::of(&table.options).map_err(|e| table.context(e))?;
        if settings.secret.is_none() && !settings.listen.ip().is_loopback() {
            log::warn!(
                "table '{}': anybody who reaches {} can send rows to it; 'secret' asks for a signature or a token",
                table.name,
                settings.listen
            );
        }
        Ok(Arc::new(WebhookSource {
            layout: Layout::new(request, METADATA)?,
            schema: request.schema.clone(),
            lines: split::Lines::of(table.options.text("format").unwrap_or_default()),
            settings,
            answers: Arc::default(),
            batch_rows: request.batch_rows.max(1),
        }))
    }
}

/// Gets to know that its rows are safe.
type Answer = oneshot::Sender<()>;

struct WebhookSource {
    settings: Settings,
    layout: Layout,
    schema: SchemaRef,
    lines: split::Lines,
    answers: Arc<Acknowledging<Answer>>,
    batch_rows: usize,
}

impl Source for WebhookSource {
    fn bounded(&self) -> bool {
        false
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let queue = Arc::new(Queue::new(context.waker.clone()));
        let served = Served {
            settings: self.settings.clone(),
            layout: self.layout.clone(),
            lines: self.lines,
            queue: queue.clone(),
            answers: self.answers.clone(),
            clock: context.clock.clone(),
            checkpoints: context.checkpoints,
            decoders: Mutex::default(),
            bodies: Semaphore::new(WAITING_BYTES.max(self.settings.max_body)),
        };
        let serving = context.runtime.spawn(server::serve(Arc::new(served))).abort_handle();
        Ok(Box::new(WebhookReader {
            queue,
            serving,
            left: false,
            answers: self.answers.clone(),
            checkpoints: context.checkpoints,
            schema: self.schema.clone(),
            batch_rows: self.batch_rows,
            bytes: 0,
            skipped: 0,
        }))
    }

    fn changelog(&self) -> SourceChangelog {
        self.layout.changelog()
    }

    fn describe(&self) -> String {
        format!("{}, format={}", self.settings.describe(), self.layout.format_name())
    }

    fn redelivers(&self) -> bool {
        true
    }

    fn restore(&self, _positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        // Who waits gets no answer, and sends again.
        self.answers.clear();
        Ok(())
    }

    fn committed(&self, epoch: u64, _positions: &Positions) -> Result<()> {
        for answer in self.answers.durable(epoch) {
            // A sender that is gone sends again.
            let _ = answer.send(());
        }
        Ok(())
    }
}

/// Rows of a request.
struct Request {
    batch: RecordBatch,
    kinds: Kinds,
    bytes: usize,
    skipped: u64,
    answer: Answer,
}

/// Requests on their way to the reader.
struct Queue {
    state: Mutex<State>,
    /// The reader takes no more.
    closed: Notify,
    waker: Waker,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    bytes: usize,
    failure: Option<Error>,
    left: bool,
}

/// Bytes of requests that may wait for the reader.
const WAITING_BYTES: usize = 32 << 20;

impl Queue {
    fn new(waker: Waker) -> Self {
        Self { state: Mutex::default(), closed: Notify::new(), waker }
    }

    /// Requests that the reader has not taken, or `None` if it takes no more for now.
    fn waiting(&self) -> Option<usize> {
        let state = self.state.lock();
        (state.bytes < WAITING_BYTES && !state.left).then_some(state.requests.len())
    }

    fn put(&self, request: Request) {
        let mut state = self.state.lock();
        if state.left {
            return;
        }
        state.bytes += request.bytes;
        state.requests.push_back(request);
        drop(state);
        self.waker.wake();
    }

    fn fail(&self, e: Error) {
        self.state.lock().failure.get_or_insert(e);
        self.waker.wake();
    }
}

struct WebhookReader {
    queue: Arc<Queue>,
    serving: AbortHandle,
    /// Its last rows belong to a checkpoint that is still to come.
    left: bool,
    answers: Arc<Acknowledging<Answer>>,
    checkpoints: bool,
    schema: SchemaRef,
    batch_rows: usize,
    bytes: u64,
    skipped: u64,
}

impl WebhookReader {
    /// No more is taken; whoever was not, gets no 2xx.
    fn close(&mut self) {
        self.queue.closed.notify_one();
        let mut state = self.queue.state.lock();
        state.left = true;
        state.requests.clear();
    }
}

impl Drop for WebhookReader {
    fn drop(&mut self) {
        self.close();
        if !self.left {
            self.serving.abort();
        }
    }
}

impl Reader for WebhookReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            let mut taken = Vec::new();
            {
                let mut state = self.queue.state.lock();
                let mut rows = 0;
                while let Some(next) = state.requests.front() {
                    if !taken.is_empty() && rows + next.batch.num_rows() > self.batch_rows {
                        break;
                    }
                    rows += next.batch.num_rows();
                    let Some(next) = state.requests.pop_front() else { break };
                    state.bytes -= next.bytes;
                    taken.push(next);
                }
                if taken.is_empty() {
                    return state.failure.clone().map_or(Ok(Read::Pending), Err);
                }
            }
            let append = taken.iter().all(|r| matches!(r.kinds, Kinds::Append));
            let kinds = match append {
                true => Kinds::Append,
                false => Kinds::Changes(
                    taken
                        .iter()
                        .flat_map(|r| (0..r.batch.num_rows()).map(|i| r.kinds.get(i)))
                        .collect::<Vec<Kind>>()
                        .into(),
                ),
            };
            let batch = concat_batches(&self.schema, taken.iter().map(|r| &r.batch))?;
            self.bytes += taken.iter().map(|r| r.bytes as u64).sum::<u64>();
            self.skipped += taken.iter().map(|r| r.skipped).sum::<u64>();
            let answers = taken.into_iter().map(|r| r.answer);
            match self.checkpoints {
                true => self.answers.passed(answers),
                false => answers.for_each(|answer| {
                    let _ = answer.send(());
                }),
            }
            if batch.num_rows() > 0 {
                return Ok(Read::rows(batch, kinds));
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        self.answers.cut(epoch);
        Ok(Some(Positions::new()))
    }

    fn leave(&mut self) -> Result<Positions> {
        // Those who wait for a checkpoint may still get it: only the door is shut.
        self.answers.leave();
        self.left = true;
        self.close();
        Ok(Positions::new())
    }
}
