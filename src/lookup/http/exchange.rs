//! One request and its answer: sending, limits, and what a failure is called.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, LazyLock, Once, Weak};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method, Proxy, Request, Response, Url, redirect};
use tokio::sync::Semaphore;

use super::answer::describe_body;
use super::options::HttpConfig;
use super::status::{StatusClass, retry_after};
use crate::error::{Error, Result};
use crate::lookup::{Failure, FailureKind};

/// So much of a body that nobody decodes is read: for the message, and to keep the connection.
const DRAIN: usize = 64 << 10;

/// Sends requests of one lookup table; keeps connections.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    config: HttpConfig,
    headers: HeaderMap,
    limit: Option<Arc<Semaphore>>,
}

impl Exchange {
    pub(super) fn new(config: HttpConfig) -> Result<Self> {
        let client = client(&config)?;
        let limit = (config.max_connections > 0).then(|| limit(&config.url.origin, config.max_connections));
        let mut headers = config.headers.clone();
        if config.method == Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        Ok(Self { client, config, headers, limit })
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

    /// One attempt: the body of a success; `None` for a status that is a miss.
    pub(super) async fn send(&self, url: &str, body: Option<String>) -> Result<Option<Bytes>, Failure> {
        let parsed = Url::parse(url)
            .map_err(|e| self.failure(FailureKind::Key, false, url, &format!("the key makes no URL: {e}")))?;
        let mut request = Request::new(self.config.method.clone(), parsed);
        *request.headers_mut() = self.headers.clone();
        *request.body_mut() = body.map(Into::into);
        // Time begins when it is this request's turn; the lookup's deadline bounds the waiting.
        let _permit = match &self.limit {
            Some(limit) => limit.acquire().await.ok(),
            None => None,
        };
        let response = self.client.execute(request).await.map_err(|e| self.transport(url, &e))?;
        let status = response.status();
        match self.config.codes.class(status.as_u16()) {
            StatusClass::Success => self.body(url, response).await.map(Some),
            StatusClass::Ignored => {
                drain(response).await;
                Ok(None)
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

    /// The body, as long as it is within the limit; what is longer is not held.
    async fn body(&self, url: &str, mut response: Response) -> Result<Bytes, Failure> {
        let limit = self.config.max_response_size;
        let too_large = || {
            let what =
                format!("the answer is larger than {limit} bytes ('http.source.lookup.max-response-size')");
            self.failure(FailureKind::TooLarge, false, url, &what)
        };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut next = async || response.chunk().await.map_err(|e| self.transport(url, &e));
        let Some(first) = next().await? else { return Ok(Bytes::new()) };
        let mut rest = BytesMut::new();
        let mut length = first.len();
        while length <= limit {
            let Some(chunk) = next().await? else { break };
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            length += chunk.len();
            if length <= limit {
                rest.extend_from_slice(&chunk);
            }
        }
        if length > limit {
            return Err(too_large());
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
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

/// The limit that all lookups of this process on one endpoint share.
fn limit(origin: &str, permits: usize) -> Arc<Semaphore> {
    type Limits = HashMap<(String, usize), Weak<Semaphore>>;
    static LIMITS: LazyLock<Mutex<Limits>> = LazyLock::new(Mutex::default);
    let mut limits = LIMITS.lock();
    limits.retain(|_, limit| limit.strong_count() > 0);
    let key = (origin.to_string(), permits);
    if let Some(limit) = limits.get(&key).and_then(Weak::upgrade) {
        return limit;
    }
    let limit = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
    limits.insert(key, Arc::downgrade(&limit));
    limit
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
        .timeout(config.request_timeout)
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
