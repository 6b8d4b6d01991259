//! The first records of a table's files.

use std::path::Path;
use std::sync::Arc;

use super::files::{Empty, FileInfo, Location};
use super::input::{Input, Split};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::infer::{self, Inferred};
use crate::format::notice;
use crate::sql::SqlType;

/// Bytes that are looked at.
const SAMPLE: usize = 1 << 20;

/// The format of a file, or of the first file below a folder, by the end of its name or by what is in it: own output
/// has names without an end. `None` when nothing tells.
pub(in crate::connector) fn recognise(path: &str) -> Result<Option<&'static str>> {
    let mut options = Options::default();
    options.set("path", path, Default::default());
    for file in Location::new(&probe(&options))?.list(Empty::Refused)? {
        if let Some(format) = by_name(&file.path.to_string_lossy()) {
            return Ok(Some(format));
        }
        let mut input = Input::open(&Split::whole(Arc::new(file)))?;
        let Some(block) = input.block()? else { continue };
        if block.starts_with(b"PAR1") {
            return Ok(Some("parquet"));
        }
        let start = block.iter().position(|b| !b.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(b));
        match start.and_then(|at| block.get(at)) {
            None => continue,
            Some(b'{' | b'[') if crate::format::infer::json(&block, true).is_ok() => return Ok(Some("json")),
            Some(_) => {}
        }
        let inferred = infer::csv(&block[..block.len().min(SAMPLE)], block.len() >= SAMPLE, &options);
        return Ok(inferred.is_ok_and(|i| i.columns.len() > 1).then_some("csv"));
    }
    Ok(None)
}

/// What about the first file does not look like the table.
pub(super) fn examine(table: &Table) -> Result<Vec<String>> {
    let options = &table.options;
    let Some(inferred) = infer(options)? else { return Ok(Vec::new()) };
    let record = table.record_schema("UTC");
    let declared: Vec<&str> = record.fields().iter().map(|f| f.name().as_str()).collect();
    let found: Vec<&str> = inferred.columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut said = Vec::new();
    if options.text("format") == Some("csv") {
        let option = |key: &str| inferred.options.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        if let Some(separator) = option("csv.field-delimiter") {
            said.push(format!("its fields seem to be separated by '{separator}': 'csv.field-delimiter'"));
        } else if found.len() != declared.len() {
            said.push(format!(
                "its lines have {} fields, the table has {} columns",
                found.len(),
                declared.len()
            ));
        }
        if option("csv.skip-header").is_some() {
            said.push("its first line seems to be a header: 'csv.skip-header' = 'true'".to_string());
        } else if options.bool("csv.skip-header")? == Some(true) {
            said.extend(notice::about_header(&found, &declared));
        }
    } else {
        let never: Vec<&str> = declared.iter().filter(|d| !found.contains(d)).copied().collect();
        let others: Vec<&str> = found.iter().filter(|f| !declared.contains(f)).copied().collect();
        said.extend(notice::about_absent(&never, &others, "first records"));
    }
    let path = options.required("path")?;
    Ok(said.into_iter().map(|text| format!("table '{}', '{path}': {text}", table.name)).collect())
}

/// The format of a file name's suffix.
pub(in crate::connector) fn by_name(path: &str) -> Option<&'static str> {
    let plain = Path::new(super::packed::stem(path));
    match plain.extension()?.to_string_lossy().to_ascii_lowercase().as_str() {
        "json" | "jsonl" | "ndjson" => Some("json"),
        "csv" | "tsv" => Some("csv"),
        "parquet" | "parq" => Some("parquet"),
        _ => None,
    }
}

/// A table that has nothing but options.
fn probe(options: &Options) -> Table {
    Table {
        name: String::new(),
        home: Default::default(),
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        comment: None,
        options: options.clone(),
        temporary: true,
        own: None,
    }
}

/// The longest sample of JSON, for documents that are one record.
const LONGEST: usize = 64 << 20;

/// Columns of the first file that has records, and those that names of folders have; `None` for formats whose records
/// have no names.
pub(super) fn infer(options: &Options) -> Result<Option<Inferred>> {
    let location = Location::new(&probe(options))?;
    let files = location.list(Empty::Refused)?;
    let found = columns(options, &files)?;
    Ok(found.map(|mut found| {
        for (name, data_type) in partitions(&location, &files) {
            if found.columns.iter().all(|(column, _)| *column != name) {
                found.columns.push((name.clone(), data_type));
                found.partitioned_by.push(name);
            }
        }
        found
    }))
}

/// Columns that all files have in the names of their folders, as `day=2024-05-01`.
fn partitions(location: &Location, files: &[FileInfo]) -> Vec<(String, SqlType)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let pairs = location.folders_of(&file.path);
        if n == 0 {
            all = pairs.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        }
        if pairs.len() != all.len() || pairs.iter().zip(&all).any(|(pair, known)| pair.0 != known.0) {
            return Vec::new();
        }
        for ((_, value), (_, values)) in pairs.into_iter().zip(&mut all) {
            values.extend(value);
        }
    }
    let typed = all.into_iter().map(|(name, values)| {
        let data_type = infer::of_texts(values.iter().map(String::as_str));
        (name, data_type)
    });
    typed.collect()
}

fn columns(options: &Options, files: &[FileInfo]) -> Result<Option<Inferred>> {
    let format = options.text("format").unwrap_or_default();
    #[cfg(feature = "parquet")]
    if format == crate::format::parquet::NAME {
        return infer_columns(options, files).map(Some);
    }
    if !matches!(format, "json" | "csv") {
        return Ok(None);
    }
    let mut failure = Error::decode(format!("'{}' holds no records", options.required("path")?))
        .with_hint("declare the columns: CREATE TABLE t (name TYPE, ...) WITH (...)");
    for file in files {
        let path = file.path.display().to_string();
        let mut input = Input::open(&Split::whole(Arc::new(file.clone())))?;
        let mut sample = Vec::new();
        let mut longest = SAMPLE;
        let inferred = loop {
            let mut cut = false;
            while !cut && let Some(block) = input.block()? {
                sample.extend_from_slice(&block);
                cut = sample.len() >= longest;
            }
            if sample.iter().all(u8::is_ascii_whitespace) {
                break None;
            }
            let inferred = match format {
                "json" => infer::json(&sample, cut),
                _ => infer::csv(&sample[..sample.len().min(SAMPLE)], cut, options),
            };
            // A document that is one record may be longer.
            if inferred.is_ok() || !cut || format != "json" || longest >= LONGEST {
                break Some(inferred);
            }
            longest *= 4;
        };
        match inferred {
            None => continue,
            Some(Ok(inferred)) => return Ok(Some(inferred)),
            Some(Err(e)) => failure = e.context(format!("file {path}")),
        }
        break;
    }
    Err(failure)
}

/// Columns of the first Parquet file.
#[cfg(feature = "parquet")]
fn infer_columns(options: &Options, files: &[FileInfo]) -> Result<Inferred> {
    if let Some(file) = files.iter().find(|file| file.size > 0) {
        let bytes = super::columns::random_access(file)?;
        return crate::format::parquet::infer(bytes, &super::columns::name(file));
    }
    Err(Error::decode(format!("'{}' holds no Parquet file", options.required("path")?))
        .with_hint("declare the columns: CREATE TABLE t (name TYPE, ...) WITH (...)"))
}
