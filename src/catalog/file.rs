//! A catalog in a file: the statements that make what is in it.
//!
//! ```sql
//! CREATE DATABASE IF NOT EXISTS `sales`;
//! USE `sales`;
//! CREATE TABLE `orders` ( ... ) WITH ('connector' = 'jdbc', 'password' = '${PASSWORD}', ...);
//! ```
//! The file is SQL, to be read, compared and edited. It is read when CREATE CATALOG names it, and rewritten whenever
//! something in the catalog is changed: beside the old one, which it then replaces. Values of variables are not written:
//! `${NAME}` stays and is read from the environment. An option that carries a secret must be written that way.
//! TEMPORARY tables and views are not kept.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::ddl::{literal, quoted, redacted};
use super::names::{Home, NamedCatalog};
use super::table::{Catalog, Entry, Table};
use crate::error::{Error, Result};
use crate::sql::{SourceText, Statement};

/// The statements of a file; `None` when there is no file yet.
pub fn read(file: &Path) -> Result<Option<Vec<Statement>>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(Error::io(format!("'{}' cannot be read", file.display())).with_detail(e.to_string()));
        }
    };
    let source = SourceText::new(&file.display().to_string(), &text);
    let script = crate::sql::variables::Variables::default().expand(source)?;
    Ok(Some(crate::sql::parse_script(&script.expanded)?))
}

/// Writes the file of a catalog, if it has one. `function`: the statement that makes a function.
pub fn save(catalog: &Catalog, name: &str, function: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let Ok(named) = catalog.named(name, Default::default()) else { return Ok(()) };
    let Some(file) = &named.file else { return Ok(()) };
    let text = text_of(catalog, name, named, function)?;
    let failed = |e: std::io::Error| {
        Error::io(format!("catalog '{name}' cannot be written to '{}'", file.display()))
            .with_detail(e.to_string())
            .with_hint("nothing was changed")
    };
    let mut beside = file.as_os_str().to_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut f| {
        f.write_all(text.as_bytes())?;
        f.sync_all()
    });
    written.and_then(|()| std::fs::rename(&beside, file)).map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        failed(e)
    })
}

fn text_of(
    catalog: &Catalog,
    name: &str,
    named: &NamedCatalog,
    function: &dyn Fn(&str) -> Option<String>,
) -> Result<String> {
    let mut text = String::from("-- A catalog of affluent. It is rewritten when something in it changes.\n");
    for function in named.functions.iter().filter_map(|name| function(name)) {
        let _ = write!(text, "\n{function};\n");
    }
    for (database, about) in &named.databases {
        let home = Home { catalog: name.to_string(), database: database.clone() };
        let _ = write!(text, "\nCREATE DATABASE IF NOT EXISTS {}", quoted(database));
        if let Some(comment) = &about.comment {
            let _ = write!(text, " COMMENT {}", literal(comment));
        }
        if !about.properties.is_empty() {
            let all = about.properties.iter().map(|(k, v)| format!("{} = {}", literal(k), literal(v)));
            let _ = write!(text, " WITH ({})", all.collect::<Vec<_>>().join(", "));
        }
        let _ = write!(text, ";\nUSE {};\n", quoted(database));
        let (mut tables, mut views) = (String::new(), String::new());
        for (plain, entry) in catalog.entries_in(&home) {
            match entry {
                Entry::Table(table) if !table.temporary => {
                    without_secrets(table)?;
                    let _ = write!(tables, "\n{};\n", table.create_as(&quoted(plain)));
                }
                Entry::View(view) if !view.temporary => {
                    let _ = write!(views, "\n{};\n", view.create_as(&quoted(plain)));
                }
                _ => {}
            }
        }
        text.push_str(&tables);
        text.push_str(&views);
    }
    Ok(text)
}

/// A secret in a statement would be written to the file.
fn without_secrets(table: &Table) -> Result<()> {
    if table.own.is_some() {
        return Err(Error::unsupported(format!("table '{}' is one of the program", table.name))
            .with_hint("a catalog in a file keeps tables that statements make"));
    }
    match table.options.written().find(|(key, value)| redacted(key, value) != *value) {
        None => Ok(()),
        Some((key, _)) => Err(Error::option(format!("option '{key}' of table '{}' is a secret", table.name))
            .with_detail("a catalog in a file would keep it for everybody to read")
            .with_hint(format!("write '{key}' = '${{NAME}}', and put the value into the environment"))),
    }
}
