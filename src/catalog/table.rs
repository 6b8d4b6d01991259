//! What the session knows: tables and views by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::options::Options;
use crate::connector::Connector;
use crate::connector::embedded::Embedded;
use crate::error::{Error, Result, Span};
use crate::sql::{SqlExpression, SqlType};

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name, case-sensitive.
    pub name: String,
    /// Where its values come from.
    pub source: ColumnSource,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// Where a column's values come from.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "made once a statement, never moved in bulk")]
pub enum ColumnSource {
    /// In the record.
    Physical {
        /// Type.
        data_type: SqlType,
        /// False after NOT NULL or as part of the primary key.
        nullable: bool,
    },
    /// From the connector.
    Metadata {
        /// Type.
        data_type: SqlType,
        /// False after NOT NULL.
        nullable: bool,
        /// The connector's key.
        key: String,
        /// Read only: not part of what INSERT writes.
        is_virtual: bool,
    },
    /// From the other columns.
    Computed(SqlExpression),
}

impl Column {
    /// Declared type and nullability; `None` for computed columns.
    pub fn declared(&self) -> Option<(&SqlType, bool)> {
        match &self.source {
            ColumnSource::Physical { data_type, nullable }
            | ColumnSource::Metadata { data_type, nullable, .. } => Some((data_type, *nullable)),
            ColumnSource::Computed(_) => None,
        }
    }

    /// Whether INSERT writes it.
    pub fn is_persisted(&self) -> bool {
        match &self.source {
            ColumnSource::Physical { .. } => true,
            ColumnSource::Metadata { is_virtual, .. } => !is_virtual,
            ColumnSource::Computed(_) => false,
        }
    }
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// The rowtime column.
    pub column: String,
    /// The watermark of a row.
    pub expression: SqlExpression,
}

/// A table: columns, keys and options. Made by CREATE TABLE and never changed, only replaced.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name without catalog and database.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Event time.
    pub watermark: Option<Watermark>,
    /// Columns of the primary key, empty without one.
    pub primary_key: Vec<String>,
    /// `PARTITIONED BY`.
    pub partitioned_by: Vec<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `WITH`, validated against the connector's and format's definitions.
    pub options: Options,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// The connector of a program: of this table alone, or registered in the session.
    pub own: Option<Own>,
}

/// A connector of a program.
#[derive(Clone)]
pub struct Own(pub Arc<dyn Connector>);

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Own").field(&self.0.name()).finish()
    }
}

impl Table {
    /// What it is connected to.
    pub fn connector(&self) -> Result<&dyn Connector> {
        match &self.own {
            Some(own) => Ok(own.0.as_ref()),
            None => crate::connector::connector(self.options.required("connector")?)
                .map(|c| c as &dyn Connector)
                .map_err(|e| e.at(self.options.span("connector"))),
        }
    }

    /// A table of the program that embeds the session.
    pub fn embedded(name: &str, embedded: Embedded, primary_key: &[&str]) -> Result<Self> {
        let fields = embedded.schema().fields();
        let columns = fields.iter().map(|field| {
            let data_type = SqlType::from_arrow(field.data_type()).ok_or_else(|| {
                Error::unsupported(format!("column '{}' of table '{name}' has no SQL type", field.name()))
                    .with_detail(field.data_type().to_string())
            })?;
            let nullable = field.is_nullable() && !primary_key.contains(&field.name().as_str());
            let source = ColumnSource::Physical { data_type, nullable };
            Ok(Column { name: field.name().clone(), source, comment: None })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        if let Some(key) = primary_key.iter().find(|key| !columns.iter().any(|c| c.name == **key)) {
            return Err(Error::plan(format!("table '{name}' has no column '{key}' to be its key")));
        }
        let mut options = Options::default();
        options.set("connector", embedded.name(), Default::default());
        Ok(Self {
            name: name.to_string(),
            columns,
            watermark: None,
            primary_key: primary_key.iter().map(ToString::to_string).collect(),
            partitioned_by: Vec::new(),
            comment: None,
            options,
            temporary: true,
            own: Some(Own(Arc::new(embedded))),
        })
    }

    /// Index and column by name.
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, c)| c.name == name)
    }
}

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Name.
    pub name: String,
    /// Column names, empty to take the query's.
    pub columns: Vec<String>,
    /// The query.
    pub query: Box<sqlparser::ast::Query>,
    /// The query as written.
    pub text: String,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `TEMPORARY`.
    pub temporary: bool,
}

/// A name's meaning.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A table.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
}

/// Tables and views by name. There is one catalog and one database, `default_catalog.default_database`.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
    /// Of the program, beside the built-in ones.
    connectors: Vec<Own>,
}

impl Catalog {
    /// Finds a name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Finds a name, or says which known one is near.
    pub fn find(&self, name: &str, span: Span) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| {
            let error = Error::plan(format!("table or view '{name}' is not known")).at(span);
            match nearest(name, self.entries.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("SHOW TABLES lists what there is"),
            }
        })
    }

    /// A connector of the program.
    pub fn connector(&self, name: &str) -> Option<&Own> {
        self.connectors.iter().find(|own| own.0.name() == name)
    }

    /// Adds a connector of the program; the caller has checked that the name is free.
    pub fn add_connector(&mut self, connector: Arc<dyn Connector>) {
        self.connectors.push(Own(connector));
    }

    /// Adds an entry; the caller has checked that the name is free.
    pub fn insert(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// All entries in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(n, e)| (n.as_str(), e))
    }
}

/// The candidate that is nearest to a misspelt word, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, c)| *distance <= 1 + c.chars().count().max(word.chars().count()) / 4)
        .map(|(_, c)| c)
}
