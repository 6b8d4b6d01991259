//! A scripted HTTP server for tests: it answers what it is told, whole or broken.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: String,
    pub(super) version: hyper::Version,
}

/// What is answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) delay: Duration,
}

pub(super) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply { status, headers: vec![], body: body.into(), delay: Duration::ZERO }
}

/// A running server; it ends with its runtime.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) most_in_flight: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl TestServer {
    /// Answers with what `script` says.
    pub(super) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::new(listener.local_addr().unwrap());
        let script = Arc::new(script);
        let (connections, seen) = (server.connections.clone(), server.seen.clone());
        let (most, now) = (server.most_in_flight.clone(), Arc::new(AtomicU64::new(0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (script.clone(), seen.clone());
                let (most, now) = (most.clone(), now.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (script, seen) = (script.clone(), seen.clone());
                    let (most, now) = (most.clone(), now.clone());
                    async move {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                        let request = Seen {
                            method: head.method.to_string(),
                            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                            headers: head.headers,
                            body: String::from_utf8_lossy(&body).into_owned(),
                            version: head.version,
                        };
                        let reply = script(&request);
                        seen.lock().push(request);
                        tokio::time::sleep(reply.delay).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        let mut response = Response::builder().status(reply.status);
                        for (name, value) in reply.headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, Infallible>(response.body(Full::new(reply.body)).unwrap())
                    }
                });
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        server
    }

    /// Answers every request with these bytes and closes the connection.
    pub(super) async fn raw(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::new(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer).await);
                drop(stream.shutdown().await);
            }
        });
        server
    }

    /// Announces no length and sends `piece` until the other side hangs up; counts what it got rid of.
    pub(super) async fn endless(piece: &'static [u8], sent: Arc<AtomicU64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::new(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                drop(stream.write_all(head).await);
                while sent.load(Ordering::SeqCst) < 100 << 20 && stream.write_all(piece).await.is_ok() {
                    sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
                }
            }
        });
        server
    }

    fn new(address: SocketAddr) -> Self {
        Self { address, connections: Arc::default(), most_in_flight: Arc::default(), seen: Arc::default() }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests since the last look.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock())
    }
}
