//! Catalogs and databases: CREATE, DROP, ALTER, USE, SHOW, DESCRIBE.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::show::{matching, text_table};
use super::{Response, Session};
use crate::catalog::file;
use crate::catalog::names::{Database, Home, NamedCatalog, of_key};
use crate::catalog::{Catalog, Entry, Table};
use crate::connector::{Connector, registry};
use crate::error::{Error, Result, Span};
use crate::plan::explore::declared;
use crate::sql::{CatalogChange, CatalogStatement, CreateTable, LikePattern, Name, OptionEntry, TableName};

const TYPE: &str = "type";
const PATH: &str = "path";
const DEFAULT_DATABASE: &str = "default-database";

fn done() -> Response {
    Response::Done(String::new())
}

/// Properties as written: a variable stays one.
fn properties(entries: &[OptionEntry]) -> BTreeMap<String, String> {
    let value = |e: &OptionEntry| e.written.clone().unwrap_or_else(|| e.value.value.clone());
    entries.iter().map(|e| (e.key.value.clone(), value(e))).collect()
}

impl Session {
    pub(super) fn execute_catalog(&self, statement: &CatalogStatement) -> Result<Response> {
        match statement {
            CatalogStatement::CreateCatalog { name, if_not_exists, comment, options } => {
                self.create_catalog(name, *if_not_exists, comment.clone(), options)
            }
            CatalogStatement::CreateDatabase { name, if_not_exists, comment, properties: with } => {
                let database = Database { comment: comment.clone(), properties: properties(with) };
                self.create_database(name, *if_not_exists, database)
            }
            CatalogStatement::DropCatalog { name, if_exists } => self.drop_catalog(name, *if_exists),
            CatalogStatement::DropDatabase { name, if_exists, cascade } => {
                self.drop_database(name, *if_exists, *cascade)
            }
            CatalogStatement::AlterCatalog { name, change } => self.change_catalog(&name.value, |catalog| {
                let named = catalog.named_mut(&name.value, name.span)?;
                match change {
                    CatalogChange::Set(options) => named.options.extend(properties(options)),
                    CatalogChange::Reset(keys) => {
                        for key in keys {
                            if key.value == TYPE || (key.value == PATH && named.file.is_some()) {
                                return Err(
                                    Error::plan(format!("a catalog needs '{}'", key.value)).at(key.span)
                                );
                            }
                            named.options.remove(&key.value);
                        }
                    }
                    CatalogChange::Comment(comment) => named.comment = Some(comment.clone()),
                }
                Ok(done())
            }),
            CatalogStatement::AlterDatabase { name, properties: with } => {
                let home = self.catalog().database(name)?;
                self.change_catalog(&home.catalog, |catalog| {
                    let named = catalog.named_mut(&home.catalog, name.span())?;
                    if let Some(database) = named.databases.get_mut(&home.database) {
                        database.properties.extend(properties(with));
                    }
                    Ok(done())
                })
            }
        }
    }

    /// Changes what is known, and has the file of a catalog written: nothing is changed when that fails.
    pub(super) fn change_catalog<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Catalog) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let mut changed = (*state.catalog).clone();
        let result = change(&mut changed)?;
        let functions = |function: &str| state.user_functions.made(function).map(|f| f.show_create());
        file::save(&changed, name, &functions)?;
        state.catalog = Arc::new(changed);
        Ok(result)
    }

    fn create_catalog(
        &self,
        name: &Name,
        if_not_exists: bool,
        comment: Option<String>,
        options: &[OptionEntry],
    ) -> Result<Response> {
        if self.catalog().has_catalog(&name.value) {
            return match if_not_exists {
                true => Ok(Response::Done(format!("catalog '{}' exists already", name.value))),
                false => Err(Error::plan(format!("catalog '{}' exists already", name.value)).at(name.span)),
            };
        }
        let value = |key: &str| options.iter().find(|o| o.key.value == key);
        let kind = value(TYPE).ok_or_else(|| {
            Error::option("CREATE CATALOG needs 'type'")
                .with_hint("'type' = 'generic_in_memory', 'type' = 'file' with 'path', or 'type' = 'jdbc' with 'url'")
                .at(name.span)
        })?;
        let foreign = registry::connectors().find(|connector| {
            connector.name() == kind.value.value && !connector.catalog_options().is_empty()
        });
        let known: Vec<&str> = match (kind.value.value.as_str(), foreign) {
            ("generic_in_memory", _) => vec![TYPE, DEFAULT_DATABASE],
            ("file", _) => vec![TYPE, DEFAULT_DATABASE, PATH],
            (_, Some(connector)) => [&[TYPE], connector.catalog_options()].concat(),
            (other, None) => {
                return Err(Error::unsupported(format!("catalogs of type '{other}' are not supported"))
                    .with_hint(
                        "'type' is 'generic_in_memory', 'file': tables, views and functions in a file of SQL, or 'jdbc': the \
                         tables of a database",
                    )
                    .at(kind.value.span));
            }
        };
        if let Some(unknown) = options.iter().find(|o| !known.contains(&o.key.value.as_str())) {
            return Err(Error::option(format!(
                "a catalog of this type has no option '{}'",
                unknown.key.value
            ))
            .with_hint(format!("its options are {}", known.join(", ")))
            .at(unknown.key.span));
        }
        if let Some(connector) = foreign {
            let made = self.add_tables_of(connector, &name.value, comment, options, name.span);
            made.map_err(|e| e.at(name.span))?;
            return Ok(done());
        }
        let database = value(DEFAULT_DATABASE).map_or("default", |o| o.value.value.as_str());
        let mut named = NamedCatalog { comment, options: properties(options), ..NamedCatalog::new(database) };
        if kind.value.value != "file" {
            Arc::make_mut(&mut self.state.lock().catalog).add_catalog(&name.value, named);
            return Ok(done());
        }
        let path = value(PATH).ok_or_else(|| {
            Error::option("a catalog of type 'file' needs 'path'")
                .with_hint("'path' = 'tables.sql': the file is made when something is put into it")
                .at(kind.value.span)
        })?;
        let file = PathBuf::from(&path.value.value);
        named.file = Some(file.clone());
        self.load_catalog(&name.value, named, &file).map_err(|e| e.at(path.value.span))?;
        Ok(done())
    }

    /// A catalog with the tables that a connector finds, as they are now.
    fn add_tables_of(
        &self,
        connector: &dyn Connector,
        name: &str,
        comment: Option<String>,
        options: &[OptionEntry],
        place: Span,
    ) -> Result<()> {
        let found = connector.catalog(options, place).map_err(|e| e.context(format!("catalog '{name}'")))?;
        let named =
            NamedCatalog { comment, options: properties(options), ..NamedCatalog::new(&found.database) };
        let home = Home { catalog: name.to_string(), database: found.database };
        let mut catalog = (*self.catalog()).clone();
        catalog.add_catalog(name, named);
        let word = |value: &str| Name { value: value.to_string(), span: Span::default() };
        for (table, options, columns) in found.tables {
            let made = columns.map_err(Error::plan).and_then(|columns| {
                let name = TableName { parts: [name, &home.database, &table].map(word).into() };
                let bare = CreateTable::without_columns(name, options);
                Table::from_statement(&declared(&bare, &columns), &catalog)
            });
            match made {
                Ok(made) => catalog.insert(home.key(&table), Entry::Table(Arc::new(made))),
                Err(e) => log::warn!("catalog '{name}': table '{table}' is left out: {}", e.message()),
            }
        }
        self.state.lock().catalog = Arc::new(catalog);
        Ok(())
    }

    /// Reads the file of a catalog. What is there is known then; a mistake in it leaves everything as it was.
    fn load_catalog(&self, name: &str, named: NamedCatalog, file: &std::path::Path) -> Result<()> {
        let before = (self.catalog(), self.state.lock().user_functions.clone());
        Arc::make_mut(&mut self.state.lock().catalog).add_catalog(name, named);
        let loaded = self.run_catalog_file(name, file);
        let mut state = self.state.lock();
        match loaded {
            Ok(()) => {
                let current = before.0.current().clone();
                Arc::make_mut(&mut state.catalog).set_current(current);
                Ok(())
            }
            Err(e) => {
                (state.catalog, state.user_functions) = before;
                Err(e.context(format!("catalog '{name}', file '{}'", file.display())))
            }
        }
    }

    fn run_catalog_file(&self, name: &str, file: &std::path::Path) -> Result<()> {
        let Some(statements) = file::read(file)? else { return Ok(()) };
        let database = self.catalog().named(name, Default::default())?.default_database.clone();
        let home = Home { catalog: name.to_string(), database };
        Arc::make_mut(&mut self.state.lock().catalog).set_current(home);
        statements.iter().try_for_each(|statement| self.load_statement(name, statement))
    }

    /// Moves to another database, or catalog.
    pub(super) fn use_home(&self, home: Home) -> Response {
        Arc::make_mut(&mut self.state.lock().catalog).set_current(home);
        done()
    }

    pub(super) fn use_catalog(&self, name: &Name) -> Result<Response> {
        let database = self.catalog().named(&name.value, name.span)?.default_database.clone();
        Ok(self.use_home(Home { catalog: name.value.clone(), database }))
    }

    pub(super) fn create_database(
        &self,
        name: &TableName,
        if_not_exists: bool,
        database: Database,
    ) -> Result<Response> {
        let parts: Vec<&str> = name.parts.iter().map(|p| p.value.as_str()).collect();
        let current = self.catalog().current().catalog.clone();
        let (catalog, plain) = match parts.as_slice() {
            [plain] => (current.as_str(), *plain),
            [catalog, plain] => (*catalog, *plain),
            _ => return Err(Error::plan("write database, or catalog.database").at(name.span())),
        };
        if self.catalog().named(catalog, name.span())?.databases.contains_key(plain) {
            return match if_not_exists {
                true => Ok(Response::Done(format!("database '{plain}' exists already"))),
                false => {
                    Err(Error::plan(format!("database '{plain}' exists already in catalog '{catalog}'"))
                        .at(name.span()))
                }
            };
        }
        self.change_catalog(catalog, |all| {
            all.named_mut(catalog, name.span())?.databases.insert(plain.to_string(), database);
            Ok(done())
        })
    }

    fn drop_catalog(&self, name: &Name, if_exists: bool) -> Result<Response> {
        let catalog = self.catalog();
        if !catalog.has_catalog(&name.value) && if_exists {
            return Ok(Response::Done(format!("catalog '{}' does not exist", name.value)));
        }
        catalog.named(&name.value, name.span)?;
        if catalog.current().catalog == name.value {
            return Err(Error::plan(format!("catalog '{}' is the current one", name.value))
                .with_hint("USE CATALOG another one first")
                .at(name.span));
        }
        // What a file keeps stays in the file.
        Arc::make_mut(&mut self.state.lock().catalog).remove_catalog(&name.value);
        Ok(done())
    }

    fn drop_database(&self, name: &TableName, if_exists: bool, cascade: bool) -> Result<Response> {
        let catalog = self.catalog();
        let home = match catalog.database(name) {
            Ok(home) => home,
            Err(_) if if_exists => {
                let parts: Vec<&str> = name.parts.iter().map(|p| p.value.as_str()).collect();
                return Ok(Response::Done(format!("database '{}' does not exist", parts.join("."))));
            }
            Err(e) => return Err(e),
        };
        if *catalog.current() == home {
            return Err(Error::plan(format!("database '{}' is the current one", home.database))
                .with_hint("USE another one first")
                .at(name.span()));
        }
        if catalog.named(&home.catalog, name.span())?.default_database == home.database {
            return Err(Error::plan(format!(
                "database '{}' is the default one of its catalog",
                home.database
            ))
            .at(name.span()));
        }
        let keys = catalog.keys_in(&home);
        if !keys.is_empty() && !cascade {
            let names: Vec<&str> = keys.iter().map(|key| of_key(key).1).collect();
            return Err(Error::plan(format!("database '{}' is not empty", home.database))
                .with_detail(format!("it holds {}", names.join(", ")))
                .with_hint("DROP DATABASE ... CASCADE drops these, too")
                .at(name.span()));
        }
        self.change_catalog(&home.catalog, |all| {
            keys.iter().for_each(|key| drop(all.remove(key)));
            all.named_mut(&home.catalog, name.span())?.databases.remove(&home.database);
            Ok(done())
        })
    }

    pub(super) fn show_catalogs(&self, like: Option<&LikePattern>) -> Result<Response> {
        let names: Vec<String> = self.catalog().catalogs().map(str::to_string).collect();
        text_table(&[("catalog name", matching(names.into_iter(), like)?)])
    }

    pub(super) fn show_databases(&self, of: Option<&Name>, like: Option<&LikePattern>) -> Result<Response> {
        let catalog = self.catalog();
        let named = match of {
            Some(name) => catalog.named(&name.value, name.span)?,
            None => catalog.named(&catalog.current().catalog, Default::default())?,
        };
        text_table(&[("database name", matching(named.databases.keys().cloned(), like)?)])
    }

    /// SHOW TABLES and SHOW VIEWS.
    pub(super) fn show_entries(
        &self,
        of: Option<&TableName>,
        like: Option<&LikePattern>,
        views: bool,
    ) -> Result<Response> {
        let catalog = self.catalog();
        let home = match of {
            Some(name) => catalog.database(name)?,
            None => catalog.current().clone(),
        };
        let wanted = catalog.entries_in(&home).filter(|(_, e)| !views || matches!(e, Entry::View(_)));
        let names = wanted.map(|(name, _)| name.to_string());
        let title = if views { "view name" } else { "table name" };
        text_table(&[(title, matching(names, like)?)])
    }

    pub(super) fn show_create_catalog(&self, name: &Name) -> Result<Response> {
        let catalog = self.catalog();
        let named = catalog.named(&name.value, name.span)?;
        let mut text = format!("CREATE CATALOG {}", crate::catalog::ddl::quoted(&name.value));
        if let Some(comment) = &named.comment {
            let _ = write!(text, "\nCOMMENT {}", crate::catalog::ddl::literal(comment));
        }
        let options: Vec<String> = shown(&named.options)
            .map(|(k, v)| {
                format!("  {} = {}", crate::catalog::ddl::literal(&k), crate::catalog::ddl::literal(&v))
            })
            .collect();
        let _ = write!(text, "\nWITH (\n{}\n)", options.join(",\n"));
        Ok(Response::Text(text))
    }

    pub(super) fn describe_catalog(&self, name: &Name, extended: bool) -> Result<Response> {
        let catalog = self.catalog();
        let named = catalog.named(&name.value, name.span)?;
        let kind = named.options.get(TYPE).cloned().unwrap_or_default();
        let mut rows = vec![
            ("name".to_string(), name.value.clone()),
            ("type".to_string(), kind),
            ("comment".to_string(), named.comment.clone().unwrap_or_default()),
        ];
        if extended {
            rows.extend(
                shown(&named.options).filter(|(k, _)| k != TYPE).map(|(k, v)| (format!("option:{k}"), v)),
            );
        }
        let (names, values) = rows.into_iter().map(|(n, v)| (Some(n), Some(v))).unzip();
        text_table(&[("info name", names), ("info value", values)])
    }

    pub(super) fn describe_database(&self, name: &TableName, extended: bool) -> Result<Response> {
        let catalog = self.catalog();
        let home = catalog.database(name)?;
        let database = catalog.named(&home.catalog, name.span())?.databases.get(&home.database);
        let database = database.cloned().unwrap_or_default();
        let mut rows = vec![
            ("database name".to_string(), home.database),
            ("comment".to_string(), database.comment.unwrap_or_default()),
        ];
        if extended {
            rows.extend(shown(&database.properties));
        }
        let (names, values) = rows.into_iter().map(|(n, v)| (Some(n), Some(v))).unzip();
        text_table(&[("info name", names), ("info value", values)])
    }
}

/// Options as they may be shown.
fn shown(options: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    options.iter().map(|(k, v)| (k.clone(), crate::catalog::ddl::redacted(k, v).into_owned()))
}
