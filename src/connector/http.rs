//! `'connector' = 'http'`: an HTTP API that answers lookups, lists rows, or takes them.
//!
//! What login, TLS, time-outs and protection are is said once for all three (`lookup/http`). Writing: see `sink.rs`.

mod scan;
mod sink;

use std::sync::Arc;

use super::outbox;
use super::{Connector, Nature};
use super::{ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::json::ChangelogField;
use crate::lookup::http::{HttpConfig, HttpLookup, OPTIONS};
use crate::lookup::{Backend, LookupRequest};

/// The connector: it can be looked up in, written to, and read where its API lists all rows.
#[derive(Debug)]
pub struct HttpConnector;

const ALL_OPTIONS: &[OptionDef] = &outbox::with_options::<{ OPTIONS.len() + outbox::COUNT }>(OPTIONS);

/// What only rows that are read cannot be.
fn refuse_changes(options: &Options) -> Result<()> {
    if ChangelogField::from_options(options)?.is_some() {
        return Err(Error::option("answers of an API are rows, not changes")
            .with_hint("leave 'json.changelog-field' out"));
    }
    Ok(())
}

impl Connector for HttpConnector {
    fn name(&self) -> &'static str {
        "http"
    }

    fn doc(&self) -> &'static str {
        "HTTP APIs, as lookup table, as sink, and as source where one lists all rows"
    }

    fn options(&self) -> &'static [OptionDef] {
        ALL_OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn check(&self, table: &Table) -> Result<()> {
        HttpConfig::check(table)?;
        sink::check(table)
    }

    fn lookup_metadata(&self) -> &'static [&'static str] {
        &[
            "outcome",
            "error-kind",
            "error-string",
            "attempts",
            "fetched-at",
            "http-status-code",
            "http-headers-map",
        ]
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn joins_by_lookup(&self) -> bool {
        true
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        HttpConfig::key_columns(table)
    }

    fn has_nested_keys(&self) -> bool {
        true
    }

    fn nature(&self, table: &Table) -> Nature {
        let keys = table.options.integer("http.request.batch-size").ok().flatten();
        let keys_of_request = keys.and_then(|keys| usize::try_from(keys).ok()).unwrap_or(1);
        Nature { over_http: true, keys_of_request, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        refuse_changes(&request.table.options)?;
        scan::source(request)
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::HttpSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        refuse_changes(&request.table.options)?;
        Ok(Arc::new(HttpLookup::new(request)?))
    }
}
