//! Metrics and traces to an OpenTelemetry collector: OTLP over HTTP as JSON, by the environment that all SDKs read.
//!
//! | variable | what it says |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | where to send; `/v1/metrics` and `/v1/traces` are appended. Without it, and without `--otlp`, nothing is sent |
//! | `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `..._TRACES_ENDPOINT` | of one of the two, as it is |
//! | `OTEL_EXPORTER_OTLP_HEADERS` (`..._METRICS_HEADERS`, `..._TRACES_HEADERS`) | `name=value,name=value`, percent-encoded |
//! | `OTEL_EXPORTER_OTLP_PROTOCOL` | `http/json`; another one is refused |
//! | `OTEL_EXPORTER_OTLP_TIMEOUT` | of a request, in milliseconds (10000) |
//! | `OTEL_METRIC_EXPORT_INTERVAL` | milliseconds between exports of metrics (60000) |
//! | `OTEL_BSP_SCHEDULE_DELAY` | milliseconds between exports of spans (5000) |
//! | `OTEL_TRACES_SAMPLER_ARG` | share of lookups that are traced, from 0 to 1 (0.01) |
//! | `OTEL_METRICS_EXPORTER`, `OTEL_TRACES_EXPORTER` | `none` leaves one of the two out |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the process is called (`affluent`) |
//! | `OTEL_SDK_DISABLED` | `true`: nothing is sent |
//!
//! A collector that does not answer costs nothing but its figures: an export that fails is tried again with the next one,
//! is said once until one succeeds again, and never holds a job.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::catalogue::{Kind, METRICS, Metric};
use super::collect::{Sheet, collect};
use super::prometheus::{BOUNDS, buckets};
use super::server::Jobs;
use crate::error::{Error, Result};
use crate::lookup::trace::{self, Span};

/// What is asked of the environment; tests give their own.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where one kind of signal goes.
#[derive(Debug, Clone)]
struct Target {
    url: url::Url,
    headers: HeaderMap,
    every: Duration,
}

/// How things are exported.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    metrics: Option<Target>,
    traces: Option<Target>,
    /// Share of lookups that are traced.
    share: f64,
    timeout: Duration,
    resource: Value,
}

fn number(of: Environment<'_>, name: &str, or: u64) -> Result<Duration> {
    let Some(text) = of(name) else { return Ok(Duration::from_millis(or)) };
    let millis = text
        .trim()
        .parse()
        .map_err(|_| Error::option(format!("{name} is '{text}', it must be a number of milliseconds")))?;
    Ok(Duration::from_millis(millis))
}

/// `name=value,name=value`, percent-encoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (decoded(n), decoded(v))).collect()
}

fn target(of: Environment<'_>, base: Option<&str>, signal: &str, every: Duration) -> Result<Option<Target>> {
    let upper = signal.to_ascii_uppercase();
    if of(&format!("OTEL_{upper}_EXPORTER")).is_some_and(|exporter| exporter.trim() == "none") {
        return Ok(None);
    }
    let own = of(&format!("OTEL_EXPORTER_OTLP_{upper}_ENDPOINT"));
    let text = match (own, base) {
        (Some(own), _) => own,
        (None, Some(base)) => format!("{}/v1/{signal}", base.trim_end_matches('/')),
        (None, None) => return Ok(None),
    };
    let url = url::Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| {
        Error::option(format!("'{}' is no endpoint of OTLP", crate::secret::redact(&text)))
            .with_hint("write a URL such as http://127.0.0.1:4318")
    })?;
    let protocol = of(&format!("OTEL_EXPORTER_OTLP_{upper}_PROTOCOL")).or(of("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(other) = protocol.filter(|p| p.trim() != "http/json") {
        return Err(Error::option(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is '{other}': http/json is sent, nothing else"
        ))
        .with_hint("set it to http/json; collectors take that at port 4318 as well"));
    }
    let mut headers = HeaderMap::new();
    let written = of(&format!("OTEL_EXPORTER_OTLP_{upper}_HEADERS")).or(of("OTEL_EXPORTER_OTLP_HEADERS"));
    for (name, value) in written.iter().flat_map(|text| pairs(text)) {
        let wrong = || {
            Error::option(format!("OTEL_EXPORTER_OTLP_HEADERS: '{name}' is no header, or its value is none"))
        };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Some(Target { url, headers, every }))
}

impl Config {
    /// What the environment says; `given`: an endpoint that the arguments name. `None`: nothing is exported.
    pub(crate) fn read(given: Option<&str>, of: Environment<'_>) -> Result<Option<Self>> {
        if of("OTEL_SDK_DISABLED").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let base = given
            .map(str::to_string)
            .or(of("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .filter(|text| !text.trim().is_empty());
        let metrics =
            target(of, base.as_deref(), "metrics", number(of, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)?)?;
        let traces = target(of, base.as_deref(), "traces", number(of, "OTEL_BSP_SCHEDULE_DELAY", 5_000)?)?;
        if metrics.is_none() && traces.is_none() {
            return Ok(None);
        }
        let share = match of("OTEL_TRACES_SAMPLER_ARG") {
            None => 0.01,
            Some(text) => {
                text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                    Error::option(format!(
                        "OTEL_TRACES_SAMPLER_ARG is '{text}', it must be a share from 0 to 1"
                    ))
                })?
            }
        };
        let mut attributes: Vec<(String, String)> =
            of("OTEL_RESOURCE_ATTRIBUTES").map(|text| pairs(&text)).unwrap_or_default();
        if let Some(name) = of("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
            attributes.retain(|(key, _)| key != "service.name");
            attributes.push(("service.name".to_string(), name));
        } else if !attributes.iter().any(|(key, _)| key == "service.name") {
            attributes.push(("service.name".to_string(), "affluent".to_string()));
        }
        attributes.push(("service.version".to_string(), env!("CARGO_PKG_VERSION").to_string()));
        attributes.push(("process.pid".to_string(), std::process::id().to_string()));
        let attributes: Vec<Value> = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        let timeout = number(of, "OTEL_EXPORTER_OTLP_TIMEOUT", 10_000)?;
        Ok(Some(Self { metrics, traces, share, timeout, resource: json!({ "attributes": attributes }) }))
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn attributes(of: &[(&str, &str)]) -> Vec<Value> {
    of.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn scope() -> Value {
    json!({ "name": "affluent", "version": env!("CARGO_PKG_VERSION") })
}

/// Samples as OTLP has them, by metric.
pub(super) struct Points {
    begun: String,
    now: String,
    points: HashMap<&'static str, Vec<Value>>,
}

impl Sheet for Points {
    fn value(&mut self, metric: &Metric, of: &[(&str, &str)], value: f64) {
        let point = json!({
            "attributes": attributes(of),
            "startTimeUnixNano": self.begun,
            "timeUnixNano": self.now,
            "asDouble": value,
        });
        self.points.entry(metric.name).or_default().push(point);
    }

    fn histogram(&mut self, metric: &Metric, of: &[(&str, &str)], of_micros: &Histogram<u64>) {
        let (counts, sum) = buckets(of_micros);
        let inside: u64 = counts.iter().sum();
        let beyond = of_micros.len() - inside;
        let counts: Vec<String> = counts.iter().chain([&beyond]).map(u64::to_string).collect();
        let bounds: Vec<f64> = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).collect();
        let point = json!({
            "attributes": attributes(of),
            "startTimeUnixNano": self.begun,
            "timeUnixNano": self.now,
            "count": of_micros.len().to_string(),
            "sum": sum,
            "bucketCounts": counts,
            "explicitBounds": bounds,
        });
        self.points.entry(metric.name).or_default().push(point);
    }
}

impl Points {
    pub(super) fn new(begun: SystemTime) -> Self {
        Self { begun: nanos(begun), now: nanos(SystemTime::now()), points: HashMap::new() }
    }

    /// The body of a request.
    fn body(mut self, resource: &Value) -> Value {
        let metric = |metric: &&Metric| {
            let points = self.points.remove(metric.name)?;
            let unit = if metric.unit.is_empty() { "1" } else { metric.unit };
            let mut of = json!({ "name": metric.name, "description": metric.doc, "unit": unit });
            // 2: cumulative.
            let (kind, data) = match metric.kind {
                Kind::Counter => {
                    ("sum", json!({ "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points }))
                }
                Kind::Gauge => ("gauge", json!({ "dataPoints": points })),
                Kind::Histogram => {
                    ("histogram", json!({ "aggregationTemporality": 2, "dataPoints": points }))
                }
            };
            of[kind] = data;
            Some(of)
        };
        let metrics: Vec<Value> = METRICS.iter().filter_map(metric).collect();
        json!({ "resourceMetrics": [{
            "resource": resource,
            "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
        }] })
    }
}

/// The body of a request with spans.
fn spans(all: &[Span], resource: &Value) -> Value {
    let span = |span: &Span| {
        let status = match &span.error {
            Some(error) => json!({ "code": 2, "message": crate::secret::redact(error) }),
            None => json!({}),
        };
        let of: Vec<(&str, String)> = span
            .attributes
            .iter()
            .map(|(key, value)| (*key, crate::secret::redact(value).into_owned()))
            .collect();
        let of: Vec<(&str, &str)> = of.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut value = json!({
            "traceId": format!("{:032x}", span.trace),
            "spanId": format!("{:016x}", span.id),
            "name": span.name,
            "kind": if span.is_client { 3 } else { 1 },
            "startTimeUnixNano": nanos(span.start),
            "endTimeUnixNano": nanos(span.end),
            "attributes": attributes(&of),
            "status": status,
        });
        if let Some(parent) = span.parent {
            value["parentSpanId"] = json!(format!("{parent:016x}"));
        }
        value
    };
    let spans: Vec<Value> = all.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
}

/// An exporter that runs; when it is dropped, what is left is sent.
pub(crate) struct Exporter {
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Exports until it is dropped.
pub(crate) fn export(jobs: Arc<dyn Jobs>, config: Config) -> Result<Exporter> {
    if config.traces.is_some() {
        trace::collect(config.share);
    }
    static PROVIDER: std::sync::Once = std::sync::Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let targets = [&config.metrics, &config.traces];
    let is_here = |target: &Target| match target.url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let mut builder = Client::builder().timeout(config.timeout);
    // A proxy does not know this machine.
    if targets.into_iter().flatten().all(is_here) {
        builder = builder.no_proxy();
    }
    let client =
        builder.build().map_err(|e| Error::option("OTLP cannot be sent").with_detail(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = channel();
    let work = move || {
        let mut at_work = At { jobs, config, client, begun: SystemTime::now(), failed: false };
        at_work.run(&stopped, &runtime);
    };
    let thread = std::thread::Builder::new().name("affluent-otlp".into()).spawn(work)?;
    Ok(Exporter { stop: Some(stop), thread: Some(thread) })
}

struct At {
    jobs: Arc<dyn Jobs>,
    config: Config,
    client: Client,
    begun: SystemTime,
    /// The last export failed, and that was said.
    failed: bool,
}

impl At {
    fn run(&mut self, stopped: &Receiver<()>, runtime: &tokio::runtime::Runtime) {
        let now = Instant::now();
        let far = Duration::from_secs(3600);
        let every =
            |target: &Option<Target>| target.as_ref().map_or(far, |t| t.every.max(Duration::from_millis(10)));
        let (metrics, traces) = (every(&self.config.metrics), every(&self.config.traces));
        let (mut next_metrics, mut next_traces) = (now + metrics, now + traces);
        loop {
            let next = next_metrics.min(next_traces);
            let pause = next.saturating_duration_since(Instant::now());
            let ends =
                !matches!(stopped.recv_timeout(pause), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
            let now = Instant::now();
            runtime.block_on(async {
                if ends || now >= next_metrics {
                    next_metrics = now + metrics;
                    self.metrics().await;
                }
                if ends || now >= next_traces {
                    next_traces = now + traces;
                    self.traces().await;
                }
            });
            if ends {
                return;
            }
        }
    }

    async fn metrics(&mut self) {
        let Some(target) = self.config.metrics.clone() else { return };
        let jobs = self.jobs.jobs().unwrap_or_default();
        let mut points = Points::new(self.begun);
        collect(&jobs, chrono::Utc::now().timestamp_millis(), &mut points);
        let body = points.body(&self.config.resource);
        self.send(&target, &body).await;
    }

    async fn traces(&mut self) {
        let Some(target) = self.config.traces.clone() else { return };
        let (all, dropped) = trace::take();
        if dropped > 0 {
            log::warn!(
                "{dropped} spans were dropped: more came than are sent; OTEL_TRACES_SAMPLER_ARG traces fewer"
            );
        }
        for some in all.chunks(512) {
            let body = spans(some, &self.config.resource);
            self.send(&target, &body).await;
        }
    }

    async fn send(&mut self, target: &Target, body: &Value) {
        let request =
            self.client.post(target.url.clone()).headers(target.headers.clone()).body(body.to_string());
        let why = match request.send().await {
            Ok(response) if response.status().is_success() => {
                if std::mem::take(&mut self.failed) {
                    log::info!("OTLP: '{}' takes what it is sent again", shown(&target.url));
                }
                return;
            }
            Ok(response) => format!("it answered {}", response.status()),
            Err(e) => e.without_url().to_string(),
        };
        if !std::mem::replace(&mut self.failed, true) {
            log::warn!("OTLP: '{}' did not take what it was sent: {why}", shown(&target.url));
        }
    }
}

/// A URL without who logs in.
fn shown(url: &url::Url) -> String {
    crate::secret::option::redacted("url", url.as_str()).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::catalogue as c;
    use super::*;

    fn read(given: Option<&str>, all: &[(&str, &str)]) -> Result<Option<Config>> {
        let of = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        Config::read(given, &of)
    }

    #[test]
    fn the_environment_of_all_sdks() {
        assert!(read(None, &[]).unwrap().is_none());
        assert!(read(Some("http://h:4318"), &[("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        let config = read(
            None,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/x/"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/own"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x=1"),
                ("OTEL_SERVICE_NAME", "mine"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,zone=eu"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
            ],
        );
        let config = config.unwrap().unwrap();
        let (metrics, traces) = (config.metrics.unwrap(), config.traces.unwrap());
        assert_eq!(
            (metrics.url.as_str(), traces.url.as_str()),
            ("http://h:4318/x/v1/metrics", "https://t/own")
        );
        assert_eq!(metrics.headers.get("api-key").unwrap(), "a b");
        assert_eq!((metrics.every.as_millis(), config.share), (250, 0.01));
        let resource = config.resource.to_string();
        assert!(
            resource.contains("\"mine\"") && !resource.contains("\"other\"") && resource.contains("\"eu\"")
        );
        let one = read(Some("http://h"), &[("OTEL_TRACES_EXPORTER", "none")]).unwrap().unwrap();
        assert!(one.traces.is_none() && one.metrics.is_some());
        for (name, value, says) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json is sent"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:4318", "is no endpoint"),
            ("OTEL_TRACES_SAMPLER_ARG", "2", "a share from 0 to 1"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "a number of milliseconds"),
        ] {
            let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h"), (name, value)];
            let all: Vec<_> = base.into_iter().rev().collect();
            let e = read(None, &all).unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }

    #[test]
    fn bodies_are_those_of_the_protocol() {
        let mut points = Points::new(UNIX_EPOCH + Duration::from_secs(1));
        points.value(&c::ROWS_READ, &[("affluent.job.id", "1")], 7.0);
        points.value(&c::MEMORY, &[], 9.0);
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 2).unwrap();
        histogram.record_n(100, 3).unwrap();
        histogram.record(70_000_000).unwrap();
        points.histogram(&c::LATENCY, &[], &histogram);
        let body = points.body(&json!({}));
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let of = |name: &str| metrics.iter().find(|m| m["name"] == name).unwrap();
        let sum = &of("affluent.job.rows.read")["sum"];
        assert_eq!((&sum["isMonotonic"], &sum["aggregationTemporality"]), (&json!(true), &json!(2)));
        assert_eq!(sum["dataPoints"][0]["asDouble"], json!(7.0));
        assert_eq!(sum["dataPoints"][0]["startTimeUnixNano"], json!("1000000000"));
        assert!(of("process.memory.usage")["gauge"].is_object());
        let point = &of("affluent.job.latency")["histogram"]["dataPoints"][0];
        let counts = point["bucketCounts"].as_array().unwrap();
        assert_eq!(counts.len(), point["explicitBounds"].as_array().unwrap().len() + 1);
        assert_eq!(
            (&counts[0], counts.last().unwrap(), &point["count"]),
            (&json!("3"), &json!("1"), &json!("4"))
        );
        let span = Span {
            trace: 5,
            id: 6,
            parent: Some(7),
            name: "GET".into(),
            is_client: true,
            start: UNIX_EPOCH,
            end: UNIX_EPOCH,
            attributes: vec![("url.full", "http://h/".into())],
            error: Some("503".into()),
        };
        let body = spans(&[span], &json!({}));
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
        assert_eq!((&span["parentSpanId"], &span["kind"]), (&json!("0000000000000007"), &json!(3)));
        assert_eq!(span["status"]["code"], json!(2));
    }
}
