//! `affluent sensor-api`: the service that knows the sensors, with the faults of real services.
//!
//! | request | answer |
//! |---|---|
//! | `GET /sensors/{id}` | `{"id", "brand", "countryCode", "location", "imageUrl"}`, or 404 |
//! | `POST /sensors/batch`, `["1", "2"]` or `{"ids": [...]}` | array of those that exist |
//! | `GET /transactions/{id}/place` | `{"transaction_id", "country_of_purchase", "state_of_purchase", "zip_of_purchase"}` |
//! | `GET /stats` | what was asked since the start or reset |
//! | `POST /reset` | counts from 0 |
//!
//! It shares the machine with the engine that it serves, so it does little: a request costs some
//! microseconds, and latency is a timer, not a thread.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::random::{mix, unit};
use super::sensor::Sensors;
use super::{place, sensor};
use crate::catalog::options::parse_duration;
use crate::error::{Error, Result};

/// The largest batch body that is read.
const MAX_BODY: usize = 16 << 20;

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| format!("{}; write 20ms, 1s or 5min", e.message()))
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0 to 1, such as 0.01".into()),
    }
}

/// How the service behaves.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Service")]
pub struct SensorApiOptions {
    /// Address to listen on; the default serves this machine only
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Sensors there are: ids from 0 to N-1
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub sensors: u64,
    /// Share of these ids that is unknown all the same (404)
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub missing_share: f64,
    /// How long an answer takes
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = duration)]
    pub latency: Duration,
    /// Share of answers that take --slow-latency instead
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub slow_share: f64,
    /// How long a slow answer takes
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub slow_latency: Duration,
    /// Share of requests that are answered with 500
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub error_rate: f64,
    /// Requests per second, bursts of a second's worth; those above get 429 and Retry-After
    #[arg(long, value_name = "N")]
    pub rate_limit: Option<u64>,
    /// Begins an outage (503) every so often
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "outage_for")]
    pub outage_every: Option<Duration>,
    /// How long an outage takes
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "outage_every")]
    pub outage_for: Option<Duration>,
}

impl Default for SensorApiOptions {
    /// No latency, no faults, any port.
    fn default() -> Self {
        Self {
            host: std::net::IpAddr::from([127, 0, 0, 1]),
            port: 0,
            sensors: 100_000,
            missing_share: 0.0,
            latency: Duration::ZERO,
            slow_share: 0.0,
            slow_latency: Duration::from_secs(1),
            error_rate: 0.0,
            rate_limit: None,
            outage_every: None,
            outage_for: None,
        }
    }
}

/// Requests by status, in the order of [`STATUSES`].
const STATUSES: [u16; 7] = [200, 400, 404, 405, 429, 500, 503];

/// What was asked since the start or reset. `/stats` and `/reset` themselves do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiStats {
    /// Requests that were answered.
    pub requests: u64,
    /// Keys asked for; more than requests when batches were sent.
    pub keys: u64,
    /// Different keys asked for.
    pub distinct_keys: u64,
    /// Most requests at one time.
    pub max_concurrent: u64,
    /// Answers by status, those that occurred.
    pub by_status: Vec<(u16, u64)>,
}

impl ApiStats {
    fn to_json(&self) -> String {
        let by_status: serde_json::Map<String, serde_json::Value> =
            self.by_status.iter().map(|(status, n)| (status.to_string(), (*n).into())).collect();
        serde_json::json!({
            "requests": self.requests,
            "keys": self.keys,
            "distinctKeys": self.distinct_keys,
            "maxConcurrent": self.max_concurrent,
            "byStatus": by_status,
        })
        .to_string()
    }
}

#[derive(Debug, Default)]
struct Counters {
    keys: AtomicU64,
    in_flight: AtomicU64,
    max_concurrent: AtomicU64,
    by_status: [AtomicU64; STATUSES.len()],
    distinct: Mutex<HashSet<u64, foldhash::fast::RandomState>>,
}

impl Counters {
    fn snapshot(&self) -> ApiStats {
        let by_status: Vec<(u16, u64)> = STATUSES
            .iter()
            .zip(&self.by_status)
            .map(|(status, n)| (*status, n.load(Ordering::Relaxed)))
            .filter(|(_, n)| *n > 0)
            .collect();
        ApiStats {
            requests: by_status.iter().map(|(_, n)| n).sum(),
            keys: self.keys.load(Ordering::Relaxed),
            distinct_keys: self.distinct.lock().len() as u64,
            max_concurrent: self.max_concurrent.load(Ordering::Relaxed),
            by_status,
        }
    }

    fn reset(&self) {
        self.keys.store(0, Ordering::Relaxed);
        self.max_concurrent.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
        self.by_status.iter().for_each(|n| n.store(0, Ordering::Relaxed));
        self.distinct.lock().clear();
    }

    fn note_key(&self, hash: u64) {
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.distinct.lock().insert(hash);
    }

    fn note_status(&self, status: StatusCode) {
        if let Some(i) = STATUSES.iter().position(|s| *s == status.as_u16()) {
            self.by_status[i].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts a request as in flight while it lives.
struct InFlight<'a>(&'a Counters);

impl<'a> InFlight<'a> {
    fn new(counters: &'a Counters) -> Self {
        let now = counters.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        counters.max_concurrent.fetch_max(now, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests that may come, refilled with time.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

#[derive(Debug)]
struct Service {
    options: SensorApiOptions,
    sensors: Sensors,
    counters: Counters,
    draws: AtomicU64,
    bucket: Mutex<Bucket>,
    started: Instant,
}

/// An answer: status and JSON body.
type Answer = (StatusCode, String);

impl Service {
    fn new(options: SensorApiOptions) -> Self {
        let started = Instant::now();
        let tokens = options.rate_limit.unwrap_or(0) as f64;
        Self {
            sensors: Sensors { count: options.sensors, missing_share: options.missing_share },
            counters: Counters::default(),
            draws: AtomicU64::new(0),
            bucket: Mutex::new(Bucket { tokens, filled: started }),
            started,
            options,
        }
    }

    /// A number from 0 to 1, another each time.
    fn draw(&self) -> f64 {
        unit(mix(self.draws.fetch_add(1, Ordering::Relaxed)))
    }

    /// The fault that a request meets which comes now.
    fn fault(&self, now: Instant) -> Option<StatusCode> {
        if let (Some(every), Some(length)) = (self.options.outage_every, self.options.outage_for) {
            let (age, every) = (now.saturating_duration_since(self.started).as_nanos(), every.as_nanos());
            if every > 0 && age >= every && age % every < length.as_nanos() {
                return Some(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
        if let Some(rate) = self.options.rate_limit {
            let rate = rate as f64;
            let mut bucket = self.bucket.lock();
            let fresh = now.saturating_duration_since(bucket.filled).as_secs_f64() * rate;
            bucket.tokens = (bucket.tokens + fresh).min(rate.max(1.0));
            bucket.filled = now;
            if bucket.tokens < 1.0 {
                return Some(StatusCode::TOO_MANY_REQUESTS);
            }
            bucket.tokens -= 1.0;
        }
        (self.options.error_rate > 0.0 && self.draw() < self.options.error_rate)
            .then_some(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn latency(&self) -> Duration {
        match self.options.slow_share > 0.0 && self.draw() < self.options.slow_share {
            true => self.options.slow_latency,
            false => self.options.latency,
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/stats") => response(StatusCode::OK, self.counters.snapshot().to_json()),
            (&Method::POST, "/reset") => {
                self.counters.reset();
                response(StatusCode::OK, "{}".into())
            }
            _ => {
                let in_flight = InFlight::new(&self.counters);
                let (status, body) = match self.fault(Instant::now()) {
                    Some(status @ StatusCode::INTERNAL_SERVER_ERROR) => {
                        self.sleep().await;
                        (status, message("something broke"))
                    }
                    Some(status) => (status, message("not now")),
                    None => {
                        let answer = self.answer(request).await;
                        self.sleep().await;
                        answer
                    }
                };
                self.counters.note_status(status);
                drop(in_flight);
                let mut response = response(status, body);
                if status == StatusCode::TOO_MANY_REQUESTS {
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
        }
    }

    async fn sleep(&self) {
        let latency = self.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/sensors/batch") => self.batch(request).await,
            (&Method::GET, _) => {
                let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
                if let Some(id) = path.strip_prefix("/sensors/") {
                    return self.sensor(&decode(id));
                }
                if let Some(id) = path.strip_prefix("/transactions/").and_then(|p| p.strip_suffix("/place")) {
                    return self.place(&decode(id));
                }
                let hint =
                    "there are /sensors/{id}, /sensors/batch, /transactions/{id}/place, /stats, /reset";
                (StatusCode::NOT_FOUND, message(hint))
            }
            _ => (StatusCode::METHOD_NOT_ALLOWED, message("GET /sensors/{id} or POST /sensors/batch")),
        }
    }

    fn sensor(&self, id: &str) -> Answer {
        self.counters.note_key(place::hash(id));
        match self.sensors.find(id) {
            Some(number) => {
                let mut body = String::with_capacity(160);
                sensor::push_json(&mut body, number);
                (StatusCode::OK, body)
            }
            None => (StatusCode::NOT_FOUND, message("no such sensor")),
        }
    }

    fn place(&self, id: &str) -> Answer {
        self.counters.note_key(place::hash(id));
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !plain {
            return (StatusCode::NOT_FOUND, message("no such transaction"));
        }
        let mut body = String::with_capacity(160);
        place::push_json(&mut body, id);
        (StatusCode::OK, body)
    }

    async fn batch(&self, request: Request<Incoming>) -> Answer {
        let bad = |what: &str| (StatusCode::BAD_REQUEST, message(what));
        let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
            return bad("the body is too large or broke off");
        };
        let Ok(batch) = serde_json::from_slice::<Batch>(&body.to_bytes()) else {
            return bad("the body must be [\"1\", \"2\"] or {\"ids\": [...]}");
        };
        let (Batch::Bare(ids) | Batch::Named { ids }) = batch;
        let mut out = String::with_capacity(2 + ids.len() * 160);
        out.push('[');
        for id in &ids {
            let id = id.text();
            self.counters.note_key(place::hash(&id));
            if let Some(number) = self.sensors.find(&id) {
                if out.len() > 1 {
                    out.push(',');
                }
                sensor::push_json(&mut out, number);
            }
        }
        out.push(']');
        (StatusCode::OK, out)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Batch {
    Bare(Vec<Id>),
    Named { ids: Vec<Id> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
    Object { id: String },
}

impl Id {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Number(n) => n.to_string().into(),
            Self::Text(text) | Self::Object { id: text } => text.as_str().into(),
        }
    }
}

fn message(text: &str) -> String {
    serde_json::json!({ "message": text }).to_string()
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A running service; it stops when this is dropped.
#[derive(Debug)]
pub struct SensorApi {
    address: SocketAddr,
    service: Arc<Service>,
    accepting: JoinHandle<()>,
}

impl SensorApi {
    /// Starts the service on a runtime.
    pub fn start(options: SensorApiOptions, runtime: &tokio::runtime::Handle) -> Result<Self> {
        let wanted = SocketAddr::new(options.host, options.port);
        let cannot = |e: std::io::Error| {
            Error::io(format!("the sensor API cannot listen on {wanted}: {e}"))
                .with_hint("--port takes another port, 0 any that is free")
        };
        let listener = std::net::TcpListener::bind(wanted).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(cannot)?;
        let service = Arc::new(Service::new(options));
        let accepting = runtime.spawn(accept(listener, service.clone()));
        Ok(Self { address, service, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked since the start or the last [`SensorApi::reset`].
    pub fn stats(&self) -> ApiStats {
        self.service.counters.snapshot()
    }

    /// Counts from 0.
    pub fn reset(&self) {
        self.service.counters.reset();
    }

    /// Stops listening and closes all connections.
    pub fn stop(&self) {
        self.accepting.abort();
    }
}

impl Drop for SensorApi {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves connections until it is aborted, and they with it.
async fn accept(listener: TcpListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of file descriptors, most likely: let some connections end first.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        // Without it, small answers could wait for acknowledgements; an error costs only that.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.respond(request).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that goes away mid-request is its own business.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// Serves until Ctrl-C, then says what was asked.
pub async fn serve(options: SensorApiOptions) -> Result<()> {
    let api = SensorApi::start(options, &tokio::runtime::Handle::current())?;
    let address = api.address();
    eprintln!(
        "sensor API on http://{address}/sensors/{{id}}, figures on http://{address}/stats; Ctrl-C ends it"
    );
    tokio::signal::ctrl_c().await?;
    eprintln!("\n{}", api.stats().to_json());
    Ok(())
}

/// As [`serve`], on its own thread making.
pub fn serve_blocking(options: SensorApiOptions) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        api: SensorApiOptions,
    }

    fn start(change: impl FnOnce(&mut SensorApiOptions)) -> SensorApi {
        let mut options = SensorApiOptions::default();
        change(&mut options);
        SensorApi::start(options, &tokio::runtime::Handle::current()).unwrap()
    }

    async fn call(
        client: &reqwest::Client,
        api: &SensorApi,
        path: &str,
        body: Option<&'static str>,
    ) -> (u16, String) {
        let url = format!("http://{}{path}", api.address());
        let request = match body {
            Some(body) => client.post(url).body(body),
            None => client.get(url),
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    fn client() -> reqwest::Client {
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
    }

    #[tokio::test]
    async fn it_knows_sensors_and_counts() {
        let (api, client) = (start(|o| o.sensors = 10), client());
        let (status, body) = call(&client, &api, "/sensors/7", None).await;
        assert_eq!(status, 200);
        assert!(body.starts_with(r#"{"id":"7","brand":""#), "{body}");
        assert_eq!(call(&client, &api, "/sensors/10", None).await.0, 404);
        assert_eq!(call(&client, &api, "/sensors/%2F", None).await.0, 404);
        assert_eq!(call(&client, &api, "/nothing", None).await.0, 404);
        let (status, body) = call(&client, &api, "/sensors/batch", Some(r#"["1",2,"99",{"id":"3"}]"#)).await;
        let rows: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        assert_eq!((status, rows.len()), (200, 3));
        let named = call(&client, &api, "/sensors/batch", Some(r#"{"ids":["1"]}"#)).await;
        assert!(named.1.starts_with(r#"[{"id":"1""#), "{}", named.1);
        assert_eq!(call(&client, &api, "/sensors/batch", Some("what?")).await.0, 400);
        let (_, place) = call(&client, &api, "/transactions/transaction_001/place", None).await;
        assert!(
            place.starts_with(r#"{"transaction_id":"transaction_001","country_of_purchase":"USA""#),
            "{place}"
        );
        assert_eq!(call(&client, &api, "/sensors/1", Some("")).await.0, 405);

        let stats = api.stats();
        assert_eq!((stats.requests, stats.keys, stats.distinct_keys), (9, 9, 8));
        assert_eq!(stats.by_status, [(200, 4), (400, 1), (404, 3), (405, 1)]);
        let (_, shown) = call(&client, &api, "/stats", None).await;
        assert!(shown.contains(r#""requests":9"#) && shown.contains(r#""404":3"#), "{shown}");
        call(&client, &api, "/reset", Some("")).await;
        assert_eq!(api.stats(), ApiStats::default());
    }

    #[tokio::test]
    async fn faults_are_as_ordered() {
        let client = client();
        let api = start(|o| o.error_rate = 1.0);
        assert_eq!(call(&client, &api, "/sensors/1", None).await.0, 500);
        let api = start(|o| o.rate_limit = Some(2));
        let mut statuses = vec![];
        for _ in 0..3 {
            let url = format!("http://{}/sensors/1", api.address());
            let response = client.get(url).send().await.unwrap();
            statuses.push((response.status().as_u16(), response.headers().get("retry-after").is_some()));
        }
        assert_eq!(statuses, [(200, false), (200, false), (429, true)]);
    }

    #[test]
    fn outages_come_and_go() {
        let service = Service::new(SensorApiOptions {
            outage_every: Some(Duration::from_secs(30)),
            outage_for: Some(Duration::from_secs(2)),
            ..SensorApiOptions::default()
        });
        let second = |i| service.started + Duration::from_secs(i);
        let faults: Vec<bool> = (0..66).map(|i| service.fault(second(i)).is_some()).collect();
        let down: Vec<usize> = (0..66).filter(|i| faults[*i]).collect();
        assert_eq!(down, [30, 31, 60, 61]);
    }

    #[test]
    fn the_rate_refills() {
        let options = SensorApiOptions { rate_limit: Some(10), ..SensorApiOptions::default() };
        let service = Service::new(options);
        let granted = |at| (0..20).filter(|_| service.fault(at).is_none()).count();
        assert_eq!(granted(service.started), 10);
        assert_eq!(granted(service.started + Duration::from_millis(500)), 5);
    }

    #[tokio::test]
    async fn a_stopped_service_answers_nobody() {
        let (api, client) = (start(|_| ()), client());
        assert_eq!(call(&client, &api, "/sensors/1", None).await.0, 200);
        let url = format!("http://{}/sensors/1", api.address());
        api.stop();
        tokio::task::yield_now().await;
        assert!(client.get(url).send().await.is_err());
    }

    #[test]
    fn arguments_are_read() {
        use clap::Parser;
        let parse =
            |arguments: &[&str]| Command::try_parse_from([&["api"], arguments].concat()).map(|c| c.api);
        let options =
            parse(&["--port", "0", "--latency", "20ms", "--slow-share", "0.01", "--rate-limit", "100"]);
        let options = options.unwrap();
        assert_eq!((options.latency, options.slow_share), (Duration::from_millis(20), 0.01));
        assert!(parse(&["--latency", "soon"]).is_err());
        assert!(parse(&["--error-rate", "2"]).is_err());
        assert!(parse(&["--outage-every", "30s"]).is_err());
    }
}
