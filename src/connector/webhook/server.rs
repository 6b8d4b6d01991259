//! The HTTP side: who may send what, and what is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::split::{Head, Lines, Record};
use super::{Answer, Queue, Request, Settings};
use crate::clock::Clock;
use crate::connector::acknowledging::Acknowledging;
use crate::connector::messages::{Layout, RowDecoder};
use crate::error::Error;
use crate::lookup::aws::{hex, hmac};

/// Connections at a time.
const CONNECTIONS: usize = 1024;
/// How long a sender may take for its head, and for its body.
const HEAD: Duration = Duration::from_secs(20);
const BODY: Duration = Duration::from_secs(30);
/// How often a port that is taken is tried, and how long the pause between is: the reader before may just have ended.
const BINDS: u32 = 25;
const BIND_PAUSE: Duration = Duration::from_millis(200);
/// How long answers are waited for at the end.
const GOODBYE: Duration = Duration::from_secs(10);
/// Seconds after which a request that is not taken now may come again.
const AGAIN: &str = "1";

/// One reader's server.
pub(super) struct Served {
    pub(super) settings: Settings,
    pub(super) layout: Layout,
    pub(super) lines: Lines,
    pub(super) queue: Arc<Queue>,
    pub(super) answers: Arc<Acknowledging<Answer>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) checkpoints: bool,
    /// Decoders that are not in use.
    pub(super) decoders: Mutex<Vec<RowDecoder>>,
    /// Bytes of bodies that may be arriving, of all senders: also of those who may not send.
    pub(super) bodies: Semaphore,
}

/// Why a body is not there.
enum NoBody {
    TooLarge,
    /// Too many bytes of others are arriving.
    Busy,
    Broken,
}

type Reply = Response<Full<Bytes>>;

/// Serves until it is aborted.
pub(super) async fn serve(served: Arc<Served>) {
    let listener = match bind(served.settings.listen).await {
        Ok(listener) => listener,
        Err(e) => {
            let error = Error::io(format!(
                "table '{}': webhook could not listen on {}: {e}",
                served.layout.table(),
                served.settings.listen
            ));
            let hint = "another process or table listens there; each webhook table has a port of its own";
            return served.queue.fail(if e.kind() == std::io::ErrorKind::AddrInUse {
                error.with_hint(hint)
            } else {
                error
            });
        }
    };
    log::info!("table '{}' listens on {}", served.layout.table(), served.settings.describe());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
            () = served.queue.closed.notified() => break,
        };
        let (Ok(place), accepted) = accepted else { break };
        match accepted {
            Ok((stream, from)) => {
                let served = served.clone();
                connections.spawn(async move {
                    connection(served, stream, from).await;
                    drop(place);
                });
            }
            // Such as too many open files: it may pass.
            Err(e) => {
                log::warn!("table '{}': a connection could not be accepted: {e}", served.layout.table());
                sleep(BIND_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Those who wait for their answer may get it.
    let _ = timeout(GOODBYE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && tries < BINDS => {
                tries += 1;
                sleep(BIND_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

async fn connection(served: Arc<Served>, stream: TcpStream, from: SocketAddr) {
    // Latency counts; a connection without the option works, too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(served.reply(request, from).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100).keep_alive_interval(HEAD);
    if let Err(e) = builder.serve_connection(TokioIo::new(stream), service).await {
        log::debug!("webhook: a connection of {from} broke: {e}");
    }
}

impl Served {
    async fn reply(&self, request: HttpRequest<Incoming>, from: SocketAddr) -> Reply {
        let (head, body) = request.into_parts();
        let settings = &self.settings;
        let path = head.uri.path();
        let here = match settings.is_prefix {
            true => path.starts_with(settings.path.as_str()),
            false => path == settings.path,
        };
        if !here {
            return text(StatusCode::NOT_FOUND, "nothing is taken at this path");
        }
        if head.method != Method::POST && head.method != Method::PUT {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "rows are sent by POST");
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, PUT"));
            return reply;
        }
        if head.headers.get(CONTENT_ENCODING).is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken");
        }
        // Before the body: who may not send need not.
        let signature = match self.login(&head.headers) {
            Ok(signature) => signature,
            Err(reply) => return *reply,
        };
        if let Some(reply) = self.busy() {
            return reply;
        }
        let length = head.headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|n| n > settings.max_body as u64) {
            return self.too_large();
        }
        let mut place = None;
        let body = match timeout(BODY, self.body(body, &mut place)).await {
            Ok(Ok(body)) => body,
            Ok(Err(NoBody::TooLarge)) => return self.too_large(),
            Ok(Err(NoBody::Busy)) => return again(),
            Ok(Err(NoBody::Broken)) => return text(StatusCode::BAD_REQUEST, "the body broke off"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        };
        if let (Some(signature), Some(secret)) = (signature, &settings.secret) {
            let expected = hex(&hmac(secret.as_bytes(), &body));
            if !same(signature.as_bytes(), expected.as_bytes()) {
                return unauthorized("the signature is not that of the body");
            }
        }
        let headers = head.headers.iter().filter(|(name, _)| !is_private(name.as_str()));
        let head = Head {
            path: path.to_string(),
            query: head.uri.query().map(str::to_string),
            remote: from.ip().to_string(),
            received: self.clock.now_millis(),
            headers: headers
                .map(|(name, value)| {
                    (name.as_str().to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
        };
        let safe = match self.take(&head, &body) {
            Ok(safe) => safe,
            Err(what) => return text(StatusCode::BAD_REQUEST, &what),
        };
        // It counts as a request that waits.
        drop(place);
        match safe.await {
            Ok(()) if self.checkpoints => text(StatusCode::OK, "safe"),
            Ok(()) => text(StatusCode::ACCEPTED, "taken"),
            Err(_) => {
                let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, "the job has stopped; send it again");
                reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(AGAIN));
                reply
            }
        }
    }

    /// Collects a body; its bytes are counted as they arrive, in `place`.
    async fn body<'p>(
        &'p self,
        mut body: Incoming,
        place: &mut Option<SemaphorePermit<'p>>,
    ) -> Result<Bytes, NoBody> {
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
            if collected.len() + data.len() > self.settings.max_body {
                return Err(NoBody::TooLarge);
            }
            let more = u32::try_from(data.len()).map_err(|_| NoBody::TooLarge)?;
            let more = self.bodies.try_acquire_many(more).map_err(|_| NoBody::Busy)?;
            match place {
                Some(place) => place.merge(more),
                None => *place = Some(more),
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    }

    /// Checks what a sender has to know; a signature is checked when the body is there.
    fn login(&self, headers: &HeaderMap) -> Result<Option<String>, Box<Reply>> {
        let Some(secret) = &self.settings.secret else { return Ok(None) };
        if let Some(signature) = headers.get("x-hub-signature-256") {
            let signature = signature.to_str().ok().and_then(|s| s.strip_prefix("sha256="));
            return match signature {
                Some(signature) => Ok(Some(signature.to_ascii_lowercase())),
                None => Err(Box::new(unauthorized("X-Hub-Signature-256 is not sha256=..."))),
            };
        }
        let bearer = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let bearer = bearer.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        match bearer {
            Some(token) if same(token, secret.as_bytes()) => Ok(None),
            Some(_) => Err(Box::new(unauthorized("the token is not the right one"))),
            None => Err(Box::new(unauthorized("X-Hub-Signature-256 or Authorization: Bearer is required"))),
        }
    }

    /// Whether the job is behind.
    fn busy(&self) -> Option<Reply> {
        let waiting = self.queue.waiting();
        if waiting.is_some_and(|n| n + self.answers.len() < self.settings.waiting) {
            return None;
        }
        Some(again())
    }

    fn too_large(&self) -> Reply {
        let most = self.settings.max_body;
        text(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body is larger than {most} bytes ('max-body-size')"),
        )
    }

    /// Hands the rows of a body over: all, or none.
    fn take(&self, head: &Head, body: &Bytes) -> Result<oneshot::Receiver<()>, String> {
        let ranges = self.lines.records(body)?;
        let record = |(i, range): (usize, &std::ops::Range<usize>)| Record {
            head,
            value: body.get(range.clone()).unwrap_or_default(),
            number: i + 1,
        };
        let records: Vec<Record<'_>> = ranges.iter().enumerate().map(record).collect();
        let known = self.decoders.lock().pop();
        let mut decoder = match known {
            Some(decoder) => decoder,
            None => self.layout.decoder().map_err(|e| e.message().to_string())?,
        };
        let before = decoder.skipped();
        let rows = decoder.decode(&records);
        let skipped = decoder.skipped() - before;
        self.decoders.lock().push(decoder);
        let said = |e: &Error| {
            let text = e.message();
            let text = text.strip_prefix(&format!("table '{}': ", self.layout.table())).unwrap_or(text);
            match e.detail() {
                Some(detail) => format!("{text} ({detail})"),
                None => text.to_string(),
            }
        };
        let rows = rows.map_err(|e| said(&e))?;
        if let Some(e) = &rows.error {
            log::debug!("table '{}': a request of {} is refused: {e}", self.layout.table(), head.remote);
            return Err(said(e));
        }
        let (answer, safe) = oneshot::channel();
        let bytes = body.len() + 64;
        self.queue.put(Request { batch: rows.batch, kinds: rows.kinds, bytes, skipped, answer });
        Ok(safe)
    }
}

fn is_private(header: &str) -> bool {
    matches!(header, "authorization" | "proxy-authorization" | "cookie")
}

fn again() -> Reply {
    let mut reply = text(StatusCode::TOO_MANY_REQUESTS, "the job cannot keep up; send it again");
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(AGAIN));
    reply
}

fn unauthorized(what: &str) -> Reply {
    let mut reply = text(StatusCode::UNAUTHORIZED, what);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

/// Compares without telling by its time how much is right.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len() && given.iter().zip(expected).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

fn text(status: StatusCode, what: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{what}\n"))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}
