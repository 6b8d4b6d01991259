//! Lookup backends of a program: a connector whose tables can be looked up in and nothing else.

use std::sync::Arc;

use super::Connector;
use crate::catalog::{OptionDef, Options};
use crate::error::Result;
use crate::lookup::{Backend, LookupRequest};

/// Makes the backend of a table for a query.
pub type MakeBackend = dyn Fn(&LookupRequest) -> Result<Arc<dyn Backend>> + Send + Sync;

/// The connector.
pub struct LookupTables {
    name: &'static str,
    options: &'static [OptionDef],
    make: Box<MakeBackend>,
}

impl LookupTables {
    /// Tables with `'connector' = name` and these options.
    pub fn new(name: &'static str, options: &'static [OptionDef], make: Box<MakeBackend>) -> Self {
        Self { name, options, make }
    }
}

impl Connector for LookupTables {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        "lookup tables of the program"
    }

    fn options(&self) -> &'static [OptionDef] {
        self.options
    }

    fn is_source(&self) -> bool {
        false
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        (self.make)(request)
    }
}
