//! Catalogs and databases: where tables and views have their names.
//!
//! ```text
//!  t                 in the current catalog and database
//!  db.t              in a database of the current catalog
//!  catalog.db.t      anywhere
//! ```
//! There is `default_catalog.default_database`, which a session begins in; CREATE CATALOG and CREATE DATABASE make
//! others. Tables of the default database are known by their plain names everywhere, those of others by their full ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::table::{Catalog, Entry};
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
use crate::sql::TableName;

/// The catalog that there always is.
pub const DEFAULT_CATALOG: &str = "default_catalog";
/// Its database.
pub const DEFAULT_DATABASE: &str = "default_database";

/// A database, with its catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Home {
    /// The catalog.
    pub catalog: String,
    /// The database.
    pub database: String,
}

impl Default for Home {
    fn default() -> Self {
        Self { catalog: DEFAULT_CATALOG.into(), database: DEFAULT_DATABASE.into() }
    }
}

/// Begins and separates the parts of a key; no name has it.
const SEPARATOR: char = '\u{1f}';

impl Home {
    /// The database that a session begins in.
    pub fn is_default(&self) -> bool {
        self.catalog == DEFAULT_CATALOG && self.database == DEFAULT_DATABASE
    }

    /// What a name is found by.
    pub fn key(&self, name: &str) -> String {
        match self.is_default() {
            true => name.to_string(),
            false => format!("{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{name}", self.catalog, self.database),
        }
    }

    /// A name for people.
    pub fn shown(&self, name: &str) -> String {
        match self.is_default() {
            true => name.to_string(),
            false => format!("{}.{}.{name}", self.catalog, self.database),
        }
    }
}

/// The database and the name of a key.
pub fn of_key(key: &str) -> (Home, &str) {
    let mut parts = key.strip_prefix(SEPARATOR).into_iter().flat_map(|rest| rest.splitn(3, SEPARATOR));
    match (parts.next(), parts.next(), parts.next()) {
        (Some(catalog), Some(database), Some(name)) => {
            (Home { catalog: catalog.into(), database: database.into() }, name)
        }
        _ => (Home::default(), key),
    }
}

/// A database: what was said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `WITH`, which means nothing here and is shown.
    pub properties: BTreeMap<String, String>,
}

/// A catalog: what was said of it, and its databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedCatalog {
    /// `WITH`, as written.
    pub options: BTreeMap<String, String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The one that USE CATALOG goes to.
    pub default_database: String,
    /// By name.
    pub databases: BTreeMap<String, Database>,
    /// The file that keeps what is in it; none keeps it in memory.
    pub file: Option<PathBuf>,
    /// Functions that the file keeps.
    pub functions: BTreeSet<String>,
}

impl NamedCatalog {
    /// One with a database.
    pub fn new(default_database: &str) -> Self {
        let databases = [(default_database.to_string(), Database::default())];
        Self {
            default_database: default_database.to_string(),
            databases: databases.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Catalogs by name, and where names without one are looked for.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub catalogs: BTreeMap<String, NamedCatalog>,
    pub current: Home,
}

impl Default for Names {
    fn default() -> Self {
        let mut options = NamedCatalog::new(DEFAULT_DATABASE);
        options.options.insert("type".into(), "generic_in_memory".into());
        Self {
            catalogs: [(DEFAULT_CATALOG.to_string(), options)].into_iter().collect(),
            current: Home::default(),
        }
    }
}

impl Catalog {
    /// Where names without a database are looked for.
    pub fn current(&self) -> &Home {
        &self.names.current
    }

    /// Looks for names in another database from now on, which exists.
    pub fn set_current(&mut self, home: Home) {
        self.names.current = home;
    }

    /// A catalog, or an error that says which there are.
    pub fn named(&self, name: &str, span: Span) -> Result<&NamedCatalog> {
        self.names.catalogs.get(name).ok_or_else(|| {
            let error = Error::plan(format!("catalog '{name}' is not known")).at(span);
            match nearest(name, self.names.catalogs.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("SHOW CATALOGS lists what there is; CREATE CATALOG makes one"),
            }
        })
    }

    /// The same, to change it.
    pub fn named_mut(&mut self, name: &str, span: Span) -> Result<&mut NamedCatalog> {
        self.named(name, span)?;
        self.names.catalogs.get_mut(name).ok_or_else(|| Error::internal("a catalog is gone"))
    }

    /// Names of the catalogs.
    pub fn catalogs(&self) -> impl Iterator<Item = &str> {
        self.names.catalogs.keys().map(String::as_str)
    }

    /// Whether there is a catalog of this name.
    pub fn has_catalog(&self, name: &str) -> bool {
        self.names.catalogs.contains_key(name)
    }

    /// Adds a catalog under a free name.
    pub fn add_catalog(&mut self, name: &str, catalog: NamedCatalog) {
        self.names.catalogs.insert(name.to_string(), catalog);
    }

    /// Takes a catalog out, and what is in it.
    pub fn remove_catalog(&mut self, name: &str) {
        self.names.catalogs.remove(name);
        let gone: Vec<String> =
            self.iter().map(|(key, _)| key.to_string()).filter(|key| of_key(key).0.catalog == name).collect();
        gone.iter().for_each(|key| drop(self.remove(key)));
    }

    /// The keys of what is in a database.
    pub fn keys_in(&self, home: &Home) -> Vec<String> {
        self.iter().map(|(key, _)| key).filter(|key| of_key(key).0 == *home).map(str::to_string).collect()
    }

    /// What is in a database, by plain names.
    pub fn entries_in<'a>(&'a self, home: &'a Home) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.iter()
            .map(|(key, entry)| (of_key(key), entry))
            .filter(move |((h, _), _)| h == home)
            .map(|((_, n), e)| (n, e))
    }

    /// The database that a name means: `db` or `catalog.db`.
    pub fn database(&self, name: &TableName) -> Result<Home> {
        let parts: Vec<&str> = name.parts.iter().map(|p| p.value.as_str()).collect();
        let (catalog, database) = match parts.as_slice() {
            [database] => (self.current().catalog.as_str(), *database),
            [catalog, database] => (*catalog, *database),
            _ => {
                return Err(Error::plan(format!("'{}' is no name of a database", parts.join(".")))
                    .with_hint("write database, or catalog.database")
                    .at(name.span()));
            }
        };
        self.home(catalog, database, name.span())
    }

    fn home(&self, catalog: &str, database: &str, span: Span) -> Result<Home> {
        let named = self.named(catalog, span)?;
        if !named.databases.contains_key(database) {
            let error =
                Error::plan(format!("database '{database}' is not known in catalog '{catalog}'")).at(span);
            return Err(match nearest(database, named.databases.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("SHOW DATABASES lists what there is; CREATE DATABASE makes one"),
            });
        }
        Ok(Home { catalog: catalog.into(), database: database.into() })
    }

    /// The database and the plain name that a name of a table or view means, seen from the current database.
    pub fn resolve<'a>(&self, parts: &[&'a str], span: Span) -> Result<(Home, &'a str)> {
        self.resolve_from(self.current(), parts, span)
    }

    /// The same, seen from another database.
    pub fn resolve_from<'a>(&self, from: &Home, parts: &[&'a str], span: Span) -> Result<(Home, &'a str)> {
        match *parts {
            [name] => Ok((from.clone(), name)),
            [database, name] => Ok((self.home(&from.catalog, database, span)?, name)),
            [catalog, database, name] => Ok((self.home(catalog, database, span)?, name)),
            _ => Err(Error::plan(format!("'{}' is no name of a table", parts.join(".")))
                .with_hint("write table, database.table or catalog.database.table")
                .at(span)),
        }
    }

    /// What a table or view is found by.
    pub fn key_of(&self, name: &TableName) -> Result<String> {
        let parts: Vec<&str> = name.parts.iter().map(|p| p.value.as_str()).collect();
        let (home, name) = self.resolve(&parts, name.span())?;
        Ok(home.key(name))
    }
}
