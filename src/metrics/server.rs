//! The endpoint: three pages over HTTP, on a thread of its own.
//!
//! | path | status |
//! |---|---|
//! | `/metrics` | 200, the figures |
//! | `/health` | 200; 503 as soon as a job has failed |
//! | `/ready` | 200 while a job runs and none has failed; 503 before the first one, and when all have ended |

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::collect::collect;
use super::prometheus::Page;
use crate::error::{Error, Result};
use crate::flow::{Job, JobState};
use crate::session::Session;

/// Where it listens unless something else is said: the port of OpenTelemetry's exporters for Prometheus.
pub const DEFAULT: &str = "127.0.0.1:9464";

/// Connections at a time; what collects figures needs one.
const CONNECTIONS: usize = 64;

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for the jobs there are.
pub trait Jobs: Send + Sync + 'static {
    /// The jobs; `None` when nobody has any more.
    fn jobs(&self) -> Option<Vec<Arc<Job>>>;
}

impl Jobs for Weak<Session> {
    fn jobs(&self) -> Option<Vec<Arc<Job>>> {
        Some(self.upgrade()?.jobs())
    }
}

/// An address: `host:port`, `:port` or a port, on this machine alone where no host is given.
pub fn address(text: &str) -> Result<SocketAddr> {
    let wrong = |why: &str| {
        Error::option(format!("'{text}' is no address to listen at"))
            .with_detail(why.to_string())
            .with_hint("write a port such as 9464, or host:port such as 0.0.0.0:9464")
    };
    let full = match text.trim() {
        port if port.parse::<u16>().is_ok() => format!("127.0.0.1:{port}"),
        port if port.starts_with(':') => format!("127.0.0.1{port}"),
        other => other.to_string(),
    };
    let mut found = full.to_socket_addrs().map_err(|e| wrong(&e.to_string()))?;
    found.next().ok_or_else(|| wrong("the host has no address"))
}

/// Answers until the process ends; where it listens.
pub fn serve(jobs: impl Jobs, at: SocketAddr) -> Result<SocketAddr> {
    let (sender, ready) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name("affluent-metrics".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => return drop(sender.send(Err(e))),
        };
        runtime.block_on(async move {
            let listener = match TcpListener::bind(at).await {
                Ok(listener) => listener,
                Err(e) => return drop(sender.send(Err(e))),
            };
            let _ = sender.send(listener.local_addr());
            accept(listener, Arc::new(jobs)).await;
        });
    })?;
    let bound = ready.recv().map_err(|_| Error::internal("the thread for metrics has gone"))?;
    bound.map_err(|e| {
        Error::option(format!("metrics cannot listen at {at}"))
            .with_detail(e.to_string())
            .with_hint("another process has the port? --metrics=9465 takes another one, --metrics=0 any")
    })
}

async fn accept(listener: TcpListener, jobs: Arc<impl Jobs>) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Descriptors are short, or the client has gone already.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let jobs = jobs.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = respond(&request, &*jobs);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            drop(place);
        });
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn respond<B>(request: &Request<B>, jobs: &impl Jobs) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n".into());
    }
    let jobs = jobs.jobs().unwrap_or_default();
    let states: Vec<JobState> = jobs.iter().map(|job| job.state()).collect();
    let failed = states.iter().filter(|state| matches!(state, JobState::Failed(_))).count();
    let running = states.iter().filter(|state| **state == JobState::Running).count();
    let healthy = |fine: bool| if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = format!("{running} running, {failed} failed\n");
    match request.uri().path() {
        "/metrics" => {
            let mut page = Page::default();
            collect(&jobs, chrono::Utc::now().timestamp_millis(), &mut page);
            text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.text())
        }
        "/health" => text(healthy(failed == 0), PLAIN, told),
        "/ready" => text(healthy(failed == 0 && running > 0), PLAIN, told),
        _ => text(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /health and /ready\n".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        let of = |text: &str| address(text).map(|a| a.to_string()).map_err(|e| e.to_string());
        assert_eq!(of("9000").unwrap(), "127.0.0.1:9000");
        assert_eq!(of(":9000").unwrap(), "127.0.0.1:9000");
        assert_eq!(of("0.0.0.0:9000").unwrap(), "0.0.0.0:9000");
        assert!(of("no port").unwrap_err().contains("'no port' is no address to listen at"));
    }

    #[test]
    fn pages_follow_the_jobs() {
        let session = Arc::new(Session::new().unwrap());
        let ask = |path: &str| {
            let request = Request::builder().uri(path).body(()).unwrap();
            let response = respond(&request, &Arc::downgrade(&session));
            let status = response.status().as_u16();
            let body = http_body_util::BodyExt::collect(response.into_body());
            let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body).unwrap();
            (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
        };
        assert_eq!((ask("/health").0, ask("/ready").0, ask("/nothing").0), (200, 503, 404));
        session
            .sql(
                "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '100');
                 CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
                 SET 'table.dml-sync' = 'true'; SET 'pipeline.name' = 'all \"of\" it'; INSERT INTO gone SELECT n FROM n",
            )
            .unwrap();
        let (status, page) = ask("/metrics");
        let labels = "{affluent_job_id=\"1\",affluent_job_name=\"all \\\"of\\\" it\"}";
        assert_eq!(status, 200);
        assert!(page.contains(&format!("affluent_job_rows_read_total{labels} 100\n")), "{page}");
        assert!(page.contains("affluent_job_state=\"finished\"} 1\n"), "{page}");
        assert!(page.contains("affluent_operator_name=\"Sink: gone\"") || page.contains("Sink: "), "{page}");
        // Each line is a sample or a comment, and each metric is described once.
        let described: Vec<&str> = page.lines().filter(|l| l.starts_with("# TYPE ")).collect();
        assert_eq!(described.iter().collect::<std::collections::HashSet<_>>().len(), described.len());
        assert!(
            page.lines().all(|l| l.starts_with("# ") || l.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok())
        );
        assert_eq!((ask("/health").0, ask("/ready").0), (200, 503));
    }
}
