//! Lookups in MaxMind's files: an address to the record of the network that it is in.
//!
//! A record is nested: `country ROW<iso_code STRING>` takes it as it is, `'mmdb.columns' = 'country:country.iso_code'`
//! takes one value out of it. A text that is no address is in no network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use maxminddb::Reader;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::message::MessageDecoder;

/// Keys of a request.
const KEYS: usize = 4096;

/// The column that holds the address.
pub(crate) fn address_column(table: &Table) -> Result<String> {
    match table.primary_key.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Error::plan("the column of the address must be the PRIMARY KEY")
            .with_hint("ip STRING, ..., PRIMARY KEY (ip) NOT ENFORCED")),
    }
}

/// Columns from inside of records.
pub(crate) fn paths(table: &Table) -> Result<HashMap<String, Vec<String>>> {
    const KEY: &str = "mmdb.columns";
    let Some(text) = table.options.text(KEY) else { return Ok(HashMap::new()) };
    let one = |part: &str| -> Result<(String, Vec<String>)> {
        let wrong =
            |what: String| Error::option(format!("option '{KEY}': {what}")).at(table.options.span(KEY));
        let (column, path) = part.split_once(':').ok_or_else(|| {
            wrong(format!("'{}' is no column:path", part.trim()))
                .with_hint("country:country.iso_code, city:city.names.en")
        })?;
        let column = column.trim();
        if !table.columns.iter().any(|c| c.name == column) {
            return Err(wrong(format!("the table has no column '{column}'")));
        }
        Ok((column.to_string(), path.trim().split('.').map(str::to_string).collect()))
    };
    text.split([',', ';']).filter(|part| !part.trim().is_empty()).map(one).collect()
}

struct File {
    reader: Arc<Reader<Vec<u8>>>,
    changed: Option<SystemTime>,
}

struct Inner {
    path: PathBuf,
    file: Mutex<Option<File>>,
    paths: HashMap<String, Vec<String>>,
    format: Format,
    /// Columns of a record.
    wanted: SchemaRef,
    schema: SchemaRef,
    key: usize,
}

/// A file to look up in.
pub(crate) struct MmdbLookup(Arc<Inner>);

impl MmdbLookup {
    pub(crate) fn new(request: &LookupRequest) -> Result<Self> {
        let table = &request.table;
        let [key] = request.keys.as_slice() else {
            return Err(Error::plan("a file of addresses is asked by the address alone"));
        };
        let field = request.schema.field(*key);
        if *field.data_type() != DataType::Utf8View {
            return Err(Error::plan(format!(
                "column '{}' holds the address: declare it as STRING",
                field.name()
            )));
        }
        let fields = request.schema.fields().iter().enumerate().filter(|(i, _)| i != key);
        let wanted: SchemaRef = Arc::new(Schema::new(fields.map(|(_, f)| f.clone()).collect::<Vec<_>>()));
        let format = Format::from_options_or(&Options::default(), "json")?;
        MessageDecoder::new(&format, &wanted, &wanted)?;
        let inner = Inner {
            path: PathBuf::from(table.options.required("path")?),
            file: Mutex::default(),
            paths: paths(table)?,
            format,
            wanted,
            schema: request.schema.clone(),
            key: *key,
        };
        // What cannot work is told at planning.
        inner.reader().map_err(|failure| Error::io(failure.message))?;
        Ok(Self(Arc::new(inner)))
    }
}

impl Inner {
    /// The file as it is now.
    fn reader(&self) -> Result<Arc<Reader<Vec<u8>>>, Failure> {
        let shown = self.path.display();
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified());
        let mut file = self.file.lock();
        if let Some(open) = &*file
            && open.changed == changed.as_ref().ok().copied()
        {
            return Ok(open.reader.clone());
        }
        match Reader::open_readfile(&self.path) {
            Ok(reader) => {
                let reader = Arc::new(reader);
                *file = Some(File { reader: reader.clone(), changed: changed.ok() });
                Ok(reader)
            }
            Err(e) => match &*file {
                // It is being replaced.
                Some(open) => {
                    log::warn!("'{shown}' cannot be read, what was read before is used: {e}");
                    Ok(open.reader.clone())
                }
                None => Err(Failure::new(FailureKind::Connection, format!("'{shown}' cannot be read: {e}"))),
            },
        }
    }

    /// A record as the fields of the columns.
    fn fields(&self, record: &Value) -> Value {
        let inside = |path: &[String]| {
            path.iter().try_fold(record, |value, name| match value {
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                other => other.get(name),
            })
        };
        let field = |name: &String| match self.paths.get(name) {
            Some(path) => inside(path).cloned(),
            None => record.get(name).cloned(),
        };
        let fields = self.wanted.fields().iter();
        Value::Object(fields.filter_map(|f| Some((f.name().clone(), field(f.name())?))).collect())
    }

    fn lookup(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let decode =
            |what: String| Failure::new(FailureKind::Decode, format!("'{}': {what}", self.path.display()));
        let reader = self.reader()?;
        let addresses = keys.column(0).as_string_view();
        let (mut hits, mut records, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for (row, text) in addresses.iter().enumerate() {
            let address = text.and_then(|text| text.trim().parse::<IpAddr>().ok());
            // One of the other family is refused by the file: it has none of them.
            let found = address.and_then(|address| reader.lookup(address).ok());
            let found = found.map(|found| found.decode::<Value>()).transpose();
            if let Some(record) = found.map_err(|e| decode(e.to_string()))?.flatten() {
                hits.push(row as u32);
                records.push(self.fields(&record).to_string().into_bytes());
            }
            offsets.push(hits.len() as u32);
        }
        let values = self.values(&records).map_err(decode)?;
        let rows = UInt32Array::from(hits);
        let columns =
            self.schema.fields().iter().enumerate().map(|(i, field)| -> Result<ArrayRef, Failure> {
                if i == self.key {
                    return take(keys.column(0), &rows, None).map_err(|e| decode(e.to_string()));
                }
                let found = values.column_by_name(field.name()).cloned();
                found.ok_or_else(|| decode(format!("no value for column '{}'", field.name())))
            });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(Answers::new(batch.map_err(|e| decode(e.to_string()))?, offsets))
    }

    fn values(&self, records: &[Vec<u8>]) -> Result<RecordBatch, String> {
        if self.wanted.fields().is_empty() || records.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
            let columns = self.wanted.fields().iter().map(|f| arrow::array::new_empty_array(f.data_type()));
            return RecordBatch::try_new_with_options(self.wanted.clone(), columns.collect(), &options)
                .map_err(|e| e.to_string());
        }
        let said = |e: Error| {
            format!("{}{}", e.message(), e.detail().map(|d| format!(" ({d})")).unwrap_or_default())
        };
        let mut decoder = MessageDecoder::new(&self.format, &self.wanted, &self.wanted).map_err(said)?;
        let messages: Vec<Option<&[u8]>> = records.iter().map(|r| Some(r.as_slice())).collect();
        let decoded = decoder.decode(&messages, false, &|i| format!("record {i}")).map_err(said)?;
        match decoded.error {
            Some(error) => Err(said(error)),
            None => Ok(decoded.batch),
        }
    }
}

impl Backend for MmdbLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.lookup(&keys) })
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn describe(&self) -> String {
        format!("{}", self.0.path.display())
    }
}

#[cfg(test)]
#[path = "mmdb_tests.rs"]
mod tests;
