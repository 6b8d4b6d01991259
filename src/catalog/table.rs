//! What the session knows: tables and views by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::names::{Home, Names, of_key};
use super::options::Options;
use super::registered::Registered;
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
use crate::sql::{SqlExpression, SqlType, TableName};

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
#[non_exhaustive]
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
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name; with catalog and database where these are not the default ones.
    pub name: String,
    /// Its database.
    pub home: Home,
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
    /// The connector of a table of the program; other tables name theirs in their options.
    pub own: Option<Own>,
}

/// The connector of one table: what it is, only [`crate::connector`] knows.
#[derive(Clone)]
pub struct Own {
    name: &'static str,
    connector: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Own").field(&self.name).finish()
    }
}

impl Own {
    /// Whether another one is the same connector of a program.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connector, &other.connector)
    }

    /// A connector with its name.
    pub fn new<T: ?Sized + Send + Sync + 'static>(name: &'static str, connector: Arc<T>) -> Self {
        Self { name, connector: Arc::new(connector) }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The connector, as what it was given.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<&T> {
        self.connector.downcast_ref::<Arc<T>>().map(Arc::as_ref)
    }
}

impl Table {
    /// An error, with the name of the table that it is about.
    pub fn context(&self, error: Error) -> Error {
        error.context(format!("table '{}'", self.name))
    }

    /// The columns of a record: the physical ones that are not in the directories' names.
    pub fn record_schema(&self, zone: &str) -> SchemaRef {
        let fields = self.columns.iter().filter_map(|c| match &c.source {
            ColumnSource::Physical { data_type, nullable } if !self.partitioned_by.contains(&c.name) => {
                Some(Field::new(&c.name, data_type.to_arrow(zone), *nullable))
            }
            _ => None,
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Index and column by name.
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, c)| c.name == name)
    }
}

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name; with catalog and database where these are not the default ones.
    pub name: String,
    /// Its database, where its query looks for names.
    pub home: Home,
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

/// Tables and views by name.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    /// By [`Home::key`].
    entries: BTreeMap<String, Entry>,
    pub(super) names: Names,
    /// What the program has registered.
    registered: Registered,
}

impl Catalog {
    /// Finds an entry by its key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Finds an entry by its key, or says which known one is near.
    pub fn find(&self, key: &str, span: Span) -> Result<&Entry> {
        self.entries.get(key).ok_or_else(|| {
            let (home, name) = of_key(key);
            let error = Error::plan(format!("table or view '{}' is not known", home.shown(name))).at(span);
            match nearest(name, self.entries_in(&home).map(|(name, _)| name)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("SHOW TABLES lists what there is"),
            }
        })
    }

    /// Finds what a name means.
    pub fn find_name(&self, name: &TableName) -> Result<&Entry> {
        self.find(&self.key_of(name)?, name.span())
    }

    /// What the program has registered, for the tables that are declared from now on.
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// To add to it.
    pub fn registered_mut(&mut self) -> &mut Registered {
        &mut self.registered
    }

    /// Adds an entry; the caller has checked that the name is free.
    pub fn insert(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// All entries in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(n, e)| (n.as_str(), e))
    }
}
