//! `'connector' = 'mmdb'`: MaxMind's files of addresses, as lookup tables.

use std::sync::Arc;

use super::{Connector, Nature};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::Result;
use crate::lookup::mmdb::{MmdbLookup, address_column, paths};
use crate::lookup::{Backend, LookupRequest};

/// The connector.
#[derive(Debug)]
pub struct Mmdb;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "path",
        OptionKind::Text,
        "",
        "the .mmdb file; one that takes its place is read from then on",
    ),
    OptionDef::new(
        "mmdb.columns",
        OptionKind::Text,
        "",
        "columns from inside of records: country:country.iso_code, city:city.names.en; the others are fields of a record",
    ),
];

impl Connector for Mmdb {
    fn name(&self) -> &'static str {
        "mmdb"
    }

    fn doc(&self) -> &'static str {
        "what a MaxMind file knows about an address, as lookup table"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        table.options.required("path")?;
        address_column(table)?;
        paths(table).map(drop)
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { answers_locally: true, ..Nature::declared(self.options(), &table.options) }
    }

    fn is_source(&self) -> bool {
        false
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        Ok(Some(vec![address_column(table)?]))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let made = MmdbLookup::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}
