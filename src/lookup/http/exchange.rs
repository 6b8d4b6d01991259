//! One request and its answer: sending, limits, and what a failure is called.

use std::error::Error as StdError;
use std::io::Read;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method, Proxy, Request, Response, Url, redirect};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::describe_body;
use super::options::HttpConfig;
use super::status::{StatusClass, retry_after};
use crate::error::{Error, Result};
use crate::lookup::descriptors::is_shortage;
use crate::lookup::{Answers, Failure, FailureKind, budget};

/// So much of a body that nobody decodes is read: for the message, and to keep the connection.
const DRAIN: usize = 64 << 10;

/// An answer that is no failure.
#[derive(Debug)]
pub(super) struct Success {
    /// `None` for a status that is a miss.
    pub(super) body: Option<Bytes>,
    pub(super) status: u16,
    /// Headers, where they are wanted.
    pub(super) headers: Vec<(String, Vec<String>)>,
}

impl Success {
    /// The values of `Link`, where headers are wanted.
    pub(super) fn links(&self) -> Vec<String> {
        let links = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
        links.flat_map(|(_, values)| values.clone()).collect()
    }

    /// Answers with what the protocol says about them.
    pub(super) fn label(&self, answers: Answers) -> Answers {
        Answers { status: Some(self.status), headers: self.headers.clone(), ..answers }
    }
}

/// Sends requests of one lookup table; keeps connections.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    config: HttpConfig,
    headers: HeaderMap,
}

impl Exchange {
    pub(super) fn new(config: HttpConfig) -> Result<Self> {
        let client = client(&config)?;
        let mut headers = config.headers.clone();
        if config.method == Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        Ok(Self { client, config, headers })
    }

    pub(super) fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// A failure whose message says what was asked, without secrets.
    pub(super) fn failure(&self, kind: FailureKind, retryable: bool, url: &str, what: &str) -> Failure {
        let message = format!("{} {url}: {what}", self.config.method);
        let message = self.config.secrets.redact(&message).into_owned();
        Failure { kind, message, retry_after: None, retryable }
    }

    /// One attempt: the body of a success; none for a status that is a miss.
    pub(super) async fn send(&self, url: &str, body: Option<String>) -> Result<Success, Failure> {
        let parsed = Url::parse(url)
            .map_err(|e| self.failure(FailureKind::Key, false, url, &format!("the key makes no URL: {e}")))?;
        let (response, deadline) = self.respond(url, &parsed, body).await?;
        let status = response.status();
        let class = self.config.codes.class(status.as_u16());
        let headers = match class {
            StatusClass::Success | StatusClass::Ignored if self.config.wants_headers => {
                described(response.headers())
            }
            _ => Vec::new(),
        };
        let status_code = status.as_u16();
        match class {
            StatusClass::Success => {
                let encoding = response.headers().get(CONTENT_ENCODING);
                // The old name of gzip, which the client does not undo.
                let packed = encoding.is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"x-gzip"));
                let mut body = self.body(url, response, deadline).await?;
                if packed {
                    body = self.unpacked(url, &body).await?;
                }
                let body = Some(body);
                Ok(Success { body, status: status_code, headers })
            }
            StatusClass::Ignored => {
                drain(response).await;
                Ok(Success { body: None, status: status_code, headers })
            }
            class => {
                let now = SystemTime::now();
                let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
                let retry_after = header(RETRY_AFTER).and_then(|value| retry_after(value, now));
                let redirect = match header(LOCATION) {
                    Some(to) if status.is_redirection() => {
                        format!("; redirects are not followed, this one points to {to}")
                    }
                    _ => String::new(),
                };
                let excerpt = describe_body(&drain(response).await);
                let what = format!("answered {status}{redirect}: {excerpt}");
                let retryable = class == StatusClass::Retry;
                let kind = FailureKind::Status(status.as_u16());
                Err(Failure { retry_after, ..self.failure(kind, retryable, url, &what) })
            }
        }
    }

    /// The head of the answer, and until when its body has to be here. A machine that has no descriptor or no
    /// memory left is not the service's fault: the request waits for better times, as long as its rows do.
    async fn respond(
        &self,
        url: &str,
        parsed: &Url,
        body: Option<String>,
    ) -> Result<(Response, Instant), Failure> {
        let mut pause = Duration::from_millis(20);
        loop {
            let mut request = Request::new(self.config.method.clone(), parsed.clone());
            *request.headers_mut() = self.headers.clone();
            *request.body_mut() = body.clone().map(Into::into);
            let now = Instant::now();
            let deadline =
                now.checked_add(self.config.request_timeout).unwrap_or(now + Duration::from_secs(1 << 30));
            match timeout_at(deadline, self.client.execute(request)).await {
                Ok(Ok(response)) => return Ok((response, deadline)),
                Ok(Err(e)) if shortage(&e) => {
                    log::warn!(
                        "{}: no connection for want of descriptors or memory; waiting",
                        self.config.url.origin
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Ok(Err(e)) => return Err(self.transport(url, &e)),
                Err(_) => return Err(self.too_late(url)),
            }
        }
    }

    fn too_late(&self, url: &str) -> Failure {
        let within = self.config.request_timeout.as_secs_f64();
        self.failure(FailureKind::Timeout, true, url, &format!("no answer within {within} s"))
    }

    /// The body, as long as it is within the limit; what is longer is not held. Waiting for memory is not
    /// waiting for the service.
    async fn body(&self, url: &str, mut response: Response, mut deadline: Instant) -> Result<Bytes, Failure> {
        let limit = self.config.max_response_size;
        let too_large = || {
            let what =
                format!("the answer is larger than {limit} bytes ('http.source.lookup.max-response-size')");
            self.failure(FailureKind::TooLarge, false, url, &what)
        };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let (mut first, mut rest, mut length) = (Bytes::new(), BytesMut::new(), 0);
        loop {
            let chunk = match timeout_at(deadline, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|e| self.transport(url, &e))?,
                Err(_) => return Err(self.too_late(url)),
            };
            let Some(chunk) = chunk else { break };
            length += chunk.len();
            if length > limit {
                return Err(too_large());
            }
            let waits = Instant::now();
            budget::grow(chunk.len()).await;
            deadline += waits.elapsed();
            if length == chunk.len() {
                first = chunk;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&chunk);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }

    /// A body without its gzip; bounded as any other.
    async fn unpacked(&self, url: &str, body: &[u8]) -> Result<Bytes, Failure> {
        let limit = self.config.max_response_size;
        let mut out = Vec::new();
        let read = GzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut out);
        if let Err(e) = read {
            let what = format!("the body could not be decompressed: {e}");
            return Err(self.failure(FailureKind::Decode, false, url, &what));
        }
        if out.len() > limit {
            let what =
                format!("the answer is larger than {limit} bytes ('http.source.lookup.max-response-size')");
            return Err(self.failure(FailureKind::TooLarge, false, url, &what));
        }
        budget::grow(out.len()).await;
        Ok(out.into())
    }

    /// What went wrong below HTTP.
    fn transport(&self, url: &str, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn StdError = error;
        let mut broken = false;
        while let Some(source) = cause.source() {
            cause = source;
            broken |= cause.is::<hyper::Error>();
        }
        let seconds = |d: Duration| format!("{} s", d.as_secs_f64());
        let (kind, retryable, what) = if error.is_builder() {
            (FailureKind::Key, false, format!("the key makes no URL: {cause}"))
        } else if error.is_connect() && error.is_timeout() {
            let within = seconds(self.config.connection_timeout.min(self.config.request_timeout));
            (FailureKind::Connection, true, format!("no connection within {within}"))
        } else if error.is_connect() {
            (FailureKind::Connection, true, format!("no connection: {cause}"))
        } else if error.is_timeout() {
            let within = seconds(self.config.request_timeout);
            (FailureKind::Timeout, true, format!("no answer within {within}"))
        } else if error.is_decode() && !broken {
            (FailureKind::Decode, false, format!("the body could not be decompressed: {cause}"))
        } else {
            (FailureKind::Connection, true, format!("the connection broke: {cause}"))
        };
        self.failure(kind, retryable, url, &what)
    }
}

/// Whether a request failed because this machine has nothing left.
fn shortage(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(is_shortage) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Headers by name, all values of each.
fn described(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.keys().map(|name| (name.to_string(), headers.get_all(name).iter().map(text).collect())).collect()
}

/// Reads a body that is not decoded, as far as that is cheap.
async fn drain(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < DRAIN
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body
}

fn client(config: &HttpConfig) -> Result<Client> {
    static PROVIDER: Once = Once::new();
    // An error says that an embedding program has installed its own, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));

    let wrong = |what: &str| {
        let what = what.to_string();
        move |e: reqwest::Error| {
            let mut cause: &dyn StdError = &e;
            while let Some(source) = cause.source() {
                cause = source;
            }
            Error::option(format!("{what}: {cause}"))
        }
    };
    let mut builder = Client::builder()
        .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connection_timeout)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(usize::MAX)
        .referer(false)
        // A redirect could send the table's headers to a host that nobody named.
        .redirect(redirect::Policy::none());
    builder = match config.http2 {
        Some(true) => builder.http2_prior_knowledge(),
        Some(false) => builder.http1_only(),
        None => builder,
    };
    match &config.proxy {
        Some(proxy) => {
            let wrong = wrong("option 'http.source.lookup.proxy.host'");
            let mut all = Proxy::all(&proxy.address).map_err(wrong)?;
            if let Some((user, password)) = &proxy.login {
                all = all.basic_auth(user, password);
            }
            builder = builder.proxy(all);
        }
        None if config.url.is_loopback => builder = builder.no_proxy(),
        None => {}
    }
    if let Some(pem) = &config.trust {
        let wrong = wrong("option 'http.security.cert.server' is not a PEM file of certificates");
        let certificates = Certificate::from_pem_bundle(pem).map_err(wrong)?;
        if certificates.is_empty() {
            return Err(Error::option("option 'http.security.cert.server': the file holds no certificate"));
        }
        builder = builder.tls_certs_only(certificates);
    } else if !config.url.is_tls {
        // Without TLS, the machine's authorities need not be read, nor be there.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &config.identity {
        let wrong = wrong(
            "options 'http.security.cert.client' and '.key.client' are not a PEM certificate and its key",
        );
        builder = builder.identity(Identity::from_pem(pem).map_err(wrong)?);
    }
    builder
        .tls_danger_accept_invalid_certs(config.trust_anyone)
        .build()
        .map_err(wrong("the HTTP client could not be set up"))
        .map_err(|e| match config.url.is_tls && config.trust.is_none() && config.identity.is_none() {
            true => e.with_hint(
                "the machine needs its certificates (ca-certificates), or 'http.security.cert.server' a PEM file",
            ),
            false => e,
        })
}
