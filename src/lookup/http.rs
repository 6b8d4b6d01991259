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
//! for the same reason, unless the table says so, and never with its headers to another host. Messages carry the URL and an excerpt of the answer, but no secret.

mod answer;
mod body_template;
mod collection;
mod deliver;
mod exchange;
mod freshness;
mod key_headers;
mod oauth;
mod options;
mod paging;
mod secret;
mod status;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod text_answer;
mod url_template;
mod value;
mod watch;

pub(crate) use collection::{Collection, Page, refuse_metadata};
pub(crate) use deliver::{Deliveries, Target, body_format};
pub use options::{HttpConfig, OPTIONS};

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use reqwest::Method;
use reqwest::header::HeaderMap;

use self::answer::{AnswerDecoder, describe_body};
use self::body_template::{BodyRenderer, BodyTemplate};
use self::exchange::{Exchange, Success};
use self::key_headers::BoundHeader;
use self::paging::{Paging, Way};
use self::secret::Environment;
use self::url_template::UrlRenderer;
use super::metadata::MetadataKind;
use super::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest, Service};
use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::format::json::JsonOptions;

/// A lookup table that an HTTP API answers for.
#[derive(Clone)]
pub struct HttpLookup(Arc<Inner>);

struct Inner {
    exchange: Exchange,
    /// Where to ask for a key; the whole table, without.
    url: Option<UrlRenderer>,
    body: Option<BodyRenderer>,
    /// Headers that carry keys.
    headers: Vec<BoundHeader>,
    decoder: AnswerDecoder,
    paging: Paging,
    /// All rows, for a FULL cache.
    collection: Option<Collection>,
}

/// Whether a table is kept whole.
fn is_full(options: &Options) -> bool {
    options.text("lookup.cache").is_some_and(|cache| cache.eq_ignore_ascii_case("FULL"))
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
        let in_table = |e| request.table.context(e);
        let mut config = HttpConfig::resolve(&request.table, environment).map_err(in_table)?;
        config.wants_headers = request.metadata.iter().any(|m| m.kind == MetadataKind::Headers);
        let keys: Vec<&str> = request.keys.iter().map(|k| request.schema.field(*k).name().as_str()).collect();
        let collection = match is_full(&request.table.options) {
            true => {
                let whole = Collection::with_environment(&request.table, &request.schema, environment);
                Some(whole.map_err(in_table)?)
            }
            false => None,
        };
        for key in request.keys.iter().filter(|_| collection.is_none()) {
            let field = request.schema.field(*key);
            value::check_key_type(field.name(), field.data_type()).map_err(in_table)?;
        }
        let is_get = config.method == Method::GET;
        let url = match config.url.bind(&keys, is_get) {
            Ok(url) => Some(url),
            // What is in memory is found by any column.
            Err(_) if collection.is_some() => None,
            Err(e) => return Err(in_table(e)),
        };
        let body = match &config.body {
            _ if is_get => None,
            _ if url.is_none() => None,
            None => Some(BodyRenderer::generated(&keys, config.batch_size > 1)),
            Some(template) => {
                check_all_used(&keys, &config, template).map_err(in_table)?;
                Some(template.bind(&keys).map_err(in_table)?)
            }
        };
        let paging = Paging::resolve(&request.table.options, Way::None).map_err(in_table)?;
        config.wants_headers |= paging.way == Way::LinkHeader;
        if paging.way != Way::None && config.batch_size > 1 {
            let error = Error::option("an answer for many keys has no pages");
            return Err(in_table(error.with_hint("leave 'http.source.paging' or the batch size out")));
        }
        if paging.way != Way::None && config.format.is_some() {
            let error = Error::option("pages are only recognised in JSON answers");
            return Err(in_table(error.with_hint("leave 'http.source.paging' or the format out")));
        }
        let headers = config.key_headers.iter().map(|header| header.bind(&keys));
        let headers = headers.collect::<Result<Vec<_>>>().map_err(in_table)?;
        if is_get && config.batch_size > 1 && keys.len() > 1 {
            let error =
                Error::plan("a GET lists the values of one key column, and the query looks up by more");
            return Err(in_table(error.with_hint("set 'lookup-method' = 'POST'")));
        }
        let json = JsonOptions::from_options(&request.table.options)?;
        let decoder = AnswerDecoder::new(request, json, &config)?;
        let exchange = Exchange::new(config).map_err(in_table)?;
        Ok(Self(Arc::new(Inner { exchange, url, body, headers, decoder, paging, collection })))
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
    fn url(&self) -> Result<&UrlRenderer, Failure> {
        let shown = self.exchange.config().url.shown();
        let what = "the query provides no key that the url takes";
        self.url.as_ref().ok_or_else(|| self.exchange.failure(FailureKind::Key, false, shown, what))
    }

    /// One attempt for the only key.
    async fn one(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let key_failure = |problem: String| {
            let what = format!("{problem} ({})", value::describe_key(keys, 0));
            self.exchange.failure(FailureKind::Key, false, self.exchange.config().url.shown(), &what)
        };
        let url = self.url()?.render(keys, 0).map_err(key_failure)?;
        let body = self.body.as_ref().map(|b| b.render(keys, &[0])).transpose().map_err(key_failure)?;
        let headers = key_headers::render(&self.headers, keys, 0).map_err(key_failure)?;
        if self.paging.way != Way::None {
            return self.pages(keys, &url, body, &headers).await;
        }
        let answer = self.exchange.send_with(&url, body, headers).await?;
        let Some(body) = &answer.body else { return Ok(answer.label(Answers::single(self.decoder.miss()))) };
        let rows = self.decoder.rows(body, keys, &url);
        let rows = rows.map_err(|e| self.decode_failure(&url, body, &e))?;
        Ok(answer.label(Answers::single(rows)))
    }

    /// One attempt for the only key, whose answer may have several pages.
    async fn pages(
        &self,
        keys: &RecordBatch,
        url: &str,
        request: Option<String>,
        headers: &HeaderMap,
    ) -> Result<Answers, Failure> {
        let failure = |kind, url: &str, what: &str| self.exchange.failure(kind, false, url, what);
        let mut place = self.paging.first(url).map_err(|what| failure(FailureKind::Key, url, &what))?;
        let mut pages: Vec<RecordBatch> = Vec::new();
        let mut last: Option<Success> = None;
        loop {
            let url = place.url.to_string();
            let answer = self.exchange.send_with(&url, request.clone(), headers.clone()).await?;
            let Some(body) = &answer.body else {
                last.get_or_insert(answer);
                break;
            };
            if last.as_ref().is_some_and(|last| last.body.as_ref() == Some(body)) {
                let what = "this page has the same rows as the one before";
                return Err(failure(FailureKind::Decode, &url, what));
            }
            let undecoded = |e: Error| self.decode_failure(&url, body, &e);
            pages.push(self.decoder.rows(body, keys, &url).map_err(undecoded)?);
            let rows = self.decoder.value(body).map_err(undecoded)?;
            let next = self.paging.next(&place, body, rows, &answer.links());
            let next = next.map_err(|what| failure(FailureKind::Decode, &url, &what))?;
            last = Some(answer);
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        let rows = concat_batches(&self.decoder.schema, &pages)
            .map_err(|e| failure(FailureKind::Other, url, &e.to_string()))?;
        let answers = Answers::single(rows);
        Ok(match last {
            Some(last) => last.label(answers),
            None => answers,
        })
    }

    /// One attempt for all keys.
    async fn many(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let other = |what: &str| self.exchange.failure(FailureKind::Other, false, "", what);
        // Events that wait for one key may have come without a cache to merge them.
        let rows = self.decoder.distinct(keys).map_err(|e| other(e.message()))?;
        // A key that cannot be written fails the request, which is then split until that key is alone.
        let place = self.url()?;
        let rendered = match &self.body {
            Some(body) => place.render(keys, 0).and_then(|url| Ok((url, Some(body.render(keys, &rows)?)))),
            None => place.render_list(keys, &rows).map(|url| (url, None)),
        };
        let (url, body) = rendered.map_err(|problem| {
            let what = match keys.num_rows() {
                1 => format!("{problem} ({})", value::describe_key(keys, 0)),
                _ => problem,
            };
            self.exchange.failure(FailureKind::Key, false, self.exchange.config().url.shown(), &what)
        })?;
        let answer = self.exchange.send(&url, body).await?;
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
    fn judge(&self) {
        self.0.decoder.ended();
    }

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

    fn can_lookup(&self) -> bool {
        self.0.url.is_some()
    }

    fn can_load(&self) -> bool {
        self.0.collection.is_some()
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let inner = self.0.clone();
        Box::pin(async move {
            match &inner.collection {
                Some(collection) => collection.all().await,
                None => Err(Error::unsupported("this lookup table is not kept whole")),
            }
        })
    }

    fn max_keys(&self) -> usize {
        self.0.exchange.config().batch_size
    }

    fn describe(&self) -> String {
        if let Some(collection) = &self.0.collection {
            return collection.describe();
        }
        let config = self.0.exchange.config();
        let batch = match config.batch_size {
            1 => String::new(),
            n => format!(", up to {n} keys a request"),
        };
        format!("{} {}{batch}", config.method, config.url.shown())
    }
}
