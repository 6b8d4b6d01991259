//! One request and its answer: sending, limits, and what a failure is called.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io::Read;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER,
};
use reqwest::{Certificate, Client, Identity, Method, Proxy, Request, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, sleep, timeout_at};
use url::Origin;

use super::answer::describe_body;
use super::freshness::{Freshness, Kept, max_age};
use super::oauth::Oauth;
use super::options::{HttpConfig, Redirects};
use super::secret::is_sensitive_name;
use super::status::{StatusClass, retry_after};
use crate::error::{Error, Result};
use crate::lookup::descriptors::is_shortage;
use crate::lookup::wire::{self, Broken, Fault};
use crate::lookup::{Answers, Failure, FailureKind, budget, trace};

/// So much of a body that nobody decodes is read: for the message, and to keep the connection.
const DRAIN: usize = 64 << 10;
/// Characters of a URL that a message shows, and bytes of one that can be sent.
const SHOWN: usize = 300;
const LONGEST_URL: usize = 65_000;
/// Redirects behind one another.
const HOPS: usize = 5;

/// An answer that is no failure.
#[derive(Debug)]
pub(super) struct Success {
    /// `None` for a status that is a miss.
    pub(super) body: Option<Bytes>,
    pub(super) status: u16,
    /// Headers, where they are wanted.
    pub(super) headers: Vec<(String, Vec<String>)>,
    /// How long it may be kept, where that is the service's to say.
    pub(super) max_age: Option<Duration>,
}

impl Success {
    /// The values of `Link`, where headers are wanted.
    pub(super) fn links(&self) -> Vec<String> {
        let links = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
        links.flat_map(|(_, values)| values.clone()).collect()
    }

    /// Answers with what the protocol says about them.
    pub(super) fn label(&self, answers: Answers) -> Answers {
        let (status, headers, max_age) = (Some(self.status), self.headers.clone(), self.max_age);
        Answers { status, headers, max_age, ..answers }
    }
}

/// Sends requests of one lookup table; keeps connections.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    config: HttpConfig,
    headers: HeaderMap,
    oauth: Option<Oauth>,
    /// Bodies to ask by, where the table wants it.
    fresh: Option<Freshness>,
}

impl Exchange {
    pub(super) fn new(config: HttpConfig) -> Result<Self> {
        let client = client(&config)?;
        let mut headers = config.headers.clone();
        if config.method == Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        let oauth = config.oauth.clone().map(|oauth| Oauth::new(oauth, config.request_timeout));
        let fresh = (config.cache_control && config.method == Method::GET).then(Freshness::default);
        Ok(Self { client, config, headers, oauth, fresh })
    }

    pub(super) fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// A failure whose message says what was asked, without secrets.
    pub(super) fn failure(&self, kind: FailureKind, retryable: bool, url: &str, what: &str) -> Failure {
        // A key may be a megabyte; a message is for people. First redacted: the half of a secret is one, too.
        let url = self.config.secrets.redact(url);
        let shown = match url.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}... ({} bytes)", &url[..end], url.len()),
            None => url.into_owned(),
        };
        let message = format!("{} {shown}: {what}", self.config.method);
        let mut message = self.config.secrets.redact(&message).into_owned();
        if let Some(oauth) = &self.oauth {
            message = oauth.hide(message);
        }
        Failure { kind, message, retry_after: None, retryable }
    }

    /// One attempt: the body of a success; none for a status that is a miss.
    pub(super) async fn send(&self, url: &str, body: Option<String>) -> Result<Success, Failure> {
        self.send_with(url, body, HeaderMap::new()).await
    }

    /// The same with headers of its own.
    pub(super) async fn send_with(
        &self,
        url: &str,
        body: Option<String>,
        own: HeaderMap,
    ) -> Result<Success, Failure> {
        let body = body.map(Bytes::from);
        let kept = self.fresh.as_ref().filter(|_| body.is_none() && own.is_empty()).and_then(|f| f.kept(url));
        let (response, deadline) = self.answered(url, body.as_ref(), &own, kept.as_ref()).await?;
        let status = response.status();
        let max_age = self.fresh.as_ref().and_then(|_| max_age(response.headers()));
        if let Some(kept) = kept.filter(|_| status == StatusCode::NOT_MODIFIED) {
            trace::note("answer", || format!("{status}: the answer from before holds"));
            let headers = match self.config.wants_headers {
                true => described(response.headers()),
                false => Vec::new(),
            };
            return Ok(Success { body: Some(kept.body), status: status.as_u16(), headers, max_age });
        }
        trace::note("answer", || {
            let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
            format!("{status}{}", kind.map(|kind| format!(", {kind}")).unwrap_or_default())
        });
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
                let is = |names: &[&str]| {
                    encoding.is_some_and(|e| {
                        names.iter().any(|n| e.as_bytes().eq_ignore_ascii_case(n.as_bytes()))
                    })
                };
                // Its old name and other cases of it: the client undoes, and takes away, `gzip` alone.
                let packed = is(&["gzip", "x-gzip"]);
                // Other encodings than gzip are not asked for, and sent by some nevertheless.
                let deflated = is(&["deflate"]);
                if let Some(other) = encoding.filter(|_| !packed && !deflated && !is(&["identity", ""])) {
                    let what = format!(
                        "the answer has the Content-Encoding '{}', which was not asked for; gzip and deflate are read",
                        String::from_utf8_lossy(other.as_bytes())
                    );
                    return Err(self.failure(FailureKind::Decode, false, url, &what));
                }
                let validators = self.fresh.is_some().then(|| response.headers().clone());
                let mut body = self.body(url, response, deadline).await?;
                if packed && !body.is_empty() {
                    body = self.unpacked(url, GzDecoder::new(&body[..])).await?;
                } else if deflated {
                    // Zlib by the standard, without its frame by some.
                    body = match self.unpacked(url, ZlibDecoder::new(&body[..])).await {
                        Ok(body) => body,
                        Err(_) => self.unpacked(url, DeflateDecoder::new(&body[..])).await?,
                    };
                }
                if let (Some(fresh), Some(headers), true) = (&self.fresh, &validators, own.is_empty()) {
                    fresh.keep(url, headers, &body);
                }
                trace::note("body", || {
                    let shown = self.config.secrets.redact(&describe_body(&body)).into_owned();
                    format!("{} bytes: {shown}", body.len())
                });
                let body = Some(body);
                Ok(Success { body, status: status_code, headers, max_age })
            }
            StatusClass::Ignored => {
                drain(response).await;
                Ok(Success { body: None, status: status_code, headers, max_age })
            }
            class => Err(self.refused(url, response, class == StatusClass::Retry).await),
        }
    }

    /// Sends what is to be kept over there; what is answered to it is not looked at. `gone`: 404 is as good.
    pub(super) async fn deliver(
        &self,
        url: &str,
        body: Option<&Bytes>,
        own: &HeaderMap,
        gone: bool,
    ) -> Result<(), Failure> {
        let (response, _) = self.answered(url, body, own, None).await?;
        let status = response.status();
        let class = self.config.codes.class(status.as_u16());
        if class == StatusClass::Success || (gone && status == StatusCode::NOT_FOUND) {
            drain(response).await;
            return Ok(());
        }
        Err(self.refused(url, response, class == StatusClass::Retry).await)
    }

    /// The failure that an answer is.
    async fn refused(&self, url: &str, response: Response, retryable: bool) -> Failure {
        let (status, now) = (response.status(), SystemTime::now());
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|value| retry_after(value, now));
        let redirect = match header(LOCATION) {
            Some(to) if status.is_redirection() => {
                format!(
                    "; redirects are not followed, this one points to {to} ('http.source.lookup.redirects')"
                )
            }
            _ => String::new(),
        };
        let excerpt = describe_body(&drain(response).await);
        let what = format!("answered {status}{redirect}: {excerpt}");
        let kind = FailureKind::Status(status.as_u16());
        Failure { retry_after, ..self.failure(kind, retryable, url, &what) }
    }

    /// The answer behind what it takes to get there: a token, a signature, redirects.
    async fn answered(
        &self,
        url: &str,
        body: Option<&Bytes>,
        own: &HeaderMap,
        kept: Option<&Kept>,
    ) -> Result<(Response, Instant), Failure> {
        if url.len() > LONGEST_URL {
            let what = format!("the key makes a URL of {} bytes, and {LONGEST_URL} can be sent", url.len());
            return Err(self.failure(FailureKind::Key, false, url, &what));
        }
        let mut target = Url::parse(url)
            .map_err(|e| self.failure(FailureKind::Key, false, url, &format!("the key makes no URL: {e}")))?;
        // Behind a redirect: where the first request went.
        let mut home: Option<Origin> = None;
        let (mut refused, mut hops) = (None, 0);
        loop {
            let at_home = home.as_ref().is_none_or(|home| target.origin() == *home);
            let mut headers = Cow::Borrowed(&self.headers);
            let mut token = None;
            if at_home {
                if !own.is_empty() {
                    headers.to_mut().extend(own.clone());
                }
                if let Some(kept) = kept {
                    kept.ask(headers.to_mut());
                }
                if let Some(oauth) = &self.oauth {
                    let (header, number) = oauth.header(&self.client, &self.config.secrets, refused).await?;
                    headers.to_mut().insert(AUTHORIZATION, header);
                    token = Some(number);
                }
                if let Some(signer) = &self.config.signer {
                    let bytes = body.map_or(&[][..], |body| body);
                    signer
                        .sign(self.config.method.as_str(), &target, headers.to_mut(), bytes, Utc::now())
                        .map_err(|e| self.failure(FailureKind::Key, false, url, e.message()))?;
                }
            } else {
                // Another host gets nothing that was meant for this one.
                let accept = self.headers.get(ACCEPT).map(|accept| (ACCEPT, accept.clone()));
                headers = Cow::Owned(accept.into_iter().collect());
            }
            let (response, deadline) = self.respond(url, &target, &headers, body).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && token.is_some() && refused.is_none() {
                // It may have been taken back before its end.
                trace::note("answer", || format!("{status}: another token is asked for"));
                refused = token;
                drain(response).await;
                continue;
            }
            match self.onward(&target, home.as_ref(), &response) {
                Some(next) if hops < HOPS => {
                    trace::note("redirect", || self.config.secrets.redact(next.as_str()).into_owned());
                    hops += 1;
                    home.get_or_insert_with(|| target.origin());
                    target = next;
                    drain(response).await;
                }
                Some(_) => {
                    let what = format!("more than {HOPS} redirects");
                    return Err(self.failure(FailureKind::Other, false, url, &what));
                }
                None => return Ok((response, deadline)),
            }
        }
    }

    /// Where a redirect leads, if it is followed.
    fn onward(&self, from: &Url, home: Option<&Origin>, response: &Response) -> Option<Url> {
        let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        if !moved || self.config.redirects == Redirects::None || self.config.method != Method::GET {
            return None;
        }
        let to = response.headers().get(LOCATION)?.to_str().ok()?;
        let to = from.join(to).ok()?;
        // From TLS to none: never.
        let safe = to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http");
        let is_home = |to: &Url| to.origin() == *home.unwrap_or(&from.origin());
        let allowed = self.config.redirects == Redirects::Follow || is_home(&to);
        (safe && allowed).then_some(to)
    }

    /// The head of the answer, and until when its body has to be here. A machine that has no descriptor or no
    /// memory left is not the service's fault: the request waits for better times, as long as its rows do.
    async fn respond(
        &self,
        url: &str,
        parsed: &Url,
        headers: &HeaderMap,
        body: Option<&Bytes>,
    ) -> Result<(Response, Instant), Failure> {
        let mut pause = Duration::from_millis(20);
        loop {
            let mut request = Request::new(self.config.method.clone(), parsed.clone());
            *request.headers_mut() = headers.clone();
            if let Some(parent) = trace::parent().and_then(|parent| parent.parse().ok()) {
                request.headers_mut().entry("traceparent").or_insert(parent);
            }
            *request.body_mut() = body.map(|body| body.clone().into());
            self.note(parsed.as_str(), headers, body);
            let now = Instant::now();
            let deadline =
                now.checked_add(self.config.request_timeout).unwrap_or(now + Duration::from_secs(1 << 30));
            match timeout_at(deadline, wire::execute(&self.client, request, false)).await {
                Ok(Ok(response)) => return Ok((response, deadline)),
                Ok(Err(Broken::Mocked(fault))) => {
                    let (kind, retryable) = match &fault {
                        Fault::NoConnection(_) => (FailureKind::Connection, true),
                        Fault::Unexpected(_) => (FailureKind::Other, false),
                    };
                    return Err(self.failure(kind, retryable, url, &fault.to_string()));
                }
                Ok(Err(Broken::Client(e))) if shortage(&e) => {
                    log::warn!(
                        "{}: no connection for want of descriptors or memory; waiting",
                        self.config.url.origin
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Ok(Err(Broken::Client(e))) => return Err(self.transport(url, &e)),
                Err(_) => return Err(self.too_late(url)),
            }
        }
    }

    /// Tells whoever listens what is sent.
    fn note(&self, url: &str, headers: &HeaderMap, body: Option<&Bytes>) {
        let redact = |text: &str| self.config.secrets.redact(text).into_owned();
        trace::note("request", || redact(&format!("{} {url}", self.config.method)));
        for (name, value) in headers {
            trace::note("header", || match is_sensitive_name(name.as_str()) {
                true => format!("{name}: ***"),
                false => redact(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))),
            });
        }
        if let Some(body) = body {
            trace::note("sent", || redact(&String::from_utf8_lossy(body)));
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

    /// A body without its packing; bounded as any other.
    async fn unpacked(&self, url: &str, body: impl Read) -> Result<Bytes, Failure> {
        let limit = self.config.max_response_size;
        let mut out = Vec::new();
        let read = body.take(limit as u64 + 1).read_to_end(&mut out);
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
        } else if error.is_connect() && cause.to_string().contains("invalid peer certificate") {
            let what = format!(
                "no connection: {cause}; 'http.security.cert.server' names a certificate to trust, if it is not a public one"
            );
            (FailureKind::Connection, false, what)
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
