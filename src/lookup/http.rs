//! Lookups over HTTP: one request a key (or one for many), and what its answer means.
//!
//! ```text
//!  key ──> url template ──> GET /sensors/7 ──> status ── 2XX ──> decode ──> rows, or none: a miss
//!          body template    headers                 ├─── 404 ──────────────> a miss
//!                                                   ├─── 429, 5xx ─────────> failure, to be tried again
//!                                                   └─── other ────────────> failure
//! ```
//! This backend makes single attempts. Retries, back-off, deadlines, caching and counting are the lookup
//! client's; what they need to know (may another attempt help, and when) is in [`Failure`].
//!
//! Two rules come before convenience. *An error is never a miss*: only 404 (by default), 204, an empty
//! body, JSON `null` and `[]` say that there is nothing. *A key is data*: it can neither leave its path
//! segment nor its JSON value, and never decides which host gets the headers. Redirects are not followed
//! for the same reason. Messages carry the URL and an excerpt of the answer, but no secret.

mod answer;
mod body_template;
mod exchange;
mod options;
mod secret;
mod status;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod url_template;
mod value;
mod watch;

pub use options::{HttpConfig, OPTIONS};

use std::sync::Arc;

use arrow::array::RecordBatch;
use reqwest::Method;

use self::answer::{AnswerDecoder, describe_body};
use self::body_template::{BodyRenderer, BodyTemplate};
use self::exchange::Exchange;
use self::secret::Environment;
use self::url_template::UrlRenderer;
use super::metadata::MetadataKind;
use super::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest, Service};
use crate::error::{Error, Result};
use crate::format::json::JsonOptions;

/// A lookup table that an HTTP API answers for.
#[derive(Clone)]
pub struct HttpLookup(Arc<Inner>);

struct Inner {
    exchange: Exchange,
    url: UrlRenderer,
    body: Option<BodyRenderer>,
    decoder: AnswerDecoder,
}

impl std::fmt::Debug for HttpLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpLookup({})", self.describe())
    }
}

impl HttpLookup {
    /// A lookup for the keys and columns of a request. Nothing is sent yet.
    pub fn new(request: &LookupRequest) -> Result<Self> {
        Self::with_environment(request, &|name| std::env::var(name).ok())
    }

    fn with_environment(request: &LookupRequest, environment: Environment<'_>) -> Result<Self> {
        let in_table = |e: Error| e.context(format!("table '{}'", request.table.name));
        let mut config = HttpConfig::resolve(&request.table, environment).map_err(in_table)?;
        config.wants_headers = request.metadata.iter().any(|m| m.kind == MetadataKind::Headers);
        let keys: Vec<&str> = request.keys.iter().map(|k| request.schema.field(*k).name().as_str()).collect();
        for key in &request.keys {
            let field = request.schema.field(*key);
            value::check_key_type(field.name(), field.data_type()).map_err(in_table)?;
        }
        let is_get = config.method == Method::GET;
        let url = config.url.bind(&keys, is_get).map_err(in_table)?;
        let body = match &config.body {
            _ if is_get => None,
            None => Some(BodyRenderer::generated(&keys, config.batch_size > 1)),
            Some(template) => {
                check_all_used(&keys, &config, template).map_err(in_table)?;
                Some(template.bind(&keys).map_err(in_table)?)
            }
        };
        let json = JsonOptions::from_options(&request.table.options)?;
        let decoder = AnswerDecoder::new(request, json, &config)?;
        let exchange = Exchange::new(config).map_err(in_table)?;
        Ok(Self(Arc::new(Inner { exchange, url, body, decoder })))
    }
}

/// A key that is sent nowhere would get rows of any key, and nothing would notice.
fn check_all_used(keys: &[&str], config: &HttpConfig, template: &BodyTemplate) -> Result<()> {
    if template.has_keys() {
        return Ok(());
    }
    let used = |key: &&&str| config.url.columns().chain(template.columns()).any(|c| c == **key);
    match keys.iter().find(|key| !used(key)) {
        None => Ok(()),
        Some(key) => Err(Error::plan(format!(
            "the query looks up by '{key}', which neither the url nor 'http.request.body-template' carries"
        ))
        .with_hint(format!("put {{{{{key}}}}} into the template"))),
    }
}

impl Inner {
    /// One attempt for the only key.
    async fn one(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let key_failure = |problem: String| {
            let what = format!("{problem} ({})", value::describe_key(keys, 0));
            self.exchange.failure(FailureKind::Key, false, self.exchange.config().url.shown(), &what)
        };
        let url = self.url.render(keys, 0).map_err(key_failure)?;
        let body = self.body.as_ref().map(|b| b.render(keys, &[0])).transpose().map_err(key_failure)?;
        let answer = self.exchange.send(&url, body).await?;
        let Some(body) = &answer.body else { return Ok(answer.label(Answers::single(self.decoder.miss()))) };
        let rows = self.decoder.rows(body, keys, &url);
        let rows = rows.map_err(|e| self.decode_failure(&url, body, &e))?;
        Ok(answer.label(Answers::single(rows)))
    }

    /// One attempt for all keys.
    async fn many(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let other = |what: &str| self.exchange.failure(FailureKind::Other, false, "", what);
        // Events that wait for one key may have come without a cache to merge them.
        let rows = self.decoder.distinct(keys).map_err(|e| other(e.message()))?;
        let body = self.body.as_ref().ok_or_else(|| other("a batch needs a body"))?;
        // A key that cannot be written fails the request, which is then split until that key is alone.
        let rendered = self.url.render(keys, 0).and_then(|url| Ok((url, body.render(keys, &rows)?)));
        let (url, body) = rendered.map_err(|problem| {
            let what = match keys.num_rows() {
                1 => format!("{problem} ({})", value::describe_key(keys, 0)),
                _ => problem,
            };
            self.exchange.failure(FailureKind::Key, false, self.exchange.config().url.shown(), &what)
        })?;
        let answer = self.exchange.send(&url, Some(body)).await?;
        let Some(body) = &answer.body else {
            return Ok(answer.label(Answers::misses(self.decoder.schema.clone(), keys.num_rows())));
        };
        let mut answers = self.decoder.split(body, keys).map_err(|e| self.decode_failure(&url, body, &e))?;
        for (_, failure) in &mut answers.failures {
            *failure = self.decode_failure(&url, body, &Error::decode(failure.message.clone()));
        }
        Ok(answer.label(answers))
    }

    fn decode_failure(&self, url: &str, body: &[u8], error: &Error) -> Failure {
        let detail = error.detail().map(|d| format!(" ({d})")).unwrap_or_default();
        let what = format!("{}{detail}; found {}", error.message(), describe_body(body));
        self.exchange.failure(FailureKind::Decode, false, url, &what)
    }
}

impl Backend for HttpLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let inner = self.0.clone();
        Box::pin(async move {
            match inner.exchange.config().batch_size {
                1 => inner.one(&keys).await,
                _ => inner.many(&keys).await,
            }
        })
    }

    fn endpoint(&self) -> Option<Service> {
        let config = self.0.exchange.config();
        let max_in_flight = (config.max_connections > 0).then_some(config.max_connections);
        Some(Service { name: config.url.origin.clone(), max_in_flight })
    }

    fn max_keys(&self) -> usize {
        self.0.exchange.config().batch_size
    }

    fn describe(&self) -> String {
        let config = self.0.exchange.config();
        let batch = match config.batch_size {
            1 => String::new(),
            n => format!(", up to {n} keys a request"),
        };
        format!("{} {}{batch}", config.method, config.url.shown())
    }
}
