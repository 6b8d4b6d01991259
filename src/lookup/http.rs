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

pub use options::{HttpConfig, OPTIONS};

use std::sync::Arc;

use arrow::array::RecordBatch;
use reqwest::Method;

use self::answer::{AnswerDecoder, describe_body};
use self::body_template::{BodyRenderer, BodyTemplate};
use self::exchange::Exchange;
use self::secret::Environment;
use self::url_template::UrlRenderer;
use super::{Backend, BoxFuture, Failure, FailureKind, LookupRequest};
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
        let config = HttpConfig::resolve(&request.table, environment).map_err(in_table)?;
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
        let decoder = AnswerDecoder::new(&request.schema, &request.keys, json, &config)?;
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
    /// One attempt for the key at `row`.
    async fn one(&self, keys: &RecordBatch, row: usize) -> Result<RecordBatch, Failure> {
        let key_failure = |problem: String| {
            let what = format!("{problem} ({})", value::describe_key(keys, row));
            self.exchange.failure(FailureKind::Key, false, self.exchange.config().url.shown(), &what)
        };
        let url = self.url.render(keys, row).map_err(key_failure)?;
        let body = self.body.as_ref().map(|b| b.render(keys, &[row])).transpose().map_err(key_failure)?;
        match self.exchange.send(&url, body).await? {
            None => Ok(self.decoder.miss()),
            Some(body) => {
                let decoded = self.decoder.rows(&body, keys, row);
                decoded.map_err(|e| self.decode_failure(&url, &body, &e))
            }
        }
    }

    /// One attempt for all keys.
    async fn many(&self, keys: &RecordBatch) -> Vec<Result<RecordBatch, Failure>> {
        let all = |failure: Failure| vec![Err(failure); keys.num_rows()];
        // Events that wait for one key may have come without a cache to merge them.
        let rows = match self.decoder.distinct(keys) {
            Ok(rows) => rows,
            Err(e) => return all(self.exchange.failure(FailureKind::Other, false, "", e.message())),
        };
        let Some(body) = &self.body else {
            return all(self.exchange.failure(FailureKind::Other, false, "", "a batch needs a body"));
        };
        let rendered = self.url.render(keys, 0).and_then(|url| Ok((url, body.render(keys, &rows)?)));
        let (url, body) = match rendered {
            Ok(rendered) => rendered,
            // One key cannot be written: ask for each alone, so that only that one fails.
            Err(_) if keys.num_rows() > 1 => {
                let mut answers = Vec::with_capacity(keys.num_rows());
                for row in 0..keys.num_rows() {
                    answers.append(&mut Box::pin(self.many(&keys.slice(row, 1))).await);
                }
                return answers;
            }
            Err(problem) => {
                let what = format!("{problem} ({})", value::describe_key(keys, 0));
                let url = self.exchange.config().url.shown();
                return all(self.exchange.failure(FailureKind::Key, false, url, &what));
            }
        };
        let body = match self.exchange.send(&url, Some(body)).await {
            Ok(Some(body)) => body,
            Ok(None) => return vec![Ok(self.decoder.miss()); keys.num_rows()],
            Err(failure) => return all(failure),
        };
        match self.decoder.split(&body, keys) {
            Ok(answers) => {
                let failure = |e: Error| self.decode_failure(&url, &body, &e);
                answers.into_iter().map(|answer| answer.map_err(failure)).collect()
            }
            Err(e) => all(self.decode_failure(&url, &body, &e)),
        }
    }

    fn decode_failure(&self, url: &str, body: &[u8], error: &Error) -> Failure {
        let detail = error.detail().map(|d| format!(" ({d})")).unwrap_or_default();
        let what = format!("{}{detail}; found {}", error.message(), describe_body(body));
        self.exchange.failure(FailureKind::Decode, false, url, &what)
    }
}

impl Backend for HttpLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Vec<Result<RecordBatch, Failure>>> {
        let inner = self.0.clone();
        Box::pin(async move {
            if keys.num_rows() == 0 {
                Vec::new()
            } else if inner.exchange.config().batch_size > 1 {
                inner.many(&keys).await
            } else if keys.num_rows() == 1 {
                vec![inner.one(&keys, 0).await]
            } else {
                futures::future::join_all((0..keys.num_rows()).map(|row| inner.one(&keys, row))).await
            }
        })
    }

    fn max_keys(&self) -> usize {
        self.0.exchange.config().batch_size
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        Box::pin(async {
            Err(Error::unsupported("connector 'http' cannot be loaded as a whole")
                .with_hint("use 'lookup.cache' = 'PARTIAL'"))
        })
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
