//! `'connector' = 'function'`: a lookup table whose rows a user's function returns.
//!
//! The table names its function; what it is asked for and how its rows become the table's is the planner's to say (see
//! [`crate::plan`]), which knows the functions of the session.

use std::sync::Arc;

use super::{Connector, Nature};
use super::{ScanRequest, Source};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::lookup::{Backend, LookupRequest};

/// Option that names the function.
pub const FUNCTION: &str = "function";

/// The connector; it can be looked up in, and neither read from nor written to.
#[derive(Debug)]
pub struct FunctionConnector;

impl Connector for FunctionConnector {
    fn name(&self) -> &'static str {
        "function"
    }

    fn doc(&self) -> &'static str {
        "lookup table answered by a user's function"
    }

    fn options(&self) -> &'static [OptionDef] {
        const OPTIONS: &[OptionDef] = &[OptionDef::new(
            FUNCTION,
            OptionKind::Text,
            "",
            "the function that is called with the key; it waits for its answers (async, Python, a model)",
        )];
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        table.options.required(FUNCTION)?;
        if table.primary_key.is_empty() {
            return Err(Error::plan(format!("table '{}' has no primary key", table.name)).with_hint(
                "declare PRIMARY KEY (column) NOT ENFORCED: its columns are the arguments of the function",
            ));
        }
        Ok(())
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { answers_locally: true, ..Nature::declared(self.options(), &table.options) }
    }

    fn is_source(&self) -> bool {
        false
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        Ok(Some(table.primary_key.clone()))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!(
            "table '{}' is a lookup table: it answers for keys and cannot be read as a whole",
            request.table.name
        ))
        .with_hint("put the stream on the left and the lookup table on the right of a JOIN or LEFT JOIN"))
    }

    fn lookup(&self, _request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        Err(Error::internal("a table of a function that was not planned"))
    }
}
