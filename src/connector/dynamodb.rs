//! `'connector' = 'dynamodb'`: tables of Amazon DynamoDB, to look up in, to read and to write to.
//!
//! The PRIMARY KEY is the key that the table has in DynamoDB. A sink puts and deletes items by key, at-least-once; the
//! same again when it is done twice.

mod scan;
mod sink;

use std::sync::Arc;

use super::{Connector, Nature};
use super::{Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::Result;
use crate::lookup::dynamodb::{Api, DynamoDbLookup, key_columns};
use crate::lookup::{Backend, LookupRequest};

/// The connector.
#[derive(Debug)]
pub struct DynamoDb;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new("table-name", OptionKind::Text, "", "the table's name in DynamoDB"),
    OptionDef::new("aws.region", OptionKind::Text, "", "eu-north-1, for example"),
    OptionDef::new("aws.endpoint", OptionKind::Text, "", "another address than that of the region"),
    OptionDef::new(
        "aws.credentials.basic.accesskeyid",
        OptionKind::Text,
        "",
        "default: AWS_ACCESS_KEY_ID and what else a machine of AWS has; ${NAME} is taken from the environment",
    ),
    OptionDef::new("aws.credentials.basic.secretkey", OptionKind::Text, "", "with the key's id"),
    OptionDef::new("aws.credentials.basic.sessiontoken", OptionKind::Text, "", "of temporary credentials"),
    OptionDef::new(
        "dynamodb.consistent-read",
        OptionKind::Bool,
        "false",
        "lookups and scans see all writes before them; costs twice as much",
    ),
    OptionDef::new("sink.batch.max-size", OptionKind::Integer, "25", "items of a request, 25 at most"),
    OptionDef::new("sink.ignore-nulls", OptionKind::Bool, "false", "NULLs are left out instead of written"),
    OptionDef::new(
        "sink.max-retries",
        OptionKind::Integer,
        "3",
        "further attempts after a fault that may pass",
    ),
];

impl Connector for DynamoDb {
    fn name(&self) -> &'static str {
        "dynamodb"
    }

    fn doc(&self) -> &'static str {
        "tables of Amazon DynamoDB, as lookup table, source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        table.options.required("table-name")?;
        key_columns(table)?;
        Api::of(&table.options).map(drop)
    }

    fn joins_by_lookup(&self) -> bool {
        true
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        true
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        key_columns(table).map(Some)
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature::declared(self.options(), &table.options).keyed(table)
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let name = table.options.required("table-name")?;
        Ok(Some(Place::new("dynamodb", format!("{}, table {name}", Api::of(&table.options)?.shown()), name)))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let made = scan::DynamoDbSource::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let made = DynamoDbLookup::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::DynamoDbSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}
