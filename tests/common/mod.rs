//! A scripted HTTP server for tests: what each request gets is written down, what was asked is counted.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// What one request gets.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// Says that so many more bytes follow, and closes the connection instead.
    pub cut: bool,
}

#[derive(Default)]
struct Script {
    /// `METHOD path` → replies in order; the last one stays.
    routes: Mutex<HashMap<String, Vec<Reply>>>,
    calls: Mutex<Vec<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

/// A server on a loopback port; it ends with the value.
pub struct Server {
    pub address: SocketAddr,
    script: Arc<Script>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Script::default());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let served = script.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = served.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| answer(script.clone(), request));
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, script, _runtime: runtime }
    }

    pub fn route(&self, method: &str, path: &str, reply: Reply) {
        self.script.routes.lock().unwrap().entry(format!("{method} {path}")).or_default().push(reply);
    }

    /// `METHOD path body` of each request, in order of arrival.
    pub fn calls(&self) -> Vec<String> {
        self.script.calls.lock().unwrap().clone()
    }

    pub fn most_in_flight(&self) -> usize {
        self.script.most_in_flight.load(Ordering::SeqCst)
    }
}

type Body = http_body_util::Either<Full<Bytes>, http_body_util::StreamBody<CutStream>>;
type CutStream = futures::stream::Iter<std::vec::IntoIter<Result<hyper::body::Frame<Bytes>, std::io::Error>>>;

async fn answer(script: Arc<Script>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path_and_query().map_or("", |p| p.as_str()).to_string();
    let route = format!("{} {path}", request.method());
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let shown =
        if body.is_empty() { route.clone() } else { format!("{route} {}", String::from_utf8_lossy(&body)) };
    script.calls.lock().unwrap().push(shown);
    let now = script.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    script.most_in_flight.fetch_max(now, Ordering::SeqCst);
    let reply = {
        let mut routes = script.routes.lock().unwrap();
        match routes.get_mut(&route) {
            Some(replies) if replies.len() > 1 => replies.remove(0),
            Some(replies) => replies[0].clone(),
            None => Reply { status: 404, body: b"{}".to_vec(), ..Reply::default() },
        }
    };
    tokio::time::sleep(reply.delay).await;
    script.in_flight.fetch_sub(1, Ordering::SeqCst);
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = if reply.cut {
        let frames = vec![
            Ok(hyper::body::Frame::data(Bytes::from(reply.body))),
            Err(std::io::Error::other("cut as the script says")),
        ];
        http_body_util::Either::Right(http_body_util::StreamBody::new(futures::stream::iter(frames)))
    } else {
        http_body_util::Either::Left(Full::new(Bytes::from(reply.body)))
    };
    Ok(response.body(body).unwrap())
}
