//! A table that is read whole: one GET of a collection, or one for each of its pages.
//!
//! ```text
//!  SELECT * FROM rates            ┐
//!  'lookup.cache' = 'FULL'        ┴─> GET /rates ─> page ─> GET /rates?page=2 ─> page ─> ... ─> rows
//! ```
//! The URL is `http.source.scan.url`, or the table's `url` where it has no place for a column. A page that fails is
//! asked for again as a lookup is (`lookup.max-retries`), within the limits of the endpoint. A collection that is not
//! there is an error: nothing is asked by a key that could be missing.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use reqwest::Method;
use tokio::time::sleep;

use super::answer::{AnswerDecoder, describe_body};
use super::exchange::Exchange;
use super::options::HttpConfig;
use super::paging::{PAGING, Paging, Place, Way, unread};
use super::secret::Environment;
use super::url_template::UrlTemplate;
use crate::catalog::Table;
use crate::catalog::table::ColumnSource;
use crate::error::{Error, Result};
use crate::format::json::JsonOptions;
use crate::lookup::config;
use crate::lookup::endpoint::Endpoint;
use crate::lookup::retry::{Backoff, shown};
use crate::lookup::{Failure, FailureKind, LookupRequest};

pub(super) const SCAN_URL: &str = "http.source.scan.url";

/// A service that asks for a longer pause before the next attempt has failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(180);

/// A table as its API lists it.
pub(crate) struct Collection {
    exchange: Exchange,
    url: String,
    paging: Paging,
    /// Whether the table says how its pages go on.
    has_paging: bool,
    endpoint: Arc<Endpoint>,
    retries: u32,
    backoff: Backoff,
    decoder: AnswerDecoder,
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collection({})", self.describe())
    }
}

/// A page that has come.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its rows, still JSON.
    pub body: Bytes,
    url: String,
    digest: u64,
    next: Option<Place>,
}

impl Collection {
    /// The table with these columns, read from the URL that its options name.
    pub fn new(table: &Arc<Table>, schema: &SchemaRef) -> Result<Self> {
        Self::with_environment(table, schema, &|name| std::env::var(name).ok()).map_err(|e| table.context(e))
    }

    pub(super) fn with_environment(
        table: &Arc<Table>,
        schema: &SchemaRef,
        environment: Environment<'_>,
    ) -> Result<Self> {
        let options = &table.options;
        let mut config = listed(table, environment)?;
        let url = config.url.bind(&[], false)?.fixed();
        config.method = Method::GET;
        config.body = None;
        config.batch_size = 1;
        config.wants_headers = true;
        let paging = Paging::resolve(options, Way::LinkHeader)?;
        let limits = config::limits(options)?;
        let endpoint = Endpoint::shared(&config.url.origin, limits);
        let request = LookupRequest::new(table.clone(), Vec::new(), schema.clone());
        let decoder = AnswerDecoder::new(&request, JsonOptions::from_options(options)?, &config)?;
        Ok(Self {
            exchange: Exchange::new(config)?,
            url,
            paging,
            has_paging: options.contains(PAGING),
            endpoint,
            retries: config::max_retries(options)?,
            backoff: Backoff::default(),
            decoder,
        })
    }

    /// What is asked.
    pub fn describe(&self) -> String {
        format!("GET {}", self.exchange.config().url.shown())
    }

    /// The page behind `last`, the first one without; `None` behind the last one.
    pub async fn page(&self, last: Option<&Page>) -> Result<Option<Page>> {
        let place = match last {
            None => self.paging.first(&self.url).map_err(|what| self.error(&self.url, &what))?,
            Some(Page { next: Some(next), .. }) => next.clone(),
            Some(Page { next: None, .. }) => return Ok(None),
        };
        let url = place.url.to_string();
        let mut failed = 0;
        let answer = loop {
            let tried = match self.endpoint.enter().await {
                Ok(permit) => {
                    let tried = self.exchange.send(&url, None).await;
                    permit.ended(tried.as_ref().err());
                    tried
                }
                Err(closed) => Err(closed),
            };
            let failure = match tried {
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            failed += 1;
            let pause = self.backoff.delay(failed, failure.retry_after);
            if pause > LONGEST_PAUSE {
                let message =
                    format!("{}; it asks to wait {}, which is too long", failure.message, shown(pause));
                return Err(Error::lookup(message));
            }
            if !failure.retryable || failed > self.retries || !self.endpoint.may_retry() {
                let attempts = if failed == 1 { String::new() } else { format!(" ({failed} attempts)") };
                let error = Error::lookup(failure.message + &attempts);
                return Err(if failure.retryable { error } else { error.lasting() });
            }
            sleep(pause).await;
        };
        let Some(body) = answer.body.clone() else {
            // Where pages are counted, the one behind the last may not be there.
            return match (last, answer.status) {
                (None, status) if status != 204 => Err(self
                    .error(&url, &format!("answered {status}"))
                    .with_hint(format!("this URL must list the rows; '{SCAN_URL}' names another"))),
                _ => Ok(None),
            };
        };
        if body.trim_ascii().is_empty() && last.is_none() {
            log::warn!("{url}: the answer is empty, there are no rows in it");
        }
        let digest = foldhash::fast::FixedState::default().hash_one(&body[..]);
        if let Some(last) = last
            && last.digest == digest
            && last.body == body
        {
            return Err(self
                .error(&url, "this page has the same rows as the one before")
                .with_hint("does the API know the parameter ('http.source.paging.parameter')?"));
        }
        let links = answer.links();
        let rows = self.decoder.value(&body).map_err(|e| self.undecoded(&url, &body, &e))?;
        let next = self.paging.next(&place, &body, rows, &links).map_err(|what| self.error(&url, &what))?;
        if last.is_none()
            && next.is_none()
            && !self.has_paging
            && let Some(more) = unread(&body, rows)
        {
            log::warn!("{url}: {more}, and only this page is read: '{PAGING}' says how to go on");
        }
        Ok(Some(Page { body, url, digest, next }))
    }

    /// The rows of a page.
    pub fn decode(&self, page: &Page) -> Result<RecordBatch> {
        self.decoder.decode(&page.body).map_err(|e| self.undecoded(&page.url, &page.body, &e))
    }

    /// All pages were decoded: says what is wrong with their rows.
    pub fn ended(&self) {
        self.decoder.ended();
    }

    /// Values that were left out because they do not fit and the table says so.
    pub fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }

    /// All rows.
    pub(super) async fn all(&self) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        let mut last = None;
        while let Some(page) = self.page(last.as_ref()).await? {
            batches.push(self.decode(&page)?);
            last = Some(page);
        }
        self.ended();
        Ok(concat_batches(&self.decoder.schema, &batches)?)
    }

    fn error(&self, url: &str, what: &str) -> Error {
        Error::lookup(self.failure(FailureKind::Other, url, what).message).lasting()
    }

    fn failure(&self, kind: FailureKind, url: &str, what: &str) -> Failure {
        self.exchange.failure(kind, false, url, what)
    }

    fn undecoded(&self, url: &str, body: &[u8], error: &Error) -> Error {
        let detail = error.detail().map(|d| format!(" ({d})")).unwrap_or_default();
        let what = format!("{}{detail}; found {}", error.message(), describe_body(body));
        Error::decode(self.failure(FailureKind::Decode, url, &what).message)
    }
}

/// Checks the options of a table, as CREATE TABLE does.
pub(super) fn check(table: &Table, environment: Environment<'_>) -> Result<()> {
    let options = &table.options;
    Paging::resolve(options, Way::LinkHeader)?;
    if !options.contains(SCAN_URL) && !super::is_full(options) {
        return Ok(());
    }
    let config = listed(table, environment)?;
    match config.url.columns().next() {
        Some(column) => Err(Error::option(format!(
            "option '{SCAN_URL}' has a place for '{column}': no key is known where all rows are listed"
        ))
        .at(options.span(SCAN_URL))),
        None => Ok(()),
    }
}

/// The options of a table, its url that of all rows.
fn listed(table: &Table, environment: Environment<'_>) -> Result<HttpConfig> {
    let options = &table.options;
    let mut config = HttpConfig::resolve(table, environment)?;
    if let Some(url) = options.text(SCAN_URL) {
        config.url = UrlTemplate::parse(url, &BTreeMap::new(), environment, &mut config.secrets)
            .map_err(|e| e.context(format!("option '{SCAN_URL}'")).at(options.span(SCAN_URL)))?;
        return Ok(config);
    }
    if config.method != Method::GET {
        return Err(Error::unsupported(format!(
            "it is asked by {} with a key, and cannot be read as a whole",
            config.method
        ))
        .with_hint(format!(
            "in a join put the stream on the left and this table on the right; to read all rows, name the URL that \
             lists them: '{SCAN_URL}' = 'http://...'"
        )));
    }
    if let Some(column) = config.url.columns().next() {
        let listed = config.url.shown().split(['{', '?']).next().unwrap_or_default();
        return Err(Error::unsupported(format!(
            "its url has a place for '{column}': it answers for keys, and cannot be read as a whole"
        ))
        .with_hint(format!(
            "in a join put the stream on the left and this table on the right; EXPLAIN LOOKUP {} FOR (key) asks for \
             one key; to read all rows, name the URL that lists them: '{SCAN_URL}' = '{}'",
            table.name,
            listed.trim_end_matches('/')
        )));
    }
    Ok(config)
}

/// The columns that a table is read with: metadata of lookups is not among them.
pub(crate) fn refuse_metadata(table: &Table, projection: &[usize]) -> Result<()> {
    let metadata = projection
        .iter()
        .filter_map(|i| table.columns.get(*i))
        .find(|column| matches!(column.source, ColumnSource::Metadata { .. }));
    match metadata {
        None => Ok(()),
        Some(column) => Err(Error::unsupported(format!(
            "table '{}': column '{}' is metadata of a lookup, and nothing is looked up here",
            table.name, column.name
        ))
        .with_hint("name the other columns in SELECT")),
    }
}
