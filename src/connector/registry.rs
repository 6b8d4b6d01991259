//! Finds connectors by name.

use std::sync::Arc;

use crate::catalog::options::OptionDef;
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::lookup::{Backend, LookupRequest};

use super::{ScanRequest, Sink, Source};

/// A connector: makes sources, sinks and lookups of tables that name it. What it cannot be, it refuses.
pub trait Connector: Send + Sync {
    /// The value of `'connector'`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn doc(&self) -> &'static str;

    /// Its own options, without those of formats and of the lookup engine.
    fn options(&self) -> &'static [OptionDef];

    /// Whether it takes a `'format'`; its options are then those of the format as well.
    fn takes_format(&self) -> bool {
        false
    }

    /// Metadata keys that its tables can have as columns.
    fn metadata(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks of options beyond their types, at CREATE TABLE.
    fn check(&self, _table: &Table) -> Result<()> {
        Ok(())
    }

    /// Whether a table with these options is a lookup table when it stands on the right of a join.
    fn is_lookup(&self, _options: &Options) -> bool {
        false
    }

    /// A source.
    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!(
            "table '{}': connector '{}' cannot be read from",
            request.table.name,
            self.name()
        )))
    }

    /// A sink for the persisted columns of a table.
    fn sink(&self, table: &Arc<Table>, _zone: &str) -> Result<Arc<dyn Sink>> {
        Err(Error::unsupported(format!(
            "table '{}': connector '{}' cannot be written to",
            table.name,
            self.name()
        )))
    }

    /// A lookup.
    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        Err(Error::unsupported(format!(
            "table '{}': connector '{}' cannot be looked up in",
            request.table.name,
            self.name()
        )))
    }
}

/// The connectors there are.
const CONNECTORS: &[&dyn Connector] = &[&super::http::HttpConnector];

/// The connector of that name.
pub fn connector(name: &str) -> Result<&'static dyn Connector> {
    let found = CONNECTORS.iter().find(|c| c.name() == name);
    found.copied().ok_or_else(|| {
        let error = Error::option(format!("connector '{name}' is not known"));
        match crate::catalog::table::nearest(name, connector_names()) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => {
                error.with_hint(format!("there are: {}", connector_names().collect::<Vec<_>>().join(", ")))
            }
        }
    })
}

/// Names of the connectors.
pub fn connector_names() -> impl Iterator<Item = &'static str> {
    CONNECTORS.iter().map(|c| c.name())
}
/// stub
pub fn validate(_t: &Table) -> Result<()> { Ok(()) }
