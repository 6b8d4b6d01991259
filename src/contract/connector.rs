//! What a connector is: the contract of what `'connector' = '...'` can name.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::backend::{Backend, KEYS, LookupRequest};
use super::sink::{Sink, SinkChangelog, SinkJob};
use super::source::{Place, Source, SourceChangelog};
use crate::catalog::{Column, OptionDef, Options, Table};
use crate::error::{Error, Result, Span};
use crate::sql::{OptionEntry, SqlType};

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

    /// The format of a table without `'format'`; `None` when it must be given.
    fn default_format(&self) -> Option<&'static str> {
        None
    }

    /// The format of a table with these options.
    fn format_of<'a>(&self, options: &'a Options) -> Option<&'a str> {
        options.text("format").or(self.default_format())
    }

    /// The options that the format of its records is made from: those of the table, unless they have a prefix there, as
    /// in `value.json.ignore-parse-errors`.
    fn format_options<'a>(&self, options: &'a Options) -> Result<Cow<'a, Options>> {
        Ok(Cow::Borrowed(options))
    }

    /// Whether its tables can be PARTITIONED BY columns.
    fn takes_partitions(&self) -> bool {
        false
    }

    /// Whether its sources return undecodable records as rows when the schema of a request ends with
    /// [`crate::dead_letter::REJECTED`].
    fn rejects(&self) -> bool {
        false
    }

    /// Metadata keys that its tables can have as columns.
    fn metadata(&self) -> &'static [&'static str] {
        &[]
    }

    /// Metadata keys that the lookup engine fills in, where its tables are looked up in.
    fn lookup_metadata(&self) -> &'static [&'static str] {
        KEYS
    }

    /// Checks of options beyond their types, at CREATE TABLE.
    fn check(&self, _table: &Table) -> Result<()> {
        Ok(())
    }

    /// Whether its tables can be read as a whole.
    fn is_source(&self) -> bool {
        true
    }

    /// Whether its tables, on the right of a join, are always looked up in, even if they can be read.
    fn joins_by_lookup(&self) -> bool {
        !self.is_source()
    }

    /// Whether a table with these options is a lookup table on the right side of a join.
    fn is_lookup(&self, _options: &Options) -> bool {
        false
    }

    /// Whether a lookup table can only be loaded whole: its cache is then always FULL.
    fn loads_whole(&self) -> bool {
        false
    }

    /// Columns found out from a sample of records, for a table that declares none; `None` where that is not
    /// possible.
    fn infer(&self, _options: &Options) -> Result<Option<Inferred>> {
        Ok(None)
    }

    /// What about its data does not look like the table that was declared, by a sample: `affluent check` shows it.
    fn examine(&self, _table: &Table) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Schemes of URLs that name its tables in queries, such as `kafka` of `kafka://host/topic`.
    fn schemes(&self) -> &'static [&'static str] {
        &[]
    }

    /// The options of the table that such a URL names.
    fn url_options(&self, url: &str) -> Result<Options> {
        Err(Error::unsupported(format!("'{url}' names no table")))
    }

    /// What there is at a URL that names no table but a place with several; `None` where it names one.
    fn listing(&self, _url: &str) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// Whether a table can be reached, and used as it is declared, by asking what it is connected to: what was found,
    /// for people, or what is in the way. For `affluent check --connect`.
    fn probe(&self, _table: &Table) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The columns by which a lookup table can be asked; `None` for any. A condition on another column
    /// filters the answers.
    fn lookup_keys(&self, _table: &Table) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// Whether a lookup may be asked by a field of a ROW column, too; it is named by its path.
    fn has_nested_keys(&self) -> bool {
        false
    }

    /// Where a table reads or writes; `None` where that makes no difference, such as for generated rows. A job does
    /// not go on from the positions of another place.
    fn place(&self, _table: &Table) -> Result<Option<Place>> {
        Ok(None)
    }

    /// How a table of these options behaves, as far as its declaration says: what stands in its place in a test behaves
    /// alike.
    fn nature(&self, table: &Table) -> Nature {
        Nature::declared(self.options(), &table.options)
    }

    /// The options of CREATE CATALOG with this connector's name as its type, besides the type; empty where there are no
    /// such catalogs.
    fn catalog_options(&self) -> &'static [&'static str] {
        &[]
    }

    /// The tables of a catalog of such options, of which there may be others. `place`: of the catalog's name.
    fn catalog(&self, _options: &[OptionEntry], place: Span) -> Result<CatalogTables> {
        Err(Error::unsupported(format!("catalogs of type '{}' are not supported", self.name())).at(place))
    }

    /// A source.
    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!(
            "table '{}': connector '{}' cannot be read from",
            request.table.name,
            self.name()
        )))
    }

    /// A sink for the persisted columns of a table. Nothing outside changes before it is used.
    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        Err(Error::unsupported(format!(
            "table '{}': connector '{}' cannot be written to",
            request.table.name,
            self.name()
        )))
    }

    /// Whether INSERT OVERWRITE is supported.
    fn overwrites(&self) -> bool {
        false
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

/// What the columns of a table look like, by a sample of its records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inferred {
    /// Names and types in order of their first appearance.
    pub columns: Vec<(String, SqlType)>,
    /// Options of the format that the types ask for.
    pub options: Vec<(&'static str, &'static str)>,
    /// What is doubtful about them.
    pub doubt: Option<&'static str>,
    /// The primary key, where it is known.
    pub primary_key: Vec<String>,
    /// Columns whose values are in names of folders.
    pub partitioned_by: Vec<String>,
}

/// How a table behaves, as far as its declaration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nature {
    /// Its rows end by themselves.
    pub bounded: bool,
    /// It is read, up to its end, without anything that runs elsewhere.
    pub reads_locally: bool,
    /// It is looked up in without anything that runs elsewhere.
    pub answers_locally: bool,
    /// It is read and looked up in by requests of the engine's HTTP client.
    pub over_http: bool,
    /// Keys that one request of a lookup carries.
    pub keys_of_request: usize,
    /// Which changes its rows are; `None`: those that its format has.
    pub reads: Option<SourceChangelog>,
    /// Which changes it takes; `None`: those that its format can write.
    pub writes: Option<SinkChangelog>,
}

impl Nature {
    /// What follows from the options: a table that has 'scan.bounded.mode' ends only if that is given.
    pub fn declared(known: &[OptionDef], given: &Options) -> Self {
        const BOUNDED: &str = "scan.bounded.mode";
        let ends = given.text(BOUNDED).is_some_and(|mode| mode != "unbounded");
        Self {
            bounded: ends || !known.iter().any(|option| option.key == BOUNDED),
            reads_locally: false,
            answers_locally: false,
            over_http: false,
            keys_of_request: 1000,
            reads: None,
            writes: None,
        }
    }

    /// The same; it takes changes by key where the table has a PRIMARY KEY.
    pub fn keyed(mut self, table: &Table) -> Self {
        let keyed = !table.primary_key.is_empty();
        self.writes = Some(if keyed { SinkChangelog::Upsert } else { SinkChangelog::Append });
        self
    }
}

/// The tables of a catalog that a connector makes.
#[derive(Debug, Default)]
pub struct CatalogTables {
    /// The name of their database.
    pub database: String,
    /// The table's name in the catalog, its options, and its columns; the text says why a table is left out.
    pub tables: Vec<(String, Vec<OptionEntry>, Result<Inferred, String>)>,
}

/// What a query wants from a table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScanRequest {
    /// The table, with the options that hold for this reference.
    pub table: Arc<Table>,
    /// The wanted physical and metadata columns, by index into [`Table::columns`], in output order.
    pub projection: Vec<usize>,
    /// Their Arrow schema: what the reader's batches look like.
    pub schema: SchemaRef,
    /// Upper bound of rows in a batch.
    pub batch_rows: usize,
    /// The session's time zone.
    pub zone: String,
}

/// What a query asks of a table that it writes to.
#[derive(Clone)]
#[non_exhaustive]
pub struct SinkRequest {
    /// The table, with the options that hold for this INSERT.
    pub table: Arc<Table>,
    /// The time zone of TIMESTAMP_LTZ.
    pub zone: String,
    /// The columns that the writers get, in this order: physical ones, and metadata columns that are not virtual.
    pub schema: SchemaRef,
    /// The PRIMARY KEY, as positions in `schema`; empty without one.
    pub key: Vec<usize>,
    /// The query changes rows that it emitted before.
    pub changes: bool,
    /// INSERT OVERWRITE: the rows take the place of what the table (of its partitions, those that get rows) holds,
    /// when the job commits. Asked of connectors that say so ([`Connector::overwrites`]), for bounded queries.
    pub overwrite: bool,
    /// The input ends by itself. Otherwise results are to be made visible while the job runs, and not only by
    /// [`Sink::commit`].
    pub bounded: bool,
    /// The job makes checkpoints: results become visible by [`Sink::commit_epoch`] alone.
    pub checkpoints: bool,
    /// What the sinks of one job share.
    pub job: SinkJob,
}

impl SinkRequest {
    /// For a query that adds rows and ends, in a job without checkpoints and with no other sink.
    pub fn new(table: &Arc<Table>, zone: &str) -> Self {
        let persisted = || table.columns.iter().filter(|c| c.is_persisted());
        let field = |c: &Column| {
            let (data_type, nullable) = c.declared()?;
            Some(Field::new(&c.name, data_type.to_arrow(zone), nullable))
        };
        Self {
            schema: Arc::new(Schema::new(persisted().filter_map(field).collect::<Vec<_>>())),
            key: table.primary_key.iter().filter_map(|k| persisted().position(|c| c.name == *k)).collect(),
            table: table.clone(),
            zone: zone.to_string(),
            changes: false,
            overwrite: false,
            bounded: true,
            checkpoints: false,
            job: SinkJob::default(),
        }
    }
}
