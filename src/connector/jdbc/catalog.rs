//! `CREATE CATALOG c WITH ('type' = 'jdbc', ...)`: the tables and views of a database under their own names.
//!
//! They are known as they are when the catalog is made: their columns and primary keys come from the database. A table of
//! another schema than that of the connection is `` `schema.table` ``.

use futures::StreamExt;

use crate::catalog::Options;
use crate::contract::connector::{CatalogTables, Inferred};
use crate::database::{Described, Fault, JdbcUrl, ask, parts};
use crate::error::{Error, Result, Span};
use crate::sql::{Name, OptionEntry};

/// What the catalog takes beside its type.
pub(super) const OPTIONS: [&str; 5] = ["url", "base-url", "default-database", "username", "password"];
/// Tables that are asked about at a time.
const AT_ONCE: usize = 4;

/// Where the database is, as options of its tables have it, and what it is called.
struct Place {
    options: Vec<OptionEntry>,
    url: JdbcUrl,
    database: String,
}

impl Place {
    /// From the options of the catalog: `url`, or Flink's `base-url` with `default-database`.
    fn of(given: &[OptionEntry], span: Span) -> Result<Self> {
        let find = |key: &str| given.iter().find(|option| option.key.value == key);
        let renamed = |option: &OptionEntry, value: String, written: Option<String>| OptionEntry {
            key: Name { value: "url".into(), span: option.key.span },
            value: Name { value, span: option.value.span },
            written,
        };
        let default = find("default-database");
        let url = match (find("url"), find("base-url"), default) {
            (Some(url), None, _) => url.clone(),
            (None, Some(base), Some(database)) => {
                let join = |base: &str, database: &str| format!("{}/{database}", base.trim_end_matches('/'));
                let text = |option: &OptionEntry| {
                    option.written.clone().unwrap_or_else(|| option.value.value.clone())
                };
                let written = (base.written.is_some() || database.written.is_some())
                    .then(|| join(&text(base), &text(database)));
                renamed(base, join(&base.value.value, &database.value.value), written)
            }
            _ => {
                return Err(Error::option("a catalog of type 'jdbc' needs 'url'")
                    .with_hint(
                        "'url' = 'jdbc:postgresql://host:5432/database', or 'base-url' = 'jdbc:postgresql://host:5432' \
                         with 'default-database'",
                    )
                    .at(span));
            }
        };
        let mut entries = vec![url];
        entries.extend(["username", "password"].into_iter().filter_map(find).cloned());
        let parsed = JdbcUrl::of(&Options::from_entries(&entries)?)?;
        let file =
            || std::path::Path::new(&parsed.name).file_stem().map(|s| s.to_string_lossy().into_owned());
        let database = match default {
            Some(name) => name.value.value.clone(),
            None if parsed.hosts.is_empty() => file().unwrap_or_else(|| "main".into()),
            None if parsed.name.is_empty() => parsed.user.clone().unwrap_or_else(|| "default".into()),
            None => parsed.name.clone(),
        };
        Ok(Self { options: entries, url: parsed, database })
    }
}

/// The tables that a database has.
pub(super) fn tables(connector: &str, given: &[OptionEntry], span: Span) -> Result<CatalogTables> {
    let place = Place::of(given, span)?;
    let found = ask(&place.url, |database| {
        Box::pin(async move {
            let names = database.clone().tables().await?;
            let describe = |name: String| {
                let described = database.clone().describe(name.clone());
                async move { (name, described.await) }
            };
            let all = futures::stream::iter(names).map(describe).buffered(AT_ONCE);
            Ok::<Vec<(String, Result<Described, Fault>)>, Fault>(all.collect().await)
        })
    })?;
    let word = |value: &str| Name { value: value.to_string(), span: Span::default() };
    let tables = found.into_iter().map(|(table, described)| {
        let mut options = place.options.clone();
        for (key, value) in [("connector", connector), ("table-name", table.as_str())] {
            options.push(OptionEntry { key: word(key), value: word(value), written: None });
        }
        // Such as a view whose tables are gone.
        let described = described.map_err(|fault| fault.message);
        let columns =
            described.map(|d| Inferred { columns: d.columns, primary_key: d.key, ..Inferred::default() });
        (parts(&table).join("."), options, columns)
    });
    Ok(CatalogTables { database: place.database, tables: tables.collect() })
}
