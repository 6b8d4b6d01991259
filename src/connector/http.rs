//! `'connector' = 'http'`: a lookup table that is answered by an HTTP API.

use std::sync::Arc;

use super::registry::Connector;
use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::error::Result;
use crate::lookup::http::{HttpConfig, HttpLookup, OPTIONS};
use crate::lookup::{Backend, LookupRequest};

/// The connector; it can be looked up in, and neither read from nor written to.
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
        HttpConfig::check(table)
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(HttpLookup::new(request)?))
    }
}
