//! OAuth 2.0 client credentials (RFC 6749, section 4.4): a token that is asked for once, kept, and renewed.
//!
//! However many requests need it at the same time, one asks for it; the others wait. It is renewed a little ahead of its
//! end, and when the service refuses it.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::answer::describe_body;
use super::secret::{Environment, Secrets, expand_secret};
use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::lookup::wire::{self, Broken};
use crate::lookup::{Failure, FailureKind, trace};

pub(super) const URL: &str = "http.security.oidc.token.endpoint.url";
pub(super) const REQUEST: &str = "http.security.oidc.token.request";
pub(super) const REDUCTION: &str = "http.security.oidc.token.expiry.reduction";

/// How long a token is kept whose answer does not say it.
const UNSAID: Duration = Duration::from_secs(300);
/// An answer with a token is not larger.
const LARGEST: usize = 1 << 20;

/// Where a token comes from.
#[derive(Clone)]
pub(super) struct OauthConfig {
    url: Url,
    /// The form of the request, with its secrets.
    form: String,
    reduction: Duration,
}

impl OauthConfig {
    pub(super) fn resolve(
        options: &Options,
        environment: Environment<'_>,
        secrets: &mut Secrets,
    ) -> Result<Option<Self>> {
        let (url, form) = match (options.text(URL), options.text(REQUEST)) {
            (Some(url), Some(form)) => (url, form),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(together(options, URL, REQUEST)),
            (None, Some(_)) => return Err(together(options, REQUEST, URL)),
        };
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let expanded = expand_secret(url, environment, secrets)?;
        let url = Url::parse(&expanded).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| wrong(URL, "this is not a URL"))?;
        if url.scheme() == "http" && !is_loopback(&url) {
            return Err(wrong(URL, "a secret is sent over TLS only").with_hint("write https://"));
        }
        let form = expand_secret(form, environment, secrets)
            .map_err(|e| e.context(format!("option '{REQUEST}'")).at(options.span(REQUEST)))?;
        // What stands in the form as it is, is as secret.
        for (name, value) in url::form_urlencoded::parse(form.as_bytes()) {
            if name.contains("secret") || name.contains("password") || name.contains("assertion") {
                secrets.add(&value);
            }
        }
        let reduction = options.duration(REDUCTION)?.unwrap_or(Duration::from_secs(1));
        Ok(Some(Self { url, form, reduction }))
    }
}

fn together(options: &Options, given: &str, other: &str) -> Error {
    Error::option(format!("option '{given}' needs '{other}'")).at(options.span(given)).with_hint(
        "a token is asked for at the endpoint with a form such as \
         'grant_type=client_credentials&client_id=me&client_secret=${SECRET}'",
    )
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A token and when it is renewed.
#[derive(Clone)]
struct Token {
    header: HeaderValue,
    renewed: Instant,
    /// Tells it from the one before.
    number: u64,
}

/// The tokens of one table.
pub(super) struct Oauth {
    config: OauthConfig,
    patience: Duration,
    token: Mutex<Option<Token>>,
    /// The last tokens, which no message shows.
    hidden: parking_lot::Mutex<VecDeque<String>>,
}

impl std::fmt::Debug for Oauth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oauth").field("url", &self.config.url.as_str()).finish_non_exhaustive()
    }
}

impl Oauth {
    pub(super) fn new(config: OauthConfig, patience: Duration) -> Self {
        Self { config, patience, token: Mutex::default(), hidden: parking_lot::Mutex::default() }
    }

    /// A text without tokens.
    pub(super) fn hide(&self, text: String) -> String {
        let hidden = self.hidden.lock();
        hidden.iter().fold(text, |text, token| match text.contains(token.as_str()) {
            true => text.replace(token.as_str(), "***"),
            false => text,
        })
    }

    /// The `Authorization` header, and the number of its token. `refused`: a token that the service did not take.
    pub(super) async fn header(
        &self,
        client: &Client,
        secrets: &Secrets,
        refused: Option<u64>,
    ) -> Result<(HeaderValue, u64), Failure> {
        let mut token = self.token.lock().await;
        let next = token.as_ref().map_or(0, |token| token.number + 1);
        if let Some(known) = token.as_ref()
            && refused != Some(known.number)
            && Instant::now() < known.renewed
        {
            return Ok((known.header.clone(), known.number));
        }
        *token = None;
        trace::note("token", || format!("asked for at {}", secrets.redact(self.config.url.as_str())));
        let asked = match timeout(self.patience, self.ask(client)).await {
            Ok(asked) => asked,
            Err(_) => Err((FailureKind::Timeout, true, "no answer in time".to_string())),
        };
        let (header, life) = asked.map_err(|(kind, retryable, what)| {
            let message = format!("the token endpoint {}: {what}", self.config.url);
            let message = secrets.redact(&message).into_owned();
            Failure { kind, message, retry_after: None, retryable }
        })?;
        let now = Instant::now();
        let life = life.saturating_sub(self.config.reduction.min(life / 2));
        let renewed = now.checked_add(life).unwrap_or(now + Duration::from_secs(86_400));
        *token = Some(Token { header: header.clone(), renewed, number: next });
        Ok((header, next))
    }

    /// Asks for a token and its lifetime.
    async fn ask(&self, client: &Client) -> Result<(HeaderValue, Duration), (FailureKind, bool, String)> {
        #[derive(serde::Deserialize)]
        struct Answer {
            access_token: String,
            token_type: Option<String>,
            expires_in: Option<serde_json::Value>,
        }
        let mut request = Request::new(Method::POST, self.config.url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(self.config.form.clone().into());
        let broken = |e: reqwest::Error| (FailureKind::Connection, true, root(&e));
        let mut response = wire::execute(client, request, false).await.map_err(|e| match e {
            Broken::Client(e) => broken(e),
            Broken::Mocked(fault) => (FailureKind::Connection, false, fault.to_string()),
        })?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err((FailureKind::TooLarge, false, "the answer is too large for a token".into()));
            }
        }
        if !status.is_success() {
            let kind = FailureKind::Status(status.as_u16());
            let what = format!("answered {status}: {}", describe_body(&body));
            return Err((kind, kind.may_pass(), what));
        }
        let unread = |what: String| (FailureKind::Decode, false, what);
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|e| unread(format!("the answer holds no token: {e}")))?;
        let scheme = answer.token_type.filter(|scheme| !scheme.eq_ignore_ascii_case("bearer"));
        let scheme = scheme.as_deref().unwrap_or("Bearer");
        if answer.access_token.len() >= 8 {
            let mut hidden = self.hidden.lock();
            hidden.push_back(answer.access_token.clone());
            if hidden.len() > 4 {
                hidden.pop_front();
            }
        }
        let mut header = HeaderValue::from_str(&format!("{scheme} {}", answer.access_token))
            .map_err(|_| unread("the token holds characters that a header cannot carry".into()))?;
        header.set_sensitive(true);
        let seconds = match answer.expires_in {
            Some(serde_json::Value::Number(n)) => n.as_f64(),
            // Some endpoints write it as text.
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let life = seconds.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
        Ok((header, life.unwrap_or(UNSAID)))
    }
}

fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("no connection: {cause}")
}
