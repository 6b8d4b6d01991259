//! Tables that nobody declared: a file named in a query, and CREATE TABLE without columns.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::catalog::{Catalog, Options, Table};
use crate::connector::registry;
use crate::error::{Error, Result, Span};
use crate::format::infer::Inferred;
use crate::sql::{ColumnDef, ColumnKind, CreateTable, Name, OptionEntry, TableName};

/// The statement with the columns that a sample of the table's records has, if it declares none and the
/// connector can look.
pub fn with_columns(statement: &CreateTable, catalog: &Catalog) -> Result<Option<CreateTable>> {
    if !statement.columns.is_empty() || statement.query.is_some() || statement.like.is_some() {
        return Ok(None);
    }
    let span = statement.name.span();
    let options = Options::from_entries(&statement.options)?.with_registered(catalog.registered());
    if !options.contains("connector") {
        return Ok(None);
    }
    let Some(inferred) = registry::named(&options)?.infer(&options).map_err(|e| e.at(span))? else {
        return Ok(None);
    };
    if let Some(doubt) = inferred.doubt {
        log::warn!(
            "'{}': {doubt}",
            options.text("path").unwrap_or_else(|| statement.name.parts[0].value.as_str())
        );
    }
    Ok(Some(declared(statement, &inferred)))
}

/// A statement without columns, with those that were found.
pub fn declared(statement: &CreateTable, found: &Inferred) -> CreateTable {
    let span = statement.name.span();
    let mut statement = statement.clone();
    let name = |value: &str| Name { value: value.to_string(), span };
    for (column, data_type) in &found.columns {
        statement.columns.push(ColumnDef {
            name: name(column),
            kind: ColumnKind::Physical { data_type: data_type.clone(), nullable: true },
            comment: None,
        });
    }
    if statement.partitioned_by.is_empty() {
        statement.partitioned_by = found.partitioned_by.iter().map(|column| name(column)).collect();
    }
    if statement.primary_key.is_none() && !found.primary_key.is_empty() {
        statement.primary_key = Some(found.primary_key.iter().map(|column| name(column)).collect());
    }
    // What is found out is a guess: a value that would be changed by it is an error.
    let format = found.options.iter().find(|(key, _)| *key == "format").map(|(_, format)| *format);
    let given = statement.options.iter().find(|option| option.key.value == "format");
    let strict = match given.map(|option| option.value.value.as_str()).or(format) {
        Some("json") => Some((crate::format::json::STRICT, "true")),
        Some("csv") => Some((crate::format::csv::STRICT, "true")),
        _ => None,
    };
    for (key, value) in found.options.iter().chain(&strict) {
        if !statement.options.iter().any(|option| option.key.value == *key) {
            statement.options.push(OptionEntry { key: name(key), value: name(value), written: None });
        }
    }
    statement
}

/// The table that stands for a file, folder or pattern: its format follows from the name, its columns from
/// a sample.
pub fn file_table(path: &str, given: Vec<OptionEntry>, span: Span) -> Result<Arc<Table>> {
    let name = |value: &str| Name { value: value.to_string(), span };
    if let Some(connector) = registry::connector_of_url(path) {
        let options = connector.url_options(path).map_err(|e| e.at(span))?;
        let stem =
            path.split('?').next().unwrap_or(path).trim_end_matches('/').rsplit('/').next().unwrap_or(path);
        return table_of(stem, overlaid(options.entries(), given), span);
    }
    let plain = Path::new(registry::unpacked_name(path));
    let named = given.iter().find(|option| option.key.value == "format").map(|o| o.value.value.clone());
    let found = match &named {
        Some(format) => Some(format.as_str()),
        None => registry::format_of_file(path).map_err(|e| e.at(span))?,
    };
    let Some(format) = found else {
        return Err(Error::plan(format!(
            "the format of '{path}' follows neither from its name nor from its content"
        ))
        .with_detail("known endings: .json .jsonl .ndjson .csv .tsv, each also with .gz, .zst, .lz4, .sz; and .parquet")
        .with_hint("CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = '...', 'format' = '...')")
        .at(span));
    };
    let options = registry::options_of_file(path, format);
    let stem = plain.file_stem().map_or_else(|| path.to_string(), |s| s.to_string_lossy().into_owned());
    let options = options.iter().map(|(k, v)| OptionEntry { key: name(k), value: name(v), written: None });
    table_of(&stem, overlaid(options.collect(), given), span)
}

/// Options, of which those that are given replace the others.
fn overlaid(mut options: Vec<OptionEntry>, given: Vec<OptionEntry>) -> Vec<OptionEntry> {
    options.retain(|option| given.iter().all(|g| g.key.value != option.key.value));
    options.extend(given);
    options
}

/// What there is at a URL that names no table.
pub fn listing(url: &str) -> Result<Option<RecordBatch>> {
    registry::connector_of_url(url).map_or(Ok(None), |connector| connector.listing(url))
}

/// A table of these options, with the columns that its records have.
fn table_of(stem: &str, options: Vec<OptionEntry>, span: Span) -> Result<Arc<Table>> {
    let name = |value: &str| Name { value: value.to_string(), span };
    let statement = CreateTable {
        temporary: true,
        ..CreateTable::without_columns(TableName { parts: vec![name(stem)] }, options)
    };
    let statement = with_columns(&statement, &Catalog::default())?.unwrap_or(statement);
    let table = Table::from_statement(&statement, &Catalog::default())?;
    registry::validate(&table).map_err(|e| e.at(span))?;
    Ok(Arc::new(table))
}
