//! What a request looked like: noted by whoever sends it, if somebody listens. For EXPLAIN LOOKUP, and for traces of rows.
//!
//! ```text
//!   lookup sensors ────────────────────────────────────────┐   one flight: from the first row that waits for the key
//!      ├─ GET 503 ────┤                                     │   to its answer
//!      │       (pause before the retry)                     │
//!      └──────────────────────────├─ GET 200 ───────────────┤   one span a request; the service gets `traceparent`
//! ```
//! Of all flights a share is traced ([`collect`]). What others cost then is one look at a static.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

/// Label and text of what happened, in order; without secrets.
pub(crate) type Notes = Arc<Mutex<Vec<(&'static str, String)>>>;

tokio::task_local! {
    static NOTES: Notes;
    static CONTEXT: Context;
}

/// Runs a request whose steps are noted.
pub(super) async fn listen<T>(notes: Notes, request: impl Future<Output = T>) -> T {
    NOTES.scope(notes, request).await
}

/// Notes a step; `text` is made only where somebody listens, and holds no secret.
pub(crate) fn note(label: &'static str, text: impl FnOnce() -> String) {
    // Nobody listens in a job, but to the rows that are traced.
    let _ = NOTES.try_with(|notes| notes.lock().push((label, text())));
}

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy)]
struct Context {
    trace: u128,
    span: u64,
}

/// The header `traceparent` (W3C Trace Context) of a request that is traced.
pub(crate) fn parent() -> Option<String> {
    CONTEXT.try_with(|c| format!("00-{:032x}-{:016x}-01", c.trace, c.span)).ok()
}

/// A piece of a trace.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: String,
    /// A request to a service.
    pub(crate) is_client: bool,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) error: Option<String>,
}

/// Spans that wait to be sent; more are dropped, and counted.
const KEPT: usize = 4096;

#[derive(Debug)]
struct Collector {
    /// One flight of so many is traced.
    every: u64,
    /// Tells processes apart.
    random: u64,
    flights: AtomicU64,
    spans: Mutex<Vec<Span>>,
    dropped: AtomicU64,
}

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// From now on, this share of all flights is traced, from 0 to 1.
pub(crate) fn collect(share: f64) {
    if share <= 0.0 {
        return;
    }
    let every = (1.0 / share).round().clamp(1.0, 1e12) as u64;
    let (flights, spans, dropped) = (AtomicU64::new(0), Mutex::default(), AtomicU64::new(0));
    // The first that says so decides.
    let _ = COLLECTOR.set(Collector { every, random: rand::random(), flights, spans, dropped });
}

/// Takes the spans that have ended, and how many were dropped since the last time.
pub(crate) fn take() -> (Vec<Span>, u64) {
    COLLECTOR.get().map_or_else(Default::default, |collector| {
        (std::mem::take(&mut *collector.spans.lock()), collector.dropped.swap(0, Ordering::Relaxed))
    })
}

impl Collector {
    fn add(&self, span: Span) {
        let mut spans = self.spans.lock();
        match spans.len() < KEPT {
            true => spans.push(span),
            false => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A flight that is traced: its span ends with it.
#[derive(Debug)]
pub(super) struct Traced {
    context: Context,
    start: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    name: Option<String>,
    requests: u64,
    error: Option<String>,
}

/// Begins the trace of a flight, if it is one of those that are traced.
pub(super) fn begin() -> Option<Arc<Traced>> {
    let collector = COLLECTOR.get()?;
    if collector.flights.fetch_add(1, Ordering::Relaxed) % collector.every != 0 {
        return None;
    }
    let id: u64 = rand::random::<u64>().max(1);
    let context = Context { trace: u128::from(collector.random) << 64 | u128::from(id), span: id };
    Some(Arc::new(Traced { context, start: SystemTime::now(), state: Mutex::default() }))
}

impl Drop for Traced {
    fn drop(&mut self) {
        let (Some(collector), state) = (COLLECTOR.get(), self.state.get_mut()) else { return };
        let name = state.name.take().unwrap_or_default();
        collector.add(Span {
            trace: self.context.trace,
            id: self.context.span,
            parent: None,
            name: format!("lookup {name}"),
            is_client: false,
            start: self.start,
            end: SystemTime::now(),
            attributes: vec![
                ("affluent.lookup.name", name),
                ("affluent.lookup.requests", state.requests.to_string()),
            ],
            error: state.error.take(),
        });
    }
}

/// Runs a request of a flight that is traced; `failed` says of its result what went wrong.
pub(super) async fn request<T>(
    traced: Option<Arc<Traced>>,
    (name, keys, what): (&str, usize, impl FnOnce() -> String),
    request: impl Future<Output = T>,
    failed: impl FnOnce(&T) -> Option<String>,
) -> T {
    let Some(traced) = traced else { return request.await };
    let id = rand::random::<u64>().max(1);
    let context = Context { span: id, ..traced.context };
    let notes = Notes::default();
    let mut sent = Sent {
        traced,
        id,
        notes: notes.clone(),
        start: SystemTime::now(),
        error: None,
        attributes: Vec::new(),
    };
    sent.attributes.push(("affluent.lookup.name", name.to_string()));
    sent.attributes.push(("affluent.lookup.keys", keys.to_string()));
    sent.attributes.push(("affluent.lookup.endpoint", what()));
    sent.traced.state.lock().name = Some(name.to_string());
    sent.error = Some("no row waited for the answer".to_string());
    let result = CONTEXT.scope(context, listen(notes, request)).await;
    sent.error = failed(&result);
    result
}

/// A request on its way; its span ends with it.
struct Sent {
    traced: Arc<Traced>,
    id: u64,
    notes: Notes,
    start: SystemTime,
    error: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(collector) = COLLECTOR.get() else { return };
        let mut name = "request".to_string();
        let mut attributes = std::mem::take(&mut self.attributes);
        for (label, text) in self.notes.lock().iter() {
            match (*label, text.split_once(' ')) {
                ("request", Some((method, url))) => {
                    name = method.to_string();
                    attributes.push(("http.request.method", method.to_string()));
                    attributes.push(("url.full", url.to_string()));
                }
                ("answer", _) => {
                    let status: String = text.chars().take_while(char::is_ascii_digit).collect();
                    attributes.push(("http.response.status_code", status));
                }
                _ => {}
            }
        }
        let mut state = self.traced.state.lock();
        state.requests += 1;
        state.error = self.error.clone();
        drop(state);
        collector.add(Span {
            trace: self.traced.context.trace,
            id: self.id,
            parent: Some(self.traced.context.span),
            name,
            is_client: true,
            start: self.start,
            end: SystemTime::now(),
            attributes,
            error: self.error.take(),
        });
    }
}
