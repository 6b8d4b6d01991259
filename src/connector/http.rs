//! `'connector' = 'http'`: a lookup table that is answered by an HTTP API.

mod scan;

use std::sync::Arc;

use super::Connector;
use super::{ScanRequest, Source};
use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::json::ChangelogField;
use crate::lookup::http::{HttpConfig, HttpLookup, OPTIONS};
use crate::lookup::{Backend, LookupRequest};

/// The connector: it can be looked up in, and read where its API lists all rows; not written to.
#[derive(Debug)]
pub struct HttpConnector;

impl Connector for HttpConnector {
    fn name(&self) -> &'static str {
        "http"
    }

    fn doc(&self) -> &'static str {
        "lookup table answered by an HTTP API"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn check(&self, table: &Table) -> Result<()> {
        if ChangelogField::from_options(&table.options)?.is_some() {
            return Err(Error::option("answers of an API are rows, not changes")
                .with_hint("leave 'json.changelog-field' out"));
        }
        HttpConfig::check(table)
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

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        scan::source(request)
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(HttpLookup::new(request)?))
    }
}
