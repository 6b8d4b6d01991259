//! Requests that carry rows to an API: the other direction, with the same client, login, TLS and protection.
//!
//! Which rows a request carries, how often it is tried and in which order is the sink's; this says where a row goes, and
//! makes single attempts.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::exchange::Exchange;
use super::key_headers::{self, BoundHeader, KeyHeader};
use super::options::{HttpConfig, Redirects, SINK_HEADER, own_headers};
use super::url_template::UrlRenderer;
use super::value;
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lookup::endpoint::Endpoint;
use crate::lookup::{Failure, config};

const IDEMPOTENCY: &str = "sink.idempotency-key";
const DELETES: &str = "sink.delete-method";
const BATCH: &str = "sink.batch.max-size";

/// Sends rows to the API of one table.
pub(crate) struct Deliveries {
    insert: Exchange,
    delete: Option<Exchange>,
    url: UrlRenderer,
    headers: Vec<BoundHeader>,
    /// The columns that a URL or a header is made of, by position in the rows.
    columns: Vec<usize>,
    fixed: Arc<str>,
    endpoint: Arc<Endpoint>,
    by_request: bool,
}

/// Where a row goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    url: Arc<str>,
    headers: HeaderMap,
}

impl Deliveries {
    /// For rows of `schema`.
    pub(crate) fn new(table: &Table, schema: &Schema) -> Result<Self> {
        Self::with_environment(table, schema, &|name| std::env::var(name).ok())
    }

    fn with_environment(
        table: &Table,
        schema: &Schema,
        environment: super::secret::Environment<'_>,
    ) -> Result<Self> {
        let options = &table.options;
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let mut config = HttpConfig::resolve(table, environment)?;
        config.method = match options.choice("insert-method", &["POST", "PUT", "PATCH"])? {
            Some("PUT") => Method::PUT,
            Some("PATCH") => Method::PATCH,
            _ => Method::POST,
        };
        config.body = None;
        config.batch_size = 1;
        config.redirects = Redirects::None;
        config.cache_control = false;
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let json = HeaderValue::from_static("application/json");
        if config.headers.get(CONTENT_TYPE) == Some(&json) {
            config.headers.insert(CONTENT_TYPE, content_type(options.text("format"), schema));
        }
        let (own, mut by_row) = own_headers(options, SINK_HEADER, &names, environment, &mut config.secrets)?;
        config.headers.extend(own);
        let mut by_request = false;
        match options.text(IDEMPOTENCY) {
            None => {}
            Some("request") => by_request = true,
            Some(text) => {
                match KeyHeader::parse(&HeaderName::from_static("idempotency-key"), text, &names) {
                    Some(header) => by_row.push(header),
                    None => {
                        return Err(wrong(IDEMPOTENCY, &format!("'{text}' names no column of the table"))
                        .with_hint("write 'request', or columns that tell each row from others: '{id}-{version}'"));
                    }
                }
            }
        }
        let mut used: Vec<&str> = config.url.columns().collect();
        used.extend(by_row.iter().flat_map(KeyHeader::columns));
        used.sort_unstable();
        used.dedup();
        if let Some(name) = used.iter().find(|name| !names.contains(name)) {
            return Err(wrong("url", &format!("column '{name}' is not one that is written")));
        }
        if !used.is_empty() && options.integer(BATCH)?.is_some_and(|rows| rows > 1) {
            return Err(wrong(
                BATCH,
                &format!("column '{}' is used in the url or a header, which hold one row only", used[0]),
            )
            .with_hint(format!("leave '{BATCH}' out, or the column")));
        }
        for name in &used {
            let field = schema.field_with_name(name)?;
            value::check_key_type(name, field.data_type())?;
        }
        let columns = used.iter().filter_map(|name| names.iter().position(|n| n == name)).collect();
        let delete = match options.choice(DELETES, &["none", "DELETE"])? {
            Some("DELETE") => {
                let mut placed: Vec<&str> = config.url.columns().collect();
                placed.sort_unstable();
                placed.dedup();
                let mut key: Vec<&str> = table.primary_key.iter().map(String::as_str).collect();
                key.sort_unstable();
                if key.is_empty() || placed != key {
                    return Err(wrong(
                        DELETES,
                        "the url has not a place for each column of the PRIMARY KEY, and no others",
                    )
                    .with_hint("PRIMARY KEY (id) NOT ENFORCED, 'url' = 'https://host/things/{id}'"));
                }
                // Of a row that goes, only the key is known.
                let foreign = by_row.iter().flat_map(KeyHeader::columns).find(|c| !key.contains(c));
                if let Some(column) = foreign {
                    return Err(wrong(
                        DELETES,
                        &format!("a row that is taken away has no '{column}' for its header"),
                    )
                    .with_hint("name columns of the PRIMARY KEY in headers"));
                }
                let mut config = HttpConfig::resolve(table, environment)?;
                let (own, _) = own_headers(options, SINK_HEADER, &names, environment, &mut config.secrets)?;
                config.headers.extend(own);
                config.headers.remove(CONTENT_TYPE);
                config.method = Method::DELETE;
                config.redirects = Redirects::None;
                config.cache_control = false;
                Some(Exchange::new(config)?)
            }
            _ => None,
        };
        let url = config.url.bind(&used, false)?;
        let headers = by_row.iter().map(|header| header.bind(&used)).collect::<Result<Vec<_>>>()?;
        let mut limits = config::limits(options)?;
        if limits.max_in_flight.is_none() && config.max_connections > 0 {
            limits.max_in_flight = Some(config.max_connections);
        }
        Ok(Self {
            endpoint: Endpoint::shared(&config.url.origin, limits),
            fixed: url.fixed().into(),
            url,
            headers,
            columns,
            by_request,
            delete,
            insert: Exchange::new(config)?,
        })
    }

    /// Whether rows that go are taken away over there.
    pub(crate) fn deletes(&self) -> bool {
        self.delete.is_some()
    }

    /// Where requests go, for people.
    pub(crate) fn describe(&self) -> String {
        let config = self.insert.config();
        format!("{} {}", config.method, config.url.shown())
    }

    /// Where each row goes; `None` where all go to one place.
    pub(crate) fn targets(&self, rows: &RecordBatch) -> Result<Option<Vec<Target>>> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        let keys = rows.project(&self.columns)?;
        for (field, column) in keys.schema_ref().fields().iter().zip(keys.columns()) {
            if let Some(row) = (0..column.len()).find(|row| column.null_count() > 0 && column.is_null(*row)) {
                return Err(Error::execution(format!(
                    "a row has NULL in column '{}', which the url or a header is made of",
                    field.name()
                ))
                .with_detail(format!("the row: {}", value_of(rows, row)))
                .with_hint(format!("filter such rows out: WHERE {} IS NOT NULL", field.name())));
            }
        }
        let target = |row: usize| -> Result<Target> {
            let problem = |what: String| {
                Error::execution(format!("{}: {what}", self.describe()))
                    .with_detail(format!("the row: {}", value::describe_key(&keys, row)))
            };
            let url = self.url.render(&keys, row).map_err(problem)?.into();
            let headers = key_headers::render(&self.headers, &keys, row).map_err(problem)?;
            Ok(Target { url, headers })
        };
        (0..rows.num_rows()).map(target).collect::<Result<Vec<_>>>().map(Some)
    }

    /// One attempt. Without a body: the row at the target is taken away. `number` tells requests apart.
    pub(crate) async fn send(
        &self,
        target: Option<&Target>,
        body: Option<Bytes>,
        number: u128,
    ) -> Result<(), Failure> {
        let url = target.map_or(&self.fixed, |target| &target.url);
        let mut headers = target.map_or_else(HeaderMap::new, |target| target.headers.clone());
        if self.by_request {
            let id = uuid::Builder::from_custom_bytes(number.to_be_bytes()).into_uuid().to_string();
            if let Ok(id) = HeaderValue::from_str(&id) {
                headers.insert(HeaderName::from_static("idempotency-key"), id);
            }
        }
        let (exchange, gone) = match (&body, &self.delete) {
            (None, Some(delete)) => (delete, true),
            _ => (&self.insert, false),
        };
        let permit = self.endpoint.enter().await?;
        let sent = exchange.deliver(url, body.as_ref(), &headers, gone).await;
        permit.ended(sent.as_ref().err());
        sent
    }
}

fn value_of(rows: &RecordBatch, row: usize) -> String {
    let mut out = String::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()).take(8) {
        let text = match column.is_null(row) {
            true => "NULL".to_string(),
            false => arrow::util::display::array_value_to_string(column, row).unwrap_or_default(),
        };
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(field.name());
        out.push_str(" = ");
        out.extend(text.chars().take(60));
    }
    out
}

/// What a body is.
fn content_type(format: Option<&str>, schema: &Schema) -> HeaderValue {
    HeaderValue::from_static(match format {
        Some("csv") => "text/csv; charset=utf-8",
        Some("raw") if schema.fields().iter().any(|f| f.data_type() == &DataType::BinaryView) => {
            "application/octet-stream"
        }
        Some("raw") => "text/plain; charset=utf-8",
        _ => "application/json",
    })
}

/// The format of bodies.
pub(crate) fn body_format(table: &Table) -> Result<Format> {
    Format::from_options_or(&table.options, "json")
}
